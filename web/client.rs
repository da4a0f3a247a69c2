//! Where a request comes from.

use std::{
    convert::Infallible,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use axum::{
    extract::{ConnectInfo, FromRef, FromRequestParts},
    http::{HeaderMap, header, request::Parts},
};

use super::{
    accounts::{self, Visit},
    app::App,
};

/// The client's address: the one that connected, or whom a trusted proxy names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Client(pub(crate) IpAddr);

impl Client {
    pub(crate) fn of(app: &App, peer: Option<SocketAddr>, headers: &HeaderMap) -> Self {
        let Some(peer) = peer else { return Self(IpAddr::V4(Ipv4Addr::UNSPECIFIED)) };
        let mut client = peer.ip().to_canonical();
        // From the last to the first: what stands before a name that is not to be trusted may be made up.
        let named = headers.get_all("x-forwarded-for").into_iter().filter_map(|value| value.to_str().ok()).flat_map(|text| text.split(','));
        for name in named.collect::<Vec<_>>().into_iter().rev() {
            match name.trim().parse::<IpAddr>() {
                Ok(ip) if app.settings.web.trusts(client) => client = ip.to_canonical(),
                _ => break,
            }
        }
        Self(client)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Client
where
    App: FromRef<S>,
{
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0);
        Ok(Self::of(&App::from_ref(state), peer, &parts.headers))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Visit
where
    App: FromRef<S>,
{
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let Ok(client) = Client::from_request_parts(parts, state).await;
        let agent = parts.headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        Ok(Self { network: accounts::network(client.0), user_agent: agent.to_owned() })
    }
}
