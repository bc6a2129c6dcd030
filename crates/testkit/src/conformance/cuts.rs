//! The power cut suite: a store is cut off at each fault point in turn; what is left must be sound, and the same work
//! done once more must end as if nothing had happened.

use thinroot_core::inventory::{Phase, Role};
use thinroot_engine::error::{Error, ErrorKind, Result};
use thinroot_engine::fault;
use thinroot_engine::store::{Access, Store};

use super::{DIGEST, clear, name, new, read, survey, volume};

/// How to make stores, and how to make one go through a power cut.
#[expect(missing_debug_implementations, reason = "two closures")]
pub struct Bed<'a> {
    /// An empty store.
    pub fresh: &'a dyn Fn() -> Box<dyn Store>,
    /// The same store after power was gone and came back.
    pub reboot: &'a dyn Fn(Box<dyn Store>) -> Box<dyn Store>,
}

/// Cuts at every `stride`-th fault point; returns how many cuts that were.
pub fn store_cuts(bed: &Bed<'_>, stride: u64) -> u64 {
    let mut cuts = 0;
    loop {
        let store = (bed.fresh)();
        fault::arm(cuts * stride);
        let cut = work(&*store);
        fault::disarm();
        match cut {
            Ok(()) => {
                finished(&*store);
                clear(&*store);
                return cuts;
            }
            Err(error) => assert_eq!(error.kind, ErrorKind::PowerCut, "point {}: {error}", cuts * stride),
        }
        let store = (bed.reboot)(store);
        store.heal().expect("heal");
        sound(&*store);
        work(&*store).expect("the work once more");
        finished(&*store);
        assert_eq!(store.heal().expect("heal"), Vec::<String>::new());
        clear(&*store);
        cuts += 1;
    }
}

/// A base, a layer of it, and a frozen snapshot that comes and goes. Probes before it acts, as the executor does.
fn work(store: &dyn Store) -> Result<()> {
    let (base, layer, frozen) = (name("node-1-0"), name("node-1-0+1"), name("frozen"));
    let is_ready = |volume| -> Result<bool> {
        Ok(store.survey()?.volumes.iter().any(|found| found.name == volume && found.phase == Phase::Ready))
    };
    if !is_ready(base.clone())? {
        store.create(&new("node-1-0", Role::Base))?;
        put(store, &base, Access::WriteBase, "image", "the image")?;
        store.publish(&base, Some(DIGEST))?;
    }
    if !is_ready(layer.clone())? {
        store.snapshot(&base, &layer, Role::Layer)?;
        put(store, &layer, Access::WriteLayer, "state", "the state")?;
        store.publish(&layer, None)?;
    }
    store.snapshot(&layer, &frozen, Role::Frozen)?;
    store.withdraw(&frozen)?;
    store.remove(&frozen)?;
    Ok(())
}

fn put(store: &dyn Store, to: &thinroot_core::name::VolumeName, access: Access, file: &str, text: &str) -> Result<()> {
    let mounted = store.mount(to, access)?;
    std::fs::write(mounted.path().join(file), text).map_err(|error| Error::failed("write", error))?;
    mounted.finish()
}

/// Whatever counts is complete.
fn sound(store: &dyn Store) {
    for found in survey(store).into_iter().filter(|found| found.phase == Phase::Ready) {
        assert_eq!(read(store, &found.name, "image").as_deref(), Some("the image"), "{found:?}");
        if found.role == Role::Layer {
            assert_eq!(read(store, &found.name, "state").as_deref(), Some("the state"), "{found:?}");
        }
    }
}

fn finished(store: &dyn Store) {
    let want = [
        volume("node-1-0", Role::Base, Phase::Ready, None),
        volume("node-1-0+1", Role::Layer, Phase::Ready, Some("node-1-0")),
    ];
    assert_eq!(survey(store), want);
    sound(store);
}
