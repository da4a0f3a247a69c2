//! Files of all rows, written while they are sent: one generation, a few batches of memory, and an end to the question when nobody listens.

use std::{
    collections::HashMap,
    io::{self, Write},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use futures_util::stream;
use materia::{
    download::{self, DownloadError, Format, Options},
    reader::{GenerationInfo, Limits, Pin, ReaderError, Stream},
    tables::{Layout, Place, TableQuery},
    values::Field,
};
use sha2::{Digest, Sha256};
use tokio::{runtime::Handle, sync::mpsc, time::timeout};

use super::answer::named;
use crate::web::{cache::revalidates, parts::generation_name, router::AsIs};

/// Sent at once, in bytes.
const AT_ONCE: usize = 64 << 10;
/// Pieces that wait to be taken.
const AHEAD: usize = 4;
/// Who takes nothing for this long has gone away.
const STALLED: Duration = Duration::from_mins(2);
/// How long a download may wait for its turn.
const TURN: Duration = Duration::from_secs(20);
/// How long it may take to find where an interrupted file goes on; after this it is sent from its beginning.
const FINDING: Duration = Duration::from_secs(20);

/// How many downloads each account has under way.
#[derive(Clone, Default)]
pub(crate) struct Downloads(Arc<Mutex<HashMap<String, u32>>>);

/// A place among an account's downloads, given back when dropped.
struct Turn {
    downloads: Downloads,
    account: String,
}

impl Downloads {
    fn take(&self, account: &str, most: u32) -> Option<Turn> {
        let mut under_way = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = under_way.entry(account.to_owned()).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Turn { downloads: self.clone(), account: account.to_owned() })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut under_way = self.downloads.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = under_way.get_mut(&self.account) {
            *count -= 1;
            if *count == 0 {
                under_way.remove(&self.account);
            }
        }
    }
}

/// Why there is no file.
#[derive(Debug)]
pub(crate) enum Refused {
    /// The account has as many under way as its plan allows.
    TooManyAtOnce(u32),
    /// The data cannot be read now.
    Reader(ReaderError),
}

impl From<ReaderError> for Refused {
    fn from(error: ReaderError) -> Self {
        Self::Reader(error)
    }
}

/// A file that is asked for.
pub(crate) struct Download<'a> {
    pub(crate) pin: &'a Pin,
    pub(crate) query: TableQuery,
    pub(crate) format: Format,
    /// Whether texts that look like formulas are made harmless.
    pub(crate) safe: bool,
    pub(crate) account: &'a str,
    /// How many the account may have at once.
    pub(crate) at_once: u32,
}

