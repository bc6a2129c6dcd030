//! Edits: what a person decides over paths of a layer after the update that made it.
//!
//! Separate from the plan of an update because it changes a layer that may be running. Must stay true: an edit says what
//! was there before and what is there after, so that it can be turned round; nothing outside its paths is touched.

use serde::{Deserialize, Serialize};

use super::facets::same_content;
use super::plan::{Action, Content, Decision, Level, StatePlan};
use crate::manifest::{Digest, Entry};
use crate::name::LayerName;
use crate::path::TreePath;
use crate::plan::PlanId;

/// Which side a person wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Choice {
    /// What the layer had before the update.
    Mine,
    /// What the image ships.
    Theirs,
    /// A text given by hand.
    Merged,
    /// What was there before a decision or an edit was carried out.
    Undo,
    /// What the merge gives with what was changed after it was made. Nobody's wish, so nothing that a person undoes.
    CaughtUp,
}

impl Choice {
    fn words(self) -> &'static str {
        match self {
            Choice::Mine => "resolved with this host's version",
            Choice::Theirs => "resolved with the image's version",
            Choice::Merged => "resolved by hand",
            Choice::Undo => "undone",
            Choice::CaughtUp => "changed after the update was staged",
        }
    }
}

/// One path changed by a person's decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edit {
    /// Which.
    pub path: TreePath,
    /// The decision or edit that it answers.
    pub of: String,
    /// How.
    pub choice: Choice,
    /// What the layer has; none where it has nothing.
    pub before: Option<Entry>,
    /// What it gets.
    pub after: Option<Entry>,
}

/// Edits of one layer, carried out as one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EditPlan {
    /// The layer.
    pub layer: LayerName,
    /// Sorted by path.
    pub edits: Vec<Edit>,
}

/// Where a layer stands between the two ends of an edit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Not carried out.
    Before,
    /// Carried out.
    After,
    /// Neither: somebody else changed the path.
    Elsewhere,
}

impl Edit {
    /// Where a layer stands that has `present` at the path.
    pub fn standing(&self, present: Option<&Entry>) -> Standing {
        let is = |wanted: &Option<Entry>| match (present, wanted) {
            (None, None) => true,
            (Some(a), Some(b)) => alike(a, b),
            (Some(_), None) | (None, Some(_)) => false,
        };
        if is(&self.after) {
            Standing::After
        } else if is(&self.before) {
            Standing::Before
        } else {
            Standing::Elsewhere
        }
    }

    /// Contents that must be kept before it is carried out: of both ends, where they differ.
    pub fn contents(&self) -> Vec<(Digest, u64)> {
        let ends = [&self.before, &self.after].map(Option::as_ref);
        if let [Some(before), Some(after)] = ends
            && same_content(&before.kind, &after.kind)
        {
            return Vec::new();
        }
        let content = |entry: &Entry| Some((entry.kind.digest()?, entry.kind.content_bytes()));
        ends.into_iter().flatten().filter_map(content).collect()
    }

    fn decision(&self) -> Decision {
        let action = match (&self.before, &self.after) {
            (_, None) => Action::Remove,
            (_, Some(after)) if let Some(first) = &after.hardlink => {
                Action::Put { entry: after.clone(), content: Content::LinkTo { path: first.clone() } }
            }
            (Some(before), Some(after)) if same_content(&before.kind, &after.kind) => {
                Action::Put { entry: after.clone(), content: Content::Vendor { detach: true } }
            }
            (_, Some(after)) => Action::Put { entry: after.clone(), content: Content::Kept },
        };
        Decision {
            id: self.of.clone(),
            path: self.path.clone(),
            row: 0,
            action,
            source: None,
            level: Level::Info,
            reason: self.choice.words().into(),
            rule: String::new(),
            not_carried: false,
            local: None,
            facets: Vec::new(),
            kept: Vec::new(),
        }
    }
}

