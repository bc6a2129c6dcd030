//! Planning and carrying out the state of a host, beside the walk that finds it.
//!
//! `cargo bench --bench state -- WORK_DIR RUNS PATHS`, as root: a base of so many paths on ext4 in a file, a layer that is a
//! copy of its blocks with 200 changes, and a new base of which 1,000 files differ, 60 of them changed on both sides. Prints
//! one JSON object a measurement. `--memory PATHS`: plans over trees of so many paths that are only told, and prints the
//! peak memory of that.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use thinroot_core::manifest::{Accounts, Digest, Entry, Kind, Manifest, Meta};
use thinroot_core::path::TreePath;
use thinroot_core::state::{Change, Delta, Policy, plan, texts_to_merge};
use thinroot_engine::base::verify;
use thinroot_engine::progress::Silent;
use thinroot_engine::source::manifest_of_tree;
use thinroot_engine::state::{BlobStore, RootContents, Roots, apply, delta, merge_texts, present_texts, read_texts};

mod ground;

use ground::{Outcome, grow_tree, make_file_system, mount, run};

/// Configuration files of the base.
const CONFIGURATION: usize = 1500;
/// Of these the new base changes the first.
const VENDOR_CHANGES: usize = 1000;
/// Files changed on both sides; the others of the 200 changes are in files that the new base leaves alone.
const BOTH: usize = 60;

fn main() -> Outcome<()> {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    match &args[..] {
        [memory, paths] if memory == "--memory" => told(paths.parse()?),
        [work, runs, paths] => measure(&PathBuf::from(work), runs.parse()?, paths.parse()?),
        _ => {
            println!("nothing to measure: give WORK_DIR RUNS PATHS, or --memory PATHS");
            Ok(())
        }
    }
}

fn measure(work: &Path, runs: usize, paths: usize) -> Outcome<()> {
    let image = |name: &str| work.join(format!("{name}.img"));
    let [base, layer, new] = ["base", "layer", "new"].map(|name| work.join(name));
    make_file_system(&image("base"))?;
    mount(&image("base"), &base, "rw")?;
    grow_tree(&base, paths - CONFIGURATION)?;
    fs::create_dir_all(base.join("etc/conf"))?;
    (0..CONFIGURATION).try_for_each(|i| fs::write(file(&base, i), text(0, 0)))?;
    let old = manifest_of_tree(&base)?;
    let (differences, table) = verify(&base, &old, &Silent)?;
    if !differences.is_empty() {
        return Err("the tree changed while it was read".into());
    }
    run("sync", &[])?;
    for name in ["layer", "new"] {
        run("cp", &[Path::new("--sparse=always"), &image("base"), &image(name)])?;
    }
    mount(&image("layer"), &layer, "rw,noatime")?;
    change(&layer)?;
    let policy = Policy::default();
    for _ in 0..runs {
        mount(&image("new"), &new, "rw,noatime")?;
        (0..VENDOR_CHANGES).try_for_each(|i| fs::write(file(&new, i), text(0, 1)))?;
        let vendor = manifest_of_tree(&new)?;
        let begun = Instant::now();
        let (changes, stats) = delta(&layer, &old, Some(&table), &policy, &Silent)?;
        let walk = begun.elapsed().as_secs_f64();
        let begun = Instant::now();
        let wanted = texts_to_merge(&old, &changes, &vendor, &policy);
        let originals = read_texts(&wanted, &old, &mut RootContents::open(&base)?)?;
        let local = present_texts(&wanted, &RootContents::open(&layer)?)?;
        let shipped = read_texts(&wanted, &vendor, &mut RootContents::open(&new)?)?;
        let merged = merge_texts(&wanted, [&originals, &local, &shipped], |path| old.get(path).is_none(), &policy);
        let planned = plan(&old, &changes, &vendor, &policy, &merged);
        let planning = begun.elapsed().as_secs_f64();
        let blobs = work.join("blobs");
        let begun = Instant::now();
        let done = apply(&planned, Roots { frozen: &layer, layer: &new, base: Some(&base) }, &BlobStore::new(&blobs))?;
        let applying = begun.elapsed().as_secs_f64();
        let record = serde_json::json!({
            "what": "state", "paths": stats.paths, "changes": changes.changes.len(), "merged": merged.len(),
            "put": done.put, "kept": done.kept, "walk_s": walk, "plan_s": planning, "apply_s": applying,
        });
        println!("{record}");
        fs::remove_dir_all(&blobs)?;
        run("umount", &[&new])?;
        run("cp", &[Path::new("--sparse=always"), &image("base"), &image("new")])?;
    }
    run("umount", &[&layer])?;
    run("umount", &[&base])
}

