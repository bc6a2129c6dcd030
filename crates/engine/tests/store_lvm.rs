//! The LVM store keeps the promises of a store on real lvm2 and dm-thin, and mends what power cuts leave.
//!
//! Runs inside the test kernel only, where `/dev/ubda` is an empty disk of at least 2 GiB that belongs to it.
//! `THINROOT_CASES` selects cases by parts of their names, separated by `|`. With
//! `THINROOT_UML=replayed` every disk present holds volume group `vg0` as one cut of a recorded `lvcreate` left it.

use std::path::Path;

use thinroot_core::inventory::{FsKind, Phase, Role, Volume};
use thinroot_core::name::VolumeName;
use thinroot_engine::cmd::Cmd;
use thinroot_engine::error::ErrorKind;
use thinroot_engine::host::StoreRef;
use thinroot_engine::store::lvm_thin::{Foreign, LvmThinStore, PoolSize};
use thinroot_engine::store::{Access, Ensured, NewVolume, Store};
use thinroot_testkit::conformance::{self, Bed};

const VG: &str = "vg0";
const DIGEST: &str = "0123456789abcdef";

type Case = (&'static str, fn());

/// Some 15 s for each cut. An ordinary run cuts whole updates instead, which end in the same verbs of the store.
const NIGHTLY: Case = ("cut at every fault point and begun anew", cuts);

/// In this order: a fresh pool first, the one that gets full last.
const CASES: &[Case] = &[
    ("conformance", conforms),
    ("publishing and withdrawing are single commits of LVM's metadata", commits_are_single),
    ("no version of LVM's metadata names a volume of ours without its tags", never_untagged),
    ("a creation cut before its device is removed", cut_before_device),
    ("a creation cut before it was counted is completed", cut_before_count),
    ("a pool that is not understood is left alone", beyond_repair),
    ("a volume mounted elsewhere is shown, not mounted again", mounted_elsewhere),
    ("a root file system that is not ours can be adopted", adoption),
    ("making a store of a pool", init),
    ("a full pool fails at the end of a mount", full_pool),
];

#[test]
fn every_case_holds_on_real_lvm() {
    match std::env::var("THINROOT_UML").as_deref() {
        Ok("1") => {
            prepare();
            let only = std::env::var("THINROOT_CASES").unwrap_or_default();
            let nightly = std::env::var_os("THINROOT_NIGHTLY").map(|_| NIGHTLY);
            let cases = nightly.iter().chain(CASES);
            for (name, case) in cases.filter(|(name, _)| only.split('|').any(|part| name.contains(part))) {
                eprintln!("case: {name}");
                case();
                conformance::clear(&open());
            }
        }
        Ok("replayed") => replayed(),
        Ok(_) | Err(_) => eprintln!("runs inside the UML bed: cargo xtask test"),
    }
}

fn prepare() {
    run("pvcreate", &["-q", "/dev/ubda"]);
    run("vgcreate", &["-q", VG, "/dev/ubda"]);
    LvmThinStore::make_pool(VG, "pool", PoolSize { data_bytes: 800 << 20, metadata_bytes: 8 << 20 }).unwrap();
}

fn run(program: &str, args: &[&str]) -> String {
    Cmd::new(program).args(args).run().unwrap_or_else(|error| panic!("{error}"))
}

fn open() -> LvmThinStore {
    LvmThinStore::open(VG, "pool").unwrap()
}

fn name(text: &str) -> VolumeName {
    text.parse().unwrap()
}

fn new(text: &str, role: Role) -> NewVolume {
    NewVolume { name: name(text), role, fs: FsKind::Ext4, size_bytes: 64 << 20 }
}

fn base(store: &LvmThinStore) -> VolumeName {
    store.create(&new("node-1-0", Role::Base)).unwrap();
    store.publish(&name("node-1-0"), Some(DIGEST)).unwrap();
    name("node-1-0")
}

fn field(column: &str, of: &str) -> String {
    run("lvs", &["--noheadings", "-o", column, of]).trim().to_string()
}

fn conforms() {
    conformance::store(&|| Box::new(open()));
}

fn sequence() -> u64 {
    run("vgs", &["--noheadings", "-o", "vg_seqno", VG]).trim().parse().unwrap()
}

fn commits_are_single() {
    let store = open();
    let base = base(&store);
    let layer = name("node-1-0+1");
    store.snapshot(&base, &layer, Role::Layer).unwrap();
    let before = sequence();
    store.publish(&layer, None).unwrap();
    assert_eq!(sequence(), before + 1);
    // Two for a base: writable again is no part of the commit.
    store.withdraw(&base).unwrap();
    assert_eq!(sequence(), before + 3);
    store.publish(&base, Some(DIGEST)).unwrap();
    assert_eq!(sequence(), before + 5);
    assert_eq!(field("lv_attr", "vg0/node-1-0"), "Vri---t--k");
    assert_eq!(field("lv_tags", "vg0/node-1-0"), "thinroot:base,thinroot:fs=ext4,thinroot:image=0123456789abcdef");
    assert_eq!(field("lv_tags", "vg0/node-1-0+1"), "thinroot:fs=ext4,thinroot:layer");
    // What a booted layer says of itself leads back to its store.
    let line = format!("quiet {} rw thinroot.layer=node-1-0+1", store.kernel_root(&layer).unwrap());
    assert_eq!(StoreRef::of_command_line(&line).unwrap(), Some("lvm:vg0/pool".parse().unwrap()));
}

fn never_untagged() {
    let store = open();
    let base = base(&store);
    store.snapshot(&base, &name("node-1-0+1"), Role::Layer).unwrap();
    // LVM keeps its last versions as text in a ring at the start of the disk.
    let mut head = vec![0; 1 << 20];
    std::io::Read::read_exact(&mut std::fs::File::open("/dev/ubda").unwrap(), &mut head).unwrap();
    let text = String::from_utf8_lossy(&head).replace('\0', "\n");
    for volume in ["node-1-0", "node-1-0+1"] {
        let versions: Vec<&str> = text.split(&format!("\n{volume} {{\n")).skip(1).collect();
        assert!(versions.len() > 2, "{volume} has {} versions", versions.len());
        for version in versions {
            // The oldest version may be partly overwritten by the newest: the ring has no gaps.
            let Some(end) = version.find("segment1") else { continue };
            let facts = &version[..end];
            assert!(facts.contains("tags = [") && facts.contains("\"thinroot:fs="), "{volume}: {facts}");
        }
    }
}

/// Puts pool and LVM's metadata into the state that a cut inside the creation of `volume` leaves: the message to the pool
/// still queued, the pool's count one behind, and the device there or not.
fn cut_creation(volume: &str, device_is_there: bool) {
    let count: u64 = field("transaction_id", "vg0/pool").parse().unwrap();
    let id = field("thin_id", &format!("vg0/{volume}"));
    run("lvchange", &["-an", &format!("vg0/{volume}")]);
    if !device_is_there {
        run("dmsetup", &["message", "vg0-pool-tpool", "0", &format!("delete {id}")]);
    }
    let back = format!("set_transaction_id {count} {}", count - 1);
    run("dmsetup", &["message", "vg0-pool-tpool", "0", &back]);
    run("vgchange", &["-an", VG]);
    run("vgcfgbackup", &["-q", "-f", "/tmp/vg0.cfg", VG]);
    let text = std::fs::read_to_string("/tmp/vg0.cfg").unwrap();
    let line = format!("transaction_id = {count}\n");
    let (before, after) = text.split_once(&line).unwrap();
    let queued = format!("{before}{line}message1 {{\ncreate = \"{volume}\"\n}}\n{after}");
    std::fs::write("/tmp/vg0.cfg", queued).unwrap();
    run("vgcfgrestore", &["-q", "--force", "-y", "-f", "/tmp/vg0.cfg", VG]);
}

fn probe_works(store: &LvmThinStore) {
    let probe = name("probe");
    assert_eq!(store.create(&new("probe", Role::Shared)).unwrap(), Ensured::Done);
    assert_eq!(store.remove(&probe).unwrap(), Ensured::Done);
    assert_eq!(store.heal().unwrap(), Vec::<String>::new());
    assert_eq!(interrupted(store), Vec::<String>::new());
}

fn interrupted(store: &LvmThinStore) -> Vec<String> {
    store.survey().unwrap().findings.into_iter().filter(|finding| finding.contains("interrupted")).collect()
}

fn cut_before_device() {
    let store = open();
    let base = base(&store);
    store.snapshot(&base, &name("node-1-0+1"), Role::Layer).unwrap();
    cut_creation("node-1-0+1", false);
    let done = store.heal().unwrap();
    assert_eq!(done, ["removed node-1-0+1, whose creation was interrupted before it had any content"]);
    assert_eq!(store.survey().unwrap().volumes.len(), 1);
    probe_works(&store);
}

fn cut_before_count() {
    let store = open();
    let base = base(&store);
    let layer = name("node-1-0+1");
    store.snapshot(&base, &layer, Role::Layer).unwrap();
    cut_creation("node-1-0+1", true);
    run("lvchange", &["-ay", "vg0/pool"]);
    assert_eq!(interrupted(&store).len(), 1);
    // This is what makes the state dangerous: every later change fails.
    assert_eq!(store.create(&new("probe", Role::Shared)).unwrap_err().kind, ErrorKind::Failed);
    assert_eq!(store.heal().unwrap(), ["completed the creation of node-1-0+1, which was interrupted"]);
    assert_eq!(store.snapshot(&base, &layer, Role::Layer).unwrap(), Ensured::Already);
    store.mount(&layer, Access::WriteLayer).unwrap().finish().unwrap();
    probe_works(&store);
}

fn beyond_repair() {
    let store = open();
    base(&store);
    let count: u64 = field("transaction_id", "vg0/pool").parse().unwrap();
    run("dmsetup", &["message", "vg0-pool-tpool", "0", &format!("set_transaction_id {count} {}", count + 7)]);
    let said = store.heal().unwrap();
    assert!(said.len() == 1 && said[0].contains("older copy"), "{said:?}");
    run("dmsetup", &["message", "vg0-pool-tpool", "0", &format!("set_transaction_id {} {count}", count + 7)]);
    probe_works(&store);
}

fn mounted_elsewhere() {
    let store = open();
    let base = base(&store);
    let layer = name("node-1-0+1");
    store.snapshot(&base, &layer, Role::Layer).unwrap();
    store.publish(&layer, None).unwrap();
    std::fs::create_dir_all("/mnt/running").unwrap();
    run("mount", &["/dev/mapper/vg0-node--1--0+1", "/mnt/running"]);
    std::fs::write("/mnt/running/f", "fresh").unwrap();
    let shown = store.mount(&layer, Access::Inspect).unwrap();
    assert_eq!(std::fs::read_to_string(shown.path().join("f")).unwrap(), "fresh");
    let error = std::fs::write(shown.path().join("f"), "x").unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ReadOnlyFilesystem);
    shown.finish().unwrap();
    let error = store.mount(&layer, Access::WriteLayer).unwrap_err();
    assert!(error.kind == ErrorKind::Busy && error.why.contains("/mnt/running"), "{error}");
    std::fs::write("/mnt/running/f", "still writable").unwrap();
    run("umount", &["/mnt/running"]);
}

