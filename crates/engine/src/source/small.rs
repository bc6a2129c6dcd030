//! The few small files that tell about an image: os-release and the account tables, kept while everything else streams
//! by.

use std::collections::BTreeMap;

use thinroot_core::manifest::{Accounts, Kind};
use thinroot_core::path::TreePath;

use crate::error::{Error, Result};

/// Contents by path.
pub(super) type SmallFiles = BTreeMap<TreePath, Box<[u8]>>;

/// Whether a file's content may be needed to tell about the image: accounts and os-release, under any of the names
/// that links lead to.
pub(super) fn worth_keeping(path: &TreePath) -> bool {
    let name = path.file_name();
    let parent = path.parent().unwrap_or_default();
    let account = name.starts_with(b"passwd") || name.starts_with(b"group");
    name.starts_with(b"os-release") || (account && [&b"etc"[..], b"usr/lib"].contains(&parent.as_bytes()))
}

/// The tree's accounts, from its own tables; empty where it has none.
pub(super) fn accounts<'a>(small: &SmallFiles, kind: impl Fn(&TreePath) -> Option<&'a Kind>) -> Result<Accounts> {
    let table = |name: &[u8]| {
        let path = TreePath::parse(name).expect("a constant path");
        match (small_file(small, &path, &kind), kind(&path)) {
            (Some(text), _) => Ok(Accounts::parse_table(text)),
            (None, Some(Kind::File { .. })) => Err(Error::refused(
                format!("read {path} of the image"),
                "it is larger than 1 MiB, or many files share its name",
            )),
            (None, _) => Ok(BTreeMap::new()),
        }
    };
    Ok(Accounts { users: table(b"etc/passwd")?, groups: table(b"etc/group")? })
}

/// The content of a small file, following at most one symbolic link inside the tree.
pub(super) fn small_file<'s, 'k>(
    small: &'s SmallFiles,
    path: &TreePath,
    kind: impl Fn(&TreePath) -> Option<&'k Kind>,
) -> Option<&'s [u8]> {
    let at = match kind(path)? {
        Kind::Symlink { target } => follow(path, &target.0)?,
        Kind::File { .. } | Kind::Directory | Kind::Fifo | Kind::Socket => path.clone(),
        Kind::Char { .. } | Kind::Block { .. } => path.clone(),
    };
    small.get(&at).map(|content| &content[..])
}

/// Where a link leads by its words alone, never above the root.
fn follow(link: &TreePath, target: &[u8]) -> Option<TreePath> {
    let parent = link.parent().unwrap_or_default();
    let mut at: Vec<&[u8]> = if target.starts_with(b"/") { Vec::new() } else { parent.components().collect() };
    for component in target.split(|b| *b == b'/') {
        match component {
            b"" | b"." => {}
            b".." => {
                at.pop();
            }
            name => at.push(name),
        }
    }
    TreePath::parse(&at.join(&b'/')).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_followed_by_their_words_and_never_above_the_root() {
        let rows = [
            ("etc/os-release", "../usr/lib/os-release", "/usr/lib/os-release"),
            ("etc/os-release", "/usr/lib/./os-release", "/usr/lib/os-release"),
            ("etc/os-release", "../../../x", "/x"),
            ("os-release", "y", "/y"),
        ];
        for (link, target, wanted) in rows {
            assert_eq!(
                follow(&TreePath::parse(link.as_bytes()).unwrap(), target.as_bytes()).unwrap().to_string(),
                wanted
            );
        }
    }
}
