//! Contents of files: read once with everything that is told from their bytes, or read again and compared.
//!
//! Separate from the kinds of source because each of them needs exactly this. No content is ever held in memory.

use std::io::{self, Read};

use sha2::{Digest as _, Sha256};
use thinroot_core::image::Arch;
use thinroot_core::manifest::{Digest, Entry, Kind, Manifest};
use thinroot_core::path::TreePath;

use super::TakeContent;
use super::limits::{MAX_CONTENT_BYTES, MAX_SMALL_FILE_BYTES};
use crate::error::{Error, ErrorKind, IoContext, Result};

const BUFFER_BYTES: usize = 64 << 10;
/// Unit of holes, see [`Kind::File`].
const BLOCK_BYTES: usize = 4096;

/// What a program was built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Machine {
    /// One of ours.
    Known(&'static str),
    /// An ELF `e_machine` that we do not run on.
    Foreign(u16),
}

/// What was told from the bytes of a file.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) size: u64,
    pub(crate) digest: Digest,
    /// Whether an aligned block of 4 KiB is all zeros, so that it can be a hole.
    pub(crate) zero_block: bool,
    pub(crate) machine: Option<Machine>,
    /// The content, where it was to be kept and is short enough.
    pub(crate) kept: Option<Box<[u8]>>,
}

/// Reads contents through one buffer.
#[derive(Debug)]
pub(crate) struct ContentReader {
    buffer: Box<[u8]>,
}

impl ContentReader {
    pub(crate) fn new() -> Self {
        ContentReader { buffer: vec![0; BUFFER_BYTES].into() }
    }

    /// Reads to the end.
    pub(crate) fn read(&mut self, path: &TreePath, content: &mut dyn Read, keep: bool) -> Result<Facts> {
        let mut hasher = Sha256::new();
        let mut kept = keep.then(Vec::new);
        let mut facts = Facts { size: 0, digest: Digest([0; 32]), zero_block: false, machine: None, kept: None };
        loop {
            let length = fill(content, &mut self.buffer).at("read", path.to_string())?;
            let piece = &self.buffer[..length];
            if facts.size == 0 {
                facts.machine = machine(piece);
            }
            facts.size += length as u64;
            if facts.size > MAX_CONTENT_BYTES {
                return Err(Error::refused(format!("read {path}"), "it is larger than 1 TiB"));
            }
            hasher.update(piece);
            // Every piece but the last is full, so that blocks stay aligned.
            facts.zero_block = facts.zero_block || has_zero_block(piece);
            if facts.size > MAX_SMALL_FILE_BYTES {
                kept = None;
            }
            if let Some(kept) = &mut kept {
                kept.extend_from_slice(piece);
            }
            if length < self.buffer.len() {
                break;
            }
        }
        facts.digest = Digest(hasher.finalize().into());
        facts.kept = kept.map(Into::into);
        Ok(facts)
    }
}

fn has_zero_block(piece: &[u8]) -> bool {
    piece.chunks_exact(BLOCK_BYTES).any(|block| block[0] == 0 && block == [0; BLOCK_BYTES])
}

fn fill(content: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match content.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(n) => length += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

/// From an ELF header (gABI): class at byte 4, byte order at 5, machine at 18.
fn machine(head: &[u8]) -> Option<Machine> {
    let header: &[u8; 20] = head.get(..20)?.try_into().ok()?;
    if !header.starts_with(b"\x7fELF") {
        return None;
    }
    let big_endian = header[5] == 2;
    let raw = [header[18], header[19]];
    let number = if big_endian { u16::from_be_bytes(raw) } else { u16::from_le_bytes(raw) };
    let fits = |arch: Arch| header[4] == 2 && big_endian == (arch == Arch::S390x);
    let arch = Arch::from_elf_machine(number).filter(|arch| fits(*arch));
    Some(arch.map_or(Machine::Foreign(number), |arch| Machine::Known(arch.as_str())))
}

/// What each content-holding file of a manifest must be, for reading again.
#[derive(Debug)]
pub(crate) struct Expected {
    files: Vec<(TreePath, u64, Digest)>,
}

impl Expected {
    pub(crate) fn of(manifest: &Manifest) -> Self {
        let file = |entry: &Entry| match entry.kind {
            Kind::File { size, digest, .. } if entry.hardlink.is_none() => Some((entry.path.clone(), size, digest)),
            Kind::File { .. } | Kind::Directory | Kind::Symlink { .. } | Kind::Fifo => None,
            Kind::Char { .. } | Kind::Block { .. } | Kind::Socket => None,
        };
        Expected { files: manifest.entries().iter().filter_map(file).collect() }
    }

    /// Place of a path among the content-holding files of the manifest, in path order.
    pub(crate) fn position(&self, path: &TreePath) -> Result<usize> {
        self.files.binary_search_by(|(at, ..)| at.cmp(path)).map_err(|_| {
            Error::failed(format!("read {path} again"), "the image has no file of its own content at this path")
        })
    }

    /// Hands a content on, held to its digest: the taker never gets to the end of wrong bytes without an error.
    pub(crate) fn hand_on(&self, position: usize, content: &mut dyn Read, take: &mut TakeContent<'_>) -> Result<()> {
        let (path, size, digest) = &self.files[position];
        let mut checked = Checked { inner: content, hasher: Sha256::new(), left: *size, path, digest, done: false };
        take(path, &mut checked)?;
        // A taker that knows the size may stop before it is told that it got everything.
        io::copy(&mut checked, &mut io::sink()).at("read", path.to_string())?;
        Ok(())
    }
}

struct Checked<'a> {
    inner: &'a mut dyn Read,
    hasher: Sha256,
    left: u64,
    path: &'a TreePath,
    digest: &'a Digest,
    done: bool,
}

