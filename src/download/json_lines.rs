//! Writes JSON Lines: one object per row.

use duckdb::arrow::record_batch::RecordBatch;
use serde::{Serialize, Serializer};

use super::{DownloadError, lines::LineFormat};
use crate::values::{self, Column, Field};

/// The JSON Lines format.
pub(super) struct JsonLines;

struct JsonRow<'b, 'c, 'a> {
    fields: &'b [Field],
    columns: &'c [Column<'a>],
    at: usize,
}

impl Serialize for JsonRow<'_, '_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(
            self.fields
                .iter()
                .map(|field| &field.name)
                .zip(self.columns.iter().map(|column| column.cell(self.at))),
        )
    }
}

impl LineFormat for JsonLines {
    fn head(&self, _: &[Field], _: &mut Vec<u8>) {}

    fn lines(
        &self,
        fields: &[Field],
        batch: &RecordBatch,
        text: &mut Vec<u8>,
    ) -> Result<(), DownloadError> {
        let columns = values::columns(fields, batch);
        for at in 0..batch.num_rows() {
            serde_json::to_writer(&mut *text, &JsonRow { fields, columns: &columns, at })
                .map_err(DownloadError::format)?;
            text.push(b'\n');
        }
        Ok(())
    }
}