impl EditPlan {
    /// The same turned round.
    #[must_use]
    pub fn inverse(&self) -> EditPlan {
        let turn = |edit: &Edit| Edit { before: edit.after.clone(), after: edit.before.clone(), ..edit.clone() };
        EditPlan { layer: self.layer.clone(), edits: self.edits.iter().map(turn).collect() }
    }

    /// What is to be done, for the paths that `wanted` names.
    pub fn state_plan(&self, wanted: impl Fn(&Edit) -> bool) -> StatePlan {
        let decisions = self.edits.iter().filter(|edit| wanted(edit)).map(Edit::decision).collect();
        StatePlan { decisions, ..StatePlan::default() }
    }
}

impl std::fmt::Display for Edit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let what = match (&self.before, &self.after) {
            (Some(_), None) => "removed",
            (None, Some(_)) => "put back",
            (Some(_) | None, _) => "changed",
        };
        write!(f, "{}: {what}, {}", self.path, self.choice.words())
    }
}

/// Whether two entries are the same but for their time and their other names.
pub fn alike(a: &Entry, b: &Entry) -> bool {
    let of = |entry: &Entry| (entry.meta.mode, entry.meta.uid, entry.meta.gid);
    same_content(&a.kind, &b.kind) && of(a) == of(b) && a.meta.xattrs == b.meta.xattrs && a.meta.flags == b.meta.flags
}

/// What a decision of an update left at its path in the layer it made; `vendor` is what the image ships there.
pub fn left_by<'a>(decision: &'a Decision, vendor: Option<&'a Entry>) -> Option<&'a Entry> {
    match &decision.action {
        Action::Leave => vendor,
        Action::Put { entry, .. } => Some(entry),
        Action::Remove => None,
    }
}

/// What the layer before an update had at the path of a decision, with what the image changed and it did not; `Err` says
/// why that is not to be had.
pub fn mine<'a>(decision: &'a Decision, vendor: Option<&'a Entry>) -> Result<Option<&'a Entry>, &'static str> {
    match (&decision.local, &decision.action) {
        (Some(local), _) => Ok(Some(local)),
        // Both the same; deleted here, and the image's all the same.
        (None, Action::Leave) if matches!(decision.row, 3 | 13) => Ok(vendor),
        (None, Action::Leave) if matches!(decision.row, 7 | 18) => Ok(None),
        (None, Action::Leave) => Err("by policy this host's version was not carried, and it is not kept"),
        (None, Action::Put { .. } | Action::Remove) => Ok(left_by(decision, vendor)),
    }
}

/// Something that was done to a path of a layer, and not undone since.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Deed<'a> {
    /// By the update that made the layer.
    Decided(&'a Decision),
    /// By a person's edit.
    Edited(&'a PlanId, &'a Edit),
}

impl Deed<'_> {
    /// Names it: an undo says by this what it undoes.
    pub fn id(&self) -> String {
        match self {
            Deed::Decided(decision) => decision.id.clone(),
            Deed::Edited(plan, edit) => format!("{plan}:{}", edit.path),
        }
    }
}

