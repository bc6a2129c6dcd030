//! The three-way decision over each facet of a path that is of one type on every side.
//!
//! Separate from existence and content because a change of one facet must never freeze another: a `chmod` here lets the
//! image's new content arrive, a new label here does not vanish because the content changed there.

use std::collections::{BTreeMap, BTreeSet};

use super::Delta;
use super::plan::{Facet, FacetResult, Origin, TextMerge};
use crate::manifest::{Accounts, Entry, Kind, Meta, XattrValue};
use crate::path::{TreePath, escape};

/// An owner or group as it is compared: by name, and by number only where the tree has no name for it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Who {
    Name(String),
    Number(u32),
}

impl std::fmt::Display for Who {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Who::Name(name) => f.write_str(name),
            Who::Number(number) => write!(f, "{number}"),
        }
    }
}

/// The accounts of the three trees.
#[derive(Debug, Clone, Copy)]
pub(super) struct Names<'a> {
    pub base: &'a Accounts,
    pub local: &'a Accounts,
    pub vendor: &'a Accounts,
}

/// Finds the number of a name in the new image; collects what it does not know.
#[derive(Debug)]
pub(super) struct Numbers {
    users: BTreeMap<String, u32>,
    groups: BTreeMap<String, u32>,
    /// Whether the layer's own accounts of each kind go into the new layer, so that a name unknown to the image is not
    /// unknown there.
    users_arrive: bool,
    groups_arrive: bool,
    /// In words, for the plan's notes.
    pub unknown: BTreeSet<String>,
}

impl Numbers {
    /// Of the accounts that the new layer will have: the merged ones where they were merged, else the image's.
    pub fn of(vendor: &Accounts, delta: &Delta, merged: &BTreeMap<TreePath, TextMerge>) -> Self {
        // Of several numbers with one name the lowest is taken, as that is what the tools list first.
        let invert = |table: &BTreeMap<u32, String>| table.iter().rev().map(|(id, name)| (name.clone(), *id)).collect();
        let table = |file: &str, vendor: &BTreeMap<u32, String>| {
            let path = TreePath::parse(file.as_bytes()).expect("a constant path");
            match merged.get(&path) {
                Some(TextMerge::Merged { text, .. }) => (invert(&Accounts::parse_table(text)), false),
                Some(TextMerge::Conflict | TextMerge::Binary) | None => {
                    let arrives = delta.changes.get(&path).is_some_and(|change| change.entry().is_some());
                    (invert(vendor), arrives)
                }
            }
        };
        let (users, users_arrive) = table("etc/passwd", &vendor.users);
        let (groups, groups_arrive) = table("etc/group", &vendor.groups);
        Numbers { users, groups, users_arrive, groups_arrive, unknown: BTreeSet::new() }
    }

    fn number(&mut self, what: &str, who: &Who, local: u32) -> u32 {
        let (table, arrives) =
            if what == "owner" { (&self.users, self.users_arrive) } else { (&self.groups, self.groups_arrive) };
        let Who::Name(name) = who else { return local };
        if let Some(number) = table.get(name) {
            return *number;
        }
        let taken = table.iter().find(|(_, id)| **id == local).map(|(other, _)| other);
        let keeps = format!("{what} {name} is unknown to the new image; its files keep number {local}");
        match taken {
            Some(other) => drop(self.unknown.insert(format!("{keeps}, which there is {other}"))),
            None if arrives => {}
            None => drop(self.unknown.insert(keeps)),
        }
        local
    }

    /// The layer's entry with the new image's numbers.
    pub fn renumber(&mut self, entry: &Entry, names: Names<'_>) -> Entry {
        let mut out = entry.clone();
        out.meta.uid = self.number("owner", &user(&entry.meta, names.local), entry.meta.uid);
        out.meta.gid = self.number("group", &group(&entry.meta, names.local), entry.meta.gid);
        out
    }
}

fn who(table: &BTreeMap<u32, String>, id: u32) -> Who {
    table.get(&id).map_or(Who::Number(id), |name| Who::Name(name.clone()))
}

fn user(meta: &Meta, accounts: &Accounts) -> Who {
    who(&accounts.users, meta.uid)
}

