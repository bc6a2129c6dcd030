//! Looking for what is wrong: the invariants of the whole host, and the bytes of its bases.

use std::collections::BTreeSet;
use std::io::{Seek, SeekFrom};

use serde::Serialize;
use thinroot_core::audit::{self, HostView};
use thinroot_core::inventory::{Phase, Role};
use thinroot_core::name::ImageId;

use super::Host;
use crate::base::chunks::ChunkTable;
use crate::base::verify;
use crate::boot::SelectionFile;
use crate::error::{Error, IoContext, Result};
use crate::progress::Reporter;
use crate::records::Part;
use crate::store::Access;

/// Version of the JSON of [`Examination`].
pub const EXAMINATION_VERSION: u32 = 1;
/// Damaged places that are named one by one; the rest is counted.
const PLACES_SHOWN: usize = 20;

/// What `check` found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Examination {
    /// Version of this form.
    pub thinroot_check: u32,
    /// Invariants that do not hold: each is a defect or damage.
    pub violations: Vec<String>,
    /// What a person should look at.
    pub findings: Vec<String>,
}

/// What is wrong with a base.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BaseDamage {
    /// The base.
    pub base: ImageId,
    /// What is damaged, in words: bytes of the volume, paths of the tree.
    pub places: Vec<String>,
}

impl Host {
    /// Checks every invariant that can be told without reading contents.
    pub fn examine(&self) -> Result<Examination> {
        let survey = self.store.survey()?;
        let boot = self.boot.survey()?;
        let inventory = self.inventory_from(survey.volumes.clone(), survey.space, &boot)?;
        let open = self.records.open_journal()?;
        let mut findings = survey.findings;
        findings.extend(boot.findings.iter().cloned());
        let view = HostView {
            volumes: survey.volumes,
            entries: boot.audited_entries(),
            selection: inventory.selection,
            open_plan_names: open.iter().flat_map(|journal| journal.plan.volumes()).collect(),
            manifests: self.records.described()?,
            unreferenced_kernels: boot.unreferenced_kernels(),
        };
        let mut violations: Vec<String> = audit::audit(&view).iter().map(ToString::to_string).collect();
        if let SelectionFile::Damaged(why) = &boot.selection {
            violations.push(format!("nobody can tell what boots next: {why}"));
        }
        if let Some(open) = open {
            let id = open.plan.id;
            findings.push(format!(
                "plan {id} was interrupted: 'thinroot resume' finishes it, 'thinroot abandon' undoes it"
            ));
        }
        Ok(Examination { thinroot_check: EXAMINATION_VERSION, violations, findings })
    }

    /// Reads a sealed base again and compares it with what was recorded: first every byte of the volume, then, to name
    /// what is damaged, every path.
    pub fn verify_base(&self, base: &ImageId, reporter: &dyn Reporter) -> Result<BaseDamage> {
        let inventory = self.inventory()?;
        self.volume(&inventory, &base.volume(), Role::Base)?;
        let mut places = Vec::new();
        match self.records.part(base, Part::Chunks)? {
            Some(bytes) => {
                let recorded = ChunkTable::from_bytes(&bytes)?;
                let now = self.chunks(base)?;
                let differing = recorded.compare(&now);
                places
                    .extend(differing.iter().take(PLACES_SHOWN).map(|at| format!("64 KiB at byte {at} of the volume")));
                if differing.len() > PLACES_SHOWN {
                    places.push(format!("{} more places of the volume", differing.len() - PLACES_SHOWN));
                }
            }
            None => places.push("its chunk digests are not in the records; only its paths were compared".into()),
        }
        let manifest = self.records.manifest(base)?.ok_or_else(|| {
            Error::damaged(format!("verify base {base}"), "its manifest is not in the records: nothing to compare with")
        })?;
        let mounted = self.store.mount(&base.volume(), Access::Inspect)?;
        let (differences, _) = verify(mounted.path(), &manifest, reporter)?;
        mounted.finish()?;
        places.extend(differences.iter().take(PLACES_SHOWN).map(ToString::to_string));
        Ok(BaseDamage { base: base.clone(), places })
    }

    /// Digests of the volume's bytes as they are now.
    pub(crate) fn chunks(&self, base: &ImageId) -> Result<ChunkTable> {
        let mut raw = self.store.raw(&base.volume())?;
        // The end of a block device is its size, which its metadata does not tell.
        let size_bytes = raw.seek(SeekFrom::End(0)).at("find the end of", base.to_string())?;
        ChunkTable::read(&raw, size_bytes)
    }

    /// Every ready base.
    pub fn bases(&self) -> Result<BTreeSet<ImageId>> {
        let volumes = self.store.survey()?.volumes;
        let ready = volumes.iter().filter(|volume| volume.role == Role::Base && volume.phase == Phase::Ready);
        Ok(ready.filter_map(|volume| volume.name.as_str().parse().ok()).collect())
    }
}
