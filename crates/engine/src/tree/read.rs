//! A walk over a mounted tree that cannot be led out of it.
//!
//! Separate from what is done with the paths (manifest, verification, state) because a tree may change or be hostile
//! while it is read. Must stay true: every path is reached through the descriptor of its directory, one component at a
//! time, never through a symbolic link; the walk stays on one mount of one file system; paths come in [`TreePath`]
//! order, so that a consumer can merge two walks or a walk and a manifest without holding either.

pub(super) mod attributes;

use std::ffi::{CStr, CString, OsStr};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, SeekFrom, Statx, StatxAttributes, StatxFlags};
use thinroot_core::manifest::{Flags, LinkTarget, Meta, Timestamp};
use thinroot_core::path::TreePath;

use crate::error::{Error, IoContext, Result};

/// Deepest nesting of directories. Each level keeps a descriptor open, and 1024 of them are the usual limit of a
/// process; real systems stay below 40.
pub const MAX_DEPTH: usize = 256;

/// Files below this size cannot have a hole worth keeping: it is the block size of every file system we write.
const HOLE_BYTES: u64 = 4096;

/// What a walked path is. Like [`thinroot_core::manifest::Kind`], but nothing has been read of the content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WalkedKind {
    /// A directory.
    Directory,
    /// A regular file.
    File {
        /// Length in bytes.
        size: u64,
        /// Whether the file system says that it has holes.
        sparse: bool,
    },
    /// A symbolic link.
    Symlink {
        /// Its target.
        target: LinkTarget,
    },
    /// A named pipe.
    Fifo,
    /// A character device.
    Char {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A block device.
    Block {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A socket.
    Socket,
}

/// One path of a walk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Walked {
    /// Where.
    pub path: TreePath,
    /// What.
    pub kind: WalkedKind,
    /// Mode, owner, time; attributes only where they were asked for.
    pub meta: Meta,
    /// Inode number: equal for the names of one hard-link group.
    pub ino: u64,
    /// Time of last change of the inode.
    pub ctime: Timestamp,
    /// Number of names, also those outside the tree.
    pub nlink: u64,
    /// A directory where something else is mounted: what is told of it belongs to the mounted root, and nothing
    /// beneath it is visited.
    pub boundary: bool,
}

/// Opens the content of the path being visited, once it is needed.
#[derive(Debug, Clone, Copy)]
pub struct OpenFile<'a> {
    dir: BorrowedFd<'a>,
    name: &'a CStr,
    path: &'a TreePath,
    ino: u64,
}

impl OpenFile<'_> {
    /// Opens it for reading. Only regular files can be opened; one that was replaced since it was visited is an error.
    pub fn open(&self) -> Result<File> {
        let fd = open_beneath(self.dir, self.name, OFlags::NONBLOCK).at("open", display(self.path))?;
        let stat = rustix::fs::fstat(&fd).at("look at", display(self.path))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(Error::failed(format!("open {}", self.path), "it is not a regular file"));
        }
        if stat.st_ino != self.ino {
            return Err(Error::failed(format!("open {}", self.path), "it was replaced while the tree was being read"));
        }
        Ok(File::from(fd))
    }
}

/// Takes each path of a walk.
pub type Visit<'a> = dyn FnMut(&Walked, OpenFile<'_>) -> Result<()> + 'a;

/// How closely a path is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Everything.
    Full,
    /// What the inode itself says and no more: nothing is opened, a file counts as without holes, a link has no target.
    Inode,
    /// It is not visited, nor is anything beneath it.
    Nothing,
}

/// Says how closely to look at a path, given its inode number and change time. Asked for every path but the root.
pub type Judge<'a> = dyn FnMut(&TreePath, u64, Timestamp) -> Look + 'a;

/// Visits every path at and beneath `root` in [`TreePath`] order, staying on the file system of `root`.
pub fn walk(root: &Path, want_xattrs: bool, visit: &mut Visit<'_>) -> Result<()> {
    walk_judged(root, want_xattrs, &mut |_, _, _| Look::Full, visit)
}

