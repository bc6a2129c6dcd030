//! Every image that must not be taken: one clear refusal each, and nothing left behind.

use std::fs;
use std::path::{Path, PathBuf};

use thinroot_core::image::Arch;
use thinroot_core::manifest::Kind;
use thinroot_core::path::TreePath;
use thinroot_engine::cmd::Cmd;
use thinroot_engine::error::{Error, ErrorKind};
use thinroot_engine::mounts::enter_private_namespace;
use thinroot_engine::progress::Silent;
use thinroot_engine::source::{Image, OpenOptions};
use thinroot_testkit::images::tar::{Tar, header};
use thinroot_testkit::images::{self, run};

struct Bench {
    dir: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Bench { dir: tempfile::tempdir().unwrap() }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn open(&self, prefix: &str, name: &str) -> Result<Image, Error> {
        open_as(&format!("{prefix}:{}", self.at(name).display()), None)
    }

    fn open_tar(&self, raw: &[u8]) -> Result<Image, Error> {
        fs::write(self.at("image.tar"), raw).unwrap();
        self.open("tar", "image.tar")
    }
}

fn open_as(reference: &str, identity: Option<&str>) -> Result<Image, Error> {
    let options = OpenOptions { identity: identity.map(|text| text.parse().unwrap()), arch: Arch::X86_64 };
    Image::open(&reference.parse()?, &options, &Silent)
}

#[track_caller]
fn assert_refused(what: &str, result: Result<Image, Error>, words: &str) -> Error {
    let error = result.map(|image| image.info).expect_err(what);
    assert_eq!(error.kind, ErrorKind::Refused, "{what}: {error}");
    assert!(error.why.contains(words), "{what}: '{}' does not say '{words}'", error.why);
    error
}

#[test]
fn tar_members_that_lead_elsewhere() {
    let bench = Bench::new();
    let good = || Tar::bootable("1");
    let rows = [
        ("up", good().file("a/../../x", b""), "contains '..'"),
        ("up in a link", good().hardlink("x", "../../etc/passwd"), "contains '..'"),
        ("zero byte", good().pax(&[("path", b"a\0b")]).file("x", b""), "zero byte"),
        ("through a link", good().symlink("l", "/etc").file("l/x", b""), "lies in /l, which is a symbolic link"),
        ("through a file", good().file("etc/passwd/x", b""), "lies in /etc/passwd, which is a file"),
        ("link to nothing", good().hardlink("x", "nope"), "hard link to /nope, which the image does not have"),
        ("link to a later", good().hardlink("x", "y").file("y", b""), "which the image does not have"),
        ("link to a directory", good().hardlink("x", "etc"), "hard link to /etc, which is a directory"),
        ("link through a link", good().symlink("l", "etc").hardlink("x", "l/passwd"), "which the image does not have"),
        ("directory, then file", good().file("etc", b""), "a directory with something in it"),
        ("directory, then link", good().symlink("usr", "/"), "a directory with something in it"),
        ("root as a file", good().file("./", b"").symlink("./", "x"), "root of the image is a symbolic link"),
        ("long name", good().pax(&[("path", &[b'n'; 300])]).file("x", b""), "too long"),
        ("deep", good().pax(&[("path", "d/".repeat(300).as_bytes())]).dir("x"), "nested deeper than 256"),
        ("empty link", good().symlink("l", ""), "target of the symbolic link is empty"),
    ];
    for (what, tar, words) in rows {
        assert_refused(what, bench.open_tar(&tar.finish()), words);
    }
}

