//! Served columns have the type and the values of the lakehouse's, whatever the type.

use duckdb::Connection;

use crate::support::{Site, is_on_duckdb_2, writable};

/// Creates a lakehouse of this storage version, or returns DuckDB's reason why it cannot be
/// created.
fn lakehouse(version: &str, sql: &str) -> Result<Site, String> {
    let site = Site::empty();
    let connection = Connection::open_in_memory().unwrap();
    let attach = format!(
        "ATTACH '{}' AS lakehouse (STORAGE_VERSION '{version}'); USE lakehouse.main",
        site.lakehouse().display()
    );
    connection.execute_batch(&attach).unwrap();
    connection.execute_batch("CREATE SCHEMA serving").unwrap();
    connection.execute_batch(sql).map_err(|error| error.to_string())?;
    connection.execute_batch("CHECKPOINT lakehouse; USE memory; DETACH lakehouse").unwrap();
    Ok(site)
}

/// Compares every served table with the lakehouse's: names and types of columns, and all rows in
/// both directions.
fn assert_same(site: &Site, what: &str) {
    let connection = Connection::open_in_memory().unwrap();
    for (path, name) in [(site.lakehouse(), "lakehouse"), (site.served(), "analytics")] {
        connection
            .execute_batch(&format!("ATTACH '{}' AS {name} (READ_ONLY)", path.display()))
            .unwrap();
    }
    connection.execute_batch("USE lakehouse.main").unwrap();
    let texts = |sql: &str| -> Vec<String> {
        let mut statement = connection.prepare(sql).unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
    };
    let relations = texts(
        "SELECT table_name FROM duckdb_tables() WHERE database_name = 'lakehouse' AND schema_name = 'serving'
         UNION ALL SELECT view_name FROM duckdb_views() WHERE database_name = 'lakehouse' AND schema_name = 'serving'",
    );
    assert!(!relations.is_empty());
    for table in relations {
        let columns = |catalog: &str| {
            texts(&format!(
                "SELECT column_name || ' ' || column_type FROM (DESCRIBE {catalog}.serving.\"{table}\")"
            ))
        };
        assert_eq!(columns("analytics"), columns("lakehouse"), "{what}: {table}");
        let count = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
        assert!(
            count(&format!("SELECT count(*) FROM analytics.serving.\"{table}\"")) > 0,
            "{what}: {table} is empty"
        );
        for (left, right) in [("analytics", "lakehouse"), ("lakehouse", "analytics")] {
            let sql = format!(
                "SELECT count(*) FROM (FROM {left}.serving.\"{table}\" EXCEPT ALL FROM {right}.serving.\"{table}\")"
            );
            assert_eq!(count(&sql), 0, "{what}: {table}: in {left} and not in {right}");
        }
    }
}

/// Types that every storage version supports, each with extremes, nulls, and nesting.
const HAND_MADE: &str = "
    CREATE TYPE mood AS ENUM ('sad', 'happy', 'it''s');
    CREATE TABLE serving.plain AS SELECT * FROM (VALUES
        (TRUE, 127::TINYINT, (-32768)::SMALLINT, 2147483647, (-9223372036854775808)::BIGINT, 170141183460469231731687303715884105727::HUGEINT,
         255::UTINYINT, 65535::USMALLINT, 4294967295::UINTEGER, 18446744073709551615::UBIGINT, 340282366920938463463374607431768211455::UHUGEINT),
        (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)) t(b, i1, i2, i4, i8, i16, u1, u2, u4, u8, u16);
    CREATE TABLE serving.fractions AS SELECT * FROM (VALUES
        (1.5::FLOAT, 'nan'::DOUBLE, 99999999999999999999999999999999999999::DECIMAL(38, 0), 0.00000000000000000001::DECIMAL(38, 20), 9.9::DECIMAL(2, 1)),
        ('inf'::FLOAT, '-inf'::DOUBLE, -1, -1, NULL)) t(f, d, d38, d20, d2);
    CREATE TABLE serving.times AS SELECT DATE '0001-01-01' AS d, DATE 'infinity' AS forever, TIME '24:00:00' AS t, TIMETZ '12:00:00+05:30' AS tz,
        TIMESTAMP '2026-01-01 00:00:00.123456' AS us, TIMESTAMP_S '2026-01-01 00:00:01' AS s, TIMESTAMP_MS '2026-01-01 00:00:00.123' AS ms,
        TIMESTAMP_NS '2026-01-01 00:00:00.123456789' AS ns, TIMESTAMPTZ '2026-01-01 00:00:00+02' AS zoned,
        INTERVAL '1 month 2 days 3 microseconds' AS span;
    CREATE TABLE serving.texts AS SELECT 'ä☕' || chr(0) || 'x' AS t, '\\x00\\xFF'::BLOB AS raw, '10110'::BIT AS bits,
        '00000000-0000-0000-0000-000000000001'::UUID AS id, 'it''s'::mood AS mood, '{\"a\": [1, null]}'::JSON AS j,
        repeat('long', 100000) AS long;
    CREATE TABLE serving.nested AS SELECT
        [{'a': 1, 'b': ['x', NULL]}, NULL] AS list_of_struct, MAP {'k': [1, 2], 'l': NULL} AS map, [1, 2, 3]::INTEGER[3] AS fixed,
        {'m': 'sad'::mood, 'deep': {'d': 1.10::DECIMAL(4, 2)}} AS struct, [[1], [], NULL]::INTEGER[][] AS lists,
        [['a', 'b'], ['c', NULL]]::VARCHAR[2][2] AS matrix, union_value(num := 1)::UNION(num INTEGER, txt VARCHAR) AS either;
    CREATE VIEW serving.untyped_null AS SELECT NULL AS nothing;
    CREATE VIEW serving.of_mood AS SELECT mood FROM serving.texts;";

