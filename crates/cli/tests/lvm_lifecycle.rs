//! Goal: the real program, on real lvm2 and dm-thin, from an empty pool through updates and back, as an admin uses it.
//!
//! Runs inside the test kernel only; see the lab for its disks. Every test begins with empty disks.

use std::fs;
use std::io::{Read, Seek, SeekFrom, Write};
use std::process::Stdio;

use serde_json::{Value, json};
use thinroot_testkit::lab::{Lab, Sizes, in_test_kernel, shell, tool};

const SIZES: Sizes = Sizes { disk_mib: 1536, pool_mib: 1024, metadata_mib: 8, boot_mib: None };

fn lab() -> Lab {
    Lab::new(env!("CARGO_BIN_EXE_thinroot"), SIZES)
}

/// A plain and a thin volume that are not ours, each with content of its own.
fn add_foreigners() {
    shell(
        "lvcreate -qq -y -L 16m -n plain vg0 >/dev/null; lvcreate -qq -y -V 64m -T vg0/pool -n thin >/dev/null
         for lv in plain thin; do echo $lv > /dev/vg0/$lv; done; sync",
    );
}

fn foreigners() -> String {
    let rows = tool("lvs", &["--noheadings", "-o", "lv_name,lv_attr,lv_tags,lv_size", "vg0/plain", "vg0/thin"]);
    let kept: String = rows.lines().map(|row| row.split_whitespace().collect::<Vec<_>>().join(" ") + "\n").collect();
    kept + &shell("head -c 1048576 /dev/vg0/plain | sha256sum; head -c 1048576 /dev/vg0/thin | sha256sum")
}

/// Names and marks of bases and layers, and what boots: the part of `status` that does not depend on sizes.
fn summary(lab: &Lab) -> Value {
    let (_, status) = lab.json("status");
    let names =
        |key: &str| -> Vec<Value> { status[key].as_array().unwrap().iter().map(|item| item["name"].clone()).collect() };
    json!({
        "store": status["store"], "booted": status["booted"], "default": status["default"], "armed": status["armed"],
        "bases": names("bases"), "layers": names("layers"), "findings": status["findings"],
        "last": status["last"]["outcome"],
    })
}

#[test]
fn from_an_empty_pool_through_updates_and_back() {
    if !in_test_kernel() {
        return;
    }
    let lab = lab();
    add_foreigners();
    let foreign = foreigners();
    let (code, init) = lab.json("init");
    let made = json!({"thinroot_init": 1, "store": "lvm:vg0/pool", "changed": true, "layer": null, "adoption": null,
        "plan": null, "findings": []});
    assert_eq!((code, init), (0, made));
    assert_eq!(tool("lvs", &["--noheadings", "-o", "lv_when_full", "vg0/pool"]).trim(), "error");
    let image = lab.image(1, 4);
    lab.ok(&format!("base add {image}"));
    assert_eq!(tool("lvs", &["--noheadings", "-o", "lv_attr", "vg0/node-1-0"]).trim(), "Vri---t--k");
    assert_eq!(lab.run("base verify node-1-0").code, 0);

    let before = lab.pool_used_bytes();
    lab.ok("layer fork node-1-0");
    let cost = lab.pool_used_bytes() - before;
    assert!(cost < 1 << 20, "a layer cost {cost} bytes of the pool");
    let edit = "echo mine > /etc/local; busybox sed -i s/last=/last=mine/ /etc/conf; busybox rm /etc/unwanted";
    assert_eq!(lab.edit("node-1-0+1", edit).code, 0);
    let (base, old) = (lab.listing("node-1-0"), lab.listing("node-1-0+1"));

    let image = lab.image(2, 4);
    let state = lab.state();
    assert_eq!(lab.run(&format!("update --check {image}")).code, 10);
    let plan = lab.ok(&format!("update --plan {image}"));
    for line in
        ["create base node-2-0 as a snapshot of node-1-0\n", "state: 2 carried, 1 merged, 0 conflicts, 0 to note\n"]
    {
        assert!(plan.stdout.contains(line), "{line}{}", plan.stdout);
    }
    assert_eq!(lab.state(), state, "a plan touches nothing");
    lab.ok(&format!("update {image}"));
    let staged = json!({
        "store": "lvm-thin", "booted": null, "default": "node-1-0+1",
        "armed": {"layer": "node-2-0+1", "tries_left": 3},
        "bases": ["node-1-0", "node-2-0"], "layers": ["node-1-0+1", "node-2-0+1"], "findings": [], "last": "done",
    });
    assert_eq!(summary(&lab), staged);
    let merged = lab.edit("node-2-0+1", "busybox cat /etc/local /etc/conf; busybox test ! -e /etc/unwanted");
    assert_eq!((merged.code, merged.stdout.as_str()), (0, "mine\nfirst=2\na\nb\nc\nd\nlast=mine\n"));
    assert_eq!((lab.listing("node-1-0"), lab.listing("node-1-0+1")), (base, old.clone()));
    assert_eq!(
        lab.ok(&format!("update {image}")).stdout,
        "nothing to do: node-2-0 is staged and armed already: node-2-0+1\n"
    );

    lab.ok("bless");
    lab.ok(&format!("update {}", lab.image(3, 4)));
    lab.ok("rollback");
    assert_eq!((summary(&lab)["default"].clone(), summary(&lab)["armed"].clone()), (json!("node-2-0+1"), json!(null)));
    // The first layer is still what a rollback goes to; once the third is good, it is not.
    assert_eq!(lab.ok("prune --keep 1 --plan").stdout, "nothing to remove\n");
    lab.ok("rollback --to node-3-0+1");
    lab.ok("bless");
    let prune = lab.ok("prune --keep 1 --plan");
    assert!(prune.stdout.contains("node-1-0+1"), "{}", prune.stdout);
    lab.ok("prune --keep 1");
    assert!(!lab.volumes().contains(&"node-1-0+1".to_string()), "{:?}", lab.volumes());
    assert_eq!(foreigners(), foreign);
    lab.assert_sound();
}

