//! One tree through every source: the manifests must be equal, path by path and bit by bit, as far as a format can say
//! it; and the contents read again must be those of the tree.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use thinroot_core::image::Arch;
use thinroot_core::manifest::{Entry, Kind, Manifest, Timestamp, XattrName};
use thinroot_core::path::TreePath;
use thinroot_engine::cmd::Cmd;
use thinroot_engine::error::{Error, ErrorKind, Result};
use thinroot_engine::mounts::enter_private_namespace;
use thinroot_engine::progress::Silent;
use thinroot_engine::source::{Contents, Image, OpenOptions, tree_contents};
use thinroot_testkit::images::oci::{OciImage, Packing};
use thinroot_testkit::images::{self, gnu_tar, run};

fn open(reference: &str) -> Image {
    let options = OpenOptions { identity: None, arch: Arch::X86_64 };
    match Image::open(&reference.parse().unwrap(), &options, &Silent) {
        Ok(image) => image,
        Err(error) => panic!("{error} ({:?})", error.mend),
    }
}

/// Compares path by path, so that a failure names the path.
fn assert_same(what: &str, found: &Manifest, wanted: &Manifest) {
    assert_eq!(found.accounts(), wanted.accounts(), "{what}");
    let paths = |manifest: &Manifest| manifest.entries().iter().map(|e| e.path.clone()).collect::<Vec<_>>();
    assert_eq!(paths(found), paths(wanted), "{what}");
    for (found, wanted) in found.entries().iter().zip(wanted.entries()) {
        assert_eq!(found, wanted, "{what}");
    }
}

/// Reads every content again and compares it with the tree it came from.
fn assert_contents(source: &mut dyn Contents, manifest: &Manifest, tree: &Path) {
    let holds = |entry: &&Entry| matches!(entry.kind, Kind::File { .. }) && entry.hardlink.is_none();
    let wanted: BTreeSet<TreePath> = manifest.entries().iter().filter(holds).map(|e| e.path.clone()).collect();
    let mut given = BTreeSet::new();
    let mut take = |path: &TreePath, content: &mut dyn Read| -> Result<()> {
        let mut bytes = Vec::new();
        content.read_to_end(&mut bytes).map_err(|error| Error::failed("read", error))?;
        assert!(bytes == fs::read(tree.join(OsStr::from_bytes(path.as_bytes()))).unwrap(), "{path}");
        assert!(given.insert(path.clone()), "{path} twice");
        Ok(())
    };
    source.contents(&wanted, &mut take).unwrap();
    assert_eq!(given, wanted);
}

struct Bench {
    dir: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("tree")).unwrap();
        images::rich_tree(&dir.path().join("tree"));
        Bench { dir }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn text(&self, prefix: &str, name: &str) -> String {
        format!("{prefix}:{}", self.at(name).display())
    }

    fn wanted(&self) -> Manifest {
        open(&self.text("dir", "tree")).manifest
    }

    fn check(&self, reference: &str, wanted: &Manifest) {
        let mut image = open(reference);
        assert_same(reference, &image.manifest, wanted);
        assert_contents(&mut *image.source, &image.manifest, &self.at("tree"));
        assert_eq!(image.info.source, reference);
    }

    /// No mount in our namespace, no loop device and no directory of this process is left behind.
    fn nothing_is_left(&self) {
        let here = self.dir.path().to_str().unwrap();
        let ours = format!("/run/thinroot/private/image.{}.", std::process::id());
        let mounts = fs::read_to_string("/proc/thread-self/mounts").unwrap();
        let left: Vec<_> = mounts.lines().filter(|line| line.contains(&ours) || line.contains(here)).collect();
        assert_eq!(left, Vec::<&str>::new());
        // A disk that is no loop device has no backing file.
        let held = || -> Vec<String> {
            let backing = |disk: fs::DirEntry| fs::read_to_string(disk.path().join("loop/backing_file")).ok();
            let disks = fs::read_dir("/sys/block").unwrap().flatten();
            disks.filter_map(backing).filter(|backing| backing.contains(here)).collect()
        };
        // The kernel frees a loop device at its last close, and whoever looks at all of them, as losetup does beside this,
        // has it open for a moment.
        for _ in 0..100 {
            if held().is_empty() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        assert_eq!(held(), Vec::<String>::new());
    }
}

fn reduce(manifest: &Manifest, change: impl Fn(&mut Entry)) -> Manifest {
    let mut entries = manifest.entries().to_vec();
    entries.iter_mut().for_each(change);
    Manifest::new(manifest.accounts().clone(), entries).unwrap()
}

