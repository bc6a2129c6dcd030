//! Content of one file, written so that every 4 KiB block that is right already is left alone.
//!
//! Separate because this is where block sharing between a base and its ancestor is won: a block that is written shares
//! no more, whether its bytes changed or not. Blocks are compared by their bytes, never by size and time: images are
//! built with clamped times, and files of equal size and time with other bytes are normal.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::FileExt;

use rustix::fs::FallocateFlags;
use thinroot_core::path::TreePath;

use super::write::shown;
use crate::error::{Error, IoContext, Result};

/// Unit of comparing and of holes: the block size of every file system we write.
pub const BLOCK_BYTES: usize = 4096;
/// How much is read and compared at a time, and so the longest single write. Larger is no faster and costs memory.
const BUFFER_BYTES: usize = 1 << 20;

static ZEROS: [u8; BLOCK_BYTES] = [0; BLOCK_BYTES];

/// What a file is to become, and what is there.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// For messages.
    pub path: &'a TreePath,
    /// Length in the end. A content of any other length is an error.
    pub size: u64,
    /// Whether blocks of zeros are to be holes.
    pub sparse: bool,
    /// Whether a block of zeros that is there may be a hole.
    pub was_sparse: bool,
}

/// What was done to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Filled {
    /// Bytes written.
    pub written: u64,
    /// Bytes of the old content that were compared.
    pub compared: u64,
}

/// Writes contents with two buffers that are allocated once.
pub struct Filler {
    fresh: Vec<u8>,
    present: Vec<u8>,
}

impl std::fmt::Debug for Filler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Filler")
    }
}

impl Default for Filler {
    fn default() -> Self {
        Filler { fresh: vec![0; BUFFER_BYTES], present: vec![0; BUFFER_BYTES] }
    }
}

/// What is to happen to a block.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Act {
    Keep,
    Write,
    Punch,
}

impl Filler {
    /// Makes the content of `file` what `content` reads. A new file is one without a byte in it.
    pub fn fill(&mut self, file: &File, target: Target<'_>, content: &mut dyn Read) -> Result<Filled> {
        let path = shown(target.path);
        let old_size = file.metadata().at("look at", path)?.len();
        let mut done = Filled::default();
        let mut offset = 0;
        loop {
            let length = read_full(content, &mut self.fresh).at("read content of", path)?;
            if offset + length as u64 > target.size {
                return Err(wrong_length(&target, "more"));
            }
            let present = self.present_bytes(file, offset, length, old_size, &target)?;
            done.compared += present as u64;
            self.apply(file, offset, length, present, &target, &mut done)?;
            offset += length as u64;
            if length < BUFFER_BYTES {
                break;
            }
        }
        if offset < target.size {
            return Err(wrong_length(&target, &format!("{offset}")));
        }
        if old_size > target.size || file.metadata().at("look at", path)?.len() < target.size {
            file.set_len(target.size).at("set size of", path)?;
        }
        Ok(done)
    }

    /// Reads what the file has in this range; how many bytes that is.
    fn present_bytes(
        &mut self,
        file: &File,
        offset: u64,
        length: usize,
        old_size: u64,
        target: &Target<'_>,
    ) -> Result<usize> {
        let overlap = old_size.saturating_sub(offset).min(length as u64) as usize;
        if overlap > 0 {
            file.read_exact_at(&mut self.present[..overlap], offset).at("read", shown(target.path))?;
        }
        Ok(overlap)
    }

    fn apply(
        &self,
        file: &File,
        offset: u64,
        length: usize,
        present: usize,
        target: &Target<'_>,
        done: &mut Filled,
    ) -> Result<()> {
        let act = |start: usize| {
            let fresh = &self.fresh[start..length.min(start + BLOCK_BYTES)];
            let old = &self.present[start.min(present)..present.min(start + BLOCK_BYTES)];
            decide(fresh, old, target)
        };
        let mut start = 0;
        while start < length {
            let what = act(start);
            let mut end = start + BLOCK_BYTES;
            while end < length && act(end) == what {
                end += BLOCK_BYTES;
            }
            let end = end.min(length);
            let at = offset + start as u64;
            match what {
                Act::Keep => {}
                Act::Write => {
                    file.write_all_at(&self.fresh[start..end], at).at("write", shown(target.path))?;
                    done.written += (end - start) as u64;
                }
                Act::Punch => punch(file, at, (end - start) as u64).at("make a hole in", shown(target.path))?,
            }
            start = end;
        }
        Ok(())
    }
}

/// `present` is shorter than `fresh` where the old file ends within or before this block.
fn decide(fresh: &[u8], present: &[u8], target: &Target<'_>) -> Act {
    let is_zero = fresh == &ZEROS[..fresh.len()];
    let equal = fresh == present;
    if is_zero && target.sparse {
        // Beyond the old end there is nothing to punch: setting the size makes the hole. The zeros that end the content
        // within a block say nothing of the rest of that block in a longer old file.
        let whole = fresh.len() == BLOCK_BYTES;
        let hole_already = present.is_empty() || (equal && whole && target.was_sparse);
        return if hole_already { Act::Keep } else { Act::Punch };
    }
    if equal && !(is_zero && target.was_sparse) { Act::Keep } else { Act::Write }
}

fn punch(file: &File, offset: u64, length: u64) -> rustix::io::Result<()> {
    // A whole last block: only whole blocks become holes, and beyond the end there is nothing.
    let length = length.next_multiple_of(BLOCK_BYTES as u64);
    rustix::fs::fallocate(file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, offset, length)
}

fn read_full(content: &mut dyn Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match content.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

fn wrong_length(target: &Target<'_>, found: &str) -> Error {
    let why = format!("the source gave {found} bytes where the manifest says {}", target.size);
    Error::damaged(format!("write {}", target.path), why)
}
