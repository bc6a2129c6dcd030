//! Plans: walks every path of the three trees and decides by the table of existence and content.
//!
//! Separate from the rows themselves (`rows`) because the order matters here: children are decided before their
//! directory, so that a directory knows whether something beneath it lives on.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::facets::{Names, Numbers};
use super::plan::{Action, Content, Decision, Level, StatePlan, TextMerge};
use super::policy::{Class, Format, Policy, Rule, Treatment};
use super::text::MAX_TEXT_BYTES;
use super::{Change, Delta, links};
use crate::manifest::{Entry, Kind, Manifest};
use crate::path::TreePath;

mod rows;

/// The paths whose contents must be merged before [`plan`] can decide: files that both sides changed, in a class that
/// merges, none of the three too large; and files that both sides added in a format that is merged by key.
pub fn texts_to_merge(base: &Manifest, delta: &Delta, new: &Manifest, policy: &Policy) -> Vec<TreePath> {
    let wanted = |path: &TreePath, change: &Change| {
        let three = (base.get(path), change.entry(), new.get(path));
        let (b, Some(l), Some(n)) = three else { return false };
        merges(policy.rule(path))
            && !is_of_accounts(path, policy)
            && (b.is_some() || policy.format(path).is_some())
            && rows::is_text_candidate(b.map(|b| &b.kind), &l.kind, &n.kind, MAX_TEXT_BYTES)
    };
    delta.changes.iter().filter(|(path, change)| wanted(path, change)).map(|(path, _)| path.clone()).collect()
}

/// The account files to read from all three trees, because they are merged as one set: those that the policy merges as
/// such, where any of them differs anywhere; none where all are the same.
pub fn accounts_to_merge(base: &Manifest, delta: &Delta, new: &Manifest, policy: &Policy) -> Vec<TreePath> {
    let paths = crate::accounts::PATHS.map(|path| TreePath::parse(path.as_bytes()).expect("a constant path"));
    let differs = |path: &TreePath| {
        let content = |entry: Option<&Entry>| entry.and_then(|entry| entry.kind.digest());
        delta.changes.contains_key(path) || content(base.get(path)) != content(new.get(path))
    };
    if !paths.iter().any(differs) || !paths.iter().all(|path| is_of_accounts(path, policy)) {
        return Vec::new();
    }
    paths.into()
}

/// Whether a path is merged as one of the account files.
fn is_of_accounts(path: &TreePath, policy: &Policy) -> bool {
    policy.rule(path).treatment == Treatment::State(Class::Structured(Format::Accounts))
}

fn merges(rule: &Rule) -> bool {
    match rule.treatment {
        Treatment::State(Class::Merge | Class::Structured(_) | Class::MustExist | Class::Block) => true,
        Treatment::State(Class::Carry | Class::Vendor | Class::Identity | Class::Derived | Class::Pinned) => false,
        Treatment::NotCarried | Treatment::Ignored => false,
    }
}

/// Decides over every path. `merged` holds an answer for each path of [`texts_to_merge`]; a missing one counts as a
/// text that cannot be merged.
pub fn plan(
    base: &Manifest,
    delta: &Delta,
    new: &Manifest,
    policy: &Policy,
    merged: &BTreeMap<TreePath, TextMerge>,
) -> StatePlan {
    let mut planner = Planner::new(base, delta, new, policy, merged);
    let touched = delta.changes.keys();
    let paths: BTreeSet<&TreePath> =
        base.entries().iter().chain(new.entries()).map(|entry| &entry.path).chain(touched).collect();
    for path in paths.into_iter().rev() {
        planner.decide(path);
    }
    planner.finish()
}

/// One path with what the three trees have there. Sockets and whiteouts of the layer count as absent.
#[derive(Debug, Clone, Copy)]
struct Case<'a> {
    path: &'a TreePath,
    base: Option<&'a Entry>,
    local: Option<&'a Entry>,
    vendor: Option<&'a Entry>,
    /// Whether the layer touched it.
    touched: bool,
    /// Whether something beneath it will exist in the new layer.
    needed: bool,
}

struct Planner<'a> {
    base: &'a Manifest,
    delta: &'a Delta,
    new: &'a Manifest,
    policy: &'a Policy,
    merged: &'a BTreeMap<TreePath, TextMerge>,
    names: Names<'a>,
    numbers: Numbers,
    /// Directories with something beneath them in the new layer.
    needed: HashSet<TreePath>,
    decisions: Vec<Decision>,
    rows: BTreeMap<u8, usize>,
}

impl<'a> Planner<'a> {
    fn new(
        base: &'a Manifest,
        delta: &'a Delta,
        new: &'a Manifest,
        policy: &'a Policy,
        merged: &'a BTreeMap<TreePath, TextMerge>,
    ) -> Self {
        let names = Names { base: base.accounts(), local: &delta.accounts, vendor: new.accounts() };
        Planner {
            base,
            delta,
            new,
            policy,
            merged,
            names,
            numbers: Numbers::of(new.accounts(), delta, merged),
            needed: HashSet::new(),
            decisions: Vec::new(),
            rows: BTreeMap::new(),
        }
    }

