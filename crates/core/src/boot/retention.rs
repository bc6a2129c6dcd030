//! What may be pruned, and why the rest stays.
//!
//! A pure function of what is there, what boots and what was pinned; `prune` carries it out and `status` shows the reasons.
//!
//! Must stay true (property-tested): a layer that is booted, default, armed, last good or pinned is never removable; nor
//! is the layer to go back to; a base is removable only when no layer of it stays and it is not pinned; while it is
//! unknown what is booted, nothing is removable.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::boot::selection::Selection;
use crate::name::{ImageId, LayerName};

/// What runs on this host, as far as this store is concerned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Booted {
    /// This layer.
    Layer(LayerName),
    /// Nothing of this store: a directory store, or a rescue system.
    Elsewhere,
    /// It could not be found out.
    Unknown,
}

/// Why something stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum KeepReason {
    /// It is running.
    Booted,
    /// It boots next, or is the fallback of what boots next.
    Default,
    /// It has the next boots.
    Armed,
    /// The last one that was blessed.
    LastGood,
    /// The last one that was blessed before the default: what a rollback goes to.
    Previous,
    /// An admin said so.
    Pinned,
    /// Among the newest of its image's name.
    Recent,
    /// A layer of this base stays.
    HasLayer,
    /// Nobody knows what is booted, so everything stays.
    BootedUnknown,
}

impl KeepReason {
    /// As it reads behind "it is".
    pub fn as_str(&self) -> &'static str {
        match self {
            KeepReason::Booted => "booted",
            KeepReason::Default => "the default",
            KeepReason::Armed => "armed",
            KeepReason::LastGood => "the last one found good",
            KeepReason::Previous => "the one to go back to",
            KeepReason::Pinned => "pinned",
            KeepReason::Recent => "among the newest",
            KeepReason::HasLayer => "the base of a layer that stays",
            KeepReason::BootedUnknown => "perhaps booted",
        }
    }
}

/// What the decision depends on.
#[derive(Debug, Clone)]
pub struct Retention<'a> {
    /// All ready layers.
    pub layers: &'a [LayerName],
    /// All ready bases.
    pub bases: &'a [ImageId],
    /// What runs.
    pub booted: &'a Booted,
    /// What boots next, and what was good.
    pub selection: &'a Selection,
    /// Layers an admin wants kept.
    pub pinned_layers: &'a BTreeSet<LayerName>,
    /// Bases an admin wants kept.
    pub pinned_bases: &'a BTreeSet<ImageId>,
    /// How many of the newest layers stay for each image name. Layers that failed do not count and do not stay for this.
    pub keep: usize,
}

/// What stays for which reasons; without a reason it may be removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Each layer given.
    pub layers: BTreeMap<LayerName, BTreeSet<KeepReason>>,
    /// Each base given.
    pub bases: BTreeMap<ImageId, BTreeSet<KeepReason>>,
}

impl Verdict {
    /// Layers that may be removed, oldest first.
    pub fn removable_layers(&self) -> Vec<&LayerName> {
        self.layers.iter().filter(|(_, reasons)| reasons.is_empty()).map(|(layer, _)| layer).collect()
    }

    /// Bases that may be removed once those layers are gone, oldest first.
    pub fn removable_bases(&self) -> Vec<&ImageId> {
        self.bases.iter().filter(|(_, reasons)| reasons.is_empty()).map(|(base, _)| base).collect()
    }
}

/// Decides what may be pruned.
pub fn removable(given: &Retention<'_>) -> Verdict {
    let layers: BTreeMap<_, _> =
        given.layers.iter().map(|layer| (layer.clone(), layer_reasons(given, layer))).collect();
    let bases = given.bases.iter().map(|base| (base.clone(), base_reasons(given, &layers, base))).collect();
    Verdict { layers, bases }
}

fn layer_reasons(given: &Retention<'_>, layer: &LayerName) -> BTreeSet<KeepReason> {
    let selection = given.selection;
    let previous = selection.good().iter().find(|good| Some(*good) != selection.default_layer());
    [
        (*given.booted == Booted::Layer(layer.clone()), KeepReason::Booted),
        (*given.booted == Booted::Unknown, KeepReason::BootedUnknown),
        (selection.default_layer() == Some(layer), KeepReason::Default),
        (selection.armed().is_some_and(|armed| armed.layer == *layer), KeepReason::Armed),
        (selection.good().first() == Some(layer), KeepReason::LastGood),
        (previous == Some(layer), KeepReason::Previous),
        (given.pinned_layers.contains(layer), KeepReason::Pinned),
        (is_recent(given, layer), KeepReason::Recent),
    ]
    .into_iter()
    .filter_map(|(holds, reason)| holds.then_some(reason))
    .collect()
}

fn is_recent(given: &Retention<'_>, layer: &LayerName) -> bool {
    let failed = |layer: &LayerName| given.selection.failed().iter().any(|failure| failure.layer == *layer);
    let newer: BTreeSet<_> = given
        .layers
        .iter()
        .filter(|other| other.base().name() == layer.base().name() && *other > layer && !failed(other))
        .collect();
    !failed(layer) && newer.len() < given.keep
}

