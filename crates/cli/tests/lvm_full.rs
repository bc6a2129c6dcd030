//! Goal: whatever runs full — the pool's data, its metadata, the boot directory, the record volume — is either refused
//! before anything was touched, or undone; the layer that runs is never the victim, and once there is room an update
//! works.
//!
//! Runs inside the test kernel only. What fills up during an update is filled while the program is stopped at the
//! beginning of a step: its story on stderr says where it is, and a stopped process cannot race.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use thinroot_testkit::lab::{LAB, Lab, Sizes, in_test_kernel, shell, tool};

const SIZES: Sizes = Sizes { disk_mib: 700, pool_mib: 400, metadata_mib: 4, boot_mib: None };

fn lab(sizes: Sizes) -> Lab {
    let lab = Lab::new(env!("CARGO_BIN_EXE_thinroot"), sizes).with_layer("320M");
    lab.image(2, 48);
    shell("lvcreate -qq -y -V 1g -T vg0/pool -n foreign >/dev/null");
    lab
}

const UPDATE: &str = "update tar:/lab/node-2.tar";

/// Refused with these words, and nothing has changed; with room it works.
fn assert_refused(lab: &Lab, words: &str, make_room: &str) {
    let state = lab.state();
    let run = lab.run(UPDATE);
    assert_eq!(run.code, 3, "{run:?}");
    assert!(run.stderr.contains(words), "{words}: {}", run.stderr);
    assert_eq!(lab.state(), state);
    shell(make_room);
    lab.ok(UPDATE);
    lab.assert_sound();
}

/// Begins the update, does `deed` at the beginning of a step, and lets it go on: it fails and is undone; with room it
/// works.
fn assert_undone(lab: &Lab, step: &str, deed: &str, make_room: &str) {
    let state = lab.state();
    let args: Vec<&str> = ["--json"].into_iter().chain(UPDATE.split(' ')).collect();
    let mut child = lab.command(&args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let pid = Pid::from_child(&child);
    let mut story = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    let begins = format!("\"text\":\"{step}");
    while !said.contains(&begins) {
        assert!(story.read_line(&mut said).unwrap() > 0, "{step} did not begin: {said}");
    }
    kill_process(pid, Signal::STOP).unwrap();
    shell(deed);
    kill_process(pid, Signal::CONT).unwrap();
    story.read_to_string(&mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1), "{said}");
    shell(make_room);
    assert_eq!(lab.state(), state, "{said}");
    lab.assert_sound();
    lab.ok(UPDATE);
    lab.assert_sound();
}

/// Fills the pool's data by a volume that is not ours, all but some MiB.
fn fill_pool(lab: &Lab, left_mib: u64) -> String {
    let free = (u64::from(SIZES.pool_mib) << 20) - lab.pool_used_bytes();
    let mib = (free >> 20).saturating_sub(left_mib);
    format!("dd if=/dev/urandom of=/dev/vg0/foreign bs=1M count={mib} oflag=direct status=none || true")
}

const EMPTY_FOREIGN: &str = "blkdiscard -f /dev/vg0/foreign";

#[test]
#[ignore = "nightly: a minute or two in the test kernel"]
fn a_pool_too_small_for_the_update_is_refused_with_numbers() {
    if !in_test_kernel() {
        return;
    }
    let lab = lab(SIZES);
    shell(&fill_pool(&lab, 90));
    assert_refused(&lab, "MiB free and this needs up to", EMPTY_FOREIGN);
}

#[test]
fn a_pool_that_others_fill_during_the_update_undoes_it() {
    if !in_test_kernel() {
        return;
    }
    let lab = lab(SIZES);
    let fill = fill_pool(&lab, 8);
    assert_undone(&lab, "write what differs", &fill, EMPTY_FOREIGN);
}

#[test]
fn pool_metadata_too_full_is_refused() {
    if !in_test_kernel() {
        return;
    }
    let lab = lab(Sizes { metadata_mib: 2, ..SIZES });
    let state = lab.state();
    // The kernel keeps the last tenth for itself and stops the pool there; this ends just before.
    let status = tool("dmsetup", &["status", "vg0-pool-tpool"]);
    let (used, total) = status.split_whitespace().nth(4).and_then(|field| field.split_once('/')).unwrap();
    let count = total.parse::<u32>().unwrap() * 88 / 100 - used.parse::<u32>().unwrap();
    devices("create_thin", count);
    let run = lab.run(UPDATE);
    assert_eq!(run.code, 3, "{run:?}");
    assert!(run.stderr.contains("metadata would be too full"), "{run:?}");
    devices("delete", count);
    assert_eq!(lab.state(), state);
    lab.ok(UPDATE);
    lab.assert_sound();
}

/// Devices that nobody but the pool knows of; each takes a block of its metadata.
fn devices(message: &str, count: u32) {
    shell(&format!(
        "for i in $(seq 10000 $((10000 + {count} - 1))); do dmsetup message vg0-pool-tpool 0 \"{message} $i\"; done"
    ));
}

#[test]
fn a_full_boot_directory_is_refused() {
    if !in_test_kernel() {
        return;
    }
    let lab = lab(Sizes { boot_mib: Some(8), ..SIZES });
    let fill = format!("head -c 32M /dev/zero > {LAB}/boot/fill || true");
    shell(&fill.replace("32M", "5M"));
    fs::remove_file(format!("{LAB}/boot/fill")).unwrap();
    shell(&fill);
    let run = lab.run(UPDATE);
    assert_eq!(run.code, 3, "{run:?}");
    assert!(run.stderr.contains("boot directory"), "{run:?}");
    shell(&format!("rm {LAB}/boot/fill"));
    lab.ok(UPDATE);
    lab.assert_sound();
}

#[test]
#[ignore = "nightly: a minute or two in the test kernel"]
fn a_boot_directory_that_others_fill_during_the_update_undoes_it() {
    if !in_test_kernel() {
        return;
    }
    let lab = lab(Sizes { boot_mib: Some(8), ..SIZES });
    let fill = format!("head -c 32M /dev/zero > {LAB}/boot/fill || true");
    assert_undone(&lab, "publish layer", &fill, &format!("rm {LAB}/boot/fill"));
}

#[test]
#[ignore = "nightly: a minute or two in the test kernel"]
fn a_full_record_volume_is_refused() {
    if !in_test_kernel() {
        return;
    }
    let lab = lab(SIZES);
    let records = |deed: &str| {
        format!("mkdir -p /run/records; mount /dev/vg0/thinroot /run/records; {deed}; umount /run/records")
    };
    // Reserved and not written: the volume is full, the pool is not.
    shell(&records(
        "free=$(df -B1 --output=avail /run/records | tail -1); fallocate -l $((free - 2000000)) /run/records/fill",
    ));
    assert_refused(&lab, "record volume", &records("rm /run/records/fill"));
    assert_eq!(tool("lvs", &["--noheadings", "-o", "lv_health_status", "vg0/pool"]).trim(), "");
}
