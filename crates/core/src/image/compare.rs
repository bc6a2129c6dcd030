//! What is different in another image of the same product: for people who publish it, and for those who take it.

use std::collections::BTreeMap;

use serde::Serialize;

use super::packages::{PackageName, Packages};
use crate::manifest::{Accounts, Digest, Entry, Kind, Manifest};
use crate::path::TreePath;

/// Everything that is different.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Comparison {
    /// Packages that came, went or have another version; none where one of the images lists no packages.
    pub packages: Option<Vec<PackageChange>>,
    /// Accounts that came, went or have another number.
    pub accounts: Vec<AccountChange>,
    /// Paths, sorted.
    pub paths: Vec<PathChange>,
    /// Paths that differ in their time of change only, which are not among `paths`.
    pub times_only: u64,
    /// Bytes of contents that are new: what has to be written, before anything is shared by blocks.
    pub new_bytes: u64,
    /// Bytes of contents that are no longer there.
    pub gone_bytes: u64,
}

/// A package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PackageChange {
    /// Its name.
    pub name: String,
    /// Its architecture.
    pub arch: String,
    /// Versions in the old image; empty where it came.
    pub old: Vec<String>,
    /// Versions in the new image; empty where it went.
    pub new: Vec<String>,
}

/// A user or a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AccountChange {
    /// Which table.
    pub table: AccountTable,
    /// Its name.
    pub name: String,
    /// Its number in the old image.
    pub old: Option<u32>,
    /// Its number in the new one.
    pub new: Option<u32>,
}

/// Where an account is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum AccountTable {
    User,
    Group,
}

/// A path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PathChange {
    /// Where.
    pub path: TreePath,
    /// In what it differs.
    pub what: What,
    /// Bytes of its content in the old image.
    pub old_bytes: u64,
    /// Bytes of its content in the new image.
    pub new_bytes: u64,
    /// Whether it configures the host, which is where admins change things too.
    pub config: bool,
}

/// How a path is different.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// Its facets that differ, of `type`, `content`, `mode`, `owner`, `attributes`, `links`.
    Changed(Vec<&'static str>),
}

/// Compares. The cost is that of both manifests.
pub fn compare(old: (&Manifest, Option<&Packages>), new: (&Manifest, Option<&Packages>)) -> Comparison {
    let ((old, old_packages), (new, new_packages)) = (old, new);
    let mut found = Comparison {
        packages: old_packages.zip(new_packages).map(|(old, new)| packages(old, new)),
        accounts: accounts(old.accounts(), new.accounts()),
        ..Comparison::default()
    };
    let (mut olds, mut news) = (old.entries().iter().peekable(), new.entries().iter().peekable());
    loop {
        let order = match (olds.peek(), news.peek()) {
            (None, None) => break,
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(old), Some(new)) => old.path.cmp(&new.path),
        };
        let was = if order.is_le() { olds.next() } else { None };
        let is = if order.is_ge() { news.next() } else { None };
        let what = match (was, is) {
            (Some(was), Some(is)) => {
                let facets = facets((was, old.accounts()), (is, new.accounts()));
                if facets.is_empty() {
                    found.times_only += u64::from(was.meta.mtime != is.meta.mtime);
                    continue;
                }
                What::Changed(facets)
            }
            (Some(_), None) => What::Removed,
            (None, _) => What::Added,
        };
        let bytes = |entry: Option<&Entry>| entry.map_or(0, |entry| entry.kind.content_bytes());
        let (old_bytes, new_bytes) = (bytes(was), bytes(is));
        // Another name of a content is no other content.
        let own_bytes =
            |entry: Option<&Entry>| entry.map_or(0, |it| if it.hardlink.is_none() { bytes(entry) } else { 0 });
        if was.map(content) != is.map(content) {
            found.gone_bytes += own_bytes(was);
            found.new_bytes += own_bytes(is);
        }
        let Some(path) = is.or(was).map(|entry| entry.path.clone()) else { continue };
        let config = path.components().next() == Some(b"etc");
        found.paths.push(PathChange { path, what, old_bytes, new_bytes, config });
    }
    found
}

fn packages(old: &Packages, new: &Packages) -> Vec<PackageChange> {
    let mut names: Vec<_> = old.keys().chain(new.keys()).collect();
    names.sort();
    names.dedup();
    let versions =
        |side: &Packages, key: &PackageName| side.get(key).into_iter().flatten().cloned().collect::<Vec<_>>();
    let change = |key: &PackageName| {
        let (old, new) = (versions(old, key), versions(new, key));
        (old != new).then(|| PackageChange { name: key.name.clone(), arch: key.arch.clone(), old, new })
    };
    names.into_iter().filter_map(change).collect()
}

fn accounts(old: &Accounts, new: &Accounts) -> Vec<AccountChange> {
    let tables = [(AccountTable::User, &old.users, &new.users), (AccountTable::Group, &old.groups, &new.groups)];
    let mut found = Vec::new();
    for (table, old, new) in tables {
        let by_name = |side: &BTreeMap<u32, String>| -> BTreeMap<String, u32> {
            side.iter().rev().map(|(id, name)| (name.clone(), *id)).collect()
        };
        let (old, new) = (by_name(old), by_name(new));
        let mut names: Vec<_> = old.keys().chain(new.keys()).collect();
        names.sort();
        names.dedup();
        for name in names {
            let (old, new) = (old.get(name).copied(), new.get(name).copied());
            if old != new {
                found.push(AccountChange { table, name: name.clone(), old, new });
            }
        }
    }
    found
}

