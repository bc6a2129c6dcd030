//! The members of a tar stream, exactly as an archiver meant them.
//!
//! Headers are parsed by the tar crate; what joins them (PAX, GNU long names, sparse maps, sizes, the end) is ours,
//! since the crate loses binary attributes and most sparse formats, and holds extension headers of any length.
//! Must stay true: a member is given exactly, or the archive is refused; never a guess.

mod sparse;

use std::io::{self, Read};

use tar::{EntryType, Header};
use thinroot_core::manifest::{Kind, LinkTarget, Meta, Timestamp};

use super::pax::Pax;
use crate::error::{Error, Result};
use crate::source::content::refuse_io;
use crate::source::limits::{MAX_CONTENT_BYTES, MAX_HEADER_BYTES};
use crate::source::stream::Input;

const BLOCK_BYTES: u64 = 512;

/// What a member is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MemberKind {
    /// A file, whose content is read from [`Members`] before the next member.
    File {
        /// Whether the archive stores it with holes.
        sparse: bool,
    },
    /// One more name of an earlier member.
    Hardlink {
        /// Its path, as written.
        target: Vec<u8>,
    },
    /// Anything without content.
    Other(Kind),
}

/// One member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    /// Counted from 0, without extension headers.
    pub(crate) number: u32,
    /// As written.
    pub(crate) path: Vec<u8>,
    pub(crate) kind: MemberKind,
    pub(crate) meta: Meta,
    /// Length of the content, holes included.
    pub(crate) size: u64,
    /// Where the stored content begins in the stream.
    pub(crate) offset: u64,
}

/// How an archive must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// With the mark that every archiver writes: without it the archive may be truncated.
    Marked,
    /// Anywhere between members: its length is proven in another way.
    Anywhere,
}

/// Reads members one after the other; as [`Read`], the content of the current one.
pub(crate) struct Members<'a> {
    input: Box<dyn Input + 'a>,
    what: String,
    end: End,
    globals: Pax,
    position: u64,
    next_number: u32,
    body: Body,
}

/// The content of the current member.
#[derive(Debug, Default)]
struct Body {
    /// Stored bytes that have not been read.
    stored_left: u64,
    padding: u64,
    /// Offset and length of the data in the content; all of it for a file without holes.
    pieces: std::collections::VecDeque<(u64, u64)>,
    at: u64,
    size: u64,
}

#[derive(Default)]
struct Extensions {
    pax: Option<Pax>,
    long_name: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
}

impl<'a> Members<'a> {
    /// `what` is what is being attempted, for messages.
    pub(crate) fn new(input: Box<dyn Input + 'a>, what: impl Into<String>, end: End) -> Self {
        Members {
            input,
            what: what.into(),
            end,
            globals: Pax::default(),
            position: 0,
            next_number: 0,
            body: Body::default(),
        }
    }

    /// The next member; none at the end.
    pub(crate) fn next_member(&mut self) -> Result<Option<Member>> {
        let mut extensions = Extensions::default();
        loop {
            self.leave_member()?;
            let Some(header) = self.header()? else {
                let bare = extensions.pax.is_none() && extensions.long_name.is_none() && extensions.long_link.is_none();
                return if bare { Ok(None) } else { Err(self.refuse("it ends after an extension header")) };
            };
            let kind = header.entry_type().as_byte();
            if !matches!(kind, b'x' | b'g' | b'L' | b'K') {
                return self.member(&header, extensions).map(Some);
            }
            let raw = self.extension(&header)?;
            let twice = match kind {
                b'x' => {
                    let mut pax = self.globals.clone();
                    pax.read(&raw).map_err(|why| self.refuse(why))?;
                    extensions.pax.replace(pax).is_some()
                }
                b'L' => extensions.long_name.replace(until_zero(&raw)).is_some(),
                b'K' => extensions.long_link.replace(until_zero(&raw)).is_some(),
                _ => {
                    self.globals.read(&raw).map_err(|why| self.refuse(why))?;
                    if self.globals.is_for_one_member() {
                        return Err(self.refuse("a global extended header gives all members the same path or size"));
                    }
                    false
                }
            };
            if twice {
                return Err(self.refuse("two extension headers of one kind describe the same member"));
            }
        }
    }

