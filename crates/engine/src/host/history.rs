//! What happened here: where images came from, what updates decided over the state, what they kept.

use std::fs::File;

use thinroot_core::manifest::Digest;
use thinroot_core::name::LayerName;
use thinroot_core::plan::{PlanId, Purpose};
use thinroot_core::state::StatePlan;

use super::Host;
use crate::error::{Error, Result};
use crate::state::BlobStore;

impl Host {
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
                journals.filter(|j| j.plan.purpose == Purpose::Update).map(|j| j.plan.id).collect()
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
