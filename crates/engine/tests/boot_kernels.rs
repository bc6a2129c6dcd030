//! Goal: a kernel that is installed on the running layer boots from the next start on, by the same command line; one that goes
//! is not booted any more; and a layer keeps one that boots it.

use std::fs;

use thinroot_core::boot::Entry;
use thinroot_engine::boot::{BootDir, LoaderKind};
use thinroot_engine::error::ErrorKind;
use thinroot_engine::host::{Host, Parts};
use thinroot_engine::records::Records;
use thinroot_engine::store::Ensured;
use thinroot_testkit::world::World;

/// The host of a world as the layer itself sees it.
fn running(world: &World) -> Host {
    Host::new(Parts {
        store: Box::new(world.store.clone()),
        boot: BootDir::open(&world.path("boot")).unwrap(),
        records: Records::open(&world.path("records")).unwrap(),
        records_mount: None,
        booted: Some("node-1-0+1".parse().unwrap()),
        lock_path: world.path("lock"),
    })
}

fn installed(world: &World, version: &str, initrd: &str) {
    fs::write(world.path(&format!("boot/vmlinuz-{version}")), format!("kernel {version}")).unwrap();
    fs::write(world.path(&format!("boot/initrd.img-{version}")), initrd).unwrap();
}

/// What boots the layer, and what GRUB has as its default.
fn boots(world: &World) -> (Entry, String) {
    let boot = BootDir::open(&world.path("boot")).unwrap();
    let environment = fs::read_to_string(world.path("boot/grub/thinroot.env")).unwrap();
    let default = environment.lines().find_map(|line| line.strip_prefix("thinroot_default=")).unwrap();
    (boot.entry_of(&"node-1-0+1".parse().unwrap()).unwrap().unwrap().entry, default.to_string())
}

fn content(world: &World, entry: &Entry, key: &str) -> String {
    fs::read_to_string(world.path("boot").join(entry.value(key).unwrap().trim_start_matches('/'))).unwrap()
}

#[test]
fn the_newest_kernel_of_a_layer_boots_it() {
    let world = World::new();
    world.take_over(LoaderKind::Grub);
    let (first, default) = boots(&world);
    assert!(default.ends_with("-6.1"), "{default}");
    // As text 6.9 is the newer one.
    for version in ["6.9", "6.10"] {
        installed(&world, version, &format!("initrd {version}"));
        let (layer, done) = running(&world).change().unwrap().add_kernel(version).unwrap();
        assert_eq!((layer.to_string().as_str(), done), ("node-1-0+1", Ensured::Done));
    }
    assert_eq!(running(&world).change().unwrap().add_kernel("6.9").unwrap().1, Ensured::Already);
    let (entry, default) = boots(&world);
    assert!(default.ends_with("-6.10"), "{default}");
    assert_eq!(content(&world, &entry, "linux"), "kernel 6.10");
    assert_eq!(entry.options(), first.options());

    installed(&world, "6.10", "an initrd made anew");
    assert_eq!(running(&world).change().unwrap().add_kernel("6.10").unwrap().1, Ensured::Done);
    assert_eq!(content(&world, &boots(&world).0, "initrd"), "an initrd made anew");
    let kept: Vec<String> = world.boot_files().into_iter().map(|(name, _)| name).collect();
    let initrds = kept.iter().filter(|name| name.starts_with("thinroot/") && name.ends_with("-initrd")).count();
    assert_eq!(initrds, 3, "the one before it is gone: {kept:?}");

    assert_eq!(running(&world).change().unwrap().remove_kernel("6.10").unwrap().1, Ensured::Done);
    assert_eq!(running(&world).change().unwrap().remove_kernel("6.10").unwrap().1, Ensured::Already);
    assert!(boots(&world).1.ends_with("-6.9"));
    running(&world).change().unwrap().remove_kernel("6.1").unwrap();
    let last = running(&world).change().unwrap().remove_kernel("6.9").unwrap_err();
    assert_eq!((last.kind, last.why.as_str()), (ErrorKind::Refused, "it is the only one that boots this layer"));
    assert_eq!(world.host().examine().unwrap().violations, [""; 0]);
}

#[test]
fn what_is_not_there_or_not_running_is_refused() {
    let world = World::new();
    let refused = running(&world).change().unwrap().add_kernel("9.9").unwrap_err();
    assert!(refused.kind == ErrorKind::Refused && refused.why.contains("no kernel of the version 9.9"), "{refused}");
    assert_eq!(running(&world).change().unwrap().add_kernel("a/b").unwrap_err().kind, ErrorKind::Usage);
    let elsewhere = world.host();
    assert_eq!(elsewhere.change().unwrap().add_kernel("6.1").unwrap_err().kind, ErrorKind::Refused);
}
