//! A full disk, a read-only disk, and every invalid path of the served file.
//!
//! A disk may fill up at any moment. A small filesystem is mounted for the served file, an export
//! is served from it, and then a ballast file leaves just too little space for the next export: it
//! lacks blocks or inodes, a little later each time, from its first file to its line in the
//! history. Each time the error must name the full disk, readers must not be affected, and freeing
//! space must be sufficient to recover.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    os::unix::fs::{MetadataExt, symlink},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use materia::store::ExportStep;
use rustix::fs::FallocateFlags;
use tempfile::TempDir;

use crate::{
    child::{Actor, name_of},
    http_receiver::Receiver,
    support::{Ran, Site, names, reading, whole_run},
};

/// A small in-memory filesystem, unmounted on drop.
struct Disk {
    folder: TempDir,
}

const PAGE: u64 = 4096;

impl Disk {
    /// Mounts the filesystem, or prints why that is not possible.
    fn mount(options: &str) -> Option<Self> {
        let disk = Self { folder: tempfile::tempdir().unwrap() };
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(disk.folder.path())
            .output();
        match mounted {
            Ok(output) if output.status.success() => return Some(disk),
            Ok(output) => println!(
                "skipped: cannot mount a filesystem here: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            ),
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
        materia::files::available_space(self.folder.path()).unwrap()
    }

    fn file_names_left(&self) -> u64 {
        rustix::fs::statvfs(self.folder.path()).unwrap().f_favail
    }

    /// Leaves this many bytes free.
    ///
    /// The kernel may still be freeing the pages of files that were deleted a moment ago, so the
    /// ballast is adjusted until the free space is exact.
    fn leave(&self, bytes: u64) {
        let ballast = File::create(self.path("ballast")).unwrap();
        let deadline = Instant::now() + Duration::from_mins(1);
        while self.room() != bytes {
            assert!(Instant::now() < deadline, "{} bytes are free, not {bytes}", self.room());
            let length = 512 * ballast.metadata().unwrap().blocks() + self.room() - bytes;
            ballast.set_len(length).unwrap();
            rustix::fs::fallocate(&ballast, FallocateFlags::empty(), 0, length).unwrap();
        }
    }

    /// Leaves this many inodes free.
    fn leave_names(&self, files: u64) {
        fs::create_dir(self.path("ballast")).unwrap();
        for name in 0..self.file_names_left() - files {
            File::create(self.path("ballast").join(name.to_string())).unwrap();
        }
        assert_eq!(self.file_names_left(), files);
    }

    fn free(&self) {
        let ballast = self.path("ballast");
        if ballast.is_dir() { fs::remove_dir_all(ballast) } else { fs::remove_file(ballast) }
            .unwrap();
    }

    fn history(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("analytics.history.jsonl")).unwrap();
        assert!(text.ends_with('\n'), "the last line is torn: {text}");
        let lines: Vec<_> = text.lines().map(str::to_owned).collect();
        for line in &lines {
            assert!(
                serde_json::from_str::<serde_json::Value>(line).is_ok(),
                "a line is torn: {line}"
            );
        }
        lines
    }

    /// Makes the next line of the history begin shortly before a page boundary: on a full disk,
    /// only the beginning of the line can be written.
    fn fill_page_of_history(&self) {
        let page = usize::try_from(PAGE).unwrap();
        let mut text = self.history().join("\n") + "\n";
        text.insert_str(1, &" ".repeat(2 * page - 100 - text.len() % page));
        fs::write(self.path("analytics.history.jsonl"), text).unwrap();
    }

    fn remount(&self, options: &str) {
        let options = format!("remount,{options}");
        assert!(
            Command::new("mount")
                .args(["-o", &options])
                .arg(self.folder.path())
                .status()
                .unwrap()
                .success()
        );
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.folder.path()).output();
    }
}

