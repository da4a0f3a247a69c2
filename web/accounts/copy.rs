//! Everything that is kept about accounts, copied into another database: from SQLite to PostgreSQL when several servers are to share them, and back.

use std::{fmt::Write as _, path::PathBuf};

use sqlx::{AnyConnection, Row as _};

use super::store::{Store, StoreError, StoredRow, Transaction};

/// Every table, those first that others refer to.
const TABLES: [&str; 9] = ["accounts", "sessions", "links", "known_browsers", "attempts", "mails", "audit_log", "api_keys", "api_usage"];
/// The one whose numbers the database gives.
const NUMBERED: (&str, &str) = ("audit_log", "seq");
/// Parameters of one statement; SQLite takes no more than 32,766.
const PARAMETERS: usize = 10_000;

/// Why nothing was copied.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CopyError {
    /// There is nothing to copy.
    #[error("there are no accounts in {}; does DATABASE_URL name the right file?", .0.display())]
    Missing(PathBuf),
    /// The present database.
    #[error(transparent)]
    From(StoreError),
    /// The other one.
    #[error("the new database: {}; nothing was copied", said(.0))]
    To(StoreError),
    /// Both are the same, or others have begun to use it.
    #[error("the new database holds {rows} rows in {table} already; name an empty one. Nothing was copied")]
    InUse {
        /// The first table that is not empty.
        table: &'static str,
        /// How many.
        rows: i64,
    },
    /// It does not keep what it was given.
    #[error("{table} came out of the new database as something else; nothing was copied")]
    Differs {
        /// The first table that does.
        table: &'static str,
    },
}

/// A store's own words name the setting that its address usually stands in.
fn said(error: &StoreError) -> String {
    let text = error.to_string();
    text.strip_prefix("DATABASE_URL: ").unwrap_or(&text).replace("DATABASE_URL", "the address")
}

/// What was copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Copied {
    /// Each table with its rows.
    pub(crate) tables: Vec<(&'static str, usize)>,
}

/// A column, and whether it holds numbers. All others hold text.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Column {
    name: String,
    is_number: bool,
}

/// A table's rows, as text.
type Rows = Vec<Vec<Option<String>>>;

/// Copies all that `from` keeps at one moment into the empty database `to`, reads it back, and compares it. It is there afterwards as a whole or not at
/// all. Both are brought up to date first.
pub(crate) async fn copy(from: &str, to: &str) -> Result<Copied, CopyError> {
    if let Some(path) = Store::file_of(from).map_err(CopyError::From)?.filter(|path| !path.exists()) {
        return Err(CopyError::Missing(path));
    }
    let source = Store::open(from).await.map_err(CopyError::From)?;
    let read = everything(&source).await.map_err(CopyError::From);
    source.close().await;
    let read = read?;
    let target = Store::open(to).await.map_err(CopyError::To)?;
    let written = fill(&target, &read).await;
    target.close().await;
    written.map(|()| Copied { tables: TABLES.into_iter().zip(&read).map(|(table, (_, rows))| (table, rows.len())).collect() })
}

/// Every table, in the turn to write: nobody changes anything between the first and the last.
async fn everything(store: &Store) -> Result<Vec<(Vec<Column>, Rows)>, StoreError> {
    let mut turn = store.write().await?;
    let mut read = Vec::new();
    for table in TABLES {
        let columns = columns(store, &mut turn, table).await?;
        let rows = rows(&mut turn, table, &columns).await?;
        read.push((columns, rows));
    }
    Ok(read)
}

async fn fill(store: &Store, read: &[(Vec<Column>, Rows)]) -> Result<(), CopyError> {
    let mut turn = store.write().await.map_err(CopyError::To)?;
    for table in TABLES {
        let rows = count(&mut turn, table).await.map_err(CopyError::To)?;
        if rows > 0 {
            return Err(CopyError::InUse { table, rows });
        }
    }
    for (table, (columns, rows)) in TABLES.into_iter().zip(read) {
        write(store, &mut turn, table, columns, rows).await.map_err(CopyError::To)?;
    }
    for (table, (columns, written)) in TABLES.into_iter().zip(read) {
        let (mut found, mut written) = (rows(&mut turn, table, columns).await.map_err(CopyError::To)?, written.clone());
        found.sort();
        written.sort();
        if found != written {
            return Err(CopyError::Differs { table });
        }
    }
    turn.commit().await.map_err(CopyError::To)
}

