//! Copying beside rsync: the same new tree over the same old one, in turns, on file systems in files.

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::{Value, json};

use super::delta::engine_bench;
use super::records::Records;
use super::run::must;
use crate::cache::Cache;
use crate::image::{DemoImage, DemoImages};
use crate::{Context, Result};

/// What reads and compares as much as we do, and writes as little as it can.
const RSYNC: [&str; 6] = ["-c", "--inplace", "-aHAX", "--delete", "--numeric-ids", "--exclude=/lost+found"];
/// The base writer's mount options.
const OPTIONS: &str = "loop,rw,noload,noatime";
/// As the engine makes its bases.
const FEATURES: &str = "metadata_csum,metadata_csum_seed,^resize_inode";

/// Measures weekly and large updates, `rounds` times each.
pub fn measure(cache: &Cache, images: &DemoImages, rounds: usize) -> Result<Records> {
    let weekly = images.weekly.as_ref().ok_or("bench needs the weekly image")?;
    let job = cache.job("bench")?;
    let stand = Stand::build(job.path(), [&images.first, weekly, &images.second])?;
    let mut records = Records::default();
    for (what, new) in [("weekly", weekly), ("large", &images.second)] {
        for round in 0..rounds {
            println!("copy: {what}, round {} of {rounds}", round + 1);
            // In turns, so that neither always meets the warmer or the busier machine.
            let turns: [bool; 2] = if round % 2 == 0 { [true, false] } else { [false, true] };
            for ours in turns {
                records.0.push(stand.once(what, new, ours)?);
            }
        }
    }
    must("umount", &[&stand.sources.to_string_lossy()])?;
    Ok(records)
}

struct Stand {
    work: PathBuf,
    sources: PathBuf,
    old: PathBuf,
    base: PathBuf,
}

impl Stand {
    /// The trees on one file system, and the first of them as a base on another.
    fn build(work: &Path, images: [&DemoImage; 3]) -> Result<Self> {
        println!("copy: unpacking three images");
        let sources = file_system(work, "sources", 4 << 30, "loop,noatime")?;
        for image in images {
            let dir = sources.join(image.name);
            std::fs::create_dir(&dir).context(format!("create {}", dir.display()))?;
            let (archive, dir) = (image.archive.to_string_lossy(), dir.to_string_lossy());
            must(
                "tar",
                &["--zstd", "--xattrs", "--xattrs-include=*", "--numeric-owner", "-xpf", &archive, "-C", &dir],
            )?;
        }
        let point = file_system(work, "base", 2 << 30, OPTIONS)?;
        let old = sources.join(images[0].name);
        let (from, to) = (format!("{}/", old.display()), point.display().to_string());
        must("rsync", &["-aHAX", "--numeric-ids", "--delete", &from, &to])?;
        // Another mount namespace may keep the file system mounted, and umount then writes nothing back.
        must("sync", &[])?;
        must("umount", &[&to])?;
        Ok(Stand { work: work.into(), old, sources, base: work.join("base.img") })
    }

    /// One writing into a new copy of the base.
    fn once(&self, what: &str, new: &DemoImage, ours: bool) -> Result<Value> {
        let (image, point) = (self.work.join("target.img"), self.work.join("target"));
        must("cp", &["--sparse=always", &self.base.to_string_lossy(), &image.to_string_lossy()])?;
        std::fs::create_dir_all(&point).context(format!("create {}", point.display()))?;
        let to = point.to_string_lossy().into_owned();
        must("sync", &[])?;
        must("mount", &["-o", OPTIONS, &image.to_string_lossy(), &to])?;
        let from = self.sources.join(new.name).display().to_string();
        let mut record = if ours {
            let records = engine_bench("copy", &[&self.old.to_string_lossy(), &from, &to])?;
            records.0.into_iter().next().ok_or("the engine's bench printed nothing")?
        } else {
            let start = Instant::now();
            must("rsync", &[&RSYNC[..], &[&format!("{from}/"), &to]].concat())?;
            json!({"who": "rsync", "total_s": start.elapsed().as_secs_f64()})
        };
        let start = Instant::now();
        must("sync", &["-f", &to])?;
        must("umount", &[&to])?;
        record["flush_s"] = json!(start.elapsed().as_secs_f64());
        record["what"] = json!(what);
        record["chunks"] = json!(super::chunks::differing(&self.base, &image)?);
        println!("  {record}");
        Ok(record)
    }
}

fn file_system(work: &Path, name: &str, bytes: u64, options: &str) -> Result<PathBuf> {
    let (image, point) = (work.join(format!("{name}.img")), work.join(name));
    let file = std::fs::File::create(&image).context(format!("create {}", image.display()))?;
    file.set_len(bytes).context(format!("size {}", image.display()))?;
    let image = image.to_string_lossy();
    must("mkfs.ext4", &["-q", "-F", "-b", "4096", "-I", "256", "-O", FEATURES, &image])?;
    std::fs::create_dir(&point).context(format!("create {}", point.display()))?;
    must("mount", &["-o", options, &image, &point.to_string_lossy()])?;
    Ok(point)
}
