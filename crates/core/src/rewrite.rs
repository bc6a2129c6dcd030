//! How one tree becomes another by touching only what differs: the plan a base writer carries out.
//!
//! Separate from the writer so that it can be tested on models: for **any** two manifests, carrying the plan out on a
//! tree that equals `old` gives a tree that equals `new`, and nothing is named in it that both trees share.
//!
//! The plan is in phases, and each operation finds its place free:
//! 1. names that go are unlinked, files that move but stand in the way are parked, directories that go are removed
//!    (all paths are still the old ones);
//! 2. directories are renamed, outermost first (from here on all paths are the new ones);
//! 3. directories, symbolic links and nodes are made, files move to their new names, links to files that stay are made;
//! 4. contents: new files are written, changed ones rewritten where they lie;
//! 5. links to new files;
//! 6. metadata of whatever has changed or may have.

mod pairing;

use std::collections::{BTreeMap, BTreeSet};

use crate::manifest::{Kind, Manifest};
use crate::path::TreePath;
use pairing::Pairing;

/// One change of names. Every operation is an error if its target exists already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Removes one name of something that is not a directory.
    Unlink(TreePath),
    /// Removes an empty directory.
    RemoveDirectory(TreePath),
    /// Moves anything, a directory with all it holds.
    Rename {
        /// The name it has.
        from: TreePath,
        /// The name it gets; nothing is there.
        to: TreePath,
    },
    /// Makes the directory that files in the way are parked in; empty again and removed before phase 4.
    CreateParking(TreePath),
    /// Makes what the new tree has here: a directory, symbolic link, fifo, device or socket; never a file.
    Create(TreePath),
    /// Makes one more name of an inode.
    Link {
        /// A name it has.
        from: TreePath,
        /// The further name.
        to: TreePath,
    },
}

/// What there is where a content is to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fill {
    /// Nothing.
    New,
    /// A file whose equal blocks are to be kept.
    Over {
        /// Whether its blocks of zeros are holes.
        sparse: bool,
    },
}

/// The whole plan, in the order of its fields.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rewrite {
    /// Phases 1 to 3.
    pub shape: Vec<Operation>,
    /// Contents to write, by the first name of the file. Includes bringing its metadata into line.
    pub contents: BTreeMap<TreePath, Fill>,
    /// Further names of new inodes.
    pub links: Vec<Operation>,
    /// Paths whose metadata is to be brought into line, directories last and innermost first.
    pub metadata: Vec<TreePath>,
}

impl Rewrite {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.shape.is_empty() && self.contents.is_empty() && self.links.is_empty() && self.metadata.is_empty()
    }
}

/// Plans. The cost is that of comparing the manifests; the plan's length is that of the difference.
pub fn plan(old: &Manifest, new: &Manifest) -> Rewrite {
    let mut planner = Planner {
        pairs: Pairing::new(old, new),
        parking: parking_name(old, new),
        parked: BTreeMap::new(),
        moves: BTreeMap::new(),
        touched: BTreeSet::new(),
        out: Rewrite::default(),
    };
    planner.clear_old_names();
    planner.rename_directories();
    planner.make_new_names();
    planner.plan_contents();
    planner.plan_metadata();
    planner.out
}

struct Planner<'a> {
    pairs: Pairing<'a>,
    parking: TreePath,
    /// Where a moving file has been put aside, by its new first name.
    parked: BTreeMap<usize, TreePath>,
    /// The path a moving file is found at in phase 3, by its new first name.
    moves: BTreeMap<usize, TreePath>,
    /// New directories whose list of names changes, and with it their mtime.
    touched: BTreeSet<usize>,
    out: Rewrite,
}

