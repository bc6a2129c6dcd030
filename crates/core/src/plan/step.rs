//! One step of a plan. What it does to a host, how it is probed and undone lives in the engine, one arm a step.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::install::Loader;
use crate::inventory::FsKind;
use crate::name::{ImageId, LayerName, VolumeName};

/// One action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "kebab-case")]
pub enum Step {
    /// A staging volume for a base: a snapshot of its ancestor, else a new file system.
    CreateBase {
        /// The image it will hold.
        base: ImageId,
        /// The ready base it starts from.
        ancestor: Option<ImageId>,
        /// File system of a new volume.
        fs: FsKind,
        /// Size of a new volume; a snapshot has its ancestor's.
        size_bytes: u64,
    },
    /// Writes what differs from the ancestor, then compares the whole volume with the manifest.
    WriteBase {
        /// The base.
        base: ImageId,
        /// What the volume holds before.
        ancestor: Option<ImageId>,
    },
    /// Read-only for good, digests recorded, published.
    SealBase {
        /// The base.
        base: ImageId,
    },
    /// A staging snapshot of a base, or of another layer.
    CreateLayer {
        /// The layer.
        layer: LayerName,
        /// What it is a snapshot of.
        origin: VolumeName,
    },
    /// A snapshot of the layer whose state is carried, so that no file is read half written.
    FreezeState {
        /// The layer.
        layer: LayerName,
        /// The snapshot.
        frozen: VolumeName,
    },
    /// Carries the state of the frozen layer into the new one.
    MergeState {
        /// Whose state.
        from: LayerName,
        /// Its frozen snapshot.
        frozen: VolumeName,
        /// The new layer.
        layer: LayerName,
    },
    /// What is armed is armed no more while it is changed: until it is again, the default boots.
    Suspend {
        /// The armed layer.
        layer: LayerName,
        /// The tries it had.
        tries: u8,
    },
    /// Changes paths of a layer, which may be running, as was decided; what exactly is recorded under the plan's id.
    EditState {
        /// The layer.
        layer: LayerName,
    },
    /// Asks the image's checkers about what was changed; one that refuses it undoes the plan.
    CheckState {
        /// The layer.
        layer: LayerName,
    },
    /// The layer is complete: it loses its staging mark.
    PublishLayer {
        /// The layer.
        layer: LayerName,
    },
    /// Kernel and initrd into the boot directory, then one boot entry; it is not selected yet.
    WriteEntry {
        /// The layer.
        layer: LayerName,
        /// Version of the kernel it boots.
        kernel: String,
    },
    /// **The commit point**: the next boot is this layer, with a number of tries.
    Arm {
        /// The layer.
        layer: LayerName,
        /// How often it may be tried before the default boots again.
        tries: u8,
    },
    /// The very first layer of a store becomes its default: there is nothing to fall back to.
    SetDefault {
        /// The layer.
        layer: LayerName,
    },
    /// **The commit point** of going back to the default: whatever is armed is armed no more.
    Disarm {
        /// The default, which boots next then.
        layer: LayerName,
    },
    /// Removes the frozen snapshot.
    DropFrozen {
        /// The snapshot.
        frozen: VolumeName,
    },
    /// Removes the boot entry of a layer. Always before the layer itself.
    RemoveEntry {
        /// The layer.
        layer: LayerName,
    },
    /// Removes a layer.
    RemoveLayer {
        /// The layer.
        layer: LayerName,
    },
    /// Removes a base and its records; originals of changed files are kept.
    RemoveBase {
        /// The base.
        base: ImageId,
    },
    /// Removes kernels and initrds that no boot entry names.
    SweepBoot,
    /// A staging snapshot of a volume that was there before us.
    TakeBase {
        /// The image that it will stand for.
        base: ImageId,
        /// What the store's own tools call that volume.
        origin: String,
    },
    /// Makes of that snapshot what the vendor shipped, and its manifest.
    RestoreBase {
        /// The base.
        base: ImageId,
    },
    /// A volume that was there before us becomes a layer, where it is and as it is.
    AdoptLayer {
        /// The layer.
        layer: LayerName,
        /// What the store's own tools call that volume.
        volume: String,
    },
    /// The boot loader follows the selection from here on.
    TakeLoader {
        /// Which.
        loader: Loader,
    },
    /// **The commit point** of giving a host back: its boot loader follows nothing of ours any more.
    ReleaseLoader {
        /// Which.
        loader: Loader,
    },
    /// An adopted layer is a volume like any other again.
    LetGoLayer {
        /// The layer.
        layer: LayerName,
    },
}

impl Step {
    /// Whether it cannot be undone.
    pub fn is_final(&self) -> bool {
        match self {
            Step::Arm { .. } | Step::DropFrozen { .. } | Step::RemoveEntry { .. } | Step::SetDefault { .. } => true,
            Step::Disarm { .. } | Step::RemoveLayer { .. } | Step::RemoveBase { .. } | Step::SweepBoot => true,
            Step::CreateBase { .. } | Step::WriteBase { .. } | Step::SealBase { .. } => false,
            Step::CreateLayer { .. } | Step::FreezeState { .. } | Step::MergeState { .. } => false,
            Step::EditState { .. } | Step::PublishLayer { .. } | Step::WriteEntry { .. } => false,
            Step::Suspend { .. } | Step::CheckState { .. } => false,
            Step::TakeBase { .. } | Step::RestoreBase { .. } | Step::AdoptLayer { .. } => false,
            Step::TakeLoader { .. } => false,
            Step::ReleaseLoader { .. } | Step::LetGoLayer { .. } => true,
        }
    }

