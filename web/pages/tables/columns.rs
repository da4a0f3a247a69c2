//! `/tables/{name}/columns`: what each column means and what is in it.

use axum::extract::{Path, RawQuery, State};
use materia::{dashboard::title_of, reader::ColumnSummary, tables::access::Access, words};
use maud::{Markup, html};

use super::{Frame, asked, frame, locked, seen, state};
use crate::web::{
    app::App,
    data,
    error::WebError,
    page::{Page, Place, View},
    parts,
    viewer::SignedIn,
};

/// The data dictionary, with what is in each column of the rows that are shown.
struct Columns {
    frame: Frame,
    summaries: Vec<Option<ColumnSummary>>,
}

pub(crate) async fn columns(
    app: State<App>,
    SignedIn(account): SignedIn,
    Path(name): Path<String>,
    query: RawQuery,
) -> Result<Page, WebError> {
    let (pin, plan) = (app.reader.pin()?, account.entitled());
    let seen = seen(&app, &pin, &name, plan).await?;
    let (title, state) = (title_of(&seen.table.name), state(&query));
    if let Access::Locked(needed) = seen.access {
        return Ok(locked(&seen, state, plan, needed));
    }
    let mut asked = asked(&pin, &seen, &state).await?.map_err(|mistake| WebError::BadRequest(format!("{mistake}.")))?;
    asked.query.columns = (0..seen.table.columns.len()).collect();
    let summaries = data::summary(&pin, &asked.query).await;
    let view = Columns { frame: frame(&seen, state, plan), summaries };
    Ok(Page::new(title, Place::Tables, &view).shared(&pin))
}

impl View for Columns {
    fn body(&self) -> Markup {
        let columns = self.frame.table.columns.iter().zip(&self.summaries);
        html! {
            (self.frame.head("columns"))
            section.sheet aria-label="Columns" {
                (parts::scroll("Columns, scrollable", &html! {
                    table.grid {
                        thead { tr {
                            th scope="col" { "Column" } th scope="col" { "Meaning and unit" } th scope="col" { "Type" } th scope="col" { "Smallest" }
                            th scope="col" { "Largest" } th.right scope="col" { "Different" } th.right scope="col" { "Empty" }
                        } }
                        tbody { @for (column, summary) in columns { tr {
                            th scope="row" { code { (column.name) } }
                            td.meaning { (column.comment.as_deref().unwrap_or_default()) }
                            td { code { (column.data_type) } @if !column.nullable { " " span.badge { "never empty" } } }
                            @match summary {
                                Some(summary) => {
                                    td { (value(summary.min.as_deref())) } td { (value(summary.max.as_deref())) }
                                    td.right { "≈ " (words::count(summary.approx_distinct)) } td.right { (words::count(summary.nulls)) }
                                },
                                None => td colspan="4" { span.note { "took too long to find out" } },
                            }
                        } } }
                    }
                }))
                p.note { "Smallest, largest and the rest are those of the rows that your filters leave." }
            }
        }
    }
}

/// Values are shown as far as they fit.
fn value(text: Option<&str>) -> Markup {
    const SHOWN: usize = 40;
    let Some(text) = text else { return html! { span.note { "–" } } };
    if text.chars().count() <= SHOWN {
        html! { (text) }
    } else {
        html! { span title=(text) { (text.chars().take(SHOWN).collect::<String>()) "…" } }
    }
}
