//! Two hosts export into one lake at the same time: one succeeds, the other reports the conflict
//! and succeeds on the next attempt, and nothing is mixed.

use std::{sync::Barrier, thread::scope};

use materia::{
    export::{self, AttemptResult, ExportError, ExportEvent, ExportJob, NoProgress, Progress},
    store::{AttemptOutcome, ExportStep},
};

use crate::{
    lake_targets::{Kind, Place, on_every_lake},
    support::eventually,
};

on_every_lake!(
    of_two_exporters_the_one_that_commits_first_wins_and_the_other_says_so_and_succeeds_the_next_time,
    a_rollback_that_another_host_makes_meanwhile_wins_over_an_export,
    what_others_commit_to_their_own_schema_meanwhile_keeps_nobody_from_publishing,
    a_table_that_somebody_changes_while_an_export_commits_is_never_published_half,
    exporters_that_race_again_and_again_publish_whole_generations_only,
);

/// Runs a function once, when a step is announced.
struct At<F>(ExportStep, Option<F>);

impl<F: FnOnce() + Send> Progress for At<F> {
    fn event(&mut self, event: &ExportEvent<'_>) {
        if let ExportEvent::Step { step } = event
            && *step == self.0
            && let Some(act) = self.1.take()
        {
            act();
        }
    }
}

fn job(place: &Place) -> ExportJob {
    // Two hosts that take turns.
    let mut job = ExportJob::new(&place.settings()).unwrap();
    job.lake.take_over = true;
    job
}

fn export_at(place: &Place, step: ExportStep, act: impl FnOnce() + Send) -> AttemptResult {
    export::export(&job(place), &mut At(step, Some(act)))
}

fn succeed(place: &Place) {
    let finished = export::export(&job(place), &mut NoProgress);
    assert!(finished.error.is_none(), "{:?}", finished.error);
}

/// Prepares a host whose lakehouse has one run in all its tables.
fn host(place: &mut Place, run: i64) {
    place.site.begin_run(run);
    place.site.settings(
        "[export.tables.numbers]\nallow_lost = true\n[export.tables.names]\nallow_lost = true",
    );
}

fn of_two_exporters_the_one_that_commits_first_wins_and_the_other_says_so_and_succeeds_the_next_time(
    place: &mut Place,
) {
    let mut other = place.other_host();
    for (step, round) in
        [ExportStep::Stage, ExportStep::Upload, ExportStep::Verify, ExportStep::Commit]
            .into_iter()
            .zip(1..)
    {
        host(place, round * 10);
        host(&mut other, round * 10 + 1);
        let finished = export_at(place, step, || succeed(&other));
        let error = finished.error.unwrap_or_else(|| panic!("{step:?}: both have won"));
        assert!(matches!(error, ExportError::Conflict { .. }), "{step:?}: {error}");
        let text = error.to_string();
        let winner = other.served();
        assert!(
            text.contains(&format!(
                "was written by another process in the meantime (generation {winner})"
            )),
            "{step:?}: {text}"
        );
        assert!(
            text.contains("Run it again")
                && text.contains(place.address().split(" password").next().unwrap()),
            "{step:?}: {text}"
        );
        assert_eq!(finished.record.outcome, AttemptOutcome::Failed);
        assert_eq!(place.whole_run(), round * 10 + 1, "{step:?}");
        succeed(place);
        assert_eq!(place.whole_run(), round * 10, "{step:?}");
        assert_eq!(place.number("SELECT count(*) FROM materia.generation"), 1, "{step:?}");
    }
    let outcomes = place.outcomes();
    assert_eq!(outcomes.iter().filter(|outcome| *outcome == "failed").count(), 4, "{outcomes:?}");
    assert_eq!(
        outcomes.iter().filter(|outcome| *outcome == "published").count(),
        8,
        "{outcomes:?}"
    );
}

