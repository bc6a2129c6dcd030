//! What a layer changed, found on real ext4 snapshots: exactly the touched paths, without reading anything else.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use thinroot_core::manifest::Kind;
use thinroot_core::path::TreePath;
use thinroot_core::state::{Change, Delta, Policy};
use thinroot_engine::base::inodes::InodeTable;
use thinroot_engine::base::{verify, write};
use thinroot_engine::cmd::Cmd;
use thinroot_engine::error::ErrorKind;
use thinroot_engine::progress::Silent;
use thinroot_engine::state::{DeltaStats, delta};
use thinroot_testkit::trees::{Tree, TreeBuilder, meta, path, with_xattr};
use thinroot_testkit::volume::LoopVolume;

const MIB: u64 = 1 << 20;
const T: (i64, u32) = (1_700_000_000, 123_456_789);

fn image() -> Tree {
    let mut tree = TreeBuilder::new();
    for dir in ["etc", "etc/ssh", "etc/empty", "usr", "usr/bin", "run", "var", "home", "lost+found"] {
        tree.add(path(dir), Kind::Directory, meta(0o755, (0, 0), T));
    }
    tree.file(path("etc/passwd"), b"root:x:0:0::/:\njoe:x:7:7::/:\n", false, meta(0o644, (0, 0), T));
    tree.file(path("etc/group"), b"root:x:0:\nmen:x:7:\n", false, meta(0o644, (0, 0), T));
    for i in 0..200 {
        let file = path(format!("usr/bin/tool{i}"));
        tree.file(file, &vec![i as u8; 5000 + i], false, meta(0o755, (0, 0), T));
    }
    for name in ["a", "b", "c", "d", "e", "f", "g", "h"] {
        tree.file(path(format!("etc/{name}")), name.repeat(100).as_bytes(), false, meta(0o644, (0, 0), T));
    }
    tree.link(path("etc/a2"), &path("etc/a"));
    tree.link(path("etc/h2"), &path("etc/h"));
    tree.file(path("etc/attr"), b"x", false, with_xattr(meta(0o644, (0, 0), T), "user.x", b"old"));
    let target = thinroot_core::manifest::LinkTarget(b"ssh"[..].into());
    tree.add(path("etc/link"), Kind::Symlink { target }, meta(0o777, (0, 0), T));
    tree.build()
}

/// A sealed base, and a layer that is a block copy of it.
fn lineage() -> (Tree, InodeTable, LoopVolume) {
    let tree = image();
    let mut base = LoopVolume::ext4(64 * MIB);
    write(&base.root(), None, &tree.manifest, &mut tree.clone(), &Silent).unwrap();
    let (differences, inodes) = verify(&base.root(), &tree.manifest, &Silent).unwrap();
    assert_eq!(differences, []);
    (tree, inodes, base.copy())
}

fn find(root: &Path, tree: &Tree, inodes: Option<&InodeTable>) -> (Delta, DeltaStats) {
    delta(root, &tree.manifest, inodes, &Policy::default(), &Silent).unwrap()
}

fn words(delta: &Delta) -> Vec<String> {
    let word = |(path, change): (&TreePath, &Change)| match change {
        Change::Added(entry) => format!("+{path} {}", entry.kind.word()),
        Change::Modified(entry) => format!("~{path} {}", entry.kind.word()),
        Change::Removed => format!("-{path}"),
    };
    delta.changes.iter().map(word).collect()
}

/// Every kind of change an admin makes, the sly ones included.
fn change(root: &Path) {
    let at = |name: &str| root.join(name);
    // Same size, time put back.
    let time = fs::metadata(at("etc/b")).unwrap().modified().unwrap();
    fs::write(at("etc/b"), "B".repeat(100)).unwrap();
    fs::File::options().write(true).open(at("etc/b")).unwrap().set_modified(time).unwrap();
    fs::set_permissions(at("etc/c"), fs::Permissions::from_mode(0o600)).unwrap();
    std::os::unix::fs::chown(at("etc/d"), Some(7), None).unwrap();
    Cmd::new("setfattr").args(["-n", "user.x", "-v", "new"]).arg(at("etc/attr")).run().unwrap();
    fs::remove_file(at("etc/e")).unwrap();
    fs::remove_dir(at("etc/empty")).unwrap();
    fs::create_dir(at("etc/new")).unwrap();
    fs::write(at("etc/new/file"), "new").unwrap();
    fs::remove_file(at("etc/link")).unwrap();
    symlink("new", at("etc/link")).unwrap();
    fs::remove_file(at("etc/g")).unwrap();
    fs::create_dir(at("etc/g")).unwrap();
    // One name of two changes both; a further name is only itself.
    fs::write(at("etc/a2"), "both").unwrap();
    fs::hard_link(at("etc/h"), at("etc/h3")).unwrap();
    // Touched, renamed to and fro, written with the same bytes: no change.
    fs::File::options().write(true).open(at("etc/f")).unwrap().set_modified(std::time::SystemTime::now()).unwrap();
    fs::rename(at("usr/bin/tool7"), at("usr/bin/x")).unwrap();
    fs::rename(at("usr/bin/x"), at("usr/bin/tool7")).unwrap();
    fs::write(at("usr/bin/tool8"), vec![8; 5008]).unwrap();
    // Swapped: the numbers are those of the base, on other paths.
    fs::rename(at("usr/bin/tool1"), at("usr/bin/x")).unwrap();
    fs::rename(at("usr/bin/tool2"), at("usr/bin/tool1")).unwrap();
    fs::rename(at("usr/bin/x"), at("usr/bin/tool2")).unwrap();
    // Not state at all.
    fs::write(at("run/pid"), "1").unwrap();
    fs::remove_dir(at("lost+found")).unwrap();
}

