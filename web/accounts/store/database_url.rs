//! `DATABASE_URL`: the kind and location of the database. It may contain a password, which is never
//! repeated.

use std::{io, str::FromStr};

use sqlx::{
    ConnectOptions, any::AnyConnectOptions, postgres::PgConnectOptions,
    sqlite::SqliteConnectOptions,
};

use super::StoreError;

/// The accepted query parameters of PostgreSQL URLs. sqlx would log unknown ones together with
/// their values.
const PARAMETERS: [&str; 17] = [
    "application_name",
    "dbname",
    "host",
    "hostaddr",
    "options",
    "password",
    "port",
    "ssl-ca",
    "ssl-cert",
    "ssl-key",
    "ssl-mode",
    "ssl-root-cert",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "user",
];

/// The parsed URL of a supported database.
pub(super) enum DatabaseUrl {
    Sqlite(SqliteConnectOptions),
    Postgres {
        options: AnyConnectOptions,
        /// Host, port and database, without credentials, for messages.
        redacted: String,
    },
}

impl DatabaseUrl {
    pub(super) fn parse(url: &str) -> Result<Self, StoreError> {
        let scheme = url.split_once(':').map_or("", |(scheme, _)| scheme);
        match scheme {
            "sqlite" => SqliteConnectOptions::from_str(url)
                .map(|options| Self::Sqlite(options.create_if_missing(true)))
                .map_err(|_| StoreError::Address("the address cannot be read".to_owned())),
            "postgres" | "postgresql" => postgres(url),
            _ => Err(StoreError::Address(
                "it begins neither with sqlite: nor with postgres:".to_owned(),
            )),
        }
    }
}

fn postgres(url: &str) -> Result<DatabaseUrl, StoreError> {
    let unreadable = |_| {
        StoreError::Address(
            "the address cannot be read; write % and others that have a meaning in it as %25"
                .to_owned(),
        )
    };
    let mut options = AnyConnectOptions::from_str(url).map_err(unreadable)?;
    let is_set = |name: &str| options.database_url.query_pairs().any(|(key, _)| key == name);
    let known = |name: &str| PARAMETERS.contains(&name) || name.starts_with("options[");
    if let Some((name, _)) = options.database_url.query_pairs().find(|(name, _)| !known(name)) {
        return Err(StoreError::Address(format!(
            "unknown parameter {name:?}; known are {}",
            PARAMETERS.join(", ")
        )));
    }
    let read = PgConnectOptions::from_str(url).map_err(unreadable)?;
    let server = read.get_socket().map_or_else(
        || format!("{}:{}", read.get_host(), read.get_port()),
        |path| path.display().to_string(),
    );
    let redacted =
        format!("{server}, database {}", read.get_database().unwrap_or(read.get_username()));
    if !is_set("application_name") {
        options.database_url.query_pairs_mut().append_pair("application_name", "materia");
    }
    Ok(DatabaseUrl::Postgres { options, redacted })
}

/// Returns the options of a file for sqlx's `Any`, by its full path: a relative one, or one that
/// begins with a space, would be parsed as a host.
pub(super) fn file_options(options: SqliteConnectOptions) -> sqlx::Result<AnyConnectOptions> {
    let path = options.get_filename().canonicalize()?;
    let path = path.to_str().ok_or_else(|| io::Error::other("its path is not UTF-8"))?;
    // sqlx formats and parses URLs consistently, except for this character.
    let url = options.filename(path.replace('%', "%25")).to_url_lossy();
    AnyConnectOptions::from_url(&url)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn redacted(url: &str) -> String {
        match DatabaseUrl::parse(url) {
            Ok(DatabaseUrl::Postgres { redacted, .. }) => redacted,
            Ok(DatabaseUrl::Sqlite(options)) => options.get_filename().display().to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_place_is_named_without_who_may_enter() {
        assert_eq!(
            redacted("postgres://ana:hunter2@db.example:6432/materia?sslmode=require"),
            "db.example:6432, database materia"
        );
        assert_eq!(
            redacted("postgresql://ana:hunter2@%2Frun%2Fpostgresql/materia"),
            "/run/postgresql, database materia"
        );
        assert_eq!(
            redacted("postgres:///materia?host=/run/postgresql&user=ana"),
            "/run/postgresql, database materia"
        );
        assert_eq!(redacted("sqlite://accounts.db"), "accounts.db");
    }

    #[test]
    fn what_cannot_be_used_is_named_and_never_repeated() {
        for url in [
            "postgres://ana:hunter2@db:port/materia",
            "postgres://ana:hunter2@db/materia?sslmode=hunter2",
            "postgres://db/materia?pasword=hunter2",
            "mysql://ana:hunter2@db/materia",
            "hunter2",
            "",
        ] {
            let message = redacted(url);
            assert!(
                message.starts_with("DATABASE_URL: ")
                    && message.contains("postgres://")
                    && !message.contains("hunter2"),
                "{url}: {message}"
            );
        }
        assert!(
            redacted("postgres://db/materia?pasword=hunter2")
                .contains("unknown parameter \"pasword\"")
        );
    }

    #[test]
    fn a_file_is_found_whatever_it_is_called() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["plain.db", "with space.db", "50%25.db", "a?b#c.db", "ünïcode.db", "[x].db"]
        {
            let path = folder.path().join(name);
            std::fs::write(&path, "").unwrap();
            let any = file_options(SqliteConnectOptions::new().filename(&path)).unwrap();
            let read = SqliteConnectOptions::from_str(any.database_url.as_str()).unwrap();
            assert_eq!(read.get_filename(), path.canonicalize().unwrap(), "{name}");
        }
    }
}
