//! What a mounted tree has at a few paths.
//!
//! Separate from the delta, which looks at all of a tree: a person's edit is about a handful.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use thinroot_core::manifest::Entry;
use thinroot_core::path::TreePath;

use super::delta::entry_of;
use super::source::digest_of;
use crate::error::{IoContext, Result};
use crate::tree::read::{Look, walk_judged};
use crate::tree::write::shown;

/// Entries of the tree at `root` for those of the wanted paths that exist. Reads no directory but those that lead there.
pub fn entries_at(root: &Path, wanted: &BTreeSet<TreePath>) -> Result<BTreeMap<TreePath, Entry>> {
    let on_the_way: BTreeSet<TreePath> =
        wanted.iter().flat_map(|path| std::iter::successors(path.parent(), TreePath::parent)).collect();
    let mut found = BTreeMap::new();
    let mut judge = |path: &TreePath, _, _| match wanted.contains(path) || on_the_way.contains(path) {
        true => Look::Full,
        false => Look::Nothing,
    };
    walk_judged(root, true, &mut judge, &mut |walked, open| {
        if wanted.contains(&walked.path) && !walked.boundary {
            let hash = || digest_of(&mut open.open()?).at("read", shown(&walked.path));
            found.insert(walked.path.clone(), entry_of(walked, None, hash)?);
        }
        Ok(())
    })?;
    Ok(found)
}
