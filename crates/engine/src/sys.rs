//! The system calls that need `unsafe`. The only module that may.
#![allow(unsafe_code)]

use rustix::thread::UnshareFlags;

/// Moves the calling thread out of everything that it shares with the machine but its file systems, whose mounts it gets
/// a copy of. What it starts next is the first process of its own process namespace; threads it can start no more.
pub(crate) fn unshare_all() -> rustix::io::Result<()> {
    let flags =
        UnshareFlags::NEWNS | UnshareFlags::NEWPID | UnshareFlags::NEWNET | UnshareFlags::NEWIPC | UnshareFlags::NEWUTS;
    // SAFETY: as in `unshare_mounts`: CLONE_FILES is not asked for.
    unsafe { rustix::thread::unshare_unsafe(flags) }
}

/// Moves the calling thread into a copy of its mount namespace.
pub(crate) fn unshare_mounts() -> rustix::io::Result<()> {
    // SAFETY: unshare is unsafe because of CLONE_FILES, which would take descriptors away from other threads. Only
    // CLONE_NEWNS is asked for, which changes what paths mean to this thread and nothing about memory or descriptors.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS) }
}
