//! Bases written onto real ext4 and XFS volumes, compared with an oracle that shares nothing with writer or verifier.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use proptest::prelude::*;
use thinroot_core::manifest::{Kind, LinkTarget};
use thinroot_core::path::TreePath;
use thinroot_engine::base::{self, WriteStats};
use thinroot_engine::cmd::Cmd;
use thinroot_engine::error::{Error, ErrorKind, Result};
use thinroot_engine::fault;
use thinroot_engine::progress::Silent;
use thinroot_engine::source::{Contents, TakeContent};
use thinroot_testkit::trees::{CAPABILITY, Tree, TreeBuilder, acl, expected, grow, meta, observe, path, with_xattr};
use thinroot_testkit::volume::LoopVolume;

const MIB: u64 = 1 << 20;
const DIR: Kind = Kind::Directory;
const T1: (i64, u32) = (1_700_000_000, 123_456_789);

fn write(root: &Path, old: Option<&Tree>, new: &Tree) -> Result<WriteStats> {
    base::write(root, old.map(|old| &old.manifest), &new.manifest, &mut new.clone(), &Silent)
}

#[track_caller]
fn assert_is(root: &Path, tree: &Tree) {
    assert_eq!(observe(root), expected(tree));
    let (differences, inodes) = base::verify(root, &tree.manifest, &Silent).unwrap();
    assert_eq!(differences, []);
    assert_eq!(inodes.inodes.len(), tree.manifest.entries().len());
}

/// What real tar says of everything it knows, names and bytes.
fn tar_digest(root: &Path) -> String {
    let script = r#"cd "$1" && tar --sort=name --acls --xattrs --xattrs-include='*' --warning=no-file-ignored \
        --format=pax --pax-option=delete=atime,delete=ctime -cf - . | sha256sum"#;
    Cmd::new("sh").args(["-c", script, "sh"]).arg(root).run().unwrap()
}

/// Megabytes that differ everywhere.
fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..length.div_ceil(8)).flat_map(|_| next()).take(length).collect()
}

/// Every kind of entry that an image can have.
fn everything() -> Tree {
    let mut tree = TreeBuilder::new();
    let plain = || meta(0o644, (0, 0), T1);
    tree.add(path("etc"), DIR, with_xattr(meta(0o755, (0, 0), T1), "security.selinux_like", b"etc_t\0"));
    tree.add(path("var"), DIR, with_xattr(meta(0o2770, (7, 8), T1), "system.posix_acl_default", &acl(6)));
    // Made in a directory that would hand its ACLs down.
    tree.add(path("var/plain"), DIR, meta(0o700, (0, 0), (-1, 1)));
    tree.file(path("var/file"), b"no ACL", false, meta(0o640, (1, 2), (4_000_000_000, 999_999_999)));
    tree.file(path("bin"), b"#!", false, with_xattr(meta(0o4755, (0, 7), T1), "security.capability", &CAPABILITY));
    tree.file(path("acl"), b"", false, with_xattr(meta(0o740, (0, 0), T1), "system.posix_acl_access", &acl(4)));
    tree.file(path("long value"), b"x", false, with_xattr(plain(), "user.long", &noise(3000, 5)));
    let mut holes = vec![0; 5 * MIB as usize];
    holes[4096..8192].fill(7);
    holes[3 * MIB as usize..][..5000].fill(8);
    tree.file(path("holes"), &holes, true, plain());
    tree.file(path("zeros"), &holes, false, plain());
    tree.file(path("big"), &noise(3 * MIB as usize + 17, 9), false, plain());
    tree.link(path("var/plain/big"), &path("big"));
    tree.link(path("another"), &path("big"));
    tree.add(path("null"), Kind::Char { major: 1, minor: 3 }, meta(0o666, (0, 6), T1));
    tree.add(path("disk"), Kind::Block { major: 259, minor: 200_000 }, meta(0o660, (0, 6), T1));
    tree.add(path("pipe"), Kind::Fifo, meta(0o600, (3, 3), T1));
    tree.add(path("sock"), Kind::Socket, meta(0o777, (3, 3), T1));
    let target = LinkTarget([&b"/nowhere/\xff"[..], &[b'y'; 900]].concat().into());
    let link = Kind::Symlink { target };
    tree.add(path("link"), link.clone(), with_xattr(meta(0o777, (5, 6), (1, 2)), "trusted.on-link", b"1"));
    tree.link(path("etc/link"), &path("link"));
    tree.file(path(b"\xff\xfe name\n"), b"odd", false, plain());
    tree.file(path([b'n'; 255]), b"long", false, plain());
    let deep = vec![vec![b'd'; 200]; 15];
    for depth in 1..=deep.len() {
        tree.add(path(deep[..depth].join(&b'/')), DIR, meta(0o711, (0, 0), T1));
    }
    tree.file(path([deep.join(&b'/'), b"leaf".to_vec()].join(&b'/')), b"leaf", false, plain());
    tree.build()
}

