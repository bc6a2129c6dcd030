//! Planning the adoption of a host, and its undoing.
//!
//! Until the loader follows, everything boots as before by the entries that were there; so the whole of an adoption can be
//! undone up to its last step. Undoing it later begins with the loader, for the same reason.

use super::room::{self, Need};
use super::{Plan, Purpose, Refusal, Seed, Step};
use crate::adopt::Adoption;
use crate::install::Loader;
use crate::inventory::{Inventory, Role};
use crate::name::{ImageId, LayerName};

/// Bases, layers, entries, loader, default.
pub fn adopt(inventory: &Inventory, adoption: &Adoption, need: Need, seed: Seed) -> Result<Plan, Refusal> {
    inventory.no_open_plan()?;
    if let Some(volume) = inventory.bases().chain(inventory.layers()).next() {
        return Err(Refusal::new(
            format!("this store is in use already: it has {}", volume.name),
            "'thinroot status' shows what there is; 'thinroot update IMAGE' goes on from it",
        ));
    }
    room::check(need, inventory.room)?;
    let mut steps = Vec::new();
    for adopted in &adoption.layers {
        let base = adopted.layer.base().clone();
        if !steps.iter().any(|step| matches!(step, Step::TakeBase { base: taken, .. } if *taken == base)) {
            steps.extend([
                Step::TakeBase { base: base.clone(), origin: adopted.origin.clone() },
                Step::RestoreBase { base: base.clone() },
                Step::SealBase { base },
            ]);
        }
        let layer = adopted.layer.clone();
        steps.extend([
            Step::AdoptLayer { layer: layer.clone(), volume: adopted.volume.clone() },
            Step::WriteEntry { layer, kernel: adopted.kernel.version.clone() },
        ]);
    }
    let Some(running) = adoption.layers.last() else {
        return Err(Refusal::new("there is nothing to adopt", "name the volume of the root"));
    };
    steps.push(Step::TakeLoader { loader: adoption.loader });
    steps.push(Step::SetDefault { layer: running.layer.clone() });
    Ok(seed.plan(Purpose::Adopt, None, steps))
}

/// Everything back as it was. Refused where anything came after: what only thinroot can boot would be lost.
pub fn let_go(inventory: &Inventory, adoption: &Adoption, seed: Seed) -> Result<Plan, Refusal> {
    inventory.no_open_plan()?;
    let adopted: Vec<&LayerName> = adoption.layers.iter().map(|adopted| &adopted.layer).collect();
    let other = inventory.layers().find(|volume| !adopted.iter().any(|layer| layer.volume() == volume.name));
    if let Some(volume) = other {
        let back = adopted.last().map(ToString::to_string).unwrap_or_default();
        return Err(Refusal::new(
            format!("{} was made since, and nothing else could boot it", volume.name),
            format!(
                "go back first ('thinroot rollback --to {back}', then restart), and remove the others: \
                 thinroot layer remove --no-way-back {}",
                volume.name
            ),
        ));
    }
    if let Some(volume) = inventory.volumes.iter().find(|volume| volume.role == Role::Shared) {
        let why = format!("{} is a volume that thinroot made and that the host may use", volume.name);
        return Err(Refusal::new(why, "move what it holds, and remove it"));
    }
    let here = |layer: &&&LayerName| inventory.ready(&layer.volume()).is_some();
    let layers: Vec<&LayerName> = adopted.iter().filter(here).copied().collect();
    let mut bases: Vec<ImageId> = inventory.bases().filter_map(|volume| volume.name.as_str().parse().ok()).collect();
    bases.sort();
    Ok(seed.plan(Purpose::LetGo, None, going(adoption.loader, &layers, bases)))
}

