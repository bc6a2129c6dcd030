//! Trees told by their differences: a base with a delta over it is a whole tree again, and a delta can be told from any
//! later state of its layer.
//!
//! Separate because a merge between two layers, rather than from a layer into an image, needs its three trees as
//! manifests. Must stay true: what comes out is a manifest by its own rules, whatever a running host did to its layer.

use std::collections::{BTreeMap, BTreeSet};

use super::facets::same;
use super::plan::{Action, StatePlan};
use super::{Change, Delta};
use crate::manifest::{Accounts, Entry, Kind, Manifest, ManifestError};
use crate::path::TreePath;

impl Delta {
    /// The tree that a layer of `base` with these changes is.
    pub fn over(&self, base: &Manifest) -> Result<Manifest, ManifestError> {
        let kept = base.entries().iter().filter(|entry| !self.changes.contains_key(&entry.path));
        let changed = self.changes.values().filter_map(Change::entry);
        whole(self.accounts.clone(), kept.chain(changed))
    }

    /// The same layer's changes since it was `then`, which is an earlier state of a layer of `base`. What is as it was
    /// then is no change, whether or not the base has it so.
    #[must_use]
    pub fn since(&self, base: &Manifest, then: &Manifest) -> Delta {
        let moved = then.entries().iter().filter(|entry| base.get(&entry.path) != Some(*entry));
        let gone = base.entries().iter().filter(|entry| then.get(&entry.path).is_none());
        let paths: BTreeSet<&TreePath> = moved.chain(gone).map(|e| &e.path).chain(self.changes.keys()).collect();
        let change = |path: &TreePath| {
            let now = self.changes.get(path).map_or_else(|| base.get(path), Change::entry);
            match (then.get(path), now) {
                (None, Some(now)) => Some(Change::Added(now.clone())),
                (Some(_), None) => Some(Change::Removed),
                (Some(was), Some(now)) => {
                    let alike = same(was, then.accounts(), now, &self.accounts);
                    (!alike).then(|| Change::Modified(now.clone()))
                }
                (None, None) => None,
            }
        };
        let changes = paths.into_iter().filter_map(|path| Some((path.clone(), change(path)?))).collect();
        Delta { accounts: self.accounts.clone(), changes }
    }
}

impl StatePlan {
    /// The tree that a layer made from `vendor` was once this had been carried out. The plan does not say who the
    /// accounts of the result are, so they are given.
    pub fn over(&self, vendor: &Manifest, accounts: &Accounts) -> Result<Manifest, ManifestError> {
        let decided: BTreeMap<&TreePath, Option<&Entry>> = self
            .decisions
            .iter()
            .filter_map(|decision| match &decision.action {
                Action::Leave => None,
                Action::Put { entry, .. } => Some((&decision.path, Some(entry))),
                Action::Remove => Some((&decision.path, None)),
            })
            .collect();
        let kept = vendor.entries().iter().filter(|entry| !decided.contains_key(&entry.path));
        whole(accounts.clone(), kept.chain(decided.values().flatten().copied()))
    }
}

/// A manifest of these entries. What lies in no directory any more is left out (it cannot be there; the walk that found
/// the changes did not look where it is told not to), and a name whose first name is gone or has become something else
/// stands for itself.
pub(super) fn whole<'a>(
    accounts: Accounts,
    entries: impl Iterator<Item = &'a Entry>,
) -> Result<Manifest, ManifestError> {
    let by_path: BTreeMap<&TreePath, &Entry> = entries.map(|entry| (&entry.path, entry)).collect();
    let mut whole: BTreeMap<&TreePath, Entry> = BTreeMap::new();
    // In order of paths, so that a directory is judged before what is in it, and a first name before the others.
    for (path, entry) in &by_path {
        let housed = path.parent().is_none_or(|dir| whole.get(&dir).is_some_and(|dir| dir.kind == Kind::Directory));
        if !housed {
            continue;
        }
        let first = entry.hardlink.as_ref().and_then(|first| whole.get(first));
        let linked = first.is_some_and(|first| first.hardlink.is_none() && first.kind == entry.kind);
        let hardlink = entry.hardlink.clone().filter(|_| linked);
        whole.insert(path, Entry { hardlink, ..(*entry).clone() });
    }
    Manifest::new(accounts, whole.into_values().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Digest, Meta};

    fn path(text: &str) -> TreePath {
        TreePath::parse(text.as_bytes()).unwrap()
    }

    fn dir(at: &str) -> Entry {
        Entry { path: path(at), kind: Kind::Directory, meta: Meta::default(), hardlink: None }
    }

    fn file(at: &str, content: u8) -> Entry {
        let kind = Kind::File { size: 1, digest: Digest([content; 32]), sparse: false };
        Entry { path: path(at), kind, meta: Meta::default(), hardlink: None }
    }

    fn link(at: &str, first: &str, content: u8) -> Entry {
        Entry { hardlink: Some(path(first)), ..file(at, content) }
    }

    fn tree(entries: Vec<Entry>) -> Manifest {
        Manifest::new(Accounts::default(), [vec![dir("")], entries].concat()).unwrap()
    }

    fn delta(changes: Vec<(&str, Change)>) -> Delta {
        let changes = changes.into_iter().map(|(at, change)| (path(at), change)).collect();
        Delta { accounts: Accounts::default(), changes }
    }

    #[test]
    fn a_delta_over_its_base_is_the_layer() {
        let base = tree(vec![dir("d"), file("d/a", 1), link("d/b", "d/a", 1), file("e", 2)]);
        let changes = delta(vec![
            ("d/a", Change::Removed),
            ("e", Change::Modified(file("e", 3))),
            ("f", Change::Added(file("f", 4))),
        ]);
        let wanted = tree(vec![dir("d"), file("d/b", 1), file("e", 3), file("f", 4)]);
        assert_eq!(changes.over(&base).unwrap(), wanted);
        assert_eq!(Delta::default().over(&base).unwrap(), base);
    }

    #[test]
    fn what_lies_in_no_directory_any_more_is_not_there() {
        let base = tree(vec![dir("d"), dir("d/d"), file("d/d/a", 1)]);
        let changes = delta(vec![("d", Change::Modified(file("d", 2)))]);
        assert_eq!(changes.over(&base).unwrap(), tree(vec![file("d", 2)]));
    }

    #[test]
    fn changes_are_told_from_a_later_state() {
        let base = tree(vec![file("a", 1), file("b", 1), file("c", 1)]);
        let before = delta(vec![
            ("a", Change::Modified(file("a", 2))),
            ("b", Change::Removed),
            ("x", Change::Added(file("x", 1))),
            ("y", Change::Added(file("y", 1))),
        ]);
        let then = before.over(&base).unwrap();
        assert_eq!(before.since(&base, &then), Delta::default());
        // Since then: a as it was in the base, b back, c changed, x gone; y as it was then.
        let now = delta(vec![("c", Change::Modified(file("c", 5))), ("y", Change::Added(file("y", 1)))]);
        let wanted = delta(vec![
            ("a", Change::Modified(file("a", 1))),
            ("b", Change::Added(file("b", 1))),
            ("c", Change::Modified(file("c", 5))),
            ("x", Change::Removed),
        ]);
        assert_eq!(now.since(&base, &then), wanted);
    }
}
