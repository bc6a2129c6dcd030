//! Contents kept by their SHA-256: what lost a merge, and the originals of what diverged.
//!
//! Separate because it outlives every layer. Must stay true: a blob is complete and has the digest of its name, or is
//! not there.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use thinroot_core::manifest::Digest;
use thinroot_core::path::TreePath;

use super::source::{Checked, RootContents, digest_of};
use crate::durable;
use crate::error::{IoContext, Result};
use crate::store::Ensured;
use crate::tree::write::shown;

/// Blobs are nobody's business but root's: shadow files are among them.
const BLOB_MODE: u32 = 0o600;

/// A directory of blobs, `DIR/ab/abcdef…`.
#[derive(Debug, Clone)]
pub struct BlobStore {
    dir: PathBuf,
}

impl BlobStore {
    /// The store in a directory, which need not exist yet.
    pub fn new(dir: &Path) -> Self {
        BlobStore { dir: dir.into() }
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        let name = digest.to_string();
        self.dir.join(&name[..2]).join(name)
    }

    /// Whether it has a blob.
    pub fn has(&self, digest: &Digest) -> bool {
        self.path(digest).is_file()
    }

    /// Keeps what `content` gives, which must have this digest; `origin` is for messages.
    pub fn keep(&self, digest: &Digest, content: &mut dyn Read, origin: &TreePath) -> Result<Ensured> {
        if self.has(digest) {
            return Ok(Ensured::Already);
        }
        let path = self.path(digest);
        if let Some(dir) = path.parent() {
            durable::create_dir_all(dir)?;
        }
        durable::write_from(&path, &mut Checked::new(content, *digest, origin), BLOB_MODE)?;
        Ok(Ensured::Done)
    }

    /// Keeps the content of that digest from the first of these trees that has it at the path; false where none has it.
    pub fn keep_from(&self, digest: &Digest, path: &TreePath, trees: &[RootContents]) -> Result<bool> {
        if self.has(digest) {
            return Ok(true);
        }
        for tree in trees {
            let Some(mut file) = tree.file(path)? else { continue };
            if digest_of(&mut file).at("read", shown(path))?.0 == *digest {
                return self.keep(digest, &mut tree.required(path)?, path).map(|_| true);
            }
        }
        Ok(false)
    }

    /// Keeps contents that are in no tree.
    pub fn keep_made(&self, made: &[Vec<u8>]) -> Result<()> {
        made.iter().try_for_each(|text| self.keep_text(text).map(drop))
    }

    /// Keeps a text under its own digest.
    pub fn keep_text(&self, text: &[u8]) -> Result<Ensured> {
        let digest = Digest(Sha256::digest(text).into());
        self.keep(&digest, &mut &*text, &TreePath::root())
    }

    /// A small blob whole; none where it is not kept or larger.
    pub fn small(&self, digest: &Digest, limit_bytes: u64) -> Result<Option<Vec<u8>>> {
        let Some(file) = self.open(digest)? else { return Ok(None) };
        let mut content = Vec::new();
        file.take(limit_bytes + 1).read_to_end(&mut content).at("read", self.path(digest))?;
        Ok(Some(content).filter(|content| content.len() as u64 <= limit_bytes))
    }

    /// Opens a blob; none where it is not kept.
    pub fn open(&self, digest: &Digest) -> Result<Option<File>> {
        let path = self.path(digest);
        match File::open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            other => other.at("open", &path).map(Some),
        }
    }
}
