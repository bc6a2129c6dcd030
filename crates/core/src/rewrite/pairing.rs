//! Which inode of the old tree becomes which inode of the new one.
//!
//! Separate from the planner because this is the only place with taste in it: any pairing that respects types leads to
//! a correct plan, a good one to a cheap plan. Must stay true: a directory pairs only where its parent pairs, an inode
//! pairs at most once, and a pair keeps its type (for everything but files: its whole kind).

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use crate::manifest::{Digest, Entry, Kind, Manifest};

/// Candidates above which a group of like-named paths is paired in order of size instead of by the best of all
/// pairs; more would make planning quadratic in the number of files of a directory.
const MAX_COMPARED_PAIRS: usize = 4096;

/// One of the two trees, indexed.
#[derive(Debug)]
pub(super) struct Side<'a> {
    pub(super) entries: &'a [Entry],
    at: HashMap<&'a [u8], usize>,
    children: Vec<Vec<usize>>,
    links: Vec<Vec<usize>>,
    parent: Vec<usize>,
    holder: Vec<usize>,
}

impl<'a> Side<'a> {
    pub(super) fn new(manifest: &'a Manifest) -> Self {
        let entries = manifest.entries();
        let at: HashMap<&[u8], usize> = entries.iter().enumerate().map(|(i, e)| (e.path.as_bytes(), i)).collect();
        let mut side = Side {
            entries,
            children: vec![Vec::new(); entries.len()],
            links: vec![Vec::new(); entries.len()],
            parent: vec![0; entries.len()],
            holder: (0..entries.len()).collect(),
            at,
        };
        for (i, entry) in entries.iter().enumerate() {
            if let Some(first) = &entry.hardlink {
                side.holder[i] = side.at[first.as_bytes()];
            }
            if entry.kind != Kind::Directory {
                side.links[side.holder[i]].push(i);
            }
            if i > 0 {
                let path = entry.path.as_bytes();
                let cut = path.iter().rposition(|b| *b == b'/').unwrap_or(0);
                side.parent[i] = side.at[&path[..cut]];
                side.children[side.parent[i]].push(i);
            }
        }
        side
    }

    /// The directory an entry lies in; the root lies in itself.
    pub(super) fn parent(&self, i: usize) -> usize {
        self.parent[i]
    }

    /// The first name of the entry's hard-link group.
    pub(super) fn holder(&self, i: usize) -> usize {
        self.holder[i]
    }

    /// All names of the group that a first name holds.
    pub(super) fn links(&self, holder: usize) -> &[usize] {
        &self.links[holder]
    }

    pub(super) fn is_directory(&self, i: usize) -> bool {
        self.entries[i].kind == Kind::Directory
    }

    fn name(&self, i: usize) -> &'a [u8] {
        self.entries[i].path.file_name()
    }

    fn child(&self, dir: usize, name: &[u8]) -> Option<usize> {
        let dir = self.entries[dir].path.as_bytes();
        let path = if dir.is_empty() { name.to_vec() } else { [dir, b"/", name].concat() };
        self.at.get(path.as_slice()).copied()
    }

    fn file(&self, i: usize) -> Option<(u64, Digest)> {
        match self.entries[i].kind {
            Kind::File { size, digest, .. } => Some((size, digest)),
            Kind::Directory | Kind::Symlink { .. } | Kind::Fifo | Kind::Socket => None,
            Kind::Char { .. } | Kind::Block { .. } => None,
        }
    }

    fn size(&self, i: usize) -> u64 {
        self.file(i).map_or(0, |(size, _)| size)
    }

    /// Entries at and beneath a directory: they are neighbours.
    fn subtree(&self, dir: usize) -> impl Iterator<Item = usize> {
        let path = &self.entries[dir].path;
        (dir..self.entries.len()).take_while(move |i| self.entries[*i].path.is_within(path))
    }

    /// Contents and bytes beneath each of these directories, to tell which is most like which. They lie beside each
    /// other and what is beneath them pairs with nothing else, so that no entry is ever visited twice.
    fn summaries(&self, directories: &[usize]) -> HashMap<usize, (HashSet<Digest>, u64)> {
        let summary = |dir: usize| {
            let files = || self.subtree(dir).filter_map(|i| self.file(i));
            (files().map(|(_, digest)| digest).collect(), files().map(|(size, _)| size).sum())
        };
        directories.iter().map(|dir| (*dir, summary(*dir))).collect()
    }
}

