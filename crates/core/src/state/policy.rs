//! Which paths are state, and by which class each is moved to the next layer.
//!
//! Separate because the rules are data: the built-in table here is what holds where neither the image nor the admin
//! says otherwise. Must stay true: every path has exactly one deciding rule, the most specific; what no rule carries is
//! reported, never dropped in silence.

use std::collections::HashMap;

use crate::path::TreePath;
use crate::structured;

mod builtin;
pub mod file;
mod rule;

use builtin::BUILT_IN;
pub use rule::{Class, Format, Origin, Reach, Rule, Treatment};

/// All rules that hold for one update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Later ones win over equal ones before them.
    rules: Vec<Rule>,
    index: Index,
    /// How much data that no rule carries may be left behind, in bytes. More stops an update.
    pub unknown_data_bytes: u64,
}

/// Where the rules of each path are: a path is looked up by itself and by each directory above it, so that a lookup costs
/// as much with thousands of rules as with ten. Only prefixes are tried one by one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Index {
    exact: HashMap<TreePath, usize>,
    trees: HashMap<TreePath, usize>,
    prefixes: Vec<usize>,
}

impl Index {
    fn of(rules: &[Rule]) -> Index {
        let mut index = Index::default();
        for (at, rule) in rules.iter().enumerate() {
            match rule.reach {
                Reach::Exact => drop(index.exact.insert(rule.path.clone(), at)),
                Reach::Tree => drop(index.trees.insert(rule.path.clone(), at)),
                Reach::Prefix => index.prefixes.push(at),
            }
        }
        index
    }
}

/// What may be left behind without a question. Less would stop updates for a stray core dump, more would hide a database.
const UNKNOWN_DATA_BYTES: u64 = 256 << 20;

impl Default for Policy {
    /// The built-in table.
    fn default() -> Self {
        let rule = |(path, reach, treatment, note): &(&str, Reach, Treatment, &str)| Rule {
            path: TreePath::parse(path.as_bytes()).expect("a constant path"),
            reach: *reach,
            treatment: *treatment,
            note: (*note).into(),
            origin: Origin::BuiltIn,
        };
        Policy::of(BUILT_IN.iter().map(rule).collect(), UNKNOWN_DATA_BYTES)
    }
}

impl Policy {
    fn of(rules: Vec<Rule>, unknown_data_bytes: u64) -> Self {
        Policy { index: Index::of(&rules), rules, unknown_data_bytes }
    }

    /// These rules alone, over the default "not carried".
    pub fn new(rules: Vec<Rule>) -> Self {
        let fallback = Policy::default().rules.into_iter().take(1);
        Policy::of(fallback.chain(rules).collect(), UNKNOWN_DATA_BYTES)
    }

    /// Every rule, the least important first.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Adds rules that win over equal ones before them: the image's, then the admin's.
    #[must_use]
    pub fn with(mut self, rules: impl IntoIterator<Item = Rule>) -> Self {
        self.rules.extend(rules);
        self.index = Index::of(&self.rules);
        self
    }

    /// Leaves the trees under these mount points out: they are shared volumes and no part of any layer.
    #[must_use]
    pub fn with_shared(self, mount_points: impl IntoIterator<Item = TreePath>) -> Self {
        let note = "a shared volume";
        self.with(mount_points.into_iter().map(|path| Rule {
            path,
            reach: Reach::Tree,
            treatment: Treatment::Ignored,
            note: note.into(),
            origin: Origin::BuiltIn,
        }))
        .shadowing(note)
    }

    /// Drops the rules beneath a shared volume, which would otherwise be more specific than it.
    fn shadowing(mut self, note: &str) -> Self {
        let shared: Vec<TreePath> = self.rules.iter().filter(|r| r.note == note).map(|r| r.path.clone()).collect();
        self.rules.retain(|rule| rule.note == note || !shared.iter().any(|dir| rule.path.is_within(dir)));
        self.index = Index::of(&self.rules);
        self
    }

    /// The rule that decides over a path.
    pub fn rule(&self, path: &TreePath) -> &Rule {
        let trees = std::iter::successors(Some(path.clone()), TreePath::parent);
        let tree = trees.into_iter().find_map(|dir| self.index.trees.get(&dir));
        let exact = self.index.exact.get(path);
        let prefixes = self.index.prefixes.iter().filter(|at| self.rules[**at].covers(path));
        let specific = |at: &&usize| (self.rules[**at].path.as_bytes().len(), self.rules[**at].reach, **at);
        let found = tree.into_iter().chain(exact).chain(prefixes).max_by_key(specific);
        // The first rule is for the root and covers all.
        &self.rules[found.copied().unwrap_or(0)]
    }

