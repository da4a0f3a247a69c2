//! Pages about exports and traffic, from fixed values.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::{path::PathBuf, time::Duration};

use jiff::SignedDuration;
use materia::{
    plan::Plan,
    settings::Severity,
    store::GenerationId,
    store::{
        AttemptOutcome, AttemptRecord, Audit, AuditReport, CellRevision, ColumnManifest,
        ColumnRevision, ExportStep, Manifest, RelationKind, RetainedGeneration, Revision,
        RunningExport, Shift, TableManifest,
    },
};

use super::{
    exports::{ExportsPage, GenerationPage},
    rollback::RollbackPage,
    traffic::TrafficPage,
};
use crate::{
    accounts::AccountStats,
    page::View,
    request_metrics::Minute,
    tests::{assert_page, html::assert_valid},
};

fn id(hour: u8) -> GenerationId {
    GenerationId::parse(&format!("20261121T{hour:02}0000000Z")).unwrap()
}

fn audit(name: &str, severity: Severity, passed: bool, found: &str) -> Audit {
    Audit {
        name: name.to_owned(),
        table: Some("orders".to_owned()),
        severity,
        passed,
        found: found.to_owned(),
    }
}

fn generation(hour: u8, served: bool, pinned: bool) -> RetainedGeneration {
    let column = |name: &str| ColumnManifest {
        name: name.to_owned(),
        data_type: "BIGINT".to_owned(),
        nullable: true,
        comment: None,
    };
    let manifest = Manifest {
        id: id(hour),
        exported_at: id(hour).time().unwrap(),
        lakehouse: None,
        publisher: None,
        schema: "serving".to_owned(),
        sources: Vec::new(),
        time_zone: None,
        storage_version: None,
        bytes: 3_420_160,
        tables: vec![TableManifest {
            name: "orders".to_owned(),
            kind: RelationKind::Table,
            rows: 1_500_000,
            comment: Some("One row for each <order>".to_owned()),
            columns: vec![column("id"), column("value")],
            fingerprint: None,
            content: None,
            row_groups: Vec::new(),
            stored_row_groups: Vec::new(),
            values: None,
        }],
        audits: AuditReport {
            audits: vec![
                audit("rows", Severity::Error, true, "has 1,500,000 rows"),
                audit("fresh", Severity::Warn, false, "is 12 days old, at most 10 days allowed"),
            ],
            ..AuditReport::default()
        },
        revisions: Vec::new(),
        forced: hour == 8,
        materia: "0.1.0".to_owned(),
        basis: None,
    };
    RetainedGeneration { id: id(hour), manifest: Some(manifest), served, pinned }
}

fn attempt(hour: u8, outcome: AttemptOutcome) -> AttemptRecord {
    let began = id(hour).time().unwrap();
    let mut record = AttemptRecord::begin(id(hour), began);
    record.ended_at = began + SignedDuration::from_secs(7);
    record.total_ms = 7_000;
    record.audits_passed = 9;
    if outcome == AttemptOutcome::Refused {
        record.error = Some("refused: orders has 0 rows".to_owned());
        record.audits_failed =
            vec![audit("max_drop", Severity::Error, false, "0 rows, 1,500,000 before")];
    }
    record.outcome = outcome;
    record
}

fn assert_view(name: &str, view: &impl View) {
    let body = view.render().into_string();
    assert_valid(
        name,
        &format!(
            "<!DOCTYPE html><html lang=\"en\"><head><title>t</title></head><body><main><h1>t</h1>{body}</main></body></html>"
        ),
    );
    assert_page(name, &body);
}

#[test]
fn an_operator_sees_kept_generations_attempts_and_running_exports() {
    let running = RunningExport {
        pid: 4711,
        id: id(10),
        generation: id(10),
        target: PathBuf::from("analytics.duckdb"),
        lake: None,
        started_at: id(10).time().unwrap(),
        step: ExportStep::Stage,
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
        attempts: vec![attempt(9, AttemptOutcome::Published), attempt(8, AttemptOutcome::Refused)],
        read_only: None,
    };
    assert_view("admin_exports", &page);
}

#[test]
fn an_operator_sees_what_a_generation_holds_and_what_was_checked() {
    assert_view(
        "admin_generation",
        &GenerationPage { generation: generation(8, false, false), read_only: None },
    );
    assert_view(
        "admin_generation_served",
        &GenerationPage { generation: generation(9, true, false), read_only: None },
    );
    let mut gone = generation(6, false, false);
    gone.manifest = None;
    assert_view(
        "admin_generation_without_manifest",
        &GenerationPage { generation: gone, read_only: None },
    );
}

