//! Mounts that nobody else sees and that go away by themselves.
//!
//! Separate because what is mounted here belongs to one run: it lives in a mount namespace of its own, below a
//! directory that only root can enter. Must stay true: images are mounted read-only without set-user-ids and devices,
//! and neither an error path nor a killed process leaves a mount or a directory behind. A power cut cannot leave
//! anything either, since `/run` does not outlive it.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};

use crate::cmd::Cmd;
use crate::error::{Error, IoContext, Result};

/// Where a run mounts that shows its mounts to everybody: below a directory that only root may enter, so that a setuid
/// program or a device node of an old base is within nobody's reach.
const SHARED_DIR: &str = "/run/thinroot/mnt";

/// Where a run mounts in its own namespace. A memory file system of that namespace, so that the mount points go with it
/// however the run ends. Not [`SHARED_DIR`], whose mounts it would hide.
const PRIVATE_DIR: &str = "/run/thinroot/private";

/// Namespaces that this process made. A thread that was started in one of them must not make a copy of it: the copy
/// would hold on to every mount.
static OURS: Mutex<Vec<(u64, u64)>> = Mutex::new(Vec::new());

/// Moves the calling thread, and what it starts later, into a mount namespace of its own, where nothing propagates
/// out. Does nothing where that has happened already.
///
/// Call it before threads are started: a thread that runs already stays outside and does not see our mounts.
pub fn enter_private_namespace() -> Result<()> {
    let mut ours = OURS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if ours.contains(&namespace()?) {
        return Ok(());
    }
    let fail = |error: rustix::io::Errno| {
        Error::failed("make a private mount namespace", std::io::Error::from(error)).mend("run as root")
    };
    crate::sys::unshare_mounts().map_err(fail)?;
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", private).map_err(fail)?;
    make_ours(Path::new(PRIVATE_DIR))?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    rustix::mount::mount("tmpfs", PRIVATE_DIR, "tmpfs", flags, c"mode=0700").at("mount", Path::new(PRIVATE_DIR))?;
    ours.push(namespace()?);
    Ok(())
}

fn namespace() -> Result<(u64, u64)> {
    let path = Path::new("/proc/thread-self/ns/mnt");
    let metadata = fs::metadata(path).at("look at", path)?;
    Ok((metadata.dev(), metadata.ino()))
}

/// A new directory to mount something on.
pub(crate) fn new_point(name: &str) -> Result<PathBuf> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let private = OURS.lock().unwrap_or_else(std::sync::PoisonError::into_inner).contains(&namespace()?);
    let parent = Path::new(if private { PRIVATE_DIR } else { SHARED_DIR });
    if !private {
        make_ours(parent)?;
    }
    loop {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let point = parent.join(format!("{name}.{}.{number}", std::process::id()));
        match fs::DirBuilder::new().mode(0o700).create(&point) {
            // Left by a killed process that had our number.
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => continue,
            other => other.at("create", &point)?,
        }
        return Ok(point);
    }
}

/// Removes a directory that something was mounted on.
pub(crate) fn remove_point(point: &Path) {
    // An empty directory on a memory file system: worth no error of its own.
    let _ = fs::remove_dir(point);
}

/// A directory in memory that only we may enter, gone with everything in it when dropped.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// A new one.
    pub fn new(name: &str) -> Result<Scratch> {
        Ok(Scratch { path: new_point(name)? })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // There is no one to report to; it is gone with the namespace at the latest.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Makes a directory that only we may enter, or makes sure that it is one.
fn make_ours(dir: &Path) -> Result<()> {
    fs::DirBuilder::new().mode(0o700).recursive(true).create(dir).at("create", dir)?;
    for dir in dir.ancestors().take(2) {
        let metadata = fs::symlink_metadata(dir).at("look at", dir)?;
        if !metadata.is_dir() || metadata.uid() != rustix::process::geteuid().as_raw() || metadata.mode() & 0o077 != 0 {
            let why = "it is not a directory of ours that nobody else may enter";
            return Err(Error::failed(format!("use {}", dir.display()), why));
        }
    }
    Ok(())
}

/// File system of an image to look into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FsImage {
    Squashfs,
    Ext4,
    Xfs,
}

impl FsImage {
    /// Type and options for mount: nothing in the image may act, nothing is written. The loop device of a read-only mount
    /// is read-only itself, and XFS then refuses a log that would have to be replayed; told `norecovery` it would show the
    /// torn tree instead. ext4's state is checked before it is mounted, `noload` then only keeps the journal out of it.
    fn options(self) -> (&'static str, &'static str) {
        match self {
            FsImage::Squashfs => ("squashfs", "ro,loop,nosuid,nodev"),
            FsImage::Ext4 => ("ext4", "ro,loop,nosuid,nodev,noload"),
            FsImage::Xfs => ("xfs", "ro,loop,nosuid,nodev,nouuid"),
        }
    }
}

/// Something mounted on a directory of its own, unmounted and removed when dropped.
#[derive(Debug)]
pub(crate) struct TempMount {
    path: PathBuf,
}

impl TempMount {
    /// Mounts the file system in a file, read-only, in a private namespace.
    pub(crate) fn image(file: &Path, kind: FsImage) -> Result<TempMount> {
        enter_private_namespace()?;
        // Absolute, so that a name beginning with '-' is no option.
        let file = fs::canonicalize(file).at("find", file)?;
        let path = new_point("image")?;
        let (fs_type, options) = kind.options();
        let result = Cmd::new("mount").args(["-t", fs_type, "-o", options]).arg(&file).arg(&path).run();
        if let Err(error) = result {
            remove_point(&path);
            // mount answers in several lines, and the kernel says more in its log than to mount.
            let answer: Vec<&str> = error.said.split_whitespace().collect();
            let why = format!("the kernel does not mount it: {}", answer.join(" "));
            return Err(
                Error::failed(format!("mount {}", file.display()), why).mend("check the file system; dmesg says more")
            );
        }
        Ok(TempMount { path })
    }

    /// Mounts a partition that a host boots from, writable, in a private namespace.
    pub(crate) fn partition(device: &Path) -> Result<TempMount> {
        enter_private_namespace()?;
        let path = new_point("boot")?;
        let mounted = Cmd::new("mount").args(["-o", "rw,nosuid,nodev,noexec"]).arg(device).arg(&path).run();
        mounted.inspect_err(|_| remove_point(&path))?;
        Ok(TempMount { path })
    }

    /// Unmounts it and says what failed: only then is everything on the disk.
    pub(crate) fn finish(self) -> Result<()> {
        let dir = fs::File::open(&self.path).at("open", &self.path)?;
        rustix::fs::syncfs(&dir).at("sync", &self.path)?;
        drop(dir);
        rustix::mount::unmount(&self.path, UnmountFlags::empty()).at("unmount", &self.path)
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for TempMount {
    fn drop(&mut self) {
        // Somebody may still have a file open in it: then it goes when that is closed. There is no one to report to.
        if rustix::mount::unmount(&self.path, UnmountFlags::empty()).is_err() {
            let _ = rustix::mount::unmount(&self.path, UnmountFlags::DETACH);
        }
        remove_point(&self.path);
    }
}
