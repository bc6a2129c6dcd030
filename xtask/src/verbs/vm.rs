//! `cargo xtask vm`: proves that a demo image boots, without any of our own code under test.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use crate::cache::Cache;
use crate::image::{self, Weekly};
use crate::vm::{Boot, Vm, ext4_of};
use crate::{Context, Result, packages};

/// Any; the machine finds its root by it.
const UUID: &str = "0d3e0b7a-5c7e-4b8e-9d53-1a2b3c4d5e6f";
/// An emulated boot of the whole system.
const BOOT: Duration = Duration::from_secs(400);

/// Boots the first demo image, logs in, looks around, shuts down.
pub fn run(args: &[String]) -> Result<ExitCode> {
    if !args.is_empty() {
        return Err("usage: cargo xtask vm".into());
    }
    packages::ensure(&[packages::IMAGES, packages::VM])?;
    let cache = Cache::open()?;
    let images = image::ensure(&cache, &super::images::today()?, Weekly::No)?;
    let job = cache.job("vm")?;
    let tree = job.path().join("tree");
    std::fs::create_dir(&tree).context("create a directory")?;
    println!("vm: writing {} to a disk", images.first.id);
    let mut tar = Command::new("tar");
    tar.args(["--zstd", "--extract", "--numeric-owner", "--xattrs", "--xattrs-include=*", "--file"]);
    let status =
        tar.arg(&images.first.archive).arg("-C").arg(&tree).stdin(Stdio::null()).status().context("run tar")?;
    if !status.success() {
        return Err(format!("unpack {}: {status}", images.first.archive.display()));
    }
    let disk = job.path().join("disk");
    ext4_of(&tree, &disk, 2048, UUID)?;
    let options = format!("root=UUID={UUID} rw console=ttyS0 panic=5 quiet");
    let boot = Boot { disk, kernel: boot_file(&tree, "vmlinuz-")?, initrd: boot_file(&tree, "initrd.img-")?, options };
    let start = Instant::now();
    let mut vm = Vm::boot(&boot)?;
    vm.login("root", "root", BOOT)?;
    println!("vm: logged in after {:.0} s", start.elapsed().as_secs_f32());
    for command in [
        "cat /etc/os-release",
        "uname -r",
        "findmnt -no SOURCE,FSTYPE,OPTIONS /",
        "systemctl --failed --no-legend",
        "systemctl is-system-running --wait",
    ] {
        let (code, text) = vm.run(command)?;
        print!("# {command}   [{code}]\n{text}");
    }
    vm.poweroff()?;
    println!("vm: switched itself off after {:.0} s", start.elapsed().as_secs_f32());
    Ok(ExitCode::SUCCESS)
}

fn boot_file(tree: &Path, prefix: &str) -> Result<PathBuf> {
    let boot = tree.join("boot");
    let mut names = std::fs::read_dir(&boot).context(format!("list {}", boot.display()))?.flatten().map(|e| e.path());
    let fits = |path: &PathBuf| path.file_name().is_some_and(|n| n.to_string_lossy().starts_with(prefix));
    names.find(fits).ok_or_else(|| format!("no {prefix}… in {}", boot.display()))
}
