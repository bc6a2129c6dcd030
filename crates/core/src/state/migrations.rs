//! Migrations: what an image says has to become of older state, so that its version can read it.
//!
//! Separate from the rules because a rule says who wins, and a migration says what something has become. Each is a change of
//! a tree, made on the old base and on the old layer alike before they are merged: a directory that was renamed is merged
//! as if it had always had its new name. So a migration writes only through the plan, which shows, records and undoes it.
//!
//! Must stay true: a migration that fails changes nothing; each is made when its version is passed, and then only.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::lineage::whole;
use super::policy::{Class, Origin, Reach, Rule, Treatment};
use super::statements;
use super::{Change, Delta};
use crate::manifest::{Entry, Kind, Manifest, ManifestError, Meta};
use crate::name::{ImageId, compare_versions};
use crate::path::TreePath;
use crate::structured::edit::Key;

/// Largest file that describes a migration.
pub const MAX_FILE_BYTES: u64 = 64 * 1024;
const MAX_LIMIT_SEC: u64 = 600;
const LIMIT_SEC: u64 = 60;

/// Which way over its version a migration is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// From an older version to one that has it. It comes with the newer image.
    Up,
    /// From a version that has it to an older one. It comes with the newer image too, which is the old base then.
    Down,
}

/// A migration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migration {
    /// Its name; they are made in the order of names.
    pub name: String,
    /// The version that needs it.
    pub since: String,
    /// Which way; without it up, and down too where all that it does can be turned round.
    pub direction: Option<Direction>,
    /// Whether the update stops where it fails.
    pub critical: bool,
    /// How long a program of it may run, in seconds.
    pub limit_sec: u64,
    /// What it does, in order.
    pub acts: Vec<Act>,
}

/// One thing that a migration does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// A file or directory has another name.
    Rename(TreePath, TreePath),
    /// Changes there are not carried any more; they are kept aside.
    Drop(TreePath, Reach),
    /// A key of a file has another name.
    RenameKey(TreePath, Key, String),
    /// A value of a key is written otherwise.
    MapValue(TreePath, Key, String, String),
    /// A key that this host has not changed gets a value of its own here.
    SetIfDefault(TreePath, Key, String),
    /// A program of the image turns the old tree into what it has to be.
    Run(Vec<String>),
}

/// What came of a migration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Migrated {
    /// Its name.
    pub name: String,
    /// The version that needs it.
    pub since: String,
    /// Why nothing of it was done; none where it was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
    /// Whether its program is run only once the image is here, so that what it does cannot be shown before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub later: bool,
}

impl std::fmt::Display for Migrated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (since {})", self.name, self.since)?;
        match (&self.failed, self.later) {
            (Some(why), _) => write!(f, ": failed, nothing of it was done: {why}"),
            (None, true) => {
                f.write_str(": runs a program of the image, so what it does is seen once the image is here")
            }
            (None, false) => f.write_str(": done"),
        }
    }
}

impl Migration {
    /// What it is on the way from one version to another; none where it does not lie between them.
    pub fn between(&self, from: &ImageId, to: &ImageId) -> Option<Migration> {
        let has = |image: &ImageId| compare_versions(image.version(), &self.since).is_ge();
        let wanted = match (has(from), has(to)) {
            (false, true) => Direction::Up,
            (true, false) => Direction::Down,
            (true, true) | (false, false) => return None,
        };
        match (self.direction, wanted) {
            (Some(direction), _) => (direction == wanted).then(|| self.clone()),
            (None, Direction::Up) => Some(self.clone()),
            (None, Direction::Down) => {
                let acts: Option<Vec<Act>> = self.acts.iter().rev().map(Act::inverse).collect();
                Some(Migration { acts: acts?, ..self.clone() })
            }
        }
    }

