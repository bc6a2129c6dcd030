//! What each step does and how it is undone: the table of contents of every effect.

use thinroot_core::plan::Step;

use super::{Attempt, Execution};
use crate::error::Result;

impl Execution<'_> {
    /// Carries a step out; says in words what came of it.
    pub(super) fn apply(&mut self, step: &Step, attempt: Attempt) -> Result<String> {
        match step {
            Step::CreateBase { base, ancestor, fs, size_bytes } => {
                self.create_base(base, ancestor.as_ref(), *fs, *size_bytes, attempt)
            }
            Step::WriteBase { base, ancestor } => self.write_base(base, ancestor.as_ref(), attempt),
            Step::SealBase { base } => self.seal_base(base),
            Step::CreateLayer { layer, origin } => self.create_layer(layer, origin, attempt),
            Step::FreezeState { layer, frozen } => self.freeze_state(layer, frozen, attempt),
            Step::MergeState { from, frozen, layer } => self.merge_state(from, frozen, layer, attempt),
            Step::Suspend { layer, .. } => self.suspend(layer),
            Step::EditState { layer } => self.edit_state(layer),
            Step::CheckState { layer } => self.check_state(layer),
            Step::PublishLayer { layer } => self.publish_layer(layer),
            Step::WriteEntry { layer, kernel } => self.write_entry(layer, kernel),
            Step::Arm { layer, tries } => self.arm(layer, *tries),
            Step::SetDefault { layer } => self.set_default(layer),
            Step::Disarm { layer } => self.disarm(layer),
            Step::DropFrozen { frozen } => self.drop_frozen(frozen),
            Step::RemoveEntry { layer } => self.remove_entry(layer),
            Step::RemoveLayer { layer } => self.remove_layer(layer),
            Step::RemoveBase { base } => self.remove_base(base),
            Step::SweepBoot => self.sweep_boot(),
            Step::TakeBase { base, origin } => self.take_base(base, origin, attempt),
            Step::RestoreBase { base } => self.restore_base(base, attempt),
            Step::AdoptLayer { layer, volume } => self.adopt_layer(layer, volume),
            Step::TakeLoader { loader } => self.take_loader(*loader),
            Step::ReleaseLoader { loader } => self.release_loader(*loader),
            Step::LetGoLayer { layer } => self.let_go_layer(layer),
        }
    }

    /// Leaves nothing of a step, whether it was begun, half done or complete.
    pub(super) fn undo(&mut self, step: &Step) -> Result<()> {
        match step {
            Step::CreateBase { base, .. } | Step::TakeBase { base, .. } => self.discard(&base.volume()),
            Step::WriteBase { base, .. } | Step::RestoreBase { base } => self.host.records.forget_base(base),
            Step::SealBase { base } => self.withdraw(&base.volume()),
            Step::CreateLayer { layer, .. } => self.discard(&layer.volume()),
            Step::FreezeState { frozen, .. } => {
                self.withdraw(frozen)?;
                self.discard(frozen)
            }
            Step::MergeState { .. } => self.host.records.forget_decisions(&self.plan().id.clone()),
            Step::Suspend { layer, tries } => self.undo_suspend(layer, *tries),
            Step::EditState { layer } => self.undo_edit(layer),
            // It only looked.
            Step::CheckState { .. } => Ok(()),
            Step::PublishLayer { layer } => self.withdraw(&layer.volume()),
            Step::WriteEntry { layer, .. } => self.undo_entry(layer),
            Step::AdoptLayer { layer, .. } => self.let_go_layer(layer).map(drop),
            Step::TakeLoader { loader } => self.release_loader(*loader).map(drop),
            // The plan is past its commit point from here on; the executor never asks.
            Step::Arm { .. } | Step::SetDefault { .. } | Step::DropFrozen { .. } | Step::RemoveEntry { .. } => Ok(()),
            Step::Disarm { .. } | Step::RemoveLayer { .. } | Step::RemoveBase { .. } | Step::SweepBoot => Ok(()),
            Step::ReleaseLoader { .. } | Step::LetGoLayer { .. } => Ok(()),
        }
    }
}