fn group(meta: &Meta, accounts: &Accounts) -> Who {
    who(&accounts.groups, meta.gid)
}

/// Whether content, target or device numbers are the same (and with them the type).
pub(super) fn same_content(a: &Kind, b: &Kind) -> bool {
    if let (Kind::File { digest: x, .. }, Kind::File { digest: y, .. }) = (a, b) {
        return x == y;
    }
    a == b
}

/// Whether both are of one type.
pub(super) fn same_type(a: &Kind, b: &Kind) -> bool {
    std::mem::discriminant(a) == std::mem::discriminant(b)
}

/// Whether two entries agree in every facet. Never looks at times.
pub(super) fn same(a: &Entry, in_a: &Accounts, b: &Entry, in_b: &Accounts) -> bool {
    same_content(&a.kind, &b.kind)
        && a.meta.mode == b.meta.mode
        && a.meta.xattrs == b.meta.xattrs
        && a.meta.flags == b.meta.flags
        && user(&a.meta, in_a) == user(&b.meta, in_b)
        && group(&a.meta, in_a) == group(&b.meta, in_b)
}

/// The facets in which two entries of one path differ. Never looks at times.
pub(super) fn differing(a: &Entry, in_a: &Accounts, b: &Entry, in_b: &Accounts) -> Vec<Facet> {
    let mut out = Vec::new();
    let mut note = |differs: bool, facet: Facet| out.extend(differs.then_some(facet));
    note(!same_type(&a.kind, &b.kind), Facet::Type);
    note(same_type(&a.kind, &b.kind) && !same_content(&a.kind, &b.kind), Facet::Content);
    note(a.meta.mode != b.meta.mode, Facet::Mode);
    note(user(&a.meta, in_a) != user(&b.meta, in_b), Facet::Owner);
    note(group(&a.meta, in_a) != group(&b.meta, in_b), Facet::Group);
    let names: BTreeSet<_> = a.meta.xattrs.keys().chain(b.meta.xattrs.keys()).collect();
    for name in names {
        note(a.meta.xattrs.get(name) != b.meta.xattrs.get(name), Facet::Xattr(name.clone()));
    }
    note(a.meta.flags != b.meta.flags, Facet::Flags);
    out
}

/// Three-way over one value. With no base (both sides added the path) unequal values clash.
pub(super) fn three_way<T: PartialEq>(base: Option<&T>, local: &T, vendor: &T) -> (Origin, Clash) {
    if local == vendor {
        (Origin::Both, Clash::No)
    } else if base == Some(local) {
        (Origin::Vendor, Clash::No)
    } else if base == Some(vendor) {
        (Origin::Local, Clash::No)
    } else {
        (Origin::Local, Clash::Yes)
    }
}

/// Whether both sides changed one facet differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Clash {
    No,
    Yes,
}

/// What came of all facets but the content.
#[derive(Debug)]
pub(super) struct MergedMeta {
    /// The result, with the new image's numbers and the vendor's time.
    pub meta: Meta,
    /// What was decided where a side changed something.
    pub results: Vec<FacetResult>,
}

/// Decides over mode, owner, group and each attribute.
pub(super) fn merge_meta(
    base: Option<&Entry>,
    local: &Entry,
    vendor: &Entry,
    names: Names<'_>,
    numbers: &mut Numbers,
) -> MergedMeta {
    let (b, l, n) = (base.map(|e| &e.meta), &local.meta, &vendor.meta);
    let mut out = MergedMeta { meta: n.clone(), results: Vec::new() };
    let (from, clash) = three_way(b.map(|b| &b.mode), &l.mode, &n.mode);
    out.note(Facet::Mode, b.is_some_and(|b| b.mode == l.mode && b.mode == n.mode), from, clash, || {
        format!("{:04o}", n.mode)
    });
    if from == Origin::Local {
        out.meta.mode = l.mode;
    }
    let (bu, lu, nu) = (b.map(|b| user(b, names.base)), user(l, names.local), user(n, names.vendor));
    let (from, clash) = three_way(bu.as_ref(), &lu, &nu);
    out.note(Facet::Owner, bu.as_ref() == Some(&lu) && lu == nu, from, clash, || nu.to_string());
    if from == Origin::Local {
        out.meta.uid = numbers.number("owner", &lu, l.uid);
    }
    let (bg, lg, ng) = (b.map(|b| group(b, names.base)), group(l, names.local), group(n, names.vendor));
    let (from, clash) = three_way(bg.as_ref(), &lg, &ng);
    out.note(Facet::Group, bg.as_ref() == Some(&lg) && lg == ng, from, clash, || ng.to_string());
    if from == Origin::Local {
        out.meta.gid = numbers.number("group", &lg, l.gid);
    }
    let (from, clash) = three_way(b.map(|b| &b.flags), &l.flags, &n.flags);
    let unset = b.is_some_and(|b| b.flags == l.flags && b.flags == n.flags);
    out.note(Facet::Flags, unset, from, clash, || format!("'{}'", n.flags));
    if from == Origin::Local {
        out.meta.flags = l.flags;
    }
    out.merge_xattrs(b, l, n);
    out.agree_with_acl();
    out
}

