//! The shared reader on real published files, while other processes publish.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    sync::Arc,
    time::{Duration, Instant},
};

use duckdb::arrow::{array::AsArray, datatypes::Int64Type};
use materia::reader::{
    Pin, Query, QueryLimits, QueryResult, Reader, ReaderConfig, ReaderError, ReaderState, block_on,
};

use crate::{
    child::Actor,
    support::{Site, at_best_within, eventually},
};

pub(crate) fn open(site: &Site) -> Reader {
    Reader::open_file(&site.served(), "serving", ReaderConfig::default()).unwrap()
}

pub(crate) fn ask(pin: &Pin, sql: &str) -> Result<Arc<QueryResult>, ReaderError> {
    block_on(pin.query(Query::new(sql), QueryLimits::for_page()))
}

/// Returns the first value of the first column.
pub(crate) fn int(answer: &QueryResult) -> i64 {
    answer.batches[0].column(0).as_primitive::<Int64Type>().value(0)
}

fn count(reader: &Reader, table: &str) -> i64 {
    int(&ask(&reader.pin().unwrap(), &format!("SELECT count(*) FROM {table}")).unwrap())
}

#[test]
fn fifty_concurrent_threads_get_correct_counts_and_lower_case_columns() {
    let site = Site::small();
    site.ok(&["export"]);
    let reader = open(&site);
    std::thread::scope(|scope| {
        for _ in 0..50 {
            scope.spawn(|| {
                let pin = reader.pin().unwrap();
                let answer =
                    ask(&pin, "SELECT count(*) AS \"ROWS\", max(ID) AS Largest FROM numbers")
                        .unwrap();
                assert_eq!(int(&answer), 1000);
                let names: Vec<_> =
                    answer.schema.fields().iter().map(|field| field.name().as_str()).collect();
                assert_eq!(names, ["rows", "largest"]);
            });
        }
    });
}

#[test]
fn a_reader_opened_before_there_is_a_file_serves_it_when_it_appears() {
    let site = Site::small();
    let reader = open(&site);
    let Err(ReaderError::Unavailable { reason, .. }) = reader.pin().map(drop) else {
        panic!("there is nothing to pin")
    };
    assert!(reason.contains("does not exist"), "{reason}");
    site.ok(&["export"]);
    eventually("the reader serves the new file", || reader.pin().is_ok());
    assert_eq!(count(&reader, "numbers"), 1000);
    assert_eq!(reader.state().problem, None);
}

#[test]
fn a_page_reads_one_generation_even_when_another_one_is_published_meanwhile() {
    let site = Site::small();
    site.ok(&["export"]);
    let reader = open(&site);
    let page = reader.pin().unwrap();
    site.change("INSERT INTO serving.numbers VALUES (1000, 1)");
    site.ok(&["export"]);
    let mut generations = reader.generations();
    block_on(generations.wait_for(|info| info.as_ref().is_some_and(|info| info.sequence == 2)))
        .unwrap();
    assert_eq!(int(&ask(&page, "SELECT count(*) FROM numbers").unwrap()), 1000);
    assert_eq!(count(&reader, "numbers"), 1001);
}

#[test]
fn whoever_asks_for_the_latest_generation_gets_what_was_published_before() {
    let site = Site::small();
    site.ok(&["export"]);
    let reader = open(&site);
    let connection = |path: &std::path::Path| duckdb::Connection::open(path).unwrap();
    for number in 1..=20_i64 {
        let next = site.path("next.duckdb");
        connection(&next)
            .execute_batch(&format!(
                "CREATE SCHEMA serving; CREATE TABLE serving.numbers AS SELECT {number}::BIGINT AS id"
            ))
            .unwrap();
        fs::rename(&next, site.served()).unwrap();
        let pin = block_on(reader.pin_latest()).unwrap();
        assert_eq!(int(&ask(&pin, "SELECT id FROM numbers").unwrap()), number);
    }
    // What cannot be opened is not waited for.
    fs::write(site.path("next.duckdb"), "no database").unwrap();
    fs::rename(site.path("next.duckdb"), site.served()).unwrap();
    let pin = block_on(reader.pin_latest()).unwrap();
    assert_eq!(int(&ask(&pin, "SELECT id FROM numbers").unwrap()), 20);
}

