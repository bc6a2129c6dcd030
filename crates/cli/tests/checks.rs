//! The new image's own checkers are asked about what was merged.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use thinroot_testkit::bench::{Bench, Run};

const PROGRAM: &str = env!("CARGO_BIN_EXE_thinroot");

/// Refuses a configuration with both `mine` and `theirs` in it, and any with `never`.
const CHECKER: &str = "#!/bin/sh
busybox grep -q never /etc/conf && { echo 'never is no value'; exit 1; }
busybox grep -q mine /etc/conf && busybox grep -q theirs /etc/conf && { echo 'mine and theirs together'; exit 1; }
exit 0
";

struct Case {
    bench: Bench,
    update: Run,
}

/// An admin's edit, updated to an image with this description of its checker.
fn updated(edit: &str, validator: &str, checker: &str) -> Case {
    let bench = Bench::with_layer(PROGRAM);
    assert_eq!(bench.edit("node-1-0+1", edit).code, 0);
    let image = bench.image_with(2, "theirs", |root| {
        fs::create_dir_all(root.join("usr/lib/thinroot/validators.d")).unwrap();
        fs::write(root.join("usr/lib/thinroot/validators.d/conf.validator"), validator).unwrap();
        fs::write(root.join("usr/bin/check-conf"), checker).unwrap();
        fs::set_permissions(root.join("usr/bin/check-conf"), fs::Permissions::from_mode(0o755)).unwrap();
    });
    let update = bench.run(&format!("update {image}"));
    Case { bench, update }
}

const VALIDATOR: &str = "path /etc/conf\nrun /usr/bin/check-conf\n";
const MINE: &str = "busybox sed -i s/last=/last=mine/ /etc/conf";

fn conf(case: &Case) -> String {
    case.bench.edit("node-2-0+1", "busybox cat /etc/conf").stdout
}

#[test]
fn a_merge_that_is_taken_is_recorded_as_good() {
    let case = updated("busybox sed -i s/last=/last=fine/ /etc/conf", VALIDATOR, CHECKER);
    assert_eq!(case.update.code, 0, "{:?}", case.update);
    assert_eq!(conf(&case), "first=theirs\na\nb\nc\nd\nlast=fine\n");
    let line = "checks of the new image (1)\n  conf: /usr/bin/check-conf: good\n";
    assert!(case.update.stdout.contains(line), "{:?}", case.update);
    assert!(case.bench.run("state show").stdout.contains(line));
}

#[test]
fn a_merge_that_is_refused_becomes_what_this_host_had() {
    let case = updated(MINE, VALIDATOR, CHECKER);
    assert_eq!(case.update.code, 4, "{:?}", case.update);
    assert_eq!(conf(&case), "first=\na\nb\nc\nd\nlast=mine\n");
    let said = "refused what was merged, so this host's version stands: mine and theirs together";
    assert!(case.update.stdout.contains(said), "{:?}", case.update);
    assert!(case.bench.run("state conflicts").stdout.contains("is refused by the check conf"));
    // The other side can still be had.
    assert_eq!(case.bench.run("state resolve /etc/conf --theirs").code, 0);
    assert_eq!(conf(&case), "first=theirs\na\nb\nc\nd\nlast=\n");
}

#[test]
fn what_the_new_version_does_not_take_at_all_stops_the_update() {
    for (edit, validator) in [
        ("busybox sed -i s/last=/last=never/ /etc/conf", VALIDATOR.to_string()),
        (MINE, format!("{VALIDATOR}on-failure block\n")),
    ] {
        let case = updated(edit, &validator, CHECKER);
        assert_eq!(case.update.code, 1, "{:?}", case.update);
        assert!(case.update.stderr.contains("of the new image refuses it: "), "{:?}", case.update);
        let (_, status) = case.bench.json("status");
        assert_eq!(status["layers"].as_array().unwrap().len(), 1, "{status}");
        assert_eq!(status["armed"], serde_json::Value::Null);
        assert_eq!(case.bench.run("check").code, 0);
    }
}