#[test]
fn a_flipped_byte_of_a_base_is_found_and_named() {
    if !in_test_kernel() {
        return;
    }
    let lab = lab().with_layer("144M");
    assert_eq!(lab.json("base verify node-1-0").0, 0);
    let conf = shell(
        "lvchange -qq -ay -K vg0/node-1-0; debugfs -R 'blocks /etc/conf' /dev/vg0/node-1-0 2>/dev/null
         lvchange -qq -an vg0/node-1-0; lvchange -qq -prw vg0/node-1-0; lvchange -qq -ay -K vg0/node-1-0",
    );
    let at = conf.split_whitespace().next().unwrap().parse::<u64>().unwrap() * 4096;
    let mut device = fs::File::options().read(true).write(true).open("/dev/vg0/node-1-0").unwrap();
    let mut byte = [0];
    device.seek(SeekFrom::Start(at)).and_then(|_| device.read_exact(&mut byte)).unwrap();
    device.seek(SeekFrom::Start(at)).and_then(|_| device.write_all(&[byte[0] ^ 1])).unwrap();
    device.sync_all().unwrap();
    drop(device);
    shell("lvchange -qq -an vg0/node-1-0; lvchange -qq -pr vg0/node-1-0");
    let (code, found) = lab.json("base verify node-1-0");
    assert_eq!(code, 1, "{found}");
    let chunk = format!("64 KiB at byte {} of the volume", at >> 16 << 16);
    let text = found.to_string();
    assert!(text.contains(&chunk) && text.contains("/etc/conf"), "{chunk}: {text}");
}

#[test]
fn a_second_run_is_told_that_the_store_is_busy() {
    if !in_test_kernel() {
        return;
    }
    let lab = lab().with_layer("144M");
    let script = "echo inside; read line";
    let mut first = lab.command(&["layer", "shell", "node-1-0+1", "--", "/bin/sh", "-c", script]);
    let mut first = first.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut said = [0; 7];
    first.stdout.as_mut().unwrap().read_exact(&mut said).unwrap();
    assert_eq!(&said, b"inside\n");
    let state = lab.boot_listing();
    for line in ["layer fork node-1-0", "prune", "rollback", "resume"] {
        let run = lab.run(line);
        assert_eq!(run.code, 5, "{line}: {run:?}");
    }
    assert_eq!(lab.json("status").0, 0, "reading needs no lock");
    assert_eq!(lab.boot_listing(), state);
    first.stdin.take().unwrap().write_all(b"\n").unwrap();
    assert!(first.wait().unwrap().success());
    lab.ok("layer fork node-1-0");
    lab.assert_sound();
}

#[test]
#[ignore = "nightly: three minutes in the test kernel"]
fn an_xfs_base_is_updated_as_well() {
    if !in_test_kernel() {
        return;
    }
    let lab = lab();
    lab.ok("init");
    let image = lab.image(1, 4);
    lab.ok(&format!("base add {image} --fs xfs --size 320M"));
    lab.ok("layer fork node-1-0");
    assert_eq!(lab.edit("node-1-0+1", "echo mine > /etc/local").code, 0);
    lab.ok(&format!("update {}", lab.image(2, 4)));
    let merged = lab.edit("node-2-0+1", "busybox head -n 1 /etc/local /etc/conf");
    assert_eq!(merged.stdout, "==> /etc/local <==\nmine\n\n==> /etc/conf <==\nfirst=2\n");
    for base in ["node-1-0", "node-2-0"] {
        assert_eq!(lab.json(&format!("base verify {base}")).0, 0);
    }
    shell("vgchange -qq -ay -K vg0; xfs_repair -n /dev/vg0/node-2-0 2>&1; xfs_repair -n /dev/vg0/node-2-0+1 2>&1");
    lab.assert_sound();
}
