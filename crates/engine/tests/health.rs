//! A layer that does not prove itself is given up, and only where there is something to fall back to.

use thinroot_engine::boot::BootDir;
use thinroot_engine::host::{Host, Parts};
use thinroot_engine::records::Records;
use thinroot_testkit::world::World;

fn running(world: &World, layer: &str) -> Host {
    Host::new(Parts {
        store: Box::new(world.store.clone()),
        boot: BootDir::open(&world.path("boot")).unwrap(),
        records: Records::open(&world.path("records")).unwrap(),
        records_mount: None,
        booted: Some(layer.parse().unwrap()),
        lock_path: world.path("lock"),
    })
}

#[test]
fn a_layer_whose_tries_are_used_up_is_given_up_by_the_one_that_runs() {
    let world = World::new();
    world.update(2).unwrap();
    let host = running(&world, "node-1-0+1");
    for _ in 0..3 {
        assert_eq!(host.change().unwrap().count_start().unwrap().to_string(), "node-2-0+1");
    }
    // In its last try it is not given up yet.
    let last = running(&world, "node-2-0+1");
    assert_eq!(last.change().unwrap().mended, [""; 0]);
    let mended = host.change().unwrap().mended.clone();
    assert_eq!(mended, ["node-2-0+1 did not come up in any of its tries and is given up"]);
    let status = host.status().unwrap();
    assert_eq!((status.armed, status.next.map(|layer| layer.to_string())), (None, Some("node-1-0+1".into())));
    // Its image is not taken again, also under another name.
    let refused = world.update(2).unwrap_err();
    assert_eq!(refused.why, "this image failed here as node-2-0+1: its tries were used up and it was not blessed");
}

#[test]
fn a_layer_that_is_not_good_is_given_up_with_its_reason() {
    let world = World::new();
    world.update(2).unwrap();
    let host = running(&world, "node-2-0+1");
    assert!(host.change().unwrap().give_up("10-services: ssh is failed").unwrap());
    let status = host.status().unwrap();
    let failed = status.layers.iter().find(|layer| layer.name.to_string() == "node-2-0+1").unwrap();
    assert_eq!(failed.failure.as_deref(), Some("10-services: ssh is failed"));
    assert_eq!((status.armed, status.default.map(|layer| layer.to_string())), (None, Some("node-1-0+1".into())));
    // Whoever starts it by hand now, to see what is wrong with it, is left in peace.
    assert!(!host.change().unwrap().give_up("again").unwrap());
    assert_eq!(host.change().unwrap().bless(None).unwrap(), None);
    assert!(host.change().unwrap().bless(Some(&"node-2-0+1".parse().unwrap())).is_err());
    // The default has nothing to fall back to.
    let host = running(&world, "node-1-0+1");
    assert!(!host.change().unwrap().give_up("disk").unwrap());
    let default = host.status().unwrap().default.map(|layer| layer.to_string());
    assert_eq!(default.as_deref(), Some("node-1-0+1"));
}
