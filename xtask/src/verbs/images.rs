//! `cargo xtask images`: builds the demo images and says what differs.

use std::process::{Command, ExitCode};

use crate::cache::Cache;
use crate::image::{self, DemoImage, Weekly};
use crate::{Context, Result, packages};

/// Builds or finds the images.
pub fn run(args: &[String]) -> Result<ExitCode> {
    let weekly = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => Weekly::No,
        ["--weekly"] => Weekly::Yes,
        _ => return Err("usage: cargo xtask images [--weekly]".into()),
    };
    packages::ensure(&[packages::IMAGES])?;
    let cache = Cache::open()?;
    let images = image::ensure(&cache, &today()?, weekly)?;
    println!("{}  {}", images.first.id, images.first.archive.display());
    for newer in images.weekly.iter().chain([&images.second]) {
        println!("{}  {}", newer.id, newer.archive.display());
        tell_difference(&images.first, newer);
    }
    Ok(ExitCode::SUCCESS)
}

fn tell_difference(old: &DemoImage, new: &DemoImage) {
    let upgrades = image::upgrades(old, new);
    println!("  {} of {} packages differ from {}:", upgrades.len(), new.packages.len(), old.id);
    for (name, old, new) in upgrades {
        println!("    {name:<32} {old} -> {new}");
    }
}

/// The day as YYYY-MM-DD, in UTC.
pub fn today() -> Result<String> {
    let out = Command::new("date").args(["-u", "+%F"]).output().context("run date")?;
    Ok(String::from_utf8_lossy(&out.stdout).trim().to_string())
}
