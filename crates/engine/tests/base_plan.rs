//! The plan of a rewrite, carried out on a model that refuses whatever a file system would refuse.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use thinroot_core::manifest::{Accounts, Entry, Kind, Manifest, Meta, Timestamp};
use thinroot_core::path::TreePath;
use thinroot_core::rewrite::{Fill, Operation, Rewrite, plan};
use thinroot_testkit::trees::grow;

#[derive(Debug, Clone)]
struct Inode {
    kind: Kind,
    meta: Meta,
}

/// A tree of names over inodes.
#[derive(Debug)]
struct Model {
    names: BTreeMap<TreePath, usize>,
    inodes: Vec<Inode>,
}

impl Model {
    fn of(manifest: &Manifest) -> Model {
        let mut model = Model { names: BTreeMap::new(), inodes: Vec::new() };
        for entry in manifest.entries() {
            let inode = match &entry.hardlink {
                Some(first) => model.names[first],
                None => model.new_inode(entry.kind.clone(), entry.meta.clone()),
            };
            model.names.insert(entry.path.clone(), inode);
        }
        model
    }

    fn manifest(&self) -> Manifest {
        let mut first: BTreeMap<usize, &TreePath> = BTreeMap::new();
        let entry = |(path, inode): (&'_ TreePath, &usize), hardlink| {
            let Inode { kind, meta } = self.inodes[*inode].clone();
            Entry { path: path.clone(), kind, meta, hardlink }
        };
        let mut entries = Vec::new();
        for (path, inode) in &self.names {
            let holder = *first.entry(*inode).or_insert(path);
            entries.push(entry((path, inode), Some(holder.clone()).filter(|holder| holder != path)));
        }
        Manifest::new(Accounts::default(), entries).unwrap()
    }

    fn new_inode(&mut self, kind: Kind, meta: Meta) -> usize {
        self.inodes.push(Inode { kind, meta });
        self.inodes.len() - 1
    }

    fn is_directory(&self, path: &TreePath) -> bool {
        self.names.get(path).is_some_and(|inode| self.inodes[*inode].kind == Kind::Directory)
    }

    /// The directory must be there, and its time changes.
    fn touch_parent(&mut self, path: &TreePath) {
        let parent = path.parent().unwrap();
        assert!(self.is_directory(&parent), "no directory for {path}");
        let inode = self.names[&parent];
        self.inodes[inode].meta.mtime = Timestamp { sec: 4_000_000_000, nsec: 4 };
    }

    fn insert(&mut self, path: &TreePath, inode: usize) {
        self.touch_parent(path);
        assert!(self.names.insert(path.clone(), inode).is_none(), "{path} exists");
    }

    fn remove(&mut self, path: &TreePath) -> usize {
        self.touch_parent(path);
        self.names.remove(path).unwrap_or_else(|| panic!("{path} does not exist"))
    }

    fn beneath(&self, dir: &TreePath) -> Vec<TreePath> {
        self.names.keys().filter(|path| path.is_within(dir) && *path != dir).cloned().collect()
    }

    fn change(&mut self, operation: &Operation, new: &Manifest) {
        match operation {
            Operation::Unlink(path) => {
                assert!(!self.is_directory(path), "unlink of directory {path}");
                self.remove(path);
            }
            Operation::RemoveDirectory(path) => {
                assert!(self.is_directory(path) && self.beneath(path).is_empty(), "{path} is not an empty directory");
                self.remove(path);
            }
            Operation::Rename { from, to } => {
                let moved = self.beneath(from);
                let inode = self.remove(from);
                self.insert(to, inode);
                for path in moved {
                    let inode = self.names.remove(&path).unwrap();
                    self.names.insert(path.rebase(from, to).unwrap(), inode);
                }
            }
            Operation::CreateParking(path) => {
                let inode = self.new_inode(Kind::Directory, Meta::default());
                self.insert(path, inode);
            }
            Operation::Create(path) => {
                let kind = new.get(path).unwrap().kind.clone();
                assert!(!matches!(kind, Kind::File { .. }), "{path} is created as a file");
                let inode = self.new_inode(kind, Meta::default());
                self.insert(path, inode);
            }
            Operation::Link { from, to } => {
                assert!(!self.is_directory(from), "link to directory {from}");
                let inode = self.names[from];
                self.insert(to, inode);
            }
        }
    }

