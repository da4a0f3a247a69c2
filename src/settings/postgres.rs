//! The `[postgres]` section: the endpoint that speaks PostgreSQL's protocol.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Deserializer};

use super::{Lookup, SettingsError, overlay};
use crate::plan::Plan;

/// Settings of `materia postgres`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PostgresSettings {
    /// The address on which it listens. Without `cert` and `key`, only a loopback address. `listen`
    /// / `MATERIA_POSTGRES_LISTEN`; default `127.0.0.1:5433`.
    pub listen: SocketAddr,
    /// A folder for a Unix socket, whose name follows from the port. Default: none.
    pub socket: Option<PathBuf>,
    /// The certificate chain for TLS, as PEM.
    pub cert: Option<PathBuf>,
    /// The certificate's private key, as PEM.
    pub key: Option<PathBuf>,
    /// The address that serves `/metrics`; loopback or private. Default: none.
    #[serde(deserialize_with = "super::web::private_address")]
    pub metrics: Option<SocketAddr>,
    /// Connections of all accounts together.
    #[serde(deserialize_with = "super::at_least_one")]
    pub connections: usize,
    /// Statements of one plan that run at the same time.
    #[serde(deserialize_with = "super::at_least_one")]
    pub concurrent: usize,
    /// Memory of all engines: `512MB`, `2GB`. Default: half of the machine's.
    #[serde(deserialize_with = "memory")]
    pub memory: Option<u64>,
    /// Memory of one connection's prepared statements, parameters and rows that are being sent.
    /// Default: 32 MB.
    #[serde(deserialize_with = "connection_memory")]
    pub connection_memory: usize,
    /// What differs from the defaults for a plan.
    pub limits: BTreeMap<Plan, LimitsSection>,
}

/// Limits of a plan, as written in the file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsSection {
    pub connections: Option<usize>,
    #[serde(deserialize_with = "super::optional_duration")]
    pub timeout: Option<Duration>,
    pub rows: Option<usize>,
    pub statements: Option<usize>,
    #[serde(deserialize_with = "memory")]
    pub memory: Option<u64>,
}

/// Limits of one account's connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PostgresLimits {
    pub connections: usize,
    /// Time of one statement, from its start to its last row.
    pub timeout: Duration,
    /// Time that a statement may wait for others.
    pub queue_timeout: Duration,
    /// Rows of one statement.
    pub rows: usize,
    /// Statements of one account that run at the same time, with open cursors.
    pub statements: usize,
}

impl Default for PostgresSettings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 5433)),
            socket: None,
            cert: None,
            key: None,
            metrics: None,
            connections: 100,
            concurrent: 16,
            memory: None,
            connection_memory: 32_000_000,
            limits: BTreeMap::new(),
        }
    }
}

impl PostgresSettings {
    pub(super) fn overlay(&mut self, env: Lookup, folder: &Path) -> Result<(), SettingsError> {
        overlay(env, "MATERIA_POSTGRES_LISTEN", &mut self.listen, |text| {
            text.parse().map_err(|_| {
                format!("{text:?} is not an address to listen on; write for example 127.0.0.1:5433")
            })
        })?;
        for path in [&mut self.socket, &mut self.cert, &mut self.key] {
            *path = path.take().map(|path| folder.join(path));
        }
        Ok(())
    }

    /// Returns the limits of an account. Operators have no limit of rows.
    #[must_use]
    pub fn limits_of(&self, plan: Plan, operator: bool) -> PostgresLimits {
        let (connections, seconds, rows, share) = match plan {
            _ if operator => (20, 3_600, usize::MAX, 2),
            Plan::Free => (2, 10, 100_000, 8),
            Plan::Starter => (5, 60, 1_000_000, 4),
            Plan::Pro => (20, 300, usize::MAX, 2),
        };
        let own = self.limits.get(&plan).filter(|_| !operator);
        PostgresLimits {
            connections: own.and_then(|own| own.connections).unwrap_or(connections),
            timeout: own
                .and_then(|own| own.timeout)
                .unwrap_or_else(|| Duration::from_secs(seconds)),
            queue_timeout: Duration::from_secs(10),
            rows: own.and_then(|own| own.rows).unwrap_or(rows),
            // No account takes every place of its plan.
            statements: own
                .and_then(|own| own.statements)
                .unwrap_or(self.concurrent / share)
                .clamp(1, self.concurrent),
        }
    }

