//! Room in a real thin pool: boots the test kernel and lets [`super::guest`] measure there.

use std::path::Path;
use std::time::Duration;

use super::records::Records;
use crate::bed::{Access, Bed, sparse_disk};
use crate::cache::Cache;
use crate::image::DemoImages;
use crate::{Context, Result};

const DISK_MIB: u64 = 8192;
const LIMIT: Duration = Duration::from_secs(1800);

/// Measures `rounds` times, each time in a new kernel with a new pool.
pub fn measure(cache: &Cache, program: &Path, images: &DemoImages, rounds: usize) -> Result<Records> {
    let weekly = images.weekly.as_ref().ok_or("bench needs the weekly image")?;
    let own = std::env::current_exe().context("find our own program")?;
    let mut all = Records::default();
    for round in 1..=rounds {
        println!("growth: round {round} of {rounds} in the test kernel");
        let job = cache.job("bench")?;
        let disk = job.path().join("disk");
        sparse_disk(&disk, DISK_MIB)?;
        let mut words = vec![own.display().to_string(), "bench-guest".into(), program.display().to_string()];
        words.push("/dev/ubda".into());
        for image in [&images.first, weekly, &images.second] {
            words.push(format!("{}={}", image.id, image.archive.display()));
        }
        let mut bed = Bed::new(cache).memory_mib(2048).timeout(LIMIT).disk(&disk, Access::Write).live();
        for file in [&own, program] {
            let dir = file.parent().ok_or("a program lies in a directory")?;
            bed = bed.bind(dir, Access::Read);
        }
        let said = bed.run(&words.join(" "))?.expect_done("measuring growth")?;
        all.0.extend(Records::parse(&said).0);
    }
    Ok(all)
}
