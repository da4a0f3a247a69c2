//! The history: one line per attempt, whatever its outcome.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{
    AttemptOutcome, Audit, FileStore, GenerationId, Manifest, Publisher, Revision, TableManifest,
};
use crate::{
    files::{self, FileId},
    lock::{self, Mode},
};

/// One attempt. Times are UTC; durations are milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AttemptRecord {
    /// The attempt's id, which a generation it publishes shares.
    pub id: GenerationId,
    pub outcome: AttemptOutcome,
    pub started_at: jiff::Timestamp,
    pub ended_at: jiff::Timestamp,
    /// The generation that is served as a result.
    pub generation: Option<GenerationId>,
    /// The generation that was served before.
    pub previous: Option<GenerationId>,
    /// The source of the export; absent for a rollback.
    pub lakehouse: Option<LakehouseInfo>,
    /// Who made the attempt, if its target is a lake.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publisher: Option<Publisher>,
    /// The former owner of the lake, if this attempt took it over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_over: Option<Publisher>,
    pub schema: Option<String>,
    /// How the lakehouse was read.
    pub snapshot: Option<SnapshotMethod>,
    /// The process that had the lakehouse open for writing during the copy (`--held copy`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_by: Option<lock::LockHolder>,
    /// Time spent waiting for the export lock and for the lakehouse.
    #[serde(default)]
    pub wait_ms: u64,
    /// Time during which a writer of the lakehouse would have been refused.
    #[serde(default)]
    pub blocked_ms: u64,
    /// Time spent copying tables and writing the staged file.
    #[serde(default)]
    pub stage_ms: u64,
    #[serde(default)]
    pub audit_ms: u64,
    /// Time spent syncing and swapping.
    #[serde(default)]
    pub publish_ms: u64,
    #[serde(default)]
    pub total_ms: u64,
    /// Size of the exported file.
    #[serde(default)]
    pub bytes: u64,
    #[serde(default)]
    pub tables: Vec<TableRecord>,
    /// Number of passed audits.
    #[serde(default)]
    pub audits_passed: usize,
    /// The failed audits.
    #[serde(default)]
    pub audits_failed: Vec<Audit>,
    /// Summarized differences to the previously served values; the manifest has all figures.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub revisions: Vec<Revision>,
    /// Published despite failed audits.
    #[serde(default)]
    pub forced: bool,
    /// Why nothing was published.
    pub error: Option<String>,
    /// How a refused export can be published after all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub way_out: Option<Remedy>,
}

/// How the lakehouse was actually read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SnapshotMethod {
    /// From a copy that shares its blocks with the original.
    Reflink,
    /// From a full copy.
    Copy,
    /// In place, under a lock.
    None,
}

/// Ways to publish a refused export.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remedy {
    /// A command that publishes once.
    #[serde(default)]
    pub once: String,
    /// Lines for `materia.toml` that allow it permanently; empty where no setting does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub always: Vec<String>,
    /// What to correct where a setting should not allow it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fix: Vec<String>,
}

impl Remedy {
    pub(crate) fn lines(&self) -> String {
        let mut lines: Vec<String> =
            self.fix.iter().map(|fix| format!("To fix it: {fix}")).collect();
        if !self.once.is_empty() {
            lines.push(format!("To allow it once: {}", self.once));
        }
        if !self.always.is_empty() {
            lines.push("To allow it always, in materia.toml:".to_owned());
            lines.extend(self.always.iter().map(|line| format!("  {line}")));
        }
        lines.join("\n")
    }
}

/// The lakehouse as found by an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LakehouseInfo {
    pub path: PathBuf,
    /// Size of the main file.
    pub bytes: u64,
    /// Its storage version, where the attempt read it.
    pub version: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableRecord {
    pub name: String,
    pub rows: u64,
    /// Rows of the table in the previously served generation, if it was there.
    pub previous_rows: Option<u64>,
    /// Duration of the copy in milliseconds.
    pub ms: u64,
    /// Reused from the previously served generation instead of copied.
    #[serde(default)]
    pub reused: bool,
    /// The reason for copying or reusing the table.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
}

