//! An exporter is killed with SIGKILL, at any step and in the middle of a commit: readers see a
//! complete generation, old or new, the next export succeeds without intervention and reports what
//! happened, and afterwards no orphaned data remains.

use std::{
    env,
    time::{Duration, Instant},
};

use materia::{
    export::{self, ExportEvent, ExportJob, NoProgress, Progress},
    store::ExportStep,
};

use crate::{
    child::{Actor, name_of},
    lake_targets::{Place, on_every_lake},
    reader::{ask, int},
    support::eventually,
};

on_every_lake!(
    an_export_killed_at_any_step_leaves_the_lake_whole,
    a_rollback_killed_at_any_step_leaves_the_lake_whole,
    an_export_killed_at_a_random_moment_of_its_commit_leaves_the_lake_whole,
    a_first_export_killed_after_its_commit_is_served_and_known,
);

/// The number of times the exporter is killed during its commit: only a few by default.
fn kills() -> usize {
    env::var("MATERIA_TEST_LAKE_KILLS").ok().map_or(6, |text| text.parse().unwrap())
}

/// Begins a run, and removes unneeded data immediately.
fn begin(place: &mut Place, run: i64) {
    place.tell("MATERIA_LAKE_GRACE", "0s");
    place.tell("MATERIA_LAKE_ORPHANS", "0s");
    place.site.begin_run(run);
}

fn export(place: &Place) {
    let finished = export::export(
        &ExportJob { keep: 2, ..ExportJob::new(&place.settings()).unwrap() },
        &mut NoProgress,
    );
    assert!(finished.error.is_none() && finished.unrecorded.is_none(), "{:?}", finished.error);
}

fn kill(place: &Place, part: &str) -> bool {
    Actor::start_told(part, place.site.folder(), &place.variables).has_died()
}

/// Nothing is left over after a success.
fn expect_order(place: &Place, moment: &str) {
    assert_eq!(place.stored(), place.needed(), "{moment}");
    let expected = ["analytics.duckdb", "analytics.generations", "lakehouse.duckdb"];
    let names: Vec<_> = place
        .site
        .names()
        .into_iter()
        .filter(|name| !name.starts_with("lake.sqlite") && name != "data")
        // What this host knows of its attempts on this lake.
        .filter(|name| !(name.starts_with("analytics.lake-") && name.contains(".history.")))
        .collect();
    assert_eq!(names, expected, "{moment}");
    let history = place.history();
    let mut ids: Vec<_> = history.iter().map(|record| record["id"].as_str().unwrap()).collect();
    ids.dedup();
    assert_eq!(ids.len(), history.len(), "{moment}: an attempt is recorded twice");
}

fn an_export_killed_at_any_step_leaves_the_lake_whole(place: &mut Place) {
    begin(place, 1);
    export(place);
    let steps = [
        ExportStep::Stage,
        ExportStep::Rename,
        ExportStep::SyncFolder,
        ExportStep::Upload,
        ExportStep::Verify,
        ExportStep::Commit,
        ExportStep::Record,
        ExportStep::Prune,
    ];
    for (run, step) in (2..).zip(steps) {
        begin(place, run);
        let (moment, is_after) =
            (name_of(step), [ExportStep::Record, ExportStep::Prune].contains(&step));
        assert!(kill(place, &format!("export until {moment}")), "{moment}");
        assert_eq!(place.whole_run(), if is_after { run } else { run - 1 }, "killed at {moment}");
        export(place);
        assert_eq!(place.whole_run(), run, "after {moment}");
        let history = place.history();
        let killed = &history[history.len() - 2];
        assert_eq!(
            killed["outcome"],
            if is_after { "published" } else { "interrupted" },
            "{moment}: {killed:#}"
        );
        assert_eq!(killed["error"].is_null(), step == ExportStep::Prune, "{moment}: {killed:#}");
        let last = history.last().unwrap();
        assert_eq!(
            last["outcome"],
            if is_after { "unchanged" } else { "published" },
            "{moment}: {last:#}"
        );
        expect_order(place, &moment);
    }
}

