//! Kernels and initrds: installed by content, swept when no entry refers to them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use thinroot_core::boot::content::CONTENT_DIR;
use thinroot_core::boot::{ContentName, ContentRole};
use thinroot_core::image::Kernel;
use thinroot_core::manifest::{Digest, Entry, Kind, Manifest};
use thinroot_core::path::TreePath;

use super::entries::ListedState;
use super::loader::GRUB_DIRS;
use super::{BootDir, BootSpace, ENTRIES_DIR};
use crate::durable::{self, TEMP_PREFIX};
use crate::error::{Error, IoContext, Result};
use crate::store::Ensured;

/// Kernels and initrds are for root only: an initrd may hold keys.
const CONTENT_MODE: u32 = 0o600;
/// Kept free for entries, the selection, their temporary files and the growth of directories. Less, and the kernels fit
/// but the entry that needs them does not; much more, and small boot partitions are refused without need.
const TEXT_RESERVE_BYTES: u64 = 32 * 1024;
/// Read at once while hashing.
const CHUNK_BYTES: usize = 64 * 1024;

/// A kernel or initrd that is to be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelFile {
    /// What it is to the loader.
    pub role: ContentRole,
    /// Its SHA-256.
    pub digest: Digest,
    /// Its size.
    pub size_bytes: u64,
}

impl KernelFile {
    /// From the manifest's entry of a kernel or initrd; none where that is no regular file.
    pub fn from_entry(role: ContentRole, entry: &Entry) -> Option<KernelFile> {
        match entry.kind {
            Kind::File { size, digest, .. } => Some(KernelFile { role, digest, size_bytes: size }),
            Kind::Directory | Kind::Symlink { .. } | Kind::Fifo | Kind::Socket => None,
            Kind::Char { .. } | Kind::Block { .. } => None,
        }
    }

    /// The files that booting a kernel takes, the kernel first, as the manifest describes them.
    pub fn of_kernel(manifest: &Manifest, kernel: &Kernel) -> Vec<(TreePath, KernelFile)> {
        let image = std::iter::once((&kernel.image, ContentRole::Vmlinuz));
        let paths = image.chain(kernel.initrd.iter().map(|path| (path, ContentRole::Initrd)));
        paths.filter_map(|(path, role)| Some((path.clone(), Self::from_entry(role, manifest.get(path)?)?))).collect()
    }

    /// Its file name in the boot directory.
    pub fn name(&self) -> ContentName {
        ContentName::new(&self.digest, self.role)
    }
}

impl BootDir {
    /// Free bytes it takes to install these files and write entries for them: each content once, whole blocks, without
    /// what is there already (by name and size; [`BootDir::install_kernel`] compares the content).
    pub fn needed_bytes(&self, files: &[KernelFile]) -> Result<u64> {
        let block = self.space()?.block_bytes;
        let distinct: BTreeMap<_, _> = files.iter().map(|file| (file.name(), file.size_bytes)).collect();
        let there = |name: &ContentName, size: u64| {
            std::fs::metadata(self.content_path(name)).is_ok_and(|meta| meta.is_file() && meta.len() == size)
        };
        let missing = distinct.iter().filter(|(name, size)| !there(name, **size));
        Ok(TEXT_RESERVE_BYTES + missing.map(|(_, size)| size.next_multiple_of(block)).sum::<u64>())
    }

    /// Puts a kernel or initrd in place, durably, with exactly the size and content announced; a reader that gives
    /// anything else leaves nothing. A damaged file of that name is replaced.
    pub fn install_kernel(&self, reader: &mut dyn Read, file: &KernelFile) -> Result<Ensured> {
        let path = self.content_path(&file.name());
        let attempted = format!("install {}", path.display());
        if path.exists() && digest_of(&path)? == file.digest {
            return Ok(Ensured::Already);
        }
        if file.size_bytes == 0 {
            return Err(Error::refused(attempted, "it is empty"));
        }
        let space = self.space()?;
        let need = TEXT_RESERVE_BYTES + file.size_bytes.next_multiple_of(space.block_bytes);
        space.require(&attempted, need)?;
        self.ensure_directory(CONTENT_DIR)?;
        let mut checked = Checked { inner: reader, hash: Sha256::new(), seen: 0, file, attempted: &attempted };
        durable::write_from(&path, &mut checked, CONTENT_MODE)?;
        Ok(Ensured::Done)
    }

