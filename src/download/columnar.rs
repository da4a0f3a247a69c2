//! Writes Parquet and Arrow: batches are written unchanged, except for types specific to DuckDB.
//!
//! An ENUM is written as one dictionary for the whole file, with all members in the order of their
//! declaration; inside nested types it is text.

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
    array::{Array, ArrayRef, AsArray, DictionaryArray, PrimitiveArray},
    compute::{cast, concat_batches},
    datatypes::{
        ArrowDictionaryKeyType, DataType, Field, Fields, Schema, SchemaRef, TimeUnit, UInt8Type,
        UInt16Type, UInt32Type,
    },
    record_batch::{RecordBatch, RecordBatchOptions},
};
use parquet::{
    arrow::{
        ArrowWriter,
        arrow_writer::{
            ArrowColumnChunk, ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves,
        },
    },
    basic::Compression,
    file::{
        properties::{EnabledStatistics, WriterProperties},
        writer::SerializedFileWriter,
    },
};

use super::{Batches, DownloadError, DownloadOptions, fields, lines};

/// Rows per row group of a Parquet file, as in DuckDB.
const ROW_GROUP_SIZE: usize = 122_880;
/// Rows per batch of an Arrow file.
const BATCH_SIZE: usize = 65_536;

pub(super) fn parquet(
    options: &DownloadOptions,
    batches: &mut Batches<'_>,
    out: impl Write + Send,
) -> Result<u64, DownloadError> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .build();
    let (mut rows, mut waiting, mut pending) = (0, 0, Vec::<RecordBatch>::new());
    let (mut file, mut out) = (None::<ParquetFile<_>>, Some(out));
    while let Some(batch) = batches() {
        let batch = batch?;
        if let Some(out) = out.take() {
            let schema = supported_schema(options, &batch);
            let writer = ArrowWriter::try_new(out, schema.clone(), Some(properties.clone()))
                .map_err(parquet_error)?;
            let (writer, columns) = writer.into_serialized_writer().map_err(parquet_error)?;
            file = Some(ParquetFile { schema, writer, columns, groups: 0 });
        }
        let Some(file) = &mut file else { continue };
        rows += batch.num_rows() as u64;
        waiting += batch.num_rows();
        pending.push(convert_batch(&file.schema, &batch)?);
        if waiting >= ROW_GROUP_SIZE {
            file.group(&pending)?;
            pending.clear();
            waiting = 0;
        }
    }
    if let Some(mut file) = file {
        if waiting > 0 {
            file.group(&pending)?;
        }
        file.writer.close().map_err(parquet_error)?;
    }
    Ok(rows)
}

/// A Parquet file whose columns are encoded on several threads by `encode_column`, one row group
/// after the other.
struct ParquetFile<W: Write + Send> {
    schema: SchemaRef,
    writer: SerializedFileWriter<W>,
    columns: ArrowRowGroupWriterFactory,
    groups: usize,
}

