//! Namespaces: what SQL of one audience sees instead of the served schema.

use std::hash::{Hash, Hasher};

use duckdb::Connection;

use super::{ReaderError, generation::OpenGeneration, watchdog::lock};
use crate::{guard::Scope, sql};

/// A catalog in memory with views of the served tables, created in a generation by the first query
/// that needs it. SQL in a namespace cannot name anything outside of it: [`crate::guard`] refuses
/// qualified names that leave it, and unqualified ones are resolved in [`Self::path`].
#[derive(Debug)]
pub struct Namespace {
    /// The catalog's name. Equal names must mean equal setups.
    pub name: String,
    /// The schemas in which names are resolved, in this order.
    pub path: Vec<String>,
    /// The statements that create its schemas and tables in the catalog [`Self::name`], which exists
    /// already.
    pub setup: String,
    /// The statements that create the views and macros of [`Self::scope`], which takes longer: only
    /// SQL that names one of them waits for it.
    pub extras: String,
    pub scope: Scope,
}

/// Where a connection resolves names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Entered {
    /// In the served schema.
    Home,
    /// In the namespace of this name.
    Namespace(String),
    /// Nowhere in particular yet, or an interrupt may have hit the statement that sets it.
    Unknown,
}

/// How much of a namespace exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Contents {
    Tables,
    All,
}

impl PartialEq for Namespace {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Namespace {}

impl Hash for Namespace {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl Namespace {
    fn search_path(&self) -> String {
        let schemas: Vec<_> =
            self.path.iter().map(|schema| sql::path(&[&self.name, schema])).collect();
        schemas.join(",")
    }
}

impl OpenGeneration {
    /// Makes `connection`, which has the place `slot`, resolve names in `namespace`, or in the
    /// served schema.
    pub(super) fn enter(
        &self,
        slot: usize,
        connection: &Connection,
        namespace: Option<&Namespace>,
    ) -> Result<(), ReaderError> {
        let failed = |error: duckdb::Error| ReaderError::engine(&error);
        let wanted =
            namespace.map_or(Entered::Home, |namespace| Entered::Namespace(namespace.name.clone()));
        let mut entered = lock(&self.entered[slot]);
        if *entered == wanted {
            return Ok(());
        }
        *entered = Entered::Unknown;
        let path = match namespace {
            Some(namespace) => {
                self.create(connection, namespace)?;
                namespace.search_path()
            }
            None => self.home.clone(),
        };
        connection
            .execute_batch(&format!("SET search_path = {}", sql::literal(&path)))
            .map_err(failed)?;
        *entered = wanted;
        Ok(())
    }

    fn create(&self, connection: &Connection, namespace: &Namespace) -> Result<(), ReaderError> {
        let mut created = lock(&self.namespaces);
        if created.contains_key(&namespace.name) {
            return Ok(());
        }
        let name = sql::ident(&namespace.name);
        let script = format!("ATTACH ':memory:' AS {name};\n{}", namespace.setup);
        if let Err(error) = connection.execute_batch(&script) {
            // What was interrupted halfway is created anew by the next query.
            let _ = connection.execute_batch(&format!("DETACH DATABASE IF EXISTS {name}"));
            return Err(ReaderError::engine(&error));
        }
        created.insert(namespace.name.clone(), Contents::Tables);
        Ok(())
    }

    /// Adds the views and macros to a namespace that the connection has entered.
    pub(super) fn add_extras(
        &self,
        connection: &Connection,
        namespace: &Namespace,
    ) -> Result<(), ReaderError> {
        let mut created = lock(&self.namespaces);
        if created.get(&namespace.name) == Some(&Contents::All) {
            return Ok(());
        }
        // All or nothing: an interrupt may hit any of the statements.
        let script = format!("BEGIN; {}\nCOMMIT;", namespace.extras);
        if let Err(error) = connection.execute_batch(&script) {
            let _ = connection.execute_batch("ROLLBACK");
            return Err(ReaderError::engine(&error));
        }
        created.insert(namespace.name.clone(), Contents::All);
        Ok(())
    }
}
