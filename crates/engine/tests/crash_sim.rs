//! Goal: a power cut at any effect of an update, a rollback or a removal leaves a host that boots, loses nothing, and
//! can be finished as well as undone.
//!
//! Method: count the fault points of an undisturbed run on the simulated host; then, for each, run again on a fresh
//! host and cut there. The store loses everything that was not synced. After the cut the audit must be clean and the
//! old layer complete; then the plan is resumed on one host and abandoned on another, and the audit must be clean again.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use thinroot_core::journal::Outcome;
use thinroot_core::name::VolumeName;
use thinroot_engine::boot::{BootDir, LoaderKind};
use thinroot_engine::error::{ErrorKind, Result};
use thinroot_engine::execute::Report;
use thinroot_engine::fault;
use thinroot_engine::host::{ChangedSince, EditWish, RetireTarget};
use thinroot_engine::progress::Silent;
use thinroot_engine::source::manifest_of_tree;
use thinroot_engine::store::Store;
use thinroot_testkit::world::World;

/// What is done to a host.
#[derive(Clone, Copy)]
struct Deed {
    /// Brings a fresh host to where the deed begins.
    prepare: fn(&World),
    /// Does it.
    act: fn(&World) -> Result<()>,
    /// The layer that it changes in place; every other one stays as it is.
    changes: Option<&'static str>,
}

const UPDATE: Deed = Deed { prepare: |_| {}, act: |world| world.update(2).map(drop), changes: None };

/// With a loader below the boot directory, which must follow.
const UPDATE_GRUB: Deed = Deed { prepare: |world| world.take_over(LoaderKind::Grub), ..UPDATE };
const UPDATE_SYSTEMD_BOOT: Deed = Deed { prepare: |world| world.take_over(LoaderKind::SystemdBoot), ..UPDATE };
const PRUNE_GRUB: Deed = Deed {
    prepare: |world| {
        world.take_over(LoaderKind::Grub);
        (PRUNE.prepare)(world);
    },
    ..PRUNE
};

const ROLLBACK: Deed = Deed {
    prepare: |world| {
        world.update(2).expect("the update");
        let host = world.host();
        host.change().expect("the lock").bless(None).expect("blessed");
    },
    act: |world| {
        let host = world.host();
        host.change()?.rollback(None, &Silent).map(drop)
    },
    changes: None,
};

/// Everything that an update carried is taken back, in the layer that boots next.
const UNDO: Deed = Deed {
    prepare: |world| {
        world.update(2).expect("the update");
    },
    act: |world| {
        let host = world.host();
        let change = host.change()?;
        let edits = host.plan_edit(None, &EditWish::UndoAll, ChangedSince::Refuse)?;
        change.edit(&edits, &Silent).map(drop)
    },
    changes: Some("node-2-0+1"),
};

/// The smallest program that says all is well: an ELF header, one segment, and `exit(0)` for x86-64. A real shell would
/// be written and read anew for each fault point.
fn good_program() -> Vec<u8> {
    let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0\x01\0\0\0".to_vec();
    let code = b"\xb8\x3c\0\0\0\x31\xff\x0f\x05";
    let words = |out: &mut Vec<u8>, words: &[u64]| words.iter().for_each(|word| out.extend(word.to_le_bytes()));
    // Entry, program headers, no section headers; then no flags and the sizes of the headers.
    words(&mut elf, &[0x40_0078, 64, 0]);
    elf.extend(b"\0\0\0\0\x40\0\x38\0\x01\0\0\0\0\0\0\0");
    // One segment that is loaded, readable and executable.
    elf.extend(b"\x01\0\0\0\x05\0\0\0");
    words(&mut elf, &[0, 0x40_0000, 0x40_0000, 120 + code.len() as u64, 120 + code.len() as u64, 0x1000]);
    elf.extend(code);
    elf
}

/// What a person does to a layer after an update was staged or booted.
fn later_changes(root: &Path) {
    fs::write(root.join("etc/app.conf"), "colour = green\nsize = 9\n").expect("edit");
    fs::write(root.join("etc/later.conf"), "later\n").expect("add");
    fs::remove_file(root.join("etc/mine.conf")).expect("delete");
}

/// Going back with what was changed since the update.
const BACK: Deed = Deed {
    prepare: |world| {
        world.update(2).expect("the update");
        let host = world.host();
        host.change().expect("the lock").bless(None).expect("blessed");
        world.edit("node-2-0+1", later_changes);
    },
    act: |world| {
        let host = world.host();
        let change = host.change()?;
        let plan = host.plan_back(None, None, &Silent)?.plan;
        change.back(plan, &Silent).map(drop)
    },
    changes: None,
};