impl Download<'_> {
    /// Begins to send it.
    pub(crate) async fn respond(self, downloads: &Downloads, asked: &HeaderMap) -> Result<Response, Refused> {
        let turn = downloads.take(self.account, self.at_once).ok_or(Refused::TooManyAtOnce(self.at_once))?;
        let info = self.pin.generation().clone();
        let etag = tag(
            &info,
            &[&format!("{:?} {:?}", self.query.columns, self.query.fingerprint()), self.format.name(), if self.safe { "safe" } else { "" }],
            self.format.is_reproducible(),
        );
        let known = HeaderValue::try_from(etag.as_str()).is_ok_and(|etag| revalidates(asked, &etag));
        if known {
            return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, text(&etag))]).into_response());
        }
        // Counting may take longer than beginning to send, and is worth less.
        let rows = match self.query.rows(self.pin, Limits { wait: TURN, ..Limits::page() }).await {
            Ok(rows) => Some(rows),
            Err(ReaderError::TimedOut { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        let options = Options { columns: columns(self.pin, &self.query, self.format.layout()).await?, safe_for_spreadsheets: self.safe };
        let from = match self.resumed(asked, &etag) {
            Some(from) => self.length(&options).await?.map(|length| (from, length)),
            None => None,
        };
        let mut response = match from {
            Some((from, length)) if from >= length => {
                let mut response = StatusCode::RANGE_NOT_SATISFIABLE.into_response();
                response.headers_mut().insert(header::CONTENT_RANGE, text(&format!("bytes */{length}")));
                response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(self.format.media_type()));
                response
            }
            Some((from, length)) => {
                let mut response = Response::new(self.body(options, from, turn).await?);
                *response.status_mut() = StatusCode::PARTIAL_CONTENT;
                let headers = response.headers_mut();
                headers.insert(header::CONTENT_RANGE, text(&format!("bytes {from}-{}/{length}", length - 1)));
                headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length - from));
                response
            }
            None => Response::new(self.body(options, 0, turn).await?),
        };
        response.extensions_mut().insert(AsIs);
        let headers = response.headers_mut();
        let ranges = if self.format.is_reproducible() { "bytes" } else { "none" };
        let name = file_name(&self.query.table.name, &info, self.format);
        for (name, value) in [
            (header::CONTENT_TYPE, HeaderValue::from_static(self.format.media_type())),
            (header::CONTENT_DISPOSITION, text(&name)),
            (header::ACCEPT_RANGES, HeaderValue::from_static(ranges)),
            (header::ETAG, text(&etag)),
            (header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache")),
            (header::VARY, HeaderValue::from_static("accept, authorization, cookie")),
            (HeaderName::from_static("x-materia-generation"), text(&generation_name(&info))),
        ] {
            headers.entry(name).or_insert(value);
        }
        if let Some(rows) = rows {
            headers.insert(HeaderName::from_static("x-materia-rows"), HeaderValue::from(rows));
        }
        Ok(response)
    }

    /// Where an interrupted file goes on. Only for who proves, by `If-Range`, to have the beginning of the same file.
    fn resumed(&self, asked: &HeaderMap, etag: &str) -> Option<u64> {
        let told = |name| asked.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let same = told(header::IF_RANGE).is_some_and(|known| known.trim() == etag);
        let from = told(header::RANGE)?.trim().strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()?;
        (same && self.format.is_reproducible() && from > 0).then_some(from)
    }

    /// How long the whole file is, found out by writing it to nowhere. `None` where that takes too long.
    async fn length(&self, options: &Options) -> Result<Option<u64>, Refused> {
        let mut rows = self.stream()?;
        let first = first(&mut rows).await?;
        let (format, options) = (self.format, options.clone());
        let (sender, closed) = mpsc::channel::<io::Result<Bytes>>(1);
        let handle = Handle::current();
        let counting = tokio::task::spawn_blocking(move || {
            let mut count = Count(0);
            let mut batches = batches(Some(first), rows, &handle, &sender);
            download::write(format, &options, &mut batches, &mut count).map(|_| count.0)
        });
        let length = timeout(FINDING, counting).await;
        // Closing ends what still counts.
        drop(closed);
        match length {
            Ok(Ok(Ok(length))) => Ok(Some(length)),
            Ok(Ok(Err(DownloadError::Reader(error)))) => Err(error.into()),
            _ => Ok(None),
        }
    }

    fn stream(&self) -> Result<Stream, ReaderError> {
        self.pin.stream(self.query.whole(self.format.layout()), Limits { wait: TURN, ..Limits::download() })
    }

    /// The file from byte `skip` on.
    async fn body(&self, options: Options, skip: u64, turn: Turn) -> Result<Body, Refused> {
        let mut rows = self.stream()?;
        // What cannot be answered at all is told before anything is sent.
        let first = first(&mut rows).await?;
        let (sender, receiver) = mpsc::channel::<io::Result<Bytes>>(AHEAD);
        let (format, handle, table) = (self.format, Handle::current(), self.query.table.name.clone());
        // What is told from there belongs to this request, too.
        let request = tracing::Span::current();
        tokio::task::spawn_blocking(move || {
            let _request = request.entered();
            let out = Pieces { sender: sender.clone(), handle: handle.clone(), piece: Vec::with_capacity(2 * AT_ONCE), skip };
            let mut batches = batches(Some(first), rows, &handle, &sender);
            let written = download::write(format, &options, &mut batches, out);
            drop(turn);
            match written {
                Ok(_) => {}
                Err(DownloadError::Stopped | DownloadError::Write(_)) if sender.is_closed() => {}
                Err(error) => {
                    tracing::warn!(%error, table, "a download broke off");
                    // Whoever takes it learns that it is not whole.
                    let _ = handle.block_on(timeout(STALLED, sender.send(Err(io::Error::other("broken off")))));
                }
            }
        });
        let pieces = stream::unfold(receiver, async |mut receiver| receiver.recv().await.map(|piece| (piece, receiver)));
        Ok(Body::from_stream(pieces))
    }
}