/// Exports to the small disk, in place by default, since a private copy that is removed halfway
/// would free space.
fn export(site: &Site, disk: &Disk, more: &[&str]) -> Ran {
    let snapshot: &[&str] =
        if more.contains(&"--snapshot") { &[] } else { &["--snapshot", "none"] };
    site.run(
        &[&["export", "--quiet", "--to", disk.served().to_str().unwrap()], snapshot, more].concat(),
    )
}

/// Exports once on a full disk and then again after freeing it; returns the error of the first
/// export, if it failed.
fn export_on_full(
    site: &Site,
    disk: &Disk,
    run: i64,
    more: &[&str],
    fill: impl Fn(&Disk),
) -> Option<String> {
    let (old, before) = (whole_run(&disk.served()), disk.history());
    site.begin_run(run);
    fill(disk);
    let ran = export(site, disk, more);
    let served = whole_run(&disk.served());
    let after = disk.history();
    assert_eq!(after[..before.len()], before, "an earlier line of the history was changed");
    let left: Vec<_> =
        names(disk.folder.path()).into_iter().filter(|name| name != "ballast").collect();
    assert_eq!(
        left,
        ["analytics.duckdb", "analytics.generations", "analytics.history.jsonl"],
        "{ran:#?}"
    );
    if ran.code == 0 {
        assert_eq!(served, run, "{ran:#?}");
    } else {
        assert_eq!(ran.code, 1, "{ran:#?}");
        assert!(ran.stderr.contains("No space left on device"), "{ran:#?}");
        assert!(ran.stderr.contains("free some space"), "{ran:#?}");
        assert!(ran.stderr.contains(disk.folder.path().to_str().unwrap()), "{ran:#?}");
        // A publish whose history line could not be written is still a publish.
        let published = ran.stderr.contains("could not be recorded")
            && after.len() == before.len()
            && !ran.stderr.contains("cannot ");
        assert_eq!(served, if published && served == run { run } else { old }, "{ran:#?}");
    }
    disk.free();
    let again = export(site, disk, &[]);
    assert_eq!(again.code, 0, "after {ran:#?}: {again:#?}");
    assert_eq!(whole_run(&disk.served()), run);
    assert_eq!(
        names(disk.folder.path()),
        ["analytics.duckdb", "analytics.generations", "analytics.history.jsonl"]
    );
    let kept: BTreeSet<_> = names(&disk.path("analytics.generations"))
        .iter()
        .map(|name| name.split_once('.').unwrap().0.to_owned())
        .collect();
    assert_eq!(names(&disk.path("analytics.generations")).len(), kept.len() * 2, "{kept:?}");
    for id in kept {
        whole_run(&disk.path(&format!("analytics.generations/{id}.duckdb")));
    }
    (ran.code != 0).then_some(ran.stderr)
}

/// Returns the maximum space that an export needs, in whole pages.
fn need(site: &Site, disk: &Disk) -> u64 {
    assert_eq!(export(site, disk, &[]).code, 0);
    fs::metadata(disk.served()).unwrap().len().next_multiple_of(PAGE)
}

#[test]
fn a_disk_that_fills_up_at_any_stage_is_named_and_what_was_served_stays_served() {
    let Some(disk) = Disk::mount("size=24m") else { return };
    let site = Site::runs();
    let file = need(&site, &disk);
    // Coarse while the staged file grows, page by page near its end, where manifest and history are
    // written.
    let coarse = (0..file / PAGE).step_by(usize::try_from(file / PAGE / 12).unwrap());
    let near_the_end = file / PAGE - 3..=file / PAGE + 6;
    let mut messages = Vec::new();
    for (run, pages) in (2..).zip([0, 1, 2, 3].into_iter().chain(coarse).chain(near_the_end)) {
        messages.extend(export_on_full(&site, &disk, run, &[], |disk| disk.leave(pages * PAGE)));
    }
    // Some rows are written during the copy, the others by the checkpoint.
    for place in ["ATTACH", "CHECKPOINT"] {
        assert!(
            messages.iter().any(|message| message.contains(place)),
            "no export failed at {place}: {messages:#?}"
        );
    }
}

