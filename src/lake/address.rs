//! Where a lake's catalog is: `ducklake:` and then as DuckLake itself writes it. Passwords are taken out, and shown to nobody.

use std::path::{Path, PathBuf};

use url::Url;

use crate::settings::Secret;

/// What every address begins with.
pub const SCHEME: &str = "ducklake:";

/// For how long a server that does not answer is waited for, in libpq's words: seconds, and milliseconds.
const PATIENCE: [(&str, &str); 5] = [
    ("connect_timeout", "5"),
    ("tcp_user_timeout", "10000"),
    ("keepalives_idle", "10"),
    ("keepalives_interval", "5"),
    ("keepalives_count", "3"),
];

/// The place of a lake's catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    pub(super) catalog: CatalogPlace,
    pub(super) password: Option<Secret>,
}

/// In what kind of database the catalog is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum CatalogPlace {
    /// A PostgreSQL database, by libpq's keywords and values; without its password.
    Postgres(Vec<(String, String)>),
    /// A SQLite file.
    Sqlite(PathBuf),
    /// A DuckDB file: for one host, since one process writes it or many read it.
    DuckDb(PathBuf),
}

impl Address {
    /// Whether a text is meant to be an address, and not a file's path.
    #[must_use]
    pub fn is_meant_by(text: &str) -> bool {
        text.starts_with(SCHEME)
    }

    /// Reads an address. Paths in it are relative to `folder`.
    ///
    /// # Errors
    /// In words, what is wrong; never with a password in it.
    pub fn parse(text: &str, folder: &Path) -> Result<Self, String> {
        let example = "write for example ducklake:postgres:host=db dbname=lake user=materia, or ducklake:sqlite:lake.sqlite";
        let rest = text.strip_prefix(SCHEME).ok_or_else(|| format!("it does not begin with {SCHEME}; {example}"))?;
        let file = |path: &str| if path.is_empty() { Err(format!("it names no file; {example}")) } else { Ok(folder.join(path)) };
        let place = |catalog| Self { catalog, password: None };
        if let Some(path) = rest.strip_prefix("sqlite:") {
            return file(path).map(CatalogPlace::Sqlite).map(place);
        }
        let url = rest.strip_prefix("postgres:").filter(|rest| is_url(rest)).unwrap_or(rest);
        if is_url(url) {
            return postgres(from_url(url)?);
        }
        if let Some(parameters) = rest.strip_prefix("postgres:") {
            return postgres(keywords(parameters)?);
        }
        if ["mysql:", "motherduck:", "md:"].iter().any(|start| rest.starts_with(start)) {
            return Err(format!("catalogs are kept in PostgreSQL, SQLite or a DuckDB file; {example}"));
        }
        file(rest.strip_prefix("duckdb:").unwrap_or(rest)).map(CatalogPlace::DuckDb).map(place)
    }

    /// The same with a password, where it has none and needs one.
    pub(super) fn or_password(self, password: Option<&Secret>) -> Self {
        match self.catalog {
            CatalogPlace::Postgres(_) => Self { password: self.password.or_else(|| password.cloned()), ..self },
            CatalogPlace::Sqlite(_) | CatalogPlace::DuckDb(_) => self,
        }
    }

    /// What DuckDB attaches as the catalog's own database, without a password.
    pub(super) fn database(&self) -> String {
        match &self.catalog {
            CatalogPlace::Postgres(parameters) => {
                let missing = PATIENCE.iter().filter(|(key, _)| parameters.iter().all(|(known, _)| known != key));
                let missing: Vec<_> = missing.map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
                spell(parameters.iter().chain(&missing))
            }
            CatalogPlace::Sqlite(path) | CatalogPlace::DuckDb(path) => path.to_string_lossy().into_owned(),
        }
    }

