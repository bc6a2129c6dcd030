//! In how many chunks two volumes differ, by comparing their bytes.
//!
//! A reader of its own and not the engine's chunk table: what the engine wrote is held to what this counts.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use crate::{Context, Result};

/// Chunk size of the pools that are measured.
pub const CHUNK: usize = 64 << 10;
const CHUNKS_AT_ONCE: usize = 64;

/// Counts the chunks in which two devices or files differ; what is beyond the end of the shorter one differs.
pub fn differing(a: &Path, b: &Path) -> Result<u64> {
    let mut files = [open(a)?, open(b)?];
    let mut buffers = [vec![0u8; CHUNKS_AT_ONCE * CHUNK], vec![0u8; CHUNKS_AT_ONCE * CHUNK]];
    let mut count = 0;
    loop {
        let lengths = [0, 1].map(|i| full(&mut files[i], &mut buffers[i]));
        let [Ok(left), Ok(right)] = lengths else {
            return Err(format!("read {} or {}: {lengths:?}", a.display(), b.display()));
        };
        let [first, second] = &buffers;
        let (first, second) = (first[..left].chunks(CHUNK), second[..right].chunks(CHUNK));
        let common = first.len().min(second.len());
        count += first.clone().zip(second.clone()).filter(|(x, y)| x != y).count() as u64;
        count += (first.len().max(second.len()) - common) as u64;
        if left.max(right) < CHUNKS_AT_ONCE * CHUNK {
            return Ok(count);
        }
    }
}

fn open(path: &Path) -> Result<File> {
    let mut file = File::open(path).context(format!("open {}", path.display()))?;
    file.seek(SeekFrom::Start(0)).context(format!("seek in {}", path.display()))?;
    Ok(file)
}

fn full(file: &mut File, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..])? {
            0 => break,
            n => filled += n,
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_counts_its_chunk_and_a_longer_end_counts_whole() {
        let dir = std::env::temp_dir().join(format!("xtask-chunks-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let file = |name: &str, length: usize, at: &[usize]| {
            let mut bytes = vec![0u8; length];
            at.iter().for_each(|i| bytes[*i] = 1);
            std::fs::write(dir.join(name), bytes).unwrap();
            dir.join(name)
        };
        let plain = file("a", 100 * CHUNK, &[]);
        assert_eq!(differing(&plain, &file("b", 100 * CHUNK, &[0, 1, 70 * CHUNK, 100 * CHUNK - 1])), Ok(3));
        assert_eq!(differing(&plain, &file("c", 101 * CHUNK + 1, &[CHUNK])), Ok(3));
        assert_eq!(differing(&plain, &plain), Ok(0));
        std::fs::remove_dir_all(dir).unwrap();
    }
}
