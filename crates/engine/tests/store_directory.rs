//! The directory store keeps the promises of a store, on real file systems and loop devices. Needs root.

use std::cell::{Cell, RefCell};
use std::os::unix::fs::PermissionsExt;

use thinroot_core::inventory::{FsKind, Role};
use thinroot_core::name::VolumeName;
use thinroot_engine::error::ErrorKind;
use thinroot_engine::store::directory::DirectoryStore;
use thinroot_engine::store::{Access, NewVolume, Store};
use thinroot_testkit::conformance::{self, Bed};
use thinroot_testkit::scratch::Scratch;

fn name(text: &str) -> VolumeName {
    text.parse().unwrap()
}

#[test]
fn conforms() {
    let scratch = Scratch::new();
    let count = Cell::new(0);
    conformance::store(&|| {
        count.set(count.get() + 1);
        Box::new(DirectoryStore::init(&scratch.path().join(count.get().to_string())).unwrap())
    });
}

#[test]
fn survives_a_cut_at_every_point() {
    let scratch = RefCell::new(Scratch::new());
    let fresh = || -> Box<dyn Store> {
        scratch.replace(Scratch::new());
        Box::new(DirectoryStore::init(scratch.borrow().path()).unwrap())
    };
    let reboot = |store: Box<dyn Store>| -> Box<dyn Store> {
        drop(store);
        Box::new(DirectoryStore::open(scratch.borrow().path()).unwrap())
    };
    let cuts = conformance::store_cuts(&Bed { fresh: &fresh, reboot: &reboot }, 1);
    assert!(cuts > 30, "only {cuts} fault points");
}

#[test]
fn a_sealed_image_refuses_even_root() {
    let scratch = Scratch::new();
    let store = DirectoryStore::init(scratch.path()).unwrap();
    let base = name("node-1-0");
    store.create(&NewVolume { name: base.clone(), role: Role::Base, fs: FsKind::Ext4, size_bytes: 64 << 20 }).unwrap();
    store.publish(&base, Some("0123456789abcdef")).unwrap();
    let image = store.image(&base);
    assert_eq!(std::fs::metadata(&image).unwrap().permissions().mode() & 0o7777, 0o400);
    // ext4, XFS, btrfs and tmpfs have the flag; where a test runs on something else this fails and says so.
    assert!(std::fs::OpenOptions::new().write(true).open(&image).is_err());
    assert!(std::fs::remove_file(&image).is_err());
    store.withdraw(&base).unwrap();
    assert!(std::fs::OpenOptions::new().write(true).open(&image).is_ok());
}

#[test]
fn a_store_is_made_once_and_only_in_an_empty_place() {
    let scratch = Scratch::new();
    let path = scratch.path().join("store");
    assert_eq!(DirectoryStore::open(&path).unwrap_err().kind, ErrorKind::Refused);
    let uuid = DirectoryStore::init(&path).unwrap().uuid().to_string();
    assert_eq!(uuid.len(), 36);
    assert_eq!(DirectoryStore::init(&path).unwrap().uuid(), uuid);
    std::fs::write(path.join("store.json"), r#"{"format": 2, "uuid": "x"}"#).unwrap();
    assert_eq!(DirectoryStore::open(&path).unwrap_err().kind, ErrorKind::Refused);
    let other = scratch.path().join("other");
    std::fs::create_dir(&other).unwrap();
    std::fs::write(other.join("precious"), "x").unwrap();
    assert_eq!(DirectoryStore::init(&other).unwrap_err().kind, ErrorKind::Refused);
}

#[test]
fn an_image_without_its_sidecar_is_swept() {
    let scratch = Scratch::new();
    let store = DirectoryStore::init(scratch.path()).unwrap();
    std::fs::write(store.image(&name("torn-1-0")), "half").unwrap();
    std::fs::write(scratch.path().join("volumes/.thinroot-tmp-x.json"), "half").unwrap();
    assert_eq!(store.survey().unwrap().volumes, []);
    assert_eq!(store.heal().unwrap().len(), 2);
    assert_eq!(std::fs::read_dir(scratch.path().join("volumes")).unwrap().count(), 0);
    assert_eq!(store.heal().unwrap(), Vec::<String>::new());
}

#[test]
fn a_layer_with_an_open_journal_is_not_shown_half() {
    let scratch = Scratch::new();
    let store = DirectoryStore::init(scratch.path()).unwrap();
    let (layer, copy) = (name("var"), name("copy"));
    let new = NewVolume { name: layer.clone(), role: Role::Shared, fs: FsKind::Ext4, size_bytes: 64 << 20 };
    store.create(&new).unwrap();
    let mounted = store.mount(&layer, Access::WriteLayer).unwrap();
    std::fs::write(mounted.path().join("f"), "synced").unwrap();
    let file = std::fs::File::open(mounted.path().join("f")).unwrap();
    file.sync_all().unwrap();
    // What a power cut would leave of the image while it was mounted.
    let torn = scratch.path().join("torn.img");
    std::fs::copy(store.image(&layer), &torn).unwrap();
    drop(file);
    mounted.finish().unwrap();
    std::fs::copy(&torn, store.image(&layer)).unwrap();

    assert!(store.mount(&layer, Access::Inspect).is_err());
    store.snapshot(&layer, &copy, Role::Frozen).unwrap();
    let mounted = store.mount(&copy, Access::Inspect).unwrap();
    assert_eq!(std::fs::read_to_string(mounted.path().join("f")).unwrap(), "synced");
    assert!(std::fs::write(mounted.path().join("f"), "x").is_err());
    mounted.finish().unwrap();
}