    /// What DuckLake attaches, without a password.
    pub(super) fn lake(&self) -> String {
        let kind = match &self.catalog {
            CatalogPlace::Postgres(_) => "postgres:",
            CatalogPlace::Sqlite(_) => "sqlite:",
            CatalogPlace::DuckDb(_) => "",
        };
        format!("{SCHEME}{kind}{}", self.database())
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.catalog {
            CatalogPlace::Postgres(parameters) => write!(f, "{SCHEME}postgres:{}", spell(parameters.iter())),
            CatalogPlace::Sqlite(path) => write!(f, "{SCHEME}sqlite:{}", path.display()),
            CatalogPlace::DuckDb(path) => write!(f, "{SCHEME}{}", path.display()),
        }
    }
}

fn postgres(mut parameters: Vec<(String, String)>) -> Result<Address, String> {
    let password = parameters.iter().position(|(key, _)| key == "password").map(|at| Secret::new(parameters.remove(at).1));
    if parameters.is_empty() && password.is_none() {
        return Err("it names no PostgreSQL database; write for example ducklake:postgres:host=db dbname=lake user=materia".to_owned());
    }
    Ok(Address { catalog: CatalogPlace::Postgres(parameters), password })
}

fn is_url(text: &str) -> bool {
    text.starts_with("postgres://") || text.starts_with("postgresql://")
}

/// libpq's `key = 'value'` lists, see its documentation, section "Keyword/Value Connection Strings".
fn keywords(text: &str) -> Result<Vec<(String, String)>, String> {
    let wrong = || "its parameters cannot be read; write host=db dbname=lake user=materia, and '' around values with spaces".to_owned();
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

/// The text up to a character, with `\` before one that is meant as it is, and what is left.
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
        let plain = !value.is_empty() && !value.contains(|char: char| char.is_whitespace() || char == '\'' || char == '\\');
        if plain { format!("{key}={value}") } else { format!("{key}='{}'", value.replace('\\', "\\\\").replace('\'', "\\'")) }
    };
    parameters.map(one).collect::<Vec<_>>().join(" ")
}

/// The same as keywords: what DuckDB puts before an address can only be put before those.
fn from_url(text: &str) -> Result<Vec<(String, String)>, String> {
    let url = Url::parse(text).map_err(|error| format!("its address cannot be read: {error}"))?;
    let plain = |text: &str| {
        let pair =
            url::form_urlencoded::parse(format!("x={}", text.replace('+', "%2B")).as_bytes()).next().map(|(_, value)| value.into_owned());
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

    fn read(text: &str) -> Address {
        Address::parse(text, Path::new("/etc/materia")).unwrap()
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
            for shown in [address.to_string(), format!("{address:?}"), address.lake(), address.database()] {
                assert!(!shown.contains("hunter2") && shown.contains("lake"), "{shown}");
            }
        }
        let address = read("ducklake:postgres://materia:hunter2@db:5433/lake?sslmode=require");
        assert_eq!(address.to_string(), "ducklake:postgres:host=db port=5433 user=materia dbname=lake sslmode=require");
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
        assert_eq!(read("ducklake:duckdb:/srv/lake.ducklake").lake(), "ducklake:/srv/lake.ducklake");
    }

    #[test]
    fn a_server_that_does_not_answer_is_given_up_unless_told_otherwise() {
        assert!(read("ducklake:postgres:dbname=lake").database().contains(" connect_timeout=5 tcp_user_timeout=10000 keepalives_idle=10 "));
        assert!(read("ducklake:postgres:dbname=lake connect_timeout=60").database().contains("connect_timeout=60 tcp"));
    }

    #[test]
    fn what_is_no_address_says_what_to_write_and_repeats_no_password() {
        for text in
            ["ducklake:", "ducklake:sqlite:", "ducklake:postgres:", "ducklake:mysql:db=x", "ducklake:postgres:password=hunter2 'x'=1 y"]
        {
            let problem = Address::parse(text, Path::new("")).unwrap_err();
            assert!(problem.contains("write ") && !problem.contains("hunter2"), "{text}: {problem}");
        }
    }
}
