//! What the verbs do, and that each says what it found.

use thinroot_core::inventory::{Phase, Role};
use thinroot_engine::store::{Access, Ensured, Store};

use super::{Case, DIGEST, EXT4_BYTES, name, new, new_xfs, read, ready_base, survey, volume, write};

pub(super) const CASES: &[Case] = &[
    ("from nothing to a bootable layer and back to nothing", from_nothing_and_back),
    ("the same with XFS", xfs),
    ("every verb finds its own work done", every_verb_is_idempotent),
    ("publishing is what makes a volume count", publishing_makes_it_count),
    ("a withdrawn base can be written and published again", withdrawn_base_is_writable),
    ("shared volumes and records are writable when ready", shared_and_records),
    ("names with plus, dot and minus", hard_names),
    ("the survey is sorted by name", survey_is_sorted),
    ("snapshots of snapshots know their origin", origins),
];

fn from_nothing_and_back(store: &dyn Store) {
    let (base, layer) = (name("node-1-0"), name("node-1-0+1"));
    ready_base(store, &new("node-1-0", Role::Base)).unwrap();
    store.snapshot(&base, &layer, Role::Layer).unwrap();
    write(store, &layer, Access::WriteLayer, |path| std::fs::write(path.join("hostname"), "h1\n").unwrap());
    store.publish(&layer, None).unwrap();
    let want = [
        volume("node-1-0", Role::Base, Phase::Ready, None),
        volume("node-1-0+1", Role::Layer, Phase::Ready, Some("node-1-0")),
    ];
    assert_eq!(survey(store), want);
    assert_eq!(read(store, &layer, "hostname").as_deref(), Some("h1\n"));
    assert_eq!(read(store, &layer, "os-release").as_deref(), Some("NAME=node\n"));
    let root = store.kernel_root(&layer).unwrap();
    assert!(root.starts_with("root="), "{root}");
    for volume in [&layer, &base] {
        assert_eq!(store.withdraw(volume).unwrap(), Ensured::Done);
        assert_eq!(store.remove(volume).unwrap(), Ensured::Done);
    }
    assert_eq!(survey(store), []);
    assert_eq!(store.heal().unwrap(), Vec::<String>::new());
}

fn xfs(store: &dyn Store) {
    let (base, layer) = (name("node-1-0"), name("node-1-0+1"));
    ready_base(store, &new_xfs("node-1-0", Role::Base)).unwrap();
    store.snapshot(&base, &layer, Role::Layer).unwrap();
    let held = store.mount(&base, Access::Inspect).unwrap();
    // Both at once, although they share a UUID.
    write(store, &layer, Access::WriteLayer, |path| std::fs::write(path.join("hostname"), "h1\n").unwrap());
    held.finish().unwrap();
    store.publish(&layer, None).unwrap();
    assert_eq!(read(store, &layer, "hostname").as_deref(), Some("h1\n"));
    assert_eq!(read(store, &base, "hostname"), None);
    assert_eq!(read(store, &base, "os-release").as_deref(), Some("NAME=node\n"));
}

fn every_verb_is_idempotent(store: &dyn Store) {
    let (base, layer) = (name("node-1-0"), name("node-1-0+1"));
    let new = new("node-1-0", Role::Base);
    let twice = |verb: &dyn Fn() -> Ensured| [verb(), verb()];
    let done_then_already = [Ensured::Done, Ensured::Already];
    assert_eq!(twice(&|| store.create(&new).unwrap()), done_then_already);
    assert_eq!(twice(&|| store.publish(&base, Some(DIGEST)).unwrap()), done_then_already);
    assert_eq!(twice(&|| store.snapshot(&base, &layer, Role::Layer).unwrap()), done_then_already);
    assert_eq!(twice(&|| store.publish(&layer, None).unwrap()), done_then_already);
    assert_eq!(twice(&|| store.withdraw(&layer).unwrap()), done_then_already);
    assert_eq!(twice(&|| store.remove(&layer).unwrap()), done_then_already);
    assert_eq!(twice(&|| store.withdraw(&base).unwrap()), done_then_already);
    assert_eq!(twice(&|| store.remove(&base).unwrap()), done_then_already);
}

