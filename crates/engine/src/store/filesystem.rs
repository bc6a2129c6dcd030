//! File systems in volumes: making, checking, recognising them, and giving a layer's one a UUID of its own.
//!
//! Separate because both stores do the same to a device that they do to an image file. Must stay true: what a base is
//! made with decides what every layer of it costs, so the numbers here are measured ones.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use thinroot_core::inventory::FsKind;

use crate::cmd::Cmd;
use crate::error::{Error, ErrorKind, IoContext, Result};

/// Whether what the file system is made on reads as zeroes and holds nothing that could be discarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ground {
    /// A new sparse file or a new thin volume.
    Empty,
    /// Something may have been written there.
    Used,
}

/// Makes a file system with a root directory of mode 0755 owned by root.
///
/// ext4: `metadata_csum_seed` makes a layer's new UUID free (120 MiB of rewritten checksums without it); the journal is
/// 16 MiB, exists from the start and is written lazily, so that no base maps it and a layer maps only what it uses;
/// `^resize_inode` and eager inode tables keep later mounts from touching blocks that the base would have shared;
/// 4 KiB blocks and 256-byte inodes are stated because small volumes would get others. 1 % is reserved for root: 5 %
/// of a base is space that nothing ever uses, and none leaves a full layer without room for its journal's daemons.
pub(super) fn make(path: &Path, fs: FsKind, ground: Ground) -> Result<()> {
    let cmd = match (fs, ground) {
        (FsKind::Ext4, ground) => {
            let discard = match ground {
                Ground::Empty => ",nodiscard",
                Ground::Used => "",
            };
            Cmd::new("mkfs.ext4")
                .args(["-q", "-F", "-b", "4096", "-I", "256", "-m", "1", "-J", "size=16"])
                .args(["-O", "metadata_csum,metadata_csum_seed,^resize_inode", "-E"])
                .arg(format!("lazy_journal_init=1,lazy_itable_init=0,root_owner=0:0{discard}"))
        }
        (FsKind::Xfs, Ground::Empty) => Cmd::new("mkfs.xfs").args(["-q", "-f", "-K"]),
        (FsKind::Xfs, Ground::Used) => Cmd::new("mkfs.xfs").args(["-q", "-f"]),
    };
    cmd.arg(path).run()?;
    Ok(())
}

/// Checks an unmounted file system without changing it; anything but clean is an error of kind `Damaged`.
pub(super) fn check(path: &Path, fs: FsKind) -> Result<()> {
    let cmd = match fs {
        FsKind::Ext4 => Cmd::new("e2fsck").args(["-f", "-n"]),
        FsKind::Xfs => Cmd::new("xfs_repair").arg("-n"),
    };
    // e2fsck reports what it finds on stdout, which an error does not carry; its exit code is enough to refuse.
    match cmd.arg(path).run() {
        Ok(_) => Ok(()),
        Err(error) => Err(Error::damaged(
            format!("check the file system on {}", path.display()),
            format!("`{}` found it damaged or not cleanly unmounted ({})", error.line, error.why()),
        )
        .mend("remove the volume and make it again")),
    }
}

/// Gives a layer's file system its own UUID where that is cheap; whether it has one now.
///
/// XFS keeps the UUID of its base (a new one costs 64 MiB of rewritten metadata) and is mounted `nouuid`; so does an
/// ext4 with metadata checksums but without the seed, as adopted root file systems have.
pub(super) fn own_uuid(path: &Path, found: &Superblock) -> Result<bool> {
    let Superblock { fs: FsKind::Ext4, uuid_is_cheap: true, .. } = found else { return Ok(false) };
    let tune = Cmd::new("tune2fs").args(["-U", "random"]).arg(path);
    if tune.run().is_err() {
        // tune2fs refuses a file system whose journal or orphans are open; that is what the check settles. Exit code 1
        // means "fixed".
        Cmd::new("e2fsck").args(["-f", "-p"]).arg(path).also_good(1).run()?;
        tune.run()?;
    }
    Ok(true)
}

/// Closes what was open in a snapshot of a mounted file system: files that were removed while in use. XFS does that when
/// it is mounted.
pub(super) fn settle(path: &Path) -> Result<()> {
    if expect(path)?.fs == FsKind::Ext4 {
        // Exit code 1 means "fixed".
        Cmd::new("e2fsck").args(["-f", "-p"]).arg(path).also_good(1).run()?;
    }
    Ok(())
}

/// What the first blocks say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Superblock {
    /// Which file system.
    pub(super) fs: FsKind,
    /// Its UUID, as blkid prints it.
    pub(super) uuid: String,
    /// Whether another UUID costs no more than one block.
    uuid_is_cheap: bool,
}

/// Bytes that hold both superblocks.
const HEAD_BYTES: usize = 2048;

