//! The address of a lake's catalog: `ducklake:` followed by the notation of DuckLake itself.
//! Passwords are removed from it and never displayed.

use std::path::{Path, PathBuf};

use url::Url;

use crate::secret::Secret;

pub const SCHEME: &str = "ducklake:";

/// Timeouts for unresponsive servers, as libpq parameters, in seconds or milliseconds.
const DEFAULT_TIMEOUTS: [(&str, &str); 5] = [
    ("connect_timeout", "5"),
    ("tcp_user_timeout", "10000"),
    ("keepalives_idle", "10"),
    ("keepalives_interval", "5"),
    ("keepalives_count", "3"),
];

/// The location of a lake's catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogUrl {
    pub(super) catalog: CatalogBackend,
    pub(super) password: Option<Secret>,
}

/// The database that contains the catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum CatalogBackend {
    /// A PostgreSQL database: libpq keywords and values, without the password.
    Postgres(Vec<(String, String)>),
    Sqlite(PathBuf),
    /// A DuckDB file. It serves a single host, since DuckDB allows one writer or many readers.
    DuckDb(PathBuf),
}

impl CatalogUrl {
    /// Returns whether the text is an address rather than a file path.
    #[must_use]
    pub fn matches(text: &str) -> bool {
        text.starts_with(SCHEME)
    }

    /// Parses an address. Relative paths in it start from `folder`.
    ///
    /// # Errors
    /// Returns a message that never contains the password.
    pub fn parse(text: &str, folder: &Path) -> Result<Self, String> {
        let example = "write for example ducklake:postgres:host=db dbname=lake user=materia, or ducklake:sqlite:lake.sqlite";
        let rest = text
            .strip_prefix(SCHEME)
            .ok_or_else(|| format!("it does not begin with {SCHEME}; {example}"))?;
        let file = |path: &str| {
            if path.is_empty() {
                Err(format!("it names no file; {example}"))
            } else {
                Ok(folder.join(path))
            }
        };
        let place = |catalog| Self { catalog, password: None };
        if let Some(path) = rest.strip_prefix("sqlite:") {
            return file(path).map(CatalogBackend::Sqlite).map(place);
        }
        let url = rest.strip_prefix("postgres:").filter(|rest| is_url(rest)).unwrap_or(rest);
        if is_url(url) {
            return postgres(from_url(url)?);
        }
        if let Some(parameters) = rest.strip_prefix("postgres:") {
            return postgres(keywords(parameters)?);
        }
        if ["mysql:", "motherduck:", "md:"].iter().any(|start| rest.starts_with(start)) {
            return Err(format!("a catalog is in PostgreSQL, SQLite or a DuckDB file; {example}"));
        }
        file(rest.strip_prefix("duckdb:").unwrap_or(rest)).map(CatalogBackend::DuckDb).map(place)
    }

    /// Adds the password if the address needs one and has none.
    pub(super) fn with_password(self, password: Option<&Secret>) -> Self {
        match self.catalog {
            CatalogBackend::Postgres(_) => {
                Self { password: self.password.or_else(|| password.cloned()), ..self }
            }
            CatalogBackend::Sqlite(_) | CatalogBackend::DuckDb(_) => self,
        }
    }

    /// Returns the `ATTACH` argument for the catalog's own database, without a password.
    pub(super) fn database(&self) -> String {
        match &self.catalog {
            CatalogBackend::Postgres(parameters) => {
                let missing = DEFAULT_TIMEOUTS
                    .iter()
                    .filter(|(key, _)| parameters.iter().all(|(known, _)| known != key));
                let missing: Vec<_> =
                    missing.map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
                spell(parameters.iter().chain(&missing))
            }
            CatalogBackend::Sqlite(path) | CatalogBackend::DuckDb(path) => {
                path.to_string_lossy().into_owned()
            }
        }
    }

    /// Returns the `ATTACH` argument for the lake, without a password.
    pub(super) fn lake(&self) -> String {
        let kind = match &self.catalog {
            CatalogBackend::Postgres(_) => "postgres:",
            CatalogBackend::Sqlite(_) => "sqlite:",
            CatalogBackend::DuckDb(_) => "",
        };
        format!("{SCHEME}{kind}{}", self.database())
    }
}

impl std::fmt::Display for CatalogUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.catalog {
            CatalogBackend::Postgres(parameters) => {
                write!(f, "{SCHEME}postgres:{}", spell(parameters.iter()))
            }
            CatalogBackend::Sqlite(path) => write!(f, "{SCHEME}sqlite:{}", path.display()),
            CatalogBackend::DuckDb(path) => write!(f, "{SCHEME}{}", path.display()),
        }
    }
}

fn postgres(mut parameters: Vec<(String, String)>) -> Result<CatalogUrl, String> {
    let password = parameters
        .iter()
        .position(|(key, _)| key == "password")
        .map(|at| Secret::new(parameters.remove(at).1));
    if parameters.is_empty() && password.is_none() {
        return Err("it names no PostgreSQL database; write for example ducklake:postgres:host=db dbname=lake user=materia".to_owned());
    }
    Ok(CatalogUrl { catalog: CatalogBackend::Postgres(parameters), password })
}

fn is_url(text: &str) -> bool {
    text.starts_with("postgres://") || text.starts_with("postgresql://")
}