fn publishing_makes_it_count(store: &dyn Store) {
    let base = name("node-1-0");
    store.create(&new("node-1-0", Role::Base)).unwrap();
    assert_eq!(survey(store), [volume("node-1-0", Role::Base, Phase::Staging, None)]);
    store.publish(&base, Some(DIGEST)).unwrap();
    assert_eq!(survey(store), [volume("node-1-0", Role::Base, Phase::Ready, None)]);
    store.withdraw(&base).unwrap();
    assert_eq!(survey(store), [volume("node-1-0", Role::Base, Phase::Staging, None)]);
}

fn withdrawn_base_is_writable(store: &dyn Store) {
    let base = name("node-1-0");
    ready_base(store, &new("node-1-0", Role::Base)).unwrap();
    store.withdraw(&base).unwrap();
    write(store, &base, Access::WriteBase, |path| std::fs::write(path.join("os-release"), "NAME=more\n").unwrap());
    store.publish(&base, Some(DIGEST)).unwrap();
    assert_eq!(read(store, &base, "os-release").as_deref(), Some("NAME=more\n"));
}

fn shared_and_records(store: &dyn Store) {
    for (text, role) in [("var", Role::Shared), ("records-of-ours", Role::Records)] {
        store.create(&new(text, role)).unwrap();
        store.publish(&name(text), None).unwrap();
        write(store, &name(text), Access::WriteLayer, |path| std::fs::write(path.join("f"), text).unwrap());
        assert_eq!(read(store, &name(text), "f").as_deref(), Some(text));
    }
}

fn hard_names(store: &dyn Store) {
    let texts = ["a", "a--b.c_d+e-1.2-3.4+10", "a.img", "a.json"];
    for text in texts {
        store.create(&new(text, Role::Shared)).unwrap();
        write(store, &name(text), Access::WriteLayer, |path| std::fs::write(path.join("me"), text).unwrap());
        store.publish(&name(text), None).unwrap();
    }
    for text in texts {
        assert_eq!(read(store, &name(text), "me").as_deref(), Some(text));
        assert!(store.kernel_root(&name(text)).unwrap().starts_with("root="));
    }
    let want: Vec<_> = texts.iter().map(|text| volume(text, Role::Shared, Phase::Ready, None)).collect();
    let mut found = survey(store);
    found.sort_by_key(|volume| texts.iter().position(|text| *text == volume.name.as_str()));
    assert_eq!(found, want);
}

fn survey_is_sorted(store: &dyn Store) {
    for text in ["b-2", "b", "b+1"] {
        store.create(&new(text, Role::Shared)).unwrap();
    }
    let found: Vec<_> = survey(store).into_iter().map(|volume| volume.name).collect();
    let mut sorted = found.clone();
    sorted.sort();
    assert_eq!((found.len(), &found), (3, &sorted));
}

fn origins(store: &dyn Store) {
    ready_base(store, &new("node-1-0", Role::Base)).unwrap();
    for (origin, text, role) in [
        ("node-1-0", "node-1-0+1", Role::Layer),
        ("node-1-0+1", "frozen", Role::Frozen),
        ("node-1-0", "node-2-0", Role::Base),
    ] {
        store.snapshot(&name(origin), &name(text), role).unwrap();
    }
    let mut want = [
        volume("frozen", Role::Frozen, Phase::Staging, Some("node-1-0+1")),
        volume("node-1-0", Role::Base, Phase::Ready, None),
        volume("node-1-0+1", Role::Layer, Phase::Staging, Some("node-1-0")),
        volume("node-2-0", Role::Base, Phase::Staging, Some("node-1-0")),
    ];
    want.iter_mut().for_each(|volume| volume.size_bytes = EXT4_BYTES);
    assert_eq!(survey(store), want);
}
