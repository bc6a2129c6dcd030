//! A whole simulated host for the crash suite: store, boot directory, records, two images and an admin's changes.
//!
//! Everything in it is small, so that a test can make a new one for each fault point.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use thinroot_core::image::Arch;
use thinroot_core::name::LayerName;
use thinroot_engine::boot::{BootDir, LoaderKind};
use thinroot_engine::host::{ForkRequest, Host, Parts, UpdateOptions};
use thinroot_engine::progress::Silent;
use thinroot_engine::records::Records;
use thinroot_engine::source::{Image, OpenOptions};
use thinroot_engine::store::{Access, Store};

use crate::scratch::in_memory;
use crate::sim::SimStore;

/// The simulated host. What is in it survives [`World::power_cycle`] as far as it was durable.
#[derive(Debug)]
pub struct World {
    scratch: tempfile::TempDir,
    /// Its store.
    pub store: SimStore,
}

/// Options of a plain update.
pub fn plain_update() -> UpdateOptions {
    UpdateOptions {
        from: None,
        size_bytes: None,
        fs: None,
        arm: thinroot_core::plan::update::Arm::Next,
        downgrade: thinroot_core::plan::update::Downgrade::Refuse,
        failed: thinroot_core::plan::update::Failed::Refuse,
    }
}

impl World {
    /// A host that runs `node-1-0+1` with changes of its admin.
    pub fn new() -> World {
        let world = World { scratch: in_memory("thinroot-world-"), store: SimStore::new() };
        for dir in ["boot/loader/entries", "records"] {
            fs::create_dir_all(world.path(dir)).expect("a directory");
        }
        fs::write(world.path("boot/loader/entries/other.conf"), "title Other system\nlinux /other\n")
            .expect("an entry");
        for version in 1..=3 {
            write_image(&world.path(&format!("image-{version}")), version);
        }
        let host = world.host();
        let change = host.change().expect("the lock");
        change.add_base(&mut world.image(1), &plain_update(), &Silent).expect("base 1");
        change.fork(&ForkRequest { origin: "node-1-0".parse().expect("a name") }, &Silent).expect("layer 1");
        world.edit("node-1-0+1", change_as_admin);
        world
    }

    /// A host that was installed by other means, of image 1 with the same changes of its admin, which nothing of ours knows.
    pub fn foreign() -> World {
        let world = World { scratch: in_memory("thinroot-world-"), store: SimStore::new() };
        for dir in ["boot/loader/entries", "boot/grub", "records"] {
            fs::create_dir_all(world.path(dir)).expect("a directory");
        }
        let files = [
            ("boot/loader/entries/other.conf", "title Other system\nlinux /other\n"),
            ("boot/grub/grub.cfg", "source ${config_directory}/custom.cfg\n"),
            ("boot/grub/custom.cfg", "set timeout=9\n"),
            ("boot/vmlinuz-6.1", "kernel 6.1"),
            ("boot/initrd.img-6.1", "initrd 6.1"),
        ];
        for (name, text) in files {
            fs::write(world.path(name), text).expect("a file");
        }
        for version in 1..=2 {
            write_image(&world.path(&format!("image-{version}")), version);
        }
        write_image(&world.path("root"), 1);
        change_as_admin(&world.path("root"));
        world.store.add_foreign("root", &world.path("root"));
        world
    }

    /// The host as it is found at a start.
    pub fn host(&self) -> Host {
        Host::new(Parts {
            store: Box::new(self.store.clone()),
            boot: BootDir::open(&self.path("boot")).expect("the boot directory"),
            records: Records::open(&self.path("records")).expect("the records"),
            records_mount: None,
            booted: None,
            lock_path: self.path("lock"),
        })
    }

    /// Puts a boot loader below its boot directory.
    pub fn take_over(&self, kind: LoaderKind) {
        let boot = BootDir::open(&self.path("boot")).expect("the boot directory");
        boot.take_over(kind, "").expect("a loader");
    }

    /// Image 1, 2 or 3, read afresh.
    pub fn image(&self, version: u32) -> Image {
        let reference = format!("dir:{}", self.path(&format!("image-{version}")).display());
        let options = OpenOptions { identity: None, arch: Arch::X86_64 };
        Image::open(&reference.parse().expect("a reference"), &options, &Silent).expect("an image")
    }

