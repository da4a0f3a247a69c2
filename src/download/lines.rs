//! Text formats: batches are encoded as text on several threads and written in order.

use std::{io::Write, num::NonZeroUsize, thread};

use duckdb::arrow::record_batch::RecordBatch;

use super::{Batches, DownloadError, DownloadOptions, fields};
use crate::values::Field;

/// Maximum number of batches, of 2,048 rows each, that are encoded concurrently.
const BATCHES_IN_FLIGHT: usize = 32;
/// More threads would take CPU time from queries.
const MAX_THREADS: usize = 4;

/// Returns the number of threads that encode one file.
pub(super) fn threads() -> usize {
    thread::available_parallelism().map_or(1, NonZeroUsize::get).min(MAX_THREADS)
}

/// Encodes the lines of a format.
pub(super) trait LineFormat: Sync {
    /// Appends the text before the first line.
    fn head(&self, fields: &[Field], text: &mut Vec<u8>);
    /// Appends a line for each row.
    fn lines(
        &self,
        fields: &[Field],
        batch: &RecordBatch,
        text: &mut Vec<u8>,
    ) -> Result<(), DownloadError>;
}

pub(super) fn write(
    lines: &impl LineFormat,
    options: &DownloadOptions,
    batches: &mut Batches<'_>,
    mut out: impl Write,
) -> Result<u64, DownloadError> {
    let (mut known, mut rows, mut pending) =
        (None::<Vec<Field>>, 0, Vec::with_capacity(BATCHES_IN_FLIGHT));
    loop {
        let batch = batches().transpose()?;
        let over = batch.is_none();
        if let Some(batch) = batch {
            if known.is_none() {
                let fields = known.insert(fields(options, &batch));
                let mut text = Vec::new();
                lines.head(fields, &mut text);
                out.write_all(&text)?;
            }
            rows += batch.num_rows() as u64;
            pending.push(batch);
        }
        if over || pending.len() == BATCHES_IN_FLIGHT {
            for text in encode_batches(lines, known.as_deref().unwrap_or_default(), &pending)? {
                out.write_all(&text)?;
            }
            pending.clear();
        }
        if over {
            out.flush()?;
            return Ok(rows);
        }
    }
}

/// Encodes the lines of all batches, distributed over several threads.
fn encode_batches(
    lines: &impl LineFormat,
    fields: &[Field],
    batches: &[RecordBatch],
) -> Result<Vec<Vec<u8>>, DownloadError> {
    let text = |part: &[RecordBatch]| {
        let mut text = Vec::new();
        part.iter().try_for_each(|batch| lines.lines(fields, batch, &mut text)).map(|()| text)
    };
    let parts = batches.chunks(batches.len().div_ceil(threads()).max(1));
    if parts.len() < 2 {
        return parts.map(text).collect();
    }
    thread::scope(|scope| {
        let threads: Vec<_> = parts.map(|part| scope.spawn(move || text(part))).collect();
        threads
            .into_iter()
            .map(|thread| {
                thread.join().unwrap_or_else(|_| {
                    Err(DownloadError::Format("a value could not be written".to_owned()))
                })
            })
            .collect()
    })
}
