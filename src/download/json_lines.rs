//! JSON Lines: one object for each row.

use duckdb::arrow::record_batch::RecordBatch;
use serde::{Serialize, Serializer};

use super::{DownloadError, lines::Lines};
use crate::values::{self, Column, Field};

/// JSON Lines.
pub(super) struct JsonLines;

struct Row<'b, 'c, 'a> {
    fields: &'b [Field],
    columns: &'c [Column<'a>],
    at: usize,
}

impl Serialize for Row<'_, '_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.fields.iter().map(|field| &field.name).zip(self.columns.iter().map(|column| column.cell(self.at))))
    }
}

impl Lines for JsonLines {
    fn head(&self, _: &[Field], _: &mut Vec<u8>) {}

    fn lines(&self, fields: &[Field], batch: &RecordBatch, text: &mut Vec<u8>) -> Result<(), DownloadError> {
        let columns = values::columns(fields, batch);
        for at in 0..batch.num_rows() {
            serde_json::to_writer(&mut *text, &Row { fields, columns: &columns, at }).map_err(DownloadError::format)?;
            text.push(b'\n');
        }
        Ok(())
    }
}
