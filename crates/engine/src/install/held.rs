//! The disk while it is written: nobody else has it when its partition table is written, and it is let go of at the end.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use thinroot_core::install::{Disk, Layout, Purpose};

use super::{Target, disk};
use crate::cmd::Cmd;
use crate::error::{Error, IoContext, Result};

/// How long a partition's node may take to appear.
const NODE: Duration = Duration::from_secs(20);

/// A disk in our hands.
#[derive(Debug)]
pub(super) struct Held {
    device: PathBuf,
    /// The file behind a loop device of ours.
    file: Option<PathBuf>,
}

impl Held {
    pub(super) fn take(target: &Target) -> Result<Self> {
        match target {
            Target::Disk(path) => {
                let device = fs::canonicalize(path).at("find", path)?;
                disk::held_by_nobody(&device)?;
                Ok(Held { device, file: None })
            }
            Target::File { path, size_bytes } => {
                disk::future_file(path, *size_bytes)?;
                // Not truncated: what came there since it was looked at stays.
                let file =
                    fs::OpenOptions::new().write(true).create(true).truncate(false).open(path).at("create", path)?;
                if file.metadata().at("look at", path)?.len() > 0 {
                    return Err(Error::refused(format!("make {}", path.display()), "it is not empty any more"));
                }
                file.set_len(*size_bytes).at("size", path)?;
                let cmd = Cmd::new("losetup").args(["--find", "--show", "--partscan"]).arg(path);
                match cmd.run() {
                    Ok(device) => Ok(Held { device: device.trim().into(), file: Some(path.clone()) }),
                    Err(error) => {
                        // The error that counts is the other one.
                        let _ = fs::remove_file(path);
                        Err(error.into())
                    }
                }
            }
        }
    }

    pub(super) fn device(&self) -> &Path {
        &self.device
    }

    /// The second look, when nobody else has it.
    pub(super) fn look(&self) -> Result<Disk> {
        disk::look(&self.device)
    }

    /// Writes the partition table and waits for the partitions. What was recognised on the disk goes.
    pub(super) fn partition(&self, layout: &Layout) -> Result<()> {
        disk::held_by_nobody(&self.device)?;
        if !layout.wiped.is_empty() {
            self.wipe()?;
        }
        let cmd =
            Cmd::new("sfdisk").args(["--quiet", "--wipe", "always", "--wipe-partitions", "always"]).arg(&self.device);
        let mut child = cmd.start(Stdio::piped())?;
        if let Some(mut input) = child.stdin.take() {
            // Where it ends early, what it says tells why.
            let _ = input.write_all(layout.sfdisk_script().as_bytes());
        }
        let ran = cmd.ended(child, 1024);
        if !ran.good() {
            return Err(Error::failed(format!("partition {}", layout.disk), ran.said));
        }
        layout.partitions.iter().try_for_each(|part| self.partition_device(part.number).map(drop))
    }

    /// The node of a partition.
    pub(super) fn partition_device(&self, number: u32) -> Result<PathBuf> {
        let start = Instant::now();
        loop {
            if let Some(node) = disk::partition_node(&self.device, number)? {
                return Ok(node);
            }
            if start.elapsed() > NODE {
                let why = format!("the kernel shows no partition {number} of it");
                return Err(Error::failed(format!("partition {}", self.device.display()), why));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// UUID of the file system on a partition.
    pub(super) fn uuid(&self, number: u32) -> Result<String> {
        let cmd = Cmd::new("blkid").args(["-p", "-s", "UUID", "-o", "value"]).arg(self.partition_device(number)?);
        Ok(cmd.run()?.trim().to_string())
    }

    /// Whether the volume group of this name is the one that was made on this disk.
    fn has_group(&self, layout: &Layout) -> bool {
        let Some(part) = layout.partition(Purpose::Lvm) else { return false };
        let Ok(Some(node)) = disk::partition_node(&self.device, part.number) else { return false };
        let group = Cmd::new("pvs").args(["--noheadings", "-o", "vg_name"]).arg(node).run();
        group.is_ok_and(|name| name.trim() == layout.vg)
    }

    fn wipe(&self) -> Result<()> {
        let mut nodes: Vec<PathBuf> =
            (1..=128).map_while(|n| disk::partition_node(&self.device, n).ok().flatten()).collect();
        nodes.push(self.device.clone());
        nodes.iter().try_for_each(|node| Cmd::new("wipefs").args(["--all", "--quiet"]).arg(node).run().map(drop))?;
        Ok(())
    }

    /// Lets go of a disk that nothing was done to.
    pub(super) fn let_go(&self) {
        if let Some(file) = &self.file {
            // There is an error to report already.
            let _ = Cmd::new("losetup").arg("--detach").arg(&self.device).run();
            let _ = fs::remove_file(file);
        }
    }

    /// Lets go of a finished host.
    pub(super) fn release(&self, vg: &str) -> Result<()> {
        Cmd::new("vgchange").args(["-q", "-an"]).arg(vg).run()?;
        fs::File::open(&self.device).at("open", &self.device)?.sync_all().at("fsync", &self.device)?;
        if let Some(file) = &self.file {
            Cmd::new("losetup").arg("--detach").arg(&self.device).run()?;
            fs::File::open(file).at("open", file)?.sync_all().at("fsync", file)?;
        }
        Ok(())
    }

    /// After a failure: the disk is without partitions again, the file gone. Each step is tried whatever became of the
    /// one before it; the error that is reported is the one that led here. A volume group of the same name on another
    /// disk, which may be why it failed, is not ours to remove.
    pub(super) fn give_back(&self, layout: &Layout) {
        if self.has_group(layout) {
            let _ = Cmd::new("vgremove").args(["-q", "-ff", "-y"]).arg(&layout.vg).run();
        }
        let _ = self.wipe();
        let _ = Cmd::new("blockdev").arg("--rereadpt").arg(&self.device).run();
        self.let_go();
    }
}
