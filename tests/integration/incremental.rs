//! An export copies exactly the tables that have changed.

use std::{fs, os::unix::fs::MetadataExt};

use duckdb::Connection;
use serde_json::Value;

use crate::support::{Site, eventually};

/// Two tables and a view on one of them.
fn site() -> Site {
    Site::with(
        "CREATE SCHEMA serving; CREATE SCHEMA phys;
         CREATE TABLE phys.a AS SELECT i AS id, (hash(i) >> 1)::BIGINT AS big FROM range(2000) t(i);
         CREATE TABLE phys.b AS SELECT i AS id, md5(i::VARCHAR) AS s FROM range(3000) t(i);
         CREATE VIEW serving.a AS SELECT * FROM lakehouse.phys.a;
         CREATE VIEW serving.b AS SELECT * FROM lakehouse.phys.b;
         CREATE VIEW serving.sums AS SELECT count(*) AS n, sum(big) AS total FROM lakehouse.phys.a;",
    )
}

impl Site {
    /// Returns the last attempt.
    fn last(&self) -> Value {
        self.history().pop().unwrap()
    }

    /// Exports and returns which tables were copied and which reused.
    fn copied_and_reused(&self) -> (Vec<String>, Vec<String>) {
        self.ok(&["export"]);
        let last = self.last();
        assert_eq!(last["outcome"], "published", "{last:#}");
        let those = |reused: bool| {
            let tables =
                last["tables"].as_array().unwrap().iter().filter(|table| table["reused"] == reused);
            tables.map(|table| table["name"].as_str().unwrap().to_owned()).collect()
        };
        (those(false), those(true))
    }

    /// Exports again and expects that nothing has changed.
    fn expect_unchanged(&self) {
        self.ok(&["export"]);
        assert_eq!(self.last()["outcome"], "unchanged", "{:#}", self.last());
    }
}

#[test]
fn an_unchanged_lakehouse_leaves_the_served_file_and_one_line_of_history() {
    let site = site();
    site.ok(&["export"]);
    let look = || {
        (
            site.listing(),
            fs::metadata(site.served()).unwrap().ino(),
            fs::read(site.served()).unwrap(),
        )
    };
    let before = look();
    // The file is either not touched at all, or written without any table being different.
    for change in [None, Some("CREATE TABLE phys.other AS SELECT 1 AS a")] {
        if let Some(change) = change {
            site.change(change);
        }
        let attempts = site.history().len();
        let ran = site.ok(&["export"]);
        assert!(
            ran.stdout.starts_with(
                "unchanged: analytics.duckdb already serves what the lakehouse contains"
            ),
            "{ran:#?}"
        );
        assert_eq!(look(), before);
        assert_eq!(site.history().len(), attempts + 1);
        assert_eq!(site.last()["generation"].as_str(), site.kept().last().map(String::as_str));
    }
}