#[test]
fn what_is_only_told_and_what_was_so_before_stop_nothing() {
    let told = updated(MINE, &format!("{VALIDATOR}on-failure report\n"), CHECKER);
    assert_eq!(told.update.code, 4, "{:?}", told.update);
    assert!(told.update.stdout.contains("refuses what was merged: mine and theirs together"), "{:?}", told.update);
    assert_eq!(conf(&told), "first=theirs\na\nb\nc\nd\nlast=mine\n");
    let grumbler = updated(MINE, VALIDATOR, "#!/bin/sh\necho always bad; exit 2\n");
    assert_eq!(grumbler.update.code, 0, "{:?}", grumbler.update);
    assert!(grumbler.update.stdout.contains("refuses the image as it was shipped too"), "{:?}", grumbler.update);
    let slow = updated(MINE, &format!("{VALIDATOR}limit 1\n"), "#!/bin/sh\nwhile true; do :; done\n");
    assert_eq!(slow.update.code, 4, "{:?}", slow.update);
    assert!(slow.update.stdout.contains("could not say"), "{:?}", slow.update);
    let bad = updated(MINE, "path /etc/conf\nrun check-conf\n", CHECKER);
    assert_eq!(bad.update.code, 3, "{:?}", bad.update);
    assert!(bad.update.stderr.contains("conf:2: 'check-conf' is not a program"), "{:?}", bad.update);
}

#[test]
fn what_is_changed_after_staging_is_checked_too() {
    let case = updated(MINE, VALIDATOR, CHECKER);
    let catch_up = |edit: &str, code: i32| {
        assert_eq!(case.bench.edit("node-1-0+1", edit).code, 0);
        let run = case.bench.run("state catch-up");
        assert_eq!(run.code, code, "{run:?}");
        assert_eq!(case.bench.run("check").code, 0);
        let (_, status) = case.bench.json("status");
        assert_eq!(status["armed"]["layer"], "node-2-0+1", "{status}");
        run
    };
    // What was refused while staging is not put back by making the merge again.
    let run = catch_up("true", 0);
    assert!(run.stdout.contains("nothing was changed"), "{run:?}");
    // A later edit of it arrives; the merge of both is still refused.
    let run = catch_up("busybox sed -i s/^b$/B/ /etc/conf; echo late > /etc/late", 4);
    assert!(run.stdout.contains("so this host's version was taken: mine and theirs together"), "{run:?}");
    assert!(catch_up("true", 0).stdout.contains("nothing was changed"));
    assert_eq!(conf(&case), "first=\na\nB\nc\nd\nlast=mine\n");
    // One that is taken is merged.
    catch_up("busybox sed -i s/last=mine/last=fine/ /etc/conf", 0);
    assert_eq!(conf(&case), "first=theirs\na\nB\nc\nd\nlast=fine\n");
    // One that is refused whatever is done stays away, and the rest arrives.
    let run = catch_up("busybox sed -i s/last=fine/last=never/ /etc/conf; echo later > /etc/late", 4);
    assert!(run.stdout.contains("/etc/conf") && run.stdout.contains("never is no value"), "{run:?}");
    assert_eq!(conf(&case), "first=theirs\na\nB\nc\nd\nlast=fine\n");
    assert_eq!(case.bench.edit("node-2-0+1", "busybox cat /etc/late").stdout, "later\n");
    let (_, status) = case.bench.json("status");
    assert!(status["findings"].to_string().contains("the check conf of the new image refuses"), "{status}");
    assert_eq!(catch_up("busybox sed -i s/last=never/last=/ /etc/conf", 0).stdout.lines().count(), 2);
    assert_eq!(conf(&case), "first=theirs\na\nB\nc\nd\nlast=\n");
    assert_eq!(case.bench.json("status").1["findings"], serde_json::json!([]));
}
