//! What `install` makes of an empty disk: how large each part is, and why a disk is refused.
//!
//! Separate from the engine because a wrong number here is a host that runs out of room in a year, or a disk that was not
//! empty. All sizes are bytes; partitions begin and end at whole MiB, so that no disk's blocks are cut.
//!
//! ```text
//! | 1 MiB | BIOS boot 1 MiB | EFI system | boot | LVM: pool metadata x2, pool data, reserve | 1 MiB |
//! ```
//!
//! The rule: the boot file system has room for five kernels with their initrds and at least 512 MiB (an update needs the
//! old, the new and, while it runs, one more). Of the volume group 1 % (at least 64 MiB) are pool metadata, as much again
//! is LVM's spare for repairing it, 5 % stay free to let a full pool grow, and the rest is pool data. That must hold the
//! image three times (two are kept, a third arrives), the shared volumes in full, and 1 GiB of the host's own.

use serde::{Deserialize, Serialize};

use crate::plan::Refusal;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
/// What LVM allocates in; the default of every distribution.
const EXTENT_BYTES: u64 = 4 * MIB;
/// Kernels with initrds that the boot file system has room for.
const KERNELS: u64 = 5;
const SMALLEST_BOOT_BYTES: u64 = 512 * MIB;
/// Only GRUB's own program is in it.
const ESP_BYTES: u64 = 128 * MIB;
const SMALLEST_METADATA_BYTES: u64 = 64 * MIB;
/// LVM's limit is 15.8 GiB.
const LARGEST_METADATA_BYTES: u64 = 15 * GIB;
/// Images that the pool has room for.
const IMAGES: u64 = 3;
/// For state, records and what the file systems need for themselves.
const OWN_BYTES: u64 = GIB;

/// How the host is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Loader {
    /// GRUB, for BIOS and UEFI alike.
    Grub,
    /// systemd-boot, for UEFI only.
    SystemdBoot,
}

impl Loader {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Loader::Grub => "GRUB",
            Loader::SystemdBoot => "systemd-boot",
        }
    }
}

/// A disk as it is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// How a person calls it.
    pub name: String,
    /// Its size.
    pub size_bytes: u64,
    /// Its logical sector, which partition tables count in.
    pub sector_bytes: u64,
    /// Whether it cannot be written.
    pub read_only: bool,
    /// Partition tables, file systems and whatever else was recognised on it.
    pub holds: Vec<String>,
    /// Who uses it: mounts, volume groups, swap.
    pub used_by: Vec<String>,
}

/// A volume that all layers share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SharedVolume {
    /// Where it is mounted.
    pub mount_point: String,
    /// Its name in the volume group.
    pub name: String,
    /// Its size.
    pub size_bytes: u64,
}

/// Places that belong to a layer, or to nobody: what changes with the image, what is mounted otherwise, what is needed
/// before anything is mounted.
const NOT_SHARED: [&str; 17] = [
    "/", "/bin", "/boot", "/dev", "/efi", "/etc", "/lib", "/lib32", "/lib64", "/proc", "/run", "/sbin", "/sys", "/tmp",
    "/usr", "/var", "/var/lib",
];

impl SharedVolume {
    /// Checks where it is to be mounted, and names it after that.
    pub fn new(mount_point: &str, size_bytes: u64) -> Result<Self, String> {
        let parts: Vec<&str> = mount_point.split('/').skip(1).collect();
        let legal = |part: &&str| {
            let known = |c: char| c.is_ascii_alphanumeric() || "_.+-".contains(c);
            part.starts_with(|c: char| c.is_ascii_alphanumeric()) && part.chars().all(known)
        };
        if !mount_point.starts_with('/') || !parts.iter().all(legal) || parts.is_empty() {
            return Err(format!("'{mount_point}' is no place for a volume: write an absolute path such as /srv"));
        }
        let below = |top: &str| mount_point == top || (top != "/" && mount_point.starts_with(&format!("{top}/")));
        let own_tree = |top: &&&str| !matches!(**top, "/var" | "/var/lib");
        if NOT_SHARED.contains(&mount_point) || NOT_SHARED.iter().filter(own_tree).any(|top| below(top)) {
            return Err(format!("'{mount_point}' cannot be shared: what is there belongs to each layer"));
        }
        let name = parts.join("-");
        match name.parse::<crate::name::VolumeName>() {
            Ok(_) => Ok(SharedVolume { mount_point: mount_point.into(), name, size_bytes }),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// How it is started.
    pub loader: Loader,
    /// Volume group.
    pub vg: String,
    /// Thin pool.
    pub pool: String,
    /// Volumes that all layers share.
    pub volumes: Vec<SharedVolume>,
    /// Whether what is on the disk may go.
    pub wipe: bool,
}

/// What the image needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Needs {
    /// Its content.
    pub content_bytes: u64,
    /// Its kernel and initrd.
    pub kernel_bytes: u64,
    /// Size of a base and a layer.
    pub root_bytes: u64,
}

/// What a partition is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// Where GRUB lies on a machine with BIOS.
    BiosBoot,
    /// EFI system partition.
    Esp,
    /// Kernels, initrds, boot entries.
    Boot,
    /// The volume group.
    Lvm,
}

