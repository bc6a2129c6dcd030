//! A notation for small trees, and what a plan makes of one: the model the state tests share.
//!
//! A tree is `path=thing` words: `d` a directory, `f:CONTENT` a file, `l:TARGET` a link, `p` a fifo, `s` a socket; then
//! `,MODE` and `,uNAME` and `,gNAME` and `,xVALUE` (the attribute user.x) in any order. Missing directories are added.

#![allow(dead_code)] // each test file uses its part

use std::collections::BTreeMap;

use thinroot_core::manifest::*;
use thinroot_core::path::TreePath;
use thinroot_core::state::{Action, Change, Content, Delta, Policy, StatePlan, TextMerge, plan, texts_to_merge};

pub fn path(text: &str) -> TreePath {
    TreePath::parse(text.as_bytes()).unwrap()
}

/// Stands for a SHA-256: enough that equal contents have equal digests.
pub fn digest(content: &[u8]) -> Digest {
    let mut out = [content.len() as u8; 32];
    for (i, byte) in content.iter().enumerate() {
        out[i % 31] = out[i % 31].rotate_left(3) ^ byte;
    }
    Digest(out)
}

pub fn accounts(pairs: &[(u32, &str)]) -> Accounts {
    let table: BTreeMap<u32, String> = pairs.iter().map(|(id, name)| (*id, (*name).to_string())).collect();
    Accounts { users: table.clone(), groups: table }
}

fn entry(at: &str, thing: &str, accounts: &Accounts) -> Entry {
    let mut words = thing.split(',');
    let what = words.next().unwrap();
    let kind = match what.split_at(1) {
        ("d", "") => Kind::Directory,
        ("f", content) => {
            Kind::File { size: content.len() as u64 - 1, digest: digest(&content.as_bytes()[1..]), sparse: false }
        }
        ("l", target) => Kind::Symlink { target: LinkTarget(target.as_bytes()[1..].into()) },
        ("p", "") => Kind::Fifo,
        ("s", "") => Kind::Socket,
        ("w", "") => Kind::Char { major: 0, minor: 0 },
        other => panic!("{other:?}"),
    };
    let mode = match kind {
        Kind::Directory => 0o755,
        Kind::Symlink { .. } => 0o777,
        Kind::File { .. } | Kind::Fifo | Kind::Char { .. } | Kind::Block { .. } | Kind::Socket => 0o644,
    };
    let mut meta = Meta { mode, ..Meta::default() };
    let number = |name: &str| accounts.users.iter().find(|(_, n)| *n == name).map(|(id, _)| *id);
    for word in words {
        match word.split_at(1) {
            ("u", name) => meta.uid = number(name).unwrap_or_else(|| name.parse().unwrap()),
            ("g", name) => meta.gid = number(name).unwrap_or_else(|| name.parse().unwrap()),
            ("x", value) => {
                meta.xattrs.insert(XattrName(b"user.x"[..].into()), XattrValue(value.as_bytes().into()));
            }
            _ => meta.mode = u16::from_str_radix(word, 8).unwrap(),
        }
    }
    Entry { path: path(at), kind, meta, hardlink: None }
}

pub fn tree(words: &str) -> Manifest {
    tree_of(words, &accounts(&[(0, "root")]))
}

pub fn tree_of(words: &str, accounts: &Accounts) -> Manifest {
    let mut entries: BTreeMap<TreePath, Entry> = BTreeMap::new();
    for word in words.split_whitespace() {
        let (at, thing) = word.split_once('=').unwrap();
        let new = entry(at, thing, accounts);
        entries.insert(new.path.clone(), new);
    }
    let missing: Vec<TreePath> = entries.keys().cloned().collect();
    entries.entry(TreePath::root()).or_insert_with(|| entry("", "d", accounts));
    for mut at in missing {
        while let Some(parent) = at.parent() {
            entries.entry(parent.clone()).or_insert_with(|| entry(&parent.to_string(), "d", accounts));
            at = parent;
        }
    }
    Manifest::new(accounts.clone(), entries.into_values().collect()).unwrap()
}

pub fn delta(base: &Manifest, local: &Manifest) -> Delta {
    let mut changes = BTreeMap::new();
    for entry in local.entries() {
        let change = match base.get(&entry.path) {
            None => Change::Added(entry.clone()),
            Some(old) if old == entry => continue,
            Some(_) => Change::Modified(entry.clone()),
        };
        changes.insert(entry.path.clone(), change);
    }
    for entry in base.entries().iter().filter(|e| local.get(&e.path).is_none()) {
        changes.insert(entry.path.clone(), Change::Removed);
    }
    Delta { accounts: local.accounts().clone(), changes }
}

/// Plans with texts that never merge.
pub fn plan_trees(base: &Manifest, local: &Manifest, new: &Manifest, policy: &Policy) -> StatePlan {
    let delta = delta(base, local);
    let merged = texts_to_merge(base, &delta, new, policy).into_iter().map(|p| (p, TextMerge::Conflict)).collect();
    plan(base, &delta, new, policy, &merged)
}

/// The new layer after the plan.
pub fn apply(plan: &StatePlan, new: &Manifest) -> BTreeMap<TreePath, (Kind, Meta)> {
    let mut out: BTreeMap<TreePath, (Kind, Meta)> =
        new.entries().iter().map(|e| (e.path.clone(), (e.kind.clone(), e.meta.clone()))).collect();
    for decision in plan.decisions.iter().filter(|d| d.action == Action::Remove) {
        out.remove(&decision.path);
    }
    for decision in &plan.decisions {
        if let Action::Put { entry, content } = &decision.action {
            if entry.kind != Kind::Directory {
                out.retain(|p, _| !p.is_within(&decision.path));
            }
            if let Content::LinkTo { path } = content {
                assert_eq!(out[path], (entry.kind.clone(), entry.meta.clone()), "{}", decision.id);
            }
            out.insert(decision.path.clone(), (entry.kind.clone(), entry.meta.clone()));
        }
    }
    out
}
