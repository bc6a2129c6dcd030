//! What makes a bootstrapped tree an image: identity in, traces of the build out.

use std::path::Path;

use crate::{Context, Result};

/// Files put into the tree before the remaining packages are installed, so that the initrd is made with them. All lie
/// beside packaged configuration, never over it.
pub const SKELETON: [(&str, &str); 5] = [
    // A short list keeps the initrd small and quick to unpack in an emulated machine.
    ("etc/initramfs-tools/conf.d/demo", "MODULES=list\nCOMPRESS=zstd\n"),
    (
        "usr/share/initramfs-tools/modules.d/demo",
        "virtio_pci\nvirtio_blk\nvirtio_scsi\nsd_mod\ndm_mod\ndm_thin_pool\ndm_snapshot\next4\nxfs\ncrc32c_generic\n",
    ),
    ("etc/kernel/cmdline", "console=ttyS0 panic=5\n"),
    // Host keys belong to the host, not to the image: each host makes its own before sshd checks them.
    (
        "etc/systemd/system/ssh.service.d/host-keys.conf",
        "[Service]\nExecStartPre=\nExecStartPre=/usr/bin/ssh-keygen -A\nExecStartPre=/usr/sbin/sshd -t\n",
    ),
    // No service may start inside a build.
    ("usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n"),
];

/// `root`, as these images are only for demonstration machines without a network.
const ROOT_PASSWORD: &str =
    "$6$demo$cnCf69cGUOFnQrwF/tJ.uiykCs0UyyN1e.w175qkgrviUR2in1EzGHZ3O2JejOLXKqCXv8FZkf06oYQrRTndx1";

/// Traces of the build and things every host has of its own.
const REMOVED: &[&str] = &[
    "etc/ssh/ssh_host_ecdsa_key",
    "etc/ssh/ssh_host_ecdsa_key.pub",
    "etc/ssh/ssh_host_ed25519_key",
    "etc/ssh/ssh_host_ed25519_key.pub",
    "etc/ssh/ssh_host_rsa_key",
    "etc/ssh/ssh_host_rsa_key.pub",
    "etc/apt/sources.list",
    "etc/resolv.conf",
    "usr/sbin/policy-rc.d",
    "var/lib/dbus/machine-id",
    "var/lib/systemd/random-seed",
    "var/cache/apt/pkgcache.bin",
    "var/cache/apt/srcpkgcache.bin",
    "var/cache/ldconfig/aux-cache",
    "var/log/dpkg.log",
    "var/log/alternatives.log",
    "var/log/bootstrap.log",
    "var/log/apt/history.log",
    "var/log/apt/term.log",
    "var/log/apt/eipp.log.xz",
];

/// Directories that are emptied.
const EMPTIED: &[&str] = &["var/lib/apt/lists", "var/cache/apt/archives", "tmp", "var/tmp", "run"];

/// Writes the skeleton below a directory.
pub fn write_skeleton(tree: &Path) -> Result<()> {
    for (path, text) in SKELETON {
        write(tree, path, text)?;
        if text.starts_with("#!") {
            let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            std::fs::set_permissions(tree.join(path), executable).context(format!("make {path} executable"))?;
        }
    }
    Ok(())
}

/// Gives the tree its identity and removes the traces; returns the identity as NAME-VERSION-RELEASE.
pub fn finish(tree: &Path, release: &str) -> Result<String> {
    for path in REMOVED {
        remove_if_there(&tree.join(path))?;
    }
    for path in EMPTIED {
        empty(&tree.join(path))?;
    }
    write(tree, "etc/hostname", "demo\n")?;
    write(tree, "etc/hosts", "127.0.0.1 localhost demo\n::1 localhost\n")?;
    write(tree, "etc/fstab", "# The root comes from the kernel's command line.\n")?;
    // Empty and not "uninitialized": a fresh id is made at boot, without a first-boot dialogue.
    write(tree, "etc/machine-id", "")?;
    set_root_password(tree)?;
    let version = read(tree, "etc/debian_version")?.trim().to_string();
    let os_release = read(tree, "usr/lib/os-release")?;
    let kept: String = os_release.lines().filter(|l| !l.starts_with("IMAGE_")).map(|l| format!("{l}\n")).collect();
    write(tree, "usr/lib/os-release", &format!("{kept}IMAGE_ID=demo\nIMAGE_VERSION={version}-{release}\n"))?;
    Ok(format!("demo-{version}-{release}"))
}

fn set_root_password(tree: &Path) -> Result<()> {
    let shadow = read(tree, "etc/shadow")?;
    let with_password = |line: &str| match line.strip_prefix("root:").and_then(|rest| rest.split_once(':')) {
        Some((_, rest)) => format!("root:{ROOT_PASSWORD}:{rest}\n"),
        None => format!("{line}\n"),
    };
    // Written over, not replaced: mode and group of the file must stay.
    write(tree, "etc/shadow", &shadow.lines().map(with_password).collect::<String>())
}

fn read(tree: &Path, path: &str) -> Result<String> {
    std::fs::read_to_string(tree.join(path)).context(format!("read {path} of the image"))
}

fn write(tree: &Path, path: &str, text: &str) -> Result<()> {
    let at = tree.join(path);
    if let Some(parent) = at.parent() {
        std::fs::create_dir_all(parent).context(format!("create {}", parent.display()))?;
    }
    std::fs::write(&at, text).context(format!("write {}", at.display()))
}

fn remove_if_there(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(format!("remove {}: {error}", path.display()))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn empty(dir: &Path) -> Result<()> {
    if !dir.exists() {
        return Ok(());
    }
    for entry in std::fs::read_dir(dir).context(format!("list {}", dir.display()))? {
        let path = entry.context(format!("list {}", dir.display()))?.path();
        let removed = if path.is_dir() && !path.is_symlink() {
            std::fs::remove_dir_all(&path)
        } else {
            std::fs::remove_file(&path)
        };
        removed.context(format!("remove {}", path.display()))?;
    }
    Ok(())
}
