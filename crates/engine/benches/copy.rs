//! One writing of a base over its ancestor, timed by its parts. `cargo xtask bench` sets it up and compares it with
//! rsync; by hand: `cargo bench --bench copy -- OLD_TREE NEW_TREE TARGET`, where TARGET is mounted and equals OLD_TREE.
//! Prints one JSON object.

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use thinroot_core::image::Arch;
use thinroot_engine::base::{verify, write};
use thinroot_engine::progress::Silent;
use thinroot_engine::source::{Image, ImageRef, OpenOptions, manifest_of_tree};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let [old, new, target] = &args[..] else {
        println!("nothing to measure: give OLD_TREE NEW_TREE TARGET");
        return Ok(());
    };
    // A host has this in its records.
    let old = manifest_of_tree(Path::new(old))?;
    let options = OpenOptions { identity: Some("bench-1-1".parse()?), arch: Arch::X86_64 };
    let start = Instant::now();
    let mut image = Image::open(&ImageRef::Dir(new.into()), &options, &Silent)?;
    let read_s = start.elapsed().as_secs_f64();
    let start = Instant::now();
    let stats = write(Path::new(target), Some(&old), &image.manifest, image.source.as_mut(), &Silent)?;
    let write_s = start.elapsed().as_secs_f64();
    let start = Instant::now();
    let (differences, _) = verify(Path::new(target), &image.manifest, &Silent)?;
    let verify_s = start.elapsed().as_secs_f64();
    if let Some(first) = differences.first() {
        return Err(format!("{} differences, the first: {first}", differences.len()).into());
    }
    println!(
        "{}",
        serde_json::json!({
            "who": "thinroot", "read_s": read_s, "write_s": write_s, "verify_s": verify_s,
            "written_mib": stats.bytes_written as f64 / f64::from(1 << 20), "renames": stats.renames,
        })
    );
    Ok(())
}
