//! Exports beside a process that writes the lakehouse: every copy is a committed state, whole, and the writer is never refused.

use std::{
    env,
    fs::{self, File},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use materia::lock::{self, Mode};

use crate::support::{Site, eventually, reading};

/// Writes for so many seconds, as pipelines do, and prints how often it wrote and how often it was refused.
///
/// Each commit sets every row of both tables to the same number. It checkpoints or leaves a log, closes or is killed.
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

/// Exports again and again beside the writer in a folder; what was served must be of one commit, and never older than before.
fn export_beside_a_writer(folder: &Path) -> Option<(u32, String)> {
    let Some(python) = env::var_os("MATERIA_TEST_PYTHON") else {
        println!("skipped: MATERIA_TEST_PYTHON does not name a Python with duckdb 1.5.6");
        return None;
    };
    let site = Site::empty();
    let (lakehouse, served, script) = (folder.join("lakehouse.duckdb"), folder.join("analytics.duckdb"), folder.join("writer.py"));
    Site::make(
        &lakehouse,
        "CREATE SCHEMA serving; CREATE TABLE serving.a AS SELECT i, 0 AS v FROM range(20000) t(i); CREATE TABLE serving.b AS FROM serving.a;",
    );
    fs::write(&script, WRITER).unwrap();
    let mut writer = Command::new(python);
    writer.arg(&script).arg(&lakehouse).arg(seconds().to_string()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut writer = writer.spawn().unwrap();
    let (mut exports, mut newest) = (0, 0_i64);
    while writer.try_wait().unwrap().is_none() {
        let args =
            ["export", "--full", "--quiet", "--wait", "60s", "--lakehouse", lakehouse.to_str().unwrap(), "--to", served.to_str().unwrap()];
        let ran = site.run(&args);
        assert_eq!(ran.code, 0, "{ran:#?}");
        let query = "SELECT min(v), max(v), count(*) FROM (FROM serving.a UNION ALL FROM serving.b)";
        let (least, most, rows): (i64, i64, i64) =
            reading(&served).query_row(query, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
        assert_eq!((least, rows), (most, 40_000), "half a commit was published");
        assert!(most >= newest, "an older state was published");
        newest = most;
        exports += 1;
    }
    let told = writer.wait_with_output().unwrap();
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    Some((exports, String::from_utf8_lossy(&told.stdout).trim().to_owned()))
}

fn promise(folder: &Path, what: &str) {
    let Some((exports, told)) = export_beside_a_writer(folder) else { return };
    let (wrote, refused) = told.split_once(' ').unwrap();
    println!("{what}: {exports} exports, all of one commit; the writer wrote {wrote} times and was refused {refused} times");
    assert!(exports > 2 && wrote.parse::<u32>().unwrap() > 2, "{exports} exports, {told}");
    assert_eq!(refused, "0", "the pipeline was refused");
}

#[test]
fn beside_a_writer_every_export_is_one_commit_and_the_writer_is_never_refused() {
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
    let tried = |command: &mut Command| command.output().is_ok_and(|output| output.status.success());
    if !tried(Command::new("mkfs.xfs").arg("-q").arg(&image)) || !tried(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&mount))
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
    // As an exporter writes it into its lock file.
    let lock = File::options().read(true).write(true).create_new(true).open(site.path("_export.lock")).unwrap();
    assert_eq!(lock::try_lock(&lock, Mode::Exclusive).unwrap(), None);
    let target = site.served().display().to_string();
    let running = serde_json::json!({
        "pid": std::process::id(), "id": "20261129T070000000Z", "generation": "20261129T070000000Z", "target": target,
        "started_at": "2026-11-29T07:00:00Z", "step": "stage", "table": null, "percent": null, "waiting_for": null, "in_place": true,
    });
    fs::write(site.path("_export.lock"), running.to_string()).unwrap();
    let log = site.path("told");
    let mut child = site.command(&["pipeline", "run", "fill"]).stderr(File::create(&log).unwrap()).stdout(Stdio::null()).spawn().unwrap();
    eventually("it says for whom it waits", || fs::read_to_string(&log).is_ok_and(|text| text.contains("reads the lakehouse in place")));
    assert!(!site.path("filled").exists());
    drop(lock);
    fs::remove_file(site.path("_export.lock")).unwrap();
    assert!(child.wait().unwrap().success(), "{}", fs::read_to_string(&log).unwrap());
    assert!(site.path("filled").exists());
}

#[test]
fn a_lakehouse_that_never_rests_is_given_up_with_what_to_do() {
    let site = Site::small();
    // Another process keeps changing the time of the file, as one that writes all the time does.
    let lakehouse = site.lakehouse();
    let script = format!("while :; do touch '{}'; done", lakehouse.display());
    let mut busy = Command::new("sh").args(["-c", &script]).spawn().unwrap();
    let begun = Instant::now();
    let ran = site.run(&["export", "--quiet", "--wait", "1s"]);
    let _ = busy.kill();
    let _ = busy.wait();
    assert_eq!(ran.code, 4, "{ran:#?}");
    assert!(ran.stderr.contains("materia pipeline run") && ran.stderr.contains("--snapshot none"), "{ran:#?}");
    assert!(begun.elapsed() < Duration::from_secs(30), "it took {:?}", begun.elapsed());
    assert!(!site.path("_export.work").exists());
}
