//! Brings the metadata of one inode into line with what it should be.
//!
//! Separate because the order matters and is the same everywhere: a change of owner takes setuid bits and
//! capabilities away, a change of mode changes the mask of an ACL and setting an ACL the mode, and everything changes
//! times. So: owner, mode, ACLs, other attributes, capabilities, time. Only what differs is set: an inode that is
//! right already is not written to.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags};
use thinroot_core::manifest::{Meta, XattrName};
use thinroot_core::path::TreePath;

use super::read::attributes;
use super::write::shown;
use crate::error::{IoContext, Result};

/// Makes the inode that `fd` refers to (opened in any way, `O_PATH` too) have this metadata, whatever it has now.
pub fn align(fd: BorrowedFd<'_>, path: &TreePath, wanted: &Meta) -> Result<()> {
    let inode = format!("/proc/self/fd/{}", fd.as_raw_fd());
    let stat = rustix::fs::fstat(fd).at("look at", shown(path))?;
    let (uid, gid) = (Uid::from_raw(wanted.uid), Gid::from_raw(wanted.gid));
    let mut mode = stat.st_mode;
    if (stat.st_uid, stat.st_gid) != (wanted.uid, wanted.gid) {
        rustix::fs::chownat(fd, "", Some(uid), Some(gid), AtFlags::EMPTY_PATH).at("change owner of", shown(path))?;
        mode = rustix::fs::fstat(fd).at("look at", shown(path))?.st_mode;
    }
    let is_link = FileType::from_raw_mode(mode) == FileType::Symlink;
    if !is_link && mode & 0o7777 != u32::from(wanted.mode) {
        rustix::fs::chmod(&inode, Mode::from_raw_mode(wanted.mode.into())).at("change mode of", shown(path))?;
    }
    align_attributes(fd, &inode, path, wanted)?;
    let now = rustix::fs::fstat(fd).at("look at", shown(path))?;
    #[allow(clippy::useless_conversion)] // the width of the nanoseconds differs between architectures
    let nanoseconds = i64::try_from(now.st_mtime_nsec).unwrap_or(-1);
    if (now.st_mtime, nanoseconds) != (wanted.mtime.sec, wanted.mtime.nsec.into()) {
        let times = Timestamps {
            last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
            last_modification: Timespec { tv_sec: wanted.mtime.sec, tv_nsec: wanted.mtime.nsec.into() },
        };
        rustix::fs::utimensat(CWD, &inode, &times, AtFlags::empty()).at("set time of", shown(path))?;
    }
    Ok(())
}

/// Whether it has this metadata already. Says nothing of inode flags.
pub fn is(fd: BorrowedFd<'_>, path: &TreePath, wanted: &Meta) -> Result<bool> {
    let stat = rustix::fs::fstat(fd).at("look at", shown(path))?;
    let mode = stat.st_mode & 0o7777;
    #[allow(clippy::useless_conversion)] // the width of the nanoseconds differs between architectures
    let nanoseconds = i64::try_from(stat.st_mtime_nsec).unwrap_or(-1);
    let same = (stat.st_uid, stat.st_gid, mode) == (wanted.uid, wanted.gid, wanted.mode.into())
        && (stat.st_mtime, nanoseconds) == (wanted.mtime.sec, wanted.mtime.nsec.into());
    Ok(same && attributes::of_reference(fd).at("read attributes of", shown(path))? == wanted.xattrs)
}

fn align_attributes(fd: BorrowedFd<'_>, inode: &str, path: &TreePath, wanted: &Meta) -> Result<()> {
    let present = attributes::of_reference(fd.as_fd()).at("read attributes of", shown(path))?;
    for name in present.keys().filter(|name| !wanted.xattrs.contains_key(name)) {
        rustix::fs::removexattr(inode, &*name.0).at(&format!("remove {} of", text(name)), shown(path))?;
    }
    let mut names: Vec<_> = wanted.xattrs.iter().filter(|(name, value)| present.get(name) != Some(value)).collect();
    names.sort_by_key(|(name, _)| turn(name));
    for (name, value) in names {
        rustix::fs::setxattr(inode, &*name.0, &value.0, XattrFlags::empty())
            .at(&format!("set {} of", text(name)), shown(path))?;
    }
    Ok(())
}

fn turn(name: &XattrName) -> u8 {
    match &*name.0 {
        b"system.posix_acl_access" | b"system.posix_acl_default" => 0,
        b"security.capability" => 2,
        _ => 1,
    }
}

fn text(name: &XattrName) -> String {
    String::from(name.clone())
}
