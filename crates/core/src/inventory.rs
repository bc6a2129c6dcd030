//! What a survey found: volumes, space, boot state. Plain values, the input of every plan.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::boot::{Booted, KeepReason, Retention, Selection, Verdict, removable};
use crate::name::{ImageId, LayerName, VolumeName};
use crate::plan::{PlanId, Refusal, Room};

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

/// Everything a planner may look at.
#[derive(Debug, Clone, Default)]
pub struct Inventory {
    /// Every volume of the store.
    pub volumes: Vec<Volume>,
    /// Volumes whose manifest is in the records: only these can be the ancestor of a new base.
    pub described: BTreeSet<VolumeName>,
    /// What is free.
    pub room: Room,
    /// What boots next.
    pub selection: Selection,
    /// Layers that have a boot entry.
    pub entries: BTreeSet<LayerName>,
    /// The layer this host runs; none where the store is not this host's.
    pub booted: Option<LayerName>,
    /// Volumes the admin pinned.
    pub pinned: BTreeSet<VolumeName>,
    /// A plan that was interrupted.
    pub open_plan: Option<PlanId>,
}

impl Inventory {
    /// A published volume by name.
    pub fn ready(&self, name: &VolumeName) -> Option<&Volume> {
        self.volumes.iter().find(|volume| volume.name == *name && volume.phase == Phase::Ready)
    }

    /// Published bases.
    pub fn bases(&self) -> impl Iterator<Item = &Volume> {
        self.volumes.iter().filter(|volume| volume.role == Role::Base && volume.phase == Phase::Ready)
    }

    /// Published layers.
    pub fn layers(&self) -> impl Iterator<Item = &Volume> {
        self.volumes.iter().filter(|volume| volume.role == Role::Layer && volume.phase == Phase::Ready)
    }

    /// Every layer of a base, unfinished ones too.
    pub fn layers_of(&self, base: &ImageId) -> impl Iterator<Item = LayerName> {
        let layers = self.volumes.iter().filter_map(|volume| volume.name.as_str().parse::<LayerName>().ok());
        layers.filter(move |layer| layer.base() == base)
    }

    /// The next free layer name of a base.
    pub fn next_layer(&self, base: &ImageId) -> LayerName {
        // Entries count too: one that outlived its layer must not come to life with another one behind it.
        let used = self.layers_of(base).chain(self.entries.iter().filter(|layer| layer.base() == base).cloned());
        LayerName::new(base.clone(), used.map(|layer| layer.number()).max().unwrap_or(0) + 1)
    }

    /// What may be removed and why the rest stays, where the newest `keep` layers of each name stay anyway.
    pub fn retention(&self, keep: usize) -> Verdict {
        let layers: Vec<LayerName> = self.layers().filter_map(|volume| volume.name.as_str().parse().ok()).collect();
        let bases: Vec<ImageId> = self.bases().filter_map(|volume| volume.name.as_str().parse().ok()).collect();
        let booted = self.booted.clone().map_or(Booted::Elsewhere, Booted::Layer);
        removable(&Retention {
            layers: &layers,
            bases: &bases,
            booted: &booted,
            selection: &self.selection,
            pinned_layers: &self.pinned.iter().filter_map(|name| name.as_str().parse().ok()).collect(),
            pinned_bases: &self.pinned.iter().filter_map(|name| name.as_str().parse().ok()).collect(),
            keep,
        })
    }

    /// Why a layer may not be removed, in words; none if it may.
    pub fn keeps(&self, layer: &LayerName) -> Option<String> {
        self.reasons(layer, &[])
    }

    /// As [`Inventory::keeps`], but for being the one to go back to, which a person may do without.
    pub fn needs(&self, layer: &LayerName) -> Option<String> {
        self.reasons(layer, &[KeepReason::Previous])
    }

    fn reasons(&self, layer: &LayerName, but: &[KeepReason]) -> Option<String> {
        let verdict = self.retention(0);
        let reasons = verdict.layers.get(layer)?.iter().filter(|reason| !but.contains(reason));
        let words: Vec<&str> = reasons.map(KeepReason::as_str).collect();
        (!words.is_empty()).then(|| words.join(" and "))
    }

    /// Refuses while a plan is open: it is finished or undone first.
    pub fn no_open_plan(&self) -> Result<(), Refusal> {
        match &self.open_plan {
            None => Ok(()),
            Some(id) => Err(Refusal::interrupted(id)),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn volume(name: &str) -> Volume {
        let role = if name.parse::<LayerName>().is_ok() { Role::Layer } else { Role::Base };
        Volume {
            name: name.parse().unwrap(),
            role,
            phase: Phase::Ready,
            origin: None,
            image_digest: None,
            fs: FsKind::Ext4,
            size_bytes: 4 << 30,
            used_bytes: None,
        }
    }

    /// A host with plenty of room, these volumes, an entry a layer, and its first layer as default.
    pub(crate) fn inventory(names: &[&str]) -> Inventory {
        let volumes: Vec<Volume> = names.iter().map(|name| volume(name)).collect();
        let layers = || names.iter().filter_map(|name| name.parse::<LayerName>().ok());
        let plenty = 1 << 40;
        Inventory {
            described: volumes.iter().map(|volume| volume.name.clone()).collect(),
            volumes,
            room: Room {
                pool: Space { data_total_bytes: plenty, ..Space::default() },
                boot_free_bytes: plenty,
                records_free_bytes: plenty,
            },
            selection: layers()
                .next()
                .map_or(Selection::default(), |first| Selection::default().adopt(&first).unwrap()),
            entries: layers().collect(),
            ..Inventory::default()
        }
    }

    #[test]
    fn layer_numbers_are_never_reused_while_anything_has_them() {
        let mut world = inventory(&["node-1-0", "node-1-0+1", "node-1-0+3"]);
        let base = "node-1-0".parse().unwrap();
        assert_eq!(world.next_layer(&base).to_string(), "node-1-0+4");
        world.entries.insert("node-1-0+7".parse().unwrap());
        assert_eq!(world.next_layer(&base).to_string(), "node-1-0+8");
    }
}
