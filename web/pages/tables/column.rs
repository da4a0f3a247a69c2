//! `/tables/{name}/columns/{column}`: what one column contains, as figures and charts.

use axum::extract::{Path, RawQuery, State};
use materia::{
    dashboard::{self, PanelData},
    humanize,
    reader::{ColumnInfo, ColumnSummary},
    tables::access::Access,
};
use maud::{Markup, html};

use super::{
    TableFrame, column_title,
    columns::{bound, common_list, distinct},
    explorer_params, find_table, locked_page, require_query, table_frame,
};
use crate::{
    app::AppState,
    components,
    data::{self, ValueCount},
    error::WebError,
    page::{NavItem, Page, View},
    viewer::VisiblePlan,
};

/// One column.
pub(crate) struct ColumnPage {
    pub(crate) frame: TableFrame,
    pub(crate) column: ColumnInfo,
    pub(crate) summary: Option<ColumnSummary>,
    /// Whether distinct values are counted rather than estimated.
    pub(crate) is_counted: bool,
    pub(crate) common: Vec<ValueCount>,
    /// Over time, and the distribution.
    pub(crate) charts: Vec<PanelData>,
}

/// `GET /tables/{name}/columns/{column}`
pub(crate) async fn column(
    app: State<AppState>,
    VisiblePlan(plan): VisiblePlan,
    Path((name, column)): Path<(String, String)>,
    query: RawQuery,
) -> Result<Page, WebError> {
    let pin = app.reader.pin()?;
    let table = find_table(&app, &pin, &name, plan).await?;
    let state = explorer_params(&query);
    if let Access::Locked(needed) = table.access {
        return Ok(locked_page(&table, state, plan, needed));
    }
    let at = table.table.columns.iter().position(|known| known.name == column);
    let at = at.ok_or(WebError::NotFound)?;
    let mut parsed = require_query(&pin, &table, &state).await?;
    parsed.query.columns = vec![at];
    let query = &parsed.query;
    let mut summaries = data::summary(&pin, query).await;
    let common = data::common_values(&pin, query, &summaries).await;
    let info = table.table.columns[at].clone();
    // A chart that takes too long is left out; the figures matter more.
    let over_time = dashboard::development_panel(&pin, query, at, &table.view).await;
    let distribution = dashboard::distribution(&pin, query, at).await;
    // One value has no distribution.
    let distribution = distribution.ok().flatten().filter(|found| found.counts.len() > 1);
    let distribution =
        distribution.and_then(|found| dashboard::distribution_panel(&found, &info, &table.view));
    let frame = table_frame(&table, state, plan);
    let title = format!("{} · {}", column_title(&table.view, &info.name), frame.title);
    let view = ColumnPage {
        is_counted: query.counts_distinct(),
        summary: summaries.pop().flatten(),
        common: common.into_iter().next().unwrap_or_default(),
        charts: over_time.ok().flatten().into_iter().chain(distribution).collect(),
        column: info,
        frame,
    };
    Ok(Page::new(title, NavItem::Tables, &view).unlisted().cacheable(&pin))
}

impl View for ColumnPage {
    fn render(&self) -> Markup {
        let column = &self.column;
        html! {
            (self.frame.head("columns"))
            section.sheet aria-labelledby="column-name" {
                h2 #column-name { (column_title(&self.frame.view, &column.name)) }
                p.note { code { (column.name) } " · " code { (column.data_type) } @if let Some(unit) = self.frame.unit(&column.name) { " · " (unit) } }
                @if let Some(comment) = &column.comment { p { (comment) } }
                @match &self.summary {
                    Some(summary) => dl.facts {
                        div { dt { "Min" } dd { (bound(&self.frame, column, summary.min.as_deref())) } }
                        div { dt { "Max" } dd { (bound(&self.frame, column, summary.max.as_deref())) } }
                        div { dt { "Distinct" } dd { (distinct(summary.approx_distinct, self.is_counted)) } }
                        div { dt { "Missing" } dd { (humanize::count(summary.nulls)) } }
                    },
                    None => p.note { "The summary is not available: the query timed out." },
                }
                @if !self.common.is_empty() { h3 { "Most common" } }
                (common_list(&self.frame, &column.name, &self.common))
                p.note { "Calculated over the rows that match your filters." }
            }
            @if !self.charts.is_empty() {
                div.panels.two {
                    @for (at, chart) in self.charts.iter().enumerate() { (components::panel(&format!("chart-{}", at + 1), chart)) }
                }
            }
        }
    }
}
