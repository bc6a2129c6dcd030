//! The system calls that need `unsafe`. The only module that may.
#![allow(unsafe_code)]

use rustix::thread::UnshareFlags;

/// Moves the calling thread into a copy of its mount namespace.
pub(crate) fn unshare_mounts() -> rustix::io::Result<()> {
    // SAFETY: unshare is unsafe because of CLONE_FILES, which would take descriptors away from other threads. Only
    // CLONE_NEWNS is asked for, which changes what paths mean to this thread and nothing about memory or descriptors.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS) }
}
