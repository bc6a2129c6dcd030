//! Planning removals: one layer, one base, or everything that no rule keeps.
//!
//! Order of safety: a boot entry goes before its layer, a layer before its base, kernels last. What is booted,
//! default, armed, last good or pinned is never removed, whoever asks; the one to go back to only where that is said.

use std::slice;

use super::{Plan, Purpose, Refusal, Seed, Step};
use crate::inventory::{Inventory, Role};
use crate::name::{ImageId, LayerName};

/// Whether a host may be left without a layer to go back to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WayBack {
    /// It stays.
    Keep,
    /// The admin does without.
    GiveUp,
}

/// Removes one layer.
pub fn layer(inventory: &Inventory, layer: &LayerName, way_back: WayBack, seed: Seed) -> Result<Plan, Refusal> {
    inventory.no_open_plan()?;
    if inventory.ready(&layer.volume()).is_none_or(|volume| volume.role != Role::Layer) {
        return Err(super::update::missing(inventory, &layer.volume()));
    }
    if let Some(reason) = inventory.needs(layer) {
        return Err(Refusal::new(
            format!("{layer} is {reason}"),
            "'thinroot status' shows why each layer is kept; boot, arm or unpin another one first",
        ));
    }
    if let (WayBack::Keep, Some(reason)) = (way_back, inventory.keeps(layer)) {
        return Err(Refusal::new(
            format!("{layer} is {reason}"),
            format!("to do without: thinroot layer remove --no-way-back {layer}"),
        ));
    }
    Ok(plan(seed, slice::from_ref(layer), &[]))
}

/// Removes one base that no layer needs.
pub fn base(inventory: &Inventory, base: &ImageId, seed: Seed) -> Result<Plan, Refusal> {
    inventory.no_open_plan()?;
    if inventory.ready(&base.volume()).is_none_or(|volume| volume.role != Role::Base) {
        return Err(super::update::missing(inventory, &base.volume()));
    }
    let layers: Vec<String> = inventory.layers_of(base).map(|layer| layer.to_string()).collect();
    if !layers.is_empty() {
        return Err(Refusal::new(
            format!("{base} is the base of {}", layers.join(", ")),
            format!("remove these first: thinroot layer remove {}", layers.join(" ")),
        ));
    }
    if inventory.pinned.contains(&base.volume()) {
        return Err(Refusal::new(format!("{base} is pinned"), format!("thinroot layer pin --remove {base}")));
    }
    Ok(plan(seed, &[], slice::from_ref(base)))
}

/// Removes every layer beyond the newest `keep` that nothing else keeps, and bases left without a layer.
/// None where there is nothing to remove.
pub fn prune(inventory: &Inventory, keep: usize, seed: Seed) -> Result<Option<Plan>, Refusal> {
    inventory.no_open_plan()?;
    let verdict = inventory.retention(keep);
    let gone: Vec<LayerName> = verdict.removable_layers().into_iter().cloned().collect();
    let mut bases: Vec<ImageId> = verdict.removable_bases().into_iter().cloned().collect();
    // A base that was added but has no layer yet is what the next update builds on: only older ones are garbage.
    let newest_used = verdict.layers.keys().map(|layer| layer.base().clone()).max();
    bases.retain(|base| newest_used.as_ref().is_some_and(|newest| base < newest));
    Ok((!gone.is_empty() || !bases.is_empty()).then(|| plan(seed, &gone, &bases)))
}

fn plan(seed: Seed, layers: &[LayerName], bases: &[ImageId]) -> Plan {
    let mut steps = Vec::new();
    for layer in layers {
        steps.push(Step::RemoveEntry { layer: layer.clone() });
        steps.push(Step::RemoveLayer { layer: layer.clone() });
    }
    steps.extend(bases.iter().map(|base| Step::RemoveBase { base: base.clone() }));
    steps.push(Step::SweepBoot);
    seed.plan(Purpose::Retire, None, steps)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::Selection;
    use crate::inventory::tests::inventory;

    const SEED: Seed = Seed { now_sec: 1_800_000_000, salt: 7 };

    /// Default and last good is 3, the one before is 2, nothing needs 1.
    fn world() -> Inventory {
        let names = ["node-1-0", "node-1-0+1", "node-2-0", "node-2-0+1", "node-3-0", "node-3-0+1"];
        let mut inventory = inventory(&names);
        let (second, third) = ("node-2-0+1".parse().unwrap(), "node-3-0+1".parse().unwrap());
        let selection = Selection::default().adopt(&second).unwrap().bless(&second).unwrap();
        inventory.selection = selection.arm(&third, 3).unwrap().bless(&third).unwrap();
        inventory
    }

    fn steps(inventory: &Inventory, keep: usize) -> Vec<String> {
        let plan = prune(inventory, keep, SEED).unwrap();
        plan.map(|plan| plan.steps.iter().map(ToString::to_string).collect()).unwrap_or_default()
    }

    #[test]
    fn prune_removes_entry_then_layer_then_base_then_kernels() {
        assert_eq!(
            steps(&world(), 2),
            [
                "remove the boot entry of node-1-0+1",
                "remove layer node-1-0+1",
                "remove base node-1-0",
                "remove kernels that no boot entry names",
            ]
        );
        assert_eq!(steps(&world(), 3), [""; 0]);
    }

    #[test]
    fn what_is_needed_is_never_removed() {
        // keep = 0: only booted, default, armed, last good and pinned protect.
        let mut inventory = world();
        inventory.booted = Some("node-1-0+1".parse().unwrap());
        assert_eq!(steps(&inventory, 0), [""; 0]);
        inventory.booted = None;
        inventory.pinned.insert("node-1-0+1".parse().unwrap());
        assert_eq!(steps(&inventory, 0), [""; 0]);
        inventory.pinned = ["node-1-0".parse().unwrap()].into();
        assert_eq!(steps(&inventory, 0).len(), 3);
        let refused = layer(&inventory, &"node-3-0+1".parse().unwrap(), WayBack::GiveUp, SEED).unwrap_err();
        assert!(refused.why.contains("the default"), "{}", refused.why);
        assert!(base(&inventory, &"node-1-0".parse().unwrap(), SEED).unwrap_err().why.contains("base of node-1-0+1"));
    }
    #[test]
    fn the_way_back_goes_only_where_that_is_said() {
        let second: LayerName = "node-2-0+1".parse().unwrap();
        let refused = layer(&world(), &second, WayBack::Keep, SEED).unwrap_err();
        assert_eq!(refused.why, "node-2-0+1 is the one to go back to");
        assert_eq!(refused.mend, "to do without: thinroot layer remove --no-way-back node-2-0+1");
        assert_eq!(layer(&world(), &second, WayBack::GiveUp, SEED).unwrap().steps.len(), 3);
        let mut pinned = world();
        pinned.pinned.insert(second.volume());
        assert!(layer(&pinned, &second, WayBack::GiveUp, SEED).unwrap_err().why.contains("pinned"));
    }
}
