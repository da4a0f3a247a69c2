//! What is served: one file, and beside it the generations it came from, their history, and the exporter's working files.
//!
//! ```text
//! analytics.duckdb                   what readers open; always a whole generation
//! analytics.generations/<id>.duckdb  the same file under a name of its own (a hard link), kept for rollback
//! analytics.generations/<id>.json    its manifest
//! analytics.generations/<id>.pinned  present while it must not be pruned
//! analytics.generations/rollback.json what rollbacks left to be remembered, until exports publish again
//! analytics.history.jsonl            one line for every attempt
//! analytics.logs/                    what pipelines printed, and what came of them, unless `logs` says otherwise
//! analytics.alerts.json              what has been alerted, and what is still to be sent
//! _export.duckdb                     the staged file, while an export runs
//! _export.work/                      private copy of the lakehouse and spilled data, while an export runs
//! _export.lock                       who is exporting, while somebody is
//! ```

use std::{
    collections::VecDeque,
    fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::SystemTime,
};

use serde::{Deserialize, Serialize};

use crate::{
    files::{self, FileId},
    lake::Lake,
};

/// One published version: `20261121T021038123Z`, the UTC time it was begun, to the millisecond. Sorts as it follows.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GenerationId(String);

impl GenerationId {
    /// The identity of something begun at `now`, later than `newest` even where the clock went backwards.
    #[must_use]
    pub fn after(now: jiff::Timestamp, newest: Option<&Self>) -> Self {
        let floor = newest.and_then(Self::time).and_then(|time| time.checked_add(jiff::SignedDuration::from_millis(1)).ok());
        Self::at(floor.map_or(now, |floor| now.max(floor)))
    }

    fn at(time: jiff::Timestamp) -> Self {
        Self(time.strftime("%Y%m%dT%H%M%S%3fZ").to_string())
    }

    /// Reads an id; anything else is `None`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let id = Self(text.to_owned());
        (id.time().map(Self::at).as_ref() == Some(&id)).then_some(id)
    }

    /// When it was begun.
    #[must_use]
    pub fn time(&self) -> Option<jiff::Timestamp> {
        if self.0.len() != 19 || !self.0.is_ascii() {
            return None;
        }
        let (seconds, millis) = (&self.0[..15], &self.0[15..18]);
        jiff::Timestamp::strptime("%Y%m%dT%H%M%S.%f%z", format!("{seconds}.{millis}+0000")).ok()
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for GenerationId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.0)
    }
}

/// The served file's place, with links followed, and the names of everything around it.
///
/// Where a lake is served, this is the file that it is filled from, which nobody else reads: made and audited as if it were served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    served: PathBuf,
    lake: Option<Lake>,
}

/// What stands at the served path now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Served {
    /// Nothing.
    Missing,
    /// A generation that is kept.
    Generation(GenerationId),
    /// A file that is none of the generations.
    Foreign,
}

impl Target {
    /// The target whose served file is called `path`. A link is followed: the file it points to is the one that is replaced.
    ///
    /// # Errors
    /// A loop of links, or a folder on the way that cannot be read.
    pub fn new(path: &Path) -> io::Result<Self> {
        files::follow_links(path).map(|served| Self { served, lake: None })
    }

    /// The same with a lake that is filled from the file, and served in its place.
    #[must_use]
    pub fn with_lake(self, lake: Lake) -> Self {
        Self { lake: Some(lake), ..self }
    }

    /// The lake that is served, where one is.
    #[must_use]
    pub fn lake(&self) -> Option<&Lake> {
        self.lake.as_ref()
    }

    /// The file alone, whoever is served from it.
    #[must_use]
    pub fn file(&self) -> Self {
        Self { served: self.served.clone(), lake: None }
    }

    /// What it is called: the file's path, or the lake's address without a password.
    #[must_use]
    pub fn name(&self) -> PathBuf {
        self.lake.as_ref().map_or_else(|| self.served.clone(), |lake| PathBuf::from(lake.name()))
    }

    /// The file readers open.
    #[must_use]
    pub fn served_path(&self) -> &Path {
        &self.served
    }

    /// The folder it is in.
    #[must_use]
    pub fn folder(&self) -> &Path {
        files::folder_of(&self.served)
    }

    fn beside(&self, ending: &str) -> PathBuf {
        let mut name = self.served.file_stem().unwrap_or_default().to_owned();
        name.push(ending);
        self.served.with_file_name(name)
    }

    /// Where generations are kept.
    #[must_use]
    pub fn generations(&self) -> PathBuf {
        self.beside(".generations")
    }

    /// One generation's file.
    #[must_use]
    pub fn generation(&self, id: &GenerationId) -> PathBuf {
        self.generations().join(format!("{id}.duckdb"))
    }

    /// One generation's manifest.
    #[must_use]
    pub fn manifest(&self, id: &GenerationId) -> PathBuf {
        self.generations().join(format!("{id}.json"))
    }

    /// Exists while a generation is pinned.
    #[must_use]
    pub fn pin_mark(&self, id: &GenerationId) -> PathBuf {
        self.generations().join(format!("{id}.pinned"))
    }

    /// What is remembered of rollbacks.
    #[must_use]
    pub fn rollbacks(&self) -> PathBuf {
        self.generations().join("rollback.json")
    }

    /// The record of every attempt.
    #[must_use]
    pub fn history(&self) -> PathBuf {
        self.beside(".history.jsonl")
    }

