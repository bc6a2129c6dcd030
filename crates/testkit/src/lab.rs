//! A host with real LVM inside the test kernel: its disks, its images, and the real program run on it.
//!
//! Separate from the simulated world because everything here is asked of the tools an admin has: `lvs`, `find`,
//! `sha256sum`, `e2fsck`, `thin_check`. What thinroot believes of itself is never the oracle.
//!
//! `/dev/ubda` becomes volume group `vg0` with pool `pool`; `/dev/ubdb` becomes `/lab`, which holds the boot directory and
//! images. Both survive a reboot with [`Lab::reopen`].

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use thinroot_engine::cmd::Cmd;

use crate::images;

/// The volume group.
pub const VG: &str = "vg0";
/// Where `/dev/ubdb` is mounted.
pub const LAB: &str = "/lab";
/// Where a volume is mounted to be listed.
const LOOK: &str = "/run/look";
/// A foreign boot entry.
const FOREIGN_ENTRY: &str = "title Other system\nlinux /other/vmlinuz\n";

/// How large the disks of a lab are.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    /// The part of `/dev/ubda` that LVM may use.
    pub disk_mib: u32,
    /// The pool's data.
    pub pool_mib: u32,
    /// The pool's metadata.
    pub metadata_mib: u32,
    /// A boot file system of its own, of this size; else the boot directory is a directory of `/lab`.
    pub boot_mib: Option<u32>,
}

/// The host.
#[derive(Debug)]
pub struct Lab {
    program: PathBuf,
}

/// What a run of the program gave.
#[derive(Debug)]
pub struct Run {
    /// Its exit code; 128 and the number of the signal that ended it.
    pub code: i32,
    /// What it answered.
    pub stdout: String,
    /// What it told.
    pub stderr: String,
}

