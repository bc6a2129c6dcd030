//! What was changed in the old layer after its state was carried: the same merge made again, and what comes out otherwise.
//!
//! Separate from a person's edits because here both ends are plans. Must stay true: only what comes out otherwise is
//! touched; a path that somebody changed in the new layer meanwhile keeps what it has and the decision it had.

use std::collections::{BTreeMap, BTreeSet};

use super::checks::{Check, Verdict, take_local};
use super::edit::{Choice, Edit, alike, left_by};
use super::plan::{Decision, StatePlan};
use crate::manifest::{Entry, Manifest};
use crate::path::TreePath;

/// Paths that come out otherwise `now` than they did `then`, with both ends. Both plans are about a layer that began as
/// `vendor`.
pub fn differences(then: &StatePlan, now: &StatePlan, vendor: &Manifest) -> Vec<Edit> {
    let (then, now) = (by_path(then), by_path(now));
    let paths: BTreeSet<&TreePath> = then.keys().chain(now.keys()).copied().collect();
    let edit = |path: &TreePath| {
        let end = |plan: &BTreeMap<&TreePath, &Decision>| -> Option<Entry> {
            let shipped = vendor.get(path);
            plan.get(path).map_or(shipped, |decision| left_by(decision, shipped)).cloned()
        };
        let (before, after) = (end(&then), end(&now));
        let same = match (&before, &after) {
            (None, None) => true,
            (Some(a), Some(b)) => alike(a, b),
            (Some(_), None) | (None, Some(_)) => false,
        };
        let of = now.get(path).or(then.get(path)).map(|decision| decision.id.clone())?;
        (!same).then(|| Edit { path: path.clone(), of, choice: Choice::CaughtUp, before, after })
    };
    paths.into_iter().filter_map(edit).collect()
}

/// Lets what a checker refused while staging stay refused, where the host has what it had then: making the merge again is
/// no better merge.
pub fn hold(then: &StatePlan, now: &mut StatePlan) {
    let before = by_path(then);
    let stands = |decision: &Decision| {
        let then = before.get(&decision.path).and_then(|then| left_by(then, None));
        then.zip(decision.local.as_ref()).is_some_and(|(then, local)| alike(then, local))
    };
    let took_local = |check: &&Check| check.answer.as_ref().is_some_and(|said| said.verdict == Verdict::TookLocal);
    for check in then.checks.iter().filter(took_local) {
        take_local(now, check, stands);
    }
}

/// The checks of both, of which those are asked again that are about something that comes out otherwise.
pub fn checks(then: &StatePlan, now: &StatePlan, edits: &[Edit]) -> Vec<Check> {
    let about = |check: &Check| edits.iter().any(|edit| check.paths.contains(&edit.path));
    let answered = |check: &Check| then.checks.iter().find(|then| then.name == check.name).cloned();
    let gone = then.checks.iter().filter(|then| !now.checks.iter().any(|check| check.name == then.name));
    let again =
        now.checks.iter().map(|check| if about(check) { None } else { answered(check) }.unwrap_or(check.clone()));
    again.chain(gone.cloned()).collect()
}

/// What was decided in the end: as `now`, but for the skipped paths as `then`.
pub fn combined(then: &StatePlan, now: &StatePlan, skipped: &BTreeSet<TreePath>) -> StatePlan {
    let taken = now.decisions.iter().filter(|decision| !skipped.contains(&decision.path));
    let left = then.decisions.iter().filter(|decision| skipped.contains(&decision.path));
    let mut decisions: Vec<Decision> = taken.chain(left).cloned().collect();
    decisions.sort_by(|a, b| a.path.cmp(&b.path));
    let mut plan = StatePlan { decisions, ..now.clone() };
    plan.recount();
    plan
}

fn by_path(plan: &StatePlan) -> BTreeMap<&TreePath, &Decision> {
    plan.decisions.iter().map(|decision| (&decision.path, decision)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Accounts, Digest, Kind, Meta};
    use crate::state::policy::Policy;
    use crate::state::{Change, Delta};

    fn path(text: &str) -> TreePath {
        TreePath::parse(text.as_bytes()).unwrap()
    }

    fn file(at: &str, content: u8) -> Entry {
        let kind = Kind::File { size: 1, digest: Digest([content; 32]), sparse: false };
        Entry { path: path(at), kind, meta: Meta::default(), hardlink: None }
    }

    fn tree(entries: Vec<Entry>) -> Manifest {
        let dir = |at: &str| Entry { path: path(at), kind: Kind::Directory, meta: Meta::default(), hardlink: None };
        Manifest::new(Accounts::default(), [vec![dir(""), dir("etc")], entries].concat()).unwrap()
    }

    #[test]
    fn only_what_comes_out_otherwise_is_touched() {
        let base = tree(vec![file("etc/a", 1), file("etc/b", 1), file("etc/c", 1)]);
        let new = tree(vec![file("etc/a", 1), file("etc/b", 2), file("etc/c", 1)]);
        let plan = |changes: Vec<(&str, Change)>| {
            let changes = changes.into_iter().map(|(at, change)| (path(at), change)).collect();
            let delta = Delta { accounts: Accounts::default(), changes };
            super::super::plan(&base, &delta, &new, &Policy::default(), &BTreeMap::new())
        };
        let added = |at, content| (at, Change::Added(file(at, content)));
        let then = plan(vec![
            added("etc/x", 1),
            added("etc/y", 1),
            ("etc/a", Change::Modified(file("etc/a", 7))),
            ("etc/c", Change::Removed),
        ]);
        assert_eq!(differences(&then, &then, &new), []);
        // Since then: x again, y gone, a as it was shipped, b removed, c back.
        let now = plan(vec![added("etc/x", 2), ("etc/b", Change::Removed)]);
        let found: Vec<_> = differences(&then, &now, &new)
            .iter()
            .map(|edit| (edit.of.clone(), edit.before.is_some(), edit.after.is_some()))
            .collect();
        let wanted = [
            ("12:/etc/a", true, true),
            ("7:/etc/b", true, false),
            ("6:/etc/c", false, true),
            ("2:/etc/x", true, true),
            ("2:/etc/y", true, false),
        ];
        assert_eq!(found, wanted.map(|(of, before, after)| (of.to_string(), before, after)));
        let end = combined(&then, &now, &[path("etc/x"), path("etc/a")].into());
        let ids: Vec<&str> = end.decisions.iter().map(|decision| decision.id.as_str()).collect();
        assert_eq!(ids, ["12:/etc/a", "7:/etc/b", "2:/etc/x"]);
        assert_eq!(left_by(&end.decisions[2], None), Some(&file("etc/x", 1)));
    }
}