#[test]
fn tar_headers_that_lie() {
    let bench = Bench::new();
    let good = || Tar::bootable("1");
    let huge = header(b'0', b"huge", b"", 2 << 40);
    let broken = good().bytes(&[b'x'; 512]);
    let big_value = vec![b'v'; 70_000];
    let big_header = vec![b'v'; (1 << 20) + 1];
    let rows = [
        ("checksum", broken, "a header is damaged"),
        ("huge", good().bytes(&huge), "larger than 1 TiB"),
        ("huge by PAX", good().pax(&[("size", b"99999999999999")]).file("x", b""), "larger than 1 TiB"),
        ("PAX", good().member(b'x', "x", b"", b"99 path=y\n").file("x", b""), "extended header is malformed"),
        ("long PAX", good().pax(&[("comment", &big_header)]).file("x", b""), "larger than 1 MiB"),
        ("two PAX", good().pax(&[]).pax(&[]).file("x", b""), "two extension headers"),
        ("global path", good().member(b'g', "x", b"", b"10 path=y\n").file("x", b""), "global extended header"),
        (
            "attribute",
            good().pax(&[("SCHILY.xattr.user.x", &big_value)]).file("x", b""),
            "larger than the kernel allows",
        ),
        ("text ACL", good().pax(&[("SCHILY.acl.access", b"user::rwx")]).file("x", b""), "ACLs in text form"),
        ("owner", good().pax(&[("uid", b"4294967296")]).file("x", b""), "larger than 32 bits"),
        ("volume label", good().member(b'V', "label", b"", b""), "member of type 'V' is not supported"),
        ("link with content", good().member(b'2', "l", b"target", b"content"), "content although it is no file"),
        ("extension last", good().pax(&[("path", b"y")]), "ends after an extension header"),
        (
            "sparse map",
            good().pax(&[("GNU.sparse.size", b"9"), ("GNU.sparse.map", b"5,9")]).file("x", b"123456789"),
            "does not fit its size",
        ),
        (
            "sparse order",
            good().pax(&[("GNU.sparse.size", b"99"), ("GNU.sparse.map", b"5,4,2,5")]).file("x", b"123456789"),
            "does not fit its size",
        ),
        (
            "sparse 1.0",
            good()
                .pax(&[("GNU.sparse.major", b"1"), ("GNU.sparse.minor", b"0"), ("GNU.sparse.realsize", b"9")])
                .file("x", b"no number"),
            "map of a sparse file is malformed",
        ),
    ];
    for (what, tar, words) in rows {
        assert_refused(what, bench.open_tar(&tar.finish()), words);
    }
}

#[test]
fn streams_that_end_early_or_are_something_else() {
    let bench = Bench::new();
    let whole = Tar::bootable("1").finish();
    let rows: [(&str, &[u8], &str); 8] = [
        ("empty", b"", "the file is empty"),
        ("text", &[b'x'; 2000], "it is not a tar archive"),
        ("short text", b"hello", "truncated"),
        ("within a content", &whole[..700], "truncated"),
        ("within a header", &whole[..1100], "truncated"),
        ("between members", &whole[..1024], "ends without the mark of its end"),
        ("bzip2", b"BZh91AY&SY", "compressed with bzip2"),
        ("only an end", &[0; 1024], "it has no /etc/os-release"),
    ];
    for (what, raw, words) in rows {
        assert_refused(what, bench.open_tar(raw), words);
    }
    for tool in ["gzip", "xz", "zstd"] {
        fs::write(bench.at("whole"), &whole).unwrap();
        let packed = fs::read(images::compress(&bench.at("whole"), tool)).unwrap();
        for cut in [8, packed.len() / 2, packed.len() - 3] {
            let error = bench.open_tar(&packed[..cut]).map(|i| i.info).expect_err(tool);
            assert_eq!(error.kind, ErrorKind::Refused, "{tool} cut at {cut}: {error}");
        }
        let mut damaged = packed.clone();
        let middle = damaged.len() / 2;
        damaged[middle] ^= 0x55;
        assert_eq!(bench.open_tar(&damaged).map(|i| i.info).expect_err(tool).kind, ErrorKind::Refused);
    }
    assert_refused("missing", bench.open("tar", "nope"), "No such file");
    assert_refused("a directory", bench.open("tar", "."), "it is a directory");
    // As for tar, what follows the mark does not count.
    let mut trailing = whole.clone();
    trailing.extend_from_slice(b"garbage");
    bench.open_tar(&trailing).unwrap();
}

#[test]
fn what_tar_tolerates_is_taken_as_tar_takes_it() {
    let bench = Bench::new();
    let tar = Tar::bootable("1")
        .file("/absolute", b"1")
        .file("twice", b"first")
        .file("./twice", b"second")
        .symlink("kind", "x")
        .file("kind", b"file")
        .hardlink("b-link", "twice")
        .hardlink("a-link", "b-link");
    let image = bench.open_tar(&tar.finish()).unwrap();
    let line = |path: &str| {
        let entry = image.manifest.get(&TreePath::parse(path.as_bytes()).unwrap()).unwrap();
        let Kind::File { size, .. } = entry.kind else { panic!("{path} is no file") };
        (size, entry.hardlink.as_ref().map(ToString::to_string))
    };
    assert_eq!(line("absolute"), (1, None));
    assert_eq!(line("kind"), (4, None));
    assert_eq!(line("a-link"), (6, None));
    assert_eq!(line("b-link"), (6, Some("/a-link".into())));
    assert_eq!(line("twice"), (6, Some("/a-link".into())));
    let etc = image.manifest.get(&TreePath::parse(b"etc").unwrap()).unwrap();
    assert_eq!((etc.meta.mode, etc.meta.uid, etc.meta.mtime.sec), (0o755, 0, 0));
}

