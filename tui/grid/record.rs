//! One row in full, and as JSON, INSERT and CSV.

use std::fmt::Write as _;

use materia::sql;
use serde_json::{Map, Value};

use super::{Grid, GridColumn, RowSource};
use crate::{
    context::Context,
    message::Effect,
    overlays::{Overlay, TextView},
    screens::Screen,
    text::width,
};

/// Maximum width of names and types up to which values are aligned.
const MAX_NAME_WIDTH: usize = 28;
const MAX_TYPE_WIDTH: usize = 16;

/// Opens the selected row: every column with its type and its whole value.
pub(super) fn open(screen: &mut dyn Screen, context: &mut Context) -> Vec<Effect> {
    let catalog = context.reader.catalog.clone();
    let Some((grid, _)) = screen.grid() else { return Vec::new() };
    let Some(row) = grid.row(grid.cursor.at) else { return Vec::new() };
    let comment = |column: &str| -> Option<String> {
        let RowSource::Table { name, .. } = &grid.source else { return None };
        let table = catalog.as_ref()?.tables.iter().find(|table| table.name == *name)?;
        table.columns.iter().find(|known| known.name == column)?.comment.clone()
    };
    let widest = |texts: &dyn Fn(&GridColumn) -> usize| {
        grid.columns.iter().map(texts).max().unwrap_or_default()
    };
    let names = widest(&|column| width(&column.name, MAX_NAME_WIDTH));
    let types = widest(&|column| width(&column.data_type, MAX_TYPE_WIDTH));
    let mut text = String::new();
    for (column, value) in grid.columns.iter().zip(row) {
        let indent = " ".repeat(names + types + 4);
        let value = value.as_deref().map_or_else(|| "NULL".to_owned(), pretty);
        let value = value.replace('\n', &format!("\n{indent}"));
        let _ = writeln!(text, "{:<names$}  {:<types$}  {value}", column.name, column.data_type);
        if let Some(comment) = comment(&column.name) {
            let _ = writeln!(text, "{indent}-- {comment}");
        }
    }
    let title = format!("Row {}", grid.cursor.at + 1);
    let copies = [
        ("y", "JSON", as_json(grid, row)),
        ("i", "INSERT", as_insert(grid, row)),
        ("c", "CSV", as_csv(grid, row)),
    ];
    let view = TextView::with_copies(title, text, copies.to_vec());
    context.overlay = Some(Overlay::Text(Box::new(view)));
    Vec::new()
}

/// Formats a JSON object or list with one line per field; returns any other value unchanged.
fn pretty(value: &str) -> String {
    match serde_json::from_str::<Value>(value) {
        Ok(json @ (Value::Object(_) | Value::Array(_))) => {
            serde_json::to_string_pretty(&json).unwrap_or_else(|_| value.to_owned())
        }
        _ => value.to_owned(),
    }
}

/// Numbers remain numbers if JSON can represent them.
fn as_json(grid: &Grid, row: &[Option<String>]) -> String {
    let field = |(column, value): (&GridColumn, &Option<String>)| {
        let value = match value {
            None => Value::Null,
            Some(text) if column.numeric => {
                serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.clone()))
            }
            Some(text) => Value::String(text.clone()),
        };
        (column.name.clone(), value)
    };
    Value::Object(grid.columns.iter().zip(row).map(field).collect::<Map<_, _>>()).to_string()
}

fn as_insert(grid: &Grid, row: &[Option<String>]) -> String {
    let table = match &grid.source {
        RowSource::Table { name, .. } => sql::ident(name),
        RowSource::Sql(_) => "result".to_owned(),
    };
    let names: Vec<_> = grid.columns.iter().map(|column| sql::ident(&column.name)).collect();
    let value = |(column, value): (&GridColumn, &Option<String>)| match value {
        None => "NULL".to_owned(),
        Some(text) if column.numeric && text.parse::<f64>().is_ok_and(f64::is_finite) => {
            text.clone()
        }
        Some(text) => format!("'{}'", text.replace('\'', "''")),
    };
    let values: Vec<_> = grid.columns.iter().zip(row).map(value).collect();
    format!("INSERT INTO {table} ({}) VALUES ({});", names.join(", "), values.join(", "))
}

/// The first line has the column names.
fn as_csv(grid: &Grid, row: &[Option<String>]) -> String {
    let quote = |text: &str| {
        if text.is_empty() || text.contains([',', '"', '\n', '\r']) {
            format!("\"{}\"", text.replace('"', "\"\""))
        } else {
            text.to_owned()
        }
    };
    let names: Vec<_> = grid.columns.iter().map(|column| quote(&column.name)).collect();
    let values: Vec<_> =
        row.iter().map(|value| value.as_deref().map(quote).unwrap_or_default()).collect();
    format!("{}\n{}\n", names.join(","), values.join(","))
}
