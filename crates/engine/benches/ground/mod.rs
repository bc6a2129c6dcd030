//! What the measurements stand on: file systems in files, and trees that are like a system's.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::Command;

pub type Outcome<T> = Result<T, Box<dyn Error>>;

const FILES_PER_DIRECTORY: usize = 12;
/// Sizes as they are in a system: many small files, a few large ones (about 12 KiB in the mean).
const SIZES: [usize; 16] = [0, 40, 200, 500, 900, 1200, 1700, 2500, 3300, 4800, 6500, 9000, 14000, 22000, 40000, 90000];

pub fn grow_tree(root: &Path, paths: usize) -> Outcome<()> {
    let mut noise = 0x9e37_79b9_7f4a_7c15_u64;
    let mut made = 0;
    for directory in 0.. {
        let dir = root.join(format!("usr/share/{}/{directory}", directory / 40));
        fs::create_dir_all(&dir)?;
        made += 1;
        for file in 0..FILES_PER_DIRECTORY {
            noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let size = SIZES[(noise >> 33) as usize % SIZES.len()];
            let bytes: Vec<u8> = (0..size).map(|i| (noise >> (i % 57)) as u8 ^ i as u8).collect();
            fs::write(dir.join(format!("file-{file}")), bytes)?;
            made += 1;
            if made >= paths {
                return Ok(());
            }
        }
    }
    Ok(())
}

pub fn make_file_system(image: &Path) -> Outcome<()> {
    fs::File::create(image)?.set_len(4 << 30)?;
    run("mkfs.ext4", &[Path::new("-q"), Path::new("-F"), image])
}

pub fn mount(image: &Path, point: &Path, options: &str) -> Outcome<()> {
    fs::create_dir_all(point)?;
    run("mount", &[Path::new("-o"), Path::new(&format!("loop,{options}")), image, point])
}

pub fn run(program: &str, args: &[&Path]) -> Outcome<()> {
    let status = Command::new(program).args(args).status()?;
    if status.success() { Ok(()) } else { Err(format!("{program} {args:?}: {status}").into()) }
}