#[test]
fn hand_made_values_of_every_type_are_served_as_they_are_in_the_oldest_and_the_newest_storage() {
    for version in writable(vec!["v1.0.0", "v1.5.0", "v2.0.0"]) {
        let site = lakehouse(version, HAND_MADE).unwrap();
        site.ok(&["export"]);
        assert_same(&site, version);
    }
}

#[test]
fn every_type_duckdb_lists_is_served_as_it_is_or_refused_with_the_storage_version_it_needs() {
    let connection = Connection::open_in_memory().unwrap();
    let mut statement =
        connection.prepare("SELECT column_name FROM (DESCRIBE FROM test_all_types())").unwrap();
    let all: Vec<String> =
        statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
    assert!(all.len() > 40, "{all:?}");
    for version in writable(vec!["v1.0.0", "v2.0.0"]) {
        // One after another, to determine which of them a file of this version supports.
        let storable = |column: &&String| {
            lakehouse(
                version,
                &format!("CREATE TABLE serving.t AS SELECT \"{column}\" FROM test_all_types()"),
            )
            .is_ok()
        };
        let (held, not_held): (Vec<_>, Vec<_>) = all.iter().partition(|column| storable(column));
        assert!(held.len() > 40, "{version}: {not_held:?}");
        let columns: Vec<_> = held.iter().map(|column| format!("\"{column}\"")).collect();
        let site = lakehouse(
            version,
            &format!(
                "CREATE TABLE serving.all_types AS SELECT {} FROM test_all_types()",
                columns.join(", ")
            ),
        )
        .unwrap();
        site.ok(&["export"]);
        assert_same(&site, version);
        println!("{version} cannot hold {not_held:?}");
        assert!(version != "v2.0.0" || not_held.is_empty(), "{not_held:?}");
        for column in not_held {
            let site = lakehouse(
                version,
                &format!("CREATE VIEW serving.t AS SELECT \"{column}\" FROM test_all_types()"),
            )
            .unwrap();
            let ran = site.run(&["export"]);
            assert_eq!(ran.code, 1, "{column}: {ran:#?}");
            assert!(ran.stderr.contains("DuckDB could not copy serving.t"), "{column}: {ran:#?}");
            assert!(
                ran.stderr.contains("not supported in storage versions prior to"),
                "{column}: {ran:#?}"
            );
            assert!(
                ran.stderr.contains("request that one with --storage-version"),
                "{column}: {ran:#?}"
            );
            site.ok(&["export", "--storage-version", "v2.0.0"]);
        }
    }
}

#[test]
fn types_of_the_newest_storage_are_served_from_it() {
    if !is_on_duckdb_2("does not write the newest storage") {
        return;
    }
    let site = lakehouse(
        "v2.0.0",
        "CREATE TABLE serving.t AS SELECT {'a': [1, 2]}::VARIANT AS v, 123456789012345678901234567890123456789012345678901234567890::BIGNUM AS big,
         'POINT (1 2)'::GEOMETRY AS place, TIME_NS '00:00:00.123456789' AS ns",
    )
    .unwrap();
    site.ok(&["export"]);
    assert_same(&site, "v2.0.0");
}

#[test]
fn an_export_has_the_lakehouses_storage_version_by_default() {
    let tag = |site: &Site| {
        let connection = crate::support::reading(&site.served());
        connection
            .query_row("SELECT tags['storage_version'] FROM duckdb_databases() WHERE database_name = 'analytics'", [], |row| {
                row.get::<_, String>(0)
            })
            .unwrap()
    };
    for version in writable(vec!["v1.0.0", "v1.2.0", "v1.5.0", "v2.0.0"]) {
        let site = lakehouse(version, "CREATE TABLE serving.t AS SELECT 1 AS a").unwrap();
        site.ok(&["export"]);
        assert_eq!(tag(&site), format!("{version}+"));
        site.ok(&["export", "--storage-version", "v1.0.0"]);
        assert_eq!(tag(&site), "v1.0.0+");
        let attempts = site.history().len();
        let ran = site.run(&["export", "--storage-version", "v9.9.9"]);
        // Incorrect usage is not an attempt.
        assert_eq!((ran.code, site.history().len()), (2, attempts), "{ran:#?}");
        assert!(
            ran.stderr.contains("v9.9.9") && ran.stderr.contains("--storage-version"),
            "{ran:#?}"
        );
    }
}