    /// The format by which a text at this path is merged: as its rule says, else as its place and name tell. None where it
    /// is merged by line, or not at all.
    pub fn format(&self, path: &TreePath) -> Option<structured::Format> {
        match self.rule(path).treatment {
            Treatment::State(Class::Structured(format)) => format.keyed(),
            Treatment::State(Class::Merge | Class::MustExist | Class::Block) => structured::Format::of_path(path),
            Treatment::State(Class::Carry | Class::Vendor | Class::Identity | Class::Derived | Class::Pinned) => None,
            Treatment::NotCarried | Treatment::Ignored => None,
        }
    }

    /// Whether a tree need not be looked at: it is ignored and no rule beneath says otherwise.
    pub fn ignores_tree(&self, dir: &TreePath) -> bool {
        let other = |rule: &Rule| rule.treatment != Treatment::Ignored && rule.path.is_within(dir) && rule.path != *dir;
        self.rule(dir).treatment == Treatment::Ignored && !self.rules.iter().any(other)
    }
}

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use super::*;

    fn path(text: &str) -> TreePath {
        TreePath::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn the_most_specific_rule_decides() {
        let policy = Policy::default();
        let says = |text: &str| policy.rule(&path(text)).to_string();
        for (of, rule) in [
            ("usr/bin/ls", "/** not-carried"),
            ("", "/** not-carried"),
            ("etc", "/etc/** merge"),
            ("etc/fstab", "/etc/** merge"),
            ("etcetera", "/** not-carried"),
            ("usr/local/bin/x", "/usr/local/** carry"),
            ("etc/machine-id", "/etc/machine-id identity"),
            ("etc/machine-id.d", "/etc/** merge"),
            ("etc/ssh/ssh_host_ed25519_key.pub", "/etc/ssh/ssh_host_* identity"),
            ("etc/ssh/sshd_config", "/etc/** merge"),
            ("var/cache/man/index.db", "/var/cache/** derived"),
            ("var/lib/dpkg/status", "/var/lib/dpkg/** not-carried"),
            ("run/x", "/run/** ignored"),
            ("boot/initrd.img-6", "/boot/initrd* derived"),
            ("boot/grub/grub.cfg", "/boot/** not-carried"),
        ] {
            assert_eq!(says(of), rule, "{of}");
        }
    }

    #[test]
    fn later_rules_win_over_equal_ones() {
        let rule = Rule { note: "x".into(), ..Rule::from_str("/etc/** carry").unwrap() };
        assert_eq!(Policy::default().with([rule.clone()]).rule(&path("etc/fstab")), &rule);
    }

    #[test]
    fn the_index_finds_what_a_scan_finds() {
        let lines =
            ["/a/** carry", "/a/b* merge", "/a/b vendor", "/a/b/** block", "/a/b/c* derived", "/a/b/c/d identity"];
        let rules: Vec<Rule> = lines.iter().chain(&lines[..3]).map(|line| line.parse().unwrap()).collect();
        let policy = Policy::default().with(rules);
        for text in ["a", "a/b", "a/bc", "a/b/c", "a/b/cd/e", "a/b/c/d", "a/b/c/d/e", "b", "", "a/x/y"] {
            let specific = |(at, rule): &(usize, &Rule)| (rule.path.as_bytes().len(), rule.reach, *at);
            let scan =
                policy.rules.iter().enumerate().filter(|(_, rule)| rule.covers(&path(text))).max_by_key(specific);
            assert_eq!(Some(policy.rule(&path(text))), scan.map(|(_, rule)| rule), "{text}");
        }
    }

    #[test]
    fn shared_volumes_are_out_of_the_walk_with_everything_beneath() {
        let policy = Policy::default().with_shared([path("var"), path("home")]);
        for text in ["var", "var/lib/dpkg/status", "var/cache/x", "home/a"] {
            assert_eq!(policy.rule(&path(text)).treatment, Treatment::Ignored, "{text}");
        }
        assert!(policy.ignores_tree(&path("var")));
        assert!(!policy.ignores_tree(&path("etc")));
        assert!(Policy::default().ignores_tree(&path("run/lock")));
        assert!(!Policy::default().ignores_tree(&path("var")));
    }
}
