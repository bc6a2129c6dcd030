//! Writes an image into a mounted staging volume, touching only what differs from what is there.
//!
//! Separate from the plan (`thinroot_core::rewrite`), which it carries out blindly. Must stay true: the cost beyond
//! comparing two manifests grows with their difference only; no path is reached through a link; every failure is an
//! error that names the path, and a partly written tree is never called written. Nothing is synced here: ending the
//! mount does that once for everything.

use std::collections::BTreeSet;
use std::io::Read;
use std::os::fd::AsFd;
use std::path::Path;

use thinroot_core::manifest::{Entry, Kind, Manifest};
use thinroot_core::path::TreePath;
use thinroot_core::rewrite::{Fill, Operation, Rewrite, plan};

use super::present;
use crate::error::{Error, Result};
use crate::fault;
use crate::progress::{Event, Reporter};
use crate::source::Contents;
use crate::tree::content::{Filler, Target};
use crate::tree::meta;
use crate::tree::write::{Open, Tree};

/// How many bytes pass between two events of progress.
const PROGRESS_BYTES: u64 = 16 << 20;

/// What a writer did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WriteStats {
    /// Directories, links, nodes and further names made.
    pub created: u64,
    /// Names removed.
    pub removed: u64,
    /// Files and directories moved.
    pub renames: u64,
    /// Files written that were not there.
    pub files_written: u64,
    /// Files whose content was rewritten where it lies.
    pub files_rewritten: u64,
    /// Bytes written to files.
    pub bytes_written: u64,
    /// Bytes of old content that were compared.
    pub bytes_compared: u64,
    /// Paths whose metadata alone was brought into line.
    pub metadata_aligned: u64,
}

/// In one line, without what did not happen.
impl std::fmt::Display for WriteStats {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let counts = [
            (self.created, "other paths created"),
            (self.removed, "removed"),
            (self.renames, "renamed"),
            (self.files_written, "files written"),
            (self.files_rewritten, "rewritten in place"),
        ];
        for (count, what) in counts.iter().filter(|(count, _)| *count > 0) {
            write!(f, "{count} {what}, ")?;
        }
        write!(f, "{:.1} MiB written", self.bytes_written as f64 / f64::from(1 << 20))
    }
}

/// Makes the tree mounted at `root` equal to `new`.
///
/// With `old` the tree is trusted to equal it. Without, whatever is there (a fresh file system, or what an interrupted
/// writer left) is looked at first and nothing about its contents is believed.
pub fn write(
    root: &Path,
    old: Option<&Manifest>,
    new: &Manifest,
    contents: &mut dyn Contents,
    reporter: &dyn Reporter,
) -> Result<WriteStats> {
    fault::point("base: before the first change")?;
    let plan = match old {
        Some(old) => plan(old, new),
        None => plan(&present::manifest(root)?, new),
    };
    let mut writer =
        Writer { tree: Tree::open(root)?, new, filler: Filler::default(), stats: WriteStats::default(), reporter };
    writer.change_names(&plan.shape)?;
    fault::point("base: names changed")?;
    writer.write_contents(&plan, contents)?;
    fault::point("base: contents written")?;
    writer.change_names(&plan.links)?;
    fault::point("base: links made")?;
    writer.align_metadata(&plan.metadata)?;
    fault::point("base: metadata aligned")?;
    Ok(writer.stats)
}

struct Writer<'a> {
    tree: Tree,
    new: &'a Manifest,
    filler: Filler,
    stats: WriteStats,
    reporter: &'a dyn Reporter,
}

