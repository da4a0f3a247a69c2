//! Downloads of whole tables, written while they are sent: from one generation, with a few batches
//! in memory. The query ends when the client disconnects.

use std::{
    collections::HashMap,
    io::{self, Write},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use futures_util::stream;
use materia::{
    download::{self, DownloadError, DownloadFormat, DownloadOptions},
    reader::{GenerationInfo, Pin, QueryLimits, ReaderError, Stream},
    tables::{PageStart, TableQuery},
    values::Field,
};
use sha2::{Digest, Sha256};
use tokio::{runtime::Handle, sync::mpsc, time::timeout};

use super::{
    chunk_writer::{CHANNEL_SIZE, ChunkWriter},
    result::renamed_fields,
};
use crate::{
    components::generation_name, log::without_values, page_cache::is_not_modified,
    router::NoTransform,
};

/// How long a download may wait for a slot of the reader.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(20);
/// How long it may take to find the position of an interrupted download; after this it is sent from
/// the beginning.
const SEEK_TIMEOUT: Duration = Duration::from_secs(20);

/// Counts the concurrent downloads of each account.
#[derive(Clone, Default)]
pub(crate) struct DownloadLimiter(Arc<Mutex<HashMap<String, u32>>>);

/// A slot among an account's downloads, released when dropped.
struct DownloadPermit {
    downloads: DownloadLimiter,
    account: String,
}

impl DownloadLimiter {
    fn try_acquire(&self, account: &str, max: u32) -> Option<DownloadPermit> {
        let mut under_way = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = under_way.entry(account.to_owned()).or_default();
        if *count >= max {
            return None;
        }
        *count += 1;
        Some(DownloadPermit { downloads: self.clone(), account: account.to_owned() })
    }
}

impl Drop for DownloadPermit {
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

/// Why a download was refused.
#[derive(Debug)]
pub(crate) enum DownloadRejection {
    /// The account has as many downloads in progress as its plan allows.
    TooManyAtOnce(u32),
    /// The data cannot be read now.
    Reader(ReaderError),
}

impl From<ReaderError> for DownloadRejection {
    fn from(error: ReaderError) -> Self {
        Self::Reader(error)
    }
}

pub(crate) struct Download<'a> {
    pub(crate) pin: &'a Pin,
    pub(crate) query: TableQuery,
    pub(crate) format: DownloadFormat,
    /// Whether texts that look like formulas are escaped.
    pub(crate) safe: bool,
    pub(crate) account: &'a str,
    /// Concurrent downloads that the account may have.
    pub(crate) max_concurrent: u32,
}

impl Download<'_> {
    /// Starts to send the file.
    pub(crate) async fn respond(
        mut self,
        downloads: &DownloadLimiter,
        headers: &HeaderMap,
    ) -> Result<Response, DownloadRejection> {
        let permit = downloads
            .try_acquire(self.account, self.max_concurrent)
            .ok_or(DownloadRejection::TooManyAtOnce(self.max_concurrent))?;
        let info = self.pin.generation().clone();
        let etag = tag(
            &info,
            &[
                &format!("{:?} {:?}", self.query.columns, self.query.fingerprint()),
                self.format.name(),
                if self.safe { "safe" } else { "" },
            ],
            self.format.is_reproducible(),
        );
        let known =
            HeaderValue::try_from(etag.as_str()).is_ok_and(|etag| is_not_modified(headers, &etag));
        if known {
            return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, text(&etag))]).into_response());
        }
        self.query = self
            .query
            .with_layout(
                self.pin,
                self.format.layout(),
                QueryLimits { queue_timeout: QUEUE_TIMEOUT, ..QueryLimits::for_download() },
            )
            .await?;
        // Counting may take longer than starting to send, and matters less.
        let rows = match self
            .query
            .rows(self.pin, QueryLimits { queue_timeout: QUEUE_TIMEOUT, ..QueryLimits::for_page() })
            .await
        {
            Ok(rows) => Some(rows),
            Err(ReaderError::TimedOut { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        let options = DownloadOptions {
            columns: columns(self.pin, &self.query).await?,
            escape_formulas: self.safe,
        };
        let from = match self.resumed(headers, &etag) {
            Some(from) => self.length(&options).await?.map(|length| (from, length)),
            None => None,
        };
        let mut response = match from {
            Some((from, length)) if from >= length => {
                let mut response = StatusCode::RANGE_NOT_SATISFIABLE.into_response();
                response
                    .headers_mut()
                    .insert(header::CONTENT_RANGE, text(&format!("bytes */{length}")));
                response.headers_mut().insert(
                    header::CONTENT_TYPE,
                    HeaderValue::from_static(self.format.media_type()),
                );
                response
            }
            Some((from, length)) => {
                let mut response = Response::new(self.body(options, from, permit).await?);
                *response.status_mut() = StatusCode::PARTIAL_CONTENT;
                let headers = response.headers_mut();
                headers.insert(
                    header::CONTENT_RANGE,
                    text(&format!("bytes {from}-{}/{length}", length - 1)),
                );
                headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length - from));
                response
            }
            None => Response::new(self.body(options, 0, permit).await?),
        };
        response.extensions_mut().insert(NoTransform);
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
        headers.extend(text_columns(&self.query));
        if let Some(rows) = rows {
            headers.insert(HeaderName::from_static("x-materia-rows"), HeaderValue::from(rows));
        }
        Ok(response)
    }

    /// Returns the position at which to resume, if `If-Range` proves that the client has the
    /// beginning of the same file.
    fn resumed(&self, headers: &HeaderMap, etag: &str) -> Option<u64> {
        let header_text =
            |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let same = header_text(header::IF_RANGE).is_some_and(|known| known.trim() == etag);
        let from = header_text(header::RANGE)?
            .trim()
            .strip_prefix("bytes=")?
            .strip_suffix('-')?
            .parse()
            .ok()?;
        (same && self.format.is_reproducible() && from > 0).then_some(from)
    }

    /// Returns the length of the whole file by writing it without storing it; `None` if that takes
    /// too long.
    async fn length(&self, options: &DownloadOptions) -> Result<Option<u64>, DownloadRejection> {
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
        let length = timeout(SEEK_TIMEOUT, counting).await;
        // Closing the channel stops a count that is still running.
        drop(closed);
        match length {
            Ok(Ok(Ok(length))) => Ok(Some(length)),
            Ok(Ok(Err(DownloadError::Reader(error)))) => Err(error.into()),
            _ => Ok(None),
        }
    }

    fn stream(&self) -> Result<Stream, ReaderError> {
        self.pin.stream(
            self.query.all_rows(),
            QueryLimits { queue_timeout: QUEUE_TIMEOUT, ..QueryLimits::for_download() },
        )
    }

    /// Returns the file from byte `skip` on.
    async fn body(
        &self,
        options: DownloadOptions,
        skip: u64,
        permit: DownloadPermit,
    ) -> Result<Body, DownloadRejection> {
        let mut rows = self.stream()?;
        // Errors before the first batch become a proper response.
        let first = first(&mut rows).await?;
        let (sender, receiver) = mpsc::channel::<io::Result<Bytes>>(CHANNEL_SIZE);
        let (format, handle, table) =
            (self.format, Handle::current(), self.query.table.name.clone());
        // Events of the blocking task belong to this request.
        let request = tracing::Span::current();
        let whole = Arc::new(AtomicBool::new(false));
        let written_whole = whole.clone();
        tokio::task::spawn_blocking(move || {
            let _request = request.entered();
            let slow = Arc::new(AtomicBool::new(false));
            let out = ChunkWriter::new(sender.clone(), handle.clone(), skip, slow.clone());
            let written = {
                // Dropping the rows releases the reader's slot.
                let mut batches = batches(Some(first), rows, &handle, &sender);
                download::write(format, &options, &mut batches, out)
            };
            drop(permit);
            match written {
                _ if slow.load(Ordering::Acquire) => {
                    tracing::info!(
                        table,
                        "a download was given up: the client reads nothing, or too slowly"
                    );
                }
                Ok(_) => written_whole.store(true, Ordering::Release),
                Err(DownloadError::Stopped | DownloadError::Write(_)) if sender.is_closed() => {}
                Err(error) => tracing::warn!(
                    error = without_values(&error.to_string()),
                    table,
                    "a download broke off"
                ),
            }
        });
        let pieces = stream::unfold(Some(receiver), move |receiver| {
            let whole = whole.clone();
            async move {
                let mut receiver = receiver?;
                match receiver.recv().await {
                    Some(piece) => Some((piece, Some(receiver))),
                    None if whole.load(Ordering::Acquire) => None,
                    // The client must be able to detect that the file is incomplete.
                    None => Some((Err(io::Error::other("broken off")), None)),
                }
            }
        });
        Ok(Body::from_stream(pieces))
    }
}

