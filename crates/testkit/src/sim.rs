//! A simulated store, stricter than the real ones: what they merely forbid, it catches; what they usually keep, it loses.
//!
//! - Volumes are directories. A mount is a working copy: [`Mounted::finish`] makes it durable in one act, dropping it
//!   loses it, and so does [`SimStore::power_cycle`].
//! - Writing through an inspecting mount, or behind our back into a base, is a panic at the next look.
//! - A pool can be small: in bytes (equal contents count once) and in volumes. It shows itself full at `finish`.
//! - A cut inside `create` or `snapshot` leaves a volume that does not mount until it is made again, removed or healed.
//!
//! It has no lineage of (inode, change time) between a layer and its base, which real snapshots keep: whoever compares
//! trees by that must be tested on a real store as well.

mod state;
mod tree;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use thinroot_core::inventory::{Phase, Role, Space, Volume};
use thinroot_core::name::VolumeName;
use thinroot_engine::error::{Error, IoContext, Result};
use thinroot_engine::fault;
use thinroot_engine::store::{Access, Ensured, Mounted, NewVolume, Store, StoreKind, StoreSurvey};

use self::state::{SimMount, SimVolume, State, remove_tree};

use crate::scratch::in_memory;

/// Room of a simulated pool unless limited.
const DATA_BYTES: u64 = 64 << 30;
/// Volumes a simulated pool has metadata for unless limited.
const MAX_VOLUMES: usize = 1000;
/// What one volume counts for in the pool's metadata.
const METADATA_BYTES_A_VOLUME: u64 = 64 << 10;

/// The simulated store. Clones are handles on the same one.
#[derive(Debug, Clone)]
pub struct SimStore(Arc<Mutex<State>>);

impl SimStore {
    /// A store with plenty of room.
    pub fn new() -> Self {
        SimStore(Arc::new(Mutex::new(State {
            root: in_memory("thinroot-sim-"),
            volumes: BTreeMap::new(),
            foreign: BTreeMap::new(),
            mounts: BTreeMap::new(),
            next: 0,
            data_bytes: DATA_BYTES,
            max_volumes: MAX_VOLUMES,
        })))
    }

    /// Limits the room for data from now on.
    pub fn limit_data(&self, bytes: u64) {
        self.state().data_bytes = bytes;
    }

    /// Limits the number of volumes from now on, as full pool metadata would.
    pub fn limit_volumes(&self, count: usize) {
        self.state().max_volumes = count;
    }

    /// Power gone and back: every mount and whatever was written since the last sync is lost.
    pub fn power_cycle(&self) {
        let mut state = self.state();
        for (_, mount) in std::mem::take(&mut state.mounts) {
            remove_tree(&mount.tree);
        }
    }

    /// Adds a volume that is not ours, with a copy of this tree.
    pub fn add_foreign(&self, volume: &str, tree: &std::path::Path) {
        let mut state = self.state();
        let directory = state.new_directory();
        tree::copy(tree, &directory).expect("a copy");
        state.foreign.insert(volume.into(), directory);
    }

    /// Number of mounts that nobody ended.
    pub fn mounts(&self) -> usize {
        self.state().mounts.len()
    }

