//! Determines what `snapshot = "auto"` would do, for `materia doctor`.

use std::{fs::File, io, path::Path};

use serde::Serialize;

use super::snapshot;
use crate::{
    files,
    store::{ServedState, SnapshotMethod, Store},
};

/// How an export would read the lakehouse, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SnapshotForecast {
    pub method: SnapshotMethod,
    /// The type of the filesystem on which copies are created.
    pub filesystem: &'static str,
    /// Whether the lakehouse is on the same filesystem.
    pub is_same_filesystem: bool,
    /// The space that a copy and the export require.
    pub needed: u64,
    pub left: u64,
}

/// Determines what an export would do. Creates an unnamed file next to the served one, which is
/// removed when closed.
///
/// # Errors
/// The lakehouse cannot be read, or the folder of the served file is not writable.
pub fn forecast_snapshot(lakehouse: &Path, target: &Store) -> io::Result<SnapshotForecast> {
    let folder = target.local().folder();
    let from = File::open(lakehouse)?;
    let to = tempfile::tempfile_in(folder)?;
    let bytes = from.metadata()?.len()
        + files::wal_files(lakehouse)
            .iter()
            .filter_map(|log| log.metadata().ok())
            .map(|log| log.len())
            .sum::<u64>();
    let served = match target.local_served() {
        Ok(ServedState::Generation(id)) => target.local().manifest(&id),
        _ => None,
    };
    let needed = bytes.saturating_add(served.map_or(bytes, |manifest| manifest.bytes));
    let left = files::available_space(folder)?;
    let method = if snapshot::reflink(&from, &to).is_ok() {
        SnapshotMethod::Reflink
    } else if left >= needed {
        SnapshotMethod::Copy
    } else {
        SnapshotMethod::None
    };
    let device = |file: &File| {
        use std::os::unix::fs::MetadataExt as _;
        file.metadata().map(|metadata| metadata.dev())
    };
    Ok(SnapshotForecast {
        method,
        filesystem: files::filesystem_name(folder)?,
        is_same_filesystem: device(&from)? == device(&to)?,
        needed,
        left,
    })
}
