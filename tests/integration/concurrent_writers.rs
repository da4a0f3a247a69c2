//! Exports while another process writes the lakehouse: every copy is a complete committed state,
//! and the writer is never refused.

use std::{
    env,
    fs::{self, File},
    path::Path,
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant, SystemTime},
};

use materia::lock::{self, Mode};

use crate::{
    child::Actor,
    exporter::{ENDLESS, Exporter},
    support::{Ran, Site, eventually, number, reading},
};

/// Writes for a given number of seconds, as pipelines do, and prints how often it wrote and how
/// often it was refused.
///
/// Each commit sets every row of both tables to the same number. It checkpoints or leaves a log,
/// and closes the file or is killed.
const WRITER: &str = r#"
import duckdb, os, random, subprocess, sys, time
path, seconds, child = sys.argv[1], float(sys.argv[2]), len(sys.argv) > 3
if child:
    con = duckdb.connect(path)
    if random.random() < 0.5: con.execute("SET checkpoint_threshold = '1TB'")
    for _ in range(random.choice([1, 1, 3])):
        n = con.execute("SELECT max(v) FROM serving.a").fetchone()[0] + 1
        con.execute("BEGIN"); con.execute(f"UPDATE serving.a SET v = {n}"); con.execute(f"UPDATE serving.b SET v = {n}"); con.execute("COMMIT")
        if random.random() < 0.3: con.execute("CHECKPOINT")
        if random.random() < 0.2: time.sleep(random.random() * 0.05)
    if random.random() < 0.3: os._exit(0)   # a log is left
    con.close()
    os._exit(0)
end, wrote, refused = time.time() + seconds, 0, 0
while time.time() < end:
    ran = subprocess.run([sys.executable, __file__, path, "0", "child"], capture_output=True, text=True)
    wrote += ran.returncode == 0
    refused += "Could not set lock" in ran.stderr
    if ran.returncode and "Could not set lock" not in ran.stderr: print(ran.stderr, file=sys.stderr); sys.exit(1)
    time.sleep(random.choice([0.0, 0.02, 0.2]))
print(wrote, refused)
"#;