async fn columns(store: &Store, connection: &mut AnyConnection, table: &str) -> Result<Vec<Column>, StoreError> {
    let query = if store.is_postgres() {
        "SELECT column_name::TEXT AS name, data_type::TEXT AS type FROM information_schema.columns
         WHERE table_schema = current_schema() AND table_name = $1 ORDER BY ordinal_position"
    } else {
        "SELECT name, type FROM pragma_table_info($1) ORDER BY cid"
    };
    let read = |row: &StoredRow| {
        let (name, kind): (String, String) = (row.try_get("name")?, row.try_get("type")?);
        Ok(Column { name, is_number: kind.to_uppercase().contains("INT") })
    };
    sqlx::query(query).bind(table).fetch_all(connection).await?.iter().map(read).collect()
}

async fn count(connection: &mut AnyConnection, table: &str) -> Result<i64, StoreError> {
    Ok(sqlx::query_scalar(sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table}"))).fetch_one(connection).await?)
}

async fn rows(connection: &mut AnyConnection, table: &str, columns: &[Column]) -> Result<Rows, StoreError> {
    let texts: Vec<_> = columns.iter().map(|column| format!("CAST(\"{0}\" AS TEXT) AS \"{0}\"", column.name)).collect();
    let query = format!("SELECT {} FROM {table}", texts.join(", "));
    let read = |row: &StoredRow| (0..columns.len()).map(|index| Ok(row.try_get(index)?)).collect();
    sqlx::query(sqlx::AssertSqlSafe(query)).fetch_all(connection).await?.iter().map(read).collect()
}

async fn write(store: &Store, turn: &mut Transaction, table: &str, columns: &[Column], rows: &Rows) -> Result<(), StoreError> {
    let names: Vec<_> = columns.iter().map(|column| format!("\"{}\"", column.name)).collect();
    let is_numbered = store.is_postgres() && table == NUMBERED.0;
    let overriding = if is_numbered { "OVERRIDING SYSTEM VALUE " } else { "" };
    for some in rows.chunks(PARAMETERS / columns.len().max(1)) {
        let mut statement = format!("INSERT INTO {table} ({}) {overriding}VALUES ", names.join(", "));
        let mut number = 0;
        for index in 0..some.len() {
            let value = |column: &Column| {
                number += 1;
                if column.is_number { format!("CAST(${number} AS BIGINT)") } else { format!("${number}") }
            };
            let values: Vec<_> = columns.iter().map(value).collect();
            let _ = write!(statement, "{}({})", if index > 0 { ", " } else { "" }, values.join(", "));
        }
        let insert = some.iter().flatten().fold(sqlx::query(sqlx::AssertSqlSafe(statement)), |insert, value| insert.bind(value.clone()));
        insert.execute(&mut **turn).await?;
    }
    if is_numbered && !rows.is_empty() {
        let (table, column) = NUMBERED;
        // Numbers that were given go on from there.
        let go_on = format!("SELECT setval(pg_get_serial_sequence('{table}', '{column}'), max({column})) FROM {table}");
        sqlx::query(sqlx::AssertSqlSafe(go_on)).execute(&mut **turn).await?;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_table_of_the_store_is_copied() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&format!("sqlite://{}/accounts.db", folder.path().display())).await.unwrap();
        let query =
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' AND name <> '_sqlx_migrations' ORDER BY name";
        let mut known = TABLES.map(str::to_owned);
        known.sort();
        assert_eq!(sqlx::query_scalar::<_, String>(query).fetch_all(store.pool()).await.unwrap(), known);
        store.close().await;
    }
}
