//! The calls, one function each.

use axum::{
    Extension,
    extract::{Path, RawQuery, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use materia::{
    dashboard,
    download::Format,
    reader::{Limits, Pin, ReaderError},
    tables::{
        Asked, Bounds, CursorError, Layout, Mistake, Place, TableQuery,
        access::{self, Access, Seen},
    },
};
use serde::Serialize;

use super::{
    Document, Problem,
    answers::{DashboardLine, Generation, Table},
};
use crate::web::{
    accounts::Caller,
    app::App,
    cache::revalidates,
    data::{self, Download, State as Parameters},
    parts::generation_name,
};

/// Rows of an answer that does not say how many it wants.
const USUAL: u64 = 100;
/// The name of the format that is an answer and no file.
const JSON: &str = "json";

/// A call: who makes it, on which generation, and what the answer will be called.
struct Call<'a> {
    app: &'a App,
    caller: &'a Caller,
    pin: Pin,
    etag: String,
}

impl<'a> Call<'a> {
    /// Begins a call; ends it at once where the caller has the answer already, which costs no question.
    fn begin(app: &'a App, caller: &'a Caller, uri: &Uri, headers: &HeaderMap) -> Result<Self, Box<Answer>> {
        let pin = app.reader.pin().map_err(|error| Box::new(Err(error.into())))?;
        let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
        let target = uri.path_and_query().map(ToString::to_string).unwrap_or_default();
        let scope = format!("{:?} {:?}", caller.entitled, caller.key.tables);
        let etag = data::tag(pin.generation(), &["api", &app.boards.now().name, &scope, &target, accept], false);
        let call = Self { app, caller, pin, etag };
        let known = HeaderValue::try_from(call.etag.as_str()).is_ok_and(|etag| revalidates(headers, &etag));
        if known { Err(Box::new(Ok(call.head(StatusCode::NOT_MODIFIED.into_response())))) } else { Ok(call) }
    }

    /// The headers that every answer has.
    fn head(&self, mut response: Response) -> Response {
        let generation = generation_name(self.pin.generation());
        let headers = response.headers_mut();
        for (name, value) in [
            (header::ETAG, self.etag.as_str()),
            (HeaderName::from_static("x-materia-generation"), generation.as_str()),
            (header::CACHE_CONTROL, "private, no-cache"),
            (header::VARY, "accept, authorization"),
        ] {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.entry(name).or_insert(value);
            }
        }
        response
    }

    fn json(&self, answer: &impl Serialize) -> Result<Response, Problem> {
        let body = serde_json::to_vec(answer).map_err(Problem::internal)?;
        Ok(self.head(([(header::CONTENT_TYPE, "application/json")], body).into_response()))
    }

    async fn seen(&self, name: &str) -> Result<Seen, Problem> {
        let opens = self.caller.entitled.opens;
        let rules = &self.app.settings.tables;
        let Some(seen) = access::table(&self.pin, rules, name, opens).await? else {
            let known = self.pin.catalog().await?.tables.into_iter().map(|table| table.name).filter(|name| self.caller.opens(name));
            return Err(Problem::no_table(name, known));
        };
        if self.caller.opens(name) { Ok(seen) } else { Err(Problem::scope(&format!("the table {name}"))) }
    }

    /// The question that parameters ask of a table.
    async fn asked(&self, name: &str, parameters: &Parameters, bounds: Bounds) -> Result<Asked, Problem> {
        let seen = self.seen(name).await?;
        if let Access::Locked(plan) = seen.access {
            return Err(Problem::locked(name, plan));
        }
        let mut asked = Asked::parse(&seen.table, &parameters.0, bounds)?;
        asked.query.since = seen.access.since();
        asked.query.check(&self.pin).await?;
        Ok(asked)
    }

    /// The whole of an answer is for all tables, or it is not for this key.
    fn unscoped(&self, what: &str) -> Result<(), Problem> {
        if self.caller.key.tables.is_some() { Err(Problem::scope(what)) } else { Ok(()) }
    }
}

