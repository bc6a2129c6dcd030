//! What a store must refuse, and that refusing changes nothing.

use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

use thinroot_core::inventory::{Phase, Role};
use thinroot_engine::error::ErrorKind;
use thinroot_engine::store::{Access, Store};

use super::{Case, DIGEST, is_simulated, name, new, read, ready_base, survey, volume, write};

pub(super) const CASES: &[Case] = &[
    ("a sealed base is neither written nor removed", sealed_base_stays),
    ("a ready layer is not removed without withdrawing", ready_layer_stays),
    ("nothing is mounted in a way its role forbids", roles_decide_mounts),
    ("missing volumes are errors", missing_volumes),
    ("a name that is taken by something else is an error", taken_names),
    ("publishing needs the right digest", digests),
    ("a mounted volume is neither published, withdrawn nor removed", mounted_volumes_stay),
    ("no second mount beside a writing one", no_mount_beside_a_writer),
    ("a damaged file system is not published", damage_is_not_published),
];

fn sealed_base_stays(store: &dyn Store) {
    let base = name("node-1-0");
    ready_base(store, &new("node-1-0", Role::Base)).unwrap();
    for access in [Access::WriteBase, Access::WriteLayer] {
        assert_eq!(store.mount(&base, access).unwrap_err().kind, ErrorKind::Refused);
    }
    assert_eq!(store.remove(&base).unwrap_err().kind, ErrorKind::Refused);
    assert_eq!(survey(store), [volume("node-1-0", Role::Base, Phase::Ready, None)]);
    assert_eq!(read(store, &base, "os-release").as_deref(), Some("NAME=node\n"));
}

fn ready_layer_stays(store: &dyn Store) {
    ready_base(store, &new("node-1-0", Role::Base)).unwrap();
    let layer = name("node-1-0+1");
    store.snapshot(&name("node-1-0"), &layer, Role::Layer).unwrap();
    store.publish(&layer, None).unwrap();
    assert_eq!(store.remove(&layer).unwrap_err().kind, ErrorKind::Refused);
    assert_eq!(survey(store).len(), 2);
}

fn roles_decide_mounts(store: &dyn Store) {
    ready_base(store, &new("node-1-0", Role::Base)).unwrap();
    store.snapshot(&name("node-1-0"), &name("node-1-0+1"), Role::Layer).unwrap();
    store.snapshot(&name("node-1-0"), &name("node-2-0"), Role::Base).unwrap();
    store.snapshot(&name("node-1-0+1"), &name("frozen"), Role::Frozen).unwrap();
    for (text, access) in [
        ("node-1-0+1", Access::WriteBase),
        ("node-2-0", Access::WriteLayer),
        ("frozen", Access::WriteBase),
        ("frozen", Access::WriteLayer),
    ] {
        let error = store.mount(&name(text), access).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Refused, "{text} {access:?}: {error}");
    }
}

fn missing_volumes(store: &dyn Store) {
    let nobody = name("nobody-1-0");
    let refused = |result: Result<(), thinroot_engine::error::Error>| {
        assert_eq!(result.unwrap_err().kind, ErrorKind::Refused);
    };
    refused(store.snapshot(&nobody, &name("x"), Role::Layer).map(|_| ()));
    refused(store.publish(&nobody, None).map(|_| ()));
    refused(store.withdraw(&nobody).map(|_| ()));
    refused(store.mount(&nobody, Access::Inspect).map(|_| ()));
    refused(store.raw(&nobody).map(|_| ()));
    refused(store.kernel_root(&nobody).map(|_| ()));
    assert_eq!(survey(store), []);
}

