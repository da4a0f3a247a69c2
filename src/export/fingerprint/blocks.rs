//! The location of a database file's blocks, and hashes of their bytes.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io,
    os::unix::fs::FileExt,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use xxhash_rust::xxh3::xxh3_128;

use crate::export::{CancellationToken, ResourceLimits, header};

/// Storage versions whose layout is known: DuckDB 0.9 to 2.0.
const KNOWN_VERSIONS: std::ops::RangeInclusive<u64> = 64..=header::NEWEST_STORAGE;
/// Chunks in which a whole file is hashed.
const CHUNK_SIZE: u64 = 4 << 20;

/// The location of a database file's blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::export) struct BlockLayout {
    /// Bytes of a block, including its checksum.
    block: u64,
}

impl BlockLayout {
    /// Reads the headers; `None` for an unknown layout or an encrypted file.
    pub(in crate::export) fn read(file: &File) -> io::Result<Option<Self>> {
        let mut start = [0_u8; 12];
        file.read_exact_at(&mut start, 0)?;
        let known = header::is_duckdb(&start)
            && KNOWN_VERSIONS.contains(&header::storage_version(file)?)
            && !header::is_encrypted(file)?;
        let block = header::block_bytes(file)?;
        Ok((known && block.is_power_of_two() && (4_096..=262_144).contains(&block))
            .then_some(Self { block }))
    }
}

#[derive(Debug, Default)]
pub(super) struct Blocks(BTreeMap<u64, u128>);

impl Blocks {
    /// Reads and hashes the blocks with these numbers that are not hashed yet.
    pub(super) fn add(
        &mut self,
        file: &File,
        layout: BlockLayout,
        ids: impl Iterator<Item = u64>,
        threads: usize,
        cancel: &CancellationToken,
    ) -> io::Result<()> {
        let ids: BTreeSet<_> = ids.filter(|id| !self.0.contains_key(id)).collect();
        let pieces: Vec<_> =
            ids.iter().map(|id| (header::BYTES + id * layout.block, layout.block)).collect();
        self.0.extend(ids.into_iter().zip(hash_pieces(file, &pieces, threads, cancel)?));
        Ok(())
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    pub(super) fn hash(&self, id: u64) -> Option<u128> {
        self.0.get(&id).copied()
    }
}

/// Returns the number of threads for hashing.
pub(super) fn threads(limits: &ResourceLimits) -> usize {
    let processors = thread::available_parallelism().map_or(1, usize::from);
    limits.threads.unwrap_or(processors).min(processors)
}

/// Returns a hash of every byte of a file.
pub(in crate::export) fn hash_file(
    file: &File,
    limits: &ResourceLimits,
    cancel: &CancellationToken,
) -> io::Result<String> {
    let bytes = file.metadata()?.len();
    let pieces: Vec<_> = (0..bytes.div_ceil(CHUNK_SIZE))
        .map(|at| (at * CHUNK_SIZE, CHUNK_SIZE.min(bytes - at * CHUNK_SIZE)))
        .collect();
    let hashes = hash_pieces(file, &pieces, threads(limits), cancel)?;
    let together: Vec<u8> = hashes.iter().flat_map(|hash| hash.to_le_bytes()).collect();
    Ok(format!("{:032x}", xxh3_128(&together)))
}

/// Hashes ranges of a file, each an offset and a length.
fn hash_pieces(
    file: &File,
    pieces: &[(u64, u64)],
    threads: usize,
    cancel: &CancellationToken,
) -> io::Result<Vec<u128>> {
    /// Number of blocks hashed together, so that each thread reads adjacent ones.
    const RUN_BLOCKS: usize = 16;
    let threads = threads.min(pieces.len().div_ceil(RUN_BLOCKS)).max(1);
    let next = AtomicUsize::new(0);
    let work = || {
        let mut hashed = Vec::new();
        let mut bytes = Vec::new();
        loop {
            let from = next.fetch_add(RUN_BLOCKS, Ordering::Relaxed);
            if cancel.is_cancelled() {
                return Err(io::Error::from(io::ErrorKind::Interrupted));
            }
            let run = pieces.iter().enumerate().skip(from).take(RUN_BLOCKS);
            if run.len() == 0 {
                return Ok(hashed);
            }
            for (index, (at, length)) in run {
                bytes.resize(usize::try_from(*length).map_err(io::Error::other)?, 0);
                file.read_exact_at(&mut bytes, *at)?;
                hashed.push((index, xxh3_128(&bytes)));
            }
        }
    };
    let hashed = thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let mut hashed: Vec<(usize, u128)> = work()?;
        for other in others {
            hashed.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
        }
        io::Result::Ok(hashed)
    })?;
    let mut ordered = vec![0; pieces.len()];
    for (index, hash) in hashed {
        ordered[index] = hash;
    }
    Ok(ordered)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn file(bytes: &[u8]) -> File {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(bytes, 0).unwrap();
        file
    }

    #[test]
    fn a_file_is_recognised_by_every_one_of_its_bytes_and_its_length() {
        let mut bytes: Vec<u8> =
            (0..9_000_001_u32).map(|at| at.to_le_bytes()[at as usize % 3]).collect();
        let hash = |bytes: &[u8]| {
            hash_file(&file(bytes), &ResourceLimits::default(), &CancellationToken::default())
                .unwrap()
        };
        let whole = hash(&bytes);
        assert_eq!(hash(&bytes), whole);
        assert_ne!(hash(&bytes[..9_000_000]), whole);
        for at in [0, 4 << 20, 9_000_000] {
            bytes[at] ^= 1;
            assert_ne!(hash(&bytes), whole, "byte {at}");
            bytes[at] ^= 1;
        }
        bytes.swap(100, 5 << 20);
        assert_ne!(hash(&bytes), whole);
    }

    #[test]
    fn a_file_that_is_no_database_of_a_known_layout_has_none() {
        assert_eq!(BlockLayout::read(&file(&vec![7; 20_000])).unwrap(), None);
        assert!(BlockLayout::read(&file(b"short")).is_err());
    }
}
