//! Which paths are state, and by which class each is moved to the next layer.
//!
//! Separate because the rules are data: the built-in table here is what holds where neither the image nor the admin
//! says otherwise. Must stay true: every path has exactly one deciding rule, the most specific; what no rule carries is
//! reported, never dropped in silence.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::path::TreePath;

/// How a path of the state is moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// By facet; where both sides changed the content, the layer's is taken whole.
    Carry,
    /// Always the image's.
    Vendor,
    /// By facet; where both sides changed the content, text is merged by line.
    Merge,
    /// By facet; where both sides changed the content, it is merged by what it means.
    Structured(Format),
    /// Always the layer's: what makes this host this host.
    Identity,
    /// Always the image's, without a finding: it is generated from other files.
    Derived,
    /// As `Merge`, and a path deleted here comes back where the image changed it.
    MustExist,
    /// As `Merge`, and a conflict stops the update.
    Block,
}

/// What a file merged by its meaning is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// passwd, group, shadow, gshadow, subuid and subgid, which are merged as one set.
    Accounts,
    /// fstab, by mount point.
    Fstab,
    /// crypttab, by name.
    Crypttab,
    /// INI and unit files, by section and key.
    Ini,
    /// `KEY=value` lines, by key.
    KeyValue,
    /// JSON, by path of keys.
    Json,
    /// TOML, by path of keys.
    Toml,
    /// YAML: by line, and the result must parse.
    Yaml,
}

impl Format {
    /// Its name in a policy.
    pub fn word(self) -> &'static str {
        match self {
            Format::Accounts => "accounts",
            Format::Fstab => "fstab",
            Format::Crypttab => "crypttab",
            Format::Ini => "ini",
            Format::KeyValue => "key-value",
            Format::Json => "json",
            Format::Toml => "toml",
            Format::Yaml => "yaml",
        }
    }
}

/// What a rule says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Treatment {
    /// It is state, of this class.
    State(Class),
    /// It is not carried; a change there is a finding.
    NotCarried,
    /// It is not looked at: it does not outlive a boot, or has a life of its own.
    Ignored,
}

/// How far a rule reaches. The order is that of specificity where paths are equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reach {
    /// The path and everything beneath it.
    Tree,
    /// Every path that begins with these bytes: `etc/ssh/ssh_host_`.
    Prefix,
    /// Only the path.
    Exact,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Where.
    pub path: TreePath,
    /// How far.
    pub reach: Reach,
    /// What.
    pub treatment: Treatment,
    /// Why, in words; used in findings.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

impl Rule {
    fn covers(&self, path: &TreePath) -> bool {
        match self.reach {
            Reach::Tree => path.is_within(&self.path),
            Reach::Prefix => path.as_bytes().starts_with(self.path.as_bytes()),
            Reach::Exact => *path == self.path,
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reach = match self.reach {
            Reach::Tree if self.path.is_root() => "**",
            Reach::Tree => "/**",
            Reach::Prefix => "*",
            Reach::Exact => "",
        };
        let treatment = match self.treatment {
            Treatment::State(Class::Carry) => "carry",
            Treatment::State(Class::Vendor) => "vendor",
            Treatment::State(Class::Merge) => "merge",
            Treatment::State(Class::Structured(format)) => {
                return write!(f, "{}{reach} structured:{}", self.path, format.word());
            }
            Treatment::State(Class::Identity) => "identity",
            Treatment::State(Class::Derived) => "derived",
            Treatment::State(Class::MustExist) => "must-exist",
            Treatment::State(Class::Block) => "block",
            Treatment::NotCarried => "not-carried",
            Treatment::Ignored => "ignored",
        };
        write!(f, "{}{reach} {treatment}", self.path)
    }
}

/// All rules that hold for one update.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    rules: Vec<Rule>,
}

const OUTSIDE: &str = "changed outside the state scope, not carried";
const PACKAGES: &str = "packages installed here are not carried yet";
const BOOT: &str = "kernels and boot entries belong to the image; changes in /boot are not carried";

