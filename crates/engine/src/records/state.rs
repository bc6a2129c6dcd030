//! Records about the state: what was decided, edited and pinned, who has which number.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use thinroot_core::ids::Ledger;
use thinroot_core::name::LayerName;
use thinroot_core::path::TreePath;
use thinroot_core::plan::PlanId;
use thinroot_core::state::{Delta, EditPlan};

use super::{Records, read_if_there, read_json, write_json};
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
    fn decisions_path(&self, plan: &PlanId) -> PathBuf {
        self.root.join("decisions").join(format!("{plan}.json"))
    }

    /// Keeps the decisions of a plan, as JSON.
    pub fn put_decisions(&self, plan: &PlanId, json: &[u8]) -> Result<()> {
        durable::write(&self.decisions_path(plan), json, 0o600)
    }

    /// The decisions of a plan.
    pub fn decisions(&self, plan: &PlanId) -> Result<Option<Vec<u8>>> {
        read_if_there(&self.decisions_path(plan))
    }

    fn onto_path(&self, plan: &PlanId) -> PathBuf {
        self.root.join("decisions").join(format!("{plan}.onto.json"))
    }

    /// Keeps what a layer that state is carried into had changed against its base, where it was made from a layer.
    pub fn put_onto(&self, plan: &PlanId, onto: &Delta) -> Result<()> {
        write_json(&self.onto_path(plan), onto)
    }

    /// What that layer had changed; none where it was made from a base.
    pub fn onto(&self, plan: &PlanId) -> Result<Option<Delta>> {
        read_json(&self.onto_path(plan))
    }

    /// Forgets the decisions of a plan that was undone.
    pub fn forget_decisions(&self, plan: &PlanId) -> Result<()> {
        durable::remove(&self.onto_path(plan))?;
        durable::remove(&self.decisions_path(plan)).map(drop)
    }

    fn ledger_path(&self) -> PathBuf {
        self.root.join("ids.json")
    }

    /// Who has which number; none where no base was written yet, or by a version without it.
    pub fn ledger(&self) -> Result<Option<Ledger>> {
        let ledger: Option<Ledger> = read_json(&self.ledger_path())?;
        if ledger.as_ref().is_some_and(|ledger| !ledger.is_known()) {
            let path = self.ledger_path();
            return Err(Error::damaged(
                format!("read {}", path.display()),
                "it was written by a newer version of thinroot",
            ));
        }
        Ok(ledger)
    }

    /// Keeps who has which number.
    pub fn put_ledger(&self, ledger: &Ledger) -> Result<()> {
        write_json(&self.ledger_path(), ledger)
    }

    fn edits_path(&self, plan: &PlanId) -> PathBuf {
        self.root.join("edits").join(format!("{plan}.json"))
    }

    /// Keeps what a plan edits. Written before its journal: a plan without its edits cannot be finished.
    pub fn put_edits(&self, plan: &PlanId, edits: &EditPlan) -> Result<()> {
        write_json(&self.edits_path(plan), edits)
    }

    /// What a plan edits.
    pub fn edits(&self, plan: &PlanId) -> Result<Option<EditPlan>> {
        read_json(&self.edits_path(plan))
    }

    /// Forgets the edits of a plan that was undone.
    pub fn forget_edits(&self, plan: &PlanId) -> Result<()> {
        durable::remove(&self.edits_path(plan)).map(drop)
    }

    fn missed_path(&self) -> PathBuf {
        self.root.join("missed.json")
    }

    /// Why a staged layer lacks what was changed after it was staged; none where it does not.
    pub fn missed(&self) -> Result<Option<Missed>> {
        read_json(&self.missed_path())
    }

    /// Sets it.
    pub fn put_missed(&self, missed: Option<&Missed>) -> Result<()> {
        match missed {
            Some(missed) => write_json(&self.missed_path(), missed),
            None => durable::remove(&self.missed_path()).map(drop),
        }
    }

    fn state_pins_path(&self) -> PathBuf {
        self.root.join("state-pins.json")
    }

    /// Paths the admin pinned, with the time: seconds since 1970.
    pub fn state_pins(&self) -> Result<BTreeMap<TreePath, u64>> {
        Ok(read_json(&self.state_pins_path())?.unwrap_or_default())
    }

    /// Sets them.
    pub fn put_state_pins(&self, pins: &BTreeMap<TreePath, u64>) -> Result<()> {
        write_json(&self.state_pins_path(), pins)
    }
}
