//! Planning what brings something new: a base, a layer of it, a whole update.

use super::room::{self, Need};
use super::{Plan, Purpose, Refusal, Seed, Step};
use crate::image::ImageInfo;
use crate::inventory::{FsKind, Inventory, Phase, Role, Volume};
use crate::name::{ImageId, LayerName, VolumeName};

/// How often a newly armed layer may be tried. More keeps a broken host away from its good layer for longer.
pub const TRIES: u8 = 3;

/// mke2fs makes one inode for so many bytes of a file system of 512 MiB or more; XFS makes them as needed.
const BYTES_PER_INODE: u64 = 16 << 10;

/// What an update or `base add` is asked to do.
#[derive(Debug, Clone)]
pub struct Request {
    /// The image, read and found good.
    pub image: ImageInfo,
    /// Whose state to carry; without it the booted layer, else the default.
    pub from: Option<LayerName>,
    /// Size of a new base; without it the size policy decides.
    pub size_bytes: Option<u64>,
    /// File system of a new base; without it its ancestor's, else ext4.
    pub fs: Option<FsKind>,
    /// Whether to arm.
    pub arm: Arm,
    /// Whether an older version may replace a newer one.
    pub downgrade: Downgrade,
    /// Whether an image that failed here may be tried once more.
    pub failed: Failed,
    /// What it will use at worst, as far as it can be told beforehand.
    pub need: Need,
}

/// Whether an update arms its layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arm {
    /// The next boot is the new layer.
    Next,
    /// Stage only.
    Later,
}

/// Whether an older version is acceptable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Downgrade {
    /// It is refused.
    Refuse,
    /// The admin wants it.
    Allow,
}

/// Whether an image that did not prove itself here is acceptable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failed {
    /// It is refused: nothing but a person says that it is better now.
    Refuse,
    /// The admin wants it.
    TryAgain,
}

/// What came of planning.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "there is one of it, and it is taken apart at once")]
pub enum Planned {
    /// There is nothing to do, and why.
    Nothing(String),
    /// Do this.
    Plan(Plan),
}

/// Adds a base.
pub fn add_base(inventory: &Inventory, request: &Request, seed: Seed) -> Result<Planned, Refusal> {
    inventory.no_open_plan()?;
    let base = &request.image.id;
    match base_steps(inventory, request)? {
        None => Ok(Planned::Nothing(format!("base {base} is already here with this content"))),
        Some(steps) => {
            room::check(request.need, inventory.room)?;
            Ok(Planned::Plan(seed.plan(Purpose::AddBase, Some(request.image.clone()), steps)))
        }
    }
}

/// Base, layer, state, entry, arm.
pub fn update(inventory: &Inventory, request: &Request, seed: Seed) -> Result<Planned, Refusal> {
    inventory.no_open_plan()?;
    let from = source_layer(inventory, request)?;
    let image = &request.image;
    if let Some(armed) = inventory.selection.armed().filter(|armed| armed.layer.base() == &image.id) {
        return Ok(Planned::Nothing(format!("{} is staged and armed already: {}", image.id, armed.layer)));
    }
    if request.failed == Failed::Refuse {
        not_failed_here(inventory, image)?;
    }
    let steps = base_steps(inventory, request)?;
    if steps.is_none() && from.base() == &image.id {
        return Ok(Planned::Nothing(format!("{from} is of {} already", image.id)));
    }
    admit(&from, request)?;
    room::check(request.need, inventory.room)?;
    let mut steps = steps.unwrap_or_default();
    let layer = inventory.next_layer(&image.id);
    let frozen = seed.frozen_name();
    steps.extend([
        Step::CreateLayer { layer: layer.clone(), origin: image.id.volume() },
        Step::FreezeState { layer: from.clone(), frozen: frozen.clone() },
        Step::MergeState { from, frozen: frozen.clone(), layer: layer.clone() },
        Step::PublishLayer { layer: layer.clone() },
        Step::WriteEntry { layer: layer.clone(), kernel: newest_kernel(image) },
    ]);
    if request.arm == Arm::Next {
        steps.push(Step::Arm { layer, tries: TRIES });
    }
    steps.push(Step::DropFrozen { frozen });
    Ok(Planned::Plan(seed.plan(Purpose::Update, Some(image.clone()), steps)))
}