/// Reads which file system a volume holds; none where it is neither ext4 nor XFS.
pub(super) fn probe(path: &Path) -> Result<Option<Superblock>> {
    let file = File::open(path).at("open", path)?;
    let mut head = [0; HEAD_BYTES];
    match file.read_exact_at(&mut head, 0) {
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other.at("read the superblock of", path)?,
    }
    Ok(parse_superblock(&head))
}

/// Like [`probe`], where a file system has to be.
pub(super) fn expect(path: &Path) -> Result<Superblock> {
    probe(path)?.ok_or_else(|| {
        Error::new(
            ErrorKind::Damaged,
            format!("read the superblock of {}", path.display()),
            "it holds neither ext4 nor XFS",
        )
    })
}

/// ext4: `struct ext4_super_block` at byte 1024 (little-endian; magic at 0x38, features at 0x60 and 0x64, UUID at 0x68).
/// XFS: `struct xfs_dsb` at byte 0 (magic `XFSB`, UUID at 32).
fn parse_superblock(head: &[u8; HEAD_BYTES]) -> Option<Superblock> {
    const INCOMPAT_CSUM_SEED: u32 = 0x2000;
    const RO_COMPAT_METADATA_CSUM: u32 = 0x400;
    if head.starts_with(b"XFSB") {
        return Some(Superblock { fs: FsKind::Xfs, uuid: format_uuid(&head[32..48]), uuid_is_cheap: false });
    }
    let ext4 = &head[1024..];
    let word = |at: usize| u32::from_le_bytes([ext4[at], ext4[at + 1], ext4[at + 2], ext4[at + 3]]);
    if ext4[0x38..0x3a] != [0x53, 0xef] {
        return None;
    }
    let uuid_is_cheap = word(0x60) & INCOMPAT_CSUM_SEED != 0 || word(0x64) & RO_COMPAT_METADATA_CSUM == 0;
    Some(Superblock { fs: FsKind::Ext4, uuid: format_uuid(&ext4[0x68..0x78]), uuid_is_cheap })
}

fn format_uuid(bytes: &[u8]) -> String {
    let hex = |range: &[u8]| range.iter().map(|b| format!("{b:02x}")).collect::<String>();
    [&bytes[..4], &bytes[4..6], &bytes[6..8], &bytes[8..10], &bytes[10..16]].map(hex).join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(fs: FsKind, size_bytes: u64) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(size_bytes).unwrap();
        make(file.path(), fs, Ground::Empty).unwrap();
        file
    }

    #[test]
    fn the_superblock_says_what_blkid_says() {
        for (fs, size_bytes) in [(FsKind::Ext4, 64 << 20), (FsKind::Xfs, 320 << 20)] {
            let file = image(fs, size_bytes);
            let blkid = Cmd::new("blkid").args(["-p", "-o", "value", "-s", "UUID"]).arg(file.path()).run().unwrap();
            let found = expect(file.path()).unwrap();
            assert_eq!((found.fs, found.uuid.as_str()), (fs, blkid.trim()));
            check(file.path(), fs).unwrap();
        }
    }

    #[test]
    fn a_new_uuid_is_given_where_it_is_cheap_only() {
        let cheap = image(FsKind::Ext4, 64 << 20);
        let before = expect(cheap.path()).unwrap();
        assert!(own_uuid(cheap.path(), &before).unwrap());
        assert_ne!(expect(cheap.path()).unwrap().uuid, before.uuid);
        check(cheap.path(), FsKind::Ext4).unwrap();

        let costly = tempfile::NamedTempFile::new().unwrap();
        costly.as_file().set_len(64 << 20).unwrap();
        Cmd::new("mkfs.ext4")
            .args(["-q", "-F", "-O", "metadata_csum,^metadata_csum_seed"])
            .arg(costly.path())
            .run()
            .unwrap();
        let before = expect(costly.path()).unwrap();
        assert!(!own_uuid(costly.path(), &before).unwrap());
        assert_eq!(expect(costly.path()).unwrap(), before);
    }

    #[test]
    fn damage_and_emptiness_are_told_apart() {
        let file = image(FsKind::Ext4, 64 << 20);
        // Over the group descriptors and the first bitmaps, behind the superblock.
        file.as_file().write_all_at(&vec![0xa5; 1 << 20], 4096).unwrap();
        assert_eq!(check(file.path(), FsKind::Ext4).unwrap_err().kind, ErrorKind::Damaged);
        let empty = tempfile::NamedTempFile::new().unwrap();
        empty.as_file().set_len(1 << 20).unwrap();
        assert_eq!(probe(empty.path()).unwrap(), None);
        assert_eq!(expect(empty.path()).unwrap_err().kind, ErrorKind::Damaged);
    }
}
