//! What is remembered of rollbacks, so that they last: the contents that were rolled away from, which exports do not publish again, and whether the
//! served generation is held until `materia release`.
//!
//! It is written, whole, before the swap of a rollback, and each entry names the generations it was rolled back to. An entry counts only while
//! one of those is served: a rollback that is killed before its swap, or an export that is killed after it, leaves nothing to be put right.

use std::{fs, io};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{ExportError, Generation, Manifest, Outcome, Record, Verdict, generations, publish};
use crate::{
    files,
    target::{GenerationId, Target},
};

/// What a rollback is asked to do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RollbackRequest {
    /// The generation's id or its beginning; without it, the newest one older than the served one.
    pub generation: Option<String>,
    /// Keeps that generation until `materia release`, whatever the lakehouse holds.
    pub hold: bool,
    /// By which command, and by whom.
    pub by: String,
}

/// What is remembered of rollbacks.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RollbackState {
    /// The contents that were rolled away from.
    pub rolled_away: Vec<RolledAway>,
    /// Set while a generation is held.
    pub hold: Option<Hold>,
}

/// A content that was rolled away from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RolledAway {
    /// The generation that held it.
    pub manifest: Manifest,
    /// Where rollbacks went since.
    pub destinations: Vec<GenerationId>,
    /// When.
    pub since: Timestamp,
    /// By which command, and by whom.
    pub by: String,
}

/// A generation that is kept until `materia release`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// The generations that rollbacks went to since.
    pub generations: Vec<GenerationId>,
    /// When.
    pub since: Timestamp,
    /// By which command, and by whom.
    pub by: String,
}

impl RollbackState {
    /// Reads what is remembered; nothing where there was no rollback.
    ///
    /// # Errors
    /// It is there and cannot be read, or the catalog of a lake does not answer.
    pub fn load(target: &Target) -> Result<Self, ExportError> {
        let path = target.rollbacks();
        let text = match target.lake() {
            Some(lake) => match lake.rollbacks()? {
                Some(text) => text.into_bytes(),
                None => return Ok(Self::default()),
            },
            None => match fs::read(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
                text => text.map_err(|source| ExportError::io("read", &path, source))?,
            },
        };
        serde_json::from_slice(&text).map_err(|error| {
            let why = format!(
                "what is remembered of rollbacks cannot be understood ({error}); `materia release` clears it, and exports publish again"
            );
            ExportError::Target { path: if target.lake().is_some() { target.name() } else { path }, why }
        })
    }

    pub(super) fn save(&self, target: &Target) -> Result<(), ExportError> {
        let path = target.rollbacks();
        let problem = |source| ExportError::io("write", &path, source);
        let text = serde_json::to_string_pretty(self).map_err(|error| problem(error.into()))?;
        match target.lake() {
            Some(lake) => Ok(lake.remember_rollbacks(Some(&text))?),
            None => publish::make_folder(target).and_then(|()| files::write_whole(&path, text.as_bytes()).map_err(problem)),
        }
    }

    /// Forgets everything. Forgetting twice is forgetting once.
    pub(super) fn clear(target: &Target) -> Result<(), ExportError> {
        match target.lake() {
            Some(lake) if lake.rollbacks()?.is_some() => Ok(lake.remember_rollbacks(None)?),
            Some(_) => Ok(()),
            None => {
                let path = target.rollbacks();
                files::remove_if_there(&path).map_err(|source| ExportError::io("remove", &path, source))
            }
        }
    }

    /// Whether nothing is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Returns the contents that are not published while `served` is. Where nothing is, everything is better than nothing.
    pub fn withheld<'a>(&'a self, served: Option<&'a GenerationId>) -> impl Iterator<Item = &'a RolledAway> {
        let counts =
            move |away: &&RolledAway| served.is_some_and(|served| away.destinations.contains(served) && away.manifest.id != *served);
        self.rolled_away.iter().filter(counts)
    }

    /// Returns what holds `served` until `materia release`.
    #[must_use]
    pub fn hold_on(&self, served: Option<&GenerationId>) -> Option<&Hold> {
        self.hold.as_ref().filter(|hold| served.is_none_or(|served| hold.generations.contains(served)))
    }

