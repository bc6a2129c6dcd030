//! A temporary directory that can always be removed: sealed images in it carry the immutable flag.

use std::path::Path;

use rustix::fs::IFlags;

/// Removed when dropped, immutable files included.
#[derive(Debug)]
pub struct Scratch(tempfile::TempDir);

impl Scratch {
    /// A new one in the system's temporary directory.
    pub fn new() -> Self {
        Scratch(tempfile::TempDir::with_prefix("thinroot-").expect("a temporary directory"))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

/// A directory in memory where the machine has one: for simulated hosts, whose thousands of fsyncs should not wait for
/// a disk. Not for tests of real file systems.
pub fn in_memory(prefix: &str) -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let place = if memory.is_dir() { memory.to_path_buf() } else { std::env::temp_dir() };
    tempfile::TempDir::with_prefix_in(prefix, place).expect("a temporary directory")
}

impl Default for Scratch {
    fn default() -> Self {
        Scratch::new()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        clear_immutable(self.0.path());
    }
}

/// Best effort: what stays immutable stays behind, visibly, in the temporary directory.
fn clear_immutable(directory: &Path) {
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            clear_immutable(&path);
        } else if entry.file_type().is_ok_and(|kind| kind.is_file())
            && let Ok(file) = std::fs::File::open(&path)
            && let Ok(flags) = rustix::fs::ioctl_getflags(&file)
            && flags.contains(IFlags::IMMUTABLE)
        {
            // The removal that follows shows whether it worked.
            let _ = rustix::fs::ioctl_setflags(&file, flags - IFlags::IMMUTABLE);
        }
    }
}
