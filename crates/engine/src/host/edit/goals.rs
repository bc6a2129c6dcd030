//! From what a person wants to what each path becomes.
//!
//! Separate from the layer itself: everything here is read from the records.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest as _, Sha256};
use thinroot_core::accounts;
use thinroot_core::manifest::{Digest, Entry, Kind, Manifest};
use thinroot_core::path::TreePath;
use thinroot_core::plan::PlanId;
use thinroot_core::state::edit::{Deed, alike, deeds, left_by, mine};
use thinroot_core::state::{Action, Choice, Decision, EditPlan};

use super::EditWish;
use crate::error::{Error, ErrorKind, Result};
use crate::host::Carried;

/// What one path is to become, and what it should be now.
pub(super) struct Goal<'a> {
    pub path: TreePath,
    pub of: String,
    pub choice: Choice,
    pub end: End<'a>,
    /// What the last deed left.
    pub left: Option<&'a Entry>,
}

/// What a path becomes.
pub(super) enum End<'a> {
    Entry(Option<&'a Entry>),
    /// The present file with another content.
    Text(&'a [u8]),
}

impl End<'_> {
    pub(super) fn entry(
        &self,
        present: Option<&Entry>,
        path: &TreePath,
        texts: &mut BTreeMap<Digest, Vec<u8>>,
    ) -> Result<Option<Entry>> {
        let text = match self {
            // A hard link of the image becomes a file of its own.
            End::Entry(entry) => return Ok(entry.map(|entry| Entry { hardlink: None, ..entry.clone() })),
            End::Text(text) => text,
        };
        let Some(Entry { kind: Kind::File { .. }, meta, .. }) = present else {
            return Err(Error::refused(format!("write {path}"), "it is not a file in the layer"));
        };
        let digest = Digest(Sha256::digest(text).into());
        texts.insert(digest, text.to_vec());
        let kind = Kind::File { size: text.len() as u64, digest, sparse: false };
        let mut meta = meta.clone();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        (meta.mtime.sec, meta.mtime.nsec) = (now.as_secs().cast_signed(), now.subsec_nanos());
        Ok(Some(Entry { path: path.clone(), kind, meta, hardlink: None }))
    }
}

impl Goal<'_> {
    /// An error where the path is no longer as it was left.
    pub(super) fn unchanged(&self, present: Option<&Entry>) -> Result<()> {
        let same = match (present, self.left) {
            (None, None) => true,
            (Some(a), Some(b)) => alike(a, b),
            (Some(_), None) | (None, Some(_)) => false,
        };
        if same {
            return Ok(());
        }
        let why = "it has been changed in the layer since";
        Err(Error::refused(format!("change {}", self.path), why)
            .mend("look at it with 'thinroot state diff'; --force keeps what it is now aside and goes on"))
    }
}

/// What was done to the layer so far.
pub(super) struct Editor<'a> {
    pub carried: &'a Carried,
    pub edits: &'a [(PlanId, EditPlan)],
    pub vendor: &'a Manifest,
}

impl<'a> Editor<'a> {
    pub(super) fn goals(&self, wish: &'a EditWish) -> Result<Vec<Goal<'a>>> {
        match wish {
            EditWish::Side(path, choice) => together(path).iter().filter_map(|p| self.side(p, *choice, path)).collect(),
            EditWish::Text(path, text) => {
                let decision = self.decision(path)?;
                let goal = self.goal(path, decision.id.clone(), Choice::Merged, End::Text(text));
                Ok(vec![goal])
            }
            EditWish::UndoPaths(paths) => {
                let all: BTreeSet<TreePath> = paths.iter().flat_map(together).collect();
                let undo = |path: &TreePath| match self.deeds(path).last() {
                    None if !paths.contains(path) => None,
                    last => Some(self.undo(path, last.map(Deed::id).as_deref())),
                };
                all.iter().filter_map(undo).collect()
            }
            EditWish::UndoDeed(id) => self.undo_deed(id),
            EditWish::UndoAll => self.undo_all(),
        }
    }

    fn deeds(&self, path: &TreePath) -> Vec<Deed<'a>> {
        deeds(path, &self.carried.state, self.edits)
    }

