//! The colors of series: the same palette as on the site, for a dark or a light background.

use materia::dashboard::{PALETTE_SIZE, Series};
use ratatui::style::{Color, Style};

use super::Canvas;
use crate::theme::{ColorDepth, ColorScheme, StyleRole};

/// The 24-bit color and the index in xterm's 256 colors. All entries differ.
type SeriesPalette = [(u32, u8); PALETTE_SIZE];

const DARK: SeriesPalette = [
    (0x006f_a8dc, 74),
    (0x00e0_a458, 179),
    (0x00b9_a3f5, 141),
    (0x00f0_6a5d, 203),
    (0x00f2_d050, 221),
    (0x005f_c7c0, 79),
    (0x00cf_9d7b, 173),
    (0x00aa_cb69, 149),
    (0x00d0_82b8, 175),
    (0x0086_aef8, 111),
    (0x00ff_8f6b, 209),
    (0x00d7_c9ff, 183),
    (0x00ff_b3c6, 217),
    (0x00f0_da8a, 222),
    (0x009b_e4f3, 159),
    (0x00e8_c4a8, 180),
    (0x00d3_ec9c, 193),
    (0x00f3_c0ea, 219),
    (0x00b9_d1ff, 153),
    (0x0087_c06f, 113),
];
const LIGHT: SeriesPalette = [
    (0x001f_5fa8, 25),
    (0x00c2_570c, 166),
    (0x006b_4fbb, 61),
    (0x00b7_1c1c, 124),
    (0x008a_6500, 94),
    (0x0000_7470, 30),
    (0x007a_4a2b, 95),
    (0x0055_731c, 64),
    (0x008a_2a6d, 90),
    (0x0024_58c9, 26),
    (0x00d9_643f, 167),
    (0x009a_7fe0, 98),
    (0x00e0_567f, 161),
    (0x00b5_8a10, 136),
    (0x002a_9bb5, 31),
    (0x00a9_724f, 130),
    (0x007d_9a3a, 106),
    (0x00c9_6bbd, 133),
    (0x005b_8def, 63),
    (0x002e_7d32, 28),
];
/// The ANSI colors that are not gray; series beyond them are gray.
const SIXTEEN: [Color; 12] = [
    Color::LightBlue,
    Color::Yellow,
    Color::Magenta,
    Color::Red,
    Color::LightYellow,
    Color::Cyan,
    Color::LightRed,
    Color::LightGreen,
    Color::LightMagenta,
    Color::Blue,
    Color::LightCyan,
    Color::Green,
];

/// Returns the style of a series: its color, or gray.
pub(super) fn series_style(canvas: &Canvas, series: &Series) -> Style {
    let Some(place) =
        series.color.map(usize::from).filter(|place| *place < PALETTE_SIZE && !series.other)
    else {
        return canvas.style(StyleRole::Dim);
    };
    let (rgb, indexed) =
        if canvas.theme.scheme == ColorScheme::Dark { DARK[place] } else { LIGHT[place] };
    match canvas.theme.depth {
        ColorDepth::None => Style::new(),
        ColorDepth::Sixteen => match SIXTEEN.get(place) {
            Some(color) => Style::new().fg(*color),
            None => canvas.style(StyleRole::Dim),
        },
        ColorDepth::Ansi256 => Style::new().fg(Color::Indexed(indexed)),
        ColorDepth::TrueColor => Style::new().fg(Color::from_u32(rgb)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_series_share_a_color() {
        for palette in [DARK, LIGHT] {
            let all: BTreeSet<u32> = palette.iter().map(|(rgb, _)| *rgb).collect();
            let indexed: BTreeSet<u8> = palette.iter().map(|(_, place)| *place).collect();
            assert_eq!((all.len(), indexed.len()), (PALETTE_SIZE, PALETTE_SIZE));
        }
    }
}
