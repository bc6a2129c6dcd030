//! What happens to the bytes: who sees them, what they cost, and that nothing stays mounted.

use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;

use sha2::{Digest, Sha256};
use thinroot_core::inventory::Role;
use thinroot_core::name::VolumeName;
use thinroot_engine::error::ErrorKind;
use thinroot_engine::store::{Access, Store, StoreKind};

use super::{Case, is_simulated, name, new, new_xfs, read, ready_base, write};

pub(super) const CASES: &[Case] = &[
    ("what is written into a layer is never seen in its base", layers_are_apart),
    ("looking at a sealed base changes no byte of it", looking_changes_nothing),
    ("an ext4 layer has a UUID of its own, an XFS layer does not", uuids),
    ("data written is space used, and a snapshot is not", space),
    ("a frozen snapshot is consistent", frozen_is_consistent),
    ("mounts end without a trace", no_trace),
];

fn layers_are_apart(store: &dyn Store) {
    let (base, one, two) = (name("node-1-0"), name("node-1-0+1"), name("node-1-0+2"));
    ready_base(store, &new("node-1-0", Role::Base)).unwrap();
    for layer in [&one, &two] {
        store.snapshot(&base, layer, Role::Layer).unwrap();
        write(store, layer, Access::WriteLayer, |path| {
            std::fs::write(path.join("os-release"), format!("NAME={}\n", layer.as_str())).unwrap();
        });
    }
    assert_eq!(read(store, &base, "os-release").as_deref(), Some("NAME=node\n"));
    assert_eq!(read(store, &one, "os-release").as_deref(), Some("NAME=node-1-0+1\n"));
    assert_eq!(read(store, &two, "os-release").as_deref(), Some("NAME=node-1-0+2\n"));
}

fn looking_changes_nothing(store: &dyn Store) {
    for new in [new("node-1-0", Role::Base), new_xfs("node-2-0", Role::Base)] {
        ready_base(store, &new).unwrap();
        let before = digest(store, &new.name);
        let mounted = store.mount(&new.name, Access::Inspect).unwrap();
        if !is_simulated(store) {
            let error = std::fs::write(mounted.path().join("f"), "x").unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::ReadOnlyFilesystem);
        }
        mounted.finish().unwrap();
        assert_eq!(digest(store, &new.name), before);
    }
}

fn digest(store: &dyn Store, volume: &VolumeName) -> Vec<u8> {
    let mut hasher = Sha256::new();
    let mut file = store.raw(volume).unwrap();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer).unwrap() {
            0 => return hasher.finalize().to_vec(),
            length => hasher.update(&buffer[..length]),
        }
    }
}

fn uuids(store: &dyn Store) {
    if is_simulated(store) {
        return; // It has no file system.
    }
    // Offsets of the UUID: ext4 superblock at 1024 + 0x68, XFS superblock at 32.
    for (new, offset, own) in [(new("a-1-0", Role::Base), 1024 + 0x68, true), (new_xfs("b-1-0", Role::Base), 32, false)]
    {
        ready_base(store, &new).unwrap();
        let layer = name(&format!("{}+1", new.name.as_str()));
        store.snapshot(&new.name, &layer, Role::Layer).unwrap();
        let uuid = |volume: &VolumeName| {
            let mut uuid = [0; 16];
            store.raw(volume).unwrap().read_exact_at(&mut uuid, offset).unwrap();
            uuid
        };
        assert_ne!(uuid(&new.name), [0; 16]);
        assert_eq!(uuid(&new.name) != uuid(&layer), own, "{}", layer.as_str());
    }
}