    fn decision(&self, path: &TreePath) -> Result<&'a Decision> {
        self.carried.state.decisions.iter().find(|decision| decision.path == *path).ok_or_else(|| {
            Error::new(
                ErrorKind::Usage,
                format!("change {path}"),
                "the update that made this layer decided nothing over it",
            )
            .mend("'thinroot state show' lists what it decided")
        })
    }

    fn vendor(&self, path: &TreePath) -> Option<&'a Entry> {
        self.vendor.get(path)
    }

    fn goal(&self, path: &TreePath, of: String, choice: Choice, end: End<'a>) -> Goal<'a> {
        let left = match self.deeds(path).last() {
            Some(Deed::Edited(_, edit)) => edit.after.as_ref(),
            Some(Deed::Decided(decision)) => left_by(decision, self.vendor(path)),
            None => self.vendor(path),
        };
        Goal { path: path.clone(), of, choice, end, left }
    }

    /// `asked` is the path that was named; of those that go with it, only the ones with a decision matter.
    fn side(&self, path: &TreePath, choice: Choice, asked: &TreePath) -> Option<Result<Goal<'a>>> {
        let decision = match self.decision(path) {
            Err(_) if path != asked => return None,
            Err(error) => return Some(Err(error)),
            Ok(decision) => decision,
        };
        let vendor = self.vendor(path);
        let end = match choice {
            Choice::Mine => mine(decision, vendor),
            Choice::Theirs | Choice::Merged | Choice::Undo | Choice::CaughtUp => Ok(vendor),
        };
        let refuse = |why| {
            Error::refused(format!("take this host's version of {path}"), why)
                .mend(format!("it is in {} as long as that layer is here: thinroot layer mount", self.carried.from))
        };
        Some(end.map(|end| self.goal(path, decision.id.clone(), choice, End::Entry(end))).map_err(refuse))
    }

    fn undo_deed(&self, id: &str) -> Result<Vec<Goal<'a>>> {
        let edits = self.edits.iter().filter(|(plan, _)| plan.as_str() == id).flat_map(|(_, edits)| &edits.edits);
        let named = |path: &TreePath| (path.clone(), format!("{id}:{path}"));
        let mut wanted: Vec<(TreePath, String)> = edits.map(|edit| named(&edit.path)).collect();
        let decided = self.carried.state.decisions.iter().filter(|decision| decision.id == id);
        wanted.extend(decided.map(|decision| (decision.path.clone(), id.to_string())));
        if wanted.is_empty() {
            let why = "neither a decision of the update that made this layer nor an edit of it has this name";
            return Err(Error::new(ErrorKind::Usage, format!("undo {id}"), why)
                .mend("'thinroot state show' and 'thinroot state explain PATH' show the names"));
        }
        if let [(path, _)] = wanted.as_slice() {
            let more = together(path).into_iter().filter(|other| other != path);
            let more = more.filter_map(|other| Some((other.clone(), self.deeds(&other).last()?.id())));
            wanted.extend(more.collect::<Vec<_>>());
        }
        wanted.iter().map(|(path, of)| self.undo(path, Some(of))).collect()
    }

    fn undo_all(&self) -> Result<Vec<Goal<'a>>> {
        let mut goals = Vec::new();
        for decision in &self.carried.state.decisions {
            let standing = self.deeds(&decision.path);
            let edited = standing.iter().any(|deed| matches!(deed, Deed::Edited(..)));
            if !standing.is_empty() && (edited || decision.action != Action::Leave) {
                goals.push(self.undo(&decision.path, Some(&decision.id))?);
            }
        }
        if goals.is_empty() {
            return Err(Error::refused("undo everything", "nothing is left to undo"));
        }
        Ok(goals)
    }

    /// Back to before the deed named `of`.
    fn undo(&self, path: &TreePath, of: Option<&str>) -> Result<Goal<'a>> {
        let standing = self.deeds(path);
        let mut edits = self.edits.iter().flat_map(|(plan, edits)| edits.edits.iter().map(move |edit| (plan, edit)));
        let last = edits.rfind(|(_, edit)| edit.path == *path);
        if let Some((plan, edit)) = last.filter(|(_, edit)| edit.choice == Choice::Undo) {
            let undo = Deed::Edited(plan, edit).id();
            if Some(undo.as_str()) == of {
                return Ok(self.goal(path, undo, Choice::Undo, End::Entry(edit.before.as_ref())));
            }
        }
        let Some(deed) = standing.iter().find(|deed| Some(deed.id().as_str()) == of) else {
            let why = match self.decision(path) {
                Ok(_) => "it has been undone already",
                Err(_) => "the update that made this layer decided nothing over it, and nobody edited it since",
            };
            return Err(Error::refused(format!("undo {path}"), why)
                .mend(format!("'thinroot state explain {path}' shows what was done to it")));
        };
        let end = match deed {
            Deed::Edited(_, edit) => edit.before.as_ref(),
            Deed::Decided(Decision { action: Action::Leave, .. }) if standing.len() == 1 => {
                let why = "the update did nothing to it: it is as the image ships it";
                return Err(Error::refused(format!("undo {path}"), why)
                    .mend(format!("to take this host's version: thinroot state resolve {path} --mine")));
            }
            Deed::Decided(_) => self.vendor(path),
        };
        Ok(self.goal(path, deed.id(), Choice::Undo, End::Entry(end)))
    }
}

/// A path with those that must go with it.
fn together(path: &TreePath) -> Vec<TreePath> {
    // The account files say the same in several places: they are changed together or not at all.
    let set: Vec<TreePath> = accounts::PATHS.iter().filter_map(|text| TreePath::parse(text.as_bytes()).ok()).collect();
    if set.contains(path) { set } else { vec![path.clone()] }
}
