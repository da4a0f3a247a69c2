//! Who is looking. The session layer (`accounts`) puts a [`Viewer`] into every request's extensions; pages and guards take it from there.

use std::{convert::Infallible, sync::Arc};

use axum::{
    extract::{FromRequestParts, Request},
    http::{Uri, request::Parts},
    middleware::Next,
    response::Response,
};
use materia::plan::Plan;

use super::{accounts::entitlements, error::WebError};

/// Who is looking: somebody with an account, or anybody.
#[derive(Debug, Clone, Default)]
pub(crate) struct Viewer {
    account: Option<Arc<Account>>,
    /// Somebody may be signed in, but the store did not answer.
    unknown: bool,
}

/// What every page may know about a signed-in account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    /// Its name in the store.
    pub(crate) id: String,
    /// Its address, normalised.
    pub(crate) email: String,
    /// How it wants to be called.
    pub(crate) name: Option<String>,
    /// What it pays for. Pages ask [`Account::entitled`] instead.
    pub(crate) plan: Plan,
    /// What it may do.
    pub(crate) role: Role,
    /// Whether it is locked out.
    pub(crate) suspended: bool,
    /// On what ground it wants pages.
    pub(crate) appearance: Appearance,
}

/// What an account may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) enum Role {
    /// Use the service.
    #[default]
    Customer,
    /// Run it.
    Admin,
}

/// Light or dark ground.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) enum Appearance {
    /// As the system says.
    #[default]
    System,
    /// Light.
    Light,
    /// Dark.
    Dark,
}

impl Role {
    /// Every one.
    pub(crate) const ALL: [Self; 2] = [Self::Customer, Self::Admin];

    /// Its name in the store and in commands.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::Admin => "admin",
        }
    }
}

impl Appearance {
    /// Every one, in the order they are offered.
    pub(crate) const ALL: [Self; 3] = [Self::System, Self::Light, Self::Dark];

    /// Its name in the store, in forms and in `data-appearance`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }
}

impl Account {
    /// The plan whose things it may see: admins see everything.
    pub(crate) fn entitled(&self) -> Plan {
        entitlements(if self.role == Role::Admin { Plan::Pro } else { self.plan }).opens
    }
}

impl Viewer {
    /// Somebody who is signed in.
    pub(crate) fn account(account: Account) -> Self {
        Self { account: Some(Arc::new(account)), unknown: false }
    }

    /// Somebody whose session could not be looked up.
    pub(crate) fn unknown() -> Self {
        Self { account: None, unknown: true }
    }

    /// Whether somebody may be signed in, but the store did not answer.
    pub(crate) fn is_unknown(&self) -> bool {
        self.unknown
    }

    /// What to tell who is not signed in and would have to be.
    fn turned_away(&self, uri: &Uri) -> WebError {
        if self.unknown { WebError::AccountsAway } else { WebError::sign_in(uri) }
    }

    /// The account, if signed in.
    pub(crate) fn signed_in(&self) -> Option<&Arc<Account>> {
        self.account.as_ref()
    }

    /// Whether this is an admin who is not locked out.
    pub(crate) fn is_admin(&self) -> bool {
        self.account.as_ref().is_some_and(|account| account.role == Role::Admin && !account.suspended)
    }

    /// On what ground pages are drawn.
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

/// The signed-in account, for handlers below the router's line.
#[derive(Debug, Clone)]
pub(crate) struct SignedIn(pub(crate) Arc<Account>);

impl<S: Sync> FromRequestParts<S> for SignedIn {
    type Rejection = WebError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, WebError> {
        let viewer = parts.extensions.get::<Viewer>().cloned().unwrap_or_default();
        viewer.account.clone().map(Self).ok_or_else(|| viewer.turned_away(&parts.uri))
    }
}

/// Lets accounts through that are not locked out; sends everybody else to the sign-in.
pub(crate) async fn require_account(viewer: Viewer, request: Request, next: Next) -> Result<Response, WebError> {
    match viewer.signed_in() {
        None => Err(viewer.turned_away(request.uri())),
        Some(account) if account.suspended => Err(WebError::Suspended),
        Some(_) => Ok(next.run(request).await),
    }
}

/// Lets admins through.
pub(crate) async fn require_admin(viewer: Viewer, request: Request, next: Next) -> Result<Response, WebError> {
    match viewer.signed_in() {
        None => Err(viewer.turned_away(request.uri())),
        Some(account) if account.suspended => Err(WebError::Suspended),
        Some(_) if !viewer.is_admin() => Err(WebError::Forbidden),
        Some(_) => Ok(next.run(request).await),
    }
}