#[test]
fn what_is_served_is_as_fresh_as_the_export_that_confirmed_it() {
    let site = site();
    site.ok(&["export"]);
    let exported_at = || -> jiff::Timestamp {
        let status: Value = serde_json::from_str(&site.run(&["status", "--json"]).stdout).unwrap();
        status["exported_at"].as_str().unwrap().parse().unwrap()
    };
    let before = exported_at();
    site.expect_unchanged();
    let confirmed = exported_at();
    assert!(confirmed > before, "{confirmed} is not after {before}");
    assert_eq!(
        site.last()["started_at"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap(),
        confirmed
    );
}

#[test]
fn a_running_reader_notices_that_its_generation_was_confirmed_and_goes_on_with_it() {
    let site = site();
    site.ok(&["export"]);
    let reader = materia::reader::Reader::open_file(
        &site.served(),
        "serving",
        materia::reader::ReaderConfig::default(),
    )
    .unwrap();
    let pin = reader.pin().unwrap();
    assert_eq!(pin.generation().confirmed_at, None);
    site.expect_unchanged();
    eventually("the confirmation is seen", || {
        reader.pin().unwrap().generation().confirmed_at.is_some()
    });
    let now = reader.pin().unwrap();
    assert_eq!(now.generation().sequence, pin.generation().sequence, "the same generation goes on");
    assert!(now.generation().as_of() > pin.generation().as_of());
}

#[test]
fn only_changed_tables_and_what_is_above_them_are_copied_and_the_history_says_why() {
    let site = site();
    site.ok(&["export"]);
    assert!(
        site.last()["tables"]
            .as_array()
            .unwrap()
            .iter()
            .all(|table| table["why"] == "nothing is served yet"),
        "{:#}",
        site.last()
    );
    site.change(
        "UPDATE phys.a SET big = 7 WHERE id = 1000; CREATE TABLE serving.c AS SELECT 1 AS one",
    );
    let ran = site.ok(&["export"]);
    assert!(ran.stdout.contains("4 tables (3 copied, 1 unchanged)"), "{ran:#?}");
    let why = |name: &str| {
        let last = site.last();
        let table = last["tables"]
            .as_array()
            .unwrap()
            .iter()
            .find(|table| table["name"] == name)
            .unwrap()
            .clone();
        table["why"].as_str().unwrap().to_owned()
    };
    assert_eq!([why("a"), why("sums"), why("c")], ["changed", "changed", "new"]);
    assert_eq!(why("b"), format!("unchanged since {}", site.kept()[0]));
    assert_eq!(
        site.number(
            "SELECT count(*) FROM serving.sums WHERE total = (SELECT sum(big) FROM serving.a)"
        ),
        1
    );
    site.change("DROP TABLE serving.c");
    site.settings("[export.tables.c]\nallow_lost = true\n");
    assert_eq!(
        site.copied_and_reused(),
        (vec![], vec!["a".to_owned(), "b".to_owned(), "sums".to_owned()])
    );
    assert_eq!(site.number("SELECT count(*) FROM duckdb_tables()"), 3);
}

#[test]
fn full_copies_every_table_although_nothing_has_changed() {
    let site = site();
    site.ok(&["export"]);
    site.ok(&["export", "--full"]);
    let last = site.last();
    assert_eq!(last["outcome"], "published");
    assert!(
        last["tables"]
            .as_array()
            .unwrap()
            .iter()
            .all(|table| table["reused"] == false && table["why"] == "a full export was requested"),
        "{last:#}"
    );
}

/// DuckDB's own checksum of a block stays the same when eight-byte values in it are swapped, and
/// blocks are reused.
#[test]
fn two_rows_that_change_places_again_and_again_are_noticed_each_time() {
    let site = site();
    site.ok(&["export"]);
    for round in 0..6 {
        let (one, other) = (10 + round, 500 + round);
        site.change(&format!(
            "UPDATE phys.a x SET big = y.big FROM phys.a y WHERE (x.id = {one} AND y.id = {other}) OR (x.id = {other} AND y.id = {one})"
        ));
        assert_eq!(site.copied_and_reused().0, ["a", "sums"], "round {round}: {:#}", site.last());
        let expected = format!(
            "SELECT (hash({other}::BIGINT) >> 1)::BIGINT - big FROM serving.a WHERE id = {one}"
        );
        assert_eq!(site.number(&expected), 0, "round {round}");
    }
}

#[test]
fn another_row_that_was_deleted_from_the_same_file_is_noticed() {
    let site = site();
    let kept = fs::read(site.lakehouse()).unwrap();
    site.change("DELETE FROM phys.a WHERE id = 3");
    site.ok(&["export"]);
    fs::write(site.lakehouse(), kept).unwrap();
    site.change("DELETE FROM phys.a WHERE id = 4");
    assert_eq!(site.copied_and_reused().0, ["a", "sums"]);
    assert_eq!(site.number("SELECT count(*) FROM serving.a WHERE id = 3"), 1);
}

#[test]
fn a_column_called_rowid_does_not_hide_which_rows_were_deleted() {
    let site = Site::with(
        "CREATE SCHEMA serving; CREATE TABLE serving.z AS SELECT 1 AS rowid, i AS a FROM range(10) t(i);",
    );
    let kept = fs::read(site.lakehouse()).unwrap();
    site.change("DELETE FROM serving.z WHERE a = 3");
    site.ok(&["export"]);
    fs::write(site.lakehouse(), kept).unwrap();
    site.change("DELETE FROM serving.z WHERE a = 4");
    site.ok(&["export"]);
    assert_eq!(site.number("SELECT sum(a)::BIGINT FROM serving.z"), 45 - 4);
}

#[test]
fn a_killed_writers_committed_rows_are_exported_and_only_changed_tables_are_copied() {
    let site = site();
    site.ok(&["export"]);
    let connection = Connection::open_in_memory().unwrap();
    let attach = format!(
        "PRAGMA disable_checkpoint_on_shutdown; ATTACH '{}' AS lakehouse;",
        site.lakehouse().display()
    );
    connection.execute_batch(&attach).unwrap();
    connection.execute_batch("UPDATE lakehouse.phys.a SET big = 11 WHERE id = 5").unwrap();
    drop(connection);
    assert!(site.path("lakehouse.duckdb.wal").metadata().unwrap().len() > 0);
    assert_eq!(
        site.copied_and_reused(),
        (vec!["a".to_owned(), "sums".to_owned()], vec!["b".to_owned()])
    );
    assert_eq!(site.number("SELECT big FROM serving.a WHERE id = 5"), 11);
    // Data that is only in memory has no fingerprint, and is copied until a checkpoint writes it to
    // the file; the copied data is what is served.
    assert!(site.ok(&["export"]).stdout.starts_with("unchanged"));
}

#[test]
fn what_may_come_out_differently_is_always_copied_and_what_cannot_is_not() {
    let different = [
        ("clock", "SELECT now() AS t", "it uses now(), which may differ each time"),
        ("clock_word", "SELECT current_date AS t", "it uses current_date"),
        (
            "ages",
            "SELECT age(TIMESTAMP '2020-01-01') AS t",
            "it uses age(), which may differ each time",
        ),
        (
            "lots",
            "SELECT id FROM lakehouse.phys.a WHERE random() < 2",
            "it uses random(), which may differ each time",
        ),
        ("by_macro", "SELECT lakehouse.main.late() AS t", "it uses the lakehouse's own late()"),
        ("sampled", "SELECT * FROM lakehouse.phys.a TABLESAMPLE 50%", "it takes a sample"),
        ("first_rows", "SELECT * FROM lakehouse.phys.a LIMIT 3", "it has a LIMIT"),
        ("one_each", "SELECT DISTINCT ON (id % 3) id FROM lakehouse.phys.a", "it uses DISTINCT ON"),
        (
            "outside",
            "SELECT * FROM read_csv('numbers.csv')",
            "it uses read_csv(), which may differ each time",
        ),
        (
            "outside_file",
            "SELECT * FROM 'numbers.csv'",
            "it reads numbers.csv, which may be outside the lakehouse",
        ),
        (
            "catalog",
            "SELECT count(*) AS n FROM duckdb_tables()",
            "it uses duckdb_tables(), which may differ each time",
        ),
        (
            "above",
            "SELECT * FROM lakehouse.serving.clock",
            "it uses now(), which may differ each time",
        ),
        (
            "local_clock",
            "SELECT current_localtimestamp() AS t",
            "it uses current_localtimestamp(), which may differ each time",
        ),
        (
            "doubled",
            "SELECT lakehouse.main.twice(id) AS t FROM lakehouse.phys.a",
            "it uses the lakehouse's own twice()",
        ),
        (
            "own_type",
            "SELECT (id::lakehouse.main.money)::VARCHAR AS m FROM lakehouse.phys.a",
            "it uses the lakehouse's own type money",
        ),
        (
            "all_tables",
            "SELECT count(*) AS n FROM duckdb_tables",
            "it reads duckdb_tables, which may be outside the lakehouse",
        ),
    ];
    let same = [
        ("plain", "SELECT * FROM lakehouse.phys.a"),
        (
            "counted",
            "SELECT id % 3 AS k, count(*) AS n, avg(big) AS m FROM lakehouse.phys.a WHERE id BETWEEN 1 AND 900 GROUP BY ALL HAVING n > 1",
        ),
        (
            "joined",
            "WITH x AS (SELECT id FROM lakehouse.phys.a) SELECT x.id, b.s FROM x LEFT JOIN lakehouse.phys.b USING (id) ORDER BY 1",
        ),
        (
            "ranked",
            "SELECT id, row_number() OVER (ORDER BY id DESC) AS r, lag(id) OVER (ORDER BY id) AS before FROM lakehouse.phys.b",
        ),
        (
            "made",
            "SELECT i, [i, 2] AS l, {'a': i} AS s, CASE WHEN i > 1 THEN 'x' END AS c FROM range(5) t(i) UNION ALL SELECT 1, [2, 3], {'a': 4}, NULL",
        ),
        (
            "repeated",
            "WITH RECURSIVE r AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM r WHERE i < 5) SELECT i, i + i AS t FROM r",
        ),
        (
            "turned",
            "SELECT * FROM (PIVOT (SELECT id % 2 AS k, id FROM lakehouse.phys.a) ON k IN (0, 1) USING count(*))",
        ),
        (
            "cast",
            "SELECT id::DECIMAL(9, 2) AS d, strftime(DATE '2020-01-01' + id::INTEGER, '%Y') AS y, s LIKE 'a%' AS l, list_transform([1], lambda z: z + 1) AS t FROM lakehouse.phys.b",
        ),
    ];
    let site = site();
    fs::write(site.path("numbers.csv"), "n\n1\n").unwrap();
    let mut views = String::new();
    for (name, sql) in different
        .iter()
        .map(|(name, sql, _)| (name, sql))
        .chain(same.iter().map(|(name, sql)| (name, sql)))
    {
        views += &format!("CREATE VIEW serving.{name} AS {sql};");
    }
    let folder = site.folder().display();
    site.change(&format!("SET file_search_path = '{folder}'; CREATE MACRO late() AS today(); CREATE MACRO twice(x) AS x + x; CREATE TYPE money AS DECIMAL(10, 2); {views}"));
    site.settings("[export]\nfiles = ['numbers.csv']\n");
    site.ok(&["export"]);
    site.change("UPDATE phys.b SET s = 'new' WHERE id = 1");
    // A sample may be empty.
    site.settings("[export]\nfiles = ['numbers.csv']\n[export.tables.sampled]\nallow_empty = true\nmax_drop = 1.0\n");
    site.ok(&["export"]);
    let last = site.last();
    let table = |name: &str| {
        last["tables"]
            .as_array()
            .unwrap()
            .iter()
            .find(|table| table["name"] == name)
            .unwrap()
            .clone()
    };
    for (name, sql, why) in different {
        assert_eq!(table(name)["why"], format!("always copied: {why}"), "{sql}");
    }
    for (name, sql) in same {
        let above_b = sql.contains("phys.b");
        assert_eq!(table(name)["reused"], !above_b, "{sql}: {:#}", table(name));
        assert_eq!(table(name)["why"] == "changed", above_b, "{sql}: {:#}", table(name));
    }
}

#[test]
fn an_edited_served_file_is_detected_and_rebuilt() {
    let site = site();
    site.ok(&["export"]);
    let writable = || {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(site.served(), fs::Permissions::from_mode(0o644)).unwrap();
    };
    writable();
    Connection::open(site.served()).unwrap().execute_batch("UPDATE serving.a SET big = 0").unwrap();
    site.ok(&["export"]);
    assert_eq!(
        site.last()["tables"][0]["why"],
        "the served file was changed after it was published"
    );
    assert!(site.number("SELECT max(big) FROM serving.a") > 0);

    // One bit is flipped and the file's time restored: detected when the file is about to be
    // reused.
    writable();
    let mut bytes = fs::read(site.served()).unwrap();
    let time = fs::metadata(site.served()).unwrap().modified().unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(site.served(), bytes).unwrap();
    fs::File::options().append(true).open(site.served()).unwrap().set_modified(time).unwrap();
    site.change("UPDATE phys.a SET big = 7 WHERE id = 1");
    let ran = site.ok(&["export"]);
    assert!(ran.stderr.contains("the served file is not what was published"), "{ran:#?}");
    assert!(
        site.last()["tables"].as_array().unwrap().iter().all(|table| table["reused"] == false),
        "{:#}",
        site.last()
    );
}

#[test]
fn unchanged_data_is_checked_again_where_the_checks_are_others_or_time_has_passed() {
    let site = site();
    site.ok(&["export"]);
    site.settings("[export.tables.a]\nmin_rows = 5000\n");
    let ran = site.fails(&["export"], 3);
    assert!(ran.stderr.contains("a has 2,000 rows, at least 5,000 wanted (min_rows)"), "{ran:#?}");
    site.settings("[export.tables.a]\nmin_rows = 5\n");
    site.expect_unchanged();
    site.settings("[[export.audits]]\nname = \"time\"\nsql = \"SELECT 1 WHERE now() > TIMESTAMPTZ '2020-01-01'\"\n");
    let ran = site.fails(&["export"], 3);
    assert!(ran.stderr.contains("returned 1 row (time)"), "{ran:#?}");
}

#[test]
fn a_file_that_would_be_mostly_empty_inside_is_copied_whole() {
    let site = Site::with(
        "CREATE SCHEMA serving;
         CREATE TABLE serving.small AS SELECT i AS id, md5(i::VARCHAR) AS s FROM range(30000) t(i);
         CREATE TABLE serving.large AS SELECT i AS id, md5(i::VARCHAR) || md5((i + 7)::VARCHAR) AS s FROM range(200000) t(i);",
    );
    site.ok(&["export"]);
    let bytes = || fs::metadata(site.served()).unwrap().len();
    let before = bytes();
    site.change("UPDATE serving.large SET s = s || 'x'");
    assert_eq!(site.copied_and_reused(), (vec!["large".to_owned()], vec!["small".to_owned()]));
    assert!(
        bytes() < before * 11 / 10,
        "{} after {before}: freed space was not used again",
        bytes()
    );
    site.change("DELETE FROM serving.large WHERE id > 100");
    site.settings("[export.tables.large]\nmax_drop = 1.0\n");
    assert_eq!(site.copied_and_reused().1, Vec::<String>::new());
    assert!(bytes() < before / 3, "{} after {before}", bytes());
}

/// A table of almost two and a half row groups, and views on it.
fn large() -> Site {
    Site::with(
        "CREATE SCHEMA serving; CREATE SCHEMA phys;
         CREATE TABLE phys.facts AS SELECT i AS id, i // 3000 AS day, i % 1000 AS v, 'x' || i % 50 AS s FROM range(300000) t(i);
         CREATE VIEW serving.facts AS SELECT * FROM lakehouse.phys.facts;
         CREATE VIEW serving.odd AS SELECT id FROM lakehouse.phys.facts WHERE id % 2 = 1;
         CREATE VIEW serving.renamed(fact, w) AS SELECT id, v FROM lakehouse.phys.facts;",
    )
}

impl Site {
    /// Exports, checks that the served tables have the rows of the lakehouse in the same order, and
    /// returns why each was copied.
    fn export_in_order(&self) -> Vec<String> {
        self.ok(&["export"]);
        let last = self.last();
        assert_eq!(last["outcome"], "published", "{last:#}");
        let connection = crate::support::reading(&self.served());
        connection
            .execute_batch(&format!(
                "ATTACH '{}' AS lakehouse (READ_ONLY)",
                self.lakehouse().display()
            ))
            .unwrap();
        let tables = last["tables"].as_array().unwrap();
        for table in tables {
            let name = table["name"].as_str().unwrap();
            let rows = |catalog: &str| -> String {
                let query = format!(
                    "SELECT concat_ws(' ', count(*), sum(hash(t))) FROM (SELECT row_number() OVER () AS number, * FROM {catalog}.serving.{name}) t"
                );
                connection.query_row(&query, [], |row| row.get(0)).unwrap()
            };
            assert_eq!(rows("analytics"), rows("lakehouse"), "{name}: {last:#}");
        }
        tables.iter().map(|table| table["why"].as_str().unwrap().to_owned()).collect()
    }
}

#[test]
fn of_a_table_that_changes_at_its_end_only_the_last_row_groups_are_copied() {
    let site = large();
    site.ok(&["export"]);
    let rows = |from: i64, to: i64, v: i64| {
        format!(
            "INSERT INTO phys.facts SELECT i, i // 3000, {v}, 'new' FROM range({from}, {to}) t(i);"
        )
    };
    // The last days are rewritten; the rows that were deleted are marked until a vacuum.
    let rewrite = |day: i64, to: i64, v: i64| {
        format!("DELETE FROM phys.facts WHERE day >= {day}; {}", rows(day * 3_000, to, v))
    };
    for (change, kept) in [
        (rows(300_000, 306_000, 1), 245_760),
        (rewrite(99, 309_000, 2), 245_760),
        (rewrite(101, 312_000, 3), 245_760),
        (
            "CREATE OR REPLACE TABLE phys.facts AS FROM phys.facts ORDER BY id;".to_owned()
                + &rows(312_000, 400_000, 4),
            245_760,
        ),
        (rows(400_000, 400_001, 4), 368_640),
        ("UPDATE phys.facts SET v = -1 WHERE id = 150000".to_owned(), 122_880),
        ("DELETE FROM phys.facts WHERE id >= 250000".to_owned(), 245_760),
    ] {
        site.change(&change);
        let why = site.export_in_order();
        let after = why[0].strip_prefix("changed after row ").map(|row| row.replace(',', ""));
        let after: i64 = after.unwrap_or_else(|| panic!("{change}: {why:?}")).parse().unwrap();
        // Several threads may leave row groups that are not full.
        assert!(after <= kept && after > kept - 122_880, "{change}: {why:?}");
        assert_eq!((why[1].as_str(), &why[2]), ("changed", &why[0]), "{change}");
    }
    // A full export has the same digests.
    let digests = || {
        let id = site.kept().pop().unwrap();
        let manifest = fs::read_to_string(site.path(&format!("analytics.generations/{id}.json")));
        let manifest: Value = serde_json::from_str(&manifest.unwrap()).unwrap();
        ["facts", "renamed"].map(|name| {
            let tables = manifest["tables"].as_array().unwrap();
            let table = tables.iter().find(|table| table["name"] == name).unwrap();
            (table["content"].clone(), table["row_groups"].clone())
        })
    };
    let before = digests();
    assert_eq!(before[0].1.as_array().unwrap().len(), 3, "{before:?}");
    site.change("CREATE TABLE serving.new AS SELECT 1 AS a");
    site.ok(&["export", "--full"]);
    assert_eq!(digests(), before);
}

#[test]
fn a_table_whose_declaration_or_order_changed_is_copied_whole() {
    let site = large();
    site.ok(&["export"]);
    let allow = "[export.tables.facts]\nallow_column_changes = true\n";
    site.settings(&format!("{allow}[export.tables.renamed]\nallow_column_changes = true\n"));
    for change in [
        "COMMENT ON COLUMN serving.facts.v IS 'amount'",
        "COMMENT ON VIEW serving.facts IS 'facts'",
        "ALTER TABLE phys.facts ALTER COLUMN v SET DATA TYPE DOUBLE",
        "ALTER TABLE phys.facts ADD COLUMN more INTEGER; CREATE OR REPLACE VIEW serving.facts AS SELECT * FROM phys.facts",
        "CREATE OR REPLACE VIEW serving.facts AS SELECT id, day, v, upper(s) AS s FROM phys.facts",
        "CREATE OR REPLACE VIEW serving.facts AS SELECT id, day AS v, v::BIGINT AS day, s FROM phys.facts",
        "CREATE OR REPLACE VIEW serving.facts AS SELECT * FROM phys.facts WHERE id <> 299999",
        "CREATE TABLE phys.other (id BIGINT, day BIGINT, v DOUBLE, s VARCHAR COLLATE NOCASE, more INTEGER); INSERT INTO phys.other FROM phys.facts; DROP TABLE phys.facts; ALTER TABLE phys.other RENAME TO facts; CREATE OR REPLACE VIEW serving.facts AS SELECT * FROM phys.facts",
        "UPDATE phys.facts SET s = 'first' WHERE id = 1",
    ] {
        site.change(&format!(
            "{change}; INSERT INTO phys.facts BY NAME SELECT 300000 AS id, 's' AS s"
        ));
        let why = site.export_in_order();
        assert!(!why[0].contains("after row"), "{change}: {why:?}");
    }
    site.settings(&format!("{allow}order_by = ['id DESC']\n"));
    site.change("INSERT INTO phys.facts BY NAME SELECT 300001 AS id, 's' AS s");
    site.ok(&["export"]);
    let tables = &site.last()["tables"];
    assert_eq!(tables[0]["why"], "changed", "{tables:#}");
    assert_eq!(tables[2]["why"], "changed after row 245,760", "{tables:#}");
    assert_eq!(site.number("SELECT id FROM serving.facts WHERE rowid = 0"), 300_001);
    // Every row has another number.
    site.settings("");
    site.change("DELETE FROM phys.facts WHERE id = 0");
    let why = site.export_in_order();
    assert!(why.iter().all(|why| !why.contains("after row")), "{why:?}");
}

#[test]
fn a_table_that_grew_many_times_is_laid_out_like_one_that_was_written_once() {
    let exports = std::env::var("MATERIA_TEST_APPENDS").ok();
    let exports: usize = exports.and_then(|exports| exports.parse().ok()).unwrap_or(6);
    let site = large();
    site.ok(&["export"]);
    for export in 0..exports {
        let day = 100 + 2 * export;
        site.change(&format!(
            "DELETE FROM phys.facts WHERE day >= {};
             INSERT INTO phys.facts SELECT i, i // 3000, hash(i + {export}) % 1000, md5(i::VARCHAR) FROM range({}, {}) t(i)",
            day - 3,
            (day - 3) * 3_000,
            (day + 2) * 3_000
        ));
        site.ok(&["export"]);
        assert!(site.last()["tables"][0]["why"].as_str().unwrap().contains("after row"));
    }
    let layout = || {
        let connection = crate::support::reading(&site.served());
        let query = "SELECT count(DISTINCT row_group_id) FROM pragma_storage_info('serving.facts')";
        let groups: i64 = connection.query_row(query, [], |row| row.get(0)).unwrap();
        (fs::metadata(site.served()).unwrap().len(), groups)
    };
    let (bytes, groups) = layout();
    site.change("CREATE TABLE serving.new AS SELECT 1 AS a");
    site.ok(&["export", "--full"]);
    let (fresh_bytes, fresh_groups) = layout();
    println!(
        "after {exports} exports: {bytes} bytes, {groups} row groups; in a full one: {fresh_bytes}, {fresh_groups}"
    );
    // Blocks are 256 KiB.
    assert!(
        bytes <= fresh_bytes + fresh_bytes / 10 + (1 << 20),
        "{bytes} bytes, {fresh_bytes} when written once"
    );
    assert!(
        groups <= fresh_groups + fresh_groups / 10 + 2,
        "{groups} row groups, {fresh_groups} when written once"
    );
}
