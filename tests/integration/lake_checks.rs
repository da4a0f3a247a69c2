//! What an export to a lake checks on the lake's own snapshot before readers follow it.

use std::{
    fs, io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use materia::{
    export::{self, AttemptResult, ExportError, ExportJob, NoProgress},
    store::{AttemptOutcome, Audit, Candidate, Check, Severity},
};

use crate::{
    lake_targets::{Place, on_every_lake, texts},
    reader::{ask, int},
};

on_every_lake!(
    while_a_snapshot_is_checked_no_reader_follows_it_and_no_condition_is_reported,
    what_fails_on_the_lakes_own_snapshot_is_not_published_and_the_former_tables_come_back,
    a_first_generation_that_fails_in_the_lake_is_served_by_no_reader,
    an_export_that_ends_during_its_check_leaves_nothing_behind_after_the_next_one,
    of_two_exports_that_check_at_the_same_time_one_is_published,
    a_dashboard_that_the_lakes_data_breaks_is_refused_although_the_audited_file_passes,
);

type Action = dyn Fn(&Candidate<'_>) -> bool + Send + Sync;

/// Passes on the local file; on the lake's snapshot, it runs the action and passes if that returns
/// `true`.
struct LakeCheck(Box<Action>);

impl std::fmt::Debug for LakeCheck {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LakeCheck")
    }
}

impl Check for LakeCheck {
    fn name(&self) -> &'static str {
        "probe"
    }

    fn digest(&self) -> String {
        String::new()
    }

    fn run(&self, candidate: &Candidate<'_>) -> io::Result<Vec<Audit>> {
        let passed = !candidate.store.is_lake() || (self.0)(candidate);
        Ok(vec![Audit {
            name: self.name().to_owned(),
            table: None,
            severity: Severity::Error,
            passed,
            found: "fails where the test says so".to_owned(),
        }])
    }
}

