#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test that cannot go on says so by panicking"
)]

use duckdb::{Config, Connection};
use serde_json::{Value, json};

use super::*;

/// Opens a database with lossless types, as the reader does.
fn lossless() -> Connection {
    open(Config::default().with(LOSSLESS_SETTING.0, LOSSLESS_SETTING.1).unwrap())
}

fn open(config: Config) -> Connection {
    let connection = Connection::open_in_memory_with_flags(config).unwrap();
    connection.execute_batch("SET TimeZone = 'UTC'; SELECT setseed(0.42);").unwrap();
    connection
}

/// A result, by column and row.
struct TestResult {
    fields: Vec<Field>,
    texts: Vec<Vec<Option<String>>>,
    values: Vec<Vec<Value>>,
    serialized: Vec<Vec<String>>,
}

fn query(connection: &Connection, sql: &str) -> TestResult {
    let mut statement = connection.prepare(sql).unwrap();
    let schema = statement.stream_arrow([]).unwrap().get_schema();
    let fields = fields(&schema, &statement);
    let count = fields.len();
    let mut result = TestResult {
        fields,
        texts: vec![vec![]; count],
        values: vec![vec![]; count],
        serialized: vec![vec![]; count],
    };
    while let Some(rows) = statement.step().unwrap() {
        let batch = RecordBatch::from(&rows);
        for (index, column) in columns(&result.fields, &batch).iter().enumerate() {
            for row in 0..column.len() {
                result.texts[index].push(column.text(row).map(std::borrow::Cow::into_owned));
                result.values[index].push(column.json(row));
                result.serialized[index].push(serde_json::to_string(&column.cell(row)).unwrap());
            }
        }
    }
    result
}

/// Returns the text and the JSON of one value.
fn one(expression: &str) -> (Option<String>, Value) {
    let mut result = query(&lossless(), &format!("SELECT {expression}"));
    (result.texts[0].remove(0), result.values[0].remove(0))
}

fn json_of(expression: &str) -> Value {
    one(expression).1
}

/// Returns the first value of `from` whose text differs from that of DuckDB's own cast.
fn difference(connection: &Connection, from: &str) -> Option<String> {
    let result = query(connection, &format!("SELECT * FROM {from}"));
    let printed = query(connection, &format!("SELECT CAST(COLUMNS(*) AS VARCHAR) FROM {from}"));
    let columns = result.fields.iter().zip(result.texts.iter().zip(&printed.texts));
    columns
        .flat_map(|(field, (ours, theirs))| {
            ours.iter().zip(theirs).map(move |(ours, theirs)| (field, ours, theirs))
        })
        .find(|(_, ours, theirs)| ours != theirs)
        .map(|(field, ours, theirs)| {
            format!("{} {}: {ours:?}, DuckDB says {theirs:?}", field.name, field.data_type)
        })
}

fn compare(connection: &Connection, from: &str) {
    assert_eq!(difference(connection, from), None);
}

#[test]
fn every_value_of_every_type_reads_as_duckdb_prints_it() {
    compare(&lossless(), "test_all_types()");
    compare(&lossless(), "test_all_types(use_large_enum => true)");
}

#[test]
fn without_the_lossless_setting_only_the_offset_of_a_time_is_missing() {
    let connection = open(Config::default());
    compare(&connection, "(SELECT * EXCLUDE (time_tz) FROM test_all_types())");
    compare(
        &connection,
        "(SELECT [uhugeint] AS u, {'h': hugeint, 'u': uuid, 'b': bit, 'n': bignum} AS s, MAP {uuid: bit} AS m FROM test_all_types() WHERE uuid IS NOT NULL)",
    );
    assert_eq!(
        query(&connection, "SELECT '10:00:00+02'::TIMETZ").texts[0][0].as_deref(),
        Some("10:00:00")
    );
}

