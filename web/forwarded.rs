//! The client's address behind reverse proxies, from `X-Forwarded-For` or `Forwarded` (RFC 7239).

use std::{net::IpAddr, sync::Once};

use axum::http::HeaderMap;
use materia::settings::WebSettings;

const X_FORWARDED_FOR: &str = "x-forwarded-for";
const FORWARDED: &str = "forwarded";

/// Determines the client's address behind trusted proxies, and logs each kind of unusable header
/// once.
pub(crate) struct Proxies {
    unreadable: Once,
    contradictory: Once,
}

/// The client according to one header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Claim {
    /// The header is absent, or was not written by a trusted proxy.
    Absent,
    /// The nearest address that does not belong to a trusted proxy.
    Client(IpAddr),
    /// A trusted proxy reported the client in an unsupported form; contains the proxy's address.
    Unreadable(IpAddr),
}

impl Proxies {
    pub(crate) const fn new() -> Self {
        Self { unreadable: Once::new(), contradictory: Once::new() }
    }

    /// Returns the client's address: the peer's, unless the peer is a trusted proxy that reports
    /// another one.
    ///
    /// Proxies write one of the two headers and forward the other as the client sent it. If both
    /// are present and report different clients, neither is trusted.
    pub(crate) fn client(
        &self,
        peer: IpAddr,
        headers: &HeaderMap,
        settings: &WebSettings,
    ) -> IpAddr {
        let peer = peer.to_canonical();
        if !settings.trusts(peer) {
            return peer;
        }
        let by_list = read_claim(peer, hops(headers, X_FORWARDED_FOR, parse_list_hop), settings);
        let by_standard = read_claim(peer, hops(headers, FORWARDED, parse_standard_hop), settings);
        match (by_list, by_standard) {
            (Claim::Absent, Claim::Absent) => peer,
            (Claim::Client(client), Claim::Absent) | (Claim::Absent, Claim::Client(client)) => {
                client
            }
            (Claim::Client(client), Claim::Client(same)) if client == same => client,
            (Claim::Unreadable(proxy), Claim::Absent) => self.unreadable(X_FORWARDED_FOR, proxy),
            (Claim::Absent, Claim::Unreadable(proxy)) => self.unreadable(FORWARDED, proxy),
            _ => {
                self.contradictory.call_once(|| {
                    tracing::warn!(
                        "X-Forwarded-For and Forwarded name different clients; such requests are limited by the proxy's address. \
                         Let the proxy remove the header that it does not write (logged once)"
                    );
                });
                peer
            }
        }
    }

    fn unreadable(&self, header: &str, proxy: IpAddr) -> IpAddr {
        // The value may be a client's address, which is not logged.
        self.unreadable.call_once(|| {
            tracing::warn!(
                header,
                "a trusted proxy names clients in a form that is not understood; they are limited together, by the proxy's address (logged once)"
            );
        });
        proxy
    }
}

/// Follows the hops from the last one as long as trusted proxies wrote them.
fn read_claim(peer: IpAddr, hops: Vec<Option<IpAddr>>, settings: &WebSettings) -> Claim {
    let (mut client, mut any) = (peer, false);
    for hop in hops.into_iter().rev() {
        if !settings.trusts(client) {
            break;
        }
        any = true;
        match hop {
            Some(address) => client = address,
            None => return Claim::Unreadable(client),
        }
    }
    if any { Claim::Client(client) } else { Claim::Absent }
}

/// Returns every hop in a header's lines in order; `None` for those in an unsupported form.
fn hops(headers: &HeaderMap, name: &str, read: fn(&str) -> Option<IpAddr>) -> Vec<Option<IpAddr>> {
    let mut hops = Vec::new();
    for value in headers.get_all(name) {
        let Ok(text) = value.to_str() else {
            hops.push(None);
            continue;
        };
        // A quote that a client leaves open must not hide the proxy's entry after it.
        let quoted = if name == FORWARDED { split_unquoted(text, ',') } else { None };
        let parts = quoted.unwrap_or_else(|| text.split(',').collect());
        hops.extend(parts.into_iter().map(str::trim).filter(|part| !part.is_empty()).map(read));
    }
    hops
}

