//! Digests of the raw bytes of a sealed volume, chunk by chunk.
//!
//! Separate from the verification of files because it sees what no file shows: a flipped byte anywhere, be it in a
//! table of the file system or in free space. A chunk is the thin pool's unit, so what differs can be named and
//! fetched again by chunks.
//!
//! Format: envelope `TRCHUNKS`, version 1; volume size (u64), count (u64); for each chunk that is not all zeros, in
//! order, its number (u64) and SHA-256; all little-endian.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Mutex;

use rustix::fs::SeekFrom;
use sha2::{Digest as _, Sha256};

use super::record::Form;
use crate::error::{Error, IoContext, Result};

/// Bytes of a chunk: that of our thin pools. Part of the format.
pub const CHUNK_BYTES: u64 = 65536;
/// Chunks read at a time (1 MiB): less would cost calls, more memory.
const RUN_CHUNKS: u64 = 16;
/// Threads that read and hash; the host has other work to do.
const THREADS: usize = 2;

const FORM: Form = Form { magic: b"TRCHUNKS", version: 1, what: "chunk table" };
const ENTRY_BYTES: usize = 40;

/// Digest of every chunk of a volume that is not all zeros.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChunkTable {
    size_bytes: u64,
    chunks: BTreeMap<u64, [u8; 32]>,
}

impl ChunkTable {
    /// Reads a volume of `size_bytes` bytes. May move the file's position.
    pub fn read(file: &File, size_bytes: u64) -> Result<ChunkTable> {
        let queue = Mutex::new(runs_with_data(file, size_bytes)?.into_iter());
        let work = || -> Result<Vec<(u64, [u8; 32])>> {
            let mut buffer = vec![0; (RUN_CHUNKS * CHUNK_BYTES) as usize];
            let mut found = Vec::new();
            // The lock is released at the end of the statement, before the run is read.
            while let Some(run) = { queue.lock().map(|mut queue| queue.next()).unwrap_or_default() } {
                read_run(file, size_bytes, run, &mut buffer, &mut found)?;
            }
            Ok(found)
        };
        let parts = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
            let panicked = || Error::failed("read the volume", "a hashing thread panicked");
            let join = |thread: std::thread::ScopedJoinHandle<'_, _>| thread.join().unwrap_or_else(|_| Err(panicked()));
            threads.into_iter().map(join).collect::<Result<Vec<_>>>()
        })?;
        Ok(ChunkTable { size_bytes, chunks: parts.into_iter().flatten().collect() })
    }

    /// Size of the volume it describes.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Byte offsets of the chunks in which two volumes differ, ascending. Where one is longer, each of its further
    /// chunks differs.
    pub fn compare(&self, other: &ChunkTable) -> Vec<u64> {
        let count = |table: &ChunkTable| table.size_bytes.div_ceil(CHUNK_BYTES);
        let (short, long) = (count(self).min(count(other)), count(self).max(count(other)));
        let known: BTreeSet<u64> = self.chunks.keys().chain(other.chunks.keys()).copied().collect();
        let differ = known.into_iter().filter(|n| *n < short && self.chunks.get(n) != other.chunks.get(n));
        differ.chain(short..long).map(|n| n * CHUNK_BYTES).collect()
    }

    /// The written form.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(16 + self.chunks.len() * ENTRY_BYTES);
        body.extend_from_slice(&self.size_bytes.to_le_bytes());
        body.extend_from_slice(&(self.chunks.len() as u64).to_le_bytes());
        for (number, digest) in &self.chunks {
            body.extend_from_slice(&number.to_le_bytes());
            body.extend_from_slice(digest);
        }
        FORM.seal(&body)
    }

    /// Reads the written form; anything but exactly that is an error.
    pub fn from_bytes(bytes: &[u8]) -> Result<ChunkTable> {
        let body = FORM.open(bytes)?;
        let short = || FORM.damaged("it is too short");
        let (size, rest) = body.split_first_chunk().ok_or_else(short)?;
        let (count, entries) = rest.split_first_chunk().ok_or_else(short)?;
        let size_bytes = u64::from_le_bytes(*size);
        let (entries, rest) = entries.as_chunks::<ENTRY_BYTES>();
        if entries.len() as u64 != u64::from_le_bytes(*count) || !rest.is_empty() {
            return Err(FORM.damaged("its length is not what its count says"));
        }
        let mut chunks = BTreeMap::new();
        for entry in entries {
            let [a, b, c, d, e, f, g, h, digest @ ..] = *entry;
            let number = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
            let ascending = chunks.last_key_value().is_none_or(|(last, _)| *last < number);
            if !ascending || number >= size_bytes.div_ceil(CHUNK_BYTES) {
                return Err(FORM.damaged("its chunks are not in order"));
            }
            chunks.insert(number, digest);
        }
        Ok(ChunkTable { size_bytes, chunks })
    }
}

