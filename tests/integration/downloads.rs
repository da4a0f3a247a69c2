//! Exported values equal the served ones: each column of a file has one type, and no value is
//! changed.

use std::{io::Cursor, sync::Arc};

use arrow_ipc::reader::FileReader;
use duckdb::arrow::{
    array::{Array, AsArray},
    datatypes::{DataType, UInt8Type},
    record_batch::RecordBatch,
};
use materia::{
    download::{self, DownloadFormat, DownloadOptions},
    reader::{Pin, QueryLimits, Reader, ReaderConfig, TableInfo, block_on},
    tables::{PageBounds, ParsedRequest, TableLayout, TableQuery},
    values,
};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};

use crate::support::Site;

struct Served {
    pin: Pin,
    _reader: Reader,
    _site: Site,
}

impl Served {
    fn new(sql: &str) -> Self {
        let site = Site::with(&format!("CREATE SCHEMA serving; {sql}"));
        site.ok(&["export"]);
        let reader = Reader::open_file(&site.served(), "serving", ReaderConfig::small()).unwrap();
        Self { pin: reader.pin().unwrap(), _reader: reader, _site: site }
    }

    fn table(&self, name: &str) -> Arc<TableInfo> {
        Arc::new(
            block_on(self.pin.catalog())
                .unwrap()
                .tables
                .into_iter()
                .find(|table| table.name == name)
                .unwrap(),
        )
    }

    /// Returns the selected rows of a table as a file.
    fn file(&self, table: &str, format: DownloadFormat, parameters: &[(&str, &str)]) -> Vec<u8> {
        let parameters: Vec<_> = parameters
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let requested = ParsedRequest::parse(
            &self.table(table),
            &parameters,
            PageBounds { default: 1, max: 1 },
        )
        .unwrap();
        let query = block_on(requested.query.with_layout(
            &self.pin,
            format.layout(),
            QueryLimits::for_download(),
        ))
        .unwrap();
        let mut rows = self.pin.stream(query.all_rows(), QueryLimits::for_download()).unwrap();
        let mut batches = || rows.blocking_next().map(|batch| batch.map_err(Into::into));
        let mut out = Vec::new();
        download::write(format, &DownloadOptions::default(), &mut batches, &mut out).unwrap();
        out
    }

