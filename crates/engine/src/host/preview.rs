//! Looking ahead: what an update would do, computed without touching anything.

use std::collections::HashSet;

use thinroot_core::inventory::FsKind;
use thinroot_core::manifest::{Digest, Manifest};
use thinroot_core::name::LayerName;
use thinroot_core::plan::Need;
use thinroot_core::plan::update::{self, Arm, Downgrade, Failed, Planned, Request};
use thinroot_core::state::StatePlan;

use super::Host;
use crate::boot::KernelFile;
use crate::error::Result;
use crate::progress::{Event, Reporter};
use crate::source::{self, Image};
use crate::store::StoreKind;

/// A changed file costs at least this in the pool: one 64 KiB chunk, rarely shared with another changed file.
const CHUNK_BYTES: u64 = 64 << 10;
/// Inode tables, bitmaps, directories and journal of one base and one layer.
const POOL_MARGIN_BYTES: u64 = 32 << 20;

/// What an update is asked to do, besides its image.
#[derive(Debug, Clone)]
pub struct UpdateOptions {
    /// Whose state to carry; without it the booted layer, else the default.
    pub from: Option<LayerName>,
    /// Size of a new base.
    pub size_bytes: Option<u64>,
    /// File system of a new base.
    pub fs: Option<FsKind>,
    /// Whether to arm.
    pub arm: Arm,
    /// Whether an older version may replace a newer one.
    pub downgrade: Downgrade,
    /// Whether an image that failed here may be tried once more.
    pub failed: Failed,
}

/// Everything an update would do.
#[derive(Debug)]
pub struct Preview {
    /// Nothing, or these steps.
    pub planned: Planned,
    /// What would be carried, merged and set aside; none where there is nothing to do.
    pub state: Option<StatePlan>,
    /// What it will use at worst.
    pub need: Need,
}

impl Host {
    /// Plans an update: reads the image's manifest, the source layer and the records; writes nothing.
    pub fn preview(&self, image: &mut Image, options: &UpdateOptions, reporter: &dyn Reporter) -> Result<Preview> {
        self.localise(image, options.from.as_ref())?;
        let inventory = self.inventory()?;
        let mut request = request(image, options, Need::default());
        let from = update::source_layer(&inventory, &request).map_err(|r| self.refuse("plan the update", r))?;
        let ancestor = update::ancestor(&inventory, &image.info.id, options.fs, 0);
        let old = ancestor.map(|ancestor| self.manifest(&ancestor)).transpose()?;
        let mut need = self.need(old.as_ref(), image)?;
        drop(old);
        // First without the state: wrong updates are refused before the layer is walked.
        let planned = update::update(&inventory, &request, self.seed()?)
            .map_err(|refusal| self.refuse("plan the update", refusal))?;
        if let Planned::Nothing(_) = planned {
            return Ok(Preview { planned, state: None, need });
        }
        self.require_initrd(image)?;
        reporter.event(Event::Begin { step: 0, text: format!("compare {from} with its base") });
        let state = self.state_in(&from, image, reporter)?;
        reporter.event(Event::End { step: 0, text: String::new() });
        let carried = state.carried_bytes();
        need.pool_bytes += carried;
        need.records_bytes += state.kept_bytes();
        request.need = need;
        let planned = update::update(&inventory, &request, self.seed()?)
            .map_err(|refusal| self.refuse("plan the update", refusal))?;
        Ok(Preview { planned, state: Some(state), need })
    }

    /// What writing this image over `old` may use at worst.
    pub(super) fn need(&self, old: Option<&Manifest>, image: &Image) -> Result<Need> {
        let kernel_files = kernel_files(image);
        Ok(Need {
            pool_bytes: changed_bytes(old, &image.manifest) + POOL_MARGIN_BYTES,
            boot_bytes: self.boot.needed_bytes(&kernel_files)?,
            // Manifest, inode table and chunk table; measured at 60 to 110 bytes a path and 40 a chunk.
            records_bytes: image.info.paths * 200 + image.info.content_bytes / CHUNK_BYTES * 40,
        })
    }

    pub(super) fn require_initrd(&self, image: &mut Image) -> Result<()> {
        match self.store.survey()?.kind {
            StoreKind::LvmThin => source::require_thin_root(image),
            StoreKind::Directory | StoreKind::Simulated => Ok(()),
        }
    }
}

pub(crate) fn request(image: &Image, options: &UpdateOptions, need: Need) -> Request {
    Request {
        image: image.info.clone(),
        from: options.from.clone(),
        size_bytes: options.size_bytes,
        fs: options.fs,
        arm: options.arm,
        downgrade: options.downgrade,
        failed: options.failed,
        need,
    }
}

/// Kernel and initrd of an image, with what the boot directory must know of them.
pub(crate) fn kernel_files(image: &Image) -> Vec<KernelFile> {
    let kernel = image.info.kernels.first();
    let files = kernel.map(|kernel| KernelFile::of_kernel(&image.manifest, kernel)).unwrap_or_default();
    files.into_iter().map(|(_, file)| file).collect()
}

/// Bytes of content that the ancestor does not have at the same path, in whole chunks.
fn changed_bytes(old: Option<&Manifest>, new: &Manifest) -> u64 {
    let known: HashSet<Digest> =
        old.iter().flat_map(|old| old.entries()).filter_map(|entry| entry.kind.digest()).collect();
    let holders = new.entries().iter().filter(|entry| entry.hardlink.is_none());
    let changed = holders.filter(|entry| entry.kind.digest().is_some_and(|digest| !known.contains(&digest)));
    changed.map(|entry| entry.kind.content_bytes().next_multiple_of(CHUNK_BYTES)).sum()
}
