//! What merging the state costs beside the walk that finds it, and what planning takes of memory. A page of its own, so that
//! it can be measured without the hours that the others take.

use std::fmt::Write;

use super::delta::engine_bench;
use super::records::Records;
use super::series::{Series, ratio};
use crate::Result;
use crate::cache::Cache;

const PATHS: &str = "60000";
const MANY: &str = "1000000";
/// The most that planning and carrying out together may take, in the time of the walk.
const BAR: f64 = 3.0;
/// The most that planning over a million paths may take, in KiB: 1 GiB.
const MEMORY_BAR: f64 = 1_048_576.0;

/// Measures both.
pub fn measure(cache: &Cache, runs: usize) -> Result<Records> {
    println!("state: {PATHS} paths, {runs} runs; planning over {MANY}");
    let job = cache.job("bench")?;
    let mut records = engine_bench("state", &[&job.path().display().to_string(), &runs.to_string(), PATHS])?;
    records.0.extend(engine_bench("state", &["--memory", MANY])?.0);
    Ok(records)
}

/// Writes the page.
pub fn render(records: &Records) -> String {
    let of = |what| records.having(&[("what", what)]);
    let (state, memory) = (of("state"), of("memory"));
    let (walk, plan, apply) = (state.series("walk_s"), state.series("plan_s"), state.series("apply_s"));
    let both = Series(plan.0.iter().zip(&apply.0).map(|(plan, apply)| plan + apply).collect());
    let times = |value: Option<f64>| value.map_or("not measured".into(), |value| format!("{value:.2}"));
    let verdict = |good: Option<bool>| match good {
        Some(true) => "met",
        Some(false) => "**missed**",
        None => "not measured",
    };
    let peak = memory.series("peak_kib");
    let mut out = String::from(HEAD);
    // Writing to a string cannot fail.
    let _ = write!(
        out,
        "\n| | time, s | in the time of the walk |\n| --- | --- | --- |\n\
         | walk: find what the layer changed | {} | 1 |\n\
         | plan: read and merge the texts both sides changed, decide over every path | {} | {} |\n\
         | carry out: keep what lost, write into the new layer | {} | {} |\n\
         | plan and carry out together, bar ≤ {BAR} | {} | {} {} |\n",
        walk.words(3),
        plan.words(3),
        times(ratio(&plan, &walk)),
        apply.words(3),
        times(ratio(&apply, &walk)),
        both.words(3),
        times(ratio(&both, &walk)),
        verdict(ratio(&both, &walk).map(|held| held <= BAR)),
    );
    // Nor here.
    let _ = write!(
        out,
        "\nPlanning over {} paths on each side with {} changes: {} MiB at most, bar ≤ 1024: {}; {} s.\n",
        memory.series("paths").words(0),
        memory.series("changes").words(0),
        Series(peak.0.iter().map(|kib| kib / 1024.0).collect()).words(0),
        verdict(peak.median().map(|kib| kib <= MEMORY_BAR)),
        memory.series("plan_s").words(2),
    );
    out
}

const HEAD: &str = "\
# Performance of the state engine

Written by `cargo xtask bench state`. Numbers are medians, with the smallest, the largest and the number of measurements
behind them, on 2 cores, shared and noisy: ratios are what counts.

A layer of 60,000 paths on ext4 with 200 changes (120 texts edited, 40 added, 20 removed, 20 of another mode), carried into
an image of which 1,000 texts differ, 60 of them changed on both sides. The walk is the one by lineage, page cache warm.
";
