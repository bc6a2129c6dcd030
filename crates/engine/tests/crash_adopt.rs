//! Goal: a power cut at any effect of an adoption, or of giving a host back, leaves a host that boots as it did before or
//! as it will; and that can be finished as well as undone.
//!
//! Method: as in the crash suite of updates, on a simulated host that something else installed. Until the last step nothing
//! of ours may choose what boots; after giving back nothing of ours may be left.

use std::fs;

use thinroot_core::adopt::{Adopted, Adoption, HostKernel};
use thinroot_core::boot::AdminChange;
use thinroot_core::install::Loader;
use thinroot_core::journal::Outcome;
use thinroot_core::plan::Need;
use thinroot_engine::adopt::plan_let_go;
use thinroot_engine::boot::BootDir;
use thinroot_engine::error::{Error, ErrorKind, Result};
use thinroot_engine::execute::Report;
use thinroot_engine::fault;
use thinroot_engine::progress::Silent;
use thinroot_engine::source::manifest_of_tree;
use thinroot_engine::store::Store;
use thinroot_testkit::world::World;

fn adoption(world: &World) -> Adoption {
    let boot = BootDir::open(&world.path("boot")).expect("the boot directory");
    let kernel = HostKernel { version: "6.1".into(), image: "vmlinuz-6.1".into(), initrd: "initrd.img-6.1".into() };
    let layer = "node-1-0+1".parse().expect("a name");
    Adoption {
        layers: vec![Adopted { layer, volume: "root".into(), origin: "root".into(), kernel }],
        loader: Loader::Grub,
        boot_dir: world.path("boot").display().to_string(),
        packages: vec![],
        fetch: false,
        before: boot.before().expect("what is there"),
    }
}

fn adopt(world: &World) -> Result<Report> {
    let host = world.host();
    let words = [AdminChange::Add("quiet".into())];
    host.change()?.adopt(&adoption(world), &words, Need::default(), &Silent)
}

fn let_go(world: &World) -> Result<Report> {
    let host = world.host();
    let change = host.change()?;
    let (_, plan) = plan_let_go(&host)?;
    change.let_go(plan, &Silent)
}

type State = (Vec<(String, String)>, Vec<(String, Vec<u8>)>);

/// What matters: the volumes with what is in them, and the boot directory.
fn state(world: &World) -> State {
    let volumes = world.store.survey().expect("a survey").volumes;
    let tree = |name: &thinroot_core::name::VolumeName| {
        let manifest = manifest_of_tree(&world.store.durable_tree(name).expect("a tree")).expect("a readable tree");
        manifest.entries().iter().map(|entry| format!("{} {:?}\n", entry.path, entry.kind)).collect::<String>()
    };
    (volumes.iter().map(|volume| (volume.name.to_string(), tree(&volume.name))).collect(), world.boot_files())
}

fn audit(world: &World, label: &str) {
    let examination = world.host().examine().unwrap_or_else(|error| panic!("{label}: {error}"));
    assert_eq!(examination.violations, [""; 0], "{label}");
    let boot = BootDir::open(&world.path("boot")).expect("the boot directory");
    let custom = fs::read_to_string(world.path("boot/grub/custom.cfg")).expect("the host's own configuration");
    assert!(custom.contains("set timeout=9"), "{label}: {custom}");
    let says = boot.loader_state().ok().flatten().unwrap_or_default();
    if let Some(next) = says.next().filter(|_| custom.contains("thinroot.cfg")) {
        let entries = boot.survey().expect("a survey").entries;
        let whole = entries.iter().any(|entry| entry.file.name.layer() == next && entry.missing.is_empty());
        assert!(whole, "{label}: the loader boots {next}, which has no entry that can boot");
    }
}

#[test]
fn the_base_is_what_was_shipped_and_the_layer_what_is_there() {
    let world = World::foreign();
    let report = adopt(&world).expect("an adoption");
    assert!(matches!(report.outcome, Outcome::Done), "{report:?}");
    audit(&world, "adopted");
    let line = BootDir::open(&world.path("boot")).unwrap().command_line(&"node-1-0+1".parse().unwrap()).unwrap();
    assert_eq!(line.as_deref(), Some("root=sim:node-1-0+1 rw thinroot.layer=node-1-0+1 quiet"));

    // The admin's changes from before the adoption are state: the next update carries them.
    world.update(2).expect("an update");
    let new = world.store.durable_tree(&"node-2-0+1".parse().unwrap()).unwrap();
    let text = |name: &str| fs::read_to_string(new.join(name)).unwrap();
    assert_eq!(text("etc/mine.conf"), "mine\n");
    assert_eq!(text("root/notes"), "remember\n");
    assert!(text("etc/app.conf").contains("colour = red"));
    assert!(text("etc/os-release").contains("IMAGE_VERSION=2-0"));
    let refused = let_go(&world).expect_err("the new layer could be booted by nothing else");
    assert_eq!(refused.kind, ErrorKind::Refused);
    assert!(refused.why.contains("node-2-0+1"), "{refused}");
}

#[test]
fn giving_back_leaves_nothing_of_ours() {
    let world = World::foreign();
    let before = state(&world);
    adopt(&world).expect("an adoption");
    assert_ne!(state(&world), before);
    let_go(&world).expect("given back");
    assert_eq!(state(&world), before);
    assert_eq!(world.store.mounts(), 0);
}

#[test]
fn an_adoption_survives_a_cut_at_every_point() {
    sweep(World::foreign, adopt);
}

#[test]
fn giving_back_survives_a_cut_at_every_point() {
    let adopted = || {
        let world = World::foreign();
        adopt(&world).expect("an adoption");
        world
    };
    sweep(adopted, let_go);
}

fn sweep(fresh: impl Fn() -> World, act: fn(&World) -> Result<Report>) {
    let before = state(&fresh());
    let (total, after) = {
        let world = fresh();
        fault::disarm();
        act(&world).expect("an undisturbed run");
        (fault::passed(), state(&world))
    };
    assert!(total > 20, "only {total} fault points: the suite would prove nothing");
    for n in 0..total {
        for finish in [true, false] {
            let label = format!("cut at point {n} of {total}, finished: {finish}");
            let world = fresh();
            fault::arm(n);
            let error = act(&world).expect_err("the cut");
            assert_eq!(error.kind, ErrorKind::PowerCut, "{label}: {error}");
            world.power_cycle();
            audit(&world, &label);
            let report = mend(&world, finish).unwrap_or_else(|error| panic!("{label}: {error}"));
            audit(&world, &format!("{label}, mended"));
            let now = state(&world);
            match report.map(|report| report.outcome) {
                Some(Outcome::Abandoned) => assert_eq!(now, before, "{label}"),
                Some(Outcome::Done | Outcome::DoneWithFindings) => assert_eq!(now, after, "{label}"),
                Some(other) => panic!("{label}: {other:?}"),
                None => assert!(now == before || now == after, "{label}: nothing was open"),
            }
            assert_eq!(world.store.mounts(), 0, "{label}: mounts left");
        }
    }
}

fn mend(world: &World, finish: bool) -> Result<Option<Report>> {
    let host = world.host();
    let change = host.change()?;
    if finish {
        let no_image = &mut |_: &thinroot_core::image::ImageInfo| Err(Error::failed("read an image", "there is none"));
        change.resume(no_image, &Silent)
    } else {
        change.abandon(&Silent)
    }
}
