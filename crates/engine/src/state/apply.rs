//! Carries a state plan out in the new layer.
//!
//! Separate from putting one path (`place`) because the order is what makes it safe: every content that must be
//! kept is kept before the first change; names are removed from the leaves up, directories made from the root down, then
//! files and links, metadata after content, times of directories last. Applying twice changes nothing.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use sha2::{Digest as _, Sha256};
use thinroot_core::manifest::{Digest, Entry, Kind};
use thinroot_core::path::TreePath;
use thinroot_core::state::text::MAX_TEXT_BYTES;
use thinroot_core::state::{Action, Content, Decision, Kept, Side, StatePlan};

use super::blobs::BlobStore;
use super::place::Place;
use super::source::{RootContents, digest_of};
use crate::error::{Error, IoContext, Result};
use crate::fault;
use crate::store::Ensured;
use crate::tree::write::shown;

/// Where the trees are mounted.
#[derive(Debug, Clone, Copy)]
pub struct Roots<'a> {
    /// The frozen snapshot of the old layer.
    pub frozen: &'a Path,
    /// The new layer, which holds what the new base holds, or what an interrupted run made of it.
    pub layer: &'a Path,
    /// The old base, where it is still there.
    pub base: Option<&'a Path>,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ApplyStats {
    /// Blobs that were not kept yet.
    pub kept: u64,
    /// Originals that are nowhere to be had any more: the old base is gone and no blob has them.
    pub originals_missing: u64,
    /// Names removed.
    pub removed: u64,
    /// Directories that should go but hold something that is not state.
    pub directories_left: u64,
    /// Paths put.
    pub put: u64,
    /// Bytes of content written.
    pub bytes_written: u64,
}

/// In one line.
impl std::fmt::Display for ApplyStats {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} paths put, {} removed, {} originals and losers kept", self.put, self.removed, self.kept)
    }
}

/// Carries out every decision of `plan`. A blocked plan is refused.
pub fn apply(plan: &StatePlan, roots: Roots<'_>, kept: &BlobStore) -> Result<ApplyStats> {
    if plan.blocked {
        return Err(Error::refused("carry state to the new layer", plan.why_blocked()).mend("thinroot state conflicts"));
    }
    let base = roots.base.map(RootContents::open).transpose()?;
    carry_out(plan, RootContents::open(roots.frozen)?, base, Place::open(roots.layer, false)?, kept)
}

/// Carries out edits of a layer that may be running; every content is among the kept ones.
pub fn edit(plan: &StatePlan, layer: &Path, kept: &BlobStore) -> Result<ApplyStats> {
    carry_out(plan, RootContents::open(layer)?, None, Place::open(layer, true)?, kept)
}

fn carry_out(
    plan: &StatePlan,
    frozen: RootContents,
    base: Option<RootContents>,
    place: Place,
    blobs: &BlobStore,
) -> Result<ApplyStats> {
    let mut applier = Applier { frozen, base, place, blobs, links: links(plan), stats: ApplyStats::default() };
    for decision in &plan.decisions {
        applier.keep(decision)?;
    }
    fault::point("state: losers kept")?;
    for decision in plan.decisions.iter().rev() {
        applier.remove(decision)?;
    }
    for stage in [Stage::Directories, Stage::Leaves, Stage::Links, Stage::Metadata] {
        for decision in &plan.decisions {
            applier.put(decision, stage)?;
        }
    }
    for (path, time) in &plan.directory_times {
        applier.place.time(path, *time)?;
    }
    applier.place.lock_again()?;
    fault::point("state: applied")?;
    applier.stats.bytes_written = applier.place.bytes_written;
    Ok(applier.stats)
}

/// What is put when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Directories,
    Leaves,
    Links,
    Metadata,
}

fn stage(entry: &Entry, content: &Content) -> Stage {
    match content {
        Content::Vendor { .. } => Stage::Metadata,
        Content::LinkTo { .. } => Stage::Links,
        Content::Local | Content::Kept if entry.kind == Kind::Directory => Stage::Directories,
        Content::Local | Content::Kept | Content::Merged { .. } => Stage::Leaves,
    }
}

/// How many further names each path gets.
fn links(plan: &StatePlan) -> HashMap<TreePath, u64> {
    let mut links = HashMap::new();
    for decision in &plan.decisions {
        if let Action::Put { content: Content::LinkTo { path }, .. } = &decision.action {
            *links.entry(path.clone()).or_default() += 1;
        }
    }
    links
}

struct Applier<'a> {
    frozen: RootContents,
    base: Option<RootContents>,
    place: Place,
    blobs: &'a BlobStore,
    links: HashMap<TreePath, u64>,
    stats: ApplyStats,
}

