//! Inode number and change time of every path of a sealed base.
//!
//! Separate from the manifest because it belongs to a volume and not to an image. A layer is a snapshot of its base,
//! so a path whose inode number and ctime are the same in both cannot have changed: that is what makes finding an
//! admin's changes a matter of a second.
//!
//! Format: envelope `TRINODES`, version 1; a count (u64); for each entry of the manifest, in its order, inode number
//! (u64), ctime seconds (i64) and nanoseconds (u32); all little-endian.

use thinroot_core::manifest::Timestamp;

use super::record::Form;
use crate::error::Result;

const FORM: Form = Form { magic: b"TRINODES", version: 1, what: "inode table" };
const ENTRY_BYTES: usize = 20;

/// What a file system says of the inode of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Inode {
    /// Its number; 0 where the path was missing.
    pub ino: u64,
    /// When it last changed.
    pub ctime: Timestamp,
}

/// One [`Inode`] for each entry of a manifest, in the same order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InodeTable {
    /// The inodes.
    pub inodes: Vec<Inode>,
}

impl InodeTable {
    /// The written form.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(8 + self.inodes.len() * ENTRY_BYTES);
        body.extend_from_slice(&(self.inodes.len() as u64).to_le_bytes());
        for inode in &self.inodes {
            body.extend_from_slice(&inode.ino.to_le_bytes());
            body.extend_from_slice(&inode.ctime.sec.to_le_bytes());
            body.extend_from_slice(&inode.ctime.nsec.to_le_bytes());
        }
        FORM.seal(&body)
    }

    /// Reads the written form; anything but exactly that is an error.
    pub fn from_bytes(bytes: &[u8]) -> Result<InodeTable> {
        let body = FORM.open(bytes)?;
        let Some((count, entries)) = body.split_first_chunk() else { return Err(FORM.damaged("it has no count")) };
        let (entries, rest) = entries.as_chunks::<ENTRY_BYTES>();
        if entries.len() as u64 != u64::from_le_bytes(*count) || !rest.is_empty() {
            return Err(FORM.damaged("its length is not what its count says"));
        }
        let inode = |entry: &[u8; ENTRY_BYTES]| {
            let [a, b, c, d, e, f, g, h, sec @ .., w, x, y, z] = *entry;
            let ctime = Timestamp { sec: i64::from_le_bytes(sec), nsec: u32::from_le_bytes([w, x, y, z]) };
            Inode { ino: u64::from_le_bytes([a, b, c, d, e, f, g, h]), ctime }
        };
        Ok(InodeTable { inodes: entries.iter().map(inode).collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_and_every_damage_is_refused() {
        let inode = |n: u64| Inode { ino: n << 33, ctime: Timestamp { sec: -(n as i64), nsec: n as u32 } };
        let table = InodeTable { inodes: (0..5).map(inode).collect() };
        let bytes = table.to_bytes();
        assert_eq!(InodeTable::from_bytes(&bytes).unwrap(), table);
        for length in 0..bytes.len() {
            assert!(InodeTable::from_bytes(&bytes[..length]).is_err(), "{length}");
        }
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 0x20;
            assert!(InodeTable::from_bytes(&bad).is_err(), "{at}");
        }
    }
}