    /// Reads to the end of the stream, so that everything that proves it has been seen.
    pub(crate) fn drain(&mut self) -> Result<()> {
        io::copy(&mut self.input, &mut io::sink()).map_err(|error| refuse_io(&self.what, error))?;
        Ok(())
    }

    fn refuse(&self, why: impl std::fmt::Display) -> Error {
        Error::refused(&self.what, why)
    }

    fn leave_member(&mut self) -> Result<()> {
        let bytes = self.body.stored_left + self.body.padding;
        self.body = Body::default();
        self.input.skip(bytes).map_err(|error| refuse_io(&self.what, error))?;
        self.position += bytes;
        Ok(())
    }

    /// Reads exactly, except that the stream may end before the first byte.
    fn block(&mut self) -> Result<Option<[u8; BLOCK_BYTES as usize]>> {
        let mut block = [0; BLOCK_BYTES as usize];
        let mut length = 0;
        while length < block.len() {
            match self.input.read(&mut block[length..]) {
                Ok(0) if length == 0 => return Ok(None),
                Ok(0) => return Err(refuse_io(&self.what, io::ErrorKind::UnexpectedEof.into())),
                Ok(n) => length += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(refuse_io(&self.what, error)),
            }
        }
        self.position += BLOCK_BYTES;
        Ok(Some(block))
    }

    fn header(&mut self) -> Result<Option<Header>> {
        let first = self.position == 0;
        let Some(block) = self.block()? else {
            return match self.end {
                _ if first => Err(self.refuse("it is empty")),
                End::Anywhere => Ok(None),
                End::Marked => Err(self.refuse("it ends without the mark of its end: it is truncated")),
            };
        };
        if block.iter().all(|b| *b == 0) {
            // One block of zeros ends an archive, as for tar; what follows is filling.
            return Ok(None);
        }
        let header = Header::from_byte_slice(&block).clone();
        let sum: u32 = block[..148].iter().chain(&block[156..]).map(|b| u32::from(*b)).sum::<u32>() + 8 * 32;
        if header.cksum().ok() != Some(sum) {
            let why = if first { "it is not a tar archive" } else { "a header is damaged" };
            return Err(self.refuse(why));
        }
        Ok(Some(header))
    }

    fn extension(&mut self, header: &Header) -> Result<Vec<u8>> {
        let size = header.entry_size().map_err(|error| self.refuse(error))?;
        if size > MAX_HEADER_BYTES {
            return Err(self.refuse("an extension header is larger than 1 MiB"));
        }
        self.body = Body { stored_left: size, padding: padding(size), ..Body::default() };
        let mut raw = vec![0; size as usize];
        self.stored(&mut raw)?;
        Ok(raw)
    }

    /// Reads exactly so much of what is stored of the current member.
    fn stored(&mut self, buffer: &mut [u8]) -> Result<()> {
        if (buffer.len() as u64) > self.body.stored_left {
            return Err(self.refuse("a map of a sparse file is longer than its member"));
        }
        self.input.read_exact(buffer).map_err(|error| refuse_io(&self.what, error))?;
        self.body.stored_left -= buffer.len() as u64;
        self.position += buffer.len() as u64;
        Ok(())
    }

    fn member(&mut self, header: &Header, extensions: Extensions) -> Result<Member> {
        let pax = extensions.pax.unwrap_or_else(|| self.globals.clone());
        let path = pax.sparse.name.clone().or(extensions.long_name).or(pax.path.clone());
        let path = path.unwrap_or_else(|| header.path_bytes().into_owned());
        let named = |why: &dyn std::fmt::Display| Error::refused(&self.what, format!("{}: {why}", path.escape_ascii()));
        let link = extensions.long_link.or(pax.linkpath.clone());
        let link = link.unwrap_or_else(|| header.link_name_bytes().map(|raw| raw.into_owned()).unwrap_or_default());
        let stored = match pax.size {
            Some(size) => size,
            None => header.entry_size().map_err(|error| named(&error))?,
        };
        let kind = member_kind(header, &path, link, &pax).map_err(|why| named(&why))?;
        let mut meta = meta(header, &pax).map_err(|why| named(&why))?;
        if matches!(kind, MemberKind::Other(Kind::Symlink { .. })) {
            meta.mode = 0o777;
        }
        let file = matches!(kind, MemberKind::File { .. });
        if !file && stored != 0 {
            return Err(named(&"it has a content although it is no file"));
        }
        if stored > MAX_CONTENT_BYTES || pax.sparse.size.is_some_and(|size| size > MAX_CONTENT_BYTES) {
            return Err(named(&"it is larger than 1 TiB"));
        }
        self.body = Body { stored_left: stored, padding: padding(stored), ..Body::default() };
        let pieces = if file { self.sparse_pieces(header, &pax.sparse, stored)? } else { None };
        let (pieces, size) = pieces.unwrap_or((vec![(0, stored)], stored));
        self.body.pieces = pieces.into();
        self.body.size = size;
        let number = self.next_number;
        self.next_number = number.checked_add(1).ok_or_else(|| self.refuse("it has too many members"))?;
        Ok(Member { number, path, kind, meta, size, offset: self.position })
    }
}

