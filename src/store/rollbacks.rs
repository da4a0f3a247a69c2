//! Persistent state of rollbacks: the contents that were rolled back, which exports do not publish
//! again, and whether the served generation is held until `materia release`.
//!
//! The state is written atomically before the swap of a rollback, and each entry names the
//! generations it was rolled back to. An entry applies only while one of those is served, so a
//! rollback killed before its swap, or an export killed after it, needs no repair.

use std::{fs, io};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    AttemptOutcome, AttemptRecord, AuditReport, GenerationId, Manifest, RetainedGeneration, Store,
    StoreError,
};
use crate::files;

/// Parameters of a rollback.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RollbackRequest {
    /// The generation's id or a prefix of it; `None` selects the newest one older than the served
    /// one.
    pub generation: Option<String>,
    /// Holds that generation until `materia release`, whatever the lakehouse contains.
    pub hold: bool,
    /// The command and its user.
    pub by: String,
}

/// Persistent state of rollbacks.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RollbackState {
    /// The contents that were rolled back.
    #[serde(rename = "rolled_away")]
    pub rolled_back_contents: Vec<RolledBackContent>,
    /// Set while a generation is held.
    pub hold: Option<Hold>,
}

/// A content that was rolled back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RolledBackContent {
    /// The generation that had the content.
    pub manifest: Manifest,
    /// The generations that rollbacks went to since.
    pub destinations: Vec<GenerationId>,
    pub since: Timestamp,
    /// The command and its user.
    pub by: String,
}

/// A hold on a generation until `materia release`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// The generations that rollbacks went to since.
    pub generations: Vec<GenerationId>,
    pub since: Timestamp,
    /// The command and its user.
    pub by: String,
}

impl RollbackState {
    /// Reads the state; returns an empty one if there was no rollback.
    ///
    /// # Errors
    /// The state exists and cannot be read, or the catalog of a lake does not respond.
    pub fn load(store: &Store) -> Result<Self, StoreError> {
        let path = store.local().rollbacks_path();
        let text = match store.lake() {
            Some(lake) => match lake.rollbacks()? {
                Some(text) => text.into_bytes(),
                None => return Ok(Self::default()),
            },
            None => match fs::read(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
                text => text.map_err(|source| StoreError::io("read", &path, source))?,
            },
        };
        serde_json::from_slice(&text).map_err(|error| {
            let why = format!(
                "the record of rollbacks is unreadable ({error}); `materia release` clears it, and exports publish again"
            );
            StoreError::Damaged { path: if store.lake().is_some() { store.display_name() } else { path }, why }
        })
    }

    pub(crate) fn save(&self, store: &Store) -> Result<(), StoreError> {
        let path = store.local().rollbacks_path();
        let problem = |source| StoreError::io("write", &path, source);
        let text = serde_json::to_string_pretty(self).map_err(|error| problem(error.into()))?;
        match store.lake() {
            Some(lake) => Ok(lake.save_rollbacks(Some(&text))?),
            None => store
                .local()
                .create_generations_dir()
                .and_then(|()| files::write_atomic(&path, text.as_bytes()).map_err(problem)),
        }
    }

    /// Removes the state. Clearing is idempotent.
    pub(crate) fn clear(store: &Store) -> Result<(), StoreError> {
        match store.lake() {
            Some(lake) if lake.rollbacks()?.is_some() => Ok(lake.save_rollbacks(None)?),
            Some(_) => Ok(()),
            None => {
                let path = store.local().rollbacks_path();
                files::remove_if_exists(&path)
                    .map_err(|source| StoreError::io("remove", &path, source))
            }
        }
    }