fn a_rollback_that_another_host_makes_meanwhile_wins_over_an_export(place: &mut Place) {
    let other = place.other_host();
    for run in 1..3 {
        host(place, run);
        succeed(place);
    }
    host(place, 3);
    let finished = export_at(place, ExportStep::Commit, || {
        let rolled = export::rollback(
            &other.target(),
            None,
            job(&other).wait,
            &job(&other).cancel,
            &mut NoProgress,
        );
        assert!(rolled.error.is_none(), "{:?}", rolled.error);
    });
    assert!(matches!(finished.error, Some(ExportError::Conflict { .. })), "{:?}", finished.error);
    assert_eq!(place.whole_run(), 1);
    succeed(place);
    assert_eq!(place.whole_run(), 3);
}

fn what_others_commit_to_their_own_schema_meanwhile_keeps_nobody_from_publishing(
    place: &mut Place,
) {
    host(place, 1);
    succeed(place);
    place.meddle("CREATE SCHEMA marts; CREATE TABLE marts.theirs (a INTEGER)");
    for (step, run) in
        [ExportStep::Stage, ExportStep::Verify, ExportStep::Commit].into_iter().zip(2..)
    {
        host(place, run);
        let finished =
            export_at(place, step, || place.meddle("INSERT INTO marts.theirs VALUES (1)"));
        match finished.error {
            // SQLite refuses to commit a transaction that began before another commit.
            Some(error) if place.kind == Kind::Sqlite => {
                assert!(
                    error.to_string().contains(
                        "written by another process in the meantime; nothing was published"
                    ),
                    "{step:?}: {error}"
                );
                succeed(place);
            }
            error => assert!(error.is_none(), "{step:?}: {error:?}"),
        }
        assert_eq!(place.whole_run(), run);
        assert_eq!(place.number("SELECT count(*) FROM marts.theirs"), run - 1);
    }
}

fn a_table_that_somebody_changes_while_an_export_commits_is_never_published_half(
    place: &mut Place,
) {
    host(place, 1);
    succeed(place);
    let reader = place.reader();
    for (step, run) in [ExportStep::Verify, ExportStep::Commit].into_iter().zip(2..) {
        host(place, run);
        let finished = export_at(place, step, || {
            place.meddle("DELETE FROM serving.orders; INSERT INTO serving.customers VALUES (9, 'theirs', 99)");
        });
        if let Some(error) = finished.error {
            assert!(error.to_string().contains("Run it again"), "{step:?}: {error}");
            succeed(place);
        }
        assert_eq!(place.whole_run(), run, "{step:?}");
    }
    let sql = "SELECT count(*) FROM customers WHERE run = 99";
    eventually("the reader follows", || reader.pin().unwrap().generation().sequence > 1);
    assert_eq!(crate::reader::int(&crate::reader::ask(&reader.pin().unwrap(), sql).unwrap()), 0);
}

fn exporters_that_race_again_and_again_publish_whole_generations_only(place: &mut Place) {
    const ROUNDS: i64 = 5;
    let mut other = place.other_host();
    host(place, 1);
    succeed(place);
    let (mut won, mut lost) = (0, 0);
    for round in 1..=ROUNDS {
        host(place, round * 10);
        host(&mut other, round * 10 + 1);
        let start = Barrier::new(2);
        let race = |job: ExportJob| {
            start.wait();
            export::export(&job, &mut NoProgress).error
        };
        let (one, two) = (job(place), job(&other));
        let errors = scope(|scope| {
            let running = [scope.spawn(|| race(one)), scope.spawn(|| race(two))];
            running.map(|running| running.join().unwrap())
        });
        for error in errors.iter().flatten() {
            assert!(matches!(error, ExportError::Conflict { .. }), "round {round}: {error}");
        }
        lost += errors.iter().flatten().count();
        won += errors.iter().filter(|error| error.is_none()).count();
        assert!(errors.iter().any(Option::is_none), "round {round}: nobody has won: {errors:?}");
        let run = place.whole_run();
        assert!(run == round * 10 || run == round * 10 + 1, "round {round}: {run}");
    }
    println!("{:?}: {won} published, {lost} were told that they lost", place.kind);
    assert_eq!(i64::try_from(place.history().len()).unwrap(), 1 + 2 * ROUNDS);
}