fn file(root: &Path, i: usize) -> PathBuf {
    root.join(format!("etc/conf/file-{i}"))
}

/// Forty lines; each side has its own place to change.
fn text(mine: u32, theirs: u32) -> String {
    let value = |line| match line {
        5 => mine,
        30 => theirs,
        _ => 0,
    };
    (0..40).map(|line| format!("setting-{line} = {}\n", value(line))).collect()
}

/// 200 changes: 120 files edited, half of them where the new base does too, 40 added, 20 removed, 20 of another mode.
fn change(layer: &Path) -> Outcome<()> {
    use std::os::unix::fs::PermissionsExt;
    (0..BOTH).try_for_each(|i| fs::write(file(layer, i), text(1, 0)))?;
    (0..60).try_for_each(|i| fs::write(file(layer, VENDOR_CHANGES + i), text(1, 0)))?;
    (0..40).try_for_each(|i| fs::write(layer.join(format!("etc/conf/own-{i}")), text(2, 2)))?;
    (60..80).try_for_each(|i| fs::remove_file(file(layer, VENDOR_CHANGES + i)))?;
    for i in 80..100 {
        fs::set_permissions(file(layer, VENDOR_CHANGES + i), fs::Permissions::from_mode(0o600))?;
    }
    Ok(())
}

fn told(paths: usize) -> Outcome<()> {
    let tree = |differ: u8| -> Outcome<Manifest> {
        let path = |text: String| TreePath::parse(text.as_bytes());
        let mut entries = Vec::with_capacity(paths);
        let dir = |path: TreePath| Entry { path, kind: Kind::Directory, meta: Meta::default(), hardlink: None };
        entries.push(dir(TreePath::root()));
        let mut at = String::new();
        for i in 1..paths {
            if i % 50 == 1 {
                at = format!("a-directory-{i}");
                entries.push(dir(path(at.clone())?));
                continue;
            }
            let digest = Digest([if i % 100 == 0 { differ } else { 0 }; 32]);
            let kind = Kind::File { size: 1000, digest, sparse: false };
            let path = path(format!("{at}/a-file-with-a-usual-name-{i}.txt"))?;
            entries.push(Entry { path, kind, meta: Meta::default(), hardlink: None });
        }
        Ok(Manifest::new(Accounts::default(), entries)?)
    };
    let (old, new) = (tree(1)?, tree(2)?);
    let touched = old.entries().iter().filter(|entry| entry.kind.digest().is_some()).step_by(paths / 1000 + 1);
    let changes = touched.map(|entry| (entry.path.clone(), Change::Removed)).collect();
    let delta = Delta { accounts: Accounts::default(), changes };
    let begun = Instant::now();
    let planned = plan(&old, &delta, &new, &Policy::default(), &BTreeMap::new());
    let seconds = begun.elapsed().as_secs_f64();
    let status = fs::read_to_string("/proc/self/status")?;
    let peak =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse::<u64>().ok());
    let record = serde_json::json!({
        "what": "memory", "paths": old.entries().len(), "changes": delta.changes.len(),
        "decisions": planned.decisions.len(), "plan_s": seconds, "peak_kib": peak,
    });
    println!("{record}");
    Ok(())
}