/// Like [`walk`], leaving out or only glancing at what `judge` says.
pub fn walk_judged(root: &Path, want_xattrs: bool, judge: &mut Judge<'_>, visit: &mut Visit<'_>) -> Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let fd = rustix::fs::open(root, flags, Mode::empty()).at("open directory", root)?;
    let stat = stat_at(fd.as_fd(), c"").at("look at", root)?;
    let squashfs = rustix::fs::fstatfs(&fd).at("look at", root)?.f_type == SQUASHFS_MAGIC;
    let mut walker = Walker { want_xattrs, device: device(&stat), squashfs, judge, visit };
    let path = TreePath::root();
    let mut walked = describe(&path, &stat, WalkedKind::Directory);
    if want_xattrs {
        walked.meta.xattrs = attributes::of_open(fd.as_fd()).at("read attributes of", root)?;
    }
    // The root is opened by "." of itself, so that visitors need not know a special case.
    (walker.visit)(&walked, OpenFile { dir: fd.as_fd(), name: c".", path: &path, ino: walked.ino })?;
    walker.directory(&path, fd, 0)
}

/// squashfs keeps the size of a file's holes but does not answer SEEK_HOLE.
const SQUASHFS_MAGIC: rustix::fs::FsWord = 0x7371_7368;

struct Walker<'a, 'j, 'v> {
    want_xattrs: bool,
    device: (u32, u32),
    squashfs: bool,
    judge: &'a mut Judge<'j>,
    visit: &'a mut Visit<'v>,
}

