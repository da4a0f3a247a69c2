//! Outcomes of attempts.

use serde::{Deserialize, Serialize};

/// The outcome of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptOutcome {
    /// A new generation is served.
    Published,
    /// The lakehouse has the served content; nothing was published.
    Unchanged,
    /// Audits failed; nothing was published.
    Refused,
    /// An error occurred; nothing was published.
    Failed,
    /// The attempt was canceled or killed; nothing was published.
    Interrupted,
    /// An older generation is served again.
    RolledBack,
    /// Nothing was published because of a rollback: the lakehouse has the content that was rolled
    /// back, or the served generation is held.
    Held,
    /// Content withheld by a rollback is published again.
    Released,
    /// What another target serves is served here too.
    Migrated,
}

impl AttemptOutcome {
    /// Returns whether the served data is what the attempt intended.
    #[must_use]
    pub fn is_success(self) -> bool {
        matches!(
            self,
            Self::Published
                | Self::Unchanged
                | Self::RolledBack
                | Self::Held
                | Self::Released
                | Self::Migrated
        )
    }

    pub const ALL: [Self; 9] = [
        Self::Published,
        Self::Unchanged,
        Self::Refused,
        Self::Failed,
        Self::Interrupted,
        Self::RolledBack,
        Self::Held,
        Self::Released,
        Self::Migrated,
    ];

    /// Returns whether the attempt created a generation.
    #[must_use]
    pub fn has_published(self) -> bool {
        matches!(self, Self::Published | Self::Migrated)
    }

    /// Returns the machine-readable name, as in the history.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::RolledBack => "rolled_back",
            other => other.label(),
        }
    }

    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Published => "published",
            Self::Unchanged => "unchanged",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
            Self::RolledBack => "rolled back",
            Self::Held => "held",
            Self::Released => "released",
            Self::Migrated => "migrated",
        }
    }
}