const CHANGES: [&str; 15] = [
    "~/etc/a file",
    "~/etc/a2 file",
    "~/etc/attr file",
    "~/etc/b file",
    "~/etc/c file",
    "~/etc/d file",
    "-/etc/e",
    "-/etc/empty",
    "~/etc/g directory",
    "+/etc/h3 file",
    "~/etc/link symbolic link",
    "+/etc/new directory",
    "+/etc/new/file file",
    "~/usr/bin/tool1 file",
    "~/usr/bin/tool2 file",
];

#[test]
fn exactly_the_touched_paths_are_found_and_nothing_else_is_read() {
    let (tree, inodes, layer) = lineage();
    let (none, stats) = find(&layer.root(), &tree, Some(&inodes));
    assert_eq!(words(&none), Vec::<String>::new());
    assert_eq!((stats.files_hashed, stats.bytes_hashed), (0, 0));
    assert_eq!(none.accounts.users[&7], "joe");
    assert_eq!(none.accounts.groups[&7], "men");

    change(&layer.root());
    let (found, stats) = find(&layer.root(), &tree, Some(&inodes));
    assert_eq!(words(&found), CHANGES);
    // a (for both names), attr, b, c, d, f, h (for its three names), new/file, tools 1, 2, 7, 8.
    assert_eq!(stats.files_hashed, 12);
    let size = |name: &str| fs::metadata(layer.root().join(name)).unwrap().len();
    let hashed = ["etc/a", "etc/attr", "etc/b", "etc/c", "etc/d", "etc/f", "etc/h", "etc/new/file"];
    let tools = ["usr/bin/tool1", "usr/bin/tool2", "usr/bin/tool7", "usr/bin/tool8"];
    assert_eq!(stats.bytes_hashed, hashed.iter().chain(&tools).map(|name| size(name)).sum::<u64>());

    // Names of one inode are told.
    let Change::Modified(a2) = &found.changes[&path("etc/a2")] else { panic!() };
    assert_eq!(a2.hardlink, Some(path("etc/a")));
    let Change::Added(h3) = &found.changes[&path("etc/h3")] else { panic!() };
    assert_eq!(h3.hardlink, Some(path("etc/h")));
}

#[test]
fn without_lineage_hashing_finds_the_same() {
    let (tree, inodes, layer) = lineage();
    change(&layer.root());
    let (by_inode, few) = find(&layer.root(), &tree, Some(&inodes));
    let (by_hash, all) = find(&layer.root(), &tree, None);
    assert_eq!(by_inode, by_hash);
    assert_eq!((all.known, all.paths), (0, few.paths));
    assert!(all.files_hashed > 200);
}

/// Access times cannot lie about who was opened, on a file system that keeps them strictly.
#[test]
fn an_untouched_file_is_never_opened() {
    let (tree, inodes, layer) = lineage();
    Cmd::new("mount").args(["-o", "remount,strictatime"]).arg(layer.root()).run().unwrap();
    let atime = |name: &str| fs::metadata(layer.root().join(name)).map(|m| (m.atime(), m.atime_nsec())).unwrap();
    let before: Vec<_> = (0..200).map(|i| atime(&format!("usr/bin/tool{i}"))).collect();
    find(&layer.root(), &tree, Some(&inodes));
    let after: Vec<_> = (0..200).map(|i| atime(&format!("usr/bin/tool{i}"))).collect();
    assert_eq!(before, after);
}

#[test]
fn shared_volumes_are_out_of_the_walk() {
    let (tree, inodes, layer) = lineage();
    fs::write(layer.root().join("var/x"), "1").unwrap();
    fs::write(layer.root().join("home/x"), "1").unwrap();
    let policy = Policy::default().with_shared([path("var")]);
    let (found, _) = delta(&layer.root(), &tree.manifest, Some(&inodes), &policy, &Silent).unwrap();
    assert_eq!(words(&found), ["+/home/x file"]);
}

#[test]
fn a_table_of_another_base_is_refused() {
    let (tree, mut inodes, layer) = lineage();
    inodes.inodes.pop();
    let error = delta(&layer.root(), &tree.manifest, Some(&inodes), &Policy::default(), &Silent).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Damaged);
}
