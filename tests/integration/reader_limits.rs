//! Limits of queries: they must not run for too long, grow too large, block others, or access
//! anything but the served file.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use materia::reader::{Budget, Query, QueryLimits, Reader, ReaderConfig, ReaderError, block_on};

use crate::{
    reader::{ask, int, open},
    support::{Site, at_best_within, eventually},
};

/// Would run for days with little memory; `differs` prevents queries from being coalesced.
fn endless(differs: usize) -> Query {
    let far = "range(100000)";
    Query::new(&format!(
        "SELECT count(*) + {differs} FROM {far} a, {far} b, {far} c WHERE hash(a.range, b.range, c.range) % 11 = 3"
    ))
}

fn published() -> Site {
    let site = Site::small();
    site.ok(&["export"]);
    site
}

fn within(limit: Duration) -> QueryLimits {
    QueryLimits { timeout: limit, ..QueryLimits::for_page() }
}

#[test]
fn a_question_ends_soon_after_its_time_is_up_and_its_place_is_usable_afterwards() {
    let site = published();
    let limits = ReaderConfig { short: 1, long: 1, ..ReaderConfig::default() };
    let reader = Reader::open_file(&site.served(), "serving", limits).unwrap();
    let pin = reader.pin().unwrap();
    let limit = Duration::from_millis(300);
    let mut round = 0;
    for _ in 0..3 {
        at_best_within(limit + Duration::from_millis(200), || {
            round += 1;
            let begun = Instant::now();
            let error = block_on(pin.query(endless(round), within(limit))).unwrap_err();
            let took = begun.elapsed();
            assert_eq!(error, ReaderError::TimedOut { limit });
            assert_eq!(
                int(&ask(&pin, &format!("SELECT count(*) + {round} FROM numbers")).unwrap()),
                1000 + i64::try_from(round).unwrap()
            );
            took
        });
    }
}

#[test]
fn a_query_ends_soon_after_its_caller_is_dropped() {
    let site = published();
    let limits = ReaderConfig { short: 1, long: 1, ..ReaderConfig::default() };
    let reader = Reader::open_file(&site.served(), "serving", limits).unwrap();
    let pin = reader.pin().unwrap();
    let mut round = 0;
    for _ in 0..3 {
        // An abandoned question that kept its place would keep it for a minute.
        at_best_within(Duration::from_millis(400), || {
            round += 1;
            {
                let abandoned = pin.query(endless(round), within(Duration::from_mins(1)));
                let mut abandoned = Box::pin(abandoned);
                let mut context = std::task::Context::from_waker(std::task::Waker::noop());
                assert!(abandoned.as_mut().poll(&mut context).is_pending());
                // Long enough to be moved to the long queue, whose only thread it then occupies.
                std::thread::sleep(Duration::from_millis(250));
            }
            let begun = Instant::now();
            let limits = within(Duration::from_millis(50));
            let other = block_on(pin.query(endless(100 + round), limits));
            assert!(matches!(other, Err(ReaderError::TimedOut { .. })), "{other:?}");
            begun.elapsed()
        });
    }
}

