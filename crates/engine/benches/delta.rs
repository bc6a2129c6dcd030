//! Finding what a layer changed, by lineage and by hashing every file.
//!
//! `cargo bench --bench delta -- WORK_DIR RUNS PATHS`, as root: makes a base of so many paths on ext4 in a file, and a layer
//! that is a copy of its blocks, mounts both below WORK_DIR, and prints one JSON object a measurement.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use thinroot_core::manifest::Manifest;
use thinroot_core::state::Policy;
use thinroot_engine::base::inodes::InodeTable;
use thinroot_engine::base::verify;
use thinroot_engine::progress::Silent;
use thinroot_engine::source::manifest_of_tree;
use thinroot_engine::state::delta;

mod ground;

use ground::{Outcome, grow_tree, make_file_system, mount, run};

fn main() -> Outcome<()> {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let [work, runs, paths] = &args[..] else {
        println!("nothing to measure: give WORK_DIR RUNS PATHS");
        return Ok(());
    };
    let (work, runs, paths): (PathBuf, usize, usize) = (work.into(), runs.parse()?, paths.parse()?);
    let (base_image, layer_image) = (work.join("base.img"), work.join("layer.img"));
    let base = work.join("base");
    make_file_system(&base_image)?;
    mount(&base_image, &base, "rw")?;
    grow_tree(&base, paths)?;
    let manifest = manifest_of_tree(&base)?;
    let (differences, table) = verify(&base, &manifest, &Silent)?;
    if !differences.is_empty() {
        return Err("the tree changed while it was read".into());
    }
    // Another mount namespace may keep the file system mounted, and umount then writes nothing back.
    run("sync", &[])?;
    run("umount", &[&base])?;
    run("cp", &[Path::new("--sparse=always"), &base_image, &layer_image])?;
    let layer = work.join("layer");
    mount(&layer_image, &layer, "rw,noatime")?;
    for what in ["untouched", "lightly changed"] {
        if what == "lightly changed" {
            touch_lightly(&layer, &manifest)?;
        }
        measure(&layer, &manifest, &table, what, runs)?;
    }
    run("umount", &[&layer])
}

fn measure(layer: &Path, manifest: &Manifest, table: &InodeTable, what: &str, runs: usize) -> Outcome<()> {
    for _ in 0..runs {
        for (how, lineage) in [("lineage", Some(table)), ("hash", None)] {
            for cache in ["cold", "warm"] {
                if cache == "cold" {
                    run("sync", &[])?;
                    fs::write("/proc/sys/vm/drop_caches", "3")?;
                }
                let start = Instant::now();
                let (found, stats) = delta(layer, manifest, lineage, &Policy::default(), &Silent)?;
                let seconds = start.elapsed().as_secs_f64();
                println!(
                    "{}",
                    serde_json::json!({
                        "what": what, "how": how, "cache": cache, "seconds": seconds, "paths": stats.paths,
                        "changes": found.changes.len(), "bytes_hashed": stats.bytes_hashed,
                        "content_mib": manifest.content_bytes() >> 20,
                    })
                );
            }
        }
    }
    Ok(())
}

/// What an admin does between two updates: some dozen files edited, some added, some removed.
fn touch_lightly(layer: &Path, manifest: &Manifest) -> Outcome<()> {
    let files: Vec<_> = manifest.entries().iter().filter(|entry| entry.kind.digest().is_some()).collect();
    let path = |i: usize| layer.join(files[i * (files.len() / 100)].path.to_string().trim_start_matches('/'));
    for i in 0..50 {
        fs::write(path(i), format!("changed {i}"))?;
    }
    for i in 50..60 {
        fs::remove_file(path(i))?;
    }
    for i in 60..80 {
        fs::write(path(i).with_extension("new"), format!("added {i}"))?;
    }
    Ok(())
}
