//! Going back with what was changed since: looked at beforehand, and carried out.

use thinroot_core::name::LayerName;
use thinroot_core::plan::rollback::{self, Return};
use thinroot_core::plan::{Need, Plan};
use thinroot_core::state::StatePlan;

use super::{Change, Host};
use crate::error::Result;
use crate::execute::{self, Report};
use crate::progress::{Event, Reporter};

/// What a new layer costs in the pool besides the contents that go into it: inode tables, directories and journal.
const LAYER_BYTES: u64 = 8 << 20;

/// Everything that going back with the later changes would do.
#[derive(Debug)]
pub struct BackPreview {
    /// Between which layers.
    pub between: Return,
    /// The steps.
    pub plan: Plan,
    /// What becomes of each later change.
    pub state: StatePlan,
    /// What it will use at worst.
    pub need: Need,
}

impl Host {
    /// Plans to go back to a copy of `to` that has what was changed in `from` since. Writes nothing.
    pub fn plan_back(
        &self,
        from: Option<&LayerName>,
        to: Option<&LayerName>,
        reporter: &dyn Reporter,
    ) -> Result<BackPreview> {
        let refused = |refusal| self.refuse("go back with what was changed since", refusal);
        let inventory = self.inventory()?;
        let between = rollback::back(&inventory, from, to).map_err(refused)?;
        let text = format!("compare {} with {}", between.from, between.to);
        reporter.event(Event::Begin { step: 0, text });
        let state = self.state_back(&between, reporter)?;
        reporter.event(Event::End { step: 0, text: String::new() });
        let base = between.to.base();
        let need = Need {
            pool_bytes: state.carried_bytes() + LAYER_BYTES,
            boot_bytes: self.boot_need(base)?,
            records_bytes: state.kept_bytes(),
        };
        let kernel = self.newest_kernel(base)?;
        let plan = rollback::carry_back(&inventory, &between, &kernel, need, self.seed()?).map_err(refused)?;
        Ok(BackPreview { between, plan, state, need })
    }

    fn state_back(&self, between: &Return, reporter: &dyn Reporter) -> Result<StatePlan> {
        let source = self.look_into(&between.from)?;
        let target = self.look_into(&between.to)?;
        let returned = self.plan_return(&between.from, source.path(), &between.to, target.path(), reporter)?;
        target.finish()?;
        source.finish()?;
        Ok(returned.state)
    }
}

impl Change<'_> {
    /// Carries out what [`Host::plan_back`] showed. It was planned without the lock, so the world is looked at again.
    pub fn back(&self, plan: Plan, reporter: &dyn Reporter) -> Result<Report> {
        self.still_true(&plan)?;
        execute::execute(self.host(), plan, None, reporter)
    }
}
