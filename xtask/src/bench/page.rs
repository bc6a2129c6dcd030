//! The page on performance: what was measured, what it is held to, and whether it holds.

use std::fmt::Write;

use super::records::Records;
use super::series::{Series, ratio};

/// All that was measured.
#[derive(Debug, Clone, Default)]
pub struct Parts {
    /// Room in a thin pool.
    pub growth: Records,
    /// Copying beside rsync.
    pub copy: Records,
    /// Finding a layer's changes.
    pub delta: Records,
    /// Peak memory.
    pub memory: Records,
}

/// The most a new base may grow the pool, in what differs.
const GROWTH_BAR: f64 = 1.02;
/// The most a layer may cost, in chunks: 1 MiB.
const LAYER_BAR: f64 = 16.0;
/// The most that copying may take, in the time of rsync.
const COPY_BAR: f64 = 1.0;
/// How much faster a delta by lineage must be.
const DELTA_BAR: f64 = 4.0;
/// The most memory of an update, in KiB.
const MEMORY_BAR: f64 = 65536.0;

/// Writes the page.
pub fn render(parts: &Parts) -> String {
    let mut out = String::from(HEAD);
    growth(&mut out, &parts.growth);
    layer(&mut out, &parts.growth.having(&[("what", "layer")]));
    copy(&mut out, &parts.copy);
    delta(&mut out, &parts.delta);
    memory(&mut out, &parts.memory);
    out.push_str(TAIL);
    out
}

const HEAD: &str = "\
# Performance

Written by `cargo xtask bench` from its records of what was measured. Numbers are medians, with the smallest, the largest and
the number of measurements behind them. Growth is exact and the same every time; times are not.

The machine: 2 cores, shared and noisy. What needs LVM runs in User Mode Linux 6.1 on real dm-thin with 64 KiB chunks;
every system call is many times slower there than on a host, so its times say how methods compare and not how long an
update takes. The images are a small Debian server of about 15,000 paths and 420 MiB: as of its point release, the same
with 8 packages updated (\"weekly\"), and with a new kernel and 24 packages (\"large\").
";

const TAIL: &str = "
## What to know about these numbers

- Where it says \"not measured\", no valid measurement has been taken yet; no bar counts as met there.
- Times on a machine that does other work at once spread widely; a ratio of two medians with wide ranges is a hint. Growth,
  differing chunks and memory do not depend on that.
- Memory does not depend on the size of files, but on the number of paths: the manifests of the old and of the new image
  are held whole while their state is planned, about 0.9 KiB a path together. That keeps the goal up to some 50,000 paths
  and misses it far above; a more compact form of the manifest is what would mend it.

## How it is measured

- Growth: used chunks in `dmsetup status` of the pool before and after `thinroot base add`, without those that the
  volume of the records maps. \"Differing\" is counted by comparing the bytes of both finished volumes, by code that
  shares nothing with the engine.
- Copying: `rsync -c --inplace -aHAX --delete --numeric-ids` and our scan of the source plus writing, in turns, from the
  same tree into new copies of the same ext4 file system, mounted alike, page cache warm, on the host's kernel. Ours
  hashes the source with SHA-256 in that time; verification, which rsync has none of, is shown beside it.
- Changes of a layer: 50,000 paths on ext4 in a file, the layer a copy of the base's blocks. Cold is after dropping all
  caches.
- Memory: `VmHWM` of the process until it ends, in a directory store.

`cargo xtask bench --quick` measures once; `cargo xtask bench copy` measures one part again.
";

fn verdict(value: Option<f64>, good: impl Fn(f64) -> bool) -> &'static str {
    match value {
        Some(value) if good(value) => "met",
        Some(_) => "**missed**",
        None => "not measured",
    }
}

fn times(value: Option<f64>) -> String {
    value.map_or("–".into(), |value| format!("{value:.3}"))
}

fn table(out: &mut String, title: &str, head: &[&str]) {
    let line = head.iter().map(|_| "---").collect::<Vec<_>>().join(" | ");
    // Writing to a string cannot fail.
    let _ = write!(out, "\n## {title}\n\n| {} |\n| {line} |\n", head.join(" | "));
}

fn row(out: &mut String, cells: &[String]) {
    // Writing to a string cannot fail.
    let _ = writeln!(out, "| {} |", cells.join(" | "));
}

