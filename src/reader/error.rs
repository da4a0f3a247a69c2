//! Why a question got no answer. Each front turns a variant into what its user should do next.

use std::time::Duration;

use jiff::Timestamp;

use crate::words;

/// Why a question got no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReaderError {
    /// There is nothing to ask: no generation has been served yet, or the pinned one was let go.
    #[error("no data is being served: {reason} (since {since})")]
    Unavailable {
        /// Since when.
        since: Timestamp,
        /// In words.
        reason: String,
    },
    /// The lake's storage, where the data is, does not answer; it passes by itself.
    #[error("the data's storage cannot be reached: {reason}")]
    Away {
        /// DuckDB's reason, for operators: it names the storage.
        reason: String,
    },
    /// Too many questions are being answered.
    #[error("too many questions at once; try again in {}", words::duration(*retry_after))]
    Busy {
        /// When it is worth trying again.
        retry_after: Duration,
    },
    /// The answer took longer than was allowed.
    #[error("no answer within {}; ask for less", words::duration(*limit))]
    TimedOut {
        /// What was allowed.
        limit: Duration,
    },
    /// The answer is larger than was allowed.
    #[error("the answer has more than {} {what}; ask for less", words::count(*limit))]
    TooLarge {
        /// `rows` or `bytes`.
        what: &'static str,
        /// What was allowed.
        limit: u64,
    },
    /// The question is not one that readers may ask.
    #[error("refused: {reason}")]
    Refused {
        /// What is wrong with it.
        reason: String,
    },
    /// DuckDB could not answer.
    #[error("{message}")]
    Engine {
        /// DuckDB's reason.
        message: String,
    },
}

impl ReaderError {
    /// What went wrong on the way to a lake's data is no fault of the question, and passes.
    pub(super) fn of_a_lake(self) -> Self {
        match self {
            Self::Engine { message } if ["IO Error", "HTTP Error", "Connection Error"].iter().any(|kind| message.starts_with(kind)) => {
                Self::Away { reason: message.lines().next().unwrap_or_default().to_owned() }
            }
            other => other,
        }
    }

    /// Whether the same question may get an answer of the same generation a moment later.
    pub(super) fn passes(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Away { .. } | Self::Busy { .. })
    }

    pub(super) fn engine(error: &duckdb::Error) -> Self {
        Self::Engine { message: error.to_string() }
    }
}
