//! Readers get exactly the exported values, whatever the kind of target; values that a lake would
//! alter are refused before anything is published.

use duckdb::{Connection, arrow::util::display::array_value_to_string};
use materia::reader::{Query, QueryLimits, Reader, block_on};

use crate::{
    lake_targets::{Kind, Place, on_every_lake, on_every_target, texts},
    reader::ask,
    support::reading,
};

on_every_target!(
    every_value_of_every_type_is_served_as_the_lakehouse_holds_it,
    names_comments_nullability_and_empty_tables_are_served_as_the_lakehouse_has_them,
    an_export_into_a_place_that_holds_tables_already_replaces_those_of_its_schema_alone,
);
on_every_lake!(
    types_that_a_lake_would_change_are_refused_by_table_column_and_type,
    values_of_types_that_a_lake_lacks_are_kept_as_other_types_where_that_is_allowed,
);

/// Every type that all targets support, with extremes, nulls, and nesting.
const VALUES: &str = "
    CREATE TABLE serving.plain AS SELECT * FROM (VALUES
        (TRUE, 127::TINYINT, (-32768)::SMALLINT, 2147483647, (-9223372036854775808)::BIGINT,
         255::UTINYINT, 65535::USMALLINT, 4294967295::UINTEGER, 18446744073709551615::UBIGINT),
        (FALSE, -128, 32767, -2147483648, 9223372036854775807, 0, 0, 0, 0),
        (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)) t(b, i1, i2, i4, i8, u1, u2, u4, u8);
    CREATE TABLE serving.fractions AS SELECT * FROM (VALUES
        (1.5::FLOAT, 'nan'::DOUBLE, 99999999999999999999999999999999999999::DECIMAL(38, 0), 0.00000000000000000001::DECIMAL(38, 20), 9.9::DECIMAL(2, 1), 1.001::DECIMAL(18, 3)),
        ('inf'::FLOAT, '-inf'::DOUBLE, -1, -1, NULL, -999999999999999.999),
        ('-inf'::FLOAT, -0.0::DOUBLE, 0, 0, -9.9, 0),
        (1e-45::FLOAT, 1.7976931348623157e308::DOUBLE, 5, 0, 0.1, 0.001)) t(f, d, d38, d20, d2, d18);
    CREATE TABLE serving.times AS SELECT * FROM (VALUES
        (DATE '0001-01-01', TIME '23:59:59.999999', TIMESTAMP '2026-01-01 00:00:00.123456', TIMESTAMP_S '2026-01-01 00:00:01', TIMESTAMP_MS '2026-01-01 00:00:00.123',
         TIMESTAMP_NS '2026-01-01 00:00:00.123456789', TIMESTAMPTZ '2026-01-01 00:00:00+02'),
        (DATE '9999-12-31', TIME '00:00:00', TIMESTAMP '0044-03-15 12:00:00', TIMESTAMP_S '1969-12-31 23:59:59', TIMESTAMP_MS '1969-12-31 23:59:59.999',
         TIMESTAMP_NS '1700-01-01 00:00:00.000000001', TIMESTAMPTZ '1969-12-31 23:59:59.999999+00'),
        (NULL, NULL, NULL, NULL, NULL, NULL, NULL)) t(d, t, us, s, ms, ns, zoned);
    CREATE TABLE serving.texts AS SELECT * FROM (VALUES
        ('ä☕' || chr(0) || 'x', '\\x00\\xFF'::BLOB, '00000000-0000-0000-0000-000000000001'::UUID, '{\"a\": [1, null]}'::JSON),
        ('', ''::BLOB, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::UUID, '\"\"'::JSON),
        (repeat('long', 100000), repeat('a', 300000)::BLOB, NULL, NULL),
        (NULL, NULL, NULL, '  {\"kept\" :  \"as written\"}'::JSON)) t(t, raw, id, j);
    CREATE TABLE serving.nested AS SELECT * FROM (VALUES
        ([{'a': 1, 'b': ['x', NULL]}, NULL], MAP {'k': [1, 2], 'l': NULL}, {'deep': {'d': 1.10::DECIMAL(4, 2), 'odd \"name\", (x)': DATE '2026-01-01'}}, [[1], [], NULL]::INTEGER[][]),
        ([], MAP {}, {'deep': NULL}, []),
        (NULL, NULL, NULL, NULL)) t(list_of_struct, map, struct, lists);
    CREATE TABLE serving.many AS SELECT i AS id, i % 7 AS seven, 'text ' || i AS text, CASE WHEN i % 3 = 0 THEN i / 7 END AS some FROM range(20000) t(i);
    CREATE VIEW serving.looked_at AS SELECT seven, count(*) AS n, sum(id)::BIGINT AS total FROM lakehouse.serving.many GROUP BY seven;";

