//! The table itself: which row a case is, and what each row comes to.
//!
//! B, L and N are the old base, the old layer and the new base. Must stay true: what loses is among the kept contents or
//! in a facet's loser, and says so by its level.

use super::{Case, Outcome, Planner};
use crate::manifest::{Entry, Kind};
use crate::state::facets::{Clash, merge_meta, same, same_content, same_type, three_way};
use crate::state::plan::{Action, Content, Facet, FacetResult, Kept, Level, Origin, Side, TextMerge};
use crate::state::policy::{Class, Format, Rule, Treatment};
use crate::state::text::MAX_TEXT_BYTES;

/// Whether all of them are files, none too large, and all different.
pub(super) fn is_text_candidate(b: Option<&Kind>, l: &Kind, n: &Kind, limit: u64) -> bool {
    let small = |kind: &Kind| matches!(kind, Kind::File { size, .. } if *size <= limit);
    let changed = |b: &Kind| small(b) && !same_content(b, l) && !same_content(b, n);
    b.is_none_or(changed) && [l, n].into_iter().all(small) && !same_content(l, n)
}

fn is_dir(entry: Option<&Entry>) -> bool {
    entry.is_some_and(|entry| entry.kind == Kind::Directory)
}

fn keep(side: Side, entry: Option<&Entry>) -> Option<Kept> {
    match entry.map(|entry| &entry.kind) {
        Some(Kind::File { size, digest, .. }) => Some(Kept { side, digest: *digest, size_bytes: *size }),
        Some(Kind::Directory | Kind::Symlink { .. } | Kind::Fifo | Kind::Char { .. } | Kind::Block { .. }) => None,
        Some(Kind::Socket) | None => None,
    }
}

/// The text a path had in the old base: what a later three-way merge will need.
fn original(base: Option<&Entry>) -> Option<Kept> {
    keep(Side::Base, base).filter(|kept| kept.size_bytes <= MAX_TEXT_BYTES)
}

/// What a thing that is no file was, in words.
fn words(entry: &Entry) -> String {
    match &entry.kind {
        Kind::File { digest, .. } => format!("file {digest}"),
        Kind::Symlink { target } => format!("link to {}", crate::path::escape(&target.0)),
        Kind::Char { major, minor } | Kind::Block { major, minor } => format!("{} {major}:{minor}", entry.kind.word()),
        Kind::Directory | Kind::Fifo | Kind::Socket => entry.kind.word().into(),
    }
}

impl<'a> Planner<'a> {
    fn same_bl(&self, c: Case<'_>) -> bool {
        matches!((c.base, c.local), (Some(b), Some(l)) if !c.touched || same(b, self.names.base, l, self.names.local))
    }

    fn same_bn(&self, c: Case<'_>) -> bool {
        matches!((c.base, c.vendor), (Some(b), Some(n)) if same(b, self.names.base, n, self.names.vendor))
    }

    fn same_ln(&self, c: Case<'_>) -> bool {
        match (c.local, c.vendor) {
            (Some(l), Some(n)) if c.touched => same(l, self.names.local, n, self.names.vendor),
            (Some(_), Some(_)) => self.same_bn(c),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        }
    }

    /// Which row of the table a case is.
    pub(super) fn row(&self, c: Case<'_>) -> u8 {
        match (c.base, c.local, c.vendor) {
            (None, None, None) => 20,
            (None, None, Some(_)) => 1,
            (None, Some(_), None) => 2,
            (None, Some(l), Some(n)) if same_type(&l.kind, &n.kind) => 3 + u8::from(!self.same_ln(c)),
            (None, Some(_), Some(_)) if is_dir(c.local) || is_dir(c.vendor) => 17,
            (None, Some(_), Some(_)) => 4,
            (Some(_), None, None) => 5,
            (Some(_), None, Some(_)) if is_dir(c.vendor) && c.needed => 18,
            (Some(_), None, Some(_)) => 6 + u8::from(!self.same_bn(c)),
            (Some(_), Some(_), None) if is_dir(c.base) && is_dir(c.local) && c.needed => 19,
            (Some(_), Some(_), None) => 8 + u8::from(!self.same_bl(c)),
            (Some(b), Some(l), Some(n)) => self.row_of_three(c, b, l, n),
        }
    }

    fn row_of_three(&self, c: Case<'_>, b: &Entry, l: &Entry, n: &Entry) -> u8 {
        let kept_type = (same_type(&b.kind, &l.kind), same_type(&b.kind, &n.kind));
        match kept_type {
            (true, true) => match (self.same_bl(c), self.same_bn(c)) {
                (true, true) => 10,
                (true, false) => 11,
                (false, true) => 12,
                (false, false) => 14 - u8::from(self.same_ln(c)),
            },
            (true, false) => 15,
            (false, true) => 16,
            (false, false) if self.same_ln(c) => 13,
            (false, false) if is_dir(c.local) && is_dir(c.vendor) => 14,
            (false, false) => 17,
        }
    }

