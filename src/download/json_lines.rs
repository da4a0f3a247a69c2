//! JSON Lines: one object for each row.

use std::io::Write;

use serde::{Serialize, Serializer};

use super::{Batches, DownloadError, Options, fields};
use crate::values::{self, Column, Field};

/// Written at once, in bytes.
const AT_ONCE: usize = 64 << 10;

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

pub(super) fn write(options: &Options, batches: &mut Batches<'_>, mut out: impl Write) -> Result<u64, DownloadError> {
    let (mut known, mut rows, mut text) = (None::<Vec<Field>>, 0, Vec::with_capacity(2 * AT_ONCE));
    while let Some(batch) = batches() {
        let batch = batch?;
        let fields = known.get_or_insert_with(|| fields(options, &batch));
        let columns = values::columns(fields, &batch);
        for row in 0..batch.num_rows() {
            serde_json::to_writer(&mut text, &Row { fields, columns: &columns, at: row }).map_err(DownloadError::format)?;
            text.push(b'\n');
            if text.len() >= AT_ONCE {
                out.write_all(&text)?;
                text.clear();
            }
        }
        rows += batch.num_rows() as u64;
    }
    out.write_all(&text)?;
    out.flush()?;
    Ok(rows)
}
