//! Errors in requests for tables, described so that the client can correct them.

use serde::Serialize;

use super::CursorError;
use crate::reader::ReaderError;

/// Longer values are truncated before they are echoed to the client.
const MAX_ECHO: usize = 100;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize)]
#[error("{parameter}: {problem}")]
pub struct ParameterError {
    /// Its name, as given.
    pub parameter: String,
    /// Its value, as given; truncated if long.
    pub value: String,
    pub problem: String,
    /// The allowed values; empty where they cannot be listed.
    pub allowed: Vec<String>,
}

impl ParameterError {
    /// Creates an error without a list of allowed values.
    #[must_use]
    pub fn new(parameter: &str, value: &str, problem: impl Into<String>) -> Self {
        let short = |text: &str| {
            let mut cut: String = text.chars().take(MAX_ECHO).collect();
            if cut.len() < text.len() {
                cut.push('…');
            }
            cut
        };
        Self {
            parameter: short(parameter),
            value: short(value),
            problem: problem.into(),
            allowed: Vec::new(),
        }
    }

    /// Adds the allowed values.
    #[must_use]
    pub fn allowed(self, allowed: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { allowed: allowed.into_iter().map(Into::into).collect(), ..self }
    }
}

/// Why a query for a table failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TableQueryError {
    /// A parameter is invalid.
    #[error(transparent)]
    Parameter(#[from] ParameterError),
    /// The cursor cannot be used.
    #[error(transparent)]
    Cursor(#[from] CursorError),
    /// Running the query failed.
    #[error(transparent)]
    Reader(#[from] ReaderError),
}