#[test]
fn an_operator_sees_what_an_export_changed_in_values_that_were_served() {
    let cell = CellRevision {
        key: "World <2023>".to_owned(),
        column: "production".to_owned(),
        before: "172.8".to_owned(),
        now: "171.4".to_owned(),
    };
    let column = ColumnRevision {
        name: "production".to_owned(),
        cells: 64,
        revised: 63,
        ratio: Some(0.992),
    };
    let shift = Shift {
        column: "market_year".to_owned(),
        by: "one year back".to_owned(),
        agreement: 0.98,
        unshifted: 0.02,
    };
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
    let mut published = attempt(9, AttemptOutcome::Published);
    published.revisions = vec![revision.clone()];
    let mut generation = generation(9, true, false);
    if let Some(manifest) = &mut generation.manifest {
        manifest.revisions = vec![revision];
    }
    let body = GenerationPage { generation, read_only: None }.render().into_string();
    for text in [
        "64 of 64 rows revised, 1 row added; agrees best when market_year is shifted one year back (98 % of values equal, 2 % unshifted)",
        "production: 63 of 64 values revised, median ratio 0.992",
        "production World &lt;2023&gt;: 172.8 -&gt; 171.4",
    ] {
        assert!(body.contains(text), "{text} is not in {body}");
    }
    let page = ExportsPage {
        served: String::new(),
        problem: None,
        older: None,
        running: None,
        generations: Vec::new(),
        attempts: vec![published],
        read_only: None,
    };
    let body = page.render().into_string();
    assert!(
        body.contains("balance: 64 of 64 rows revised") && body.contains("172.8 -&gt; 171.4"),
        "{body}"
    );
}

#[test]
fn a_rollback_is_confirmed_and_its_failure_is_explained() {
    assert_view(
        "admin_rollback",
        &RollbackPage { generation: generation(8, false, false), refused: None, read_only: false },
    );
    let refused = Some("another export is running (process 4711)".to_owned());
    assert_view(
        "admin_rollback_refused",
        &RollbackPage { generation: generation(8, false, false), refused, read_only: false },
    );
    assert_view(
        "admin_rollback_served",
        &RollbackPage { generation: generation(9, true, false), refused: None, read_only: false },
    );
}

#[test]
fn a_site_that_may_only_read_offers_no_rollback_and_says_why() {
    let why = || Some("the PostgreSQL role reader may not write the catalog".to_owned());
    let exports = ExportsPage {
        served: "ducklake:postgres:dbname=lake".to_owned(),
        problem: None,
        older: None,
        running: None,
        generations: vec![generation(9, true, false), generation(8, false, false)],
        attempts: Vec::new(),
        read_only: why(),
    };
    let older = GenerationPage { generation: generation(8, false, false), read_only: why() };
    let requested =
        RollbackPage { generation: generation(8, false, false), refused: why(), read_only: true };
    let views: [&dyn View; 3] = [&exports, &older, &requested];
    for body in views.map(|view| view.render().into_string()) {
        assert!(body.contains("the PostgreSQL role reader may not write the catalog"), "{body}");
        assert!(!body.contains("<form") && !body.contains("/rollback\""), "{body}");
    }
}

#[test]
fn an_operator_sees_the_traffic() {
    let minute = |number, requests, failures| Minute {
        number,
        requests,
        failures,
        took: Duration::from_millis(3 * requests),
        slowest: Duration::from_millis(41),
    };
    let figures = AccountStats {
        accounts: 12,
        plans: vec![(Plan::Free, 7), (Plan::Starter, 4), (Plan::Pro, 1)],
        suspended: 1,
        sessions: 9,
        signed_in_today: 3,
        mails_today: 5,
        mails_failed_today: 1,
    };
    let (uptime, minutes) =
        (Duration::from_mins(90), vec![minute(90, 12, 0), minute(89, 4_812, 3)]);
    assert_view(
        "admin_traffic",
        &TrafficPage { uptime, in_flight: 2, listeners: 5, minutes, figures: figures.clone() },
    );
    assert_view(
        "admin_traffic_none",
        &TrafficPage {
            uptime: Duration::ZERO,
            in_flight: 1,
            listeners: 0,
            minutes: Vec::new(),
            figures,
        },
    );
}
