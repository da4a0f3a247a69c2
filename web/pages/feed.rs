//! `/feed.atom`: one entry for each update of the data, for feed readers and programs.

use std::fmt::Write as _;

use axum::{
    extract::State,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use jiff::Timestamp;
use materia::{
    settings::{TableRules, rule_of},
    store::{Manifest, RetainedGeneration},
};

use crate::{app::AppState, components, error::WebError, page_cache::RenderedFrom};

/// `GET /feed.atom`
pub(crate) async fn feed(State(app): State<AppState>) -> Result<Response, WebError> {
    let pin = app.reader.pin()?;
    let target = app.settings.target().map_err(WebError::internal)?;
    let read = tokio::task::spawn_blocking(move || target.generations());
    let generations = read.await.map_err(WebError::internal)?.map_err(WebError::internal)?;
    let generation = components::generation_name(pin.generation());
    let text = write(&app, &generations, &generation, pin.generation().opened_at);
    let mut response = text.into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/atom+xml; charset=utf-8"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    response.extensions_mut().insert(RenderedFrom(generation));
    Ok(response)
}

/// Writes the feed: the served generation and the retained ones before it, newest first.
fn write(
    app: &AppState,
    generations: &[RetainedGeneration],
    served: &str,
    opened_at: Timestamp,
) -> String {
    let (base, brand) = (app.settings.web.base_url(), &app.settings.brand.name);
    let manifests: Vec<&Manifest> = generations
        .iter()
        .filter_map(|generation| generation.manifest.as_ref())
        // One that was published and rolled back is not an update.
        .filter(|manifest| manifest.id.as_str() <= served)
        .collect();
    let updated = manifests.first().map_or(opened_at, |manifest| manifest.exported_at);
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<feed xmlns=\"http://www.w3.org/2005/Atom\">\n<title>{title}</title>\n<id>{base}/feed.atom</id>\n\
         <link rel=\"self\" type=\"application/atom+xml\" href=\"{base}/feed.atom\"/>\n<link rel=\"alternate\" type=\"text/html\" href=\"{base}/\"/>\n\
         <updated>{updated}</updated>\n<author><name>{brand}</name></author>\n",
        title = escape(&format!("{brand}: updates of the data")),
        base = escape(&base),
        brand = escape(brand),
        updated = rfc3339(updated),
    );
    for (at, manifest) in manifests.iter().enumerate() {
        let _ = writeln!(
            text,
            "<entry>\n<title>Data updated {day}</title>\n<id>{base}/feed.atom#{id}</id>\n<link rel=\"alternate\" type=\"text/html\" href=\"{base}/\"/>\n\
             <updated>{updated}</updated>\n<summary>{summary}</summary>\n</entry>",
            day = manifest.exported_at.strftime("%B %-d, %Y, %H:%M UTC"),
            base = escape(&base),
            id = escape(manifest.id.as_str()),
            updated = rfc3339(manifest.exported_at),
            summary =
                escape(&changes(&app.settings.tables, manifest, manifests.get(at + 1).copied())),
        );
    }
    text.push_str("</feed>\n");
    text
}

/// Names the tables that differ from the generation before, without those of which customers see no
/// column.
fn changes(rules: &TableRules, manifest: &Manifest, before: Option<&Manifest>) -> String {
    let tables = manifest.tables.iter().filter(|table| {
        let rule = rule_of(rules, &table.name);
        let mut columns = table.columns.iter();
        rule.is_none_or(|rule| columns.any(|column| !rule.hides(&column.name)))
    });
    let Some(before) = before else { return format!("{} tables.", tables.count()) };
    let changed = tables.filter(|table| {
        before.table(&table.name).is_none_or(|known| {
            known.rows != table.rows || known.content.is_none() || known.content != table.content
        })
    });
    let changed: Vec<&str> = changed.map(|table| table.name.as_str()).collect();
    if changed.is_empty() {
        "No table changed.".to_owned()
    } else {
        format!("Changed: {}.", changed.join(", "))
    }
}

fn rfc3339(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn escape(text: &str) -> String {
    let plain = text.chars().filter(|char| !char.is_control());
    let plain: String = plain.collect();
    plain.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