impl AttemptRecord {
    /// Returns the record of an attempt that has just begun.
    #[must_use]
    pub fn begin(id: GenerationId, now: jiff::Timestamp) -> Self {
        Self {
            id,
            outcome: AttemptOutcome::Failed,
            started_at: now,
            ended_at: now,
            generation: None,
            previous: None,
            lakehouse: None,
            publisher: None,
            took_over: None,
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

    /// Copies size, schema and tables from the manifest of the served generation.
    pub(crate) fn set_served(&mut self, manifest: Manifest) {
        self.bytes = manifest.bytes;
        self.schema = Some(manifest.schema);
        let table = |table: TableManifest| TableRecord {
            name: table.name,
            rows: table.rows,
            ..TableRecord::default()
        };
        self.tables = manifest.tables.into_iter().map(table).collect();
    }

    /// Ends an export that publishes nothing because of a rollback.
    pub(crate) fn hold(&mut self, why: String) -> AttemptOutcome {
        self.tables.clear();
        self.error = Some(why);
        AttemptOutcome::Held
    }

    /// Returns the total rows of all tables.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.tables.iter().map(|table| table.rows).sum()
    }
}

/// Reads every attempt of a file's history, oldest first, and the number of unreadable lines. A
/// last line torn by a crash is skipped and not counted.
pub(super) fn read_lossy(target: &FileStore) -> io::Result<(Vec<AttemptRecord>, usize)> {
    let mut text = Vec::new();
    match File::open(target.history_path()) {
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

/// Reads the newest attempts, oldest first: at least one if there is any, without reading a long
/// history from its beginning.
///
/// # Errors
/// The history exists and cannot be read.
pub(super) fn newest(target: &FileStore) -> io::Result<Vec<AttemptRecord>> {
    let mut file = match File::open(target.history_path()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        file => file?,
    };
    read_backwards(&mut file, |text, from| {
        // The first line may be incomplete.
        let format_percent = text.split(|byte| *byte == b'\n').skip(usize::from(from > 0));
        let records: Vec<_> =
            format_percent.filter_map(|line| serde_json::from_slice(line).ok()).collect();
        (!records.is_empty() || from == 0).then_some(records)
    })
}

/// Returns when one of these attempts, oldest first, last confirmed a generation.
pub(crate) fn confirmation(
    records: &[AttemptRecord],
    id: &GenerationId,
) -> Option<jiff::Timestamp> {
    let confirms = |record: &&AttemptRecord| {
        record.outcome == AttemptOutcome::Unchanged && record.generation.as_ref() == Some(id)
    };
    records.iter().rev().find(confirms).map(|record| record.started_at)
}

/// Appends one line durably. A line torn by an earlier crash is removed first.
pub(super) fn append(target: &FileStore, record: &AttemptRecord) -> io::Result<()> {
    let mut line = serde_json::to_vec(record)?;
    line.push(b'\n');
    let mut file = open_locked(&target.history_path())?;
    let end = repair_tail(&mut file)?;
    file.seek(SeekFrom::Start(end))?;
    let written = file.write_all(&line).and_then(|()| file.sync_all());
    if written.is_err() {
        // A full disk may have written half a line, which is removed again.
        let _ = file.set_len(end);
    }
    written
}

/// Removes the oldest lines beyond `keep`, except for those that published a retained generation.
/// Nothing happens until a tenth more has accumulated, so that few exports rewrite the file.
pub(super) fn trim(target: &FileStore, keep: usize) -> io::Result<()> {
    let path = target.history_path();
    // Appending processes wait for this lock, and notice that the file was replaced.
    let mut file = open_locked(&path)?;
    repair_tail(&mut file)?;
    let mut text = String::new();
    file.seek(SeekFrom::Start(0))?;
    file.read_to_string(&mut text)?;
    let lines: Vec<_> = text.lines().collect();
    if lines.len() <= keep + keep.div_ceil(10) {
        return Ok(());
    }
    let retained = target.generation_ids()?;
    let (old, new) = lines.split_at(lines.len() - keep);
    let is_needed = |line: &&&str| {
        serde_json::from_str::<AttemptRecord>(line)
            .is_ok_and(|record| record.outcome.has_published() && retained.contains(&record.id))
    };
    let mut kept = String::with_capacity(text.len());
    for line in old.iter().filter(is_needed).chain(new) {
        kept.push_str(line);
        kept.push('\n');
    }
    files::write_atomic(&path, kept.as_bytes())
}

fn open_locked(path: &Path) -> io::Result<File> {
    loop {
        let file = lock::open_lock_file(path)?;
        // Other processes hold this lock only for one append.
        while lock::try_lock(&file, Mode::Exclusive)?.is_some() {
            std::thread::yield_now();
        }
        // The file may have been replaced while it was waited for.
        if FileId::at(path).is_ok_and(|id| file.metadata().is_ok_and(|own| id == FileId::of(&own)))
        {
            return Ok(file);
        }
    }
}

/// Truncates the file after its last complete line and returns its length.
fn repair_tail(file: &mut File) -> io::Result<u64> {
    let (last, torn) =
        read_backwards(file, |text, from| match text.iter().rposition(|byte| *byte == b'\n') {
            Some(at) => Some((from + at as u64 + 1, text[at + 1..].to_vec())),
            None => (from == 0).then(|| (0, text.to_vec())),
        })?;
    if torn.is_empty() {
        return Ok(last);
    }
    if serde_json::from_slice::<AttemptRecord>(&torn).is_ok() {
        file.seek(SeekFrom::End(0))?;
        file.write_all(b"\n")?;
        return Ok(last + torn.len() as u64 + 1);
    }
    file.set_len(last)?;
    Ok(last)
}

/// Passes the end of the file and its offset to `look` in growing steps until it returns a result,
/// at the latest at offset 0. The file may be large.
fn read_backwards<T>(
    file: &mut File,
    mut look: impl FnMut(&[u8], u64) -> Option<T>,
) -> io::Result<T> {
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

    fn record(millisecond: i64) -> AttemptRecord {
        let now = jiff::Timestamp::from_millisecond(1_795_000_000_000 + millisecond).unwrap();
        AttemptRecord::begin(GenerationId::after(now, None), now)
    }

    fn target() -> (tempfile::TempDir, FileStore) {
        let folder = tempfile::tempdir().unwrap();
        let target = FileStore::new(&folder.path().join("analytics.duckdb")).unwrap();
        (folder, target)
    }

    #[test]
    fn the_oldest_lines_are_removed_and_a_process_that_waited_appends_to_the_new_file() {
        let (_folder, target) = target();
        for millisecond in 0..20 {
            append(&target, &record(millisecond)).unwrap();
        }
        trim(&target, 20).unwrap();
        assert_eq!(read_lossy(&target).unwrap().0.len(), 20);
        trim(&target, 5).unwrap();
        let ids = |target: &FileStore| {
            read_lossy(target).unwrap().0.into_iter().map(|record| record.id).collect::<Vec<_>>()
        };
        let newest: Vec<_> = (15..20).map(|millisecond| record(millisecond).id).collect();
        assert_eq!(ids(&target), newest);
        let stop = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(std::sync::atomic::Ordering::Acquire) {
                    trim(&target, 10).unwrap();
                }
            });
            for millisecond in 100..300 {
                append(&target, &record(millisecond)).unwrap();
                let last = ids(&target).pop();
                assert_eq!(last, Some(record(millisecond).id), "the line is in a former file");
            }
            stop.store(true, std::sync::atomic::Ordering::Release);
        });
    }

    #[test]
    fn a_torn_last_line_is_ignored_and_healed_by_the_next_attempt() {
        let (_folder, target) = target();
        append(&target, &record(1)).unwrap();
        let format_percent = std::fs::read(target.history_path()).unwrap();
        for torn in 1..format_percent.len() {
            let mut text = format_percent.clone();
            text.extend_from_slice(&format_percent[..torn]);
            std::fs::write(target.history_path(), &text).unwrap();
            append(&target, &record(2)).unwrap();
            let ids: Vec<_> =
                read_lossy(&target).unwrap().0.into_iter().map(|record| record.id).collect();
            let kept = if torn == format_percent.len() - 1 {
                vec![record(1).id, record(1).id, record(2).id]
            } else {
                vec![record(1).id, record(2).id]
            };
            assert_eq!(ids, kept, "torn after {torn} bytes");
        }
    }

    #[test]
    fn damaged_lines_are_counted_and_what_a_crash_tore_is_not() {
        let (_folder, target) = target();
        append(&target, &record(1)).unwrap();
        let format_percent = std::fs::read_to_string(target.history_path()).unwrap();
        std::fs::write(
            target.history_path(),
            format!("{format_percent}\nnonsense\n{{}}\n{format_percent}{}", &format_percent[..9]),
        )
        .unwrap();
        let (records, lost) = read_lossy(&target).unwrap();
        assert_eq!((records.len(), lost), (2, 2));
    }

    #[test]
    fn a_line_from_a_later_version_with_more_in_it_is_still_read() {
        let (_folder, target) = target();
        append(&target, &record(1)).unwrap();
        let text = std::fs::read_to_string(target.history_path()).unwrap().replacen(
            '{',
            "{\"colour\":\"green\",",
            1,
        );
        std::fs::write(target.history_path(), text).unwrap();
        assert_eq!(read_lossy(&target).unwrap().0.len(), 1);
    }
}
