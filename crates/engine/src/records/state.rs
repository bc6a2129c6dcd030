//! Records about the state: what was decided, edited and pinned, who has which number.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use thinroot_core::ids::Ledger;
use thinroot_core::name::LayerName;
use thinroot_core::path::TreePath;
use thinroot_core::plan::PlanId;
use thinroot_core::state::{Delta, EditPlan};

use super::{Records, read_if_there};
use crate::durable;
use crate::error::{Error, Result};

/// A staged layer that did not catch up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missed {
    /// The layer.
    pub layer: LayerName,
    /// Why.
    pub why: String,
}

impl Records {
    /// Keeps the decisions of a plan, as JSON.
    pub fn put_decisions(&self, plan: &PlanId, json: &[u8]) -> Result<()> {
        durable::write(&self.root.join("decisions").join(format!("{plan}.json")), json, 0o600)
    }

    /// The decisions of a plan.
    pub fn decisions(&self, plan: &PlanId) -> Result<Option<Vec<u8>>> {
        read_if_there(&self.root.join("decisions").join(format!("{plan}.json")))
    }

    fn onto_path(&self, plan: &PlanId) -> PathBuf {
        self.root.join("decisions").join(format!("{plan}.onto.json"))
    }

    /// Keeps what a layer that state is carried into had changed against its base, where it was made from a layer.
    pub fn put_onto(&self, plan: &PlanId, onto: &Delta) -> Result<()> {
        let json = serde_json::to_vec(onto).expect("a delta always serialises");
        durable::write(&self.onto_path(plan), &json, 0o600)
    }

    /// What that layer had changed; none where it was made from a base.
    pub fn onto(&self, plan: &PlanId) -> Result<Option<Delta>> {
        let Some(json) = read_if_there(&self.onto_path(plan))? else { return Ok(None) };
        let parsed = serde_json::from_slice(&json);
        parsed.map(Some).map_err(|e| Error::damaged(format!("read what plan {plan} carried state onto"), e))
    }

    /// Forgets the decisions of a plan that was undone.
    pub fn forget_decisions(&self, plan: &PlanId) -> Result<()> {
        durable::remove(&self.onto_path(plan))?;
        durable::remove(&self.root.join("decisions").join(format!("{plan}.json"))).map(|_| ())
    }

    /// Who has which number; none where no base was written yet, or by a version without it.
    pub fn ledger(&self) -> Result<Option<Ledger>> {
        let path = self.root.join("ids.json");
        let Some(json) = read_if_there(&path)? else { return Ok(None) };
        let damaged = |why: String| Error::damaged(format!("read {}", path.display()), why);
        let ledger: Ledger = serde_json::from_slice(&json).map_err(|e| damaged(e.to_string()))?;
        match ledger.is_known() {
            true => Ok(Some(ledger)),
            false => Err(damaged("it was written by a newer version of thinroot".into())),
        }
    }

    /// Keeps who has which number.
    pub fn put_ledger(&self, ledger: &Ledger) -> Result<()> {
        let json = serde_json::to_vec_pretty(ledger).expect("a ledger always serialises");
        durable::write(&self.root.join("ids.json"), &json, 0o600)
    }

    fn edits_path(&self, plan: &PlanId) -> PathBuf {
        self.root.join("edits").join(format!("{plan}.json"))
    }

    /// Keeps what a plan edits. Written before its journal: a plan without its edits cannot be finished.
    pub fn put_edits(&self, plan: &PlanId, edits: &EditPlan) -> Result<()> {
        let json = serde_json::to_vec(edits).expect("edits always serialise");
        durable::write(&self.edits_path(plan), &json, 0o600)
    }

    /// What a plan edits.
    pub fn edits(&self, plan: &PlanId) -> Result<Option<EditPlan>> {
        let Some(json) = read_if_there(&self.edits_path(plan))? else { return Ok(None) };
        let parsed = serde_json::from_slice(&json);
        parsed.map(Some).map_err(|e| Error::damaged(format!("read the edits of plan {plan}"), e))
    }

    /// Forgets the edits of a plan that was undone.
    pub fn forget_edits(&self, plan: &PlanId) -> Result<()> {
        durable::remove(&self.edits_path(plan)).map(|_| ())
    }

    /// Why a staged layer lacks what was changed after it was staged; none where it does not.
    pub fn missed(&self) -> Result<Option<Missed>> {
        let Some(json) = read_if_there(&self.root.join("missed.json"))? else { return Ok(None) };
        serde_json::from_slice(&json).map(Some).map_err(|e| Error::damaged("read why a layer did not catch up", e))
    }

    /// Sets it.
    pub fn put_missed(&self, missed: Option<&Missed>) -> Result<()> {
        let path = self.root.join("missed.json");
        match missed {
            Some(missed) => {
                let json = serde_json::to_vec(missed).expect("it always serialises");
                durable::write(&path, &json, 0o600)
            }
            None => durable::remove(&path).map(drop),
        }
    }

    /// Paths the admin pinned, with the time: seconds since 1970.
    pub fn state_pins(&self) -> Result<BTreeMap<TreePath, u64>> {
        let path = self.root.join("state-pins.json");
        let Some(json) = read_if_there(&path)? else { return Ok(BTreeMap::new()) };
        serde_json::from_slice(&json).map_err(|e| Error::damaged(format!("read {}", path.display()), e))
    }

    /// Sets them.
    pub fn put_state_pins(&self, pins: &BTreeMap<TreePath, u64>) -> Result<()> {
        let json = serde_json::to_vec_pretty(pins).expect("pins always serialise");
        durable::write(&self.root.join("state-pins.json"), &json, 0o600)
    }
}
