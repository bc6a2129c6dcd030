//! Numbers of users and groups: one ledger a host, from name to number, in which nothing ever moves.
//!
//! Separate from the accounts because files outlive them: a number that once meant somebody here must never come to mean
//! somebody else, whatever an image says. Must stay true: a name keeps its number for ever; no two names have the same,
//! but those that had before the ledger began.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::manifest::{Accounts, Entry, XattrValue};

/// Version of the written form.
const VERSION: u32 = 1;
/// Numbers below belong to services, from here on to people.
const FIRST_PERSON: u32 = 1000;
/// 65534 is nobody, 65535 no number at all in old interfaces; numbers behind them are given out for containers.
const LAST_PERSON: u32 = 60_000;

/// Who has which number on this host, and who ever had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    version: u32,
    /// Users.
    pub users: BTreeMap<String, u32>,
    /// Groups.
    pub groups: BTreeMap<String, u32>,
}

impl Default for Ledger {
    fn default() -> Self {
        Ledger { version: VERSION, users: BTreeMap::new(), groups: BTreeMap::new() }
    }
}

/// Numbers of an image that are others here.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IdMap {
    /// Users.
    pub users: BTreeMap<u32, u32>,
    /// Groups.
    pub groups: BTreeMap<u32, u32>,
}

impl Ledger {
    /// Whether this program knows the written form.
    pub fn is_known(&self) -> bool {
        self.version == VERSION
    }

    /// Takes up names that it does not have yet.
    pub fn learn(&mut self, accounts: &Accounts) {
        for (book, table) in [(&mut self.users, &accounts.users), (&mut self.groups, &accounts.groups)] {
            for (id, name) in table {
                book.entry(name.clone()).or_insert(*id);
            }
        }
    }

    /// Which numbers an image's accounts get here: those the names have, else their own where they are free, else new
    /// ones of the same kind.
    pub fn localise(&self, image: &Accounts) -> IdMap {
        IdMap { users: localise(&self.users, &image.users), groups: localise(&self.groups, &image.groups) }
    }
}

fn localise(book: &BTreeMap<String, u32>, image: &BTreeMap<u32, String>) -> BTreeMap<u32, u32> {
    let mut taken: BTreeSet<u32> = book.values().copied().collect();
    let mut map = BTreeMap::new();
    let mut homeless = Vec::new();
    for (id, name) in image {
        match book.get(name) {
            Some(known) => drop(map.insert(*id, *known)),
            // Inserting says whether it was free.
            None if taken.insert(*id) => {}
            None => homeless.push(*id),
        }
    }
    // What the image has itself is not free either, though it may have moved.
    let wanted: BTreeSet<u32> = taken.iter().chain(image.keys()).copied().collect();
    taken = wanted;
    for id in homeless {
        let free = |id: &u32| !taken.contains(id);
        let found = match id < FIRST_PERSON {
            true => (1..FIRST_PERSON).rev().find(free),
            false => (FIRST_PERSON..LAST_PERSON).find(free),
        };
        // More names than numbers: then it keeps its own, as without a ledger.
        let found = found.unwrap_or(id);
        taken.insert(found);
        map.insert(id, found);
    }
    map.retain(|from, to| from != to);
    map
}

impl IdMap {
    /// Whether nothing is to be changed.
    pub fn is_identity(&self) -> bool {
        self.users.is_empty() && self.groups.is_empty()
    }

    /// The number here of a user of the image.
    pub fn user(&self, id: u32) -> u32 {
        self.users.get(&id).copied().unwrap_or(id)
    }

    /// The number here of a group of the image.
    pub fn group(&self, id: u32) -> u32 {
        self.groups.get(&id).copied().unwrap_or(id)
    }

    /// The image's accounts with this host's numbers.
    #[must_use]
    pub fn accounts(&self, image: &Accounts) -> Accounts {
        Accounts {
            users: image.users.iter().map(|(id, name)| (self.user(*id), name.clone())).collect(),
            groups: image.groups.iter().map(|(id, name)| (self.group(*id), name.clone())).collect(),
        }
    }

    /// An entry with this host's owners, also those in its access lists.
    pub fn entry(&self, entry: &mut Entry) {
        entry.meta.uid = self.user(entry.meta.uid);
        entry.meta.gid = self.group(entry.meta.gid);
        for (name, value) in &mut entry.meta.xattrs {
            if matches!(&*name.0, b"system.posix_acl_access" | b"system.posix_acl_default") {
                *value = XattrValue(self.acl(&value.0).into());
            }
        }
    }

