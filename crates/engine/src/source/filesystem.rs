//! Images that are file systems: squashfs, also the live layout, and raw ext4 or XFS.
//!
//! The kernel reads them, so they are checked before it sees them: the right kind, complete, and clean, because nothing
//! may be replayed and an unreplayed journal is a torn tree. A dirty XFS log the kernel finds itself.

use std::os::unix::fs::FileExt;
use std::path::Path;

use super::Found;
use super::content::as_refusal;
use super::directory::read_mounted;
use super::stream::open_file;
use crate::error::{Error, Result};
use crate::mounts::{FsImage, TempMount};
use crate::progress::Reporter;

/// Where live images keep their root file system; the older name second.
const LIVE_IMAGES: [&str; 2] = ["LiveOS/rootfs.img", "LiveOS/ext3fs.img"];

/// Reads a squashfs image.
pub(super) fn read_squashfs(path: &Path, attempted: &str, reporter: &dyn Reporter) -> Result<Found> {
    check_squashfs(path, attempted)?;
    let outer = mount(path, FsImage::Squashfs, attempted)?;
    let live = LIVE_IMAGES.iter().map(|name| outer.path().join(name)).find(|inner| {
        // Not followed: a link would lead out of the image.
        inner.symlink_metadata().is_ok_and(|metadata| metadata.is_file())
            && inner.parent().is_some_and(|dir| dir.symlink_metadata().is_ok_and(|metadata| metadata.is_dir()))
    });
    match live {
        Some(inner) => {
            let kind = raw_kind(&inner, attempted)?;
            let inner = mount(&inner, kind, attempted)?;
            let root = inner.path().to_path_buf();
            read_mounted(&root, vec![inner, outer], reporter)
        }
        None => {
            let root = outer.path().to_path_buf();
            read_mounted(&root, vec![outer], reporter)
        }
    }
}

/// Reads a raw file system image.
pub(super) fn read_raw(path: &Path, attempted: &str, reporter: &dyn Reporter) -> Result<Found> {
    let mount = mount(path, raw_kind(path, attempted)?, attempted)?;
    let root = mount.path().to_path_buf();
    read_mounted(&root, vec![mount], reporter)
}

fn mount(path: &Path, kind: FsImage, attempted: &str) -> Result<TempMount> {
    TempMount::image(path, kind).map_err(|error| as_refusal(error.during(attempted)))
}

// Superblock: magic at 0, bytes used at 40, little endian (kernel, fs/squashfs/squashfs_fs.h).
fn check_squashfs(path: &Path, attempted: &str) -> Result<()> {
    let file = open_file(path, attempted)?;
    let mut head = [0; 96];
    if file.read_exact_at(&mut head, 0).is_err() || !head.starts_with(b"hsqs") {
        return Err(Error::refused(attempted, "it is not a squashfs image"));
    }
    let used = u64::from_le_bytes(head[40..48].try_into().expect("eight bytes"));
    check_length(&file, used, attempted)
}

fn raw_kind(path: &Path, attempted: &str) -> Result<FsImage> {
    let file = open_file(path, attempted)?;
    let mut head = [0; 2048];
    if file.read_exact_at(&mut head, 0).is_err() {
        return Err(Error::refused(attempted, "it is too short for a file system"));
    }
    let le32 = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().expect("four bytes"));
    let be64 = |at: usize| u64::from_be_bytes(head[at..at + 8].try_into().expect("eight bytes"));
    let be32 = |at: usize| u32::from_be_bytes(head[at..at + 4].try_into().expect("four bytes"));
    if head[1080..1082] == [0x53, 0xef] {
        // Fields of the superblock at 1024 (kernel, fs/ext4/ext4.h): s_blocks_count 4, s_log_block_size 24, s_state 58,
        // s_feature_incompat 96 with RECOVER 0x4 and 64BIT 0x80, s_blocks_count_hi 336.
        let incompat = le32(1024 + 96);
        let high = if incompat & 0x80 != 0 { le32(1024 + 336) } else { 0 };
        let blocks = u64::from(high) << 32 | u64::from(le32(1024 + 4));
        let shift = le32(1024 + 24).min(6) + 10;
        check_length(&file, blocks.saturating_mul(1 << shift), attempted)?;
        let clean = head[1024 + 58] & 1 == 1 && head[1024 + 58] & 2 == 0;
        if incompat & 0x4 != 0 || !clean {
            let error = Error::refused(attempted, "its ext4 file system was not unmounted cleanly or has errors");
            return Err(error.mend(format!("e2fsck -f {}", path.display())));
        }
        return Ok(FsImage::Ext4);
    }
    if head.starts_with(b"XFSB") {
        // sb_blocksize at 4, sb_dblocks at 8, big endian (kernel, fs/xfs/libxfs/xfs_format.h).
        check_length(&file, be64(8).saturating_mul(be32(4).into()), attempted)?;
        return Ok(FsImage::Xfs);
    }
    Err(Error::refused(attempted, "it is neither an ext4 nor an XFS file system")
        .mend("give the file system itself; a disk image with partitions is not supported"))
}

fn check_length(file: &std::fs::File, needed: u64, attempted: &str) -> Result<()> {
    let length = file.metadata().map_err(|error| Error::refused(attempted, error))?.len();
    if length < needed {
        let why = format!("it is truncated: {length} bytes of {needed}");
        return Err(Error::refused(attempted, why));
    }
    Ok(())
}
