//! Steps that adopt a host and give it back.

use std::path::PathBuf;

use thinroot_core::adopt::{Adopted, Adoption};
use thinroot_core::install::Loader;
use thinroot_core::inventory::Role;
use thinroot_core::name::{ImageId, LayerName};
use thinroot_core::plan::Step;

use super::{Attempt, Execution};
use crate::adopt::originals::Places;
use crate::adopt::restore::{self, Work};
use crate::base::verify;
use crate::boot::LoaderKind;
use crate::error::{Error, Result};
use crate::records::Part;
use crate::store::Access;

impl Execution<'_> {
    pub(super) fn adoption(&self) -> Result<Adoption> {
        let missing = || Error::damaged("carry out an adoption", "the records do not say what is adopted");
        self.host.records.adoption()?.ok_or_else(missing)
    }

    pub(super) fn take_base(&mut self, base: &ImageId, origin: &str, attempt: Attempt) -> Result<String> {
        if attempt == Attempt::Redo {
            self.discard(&base.volume())?;
        }
        self.host.store.adopt(origin, &base.volume(), Role::Base)?;
        Ok(String::new())
    }

    pub(super) fn restore_base(&mut self, base: &ImageId, attempt: Attempt) -> Result<String> {
        if attempt == Attempt::Redo {
            // Half done, and written without a journal: a fresh snapshot costs nothing and is certain.
            let take =
                self.plan().steps.iter().find(|step| matches!(step, Step::TakeBase { base: b, .. } if b == base));
            let take =
                take.cloned().ok_or_else(|| Error::damaged(format!("restore {base}"), "the plan does not take it"))?;
            self.apply(&take, Attempt::Redo)?;
        }
        let adoption = self.adoption()?;
        let of_base = |adopted: &&Adopted| adopted.layer.base() == base;
        // The newest of several layers: its kernel is that of the image, unless it was updated since.
        let adopted = adoption.layers.iter().rfind(of_base);
        let adopted = adopted.ok_or_else(|| Error::damaged(format!("restore {base}"), "no layer of it is adopted"))?;
        let places =
            Places { directories: adoption.packages.iter().map(PathBuf::from).collect(), fetch: adoption.fetch };
        let host = self.host;
        let mounted = host.store.mount(&base.volume(), Access::WriteBase)?;
        let work = Work { root: mounted.path(), base, kernel: (&adopted.kernel, host.boot.path()), places: &places };
        let restored = restore::restore(&work, self.reporter)?;
        let image = restored.image;
        drop(image.source);
        mounted.finish()?;
        host.learn_numbers(image.manifest.accounts())?;
        let mounted = host.store.mount(&base.volume(), Access::Inspect)?;
        let (differences, inodes) = verify(mounted.path(), &image.manifest, self.reporter)?;
        mounted.finish()?;
        if let Some(difference) = differences.first() {
            let why = format!("{} paths are not as they were written: {difference}", differences.len());
            return Err(Error::damaged(format!("verify base {base}"), why));
        }
        host.records.put_part(base, Part::Inodes, &inodes.to_bytes())?;
        host.records.put_image(base, &image.info)?;
        host.records.put_manifest(base, &image.manifest)?;
        self.findings.extend(restored.findings);
        Ok(restored.said)
    }

    pub(super) fn adopt_layer(&mut self, layer: &LayerName, volume: &str) -> Result<String> {
        self.host.store.adopt(volume, &layer.volume(), Role::Layer)?;
        Ok(String::new())
    }

    pub(super) fn let_go_layer(&mut self, layer: &LayerName) -> Result<String> {
        self.host.store.let_go(&layer.volume())?;
        Ok(String::new())
    }

    pub(super) fn take_loader(&mut self, loader: Loader) -> Result<String> {
        self.host.boot.take_over(kind(loader), "")?;
        Ok(String::new())
    }

    pub(super) fn release_loader(&mut self, loader: Loader) -> Result<String> {
        let before = self.adoption()?.before;
        self.host.boot.release(kind(loader), &before)?;
        Ok(String::new())
    }
}

fn kind(loader: Loader) -> LoaderKind {
    match loader {
        Loader::Grub => LoaderKind::Grub,
        Loader::SystemdBoot => LoaderKind::SystemdBoot,
    }
}
