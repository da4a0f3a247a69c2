//! The pages about exports and traffic, from fixed values.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::{path::PathBuf, time::Duration};

use jiff::SignedDuration;
use materia::{
    export::{
        Audit, CellRevision, Column, ColumnRevision, Generation, Kind, Manifest, Outcome, Record, Revision, Running, Shift, Step,
        TableManifest, Verdict,
    },
    plan::Plan,
    settings::Severity,
    target::GenerationId,
};

use super::{
    exports::{ExportsPage, GenerationPage},
    rollback::RollbackPage,
    traffic::Traffic,
};
use crate::web::{
    accounts::Figures,
    page::View,
    tests::{assert_page, html::assert_valid},
    traffic::Minute,
};

fn id(hour: u8) -> GenerationId {
    GenerationId::parse(&format!("20261121T{hour:02}0000000Z")).unwrap()
}

fn audit(name: &str, severity: Severity, passed: bool, found: &str) -> Audit {
    Audit { name: name.to_owned(), table: Some("orders".to_owned()), severity, passed, found: found.to_owned() }
}

fn generation(hour: u8, served: bool, pinned: bool) -> Generation {
    let column = |name: &str| Column { name: name.to_owned(), data_type: "BIGINT".to_owned(), nullable: true, comment: None };
    let manifest = Manifest {
        id: id(hour),
        exported_at: id(hour).time().unwrap(),
        lakehouse: None,
        schema: "serving".to_owned(),
        sources: Vec::new(),
        time_zone: None,
        storage_version: None,
        bytes: 3_420_160,
        tables: vec![TableManifest {
            name: "orders".to_owned(),
            kind: Kind::Table,
            rows: 1_500_000,
            comment: Some("One row for each <order>".to_owned()),
            columns: vec![column("id"), column("value")],
            fingerprint: None,
            content: None,
        }],
        audits: Verdict {
            audits: vec![
                audit("rows", Severity::Error, true, "has 1,500,000 rows"),
                audit("fresh", Severity::Warn, false, "is 12 days old, at most 10 days allowed"),
            ],
            ..Verdict::default()
        },
        revisions: Vec::new(),
        forced: hour == 8,
        materia: "0.1.0".to_owned(),
        basis: None,
    };
    Generation { id: id(hour), manifest: Some(manifest), served, pinned }
}

fn attempt(hour: u8, outcome: Outcome) -> Record {
    let began = id(hour).time().unwrap();
    let mut record = Record::begin(id(hour), began);
    record.ended_at = began + SignedDuration::from_secs(7);
    record.total_ms = 7_000;
    record.audits_passed = 9;
    if outcome == Outcome::Refused {
        record.error = Some("refused: orders has 0 rows".to_owned());
        record.audits_failed = vec![audit("max_drop", Severity::Error, false, "0 rows, 1,500,000 before")];
    }
    record.outcome = outcome;
    record
}

fn assert_view(name: &str, view: &impl View) {
    let body = view.body().into_string();
    assert_valid(
        name,
        &format!("<!DOCTYPE html><html lang=\"en\"><head><title>t</title></head><body><main><h1>t</h1>{body}</main></body></html>"),
    );
    assert_page(name, &body);
}

#[test]
fn an_operator_sees_what_is_kept_what_was_tried_and_what_runs_now() {
    let running = Running {
        pid: 4711,
        id: id(10),
        generation: id(10),
        target: PathBuf::from("analytics.duckdb"),
        started_at: id(10).time().unwrap(),
        step: Step::Stage,
        table: Some("orders".to_owned()),
        percent: Some(43.0),
        waiting_for: None,
        in_place: false,
    };
    let mut gone = generation(6, false, false);
    gone.manifest = None;
    let page = ExportsPage {
        served: "analytics.duckdb".to_owned(),
        problem: Some("analytics.duckdb is no DuckDB file".to_owned()),
        older: None,
        running: Some(running),
        generations: vec![generation(9, true, false), generation(8, false, true), gone],
        attempts: vec![attempt(9, Outcome::Published), attempt(8, Outcome::Refused)],
    };
    assert_view("admin_exports", &page);
}

