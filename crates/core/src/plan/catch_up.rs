//! Planning to take along what was changed after an update was staged.

use super::edit::need;
use super::room;
use super::{Plan, Purpose, Refusal, Seed, Step};
use crate::inventory::Inventory;
use crate::state::EditPlan;

/// The edits of a staged layer, which its image's checkers are asked about where there are any. One that is armed is not
/// meanwhile: whatever happens, the old layer boots, or the new one with all of them.
pub fn catch_up(inventory: &Inventory, edits: &EditPlan, checked: bool, seed: Seed) -> Result<Plan, Refusal> {
    inventory.no_open_plan()?;
    let layer = &edits.layer;
    room::check(need(edits), inventory.room)?;
    let armed = inventory.selection.armed().filter(|armed| armed.layer == *layer).map(|armed| armed.tries_left);
    let mut steps = Vec::new();
    steps.extend(armed.map(|tries| Step::Suspend { layer: layer.clone(), tries }));
    steps.push(Step::EditState { layer: layer.clone() });
    steps.extend(checked.then(|| Step::CheckState { layer: layer.clone() }));
    steps.extend(armed.map(|tries| Step::Arm { layer: layer.clone(), tries }));
    Ok(seed.plan(Purpose::CatchUp, None, steps))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::tests::inventory;

    #[test]
    fn an_armed_layer_is_not_while_it_is_edited() {
        let mut inventory = inventory(&["node-1-0", "node-1-0+1", "node-2-0", "node-2-0+1"]);
        let layer: crate::name::LayerName = "node-2-0+1".parse().unwrap();
        let edits = EditPlan { layer: layer.clone(), edits: Vec::new() };
        let seed = Seed { now_sec: 1_800_000_000, salt: 7 };
        let steps = |inventory: &Inventory, checked| -> Vec<String> {
            catch_up(inventory, &edits, checked, seed).unwrap().steps.iter().map(ToString::to_string).collect()
        };
        assert_eq!(steps(&inventory, false), ["change paths of node-2-0+1 as decided"]);
        inventory.selection = inventory.selection.arm(&layer, 3).unwrap();
        assert_eq!(
            steps(&inventory, true),
            [
                "let the default boot while node-2-0+1 is changed",
                "change paths of node-2-0+1 as decided",
                "ask the checks of its image about node-2-0+1",
                "arm node-2-0+1 for the next boot, 3 tries",
            ]
        );
        assert_eq!(catch_up(&inventory, &edits, false, seed).unwrap().commit(), 2);
    }
}
