//! What a power cut inside LVM's own commands leaves behind, and how it is mended.
//!
//! Creating a thin volume or snapshot is three writes: (1) LVM's metadata names the volume and counts one transaction
//! more, (2) the pool makes the device, (3) the pool counts the transaction too. Cut between them, the pool's count is one
//! behind, and the volume that LVM made last (its own transaction id is the pool's count) tells which state it is:
//!
//! - after (1): its activation fails, "No data available". Removing it is what LVM would do.
//! - after (2): it works, but every later change of the pool fails, "File exists … Manual intervention may be required".
//!   Counting the transaction in the pool completes the creation.
//!
//! A removal that was cut looks the same with no such volume; LVM completes it with its next change of the pool. All of
//! this was seen by replaying every flush of recorded commands. Whatever is none of these states is left alone and
//! described: a wrong guess here loses the pool.

use thinroot_core::inventory::{Phase, Volume};

use super::names::tpool;
use super::report::Lv;
use super::{LvmThinStore, act};
use crate::cmd::Cmd;
use crate::error::Result;

impl LvmThinStore {
    /// Looks at the pool and mends what is understood; says what it did, or what a person has to do.
    pub(super) fn mend_cut_changes(&self) -> Result<Vec<String>> {
        let mut lvs = self.look()?;
        if !self.pool(&lvs)?.active {
            Cmd::new("lvchange").args(["-q", "-ay"]).arg(self.path(&self.pool)).run()?;
            lvs = self.look()?;
        }
        let pool = self.pool(&lvs)?;
        let (ours, _) = self.ours(&lvs);
        let mut done = Vec::new();
        let mut looked_at = None;
        match diagnose(&self.vg, pool, self.kernel_status()?.transaction_id, &lvs, &ours) {
            Diagnosis::Sound => {}
            Diagnosis::CutCreation { volume, pool_count, lvm_count } => {
                let lv = ours.iter().find(|(found, _)| found.name == volume.name).map(|(_, lv)| lv.name.clone());
                done.push(self.end_cut_creation(&volume, &lv.unwrap_or_default(), pool_count, lvm_count)?);
                looked_at = Some(volume.name);
            }
            Diagnosis::Beyond(words) => return Ok(vec![words]),
        }
        for (volume, lv) in doubtful(&ours).filter(|(volume, _)| Some(&volume.name) != looked_at.as_ref()) {
            if !self.has_device(&lv.name)? {
                done.push(self.remove_without_device(volume, &lv.name)?);
            }
        }
        Ok(done)
    }

    fn end_cut_creation(&self, volume: &Volume, lv: &str, pool_count: u64, lvm_count: u64) -> Result<String> {
        let name = volume.name.as_str();
        if !self.has_device(lv)? {
            return self.remove_without_device(volume, lv);
        }
        let message = format!("set_transaction_id {pool_count} {lvm_count}");
        let cmd = Cmd::new("dmsetup").args(["message", &tpool(&self.vg, &self.pool), "0", &message]);
        act("complete the cut creation", &cmd)?;
        Ok(format!("completed the creation of {name}, which was interrupted"))
    }

