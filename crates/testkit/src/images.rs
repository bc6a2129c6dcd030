//! Images for tests: tiny trees that have everything a bootable system is recognised by, and the containers they come in.
//!
//! Good containers are made by other people's tools (GNU tar, mksquashfs, mkfs, skopeo), so that a misreading of ours
//! cannot agree with itself; hostile ones are put together byte by byte, since no tool writes them.

pub mod oci;
pub mod tar;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags};
use thinroot_engine::cmd::Cmd;

/// ELF `e_machine` of the machine that tests pretend to run on (x86_64).
pub const MACHINE: u16 = 62;

/// The beginning of a 64-bit little-endian ELF program.
pub fn elf_stub(machine: u16) -> Vec<u8> {
    let mut raw = vec![0; 64];
    raw[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    raw[16] = 2;
    raw[18..20].copy_from_slice(&machine.to_le_bytes());
    raw
}

/// Files of a small tree that every check for a bootable image finds good; it is `node-VERSION-RELEASE`.
pub fn bootable_files(version: &str) -> Vec<(&'static str, Vec<u8>)> {
    let os_release = format!("IMAGE_ID=node\nIMAGE_VERSION=\"{version}\"\nPRETTY_NAME=\"Node {version}\"\n");
    vec![
        ("boot/initrd.img-6.1.0-9", b"initrd".to_vec()),
        ("boot/vmlinuz-6.1.0-9", b"kernel".to_vec()),
        ("etc/group", b"root:x:0:\nmail:x:8:\n".to_vec()),
        ("etc/os-release", os_release.into_bytes()),
        ("etc/passwd", b"root:x:0:0::/root:/bin/sh\nmail:x:8:8::/:/bin/sh\n".to_vec()),
        ("usr/bin/sh", elf_stub(MACHINE)),
    ]
}

/// Writes [`bootable_files`] below `root`.
pub fn bootable_tree(root: &Path, version: &str) {
    for (path, content) in bootable_files(version) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().expect("a file has a parent")).expect("create a directory");
        fs::write(&path, content).expect("write a file");
    }
}

/// A bootable tree with everything in it that is easily lost on the way: owners, modes, times before and after 1970 with
/// nanoseconds, binary attributes, capabilities, ACLs, holes, hard links, devices, names that are no text.
pub fn rich_tree(root: &Path) {
    bootable_tree(root, "1.2-3");
    let at = |name: &str| root.join(name);
    let xattr = |path: &Path, name: &str, value: &[u8]| {
        rustix::fs::lsetxattr(path, name, value, XattrFlags::empty()).expect("set an attribute");
    };
    for dir in ["var/tmp", "var/mail", "dev", "long"] {
        fs::create_dir_all(at(dir)).expect("create a directory");
    }
    fs::write(at("usr/bin/passwd"), elf_stub(MACHINE)).expect("write");
    fs::write(at("empty"), "").expect("write");
    fs::write(at("zeros"), vec![0; 12288]).expect("write");
    fs::write(at("large"), (0..200_000u32).flat_map(u32::to_le_bytes).collect::<Vec<_>>()).expect("write");
    fs::write(root.join(OsStr::from_bytes(b"var/\xff\xfe name\n")), "odd").expect("write");
    fs::write(at("long").join("n".repeat(255)), "long").expect("write");
    let deep = at("long").join("d".repeat(120)).join("e".repeat(120));
    fs::create_dir_all(&deep).expect("create");
    fs::hard_link(at("large"), deep.join("again")).expect("link");
    fs::hard_link(at("large"), at("a-first-name")).expect("link");
    let holes = fs::File::create(at("holes")).expect("create");
    holes.write_all_at(b"begin", 0).expect("write");
    holes.write_all_at(b"middle", 1 << 20).expect("write");
    holes.set_len(3 << 20).expect("extend");
    fs::File::create(at("all-hole")).expect("create").set_len(1 << 16).expect("extend");
    symlink("/no/where", at("dangling")).expect("link");
    symlink("t".repeat(150), at("long/link")).expect("link");
    symlink(OsStr::from_bytes(b"\xfe/x"), at("odd-link")).expect("link");
    let node = |name: &str, kind, mode, device| {
        rustix::fs::mknodat(CWD, at(name), kind, Mode::from_raw_mode(mode), device).expect("make a node");
    };
    node("dev/fifo", FileType::Fifo, 0o640, 0);
    node("dev/null", FileType::CharacterDevice, 0o666, rustix::fs::makedev(1, 3));
    node("dev/disk", FileType::BlockDevice, 0o660, rustix::fs::makedev(259, 70_000));
    xattr(&at("usr/bin/sh"), "security.capability", b"\x01\0\0\x02\n\x20=\n\0\0\0\0\0\0\0\0\0\0\0\0");
    xattr(&at("usr/bin/sh"), "user.lines", b"one\ntwo\n\xff");
    xattr(&at("usr/bin/sh"), "user.empty", b"");
    xattr(&at("dangling"), "trusted.link", b"on a link");
    xattr(&at("var"), "user.dir", b"on a directory");
    run(Cmd::new("setfacl").args(["-m", "u:8:r--,g:8:rwx"]).arg(at("empty")));
    run(Cmd::new("setfacl").args(["-d", "-m", "u:8:rwx"]).arg(at("var/mail")));
    own(&at("var/mail"), 0, 8);
    own(&at("zeros"), 4_000_000_000, 3_000_000_000);
    own(&at("dangling"), 8, 8);
    for (path, mode) in [("var/tmp", 0o1777), ("var/mail", 0o2775), ("usr/bin/passwd", 0o4755), ("zeros", 0o600)] {
        fs::set_permissions(at(path), fs::Permissions::from_mode(mode)).expect("set a mode");
    }
    set_time(&at("zeros"), -5, 250_000_000);
    set_time(&at("usr/bin/passwd"), 1_700_000_000, 123_456_789);
    set_time(&at("dangling"), 1_600_000_000, 1);
    set_time(root, 1_500_000_000, 999_999_999);
}

