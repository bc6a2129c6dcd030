//! Making a pool, and making a pool a store.
//!
//! Separate because it happens once in the life of a host.

use thinroot_core::inventory::{FsKind, Phase, Role};
use thinroot_core::name::VolumeName;

use super::names::check_lvm_name;
use super::{LvmThinStore, act};
use crate::cmd::Cmd;
use crate::error::{Error, Result};
use crate::store::{NewVolume, Store};

/// Name of the volume that holds our records.
const RECORDS: &str = "thinroot";
/// Its size: journals, manifests and set-aside files of some dozen updates; only what is written takes room.
const RECORDS_BYTES: u64 = 256 << 20;

/// How large to make a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolSize {
    /// Room for data.
    pub data_bytes: u64,
    /// Room for metadata. A pool whose metadata is full is read-only, and snapshots of changed bases need it: be generous.
    pub metadata_bytes: u64,
}

impl LvmThinStore {
    /// Refuses names that LVM would not take, or take for something else.
    pub fn check_names(vg: &str, pool: &str) -> Result<()> {
        check_lvm_name(vg)?;
        check_lvm_name(pool)
    }

    /// Makes a thin pool in an existing volume group, with the chunk size that keeps layers cheap.
    ///
    /// New chunks are not zeroed: file systems never show blocks that they did not write.
    pub fn make_pool(vg: &str, pool: &str, size: PoolSize) -> Result<()> {
        Self::check_names(vg, pool)?;
        let cmd = Cmd::new("lvcreate")
            .args(["-y", "-q", "--type", "thin-pool", "-Zn", "--chunksize", "64k", "-L"])
            .arg(format!("{}b", size.data_bytes))
            .arg("--poolmetadatasize")
            .arg(format!("{}b", size.metadata_bytes))
            .args(["-n", pool, vg]);
        act("make pool", &cmd)
    }

    /// Makes an existing pool a store: it fails instead of waiting when full, and gets a volume for our records.
    pub fn init(vg: &str, pool: &str) -> Result<Self> {
        let store = Self::open(vg, pool)?;
        store.fail_when_full(pool)?;
        store.with_records()
    }

    /// As [`LvmThinStore::init`] for the pool that this host runs from, which is not changed: `lvchange` would hold the root
    /// still and then wait for it, for ever (seen with lvm2 2.03.16).
    pub fn init_under_root(vg: &str, pool: &str) -> Result<Self> {
        Self::open(vg, pool)?.with_records()
    }

    fn fail_when_full(&self, pool: &str) -> Result<()> {
        let store = self;
        if !store.pool(&store.look()?)?.fails_when_full {
            // The default is to queue writes for a minute and fail then: an update would hang with the host on the pool,
            // instead of failing at its next sync and being undone.
            let cmd = Cmd::new("lvchange").args(["-q", "--errorwhenfull", "y"]).arg(store.path(pool));
            act("let the pool fail when full", &cmd)?;
        }
        Ok(())
    }

    fn with_records(self) -> Result<Self> {
        let store = self;
        let name: VolumeName = RECORDS.parse().map_err(|error| Error::failed("name the records", error))?;
        let ready = store.find(&store.look()?, &name)?.is_some_and(|(volume, _)| volume.phase == Phase::Ready);
        if !ready {
            store.create(&NewVolume {
                name: name.clone(),
                role: Role::Records,
                fs: FsKind::Ext4,
                size_bytes: RECORDS_BYTES,
            })?;
            store.publish(&name, None)?;
        }
        Ok(store)
    }
}
