//! What is served, how old it is, and what is wrong: what `materia status` prints and the terminal dashboard shows.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::Timestamp;

use crate::{
    export::{self, Generation, OlderServed, Outcome, Record, RollbackState, Running},
    files::FileId,
    lock::{self, Holder},
    reader,
    settings::Severity,
    target::{GenerationId, Served, Target},
    words,
};

/// Where to look, and what counts as stale.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// What is served.
    pub target: Target,
    /// The pipeline's file.
    pub lakehouse: PathBuf,
    /// Older than this is stale; `None` is never.
    pub max_age: Option<Duration>,
}

/// Everything that files and locks tell about a served file at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    /// The served path, or the lake's address.
    pub served: PathBuf,
    /// What stands there.
    pub what: Served,
    /// Why it cannot be read, where it cannot.
    pub unreadable: Option<String>,
    /// Why the catalog of a lake cannot be asked; what only it knows is missing then.
    pub unreachable: Option<String>,
    /// The generation readers have now, where it is what stands at the served path.
    pub generation: Option<GenerationId>,
    /// When its data was read from the lakehouse, or last found unchanged there.
    pub exported_at: Option<Timestamp>,
    /// Size of the served file.
    pub bytes: Option<u64>,
    /// Every kept generation, newest first.
    pub generations: Vec<Generation>,
    /// Every attempt, oldest first.
    pub history: Vec<Record>,
    /// Lines of the history that cannot be read and are left out.
    pub history_lost: usize,
    /// Set where an older generation than the newest is served, or where one is held.
    pub older: Option<OlderServed>,
    /// Who is exporting now.
    pub running: Option<Running>,
    /// The pipeline's file.
    pub lakehouse: PathBuf,
    /// Whether it exists.
    pub lakehouse_exists: bool,
    /// Who holds it for writing.
    pub lakehouse_held_by: Option<Holder>,
    /// Older than this is stale.
    pub max_age: Option<Duration>,
}

impl Status {
    /// Looks at everything around the served file. `state` is what a reader of it says.
    ///
    /// # Errors
    /// The history, the generations or the exporter's lock are there and cannot be read.
    pub fn look(place: &Place, state: reader::State) -> io::Result<Self> {
        let target = &place.target;
        let reader::State { generation, problem } = state;
        // A reader falls back to a kept generation; what is told here is what stands at the served path.
        let info = generation.filter(|_| problem.is_none());
        let around = (|| Ok((export::history_with_losses(target)?, export::served(target)?, export::generations(target)?)))();
        let (unreachable, ((history, history_lost), what, generations)) = match around {
            Ok(around) => (None, around),
            // The catalog of a lake is on another machine: what is known without it is told, and that it is away.
            Err(error) if target.lake().is_some() => {
                let error: io::Error = error;
                (Some(error.to_string()), (export::history_with_losses(&target.file())?, Served::Missing, Vec::new()))
            }
            Err(error) => return Err(error),
        };
        let served = generations.iter().find(|generation| generation.served).map(|generation| &generation.id);
        // What cannot be read of it stops exports, and says so there.
        let rollbacks = if unreachable.is_some() { RollbackState::default() } else { RollbackState::load(target).unwrap_or_default() };
        let older = OlderServed::find(served, &generations, &history, &rollbacks);
        // A lake that others fill is served as it is.
        let what = if target.lake().is_some() && what == Served::Missing && info.is_some() { Served::Foreign } else { what };
        Ok(Self {
            served: target.name(),
            what,
            unreachable,
            unreadable: problem.map(|problem| problem.reason),
            generation: info.as_ref().and_then(|info| info.id.clone()),
            exported_at: info.as_ref().and_then(|info| info.as_of()),
            bytes: match target.lake() {
                Some(_) => info.map(|info| info.bytes),
                None => std::fs::metadata(target.served_path()).ok().map(|metadata| metadata.len()),
            },
            generations,
            history,
            history_lost,
            older,
            running: export::running(target)?,
            lakehouse: place.lakehouse.clone(),
            lakehouse_exists: place.lakehouse.exists(),
            lakehouse_held_by: holder(place),
            max_age: place.max_age,
        })
    }

    /// How old the served data is.
    #[must_use]
    pub fn age(&self, now: Timestamp) -> Option<Duration> {
        self.exported_at.map(|at| Duration::try_from(now.duration_since(at)).unwrap_or_default())
    }

    /// Whether the served data is older than is allowed.
    #[must_use]
    pub fn is_stale(&self, now: Timestamp) -> bool {
        self.age(now).zip(self.max_age).is_some_and(|(age, max_age)| age > max_age)
    }

    /// The newest attempt.
    #[must_use]
    pub fn last_attempt(&self) -> Option<&Record> {
        self.history.last()
    }

    /// The newest attempt that says something about the export: a rollback that could not be made, say for a mistyped name, left
    /// everything as it was.
    #[must_use]
    pub fn judged(&self) -> Option<&Record> {
        self.history
            .iter()
            .rev()
            .find(|record| (record.lakehouse.is_some() || record.outcome != Outcome::Failed) && record.outcome != Outcome::Released)
    }

    /// What needs attention, in words; nothing where everything is healthy.
    #[must_use]
    pub fn problems(&self, now: Timestamp) -> Vec<String> {
        self.findings(now).into_iter().map(|finding| finding.text).collect()
    }

