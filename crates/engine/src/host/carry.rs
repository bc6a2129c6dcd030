//! Planning the state merge from real trees: the one way, for the preview and for the real thing.

use std::path::Path;

use thinroot_core::inventory::Phase;
use thinroot_core::manifest::Manifest;
use thinroot_core::name::{ImageId, LayerName};
use thinroot_core::path::TreePath;
use thinroot_core::state::{self, Delta, Policy, StatePlan};

use super::Host;
use crate::base::inodes::InodeTable;
use crate::error::Result;
use crate::progress::Reporter;
use crate::records::Part;
use crate::source::Contents;
use crate::state::{RootContents, Texts, delta, merge_accounts, merge_texts, present_texts, read_texts};
use crate::store::{Access, Mounted};

impl Host {
    /// What `from`, mounted at `root`, changed against its base, and what `new` makes of it.
    pub(crate) fn plan_state(
        &self,
        from: &LayerName,
        root: &Path,
        new: &Manifest,
        new_contents: &mut dyn Contents,
        reporter: &dyn Reporter,
    ) -> Result<(Delta, StatePlan)> {
        let base = self.manifest(from.base())?;
        let policy = self.policy_into(root, new, new_contents)?;
        let changes = self.delta(from, root, &base, &policy, reporter)?;
        let texts = state::texts_to_merge(&base, &changes, new, &policy);
        let set = state::accounts_to_merge(&base, &changes, new, &policy);
        let wanted: Vec<TreePath> = texts.iter().chain(&set).cloned().collect();
        let mut notes = Vec::new();
        let merged = if wanted.is_empty() {
            Default::default()
        } else {
            let old = self.mount_base(from.base())?;
            let originals = match &old {
                Some(old) => read_texts(&wanted, &base, &mut RootContents::open(old.path())?)?,
                None => Texts::new(),
            };
            let local = present_texts(&wanted, &RootContents::open(root)?)?;
            let vendor = read_texts(&wanted, new, new_contents)?;
            let mut merged = merge_texts(&originals, &local, &vendor);
            notes = merge_accounts(&set, [&originals, &local, &vendor], &mut merged);
            merged
        };
        let mut plan = state::plan(&base, &changes, new, &policy, &merged);
        plan.notes.extend(notes);
        Ok((changes, plan))
    }

    /// What a mounted layer changed against its base: by inode number and ctime where its lineage is recorded, else
    /// by hashing.
    pub(crate) fn delta(
        &self,
        layer: &LayerName,
        root: &Path,
        base: &Manifest,
        policy: &Policy,
        reporter: &dyn Reporter,
    ) -> Result<Delta> {
        let recorded = self.records.part(layer.base(), Part::Inodes)?;
        let lineage = recorded.map(|bytes| InodeTable::from_bytes(&bytes)).transpose()?;
        Ok(delta(root, base, lineage.as_ref(), policy, reporter)?.0)
    }

    /// The sealed base, where it is still here.
    pub(crate) fn mount_base(&self, base: &ImageId) -> Result<Option<Mounted>> {
        let survey = self.store.survey()?;
        let here = survey.volumes.iter().any(|v| v.name == base.volume() && v.phase == Phase::Ready);
        here.then(|| self.store.mount(&base.volume(), Access::Inspect)).transpose()
    }
}
