//! The package for rpm and dnf.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Facts, run, said, template};
use crate::{Context, Result};

pub fn pack(tree: &Path, facts: &Facts, work: &Path, out: &Path) -> Result<PathBuf> {
    let files = said(Command::new("find").args([".", "-type", "f", "-printf", "/%P\n"]).current_dir(tree))?;
    let mut files: Vec<&str> = files.lines().collect();
    files.sort_unstable();
    let listed: Vec<String> = files.iter().map(|file| line(file)).collect();
    let words = [("VERSION", facts.version.as_str()), ("HOMEPAGE", &facts.homepage), ("FILES", &listed.join("\n"))];
    let spec = work.join("thinroot.spec");
    std::fs::write(&spec, template("rpm/thinroot.spec", &words)?).context(format!("write {}", spec.display()))?;
    let top = work.join("rpm");
    let mut build = Command::new("rpmbuild");
    build.args(["-bb", "--quiet"]).arg(&spec).env("SOURCE_DATE_EPOCH", facts.epoch.to_string());
    for (name, value) in [
        ("_topdir", top.display().to_string()),
        ("_rpmdir", out.display().to_string()),
        ("_rpmfilename", "%{name}-%{version}-%{release}.%{arch}.rpm".into()),
        ("tree", tree.display().to_string()),
        // The program is stripped as far as we want it, and nothing here is to be rewritten.
        ("__os_install_post", "%{nil}".into()),
        ("debug_package", "%{nil}".into()),
        ("_build_id_links", "none".into()),
        ("_binary_payload", "w6.xzdio".into()),
        ("_buildhost", "thinroot".into()),
        ("use_source_date_epoch_as_buildtime", "1".into()),
        ("clamp_mtime_to_source_date_epoch", "1".into()),
        // What the distribution of this machine would add is no business of others.
        ("vendor", "%{nil}".into()),
        ("distribution", "%{nil}".into()),
    ] {
        build.arg("--define").arg(format!("{name} {value}"));
    }
    run(&mut build)?;
    let arch = said(Command::new("rpm").args(["--eval", "%{_arch}"]))?.trim().to_string();
    let file = out.join(format!("thinroot-{}-1.{arch}.rpm", facts.version));
    if file.is_file() { Ok(file) } else { Err(format!("rpmbuild made no {}", file.display())) }
}

/// How the spec names a file.
fn line(file: &str) -> String {
    let kind = if file.starts_with("/usr/share/licenses/") {
        "%license "
    } else if file.starts_with("/usr/share/doc/") || file.starts_with("/usr/share/man/") {
        "%doc "
    } else {
        ""
    };
    format!("%attr(-, root, root) {kind}{file}")
}
