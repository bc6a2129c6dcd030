//! Kernel arguments survive updates: those asked for, and those put into an entry by hand.

use std::fs;
use std::path::PathBuf;

use serde_json::json;
use thinroot_testkit::bench::Bench;

const PROGRAM: &str = env!("CARGO_BIN_EXE_thinroot");

fn image(bench: &Bench, version: u32, arguments: &str) -> String {
    bench.image_with(version, "", |root| {
        fs::create_dir_all(root.join("etc/kernel")).unwrap();
        fs::write(root.join("etc/kernel/cmdline"), format!("{arguments}\n")).unwrap();
    })
}

fn with_layer(arguments: &str) -> Bench {
    let bench = Bench::new(PROGRAM);
    let first = image(&bench, 1, arguments);
    for line in ["init", &format!("base add {first} --size 160M"), "layer fork node-1-0"] {
        assert_eq!(bench.run(line).code, 0, "{line}");
    }
    bench
}

fn entry(bench: &Bench, layer: &str) -> PathBuf {
    let dir = bench.path("store/boot/loader/entries");
    let of_layer = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().starts_with(layer);
    fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).find(of_layer).unwrap()
}

/// The arguments in the entry of a layer, behind those that name its root.
fn arguments(bench: &Bench, layer: &str) -> String {
    let text = fs::read_to_string(entry(bench, layer)).unwrap();
    let options = text.lines().find_map(|line| line.strip_prefix("options ")).unwrap();
    options.split_once(&format!("thinroot.layer={layer}")).unwrap().1.trim().to_string()
}

fn edit_by_hand(bench: &Bench, layer: &str, old: &str, new: &str) {
    let path = entry(bench, layer);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(old), "{text}");
    fs::write(path, text.replacen(old, new, 1)).unwrap();
}

#[test]
fn wishes_and_edits_by_hand_outlive_updates_and_going_back() {
    let bench = with_layer("quiet console=tty0");
    assert_eq!(arguments(&bench, "node-1-0+1"), "quiet console=tty0");
    assert_eq!(bench.run("kargs add nosmt console=ttyS0").code, 0);
    assert_eq!(bench.run("kargs remove quiet").code, 0);
    // Nothing that boots today is touched.
    assert_eq!(arguments(&bench, "node-1-0+1"), "quiet console=tty0");
    edit_by_hand(&bench, "node-1-0+1", "console=tty0", "hugepages=4");
    let (code, shown) = bench.json("kargs show");
    let by_hand = json!([{"remove": "console=tty0"}, {"add": "hugepages=4"}]);
    let wishes = json!([{"add": "nosmt"}, {"add": "console=ttyS0"}, {"remove": "quiet"}]);
    assert_eq!((code, &shown["by_hand"], &shown["wishes"]), (0, &by_hand, &wishes));
    let next = "hugepages=4 nosmt console=ttyS0";
    assert_eq!(shown["next"], next);
    assert_eq!(bench.run(&format!("update {}", image(&bench, 2, "quiet console=tty0"))).code, 0);
    assert_eq!(arguments(&bench, "node-2-0+1"), next);
    assert_eq!(bench.run("bless").code, 0);
    // Once more with other arguments of the image, one of them wished for: nothing is there twice, nothing is lost.
    edit_by_hand(&bench, "node-2-0+1", " nosmt", " nosmt iommu=on");
    assert_eq!(bench.run(&format!("update {}", image(&bench, 3, "console=tty0 audit=1 nosmt"))).code, 0);
    assert_eq!(arguments(&bench, "node-3-0+1"), "audit=1 nosmt hugepages=4 iommu=on console=ttyS0");
    assert_eq!(bench.run("bless").code, 0);
    // A copy of the old layer gets what is there now.
    assert_eq!(bench.run("rollback --carry-state").code, 0);
    assert_eq!(arguments(&bench, "node-2-0+2"), "hugepages=4 iommu=on nosmt console=ttyS0");
    // Taking wishes back leaves what was done by hand.
    assert_eq!(bench.run("kargs reset").code, 0);
    assert_eq!(bench.json("kargs show").1["next"], "audit=1 nosmt hugepages=4 iommu=on");
    assert_eq!(bench.run("check").code, 0);
}

#[test]
fn what_is_no_argument_or_names_another_root_is_refused_before_anything_is_kept() {
    let bench = with_layer("quiet");
    for (words, why) in [
        (&["kargs", "add", "root=/dev/sda"][..], "is set by thinroot itself"),
        (&["kargs", "add", "a b"], "is not one kernel argument"),
        (&["kargs", "add", "fine", "thinroot.layer=x"], "is set by thinroot itself"),
        (&["kargs", "add", &"x".repeat(2100)], "the kernel takes 2047"),
    ] {
        let out = bench.command(words).output().unwrap();
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!((out.status.code(), said.contains(why)), (Some(2), true), "{words:?}: {said}");
    }
    assert_eq!(bench.json("kargs show").1["wishes"], json!([]));
    // A root that was changed by hand is told, and stays behind.
    edit_by_hand(&bench, "node-1-0+1", "root=", "root=/dev/sda oldroot=");
    assert_eq!(bench.run("kargs show").code, 4);
    let update = bench.run(&format!("update {}", image(&bench, 2, "quiet")));
    assert!(update.code == 4 && update.stdout.contains("are not carried"), "{update:?}");
    assert_eq!(arguments(&bench, "node-2-0+1"), "quiet");
    // Nothing to look at.
    assert_eq!(Bench::new(PROGRAM).run("kargs show").code, 3);
}
