//! Changes of names in a mounted tree, none of which can be led out of it.
//!
//! Separate from what is to be changed (a base being written, a layer being merged). Must stay true: each path is
//! resolved by the kernel beneath the root, through no symbolic link and onto no other mount; nothing that exists is
//! ever replaced but by [`Tree::replace`].

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RenameFlags, ResolveFlags};
use rustix::io::Errno;
use thinroot_core::manifest::Kind;
use thinroot_core::path::TreePath;

use crate::error::{Error, IoContext, Result};

/// What a descriptor may be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Open {
    /// Metadata of anything, without opening a device or following a link.
    Reference,
    /// Content of a file that is there.
    Existing,
    /// Content of a file that is not there yet.
    New,
}

/// The root of a mounted tree that may be written.
#[derive(Debug)]
pub struct Tree {
    root: OwnedFd,
    /// The directory of the last change: neighbours come one after another.
    recent: Option<(TreePath, OwnedFd)>,
}

impl Tree {
    /// Opens the tree at `root`.
    pub fn open(root: &Path) -> Result<Tree> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(root, flags, Mode::empty()).at("open directory", root)?;
        Ok(Tree { root, recent: None })
    }

    /// Opens a path; for [`Open::New`] the file is made with mode 0600.
    pub fn file(&self, path: &TreePath, open: Open) -> Result<File> {
        let (flags, verb) = match open {
            Open::Reference => (OFlags::PATH | OFlags::NOFOLLOW, "look at"),
            // Non-blocking so that a fifo in the place of a file is an error and not a hang.
            Open::Existing => (OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOATIME, "open"),
            Open::New => (OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW, "create"),
        };
        let mode = if open == Open::New { Mode::RUSR | Mode::WUSR } else { Mode::empty() };
        let fd = self.resolve(path, flags, mode).at(verb, shown(path))?;
        if open == Open::Existing {
            let stat = rustix::fs::fstat(&fd).at("look at", shown(path))?;
            if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
                return Err(Error::damaged(format!("open {path}"), "it is not a regular file"));
            }
        }
        Ok(File::from(fd))
    }

    /// Opens a path as [`Open::Reference`]; none where nothing is there.
    ///
    /// Beneath a symbolic link there is nothing of this tree, whatever the link leads to: a run that was interrupted may
    /// have put a link in the place of a directory whose content it asks for once more.
    pub fn reference(&self, path: &TreePath) -> Result<Option<File>> {
        match self.resolve(path, OFlags::PATH | OFlags::NOFOLLOW, Mode::empty()) {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
            other => other.at("look at", shown(path)).map(|fd| Some(File::from(fd))),
        }
    }

    /// Makes anything but a file, with provisional metadata.
    pub fn create(&mut self, path: &TreePath, kind: &Kind) -> Result<()> {
        let mode = Mode::RWXU;
        let dir = self.directory_of(path)?;
        let name = path.file_name();
        let node = |file_type, major, minor| {
            rustix::fs::mknodat(dir, name, file_type, Mode::RUSR | Mode::WUSR, rustix::fs::makedev(major, minor))
        };
        match kind {
            Kind::Directory => rustix::fs::mkdirat(dir, name, mode),
            Kind::Symlink { target } => rustix::fs::symlinkat(target.0.as_ref(), dir, name),
            Kind::Fifo => node(FileType::Fifo, 0, 0),
            Kind::Char { major, minor } => node(FileType::CharacterDevice, *major, *minor),
            Kind::Block { major, minor } => node(FileType::BlockDevice, *major, *minor),
            Kind::Socket => node(FileType::Socket, 0, 0),
            Kind::File { .. } => Err(Errno::INVAL),
        }
        .at(&format!("create {}", kind.word()), shown(path))
    }

    /// Moves anything to a name that is free.
    pub fn rename(&mut self, from: &TreePath, to: &TreePath) -> Result<()> {
        self.recent = None;
        let source = self.parent(from)?;
        let target = self.directory_of(to)?;
        rustix::fs::renameat_with(&source, from.file_name(), target, to.file_name(), RenameFlags::NOREPLACE)
            .at(&format!("rename {from} to"), shown(to))?;
        // Descriptors of directories beneath a renamed one stay right, their remembered paths do not.
        self.recent = None;
        Ok(())
    }

    /// Moves anything but a directory to another name, over what is there, which must not be a directory either.
    pub fn replace(&mut self, from: &TreePath, to: &TreePath) -> Result<()> {
        let source = self.parent(from)?;
        let target = self.directory_of(to)?;
        rustix::fs::renameat(&source, from.file_name(), target, to.file_name())
            .at(&format!("rename {from} to"), shown(to))
    }

    /// Gives an inode one more name.
    pub fn link(&mut self, from: &TreePath, to: &TreePath) -> Result<()> {
        let source = self.parent(from)?;
        let target = self.directory_of(to)?;
        rustix::fs::linkat(&source, from.file_name(), target, to.file_name(), AtFlags::empty())
            .at(&format!("link {from} to"), shown(to))
    }

    /// Removes a name of something that is not a directory.
    pub fn unlink(&mut self, path: &TreePath) -> Result<()> {
        let dir = self.directory_of(path)?;
        rustix::fs::unlinkat(dir, path.file_name(), AtFlags::empty()).at("remove", shown(path))
    }

    /// Removes an empty directory.
    pub fn remove_directory(&mut self, path: &TreePath) -> Result<()> {
        self.recent = None;
        let dir = self.directory_of(path)?;
        rustix::fs::unlinkat(dir, path.file_name(), AtFlags::REMOVEDIR).at("remove directory", shown(path))
    }

    fn directory_of(&mut self, path: &TreePath) -> Result<BorrowedFd<'_>> {
        let dir = path.parent().unwrap_or_default();
        if self.recent.as_ref().is_none_or(|(known, _)| *known != dir) {
            self.recent = Some((dir, self.parent(path)?));
        }
        Ok(self.recent.as_ref().map_or(self.root.as_fd(), |(_, fd)| fd.as_fd()))
    }

    fn parent(&self, path: &TreePath) -> Result<OwnedFd> {
        let dir = path.parent().unwrap_or_default();
        self.resolve(&dir, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).at("open directory", shown(&dir))
    }

    fn resolve(&self, path: &TreePath, flags: OFlags, mode: Mode) -> rustix::io::Result<OwnedFd> {
        let raw = if path.is_root() { b"." } else { path.as_bytes() };
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
        rustix::fs::openat2(&self.root, raw, flags | OFlags::CLOEXEC, mode, resolve)
    }
}

/// A path of the tree as errors show it.
pub(crate) fn shown(path: &TreePath) -> &Path {
    if path.is_root() { Path::new("/") } else { Path::new(OsStr::from_bytes(path.as_bytes())) }
}
