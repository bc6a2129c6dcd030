//! An OCI image layout, as a directory or as an uncompressed tar archive of one. Blobs are read where they lie.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use serde::de::DeserializeOwned;
use thinroot_core::path::TreePath;

use super::model::{Descriptor, sha256};
use crate::error::{Error, Result};
use crate::source::content::refuse_io;
use crate::source::limits::{MAX_JSON_BYTES, MAX_PATHS};
use crate::source::stream::{Compression, Slice, Tallied, open_file};
use crate::source::tar::members::{End, MemberKind, Members};

/// Where blobs are.
#[derive(Debug, Clone)]
pub(super) enum Layout {
    Directory(PathBuf),
    Archive {
        file: PathBuf,
        /// Offset and length of each member.
        members: HashMap<TreePath, (u64, u64)>,
    },
}

impl Layout {
    pub(super) fn directory(path: &Path, attempted: &str) -> Result<Layout> {
        if !path.is_dir() {
            let why = if path.exists() { "it is not a directory" } else { "it does not exist" };
            return Err(Error::refused(attempted, why).mend("write oci-archive:FILE for an archive of a layout"));
        }
        Ok(Layout::Directory(path.to_path_buf()))
    }

    pub(super) fn archive(path: &Path, attempted: &str) -> Result<Layout> {
        let file = open_file(path, attempted)?;
        let mut head = [0; 6];
        let length = std::os::unix::fs::FileExt::read_at(&file, &mut head, 0).map_err(|e| refuse_io(attempted, e))?;
        if Compression::of(&head[..length]) != Ok(Compression::None) {
            let error = Error::refused(attempted, "it is compressed, and its blobs must be read where they lie");
            return Err(error.mend("decompress it first; its layers are compressed anyway"));
        }
        let slice = Slice::whole(file).map_err(|error| refuse_io(attempted, error))?;
        let mut stream = Members::new(Box::new(slice), attempted, End::Marked);
        let mut members = HashMap::new();
        while let Some(member) = stream.next_member()? {
            let path = TreePath::parse(&member.path).map_err(|why| Error::refused(attempted, why))?;
            if member.kind == (MemberKind::File { sparse: false }) {
                members.insert(path, (member.offset, member.size));
            }
            if members.len() > MAX_PATHS {
                return Err(Error::refused(attempted, "it has too many members"));
            }
        }
        Ok(Layout::Archive { file: path.to_path_buf(), members })
    }

    /// Opens a file of the layout.
    fn open(&self, name: &str, attempted: &str) -> Result<Slice> {
        let missing = |why: &dyn std::fmt::Display| Error::refused(attempted, format!("{name} of the layout: {why}"));
        match self {
            Layout::Directory(dir) => {
                let flags = OFlags::RDONLY | OFlags::CLOEXEC;
                let io = |error| std::io::Error::from(error);
                let root =
                    rustix::fs::open(dir, flags | OFlags::DIRECTORY, Mode::empty()).map_err(|e| missing(&io(e)))?;
                let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
                let fd = rustix::fs::openat2(&root, name, flags | OFlags::NONBLOCK, Mode::empty(), resolve)
                    .map_err(|error| missing(&io(error)))?;
                let file = File::from(fd);
                if !file.metadata().is_ok_and(|metadata| metadata.is_file()) {
                    return Err(missing(&"it is not a file"));
                }
                Slice::whole(file).map_err(|error| missing(&error))
            }
            Layout::Archive { file, members } => {
                let place = TreePath::parse(name.as_bytes()).ok().and_then(|path| members.get(&path));
                let (offset, length) = *place.ok_or_else(|| missing(&"the archive does not have it"))?;
                Slice::new(open_file(file, attempted)?, offset, length).map_err(|error| missing(&error))
            }
        }
    }

    /// Opens a blob. Its digest is checked by whoever reads it.
    pub(super) fn blob(&self, descriptor: &Descriptor, attempted: &str) -> Result<Slice> {
        let digest = sha256(&descriptor.digest)
            .ok_or_else(|| Error::refused(attempted, format!("'{}' is no SHA-256 digest", descriptor.digest)))?;
        self.open(&format!("blobs/sha256/{digest}"), attempted)
    }

    /// Reads a document of the layout itself, which has no digest.
    pub(super) fn document<T: DeserializeOwned>(&self, name: &str, attempted: &str) -> Result<T> {
        let mut raw = Vec::new();
        let input = self.open(name, attempted)?;
        input.take(MAX_JSON_BYTES + 1).read_to_end(&mut raw).map_err(|error| refuse_io(attempted, error))?;
        parse(&raw, name, attempted)
    }

    /// Reads a document that is a blob, and checks its digest and size.
    pub(super) fn json<T: DeserializeOwned>(&self, descriptor: &Descriptor, what: &str, attempted: &str) -> Result<T> {
        let (input, tally) = Tallied::new(self.blob(descriptor, attempted)?);
        let mut raw = Vec::new();
        input.take(MAX_JSON_BYTES + 1).read_to_end(&mut raw).map_err(|error| refuse_io(attempted, error))?;
        let document = raw.len() as u64 <= MAX_JSON_BYTES;
        if document {
            check(tally.sum(), descriptor, what, attempted)?;
        }
        parse(&raw, what, attempted)
    }
}

/// Compares what was read of a blob with what names it.
pub(super) fn check(
    (digest, size): (thinroot_core::manifest::Digest, u64),
    descriptor: &Descriptor,
    what: &str,
    attempted: &str,
) -> Result<()> {
    if size != descriptor.size {
        let why = format!("{what} has {size} bytes where the image says {}", descriptor.size);
        return Err(Error::refused(attempted, why));
    }
    if sha256(&descriptor.digest) != Some(digest) {
        let why = format!("{what} has digest sha256:{digest} where the image says {}", descriptor.digest);
        return Err(Error::refused(attempted, why).mend("fetch the image again"));
    }
    Ok(())
}

fn parse<T: DeserializeOwned>(raw: &[u8], what: &str, attempted: &str) -> Result<T> {
    if raw.len() as u64 > MAX_JSON_BYTES {
        return Err(Error::refused(attempted, format!("{what} is larger than 4 MiB")));
    }
    serde_json::from_slice(raw).map_err(|why| Error::refused(attempted, format!("{what} is malformed: {why}")))
}
