//! The Debian packages our tooling needs, and why; the missing ones are installed.
//!
//! Only what is missing is asked for, so that a prepared machine never needs the network or root for this.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::{Context, Result};

/// A package and what it is for.
pub type Need = (&'static str, &'static str);

/// For the test kernel.
pub const UML: &[Need] = &[
    ("user-mode-linux", "a Linux kernel as a process: real LVM without touching this machine's"),
    ("busybox-static", "first process of the test kernel"),
    ("kmod", "loads the test kernel's modules"),
    ("lvm2", "the store under test"),
    ("thin-provisioning-tools", "checks and compares thin pools"),
    ("e2fsprogs", "makes and checks ext4"),
    ("xfsprogs", "makes and checks XFS"),
];

/// For the test suite on this machine.
pub const TEST: &[Need] = &[
    ("e2fsprogs", "makes and checks ext4"),
    ("xfsprogs", "makes and checks XFS"),
    ("btrfs-progs", "makes and checks btrfs"),
    ("squashfs-tools", "writes squashfs images for source tests"),
    ("attr", "independent reader of extended attributes"),
    ("acl", "independent reader of ACLs"),
    ("zstd", "writes compressed archives for source tests"),
    ("xz-utils", "writes compressed archives for source tests"),
    ("rpm", "makes and installs RPM packages, whose originals an adoption finds"),
    ("rpm2cpio", "unpacks them"),
    ("cpio", "unpacks them"),
    ("skopeo", "writes OCI images for source tests, independently of us"),
    ("procps", "lists processes for tests of what is left behind"),
];

/// For building packages.
pub const DIST: &[Need] = &[
    ("rpm", "writes and reads RPM packages"),
    ("binutils", "says which C library a program needs"),
    ("init-system-helpers", "enables units when a Debian package is installed"),
];

/// For building Debian images.
pub const IMAGES: &[Need] = &[
    ("mmdebstrap", "builds Debian images from the archive"),
    ("zstd", "compresses the images"),
    ("e2fsprogs", "writes disks"),
];

/// For measuring.
pub const BENCH: &[Need] = &[("rsync", "what the base writer is measured against")];

/// For booting them.
pub const VM: &[Need] =
    &[("qemu-system-x86", "boots layers in a virtual machine"), ("ovmf", "UEFI firmware for the virtual machine")];

/// For making disks that real firmware boots.
pub const INSTALL: &[Need] = &[
    ("fdisk", "lays out partitions"),
    ("dosfstools", "makes EFI system partitions"),
    ("grub-common", "makes GRUB's program"),
    ("grub-pc-bin", "GRUB for BIOS"),
    ("grub-efi-amd64-bin", "GRUB for UEFI"),
    ("systemd-boot-efi", "systemd-boot"),
];

/// Installs what is missing of these, after saying what and why.
pub fn ensure(needs: &[&[Need]]) -> Result<()> {
    let missing = missing(needs)?;
    if missing.is_empty() {
        return Ok(());
    }
    println!("packages: missing here, installing:");
    for (name, why) in &missing {
        println!("  {name:<24} {why}");
    }
    let names: Vec<&str> = missing.iter().map(|(name, _)| *name).collect();
    if !names.iter().all(|name| has_candidate(name)) {
        apt(&["update"])?;
    }
    let mut args = vec!["install", "-y", "--no-install-recommends"];
    args.extend(&names);
    // Package lists may name versions the archive has replaced since; then one update mends it.
    apt(&args).or_else(|_| apt(&["update"]).and_then(|()| apt(&args)))
}

fn missing(needs: &[&[Need]]) -> Result<BTreeSet<Need>> {
    let out = Command::new("dpkg-query").args(["-W", "-f", "${db:Status-Abbrev} ${Package}\n"]).output();
    let out = out.context("run dpkg-query (this tooling needs Debian or a derivative)")?;
    Ok(not_installed(needs, &String::from_utf8_lossy(&out.stdout)))
}

fn not_installed(needs: &[&[Need]], dpkg: &str) -> BTreeSet<Need> {
    let installed: BTreeSet<&str> = dpkg.lines().filter_map(|l| l.strip_prefix("ii ")).map(str::trim).collect();
    needs.iter().flat_map(|list| list.iter().copied()).filter(|(name, _)| !installed.contains(name)).collect()
}

fn has_candidate(name: &str) -> bool {
    let out = Command::new("apt-cache").args(["policy", name]).env("LC_ALL", "C").output();
    out.is_ok_and(|o| {
        String::from_utf8_lossy(&o.stdout)
            .lines()
            .any(|l| l.trim().strip_prefix("Candidate:").is_some_and(|v| v.trim() != "(none)"))
    })
}

fn apt(args: &[&str]) -> Result<()> {
    let mut command = if rustix::process::getuid().is_root() {
        Command::new("apt-get")
    } else {
        println!("packages: calling sudo, because only root can install packages");
        if !Path::new("/usr/bin/sudo").exists() {
            return Err(format!(
                "cannot install packages without root or sudo; run as root: apt-get {}",
                args.join(" ")
            ));
        }
        let mut sudo = Command::new("sudo");
        sudo.args(["DEBIAN_FRONTEND=noninteractive", "apt-get"]);
        sudo
    };
    // Another apt run on this machine is waited for.
    command.args(["-q", "-o", "DPkg::Lock::Timeout=300"]).args(args);
    let status = command.env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null()).status();
    let status = status.context("start apt-get")?;
    match status.success() {
        true => Ok(()),
        false => Err(format!(
            "apt-get {} failed ({status}); its own words are above. Mend the package sources or the network and try again",
            args.join(" ")
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_fully_installed_packages_count() {
        let dpkg = "ii  lvm2\nrc  kmod\nii  busybox\nun  zstd\n";
        let needs: &[&[Need]] = &[&[("lvm2", "a"), ("kmod", "b")], &[("zstd", "c"), ("lvm2", "a")]];
        let want: BTreeSet<Need> = [("kmod", "b"), ("zstd", "c")].into();
        assert_eq!(not_installed(needs, dpkg), want);
    }
}
