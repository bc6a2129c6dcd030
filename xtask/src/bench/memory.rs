//! Peak memory of whole updates in directory stores on this machine, by kind and size of image.

use std::path::Path;

use serde_json::{Value, json};

use super::records::Records;
use super::run::{Run, Thinroot, must};
use crate::cache::Cache;
use crate::image::DemoImages;
use crate::job::JobDir;
use crate::{Context, Result};

/// Paths that are added to a demo image for the large one.
const MANY: usize = 185_000;
const PER_DIRECTORY: usize = 200;

/// Measures each kind `rounds` times.
pub fn measure(cache: &Cache, program: &Path, images: &DemoImages, rounds: usize) -> Result<Records> {
    let job = cache.job("bench")?;
    let trees = job.path().join("trees");
    println!("memory: unpacking");
    let unpack = |archive: &Path, name: &str| -> Result<String> {
        let dir = trees.join(name);
        std::fs::create_dir_all(&dir).context(format!("create {}", dir.display()))?;
        let (archive, dir) = (archive.to_string_lossy(), dir.to_string_lossy().into_owned());
        must("tar", &["--zstd", "--xattrs", "--xattrs-include=*", "--numeric-owner", "-xpf", &archive, "-C", &dir])?;
        Ok(dir)
    };
    let tar = |archive: &Path| format!("tar:{}", archive.display());
    let first = tar(&images.first.archive);
    let dir = format!("dir:{}", unpack(&images.second.archive, "second")?);
    let mut records = Records::default();
    for _ in 0..rounds {
        records.0.push(update(cache, program, "tar.zst", &first, &tar(&images.second.archive))?);
        records.0.push(update(cache, program, "directory", &first, &dir)?);
    }
    let many = unpack(&images.first.archive, "many")?;
    grow(Path::new(&many))?;
    let many = format!("dir:{many}");
    records.0.push(update(cache, program, "directory, 200,000 paths", &many, &many)?);
    Ok(records)
}

/// Adds the old image, makes a layer of it, then measures the update to the new one.
fn update(cache: &Cache, program: &Path, what: &str, old: &str, new: &str) -> Result<Value> {
    let job: JobDir = cache.job("bench")?;
    let store = job.path().join("store");
    let thinroot = Thinroot::new(program, &format!("dir:{}", store.display()), &store.join("boot"));
    thinroot.run(&["init"])?;
    let add = thinroot.run(&["base", "add", old, "--as", "bench-1-1", "--size", "6G"])?;
    thinroot.run(&["layer", "fork", "bench-1-1"])?;
    let Run { seconds, peak_kib, .. } = thinroot.run(&["update", new, "--as", "bench-2-1"])?;
    let record = json!({"what": what, "peak_kib": peak_kib, "seconds": seconds, "add_peak_kib": add.peak_kib});
    println!("  {record}");
    // A sealed base in a directory store is immutable; the work directory could not be removed.
    must("chattr", &["-R", "-i", &store.to_string_lossy()])?;
    Ok(record)
}

fn grow(tree: &Path) -> Result<()> {
    for directory in 0..MANY / PER_DIRECTORY {
        let dir = tree.join(format!("usr/share/many/{directory}"));
        std::fs::create_dir_all(&dir).context(format!("create {}", dir.display()))?;
        for file in 1..PER_DIRECTORY {
            let path = dir.join(format!("a-file-with-a-usual-name-{file}.txt"));
            std::fs::write(&path, format!("{directory} {file}")).context(format!("write {}", path.display()))?;
        }
    }
    Ok(())
}
