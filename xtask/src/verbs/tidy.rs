//! `cargo xtask tidy`: the rules of the house over all tracked files.

use std::process::ExitCode;

use crate::cache::Cache;
use crate::image::Mirror;
use crate::tidy::{Complaint, Weight, check_file, core_dependencies};
use crate::{Context, Result, workspace};

/// Checks every tracked file and the core's dependencies.
pub fn run(args: &[String]) -> Result<ExitCode> {
    if !args.is_empty() {
        return Err("usage: cargo xtask tidy".into());
    }
    let foreign = foreign()?;
    let files = workspace::tracked_files()?;
    let mut complaints = core_dependencies(core_dependency_names(&workspace::metadata()?)?.iter().map(String::as_str));
    for file in &files {
        let path = workspace::root().join(file);
        let bytes = std::fs::read(&path).context(format!("read {}", path.display()))?;
        // Binary files have no lines to complain about.
        if let Ok(text) = String::from_utf8(bytes) {
            complaints.extend(check_file(&file.to_string_lossy(), &text, &foreign));
        }
    }
    for Complaint { place, what, weight } in &complaints {
        let word = if *weight == Weight::Failure { "" } else { "warning: " };
        println!("{place}: {word}{what}");
    }
    let failures = complaints.iter().filter(|c| c.weight == Weight::Failure).count();
    println!("tidy: {} files, {failures} failures, {} warnings", files.len(), complaints.len() - failures);
    Ok(if failures == 0 && !files.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What only this machine knows: where it keeps the workspace and the cache, and its Debian archive.
fn foreign() -> Result<Vec<String>> {
    // Development machines' places; in two pieces, so that this file does not find itself.
    let mut texts = vec![concat!("/wo", "rk/").to_string(), concat!("/tmp/", "wt").to_string()];
    texts.extend([".cargo", ".cache", ".rustup"].map(|dir| format!("{}/{dir}", concat!("/ro", "ot"))));
    texts.extend([workspace::root(), Cache::open()?.root().into()].iter().map(|p| p.display().to_string()));
    // A machine without a Debian archive has no mirror to give away.
    if let Ok(mirror) = Mirror::of_this_machine() {
        texts.extend(mirror.hosts());
    }
    Ok(texts)
}

fn core_dependency_names(metadata: &serde_json::Value) -> Result<Vec<String>> {
    let packages = metadata["packages"].as_array().ok_or("cargo metadata names no packages")?;
    let core = packages.iter().find(|p| p["name"] == "thinroot-core").ok_or("there is no package thinroot-core")?;
    let dependencies = core["dependencies"].as_array().ok_or("thinroot-core has no list of dependencies")?;
    // A dependency without a kind is a normal one; tests may use more.
    let normal = dependencies.iter().filter(|d| d["kind"] != "dev");
    Ok(normal.filter_map(|d| d["name"].as_str()).map(String::from).collect())
}
