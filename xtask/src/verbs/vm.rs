//! `cargo xtask vm`: the matrix of machines with real firmware.

use std::process::ExitCode;

use crate::cache::Cache;
use crate::image::{self, Weekly};
use crate::matrix::{Ground, Way, chain, host};
use crate::{Result, packages};

/// What may be asked for by name.
const ROWS: [&str; 4] = ["chain", "short", "life", "cuts"];

/// Runs the rows.
pub fn run(args: &[String]) -> Result<ExitCode> {
    let mut rows = args.to_vec();
    let mut ways = Way::ALL.to_vec();
    if let Some(named) = rows.first().and_then(|name| Way::ALL.into_iter().find(|way| way.name() == name)) {
        (ways, rows) = (vec![named], rows.split_off(1));
    }
    let wanted = |row: &str| rows.is_empty() || rows.iter().any(|name| name == row);
    if let Some(unknown) = rows.iter().find(|row| !ROWS.contains(&row.as_str())) {
        return Err(format!("no row {unknown:?}; usage: cargo xtask vm [WAY] [chain] [short] [life] [cuts]"));
    }
    packages::ensure(&[packages::IMAGES, packages::VM, packages::UML, packages::INSTALL])?;
    let cache = Cache::open()?;
    let images = image::ensure(&cache, &super::images::today()?, Weekly::No)?;
    let ground = Ground::new(cache)?;
    if wanted("chain") {
        chain::images(&ground, &images.second.archive)?;
        for way in &ways {
            chain::row(&ground, *way)?;
        }
    }
    // What is in the long life is not done once more for its own sake.
    let short = rows.iter().any(|row| row == "short");
    if short || wanted("life") || wanted("cuts") {
        let hosts = host::images(&ground, &images)?;
        for way in &ways {
            if short {
                host::short(&ground, *way, &hosts)?;
            }
            if wanted("life") {
                host::life(&ground, *way, &hosts)?;
            }
            if wanted("cuts") {
                host::cuts(&ground, *way, &hosts)?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