#[test]
fn a_directory_is_described_exactly() {
    let bench = Bench::new();
    let tree = bench.at("tree");
    let mut image = open(&bench.text("dir", "tree"));
    assert_contents(&mut *image.source, &image.manifest, &tree);
    assert_contents(&mut tree_contents(&tree, &image.manifest), &image.manifest, &tree);
    assert_eq!(image.info.id.to_string(), "node-1.2-3");
    assert_eq!(image.info.title, "Node 1.2-3");
    assert_eq!(image.info.arch, Arch::X86_64);
    assert_eq!(image.info.kernels.len(), 1);
    assert_eq!(image.info.paths, image.manifest.entries().len() as u64);
    let get = |path: &[u8]| image.manifest.get(&TreePath::parse(path).unwrap()).unwrap();
    let sparse = |path: &[u8]| matches!(get(path).kind, Kind::File { sparse: true, .. });
    assert!(sparse(b"holes") && sparse(b"all-hole") && !sparse(b"zeros"));
    let first = TreePath::parse(b"a-first-name").unwrap();
    assert_eq!(get(b"large").hardlink.as_ref(), Some(&first));
    assert_eq!((get(b"zeros").meta.uid, get(b"zeros").meta.mtime.sec), (4_000_000_000, -5));
    assert!(get(b"empty").meta.xattrs.contains_key(&XattrName(b"system.posix_acl_access"[..].into())));
    assert_eq!(get(b"usr/bin/sh").meta.xattrs.len(), 3);
    assert_eq!(get(b"dev/disk").kind, Kind::Block { major: 259, minor: 70_000 });
    assert_eq!(image.manifest.accounts().users[&8], "mail");
}

#[test]
fn every_tar_gives_the_tree_of_the_directory() {
    let bench = Bench::new();
    let wanted = bench.wanted();
    let rows = [
        ("sorted.tar", "--sort=name"),
        ("sparse00.tar", "--sparse-version=0.0"),
        ("sparse01.tar", "--sparse-version=0.1"),
        ("sparse10.tar", "--sparse-version=1.0"),
    ];
    for (name, option) in rows {
        gnu_tar(&bench.at("tree"), &bench.at(name), &[option]);
        bench.check(&bench.text("tar", name), &wanted);
    }
    for tool in ["gzip", "xz", "zstd"] {
        let packed = images::compress(&bench.at("sorted.tar"), tool);
        // Told by its content, not by its name.
        fs::rename(&packed, bench.at("packed")).unwrap();
        bench.check(&bench.text("tar", "packed"), &wanted);
    }
}

#[test]
fn gnu_format_loses_only_what_it_cannot_say() {
    let bench = Bench::new();
    let wanted = reduce(&bench.wanted(), |entry| {
        entry.meta.mtime.nsec = 0;
        entry.meta.xattrs.clear();
    });
    let tar = Cmd::new("tar").args(["--format=gnu", "--numeric-owner", "--sparse", "-cf"]).arg(bench.at("gnu.tar"));
    run(tar.arg("-C").arg(bench.at("tree")).arg("."));
    bench.check(&bench.text("tar", "gnu.tar"), &wanted);
}

#[test]
fn raw_file_systems_give_the_tree_of_the_directory() {
    enter_private_namespace().unwrap();
    let bench = Bench::new();
    let wanted = bench.wanted();
    for fs_type in ["ext4", "xfs"] {
        images::raw_image(&bench.at("tree"), &bench.at(fs_type), fs_type);
        bench.check(&bench.text("raw", fs_type), &wanted);
        bench.nothing_is_left();
    }
}

#[test]
fn mke2fs_makes_images_that_we_read() {
    enter_private_namespace().unwrap();
    let bench = Bench::new();
    images::mke2fs_image(&bench.at("tree"), &bench.at("image"));
    let image = open(&bench.text("raw", "image"));
    // mke2fs keeps no nanoseconds, makes the root by itself, a directory of its own, and a hole of every block of zeros.
    let lost = TreePath::parse(b"lost+found").unwrap();
    let comparable = |manifest: &Manifest| {
        let mut entries: Vec<Entry> = manifest.entries().iter().filter(|e| e.path != lost).cloned().collect();
        entries[0].meta = Default::default();
        for entry in &mut entries {
            entry.meta.mtime.nsec = 0;
            if let (b"zeros", Kind::File { sparse, .. }) = (entry.path.as_bytes(), &mut entry.kind) {
                *sparse = true;
            }
        }
        Manifest::new(manifest.accounts().clone(), entries).unwrap()
    };
    assert_same("mke2fs", &comparable(&image.manifest), &comparable(&bench.wanted()));
    drop(image);
    bench.nothing_is_left();
}