    /// Reads one from a file `NAME.migration`; an error names the line.
    ///
    /// ```text
    /// since 2.0                                     the version that needs it; this line must be there
    /// direction up                                  or down; without it both, where what it does can be turned round
    /// critical                                      the update stops where it fails
    /// limit 60                                      seconds, for programs
    /// rename /etc/old /etc/new
    /// drop /etc/obsolete.conf                       or /etc/obsolete/**
    /// rename-key /etc/app.conf [main]old new
    /// map-value /etc/app.conf [main]colour rouge red
    /// set-if-default /etc/app.conf [main]mode fast
    /// run /usr/lib/app/migrate --state              no shell: words are parted by blanks
    /// ```
    pub fn parse(name: &str, text: &[u8]) -> Result<Migration, String> {
        let mut out = Migration {
            name: name.into(),
            since: String::new(),
            direction: None,
            critical: false,
            limit_sec: LIMIT_SEC,
            acts: Vec::new(),
        };
        statements::each(name, text, |line| out.line(line))?;
        match (out.since.is_empty(), out.acts.is_empty()) {
            (true, _) => Err(format!("{name}: no line 'since VERSION' says which version needs it")),
            (_, true) => Err(format!("{name}: it does nothing")),
            (false, false) => Ok(out),
        }
    }

    fn line(&mut self, line: &str) -> Result<(), String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["since", version] => self.since = (*version).into(),
            ["direction", "up"] => self.direction = Some(Direction::Up),
            ["direction", "down"] => self.direction = Some(Direction::Down),
            ["critical"] => self.critical = true,
            ["limit", seconds] => {
                let limit = seconds.parse().ok().filter(|seconds| (1..=MAX_LIMIT_SEC).contains(seconds));
                self.limit_sec = limit.ok_or(format!("'{seconds}' is not between 1 and {MAX_LIMIT_SEC} seconds"))?;
            }
            words => self.acts.push(Act::parse(words)?),
        }
        Ok(())
    }

    /// The rules that its drops come to.
    pub fn rules(&self) -> impl Iterator<Item = Rule> + '_ {
        self.acts.iter().filter_map(|act| {
            let Act::Drop(path, reach) = act else { return None };
            let origin = Origin::Image(format!("migration {}", self.name));
            let treatment = Treatment::State(Class::Vendor);
            Some(Rule { path: path.clone(), reach: *reach, treatment, note: String::new(), origin })
        })
    }
}

impl Act {
    fn parse(words: &[&str]) -> Result<Act, String> {
        Ok(match words {
            ["rename", from, to] => {
                let (from, to) = (one_path(from)?, one_path(to)?);
                if from.is_within(&to) || to.is_within(&from) {
                    return Err("one of the two paths is in the other".into());
                }
                Act::Rename(from, to)
            }
            ["drop", pattern] => {
                let (path, reach) = Reach::parse(pattern)?;
                Act::Drop(path, reach)
            }
            ["rename-key", file, old, new] => Act::RenameKey(one_path(file)?, key(old)?, (*new).into()),
            ["map-value", file, name, old, new] => {
                Act::MapValue(one_path(file)?, key(name)?, (*old).into(), (*new).into())
            }
            ["set-if-default", file, name, value] => Act::SetIfDefault(one_path(file)?, key(name)?, (*value).into()),
            ["run", program, ..] if program.starts_with('/') => {
                Act::Run(words[1..].iter().map(ToString::to_string).collect())
            }
            ["run", program, ..] => return Err(format!("'{program}' is not a program named from the root on")),
            [] | [..] => {
                let word = words.first().unwrap_or(&"");
                return Err(format!(
                    "'{word}' with this many words is none of since, direction, critical, limit, rename, drop, rename-key, \
                     map-value, set-if-default, run"
                ));
            }
        })
    }

    /// What undoes it; none where that cannot be told.
    fn inverse(&self) -> Option<Act> {
        match self {
            Act::Rename(from, to) => Some(Act::Rename(to.clone(), from.clone())),
            Act::RenameKey(file, key, name) => {
                let renamed = Key { section: key.section.clone(), name: name.clone() };
                Some(Act::RenameKey(file.clone(), renamed, key.name.clone()))
            }
            Act::MapValue(file, key, old, new) => {
                Some(Act::MapValue(file.clone(), key.clone(), new.clone(), old.clone()))
            }
            Act::Drop(..) | Act::SetIfDefault(..) | Act::Run(_) => None,
        }
    }
}