#[test]
fn trees_that_cannot_boot_or_do_not_say_who_they_are() {
    let bench = Bench::new();
    let without = |names: &[&str]| {
        let keep = images::bootable_files("1").into_iter().filter(|(path, _)| !names.contains(path));
        keep.fold(Tar::new(), |tar, (path, content)| tar.file(path, &content))
    };
    let foreign = |machine: u16| without(&["usr/bin/sh"]).file("usr/bin/sh", &images::elf_stub(machine));
    let anonymous = || without(&["etc/os-release"]).file("etc/os-release", b"ID=debian\nVERSION_ID=12\n");
    let large = vec![b'#'; (1 << 20) + 1];
    let rows = [
        ("no kernel", without(&["boot/vmlinuz-6.1.0-9"]), "it has no kernel"),
        ("no os-release", without(&["etc/os-release"]), "it has no /etc/os-release"),
        ("large os-release", without(&["etc/os-release"]).file("etc/os-release", &large), "larger than 1 MiB"),
        ("large passwd", without(&["etc/passwd"]).file("etc/passwd", &large), "larger than 1 MiB"),
        (
            "two links away",
            without(&["etc/os-release"]).symlink("etc/os-release", "a").symlink("etc/a", "b").file("etc/b", b""),
            "it has no /etc/os-release",
        ),
        ("aarch64", foreign(183), "it is for aarch64, and this host is x86_64"),
        ("arm", foreign(40), "ELF machine 40, which is not supported"),
        ("no program", without(&["usr/bin/sh"]), "its architecture cannot be told"),
        ("no identity", anonymous(), "does not say who it is"),
    ];
    for (what, tar, words) in rows {
        assert_refused(what, bench.open_tar(&tar.finish()), words);
    }
    let error = assert_refused("no identity", bench.open_tar(&anonymous().finish()), "does not say");
    assert_eq!(error.mend.as_deref(), Some("--as NAME-VERSION-RELEASE"));
    let reference = format!("tar:{}", bench.at("image.tar").display());
    assert_eq!(open_as(&reference, Some("mine-7-8")).unwrap().info.id.to_string(), "mine-7-8");
}

#[test]
fn os_release_behind_one_link_and_the_majority_of_programs_count() {
    let bench = Bench::new();
    let linked = images::bootable_files("1").into_iter().fold(Tar::new(), |tar, (path, content)| match path {
        "etc/os-release" => tar.symlink(path, "../usr/lib/os-release").file("usr/lib/os-release", &content),
        _ => tar.file(path, &content),
    });
    let mixed = linked
        .file("usr/bin/a", &images::elf_stub(images::MACHINE))
        .file("usr/sbin/b", &images::elf_stub(183))
        .file("usr/lib/deep/c", &images::elf_stub(183))
        .file("usr/lib/deep/d", &images::elf_stub(183));
    let info = bench.open_tar(&mixed.finish()).unwrap().info;
    assert_eq!((info.id.to_string().as_str(), info.arch), ("node-1-0", Arch::X86_64));
}

