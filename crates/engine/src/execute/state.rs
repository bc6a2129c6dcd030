//! The step that carries state from the frozen layer into the new one.

use thinroot_core::name::{LayerName, VolumeName};
use thinroot_core::plan::Step;

use super::{Attempt, Execution};
use crate::error::{Error, ErrorKind, Result};
use crate::source::tree_contents;
use crate::state::{BlobStore, Roots, apply};
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
        let new = host.manifest(layer.base())?;
        let mut contents = tree_contents(target.path(), &new);
        let (_, plan) = host.plan_state(from, source.path(), &new, &mut contents, self.reporter)?;
        if plan.blocked {
            let blocks: Vec<String> = plan.blocking().map(ToString::to_string).collect();
            return Err(Error::new(ErrorKind::Refused, format!("carry the state of {from}"), blocks.join("; "))
                .mend("decide these paths in the running layer, then update again"));
        }
        let json = serde_json::to_vec(&plan).expect("state plans always serialise");
        host.records.put_decisions(&self.file.journal.plan.id, &json)?;
        let old_base = host.mount_base(from.base())?;
        let roots = Roots { frozen: source.path(), layer: target.path(), base: old_base.as_ref().map(Mounted::path) };
        let stats = apply(&plan, roots, &BlobStore::new(&host.records.blobs()))?;
        target.finish()?;
        source.finish()?;
        self.findings.extend(plan.findings());
        Ok(stats.to_string())
    }

    fn recreate_layer(&mut self, wanted: &LayerName) -> Result<()> {
        let create = self.plan().steps.iter().find(|s| matches!(s, Step::CreateLayer { layer, .. } if layer == wanted));
        match create.cloned() {
            Some(create) => self.apply(&create, Attempt::Redo).map(|_| ()),
            None => Err(Error::damaged(format!("merge into {wanted}"), "the plan does not create it")),
        }
    }
}
