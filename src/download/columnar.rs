//! Parquet and Arrow: batches as they are, but for what only DuckDB knows.

use std::{
    io::Write,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use arrow_ipc::writer::FileWriter;
use duckdb::arrow::{
    compute::{cast, concat_batches},
    datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit},
    record_batch::{RecordBatch, RecordBatchOptions},
};
use parquet::{
    arrow::{
        ArrowWriter,
        arrow_writer::{ArrowColumnChunk, ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves},
    },
    basic::Compression,
    file::{
        properties::{EnabledStatistics, WriterProperties},
        writer::SerializedFileWriter,
    },
};

use super::{Batches, DownloadError, Options, fields, lines};

/// Rows of one group in a Parquet file, as DuckDB writes it.
const GROUP: usize = 122_880;
/// Rows of one batch in an Arrow file.
const BATCH: usize = 65_536;

pub(super) fn parquet(options: &Options, batches: &mut Batches<'_>, out: impl Write + Send) -> Result<u64, DownloadError> {
    let properties =
        WriterProperties::builder().set_compression(Compression::SNAPPY).set_statistics_enabled(EnabledStatistics::Chunk).build();
    let (mut rows, mut waiting, mut gathered) = (0, 0, Vec::<RecordBatch>::new());
    let (mut file, mut out) = (None::<ParquetFile<_>>, Some(out));
    while let Some(batch) = batches() {
        let batch = batch?;
        if let Some(out) = out.take() {
            let schema = understood(options, &batch);
            let writer = ArrowWriter::try_new(out, schema.clone(), Some(properties.clone())).map_err(parquet_error)?;
            let (writer, columns) = writer.into_serialized_writer().map_err(parquet_error)?;
            file = Some(ParquetFile { schema, writer, columns, groups: 0 });
        }
        let Some(file) = &mut file else { continue };
        rows += batch.num_rows() as u64;
        waiting += batch.num_rows();
        gathered.push(translated(&file.schema, &batch)?);
        if waiting >= GROUP {
            file.group(&gathered)?;
            gathered.clear();
            waiting = 0;
        }
    }
    if let Some(mut file) = file {
        if waiting > 0 {
            file.group(&gathered)?;
        }
        file.writer.close().map_err(parquet_error)?;
    }
    Ok(rows)
}

/// A Parquet file whose columns are encoded on several threads, one group of rows after the other.
struct ParquetFile<W: Write + Send> {
    schema: SchemaRef,
    writer: SerializedFileWriter<W>,
    columns: ArrowRowGroupWriterFactory,
    groups: usize,
}

impl<W: Write + Send> ParquetFile<W> {
    fn group(&mut self, batches: &[RecordBatch]) -> Result<(), DownloadError> {
        let mut writers = self.columns.create_column_writers(self.groups).map_err(parquet_error)?.into_iter();
        self.groups += 1;
        // A nested column is stored as several: each field has the writers of its leaves.
        let mut fields = Vec::new();
        for (at, field) in self.schema.fields().iter().enumerate() {
            let leaves = leaves_of(field.data_type());
            fields.push(Mutex::new(Some((at, writers.by_ref().take(leaves).collect::<Vec<_>>()))));
        }
        let (schema, next) = (&self.schema, AtomicUsize::new(0));
        let encode = || {
            let mut done = Vec::new();
            while let Some(field) = fields.get(next.fetch_add(1, Ordering::Relaxed)) {
                let taken = field.lock().unwrap_or_else(PoisonError::into_inner).take();
                if let Some((at, writers)) = taken {
                    done.push((at, encoded(&schema.fields()[at], at, writers, batches)?));
                }
            }
            Ok::<_, DownloadError>(done)
        };
        let others = lines::threads().min(fields.len()).saturating_sub(1);
        let mut chunks = thread::scope(|scope| {
            let threads: Vec<_> = (0..others).map(|_| scope.spawn(encode)).collect();
            let mut chunks = encode()?;
            for thread in threads {
                let failed = || DownloadError::Format("a column could not be encoded".to_owned());
                chunks.extend(thread.join().map_err(|_| failed())??);
            }
            Ok::<_, DownloadError>(chunks)
        })?;
        chunks.sort_by_key(|(at, _)| *at);
        let mut group = self.writer.next_row_group().map_err(parquet_error)?;
        for chunk in chunks.into_iter().flat_map(|(_, chunks)| chunks) {
            chunk.append_to_row_group(&mut group).map_err(parquet_error)?;
        }
        group.close().map_err(parquet_error)?;
        Ok(())
    }
}

