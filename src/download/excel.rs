//! Writes Excel workbooks. The format can only be completed when all content is known, so the
//! workbook grows in a temporary file.

use std::{
    fs::File,
    io::{self, Seek, SeekFrom, Write},
};

use rust_xlsxwriter::{ExcelDateTime, Format, Workbook, Worksheet, XlsxError};

use super::{Batches, DownloadError, DownloadOptions, fields};
use crate::values::{self, Column, DuckType, Field};

/// Maximum rows of a sheet, including the header row.
const MAX_ROWS: u32 = 1_048_576;
const MAX_COLUMNS: usize = 16_384;
/// Maximum characters of a cell, as counted by Excel.
const MAX_CELL_CHARS: usize = 32_767;
/// From 1900-01-01 to the end of 9999, in milliseconds since 1970.
const DATES: std::ops::Range<i64> = -2_208_988_800_000..253_402_300_800_000;

pub(super) fn write(
    options: &DownloadOptions,
    batches: &mut Batches<'_>,
    mut out: impl Write,
) -> Result<u64, DownloadError> {
    let mut file = stream_rows(options, batches)?;
    file.0.seek(SeekFrom::Start(0))?;
    io::copy(&mut file.0, &mut out)?;
    out.flush()?;
    Ok(file.1)
}

/// Writes the workbook to a temporary file; returns it with the number of rows.
fn stream_rows(
    options: &DownloadOptions,
    batches: &mut Batches<'_>,
) -> Result<(File, u64), DownloadError> {
    let mut book = Workbook::new();
    let formats = Formats {
        head: Format::new().set_bold(),
        day: Format::new().set_num_format("yyyy-mm-dd"),
        moment: Format::new().set_num_format("yyyy-mm-dd hh:mm:ss"),
    };
    let (mut rows, mut line, mut known) = (0, MAX_ROWS, None::<Vec<Field>>);
    let mut sheets = 0;
    while let Some(batch) = batches() {
        let batch = batch?;
        let first = known.is_none();
        let fields = known.get_or_insert_with(|| fields(options, &batch));
        if fields.len() > MAX_COLUMNS {
            return Err(DownloadError::Format(format!(
                "Excel has room for {MAX_COLUMNS} columns, not for {}",
                fields.len()
            )));
        }
        let columns = values::columns(fields, &batch);
        if first {
            line = new_sheet(&mut book, &mut sheets, fields, &formats)?;
        }
        for row in 0..batch.num_rows() {
            if line == MAX_ROWS {
                line = new_sheet(&mut book, &mut sheets, fields, &formats)?;
            }
            let sheet = book.worksheet_from_index(sheets - 1).map_err(excel)?;
            for ((at, column), field) in (0..).zip(&columns).zip(fields.iter()) {
                cell(sheet, (line, at), column, row, &field.data_type, &formats)?;
            }
            // A row with only nulls must still be written.
            if columns.iter().all(|column| column.is_null(row)) {
                sheet.write_blank(line, 0, &formats.day).map_err(excel)?;
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

struct Formats {
    head: Format,
    day: Format,
    moment: Format,
}

fn new_sheet(
    book: &mut Workbook,
    sheets: &mut usize,
    fields: &[Field],
    formats: &Formats,
) -> Result<u32, DownloadError> {
    *sheets += 1;
    let sheet = book.add_worksheet_with_constant_memory().map_err(excel)?;
    let name = if *sheets == 1 { "Data".to_owned() } else { format!("Data {sheets}") };
    sheet.set_name(name).and_then(|sheet| sheet.set_freeze_panes(1, 0)).map_err(excel)?;
    for (at, field) in (0..).zip(fields) {
        sheet
            .write_string_with_format(0, at, truncate(&field.name), &formats.head)
            .map_err(excel)?;
    }
    Ok(1)
}

/// Writes one cell. Texts are written as text and never evaluated as formulas. Columns with numbers
/// that Excel cannot represent have already been converted to text
/// ([`crate::tables::TableLayout::Sheet`]).
fn cell(
    sheet: &mut Worksheet,
    (line, at): (u32, u16),
    column: &Column<'_>,
    row: usize,
    data_type: &DuckType,
    formats: &Formats,
) -> Result<(), DownloadError> {
    let Some(text) = column.text(row) else { return Ok(()) };
    // Uses the double closest to the printed FLOAT, so that 0.1 stays 0.1.
    let number = if *data_type == DuckType::Float { text.parse().ok() } else { column.number(row) };
    if let Some(number) = number.filter(|number: &f64| number.is_finite() && data_type.is_numeric())
    {
        sheet.write_number(line, at, number).map_err(excel)?;
        return Ok(());
    }
    if *data_type == DuckType::Boolean {
        sheet.write_boolean(line, at, text == "true").map_err(excel)?;
        return Ok(());
    }
    if let Some(millis) =
        column.millis(row).filter(|millis| data_type.is_temporal() && DATES.contains(millis))
    {
        let cell_format = if *data_type == DuckType::Date { &formats.day } else { &formats.moment };
        sheet.write_datetime_with_format(line, at, moment(millis)?, cell_format).map_err(excel)?;
        return Ok(());
    }
    sheet.write_string(line, at, truncate(&text)).map_err(excel)?;
    Ok(())
}

fn moment(millis: i64) -> Result<ExcelDateTime, DownloadError> {
    let (days, of_day) = (millis.div_euclid(86_400_000), millis.rem_euclid(86_400_000));
    // Excel counts days from 1899-12-30, correctly from March 1900 on; earlier dates have a number
    // that is one less.
    let serial = days + 25_569;
    let serial = if serial < 61 { serial - 1 } else { serial };
    ExcelDateTime::from_serial_datetime(serial as f64 + of_day as f64 / 86_400_000.0).map_err(excel)
}

/// Truncates a text to Excel's limit, and marks the omission.
fn truncate(text: &str) -> String {
    if text.encode_utf16().count() <= MAX_CELL_CHARS {
        return text.to_owned();
    }
    let mut room = MAX_CELL_CHARS - 1;
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