#[test]
fn a_disk_that_fills_up_while_a_table_is_extended_keeps_the_served_file() {
    let Some(disk) = Disk::mount("size=24m") else { return };
    let site = Site::runs();
    let grow = |run: i64| {
        site.change(&format!(
            "CREATE TABLE serving.log AS SELECT i AS id, hash(i) AS v FROM range(150000 + {run}) t(i)"
        ));
    };
    grow(1);
    let file = need(&site, &disk);
    let steps = (0..file / PAGE + 6).step_by(usize::try_from(file / PAGE / 12).unwrap());
    let mut messages = Vec::new();
    for (run, pages) in (2..).zip(steps) {
        messages.extend(export_on_full(&site, &disk, run, &[], |disk| {
            grow(run);
            disk.leave(pages * PAGE);
        }));
        let served = reading(&disk.served());
        let query = "SELECT count(*) FROM serving.log WHERE id = rowid AND v = hash(id)";
        let rows: i64 = served.query_row(query, [], |row| row.get(0)).unwrap();
        assert_eq!(rows, 150_000 + run);
        let last = disk.history().pop().unwrap();
        assert!(last.contains("changed after row 122,880") || last.contains("unchanged"), "{last}");
    }
    assert!(messages.len() > 5, "hardly an export failed: {messages:#?}");
}

#[test]
fn a_disk_that_fills_up_during_the_private_copy_keeps_the_served_file() {
    let Some(disk) = Disk::mount("size=24m") else { return };
    let site = Site::runs();
    let file = need(&site, &disk);
    for (run, pages) in
        (2..).zip((0..2 * file / PAGE).step_by(usize::try_from(file / PAGE / 5).unwrap()))
    {
        export_on_full(&site, &disk, run, &["--snapshot", "auto"], |disk| disk.leave(pages * PAGE));
    }
}

#[test]
fn a_disk_too_small_for_a_copy_is_reported_before_copying() {
    let Some(disk) = Disk::mount("size=24m") else { return };
    let site = Site::runs();
    need(&site, &disk);
    site.begin_run(2);
    disk.leave(8 * PAGE);
    let ran = export(&site, &disk, &["--snapshot", "copy"]);
    assert_eq!(ran.code, 1, "{ran:#?}");
    assert!(
        ran.stderr.contains("not enough space in")
            && ran.stderr.contains(disk.folder.path().to_str().unwrap()),
        "{ran:#?}"
    );
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
    let mut messages = Vec::new();
    for (run, files) in (2..).zip(0..8) {
        messages.extend(export_on_full(&site, &disk, run, &[], |disk| disk.leave_names(files)));
    }
    for place in ["_export.lock", "_export.work", "_export.duckdb", "keep the generation"] {
        assert!(
            messages.iter().any(|message| message.contains(place)),
            "no export failed for {place}: {messages:#?}"
        );
    }
}

#[test]
fn a_disk_filled_by_others_during_an_export_does_not_harm_the_served_file() {
    let Some(disk) = Disk::mount("size=24m") else { return };
    let site = Site::runs();
    need(&site, &disk);
    let variables = [
        ("MATERIA_SNAPSHOT".to_owned(), "none".to_owned()),
        ("SERVING_DUCKDB_PATH".to_owned(), disk.served().to_str().unwrap().to_owned()),
    ];
    let mut failed = Vec::new();
    for (run, step) in (2..).zip(ExportStep::ALL) {
        disk.fill_page_of_history();
        let before = disk.history();
        site.begin_run(run);
        // A process of its own, since those that other tests start from this one have, for a
        // moment, its deleted files open, whose space would become free after the disk is filled.
        let part = format!("export that waits until {}", name_of(step));
        let mut exporter = Actor::start_told(&part, site.folder(), &variables);
        exporter.until_waiting();
        disk.leave(0);
        let (recorded, error) = exporter.finish_export();
        let published = error.is_none();
        assert_eq!(
            whole_run(&disk.served()),
            if published { run } else { run - 1 },
            "{step:?}: {error:?}"
        );
        assert_eq!(disk.history()[..before.len()], before, "{step:?}");
        // The line that could not be written is missing as a whole, which is reported.
        assert_eq!(
            disk.history().len(),
            before.len() + usize::from(recorded),
            "{step:?}: {error:?}"
        );
        assert!(!published || !recorded || step == ExportStep::Prune, "{step:?}");
        if let Some(error) = error {
            assert!(
                error.contains("No space left") && error.contains("free some space"),
                "{step:?}: {error}"
            );
            failed.push(step);
        }
        disk.free();
        assert_eq!(export(&site, &disk, &[]).code, 0, "{step:?}");
        assert_eq!(
            names(disk.folder.path()),
            ["analytics.duckdb", "analytics.generations", "analytics.history.jsonl"]
        );
    }
    let last_to_fail = failed.last().copied();
    assert_eq!(last_to_fail, Some(ExportStep::Manifest), "{failed:?}");
}