/// Returns every row of a relation as text, in a fixed order, with types, for comparing two
/// sources.
fn rows(connection: &Connection, catalog: &str, table: &str) -> Vec<String> {
    let name = format!("{catalog}.serving.\"{}\"", table.replace('"', "\"\""));
    let mut rows = texts(
        connection,
        &format!("SELECT column_name || ' ' || column_type FROM (DESCRIBE {name})"),
    );
    // As text and as a hash, since text does not represent a number completely.
    rows.extend(texts(
        connection,
        &format!("SELECT every::VARCHAR || hash(every) FROM (FROM {name}) every ORDER BY ALL"),
    ));
    rows
}

/// Returns the same from a reader, as customers get it.
fn answered(reader: &Reader, table: &str) -> Vec<String> {
    let table = format!("\"{}\"", table.replace('"', "\"\""));
    let sql = format!(
        "SELECT every::VARCHAR || hash(every) AS row FROM (FROM {table}) every ORDER BY ALL"
    );
    let answer = block_on(reader.pin().unwrap().query(
        Query::new(&sql),
        QueryLimits { rows: 1_000_000, bytes: 1 << 30, ..QueryLimits::for_page() },
    ))
    .unwrap();
    let cells = |batch: &duckdb::arrow::record_batch::RecordBatch| -> Vec<String> {
        (0..batch.num_rows())
            .map(|row| array_value_to_string(batch.column(0), row).unwrap())
            .collect()
    };
    answer.batches.iter().flat_map(cells).collect()
}

/// Compares every relation of the lakehouse with the results of an independent client and of a
/// reader.
fn expect_same(place: &Place) {
    let outsider = place.outsider();
    let lakehouse = reading(&place.site.lakehouse());
    let relations = |connection: &Connection, catalog: &str| {
        let of = format!("WHERE database_name = '{catalog}' AND schema_name = 'serving'");
        texts(
            connection,
            &format!(
                "SELECT table_name FROM duckdb_tables() {of} UNION ALL SELECT view_name FROM duckdb_views() {of} ORDER BY ALL"
            ),
        )
    };
    let known = relations(&lakehouse, "lakehouse");
    assert!(!known.is_empty());
    assert_eq!(relations(&outsider, "served"), known);
    let reader = place.reader();
    for table in known {
        let expected = rows(&lakehouse, "lakehouse", &table);
        assert_eq!(rows(&outsider, "served", &table), expected, "{table}");
        let values: Vec<_> = expected.into_iter().skip(columns(&lakehouse, &table)).collect();
        assert_eq!(answered(&reader, &table), values, "{table}");
    }
}

fn columns(connection: &Connection, table: &str) -> usize {
    texts(
        connection,
        &format!(
            "SELECT column_name FROM (DESCRIBE lakehouse.serving.\"{}\")",
            table.replace('"', "\"\"")
        ),
    )
    .len()
}

fn every_value_of_every_type_is_served_as_the_lakehouse_holds_it(place: &mut Place) {
    place.site.change(VALUES);
    place.ok(&["export"]);
    expect_same(place);
}