impl Purpose {
    /// Its type in a GUID partition table (UEFI specification; UAPI Group, "Discoverable Partitions").
    pub fn type_guid(self) -> &'static str {
        match self {
            Purpose::BiosBoot => "21686148-6449-6E6F-744E-656564454649",
            Purpose::Esp => "C12A7328-F81F-11D2-BA4B-00A0C93EC93B",
            Purpose::Boot => "BC13C2FF-59E6-4262-A352-B275FD6F7172",
            Purpose::Lvm => "E6D6D379-F507-44C2-A23C-238F2A3DF928",
        }
    }

    /// Its name in the table.
    pub fn label(self) -> &'static str {
        match self {
            Purpose::BiosBoot => "bios-boot",
            Purpose::Esp => "esp",
            Purpose::Boot => "boot",
            Purpose::Lvm => "lvm",
        }
    }
}

/// A partition to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Partition {
    /// Its number, from 1.
    pub number: u32,
    /// What it is for.
    pub purpose: Purpose,
    /// Where it begins.
    pub start_bytes: u64,
    /// Its size.
    pub size_bytes: u64,
    /// Where the host mounts it.
    pub mount_point: Option<&'static str>,
}

/// Exactly what will be on the disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Layout {
    /// The disk.
    pub disk: String,
    /// Its size.
    pub disk_bytes: u64,
    /// Its logical sector.
    pub sector_bytes: u64,
    /// How it is started.
    pub loader: Loader,
    /// The partitions, in order.
    pub partitions: Vec<Partition>,
    /// Volume group.
    pub vg: String,
    /// Thin pool.
    pub pool: String,
    /// Room for data in the pool.
    pub data_bytes: u64,
    /// Room for its metadata; LVM keeps as much again as a spare.
    pub metadata_bytes: u64,
    /// Left free in the volume group.
    pub reserve_bytes: u64,
    /// Size of the first base and the first layer, thin.
    pub root_bytes: u64,
    /// Volumes that all layers share, thin.
    pub volumes: Vec<SharedVolume>,
    /// What is on the disk now and goes.
    pub wiped: Vec<String>,
}

impl Layout {
    /// The partition of a purpose.
    pub fn partition(&self, purpose: Purpose) -> Option<&Partition> {
        self.partitions.iter().find(|partition| partition.purpose == purpose)
    }

    /// The partition that holds kernels and boot entries.
    pub fn boot(&self) -> Option<&Partition> {
        self.partition(match self.loader {
            Loader::Grub => Purpose::Boot,
            Loader::SystemdBoot => Purpose::Esp,
        })
    }

    /// The partition table as sfdisk reads it.
    pub fn sfdisk_script(&self) -> String {
        let sectors = |bytes: u64| bytes / self.sector_bytes;
        let lines = self.partitions.iter().map(|partition| {
            format!(
                "{}: start={}, size={}, type={}, name=\"{}\"\n",
                partition.number,
                sectors(partition.start_bytes),
                sectors(partition.size_bytes),
                partition.purpose.type_guid(),
                partition.purpose.label()
            )
        });
        format!("label: gpt\nunit: sectors\n{}", lines.collect::<String>())
    }
}

