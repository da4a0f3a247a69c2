//! Reasons why a query has no result. Each front end maps a variant to the next action for its
//! user.

use std::time::Duration;

use jiff::Timestamp;

use crate::humanize;

/// Reason why a query has no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReaderError {
    /// No generation has been served yet, or the pinned one was closed.
    #[error("no data is being served: {reason} (since {since})")]
    Unavailable { since: Timestamp, reason: String },
    /// The storage of the lake's data does not respond; a later retry may succeed.
    #[error("the data's storage cannot be reached: {reason}")]
    StorageUnavailable {
        /// DuckDB's message, for operators only: it names the storage.
        reason: String,
    },
    /// The concurrency and queue limits are exhausted.
    #[error("too many concurrent queries; try again in {}", humanize::duration(*retry_after))]
    Busy {
        /// Time after which a retry may succeed.
        retry_after: Duration,
    },
    /// The query exceeded its time limit.
    #[error("no result within {}; reduce the query", humanize::duration(*limit))]
    TimedOut { limit: Duration },
    /// The result exceeds a size limit.
    #[error("the result has more than {} {what}; reduce the query", humanize::count(*limit))]
    TooLarge { what: &'static str, limit: u64 },
    /// The client's other buffers leave no room for the next rows.
    #[error("the client's buffers, {} in all, are full", humanize::bytes(*limit))]
    BuffersFull { limit: u64 },
    /// The queries of one budget have exhausted it.
    #[error(
        "a dashboard may use {what} in all, and the panels before this one have used it up; reduce the queries"
    )]
    OverBudget {
        /// The exhausted amount of time or memory.
        what: String,
    },
    /// Readers may not run this query.
    #[error("refused: {reason}")]
    Refused {
        /// What is wrong with the query.
        reason: String,
    },
    /// DuckDB failed to run the query.
    #[error("{message}")]
    Engine { message: String },
}

impl ReaderError {
    /// Maps an I/O error of a lake to a transient error: a failed access to its data is not the
    /// query's fault.
    pub(super) fn for_lake(self) -> Self {
        match self {
            Self::Engine { message }
                if ["IO Error", "HTTP Error", "Connection Error"]
                    .iter()
                    .any(|kind| message.starts_with(kind)) =>
            {
                Self::StorageUnavailable {
                    reason: message.lines().next().unwrap_or_default().to_owned(),
                }
            }
            other => other,
        }
    }

    /// Returns whether the same query on the same generation may succeed on a retry.
    pub(super) fn passes(&self) -> bool {
        matches!(
            self,
            Self::Unavailable { .. } | Self::StorageUnavailable { .. } | Self::Busy { .. }
        )
    }

    pub(super) fn engine(error: &duckdb::Error) -> Self {
        Self::Engine { message: error.to_string() }
    }
}