/// The pairs, for directories and for first names of everything else.
#[derive(Debug)]
pub(super) struct Pairing<'a> {
    pub(super) old: Side<'a>,
    pub(super) new: Side<'a>,
    to_new: Vec<Option<usize>>,
    to_old: Vec<Option<usize>>,
}

impl<'a> Pairing<'a> {
    pub(super) fn new(old: &'a Manifest, new: &'a Manifest) -> Self {
        let (old, new) = (Side::new(old), Side::new(new));
        let (to_new, to_old) = (vec![None; old.entries.len()], vec![None; new.entries.len()]);
        let mut pairing = Pairing { old, new, to_new, to_old };
        pairing.pair_directories();
        pairing.pair_in_place(|old, new| old == new);
        pairing.pair_in_place(|old, new| matches!((old, new), (Kind::File { .. }, Kind::File { .. })));
        pairing.pair_equal_contents();
        pairing.pair_like_named_files();
        pairing
    }

    /// What an old directory or first name becomes.
    pub(super) fn new_of(&self, old: usize) -> Option<usize> {
        self.to_new[old]
    }

    /// What a new directory or first name is made from.
    pub(super) fn old_of(&self, new: usize) -> Option<usize> {
        self.to_old[new]
    }

    /// What the new tree has where an old entry will lie once directories are renamed; none too where its directory
    /// goes.
    pub(super) fn place_in_new(&self, old: usize) -> Option<usize> {
        self.new.child(self.to_new[self.old.parent(old)]?, self.old.name(old))
    }

    fn place_in_old(&self, new: usize) -> Option<usize> {
        self.old.child(self.to_old[self.new.parent(new)]?, self.new.name(new))
    }

    fn pair(&mut self, old: usize, new: usize) {
        self.to_new[old] = Some(new);
        self.to_old[new] = Some(old);
    }

