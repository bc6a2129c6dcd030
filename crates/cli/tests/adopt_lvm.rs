//! Goal: `init` takes over a host laid out by imgbased without moving anything of it, `init --undo` gives it back to the
//! byte, and a root that cannot be adopted is refused with what would make it so.
//!
//! Runs inside the test kernel only. The host is a mounted thin volume that the program sees as its root; what it needs of
//! programs is shown there from the test machine. A whole Debian is adopted on real firmware by `cargo xtask vm adopt`.

use std::fs;
use std::path::Path;

use thinroot_testkit::lab::{in_test_kernel, shell};

const PROGRAM: &str = env!("CARGO_BIN_EXE_thinroot");
const WORK: &str = "/run/adopt";

/// A volume with the tree of a small system; `$1` its name, `$2` its release, `$3` what its application is set to.
const SYSTEM: &str = r#"
system() {
    mkfs.ext4 -q -O metadata_csum,^metadata_csum_seed /dev/vg0/$1
    mount /dev/vg0/$1 /mnt
    mkdir -p /mnt/usr/bin /mnt/usr/lib/modules/6.1 /mnt/usr/share/factory/etc /mnt/usr/share/factory/var/lib/app
    for dir in etc var/lib/app root proc sys dev run tmp boot home; do mkdir -p /mnt/$dir; done
    for dir in bin sbin lib lib64; do ln -s usr/$dir /mnt/$dir; done
    cp /bin/true /mnt/usr/bin/true
    echo kernel/drivers/md/dm-thin-pool.ko >/mnt/usr/lib/modules/6.1/modules.builtin
    printf 'ID=node\nVERSION_ID=%s\nPRETTY_NAME="Node %s"\n' $2 $2 >/mnt/usr/lib/os-release
    ln -s ../usr/lib/os-release /mnt/usr/share/factory/etc/os-release
    echo "level = $3" >/mnt/usr/share/factory/etc/app.conf
    echo shipped >/mnt/usr/share/factory/etc/gone.conf
    echo shipped >/mnt/usr/share/factory/var/lib/app/data
    cp -a /mnt/usr/share/factory/etc/. /mnt/etc/
    cp -a /mnt/usr/share/factory/var/. /mnt/var/
    printf 'root:x:0:0::/root:/bin/sh\n' >/mnt/etc/passwd
    printf 'root:x:0:\n' >/mnt/etc/group
    umount /mnt
}
"#;

/// What runs: two images, a layer each, as imgbased names and tags them; the installed volume and its data beside them.
fn imgbased() {
    shell(&format!(
        "{SYSTEM}
         mkdir -p {WORK}/boot {WORK}/root
         pvcreate -qq -ff -y /dev/ubda; vgcreate -qq vg0 /dev/ubda; vgchange -qq --addtag imgbased:vg vg0
         lvcreate -qq -Zn -L 700m --poolmetadatasize 16m -T vg0/pool; lvchange -qq --addtag imgbased:pool vg0/pool
         lvcreate -qq -V 200m -T vg0/pool -n root --addtag imgbased:init
         for release in 1 2; do
             name=node-4.4-$release
             lvcreate -qq -V 300m -T vg0/pool -n $name
             system $name 4.4 $release
             tag=base; [ $release = 2 ] || tag=layer
             lvcreate -qq -s -kn -n $name+1 vg0/$name; lvchange -qq --addtag imgbased:layer vg0/$name+1
             lvchange -qq -an vg0/$name; lvchange -qq --addtag imgbased:$tag -pr -ky vg0/$name
         done
         mkfs.ext4 -q -F /dev/ubdb; mount /dev/ubdb {WORK}/boot
         mkdir -p {WORK}/boot/grub2 {WORK}/boot/loader/entries
         printf 'source $config_directory/custom.cfg\\n' >{WORK}/boot/grub2/grub.cfg
         for release in 1 2; do
             dir={WORK}/boot/node-4.4-$release+1; mkdir $dir
             echo kernel of $release >$dir/vmlinuz-6.1; echo initrd of $release >$dir/initramfs-6.1.img
             printf 'title node-4.4-%s\\nlinux /node-4.4-%s+1/vmlinuz-6.1\\noptions img.bootid=node-4.4-%s+1\\n' \
                 $release $release $release >{WORK}/boot/loader/entries/node-4.4-$release+1.conf
         done
         mount /dev/vg0/node-4.4-2+1 {WORK}/root
         echo level = admin >{WORK}/root/etc/app.conf; rm {WORK}/root/etc/gone.conf; echo mine >{WORK}/root/etc/mine.conf
         sync"
    ));
}

fn cleared() {
    shell(&format!(
        "umount -R {WORK}/root 2>/dev/null || true; umount {WORK}/boot 2>/dev/null || true
         vgchange -qq -an vg0 2>/dev/null || true; vgremove -qq -ff -y vg0 2>/dev/null || true; rm -rf {WORK}
         wipefs -qa /dev/ubda /dev/ubdb"
    ));
}

/// Runs the program with the mounted volume as its root; exit code and all that it said.
fn inside(args: &str) -> (i32, String) {
    let script = format!(
        "for dir in dev proc sys run usr tmp; do mount --rbind /$dir {WORK}/root/$dir; done
         mount --bind {WORK}/boot {WORK}/root/boot
         mkdir -p /run/etc-lvm; cp -a /etc/lvm/. /run/etc-lvm/
         set +e; LVM_SYSTEM_DIR=/run/etc-lvm chroot {WORK}/root /run/adopt/thinroot {args} 2>&1; echo \"exit code $?\""
    );
    let said = shell(&format!("cp {PROGRAM} {WORK}/thinroot; unshare -m sh -ec '{}'", script.replace('\'', "'\\''")));
    let (said, code) = said.trim_end().rsplit_once("exit code ").unwrap();
    (code.parse().unwrap(), said.to_string())
}

