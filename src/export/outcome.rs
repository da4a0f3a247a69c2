//! How an attempt ended.

use serde::{Deserialize, Serialize};

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// A new generation is served.
    Published,
    /// The lakehouse holds what is served already.
    Unchanged,
    /// Checks failed; nothing was published.
    Refused,
    /// Something went wrong; nothing was published.
    Failed,
    /// Somebody stopped it, or it was killed; nothing was published.
    Interrupted,
    /// An older generation is served again.
    RolledBack,
    /// Nothing was published because of a rollback: the lakehouse holds what was rolled away from, or the served generation is held.
    Held,
    /// What a rollback held is published again.
    Released,
}

impl Outcome {
    /// Whether what is served afterwards is what was wanted.
    #[must_use]
    pub fn is_success(self) -> bool {
        matches!(self, Self::Published | Self::Unchanged | Self::RolledBack | Self::Held | Self::Released)
    }

    /// Every outcome.
    pub const ALL: [Self; 8] =
        [Self::Published, Self::Unchanged, Self::Refused, Self::Failed, Self::Interrupted, Self::RolledBack, Self::Held, Self::Released];

    /// For machines, as in the history.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::RolledBack => "rolled_back",
            other => other.word(),
        }
    }

    /// In words.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Published => "published",
            Self::Unchanged => "unchanged",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
            Self::RolledBack => "rolled back",
            Self::Held => "held",
            Self::Released => "released",
        }
    }
}
