//! The simulated store keeps the promises of a store, and is stricter than the real ones.

use std::panic::{AssertUnwindSafe, catch_unwind};

use thinroot_core::inventory::{FsKind, Role};
use thinroot_core::name::VolumeName;
use thinroot_engine::error::ErrorKind;
use thinroot_engine::store::{Access, NewVolume, Store};
use thinroot_testkit::conformance::{self, Bed};
use thinroot_testkit::sim::SimStore;

#[test]
fn conforms() {
    conformance::store(&|| Box::new(SimStore::new()));
}

#[test]
fn survives_a_cut_at_every_point() {
    let handle = std::cell::RefCell::new(SimStore::new());
    let fresh = || -> Box<dyn Store> {
        handle.replace(SimStore::new());
        Box::new(handle.borrow().clone())
    };
    let reboot = |store: Box<dyn Store>| {
        handle.borrow().power_cycle();
        store
    };
    let cuts = conformance::store_cuts(&Bed { fresh: &fresh, reboot: &reboot }, 1);
    assert!(cuts > 15, "only {cuts} fault points");
}

fn name(text: &str) -> VolumeName {
    text.parse().unwrap()
}

fn create(store: &SimStore, text: &str, role: Role) -> VolumeName {
    store.create(&NewVolume { name: name(text), role, fs: FsKind::Ext4, size_bytes: 1 << 30 }).unwrap();
    name(text)
}

#[test]
fn what_is_not_synced_is_lost() {
    let store = SimStore::new();
    let base = create(&store, "node-1-0", Role::Base);
    let mounted = store.mount(&base, Access::WriteBase).unwrap();
    std::fs::write(mounted.path().join("f"), "dropped").unwrap();
    drop(mounted);
    assert!(!store.durable_tree(&base).unwrap().join("f").exists());

    let mounted = store.mount(&base, Access::WriteBase).unwrap();
    std::fs::write(mounted.path().join("f"), "cut off").unwrap();
    store.power_cycle();
    assert!(mounted.finish().is_err());
    assert_eq!(store.mounts(), 0);
    assert!(!store.durable_tree(&base).unwrap().join("f").exists());
}

#[test]
fn a_full_pool_shows_itself_at_the_end_of_a_mount() {
    let store = SimStore::new();
    let base = create(&store, "node-1-0", Role::Base);
    store.limit_data(8 << 10);
    let mounted = store.mount(&base, Access::WriteBase).unwrap();
    std::fs::write(mounted.path().join("f"), vec![1; 9 << 10]).unwrap();
    let error = mounted.finish().unwrap_err();
    assert_eq!((error.kind, error.why.contains("no space left")), (ErrorKind::Failed, true));
    assert!(!store.durable_tree(&base).unwrap().join("f").exists());
    store.limit_volumes(1);
    assert_eq!(store.snapshot(&base, &name("node-1-0+1"), Role::Layer).unwrap_err().kind, ErrorKind::Failed);
}

#[test]
fn writing_where_it_is_forbidden_is_caught() {
    let store = SimStore::new();
    let base = create(&store, "node-1-0", Role::Base);
    store.publish(&base, Some("0123456789abcdef")).unwrap();
    let mounted = store.mount(&base, Access::Inspect).unwrap();
    std::fs::write(mounted.path().join("f"), "x").unwrap();
    assert!(catch_unwind(AssertUnwindSafe(|| mounted.finish())).is_err());
    store.survey().unwrap();
    std::fs::write(store.durable_tree(&base).unwrap().join("f"), "x").unwrap();
    assert!(catch_unwind(AssertUnwindSafe(|| store.survey())).is_err());
}
