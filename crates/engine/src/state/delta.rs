//! What a layer changed against the manifest of its base.
//!
//! Separate because it is where time is won: a layer is a block snapshot of its base, so a path whose inode number and
//! change time are those recorded when the base was sealed is untouched, and is neither opened nor asked for its
//! attributes. Path, number and time together are compared: a number alone is used again for other files. Without that
//! lineage (an adopted host, another file system) every file is hashed.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use thinroot_core::manifest::{Accounts, Digest, Entry, Kind, Manifest};
use thinroot_core::path::TreePath;
use thinroot_core::state::policy::Treatment;
use thinroot_core::state::{Change, Delta, Policy};

use super::source::{RootContents, digest_of};
use crate::base::inodes::InodeTable;
use crate::error::{Error, IoContext, Result};
use crate::progress::{Event, Reporter};
use crate::tree::read::{Look, OpenFile, Walked, WalkedKind, walk_judged};
use crate::tree::write::shown;

/// Largest passwd or group file that is read; real ones with a hundred thousand accounts stay below.
const MAX_ACCOUNTS_BYTES: u64 = 16 << 20;
/// How many paths pass between two events of progress.
const PROGRESS_PATHS: u64 = 4096;

/// How the delta was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DeltaStats {
    /// Paths met.
    pub paths: u64,
    /// Paths known untouched by inode and change time.
    pub known: u64,
    /// Files opened and hashed.
    pub files_hashed: u64,
    /// Their bytes.
    pub bytes_hashed: u64,
}

/// Finds what the layer mounted at `root` changed. `lineage` has one inode for each entry of `base`.
pub fn delta(
    root: &Path,
    base: &Manifest,
    lineage: Option<&InodeTable>,
    policy: &Policy,
    reporter: &dyn Reporter,
) -> Result<(Delta, DeltaStats)> {
    if lineage.is_some_and(|table| table.inodes.len() != base.entries().len()) {
        let why = "the inode table and the manifest of the base differ in length";
        return Err(Error::damaged(format!("compare {}", root.display()), why).mend("thinroot base verify"));
    }
    let index = base.entries().iter().enumerate().map(|(i, entry)| (&entry.path, i)).collect();
    let known = Known { index, lineage };
    let mut finder = Finder::new(base, &known, policy, reporter);
    finder.delta.accounts = accounts_of(root)?;
    let mut judge = |path: &TreePath, ino, ctime| {
        if policy.ignores_tree(path) {
            Look::Nothing
        } else if known.is_untouched(path, ino, ctime) {
            Look::Inode
        } else {
            Look::Full
        }
    };
    walk_judged(root, true, &mut judge, &mut |walked, open| finder.visit(walked, open))?;
    Ok(finder.finish())
}

/// The accounts of a mounted tree.
pub fn accounts_of(root: &Path) -> Result<Accounts> {
    let root = RootContents::open(root)?;
    let table = |path: &[u8]| -> Result<BTreeMap<u32, String>> {
        let path = TreePath::parse(path).expect("a constant path");
        Ok(Accounts::parse_table(&root.small(&path, MAX_ACCOUNTS_BYTES)?.unwrap_or_default()))
    };
    Ok(Accounts { users: table(b"etc/passwd")?, groups: table(b"etc/group")? })
}

/// The base as it was sealed.
#[derive(Debug)]
struct Known<'a> {
    index: HashMap<&'a TreePath, usize>,
    lineage: Option<&'a InodeTable>,
}

impl Known<'_> {
    fn is_untouched(&self, path: &TreePath, ino: u64, ctime: thinroot_core::manifest::Timestamp) -> bool {
        let recorded = self.index.get(path).and_then(|i| self.lineage?.inodes.get(*i));
        recorded.is_some_and(|inode| inode.ino != 0 && inode.ino == ino && inode.ctime == ctime)
    }
}

struct Finder<'a> {
    base: &'a Manifest,
    known: &'a Known<'a>,
    policy: &'a Policy,
    reporter: &'a dyn Reporter,
    delta: Delta,
    stats: DeltaStats,
    seen: Vec<bool>,
    /// First name of each inode with several, and its digest once it was hashed.
    names: HashMap<u64, (TreePath, Option<Digest>)>,
    /// Directories something else is mounted on: what the layer has beneath them cannot be seen.
    boundaries: Vec<TreePath>,
}

impl<'a> Finder<'a> {
    fn new(base: &'a Manifest, known: &'a Known<'a>, policy: &'a Policy, reporter: &'a dyn Reporter) -> Self {
        Finder {
            base,
            known,
            policy,
            reporter,
            delta: Delta::default(),
            stats: DeltaStats::default(),
            seen: vec![false; base.entries().len()],
            names: HashMap::new(),
            boundaries: Vec::new(),
        }
    }