    /// What a case comes to; none where there is nothing to record.
    pub(super) fn outcome(&mut self, c: Case<'_>, row: u8, rule: &Rule) -> Option<Outcome> {
        let class = match rule.treatment {
            Treatment::State(class) => class,
            Treatment::NotCarried => return self.not_carried(c, row, rule),
            Treatment::Ignored => return None,
        };
        let leaf = !is_dir(c.base) && !is_dir(c.local) && !is_dir(c.vendor);
        match class {
            Class::Vendor | Class::Derived if !c.touched => None,
            Class::Vendor if self.same_ln(c) => None,
            Class::Vendor => {
                let reason = "changed here, but the image's by policy; the local version is kept aside";
                let mut outcome = Outcome::new(Action::Leave, Level::Notice, reason);
                outcome.local = c.local.map(|l| self.numbers.renumber(l, self.names));
                outcome.kept.extend(keep(Side::Local, c.local));
                Some(outcome)
            }
            Class::Derived if c.local.is_some() && is_dir(c.local) && c.vendor.is_none() && c.needed => {
                self.by_row(c, row, class)
            }
            Class::Derived => Some(Outcome::new(
                Action::Leave,
                Level::Info,
                "generated from other files; the new layer makes its own",
            )),
            Class::Identity if leaf && row != 1 => self.always_local(c, "identity of this host"),
            Class::Pinned if leaf => self.always_local(c, "pinned here"),
            Class::Carry | Class::Merge | Class::Structured(_) | Class::MustExist => self.by_row(c, row, class),
            Class::Block | Class::Identity | Class::Pinned => self.by_row(c, row, class),
        }
    }

    fn not_carried(&mut self, c: Case<'_>, row: u8, rule: &Rule) -> Option<Outcome> {
        if let (Some(l), None) = (c.local, c.vendor)
            && is_dir(c.local)
            && c.needed
        {
            let entry = self.numbers.renumber(l, self.names);
            return Some(Outcome::put(entry, Content::Local, Level::Info, "holds something that is carried"));
        }
        // Both absent and both alike leave nothing to report.
        let reported = c.touched && row != 10 && !self.same_ln(c);
        reported.then(|| Outcome::new(Action::Leave, Level::Notice, rule.note.clone()))
    }

    /// What the layer has, whether it was changed or not.
    fn always_local(&mut self, c: Case<'_>, reason: &str) -> Option<Outcome> {
        if self.same_ln(c) {
            return None;
        }
        let Some(l) = c.local else {
            let mut outcome =
                Outcome::new(Action::Remove, Level::Info, format!("{reason}; absent here, so absent there"));
            outcome.kept.extend(keep(Side::Vendor, c.vendor));
            return Some(outcome);
        };
        let entry = self.numbers.renumber(l, self.names);
        let mut outcome = Outcome::put(entry, Content::Local, Level::Info, reason);
        outcome.kept.extend(keep(Side::Vendor, c.vendor));
        Some(outcome)
    }

    fn by_row(&mut self, c: Case<'_>, row: u8, class: Class) -> Option<Outcome> {
        match row {
            // The set of account files has its result also where only another of them was changed.
            4 | 10..=12 | 14 if self.is_of_a_set(c, class) => {
                let outcome = self.facets(c, "one of the account files, merged as one set")?;
                let nothing = outcome.action == Action::Leave && outcome.level == Level::Info;
                (!nothing || c.touched).then_some(outcome)
            }
            2 => self.local(c, Level::Info, "added here"),
            3 | 13 => Some(Outcome::new(Action::Leave, Level::Converged, "changed alike here and in the new image")),
            4 => self.add_add(c),
            6 => Some(Outcome::new(Action::Remove, Level::Info, "deleted here")),
            7 => Some(deleted_and_changed(c, class)),
            9 => self.local(c, Level::Conflict, "changed here, removed in the new image; kept"),
            12 => self.facets(c, "changed here"),
            14 => self.facets(c, "changed here and in the new image"),
            15 => c.touched.then(|| self.retyped_by_vendor(c)).flatten(),
            16 => self.retyped_here(c),
            17 => self.retyped_by_both(c),
            18 => {
                let reason = "deleted here, but the new image puts new files into it";
                Some(Outcome::new(Action::Leave, Level::Notice, reason))
            }
            19 => self.local(c, Level::Notice, "removed in the new image; kept for its local files only"),
            // 1, 5, 8, 10, 11 and 20: nothing of the layer's is at stake.
            _ => None,
        }
    }

