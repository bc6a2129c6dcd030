//! A tree while it is being read: paths and inodes, in whatever order a source gives them.
//!
//! Separate from the manifest because archives repeat paths, name parents late or never, link across layers and take
//! paths away again; the manifest knows none of that. Must stay true: the parent of each path is a directory of the
//! draft, so nothing is ever reached through a link.

use std::collections::BTreeMap;
use std::ops::Bound;

use thinroot_core::manifest::{Entry, Flags, Kind, Manifest, Meta};
use thinroot_core::path::TreePath;

use super::content::{Facts, Machine};
use super::limits::{
    MAX_METADATA_BYTES, MAX_PATHS, MAX_SMALL_FILES_BYTES, MAX_TOTAL_BYTES, MAX_XATTR_NAME_BYTES, MAX_XATTR_VALUE_BYTES,
};
use super::small::{SmallFiles, accounts};
use crate::error::{Error, Result};
use crate::progress::{Event, Reporter};
use crate::tree::read::MAX_DEPTH;

/// Where programs are that tell the architecture of an image.
const PROGRAM_DIRS: [&[u8]; 4] = [b"usr/bin", b"usr/sbin", b"bin", b"sbin"];
/// Paths between two events.
const PATHS_PER_EVENT: usize = 2000;

/// Where a stream source finds a content again: which layer, and which member of it, both counted from 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Origin {
    pub(super) layer: u32,
    pub(super) member: u32,
}

/// An inode of a draft.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct InodeId(u32);

#[derive(Debug)]
struct Inode {
    kind: Kind,
    meta: Meta,
    origin: Origin,
    machine: Option<Machine>,
    kept: Option<Box<[u8]>>,
}

#[derive(Debug, Clone, Copy)]
struct Node {
    inode: InodeId,
    layer: u32,
}

/// How much of a path a layer takes away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hide {
    /// The path and everything beneath it.
    Path,
    /// Everything beneath it.
    Children,
}

/// A tree that is being read.
pub(super) struct Draft<'r> {
    nodes: BTreeMap<TreePath, Node>,
    inodes: Vec<Inode>,
    layer: u32,
    content_bytes: u64,
    metadata_bytes: usize,
    kept_bytes: usize,
    reporter: &'r dyn Reporter,
}

/// A tree that has been read.
pub(super) struct Drafted {
    pub(super) manifest: Manifest,
    /// For each file that holds a content, in path order.
    pub(super) origins: Vec<Origin>,
    pub(super) small: SmallFiles,
    /// How many programs there are for each machine.
    pub(super) machines: BTreeMap<Machine, usize>,
}

impl<'r> Draft<'r> {
    pub(super) fn new(reporter: &'r dyn Reporter) -> Self {
        let mut draft = Draft {
            nodes: BTreeMap::new(),
            inodes: Vec::new(),
            layer: 0,
            content_bytes: 0,
            metadata_bytes: 0,
            kept_bytes: 0,
            reporter,
        };
        draft.imply(TreePath::root());
        draft
    }

    /// What follows belongs to the layer above.
    pub(super) fn next_layer(&mut self) {
        self.layer += 1;
    }

    pub(super) fn layer(&self) -> u32 {
        self.layer
    }

    /// Adds a file with its content.
    pub(super) fn put_file(
        &mut self,
        path: TreePath,
        facts: Facts,
        holes: bool,
        meta: Meta,
        origin: Origin,
    ) -> Result<InodeId> {
        self.content_bytes = self.content_bytes.saturating_add(facts.size);
        if self.content_bytes > MAX_TOTAL_BYTES {
            return Err(refuse(&path, "the contents of the image are larger than 4 TiB"));
        }
        let kept = facts.kept.filter(|kept| self.kept_bytes + kept.len() <= MAX_SMALL_FILES_BYTES);
        self.kept_bytes += kept.as_ref().map_or(0, |kept| kept.len());
        // A hole smaller than the block it lies in cannot be written as one: it is data like any other.
        let kind = Kind::File { size: facts.size, digest: facts.digest, sparse: holes && facts.zero_block };
        self.add(path, Inode { kind, meta, origin, machine: facts.machine, kept })
    }

    /// Adds anything that has no content.
    pub(super) fn put(&mut self, path: TreePath, kind: Kind, meta: Meta) -> Result<InodeId> {
        self.add(path, Inode { kind, meta, origin: Origin::default(), machine: None, kept: None })
    }

