//! The package for dpkg and apt.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Facts, run, said, set_times, template};
use crate::{Context, Result};

pub fn pack(tree: &Path, facts: &Facts, work: &Path, out: &Path) -> Result<PathBuf> {
    let arch = said(Command::new("dpkg").arg("--print-architecture"))?.trim().to_string();
    let size = said(Command::new("du").args(["--summarize", "--apparent-size", "--block-size=1024"]).arg(tree))?;
    let size = size.split_whitespace().next().unwrap_or("0").to_string();
    let libc = needs_libc(&tree.join("usr/bin/thinroot"))?;
    let words = [
        ("VERSION", facts.version.as_str()),
        ("ARCH", &arch),
        ("SIZE", &size),
        ("LIBC", &libc),
        ("HOMEPAGE", &facts.homepage),
    ];
    let root = work.join("deb");
    if root.exists() {
        std::fs::remove_dir_all(&root).context(format!("remove {}", root.display()))?;
    }
    run(Command::new("cp").args(["--archive"]).arg(tree).arg(&root))?;
    let control = root.join("DEBIAN");
    std::fs::create_dir(&control).context(format!("create {}", control.display()))?;
    let put = |name: &str, text: String| std::fs::write(control.join(name), text).context(format!("write {name}"));
    put("control", template("deb/control", &words)?)?;
    put("triggers", template("deb/triggers", &words)?)?;
    for script in ["postinst", "postrm"] {
        put(script, template(&format!("deb/{script}"), &words)?)?;
        run(Command::new("chmod").arg("0755").arg(control.join(script)))?;
    }
    // What an admin changed below /etc survives an upgrade.
    let configuration = said(Command::new("find").args(["etc", "-type", "f", "-printf", "/%p\n"]).current_dir(&root))?;
    let mut configuration: Vec<String> = configuration.lines().map(|line| format!("{line}\n")).collect();
    configuration.sort_unstable();
    put("conffiles", configuration.concat())?;
    let files = Command::new("find").args(["usr", "-type", "f", "-print0"]).current_dir(&root).output();
    let files = String::from_utf8_lossy(&files.context("list the files")?.stdout).into_owned();
    let mut names: Vec<&str> = files.split('\0').filter(|name| !name.is_empty()).collect();
    names.sort_unstable();
    put("md5sums", said(Command::new("md5sum").args(names).current_dir(&root))?)?;
    set_times(&root, facts.epoch)?;
    let file = out.join(format!("thinroot_{}_{arch}.deb", facts.version));
    let mut build = Command::new("dpkg-deb");
    build.args(["--root-owner-group", "-Zxz", "--build"]).arg(&root).arg(&file);
    run(build.env("SOURCE_DATE_EPOCH", facts.epoch.to_string()))?;
    Ok(file)
}

/// The C library that the program was linked against, by the newest of its symbols that it uses.
fn needs_libc(program: &Path) -> Result<String> {
    let symbols = said(Command::new("objdump").arg("--dynamic-syms").arg(program))?;
    let numbers = |version: &str| -> Vec<u32> { version.split('.').filter_map(|part| part.parse().ok()).collect() };
    let versions = symbols.split("GLIBC_").skip(1).filter_map(|rest| rest.split([')', ' ', '\n']).next()).map(numbers);
    let newest = versions.max().filter(|version| !version.is_empty());
    let newest = newest.ok_or(format!("{} is linked against no C library", program.display()))?;
    let version = newest.iter().map(u32::to_string).collect::<Vec<_>>().join(".");
    Ok(format!("libc6 (>= {version}), libgcc-s1"))
}