/// The next version of [`everything`]: something of each kind has changed.
fn everything_next() -> Tree {
    let mut tree = TreeBuilder::new();
    let old = everything();
    for entry in old.manifest.entries().iter().filter(|entry| entry.hardlink.is_none()) {
        match old.contents.get(&entry.path) {
            Some(content) => {
                let sparse = matches!(entry.kind, Kind::File { sparse: true, .. });
                tree.file(entry.path.clone(), content, sparse, entry.meta.clone())
            }
            None => tree.add(entry.path.clone(), entry.kind.clone(), entry.meta.clone()),
        };
    }
    let plain = || meta(0o644, (0, 0), T1);
    tree.file(path("bin"), b"#?", false, with_xattr(meta(0o4755, (0, 7), T1), "security.capability", &CAPABILITY));
    tree.file(path("acl"), b"", false, meta(0o740, (0, 0), T1));
    tree.file(
        path("var/file"),
        b"no ACL",
        false,
        with_xattr(meta(0o760, (9, 9), T1), "system.posix_acl_access", &acl(6)),
    );
    let mut holes = vec![0; 4 * MIB as usize + 1];
    holes[8192..12288].fill(7);
    tree.file(path("holes"), &holes, true, plain());
    tree.file(path("zeros"), &holes, true, plain());
    tree.link(path("etc/big"), &path("another"));
    tree.add(path("null"), Kind::Char { major: 1, minor: 5 }, meta(0o666, (0, 6), T1));
    tree.file(path("pipe"), b"a file now", false, plain());
    tree.file(path("link"), b"a file as well", false, plain());
    tree.build()
}

#[test]
fn every_kind_of_entry_is_exact_on_ext4() {
    let mut volume = LoopVolume::ext4(256 * MIB);
    let (first, second) = (everything(), everything_next());
    let stats = write(&volume.root(), None, &first).unwrap();
    assert_eq!(stats.removed, 1, "lost+found goes");
    assert_is(&volume.root(), &first);
    volume.check_ext4();

    write(&volume.root(), Some(&first), &second).unwrap();
    assert_is(&volume.root(), &second);
    let fresh = LoopVolume::ext4(256 * MIB);
    write(&fresh.root(), None, &second).unwrap();
    assert_eq!(tar_digest(&volume.root()), tar_digest(&fresh.root()));

    write(&volume.root(), Some(&second), &first).unwrap();
    assert_is(&volume.root(), &first);
    volume.check_ext4();
    // Without an ancestor that is trusted: everything is looked at, nothing is written.
    let stats = write(&volume.root(), None, &first).unwrap();
    assert_eq!((stats.bytes_written, stats.renames, stats.created), (0, 0, 0));
    assert_is(&volume.root(), &first);
}

#[test]
fn every_kind_of_entry_is_exact_on_xfs() {
    let volume = LoopVolume::xfs(320 * MIB);
    let (first, second) = (everything(), everything_next());
    write(&volume.root(), None, &first).unwrap();
    assert_is(&volume.root(), &first);
    write(&volume.root(), Some(&first), &second).unwrap();
    assert_is(&volume.root(), &second);
    write(&volume.root(), Some(&second), &first).unwrap();
    assert_is(&volume.root(), &first);
}

fn tree_of(files: &[(&str, &[u8])]) -> Tree {
    let mut tree = TreeBuilder::new();
    for (name, content) in files {
        let file = path(name);
        let mut dirs: Vec<TreePath> = std::iter::successors(file.parent(), TreePath::parent).collect();
        dirs.pop();
        for dir in dirs {
            tree.add(dir, DIR, meta(0o755, (0, 0), T1));
        }
        tree.file(file, content, false, meta(0o644, (0, 0), T1));
    }
    tree.build()
}

fn inode(root: &Path, name: &str) -> (u64, i64, i64) {
    let stat = fs::symlink_metadata(root.join(name)).unwrap();
    (stat.ino(), stat.ctime(), stat.ctime_nsec())
}

fn extents(root: &Path, name: &str) -> String {
    let text = Cmd::new("filefrag").arg("-v").arg(root.join(name)).run().unwrap();
    text.lines().filter(|line| line.trim_start().starts_with(|c: char| c.is_ascii_digit())).collect()
}