    fn add(&mut self, path: TreePath, mut inode: Inode) -> Result<InodeId> {
        // A host's, and a base of an image has none: whoever reads a tree that a host runs would have its locks in it.
        inode.meta.flags = Flags::default();
        if path.is_root() && inode.kind != Kind::Directory {
            return Err(refuse(&path, format!("the root of the image is a {}", inode.kind.word())));
        }
        self.metadata_bytes += check_metadata(&path, &inode.kind, &inode.meta)?;
        self.replaceable(&path, inode.kind == Kind::Directory)?;
        self.ensure_parents(&path)?;
        let id = self.new_inode(inode);
        self.set(path, id)?;
        Ok(id)
    }

    /// Adds one more name of an inode.
    pub(super) fn link(&mut self, path: TreePath, to: InodeId) -> Result<()> {
        self.metadata_bytes += path.as_bytes().len();
        self.replaceable(&path, false)?;
        self.ensure_parents(&path)?;
        self.set(path, to)
    }

    /// The inode that a hard link from `path` to `target` would name.
    pub(super) fn link_target(&self, path: &TreePath, target: &TreePath) -> Result<InodeId> {
        let Some(node) = self.nodes.get(target) else {
            return Err(refuse(path, format!("it is a hard link to {target}, which the image does not have")));
        };
        match self.inode(node.inode).kind {
            Kind::Directory => Err(refuse(path, format!("it is a hard link to {target}, which is a directory"))),
            Kind::File { .. } | Kind::Symlink { .. } | Kind::Fifo | Kind::Socket => Ok(node.inode),
            Kind::Char { .. } | Kind::Block { .. } => Ok(node.inode),
        }
    }

    /// Takes away what lower layers have at a path; what this layer has there stays, whatever the order.
    pub(super) fn hide(&mut self, path: &TreePath, how: Hide) {
        let lower = |node: &Node| node.layer < self.layer;
        let doomed: Vec<TreePath> = self
            .within(path)
            .filter(|(at, node)| lower(node) && (how == Hide::Path || *at != path))
            .map(|(at, _)| at.clone())
            .collect();
        for at in doomed.into_iter().rev() {
            // A lower directory that this layer put something into goes, but leaves the place.
            let occupied = self.within(&at).nth(1).is_some();
            self.remove(&at);
            if occupied {
                self.imply(at);
            }
        }
    }