    fn json(&self, table: &str, parameters: &[(&str, &str)]) -> Vec<Value> {
        let text =
            String::from_utf8(self.file(table, DownloadFormat::JsonLines, parameters)).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn parquet(&self, table: &str) -> Vec<RecordBatch> {
        let file = axum::body::Bytes::from(self.file(table, DownloadFormat::Parquet, &[]));
        ParquetRecordBatchReaderBuilder::try_new(file)
            .unwrap()
            .build()
            .unwrap()
            .map(Result::unwrap)
            .collect()
    }

    fn arrow(&self, table: &str) -> Vec<RecordBatch> {
        let file = Cursor::new(self.file(table, DownloadFormat::Arrow, &[]));
        FileReader::try_new(file, None).unwrap().map(Result::unwrap).collect()
    }

    /// Returns the columns of a table that are text in a layout.
    fn texts(&self, table: &str, layout: TableLayout) -> Vec<String> {
        let query = block_on(TableQuery::all(self.table(table)).with_layout(
            &self.pin,
            layout,
            QueryLimits::for_page(),
        ))
        .unwrap();
        query.texts().map(|column| column.name.clone()).collect()
    }
}

fn texts(batches: &[RecordBatch], column: usize) -> Vec<String> {
    let text = |batch: &RecordBatch| {
        let fields = values::fields_of(&batch.schema());
        let columns = values::columns(&fields, batch);
        (0..batch.num_rows())
            .map(|row| columns[column].text(row).unwrap_or_default().into_owned())
            .collect::<Vec<_>>()
    };
    batches.iter().flat_map(text).collect()
}

#[test]
fn an_arrow_file_with_an_enum_is_whole_however_many_rows_it_has() {
    let served = Served::new(
        "CREATE TYPE grade AS ENUM ('low', 'mid', 'high'); CREATE TYPE many AS ENUM (SELECT 'm' || i FROM range(300) AS t(i));
         CREATE TABLE serving.graded AS SELECT i AS id, CASE WHEN i % 11 = 0 THEN NULL ELSE (['high', 'low'])[1 + i % 2]::grade END AS grade,
             ('m' || (i % 300))::many AS member, [(['low', 'mid', 'high'])[1 + i % 3]::grade] AS grades
         FROM range(200000) AS t(i)",
    );
    for (format, batches) in
        [("arrow", served.arrow("graded")), ("parquet", served.parquet("graded"))]
    {
        let grades = texts(&batches, 1);
        assert_eq!(grades.len(), 200_000, "{format}");
        let wrong = grades.iter().enumerate().find(|(row, grade)| {
            let expected = if row % 11 == 0 { "" } else { ["high", "low"][row % 2] };
            *grade != expected
        });
        assert_eq!(wrong, None, "{format}");
        assert_eq!(texts(&batches, 2)[199_999], "m199", "{format}");
        assert_eq!(texts(&batches, 3)[65_537], "[high]", "{format}");
    }
    // Members are in the order of their declaration and include those that no row has, so that
    // readers can sort by it.
    let batches = served.arrow("graded");
    let members = batches[1]
        .column(1)
        .as_any_dictionary()
        .values()
        .as_string::<i32>()
        .iter()
        .map(Option::unwrap)
        .collect::<Vec<_>>();
    assert_eq!(members, ["low", "mid", "high"]);
    // Keys of null slots do not exceed the members either.
    let keys = |batch: &RecordBatch| {
        batch
            .column(1)
            .as_any_dictionary()
            .keys()
            .as_primitive::<UInt8Type>()
            .values()
            .iter()
            .all(|key| *key < 3)
    };
    assert!(batches.iter().all(keys));
}

#[test]
fn a_sum_is_a_number_in_parquet_and_arrow_and_text_only_where_38_digits_do_not_hold_it() {
    let served = Served::new(
        "CREATE TABLE serving.totals AS SELECT country, sum(bags) AS bags, [sum(bags)] AS list
             FROM (VALUES ('BR', 60), ('BR', 12), ('VN', 30)) AS t(country, bags) GROUP BY 1 ORDER BY 1;
         CREATE TABLE serving.larger AS FROM (VALUES (72::HUGEINT, 72::UHUGEINT),
             (170141183460469231731687303715884105727, 340282366920938463463374607431768211455)) AS t(signed, unsigned)",
    );
    for batches in [served.parquet("totals"), served.arrow("totals")] {
        assert_eq!(batches[0].schema().field(1).data_type(), &DataType::Decimal128(38, 0));
        assert_eq!(
            (texts(&batches, 1), texts(&batches, 2)),
            (vec!["72".to_owned(), "30".to_owned()], vec!["[72]".to_owned(), "[30]".to_owned()])
        );
    }
    for batches in [served.parquet("larger"), served.arrow("larger")] {
        assert_eq!(texts(&batches, 0), ["72", "170141183460469231731687303715884105727"]);
        assert_eq!(texts(&batches, 1), ["72", "340282366920938463463374607431768211455"]);
    }
    assert_eq!(served.texts("larger", TableLayout::Columnar), ["signed", "unsigned"]);
}

#[test]
fn a_json_column_has_one_type_whatever_rows_are_requested() {
    let served = Served::new(
        "CREATE TABLE serving.ids AS SELECT i AS id, CASE WHEN i = 500 THEN 9007199254740993 ELSE i * 10 END AS big,
             CASE WHEN i = 500 THEN 'nan'::DOUBLE ELSE i * 0.5 END AS share, i * 0.5::DOUBLE AS plain,
             CASE WHEN i = 500 THEN 18446744073709551615 ELSE i END::UBIGINT AS unsigned, i::HUGEINT AS total,
             (CASE WHEN i = 500 THEN '[1]' ELSE i::VARCHAR END)::JSON AS mixed, (' {\"a\": ' || i || '}')::JSON AS document,
             [CASE WHEN i = 500 THEN 'inf'::FLOAT ELSE i END] AS list, {'a': CASE WHEN i = 500 THEN 'nan'::DOUBLE ELSE i END, 'b': i} AS pair
         FROM range(1000) AS t(i)",
    );
    let kind = |value: &Value| match value {
        Value::Array(items) => format!("array of {}", items[0].is_string()),
        Value::Object(members) => {
            format!("object of {} {}", members["a"].is_string(), members["b"].is_string())
        }
        value => format!("{} {}", value.is_number(), value.is_string()),
    };
    let rows = served.json("ids", &[]);
    for column in ["id", "big", "share", "plain", "unsigned", "total", "mixed", "list", "pair"] {
        let first = kind(&rows[0][column]);
        assert!(rows.iter().all(|row| kind(&row[column]) == first), "{column}");
        // Rows without the decisive value have the same types as all others.
        let few = served.json("ids", &[("id", "lt.3")]);
        assert_eq!((few.len(), kind(&few[2][column])), (3, first), "{column}");
    }
    let expected = json!({ "id": 500, "big": 9_007_199_254_740_993_i64, "share": "nan", "plain": 250.0, "unsigned": "18446744073709551615",
        "total": 500, "mixed": "[1]", "document": { "a": 500 }, "list": ["inf"], "pair": { "a": "nan", "b": 500 } });
    assert_eq!(rows[500], expected);
    assert_eq!(rows[1]["share"], "0.5");
    assert_eq!(served.texts("ids", TableLayout::Json), ["share", "unsigned", "mixed"]);
}

#[test]
fn an_end_of_time_is_never_lost_and_never_a_day_that_no_reader_knows() {
    let served = Served::new(
        "CREATE TABLE serving.ends AS FROM (VALUES
             (1, DATE '2024-01-01', TIMESTAMP_S '2024-01-01', TIMESTAMP '2024-01-01', TIMESTAMPTZ '2024-01-01 00:00:00+00', TIMESTAMP_NS '2024-01-01',
                 [DATE '2024-01-01'], DATE '2024-01-01'),
             (2, DATE 'infinity', TIMESTAMP_S 'infinity', TIMESTAMP '-infinity', TIMESTAMPTZ 'infinity', TIMESTAMP_NS '-infinity',
                 [DATE 'infinity'], NULL))
             AS t(id, day, second, moment, zoned, nano, list, finite)",
    );
    let expected = ["infinity", "infinity", "-infinity", "infinity", "-infinity", "[infinity]"];
    for batches in [served.parquet("ends"), served.arrow("ends")] {
        for (at, end) in expected.iter().enumerate() {
            let column = texts(&batches, at + 1);
            assert_eq!(column[1], *end, "column {at}");
            assert!(column[0].contains("2024-01-01"), "column {at}: {column:?}");
        }
        assert_eq!(batches[0].schema().field(7).data_type(), &DataType::Date32);
        assert!(batches[0].column(7).is_null(1));
    }
    let row = &served.json("ends", &[])[1];
    assert_eq!(
        [&row["day"], &row["second"], &row["moment"], &row["nano"]],
        ["infinity", "infinity", "-infinity", "-infinity"]
    );
    let csv = String::from_utf8(served.file("ends", DownloadFormat::Csv, &[])).unwrap();
    assert!(
        csv.contains("\r\n2,infinity,infinity,-infinity,infinity,-infinity,[infinity],\r\n"),
        "{csv}"
    );
    assert_eq!(
        served.texts("ends", TableLayout::Sheet),
        ["day", "second", "moment", "zoned", "nano"]
    );
}

#[test]
fn a_column_in_excel_is_numbers_or_text_as_a_whole_by_what_15_digits_hold() {
    let served = Served::new(
        "CREATE TABLE serving.ledger AS SELECT
             ([12.5, 123456.5, 1234567.25, 0.0000001, 99999.99])[i]::DECIMAL(38, 10) AS amount, (i * 1000000000000000000)::BIGINT AS round,
             CASE WHEN i = 3 THEN 1234567890123456 ELSE i END::BIGINT AS long, CASE WHEN i = 3 THEN 12345678.12345678 ELSE i END::DECIMAL(18, 8) AS exact,
             CASE WHEN i = 3 THEN 'inf'::DOUBLE ELSE i END AS share, (i / 3)::DOUBLE AS third, CASE WHEN i = 3 THEN DATE '1066-10-14' ELSE DATE '2024-01-01' END AS day
         FROM range(1, 6) AS t(i)",
    );
    assert_eq!(served.texts("ledger", TableLayout::Sheet), ["long", "exact", "share", "day"]);
    assert!(served.file("ledger", DownloadFormat::Excel, &[]).starts_with(b"PK"));
}
