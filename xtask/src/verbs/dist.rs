//! `cargo xtask dist`: packages for Debian's family and Fedora's, built from this tree.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::cache::Cache;
use crate::dist::{Facts, Kind, pack};
use crate::stage::release_program;
use crate::{Context, Result, packages};

/// Builds both.
pub fn run(args: &[String]) -> Result<ExitCode> {
    let out = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => crate::workspace::root().join("target/dist"),
        ["--out", dir] => PathBuf::from(dir),
        _ => return Err("usage: cargo xtask dist [--out DIRECTORY]".into()),
    };
    packages::ensure(&[packages::DIST])?;
    let facts = Facts::of_repository()?;
    let program = release_program()?;
    let job = Cache::open()?.job("dist")?;
    std::fs::create_dir_all(&out).context(format!("create {}", out.display()))?;
    let out = out.canonicalize().context(format!("resolve {}", out.display()))?;
    for kind in [Kind::Deb, Kind::Rpm] {
        let file = pack(kind, &program, &facts, job.path(), &out)?;
        let bytes = std::fs::metadata(&file).context(format!("look at {}", file.display()))?.len();
        println!("{}  {} KiB", file.display(), bytes.div_ceil(1024));
    }
    Ok(ExitCode::SUCCESS)
}
