//! What a store serves, for commands that need no query: a lake is described by its catalog and a
//! listing of its storage. Opening it would load the extension for lakes, which takes longer than
//! everything else together.

use std::{io, thread};

use jiff::Timestamp;

use super::{GenerationInfo, Reader, ReaderConfig, ReaderProblem, ReaderState, block_on};
use crate::store::{
    Store,
    lake::{DataFile, Lake, LakeError, describe_damage},
};

/// What is served at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// The state as of a reader that has just opened it.
    pub state: ReaderState,
    /// Every served table and its number of rows; empty if that cannot be read.
    pub tables: Vec<(String, u64)>,
}

impl Observation {
    /// Observes what a store serves. `schema` is that of data which materia did not publish.
    ///
    /// # Errors
    /// No more threads can be created.
    pub fn of(store: &Store, schema: &str) -> io::Result<Self> {
        match store.lake().map(of_lake) {
            Some(Ok(Some(observed))) => Ok(observed),
            Some(Err(error)) => Ok(Self::of_problem(error.to_string())),
            // A file, or a lake that materia has not filled.
            Some(Ok(None)) | None => Self::of_reader(store, schema),
        }
    }

    fn of_reader(store: &Store, schema: &str) -> io::Result<Self> {
        let reader = Reader::open(store, schema, ReaderConfig::one_shot())?;
        let catalog = reader.pin().and_then(|pin| block_on(pin.catalog()));
        let tables = catalog.map(|catalog| catalog.tables).unwrap_or_default();
        Ok(Self {
            state: reader.state(),
            tables: tables.into_iter().map(|table| (table.name, table.rows)).collect(),
        })
    }

    fn of_problem(reason: String) -> Self {
        let problem = ReaderProblem { since: Timestamp::now(), reason };
        let state = ReaderState { generation: None, problem: Some(problem), storage: None };
        Self { state, tables: Vec::new() }
    }
}

/// Returns `None` for a lake without a generation.
fn of_lake(lake: &Lake) -> Result<Option<Observation>, LakeError> {
    thread::scope(|scope| {
        // Loads its extension while the catalog responds.
        let storage =
            lake.is_configured_remote().then(|| scope.spawn(|| lake.connect_storage(true)));
        let Some(commit) = lake.served()? else { return Ok(None) };
        lake.check_extensions()?;
        let manifest = commit.manifest;
        let mut files = lake.data_files(commit.snapshot, &manifest.schema)?;
        files.retain(|file| file.schema == manifest.schema);
        let confirmed_at = lake.confirmed(&manifest.id)?;
        let storage = match storage.map(thread::ScopedJoinHandle::join) {
            Some(Ok(connection)) => Some(connection?),
            Some(Err(_)) | None => None,
        };
        let problem = match lake.find_damaged_files_over(storage.as_ref(), &files) {
            Ok(damaged) if damaged.is_empty() => None,
            Ok(damaged) => Some(describe_damage(&damaged)),
            Err(LakeError::Storage { why, .. }) => Some(why),
            Err(error) => Some(error.to_string()),
        };
        let opened_at = Timestamp::now();
        let info = GenerationInfo {
            sequence: 1,
            id: Some(manifest.id),
            snapshot: Some(commit.snapshot),
            exported_at: Some(manifest.exported_at),
            confirmed_at,
            opened_at,
            bytes: files.iter().map(|file: &DataFile| file.bytes).sum(),
            schema: manifest.schema,
        };
        let tables = manifest.tables.into_iter().map(|table| (table.name, table.rows)).collect();
        let storage = problem.map(|reason| ReaderProblem { since: opened_at, reason });
        let state = ReaderState { generation: Some(info.into()), problem: None, storage };
        Ok(Some(Observation { state, tables }))
    })
}