/// Runs a call, or gives what ended it before it began.
macro_rules! begin {
    ($app:expr, $caller:expr, $uri:expr, $headers:expr) => {
        match Call::begin($app, $caller, $uri, $headers) {
            Ok(call) => call,
            Err(ended) => return *ended,
        }
    };
}

type Answer = Result<Response, Problem>;

/// Every table with its columns, and how much of it the key's account sees.
#[utoipa::path(get, path = "/api/v1/tables", tag = "tables", responses(
    (status = 200, description = "The tables", body = [Table]),
    (status = "4XX", description = "A problem", body = Document, content_type = "application/problem+json"),
    (status = "5XX", description = "A problem", body = Document, content_type = "application/problem+json")))]
pub(crate) async fn tables(State(app): State<App>, Extension(caller): Extension<Caller>, uri: Uri, headers: HeaderMap) -> Answer {
    let call = begin!(&app, &caller, &uri, &headers);
    no_parameters(&uri)?;
    let seen = access::tables(&call.pin, &app.settings.tables, caller.entitled.opens).await?;
    let list: Vec<Table> = seen.iter().filter(|seen| caller.opens(&seen.table.name)).map(Table::from).collect();
    call.json(&list)
}

/// One table with its columns.
#[utoipa::path(get, path = "/api/v1/tables/{table}", tag = "tables", params(("table" = String, Path, description = "The table's name")), responses(
    (status = 200, description = "The table", body = Table),
    (status = "4XX", description = "A problem", body = Document, content_type = "application/problem+json"),
    (status = "5XX", description = "A problem", body = Document, content_type = "application/problem+json")))]
pub(crate) async fn table(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Answer {
    let call = begin!(&app, &caller, &uri, &headers);
    no_parameters(&uri)?;
    call.json(&Table::from(&call.seen(&name).await?))
}

/// `GET /api/v1/tables/{table}/rows`: an answer of a bounded size.
pub(crate) async fn rows(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    uri: Uri,
    headers: HeaderMap,
) -> Answer {
    let call = begin!(&app, &caller, &uri, &headers);
    let parameters = Parameters::parse(query.as_deref().unwrap_or_default());
    let format = format(&parameters, &headers, true)?;
    let safe = safe(&parameters, format)?;
    let most = u64::from(caller.entitled.answer_rows);
    let asked = call.asked(&name, &parameters, Bounds { usual: USUAL.min(most), most }).await?;
    let generation = generation_name(call.pin.generation());
    if let Place::After(cursor) = &asked.place {
        let text = parameters.get("cursor").unwrap_or_default();
        asked.query.check_cursor(cursor, &generation).map_err(|error| match error {
            CursorError::Expired => Problem::expired_cursor(text, error.to_string()),
            CursorError::Foreign => Mistake::new("cursor", text, error.to_string()).into(),
        })?;
    }
    let layout = format.map_or(Layout::Whole, Format::layout);
    let answer = call.pin.ask(asked.query.page(&asked.place, asked.limit, layout), Limits::page()).await?;
    // A page that is full may have another one behind it.
    let next = asked.query.cursor(&answer, &generation).filter(|_| answer.rows as u64 == asked.limit);
    let (rows, table) = (answer.rows, asked.query.table.name.clone());
    let written = tokio::task::spawn_blocking(move || written(&answer, &asked.query, format, safe)).await;
    let body = written.map_err(Problem::internal)??;
    let kind = format.map_or("application/json", Format::media_type);
    let mut response = ([(header::CONTENT_TYPE, kind)], body).into_response();
    let head = response.headers_mut();
    head.insert(HeaderName::from_static("x-materia-rows"), HeaderValue::from(rows));
    if let Some(name) = format.and_then(|format| HeaderValue::try_from(data::file_name(&table, call.pin.generation(), format)).ok()) {
        head.insert(header::CONTENT_DISPOSITION, name);
    }
    if let Some(cursor) = next.map(|cursor| cursor.encode()) {
        let mut behind = Parameters(parameters.0.iter().filter(|(name, _)| name != "offset" && name != "cursor").cloned().collect());
        behind.0.push(("cursor".to_owned(), cursor.clone()));
        let link = format!("<{}>; rel=\"next\"", behind.address(uri.path()));
        for (name, value) in [(header::LINK, link), (HeaderName::from_static("x-materia-cursor"), cursor)] {
            if let Ok(value) = HeaderValue::try_from(value) {
                head.insert(name, value);
            }
        }
    }
    Ok(call.head(response))
}

fn written(answer: &materia::reader::Answer, query: &TableQuery, format: Option<Format>, safe: bool) -> Result<Vec<u8>, Problem> {
    match format {
        None => data::json(answer, query).map_err(Problem::internal),
        Some(format) => data::file(answer, query, format, safe).map_err(Problem::internal),
    }
}

/// `GET /api/v1/tables/{table}/download`: all rows, as a file.
pub(crate) async fn download(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    uri: Uri,
    headers: HeaderMap,
) -> Answer {
    let call = begin!(&app, &caller, &uri, &headers);
    if caller.entitled.downloads_at_once == 0 {
        return Err(Problem::no_downloads());
    }
    let parameters = Parameters::parse(query.as_deref().unwrap_or_default());
    for bound in ["limit", "offset", "cursor"] {
        if let Some(value) = parameters.get(bound) {
            return Err(Mistake::new(bound, value, "a download has all rows; for some of them ask for /rows").into());
        }
    }
    let format = format(&parameters, &headers, false)?.unwrap_or(Format::Csv);
    let safe = safe(&parameters, Some(format))?;
    let asked = call.asked(&name, &parameters, Bounds { usual: 1, most: 1 }).await?;
    let download = Download {
        pin: &call.pin,
        query: asked.query,
        format,
        safe,
        account: &caller.account.id,
        at_once: caller.entitled.downloads_at_once,
    };
    Ok(call.head(download.respond(&app.downloads, &headers).await?))
}

/// Every dashboard.
#[utoipa::path(get, path = "/api/v1/dashboards", tag = "dashboards", responses(
    (status = 200, description = "The dashboards", body = [DashboardLine]),
    (status = "4XX", description = "A problem", body = Document, content_type = "application/problem+json"),
    (status = "5XX", description = "A problem", body = Document, content_type = "application/problem+json")))]
