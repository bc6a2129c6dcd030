//! Puts one path into the new layer, whatever is in its place.
//!
//! Separate from the order of a whole plan. Must stay true: what is right already is not touched, so that applying twice
//! changes nothing; content is never written into an inode that other names share; whatever is made is made whole under a
//! temporary name and then renamed, so that a running program, and a machine whose power fails, has the old or the new
//! and never a half.

use std::collections::BTreeMap;
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, Timespec, Timestamps, UTIME_OMIT};
use std::os::fd::AsRawFd;
use thinroot_core::manifest::{Digest, Entry, Flags, Kind, Timestamp};
use thinroot_core::path::TreePath;

use super::source::{Checked, RootContents, digest_of};
use crate::durable::TEMP_PREFIX;
use crate::error::{Error, IoContext, Result};
use crate::fault;
use crate::tree::content::{Filler, Target};
use crate::tree::write::{Open, Tree, shown};
use crate::tree::{flags, meta};

/// The new layer while it is written.
pub(crate) struct Place {
    tree: Tree,
    pub present: RootContents,
    filler: Filler,
    /// Whether each content is on disk before it takes its name. A layer that is still staging is synced as a whole.
    live: bool,
    /// Bytes of content written.
    pub bytes_written: u64,
    /// Flags of directories that were in the way of a change in them.
    unlocked: BTreeMap<TreePath, Flags>,
}

impl Place {
    pub fn open(root: &Path, live: bool) -> Result<Self> {
        let present = RootContents::open(root)?;
        Ok(Place {
            tree: Tree::open(root)?,
            present,
            filler: Filler::default(),
            live,
            bytes_written: 0,
            unlocked: BTreeMap::new(),
        })
    }

    /// Looks at a path without following a link; none where it is missing.
    fn look(&self, path: &TreePath) -> Result<Option<std::fs::Metadata>> {
        match self.tree.reference(path)? {
            Some(file) => file.metadata().at("look at", shown(path)).map(Some),
            None => Ok(None),
        }
    }

    /// Whether there is anything.
    pub fn exists(&self, path: &TreePath) -> Result<bool> {
        Ok(self.look(path)?.is_some())
    }

    /// Takes flags away that forbid to change what is at a path, and the directory it is in. The directory gets its own
    /// back in [`Place::lock_again`]; a running layer whose machine is cut before that has it without.
    fn make_way(&mut self, path: &TreePath) -> Result<()> {
        let dir = path.parent().unwrap_or_default();
        if let Some(inode) = self.tree.reference(&dir)?
            && let Some(had) = flags::unlock(inode.as_fd(), &dir)?
        {
            self.unlocked.insert(dir, had);
        }
        match self.tree.reference(path)? {
            Some(inode) => flags::unlock(inode.as_fd(), path).map(drop),
            None => Ok(()),
        }
    }

    /// Gives directories back the flags that were in the way. The last thing that is done.
    pub fn lock_again(&mut self) -> Result<()> {
        for (dir, had) in std::mem::take(&mut self.unlocked) {
            if let Some(inode) = self.tree.reference(&dir)? {
                flags::set(inode.as_fd(), &dir, had)?;
            }
        }
        Ok(())
    }

    /// Removes whatever is there, with everything beneath it.
    pub fn clear(&mut self, path: &TreePath) -> Result<()> {
        if self.exists(path)? {
            self.make_way(path)?;
        }
        match self.look(path)? {
            None => Ok(()),
            Some(found) if found.is_dir() => {
                for name in self.present.names(path)? {
                    let child = path.join(&name).map_err(|why| Error::damaged(format!("remove {path}"), why))?;
                    self.clear(&child)?;
                }
                self.tree.remove_directory(path)
            }
            Some(_) => self.tree.unlink(path),
        }
    }