fn base_reasons(
    given: &Retention<'_>,
    layers: &BTreeMap<LayerName, BTreeSet<KeepReason>>,
    base: &ImageId,
) -> BTreeSet<KeepReason> {
    let of_this = |layer: &LayerName| layer.base() == base;
    let stays = layers.iter().any(|(layer, reasons)| of_this(layer) && !reasons.is_empty());
    // What boots counts also where its layer was not among those given: it is there, only not seen.
    let boots = given.selection.default_layer().is_some_and(of_this)
        || given.selection.armed().is_some_and(|armed| of_this(&armed.layer));
    let booted = matches!(given.booted, Booted::Layer(layer) if of_this(layer));
    [
        (stays || boots || booted, KeepReason::HasLayer),
        (given.pinned_bases.contains(base), KeepReason::Pinned),
        (*given.booted == Booted::Unknown, KeepReason::BootedUnknown),
    ]
    .into_iter()
    .filter_map(|(holds, reason)| holds.then_some(reason))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn layer(version: u32, number: u32) -> LayerName {
        format!("node-{version}-0+{number}").parse().unwrap()
    }

    fn base(version: u32) -> ImageId {
        layer(version, 1).base().clone()
    }

    #[test]
    fn reasons_are_as_documented() {
        let layers = [layer(1, 1), layer(2, 1), layer(3, 1), layer(4, 1), layer(5, 1), layer(6, 1), layer(6, 2)];
        let bases: Vec<_> = (0..=6).map(base).collect();
        let mut selection = Selection::default().adopt(&layer(2, 1)).unwrap();
        for n in [2, 3, 5] {
            selection = selection.arm(&layer(n, 1), 3).unwrap_or(selection).bless(&layer(n, 1)).unwrap();
        }
        let selection = selection.arm(&layer(6, 2), 3).unwrap().fail(&layer(6, 2), None, "x").unwrap();
        let selection = selection.arm(&layer(6, 1), 3).unwrap();
        let verdict = removable(&Retention {
            layers: &layers,
            bases: &bases,
            booted: &Booted::Layer(layer(5, 1)),
            selection: &selection,
            pinned_layers: &[layer(1, 1)].into(),
            pinned_bases: &[base(0)].into(),
            keep: 2,
        });
        use KeepReason::{Armed, Booted as Runs, Default, LastGood, Pinned, Previous, Recent};
        let reasons: Vec<_> = verdict.layers.values().map(|r| r.iter().copied().collect::<Vec<_>>()).collect();
        assert_eq!(
            reasons,
            [
                vec![Pinned],
                vec![],
                vec![Previous],
                vec![],
                vec![Runs, Default, LastGood, Recent],
                vec![Armed, Recent],
                vec![],
            ]
        );
        assert_eq!(verdict.removable_layers(), [&layer(2, 1), &layer(4, 1), &layer(6, 2)]);
        assert_eq!(verdict.removable_bases(), [&base(2), &base(4)]);
        assert_eq!(verdict.bases[&base(0)], [Pinned].into());
    }

    fn any_layer() -> impl Strategy<Value = LayerName> {
        (1u32..5, 1u32..4).prop_map(|(version, number)| layer(version, number))
    }

    proptest! {
        #[test]
        fn what_is_needed_is_never_removable(
            layers in proptest::collection::btree_set(any_layer(), 0..10),
            booted in proptest::option::of(any_layer()), unknown in any::<bool>(),
            history in proptest::collection::vec((any_layer(), 0u8..3), 0..8),
            pinned_layers in proptest::collection::btree_set(any_layer(), 0..2),
            pinned_bases in proptest::collection::btree_set((1u32..5).prop_map(base), 0..2),
            keep in 0usize..4,
        ) {
            let mut selection = Selection::default();
            for (layer, what) in history {
                let next = match what {
                    0 => selection.adopt(&layer).or_else(|_| selection.arm(&layer, 3)),
                    1 => selection.bless(&layer),
                    _ => selection.fail(&layer, None, "x"),
                };
                selection = next.unwrap_or(selection);
            }
            let booted = booted.map_or(if unknown { Booted::Unknown } else { Booted::Elsewhere }, Booted::Layer);
            let layers: Vec<_> = layers.into_iter().collect();
            let bases: Vec<_> = (1..5).map(base).collect();
            let verdict = removable(&Retention {
                layers: &layers, bases: &bases, booted: &booted, selection: &selection,
                pinned_layers: &pinned_layers, pinned_bases: &pinned_bases, keep,
            });
            for gone in verdict.removable_layers() {
                prop_assert!(!selection.boots(gone));
                prop_assert!(booted != Booted::Layer(gone.clone()) && booted != Booted::Unknown);
                prop_assert!(selection.good().first() != Some(gone) && !pinned_layers.contains(gone));
                if layers.iter().filter(|l| *l > gone).count() < keep {
                    prop_assert!(selection.failed().iter().any(|f| f.layer == *gone));
                }
            }
            let kept: BTreeSet<_> = layers.iter().filter(|l| !verdict.layers[*l].is_empty()).map(LayerName::base).collect();
            for gone in verdict.removable_bases() {
                prop_assert!(!kept.contains(gone) && !pinned_bases.contains(gone) && booted != Booted::Unknown);
            }
            // And nothing stays without need: a base stays for a layer, a pin, what boots, or ignorance.
            for (id, reasons) in &verdict.bases {
                let boots = (1..4).any(|n| {
                    let layer = LayerName::new(id.clone(), n);
                    selection.boots(&layer) || booted == Booted::Layer(layer)
                });
                let needed = kept.contains(id) || pinned_bases.contains(id) || boots || booted == Booted::Unknown;
                prop_assert_eq!(!reasons.is_empty(), needed);
            }
        }
    }
}
