//! Saves rows to a file, CSV or Parquet, atomically.

use std::{
    fs,
    io::BufWriter,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::Sender,
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use materia::{
    download::{self, DownloadError, DownloadFormat, DownloadOptions},
    files, humanize,
    reader::{Pin, Query, QueryLimits, Stream},
    sql,
    tables::{Forms, TableLayout},
};

use tempfile::NamedTempFile;

use super::{SharedReader, queries};
use crate::{
    grid::{PageRequest, RowSource},
    message::{Message, SaveEvent, SaveJob},
};

/// The mode of a new file, before the umask.
const NEW_FILE_MODE: u32 = 0o666;
const PROGRESS_INTERVAL: Duration = Duration::from_millis(250);
const SAVE_TIMEOUT: Duration = Duration::from_hours(1);

/// A file that is being saved. Dropping it cancels it and removes the incomplete file.
pub(super) struct SaveTask {
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl SaveTask {
    pub(super) fn start(job: SaveJob, served: &SharedReader, send: Sender<Message>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (own, served) = (stop.clone(), served.clone());
        let thread = thread::spawn(move || {
            if job.path.exists() && !job.overwrite {
                let _ = send.send(Message::Save(SaveEvent::Exists(job)));
                return;
            }
            let progress = |rows| drop(send.send(Message::Save(SaveEvent::Progress { rows })));
            let saved = save(&job, &served, &own, progress).map_err(|error| format!("{error:#}"));
            let _ = send.send(Message::Save(SaveEvent::Ended(saved)));
        });
        Self { stop, thread: Some(thread) }
    }

    /// Requests it to stop; a message follows when it has.
    pub(super) fn cancel(&self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}

impl Drop for SaveTask {
    fn drop(&mut self) {
        self.cancel();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Writes a temporary file next to the requested one and renames it when complete.
fn save(
    job: &SaveJob,
    served: &SharedReader,
    stop: &AtomicBool,
    progress: impl Fn(u64),
) -> anyhow::Result<String> {
    let parquet = job.path.extension().is_some_and(|extension| extension == "parquet");
    let pin = served.pin_database(job.page.database).map_err(anyhow::Error::msg)?;
    let text = match &job.page.source {
        RowSource::Sql(text)
            if !parquet && job.page.sort.is_empty() && job.page.filters.is_empty() =>
        {
            text.clone()
        }
        _ => queries::select("*", &job.page, false),
    };
    // Parquet cannot represent some of DuckDB's types and values.
    let text = if parquet { with_parquet_types(&pin, &text, &job.page)? } else { text };
    let limits = QueryLimits { timeout: SAVE_TIMEOUT, ..QueryLimits::for_download() };
    let stream = pin.stream(queries::bound(Query::new(&text), &job.page), limits)?;

    let fresh = create_temporary(&job.path)?;
    let format = if parquet { DownloadFormat::Parquet } else { DownloadFormat::Csv };
    let rows = write(format, stream, &fresh, stop, progress)?;
    persist(fresh, &job.path, job.overwrite)?;
    Ok(format!("saved {} to {}", humanize::rows(rows), job.path.display()))
}

/// Creates a file in the same folder, which is removed unless it is persisted.
fn create_temporary(path: &Path) -> anyhow::Result<NamedTempFile> {
    let file = tempfile::Builder::new()
        .prefix(".materia-")
        .suffix(".part")
        .permissions(fs::Permissions::from_mode(NEW_FILE_MODE))
        .tempfile_in(files::parent_dir(path));
    file.with_context(|| format!("cannot write next to {}", path.display()))
}

/// Renames a complete file. Unless overwriting is allowed, it does not replace a file that another
/// process has created meanwhile.
fn persist(file: NamedTempFile, path: &Path, overwrite: bool) -> anyhow::Result<()> {
    file.as_file().sync_all()?;
    let persisted = if overwrite { file.persist(path) } else { file.persist_noclobber(path) };
    persisted
        .map_err(|error| error.error)
        .with_context(|| format!("cannot create {}", path.display()))?;
    files::sync_dir(files::parent_dir(path))?;
    Ok(())
}

/// Writes the rows, and reports progress.
fn write(
    format: DownloadFormat,
    mut stream: Stream,
    file: &NamedTempFile,
    stop: &AtomicBool,
    progress: impl Fn(u64),
) -> anyhow::Result<u64> {
    let (mut rows, mut reported_at) = (0, Instant::now());
    let mut batches = || {
        let batch = stream.blocking_next()?;
        if stop.load(Ordering::SeqCst) {
            return Some(Err(DownloadError::Stopped));
        }
        rows += batch.as_ref().map_or(0, |batch| batch.num_rows() as u64);
        if reported_at.elapsed() > PROGRESS_INTERVAL {
            progress(rows);
            reported_at = Instant::now();
        }
        Some(batch.map_err(DownloadError::from))
    };
    let written = download::write(
        format,
        &DownloadOptions::default(),
        &mut batches,
        BufWriter::new(file.reopen()?),
    );
    written.map_err(|error| match error {
        DownloadError::Stopped => anyhow::anyhow!("stopped; nothing was saved"),
        error => error.into(),
    })
}

/// Casts each column to a type in which Parquet can represent all of its values.
fn with_parquet_types(pin: &Pin, text: &str, page: &PageRequest) -> anyhow::Result<String> {
    let source = format!("(\n{text}\n) AS saved");
    let none = queries::bound(Query::new(&format!("SELECT * FROM {source} LIMIT 0")), page);
    let response = pin.query_blocking(none, QueryLimits::for_page())?;
    let names: Vec<_> = response.fields.iter().map(|field| sql::ident(&field.name)).collect();
    let types = response.fields.iter().map(|field| field.data_type.to_string());
    let forms = Forms::new(TableLayout::Columnar, names.iter().cloned().zip(types));
    let limits = QueryLimits { timeout: SAVE_TIMEOUT, ..QueryLimits::for_page() };
    let values = forms
        .test_query(&source)
        .map(|query| pin.query_blocking(queries::bound(query, page), limits))
        .transpose()?;
    let casts = forms.casts(values.as_deref());
    let replaced: Vec<_> = names
        .iter()
        .zip(casts)
        .filter_map(|(name, cast)| cast.map(|cast| format!("CAST({name} AS {cast}) AS {name}")))
        .collect();
    if replaced.is_empty() {
        return Ok(text.to_owned());
    }
    Ok(format!("SELECT * REPLACE ({}) FROM {source}", replaced.join(", ")))
}
