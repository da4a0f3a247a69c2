//! `DATABASE_URL`: which database, and where. It may hold a password: nothing here repeats it.

use std::{io, str::FromStr};

use sqlx::{ConnectOptions, any::AnyConnectOptions, postgres::PgConnectOptions, sqlite::SqliteConnectOptions};

use super::StoreError;

/// What PostgreSQL's address may say after the question mark. sqlx would write others, and what they are set to, into the log.
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

/// A database that can be used.
pub(super) enum Address {
    /// A file.
    Sqlite(SqliteConnectOptions),
    /// A server.
    Postgres {
        /// How to reach it.
        options: AnyConnectOptions,
        /// How to name it to people: host, port and database.
        place: String,
    },
}

impl Address {
    /// Reads an address.
    pub(super) fn parse(url: &str) -> Result<Self, StoreError> {
        let scheme = url.split_once(':').map_or("", |(scheme, _)| scheme);
        match scheme {
            "sqlite" => SqliteConnectOptions::from_str(url)
                .map(|options| Self::Sqlite(options.create_if_missing(true)))
                .map_err(|_| StoreError::Address("the address cannot be read".to_owned())),
            "postgres" | "postgresql" => postgres(url),
            _ => Err(StoreError::Address("it begins neither with sqlite: nor with postgres:".to_owned())),
        }
    }
}

fn postgres(url: &str) -> Result<Address, StoreError> {
    let unreadable = |_| StoreError::Address("the address cannot be read; write % and others that have a meaning in it as %25".to_owned());
    let mut options = AnyConnectOptions::from_str(url).map_err(unreadable)?;
    let given = |name: &str| options.database_url.query_pairs().any(|(key, _)| key == name);
    let known = |name: &str| PARAMETERS.contains(&name) || name.starts_with("options[");
    if let Some((name, _)) = options.database_url.query_pairs().find(|(name, _)| !known(name)) {
        return Err(StoreError::Address(format!("{name:?} is no parameter that is known; known are {}", PARAMETERS.join(", "))));
    }
    let read = PgConnectOptions::from_str(url).map_err(unreadable)?;
    let server = read.get_socket().map_or_else(|| format!("{}:{}", read.get_host(), read.get_port()), |path| path.display().to_string());
    let place = format!("{server}, database {}", read.get_database().unwrap_or(read.get_username()));
    if !given("application_name") {
        options.database_url.query_pairs_mut().append_pair("application_name", "materia");
    }
    Ok(Address::Postgres { options, place })
}

/// The same file as `Any` takes it: by its full path, since what is relative or has a space in front reads as a host.
pub(super) fn of_file(options: SqliteConnectOptions) -> sqlx::Result<AnyConnectOptions> {
    let path = options.get_filename().canonicalize()?;
    let path = path.to_str().ok_or_else(|| io::Error::other("its path is no UTF-8"))?;
    // What it writes it reads back, but for this.
    let url = options.filename(path.replace('%', "%25")).to_url_lossy();
    AnyConnectOptions::from_url(&url)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn place(url: &str) -> String {
        match Address::parse(url) {
            Ok(Address::Postgres { place, .. }) => place,
            Ok(Address::Sqlite(options)) => options.get_filename().display().to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_place_is_named_without_who_may_enter() {
        assert_eq!(place("postgres://ana:hunter2@db.example:6432/materia?sslmode=require"), "db.example:6432, database materia");
        assert_eq!(place("postgresql://ana:hunter2@%2Frun%2Fpostgresql/materia"), "/run/postgresql, database materia");
        assert_eq!(place("postgres:///materia?host=/run/postgresql&user=ana"), "/run/postgresql, database materia");
        assert_eq!(place("sqlite://accounts.db"), "accounts.db");
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
            let told = place(url);
            assert!(told.starts_with("DATABASE_URL: ") && told.contains("postgres://") && !told.contains("hunter2"), "{url}: {told}");
        }
        assert!(place("postgres://db/materia?pasword=hunter2").contains("\"pasword\" is no parameter"));
    }

    #[test]
    fn a_file_is_found_whatever_it_is_called() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["plain.db", "with space.db", "50%25.db", "a?b#c.db", "ünïcode.db", "[x].db"] {
            let path = folder.path().join(name);
            std::fs::write(&path, "").unwrap();
            let any = of_file(SqliteConnectOptions::new().filename(&path)).unwrap();
            let read = SqliteConnectOptions::from_str(any.database_url.as_str()).unwrap();
            assert_eq!(read.get_filename(), path.canonicalize().unwrap(), "{name}");
        }
    }
}
