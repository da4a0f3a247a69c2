//! Concurrent exporters, readers and writers on one lakehouse and one served file.

use std::{fs, time::Duration};

use duckdb::Connection;
use serde_json::Value;

use crate::{
    child::Actor,
    exporter::{ENDLESS, Exporter},
    invariants::Outsider,
    support::{Site, names, number, whole_run},
};

const TIDY: [&str; 4] =
    ["analytics.duckdb", "analytics.generations", "analytics.history.jsonl", "lakehouse.duckdb"];

/// Maximum duration of an export of a small lakehouse on a busy machine.
const EXPORT_TIMEOUT: Duration = Duration::from_mins(1);

/// Adds a view to the lakehouse whose export never finishes.
fn make_endless(site: &Site) {
    site.change(&format!("CREATE VIEW serving.slow AS {ENDLESS}"));
}

fn ids(records: &[Value]) -> Vec<String> {
    records.iter().map(|record| record["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn eight_exports_at_once_publish_eight_generations_one_after_the_other() {
    let site = Site::runs();
    let exporters: Vec<_> = (0..8).map(|_| Exporter::start(&site, &["--keep", "8"])).collect();
    let mut published = Vec::new();
    for exporter in exporters {
        let (ran, record) = exporter.end(EXPORT_TIMEOUT);
        assert_eq!(ran.code, 0, "{ran:#?}");
        assert_eq!(record["generation"], record["id"]);
        published.push(record);
    }
    let mut published = ids(&published);
    published.sort();
    published.dedup();
    assert_eq!(published.len(), 8);
    assert_eq!(ids(&site.history()), published, "the history tells them in the order of their ids");
    assert_eq!(site.kept(), published);
    assert_eq!(whole_run(&site.served()), 1);
    assert_eq!(site.names(), TIDY);
}

#[test]
fn an_export_that_waits_too_long_for_another_gives_up_and_names_it() {
    let site = Site::runs();
    site.ok(&["export"]);
    // If the clock is behind, ids are incremented instead of derived from it: the two attempts must
    // not have the same id.
    site.plant_generation("29991231T235959000Z");
    make_endless(&site);
    let mut first = Exporter::start(&site, &[]);
    first.until(&["table_progress", "slow"]);
    let second = Exporter::start(&site, &["--wait", "500ms"]).end(EXPORT_TIMEOUT).0;
    assert_eq!(second.code, 4, "{second:#?}");
    assert!(second.stderr.contains(&format!("(pid {}", first.process.id())), "{second:#?}");
    assert!(second.stderr.contains("another export to "), "{second:#?}");
    let status: Value = serde_json::from_str(&site.run(&["status", "--json"]).stdout).unwrap();
    assert_eq!(status["running"]["pid"], first.process.id());
    assert_eq!(status["running"]["table"], "slow");
    first.stop();
    let history = site.history();
    let outcomes: Vec<_> =
        history.iter().map(|record| record["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["published", "failed", "interrupted"]);
    let mut ids = ids(&history);
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 3, "two attempts have one id: {history:#?}");
    assert_eq!(site.names(), TIDY);
}

#[test]
fn a_dead_exporters_lock_is_released_at_once() {
    let site = Site::runs();
    Actor::start("export until audit", site.folder()).die();
    assert!(
        site.path("_export.lock").exists() && site.path("_export.work/_export.duckdb").exists()
    );
    let status: Value = serde_json::from_str(&site.run(&["status", "--json"]).stdout).unwrap();
    assert_eq!(status["running"], Value::Null, "nobody is at work");
    site.ok(&["export", "--wait", "0s"]);
    assert_eq!(site.names(), TIDY);
}

#[test]
fn what_a_killed_export_left_is_cleared_by_an_export_of_another_file_from_another_folder() {
    for step in ["orders", "rename"] {
        let site = Site::runs();
        site.ok(&["export"]);
        let kept = site.kept();
        Actor::start(&format!("full export until {step}"), site.folder()).die();
        let elsewhere = Site::empty();
        let (lakehouse, other) = (site.lakehouse(), site.path("other.duckdb"));
        elsewhere.ok(&[
            "export",
            "--lakehouse",
            lakehouse.to_str().unwrap(),
            "--to",
            other.to_str().unwrap(),
        ]);
        assert_eq!(elsewhere.names(), [""; 0]);
        assert_eq!(
            site.kept(),
            kept,
            "killed at {step}: a generation is kept that was never served"
        );
        assert_eq!(site.history().len(), 2);
        assert_eq!(site.history()[1]["outcome"], "interrupted");
        let mut expected =
            [&TIDY[..], &["other.duckdb", "other.generations", "other.history.jsonl"]].concat();
        expected.sort_unstable();
        assert_eq!(site.names(), expected);
    }
}

#[test]
fn a_killed_export_is_on_record_where_it_worked_whatever_folder_it_was_called_from() {
    let site = Site::runs();
    make_endless(&site);
    // Called with a relative path: the announcement must not lead the next exporter to its own
    // current folder.
    let mut killed = Exporter::start(&site, &["--to", "analytics.duckdb"]);
    killed.until(&["table_progress", "slow"]);
    killed.process.kill().unwrap();
    killed.process.wait().unwrap();
    site.begin_run(1);
    let elsewhere = Site::empty();
    fs::write(elsewhere.path("_export.duckdb"), "somebody else's").unwrap();
    let (lakehouse, served) = (site.lakehouse(), site.served());
    elsewhere.ok(&[
        "export",
        "--lakehouse",
        lakehouse.to_str().unwrap(),
        "--to",
        served.to_str().unwrap(),
    ]);
    assert_eq!(elsewhere.names(), ["_export.duckdb"]);
    let outcomes: Vec<_> = site
        .history()
        .iter()
        .map(|record| record["outcome"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(outcomes, ["interrupted", "published"]);
    assert_eq!(site.names(), TIDY);
}

#[test]
fn a_reader_never_sees_half_an_export() {
    const EXPORTS: i64 = 30;
    let site = Site::runs();
    site.ok(&["export"]);
    let mut outsider = Outsider::of(&site);
    let reader = Actor::start("reader", &site.served());
    for run in 2..=EXPORTS {
        site.begin_run(run);
        site.ok(&["export"]);
        outsider.look();
    }
    let queries = reader.count_queries();
    assert!(queries >= EXPORTS.unsigned_abs(), "{queries} queries are too few to prove anything");
    assert_eq!(outsider.run(), Some(EXPORTS));
    outsider.expect_order("the end");
}

/// Returns whether a pipeline could write the lakehouse now.
fn can_write(site: &Site) -> Result<(), duckdb::Error> {
    Connection::open(site.lakehouse())?
        .execute_batch("INSERT INTO serving.orders VALUES (-1, -1, 1)")
}

#[test]
fn a_pipeline_may_write_while_an_export_from_a_copy_still_stages() {
    if !crate::support::is_on_duckdb_2("tells no progress of what this waits for") {
        return;
    }
    let site = Site::runs();
    make_endless(&site);
    let mut exporter = Exporter::start(&site, &["--snapshot", "copy"]);
    exporter.until(&["table_progress", "slow"]);
    can_write(&site).unwrap();
    exporter.stop();
    assert_eq!(site.history()[0]["snapshot"], "copy");
}

#[test]
fn a_pipeline_is_kept_out_while_an_export_reads_in_place_and_let_in_when_it_ends() {
    if !crate::support::is_on_duckdb_2("tells no progress of what this waits for") {
        return;
    }
    let site = Site::runs();
    make_endless(&site);
    let mut exporter = Exporter::start(&site, &["--snapshot", "none"]);
    exporter.until(&["table_progress", "slow"]);
    let refused = can_write(&site).unwrap_err().to_string();
    assert!(refused.contains("Could not set lock"), "{refused}");
    exporter.stop();
    can_write(&site).unwrap();
}

#[test]
fn an_export_begins_as_soon_as_the_writer_it_waits_for_ends() {
    let site = Site::runs();
    let writer = Actor::start("writer", &site.lakehouse());
    let mut exporter = Exporter::start(&site, &["--wait", "60s"]);
    let text = exporter.until(&["waiting", "lakehouse.duckdb"]);
    assert!(text.contains(&format!("\"pid\":{}", writer.process.id())), "{text}");
    writer.end();
    let (ran, record) = exporter.end(EXPORT_TIMEOUT);
    assert_eq!(ran.code, 0, "{ran:#?}");
    assert!(record["total_ms"].as_u64().unwrap() < 10_000, "{record:#}");
}

#[test]
fn what_a_dead_writer_had_committed_is_exported_and_the_rest_is_not() {
    for how in ["auto", "none", "copy", "reflink"] {
        let site = Site::small();
        // The writer is killed on drop: its log remains, with a committed and an uncommitted
        // transaction.
        drop(Actor::start("dying writer", &site.lakehouse()));
        let files = ["lakehouse.duckdb", "lakehouse.duckdb.wal"];
        let left = files.map(|name| fs::read(site.path(name)).unwrap());
        let ran = site.run(&["export", "--snapshot", how]);
        if how == "reflink" && ran.stderr.contains("cannot share blocks") {
            println!("skipped: this filesystem cannot share blocks");
            continue;
        }
        assert_eq!(ran.code, 0, "{how}: {ran:#?}");
        assert_eq!(site.number("SELECT count(*) FROM serving.numbers"), 1001, "{how}");
        assert_eq!(site.number("SELECT max(id) FROM serving.numbers"), 5000, "{how}");
        assert_eq!(
            files.map(|name| fs::read(site.path(name)).unwrap()),
            left,
            "{how}: the lakehouse was changed"
        );
        assert_eq!(number(&site.lakehouse(), "SELECT count(*) FROM serving.numbers"), 1001);
        assert_eq!(names(site.folder()).len(), TIDY.len() + 1);
    }
}
