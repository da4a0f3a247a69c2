//! What a lake's catalog tells and keeps for materia: generations, pins and the history.

use std::collections::BTreeMap;

use duckdb::Connection;

use super::{AUTHOR, Lake, LakeError};
use crate::{
    export::{Manifest, Outcome, Record},
    sql,
    target::GenerationId,
};

/// Every attempt, and the pins: beside DuckLake's own tables.
const HISTORY: &str = "materia_history";
const PINS: &str = "materia_pins";
/// What is remembered of rollbacks: one row, or none.
const ROLLBACKS: &str = "materia_rollbacks";

/// A snapshot that is a generation.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Commit {
    /// DuckLake's number of it; a later one has a larger number.
    pub(crate) snapshot: i64,
    /// When it was committed.
    pub(crate) at: jiff::Timestamp,
    /// What it holds.
    pub(crate) manifest: Manifest,
}

/// A lake as its next writer finds it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Found {
    /// The newest snapshot of all, whoever made it.
    pub(crate) snapshot: i64,
    /// The newest generation.
    pub(crate) served: Option<Commit>,
    /// Every table and view of the schema, and whether nobody has touched it since that was committed.
    pub(crate) tables: BTreeMap<String, bool>,
}

impl Found {
    /// Whether nobody has touched a table since it was published.
    pub(crate) fn has_as_published(&self, table: &str) -> bool {
        self.tables.get(table) == Some(&true)
    }

    /// Whether the schema is as it was published: nothing changed, nothing gone, nothing added.
    pub(crate) fn is_as_published(&self) -> bool {
        self.served.as_ref().is_some_and(|commit| {
            commit.manifest.tables.len() == self.tables.len()
                && commit.manifest.tables.iter().all(|table| self.has_as_published(&table.name))
        })
    }
}

/// What a reader needs to know again and again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Newest {
    /// The snapshot to serve: the newest generation, or, where materia has published none, whatever was committed last.
    pub(crate) snapshot: i64,
    /// The newest attempt that found nothing to do.
    pub(crate) confirmed: Option<GenerationId>,
}

impl Lake {
    /// Where the lake's data is, as its catalog says; `None` where there is no lake yet.
    pub(super) fn data_path(&self) -> Result<Option<String>, LakeError> {
        let query = format!("SELECT value FROM {} WHERE key = 'data_path' AND scope IS NULL", self.table("ducklake_metadata"));
        match self.ask(move |connection| connection.prepare(&query)?.query_map([], |row| row.get(0))?.next().transpose()) {
            Err(LakeError::Missing { .. }) => Ok(None),
            found => found,
        }
    }

    /// What to serve now, in one question; `None` while the lake has no tables.
    pub(crate) fn newest(&self) -> Result<Option<Newest>, LakeError> {
        let [snapshots, changes, history] = ["ducklake_snapshot", "ducklake_snapshot_changes", HISTORY].map(|name| self.table(name));
        let ours = format!(
            "SELECT max(snapshot_id), (SELECT max(id) FROM {history} WHERE outcome = '{}') FROM {changes} WHERE author = '{AUTHOR}'",
            Outcome::Unchanged.key()
        );
        let found = self.ask(move |connection| {
            connection.query_row(&ours, [], |row| Ok((row.get::<_, Option<i64>>(0)?, row.get::<_, Option<String>>(1)?)))
        });
        match found {
            Ok((Some(snapshot), confirmed)) => {
                return Ok(Some(Newest { snapshot, confirmed: confirmed.as_deref().and_then(GenerationId::parse) }));
            }
            Ok((None, _)) | Err(LakeError::Missing { .. }) => {}
            Err(error) => return Err(error),
        }
        let newest = self.ask(move |connection| {
            connection.query_row(&format!("SELECT max(snapshot_id) FROM {snapshots}"), [], |row| row.get::<_, Option<i64>>(0))
        });
        // A lake begins with a snapshot of nothing.
        Ok(newest?.filter(|snapshot| *snapshot > 0).map(|snapshot| Newest { snapshot, confirmed: None }))
    }

    /// Every snapshot that is a generation, oldest first; a generation that was brought back has several. A missing lake has none.
    pub(crate) fn commits(&self) -> Result<Vec<Commit>, LakeError> {
        self.commits_where("")
    }

    /// The one that is served.
    pub(crate) fn served(&self) -> Result<Option<Commit>, LakeError> {
        let newest = format!(
            "AND snapshot_id = (SELECT max(snapshot_id) FROM {} WHERE author = '{AUTHOR}')",
            self.table("ducklake_snapshot_changes")
        );
        self.commits_where(&newest).map(|mut commits| commits.pop())
    }

