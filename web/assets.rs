//! The style sheet, the script and the icon. They are embedded in the binary and named by their
//! content, so that browsers may cache them forever.

use axum::{
    extract::{Path, State},
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use materia::settings::BrandSettings;
use sha2::{Digest, Sha256};

use tokio::sync::OnceCell;

use super::{
    app::AppState,
    error::WebError,
    pages::search_engines::{self, DrawnIcons},
};

/// The files under `/assets/`.
pub(crate) struct Assets {
    style: Asset,
    script: Asset,
    icon: Asset,
    /// The icon as pixels, drawn when it is asked for.
    drawn: OnceCell<DrawnIcons>,
}

struct Asset {
    file: String,
    content_type: &'static str,
    content: axum::body::Bytes,
}

impl Asset {
    fn new(stem: &str, extension: &str, content_type: &'static str, content: String) -> Self {
        let mut hash = format!("{:x}", Sha256::digest(&content));
        hash.truncate(12);
        Self { file: format!("{stem}.{hash}.{extension}"), content_type, content: content.into() }
    }
}

impl Assets {
    /// Returns the style sheet itself, for pages that are printed.
    pub(crate) fn style_text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.style.content)
    }

    /// Prepends the brand's colors to the style sheet.
    pub(crate) fn new(brand: &BrandSettings) -> Self {
        let colours = &brand.colours;
        let accents = format!(
            ":root{{--accent-light:{};--accent-dark:{}}}\n{}",
            colours.accent,
            colours.accent_dark,
            concat!(
                include_str!("assets/style.css"),
                include_str!("assets/accounts.css"),
                include_str!("assets/data.css")
            )
        );
        Self {
            style: Asset::new("style", "css", "text/css; charset=utf-8", accents),
            script: Asset::new(
                "app",
                "js",
                "text/javascript; charset=utf-8",
                include_str!("assets/app.js").to_owned(),
            ),
            icon: Asset::new("icon", "svg", "image/svg+xml", icon(brand)),
            drawn: OnceCell::new(),
        }
    }

    /// Returns the path of the style sheet.
    pub(crate) fn style(&self) -> String {
        format!("/assets/{}", self.style.file)
    }

    /// Returns the path of the script.
    pub(crate) fn script(&self) -> String {
        format!("/assets/{}", self.script.file)
    }

    /// Returns the icon as pixels.
    pub(crate) async fn drawn_icons(&self) -> Result<&DrawnIcons, String> {
        let svg = String::from_utf8_lossy(&self.icon.content).into_owned();
        let draw = || async {
            let drawn = tokio::task::spawn_blocking(move || search_engines::draw(&svg));
            drawn.await.map_err(|error| error.to_string())?
        };
        self.drawn.get_or_try_init(draw).await
    }

    /// Returns the path of the icon.
    pub(crate) fn icon(&self) -> String {
        format!("/assets/{}", self.icon.file)
    }
}

/// Draws the brand's first letter on its accent color.
fn icon(brand: &BrandSettings) -> String {
    let letter =
        brand.name.chars().find(|char| char.is_alphanumeric()).unwrap_or('m').to_uppercase();
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"32\" height=\"32\" viewBox=\"0 0 32 32\"><rect width=\"32\" height=\"32\" rx=\"7\" fill=\"{}\"/>\
         <text x=\"16\" y=\"22.5\" font-family=\"system-ui,sans-serif\" font-size=\"19\" font-weight=\"700\" text-anchor=\"middle\" fill=\"#fff\">{letter}</text></svg>",
        brand.colours.accent
    )
}

/// `/assets/{file}`.
pub(crate) async fn serve(
    State(app): State<AppState>,
    Path(file): Path<String>,
) -> Result<Response, WebError> {
    let all = [&app.assets.style, &app.assets.script, &app.assets.icon];
    let asset = all.into_iter().find(|asset| asset.file == file).ok_or(WebError::NotFound)?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(asset.content_type)),
        (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable")),
    ];
    Ok((headers, asset.content.clone()).into_response())
}
