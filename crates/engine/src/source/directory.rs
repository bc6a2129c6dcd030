//! Trees from mounted directories: the `dir:` source itself, and what squashfs and raw images are once mounted.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use thinroot_core::manifest::{Kind, Manifest};
use thinroot_core::path::TreePath;

use super::content::{ContentReader, Expected};
use super::draft::{Draft, Drafted, InodeId, Origin};
use super::small::worth_keeping;
use super::{Contents, Found, Stated, TakeContent};
use crate::error::{Error, IoContext, Result};
use crate::mounts::TempMount;
use crate::progress::{Event, Reporter};
use crate::tree::read::{OpenFile, Walked, WalkedKind, walk};

/// Reads the tree of a directory.
pub(super) fn read(root: &Path, attempted: &str, reporter: &dyn Reporter) -> Result<Found> {
    if !root.is_dir() {
        let why = if root.exists() { "it is not a directory" } else { "it does not exist" };
        return Err(Error::refused(attempted, why));
    }
    read_mounted(root, Vec::new(), reporter)
}

/// Reads a tree below mounts of ours, which live as long as its contents are wanted.
pub(super) fn read_mounted(root: &Path, mounts: Vec<TempMount>, reporter: &dyn Reporter) -> Result<Found> {
    let Drafted { manifest, small, machines, .. } = scan(root, reporter)?;
    let source = Box::new(TreeContents::new(root, &manifest, mounts));
    Ok(Found { manifest, small, machines, source, stated: Stated::default() })
}

/// Contents of the files of a manifest, read from a mounted tree and held to their digests.
pub fn tree_contents(root: &Path, manifest: &Manifest) -> impl Contents + use<> {
    TreeContents::new(root, manifest, Vec::new())
}

/// The manifest of a mounted tree, computed from its bytes.
pub fn manifest_of_tree(root: &Path) -> Result<Manifest> {
    Ok(scan(root, &crate::progress::Silent)?.manifest)
}

fn scan(root: &Path, reporter: &dyn Reporter) -> Result<Drafted> {
    let mut draft = Draft::new(reporter);
    let mut reader = ContentReader::new();
    // Only what has more than one name: most inodes do not.
    let mut linked: HashMap<u64, InodeId> = HashMap::new();
    walk(root, true, &mut |walked, open| {
        if let Some(inode) = linked.get(&walked.ino).filter(|_| walked.kind != WalkedKind::Directory) {
            return draft.link(walked.path.clone(), *inode);
        }
        if walked.boundary {
            let text = format!("{}: something is mounted there; it is left out", walked.path);
            reporter.event(Event::Note { text });
        }
        let inode = put(walked, open, &mut draft, &mut reader, reporter)?;
        if let Some(inode) = inode
            && walked.nlink > 1
            && walked.kind != WalkedKind::Directory
        {
            linked.insert(walked.ino, inode);
        }
        Ok(())
    })?;
    draft.finish()
}

fn put(
    walked: &Walked,
    open: OpenFile<'_>,
    draft: &mut Draft<'_>,
    reader: &mut ContentReader,
    reporter: &dyn Reporter,
) -> Result<Option<InodeId>> {
    let path = walked.path.clone();
    let kind = match &walked.kind {
        WalkedKind::File { size, sparse } => {
            let facts = reader.read(&path, &mut open.open()?, worth_keeping(&path))?;
            if facts.size != *size {
                return Err(Error::refused(format!("read {path}"), "it changed while it was being read"));
            }
            return draft.put_file(path, facts, *sparse, walked.meta.clone(), Origin::default()).map(Some);
        }
        WalkedKind::Socket => {
            reporter.event(Event::Note { text: format!("{path}: a socket; it is left out") });
            return Ok(None);
        }
        WalkedKind::Directory => Kind::Directory,
        WalkedKind::Symlink { target } => Kind::Symlink { target: target.clone() },
        WalkedKind::Fifo => Kind::Fifo,
        WalkedKind::Char { major, minor } => Kind::Char { major: *major, minor: *minor },
        WalkedKind::Block { major, minor } => Kind::Block { major: *major, minor: *minor },
    };
    draft.put(path, kind, walked.meta.clone()).map(Some)
}

struct TreeContents {
    root: PathBuf,
    expected: Expected,
    /// Unmounted when the contents are no longer wanted, the innermost first.
    _mounts: Vec<TempMount>,
}

impl TreeContents {
    fn new(root: &Path, manifest: &Manifest, mounts: Vec<TempMount>) -> Self {
        TreeContents { root: root.to_path_buf(), expected: Expected::of(manifest), _mounts: mounts }
    }
}

impl Contents for TreeContents {
    fn contents(&mut self, wanted: &BTreeSet<TreePath>, take: &mut TakeContent<'_>) -> Result<()> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(&self.root, flags, Mode::empty()).at("open directory", &self.root)?;
        for path in wanted {
            let position = self.expected.position(path)?;
            self.expected.hand_on(position, &mut open_beneath(&root, path)?, take)?;
        }
        Ok(())
    }
}

fn open_beneath(root: &OwnedFd, path: &TreePath) -> Result<File> {
    let resolve =
        ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
    // Not blocking: a fifo that took the place of a file must not hold us up.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let fd = rustix::fs::openat2(root, OsStr::from_bytes(path.as_bytes()), flags, Mode::empty(), resolve)
        .map_err(|error| Error::damaged(format!("read {path} again"), std::io::Error::from(error)))?;
    let file = File::from(fd);
    if !file.metadata().at("look at", path.to_string())?.is_file() {
        return Err(Error::damaged(format!("read {path} again"), "it is no longer a file"));
    }
    Ok(file)
}