fn adoption() {
    let store = open();
    run("lvcreate", &["-q", "-V", "64M", "-T", "vg0/pool", "-n", "root"]);
    run("mkfs.ext4", &["-q", "-O", "metadata_csum,^metadata_csum_seed", "/dev/vg0/root"]);
    std::fs::create_dir_all("/mnt/root").unwrap();
    run("mount", &["/dev/vg0/root", "/mnt/root"]);
    std::fs::write("/mnt/root/f", "of the host").unwrap();
    assert_eq!(store.mount(&name("root"), Access::Inspect).unwrap_err().kind, ErrorKind::Refused);
    assert_eq!(store.create(&new("root", Role::Shared)).unwrap_err().kind, ErrorKind::Refused);
    let (base, layer) = (name("node-1-0"), name("node-1-0+1"));
    assert_eq!(store.adopt("root", &base, Role::Base).unwrap(), Ensured::Done);
    assert_eq!(store.adopt("root", &base, Role::Base).unwrap(), Ensured::Already);
    // Although the original is mounted: device-mapper froze it for the snapshot, which closes the journal.
    store.publish(&base, Some(DIGEST)).unwrap();
    store.snapshot(&base, &layer, Role::Layer).unwrap();
    let shown = store.mount(&layer, Access::Inspect).unwrap();
    assert_eq!(std::fs::read_to_string(shown.path().join("f")).unwrap(), "of the host");
    shown.finish().unwrap();

    // The root itself becomes a layer where it is, and nothing but its tags changes.
    let adopted = name("node-1-0+2");
    let before = field("lv_attr,lv_uuid,lv_size", "vg0/root");
    assert_eq!(store.adopt("root", &adopted, Role::Layer).unwrap(), Ensured::Done);
    assert_eq!(store.adopt("root", &adopted, Role::Layer).unwrap(), Ensured::Already);
    assert_eq!(store.adopt("root", &name("node-1-0+3"), Role::Layer).unwrap_err().kind, ErrorKind::Refused);
    assert_eq!(field("lv_attr,lv_uuid,lv_size", "vg0/root"), before);
    let volumes = store.survey().unwrap().volumes;
    let found = volumes.iter().find(|volume| volume.name == adopted).unwrap();
    assert_eq!((found.role, found.phase), (Role::Layer, Phase::Ready));
    assert_eq!(volumes.iter().find(|volume| volume.name == base).unwrap().origin, Some(adopted.clone()));
    assert_eq!(store.kernel_root(&adopted).unwrap(), "root=/dev/mapper/vg0-root rd.lvm.lv=vg0/root");
    let shown = store.mount(&adopted, Access::Inspect).unwrap();
    assert_eq!(std::fs::read_to_string(shown.path().join("f")).unwrap(), "of the host");
    shown.finish().unwrap();
    let frozen = name("frozen.1.0000");
    store.snapshot(&adopted, &frozen, Role::Frozen).unwrap();
    store.remove(&frozen).unwrap();
    assert_eq!(store.let_go(&layer).unwrap_err().kind, ErrorKind::Refused);
    assert_eq!(store.let_go(&adopted).unwrap(), Ensured::Done);
    assert_eq!(store.let_go(&adopted).unwrap(), Ensured::Already);
    assert_eq!(field("lv_attr,lv_uuid,lv_size,lv_tags", "vg0/root").trim(), before.trim());
    assert_eq!(LvmThinStore::foreign(VG, "pool").unwrap(), [Foreign { lv: "root".into(), tags: Vec::new() }]);

    // A base of the name that the volume it is made from has, as imgbased's do.
    run("lvrename", &["-q", "vg0", "root", "old-1-0"]);
    let own = name("old-1-0");
    store.adopt("old-1-0", &own, Role::Base).unwrap();
    store.publish(&own, Some(DIGEST)).unwrap();
    assert_eq!(field("lv_tags", "vg0/old-1-0"), "");
    let shown = store.mount(&own, Access::Inspect).unwrap();
    assert_eq!(std::fs::read_to_string(shown.path().join("f")).unwrap(), "of the host");
    shown.finish().unwrap();
    store.withdraw(&own).unwrap();
    store.remove(&own).unwrap();
    run("umount", &["/mnt/root"]);
    run("lvremove", &["-q", "-f", "-y", "vg0/old-1-0"]);
}

