//! The steps that change what a layer has: state carried from a frozen layer, and edits of a person.

use std::path::Path;

use thinroot_core::name::{LayerName, VolumeName};
use thinroot_core::plan::Step;
use thinroot_core::state::edit::Standing;
use thinroot_core::state::{Edit, EditPlan, StatePlan};

use super::{Attempt, Execution, checks};
use crate::error::{Error, ErrorKind, Result};
use crate::host::{Into, Planned};
use crate::source::tree_contents;
use crate::state::{BlobStore, Roots, apply, edit, entries_at};
use crate::store::{Access, Mounted};

impl Execution<'_> {
    pub(super) fn merge_state(
        &mut self,
        from: &LayerName,
        frozen: &VolumeName,
        layer: &LayerName,
        attempt: Attempt,
    ) -> Result<String> {
        if attempt == Attempt::Redo {
            // Half merged: a fresh snapshot costs nothing and is certain.
            self.recreate_layer(layer)?;
        }
        let host = self.host;
        let source = host.store.mount(frozen, Access::Inspect)?;
        let target = host.store.mount(&layer.volume(), Access::WriteLayer)?;
        let planned = match self.origin(layer)? {
            Some(origin) => host.plan_return(from, source.path(), &origin, target.path(), self.reporter)?,
            None => {
                let new = host.manifest(layer.base())?;
                let mut contents = tree_contents(target.path(), &new);
                let root = Some(target.path());
                let into = Into { image: layer.base(), new: &new, contents: &mut contents, root };
                host.plan_state(from, source.path(), into, self.reporter)?
            }
        };
        let Planned { onto, state: mut plan, made } = planned;
        if plan.blocked {
            return Err(Error::new(ErrorKind::Refused, format!("carry the state of {from}"), plan.why_blocked())
                .mend("decide these paths in the running layer, then update again"));
        }
        let json = serde_json::to_vec(&plan).expect("state plans always serialise");
        if let Some(onto) = &onto {
            host.records.put_onto(&self.file.journal.plan.id, onto)?;
        }
        host.records.put_decisions(&self.file.journal.plan.id, &json)?;
        let old_base = host.mount_base(from.base())?;
        let roots = Roots { frozen: source.path(), layer: target.path(), base: old_base.as_ref().map(Mounted::path) };
        let blobs = BlobStore::new(&host.records.blobs());
        blobs.keep_made(&made)?;
        let stats = apply(&plan, roots, &blobs)?;
        if !plan.checks.is_empty() {
            checks::check(host, &mut plan, roots, layer.base(), self.reporter)?;
            let json = serde_json::to_vec(&plan).expect("state plans always serialise");
            host.records.put_decisions(&self.file.journal.plan.id, &json)?;
        }
        target.finish()?;
        source.finish()?;
        self.findings.extend(plan.findings());
        Ok(stats.to_string())
    }

    /// The layer that a layer of this plan is a snapshot of; none where it is one of a base.
    fn origin(&self, wanted: &LayerName) -> Result<Option<LayerName>> {
        let origin = self.plan().steps.iter().find_map(|step| {
            let Step::CreateLayer { layer, origin } = step else { return None };
            (layer == wanted).then(|| origin.clone())
        });
        let Some(origin) = origin.filter(|origin| *origin != wanted.base().volume()) else { return Ok(None) };
        let layer = origin.as_str().parse();
        layer.map(Some).map_err(|why| Error::damaged(format!("merge into {wanted}"), why))
    }

    /// Changes the paths that still are as they were planned with; those that are changed already stay. A path that is
    /// neither stops it before anything is touched.
    pub(super) fn edit_state(&mut self, layer: &LayerName) -> Result<String> {
        let id = self.plan().id.clone();
        let missing = || Error::damaged(format!("carry out {id}"), "the records do not say what it changes");
        let edits = self.host.records.edits(&id)?.ok_or_else(missing)?;
        let target = self.host.store.mount(&layer.volume(), Access::WriteLayer)?;
        let present = entries_at(target.path(), &edits.edits.iter().map(|edit| edit.path.clone()).collect())?;
        let standing = |edit: &Edit| edit.standing(present.get(&edit.path));
        if let Some(other) = edits.edits.iter().find(|edit| standing(edit) == Standing::Elsewhere) {
            let why = "it has been changed since this was planned";
            return Err(Error::refused(format!("change {}", other.path), why).mend("run the command again"));
        }
        let stats = self.carry_edits(&edits, target.path(), |edit| standing(edit) == Standing::Before)?;
        target.finish()?;
        Ok(stats)
    }

    /// Asks the checkers that are about something that was edited. What they say is recorded, also where one refuses it,
    /// so that whoever made the plan can make another.
    pub(super) fn check_state(&mut self, layer: &LayerName) -> Result<String> {
        let id = self.plan().id.clone();
        let host = self.host;
        let missing = || Error::damaged(format!("carry out {id}"), "the records do not say what it changes");
        let json = host.records.decisions(&id)?.ok_or_else(missing)?;
        let mut state: StatePlan = serde_json::from_slice(&json).map_err(|why| Error::damaged("read a plan", why))?;
        let edits = host.records.edits(&id)?.ok_or_else(missing)?;
        let about = edits.edits.into_iter().map(|edit| edit.path).collect();
        let target = host.store.mount(&layer.volume(), Access::Inspect)?;
        let refused = checks::check_again(host, &mut state, target.path(), layer.base(), &about, self.reporter)?;
        target.finish()?;
        let json = serde_json::to_vec(&state).expect("state plans always serialise");
        host.records.put_decisions(&id, &json)?;
        refused.map_or(Ok(String::new()), Err)
    }

    /// Puts back what is as the edit left it. What somebody has changed since then is left alone and told.
    pub(super) fn undo_edit(&mut self, layer: &LayerName) -> Result<()> {
        let id = self.plan().id.clone();
        // Forgotten already by an undo that was interrupted at its end.
        let Some(edits) = self.host.records.edits(&id)? else { return Ok(()) };
        let back = edits.inverse();
        let target = self.host.store.mount(&layer.volume(), Access::WriteLayer)?;
        let present = entries_at(target.path(), &back.edits.iter().map(|edit| edit.path.clone()).collect())?;
        let standing = |edit: &Edit| edit.standing(present.get(&edit.path));
        let other = back.edits.iter().filter(|edit| standing(edit) == Standing::Elsewhere);
        self.findings.extend(other.map(|edit| format!("{}: changed meanwhile, so it was not put back", edit.path)));
        self.carry_edits(&back, target.path(), |edit| standing(edit) == Standing::Before)?;
        target.finish()?;
        self.host.records.forget_edits(&id)
    }

    fn carry_edits(&self, edits: &EditPlan, root: &Path, wanted: impl Fn(&Edit) -> bool) -> Result<String> {
        let stats = edit(&edits.state_plan(wanted), root, &BlobStore::new(&self.host.records.blobs()))?;
        Ok(format!("{} paths put, {} removed", stats.put, stats.removed))
    }

    fn recreate_layer(&mut self, wanted: &LayerName) -> Result<()> {
        let create = self.plan().steps.iter().find(|s| matches!(s, Step::CreateLayer { layer, .. } if layer == wanted));
        match create.cloned() {
            Some(create) => self.apply(&create, Attempt::Redo).map(|_| ()),
            None => Err(Error::damaged(format!("merge into {wanted}"), "the plan does not create it")),
        }
    }
}
