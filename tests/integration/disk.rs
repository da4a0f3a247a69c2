//! A full disk, a disk that may not be written, and every wrong place for the served file.
//!
//! An operator's disk fills up, at a moment of its own choosing. A small filesystem is mounted for the served file, an export is
//! served from it, and then a ballast file leaves exactly so much room that the next export fails: for lack of blocks or of file
//! names, a little later each time, from its very first file to its line in the history. Each time the operator must be told which
//! place is full, readers must not notice anything, and freeing space must be all there is to do.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use materia::{
    export::{self, Event, Job, Step, Watch},
    settings::Settings,
};
use tempfile::TempDir;

use crate::support::{Ran, Site, names, whole_run};

/// A small filesystem in memory, unmounted when dropped.
struct Disk {
    folder: TempDir,
}

const PAGE: u64 = 4096;

impl Disk {
    /// Mounts it, or says why that is not possible here.
    fn mount(options: &str) -> Option<Self> {
        let disk = Self { folder: tempfile::tempdir().unwrap() };
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(disk.folder.path()).output();
        match mounted {
            Ok(output) if output.status.success() => return Some(disk),
            Ok(output) => println!("skipped: cannot mount a filesystem here: {}", String::from_utf8_lossy(&output.stderr).trim()),
            Err(error) => println!("skipped: cannot mount a filesystem here: {error}"),
        }
        None
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn served(&self) -> PathBuf {
        self.path("analytics.duckdb")
    }

    fn room(&self) -> u64 {
        materia::files::space_left(self.folder.path()).unwrap()
    }

    fn file_names_left(&self) -> u64 {
        rustix::fs::statvfs(self.folder.path()).unwrap().f_favail
    }

    /// Leaves room for so many bytes.
    fn leave(&self, bytes: u64) {
        let ballast = File::create(self.path("ballast")).unwrap();
        let length = self.room() - bytes;
        rustix::fs::fallocate(&ballast, rustix::fs::FallocateFlags::empty(), 0, length).unwrap();
        assert_eq!(self.room(), bytes);
    }

    /// Leaves room for so many files.
    fn leave_names(&self, files: u64) {
        fs::create_dir(self.path("ballast")).unwrap();
        for name in 0..self.file_names_left() - files {
            File::create(self.path("ballast").join(name.to_string())).unwrap();
        }
        assert_eq!(self.file_names_left(), files);
    }

    fn free(&self) {
        let ballast = self.path("ballast");
        if ballast.is_dir() { fs::remove_dir_all(ballast) } else { fs::remove_file(ballast) }.unwrap();
    }

    fn history(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("analytics.history.jsonl")).unwrap();
        assert!(text.ends_with('\n'), "the last line is torn: {text}");
        let lines: Vec<_> = text.lines().map(str::to_owned).collect();
        for line in &lines {
            assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "a line is torn: {line}");
        }
        lines
    }

    /// Makes the next line of the history begin shortly before the end of a page: on a full disk, its beginning fits and its end does not.
    fn fill_page_of_history(&self) {
        let page = usize::try_from(PAGE).unwrap();
        let mut text = self.history().join("\n") + "\n";
        text.insert_str(1, &" ".repeat(2 * page - 100 - text.len() % page));
        fs::write(self.path("analytics.history.jsonl"), text).unwrap();
    }

    fn remount(&self, options: &str) {
        let options = format!("remount,{options}");
        assert!(Command::new("mount").args(["-o", &options]).arg(self.folder.path()).status().unwrap().success());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.folder.path()).output();
    }
}

/// An export to the small disk: in place unless said otherwise, since a private copy that is removed halfway gives room back.
fn export(site: &Site, disk: &Disk, more: &[&str]) -> Ran {
    let snapshot: &[&str] = if more.contains(&"--snapshot") { &[] } else { &["--snapshot", "none"] };
    site.run(&[&["export", "--quiet", "--to", disk.served().to_str().unwrap()], snapshot, more].concat())
}

