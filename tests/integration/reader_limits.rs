//! What a question may not do: run for long, grow large, keep others waiting, reach anything but the served file.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use materia::reader::{Limits, Query, Reader, ReaderError, ReaderLimits, wait};

use crate::{
    reader::{ask, int, open},
    support::{Site, eventually},
};

/// Would run for days in little memory; what differs keeps questions from being answered together.
fn endless(differs: usize) -> Query {
    let far = "range(100000)";
    Query::new(&format!("SELECT count(*) + {differs} FROM {far} a, {far} b, {far} c WHERE hash(a.range, b.range, c.range) % 11 = 3"))
}

fn published() -> Site {
    let site = Site::small();
    site.ok(&["export"]);
    site
}

fn within(limit: Duration) -> Limits {
    Limits { time: limit, ..Limits::page() }
}

#[test]
fn a_question_ends_soon_after_its_time_is_up_and_its_place_is_usable_afterwards() {
    let site = published();
    let limits = ReaderLimits { short: 1, long: 1, ..ReaderLimits::default() };
    let reader = Reader::open(&site.served(), "serving", limits).unwrap();
    let pin = reader.pin().unwrap();
    let limit = Duration::from_millis(300);
    for round in 0..3 {
        let begun = Instant::now();
        let error = wait(pin.ask(endless(round), within(limit))).unwrap_err();
        let late = begun.elapsed().saturating_sub(limit);
        assert_eq!(error, ReaderError::TimedOut { limit });
        assert!(late < Duration::from_millis(200), "ended {late:?} after its time was up");
        assert_eq!(int(&ask(&pin, &format!("SELECT count(*) + {round} FROM numbers")).unwrap()), 1000 + i64::try_from(round).unwrap());
    }
}

#[test]
fn a_question_ends_soon_after_its_asker_goes_away() {
    let site = published();
    let limits = ReaderLimits { short: 1, long: 1, ..ReaderLimits::default() };
    let reader = Reader::open(&site.served(), "serving", limits).unwrap();
    let pin = reader.pin().unwrap();
    for round in 0..3 {
        {
            let mut question = Box::pin(pin.ask(endless(round), within(Duration::from_mins(1))));
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            assert!(question.as_mut().poll(&mut context).is_pending());
            // Long enough to have been moved to the long lane, whose only thread it then keeps.
            std::thread::sleep(Duration::from_millis(250));
        }
        let begun = Instant::now();
        let other = wait(pin.ask(endless(100 + round), within(Duration::from_millis(50))));
        assert!(matches!(other, Err(ReaderError::TimedOut { .. })), "{other:?}");
        assert!(begun.elapsed() < Duration::from_millis(400), "the abandoned question kept its place for {:?}", begun.elapsed());
    }
}

#[test]
fn two_hundred_slow_questions_leave_short_ones_answered_and_the_rest_are_told_to_come_back() {
    let site = published();
    let memory = 512 << 20;
    let limits = ReaderLimits { memory: Some(memory), ..ReaderLimits::default() };
    let reader = Reader::open(&site.served(), "serving", limits).unwrap();
    let pin = reader.pin().unwrap();
    let before = resident();
    let (busy, timed_out) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let slow = Limits { time: Duration::from_secs(1), wait: Duration::from_secs(2), ..Limits::page() };
    std::thread::scope(|scope| {
        for differs in 0..200 {
            let (pin, busy, timed_out) = (pin.clone(), &busy, &timed_out);
            scope.spawn(move || match wait(pin.ask(endless(differs), slow)) {
                Err(ReaderError::Busy { retry_after }) => {
                    assert!(retry_after >= Duration::from_secs(1));
                    busy.fetch_add(1, Ordering::SeqCst)
                }
                Err(ReaderError::TimedOut { .. }) => timed_out.fetch_add(1, Ordering::SeqCst),
                other => panic!("{other:?}"),
            });
        }
        for round in 0..20 {
            let answer = ask(&pin, &format!("SELECT count(*) + {round} FROM numbers")).unwrap();
            assert_eq!(int(&answer), 1000 + round);
        }
    });
    let (busy, timed_out) = (busy.load(Ordering::SeqCst), timed_out.load(Ordering::SeqCst));
    assert_eq!(busy + timed_out, 200);
    assert!(busy > 100 && timed_out > 0, "{busy} were told to come back, {timed_out} ran out of time");
    let grown = resident().saturating_sub(before);
    assert!(grown < memory, "memory grew by {grown} bytes");
}