const ACCESS_ACL: &[u8] = b"system.posix_acl_access";

/// The permission bits that an access ACL implies: for a file that has one they are the same thing, and whichever is
/// written last changes the other. Format: `linux/posix_acl_xattr.h`, version 2. None where it is not understood.
fn mode_of_acl(raw: &[u8]) -> Option<u16> {
    let (version, entries) = raw.split_first_chunk::<4>()?;
    let (entries, []) = entries.as_chunks::<8>() else { return None };
    if u32::from_le_bytes(*version) != 2 {
        return None;
    }
    let perm = |wanted: u16| {
        let has = |entry: &&[u8; 8]| u16::from_le_bytes([entry[0], entry[1]]) == wanted;
        entries.iter().find(has).map(|entry| u16::from_le_bytes([entry[2], entry[3]]) & 7)
    };
    let (user, group, mask, other) = (perm(0x01)?, perm(0x04), perm(0x10), perm(0x20)?);
    Some(user << 6 | mask.or(group)? << 3 | other)
}

impl MergedMeta {
    fn note(&mut self, facet: Facet, untouched: bool, from: Origin, clash: Clash, loser: impl Fn() -> String) {
        if !untouched && !(from == Origin::Both) {
            let loser = (clash == Clash::Yes).then(loser);
            self.results.push(FacetResult { facet, from, loser });
        }
    }

    /// Mode and ACL may come from different sides; then the ACL, which says more, decides over the permissions.
    fn agree_with_acl(&mut self) {
        let acl = self.meta.xattrs.iter().find(|(name, _)| *name.0 == *ACCESS_ACL);
        let Some(implied) = acl.and_then(|(_, XattrValue(raw))| mode_of_acl(raw)) else { return };
        let (wanted, special) = (self.meta.mode, self.meta.mode & 0o7000);
        self.meta.mode = special | implied;
        if self.meta.mode != wanted {
            let lost = FacetResult {
                facet: Facet::Mode,
                from: Origin::Merged,
                loser: Some(format!("{wanted:04o}, which the access ACL does not allow")),
            };
            self.results.retain(|result| result.facet != Facet::Mode);
            self.results.insert(0, lost);
        }
    }

    fn merge_xattrs(&mut self, b: Option<&Meta>, l: &Meta, n: &Meta) {
        let all = [b.map(|b| &b.xattrs), Some(&l.xattrs), Some(&n.xattrs)];
        let keys: BTreeSet<_> = all.into_iter().flatten().flat_map(|xattrs| xattrs.keys()).cloned().collect();
        for key in keys {
            let (bv, lv, nv) = (b.map(|b| b.xattrs.get(&key)), l.xattrs.get(&key), n.xattrs.get(&key));
            let (from, clash) = three_way(bv.as_ref(), &lv, &nv);
            let words = || nv.map_or_else(|| "absent".to_string(), |XattrValue(raw)| escape(raw));
            self.note(Facet::Xattr(key.clone()), bv == Some(lv) && lv == nv, from, clash, words);
            if from == Origin::Local {
                match lv {
                    Some(value) => drop(self.meta.xattrs.insert(key, value.clone())),
                    None => drop(self.meta.xattrs.remove(&key)),
                }
            }
        }
    }
}
