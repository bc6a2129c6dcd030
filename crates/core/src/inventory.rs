//! What a survey found: volumes, space, boot state. Plain values, the input of every plan.

use serde::{Deserialize, Serialize};

use crate::name::VolumeName;

/// File system of a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FsKind {
    /// ext4 with `metadata_csum_seed`, so that a layer's own UUID costs nothing.
    Ext4,
    /// XFS; layers share the UUID of their base and are mounted `nouuid`.
    Xfs,
}

impl FsKind {
    /// As `mount -t` spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            FsKind::Ext4 => "ext4",
            FsKind::Xfs => "xfs",
        }
    }
}

/// What a volume is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Holds exactly one image; read-only once ready.
    Base,
    /// Writable snapshot of a base that can be booted.
    Layer,
    /// Snapshot of a layer that an update reads from; lives only as long as its plan.
    Frozen,
    /// Mounted by every layer, never written by staging.
    Shared,
    /// Our own records.
    Records,
}

impl Role {
    /// The word used in tags and files.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Base => "base",
            Role::Layer => "layer",
            Role::Frozen => "frozen",
            Role::Shared => "volume",
            Role::Records => "records",
        }
    }
}

/// Whether a volume counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Under construction: whatever is in it may be removed unless an open journal names it.
    Staging,
    /// Published.
    Ready,
}

/// One volume of a store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Its name.
    pub name: VolumeName,
    /// What it is for.
    pub role: Role,
    /// Whether it counts.
    pub phase: Phase,
    /// The volume it is a snapshot of, where the store knows.
    pub origin: Option<VolumeName>,
    /// First 16 digits of the image digest (bases only; none while staging).
    pub image_digest: Option<String>,
    /// Its file system.
    pub fs: FsKind,
    /// Its size as seen by a mount.
    pub size_bytes: u64,
    /// Bytes of the pool it occupies, shared ones included; none where the store cannot tell.
    pub used_bytes: Option<u64>,
}

/// Room in a store. For the directory store "pool" is the file system that holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Space {
    /// Size of the pool.
    pub data_total_bytes: u64,
    /// Used of it.
    pub data_used_bytes: u64,
    /// Size of the pool's metadata; 0 where there is none.
    pub metadata_total_bytes: u64,
    /// Used of it.
    pub metadata_used_bytes: u64,
    /// What the volume group could still give to the pool; 0 where there is none.
    pub extendable_bytes: u64,
}

impl Space {
    /// Bytes of the pool that are free.
    pub fn data_free_bytes(&self) -> u64 {
        self.data_total_bytes.saturating_sub(self.data_used_bytes)
    }
}