fn own(path: &Path, uid: u32, gid: u32) {
    let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
    rustix::fs::chownat(CWD, path, uid, gid, AtFlags::SYMLINK_NOFOLLOW).expect("set an owner");
}

fn set_time(path: &Path, tv_sec: i64, tv_nsec: i64) {
    let time = Timespec { tv_sec, tv_nsec };
    let times = Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).expect("set a time");
}

/// Runs a tool that the test needs.
pub fn run(cmd: Cmd) {
    if let Err(error) = cmd.run() {
        panic!("{error}");
    }
}

/// Packs a tree with GNU tar, with everything it can keep.
pub fn gnu_tar(root: &Path, out: &Path, more: &[&str]) {
    let keep = ["--format=pax", "--xattrs", "--xattrs-include=*", "--numeric-owner", "--sparse"];
    run(Cmd::new("tar").args(keep).args(more).arg("-cf").arg(out).arg("-C").arg(root).arg("."));
}

/// Compresses a file with a tool of the system; returns the new file.
pub fn compress(file: &Path, tool: &str) -> PathBuf {
    let suffix = match tool {
        "gzip" => "gz",
        "zstd" => "zst",
        other => other,
    };
    run(Cmd::new(tool).args(["-k", "-q"]).arg(file));
    PathBuf::from(format!("{}.{suffix}", file.display()))
}

/// Packs a tree with mksquashfs.
pub fn squashfs(root: &Path, out: &Path) {
    run(Cmd::new("mksquashfs").arg(root).arg(out).args(["-noappend", "-no-progress", "-quiet", "-comp", "gzip"]));
}

/// A file system image (`ext4` or `xfs`) with a copy of the tree, made by the kernel itself. Mounts in the calling
/// thread's namespace, which must be private.
pub fn raw_image(root: &Path, out: &Path, fs_type: &str) {
    let size = if fs_type == "xfs" { 320 << 20 } else { 32 << 20 };
    fs::File::create(out).expect("create").set_len(size).expect("extend");
    run(Cmd::new(format!("mkfs.{fs_type}")).arg("-q").arg(out));
    let mount = out.with_extension("mnt");
    fs::create_dir(&mount).expect("create a mount point");
    run(Cmd::new("mount").args(["-t", fs_type, "-o", "loop"]).arg(out).arg(&mount));
    if fs_type == "ext4" {
        fs::remove_dir(mount.join("lost+found")).expect("remove lost+found");
    }
    run(Cmd::new("cp").args(["-a", "--sparse=auto", "-T"]).arg(root).arg(&mount));
    run(Cmd::new("umount").arg(&mount));
    fs::remove_dir(&mount).expect("remove the mount point");
}

/// An ext4 image made by `mke2fs -d`, without mounting anything.
pub fn mke2fs_image(root: &Path, out: &Path) {
    fs::File::create(out).expect("create").set_len(32 << 20).expect("extend");
    run(Cmd::new("mke2fs").args(["-q", "-t", "ext4", "-d"]).arg(root).arg(out));
}
