//! Goal: `install` makes what it says, judged by other people's tools; refuses with numbers before anything is touched; and
//! leaves a disk without partitions where it fails.
//!
//! Runs inside the test kernel only. That what it makes starts is tried on real firmware by `cargo xtask vm`.

use std::fs;
use std::path::Path;
use std::process::Command;

use thinroot_testkit::images;
use thinroot_testkit::lab::{in_test_kernel, shell, tool};

const DISK: &str = "/dev/ubda";
const OTHER: &str = "/dev/ubdb";
const WORK: &str = "/run/install";

/// Exit code, stdout, stderr.
fn install(args: &str) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_thinroot"));
    command.args(["-q", "install", &format!("tar:{WORK}/node.tar")]).args(args.split_whitespace());
    let out = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (out.status.code().unwrap(), text(&out.stdout), text(&out.stderr))
}

/// Empty disks, an image, and a directory of a host's own files.
fn prepared() {
    shell(&format!(
        "umount -l {WORK}/* 2>/dev/null || true; vgremove -qq -ff -y thinroot 2>/dev/null || true
         for disk in {DISK} {OTHER}; do
             for part in $disk[0-9]*; do [ ! -b $part ] || wipefs -qa $part; done
             wipefs -qa $disk; blockdev --rereadpt $disk
         done
         rm -rf {WORK}; mkdir -p {WORK}/overlay/etc; echo edge-1 >{WORK}/overlay/etc/hostname"
    ));
    let root = Path::new(WORK).join("tree");
    images::bootable_tree(&root, "1-0");
    fs::create_dir_all(root.join("srv/www")).unwrap();
    fs::write(root.join("srv/www/index.html"), "hello\n").unwrap();
    fs::create_dir_all(root.join("etc/kernel")).unwrap();
    fs::write(root.join("etc/kernel/cmdline"), "quiet console=ttyS0,115200\n").unwrap();
    fs::write(root.join("etc/fstab"), "# the image's\n/dev/sdz1 /srv ext4 ro 0 0\n/dev/sdz2 /mnt ext4 noauto 0 0\n")
        .unwrap();
    images::gnu_tar(&root, &Path::new(WORK).join("node.tar"), &[]);
}

fn first_mib(disk: &str) -> String {
    shell(&format!("head -c 1048576 {disk} | sha256sum; sfdisk -d {disk} 2>&1 || true; wipefs {disk}"))
}

#[test]
fn what_could_be_lost_is_refused_before_anything_is_touched() {
    if !in_test_kernel() {
        return;
    }
    prepared();
    let refused = |args: &str, words: &str, disk: &str| {
        let before = first_mib(disk);
        let (code, _, said) = install(args);
        assert_eq!((code, said.contains(words)), (3, true), "{args}: {said}");
        assert_eq!(first_mib(disk), before, "{args}");
    };
    refused("--disk /dev/ubdb", "/dev/ubdb has 1024 MiB and ", OTHER);
    shell(&format!("mkfs.ext4 -q -L precious {OTHER}; mkdir {WORK}/mnt"));
    refused("--disk /dev/ubdb", "not empty: ext4 'precious' on /dev/ubdb", OTHER);
    // Read-only, so that the file system itself writes nothing while it is looked at.
    shell(&format!("mount -o ro,noload {OTHER} {WORK}/mnt"));
    for args in ["--disk /dev/ubdb", "--disk /dev/ubdb --wipe"] {
        refused(args, &format!("in use: /dev/ubdb is mounted at {WORK}/mnt"), OTHER);
    }
    shell(&format!("umount {WORK}/mnt; wipefs -qa {OTHER}; pvcreate -qq {OTHER}; vgcreate -qq thinroot {OTHER}"));
    refused("--disk /dev/ubda", "sees a volume group thinroot already", DISK);
    refused("--disk /dev/ubdb", "not empty: LVM2_member on /dev/ubdb", OTHER);
    shell("lvcreate -qq -L 8m -n x thinroot");
    refused("--disk /dev/ubdb --wipe --vg other", "in use: thinroot-x is on /dev/ubdb", OTHER);
    shell(&format!(
        "cd {WORK}; mkdir initrd; touch initrd/init; (cd initrd; echo init | busybox cpio -o -H newc 2>/dev/null) >bare
         cp bare tree/boot/initrd.img-6.1.0-9; tar -cf node.tar -C tree ."
    ));
    refused("--disk /dev/ubda", "lacks LVM's program and the kernel's module dm-thin-pool", DISK);
    let usage = |args: &str, words: &str| {
        let (code, _, said) = install(args);
        assert_eq!((code, said.contains(words)), (2, true), "{args}: {said}");
    };
    usage("--disk /dev/null", "it is no block device");
    shell(&format!("echo ,100M | sfdisk -q {DISK}"));
    usage("--disk /dev/ubda1", "it is a partition");
    usage("--disk /dev/ubda --volume /etc=1G", "belongs to each layer");
    usage("--image x", "--size");
    usage("--disk /dev/ubda --vg a:b", "use the LVM name");
}

