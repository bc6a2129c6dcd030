//! What the simulated store is made of, and the rules it holds its users to.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use thinroot_core::inventory::{Phase, Role, Volume};
use thinroot_core::name::VolumeName;
use thinroot_engine::error::{Error, ErrorKind, IoContext, Result};
use thinroot_engine::fault;
use thinroot_engine::store::Ending;

use super::tree::{self, Weights};

#[derive(Debug)]
pub(super) struct State {
    pub(super) root: TempDir,
    pub(super) volumes: BTreeMap<VolumeName, SimVolume>,
    /// Volumes that are not ours: what the store's own tools call them, and their trees.
    pub(super) foreign: BTreeMap<String, PathBuf>,
    pub(super) mounts: BTreeMap<u64, SimMount>,
    /// Numbers for directories, never used twice.
    pub(super) next: u64,
    pub(super) data_bytes: u64,
    pub(super) max_volumes: usize,
}

#[derive(Debug)]
pub(super) struct SimVolume {
    pub(super) facts: Volume,
    /// The durable content; none where making it was cut off.
    pub(super) content: Option<Content>,
    /// Whether it was there before us.
    pub(super) adopted: bool,
}

#[derive(Debug)]
pub(super) struct Content {
    pub(super) tree: PathBuf,
    pub(super) digest: [u8; 32],
    pub(super) weights: Weights,
}

#[derive(Debug)]
pub(super) struct SimMount {
    pub(super) name: VolumeName,
    pub(super) writes: bool,
    pub(super) exclusive: bool,
    pub(super) tree: PathBuf,
}

impl State {
    pub(super) fn new_directory(&mut self) -> PathBuf {
        self.next += 1;
        self.root.path().join(format!("tree-{}", self.next))
    }

    pub(super) fn get(&self, attempted: &str, name: &VolumeName) -> Result<&SimVolume> {
        self.volumes.get(name).ok_or_else(|| {
            Error::refused(format!("{attempted} {}", name.as_str()), "there is no volume of this name in the store")
        })
    }

    pub(super) fn content(&self, attempted: &str, name: &VolumeName) -> Result<&Content> {
        self.get(attempted, name)?.content.as_ref().ok_or_else(|| {
            Error::damaged(format!("{attempted} {}", name.as_str()), "its making was cut off; it has no content")
        })
    }

    pub(super) fn change(&mut self, name: &VolumeName, change: impl FnOnce(&mut SimVolume)) {
        if let Some(volume) = self.volumes.get_mut(name) {
            change(volume);
        }
    }

    pub(super) fn used_bytes(&self) -> u64 {
        let weights = self.volumes.values().filter_map(|v| v.content.as_ref()).flat_map(|c| &c.weights);
        weights.collect::<BTreeSet<_>>().into_iter().map(|(_, bytes)| bytes).sum()
    }

    pub(super) fn unmounted(&self, attempted: &str, name: &VolumeName) -> Result<()> {
        self.not_mounted(attempted, name, |_| true)
    }

    pub(super) fn not_mounted(&self, attempted: &str, name: &VolumeName, which: fn(&SimMount) -> bool) -> Result<()> {
        if self.mounts.values().any(|mount| mount.name == *name && which(mount)) {
            return Err(Error::new(ErrorKind::Busy, format!("{attempted} {}", name.as_str()), "it is mounted"));
        }
        Ok(())
    }

    pub(super) fn room_for_one_more(&self, attempted: &str) -> Result<()> {
        if self.volumes.len() >= self.max_volumes {
            return Err(Error::failed(attempted, "the simulated pool has no room for the metadata of another volume"));
        }
        Ok(())
    }

    /// Panics if anyone wrote into a base behind our back.
    pub(super) fn check_bases(&self) -> Result<()> {
        for (name, volume) in &self.volumes {
            if let (Role::Base, Phase::Ready, Some(content)) = (volume.facts.role, volume.facts.phase, &volume.content)
            {
                assert_eq!(tree::digest(&content.tree)?, content.digest, "someone wrote into the sealed base {name:?}");
            }
        }
        Ok(())
    }

    pub(super) fn take_in(&self, tree: PathBuf) -> Result<Content> {
        Ok(Content { digest: tree::digest(&tree)?, weights: tree::weigh(&tree)?, tree })
    }

    pub(super) fn end_mount(&mut self, id: u64, ending: Ending) -> Result<()> {
        // Gone already where the power was cut: then nothing of it may be relied on.
        let Some(mount) = self.mounts.remove(&id) else {
            return match ending {
                Ending::Sync => Err(Error::failed("sync a mount", "the power was cut while it was mounted")),
                Ending::Discard => Ok(()),
            };
        };
        let ended = match (ending, mount.writes) {
            (Ending::Sync, true) => self.make_durable(&mount),
            (_, false) => self.check_untouched(&mount),
            (Ending::Discard, true) => Ok(()),
        };
        remove_tree(&mount.tree);
        ended
    }

    pub(super) fn make_durable(&mut self, mount: &SimMount) -> Result<()> {
        let attempted = format!("sync {}", mount.name.as_str());
        fault::point("sim: before sync")?;
        // Under another name, so that whoever still writes to the mount point after its end does not reach the volume.
        let tree = self.new_directory();
        fs::rename(&mount.tree, &tree).at("rename to", &tree)?;
        let new = self.take_in(tree.clone())?;
        let old = self.volumes.get_mut(&mount.name).and_then(|volume| volume.content.replace(new));
        if self.used_bytes() > self.data_bytes {
            self.change(&mount.name, |volume| volume.content = old);
            remove_tree(&tree);
            return Err(Error::failed(
                attempted,
                "some of what was written is lost: no space left in the simulated pool",
            ));
        }
        if let Some(old) = old {
            remove_tree(&old.tree);
        }
        fault::point("sim: synced")
    }

    pub(super) fn check_untouched(&self, mount: &SimMount) -> Result<()> {
        let before = self.content("unmount", &mount.name)?.digest;
        // Not while another panic unwinds: a second one would abort and hide the first.
        if !std::thread::panicking() {
            let name = mount.name.as_str();
            assert_eq!(
                tree::digest(&mount.tree)?,
                before,
                "someone wrote into a mount of {name} that was for inspection"
            );
        }
        Ok(())
    }
}

pub(super) fn remove_tree(tree: &Path) {
    // Below the store's temporary directory, which goes as a whole in the end.
    let _ = fs::remove_dir_all(tree);
}
