//! The promises of the design, checked over what a survey found.
//!
//! Separate from survey and plan so that the same rules judge a real host (`thinroot check`), what a plan would leave, and
//! what every crash test left behind. [`audit`] knows no exceptions for "on the way": whatever an interrupted run may
//! leave is excused only by the open plan that names it.
//!
//! Must stay true: no violation means that the host boots what it says, holds nothing nobody answers for, and can be
//! pruned without asking anyone.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use crate::boot::Selection;
use crate::inventory::{Phase, Role, Volume};
use crate::name::{ImageId, LayerName, VolumeName};

/// Whether a boot entry's kernel and initrds are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Payload {
    /// All of them.
    Present,
    /// At least one is not.
    Missing,
}

/// What is judged.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HostView {
    /// Every volume of ours.
    pub volumes: Vec<Volume>,
    /// Every boot entry of ours.
    pub entries: Vec<(LayerName, Payload)>,
    /// What boots next.
    pub selection: Selection,
    /// Volumes that an open plan names: it answers for them.
    pub open_plan_names: BTreeSet<VolumeName>,
    /// Images whose manifest is in the records.
    pub manifests: BTreeSet<ImageId>,
    /// Kernels and initrds of ours that no boot entry refers to.
    pub unreferenced_kernels: Vec<String>,
}

/// As what a selection names a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SelectedAs {
    /// The default.
    Default,
    /// Armed.
    Armed,
    /// Once blessed.
    Good,
}

/// A broken promise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "violation", rename_all = "snake_case")]
pub enum Violation {
    /// A boot entry names what is no ready layer.
    EntryWithoutLayer {
        /// The layer it names.
        layer: LayerName,
    },
    /// A boot entry names a base.
    EntryAtBase {
        /// The name, which looks like a layer's.
        layer: LayerName,
    },
    /// A boot entry's kernel or initrd is not there.
    EntryWithoutKernel {
        /// The layer it boots.
        layer: LayerName,
    },
    /// What boots next has no boot entry that can boot.
    SelectedWithoutEntry {
        /// The layer.
        layer: LayerName,
        /// As what it is selected.
        selected: SelectedAs,
    },
    /// The selection names what is no ready layer.
    SelectedWithoutLayer {
        /// The layer.
        layer: LayerName,
        /// As what it is selected.
        selected: SelectedAs,
    },
    /// A volume under construction that no open plan names.
    StagingWithoutPlan {
        /// The volume.
        volume: VolumeName,
    },
    /// A frozen snapshot that is to stay and that no open plan names.
    FrozenWithoutPlan {
        /// The volume.
        volume: VolumeName,
    },
    /// A kernel or initrd that no boot entry refers to, and no open plan is about to.
    KernelUnreferenced {
        /// The file.
        file: String,
    },
    /// A base without its manifest: state of its layers cannot be merged.
    BaseWithoutManifest {
        /// The image.
        image: ImageId,
    },
    /// A layer whose base is not there: its state cannot be told from the image.
    LayerWithoutBase {
        /// The layer.
        layer: LayerName,
    },
    /// A base or layer whose name is not of the form of one.
    Misnamed {
        /// The volume.
        volume: VolumeName,
        /// What it is marked as.
        role: Role,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Violation::EntryWithoutLayer { layer } => {
                write!(f, "a boot entry names layer {layer}, which is not there or not complete")
            }
            Violation::EntryAtBase { layer } => write!(f, "a boot entry names {layer}, which is a base"),
            Violation::EntryWithoutKernel { layer } => {
                write!(f, "a boot entry of layer {layer} names a kernel or initrd that is not there")
            }
            Violation::SelectedWithoutEntry { layer, selected } => {
                write!(f, "layer {layer} is {selected} and has no boot entry that can boot")
            }
            Violation::SelectedWithoutLayer { layer, selected } => {
                write!(f, "layer {layer} is {selected} and is not there or not complete")
            }
            Violation::StagingWithoutPlan { volume } => {
                write!(f, "volume {volume} is under construction and no open plan names it")
            }
            Violation::FrozenWithoutPlan { volume } => {
                write!(f, "snapshot {volume} was frozen for an update and no open plan names it")
            }
            Violation::KernelUnreferenced { file } => write!(f, "no boot entry refers to {file}"),
            Violation::BaseWithoutManifest { image } => write!(f, "the manifest of base {image} is not in the records"),
            Violation::LayerWithoutBase { layer } => {
                write!(f, "base {} of layer {layer} is not there or not complete", layer.base())
            }
            Violation::Misnamed { volume, role } => {
                write!(f, "volume {volume} is marked as {} and not named like one", role.as_str())
            }
        }
    }
}

