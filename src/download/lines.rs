//! Formats of lines: batches become text on several threads, and are written in their order.

use std::{io::Write, num::NonZeroUsize, thread};

use duckdb::arrow::record_batch::RecordBatch;

use super::{Batches, DownloadError, Options, fields};
use crate::values::Field;

/// Batches of DuckDB's 2,048 rows that become text at once.
const AT_ONCE: usize = 32;
/// More threads than this would only take the processor from others.
const MOST_THREADS: usize = 4;

/// How many threads share the work on one file.
pub(super) fn threads() -> usize {
    thread::available_parallelism().map_or(1, NonZeroUsize::get).min(MOST_THREADS)
}

/// How a format writes its lines.
pub(super) trait Lines: Sync {
    /// What stands before the first line.
    fn head(&self, fields: &[Field], text: &mut Vec<u8>);
    /// A line for each row.
    fn lines(&self, fields: &[Field], batch: &RecordBatch, text: &mut Vec<u8>) -> Result<(), DownloadError>;
}

pub(super) fn write(lines: &impl Lines, options: &Options, batches: &mut Batches<'_>, mut out: impl Write) -> Result<u64, DownloadError> {
    let (mut known, mut rows, mut gathered) = (None::<Vec<Field>>, 0, Vec::with_capacity(AT_ONCE));
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
            gathered.push(batch);
        }
        if over || gathered.len() == AT_ONCE {
            for text in texts(lines, known.as_deref().unwrap_or_default(), &gathered)? {
                out.write_all(&text)?;
            }
            gathered.clear();
        }
        if over {
            out.flush()?;
            return Ok(rows);
        }
    }
}

/// The lines of all batches, in parts that several threads have made.
fn texts(lines: &impl Lines, fields: &[Field], batches: &[RecordBatch]) -> Result<Vec<Vec<u8>>, DownloadError> {
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
            .map(|thread| thread.join().unwrap_or_else(|_| Err(DownloadError::Format("a value could not be written".to_owned()))))
            .collect()
    })
}
