//! The image file of a volume: who holds it, copying it, and protecting it from writes.
//!
//! Separate because this is where the directory store meets the kernel (loop devices, reflinks, inode flags). Must stay
//! true: a copy is either whole and on disk, or an error.

use std::fs::{self, File, OpenOptions, Permissions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{IFlags, SeekFrom};
use rustix::io::Errno;

use crate::durable;
use crate::error::{IoContext, Result};

/// Longest that a loop device may take to let go of a file after unmounting: udev opens each device for a moment.
const RELEASE_LIMIT: Duration = Duration::from_secs(2);

/// How an image file is attached to loop devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Attached {
    /// Not at all.
    No,
    /// Read-only.
    ReadOnly,
    /// Writable, at least once.
    Writable,
}

/// Asks the kernel which loop devices hold the file.
pub(super) fn attached(image: &Path) -> Result<Attached> {
    let wanted = fs::metadata(image).at("read", image)?;
    let mut found = Attached::No;
    let blocks = Path::new("/sys/block");
    for entry in fs::read_dir(blocks).at("list", blocks)? {
        let device = entry.at("list", blocks)?.path();
        // Only attached loop devices have this file; one detached while we look has none any more.
        let Ok(backing) = fs::read_to_string(device.join("loop/backing_file")) else { continue };
        let Ok(held) = fs::metadata(backing.trim_end_matches('\n')) else { continue };
        if (held.dev(), held.ino()) != (wanted.dev(), wanted.ino()) {
            continue;
        }
        let read_only = fs::read_to_string(device.join("ro")).is_ok_and(|text| text.trim() == "1");
        found = found.max(if read_only { Attached::ReadOnly } else { Attached::Writable });
    }
    Ok(found)
}

/// Waits until no loop device holds the file; how it is held after that.
pub(super) fn wait_until_free(image: &Path) -> Result<Attached> {
    let start = Instant::now();
    loop {
        let held = attached(image)?;
        if held == Attached::No || start.elapsed() > RELEASE_LIMIT {
            return Ok(held);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Makes an image file of this size that is one hole. A left-over of an interrupted run is replaced.
pub(super) fn create(image: &Path, size_bytes: u64) -> Result<File> {
    remove(image)?;
    let file =
        OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(image).at("create", image)?;
    file.set_len(size_bytes).at("extend", image)?;
    Ok(file)
}

/// Copies an image file: shares the blocks where the file system can (FICLONE: milliseconds, no space), else copies what
/// is not a hole, which costs the time and the space of all data in it. On disk when this returns.
pub(super) fn copy(from: &Path, to: &Path) -> Result<()> {
    let source = File::open(from).at("open", from)?;
    let before = source.metadata().at("read", from)?;
    let target = create(to, before.len())?;
    match rustix::fs::ioctl_ficlone(&target, &source) {
        Ok(()) => {}
        Err(Errno::OPNOTSUPP | Errno::XDEV | Errno::INVAL | Errno::NOTTY) => {
            copy_data(&source, &target, before.len()).at("copy to", to)?;
        }
        Err(error) => return Err(error).at("clone to", to),
    }
    target.sync_all().at("fsync", to)?;
    durable::sync_directory(to.parent().unwrap_or(Path::new(".")))
}

fn copy_data(source: &File, target: &File, size_bytes: u64) -> Result<(), Errno> {
    let mut at = 0;
    while at < size_bytes {
        let start = match rustix::fs::seek(source, SeekFrom::Data(at)) {
            Ok(start) => start,
            // Nothing but a hole until the end.
            Err(Errno::NXIO) => return Ok(()),
            Err(error) => return Err(error),
        };
        let end = rustix::fs::seek(source, SeekFrom::Hole(start))?;
        let (mut read, mut write) = (start, start);
        while read < end {
            let length = usize::try_from(end - read).unwrap_or(usize::MAX);
            if rustix::fs::copy_file_range(source, Some(&mut read), target, Some(&mut write), length)? == 0 {
                // The source became shorter under our hands.
                return Err(Errno::IO);
            }
        }
        at = end;
    }
    Ok(())
}

/// Protects an image from everybody, root included where the file system has an immutable flag.
pub(super) fn protect(image: &Path) -> Result<()> {
    fs::set_permissions(image, Permissions::from_mode(0o400)).at("make read-only", image)?;
    set_immutable(image, true)?;
    File::open(image).at("open", image)?.sync_all().at("fsync", image)
}

/// The inverse of [`protect`].
pub(super) fn unprotect(image: &Path) -> Result<()> {
    set_immutable(image, false)?;
    fs::set_permissions(image, Permissions::from_mode(0o600)).at("make writable", image)
}

/// Removes an image file, protected or not.
pub(super) fn remove(image: &Path) -> Result<()> {
    if image.exists() {
        set_immutable(image, false)?;
    }
    durable::remove(image).map(|_| ())
}

fn set_immutable(image: &Path, on: bool) -> Result<()> {
    let file = File::open(image).at("open", image)?;
    let mut flags = match rustix::fs::ioctl_getflags(&file) {
        Ok(flags) => flags,
        // Not every file system has inode flags; there the mode and our own refusals have to do.
        Err(Errno::NOTTY | Errno::OPNOTSUPP | Errno::INVAL) => return Ok(()),
        Err(error) => return Err(error).at("read the flags of", image),
    };
    if flags.contains(IFlags::IMMUTABLE) == on {
        return Ok(());
    }
    flags.set(IFlags::IMMUTABLE, on);
    match rustix::fs::ioctl_setflags(&file, flags) {
        Ok(()) | Err(Errno::NOTTY | Errno::OPNOTSUPP | Errno::INVAL) => Ok(()),
        Err(error) => Err(error).at("change the flags of", image),
    }
}
