//! One line for every attempt, whatever came of it.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

pub use super::outcome::Outcome;
use super::{
    Audit, ExportError, How, Job, Manifest, TableManifest, Verdict, WayOut,
    revision::{self, Revision},
};
use crate::{
    lock::{self, Mode},
    target::{GenerationId, Target},
};

/// One attempt. Times are UTC; durations are milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The attempt's identity; a published generation has the same one.
    pub id: GenerationId,
    /// How it ended.
    pub outcome: Outcome,
    /// When it began.
    pub started_at: jiff::Timestamp,
    /// When it ended.
    pub ended_at: jiff::Timestamp,
    /// The generation that is served because of it.
    pub generation: Option<GenerationId>,
    /// The generation that was served before it.
    pub previous: Option<GenerationId>,
    /// What was exported from; absent for a rollback.
    pub lakehouse: Option<Source>,
    /// The schema that was exported.
    pub schema: Option<String>,
    /// How the lakehouse was read.
    pub snapshot: Option<How>,
    /// Who had the lakehouse open for writing while it was copied (`--held copy`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_by: Option<lock::Holder>,
    /// Waited for another exporter and for the lakehouse.
    #[serde(default)]
    pub wait_ms: u64,
    /// For how long a writer of the lakehouse would have been refused.
    #[serde(default)]
    pub blocked_ms: u64,
    /// Copied and wrote out.
    #[serde(default)]
    pub stage_ms: u64,
    /// Checked.
    #[serde(default)]
    pub audit_ms: u64,
    /// Made durable and swapped.
    #[serde(default)]
    pub publish_ms: u64,
    /// Everything together.
    #[serde(default)]
    pub total_ms: u64,
    /// Size of the exported file.
    #[serde(default)]
    pub bytes: u64,
    /// What was copied.
    #[serde(default)]
    pub tables: Vec<TableRecord>,
    /// How many checks passed.
    #[serde(default)]
    pub audits_passed: usize,
    /// The checks that did not pass.
    #[serde(default)]
    pub audits_failed: Vec<Audit>,
    /// How values differ from those served before, in short; the manifest has all figures.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub revisions: Vec<Revision>,
    /// Published although checks failed.
    #[serde(default)]
    pub forced: bool,
    /// Why it did not publish.
    pub error: Option<String>,
    /// How a refused export can be published after all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub way_out: Option<WayOut>,
}

/// The lakehouse as it was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Where.
    pub path: PathBuf,
    /// Size of the main file.
    pub bytes: u64,
    /// Its storage version, where the attempt got far enough to see it.
    pub version: Option<String>,
}

/// One exported table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableRecord {
    /// Its name.
    pub name: String,
    /// Its rows now.
    pub rows: u64,
    /// Its rows in the generation served before, if it was there.
    pub previous_rows: Option<u64>,
    /// Milliseconds its copy took.
    pub ms: u64,
    /// Taken over from the generation served before, and not copied.
    #[serde(default)]
    pub reused: bool,
    /// Why it was copied or taken over.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
}

impl Record {
    /// An attempt that has only begun.
    #[must_use]
    pub fn begin(id: GenerationId, now: jiff::Timestamp) -> Self {
        Self {
            id,
            outcome: Outcome::Failed,
            started_at: now,
            ended_at: now,
            generation: None,
            previous: None,
            lakehouse: None,
            schema: None,
            snapshot: None,
            held_by: None,
            wait_ms: 0,
            blocked_ms: 0,
            stage_ms: 0,
            audit_ms: 0,
            publish_ms: 0,
            total_ms: 0,
            bytes: 0,
            tables: Vec::new(),
            audits_passed: 0,
            audits_failed: Vec::new(),
            revisions: Vec::new(),
            forced: false,
            error: None,
            way_out: None,
        }
    }

    /// Takes over what is known about the generation that it serves.
    pub(super) fn served(&mut self, manifest: Manifest) {
        self.bytes = manifest.bytes;
        self.schema = Some(manifest.schema);
        let table = |table: TableManifest| TableRecord { name: table.name, rows: table.rows, ..TableRecord::default() };
        self.tables = manifest.tables.into_iter().map(table).collect();
    }

