//! Polls which version of the data is served, at a cost low enough for frequent polling.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::Path,
    time::{Duration, SystemTime},
};

use super::{GenerationId, Store, lake::Lake};
use crate::files::{self, FileId};

/// Minimum interval between two polls of a lake's catalog.
const LAKE_POLL_INTERVAL: Duration = Duration::from_millis(250);
/// How often the interval is doubled while the catalog is missing or does not respond: each attempt
/// starts a DuckDB.
const MAX_DOUBLINGS: u32 = 3;
/// Age at which the times of a file tell that it has not been written since: within a tick of the
/// file system's clock, two writes have the same one.
const SETTLED: Duration = Duration::from_secs(1);

/// Identity of the served data: differs when something else is served or a file was changed in
/// place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ServedVersion {
    File { id: FileId, bytes: u64, modified: Option<SystemTime> },
    Snapshot(i64),
}

impl ServedVersion {
    pub(crate) fn from_metadata(metadata: &fs::Metadata) -> Self {
        Self::File {
            id: FileId::of(metadata),
            bytes: metadata.size(),
            modified: metadata.modified().ok(),
        }
    }

    fn at(path: &Path) -> io::Result<Option<Self>> {
        match fs::metadata(path) {
            Ok(metadata) => Ok(Some(Self::from_metadata(&metadata))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Identity of the newest confirmation: differs when another attempt may have confirmed the served
/// data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ConfirmationMark {
    History(ServedVersion),
    Generation(GenerationId),
}

/// Polls what a store serves: one `stat`, or one query to the catalog of a lake.
pub(crate) struct VersionPoller {
    store: Store,
    /// The served lake, with a separate connection if other queries might block a poll.
    lake: Option<Lake>,
    /// The newest confirmation read from the lake.
    confirmed: Option<GenerationId>,
    /// Polls in a row that found no lake.
    misses: u32,
    /// The files of a catalog in a DuckDB file, and what was found there.
    known: Option<(Vec<ServedVersion>, ServedVersion)>,
}

impl VersionPoller {
    /// Creates a poller, with a separate connection to a lake's catalog if it polls repeatedly.
    pub(crate) fn new(store: &Store, repeatedly: bool) -> Self {
        let lake = store
            .lake()
            .map(|lake| if repeatedly { lake.with_own_connection() } else { lake.clone() });
        Self { store: store.clone(), lake, confirmed: None, misses: 0, known: None }
    }

    /// Returns the served lake, if any.
    pub(crate) fn lake(&self) -> Option<&Lake> {
        self.lake.as_ref()
    }

    /// Returns the interval between two polls: the requested one, or a longer one that protects a
    /// lake's catalog, and the processor while there is none.
    pub(crate) fn interval(&self, wanted: Duration) -> Duration {
        let least = LAKE_POLL_INTERVAL * 2_u32.pow(self.misses.min(MAX_DOUBLINGS));
        if self.lake.is_some() { wanted.max(least) } else { wanted }
    }

    /// Returns what is served now; `None` if there is nothing yet.
    ///
    /// # Errors
    /// The served path or the catalog cannot be read.
    pub(crate) fn served(&mut self) -> Result<Option<ServedVersion>, String> {
        let Some(lake) = &self.lake else {
            return ServedVersion::at(self.store.local().served_path())
                .map_err(|error| error.to_string());
        };
        let stamp = lake.catalog_file().and_then(settled_stamp);
        if let (Some(stamp), Some((known, found))) = (&stamp, &self.known)
            && stamp == known
        {
            return Ok(Some(*found));
        }
        self.known = None;
        let newest = lake.newest().map_err(|error| error.to_string());
        self.misses = match newest {
            Ok(Some(_)) => 0,
            Ok(None) | Err(_) => self.misses.saturating_add(1),
        };
        let newest = newest?;
        self.confirmed = newest.as_ref().and_then(|newest| newest.confirmed.clone());
        let found = newest.map(|newest| ServedVersion::Snapshot(newest.snapshot));
        self.known = stamp.zip(found);
        Ok(found)
    }

    /// Returns the mark of the newest confirmation, as of the last [`VersionPoller::served`].
    pub(crate) fn confirmation(&self) -> Option<ConfirmationMark> {
        if self.lake.is_some() {
            return self.confirmed.clone().map(ConfirmationMark::Generation);
        }
        let history = ServedVersion::at(&self.store.local().history_path()).ok().flatten();
        history.map(ConfirmationMark::History)
    }
}

/// Returns the state of a DuckDB file and its logs, if nobody has written them a moment ago.
fn settled_stamp(path: &Path) -> Option<Vec<ServedVersion>> {
    let now = SystemTime::now();
    let logs = files::wal_files(path);
    let paths = std::iter::once(path).chain(logs.iter().map(AsRef::as_ref));
    paths
        .map(|path| {
            let version = ServedVersion::at(path).ok().flatten()?;
            let ServedVersion::File { modified: Some(modified), .. } = version else { return None };
            let is_settled = now.duration_since(modified).is_ok_and(|age| age > SETTLED);
            is_settled.then_some(version)
        })
        .collect()
}

impl Store {
    /// Returns the served version if one `stat` determines it; `None` for a lake, and if nothing is
    /// served.
    pub(crate) fn served_version(&self) -> Option<ServedVersion> {
        match self {
            Self::File(local) => ServedVersion::at(local.served_path()).ok().flatten(),
            Self::Lake(_) => None,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{
        extensions::ExtensionDir,
        store::lake::{CatalogUrl, Credentials, RetentionPolicy},
    };

    #[test]
    fn a_lake_that_is_gone_is_looked_for_less_often_and_without_an_engine() {
        let folder = tempfile::tempdir().unwrap();
        let lake = Lake::new(
            CatalogUrl::parse("ducklake:lake.ducklake", folder.path()).unwrap(),
            None,
            Credentials::default(),
            ExtensionDir::new(folder.path().join("no extensions")),
            RetentionPolicy::default(),
        );
        let store = Store::new(&folder.path().join("analytics.duckdb")).unwrap().with_lake(lake);
        let mut poller = VersionPoller::new(&store, true);
        let wanted = Duration::from_millis(100);
        assert_eq!(poller.interval(wanted), LAKE_POLL_INTERVAL);
        for doubled in [2, 4, 8, 8] {
            // An engine would miss its extensions.
            assert_eq!(poller.served(), Ok(None));
            assert_eq!(poller.interval(wanted), LAKE_POLL_INTERVAL * doubled);
        }
    }

    #[test]
    fn a_file_that_was_written_a_moment_ago_may_still_change_unseen() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        assert_eq!(settled_stamp(&path), None);
        fs::write(&path, "x").unwrap();
        assert_eq!(settled_stamp(&path), None);
        let age = |path: &Path| {
            let file = fs::File::options().write(true).open(path).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(5)).unwrap();
        };
        age(&path);
        let stamp = settled_stamp(&path);
        assert_eq!(stamp.as_ref().map(Vec::len), Some(1));
        let log = folder.path().join("x.wal");
        fs::write(&log, "x").unwrap();
        assert_eq!(settled_stamp(&path), None, "its log counts");
        age(&log);
        assert_eq!(settled_stamp(&path).map(|stamp| stamp.len()), Some(2));
    }
}
