//! Planning the state merge from real trees: the one way, for the preview and for the real thing.

use std::io::Read;
use std::path::Path;

use thinroot_core::inventory::Phase;
use thinroot_core::manifest::Manifest;
use thinroot_core::name::{ImageId, LayerName};
use thinroot_core::path::TreePath;
use thinroot_core::state::checks::concerned;
use thinroot_core::state::text::MAX_TEXT_BYTES;
use thinroot_core::state::{self, Action, Delta, Kept, Policy, Side, StatePlan};

use super::Host;
use crate::base::inodes::InodeTable;
use crate::error::{Error, IoContext, Result};
use crate::progress::Reporter;
use crate::records::Part;
use crate::source::{Contents, tree_contents};
use crate::state::{RootContents, Texts, delta, merge_accounts, merge_texts, present_texts, read_texts};
use crate::store::{Access, Mounted};

/// What goes into a layer that was made from another layer rather than from a base.
#[derive(Debug)]
pub(crate) struct Returned {
    /// What the layer it goes into had: its own changes against its base.
    pub onto: Delta,
    /// What becomes of each later change.
    pub state: StatePlan,
}

/// The two ends of a merge and what is between them.
struct Merge<'a> {
    /// What the layer was made from.
    shipped: &'a ImageId,
    /// What its changes are told from: what was shipped, or what it was later.
    base: &'a Manifest,
    changes: &'a Delta,
    /// Where it is mounted.
    root: &'a Path,
    new: &'a Manifest,
    policy: &'a Policy,
}

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
        let merge = Merge { shipped: from.base(), base: &base, changes: &changes, root, new, policy: &policy };
        let mut plan = self.merge(&merge, new_contents)?;
        plan.checks = concerned(&self.validators_into(root, new, new_contents)?, &plan, new);
        Ok((changes, plan))
    }

    /// What was changed in `from`, mounted at `root`, and what `to`, or a snapshot of it, mounted at `onto`, makes of it.
    /// Where the state of `from` was carried from `to`, that is what was changed since then; else it is everything that
    /// is neither as the image of `from` shipped it nor as `to` has it.
    pub(crate) fn plan_return(
        &self,
        from: &LayerName,
        root: &Path,
        to: &LayerName,
        onto: &Path,
        reporter: &dyn Reporter,
    ) -> Result<Returned> {
        let shipped = self.manifest(to.base())?;
        let policy = self.policy_of(onto)?;
        let own = self.delta(to, onto, &shipped, &policy, reporter)?;
        let whole = |tree: Result<Manifest, thinroot_core::manifest::ManifestError>, layer: &LayerName| {
            tree.map_err(|why| Error::damaged(format!("read the tree of {layer}"), why))
        };
        let new = whole(own.over(&shipped), to)?;
        let mut contents = tree_contents(onto, &new);
        let policy = self.policy_into(root, &new, &mut contents)?;
        let made_from = self.manifest(from.base())?;
        let changes = self.delta(from, root, &made_from, &policy, reporter)?;
        let carried = self.carried_into(from)?.into_iter().next();
        let carried = carried.filter(|carried| carried.layer == *from && carried.from == *to);
        let (base, changes) = match carried {
            Some(carried) => {
                let then = whole(carried.state.over(&made_from, &changes.accounts), from)?;
                let since = changes.since(&made_from, &then);
                (then, since)
            }
            None => (made_from, changes),
        };
        let merge = Merge { shipped: from.base(), base: &base, changes: &changes, root, new: &new, policy: &policy };
        let mut state = self.merge(&merge, &mut contents)?;
        keep_own(&mut state, &new, &shipped);
        state.checks = concerned(&self.validators_into(root, &new, &mut contents)?, &state, &new);
        Ok(Returned { onto: own, state })
    }

    fn merge(&self, m: &Merge<'_>, new_contents: &mut dyn Contents) -> Result<StatePlan> {
        let texts = state::texts_to_merge(m.base, m.changes, m.new, m.policy);
        let set = state::accounts_to_merge(m.base, m.changes, m.new, m.policy);
        let wanted: Vec<TreePath> = texts.iter().chain(&set).cloned().collect();
        if wanted.is_empty() {
            return Ok(state::plan(m.base, m.changes, m.new, m.policy, &Default::default()));
        }
        let vendor = read_texts(&wanted, m.new, new_contents)?;
        let local = present_texts(&wanted, &RootContents::open(m.root)?)?;
        let originals = self.originals(&wanted, m)?;
        let sides = [&originals, &local, &vendor];
        let mut merged = merge_texts(&texts, sides, |path| m.base.get(path).is_none(), m.policy);
        let notes = merge_accounts(&set, sides, &mut merged);
        let mut plan = state::plan(m.base, m.changes, m.new, m.policy, &merged);
        plan.notes.extend(notes);
        Ok(plan)
    }

    /// The texts that changes are told from: kept ones, and those of the sealed base where it is still here. What is
    /// nowhere to be had is not among them; the paths are then decided without merging.
    fn originals(&self, wanted: &[TreePath], m: &Merge<'_>) -> Result<Texts> {
        let mut found = Texts::new();
        for path in wanted {
            let Some(entry) = m.base.get(path).filter(|entry| entry.kind.content_bytes() <= MAX_TEXT_BYTES) else {
                continue;
            };
            let Some(mut blob) = entry.kind.digest().map(|digest| self.kept(&digest)).transpose()?.flatten() else {
                continue;
            };
            let mut text = Vec::new();
            blob.read_to_end(&mut text).at("read", Path::new("a kept content"))?;
            found.insert(path.clone(), text);
        }
        let missing: Vec<TreePath> = wanted.iter().filter(|path| !found.contains_key(*path)).cloned().collect();
        if missing.is_empty() {
            return Ok(found);
        }
        if let Some(old) = self.mount_base(m.shipped)? {
            let shipped = self.manifest(m.shipped)?;
            let as_shipped = |path: &&TreePath| {
                let digest = |tree: &Manifest| tree.get(path).and_then(|entry| entry.kind.digest());
                digest(&shipped) == digest(m.base)
            };
            let there: Vec<TreePath> = missing.iter().filter(as_shipped).cloned().collect();
            found.extend(read_texts(&there, &shipped, &mut RootContents::open(old.path())?)?);
            old.finish()?;
        }
        Ok(found)
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

/// Keeps whatever is written over in a layer and is not what its base has: no other place has it.
fn keep_own(state: &mut StatePlan, onto: &Manifest, shipped: &Manifest) {
    for decision in &mut state.decisions {
        let Some(own) = onto.get(&decision.path).filter(|_| decision.action != Action::Leave) else { continue };
        let Some(digest) = own.kind.digest() else { continue };
        let in_base = shipped.get(&decision.path).and_then(|entry| entry.kind.digest()) == Some(digest);
        if !in_base && !decision.kept.iter().any(|kept| kept.digest == digest) {
            decision.kept.push(Kept { side: Side::Vendor, digest, size_bytes: own.kind.content_bytes() });
        }
    }
}
