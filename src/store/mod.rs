//! The store: the served file or lake, its generations with their manifests, history and pins, and
//! recovery after a killed exporter.
//!
//! Only [`Store`] knows whether a file or a lake is served. The files around a served file are:
//!
//! ```text
//! analytics.duckdb                     what readers open; always a complete generation
//! analytics.generations/<id>.duckdb    hard link to the same file, retained for rollback
//! analytics.generations/<id>.json      its manifest
//! analytics.generations/<id>.pinned    present while it must not be pruned
//! analytics.generations/rollback.json  state of rollbacks, until exports publish again
//! analytics.history.jsonl              one line per attempt
//! analytics.lake-<digest>.history.jsonl  the attempts of this machine on a lake
//! analytics.logs/                      output and results of pipelines (default of `logs`)
//! analytics.alerts.json                sent alerts and alerts still to be sent
//! _export.work/                        during an export: private copy of the lakehouse, staged
//!                                      file and spilled data; accessible to its owner only
//! _export.lock                         during an export: the export lock and its holder's progress
//! ```

mod audit;
mod check;
mod error;
mod file;
mod history;
mod id;
pub mod lake;
mod manifest;
mod outcome;
mod publisher;
mod recovery;
mod revision;
mod rollbacks;
mod running;
mod version;

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    fs::File,
    io,
    path::{Path, PathBuf},
};

use self::lake::{GenerationSnapshot, Lake};
pub use self::{
    audit::{Audit, AuditReport, Severity},
    check::{Candidate, Check},
    error::StoreError,
    file::FileStore,
    history::{AttemptRecord, LakehouseInfo, Remedy, SnapshotMethod, TableRecord},
    id::{GenerationId, ServedState},
    manifest::{
        ColumnManifest, IncrementalState, Manifest, RelationKind, RetainedGeneration, TableManifest,
    },
    outcome::AttemptOutcome,
    publisher::Publisher,
    revision::{CellRevision, ColumnRevision, Revision, Shift},
    rollbacks::{Hold, OlderServed, RollbackRequest, RollbackState, RolledBackContent},
    running::{ExportStep, RunningExport},
};
pub(crate) use self::{
    error::no_generation,
    history::confirmation,
    recovery::{
        last_that_differs, prune, prune_unread, quarantine_wal, record_killed_attempt, recover,
        remove_generation, temp_path,
    },
    revision::{format_percent, share},
    rollbacks::{hold_message, withheld_message},
    version::{ConfirmationMark, ServedVersion, VersionPoller},
};
use crate::lock::{self, Mode};

/// The place where generations are published and retained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Store {
    /// A file and its generations.
    File(FileStore),
    /// A lake, filled from a local file that has no other readers.
    Lake(LakeStore),
}

/// A lake and the local file that it is filled from, which is exported and audited as if it were
/// served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LakeStore {
    lake: Lake,
    local: FileStore,
}

/// A consistent view of everything published.
#[derive(Debug, Clone, PartialEq)]
pub struct Published {
    /// Every attempt, oldest first.
    pub history: Vec<AttemptRecord>,
    /// Number of unreadable lines of the history, which are skipped.
    pub history_lost: usize,
    pub served: ServedState,
    /// Retained generations, newest first.
    pub generations: Vec<RetainedGeneration>,
    /// What other clients of a lake did to what is published, if anything.
    pub foreign_changes: Option<String>,
    /// Why a lake's remote catalog does not respond; the other fields are then limited to what this
    /// machine knows.
    pub unreachable: Option<String>,
}

impl Store {
    /// Returns the store whose served file is `path`. Links are followed: the file they point to is
    /// the one that is replaced.
    ///
    /// # Errors
    /// A loop of links, or a folder on the way that cannot be read.
    pub fn new(path: &Path) -> io::Result<Self> {
        FileStore::new(path).map(Self::File)
    }

    /// Returns a store that fills the lake from this file and serves the lake instead.
    #[must_use]
    pub fn with_lake(self, lake: Lake) -> Self {
        let (Self::File(local) | Self::Lake(LakeStore { local, .. })) = self;
        let local = local.with_history_of(lake.name());
        Self::Lake(LakeStore { lake, local })
    }

    /// Returns the local file store: the served one, or the one that the lake is filled from.
    #[must_use]
    pub fn local(&self) -> &FileStore {
        match self {
            Self::File(local) | Self::Lake(LakeStore { local, .. }) => local,
        }
    }

