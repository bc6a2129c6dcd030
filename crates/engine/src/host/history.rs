//! What happened here: where images came from, what updates decided over the state, what they kept.

use std::fs::File;

use thinroot_core::inventory::Role;
use thinroot_core::journal::{Journal, StepState};
use thinroot_core::manifest::{Digest, Manifest};
use thinroot_core::name::LayerName;
use thinroot_core::plan::{Plan, PlanId, Purpose, Step};
use thinroot_core::state::{EditPlan, StatePlan};

use super::Host;
use crate::error::{Error, Result};
use crate::state::BlobStore;

/// One update that brought the state of a layer from the layer before.
#[derive(Debug)]
pub struct Carried {
    /// The plan.
    pub plan: PlanId,
    /// When it was planned: seconds since 1970.
    pub created_sec: u64,
    /// Whose state was carried.
    pub from: LayerName,
    /// Into which layer.
    pub layer: LayerName,
    /// What was decided.
    pub state: StatePlan,
}

impl Host {
    /// How the state came into a layer: the updates through which it passed, the newest first. Ends where the records
    /// end or a layer was made without any state.
    pub fn carried_into(&self, layer: &LayerName) -> Result<Vec<Carried>> {
        let mut found = Vec::new();
        let mut wanted = layer.clone();
        for journal in self.records.journals()?.into_iter().rev() {
            let merge = journal.plan.steps.iter().zip(&journal.steps).find_map(|(step, state)| {
                let Step::MergeState { from, layer, .. } = step else { return None };
                (*layer == wanted && *state == StepState::Done).then(|| from.clone())
            });
            let Some(from) = merge else { continue };
            if let Some((plan, mut state)) = self.decisions(Some(&journal.plan.id))? {
                if let Some(later) = self.caught_up(&wanted)? {
                    state = later;
                }
                let layer = std::mem::replace(&mut wanted, from.clone());
                found.push(Carried { plan, created_sec: journal.plan.created_sec, from, layer, state });
            }
        }
        Ok(found)
    }

    /// What was decided over a layer in the end, where it caught up with what was changed after it was staged.
    fn caught_up(&self, layer: &LayerName) -> Result<Option<StatePlan>> {
        for journal in self.records.journals()?.into_iter().rev() {
            let of = |step: &Step| matches!(step, Step::EditState { layer: edited } if edited == layer);
            if journal.plan.purpose == Purpose::CatchUp && all_done(&journal) && journal.plan.steps.iter().any(of) {
                return Ok(self.decisions(Some(&journal.plan.id))?.map(|(_, state)| state));
            }
        }
        Ok(None)
    }

    /// The update that brought state into the named layer, else the last one that brought any.
    pub fn last_carried(&self, layer: Option<&LayerName>) -> Result<Option<Carried>> {
        let made = |plan: &Plan| {
            plan.steps.iter().find_map(|step| {
                let Step::MergeState { layer, .. } = step else { return None };
                Some(layer.clone())
            })
        };
        let newest = match layer {
            Some(layer) => {
                self.volume(&self.inventory()?, &layer.volume(), Role::Layer)?;
                Some(layer.clone())
            }
            None => {
                let journals = self.records.journals()?.into_iter().rev();
                journals.filter(|journal| journal.committed()).find_map(|journal| made(&journal.plan))
            }
        };
        Ok(match newest {
            Some(layer) => self.carried_into(&layer)?.into_iter().next().filter(|carried| carried.layer == layer),
            None => None,
        })
    }

    /// What the layer that an update carried state into had before: what its base ships, or for one that was made from
    /// a layer what that one had.
    pub fn ground(&self, carried: &Carried) -> Result<Manifest> {
        let shipped = self.manifest(carried.layer.base())?;
        let Some(onto) = self.records.onto(&carried.plan)? else { return Ok(shipped) };
        onto.over(&shipped).map_err(|why| Error::damaged(format!("read what plan {} began with", carried.plan), why))
    }

    /// What persons edited in a layer since it was made, the oldest first. What was abandoned is not among it.
    pub fn edited(&self, layer: &LayerName) -> Result<Vec<(PlanId, EditPlan)>> {
        let mut found = Vec::new();
        for journal in self.records.journals()? {
            if journal.plan.purpose == Purpose::EditState && all_done(&journal) {
                let edits = self.records.edits(&journal.plan.id)?.filter(|edits| edits.layer == *layer);
                found.extend(edits.map(|edits| (journal.plan.id.clone(), edits)));
            }
        }
        Ok(found)
    }

    /// Where the image of a layer's base was read from, as it was written then; of the booted layer without a name,
    /// else of the default. None where that is not recorded.
    pub fn image_source(&self, layer: Option<&LayerName>) -> Result<Option<String>> {
        let selection = self.boot.read_selection()?.unwrap_or_default();
        let Some(layer) = layer.or(self.booted.as_ref()).or(selection.default_layer()) else { return Ok(None) };
        Ok(self.records.image(layer.base())?.map(|image| image.source))
    }

    /// What an update decided over the state: of the named plan, else of the last update that has a record.
    pub fn decisions(&self, plan: Option<&PlanId>) -> Result<Option<(PlanId, StatePlan)>> {
        let candidates: Vec<PlanId> = match plan {
            Some(plan) => vec![plan.clone()],
            None => {
                let journals = self.records.journals()?.into_iter().rev();
                let carries = |journal: &Journal| {
                    let merges = journal.plan.steps.iter().any(|step| matches!(step, Step::MergeState { .. }));
                    merges || (journal.plan.purpose == Purpose::CatchUp && all_done(journal))
                };
                journals.filter(carries).map(|journal| journal.plan.id).collect()
            }
        };
        for id in candidates {
            if let Some(json) = self.records.decisions(&id)? {
                let state = serde_json::from_slice(&json)
                    .map_err(|e| Error::damaged(format!("read the decisions of plan {id}"), e))?;
                return Ok(Some((id, state)));
            }
        }
        Ok(None)
    }

    /// A content that an update kept: the side that lost, or the original of what diverged. None where it is not kept.
    pub fn kept(&self, digest: &Digest) -> Result<Option<File>> {
        BlobStore::new(&self.records.blobs()).open(digest)
    }
}

fn all_done(journal: &Journal) -> bool {
    journal.steps.iter().all(|state| *state == StepState::Done)
}