/// Taking along what was changed after an update was staged, with a check of the new image that is asked.
const CATCH_UP: Deed = Deed {
    prepare: |world| {
        let image = world.path("image-2");
        let checks = image.join("usr/lib/thinroot/validators.d");
        fs::create_dir_all(&checks).expect("a directory");
        fs::write(checks.join("app.validator"), "path /etc/app.conf\nrun /usr/bin/good\n").expect("a check");
        let program = image.join("usr/bin/good");
        fs::write(&program, good_program()).expect("its program");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("its mode");
        world.update(2).expect("the update");
        world.edit("node-1-0+1", later_changes);
    },
    act: |world| world.host().change()?.catch_up(None, None, &Silent).map(drop),
    changes: Some("node-2-0+1"),
};

const PRUNE: Deed = Deed {
    prepare: |world| {
        for version in [2, 3] {
            world.update(version).expect("the update");
            world.host().change().expect("the lock").bless(None).expect("blessed");
        }
    },
    act: |world| {
        let host = world.host();
        host.change()?.retire(&RetireTarget::Surplus { keep: 1 }, &Silent).map(drop)
    },
    changes: None,
};

#[test]
fn an_update_survives_a_cut_at_every_point() {
    sweep(UPDATE, 1, Abandoned::LeavesTheOld);
}

#[test]
fn an_update_with_grub_survives_a_cut_at_every_point_near_its_end() {
    sweep_last(UPDATE_GRUB, 70, Abandoned::LeavesTheOld);
}

#[test]
fn an_update_with_systemd_boot_survives_a_cut_at_every_point_near_its_end() {
    sweep_last(UPDATE_SYSTEMD_BOOT, 70, Abandoned::LeavesTheOld);
}

#[test]
fn a_prune_with_grub_survives_a_cut_at_every_point() {
    sweep(PRUNE_GRUB, 1, Abandoned::LeavesEither);
}

#[test]
fn a_rollback_survives_a_cut_at_every_point() {
    sweep(ROLLBACK, 1, Abandoned::LeavesEither);
}

#[test]
fn going_back_with_later_changes_survives_a_cut_at_every_point() {
    sweep(BACK, 3, Abandoned::LeavesTheOld);
}

#[test]
fn a_catch_up_survives_a_cut_at_every_point() {
    sweep(CATCH_UP, 1, Abandoned::LeavesTheOld);
}

#[test]
fn a_prune_survives_a_cut_at_every_point() {
    sweep(PRUNE, 1, Abandoned::LeavesEither);
}

#[test]
fn an_undo_survives_a_cut_at_every_point() {
    sweep(UNDO, 1, Abandoned::LeavesTheOld);
}

/// A second cut while the first is being mended. Every seventh point of each: primes, so that the pairs differ.
#[test]
fn a_second_cut_during_resume_and_abandon_is_survived() {
    let total = points(UPDATE);
    for first in (3..total).step_by(23) {
        for second in (0..60).step_by(7) {
            for mend in [resume as fn(&World) -> Result<Option<Report>>, abandon] {
                let world = cut_at(UPDATE, first);
                fault::arm(second);
                let result = mend(&world);
                world.power_cycle();
                if let Err(error) = result {
                    assert_eq!(error.kind, ErrorKind::PowerCut, "{error}");
                }
                audit(&world, &format!("cut at {first}, then at {second}"));
                resume(&world).unwrap_or_else(|error| panic!("resume after cuts at {first} and {second}: {error}"));
                audit(&world, &format!("resumed after cuts at {first} and {second}"));
            }
        }
    }
}

/// What abandoning may lead to.
#[derive(Clone, Copy, PartialEq)]
enum Abandoned {
    /// Before the commit point exactly what was, after it the finished plan.
    LeavesTheOld,
    /// The plan has no step that can be undone.
    LeavesEither,
}

fn sweep(deed: Deed, step: usize, abandoned: Abandoned) {
    let total = points(deed);
    sweep_over(deed, (0..total).step_by(step), total, abandoned);
}

/// Of a deed that differs only near its end from one that is cut at every point.
fn sweep_last(deed: Deed, count: u64, abandoned: Abandoned) {
    let total = points(deed);
    sweep_over(deed, total.saturating_sub(count)..total, total, abandoned);
}

fn sweep_over(deed: Deed, cuts: impl Iterator<Item = u64>, total: u64, abandoned: Abandoned) {
    assert!(total > 10, "only {total} fault points: the suite would prove nothing");
    let before = {
        let world = World::new();
        (deed.prepare)(&world);
        State::of(&world)
    };
    let after = {
        let world = World::new();
        (deed.prepare)(&world);
        (deed.act)(&world).expect("an undisturbed run");
        State::of(&world)
    };
    for n in cuts {
        let label = format!("cut at point {n} of {total}");
        let world = cut_at(deed, n);
        audit(&world, &label);
        assert_layers_complete(&world, &before, &after, deed.changes, &label);
        match resume(&world).unwrap_or_else(|error| panic!("{label}: resume: {error}")) {
            // The cut came before the plan was on disk: nothing has happened.
            None => assert!([&before, &after].contains(&&State::of(&world)), "{label}: resume found nothing open"),
            Some(report) => {
                assert!(matches!(report.outcome, Outcome::Done | Outcome::DoneWithFindings), "{label}: {report:?}");
                assert_eq!(State::of(&world), after, "{label}: resumed");
            }
        }
        audit(&world, &format!("{label}, resumed"));

        let world = cut_at(deed, n);
        let report = abandon(&world).unwrap_or_else(|error| panic!("{label}: abandon: {error}"));
        let state = State::of(&world);
        match report.map(|report| report.outcome) {
            Some(Outcome::Abandoned) if abandoned == Abandoned::LeavesTheOld => {
                assert_eq!(state, before, "{label}: abandoned");
            }
            Some(Outcome::Abandoned) => {}
            Some(Outcome::Done | Outcome::DoneWithFindings) => assert_eq!(state, after, "{label}: was committed"),
            Some(Outcome::Failed) => panic!("{label}: abandoning failed"),
            None => assert!([&before, &after].contains(&&state), "{label}: abandon found nothing open"),
        }
        audit(&world, &format!("{label}, abandoned"));
        assert_eq!(world.store.mounts(), 0, "{label}: mounts left");
    }
}

