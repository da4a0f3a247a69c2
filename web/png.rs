//! Renders PNG pictures for clients without SVG support: chats, slides, link previews, tab icons of
//! old browsers.

use std::sync::{Arc, OnceLock};

use resvg::{
    tiny_skia::{Pixmap, Transform},
    usvg::{Options, Tree, fontdb::Database},
};

/// The font family of pictures. It is embedded in the binary, so that pictures are the same on
/// every server; missing glyphs come from the system's fonts.
pub(crate) const FONT_FAMILY: &str = "Inter";
const FONTS: [&[u8]; 2] = [
    include_bytes!("assets/fonts/Inter-Regular.ttf"),
    include_bytes!("assets/fonts/Inter-SemiBold.ttf"),
];
/// Maximum size of a picture: 64 million pixels take 256 MB.
const MAX_PIXELS: f32 = 16_000_000.0;

fn fonts() -> Arc<Database> {
    static FOUND: OnceLock<Arc<Database>> = OnceLock::new();
    let load = || {
        let mut fonts = Database::new();
        for font in FONTS {
            fonts.load_font_data(font.to_vec());
        }
        fonts.load_system_fonts();
        fonts.set_sans_serif_family(FONT_FAMILY);
        Arc::new(fonts)
    };
    FOUND.get_or_init(load).clone()
}

/// Renders an SVG with `scale` pixels per unit. Takes milliseconds, so it must not run on the
/// threads that handle requests.
///
/// # Errors
/// The SVG is malformed, or too large.
pub(crate) fn draw(svg: &str, scale: f32) -> Result<Vec<u8>, String> {
    let options =
        Options { fontdb: fonts(), font_family: FONT_FAMILY.to_owned(), ..Options::default() };
    let tree = Tree::from_str(svg, &options).map_err(|error| error.to_string())?;
    let (width, height) =
        ((tree.size().width() * scale).round(), (tree.size().height() * scale).round());
    if width * height > MAX_PIXELS {
        return Err(format!("{width} x {height} pixels are too many for a picture"));
    }
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked above, and never negative"
    )]
    let pixmap = Pixmap::new(width as u32, height as u32);
    let mut pixmap = pixmap.ok_or_else(|| "a picture without size".to_owned())?;
    resvg::render(&tree, Transform::from_scale(scale, scale), &mut pixmap.as_mut());
    pixmap.encode_png().map_err(|error| error.to_string())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn dark_pixels(text: &str) -> usize {
        let svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"200\" height=\"40\"><rect width=\"200\" height=\"40\" fill=\"#fff\"/>\
             <text x=\"10\" y=\"28\" font-size=\"20\">{text}</text></svg>"
        );
        let picture = Pixmap::decode_png(&draw(&svg, 2.0).unwrap()).unwrap();
        assert_eq!((picture.width(), picture.height()), (400, 80));
        picture.pixels().iter().filter(|pixel| pixel.red() < 128).count()
    }

    #[test]
    fn text_is_drawn_with_a_font_of_the_binary() {
        let latin = dark_pixels("Brazil");
        assert!(latin > 300, "{latin} dark pixels");
        assert!(dark_pixels("Бразилия") > 300 && dark_pixels("Ελλάδα") > 300);
        assert_eq!(dark_pixels(""), 0);
    }

    #[test]
    fn what_is_no_picture_or_too_large_is_refused() {
        assert!(draw("<svg", 1.0).is_err());
        let huge = "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"90000\" height=\"90000\"/>";
        assert!(draw(huge, 1.0).unwrap_err().contains("too many"));
    }
}
