//! Both texts of a clash in one, for a person to edit.

use std::io::Read;
use std::path::Path;

use sha2::{Digest as _, Sha256};
use thinroot_core::manifest::{Digest, Entry};
use thinroot_core::name::LayerName;
use thinroot_core::path::TreePath;
use thinroot_core::state::Side;
use thinroot_core::state::edit::mine;
use thinroot_core::state::text::{MAX_TEXT_BYTES, is_binary, marked};

use crate::error::{Error, IoContext, Result};
use crate::host::Host;
use crate::state::RootContents;
use crate::store::Access;

impl Host {
    /// The text of both sides of a decision with marks where they clash, for a person to edit.
    pub fn marked_text(&self, layer: Option<&LayerName>, path: &TreePath) -> Result<Vec<u8>> {
        let attempted = format!("edit {path}");
        let refuse = |why: &str| Err(Error::refused(&attempted, why));
        let Some(carried) = self.last_carried(layer)? else { return refuse("no update has carried any state yet") };
        let Some(decision) = carried.state.decisions.iter().find(|decision| decision.path == *path) else {
            return refuse("the update that made this layer decided nothing over it");
        };
        let manifest = self.ground(&carried)?;
        let vendor = manifest.get(path);
        let (Ok(Some(mine)), Some(vendor)) = (mine(decision, vendor), vendor) else {
            return refuse("one of the two sides does not have it; take one with --mine or --theirs");
        };
        if [mine, vendor]
            .iter()
            .any(|entry| entry.kind.digest().is_none() || entry.kind.content_bytes() > MAX_TEXT_BYTES)
        {
            return refuse("it is no text file on both sides; take one with --mine or --theirs");
        }
        let kept = |digest: Digest| -> Result<Option<Vec<u8>>> {
            let Some(mut blob) = self.kept(&digest)? else { return Ok(None) };
            let mut text = Vec::new();
            blob.read_to_end(&mut text).at("read", Path::new("a kept content"))?;
            Ok(Some(text))
        };
        let in_volume = |volume, entry: &Entry| -> Result<Option<Vec<u8>>> {
            let mounted = self.store.mount(volume, Access::Inspect)?;
            let at = entry.hardlink.as_ref().unwrap_or(path);
            let text = RootContents::open(mounted.path())?.small(at, MAX_TEXT_BYTES)?;
            mounted.finish()?;
            Ok(text.filter(|text| Some(Digest(Sha256::digest(text).into())) == entry.kind.digest()))
        };
        let text = |entry: &Entry, volume| match entry.kind.digest().map(kept).transpose()?.flatten() {
            Some(text) => Ok(Some(text)),
            None => in_volume(volume, entry),
        };
        let (layer, base) = (carried.layer.volume(), carried.layer.base().volume());
        let (Some(mine), Some(theirs)) = (text(mine, &layer)?, text(vendor, &base)?) else {
            return refuse("one of the two sides is no longer kept");
        };
        let original = decision.kept.iter().find(|kept| kept.side == Side::Base);
        let original = original.map(|original| kept(original.digest)).transpose()?.flatten().unwrap_or_default();
        if [&mine, &theirs].into_iter().any(|text| is_binary(text)) {
            return refuse("it is binary; take one side with --mine or --theirs");
        }
        Ok(marked(&original, &mine, &theirs))
    }
}
