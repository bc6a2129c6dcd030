//! State plans: what an update carries, merges, sets aside or is stopped by.

use std::fmt::Write;

use thinroot_core::path::escape;
use thinroot_core::state::{Action, Decision, Facet, FacetResult, Kept, Level, Origin, Side, StatePlan};

use super::count;

/// Decisions of a group that are named one by one unless all are asked for.
pub const SHOWN: usize = 20;

/// What a person wants to tell apart, most urgent first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// Stops the update.
    Blocks,
    /// Both sides changed one facet; the loser is kept.
    Conflicts,
    /// Something a person should know: dropped, not carried.
    Notices,
    /// Both sides combined.
    Merged,
    /// The layer's version.
    Carried,
    /// The image's version, with nothing lost.
    Image,
}

impl Group {
    const ALL: [Group; 6] =
        [Group::Blocks, Group::Conflicts, Group::Notices, Group::Merged, Group::Carried, Group::Image];

    fn of(decision: &Decision) -> Group {
        match decision.level {
            Level::Block => Group::Blocks,
            Level::Conflict => Group::Conflicts,
            Level::Notice => Group::Notices,
            Level::Merged => Group::Merged,
            Level::None | Level::Info | Level::Converged => match decision.action {
                Action::Leave => Group::Image,
                Action::Put { .. } | Action::Remove => Group::Carried,
            },
        }
    }

    fn title(self) -> &'static str {
        match self {
            Group::Blocks => "stops the update",
            Group::Conflicts => "conflicts: both sides changed it, the loser is kept",
            Group::Notices => "to note",
            Group::Merged => "merged from both sides",
            Group::Carried => "carried from the layer",
            Group::Image => "as the image has it",
        }
    }
}

/// One line: `state: 12 carried, 2 merged, 1 conflict, 3 to note`.
pub fn summary(plan: &StatePlan) -> String {
    let number = |group| plan.decisions.iter().filter(|decision| Group::of(decision) == group).count();
    let mut parts = vec![
        format!("{} carried", number(Group::Carried)),
        format!("{} merged", number(Group::Merged)),
        count(number(Group::Conflicts), "conflict"),
        format!("{} to note", number(Group::Notices) + plan.notes.len()),
    ];
    if plan.blocked {
        parts.push(format!("{} that must be decided first", number(Group::Blocks)));
    }
    format!("state: {}\n", parts.join(", "))
}

/// How much of a state plan is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// Every group, the first few decisions of each.
    Overview,
    /// Only what a person should look at, the first few of each.
    Findings,
    /// Everything.
    Full,
}

/// The decisions by group; `wanted` chooses among their paths.
pub fn groups(plan: &StatePlan, extent: Extent, wanted: impl Fn(&Decision) -> bool) -> String {
    let mut out = String::new();
    for group in Group::ALL {
        let shown = match extent {
            Extent::Full => true,
            Extent::Overview => group != Group::Image,
            Extent::Findings => matches!(group, Group::Blocks | Group::Conflicts | Group::Notices),
        };
        // What is left behind is told by place below, unless everything is asked for.
        let told = |d: &Decision| wanted(d) && (extent == Extent::Full || !d.not_carried);
        let members: Vec<_> = plan.decisions.iter().filter(|d| Group::of(d) == group && told(d)).collect();
        if !shown || members.is_empty() {
            continue;
        }
        push(&mut out, format_args!("{} ({})", group.title(), members.len()));
        let limit = if extent == Extent::Full { members.len() } else { SHOWN };
        for decision in members.iter().take(limit) {
            one(&mut out, decision);
        }
        if members.len() > limit {
            push(&mut out, format_args!("  and {} more (--json lists all)", members.len() - limit));
        }
    }
    let left_behind = if extent == Extent::Full { Vec::new() } else { plan.left_behind() };
    if !left_behind.is_empty() {
        push(&mut out, format_args!("not carried, because no rule does ({})", left_behind.len()));
        left_behind.iter().for_each(|line| push(&mut out, format_args!("  {line}")));
    }
    if !plan.stops.is_empty() {
        push(&mut out, format_args!("stops the update"));
        plan.stops.iter().for_each(|stop| push(&mut out, format_args!("  {stop}")));
    }
    if !plan.notes.is_empty() {
        push(&mut out, format_args!("of no single path ({})", plan.notes.len()));
        plan.notes.iter().for_each(|note| push(&mut out, format_args!("  {note}")));
    }
    out
}

