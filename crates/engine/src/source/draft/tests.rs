use thinroot_core::manifest::Digest;

use super::*;
use crate::progress::Silent;

fn path(text: &str) -> TreePath {
    TreePath::parse(text.as_bytes()).unwrap()
}

fn facts(size: u64) -> Facts {
    Facts { size, digest: Digest([size as u8; 32]), zero_block: false, machine: None, kept: None }
}

fn file(draft: &mut Draft<'_>, at: &str, size: u64) -> Result<InodeId> {
    draft.put_file(path(at), facts(size), false, Meta::default(), Origin::default())
}

fn dir(draft: &mut Draft<'_>, at: &str) {
    draft.put(path(at), Kind::Directory, Meta { mode: 0o700, ..Meta::default() }).unwrap();
}

/// One line a path: mode for a directory, size for a file, first path for a hard link.
fn lines(draft: Draft<'_>) -> Vec<String> {
    let describe = |entry: &Entry| match (&entry.kind, &entry.hardlink) {
        (_, Some(first)) => format!("{} = {first}", entry.path),
        (Kind::File { size, .. }, None) => format!("{} {size}", entry.path),
        (other, None) => format!("{} {} {:o}", entry.path, other.word(), entry.meta.mode),
    };
    draft.finish().unwrap().manifest.entries().iter().map(describe).collect()
}

#[test]
fn parents_are_implied_until_they_are_described() {
    let mut draft = Draft::new(&Silent);
    file(&mut draft, "a/b/c", 1).unwrap();
    dir(&mut draft, "a");
    assert_eq!(lines(draft), ["/ directory 755", "/a directory 700", "/a/b directory 755", "/a/b/c 1"]);
}

#[test]
fn the_smallest_name_holds_the_content_and_old_names_keep_old_content() {
    let mut draft = Draft::new(&Silent);
    let inode = file(&mut draft, "m", 1).unwrap();
    draft.link(path("z"), inode).unwrap();
    draft.link(path("b"), inode).unwrap();
    draft.next_layer();
    file(&mut draft, "b", 2).unwrap();
    assert_eq!(lines(draft), ["/ directory 755", "/b 2", "/m 1", "/z = /m"]);
}

#[test]
fn what_layers_take_away_and_what_stays() {
    let mut draft = Draft::new(&Silent);
    for at in ["d/old", "d/sub/old", "gone/x", "file"] {
        file(&mut draft, at, 1).unwrap();
    }
    draft.next_layer();
    // The order within a layer does not matter: "new" comes before the directory is emptied.
    file(&mut draft, "d/sub/new", 2).unwrap();
    draft.hide(&path("d"), Hide::Children);
    draft.hide(&path("gone"), Hide::Path);
    draft.hide(&path("never-there"), Hide::Path);
    dir(&mut draft, "file");
    assert_eq!(
        lines(draft),
        ["/ directory 755", "/d directory 755", "/d/sub directory 755", "/d/sub/new 2", "/file directory 700"]
    );
}

#[test]
fn a_directory_with_something_in_it_is_replaced_only_from_above() {
    let mut draft = Draft::new(&Silent);
    file(&mut draft, "d/x", 1).unwrap();
    let error = file(&mut draft, "d", 2).unwrap_err();
    assert!(error.why.contains("and then something else"), "{error}");
    draft.next_layer();
    file(&mut draft, "d", 3).unwrap();
    assert!(file(&mut draft, "d/x", 4).unwrap_err().why.contains("which is a file"));
    assert_eq!(lines(draft), ["/ directory 755", "/d 3"]);
}
