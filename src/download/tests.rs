use std::sync::Arc;

use duckdb::arrow::{
    array::{ArrayRef, BooleanArray, Float64Array, Int32Array, StringArray},
    record_batch::RecordBatch,
};

use super::*;

fn batch() -> RecordBatch {
    let texts = [
        Some("plain"),
        Some(""),
        None,
        Some("a,b"),
        Some("say \"x\""),
        Some("two\r\nlines"),
        Some("=1+1"),
        Some(" edge"),
    ];
    let numbers = [Some(-1), None, Some(3), Some(4), Some(5), Some(6), Some(7), Some(8)];
    let columns: [(&str, ArrayRef); 4] = [
        ("text", Arc::new(StringArray::from(texts.to_vec()))),
        ("number", Arc::new(Int32Array::from(numbers.to_vec()))),
        (
            "share",
            Arc::new(Float64Array::from(vec![0.5, f64::NAN, -1.0, 1e300, 0.1, 0.0, 1.0, 2.0])),
        ),
        (
            "flag",
            Arc::new(BooleanArray::from(vec![true, false, true, false, true, false, true, false])),
        ),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

fn written(format: DownloadFormat, options: &DownloadOptions) -> Vec<u8> {
    let (mut batches, mut out) = (vec![batch(), batch().slice(0, 0)].into_iter(), Vec::new());
    assert_eq!(write(format, options, &mut || batches.next().map(Ok), &mut out).unwrap(), 8);
    out
}

fn csv(safe: bool) -> String {
    let mut columns = values::fields_of(&batch().schema());
    "Text".clone_into(&mut columns[0].name);
    "-number".clone_into(&mut columns[1].name);
    String::from_utf8(written(
        DownloadFormat::Csv,
        &DownloadOptions { columns, escape_formulas: safe },
    ))
    .unwrap()
}

#[test]
fn csv_is_quoted_where_it_must_be_and_tells_nothing_from_an_empty_text() {
    let expected = "Text,-number,share,flag\r\nplain,-1,0.5,true\r\n\"\",,nan,false\r\n,3,-1.0,true\r\n\"a,b\",4,1e+300,false\r\n\
                    \"say \"\"x\"\"\",5,0.1,true\r\n\"two\r\nlines\",6,0.0,false\r\n=1+1,7,1.0,true\r\n\" edge\",8,2.0,false\r\n";
    assert_eq!(csv(false), expected);
}

#[test]
fn csv_for_spreadsheets_has_no_formula_and_keeps_its_numbers() {
    let safe = csv(true);
    assert!(safe.contains("\r\n'=1+1,7") && safe.contains("plain,-1,"), "{safe}");
}

#[test]
fn csv_for_spreadsheets_tells_excel_that_it_is_utf_8_and_csv_for_programs_begins_with_the_first_name()
 {
    assert!(csv(true).starts_with("\u{feff}Text,'-number,share"), "{}", csv(true));
    assert!(csv(false).starts_with("Text,-number,share"));
}

#[test]
fn no_spelling_of_a_formula_gets_into_csv_for_spreadsheets() {
    let guarded = [
        "=1+1",
        "+1",
        "-1+1",
        "@SUM(A1)",
        "＝1+1",
        "＋1",
        "－1",
        "＠x",
        " =1+1",
        "\u{a0}=1",
        "\u{3000}＝1",
        "\t1",
        "\r1",
        "\n=1",
        "\u{feff}=1",
        "\u{200b}+1",
    ];
    let plain = ["a=1", "1-1", " a", "", "#1", "'=1"];
    let texts: ArrayRef = Arc::new(StringArray::from_iter_values(guarded.iter().chain(&plain)));
    let infinite: ArrayRef = Arc::new(Float64Array::from_iter_values(
        (0..texts.len()).map(|at| if at == 0 { f64::NEG_INFINITY } else { -1.5 }),
    ));
    let batch = RecordBatch::try_from_iter([("n", infinite), ("t", texts)]).unwrap();
    let (mut batches, mut out) = (vec![batch].into_iter(), Vec::new());
    let options = DownloadOptions { escape_formulas: true, ..DownloadOptions::default() };
    write(DownloadFormat::Csv, &options, &mut || batches.next().map(Ok), &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    let field = |value: &str| {
        text.contains(&format!(",{value}\r\n")) || text.contains(&format!(",\"{value}\"\r\n"))
    };
    assert!(guarded.iter().all(|value| field(&format!("'{value}"))), "{text}");
    assert!(plain.iter().all(|value| field(value)), "{text}");
    assert!(text.contains("\r\n'-inf,'=1+1\r\n-1.5,'+1\r\n"), "{text}");
}

#[test]
fn json_lines_have_one_object_a_row() {
    let text =
        String::from_utf8(written(DownloadFormat::JsonLines, &DownloadOptions::default())).unwrap();
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 8);
    assert_eq!(
        lines[1],
        serde_json::json!({ "text": "", "number": null, "share": "nan", "flag": false })
    );
}

#[test]
fn files_without_rows_still_tell_their_columns() {
    for format in DownloadFormat::ALL {
        let (mut batches, mut out) = (vec![batch().slice(0, 0)].into_iter(), Vec::new());
        assert_eq!(
            write(format, &DownloadOptions::default(), &mut || batches.next().map(Ok), &mut out)
                .unwrap(),
            0
        );
        assert_eq!(out.is_empty(), format == DownloadFormat::JsonLines, "{format:?}");
    }
}

#[test]
fn what_breaks_off_says_so_instead_of_passing_for_a_whole_file() {
    for format in DownloadFormat::ALL {
        let mut batches = vec![Ok(batch()), Err(DownloadError::Stopped)].into_iter();
        assert!(
            matches!(
                write(format, &DownloadOptions::default(), &mut || batches.next(), Vec::new()),
                Err(DownloadError::Stopped)
            ),
            "{format:?}"
        );
    }
}
