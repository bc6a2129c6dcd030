//! Planning a change of paths in a layer that is here already.

use super::room::{self, Need};
use super::{Plan, Purpose, Refusal, Seed, Step};
use crate::inventory::{Inventory, Role};
use crate::state::EditPlan;

/// One step; what it does is in `edits`, recorded under the plan's id.
pub fn edit(inventory: &Inventory, edits: &EditPlan, seed: Seed) -> Result<Plan, Refusal> {
    inventory.no_open_plan()?;
    let layer = &edits.layer;
    if inventory.ready(&layer.volume()).is_none_or(|volume| volume.role != Role::Layer) {
        return Err(super::update::missing(inventory, &layer.volume()));
    }
    room::check(need(edits), inventory.room)?;
    Ok(seed.plan(Purpose::EditState, None, vec![Step::EditState { layer: layer.clone() }]))
}

/// What edits use at worst.
pub(super) fn need(edits: &EditPlan) -> Need {
    let bytes = |entry: &Option<crate::manifest::Entry>| entry.as_ref().map_or(0, |e| e.kind.content_bytes());
    Need {
        pool_bytes: edits.edits.iter().map(|edit| bytes(&edit.after)).sum(),
        records_bytes: edits.edits.iter().flat_map(|edit| edit.contents()).map(|(_, size)| size).sum(),
        boot_bytes: 0,
    }
}