/// What was done to a path and stands, in order: decided by the update `carried`, then edited by `edits`, the oldest
/// first. An undo takes away what it undoes and whatever came after that; an undo of that undo brings them back.
pub fn deeds<'a>(path: &TreePath, carried: &'a StatePlan, edits: &'a [(PlanId, EditPlan)]) -> Vec<Deed<'a>> {
    let decided = carried.decisions.iter().filter(|decision| decision.path == *path);
    let mut deeds: Vec<Deed<'a>> = decided.map(Deed::Decided).collect();
    let mut undone: Vec<(String, Vec<Deed<'a>>)> = Vec::new();
    let edited = edits.iter().flat_map(|(plan, edits)| edits.edits.iter().map(move |edit| (plan, edit)));
    for (plan, edit) in edited.filter(|(_, edit)| edit.path == *path) {
        let deed = Deed::Edited(plan, edit);
        if edit.choice != Choice::Undo {
            deeds.push(deed);
        } else if let Some(at) = deeds.iter().position(|deed| deed.id() == edit.of) {
            undone.push((deed.id(), deeds.split_off(at)));
        } else if let Some(at) = undone.iter().position(|(undo, _)| *undo == edit.of) {
            deeds.extend(undone.remove(at).1);
        }
    }
    deeds
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Kind, LinkTarget, Meta, Timestamp};

    fn entry(target: &[u8], mode: u16, sec: i64) -> Entry {
        let meta = Meta { mode, uid: 0, gid: 0, mtime: Timestamp { sec, nsec: 0 }, ..Meta::default() };
        let kind = Kind::Symlink { target: LinkTarget(target.into()) };
        Entry { path: TreePath::parse(b"etc/x").unwrap(), kind, meta, hardlink: None }
    }

    fn edit(before: Option<Entry>, after: Option<Entry>) -> Edit {
        let path = TreePath::parse(b"etc/x").unwrap();
        Edit { path, of: "12:/etc/x".into(), choice: Choice::Undo, before, after }
    }

    #[test]
    fn standing_looks_at_everything_but_time() {
        let (a, b) = (entry(b"a", 0o777, 1), entry(b"b", 0o777, 1));
        let edit = edit(Some(a.clone()), Some(b.clone()));
        assert_eq!(edit.standing(Some(&entry(b"a", 0o777, 9))), Standing::Before);
        assert_eq!(edit.standing(Some(&entry(b"b", 0o777, 9))), Standing::After);
        assert_eq!(edit.standing(Some(&entry(b"b", 0o700, 1))), Standing::Elsewhere);
        assert_eq!(edit.standing(None), Standing::Elsewhere);
    }

    #[test]
    fn an_undo_takes_away_what_it_names_and_all_after() {
        let layer: LayerName = "node-1-0+1".parse().unwrap();
        let answer = |of: &str, choice| {
            let edits = vec![Edit { of: of.into(), choice, ..edit(None, None) }];
            EditPlan { layer: layer.clone(), edits }
        };
        let decision = Edit { of: "14:/etc/x".into(), ..edit(None, None) }.decision();
        let carried = StatePlan { decisions: vec![decision], ..StatePlan::default() };
        let plans: Vec<PlanId> = ["1-a", "2-b", "3-c"].map(|id| id.parse().unwrap()).into();
        let mut edits = vec![
            (plans[0].clone(), answer("14:/etc/x", Choice::Mine)),
            (plans[1].clone(), answer("14:/etc/x", Choice::Theirs)),
        ];
        let path = TreePath::parse(b"etc/x").unwrap();
        let ids = |edits: &[_]| deeds(&path, &carried, edits).iter().map(Deed::id).collect::<Vec<_>>();
        assert_eq!(ids(&edits), ["14:/etc/x", "1-a:/etc/x", "2-b:/etc/x"]);
        edits.push((plans[2].clone(), answer("1-a:/etc/x", Choice::Undo)));
        assert_eq!(ids(&edits), ["14:/etc/x"]);
        edits.push((plans[2].clone(), answer("14:/etc/x", Choice::Undo)));
        assert_eq!(ids(&edits), [""; 0]);
        edits[3].0 = "4-d".parse().unwrap();
        edits.push(("5-e".parse().unwrap(), answer("4-d:/etc/x", Choice::Undo)));
        edits.push(("6-f".parse().unwrap(), answer("3-c:/etc/x", Choice::Undo)));
        assert_eq!(ids(&edits), ["14:/etc/x", "1-a:/etc/x", "2-b:/etc/x"]);
    }

    #[test]
    fn turned_round_twice_it_is_itself() {
        let layer: LayerName = "node-1-0+1".parse().unwrap();
        let plan = EditPlan { layer, edits: vec![edit(None, Some(entry(b"b", 0o777, 1)))] };
        assert_ne!(plan.inverse(), plan);
        assert_eq!(plan.inverse().inverse(), plan);
        assert_eq!(plan.inverse().state_plan(|_| true).decisions[0].action, Action::Remove);
    }
}
