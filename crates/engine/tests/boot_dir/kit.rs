//! A boot directory with foreign entries in it, and entries of ours to put there.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use thinroot_core::boot::{ContentRole, EntryFile, KernelVersion, NewEntry, Selection};
use thinroot_core::manifest::Digest;
use thinroot_core::name::LayerName;
use thinroot_engine::boot::{BootDir, KernelFile};

pub const FOREIGN: [(&str, &str); 3] = [
    (
        "6a9857a393724b7a981ebb5b8495b9ea-6.8.5-301.fc40.x86_64.conf",
        "title Fedora Linux (6.8.5-301.fc40.x86_64) 40\n# hand made\nlinux /vmlinuz-6.8.5\ninitrd /initramfs-6.8.5.img \
         $tuned_initrd\noptions root=/dev/mapper/fedora-root ro\noptions quiet\ngrub_class fedora\n",
    ),
    ("arch.conf", "title\tArch\r\nlinux /vmlinuz-linux\r\noptions rw"),
    ("windows.conf", "title Windows\nefi /EFI/Microsoft/Boot/bootmgfw.efi\nx-unknown 1\n"),
];

pub fn layer(number: u32) -> LayerName {
    format!("node-{number}-0+1").parse().unwrap()
}

pub fn kernel(content: &[u8], role: ContentRole) -> KernelFile {
    KernelFile { role, digest: Digest(Sha256::digest(content).into()), size_bytes: content.len() as u64 }
}

/// A layer's kernel (shared by all) and initrd (its own), with the content.
pub fn payload(number: u32) -> [(KernelFile, Vec<u8>); 2] {
    let vmlinuz = vec![0x4d; 5000];
    let initrd = format!("initrd {number} ").repeat(700).into_bytes();
    [(kernel(&vmlinuz, ContentRole::Vmlinuz), vmlinuz.clone()), (kernel(&initrd, ContentRole::Initrd), initrd.clone())]
}

pub fn entry(number: u32) -> EntryFile {
    let [(vmlinuz, _), (initrd, _)] = payload(number);
    NewEntry {
        layer: layer(number),
        kernel: KernelVersion::parse("6.1.0-50-amd64").unwrap(),
        title: format!("Node {number}"),
        machine_id: None,
        linux: vmlinuz.name(),
        initrd: vec![initrd.name()],
        options: format!("root=/dev/vg/x rw thinroot.layer={}", layer(number)),
    }
    .build()
    .unwrap()
}

pub fn selection() -> Selection {
    Selection::default().adopt(&layer(1)).unwrap()
}

pub fn install(boot: &BootDir, number: u32) -> thinroot_engine::error::Result<()> {
    for (file, content) in payload(number) {
        boot.install_kernel(&mut &content[..], &file)?;
    }
    Ok(())
}

/// Foreign entries, layer 1 as default.
pub fn prepared(path: &Path) -> BootDir {
    fs::create_dir_all(path.join("loader/entries")).unwrap();
    for (name, text) in FOREIGN {
        fs::write(path.join("loader/entries").join(name), text).unwrap();
    }
    let boot = BootDir::open(path).unwrap();
    install(&boot, 1).unwrap();
    boot.write_entry(&entry(1)).unwrap();
    boot.set_selection(&selection()).unwrap();
    boot
}

pub fn assert_foreign_untouched(path: &Path) {
    for (name, text) in FOREIGN {
        assert_eq!(fs::read_to_string(path.join("loader/entries").join(name)).unwrap(), text, "{name}");
    }
}

/// Every file with its content.
pub fn tree(path: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut todo = vec![path.to_path_buf()];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let at = entry.unwrap().path();
            if at.is_dir() {
                todo.push(at);
            } else {
                found.insert(at.strip_prefix(path).unwrap().to_path_buf(), fs::read(&at).unwrap());
            }
        }
    }
    found
}
