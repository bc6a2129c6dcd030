//! Streams of bytes that an archive is read from: compression told by content or by media type, skipping, tallying.
//!
//! Separate from tar and OCI because both read the same streams. Must stay true: fixed buffers, bounded decoders, and
//! never more than [`MAX_TOTAL_BYTES`] out of one stream.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::rc::Rc;

use sha2::{Digest as _, Sha256};
use thinroot_core::manifest::Digest;

use super::limits::{MAX_DECODER_KIB, MAX_TOTAL_BYTES};
use crate::error::{Error, Result};

const BUFFER_BYTES: usize = 64 << 10;

/// How a stream is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    Gzip,
    Xz,
    Zstd,
}

impl Compression {
    /// Told by the first bytes.
    pub(crate) fn of(head: &[u8]) -> Result<Compression, &'static str> {
        let rows: [(&[u8], Result<Compression, &'static str>); 6] = [
            (b"\x1f\x8b", Ok(Compression::Gzip)),
            (b"\xfd7zXZ\0", Ok(Compression::Xz)),
            (b"\x28\xb5\x2f\xfd", Ok(Compression::Zstd)),
            (b"BZh", Err("bzip2")),
            (b"\x04\x22\x4d\x18", Err("lz4")),
            (b"\x5d\0\0", Err("lzma")),
        ];
        rows.into_iter().find(|(magic, _)| head.starts_with(magic)).map_or(Ok(Compression::None), |(_, known)| known)
    }

    /// The stream without its compression.
    pub(crate) fn undo<'a>(self, input: impl BufRead + 'a) -> io::Result<Box<dyn Read + 'a>> {
        let plain: Box<dyn Read + 'a> = match self {
            Compression::None => Box::new(input),
            Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(input)),
            Compression::Xz => Box::new(lzma_rust2::XzReader::new_mem_limit(input, true, MAX_DECODER_KIB)),
            // Its own limit for the window is 128 MiB.
            Compression::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(input)?),
        };
        Ok(Box::new(Bounded { inner: plain, left: MAX_TOTAL_BYTES }))
    }
}

struct Bounded<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.left = self.left.checked_sub(length as u64).ok_or_else(|| io::Error::other("it is larger than 4 TiB"))?;
        Ok(length)
    }
}

/// A stream that can skip. Skipping to behind the end is an error, now or at the next read.
pub(crate) trait Input: Read {
    /// Moves on without looking.
    fn skip(&mut self, bytes: u64) -> io::Result<()>;
}

/// A stream that can only be read.
pub(crate) struct Forward<R>(pub(crate) R);

impl<R: Read> Read for Forward<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl<R: Read> Input for Forward<R> {
    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        if io::copy(&mut (&mut self.0).take(bytes), &mut io::sink())? < bytes {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }
}

/// A part of a file.
pub(crate) struct Slice {
    file: BufReader<File>,
    left: u64,
}

impl Slice {
    /// `length` bytes from `offset`. The file gets a position of its own, not shared with other readers.
    pub(crate) fn new(mut file: File, offset: u64, length: u64) -> io::Result<Slice> {
        file.seek(SeekFrom::Start(offset))?;
        Ok(Slice { file: BufReader::with_capacity(BUFFER_BYTES, file), left: length })
    }

    /// The whole file.
    pub(crate) fn whole(file: File) -> io::Result<Slice> {
        let length = file.metadata()?.len();
        Slice::new(file, 0, length)
    }
}

impl Read for Slice {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let length = self.file.read(&mut buffer[..wanted])?;
        self.left -= length as u64;
        Ok(length)
    }
}

impl BufRead for Slice {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let left = usize::try_from(self.left).unwrap_or(usize::MAX);
        let buffer = self.file.fill_buf()?;
        Ok(&buffer[..buffer.len().min(left)])
    }

    fn consume(&mut self, length: usize) {
        self.left -= length as u64;
        self.file.consume(length);
    }
}

impl Input for Slice {
    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        self.left = self.left.checked_sub(bytes).ok_or(io::ErrorKind::UnexpectedEof)?;
        // In range of i64, as it is less than the length of a file.
        self.file.seek_relative(bytes as i64)
    }
}

/// What went through a [`Tallied`] reader so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally(Rc<RefCell<(Sha256, u64)>>);

impl Tally {
    /// Digest and length of everything that went through.
    pub(crate) fn sum(&self) -> (Digest, u64) {
        let state = self.0.borrow();
        (Digest(state.0.clone().finalize().into()), state.1)
    }
}

/// A reader that keeps a tally, readable while a decoder owns the reader.
pub(crate) struct Tallied<R> {
    inner: R,
    tally: Tally,
}

impl<R: Read> Tallied<R> {
    pub(crate) fn new(inner: R) -> (Self, Tally) {
        let tally = Tally::default();
        (Tallied { inner, tally: tally.clone() }, tally)
    }
}

impl<R: Read> Read for Tallied<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        let mut state = self.tally.0.borrow_mut();
        state.0.update(&buffer[..length]);
        state.1 += length as u64;
        Ok(length)
    }
}

/// Buffers for a decoder.
pub(crate) fn buffered<R: Read>(inner: R) -> BufReader<R> {
    BufReader::with_capacity(BUFFER_BYTES, inner)
}

/// Opens a regular file that an image is in.
pub(crate) fn open_file(path: &std::path::Path, attempted: &str) -> Result<File> {
    let refuse = |why: String| Error::refused(attempted, why);
    let file = File::open(path).map_err(|error| refuse(error.to_string()))?;
    let metadata = file.metadata().map_err(|error| refuse(error.to_string()))?;
    if metadata.is_dir() {
        return Err(refuse("it is a directory".into()).mend("write dir:PATH or oci:DIR for a directory"));
    }
    if !metadata.is_file() {
        return Err(refuse("it is not a regular file, and must be read more than once".into()));
    }
    if metadata.len() == 0 {
        return Err(refuse("the file is empty".into()));
    }
    Ok(file)
}
