//! What `status` shows: plain values with a versioned written form.

use std::collections::BTreeMap;

use serde::Serialize;
use thinroot_core::boot::{KeepReason, LoaderState, Selection};
use thinroot_core::inventory::Space;
use thinroot_core::journal::Outcome;
use thinroot_core::name::{ImageId, LayerName, VolumeName};
use thinroot_core::plan::{PlanId, Purpose};

use super::Host;
use crate::boot::{BootSpace, LoaderKind, SelectionFile};
use crate::error::Result;
use crate::store::StoreKind;

/// Version of the JSON of [`Status`].
pub const STATUS_VERSION: u32 = 1;

/// A base.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BaseStatus {
    /// Its name.
    pub name: ImageId,
    /// What the image calls itself.
    pub title: Option<String>,
    /// First 16 digits of its image digest.
    pub image_digest: Option<String>,
    /// The base it was written over.
    pub origin: Option<VolumeName>,
    /// Its size.
    pub size_bytes: u64,
    /// What it occupies, shared blocks included, where the store can tell.
    pub used_bytes: Option<u64>,
    /// Why it stays; empty where `prune` may take it.
    pub kept: Vec<KeepReason>,
}

/// A layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LayerStatus {
    /// Its name.
    pub name: LayerName,
    /// Its size.
    pub size_bytes: u64,
    /// What it occupies, shared blocks included, where the store can tell.
    pub used_bytes: Option<u64>,
    /// Whether it has a boot entry.
    pub has_entry: bool,
    /// Why it did not prove itself, where it was tried and failed.
    pub failure: Option<String>,
    /// Why it stays; empty where `prune` may take it.
    pub kept: Vec<KeepReason>,
}

/// A layer with tries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ArmedStatus {
    /// The layer.
    pub layer: LayerName,
    /// Boots it still gets.
    pub tries_left: u8,
}

/// The last plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LastPlan {
    /// Its name.
    pub id: PlanId,
    /// What it was for.
    pub purpose: Purpose,
    /// How it ended; none while it is open.
    pub outcome: Option<Outcome>,
    /// Why it failed, or what it found.
    pub detail: String,
}

/// Everything `status` shows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Status {
    /// Version of this form.
    pub thinroot_status: u32,
    /// Kind of store.
    pub store: StoreKind,
    /// Room in the pool.
    pub space: Space,
    /// Room in the boot directory.
    pub boot_space: BootSpace,
    /// The boot loader that follows the selection; none where whoever starts the machine reads that.
    pub loader: Option<LoaderKind>,
    /// The layer that boots next: as the loader's own files say, where there is a loader.
    pub next: Option<LayerName>,
    /// The layer this host runs.
    pub booted: Option<LayerName>,
    /// The layer that boots when nothing is armed.
    pub default: Option<LayerName>,
    /// The layer that has the next boots.
    pub armed: Option<ArmedStatus>,
    /// Bases, oldest first.
    pub bases: Vec<BaseStatus>,
    /// Layers, oldest first.
    pub layers: Vec<LayerStatus>,
    /// The last plan.
    pub last: Option<LastPlan>,
    /// What a person should look at.
    pub findings: Vec<String>,
}

/// How many of the newest layers of a name `prune` keeps unless told otherwise.
pub const DEFAULT_KEEP: usize = 2;

impl Host {
    /// Reads what `status` shows.
    pub fn status(&self) -> Result<Status> {
        let survey = self.store.survey()?;
        let boot = self.boot.survey()?;
        let mut inventory = self.inventory_from(survey.volumes.clone(), survey.space, &boot)?;
        inventory.volumes.sort_by(|a, b| a.name.cmp(&b.name));
        let verdict = inventory.retention(DEFAULT_KEEP);
        let volumes: BTreeMap<_, _> = inventory.volumes.iter().map(|volume| (volume.name.clone(), volume)).collect();
        let mut findings = survey.findings;
        findings.extend(boot.findings.iter().cloned());
        if let SelectionFile::Damaged(why) = &boot.selection {
            findings.push(format!("nobody can tell what boots next: {why}"));
        }
        let selection = &inventory.selection;
        let missed = self.records.missed()?.filter(|missed| inventory.ready(&missed.layer.volume()).is_some());
        findings.extend(missed.map(|missed| {
            let layer = &missed.layer;
            format!("{layer} lacks what was changed here after it was staged: {}", missed.why)
        }));
        let bases = verdict.bases.iter().map(|(name, kept)| {
            let volume = volumes.get(&name.volume());
            Ok(BaseStatus {
                name: name.clone(),
                title: self.records.image(name)?.map(|image| image.title),
                image_digest: volume.and_then(|volume| volume.image_digest.clone()),
                origin: volume.and_then(|volume| volume.origin.clone()),
                size_bytes: volume.map_or(0, |volume| volume.size_bytes),
                used_bytes: volume.and_then(|volume| volume.used_bytes),
                kept: kept.iter().copied().collect(),
            })
        });
        let layers = verdict.layers.iter().map(|(name, kept)| {
            let volume = volumes.get(&name.volume());
            let failure = selection.failed().iter().find(|failure| failure.layer == *name);
            LayerStatus {
                name: name.clone(),
                size_bytes: volume.map_or(0, |volume| volume.size_bytes),
                used_bytes: volume.and_then(|volume| volume.used_bytes),
                has_entry: inventory.entries.contains(name),
                failure: failure.map(|failure| failure.reason.clone()),
                kept: kept.iter().copied().collect(),
            }
        });
        Ok(Status {
            thinroot_status: STATUS_VERSION,
            store: survey.kind,
            space: survey.space,
            boot_space: boot.space,
            loader: self.boot.loader(),
            next: self.next_layer(selection),
            booted: inventory.booted.clone(),
            default: selection.default_layer().cloned(),
            armed: selection
                .armed()
                .map(|armed| ArmedStatus { layer: armed.layer.clone(), tries_left: armed.tries_left }),
            bases: bases.collect::<Result<_>>()?,
            layers: layers.collect(),
            last: self.last_plan(&mut findings)?,
            findings,
        })
    }

    /// A loader whose files cannot be read is a finding already, and boots the default.
    fn next_layer(&self, selection: &Selection) -> Option<LayerName> {
        let state = match self.boot.loader_state() {
            Ok(Some(state)) => state,
            Ok(None) => LoaderState { default: selection.default_layer().cloned(), armed: selection.armed().cloned() },
            Err(_) => LoaderState { default: selection.default_layer().cloned(), armed: None },
        };
        state.next().cloned()
    }

    fn last_plan(&self, findings: &mut Vec<String>) -> Result<Option<LastPlan>> {
        let Some(journal) = self.records.journals()?.pop() else { return Ok(None) };
        let last = LastPlan {
            id: journal.plan.id.clone(),
            purpose: journal.plan.purpose,
            outcome: journal.closed.as_ref().map(|(outcome, _)| *outcome),
            detail: journal.closed.map(|(_, detail)| detail).unwrap_or_default(),
        };
        if last.outcome.is_none() {
            let id = &last.id;
            findings.push(format!(
                "plan {id} was interrupted: 'thinroot resume' finishes it, 'thinroot abandon' undoes it"
            ));
        }
        Ok(Some(last))
    }
}