/// One column of a group of rows, as the chunks of its leaves.
fn encoded(
    field: &Field,
    at: usize,
    mut writers: Vec<ArrowColumnWriter>,
    batches: &[RecordBatch],
) -> Result<Vec<ArrowColumnChunk>, DownloadError> {
    for batch in batches {
        let leaves = compute_leaves(field, batch.column(at)).map_err(parquet_error)?;
        for (leaf, writer) in leaves.iter().zip(&mut writers) {
            writer.write(leaf).map_err(parquet_error)?;
        }
    }
    writers.into_iter().map(|writer| writer.close().map_err(parquet_error)).collect()
}

/// How many columns of a Parquet file a type takes.
fn leaves_of(data_type: &DataType) -> usize {
    match data_type {
        DataType::Struct(fields) => fields.iter().map(|field| leaves_of(field.data_type())).sum(),
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) | DataType::Map(item, _) => {
            leaves_of(item.data_type())
        }
        _ => 1,
    }
}

pub(super) fn arrow(options: &Options, batches: &mut Batches<'_>, out: impl Write) -> Result<u64, DownloadError> {
    let (mut rows, mut waiting, mut gathered) = (0, 0, Vec::<RecordBatch>::new());
    let (mut writer, mut out) = (None::<(SchemaRef, FileWriter<_>)>, Some(out));
    while let Some(batch) = batches() {
        let batch = batch?;
        if let Some(out) = out.take() {
            let schema = understood(options, &batch);
            writer = Some((schema.clone(), FileWriter::try_new(out, &schema).map_err(DownloadError::format)?));
        }
        let Some((schema, writer)) = &mut writer else { continue };
        rows += batch.num_rows() as u64;
        waiting += batch.num_rows();
        gathered.push(translated(schema, &batch)?);
        if waiting >= BATCH {
            writer.write(&concat_batches(schema, &gathered).map_err(DownloadError::format)?).map_err(DownloadError::format)?;
            gathered.clear();
            waiting = 0;
        }
    }
    if let Some((schema, mut writer)) = writer {
        if waiting > 0 {
            writer.write(&concat_batches(&schema, &gathered).map_err(DownloadError::format)?).map_err(DownloadError::format)?;
        }
        writer.finish().map_err(DownloadError::format)?;
    }
    Ok(rows)
}

fn parquet_error(error: parquet::errors::ParquetError) -> DownloadError {
    match error {
        parquet::errors::ParquetError::External(cause) => match cause.downcast::<std::io::Error>() {
            Ok(cause) => DownloadError::Write(*cause),
            Err(cause) => DownloadError::Format(cause.to_string()),
        },
        error => DownloadError::format(error),
    }
}

/// The schema that the file has: names as they are to be, and no types that only DuckDB knows.
fn understood(options: &Options, batch: &RecordBatch) -> SchemaRef {
    let schema = batch.schema();
    let named = schema.fields().iter().zip(fields(options, batch)).map(|(field, column)| plain(field).with_name(column.name));
    Arc::new(Schema::new(named.collect::<Vec<_>>()))
}

/// The field without DuckDB's notes on it, which would make other programs take it for something they do not know.
fn plain(field: &Field) -> Field {
    let boolean = field.metadata().get("ARROW:extension:name").is_some_and(|name| name == "arrow.bool8");
    let data_type = if boolean { DataType::Boolean } else { plain_type(field.data_type()) };
    Field::new(field.name(), data_type, field.is_nullable())
}

fn plain_type(data_type: &DataType) -> DataType {
    let inner = |field: &Arc<Field>| Arc::new(plain(field));
    match data_type {
        DataType::List(item) => DataType::List(inner(item)),
        DataType::LargeList(item) => DataType::LargeList(inner(item)),
        DataType::FixedSizeList(item, size) => DataType::FixedSizeList(inner(item), *size),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(inner).collect::<Fields>()),
        DataType::Map(entries, sorted) => DataType::Map(inner(entries), *sorted),
        // Parquet has no seconds.
        DataType::Timestamp(TimeUnit::Second, zone) => DataType::Timestamp(TimeUnit::Millisecond, zone.clone()),
        other => other.clone(),
    }
}

fn translated(schema: &SchemaRef, batch: &RecordBatch) -> Result<RecordBatch, DownloadError> {
    let columns = schema.fields().iter().zip(batch.columns()).map(|(field, column)| {
        if column.data_type() == field.data_type() {
            Ok(column.clone())
        } else {
            cast(column, field.data_type()).map_err(DownloadError::format)
        }
    });
    let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(schema.clone(), columns.collect::<Result<_, _>>()?, &rows).map_err(DownloadError::format)
}