#[test]
fn every_type_is_called_what_duckdb_calls_it() {
    for connection in [lossless(), open(Config::default())] {
        let result = query(&connection, "FROM test_all_types()");
        let printed = query(
            &connection,
            "SELECT column_name, column_type FROM (DESCRIBE FROM test_all_types())",
        );
        for (index, field) in result.fields.iter().enumerate() {
            // Arrow provides the members of an ENUM only with its values, and DuckDB quotes more
            // words than necessary.
            let theirs = printed.texts[1][index].clone().unwrap().replace("\"name\"", "name");
            let theirs = if theirs.starts_with("ENUM(") { "ENUM".to_owned() } else { theirs };
            assert_eq!(
                (&field.name, field.data_type.to_string()),
                (printed.texts[0][index].as_ref().unwrap(), theirs)
            );
        }
    }
    let result =
        query(&lossless(), "SELECT {'a b': 1, 'select': [[1.5]], 'J': '1'::JSON} AS s, NULL AS n");
    assert_eq!(
        result.fields[0].data_type.to_string(),
        r#"STRUCT("a b" INTEGER, "select" DECIMAL(2,1)[][], J JSON)"#
    );
    assert_eq!(
        serde_json::to_value(&result.fields[1]).unwrap(),
        json!({"name": "n", "type": "\"NULL\""})
    );
}