    fn is_of_a_set(&self, c: Case<'_>, class: Class) -> bool {
        let files = [c.local, c.vendor].iter().flatten().all(|entry| entry.kind.digest().is_some());
        let merged = matches!(self.merged.get(c.path), Some(TextMerge::Merged { .. }));
        class == Class::Structured(Format::Accounts) && files && merged
    }

    /// The layer's entry as it is.
    fn local(&mut self, c: Case<'_>, level: Level, reason: &str) -> Option<Outcome> {
        let entry = self.numbers.renumber(c.local?, self.names);
        let mut outcome = Outcome::put(entry, Content::Local, level, reason);
        outcome.kept.extend(original(c.base));
        if c.needed && !is_dir(c.local) {
            outcome.level = Level::Conflict;
            outcome.reason.push_str("; what the new image has beneath it is not carried");
        }
        Some(outcome)
    }

    fn add_add(&mut self, c: Case<'_>) -> Option<Outcome> {
        let (l, n) = (c.local?, c.vendor?);
        let reason = "added here and in the new image";
        if same_type(&l.kind, &n.kind) {
            return self.facets(c, reason);
        }
        let mut outcome = self.local(c, Level::Conflict, reason)?;
        outcome.lose(n);
        Some(outcome)
    }

    fn retyped_here(&mut self, c: Case<'_>) -> Option<Outcome> {
        if self.same_bn(c) {
            return self.local(c, Level::Info, "replaced here by something of another type");
        }
        let level = if is_dir(c.local) { Level::Block } else { Level::Conflict };
        let mut outcome =
            self.local(c, level, "replaced here by something of another type, changed in the new image")?;
        outcome.lose(c.vendor?);
        Some(outcome)
    }

    fn retyped_by_vendor(&mut self, c: Case<'_>) -> Option<Outcome> {
        let (l, n) = (c.local?, c.vendor?);
        let reason = format!("a {} in the new image; the {} changed here is set aside", n.kind.word(), l.kind.word());
        let mut outcome = Outcome::new(Action::Leave, Level::Conflict, reason);
        outcome.local = Some(self.numbers.renumber(l, self.names));
        outcome.kept.extend(keep(Side::Local, c.local));
        outcome.facets.push(FacetResult { facet: Facet::Type, from: Origin::Vendor, loser: Some(words(l)) });
        Some(outcome)
    }

    fn retyped_by_both(&mut self, c: Case<'_>) -> Option<Outcome> {
        let reason = "another type here than in the new image; a person must decide";
        let mut outcome = if is_dir(c.local) {
            Outcome::new(Action::Leave, Level::Block, reason)
        } else {
            self.local(c, Level::Block, reason)?
        };
        outcome.level = Level::Block;
        outcome.lose(c.vendor?);
        Some(outcome)
    }

    /// One type on both sides: each facet for itself, the content by the class.
    fn facets(&mut self, c: Case<'_>, reason: &str) -> Option<Outcome> {
        let (l, n) = (c.local?, c.vendor?);
        let base = c.base.filter(|b| same_type(&b.kind, &n.kind));
        let meta = merge_meta(base, l, n, self.names, &mut self.numbers);
        let mut entry =
            Entry { path: c.path.clone(), kind: n.kind.clone(), meta: meta.meta, hardlink: n.hardlink.clone() };
        let (content, from, loser) = self.content(c, base, l, n);
        // What both sides changed and the result has from neither, or from the image.
        let own = (from == Origin::Merged).then(|| Entry { kind: l.kind.clone(), ..entry.clone() });
        match &content {
            Content::Local => {
                entry.kind = l.kind.clone();
                entry.meta.mtime = l.meta.mtime;
                entry.hardlink = l.hardlink.clone();
            }
            Content::Merged { .. } => {
                entry.kind = self.merged_kind(c)?;
                entry.meta.mtime = l.meta.mtime.max(n.meta.mtime);
                entry.hardlink = None;
            }
            Content::Vendor { .. } | Content::Kept | Content::LinkTo { .. } => {}
        }
        let unchanged = matches!(content, Content::Vendor { .. }) && entry.meta == n.meta;
        let action = if unchanged { Action::Leave } else { Action::Put { entry, content } };
        let mut outcome = Outcome::new(action, Level::Info, reason);
        outcome.facets = meta.results;
        if let Some(mut own) = own.filter(|_| !matches!(&outcome.action, Action::Put { content: Content::Local, .. })) {
            (own.meta.mtime, own.hardlink) = (l.meta.mtime, None);
            outcome.local = Some(own);
            outcome.kept.extend(keep(Side::Local, c.local));
        }
        if from != Origin::Both {
            outcome.kept.extend(keep(Side::Vendor, c.vendor).filter(|_| loser.is_some()));
            outcome.facets.insert(0, FacetResult { facet: Facet::Content, from, loser });
        }
        if matches!(from, Origin::Local | Origin::Merged) {
            outcome.kept.extend(original(c.base));
        }
        outcome.settle_level();
        Some(outcome)
    }

