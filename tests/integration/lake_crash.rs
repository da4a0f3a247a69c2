//! An exporter that is killed with SIGKILL, at any step and in the middle of a commit: readers have one whole generation or the other, the next export
//! succeeds without help and tells what happened, and after it no data lies about that nothing needs.

use std::{
    env,
    time::{Duration, Instant},
};

use materia::export::{self, Event, Job, Step, Unwatched, Watch};

use crate::{
    child::{Actor, name_of},
    lake_place::{Place, on_every_lake},
    reader::{ask, int},
    support::eventually,
};

on_every_lake!(
    an_export_killed_at_any_step_leaves_the_lake_whole,
    a_rollback_killed_at_any_step_leaves_the_lake_whole,
    an_export_killed_at_a_random_moment_of_its_commit_leaves_the_lake_whole,
    a_first_export_killed_after_its_commit_is_served_and_known,
);

/// How often the exporter is killed in the middle of its commit: more than a few only where that is asked for.
fn kills() -> usize {
    env::var("MATERIA_TEST_LAKE_KILLS").ok().map_or(6, |text| text.parse().unwrap())
}

/// Begins a run, and lets what is not needed go at once.
fn begin(place: &mut Place, run: i64) {
    place.tell("MATERIA_LAKE_GRACE", "0s");
    place.tell("MATERIA_LAKE_ORPHANS", "0s");
    place.site.begin_run(run);
}

fn export(place: &Place) {
    let finished = export::export(&Job { keep: 2, ..Job::new(&place.settings()).unwrap() }, &mut Unwatched);
    assert!(finished.error.is_none() && finished.unrecorded.is_none(), "{:?}", finished.error);
}

fn kill(place: &Place, part: &str) -> bool {
    Actor::start_told(part, place.site.folder(), &place.variables).has_died()
}

/// After a success nothing is left over.
fn expect_order(place: &Place, moment: &str) {
    assert_eq!(place.stored(), place.needed(), "{moment}");
    let expected = ["analytics.duckdb", "analytics.generations", "lakehouse.duckdb"];
    let names: Vec<_> = place.site.names().into_iter().filter(|name| !name.starts_with("lake.sqlite") && name != "data").collect();
    assert_eq!(names, expected, "{moment}");
    let history = place.history();
    let mut ids: Vec<_> = history.iter().map(|record| record["id"].as_str().unwrap()).collect();
    ids.dedup();
    assert_eq!(ids.len(), history.len(), "{moment}: an attempt is recorded twice");
}

fn an_export_killed_at_any_step_leaves_the_lake_whole(place: &mut Place) {
    begin(place, 1);
    export(place);
    let steps = [Step::Stage, Step::Rename, Step::SyncFolder, Step::Upload, Step::Verify, Step::Commit, Step::Record, Step::Prune];
    for (run, step) in (2..).zip(steps) {
        begin(place, run);
        let (moment, is_after) = (name_of(step), [Step::Record, Step::Prune].contains(&step));
        assert!(kill(place, &format!("export until {moment}")), "{moment}");
        assert_eq!(place.whole_run(), if is_after { run } else { run - 1 }, "killed at {moment}");
        export(place);
        assert_eq!(place.whole_run(), run, "after {moment}");
        let history = place.history();
        let killed = &history[history.len() - 2];
        assert_eq!(killed["outcome"], if is_after { "published" } else { "interrupted" }, "{moment}: {killed:#}");
        assert_eq!(killed["error"].is_null(), step == Step::Prune, "{moment}: {killed:#}");
        let last = history.last().unwrap();
        assert_eq!(last["outcome"], if is_after { "unchanged" } else { "published" }, "{moment}: {last:#}");
        expect_order(place, &moment);
    }
}

fn a_rollback_killed_at_any_step_leaves_the_lake_whole(place: &mut Place) {
    for run in 1..3 {
        begin(place, run);
        export(place);
    }
    for step in [Step::Upload, Step::Verify, Step::Commit, Step::Record] {
        let moment = name_of(step);
        let before = place.whole_run();
        assert!(kill(place, &format!("rollback until {moment}")), "{moment}");
        assert_eq!(place.whole_run(), if step == Step::Record { before - 1 } else { before }, "killed at {moment}");
        export(place);
        assert_eq!(place.whole_run(), if step == Step::Record { 1 } else { 2 }, "a rollback that has happened lasts: {moment}");
        let history = place.history();
        let killed = &history[history.len() - 2];
        assert_eq!(killed["outcome"], if step == Step::Record { "rolled_back" } else { "interrupted" }, "{moment}: {killed:#}");
        place.site.begin_run(2);
    }
    begin(place, 3);
    export(place);
    expect_order(place, "the end");
}

/// Measures how long a commit takes.
#[derive(Default)]
struct Commit {
    begun: Option<Instant>,
    took: Duration,
}

impl Watch for Commit {
    fn event(&mut self, event: &Event<'_>) {
        match event {
            Event::Step { step: Step::Commit } => self.begun = Some(Instant::now()),
            Event::Step { step: Step::Record } => self.took = self.begun.map(|begun| begun.elapsed()).unwrap_or_default(),
            _ => {}
        }
    }
}

fn an_export_killed_at_a_random_moment_of_its_commit_leaves_the_lake_whole(place: &mut Place) {
    begin(place, 1);
    let mut commit = Commit::default();
    let finished = export::export(&Job::new(&place.settings()).unwrap(), &mut commit);
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
        assert!(served == before || served == run, "kill {number} after {later} µs: {served} is served, {before} was");
        swapped += usize::from(served != before);
        let sql = format!(
            "SELECT min(run)::BIGINT FROM (SELECT run FROM orders UNION ALL SELECT run FROM customers) HAVING min(run) = max(run) AND {number} = {number}"
        );
        eventually("readers have what is served, whole", || int(&ask(&reader.pin().unwrap(), &sql).unwrap()) == served);
        if number % 3 == 0 || number == kills() {
            export(place);
            assert_eq!(place.whole_run(), run);
            expect_order(place, &format!("kill {number}"));
        }
    }
    println!("{:?}: {died} kills within 1.2 × {:?} of commit, {swapped} after it", place.kind, commit.took);
    let outcomes = place.outcomes();
    let told = outcomes.iter().filter(|outcome| ["interrupted", "published", "unchanged"].contains(&outcome.as_str())).count();
    assert_eq!(told, outcomes.len(), "{outcomes:?}");
    assert!(outcomes.len() > kills(), "{outcomes:?}");
}

fn a_first_export_killed_after_its_commit_is_served_and_known(place: &mut Place) {
    begin(place, 1);
    assert!(kill(place, "export until record"));
    // Somebody else's commit is newer, and is nobody's generation.
    place.meddle("CREATE SCHEMA marts; CREATE TABLE marts.theirs AS SELECT 1 AS a");
    let reader = place.reader();
    let pin = reader.pin().unwrap();
    assert_eq!(pin.generation().id.as_ref().map(|id| id.as_str().to_owned()), Some(place.served()));
    assert_eq!(int(&ask(&pin, "SELECT max(run)::BIGINT FROM orders").unwrap()), 1);
    export(place);
    assert_eq!(place.outcomes(), ["published", "unchanged"]);
}