    /// Everything at and beneath a path.
    fn within<'a>(&'a self, path: &'a TreePath) -> impl Iterator<Item = (&'a TreePath, &'a Node)> {
        let range = (Bound::Included(path.clone()), Bound::Unbounded);
        self.nodes.range(range).take_while(move |(at, _)| at.is_within(path))
    }

    /// A later path replaces an earlier one, but does not take a directory of the same layer from its children.
    fn replaceable(&mut self, path: &TreePath, by_directory: bool) -> Result<()> {
        let Some(node) = self.nodes.get(path) else { return Ok(()) };
        if by_directory || self.inode(node.inode).kind != Kind::Directory {
            return Ok(());
        }
        if path.is_root() || self.within(path).skip(1).any(|(_, child)| child.layer == self.layer) {
            return Err(refuse(path, "it is a directory with something in it, and then something else"));
        }
        let beneath: Vec<TreePath> = self.within(path).map(|(at, _)| at.clone()).collect();
        beneath.iter().for_each(|at| self.remove(at));
        Ok(())
    }

    fn ensure_parents(&mut self, path: &TreePath) -> Result<()> {
        let mut missing = Vec::new();
        let mut at = path.parent();
        while let Some(parent) = at {
            match self.nodes.get(&parent).map(|node| &self.inode(node.inode).kind) {
                Some(Kind::Directory) => break,
                Some(other) => {
                    let why = format!("it lies in {parent}, which is a {} and not a directory", other.word());
                    return Err(refuse(path, why));
                }
                None => {
                    at = parent.parent();
                    missing.push(parent);
                }
            }
        }
        missing.into_iter().rev().for_each(|parent| self.imply(parent));
        Ok(())
    }

    // As every archiver makes a directory that the archive does not describe, but without its clock and umask.
    fn imply(&mut self, path: TreePath) {
        let meta = Meta { mode: 0o755, ..Meta::default() };
        let id =
            self.new_inode(Inode { kind: Kind::Directory, meta, origin: Origin::default(), machine: None, kept: None });
        self.nodes.insert(path, Node { inode: id, layer: self.layer });
    }

    fn new_inode(&mut self, inode: Inode) -> InodeId {
        let id = InodeId(self.inodes.len() as u32);
        self.inodes.push(inode);
        id
    }

    fn set(&mut self, path: TreePath, inode: InodeId) -> Result<()> {
        if path.components().count() > MAX_DEPTH {
            return Err(refuse(&path, format!("directories are nested deeper than {MAX_DEPTH}")));
        }
        if self.nodes.get(&path).is_some_and(|node| node.inode != inode) {
            self.remove(&path);
        }
        self.nodes.insert(path, Node { inode, layer: self.layer });
        if self.inodes.len() > MAX_PATHS || self.nodes.len() > MAX_PATHS || self.metadata_bytes > MAX_METADATA_BYTES {
            return Err(Error::refused(
                "read the image",
                format!("it has more than {MAX_PATHS} paths or 512 MiB of names"),
            ));
        }
        if self.nodes.len().is_multiple_of(PATHS_PER_EVENT) {
            self.reporter.event(Event::Progress { done: self.nodes.len() as u64, total: None, unit: "paths" });
        }
        Ok(())
    }

    fn remove(&mut self, path: &TreePath) {
        if let Some(node) = self.nodes.remove(path) {
            // Another name may still need it, and will then do without; a repeated path must not fill the memory.
            let kept = self.inodes[node.inode.0 as usize].kept.take();
            self.kept_bytes -= kept.map_or(0, |kept| kept.len());
        }
    }

    fn inode(&self, id: InodeId) -> &Inode {
        &self.inodes[id.0 as usize]
    }

    /// Makes the manifest: the first path of each inode holds it, the others are its hard links.
    pub(super) fn finish(mut self) -> Result<Drafted> {
        let small = self.small_files();
        let machines = self.machines();
        let accounts = accounts(&small, |path| self.nodes.get(path).map(|node| &self.inode(node.inode).kind))?;
        let mut names = vec![0u32; self.inodes.len()];
        self.nodes.values().for_each(|node| names[node.inode.0 as usize] += 1);
        let mut firsts: BTreeMap<u32, TreePath> = BTreeMap::new();
        let mut origins = Vec::new();
        let mut entries = Vec::with_capacity(self.nodes.len());
        for (path, node) in std::mem::take(&mut self.nodes) {
            let id = node.inode.0;
            let inode = &mut self.inodes[id as usize];
            let shared = names[id as usize] > 1;
            let hardlink = firsts.get(&id).cloned();
            if matches!(inode.kind, Kind::File { .. }) && hardlink.is_none() {
                origins.push(inode.origin);
            }
            if shared && hardlink.is_none() {
                firsts.insert(id, path.clone());
            }
            let (kind, meta) = if shared {
                (inode.kind.clone(), inode.meta.clone())
            } else {
                (std::mem::replace(&mut inode.kind, Kind::Fifo), std::mem::take(&mut inode.meta))
            };
            entries.push(Entry { path, kind, meta, hardlink });
        }
        let manifest = Manifest::new(accounts, entries).map_err(|why| Error::refused("read the image", why))?;
        Ok(Drafted { manifest, origins, small, machines })
    }

    fn small_files(&self) -> SmallFiles {
        let kept = |(path, node): (&TreePath, &Node)| Some((path.clone(), self.inode(node.inode).kept.clone()?));
        self.nodes.iter().filter_map(kept).collect()
    }

    fn machines(&self) -> BTreeMap<Machine, usize> {
        let mut machines = BTreeMap::new();
        for dir in PROGRAM_DIRS.iter().filter_map(|dir| TreePath::parse(dir).ok()) {
            for (path, node) in self.within(&dir) {
                if let Some(machine) = self.inode(node.inode).machine
                    && path.parent().as_ref() == Some(&dir)
                {
                    *machines.entry(machine).or_default() += 1;
                }
            }
        }
        machines
    }
}

impl std::fmt::Debug for Draft<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Draft({} paths)", self.nodes.len())
    }
}

fn check_metadata(path: &TreePath, kind: &Kind, meta: &Meta) -> Result<usize> {
    let mut bytes = path.as_bytes().len();
    if let Kind::Symlink { target } = kind {
        bytes += target.0.len();
        if target.0.is_empty() || target.0.contains(&0) || target.0.len() > thinroot_core::path::MAX_PATH_LEN {
            return Err(refuse(path, "the target of the symbolic link is empty, too long or has a zero byte"));
        }
    }
    for (name, value) in &meta.xattrs {
        bytes += name.0.len() + value.0.len();
        let named = !name.0.is_empty() && name.0.len() <= MAX_XATTR_NAME_BYTES && !name.0.contains(&0);
        if !named || value.0.len() > MAX_XATTR_VALUE_BYTES {
            return Err(refuse(path, "an extended attribute is larger than the kernel allows"));
        }
    }
    Ok(bytes)
}

fn refuse(path: &TreePath, why: impl std::fmt::Display) -> Error {
    Error::refused(format!("read {path} of the image"), why)
}

#[cfg(test)]
mod tests;