fn names_comments_nullability_and_empty_tables_are_served_as_the_lakehouse_has_them(
    place: &mut Place,
) {
    place.site.change(
        r#"CREATE TABLE serving."Größe / ""x"" %20 it's" ("Spalte ""1"", (a)" INTEGER NOT NULL, "select" VARCHAR, " " DATE);
           INSERT INTO serving."Größe / ""x"" %20 it's" VALUES (1, 'a', NULL), (2, NULL, DATE '2026-01-01');
           COMMENT ON TABLE serving."Größe / ""x"" %20 it's" IS 'It''s "odd"';
           COMMENT ON COLUMN serving."Größe / ""x"" %20 it's"."select" IS 'Zeile 1
Zeile 2; DROP TABLE x; --';
           CREATE TABLE serving.".." AS SELECT 1 AS "..";
           CREATE TABLE serving."UPPER" AS SELECT 1 AS "Mixed";
           CREATE TABLE serving.empty (a INTEGER NOT NULL, b VARCHAR[], c DECIMAL(9, 2));
           CREATE VIEW serving.nothing AS SELECT * FROM lakehouse.serving.empty;
           COMMENT ON VIEW serving.nothing IS 'ein Ausblick';"#,
    );
    place.ok(&["export"]);
    expect_same(place);
    let catalog_entries = |connection: &Connection, catalog: &str| {
        let of = format!("WHERE database_name = '{catalog}' AND schema_name = 'serving'");
        texts(
            connection,
            &format!(
                "SELECT concat_ws(' ', 'table', table_name, comment) FROM duckdb_tables() {of} UNION ALL SELECT concat_ws(' ', 'table', view_name, comment) FROM duckdb_views() {of}
                 UNION ALL SELECT concat_ws(' ', table_name, column_index, column_name, data_type, is_nullable, comment) FROM duckdb_columns() {of} ORDER BY ALL"
            ),
        )
    };
    let expected = catalog_entries(&reading(&place.site.lakehouse()), "lakehouse");
    assert_eq!(catalog_entries(&place.outsider(), "served"), expected);
    let reader = place.reader();
    let catalog = block_on(reader.pin().unwrap().catalog()).unwrap();
    let table = catalog.tables.iter().find(|table| table.name.starts_with("Größe")).unwrap();
    assert_eq!((table.rows, table.comment.as_deref()), (2, Some("It's \"odd\"")));
    assert_eq!(
        table.columns.iter().map(|column| column.nullable).collect::<Vec<_>>(),
        [false, true, true]
    );
    assert_eq!(table.columns[1].comment.as_deref(), Some("Zeile 1\nZeile 2; DROP TABLE x; --"));
    let empty = catalog.tables.iter().find(|table| table.name == "empty").unwrap();
    assert_eq!((empty.rows, empty.columns.len(), empty.columns[0].nullable), (0, 3, false));
    assert_eq!(ask(&reader.pin().unwrap(), "SELECT count(*) FROM nothing").unwrap().rows, 1);
}

fn an_export_into_a_place_that_holds_tables_already_replaces_those_of_its_schema_alone(
    place: &mut Place,
) {
    if place.kind == Kind::File {
        place.site.change("CREATE SCHEMA marts; CREATE TABLE marts.theirs AS SELECT 1 AS a");
    } else {
        make_lake(place);
        place.meddle("CREATE SCHEMA marts; CREATE TABLE marts.theirs AS SELECT 42 AS a; CREATE SCHEMA serving; CREATE TABLE serving.old AS SELECT 1 AS a; CREATE TABLE serving.names AS SELECT 7 AS other");
    }
    place.ok(&["export"]);
    expect_same(place);
    if place.is_lake() {
        assert_eq!(place.number("SELECT a FROM marts.theirs"), 42);
    }
}

/// A lake that another program created.
pub(crate) fn make_lake(place: &Place) {
    let data = place.variable("MATERIA_LAKE_DATA").unwrap();
    let connection = Connection::open_in_memory().unwrap();
    let extensions = materia::extensions::ExtensionDir::new(crate::lake::extensions().unwrap());
    extensions.load(&connection, &materia::extensions::Extension::ALL).unwrap();
    connection
        .execute_batch(&format!(
            "{} ATTACH '{}' AS theirs (DATA_PATH '{data}/')",
            place.secrets(),
            place.address()
        ))
        .unwrap();
}