    /// Takes over what its checks came to, and tells whether they stand in the way.
    pub(super) fn judge(&mut self, verdict: &Verdict, job: &Job) -> Result<(), ExportError> {
        self.audits_passed = verdict.audits.iter().filter(|audit| audit.passed).count();
        self.audits_failed = verdict.audits.iter().filter(|audit| !audit.passed).cloned().collect();
        self.revisions = revision::for_history(&verdict.revisions);
        self.forced = verdict.refusals().next().is_some() && job.force;
        verdict.allows(job.force).map_err(|error| match error {
            ExportError::Refused { failed, .. } => {
                let way_out = WayOut::of(&failed, self, job);
                self.way_out = Some(way_out.clone());
                ExportError::Refused { failed, way_out: Box::new(way_out) }
            }
            other => other,
        })
    }

    /// Ends an export that publishes nothing because of a rollback.
    pub(super) fn hold(&mut self, why: String) -> Outcome {
        self.tables.clear();
        self.error = Some(why);
        Outcome::Held
    }

    /// The rows of all its tables.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.tables.iter().map(|table| table.rows).sum()
    }
}

/// Every attempt, oldest first. Lines that cannot be read, such as one torn by a crash, are left out.
///
/// # Errors
/// The file is there and cannot be read.
pub fn read(target: &Target) -> io::Result<Vec<Record>> {
    read_with_losses(target).map(|(records, _)| records)
}

/// As [`read`], and how many lines were left out; a torn last one is not counted, since the next attempt takes it away.
///
/// # Errors
/// The file is there and cannot be read.
pub fn read_with_losses(target: &Target) -> io::Result<(Vec<Record>, usize)> {
    let (mut records, lost) = read_file(target)?;
    let Some(lake) = target.lake() else { return Ok((records, lost)) };
    let (told, untold) = lake.records()?;
    // Beside the file stands only what could not be told to the lake.
    records.extend(told);
    records.sort_by(|one, other| one.id.cmp(&other.id));
    Ok((records, lost + untold))
}

fn read_file(target: &Target) -> io::Result<(Vec<Record>, usize)> {
    let mut text = Vec::new();
    match File::open(target.history()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        file => drop(file?.read_to_end(&mut text)?),
    }
    let (mut records, mut lost) = (Vec::new(), 0);
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        match serde_json::from_slice(line) {
            Ok(record) => records.push(record),
            Err(_) => lost += usize::from(line.ends_with(b"\n") && !line.trim_ascii().is_empty()),
        }
    }
    Ok((records, lost))
}

/// The newest attempts, oldest first: at least one where there is any, without reading a long history from its beginning.
///
/// # Errors
/// The file is there and cannot be read.
pub(super) fn newest(target: &Target) -> io::Result<Vec<Record>> {
    if target.lake().is_some() {
        return read(target);
    }
    let mut file = match File::open(target.history()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        file => file?,
    };
    from_end(&mut file, |text, from| {
        // The first line may be the end of one.
        let whole = text.split(|byte| *byte == b'\n').skip(usize::from(from > 0));
        let records: Vec<_> = whole.filter_map(|line| serde_json::from_slice(line).ok()).collect();
        (!records.is_empty() || from == 0).then_some(records)
    })
}

/// When an export last found that the lakehouse holds just what this generation does.
///
/// # Errors
/// The history is there and cannot be read.
pub fn confirmed(target: &Target, id: &GenerationId) -> io::Result<Option<jiff::Timestamp>> {
    match target.lake() {
        Some(lake) => Ok(lake.confirmed(id)?),
        None => Ok(confirmation(&newest(target)?, id)),
    }
}

/// When one of these attempts, oldest first, last confirmed a generation.
pub(super) fn confirmation(records: &[Record], id: &GenerationId) -> Option<jiff::Timestamp> {
    let confirms = |record: &&Record| record.outcome == Outcome::Unchanged && record.generation.as_ref() == Some(id);
    records.iter().rev().find(confirms).map(|record| record.started_at)
}

/// Adds one attempt, durably. What a lake does not take down stands beside the file that it is filled from, and is told with the rest.
pub(super) fn append(target: &Target, record: &Record) -> io::Result<()> {
    match target.lake().map(|lake| lake.append(record)) {
        Some(Ok(())) => Ok(()),
        Some(Err(_)) | None => append_line(target, record),
    }
}

