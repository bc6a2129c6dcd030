//! The envelope of our binary records: magic, version, body, SHA-256 of all that.
//!
//! Separate so that every such record refuses damage, truncation and other versions in the same words.

use sha2::{Digest as _, Sha256};

use crate::error::{Error, Result};

const DIGEST_BYTES: usize = 32;

/// What kind of record.
#[derive(Debug, Clone, Copy)]
pub(super) struct Form {
    /// Eight bytes that begin it.
    pub(super) magic: &'static [u8; 8],
    /// A reader refuses any other.
    pub(super) version: u32,
    /// For messages: "inode table".
    pub(super) what: &'static str,
}

impl Form {
    /// Puts a body into its envelope.
    pub(super) fn seal(&self, body: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.header_bytes() + body.len() + DIGEST_BYTES);
        out.extend_from_slice(self.magic);
        out.extend_from_slice(&self.version.to_le_bytes());
        out.extend_from_slice(body);
        let digest = Sha256::digest(&out);
        out.extend_from_slice(&digest);
        out
    }

    /// Takes the body out, if the record is whole.
    pub(super) fn open<'a>(&self, bytes: &'a [u8]) -> Result<&'a [u8]> {
        let Some((sealed, digest)) = bytes.split_last_chunk::<DIGEST_BYTES>() else {
            return Err(self.damaged("it is too short"));
        };
        let Some(rest) = sealed.strip_prefix(self.magic) else { return Err(self.damaged("it begins otherwise")) };
        let Some((version, body)) = rest.split_first_chunk() else { return Err(self.damaged("it is too short")) };
        let version = u32::from_le_bytes(*version);
        if Sha256::digest(sealed)[..] != digest[..] {
            return Err(self.damaged("its checksum is wrong"));
        }
        if version != self.version {
            return Err(self.damaged(&format!("it has version {version}, this program knows {}", self.version)));
        }
        Ok(body)
    }

    /// An error about a record of this form.
    pub(super) fn damaged(&self, why: &str) -> Error {
        Error::damaged(format!("read the {}", self.what), why).mend("remove it: it is made again from the base")
    }

    fn header_bytes(&self) -> usize {
        self.magic.len() + size_of::<u32>()
    }
}
