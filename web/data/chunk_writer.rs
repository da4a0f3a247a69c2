//! Sends a file to the client in chunks, as fast as the client reads and not slower than allowed.

use std::{
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use axum::body::Bytes;
use tokio::{runtime::Handle, sync::mpsc, time::timeout};

/// The size of a chunk, in bytes.
const CHUNK_SIZE: usize = 64 << 10;
/// Chunks waiting for the client.
pub(super) const CHANNEL_SIZE: usize = 4;
/// Bytes per second that a client must read in the long run; a slower one loses its slot.
const MIN_RATE: u32 = 32 << 10;
/// How long a client may pause.
const MAX_REST: Duration = Duration::from_secs(20);
/// The time that a client has left to read; each byte adds the time that it takes at [`MIN_RATE`].
struct Pace {
    left: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { left: MAX_REST }
    }
}

impl Pace {
    fn count(&mut self, bytes: usize, took: Duration) {
        let earned = Duration::from_secs_f64(bytes as f64 / f64::from(MIN_RATE));
        self.left = (self.left.saturating_sub(took) + earned).min(MAX_REST);
    }
}

/// Sends the written bytes in chunks.
pub(super) struct ChunkWriter {
    sender: mpsc::Sender<io::Result<Bytes>>,
    handle: Handle,
    piece: Vec<u8>,
    /// Number of initial bytes that the client already has.
    skip: u64,
    pace: Pace,
    /// Set if the client was too slow.
    slow: Arc<AtomicBool>,
}

impl ChunkWriter {
    /// Sends everything after the first `skip` bytes. `slow` is set if the client is too slow.
    pub(super) fn new(
        sender: mpsc::Sender<io::Result<Bytes>>,
        handle: Handle,
        skip: u64,
        slow: Arc<AtomicBool>,
    ) -> Self {
        Self { sender, handle, piece: Vec::new(), skip, pace: Pace::default(), slow }
    }

    fn send(&mut self) -> io::Result<()> {
        let mut written =
            Bytes::from(std::mem::replace(&mut self.piece, Vec::with_capacity(2 * CHUNK_SIZE)));
        while !written.is_empty() {
            let piece = written.split_to(CHUNK_SIZE.min(written.len()));
            let (bytes, begun) = (piece.len(), Instant::now());
            let (left, sender) = (self.pace.left, &self.sender);
            match self.handle.block_on(async { timeout(left, sender.send(Ok(piece))).await }) {
                Ok(Ok(())) => self.pace.count(bytes, begun.elapsed()),
                Ok(Err(_)) => return Err(io::ErrorKind::BrokenPipe.into()),
                Err(_) => {
                    self.pace.left = Duration::ZERO;
                    self.slow.store(true, Ordering::Release);
                    return Err(io::ErrorKind::TimedOut.into());
                }
            }
        }
        Ok(())
    }
}

impl Write for ChunkWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let skipped = usize::try_from(self.skip).unwrap_or(usize::MAX).min(bytes.len());
        self.skip -= skipped as u64;
        self.piece.extend_from_slice(&bytes[skipped..]);
        if self.piece.len() >= CHUNK_SIZE {
            self.send()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.send()
    }
}

impl Drop for ChunkWriter {
    fn drop(&mut self) {
        // Parquet's writer does not flush its output; a client that has disconnected misses
        // nothing.
        let _ = self.send();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use materia::reader::ReaderConfig;

    use super::*;

    #[test]
    fn a_client_below_the_least_rate_loses_its_place_and_one_above_keeps_it() {
        let lasts = |rate: f64| {
            let (mut pace, took) =
                (Pace::default(), Duration::from_secs_f64(CHUNK_SIZE as f64 / rate));
            (0..1_000).all(|_| {
                let keeps = took < pace.left;
                pace.count(CHUNK_SIZE, took);
                keeps
            })
        };
        assert!(lasts(f64::from(MIN_RATE) * 1.1));
        assert!(!lasts(f64::from(MIN_RATE) * 0.8));
        assert!(!lasts(100.0), "a byte now and then is not reading");
    }

    #[test]
    fn a_client_that_reads_nothing_loses_its_place_and_is_not_told_that_the_file_is_whole() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let (sender, receiver) = mpsc::channel::<io::Result<Bytes>>(CHANNEL_SIZE);
        let slow = Arc::new(AtomicBool::new(false));
        let pace = Pace { left: Duration::from_millis(50) };
        let mut out = ChunkWriter {
            sender,
            handle: runtime.handle().clone(),
            piece: Vec::new(),
            skip: 0,
            pace,
            slow: slow.clone(),
        };
        let error = out.write_all(&vec![0; 2 * CHANNEL_SIZE * CHUNK_SIZE]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(slow.load(Ordering::Acquire));
        let begun = Instant::now();
        drop(out);
        assert!(begun.elapsed() < Duration::from_secs(5), "it waits again");
        drop(receiver);
    }

    #[test]
    fn one_account_leaves_most_places_for_downloads_to_others() {
        let places = ReaderConfig::default().streams;
        for plan in materia::plan::Plan::ALL {
            let own = crate::accounts::entitlements(plan).downloads_at_once as usize;
            assert!(own * 2 < places, "{plan}: {own} of {places}");
        }
    }
}
