//! State: how a layer differs from its base, and what of it the next layer gets.
//!
//! Separate because it is the one part of an update that decides over things a person made. Everything here is a pure
//! function of values; reading the trees and writing the result is the engine's.
//!
//! Reading order: [`Delta`] (what a layer changed), [`policy`] (what counts as state), [`plan()`] (the decisions),
//! [`text`] (contents merged by line; [`crate::structured`] merges by key).
//!
//! Must stay true: the same inputs give the same plan; every change of the layer is in the result, among the kept
//! losers or in a finding.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::manifest::{Accounts, Entry, Manifest};
use crate::path::TreePath;

pub mod checks;
mod decide;
pub mod edit;
mod facets;
pub mod late;
mod lineage;
mod links;
pub mod migrations;
pub mod plan;
pub mod policy;
mod statements;
pub mod text;
pub mod units;

pub use decide::{accounts_to_merge, plan, texts_to_merge};
pub use edit::{Choice, Edit, EditPlan};
pub use plan::{Action, Content, Decision, Facet, FacetResult, Kept, Level, Origin, Side, StatePlan, TextMerge};
pub use policy::{Class, Policy};

/// What a layer changed against the manifest of its base.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Delta {
    /// The layer's own accounts, so that its owners can be compared by name.
    pub accounts: Accounts,
    /// Every path that differs.
    pub changes: BTreeMap<TreePath, Change>,
}

/// How a path of the layer differs from its base.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "lowercase")]
pub enum Change {
    /// The base does not have it.
    Added(Entry),
    /// Type, content, mode, owner, group or attributes differ.
    Modified(Entry),
    /// The layer does not have it.
    Removed,
}

impl Change {
    /// The layer's entry; none where it removed the path.
    pub fn entry(&self) -> Option<&Entry> {
        match self {
            Change::Added(entry) | Change::Modified(entry) => Some(entry),
            Change::Removed => None,
        }
    }
}

impl Delta {
    /// In which facets a path of the layer differs from its base; none where the layer has it alone or not at all.
    pub fn facets(&self, path: &TreePath, base: &Manifest) -> Vec<Facet> {
        match (base.get(path), self.changes.get(path).and_then(Change::entry)) {
            (Some(old), Some(now)) => facets::differing(old, base.accounts(), now, &self.accounts),
            (None, _) | (_, None) => Vec::new(),
        }
    }
}