    pub(super) fn commits_where(&self, condition: &str) -> Result<Vec<Commit>, LakeError> {
        let query = format!(
            "SELECT snapshot_id, epoch_ms(snapshot_time::TIMESTAMPTZ), commit_extra_info FROM {} JOIN {} USING (snapshot_id)
             WHERE author = '{AUTHOR}' {condition} ORDER BY snapshot_id",
            self.table("ducklake_snapshot_changes"),
            self.table("ducklake_snapshot")
        );
        let read = move |connection: &Connection| -> duckdb::Result<Vec<(i64, i64, Option<String>)>> {
            connection.prepare(&query)?.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?.collect()
        };
        let rows = match self.ask(read) {
            Err(LakeError::Missing { .. }) => return Ok(Vec::new()),
            rows => rows?,
        };
        let commit = |(snapshot, at, text): (i64, i64, Option<String>)| {
            Some(Commit { snapshot, at: jiff::Timestamp::from_millisecond(at).ok()?, manifest: serde_json::from_str(&text?).ok()? })
        };
        Ok(rows.into_iter().filter_map(commit).collect())
    }

    /// What its next writer must know; nothing where there is no lake yet.
    pub(crate) fn find(&self, schema: &str) -> Result<Option<Found>, LakeError> {
        let newest = format!("SELECT max(snapshot_id) FROM {}", self.table("ducklake_snapshot"));
        let snapshot = match self.ask(move |connection| connection.query_row(&newest, [], |row| row.get::<_, Option<i64>>(0))) {
            Err(LakeError::Missing { .. }) | Ok(None) => return Ok(None),
            Ok(Some(snapshot)) => snapshot,
            Err(error) => return Err(error),
        };
        let served = self.commits_where(&format!(
            "AND snapshot_id = (SELECT max(snapshot_id) FROM {} WHERE author = '{AUTHOR}' AND snapshot_id <= {snapshot})",
            self.table("ducklake_snapshot_changes")
        ))?;
        let Some(served) = served.into_iter().next_back() else {
            return Ok(Some(Found { snapshot, served: None, tables: BTreeMap::new() }));
        };
        // DuckLake lists what a snapshot changed: `inserted_into_table:7,altered_table:7`. A table that was made anew has another number.
        let [changes, tables, views, schemas] =
            ["ducklake_snapshot_changes", "ducklake_table", "ducklake_view", "ducklake_schema"].map(|name| self.table(name));
        let since = served.snapshot;
        let query = format!(
            "SELECT name, untouched FROM (
                SELECT schema_id, table_name AS name, end_snapshot, begin_snapshot <= {since} AND table_id NOT IN (
                    SELECT unnest(regexp_extract_all(changes_made, ':([0-9]+)', 1))::BIGINT FROM {changes} WHERE snapshot_id > {since} AND snapshot_id <= {snapshot}
                ) AS untouched FROM {tables}
                UNION ALL SELECT schema_id, view_name, end_snapshot, false FROM {views}
             ) t JOIN {schemas} s USING (schema_id) WHERE schema_name = ? AND t.end_snapshot IS NULL AND s.end_snapshot IS NULL"
        );
        let read = |row: &duckdb::Row<'_>| Ok((row.get(0)?, row.get(1)?));
        let schema = schema.to_owned();
        let tables = self.ask(move |connection| connection.prepare(&query)?.query_map([&schema], read)?.collect())?;
        Ok(Some(Found { snapshot, served: Some(served), tables }))
    }

    /// The generations that must not be pruned.
    pub(crate) fn pins(&self) -> Result<Vec<GenerationId>, LakeError> {
        let query = format!("SELECT DISTINCT id FROM {} ORDER BY id", self.table(PINS));
        let found = self
            .ask(move |connection| connection.prepare(&query)?.query_map([], |row| row.get(0))?.collect::<duckdb::Result<Vec<String>>>());
        match found {
            Err(LakeError::Missing { .. }) => Ok(Vec::new()),
            found => Ok(found?.iter().filter_map(|id| GenerationId::parse(id)).collect()),
        }
    }

    /// Keeps a generation from being pruned. Pinning twice is pinning once.
    pub(crate) fn pin(&self, id: &GenerationId) -> Result<(), LakeError> {
        self.prepare()?;
        self.unpin(id)?;
        let (id, statement) = (id.clone(), format!("INSERT INTO {} VALUES (?)", self.table(PINS)));
        self.tell(move |connection| connection.execute(&statement, [id.as_str()]).map(drop))
    }

    /// Lets it be pruned again.
    pub(crate) fn unpin(&self, id: &GenerationId) -> Result<(), LakeError> {
        let (id, statement) = (id.clone(), format!("DELETE FROM {} WHERE id = ?", self.table(PINS)));
        match self.tell(move |connection| connection.execute(&statement, [id.as_str()]).map(drop)) {
            Err(LakeError::Missing { .. }) => Ok(()),
            told => told,
        }
    }

    /// What is remembered of rollbacks, as it was written.
    pub(crate) fn rollbacks(&self) -> Result<Option<String>, LakeError> {
        let query = format!("SELECT max(state) FROM {}", self.table(ROLLBACKS));
        match self.ask(move |connection| connection.query_row(&query, [], |row| row.get(0))) {
            Err(LakeError::Missing { .. }) => Ok(None),
            found => found,
        }
    }

    /// Replaces what is remembered of rollbacks, in one transaction.
    pub(crate) fn remember_rollbacks(&self, state: Option<&str>) -> Result<(), LakeError> {
        self.prepare()?;
        let table = self.table(ROLLBACKS);
        let insert = state.map(|state| format!("INSERT INTO {table} VALUES ({});", sql::literal(state))).unwrap_or_default();
        let statements = format!("BEGIN; DELETE FROM {table}; {insert} COMMIT");
        self.tell(move |connection| {
            connection.execute_batch(&statements).inspect_err(|_| {
                // A transaction that failed would keep the connection from trying again.
                let _ = connection.execute_batch("ROLLBACK");
            })
        })
    }

    /// Every attempt in the order of their ids, and how many cannot be read.
    pub(crate) fn records(&self) -> Result<(Vec<Record>, usize), LakeError> {
        let query = format!("SELECT record FROM {} ORDER BY id", self.table(HISTORY));
        let found = self
            .ask(move |connection| connection.prepare(&query)?.query_map([], |row| row.get(0))?.collect::<duckdb::Result<Vec<String>>>());
        let texts = match found {
            Err(LakeError::Missing { .. }) => return Ok((Vec::new(), 0)),
            found => found?,
        };
        let records: Vec<Record> = texts.iter().filter_map(|text| serde_json::from_str(text).ok()).collect();
        let lost = texts.len() - records.len();
        Ok((records, lost))
    }

    /// When an export last found that the lakehouse holds just what this generation does.
    pub(crate) fn confirmed(&self, id: &GenerationId) -> Result<Option<jiff::Timestamp>, LakeError> {
        let query =
            format!("SELECT max(id) FROM {} WHERE outcome = '{}' AND generation = ?", self.table(HISTORY), Outcome::Unchanged.key());
        let id = id.clone();
        match self.ask(move |connection| connection.query_row(&query, [id.as_str()], |row| row.get::<_, Option<String>>(0))) {
            Err(LakeError::Missing { .. }) => Ok(None),
            found => Ok(found?.and_then(|id| GenerationId::parse(&id)).and_then(|id| id.time())),
        }
    }

    /// Adds an attempt.
    pub(crate) fn append(&self, record: &Record) -> Result<(), LakeError> {
        let text = serde_json::to_string(record)
            .map_err(|error| LakeError::Engine { doing: "write the history".to_owned(), why: error.to_string() })?;
        let row = (record.id.clone(), record.outcome.key(), record.generation.clone(), text);
        let statement = format!("INSERT INTO {} VALUES (?, ?, ?, ?)", self.table(HISTORY));
        let insert = || {
            let ((id, outcome, generation, text), statement) = (row.clone(), statement.clone());
            self.tell(move |connection| {
                let generation = generation.as_ref().map(GenerationId::as_str);
                connection.execute(&statement, duckdb::params![id.as_str(), outcome, generation, text]).map(drop)
            })
        };
        match insert() {
            Err(LakeError::Missing { .. }) => self.prepare().and_then(|()| insert()),
            told => told,
        }
    }

    /// Makes the tables that are materia's own.
    pub(crate) fn prepare(&self) -> Result<(), LakeError> {
        let [history, pins, rollbacks] = [HISTORY, PINS, ROLLBACKS].map(|name| self.table(name));
        let statements = format!(
            "CREATE TABLE IF NOT EXISTS {history} (id VARCHAR, outcome VARCHAR, generation VARCHAR, record VARCHAR);
             CREATE TABLE IF NOT EXISTS {pins} (id VARCHAR);
             CREATE TABLE IF NOT EXISTS {rollbacks} (state VARCHAR);"
        );
        self.tell(move |connection| connection.execute_batch(&statements))
    }
}