fn cuts() {
    let fresh = || -> Box<dyn Store> { Box::new(open()) };
    let reboot = |_| -> Box<dyn Store> {
        // What a cut at a fault point leaves on disk, seen after a boot: nothing active.
        run("vgchange", &["-an", VG]);
        Box::new(open())
    };
    let cuts = conformance::store_cuts(&Bed { fresh: &fresh, reboot: &reboot }, 1);
    assert!(cuts > 10, "only {cuts} cuts");
}

fn init() {
    assert_eq!(field("lv_when_full", "vg0/pool"), "queue");
    LvmThinStore::init(VG, "pool").unwrap();
    let store = LvmThinStore::init(VG, "pool").unwrap();
    assert_eq!(field("lv_when_full", "vg0/pool"), "error");
    let records = Volume {
        name: name("thinroot"),
        role: Role::Records,
        phase: Phase::Ready,
        origin: None,
        image_digest: None,
        fs: FsKind::Ext4,
        size_bytes: 256 << 20,
        used_bytes: None,
    };
    let found: Vec<Volume> = store.survey().unwrap().volumes;
    assert_eq!(found.into_iter().map(|v| Volume { used_bytes: None, ..v }).collect::<Vec<_>>(), [records]);
    let one = store.mount(&name("thinroot"), Access::WriteLayer).unwrap();
    let two = store.mount(&name("thinroot"), Access::WriteLayer).unwrap();
    std::fs::write(two.path().join("f"), "x").unwrap();
    two.finish().unwrap();
    assert!(one.path().join("f").exists());
    one.finish().unwrap();
    assert_eq!(LvmThinStore::open("nobody", "pool").unwrap_err().kind, ErrorKind::Failed);
    assert_eq!(LvmThinStore::open(VG, "thinroot").unwrap_err().kind, ErrorKind::Refused);
}