    /// Plans and carries out the update to an image.
    pub fn update(&self, version: u32) -> thinroot_engine::error::Result<thinroot_engine::execute::Report> {
        let host = self.host();
        let change = host.change()?;
        let mut image = self.image(version);
        let preview = host.preview(&mut image, &plain_update(), &Silent)?;
        match preview.planned {
            thinroot_core::plan::update::Planned::Plan(plan) => change.update(plan, &mut image, &Silent),
            thinroot_core::plan::update::Planned::Nothing(why) => panic!("nothing to do: {why}"),
        }
    }

    /// Edits a layer as its admin would.
    pub fn edit(&self, layer: &str, edit: impl FnOnce(&Path)) {
        let name: LayerName = layer.parse().expect("a layer name");
        let mounted = self.store.mount(&name.volume(), Access::WriteLayer).expect("a mount");
        edit(mounted.path());
        mounted.finish().expect("a durable edit");
    }

    /// Power gone and back.
    pub fn power_cycle(&self) {
        thinroot_engine::fault::disarm();
        self.store.power_cycle();
    }

    /// Where something of this host lies.
    pub fn path(&self, below: &str) -> PathBuf {
        self.scratch.path().join(below)
    }

    /// Every file below the boot directory with its content, for comparing whole states.
    pub fn boot_files(&self) -> Vec<(String, Vec<u8>)> {
        let root = self.path("boot");
        let mut files = Vec::new();
        let mut dirs = vec![root.clone()];
        while let Some(dir) = dirs.pop() {
            for entry in fs::read_dir(&dir).expect("a directory") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    dirs.push(path);
                } else {
                    let name = path.strip_prefix(&root).expect("below").display().to_string();
                    files.push((name, fs::read(&path).expect("a file")));
                }
            }
        }
        files.sort();
        files
    }
}

impl Default for World {
    fn default() -> Self {
        World::new()
    }
}

fn change_as_admin(root: &Path) {
    fs::write(root.join("etc/app.conf"), "colour = red\nsize = 9\n").expect("edit");
    fs::write(root.join("etc/mine.conf"), "mine\n").expect("add");
    fs::write(root.join("root/notes"), "remember\n").expect("add");
    fs::remove_file(root.join("etc/unwanted.conf")).expect("delete");
    fs::set_permissions(root.join("etc/secret.conf"), fs::Permissions::from_mode(0o600)).expect("chmod");
}

/// A tree that passes for an image: version 2 changes files and the kernel, version 3 only a file.
fn write_image(root: &Path, version: u32) {
    let kernel = if version == 1 { "6.1" } else { "6.2" };
    let mut program = b"\x7fELF\x02\x01\x01".to_vec();
    program.resize(16, 0);
    // e_type EXEC, e_machine x86-64.
    program.extend([2, 0, 62, 0]);
    program.resize(5000, version as u8);
    let app = format!("# version {version}\ncolour = blue\nsize = {}\n", version * 10);
    let files: [(String, Vec<u8>); 10] = [
        ("etc/os-release".into(), format!("IMAGE_ID=node\nIMAGE_VERSION={version}-0\nPRETTY_NAME=Node\n").into()),
        ("etc/passwd".into(), b"root:x:0:0::/root:/bin/sh\n".to_vec()),
        ("etc/group".into(), b"root:x:0:\n".to_vec()),
        ("etc/app.conf".into(), app.into()),
        ("etc/secret.conf".into(), format!("secret {version}\n").into()),
        ("etc/unwanted.conf".into(), b"unwanted\n".to_vec()),
        ("usr/bin/program".into(), program),
        (format!("usr/lib/modules/{kernel}/module.ko"), vec![version as u8; 9000]),
        (format!("boot/vmlinuz-{kernel}"), format!("kernel {kernel}").into()),
        (format!("boot/initrd.img-{kernel}"), format!("initrd {kernel}").into()),
    ];
    for (name, content) in files {
        let path = root.join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(path, content).expect("a file");
    }
    for dir in ["root", "proc", "sys", "dev", "run", "tmp", "usr/local"] {
        fs::create_dir_all(root.join(dir)).expect("a directory");
    }
}