impl Checked<'_> {
    fn damaged(&self, why: &str) -> io::Error {
        Error::damaged(format!("read {} again", self.path), why)
            .mend("give an image that nobody writes to, and start again")
            .into()
    }
}

impl Read for Checked<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() || self.done {
            return Ok(0);
        }
        let length = match self.inner.read(buffer) {
            Ok(length) => length,
            // What was refused while reading again was good at first.
            Err(error) => return Err(super::tar::changed(refuse_io("read the image again", error)).into()),
        };
        if length as u64 > self.left {
            return Err(self.damaged("it has become longer since the image was read"));
        }
        self.left -= length as u64;
        self.hasher.update(&buffer[..length]);
        if length == 0 {
            if self.left > 0 {
                return Err(self.damaged("it has become shorter since the image was read"));
            }
            if Digest(self.hasher.finalize_reset().into()) != *self.digest {
                return Err(self.damaged("its bytes have changed since the image was read"));
            }
            self.done = true;
        }
        Ok(length)
    }
}

/// What an I/O error on a stream that others made means: the image is bad.
pub(crate) fn refuse_io(attempted: &str, error: io::Error) -> Error {
    match error.downcast::<Error>() {
        Ok(own) => own,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Error::refused(attempted, "it ends in the middle of its data: it is truncated")
        }
        Err(error) => Error::refused(attempted, error),
    }
}

/// Opening an image touches nothing: whatever goes wrong then is a refusal.
pub(crate) fn as_refusal(mut error: Error) -> Error {
    if error.kind == ErrorKind::Failed {
        error.kind = ErrorKind::Refused;
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_are_told_from_the_header() {
        let header = |class: u8, order: u8, machine: [u8; 2]| {
            let mut raw = [0; 64];
            raw[..6].copy_from_slice(&[0x7f, b'E', b'L', b'F', class, order]);
            raw[18..20].copy_from_slice(&machine);
            super::machine(&raw)
        };
        assert_eq!(header(2, 1, [62, 0]), Some(Machine::Known("x86_64")));
        assert_eq!(header(1, 1, [62, 0]), Some(Machine::Foreign(62)));
        assert_eq!(header(2, 2, [0, 22]), Some(Machine::Known("s390x")));
        assert_eq!(header(2, 2, [0, 21]), Some(Machine::Foreign(21)));
        assert_eq!(header(1, 1, [40, 0]), Some(Machine::Foreign(40)));
        assert_eq!(super::machine(b"#!/bin/sh\n# long enough"), None);
    }

    #[test]
    fn facts_are_told_across_buffers() {
        let mut content = vec![7; BUFFER_BYTES + BLOCK_BYTES];
        let path = TreePath::parse(b"f").unwrap();
        let read = |content: &[u8]| ContentReader::new().read(&path, &mut &content[..], true).unwrap();
        let facts = read(&content);
        assert_eq!((facts.size, facts.zero_block), (content.len() as u64, false));
        assert_eq!(facts.kept.as_deref(), Some(&content[..]));
        content[BUFFER_BYTES..].fill(0);
        assert!(read(&content).zero_block);
        content[BUFFER_BYTES] = 1;
        assert!(!read(&content).zero_block);
        assert!(read(&vec![1; MAX_SMALL_FILE_BYTES as usize + 1]).kept.is_none());
    }
}
