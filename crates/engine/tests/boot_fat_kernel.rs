//! On FAT, as on an EFI system partition, nothing is on the disk that was not synced: also the size of a file that was
//! renamed, which stands in its directory and not in the file. A machine with systemd-boot came up with empty entries.
//!
//! Runs inside the test kernel only: not every machine's own has FAT.

#[allow(dead_code, reason = "shared with the other tests of the boot directory")]
#[path = "boot_dir/kit.rs"]
mod kit;

use std::fs;
use std::path::Path;

use kit::*;
use thinroot_engine::boot::{BootDir, LoaderKind};
use thinroot_testkit::lab::{in_test_kernel, shell};

#[test]
fn what_was_written_is_whole_after_a_power_cut() {
    if !in_test_kernel() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    for name in ["boot", "cut"] {
        fs::create_dir(at(name)).unwrap();
    }
    let here = dir.path().display();
    shell(&format!("cd {here}; truncate -s 48M image; mkfs.vfat -F 32 image >/dev/null; mount -o loop image boot"));
    // Beneath the loop device is what has reached the disk by now.
    let assert_on_disk = |what: &str| {
        shell(&format!("cd {here}; cp image copy; mount -o loop,ro copy cut"));
        let (there, now) = (tree(&at("cut")), tree(&at("boot")));
        shell(&format!("umount {here}/cut"));
        let broken: Vec<&Path> = now
            .iter()
            .filter(|(path, content)| there.get(*path) != Some(content))
            .map(|(path, _)| path.as_path())
            .collect();
        assert_eq!((broken, there.len()), (vec![], now.len()), "{what}");
    };
    let boot = BootDir::open(&at("boot")).unwrap();
    boot.take_over(LoaderKind::SystemdBoot, "").unwrap();
    assert_on_disk("taken over");
    for number in [1, 2] {
        install(&boot, number).unwrap();
        assert_on_disk("kernels");
        boot.write_entry(&entry(number)).unwrap();
        assert_on_disk("entry");
    }
    boot.set_selection(&selection()).unwrap();
    assert_on_disk("default");
    let armed = selection().arm(&layer(2), 3).unwrap();
    boot.set_selection(&armed).unwrap();
    assert_on_disk("armed");
    boot.set_selection(&armed.bless(&layer(2)).unwrap()).unwrap();
    assert_on_disk("blessed");
    boot.remove_entry(&layer(1)).unwrap();
    boot.sweep().unwrap();
    assert_on_disk("removed");
    shell(&format!("umount {here}/boot"));
}
