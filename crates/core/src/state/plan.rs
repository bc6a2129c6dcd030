//! What a state plan is: decisions as values, printable, comparable, with nothing left to choose.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::checks::{Check, Verdict};
use super::migrations::Migrated;
use crate::manifest::{Digest, Entry, Timestamp, XattrName};
use crate::path::TreePath;

/// What the engine found when it merged one text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TextMerge {
    /// Both sides' changes combine to this.
    Merged {
        /// The result.
        text: Vec<u8>,
        /// Its SHA-256.
        digest: Digest,
        /// Values of the image that lost against one of the layer, in words that tell no secret. None in a merge by
        /// line, which takes all or nothing.
        lost: Vec<String>,
    },
    /// They do not.
    Conflict,
    /// One of the three is binary.
    Binary,
}

/// One of the three trees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// The old base.
    Base,
    /// The old layer.
    Local,
    /// The new base.
    Vendor,
}

/// Where a facet of the result comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// Both sides have the same.
    Both,
    /// The layer.
    Local,
    /// The new base.
    Vendor,
    /// Both combined.
    Merged,
}

/// One independent aspect of a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Facet {
    /// Whether it exists, and as what.
    Type,
    /// Content, link target or device numbers.
    Content,
    /// Permission bits.
    Mode,
    /// Owner.
    Owner,
    /// Group.
    Group,
    /// One extended attribute: ACL, capability, label, user or trusted.
    Xattr(XattrName),
    /// Inode flags.
    Flags,
}

/// What was decided over one facet that at least one side changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FacetResult {
    /// Which.
    pub facet: Facet,
    /// Whose value the result has.
    pub from: Origin,
    /// The value that lost, in words; none where nothing was lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loser: Option<String>,
}

/// How much attention a decision deserves, least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// None.
    None,
    /// For the record.
    Info,
    /// Both sides arrived at the same.
    Converged,
    /// Both sides' changes were combined.
    Merged,
    /// A person should know.
    Notice,
    /// Both sides changed one facet; the loser is kept.
    Conflict,
    /// The update stops until a person decides.
    Block,
}

impl Level {
    /// Whether it is a finding: something a person should look at after the update.
    pub fn is_finding(self) -> bool {
        self >= Level::Notice
    }
}

/// A content that must be in the blob store before anything is written over it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Kept {
    /// From which tree.
    pub side: Side,
    /// Its SHA-256, which is its name in the blob store.
    pub digest: Digest,
    /// Its length.
    pub size_bytes: u64,
}

/// Where the content of a result comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "lowercase")]
pub enum Content {
    /// It is already in the new layer; only owner, mode and attributes are set.
    Vendor {
        /// Whether the path must first become an inode of its own, because other names of it keep what they have.
        detach: bool,
    },
    /// Copied from the old layer (for files), or made as the entry says (for everything else).
    Local,
    /// Written from here.
    Merged {
        /// The text. Never part of a printed or recorded plan: it may be a secret, and its digest is in the entry.
        #[serde(skip)]
        text: Vec<u8>,
    },
    /// Written from the blob with the digest of the entry (for files), or made as the entry says (for everything else).
    Kept,
    /// Another name of a path that this plan also writes.
    LinkTo {
        /// The first name.
        path: TreePath,
    },
}

/// What is done in the new layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "lowercase")]
pub enum Action {
    /// Nothing: the new layer has it as the image ships it, or does not have it.
    Leave,
    /// The path becomes this entry; owner and group are the new layer's numbers.
    Put {
        /// Everything about it.
        entry: Entry,
        /// Its content.
        content: Content,
    },
    /// The path is removed.
    Remove,
}

/// One decision over one path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// Row and path, `14:/etc/hosts`: the same for the same question on every host.
    pub id: String,
    /// Which path.
    pub path: TreePath,
    /// Row of the table of existence and content.
    pub row: u8,
    /// What is done.
    pub action: Action,
    /// Where the layer has it, where a migration gave it another name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<TreePath>,
    /// How much attention it deserves.
    pub level: Level,
    /// Why, in words.
    pub reason: String,
    /// The rule of the policy that decided.
    pub rule: String,
    /// Whether a change of the layer is left behind because no rule carries it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub not_carried: bool,
    /// What the layer would have if its side had won everywhere, with the new layer's numbers; none where the result is
    /// just that, or the layer had nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<Entry>,
    /// Facets that at least one side changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub facets: Vec<FacetResult>,
    /// Contents to keep first: losers, and the original of what diverged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<Kept>,
}