/// A new layer from a base or from a layer, with a boot entry; the first layer of a store becomes its default.
/// `kernel` is the newest kernel of its base.
pub fn fork(inventory: &Inventory, origin: &VolumeName, kernel: &str, need: Need, seed: Seed) -> Result<Plan, Refusal> {
    inventory.no_open_plan()?;
    let volume = inventory.ready(origin).ok_or_else(|| missing(inventory, origin))?;
    let base = match volume.role {
        Role::Base => origin.as_str().parse::<ImageId>().ok(),
        Role::Layer => origin.as_str().parse::<LayerName>().ok().map(|layer| layer.base().clone()),
        Role::Frozen | Role::Shared | Role::Records => None,
    };
    let Some(base) = base else {
        return Err(Refusal::new(format!("{origin} is neither a base nor a layer"), "'thinroot status' lists both"));
    };
    room::check(need, inventory.room)?;
    let layer = inventory.next_layer(&base);
    let mut steps = vec![
        Step::CreateLayer { layer: layer.clone(), origin: origin.clone() },
        Step::PublishLayer { layer: layer.clone() },
        Step::WriteEntry { layer: layer.clone(), kernel: kernel.into() },
    ];
    if inventory.selection.default_layer().is_none() {
        steps.push(Step::SetDefault { layer });
    }
    Ok(seed.plan(Purpose::Fork, None, steps))
}

/// The layer whose state an update carries: as asked, else booted, else default. Never guessed from an order.
pub fn source_layer(inventory: &Inventory, request: &Request) -> Result<LayerName, Refusal> {
    let chosen = request.from.as_ref().or(inventory.booted.as_ref()).or(inventory.selection.default_layer());
    let Some(layer) = chosen else {
        return Err(Refusal::new(
            "there is no layer whose state could be carried",
            "make one with 'thinroot layer fork BASE', or name one with --from LAYER",
        ));
    };
    match inventory.ready(&layer.volume()) {
        Some(volume) if volume.role == Role::Layer => Ok(layer.clone()),
        Some(_) | None => Err(missing(inventory, &layer.volume())),
    }
}

/// The ready base a new one is best written over: the nearest older version of the same name, else the nearest newer.
pub fn ancestor(inventory: &Inventory, image: &ImageId, fs: Option<FsKind>, needed_bytes: u64) -> Option<ImageId> {
    let fits = |volume: &&Volume| fs.is_none_or(|fs| volume.fs == fs) && volume.size_bytes >= needed_bytes;
    let mut candidates: Vec<ImageId> = inventory
        .bases()
        .filter(fits)
        .filter(|volume| inventory.described.contains(&volume.name))
        .filter_map(|volume| volume.name.as_str().parse::<ImageId>().ok())
        .filter(|id| id.name() == image.name())
        .collect();
    candidates.sort();
    let newer = candidates.iter().position(|id| id > image).unwrap_or(candidates.len());
    candidates.get(newer.checked_sub(1).unwrap_or(newer)).cloned()
}

/// Size of a new base: what was asked, else at least the size of the layer it follows, else room for the content to
/// grow by half and 1 GiB more. Never derived from the tree alone.
pub fn base_size(inventory: &Inventory, request: &Request) -> u64 {
    const GIB: u64 = 1 << 30;
    let image = &request.image;
    let grown = (image.content_bytes * 3 / 2 + GIB).max(inode_room_bytes(image) * 3 / 2).next_multiple_of(GIB);
    let current = source_layer(inventory, request).ok().and_then(|layer| inventory.ready(&layer.volume()));
    request.size_bytes.unwrap_or_else(|| grown.max(current.map_or(0, |volume| volume.size_bytes)))
}