#[test]
fn directories_that_are_none_and_mounts_in_them() {
    enter_private_namespace().unwrap();
    let bench = Bench::new();
    assert_refused("missing", bench.open("dir", "nope"), "it does not exist");
    fs::write(bench.at("file"), "").unwrap();
    assert_refused("a file", bench.open("dir", "file"), "it is not a directory");

    fs::create_dir(bench.at("tree")).unwrap();
    images::bootable_tree(&bench.at("tree"), "1");
    fs::create_dir(bench.at("tree/proc")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(bench.at("tree/socket")).unwrap();
    run(Cmd::new("mount").args(["-t", "tmpfs", "none"]).arg(bench.at("tree/proc")));
    fs::write(bench.at("tree/proc/hidden"), "").unwrap();
    let image = bench.open("dir", "tree").unwrap();
    let has = |path: &str| image.manifest.get(&TreePath::parse(path.as_bytes()).unwrap()).is_some();
    assert_eq!((has("proc"), has("proc/hidden"), has("socket")), (true, false, false));
    run(Cmd::new("umount").arg(bench.at("tree/proc")));
    run(Cmd::new("mount").arg("--bind").arg(bench.at("file")).arg(bench.at("tree/etc/group")));
    assert_refused("a mounted file", bench.open("dir", "tree"), "something is mounted over it");
    run(Cmd::new("umount").arg(bench.at("tree/etc/group")));
}

#[test]
fn file_systems_that_are_damaged_or_none() {
    enter_private_namespace().unwrap();
    let bench = Bench::new();
    fs::create_dir(bench.at("tree")).unwrap();
    images::bootable_tree(&bench.at("tree"), "1");
    fs::write(bench.at("text"), vec![b'x'; 8192]).unwrap();
    fs::write(bench.at("short"), "x").unwrap();
    assert_refused("text", bench.open("squashfs", "text"), "it is not a squashfs image");
    assert_refused("text", bench.open("raw", "text"), "neither an ext4 nor an XFS");
    assert_refused("short", bench.open("raw", "short"), "too short");

    images::squashfs(&bench.at("tree"), &bench.at("squash"));
    let whole = fs::read(bench.at("squash")).unwrap();
    // Behind what is used there is only filling.
    let used = u64::from_le_bytes(whole[40..48].try_into().unwrap()) as usize;
    fs::write(bench.at("cut"), &whole[..used - 1]).unwrap();
    assert_refused("cut", bench.open("squashfs", "cut"), "it is truncated");
    let mut damaged = whole.clone();
    // Everything behind the superblock, so that nothing in it can be mounted or read.
    damaged[96..].fill(0xa5);
    fs::write(bench.at("damaged"), &damaged).unwrap();
    let result = bench.open("squashfs", "damaged");
    assert_eq!(result.map(|i| i.info).expect_err("damaged").kind, ErrorKind::Refused);

    images::mke2fs_image(&bench.at("tree"), &bench.at("ext4"));
    bench.open("raw", "ext4").unwrap();
    let whole = fs::read(bench.at("ext4")).unwrap();
    fs::write(bench.at("cut"), &whole[..whole.len() - 4096]).unwrap();
    assert_refused("cut", bench.open("raw", "cut"), "it is truncated");
    let mut dirty = whole.clone();
    dirty[1024 + 96] |= 4;
    fs::write(bench.at("dirty"), &dirty).unwrap();
    assert_refused("dirty", bench.open("raw", "dirty"), "not unmounted cleanly");
    let mut damaged = whole;
    damaged[2048..262_144].fill(0xa5);
    fs::write(bench.at("damaged"), &damaged).unwrap();
    let result = bench.open("raw", "damaged");
    assert_eq!(result.map(|i| i.info).expect_err("damaged").kind, ErrorKind::Refused);
    nothing_is_left(bench.dir.path());
}

#[test]
fn an_xfs_copied_while_it_was_written_is_refused() {
    enter_private_namespace().unwrap();
    let bench = Bench::new();
    fs::create_dir(bench.at("tree")).unwrap();
    images::bootable_tree(&bench.at("tree"), "1");
    images::raw_image(&bench.at("tree"), &bench.at("xfs"), "xfs");
    fs::create_dir(bench.at("mnt")).unwrap();
    run(Cmd::new("mount").args(["-t", "xfs", "-o", "loop"]).arg(bench.at("xfs")).arg(bench.at("mnt")));
    fs::write(bench.at("mnt/new"), "new").unwrap();
    run(Cmd::new("sync"));
    run(Cmd::new("cp").arg("--sparse=always").arg(bench.at("xfs")).arg(bench.at("torn")));
    run(Cmd::new("umount").arg(bench.at("mnt")));
    let error = assert_refused("torn", bench.open("raw", "torn"), "the kernel does not mount it");
    assert!(error.why.contains("read-only") && !error.why.contains('\n'), "{error}");
    bench.open("raw", "xfs").unwrap();
    nothing_is_left(bench.dir.path());
}

/// Whatever went wrong, no mount, loop device or directory of ours is left behind.
fn nothing_is_left(bench: &Path) {
    let here = bench.to_str().unwrap();
    let ours = format!("/run/thinroot/private/image.{}.", std::process::id());
    let mounts = fs::read_to_string("/proc/thread-self/mounts").unwrap();
    let left: Vec<_> = mounts.lines().filter(|line| line.contains(&ours) || line.contains(here)).collect();
    assert_eq!(left, Vec::<&str>::new());
    let held = fs::read_dir("/sys/block").unwrap().flatten().filter_map(|disk| {
        let backing = fs::read_to_string(disk.path().join("loop/backing_file")).ok()?;
        backing.contains(here).then_some(backing)
    });
    assert_eq!(held.collect::<Vec<_>>(), Vec::<String>::new());
    // Of this namespace: another thread's are not to be seen here.
    assert_eq!(fs::read_dir("/run/thinroot/private").unwrap().flatten().count(), 0);
}
