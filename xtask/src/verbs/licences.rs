//! `cargo xtask licences`: every dependency, also of tests and of other platforms, has an allowed licence.

use std::process::ExitCode;

use crate::licences::acceptable;
use crate::{Result, workspace};

/// Checks all packages of the lock file.
pub fn run(args: &[String]) -> Result<ExitCode> {
    if !args.is_empty() {
        return Err("usage: cargo xtask licences".into());
    }
    let metadata = workspace::metadata()?;
    let packages = metadata["packages"].as_array().ok_or("cargo metadata names no packages")?;
    let mut refused = 0;
    for package in packages {
        let (name, version) = (package["name"].as_str().unwrap_or("?"), package["version"].as_str().unwrap_or("?"));
        let verdict = match package["license"].as_str() {
            Some(expression) => acceptable(expression).map(|good| (good, expression)),
            None => Err("it states no licence expression".to_string()),
        };
        match verdict {
            Ok((true, _)) => continue,
            Ok((false, expression)) => println!("licences: {name} {version}: {expression} is not allowed here"),
            Err(why) => println!("licences: {name} {version}: {why}"),
        }
        refused += 1;
    }
    println!("licences: {} packages checked, {refused} refused", packages.len());
    Ok(if refused == 0 && !packages.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