    /// Whether the pool has the device that LVM says it has. Leaves the volume active if so.
    fn has_device(&self, lv: &str) -> Result<bool> {
        let cmd = Cmd::new("lvchange").args(["-q", "-ay", "-K"]).arg(self.path(lv));
        match cmd.run() {
            Ok(_) => Ok(true),
            Err(error) if lacks_device(&error.said) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn remove_without_device(&self, volume: &Volume, lv: &str) -> Result<String> {
        let name = volume.name.as_str();
        if volume.phase == Phase::Ready {
            return Ok(format!(
                "{name} has no device in the pool although it counts as ready: its data is lost. Remove it with \
                 `lvremove {}` once no boot entry names it",
                self.path(lv)
            ));
        }
        act("remove without device", &Cmd::new("lvremove").args(["-q", "-f", "-y"]).arg(self.path(lv)))?;
        Ok(format!("removed {name}, whose creation was interrupted before it had any content"))
    }
}

/// What to do about the pool's state.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Diagnosis {
    /// LVM and the kernel agree, or LVM will complete a removal by itself.
    Sound,
    /// A creation of ours was cut: this volume is or is not in the pool; activating it tells.
    CutCreation {
        /// The volume that was being made.
        volume: Volume,
        /// The count the pool has.
        pool_count: u64,
        /// The count it has to have.
        lvm_count: u64,
    },
    /// Not ours to touch, or not understood.
    Beyond(String),
}

/// Decides what state the pool is in. `ours` are our volumes with what LVM says of them.
fn diagnose(vg: &str, pool: &Lv, kernel_count: u64, lvs: &[Lv], ours: &[(Volume, &Lv)]) -> Diagnosis {
    let Some(lvm_count) = pool.transaction_id else {
        return Diagnosis::Beyond(format!("LVM does not say how often pool {} was changed", pool.name));
    };
    if lvm_count == kernel_count {
        return Diagnosis::Sound;
    }
    if lvm_count != kernel_count + 1 {
        return Diagnosis::Beyond(format!(
            "pool {} counts {kernel_count} changes, LVM counts {lvm_count}: an older copy of one of them was restored. \
             Do not change the pool; compare `thin_dump` with `vgcfgbackup` and restore the one that is right",
            pool.name
        ));
    }
    let made_last =
        |lv: &&Lv| lv.pool.as_deref() == Some(pool.name.as_str()) && lv.transaction_id == Some(kernel_count);
    let candidates: Vec<&Lv> = lvs.iter().filter(made_last).collect();
    match candidates.as_slice() {
        [] => Diagnosis::Sound,
        [lv] => match ours.iter().find(|(_, found)| found.name == lv.name) {
            Some((volume, _)) => Diagnosis::CutCreation { volume: volume.clone(), pool_count: kernel_count, lvm_count },
            None => Diagnosis::Beyond(format!(
                "creating {vg}/{0}, which is not ours, was interrupted. If `lvchange -ay -K {vg}/{0}` fails, remove it with \
                 `lvremove {vg}/{0}`; if it works, run `dmsetup message {1} 0 \"set_transaction_id {kernel_count} {lvm_count}\"`",
                lv.name,
                tpool(vg, &pool.name),
            )),
        },
        _ => Diagnosis::Beyond(format!(
            "several volumes of pool {} claim to be the last one made; look at `lvs -o name,transaction_id`",
            pool.name
        )),
    }
}

/// Volumes that may lack their device although the counts agree: inactive, staging, ours.
fn doubtful<'a>(ours: &'a [(Volume, &'a Lv)]) -> impl Iterator<Item = &'a (Volume, &'a Lv)> {
    ours.iter().filter(|(volume, lv)| volume.phase == Phase::Staging && !lv.active)
}

/// Whether an activation failed because the pool has no such device.
fn lacks_device(said: &str) -> bool {
    said.contains("No data available")
}

#[cfg(test)]
mod tests {
    use super::super::{report, tags};
    use super::*;

    fn diagnose_with(change: impl FnOnce(&mut Vec<Lv>), kernel_count: u64) -> Diagnosis {
        let mut lvs = report::parse(include_str!("../../../tests/fixtures/lvm/lvs-cut.json")).unwrap();
        change(&mut lvs);
        let ours: Vec<(Volume, &Lv)> =
            lvs.iter().filter_map(|lv| tags::volume(lv).unwrap().map(|volume| (volume, lv))).collect();
        let pool = lvs.iter().find(|lv| lv.is_pool).unwrap();
        diagnose("vg0", pool, kernel_count, &lvs, &ours)
    }

    #[test]
    fn only_the_states_that_were_seen_are_mended() {
        let Diagnosis::CutCreation { volume, pool_count: 1, lvm_count: 2 } = diagnose_with(|_| {}, 1) else {
            panic!("a cut snapshot is not recognised")
        };
        assert_eq!(volume.name.as_str(), "node-1-0+1");
        assert_eq!(diagnose_with(|_| {}, 2), Diagnosis::Sound);
        // A removal: the pool is one behind, and nobody was made last.
        assert_eq!(diagnose_with(|lvs| lvs.retain(|lv| lv.name != "node-1-0+1"), 1), Diagnosis::Sound);
        for (kernel_count, word) in [(0, "older copy"), (3, "older copy")] {
            let Diagnosis::Beyond(words) = diagnose_with(|_| {}, kernel_count) else { panic!("{kernel_count}") };
            assert!(words.contains(word), "{words}");
        }
        let strip = |lvs: &mut Vec<Lv>| lvs.iter_mut().for_each(|lv| lv.tags.clear());
        let Diagnosis::Beyond(words) = diagnose_with(strip, 1) else { panic!("mended what is not ours") };
        assert!(words.contains("dmsetup message vg0-pool-tpool 0 \"set_transaction_id 1 2\""), "{words}");
    }
}
