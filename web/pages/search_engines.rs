//! What search engines, browsers' tabs and phones ask of every site: `/robots.txt`, `/sitemap.xml`,
//! `/favicon.ico`, `/apple-touch-icon.png`.

use std::fmt::Write as _;

use axum::{
    extract::State,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};

use materia::{settings::is_public, tables::access};

use super::tables::encoded;
use crate::{app::AppState, error::WebError, png};

const HOUR: HeaderValue = HeaderValue::from_static("public, max-age=3600");
const DAY: HeaderValue = HeaderValue::from_static("public, max-age=86400");

/// The list of tables.
const TABLES: &str = "/tables";

/// Pages that need an account, or that nobody searches for.
const DISALLOWED: [&str; 13] = [
    "/admin/",
    "/api/",
    "/auth/",
    "/dashboard/",
    "/dev/",
    "/embed/",
    "/events",
    "/home",
    "/plans/",
    "/search",
    "/settings",
    "/tables",
    "/unsubscribe/",
];

/// `GET /robots.txt`
pub(crate) async fn robots(State(app): State<AppState>) -> Response {
    let mut text = String::from("User-agent: *\n");
    // The longest path that matches a page applies, so these are exceptions from the ones below.
    for path in public_data(&app).await {
        // The list of tables is the beginning of every table's path, also of those that are not.
        let end = if path == TABLES { "$" } else { "" };
        let _ = writeln!(text, "Allow: {path}{end}");
    }
    let _ = writeln!(text, "Allow: /embed/*.png");
    for path in DISALLOWED {
        let _ = writeln!(text, "Disallow: {path}");
    }
    let _ = writeln!(text, "\nSitemap: {}/sitemap.xml", app.settings.web.base_url());
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, HOUR)], text).into_response()
}

/// Returns the paths of all pages that everybody may read.
pub(crate) async fn public_pages(app: &AppState) -> Vec<String> {
    let mut paths = vec!["/".to_owned(), "/methodology".to_owned(), "/docs/api".to_owned()];
    if !app.settings.brand.plans.is_empty() {
        paths.push("/pricing".to_owned());
    }
    paths.extend(app.legal.iter().map(|text| format!("/legal/{}", text.name)));
    paths.extend(public_data(app).await);
    paths
}

/// Returns the paths of the dashboards and tables that everybody may read.
async fn public_data(app: &AppState) -> Vec<String> {
    let rules = &app.settings.tables;
    let mut paths: Vec<String> = app
        .dashboards
        .current()
        .public()
        .map(|dashboard| format!("/dashboard/{}", encoded(&dashboard.slug)))
        .collect();
    let tables = match app.reader.pin() {
        Ok(pin) => access::visible_catalog(&pin, rules).await.unwrap_or_default(),
        Err(_) => Vec::new(),
    };
    let tables: Vec<_> = tables
        .iter()
        .filter(|table| is_public(rules, &table.name))
        .map(super::tables::path)
        .collect();
    if !tables.is_empty() {
        paths.push(TABLES.to_owned());
    }
    paths.extend(tables);
    paths
}

/// `GET /sitemap.xml`
pub(crate) async fn sitemap(State(app): State<AppState>) -> Response {
    let base = app.settings.web.base_url();
    // The pages with figures are as new as the data.
    let generation = app.reader.state().generation;
    let day =
        generation.and_then(|info| info.exported_at).map(|at| at.strftime("%Y-%m-%d").to_string());
    let mut text = String::from(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<urlset xmlns=\"http://www.sitemaps.org/schemas/sitemap/0.9\">\n",
    );
    for path in public_pages(&app).await {
        let encoded = format!("{base}{path}").replace('&', "&amp;").replace('<', "&lt;");
        let changed = match &day {
            Some(day)
                if path == "/"
                    || path == "/methodology"
                    || path.starts_with("/dashboard/")
                    || path.starts_with(TABLES) =>
            {
                format!("<lastmod>{day}</lastmod>")
            }
            _ => String::new(),
        };
        let _ = writeln!(text, "<url><loc>{encoded}</loc>{changed}</url>");
    }
    text.push_str("</urlset>\n");
    let kind = HeaderValue::from_static("application/xml; charset=utf-8");
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, HOUR)], text).into_response()
}

/// `GET /favicon.ico`, for browsers that do not understand the SVG.
pub(crate) async fn favicon(State(app): State<AppState>) -> Result<Response, WebError> {
    let drawn = app.assets.drawn_icons().await.map_err(WebError::internal)?;
    let kind = HeaderValue::from_static("image/x-icon");
    let headers = [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, DAY)];
    Ok((headers, drawn.favicon.clone()).into_response())
}

/// `GET /apple-touch-icon.png`, for phones' home screens.
pub(crate) async fn touch_icon(State(app): State<AppState>) -> Result<Response, WebError> {
    let drawn = app.assets.drawn_icons().await.map_err(WebError::internal)?;
    let kind = HeaderValue::from_static("image/png");
    let headers = [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, DAY)];
    Ok((headers, drawn.touch.clone()).into_response())
}

/// The icon as pixels.
pub(crate) struct DrawnIcons {
    favicon: axum::body::Bytes,
    touch: axum::body::Bytes,
}

/// Draws an icon of 32 units as a favicon and for phones.
pub(crate) fn draw(icon: &str) -> Result<DrawnIcons, String> {
    let favicon = ico(&png::draw(icon, 1.0)?);
    Ok(DrawnIcons { favicon: favicon.into(), touch: png::draw(icon, 180.0 / 32.0)?.into() })
}

/// Wraps a PNG of 32 by 32 pixels as an ICO.
fn ico(png: &[u8]) -> Vec<u8> {
    let size = u32::try_from(png.len()).unwrap_or(u32::MAX);
    let mut file = vec![0, 0, 1, 0, 1, 0, 32, 32, 0, 0, 1, 0, 32, 0];
    file.extend(size.to_le_bytes());
    file.extend(22_u32.to_le_bytes());
    file.extend(png);
    file
}