    /// Removes a path that was deleted in the old layer. A directory that still holds something stays.
    pub fn remove(&mut self, path: &TreePath) -> Result<bool> {
        if self.exists(path)? {
            self.make_way(path)?;
        }
        match self.look(path)? {
            None => Ok(false),
            Some(found) if found.is_dir() && !self.present.names(path)?.is_empty() => Ok(false),
            Some(found) if found.is_dir() => self.tree.remove_directory(path).map(|()| true),
            Some(_) => self.tree.unlink(path).map(|()| true),
        }
    }

    /// Makes sure that there is a directory.
    pub fn directory(&mut self, path: &TreePath) -> Result<()> {
        if self.look(path)?.is_some_and(|found| found.is_dir()) {
            return Ok(());
        }
        self.make_way(path)?;
        self.clear(path)?;
        self.tree.create(path, &Kind::Directory)
    }

    /// Makes anything with a content or none, as its entry says. `names` is how many names it will have in the end.
    pub fn leaf(&mut self, entry: &Entry, names: u64, content: &mut dyn Read) -> Result<()> {
        if self.is_there(entry, names)? {
            return self.align(entry);
        }
        self.replace(entry, content)
    }

    fn replace(&mut self, entry: &Entry, content: &mut dyn Read) -> Result<()> {
        let temp = temporary_name(&entry.path)?;
        self.make_way(&entry.path)?;
        // An earlier run ended here: what it wrote may be half a file.
        self.clear(&temp)?;
        if let Kind::File { size, digest, sparse } = entry.kind {
            self.write(&temp, size, digest, sparse, content)?;
        } else {
            self.tree.create(&temp, &entry.kind)?;
        }
        let inode = self.tree.file(&temp, Open::Reference)?;
        meta::align(inode.as_fd(), &entry.path, &entry.meta)?;
        self.take_place(&temp, &entry.path)?;
        flags::set(inode.as_fd(), &entry.path, entry.meta.flags)
    }

    /// Moves what was made under a temporary name to its own. Only a directory has to go first.
    fn take_place(&mut self, temp: &TreePath, path: &TreePath) -> Result<()> {
        if self.look(path)?.is_some_and(|found| found.is_dir()) {
            self.clear(path)?;
        }
        fault::point("state: before it takes its place")?;
        self.tree.replace(temp, path)
    }

    fn write(
        &mut self,
        path: &TreePath,
        size: u64,
        digest: Digest,
        sparse: bool,
        content: &mut dyn Read,
    ) -> Result<()> {
        let file = self.tree.file(path, Open::New)?;
        let target = Target { path, size, sparse, was_sparse: false };
        self.bytes_written += self.filler.fill(&file, target, &mut Checked::new(content, digest, path))?.written;
        if self.live {
            file.sync_all().at("fsync", shown(path))?;
        }
        Ok(())
    }

    /// Whether content and number of names are right already.
    fn is_there(&self, entry: &Entry, names: u64) -> Result<bool> {
        let Some(found) = self.look(&entry.path)? else { return Ok(false) };
        if found.nlink() != names {
            return Ok(false);
        }
        let device = |major, minor| found.rdev() == rustix::fs::makedev(major, minor);
        let is = |wanted: FileType| FileType::from_raw_mode(found.mode()) == wanted;
        Ok(match &entry.kind {
            Kind::File { size, digest, .. } => {
                is(FileType::RegularFile) && found.size() == *size && self.has_digest(&entry.path, digest)?
            }
            Kind::Symlink { target } => is(FileType::Symlink) && self.target(&entry.path)? == *target.0,
            Kind::Fifo => is(FileType::Fifo),
            Kind::Char { major, minor } => is(FileType::CharacterDevice) && device(*major, *minor),
            Kind::Block { major, minor } => is(FileType::BlockDevice) && device(*major, *minor),
            Kind::Socket => is(FileType::Socket),
            Kind::Directory => false,
        })
    }