/// The columns as the catalog names them, with the types that an answer without rows has.
async fn columns(pin: &Pin, query: &TableQuery, layout: Layout) -> Result<Vec<Field>, ReaderError> {
    let answer = pin.ask(query.page(&Place::Offset(0), 0, layout), Limits { wait: TURN, ..Limits::page() }).await?;
    Ok(named(&answer, query))
}

type Batch = duckdb::arrow::record_batch::RecordBatch;

async fn first(rows: &mut Stream) -> Result<Batch, ReaderError> {
    match rows.next().await {
        Some(first) => first,
        None => Err(ReaderError::Engine { message: "the answer ended before it began".to_owned() }),
    }
}

/// The rows for the writer, which stops when nobody takes what it writes.
fn batches<'a>(
    mut first: Option<Batch>,
    mut rows: Stream,
    handle: &'a Handle,
    sender: &'a mpsc::Sender<io::Result<Bytes>>,
) -> impl FnMut() -> Option<Result<Batch, DownloadError>> + 'a {
    move || {
        if let Some(first) = first.take() {
            return Some(Ok(first));
        }
        handle.block_on(async {
            tokio::select! {
                biased;
                batch = rows.next() => batch.map(|batch| batch.map_err(DownloadError::from)),
                () = sender.closed() => Some(Err(DownloadError::Stopped)),
            }
        })
    }
}

/// Sends what is written, in pieces.
struct Pieces {
    sender: mpsc::Sender<io::Result<Bytes>>,
    handle: Handle,
    piece: Vec<u8>,
    /// Bytes that the receiver has already.
    skip: u64,
}

impl Pieces {
    fn send(&mut self) -> io::Result<()> {
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(2 * AT_ONCE));
        if piece.is_empty() {
            return Ok(());
        }
        let sent = self.handle.block_on(timeout(STALLED, self.sender.send(Ok(Bytes::from(piece)))));
        match sent {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(io::ErrorKind::BrokenPipe.into()),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let skipped = usize::try_from(self.skip).unwrap_or(usize::MAX).min(bytes.len());
        self.skip -= skipped as u64;
        self.piece.extend_from_slice(&bytes[skipped..]);
        if self.piece.len() >= AT_ONCE {
            self.send()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.send()
    }
}

impl Drop for Pieces {
    fn drop(&mut self) {
        // Parquet's writer does not flush what it is given; who has gone away misses nothing.
        let _ = self.send();
    }
}

/// Counts what is written.
struct Count(u64);

impl Write for Count {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Names what a response is made of: the generation and whatever else is given. Weak where the same rows may give other bytes.
pub(crate) fn tag(info: &GenerationInfo, of: &[&str], strong: bool) -> String {
    let mut hash = format!("{:x}", Sha256::digest(format!("{} {} {of:?}", env!("CARGO_PKG_VERSION"), generation_name(info))));
    hash.truncate(24);
    if strong { format!("\"{hash}\"") } else { format!("W/\"{hash}\"") }
}

/// `attachment; filename="prices-2026-11-21.csv"`, with the table and the day its data was exported.
pub(crate) fn file_name(table: &str, info: &GenerationInfo, format: Format) -> String {
    let day = info.exported_at.unwrap_or(info.opened_at).strftime("%Y-%m-%d");
    let plain: String =
        table.chars().map(|char| if char.is_ascii_alphanumeric() || matches!(char, '_' | '-') { char } else { '_' }).collect();
    let exact: String = url::form_urlencoded::byte_serialize(table.as_bytes()).collect::<String>().replace('+', "%20");
    let end = format!("{day}.{}", format.name());
    let also = if plain == table { String::new() } else { format!("; filename*=UTF-8''{exact}-{end}") };
    format!("attachment; filename=\"{plain}-{end}\"{also}")
}

/// What is put together from ids, digits and escaped names.
fn text(value: &str) -> HeaderValue {
    HeaderValue::try_from(value).unwrap_or(HeaderValue::from_static(""))
}
