//! Looking at a disk: how large it is, what is on it, who uses it. Writes nothing.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use thinroot_core::install::Disk;

use crate::cmd::Cmd;
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::store::mount;

/// A disk as the kernel and wipefs know it.
pub fn look(path: &Path) -> Result<Disk> {
    let attempted = format!("look at {}", path.display());
    let device = fs::canonicalize(path).at("find", path)?;
    let meta = fs::metadata(&device).at("look at", &device)?;
    if !meta.file_type().is_block_device() {
        return Err(Error::new(ErrorKind::Usage, attempted, "it is no block device")
            .mend("give a disk such as /dev/sda, or a new file with --image FILE --size SIZE"));
    }
    let sys = sys_of(meta.rdev())?;
    if sys.join("partition").exists() {
        return Err(Error::new(ErrorKind::Usage, attempted, "it is a partition").mend("give the whole disk"));
    }
    let parts = partitions(&sys)?;
    let mut used_by = users(&sys, &device)?;
    let mut holds = signatures(&device)?;
    for part in &parts {
        let node = Path::new("/dev").join(part.file_name().unwrap_or_default());
        used_by.extend(users(part, &node)?);
        holds.extend(signatures(&node)?);
    }
    if holds.is_empty() && !parts.is_empty() {
        holds.push(format!("{} partitions", parts.len()));
    }
    Ok(Disk {
        name: path.display().to_string(),
        size_bytes: number(&sys.join("size"))? * 512,
        sector_bytes: number(&sys.join("queue/logical_block_size"))?,
        read_only: number(&sys.join("ro"))? != 0,
        holds,
        used_by,
    })
}

/// A disk that will be a file. One that is there and not empty is refused, whatever is wished for: it can be removed.
pub(super) fn future_file(path: &Path, size_bytes: u64) -> Result<Disk> {
    let attempted = format!("make {}", path.display());
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).at("look at", path),
        Ok(meta) if !meta.is_file() => {
            return Err(Error::new(ErrorKind::Usage, attempted, "something that is no file is there")
                .mend("for a disk use --disk"));
        }
        Ok(meta) if meta.len() == 0 => {}
        Ok(meta) => {
            return Err(Error::refused(attempted, format!("a file of {} bytes is there", meta.len()))
                .mend("give another name, or remove it"));
        }
    }
    let name = path.display().to_string();
    Ok(Disk { name, size_bytes, sector_bytes: 512, read_only: false, holds: vec![], used_by: vec![] })
}

fn sys_of(rdev: u64) -> Result<PathBuf> {
    let link = format!("/sys/dev/block/{}:{}", rustix::fs::major(rdev), rustix::fs::minor(rdev));
    fs::canonicalize(&link).at("find", &link)
}

/// The directories of its partitions.
pub(super) fn partitions(sys: &Path) -> Result<Vec<PathBuf>> {
    let mut parts = Vec::new();
    for entry in fs::read_dir(sys).at("list", sys)? {
        let path = entry.at("list", sys)?.path();
        if path.join("partition").exists() {
            parts.push(path);
        }
    }
    parts.sort();
    Ok(parts)
}

/// The node of a partition by its number.
pub(super) fn partition_node(device: &Path, wanted: u32) -> Result<Option<PathBuf>> {
    let sys = sys_of(fs::metadata(device).at("look at", device)?.rdev())?;
    for part in partitions(&sys)? {
        let node = Path::new("/dev").join(part.file_name().unwrap_or_default());
        if number(&part.join("partition"))? == u64::from(wanted) && node.exists() {
            return Ok(Some(node));
        }
    }
    Ok(None)
}

fn number(path: &Path) -> Result<u64> {
    let text = fs::read_to_string(path).at("read", path)?;
    text.trim().parse().map_err(|_| Error::failed(format!("read {}", path.display()), format!("'{text}' is no number")))
}

/// Mounts, swap, and devices on top of it.
fn users(sys: &Path, node: &Path) -> Result<Vec<String>> {
    let shown = node.display();
    let mut users = Vec::new();
    let device = fs::read_to_string(sys.join("dev")).at("read", sys.join("dev"))?;
    let mounts = mount::mounts()?;
    users.extend(
        mounts
            .iter()
            .filter(|line| line.device == device.trim())
            .map(|line| format!("{shown} is mounted at {}", line.point.display())),
    );
    let swaps = fs::read_to_string("/proc/swaps").unwrap_or_default();
    if swaps.lines().any(|line| line.split_whitespace().next() == node.to_str()) {
        users.push(format!("{shown} is swap space"));
    }
    let holders = sys.join("holders");
    if holders.is_dir() {
        for entry in fs::read_dir(&holders).at("list", &holders)? {
            let holder = entry.at("list", &holders)?.path();
            let name = fs::read_to_string(holder.join("dm/name")).unwrap_or_default();
            let kernel_name = holder.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let name = if name.trim().is_empty() { kernel_name } else { name.trim().to_string() };
            users.push(format!("{name} is on {shown}"));
        }
    }
    Ok(users)
}

#[derive(Deserialize)]
struct Signatures {
    signatures: Vec<Signature>,
}

#[derive(Deserialize)]
struct Signature {
    #[serde(rename = "type")]
    kind: String,
    label: Option<String>,
}

/// What wipefs would wipe.
fn signatures(node: &Path) -> Result<Vec<String>> {
    let cmd = Cmd::new("wipefs").args(["--no-act", "--json"]).arg(node);
    let text = cmd.run()?;
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let found: Signatures =
        serde_json::from_str(&text).map_err(|error| Error::failed(format!("understand `{cmd}`"), error))?;
    let mut holds: Vec<String> = Vec::new();
    for signature in found.signatures {
        let label = signature.label.filter(|label| !label.is_empty()).map(|label| format!(" '{label}'"));
        let text = format!("{}{} on {}", signature.kind, label.unwrap_or_default(), node.display());
        if !holds.contains(&text) {
            holds.push(text);
        }
    }
    Ok(holds)
}

/// Whether the kernel lets nobody else have it.
pub(super) fn held_by_nobody(device: &Path) -> Result<fs::File> {
    use std::os::unix::fs::OpenOptionsExt;
    let open =
        fs::OpenOptions::new().read(true).write(true).custom_flags(rustix::fs::OFlags::EXCL.bits() as i32).open(device);
    open.map_err(|error| {
        let attempted = format!("have {} for ourselves", device.display());
        Error::refused(attempted, error).mend("end whatever uses it, or choose another disk")
    })
}