fn one_path(text: &str) -> Result<TreePath, String> {
    match Reach::parse(text)? {
        (path, Reach::Exact) if !path.is_root() => Ok(path),
        _ => Err(format!("'{text}' must name one path")),
    }
}

fn key(text: &str) -> Result<Key, String> {
    Key::parse(text).ok_or(format!("'{text}' is neither a key nor [section]key"))
}

/// Both trees with a path, and whatever is beneath it, under another name. An error says why that cannot be.
pub fn rename(base: &Manifest, delta: &Delta, from: &TreePath, to: &TreePath) -> Result<(Manifest, Delta), String> {
    let taken =
        |path: &TreePath| base.get(path).is_some() || delta.changes.get(path).is_some_and(|c| c.entry().is_some());
    if !taken(from) && !delta.changes.contains_key(from) {
        return Ok((base.clone(), delta.clone()));
    }
    if taken(to) {
        return Err(format!("{to} is here already"));
    }
    let moved =
        |path: &TreePath| path.rebase(from, to).filter(|_| path.is_within(from)).unwrap_or_else(|| path.clone());
    let entry = |entry: &Entry| Entry {
        path: moved(&entry.path),
        hardlink: entry.hardlink.as_ref().map(moved),
        ..entry.clone()
    };
    let mut entries: BTreeMap<TreePath, Entry> =
        base.entries().iter().map(entry).map(|entry| (entry.path.clone(), entry)).collect();
    let mut changes = BTreeMap::new();
    for (path, change) in &delta.changes {
        let change = match change {
            Change::Added(e) => Change::Added(entry(e)),
            Change::Modified(e) => Change::Modified(entry(e)),
            Change::Removed => Change::Removed,
        };
        changes.insert(moved(path), change);
    }
    // Directories on the way to the new name are made in both, so that neither side seems to have made them.
    for dir in std::iter::successors(to.parent(), TreePath::parent).filter(|dir| !dir.is_root()) {
        let meta = Meta { mode: 0o755, ..Meta::default() };
        let made = Entry { path: dir.clone(), kind: Kind::Directory, meta, hardlink: None };
        entries.entry(dir).or_insert(made);
    }
    let renamed = whole(base.accounts().clone(), entries.values()).map_err(|why: ManifestError| why.to_string())?;
    Ok((renamed, Delta { accounts: delta.accounts.clone(), changes }))
}