fn export_with(
    place: &Place,
    action: impl Fn(&Candidate<'_>) -> bool + Send + Sync + 'static,
) -> AttemptResult {
    let mut job = ExportJob::new(&place.settings()).unwrap();
    job.checks.push(Arc::new(LakeCheck(Box::new(action))));
    export::export(&job, &mut NoProgress)
}

/// The rows that a client of DuckLake without materia sees.
fn rows_outside(place: &Place) -> String {
    texts(&place.outsider(), "SELECT count(*)::VARCHAR FROM served.serving.numbers").remove(0)
}

fn rows(place: &Place) -> i64 {
    int(&ask(&place.reader().pin().unwrap(), "SELECT count(*) FROM numbers").unwrap())
}

fn while_a_snapshot_is_checked_no_reader_follows_it_and_no_condition_is_reported(
    place: &mut Place,
) {
    place.ok(&["export"]);
    place.site.change("INSERT INTO serving.numbers VALUES (1000, 0)");
    let (served, reader) = (place.served(), place.reader());
    let was_checked = Arc::new(AtomicBool::new(false));
    let (checked, own) = (was_checked.clone(), place.other_host());
    let before = served.clone();
    let finished = export_with(place, move |candidate| {
        assert_eq!(own.served(), before);
        assert_eq!(rows(&own), 1000);
        // It sees what is about to be published.
        let new = materia::reader::Reader::open(
            candidate.store,
            candidate.schema,
            materia::reader::ReaderConfig::one_shot(),
        );
        let count = ask(&new.unwrap().pin().unwrap(), "SELECT count(*) FROM numbers").unwrap();
        assert_eq!(int(&count), 1001);
        let alert = own.lines(&["alert", "--json"]).remove(0);
        let findings = alert["findings"].as_array().unwrap();
        assert!(findings.iter().all(|finding| finding["condition"] != "lake_changed"), "{alert:#}");
        checked.store(true, Ordering::SeqCst);
        true
    });
    assert!(finished.error.is_none(), "{:?}", finished.error);
    assert!(was_checked.load(Ordering::SeqCst), "the lake was checked");
    assert_ne!(place.served(), served);
    assert_eq!((rows(place), rows_outside(place)), (1001, "1001".to_owned()));
    drop(reader);
    place.ok(&["status"]);
    place.ok(&["export"]);
    assert_eq!(place.outcomes().last().unwrap(), "unchanged");
}

fn what_fails_on_the_lakes_own_snapshot_is_not_published_and_the_former_tables_come_back(
    place: &mut Place,
) {
    place.ok(&["export"]);
    let (served, dump) = (place.served(), place.dump());
    place.site.change(
        "INSERT INTO serving.numbers VALUES (1000, 0); CREATE TABLE serving.more AS SELECT 1 AS a",
    );
    let finished = export_with(place, |_| false);
    let Some(ExportError::Refused { failed, .. }) = &finished.error else {
        panic!("{:?}", finished.error)
    };
    assert_eq!(failed[0].found, "in the lake, fails where the test says so");
    assert_eq!(finished.record.outcome, AttemptOutcome::Refused);
    assert_eq!(place.served(), served);
    place.forget_engine();
    assert_eq!(place.dump(), dump, "other clients see the former tables, too");
    let alert = place.lines(&["alert", "--json"]).remove(0);
    let findings = alert["findings"].as_array().unwrap();
    let conditions: Vec<_> = findings.iter().map(|finding| &finding["condition"]).collect();
    assert_eq!(conditions, ["export_refused"], "{alert:#}");
    // It is tried again, and published once it passes.
    place.ok(&["export"]);
    assert_eq!(rows(place), 1001);
    place.ok(&["status"]);
}

fn a_first_generation_that_fails_in_the_lake_is_served_by_no_reader(place: &mut Place) {
    let finished = export_with(place, |_| false);
    assert!(matches!(finished.error, Some(ExportError::Refused { .. })), "{:?}", finished.error);
    assert!(place.reader().pin().is_err());
    let status = place.run(&["status", "--json"]);
    assert!(status.code == 1 && status.stdout.contains("\"generation\":null"), "{status:#?}");
    place.ok(&["export"]);
    assert_eq!(rows(place), 1000);
    place.ok(&["status"]);
}

fn an_export_that_ends_during_its_check_leaves_nothing_behind_after_the_next_one(
    place: &mut Place,
) {
    place.tell("MATERIA_LAKE_GRACE", "0s");
    place.tell("MATERIA_LAKE_ORPHANS", "0s");
    place.ok(&["export"]);
    let served = place.served();
    place.site.change("INSERT INTO serving.numbers VALUES (1000, 0)");
    let mut job = ExportJob::new(&place.settings()).unwrap();
    let cancel = job.cancel.clone();
    job.checks.push(Arc::new(LakeCheck(Box::new(move |_| {
        cancel.cancel();
        true
    }))));
    let finished = export::export(&job, &mut NoProgress);
    assert!(matches!(finished.error, Some(ExportError::Interrupted)), "{:?}", finished.error);
    assert_eq!(place.served(), served);
    assert_eq!((rows(place), rows_outside(place)), (1000, "1001".to_owned()));
    place.forget_engine();
    place.ok(&["export", "--keep", "1"]);
    assert_eq!((rows(place), rows_outside(place)), (1001, "1001".to_owned()));
    place.ok(&["status"]);
    place.site.change("INSERT INTO serving.numbers VALUES (1001, 0)");
    place.forget_engine();
    place.ok(&["export", "--keep", "1"]);
    assert_eq!(place.stored(), place.needed());
}

fn of_two_exports_that_check_at_the_same_time_one_is_published(place: &mut Place) {
    place.ok(&["export"]);
    place.site.change("INSERT INTO serving.numbers VALUES (1000, 0)");
    let other = place.other_host();
    other.site.change("INSERT INTO serving.numbers VALUES (5000, 0), (5001, 0)");
    let finished = export_with(place, move |_| {
        let ran = other.run(&["export", "--take-over"]);
        assert_eq!(ran.code, 0, "{ran:#?}");
        true
    });
    assert!(matches!(finished.error, Some(ExportError::Conflict { .. })), "{:?}", finished.error);
    assert_eq!((rows(place), rows_outside(place)), (1002, "1002".to_owned()));
    place.ok(&["status"]);
}

fn a_dashboard_that_the_lakes_data_breaks_is_refused_although_the_audited_file_passes(
    place: &mut Place,
) {
    place.site.settings("[dashboards]\ndir = 'boards'");
    fs::create_dir_all(place.site.path("boards")).unwrap();
    fs::write(
        place.site.path("boards/a.toml"),
        "title = 'A'\n[[panel]]\ntitle = 'Sum'\nkind = 'stat'\nsql = 'SELECT sum(id) AS n, sum(value) AS v FROM numbers'\ny = 'n'\n",
    )
    .unwrap();
    place.ok(&["export"]);
    let served = place.served();
    // Damage of values, which neither the file's size nor its footer shows.
    let file = place.newest_path("numbers");
    let bytes = fs::read(&file).unwrap();
    let mut values = bytes.clone();
    values[20..200].fill(0x55);
    fs::write(&file, &values).unwrap();
    place.site.change("INSERT INTO serving.names VALUES (4, 'd')");
    let ran = place.run(&["export"]);
    assert_eq!(ran.code, 3, "{ran:#?}");
    assert!(ran.stderr.contains("in the lake, dashboard a, panel \"Sum\""), "{ran:#?}");
    assert!(ran.stderr.contains("`materia export --full` writes every table"), "{ran:#?}");
    assert_eq!(place.served(), served);
    place.ok(&["export", "--full"]);
    assert_ne!(place.served(), served);
    place.ok(&["status"]);
    fs::write(&file, &bytes).unwrap();
}