fn a_rollback_killed_at_any_step_leaves_the_lake_whole(place: &mut Place) {
    for run in 1..3 {
        begin(place, run);
        export(place);
    }
    for step in [ExportStep::Upload, ExportStep::Verify, ExportStep::Commit, ExportStep::Record] {
        let moment = name_of(step);
        let before = place.whole_run();
        assert!(kill(place, &format!("rollback until {moment}")), "{moment}");
        assert_eq!(
            place.whole_run(),
            if step == ExportStep::Record { before - 1 } else { before },
            "killed at {moment}"
        );
        export(place);
        assert_eq!(
            place.whole_run(),
            if step == ExportStep::Record { 1 } else { 2 },
            "a rollback that has happened lasts: {moment}"
        );
        let history = place.history();
        let killed = &history[history.len() - 2];
        assert_eq!(
            killed["outcome"],
            if step == ExportStep::Record { "rolled_back" } else { "interrupted" },
            "{moment}: {killed:#}"
        );
        place.site.begin_run(2);
    }
    begin(place, 3);
    export(place);
    expect_order(place, "the end");
}

/// Measures the duration of a commit.
#[derive(Default)]
struct Commit {
    begun: Option<Instant>,
    took: Duration,
}

impl Progress for Commit {
    fn event(&mut self, event: &ExportEvent<'_>) {
        match event {
            ExportEvent::Step { step: ExportStep::Commit } => self.begun = Some(Instant::now()),
            ExportEvent::Step { step: ExportStep::Record } => {
                self.took = self.begun.map(|begun| begun.elapsed()).unwrap_or_default();
            }
            _ => {}
        }
    }
}

fn an_export_killed_at_a_random_moment_of_its_commit_leaves_the_lake_whole(place: &mut Place) {
    begin(place, 1);
    let mut commit = Commit::default();
    let finished = export::export(&ExportJob::new(&place.settings()).unwrap(), &mut commit);
    assert!(finished.error.is_none(), "{:?}", finished.error);
    let mut random = fastrand::Rng::with_seed(20_261_121);
    let (reader, mut run, mut swapped, mut died) = (place.reader(), 1, 0, 0);
    for number in 1..=kills() {
        run += 1;
        begin(place, run);
        let before = place.whole_run();
        let later = commit.took.mul_f64(random.f64() * 1.2).as_micros().max(1);
        died += usize::from(kill(place, &format!("export until commit + {later}")));
        let served = place.whole_run();
        assert!(
            served == before || served == run,
            "kill {number} after {later} µs: {served} is served, {before} was"
        );
        swapped += usize::from(served != before);
        let sql = format!(
            "SELECT min(run)::BIGINT FROM (SELECT run FROM orders UNION ALL SELECT run FROM customers) HAVING min(run) = max(run) AND {number} = {number}"
        );
        eventually("readers have what is served, whole", || {
            int(&ask(&reader.pin().unwrap(), &sql).unwrap()) == served
        });
        if number % 3 == 0 || number == kills() {
            export(place);
            assert_eq!(place.whole_run(), run);
            expect_order(place, &format!("kill {number}"));
        }
    }
    println!(
        "{:?}: {died} kills within 1.2 × {:?} of commit, {swapped} after it",
        place.kind, commit.took
    );
    let outcomes = place.outcomes();
    let listed = outcomes
        .iter()
        .filter(|outcome| ["interrupted", "published", "unchanged"].contains(&outcome.as_str()))
        .count();
    assert_eq!(listed, outcomes.len(), "{outcomes:?}");
    assert!(outcomes.len() > kills(), "{outcomes:?}");
}

fn a_first_export_killed_after_its_commit_is_served_and_known(place: &mut Place) {
    begin(place, 1);
    assert!(kill(place, "export until record"));
    // Another program's commit is newer, and belongs to no generation.
    place.meddle("CREATE SCHEMA marts; CREATE TABLE marts.theirs AS SELECT 1 AS a");
    let reader = place.reader();
    let pin = reader.pin().unwrap();
    assert_eq!(pin.generation().id.as_ref().map(|id| id.as_str().to_owned()), Some(place.served()));
    assert_eq!(int(&ask(&pin, "SELECT max(run)::BIGINT FROM orders").unwrap()), 1);
    export(place);
    assert_eq!(place.outcomes(), ["published", "unchanged"]);
}