    /// Returns whether a lake is served, whose data may be on another machine.
    #[must_use]
    pub fn is_lake(&self) -> bool {
        matches!(self, Self::Lake(_))
    }

    /// Returns the size of the served file; `None` for a lake, and where nothing is served.
    pub(crate) fn served_bytes(&self) -> Option<u64> {
        match self {
            Self::File(local) => Some(std::fs::metadata(local.served_path()).ok()?.len()),
            Self::Lake(_) => None,
        }
    }

    /// Returns the served lake, if any.
    #[must_use]
    pub(crate) fn lake(&self) -> Option<&Lake> {
        match self {
            Self::File(_) => None,
            Self::Lake(store) => Some(&store.lake),
        }
    }

    /// Returns the file's path, or the lake's address without a password.
    #[must_use]
    pub fn display_name(&self) -> PathBuf {
        match self {
            Self::File(local) => local.served_path().to_path_buf(),
            Self::Lake(store) => PathBuf::from(store.lake.name()),
        }
    }

    /// Returns why this process cannot publish or roll back, if so: a lake's readers have a role
    /// of their own, or files that belong to another user.
    #[must_use]
    pub fn write_problem(&self) -> Option<String> {
        self.lake()?.write_problem()
    }

    /// Lists the retained generations, newest first.
    ///
    /// # Errors
    /// The generations or the served data cannot be read.
    pub fn generations(&self) -> io::Result<Vec<RetainedGeneration>> {
        match self {
            Self::File(local) => local.list(),
            Self::Lake(store) => {
                Ok(retained(store.lake.commits()?, &store.lake.pins()?, &store.lake.sizes()?))
            }
        }
    }

    /// Lists the ids of the retained generations, oldest first.
    ///
    /// # Errors
    /// The generations cannot be read.
    pub fn generation_ids(&self) -> Result<Vec<GenerationId>, StoreError> {
        match self {
            Self::File(local) => local
                .generation_ids()
                .map_err(|source| StoreError::io("read", &local.generations_dir(), source)),
            Self::Lake(store) => {
                let ids: BTreeSet<_> =
                    store.lake.commits()?.into_iter().map(|commit| commit.manifest.id).collect();
                Ok(ids.into_iter().collect())
            }
        }
    }

    /// Reads one generation's manifest, if possible.
    #[must_use]
    pub fn manifest(&self, id: &GenerationId) -> Option<Manifest> {
        match self {
            Self::File(local) => local.manifest(id),
            Self::Lake(store) => store
                .lake
                .commits()
                .ok()?
                .into_iter()
                .rfind(|commit| commit.manifest.id == *id)
                .map(|commit| commit.manifest),
        }
    }

    /// Returns the manifest of the newest retained generation older than this one.
    #[must_use]
    pub fn previous(&self, id: &GenerationId) -> Option<Manifest> {
        match self {
            Self::File(local) => local.manifest(
                &local.generation_ids().ok()?.into_iter().filter(|older| older < id).max()?,
            ),
            Self::Lake(store) => {
                let manifests =
                    store.lake.commits().ok()?.into_iter().map(|commit| commit.manifest);
                manifests
                    .filter(|manifest| manifest.id < *id)
                    .max_by(|one, other| one.id.cmp(&other.id))
            }
        }
    }

    /// Finds a generation by its id or by a unique prefix of it.
    ///
    /// # Errors
    /// [`StoreError::NoGeneration`], with the existing ids.
    pub fn find(&self, requested: &str) -> Result<GenerationId, StoreError> {
        let ids = self.generation_ids()?;
        let mut alike =
            ids.iter().filter(|id| !requested.is_empty() && id.as_str().starts_with(requested));
        match (alike.next(), alike.next()) {
            (Some(id), None) => Ok(id.clone()),
            _ => Err(StoreError::NoGeneration {
                requested: requested.to_owned(),
                kept: ids.iter().map(ToString::to_string).collect(),
            }),
        }
    }

