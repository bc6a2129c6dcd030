//! What a program of a migration leaves behind.

use std::path::Path;

use thinroot_core::path::TreePath;
use thinroot_core::state::text::MAX_TEXT_BYTES;

use crate::error::{Error, Result};
use crate::state::{RootContents, Texts};
use crate::tree::read::{WalkedKind, walk};

/// Names a file in which a program says what is not there any more, a path a line.
const REMOVED: &str = ".removed";
/// Most that a program may leave. Migrations are of configuration.
const OUT_BYTES: u64 = 64 << 20;

/// Files that a program left, and what it says is not there any more.
pub(super) fn left_in(out: &Path) -> Result<(Texts, Vec<TreePath>)> {
    let mut found: Vec<TreePath> = Vec::new();
    let mut bytes = 0;
    walk(out, false, &mut |walked, _| {
        match walked.kind {
            WalkedKind::Directory => {}
            WalkedKind::File { size, .. } => {
                bytes += size;
                found.push(walked.path.clone());
            }
            WalkedKind::Symlink { .. } | WalkedKind::Fifo | WalkedKind::Socket => return Err(not_taken(&walked.path)),
            WalkedKind::Char { .. } | WalkedKind::Block { .. } => return Err(not_taken(&walked.path)),
        }
        if bytes > OUT_BYTES {
            return Err(Error::refused(
                "take what a migration left",
                format!("it is more than {} MiB", OUT_BYTES >> 20),
            ));
        }
        Ok(())
    })?;
    let tree = RootContents::open(out)?;
    let mut texts = Texts::new();
    for path in found {
        let text = tree.small(&path, MAX_TEXT_BYTES)?.ok_or_else(|| not_taken(&path))?;
        texts.insert(path, text);
    }
    let list = TreePath::parse(REMOVED.as_bytes()).expect("a constant path");
    let list = texts.remove(&list).unwrap_or_default();
    let lines = list.split(|b| *b == b'\n').filter(|line| !line.is_empty());
    let path = |line: &[u8]| {
        TreePath::parse(line.strip_prefix(b"/").unwrap_or(line))
            .map_err(|why| Error::refused("take what a migration removed", why))
    };
    let removed = lines.map(path).collect::<Result<_>>()?;
    Ok((texts, removed))
}

pub(super) fn not_taken(path: &TreePath) -> Error {
    let why = format!("{path} is no file of at most {} KiB", MAX_TEXT_BYTES >> 10);
    Error::refused("migrate", why)
}
