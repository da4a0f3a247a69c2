//! The viewer of a request. The session layer (`accounts`) puts a [`Viewer`] into every request's
//! extensions; pages and guards take it from there.

use std::{convert::Infallible, sync::Arc};

use axum::{
    extract::{FromRequestParts, RawPathParams, Request, State},
    http::{Uri, request::Parts},
    middleware::Next,
    response::Response,
};
use materia::{plan::Plan, settings::is_public};

use super::{accounts::entitlements, app::AppState, error::WebError};

/// The person who made a request, signed in or not.
#[derive(Debug, Clone, Default)]
pub(crate) struct Viewer {
    account: Option<Arc<AccountSummary>>,
    /// Whether a session could not be resolved because the store did not respond.
    unresolved: bool,
}

/// The properties of a signed-in account that every page may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AccountSummary {
    pub(crate) id: String,
    pub(crate) email: String,
    pub(crate) name: Option<String>,
    /// The account's own plan. Pages use [`AccountSummary::effective_plan`] instead.
    pub(crate) plan: Plan,
    pub(crate) role: Role,
    pub(crate) suspended: bool,
    pub(crate) appearance: Appearance,
}

/// The role of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Role {
    #[default]
    Customer,
    Admin,
}

/// The color scheme of pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize)]
pub enum Appearance {
    /// The system's color scheme.
    #[default]
    System,
    Light,
    Dark,
}

impl Role {
    pub(crate) const ALL: [Self; 2] = [Self::Customer, Self::Admin];

    /// Returns its name in the store and in commands.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::Admin => "admin",
        }
    }
}

impl Appearance {
    /// All of them, in the order in which they are offered.
    pub(crate) const ALL: [Self; 3] = [Self::System, Self::Light, Self::Dark];

    /// Returns its name in the store, in forms and in `data-appearance`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }
}

impl AccountSummary {
    /// Returns the plan that applies: admins see everything.
    pub(crate) fn effective_plan(&self) -> Plan {
        entitlements(if self.role == Role::Admin { Plan::Pro } else { self.plan }).visible_plan
    }
}

impl Viewer {
    /// Returns the viewer for a signed-in account.
    pub(crate) fn account(account: AccountSummary) -> Self {
        Self { account: Some(Arc::new(account)), unresolved: false }
    }

    /// Returns a viewer of this plan, for whom pages are rendered that all of them share.
    pub(crate) fn nobody(plan: Plan, is_admin: bool, appearance: Appearance) -> Self {
        Self::account(AccountSummary {
            id: String::new(),
            email: String::new(),
            name: None,
            plan,
            role: if is_admin { Role::Admin } else { Role::Customer },
            suspended: false,
            appearance,
        })
    }

    /// Returns the viewer for a session that could not be resolved.
    pub(crate) fn unresolved() -> Self {
        Self { account: None, unresolved: true }
    }

    /// Returns whether a session could not be resolved because the store did not respond.
    pub(crate) fn is_unresolved(&self) -> bool {
        self.unresolved
    }

    /// Returns the error for a page that requires an account.
    fn sign_in_or_unavailable(&self, uri: &Uri) -> WebError {
        if self.unresolved { WebError::AccountsUnavailable } else { WebError::sign_in(uri) }
    }

    /// Returns the account, if signed in.
    pub(crate) fn signed_in(&self) -> Option<&Arc<AccountSummary>> {
        self.account.as_ref()
    }

    /// Returns whether the viewer is an admin who is not suspended.
    pub(crate) fn is_admin(&self) -> bool {
        self.account
            .as_ref()
            .is_some_and(|account| account.role == Role::Admin && !account.suspended)
    }

    /// Returns the color scheme of pages.
    pub(crate) fn appearance(&self) -> Appearance {
        self.account.as_ref().map(|account| account.appearance).unwrap_or_default()
    }
}

impl<S: Sync> FromRequestParts<S> for Viewer {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_default())
    }
}

/// The signed-in account, for handlers of routes that require one.
#[derive(Debug, Clone)]
pub(crate) struct SignedIn(pub(crate) Arc<AccountSummary>);

impl<S: Sync> FromRequestParts<S> for SignedIn {
    type Rejection = WebError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, WebError> {
        let viewer = parts.extensions.get::<Viewer>().cloned().unwrap_or_default();
        viewer.account.clone().map(Self).ok_or_else(|| viewer.sign_in_or_unavailable(&parts.uri))
    }
}

/// The plan as which a viewer sees data that may be public: without an account, the plan free.
#[derive(Debug, Clone, Copy)]
pub(crate) struct VisiblePlan(pub(crate) Plan);

impl<S: Sync> FromRequestParts<S> for VisiblePlan {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let account = parts.extensions.get::<Viewer>().and_then(Viewer::signed_in);
        Ok(Self(account.map_or(Plan::Free, |account| account.effective_plan())))
    }
}

/// Admits everyone to what its author calls public (`public = true`), and accounts to the rest, as
/// [`require_account`] does. Which table or dashboard it is, is in the route's path.
pub(crate) async fn require_account_unless_public(
    State(app): State<AppState>,
    viewer: Viewer,
    params: RawPathParams,
    request: Request,
    next: Next,
) -> Result<Response, WebError> {
    let named = |wanted: &str| {
        params.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.to_owned())
    };
    let is_public = match (named("name"), named("slug")) {
        (Some(table), _) => is_public(&app.settings.tables, &table),
        (_, Some(slug)) => app.dashboards.current().has_public(Some(&slug)),
        (None, None) if request.uri().path() == "/tables" => {
            let rules = &app.settings.tables;
            rules.keys().any(|table| is_public(rules, table))
        }
        (None, None) => app.dashboards.current().has_public(None),
    };
    if viewer.signed_in().is_none() && is_public {
        return Ok(next.run(request).await);
    }
    require_account(viewer, request, next).await
}

/// Admits accounts that are not suspended, and redirects others to sign-in.
pub(crate) async fn require_account(
    viewer: Viewer,
    request: Request,
    next: Next,
) -> Result<Response, WebError> {
    match viewer.signed_in() {
        None => Err(viewer.sign_in_or_unavailable(request.uri())),
        Some(account) if account.suspended => Err(WebError::Suspended),
        Some(_) => Ok(next.run(request).await),
    }
}

/// Admits admins that are not suspended.
pub(crate) async fn require_admin(
    viewer: Viewer,
    request: Request,
    next: Next,
) -> Result<Response, WebError> {
    match viewer.signed_in() {
        None => Err(viewer.sign_in_or_unavailable(request.uri())),
        Some(account) if account.suspended => Err(WebError::Suspended),
        Some(_) if !viewer.is_admin() => Err(WebError::Forbidden),
        Some(_) => Ok(next.run(request).await),
    }
}
