//! What must hold of every plan, over grown trees.

mod state_model;

use proptest::prelude::*;
use state_model::{accounts, apply, delta, plan_trees, tree_of};
use thinroot_core::manifest::Manifest;
use thinroot_core::path::TreePath;
use thinroot_core::state::policy::{Reach, Rule, Treatment};
use thinroot_core::state::{Change, Class, Origin, Policy, Side};

const NAMES: [&str; 12] = [
    "etc/a",
    "etc/b",
    "etc/d",
    "etc/d/a",
    "etc/d/b",
    "etc/d/e",
    "etc/d/e/a",
    "usr/bin/a",
    "usr/local/a",
    "etc/hostname",
    "opt",
    "opt/x/y",
];
const THINGS: [&str; 14] = [
    "f:1",
    "f:2",
    "f:3",
    "f:1,600",
    "f:2,ujoe",
    "f:1,xa",
    "f:3,xb,640",
    "l:a",
    "l:d/a",
    "d",
    "d,700",
    "d,gjoe",
    "p",
    "s",
];

fn grown() -> impl Strategy<Value = Manifest> {
    prop::collection::vec((0..NAMES.len(), 0..THINGS.len()), 0..10).prop_map(|genes| {
        let mut words: Vec<(&str, &str)> = Vec::new();
        for (name, thing) in genes {
            let (name, thing) = (NAMES[name], THINGS[thing]);
            let clash = |(other, is): &(&str, &str)| {
                *other == name
                    || (name.starts_with(&format!("{other}/")) && !is.starts_with('d'))
                    || (other.starts_with(&format!("{name}/")) && !thing.starts_with('d'))
            };
            if !words.iter().any(clash) {
                words.push((name, thing));
            }
        }
        let words: Vec<String> = words.iter().map(|(name, thing)| format!("{name}={thing}")).collect();
        tree_of(&format!("etc=d usr/bin=d usr/local=d {}", words.join(" ")), &accounts(&[(0, "root"), (7, "joe")]))
    })
}

fn everything_carried() -> Policy {
    let treatment = Treatment::State(Class::Carry);
    Policy::new(vec![Rule {
        path: TreePath::root(),
        reach: Reach::Tree,
        treatment,
        note: String::new(),
        origin: Default::default(),
    }])
}

/// The tree as a plan would leave it if nothing had to be done.
fn as_is(tree: &Manifest, base: &Manifest) -> std::collections::BTreeMap<TreePath, String> {
    let counts = |e: &&thinroot_core::manifest::Entry| {
        e.kind.word() != "socket" || base.get(&e.path).is_some_and(|b| b.kind == e.kind)
    };
    tree.entries().iter().filter(counts).map(|e| (e.path.clone(), format!("{:?} {:?}", e.kind, e.meta))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.max(3000), failure_persistence: None, ..Default::default() })]

    #[test]
    fn an_untouched_layer_becomes_the_new_base(base in grown(), new in grown()) {
        let plan = plan_trees(&base, &base, &new, &everything_carried());
        prop_assert_eq!(plan.decisions, vec![]);
    }

    #[test]
    fn on_the_same_base_everything_is_carried(base in grown(), local in grown()) {
        let plan = plan_trees(&base, &local, &base, &everything_carried());
        prop_assert!(!plan.blocked);
        let result = apply(&plan, &base);
        let result: std::collections::BTreeMap<_, _> = result
            .into_iter()
            .map(|(path, (kind, meta))| (path, format!("{kind:?} {meta:?}")))
            .collect();
        prop_assert_eq!(result, as_is(&local, &base));
    }

    #[test]
    fn the_same_on_both_sides_needs_nothing(base in grown(), both in grown()) {
        let plan = plan_trees(&base, &both, &both, &everything_carried());
        prop_assert_eq!(apply(&plan, &both).len(), both.entries().len());
        prop_assert!(plan.decisions.iter().all(|d| d.action == thinroot_core::state::Action::Leave));
        prop_assert!(!plan.decisions.iter().any(|d| d.level.is_finding()));
    }

    #[test]
    fn the_same_inputs_give_the_same_bytes(base in grown(), local in grown(), new in grown()) {
        let text = || serde_json::to_string(&plan_trees(&base, &local, &new, &Policy::default())).unwrap();
        let first = text();
        prop_assert_eq!(&first, &text());
        let read: thinroot_core::state::StatePlan = serde_json::from_str(&first).unwrap();
        prop_assert_eq!(serde_json::to_string(&read).unwrap(), first);
    }

    #[test]
    fn nothing_is_lost(base in grown(), local in grown(), new in grown()) {
        let plan = plan_trees(&base, &local, &new, &Policy::default());
        let result = apply(&plan, &new);
        for (path, change) in &delta(&base, &local).changes {
            if matches!(change, Change::Added(e) | Change::Modified(e) if e.kind.word() == "socket") {
                continue;
            }
            let decision = plan.decisions.iter().find(|d| d.path == *path);
            let told = decision.is_some_and(|d| d.level.is_finding() || d.kept.iter().any(|k| k.side == Side::Local));
            let here = result.get(path);
            let found = match change.entry() {
                None => here.is_none(),
                Some(l) => here.is_some_and(|(kind, meta)| *kind == l.kind && {
                    // Each facet is the layer's, or was not changed by it.
                    let base = base.get(path).filter(|b| b.kind.word() == l.kind.word()).map(|b| &b.meta);
                    let kept = |same: bool, unchanged: Option<bool>| same || unchanged == Some(true);
                    kept(meta.mode == l.meta.mode, base.map(|b| b.mode == l.meta.mode))
                        && kept(meta.uid == l.meta.uid, base.map(|b| b.uid == l.meta.uid))
                        && kept(meta.gid == l.meta.gid, base.map(|b| b.gid == l.meta.gid))
                        && kept(meta.xattrs == l.meta.xattrs, base.map(|b| b.xattrs == l.meta.xattrs))
                }),
            };
            let content_untouched = || {
                let old = base.get(path).map(|b| &b.kind);
                matches!(change, Change::Modified(l) if Some(&l.kind) == old)
                    && decision.is_none_or(|d| d.facets.iter().all(|f| f.from != Origin::Vendor || f.loser.is_none()))
            };
            prop_assert!(found || told || content_untouched(), "{} {:?}\n{:#?}", path, change, decision);
        }
    }

    #[test]
    fn a_plan_makes_a_tree(base in grown(), local in grown(), new in grown()) {
        let plan = plan_trees(&base, &local, &new, &Policy::default());
        let result = apply(&plan, &new);
        for path in result.keys().filter(|p| !p.is_root()) {
            let parent = result.get(&path.parent().unwrap());
            let good = parent.is_some_and(|(kind, _)| kind.word() == "directory");
            prop_assert!(plan.blocked || good, "{} has no directory\n{:#?}", path, plan.decisions);
        }
    }
}
