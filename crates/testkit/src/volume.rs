//! Real file systems in image files, mounted through loop devices. Needs root.

use std::fs::File;
use std::path::PathBuf;

use tempfile::TempDir;
use thinroot_engine::cmd::Cmd;

/// A file system in an image file, mounted while it lives.
#[derive(Debug)]
pub struct LoopVolume {
    dir: TempDir,
    options: &'static str,
    mounted: bool,
}

impl LoopVolume {
    /// ext4 as bases have it, mounted as they are written: `noload,noatime`.
    pub fn ext4(size_bytes: u64) -> Self {
        Self::ext4_with(size_bytes, &["-J", "size=16", "-E", "lazy_journal_init=1,lazy_itable_init=0"])
    }

    /// ext4 too small for a journal.
    pub fn tiny_ext4(size_bytes: u64) -> Self {
        Self::ext4_with(size_bytes, &["-O", "^has_journal"])
    }

    fn ext4_with(size_bytes: u64, more: &[&str]) -> Self {
        let features = "metadata_csum_seed,^resize_inode";
        let mkfs = Cmd::new("mkfs.ext4").args(["-q", "-F", "-b", "4096", "-O", features]).args(more);
        Self::new(size_bytes, mkfs, "loop,noload,noatime")
    }

    /// XFS; its mkfs wants 300 MiB.
    pub fn xfs(size_bytes: u64) -> Self {
        Self::new(size_bytes, Cmd::new("mkfs.xfs").arg("-q"), "loop,noatime")
    }

    fn new(size_bytes: u64, mkfs: Cmd, options: &'static str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut volume = LoopVolume { dir, options, mounted: false };
        File::create(volume.image()).and_then(|file| file.set_len(size_bytes)).expect("an image file");
        mkfs.arg(volume.image()).run().expect("mkfs");
        std::fs::create_dir(volume.root()).expect("a mount point");
        volume.mount();
        volume
    }

    /// Where it is mounted.
    pub fn root(&self) -> PathBuf {
        self.dir.path().join("mnt")
    }

    /// The file that holds it.
    pub fn image(&self) -> PathBuf {
        self.dir.path().join("image")
    }

    /// Mounts it again.
    pub fn mount(&mut self) {
        Cmd::new("mount").args(["-o", self.options]).arg(self.image()).arg(self.root()).run().expect("mount");
        self.mounted = true;
    }

    /// Unmounts it, so that the image file is whole.
    pub fn unmount(&mut self) {
        self.mounted = false;
        Cmd::new("umount").arg(self.root()).run().expect("umount");
    }

    /// A copy of the unmounted image in a volume of its own, mounted.
    pub fn copy(&mut self) -> Self {
        self.unmount();
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut volume = LoopVolume { dir, options: self.options, mounted: false };
        Cmd::new("cp").arg("--sparse=always").arg(self.image()).arg(volume.image()).run().expect("cp");
        std::fs::create_dir(volume.root()).expect("a mount point");
        volume.mount();
        self.mount();
        volume
    }

    /// Runs the file system's own checker on the unmounted image; ext4 only.
    pub fn check_ext4(&mut self) {
        self.unmount();
        Cmd::new("e2fsck").args(["-f", "-n"]).arg(self.image()).run().expect("a clean file system");
        self.mount();
    }
}

impl Drop for LoopVolume {
    fn drop(&mut self) {
        if self.mounted {
            // A test that failed may still hold something open in it; its own failure is the one to see.
            let _ = Cmd::new("umount").arg("-l").arg(self.root()).run();
        }
    }
}
