//! Records about boot entries: what each was written with, and what the admin wants of every next one.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use thinroot_core::boot::AdminChange;
use thinroot_core::name::LayerName;

use super::{Records, read_json, write_json};
use crate::durable;
use crate::error::Result;

/// What a boot entry was written with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// The whole kernel command line: what an entry has otherwise now was done by hand.
    pub line: String,
    /// What of it was carried from the layer before, which had it by hand.
    pub carried: Vec<AdminChange>,
}

impl Records {
    fn written_path(&self, layer: &LayerName) -> PathBuf {
        self.root.join("entries").join(format!("{layer}.json"))
    }

    /// What the entry of a layer was written with; none where it has none, or was written by a version without it.
    pub fn written(&self, layer: &LayerName) -> Result<Option<Written>> {
        read_json(&self.written_path(layer))
    }

    /// Keeps it. Before the entry is written: without it, all of the entry would seem to be done by hand.
    pub fn put_written(&self, layer: &LayerName, written: &Written) -> Result<()> {
        write_json(&self.written_path(layer), written)
    }

    /// Forgets it.
    pub fn forget_written(&self, layer: &LayerName) -> Result<()> {
        durable::remove(&self.written_path(layer)).map(drop)
    }

    fn wishes_path(&self) -> PathBuf {
        self.root.join("kernel-arguments.json")
    }

    /// What the admin wants of the kernel arguments of every next layer, in order.
    pub fn argument_wishes(&self) -> Result<Vec<AdminChange>> {
        Ok(read_json(&self.wishes_path())?.unwrap_or_default())
    }

    /// Sets it.
    pub fn put_argument_wishes(&self, wishes: &[AdminChange]) -> Result<()> {
        write_json(&self.wishes_path(), &wishes)
    }
}
