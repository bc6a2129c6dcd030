//! Suites that hold every implementation of a trait to the same promises, the simulated one included.

mod content;
mod cuts;
mod lifecycle;
mod refusals;

use std::path::Path;

use thinroot_core::inventory::{FsKind, Phase, Role, Volume};
use thinroot_core::name::VolumeName;
use thinroot_engine::error::Result;
use thinroot_engine::store::{Access, NewVolume, Store, StoreKind};

pub use self::cuts::{Bed, store_cuts};

/// Smallest size that both file systems accept: mkfs.xfs refuses less than 300 MB.
const XFS_BYTES: u64 = 320 << 20;
/// Enough for ext4 with its journal and a few files.
const EXT4_BYTES: u64 = 64 << 20;
/// Short digest of an image that no test looks into.
const DIGEST: &str = "0123456789abcdef";

/// One case: what it shows, and how.
type Case = (&'static str, fn(&dyn Store));

/// Runs every case, each on an empty store from `make`. A failing case panics with its name printed before.
pub fn store(make: &dyn Fn() -> Box<dyn Store>) {
    for (name, case) in [lifecycle::CASES, refusals::CASES, content::CASES].concat() {
        eprintln!("case: {name}");
        let store = make();
        let found = survey(&*store);
        assert_eq!(found, [], "{name}: `make` gives an empty store");
        case(&*store);
        clear(&*store);
    }
}

/// Withdraws and removes every volume; snapshots before what they were taken from.
pub fn clear(store: &dyn Store) {
    for volume in store.survey().expect("survey").volumes.iter().rev() {
        if volume.phase == Phase::Ready {
            store.withdraw(&volume.name).expect("withdraw");
        }
        store.remove(&volume.name).expect("remove");
    }
}

fn name(text: &str) -> VolumeName {
    text.parse().expect("a volume name")
}

fn is_simulated(store: &dyn Store) -> bool {
    store.survey().expect("survey").kind == StoreKind::Simulated
}

/// What the survey says, without what depends on the implementation.
fn survey(store: &dyn Store) -> Vec<Volume> {
    let survey = store.survey().expect("survey");
    survey.volumes.into_iter().map(|volume| Volume { used_bytes: None, ..volume }).collect()
}

fn volume(text: &str, role: Role, phase: Phase, origin: Option<&str>) -> Volume {
    let digest = (role == Role::Base && phase == Phase::Ready).then(|| DIGEST.to_string());
    Volume {
        name: name(text),
        role,
        phase,
        origin: origin.map(name),
        image_digest: digest,
        fs: FsKind::Ext4,
        size_bytes: EXT4_BYTES,
        used_bytes: None,
    }
}

fn new(text: &str, role: Role) -> NewVolume {
    NewVolume { name: name(text), role, fs: FsKind::Ext4, size_bytes: EXT4_BYTES }
}

fn new_xfs(text: &str, role: Role) -> NewVolume {
    NewVolume { name: name(text), role, fs: FsKind::Xfs, size_bytes: XFS_BYTES }
}

/// Mounts, writes, and makes it durable.
fn write(store: &dyn Store, volume: &VolumeName, access: Access, act: impl FnOnce(&Path)) {
    let mounted = store.mount(volume, access).expect("mount");
    act(mounted.path());
    mounted.finish().expect("finish");
}

/// Reads a file of a volume; none where it is not there.
fn read(store: &dyn Store, volume: &VolumeName, file: &str) -> Option<String> {
    let mounted = store.mount(volume, Access::Inspect).expect("mount");
    let text = std::fs::read_to_string(mounted.path().join(file)).ok();
    mounted.finish().expect("finish");
    text
}

/// A ready base with one file in it.
fn ready_base(store: &dyn Store, new: &NewVolume) -> Result<()> {
    store.create(new)?;
    write(store, &new.name, Access::WriteBase, |path| {
        std::fs::write(path.join("os-release"), "NAME=node\n").expect("write");
    });
    store.publish(&new.name, Some(DIGEST))?;
    Ok(())
}
