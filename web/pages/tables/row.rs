//! `/tables/{name}/row`: one row with all its columns, their comments and whole texts.

use axum::{
    extract::{Path, RawQuery, State},
    http::StatusCode,
};
use materia::tables::{PageStart, access::Access};
use maud::{Markup, html};

use super::{
    TableFrame, column_title, default_order, encoded, explorer_params, find_table, locked_page,
    require_query, table_frame,
    views::{is_shortened, shown_value},
};
use crate::{
    app::AppState,
    components,
    data::TableRows,
    error::WebError,
    page::{NavItem, Page, View},
    viewer::VisiblePlan,
};

/// One row.
pub(crate) struct RowPage {
    pub(crate) frame: TableFrame,
    /// The values, one per column of the table; `None` if no row matches.
    pub(crate) cells: Option<Vec<Option<String>>>,
    /// The number of rows before it in the order of the page that led here.
    pub(crate) at: u64,
    /// Whether a row follows it.
    pub(crate) has_next: bool,
}

/// `GET /tables/{name}/row`: the first row that the parameters of the explorer select.
pub(crate) async fn row(
    app: State<AppState>,
    VisiblePlan(plan): VisiblePlan,
    Path(name): Path<String>,
    query: RawQuery,
) -> Result<Page, WebError> {
    let pin = app.reader.pin()?;
    let table = find_table(&app, &pin, &name, plan).await?;
    let state = explorer_params(&query);
    if let Access::Locked(needed) = table.access {
        return Ok(locked_page(&table, state, plan, needed));
    }
    let mut parsed = require_query(&pin, &table, &state).await?;
    parsed.query.columns = (0..table.table.columns.len()).collect();
    if state.get("order").is_none() {
        parsed.query.order = default_order(&table);
    }
    let answer = pin
        .query(parsed.query.page(&parsed.place, 2), materia::reader::QueryLimits::for_page())
        .await?;
    let mut rows = TableRows::of(&answer, table.table.columns.len()).cells.into_iter();
    let view = RowPage {
        frame: table_frame(&table, state, plan),
        cells: rows.next(),
        at: if let PageStart::Offset(offset) = parsed.place { offset } else { 0 },
        has_next: rows.next().is_some(),
    };
    let title = format!("Row · {}", view.frame.title);
    let status = if view.cells.is_some() { StatusCode::OK } else { StatusCode::NOT_FOUND };
    let page = Page::new(title, NavItem::Tables, &view).with_status(status);
    Ok(page.unlisted().cacheable(&pin))
}

impl View for RowPage {
    fn render(&self) -> Markup {
        let frame = &self.frame;
        let state = &frame.state;
        let at = |offset: u64| state.at(offset).url(&format!("{}/row", frame.path));
        html! {
            (frame.head("rows"))
            div.ask-row {
                p.note { a href=(state.at(0).url(&frame.path)) { "Back to the rows" } }
                p.note { a href=(state.url(&format!("{}/row", frame.path))) data-copy="Link copied" { "Copy link" } }
            }
            @match &self.cells {
                None => p.empty { "No row matches." },
                Some(cells) => section.sheet aria-label="Row" {
                    (components::scroll("Values of the row, scrollable", &html! {
                        table.grid.record {
                            thead { tr { th scope="col" { "Column" } th scope="col" { "Value" } th scope="col" { "Meaning" } } }
                            tbody { @for (column, cell) in frame.table.columns.iter().zip(cells) { tr {
                                th scope="row" {
                                    a href=(format!("{}/columns/{}", frame.path, encoded(&column.name))) { (column_title(&frame.view, &column.name)) }
                                    br; code { (column.name) }
                                }
                                td.value {
                                    @match (shown_value(cell.as_deref(), column, &frame.view, None), cell) {
                                        (Some(shown), Some(raw)) => {
                                            (shown) @if let Some(unit) = frame.unit(&column.name) { " " (unit) }
                                            @if is_shortened(raw, &column.name, &frame.view) { br; code { (raw) } }
                                        },
                                        (None, Some(raw)) => { (raw) @if let Some(unit) = frame.unit(&column.name) { " " (unit) } },
                                        (_, None) => span.null { "missing" },
                                    }
                                }
                                td.meaning { (column.comment.as_deref().unwrap_or_default()) }
                            } } }
                        }
                    }))
                },
            }
            @if self.at > 0 || self.has_next {
                nav.pager aria-label="Rows" {
                    @if self.at > 0 { a rel="prev" href=(at(self.at - 1)) { "Previous row" } }
                    @if self.has_next && self.at < materia::tables::MAX_OFFSET { a rel="next" href=(at(self.at + 1)) { "Next row" } }
                }
            }
        }
    }
}
