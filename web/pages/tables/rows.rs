//! `/tables/{name}`: rows; `/tables/{name}/download`: all of them as a file.

use axum::{
    extract::{Path, RawQuery, State},
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use materia::{
    download::DownloadFormat,
    reader::{Pin, QueryLimits, ReaderError},
    settings::is_public,
    tables::{
        PageStart as From, ParsedRequest, TableQuery, TypeClass,
        access::{Access, AccessibleTable},
    },
};

use super::{
    InvalidQuery, RowsPage, TableFrame, default_order, explorer_params, facets::facets, find_table,
    locked_page, parse_query, path, require_query, table_frame, table_title, views::RowsView,
};
use crate::{
    accounts::entitlements,
    app::AppState,
    data::{self, Download, DownloadRejection, TableRows},
    error::WebError,
    page::{NavItem, Page},
    pages::methodology,
    viewer::{SignedIn, VisiblePlan},
};

/// `/tables/{name}`
pub(crate) async fn rows(
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
    let downloads = entitlements(plan).downloads_at_once > 0;
    let mut parsed = match parse_query(&pin, &table, &state).await? {
        Ok(parsed) => parsed,
        Err(wrong) => {
            return Ok(invalid_query_page(table_frame(&table, state, plan), &wrong, downloads));
        }
    };
    // A cursor belongs to an order.
    if state.get("order").is_none() && matches!(parsed.place, From::Offset(_)) {
        parsed.query.order = default_order(&table);
    }
    let shown = load_rows(&pin, &parsed, downloads).await?;
    let values = suggestions(&pin, &parsed.query).await;
    let facets = facets(&pin, &parsed.query, &values).await;
    let key = row_key(&app, &table);
    let structured = dataset(&app, &pin, &table);
    let has_filters = !state.0.is_empty();
    let frame = table_frame(&table, state, plan);
    let title = frame.title.clone();
    let description = table.table.comment.clone();
    let view =
        RowsPage { frame, shown: Some(shown), values, facets, key, problem: None, downloads };
    let mut page = Page::new(title, NavItem::Tables, &view).cacheable(&pin);
    if let Some(description) = description {
        page = page.with_description(format!("{description}."));
    }
    Ok(if has_filters { page } else { page.with_structured(&structured) })
}

/// Suggested values of one column.
const SUGGESTIONS: usize = 30;

/// Returns values that filters can be compared with, of each column with texts. They do not depend
/// on the filters, so that they are queried once per generation.
async fn suggestions(pin: &Pin, query: &TableQuery) -> Vec<(usize, Vec<String>)> {
    let all = TableQuery { filters: Vec::new(), order: Vec::new(), ..query.clone() };
    let columns = query.table.columns.iter().enumerate().filter(|(_, column)| {
        matches!(TypeClass::of(&column.data_type), TypeClass::Text | TypeClass::Label)
    });
    let found = columns.map(|(at, _)| {
        let one = TableQuery { columns: vec![at], ..all.clone() };
        async move {
            // Without them, values are typed.
            let answer = pin.query(one.suggestions(SUGGESTIONS), QueryLimits::for_page()).await;
            let rows = answer.map(|answer| TableRows::of(&answer, 1).cells).unwrap_or_default();
            (at, rows.into_iter().flatten().flatten().collect())
        }
    });
    futures_util::future::join_all(found).await
}

/// Returns the columns that identify a row for good, if the export's settings name some that
/// customers see.
fn row_key(app: &AppState, table: &AccessibleTable) -> Option<Vec<usize>> {
    let export = app.settings.export.tables.get(&table.table.name)?;
    let at = |name: &String| table.table.columns.iter().position(|column| column.name == *name);
    export.unique.list().into_iter().find_map(|key| {
        let key: Option<Vec<usize>> = key.iter().map(at).collect();
        // Approximate numbers are not the same as their texts.
        key.filter(|key| {
            let is_exact = |at: &usize| {
                !matches!(
                    TypeClass::of(&table.table.columns[*at].data_type),
                    TypeClass::Float { .. } | TypeClass::Other
                )
            };
            !key.is_empty() && key.iter().all(is_exact)
        })
    })
}

/// Describes a table to search engines for data.
fn dataset(app: &AppState, pin: &Pin, table: &AccessibleTable) -> serde_json::Value {
    let mut structured = methodology::dataset(
        app,
        pin,
        &table.table,
        &table_title(table),
        &path(&table.table),
        &app.settings.brand.sources,
    );
    structured["@context"] = "https://schema.org".into();
    structured["isAccessibleForFree"] = is_public(&app.settings.tables, &table.table.name).into();
    structured
}

/// Returns a page without rows that explains the error in the parameters.
fn invalid_query_page(frame: TableFrame, wrong: &InvalidQuery, downloads: bool) -> Page {
    let mistake = &wrong.mistake;
    let problem = format!("{}={}: {}.", mistake.parameter, mistake.value, mistake.problem);
    let title = frame.title.clone();
    let view = RowsPage {
        frame,
        shown: None,
        problem: Some(problem),
        downloads,
        values: Vec::new(),
        facets: Vec::new(),
        key: None,
    };
    Page::new(title, NavItem::Tables, &view).with_status(wrong.status)
}

async fn load_rows(
    pin: &Pin,
    parsed: &ParsedRequest,
    downloads: bool,
) -> Result<RowsView, ReaderError> {
    let query = &parsed.query;
    let answer =
        pin.query(query.page(&parsed.place, parsed.limit), QueryLimits::for_page()).await?;
    // Counting may take longer than finding the first rows, and matters less.
    let total = match query.rows(pin, QueryLimits::for_page()).await {
        Ok(total) => Some(total),
        Err(ReaderError::TimedOut { .. }) => None,
        Err(error) => return Err(error),
    };
    let sizes = match total.filter(|_| downloads) {
        Some(total) => {
            // Sorting would not change an estimate.
            let sample = TableQuery { order: Vec::new(), ..query.clone() };
            data::estimate_sizes(pin, &sample, total).await?
        }
        None => Vec::new(),
    };
    let first = if let From::Offset(offset) = parsed.place { offset } else { 0 };
    let (chosen, numeric) = (
        query.columns.clone(),
        answer.fields.iter().map(|field| field.data_type.is_numeric()).collect(),
    );
    let rows = TableRows::of(&answer, chosen.len());
    Ok(RowsView {
        chosen,
        numeric,
        order: query.order.clone(),
        rows,
        first,
        full: answer.rows as u64 == parsed.limit,
        total,
        sizes,
    })
}

/// `/tables/{name}/download`
pub(crate) async fn download(
    app: State<AppState>,
    SignedIn(account): SignedIn,
    Path(name): Path<String>,
    query: RawQuery,
    headers: HeaderMap,
) -> Result<Response, WebError> {
    let (pin, plan) = (app.reader.pin()?, account.effective_plan());
    let table = find_table(&app, &pin, &name, plan).await?;
    let state = explorer_params(&query);
    if let Access::Locked(needed) = table.access {
        return Ok(locked_page(&table, state, plan, needed).into_response());
    }
    let max_concurrent = entitlements(plan).downloads_at_once;
    if max_concurrent == 0 {
        return Err(WebError::Forbidden);
    }
    let format = DownloadFormat::named(state.get("format").unwrap_or("csv"))
        .map_err(|problem| WebError::BadRequest(format!("{problem}.")))?;
    let safe = state.get("safe") == Some("true");
    let parsed = require_query(&pin, &table, &state).await?;
    let download = Download {
        pin: &pin,
        query: parsed.query,
        format,
        safe,
        account: &account.id,
        max_concurrent,
    };
    download.respond(&app.downloads, &headers).await.map_err(|refused| match refused {
        DownloadRejection::Reader(error) => error.into(),
        DownloadRejection::TooManyAtOnce(_) => {
            WebError::RateLimited { retry_after: std::time::Duration::from_secs(10) }
        }
    })
}