/// Adds one line, durably. A line that an earlier crash tore is removed first.
fn append_line(target: &Target, record: &Record) -> io::Result<()> {
    let mut line = serde_json::to_vec(record)?;
    line.push(b'\n');
    let mut file = locked(&target.history())?;
    let end = heal(&mut file)?;
    file.seek(SeekFrom::Start(end))?;
    let written = file.write_all(&line).and_then(|()| file.sync_all());
    if written.is_err() {
        // A full disk leaves half a line: take it back while we can.
        let _ = file.set_len(end);
    }
    written
}

fn locked(path: &Path) -> io::Result<File> {
    let file = File::options().read(true).write(true).create(true).truncate(false).open(path)?;
    // Held by others for the length of one append only.
    while lock::try_lock(&file, Mode::Exclusive)?.is_some() {
        std::thread::yield_now();
    }
    Ok(file)
}

/// Makes the file end with a whole line and returns its length.
fn heal(file: &mut File) -> io::Result<u64> {
    let (last, torn) = from_end(file, |text, from| match text.iter().rposition(|byte| *byte == b'\n') {
        Some(at) => Some((from + at as u64 + 1, text[at + 1..].to_vec())),
        None => (from == 0).then(|| (0, text.to_vec())),
    })?;
    if torn.is_empty() {
        return Ok(last);
    }
    if serde_json::from_slice::<Record>(&torn).is_ok() {
        file.seek(SeekFrom::End(0))?;
        file.write_all(b"\n")?;
        return Ok(last + torn.len() as u64 + 1);
    }
    file.set_len(last)?;
    Ok(last)
}

/// Shows the end of the file to `look`, and where it begins, in growing steps until it has seen enough: at the latest when that is 0. The
/// file may be large.
fn from_end<T>(file: &mut File, mut look: impl FnMut(&[u8], u64) -> Option<T>) -> io::Result<T> {
    let length = file.metadata()?.len();
    let mut back = 64 * 1024_u64;
    loop {
        let from = length.saturating_sub(back);
        let mut text = Vec::new();
        file.seek(SeekFrom::Start(from))?;
        file.take(length - from).read_to_end(&mut text)?;
        if let Some(seen) = look(&text, from) {
            return Ok(seen);
        }
        if from == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        back *= 8;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn record(millisecond: i64) -> Record {
        let now = jiff::Timestamp::from_millisecond(1_795_000_000_000 + millisecond).unwrap();
        Record::begin(GenerationId::after(now, None), now)
    }

    fn target() -> (tempfile::TempDir, Target) {
        let folder = tempfile::tempdir().unwrap();
        let target = Target::new(&folder.path().join("analytics.duckdb")).unwrap();
        (folder, target)
    }

    #[test]
    fn a_torn_last_line_is_ignored_and_healed_by_the_next_attempt() {
        let (_folder, target) = target();
        append(&target, &record(1)).unwrap();
        let whole = std::fs::read(target.history()).unwrap();
        for torn in 1..whole.len() {
            let mut text = whole.clone();
            text.extend_from_slice(&whole[..torn]);
            std::fs::write(target.history(), &text).unwrap();
            append(&target, &record(2)).unwrap();
            let ids: Vec<_> = read(&target).unwrap().into_iter().map(|record| record.id).collect();
            let kept =
                if torn == whole.len() - 1 { vec![record(1).id, record(1).id, record(2).id] } else { vec![record(1).id, record(2).id] };
            assert_eq!(ids, kept, "torn after {torn} bytes");
        }
    }

    #[test]
    fn damaged_lines_are_counted_and_what_a_crash_tore_is_not() {
        let (_folder, target) = target();
        append(&target, &record(1)).unwrap();
        let whole = std::fs::read_to_string(target.history()).unwrap();
        std::fs::write(target.history(), format!("{whole}\nnonsense\n{{}}\n{whole}{}", &whole[..9])).unwrap();
        let (records, lost) = read_with_losses(&target).unwrap();
        assert_eq!((records.len(), lost), (2, 2));
    }

    #[test]
    fn a_line_from_a_later_version_with_more_in_it_is_still_read() {
        let (_folder, target) = target();
        append(&target, &record(1)).unwrap();
        let text = std::fs::read_to_string(target.history()).unwrap().replacen('{', "{\"colour\":\"green\",", 1);
        std::fs::write(target.history(), text).unwrap();
        assert_eq!(read(&target).unwrap().len(), 1);
    }
}
