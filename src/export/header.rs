//! The first 12 KiB of a database file, read without DuckDB.
//!
//! The main header: 8 bytes checksum, `DUCK`, storage version, four words of flags (the first one's
//! lowest bit: encrypted), each word 8 bytes little-endian. Two database headers follow at 4,096
//! and 8,192: 8 bytes checksum, then words: iteration, metadata block, free list, number of blocks,
//! bytes of a block, size of a vector, storage version. The one with the higher iteration is valid.
//! Source: `MainHeader` and `DatabaseHeader` in DuckDB's `storage_info.hpp`.

use std::{fs::File, io, os::unix::fs::FileExt};

/// The newest storage version that the linked DuckDB 2.0 reads.
pub(super) const NEWEST_STORAGE: u64 = 69;
/// Bytes of the three headers; the first block follows.
pub(super) const BYTES: u64 = 12_288;

/// The main header's value in files of storage version 69 and later, which store the version in the
/// database headers.
const STORAGE_IN_DATABASE_HEADER: u64 = 999;
const DATABASE_HEADERS: [u64; 2] = [4_096, 8_192];

/// Returns whether a file with this start is a DuckDB database; needs at least 12 bytes.
pub(super) fn is_duckdb(start: &[u8]) -> bool {
    start.get(8..12) == Some(b"DUCK".as_slice())
}

pub(super) fn is_encrypted(file: &File) -> io::Result<bool> {
    read_u64(file, 20).map(|flags| flags & 1 == 1)
}

/// Returns the file's storage version; 64 is that of DuckDB 0.9 to 1.1.
pub(super) fn storage_version(file: &File) -> io::Result<u64> {
    match read_u64(file, 12)? {
        STORAGE_IN_DATABASE_HEADER => {
            let [one, other] = DATABASE_HEADERS.map(|header| read_u64(file, header + 56));
            // The second header of a truncated file may be missing.
            one.as_ref().ok().max(other.as_ref().ok()).copied().map_or(one, Ok)
        }
        version => Ok(version),
    }
}

/// Returns the bytes of a block, including its checksum.
pub(super) fn block_bytes(file: &File) -> io::Result<u64> {
    let [one, other] = DATABASE_HEADERS;
    let current = if read_u64(file, one + 8)? >= read_u64(file, other + 8)? { one } else { other };
    read_u64(file, current + 40)
}

fn read_u64(file: &File, at: u64) -> io::Result<u64> {
    let mut bytes = [0_u8; 8];
    file.read_exact_at(&mut bytes, at).map(|()| u64::from_le_bytes(bytes))
}
