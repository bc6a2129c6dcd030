//! Inode flags: read with everything else that is told of an inode, and set on their own.
//!
//! Separate because they stand in the way: nothing of an immutable inode can be changed, not its name and not what else
//! is in an immutable directory. So they go first and come last.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use rustix::fs::{AtFlags, CWD, FileType, IFlags, Mode, OFlags, StatxFlags};
use thinroot_core::manifest::Flags;
use thinroot_core::path::TreePath;

use super::read;
use super::write::shown;
use crate::error::{IoContext, Result};

/// The flags of what `fd` refers to, opened in any way.
pub fn of(fd: BorrowedFd<'_>, path: &TreePath) -> Result<Flags> {
    let stat = rustix::fs::statx(fd, c"", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS).at("look at", shown(path))?;
    Ok(read::flags(&stat))
}

/// Makes the inode have these flags; those that are not among [`Flags`] stay. Only files and directories have any.
pub fn set(fd: BorrowedFd<'_>, path: &TreePath, wanted: Flags) -> Result<()> {
    let stat = rustix::fs::fstat(fd).at("look at", shown(path))?;
    let has_flags = matches!(FileType::from_raw_mode(stat.st_mode), FileType::RegularFile | FileType::Directory);
    if !has_flags || of(fd, path)? == wanted {
        return Ok(());
    }
    let inode = format!("/proc/self/fd/{}", fd.as_raw_fd());
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::openat(CWD, inode, flags, Mode::empty()).at("open", shown(path))?;
    let mut flags = rustix::fs::ioctl_getflags(file.as_fd()).at("read the inode flags of", shown(path))?;
    flags.set(IFlags::IMMUTABLE, wanted.immutable);
    flags.set(IFlags::APPEND, wanted.append);
    flags.set(IFlags::NODUMP, wanted.nodump);
    rustix::fs::ioctl_setflags(file.as_fd(), flags).at("set the inode flags of", shown(path))
}

/// Takes away what stands in the way of a change; gives back what there was, where there was something.
pub fn unlock(fd: BorrowedFd<'_>, path: &TreePath) -> Result<Option<Flags>> {
    let found = of(fd, path)?;
    if !found.lock() {
        return Ok(None);
    }
    set(fd, path, Flags { immutable: false, append: false, ..found })?;
    Ok(Some(found))
}