#[test]
fn a_disk_that_may_only_be_read_is_named_and_what_was_served_stays_served() {
    let Some(disk) = Disk::mount("size=24m") else { return };
    let site = Site::runs();
    need(&site, &disk);
    disk.remount("ro");
    let ran = export(&site, &disk, &[]);
    assert_eq!(ran.code, 1, "{ran:#?}");
    assert!(
        ran.stderr.contains("Read-only file system")
            && ran.stderr.contains("must be able to write there"),
        "{ran:#?}"
    );
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
        let mut command =
            site.command(&["export", "--snapshot", snapshot, "--to", to.to_str().unwrap()]);
        let ran = Ran::of(&command.env("TMPDIR", spill.folder.path()).output().unwrap());
        assert_eq!(ran.code, 0, "{ran:#?}");
        assert_eq!(whole_run(&disk.served()), 1);
        assert_eq!(names(spill.folder.path()), [""; 0]);
    }
    assert_eq!(site.names(), ["lakehouse.duckdb"]);
}

/// Expects an export to `to` to be refused with these words, and nothing but the history to be
/// written to the folder.
fn refused(site: &Site, to: &str, words: &[&str]) {
    let before = site.names();
    let ran = site.run(&["export", "--to", to]);
    assert_eq!(ran.code, 1, "{ran:#?}");
    for word in words {
        assert!(ran.stderr.contains(word), "{word:?} is not said: {ran:#?}");
    }
    let after: Vec<_> = site
        .names()
        .into_iter()
        .filter(|name| before.contains(name) || !name.ends_with(".history.jsonl"))
        .collect();
    assert_eq!(after, before);
    assert_eq!(whole_run(&site.lakehouse()), 1);
}

#[test]
fn a_place_that_cannot_be_served_from_is_refused_with_the_reason() {
    let site = Site::runs();
    refused(
        &site,
        "missing/analytics.duckdb",
        &["cannot publish to missing/analytics.duckdb", "missing does not exist; create it first"],
    );
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
    for name in [
        "_export.duckdb",
        "_rollback.duckdb",
        "analytics.refused.duckdb",
        "_export.work/lakehouse.duckdb",
        "_export.lock",
    ] {
        let site = Site::runs();
        let lakehouse = site.path(name);
        fs::create_dir_all(lakehouse.parent().unwrap()).unwrap();
        fs::rename(site.lakehouse(), &lakehouse).unwrap();
        let content = fs::read(&lakehouse).unwrap();
        let ran = site.run(&[
            "export",
            "--lakehouse",
            name,
            "--to",
            "analytics.duckdb",
            "--keep-refused",
        ]);
        assert!(
            fs::read(&lakehouse).is_ok_and(|now| now == content),
            "{name} was destroyed: {ran:#?}"
        );
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
        assert_eq!(
            names(&site.path("real")),
            ["analytics.duckdb", "analytics.generations", "analytics.history.jsonl"]
        );
        assert_eq!(site.names(), ["analytics.duckdb", "lakehouse.duckdb", "real"]);
    }
}

