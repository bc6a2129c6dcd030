//! Kernels that the distribution's tools install on the running layer: each gets an entry, as the image's own has.
//!
//! There is no journal: an entry is written after its files, removed before them, and what a cut leaves is swept.

use std::collections::BTreeSet;
use std::fs::File;

use thinroot_core::boot::{ContentName, ContentRole, KernelVersion, NewEntry};
use thinroot_core::name::LayerName;
use thinroot_core::path::TreePath;

use super::Change;
use crate::adopt::survey;
use crate::boot::KernelFile;
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::state::entries_at;
use crate::store::Ensured;

impl Change<'_> {
    /// Gives the running layer an entry with a kernel of the boot directory, made like the one it has; the layer, and whether
    /// anything was done.
    pub fn add_kernel(&self, version: &str) -> Result<(LayerName, Ensured)> {
        let attempted = format!("boot the running layer with kernel {version}");
        let host = self.host();
        let layer = self.running(&attempted)?;
        let like = host.boot.entry_of(&layer)?;
        let like = like
            .ok_or_else(|| Error::damaged(&attempted, format!("{layer} has no boot entry")).mend("thinroot check"))?;
        let kernel = parsed(&attempted, version)?;
        let files = survey::kernel(&attempted, host.boot.path(), version, None)?;
        let mut done = Ensured::Already;
        let mut names: Vec<ContentName> = Vec::new();
        for (name, role) in [(&files.image, ContentRole::Vmlinuz), (&files.initrd, ContentRole::Initrd)] {
            let path = TreePath::parse(name.as_bytes()).map_err(|why| Error::failed(&attempted, why))?;
            let found = entries_at(host.boot.path(), &BTreeSet::from([path.clone()]))?.remove(&path);
            let file = found.and_then(|entry| KernelFile::from_entry(role, &entry));
            let file = file.ok_or_else(|| Error::failed(&attempted, format!("{name} is no regular file")))?;
            let path = host.boot.path().join(name);
            if host.boot.install_kernel(&mut File::open(&path).at("open", &path)?, &file)? == Ensured::Done {
                done = Ensured::Done;
            }
            names.push(file.name());
        }
        let entry = NewEntry {
            layer: layer.clone(),
            kernel,
            title: like.entry.value("title").unwrap_or_default().into(),
            machine_id: like.entry.value("machine-id").map(Into::into),
            linux: names.remove(0),
            initrd: names,
            options: like.entry.options(),
        };
        let written = host.boot.write_entry(&entry.build().map_err(|why| Error::failed(&attempted, why))?)?;
        // An initrd that was made anew leaves the one before.
        host.boot.sweep()?;
        Ok((layer, if written == Ensured::Done { written } else { done }))
    }

    /// Removes the entry of a kernel that goes; a layer keeps one that boots it.
    pub fn remove_kernel(&self, version: &str) -> Result<(LayerName, Ensured)> {
        let attempted = format!("remove kernel {version} of the running layer");
        let layer = self.running(&attempted)?;
        let done = self.host().boot.remove_kernel(&layer, &parsed(&attempted, version)?)?;
        self.host().boot.sweep()?;
        Ok((layer, done))
    }

    fn running(&self, attempted: &str) -> Result<LayerName> {
        let booted = self.host().booted().cloned();
        booted.ok_or_else(|| Error::refused(attempted, "this host runs no layer of this store"))
    }
}

fn parsed(attempted: &str, version: &str) -> Result<KernelVersion> {
    KernelVersion::parse(version).map_err(|why| Error::new(ErrorKind::Usage, attempted, why))
}