    fn carry_out(&mut self, plan: &Rewrite, new: &Manifest) {
        plan.shape.iter().for_each(|operation| self.change(operation, new));
        for (path, fill) in &plan.contents {
            let entry = new.get(path).unwrap();
            if *fill == Fill::New {
                let inode = self.new_inode(entry.kind.clone(), entry.meta.clone());
                self.insert(path, inode);
            }
            let inode = &mut self.inodes[self.names[path]];
            match (&inode.kind, fill) {
                (Kind::File { sparse, .. }, Fill::Over { sparse: told }) => assert_eq!(sparse, told, "{path}"),
                (kind, fill) => assert_eq!((kind, fill), (&entry.kind, &Fill::New), "{path}"),
            }
            *inode = Inode { kind: entry.kind.clone(), meta: entry.meta.clone() };
        }
        plan.links.iter().for_each(|operation| self.change(operation, new));
        for path in &plan.metadata {
            let inode = self.names[path];
            self.inodes[inode].meta = new.get(path).unwrap().meta.clone();
        }
    }
}

/// Two trees that have much in common: the second is grown from the first's bytes with some of them changed.
fn related() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let gene = prop::collection::vec(any::<u8>(), 6);
    let seed = prop::collection::vec(gene, 0..40);
    let edits = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12);
    (seed, edits, any::<bool>(), prop::collection::vec(any::<u8>(), 0..120)).prop_map(|(seed, edits, apart, other)| {
        let old = seed.concat();
        let mut new = if apart { other } else { old.clone() };
        for (at, value) in edits.into_iter().filter(|_| !new.is_empty() && !apart).collect::<Vec<_>>() {
            let at = at.index(new.len());
            new[at] = value;
        }
        (old, new)
    })
}

/// The random trees are worth something only if they lead to every kind of operation.
#[test]
fn the_random_trees_reach_everything() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut seen: BTreeMap<&str, u32> = BTreeMap::new();
    for _ in 0..400 {
        let (old, new) = related().new_tree(&mut runner).unwrap().current();
        let (old, new) = (grow(&old).manifest, grow(&new).manifest);
        let plan = plan(&old, &new);
        for operation in &plan.shape {
            let word = match operation {
                Operation::Unlink(_) => "unlink",
                Operation::RemoveDirectory(_) => "remove directory",
                Operation::Rename { to, .. } if new.get(to).is_some_and(|e| e.kind == Kind::Directory) => {
                    "rename directory"
                }
                Operation::Rename { to, .. } if new.get(to).is_some() => "rename file",
                Operation::Rename { .. } => "park",
                Operation::CreateParking(_) => "parking",
                Operation::Create(_) => "create",
                Operation::Link { .. } => "link to what stays",
            };
            *seen.entry(word).or_default() += 1;
        }
        *seen.entry("rewrite").or_default() += plan.contents.values().filter(|fill| **fill != Fill::New).count() as u32;
        *seen.entry("new file").or_default() +=
            plan.contents.values().filter(|fill| **fill == Fill::New).count() as u32;
        *seen.entry("link to what is new").or_default() += plan.links.len() as u32;
    }
    println!("{seen:?}");
    assert_eq!(seen.len(), 11);
    assert!(seen.values().all(|count| *count >= 10), "{seen:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.max(1500), failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_tree_becomes_any_other((old, new) in related()) {
        let (old, new) = (grow(&old).manifest, grow(&new).manifest);
        let plan = plan(&old, &new);
        let mut model = Model::of(&old);
        model.carry_out(&plan, &new);
        prop_assert_eq!(model.manifest(), new);
    }

    #[test]
    fn what_is_equal_is_left_alone((old, new) in related()) {
        let (old, new) = (grow(&old).manifest, grow(&new).manifest);
        let rewrite = plan(&old, &new);
        prop_assert!(plan(&old, &old).is_empty());
        // With hard links the inode of a name may have gone to another name with the same content.
        let linked = old.entries().iter().any(|entry| entry.hardlink.is_some());
        for path in rewrite.contents.keys().filter(|_| !linked) {
            prop_assert_ne!(old.get(path).map(|entry| &entry.kind), new.get(path).map(|entry| &entry.kind));
        }
        prop_assert_eq!(plan(&old, &new), rewrite);
    }
}