pub(crate) async fn dashboards(State(app): State<App>, Extension(caller): Extension<Caller>, uri: Uri, headers: HeaderMap) -> Answer {
    let call = begin!(&app, &caller, &uri, &headers);
    no_parameters(&uri)?;
    call.unscoped("the list of dashboards")?;
    let all = app.boards.now().dashboards.all(&call.pin).await?;
    let line = |dashboard: &std::sync::Arc<dashboard::Dashboard>| DashboardLine {
        slug: dashboard.slug.clone(),
        title: dashboard.title.clone(),
        description: dashboard.description.clone(),
        plan: dashboard.plan,
        locked: !caller.entitled.opens.includes(dashboard.plan),
    };
    call.json(&all.iter().map(line).collect::<Vec<_>>())
}

/// A dashboard's panels with their figures, as the pages draw them. The parameters are the dashboard's own filters.
#[utoipa::path(get, path = "/api/v1/dashboards/{slug}", tag = "dashboards", params(("slug" = String, Path, description = "The dashboard's slug")), responses(
    (status = 200, description = "The dashboard: generation, filters and panels", body = Object),
    (status = "4XX", description = "A problem", body = Document, content_type = "application/problem+json"),
    (status = "5XX", description = "A problem", body = Document, content_type = "application/problem+json")))]
