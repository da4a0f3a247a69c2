//! Errors of reading, writing and finding published generations.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::lake::LakeError;
use crate::files;

/// Error of reading, writing or finding a published generation.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file or folder is not accessible.
    #[error("cannot {doing} {}: {source}{}", path.display(), files::advice(source))]
    Io {
        doing: &'static str,
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// No generation has this id, or several begin with this prefix.
    #[error("{}", no_generation(requested, kept))]
    NoGeneration {
        /// The requested id or prefix.
        requested: String,
        kept: Vec<String>,
    },
    /// A file written by materia cannot be parsed.
    #[error("{}: {why}", path.display())]
    Damaged {
        path: PathBuf,
        /// The defect and the next action.
        why: String,
    },
    /// The lake is not usable.
    #[error(transparent)]
    Lake(#[from] LakeError),
}

impl StoreError {
    pub(crate) fn io(doing: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { doing, path: path.to_path_buf(), source }
    }
}

impl From<StoreError> for io::Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Io { source, .. } => source,
            other => Self::other(other),
        }
    }
}

pub(crate) fn no_generation(requested: &str, kept: &[String]) -> String {
    match (requested, kept) {
        (_, []) => "there is no generation yet; an export creates the first".to_owned(),
        ("", _) => {
            format!(
                "no generation older than the served one is retained; retained are {}",
                list(kept)
            )
        }
        _ => format!(
            "{requested:?} matches no retained generation, or more than one; retained are {}",
            list(kept)
        ),
    }
}

fn list(names: &[String]) -> String {
    names.join(", ")
}