fn resident() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    statm.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

#[test]
fn an_answer_that_is_too_large_is_refused_by_rows_and_by_bytes() {
    let site = published();
    let pin = open(&site).pin().unwrap();
    let few = Limits { rows: 10, ..Limits::page() };
    let error = wait(pin.ask(Query::new("SELECT * FROM numbers"), few)).unwrap_err();
    assert_eq!(error, ReaderError::TooLarge { what: "rows", limit: 10 });
    let small = Limits { bytes: 1_000_000, ..Limits::page() };
    let error = wait(pin.ask(Query::new("SELECT repeat('x', 100000) FROM numbers"), small)).unwrap_err();
    assert_eq!(error, ReaderError::TooLarge { what: "bytes", limit: 1_000_000 });
    assert_eq!(error.to_string(), "the answer has more than 1,000,000 bytes; ask for less");
}

#[test]
fn the_same_question_asked_by_many_at_once_is_answered_once_and_remembered() {
    let site = Site::with("CREATE SCHEMA serving; CREATE TABLE serving.t AS SELECT i FROM range(2000000) t(i);");
    site.ok(&["export"]);
    let pin = open(&site).pin().unwrap();
    // The order of `random()` differs from one execution to the next.
    let question = "SELECT sum(hash(i + random()) % 1000)::BIGINT FROM t";
    let answers: Vec<_> = std::thread::scope(|scope| {
        let asking: Vec<_> = (0..16).map(|_| scope.spawn(|| ask(&pin, question).unwrap())).collect();
        asking.into_iter().map(|asking| asking.join().unwrap()).collect()
    });
    assert!(answers.iter().all(|answer| Arc::ptr_eq(answer, &answers[0])));
    assert!(Arc::ptr_eq(&ask(&pin, question).unwrap(), &answers[0]));
}

#[test]
fn a_new_generation_starts_without_remembered_answers() {
    let site = published();
    let reader = open(&site);
    let question = "SELECT random()";
    let first = ask(&reader.pin().unwrap(), question).unwrap();
    site.ok(&["export", "--full"]);
    eventually("the reader has followed", || reader.pin().unwrap().generation().sequence == 2);
    assert!(!Arc::ptr_eq(&first, &ask(&reader.pin().unwrap(), question).unwrap()));
}

#[test]
fn whatever_sql_reaches_the_reader_it_cannot_touch_another_file_or_another_asker() {
    let site = published();
    let secret = site.path("secret.csv");
    fs::write(&secret, "a\nsecret\n").unwrap();
    let (secret, other, target) =
        (secret.display().to_string(), site.lakehouse().display().to_string(), site.path("written").display().to_string());
    let manifest = fs::read_dir(site.path("analytics.generations")).unwrap().map(|entry| entry.unwrap().path());
    let manifest = manifest.into_iter().find(|path| path.extension().is_some_and(|end| end == "json")).unwrap().display().to_string();
    let reader = open(&site);
    let attempts = [
        format!("SELECT * FROM read_csv('{secret}')"),
        format!("FROM '{secret}'"),
        format!("SELECT * FROM read_text('{secret}')"),
        format!("SELECT * FROM read_blob('{manifest}')"),
        format!("SELECT * FROM read_json('{manifest}')"),
        format!("SELECT * FROM glob('{target}*')"),
        format!("SELECT * FROM sniff_csv('{secret}')"),
        format!("FROM query_table('{secret}')"),
        format!("FROM query('COPY (SELECT 1) TO ''{target}''')"),
        format!("COPY (SELECT 1) TO '{target}'"),
        format!("COPY numbers FROM '{secret}'"),
        format!("EXPORT DATABASE '{target}'"),
        format!("ATTACH '{other}' AS other"),
        format!("ATTACH '{target}' AS written"),
        format!("SELECT 1; ATTACH '{target}' AS written"),
        format!("FROM enable_logging(storage := 'file', storage_path := '{target}')"),
        format!("SELECT (SELECT count(*) FROM Enable_Logging(storage := 'file', storage_path := '{target}')) FROM numbers"),
        "FROM disable_logging()".to_owned(),
        "FROM query('FROM truncate_duckdb_logs()')".to_owned(),
        "FROM json_execute_serialized_sql(json_serialize_sql('FROM disable_logging()'))".to_owned(),
        "EXPLAIN ANALYZE FROM enable_logging()".to_owned(),
        "DETACH analytics".to_owned(),
        "SELECT 1; DETACH analytics".to_owned(),
        "EXPLAIN ANALYZE DETACH analytics".to_owned(),
        "USE memory".to_owned(),
        "SET memory_limit = '100GB'".to_owned(),
        "RESET enable_external_access".to_owned(),
        "PRAGMA database_list".to_owned(),
        "CALL pragma_version()".to_owned(),
        "BEGIN TRANSACTION".to_owned(),
        "CREATE TABLE memory.main.mine AS SELECT 1".to_owned(),
        "CREATE TEMP TABLE mine AS SELECT 1".to_owned(),
        "INSERT INTO numbers VALUES (1, 1)".to_owned(),
        "WITH gone AS (DELETE FROM numbers RETURNING *) SELECT * FROM gone".to_owned(),
        "DROP TABLE numbers".to_owned(),
        "INSTALL spatial".to_owned(),
        "LOAD icu".to_owned(),
        "CHECKPOINT".to_owned(),
        String::new(),
        "-- nothing".to_owned(),
        "SELEC 1".to_owned(),
    ];
    let names = site.names();
    for sql in attempts {
        let answer = ask(&reader.pin().unwrap(), &sql);
        assert!(matches!(answer, Err(ReaderError::Refused { .. } | ReaderError::Engine { .. })), "{sql}: {answer:?}");
        assert_eq!(int(&ask(&reader.pin().unwrap(), "SELECT count(*) FROM numbers").unwrap()), 1000, "after {sql}");
    }
    assert_eq!(site.names(), names);
}