/// Parses libpq's `key = 'value'` lists; see its documentation, section "Keyword/Value Connection
/// Strings".
fn keywords(text: &str) -> Result<Vec<(String, String)>, String> {
    let wrong = || {
        "its parameters cannot be read; write host=db dbname=lake user=materia, and '' around values with spaces".to_owned()
    };
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (key, after) = rest.split_once('=').ok_or_else(wrong)?;
        let key = key.trim();
        if key.is_empty() || key.contains(char::is_whitespace) {
            return Err(wrong());
        }
        let after = after.trim_start();
        let (value, end) = match after.strip_prefix('\'') {
            Some(quoted) => {
                let (value, end) = until(quoted, |char| char == '\'');
                (value, end.strip_prefix('\'').ok_or_else(wrong)?)
            }
            None => until(after, char::is_whitespace),
        };
        found.push((key.to_lowercase(), value));
        rest = end.trim_start();
    }
    Ok(found)
}

/// Splits the text at the first unescaped `end`: returns the text before it with escapes resolved,
/// and the rest.
fn until(text: &str, end: impl Fn(char) -> bool) -> (String, &str) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '\\' => value.extend(chars.next().map(|(_, char)| char)),
            char if end(char) => return (value, &text[at..]),
            char => value.push(char),
        }
    }
    (value, "")
}

fn spell<'a>(parameters: impl Iterator<Item = &'a (String, String)>) -> String {
    let one = |(key, value): &(String, String)| {
        let plain = !value.is_empty()
            && !value.contains(|char: char| char.is_whitespace() || char == '\'' || char == '\\');
        if plain {
            format!("{key}={value}")
        } else {
            format!("{key}='{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
        }
    };
    parameters.map(one).collect::<Vec<_>>().join(" ")
}

/// Converts a URL to keywords and values, since the parameters that DuckDB prepends to an address
/// are only accepted before those.
fn from_url(text: &str) -> Result<Vec<(String, String)>, String> {
    let url = Url::parse(text).map_err(|error| format!("its address cannot be read: {error}"))?;
    let plain = |text: &str| {
        let pair =
            url::form_urlencoded::parse(format!("x={}", text.replace('+', "%2B")).as_bytes())
                .next()
                .map(|(_, value)| value.into_owned());
        pair.unwrap_or_default()
    };
    let mut found = Vec::new();
    let mut push = |key: &str, value: String| {
        if !value.is_empty() {
            found.push((key.to_owned(), value));
        }
    };
    push("host", url.host_str().map(plain).unwrap_or_default().trim_matches(['[', ']']).to_owned());
    push("port", url.port().map(|port| port.to_string()).unwrap_or_default());
    push("user", plain(url.username()));
    push("password", url.password().map(plain).unwrap_or_default());
    push("dbname", plain(url.path().trim_start_matches('/')));
    for (key, value) in url.query_pairs() {
        push(&key, value.into_owned());
    }
    Ok(found)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn read(text: &str) -> CatalogUrl {
        CatalogUrl::parse(text, Path::new("/etc/materia")).unwrap()
    }

    #[test]
    fn no_spelling_of_a_password_is_shown() {
        for text in [
            "ducklake:postgres:host=db dbname=lake user=materia password=hunter2",
            r"ducklake:postgres:host=db password = 'hun\ter2' dbname=lake  user=materia",
            "ducklake:postgres://materia:hunter2@db/lake",
            "ducklake:postgresql://materia:hunter2@db/lake",
            "ducklake:postgres:postgresql://materia:hunter%32@db/lake",
            "ducklake:postgres://materia@db/lake?password=hunter2",
        ] {
            let address = read(text);
            assert_eq!(address.password.as_ref().unwrap().reveal(), "hunter2", "{text}");
            for shown in
                [address.to_string(), format!("{address:?}"), address.lake(), address.database()]
            {
                assert!(!shown.contains("hunter2") && shown.contains("lake"), "{shown}");
            }
        }
        let address = read("ducklake:postgres://materia:hunter2@db:5433/lake?sslmode=require");
        assert_eq!(
            address.to_string(),
            "ducklake:postgres:host=db port=5433 user=materia dbname=lake sslmode=require"
        );
    }

    #[test]
    fn values_with_spaces_and_quotes_come_out_as_they_went_in() {
        let address = read(r"ducklake:postgres:dbname='a b\'c' user=d\ e options=''");
        assert_eq!(address.to_string(), r"ducklake:postgres:dbname='a b\'c' user='d e' options=''");
        assert_eq!(read(&address.to_string()), address);
    }

    #[test]
    fn files_are_beside_the_settings_that_name_them() {
        assert_eq!(read("ducklake:sqlite:lake.sqlite").database(), "/etc/materia/lake.sqlite");
        assert_eq!(read("ducklake:lake.ducklake").lake(), "ducklake:/etc/materia/lake.ducklake");
        assert_eq!(
            read("ducklake:duckdb:/srv/lake.ducklake").lake(),
            "ducklake:/srv/lake.ducklake"
        );
    }

    #[test]
    fn a_server_that_does_not_answer_is_given_up_unless_told_otherwise() {
        assert!(
            read("ducklake:postgres:dbname=lake")
                .database()
                .contains(" connect_timeout=5 tcp_user_timeout=10000 keepalives_idle=10 ")
        );
        assert!(
            read("ducklake:postgres:dbname=lake connect_timeout=60")
                .database()
                .contains("connect_timeout=60 tcp")
        );
    }

    #[test]
    fn what_is_no_address_says_what_to_write_and_repeats_no_password() {
        for text in [
            "ducklake:",
            "ducklake:sqlite:",
            "ducklake:postgres:",
            "ducklake:mysql:db=x",
            "ducklake:postgres:password=hunter2 'x'=1 y",
        ] {
            let problem = CatalogUrl::parse(text, Path::new("")).unwrap_err();
            assert!(
                problem.contains("write ") && !problem.contains("hunter2"),
                "{text}: {problem}"
            );
        }
    }
}