fn push(out: &mut String, line: std::fmt::Arguments<'_>) {
    let _ = writeln!(out, "{line}"); // writing to a String cannot fail
}

fn one(out: &mut String, decision: &Decision) {
    push(out, format_args!("  {}: {}", decision.path, decision.reason));
    for result in decision.facets.iter().filter(|result| result.loser.is_some() || decision.level.is_finding()) {
        push(out, format_args!("      {}", facet(result)));
    }
    if decision.level >= Level::Merged {
        for kept in &decision.kept {
            push(out, format_args!("      {}", kept_line(kept)));
        }
    }
}

/// A decision with all it has lost and kept.
pub fn decision_lines(decision: &Decision) -> String {
    let mut out = String::new();
    push(&mut out, format_args!("  {}", decision.reason));
    decision.facets.iter().for_each(|result| push(&mut out, format_args!("    {}", facet(result))));
    decision.kept.iter().for_each(|kept| push(&mut out, format_args!("    {}", kept_line(kept))));
    out
}

/// A facet in words.
pub fn facet_word(facet: &Facet) -> String {
    match facet {
        Facet::Type => "type".into(),
        Facet::Content => "content".into(),
        Facet::Mode => "mode".into(),
        Facet::Owner => "owner".into(),
        Facet::Group => "group".into(),
        Facet::Flags => "inode flags".into(),
        Facet::Xattr(name) => format!("attribute {}", escape(&name.0)),
    }
}

fn facet(result: &FacetResult) -> String {
    let name = facet_word(&result.facet);
    let from = match result.from {
        Origin::Both => "the same on both sides",
        Origin::Local => "the layer's",
        Origin::Vendor => "the image's",
        Origin::Merged => "both combined",
    };
    let other = match result.from {
        Origin::Local => "the image has",
        Origin::Vendor => "the layer had",
        Origin::Both | Origin::Merged => "instead of",
    };
    match &result.loser {
        Some(loser) => format!("{name}: {from}; {other} {loser}"),
        None => format!("{name}: {from}"),
    }
}

fn kept_line(kept: &Kept) -> String {
    let side = match kept.side {
        Side::Base => "the old image's content",
        Side::Local => "the layer's content",
        Side::Vendor => "the new image's content",
    };
    format!("kept: {side}, {}, SHA-256 {}", crate::size::human(kept.size_bytes), kept.digest)
}

/// What a plan that was carried out came to: how many, what a person should look at, how to get at what lost.
pub fn outcome(plan: &StatePlan) -> String {
    summary(plan) + &groups(plan, Extent::Findings, |_| true) + &checks(plan) + hint(plan)
}

/// What the image has to say: its migrations, and its checkers: those that will be asked, or what they said.
pub fn checks(plan: &StatePlan) -> String {
    fn list(title: &str, items: impl ExactSizeIterator<Item = String>) -> String {
        let number = items.len();
        let lines: String = items.map(|item| format!("  {item}\n")).collect();
        if number == 0 { String::new() } else { format!("{title} ({number})\n{lines}") }
    }
    list("migrations of the image", plan.migrations.iter().map(ToString::to_string))
        + &list("checks of the new image", plan.checks.iter().map(ToString::to_string))
}

