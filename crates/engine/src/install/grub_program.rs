//! GRUB's own program: made by `grub-mkimage` from the modules of this machine and put where firmware finds it.
//!
//! Not `grub-install`: it probes devices by names that it must know and that loop devices, images and some virtual disks do
//! not have, and on failure leaves a disk half done. What is left to do is documented: on a machine with BIOS the first
//! sector loads the first sector of the core, which loads the rest; both need to be told where (GNU GRUB, "BIOS
//! installation"; `boot.img` and `diskboot.img`).

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use thinroot_core::install::Partition;

use super::file_name;
use super::firmware::Names;
use crate::cmd::Cmd;
use crate::durable;
use crate::error::{Error, IoContext, Result};
use crate::mounts::Scratch;

/// In the program itself, so that it finds its configuration and ours without reading anything else.
const MODULES: [&str; 20] = [
    "part_gpt",
    "ext2",
    "fat",
    "normal",
    "configfile",
    "linux",
    "loadenv",
    "test",
    "echo",
    "search",
    "search_fs_uuid",
    "regexp",
    "minicmd",
    "ls",
    "cat",
    "reboot",
    "halt",
    "serial",
    "terminal",
    "sleep",
];
const SECTOR_BYTES: u64 = 512;
/// Where in `boot.img` the number of the core's first sector is.
const CORE_SECTOR_AT: usize = 0x5c;
/// A jump in `boot.img` that is taken out where the disk's number that the BIOS gives can be trusted: hard disks.
const DRIVE_CHECK_AT: usize = 0x66;
/// Where in the core's first sector the list of its other sectors ends.
const BLOCK_LIST_AT: usize = 0x1f4;
/// Where in memory the core's second sector goes, as a segment.
const CORE_SEGMENT: u16 = 0x820;
/// The first sector up to its partition table.
const BOOT_CODE_BYTES: usize = 440;

fn modules_dir(format: &str) -> PathBuf {
    Path::new("/usr/lib/grub").join(format)
}

/// Debian's name of the tool, and that of Fedora and SUSE.
fn tool() -> Option<&'static str> {
    let there = |name: &&str| ["/usr/bin", "/usr/sbin"].iter().any(|dir| Path::new(dir).join(name).exists());
    ["grub-mkimage", "grub2-mkimage"].into_iter().find(|name| there(name))
}

/// What of GRUB is not on this machine, and the package that has it.
pub(super) fn missing(names: Names) -> Option<(String, &'static str)> {
    if tool().is_none() {
        return Some(("grub-mkimage".into(), "grub-common (Debian), grub2-tools (Fedora)"));
    }
    let efi = (names.grub_efi, "grub-efi-amd64-bin or grub-efi-arm64-bin (Debian), grub2-efi-x64-modules (Fedora)");
    let bios = names.grub_bios.map(|format| (format, "grub-pc-bin (Debian), grub2-pc-modules (Fedora)"));
    let there = |format: &str| modules_dir(format).join("normal.mod").is_file();
    let gone = std::iter::once(efi).chain(bios).find(|(format, _)| !there(format));
    gone.map(|(format, package)| (modules_dir(format).display().to_string(), package))
}

fn make(format: &str, prefix: &str, more: &[&str], config: Option<&str>) -> Result<Vec<u8>> {
    let scratch = Scratch::new("grub")?;
    let out = scratch.path().join("core");
    let tool = tool().ok_or_else(|| Error::failed("make GRUB", "grub-mkimage is not on this machine"))?;
    let mut cmd =
        Cmd::new(tool).args(["-O", format, "-d"]).arg(modules_dir(format)).arg("-o").arg(&out).args(["-p", prefix]);
    if let Some(config) = config {
        let early = scratch.path().join("early.cfg");
        fs::write(&early, config).at("write", &early)?;
        cmd = cmd.arg("-c").arg(&early);
    }
    cmd.args(MODULES).args(more).run()?;
    fs::read(&out).at("read", &out)
}

/// The program for UEFI. Its configuration is on the disk that it was started from, also where another disk has a file
/// system with the same UUID, as copies of disks do; on any disk only where firmware does not say which it was.
pub(super) fn efi(format: &str, boot_partition: u32, boot_uuid: &str) -> Result<Vec<u8>> {
    let config = format!(
        "regexp --set=1:thinroot_disk '^\\(([^,)]*)' \"$cmdpath\"\n\
         set root=\"$thinroot_disk,gpt{boot_partition}\"\n\
         if [ ! -f \"($root)/grub/grub.cfg\" ]; then search --no-floppy --fs-uuid --set=root {boot_uuid}; fi\n\
         set prefix=\"($root)/grub\"\n"
    );
    make(format, "/EFI/BOOT", &[], Some(&config))
}

/// Puts the program for BIOS into its partition, and the first sector before it. The partition table in that sector stays.
pub(super) fn embed(format: &str, disk: &Path, partition: &Partition, boot_partition: u32) -> Result<()> {
    // No disk is named: it is the one that the BIOS started.
    let mut core = make(format, &format!("(,gpt{boot_partition})/grub"), &["biosdisk"], None)?;
    let path = modules_dir(format).join("boot.img");
    let mut boot = fs::read(&path).at("read", &path)?;
    let first = partition.start_bytes / SECTOR_BYTES;
    let attempted = format!("put GRUB on {}", disk.display());
    if core.len() as u64 > partition.size_bytes || boot.len() != SECTOR_BYTES as usize || core.len() < 1024 {
        let why = format!("its parts have {} and {} bytes, which do not fit", boot.len(), core.len());
        return Err(Error::failed(attempted, why));
    }
    core.resize(core.len().next_multiple_of(SECTOR_BYTES as usize), 0);
    let rest =
        u16::try_from(core.len() as u64 / SECTOR_BYTES - 1).map_err(|_| Error::failed(attempted, "it is too long"))?;
    boot[CORE_SECTOR_AT..CORE_SECTOR_AT + 8].copy_from_slice(&first.to_le_bytes());
    boot[DRIVE_CHECK_AT..DRIVE_CHECK_AT + 2].copy_from_slice(&[0x90, 0x90]);
    let list = [&(first + 1).to_le_bytes()[..], &rest.to_le_bytes(), &CORE_SEGMENT.to_le_bytes()].concat();
    core[BLOCK_LIST_AT..BLOCK_LIST_AT + list.len()].copy_from_slice(&list);
    let file = fs::OpenOptions::new().write(true).open(disk).at("open", disk)?;
    file.write_all_at(&core, partition.start_bytes).at("write", disk)?;
    file.sync_all().at("fsync", disk)?;
    file.write_all_at(&boot[..BOOT_CODE_BYTES], 0).at("write", disk)?;
    file.sync_all().at("fsync", disk)
}

/// The modules, for commands that a configuration or a person asks for.
pub(super) fn copy_modules(format: &str, boot: &Path) -> Result<()> {
    let (from, to) = (modules_dir(format), boot.join("grub").join(format));
    durable::create_dir_all(&to)?;
    for entry in fs::read_dir(&from).at("list", &from)? {
        let path = entry.at("list", &from)?.path();
        if path.extension().is_some_and(|ending| ending == "mod" || ending == "lst") {
            let target = to.join(file_name(&path));
            fs::copy(&path, &target).at("copy to", &target)?;
        }
    }
    rustix::fs::syncfs(fs::File::open(boot).at("open", boot)?).at("sync", boot)
}
