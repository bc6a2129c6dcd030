//! Extended attributes of a path as raw bytes, all namespaces.
//!
//! There is no `getxattrat` in the kernels we run on, and a symbolic link or device cannot be opened for it: the way
//! through `/proc/self/fd/DIRECTORY/NAME` is as confined, since the descriptor fixes the directory and the `l` calls
//! do not follow the last component.

use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::{Errno, Result};
use thinroot_core::manifest::{XattrName, XattrValue, Xattrs};

/// How XFS stores ACLs; it lists them beside `system.posix_acl_*`, which say the same in the form every other file
/// system understands.
const XFS_ACL_STORAGE: [&[u8]; 2] = [b"trusted.SGI_ACL_FILE", b"trusted.SGI_ACL_DEFAULT"];

/// Attributes of what is open.
pub(super) fn of_open(fd: BorrowedFd<'_>) -> Result<Xattrs> {
    let list = grow(|buffer| rustix::fs::flistxattr(fd, buffer));
    collect(list, |name, buffer| rustix::fs::fgetxattr(fd, name, buffer))
}

/// Attributes of what a descriptor refers to, also one that was opened with `O_PATH` and can refer to anything.
pub(in crate::tree) fn of_reference(fd: BorrowedFd<'_>) -> Result<Xattrs> {
    // The last component is a descriptor and not a link: following it ends at the inode, be it a symbolic link.
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    let list = grow(|buffer| rustix::fs::listxattr(&path, buffer));
    collect(list, |name, buffer| rustix::fs::getxattr(&path, name, buffer))
}

/// Attributes of a name in a directory, not following it.
pub(super) fn of_name(dir: BorrowedFd<'_>, name: &CStr) -> Result<Xattrs> {
    let mut path = format!("/proc/self/fd/{}/", dir.as_raw_fd()).into_bytes();
    path.extend_from_slice(name.to_bytes());
    let list = grow(|buffer| rustix::fs::llistxattr(&path[..], buffer));
    collect(list, |name, buffer| rustix::fs::lgetxattr(&path[..], name, buffer))
}

fn collect(list: Result<Vec<u8>>, get: impl Fn(&[u8], &mut [u8]) -> Result<usize>) -> Result<Xattrs> {
    let list = match list {
        Ok(list) => list,
        Err(Errno::OPNOTSUPP) => return Ok(Xattrs::new()),
        Err(error) => return Err(error),
    };
    let mut found = Xattrs::new();
    let wanted = |name: &&[u8]| !name.is_empty() && !XFS_ACL_STORAGE.contains(name);
    for name in list.split(|b| *b == 0).filter(wanted) {
        match grow(|buffer| get(name, buffer)) {
            Ok(value) => {
                found.insert(XattrName(name.into()), XattrValue(value.into()));
            }
            // Listed but without a value: an ACL that says no more than the mode, or removed in between.
            Err(Errno::NODATA | Errno::OPNOTSUPP) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

// Most lists and values are short; 64 KiB is the kernel's limit for either.
fn grow(read: impl Fn(&mut [u8]) -> Result<usize>) -> Result<Vec<u8>> {
    let mut short = [0; 256];
    match read(&mut short) {
        Ok(length) => return Ok(short[..length].to_vec()),
        Err(Errno::RANGE) => {}
        Err(error) => return Err(error),
    }
    let mut long = vec![0; 65536];
    let length = read(&mut long)?;
    long.truncate(length);
    Ok(long)
}
