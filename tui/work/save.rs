//! Rows into a file: CSV or Parquet, whole or not at all.

use std::{
    fs::{self, File},
    io::{self, BufWriter},
    path::{Path, PathBuf},
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
    download::{self, DownloadError, Format, Options},
    files,
    reader::{Limits, Query, Stream},
    sql,
    values::Field,
    words,
};

use super::{Served, questions};
use crate::tui::{
    message::{Message, SaveEvent, SaveJob},
    state::grid::{From, PageAsk},
};

/// Progress is told this often.
const OFTEN: Duration = Duration::from_millis(250);

/// A file that is being saved. Stops, and leaves nothing, when dropped.
pub(super) struct Saving {
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Saving {
    pub(super) fn start(job: SaveJob, served: &Served, send: Sender<Message>) -> Self {
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

    /// Asks it to stop; a message tells when it has.
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}

impl Drop for Saving {
    fn drop(&mut self) {
        self.stop();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Writes a file beside the wanted one and renames it when it is whole.
fn save(job: &SaveJob, served: &Served, stop: &AtomicBool, progress: impl Fn(u64)) -> anyhow::Result<String> {
    let parquet = job.path.extension().is_some_and(|extension| extension == "parquet");
    let pin = served.pin().map_err(anyhow::Error::msg)?;
    let text = match &job.ask.from {
        From::Sql(text) if !parquet && job.ask.sort.is_none() && job.ask.filters.is_empty() => text.clone(),
        _ => questions::select("*", &job.ask, false),
    };
    // Parquet has no place for some of DuckDB's types; which ones there are, the answer to no row tells.
    let text = if parquet { with_texts(&pin, &text, &job.ask)? } else { text };
    let limits = Limits { time: Duration::from_hours(1), ..Limits::download() };
    let stream = pin.stream(questions::bound(Query::new(&text), &job.ask), limits)?;

    let fresh = Fresh::beside(&job.path)?;
    let format = if parquet { Format::Parquet } else { Format::Csv };
    let rows = write(format, stream, &fresh, stop, progress)?;
    fresh.keep_as(&job.path, job.overwrite)?;
    Ok(format!("saved {} to {}", words::rows(rows), job.path.display()))
}

/// A file that is removed unless it is kept.
struct Fresh(PathBuf);

impl Fresh {
    fn beside(path: &Path) -> anyhow::Result<Self> {
        let fresh = files::with_suffix(path, &format!(".{}.part", std::process::id()));
        File::create(&fresh).with_context(|| format!("cannot write beside {}", path.display()))?;
        Ok(Self(fresh))
    }

    fn write(&self) -> io::Result<File> {
        File::options().write(true).truncate(true).open(&self.0)
    }

    fn keep_as(self, path: &Path, overwrite: bool) -> anyhow::Result<()> {
        File::open(&self.0)?.sync_all()?;
        if overwrite {
            fs::rename(&self.0, path)?;
        } else {
            // Unlike a rename, a link does not replace what somebody else has put there meanwhile.
            fs::hard_link(&self.0, path).with_context(|| format!("{} could not be put in its place", path.display()))?;
        }
        files::sync_folder(files::folder_of(path))?;
        Ok(())
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Writes the rows as a file, telling how far it is.
fn write(format: Format, mut stream: Stream, fresh: &Fresh, stop: &AtomicBool, progress: impl Fn(u64)) -> anyhow::Result<u64> {
    let (mut rows, mut told) = (0, Instant::now());
    let mut batches = || {
        let batch = stream.blocking_next()?;
        if stop.load(Ordering::SeqCst) {
            return Some(Err(DownloadError::Stopped));
        }
        rows += batch.as_ref().map_or(0, |batch| batch.num_rows() as u64);
        if told.elapsed() > OFTEN {
            progress(rows);
            told = Instant::now();
        }
        Some(batch.map_err(DownloadError::from))
    };
    let written = download::write(format, &Options::default(), &mut batches, BufWriter::new(fresh.write()?));
    written.map_err(|error| match error {
        DownloadError::Stopped => anyhow::anyhow!("stopped; nothing was saved"),
        error => error.into(),
    })
}

/// The query with columns of types that Parquet does not know as text.
fn with_texts(pin: &materia::reader::Pin, text: &str, ask: &PageAsk) -> anyhow::Result<String> {
    let none = questions::bound(Query::new(&format!("SELECT * FROM (\n{text}\n) AS saved LIMIT 0")), ask);
    let answer = pin.ask_blocking(none, Limits::page())?;
    let unknown = |field: &&Field| download::is_text_elsewhere(&field.data_type.to_string());
    let replaced: Vec<_> = answer
        .fields
        .iter()
        .filter(unknown)
        .map(|field| format!("CAST({name} AS VARCHAR) AS {name}", name = sql::ident(&field.name)))
        .collect();
    if replaced.is_empty() {
        return Ok(text.to_owned());
    }
    Ok(format!("SELECT * REPLACE ({}) FROM (\n{text}\n) AS saved", replaced.join(", ")))
}