/// Splits a header's value at each `separator` outside of quotes; `None` if a quote is not closed.
fn split_unquoted(text: &str, separator: char) -> Option<Vec<&str>> {
    let (mut parts, mut begin, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, char) in text.char_indices() {
        match char {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if char == separator && !quoted => {
                parts.push(&text[begin..at]);
                begin = at + char.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(&text[begin..]);
    (!quoted).then_some(parts)
}

/// Parses an entry of `X-Forwarded-For`: an address, with or without brackets, quotes and port.
fn parse_list_hop(entry: &str) -> Option<IpAddr> {
    parse_node(&unquote(entry)?)
}

/// Parses an element of `Forwarded`: `for=192.0.2.1;proto=https;by=...`.
fn parse_standard_hop(element: &str) -> Option<IpAddr> {
    let pairs = split_unquoted(element, ';')?;
    let mut nodes = pairs
        .into_iter()
        .filter_map(|pair| pair.split_once('='))
        .filter(|(name, _)| name.trim().eq_ignore_ascii_case("for"));
    let (_, value) = nodes.next()?;
    // A parameter occurs at most once in an element.
    if nodes.next().is_some() { None } else { parse_node(&unquote(value.trim())?) }
}

/// Removes the quotes around a text.
fn unquote(text: &str) -> Option<String> {
    let Some(inner) = text.strip_prefix('"') else { return Some(text.to_owned()) };
    let inner = inner.strip_suffix('"')?;
    let mut plain = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(char) = chars.next() {
        plain.push(if char == '\\' { chars.next()? } else { char });
    }
    Some(plain)
}

/// Parses a node in either header: `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1`, `[2001:db8::1]`,
/// `[2001:db8::1]:4711`.
fn parse_node(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address.to_canonical());
    }
    if let Some(rest) = text.strip_prefix('[') {
        let (address, rest) = rest.split_once(']')?;
        // The zone of a link-local address is only meaningful to the proxy.
        let address = address.split_once('%').map_or(address, |(address, _)| address);
        let address = address.parse::<IpAddr>().ok().filter(IpAddr::is_ipv6)?;
        return (rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port))
            .then(|| address.to_canonical());
    }
    let (address, port) = text.rsplit_once(':')?;
    let address = address.parse::<IpAddr>().ok().filter(IpAddr::is_ipv4)?;
    is_port(port).then_some(address)
}