fn volumes() -> String {
    shell(
        "lvs --noheadings --separator , -o lv_name,lv_uuid,lv_tags,lv_size,lv_permissions,lv_skip_activation,lv_when_full,origin vg0 | sort",
    )
}

fn boot_files() -> String {
    shell(&format!("cd {WORK}/boot; find . -type f | sort | xargs sha256sum"))
}

#[test]
fn a_host_of_imgbased_is_taken_over_and_given_back() {
    if !in_test_kernel() {
        return;
    }
    cleared();
    imgbased();
    let (lvs, files) = (volumes(), boot_files());
    let (code, plan) = inside("-q init --plan --kernel 6.1");
    assert_eq!(code, 0, "{plan}");
    for words in [
        "vg0/node-4.4-2+1 in the thin pool pool",
        "node-4.4-1+1 is vg0/node-4.4-1+1; it boots node-4.4-1+1/vmlinuz-6.1",
        "take base node-4.4-2 as a snapshot of node-4.4-2",
        "make node-4.4-2+1 the default",
    ] {
        assert!(plan.contains(words), "{words:?} is not in {plan}");
    }
    assert_eq!((volumes(), boot_files()), (lvs.clone(), files.clone()), "a plan touches nothing");
    let (code, said) = inside("-q init --kernel 6.1 --as other-1-0");
    assert!(code == 3 && said.contains("imgbased calls its root node-4.4-2+1"), "{code}: {said}");

    let (code, said) = inside("-q init --kernel 6.1");
    assert!([0, 4].contains(&code), "{code}: {said}");
    assert!(said.contains("vg0/node-4.4-2+1 is layer node-4.4-2+1: this host runs it"), "{said}");
    let (code, status) = inside("--json status");
    assert!([0, 4].contains(&code), "{status}");
    let line = status.lines().find(|line| line.starts_with("{\"thinroot_status\"")).expect("a status");
    let status: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!((&status["booted"], &status["default"]), (&"node-4.4-2+1".into(), &"node-4.4-2+1".into()));
    assert_eq!(status["next"], "node-4.4-2+1");
    let layers: Vec<&str> = status["layers"].as_array().unwrap().iter().filter_map(|l| l["name"].as_str()).collect();
    assert_eq!(layers, ["node-4.4-1+1", "node-4.4-2+1"]);
    let (code, said) = inside("-q check");
    assert!([0, 4].contains(&code), "{said}");
    let (_, diff) = inside("-q state diff /etc /var");
    for words in ["/etc/app.conf", "/etc/gone.conf", "/etc/mine.conf"] {
        assert!(diff.contains(words), "{words} is not in {diff}");
    }
    assert!(!diff.contains("/var/lib/app"), "{diff}");
    // Theirs are as they were, and the base of ours has what was shipped.
    let now = volumes();
    for line in lvs.lines().filter(|line| !line.contains("+1,") && !line.contains("pool,")) {
        assert!(now.contains(line), "{line} is not in {now}");
    }
    shell("lvchange -qq -ay -K vg0/node-4.4-2.base; mount -o ro,noload /dev/vg0/node-4.4-2.base /mnt");
    assert_eq!(fs::read_to_string("/mnt/etc/app.conf").unwrap(), "level = 2\n");
    assert_eq!(fs::read_to_string("/mnt/boot/vmlinuz-6.1").unwrap(), "kernel of 2\n");
    assert!(!Path::new("/mnt/etc/mine.conf").exists() && Path::new("/mnt/etc/gone.conf").exists());
    shell("umount /mnt; lvchange -qq -an vg0/node-4.4-2.base");
    let (code, said) = inside("-q init --kernel 6.1");
    assert!(code == 3 && said.contains("it runs node-4.4-2+1 already"), "{code}: {said}");

    let (code, said) = inside("-q init --undo");
    assert!([0, 4].contains(&code), "{code}: {said}");
    assert_eq!((volumes(), boot_files()), (lvs, files));
    cleared();
}

#[test]
fn what_cannot_be_adopted_is_refused_with_what_would_make_it_so() {
    if !in_test_kernel() {
        return;
    }
    cleared();
    imgbased();
    let refused = |args: &str, words: &str| {
        let (lvs, files) = (volumes(), boot_files());
        let (code, said) = inside(args);
        assert_eq!((code, said.contains(words)), (3, true), "{args}: {said}");
        assert_eq!((volumes(), boot_files()), (lvs, files), "{args}");
    };
    refused("-q init --kernel 9.9", "has no kernel of the version 9.9");
    refused("-q init --kernel 6.1 --loader systemd-boot", "neither GRUB's grub.cfg nor systemd-boot");
    shell(&format!("echo menu >{WORK}/boot/grub2/grub.cfg"));
    refused("-q init --kernel 6.1", "does not read custom.cfg");
    shell(&format!(
        "umount {WORK}/root; lvcreate -qq -L 64m -n plain vg0; mkfs.ext4 -q /dev/vg0/plain; mount /dev/vg0/plain {WORK}/root
         for dir in dev proc sys run usr tmp boot; do mkdir {WORK}/root/$dir; done
         for dir in bin sbin lib lib64; do ln -s usr/$dir {WORK}/root/$dir; done"
    ));
    refused("-q init --kernel 6.1", "its root vg0/plain is a logical volume, but no thin one");
    cleared();
}