/// Exports once on a full disk and then with the disk freed, and returns what was said about the full one, if it was too full.
fn export_on_full(site: &Site, disk: &Disk, run: i64, more: &[&str], fill: impl Fn(&Disk)) -> Option<String> {
    let (old, before) = (whole_run(&disk.served()), disk.history());
    site.begin_run(run);
    fill(disk);
    let ran = export(site, disk, more);
    let served = whole_run(&disk.served());
    let after = disk.history();
    assert_eq!(after[..before.len()], before, "an earlier line of the history was changed");
    let left: Vec<_> = names(disk.folder.path()).into_iter().filter(|name| name != "ballast").collect();
    assert_eq!(left, ["analytics.duckdb", "analytics.generations", "analytics.history.jsonl"], "{ran:#?}");
    if ran.code == 0 {
        assert_eq!(served, run, "{ran:#?}");
    } else {
        assert_eq!(ran.code, 1, "{ran:#?}");
        assert!(ran.stderr.contains("No space left on device"), "{ran:#?}");
        assert!(ran.stderr.contains("free some space"), "{ran:#?}");
        assert!(ran.stderr.contains(disk.folder.path().to_str().unwrap()), "{ran:#?}");
        // A publish whose line did not fit is a publish all the same.
        let published = ran.stderr.contains("could not be recorded") && after.len() == before.len() && !ran.stderr.contains("cannot ");
        assert_eq!(served, if published && served == run { run } else { old }, "{ran:#?}");
    }
    disk.free();
    let again = export(site, disk, &[]);
    assert_eq!(again.code, 0, "after {ran:#?}: {again:#?}");
    assert_eq!(whole_run(&disk.served()), run);
    assert_eq!(names(disk.folder.path()), ["analytics.duckdb", "analytics.generations", "analytics.history.jsonl"]);
    let kept: BTreeSet<_> =
        names(&disk.path("analytics.generations")).iter().map(|name| name.split_once('.').unwrap().0.to_owned()).collect();
    assert_eq!(names(&disk.path("analytics.generations")).len(), kept.len() * 2, "{kept:?}");
    for id in kept {
        whole_run(&disk.path(&format!("analytics.generations/{id}.duckdb")));
    }
    (ran.code != 0).then_some(ran.stderr)
}

/// What an export needs on the disk at most, in whole pages.
fn need(site: &Site, disk: &Disk) -> u64 {
    assert_eq!(export(site, disk, &[]).code, 0);
    fs::metadata(disk.served()).unwrap().len().next_multiple_of(PAGE)
}

#[test]
fn a_disk_that_fills_up_at_any_stage_is_named_and_what_was_served_stays_served() {
    let Some(disk) = Disk::mount("size=24m") else { return };
    let site = Site::runs();
    let file = need(&site, &disk);
    // Coarse while the staged file grows, page by page around its end, where manifest and history are written.
    let coarse = (0..file / PAGE).step_by(usize::try_from(file / PAGE / 12).unwrap());
    let near_the_end = file / PAGE - 3..=file / PAGE + 6;
    let mut said = Vec::new();
    for (run, pages) in (2..).zip([0, 1, 2, 3].into_iter().chain(coarse).chain(near_the_end)) {
        said.extend(export_on_full(&site, &disk, run, &[], |disk| disk.leave(pages * PAGE)));
    }
    // Rows are written while they are copied, the rest by the checkpoint.
    for place in ["ATTACH", "CHECKPOINT"] {
        assert!(said.iter().any(|said| said.contains(place)), "no export failed at {place}: {said:#?}");
    }
}

#[test]
fn a_disk_that_fills_up_beside_the_private_copy_leaves_what_was_served() {
    let Some(disk) = Disk::mount("size=24m") else { return };
    let site = Site::runs();
    let file = need(&site, &disk);
    for (run, pages) in (2..).zip((0..2 * file / PAGE).step_by(usize::try_from(file / PAGE / 5).unwrap())) {
        export_on_full(&site, &disk, run, &["--snapshot", "auto"], |disk| disk.leave(pages * PAGE));
    }
}

#[test]
fn a_disk_too_small_for_a_copy_of_the_lakehouse_is_told_before_the_copy() {
    let Some(disk) = Disk::mount("size=24m") else { return };
    let site = Site::runs();
    need(&site, &disk);
    site.begin_run(2);
    disk.leave(8 * PAGE);
    let ran = export(&site, &disk, &["--snapshot", "copy"]);
    assert_eq!(ran.code, 1, "{ran:#?}");
    assert!(ran.stderr.contains("not enough space in") && ran.stderr.contains(disk.folder.path().to_str().unwrap()), "{ran:#?}");
    assert_eq!(whole_run(&disk.served()), 1);
    disk.free();
    assert_eq!(export(&site, &disk, &["--snapshot", "copy"]).code, 0);
    assert_eq!(whole_run(&disk.served()), 2);
}