fn points(deed: Deed) -> u64 {
    let world = World::new();
    (deed.prepare)(&world);
    fault::disarm();
    (deed.act)(&world).expect("an undisturbed run");
    fault::passed()
}

fn cut_at(deed: Deed, n: u64) -> World {
    let world = World::new();
    (deed.prepare)(&world);
    fault::arm(n);
    let error = (deed.act)(&world).expect_err("the cut");
    assert_eq!(error.kind, ErrorKind::PowerCut, "point {n}: {error}");
    world.power_cycle();
    world
}

fn resume(world: &World) -> Result<Option<Report>> {
    let host = world.host();
    host.change()?.resume(
        &mut |info| {
            let version = info.id.version().parse().expect("a number");
            Ok(world.image(version))
        },
        &Silent,
    )
}

fn abandon(world: &World) -> Result<Option<Report>> {
    let host = world.host();
    host.change()?.abandon(&Silent)
}

fn audit(world: &World, label: &str) {
    let examination = world.host().examine().unwrap_or_else(|error| panic!("{label}: {error}"));
    assert_eq!(examination.violations, [""; 0], "{label}");
    let boot = BootDir::open(&world.path("boot")).expect("the boot directory");
    let Some(says) = boot.loader_state().unwrap_or_else(|error| panic!("{label}: {error}")) else { return };
    let entries = boot.survey().unwrap_or_else(|error| panic!("{label}: {error}")).entries;
    let next = says.next().unwrap_or_else(|| panic!("{label}: the loader boots nothing"));
    let whole = entries.iter().any(|entry| entry.file.name.layer() == next && entry.missing.is_empty());
    assert!(whole, "{label}: the loader boots {next}, which has no entry that can boot");
}

/// What boots has an entry, and every layer is as it was; one that is changed in place has of each path the old or the
/// new and never a half.
fn assert_layers_complete(world: &World, before: &State, after: &State, changes: Option<&str>, label: &str) {
    let host = world.host();
    let status = host.status().expect("status");
    let boots = status.armed.map(|armed| armed.layer).or(status.default).expect("something boots");
    let entry = status.layers.iter().find(|layer| layer.name == boots).map(|layer| layer.has_entry);
    assert_eq!(entry, Some(true), "{label}: {boots} boots next and has no entry");
    for (name, tree) in &before.trees {
        let Some(now) = world.store.durable_tree(&name.parse().expect("a name")) else { continue };
        let now = manifest_text(&now);
        if Some(name.as_str()) != changes {
            assert_eq!(&now, tree, "{label}: {name} has changed");
            continue;
        }
        let (_, later) = after.trees.iter().find(|(other, _)| other == name).expect("it is there at the end");
        let known: BTreeSet<&str> = tree.lines().chain(later.lines()).collect();
        let halves: Vec<_> =
            now.lines().filter(|line| !known.contains(line) && !line.contains(".thinroot-tmp-")).collect();
        assert_eq!(halves, [""; 0], "{label}: {name}");
    }
}

/// Everything about a host that matters and does not depend on time or chance.
#[derive(Debug, PartialEq)]
struct State {
    trees: Vec<(String, String)>,
    boot: Vec<(String, Vec<u8>)>,
    described: BTreeSet<String>,
}

impl State {
    fn of(world: &World) -> State {
        let volumes = world.store.survey().expect("a survey").volumes;
        let tree = |name: &VolumeName| manifest_text(&world.store.durable_tree(name).expect("a tree"));
        let trees = volumes.iter().map(|volume| (volume.name.to_string(), tree(&volume.name))).collect();
        let described = world.host().records().described().expect("records").iter().map(ToString::to_string).collect();
        State { trees, boot: world.boot_files(), described }
    }
}

/// A tree as text, without directory times: those of a directory that a copy was made of are the copy's.
fn manifest_text(root: &Path) -> String {
    let manifest = manifest_of_tree(root).expect("a readable tree");
    manifest.entries().iter().map(|entry| format!("{} {:?} {:o}\n", entry.path, entry.kind, entry.meta.mode)).collect()
}