/// Returns whether the text is a port, or the obfuscated one that RFC 7239 allows.
fn is_port(text: &str) -> bool {
    let hidden = text.strip_prefix('_').is_some_and(|name| {
        !name.is_empty()
            && name
                .chars()
                .all(|char| char.is_ascii_alphanumeric() || matches!(char, '.' | '_' | '-'))
    });
    hidden
        || (!text.is_empty() && text.len() <= 5 && text.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    const PROXY: &str = "127.0.0.1";

    fn from(peer: &str, headers: &[(&'static str, &str)], proxies: &[&str]) -> String {
        let trusted_proxies = proxies.iter().map(|one| one.parse().unwrap()).collect();
        let settings = WebSettings { trusted_proxies, ..WebSettings::default() };
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_str(value).unwrap()))
            .collect();
        Proxies::new().client(peer.parse().unwrap(), &headers, &settings).to_string()
    }

    fn listed(value: &str) -> String {
        from(PROXY, &[(X_FORWARDED_FOR, value)], &["127.0.0.1/32"])
    }

    fn standard(value: &str) -> String {
        from(PROXY, &[(FORWARDED, value)], &["127.0.0.1/32", "10.0.0.0/8"])
    }

    #[test]
    fn a_client_cannot_pass_for_another_by_naming_it() {
        for header in [X_FORWARDED_FOR, FORWARDED] {
            assert_eq!(from("203.0.113.9", &[(header, "for=192.0.2.1")], &[]), "203.0.113.9");
        }
        assert_eq!(listed("192.0.2.1"), "192.0.2.1");
        assert_eq!(listed("6.6.6.6, 192.0.2.1"), "192.0.2.1");
        assert_eq!(
            from(
                PROXY,
                &[(X_FORWARDED_FOR, "192.0.2.1, 10.0.0.5")],
                &["127.0.0.1/32", "10.0.0.0/8"]
            ),
            "192.0.2.1"
        );
        // A proxy writes one of the headers and passes the other on.
        let both = |list, standard| {
            from(PROXY, &[(X_FORWARDED_FOR, list), (FORWARDED, standard)], &["127.0.0.1/32"])
        };
        assert_eq!(both("192.0.2.1", "for=6.6.6.6"), PROXY);
        assert_eq!(both("192.0.2.1", "for=\"192.0.2.1:80\""), "192.0.2.1");
    }

    #[test]
    fn a_quote_that_a_client_leaves_open_hides_nobody() {
        assert_eq!(listed("\", 192.0.2.7"), "192.0.2.7");
        for forged in [
            "for=\"6.6.6.6, for=192.0.2.7",
            "for=\"6.6.6.6, for=\"192.0.2.7\"",
            "for=\"\\\", for=\"192.0.2.7:80\"",
            "\"\\, for=192.0.2.7",
        ] {
            assert_eq!(standard(forged), "192.0.2.7", "{forged}");
        }
    }

    #[test]
    fn clients_are_told_apart_however_a_proxy_writes_their_ports_and_brackets() {
        for (written, client) in [
            ("192.0.2.7:4007", "192.0.2.7"),
            ("[2001:db8:7:2::1]", "2001:db8:7:2::1"),
            ("[2001:db8:7:2::1]:4007", "2001:db8:7:2::1"),
            ("2001:db8:7:2::1", "2001:db8:7:2::1"),
            ("\"[2001:db8:7:2::1]:4007\"", "2001:db8:7:2::1"),
            ("[::ffff:192.0.2.7]:4007", "192.0.2.7"),
            ("192.0.2.1:1,  , 192.0.2.7:4007,", "192.0.2.7"),
            ("[fe80::7%eth0]", "fe80::7"),
        ] {
            assert_eq!(listed(written), client, "{written}");
        }
    }

    #[test]
    fn the_standard_header_names_clients_as_well() {
        for (written, client) in [
            ("for=192.0.2.7", "192.0.2.7"),
            ("For=\"192.0.2.7:4007\";proto=https;by=203.0.113.43", "192.0.2.7"),
            ("proto=http; FOR = \"[2001:db8:cafe::17]:4711\"", "2001:db8:cafe::17"),
            ("for=192.0.2.7, for=10.0.0.5", "192.0.2.7"),
            ("for=\"[2001:db8::1]:_hidden\"", "2001:db8::1"),
            ("for=6.6.6.6;host=\"a,for=7.7.7.7\", for=192.0.2.7", "192.0.2.7"),
        ] {
            assert_eq!(standard(written), client, "{written}");
        }
    }

    #[test]
    fn what_a_proxy_writes_and_nobody_understands_counts_as_the_proxy() {
        for written in [
            "nonsense",
            "192.0.2.7:port",
            "[2001:db8::1",
            "[192.0.2.7]:80",
            "192.0.2.7:123456",
            "\"192.0.2.7",
            "192.0.2.300",
        ] {
            assert_eq!(listed(written), PROXY, "{written}");
        }
        for written in [
            "for=unknown",
            "for=_hidden",
            "for=",
            "proto=https",
            "for=192.0.2.1;for=192.0.2.2",
            "for=\"192.0.2.7",
        ] {
            assert_eq!(standard(written), PROXY, "{written}");
        }
        assert_eq!(standard("for=unknown, for=10.0.0.5"), "10.0.0.5", "the proxy that wrote it");
    }
}
