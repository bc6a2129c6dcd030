//! What is measured inside the test kernel: room in a real thin pool. Prints one JSON object a measurement.
//!
//! Separate from the host's side because it is another process in another kernel: `xtask bench-guest`, started by
//! [`super::pool`] and by nobody else.

use std::path::Path;

use serde_json::json;

use super::chunks;
use super::run::{Run, Thinroot, must};
use crate::Result;

const VG: &str = "bench";
const POOL: &str = "pool";
const RECORDS: &str = "thinroot";
/// A thin volume's status counts sectors; a chunk has this many.
const CHUNK_SECTORS: u64 = (chunks::CHUNK / 512) as u64;

/// Runs the guest's side: the program, the disk of the pool, then pairs of an image's id and its archive: the first
/// image, the weekly and the large one.
pub fn run(args: &[String]) -> Result<()> {
    let [program, disk, rest @ ..] = args else { return Err("bench-guest is started by bench".into()) };
    let [first, weekly, large] = rest else { return Err("bench-guest needs three images".into()) };
    must("pvcreate", &["-q", disk])?;
    must("vgcreate", &["-q", VG, disk])?;
    let pool = format!("{VG}/{POOL}");
    let kind = ["-q", "-y", "--type", "thin-pool", "-Zn", "--chunksize", "64k"];
    must("lvcreate", &[&kind[..], &["-L", "7000m", "--poolmetadatasize", "64m", "-n", POOL, VG]].concat())?;
    let bench = Bench { thinroot: Thinroot::new(Path::new(program), &format!("lvm:{pool}"), Path::new("/tmp/boot")) };
    bench.thinroot.run(&["init"])?;
    let ancestor = bench.add("first", "fresh", first, None)?;
    let turns =
        [("weekly", "over", weekly), ("large", "over", large), ("weekly", "fresh", weekly), ("large", "fresh", large)];
    for (what, how, image) in turns {
        let base = bench.add(what, how, image, Some(&ancestor).filter(|_| how == "over"))?;
        bench.thinroot.run(&["base", "remove", &base])?;
    }
    // In the end: the first layer of a store becomes its default, which cannot be removed.
    bench.layer(&ancestor)
}

struct Bench {
    thinroot: Thinroot,
}

/// What the pool has given away, without what the records take.
#[derive(Debug, Clone, Copy)]
struct Used {
    chunks: u64,
    metadata_blocks: u64,
    records_chunks: u64,
}

impl Bench {
    /// Adds an image: over the ancestor, or under a name that has none. Gives the base's name.
    fn add(&self, what: &str, how: &str, image: &str, ancestor: Option<&String>) -> Result<String> {
        let (id, archive) = image.split_once('=').ok_or("an image is ID=ARCHIVE")?;
        let base = if how == "fresh" && what != "first" { format!("fresh-{id}") } else { id.to_string() };
        let before = used()?;
        let run = self.thinroot.run(&["base", "add", &format!("tar:{archive}"), "--as", &base])?;
        let after = used()?;
        let differ = ancestor.map(|ancestor| differing(ancestor, &base)).transpose()?;
        let Run { seconds, peak_kib, .. } = run;
        println!(
            "{}",
            json!({
                "what": what, "how": how, "seconds": seconds, "peak_kib": peak_kib,
                "read_s": run.step_seconds("read image"), "write_s": run.step_seconds("write what differs"),
                "seal_s": run.step_seconds("seal base"), "written_mib": run.written_mib(),
                "growth_chunks": after.chunks as i64 - before.chunks as i64, "differ_chunks": differ,
                "metadata_blocks": after.metadata_blocks as i64 - before.metadata_blocks as i64,
                "records_chunks": after.records_chunks,
            })
        );
        Ok(base)
    }

    /// What a layer costs: forked, then mounted writable and unmounted.
    fn layer(&self, base: &str) -> Result<()> {
        let before = used()?;
        let fork = self.thinroot.run(&["layer", "fork", base])?;
        let forked = used()?;
        let layer = format!("{base}+1");
        active(&layer)?;
        must("mkdir", &["-p", "/tmp/layer"])?;
        must("mount", &["-o", "rw", &device(&layer), "/tmp/layer"])?;
        must("umount", &["/tmp/layer"])?;
        let mounted = used()?;
        println!(
            "{}",
            json!({
                "what": "layer", "seconds": fork.seconds, "fork_chunks": forked.chunks as i64 - before.chunks as i64,
                "mounted_chunks": mounted.chunks as i64 - before.chunks as i64,
            })
        );
        Ok(())
    }
}

fn differing(ancestor: &str, base: &str) -> Result<u64> {
    active(ancestor)?;
    active(base)?;
    let count = chunks::differing(Path::new(&device(ancestor)), Path::new(&device(base)));
    must("lvchange", &["-q", "-an", &format!("{VG}/{ancestor}"), &format!("{VG}/{base}")])?;
    count
}

fn used() -> Result<Used> {
    must("sync", &[])?;
    active(RECORDS)?;
    let records = number(&status(RECORDS)?, 3)? / CHUNK_SECTORS;
    let pool = status(&format!("{POOL}-tpool"))?;
    let part = |at: usize| pool.split_whitespace().nth(at).and_then(|word| word.split('/').next()).unwrap_or_default();
    let parse = |at: usize| part(at).parse::<u64>().map_err(|_| format!("cannot understand the pool's status: {pool}"));
    Ok(Used { chunks: parse(5)? - records, metadata_blocks: parse(4)?, records_chunks: records })
}

fn number(text: &str, at: usize) -> Result<u64> {
    let word = text.split_whitespace().nth(at);
    word.and_then(|word| word.parse().ok()).ok_or_else(|| format!("cannot understand the volume's status: {text}"))
}

fn status(volume: &str) -> Result<String> {
    let mapped = if volume.ends_with("-tpool") { format!("{VG}-{volume}") } else { mapper_name(volume) };
    must("dmsetup", &["status", &mapped])
}

fn active(volume: &str) -> Result<()> {
    must("lvchange", &["-q", "-ay", "-K", &format!("{VG}/{volume}")]).map(|_| ())
}

fn mapper_name(volume: &str) -> String {
    format!("{VG}-{}", volume.replace('-', "--"))
}

fn device(volume: &str) -> String {
    format!("/dev/mapper/{}", mapper_name(volume))
}
