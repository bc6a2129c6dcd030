//! State plans carried out on real trees: the result is the plan's, twice is once, and nothing else is touched.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use thinroot_core::manifest::{Digest, Kind, LinkTarget};
use thinroot_core::path::TreePath;
use thinroot_core::state::policy::{Reach, Rule, Treatment};
use thinroot_core::state::{Change, Class, Level, Policy, Side, StatePlan, plan, texts_to_merge};
use thinroot_engine::base::write;
use thinroot_engine::error::{ErrorKind, Result};
use thinroot_engine::fault;
use thinroot_engine::progress::Silent;
use thinroot_engine::state::{
    ApplyStats, BlobStore, RootContents, Roots, apply, delta, merge_texts, present_texts, read_texts,
};
use thinroot_testkit::trees::{CAPABILITY, Tree, TreeBuilder, acl, grow, meta, observe, path, with_xattr};
use thinroot_testkit::volume::LoopVolume;

const T: (i64, u32) = (1_700_000_000, 123_456_789);
const T2: (i64, u32) = (1_750_000_000, 5);

/// Three trees on one file system: the old base, the frozen layer, and the new layer as a copy of the new base.
struct Host<'a> {
    dir: PathBuf,
    base: &'a Tree,
    new: &'a Tree,
    policy: Policy,
}