    fn visit(&mut self, walked: &Walked, open: OpenFile<'_>) -> Result<()> {
        self.stats.paths += 1;
        if self.stats.paths.is_multiple_of(PROGRESS_PATHS) {
            let total = Some(self.base.entries().len() as u64);
            self.reporter.event(Event::Progress { done: self.stats.paths, total, unit: "paths" });
        }
        let at = self.known.index.get(&walked.path).copied();
        if let Some(at) = at {
            self.seen[at] = true;
        }
        if walked.boundary {
            self.boundaries.push(walked.path.clone());
            return Ok(());
        }
        let linked = walked.nlink > 1 && walked.kind != WalkedKind::Directory;
        let first = linked.then(|| self.first_name(walked)).flatten();
        // The walk asks nothing about its root, so it is compared like everything that was looked at in full.
        if !walked.path.is_root() && self.known.is_untouched(&walked.path, walked.ino, walked.ctime) {
            self.stats.known += 1;
            return Ok(());
        }
        let entry = self.entry(walked, open, first)?;
        match at.map(|at| &self.base.entries()[at]) {
            None => drop(self.delta.changes.insert(walked.path.clone(), Change::Added(entry))),
            Some(old) if alike(old, &entry) => {}
            Some(_) => drop(self.delta.changes.insert(walked.path.clone(), Change::Modified(entry))),
        }
        Ok(())
    }

    /// The first name of the inode, where this is not it.
    fn first_name(&mut self, walked: &Walked) -> Option<TreePath> {
        let first = &self.names.entry(walked.ino).or_insert_with(|| (walked.path.clone(), None)).0;
        (*first != walked.path).then(|| first.clone())
    }

    fn entry(&mut self, walked: &Walked, open: OpenFile<'_>, hardlink: Option<TreePath>) -> Result<Entry> {
        entry_of(walked, hardlink, || self.hash(walked, open))
    }

    fn hash(&mut self, walked: &Walked, open: OpenFile<'_>) -> Result<(Digest, u64)> {
        if let (Some((_, Some(digest))), WalkedKind::File { size, .. }) = (self.names.get(&walked.ino), &walked.kind) {
            return Ok((*digest, *size));
        }
        let (digest, size) = digest_of(&mut open.open()?).at("read", shown(&walked.path))?;
        self.stats.files_hashed += 1;
        self.stats.bytes_hashed += size;
        if let Some(names) = self.names.get_mut(&walked.ino) {
            names.1 = Some(digest);
        }
        Ok((digest, size))
    }

    fn finish(mut self) -> (Delta, DeltaStats) {
        for (entry, seen) in self.base.entries().iter().zip(&self.seen) {
            let hidden = || {
                self.policy.rule(&entry.path).treatment == Treatment::Ignored
                    || self.boundaries.iter().any(|dir| entry.path.is_within(dir))
            };
            if !seen && !hidden() {
                self.delta.changes.insert(entry.path.clone(), Change::Removed);
            }
        }
        (self.delta, self.stats)
    }
}

/// What was walked as an entry; `hash` is asked for digest and length of a file.
pub(super) fn entry_of(
    walked: &Walked,
    hardlink: Option<TreePath>,
    hash: impl FnOnce() -> Result<(Digest, u64)>,
) -> Result<Entry> {
    let kind = match &walked.kind {
        WalkedKind::Directory => Kind::Directory,
        WalkedKind::File { sparse, .. } => {
            let (digest, size) = hash()?;
            Kind::File { size, digest, sparse: *sparse }
        }
        WalkedKind::Symlink { target } => Kind::Symlink { target: target.clone() },
        WalkedKind::Fifo => Kind::Fifo,
        WalkedKind::Char { major, minor } => Kind::Char { major: *major, minor: *minor },
        WalkedKind::Block { major, minor } => Kind::Block { major: *major, minor: *minor },
        WalkedKind::Socket => Kind::Socket,
    };
    Ok(Entry { path: walked.path.clone(), kind, meta: walked.meta.clone(), hardlink })
}

/// Whether nothing changed that counts: never a time, never holes, never how many names there are.
fn alike(old: &Entry, now: &Entry) -> bool {
    let content = match (&old.kind, &now.kind) {
        (Kind::File { digest: a, .. }, Kind::File { digest: b, .. }) => a == b,
        (a, b) => a == b,
    };
    let (a, b) = (&old.meta, &now.meta);
    content && (a.mode, a.uid, a.gid) == (b.mode, b.uid, b.gid) && a.xattrs == b.xattrs && a.flags == b.flags
}