    /// The durable tree of a volume, for tests to look at, not to write to.
    pub fn durable_tree(&self, name: &VolumeName) -> Option<PathBuf> {
        self.state().volumes.get(name)?.content.as_ref().map(|content| content.tree.clone())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A test that panicked elsewhere has told its story; the state itself is changed in single acts.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for SimStore {
    fn default() -> Self {
        SimStore::new()
    }
}

impl Store for SimStore {
    fn survey(&self) -> Result<StoreSurvey> {
        let state = self.state();
        state.check_bases()?;
        let volumes = state.volumes.values().map(|volume| {
            let used = volume.content.as_ref().map(|c| c.weights.iter().map(|(_, bytes)| bytes).sum());
            Volume { used_bytes: used, ..volume.facts.clone() }
        });
        let findings = state.volumes.iter().filter(|(_, volume)| volume.content.is_none());
        let findings = findings.map(|(name, _)| format!("the making of {} was cut off", name.as_str()));
        Ok(StoreSurvey {
            kind: StoreKind::Simulated,
            volumes: volumes.collect(),
            space: Space {
                data_total_bytes: state.data_bytes,
                data_used_bytes: state.used_bytes(),
                metadata_total_bytes: state.max_volumes as u64 * METADATA_BYTES_A_VOLUME,
                metadata_used_bytes: state.volumes.len() as u64 * METADATA_BYTES_A_VOLUME,
                extendable_bytes: 0,
            },
            findings: findings.collect(),
        })
    }

    fn create(&self, new: &NewVolume) -> Result<Ensured> {
        let attempted = format!("create {}", new.name.as_str());
        let facts = Volume {
            name: new.name.clone(),
            role: new.role,
            phase: Phase::Staging,
            origin: None,
            image_digest: None,
            fs: new.fs,
            size_bytes: new.size_bytes,
            used_bytes: None,
        };
        let mut state = self.state();
        match state.volumes.get(&new.name) {
            Some(found) if found.facts != facts => {
                return Err(Error::refused(attempted, "another volume has this name"));
            }
            Some(SimVolume { content: Some(_), .. }) => return Ok(Ensured::Already),
            Some(_) => {}
            None => {
                state.room_for_one_more(&attempted)?;
                fault::point("sim: before create")?;
                state.volumes.insert(new.name.clone(), SimVolume { facts, content: None, adopted: false });
            }
        }
        fault::point("sim: created, not yet formatted")?;
        let directory = state.new_directory();
        fs::create_dir(&directory).at("create", &directory)?;
        let content = state.take_in(directory)?;
        state.change(&new.name, |volume| volume.content = Some(content));
        fault::point("sim: created")?;
        Ok(Ensured::Done)
    }

    fn snapshot(&self, origin: &VolumeName, name: &VolumeName, role: Role) -> Result<Ensured> {
        let attempted = format!("snapshot {} as", origin.as_str());
        let mut state = self.state();
        let source = state.content("snapshot", origin)?.tree.clone();
        let facts = Volume {
            name: name.clone(),
            role,
            phase: Phase::Staging,
            origin: Some(origin.clone()),
            image_digest: None,
            ..state.get("snapshot", origin)?.facts.clone()
        };
        match state.volumes.get(name) {
            Some(found) if found.facts != facts => {
                return Err(Error::refused(format!("{attempted} {}", name.as_str()), "another volume has this name"));
            }
            Some(SimVolume { content: Some(_), .. }) => return Ok(Ensured::Already),
            Some(_) | None => state.not_mounted("snapshot", origin, |mount| mount.writes)?,
        }
        if !state.volumes.contains_key(name) {
            state.room_for_one_more(&format!("{attempted} {}", name.as_str()))?;
            fault::point("sim: before snapshot")?;
            state.volumes.insert(name.clone(), SimVolume { facts, content: None, adopted: false });
        }
        fault::point("sim: snapshot named, not yet taken")?;
        let directory = state.new_directory();
        tree::copy(&source, &directory)?;
        let content = state.take_in(directory)?;
        state.change(name, |volume| volume.content = Some(content));
        fault::point("sim: snapshot taken")?;
        Ok(Ensured::Done)
    }

    fn publish(&self, name: &VolumeName, image_digest: Option<&str>) -> Result<Ensured> {
        let mut state = self.state();
        let facts = state.get("publish", name)?.facts.clone();
        let refuse = |why: &str| Err(Error::refused(format!("publish {}", name.as_str()), why));
        if (facts.role == Role::Base) != image_digest.is_some() {
            return refuse("a base is published with the digest of its image, and nothing else with any");
        }
        if image_digest.is_some_and(|d| d.len() != 16 || d.bytes().any(|b| !matches!(b, b'0'..=b'9' | b'a'..=b'f'))) {
            return refuse("the digest is not 16 hexadecimal digits");
        }
        match facts.phase {
            Phase::Ready if facts.image_digest.as_deref() == image_digest => return Ok(Ensured::Already),
            Phase::Ready => return refuse("it holds another image"),
            Phase::Staging => {}
        }
        state.unmounted("publish", name)?;
        state.content("publish", name)?;
        fault::point("sim: before publish")?;
        state.change(name, |volume| {
            volume.facts.phase = Phase::Ready;
            volume.facts.image_digest = image_digest.map(Into::into);
        });
        fault::point("sim: published")?;
        Ok(Ensured::Done)
    }

    fn withdraw(&self, name: &VolumeName) -> Result<Ensured> {
        let mut state = self.state();
        if state.get("withdraw", name)?.facts.phase == Phase::Staging {
            return Ok(Ensured::Already);
        }
        state.unmounted("withdraw", name)?;
        state.check_bases()?;
        fault::point("sim: before withdraw")?;
        state.change(name, |volume| {
            volume.facts.phase = Phase::Staging;
            volume.facts.image_digest = None;
        });
        fault::point("sim: withdrawn")?;
        Ok(Ensured::Done)
    }

    fn remove(&self, name: &VolumeName) -> Result<Ensured> {
        let mut state = self.state();
        let Some(volume) = state.volumes.get(name) else { return Ok(Ensured::Already) };
        if volume.facts.phase == Phase::Ready {
            return Err(Error::refused(
                format!("remove {}", name.as_str()),
                "it is ready, and only staging volumes go",
            ));
        }
        state.unmounted("remove", name)?;
        fault::point("sim: before remove")?;
        if let Some(SimVolume { content: Some(content), .. }) = state.volumes.remove(name) {
            remove_tree(&content.tree);
        }
        for volume in state.volumes.values_mut().filter(|v| v.facts.origin.as_ref() == Some(name)) {
            volume.facts.origin = None;
        }
        fault::point("sim: removed")?;
        Ok(Ensured::Done)
    }

    fn mount(&self, name: &VolumeName, access: Access) -> Result<Mounted> {
        let mut state = self.state();
        let facts = state.get("mount", name)?.facts.clone();
        let source = state.content("mount", name)?.tree.clone();
        let writes = match (access, facts.role, facts.phase) {
            (Access::Inspect, _, _) => false,
            (Access::WriteBase, Role::Base, Phase::Staging)
            | (Access::WriteLayer, Role::Layer | Role::Shared | Role::Records, _) => true,
            (Access::WriteBase | Access::WriteLayer, _, _) => {
                return Err(Error::refused(
                    format!("mount {} writable", name.as_str()),
                    "it may not be written like this",
                ));
            }
        };
        // A frozen snapshot replays its journal first, and no two can do that at once.
        let exclusive = writes || facts.role == Role::Frozen;
        if exclusive {
            state.unmounted("mount", name)?;
        }
        state.not_mounted("mount", name, |mount| mount.exclusive)?;
        let tree = state.new_directory();
        tree::copy(&source, &tree)?;
        let id = state.next;
        state.mounts.insert(id, SimMount { name: name.clone(), writes, exclusive, tree: tree.clone() });
        let store = self.clone();
        Ok(Mounted::new(tree, Box::new(move |ending| store.state().end_mount(id, ending))))
    }

    /// A deterministic stream of everything in the volume, in place of a file system's blocks.
    fn raw(&self, name: &VolumeName) -> Result<File> {
        let mut state = self.state();
        let source = state.content("open", name)?.tree.clone();
        let path = state.new_directory();
        let mut file = File::create(&path).at("create", &path)?;
        tree::write_stream(&source, &mut file)?;
        let read_only = File::open(&path).at("open", &path)?;
        fs::remove_file(&path).at("remove", &path)?;
        Ok(read_only)
    }

    fn kernel_root(&self, name: &VolumeName) -> Result<String> {
        self.state().content("boot", name)?;
        Ok(format!("root=sim:{}", name.as_str()))
    }

    fn adopt(&self, volume: &str, name: &VolumeName, role: Role) -> Result<Ensured> {
        let attempted = format!("adopt {volume} as {name}");
        let mut state = self.state();
        let source = state.foreign.get(volume).cloned();
        let source = source.ok_or_else(|| Error::refused(attempted.clone(), "there is no volume of this name"))?;
        let phase = if role == Role::Base { Phase::Staging } else { Phase::Ready };
        match state.volumes.get(name) {
            Some(SimVolume { facts, content: Some(_), adopted: true })
                if (facts.role, facts.phase) == (role, phase) =>
            {
                return Ok(Ensured::Already);
            }
            Some(_) => return Err(Error::refused(attempted, "another volume has this name")),
            None => {}
        }
        state.room_for_one_more(&attempted)?;
        fault::point("sim: before adopting")?;
        let directory = state.new_directory();
        tree::copy(&source, &directory)?;
        let facts = Volume {
            name: name.clone(),
            role,
            phase,
            origin: None,
            image_digest: None,
            fs: thinroot_core::inventory::FsKind::Ext4,
            size_bytes: 4 << 30,
            used_bytes: None,
        };
        let content = state.take_in(directory)?;
        state.volumes.insert(name.clone(), SimVolume { facts, content: Some(content), adopted: true });
        fault::point("sim: adopted")?;
        Ok(Ensured::Done)
    }

    fn let_go(&self, name: &VolumeName) -> Result<Ensured> {
        let mut state = self.state();
        match state.volumes.get(name) {
            None => return Ok(Ensured::Already),
            Some(volume) if volume.adopted && volume.facts.role == Role::Layer => {}
            Some(_) => return Err(Error::refused(format!("let go of {name}"), "it was not there before us")),
        }
        fault::point("sim: before letting go")?;
        state.volumes.remove(name);
        fault::point("sim: let go")?;
        Ok(Ensured::Done)
    }

    fn heal(&self) -> Result<Vec<String>> {
        let mut state = self.state();
        let broken: Vec<VolumeName> =
            state.volumes.iter().filter(|(_, v)| v.content.is_none()).map(|(name, _)| name.clone()).collect();
        for name in &broken {
            fault::point("sim: before healing")?;
            state.volumes.remove(name);
        }
        Ok(broken.iter().map(|name| format!("removed the unfinished volume {}", name.as_str())).collect())
    }
}