/// Every decision of one update.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StatePlan {
    /// Sorted by path. Paths the layer did not touch appear only where they are affected (a directory kept for local files).
    pub decisions: Vec<Decision>,
    /// Whether something stops the update: a decision, or what `stops` says.
    pub blocked: bool,
    /// What stops the update and belongs to no single path.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stops: Vec<String>,
    /// How many decisions of each level.
    pub levels: BTreeMap<Level, usize>,
    /// How many paths fell under each row, untouched ones included.
    pub rows: BTreeMap<u8, usize>,
    /// Findings that belong to no single path.
    pub notes: Vec<String>,
    /// Migrations of the image that lie between the two versions, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub migrations: Vec<Migrated>,
    /// Checkers of the new image that are run on the result.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Check>,
    /// Modification times to put back on directories whose entries change.
    pub directory_times: BTreeMap<TreePath, Timestamp>,
}

impl StatePlan {
    /// Decisions that stop the update.
    pub fn blocking(&self) -> impl Iterator<Item = &Decision> {
        self.decisions.iter().filter(|decision| decision.level == Level::Block)
    }

    /// Counts the levels again, after decisions were changed.
    pub fn recount(&mut self) {
        self.levels.clear();
        for decision in &self.decisions {
            *self.levels.entry(decision.level).or_default() += 1;
        }
    }

    /// Everything that stops the update, in words.
    pub fn why_blocked(&self) -> String {
        let all: Vec<String> = self.blocking().map(ToString::to_string).chain(self.stops.iter().cloned()).collect();
        all.join("; ")
    }

    /// What a person should look at: decisions, what is left behind, then what belongs to no single path.
    pub fn findings(&self) -> impl Iterator<Item = String> {
        let decisions = self.decisions.iter().filter(|decision| decision.level.is_finding() && !decision.not_carried);
        let told = |check: &&Check| {
            check.answer.as_ref().is_some_and(|a| !matches!(a.verdict, Verdict::Good | Verdict::AsShipped))
        };
        let checks = self.checks.iter().filter(told).map(|check| format!("check {check}"));
        let migrations = self.migrations.iter().filter(|migrated| migrated.failed.is_some() || migrated.later);
        let migrations = migrations.map(|migrated| format!("migration {migrated}"));
        decisions
            .map(ToString::to_string)
            .chain(migrations)
            .chain(checks)
            .chain(self.left_behind())
            .chain(self.notes.iter().cloned())
    }

    /// Changes that no rule carries, one line a neighbourhood, with the rule that would carry them.
    pub fn left_behind(&self) -> Vec<String> {
        let left = || self.decisions.iter().filter(|decision| decision.not_carried);
        let mut places: BTreeMap<(TreePath, &str, bool), Vec<&TreePath>> = BTreeMap::new();
        let neighbourhoods: BTreeSet<TreePath> = left().map(|decision| neighbourhood(&decision.path)).collect();
        for decision in left() {
            // Who has a rule of his own for a place knows why; a package database must not be carried at all.
            let by_default = decision.rule.starts_with("/** ");
            // A directory goes with what is in it.
            let own = neighbourhoods.get(&decision.path).filter(|path| path.components().count() <= 3).cloned();
            let key = (own.unwrap_or_else(|| neighbourhood(&decision.path)), decision.reason.as_str(), by_default);
            places.entry(key).or_default().push(&decision.path);
        }
        let line = |((place, reason, by_default), paths): (&(TreePath, &str, bool), &Vec<&TreePath>)| {
            let (what, rule) = match paths.as_slice() {
                [only] => (only.to_string(), only.to_string()),
                _ if place.is_root() => (format!("/: {} paths", paths.len()), "/**".into()),
                _ => (format!("{place}: {} paths", paths.len()), format!("{place}/**")),
            };
            let advice = format!("; the rule '{rule} carry' carries it");
            format!("{what}: {reason}{}", if *by_default { advice } else { String::new() })
        };
        places.iter().map(line).collect()
    }

    /// Bytes of content that carrying this out writes into the new layer, at most.
    pub fn carried_bytes(&self) -> u64 {
        let size = |decision: &Decision| match &decision.action {
            Action::Put { entry, content: Content::Local | Content::Kept | Content::Merged { .. } } => {
                entry.kind.content_bytes()
            }
            Action::Put { content: Content::Vendor { .. } | Content::LinkTo { .. }, .. } => 0,
            Action::Leave | Action::Remove => 0,
        };
        self.decisions.iter().map(size).sum()
    }

    /// Bytes that keeping losers and originals writes into the records, at most.
    pub fn kept_bytes(&self) -> u64 {
        self.decisions.iter().flat_map(|decision| &decision.kept).map(|kept| kept.size_bytes).sum()
    }
}

/// The directory by which paths are told of together: at most three deep.
pub(super) fn neighbourhood(path: &TreePath) -> TreePath {
    let above = std::iter::successors(path.parent(), TreePath::parent);
    above.into_iter().find(|dir| dir.components().count() <= 3).unwrap_or_default()
}

impl Decision {
    /// Where the layer has it.
    pub fn source(&self) -> &TreePath {
        self.source.as_ref().unwrap_or(&self.path)
    }
}

impl std::fmt::Display for Decision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.path, self.reason)
    }
}
