//! Plans of updates, as lists of steps or refusals.

use super::*;
use crate::boot::Selection;
use crate::inventory::tests::{inventory, volume};
use crate::manifest::Digest;

fn request(id: &str) -> Request {
    let image = ImageInfo {
        id: id.parse().unwrap(),
        digest: Digest([1; 32]),
        arch: crate::image::Arch::X86_64,
        title: String::new(),
        kernels: vec![crate::image::Kernel { version: "6.1".into(), image: Default::default(), initrd: None }],
        paths: 1,
        content_bytes: 300 << 20,
        source: "tar:x".into(),
    };
    let (arm, downgrade) = (Arm::Next, Downgrade::Refuse);
    let failed = Failed::Refuse;
    Request { image, from: None, size_bytes: None, fs: None, arm, downgrade, failed, need: Need::default() }
}

const SEED: Seed = Seed { now_sec: 1_800_000_000, salt: 7 };

fn steps(planned: Planned) -> Vec<String> {
    match planned {
        Planned::Plan(plan) => plan.steps.iter().map(ToString::to_string).collect(),
        Planned::Nothing(why) => vec![why],
    }
}

#[test]
fn an_update_is_base_layer_state_entry_arm() {
    let inventory = inventory(&["node-1-0", "node-1-0+1"]);
    let planned = update(&inventory, &request("node-2-0"), SEED).unwrap();
    assert_eq!(
        steps(planned.clone()),
        [
            "create base node-2-0 as a snapshot of node-1-0",
            "write what differs into base node-2-0 and verify all of it",
            "seal base node-2-0",
            "create layer node-2-0+1 as a snapshot of node-2-0",
            "freeze layer node-1-0+1 as frozen.1800000000.0007",
            "carry the state of node-1-0+1 into node-2-0+1",
            "publish layer node-2-0+1",
            "write the boot entry of node-2-0+1 with kernel 6.1",
            "arm node-2-0+1 for the next boot, 3 tries",
            "remove the frozen snapshot frozen.1800000000.0007",
        ]
    );
    let Planned::Plan(plan) = planned else { panic!() };
    assert_eq!((plan.commit(), plan.id.as_str()), (8, "1800000000-update-0007"));
}

#[test]
fn same_inputs_same_plan() {
    let inventory = inventory(&["node-1-0", "node-1-0+1"]);
    let plan = || update(&inventory, &request("node-2-0"), SEED).unwrap();
    assert_eq!(plan(), plan());
}

#[test]
fn nothing_to_do_is_said() {
    let mut inventory = inventory(&["node-1-0", "node-1-0+1"]);
    inventory.volumes[0].image_digest = Some(Digest([1; 32]).short());
    let again = steps(update(&inventory, &request("node-1-0"), SEED).unwrap());
    assert_eq!(again, ["node-1-0+1 is of node-1-0 already"]);
}

#[test]
fn an_image_that_failed_here_is_tried_again_only_on_demand() {
    let mut inventory = inventory(&["node-1-0", "node-1-0+1"]);
    let (bad, mut wanted) = ("node-2-0+1".parse().unwrap(), request("node-2-0"));
    let digest = wanted.image.digest.short();
    let failed = |digest: &str| {
        let armed = inventory.selection.arm(&bad, 3).unwrap();
        armed.fail(&bad, Some(digest), "nginx is inactive").unwrap()
    };
    let (same, other) = (failed(&digest), failed("0123456789abcdef"));
    inventory.selection = same;
    let refused = update(&inventory, &wanted, SEED).unwrap_err();
    assert_eq!(refused.why, "this image failed here as node-2-0+1: nginx is inactive");
    wanted.failed = Failed::TryAgain;
    assert!(matches!(update(&inventory, &wanted, SEED), Ok(Planned::Plan(_))));
    wanted.failed = Failed::Refuse;
    inventory.selection = other;
    assert!(matches!(update(&inventory, &wanted, SEED), Ok(Planned::Plan(_))));
}

#[test]
fn wrong_updates_are_refused_with_a_way_out() {
    let mut inventory = inventory(&["node-2-0", "node-2-0+1"]);
    let refused = |inventory: &Inventory, id: &str| update(inventory, &request(id), SEED).unwrap_err();
    assert!(refused(&inventory, "node-1-0").why.contains("older than node-2-0"));
    assert!(refused(&inventory, "other-3-0").why.contains("no version of 'node'"));
    assert!(refused(&inventory, "node-2-0").why.contains("other content"));
    let mut older = request("node-1-0");
    older.downgrade = Downgrade::Allow;
    assert!(matches!(update(&inventory, &older, SEED), Ok(Planned::Plan(_))));
    let mut small = request("node-3-0");
    small.size_bytes = Some(100 << 20);
    assert!(update(&inventory, &small, SEED).unwrap_err().mend.contains("--size 458M"));
    inventory.selection = Selection::default();
    inventory.booted = None;
    assert!(refused(&inventory, "node-3-0").mend.contains("layer fork"));
    inventory.open_plan = Some("0-update-0".parse().unwrap());
    assert!(refused(&inventory, "node-3-0").mend.contains("thinroot resume"));
}

#[test]
fn the_ancestor_is_the_nearest_older_base_that_fits() {
    let mut inventory = inventory(&["node-1-0", "node-2-0", "node-4-0", "other-3-0"]);
    let near = |inventory: &Inventory, id: &str| {
        ancestor(inventory, &id.parse().unwrap(), None, 1 << 30).map(|id| id.to_string())
    };
    assert_eq!(near(&inventory, "node-3-0").as_deref(), Some("node-2-0"));
    assert_eq!(near(&inventory, "node-0-1").as_deref(), Some("node-1-0"));
    assert_eq!(near(&inventory, "else-1-0"), None);
    inventory.described.remove(&volume("node-2-0").name);
    assert_eq!(near(&inventory, "node-3-0").as_deref(), Some("node-1-0"));
    assert_eq!(ancestor(&inventory, &"node-3-0".parse().unwrap(), Some(FsKind::Xfs), 0), None);
}

#[test]
fn many_small_files_get_room_for_their_inodes() {
    let mut many = request("node-2-0");
    (many.image.paths, many.image.content_bytes) = (400_000, 100 << 20);
    let empty = Inventory { selection: Selection::default(), ..inventory(&[]) };
    // 440,000 inodes of 16 KiB are 6.7 GiB; half as much again, in whole GiB.
    assert_eq!(base_size(&empty, &many), 11 << 30);
    many.size_bytes = Some(2 << 30);
    let why = add_base(&inventory(&[]), &many, SEED).unwrap_err();
    assert!(why.mend.contains("--size 6875M"), "{}", why.mend);
}

#[test]
fn the_first_layer_becomes_the_default() {
    let mut inventory = inventory(&["node-1-0"]);
    let plan = fork(&inventory, &volume("node-1-0").name, "6.1", Need::default(), SEED).unwrap();
    assert_eq!(plan.steps.last().unwrap().to_string(), "make node-1-0+1 the default");
    inventory.selection = Selection::default().adopt(&"node-1-0+1".parse().unwrap()).unwrap();
    let plan = fork(&inventory, &volume("node-1-0").name, "6.1", Need::default(), SEED).unwrap();
    assert_eq!(plan.commit(), plan.steps.len());
    assert!(fork(&inventory, &"nope".parse().unwrap(), "6.1", Need::default(), SEED).is_err());
}
