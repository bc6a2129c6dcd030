//! What holds bases, layers and volumes: one narrow trait, a real implementation a kind of storage.
//!
//! Must stay true for every implementation (the conformance suite in the testkit holds all of them to it):
//! - a volume under construction carries the staging mark and loses it in the single commit of [`Store::publish`];
//! - a ready base can never be written, nor mounted writable, nor removed without [`Store::withdraw`] first;
//! - [`Store::remove`] takes staging volumes only, so that removing always is two deliberate acts;
//! - each verb is idempotent and says what it found.

pub mod directory;
mod filesystem;
pub mod lvm_thin;
pub mod mount;
mod rules;

use std::fs::File;
use std::path::{Path, PathBuf};

use thinroot_core::inventory::{FsKind, Role, Space, Volume};
use thinroot_core::name::VolumeName;

use crate::error::{Error, Result};

/// Whether a verb did something or found the work done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ensured {
    /// It did it.
    Done,
    /// It was so already.
    Already,
}

/// Which kind of store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StoreKind {
    /// A directory of image files.
    Directory,
    /// An LVM thin pool.
    LvmThin,
    /// The testkit's.
    Simulated,
}

/// What a store looks like now.
#[derive(Debug, Clone)]
pub struct StoreSurvey {
    /// Which kind.
    pub kind: StoreKind,
    /// Every volume of ours, sorted by name.
    pub volumes: Vec<Volume>,
    /// Room.
    pub space: Space,
    /// What a person should look at: degraded pool, volume without device, foreign holder.
    pub findings: Vec<String>,
}

/// A new, empty, formatted volume.
#[derive(Debug, Clone)]
pub struct NewVolume {
    /// Its name.
    pub name: VolumeName,
    /// What it will be.
    pub role: Role,
    /// Its file system.
    pub fs: FsKind,
    /// Its size.
    pub size_bytes: u64,
}

/// How a volume is mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Read-only, nosuid, nodev, without replaying a journal on anything that must not change.
    Inspect,
    /// Writing the content of a staging base: noatime, no journal in use where the file system can (ext4 `noload`).
    WriteBase,
    /// Writing into a layer: noatime, with journal.
    WriteLayer,
}

/// Volumes and their space.
pub trait Store: std::fmt::Debug {
    /// Reads everything.
    fn survey(&self) -> Result<StoreSurvey>;

    /// Makes a staging volume with a new file system.
    fn create(&self, new: &NewVolume) -> Result<Ensured>;

    /// Makes a staging snapshot, writable. A layer gets a file system UUID of its own where that is cheap.
    /// The origin may be in use (LVM) or must be unused (directory); a torn copy is an error, never a result.
    fn snapshot(&self, origin: &VolumeName, name: &VolumeName, role: Role) -> Result<Ensured>;

    /// Checks the file system of a staging base and makes it read-only for good; then, for every role, drops the
    /// staging mark in one metadata commit. `image_digest` is the short digest of a base's image.
    fn publish(&self, name: &VolumeName, image_digest: Option<&str>) -> Result<Ensured>;

    /// The inverse of [`Store::publish`]: the volume is staging again, a base writable again.
    fn withdraw(&self, name: &VolumeName) -> Result<Ensured>;

    /// Removes a staging volume. A missing one is `Already`; a ready one is an error.
    fn remove(&self, name: &VolumeName) -> Result<Ensured>;

    /// Mounts a volume in this process's private mount namespace.
    fn mount(&self, name: &VolumeName, access: Access) -> Result<Mounted>;

    /// Opens the volume's raw bytes, read-only.
    fn raw(&self, name: &VolumeName) -> Result<File>;

    /// What `root=` must say to boot this layer, with any further words the initrd needs (`rd.lvm.lv=…`).
    fn kernel_root(&self, name: &VolumeName) -> Result<String>;

    /// Makes a volume that was there before us ours: a base as a staging snapshot of it, a layer as it is, with its name for
    /// the store's own tools kept. `volume` is what those call it.
    fn adopt(&self, volume: &str, name: &VolumeName, _role: Role) -> Result<Ensured> {
        Err(Error::refused(format!("adopt {volume} as {name}"), "this kind of store has only volumes that it made"))
    }

    /// The inverse of adopting a layer. One that we made is an error.
    fn let_go(&self, name: &VolumeName) -> Result<Ensured> {
        Err(Error::refused(format!("let go of {name}"), "this kind of store has only volumes that it made"))
    }

    /// Repairs what a power cut inside one of the store's own tools leaves behind; says in words what it did.
    fn heal(&self) -> Result<Vec<String>>;
}

/// A mounted volume. [`Mounted::finish`] makes writes durable and reports what failed; dropping only lets go.
pub struct Mounted {
    path: PathBuf,
    release: Option<Box<Release>>,
}

/// Ends a mount: `Sync` before anything is relied on, `Discard` where the content no longer matters.
pub type Release = dyn FnOnce(Ending) -> Result<()>;

/// How a mount ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// syncfs, unmount, every error reported.
    Sync,
    /// Unmount, best effort.
    Discard,
}

impl Mounted {
    /// A mount at `path`, ended by `release`.
    pub fn new(path: PathBuf, release: Box<Release>) -> Self {
        Mounted { path, release: Some(release) }
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Syncs, unmounts, and reports what failed: a full pool shows itself here, not at `write`.
    pub fn finish(mut self) -> Result<()> {
        match self.release.take() {
            Some(release) => release(Ending::Sync),
            None => Ok(()),
        }
    }
}

impl std::fmt::Debug for Mounted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Mounted({})", self.path.display())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if let Some(release) = self.release.take() {
            // Dropped on an error path: that error is the one to report.
            let _ = release(Ending::Discard);
        }
    }
}