/// How to get at what lost, where anything did.
pub fn hint(plan: &StatePlan) -> &'static str {
    let lost = plan.decisions.iter().any(|decision| decision.level.is_finding() && !decision.kept.is_empty());
    if lost { "a kept content is printed by: thinroot state show --kept SHA256\n" } else { "" }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use thinroot_core::manifest::{Digest, XattrName};
    use thinroot_core::path::TreePath;

    pub(crate) fn decision(path: &str, level: Level, action: Action, reason: &str) -> Decision {
        Decision {
            source: None,
            id: format!("1:/{path}"),
            path: TreePath::parse(path.as_bytes()).unwrap(),
            row: 1,
            action,
            level,
            reason: reason.into(),
            rule: "/etc/** merge".into(),
            not_carried: false,
            local: None,
            facets: Vec::new(),
            kept: Vec::new(),
        }
    }

    fn plan() -> StatePlan {
        let mut conflict = decision("etc/hosts", Level::Conflict, Action::Remove, "both changed the content");
        let lost = FacetResult { facet: Facet::Content, from: Origin::Local, loser: Some("120 bytes".into()) };
        let name = XattrName(b"security.selinux".to_vec().into());
        conflict.facets = vec![lost, FacetResult { facet: Facet::Xattr(name), from: Origin::Vendor, loser: None }];
        conflict.kept = vec![Kept { side: Side::Vendor, digest: Digest([0xab; 32]), size_bytes: 120 }];
        let decisions = vec![
            decision("etc/a", Level::Info, Action::Remove, "deleted here"),
            conflict,
            decision("etc/merged", Level::Merged, Action::Remove, "both changed different lines"),
            decision("etc/same", Level::Converged, Action::Leave, "both made the same change"),
            decision("usr/bin/x", Level::Notice, Action::Leave, "changed outside the state scope, not carried"),
        ];
        StatePlan { decisions, notes: vec!["owner bob is unknown".into()], ..StatePlan::default() }
    }

    #[test]
    fn everything_a_person_must_know_is_in_the_overview() {
        let expected = format!(
            "\
conflicts: both sides changed it, the loser is kept (1)
  /etc/hosts: both changed the content
      content: the layer's; the image has 120 bytes
      attribute security.selinux: the image's
      kept: the new image's content, 120 B, SHA-256 {}
to note (1)
  /usr/bin/x: changed outside the state scope, not carried
merged from both sides (1)
  /etc/merged: both changed different lines
carried from the layer (1)
  /etc/a: deleted here
of no single path (1)
  owner bob is unknown
",
            "ab".repeat(32)
        );
        assert_eq!(groups(&plan(), Extent::Overview, |_| true), expected);
        assert_eq!(hint(&plan()), "a kept content is printed by: thinroot state show --kept SHA256\n");
        assert_eq!(hint(&StatePlan::default()), "");
        assert_eq!(summary(&plan()), "state: 1 carried, 1 merged, 1 conflict, 2 to note\n");
        let full = groups(&plan(), Extent::Full, |_| true);
        assert!(full.contains("as the image has it (1)\n  /etc/same: both made the same change\n"), "{full}");
        let findings = groups(&plan(), Extent::Findings, |d| d.path.as_bytes().starts_with(b"usr"));
        assert_eq!(
            findings,
            "to note (1)\n  /usr/bin/x: changed outside the state scope, not carried\nof no single path (1)\n  owner bob is unknown\n"
        );
    }

    #[test]
    fn long_groups_are_cut_and_say_so() {
        let many = |n: usize| decision(&format!("etc/{n:03}"), Level::None, Action::Remove, "deleted here");
        let plan = StatePlan { decisions: (0..25).map(many).collect(), ..StatePlan::default() };
        let text = groups(&plan, Extent::Overview, |_| true);
        assert_eq!(text.lines().count(), 22);
        assert!(text.ends_with("  /etc/019: deleted here\n  and 5 more (--json lists all)\n"), "{text}");
        assert_eq!(groups(&plan, Extent::Full, |_| true).lines().count(), 26);
    }

    #[test]
    fn blocks_come_first_and_are_counted() {
        let mut plan = plan();
        plan.decisions.push(decision("etc/zz", Level::Block, Action::Leave, "a rule asks a person"));
        plan.blocked = true;
        assert!(groups(&plan, Extent::Overview, |_| true).starts_with("stops the update (1)\n  /etc/zz: a rule"));
        assert!(summary(&plan).ends_with(", 1 that must be decided first\n"));
    }
}
