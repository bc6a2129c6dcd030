//! What is on a volume of which nothing is known: a fresh file system with its `lost+found`, or a half-written base.
//!
//! Separate because it is a manifest that must not be trusted with contents: no file of it has a real digest, so that a
//! writer compares every block.

use std::collections::HashMap;
use std::path::Path;

use thinroot_core::manifest::{Accounts, Digest, Entry, Kind, Manifest};
use thinroot_core::path::TreePath;

use crate::error::{Error, Result};
use crate::tree::read::{WalkedKind, walk};

/// Not the digest of anything: finding a content for it would break SHA-256.
const UNKNOWN: Digest = Digest([0; 32]);

/// Reads names and metadata of a mounted tree.
pub(super) fn manifest(root: &Path) -> Result<Manifest> {
    let mut entries = Vec::new();
    let mut first_names: HashMap<u64, TreePath> = HashMap::new();
    walk(root, true, &mut |walked, _| {
        if walked.boundary {
            return Err(Error::refused(format!("write a base into {}", root.display()), "something is mounted in it"));
        }
        let kind = match &walked.kind {
            WalkedKind::Directory => Kind::Directory,
            WalkedKind::File { size, sparse } => Kind::File { size: *size, digest: UNKNOWN, sparse: *sparse },
            WalkedKind::Symlink { target } => Kind::Symlink { target: target.clone() },
            WalkedKind::Fifo => Kind::Fifo,
            WalkedKind::Char { major, minor } => Kind::Char { major: *major, minor: *minor },
            WalkedKind::Block { major, minor } => Kind::Block { major: *major, minor: *minor },
            WalkedKind::Socket => Kind::Socket,
        };
        let mut hardlink = None;
        if kind != Kind::Directory && walked.nlink > 1 {
            let first = first_names.entry(walked.ino).or_insert_with(|| walked.path.clone());
            hardlink = Some(first.clone()).filter(|first| *first != walked.path);
        }
        entries.push(Entry { path: walked.path.clone(), kind, meta: walked.meta.clone(), hardlink });
        Ok(())
    })?;
    Manifest::new(Accounts::default(), entries)
        .map_err(|why| Error::damaged(format!("read the tree at {}", root.display()), why))
}
