//! Least privilege: the permissions of exporters and of readers, and whether this process has them.

use serde_json::{Value, json};

use super::{CATALOG, Lake, LakeError, address::CatalogBackend, credentials};
use crate::sql;

/// The role for web servers and other readers, unless another one is named.
const READER: &str = "materia_reader";
/// The role for exporters, unless the address or the operator names one.
const EXPORTER: &str = "materia";

/// The PostgreSQL roles to which permissions are granted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LakeRoles {
    /// Default: the user in the address.
    pub exporter: Option<String>,
    /// Default: `materia_reader`.
    pub reader: Option<String>,
}

/// What a user of a lake does with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LakeAccess {
    /// Publishes, rolls back and prunes.
    Export,
    /// Serves what is published.
    Read,
}

impl Lake {
    /// Returns the SQL that creates the roles of the catalog with the permissions they need, and
    /// no others. It can be repeated.
    ///
    /// # Errors
    /// The catalog is a file, which has no roles.
    pub fn grants(&self, roles: &LakeRoles) -> Result<String, String> {
        let CatalogBackend::Postgres(parameters) = &self.0.address.catalog else {
            return Err(format!(
                "the catalog of {} is a file, which has no roles: readers need permission to read it and its folder, exporters to write both",
                self.name()
            ));
        };
        let user = parameters.iter().find(|(key, _)| key == "user").map(|(_, user)| user.as_str());
        let exporter = roles.exporter.as_deref().or(user).unwrap_or(EXPORTER);
        let reader = roles.reader.as_deref().unwrap_or(READER);
        if exporter == reader {
            return Err(format!("{reader} cannot be both the exporter and the reader"));
        }
        let [exporter_name, reader_name] = [exporter, reader].map(sql::literal);
        let [exporter, reader] = [exporter, reader].map(sql::ident);
        Ok(format!(
            "-- The roles of {lake}
-- Run it on that database as its owner or a superuser, again after the first export: materia lake grants | psql
BEGIN;
DO $$
DECLARE
    catalog_table text;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = {exporter_name}) THEN
        CREATE ROLE {exporter} LOGIN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = {reader_name}) THEN
        CREATE ROLE {reader} LOGIN;
    END IF;
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I, %I', current_database(), {exporter_name}, {reader_name});
    -- DuckDB changes rows by way of temporary tables.
    EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO %I', current_database(), {exporter_name});
    -- Only the tables of the lake: accounts may be in the same database.
    FOR catalog_table IN
        SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename ~ '^(ducklake|materia)_'
    LOOP
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON public.%I TO %I', catalog_table, {exporter_name});
        EXECUTE format('GRANT SELECT ON public.%I TO %I', catalog_table, {reader_name});
    END LOOP;
END
$$;
-- The exporter creates the catalog with its first export.
GRANT USAGE, CREATE ON SCHEMA public TO {exporter};
GRANT USAGE ON SCHEMA public TO {reader};
-- Tables that the exporter creates later.
ALTER DEFAULT PRIVILEGES FOR ROLE {exporter} IN SCHEMA public GRANT SELECT ON TABLES TO {reader};
COMMIT;
-- Set passwords with \\password {exporter} and \\password {reader} in psql.
",
            lake = self.name(),
        ))
    }

    /// Returns the policy for the key with which the lake's data is accessed on S3.
    ///
    /// # Errors
    /// The data is not on S3, its location is not known, or the catalog does not respond.
    pub fn storage_policy(&self, access: LakeAccess) -> Result<Value, LakeError> {
        let place = self.0.data.clone().map_or_else(|| self.data_path(), |data| Ok(Some(data)))?;
        let place = place.unwrap_or_default();
        let Some((bucket, prefix)) = place
            .split_once("://")
            .filter(|_| credentials::is_remote(&place))
            .map(|(_, path)| path.split_once('/').unwrap_or((path, "")))
        else {
            let why = if place.is_empty() {
                "no setting says where its data is; set MATERIA_LAKE_DATA, or data under [lake] in materia.toml".to_owned()
            } else {
                format!(
                    "its data is in the folder {place}: readers need permission to read it, exporters to write it"
                )
            };
            return Err(LakeError::Storage { lake: self.name().to_owned(), why });
        };
        let mut actions = vec!["s3:GetObject"];
        if access == LakeAccess::Export {
            actions.extend(["s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"]);
        }
        let objects = format!("arn:aws:s3:::{bucket}/{prefix}*");
        let mut list = json!({
            "Effect": "Allow",
            "Action": ["s3:ListBucket"],
            "Resource": [format!("arn:aws:s3:::{bucket}")],
        });
        if !prefix.is_empty() {
            list["Condition"] = json!({ "StringLike": { "s3:prefix": [format!("{prefix}*")] } });
        }
        Ok(json!({
            "Version": "2012-10-17",
            "Statement": [list, { "Effect": "Allow", "Action": actions, "Resource": [objects] }],
        }))
    }

    /// Returns why this process may not write the catalog, if that is known.
    pub(crate) fn write_problem(&self) -> Option<String> {
        match &self.0.address.catalog {
            CatalogBackend::Postgres(_) => {
                let query = format!(
                    "FROM postgres_query('{CATALOG}', 'SELECT current_user::text, has_table_privilege(''public.ducklake_snapshot'', ''INSERT'')')"
                );
                let (role, may_write) = self
                    .query(move |connection| {
                        connection.query_row(&query, [], |row| {
                            Ok((row.get::<_, String>(0)?, row.get::<_, bool>(1)?))
                        })
                    })
                    .ok()?;
                (!may_write)
                    .then(|| format!("the PostgreSQL role {role} may not write the catalog"))
            }
            CatalogBackend::Sqlite(path) | CatalogBackend::DuckDb(path) => {
                let may_write = rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_ok();
                (!may_write && path.exists())
                    .then(|| format!("this user may not write the catalog, {}", path.display()))
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::{
        extensions::ExtensionDir,
        store::lake::{CatalogUrl, Credentials, RetentionPolicy},
    };

    fn lake(address: &str, data: &str) -> Lake {
        Lake::new(
            CatalogUrl::parse(address, Path::new("/srv")).unwrap(),
            Some(data.to_owned()),
            Credentials::load(&|_| None).unwrap(),
            ExtensionDir::new("/srv/extensions"),
            RetentionPolicy::default(),
        )
    }

    #[test]
    fn a_reader_lists_and_reads_its_prefix_only_and_an_exporter_also_writes_it() {
        let lake = lake("ducklake:postgres:dbname=lake", "s3://bucket/lake/");
        let reader = lake.storage_policy(LakeAccess::Read).unwrap();
        assert_eq!(reader["Statement"][0]["Resource"][0], "arn:aws:s3:::bucket");
        assert_eq!(reader["Statement"][0]["Condition"]["StringLike"]["s3:prefix"][0], "lake/*");
        assert_eq!(reader["Statement"][1]["Resource"][0], "arn:aws:s3:::bucket/lake/*");
        assert_eq!(reader["Statement"][1]["Action"], json!(["s3:GetObject"]));
        let exporter = lake.storage_policy(LakeAccess::Export).unwrap();
        assert!(exporter.to_string().contains("s3:DeleteObject"), "{exporter}");
    }

    #[test]
    fn names_of_roles_are_quoted_and_files_have_none() {
        let roles = LakeRoles { exporter: Some("ex'\"porter".to_owned()), reader: None };
        let sql = lake("ducklake:postgres:dbname=lake", "data/").grants(&roles).unwrap();
        assert!(sql.contains("'ex''\"porter'") && sql.contains("\"ex'\"\"porter\""), "{sql}");
        let file = lake("ducklake:sqlite:lake.sqlite", "data/");
        assert!(file.grants(&roles).unwrap_err().contains("is a file, which has no roles"));
        let folder = file.storage_policy(LakeAccess::Read).unwrap_err().to_string();
        assert!(folder.contains("in the folder data/"), "{folder}");
    }
}