#[test]
fn an_operator_sees_what_a_generation_holds_and_what_was_checked() {
    assert_view("admin_generation", &GenerationPage { generation: generation(8, false, false) });
    assert_view("admin_generation_served", &GenerationPage { generation: generation(9, true, false) });
    let mut gone = generation(6, false, false);
    gone.manifest = None;
    assert_view("admin_generation_without_manifest", &GenerationPage { generation: gone });
}

#[test]
fn an_operator_sees_what_an_export_changed_in_values_that_were_served() {
    let cell = CellRevision {
        key: "World <2023>".to_owned(),
        column: "production".to_owned(),
        before: "172.8".to_owned(),
        now: "171.4".to_owned(),
    };
    let column = ColumnRevision { name: "production".to_owned(), cells: 64, revised: 63, ratio: Some(0.992) };
    let shift = Shift { column: "market_year".to_owned(), by: "one year back".to_owned(), agreement: 0.98, unshifted: 0.02 };
    let revision = Revision {
        table: "balance".to_owned(),
        key: vec!["market_year".to_owned()],
        common: 64,
        revised: 64,
        added: 1,
        columns: vec![column],
        shift: Some(shift),
        largest: vec![cell],
        ..Revision::default()
    };
    let mut published = attempt(9, Outcome::Published);
    published.revisions = vec![revision.clone()];
    let mut generation = generation(9, true, false);
    if let Some(manifest) = &mut generation.manifest {
        manifest.revisions = vec![revision];
    }
    let body = GenerationPage { generation }.body().into_string();
    for said in [
        "64 of 64 rows revised, 1 row added; agrees best when market_year is shifted one year back (98 % of values equal, 2 % unshifted)",
        "production: 63 of 64 values revised, median ratio 0.992",
        "production World &lt;2023&gt;: 172.8 -&gt; 171.4",
    ] {
        assert!(body.contains(said), "{said} is not in {body}");
    }
    let page = ExportsPage {
        served: String::new(),
        problem: None,
        older: None,
        running: None,
        generations: Vec::new(),
        attempts: vec![published],
    };
    let body = page.body().into_string();
    assert!(body.contains("balance: 64 of 64 rows revised") && body.contains("172.8 -&gt; 171.4"), "{body}");
}

#[test]
fn bringing_a_generation_back_is_asked_once_more_and_says_why_it_failed() {
    assert_view("admin_rollback", &RollbackPage { generation: generation(8, false, false), refused: None });
    let refused = Some("another export is at work (process 4711)".to_owned());
    assert_view("admin_rollback_refused", &RollbackPage { generation: generation(8, false, false), refused });
    assert_view("admin_rollback_served", &RollbackPage { generation: generation(9, true, false), refused: None });
}

#[test]
fn an_operator_sees_what_is_asked_of_the_server() {
    let minute = |number, requests, failures| Minute {
        number,
        requests,
        failures,
        took: Duration::from_millis(3 * requests),
        slowest: Duration::from_millis(41),
    };
    let figures = Figures {
        accounts: 12,
        plans: vec![(Plan::Free, 7), (Plan::Starter, 4), (Plan::Pro, 1)],
        suspended: 1,
        sessions: 9,
        signed_in_today: 3,
        letters_today: 5,
        letters_failed_today: 1,
    };
    let (uptime, minutes) = (Duration::from_mins(90), vec![minute(90, 12, 0), minute(89, 4_812, 3)]);
    assert_view("admin_traffic", &Traffic { uptime, in_flight: 2, listeners: 5, minutes, figures: figures.clone() });
    assert_view("admin_traffic_none", &Traffic { uptime: Duration::ZERO, in_flight: 1, listeners: 0, minutes: Vec::new(), figures });
}
