//! Counts how often each dashboard is opened, without tracking anybody.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use axum::{
    extract::{MatchedPath, Request},
    http::Method,
};

/// The route of dashboards.
const ROUTE: &str = "/dashboard/{slug}";
/// Dashboards that are counted between two writes: more than a site has.
const MAX_DASHBOARDS: usize = 1_000;

/// Views that are not in the store yet, by dashboard.
#[derive(Debug, Default)]
pub(crate) struct ViewCounter(Mutex<BTreeMap<String, u64>>);

impl ViewCounter {
    /// Returns the dashboard that a request opens: a page that a person goes to, not one that a
    /// script fetches again.
    pub(crate) fn opened(request: &Request) -> Option<String> {
        let route = request.extensions().get::<MatchedPath>()?;
        let target = request.headers().get("sec-fetch-dest");
        let is_page = target.is_none_or(|target| target == "document");
        let is_counted = route.as_str() == ROUTE && *request.method() == Method::GET && is_page;
        let slug = request.uri().path().strip_prefix("/dashboard/")?;
        is_counted.then(|| slug.to_owned())
    }

    pub(crate) fn add(&self, dashboard: String) {
        let mut views = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if views.len() < MAX_DASHBOARDS || views.contains_key(&dashboard) {
            *views.entry(dashboard).or_default() += 1;
        }
    }

    /// Returns the views since the last call.
    pub(crate) fn take(&self) -> BTreeMap<String, u64> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
