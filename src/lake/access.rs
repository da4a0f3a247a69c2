//! What opens a lake: the extensions that know its catalog and its storage, and the credentials for both.

use duckdb::Connection;
use url::Url;

use super::{
    LakeError,
    address::{Address, CatalogPlace},
};
use crate::{
    extensions::{Extension, Extensions},
    settings::{Lookup, Secret},
    sql,
};

/// The secret that holds the catalog's password.
pub(super) const CATALOG_SECRET: &str = "materia_catalog";

/// For how long storage that does not answer is waited for, in seconds, and how often it is asked again.
const STORAGE_PATIENCE: (u32, u32) = (5, 1);

/// What opens a lake, in the variables that every tool for S3 and PostgreSQL knows. Without them DuckDB's own persistent secrets and libpq's files count.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Credentials {
    /// The catalog's, unless its address has one.
    pub(super) password: Option<Secret>,
    key_id: Option<String>,
    secret: Option<Secret>,
    session_token: Option<Secret>,
    region: Option<String>,
    endpoint: Option<Url>,
}

impl Credentials {
    /// `PGPASSWORD` for the catalog; `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`, `AWS_REGION` or `AWS_DEFAULT_REGION`, and
    /// `AWS_ENDPOINT_URL_S3` or `AWS_ENDPOINT_URL` for a server that is not Amazon's.
    ///
    /// # Errors
    /// The endpoint is no address.
    pub fn load(env: Lookup) -> Result<Self, String> {
        let get = |names: &[&str]| names.iter().find_map(|name| env(name).filter(|text| !text.is_empty()));
        let endpoint = get(&["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"]).map(|text| Url::parse(&text));
        let endpoint = endpoint.transpose().map_err(|error| format!("{error}; write for example https://s3.example.com"))?;
        Ok(Self {
            password: get(&["PGPASSWORD"]).map(Secret::new),
            key_id: get(&["AWS_ACCESS_KEY_ID"]),
            secret: get(&["AWS_SECRET_ACCESS_KEY"]).map(Secret::new),
            session_token: get(&["AWS_SESSION_TOKEN"]).map(Secret::new),
            region: get(&["AWS_REGION", "AWS_DEFAULT_REGION"]),
            endpoint,
        })
    }

    /// The statement that gives them to one DuckDB; `None` where there are none.
    fn statement(&self) -> Option<String> {
        let (key_id, secret) = (self.key_id.as_ref()?, self.secret.as_ref()?);
        let mut options = vec![("KEY_ID", sql::literal(key_id)), ("SECRET", sql::literal(secret.reveal()))];
        options.extend(self.session_token.as_ref().map(|token| ("SESSION_TOKEN", sql::literal(token.reveal()))));
        options.extend(self.region.as_ref().map(|region| ("REGION", sql::literal(region))));
        if let Some(endpoint) = &self.endpoint {
            let port = endpoint.port().map(|port| format!(":{port}")).unwrap_or_default();
            options.push(("ENDPOINT", sql::literal(&format!("{}{port}", endpoint.host_str().unwrap_or_default()))));
            options.push(("URL_STYLE", sql::literal("path")));
            options.push(("USE_SSL", (endpoint.scheme() != "http").to_string()));
        }
        let options: Vec<_> = options.into_iter().map(|(name, value)| format!("{name} {value}")).collect();
        Some(format!("CREATE SECRET materia_storage (TYPE s3, {})", options.join(", ")))
    }
}

/// Whether these places are reached through the network.
pub(super) fn is_remote(place: &str) -> bool {
    ["s3://", "s3a://", "s3n://", "gs://", "gcs://", "r2://", "http://", "https://"].iter().any(|scheme| place.starts_with(scheme))
}

/// Lets a DuckDB read and write the catalog's own database.
pub(super) fn open_catalog(connection: &Connection, address: &Address, extensions: &Extensions) -> Result<(), LakeError> {
    match address.catalog {
        CatalogPlace::Postgres(_) => extensions.load(connection, &[Extension::Postgres])?,
        CatalogPlace::Sqlite(_) => extensions.load(connection, &[Extension::Sqlite])?,
        CatalogPlace::DuckDb(_) => {}
    }
    if let Some(password) = &address.password {
        let statement = format!("CREATE SECRET {CATALOG_SECRET} (TYPE postgres, PASSWORD {})", sql::literal(password.reveal()));
        connection.execute_batch(&statement).map_err(|source| LakeError::engine("keep the catalog's password", &source))?;
    }
    Ok(())
}

/// Lets a DuckDB read and write tables' data.
pub(super) fn open_storage(
    connection: &Connection,
    credentials: &Credentials,
    is_remote: bool,
    extensions: &Extensions,
) -> Result<(), LakeError> {
    extensions.load(connection, &[Extension::DuckLake])?;
    if !is_remote {
        return Ok(());
    }
    extensions.load(connection, &[Extension::Httpfs])?;
    let (timeout, retries) = STORAGE_PATIENCE;
    let mut statements = format!("SET http_timeout = {timeout}; SET http_retries = {retries};");
    statements.extend(credentials.statement());
    connection.execute_batch(&statements).map_err(|source| LakeError::engine("keep the storage's credentials", &source))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn storage_is_reached_as_the_usual_variables_say() {
        let env = |name: &str| match name {
            "AWS_ACCESS_KEY_ID" => Some("id".to_owned()),
            "AWS_SECRET_ACCESS_KEY" => Some("it's".to_owned()),
            "AWS_ENDPOINT_URL" => Some("http://127.0.0.1:9000".to_owned()),
            "AWS_DEFAULT_REGION" => Some("eu-central-1".to_owned()),
            _ => None,
        };
        let credentials = Credentials::load(&env).unwrap();
        assert_eq!(
            credentials.statement().unwrap(),
            "CREATE SECRET materia_storage (TYPE s3, KEY_ID 'id', SECRET 'it''s', REGION 'eu-central-1', ENDPOINT '127.0.0.1:9000', URL_STYLE 'path', USE_SSL false)"
        );
        assert!(!format!("{credentials:?}").contains("it's"));
        assert_eq!(Credentials::load(&|_| None).unwrap().statement(), None);
    }
}