fn seconds() -> u64 {
    env::var("MATERIA_TEST_WRITERS_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(8)
}

/// Exports repeatedly while the writer runs; every served version must be from one commit, and
/// never older than the previous one.
fn export_beside_a_writer(folder: &Path) -> Option<(u32, String)> {
    let Some(python) = env::var_os("MATERIA_TEST_PYTHON") else {
        println!("skipped: MATERIA_TEST_PYTHON does not name a Python with duckdb 1.5.6");
        return None;
    };
    let site = Site::empty();
    let (lakehouse, served, script) = (
        folder.join("lakehouse.duckdb"),
        folder.join("analytics.duckdb"),
        folder.join("writer.py"),
    );
    Site::make(
        &lakehouse,
        "CREATE SCHEMA serving; CREATE TABLE serving.a AS SELECT i, 0 AS v FROM range(20000) t(i); CREATE TABLE serving.b AS FROM serving.a;",
    );
    fs::write(&script, WRITER).unwrap();
    let mut writer = Command::new(python);
    writer
        .arg(&script)
        .arg(&lakehouse)
        .arg(seconds().to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut writer = writer.spawn().unwrap();
    let (mut exports, mut newest) = (0, 0_i64);
    while writer.try_wait().unwrap().is_none() {
        let args = [
            "export",
            "--full",
            "--quiet",
            "--wait",
            "60s",
            "--lakehouse",
            lakehouse.to_str().unwrap(),
            "--to",
            served.to_str().unwrap(),
        ];
        let ran = site.run(&args);
        assert_eq!(ran.code, 0, "{ran:#?}");
        let query =
            "SELECT min(v), max(v), count(*) FROM (FROM serving.a UNION ALL FROM serving.b)";
        let (least, most, rows): (i64, i64, i64) = reading(&served)
            .query_row(query, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .unwrap();
        assert_eq!((least, rows), (most, 40_000), "half a commit was published");
        assert!(most >= newest, "an older state was published");
        newest = most;
        exports += 1;
    }
    let output = writer.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some((exports, String::from_utf8_lossy(&output.stdout).trim().to_owned()))
}

fn promise(folder: &Path, what: &str) {
    let Some((exports, printed)) = export_beside_a_writer(folder) else { return };
    let (wrote, refused) = printed.split_once(' ').unwrap();
    println!(
        "{what}: {exports} exports, all of one commit; the writer wrote {wrote} times and was refused {refused} times"
    );
    assert!(exports > 2 && wrote.parse::<u32>().unwrap() > 2, "{exports} exports, {printed}");
    assert_eq!(refused, "0", "the pipeline was refused");
}

#[test]
fn exports_during_writes_are_of_one_commit_and_never_block_the_writer() {
    let folder = tempfile::tempdir().unwrap();
    promise(folder.path(), "the disk");
}

#[test]
fn the_same_holds_in_memory_where_files_have_other_time_stamps() {
    let Ok(folder) = tempfile::tempdir_in("/dev/shm") else {
        println!("skipped: there is no /dev/shm");
        return;
    };
    promise(folder.path(), "tmpfs");
}

#[test]
fn the_same_holds_where_copies_share_blocks() {
    let site = Site::empty();
    let (image, mount) = (site.path("image"), site.path("mount"));
    File::create(&image).unwrap().set_len(512 << 20).unwrap();
    fs::create_dir(&mount).unwrap();
    let tried =
        |command: &mut Command| command.output().is_ok_and(|output| output.status.success());
    if !tried(Command::new("mkfs.xfs").arg("-q").arg(&image))
        || !tried(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&mount))
    {
        println!("skipped: an XFS filesystem cannot be made and mounted here");
        return;
    }
    let done = std::panic::catch_unwind(|| promise(&mount, "XFS"));
    let _ = Command::new("umount").arg("-l").arg(&mount).output();
    done.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

#[test]
fn a_pipeline_waits_for_an_export_that_reads_the_lakehouse_in_place() {
    let site = Site::small();
    site.settings("[pipelines.fill]\ncommand = ['sh', '-c', 'echo done > filled']\n");
    // The format in which an exporter writes its lock file.
    let lock = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(site.path("_export.lock"))
        .unwrap();
    assert_eq!(lock::try_lock(&lock, Mode::Exclusive).unwrap(), None);
    let target = site.served().display().to_string();
    let running = serde_json::json!({
        "pid": std::process::id(), "id": "20261129T070000000Z", "generation": "20261129T070000000Z", "target": target,
        "started_at": "2026-11-29T07:00:00Z", "step": "stage", "table": null, "percent": null, "waiting_for": null, "in_place": true,
    });
    fs::write(site.path("_export.lock"), running.to_string()).unwrap();
    let log = site.path("told");
    let mut child = site
        .command(&["pipeline", "run", "fill"])
        .stderr(File::create(&log).unwrap())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    eventually("it says for whom it waits", || {
        fs::read_to_string(&log).is_ok_and(|text| text.contains("reads the lakehouse in place"))
    });
    assert!(!site.path("filled").exists());
    drop(lock);
    fs::remove_file(site.path("_export.lock")).unwrap();
    assert!(child.wait().unwrap().success(), "{}", fs::read_to_string(&log).unwrap());
    assert!(site.path("filled").exists());
}

#[test]
fn a_lakehouse_that_never_rests_is_given_up_with_what_to_do() {
    let site = Site::small();
    let lakehouse = fs::File::options().write(true).open(site.lakehouse()).unwrap();
    let has_ended = AtomicBool::new(false);
    let ran = thread::scope(|scope| {
        // The modification time keeps changing, as under a constant writer. On a machine that has
        // more to do, the exporter waits rather than those who change it: otherwise it could find
        // a moment of rest.
        for _ in 0..2 {
            scope.spawn(|| {
                while !has_ended.load(Ordering::Relaxed) {
                    lakehouse.set_modified(SystemTime::now()).unwrap();
                }
            });
        }
        let ran = Command::new("nice")
            .args(["-n", "10", env!("CARGO_BIN_EXE_materia"), "export", "--quiet", "--wait", "1s"])
            .current_dir(site.folder())
            .output();
        has_ended.store(true, Ordering::Relaxed);
        ran.unwrap()
    });
    let errors = String::from_utf8_lossy(&ran.stderr);
    assert_eq!(ran.status.code(), Some(4), "{errors}");
    assert!(
        errors.contains("materia pipeline run") && errors.contains("--snapshot none"),
        "{errors}"
    );
    assert!(!site.path("_export.work").exists());
}

#[test]
fn while_an_export_in_place_writes_its_own_file_out_the_lakehouse_is_free() {
    let site = Site::small();
    let mut export = Actor::start_told(
        "export that waits until checkpoint",
        site.folder(),
        &[("MATERIA_SNAPSHOT".to_owned(), "none".to_owned())],
    );
    export.until_waiting();
    site.change("INSERT INTO serving.numbers VALUES (1000, 0)");
    assert_eq!(export.finish_export(), (true, None));
    assert_eq!(
        site.number("SELECT count(*) FROM serving.numbers"),
        1000,
        "what was written after the snapshot is not in it"
    );
    assert_eq!(site.history()[0]["snapshot"], "none");
}

#[test]
fn who_is_refused_by_an_export_in_place_sees_which_program_it_is() {
    let site = Site::small();
    site.change(&format!("CREATE VIEW serving.zz AS {ENDLESS}"));
    let mut exporter = Exporter::start(&site, &["--snapshot", "none"]);
    exporter.until(&["table_begins", "zz"]);
    let refused = duckdb::Connection::open(site.lakehouse()).map(drop).unwrap_err().to_string();
    let pid = exporter.process.id();
    assert!(refused.contains(&format!("(PID {pid})")) && refused.contains("materia"), "{refused}");
    exporter.stop();
}

#[test]
fn what_is_committed_beneath_a_process_that_keeps_the_lakehouse_open_is_exported_on_request() {
    let site = Site::small();
    site.settings("[export]\nheld_idle = '300ms'");
    let holder = Actor::start("dying writer", &site.lakehouse());
    let pid = holder.process.id();
    let ran = site.run(&["export", "--wait", "0s"]);
    assert_eq!(ran.code, 4, "without being asked, it waits: {ran:#?}");
    let ran = site.ok(&["export", "--held", "copy"]);
    assert!(ran.stdout.starts_with("published "), "{ran:#?}");
    // One committed row exists only in the log; a thousand more are uncommitted.
    assert_eq!(site.number("SELECT count(*) FROM serving.numbers"), 1001);
    let record = site.history().pop().unwrap();
    assert_eq!(record["held_by"]["pid"], pid, "{record:#}");
    let named = format!("(pid {pid}");
    for args in [["history"], ["status"]] {
        let printed = site.run(&args).stdout;
        assert!(
            printed.contains("what was committed while") && printed.contains(&named),
            "{args:?}: {printed}"
        );
    }
    drop(holder);
    site.ok(&["export"]);
    assert_eq!(site.history().pop().unwrap()["held_by"], serde_json::Value::Null);
}

/// A library that handles lock operations on files below `lockless` like a filesystem without
/// locks.
const LOCKLESS: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
static int answer(int fd, int command, void *argument) {
    char link[64], name[4096];
    if (command >= F_OFD_GETLK && command <= F_OFD_SETLKW) {
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t length = readlink(link, name, sizeof name - 1);
        name[length < 0 ? 0 : length] = 0;
        if (strstr(name, "/lockless/")) { errno = ENOLCK; return -1; }
    }
    return ((int (*)(int, int, ...))dlsym(RTLD_NEXT, "fcntl"))(fd, command, argument);
}
int fcntl(int fd, int command, ...) { va_list list; va_start(list, command); void *argument = va_arg(list, void *); va_end(list); return answer(fd, command, argument); }
int fcntl64(int fd, int command, ...) { va_list list; va_start(list, command); void *argument = va_arg(list, void *); va_end(list); return answer(fd, command, argument); }
"#;

#[test]
fn where_the_filesystem_has_no_locks_a_copy_is_made_when_nothing_was_written_for_a_while() {
    let site = Site::empty();
    let (source, library) = (site.path("lockless.c"), site.path("lockless.so"));
    fs::write(&source, LOCKLESS).unwrap();
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .arg(&library)
        .arg(&source)
        .arg("-ldl")
        .status();
    if !built.is_ok_and(|status| status.success()) {
        println!("skipped: cc cannot build a library here");
        return;
    }
    fs::create_dir(site.path("lockless")).unwrap();
    let lakehouse = site.path("lockless/lakehouse.duckdb");
    Site::make(
        &lakehouse,
        "CREATE SCHEMA serving; CREATE TABLE serving.a AS SELECT i, 0 AS v FROM range(20000) t(i)",
    );
    site.settings("[export]\nsnapshot_quiet = '700ms'");
    let mut export = site.command(&[
        "export",
        "--lakehouse",
        "lockless/lakehouse.duckdb",
        "--to",
        "analytics.duckdb",
        "--wait",
        "60s",
    ]);
    let export = export
        .env("LD_PRELOAD", &library)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let end = Instant::now() + Duration::from_secs(2);
    let mut newest = 0;
    while Instant::now() < end {
        newest += 1;
        duckdb::Connection::open(&lakehouse)
            .unwrap()
            .execute_batch(&format!("UPDATE serving.a SET v = {newest}"))
            .unwrap();
        std::thread::sleep(Duration::from_millis(50));
    }
    let ran = Ran::of(&export.wait_with_output().unwrap());
    assert_eq!(ran.code, 0, "{ran:#?}");
    let query = format!("SELECT count(*) FROM serving.a WHERE v = {newest}");
    assert_eq!(
        number(&site.served(), &query),
        20_000,
        "it was copied while a process wrote every 50 ms: {ran:#?}"
    );
}