/// Runs `materia alert` on the small disk; returns a summary of the received messages.
fn alert(site: &Site, disk: &Disk, receiver: &Receiver) -> (Ran, Vec<String>) {
    let mut command = site.command(&["alert", "--to", disk.served().to_str().unwrap()]);
    let ran = Ran::of(&command.env("ALERT_WEBHOOK_URL", receiver.url()).output().unwrap());
    let words = receiver
        .bodies()
        .iter()
        .map(|body| format!("{} {}", body["status"], body["condition"]).replace('"', ""))
        .collect();
    (ran, words)
}

#[test]
fn a_full_disk_is_alerted_although_nothing_can_be_saved_there() {
    let Some(disk) = Disk::mount("size=24m") else { return };
    let (site, receiver) = (Site::runs(), Receiver::answering(200));
    need(&site, &disk);
    disk.leave(0);
    // No state was ever saved: sending twice is better than not sending.
    for _ in 0..2 {
        let (ran, words) = alert(&site, &disk, &receiver);
        assert_eq!(words, ["firing disk_nearly_full"], "{ran:#?}");
        assert!(
            ran.code == 1
                && ran.stderr.contains("the state of alerts cannot be saved: No space left")
                && ran.stderr.contains("the same alerts may be sent again"),
            "{ran:#?}"
        );
    }
    disk.free();
    let (ran, words) = alert(&site, &disk, &receiver);
    assert_eq!((ran.code, words.len()), (0, 0), "{ran:#?}");
    // The saved state has room for another one.
    disk.leave(0);
    let (ran, words) = alert(&site, &disk, &receiver);
    assert_eq!((ran.code, words), (0, vec!["firing disk_nearly_full".to_owned()]), "{ran:#?}");
    let (ran, words) = alert(&site, &disk, &receiver);
    assert_eq!((ran.code, words.len()), (0, 0), "{ran:#?}");
    disk.free();
    let (ran, words) = alert(&site, &disk, &receiver);
    assert_eq!((ran.code, words), (0, vec!["resolved disk_nearly_full".to_owned()]), "{ran:#?}");
}

#[test]
fn a_disk_without_room_for_a_file_name_is_no_reason_not_to_alert() {
    let Some(disk) = Disk::mount("size=24m,nr_inodes=60") else { return };
    let (site, receiver) = (Site::runs(), Receiver::answering(200));
    need(&site, &disk);
    site.settings("[status]\nmax_age = '0s'");
    disk.leave_names(0);
    let (ran, words) = alert(&site, &disk, &receiver);
    assert_eq!(words, ["firing stale"], "{ran:#?}");
    assert!(ran.code == 1 && ran.stderr.contains("cannot be locked: "), "{ran:#?}");
}

#[test]
fn a_pipeline_runs_on_a_full_disk_and_says_that_its_log_is_missing() {
    let Some(disk) = Disk::mount("size=24m,nr_inodes=60") else { return };
    let site = Site::runs();
    need(&site, &disk);
    site.settings("[pipelines.extract]\ncommand = ['sh', '-c', 'echo extracted; echo x >> ran']");
    let run = || site.run(&["pipeline", "run", "extract", "--to", disk.served().to_str().unwrap()]);
    let ran_times = || fs::read_to_string(site.path("ran")).unwrap_or_default().lines().count();
    // First without free inodes, then without free bytes.
    disk.leave_names(0);
    let ran = run();
    assert!(
        ran.code == 0
            && ran.stdout.contains("extracted")
            && ran.stderr.contains("extract: runs without a log, which cannot be kept in")
            && ran.stderr.contains("No space left"),
        "{ran:#?}"
    );
    assert_eq!(ran_times(), 1);
    disk.free();
    assert_eq!(run().code, 0);
    disk.leave(0);
    let ran = run();
    assert!(ran.code == 0 && ran.stderr.contains("No space left"), "{ran:#?}");
    assert_eq!(ran_times(), 3);
    disk.free();
    assert_eq!(run().code, 0);
    // Each log has its record.
    let kept = names(&disk.path("analytics.logs"));
    let ending = |end: &str| kept.iter().filter(|name| name.ends_with(end)).count();
    assert_eq!(ending(".log"), ending(".json"), "{kept:?}");
}