impl Applier<'_> {
    fn keep(&mut self, decision: &Decision) -> Result<()> {
        // A merged text is what later changes are told from, and it is nowhere else.
        if let Action::Put { entry, content: Content::Merged { text } } = &decision.action
            && let Some(digest) = entry.kind.digest()
        {
            self.blobs.keep(&digest, &mut text.as_slice(), &decision.path)?;
        }
        if let Action::Put { entry, content: Content::Local | Content::Merged { .. } } = &decision.action {
            self.keep_shipped(entry)?;
        }
        for kept in &decision.kept {
            let path = &decision.path;
            if self.blobs.has(&kept.digest) {
                continue;
            }
            let found = match kept.side {
                Side::Local => Some(self.frozen.required(decision.source())?),
                Side::Vendor => Some(self.place.present.required(path)?),
                Side::Base => self.original(path, kept)?,
            };
            let Some(mut content) = found else {
                self.stats.originals_missing += 1;
                continue;
            };
            if self.blobs.keep(&kept.digest, &mut content, path)? == Ensured::Done {
                self.stats.kept += 1;
            }
        }
        Ok(())
    }

    /// Keeps the text that the image ships where the layer has another: the next change is told from it, also when its base
    /// is not there any more.
    fn keep_shipped(&mut self, entry: &Entry) -> Result<()> {
        let Some(result) = entry.kind.digest() else { return Ok(()) };
        let Some(text) = self.place.present.small(&entry.path, MAX_TEXT_BYTES)? else { return Ok(()) };
        // What is there already is what an earlier try put.
        let put = Digest(Sha256::digest(&text).into()) == result;
        if !put && self.blobs.keep_text(&text)? == Ensured::Done {
            self.stats.kept += 1;
        }
        Ok(())
    }

    /// What changes were told from: from the old base, or from the new layer where that has the same.
    fn original(&self, path: &TreePath, kept: &Kept) -> Result<Option<File>> {
        for tree in self.base.iter().chain([&self.place.present]) {
            let Some(mut file) = tree.file(path)? else { continue };
            if digest_of(&mut file).at("read", shown(path))?.0 == kept.digest {
                return tree.file(path);
            }
        }
        Ok(None)
    }

    fn remove(&mut self, decision: &Decision) -> Result<()> {
        if decision.action != Action::Remove {
            return Ok(());
        }
        fault::point("state: before removal")?;
        if self.place.remove(&decision.path)? {
            self.stats.removed += 1;
        } else if self.place.exists(&decision.path)? {
            self.stats.directories_left += 1;
        }
        fault::point("state: removed")
    }

    fn put(&mut self, decision: &Decision, now: Stage) -> Result<()> {
        let Action::Put { entry, content } = &decision.action else { return Ok(()) };
        let its = stage(entry, content);
        let directory_metadata = now == Stage::Metadata && its == Stage::Directories;
        if its != now && !directory_metadata {
            return Ok(());
        }
        fault::point("state: before a path")?;
        match content {
            Content::Local | Content::Kept | Content::Merged { .. } if directory_metadata => self.place.align(entry)?,
            Content::Local | Content::Kept if entry.kind == Kind::Directory => self.place.directory(&entry.path)?,
            Content::Local if matches!(entry.kind, Kind::File { .. }) => {
                let mut file = self.frozen.required(decision.source())?;
                self.leaf(entry, &mut file)?;
            }
            Content::Kept if let Some(digest) = entry.kind.digest() => {
                let mut file = self.blob(&digest, &decision.path)?;
                self.leaf(entry, &mut file)?;
            }
            Content::Local | Content::Kept => self.leaf(entry, &mut std::io::empty())?,
            Content::Merged { text } => self.leaf(entry, &mut text.as_slice())?,
            Content::LinkTo { path } => self.place.link(path, &entry.path)?,
            Content::Vendor { detach: true } => self.place.detach(entry)?,
            Content::Vendor { detach: false } => self.place.align(entry)?,
        }
        if !directory_metadata {
            self.stats.put += 1;
        }
        fault::point("state: path put")
    }

    fn blob(&self, digest: &Digest, path: &TreePath) -> Result<File> {
        let missing = || Error::damaged(format!("write {path}"), format!("its content {digest} is no longer kept"));
        self.blobs.open(digest)?.ok_or_else(missing)
    }

    fn leaf(&mut self, entry: &Entry, content: &mut dyn Read) -> Result<()> {
        let names = 1 + self.links.get(&entry.path).copied().unwrap_or(0);
        self.place.leaf(entry, names, content)
    }
}