    /// Removes kernels and initrds that no entry refers to, ours or foreign, and temporary files of ours; returns their
    /// paths from the boot directory. If any entry cannot be read, nothing is deleted and that is the error. Not to be
    /// called between installing a kernel and writing its entry.
    pub fn sweep(&self) -> Result<Vec<String>> {
        let attempted = format!("sweep {}", self.root.display());
        let listed = self.list_entries()?;
        for entry in &listed {
            if let ListedState::Unreadable(why) = &entry.state {
                let why = format!("boot entry {} cannot be read ({why}); nothing was deleted", entry.file_name);
                return Err(Error::damaged(attempted, why).mend("mend or remove that file"));
            }
        }
        let stored = self.names_in(CONTENT_DIR)?;
        if !stored.is_empty() && !self.entries_path().is_dir() {
            let why = format!("there are kernels but no {ENTRIES_DIR}; nothing was deleted");
            return Err(Error::damaged(attempted, why).mend("check that the boot partition is mounted completely"));
        }
        let is_temporary = |name: &String| name.starts_with(TEMP_PREFIX);
        let is_unused = |name: &String| {
            ContentName::parse(name).is_some_and(|content| !listed.iter().any(|entry| entry.mentions(&content)))
        };
        let under = |dir: &'static str| move |name: String| format!("{dir}/{name}");
        let mut doomed: Vec<String> =
            stored.into_iter().filter(|name| is_temporary(name) || is_unused(name)).map(under(CONTENT_DIR)).collect();
        for dir in ["loader", ENTRIES_DIR].into_iter().chain(GRUB_DIRS) {
            doomed.extend(self.names_in(dir)?.into_iter().filter(is_temporary).map(under(dir)));
        }
        for relative in &doomed {
            durable::remove(&self.root.join(relative))?;
        }
        Ok(doomed)
    }

    /// Kernels and initrds whose content is not that of their name. Reads all of them: for `check`, not for every survey.
    pub fn damaged_kernels(&self) -> Result<Vec<ContentName>> {
        let mut damaged = Vec::new();
        for name in self.names_in(CONTENT_DIR)?.iter().filter_map(|name| ContentName::parse(name)) {
            if !name.names(&digest_of(&self.content_path(&name))?) {
                damaged.push(name);
            }
        }
        Ok(damaged)
    }

    pub(super) fn space(&self) -> Result<BootSpace> {
        let stat = rustix::fs::statvfs(&self.root).at("read the free space of", &self.root)?;
        Ok(BootSpace {
            total_bytes: stat.f_blocks * stat.f_frsize,
            free_bytes: stat.f_bavail * stat.f_frsize,
            // FAT and btrfs have no fixed number of inodes and say 0.
            free_inodes: (stat.f_files > 0).then_some(stat.f_favail),
            block_bytes: stat.f_frsize.max(1),
        })
    }

    pub(super) fn require_room_for_text(&self, attempted: &str) -> Result<()> {
        let space = self.space()?;
        // The file and the growth of its directory.
        space.require(attempted, 2 * space.block_bytes)
    }

    fn content_path(&self, name: &ContentName) -> PathBuf {
        self.root.join(CONTENT_DIR).join(name.to_string())
    }
}

fn digest_of(path: &Path) -> Result<Digest> {
    let mut file = File::open(path).at("open", path)?;
    let (mut hash, mut chunk) = (Sha256::new(), vec![0; CHUNK_BYTES]);
    loop {
        match file.read(&mut chunk).at("read", path)? {
            0 => return Ok(Digest(hash.finalize().into())),
            n => hash.update(&chunk[..n]),
        }
    }
}

impl BootSpace {
    fn require(&self, attempted: &str, need_bytes: u64) -> Result<()> {
        if self.free_inodes == Some(0) {
            return Err(Error::refused(attempted, "the boot file system has no free inode").mend("thinroot prune"));
        }
        if need_bytes > self.free_bytes {
            let why =
                format!("it needs {need_bytes} bytes free on the boot file system, which has {}", self.free_bytes);
            return Err(Error::refused(attempted, why).mend("thinroot prune"));
        }
        Ok(())
    }
}

/// Hands bytes through and fails at the end, before anything is renamed into place, if they were not those announced.
struct Checked<'a> {
    inner: &'a mut dyn Read,
    hash: Sha256,
    seen: u64,
    file: &'a KernelFile,
    attempted: &'a str,
}

impl Read for Checked<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.hash.update(&buffer[..n]);
        self.seen += n as u64;
        let (size, ended) = (self.file.size_bytes, n == 0 && !buffer.is_empty());
        if self.seen > size || (ended && self.seen < size) {
            let or_more = if ended { "" } else { " or more" };
            let why = format!("{size} bytes were announced and {}{or_more} came", self.seen);
            return Err(Error::refused(self.attempted, why).into());
        }
        if ended && std::mem::take(&mut self.hash).finalize().as_slice() != self.file.digest.0 {
            return Err(Error::refused(self.attempted, "its content does not have the digest announced").into());
        }
        Ok(n)
    }
}
