//! An export killed at any step leaves the served file complete.
//!
//! A pipeline runs on a machine that may lose power, run out of memory or be restarted at any time.
//! All tests here have the same story. A lakehouse is written by run 1, 2, 3, ..., and every row of
//! every relation contains the number of its run. An exporter is killed with SIGKILL, which a
//! process cannot handle: first at every step that it announces, then at random moments. Afterwards
//! readers must see the old run or the new one, never a mixture and never nothing; the next export
//! must succeed without intervention, clean up, and record what happened; and every retained
//! generation must have been served once.

use std::{
    os::unix::process::ExitStatusExt,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use materia::store::ExportStep;
use rustix::process::Signal;
use serde_json::Value;

use crate::{
    child::{Actor, name_of},
    exporter::{ENDLESS, Exporter},
    invariants::Outsider,
    support::{Site, whole_run},
};

/// Returns every moment at which an export can be killed: its steps, and the beginning of each
/// table's copy.
fn moments() -> Vec<String> {
    let mut moments: Vec<_> = ExportStep::ALL.into_iter().map(name_of).collect();
    let stage = moments.iter().position(|moment| moment == "stage").unwrap();
    moments.splice(stage + 1..=stage, ["customers", "orders", "totals"].map(str::to_owned));
    moments
}

/// Returns whether the swap has happened when this step is announced.
fn is_after_the_swap(moment: &str) -> bool {
    ["sync_folder", "record", "prune"].contains(&moment)
}

/// Checks the killed attempt's record in the history, the last but one after the next attempt. An
/// attempt that was killed while it waited for the export lock had not begun and has none.
fn expect_on_record(site: &Site, before: usize, moment: &str, outcome: &str) {
    let history = site.history();
    let killed = &history[before..history.len() - 1];
    if moment == "turn" {
        assert!(killed.is_empty(), "{moment}: {killed:#?}");
        return;
    }
    let outcomes: Vec<_> =
        killed.iter().map(|record| record["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, [outcome], "{moment}: {killed:#?}");
    assert_eq!(
        killed[0]["generation"] == Value::Null,
        outcome == "interrupted",
        "{moment}: {killed:#?}"
    );
    // An attempt that was killed after it had written its own record needs no explanation.
    assert_eq!(killed[0]["error"] == Value::Null, moment == "prune", "{moment}: {killed:#?}");
}

#[test]
fn an_export_killed_at_any_step_leaves_the_served_file_whole() {
    let site = Site::runs();
    site.ok(&["export"]);
    let mut outsider = Outsider::of(&site);
    for (run, moment) in (2..).zip(moments()) {
        let (served, attempts) = (outsider.run().unwrap(), site.history().len());
        site.begin_run(run);
        Actor::start(&format!("export until {moment}"), site.folder()).die();
        outsider.look();
        assert_eq!(
            outsider.run(),
            Some(if is_after_the_swap(&moment) { run } else { served }),
            "killed at {moment}"
        );

        site.ok(&["export"]);
        assert_eq!(outsider.run(), Some(run), "after {moment}");
        outsider.expect_order(&moment);
        expect_on_record(
            &site,
            attempts,
            &moment,
            if is_after_the_swap(&moment) { "published" } else { "interrupted" },
        );

        let before = site.kept().into_iter().rev().nth(1).unwrap();
        site.ok(&["rollback"]);
        assert_eq!(
            outsider.run(),
            Some(whole_run(&site.generation(&before))),
            "rolled back after {moment}"
        );
        outsider.expect_order(&moment);
    }
}

#[test]
fn an_export_of_what_changed_killed_at_any_step_leaves_the_served_file_whole() {
    let site = Site::runs();
    // The same in every run, and most of the data: the exporter reuses it.
    let begin = |run: i64| {
        site.begin_run(run);
        // One table grows: its first rows are kept.
        site.change(&format!(
            "CREATE TABLE serving.fixed AS SELECT i AS id, i * i AS square FROM range(50000) t(i);
             CREATE TABLE serving.log AS SELECT i AS id FROM range(130000 + {run}) t(i)"
        ));
    };
    begin(1);
    site.ok(&["export"]);
    let mut outsider = Outsider::of(&site);
    let mut moments = moments();
    let orders = moments.iter().position(|moment| moment == "orders").unwrap();
    moments.insert(orders, "log".to_owned());
    for (run, moment) in (2..).zip(moments) {
        begin(run);
        let attempts = site.history().len();
        Actor::start(&format!("export until {moment}"), site.folder()).die();
        outsider.look();
        assert_eq!(
            outsider.run(),
            Some(if is_after_the_swap(&moment) { run } else { run - 1 }),
            "killed at {moment}"
        );
        site.ok(&["export"]);
        assert_eq!(outsider.run(), Some(run), "after {moment}");
        assert_eq!(
            site.number("SELECT count(DISTINCT square) FROM serving.fixed"),
            50_000,
            "after {moment}"
        );
        let in_order = "SELECT count(*) FROM serving.log WHERE id = rowid";
        assert_eq!(site.number(in_order), 130_000 + run, "after {moment}");
        outsider.expect_order(&moment);
        expect_on_record(
            &site,
            attempts,
            &moment,
            if is_after_the_swap(&moment) { "published" } else { "interrupted" },
        );
        let last = site.history().pop().unwrap();
        if last["outcome"] == "published" {
            let log =
                last["tables"].as_array().unwrap().iter().find(|table| table["name"] == "log");
            assert_eq!(log.unwrap()["why"], "changed after row 122,880", "{moment}: {last:#}");
            assert_eq!(
                last["tables"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .filter(|table| table["reused"] == true)
                    .count(),
                1,
                "{moment}: {last:#}"
            );
        } else {
            assert!(is_after_the_swap(&moment), "{moment}: {last:#}");
        }
    }
}

#[test]
fn a_first_export_killed_at_any_step_serves_everything_or_nothing() {
    for moment in moments() {
        let site = Site::runs();
        let mut outsider = Outsider::of(&site);
        Actor::start(&format!("export until {moment}"), site.folder()).die();
        outsider.look();
        assert_eq!(outsider.run(), is_after_the_swap(&moment).then_some(1), "killed at {moment}");
        site.ok(&["export", "--full"]);
        assert_eq!(outsider.run(), Some(1), "after {moment}");
        outsider.expect_order(&moment);
        expect_on_record(
            &site,
            0,
            &moment,
            if is_after_the_swap(&moment) { "published" } else { "interrupted" },
        );
        assert_eq!(
            site.kept().len(),
            if is_after_the_swap(&moment) { 2 } else { 1 },
            "after {moment}"
        );
    }
}

#[test]
fn a_rollback_killed_at_any_step_leaves_the_served_file_whole() {
    let site = Site::runs();
    let mut outsider = Outsider::of(&site);
    for run in 1..=3 {
        site.begin_run(run);
        site.ok(&["export"]);
        outsider.look();
    }
    for (run, step) in (4..).zip([
        ExportStep::Turn,
        ExportStep::Recover,
        ExportStep::Link,
        ExportStep::Rename,
        ExportStep::SyncFolder,
        ExportStep::Record,
    ]) {
        let moment = name_of(step);
        let (kept, attempts) = (site.kept(), site.history().len());
        Actor::start(&format!("rollback until {moment}"), site.folder()).die();
        outsider.look();
        assert_eq!(
            outsider.run(),
            Some(run - if is_after_the_swap(&moment) { 2 } else { 1 }),
            "killed at {moment}"
        );
        assert_eq!(site.kept(), kept, "killed at {moment}");

        // The next export publishes and rolls back as usual.
        site.begin_run(run);
        site.ok(&["export"]);
        assert_eq!(outsider.run(), Some(run), "after {moment}");
        outsider.expect_order(&moment);
        expect_on_record(
            &site,
            attempts,
            &moment,
            if is_after_the_swap(&moment) { "rolled_back" } else { "interrupted" },
        );
        site.ok(&["rollback"]);
        assert_eq!(outsider.run(), Some(run - 1), "rolled back after {moment}");
        site.ok(&["rollback", site.kept().last().unwrap()]);
        outsider.expect_order(&moment);
    }
}

#[test]
fn an_attempt_that_was_killed_stays_on_record_when_the_one_that_clears_up_is_killed_too() {
    let site = Site::runs();
    site.ok(&["export"]);
    let mut outsider = Outsider::of(&site);
    for moment in ["orders", "recover", "recover", "link", "recover", "sync_folder", "recover"] {
        Actor::start(&format!("full export until {moment}"), site.folder()).die();
        outsider.look();
    }
    site.ok(&["export", "--full"]);
    outsider.expect_order("the end");
    let outcomes: Vec<_> = site
        .history()
        .iter()
        .map(|record| record["outcome"].as_str().unwrap().to_owned())
        .collect();
    let (published, killed) = ("published".to_owned(), "interrupted".to_owned());
    let expected =
        [&published, &killed, &killed, &killed, &killed, &killed, &published, &killed, &published];
    assert_eq!(outcomes.iter().collect::<Vec<_>>(), expected);
}

/// Kills the command at random moments during or shortly after its run, sometimes several times
/// before it may finish: `MATERIA_TEST_KILLS` times, 16 by default.
fn kill_at_random(seed: u64, flags: &[&str]) {
    const MOST_IN_A_ROW: usize = 8;
    let kills = std::env::var("MATERIA_TEST_KILLS").ok().and_then(|kills| kills.parse().ok());
    let kills: usize = kills.unwrap_or(16);
    let mut random = fastrand::Rng::with_seed(seed);
    let site = Site::runs();
    let mut outsider = Outsider::of(&site);
    let args = [&["export", "--quiet"], flags].concat();
    let mut begun = Instant::now();
    site.ok(&args);
    outsider.look();
    let mut length = begun.elapsed();
    let (mut killed, mut run, mut swapped) = (0, 1, 0);
    while killed < kills {
        run += 1;
        site.begin_run(run);
        for _ in 0..random.usize(1..=MOST_IN_A_ROW) {
            let served = outsider.run().unwrap();
            let delay = length.mul_f64(random.f64() * 1.3);
            let moment = format!(
                "seed {seed} {flags:?}, kill {killed}, run {run}, after {delay:?} of {length:?}"
            );
            let mut exporter = site.command(&args).stderr(Stdio::null()).spawn().unwrap();
            // The random moment is the point of the test, so there is no condition to wait for.
            std::thread::sleep(delay);
            let _ = exporter.kill();
            killed += usize::from(exporter.wait().unwrap().signal() == Some(9));
            outsider.look();
            let now = outsider.run().unwrap_or_else(|| panic!("{moment}: nothing is served"));
            assert!(now == served || now == run, "{moment}: run {now} is served, {served} was");
            swapped += usize::from(now != served);
        }
        begun = Instant::now();
        let moment = format!("seed {seed} {flags:?}, after kill {killed}, run {run}");
        let ran = site.run(&args);
        assert_eq!(ran.code, 0, "{moment}: {ran:#?}");
        length = (length + begun.elapsed()) / 2;
        assert_eq!(outsider.run(), Some(run), "{moment}");
        outsider.expect_order(&moment);
        if random.bool() {
            let before =
                whole_run(&site.generation(&site.kept().into_iter().rev().nth(1).unwrap()));
            let ran = site.run(&["rollback", "--json"]);
            assert_eq!(ran.code, 0, "{moment}: {ran:#?}");
            assert_eq!(outsider.run(), Some(before), "{moment}");
        }
    }
    println!("{killed} kills with {flags:?}, {swapped} after the swap");
}

#[test]
fn an_export_killed_at_a_random_moment_leaves_the_served_file_whole() {
    kill_at_random(20_261_121, &["--snapshot", "none"]);
}

#[test]
fn an_export_from_a_copy_killed_at_a_random_moment_leaves_the_served_file_whole() {
    kill_at_random(11_212_026, &["--snapshot", "copy"]);
}

/// Starts an export and waits until it copies a view that takes minutes.
fn export_of(view: &str, words: &[&str]) -> (Site, Exporter) {
    let site = Site::small();
    site.ok(&["export"]);
    site.change(&format!("CREATE VIEW serving.slow AS {view}"));
    let mut exporter = Exporter::start(&site, &[]);
    exporter.until(words);
    (site, exporter)
}

/// Returns the CPU time of a process, in hundredths of a second as on Linux.
fn cpu_ticks(process: &Child) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.id())).unwrap();
    let fields: Vec<_> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[test]
fn an_interrupted_export_stops_at_once_and_cleans_up() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        // The announcement precedes the copy; only progress events prove that DuckDB is running it.
        let (site, exporter) = export_of(ENDLESS, &["table_progress", "slow"]);
        exporter.signal(signal);
        let (ran, _) = exporter.end(Duration::from_mins(1));
        assert_eq!(ran.code, code, "{ran:#?}");
        assert_eq!(
            site.names(),
            [
                "analytics.duckdb",
                "analytics.generations",
                "analytics.history.jsonl",
                "lakehouse.duckdb"
            ]
        );
        assert_eq!(site.history().last().unwrap()["outcome"], "interrupted");
        assert_eq!(site.kept().len(), 1);
        assert_eq!(site.number("SELECT count(*) FROM serving.numbers"), 1000);
        site.change("DROP VIEW serving.slow");
        site.ok(&["export"]);
    }
}

#[test]
fn a_second_ctrl_c_ends_an_export_that_cannot_stop() {
    // One call on one row: DuckDB checks for interrupts between chunks, and there is only one
    // chunk. It takes minutes.
    let view = "SELECT levenshtein(repeat('a', 400000 + id::INT), repeat('b', 400000)) AS n FROM lakehouse.serving.names WHERE id = 1";
    let (site, mut exporter) = export_of(view, &["table_begins", "slow"]);
    let (begun, worked) = (Instant::now(), cpu_ticks(&exporter.process));
    while cpu_ticks(&exporter.process) < worked + 30 {
        assert!(begun.elapsed() < Duration::from_mins(1), "the view is not being computed");
        std::thread::sleep(Duration::from_millis(10));
    }
    exporter.signal(Signal::INT);
    // The system merges two signals that arrive at the same time.
    std::thread::sleep(Duration::from_millis(300));
    let ended = exporter.process.try_wait().unwrap();
    assert!(
        ended.is_none(),
        "{ended:?}: the first Ctrl-C was enough, this test needs a view that is slower to stop"
    );
    exporter.signal(Signal::INT);
    assert_eq!(exporter.end(Duration::from_secs(30)).0.code, 130);
    assert_eq!(site.number("SELECT count(*) FROM serving.numbers"), 1000);
    site.change("DROP VIEW serving.slow");
    site.ok(&["export", "--full"]);
    assert_eq!(
        site.names(),
        [
            "analytics.duckdb",
            "analytics.generations",
            "analytics.history.jsonl",
            "lakehouse.duckdb"
        ]
    );
    let outcomes: Vec<_> = site.history().iter().map(|record| record["outcome"].clone()).collect();
    assert_eq!(outcomes, ["published", "interrupted", "published"]);
}