#[test]
fn squashfs_gives_the_tree_of_the_directory() {
    enter_private_namespace().unwrap();
    let bench = Bench::new();
    images::squashfs(&bench.at("tree"), &bench.at("image"));
    // squashfs keeps whole unsigned seconds and no ACLs.
    let wanted = reduce(&bench.wanted(), |entry| {
        entry.meta.mtime = Timestamp { sec: i64::from(entry.meta.mtime.sec as u32), nsec: 0 };
        entry.meta.xattrs.retain(|name, _| !name.0.starts_with(b"system."));
    });
    bench.check(&bench.text("squashfs", "image"), &wanted);
    bench.nothing_is_left();
}

#[test]
fn the_live_layout_is_looked_into() {
    enter_private_namespace().unwrap();
    let bench = Bench::new();
    fs::create_dir_all(bench.at("live/LiveOS")).unwrap();
    images::raw_image(&bench.at("tree"), &bench.at("live/LiveOS/rootfs.img"), "ext4");
    images::squashfs(&bench.at("live"), &bench.at("live.squashfs"));
    bench.check(&bench.text("squashfs", "live.squashfs"), &bench.wanted());
    bench.nothing_is_left();
}

#[test]
fn oci_layouts_give_the_tree_of_the_directory() {
    let bench = Bench::new();
    let wanted = bench.wanted();
    gnu_tar(&bench.at("tree"), &bench.at("layer.tar"), &[]);
    let tar = fs::read(bench.at("layer.tar")).unwrap();
    for packing in [Packing::Plain, Packing::Gzip, Packing::Zstd] {
        let name = format!("{packing:?}");
        OciImage::new(vec![(packing, tar.clone())]).write(&bench.at(&name));
        bench.check(&bench.text("oci", &name), &wanted);
        bench.check(&bench.text("oci", &format!("{name}:latest")), &wanted);
        run(Cmd::new("tar").arg("-cf").arg(bench.at("a.tar")).arg("-C").arg(bench.at(&name)).arg("."));
        bench.check(&bench.text("oci-archive", "a.tar:latest"), &wanted);
    }
}

#[test]
fn skopeo_makes_images_that_we_read() {
    let bench = Bench::new();
    let wanted = bench.wanted();
    gnu_tar(&bench.at("tree"), &bench.at("layer.tar"), &[]);
    let skopeo = |more: &[&str], from: &str, to: &str| {
        run(Cmd::new("skopeo").args(["--insecure-policy", "copy", "-q"]).args(more).arg(from).arg(to));
    };
    let (layout, archive) = (bench.text("oci", "layout:one"), bench.text("oci-archive", "out.tar:two"));
    skopeo(&[], &bench.text("tarball", "layer.tar"), &layout);
    bench.check(&layout, &wanted);
    skopeo(&["--dest-compress-format=zstd"], &layout, &archive);
    bench.check(&archive, &wanted);
}

#[test]
fn bytes_that_change_after_opening_are_damage() {
    let bench = Bench::new();
    gnu_tar(&bench.at("tree"), &bench.at("t.tar"), &[]);
    let sources = [open(&bench.text("dir", "tree")), open(&bench.text("tar", "t.tar"))];
    fs::write(bench.at("tree/boot/vmlinuz-6.1.0-9"), "kernex").unwrap();
    gnu_tar(&bench.at("tree"), &bench.at("t.tar"), &[]);
    let wanted = BTreeSet::from([TreePath::parse(b"boot/vmlinuz-6.1.0-9").unwrap()]);
    for mut image in sources {
        // A taker that stops at the known size does not escape the check.
        let mut take = |_: &TreePath, content: &mut dyn Read| -> Result<()> {
            content.read_exact(&mut [0; 6]).map_err(|error| Error::failed("read", error))
        };
        let error = image.source.contents(&wanted, &mut take).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Damaged, "{error}");
        assert_eq!(error.why, "its bytes have changed since the image was read");
    }
}

#[test]
fn asking_for_what_is_no_content_is_an_error() {
    let bench = Bench::new();
    let mut image = open(&bench.text("dir", "tree"));
    for path in [&b"etc"[..], b"nope", b"large"] {
        let wanted = BTreeSet::from([TreePath::parse(path).unwrap()]);
        let error = image.source.contents(&wanted, &mut |_, _| Ok(())).unwrap_err();
        assert!(error.why.contains("no file of its own content"), "{error}");
    }
}
