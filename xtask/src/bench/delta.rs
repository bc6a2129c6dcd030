//! Finding a layer's changes: the engine's own bench target, in a work directory of ours.

use super::records::Records;
use crate::cache::Cache;
use crate::{Context, Result, workspace};

/// Paths of the tree that is looked through.
const PATHS: &str = "50000";

/// Measures cold and warm, by lineage and by hashing.
pub fn measure(cache: &Cache, runs: usize) -> Result<Records> {
    println!("delta: {PATHS} paths, {runs} runs");
    let job = cache.job("bench")?;
    let work = job.path().display().to_string();
    engine_bench("delta", &[&work, &runs.to_string(), PATHS])
}

/// Runs a bench target of the engine and reads the records it prints.
pub(super) fn engine_bench(target: &str, args: &[&str]) -> Result<Records> {
    let mut command = workspace::cargo(&["bench", "--quiet", "--package", "thinroot-engine", "--bench", target, "--"]);
    let out = command.args(args).stderr(std::process::Stdio::inherit()).output().context("run cargo bench")?;
    if !out.status.success() {
        return Err(format!("cargo bench --bench {target} {}: {}", args.join(" "), out.status));
    }
    Ok(Records::parse(&String::from_utf8_lossy(&out.stdout)))
}
