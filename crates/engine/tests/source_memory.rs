//! Memory while an image is read: bounded by the number of paths, whatever the contents are. A process of its own, since
//! the kernel counts a process's peak.

use std::fs::File;
use std::io::{BufWriter, Write};

use thinroot_core::image::Arch;
use thinroot_engine::progress::Silent;
use thinroot_engine::source::{Image, OpenOptions};
use thinroot_testkit::images::tar::Tar;

const PATHS: usize = 60_000;
/// The promise: a host with little memory can be updated.
const LIMIT_KIB: u64 = 64 << 10;

fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn sixty_thousand_paths_and_a_large_file_fit_in_64_mib() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("image.tar");
    let mut out = BufWriter::new(File::create(&path).unwrap());
    out.write_all(&Tar::bootable("1").unfinished()).unwrap();
    for number in 0..PATHS {
        let name = format!("usr/share/doc/package-{}/some-file-with-a-usual-name-{number}", number % 500);
        out.write_all(&Tar::new().file(name, b"content").unfinished()).unwrap();
    }
    let size = 256 << 20;
    out.write_all(&thinroot_testkit::images::tar::header(b'0', b"large", b"", size)).unwrap();
    (0..size / 65536).for_each(|n| out.write_all(&[n as u8; 65536]).unwrap());
    out.write_all(&Tar::new().finish()).unwrap();
    out.into_inner().unwrap();

    let options = OpenOptions { identity: None, arch: Arch::X86_64 };
    let image = Image::open(&format!("tar:{}", path.display()).parse().unwrap(), &options, &Silent).unwrap();
    assert!(image.info.paths > PATHS as u64);
    assert!(peak_kib() < LIMIT_KIB, "{} KiB", peak_kib());
}