/// Returns the columns with the catalog's names and the types of an empty result.
async fn columns(pin: &Pin, query: &TableQuery) -> Result<Vec<Field>, ReaderError> {
    let answer = pin
        .query(
            query.page(&PageStart::Offset(0), 0),
            QueryLimits { queue_timeout: QUEUE_TIMEOUT, ..QueryLimits::for_page() },
        )
        .await?;
    Ok(renamed_fields(&answer, query))
}

type Batch = duckdb::arrow::record_batch::RecordBatch;

async fn first(rows: &mut Stream) -> Result<Batch, ReaderError> {
    match rows.next().await {
        Some(first) => first,
        None => {
            Err(ReaderError::Engine { message: "the result ended before its first row".to_owned() })
        }
    }
}

/// Returns an iterator for the writer, which stops when the client disconnects.
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

/// Counts the bytes written.
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

/// Returns an `ETag` for the generation and the given parts; a weak one if the same rows may encode
/// to different bytes.
pub(crate) fn tag(info: &GenerationInfo, of: &[&str], strong: bool) -> String {
    let mut hash = format!(
        "{:x}",
        Sha256::digest(format!("{} {} {of:?}", env!("CARGO_PKG_VERSION"), generation_name(info)))
    );
    hash.truncate(24);
    if strong { format!("\"{hash}\"") } else { format!("W/\"{hash}\"") }
}