fn going(loader: Loader, layers: &[&LayerName], bases: Vec<ImageId>) -> Vec<Step> {
    let mut steps = vec![Step::ReleaseLoader { loader }];
    steps.extend(layers.iter().map(|layer| Step::RemoveEntry { layer: (*layer).clone() }));
    steps.extend(layers.iter().map(|layer| Step::LetGoLayer { layer: (*layer).clone() }));
    steps.extend(bases.into_iter().map(|base| Step::RemoveBase { base }));
    steps.push(Step::SweepBoot);
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adopt::{Adopted, Before, HostKernel};
    use crate::inventory::tests::inventory;

    const SEED: Seed = Seed { now_sec: 1, salt: 2 };

    fn adoption(layers: &[(&str, &str, &str)]) -> Adoption {
        let kernel = HostKernel { version: "6.1".into(), image: "vmlinuz-6.1".into(), initrd: "initrd.img-6.1".into() };
        let adopted = |(layer, volume, origin): &(&str, &str, &str)| Adopted {
            layer: layer.parse().unwrap(),
            volume: (*volume).into(),
            origin: (*origin).into(),
            kernel: kernel.clone(),
        };
        Adoption {
            layers: layers.iter().map(adopted).collect(),
            loader: Loader::Grub,
            boot_dir: "/boot".into(),
            packages: vec![],
            fetch: false,
            before: Before::default(),
        }
    }

    #[test]
    fn the_root_becomes_a_layer_where_it_is() {
        let plan =
            adopt(&inventory(&[]), &adoption(&[("debian-12-0+1", "root", "root")]), Need::default(), SEED).unwrap();
        let shown = plan.to_string();
        let lines: Vec<&str> =
            shown.lines().map(|line| line.trim_start_matches([' ', '.', '1', '2', '3', '4', '5', '6', '7'])).collect();
        assert_eq!(
            lines,
            [
                "take base debian-12-0 as a snapshot of root",
                "put back in base debian-12-0 what its packages shipped, and take the host's own out of it",
                "seal base debian-12-0",
                "adopt root as layer debian-12-0+1, where it is",
                "write the boot entry of debian-12-0+1 with kernel 6.1",
                "let GRUB follow thinroot",
                "make debian-12-0+1 the default  <- from here on it only goes forward",
            ]
        );
        assert_eq!(plan.commit(), 6);
    }

    #[test]
    fn layers_of_one_image_share_its_base() {
        let layers =
            [("n-1-0+1", "n-1-0+1", "n-1-0"), ("n-1-0+2", "n-1-0+2", "n-1-0"), ("n-2-0+1", "n-2-0+1", "n-2-0")];
        let plan = adopt(&inventory(&[]), &adoption(&layers), Need::default(), SEED).unwrap();
        let taken = plan.steps.iter().filter(|step| matches!(step, Step::TakeBase { .. })).count();
        assert_eq!(taken, 2);
        assert_eq!(plan.steps.last().unwrap().to_string(), "make n-2-0+1 the default");
    }

    #[test]
    fn a_store_that_is_used_is_not_adopted_into() {
        let refusal =
            adopt(&inventory(&["n-1-0", "n-1-0+1"]), &adoption(&[("n-2-0+1", "root", "root")]), Need::default(), SEED);
        assert!(refusal.unwrap_err().why.contains("n-1-0"));
    }

    #[test]
    fn undoing_begins_with_the_loader_and_is_refused_after_an_update() {
        let adoption = adoption(&[("n-1-0+1", "root", "root")]);
        let plan = let_go(&inventory(&["n-1-0", "n-1-0+1"]), &adoption, SEED).unwrap();
        assert_eq!(plan.steps[0], Step::ReleaseLoader { loader: Loader::Grub });
        assert_eq!(plan.commit(), 0);
        assert!(plan.steps.contains(&Step::LetGoLayer { layer: "n-1-0+1".parse().unwrap() }));
        let later = let_go(&inventory(&["n-1-0", "n-1-0+1", "n-2-0", "n-2-0+1"]), &adoption, SEED).unwrap_err();
        assert!(later.why.contains("n-2-0+1") && later.mend.contains("n-1-0+1"), "{later:?}");
    }
}