    /// Where the content comes from, as action and as facet, and what of the vendor's lost.
    fn content(&self, c: Case<'_>, base: Option<&Entry>, l: &Entry, n: &Entry) -> (Content, Origin, Option<String>) {
        let vendor = Content::Vendor { detach: false };
        let of_set = self.policy.rule(c.path).treatment == Treatment::State(Class::Structured(Format::Accounts));
        if let (true, Some(TextMerge::Merged { text, digest, lost })) = (of_set, self.merged.get(c.path)) {
            let (content, from, lost) = merged(text, digest, lost, l, n);
            let unchanged = |entry: &Entry| base.is_some_and(|b| same_content(&b.kind, &entry.kind));
            let from = match &content {
                Content::Vendor { .. } if from == Origin::Merged && unchanged(l) => Origin::Vendor,
                Content::Local if unchanged(n) => Origin::Local,
                Content::Vendor { .. } | Content::Local | Content::Merged { .. } => from,
                Content::Kept | Content::LinkTo { .. } => from,
            };
            return (content, from, lost);
        }
        let untouched = base.is_some_and(|b| same_content(&b.kind, &l.kind) && same_content(&b.kind, &n.kind));
        if untouched {
            return (vendor, Origin::Both, None);
        }
        let (from, clash) = three_way(base.map(ContentOf).as_ref(), &ContentOf(l), &ContentOf(n));
        match (from, clash) {
            (Origin::Local, Clash::No) => (Content::Local, from, None),
            (Origin::Local, Clash::Yes) => match self.merged.get(c.path) {
                Some(TextMerge::Merged { text, digest, lost }) => merged(text, digest, lost, l, n),
                Some(TextMerge::Conflict | TextMerge::Binary) | None => (Content::Local, Origin::Local, Some(words(n))),
            },
            (Origin::Both | Origin::Vendor | Origin::Merged, _) => (vendor, from, None),
        }
    }

    fn merged_kind(&self, c: Case<'_>) -> Option<Kind> {
        match self.merged.get(c.path)? {
            TextMerge::Merged { text, digest, .. } => {
                Some(Kind::File { size: text.len() as u64, digest: *digest, sparse: false })
            }
            TextMerge::Conflict | TextMerge::Binary => None,
        }
    }
}

/// A merged content: where it comes to what one side has, that side's.
fn merged(
    text: &[u8],
    digest: &crate::manifest::Digest,
    lost: &[String],
    l: &Entry,
    n: &Entry,
) -> (Content, Origin, Option<String>) {
    let lost = Some(lost.join("; ")).filter(|words| !words.is_empty());
    match (is_digest(l, digest), is_digest(n, digest)) {
        (true, true) => (Content::Vendor { detach: false }, Origin::Both, lost),
        (false, true) => (Content::Vendor { detach: false }, Origin::Merged, lost),
        (true, false) => (Content::Local, Origin::Merged, lost),
        (false, false) => (Content::Merged { text: text.to_vec() }, Origin::Merged, lost),
    }
}

/// An entry compared by its content alone.
#[derive(Debug)]
struct ContentOf<'a>(&'a Entry);

impl PartialEq for ContentOf<'_> {
    fn eq(&self, other: &Self) -> bool {
        same_content(&self.0.kind, &other.0.kind)
    }
}

fn is_digest(entry: &Entry, wanted: &crate::manifest::Digest) -> bool {
    matches!(&entry.kind, Kind::File { digest, .. } if digest == wanted)
}

fn deleted_and_changed(c: Case<'_>, class: Class) -> Outcome {
    if class == Class::MustExist {
        let reason = "deleted here, changed in the new image; it must exist, so it is back";
        return Outcome::new(Action::Leave, Level::Conflict, reason);
    }
    let mut outcome =
        Outcome::new(Action::Remove, Level::Conflict, "deleted here, changed in the new image; stays deleted");
    outcome.kept.extend(keep(Side::Vendor, c.vendor));
    outcome
}

impl Outcome {
    /// Records that the vendor's whole entry lost.
    fn lose(&mut self, vendor: &Entry) {
        self.facets.push(FacetResult { facet: Facet::Type, from: Origin::Local, loser: Some(words(vendor)) });
        self.kept.extend(keep(Side::Vendor, Some(vendor)));
    }

    /// A lost facet is a conflict; facets from both sides are a merge.
    fn settle_level(&mut self) {
        let any = |wanted: &[Origin]| self.facets.iter().any(|result| wanted.contains(&result.from));
        self.level = if self.facets.iter().any(|result| result.loser.is_some()) {
            Level::Conflict
        } else if any(&[Origin::Merged]) || (any(&[Origin::Local]) && any(&[Origin::Vendor])) {
            Level::Merged
        } else {
            Level::Info
        };
    }
}
