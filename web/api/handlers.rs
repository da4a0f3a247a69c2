//! The calls of the API, one function each.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::Path,
    http::{HeaderName, HeaderValue, header},
    response::{IntoResponse, Response},
};
use materia::{
    dashboard::{self, Dashboard},
    download::DownloadFormat,
    reader::{QueryLimits, QueryResult, ReaderError},
    tables::{CursorError, PageBounds, ParameterError, TableLayout, TableQuery, TableQueryError},
};

use super::{
    Problem, ProblemDetails,
    request::ApiRequest,
    schema::{DashboardSummary, Generation, Table},
};
use crate::{
    components::generation_name,
    data::{self, Download, ExplorerParams},
    log::without_values,
};

/// Rows of a response to a call that does not say how many it wants.
const DEFAULT_LIMIT: u64 = 100;
/// How long it may take, once for each generation, to find out which columns are text.
const LAYOUT_TIMEOUT: Duration = Duration::from_mins(1);

type ApiResult = Result<Response, Problem>;

/// Every table with its columns, and how much of it the key's account sees.
#[utoipa::path(get, path = "/api/v1/tables", tag = "tables", responses(
    (status = 200, description = "The tables", body = [Table]),
    (status = "4XX", description = "A problem", body = ProblemDetails, content_type = "application/problem+json"),
    (status = "5XX", description = "A problem", body = ProblemDetails, content_type = "application/problem+json")))]
pub(crate) async fn tables(request: ApiRequest) -> ApiResult {
    request.require_no_params()?;
    let tables = request.visible_tables().await?;
    request.json(&tables.iter().map(Table::from).collect::<Vec<_>>())
}

/// One table with its columns.
#[utoipa::path(get, path = "/api/v1/tables/{table}", tag = "tables", params(("table" = String, Path, description = "The table's name")), responses(
    (status = 200, description = "The table", body = Table),
    (status = "4XX", description = "A problem", body = ProblemDetails, content_type = "application/problem+json"),
    (status = "5XX", description = "A problem", body = ProblemDetails, content_type = "application/problem+json")))]
pub(crate) async fn table(request: ApiRequest, Path(name): Path<String>) -> ApiResult {
    request.require_no_params()?;
    request.json(&Table::from(&request.visible_table(&name).await?))
}

/// `GET /api/v1/tables/{table}/rows`: a page of rows.
pub(crate) async fn rows(request: ApiRequest, Path(name): Path<String>) -> ApiResult {
    let format = request.format(true)?;
    let safe = request.is_safe_for_spreadsheets(format)?;
    let most = u64::from(request.client.entitlements.answer_rows);
    let bounds = PageBounds { default: DEFAULT_LIMIT.min(most), max: most };
    let mut parsed = request.parse_query(&name, bounds).await?;
    let generation = generation_name(request.pin.generation());
    let cursor = request.params.get("cursor").unwrap_or_default();
    let checked = parsed.query.check_page_start(&parsed.place, &request.pin, &generation).await;
    checked.map_err(|error| cursor_problem(error, cursor))?;
    let limits = QueryLimits { timeout: LAYOUT_TIMEOUT, ..QueryLimits::for_page() };
    let layout = format.map_or(TableLayout::Json, DownloadFormat::layout);
    parsed.query = parsed.query.with_layout(&request.pin, layout, limits).await?;
    let page = parsed.query.page(&parsed.place, parsed.limit);
    let result = request.pin.query(page, QueryLimits::for_page()).await?;
    // Only a full page may have another one after it.
    let is_full = result.rows as u64 == parsed.limit;
    let next = parsed.query.cursor(&result, &generation).filter(|_| is_full);
    let (rows, table, text_columns) =
        (result.rows, parsed.query.table.name.clone(), data::text_columns(&parsed.query));
    let body =
        tokio::task::spawn_blocking(move || encode(&result, &parsed.query, format, safe)).await;
    let body = body.map_err(Problem::internal)??;
    let kind = format.map_or("application/json", DownloadFormat::media_type);
    let mut response = ([(header::CONTENT_TYPE, kind)], body).into_response();
    let headers = response.headers_mut();
    headers.insert(HeaderName::from_static("x-materia-rows"), HeaderValue::from(rows));
    headers.extend(text_columns);
    if let Some(name) = format.and_then(|format| {
        HeaderValue::try_from(data::file_name(&table, request.pin.generation(), format)).ok()
    }) {
        headers.insert(header::CONTENT_DISPOSITION, name);
    }
    if let Some(cursor) = next.map(|cursor| cursor.encode()) {
        let link = format!("<{}>; rel=\"next\"", next_page(&request, &cursor));
        for (name, value) in
            [(header::LINK, link), (HeaderName::from_static("x-materia-cursor"), cursor)]
        {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(name, value);
            }
        }
    }
    Ok(request.with_headers(response))
}

fn cursor_problem(error: TableQueryError, cursor: &str) -> Problem {
    match error {
        TableQueryError::Cursor(error @ CursorError::Expired) => {
            Problem::expired_cursor(cursor, error.to_string())
        }
        TableQueryError::Cursor(error @ CursorError::Invalid) => {
            ParameterError::new("cursor", cursor, error.to_string()).into()
        }
        TableQueryError::Parameter(mistake) => mistake.into(),
        TableQueryError::Reader(error) => error.into(),
    }
}