impl<W: Write + Send> ParquetFile<W> {
    fn group(&mut self, batches: &[RecordBatch]) -> Result<(), DownloadError> {
        let mut writers =
            self.columns.create_column_writers(self.groups).map_err(parquet_error)?.into_iter();
        self.groups += 1;
        // A nested column is stored as several leaf columns, each with its own writer.
        let mut fields = Vec::new();
        for (at, field) in self.schema.fields().iter().enumerate() {
            let leaves = leaf_count(field.data_type());
            fields.push(Mutex::new(Some((at, writers.by_ref().take(leaves).collect::<Vec<_>>()))));
        }
        let (schema, next) = (&self.schema, AtomicUsize::new(0));
        let encode = || {
            let mut done = Vec::new();
            while let Some(field) = fields.get(next.fetch_add(1, Ordering::Relaxed)) {
                let taken = field.lock().unwrap_or_else(PoisonError::into_inner).take();
                if let Some((at, writers)) = taken {
                    done.push((at, encode_column(&schema.fields()[at], at, writers, batches)?));
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

/// Encodes one column of a row group as one chunk per leaf.
fn encode_column(
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

/// Returns the number of Parquet leaf columns of a type.
fn leaf_count(data_type: &DataType) -> usize {
    match data_type {
        DataType::Struct(fields) => fields.iter().map(|field| leaf_count(field.data_type())).sum(),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::FixedSizeList(item, _)
        | DataType::Map(item, _) => leaf_count(item.data_type()),
        _ => 1,
    }
}

pub(super) fn arrow(
    options: &DownloadOptions,
    batches: &mut Batches<'_>,
    out: impl Write,
) -> Result<u64, DownloadError> {
    let (mut rows, mut waiting, mut pending) = (0, 0, Vec::<RecordBatch>::new());
    let (mut writer, mut out) = (None::<(SchemaRef, FileWriter<_>)>, Some(out));
    let mut dictionaries = Dictionaries::default();
    while let Some(batch) = batches() {
        let batch = dictionaries.shared(&batch?)?;
        if let Some(out) = out.take() {
            let schema = supported_schema(options, &batch);
            writer = Some((
                schema.clone(),
                FileWriter::try_new(out, &schema).map_err(DownloadError::format)?,
            ));
        }
        let Some((schema, writer)) = &mut writer else { continue };
        // A batch without rows has an empty dictionary.
        if batch.num_rows() == 0 {
            continue;
        }
        rows += batch.num_rows() as u64;
        waiting += batch.num_rows();
        pending.push(convert_batch(schema, &batch)?);
        if waiting >= BATCH_SIZE {
            writer
                .write(&concat_batches(schema, &pending).map_err(DownloadError::format)?)
                .map_err(DownloadError::format)?;
            pending.clear();
            waiting = 0;
        }
    }
    if let Some((schema, mut writer)) = writer {
        if waiting > 0 {
            writer
                .write(&concat_batches(&schema, &pending).map_err(DownloadError::format)?)
                .map_err(DownloadError::format)?;
        }
        writer.finish().map_err(DownloadError::format)?;
    }
    Ok(rows)
}

/// The members of each ENUM column: DuckDB sends them with every batch, but a file has a single
/// dictionary per column.
#[derive(Default)]
struct Dictionaries(Vec<Option<ArrayRef>>);

impl Dictionaries {
    /// Returns the batch with the dictionaries of the previous batches.
    fn shared(&mut self, batch: &RecordBatch) -> Result<RecordBatch, DownloadError> {
        self.0.resize(batch.num_columns(), None);
        let columns = batch.columns().iter().zip(&mut self.0).map(|(column, known)| {
            let Some(dictionary) = column.as_any_dictionary_opt().filter(|_| batch.num_rows() > 0)
            else {
                return Ok(column.clone());
            };
            let known = known.get_or_insert_with(|| dictionary.values().clone());
            if known.to_data() != dictionary.values().to_data() {
                return Err(DownloadError::Format(
                    "the members of an ENUM changed within one result".to_owned(),
                ));
            }
            match dictionary.keys().data_type() {
                DataType::UInt8 => enumerated::<UInt8Type>(column, known),
                DataType::UInt16 => enumerated::<UInt16Type>(column, known),
                _ => enumerated::<UInt32Type>(column, known),
            }
        });
        let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(batch.schema(), columns.collect::<Result<_, _>>()?, &rows)
            .map_err(DownloadError::format)
    }
}

/// Returns an ENUM column over these members. DuckDB leaves arbitrary keys in null slots, which may
/// exceed the members; polars rejects such keys.
fn enumerated<K: ArrowDictionaryKeyType>(
    column: &ArrayRef,
    members: &ArrayRef,
) -> Result<ArrayRef, DownloadError> {
    let keys = column.as_dictionary_opt::<K>().map(DictionaryArray::keys);
    let keys = keys
        .ok_or_else(|| DownloadError::Format("an ENUM has keys of an unknown type".to_owned()))?;
    let cleaned = keys.iter().map(Option::unwrap_or_default).collect();
    let keys = PrimitiveArray::<K>::try_new(cleaned, keys.nulls().cloned())
        .map_err(DownloadError::format)?;
    Ok(Arc::new(DictionaryArray::try_new(keys, members.clone()).map_err(DownloadError::format)?))
}

fn parquet_error(error: parquet::errors::ParquetError) -> DownloadError {
    match error {
        parquet::errors::ParquetError::External(cause) => {
            match cause.downcast::<std::io::Error>() {
                Ok(cause) => DownloadError::Write(*cause),
                Err(cause) => DownloadError::Format(cause.to_string()),
            }
        }
        error => DownloadError::format(error),
    }
}

/// Returns the schema of the file: with the final names, and without types specific to DuckDB.
fn supported_schema(options: &DownloadOptions, batch: &RecordBatch) -> SchemaRef {
    let schema = batch.schema();
    let named = schema
        .fields()
        .iter()
        .zip(fields(options, batch))
        .map(|(field, column)| plain(field).with_name(column.name));
    Arc::new(Schema::new(named.collect::<Vec<_>>()))
}

/// Returns the field without DuckDB's metadata, which would declare extension types that other
/// programs do not support.
fn plain(field: &Field) -> Field {
    let boolean =
        field.metadata().get("ARROW:extension:name").is_some_and(|name| name == "arrow.bool8");
    let data_type = if boolean { DataType::Boolean } else { plain_type(field.data_type()) };
    Field::new(field.name(), data_type, field.is_nullable())
}

fn plain_type(data_type: &DataType) -> DataType {
    let inner = |field: &Arc<Field>| {
        let field = plain(field);
        let is_enum = matches!(field.data_type(), DataType::Dictionary(_, _));
        Arc::new(if is_enum { field.with_data_type(DataType::Utf8) } else { field })
    };
    match data_type {
        DataType::List(item) => DataType::List(inner(item)),
        DataType::LargeList(item) => DataType::LargeList(inner(item)),
        DataType::FixedSizeList(item, size) => DataType::FixedSizeList(inner(item), *size),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(inner).collect::<Fields>()),
        DataType::Map(entries, sorted) => DataType::Map(inner(entries), *sorted),
        // Parquet does not support timestamps in seconds.
        DataType::Timestamp(TimeUnit::Second, zone) => {
            DataType::Timestamp(TimeUnit::Millisecond, zone.clone())
        }
        other => other.clone(),
    }
}

fn convert_batch(schema: &SchemaRef, batch: &RecordBatch) -> Result<RecordBatch, DownloadError> {
    let columns = schema.fields().iter().zip(batch.columns()).map(|(field, column)| {
        if column.data_type() == field.data_type() {
            Ok(column.clone())
        } else {
            cast(column, field.data_type()).map_err(DownloadError::format)
        }
    });
    let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(schema.clone(), columns.collect::<Result<_, _>>()?, &rows)
        .map_err(DownloadError::format)
}
