//! The `[web]` section: the site's address and its access limits.

use std::{
    net::{IpAddr, SocketAddr},
    num::NonZeroU32,
    time::Duration,
};

use ipnet::IpNet;
use serde::{Deserialize, Deserializer};

use super::{Lookup, SettingsError, overlay};

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WebSettings {
    /// The address on which the site listens. `listen` / `MATERIA_LISTEN`; default
    /// `127.0.0.1:8000`.
    pub listen: SocketAddr,
    /// The public URL of the site, for links in mails: `https://beanflows.coffee`. `base_url` /
    /// `BASE_URL`; default: `http://` and `listen`.
    pub base_url: Option<String>,
    /// The address that serves `/metrics` for Prometheus; loopback or private. `metrics` /
    /// `MATERIA_METRICS`; default: none.
    #[serde(deserialize_with = "private_address")]
    pub metrics: Option<SocketAddr>,
    /// Reverse proxies, as addresses or networks; client addresses in `X-Forwarded-For` or
    /// `Forwarded` are accepted only from them. `trusted_proxies` / `MATERIA_TRUSTED_PROXIES`,
    /// separated by commas; default: none.
    #[serde(deserialize_with = "networks")]
    pub trusted_proxies: Vec<IpNet>,
    /// Rate limit of one client in requests per minute, with bursts of a fifth of it.
    /// `requests_per_minute` / `MATERIA_REQUESTS_PER_MINUTE`; 0 is unlimited.
    pub requests_per_minute: u32,
    /// A folder of Markdown files that become pages (`legal/terms.md` is `/legal/terms`); default:
    /// built-in terms and privacy.
    pub legal: Option<std::path::PathBuf>,
    /// Origins that may call the API from browsers: `https://app.example.com`. Default: none.
    #[serde(deserialize_with = "origins")]
    pub cors: Vec<String>,
    /// Origins whose pages may show public panels in a frame.
    #[serde(deserialize_with = "origins")]
    pub embed: Vec<String>,
    /// The command that prints dashboards as PDF: Chromium, and its arguments. Default: none, so
    /// that browsers print.
    #[serde(deserialize_with = "command")]
    pub chromium: Vec<String>,
    /// Format of the log on standard error. `log` / `MATERIA_LOG_FORMAT`; default: plain on a
    /// terminal, JSON elsewhere.
    pub log: Option<LogFormat>,
    /// How long requests in flight, such as downloads, may continue after the site has received a
    /// signal to stop: `30s`, `10m`. `drain` / `MATERIA_DRAIN`; default 30 seconds.
    #[serde(deserialize_with = "super::duration")]
    pub drain: Duration,
    /// Development mode: sign-in without mail, cookies without TLS. `DEBUG` only, never in a file.
    #[serde(skip)]
    pub debug: bool,
    /// Lets `debug` listen on an address that other hosts can reach. `DEBUG_ANYWHERE` only.
    #[serde(skip)]
    pub debug_anywhere: bool,
}

impl Default for WebSettings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8000)),
            base_url: None,
            metrics: None,
            trusted_proxies: Vec::new(),
            requests_per_minute: 600,
            legal: None,
            cors: Vec::new(),
            embed: Vec::new(),
            chromium: Vec::new(),
            log: None,
            drain: Duration::from_secs(30),
            debug: false,
            debug_anywhere: false,
        }
    }
}

/// Format of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Plain,
    /// Lines of JSON for machines.
    Json,
}

/// Reads `"chromium"` and `["chromium", "--no-sandbox"]`.
fn command<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected a program, or a list of it and its arguments")]
    enum Command {
        Program(String),
        WithArguments(Vec<String>),
    }
    Ok(match Command::deserialize(deserializer)? {
        Command::Program(program) => vec![program],
        Command::WithArguments(words) => words,
    })
}

impl WebSettings {
    pub(super) fn overlay(&mut self, env: Lookup) -> Result<(), SettingsError> {
        overlay(env, "MATERIA_LISTEN", &mut self.listen, |text| {
            text.parse().map_err(|_| {
                format!("{text:?} is not an address to listen on; write for example 127.0.0.1:8000")
            })
        })?;
        overlay(env, "BASE_URL", &mut self.base_url, |text| Ok(Some(text.to_owned())))?;
        overlay(env, "MATERIA_METRICS", &mut self.metrics, |text| parse_private(text).map(Some))?;
        overlay(env, "MATERIA_TRUSTED_PROXIES", &mut self.trusted_proxies, |text| {
            text.split(',')
                .map(str::trim)
                .filter(|one| !one.is_empty())
                .map(parse_network)
                .collect()
        })?;
        overlay(env, "MATERIA_REQUESTS_PER_MINUTE", &mut self.requests_per_minute, |text| {
            text.parse()
                .map_err(|_| format!("{text:?} is not a number of requests; 0 is without limit"))
        })?;
        overlay(env, "MATERIA_LOG_FORMAT", &mut self.log, |text| match text {
            "plain" => Ok(Some(LogFormat::Plain)),
            "json" => Ok(Some(LogFormat::Json)),
            _ => Err(format!("{text:?} is not a log format; use plain or json")),
        })?;
        overlay(env, "MATERIA_DRAIN", &mut self.drain, crate::humanize::parse_duration)?;
        overlay(env, "DEBUG", &mut self.debug, parse_bool)?;
        overlay(env, "DEBUG_ANYWHERE", &mut self.debug_anywhere, parse_bool)?;
        if let Some(url) = &self.base_url {
            check_base_url(url)
                .map_err(|problem| SettingsError::Variable { variable: "BASE_URL", problem })?;
        }
        Ok(())
    }

