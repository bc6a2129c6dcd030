//! A host: its store, boot directory and records together, and everything that can be asked of it or done to it.
//!
//! Reading needs no lock. Changing does: [`Host::change`] takes the lock, heals what a power cut left inside the
//! store's own tools, sweeps leftovers that no open plan names, and only then hands out the verbs that change.

mod arguments;
mod back;
mod carry;
mod catch_up;
mod change;
mod compare;
mod edit;
mod examine;
mod history;
mod kernels;
mod migrate;
mod numbers;
mod place;
mod policy;
mod preview;
mod restart;
mod status;
mod visit;

use std::collections::BTreeSet;
use std::path::PathBuf;

use thinroot_core::boot::Selection;
use thinroot_core::inventory::{Inventory, Role, Space, Volume};
use thinroot_core::manifest::Manifest;
use thinroot_core::name::{ImageId, LayerName, VolumeName};
use thinroot_core::plan::{Room, Seed};
use thinroot_core::state::policy::Policy;

pub use arguments::Arguments;
pub(crate) use arguments::image_arguments;
pub use back::BackPreview;
pub(crate) use carry::{Into, Planned};
pub use catch_up::{CaughtUp, Refusal};
pub use change::{Change, ForkRequest, RetireTarget};
pub use compare::{Comparison, Shown};
pub use edit::{ChangedSince, EditWish, Edits};
pub use examine::{BaseDamage, Examination};
pub use history::Carried;
pub(crate) use place::RECORDS_BYTES;
pub use place::{Place, StoreRef};
pub use preview::{Preview, UpdateOptions};
pub(crate) use preview::{kernel_files, request};
pub use status::{ArmedStatus, BaseStatus, DEFAULT_KEEP, LastPlan, LayerStatus, STATUS_VERSION, Status};
pub use visit::Visit;

use crate::boot::{BootDir, BootSurvey, SelectionFile};
use crate::error::{Error, ErrorKind, Result};
use crate::records::Records;
use crate::source;
use crate::store::{Access, Mounted, Store};

/// A host.
#[derive(Debug)]
pub struct Host {
    pub(crate) store: Box<dyn Store>,
    pub(crate) boot: BootDir,
    pub(crate) records: Records,
    /// What holds before any file or pin.
    policy: Policy,
    booted: Option<LayerName>,
    lock_path: PathBuf,
    /// Keeps the record volume mounted as long as the host is looked at.
    _records_mount: Option<Mounted>,
}

/// The parts of a host; tests put simulated ones together.
#[derive(Debug)]
pub struct Parts {
    /// Its store.
    pub store: Box<dyn Store>,
    /// Its boot directory.
    pub boot: BootDir,
    /// Its records.
    pub records: Records,
    /// The mount that the records lie on, where they lie on a volume of the store.
    pub records_mount: Option<Mounted>,
    /// The layer it runs; none where the store is not this host's.
    pub booted: Option<LayerName>,
    /// The file whose lock guards every change.
    pub lock_path: PathBuf,
}

impl Host {
    /// Puts a host together.
    pub fn new(parts: Parts) -> Self {
        Host {
            store: parts.store,
            boot: parts.boot,
            records: parts.records,
            policy: Policy::default(),
            booted: parts.booted,
            lock_path: parts.lock_path,
            _records_mount: parts.records_mount,
        }
    }

    /// Its records.
    pub fn records(&self) -> &Records {
        &self.records
    }

    /// The layer it runs; none where the store is not this host's.
    pub fn booted(&self) -> Option<&LayerName> {
        self.booted.as_ref()
    }

    /// Takes the lock, heals, sweeps. Whatever was healed or swept is said in words.
    pub fn change(&self) -> Result<Change<'_>> {
        Change::begin(self)
    }

    /// Reads everything a planner may look at.
    pub fn inventory(&self) -> Result<Inventory> {
        let survey = self.store.survey()?;
        let boot = self.boot.survey()?;
        if let SelectionFile::Damaged(why) = &boot.selection {
            return Err(Error::damaged("read what boots next", why)
                .mend("choose it again: thinroot rollback --to LAYER; 'thinroot status' lists the layers"));
        }
        self.inventory_from(survey.volumes, survey.space, &boot)
    }

    /// The inventory as far as it can be told; a damaged selection counts as none.
    fn inventory_from(&self, volumes: Vec<Volume>, pool: Space, boot: &BootSurvey) -> Result<Inventory> {
        let room =
            Room { pool, boot_free_bytes: boot.space.free_bytes, records_free_bytes: self.records.free_bytes()? };
        let selection = match &boot.selection {
            SelectionFile::Present(selection) => selection.clone(),
            SelectionFile::Absent | SelectionFile::Damaged(_) => Selection::default(),
        };
        Ok(Inventory {
            volumes,
            described: self.records.described()?.iter().map(ImageId::volume).collect(),
            room,
            selection,
            entries: boot.entries.iter().map(|entry| entry.file.name.layer().clone()).collect(),
            booted: self.booted.clone(),
            pinned: self.records.pins()?,
            open_plan: self.records.open_journal()?.map(|journal| journal.plan.id),
        })
    }

    /// The manifest of a ready base: from the records, else made again from the sealed volume.
    pub fn manifest(&self, base: &ImageId) -> Result<Manifest> {
        if let Some(manifest) = self.records.manifest(base)? {
            return Ok(manifest);
        }
        let mounted = self.store.mount(&base.volume(), Access::Inspect)?;
        let manifest = source::manifest_of_tree(mounted.path())?;
        mounted.finish()?;
        Ok(manifest)
    }

    /// A published volume, or an error that lists what there is.
    pub(crate) fn volume(&self, inventory: &Inventory, name: &VolumeName, role: Role) -> Result<Volume> {
        match inventory.ready(name) {
            Some(volume) if volume.role == role => Ok(volume.clone()),
            Some(_) | None => {
                let known: BTreeSet<&str> =
                    inventory.volumes.iter().filter(|v| v.role == role).map(|v| v.name.as_str()).collect();
                let known = known.into_iter().collect::<Vec<_>>().join(", ");
                let word = role.as_str();
                Err(Error::new(
                    ErrorKind::Usage,
                    format!("look up {word} {name}"),
                    format!("this store has no such {word}"),
                )
                .mend(if known.is_empty() {
                    format!("it has no {word} at all")
                } else {
                    format!("it has: {known}")
                }))
            }
        }
    }

    /// Time and a random number for a new plan. Plans sort by their time, also where two are made within one second or
    /// the clock was set back: then the time is one second after the newest plan's.
    pub(crate) fn seed(&self) -> Result<Seed> {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let now_sec = now.map_err(|e| Error::failed("read the clock", e))?.as_secs();
        let now_sec = self.records.newest_plan_sec()?.map_or(now_sec, |newest| now_sec.max(newest + 1));
        let mut salt = [0; 2];
        rustix::rand::getrandom(&mut salt, rustix::rand::GetRandomFlags::empty())
            .map_err(|e| Error::failed("read randomness", std::io::Error::from(e)))?;
        Ok(Seed { now_sec, salt: u32::from(u16::from_ne_bytes(salt)) })
    }
}
