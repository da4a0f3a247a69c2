//! `/tables/{name}`: rows; `/tables/{name}/download`: all of them, as a file.

use axum::{
    extract::{Path, RawQuery, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use materia::{
    dashboard::title_of,
    download::Format,
    reader::{Limits, Pin, ReaderError},
    tables::{Asked, Layout, Mistake, Place as From, access::Access},
};

use super::{Frame, RowsPage, asked, frame, locked, seen, state, view::Shown};
use crate::web::{
    accounts::entitlements,
    app::App,
    data::{self, Download, Refused, TableRows},
    error::WebError,
    page::{Page, Place},
    viewer::SignedIn,
};

/// `/tables/{name}`
pub(crate) async fn rows(
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
    let downloads = entitlements(plan).downloads_at_once > 0;
    let asked = match asked(&pin, &seen, &state).await? {
        Ok(asked) => asked,
        Err(mistake) => return Ok(mistaken(&title, frame(&seen, state, plan), &mistake, downloads)),
    };
    let shown = shown(&pin, &asked, downloads).await?;
    let view = RowsPage { frame: frame(&seen, state, plan), shown: Some(shown), problem: None, downloads };
    Ok(Page::new(title, Place::Tables, &view).shared(&pin))
}

/// The page without rows, saying what is wrong with its address.
fn mistaken(title: &str, frame: Frame, mistake: &Mistake, downloads: bool) -> Page {
    let problem = format!("{}={}: {}.", mistake.parameter, mistake.value, mistake.problem);
    let view = RowsPage { frame, shown: None, problem: Some(problem), downloads };
    Page::new(title, Place::Tables, &view).with_status(StatusCode::BAD_REQUEST)
}

async fn shown(pin: &Pin, asked: &Asked, downloads: bool) -> Result<Shown, ReaderError> {
    let query = &asked.query;
    let answer = pin.ask(query.page(&asked.place, asked.limit, Layout::Whole), Limits::page()).await?;
    // How many there are takes longer to find out than which come first, and is worth less.
    let total = match query.rows(pin, Limits::page()).await {
        Ok(total) => Some(total),
        Err(ReaderError::TimedOut { .. }) => None,
        Err(error) => return Err(error),
    };
    let sizes = match total.filter(|_| downloads) {
        Some(total) => data::sizes(pin, query, total).await?,
        None => Vec::new(),
    };
    let first = if let From::Offset(offset) = asked.place { offset } else { 0 };
    let (chosen, numeric) = (query.columns.clone(), answer.fields.iter().map(|field| field.data_type.is_numeric()).collect());
    let rows = TableRows::of(&answer, chosen.len());
    Ok(Shown { chosen, numeric, order: query.order.clone(), rows, first, full: answer.rows as u64 == asked.limit, total, sizes })
}

/// `/tables/{name}/download`
pub(crate) async fn download(
    app: State<App>,
    SignedIn(account): SignedIn,
    Path(name): Path<String>,
    query: RawQuery,
    headers: HeaderMap,
) -> Result<Response, WebError> {
    let (pin, plan) = (app.reader.pin()?, account.entitled());
    let seen = seen(&app, &pin, &name, plan).await?;
    let state = state(&query);
    if let Access::Locked(needed) = seen.access {
        return Ok(locked(&seen, state, plan, needed).into_response());
    }
    let at_once = entitlements(plan).downloads_at_once;
    if at_once == 0 {
        return Err(WebError::Forbidden);
    }
    let format = Format::named(state.get("format").unwrap_or("csv")).map_err(|problem| WebError::BadRequest(format!("{problem}.")))?;
    let safe = state.get("safe") == Some("true");
    let asked = asked(&pin, &seen, &state).await?.map_err(|mistake| WebError::BadRequest(format!("{mistake}.")))?;
    let download = Download { pin: &pin, query: asked.query, format, safe, account: &account.id, at_once };
    download.respond(&app.downloads, &headers).await.map_err(|refused| match refused {
        Refused::Reader(error) => error.into(),
        Refused::TooManyAtOnce(_) => WebError::TooMany { retry_after: std::time::Duration::from_secs(10) },
    })
}
