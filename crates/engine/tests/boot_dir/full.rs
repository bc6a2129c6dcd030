//! Full boot file systems: small real ext4 ones on loop devices. Refused or failed, and nothing is left behind.

use std::fs;
use std::path::{Path, PathBuf};

use thinroot_core::boot::ContentRole;
use thinroot_engine::cmd::Cmd;
use thinroot_engine::error::ErrorKind;

use crate::kit::*;

/// A mounted file system of its own; unmounted when dropped.
struct Small {
    dir: tempfile::TempDir,
}

impl Small {
    fn ext4() -> Small {
        Small::make(2 << 20, |image| Cmd::new("mkfs.ext4").args(["-q", "-O", "^has_journal", "-m", "0"]).arg(image))
    }

    fn make(size: u64, mkfs: impl Fn(&Path) -> Cmd) -> Small {
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("image");
        fs::File::create(&image).unwrap().set_len(size).unwrap();
        mkfs(&image).run().unwrap();
        let small = Small { dir };
        fs::create_dir(small.root()).unwrap();
        Cmd::new("mount").args(["-o", "loop"]).arg(&image).arg(small.root()).run().unwrap();
        small
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("boot")
    }

    /// Fills it up to the last byte.
    fn fill(&self) {
        use std::io::Write;
        let mut file = fs::File::create(self.root().join("ballast")).unwrap();
        for size in [4096, 512, 1] {
            while file.write_all(&vec![b'x'; size]).and_then(|()| file.sync_data()).is_ok() {}
        }
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // A test that failed half way may not have mounted it.
        let _ = Cmd::new("umount").arg(self.root()).run();
    }
}

fn without_ballast(small: &Small) -> std::collections::BTreeMap<PathBuf, Vec<u8>> {
    let mut tree = tree(&small.root());
    tree.remove(Path::new("ballast"));
    tree
}

#[test]
fn a_kernel_that_does_not_fit_is_refused_with_numbers() {
    let small = Small::ext4();
    let boot = prepared(&small.root());
    let before = tree(&small.root());
    let content = vec![7; 4 << 20];
    let file = kernel(&content, ContentRole::Vmlinuz);
    assert!(boot.needed_bytes(std::slice::from_ref(&file)).unwrap() > boot.survey().unwrap().space.free_bytes);
    let error = boot.install_kernel(&mut &content[..], &file).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Refused);
    assert!(error.why.contains("bytes free"), "{error}");
    assert_eq!(tree(&small.root()), before);
}

#[test]
fn on_a_full_file_system_nothing_changes() {
    let small = Small::ext4();
    let boot = prepared(&small.root());
    install(&boot, 2).unwrap();
    small.fill();
    let before = without_ballast(&small);
    let [_, (three, content)] = payload(3);
    for error in [
        boot.install_kernel(&mut &content[..], &three).unwrap_err(),
        boot.write_entry(&entry(2)).unwrap_err(),
        boot.set_selection(&selection().bless(&layer(1)).unwrap()).unwrap_err(),
    ] {
        assert_eq!(error.kind, ErrorKind::Refused, "{error}");
    }
    assert_eq!(without_ballast(&small), before);
    // Removing must work there of all places.
    boot.sweep().unwrap();
    let initrd = payload(2)[1].0.name();
    assert!(!small.root().join(initrd.boot_path().trim_start_matches('/')).exists());
    fs::remove_file(small.root().join("ballast")).unwrap();
    boot.set_selection(&selection().bless(&layer(1)).unwrap()).unwrap();
    assert_foreign_untouched(&small.root());
}

#[test]
fn no_free_inode_is_said_before_anything_is_tried() {
    let small = Small::make(2 << 20, |image| {
        Cmd::new("mkfs.ext4").args(["-q", "-O", "^has_journal", "-m", "0", "-N", "32"]).arg(image)
    });
    let boot = prepared(&small.root());
    for n in 0.. {
        if fs::File::create(small.root().join(format!("x{n}"))).is_err() {
            break;
        }
    }
    let before = tree(&small.root());
    let [_, (file, content)] = payload(2);
    let error = boot.install_kernel(&mut &content[..], &file).unwrap_err();
    assert_eq!((error.kind, error.why.as_str()), (ErrorKind::Refused, "the boot file system has no free inode"));
    assert_eq!(boot.survey().unwrap().space.free_inodes, Some(0));
    assert_eq!(tree(&small.root()), before);
}

#[test]
fn space_that_vanishes_during_the_write_leaves_no_temporary_file() {
    /// Fills the file system while it is being read.
    struct Thief<'a>(&'a Small, &'a [u8], bool);
    impl std::io::Read for Thief<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            if !self.2 {
                self.0.fill();
                self.2 = true;
            }
            self.1.read(buffer)
        }
    }
    let small = Small::ext4();
    let boot = prepared(&small.root());
    let before = without_ballast(&small);
    let content = vec![7; 300_000];
    let file = kernel(&content, ContentRole::Initrd);
    let error = boot.install_kernel(&mut Thief(&small, &content, false), &file).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Failed);
    assert!(error.why.contains("No space left"), "{error}");
    assert_eq!(without_ballast(&small), before);
}
