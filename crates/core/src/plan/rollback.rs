//! Planning to boot another layer that is here already, as it is or with what was changed since it was left.

use super::room::{self, Need};
use super::update::{TRIES, missing};
use super::{Plan, Purpose, Refusal, Seed, Step};
use crate::inventory::{Inventory, Role};
use crate::name::LayerName;

/// A way back that takes the later changes along.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Return {
    /// Whose later changes.
    pub from: LayerName,
    /// The layer to go back to. It stays as it is: the changes go into a copy.
    pub to: LayerName,
}

/// Arms `to`; without it the layer to go back to: the last good one that is neither booted nor what boots next.
pub fn rollback(inventory: &Inventory, to: Option<&LayerName>, seed: Seed) -> Result<Plan, Refusal> {
    inventory.no_open_plan()?;
    let target = match to {
        Some(layer) => layer.clone(),
        None => previous(inventory)?,
    };
    if inventory.ready(&target.volume()).is_none() {
        return Err(missing(inventory, &target.volume()));
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

/// Between which layers later changes are taken back: from the named one, else from what runs or would run; to the named
/// one, else to the layer that [`rollback`] goes back to.
pub fn back(inventory: &Inventory, from: Option<&LayerName>, to: Option<&LayerName>) -> Result<Return, Refusal> {
    inventory.no_open_plan()?;
    let selection = &inventory.selection;
    let armed = selection.armed().map(|armed| &armed.layer);
    let Some(from) = from.or(inventory.booted.as_ref()).or(armed).or(selection.default_layer()).cloned() else {
        return Err(Refusal::new("there is no layer whose changes could be taken back", "name one with --from LAYER"));
    };
    let to = match to {
        Some(layer) => layer.clone(),
        None => previous(inventory)?,
    };
    for layer in [&from, &to] {
        if inventory.ready(&layer.volume()).is_none_or(|volume| volume.role != Role::Layer) {
            return Err(missing(inventory, &layer.volume()));
        }
    }
    if from == to {
        return Err(Refusal::new(
            format!("{to} is the layer that the changes are in already"),
            "go back without --carry-state, or name two layers with --from and --to",
        ));
    }
    if from.base().name() != to.base().name() {
        return Err(Refusal::new(
            format!("{from} and {to} are layers of different products"),
            "go back without --carry-state",
        ));
    }
    Ok(Return { from, to })
}

/// A copy of the layer to go back to, the later changes, entry, arm. `kernel` is the newest kernel of its base.
pub fn carry_back(
    inventory: &Inventory,
    wanted: &Return,
    kernel: &str,
    need: Need,
    seed: Seed,
) -> Result<Plan, Refusal> {
    let Return { from, to } = back(inventory, Some(&wanted.from), Some(&wanted.to))?;
    room::check(need, inventory.room)?;
    let layer = inventory.next_layer(to.base());
    let frozen = seed.frozen_name();
    let steps = vec![
        Step::CreateLayer { layer: layer.clone(), origin: to.volume() },
        Step::FreezeState { layer: from.clone(), frozen: frozen.clone() },
        Step::MergeState { from, frozen: frozen.clone(), layer: layer.clone() },
        Step::PublishLayer { layer: layer.clone() },
        Step::WriteEntry { layer: layer.clone(), kernel: kernel.into() },
        Step::Arm { layer, tries: TRIES },
        Step::DropFrozen { frozen },
    ];
    Ok(seed.plan(Purpose::Rollback, None, steps))
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
        assert_eq!(target(&inventory, None).unwrap(), "boot the default node-2-0+1 next, whatever was armed");
    }

    #[test]
    fn refuses_what_cannot_boot() {
        let mut inventory = inventory(&["node-1-0", "node-1-0+1"]);
        assert!(target(&inventory, None).unwrap_err().why.contains("no other layer"));
        assert!(target(&inventory, Some("node-9-0+1")).unwrap_err().why.contains("no node-9-0+1"));
        inventory.entries.clear();
        assert!(target(&inventory, Some("node-1-0+1")).unwrap_err().mend.contains("layer fork"));
    }

    #[test]
    fn changes_go_back_into_a_copy() {
        let mut inventory = inventory(&["node-1-0", "node-1-0+1", "node-2-0", "node-2-0+1"]);
        let new: LayerName = "node-2-0+1".parse().unwrap();
        inventory.selection = inventory.selection.arm(&new, 3).unwrap().bless(&new).unwrap();
        inventory.booted = Some(new);
        let wanted = back(&inventory, None, None).unwrap();
        let plan = carry_back(&inventory, &wanted, "6.1", Need::default(), SEED).unwrap();
        let steps: Vec<String> = plan.steps.iter().map(ToString::to_string).collect();
        assert_eq!(
            steps,
            [
                "create layer node-1-0+2 as a snapshot of node-1-0+1",
                "freeze layer node-2-0+1 as frozen.1800000000.0007",
                "carry the state of node-2-0+1 into node-1-0+2",
                "publish layer node-1-0+2",
                "write the boot entry of node-1-0+2 with kernel 6.1",
                "arm node-1-0+2 for the next boot, 3 tries",
                "remove the frozen snapshot frozen.1800000000.0007",
            ]
        );
        let to = "node-2-0+1".parse().unwrap();
        assert!(back(&inventory, None, Some(&to)).unwrap_err().why.contains("already"));
        let to = "node-9-0+1".parse().unwrap();
        assert!(back(&inventory, None, Some(&to)).unwrap_err().why.contains("no node-9-0+1"));
    }
}
