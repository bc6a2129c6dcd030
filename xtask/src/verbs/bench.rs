//! `cargo xtask bench`: measures, and writes `docs/performance.md` from what was measured.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::bench::records::Records;
use crate::bench::{copy, delta, guest, memory, page, pool, state};
use crate::cache::Cache;
use crate::image::{self, Weekly};
use crate::{Context, Result, packages, workspace};

const USAGE: &str = "usage: cargo xtask bench [--quick] [growth|copy|delta|memory|page]…, or bench [--quick] state";
const PARTS: [&str; 4] = ["growth", "copy", "delta", "memory"];

/// Measures all parts, or those that are named; `page` alone only writes the page from what is known.
pub fn run(args: &[String]) -> Result<ExitCode> {
    let quick = args.iter().any(|arg| arg == "--quick");
    let mut wanted: Vec<&str> = args.iter().map(String::as_str).filter(|arg| *arg != "--quick").collect();
    if wanted != ["state"] && wanted.iter().any(|part| !PARTS.contains(part) && *part != "page") {
        return Err(USAGE.into());
    }
    if wanted.is_empty() {
        wanted = PARTS.into();
    }
    if wanted == ["state"] {
        return measure_state(quick);
    }
    if !rustix::process::getuid().is_root() {
        return Err("bench mounts file systems of its own and so needs root: run it with sudo".into());
    }
    let cache = Cache::open()?;
    if wanted != ["page"] {
        measure(&cache, &wanted, quick)?;
    }
    let [growth, copy, delta, memory] = PARTS.map(|part| Records::load(&cache, part));
    let page = page::render(&page::Parts { growth: growth?, copy: copy?, delta: delta?, memory: memory? });
    println!("\n{page}");
    let path = workspace::root().join("docs/performance.md");
    std::fs::write(&path, page).context(format!("write {}", path.display()))?;
    Ok(ExitCode::SUCCESS)
}

fn measure(cache: &Cache, wanted: &[&str], quick: bool) -> Result<()> {
    packages::ensure(&[packages::UML, packages::IMAGES, packages::BENCH])?;
    let images = image::ensure(cache, &super::images::today()?, Weekly::Yes)?;
    let program = release_program()?;
    let rounds = if quick { 1 } else { 3 };
    for part in wanted.iter().filter(|part| **part != "page") {
        let records = match *part {
            "growth" => pool::measure(cache, &program, &images, rounds)?,
            "copy" => copy::measure(cache, &images, rounds)?,
            "delta" => delta::measure(cache, if quick { 1 } else { 5 })?,
            _ => memory::measure(cache, &program, &images, rounds)?,
        };
        records.keep(cache, part)?;
    }
    Ok(())
}

fn measure_state(quick: bool) -> Result<ExitCode> {
    let page = state::render(&state::measure(&Cache::open()?, if quick { 1 } else { 5 })?);
    println!("\n{page}");
    let path = workspace::root().join("docs/performance-state.md");
    std::fs::write(&path, page).context(format!("write {}", path.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// The guest's side of the growth part.
pub fn run_guest(args: &[String]) -> Result<ExitCode> {
    guest::run(args).map(|()| ExitCode::SUCCESS)
}

fn release_program() -> Result<PathBuf> {
    println!("building thinroot (release)");
    let status = workspace::cargo(&["build", "--release", "--quiet", "--package", "thinroot"]).status();
    if !status.context("run cargo build")?.success() {
        return Err("thinroot does not build; cargo's own words are above".into());
    }
    let target = workspace::metadata()?["target_directory"].as_str().map(PathBuf::from);
    Ok(target.ok_or("cargo metadata names no target directory")?.join("release/thinroot"))
}