    /// What needs attention, each with its condition.
    #[must_use]
    pub fn findings(&self, now: Timestamp) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut find = |condition, text| findings.push(Finding { condition, text });
        let served = self.served.display();
        match (&self.what, &self.unreadable) {
            _ if self.unreachable.is_some() => find(Condition::NotServed, self.unreachable.clone().unwrap_or_default()),
            (Served::Foreign | Served::Generation(_), Some(why)) => {
                find(Condition::NotServed, format!("{served} cannot be read; run `materia export` or `materia rollback`: {why}"));
            }
            (Served::Missing, _) => {
                find(Condition::NotServed, format!("nothing is served: {served} does not exist; run `materia export`"));
            }
            (Served::Foreign, None) => {
                find(Condition::NotServed, format!("{served} was not published by materia, or was changed since; run `materia export`"));
            }
            (Served::Generation(_), None) => {}
        }
        if let (Some(age), Some(max_age)) = (self.age(now), self.max_age)
            && age > max_age
        {
            find(Condition::Stale, format!("stale: exported {}, at most {} is allowed", words::ago(age), words::duration(max_age)));
        }
        if let Some(last) = self.judged().filter(|last| !last.outcome.is_success()) {
            let refused = last.outcome == Outcome::Refused;
            let condition = if refused { Condition::ExportRefused } else { Condition::ExportFailed };
            find(condition, format!("the last attempt {} {}", last.id, how_it_failed(last)));
        }
        findings
    }

    /// What somebody should know although nothing is wrong.
    #[must_use]
    pub fn notices(&self) -> Vec<Finding> {
        self.older.iter().map(|older| Finding { condition: Condition::OlderServed, text: older.to_string() }).collect()
    }
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What kind of thing.
    pub condition: Condition,
    /// In words, and what to do.
    pub text: String,
}

/// What can be wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Nothing is served, or not what was published.
    NotServed,
    /// What is served is older than is allowed.
    Stale,
    /// The last attempt failed or was interrupted.
    ExportFailed,
    /// The last attempt was refused by audits.
    ExportRefused,
    /// Somebody has held the lakehouse for too long.
    LakehouseHeld,
    /// An older generation than the newest is served, because of a rollback: nothing wrong, but to be known.
    OlderServed,
    /// The next export will not fit.
    DiskNearlyFull,
    /// A pipeline's last run failed.
    PipelineFailed(String),
    /// What is served differs in more values than is expected from what was served before: to be looked at, nothing is broken.
    DataRevised,
}

impl Condition {
    /// Every condition's name; a pipeline's own name follows `pipeline_failed:`.
    pub const ALL: [&str; 9] = [
        "not_served",
        "stale",
        "export_failed",
        "export_refused",
        "lakehouse_held",
        "older_served",
        "disk_nearly_full",
        "pipeline_failed",
        "data_revised",
    ];

    /// Its name for machines; each pipeline's is its own.
    #[must_use]
    pub fn key(&self) -> String {
        match self {
            Self::NotServed => "not_served".to_owned(),
            Self::Stale => "stale".to_owned(),
            Self::ExportFailed => "export_failed".to_owned(),
            Self::ExportRefused => "export_refused".to_owned(),
            Self::LakehouseHeld => "lakehouse_held".to_owned(),
            Self::OlderServed => "older_served".to_owned(),
            Self::DiskNearlyFull => "disk_nearly_full".to_owned(),
            Self::PipelineFailed(name) => format!("pipeline_failed:{name}"),
            Self::DataRevised => "data_revised".to_owned(),
        }
    }
}

/// Who holds the lakehouse for writing now, as far as can be found out.
#[must_use]
pub fn holder(place: &Place) -> Option<Holder> {
    // Where both are one file, a reader of this process has it open, and closing our descriptor would drop DuckDB's lock.
    let one_file = FileId::at(&place.lakehouse).ok().is_some_and(|id| is_at(&id, place.target.served_path()));
    if one_file { None } else { lock::writer_of(&place.lakehouse).ok().flatten() }
}

fn is_at(id: &FileId, path: &Path) -> bool {
    FileId::at(path).ok().as_ref() == Some(id)
}

fn how_it_failed(last: &Record) -> String {
    let why = last.error.as_deref().unwrap_or_default().lines().next().unwrap_or_default();
    let word = last.outcome.word();
    // Some reasons begin with the same word.
    let why = why.strip_prefix(word).map_or(why, |why| why.trim_start_matches([':', ';', ' ']));
    let more = last.audits_failed.iter().filter(|audit| audit.severity == Severity::Error).count().saturating_sub(1);
    let more = if last.outcome == Outcome::Refused && more > 0 { format!(", and {more} more") } else { String::new() };
    let was = if last.outcome == Outcome::Failed { "" } else { "was " };
    format!("{was}{word}: {why}{more}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_condition_has_a_name_of_its_own() {
        use Condition::{
            DataRevised, DiskNearlyFull, ExportFailed, ExportRefused, LakehouseHeld, NotServed, OlderServed, PipelineFailed, Stale,
        };
        let all = [
            NotServed,
            Stale,
            ExportFailed,
            ExportRefused,
            LakehouseHeld,
            OlderServed,
            DiskNearlyFull,
            PipelineFailed("x".to_owned()),
            DataRevised,
        ];
        assert_eq!(all.map(|condition| condition.key().replace(":x", "")), Condition::ALL);
    }
}