#[test]
fn values_are_bound_by_name_and_never_become_sql() {
    let site = Site::small();
    site.ok(&["export"]);
    let pin = open(&site).pin().unwrap();
    let query = Query::new("SELECT count(*) FROM names WHERE name = $name OR id = ANY($ids)")
        .bind("name", "b'; DROP TABLE names; --")
        .bind("ids", vec![1_i64, 3])
        .bind("not used by this panel", 1_i64);
    assert_eq!(int(&block_on(pin.query(query, QueryLimits::for_page())).unwrap()), 2);
    let error = ask(&pin, "SELECT * FROM names WHERE id = $id").unwrap_err();
    assert_eq!(error.to_string(), "refused: the query needs a value for $id");
}

#[test]
fn a_result_has_its_generation_and_the_catalog_has_tables_columns_and_summaries() {
    let site = Site::with(
        "CREATE SCHEMA serving; CREATE TABLE serving.t (id BIGINT NOT NULL, name VARCHAR);
         INSERT INTO serving.t SELECT i, CASE WHEN i % 2 = 0 THEN 'n' || i END FROM range(10) r(i);
         COMMENT ON TABLE serving.t IS 'Things'; COMMENT ON COLUMN serving.t.id IS 'Which';",
    );
    site.ok(&["export"]);
    let pin = open(&site).pin().unwrap();
    let id = site.history()[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(pin.generation().id.as_ref().unwrap().as_str(), id);
    assert!(pin.generation().exported_at.is_some());
    let catalog = block_on(pin.catalog()).unwrap();
    assert_eq!(catalog.tables.len(), 1);
    let table = &catalog.tables[0];
    assert_eq!(
        (table.name.as_str(), table.rows, table.comment.as_deref()),
        ("t", 10, Some("Things"))
    );
    assert_eq!((table.columns[0].data_type.as_str(), table.columns[0].nullable), ("BIGINT", false));
    assert_eq!(table.columns[0].comment.as_deref(), Some("Which"));
    assert_eq!(block_on(pin.table_bytes("t")).unwrap() % 262_144, 0);
    assert!((1..=4).contains(&(block_on(pin.table_bytes("t")).unwrap() / 262_144)));
    let summary = block_on(pin.summarize("t", "name")).unwrap();
    assert_eq!(
        (summary.min.as_deref(), summary.max.as_deref(), summary.nulls),
        (Some("n0"), Some("n8"), 5)
    );
}

#[test]
fn a_stream_delivers_all_rows_of_one_generation_at_its_readers_pace() {
    let site = Site::with(
        "CREATE SCHEMA serving; CREATE TABLE serving.big AS SELECT i FROM range(500000) t(i);",
    );
    site.ok(&["export"]);
    let reader = open(&site);
    let mut stream = reader
        .pin()
        .unwrap()
        .stream(Query::new("SELECT i FROM big"), QueryLimits::for_download())
        .unwrap();
    let first = stream.blocking_next().unwrap().unwrap();
    assert_eq!((first.num_rows(), first.num_columns()), (0, 1));
    site.change("DELETE FROM serving.big WHERE i > 400000");
    site.ok(&["export"]);
    eventually("the reader has followed", || reader.pin().unwrap().generation().sequence == 2);
    let mut rows = 0;
    while let Some(batch) = stream.blocking_next() {
        rows += batch.unwrap().num_rows();
    }
    assert_eq!(rows, 500_000);
}

#[test]
fn a_damaged_served_file_leaves_the_last_good_generation_served_and_the_reason_reported() {
    type Fault = (&'static str, fn(&Site), &'static str);
    let faults: [Fault; 5] = [
        ("deleted", |site| fs::remove_file(site.served()).unwrap(), "does not exist"),
        (
            "replaced by garbage",
            |site| replace(site, |path| fs::write(path, "not a database".repeat(10_000)).unwrap()),
            "not a valid DuckDB",
        ),
        (
            "replaced by an empty file",
            |site| replace(site, |path| fs::write(path, "").unwrap()),
            "analytics",
        ),
        (
            "replaced by a folder",
            |site| {
                fs::remove_file(site.served()).unwrap();
                fs::create_dir(site.served()).unwrap();
            },
            "is not a file",
        ),
        (
            "truncated in place",
            |site| {
                fs::OpenOptions::new()
                    .write(true)
                    .open(site.served())
                    .unwrap()
                    .set_len(20_000)
                    .unwrap();
            },
            "bytes",
        ),
    ];
    for (name, break_it, message) in faults {
        let site = Site::small();
        site.ok(&["export"]);
        site.change("INSERT INTO serving.numbers VALUES (1000, 1)");
        site.ok(&["export"]);
        let reader = open(&site);
        break_it(&site);
        let problem = |state: &ReaderState| {
            state.problem.as_ref().map(|problem| problem.reason.clone()).unwrap_or_default()
        };
        eventually(&format!("{name}: the reason is told"), || {
            problem(&reader.state()).contains(message)
        });
        let rows = count(&reader, "numbers");
        // A file changed in place is damaged for everyone who has it open: the previous generation
        // replaces it.
        assert_eq!(rows, if name == "truncated in place" { 1000 } else { 1001 }, "{name}");
        if site.served().is_dir() {
            fs::remove_dir(site.served()).unwrap();
        }
        site.change("INSERT INTO serving.numbers VALUES (1001, 1)");
        site.ok(&["export"]);
        eventually(&format!("{name}: the reader recovers"), || reader.state().problem.is_none());
        eventually(&format!("{name}: the new generation is served"), || {
            count(&reader, "numbers") == 1002
        });
    }
}

fn replace(site: &Site, make: impl Fn(&std::path::Path)) {
    let other = site.path("other");
    make(&other);
    fs::rename(other, site.served()).unwrap();
}

#[test]
fn two_swaps_within_a_millisecond_end_at_the_second() {
    let site = Site::small();
    site.ok(&["export"]);
    site.change("INSERT INTO serving.numbers VALUES (1000, 1)");
    site.ok(&["export"]);
    let reader = open(&site);
    let kept: Vec<_> = fs::read_dir(site.path("analytics.generations"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    let mut files: Vec<_> = kept
        .into_iter()
        .filter(|path| path.extension().is_some_and(|end| end == "duckdb"))
        .collect();
    files.sort();
    for _ in 0..50 {
        for (path, name) in files.iter().zip(["a", "b"]) {
            fs::hard_link(path, site.path(name)).unwrap();
        }
        for name in ["a", "b"] {
            // Renaming a file over another link to it leaves both names.
            fs::rename(site.path(name), site.served()).unwrap();
            let _ = fs::remove_file(site.path(name));
        }
        eventually("the second one is served", || count(&reader, "numbers") == 1001);
    }
}

#[test]
fn a_swap_is_noticed_within_a_quarter_of_a_second_without_traffic() {
    let site = Site::small();
    site.ok(&["export"]);
    let reader = open(&site);
    let mut generations = reader.generations();
    generations.borrow_and_update();
    let mut sequence = 1;
    // The export writes the history and prunes after the swap, which is included in the time.
    at_best_within(Duration::from_secs(2), || {
        site.ok(&["export", "--full"]);
        sequence += 1;
        let swapped = fs::metadata(site.served()).unwrap().modified().unwrap();
        block_on(generations.changed()).unwrap();
        swapped.elapsed().unwrap()
    });
    at_best_within(Duration::from_millis(250), || {
        let begun = Instant::now();
        assert_eq!(reader.pin().unwrap().generation().sequence, sequence);
        begun.elapsed()
    });
}

#[test]
fn an_unreadable_file_is_reported_and_served_as_soon_as_it_is_readable() {
    let site = Site::small();
    site.ok(&["export"]);
    let may = |path: &std::path::Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    may(site.folder(), 0o755);
    if fs::metadata(site.served()).unwrap().uid() != 0 {
        println!("skipped: only root can start a process as somebody else");
        return;
    }
    let mut reader = Actor::start_as_nobody("asked reader", &site.served(), site.folder());
    assert_eq!(reader.tell("?").trim_end(), "1000 rows;");
    // A new file is as readable as the one it replaces.
    may(&site.served(), 0o400);
    site.change("INSERT INTO serving.numbers VALUES (1000, 1)");
    site.ok(&["export"]);
    let mut text = String::new();
    let is_refused = |text: &str| text.contains("ermission") || text.contains("annot open");
    eventually("the reason is told", || {
        text = reader.tell("?");
        assert!(text.starts_with("1000 rows;"), "{text}");
        is_refused(&text)
    });
    may(&site.served(), 0o444);
    eventually("the new generation is served", || reader.tell("?").trim_end() == "1001 rows;");
    reader.end();
}

#[test]
fn a_short_lived_reader_process_ends_without_a_crash() {
    let site = Site::small();
    site.ok(&["export"]);
    for _ in 0..60 {
        site.ok(&["status"]);
    }
}