    /// Finds a pinned generation as [`Store::find`] does, also one of a lake that another client
    /// expired.
    ///
    /// # Errors
    /// [`StoreError::NoGeneration`], with the existing ids.
    pub fn find_pinned(&self, requested: &str) -> Result<GenerationId, StoreError> {
        let found = self.find(requested);
        let Self::Lake(store) = self else { return found };
        let pins = || -> Option<GenerationId> {
            let pins = store.lake.pins().ok()?;
            let mut alike = pins.into_iter().filter(|id| id.as_str().starts_with(requested));
            alike.next().filter(|_| alike.next().is_none())
        };
        found.or_else(|error| pins().ok_or(error))
    }

    /// Retains a generation until it is unpinned. Pinning is idempotent.
    ///
    /// # Errors
    /// The generation does not exist, or its marker cannot be written.
    pub fn pin(&self, id: &GenerationId) -> Result<(), StoreError> {
        match self {
            Self::File(local) => {
                if local.pin(id)? {
                    Ok(())
                } else {
                    self.find(id.as_str()).map(drop)
                }
            }
            Self::Lake(store) => Ok(store.lake.pin(id)?),
        }
    }

    /// Allows a generation to be pruned again.
    ///
    /// # Errors
    /// Its marker cannot be removed.
    pub fn unpin(&self, id: &GenerationId) -> Result<(), StoreError> {
        match self {
            Self::File(local) => local.unpin(id),
            Self::Lake(store) => Ok(store.lake.unpin(id)?),
        }
    }

    /// Returns what is currently served: a generation, something else, or nothing.
    ///
    /// # Errors
    /// The served file, the generations or the catalog of a lake cannot be read.
    pub fn served(&self) -> Result<ServedState, StoreError> {
        match self {
            Self::File(_) => self.local_served(),
            Self::Lake(store) => Ok(store.lake.served()?.map_or(ServedState::Missing, |commit| {
                ServedState::Generation(commit.manifest.id)
            })),
        }
    }

    /// Returns the generation of the local file: the served one, or the one last copied into the
    /// lake.
    ///
    /// # Errors
    /// The file or the folder of generations cannot be read.
    pub fn local_served(&self) -> Result<ServedState, StoreError> {
        let local = self.local();
        local.served().map_err(|source| StoreError::io("look at", local.served_path(), source))
    }

    /// Reads every attempt, oldest first. Unreadable lines, such as one torn by a crash, are
    /// skipped.
    ///
    /// # Errors
    /// The history exists and cannot be read.
    pub fn history(&self) -> io::Result<Vec<AttemptRecord>> {
        self.history_lossy().map(|(records, _)| records)
    }

    /// Works like [`Store::history`] and also returns the number of skipped lines. A torn last line
    /// is not counted, since the next attempt removes it.
    ///
    /// # Errors
    /// The history exists and cannot be read.
    pub fn history_lossy(&self) -> io::Result<(Vec<AttemptRecord>, usize)> {
        let (mut records, lost) = history::read_lossy(self.local())?;
        let Self::Lake(store) = self else { return Ok((records, lost)) };
        let (readable, unreadable) = store.lake.records()?;
        // The local history has this machine's attempts, also those that the lake did not accept.
        let key = |record: &AttemptRecord| (record.id.clone(), record.outcome, record.ended_at);
        let known: HashSet<_> = readable.iter().map(key).collect();
        records.retain(|record| !known.contains(&key(record)));
        records.extend(readable);
        records.sort_by(|one, other| one.id.cmp(&other.id));
        Ok((records, lost + unreadable))
    }

    /// Reads the newest attempts, oldest first: at least one if there is any, without reading a
    /// long history from its beginning.
    pub(crate) fn newest_attempts(&self) -> io::Result<Vec<AttemptRecord>> {
        match self {
            Self::File(local) => history::newest(local),
            Self::Lake(_) => self.history(),
        }
    }

    /// Returns when an export last confirmed this generation by finding the lakehouse unchanged.
    ///
    /// # Errors
    /// The history exists and cannot be read.
    pub fn last_confirmed(&self, id: &GenerationId) -> io::Result<Option<jiff::Timestamp>> {
        match self {
            Self::File(local) => Ok(confirmation(&history::newest(local)?, id)),
            Self::Lake(store) => Ok(store.lake.confirmed(id)?),
        }
    }

    /// Appends one attempt to the history, durably. That of a lake is in its catalog; the local
    /// one has a copy for when the catalog is away, and the records that it did not accept, which
    /// are merged when the history is read.
    pub(crate) fn append(&self, record: &AttemptRecord) -> io::Result<()> {
        let accepted = match self {
            Self::Lake(store) => store.lake.append(record).is_ok(),
            Self::File(_) => false,
        };
        let written = history::append(self.local(), record);
        if accepted { Ok(()) } else { written }
    }

