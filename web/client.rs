//! Where a request comes from, and how many one client may make.

use std::{
    convert::Infallible,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    num::NonZeroU32,
    time::Duration,
};

use axum::{
    extract::{ConnectInfo, FromRequestParts, Request, State},
    http::{HeaderMap, header, request::Parts},
    middleware::Next,
    response::Response,
};
use governor::{
    DefaultKeyedRateLimiter, Quota,
    clock::{Clock, DefaultClock},
};
use materia::settings::WebSettings;

use super::{accounts::Visit, app::App, error::WebError};

/// The client's address, as far as it can be believed. In every request's extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClientAddress(pub(crate) IpAddr);

impl ClientAddress {
    /// What is counted as one client: an IPv4 address, or the 64 bits that one IPv6 customer gets.
    pub(crate) fn network(self) -> IpAddr {
        match self.0.to_canonical() {
            IpAddr::V4(ip) => IpAddr::V4(ip),
            IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64)),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for ClientAddress {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().copied().unwrap_or(Self(IpAddr::V4(Ipv4Addr::UNSPECIFIED))))
    }
}

impl<S: Sync> FromRequestParts<S> for Visit {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let Ok(client) = ClientAddress::from_request_parts(parts, state).await;
        let agent = parts.headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        Ok(Self { network: client.network().to_string(), user_agent: agent.to_owned() })
    }
}

/// How many requests each client has made lately.
pub(crate) struct RateLimit(Option<DefaultKeyedRateLimiter<IpAddr>>);

impl RateLimit {
    /// So many in a minute in the long run; a fifth of them at once.
    pub(crate) fn new(per_minute: Option<NonZeroU32>) -> Self {
        Self(per_minute.map(|rate| {
            let burst = NonZeroU32::new(rate.get() / 5).unwrap_or(NonZeroU32::MIN);
            DefaultKeyedRateLimiter::keyed(Quota::per_minute(rate).allow_burst(burst))
        }))
    }

    fn check(&self, client: ClientAddress) -> Result<(), WebError> {
        let Some(limiter) = &self.0 else { return Ok(()) };
        limiter.check_key(&client.network()).map_err(|not_until| {
            let wait = not_until.wait_time_from(DefaultClock::default().now());
            // Whole seconds, as the header has them, and never too few.
            WebError::TooMany { retry_after: Duration::from_secs(wait.as_secs() + 1) }
        })
    }

    /// Forgets clients that have been quiet; to be called now and then.
    pub(crate) fn forget_quiet(&self) {
        if let Some(limiter) = &self.0 {
            limiter.retain_recent();
            limiter.shrink_to_fit();
        }
    }
}

/// Finds out where a request comes from, and refuses a client that makes too many.
pub(crate) async fn limit(State(app): State<App>, mut request: Request, next: Next) -> Result<Response, WebError> {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |info| info.0.ip());
    let client = ClientAddress(behind_proxies(peer, request.headers(), &app.settings.web));
    request.extensions_mut().insert(client);
    let path = request.uri().path();
    // Probes ask often, and assets come several at once.
    if !(path.starts_with("/assets/") || matches!(path, "/health" | "/ready")) {
        app.rate_limit.check(client)?;
    }
    Ok(next.run(request).await)
}

/// Follows `X-Forwarded-For` from its end for as long as trusted proxies wrote it.
fn behind_proxies(peer: IpAddr, headers: &HeaderMap, settings: &WebSettings) -> IpAddr {
    let mut client = peer.to_canonical();
    let named = headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    let named: Vec<_> = named.map(|one| one.trim().parse::<IpAddr>()).collect();
    for address in named.into_iter().rev() {
        match address {
            Ok(address) if settings.trusts(client) => client = address.to_canonical(),
            _ => break,
        }
    }
    client
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn client(peer: &str, forwarded: &'static str, proxies: &[&str]) -> String {
        let trusted_proxies = proxies.iter().map(|one| one.parse().unwrap()).collect();
        let settings = WebSettings { trusted_proxies, ..WebSettings::default() };
        let headers = [("x-forwarded-for".parse().unwrap(), forwarded.parse().unwrap())].into_iter().collect();
        behind_proxies(peer.parse().unwrap(), &headers, &settings).to_string()
    }

    #[test]
    fn a_client_cannot_pass_for_another_by_naming_it() {
        assert_eq!(client("203.0.113.9", "192.0.2.1", &[]), "203.0.113.9");
        assert_eq!(client("127.0.0.1", "192.0.2.1", &["127.0.0.1/32"]), "192.0.2.1");
        assert_eq!(client("127.0.0.1", "6.6.6.6, 192.0.2.1", &["127.0.0.1/32"]), "192.0.2.1");
        assert_eq!(client("127.0.0.1", "192.0.2.1, 10.0.0.5", &["127.0.0.1/32", "10.0.0.0/8"]), "192.0.2.1");
        assert_eq!(client("127.0.0.1", "nonsense", &["127.0.0.1/32"]), "127.0.0.1");
    }

    #[test]
    fn a_client_that_asks_too_often_is_told_when_to_come_back_and_others_are_not_affected() {
        let limit = RateLimit::new(NonZeroU32::new(10));
        let [one, other] = ["2001:db8::1", "2001:db8:0:1::1"].map(|ip| ClientAddress(ip.parse().unwrap()));
        let neighbour = ClientAddress("2001:db8::2".parse().unwrap());
        assert_eq!((limit.check(one), limit.check(one)), (Ok(()), Ok(())));
        assert!(matches!(limit.check(neighbour), Err(WebError::TooMany { retry_after }) if retry_after >= Duration::from_secs(1)));
        assert_eq!(limit.check(other), Ok(()));
    }
}