fn taken_names(store: &dyn Store) {
    ready_base(store, &new("node-1-0", Role::Base)).unwrap();
    store.create(&new("var", Role::Shared)).unwrap();
    let before = survey(store);
    for error in [
        store.create(&new("node-1-0", Role::Base)).unwrap_err(),
        store.create(&new("var", Role::Records)).unwrap_err(),
        store.snapshot(&name("node-1-0"), &name("var"), Role::Shared).unwrap_err(),
        store.snapshot(&name("node-1-0"), &name("node-1-0"), Role::Base).unwrap_err(),
    ] {
        assert_eq!(error.kind, ErrorKind::Refused, "{error}");
    }
    assert_eq!(survey(store), before);
}

fn digests(store: &dyn Store) {
    let base = name("node-1-0");
    store.create(&new("node-1-0", Role::Base)).unwrap();
    store.create(&new("var", Role::Shared)).unwrap();
    for digest in [None, Some(""), Some("0123456789abcdeg"), Some("0123456789ABCDEF"), Some("0123456789abcdef0")] {
        assert_eq!(store.publish(&base, digest).unwrap_err().kind, ErrorKind::Refused, "{digest:?}");
    }
    assert_eq!(store.publish(&name("var"), Some(DIGEST)).unwrap_err().kind, ErrorKind::Refused);
    store.publish(&base, Some(DIGEST)).unwrap();
    assert_eq!(store.publish(&base, Some("fedcba9876543210")).unwrap_err().kind, ErrorKind::Refused);
    let want = [volume("node-1-0", Role::Base, Phase::Ready, None), volume("var", Role::Shared, Phase::Staging, None)];
    assert_eq!(survey(store), want);
}

fn mounted_volumes_stay(store: &dyn Store) {
    let base = name("node-1-0");
    store.create(&new("node-1-0", Role::Base)).unwrap();
    let mounted = store.mount(&base, Access::WriteBase).unwrap();
    assert_eq!(store.publish(&base, Some(DIGEST)).unwrap_err().kind, ErrorKind::Busy);
    assert_eq!(store.remove(&base).unwrap_err().kind, ErrorKind::Busy);
    mounted.finish().unwrap();
    store.publish(&base, Some(DIGEST)).unwrap();
    let mounted = store.mount(&base, Access::Inspect).unwrap();
    assert_eq!(store.withdraw(&base).unwrap_err().kind, ErrorKind::Busy);
    mounted.finish().unwrap();
    store.withdraw(&base).unwrap();
}

fn no_mount_beside_a_writer(store: &dyn Store) {
    let var = name("var");
    store.create(&new("var", Role::Shared)).unwrap();
    let mounted = store.mount(&var, Access::WriteLayer).unwrap();
    assert_eq!(store.mount(&var, Access::WriteLayer).unwrap_err().kind, ErrorKind::Busy);
    mounted.finish().unwrap();
    let inspecting = store.mount(&var, Access::Inspect).unwrap();
    assert_eq!(store.mount(&var, Access::WriteLayer).unwrap_err().kind, ErrorKind::Busy);
    inspecting.finish().unwrap();
    write(store, &var, Access::WriteLayer, |_| {});
}

fn damage_is_not_published(store: &dyn Store) {
    if is_simulated(store) {
        return; // It has no file system to damage.
    }
    let base = name("node-1-0");
    store.create(&new("node-1-0", Role::Base)).unwrap();
    write(store, &base, Access::WriteBase, |path| std::fs::write(path.join("f"), "content").unwrap());
    let raw = store.raw(&base).unwrap();
    let writable = std::fs::OpenOptions::new().write(true).open(format!("/proc/self/fd/{}", raw.as_raw_fd())).unwrap();
    // Over the group descriptors and the first bitmaps, behind the superblock.
    writable.write_all_at(&vec![0xa5; 256 << 10], 4096).unwrap();
    writable.sync_all().unwrap();
    drop((raw, writable));
    assert_eq!(store.publish(&base, Some(DIGEST)).unwrap_err().kind, ErrorKind::Damaged);
    assert_eq!(survey(store), [volume("node-1-0", Role::Base, Phase::Staging, None)]);
}