impl Writer<'_> {
    fn entry(&self, path: &TreePath) -> Result<&Entry> {
        self.new.get(path).ok_or_else(|| Error::damaged(format!("write {path}"), "the manifest does not have it"))
    }

    fn change_names(&mut self, operations: &[Operation]) -> Result<()> {
        for operation in operations {
            match operation {
                Operation::Unlink(path) => {
                    self.tree.unlink(path)?;
                    self.stats.removed += 1;
                }
                Operation::RemoveDirectory(path) => {
                    self.tree.remove_directory(path)?;
                    self.stats.removed += 1;
                }
                Operation::Rename { from, to } => {
                    self.tree.rename(from, to)?;
                    self.stats.renames += 1;
                }
                Operation::CreateParking(path) => self.tree.create(path, &Kind::Directory)?,
                Operation::Create(path) => {
                    let kind = self.entry(path)?.kind.clone();
                    self.tree.create(path, &kind)?;
                    self.stats.created += 1;
                }
                Operation::Link { from, to } => {
                    self.tree.link(from, to)?;
                    self.stats.created += 1;
                }
            }
        }
        Ok(())
    }

    fn write_contents(&mut self, plan: &Rewrite, contents: &mut dyn Contents) -> Result<()> {
        let mut missing: BTreeSet<TreePath> = plan.contents.keys().cloned().collect();
        let wanted = missing.clone();
        if wanted.is_empty() {
            return Ok(());
        }
        let mut progress = Progress::new(self.reporter, self.content_bytes(&wanted));
        contents.contents(&wanted, &mut |path, content| {
            let fill = plan.contents.get(path).filter(|_| missing.remove(path));
            let Some(fill) = fill else {
                return Err(Error::damaged(format!("write {path}"), "the source gave a content that was not wanted"));
            };
            let size = self.write_content(path, *fill, content)?;
            progress.add(size);
            Ok(())
        })?;
        match missing.first() {
            None => Ok(()),
            Some(path) => Err(Error::damaged(format!("write {path}"), "the source did not give its content")),
        }
    }

    fn write_content(&mut self, path: &TreePath, fill: Fill, content: &mut dyn Read) -> Result<u64> {
        let entry = self.new.get(path).ok_or_else(|| Error::damaged(format!("write {path}"), "not in the manifest"))?;
        let Kind::File { size, sparse, .. } = entry.kind else {
            return Err(Error::damaged(format!("write {path}"), format!("it is a {}", entry.kind.word())));
        };
        let (open, was_sparse) = match fill {
            Fill::New => (Open::New, false),
            Fill::Over { sparse } => (Open::Existing, sparse),
        };
        let file = self.tree.file(path, open)?;
        let done = self.filler.fill(&file, Target { path, size, sparse, was_sparse }, content)?;
        // Only now: writing takes capabilities away and changes the time.
        meta::align(file.as_fd(), path, &entry.meta)?;
        match fill {
            Fill::New => self.stats.files_written += 1,
            Fill::Over { .. } => self.stats.files_rewritten += 1,
        }
        self.stats.bytes_written += done.written;
        self.stats.bytes_compared += done.compared;
        Ok(size)
    }

    fn content_bytes(&self, wanted: &BTreeSet<TreePath>) -> u64 {
        let size = |path| match self.new.get(path).map(|entry| &entry.kind) {
            Some(Kind::File { size, .. }) => *size,
            Some(Kind::Directory | Kind::Symlink { .. } | Kind::Fifo | Kind::Socket) | None => 0,
            Some(Kind::Char { .. } | Kind::Block { .. }) => 0,
        };
        wanted.iter().map(size).sum()
    }

    fn align_metadata(&mut self, paths: &[TreePath]) -> Result<()> {
        for path in paths {
            let fd = self.tree.file(path, Open::Reference)?;
            meta::align(fd.as_fd(), path, &self.entry(path)?.meta)?;
            self.stats.metadata_aligned += 1;
        }
        Ok(())
    }
}

struct Progress<'a> {
    reporter: &'a dyn Reporter,
    total: u64,
    done: u64,
    told: u64,
}

impl<'a> Progress<'a> {
    fn new(reporter: &'a dyn Reporter, total: u64) -> Self {
        Progress { reporter, total, done: 0, told: 0 }
    }

    fn add(&mut self, bytes: u64) {
        self.done += bytes;
        if self.done == self.total || self.done - self.told >= PROGRESS_BYTES {
            self.told = self.done;
            self.reporter.event(Event::Progress { done: self.done, total: Some(self.total), unit: "bytes" });
        }
    }
}