    /// Returns what is to be remembered when `to` takes the place of `from`.
    pub(super) fn after(mut self, from: Option<&Manifest>, to: &GenerationId, request: &RollbackRequest) -> Self {
        let (now, served) = (Timestamp::now(), from.map(|from| from.id.clone()));
        if let Some(served) = &served {
            self.rolled_away.retain(|away| away.destinations.contains(served));
            self.hold.take_if(|hold| !hold.generations.contains(served));
        }
        for away in &mut self.rolled_away {
            if !away.destinations.contains(to) {
                away.destinations.push(to.clone());
            }
        }
        // Going forward is not rolling away from anything.
        if let Some(from) = from.filter(|from| from.id > *to) {
            self.rolled_away.retain(|away| away.manifest.id != from.id);
            let manifest = Manifest { audits: Verdict::default(), ..from.clone() };
            self.rolled_away.push(RolledAway { manifest, destinations: vec![to.clone()], since: now, by: request.by.clone() });
        }
        match &mut self.hold {
            Some(hold) => hold.generations.push(to.clone()),
            None if request.hold => self.hold = Some(Hold { generations: vec![to.clone()], since: now, by: request.by.clone() }),
            None => {}
        }
        self
    }
}

fn minute(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// Says that a generation is held until somebody releases it.
pub(super) fn held_by(hold: &Hold) -> String {
    format!("the served generation is held since {} ({}); to publish again: materia release", minute(hold.since), hold.by)
}

/// Says that the lakehouse holds what was rolled away from.
pub(super) fn still_holds(away: &RolledAway) -> String {
    format!(
        "the lakehouse still holds what was rolled away from: generation {}, at {} ({}). Once it holds something else, that is published; to publish this after all: materia release",
        away.manifest.id,
        minute(away.since),
        away.by
    )
}

/// An older generation is served than the newest there is, or one is held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OlderServed {
    /// The generation that is served.
    pub served: GenerationId,
    /// The newest that is kept or was ever published.
    pub newest: GenerationId,
    /// Since when, where that is known.
    pub since: Option<Timestamp>,
    /// By which command, and by whom, where that is known.
    pub by: Option<String>,
    /// Whether it stays until `materia release`, whatever the lakehouse holds.
    pub hold: bool,
    /// The generations whose content exports do not publish.
    pub withheld: Vec<GenerationId>,
}

impl OlderServed {
    /// Compares what is served with what is kept and what was published.
    #[must_use]
    pub fn find(served: Option<&GenerationId>, kept: &[Generation], history: &[Record], state: &RollbackState) -> Option<Self> {
        let served = served?;
        let published =
            history.iter().filter(|record| record.outcome == Outcome::Published).filter_map(|record| record.generation.as_ref());
        let newest = kept.iter().map(|generation| &generation.id).chain(published).max()?.max(served);
        let hold = state.hold_on(Some(served));
        if newest == served && hold.is_none() {
            return None;
        }
        let back = history.iter().rev().find(|record| record.generation.is_some() && record.outcome != Outcome::Unchanged);
        let back = back.filter(|record| record.outcome == Outcome::RolledBack && record.generation.as_ref() == Some(served));
        let away = state.withheld(Some(served)).filter(|away| away.destinations.last() == Some(served)).last();
        let by = hold.map(|hold| hold.by.clone()).or_else(|| away.map(|away| away.by.clone()));
        Some(Self {
            served: served.clone(),
            newest: newest.clone(),
            since: back.map(|record| record.ended_at).or_else(|| hold.map(|hold| hold.since)).or_else(|| away.map(|away| away.since)),
            by: by.or_else(|| back.map(|_| "materia rollback".to_owned())),
            hold: hold.is_some(),
            withheld: state.withheld(Some(served)).map(|away| away.manifest.id.clone()).collect(),
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
                f.write_str("; exports are held while the lakehouse holds what was rolled away from, or until `materia release`")
            }
            (false, true) => Ok(()),
        }
    }
}

/// Looks at what is served and at what is remembered.
///
/// # Errors
/// The generations or the history cannot be read.
pub fn older_served(target: &Target) -> io::Result<Option<OlderServed>> {
    let state = RollbackState::load(target).unwrap_or_default();
    let kept = generations::list(target)?;
    let served = kept.iter().find(|generation| generation.served).map(|generation| generation.id.clone());
    Ok(OlderServed::find(served.as_ref(), &kept, &super::history(target)?, &state))
}
