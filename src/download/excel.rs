//! An Excel workbook. Excel's format can be written to its end only when everything is known: it grows in a temporary file.

use std::{
    fs::File,
    io::{self, Seek, SeekFrom, Write},
};

use rust_xlsxwriter::{ExcelDateTime, Format, Workbook, Worksheet, XlsxError};

use super::{Batches, DownloadError, Options, fields};
use crate::values::{self, Column, DuckType, Field};

/// Rows of one sheet, the first of which has the names.
const MOST_ROWS: u32 = 1_048_576;
const MOST_COLUMNS: usize = 16_384;
/// Characters in one cell, as Excel counts them.
const LONGEST: usize = 32_767;
/// Excel keeps 15 digits of a number.
const DIGITS: usize = 15;
/// 1900-01-01 and the end of 9999, in milliseconds since 1970.
const DATES: std::ops::Range<i64> = -2_208_988_800_000..253_402_300_800_000;

pub(super) fn write(options: &Options, batches: &mut Batches<'_>, mut out: impl Write) -> Result<u64, DownloadError> {
    let mut file = gathered(options, batches)?;
    file.0.seek(SeekFrom::Start(0))?;
    io::copy(&mut file.0, &mut out)?;
    out.flush()?;
    Ok(file.1)
}

/// The workbook in a temporary file, and how many rows it has.
fn gathered(options: &Options, batches: &mut Batches<'_>) -> Result<(File, u64), DownloadError> {
    let mut book = Workbook::new();
    let looks = Looks {
        head: Format::new().set_bold(),
        day: Format::new().set_num_format("yyyy-mm-dd"),
        moment: Format::new().set_num_format("yyyy-mm-dd hh:mm:ss"),
    };
    let (mut rows, mut line, mut known) = (0, MOST_ROWS, None::<Vec<Field>>);
    let mut sheets = 0;
    while let Some(batch) = batches() {
        let batch = batch?;
        let first = known.is_none();
        let fields = known.get_or_insert_with(|| fields(options, &batch));
        if fields.len() > MOST_COLUMNS {
            return Err(DownloadError::Format(format!("Excel has room for {MOST_COLUMNS} columns, not for {}", fields.len())));
        }
        let columns = values::columns(fields, &batch);
        if first {
            line = new_sheet(&mut book, &mut sheets, fields, &looks)?;
        }
        for row in 0..batch.num_rows() {
            if line == MOST_ROWS {
                line = new_sheet(&mut book, &mut sheets, fields, &looks)?;
            }
            let sheet = book.worksheet_from_index(sheets - 1).map_err(excel)?;
            for ((at, column), field) in (0..).zip(&columns).zip(fields.iter()) {
                cell(sheet, (line, at), column, row, &field.data_type, &looks)?;
            }
            // A row of nothing is a row too.
            if columns.iter().all(|column| column.is_null(row)) {
                sheet.write_blank(line, 0, &looks.day).map_err(excel)?;
            }
            line += 1;
        }
        rows += batch.num_rows() as u64;
    }
    if sheets == 0 {
        book.add_worksheet();
    }
    let mut file = tempfile::tempfile()?;
    book.save_to_writer(&mut file).map_err(excel)?;
    Ok((file, rows))
}

struct Looks {
    head: Format,
    day: Format,
    moment: Format,
}

fn new_sheet(book: &mut Workbook, sheets: &mut usize, fields: &[Field], looks: &Looks) -> Result<u32, DownloadError> {
    *sheets += 1;
    let sheet = book.add_worksheet_with_constant_memory().map_err(excel)?;
    let name = if *sheets == 1 { "Data".to_owned() } else { format!("Data {sheets}") };
    sheet.set_name(name).and_then(|sheet| sheet.set_freeze_panes(1, 0)).map_err(excel)?;
    for (at, field) in (0..).zip(fields) {
        sheet.write_string_with_format(0, at, cut(&field.name), &looks.head).map_err(excel)?;
    }
    Ok(1)
}

/// Text is never taken for a formula: it is written as text.
fn cell(
    sheet: &mut Worksheet,
    (line, at): (u32, u16),
    column: &Column<'_>,
    row: usize,
    data_type: &DuckType,
    looks: &Looks,
) -> Result<(), DownloadError> {
    let Some(text) = column.text(row) else { return Ok(()) };
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    let exact = matches!(data_type, DuckType::Float | DuckType::Double) || digits <= DIGITS;
    // The double nearest to what a FLOAT prints as, so that 0.1 stays 0.1.
    let number = if *data_type == DuckType::Float { text.parse().ok() } else { column.number(row) };
    if let Some(number) = number.filter(|number: &f64| number.is_finite() && exact && data_type.is_numeric()) {
        sheet.write_number(line, at, number).map_err(excel)?;
        return Ok(());
    }
    if *data_type == DuckType::Boolean {
        sheet.write_boolean(line, at, text == "true").map_err(excel)?;
        return Ok(());
    }
    if let Some(millis) = column.millis(row).filter(|millis| data_type.is_temporal() && DATES.contains(millis)) {
        let look = if *data_type == DuckType::Date { &looks.day } else { &looks.moment };
        sheet.write_datetime_with_format(line, at, moment(millis)?, look).map_err(excel)?;
        return Ok(());
    }
    sheet.write_string(line, at, cut(&text)).map_err(excel)?;
    Ok(())
}

fn moment(millis: i64) -> Result<ExcelDateTime, DownloadError> {
    let (days, of_day) = (millis.div_euclid(86_400_000), millis.rem_euclid(86_400_000));
    // Excel counts days from 1899-12-30, as far as it counts right: from March 1900 on. Before, it counts one less.
    let serial = days + 25_569;
    let serial = if serial < 61 { serial - 1 } else { serial };
    ExcelDateTime::from_serial_datetime(serial as f64 + of_day as f64 / 86_400_000.0).map_err(excel)
}

/// As much of a text as Excel has room for, with a mark where something is missing.
fn cut(text: &str) -> String {
    if text.encode_utf16().count() <= LONGEST {
        return text.to_owned();
    }
    let mut room = LONGEST - 1;
    let fits = |char: &char| match room.checked_sub(char.len_utf16()) {
        Some(left) => {
            room = left;
            true
        }
        None => false,
    };
    text.chars().take_while(fits).chain(['…']).collect()
}

#[allow(clippy::needless_pass_by_value, reason = "to be handed to map_err by its name")]
fn excel(error: XlsxError) -> DownloadError {
    match error {
        XlsxError::IoError(error) => DownloadError::Write(error),
        error => DownloadError::format(error),
    }
}