    fn pair_directories(&mut self) {
        let mut open = vec![(0, 0)];
        while let Some((old, new)) = open.pop() {
            self.pair(old, new);
            let subdirectories = |side: &Side<'_>, dir: usize| -> Vec<usize> {
                side.children[dir].iter().copied().filter(|i| side.is_directory(*i)).collect()
            };
            let (mut gone, mut added) = (subdirectories(&self.old, old), Vec::new());
            for child in subdirectories(&self.new, new) {
                let same = self.old.child(old, self.new.name(child)).filter(|i| self.old.is_directory(*i));
                match same {
                    Some(same) => open.push((same, child)),
                    None => added.push(child),
                }
            }
            gone.retain(|i| self.new.child(new, self.old.name(*i)).is_none_or(|i| !self.new.is_directory(i)));
            // The old name under the new parent is a path of the plan, so it must be one.
            gone.retain(|i| self.new.entries[new].path.join(self.old.name(*i)).is_ok());
            let (before, after) = (self.old.summaries(&gone), self.new.summaries(&added));
            open.extend(pair_like_named(&self.old, &self.new, gone, added, &|a, b| {
                let ((old_digests, old_size), (new_digests, new_size)) = (&before[&a], &after[&b]);
                (Reverse(old_digests.intersection(new_digests).count()), old_size.abs_diff(*new_size))
            }));
        }
    }

    fn pair_in_place(&mut self, fit: impl Fn(&Kind, &Kind) -> bool) {
        for new in 0..self.new.entries.len() {
            let holder = self.new.holder(new);
            if self.new.is_directory(new) || self.to_old[holder].is_some() {
                continue;
            }
            let Some(old) = self.place_in_old(new).map(|old| self.old.holder(old)) else { continue };
            if self.to_new[old].is_none() && fit(&self.old.entries[old].kind, &self.new.entries[holder].kind) {
                self.pair(old, holder);
            }
        }
    }

    /// Files whose bytes are there already, under a name that goes. Empty ones are as cheap to make anew.
    fn pair_equal_contents(&mut self) {
        let mut gone: HashMap<(u64, Digest), VecDeque<usize>> = HashMap::new();
        for old in self.unpaired(&self.old, &self.to_new) {
            if let Some(file) = self.old.file(old).filter(|(size, _)| *size > 0) {
                gone.entry(file).or_default().push_back(old);
            }
        }
        for new in self.unpaired(&self.new, &self.to_old) {
            let same = self.new.file(new).and_then(|file| gone.get_mut(&file)?.pop_front());
            if let Some(old) = same {
                self.pair(old, new);
            }
        }
    }

    fn pair_like_named_files(&mut self) {
        for dir in 0..self.new.entries.len() {
            let Some(old_dir) = self.to_old[dir].filter(|_| self.new.is_directory(dir)) else { continue };
            let open_files = |side: &Side<'_>, dir: usize, paired: &[Option<usize>]| -> Vec<usize> {
                let open = |i: &usize| side.holder(*i) == *i && paired[*i].is_none() && side.file(*i).is_some();
                side.children[dir].iter().copied().filter(open).collect()
            };
            let gone = open_files(&self.old, old_dir, &self.to_new);
            let added = open_files(&self.new, dir, &self.to_old);
            let cost = |a, b| (Reverse(0), self.old.size(a).abs_diff(self.new.size(b)));
            for (old, new) in pair_like_named(&self.old, &self.new, gone, added, &cost) {
                self.pair(old, new);
            }
        }
    }

    fn unpaired(&self, side: &Side<'_>, pairs: &[Option<usize>]) -> Vec<usize> {
        (0..side.entries.len()).filter(|i| side.holder(*i) == *i && pairs[*i].is_none()).collect()
    }
}

type Cost = (Reverse<usize>, u64);

/// Pairs entries of two directories whose names are equal but for their numbers, cheapest pair first.
fn pair_like_named(
    old: &Side<'_>,
    new: &Side<'_>,
    gone: Vec<usize>,
    added: Vec<usize>,
    cost: &dyn Fn(usize, usize) -> Cost,
) -> Vec<(usize, usize)> {
    let mut groups: BTreeMap<Vec<u8>, (Vec<usize>, Vec<usize>)> = BTreeMap::new();
    gone.into_iter().for_each(|i| groups.entry(stem(old.name(i))).or_default().0.push(i));
    added.into_iter().for_each(|i| groups.entry(stem(new.name(i))).or_default().1.push(i));
    let mut pairs = Vec::new();
    for (mut gone, mut added) in groups.into_values() {
        let combinations = gone.len() * added.len();
        if combinations <= 1 || combinations > MAX_COMPARED_PAIRS {
            gone.sort_by_key(|i| old.size(*i));
            added.sort_by_key(|i| new.size(*i));
            pairs.extend(gone.into_iter().zip(added));
            continue;
        }
        let all = gone.iter().flat_map(|a| added.iter().map(move |b| (*a, *b)));
        let mut all: Vec<_> = all.map(|(a, b)| (cost(a, b), a, b)).collect();
        all.sort_unstable();
        let (mut taken_old, mut taken_new) = (HashSet::new(), HashSet::new());
        for (_, a, b) in all {
            if !taken_old.contains(&a) && !taken_new.contains(&b) {
                taken_old.insert(a);
                taken_new.insert(b);
                pairs.push((a, b));
            }
        }
    }
    pairs
}

/// The name with each run of digits collapsed: what stays the same from version to version.
fn stem(name: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len());
    for byte in name {
        let byte = if byte.is_ascii_digit() { b'0' } else { *byte };
        if byte != b'0' || out.last() != Some(&b'0') {
            out.push(byte);
        }
    }
    out
}
