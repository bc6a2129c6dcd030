//! Makes migrations of an image on both sides of a merge: on the old base and on the old layer.
//!
//! Separate from the merge, which sees two trees and does not know that they were changed. Must stay true: nothing is written
//! into any of the trees; what a migration made is kept here until the plan is carried out; one that fails leaves
//! nothing.

mod output;

use std::path::Path;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use thinroot_core::manifest::{Digest, Entry, Kind, Manifest, Meta};
use thinroot_core::path::TreePath;
use thinroot_core::state::migrations::{Act, Migrated, Migration, origin, rename};
use thinroot_core::state::policy::Rule;
use thinroot_core::state::text::MAX_TEXT_BYTES;
use thinroot_core::state::{Action, Change, Content, Decision, Delta, Policy};
use thinroot_core::structured::Format;
use thinroot_core::structured::edit::{self, Key};

use self::output::{left_in, not_taken};
use crate::confine::Confined;
use crate::error::{Error, Result};
use crate::mounts::Scratch;
use crate::state::{BlobStore, RootContents, Texts};

/// What is merged, as migrations leave it.
#[derive(Debug, Clone)]
pub(super) struct Sides {
    /// What the layer was made from.
    pub base: Manifest,
    /// How the layer differs from that.
    pub changes: Delta,
    /// Contents of the base that are in no tree.
    pub base_texts: Texts,
    /// Contents of the layer that are in no tree.
    pub local_texts: Texts,
    /// Names that were changed, from and to.
    pub renames: Vec<(TreePath, TreePath)>,
    /// Rules of theirs.
    pub rules: Vec<Rule>,
    /// What came of each.
    pub told: Vec<Migrated>,
    /// Failures that stop the update.
    pub stops: Vec<String>,
}

/// Where the trees are mounted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Trees<'a> {
    /// The old base, where it is still here.
    pub base: Option<&'a Path>,
    /// The old layer.
    pub local: &'a Path,
    /// The new image, where it is here already.
    pub vendor: Option<&'a Path>,
    /// What is in no tree any more.
    pub kept: &'a BlobStore,
    /// What the new image has in files of which a default is set.
    pub shipped: &'a Texts,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Base,
    Local,
}

/// Why a migration could not be made, or the program that makes it not be run.
enum Failure {
    Of(String),
    Later,
}

impl From<String> for Failure {
    fn from(why: String) -> Self {
        Failure::Of(why)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Of(error.to_string())
    }
}

impl Sides {
    /// Without any migration.
    pub fn new(base: Manifest, changes: Delta) -> Self {
        let (base_texts, local_texts) = (Texts::new(), Texts::new());
        let (renames, rules, told, stops) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Sides { base, changes, base_texts, local_texts, renames, rules, told, stops }
    }

    /// Makes migrations, one after the other.
    pub fn migrate(mut self, migrations: &[Migration], trees: Trees<'_>, policy: &Policy) -> Self {
        for migration in migrations {
            let mut changed = self.clone();
            let made = migration.acts.iter().try_for_each(|act| changed.make(act, migration, trees, policy));
            let (failed, later) = match made {
                Ok(()) => {
                    changed.rules.extend(migration.rules());
                    self = changed;
                    (None, false)
                }
                Err(Failure::Later) => (None, true),
                Err(Failure::Of(why)) => (Some(why), false),
            };
            if let (Some(why), true) = (&failed, migration.critical) {
                self.stops
                    .push(format!("migration {} failed, and the image cannot do without it: {why}", migration.name));
            }
            let (name, since) = (migration.name.clone(), migration.since.clone());
            self.told.push(Migrated { name, since, failed, later });
        }
        self
    }

    /// Where a path lies in the trees.
    pub fn origin(&self, path: &TreePath) -> TreePath {
        origin(path, &self.renames)
    }

    /// Those texts as the layer has them.
    pub fn present(&self, wanted: &[TreePath], root: &Path) -> Result<Texts> {
        let tree = RootContents::open(root)?;
        let mut found = Texts::new();
        for path in wanted {
            let text = match self.local_texts.get(path) {
                Some(text) => Some(text.clone()),
                None => tree.small(&self.origin(path), MAX_TEXT_BYTES)?,
            };
            found.extend(text.map(|text| (path.clone(), text)));
        }
        Ok(found)
    }

    /// Says in a decision where the layer's content is: in a tree under another name, or in none.
    pub fn settle(&self, decision: &mut Decision) {
        let at = self.origin(&decision.path);
        decision.source = Some(at).filter(|at| *at != decision.path);
        if let (Action::Put { content, .. }, Some(text)) = (&mut decision.action, self.local_texts.get(&decision.path))
            && *content == Content::Local
        {
            *content = Content::Merged { text: text.clone() };
        }
    }