#[test]
fn only_what_differs_is_touched() {
    let volume = LoopVolume::ext4(128 * MIB);
    let root = volume.root();
    let big = noise(4 * MIB as usize, 1);
    let mut changed = big.clone();
    changed[9000] ^= 1;
    changed[2 * MIB as usize - 1] ^= 1;
    changed[2 * MIB as usize] ^= 1;
    let old = tree_of(&[("usr/same", &big), ("usr/changed", &big), ("usr/lib/modules/6.1-50/a/x.ko", b"module")]);
    let new = tree_of(&[("usr/same", &big), ("usr/changed", &changed), ("usr/lib/modules/6.1-56/a/x.ko", b"module")]);
    write(&root, None, &old).unwrap();
    Cmd::new("sync").arg("-f").arg(&root).run().unwrap();
    let same = (inode(&root, "usr/same"), extents(&root, "usr/same"));
    let (module, blocks) = (inode(&root, "usr/lib/modules/6.1-50/a/x.ko"), extents(&root, "usr/changed"));

    let stats = write(&root, Some(&old), &new).unwrap();
    Cmd::new("sync").arg("-f").arg(&root).run().unwrap();
    let expected_stats = WriteStats {
        renames: 1,
        files_rewritten: 1,
        bytes_written: 3 * 4096,
        bytes_compared: 4 * MIB,
        metadata_aligned: 1,
        ..WriteStats::default()
    };
    assert_eq!(stats, expected_stats);
    assert_is(&root, &new);
    assert_eq!((inode(&root, "usr/same"), extents(&root, "usr/same")), same);
    assert_eq!(inode(&root, "usr/lib/modules/6.1-56/a/x.ko"), module);
    assert_eq!(extents(&root, "usr/changed"), blocks);
}

#[test]
fn equal_size_and_time_with_other_bytes_is_updated() {
    let volume = LoopVolume::ext4(64 * MIB);
    let (old, new) = (tree_of(&[("etc/id", b"one")]), tree_of(&[("etc/id", b"two")]));
    write(&volume.root(), None, &old).unwrap();
    write(&volume.root(), Some(&old), &new).unwrap();
    assert_is(&volume.root(), &new);
}

#[test]
fn a_full_file_system_is_an_error() {
    let volume = LoopVolume::tiny_ext4(2 * MIB);
    let error = write(&volume.root(), None, &tree_of(&[("fits", b"x"), ("usr/large", &noise(3 * MIB as usize, 3))]));
    let error = error.unwrap_err();
    assert_eq!((error.kind, error.attempted.as_str()), (ErrorKind::Failed, "write usr/large"));
    assert!(error.why.contains("No space left"), "{error}");
    // Inodes run out before blocks do.
    let names: Vec<String> = (0..3000).map(|n| format!("d/{n}")).collect();
    let volume = LoopVolume::tiny_ext4(2 * MIB);
    let tree = tree_of(&names.iter().map(|name| (name.as_str(), &b""[..])).collect::<Vec<_>>());
    let error = write(&volume.root(), None, &tree).unwrap_err();
    assert!(error.attempted.starts_with("create d/") && error.why.contains("No space left"), "{error}");
}

/// Gives contents that are not what the manifest says, each in another way.
struct Liar(&'static str);

impl Contents for Liar {
    fn contents(&mut self, wanted: &BTreeSet<TreePath>, take: &mut TakeContent<'_>) -> Result<()> {
        let first = wanted.first().unwrap();
        let mut broken = std::io::repeat(1).take(2).chain(Broken);
        match self.0 {
            "short" => take(first, &mut &b"12"[..]),
            "long" => take(first, &mut std::io::repeat(0)),
            "none" => Ok(()),
            "twice" => take(first, &mut &b"123"[..]).and_then(|()| take(first, &mut &b"123"[..])),
            "other" => take(&path("elsewhere"), &mut &b"123"[..]),
            _ => take(first, &mut broken),
        }
    }
}

struct Broken;

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        Err(Error::damaged("read the archive", "it ends too early").into())
    }
}

#[test]
fn a_lying_source_is_an_error() {
    let tree = tree_of(&[("a", b"123")]);
    let dir = tempfile::tempdir().unwrap();
    for (lie, says) in [
        ("short", "write /a: the source gave 2 bytes where the manifest says 3"),
        ("long", "write /a: the source gave more bytes where the manifest says 3"),
        ("none", "write /a: the source did not give its content"),
        ("twice", "write /a: the source gave a content that was not wanted"),
        ("other", "write /elsewhere: the source gave a content that was not wanted"),
        ("broken", "read the archive: it ends too early"),
    ] {
        let root = dir.path().join(lie);
        fs::create_dir(&root).unwrap();
        let error = base::write(&root, None, &tree.manifest, &mut Liar(lie), &Silent).unwrap_err();
        assert_eq!(error.to_string(), says);
    }
}

