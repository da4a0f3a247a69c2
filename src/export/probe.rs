//! Probes the lakehouse for `materia status`: whether an export could read it.

use std::path::Path;

use super::{ExportError, lakehouse};

/// Returns why the lakehouse cannot be read, as a phrase that follows its path; `None` if it can be
/// read or does not exist.
#[must_use]
pub fn lakehouse_problem(path: &Path) -> Option<String> {
    if !path.exists() {
        return None;
    }
    match lakehouse::open(path).and_then(|file| lakehouse::check_header(path, &file)) {
        Ok(()) => None,
        Err(ExportError::Lakehouse { why, .. }) => Some(why.to_string()),
        Err(ExportError::Io { source, .. }) => Some(format!("cannot be read: {source}")),
        Err(other) => Some(other.to_string()),
    }
}