/// Lays a disk out, or says with numbers why not.
pub fn layout(disk: &Disk, wish: &Wish, needs: &Needs) -> Result<Layout, Refusal> {
    admit(disk, wish)?;
    let boot = (KERNELS * needs.kernel_bytes).next_multiple_of(64 * MIB).max(SMALLEST_BOOT_BYTES);
    let parts: &[(Purpose, u64, Option<&'static str>)] = &match wish.loader {
        Loader::Grub => vec![
            (Purpose::BiosBoot, MIB, None),
            (Purpose::Esp, ESP_BYTES, Some("/boot/efi")),
            (Purpose::Boot, boot, Some("/boot")),
        ],
        // The image's own /boot stays visible: distributions cannot unpack kernels onto FAT.
        Loader::SystemdBoot => vec![(Purpose::Esp, boot, Some("/efi"))],
    };
    let (mut partitions, mut start) = (Vec::new(), MIB);
    for (number, (purpose, size, mount_point)) in (1..).zip(parts) {
        let (purpose, size_bytes, mount_point) = (*purpose, *size, *mount_point);
        partitions.push(Partition { number, purpose, start_bytes: start, size_bytes, mount_point });
        start += size_bytes;
    }
    let volumes: u64 = wish.volumes.iter().map(|volume| volume.size_bytes).sum();
    let needed = IMAGES * needs.content_bytes + volumes + OWN_BYTES;
    let group = disk.size_bytes.saturating_sub(start + MIB) / MIB * MIB;
    // The first MiB of a physical volume is LVM's own.
    let pool = PoolLayout::of((group.saturating_sub(MIB)) / EXTENT_BYTES * EXTENT_BYTES);
    if pool.data_bytes < needed || needs.root_bytes > pool.data_bytes {
        return Err(too_small(disk, start, needed.max(needs.root_bytes), needs, volumes));
    }
    let number = partitions.len() as u32 + 1;
    let lvm = Partition { number, purpose: Purpose::Lvm, start_bytes: start, size_bytes: group, mount_point: None };
    partitions.push(lvm);
    Ok(Layout {
        disk: disk.name.clone(),
        disk_bytes: disk.size_bytes,
        sector_bytes: disk.sector_bytes,
        loader: wish.loader,
        partitions,
        vg: wish.vg.clone(),
        pool: wish.pool.clone(),
        data_bytes: pool.data_bytes,
        metadata_bytes: pool.metadata_bytes,
        reserve_bytes: pool.reserve_bytes,
        root_bytes: needs.root_bytes,
        volumes: wish.volumes.clone(),
        wiped: disk.holds.clone(),
    })
}

/// Refuses a disk on which anything could be lost.
fn admit(disk: &Disk, wish: &Wish) -> Result<(), Refusal> {
    let name = &disk.name;
    if disk.read_only {
        return Err(Refusal::new(format!("{name} cannot be written"), "choose another disk"));
    }
    if !disk.used_by.is_empty() {
        let why = format!("{name} is in use: {}", disk.used_by.join("; "));
        return Err(Refusal::new(why, "choose another disk, or end that use first; --wipe does not override it"));
    }
    if !disk.holds.is_empty() && !wish.wipe {
        let why = format!("{name} is not empty: {}", disk.holds.join("; "));
        return Err(Refusal::new(why, "choose an empty disk, or give --wipe to lose all of that"));
    }
    if ![512, 4096].contains(&disk.sector_bytes) {
        let why = format!("{name} has sectors of {} bytes, not of 512 or 4096", disk.sector_bytes);
        return Err(Refusal::new(why, "choose another disk"));
    }
    Ok(())
}

struct PoolLayout {
    data_bytes: u64,
    metadata_bytes: u64,
    reserve_bytes: u64,
}

impl PoolLayout {
    fn of(group_bytes: u64) -> Self {
        let metadata = (group_bytes / 100).clamp(SMALLEST_METADATA_BYTES, LARGEST_METADATA_BYTES);
        let metadata_bytes = metadata.next_multiple_of(EXTENT_BYTES);
        let reserve_bytes = (group_bytes / 20).next_multiple_of(EXTENT_BYTES);
        let data_bytes = group_bytes.saturating_sub(2 * metadata_bytes + reserve_bytes);
        PoolLayout { data_bytes, metadata_bytes, reserve_bytes }
    }
}

fn too_small(disk: &Disk, before: u64, needed: u64, needs: &Needs, volumes: u64) -> Refusal {
    // 93 % of a large group are data, less of a small one, whose metadata has a least size; and what is rounded.
    let group = (needed * 100 / 93).max(needed * 100 / 95 + 2 * SMALLEST_METADATA_BYTES) + 16 * EXTENT_BYTES;
    let least = (before + group + 2 * MIB).div_ceil(MIB);
    let mib = |bytes: u64| bytes.div_ceil(MIB);
    Refusal::new(
        format!(
            "{} has {} MiB and {least} MiB are needed: {} for booting, and a pool with room for {IMAGES} images of {} \
             MiB, {} MiB of shared volumes and {} MiB of the host's own (a root has {} MiB)",
            disk.name,
            disk.size_bytes / MIB,
            mib(before),
            mib(needs.content_bytes),
            mib(volumes),
            mib(OWN_BYTES),
            mib(needs.root_bytes)
        ),
        "choose a larger disk",
    )
}

#[cfg(test)]
mod tests;
