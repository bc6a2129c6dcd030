//! Trees that images are made of.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::{Context, Result};

/// Unpacks an archive of a demo image.
pub fn unpack(archive: &Path, tree: &Path) -> Result<()> {
    std::fs::create_dir_all(tree).context(format!("create {}", tree.display()))?;
    let mut tar = Command::new("tar");
    tar.args(["--zstd", "--extract", "--numeric-owner", "--xattrs", "--xattrs-include=*", "--file"]);
    run(tar.arg(archive).arg("-C").arg(tree))
}

/// Packs a tree without compressing it: it is read more often than written.
pub fn pack(tree: &Path, archive: &Path) -> Result<()> {
    let mut tar = Command::new("tar");
    tar.args(["--create", "--sort=name", "--format=pax", "--numeric-owner", "--xattrs", "--xattrs-include=*"]);
    run(tar.arg("--file").arg(archive).arg("-C").arg(tree).arg("."))
}

/// Writes a file, with the directories above it.
pub fn put(tree: &Path, path: &str, content: &[u8], mode: u32) -> Result<()> {
    let at = tree.join(path);
    let dir = at.parent().unwrap_or(tree);
    std::fs::create_dir_all(dir).context(format!("create {}", dir.display()))?;
    std::fs::write(&at, content).context(format!("write {}", at.display()))?;
    let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
    std::fs::set_permissions(&at, mode).context(format!("set the mode of {}", at.display()))
}

/// The one file in a directory whose name begins so.
pub fn one(dir: &Path, prefix: &str) -> Result<std::path::PathBuf> {
    let mut found = std::fs::read_dir(dir).context(format!("list {}", dir.display()))?.flatten().map(|e| e.path());
    let fits = |path: &std::path::PathBuf| path.file_name().is_some_and(|n| n.to_string_lossy().starts_with(prefix));
    found.find(fits).ok_or_else(|| format!("no {prefix}… in {}", dir.display()))
}

/// Runs a script in a tree, as an installer would.
pub fn inside(tree: &Path, script: &str) -> Result<()> {
    let around =
        "mount -t proc proc \"$0/proc\" && mount -t devtmpfs dev \"$0/dev\" && exec chroot \"$0\" sh -ec \"$1\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", around]).arg(tree).arg(script);
    run(command.env("LC_ALL", "C").env("DEBIAN_FRONTEND", "noninteractive"))
}

/// Runs a tool that has to succeed.
pub fn run(command: &mut Command) -> Result<()> {
    let shown = format!("{command:?}");
    let out = command.stdin(Stdio::null()).output().context(&shown)?;
    match out.status.success() {
        true => Ok(()),
        false => Err(format!("{shown}: {}: {}", out.status, String::from_utf8_lossy(&out.stderr))),
    }
}
