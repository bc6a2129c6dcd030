//! Tests of [`super`]: a sound host, and each promise broken once.

use super::*;
use crate::inventory::FsKind;

fn layer(number: u32) -> LayerName {
    format!("node-{number}-0+1").parse().unwrap()
}

fn image(number: u32) -> ImageId {
    layer(number).base().clone()
}

fn volume(name: &str, role: Role, phase: Phase) -> Volume {
    Volume {
        name: name.parse().unwrap(),
        role,
        phase,
        origin: None,
        image_digest: None,
        fs: FsKind::Ext4,
        size_bytes: 1 << 30,
        used_bytes: None,
    }
}

/// Base and layer 1 are the default, base and layer 2 are armed, and everything is in order.
fn sound() -> HostView {
    let selection = Selection::default().adopt(&layer(1)).unwrap().bless(&layer(1)).unwrap();
    HostView {
        volumes: vec![
            volume("node-1-0", Role::Base, Phase::Ready),
            volume("node-1-0+1", Role::Layer, Phase::Ready),
            volume("node-2-0", Role::Base, Phase::Ready),
            volume("node-2-0+1", Role::Layer, Phase::Ready),
            volume("var", Role::Shared, Phase::Ready),
            volume("thinroot", Role::Records, Phase::Ready),
        ],
        entries: vec![(layer(1), Payload::Present), (layer(2), Payload::Present)],
        selection: selection.arm(&layer(2), 3).unwrap(),
        open_plan_names: BTreeSet::new(),
        manifests: [image(1), image(2)].into(),
        unreferenced_kernels: vec![],
    }
}

fn after(change: impl FnOnce(&mut HostView)) -> Vec<Violation> {
    let mut host = sound();
    change(&mut host);
    audit(&host)
}

#[test]
fn a_sound_host_and_an_empty_one_have_no_violation() {
    assert_eq!(audit(&sound()), []);
    assert_eq!(audit(&HostView::default()), []);
}

#[test]
fn entries_name_ready_layers_and_never_a_base() {
    let gone = after(|host| host.entries.push((layer(3), Payload::Present)));
    assert_eq!(gone, [Violation::EntryWithoutLayer { layer: layer(3) }]);
    let base = after(|host| {
        host.volumes.push(volume("node-2-0+2", Role::Base, Phase::Staging));
        host.open_plan_names.insert("node-2-0+2".parse().unwrap());
        host.entries.push(("node-2-0+2".parse().unwrap(), Payload::Present));
    });
    assert_eq!(base, [Violation::EntryAtBase { layer: "node-2-0+2".parse().unwrap() }]);
    // An open plan excuses the volume, not an entry that boots half of it.
    let half = after(|host| {
        host.volumes.push(volume("node-2-0+2", Role::Layer, Phase::Staging));
        host.open_plan_names.insert("node-2-0+2".parse().unwrap());
        host.entries.push(("node-2-0+2".parse().unwrap(), Payload::Present));
    });
    assert_eq!(half, [Violation::EntryWithoutLayer { layer: "node-2-0+2".parse().unwrap() }]);
}

#[test]
fn what_boots_next_has_an_entry_with_its_kernel() {
    let without = |at: usize| after(|host| drop(host.entries.remove(at)));
    let violation = |n, selected| Violation::SelectedWithoutEntry { layer: layer(n), selected };
    assert_eq!(without(0), [violation(1, SelectedAs::Default)]);
    assert_eq!(without(1), [violation(2, SelectedAs::Armed)]);
    let kernel = after(|host| host.entries[1].1 = Payload::Missing);
    assert_eq!(kernel, [Violation::EntryWithoutKernel { layer: layer(2) }, violation(2, SelectedAs::Armed)]);
    // With a second kernel it boots all the same; the broken entry is a violation by itself.
    let second = after(|host| host.entries.extend([(layer(2), Payload::Missing), (layer(2), Payload::Missing)]));
    assert_eq!(second, [Violation::EntryWithoutKernel { layer: layer(2) }]);
}

#[test]
fn the_selection_names_existing_layers() {
    let gone = after(|host| host.volumes.retain(|v| v.name.as_str() != "node-1-0+1"));
    assert_eq!(
        gone,
        [
            Violation::EntryWithoutLayer { layer: layer(1) },
            Violation::SelectedWithoutLayer { layer: layer(1), selected: SelectedAs::Default },
            Violation::SelectedWithoutLayer { layer: layer(1), selected: SelectedAs::Good },
        ]
    );
    let armed = after(|host| {
        host.volumes.retain(|v| v.name.as_str() != "node-2-0+1");
        host.entries.pop();
    });
    assert_eq!(
        armed,
        [
            Violation::SelectedWithoutEntry { layer: layer(2), selected: SelectedAs::Armed },
            Violation::SelectedWithoutLayer { layer: layer(2), selected: SelectedAs::Armed },
        ]
    );
    // A failure outlives its layer.
    let failed = after(|host| {
        let selection = host.selection.disarm().unwrap().arm(&layer(9), 1).unwrap();
        host.selection = selection.fail(&layer(9), None, "x").unwrap();
    });
    assert_eq!(failed, []);
}

