//! Reads the three versions of each text that both sides changed, and merges them.
//!
//! Separate so that the plan stays pure: what is read here goes into it as a value.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use sha2::{Digest as _, Sha256};
use thinroot_core::accounts;
use thinroot_core::manifest::{Digest, Manifest};
use thinroot_core::path::TreePath;
use thinroot_core::state::text::{MAX_TEXT_BYTES, Merge, is_binary, merge3};
use thinroot_core::state::{Policy, TextMerge};
use thinroot_core::structured::{self, Merged};

use super::source::RootContents;
use crate::error::{IoContext, Result};
use crate::source::Contents;
use crate::tree::write::shown;

/// Texts of one tree by path; what is larger than a text may be is not among them.
pub type Texts = BTreeMap<TreePath, Vec<u8>>;

/// Reads those texts of a tree that its manifest has as files, which also tells which name holds the content of a hard
/// link.
pub fn read_texts(paths: &[TreePath], manifest: &Manifest, source: &mut dyn Contents) -> Result<Texts> {
    let holder = |path: &TreePath| {
        let entry = manifest.get(path).filter(|entry| entry.kind.digest().is_some())?;
        Some(entry.hardlink.clone().unwrap_or_else(|| path.clone()))
    };
    let wanted: BTreeSet<TreePath> = paths.iter().filter_map(holder).collect();
    let mut found = BTreeMap::new();
    if !wanted.is_empty() {
        source.contents(&wanted, &mut |path, content| {
            let mut text = Vec::new();
            content.take(MAX_TEXT_BYTES + 1).read_to_end(&mut text).at("read", shown(path))?;
            found.insert(path.clone(), text);
            Ok(())
        })?;
    }
    let small = |path: &TreePath| found.get(&holder(path)?).filter(|text| text.len() as u64 <= MAX_TEXT_BYTES);
    Ok(paths.iter().filter_map(|path| Some((path.clone(), small(path)?.clone()))).collect())
}

/// Reads those texts of a mounted tree that are there.
pub fn present_texts(paths: &[TreePath], root: &RootContents) -> Result<Texts> {
    let mut found = Texts::new();
    for path in paths {
        if let Some(text) = root.small(path, MAX_TEXT_BYTES)? {
            found.insert(path.clone(), text);
        }
    }
    Ok(found)
}

/// Merges the account files as one set, and says what a person should know of it. Where there is no set, the paths are
/// decided each for itself.
pub fn merge_accounts(set: &[TreePath], sides: [&Texts; 3], merged: &mut BTreeMap<TreePath, TextMerge>) -> Vec<String> {
    let [base, local, vendor]: [accounts::Files; 3] = sides.map(|texts| {
        let mut files = accounts::Files::default();
        for (file, path) in files.iter_mut().zip(set) {
            *file = texts.get(path).cloned();
        }
        files
    });
    set.iter().for_each(|path| drop(merged.remove(path)));
    let Some(result) = accounts::merge(&base, &local, &vendor) else { return Vec::new() };
    for (path, (text, lost)) in set.iter().zip(result.files.into_iter().zip(result.lost)) {
        if let Some(text) = text {
            merged.insert(path.clone(), of_text(text, lost));
        }
    }
    result.notes
}

/// Merges every wanted path: by key where its format is known and the texts are of it, else by line. `added` says of a
/// path that it has no original, rather than one that is nowhere to be had. A path without an answer is decided without
/// merging.
pub fn merge_texts(
    wanted: &[TreePath],
    [base, local, vendor]: [&Texts; 3],
    added: impl Fn(&TreePath) -> bool,
    policy: &Policy,
) -> BTreeMap<TreePath, TextMerge> {
    let answer = |path: &TreePath| {
        let (l, n) = (local.get(path)?, vendor.get(path)?);
        let b = base.get(path).map(Vec::as_slice);
        let keyed = policy.format(path).filter(|_| b.is_some() || added(path));
        match keyed.and_then(|format| structured::merge(format, b, l, n)) {
            Some(Merged { text, lost }) => Some((path.clone(), of_text(text, lost))),
            None => Some((path.clone(), by_line(b?, l, n))),
        }
    };
    wanted.iter().filter_map(answer).collect()
}

fn by_line(b: &[u8], l: &[u8], n: &[u8]) -> TextMerge {
    if [b, l, n].into_iter().any(is_binary) {
        return TextMerge::Binary;
    }
    match merge3(b, l, n) {
        Merge::Clean(text) => of_text(text, Vec::new()),
        Merge::Conflict => TextMerge::Conflict,
    }
}

fn of_text(text: Vec<u8>, lost: Vec<String>) -> TextMerge {
    TextMerge::Merged { digest: Digest(Sha256::digest(&text).into()), text, lost }
}
