//! Why a file was not written to its end.

use std::io;

use crate::reader::ReaderError;

/// Why a file was not written to its end.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// The rows could not be read to their end.
    #[error(transparent)]
    Reader(#[from] ReaderError),
    /// Whoever takes the file has gone away, or the disk is full.
    #[error("cannot write: {0}")]
    Write(#[from] io::Error),
    /// A value has no place in the format.
    #[error("cannot be written in this format: {0}")]
    Format(String),
    /// It was stopped.
    #[error("stopped")]
    Stopped,
}

impl DownloadError {
    pub(super) fn format(error: impl std::fmt::Display) -> Self {
        Self::Format(error.to_string())
    }
}
