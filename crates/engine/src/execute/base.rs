//! Steps that make and remove bases.

use std::collections::BTreeSet;

use thinroot_core::inventory::{FsKind, Phase, Role};
use thinroot_core::name::{ImageId, VolumeName};
use thinroot_core::path::TreePath;
use thinroot_core::plan::{RESERVE_BYTES, Step};

use super::{Attempt, Execution};
use crate::base::{verify, write};
use crate::error::{Error, ErrorKind, Result};
use crate::records::{Part, manifest_digest};
use crate::source::{Contents, Image, TakeContent};
use crate::store::{Access, Ensured, NewVolume, Store};

/// How many differences an error names; the rest is counted.
const DIFFERENCES_SHOWN: usize = 3;
/// Content between two looks at the pool while a base is written. Less slows writing down (each look runs a program
/// on LVM), more lets a filling pool come closer to its end before we stop.
const WATCH_EVERY_BYTES: u64 = 64 << 20;

impl Execution<'_> {
    pub(super) fn create_base(
        &mut self,
        base: &ImageId,
        ancestor: Option<&ImageId>,
        fs: FsKind,
        size_bytes: u64,
        attempt: Attempt,
    ) -> Result<String> {
        let name = base.volume();
        if attempt == Attempt::Redo {
            self.discard(&name)?;
        }
        match ancestor {
            Some(ancestor) => self.host.store.snapshot(&ancestor.volume(), &name, Role::Base)?,
            None => self.host.store.create(&NewVolume { name, role: Role::Base, fs, size_bytes })?,
        };
        Ok(String::new())
    }

    pub(super) fn write_base(
        &mut self,
        base: &ImageId,
        ancestor: Option<&ImageId>,
        attempt: Attempt,
    ) -> Result<String> {
        if attempt == Attempt::Redo {
            // Half written: the writer trusts the volume to hold the ancestor, so it starts from a fresh one.
            self.recreate_base(base)?;
        }
        let old = ancestor.map(|ancestor| self.host.manifest(ancestor)).transpose()?;
        let expected = self.plan().image.as_ref().map(|image| image.digest);
        let host = self.host;
        let reporter = self.reporter;
        let Some(image) = self.image.as_deref_mut() else {
            return Err(Error::damaged(format!("write base {base}"), "the plan brings no image"));
        };
        if Some(manifest_digest(&image.manifest)) != expected {
            return Err(Error::refused(format!("write base {base}"), "the image is not the one that was planned")
                .mend("'thinroot abandon', then update again"));
        }
        // Before the first file bears a number of it.
        host.learn_numbers(image.manifest.accounts())?;
        let mounted = host.store.mount(&base.volume(), Access::WriteBase)?;
        let Image { manifest, source, .. } = image;
        let mut watched = Watched { inner: source.as_mut(), store: host.store.as_ref(), since_look: 0 };
        let stats = write(mounted.path(), old.as_ref(), manifest, &mut watched, reporter)?;
        mounted.finish()?;
        drop(old);
        let mounted = host.store.mount(&base.volume(), Access::Inspect)?;
        let (differences, inodes) = verify(mounted.path(), manifest, reporter)?;
        mounted.finish()?;
        if !differences.is_empty() {
            let shown: Vec<String> = differences.iter().take(DIFFERENCES_SHOWN).map(ToString::to_string).collect();
            let why = format!("{} paths are not as the image says: {}", differences.len(), shown.join("; "));
            return Err(Error::damaged(format!("verify base {base}"), why));
        }
        host.records.put_part(base, Part::Inodes, &inodes.to_bytes())?;
        host.records.put_image(base, &image.info)?;
        host.records.put_manifest(base, &image.manifest)?;
        Ok(stats.to_string())
    }

    /// The digests are on disk before the volume counts: a ready base always can be verified.
    pub(super) fn seal_base(&mut self, base: &ImageId) -> Result<String> {
        let host = self.host;
        let survey = host.store.survey()?;
        let volume = survey.volumes.iter().find(|volume| volume.name == base.volume());
        if volume.is_some_and(|volume| volume.phase == Phase::Staging) {
            let table = host.chunks(base)?;
            host.records.put_part(base, Part::Chunks, &table.to_bytes())?;
        }
        let digest = match &self.plan().image {
            Some(image) => Some(image.digest.short()),
            // One that was adopted: what it is was told when it was restored.
            None => host.records.image(base)?.map(|image| image.digest.short()),
        };
        host.store.publish(&base.volume(), digest.as_deref())?;
        Ok(String::new())
    }

    pub(super) fn remove_base(&mut self, base: &ImageId) -> Result<String> {
        let inventory = self.host.inventory()?;
        if let Some(layer) = inventory.layers_of(base).next() {
            return Err(Error::refused(format!("remove base {base}"), format!("{layer} is a layer of it")));
        }
        self.withdraw(&base.volume())?;
        self.discard(&base.volume())?;
        self.host.records.forget_base(base)?;
        Ok(String::new())
    }

    /// Removes a staging volume; a missing one is fine.
    pub(super) fn discard(&mut self, name: &VolumeName) -> Result<()> {
        self.host.store.remove(name).map(|_: Ensured| ())
    }

    /// Makes a volume staging again; a missing one is fine.
    pub(super) fn withdraw(&mut self, name: &VolumeName) -> Result<()> {
        let survey = self.host.store.survey()?;
        match survey.volumes.iter().find(|volume| volume.name == *name) {
            Some(volume) if volume.phase == Phase::Ready => self.host.store.withdraw(name).map(|_| ()),
            Some(_) | None => Ok(()),
        }
    }

    fn recreate_base(&mut self, wanted: &ImageId) -> Result<()> {
        let create = self.plan().steps.iter().find(|s| matches!(s, Step::CreateBase { base, .. } if base == wanted));
        match create.cloned() {
            Some(create) => self.apply(&create, Attempt::Redo).map(|_| ()),
            None => Err(Error::damaged(format!("write base {wanted}"), "the plan does not create it")),
        }
    }
}

/// Looks at the pool from time to time and stops before it is full: the running layer must never be the victim.
struct Watched<'a> {
    inner: &'a mut dyn Contents,
    store: &'a dyn Store,
    since_look: u64,
}

impl Contents for Watched<'_> {
    fn contents(&mut self, wanted: &BTreeSet<TreePath>, take: &mut TakeContent<'_>) -> Result<()> {
        let Watched { inner, store, since_look } = self;
        inner.contents(wanted, &mut |path, content| {
            let mut counted = Counted { inner: content, bytes: 0 };
            take(path, &mut counted)?;
            *since_look += counted.bytes;
            if *since_look >= WATCH_EVERY_BYTES {
                *since_look = 0;
                check_pool(*store)?;
            }
            Ok(())
        })
    }
}

fn check_pool(store: &dyn Store) -> Result<()> {
    let free = store.survey()?.space.data_free_bytes();
    if free >= RESERVE_BYTES {
        return Ok(());
    }
    let why = format!("the pool has only {} MiB left, and {} MiB stay reserved", free >> 20, RESERVE_BYTES >> 20);
    Err(Error::new(ErrorKind::Failed, "watch the pool", why)
        .mend("free space with 'thinroot prune' or extend the pool"))
}

struct Counted<'a> {
    inner: &'a mut dyn std::io::Read,
    bytes: u64,
}

impl std::io::Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.bytes += n as u64;
        Ok(n)
    }
}
