//! This host's numbers of users and groups, and images that get them.

use thinroot_core::ids::Ledger;
use thinroot_core::inventory::Role;
use thinroot_core::manifest::Accounts;
use thinroot_core::name::LayerName;

use super::Host;
use crate::error::Result;
use crate::source::{self, Image};
use crate::state::accounts_of;

impl Host {
    /// Gives an image this host's numbers; one that has them already stays as it is. `from` is the layer whose state
    /// is carried, where not the present one's. Writes nothing.
    pub fn localise(&self, image: &mut Image, from: Option<&LayerName>) -> Result<()> {
        let map = self.ledger(from)?.localise(image.manifest.accounts());
        source::localise(image, &map)
    }

    /// Records the numbers of an image that is about to be written, together with those of the present layer.
    pub(crate) fn learn_numbers(&self, accounts: &Accounts) -> Result<()> {
        let mut ledger = self.ledger(None)?;
        ledger.learn(accounts);
        if self.records.ledger()?.as_ref() == Some(&ledger) {
            return Ok(());
        }
        self.records.put_ledger(&ledger)
    }

    /// What is recorded, and whoever the layer has; without a record whoever any base has.
    fn ledger(&self, from: Option<&LayerName>) -> Result<Ledger> {
        let recorded = self.records.ledger()?;
        let mut ledger = recorded.clone().unwrap_or_default();
        let inventory = self.inventory()?;
        let layer = from.or(inventory.booted.as_ref()).or(inventory.selection.default_layer());
        if let Some(layer) =
            layer.filter(|layer| inventory.ready(&layer.volume()).is_some_and(|v| v.role == Role::Layer))
        {
            let mounted = self.look_into(layer)?;
            let accounts = accounts_of(mounted.path())?;
            mounted.finish()?;
            ledger.learn(&accounts);
        }
        if recorded.is_none() {
            for base in &inventory.described {
                if let Ok(base) = base.as_str().parse() {
                    ledger.learn(self.manifest(&base)?.accounts());
                }
            }
        }
        Ok(ledger)
    }
}