/// The built-in table: path, reach, treatment, note.
const BUILT_IN: &[(&str, Reach, Treatment, &str)] = {
    use Class::{Carry, Derived, Identity, Merge, Structured};
    use Reach::{Exact, Prefix, Tree};
    use Treatment::{Ignored, NotCarried, State};
    &[
        ("", Tree, NotCarried, OUTSIDE),
        // The scope.
        ("etc", Tree, State(Merge), ""),
        ("root", Tree, State(Carry), ""),
        ("usr/local", Tree, State(Carry), ""),
        ("opt", Tree, State(Carry), ""),
        ("srv", Tree, State(Carry), ""),
        ("home", Tree, State(Carry), ""),
        ("var", Tree, State(Carry), ""),
        // Who this host is.
        ("etc/machine-id", Exact, State(Identity), ""),
        ("etc/hostname", Exact, State(Identity), ""),
        ("etc/hostid", Exact, State(Identity), ""),
        ("etc/adjtime", Exact, State(Identity), ""),
        ("etc/ssh/ssh_host_", Prefix, State(Identity), ""),
        ("etc/iscsi/initiatorname.iscsi", Exact, State(Identity), ""),
        ("etc/nvme/hostnqn", Exact, State(Identity), ""),
        ("etc/nvme/hostid", Exact, State(Identity), ""),
        ("var/lib/dbus/machine-id", Exact, State(Identity), ""),
        ("var/lib/systemd/random-seed", Exact, State(Identity), ""),
        // Who may log in: one set, merged by name.
        ("etc/passwd", Exact, State(Structured(Format::Accounts)), ""),
        ("etc/group", Exact, State(Structured(Format::Accounts)), ""),
        ("etc/shadow", Exact, State(Structured(Format::Accounts)), ""),
        ("etc/gshadow", Exact, State(Structured(Format::Accounts)), ""),
        ("etc/subuid", Exact, State(Structured(Format::Accounts)), ""),
        ("etc/subgid", Exact, State(Structured(Format::Accounts)), ""),
        // Generated from other files.
        ("etc/ld.so.cache", Exact, State(Derived), ""),
        ("etc/udev/hwdb.bin", Exact, State(Derived), ""),
        ("etc/selinux/targeted/policy", Tree, State(Derived), ""),
        ("var/cache", Tree, State(Derived), ""),
        ("var/lib/apt/lists", Tree, State(Derived), ""),
        ("boot/initrd", Prefix, State(Derived), ""),
        ("boot/initramfs", Prefix, State(Derived), ""),
        ("initrd.img", Prefix, State(Derived), ""),
        // Package databases are never copied: they describe the image, not the layer.
        ("var/lib/dpkg", Tree, NotCarried, PACKAGES),
        ("var/lib/rpm", Tree, NotCarried, PACKAGES),
        ("usr/lib/sysimage/rpm", Tree, NotCarried, PACKAGES),
        // Not part of a root file system, or not outliving a boot.
        ("run", Tree, Ignored, ""),
        ("tmp", Tree, Ignored, ""),
        ("var/tmp", Tree, Ignored, ""),
        ("proc", Tree, Ignored, ""),
        ("sys", Tree, Ignored, ""),
        ("dev", Tree, Ignored, ""),
        ("lost+found", Tree, Ignored, ""),
        ("boot/lost+found", Tree, Ignored, ""),
        ("boot", Tree, NotCarried, BOOT),
    ]
};

impl Default for Policy {
    /// The built-in table.
    fn default() -> Self {
        let rule = |(path, reach, treatment, note): &(&str, Reach, Treatment, &str)| Rule {
            path: TreePath::parse(path.as_bytes()).expect("a constant path"),
            reach: *reach,
            treatment: *treatment,
            note: (*note).into(),
        };
        Policy { rules: BUILT_IN.iter().map(rule).collect() }
    }
}

impl Policy {
    /// These rules alone, over the default "not carried".
    pub fn new(rules: Vec<Rule>) -> Self {
        let mut policy = Policy::default();
        policy.rules.truncate(1);
        policy.rules.extend(rules);
        policy
    }

    /// Adds rules that win over equal ones before them: the image's, then the admin's.
    #[must_use]
    pub fn with(mut self, rules: impl IntoIterator<Item = Rule>) -> Self {
        self.rules.extend(rules);
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
        }))
        .shadowing(note)
    }

    /// Drops the rules beneath a shared volume, which would otherwise be more specific than it.
    fn shadowing(mut self, note: &str) -> Self {
        let shared: Vec<TreePath> = self.rules.iter().filter(|r| r.note == note).map(|r| r.path.clone()).collect();
        self.rules.retain(|rule| rule.note == note || !shared.iter().any(|dir| rule.path.is_within(dir)));
        self
    }

    /// The rule that decides over a path.
    pub fn rule(&self, path: &TreePath) -> &Rule {
        let specific = |rule: &&Rule| (rule.path.as_bytes().len(), rule.reach);
        // Of equal ones `max_by_key` gives the last, which is the more important one.
        self.rules.iter().filter(|rule| rule.covers(path)).max_by_key(specific).expect("a rule for the root covers all")
    }

    /// Whether a tree need not be looked at: it is ignored and no rule beneath says otherwise.
    pub fn ignores_tree(&self, dir: &TreePath) -> bool {
        let other = |rule: &Rule| rule.treatment != Treatment::Ignored && rule.path.is_within(dir) && rule.path != *dir;
        self.rule(dir).treatment == Treatment::Ignored && !self.rules.iter().any(other)
    }
}

#[cfg(test)]
mod tests {
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
        let rule =
            Rule { path: path("etc"), reach: Reach::Tree, treatment: Treatment::State(Class::Carry), note: "x".into() };
        assert_eq!(Policy::default().with([rule.clone()]).rule(&path("etc/fstab")), &rule);
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
