//! Trees from OCI images: which image of a layout, its layers one on the other, every digest checked on the way.

mod layout;
mod model;

use std::io::BufRead;
use std::path::Path;

use thinroot_core::image::Arch;

use self::layout::{Layout, check};
use self::model::{Config, Descriptor, Document, Index, Manifest, sha256};
use super::draft::Draft;
use super::stream::{Compression, Forward, Tallied, Tally, buffered};
use super::tar::members::{End, Members};
use super::tar::{Flavour, apply, found};
use super::{Found, Stated};
use crate::error::{Error, Result};
use crate::progress::Reporter;

/// Deepest nesting of indexes; one level is common, more is an attempt at something.
const MAX_INDEX_DEPTH: usize = 3;
const TAG: &str = "org.opencontainers.image.ref.name";
/// Label by which an image states who it is, as NAME-VERSION-RELEASE.
pub(super) const ID_LABEL: &str = "org.thinroot.image.id";

/// Reads the layout in a directory.
pub(super) fn read_directory(
    path: &Path,
    tag: Option<&str>,
    arch: Arch,
    attempted: &str,
    reporter: &dyn Reporter,
) -> Result<Found> {
    read(Layout::directory(path, attempted)?, tag, arch, attempted, reporter)
}

/// Reads the layout in an archive.
pub(super) fn read_archive(
    path: &Path,
    tag: Option<&str>,
    arch: Arch,
    attempted: &str,
    reporter: &dyn Reporter,
) -> Result<Found> {
    read(Layout::archive(path, attempted)?, tag, arch, attempted, reporter)
}

fn read(layout: Layout, tag: Option<&str>, arch: Arch, attempted: &str, reporter: &dyn Reporter) -> Result<Found> {
    let index: Index = layout.document("index.json", attempted)?;
    let chosen = choose(&layout, tagged(index, tag, attempted)?, arch, 1, attempted)?;
    let manifest: Manifest = layout.json(&chosen, "the image manifest", attempted)?;
    let config: Config = layout.json(&manifest.config, "the image configuration", attempted)?;
    if config.rootfs.diff_ids.len() != manifest.layers.len() {
        return Err(Error::refused(attempted, "its manifest and its configuration have different numbers of layers"));
    }
    let mut draft = Draft::new(reporter);
    for (number, (layer, diff_id)) in manifest.layers.iter().zip(&config.rootfs.diff_ids).enumerate() {
        if number > 0 {
            draft.next_layer();
        }
        let attempted = format!("{attempted}, layer {}", number + 1);
        add_layer(&layout, layer, diff_id, &mut draft, &attempted)?;
    }
    let labels = config.config.and_then(|config| config.labels).unwrap_or_default();
    let stated = Stated { id: labels.get(ID_LABEL).cloned(), arch: config.architecture };
    let (layers, again) = (manifest.layers, format!("{attempted} again"));
    let reopen = move |number: u32| {
        let layer = &layers[number as usize];
        let compression = layer_compression(layer, &again)?;
        let blob = layout.blob(layer, &again)?;
        // Plain layers can be skipped through. Bytes are held to the manifest, so the blob's digest adds nothing.
        Ok(match compression {
            Compression::None => Members::new(Box::new(blob), &again, End::Anywhere),
            Compression::Gzip | Compression::Xz | Compression::Zstd => {
                let plain = undo(compression, blob, &again)?;
                Members::new(Box::new(Forward(plain)), &again, End::Anywhere)
            }
        })
    };
    Ok(found(draft.finish()?, Box::new(reopen), stated))
}

/// The descriptors that a reference without further choice means.
fn tagged(index: Index, tag: Option<&str>, attempted: &str) -> Result<Vec<Descriptor>> {
    let name = |descriptor: &Descriptor| descriptor.annotations.get(TAG).cloned();
    let mut tags: Vec<String> = index.manifests.iter().filter_map(name).collect();
    tags.sort();
    tags.dedup();
    let mend = match tags.is_empty() {
        true => "its images have no tags: leave the tag out".to_string(),
        false => {
            format!("add one of its tags: {}", tags.iter().map(|tag| format!(":{tag}")).collect::<Vec<_>>().join(" "))
        }
    };
    match tag {
        Some(tag) => {
            let found: Vec<_> = index.manifests.into_iter().filter(|d| name(d).as_deref() == Some(tag)).collect();
            if found.is_empty() {
                return Err(Error::refused(attempted, format!("it has no image with the tag '{tag}'")).mend(mend));
            }
            Ok(found)
        }
        None if tags.len() > 1 => {
            let why = format!("it has {} images and no tag says which", tags.len());
            Err(Error::refused(attempted, why).mend(mend))
        }
        None => Ok(index.manifests),
    }
}