impl Planner<'_> {
    fn old_path(&self, old: usize) -> &TreePath {
        &self.pairs.old.entries[old].path
    }

    fn new_path(&self, new: usize) -> &TreePath {
        &self.pairs.new.entries[new].path
    }

    /// Whether this name of an old inode is right already (once directories are renamed).
    fn stays(&self, old: usize) -> bool {
        let becomes = self.pairs.new_of(self.pairs.old.holder(old));
        let place = self.pairs.place_in_new(old).filter(|i| !self.pairs.new.is_directory(*i));
        becomes.is_some() && place.map(|i| self.pairs.new.holder(i)) == becomes
    }

    /// Whether the new inode has this name already (once directories are renamed).
    fn stood(&self, new: usize) -> bool {
        self.staying_names(self.pairs.new.holder(new)).any(|name| name == new)
    }

    /// The new names of an inode that it has already, for its first name.
    fn staying_names(&self, holder: usize) -> impl Iterator<Item = usize> {
        let links = self.pairs.old_of(holder).map_or(&[][..], |old| self.pairs.old.links(old));
        links.iter().filter(|old| self.stays(**old)).filter_map(|old| self.pairs.place_in_new(*old))
    }

    /// Where a moving file lies in phase 3 if it is left alone until then; none if it must be parked before.
    fn undisturbed(&self, old: usize) -> Option<TreePath> {
        let dir = self.pairs.new_of(self.pairs.old.parent(old))?;
        if self.pairs.place_in_new(old).is_some() {
            return None;
        }
        self.new_path(dir).join(self.old_path(old).file_name()).ok()
    }

    fn clear_old_names(&mut self) {
        let mut parks = Vec::new();
        for old in 0..self.pairs.old.entries.len() {
            if self.pairs.old.is_directory(old) || self.stays(old) {
                continue;
            }
            if let Some(dir) = self.pairs.new_of(self.pairs.old.parent(old)) {
                self.touched.insert(dir);
            }
            let holder = self.pairs.old.holder(old);
            match self.pairs.new_of(holder) {
                // The one name by which an inode that keeps none of its names is moved.
                Some(new) if old == holder && self.staying_names(new).next().is_none() => {
                    match self.undisturbed(old) {
                        Some(path) => self.moves.insert(new, path),
                        None => {
                            parks.push((old, new));
                            None
                        }
                    };
                }
                Some(_) | None => self.out.shape.push(Operation::Unlink(self.old_path(old).clone())),
            }
        }
        if !parks.is_empty() {
            self.touched.insert(0);
            self.out.shape.push(Operation::CreateParking(self.parking.clone()));
        }
        for (number, (old, new)) in parks.into_iter().enumerate() {
            let to = self.parking.join(number.to_string().as_bytes()).expect("a short path");
            self.out.shape.push(Operation::Rename { from: self.old_path(old).clone(), to: to.clone() });
            self.parked.insert(new, to);
        }
        for old in (0..self.pairs.old.entries.len()).rev() {
            if self.pairs.old.is_directory(old) && self.pairs.new_of(old).is_none() {
                self.touched.extend(self.pairs.new_of(self.pairs.old.parent(old)));
                self.out.shape.push(Operation::RemoveDirectory(self.old_path(old).clone()));
            }
        }
    }

    fn rename_directories(&mut self) {
        for new in 1..self.pairs.new.entries.len() {
            let Some(old) = self.pairs.old_of(new).filter(|_| self.pairs.new.is_directory(new)) else { continue };
            let (name, to) = (self.old_path(old).file_name(), self.new_path(new));
            if name != to.file_name() {
                let parent = self.pairs.new.parent(new);
                let from = self.new_path(parent).join(name).expect("checked when the directories were paired");
                self.out.shape.push(Operation::Rename { from, to: to.clone() });
                self.touched.insert(parent);
            }
        }
    }

    fn make_new_names(&mut self) {
        for new in 1..self.pairs.new.entries.len() {
            let path = self.new_path(new).clone();
            let holder = self.pairs.new.holder(new);
            let is_file = matches!(self.pairs.new.entries[new].kind, Kind::File { .. });
            if self.pairs.new.is_directory(new) && self.pairs.old_of(new).is_some() {
                continue;
            }
            let operation = match self.pairs.old_of(holder) {
                None if new != holder => {
                    self.out.links.push(Operation::Link { from: self.new_path(holder).clone(), to: path });
                    None
                }
                None if is_file => None,
                None => Some(Operation::Create(path)),
                Some(_) if self.stood(new) => continue,
                Some(_) => Some(match self.staying_names(holder).next() {
                    Some(name) => Operation::Link { from: self.new_path(name).clone(), to: path },
                    None if new == holder => {
                        let from = self.parked.get(&new).or_else(|| self.moves.get(&new));
                        Operation::Rename { from: from.expect("a moving file was noted").clone(), to: path }
                    }
                    None => Operation::Link { from: self.new_path(holder).clone(), to: path },
                }),
            };
            self.touched.insert(self.pairs.new.parent(new));
            self.out.shape.extend(operation);
        }
        if !self.parked.is_empty() {
            self.out.shape.push(Operation::RemoveDirectory(self.parking.clone()));
        }
    }

    fn plan_contents(&mut self) {
        for (new, entry) in self.pairs.new.entries.iter().enumerate() {
            if entry.hardlink.is_some() || !matches!(entry.kind, Kind::File { .. }) {
                continue;
            }
            let before = self.pairs.old_of(new).map(|old| &self.pairs.old.entries[old].kind);
            let fill = match before {
                Some(kind) if *kind == entry.kind => continue,
                Some(Kind::File { sparse, .. }) => Fill::Over { sparse: *sparse },
                Some(_) | None => Fill::New,
            };
            self.out.contents.insert(entry.path.clone(), fill);
        }
    }

    fn plan_metadata(&mut self) {
        let mut directories = Vec::new();
        for (new, entry) in self.pairs.new.entries.iter().enumerate() {
            let same = self.pairs.old_of(new).is_some_and(|old| self.pairs.old.entries[old].meta == entry.meta);
            if entry.kind == Kind::Directory {
                if !same || self.touched.contains(&new) {
                    directories.push(entry.path.clone());
                }
            } else if entry.hardlink.is_none() && !same && !self.out.contents.contains_key(&entry.path) {
                self.out.metadata.push(entry.path.clone());
            }
        }
        self.out.metadata.extend(directories.into_iter().rev());
    }
}