/// Returns the address of the rows that follow.
fn next_page(request: &ApiRequest, cursor: &str) -> String {
    let others = request.params.0.iter().filter(|(name, _)| name != "offset" && name != "cursor");
    let mut params = ExplorerParams(others.cloned().collect());
    params.0.push(("cursor".to_owned(), cursor.to_owned()));
    params.url(&request.path)
}

fn encode(
    result: &QueryResult,
    query: &TableQuery,
    format: Option<DownloadFormat>,
    safe: bool,
) -> Result<Vec<u8>, Problem> {
    match format {
        None => data::json(result, query).map_err(Problem::internal),
        Some(format) => data::file(result, query, format, safe).map_err(Problem::internal),
    }
}

/// `GET /api/v1/tables/{table}/download`: all rows, as a file.
pub(crate) async fn download(request: ApiRequest, Path(name): Path<String>) -> ApiResult {
    let max_concurrent = request.client.entitlements.downloads_at_once;
    if max_concurrent == 0 {
        return Err(Problem::no_downloads());
    }
    for bound in ["limit", "offset", "cursor"] {
        if let Some(value) = request.params.get(bound) {
            let problem = "a download has all rows; request /rows for some of them";
            return Err(ParameterError::new(bound, value, problem).into());
        }
    }
    let format = request.format(false)?.unwrap_or(DownloadFormat::Csv);
    let safe = request.is_safe_for_spreadsheets(Some(format))?;
    let parsed = request.parse_query(&name, PageBounds { default: 1, max: 1 }).await?;
    let download = Download {
        pin: &request.pin,
        query: parsed.query,
        format,
        safe,
        account: &request.client.account.id,
        max_concurrent,
    };
    let response = download.respond(&request.app.downloads, &request.headers).await?;
    Ok(request.with_headers(response))
}

/// Every dashboard.
#[utoipa::path(get, path = "/api/v1/dashboards", tag = "dashboards", responses(
    (status = 200, description = "The dashboards", body = [DashboardSummary]),
    (status = "4XX", description = "A problem", body = ProblemDetails, content_type = "application/problem+json"),
    (status = "5XX", description = "A problem", body = ProblemDetails, content_type = "application/problem+json")))]
pub(crate) async fn dashboards(request: ApiRequest) -> ApiResult {
    request.require_no_params()?;
    request.require_unscoped("the list of dashboards")?;
    let plan = request.client.entitlements.visible_plan;
    let all = request.app.dashboards.current().dashboards.published(&request.pin).await?;
    let summary = |dashboard: &Arc<Dashboard>| DashboardSummary {
        slug: dashboard.slug.clone(),
        title: dashboard.title.clone(),
        description: dashboard.description.clone(),
        plan: dashboard.plan,
        locked: !plan.includes(dashboard.plan),
    };
    request.json(&all.iter().map(summary).collect::<Vec<_>>())
}

/// A dashboard's panels with their figures, as the pages draw them. The parameters are the
/// dashboard's own filters.
#[utoipa::path(get, path = "/api/v1/dashboards/{slug}", tag = "dashboards", params(("slug" = String, Path, description = "The dashboard's slug")), responses(
    (status = 200, description = "The dashboard: generation, filters and panels", body = Object),
    (status = "4XX", description = "A problem", body = ProblemDetails, content_type = "application/problem+json"),
    (status = "5XX", description = "A problem", body = ProblemDetails, content_type = "application/problem+json")))]
pub(crate) async fn dashboard(request: ApiRequest, Path(slug): Path<String>) -> ApiResult {
    request.require_unscoped("a dashboard")?;
    let plan = request.client.entitlements.visible_plan;
    let all = request.app.dashboards.current().dashboards.published(&request.pin).await?;
    let Some(found) = all.iter().find(|dashboard| dashboard.slug == slug) else {
        let slugs = all.iter().map(|dashboard| dashboard.slug.clone());
        return Err(Problem::no_dashboard(&slug, slugs));
    };
    let mut data = dashboard::evaluate(found, &request.pin, &request.params.0, plan).await;
    for panel in &mut data.panels {
        if let dashboard::Content::Failed { reason } = &mut panel.content {
            tracing::warn!(
                dashboard = slug,
                panel = panel.title,
                reason = without_values(reason),
                "a panel failed"
            );
            "This panel can't be shown right now.".clone_into(reason);
        }
    }
    if let Some(error @ ReaderError::StorageUnavailable { .. }) = request.pin.transient_error() {
        return Err(error.clone().into());
    }
    request.json(&data)
}

/// The generation that is being served.
#[utoipa::path(get, path = "/api/v1/generation", tag = "generation", responses(
    (status = 200, description = "The generation", body = Generation),
    (status = "4XX", description = "A problem", body = ProblemDetails, content_type = "application/problem+json"),
    (status = "5XX", description = "A problem", body = ProblemDetails, content_type = "application/problem+json")))]
pub(crate) async fn generation(request: ApiRequest) -> ApiResult {
    request.require_no_params()?;
    request.json(&Generation::from(request.pin.generation().as_ref()))
}