#[test]
fn two_hundred_slow_queries_leave_short_ones_answered_and_the_rest_refused_as_busy() {
    let site = published();
    let memory = 512 << 20;
    let limits = ReaderConfig { memory: Some(memory), ..ReaderConfig::default() };
    let reader = Reader::open_file(&site.served(), "serving", limits).unwrap();
    let pin = reader.pin().unwrap();
    let before = resident();
    let (busy, timed_out) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let slow = QueryLimits {
        timeout: Duration::from_secs(1),
        queue_timeout: Duration::from_secs(2),
        ..QueryLimits::for_page()
    };
    std::thread::scope(|scope| {
        for differs in 0..200 {
            let (pin, busy, timed_out) = (pin.clone(), &busy, &timed_out);
            scope.spawn(move || match block_on(pin.query(endless(differs), slow)) {
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
    assert!(busy > 100 && timed_out > 0, "{busy} were refused as busy, {timed_out} timed out");
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
    let few = QueryLimits { rows: 10, ..QueryLimits::for_page() };
    let error = block_on(pin.query(Query::new("SELECT * FROM numbers"), few)).unwrap_err();
    assert_eq!(error, ReaderError::TooLarge { what: "rows", limit: 10 });
    let small = QueryLimits { bytes: 1_000_000, ..QueryLimits::for_page() };
    let error = block_on(pin.query(Query::new("SELECT repeat('x', 100000) FROM numbers"), small))
        .unwrap_err();
    assert_eq!(error, ReaderError::TooLarge { what: "bytes", limit: 1_000_000 });
    assert_eq!(error.to_string(), "the result has more than 1,000,000 bytes; reduce the query");
}

#[test]
fn identical_concurrent_queries_run_once_and_are_cached() {
    let site = Site::with(
        "CREATE SCHEMA serving; CREATE TABLE serving.t AS SELECT i FROM range(2000000) t(i);",
    );
    site.ok(&["export"]);
    let pin = open(&site).pin().unwrap();
    // The order of `random()` differs between executions.
    let question = "SELECT sum(hash(i + random()) % 1000)::BIGINT FROM t";
    let answers: Vec<_> = std::thread::scope(|scope| {
        let asking: Vec<_> =
            (0..16).map(|_| scope.spawn(|| ask(&pin, question).unwrap())).collect();
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
fn no_sql_reaches_another_file_or_another_callers_query() {
    let site = published();
    let secret = site.path("secret.csv");
    fs::write(&secret, "a\nsecret\n").unwrap();
    let (secret, other, target) = (
        secret.display().to_string(),
        site.lakehouse().display().to_string(),
        site.path("written").display().to_string(),
    );
    let manifest = fs::read_dir(site.path("analytics.generations"))
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let manifest = manifest
        .into_iter()
        .find(|path| path.extension().is_some_and(|end| end == "json"))
        .unwrap()
        .display()
        .to_string();
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
        format!(
            "SELECT (SELECT count(*) FROM Enable_Logging(storage := 'file', storage_path := '{target}')) FROM numbers"
        ),
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
        assert!(
            matches!(answer, Err(ReaderError::Refused { .. } | ReaderError::Engine { .. })),
            "{sql}: {answer:?}"
        );
        assert_eq!(
            int(&ask(&reader.pin().unwrap(), "SELECT count(*) FROM numbers").unwrap()),
            1000,
            "after {sql}"
        );
    }
    assert_eq!(site.names(), names);
}

#[test]
fn exploratory_statements_of_operators_are_answered() {
    let site = published();
    let pin = open(&site).pin().unwrap();
    for sql in [
        "DESCRIBE numbers",
        "SUMMARIZE numbers",
        "SHOW TABLES",
        "EXPLAIN SELECT * FROM numbers",
        "FROM numbers LIMIT 1",
        "VALUES (1)",
    ] {
        let answer = ask(&pin, sql);
        assert!(answer.as_ref().is_ok_and(|answer| answer.rows > 0), "{sql}: {answer:?}");
    }
}

#[test]
fn a_generation_held_for_too_long_is_closed_and_says_so() {
    let site = published();
    let limits =
        ReaderConfig { max_pin_age: Duration::from_millis(300), ..ReaderConfig::default() };
    let reader = Reader::open_file(&site.served(), "serving", limits).unwrap();
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
    let bind = |args: &[&str]| {
        std::process::Command::new("mount").args(args).status().is_ok_and(|status| status.success())
    };
    let (from, to) = (site.folder().display().to_string(), mount.display().to_string());
    if !bind(&["--bind", &from, &to]) || !bind(&["-o", "remount,bind,ro", &to]) {
        println!("skipped: bind mounts are not allowed here");
        return;
    }
    let tried = std::panic::catch_unwind(|| {
        let reader =
            Reader::open_file(&mount.join("analytics.duckdb"), "serving", ReaderConfig::default())
                .unwrap();
        assert!(fs::write(mount.join("x"), "").is_err(), "the mount can be written");
        assert_eq!(
            int(&ask(&reader.pin().unwrap(), "SELECT count(*) FROM numbers").unwrap()),
            1000
        );
        site.change("INSERT INTO serving.numbers VALUES (1000, 1)");
        site.ok(&["export"]);
        eventually("the reader has followed", || {
            int(&ask(&reader.pin().unwrap(), "SELECT count(*) FROM numbers").unwrap()) == 1001
        });
    });
    let _ = std::process::Command::new("umount").arg("-l").arg(&mount).status();
    tried.unwrap();
}

#[test]
fn all_panels_of_a_dashboard_end_by_one_deadline() {
    let site = published();
    let reader = Reader::open_file(&site.served(), "serving", ReaderConfig::default()).unwrap();
    let time = Duration::from_millis(600);
    // 19 panels with a deadline each would take several times as long.
    at_best_within(time * 3, || {
        let pin = reader.pin().unwrap().with_budget(Budget::new(time, usize::MAX, 2));
        let begun = Instant::now();
        let heavy = (0..19).map(|panel| pin.query(endless(panel), QueryLimits::for_page()));
        for outcome in block_on(futures_util::future::join_all(heavy)) {
            let error = outcome.unwrap_err();
            assert!(matches!(&error, ReaderError::OverBudget { .. }), "{error:?}");
            assert!(error.to_string().contains("a dashboard may use"), "{error}");
        }
        begun.elapsed()
    });
    // The budget applied to that dashboard alone.
    assert_eq!(int(&ask(&reader.pin().unwrap(), "SELECT count(*) FROM numbers").unwrap()), 1000);
}

#[test]
fn all_panels_of_a_dashboard_share_one_amount_of_memory() {
    let site = published();
    let reader = Reader::open_file(&site.served(), "serving", ReaderConfig::default()).unwrap();
    let large =
        |panel: i64| Query::new(&format!("SELECT range AS r, {panel} AS panel FROM range(20000)"));
    let bytes =
        reader.pin().unwrap().query_blocking(large(0), QueryLimits::for_page()).unwrap().bytes;
    let pin = reader.pin().unwrap().with_budget(Budget::new(Duration::from_mins(1), bytes * 3, 2));
    // The first result is cached, and counts nevertheless.
    let outcomes: Vec<_> =
        (0..5).map(|panel| pin.query_blocking(large(panel), QueryLimits::for_page())).collect();
    assert!(outcomes[..3].iter().all(Result::is_ok), "{outcomes:?}");
    assert!(
        outcomes[3..].iter().all(|outcome| matches!(outcome, Err(ReaderError::OverBudget { .. }))),
        "{outcomes:?}"
    );
}