    /// Returns the memory of a plan's engine, in bytes: its own, or its share of `total`.
    #[must_use]
    pub fn memory_of(&self, plan: Plan, operator: bool, total: u64) -> u64 {
        const LEAST: u64 = 64_000_000;
        let total = self.memory.unwrap_or(total);
        let share = match plan {
            _ if operator => total / 4,
            Plan::Free | Plan::Starter => total / 4,
            Plan::Pro => total / 2,
        };
        let own = self.limits.get(&plan).filter(|_| !operator).and_then(|own| own.memory);
        own.unwrap_or(share).max(LEAST)
    }
}

fn memory<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    parse_memory(deserializer, 64_000_000).map(Some)
}

fn connection_memory<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    // The longest statement is a part of it.
    let bytes = parse_memory(deserializer, 4_000_000)?;
    Ok(usize::try_from(bytes).unwrap_or(usize::MAX))
}

/// Reads an amount of memory of at least `least` bytes.
fn parse_memory<'de, D: Deserializer<'de>>(deserializer: D, least: u64) -> Result<u64, D::Error> {
    let text = String::deserialize(deserializer)?;
    let digits = text.trim().bytes().take_while(u8::is_ascii_digit).count();
    let unit: u64 = match text.trim()[digits..].trim().to_lowercase().as_str() {
        "mb" => 1_000_000,
        "mib" => 1 << 20,
        "gb" => 1_000_000_000,
        "gib" => 1 << 30,
        _ => 0,
    };
    let number = text.trim()[..digits].parse::<u64>().ok();
    let bytes = number.and_then(|number| number.checked_mul(unit)).filter(|bytes| *bytes > 0);
    match bytes {
        Some(bytes) if bytes >= least => Ok(bytes),
        Some(_) => Err(serde::de::Error::custom(format!(
            "{text:?} is too little memory; at least {} are needed",
            crate::humanize::bytes(least)
        ))),
        None => Err(serde::de::Error::custom(format!(
            "{text:?} is not an amount of memory; write for example \"512MB\" or \"2GB\""
        ))),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use crate::settings::Settings;

    use super::*;

    #[test]
    fn limits_are_a_plans_own_where_the_file_says_so() {
        let text = "[postgres]\nmemory = '2GB'\ncert = 'tls/cert.pem'\n[postgres.limits.starter]\ntimeout = '5s'\nrows = 10\nmemory = '300MB'";
        let settings =
            Settings::load(Some((Path::new("etc/materia.toml"), text)), &|_| None).unwrap();
        let postgres = settings.postgres;
        assert_eq!(postgres.cert.as_deref(), Some(Path::new("etc/tls/cert.pem")));
        assert_eq!(postgres.memory_of(Plan::Starter, false, 8_000_000_000), 300_000_000);
        assert_eq!(postgres.memory_of(Plan::Pro, false, 8_000_000_000), 1_000_000_000);
        assert_eq!(
            (postgres.limits_of(Plan::Starter, false).statements, postgres.concurrent),
            (4, 16)
        );
        let starter = postgres.limits_of(Plan::Starter, false);
        assert_eq!(
            (starter.timeout, starter.rows, starter.connections),
            (Duration::from_secs(5), 10, 5)
        );
        assert_eq!(postgres.limits_of(Plan::Starter, true).rows, usize::MAX);
        for wrong in [
            "memory = '2'",
            "memory = 'much'",
            "memory = '63MB'",
            "connection_memory = '3MB'",
            "connections = 0",
            "limits.gold = {}",
            "limits.pro.memory = 1",
        ] {
            let text = format!("[postgres]\n{wrong}");
            assert!(
                Settings::load(Some((Path::new("materia.toml"), &text)), &|_| None).is_err(),
                "{wrong}"
            );
        }
    }
}
