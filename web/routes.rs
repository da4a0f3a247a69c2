//! Routes, each declared together with the caching of its responses.

use axum::{
    Router,
    handler::Handler,
    http::Method,
    routing::{get, post},
};

use super::app::AppState;

/// How the responses of a route may be cached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CachePolicy {
    /// The page is the same for all viewers of one plan: it is rendered once per generation and
    /// revalidated by its `ETag` (see `page_cache`).
    Shared,
    /// The response is specific to one viewer or one moment, and is not cached.
    NoStore,
    /// The handler sets `Cache-Control` itself: files, assets and the API.
    ByHandler,
}

/// One method of one path.
#[derive(Debug, Clone)]
pub(crate) struct Route {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    pub(crate) cache: CachePolicy,
}

/// A router that knows its routes. A route cannot be added without its [`CachePolicy`].
#[derive(Default)]
pub(crate) struct Routes {
    router: Router<AppState>,
    declared: Vec<Route>,
}

impl Routes {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Adds a page, file or call.
    pub(crate) fn get<H, T>(self, path: &'static str, cache: CachePolicy, handler: H) -> Self
    where
        H: Handler<T, AppState>,
        T: 'static,
    {
        self.add(Route { method: Method::GET, path, cache }, get(handler))
    }

    /// Adds a form's action. Responses to forms are never cached.
    pub(crate) fn post<H, T>(self, path: &'static str, handler: H) -> Self
    where
        H: Handler<T, AppState>,
        T: 'static,
    {
        let route = Route { method: Method::POST, path, cache: CachePolicy::NoStore };
        self.add(route, post(handler))
    }

    fn add(mut self, route: Route, handler: axum::routing::MethodRouter<AppState>) -> Self {
        self.router = self.router.route(route.path, handler);
        self.declared.push(route);
        self
    }

    pub(crate) fn merge(mut self, other: Self) -> Self {
        self.router = self.router.merge(other.router);
        self.declared.extend(other.declared);
        self
    }

    /// Applies layers to the routes added so far.
    pub(crate) fn with_layers(
        mut self,
        apply: impl FnOnce(Router<AppState>) -> Router<AppState>,
    ) -> Self {
        self.router = apply(self.router);
        self
    }

    pub(crate) fn into_parts(self) -> (Router<AppState>, Vec<Route>) {
        (self.router, self.declared)
    }
}
