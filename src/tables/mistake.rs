//! What is wrong with a question, told so that whoever asked can put it right.

use serde::Serialize;

use crate::reader::ReaderError;

/// Longer values are cut before they are repeated to whoever sent them.
const REPEATED: usize = 100;

/// A parameter that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize)]
#[error("{parameter}: {problem}")]
pub struct Mistake {
    /// Its name, as it was given.
    pub parameter: String,
    /// Its value, as it was given; the beginning of a long one.
    pub value: String,
    /// What is wrong with it.
    pub problem: String,
    /// What may be given instead; empty where that cannot be listed.
    pub allowed: Vec<String>,
}

impl Mistake {
    /// A mistake without a list of what is allowed.
    #[must_use]
    pub fn new(parameter: &str, value: &str, problem: impl Into<String>) -> Self {
        let short = |text: &str| {
            let mut cut: String = text.chars().take(REPEATED).collect();
            if cut.len() < text.len() {
                cut.push('…');
            }
            cut
        };
        Self { parameter: short(parameter), value: short(value), problem: problem.into(), allowed: Vec::new() }
    }

    /// The same, with what may be given instead.
    #[must_use]
    pub fn allowed(self, allowed: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { allowed: allowed.into_iter().map(Into::into).collect(), ..self }
    }
}

/// Why a question about a table has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// It is not a question.
    #[error(transparent)]
    Mistake(#[from] Mistake),
    /// It is, and could not be answered.
    #[error(transparent)]
    Reader(#[from] ReaderError),
}
