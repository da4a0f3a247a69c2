//! Sends messages to customers' webhooks, signed as Standard Webhooks says.
//!
//! The URL is a customer's, so the request must not reach what only this machine can: names are
//! resolved here, and only public addresses are connected to. Redirects are not followed.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use jiff::Timestamp;
use materia::humanize;
use ureq::{
    Agent,
    config::Config,
    http::Uri,
    unversioned::{
        resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver},
        transport::{DefaultConnector, NextTimeout},
    },
};

use crate::accounts::{WebhookMessage, sign, standard_key};

/// Timeout of a request, from name resolution to the response.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Resolves names to public addresses.
#[derive(Debug)]
struct PublicResolver {
    /// In debug mode, receivers on the same machine are allowed.
    allow_private: bool,
    inner: DefaultResolver,
}

impl Resolver for PublicResolver {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let found = self.inner.resolve(uri, config, timeout)?;
        let mut allowed = self.empty();
        for address in found.iter().filter(|address| self.allow_private || is_public(address.ip()))
        {
            allowed.push(*address);
        }
        if allowed.is_empty() { Err(ureq::Error::HostNotFound) } else { Ok(allowed) }
    }
}

/// Returns whether an address belongs to the public internet.
fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => embedded(ip).map_or_else(
            || {
                // Everything that is assigned to the internet: 2000::/3, without documentation.
                let [first, second, ..] = ip.segments();
                first & 0xe000 == 0x2000 && (first, second) != (0x2001, 0xdb8)
            },
            is_public_v4,
        ),
    }
}

/// Returns the IPv4 address in a mapped, translated (`64:ff9b::/96`) or 6to4 address.
fn embedded(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let segments = ip.segments();
    let join = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match segments {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => Some(join(high, low)),
        _ => ip.to_ipv4(),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [first, second, third, _] = ip.octets();
    let is_shared = first == 100 && (64..128).contains(&second);
    let is_special = first == 0 || first >= 240 || (first == 192 && second == 0 && third == 0);
    let is_benchmark = first == 198 && (18..20).contains(&second);
    !(ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_multicast()
        || ip.is_broadcast()
        || ip.is_documentation()
        || is_shared
        || is_special
        || is_benchmark)
}

pub(super) struct WebhookSender(Agent);

impl WebhookSender {
    pub(super) fn new(allow_private: bool) -> Self {
        let config = Agent::config_builder()
            .timeout_global(Some(REQUEST_TIMEOUT))
            .user_agent("materia")
            .max_redirects(0)
            // A proxy would resolve the name itself.
            .proxy(None)
            .build();
        let resolver = PublicResolver { allow_private, inner: DefaultResolver::default() };
        Self(Agent::with_parts(config, DefaultConnector::default(), resolver))
    }

    /// Sends a message; the error is for the owner of the webhook.
    pub(super) fn send(&self, delivery: &WebhookMessage, now: Timestamp) -> Result<(), String> {
        let at = now.as_second();
        let key = standard_key(&delivery.secret).unwrap_or_default();
        let signature = sign(&key, &delivery.id, at, delivery.body.as_bytes());
        let response = self
            .0
            .post(&delivery.url)
            .header("content-type", "application/json")
            .header("webhook-id", &delivery.id)
            .header("webhook-timestamp", at.to_string())
            .header("webhook-signature", signature.unwrap_or_default())
            .send(&delivery.body);
        let response = response.map_err(|error| explain(&error))?;
        let status = response.status();
        if status.is_success() {
            Ok(())
        } else {
            Err(format!("it responded with status {}", status.as_u16()))
        }
    }
}

fn explain(error: &ureq::Error) -> String {
    match error {
        ureq::Error::StatusCode(status) => format!("it responded with status {status}"),
        ureq::Error::HostNotFound => "its host has no public address".to_owned(),
        ureq::Error::Timeout(_) => {
            format!("it did not respond within {}", humanize::duration(REQUEST_TIMEOUT))
        }
        other => format!("it cannot be reached ({other})"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_webhook_reaches_public_addresses_only() {
        for private in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "192.0.0.8",
            "198.18.0.1",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "::7f00:1",
            "2001:db8::1",
            "ff02::1",
        ] {
            assert!(!is_public(private.parse().unwrap()), "{private}");
        }
        for public in ["1.1.1.1", "93.184.215.14", "2606:4700::1111", "64:ff9b::101:101"] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
    }
}
