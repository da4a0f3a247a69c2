//! An export killed at any step leaves the served file whole.
//!
//! A pipeline runs on a machine that may lose power, run out of memory or be restarted in the middle of everything. The story of each
//! test here is the same. A lakehouse is written by run 1, 2, 3, ..., and every row of every relation says which run it is from.
//! An exporter is killed with SIGKILL, which no process can prepare for: first at every step it announces, then at random moments.
//! Afterwards readers must find the old run or the new one, never a mixture and never nothing; the next export must succeed without
//! help, clear up, and put on record what happened; and what is kept must be what was once served.

use std::{
    os::unix::process::ExitStatusExt,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use materia::export::Step;
use rustix::process::Signal;
use serde_json::Value;

use crate::{
    child::{Actor, name_of},
    exporter::{ENDLESS, Exporter},
    outsider::Outsider,
    support::{Site, whole_run},
};

/// Every moment at which an export can be killed: its steps, and the beginning of each table's copy.
fn moments() -> Vec<String> {
    let mut moments: Vec<_> = Step::ALL.into_iter().map(name_of).collect();
    let stage = moments.iter().position(|moment| moment == "stage").unwrap();
    moments.splice(stage + 1..=stage, ["customers", "orders", "totals"].map(str::to_owned));
    moments
}

/// Whether the swap has happened when this step is announced.
fn is_after_the_swap(moment: &str) -> bool {
    ["sync_folder", "record", "prune"].contains(&moment)
}

/// Checks the killed attempt's line in the history, the last but one after the next attempt. An attempt that was killed while it
/// waited for its turn had not begun and has none.
fn expect_on_record(site: &Site, before: usize, moment: &str, outcome: &str) {
    let history = site.history();
    let killed = &history[before..history.len() - 1];
    if moment == "turn" {
        assert!(killed.is_empty(), "{moment}: {killed:#?}");
        return;
    }
    let outcomes: Vec<_> = killed.iter().map(|record| record["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, [outcome], "{moment}: {killed:#?}");
    assert_eq!(killed[0]["generation"] == Value::Null, outcome == "interrupted", "{moment}: {killed:#?}");
    // An attempt that was killed after it had written its line itself has nothing to explain.
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
        assert_eq!(outsider.run(), Some(if is_after_the_swap(&moment) { run } else { served }), "killed at {moment}");

        site.ok(&["export"]);
        assert_eq!(outsider.run(), Some(run), "after {moment}");
        outsider.expect_order(&moment);
        expect_on_record(&site, attempts, &moment, if is_after_the_swap(&moment) { "published" } else { "interrupted" });

        let before = site.kept().into_iter().rev().nth(1).unwrap();
        site.ok(&["rollback"]);
        assert_eq!(outsider.run(), Some(whole_run(&site.generation(&before))), "rolled back after {moment}");
        outsider.expect_order(&moment);
    }
}

#[test]
fn an_export_of_what_changed_killed_at_any_step_leaves_the_served_file_whole() {
    let site = Site::runs();
    // The same in every run, and most of what there is: the exporter takes it over.
    let begin = |run: i64| {
        site.begin_run(run);
        site.change("CREATE TABLE serving.fixed AS SELECT i AS id, md5(i::VARCHAR) AS s FROM range(50000) t(i)");
    };
    begin(1);
    site.ok(&["export"]);
    let mut outsider = Outsider::of(&site);
    for (run, moment) in (2..).zip(moments()) {
        begin(run);
        let attempts = site.history().len();
        Actor::start(&format!("export until {moment}"), site.folder()).die();
        outsider.look();
        assert_eq!(outsider.run(), Some(if is_after_the_swap(&moment) { run } else { run - 1 }), "killed at {moment}");
        site.ok(&["export"]);
        assert_eq!(outsider.run(), Some(run), "after {moment}");
        assert_eq!(site.number("SELECT count(DISTINCT s) FROM serving.fixed"), 50_000, "after {moment}");
        outsider.expect_order(&moment);
        expect_on_record(&site, attempts, &moment, if is_after_the_swap(&moment) { "published" } else { "interrupted" });
        let last = site.history().pop().unwrap();
        if last["outcome"] == "published" {
            assert_eq!(last["tables"].as_array().unwrap().iter().filter(|table| table["reused"] == true).count(), 1, "{moment}: {last:#}");
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
        expect_on_record(&site, 0, &moment, if is_after_the_swap(&moment) { "published" } else { "interrupted" });
        assert_eq!(site.kept().len(), if is_after_the_swap(&moment) { 2 } else { 1 }, "after {moment}");
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
    for (run, step) in (4..).zip([Step::Turn, Step::Recover, Step::Link, Step::Rename, Step::SyncFolder, Step::Record]) {
        let moment = name_of(step);
        let (kept, attempts) = (site.kept(), site.history().len());
        Actor::start(&format!("rollback until {moment}"), site.folder()).die();
        outsider.look();
        assert_eq!(outsider.run(), Some(run - if is_after_the_swap(&moment) { 2 } else { 1 }), "killed at {moment}");
        assert_eq!(site.kept(), kept, "killed at {moment}");

        // The next export publishes and rolls back as if nothing had been.
        site.begin_run(run);
        site.ok(&["export"]);
        assert_eq!(outsider.run(), Some(run), "after {moment}");
        outsider.expect_order(&moment);
        expect_on_record(&site, attempts, &moment, if is_after_the_swap(&moment) { "rolled_back" } else { "interrupted" });
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
    let outcomes: Vec<_> = site.history().iter().map(|record| record["outcome"].as_str().unwrap().to_owned()).collect();
    let (published, killed) = ("published".to_owned(), "interrupted".to_owned());
    let expected = [&published, &killed, &killed, &killed, &killed, &killed, &published, &killed, &published];
    assert_eq!(outcomes.iter().collect::<Vec<_>>(), expected);
}

/// Kills the command at `kills` random moments of its life and somewhat beyond, sometimes several times before it may finish.
fn kill_at_random(kills: usize, seed: u64, flags: &[&str]) {
    const MOST_IN_A_ROW: usize = 8;
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
            let moment = format!("seed {seed} {flags:?}, kill {killed}, run {run}, after {delay:?} of {length:?}");
            let mut exporter = site.command(&args).stderr(Stdio::null()).spawn().unwrap();
            // The moment is what the test is about: nothing is waited for.
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
            let before = whole_run(&site.generation(&site.kept().into_iter().rev().nth(1).unwrap()));
            let ran = site.run(&["rollback", "--json"]);
            assert_eq!(ran.code, 0, "{moment}: {ran:#?}");
            assert_eq!(outsider.run(), Some(before), "{moment}");
        }
    }
    println!("{killed} kills with {flags:?}, {swapped} after the swap");
}

#[test]
fn an_export_killed_at_a_random_moment_leaves_the_served_file_whole() {
    kill_at_random(90, 20_261_121, &["--snapshot", "none"]);
}

#[test]
fn an_export_from_a_copy_killed_at_a_random_moment_leaves_the_served_file_whole() {
    kill_at_random(90, 11_212_026, &["--snapshot", "copy"]);
}

/// An export that has come to a view which takes minutes.
fn export_of(view: &str, words: &[&str]) -> (Site, Exporter) {
    let site = Site::small();
    site.ok(&["export"]);
    site.change(&format!("CREATE VIEW serving.slow AS {view}"));
    let mut exporter = Exporter::start(&site, &[]);
    exporter.until(words);
    (site, exporter)
}

/// Time that a process has worked, in hundredths of a second as Linux counts.
fn cpu_ticks(process: &Child) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.id())).unwrap();
    let fields: Vec<_> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[test]
fn an_export_that_is_asked_to_stop_stops_at_once_and_clears_up() {
    for (asked, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        // The announcement comes before the copy itself; only what is said while DuckDB works proves that it does.
        let (site, exporter) = export_of(ENDLESS, &["table_progress", "slow"]);
        exporter.signal(asked);
        let (ran, _) = exporter.end(Duration::from_secs(2));
        assert_eq!(ran.code, code, "{ran:#?}");
        assert_eq!(site.names(), ["analytics.duckdb", "analytics.generations", "analytics.history.jsonl", "lakehouse.duckdb"]);
        assert_eq!(site.history().last().unwrap()["outcome"], "interrupted");
        assert_eq!(site.kept().len(), 1);
        assert_eq!(site.number("SELECT count(*) FROM serving.numbers"), 1000);
        site.change("DROP VIEW serving.slow");
        site.ok(&["export"]);
    }
}

#[test]
fn a_second_ctrl_c_ends_an_export_that_cannot_stop() {
    // One call on one row: DuckDB looks for an interrupt between chunks, and there is only one.
    let view = "SELECT levenshtein(repeat('a', 90000 + id::INT), repeat('b', 90000)) AS n FROM lakehouse.serving.names WHERE id = 1";
    let (site, mut exporter) = export_of(view, &["table_begins", "slow"]);
    let (begun, worked) = (Instant::now(), cpu_ticks(&exporter.process));
    while cpu_ticks(&exporter.process) < worked + 30 {
        assert!(begun.elapsed() < Duration::from_secs(20), "the view is not being computed");
        std::thread::sleep(Duration::from_millis(10));
    }
    exporter.signal(Signal::INT);
    // Two signals that come together are one to the system.
    std::thread::sleep(Duration::from_millis(300));
    let ended = exporter.process.try_wait().unwrap();
    assert!(ended.is_none(), "{ended:?}: the first Ctrl-C was enough, this test needs a view that is slower to stop");
    exporter.signal(Signal::INT);
    assert_eq!(exporter.end(Duration::from_secs(1)).0.code, 130);
    assert_eq!(site.number("SELECT count(*) FROM serving.numbers"), 1000);
    site.change("DROP VIEW serving.slow");
    site.ok(&["export", "--full"]);
    assert_eq!(site.names(), ["analytics.duckdb", "analytics.generations", "analytics.history.jsonl", "lakehouse.duckdb"]);
    let outcomes: Vec<_> = site.history().iter().map(|record| record["outcome"].clone()).collect();
    assert_eq!(outcomes, ["published", "interrupted", "published"]);
}
