//! Steps that make and remove layers and frozen snapshots.

use thinroot_core::inventory::Role;
use thinroot_core::name::{LayerName, VolumeName};

use super::{Attempt, Execution};
use crate::error::{Error, Result};

impl Execution<'_> {
    pub(super) fn create_layer(&mut self, layer: &LayerName, origin: &VolumeName, attempt: Attempt) -> Result<String> {
        if attempt == Attempt::Redo {
            self.discard(&layer.volume())?;
        }
        self.host.store.snapshot(origin, &layer.volume(), Role::Layer)?;
        Ok(String::new())
    }

    /// The frozen snapshot stays staging: if everything else is lost, the sweep knows it is garbage.
    pub(super) fn freeze_state(&mut self, layer: &LayerName, frozen: &VolumeName, attempt: Attempt) -> Result<String> {
        if attempt == Attempt::Redo {
            self.discard(frozen)?;
        }
        self.host.store.snapshot(&layer.volume(), frozen, Role::Frozen)?;
        Ok(String::new())
    }

    pub(super) fn publish_layer(&mut self, layer: &LayerName) -> Result<String> {
        self.host.store.publish(&layer.volume(), None)?;
        Ok(String::new())
    }

    pub(super) fn drop_frozen(&mut self, frozen: &VolumeName) -> Result<String> {
        self.discard(frozen)?;
        Ok(String::new())
    }

    pub(super) fn remove_layer(&mut self, layer: &LayerName) -> Result<String> {
        // The second look: since planning, somebody may have booted or armed it.
        if let Some(reason) = self.host.inventory()?.needs(layer) {
            return Err(Error::refused(format!("remove layer {layer}"), format!("it is {reason}")));
        }
        self.withdraw(&layer.volume())?;
        self.discard(&layer.volume())?;
        Ok(String::new())
    }
}