impl fmt::Display for SelectedAs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SelectedAs::Default => "the default",
            SelectedAs::Armed => "armed",
            SelectedAs::Good => "recorded as good",
        })
    }
}

/// Every broken promise, each once: first of the entries, then of the selection, the volumes and the kernels.
pub fn audit(host: &HostView) -> Vec<Violation> {
    let volumes: BTreeMap<&VolumeName, &Volume> = host.volumes.iter().map(|volume| (&volume.name, volume)).collect();
    let mut found = Vec::new();
    entries(host, &volumes, &mut found);
    selected(host, &volumes, &mut found);
    for volume in &host.volumes {
        found.extend(answered_for(host, volume));
        if volume.phase == Phase::Ready {
            found.extend(well_founded(host, &volumes, volume));
        }
    }
    // Between a kernel and its entry there is an open plan.
    if host.open_plan_names.is_empty() {
        let files = host.unreferenced_kernels.iter().cloned();
        found.extend(files.map(|file| Violation::KernelUnreferenced { file }));
    }
    let mut once: Vec<Violation> = Vec::new();
    for violation in found {
        if !once.contains(&violation) {
            once.push(violation);
        }
    }
    once
}

type Volumes<'a> = BTreeMap<&'a VolumeName, &'a Volume>;

fn is_ready(volumes: &Volumes<'_>, name: &VolumeName, role: Role) -> bool {
    volumes.get(name).is_some_and(|volume| volume.role == role && volume.phase == Phase::Ready)
}

fn entries(host: &HostView, volumes: &Volumes<'_>, found: &mut Vec<Violation>) {
    for (layer, payload) in &host.entries {
        let name = layer.volume();
        if volumes.get(&name).is_some_and(|volume| volume.role == Role::Base) {
            found.push(Violation::EntryAtBase { layer: layer.clone() });
        } else if !is_ready(volumes, &name, Role::Layer) {
            found.push(Violation::EntryWithoutLayer { layer: layer.clone() });
        }
        if *payload == Payload::Missing {
            found.push(Violation::EntryWithoutKernel { layer: layer.clone() });
        }
    }
}

/// What the selection names exists, and what boots next can boot. A failure may outlive its layer: it is remembered so
/// that the image is not tried again.
fn selected(host: &HostView, volumes: &Volumes<'_>, found: &mut Vec<Violation>) {
    let selection = &host.selection;
    let default = selection.default_layer().map(|layer| (layer, SelectedAs::Default));
    let armed = selection.armed().map(|armed| (&armed.layer, SelectedAs::Armed));
    let next: Vec<_> = default.into_iter().chain(armed).collect();
    for (layer, selected) in &next {
        if !host.entries.iter().any(|(named, payload)| named == *layer && *payload == Payload::Present) {
            found.push(Violation::SelectedWithoutEntry { layer: (*layer).clone(), selected: *selected });
        }
    }
    for (layer, selected) in next.into_iter().chain(selection.good().iter().map(|layer| (layer, SelectedAs::Good))) {
        if !is_ready(volumes, &layer.volume(), Role::Layer) {
            found.push(Violation::SelectedWithoutLayer { layer: layer.clone(), selected });
        }
    }
}

fn answered_for(host: &HostView, volume: &Volume) -> Option<Violation> {
    if host.open_plan_names.contains(&volume.name) {
        return None;
    }
    let name = volume.name.clone();
    match (volume.role, volume.phase) {
        (Role::Frozen, Phase::Ready) => Some(Violation::FrozenWithoutPlan { volume: name }),
        // What a comparison reads from is of no plan; one that was cut left it, and the next change sweeps it.
        (Role::Frozen, Phase::Staging) => None,
        (Role::Base | Role::Layer | Role::Shared | Role::Records, Phase::Staging) => {
            Some(Violation::StagingWithoutPlan { volume: name })
        }
        (Role::Base | Role::Layer | Role::Shared | Role::Records, Phase::Ready) => None,
    }
}

fn well_founded(host: &HostView, volumes: &Volumes<'_>, volume: &Volume) -> Option<Violation> {
    let text = volume.name.as_str();
    let misnamed = Violation::Misnamed { volume: volume.name.clone(), role: volume.role };
    match volume.role {
        Role::Base => match text.parse::<ImageId>() {
            Ok(image) => (!host.manifests.contains(&image)).then_some(Violation::BaseWithoutManifest { image }),
            Err(_) => Some(misnamed),
        },
        Role::Layer => match text.parse::<LayerName>() {
            Ok(layer) => (!is_ready(volumes, &layer.base().volume(), Role::Base))
                .then_some(Violation::LayerWithoutBase { layer }),
            Err(_) => Some(misnamed),
        },
        Role::Frozen | Role::Shared | Role::Records => None,
    }
}

#[cfg(test)]
mod tests;