fn full_pool() {
    let store = open();
    let big = NewVolume { size_bytes: 2 << 30, ..new("var", Role::Shared) };
    store.create(&big).unwrap();
    let mounted = store.mount(&big.name, Access::WriteLayer).unwrap();
    let chunk = vec![0xa5; 8 << 20];
    let mut file = std::fs::File::create(mounted.path().join("f")).unwrap();
    // Buffered writes succeed beyond the pool's 800 MiB, in part: that is why every mount ends in a sync.
    let written = (0..110).take_while(|_| std::io::Write::write_all(&mut file, &chunk).is_ok()).count();
    drop(file);
    let error = mounted.finish().unwrap_err();
    assert!(error.why.contains("is lost"), "{written} chunks written: {error}");
    let findings = store.survey().unwrap().findings;
    assert!(findings.iter().any(|finding| finding.contains("data of pool pool is")), "{findings:?}");
    assert!(!Path::new("/proc/self/mountinfo").exists() || !mounts().contains("/var."));
    store.remove(&big.name).unwrap();
    probe_works(&store);
}

fn mounts() -> String {
    std::fs::read_to_string("/proc/self/mountinfo").unwrap()
}

/// Each disk alone: whatever state it is in, after healing it works, and what is ready is whole.
fn replayed() {
    for letter in 'a'..='h' {
        let disk = format!("/dev/ubd{letter}");
        if !Path::new(&disk).exists() {
            continue;
        }
        let only =
            format!("devices {{ scan=[\"/dev\"] use_devicesfile=0 global_filter=[\"a|^{disk}$|\",\"r|.*|\"] }}\n");
        let quiet = "activation { udev_sync=0 udev_rules=0 verify_udev_operations=0 monitoring=0 }\n";
        std::fs::write("/etc/lvm/lvmlocal.conf", only + quiet).unwrap();
        let store = open();
        let done = store.heal().unwrap();
        let left: Vec<String> = store.survey().unwrap().volumes.iter().map(|v| v.name.as_str().to_string()).collect();
        eprintln!("{disk}: healed {done:?}, left {left:?}");
        probe_works(&store);
        let (base, layer) = (name("node-1-0"), name("node-1-0+1"));
        store.snapshot(&base, &layer, Role::Layer).unwrap();
        store.mount(&layer, Access::WriteLayer).unwrap().finish().unwrap();
        run("vgchange", &["-an", VG]);
    }
}