    /// Whether it is the commit point itself.
    pub fn is_commit(&self) -> bool {
        matches!(self, Step::Arm { .. } | Step::SetDefault { .. } | Step::Disarm { .. } | Step::ReleaseLoader { .. })
    }

    /// The volume it makes, changes or removes.
    pub fn volume(&self) -> Option<VolumeName> {
        match self {
            Step::CreateBase { base, .. } | Step::WriteBase { base, .. } | Step::SealBase { base } => {
                Some(base.volume())
            }
            Step::RemoveBase { base } | Step::TakeBase { base, .. } | Step::RestoreBase { base } => Some(base.volume()),
            Step::CreateLayer { layer, .. } | Step::MergeState { layer, .. } => Some(layer.volume()),
            Step::PublishLayer { layer } | Step::RemoveLayer { layer } => Some(layer.volume()),
            Step::FreezeState { frozen, .. } | Step::DropFrozen { frozen } => Some(frozen.clone()),
            // A published layer: it is nobody's leftover.
            Step::EditState { .. } | Step::CheckState { .. } | Step::Suspend { .. } => None,
            Step::WriteEntry { .. } | Step::Arm { .. } | Step::SetDefault { .. } => None,
            Step::Disarm { .. } | Step::RemoveEntry { .. } | Step::SweepBoot => None,
            // A volume of the host's own: no sweep may take it for a leftover of ours.
            Step::AdoptLayer { .. } | Step::LetGoLayer { .. } => None,
            Step::TakeLoader { .. } | Step::ReleaseLoader { .. } => None,
        }
    }

    /// The layer or base whose removal it is part of.
    pub fn retires(&self) -> Option<VolumeName> {
        match self {
            Step::RemoveEntry { layer } | Step::RemoveLayer { layer } => Some(layer.volume()),
            Step::RemoveBase { base } => Some(base.volume()),
            Step::CreateBase { .. } | Step::WriteBase { .. } | Step::SealBase { .. } => None,
            Step::CreateLayer { .. } | Step::FreezeState { .. } | Step::MergeState { .. } => None,
            Step::PublishLayer { .. } | Step::WriteEntry { .. } | Step::Arm { .. } => None,
            Step::SetDefault { .. } | Step::Disarm { .. } | Step::EditState { .. } | Step::Suspend { .. } => None,
            Step::DropFrozen { .. } | Step::SweepBoot | Step::CheckState { .. } => None,
            Step::TakeBase { .. } | Step::RestoreBase { .. } | Step::AdoptLayer { .. } => None,
            Step::TakeLoader { .. } | Step::ReleaseLoader { .. } | Step::LetGoLayer { .. } => None,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::CreateBase { base, ancestor: Some(ancestor), .. } => {
                write!(f, "create base {base} as a snapshot of {ancestor}")
            }
            Step::CreateBase { base, ancestor: None, fs, size_bytes } => {
                write!(f, "create base {base} with a new {} file system of {} MiB", fs.as_str(), size_bytes >> 20)
            }
            Step::WriteBase { base, .. } => write!(f, "write what differs into base {base} and verify all of it"),
            Step::SealBase { base } => write!(f, "seal base {base}"),
            Step::CreateLayer { layer, origin } => write!(f, "create layer {layer} as a snapshot of {origin}"),
            Step::FreezeState { layer, frozen } => write!(f, "freeze layer {layer} as {frozen}"),
            Step::MergeState { from, layer, .. } => write!(f, "carry the state of {from} into {layer}"),
            Step::Suspend { layer, .. } => write!(f, "let the default boot while {layer} is changed"),
            Step::EditState { layer } => write!(f, "change paths of {layer} as decided"),
            Step::CheckState { layer } => write!(f, "ask the checks of its image about {layer}"),
            Step::PublishLayer { layer } => write!(f, "publish layer {layer}"),
            Step::WriteEntry { layer, kernel } => write!(f, "write the boot entry of {layer} with kernel {kernel}"),
            Step::Arm { layer, tries } => write!(f, "arm {layer} for the next boot, {tries} tries"),
            Step::SetDefault { layer } => write!(f, "make {layer} the default"),
            Step::Disarm { layer } => write!(f, "boot the default {layer} next, whatever was armed"),
            Step::DropFrozen { frozen } => write!(f, "remove the frozen snapshot {frozen}"),
            Step::RemoveEntry { layer } => write!(f, "remove the boot entry of {layer}"),
            Step::RemoveLayer { layer } => write!(f, "remove layer {layer}"),
            Step::RemoveBase { base } => write!(f, "remove base {base}"),
            Step::SweepBoot => f.write_str("remove kernels that no boot entry names"),
            Step::TakeBase { base, origin } => write!(f, "take base {base} as a snapshot of {origin}"),
            Step::RestoreBase { base } => {
                write!(f, "put back in base {base} what its packages shipped, and take the host's own out of it")
            }
            Step::AdoptLayer { layer, volume } => write!(f, "adopt {volume} as layer {layer}, where it is"),
            Step::TakeLoader { loader } => write!(f, "let {} follow thinroot", loader.as_str()),
            Step::ReleaseLoader { loader } => write!(f, "let {} boot what it did before thinroot", loader.as_str()),
            Step::LetGoLayer { layer } => write!(f, "let go of layer {layer}, as it is"),
        }
    }
}