    fn make(
        &mut self,
        act: &Act,
        migration: &Migration,
        trees: Trees<'_>,
        policy: &Policy,
    ) -> std::result::Result<(), Failure> {
        match act {
            Act::Rename(from, to) => {
                (self.base, self.changes) = rename(&self.base, &self.changes, from, to)?;
                for texts in [&mut self.base_texts, &mut self.local_texts] {
                    let moved = |path: &TreePath| path.rebase(from, to).unwrap_or_else(|| path.clone());
                    *texts = std::mem::take(texts).into_iter().map(|(path, text)| (moved(&path), text)).collect();
                }
                self.renames.push((from.clone(), to.clone()));
            }
            Act::Drop(..) => {}
            Act::RenameKey(file, key, name) => {
                for side in [Side::Base, Side::Local] {
                    self.rewrite(side, file, trees, policy, |format, text| edit::rename(format, text, key, name))?;
                }
            }
            Act::MapValue(file, key, old, new) => {
                for side in [Side::Base, Side::Local] {
                    self.rewrite(side, file, trees, policy, |format, text| {
                        edit::set(format, text, key, Some(old), new)
                    })?;
                }
            }
            Act::SetIfDefault(file, key, value) => {
                if self.is_default(file, key, trees, policy)? {
                    // What the image ships is what it was, so that only this changes it, and nothing clashes.
                    let shipped = trees.shipped.get(file).and_then(|text| std::str::from_utf8(text).ok());
                    let shipped = shipped.and_then(|text| edit::values(format_of(file, policy), text, key));
                    self.rewrite(Side::Base, file, trees, policy, |format, text| match shipped.as_deref() {
                        Some([value]) => edit::set(format, text, key, None, value),
                        Some(_) | None => edit::remove(format, text, key),
                    })?;
                    self.rewrite(Side::Local, file, trees, policy, |format, text| {
                        edit::set(format, text, key, None, value)
                    })?;
                }
            }
            Act::Run(argv) => {
                let Some(vendor) = trees.vendor else { return Err(Failure::Later) };
                let limit = Duration::from_secs(migration.limit_sec);
                if let Some(base) = trees.base {
                    self.run(Side::Base, argv, limit, vendor, base)?;
                }
                self.run(Side::Local, argv, limit, vendor, trees.local)?;
            }
        }
        Ok(())
    }

    fn is_default(&self, file: &TreePath, key: &Key, trees: Trees<'_>, policy: &Policy) -> Result<bool> {
        let format = format_of(file, policy);
        let values = |side| -> Result<Option<Vec<String>>> {
            Ok(self.text(side, file, trees)?.and_then(|text| edit::values(format, &String::from_utf8(text).ok()?, key)))
        };
        Ok(values(Side::Base)? == values(Side::Local)?)
    }

    fn rewrite(
        &mut self,
        side: Side,
        file: &TreePath,
        trees: Trees<'_>,
        policy: &Policy,
        change: impl Fn(Format, &str) -> Option<String>,
    ) -> std::result::Result<(), Failure> {
        let Some(text) = self.text(side, file, trees)? else { return Ok(()) };
        let format = format_of(file, policy);
        // What is no UTF-8 is not written as keys and values either.
        let text = String::from_utf8(text).ok();
        let Some((old, new)) = text.and_then(|text| change(format, &text).map(|new| (text, new))) else {
            return Err(Failure::Of(format!("{file} is not written as keys and values")));
        };
        if old != new {
            self.put(side, file, new.into_bytes());
        }
        Ok(())
    }

    fn entry(&self, side: Side, path: &TreePath) -> Option<&Entry> {
        match (side, self.changes.changes.get(path)) {
            (Side::Local, Some(change)) => change.entry(),
            (Side::Local, None) | (Side::Base, _) => self.base.get(path),
        }
    }

    fn text(&self, side: Side, path: &TreePath, trees: Trees<'_>) -> Result<Option<Vec<u8>>> {
        let made = if side == Side::Base { &self.base_texts } else { &self.local_texts };
        if let Some(text) = made.get(path) {
            return Ok(Some(text.clone()));
        }
        let Some(entry) = self.entry(side, path).filter(|entry| entry.kind.digest().is_some()) else { return Ok(None) };
        if let (Side::Base, Some(digest)) = (side, entry.kind.digest())
            && let Some(text) = trees.kept.small(&digest, MAX_TEXT_BYTES)?
        {
            return Ok(Some(text));
        }
        let root = if side == Side::Base { trees.base } else { Some(trees.local) };
        let Some(root) = root else { return Ok(None) };
        // Every name of a hard link reads.
        let at = self.origin(&entry.path);
        match RootContents::open(root)?.small(&at, MAX_TEXT_BYTES)? {
            Some(text) => Ok(Some(text)),
            None => Err(not_taken(path)),
        }
    }

