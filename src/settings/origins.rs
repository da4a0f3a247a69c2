//! Tracks the origin of the settings for important locations: a location that is set in several
//! places silently overrides the others, and operators need to see which one applies.

use serde::Serialize;

/// A location, where it was set, and which other settings it overrides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SettingOrigin {
    /// The setting: `serving`, `lakehouse`, `extensions`.
    pub setting: &'static str,
    /// Where it was set: a flag, a variable, `materia.toml`, or `default`.
    pub from: String,
    /// The overridden settings, in descending order of precedence.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub overrides: Vec<Overridden>,
}

/// A setting that has no effect because another one takes precedence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Overridden {
    /// Where it was set.
    pub from: String,
    /// Its value as written there, without a password.
    pub place: String,
}

/// A place where a setting may be set, and its value there.
#[derive(Debug, Clone)]
pub struct OriginCandidate {
    /// A flag, a variable or a file.
    pub from: String,
    /// The value, if it is set there.
    pub place: Option<String>,
}

impl SettingOrigin {
    /// Finds the origin of a setting among the candidates, which are given in descending order of
    /// precedence.
    #[must_use]
    pub fn find(setting: &'static str, candidates: Vec<OriginCandidate>) -> Self {
        let mut named = candidates.into_iter().filter_map(|candidate| {
            let place = candidate.place.filter(|place| !place.is_empty())?;
            Some((candidate.from, place))
        });
        let Some((from, place)) = named.next() else {
            return Self { setting, from: "default".to_owned(), overrides: Vec::new() };
        };
        let overrides = named
            .filter(|(_, other)| *other != place)
            .map(|(from, other)| Overridden { from, place: shown(&other) })
            .collect();
        Self { setting, from, overrides }
    }

    /// Describes the overridden settings in one sentence; `None` if there are none.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        let first = self.overrides.first()?;
        Some(format!(
            "{} is taken from {}, which overrides {:?} from {}; remove one of them",
            self.setting, self.from, first.place, first.from
        ))
    }
}

/// Every variable with its key in `materia.toml`; those without one may be secret and are never
/// shown.
pub const VARIABLES: [(&str, Option<&str>); 45] = [
    ("DUCKDB_PATH", Some("lakehouse")),
    ("SERVING_DUCKDB_PATH", Some("serving")),
    ("MATERIA_EXTENSIONS", Some("extensions")),
    ("MATERIA_DATA_DIR", None),
    ("MATERIA_LAKE_DATA", Some("lake.data")),
    ("MATERIA_LAKE_GRACE", Some("lake.grace")),
    ("MATERIA_LAKE_ORPHANS", Some("lake.orphans")),
    ("MATERIA_SCHEMA", Some("export.schema")),
    ("MATERIA_TIME_ZONE", Some("export.time_zone")),
    ("MATERIA_SNAPSHOT", Some("export.snapshot")),
    ("MATERIA_HELD", Some("export.held")),
    ("MATERIA_WAIT", Some("export.wait")),
    ("MATERIA_KEEP", Some("export.keep")),
    ("MATERIA_MEMORY_LIMIT", Some("export.memory_limit")),
    ("MATERIA_THREADS", Some("export.threads")),
    ("MATERIA_STORAGE_VERSION", Some("export.storage_version")),
    ("MATERIA_METRICS_FILE", Some("export.metrics_file")),
    ("MATERIA_MAX_AGE", Some("status.max_age")),
    ("MATERIA_DASHBOARDS", Some("dashboards.dir")),
    ("SUPERVISOR_LOCK", Some("alerts.supervisor")),
    ("MATERIA_BACKUPS", Some("alerts.backups")),
    ("MATERIA_SITE", Some("alerts.site")),
    ("MATERIA_BACKUP_TO", Some("accounts.backup_to")),
    ("BASE_URL", Some("web.base_url")),
    ("MATERIA_LISTEN", Some("web.listen")),
    ("MATERIA_METRICS", Some("web.metrics")),
    ("MATERIA_TRUSTED_PROXIES", Some("web.trusted_proxies")),
    ("MATERIA_REQUESTS_PER_MINUTE", Some("web.requests_per_minute")),
    ("MATERIA_LOG_FORMAT", Some("web.log")),
    ("MATERIA_DRAIN", Some("web.drain")),
    ("DATABASE_URL", None),
    ("SMTP_URL", None),
    ("MAIL_FROM", None),
    ("ADMIN_EMAILS", None),
    ("ALERT_WEBHOOK_URL", None),
    ("HEARTBEAT_URL", None),
    ("AWS_ACCESS_KEY_ID", None),
    ("AWS_SECRET_ACCESS_KEY", None),
    ("AWS_SESSION_TOKEN", None),
    ("AWS_REGION", None),
    ("AWS_ENDPOINT_URL", None),
    ("PGPASSWORD", None),
    ("DEBUG", None),
    ("DEBUG_ANYWHERE", None),
    ("LANDING", None),
];

/// Returns a value of a settings file as text, by its key: `export.keep`.
#[must_use]
pub fn value_in_file(text: &str, key: &str) -> Option<String> {
    let table = text.parse::<toml::Table>().ok()?;
    let (last, sections) = {
        let mut parts: Vec<_> = key.split('.').collect();
        (parts.pop()?, parts)
    };
    let mut table = &table;
    for section in sections {
        table = table.get(section)?.as_table()?;
    }
    table.get(last).map(value_text)
}

fn value_text(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => text.clone(),
        toml::Value::Integer(number) => number.to_string(),
        toml::Value::Float(number) => number.to_string(),
        toml::Value::Boolean(flag) => flag.to_string(),
        toml::Value::Datetime(at) => at.to_string(),
        toml::Value::Array(values) => values.iter().map(value_text).collect::<Vec<_>>().join(","),
        toml::Value::Table(_) => "a table".to_owned(),
    }
}

/// Returns a string of a settings file's top level.
#[must_use]
pub fn string_in_file(text: &str, key: &str) -> Option<String> {
    text.parse::<toml::Table>().ok()?.get(key)?.as_str().map(str::to_owned)
}

/// Returns the location without anything that may be a password.
fn shown(place: &str) -> String {
    match super::CatalogUrl::parse(place, std::path::Path::new("")) {
        Ok(address) => address.to_string(),
        Err(_) if super::CatalogUrl::matches(place) => "ducklake:...".to_owned(),
        Err(_) => place.to_owned(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn candidate(from: &str, place: Option<&str>) -> OriginCandidate {
        OriginCandidate { from: from.to_owned(), place: place.map(str::to_owned) }
    }

    #[test]
    fn a_place_that_is_overridden_is_named_without_its_password() {
        let origin = SettingOrigin::find(
            "serving",
            vec![
                candidate("--to", None),
                candidate("SERVING_DUCKDB_PATH", Some("/data/analytics.duckdb")),
                candidate("materia.toml", Some("ducklake:postgres:host=db password=hunter2")),
            ],
        );
        assert_eq!(
            origin.warning().unwrap(),
            "serving is taken from SERVING_DUCKDB_PATH, which overrides \"ducklake:postgres:host=db\" from materia.toml; remove one of them"
        );
        let same = SettingOrigin::find(
            "serving",
            vec![candidate("--to", Some("x")), candidate("SERVING_DUCKDB_PATH", Some("x"))],
        );
        assert_eq!((same.from.as_str(), same.warning()), ("--to", None));
        assert_eq!(SettingOrigin::find("serving", vec![candidate("--to", None)]).from, "default");
    }
}