    /// Appends one attempt to the local history only: it is of no concern to the other machines
    /// that use a lake.
    pub(crate) fn append_locally(&self, record: &AttemptRecord) -> io::Result<()> {
        history::append(self.local(), record)
    }

    /// Reads the attempts that this machine knows of, oldest first: all of them for a file, its
    /// own for a lake.
    ///
    /// # Errors
    /// The history exists and cannot be read.
    pub fn local_history(&self) -> io::Result<Vec<AttemptRecord>> {
        history::read_lossy(self.local()).map(|(records, _)| records)
    }

    /// Removes the oldest attempts of the local history. That in a lake's catalog is not trimmed.
    pub(crate) fn trim_history(&self, keep: usize) -> io::Result<()> {
        history::trim(self.local(), keep)
    }

    /// Reads everything that is published.
    ///
    /// # Errors
    /// The history, the generations or the served file exist and cannot be read.
    pub fn published(&self) -> io::Result<Published> {
        let read = || -> io::Result<Published> {
            let (history, history_lost) = self.history_lossy()?;
            let (served, generations, foreign_changes) = match self {
                Self::File(_) => (self.served()?, self.generations()?, None),
                Self::Lake(LakeStore { lake, .. }) => {
                    let (commits, pins) = (lake.commits()?, lake.pins()?);
                    let changes = lake.describe_foreign_changes(&commits, &pins, &history)?;
                    let served = commits.last().map_or(ServedState::Missing, |commit| {
                        ServedState::Generation(commit.manifest.id.clone())
                    });
                    (served, retained(commits, &pins, &lake.sizes()?), changes)
                }
            };
            Ok(Published {
                history,
                history_lost,
                served,
                generations,
                foreign_changes,
                unreachable: None,
            })
        };
        match (read(), self) {
            (Err(error), Self::Lake(store)) => {
                let (history, history_lost) = history::read_lossy(&store.local)?;
                Ok(Published {
                    history,
                    history_lost,
                    served: ServedState::Missing,
                    generations: Vec::new(),
                    foreign_changes: None,
                    unreachable: Some(error.to_string()),
                })
            }
            (result, _) => result,
        }
    }

    /// Returns the details when the served generation is older than the newest, or is held.
    ///
    /// # Errors
    /// The generations or the history cannot be read.
    pub fn older_served(&self) -> io::Result<Option<OlderServed>> {
        let state = RollbackState::load(self).unwrap_or_default();
        let kept = self.generations()?;
        let served = kept
            .iter()
            .find(|generation| generation.served)
            .map(|generation| generation.id.clone());
        Ok(OlderServed::find(served.as_ref(), &kept, &self.history()?, &state))
    }

    /// Returns the progress of the running export, if any.
    ///
    /// # Errors
    /// The lock file exists and cannot be read.
    pub fn running(&self) -> io::Result<Option<RunningExport>> {
        let mut file = match File::open(self.local().lock_path()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        // A lock file without a holder is left by a killed exporter; the next export removes it.
        Ok(if lock::conflicting_holder(&file, Mode::Shared)?.is_some() {
            RunningExport::read(&mut file)
        } else {
            None
        })
    }
}

/// Returns the generations of a lake, newest first, with the sizes of their data files.
fn retained(
    commits: Vec<GenerationSnapshot>,
    pins: &[GenerationId],
    sizes: &BTreeMap<i64, u64>,
) -> Vec<RetainedGeneration> {
    let served = commits.last().map(|commit| commit.manifest.id.clone());
    // A generation that was rolled back to has several snapshots.
    let with_size = |commit: GenerationSnapshot| {
        let bytes = sizes.get(&commit.snapshot).copied().unwrap_or_default();
        (commit.manifest.id.clone(), Manifest { bytes, ..commit.manifest })
    };
    let manifests: BTreeMap<_, _> = commits.into_iter().map(with_size).collect();
    let generation = |(id, manifest)| RetainedGeneration {
        served: served.as_ref() == Some(&id),
        pinned: pins.contains(&id),
        manifest: Some(manifest),
        id,
    };
    manifests.into_iter().rev().map(generation).collect()
}
