//! A layer beside its base, to be looked at: what was changed here, and the texts of both.

use thinroot_core::inventory::Role;
use thinroot_core::manifest::{Entry, Manifest};
use thinroot_core::name::LayerName;
use thinroot_core::path::TreePath;
use thinroot_core::state::text::{MAX_TEXT_BYTES, is_binary};
use thinroot_core::state::{Change, Delta, Policy, StatePlan};

use super::Host;
use super::carry::Into;
use crate::error::{Error, Result};
use crate::progress::Reporter;
use crate::source::Image;
use crate::state::RootContents;
use crate::store::{Access, Mounted};

/// Everyone may read a file with this bit. What not everyone may read is taken for a secret and never printed.
const OTHERS_READ: u16 = 0o004;

/// A layer and its base, mounted for reading.
#[derive(Debug)]
pub struct Comparison {
    /// The layer.
    pub layer: LayerName,
    /// What it was made from.
    pub base: Manifest,
    /// The rules over it.
    pub policy: Policy,
    /// How it differs.
    pub delta: Delta,
    layer_mount: Mounted,
    base_mount: Option<Mounted>,
}

/// What can be shown of a path's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown {
    /// The texts of both sides; a side without the file has an empty one.
    Texts {
        /// In the base.
        old: Vec<u8>,
        /// In the layer.
        new: Vec<u8>,
    },
    /// Not everyone may read it.
    Secret,
    /// It is binary or large, or no file on either side.
    NoText,
}

impl Host {
    /// The named layer, else the booted one, else the default.
    pub fn present_layer(&self, named: Option<&LayerName>) -> Result<LayerName> {
        let selection = self.boot.read_selection()?.unwrap_or_default();
        let layer = named.or(self.booted.as_ref()).or(selection.default_layer()).cloned();
        let layer = layer.ok_or_else(|| Error::refused("find the present layer", "this store has no layer yet"))?;
        self.volume(&self.inventory()?, &layer.volume(), Role::Layer)?;
        Ok(layer)
    }

    /// Compares a layer with its base. Writes nothing.
    pub fn compare(&self, layer: &LayerName, reporter: &dyn Reporter) -> Result<Comparison> {
        let layer_mount = self.look_into(layer)?;
        let base = self.manifest(layer.base())?;
        let policy = self.policy_of(layer_mount.path())?;
        let delta = self.delta(layer, layer_mount.path(), &base, &policy, reporter)?;
        Ok(Comparison {
            layer: layer.clone(),
            base,
            policy,
            delta,
            layer_mount,
            base_mount: self.mount_base(layer.base())?,
        })
    }

    /// What an image would make of the state of a layer, whether or not it is here already. Writes nothing.
    pub fn preview_state(&self, from: &LayerName, image: &mut Image, reporter: &dyn Reporter) -> Result<StatePlan> {
        self.localise(image, Some(from))?;
        self.state_in(from, image, reporter)
    }

    /// The same with an image that has this host's numbers.
    pub(super) fn state_in(&self, from: &LayerName, image: &mut Image, reporter: &dyn Reporter) -> Result<StatePlan> {
        let mounted = self.look_into(from)?;
        let into = Into { image: &image.info.id, new: &image.manifest, contents: image.source.as_mut(), root: None };
        let planned = self.plan_state(from, mounted.path(), into, reporter)?;
        mounted.finish()?;
        Ok(planned.state)
    }

    /// Mounts a layer for reading.
    pub(super) fn look_into(&self, layer: &LayerName) -> Result<Mounted> {
        self.volume(&self.inventory()?, &layer.volume(), Role::Layer)?;
        // A layer whose machine lost power has an open journal. Looking must not write, so it is not replayed here.
        self.store.mount(&layer.volume(), Access::Inspect).map_err(|error| match error.mend {
            Some(_) => error,
            None => error.mend(format!(
                "if its machine was switched off while it ran, bring it into order: thinroot layer shell {layer} -- true"
            )),
        })
    }
}

impl Comparison {
    /// A path as the layer has it.
    pub fn local(&self, path: &TreePath) -> Option<&Entry> {
        match self.delta.changes.get(path) {
            Some(change) => change.entry(),
            None => self.base.get(path),
        }
    }

    /// The content of a changed path on both sides, as far as it may be shown.
    pub fn texts(&self, path: &TreePath) -> Result<Shown> {
        let (old, new) = (self.base.get(path), self.delta.changes.get(path).and_then(Change::entry));
        let sides = [old, new];
        let is_text = |entry: &&Entry| entry.kind.digest().is_some() && entry.kind.content_bytes() <= MAX_TEXT_BYTES;
        if sides.iter().all(Option::is_none) || !sides.iter().flatten().all(is_text) {
            return Ok(Shown::NoText);
        }
        if sides.iter().flatten().any(|entry| entry.meta.mode & OTHERS_READ == 0) {
            return Ok(Shown::Secret);
        }
        let read = |mount: Option<&Mounted>, there: bool| -> Result<Option<Vec<u8>>> {
            match mount {
                Some(mount) if there => RootContents::open(mount.path())?.small(path, MAX_TEXT_BYTES),
                Some(_) | None => Ok((!there).then(Vec::new)),
            }
        };
        let old = read(self.base_mount.as_ref(), old.is_some())?;
        let new = read(Some(&self.layer_mount), new.is_some())?;
        Ok(match (old, new) {
            (Some(old), Some(new)) if !is_binary(&old) && !is_binary(&new) => Shown::Texts { old, new },
            _ => Shown::NoText,
        })
    }

    /// Unmounts both.
    pub fn finish(self) -> Result<()> {
        self.layer_mount.finish()?;
        self.base_mount.map_or(Ok(()), Mounted::finish)
    }
}