fn space(store: &dyn Store) {
    const WRITTEN: u64 = 16 << 20;
    let (base, layer) = (name("node-1-0"), name("node-1-0+1"));
    store.create(&new("node-1-0", Role::Base)).unwrap();
    let used = || {
        let space = store.survey().unwrap().space;
        assert!(space.data_used_bytes <= space.data_total_bytes, "{space:?}");
        assert!(space.metadata_used_bytes <= space.metadata_total_bytes, "{space:?}");
        space.data_used_bytes
    };
    let own = |volume: &VolumeName| {
        let found = store.survey().unwrap().volumes.into_iter().find(|v| v.name == *volume);
        found.and_then(|volume| volume.used_bytes)
    };
    let (empty, own_empty) = (used(), own(&base));
    write(store, &base, Access::WriteBase, |path| {
        // No two blocks alike, so that no kind of store can share them.
        let bytes: Vec<u8> =
            (0..WRITTEN / 8).flat_map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()).collect();
        std::fs::write(path.join("big"), bytes).unwrap();
    });
    if let (Some(before), Some(after)) = (own_empty, own(&base)) {
        assert!(after >= before + WRITTEN, "the volume: {before} then {after}");
    }
    store.publish(&base, Some(super::DIGEST)).unwrap();
    // The file system below a directory store belongs to others as well: its figures prove nothing.
    if store.survey().unwrap().kind == StoreKind::Directory {
        return;
    }
    let full = used();
    assert!(full >= empty + WRITTEN, "{empty} then {full}");
    store.snapshot(&base, &layer, Role::Layer).unwrap();
    let shared = used();
    assert!(shared < full + WRITTEN / 8, "{full} then {shared}");
}

fn frozen_is_consistent(store: &dyn Store) {
    let (layer, frozen) = (name("node-1-0+1"), name("frozen"));
    ready_base(store, &new("node-1-0", Role::Base)).unwrap();
    store.snapshot(&name("node-1-0"), &layer, Role::Layer).unwrap();
    store.publish(&layer, None).unwrap();
    let running = store.mount(&layer, Access::WriteLayer).unwrap();
    for number in 0..50 {
        let file = std::fs::File::create(running.path().join(format!("f{number}"))).unwrap();
        file.write_all_at(format!("content {number}").as_bytes(), 0).unwrap();
        file.sync_all().unwrap();
    }
    match store.survey().unwrap().kind {
        // The block layer holds the file system still for the moment of the snapshot.
        StoreKind::LvmThin => {
            store.snapshot(&layer, &frozen, Role::Frozen).unwrap();
        }
        StoreKind::Directory | StoreKind::Simulated => {
            let error = store.snapshot(&layer, &frozen, Role::Frozen).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Busy, "{error}");
        }
    }
    if store.survey().unwrap().kind == StoreKind::LvmThin {
        std::fs::write(running.path().join("later"), "x").unwrap();
        check_frozen(store, &frozen);
        running.finish().unwrap();
    } else {
        running.finish().unwrap();
        store.snapshot(&layer, &frozen, Role::Frozen).unwrap();
        write(store, &layer, Access::WriteLayer, |path| std::fs::write(path.join("later"), "x").unwrap());
        check_frozen(store, &frozen);
    }
}

fn check_frozen(store: &dyn Store, frozen: &VolumeName) {
    let mounted = store.mount(frozen, Access::Inspect).unwrap();
    for number in 0..50 {
        let text = std::fs::read_to_string(mounted.path().join(format!("f{number}"))).unwrap();
        assert_eq!(text, format!("content {number}"));
    }
    assert!(!mounted.path().join("later").exists());
    mounted.finish().unwrap();
}

fn no_trace(store: &dyn Store) {
    // A name of its own, so that tests running beside this one are not taken for leaks.
    let text = format!("leak{}-1-0", std::process::id());
    let (base, layer) = (name(&text), name(&format!("{text}+1")));
    ready_base(store, &new(&text, Role::Base)).unwrap();
    store.snapshot(&base, &layer, Role::Layer).unwrap();
    let mut paths = Vec::new();
    for (volume, access) in [(&base, Access::Inspect), (&layer, Access::WriteLayer), (&layer, Access::Inspect)] {
        let mounted = store.mount(volume, access).unwrap();
        paths.push(mounted.path().to_path_buf());
        mounted.finish().unwrap();
        let mounted = store.mount(volume, access).unwrap();
        paths.push(mounted.path().to_path_buf());
        drop(mounted);
    }
    // A refused mount leaves none either.
    store.mount(&base, Access::WriteBase).unwrap_err();
    assert_eq!(paths.iter().filter(|path| path.exists()).collect::<Vec<_>>(), Vec::<&std::path::PathBuf>::new());
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert_eq!(mounts.lines().find(|line| line.contains(&text)), None);
    assert_eq!(loop_devices().into_iter().find(|backing| backing.contains(&text)), None);
}

fn loop_devices() -> Vec<String> {
    let devices = std::fs::read_dir(Path::new("/sys/block")).unwrap().flatten();
    devices.filter_map(|device| std::fs::read_to_string(device.path().join("loop/backing_file")).ok()).collect()
}