/// The one manifest for this architecture among descriptors.
fn choose(
    layout: &Layout,
    descriptors: Vec<Descriptor>,
    arch: Arch,
    depth: usize,
    attempted: &str,
) -> Result<Descriptor> {
    let word = |descriptor: &Descriptor| descriptor.platform.as_ref().map(|platform| platform.architecture.clone());
    let offered: Vec<String> = descriptors.iter().filter_map(word).collect();
    let fits = |d: &Descriptor| word(d).is_none_or(|word| Arch::from_word(&word) == Some(arch));
    let fitting: Vec<Descriptor> = descriptors.into_iter().filter(fits).collect();
    let [chosen] = &fitting[..] else {
        let why = match fitting.len() {
            0 if offered.is_empty() => "it has no image".to_string(),
            0 => format!("it has no image for {}, only for {}", arch.as_str(), offered.join(", ")),
            n => format!("it has {n} images for {} and nothing says which", arch.as_str()),
        };
        return Err(Error::refused(attempted, why));
    };
    match chosen.document() {
        Some(Document::Manifest) => Ok(chosen.clone()),
        Some(Document::Index) if depth < MAX_INDEX_DEPTH => {
            let index: Index = layout.json(chosen, "an index of the image", attempted)?;
            choose(layout, index.manifests, arch, depth + 1, attempted)
        }
        Some(Document::Index) => Err(Error::refused(attempted, "its indexes are nested too deeply")),
        None => {
            let kind = chosen.media_type.as_deref().unwrap_or("no type");
            Err(Error::refused(attempted, format!("its index names something that is no image: {kind}")))
        }
    }
}

fn layer_compression(layer: &Descriptor, attempted: &str) -> Result<Compression> {
    layer.layer().ok_or_else(|| {
        let kind = layer.media_type.as_deref().unwrap_or("none");
        Error::refused(attempted, format!("its media type is not supported: {kind}"))
    })
}

fn undo(compression: Compression, input: impl BufRead + 'static, attempted: &str) -> Result<Box<dyn std::io::Read>> {
    compression.undo(input).map_err(|error| Error::refused(attempted, error))
}

fn add_layer(layout: &Layout, layer: &Descriptor, diff_id: &str, draft: &mut Draft<'_>, attempted: &str) -> Result<()> {
    let compression = layer_compression(layer, attempted)?;
    let diff_id = sha256(diff_id).ok_or_else(|| Error::refused(attempted, "its diff_id is no SHA-256 digest"))?;
    let (blob, stored) = Tallied::new(layout.blob(layer, attempted)?);
    let (plain, unpacked) = Tallied::new(undo(compression, buffered(blob), attempted)?);
    let mut members = Members::new(Box::new(Forward(plain)), attempted, End::Anywhere);
    let applied = apply(&mut members, draft, Flavour::Layer, attempted).and_then(|()| members.drain());
    drop(members);
    if let Err(error) = applied {
        // A damaged blob shows itself as any nonsense; that it is damaged is the better story.
        return Err(blob_error(layout, layer, attempted).unwrap_or(error));
    }
    finish_layer(layout, layer, &stored, attempted)?;
    if unpacked.sum().0 != diff_id {
        return Err(Error::refused(attempted, "its content does not have the diff_id of the configuration"));
    }
    Ok(())
}

/// A decoder may stop before the end of its blob: then the rest is filling that nobody named, or must be compared too.
fn finish_layer(layout: &Layout, layer: &Descriptor, stored: &Tally, attempted: &str) -> Result<()> {
    let sum = stored.sum();
    if sum.1 == layer.size {
        return check(sum, layer, "the blob", attempted);
    }
    blob_error(layout, layer, attempted).map_or(Ok(()), Err)
}

/// Reads a whole blob for its digest.
fn blob_error(layout: &Layout, layer: &Descriptor, attempted: &str) -> Option<Error> {
    let read = || -> Result<()> {
        let (mut blob, tally) = Tallied::new(layout.blob(layer, attempted)?);
        std::io::copy(&mut blob, &mut std::io::sink()).map_err(|e| super::content::refuse_io(attempted, e))?;
        check(tally.sum(), layer, "the blob", attempted)
    };
    read().err()
}