    fn decide(&mut self, path: &'a TreePath) {
        let (base, vendor) = (self.base.get(path), self.new.get(path));
        let change = self.delta.changes.get(path);
        let rule = self.policy.rule(path);
        let touched = change.is_some() && rule.treatment != Treatment::Ignored;
        let local = match change {
            Some(change) if touched => change.entry().filter(|e| counts(e, [base, vendor])),
            Some(_) | None => base,
        };
        let case = Case { path, base, local, vendor, touched, needed: self.needed.contains(path) };
        let row = self.row(case);
        *self.rows.entry(row).or_default() += 1;
        let decision = self.outcome(case, row, rule).map(|outcome| outcome.decision(path, row, rule));
        let lives = match decision.as_ref().map(|d| &d.action) {
            None | Some(Action::Leave) => vendor.is_some(),
            Some(Action::Put { .. }) => true,
            Some(Action::Remove) => false,
        };
        if lives && let Some(parent) = path.parent() {
            self.needed.insert(parent);
        }
        self.decisions.extend(decision);
    }

    fn finish(self) -> StatePlan {
        let mut decisions = self.decisions;
        decisions.reverse();
        let directory_times = links::settle(&mut decisions, self.new);
        let stops: Vec<String> = unknown_data(self.delta, self.policy).into_iter().collect();
        let mut levels = BTreeMap::new();
        for decision in &decisions {
            *levels.entry(decision.level).or_default() += 1;
        }
        StatePlan {
            blocked: levels.contains_key(&Level::Block) || !stops.is_empty(),
            stops,
            decisions,
            levels,
            rows: self.rows,
            notes: self.numbers.unknown.into_iter().collect(),
            migrations: Vec::new(),
            checks: Vec::new(),
            directory_times,
        }
    }
}

/// Why the data that no rule carries stops the update: somebody put more there than is left behind without a question.
fn unknown_data(delta: &Delta, policy: &Policy) -> Option<String> {
    let added = |(path, change): (&TreePath, &Change)| match change {
        Change::Added(entry) if entry.hardlink.is_none() && policy.rule(path).treatment == Treatment::NotCarried => {
            Some((super::plan::neighbourhood(path), entry.kind.content_bytes()))
        }
        Change::Added(_) | Change::Modified(_) | Change::Removed => None,
    };
    let mut places: BTreeMap<TreePath, u64> = BTreeMap::new();
    delta.changes.iter().filter_map(added).for_each(|(place, bytes)| *places.entry(place).or_default() += bytes);
    let total: u64 = places.values().sum();
    if total <= policy.unknown_data_bytes {
        return None;
    }
    let mut places: Vec<(TreePath, u64)> = places.into_iter().collect();
    places.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    let shown: Vec<String> =
        places.iter().take(5).map(|(place, bytes)| format!("{place} {} MiB", bytes >> 20)).collect();
    Some(format!(
        "{} MiB of data lie where no rule carries them ({}), and {} MiB may be left behind without a question: say with a \
         line in /etc/thinroot/state.d/local.policy what is to become of them ('{}/** carry', or 'ignored'), move them to \
         a shared volume, or raise 'limit unknown-data'",
        total >> 20,
        shown.join(", "),
        policy.unknown_data_bytes >> 20,
        places[0].0,
    ))
}

/// Whether an entry of the layer counts: a socket belongs to the process that bound it, unless an image ships it, and
/// a character device 0:0 is how an overlay records a deletion.
fn counts(entry: &Entry, images: [Option<&Entry>; 2]) -> bool {
    match entry.kind {
        Kind::Socket => images.into_iter().flatten().any(|image| image.kind == Kind::Socket),
        Kind::Char { major, minor } => (major, minor) != (0, 0),
        Kind::Directory | Kind::File { .. } | Kind::Symlink { .. } | Kind::Fifo | Kind::Block { .. } => true,
    }
}

/// What a row comes to, before it has its id.
#[derive(Debug)]
struct Outcome {
    action: Action,
    level: Level,
    reason: String,
    local: Option<Entry>,
    facets: Vec<super::FacetResult>,
    kept: Vec<super::Kept>,
}

impl Outcome {
    fn new(action: Action, level: Level, reason: impl Into<String>) -> Self {
        Outcome { action, level, reason: reason.into(), local: None, facets: Vec::new(), kept: Vec::new() }
    }

    fn put(entry: Entry, content: Content, level: Level, reason: impl Into<String>) -> Self {
        Outcome::new(Action::Put { entry, content }, level, reason)
    }

    fn decision(self, path: &TreePath, row: u8, rule: &Rule) -> Decision {
        let not_carried = rule.treatment == Treatment::NotCarried && self.action == Action::Leave;
        let stops = rule.treatment == Treatment::State(Class::Block) && self.level == Level::Conflict;
        let mut kept = self.kept;
        kept.sort();
        kept.dedup();
        Decision {
            id: format!("{row}:{path}"),
            path: path.clone(),
            row,
            action: self.action,
            source: None,
            level: if stops { Level::Block } else { self.level },
            reason: self.reason,
            rule: rule.told(),
            not_carried,
            local: self.local,
            facets: self.facets,
            kept,
        }
    }
}