    fn has_digest(&self, path: &TreePath, digest: &Digest) -> Result<bool> {
        let found = digest_of(&mut self.present.required(path)?).at("read", shown(path))?;
        Ok(found.0 == *digest)
    }

    fn target(&self, path: &TreePath) -> Result<Vec<u8>> {
        let link = self.tree.file(path, Open::Reference)?;
        let target = rustix::fs::readlinkat(&link, c"", Vec::new()).at("read link", shown(path))?;
        Ok(target.into_bytes())
    }

    /// Makes a path another name of `first`.
    pub fn link(&mut self, first: &TreePath, path: &TreePath) -> Result<()> {
        let inode = |found: std::fs::Metadata| (found.dev(), found.ino());
        let wanted = self.look(first)?.map(inode);
        if wanted.is_some() && self.look(path)?.map(inode) == wanted {
            return Ok(());
        }
        let temp = temporary_name(path)?;
        self.make_way(path)?;
        self.clear(&temp)?;
        // An immutable inode gets no further names.
        let inode = self.tree.file(first, Open::Reference)?;
        let had = flags::unlock(inode.as_fd(), first)?;
        self.tree.link(first, &temp)?;
        self.take_place(&temp, path)?;
        had.map_or(Ok(()), |had| flags::set(inode.as_fd(), first, had))
    }

    /// Gives a path an inode of its own, with the content it has, and its entry's metadata.
    pub fn detach(&mut self, entry: &Entry) -> Result<()> {
        // Only files have other names. A directory's links are its children, and a new one would not have them.
        if self.look(&entry.path)?.is_none_or(|found| found.is_dir() || found.nlink() < 2) {
            return self.align(entry);
        }
        if let Kind::File { .. } = entry.kind {
            let mut content = self.present.required(&entry.path)?;
            return self.replace(entry, &mut content);
        }
        self.replace(entry, &mut std::io::empty())
    }

    /// Sets owner, mode, attributes, time and inode flags.
    pub fn align(&mut self, entry: &Entry) -> Result<()> {
        let inode = self.tree.file(&entry.path, Open::Reference)?;
        // From here on its flags are what the entry says.
        self.unlocked.remove(&entry.path);
        if flags::of(inode.as_fd(), &entry.path)?.lock() {
            if meta::is(inode.as_fd(), &entry.path, &entry.meta)? {
                return flags::set(inode.as_fd(), &entry.path, entry.meta.flags);
            }
            flags::unlock(inode.as_fd(), &entry.path)?;
        }
        meta::align(inode.as_fd(), &entry.path, &entry.meta)?;
        flags::set(inode.as_fd(), &entry.path, entry.meta.flags)
    }

    /// Sets the time of a directory back.
    pub fn time(&self, path: &TreePath, time: Timestamp) -> Result<()> {
        let Some(dir) = self.tree.reference(path)? else { return Ok(()) };
        let found = dir.metadata().at("look at", shown(path))?;
        if (found.mtime(), found.mtime_nsec()) == (time.sec, time.nsec.into()) {
            return Ok(());
        }
        let times = Timestamps {
            last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
            last_modification: Timespec { tv_sec: time.sec, tv_nsec: time.nsec.into() },
        };
        let inode = format!("/proc/self/fd/{}", dir.as_raw_fd());
        let had = flags::unlock(dir.as_fd(), path)?;
        rustix::fs::utimensat(CWD, &inode, &times, AtFlags::empty()).at("set time of", shown(path))?;
        had.map_or(Ok(()), |had| flags::set(dir.as_fd(), path, had))
    }
}

fn temporary_name(path: &TreePath) -> Result<TreePath> {
    // Long names are cut: two temporary names of one directory must only differ while one of them is in use.
    let name = path.file_name();
    let name = [TEMP_PREFIX.as_bytes(), &name[..name.len().min(200)]].concat();
    let parent = path.parent().unwrap_or_default();
    parent.join(&name).map_err(|why| Error::damaged(format!("make {path}"), why))
}