impl<'a> Host<'a> {
    fn new(dir: &Path, base: &'a Tree, local: &Tree, new: &'a Tree) -> Self {
        let host = Host { dir: dir.into(), base, new, policy: Policy::default() };
        for (name, tree) in [("base", base), ("frozen", local), ("layer", new)] {
            fs::create_dir_all(host.at(name)).unwrap();
            write(&host.at(name), None, &tree.manifest, &mut tree.clone(), &Silent).unwrap();
        }
        host
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn blobs(&self) -> BlobStore {
        BlobStore::new(&self.at("blobs"))
    }

    fn plan(&self) -> StatePlan {
        let (b, n) = (&self.base.manifest, &self.new.manifest);
        let (delta, _) = delta(&self.at("frozen"), b, None, &self.policy, &Silent).unwrap();
        let wanted = texts_to_merge(b, &delta, n, &self.policy);
        let open = |name: &str| RootContents::open(&self.at(name)).unwrap();
        let read = |name: &str, manifest| read_texts(&wanted, manifest, &mut open(name)).unwrap();
        let local = present_texts(&wanted, &open("frozen")).unwrap();
        let sides = [&read("base", b), &local, &read("layer", n)];
        let merged = merge_texts(&wanted, sides, |path| b.get(path).is_none(), &self.policy);
        plan(b, &delta, n, &self.policy, &merged)
    }

    fn apply(&self, plan: &StatePlan) -> Result<ApplyStats> {
        let (frozen, layer, base) = (self.at("frozen"), self.at("layer"), self.at("base"));
        apply(plan, Roots { frozen: &frozen, layer: &layer, base: Some(&base) }, &self.blobs())
    }

    fn blob(&self, digest: &Digest) -> Option<Vec<u8>> {
        let mut content = Vec::new();
        self.blobs().open(digest).unwrap()?.read_to_end(&mut content).unwrap();
        Some(content)
    }
}

/// Every inode with its change time: equal only if nothing at all was done.
fn inodes(root: &Path) -> BTreeMap<TreePath, (u64, i64, i64)> {
    let stat = |path: &TreePath| fs::symlink_metadata(root.join(path.to_string().trim_start_matches('/'))).unwrap();
    observe(root)
        .into_keys()
        .filter(|path| path.as_bytes().is_ascii())
        .map(|path| {
            let stat = stat(&path);
            (path, (stat.ino(), stat.ctime(), stat.ctime_nsec()))
        })
        .collect()
}

fn file(tree: &mut TreeBuilder, at: &str, content: &str) {
    tree.file(path(at), content.as_bytes(), false, meta(0o644, (0, 0), T));
}

fn skeleton() -> TreeBuilder {
    let mut tree = TreeBuilder::new();
    for dir in ["etc", "etc/d", "opt"] {
        tree.add(path(dir), Kind::Directory, meta(0o755, (0, 0), T));
    }
    tree
}

/// One of everything that an update meets, on a file system with attributes.
#[test]
fn a_whole_update() {
    let conf = |a: &str, b: &str| format!("# head\n{a}\n\n\n\n{b}\n# end\n");
    let mut b = skeleton();
    let mut l = skeleton();
    let mut n = skeleton();
    for (tree, a, z) in [(&mut b, "A=1", "Z=1"), (&mut l, "A=local", "Z=1"), (&mut n, "A=1", "Z=vendor")] {
        file(tree, "etc/merged.conf", &conf(a, z));
        file(tree, "etc/conflict.conf", &conf(if a == "A=1" { z } else { a }, "same"));
        file(tree, "etc/removed-here", "x");
        file(tree, "etc/d/only-mode", z);
        file(tree, "etc/linked", "group");
    }
    l.add(path("etc/pipe"), Kind::Fifo, meta(0o600, (3, 3), T2));
    let target = LinkTarget(b"merged.conf"[..].into());
    l.add(path("etc/removed-here"), Kind::Symlink { target }, meta(0o777, (0, 0), T2));
    l.file(path("opt/setuid"), b"#!", false, with_xattr(meta(0o4755, (0, 7), T2), "security.capability", &CAPABILITY));
    l.file(path("opt/acl"), b"x", false, with_xattr(meta(0o740, (0, 0), T2), "system.posix_acl_access", &acl(4)));
    let mut holes = vec![0; 1 << 20];
    holes[4096..8192].fill(7);
    l.file(path("opt/holes"), &holes, true, meta(0o644, (0, 0), T2));
    l.link(path("opt/holes-too"), &path("opt/holes"));
    l.file(path("etc/d/only-mode"), b"Z=1", false, with_xattr(meta(0o600, (7, 7), T2), "user.x", b"mine"));
    l.file(path("etc/linked"), b"group", false, meta(0o600, (0, 0), T));
    n.link(path("etc/linked-too"), &path("etc/linked"));
    let (b, l, n) = (b.build(), l.build(), n.build());

    let volume = LoopVolume::ext4(128 << 20);
    let host = Host::new(&volume.root(), &b, &l, &n);
    let before = observe(&host.at("frozen"));
    let plan = host.plan();
    assert!(!plan.blocked);
    let stats = host.apply(&plan).unwrap();
    assert_eq!((stats.originals_missing, stats.directories_left), (0, 0));

    let read = |name: &str| fs::read_to_string(host.at("layer").join(name)).unwrap();
    assert_eq!(read("etc/merged.conf"), conf("A=local", "Z=vendor"));
    assert_eq!(read("etc/conflict.conf"), conf("A=local", "same"));
    assert_eq!(read("etc/d/only-mode"), "Z=vendor");
    let (found, frozen) = (observe(&host.at("layer")), observe(&host.at("frozen")));
    for same in ["etc/pipe", "etc/removed-here", "opt/setuid", "opt/acl", "opt/holes", "opt/holes-too", "opt", "etc/d"]
    {
        assert_eq!(found[&path(same)], frozen[&path(same)], "{same}");
    }
    assert!(found[&path("etc/d/only-mode")].contains("600 7:7 1700000000.123456789 user.x=mine"), "{found:?}");
    // The image's other name of the inode keeps its mode.
    assert!(found[&path("etc/linked")].contains(" 600 "), "{found:?}");
    assert!(found[&path("etc/linked-too")].contains(" 644 "), "{found:?}");

    // Losers and originals are kept, whole.
    for decision in &plan.decisions {
        for kept in &decision.kept {
            assert_eq!(host.blob(&kept.digest).map(|blob| blob.len() as u64), Some(kept.size_bytes), "{}", decision.id);
        }
    }
    let conflict = plan.decisions.iter().find(|d| d.path == path("etc/conflict.conf")).unwrap();
    assert_eq!((conflict.row, conflict.level), (14, Level::Conflict));
    let vendor = conflict.kept.iter().find(|k| k.side == Side::Vendor).unwrap();
    assert_eq!(host.blob(&vendor.digest).unwrap(), conf("Z=vendor", "same").as_bytes());

    let inodes_before = inodes(&host.at("layer"));
    let again = host.apply(&plan).unwrap();
    assert_eq!((inodes(&host.at("layer")), again.kept, again.bytes_written), (inodes_before, 0, 0));
    assert_eq!(observe(&host.at("frozen")), before);
}

#[test]
fn a_blocked_plan_is_refused_before_anything_is_touched() {
    let (mut b, mut l, mut n) = (skeleton(), skeleton(), skeleton());
    file(&mut b, "etc/x", "b");
    file(&mut n, "etc/x", "n");
    file(&mut n, "etc/y", "n");
    file(&mut l, "etc/y", "l");
    let target = LinkTarget(b"d"[..].into());
    l.add(path("etc/x"), Kind::Symlink { target: target.clone() }, meta(0o777, (0, 0), T));
    n.add(path("etc/x"), Kind::Directory, meta(0o755, (0, 0), T));
    let (b, l, n) = (b.build(), l.build(), n.build());
    let dir = tempfile::tempdir().unwrap();
    let host = Host::new(dir.path(), &b, &l, &n);
    let before = inodes(&host.at("layer"));
    let error = host.apply(&host.plan()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Refused);
    assert!(error.why.contains("/etc/x"), "{error}");
    assert_eq!(inodes(&host.at("layer")), before);
    assert!(!host.at("blobs").exists());
}

/// A layer that changed after the plan was made gives an error, never another content.
#[test]
fn content_that_is_not_what_was_planned_with_is_refused() {
    let (b, mut l, n) = (skeleton().build(), skeleton(), skeleton().build());
    file(&mut l, "etc/x", "planned");
    let l = l.build();
    let dir = tempfile::tempdir().unwrap();
    let host = Host::new(dir.path(), &b, &l, &n);
    let plan = host.plan();
    fs::write(host.at("frozen").join("etc/x"), "changed").unwrap();
    assert_eq!(host.apply(&plan).unwrap_err().kind, ErrorKind::Damaged);
}

/// A link in the new layer cannot lead a write out of it.
#[test]
fn writes_stay_in_the_layer() {
    let (b, mut l, mut n) = (skeleton().build(), skeleton(), skeleton());
    let dir = tempfile::tempdir().unwrap();
    let outside = dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    file(&mut l, "etc/d/x", "local");
    let target = LinkTarget(outside.to_str().unwrap().as_bytes().into());
    n.add(path("etc/d"), Kind::Symlink { target }, meta(0o777, (0, 0), T));
    let (l, n) = (l.build(), n.build());
    let host = Host::new(dir.path(), &b, &l, &n);
    // Blocked as it should be; forced all the same.
    let mut plan = host.plan();
    assert!(plan.blocked);
    let entry = l.manifest.get(&path("etc/d/x")).unwrap().clone();
    plan.blocked = false;
    plan.decisions[0].action =
        thinroot_core::state::Action::Put { entry, content: thinroot_core::state::Content::Local };
    assert!(host.apply(&plan).is_err());
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
}

/// A mode from here and an ACL from the image say different things of the same bits: the ACL decides, and it is told.
#[test]
fn a_mode_and_an_acl_from_two_sides_agree() {
    let (mut b, mut l, mut n) = (skeleton(), skeleton(), skeleton());
    file(&mut b, "etc/x", "x");
    l.file(path("etc/x"), b"x", false, meta(0o4666, (0, 0), T));
    n.file(path("etc/x"), b"x", false, with_xattr(meta(0o740, (0, 0), T2), "system.posix_acl_access", &acl(4)));
    let (b, l, n) = (b.build(), l.build(), n.build());
    let volume = LoopVolume::ext4(64 << 20);
    let host = Host::new(&volume.root(), &b, &l, &n);
    let plan = host.plan();
    let decision = &plan.decisions[0];
    assert_eq!(decision.level, Level::Conflict);
    assert!(decision.facets[0].loser.as_ref().unwrap().contains("4666"), "{decision:#?}");
    host.apply(&plan).unwrap();
    let (once, portrait) = (inodes(&host.at("layer")), observe(&host.at("layer")));
    assert!(portrait[&path("etc/x")].contains(" 4740 "), "{portrait:?}");
    host.apply(&plan).unwrap();
    assert_eq!(inodes(&host.at("layer")), once);
}

/// A directory that became a link here: what was beneath it must not be looked for through the link the second time.
#[test]
fn a_directory_that_became_a_link_is_applied_twice() {
    let (mut b, mut l, mut n) = (skeleton(), skeleton(), skeleton());
    for tree in [&mut b, &mut n] {
        tree.add(path("etc/was"), Kind::Directory, meta(0o755, (0, 0), T));
        file(tree, "etc/was/x", "x");
        tree.add(path("etc/was/deep"), Kind::Directory, meta(0o755, (0, 0), T));
        file(tree, "etc/was/deep/y", "y");
    }
    file(&mut b, "etc/d/x", "not to be removed");
    file(&mut l, "etc/d/x", "not to be removed");
    file(&mut n, "etc/d/x", "not to be removed");
    let target = LinkTarget(b"d"[..].into());
    l.add(path("etc/was"), Kind::Symlink { target }, meta(0o777, (0, 0), T));
    let (b, l, n) = (b.build(), l.build(), n.build());
    let dir = tempfile::tempdir().unwrap();
    let host = Host::new(dir.path(), &b, &l, &n);
    let plan = host.plan();
    assert!(!plan.blocked);
    host.apply(&plan).unwrap();
    let once = (observe(&host.at("layer")), inodes(&host.at("layer")));
    assert_eq!(fs::read_link(host.at("layer").join("etc/was")).unwrap(), Path::new("d"));
    assert_eq!(fs::read_to_string(host.at("layer").join("etc/d/x")).unwrap(), "not to be removed");
    let again = host.apply(&plan).unwrap();
    assert_eq!((observe(&host.at("layer")), inodes(&host.at("layer"))), once);
    assert_eq!((again.removed, again.bytes_written), (0, 0));
}

fn carry_everything() -> Policy {
    let treatment = Treatment::State(Class::Merge);
    Policy::new(vec![Rule {
        path: TreePath::root(),
        reach: Reach::Tree,
        treatment,
        note: String::new(),
        origin: Default::default(),
    }])
}

/// What is left to tell apart between a tree on disk and a tree of the model.
fn left(root: &Path, tree: &Tree) -> Vec<String> {
    let (delta, _) = delta(root, &tree.manifest, None, &carry_everything(), &Silent).unwrap();
    let socket = |path: &TreePath| tree.manifest.get(path).is_some_and(|e| e.kind == Kind::Socket);
    let word =
        |(path, change): (&TreePath, &Change)| format!("{path} {:?}", change.entry().map(|e| (&e.kind, &e.meta)));
    delta.changes.iter().filter(|(path, _)| !socket(path)).map(word).collect()
}

fn gene() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..90)
}