    /// Returns the public URL of the site, without a trailing slash.
    #[must_use]
    pub fn base_url(&self) -> String {
        self.base_url.as_deref().map_or_else(
            || format!("http://{}", self.listen),
            |url| url.trim_end_matches('/').to_owned(),
        )
    }

    /// Returns the rate limit, if there is one.
    #[must_use]
    pub fn requests_per_minute(&self) -> Option<NonZeroU32> {
        NonZeroU32::new(self.requests_per_minute)
    }

    /// Returns whether forwarded client addresses are accepted from this proxy.
    #[must_use]
    pub fn trusts(&self, proxy: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|network| network.contains(&proxy.to_canonical()))
    }
}

fn check_base_url(url: &str) -> Result<(), String> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let host = rest.map(|rest| rest.trim_end_matches('/')).filter(|host| !host.is_empty());
    // Links are built by appending a path to the URL.
    match host {
        Some(host) if !host.contains(['?', '#', ' ', '"', '<', '>']) => Ok(()),
        _ => Err(format!(
            "{url:?} is not where a site is reached; write for example https://example.com"
        )),
    }
}

fn parse_bool(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Ok(true),
        "0" | "false" | "no" | "off" => Ok(false),
        _ => Err(format!("{text:?} is neither true nor false")),
    }
}

fn parse_private(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text.parse().map_err(|_| {
        format!("{text:?} is not an address to listen on; write for example 127.0.0.1:9184")
    })?;
    let private = match address.ip().to_canonical() {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    };
    if private {
        Ok(address)
    } else {
        Err(format!("{text} is not a private address; the metrics are for operators only"))
    }
}

pub(super) fn private_address<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<SocketAddr>, D::Error> {
    parse_private(&String::deserialize(deserializer)?).map(Some).map_err(serde::de::Error::custom)
}

fn origins<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let origins = Vec::<String>::deserialize(deserializer)?;
    let is_origin = |text: &str| {
        let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        host.is_some_and(|host| {
            !host.is_empty()
                && host.chars().all(|char| {
                    char.is_ascii_alphanumeric() || matches!(char, '.' | '-' | ':' | '[' | ']')
                })
        })
    };
    match origins.iter().find(|origin| !is_origin(origin)) {
        Some(wrong) => Err(serde::de::Error::custom(format!(
            "{wrong:?} is not an origin; write for example \"https://app.example.com\""
        ))),
        None => Ok(origins),
    }
}

fn parse_network(text: &str) -> Result<IpNet, String> {
    let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    network.map_err(|_| format!("{text:?} is neither an address nor a network such as 10.0.0.0/8"))
}

fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    let networks = Vec::<String>::deserialize(deserializer)?;
    networks.iter().map(|text| parse_network(text).map_err(serde::de::Error::custom)).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn with(variable: &'static str, value: &'static str) -> Result<WebSettings, String> {
        let mut settings = WebSettings::default();
        settings
            .overlay(&|name| (name == variable).then(|| value.to_owned()))
            .map(|()| settings)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn links_lead_to_the_base_url_without_a_second_slash() {
        assert_eq!(
            with("BASE_URL", "https://example.com/").unwrap().base_url(),
            "https://example.com"
        );
        assert_eq!(WebSettings::default().base_url(), "http://127.0.0.1:8000");
        assert!(with("BASE_URL", "example.com").unwrap_err().contains("https://example.com"));
        assert!(with("BASE_URL", "https://example.com/?a=b").is_err());
    }

    #[test]
    fn metrics_are_for_private_addresses_only() {
        assert!(with("MATERIA_METRICS", "127.0.0.1:9184").is_ok());
        assert!(
            with("MATERIA_METRICS", "0.0.0.0:9184").unwrap_err().contains("not a private address")
        );
        assert!(toml::from_str::<WebSettings>("metrics = '203.0.113.1:9184'").is_err());
    }

    #[test]
    fn only_the_named_proxies_are_trusted() {
        let settings: WebSettings =
            toml::from_str("trusted_proxies = ['127.0.0.1', '10.0.0.0/8']").unwrap();
        assert!(settings.trusts("10.2.3.4".parse().unwrap()));
        assert!(settings.trusts("::ffff:127.0.0.1".parse().unwrap()));
        assert!(!settings.trusts("192.0.2.1".parse().unwrap()));
        assert!(
            with("MATERIA_TRUSTED_PROXIES", "127.0.0.1, ::1")
                .unwrap()
                .trusts("::1".parse().unwrap())
        );
        assert!(
            with("MATERIA_TRUSTED_PROXIES", "caddy")
                .unwrap_err()
                .contains("neither an address nor a network")
        );
    }

    #[test]
    fn debug_cannot_be_switched_on_in_a_file() {
        assert!(toml::from_str::<WebSettings>("debug = true").is_err());
        assert!(with("DEBUG", "true").unwrap().debug);
        assert!(!with("DEBUG", "false").unwrap().debug);
    }
}
