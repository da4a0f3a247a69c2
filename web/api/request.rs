//! The extractor shared by all calls of the API.

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header, request::Parts},
    response::{IntoResponse, Response},
};
use materia::{
    digest::DigestBuilder,
    reader::Pin,
    tables::{
        PageBounds, ParameterError, ParsedRequest,
        access::{self, Access, AccessibleTable},
    },
};
use serde::Serialize;

use super::Problem;
use crate::{
    accounts::ApiClient,
    app::AppState,
    components::generation_name,
    data::{self, ExplorerParams},
    page_cache::is_not_modified,
};

/// The path below which dashboards are evaluated.
const DASHBOARDS: &str = "/api/v1/dashboards/";

/// A call by an authenticated client: its parameters, the generation it reads, and the permissions
/// of its key and plan.
///
/// Authentication and quota are checked by the layer in front (`require_key`), which no route can
/// omit. If the client already has the response, the extractor returns 304 before any query.
pub(crate) struct ApiRequest {
    pub(super) app: AppState,
    pub(super) client: ApiClient,
    pub(super) pin: Pin,
    pub(super) headers: HeaderMap,
    pub(super) params: ExplorerParams,
    pub(super) path: String,
    etag: String,
}

/// Ends a call before its handler runs.
pub(crate) enum ApiRejection {
    NotModified(Response),
    Problem(Problem),
}

impl IntoResponse for ApiRejection {
    fn into_response(self) -> Response {
        match self {
            Self::NotModified(response) => response,
            Self::Problem(problem) => problem.into_response(),
        }
    }
}

impl FromRequestParts<AppState> for ApiRequest {
    type Rejection = ApiRejection;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, ApiRejection> {
        let request = Self::new(parts, app).map_err(ApiRejection::Problem)?;
        let etag = HeaderValue::try_from(request.etag.as_str());
        if etag.is_ok_and(|etag| is_not_modified(&parts.headers, &etag)) {
            let response = StatusCode::NOT_MODIFIED.into_response();
            return Err(ApiRejection::NotModified(request.with_headers(response)));
        }
        Ok(request)
    }
}

impl ApiRequest {
    fn new(parts: &Parts, app: &AppState) -> Result<Self, Problem> {
        let client = parts.extensions.get::<ApiClient>().cloned().ok_or_else(Problem::no_key)?;
        let pin = app.reader.pin()?;
        let etag = etag(app, &client, &pin, &parts.uri, &parts.headers);
        Ok(Self {
            app: app.clone(),
            client,
            pin,
            headers: parts.headers.clone(),
            params: ExplorerParams::parse(parts.uri.query().unwrap_or_default()),
            path: parts.uri.path().to_owned(),
            etag,
        })
    }

    /// Adds the headers that all responses have in common.
    pub(super) fn with_headers(&self, mut response: Response) -> Response {
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

    pub(super) fn json(&self, value: &impl Serialize) -> Result<Response, Problem> {
        let body = serde_json::to_vec(value).map_err(Problem::internal)?;
        Ok(self.with_headers(([(header::CONTENT_TYPE, "application/json")], body).into_response()))
    }

    /// Refuses parameters for a call that has none.
    pub(super) fn require_no_params(&self) -> Result<(), Problem> {
        match self.params.0.first() {
            Some((name, value)) => {
                Err(ParameterError::new(name, value, "this call takes no parameters").into())
            }
            None => Ok(()),
        }
    }

    /// Refuses a key that is restricted to some tables, since `what` shows more than those.
    pub(super) fn require_unscoped(&self, what: &str) -> Result<(), Problem> {
        if self.client.key.tables.is_some() { Err(Problem::scope(what)) } else { Ok(()) }
    }

    /// Returns the tables in the key's scope, as the plan sees them.
    pub(super) async fn visible_tables(&self) -> Result<Vec<AccessibleTable>, Problem> {
        let plan = self.client.entitlements.visible_plan;
        let tables = access::tables(&self.pin, &self.app.settings.tables, plan).await?;
        Ok(tables.into_iter().filter(|seen| self.client.may_read(&seen.table.name)).collect())
    }

    /// Returns a table, as the plan sees it, if it exists and is in the key's scope.
    pub(super) async fn visible_table(&self, name: &str) -> Result<AccessibleTable, Problem> {
        let plan = self.client.entitlements.visible_plan;
        let rules = &self.app.settings.tables;
        let Some(table) = access::table(&self.pin, rules, name, plan).await? else {
            let tables = access::visible_catalog(&self.pin, rules).await?;
            let names = tables.into_iter().map(|table| table.name);
            return Err(Problem::no_table(name, names.filter(|name| self.client.may_read(name))));
        };
        if self.client.may_read(name) {
            Ok(table)
        } else {
            Err(Problem::scope(&format!("the table {name}")))
        }
    }

    /// Parses the parameters as a query for a table and validates it.
    pub(super) async fn parse_query(
        &self,
        name: &str,
        bounds: PageBounds,
    ) -> Result<ParsedRequest, Problem> {
        let table = self.visible_table(name).await?;
        if let Access::Locked(plan) = table.access {
            return Err(Problem::locked(name, plan));
        }
        let mut parsed = ParsedRequest::parse(&table.table, &self.params.0, bounds)?;
        parsed.query.since = table.access.since();
        parsed.query.check(&self.pin).await?;
        Ok(parsed)
    }
}

/// Computes the `ETag` from everything on which a response depends: generation, dashboards, plan
/// and scope, URL, format, and of dashboards the day.
fn etag(app: &AppState, client: &ApiClient, pin: &Pin, uri: &Uri, headers: &HeaderMap) -> String {
    let accept =
        headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let target = uri.path_and_query().map(ToString::to_string).unwrap_or_default();
    let scope =
        DigestBuilder::new().add_json(&client.entitlements).add_json(&client.key.tables).digest();
    let dashboards = app.dashboards.current().digest;
    // What is late, and where filters relative to the current day end.
    let day = if uri.path().starts_with(DASHBOARDS) {
        app.clock.now().strftime("%F").to_string()
    } else {
        String::new()
    };
    data::tag(pin.generation(), &["api", &dashboards, &scope, &target, accept, &day], false)
}