    /// An access list as it is stored (`linux/posix_acl_xattr.h`, version 2). What is not understood stays as it is.
    fn acl(&self, raw: &[u8]) -> Vec<u8> {
        const USER: u16 = 0x02;
        const GROUP: u16 = 0x08;
        let mut out = raw.to_vec();
        let Some((version, entries)) = out.split_first_chunk_mut::<4>() else { return out };
        if u32::from_le_bytes(*version) != 2 {
            return out;
        }
        for entry in entries.as_chunks_mut::<8>().0 {
            let [tag_low, tag_high, _, _, id @ ..] = entry;
            let number = u32::from_le_bytes(*id);
            match u16::from_le_bytes([*tag_low, *tag_high]) {
                USER => *id = self.user(number).to_le_bytes(),
                GROUP => *id = self.group(number).to_le_bytes(),
                _ => {}
            }
        }
        // The kernel wants the entries of a kind sorted by number.
        let (_, entries) = out.split_at_mut(4);
        entries
            .as_chunks_mut::<8>()
            .0
            .sort_by_key(|e| (u16::from_le_bytes([e[0], e[1]]), u32::from_le_bytes([e[4], e[5], e[6], e[7]])));
        out
    }

    /// A passwd or group file with this host's numbers; every other byte stays.
    pub fn text(&self, is_passwd: bool, text: &[u8]) -> Vec<u8> {
        let line = |line: &[u8]| {
            let mut fields: Vec<Vec<u8>> = line.split(|b| *b == b':').map(<[u8]>::to_vec).collect();
            let mut renumber = |at: usize, to: &dyn Fn(u32) -> u32| {
                let Some(field) = fields.get_mut(at) else { return };
                if let Some(id) = std::str::from_utf8(field).ok().and_then(|id| id.parse().ok()) {
                    *field = to(id).to_string().into_bytes();
                }
            };
            if is_passwd {
                renumber(2, &|id| self.user(id));
                renumber(3, &|id| self.group(id));
            } else {
                renumber(2, &|id| self.group(id));
            }
            fields.join(&b':')
        };
        text.split(|b| *b == b'\n').map(line).collect::<Vec<_>>().join(&b'\n')
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn accounts(users: &[(u32, &str)], groups: &[(u32, &str)]) -> Accounts {
        let table = |rows: &[(u32, &str)]| rows.iter().map(|(id, name)| (*id, (*name).to_string())).collect();
        Accounts { users: table(users), groups: table(groups) }
    }

    #[test]
    fn names_keep_their_numbers_and_numbers_their_names() {
        let mut ledger = Ledger::default();
        ledger.learn(&accounts(&[(0, "root"), (977, "bar"), (1000, "anna")], &[(977, "bar")]));
        let image = accounts(&[(0, "root"), (977, "foo"), (976, "bar"), (1000, "bo"), (5, "new")], &[(977, "foo")]);
        let map = ledger.localise(&image);
        assert_eq!(map.users, [(977, 999), (976, 977), (1000, 1001)].into());
        assert_eq!(map.groups, [(977, 999)].into());
        ledger.learn(&map.accounts(&image));
        // The next image, and one that drops them all and brings somebody else.
        assert_eq!(ledger.localise(&map.accounts(&image)), IdMap::default());
        assert_eq!(ledger.localise(&accounts(&[(999, "other")], &[])).users, [(999, 998)].into());
    }

    #[test]
    fn texts_and_access_lists_are_renumbered() {
        let map = IdMap { users: [(5, 50)].into(), groups: [(5, 60), (7, 3)].into() };
        let passwd = b"root:x:0:0::/:/bin/sh\na:x:5:5:5:/5:/5\n+::::::\n";
        assert_eq!(map.text(true, passwd), b"root:x:0:0::/:/bin/sh\na:x:50:60:5:/5:/5\n+::::::\n");
        assert_eq!(map.text(false, b"a:x:5:a,5"), b"a:x:60:a,5");
        let entry = |tag: u16, id: u32| [&tag.to_le_bytes()[..], &[6, 0], &id.to_le_bytes()].concat();
        let list = |entries: &[Vec<u8>]| [vec![2, 0, 0, 0], entries.concat()].concat();
        let none = u32::MAX;
        let raw = list(&[entry(1, none), entry(2, 5), entry(4, none), entry(8, 5), entry(8, 7), entry(16, none)]);
        let now = list(&[entry(1, none), entry(2, 50), entry(4, none), entry(8, 3), entry(8, 60), entry(16, none)]);
        assert_eq!(map.acl(&raw), now);
        assert_eq!(map.acl(b"odd"), b"odd");
    }

    proptest! {
        #[test]
        fn nothing_moves_and_nobody_shares(rounds in prop::collection::vec(prop::collection::btree_map(0u32..12, 0usize..12, 0..10), 1..5)) {
            let mut ledger = Ledger::default();
            let mut known: BTreeMap<String, u32> = BTreeMap::new();
            for mut round in rounds {
                // In one image each name has one number.
                let mut names = BTreeSet::new();
                round.retain(|_, name| names.insert(*name));
                let users = round.iter().map(|(id, name)| (990 + id, format!("n{name}"))).collect();
                let image = Accounts { users, groups: BTreeMap::new() };
                let here = ledger.localise(&image).accounts(&image);
                prop_assert_eq!(here.users.len(), image.users.len(), "two names on one number");
                ledger.learn(&here);
                let numbers: BTreeSet<u32> = ledger.users.values().copied().collect();
                prop_assert_eq!(numbers.len(), ledger.users.len());
                for (name, id) in &known {
                    prop_assert_eq!(ledger.users[name], *id);
                }
                known = ledger.users.clone();
            }
        }
    }
}