#[test]
fn thousands_of_random_values_read_as_duckdb_prints_them() {
    let bits = "(hash(i)::UHUGEINT * 18446744073709551616 + hash(i + 7000))";
    let any_double = "CASE WHEN i % 3 = 0 THEN (random() - 0.5) * pow(10, (random() * 44 - 22)::INT) WHEN i % 3 = 1 THEN round(random() * 1000, (i % 5)::INT) ELSE (random() - 0.5) * pow(10, (random() * 600 - 300)::INT) END";
    let strange = "array_to_string(list_transform(range((hash(i) % 6)::BIGINT), lambda k: substr('ab,:=''\"\\[]{}() 🦆ä' || chr(9) || chr(11) || 'nulNUL', (hash(i + k * 31) % 26)::INT + 1, 1)), '')";
    let columns = [
        "((random() - 0.5) * pow(2, 29))::FLOAT AS whole_floats".to_owned(),
        "(((random() - 0.5) * pow(2, i % 60))::BIGINT / pow(2, i % 13))::DOUBLE AS halves".to_owned(),
        "(((random() - 0.5) * pow(2, i % 30))::BIGINT / pow(2, i % 13))::FLOAT AS float_halves".to_owned(),
        "((random() - 0.5) * pow(2, (random()*240 - 120)::INT))::FLOAT AS floats".to_owned(),
        format!("({bits} >> (i % 128)::UHUGEINT)::UHUGEINT AS uhugeint"),
        format!("({bits} >> (1 + i % 127)::UHUGEINT)::HUGEINT * (CASE WHEN i % 2 = 0 THEN 1 ELSE -1 END) AS hugeint"),
        format!("({bits} >> (i % 128)::UHUGEINT)::VARCHAR::BIGNUM AS bignum"),
        "(repeat('9', (i % 300 + 1)::INT) || '123456789')::BIGNUM AS wide_bignum".to_owned(),
        "('-' || repeat('10', (i % 300 + 1)::INT))::BIGNUM AS low_bignum".to_owned(),
        "(hash(i) >> (i % 64)::UBIGINT) AS ubigint".to_owned(),
        "(hash(i) >> 1)::BIGINT * -1 AS bigint".to_owned(),
        "((random() - 0.5) * 2e18)::DECIMAL(18, 0) AS whole_decimal".to_owned(),
        "((random() - 0.5) * 100000)::DECIMAL(18, 6) AS decimal_18_6".to_owned(),
        "((random() - 0.5) * 1.9)::DECIMAL(5, 5) AS small_decimal".to_owned(),
        "((random() - 0.5) * 1e20)::DECIMAL(38, 10) AS decimal_38_10".to_owned(),
        "((random() - 0.5) * 0.1)::DECIMAL(38, 38) AS decimal_38_38".to_owned(),
        format!("({any_double})::DOUBLE AS double"),
        format!("TRY_CAST({any_double} AS FLOAT) AS float"),
        "(pow(10.0, (i % 40) - 20) * (CASE WHEN i % 2 = 0 THEN 1 ELSE -1 END))::DOUBLE AS powers".to_owned(),
        "('1970-01-01'::DATE + (((random() - 0.5) * 4e9) / (1 + i % 2000))::INT) AS date".to_owned(),
        "make_timestamp(((random() - 0.5) * 1.8e19 / (1 + i % 200))::BIGINT) AS timestamp".to_owned(),
        "make_timestamp(((random() - 0.5) * 1e16)::BIGINT // 100000 * 100000)::TIMESTAMP_MS AS timestamp_ms".to_owned(),
        "make_timestamp(((random() - 0.5) * 1e16)::BIGINT)::TIMESTAMP_S AS timestamp_s".to_owned(),
        "make_timestamp_ns(((random() - 0.5) * 1.8e19)::BIGINT) AS timestamp_ns".to_owned(),
        "make_timestamp(((random() - 0.5) * 1e18)::BIGINT)::TIMESTAMPTZ AS timestamp_tz".to_owned(),
        "make_timestamp(((random() - 0.5) * 1e15)::BIGINT)::TIMESTAMPTZ::TIMESTAMPTZ_NS AS timestamp_tz_ns".to_owned(),
        "('00:00:00'::TIME + to_microseconds((random() * 86399999999)::BIGINT // pow(10, i % 7)::BIGINT)) AS time".to_owned(),
        "(('00:00:00'::TIME + to_microseconds((random() * 86399999999)::BIGINT))::VARCHAR || (CASE WHEN i % 2 = 0 THEN '+' ELSE '-' END) || lpad((i % 15)::VARCHAR, 2, '0') || (CASE i % 3 WHEN 0 THEN '' WHEN 1 THEN ':30' ELSE ':' || lpad((i % 60)::VARCHAR, 2, '0') || ':' || lpad((i * 7 % 60)::VARCHAR, 2, '0') END))::TIMETZ AS time_tz".to_owned(),
        "(('00:00:00'::TIME + to_microseconds((random() * 86399999999)::BIGINT))::VARCHAR)::TIME_NS AS time_ns".to_owned(),
        "(to_months(((random() - 0.5) * 100)::INT) + to_days(((random() - 0.5) * 10)::INT) + to_microseconds(((random() - 0.5) * 1e15)::BIGINT // pow(10, i % 7)::BIGINT * (i % 3))) AS interval".to_owned(),
        "uuid() AS uuid".to_owned(),
        format!("({bits})::VARCHAR::BLOB AS digits_blob"),
        "unhex(substr(md5(i::VARCHAR), 1, (i % 16)::INT * 2)) AS blob".to_owned(),
        "repeat('10', (i % 40)::INT)::VARCHAR || '1' AS ones".to_owned(),
        "(substr(bin(hash(i)), 1, (i % 60 + 1)::INT))::BIT AS bit".to_owned(),
        format!("{strange} AS text"),
        format!("[{strange}, NULL, {strange}] AS texts"),
        format!("{{'plain': {strange}, 'it''s': [{strange}], 'back\\slash': NULL, 'when': make_timestamp(i * 1000000000)}} AS struct"),
        format!("MAP {{{strange}: {{'x': [{strange}]}}, {strange} || 'x': NULL}} AS map"),
        format!("row({strange}, i, [i]) AS tuple"),
        format!("row({strange}) AS tuple_of_one"),
        format!("(CASE i % 3 WHEN 0 THEN union_value(t := {strange})::UNION(t VARCHAR, n HUGEINT, l INT[]) WHEN 1 THEN union_value(n := hash(i)::HUGEINT)::UNION(t VARCHAR, n HUGEINT, l INT[]) ELSE union_value(l := [i])::UNION(t VARCHAR, n HUGEINT, l INT[]) END) AS union_"),
        format!("[union_value(t := {strange})] AS unions"),
        format!("[{strange}]::VARCHAR[1] AS array_"),
        format!("{{'t': {strange}}}::JSON AS json"),
        format!("[to_json({strange})] AS jsons"),
        format!("{{'j': to_json({strange})}} AS json_in_struct"),
        format!("[to_json({strange})]::JSON[1] AS json_array"),
        format!("MAP {{to_json({strange}): to_json({strange})}} AS json_map"),
        format!("[encode({strange})] AS blobs"),
        "[make_timestamp(i * 1000000000000), NULL] AS moments".to_owned(),
        "[to_microseconds(i * 1000000000), to_days(i::INT)] AS spans".to_owned(),
        "{'d': '1970-01-01'::DATE - i::INT * 400, 't': 'x'::ENUM('x', 'y z')} AS days".to_owned(),
        "('POINT (' || random() * pow(10, i % 20) || ' ' || -random() || ')')::GEOMETRY AS point".to_owned(),
        "('LINESTRING ZM (' || i || ' 0.1 1e-' || i % 30 || ' 1e' || i % 30 || ', 1 2 3 4)')::GEOMETRY AS line".to_owned(),
    ];
    let connection = lossless();
    let mut differences = Vec::new();
    for column in columns {
        let (expression, name) = column.rsplit_once(" AS ").unwrap();
        let made = format!(
            "SELECT CASE WHEN i % 50 = 49 THEN NULL ELSE {expression} END AS {name} FROM range(3000) t(i)"
        );
        connection
            .execute_batch(&format!("CREATE OR REPLACE TEMP TABLE made AS {made}"))
            .unwrap_or_else(|error| panic!("{column}: {error}"));
        differences.extend(difference(&connection, "made"));
    }
    assert_eq!(differences, Vec::<String>::new());
}