#[test]
fn a_disk_becomes_what_was_said_and_a_failure_leaves_it_empty() {
    if !in_test_kernel() {
        return;
    }
    prepared();
    let wanted = format!("--disk {DISK} --volume /srv=64M --overlay {WORK}/overlay");
    let before = first_mib(DISK);
    let (code, planned, _) = install(&format!("{wanted} --dry-run"));
    assert_eq!((code, first_mib(DISK)), (0, before));
    let (code, said, story) = install(&wanted);
    assert_eq!(code, 0, "{said}{story}");
    assert_eq!(said, format!("{planned}\n{DISK} boots node-1-0+1\n"));
    let table = tool("sfdisk", &["-d", DISK]);
    for line in [
        "start=        2048, size=        2048, type=21686148-6449-6E6F-744E-656564454649",
        "start=        4096, size=      262144, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B",
        "start=      266240, size=     1048576, type=BC13C2FF-59E6-4262-A352-B275FD6F7172",
    ] {
        assert!(table.contains(line), "{table}");
    }
    // Nothing of it is in use any more.
    assert_eq!(shell("lvs --noheadings -o lv_active thinroot | sort -u").trim(), "");
    shell(&format!(
        "e2fsck -fn {DISK}3 >/dev/null 2>&1; fsck.vfat -n {DISK}2 >/dev/null; mkdir {WORK}/boot {WORK}/esp {WORK}/root {WORK}/srv
         mount {DISK}3 {WORK}/boot; mount {DISK}2 {WORK}/esp; vgchange -qq -ay thinroot
         mount /dev/thinroot/node-1-0+1 {WORK}/root; mount /dev/thinroot/srv {WORK}/srv"
    ));
    let read = |path: &str| fs::read_to_string(Path::new(WORK).join(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
    let entry = read("boot/loader/entries/node-1-0+1-6.1.0-9.conf");
    assert!(
        entry.contains("options    root=/dev/mapper/thinroot-node--1--0+1 rd.lvm.lv=thinroot/node-1-0+1 rw "),
        "{entry}"
    );
    assert!(
        read("boot/grub/thinroot.env")
            .starts_with("# GRUB Environment Block\nthinroot_tries=0\nthinroot_default=node-1-0+1-6.1.0-9\n")
    );
    assert!(read("boot/grub/grub.cfg").contains("serial --unit=0 --speed=115200"));
    for file in ["grub.cfg", "custom.cfg", "thinroot.cfg"] {
        tool("grub-script-check", &[&format!("{WORK}/boot/grub/{file}")]);
    }
    assert!(Path::new(WORK).join("boot/grub/i386-pc/normal.mod").is_file());
    assert_eq!(&fs::read(Path::new(WORK).join("esp/EFI/BOOT/BOOTX64.EFI")).unwrap()[..2], b"MZ");
    let uuid =
        |part: u32| tool("blkid", &["-p", "-s", "UUID", "-o", "value", &format!("{DISK}{part}")]).trim().to_string();
    let fstab = format!(
        "# the image's\n/dev/sdz2 /mnt ext4 noauto 0 0\nUUID={} /boot ext4 defaults 0 2\nUUID={} /boot/efi vfat umask=0077 0 2\n\
         /dev/thinroot/srv /srv ext4 defaults 0 2\n",
        uuid(3),
        uuid(2)
    );
    assert_eq!(read("root/etc/fstab"), fstab);
    assert_eq!((read("root/etc/hostname"), read("srv/www/index.html")), ("edge-1\n".into(), "hello\n".into()));
    assert_eq!(shell(&format!("stat -c '%a %U' {WORK}/root/etc/fstab {WORK}/root")), "644 root\n755 root\n");
    shell(&format!("umount {WORK}/boot {WORK}/esp {WORK}/root {WORK}/srv; vgchange -qq -an thinroot"));

    // Once more, for the other loader, and it fails in the middle.
    let again = format!("--disk {DISK} --loader systemd-boot");
    let (code, _, said) = install(&again);
    assert_eq!((code, said.contains("not empty: ")), (3, true), "{said}");
    shell("vgremove -qq -ff -y thinroot");
    let (code, _, said) = install(&format!("{again} --wipe --overlay {WORK}/nothing"));
    assert_eq!((code, said.contains("cp --archive")), (1, true), "{said}");
    let left = shell(&format!("wipefs {DISK}; ls {DISK}[0-9]* 2>/dev/null || true; vgs --noheadings; losetup -a"));
    assert_eq!(left, "");
    let (code, said, story) = install(&again);
    assert_eq!(code, 0, "{said}{story}");
    shell(&format!("mount {DISK}1 {WORK}/esp"));
    assert!(read("esp/loader/entries/_thinroot-default.conf").contains("thinroot.layer=node-1-0+1"));
    assert!(read("esp/loader/loader.conf").ends_with("default _thinroot-*\n"));
    for program in ["esp/EFI/systemd/systemd-bootx64.efi", "esp/EFI/BOOT/BOOTX64.EFI"] {
        assert!(Path::new(WORK).join(program).is_file(), "{program}");
    }
    shell(&format!("umount {WORK}/esp"));
}

#[test]
fn a_file_becomes_a_disk_and_one_that_is_there_stays() {
    if !in_test_kernel() {
        return;
    }
    prepared();
    shell(&format!(
        "mkfs.ext4 -q {OTHER}; mkdir {WORK}/files; mount {OTHER} {WORK}/files; echo mine >{WORK}/files/mine.img"
    ));
    let (code, _, said) = install(&format!("--image {WORK}/files/mine.img --size 3G"));
    assert_eq!((code, said.contains("a file of 5 bytes")), (3, true), "{said}");
    assert_eq!(fs::read_to_string(format!("{WORK}/files/mine.img")).unwrap(), "mine\n");
    let (code, said, story) = install(&format!("--image {WORK}/files/new.img --size 3G --vg appliance"));
    assert_eq!(code, 0, "{said}{story}");
    assert_eq!(shell("losetup -a; vgs --noheadings"), "");
    assert!(tool("sfdisk", &["-d", &format!("{WORK}/files/new.img")]).contains("name=\"lvm\""));
    let (code, _, _) =
        install(&format!("--image {WORK}/files/bad.img --size 3G --vg appliance --overlay {WORK}/nothing"));
    assert_eq!((code, Path::new(&format!("{WORK}/files/bad.img")).exists()), (1, false));
    shell(&format!("umount {WORK}/files"));
}