fn values_of_types_that_a_lake_lacks_are_kept_as_other_types_where_that_is_allowed(
    place: &mut Place,
) {
    place.site.change(
        "CREATE TYPE mood AS ENUM ('sad', 'ok');
         CREATE TABLE serving.wide AS SELECT 99999999999999999999999999999999999999::HUGEINT AS total, INTERVAL '3 days' AS span, 'ok'::mood AS mood, [1::HUGEINT, NULL] AS list",
    );
    let ran = place.run(&["export", "--dry-run"]);
    assert!(
        ran.code == 1
            && ran.stderr.contains("wide.total (HUGEINT)")
            && ran.stderr.contains("casts = [\"lossless\", \"enum\", \"interval\"]"),
        "{ran:#?}"
    );
    place.site.settings("[lake]\ncasts = ['lossless', 'enum', 'interval']");
    let ran = place.ok(&["export", "--dry-run"]);
    assert!(ran.stderr.contains("wide.total (HUGEINT) is stored as DECIMAL(38,0)"), "{ran:#?}");
    place.ok(&["export"]);
    let text = "SELECT concat_ws(' ', typeof(total), total, typeof(span), span, typeof(mood), mood, typeof(list), list) FROM served.serving.wide";
    assert_eq!(
        texts(&place.outsider(), text),
        [
            "DECIMAL(38,0) 99999999999999999999999999999999999999 VARCHAR 3 days VARCHAR ok DECIMAL(38,0)[] [1, NULL]"
        ]
    );
    assert!(place.ok(&["export"]).stdout.starts_with("unchanged: "));
    place.site.change("UPDATE serving.wide SET total = total + 1");
    let ran = place.fails(&["export"], 1);
    assert!(
        ran.stderr.contains("wide") && ran.stderr.contains("a lake holds 38 digits"),
        "{ran:#?}"
    );
    // Without the setting, what is served stays.
    place.site.change("UPDATE serving.wide SET total = 1");
    place.site.settings("lake.casts = 'lossless'");
    let ran = place.fails(&["export"], 1);
    assert!(!ran.stderr.contains("wide.total") && ran.stderr.contains("wide.span"), "{ran:#?}");
    place.site.settings("lake.casts = 'everything'");
    let ran = place.run(&["export"]);
    assert!(ran.code == 2 && ran.stderr.contains("use lossless, enum or interval"), "{ran:#?}");
}

fn types_that_a_lake_would_change_are_refused_by_table_column_and_type(place: &mut Place) {
    place.ok(&["export"]);
    place.site.change(
        "CREATE TABLE serving.wide AS SELECT 1::HUGEINT AS total, 1 AS fine, INTERVAL 1 MONTH AS span, TIMETZ '12:00:00+01' AS at;
         CREATE TABLE serving.within AS SELECT {'a': [1::UHUGEINT]} AS deep, [1, 2]::INTEGER[2] AS pair, '101'::BIT AS bits;
         CREATE TYPE mood AS ENUM ('sad'); CREATE TABLE serving.moods AS SELECT 'sad'::mood AS mood, union_value(n := 1)::UNION(n INTEGER) AS either",
    );
    let ran = place.fails(&["export"], 1);
    for column in [
        "moods.mood (ENUM('sad'))",
        "moods.either (UNION(n INTEGER))",
        "wide.total (HUGEINT)",
        "wide.span (INTERVAL)",
        "wide.at (TIME WITH TIME ZONE)",
        "within.deep (STRUCT(a UHUGEINT[]))",
        "within.pair (INTEGER[2])",
        "within.bits (BIT)",
    ] {
        assert!(ran.stderr.contains(column), "{column}: {ran:#?}");
    }
    assert!(
        ran.stderr.contains("cast in the pipeline") && !ran.stderr.contains("fine"),
        "{ran:#?}"
    );
    // A file supports them all.
    let file = place.site.run(&["export", "--to", "file/analytics.duckdb"]);
    assert_eq!(file.code, 1, "{file:#?}");
    std::fs::create_dir(place.site.path("file")).unwrap();
    place.site.ok(&["export", "--to", "file/analytics.duckdb"]);
    place
        .site
        .change("DROP TABLE serving.wide; DROP TABLE serving.within; DROP TABLE serving.moods");
    place.ok(&["export"]);
}