/// The least size at which a new file system has an inode for every path and a tenth more.
fn inode_room_bytes(image: &ImageInfo) -> u64 {
    (image.paths + image.paths / 10) * BYTES_PER_INODE
}

/// Steps that make the base; none where it is here already with the same content.
fn base_steps(inventory: &Inventory, request: &Request) -> Result<Option<Vec<Step>>, Refusal> {
    let image = &request.image;
    let base = image.id.clone();
    if let Some(here) = inventory.volumes.iter().find(|volume| volume.name == base.volume()) {
        return match (&here.image_digest, here.phase) {
            (Some(digest), Phase::Ready) if *digest == image.digest.short() => Ok(None),
            (Some(_) | None, Phase::Ready | Phase::Staging) => Err(Refusal::new(
                format!("a volume {base} is here already, but with other content than {}", image.source),
                format!("publish the image under a new release, or remove the old one: thinroot base remove {base}"),
            )),
        };
    }
    // The content, plus a tenth and 128 MiB for metadata and a minimum of freedom.
    let needed = (image.content_bytes + image.content_bytes / 10 + (128 << 20)).max(inode_room_bytes(image));
    let size_bytes = base_size(inventory, request);
    if size_bytes < needed {
        return Err(Refusal::new(
            format!(
                "{} MiB are too small for {} MiB of content in {} paths",
                size_bytes >> 20,
                image.content_bytes >> 20,
                image.paths
            ),
            format!("give at least --size {}M", needed.div_ceil(1 << 20)),
        ));
    }
    let wanted = request.size_bytes.unwrap_or(needed);
    let ancestor = ancestor(inventory, &base, request.fs, wanted);
    let fs = match (&ancestor, request.fs) {
        (_, Some(fs)) => fs,
        (Some(ancestor), None) => inventory.ready(&ancestor.volume()).map_or(FsKind::Ext4, |volume| volume.fs),
        (None, None) => FsKind::Ext4,
    };
    Ok(Some(vec![
        Step::CreateBase { base: base.clone(), ancestor: ancestor.clone(), fs, size_bytes },
        Step::WriteBase { base: base.clone(), ancestor },
        Step::SealBase { base },
    ]))
}

/// The same bytes under another name are the same failure.
fn not_failed_here(inventory: &Inventory, image: &ImageInfo) -> Result<(), Refusal> {
    let digest = image.digest.short();
    let same = |digest_there: &Option<String>| digest_there.as_ref() == Some(&digest);
    match inventory.selection.failed().iter().find(|failure| same(&failure.image_digest)) {
        None => Ok(()),
        Some(failure) => Err(Refusal::new(
            format!("this image failed here as {}: {}", failure.layer, failure.reason),
            "publish a mended image under a new release; to try this one once more, --try-again",
        )),
    }
}

fn admit(from: &LayerName, request: &Request) -> Result<(), Refusal> {
    let image = &request.image.id;
    if image.name() != from.base().name() {
        return Err(Refusal::new(
            format!("{image} is no version of '{}', which {from} runs", from.base().name()),
            "to change to another product, use 'thinroot base add' and 'thinroot layer fork'",
        ));
    }
    if image < from.base() && request.downgrade == Downgrade::Refuse {
        return Err(Refusal::new(
            format!("{image} is older than {}, which {from} runs", from.base()),
            "to go back to a layer that is still here, use 'thinroot rollback'; to install it all the same, --allow-downgrade",
        ));
    }
    Ok(())
}

fn newest_kernel(image: &ImageInfo) -> String {
    image.kernels.first().map(|kernel| kernel.version.clone()).unwrap_or_default()
}

pub(super) fn missing(inventory: &Inventory, name: &VolumeName) -> Refusal {
    let mut known: Vec<_> = inventory.bases().chain(inventory.layers()).map(|v| v.name.as_str()).collect();
    known.sort_unstable();
    Refusal::new(format!("there is no {name} in this store"), format!("it has: {}", known.join(", ")))
}

#[cfg(test)]
mod tests;