#[test]
fn json_keeps_every_integer_whole() {
    let shown = |expression: &str| json_of(expression).to_string();
    assert_eq!(shown("9007199254740991"), "9007199254740991");
    assert_eq!(shown("-9007199254740991"), "-9007199254740991");
    assert_eq!(shown("9007199254740993"), "9007199254740993");
    assert_eq!(shown("-9223372036854775808"), "-9223372036854775808");
    assert_eq!(shown("9223372036854775808"), r#""9223372036854775808""#);
    assert_eq!(shown("18446744073709551615::UBIGINT"), r#""18446744073709551615""#);
    assert_eq!(
        shown("340282366920938463463374607431768211455::UHUGEINT"),
        r#""340282366920938463463374607431768211455""#
    );
    assert_eq!(
        shown("'-170141183460469231731687303715884105728'::HUGEINT"),
        r#""-170141183460469231731687303715884105728""#
    );
    assert_eq!(shown("[7::UHUGEINT, 7::HUGEINT::UHUGEINT]"), "[7,7]");
    assert_eq!(shown("'12'::BIGNUM"), "12");
    assert_eq!(shown("('1' || repeat('0', 40))::BIGNUM"), format!("\"1{}\"", "0".repeat(40)));
}

#[test]
fn json_keeps_every_decimal_and_every_float() {
    assert_eq!(
        json_of("-1234567890123456789012345678.0123456789::DECIMAL(38, 10)"),
        json!("-1234567890123456789012345678.0123456789")
    );
    assert_eq!(json_of("-0.5::DECIMAL(38, 10)"), json!("-0.5000000000"));
    assert_eq!(json_of("0.25::DECIMAL(2, 2)"), json!("0.25"));
    assert_eq!(json_of("0.1::FLOAT").to_string(), "0.1");
    assert_eq!(
        json_of("[1.5e300, 'nan', 'inf', '-inf']::DOUBLE[]"),
        json!([1.5e300, "nan", "inf", "-inf"])
    );
    assert_eq!(json_of("['nan', '-inf']::FLOAT[]"), json!(["nan", "-inf"]));
}

#[test]
fn json_dates_are_iso_8601_before_year_one_and_beyond_9999_too() {
    let dates = "['2026-11-21', '0044-03-15 (BC)', '0001-01-01 (BC)', '12026-01-02', 'infinity', '-infinity', NULL]::DATE[]";
    let iso = json!([
        "2026-11-21",
        "-000043-03-15",
        "0000-01-01",
        "+012026-01-02",
        "infinity",
        "-infinity",
        null
    ]);
    assert_eq!(json_of(dates), iso);
    assert_eq!(json_of("TIMESTAMP '2026-11-21 10:00:00.5'"), json!("2026-11-21T10:00:00.5"));
    assert_eq!(
        json_of("'2026-11-21 10:00:00+02'::TIMESTAMPTZ"),
        json!("2026-11-21T08:00:00+00:00")
    );
    assert_eq!(
        json_of("'2026-11-21 10:00:00.123456789'::TIMESTAMP_NS"),
        json!("2026-11-21T10:00:00.123456789")
    );
    assert_eq!(json_of("'10:00:00+02'::TIMETZ"), json!("10:00:00+02:00"));
    assert_eq!(
        json_of("['infinity', '-infinity']::TIMESTAMP_S[]"),
        json!(["infinity", "-infinity"])
    );
    assert_eq!(json_of("TIME '24:00:00'"), json!("24:00:00"));
}

#[test]
fn json_has_the_shape_of_nested_values() {
    assert_eq!(
        json_of(
            "[{'m': MAP {'a': 1, 'b': NULL}, 'n': NULL}, NULL, {'m': MAP {}, 'n': [[], [NULL]]}]"
        ),
        json!([{"m": {"a": 1, "b": null}, "n": null}, null, {"m": {}, "n": [[], [null]]}])
    );
    assert_eq!(
        json_of("MAP {1: 'x', 2: NULL}"),
        json!([{"key": 1, "value": "x"}, {"key": 2, "value": null}])
    );
    assert_eq!(json_of("row(1, 'x', NULL)"), json!([1, "x", null]));
    assert_eq!(json_of("union_value(price := 1.50)"), json!({"price": "1.50"}));
    assert_eq!(json_of("union_value(price := NULL::INT)"), Value::Null);
    assert_eq!(json_of("[1, 2, 3]::TINYINT[3]"), json!([1, 2, 3]));
    assert_eq!(json_of("['x'::ENUM('x', 'y'), NULL]"), json!(["x", null]));
    assert_eq!(json_of("[[true, false], [], NULL]"), json!([[true, false], [], null]));
    let result = query(&lossless(), "SELECT {'z': 1, 'a': {'y': 2, 'b': 3}}");
    assert_eq!(result.serialized[0][0], r#"{"z":1,"a":{"y":2,"b":3}}"#);
}

#[test]
fn json_has_a_text_for_everything_else() {
    assert_eq!(json_of(r"'\x00\xFFa'::BLOB"), json!("00ff61"));
    assert_eq!(json_of("'10101'::BIT"), json!("10101"));
    assert_eq!(
        json_of("'00000000-0000-0000-0000-00000000abcd'::UUID"),
        json!("00000000-0000-0000-0000-00000000abcd")
    );
    assert_eq!(json_of("INTERVAL '1 month 2 days 3 seconds'"), json!("1 month 2 days 00:00:03"));
    assert_eq!(json_of("'MULTIPOINT (1 2, EMPTY)'::GEOMETRY"), json!("MULTIPOINT (1 2, EMPTY)"));
    assert_eq!(json_of("'it''s \"x\"'"), json!("it's \"x\""));
    assert_eq!(json_of("NULL"), Value::Null);
}

#[test]
fn a_json_column_is_the_document_and_loses_no_digit() {
    let document = r#"'{"a": [1, -2.5, 1e3, true, null], "b": "12345678901234567890 \" 1", "c": 12345678901234567890, "d": 0.1234567890123456789012}'::JSON"#;
    assert_eq!(
        json_of(document),
        json!({"a": [1, -2.5, 1e3, true, null], "b": "12345678901234567890 \" 1", "c": "12345678901234567890", "d": "0.1234567890123456789012"})
    );
    let deep = format!("'{}1{}'::JSON", "[".repeat(300), "]".repeat(300));
    assert_eq!(json_of(&deep), Value::String(format!("{}1{}", "[".repeat(300), "]".repeat(300))));
}

#[test]
fn types_are_right_with_bound_values() {
    let connection = lossless();
    let mut statement = connection.prepare("SELECT ? AS x, row(?, 1) AS t").unwrap();
    let schema = statement.stream_arrow(duckdb::params![12_i128, "x"]).unwrap().get_schema();
    let types: Vec<_> =
        fields(&schema, &statement).iter().map(|field| field.data_type.to_string()).collect();
    assert_eq!(types, ["HUGEINT", "TUPLE(VARCHAR, INTEGER)"]);
}

#[test]
fn an_interval_is_right_as_far_as_arrow_carries_it() {
    // DuckDB converts to 64-bit nanoseconds; one more microsecond would overflow silently.
    compare(&lossless(), "(SELECT to_microseconds(unnest([9223372036854775, -9223372036854775])))");
    assert_eq!(
        one("to_years(178956970) + to_days(2147483647)").0.as_deref(),
        Some("178956970 years 2147483647 days")
    );
}

#[test]
fn a_column_read_as_the_wrong_type_shows_something_and_never_panics() {
    let connection = lossless();
    for sql in ["FROM test_all_types()", "SELECT COLUMNS(*)::VARCHAR FROM test_all_types()"] {
        let mut statement = connection.prepare(sql).unwrap();
        let schema = statement.stream_arrow([]).unwrap().get_schema();
        let mut types: Vec<_> =
            fields(&schema, &statement).into_iter().map(|field| field.data_type).collect();
        types.extend([
            DuckType::Json,
            DuckType::Null,
            DuckType::Other("?".to_owned()),
            DuckType::Tuple(vec![DuckType::Geometry]),
        ]);
        let batch = RecordBatch::from(&statement.step().unwrap().unwrap());
        for array in batch.columns() {
            for data_type in &types {
                let column = Column::new(data_type, array.as_ref());
                for row in 0..=column.len() {
                    assert_eq!(column.text(row).is_none(), column.is_null(row));
                    let _ = (
                        column.json(row),
                        column.number(row),
                        column.millis(row),
                        column.format(row, Format::Compact),
                    );
                }
            }
        }
    }
}

#[test]
fn broken_geometry_shows_its_bytes() {
    let shown = |bytes: &[u8]| {
        let mut out = String::new();
        geometry::write_wkt(&mut out, bytes);
        out
    };
    assert_eq!(shown(&[]), "");
    assert_eq!(shown(&[1, 2, 0, 0, 0, 255, 255, 255, 255]), "0102000000ffffffff");
    assert_eq!(
        shown(&[0, 0, 0, 0, 1, 0x3F, 0xF0, 0, 0, 0, 0, 0, 0, 0x40, 0, 0, 0, 0, 0, 0, 0]),
        "POINT (1 2)"
    );
    let nested: Vec<u8> =
        std::iter::repeat_n([1, 7, 0, 0, 0, 1, 0, 0, 0], 100_000).flatten().collect();
    assert!(shown(&nested).starts_with("0107"));
}

#[test]
fn numbers_are_shown_the_way_their_format_says() {
    let shown = |name: &str, numbers: &[f64]| -> Vec<String> {
        let format: Format = name.parse().unwrap();
        numbers.iter().map(|number| format_number(*number, format)).collect()
    };
    assert_eq!(
        shown("plain", &[1234.5, 3.0, -0.1, 1e20, f64::NAN, f64::NEG_INFINITY]),
        ["1234.5", "3", "-0.1", "1e+20", "nan", "-inf"]
    );
    assert_eq!(
        shown("integer", &[1234.5, -1_234_567.0, -0.4, 999.6]),
        ["1,234", "−1,234,567", "−0.4", "1,000"]
    );
    assert_eq!(shown("decimal", &[1234.5, -0.004, 0.005_1]), ["1,234.50", "−0.004", "0.01"]);
    assert_eq!(shown("decimal.1", &[1234.56]), ["1,234.6"]);
    assert_eq!(shown("percent", &[0.5, -0.123]), ["50%", "−12%"]);
    assert_eq!(shown("percent.1", &[0.1234, 12.0]), ["12.3%", "1,200.0%"]);
    assert_eq!(
        shown(
            "compact",
            &[
                0.0,
                0.5,
                12.34,
                999.4,
                999.6,
                1_000.0,
                1_234.0,
                45_600_000.0,
                -999_999.0,
                7.89e11,
                1e15,
                1e18
            ]
        ),
        [
            "0", "0.5", "12.3", "999", "1 k", "1 k", "1.23 k", "45.6 M", "−1 M", "789 B",
            "1,000 T", "1e18"
        ]
    );
    assert_eq!(shown("year", &[2026.0]), ["2026"]);
}

#[test]
fn a_number_is_never_shown_as_the_zero_that_it_is_not_nor_with_digits_nobody_reads() {
    let shown = |name: &str, number: f64| format_number(number, name.parse().unwrap());
    assert_eq!(shown("decimal", 0.000_120), "0.00012");
    assert_eq!(shown("decimal", -0.000_121_3), "−0.00012");
    assert_eq!(shown("percent.1", 0.000_01), "0.001%");
    assert_eq!(shown("integer", 0.3), "0.3");
    assert_eq!(shown("decimal", 1e-300), "1e−300");
    assert_eq!(shown("decimal", 1e300), "1e300");
    assert_eq!(shown("integer", 1.234_56e20), "1.2346e20");
    assert_eq!(shown("decimal", 0.0), "0.00");
    assert_eq!(shown("compact.3", 12_345_678.0), "12.346 M");
}

#[test]
fn a_moment_with_a_zone_says_it() {
    let connection = lossless();
    let sql = "SELECT '2024-10-27 01:30:05.25+00'::TIMESTAMPTZ AS a, '2024-10-27 01:30:05.25'::TIMESTAMP AS b";
    let mut statement = connection.prepare(sql).unwrap();
    let schema = statement.stream_arrow([]).unwrap().get_schema();
    let batch = RecordBatch::from(&statement.step().unwrap().unwrap());
    let columns = columns(&fields(&schema, &statement), &batch);
    let shown = |column: usize, format| columns[column].format(0, format).unwrap().into_owned();
    assert_eq!(shown(0, Format::Time), "2024-10-27 01:30 UTC");
    assert_eq!(shown(0, Format::Date), "2024-10-27");
    assert_eq!(shown(1, Format::Second), "2024-10-27 01:30:05");
    assert_eq!(shown(1, Format::Millisecond), "2024-10-27 01:30:05.250");
}

#[test]
fn dates_are_shown_the_way_their_format_says() {
    let shown = |millis: i64| {
        ["date", "time", "month", "year", "plain"]
            .map(|name| format_time(millis, name.parse().unwrap()))
    };
    assert_eq!(
        shown(1_795_255_500_000),
        ["2026-11-21", "2026-11-21 10:05", "Nov 2026", "2026", "2026-11-21 10:05:00"]
    );
    assert_eq!(
        shown(-1),
        ["1969-12-31", "1969-12-31 23:59", "Dec 1969", "1969", "1969-12-31 23:59:59.999"]
    );
    assert_eq!(format_time(-63_500_000_000_000, Format::Month), "Oct 44 BC");
    let months: Vec<_> = (0..12)
        .map(|month| format_time(month * 2_629_800_000 + 86_400_000, Format::Month)[..3].to_owned())
        .collect();
    assert_eq!(months.join(" "), "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec");
    let _ = format_time(i64::MIN, Format::Time);
}

#[test]
fn cells_are_shown_exactly_however_large_they_are() {
    let shown = |expression: &str, name: &str| {
        let connection = lossless();
        let mut statement = connection.prepare(&format!("SELECT {expression}")).unwrap();
        let schema = statement.stream_arrow([]).unwrap().get_schema();
        let batch = RecordBatch::from(&statement.step().unwrap().unwrap());
        let column = &columns(&fields(&schema, &statement), &batch)[0];
        column
            .format(0, name.parse().unwrap())
            .map(std::borrow::Cow::into_owned)
            .unwrap_or_default()
    };
    assert_eq!(shown("9007199254740993", "integer"), "9,007,199,254,740,993");
    assert_eq!(
        shown("12345678901234567890123456.785::DECIMAL(38, 3)", "decimal"),
        "12,345,678,901,234,567,890,123,456.79"
    );
    assert_eq!(shown("-0.004::DECIMAL(9, 3)", "decimal"), "−0.004");
    assert_eq!(shown("0.000::DECIMAL(9, 3)", "decimal"), "0.00");
    assert_eq!(shown("1.5::DECIMAL(9, 1)", "decimal.3"), "1.500");
    assert_eq!(shown("2.5::DECIMAL(9, 1)", "integer"), "3");
    assert_eq!(shown("0.1235::DECIMAL(9, 4)", "percent.1"), "12.4%");
    assert_eq!(shown("2::INT", "percent"), "200%");
    assert_eq!(shown("1234567.89::DECIMAL(9, 2)", "compact"), "1.23 M");
    assert_eq!(shown("2026::SMALLINT", "year"), "2026");
    assert_eq!(shown("3.0::DOUBLE", "plain"), "3");
    assert_eq!(shown("DATE '2026-11-21'", "month"), "Nov 2026");
    assert_eq!(shown("DATE '2026-11-21'", "plain"), "2026-11-21");
    assert_eq!(shown("DATE 'infinity'", "month"), "infinity");
    assert_eq!(shown("'text'", "month"), "text");
    assert_eq!(
        shown("170141183460469231731687303715884105727::HUGEINT", "percent"),
        "170141183460469231731687303715884105727"
    );
}

#[test]
fn a_mistyped_format_is_named_and_the_right_one_suggested() {
    let error = "intege".parse::<Format>().unwrap_err().to_string();
    assert!(
        error.starts_with(r#"unknown format "intege"; did you mean "integer"?; known are plain,"#),
        "{error}"
    );
    for wrong in ["", "decimal.", "decimal.99", "plain.2", "percent.x", "Integer"] {
        assert!(wrong.parse::<Format>().is_err(), "{wrong}");
    }
    for right in [
        "plain",
        "integer",
        "decimal.3",
        "percent.0",
        "compact",
        "compact.2",
        "scientific.2",
        "date",
        "time",
        "second",
        "millisecond",
        "month",
        "year",
    ] {
        assert_eq!(right.parse::<Format>().unwrap().to_string(), right);
    }
}

#[test]
fn charts_get_numbers_and_moments() {
    let connection = lossless();
    let sql = "SELECT 1.25::DECIMAL(9, 2) AS a, 7::HUGEINT AS b, 0.5::FLOAT AS c, DATE '1970-01-02' AS d, '1970-01-01 00:00:01.9'::TIMESTAMP_NS AS e, 'x' AS f, DATE 'infinity' AS g, NULL::INT AS h";
    let mut statement = connection.prepare(sql).unwrap();
    let schema = statement.stream_arrow([]).unwrap().get_schema();
    let fields = fields(&schema, &statement);
    let batch = RecordBatch::from(&statement.step().unwrap().unwrap());
    let columns = columns(&fields, &batch);
    let numbers: Vec<_> = columns.iter().map(|column| column.number(0)).collect();
    assert_eq!(numbers, [Some(1.25), Some(7.0), Some(0.5), None, None, None, None, None]);
    let moments: Vec<_> = columns.iter().map(|column| column.millis(0)).collect();
    assert_eq!(moments, [None, None, None, Some(86_400_000), Some(1_900), None, None, None]);
    let numeric: Vec<_> = fields.iter().map(|field| field.data_type.is_numeric()).collect();
    assert_eq!(numeric, [true, true, true, false, false, false, false, true]);
}