#[test]
fn what_operators_type_to_look_around_is_answered() {
    let site = published();
    let pin = open(&site).pin().unwrap();
    for sql in
        ["DESCRIBE numbers", "SUMMARIZE numbers", "SHOW TABLES", "EXPLAIN SELECT * FROM numbers", "FROM numbers LIMIT 1", "VALUES (1)"]
    {
        let answer = ask(&pin, sql);
        assert!(answer.as_ref().is_ok_and(|answer| answer.rows > 0), "{sql}: {answer:?}");
    }
}

#[test]
fn a_generation_held_for_too_long_is_closed_and_says_so() {
    let site = published();
    let limits = ReaderLimits { drain: Duration::from_millis(300), ..ReaderLimits::default() };
    let reader = Reader::open(&site.served(), "serving", limits).unwrap();
    let held = reader.pin().unwrap();
    site.ok(&["export", "--full"]);
    eventually("the reader has followed", || reader.pin().unwrap().generation().sequence == 2);
    let mut differs = 0;
    eventually("the former generation is closed", || {
        differs += 1;
        matches!(ask(&held, &format!("SELECT {differs}")), Err(ReaderError::Unavailable { .. }))
    });
    assert_eq!(int(&ask(&reader.pin().unwrap(), "SELECT count(*) FROM numbers").unwrap()), 1000);
}

#[test]
fn a_reader_that_may_only_read_serves_and_follows_all_the_same() {
    let site = published();
    let mount = site.path("mount");
    fs::create_dir(&mount).unwrap();
    let bind = |args: &[&str]| std::process::Command::new("mount").args(args).status().is_ok_and(|status| status.success());
    let (from, to) = (site.folder().display().to_string(), mount.display().to_string());
    if !bind(&["--bind", &from, &to]) || !bind(&["-o", "remount,bind,ro", &to]) {
        println!("skipped: bind mounts are not allowed here");
        return;
    }
    let tried = std::panic::catch_unwind(|| {
        let reader = Reader::open(&mount.join("analytics.duckdb"), "serving", ReaderLimits::default()).unwrap();
        assert!(fs::write(mount.join("x"), "").is_err(), "the mount can be written");
        assert_eq!(int(&ask(&reader.pin().unwrap(), "SELECT count(*) FROM numbers").unwrap()), 1000);
        site.change("INSERT INTO serving.numbers VALUES (1000, 1)");
        site.ok(&["export"]);
        eventually("the reader has followed", || int(&ask(&reader.pin().unwrap(), "SELECT count(*) FROM numbers").unwrap()) == 1001);
    });
    let _ = std::process::Command::new("umount").arg("-l").arg(&mount).status();
    tried.unwrap();
}
