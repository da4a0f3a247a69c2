//! Opens a lake: loads the extensions for its catalog and storage, and the credentials of both.

use duckdb::Connection;

use super::{
    LakeError,
    address::{CatalogBackend, CatalogUrl},
};
use crate::{
    bucket::StorageCredentials,
    extensions::{Extension, ExtensionDir},
    secret::Secret,
    sql,
};

/// The DuckDB secret with the catalog's password.
pub(super) const CATALOG_SECRET: &str = "materia_catalog";

/// Timeout in seconds for unresponsive storage, and the number of retries.
const HTTP_RETRIES: (u32, u32) = (5, 1);

/// The credentials of a lake, from the environment variables that S3 and PostgreSQL tools share.
/// Without them, DuckDB's persistent secrets and libpq's password file apply.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Credentials {
    /// The catalog's password, unless its address has one.
    pub(super) password: Option<Secret>,
    /// Of the storage, which backups of the accounts use, too.
    pub storage: StorageCredentials,
}

impl Credentials {
    /// Reads `PGPASSWORD` for the catalog, and the variables of [`StorageCredentials::load`].
    ///
    /// # Errors
    /// The endpoint is not a valid URL.
    pub fn load(env: &dyn Fn(&str) -> Option<String>) -> Result<Self, String> {
        let password = env("PGPASSWORD").filter(|text| !text.is_empty()).map(Secret::new);
        Ok(Self { password, storage: StorageCredentials::load(env)? })
    }

    /// Returns the statement that creates the storage secret; `None` without credentials. A comparison
    /// of two generations runs it twice in one instance.
    fn statement(&self) -> Option<String> {
        let storage = &self.storage;
        let (key_id, secret) = (storage.key_id.as_ref()?, storage.secret.as_ref()?);
        let mut options =
            vec![("KEY_ID", sql::literal(key_id)), ("SECRET", sql::literal(secret.reveal()))];
        options.extend(
            storage
                .session_token
                .as_ref()
                .map(|token| ("SESSION_TOKEN", sql::literal(token.reveal()))),
        );
        options.extend(storage.region.as_ref().map(|region| ("REGION", sql::literal(region))));
        if let Some(endpoint) = &storage.endpoint {
            let port = endpoint.port().map(|port| format!(":{port}")).unwrap_or_default();
            options.push((
                "ENDPOINT",
                sql::literal(&format!("{}{port}", endpoint.host_str().unwrap_or_default())),
            ));
            options.push(("URL_STYLE", sql::literal("path")));
            options.push(("USE_SSL", (endpoint.scheme() != "http").to_string()));
        }
        let options: Vec<_> =
            options.into_iter().map(|(name, value)| format!("{name} {value}")).collect();
        Some(format!("CREATE OR REPLACE SECRET materia_storage (TYPE s3, {})", options.join(", ")))
    }
}

/// Returns whether the place is accessed over the network.
pub(super) fn is_remote(place: &str) -> bool {
    ["s3://", "s3a://", "s3n://", "gs://", "gcs://", "r2://", "http://", "https://"]
        .iter()
        .any(|scheme| place.starts_with(scheme))
}

/// Prepares a DuckDB connection to read and write the catalog's own database.
pub(super) fn load_catalog_secret(
    connection: &Connection,
    address: &CatalogUrl,
    extensions: &ExtensionDir,
) -> Result<(), LakeError> {
    match address.catalog {
        CatalogBackend::Postgres(_) => extensions.load(connection, &[Extension::Postgres])?,
        CatalogBackend::Sqlite(_) => extensions.load(connection, &[Extension::Sqlite])?,
        CatalogBackend::DuckDb(_) => {}
    }
    if let Some(password) = &address.password {
        let statement = format!(
            "CREATE SECRET {CATALOG_SECRET} (TYPE postgres, PASSWORD {})",
            sql::literal(password.reveal())
        );
        connection
            .execute_batch(&statement)
            .map_err(|source| LakeError::engine("keep the catalog's password", &source))?;
    }
    Ok(())
}

/// Prepares a DuckDB connection to read and write the tables' data.
pub(super) fn load_storage_secret(
    connection: &Connection,
    credentials: &Credentials,
    is_remote: bool,
    extensions: &ExtensionDir,
) -> Result<(), LakeError> {
    extensions.load(connection, &[Extension::DuckLake])?;
    load_network(connection, credentials, is_remote, extensions)
}

/// Prepares a DuckDB connection to list and read single files: without the extension for lakes,
/// which takes long to load.
pub(super) fn load_network(
    connection: &Connection,
    credentials: &Credentials,
    is_remote: bool,
    extensions: &ExtensionDir,
) -> Result<(), LakeError> {
    if !is_remote {
        return Ok(());
    }
    extensions.load(connection, &[Extension::Httpfs])?;
    let (timeout, retries) = HTTP_RETRIES;
    let mut statements = format!("SET http_timeout = {timeout}; SET http_retries = {retries};");
    statements.extend(credentials.statement());
    connection
        .execute_batch(&statements)
        .map_err(|source| LakeError::engine("keep the storage's credentials", &source))
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
            "CREATE OR REPLACE SECRET materia_storage (TYPE s3, KEY_ID 'id', SECRET 'it''s', REGION 'eu-central-1', ENDPOINT '127.0.0.1:9000', URL_STYLE 'path', USE_SSL false)"
        );
        assert!(!format!("{credentials:?}").contains("it's"));
        assert_eq!(Credentials::load(&|_| None).unwrap().statement(), None);
    }
}