    /// Returns whether there is no rollback state.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Returns the contents that are not published while `served` is. If nothing is served, nothing
    /// is withheld.
    pub fn withheld<'a>(
        &'a self,
        served: Option<&'a GenerationId>,
    ) -> impl Iterator<Item = &'a RolledBackContent> {
        let counts = move |content: &&RolledBackContent| {
            served.is_some_and(|served| {
                content.destinations.contains(served) && content.manifest.id != *served
            })
        };
        self.rolled_back_contents.iter().filter(counts)
    }

    /// Returns the hold that applies to `served`.
    #[must_use]
    pub fn hold_on(&self, served: Option<&GenerationId>) -> Option<&Hold> {
        self.hold
            .as_ref()
            .filter(|hold| served.is_none_or(|served| hold.generations.contains(served)))
    }

    /// Returns the state after `to` replaces `from`.
    pub(crate) fn after(
        mut self,
        from: Option<&Manifest>,
        to: &GenerationId,
        request: &RollbackRequest,
    ) -> Self {
        let (now, served) = (Timestamp::now(), from.map(|from| from.id.clone()));
        if let Some(served) = &served {
            self.rolled_back_contents.retain(|content| content.destinations.contains(served));
            self.hold.take_if(|hold| !hold.generations.contains(served));
        }
        for content in &mut self.rolled_back_contents {
            if !content.destinations.contains(to) {
                content.destinations.push(to.clone());
            }
        }
        // Moving to a newer generation withholds no content.
        if let Some(from) = from.filter(|from| from.id > *to) {
            self.rolled_back_contents.retain(|content| content.manifest.id != from.id);
            let manifest = Manifest { audits: AuditReport::default(), ..from.clone() };
            self.rolled_back_contents.push(RolledBackContent {
                manifest,
                destinations: vec![to.clone()],
                since: now,
                by: request.by.clone(),
            });
        }
        match &mut self.hold {
            Some(hold) => hold.generations.push(to.clone()),
            None if request.hold => {
                self.hold = Some(Hold {
                    generations: vec![to.clone()],
                    since: now,
                    by: request.by.clone(),
                });
            }
            None => {}
        }
        self
    }
}

fn minute(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// Returns the message for a held generation.
pub(crate) fn hold_message(hold: &Hold) -> String {
    format!(
        "the served generation is held since {} ({}); to publish again: materia release",
        minute(hold.since),
        hold.by
    )
}

/// Returns the message for a lakehouse that still has the content that was rolled back.
pub(crate) fn withheld_message(content: &RolledBackContent) -> String {
    format!(
        "the lakehouse still contains what was rolled back: generation {}, at {} ({}). Other content will be published; to publish this content after all: materia release",
        content.manifest.id,
        minute(content.since),
        content.by
    )
}

/// Details when the served generation is older than the newest, or is held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OlderServed {
    pub served: GenerationId,
    /// The newest generation that is retained or was ever published.
    pub newest: GenerationId,
    /// When it was rolled back to or held, if known.
    pub since: Option<Timestamp>,
    /// The command and its user, if known.
    pub by: Option<String>,
    /// Whether it is held until `materia release`, whatever the lakehouse contains.
    pub hold: bool,
    /// The generations whose content exports do not publish.
    pub withheld: Vec<GenerationId>,
}

impl OlderServed {
    /// Compares the served generation with the retained and published ones.
    #[must_use]
    pub fn find(
        served: Option<&GenerationId>,
        kept: &[RetainedGeneration],
        history: &[AttemptRecord],
        state: &RollbackState,
    ) -> Option<Self> {
        let served = served?;
        let published = history
            .iter()
            .filter(|record| record.outcome.has_published())
            .filter_map(|record| record.generation.as_ref());
        let newest =
            kept.iter().map(|generation| &generation.id).chain(published).max()?.max(served);
        let hold = state.hold_on(Some(served));
        if newest == served && hold.is_none() {
            return None;
        }
        let back = history.iter().rev().find(|record| {
            record.generation.is_some() && record.outcome != AttemptOutcome::Unchanged
        });
        let back = back.filter(|record| {
            record.outcome == AttemptOutcome::RolledBack
                && record.generation.as_ref() == Some(served)
        });
        let content = state
            .withheld(Some(served))
            .filter(|content| content.destinations.last() == Some(served))
            .last();
        let by =
            hold.map(|hold| hold.by.clone()).or_else(|| content.map(|content| content.by.clone()));
        Some(Self {
            served: served.clone(),
            newest: newest.clone(),
            since: back
                .map(|record| record.ended_at)
                .or_else(|| hold.map(|hold| hold.since))
                .or_else(|| content.map(|content| content.since)),
            by: by.or_else(|| back.map(|_| "materia rollback".to_owned())),
            hold: hold.is_some(),
            withheld: state
                .withheld(Some(served))
                .map(|content| content.manifest.id.clone())
                .collect(),
        })
    }
}

impl std::fmt::Display for OlderServed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { served, newest, .. } = self;
        if served == newest {
            write!(f, "generation {served} is held")?;
        } else {
            write!(f, "generation {served} is served, older than the newest, {newest}")?;
        }
        if let Some(since) = self.since {
            write!(f, ", since {}", minute(since))?;
        }
        if let Some(by) = &self.by {
            write!(f, " by {by}")?;
        }
        match (self.hold, self.withheld.is_empty()) {
            (true, _) => f.write_str("; exports are held until `materia release`"),
            (false, false) => {
                f.write_str("; exports are held while the lakehouse contains what was rolled back, or until `materia release`")
            }
            (false, true) => Ok(()),
        }
    }
}
