//! The parts of a lake's catalog that materia reads and writes: generations, pins, history and
//! rollback state.

use std::collections::BTreeMap;

use duckdb::Connection;

use super::{AUTHOR, CANDIDATE_AUTHOR, Lake, LakeError};
use crate::{
    sql,
    store::GenerationId,
    store::{AttemptOutcome, AttemptRecord, Manifest, Publisher},
};

/// Every attempt, and the pins. Stored next to DuckLake's own tables.
const HISTORY: &str = "materia_history";
const PINS: &str = "materia_pins";
/// The state of rollbacks: at most one row.
const ROLLBACKS: &str = "materia_rollbacks";

/// A DuckLake snapshot that is a generation.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct GenerationSnapshot {
    /// DuckLake's snapshot number; it increases with every commit.
    pub(crate) snapshot: i64,
    /// The time of the commit.
    pub(crate) at: jiff::Timestamp,
    pub(crate) manifest: Manifest,
}

/// The state of a lake before a write.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LakeState {
    /// The newest snapshot, whether materia or another program committed it.
    pub(crate) snapshot: i64,
    pub(crate) served: Option<GenerationSnapshot>,
    /// Every table and view of the schema, and whether it is unmodified since that generation was
    /// committed.
    pub(crate) tables: BTreeMap<String, bool>,
}

impl LakeState {
    /// Returns whether the table is unmodified since it was published.
    pub(crate) fn has_as_published(&self, table: &str) -> bool {
        self.tables.get(table) == Some(&true)
    }

    /// Returns whether the schema is as published: nothing modified, removed or added.
    pub(crate) fn is_as_published(&self) -> bool {
        self.served.as_ref().is_some_and(|commit| {
            commit.manifest.tables.len() == self.tables.len()
                && commit.manifest.tables.iter().all(|table| self.has_as_published(&table.name))
        })
    }
}

/// The state that readers poll.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LakeHead {
    /// The snapshot to serve: the newest generation or, if materia has published none, the newest
    /// snapshot.
    pub(crate) snapshot: i64,
    /// The newest attempt that found the lakehouse unchanged.
    pub(crate) confirmed: Option<GenerationId>,
}

impl Lake {
    /// Returns the data path recorded in the catalog; `None` if the lake does not exist yet.
    pub(super) fn data_path(&self) -> Result<Option<String>, LakeError> {
        let query = format!(
            "SELECT value FROM {} WHERE key = 'data_path' AND scope IS NULL",
            self.table("ducklake_metadata")
        );
        match self.query(move |connection| {
            connection.prepare(&query)?.query_map([], |row| row.get(0))?.next().transpose()
        }) {
            Err(LakeError::Missing { .. }) => Ok(None),
            found => found,
        }
    }

    /// Returns the state to serve in a single query; `None` while the lake has no tables.
    pub(crate) fn newest(&self) -> Result<Option<LakeHead>, LakeError> {
        if let Some(snapshot) = self.0.at {
            return Ok(Some(LakeHead { snapshot, confirmed: None }));
        }
        let [snapshots, changes, history] =
            ["ducklake_snapshot", "ducklake_snapshot_changes", HISTORY]
                .map(|name| self.table(name));
        let ours = format!(
            "SELECT max(snapshot_id), (SELECT max(id) FROM {history} WHERE outcome = '{}'), (SELECT max(generation) FROM {history}) FROM {changes} WHERE author = '{AUTHOR}'",
            AttemptOutcome::Unchanged.key()
        );
        let found = self.query(move |connection| {
            connection.query_row(&ours, [], |row| {
                let text = |at| row.get::<_, Option<String>>(at);
                Ok((row.get::<_, Option<i64>>(0)?, text(1)?, text(2)?))
            })
        });
        match found {
            Ok((Some(snapshot), confirmed, _)) => {
                return Ok(Some(LakeHead {
                    snapshot,
                    confirmed: confirmed.as_deref().and_then(GenerationId::parse),
                }));
            }
            // What others committed since was not audited.
            Ok((None, _, Some(generation))) => {
                return Err(LakeError::Expired { lake: self.name().to_owned(), generation });
            }
            Ok((None, _, None)) | Err(LakeError::Missing { .. }) => {}
            Err(error) => return Err(error),
        }
        // A first generation that is still being checked, or that failed, was not published.
        let others = format!(
            "SELECT max(snapshot_id) FROM {snapshots} WHERE snapshot_id < coalesce((SELECT min(snapshot_id) FROM {changes} WHERE author = '{CANDIDATE_AUTHOR}'), {})",
            i64::MAX
        );
        let newest = self.query(move |connection| {
            connection.query_row(&others, [], |row| row.get::<_, Option<i64>>(0))
        });
        if matches!(newest, Err(LakeError::Missing { .. })) {
            return Ok(None);
        }
        // The first snapshot of a lake is empty.
        Ok(newest?
            .filter(|snapshot| *snapshot > 0)
            .map(|snapshot| LakeHead { snapshot, confirmed: None }))
    }

