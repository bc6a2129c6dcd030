//! Whatever bytes come: an image or a refusal, never a panic, never an overflow (tests are built with both checked).

use std::fs;

use proptest::prelude::*;
use thinroot_core::image::Arch;
use thinroot_core::manifest::{Entry, Kind};
use thinroot_engine::error::ErrorKind;
use thinroot_engine::progress::Silent;
use thinroot_engine::source::{Image, OpenOptions};
use thinroot_testkit::images::tar::{Tar, header};

const BLOCK: usize = 512;

/// An archive with every kind of header that is parsed.
fn sample() -> Vec<u8> {
    let mut sparse = header(b'S', b"gnu-sparse", b"", 4);
    sparse[386..398].copy_from_slice(b"00000001000\0");
    sparse[398..410].copy_from_slice(b"00000000004\0");
    sparse[483..495].copy_from_slice(b"00000002000\0");
    Tar::bootable("1")
        .dir("dir")
        .pax(&[("path", b"pax/path"), ("mtime", b"-1.5"), ("uid", b"7"), ("SCHILY.xattr.user.x", b"\n=\0")])
        .file("x", b"content")
        .member(b'L', "././@LongLink", b"", b"long/name\0")
        .member(b'K', "././@LongLink", b"", b"dir\0")
        .symlink("y", "z")
        .hardlink("link", "pax/path")
        .bytes(&refresh(&sparse))
        .content(b"data")
        .pax(&[("GNU.sparse.major", b"1"), ("GNU.sparse.minor", b"0"), ("GNU.sparse.realsize", b"9000")])
        .file("sparse", &[&b"1\n8192\n5\n"[..], &[0; BLOCK - 9], b"12345"].concat())
        .pax(&[("GNU.sparse.size", b"99"), ("GNU.sparse.map", b"0,1,90,2")])
        .file("sparse-0.1", b"123")
        .member(b'g', "g", b"", b"9 gid=55\n")
        .member(b'3', "device", b"", b"")
        .member(b'6', "fifo", b"", b"")
        .finish()
}

/// Makes the checksum of a header right again, so that a change gets past it.
fn refresh(block: &[u8]) -> Vec<u8> {
    let mut block = block.to_vec();
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|b| u32::from(*b)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

fn open(raw: &[u8]) -> Result<Image, thinroot_engine::error::Error> {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), raw).unwrap();
    let options = OpenOptions { identity: None, arch: Arch::X86_64 };
    Image::open(&format!("tar:{}", file.path().display()).parse().unwrap(), &options, &Silent)
}

#[test]
fn the_sample_itself_is_good() {
    let image = open(&sample()).unwrap();
    let sparse: Vec<_> = image.manifest.entries().iter().filter(|e| e.path.to_string().contains("sparse")).collect();
    let size = |entry: &&Entry| {
        let Kind::File { size, sparse, .. } = entry.kind else { panic!("{entry:?}") };
        (entry.path.to_string(), size, sparse)
    };
    let sizes: Vec<_> = sparse.iter().map(size).collect();
    // None but the second has a whole block of zeros.
    let wanted =
        [("/gnu-sparse".into(), 1024, false), ("/sparse".into(), 9000, true), ("/sparse-0.1".into(), 99, false)];
    assert_eq!(sizes, wanted);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn changed_bytes_are_read_or_refused(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in prop::option::weighted(0.1, any::<prop::sample::Index>()),
    ) {
        let mut raw = sample();
        for (at, value) in &changes {
            let at = at.index(raw.len());
            raw[at] = *value;
            let start = at / BLOCK * BLOCK;
            if raw[start + 257..start + 262] == *b"ustar" {
                let block = refresh(&raw[start..start + BLOCK]);
                raw[start..start + BLOCK].copy_from_slice(&block);
            }
        }
        if let Some(cut) = cut {
            raw.truncate(cut.index(raw.len()));
        }
        if let Err(error) = open(&raw) {
            prop_assert_eq!(error.kind, ErrorKind::Refused, "{}", error);
        }
    }
}
