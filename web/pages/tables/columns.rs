//! `/tables/{name}/columns`: the meaning and a summary of each column.

use axum::extract::{Path, RawQuery, State};
use futures_util::future::join_all;
use materia::{
    dashboard::{self, Distribution},
    humanize,
    reader::{ColumnInfo, ColumnSummary},
    tables::access::Access,
};
use maud::{Markup, html};

use super::{
    TableFrame, column_title, encoded, explorer_params, find_table, locked_page, require_query,
    table_frame, views::shown_value,
};
use crate::{
    app::AppState,
    components,
    data::{self, ValueCount},
    error::WebError,
    page::{NavItem, Page, View},
    viewer::VisiblePlan,
};

/// The data dictionary, with a summary of each column of the filtered rows.
struct Columns {
    frame: TableFrame,
    summaries: Vec<Option<ColumnSummary>>,
    /// The most common values of columns with few distinct ones.
    common: Vec<Vec<ValueCount>>,
    /// How the values of numbers and dates are distributed.
    distributions: Vec<Option<Distribution>>,
    /// Whether distinct values are counted rather than estimated.
    is_counted: bool,
}

pub(crate) async fn columns(
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
    let summaries = data::summary(&pin, &parsed.query).await;
    let common = data::common_values(&pin, &parsed.query, &summaries).await;
    let query = &parsed.query;
    let found = query.columns.iter().map(|at| dashboard::distribution(&pin, query, *at));
    // What takes too long is left out.
    let distributions =
        join_all(found).await.into_iter().map(|found| found.ok().flatten()).collect();
    let is_counted = query.counts_distinct();
    let frame = table_frame(&table, state, plan);
    let title = format!("Columns · {}", frame.title);
    let view = Columns { frame, summaries, common, distributions, is_counted };
    Ok(Page::new(title, NavItem::Tables, &view).unlisted().cacheable(&pin))
}

impl View for Columns {
    fn render(&self) -> Markup {
        let columns = self
            .frame
            .table
            .columns
            .iter()
            .zip(&self.summaries)
            .zip(&self.common)
            .zip(&self.distributions);
        html! {
            (self.frame.head("columns"))
            section.sheet aria-label="Columns" {
                (components::scroll("Columns, scrollable", &html! {
                    table.grid {
                        thead { tr {
                            th scope="col" { "Column" } th scope="col" { "Meaning and unit" } th scope="col" { "Type" } th scope="col" { "Min" }
                            th scope="col" { "Max" } th.right scope="col" { "Distinct" } th.right scope="col" { "Missing" } th scope="col" { "Distribution" }
                        } }
                        tbody { @for (((column, summary), common), distribution) in columns { tr id={ "column-" (column.name) } {
                            th scope="row" {
                                a href=(self.frame.state.at(0).url(&format!("{}/columns/{}", self.frame.path, encoded(&column.name)))) { (column_title(&self.frame.view, &column.name)) }
                                br; code { (column.name) }
                            }
                            td.meaning { (column.comment.as_deref().unwrap_or_default()) @if let Some(unit) = self.frame.unit(&column.name) { @if column.comment.is_some() { " " } span.badge { (unit) } } }
                            td { code { (column.data_type) } @if !column.nullable { " " span.badge { "required" } } }
                            @match summary {
                                Some(summary) => {
                                    td { (bound(&self.frame, column, summary.min.as_deref())) } td { (bound(&self.frame, column, summary.max.as_deref())) }
                                    td.right { (distinct(summary.approx_distinct, self.is_counted)) } td.right { (humanize::count(summary.nulls)) }
                                },
                                None => td colspan="4" { span.note { "not available: the query timed out" } },
                            }
                            td { (common_list(&self.frame, &column.name, common)) @if let Some(found) = distribution.as_ref().filter(|found| found.counts.len() > 1) { (bars(found)) } }
                        } } }
                    }
                }))
                p.note { "Calculated over the rows that match your filters." @if !self.is_counted { " Distinct values are estimated, usually within a few percent." } }
            }
        }
    }
}

/// Renders values with their numbers of rows, each with a link to its rows.
pub(super) fn common_list(frame: &TableFrame, column: &str, common: &[ValueCount]) -> Markup {
    html! {
        @if !common.is_empty() {
            (counted_list(common, |text, filter| html! {
                a href=(frame.state.with_filter(column, filter).url(&frame.path)) { (value(Some(text.unwrap_or("missing")))) }
            }))
        }
    }
}

/// Renders values with their numbers of rows as bars; `link` renders the link of a value, from its
/// text and the filter that selects its rows.
pub(super) fn counted_list(
    values: &[ValueCount],
    link: impl Fn(Option<&str>, &str) -> Markup,
) -> Markup {
    let most = values.iter().map(|(_, rows)| *rows).max().unwrap_or_default().max(1) as f64;
    html! {
        ul.common {
            @for (text, rows) in values {
                @let filter = text.as_ref().map_or_else(|| "is.null".to_owned(), |text| format!("eq.{text}"));
                li {
                    (link(text.as_deref(), &filter))
                    svg viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true" { rect width=(format!("{:.1}", *rows as f64 / most * 100.0)) height="6" {} }
                    span { (humanize::count(*rows)) }
                }
            }
        }
    }
}

/// Draws a distribution in a cell. It is decorative: the column's own page has the figures.
fn bars(found: &Distribution) -> Markup {
    let most = found.counts.iter().max().copied().unwrap_or_default().max(1) as f64;
    let width = 120.0 / found.counts.len().max(1) as f64;
    html! {
        svg.histogram viewBox="0 0 120 32" aria-hidden="true" {
            @for (at, count) in found.counts.iter().enumerate() {
                @let height = *count as f64 / most * 30.0;
                // A few rows among many are still visible.
                @let height = if *count > 0 { height.max(1.0) } else { 0.0 };
                rect x=(format!("{:.1}", at as f64 * width)) y=(format!("{:.1}", 32.0 - height)) width=(format!("{:.1}", (width - 1.0).max(0.5))) height=(format!("{height:.1}")) {}
            }
        }
    }
}

/// Says how many distinct values there are, and whether that is an estimate.
pub(super) fn distinct(number: u64, is_counted: bool) -> Markup {
    html! { @if !is_counted && number > 1 { span title="Estimated, usually within a few percent" { "about " (humanize::count(number)) } } @else { (humanize::count(number)) } }
}

/// Renders the smallest or largest value of a column, as people read it.
pub(super) fn bound(frame: &TableFrame, column: &ColumnInfo, text: Option<&str>) -> Markup {
    match shown_value(text, column, &frame.view, None).zip(text) {
        Some((shown, raw)) => html! { span title=(raw) { (shown) } },
        None => value(text),
    }
}

/// Shortens values that do not fit.
fn value(text: Option<&str>) -> Markup {
    const SHOWN: usize = 40;
    let Some(text) = text else { return html! { span.note { "–" } } };
    if text.chars().count() <= SHOWN {
        html! { (text) }
    } else {
        html! { span title=(text) { (text.chars().take(SHOWN).collect::<String>()) "…" } }
    }
}