/// Returns the header that lists the columns that are text in this response but not in the table,
/// percent-encoded and comma-separated.
pub(crate) fn text_columns(query: &TableQuery) -> Option<(HeaderName, HeaderValue)> {
    let names: Vec<String> = query
        .texts()
        .map(|column| url::form_urlencoded::byte_serialize(column.name.as_bytes()).collect())
        .collect();
    (!names.is_empty()).then(|| {
        (
            HeaderName::from_static("x-materia-text-columns"),
            text(&names.join(",").replace('+', "%20")),
        )
    })
}

/// Returns a `Content-Disposition` such as `attachment; filename="prices-2026-11-21.csv"`, with the
/// table and the day of the export.
pub(crate) fn file_name(table: &str, info: &GenerationInfo, format: DownloadFormat) -> String {
    let day = info.exported_at.unwrap_or(info.opened_at).strftime("%Y-%m-%d");
    let plain: String = table
        .chars()
        .map(
            |char| {
                if char.is_ascii_alphanumeric() || matches!(char, '_' | '-') { char } else { '_' }
            },
        )
        .collect();
    let exact: String = url::form_urlencoded::byte_serialize(table.as_bytes())
        .collect::<String>()
        .replace('+', "%20");
    let end = format!("{day}.{}", format.name());
    let also =
        if plain == table { String::new() } else { format!("; filename*=UTF-8''{exact}-{end}") };
    format!("attachment; filename=\"{plain}-{end}\"{also}")
}

/// The values consist of ids, digits and escaped names.
fn text(value: &str) -> HeaderValue {
    HeaderValue::try_from(value).unwrap_or(HeaderValue::from_static(""))
}