/// Numbers of the first chunks of runs that may hold data. Holes of an image file are skipped; what cannot tell, such
/// as a block device, is all data.
fn runs_with_data(file: &File, size_bytes: u64) -> Result<Vec<u64>> {
    let run_bytes = RUN_CHUNKS * CHUNK_BYTES;
    let mut runs = Vec::new();
    let mut at = 0;
    while at < size_bytes {
        let data = match rustix::fs::seek(file, SeekFrom::Data(at)) {
            Ok(data) => data,
            Err(rustix::io::Errno::NXIO) => break,
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::OPNOTSUPP) => at,
            Err(error) => return Err(error).at("find data in", "the volume"),
        };
        if data >= size_bytes {
            break;
        }
        let run = data / run_bytes;
        runs.push(run * RUN_CHUNKS);
        at = (run + 1) * run_bytes;
    }
    Ok(runs)
}

fn read_run(
    file: &File,
    size_bytes: u64,
    first: u64,
    buffer: &mut [u8],
    found: &mut Vec<(u64, [u8; 32])>,
) -> Result<()> {
    let offset = first * CHUNK_BYTES;
    let length = (size_bytes - offset).min(buffer.len() as u64) as usize;
    let bytes = &mut buffer[..length];
    file.read_exact_at(bytes, offset).at(&format!("read {length} bytes at {offset} of"), "the volume")?;
    for (number, chunk) in (first..).zip(bytes.chunks(CHUNK_BYTES as usize)) {
        if !is_zero(chunk) {
            found.push((number, Sha256::digest(chunk).into()));
        }
    }
    Ok(())
}

/// Compares with a block of zeros, which is as fast as memory is read.
fn is_zero(bytes: &[u8]) -> bool {
    static ZEROS: [u8; 4096] = [0; 4096];
    bytes.chunks(ZEROS.len()).all(|part| part == &ZEROS[..part.len()])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume(size: u64, bytes: &[(u64, u8)]) -> ChunkTable {
        let file = tempfile::tempfile().unwrap();
        file.set_len(size).unwrap();
        for (at, byte) in bytes {
            file.write_all_at(&[*byte], *at).unwrap();
        }
        ChunkTable::read(&file, size).unwrap()
    }

    #[test]
    fn one_byte_names_its_chunk() {
        let size = 40 * CHUNK_BYTES + 100;
        let plain = volume(size, &[(7, 1), (33 * CHUNK_BYTES, 2)]);
        assert_eq!(plain.compare(&plain), Vec::<u64>::new());
        assert_eq!(plain.compare(&volume(size, &[(7, 1), (33 * CHUNK_BYTES, 3)])), [33 * CHUNK_BYTES]);
        let more = volume(size, &[(7, 1), (33 * CHUNK_BYTES, 2), (20 * CHUNK_BYTES - 1, 9), (size - 1, 1)]);
        assert_eq!(plain.compare(&more), [19 * CHUNK_BYTES, 40 * CHUNK_BYTES]);
        assert_eq!(more.compare(&plain), plain.compare(&more));
        let longer = volume(42 * CHUNK_BYTES, &[(7, 1), (33 * CHUNK_BYTES, 2)]);
        assert_eq!(plain.compare(&longer), [41 * CHUNK_BYTES]);
    }

    #[test]
    fn the_written_form_round_trips_and_refuses_damage() {
        let table = volume(5 * CHUNK_BYTES, &[(1, 1), (4 * CHUNK_BYTES, 2)]);
        let bytes = table.to_bytes();
        assert_eq!(bytes.len(), 8 + 4 + 16 + 2 * 40 + 32);
        assert_eq!(ChunkTable::from_bytes(&bytes).unwrap(), table);
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            assert!(ChunkTable::from_bytes(&bad).is_err(), "{at}");
            assert!(ChunkTable::from_bytes(&bytes[..at]).is_err(), "{at}");
        }
    }
}