impl Walker<'_, '_, '_> {
    fn directory(&mut self, path: &TreePath, fd: OwnedFd, depth: usize) -> Result<()> {
        if depth > MAX_DEPTH {
            let why = format!("directories are nested deeper than {MAX_DEPTH}");
            return Err(Error::refused(format!("read {path}"), why));
        }
        for name in sorted_names(fd.as_fd()).at("list", display(path))? {
            let child =
                path.join(name.as_bytes()).map_err(|why| Error::refused(format!("read directory {path}"), why))?;
            let Some(walked) = self.look(fd.as_fd(), &name, &child)? else { continue };
            let open = OpenFile { dir: fd.as_fd(), name: &name, path: &child, ino: walked.ino };
            (self.visit)(&walked, open)?;
            if walked.kind == WalkedKind::Directory && !walked.boundary {
                let inner = open_beneath(fd.as_fd(), &name, OFlags::DIRECTORY).at("open", display(&child))?;
                if rustix::fs::fstat(&inner).at("look at", display(&child))?.st_ino != walked.ino {
                    return Err(Error::failed(
                        format!("read {child}"),
                        "it was replaced while the tree was being read",
                    ));
                }
                self.directory(&child, inner, depth + 1)?;
            }
        }
        Ok(())
    }

    fn look(&mut self, dir: BorrowedFd<'_>, name: &CStr, path: &TreePath) -> Result<Option<Walked>> {
        let stat = stat_at(dir, name).at("look at", display(path))?;
        let look = (self.judge)(path, stat.stx_ino, time(stat.stx_ctime));
        if look == Look::Nothing {
            return Ok(None);
        }
        let kind = self.kind(dir, name, path, &stat, look)?;
        let mut walked = describe(path, &stat, kind);
        let mounted = device(&stat) != self.device || stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT);
        if mounted && walked.kind == WalkedKind::Directory {
            walked.boundary = true;
        } else if mounted {
            let why = "something is mounted over it, so that the tree's own file cannot be seen";
            return Err(Error::refused(format!("read {path}"), why).mend(format!("umount {path}")));
        }
        if self.want_xattrs && look == Look::Full {
            walked.meta.xattrs = attributes::of_name(dir, name).at("read attributes of", display(path))?;
        }
        Ok(Some(walked))
    }

    fn kind(&self, dir: BorrowedFd<'_>, name: &CStr, path: &TreePath, stat: &Statx, look: Look) -> Result<WalkedKind> {
        let (major, minor) = (stat.stx_rdev_major, stat.stx_rdev_minor);
        let full = look == Look::Full;
        Ok(match FileType::from_raw_mode(stat.stx_mode.into()) {
            FileType::Directory => WalkedKind::Directory,
            FileType::RegularFile => WalkedKind::File {
                size: stat.stx_size,
                sparse: full && self.has_holes(dir, name, stat).at("read", display(path))?,
            },
            FileType::Symlink if !full => WalkedKind::Symlink { target: LinkTarget(Box::default()) },
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(dir, name, Vec::new()).at("read link", display(path))?;
                WalkedKind::Symlink { target: LinkTarget(target.into_bytes().into()) }
            }
            FileType::Fifo => WalkedKind::Fifo,
            FileType::CharacterDevice => WalkedKind::Char { major, minor },
            FileType::BlockDevice => WalkedKind::Block { major, minor },
            FileType::Socket => WalkedKind::Socket,
            FileType::Unknown => return Err(Error::refused(format!("read {path}"), "its type is not known")),
        })
    }

    // The block count decides nothing where SEEK_HOLE works: blocks of attributes and extents are counted in it.
    fn has_holes(&self, dir: BorrowedFd<'_>, name: &CStr, stat: &Statx) -> rustix::io::Result<bool> {
        if stat.stx_size < HOLE_BYTES {
            return Ok(false);
        }
        if self.squashfs {
            return Ok(stat.stx_blocks.saturating_mul(512).saturating_add(HOLE_BYTES) <= stat.stx_size);
        }
        let fd = open_beneath(dir, name, OFlags::NONBLOCK)?;
        match rustix::fs::seek(&fd, SeekFrom::Hole(0)) {
            Ok(hole) => Ok(hole < stat.stx_size),
            // The file system cannot tell: then everything is data.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NXIO) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

fn time(t: rustix::fs::StatxTimestamp) -> Timestamp {
    Timestamp { sec: t.tv_sec, nsec: t.tv_nsec }
}

fn describe(path: &TreePath, stat: &Statx, kind: WalkedKind) -> Walked {
    let mode = if matches!(kind, WalkedKind::Symlink { .. }) { 0o777 } else { stat.stx_mode & 0o7777 };
    Walked {
        path: path.clone(),
        kind,
        meta: Meta {
            mode,
            uid: stat.stx_uid,
            gid: stat.stx_gid,
            mtime: time(stat.stx_mtime),
            xattrs: Default::default(),
            flags: flags(stat),
        },
        ino: stat.stx_ino,
        ctime: time(stat.stx_ctime),
        nlink: stat.stx_nlink.into(),
        boundary: false,
    }
}

/// The inode flags of what was looked at.
pub(super) fn flags(stat: &Statx) -> Flags {
    let has = |attribute| stat.stx_attributes.contains(attribute);
    Flags {
        immutable: has(StatxAttributes::IMMUTABLE),
        append: has(StatxAttributes::APPEND),
        nodump: has(StatxAttributes::NODUMP),
    }
}

fn device(stat: &Statx) -> (u32, u32) {
    (stat.stx_dev_major, stat.stx_dev_minor)
}

fn stat_at(dir: BorrowedFd<'_>, name: &CStr) -> rustix::io::Result<Statx> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT | AtFlags::EMPTY_PATH;
    rustix::fs::statx(dir, name, flags, StatxFlags::BASIC_STATS)
}

fn sorted_names(dir: BorrowedFd<'_>) -> rustix::io::Result<Vec<CString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            names.push(name.to_owned());
        }
    }
    names.sort_unstable();
    Ok(names)
}

// Reading must not change access times of a tree that belongs to somebody; only its owner and root may ask for that.
fn open_beneath(dir: BorrowedFd<'_>, name: &CStr, more: OFlags) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | more;
    match rustix::fs::openat(dir, name, flags | OFlags::NOATIME, Mode::empty()) {
        Err(rustix::io::Errno::PERM) => rustix::fs::openat(dir, name, flags, Mode::empty()),
        other => other,
    }
}

fn display(path: &TreePath) -> &Path {
    let raw = if path.is_root() { b"." } else { path.as_bytes() };
    Path::new(OsStr::from_bytes(raw))
}

#[cfg(test)]
mod tests;