#[test]
fn a_disk_without_room_for_another_file_name_is_named_and_what_was_served_stays_served() {
    let Some(disk) = Disk::mount("size=24m,nr_inodes=60") else { return };
    let site = Site::runs();
    need(&site, &disk);
    let mut said = Vec::new();
    for (run, files) in (2..).zip(0..8) {
        said.extend(export_on_full(&site, &disk, run, &[], |disk| disk.leave_names(files)));
    }
    for place in ["_export.lock", "_export.work", "_export.duckdb", "keep the generation"] {
        assert!(said.iter().any(|said| said.contains(place)), "no export failed for {place}: {said:#?}");
    }
}

/// Fills the disk when a step begins, as another process may at any time.
struct FilledAt<'a> {
    step: Step,
    disk: &'a Disk,
}

impl Watch for FilledAt<'_> {
    fn event(&mut self, event: &Event<'_>) {
        if *event == (Event::Step { step: self.step }) {
            self.disk.leave(0);
        }
    }
}

#[test]
fn a_disk_that_somebody_else_fills_in_the_middle_of_an_export_does_not_harm_what_is_served() {
    let Some(disk) = Disk::mount("size=24m") else { return };
    let site = Site::runs();
    need(&site, &disk);
    let folders = [("DUCKDB_PATH", site.lakehouse()), ("SERVING_DUCKDB_PATH", disk.served())];
    let lookup = |name: &str| match name {
        "MATERIA_SNAPSHOT" => Some("none".to_owned()),
        _ => folders.iter().find(|(known, _)| *known == name).map(|(_, path)| path.to_str().unwrap().to_owned()),
    };
    let mut failed = Vec::new();
    for (run, step) in (2..).zip(Step::ALL) {
        disk.fill_page_of_history();
        let before = disk.history();
        site.begin_run(run);
        let finished = export::export(&Job::new(&Settings::load(None, &lookup).unwrap()).unwrap(), &mut FilledAt { step, disk: &disk });
        let published = finished.error.is_none();
        assert_eq!(whole_run(&disk.served()), if published { run } else { run - 1 }, "{step:?}: {finished:#?}");
        assert_eq!(disk.history()[..before.len()], before, "{step:?}");
        // The line that found no room is missing, and says so; half of it is not there.
        assert_eq!(disk.history().len(), before.len() + usize::from(finished.unrecorded.is_none()), "{step:?}: {finished:#?}");
        assert!(!published || finished.unrecorded.is_some() || step == Step::Prune, "{step:?}: {finished:#?}");
        if let Some(error) = finished.error {
            assert!(error.to_string().contains("No space left") && error.to_string().contains("free some space"), "{step:?}: {error}");
            failed.push(step);
        }
        disk.free();
        assert_eq!(export(&site, &disk, &[]).code, 0, "{step:?}");
        assert_eq!(names(disk.folder.path()), ["analytics.duckdb", "analytics.generations", "analytics.history.jsonl"]);
    }
    let last_to_fail = failed.last().copied();
    assert_eq!(last_to_fail, Some(Step::Manifest), "{failed:?}");
}

#[test]
fn a_disk_that_may_only_be_read_is_named_and_what_was_served_stays_served() {
    let Some(disk) = Disk::mount("size=24m") else { return };
    let site = Site::runs();
    need(&site, &disk);
    disk.remount("ro");
    let ran = export(&site, &disk, &[]);
    assert_eq!(ran.code, 1, "{ran:#?}");
    assert!(ran.stderr.contains("Read-only file system") && ran.stderr.contains("must be able to write there"), "{ran:#?}");
    assert!(ran.stderr.contains(disk.folder.path().to_str().unwrap()), "{ran:#?}");
    assert_eq!(whole_run(&disk.served()), 1);
    for args in [&["status"][..], &["history"], &["export", "--dry-run"]] {
        site.ok(&[args, &["--to", disk.served().to_str().unwrap()]].concat());
    }
    disk.remount("rw");
    assert_eq!(export(&site, &disk, &[]).code, 0);
}