#[test]
fn nothing_is_written_through_a_link() {
    let outside = tempfile::tempdir().unwrap();
    let inside = tempfile::tempdir().unwrap();
    // A tree that is not what it is trusted to be.
    std::os::unix::fs::symlink(outside.path(), inside.path().join("etc")).unwrap();
    fs::write(outside.path().join("passwd"), "untouched").unwrap();
    let (old, new) = (tree_of(&[("etc/passwd", b"old")]), tree_of(&[("etc/passwd", b"new"), ("etc/more", b"x")]));
    let error = write(inside.path(), Some(&old), &new).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Failed);
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
    assert_eq!(fs::read(outside.path().join("passwd")).unwrap(), b"untouched");
}

#[test]
fn an_interrupted_write_is_completed_by_the_next() {
    let (old, new) = (everything(), everything_next());
    let mut volume = LoopVolume::ext4(128 * MIB);
    write(&volume.root(), None, &old).unwrap();
    for point in 0.. {
        let copy = volume.copy();
        fault::arm(point);
        let result = write(&copy.root(), Some(&old), &new);
        let passed = fault::passed();
        fault::disarm();
        match result {
            Err(error) => assert_eq!(error.kind, ErrorKind::PowerCut),
            Ok(_) => {
                assert_eq!((point, passed), (5, 5));
                break;
            }
        }
        write(&copy.root(), None, &new).unwrap();
        assert_is(&copy.root(), &new);
    }
}

/// Fails when asked for more than so many contents.
struct Failing(Tree, usize);

impl Contents for Failing {
    fn contents(&mut self, wanted: &BTreeSet<TreePath>, take: &mut TakeContent<'_>) -> Result<()> {
        let some: BTreeSet<TreePath> = wanted.iter().take(self.1).cloned().collect();
        self.0.contents(&some, take)?;
        Err(Error::failed("read the archive", "connection lost"))
    }
}

#[test]
fn a_source_that_fails_midway_leaves_what_the_next_write_completes() {
    let (old, new) = (everything(), everything_next());
    let volume = LoopVolume::ext4(256 * MIB);
    for given in 0..8 {
        let root = volume.root().join(given.to_string());
        fs::create_dir(&root).unwrap();
        write(&root, None, &old).unwrap();
        let mut source = Failing(new.clone(), given);
        let error = base::write(&root, Some(&old.manifest), &new.manifest, &mut source, &Silent).unwrap_err();
        assert_eq!(error.to_string(), "read the archive: connection lost");
        assert_ne!(base::verify(&root, &new.manifest, &Silent).unwrap().0, []);
        write(&root, None, &new).unwrap();
        assert_is(&root, &new);
    }
}

fn seeds() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let edits = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..20);
    (prop::collection::vec(any::<u8>(), 30..240), edits).prop_map(|(old, edits)| {
        let mut new = old.clone();
        edits.into_iter().for_each(|(at, value)| new[at.index(old.len())] = value);
        (old, new)
    })
}

#[test]
fn any_tree_becomes_any_other_on_disk() {
    let volume = LoopVolume::ext4(128 * MIB);
    let config = ProptestConfig { failure_persistence: None, ..Default::default() };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let case = std::cell::Cell::new(0);
    let result = runner.run(&(seeds(), any::<bool>()), |((old, new), apart)| {
        case.set(case.get() + 1);
        let (old, new) = (grow(&old), grow(if apart { &new[new.len() / 2..] } else { &new }));
        let root = volume.root().join(format!("case-{}", case.get()));
        fs::create_dir(&root).unwrap();
        write(&root, None, &old).unwrap();
        prop_assert_eq!(observe(&root), expected(&old));
        write(&root, Some(&old), &new).unwrap();
        prop_assert_eq!(observe(&root), expected(&new));
        let (differences, _) = base::verify(&root, &new.manifest, &Silent).unwrap();
        prop_assert_eq!(differences, []);
        // As after an interruption: whatever is there is the start.
        write(&root, None, &old).unwrap();
        prop_assert_eq!(observe(&root), expected(&old));
        fs::remove_dir_all(&root).unwrap();
        Ok(())
    });
    result.unwrap();
}