/// A tree that has much of another.
fn relative(seed: &[u8], more: &[u8]) -> Tree {
    let mut genes = seed.to_vec();
    let at = more.first().map_or(0, |b| usize::from(*b)) % (genes.len() + 1) / 6 * 6;
    genes.truncate(at.max(genes.len() / 12 * 6));
    genes.extend(more);
    grow(&genes)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn applying_gives_what_the_laws_say(seed in gene(), local in gene(), new in gene()) {
        let (b, l, n) = (grow(&seed), relative(&seed, &local), relative(&seed, &new));
        for (base, layer, vendor, result) in [(&b, &b, &n, &n), (&b, &l, &b, &l), (&b, &l, &l, &l)] {
            let dir = tempfile::tempdir().unwrap();
            let mut host = Host::new(dir.path(), base, layer, vendor);
            host.policy = carry_everything();
            let plan = host.plan();
            prop_assert!(!plan.blocked, "{:#?}", plan.decisions);
            host.apply(&plan).unwrap();
            prop_assert_eq!(left(&host.at("layer"), result), Vec::<String>::new());
        }
    }

    #[test]
    fn applying_twice_changes_nothing_and_a_power_cut_is_mended(seed in gene(), local in gene(), new in gene(), cut in 0u64..200) {
        let (b, l, n) = (grow(&seed), relative(&seed, &local), relative(&seed, &new));
        let dir = tempfile::tempdir().unwrap();
        let mut host = Host::new(dir.path(), &b, &l, &n);
        host.policy = carry_everything();
        let mut plan = host.plan();
        // What a person would decide does not matter here.
        plan.blocked = false;
        let frozen = observe(&host.at("frozen"));
        fault::arm(cut);
        let first = host.apply(&plan);
        fault::disarm();
        if let Err(error) = first {
            prop_assert_eq!(error.kind, ErrorKind::PowerCut);
        }
        host.apply(&plan).unwrap();
        let (once, inodes_once) = (observe(&host.at("layer")), inodes(&host.at("layer")));
        for kept in plan.decisions.iter().flat_map(|d| &d.kept) {
            prop_assert_eq!(host.blob(&kept.digest).map(|blob| blob.len() as u64), Some(kept.size_bytes));
        }
        host.apply(&plan).unwrap();
        prop_assert_eq!(inodes(&host.at("layer")), inodes_once);
        prop_assert_eq!(observe(&host.at("frozen")), frozen);

        // The same as without the cut.
        let clean = tempfile::tempdir().unwrap();
        let other = Host::new(clean.path(), &b, &l, &n);
        other.apply(&plan).unwrap();
        prop_assert_eq!(observe(&other.at("layer")), once);
    }
}
