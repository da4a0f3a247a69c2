//! The style sheet, the script and the icon: part of the binary, named after their content, so that browsers may keep them for ever.

use axum::{
    extract::{Path, State},
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use materia::settings::BrandSettings;
use sha2::{Digest, Sha256};

use super::{app::App, error::WebError};

/// Everything under `/assets/`.
pub(crate) struct Assets {
    style: Asset,
    script: Asset,
    icon: Asset,
}

struct Asset {
    file: String,
    kind: &'static str,
    content: axum::body::Bytes,
}

impl Asset {
    fn new(stem: &str, extension: &str, kind: &'static str, content: String) -> Self {
        let mut hash = format!("{:x}", Sha256::digest(&content));
        hash.truncate(12);
        Self { file: format!("{stem}.{hash}.{extension}"), kind, content: content.into() }
    }
}

impl Assets {
    /// Puts the brand's colours before the style sheet.
    pub(crate) fn new(brand: &BrandSettings) -> Self {
        let colours = &brand.colours;
        let accents = format!(
            ":root{{--accent-light:{};--accent-dark:{}}}\n{}",
            colours.accent,
            colours.accent_dark,
            concat!(include_str!("assets/style.css"), include_str!("assets/accounts.css"), include_str!("assets/data.css"))
        );
        Self {
            style: Asset::new("style", "css", "text/css; charset=utf-8", accents),
            script: Asset::new("app", "js", "text/javascript; charset=utf-8", include_str!("assets/app.js").to_owned()),
            icon: Asset::new("icon", "svg", "image/svg+xml", icon(brand)),
        }
    }

    /// Where the style sheet is.
    pub(crate) fn style(&self) -> String {
        format!("/assets/{}", self.style.file)
    }

    /// Where the script is.
    pub(crate) fn script(&self) -> String {
        format!("/assets/{}", self.script.file)
    }

    /// Where the icon is.
    pub(crate) fn icon(&self) -> String {
        format!("/assets/{}", self.icon.file)
    }
}

/// The brand's first letter on its colour.
fn icon(brand: &BrandSettings) -> String {
    let letter = brand.name.chars().find(|char| char.is_alphanumeric()).unwrap_or('m').to_uppercase();
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 32 32\"><rect width=\"32\" height=\"32\" rx=\"7\" fill=\"{}\"/>\
         <text x=\"16\" y=\"22.5\" font-family=\"system-ui,sans-serif\" font-size=\"19\" font-weight=\"700\" text-anchor=\"middle\" fill=\"#fff\">{letter}</text></svg>",
        brand.colours.accent
    )
}

/// `/assets/{file}`.
pub(crate) async fn serve(State(app): State<App>, Path(file): Path<String>) -> Result<Response, WebError> {
    let all = [&app.assets.style, &app.assets.script, &app.assets.icon];
    let asset = all.into_iter().find(|asset| asset.file == file).ok_or(WebError::NotFound)?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(asset.kind)),
        (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable")),
    ];
    Ok((headers, asset.content.clone()).into_response())
}