impl Read for Members<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let body = &mut self.body;
        while body.pieces.front().is_some_and(|(offset, length)| body.at >= offset + length) {
            body.pieces.pop_front();
        }
        let (offset, length) = body.pieces.front().copied().unwrap_or((body.size, 0));
        if body.at < offset {
            let length = buffer.len().min(usize::try_from(offset - body.at).unwrap_or(usize::MAX));
            buffer[..length].fill(0);
            body.at += length as u64;
            return Ok(length);
        }
        let left = usize::try_from(offset + length - body.at).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(left);
        if wanted == 0 {
            return Ok(0);
        }
        let length = self.input.read(&mut buffer[..wanted])?;
        if length == 0 {
            return Err(refuse_io(&self.what, io::ErrorKind::UnexpectedEof.into()).into());
        }
        self.position += length as u64;
        body.at += length as u64;
        body.stored_left -= length as u64;
        Ok(length)
    }
}

fn padding(size: u64) -> u64 {
    size.next_multiple_of(BLOCK_BYTES) - size
}

fn until_zero(raw: &[u8]) -> Vec<u8> {
    raw.split(|b| *b == 0).next().unwrap_or_default().to_vec()
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the tar crate may name more types than we support")]
fn member_kind(header: &Header, path: &[u8], link: Vec<u8>, pax: &Pax) -> Result<MemberKind, String> {
    let device = || match (header.device_major(), header.device_minor()) {
        (Ok(Some(major)), Ok(Some(minor))) => Ok((major, minor)),
        _ => Err("the numbers of a device are malformed".to_string()),
    };
    Ok(match header.entry_type() {
        // Old archives mark a directory by its name alone.
        EntryType::Regular if path.ends_with(b"/") => MemberKind::Other(Kind::Directory),
        EntryType::Regular | EntryType::Continuous => MemberKind::File { sparse: pax.sparse.size.is_some() },
        EntryType::GNUSparse => MemberKind::File { sparse: true },
        EntryType::Link => MemberKind::Hardlink { target: link },
        EntryType::Symlink => MemberKind::Other(Kind::Symlink { target: LinkTarget(link.into()) }),
        EntryType::Directory => MemberKind::Other(Kind::Directory),
        EntryType::Fifo => MemberKind::Other(Kind::Fifo),
        EntryType::Char => device().map(|(major, minor)| MemberKind::Other(Kind::Char { major, minor }))?,
        EntryType::Block => device().map(|(major, minor)| MemberKind::Other(Kind::Block { major, minor }))?,
        other => return Err(format!("a member of type '{}' is not supported", other.as_byte().escape_ascii())),
    })
}

fn meta(header: &Header, pax: &Pax) -> Result<Meta, String> {
    let id = |given: Option<u32>, written: io::Result<u64>| -> Result<u32, String> {
        match given {
            Some(id) => Ok(id),
            None => u32::try_from(written.map_err(|error| error.to_string())?)
                .map_err(|_| "an owner is larger than 32 bits".to_string()),
        }
    };
    let mtime = match pax.mtime {
        Some(time) => time,
        // The field is signed where it is binary.
        None => Timestamp { sec: header.mtime().map_err(|e| e.to_string())? as i64, nsec: 0 },
    };
    let mode = header.mode().map_err(|e| e.to_string())?;
    Ok(Meta {
        mode: (mode & 0o7777) as u16,
        uid: id(pax.uid, header.uid())?,
        gid: id(pax.gid, header.gid())?,
        mtime,
        xattrs: pax.xattrs.clone(),
        flags: Default::default(),
    })
}