    /// Lists every snapshot that is a generation, oldest first. A generation that was rolled back
    /// to has several snapshots; a missing lake has none.
    pub(crate) fn commits(&self) -> Result<Vec<GenerationSnapshot>, LakeError> {
        self.commits_where("")
    }

    /// Returns the total size of the data files of each generation's snapshot.
    pub(crate) fn sizes(&self) -> Result<BTreeMap<i64, u64>, LakeError> {
        let [changes, files, tables, schemas] = [
            "ducklake_snapshot_changes",
            "ducklake_data_file",
            "ducklake_table",
            "ducklake_schema",
        ]
        .map(|name| self.table(name));
        // Other schemas belong to others, and materia's own has one row.
        let query = format!(
            "SELECT c.snapshot_id, sum(f.file_size_bytes)::BIGINT FROM {changes} c
             JOIN {files} f ON f.begin_snapshot <= c.snapshot_id AND (f.end_snapshot IS NULL OR f.end_snapshot > c.snapshot_id)
             WHERE c.author = '{AUTHOR}' AND f.table_id IN (
                 SELECT table_id FROM {tables} JOIN {schemas} USING (schema_id)
                 WHERE schema_name = json_extract_string(c.commit_extra_info, '$.schema'))
             GROUP BY c.snapshot_id"
        );
        let read = |row: &duckdb::Row<'_>| {
            Ok((row.get(0)?, u64::try_from(row.get::<_, i64>(1)?).unwrap_or_default()))
        };
        match self.query(move |connection| {
            connection.prepare(&query)?.query_map([], read)?.collect::<duckdb::Result<_>>()
        }) {
            Err(LakeError::Missing { .. }) => Ok(BTreeMap::new()),
            found => found,
        }
    }

    /// Returns the served one.
    pub(crate) fn served(&self) -> Result<Option<GenerationSnapshot>, LakeError> {
        let newest = format!(
            "AND snapshot_id = (SELECT max(snapshot_id) FROM {} WHERE author = '{AUTHOR}')",
            self.table("ducklake_snapshot_changes")
        );
        self.commits_where(&newest).map(|mut commits| commits.pop())
    }

    /// Returns who fills the lake: the exporter of the newest generation, whichever is served;
    /// `None` for an empty lake, and for generations of former versions.
    pub(crate) fn owner(&self) -> Result<Option<Publisher>, LakeError> {
        // Messages end with the generation's id, and ids are in chronological order.
        let newest = format!(
            "AND commit_message = (SELECT max(commit_message) FROM {} WHERE author = '{AUTHOR}')",
            self.table("ducklake_snapshot_changes")
        );
        let commits = self.commits_where(&newest)?;
        Ok(commits.into_iter().next_back().and_then(|commit| commit.manifest.publisher))
    }

    /// Lists the snapshots that exports committed but did not publish: they are being checked, or
    /// were refused or abandoned.
    pub(crate) fn candidates(&self) -> Result<Vec<GenerationSnapshot>, LakeError> {
        self.snapshots_where(&format!("author = '{CANDIDATE_AUTHOR}'"))
    }

    /// Publishes a snapshot that was committed as a candidate, unless another exporter has
    /// published since `served` was: readers follow it from then on. Returns whether it did.
    pub(crate) fn publish_candidate(
        &self,
        snapshot: i64,
        served: Option<i64>,
    ) -> Result<bool, LakeError> {
        let changes = self.table("ducklake_snapshot_changes");
        let state = format!(
            "SELECT max(snapshot_id) FILTER (author = '{AUTHOR}'), count(*) FILTER (author = '{CANDIDATE_AUTHOR}' AND snapshot_id = {snapshot}) FROM {changes}"
        );
        // The row of the served generation is written, too, so that the database refuses one of two
        // exporters that do this at the same time.
        let update = format!(
            "UPDATE {changes} SET author = CASE WHEN snapshot_id = {snapshot} THEN '{AUTHOR}' ELSE author END WHERE snapshot_id IN ({snapshot}, {})",
            served.unwrap_or_default()
        );
        let publish = move |connection: &Connection| -> duckdb::Result<bool> {
            connection.execute_batch("BEGIN")?;
            let found = connection.query_row(&state, [], |row| {
                Ok((row.get::<_, Option<i64>>(0)?, row.get::<_, i64>(1)?))
            })?;
            if found != (served, 1) {
                connection.execute_batch("ROLLBACK")?;
                return Ok(false);
            }
            connection.execute_batch(&format!("{update}; COMMIT"))?;
            Ok(true)
        };
        self.execute(move |connection| match publish(connection) {
            Ok(published) => Ok(published),
            Err(error) => {
                // An open failed transaction would make every retry on this connection fail.
                let _ = connection.execute_batch("ROLLBACK");
                if error.to_string().contains("could not serialize") {
                    Ok(false)
                } else {
                    Err(error)
                }
            }
        })
    }

    pub(super) fn commits_where(
        &self,
        condition: &str,
    ) -> Result<Vec<GenerationSnapshot>, LakeError> {
        self.snapshots_where(&format!("author = '{AUTHOR}' {condition}"))
    }

    /// Returns a snapshot that materia committed, published or not.
    pub(super) fn commit_at(&self, snapshot: i64) -> Result<Option<GenerationSnapshot>, LakeError> {
        let ours = format!("author IN ('{AUTHOR}', '{CANDIDATE_AUTHOR}')");
        Ok(self.snapshots_where(&format!("{ours} AND snapshot_id = {snapshot}"))?.pop())
    }

    fn snapshots_where(&self, condition: &str) -> Result<Vec<GenerationSnapshot>, LakeError> {
        let query = format!(
            "SELECT snapshot_id, epoch_ms(snapshot_time::TIMESTAMPTZ), commit_extra_info FROM {} JOIN {} USING (snapshot_id)
             WHERE {condition} ORDER BY snapshot_id",
            self.table("ducklake_snapshot_changes"),
            self.table("ducklake_snapshot")
        );
        let read =
            move |connection: &Connection| -> duckdb::Result<Vec<(i64, i64, Option<String>)>> {
                connection
                    .prepare(&query)?
                    .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
                    .collect()
            };
        let rows = match self.query(read) {
            Err(LakeError::Missing { .. }) => return Ok(Vec::new()),
            rows => rows?,
        };
        let commit = |(snapshot, at, text): (i64, i64, Option<String>)| {
            Some(GenerationSnapshot {
                snapshot,
                at: jiff::Timestamp::from_millisecond(at).ok()?,
                manifest: serde_json::from_str(&text?).ok()?,
            })
        };
        Ok(rows.into_iter().filter_map(commit).collect())
    }

    /// Returns the state before a write; an empty one if the lake does not exist yet.
    pub(crate) fn find(&self, schema: &str) -> Result<Option<LakeState>, LakeError> {
        let Some(snapshot) = self.newest_snapshot()? else { return Ok(None) };
        let served = self.commits_where(&format!(
            "AND snapshot_id = (SELECT max(snapshot_id) FROM {} WHERE author = '{AUTHOR}' AND snapshot_id <= {snapshot})",
            self.table("ducklake_snapshot_changes")
        ))?;
        let Some(served) = served.into_iter().next_back() else {
            return Ok(Some(LakeState { snapshot, served: None, tables: BTreeMap::new() }));
        };
        let tables = self.tables_since(&served, snapshot, schema)?;
        Ok(Some(LakeState { snapshot, served: Some(served), tables }))
    }

    /// Returns the number of the newest snapshot, whoever committed it; `None` if the lake does not
    /// exist yet.
    pub(super) fn newest_snapshot(&self) -> Result<Option<i64>, LakeError> {
        let newest = format!("SELECT max(snapshot_id) FROM {}", self.table("ducklake_snapshot"));
        match self.query(move |connection| connection.query_row(&newest, [], |row| row.get(0))) {
            Err(LakeError::Missing { .. }) => Ok(None),
            found => found,
        }
    }

    /// Returns every table and view of a schema at `snapshot`, and whether it is unmodified since
    /// `served` was committed.
    pub(super) fn tables_since(
        &self,
        served: &GenerationSnapshot,
        snapshot: i64,
        schema: &str,
    ) -> Result<BTreeMap<String, bool>, LakeError> {
        // DuckLake lists the changes of a snapshot as `inserted_into_table:7,altered_table:7`. A
        // table that was created again has another number.
        let [changes, tables, views, schemas] =
            ["ducklake_snapshot_changes", "ducklake_table", "ducklake_view", "ducklake_schema"]
                .map(|name| self.table(name));
        let since = served.snapshot;
        let query = format!(
            "SELECT name, untouched FROM (
                SELECT schema_id, table_name AS name, begin_snapshot, end_snapshot, begin_snapshot <= {since} AND table_id NOT IN (
                    SELECT unnest(regexp_extract_all(changes_made, ':([0-9]+)', 1))::BIGINT FROM {changes} WHERE snapshot_id > {since} AND snapshot_id <= {snapshot}
                ) AS untouched FROM {tables}
                UNION ALL SELECT schema_id, view_name, begin_snapshot, end_snapshot, false FROM {views}
             ) t JOIN {schemas} s USING (schema_id) WHERE schema_name = ?
               AND t.begin_snapshot <= {snapshot} AND (t.end_snapshot IS NULL OR t.end_snapshot > {snapshot})
               AND s.begin_snapshot <= {snapshot} AND (s.end_snapshot IS NULL OR s.end_snapshot > {snapshot})"
        );
        let read = |row: &duckdb::Row<'_>| Ok((row.get(0)?, row.get(1)?));
        let schema = schema.to_owned();
        self.query(move |connection| {
            connection.prepare(&query)?.query_map([&schema], read)?.collect()
        })
    }

    /// Lists the pinned generations.
    pub(crate) fn pins(&self) -> Result<Vec<GenerationId>, LakeError> {
        let query = format!("SELECT DISTINCT id FROM {} ORDER BY id", self.table(PINS));
        let found = self.query(move |connection| {
            connection
                .prepare(&query)?
                .query_map([], |row| row.get(0))?
                .collect::<duckdb::Result<Vec<String>>>()
        });
        match found {
            Err(LakeError::Missing { .. }) => Ok(Vec::new()),
            found => Ok(found?.iter().filter_map(|id| GenerationId::parse(id)).collect()),
        }
    }

    /// Pins a generation, which is then not pruned. Pinning is idempotent.
    pub(crate) fn pin(&self, id: &GenerationId) -> Result<(), LakeError> {
        self.create_tables()?;
        self.unpin(id)?;
        let (id, statement) = (id.clone(), format!("INSERT INTO {} VALUES (?)", self.table(PINS)));
        self.execute(move |connection| connection.execute(&statement, [id.as_str()]).map(drop))
    }

    /// Allows a generation to be pruned again.
    pub(crate) fn unpin(&self, id: &GenerationId) -> Result<(), LakeError> {
        let (id, statement) =
            (id.clone(), format!("DELETE FROM {} WHERE id = ?", self.table(PINS)));
        match self
            .execute(move |connection| connection.execute(&statement, [id.as_str()]).map(drop))
        {
            Err(LakeError::Missing { .. }) => Ok(()),
            other => other,
        }
    }

    /// Returns the stored state of rollbacks, unparsed.
    pub(crate) fn rollbacks(&self) -> Result<Option<String>, LakeError> {
        let query = format!("SELECT max(state) FROM {}", self.table(ROLLBACKS));
        match self.query(move |connection| connection.query_row(&query, [], |row| row.get(0))) {
            Err(LakeError::Missing { .. }) => Ok(None),
            found => found,
        }
    }

    /// Replaces the state of rollbacks, in one transaction.
    pub(crate) fn save_rollbacks(&self, state: Option<&str>) -> Result<(), LakeError> {
        self.create_tables()?;
        let table = self.table(ROLLBACKS);
        let insert = state
            .map(|state| format!("INSERT INTO {table} VALUES ({});", sql::literal(state)))
            .unwrap_or_default();
        let statements = format!("BEGIN; DELETE FROM {table}; {insert} COMMIT");
        self.execute(move |connection| {
            connection.execute_batch(&statements).inspect_err(|_| {
                // An open failed transaction would make every retry on this connection fail.
                let _ = connection.execute_batch("ROLLBACK");
            })
        })
    }

    /// Returns every attempt in the order of the ids, and the number of unreadable ones.
    pub(crate) fn records(&self) -> Result<(Vec<AttemptRecord>, usize), LakeError> {
        let query = format!("SELECT record FROM {} ORDER BY id", self.table(HISTORY));
        let found = self.query(move |connection| {
            connection
                .prepare(&query)?
                .query_map([], |row| row.get(0))?
                .collect::<duckdb::Result<Vec<String>>>()
        });
        let texts = match found {
            Err(LakeError::Missing { .. }) => return Ok((Vec::new(), 0)),
            found => found?,
        };
        let records: Vec<AttemptRecord> =
            texts.iter().filter_map(|text| serde_json::from_str(text).ok()).collect();
        let lost = texts.len() - records.len();
        Ok((records, lost))
    }

    /// Returns when an export last confirmed that the lakehouse has exactly this generation's
    /// content.
    pub(crate) fn confirmed(
        &self,
        id: &GenerationId,
    ) -> Result<Option<jiff::Timestamp>, LakeError> {
        let query = format!(
            "SELECT max(id) FROM {} WHERE outcome = '{}' AND generation = ?",
            self.table(HISTORY),
            AttemptOutcome::Unchanged.key()
        );
        let id = id.clone();
        match self.query(move |connection| {
            connection.query_row(&query, [id.as_str()], |row| row.get::<_, Option<String>>(0))
        }) {
            Err(LakeError::Missing { .. }) => Ok(None),
            found => Ok(found?.and_then(|id| GenerationId::parse(&id)).and_then(|id| id.time())),
        }
    }

    pub(crate) fn append(&self, record: &AttemptRecord) -> Result<(), LakeError> {
        let text = serde_json::to_string(record).map_err(|error| LakeError::Engine {
            doing: "write the history".to_owned(),
            why: error.to_string(),
        })?;
        let row = (record.id.clone(), record.outcome.key(), record.generation.clone(), text);
        let statement = format!("INSERT INTO {} VALUES (?, ?, ?, ?)", self.table(HISTORY));
        let insert = || {
            let ((id, outcome, generation, text), statement) = (row.clone(), statement.clone());
            self.execute(move |connection| {
                let generation = generation.as_ref().map(GenerationId::as_str);
                connection
                    .execute(&statement, duckdb::params![id.as_str(), outcome, generation, text])
                    .map(drop)
            })
        };
        match insert() {
            Err(LakeError::Missing { .. }) => self.create_tables().and_then(|()| insert()),
            other => other,
        }
    }

    /// Creates materia's own tables.
    pub(crate) fn create_tables(&self) -> Result<(), LakeError> {
        let [history, pins, rollbacks] = [HISTORY, PINS, ROLLBACKS].map(|name| self.table(name));
        let statements = format!(
            "CREATE TABLE IF NOT EXISTS {history} (id VARCHAR, outcome VARCHAR, generation VARCHAR, record VARCHAR);
             CREATE TABLE IF NOT EXISTS {pins} (id VARCHAR);
             CREATE TABLE IF NOT EXISTS {rollbacks} (state VARCHAR);"
        );
        self.execute(move |connection| connection.execute_batch(&statements))
    }
}