#[test]
fn an_export_to_another_filesystem_is_as_whole_as_any() {
    let Some(disk) = Disk::mount("size=24m") else { return };
    let Some(spill) = Disk::mount("size=1m") else { return };
    let site = Site::runs();
    for snapshot in ["auto", "copy", "none"] {
        let to = disk.served();
        let mut command = site.command(&["export", "--snapshot", snapshot, "--to", to.to_str().unwrap()]);
        let ran = Ran::of(&command.env("TMPDIR", spill.folder.path()).output().unwrap());
        assert_eq!(ran.code, 0, "{ran:#?}");
        assert_eq!(whole_run(&disk.served()), 1);
        assert_eq!(names(spill.folder.path()), [""; 0]);
    }
    assert_eq!(site.names(), ["lakehouse.duckdb"]);
}

/// Expects that an export to `to` is refused with these words, and that nothing is written into the folder but the history.
fn refused(site: &Site, to: &str, words: &[&str]) {
    let before = site.names();
    let ran = site.run(&["export", "--to", to]);
    assert_eq!(ran.code, 1, "{ran:#?}");
    for word in words {
        assert!(ran.stderr.contains(word), "{word:?} is not said: {ran:#?}");
    }
    let after: Vec<_> = site.names().into_iter().filter(|name| before.contains(name) || !name.ends_with(".history.jsonl")).collect();
    assert_eq!(after, before);
    assert_eq!(whole_run(&site.lakehouse()), 1);
}

#[test]
fn a_place_that_cannot_be_served_from_is_refused_with_the_reason() {
    let site = Site::runs();
    refused(&site, "missing/analytics.duckdb", &["cannot publish to missing/analytics.duckdb", "missing does not exist; create it first"]);
    assert!(!site.path("missing").exists());
    fs::create_dir(site.path("folder.duckdb")).unwrap();
    refused(&site, "folder.duckdb", &["it is a folder"]);
    refused(&site, "lakehouse.duckdb", &["it is the lakehouse itself"]);
    symlink("lakehouse.duckdb", site.path("link.duckdb")).unwrap();
    refused(&site, "link.duckdb", &["it is the lakehouse itself"]);
    fs::hard_link(site.lakehouse(), site.path("second_name.duckdb")).unwrap();
    refused(&site, "second_name.duckdb", &["it is the lakehouse itself"]);
}

#[test]
fn a_lakehouse_is_never_taken_for_one_of_the_exporters_own_files() {
    for name in ["_export.duckdb", "_rollback.duckdb", "analytics.refused.duckdb", "_export.work/lakehouse.duckdb", "_export.lock"] {
        let site = Site::runs();
        let lakehouse = site.path(name);
        fs::create_dir_all(lakehouse.parent().unwrap()).unwrap();
        fs::rename(site.lakehouse(), &lakehouse).unwrap();
        let content = fs::read(&lakehouse).unwrap();
        let ran = site.run(&["export", "--lakehouse", name, "--to", "analytics.duckdb", "--keep-refused"]);
        assert!(fs::read(&lakehouse).is_ok_and(|now| now == content), "{name} was destroyed: {ran:#?}");
        assert_eq!(ran.code, 1, "{name}: {ran:#?}");
        assert!(ran.stderr.contains("the lakehouse"), "{name}: {ran:#?}");
    }
}

#[test]
fn a_link_at_the_served_path_stays_a_link_and_its_file_is_replaced() {
    for dangling in [true, false] {
        let site = Site::runs();
        fs::create_dir(site.path("real")).unwrap();
        if !dangling {
            site.ok(&["export", "--to", "real/analytics.duckdb"]);
            site.begin_run(2);
        }
        symlink("real/analytics.duckdb", site.served()).unwrap();
        site.ok(&["export"]);
        assert_eq!(fs::read_link(site.served()).unwrap(), Path::new("real/analytics.duckdb"));
        assert_eq!(whole_run(&site.served()), if dangling { 1 } else { 2 });
        assert_eq!(names(&site.path("real")), ["analytics.duckdb", "analytics.generations", "analytics.history.jsonl"]);
        assert_eq!(site.names(), ["analytics.duckdb", "lakehouse.duckdb", "real"]);
    }
}
