//! Where our workspace is and what cargo says about it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::{Context, Result};

/// The workspace's root directory.
pub fn root() -> PathBuf {
    // xtask lies directly below it.
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).to_path_buf()
}

/// A cargo command in the workspace, without stdin.
pub fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args).current_dir(root()).stdin(Stdio::null());
    command
}

/// What `cargo metadata` says, with all dependencies.
pub fn metadata() -> Result<Value> {
    let out = cargo(&["metadata", "--format-version", "1", "--locked"]).stderr(Stdio::inherit()).output();
    let out = out.context("run cargo metadata")?;
    if !out.status.success() {
        return Err(format!("cargo metadata: {}", out.status));
    }
    serde_json::from_slice(&out.stdout).context("read cargo metadata")
}

/// The files git tracks, relative to the root.
pub fn tracked_files() -> Result<Vec<PathBuf>> {
    let out = Command::new("git").args(["ls-files", "-z"]).current_dir(root()).stdin(Stdio::null()).output();
    let out = out.context("run git ls-files")?;
    if !out.status.success() {
        return Err(format!("git ls-files: {}", String::from_utf8_lossy(&out.stderr)));
    }
    let text = String::from_utf8(out.stdout).context("read git ls-files")?;
    Ok(text.split('\0').filter(|p| !p.is_empty()).map(PathBuf::from).filter(|p| root().join(p).exists()).collect())
}
