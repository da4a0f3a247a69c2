//! `/methodology`: where the figures come from, what they mean, and what may be done with them.

use axum::extract::State;
use materia::{
    reader::{Catalog, TableInfo},
    settings::Source,
    words,
};
use maud::{Markup, html};

use crate::web::{
    app::App,
    error::WebError,
    page::{Page, Place, View},
    parts,
};

/// Sources from the settings and the dashboards, definitions from the comments in the served file.
pub(crate) struct Methodology {
    pub(crate) sources: Vec<Source>,
    pub(crate) tables: Vec<TableInfo>,
    pub(crate) prepared: bool,
}

pub(crate) async fn page(State(app): State<App>) -> Result<Page, WebError> {
    let Ok(pin) = app.reader.pin() else {
        let view = Methodology { sources: app.settings.brand.sources.clone(), tables: Vec::new(), prepared: false };
        return Ok(Page::new("Methodology", Place::Methodology, &view));
    };
    let Catalog { tables } = pin.catalog().await?;
    let mut sources = app.settings.brand.sources.clone();
    for source in app.boards.now().dashboards.all(&pin).await?.iter().flat_map(|dashboard| &dashboard.sources) {
        if !sources
            .iter()
            .any(|known| known.name == source.name || (known.url.is_some() && place(known.url.as_ref()) == place(source.url.as_ref())))
        {
            let licence = source.licence.clone().unwrap_or_else(|| "not stated".to_owned());
            sources.push(Source { name: source.name.clone(), url: source.url.clone(), licence, about: String::new() });
        }
    }
    let view = Methodology { sources, tables, prepared: true };
    Ok(Page::new("Methodology", Place::Methodology, &view).shared(&pin))
}

/// An address without what does not make it another one.
fn place(url: Option<&String>) -> Option<&str> {
    url.map(|url| url.trim_end_matches('/'))
}

impl View for Methodology {
    fn body(&self) -> Markup {
        html! {
            div.title-row {
                h1 { "Methodology" }
                p.lead { "Where every figure comes from, what it means, and what may be done with it." }
            }
            @if !self.sources.is_empty() {
                section.sheet aria-labelledby="sources-name" {
                    h2 #sources-name { "Sources and licences" }
                    (parts::scroll("Sources, scrollable", &html! {
                        table.grid {
                            thead { tr { th scope="col" { "Source" } th scope="col" { "What is taken from it" } th scope="col" { "Licence" } } }
                            tbody { @for source in &self.sources { tr {
                                th scope="row" { @match &source.url { Some(url) => a href=(url) rel="noreferrer" { (source.name) }, None => (source.name) } }
                                td { (source.about) }
                                td { (source.licence) }
                            } } }
                        }
                    }))
                }
            }
            section.sheet aria-labelledby="how-name" {
                h2 #how-name { "How the figures are made" }
                p { "Sources are loaded and modelled in one run. The finished tables are exported together, checked (row counts, keys, freshness), and only then published in one step: what you see on one page always belongs to one export, and an export that fails its checks is never shown." }
            }
            section.sheet aria-labelledby="definitions-name" {
                h2 #definitions-name { "Definitions" }
                @if !self.prepared { p.empty { "The data is being prepared; its definitions come with it." } }
                @for table in &self.tables { (definitions(table)) }
            }
        }
    }
}

fn definitions(table: &TableInfo) -> Markup {
    html! {
        details.definitions #{ "table-" (table.name) } {
            summary {
                h3 { (materia::dashboard::title_of(&table.name)) }
                span.note { (words::rows(table.rows)) }
                @if let Some(comment) = &table.comment { p { (comment) "." } }
            }
            (parts::scroll(&format!("Columns of {}, scrollable", table.name), &html! {
                table.grid {
                    thead { tr { th scope="col" { "Column" } th scope="col" { "Meaning" } th scope="col" { "Type" } } }
                    tbody { @for column in &table.columns { tr {
                        th scope="row" { code { (column.name) } }
                        td { (column.comment.as_deref().unwrap_or_default()) }
                        td { code { (column.data_type) } }
                    } } }
                }
            }))
        }
    }
}