/// Where a path was before these renames, the last of them undone first.
pub fn origin(path: &TreePath, renames: &[(TreePath, TreePath)]) -> TreePath {
    renames.iter().rev().fold(path.clone(), |path, (from, to)| {
        if path.is_within(to) { path.rebase(to, from).unwrap_or(path) } else { path }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Accounts, Digest};

    fn path(text: &str) -> TreePath {
        TreePath::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_migration_is_read() {
        let text = b"# ours\nsince 2.0\ncritical\nlimit 5\nrename /etc/old /etc/app/new # moved\ndrop /etc/x/**
rename-key /etc/a.conf [main]old new\nmap-value /etc/a.conf colour rouge red\nset-if-default /etc/a.conf mode fast
run /usr/lib/app/migrate --state\n";
        let read = Migration::parse("10-app", text).unwrap();
        assert_eq!((read.since.as_str(), read.critical, read.limit_sec, read.acts.len()), ("2.0", true, 5, 6));
        assert_eq!(read.acts[0], Act::Rename(path("etc/old"), path("etc/app/new")));
        assert_eq!(read.acts[5], Act::Run(vec!["/usr/lib/app/migrate".into(), "--state".into()]));
        assert_eq!(read.rules().map(|rule| rule.to_string()).collect::<Vec<_>>(), ["/etc/x/** vendor"]);
    }

    #[test]
    fn mistakes_are_told_with_their_line() {
        for (text, why) in [
            (&b"rename /a /b"[..], "no line 'since VERSION'"),
            (b"since 1", "it does nothing"),
            (b"since 1\nrename /a", "f:2: 'rename' with this many words"),
            (b"rename /a /a/b", "one of the two paths is in the other"),
            (b"rename /a/** /b", "must name one path"),
            (b"rename-key /a [x b", "neither a key nor [section]key"),
            (b"run migrate", "not a program named from the root on"),
            (b"limit 0", "not between 1 and 600"),
            (b"\xff", "not UTF-8"),
        ] {
            let error = Migration::parse("f", text).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn each_is_made_where_its_version_is_passed() {
        let image = |version: &str| ImageId::new("node", version, "1").unwrap();
        let migration = |text: &str| Migration::parse("f", format!("since 2.0\n{text}\n").as_bytes()).unwrap();
        let acts = |text, from, to| migration(text).between(&image(from), &image(to)).map(|found| found.acts);
        let (drop, rename) = ("drop /x", "rename /a /b\nrename-key /b/c old new");
        for (from, to) in [("1.9", "2.0"), ("1.0", "10.1")] {
            assert_eq!(acts(drop, from, to), Some(migration(drop).acts));
        }
        for (from, to) in [("2.0", "2.1"), ("1", "1.9"), ("2.1", "1.0")] {
            assert_eq!(acts(drop, from, to), None);
        }
        assert_eq!(acts("direction down\ndrop /x", "2.1", "1.0"), Some(migration(drop).acts));
        assert_eq!(acts("direction down\ndrop /x", "1.0", "2.1"), None);
        let only_up = "direction up\nrename /a /b";
        assert_eq!(acts(only_up, "2.1", "1.0"), None);
        let back = migration("rename-key /b/c new old\nrename /b /a").acts;
        assert_eq!(acts(rename, "2.1", "1.0"), Some(back));
    }

    #[test]
    fn a_renamed_directory_is_as_if_it_always_had_its_name() {
        let dir = |at: &str| Entry { path: path(at), kind: Kind::Directory, meta: Meta::default(), hardlink: None };
        let file = |at: &str, content| {
            let kind = Kind::File { size: 1, digest: Digest([content; 32]), sparse: false };
            Entry { path: path(at), kind, meta: Meta::default(), hardlink: None }
        };
        let entries = vec![dir(""), dir("etc"), dir("etc/old"), file("etc/old/a", 1), file("etc/older", 1)];
        let base = Manifest::new(Accounts::default(), entries).unwrap();
        let changes = [
            (path("etc/old/a"), Change::Modified(file("etc/old/a", 2))),
            (path("etc/old/b"), Change::Added(file("etc/old/b", 3))),
        ];
        let delta = Delta { accounts: Accounts::default(), changes: changes.into() };
        let (base, delta) = rename(&base, &delta, &path("etc/old"), &path("etc/app/new")).unwrap();
        let paths: Vec<String> = base.entries().iter().map(|entry| entry.path.to_string()).collect();
        assert_eq!(paths, ["/", "/etc", "/etc/app", "/etc/app/new", "/etc/app/new/a", "/etc/older"]);
        let changed: Vec<String> = delta.changes.keys().map(ToString::to_string).collect();
        assert_eq!(changed, ["/etc/app/new/a", "/etc/app/new/b"]);
        assert!(rename(&base, &delta, &path("etc/older"), &path("etc/app")).unwrap_err().contains("here already"));
        let renames = [(path("etc/old"), path("etc/mid")), (path("etc/mid"), path("etc/app/new"))];
        assert_eq!(origin(&path("etc/app/new/b"), &renames), path("etc/old/b"));
        assert_eq!(origin(&path("etc/older"), &renames), path("etc/older"));
    }
}
