//! A mounted tree read path by path, never out of it.
//!
//! Separate from the walk because here the paths come from a plan: the kernel resolves each beneath the root, through no
//! symbolic link and onto no other mount.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{Dir, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};
use thinroot_core::manifest::Digest;
use thinroot_core::path::TreePath;

use crate::error::{Error, IoContext, Result};
use crate::source::{Contents, TakeContent};
use crate::tree::write::shown;

/// Contents of a mounted tree, as they are now.
#[derive(Debug)]
pub struct RootContents {
    root: OwnedFd,
}

impl RootContents {
    /// Opens the tree at `root`.
    pub fn open(root: &Path) -> Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(RootContents { root: rustix::fs::open(root, flags, Mode::empty()).at("open directory", root)? })
    }

    /// Opens a regular file for reading; none where there is no such file.
    pub fn file(&self, path: &TreePath) -> Result<Option<File>> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
        if path.is_root() {
            return Ok(None);
        }
        let fd = match rustix::fs::openat2(&self.root, path.as_bytes(), flags, Mode::empty(), resolve) {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NXIO) => return Ok(None),
            other => other.at("open", shown(path))?,
        };
        let stat = rustix::fs::fstat(&fd).at("look at", shown(path))?;
        let regular = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        Ok(regular.then(|| File::from(fd)))
    }

    /// Names in a directory, sorted; none where there is no such directory.
    pub(crate) fn names(&self, dir: &TreePath) -> Result<Vec<Vec<u8>>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
        let fd = match rustix::fs::openat2(&self.root, dir.as_bytes(), flags, Mode::empty(), resolve) {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(Vec::new()),
            other => other.at("open directory", shown(dir))?,
        };
        let mut names = Vec::new();
        for entry in Dir::read_from(&fd).at("list", shown(dir))? {
            let name = entry.at("list", shown(dir))?.file_name().to_bytes().to_vec();
            if name != b"." && name != b".." {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Opens a file that must be there.
    pub(super) fn required(&self, path: &TreePath) -> Result<File> {
        self.file(path)?.ok_or_else(|| Error::damaged(format!("read {path}"), "there is no such file"))
    }

    /// A small file whole; none where there is none or it is larger than `limit_bytes`.
    pub(crate) fn small(&self, path: &TreePath, limit_bytes: u64) -> Result<Option<Vec<u8>>> {
        let Some(file) = self.file(path)? else { return Ok(None) };
        let mut content = Vec::new();
        file.take(limit_bytes + 1).read_to_end(&mut content).at("read", shown(path))?;
        Ok(Some(content).filter(|content| content.len() as u64 <= limit_bytes))
    }
}

impl Contents for RootContents {
    fn contents(&mut self, wanted: &BTreeSet<TreePath>, take: &mut TakeContent<'_>) -> Result<()> {
        for path in wanted {
            take(path, &mut self.required(path)?)?;
        }
        Ok(())
    }
}

/// Hashes what is read through it; at the end the digest must be the expected one.
pub(super) struct Checked<R> {
    inner: R,
    hash: Sha256,
    expected: Digest,
    path: TreePath,
}

impl<R: Read> Checked<R> {
    pub fn new(inner: R, expected: Digest, path: &TreePath) -> Self {
        Checked { inner, hash: Sha256::new(), expected, path: path.clone() }
    }
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.hash.update(&buffer[..n]);
        if n == 0 && !buffer.is_empty() && Digest(self.hash.clone().finalize().into()) != self.expected {
            let why = "its content is no longer what was planned with";
            return Err(Error::damaged(format!("read {}", self.path), why).mend("plan again").into());
        }
        Ok(n)
    }
}

/// Digest and length of what a reader gives.
pub(super) fn digest_of(reader: &mut dyn Read) -> std::io::Result<(Digest, u64)> {
    let (mut hash, mut length) = (Sha256::new(), 0);
    let mut buffer = vec![0; 1 << 17];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok((Digest(hash.finalize().into()), length)),
            Ok(n) => {
                hash.update(&buffer[..n]);
                length += n as u64;
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