    /// What has been alerted.
    #[must_use]
    pub fn alerts(&self) -> PathBuf {
        self.beside(".alerts.json")
    }

    /// Where pipelines' logs are kept unless told otherwise.
    #[must_use]
    pub fn logs(&self) -> PathBuf {
        self.beside(".logs")
    }

    /// The staged file.
    #[must_use]
    pub fn staged(&self) -> PathBuf {
        self.served.with_file_name("_export.duckdb")
    }

    /// A generation on its way back to being served.
    #[must_use]
    pub fn returning(&self) -> PathBuf {
        self.served.with_file_name("_rollback.duckdb")
    }

    /// The staged file of a refused export, where it was asked to be kept.
    #[must_use]
    pub fn refused(&self) -> PathBuf {
        self.beside(".refused.duckdb")
    }

    /// The working folder.
    #[must_use]
    pub fn work(&self) -> PathBuf {
        self.served.with_file_name("_export.work")
    }

    /// The exporter's lock.
    #[must_use]
    pub fn lock(&self) -> PathBuf {
        self.served.with_file_name("_export.lock")
    }

    /// The ids of all generations that are kept, oldest first.
    ///
    /// # Errors
    /// The folder cannot be read; a missing one holds none.
    pub fn generation_ids(&self) -> io::Result<Vec<GenerationId>> {
        let entries = match fs::read_dir(self.generations()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut ids = Vec::new();
        for entry in entries {
            let name = entry?.file_name();
            let id = name.to_str().and_then(|name| name.strip_suffix(".duckdb")).and_then(GenerationId::parse);
            ids.extend(id);
        }
        ids.sort();
        Ok(ids)
    }

    /// Which generation stands at the served path. Where the folder was copied, so that neither links nor times tell, the bytes do.
    ///
    /// # Errors
    /// The served file or the folder of generations cannot be looked at.
    pub fn served(&self) -> io::Result<Served> {
        match self.generation_at(&self.served)? {
            Served::Foreign => Ok(self.generation_with_the_same_bytes()?.map_or(Served::Foreign, Served::Generation)),
            known => Ok(known),
        }
    }

    fn generation_with_the_same_bytes(&self) -> io::Result<Option<GenerationId>> {
        let served = fs::metadata(&self.served)?;
        for id in self.generation_ids()?.into_iter().rev() {
            let path = self.generation(&id);
            let Ok(kept) = fs::metadata(&path) else { continue };
            if kept.len() == served.len() && COMPARED.same((&self.served, &served), (&path, &kept))? {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }

    /// Which generation the file at `path` is.
    ///
    /// # Errors
    /// The file or the folder of generations cannot be looked at.
    pub fn generation_at(&self, path: &Path) -> io::Result<Served> {
        let served = match fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Served::Missing),
            metadata => metadata?,
        };
        for id in self.generation_ids()?.into_iter().rev() {
            if fs::metadata(self.generation(&id)).is_ok_and(|kept| same_content(&kept, &served)) {
                return Ok(Served::Generation(id));
            }
        }
        Ok(Served::Foreign)
    }
}

/// What comparisons of bytes came to: whoever follows a served file asks again and again.
static COMPARED: Compared = Compared(Mutex::new(VecDeque::new()));

/// A file as it was when it was read.
type Seen = (FileId, u64, Option<SystemTime>);

struct Compared(Mutex<VecDeque<(Seen, Seen, bool)>>);

impl Compared {
    const REMEMBERED: usize = 64;

    fn same(&self, one: (&Path, &fs::Metadata), other: (&Path, &fs::Metadata)) -> io::Result<bool> {
        let seen = |metadata: &fs::Metadata| (FileId::of(metadata), metadata.len(), metadata.modified().ok());
        let (left, right) = (seen(one.1), seen(other.1));
        let known = |list: &VecDeque<(Seen, Seen, bool)>| list.iter().find(|(a, b, _)| *a == left && *b == right).map(|(_, _, same)| *same);
        if let Some(same) = known(&self.0.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(same);
        }
        let same = files::same_bytes(one.0, other.0)?;
        let mut list = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        list.push_back((left, right, same));
        if list.len() > Self::REMEMBERED {
            list.pop_front();
        }
        Ok(same)
    }
}

/// One file under two names, or, where there are no hard links, a copy that kept its time of change.
fn same_content(one: &fs::Metadata, other: &fs::Metadata) -> bool {
    let stamp = |metadata: &fs::Metadata| metadata.modified().ok().map(|time| (metadata.len(), time));
    FileId::of(one) == FileId::of(other) || (stamp(one).is_some() && stamp(one) == stamp(other))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn ids_follow_one_another_even_when_the_clock_goes_backwards() {
        let noon: jiff::Timestamp = "2026-11-21T12:00:00.5Z".parse().unwrap();
        let first = GenerationId::after(noon, None);
        assert_eq!(first.as_str(), "20261121T120000500Z");
        let second = GenerationId::after(noon - jiff::SignedDuration::from_hours(3), Some(&first));
        assert_eq!(second.as_str(), "20261121T120000501Z");
        assert!(second > first);
    }

    #[test]
    fn only_a_whole_id_is_an_id() {
        assert!(GenerationId::parse("20261121T120000500Z").is_some());
        for text in ["", "20261121T120000Z", "20261341T120000500Z", "20261121T120000500Z.duckdb", "../../../etc/pass"] {
            assert_eq!(GenerationId::parse(text), None, "{text}");
        }
    }
}