#[test]
fn unfinished_volumes_belong_to_an_open_plan() {
    let name: VolumeName = "node-3-0".parse().unwrap();
    for role in [Role::Base, Role::Layer, Role::Shared, Role::Records] {
        let found = after(|host| host.volumes.push(volume("node-3-0", role, Phase::Staging)));
        assert_eq!(found, [Violation::StagingWithoutPlan { volume: name.clone() }]);
    }
    let found = after(|host| host.volumes.push(volume("node-3-0", Role::Frozen, Phase::Ready)));
    assert_eq!(found, [Violation::FrozenWithoutPlan { volume: name.clone() }]);
    let swept_next = after(|host| host.volumes.push(volume("node-3-0", Role::Frozen, Phase::Staging)));
    assert_eq!(swept_next, []);
    for (role, phase) in [(Role::Base, Phase::Staging), (Role::Frozen, Phase::Ready)] {
        let excused = after(|host| {
            host.volumes.push(volume("node-3-0", role, phase));
            host.open_plan_names.insert(name.clone());
        });
        assert_eq!(excused, []);
    }
}

#[test]
fn kernels_are_referenced_unless_a_plan_is_under_way() {
    let file = "thinroot/00-vmlinuz".to_string();
    let found = after(|host| host.unreferenced_kernels.push(file.clone()));
    assert_eq!(found, [Violation::KernelUnreferenced { file: file.clone() }]);
    let excused = after(|host| {
        host.unreferenced_kernels.push(file.clone());
        host.open_plan_names.insert("node-3-0".parse().unwrap());
    });
    assert_eq!(excused, []);
}

#[test]
fn bases_have_manifests_layers_have_bases_and_both_have_names() {
    let manifest = after(|host| host.manifests.retain(|id| *id != image(1)));
    assert_eq!(manifest, [Violation::BaseWithoutManifest { image: image(1) }]);
    let base = after(|host| drop(host.volumes.remove(2)));
    assert_eq!(base, [Violation::LayerWithoutBase { layer: layer(2) }]);
    let staging = after(|host| {
        host.volumes[2].phase = Phase::Staging;
        host.open_plan_names.insert("node-2-0".parse().unwrap());
    });
    assert_eq!(staging, [Violation::LayerWithoutBase { layer: layer(2) }]);
    for role in [Role::Base, Role::Layer] {
        let found = after(|host| host.volumes.push(volume("odd", role, Phase::Ready)));
        assert_eq!(found, [Violation::Misnamed { volume: "odd".parse().unwrap(), role }]);
    }
}

#[test]
fn each_violation_says_what_it_is_about() {
    let layer = || layer(1);
    let name = || "x".parse::<VolumeName>().unwrap();
    let selected = SelectedAs::Armed;
    let rows = [
        (
            Violation::EntryWithoutLayer { layer: layer() },
            "a boot entry names layer node-1-0+1, which is not there or not complete",
        ),
        (Violation::EntryAtBase { layer: layer() }, "a boot entry names node-1-0+1, which is a base"),
        (
            Violation::EntryWithoutKernel { layer: layer() },
            "a boot entry of layer node-1-0+1 names a kernel or initrd that is not there",
        ),
        (
            Violation::SelectedWithoutEntry { layer: layer(), selected },
            "layer node-1-0+1 is armed and has no boot entry that can boot",
        ),
        (
            Violation::SelectedWithoutLayer { layer: layer(), selected },
            "layer node-1-0+1 is armed and is not there or not complete",
        ),
        (Violation::StagingWithoutPlan { volume: name() }, "volume x is under construction and no open plan names it"),
        (
            Violation::FrozenWithoutPlan { volume: name() },
            "snapshot x was frozen for an update and no open plan names it",
        ),
        (Violation::KernelUnreferenced { file: "k".into() }, "no boot entry refers to k"),
        (Violation::BaseWithoutManifest { image: image(1) }, "the manifest of base node-1-0 is not in the records"),
        (
            Violation::LayerWithoutBase { layer: layer() },
            "base node-1-0 of layer node-1-0+1 is not there or not complete",
        ),
        (Violation::Misnamed { volume: name(), role: Role::Base }, "volume x is marked as base and not named like one"),
    ];
    for (violation, text) in rows {
        assert_eq!(violation.to_string(), text);
    }
}