fn growth(out: &mut String, records: &Records) {
    let head = ["update", "written", "growth, chunks", "differing", "growth / differing", "bar ≤ 1.02", "time, s"];
    table(out, "A new base: over its ancestor, and into a new file system", &head);
    for what in ["weekly", "large"] {
        let [over, fresh] = ["over", "fresh"].map(|how| records.having(&[("what", what), ("how", how)]));
        let held = ratio(&over.series("growth_chunks"), &over.series("differ_chunks"));
        let written =
            |of: &Records| of.series("written_mib").median().map_or("–".into(), |mib| format!("{mib:.1} MiB"));
        let line = |name: String, of: &Records, held: Option<f64>, bar: &str, differ: String| {
            [
                name,
                written(of),
                of.series("growth_chunks").words(0),
                differ,
                times(held),
                bar.into(),
                of.series("seconds").words(1),
            ]
        };
        let bar = verdict(held, |x| x <= GROWTH_BAR);
        row(out, &line(format!("{what}, over its ancestor"), &over, held, bar, over.series("differ_chunks").words(0)));
        row(out, &line(format!("{what}, new file system"), &fresh, None, "", String::new()));
        let saved = ratio(&fresh.series("growth_chunks"), &over.series("growth_chunks"));
        let faster = ratio(&fresh.series("seconds"), &over.series("seconds"));
        let words = |value: Option<f64>| value.map_or("–".into(), |value| format!("{value:.1} times less"));
        let cells = [format!("{what}, saved"), String::new(), words(saved), String::new()];
        row(out, &[&cells[..], &[String::new(), String::new(), words(faster)]].concat());
    }
    let first = records.having(&[("what", "first")]);
    let cells = [
        "the first base, new file system".into(),
        format!("{:.1} MiB", first.series("written_mib").median().unwrap_or_default()),
        first.series("growth_chunks").words(0),
        String::new(),
        "–".into(),
        String::new(),
        first.series("seconds").words(1),
    ];
    row(out, &cells);
    table(out, "Where its time goes (s)", &["update", "read image", "write and verify", "seal"]);
    for (what, how) in [("weekly", "over"), ("weekly", "fresh"), ("large", "over"), ("large", "fresh")] {
        let of = records.having(&[("what", what), ("how", how)]);
        let cell = |field| of.series(field).words(1);
        row(out, &[format!("{what}, {how}"), cell("read_s"), cell("write_s"), cell("seal_s")]);
    }
}

fn layer(out: &mut String, records: &Records) {
    table(out, "A new layer", &["after", "chunks of 64 KiB", "bar < 1 MiB"]);
    for (name, field) in [("fork", "fork_chunks"), ("first writable mount and unmount", "mounted_chunks")] {
        let series = records.series(field);
        row(out, &[name.into(), series.words(0), verdict(series.median(), |x| x < LAYER_BAR).into()]);
    }
}

fn copy(out: &mut String, records: &Records) {
    let head = ["update", "rsync -c, s", "read + write, s", "ratio", "bar ≤ 1", "verify, s", "chunks: rsync", "ours"];
    table(out, "Copying beside rsync", &head);
    for what in ["weekly", "large"] {
        let [ours, rsync] = ["thinroot", "rsync"].map(|who| records.having(&[("what", what), ("who", who)]));
        let (own, theirs) = (ours.sums(&["read_s", "write_s"]), rsync.series("total_s"));
        let ratio = ratio(&own, &theirs);
        let cells = [
            what.into(),
            theirs.words(2),
            own.words(2),
            times(ratio),
            verdict(ratio, |x| x <= COPY_BAR).into(),
            ours.series("verify_s").words(2),
            rsync.series("chunks").words(0),
            ours.series("chunks").words(0),
        ];
        row(out, &cells);
    }
}

fn delta(out: &mut String, records: &Records) {
    let head = ["layer", "cache", "by lineage, s", "hashing all, s", "times faster", "bar ≥ 4"];
    table(out, "What a layer changed, 50,000 paths", &head);
    for (what, cache) in
        [("untouched", "cold"), ("untouched", "warm"), ("lightly changed", "cold"), ("lightly changed", "warm")]
    {
        let of = |how| records.having(&[("what", what), ("cache", cache), ("how", how)]).series("seconds");
        let (lineage, hash) = (of("lineage"), of("hash"));
        let faster = ratio(&hash, &lineage);
        let bar = verdict(faster, |x| x >= DELTA_BAR).into();
        let faster = faster.map_or("–".into(), |x| format!("{x:.1}"));
        row(out, &[what.into(), cache.into(), lineage.words(3), hash.words(3), faster, bar]);
    }
}

fn memory(out: &mut String, records: &Records) {
    table(out, "Peak memory of an update", &["image", "peak, MiB", "goal < 64 MiB", "time, s"]);
    for what in ["tar.zst", "directory", "directory, 200,000 paths"] {
        let of = records.having(&[("what", what)]);
        let peak = of.series("peak_kib");
        let bar = verdict(peak.median(), |x| x < MEMORY_BAR).into();
        let mib = Series(peak.0.iter().map(|kib| kib / 1024.0).collect());
        row(out, &[what.into(), mib.words(1), bar, of.series("seconds").words(1)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_judged_and_gaps_are_said() {
        let growth = Records::parse(
            "{\"what\":\"weekly\",\"how\":\"over\",\"growth_chunks\":102,\"differ_chunks\":100,\"seconds\":2}\n\
             {\"what\":\"weekly\",\"how\":\"fresh\",\"growth_chunks\":1020,\"seconds\":9}\n\
             {\"what\":\"large\",\"how\":\"over\",\"growth_chunks\":103,\"differ_chunks\":100,\"seconds\":2}\n\
             {\"what\":\"layer\",\"fork_chunks\":1,\"mounted_chunks\":16}\n",
        );
        let page = render(&Parts { growth, ..Parts::default() });
        assert!(page.contains("| weekly, over its ancestor | – | 102 (n=1) | 100 (n=1) | 1.020 | met | 2.0 (n=1) |"));
        assert!(page.contains("| 103 (n=1) | 100 (n=1) | 1.030 | **missed** |"), "{page}");
        assert!(page.contains("| fork | 1 (n=1) | met |"));
        assert!(page.contains("| first writable mount and unmount | 16 (n=1) | **missed** |"));
        assert!(page.contains("| tar.zst | not measured | not measured | not measured |"));
        assert!(page.contains("10.0 times less"));
    }
}
