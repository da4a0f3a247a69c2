//! Reasons why a file is incomplete.

use std::io;

use crate::reader::ReaderError;

/// Reason why a file is incomplete.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// Reading the rows failed.
    #[error(transparent)]
    Reader(#[from] ReaderError),
    /// The client has disconnected, or the disk is full.
    #[error("cannot write: {0}")]
    Write(#[from] io::Error),
    /// The format cannot represent a value.
    #[error("cannot be written in this format: {0}")]
    Format(String),
    /// The download was canceled.
    #[error("stopped")]
    Stopped,
}

impl DownloadError {
    pub(super) fn format(error: impl std::fmt::Display) -> Self {
        Self::Format(error.to_string())
    }
}