/// Holes are no part of what a file says.
fn content(entry: &Entry) -> (Option<Digest>, Option<&Kind>) {
    let digest = entry.kind.digest();
    (digest, digest.is_none().then_some(&entry.kind))
}

/// Facets in which two entries differ, but for their time. Owners are compared by name, because numbers are the host's.
fn facets((old, old_accounts): (&Entry, &Accounts), (new, new_accounts): (&Entry, &Accounts)) -> Vec<&'static str> {
    fn name(table: &BTreeMap<u32, String>, id: u32) -> Result<&str, u32> {
        table.get(&id).map(String::as_str).ok_or(id)
    }
    let owner = |entry: &Entry, accounts: &Accounts| {
        let user = name(&accounts.users, entry.meta.uid).map(str::to_string);
        (user, name(&accounts.groups, entry.meta.gid).map(str::to_string))
    };
    let same_type = old.kind.word() == new.kind.word();
    let differs = [
        ("type", !same_type),
        ("content", same_type && content(old) != content(new)),
        ("mode", old.meta.mode != new.meta.mode),
        ("owner", owner(old, old_accounts) != owner(new, new_accounts)),
        ("attributes", (&old.meta.xattrs, old.meta.flags) != (&new.meta.xattrs, new.meta.flags)),
        ("links", old.hardlink != new.hardlink),
    ];
    differs.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::super::packages::of_dpkg_status;
    use super::*;
    use crate::manifest::Meta;

    fn entry(path: &str, kind: Kind) -> Entry {
        Entry { path: TreePath::parse(path.as_bytes()).unwrap(), kind, meta: Meta::default(), hardlink: None }
    }

    fn file(path: &str, content: u8, size: u64) -> Entry {
        entry(path, Kind::File { size, digest: Digest([content; 32]), sparse: false })
    }

    fn image(users: &[(u32, &str)], entries: Vec<Entry>) -> Manifest {
        let users = users.iter().map(|(id, name)| (*id, name.to_string())).collect();
        let root = Entry { path: TreePath::root(), kind: Kind::Directory, meta: Meta::default(), hardlink: None };
        let etc = entry("etc", Kind::Directory);
        Manifest::new(Accounts { users, ..Accounts::default() }, [vec![root, etc], entries].concat()).unwrap()
    }

    #[test]
    fn what_came_went_and_changed_is_told_with_its_bytes() {
        let old = image(&[(5, "www"), (7, "old")], vec![file("a", 1, 10), file("etc/x", 2, 20), file("gone", 3, 30)]);
        let mut owned = file("a", 1, 10);
        owned.meta.uid = 5;
        owned.meta.mode = 0o755;
        let mut later = file("new", 4, 40);
        later.hardlink = None;
        let mut second = file("new2", 4, 40);
        second.hardlink = Some(TreePath::parse(b"new").unwrap());
        let new = image(&[(5, "www"), (9, "old")], vec![owned, file("etc/x", 9, 21), later, second]);
        let found = compare((&old, None), (&new, None));
        let told: Vec<String> =
            found.paths.iter().map(|it| format!("{} {:?} {}", it.path, it.what, it.config)).collect();
        let wanted = [
            "/a Changed([\"mode\", \"owner\"]) false",
            "/etc/x Changed([\"content\"]) true",
            "/gone Removed false",
            "/new Added false",
            "/new2 Added false",
        ];
        assert_eq!(told, wanted);
        assert_eq!((found.new_bytes, found.gone_bytes, found.packages), (21 + 40, 20 + 30, None));
        let number = AccountChange { table: AccountTable::User, name: "old".into(), old: Some(7), new: Some(9) };
        assert_eq!(found.accounts, [number]);
    }

    #[test]
    fn owners_are_names_and_times_are_counted_only() {
        let mut was = file("a", 1, 1);
        was.meta.uid = 5;
        let mut is = file("a", 1, 1);
        (is.meta.uid, is.meta.mtime.sec) = (6, 9);
        let found = compare((&image(&[(5, "www")], vec![was]), None), (&image(&[(6, "www")], vec![is]), None));
        assert_eq!((found.paths, found.times_only, found.new_bytes), (vec![], 1, 0));
    }

    #[test]
    fn packages_are_compared_where_both_list_them() {
        let status = |list: &[(&str, &str)]| {
            let stanza =
                |(name, version): &(&str, &str)| format!("Package: {name}\nArchitecture: all\nVersion: {version}\n");
            of_dpkg_status(&list.iter().map(stanza).collect::<Vec<_>>().join("\n"))
        };
        let (old, new) = (status(&[("a", "1"), ("b", "1"), ("c", "1")]), status(&[("a", "1"), ("b", "2"), ("d", "1")]));
        let tree = image(&[], vec![]);
        let told = compare((&tree, Some(&old)), (&tree, Some(&new))).packages.unwrap();
        let told: Vec<String> = told.iter().map(|it| format!("{} {:?} {:?}", it.name, it.old, it.new)).collect();
        assert_eq!(told, ["b [\"1\"] [\"2\"]", "c [\"1\"] []", "d [] [\"1\"]"]);
        assert_eq!(compare((&tree, Some(&old)), (&tree, None)).packages, None);
    }
}