impl Run {
    fn of(output: std::io::Result<Output>) -> Run {
        let output = output.expect("start the program");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("its output is text");
        let signal = output.status.signal().map(|signal| 128 + signal);
        let code = output.status.code().or(signal).expect("an end");
        Run { code, stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

/// Whether this process runs in the test kernel, where the disks are its own.
pub fn in_test_kernel() -> bool {
    let inside = std::env::var("THINROOT_UML").is_ok_and(|value| value == "1");
    if !inside {
        eprintln!("runs inside the UML bed: cargo xtask test");
    }
    inside
}

/// Runs a tool; a failure is a failure of the test.
pub fn tool(program: &str, args: &[&str]) -> String {
    Cmd::new(program).args(args).run().unwrap_or_else(|error| panic!("{error}"))
}

/// Runs a few tools by the shell: each process costs some 25 ms in the test kernel.
pub fn shell(script: &str) -> String {
    tool("sh", &["-e", "-c", script])
}

impl Lab {
    /// Empties both disks and makes the pool; nothing of thinroot is there yet.
    pub fn new(program: &str, sizes: Sizes) -> Lab {
        let Sizes { disk_mib, pool_mib, metadata_mib, boot_mib } = sizes;
        shell(&format!(
            "umount -l {LAB}/boot {LAB} 2>/dev/null || true
             vgremove -qq -f -y {VG} >/dev/null 2>&1 || true
             wipefs -q -a /dev/ubda /dev/ubdb; mkdir -p {LAB} {LOOK}
             mkfs.ext4 -q -E lazy_itable_init=1,lazy_journal_init=1 /dev/ubdb; mount /dev/ubdb {LAB}; mkdir {LAB}/boot
             pvcreate -qq --setphysicalvolumesize {disk_mib}m -y /dev/ubda; vgcreate -qq {VG} /dev/ubda
             lvcreate -qq -y --type thin-pool -Zn --chunksize 64k -L {pool_mib}m --poolmetadatasize {metadata_mib}m \
                -n pool {VG} >/dev/null"
        ));
        if let Some(mib) = boot_mib {
            shell(&format!("mkfs.ext4 -q {LAB}/boot.img {mib}M; mount -o loop {LAB}/boot.img {LAB}/boot"));
        }
        let entries = Path::new(LAB).join("boot/loader/entries");
        fs::create_dir_all(&entries).expect("a directory");
        fs::write(entries.join("other.conf"), FOREIGN_ENTRY).expect("a foreign entry");
        Lab { program: program.into() }
    }

    /// The same disks after a reboot, activated as a boot does it: as far as possible.
    pub fn reopen(program: &str) -> Lab {
        shell(&format!("mkdir -p {LAB} {LOOK}; mount /dev/ubdb {LAB}; vgchange -qq -ay {VG} || true"));
        Lab { program: program.into() }
    }

    /// A store with base `node-1-0` of image 1, of this size, and its layer, edited by its admin.
    pub fn with_layer(self, size: &str) -> Lab {
        let image = self.image(1, 0);
        for line in ["init", &format!("base add {image} --size {size}"), "layer fork node-1-0"] {
            self.ok(line);
        }
        let script = "echo mine > /etc/local; busybox sed -i s/last=/last=mine/ /etc/conf; busybox rm /etc/unwanted";
        let edited = self.edit("node-1-0+1", script);
        assert_eq!(edited.code, 0, "{edited:?}");
        self
    }

    /// A tiny bootable image `node-VERSION-0` with `bulk_mib` of content that no other version has; as the program is
    /// given it.
    pub fn image(&self, version: u32, bulk_mib: usize) -> String {
        let root = Path::new(LAB).join(format!("tree-{version}"));
        images::bootable_tree(&root, &format!("{version}-0"));
        fs::create_dir_all(root.join("bin")).expect("a directory");
        fs::copy("/bin/busybox", root.join("bin/busybox")).expect("busybox");
        symlink("busybox", root.join("bin/sh")).expect("a link");
        fs::write(root.join("etc/conf"), format!("first={version}\na\nb\nc\nd\nlast=\n")).expect("a file");
        fs::write(root.join("etc/unwanted"), "unwanted\n").expect("a file");
        fs::write(root.join("boot/vmlinuz-6.1.0-9"), format!("kernel of {version}")).expect("a file");
        fs::write(root.join("usr/bulk"), noise(u64::from(version), bulk_mib << 20)).expect("a file");
        let tar = Path::new(LAB).join(format!("node-{version}.tar"));
        images::gnu_tar(&root, &tar, &[]);
        fs::remove_dir_all(&root).expect("remove the tree");
        format!("tar:{}", tar.display())
    }

    /// The program on this host.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(["--store", "lvm:vg0/pool", "--boot-dir"]).arg(Path::new(LAB).join("boot")).args(args);
        command
    }

    /// Runs the program; the line is split at spaces.
    pub fn run(&self, line: &str) -> Run {
        Run::of(self.command(&line.split_whitespace().collect::<Vec<_>>()).output())
    }

    /// Runs the program with a fault wish.
    pub fn run_with_fault(&self, line: &str, fault: &str) -> Run {
        let mut command = self.command(&line.split_whitespace().collect::<Vec<_>>());
        Run::of(command.env("THINROOT_FAULT", fault).output())
    }

    /// Runs the program, which must end with 0.
    pub fn ok(&self, line: &str) -> Run {
        let run = self.run(line);
        assert_eq!(run.code, 0, "{line}: {run:?}");
        run
    }

    /// The one object a run prints with `--json`, and its exit code.
    pub fn json(&self, line: &str) -> (i32, Value) {
        let run = self.run(&format!("--json {line}"));
        let object = serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{line}: {error}: {run:?}"));
        (run.code, object)
    }

    /// Edits a layer as its admin does.
    pub fn edit(&self, layer: &str, script: &str) -> Run {
        Run::of(self.command(&["layer", "shell", layer, "--", "/bin/sh", "-e", "-c", script]).output())
    }

    /// Every base and layer that is ready, by LVM's own tags.
    pub fn volumes(&self) -> Vec<String> {
        let rows = tool("lvs", &["--noheadings", "--separator", " ", "-o", "lv_name,lv_tags", VG]);
        let ready = rows.lines().filter_map(|row| row.trim().split_once(' ')).filter(|(_, tags)| {
            let ours = tags.contains("thinroot:base") || tags.contains("thinroot:layer");
            ours && !tags.contains("thinroot:staging")
        });
        ready.map(|(name, _)| name.to_string()).collect()
    }

    /// Everything in a volume but times: type, mode, owner, target, and the digest of each file.
    pub fn listing(&self, volume: &str) -> String {
        self.listings(&[volume.to_string()])
    }

    /// One activation for all: what LVM does is what takes the time here.
    fn listings(&self, volumes: &[String]) -> String {
        shell(&format!(
            "vgchange -qq -ay -K {VG}
             for volume in {}; do
                 echo \"== $volume\"; mount -o ro /dev/{VG}/$volume {LOOK}; cd {LOOK}
                 find . -path ./lost+found -prune -o -printf '%p %y %m %U:%G %l\\n' | LC_ALL=C sort
                 find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum
                 cd /; umount {LOOK}
             done",
            volumes.join(" ")
        ))
    }

    /// The boot directory: every file and its digest.
    pub fn boot_listing(&self) -> String {
        shell(&format!("cd {LAB}/boot; find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum"))
    }

    /// All that matters of this host: the listing of every volume and of the boot directory.
    pub fn state(&self) -> String {
        format!("{}== boot\n{}", self.listings(&self.volumes()), self.boot_listing())
    }

    /// Used bytes of the pool's data, as the kernel counts them.
    pub fn pool_used_bytes(&self) -> u64 {
        let status = tool("dmsetup", &["status", "vg0-pool-tpool"]);
        let field = status.split_whitespace().nth(5).expect("a pool's status");
        let used: u64 = field.split('/').next().and_then(|used| used.parse().ok()).expect("a number");
        used * (64 << 10)
    }

    /// `check` finds no broken rule; what it has to note is returned.
    pub fn check(&self) -> Vec<String> {
        let (code, found) = self.json("check");
        let texts = |key: &str| -> Vec<String> {
            let list = found[key].as_array().expect("a list");
            list.iter().map(|text| text.as_str().expect("a text").to_string()).collect()
        };
        assert_eq!(texts("violations"), Vec::<String>::new(), "{found}");
        assert_eq!(code, if texts("findings").is_empty() { 0 } else { 4 }, "{found}");
        texts("findings")
    }

    /// What independent tools say: nothing half made is left, LVM and the kernel count alike, the pool's metadata and
    /// every file system of ours are clean, nothing foreign has changed.
    pub fn assert_sound(&self) {
        assert_eq!(self.check(), Vec::<String>::new());
        let tags = tool("lvs", &["--noheadings", "-o", "lv_name,lv_tags", VG]);
        for word in ["thinroot:staging", "thinroot:frozen", "thinroot:unfinished"] {
            assert!(!tags.contains(word), "{tags}");
        }
        let lvm = tool("lvs", &["--noheadings", "-o", "transaction_id", "vg0/pool"]);
        let kernel = tool("dmsetup", &["status", "vg0-pool-tpool"]);
        assert_eq!(kernel.split_whitespace().nth(3), Some(lvm.trim()), "the counts of LVM and the kernel");
        shell(&format!(
            "vgchange -qq -ay -K {VG}
             for lv in $(lvs --noheadings -o lv_name -S 'lv_tags=~\"thinroot:fs=ext4\"' {VG}); do
                 e2fsck -fn /dev/{VG}/$lv
             done
             vgchange -qq -an {VG}; lvchange -qq -y -ay {VG}/pool_tmeta; thin_check /dev/{VG}/pool_tmeta
             lvchange -qq -an {VG}/pool_tmeta; vgchange -qq -ay {VG}"
        ));
        let entry = fs::read_to_string(Path::new(LAB).join("boot/loader/entries/other.conf"));
        assert_eq!(entry.expect("the foreign entry"), FOREIGN_ENTRY);
    }
}

/// Bytes that nothing shares or compresses; the same for the same seed.
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}