pub(crate) async fn dashboard(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(slug): Path<String>,
    RawQuery(query): RawQuery,
    uri: Uri,
    headers: HeaderMap,
) -> Answer {
    let call = begin!(&app, &caller, &uri, &headers);
    call.unscoped("a dashboard")?;
    let all = app.boards.now().dashboards.all(&call.pin).await?;
    let Some(found) = all.iter().find(|dashboard| dashboard.slug == slug) else {
        return Err(Problem::no_dashboard(&slug, all.iter().map(|dashboard| dashboard.slug.clone())));
    };
    let parameters = Parameters::parse(query.as_deref().unwrap_or_default());
    let mut data = dashboard::answer(found, &call.pin, &parameters.0, caller.entitled.opens).await;
    for panel in &mut data.panels {
        if let dashboard::Content::Failed { reason } = &mut panel.content {
            tracing::warn!(dashboard = slug, panel = panel.title, reason, "a panel failed");
            "It cannot be answered right now.".clone_into(reason);
        }
    }
    if let Some(error @ ReaderError::Away { .. }) = call.pin.trouble() {
        return Err(error.clone().into());
    }
    call.json(&data)
}

/// What is being served.
#[utoipa::path(get, path = "/api/v1/generation", tag = "generation", responses(
    (status = 200, description = "The generation", body = Generation),
    (status = "4XX", description = "A problem", body = Document, content_type = "application/problem+json"),
    (status = "5XX", description = "A problem", body = Document, content_type = "application/problem+json")))]
pub(crate) async fn generation(State(app): State<App>, Extension(caller): Extension<Caller>, uri: Uri, headers: HeaderMap) -> Answer {
    let call = begin!(&app, &caller, &uri, &headers);
    no_parameters(&uri)?;
    call.json(&Generation::from(call.pin.generation().as_ref()))
}

fn no_parameters(uri: &Uri) -> Result<(), Problem> {
    match Parameters::parse(uri.query().unwrap_or_default()).0.first() {
        Some((name, value)) => Err(Mistake::new(name, value, "this call takes no parameters").into()),
        None => Ok(()),
    }
}

/// The format that is asked for, by name or else by `Accept`; nothing is JSON.
fn format(parameters: &Parameters, headers: &HeaderMap, json: bool) -> Result<Option<Format>, Problem> {
    let names = || json.then_some(JSON).into_iter().chain(Format::ALL.map(Format::name)).map(str::to_owned);
    if let Some(name) = parameters.get("format") {
        if json && name == JSON {
            return Ok(None);
        }
        return Format::named(name).map(Some).map_err(|problem| Mistake::new("format", name, problem).allowed(names()).into());
    }
    let accept = headers.get(header::ACCEPT).map_or(Ok("*/*"), HeaderValue::to_str).unwrap_or("*/*");
    let mut offers: Vec<(f32, &str)> = accept
        .split(',')
        .map(|one| {
            let mut parts = one.split(';').map(str::trim);
            let media = parts.next().unwrap_or_default();
            (parts.find_map(|part| part.strip_prefix("q=")).and_then(|q| q.parse().ok()).unwrap_or(1.0), media)
        })
        .filter(|(quality, _)| *quality > 0.0)
        .collect();
    offers.sort_by(|one, other| other.0.total_cmp(&one.0));
    let known = |media: &str| match media.to_ascii_lowercase().as_str() {
        "*/*" | "application/*" | "" => Some(None),
        "application/json" if json => Some(None),
        "text/*" => Some(Some(Format::Csv)),
        "application/jsonl" | "application/jsonlines" => Some(Some(Format::JsonLines)),
        media => Format::ALL.into_iter().find(|format| format.media_type().split(';').next() == Some(media)).map(Some),
    };
    let media =
        || names().filter(|name| *name != JSON).filter_map(|name| Format::named(&name).ok()).map(|format| format.media_type().to_owned());
    offers
        .iter()
        .find_map(|(_, media)| known(media))
        .ok_or_else(|| Problem::format(accept, media().chain(json.then(|| "application/json".to_owned()))))
}

/// `safe=true`, for CSV.
fn safe(parameters: &Parameters, format: Option<Format>) -> Result<bool, Problem> {
    match parameters.get("safe") {
        None | Some("false") => Ok(false),
        Some("true") if format == Some(Format::Csv) => Ok(true),
        Some("true") => Err(Mistake::new("safe", "true", "only CSV needs to be made safe for spreadsheets").into()),
        Some(other) => Err(Mistake::new("safe", other, "it is neither true nor false").allowed(["true", "false"]).into()),
    }
}
