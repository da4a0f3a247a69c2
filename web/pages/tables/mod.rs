//! The explorer: `/tables` and the pages below it. The URL contains its state.

mod apply_form;
mod column;
mod columns;
mod facets;
mod list;
mod row;
mod rows;
mod titles;
mod views;

use std::sync::Arc;

use axum::{extract::RawQuery, http::StatusCode};
use materia::{
    dashboard::time_column,
    plan::Plan,
    reader::{Pin, ReaderError, TableInfo},
    tables::{
        CursorError, Order, PageBounds, ParameterError, ParsedRequest, TableQueryError,
        access::{self, Access, AccessibleTable},
        quoted,
    },
};

pub(crate) use self::{
    apply_form::apply_form,
    column::column,
    columns::columns,
    list::list,
    row::row,
    rows::{download, rows},
    titles::{column_title, table_title},
    views::{LockedPage, RowsPage, TableFrame},
};
#[cfg(test)]
pub(crate) use self::{facets::Facet, list::TablesPage, views::RowsView};
use crate::{
    app::AppState,
    components,
    data::ExplorerParams,
    error::WebError,
    page::{NavItem, Page},
};

const ROWS_PER_PAGE: u64 = 50;

/// Returns a table as the viewer's plan sees it.
async fn find_table(
    app: &AppState,
    pin: &Pin,
    name: &str,
    plan: Plan,
) -> Result<AccessibleTable, WebError> {
    access::table(pin, &app.settings.tables, name, plan).await?.ok_or(WebError::NotFound)
}

/// An invalid query and the status of the response.
struct InvalidQuery {
    mistake: ParameterError,
    status: StatusCode,
}

/// Parses the parameters as a query of a table.
///
/// # Errors
/// Every mistake in the parameters, as status 400.
async fn require_query(
    pin: &Pin,
    table: &AccessibleTable,
    state: &ExplorerParams,
) -> Result<ParsedRequest, WebError> {
    let parsed = parse_query(pin, table, state).await?;
    parsed.map_err(|wrong| WebError::BadRequest(format!("{}.", wrong.mistake)))
}

/// Parses the parameters as a query of a table.
async fn parse_query(
    pin: &Pin,
    table: &AccessibleTable,
    state: &ExplorerParams,
) -> Result<Result<ParsedRequest, InvalidQuery>, ReaderError> {
    let invalid = |mistake| Ok(Err(InvalidQuery { mistake, status: StatusCode::BAD_REQUEST }));
    let params = ExplorerParams(
        state.0.iter().filter(|(name, _)| name != "format" && name != "safe").cloned().collect(),
    );
    let mut parsed = match ParsedRequest::parse(
        &table.table,
        &params.0,
        PageBounds { default: ROWS_PER_PAGE, max: ROWS_PER_PAGE },
    ) {
        Ok(parsed) => parsed,
        Err(mistake) => return invalid(mistake),
    };
    parsed.query.since = table.access.since();
    let checked = match parsed.query.check(pin).await {
        Ok(()) => {
            parsed
                .query
                .check_page_start(
                    &parsed.place,
                    pin,
                    &components::generation_name(pin.generation()),
                )
                .await
        }
        Err(error) => Err(error),
    };
    match checked {
        Ok(()) => Ok(Ok(parsed)),
        Err(TableQueryError::Parameter(mistake)) => invalid(mistake),
        Err(TableQueryError::Cursor(error)) => {
            let mistake = ParameterError::new(
                "cursor",
                state.get("cursor").unwrap_or_default(),
                error.to_string(),
            );
            let status = if error == CursorError::Expired {
                StatusCode::GONE
            } else {
                StatusCode::BAD_REQUEST
            };
            Ok(Err(InvalidQuery { mistake, status }))
        }
        Err(TableQueryError::Reader(error)) => Err(error),
    }
}

/// Returns the order of rows when the address says none: what the settings say, else the newest
/// first.
fn default_order(table: &AccessibleTable) -> Vec<Order> {
    let parse = |order: &str| {
        let params = [("order".to_owned(), order.to_owned())];
        let bounds = PageBounds { default: ROWS_PER_PAGE, max: ROWS_PER_PAGE };
        ParsedRequest::parse(&table.table, &params, bounds).map(|parsed| parsed.query.order)
    };
    if let Some(Ok(order)) = table.view.sort.as_deref().map(parse) {
        return order;
    }
    let newest =
        time_column(&table.table).map(|date| parse(&format!("{}.desc", quoted(&date.name))));
    newest.and_then(Result::ok).unwrap_or_default()
}

/// Returns a sentence about the rows that the plan does not include.
fn access_note(access: Access, plan: Plan) -> Option<String> {
    match access {
        Access::RecentYears { years, .. } => {
            Some(format!("The {plan} plan shows the last {years} years"))
        }
        Access::All | Access::Locked(_) => None,
    }
}

fn explorer_params(query: &RawQuery) -> ExplorerParams {
    ExplorerParams::parse(query.0.as_deref().unwrap_or_default())
}

/// Returns the address of a table's page.
pub(super) fn path(table: &TableInfo) -> String {
    format!("/tables/{}", encoded(&table.name))
}

/// Encodes a name as a part of a path.
pub(super) fn encoded(name: &str) -> String {
    url::form_urlencoded::byte_serialize(name.as_bytes()).collect::<String>().replace('+', "%20")
}

/// Returns the page for a table that a larger plan includes.
fn locked_page(table: &AccessibleTable, state: ExplorerParams, plan: Plan, needed: Plan) -> Page {
    let view = LockedPage { frame: table_frame(table, state, plan), plan: needed };
    Page::new(table_title(table), NavItem::Tables, &view).with_status(StatusCode::FORBIDDEN)
}

/// Returns what all pages about a table share.
fn table_frame(table: &AccessibleTable, state: ExplorerParams, plan: Plan) -> TableFrame {
    TableFrame {
        title: table_title(table),
        table: Arc::clone(&table.table),
        view: Arc::clone(&table.view),
        path: path(&table.table),
        access_note: access_note(table.access, plan),
        state,
    }
}