/// A name that neither tree has.
fn parking_name(old: &Manifest, new: &Manifest) -> TreePath {
    let free = |path: &TreePath| old.get(path).is_none() && new.get(path).is_none();
    let name = |n: usize| TreePath::parse(format!(".thinroot-parking-{n}").as_bytes()).expect("a plain name");
    (0..).map(name).find(free).expect("a tree does not have every name")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Accounts, Digest, Entry, Meta};

    fn path(text: &str) -> TreePath {
        TreePath::parse(text.as_bytes()).unwrap()
    }

    /// A tree of files `path=content`; names ending in `/` are directories, parents are made.
    fn tree(lines: &[&str]) -> Manifest {
        let mut entries = BTreeMap::from([(TreePath::root(), Kind::Directory)]);
        for line in lines {
            let (name, content) = line.split_once('=').unwrap_or((line, ""));
            let mut digest = Digest([0; 32]);
            content.bytes().zip(&mut digest.0).for_each(|(from, to)| *to = from);
            let kind = Kind::File { size: content.len() as u64, digest, sparse: false };
            entries.insert(path(name), if name.ends_with('/') { Kind::Directory } else { kind });
            let mut at = path(name).parent();
            while let Some(dir) = at {
                entries.insert(dir.clone(), Kind::Directory);
                at = dir.parent();
            }
        }
        let entry = |(path, kind)| Entry { path, kind, meta: Meta::default(), hardlink: None };
        Manifest::new(Accounts::default(), entries.into_iter().map(entry).collect()).unwrap()
    }

    fn rename(from: &str, to: &str) -> Operation {
        Operation::Rename { from: path(from), to: path(to) }
    }

    #[test]
    fn equal_trees_need_nothing() {
        let tree = tree(&["a/b=x", "c=y"]);
        assert!(plan(&tree, &tree).is_empty());
    }

    #[test]
    fn a_new_kernel_is_one_rename() {
        let old = tree(&["lib/modules/6.1.0-50/a.ko=one", "lib/modules/6.1.0-50/k/b.ko=two", "lib/x=same"]);
        let new = tree(&["lib/modules/6.1.0-56/a.ko=one", "lib/modules/6.1.0-56/k/b.ko=TWO", "lib/x=same"]);
        let plan = plan(&old, &new);
        assert_eq!(plan.shape, [rename("lib/modules/6.1.0-50", "lib/modules/6.1.0-56")]);
        let over = Fill::Over { sparse: false };
        assert_eq!(plan.contents, [(path("lib/modules/6.1.0-56/k/b.ko"), over)].into());
        assert_eq!(plan.metadata, [path("lib/modules")]);
    }

    #[test]
    fn of_two_candidates_the_one_with_the_same_contents_is_taken() {
        let old = tree(&["m/1/a=first", "m/2/a=second"]);
        let new = tree(&["m/3/a=second", "m/4/a=first"]);
        let mut renames = plan(&old, &new).shape;
        renames.sort_by_key(|operation| format!("{operation:?}"));
        assert_eq!(renames, [rename("m/1", "m/4"), rename("m/2", "m/3")]);
    }

    #[test]
    fn files_move_by_content_and_by_name() {
        let old = tree(&["lib/libx.so.1.2=old bytes", "doc/a=the same text", "doc/b=kept"]);
        let new = tree(&["lib/libx.so.1.3=new bytes", "share/z=the same text", "doc/b=kept"]);
        let plan = plan(&old, &new);
        let moves = [
            rename("lib/libx.so.1.2", "lib/libx.so.1.3"),
            Operation::Create(path("share")),
            rename("doc/a", "share/z"),
        ];
        assert_eq!(plan.shape, moves);
        assert_eq!(plan.contents, [(path("lib/libx.so.1.3"), Fill::Over { sparse: false })].into());
    }

    #[test]
    fn a_file_in_the_way_is_parked() {
        // The directory "a" becomes a file, and the file "b" a directory that holds what was in "a".
        let plan = plan(&tree(&["a/x=text", "b=other text"]), &tree(&["a=other text", "b/x=text"]));
        let (parking, parked) = (path(".thinroot-parking-0"), |n| format!(".thinroot-parking-0/{n}"));
        let shape = [
            Operation::CreateParking(parking.clone()),
            rename("a/x", &parked(0)),
            rename("b", &parked(1)),
            Operation::RemoveDirectory(path("a")),
            rename(&parked(1), "a"),
            Operation::Create(path("b")),
            rename(&parked(0), "b/x"),
            Operation::RemoveDirectory(parking),
        ];
        assert_eq!(plan.shape, shape);
        assert_eq!((plan.contents.len(), plan.links.len()), (0, 0));
    }

    #[test]
    fn files_that_change_places_do_so_in_place() {
        let plan = plan(&tree(&["a=1", "b=2"]), &tree(&["a=2", "b=1"]));
        assert_eq!(plan.shape, []);
        assert_eq!(plan.contents.len(), 2);
    }
}