    /// A content that a migration made, in the place of what a side has.
    fn put(&mut self, side: Side, path: &TreePath, text: Vec<u8>) {
        let digest = Digest(Sha256::digest(&text).into());
        let kind = Kind::File { size: text.len() as u64, digest, sparse: false };
        let meta = self.entry(side, path).or(self.base.get(path)).map(|entry| entry.meta.clone());
        let meta = meta.unwrap_or(Meta { mode: 0o644, ..Meta::default() });
        let entry = Entry { path: path.clone(), kind, meta, hardlink: None };
        match side {
            Side::Base => {
                // The layer keeps what it has; what it had from the base was not changed there.
                let before = self.base.get(path).cloned();
                self.base = replaced(&self.base, path, Some(entry));
                if let (None, Some(before)) = (self.changes.changes.get(path), before) {
                    self.changes.changes.insert(path.clone(), Change::Modified(before));
                }
                self.base_texts.insert(path.clone(), text);
            }
            Side::Local => {
                let as_base =
                    self.base.get(path).is_some_and(|base| base.kind == entry.kind && base.meta == entry.meta);
                match (as_base, self.base.get(path)) {
                    (true, _) => drop(self.changes.changes.remove(path)),
                    (false, Some(_)) => drop(self.changes.changes.insert(path.clone(), Change::Modified(entry))),
                    (false, None) => drop(self.changes.changes.insert(path.clone(), Change::Added(entry))),
                }
                self.local_texts.insert(path.clone(), text);
            }
        }
    }

    fn remove(&mut self, side: Side, path: &TreePath) {
        match side {
            Side::Base => {
                if let (None, Some(before)) = (self.changes.changes.get(path), self.base.get(path).cloned()) {
                    self.changes.changes.insert(path.clone(), Change::Added(before));
                }
                self.base = replaced(&self.base, path, None);
            }
            Side::Local if self.base.get(path).is_some() => {
                self.changes.changes.insert(path.clone(), Change::Removed);
            }
            Side::Local => drop(self.changes.changes.remove(path)),
        }
    }

    /// Has a program of the image look at one side, and takes what it leaves.
    fn run(
        &mut self,
        side: Side,
        argv: &[String],
        limit: Duration,
        vendor: &Path,
        old: &Path,
    ) -> std::result::Result<(), Failure> {
        let out = Scratch::new("migration")?;
        let confined = Confined::new(vendor, argv).limit(limit);
        let ran = confined.bind(old, "old", false).bind(out.path(), "out", true).run()?;
        if !ran.good() {
            let how = match (ran.timed_out, ran.code) {
                (true, _) => format!("did not end within {} seconds", limit.as_secs()),
                (false, Some(code)) => format!("ended with code {code}"),
                (false, None) => "was ended by a signal".into(),
            };
            return Err(Failure::Of(format!("{} {how}: {}", argv.join(" "), ran.said)));
        }
        let (texts, removed) = left_in(out.path())?;
        texts.into_iter().for_each(|(path, text)| self.put(side, &path, text));
        removed.iter().for_each(|path| self.remove(side, path));
        Ok(())
    }
}

/// The files of which migrations set a default.
pub(super) fn with_defaults(migrations: &[Migration]) -> Vec<TreePath> {
    let file = |act: &Act| if let Act::SetIfDefault(file, ..) = act { Some(file.clone()) } else { None };
    migrations.iter().flat_map(|migration| &migration.acts).filter_map(file).collect()
}

fn format_of(file: &TreePath, policy: &Policy) -> Format {
    match policy.format(file) {
        Some(format @ (Format::Ini | Format::Assignments)) => format,
        Some(Format::Mounts | Format::Crypt | Format::Json | Format::Toml | Format::Yaml) | None => Format::Ini,
    }
}

/// A manifest with another entry at a path, or none. Directories on the way are made.
fn replaced(base: &Manifest, path: &TreePath, entry: Option<Entry>) -> Manifest {
    let mut changes = std::collections::BTreeMap::new();
    for dir in std::iter::successors(path.parent(), TreePath::parent).filter(|dir| base.get(dir).is_none()) {
        let meta = Meta { mode: 0o755, ..Meta::default() };
        let made = Entry { path: dir.clone(), kind: Kind::Directory, meta, hardlink: None };
        changes.insert(dir, Change::Added(made));
    }
    changes.insert(path.clone(), entry.map_or(Change::Removed, Change::Modified));
    let delta = Delta { accounts: base.accounts().clone(), changes };
    // What a base with one more file cannot be (a file in the place of a directory) is left as it is.
    delta.over(base).unwrap_or_else(|_| base.clone())
}
