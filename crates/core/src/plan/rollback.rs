//! Planning to boot another layer that is here already.

use super::{Plan, Purpose, Refusal, Seed, Step};
use crate::inventory::Inventory;
use crate::name::LayerName;
use crate::plan::update::TRIES;

/// Arms `to`; without it the layer to go back to: the last good one that is neither booted nor what boots next.
pub fn rollback(inventory: &Inventory, to: Option<&LayerName>, seed: Seed) -> Result<Plan, Refusal> {
    inventory.no_open_plan()?;
    let target = match to {
        Some(layer) => layer.clone(),
        None => previous(inventory)?,
    };
    if inventory.ready(&target.volume()).is_none() {
        return Err(super::update::missing(inventory, &target.volume()));
    }
    if !inventory.entries.contains(&target) {
        return Err(Refusal::new(
            format!("{target} has no boot entry"),
            format!("make a bootable copy of it: thinroot layer fork {target}"),
        ));
    }
    let step = if inventory.selection.default_layer() == Some(&target) {
        Step::Disarm { layer: target }
    } else {
        Step::Arm { layer: target, tries: TRIES }
    };
    Ok(seed.plan(Purpose::Rollback, None, vec![step]))
}

fn previous(inventory: &Inventory) -> Result<LayerName, Refusal> {
    let selection = &inventory.selection;
    let current = match (selection.armed(), &inventory.booted) {
        (Some(armed), _) => Some(&armed.layer),
        (None, Some(booted)) => Some(booted),
        (None, None) => selection.default_layer(),
    };
    let bootable = |layer: &&LayerName| {
        inventory.entries.contains(layer) && inventory.ready(&layer.volume()).is_some() && Some(*layer) != current
    };
    let known_good = selection.good().iter().chain(selection.default_layer()).find(bootable);
    match known_good {
        Some(layer) => Ok(layer.clone()),
        None => Err(Refusal::new(
            "there is no other layer known to be good",
            "name one with --to LAYER; 'thinroot status' lists them",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::tests::inventory;

    const SEED: Seed = Seed { now_sec: 1_800_000_000, salt: 7 };

    fn target(inventory: &Inventory, to: Option<&str>) -> Result<String, Refusal> {
        let to = to.map(|text| text.parse().unwrap());
        rollback(inventory, to.as_ref(), SEED).map(|plan| plan.steps[0].to_string())
    }

    #[test]
    fn goes_back_to_what_was_good() {
        let mut inventory = inventory(&["node-1-0", "node-1-0+1", "node-2-0", "node-2-0+1"]);
        let new = "node-2-0+1".parse().unwrap();
        inventory.selection = inventory.selection.arm(&new, 3).unwrap();
        assert_eq!(target(&inventory, None).unwrap(), "boot the default node-1-0+1 next, whatever was armed");
        // After the new layer was blessed, the old default is in the list of good ones.
        inventory.selection = inventory.selection.bless(&new).unwrap();
        assert_eq!(target(&inventory, None).unwrap(), "arm node-1-0+1 for the next boot, 3 tries");
        inventory.booted = Some("node-1-0+1".parse().unwrap());
        assert_eq!(target(&inventory, None).unwrap(), "arm node-2-0+1 for the next boot, 3 tries");
    }

    #[test]
    fn refuses_what_cannot_boot() {
        let mut inventory = inventory(&["node-1-0", "node-1-0+1"]);
        assert!(target(&inventory, None).unwrap_err().why.contains("no other layer"));
        assert!(target(&inventory, Some("node-9-0+1")).unwrap_err().why.contains("no node-9-0+1"));
        inventory.entries.clear();
        assert!(target(&inventory, Some("node-1-0+1")).unwrap_err().mend.contains("layer fork"));
    }
}
