//! What is changed between staging and restart arrives in the staged layer.

use thinroot_testkit::bench::Bench;

const PROGRAM: &str = env!("CARGO_BIN_EXE_thinroot");
const OLD: &str = "node-1-0+1";
const NEW: &str = "node-2-0+1";

fn staged() -> Bench {
    let bench = Bench::with_layer(PROGRAM);
    let script = "busybox sed -i s/last=/last=mine/ /etc/conf; echo one > /etc/local; echo gone > /etc/dropped
                  busybox mkdir /etc/dir; echo a > /etc/dir/a; busybox ln /etc/dir/a /etc/dir/b";
    assert_eq!(bench.edit(OLD, script).code, 0);
    assert_eq!(bench.run(&format!("update {}", bench.image(2, "theirs"))).code, 0);
    bench
}

fn read(bench: &Bench, path: &str) -> String {
    bench.edit(NEW, &format!("busybox cat {path}")).stdout
}

#[test]
fn edits_between_staging_and_restart_arrive() {
    let bench = staged();
    let run = bench.run("state catch-up");
    assert_eq!((run.code, run.stdout.contains("nothing was changed in")), (0, true), "{run:?}");
    let script =
        "busybox sed -i s/^b$/B/ /etc/conf; echo two > /etc/local; busybox rm /etc/dropped; echo new > /etc/late
                  busybox chmod 640 /etc/late; echo aa > /etc/dir/a; busybox ln -s late /etc/link";
    assert_eq!(bench.edit(OLD, script).code, 0);
    let (code, caught) = bench.json("state catch-up");
    assert_eq!((code, caught["layer"].as_str(), caught["skipped"].as_array().map(Vec::len)), (0, Some(NEW), Some(0)));
    let paths: Vec<_> = caught["edits"].as_array().unwrap().iter().map(|edit| edit["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["etc/conf", "etc/dir/a", "etc/dir/b", "etc/dropped", "etc/late", "etc/link", "etc/local"]);
    assert_eq!(read(&bench, "/etc/conf"), "first=theirs\na\nB\nc\nd\nlast=mine\n");
    assert_eq!(read(&bench, "/etc/local"), "two\n");
    assert_eq!(read(&bench, "/etc/link"), "new\n");
    let look = bench.edit(NEW, "test ! -e /etc/dropped && busybox stat -c '%a %h' /etc/late /etc/dir/a /etc/dir/b");
    assert_eq!(look.stdout, "640 1\n644 2\n644 2\n");
    // It is still armed, the records say what was decided in the end, and nothing is left to do.
    let (_, status) = bench.json("status");
    assert_eq!(status["armed"], serde_json::json!({"layer": NEW, "tries_left": 3}));
    assert!(bench.run("state show").stdout.contains("/etc/late: added here"));
    assert!(bench.run("state catch-up").stdout.contains("nothing was changed"));
    assert_eq!(bench.run("check").code, 0);
    // Undo goes back to what the image ships.
    assert_eq!(bench.run("state undo /etc/conf /etc/late").code, 0);
    assert_eq!(read(&bench, "/etc/conf"), "first=theirs\na\nb\nc\nd\nlast=\n");
    assert_eq!(bench.edit(NEW, "test ! -e /etc/late").code, 0);
}

#[test]
fn what_was_changed_in_the_staged_layer_stays() {
    let bench = staged();
    assert_eq!(bench.edit(NEW, "echo staged > /etc/local").code, 0);
    assert_eq!(bench.edit(OLD, "echo two > /etc/local; echo new > /etc/late").code, 0);
    let (code, caught) = bench.json("state catch-up");
    assert_eq!((code, &caught["skipped"]), (4, &serde_json::json!(["etc/local"])));
    assert_eq!((read(&bench, "/etc/local").as_str(), read(&bench, "/etc/late").as_str()), ("staged\n", "new\n"));
    // Asked again it says the same, and does nothing.
    let (code, caught) = bench.json("state catch-up");
    assert_eq!(
        (code, caught["changed"].as_bool(), &caught["skipped"]),
        (4, Some(false), &serde_json::json!(["etc/local"]))
    );
}

#[test]
fn a_clash_after_staging_is_a_conflict_like_any_other() {
    let bench = staged();
    assert_eq!(bench.edit(OLD, "busybox sed -i s/first=/first=late/ /etc/conf").code, 0);
    assert_eq!(bench.run("state catch-up").code, 0);
    assert_eq!(read(&bench, "/etc/conf"), "first=late\na\nb\nc\nd\nlast=mine\n");
    assert!(bench.run("state conflicts").stdout.contains("/etc/conf"), "the image's version lost");
    assert_eq!(bench.run("state resolve /etc/conf --theirs").code, 0);
    assert_eq!(read(&bench, "/etc/conf"), "first=theirs\na\nb\nc\nd\nlast=\n");
}

#[test]
fn where_nothing_waits_nothing_is_done_and_a_failure_is_told() {
    let bench = staged();
    let nothing = |why: &str| {
        let run = bench.run("state catch-up");
        assert!(run.code == 0 && run.stdout.contains(why), "{why}: {run:?}");
    };
    assert_eq!(bench.edit(OLD, "echo two > /etc/local").code, 0);
    let before = bench.portrait();
    assert_eq!(bench.run("state catch-up --limit 0").code, 1);
    let (_, status) = bench.json("status");
    let told = status["findings"].to_string();
    assert!(told.contains("node-2-0+1 lacks what was changed here after it was staged: "), "{told}");
    let mut after = bench.portrait();
    after.retain(|path, _| path.file_name().is_none_or(|name| name != "missed.json"));
    assert_eq!(after, before, "nothing else was touched");
    assert_eq!(bench.run("state catch-up").code, 0);
    assert!(!bench.json("status").1["findings"].to_string().contains("lacks"));
    // A layer that has run is never changed.
    assert_eq!(bench.run("bless").code, 0);
    nothing("no layer waits");
    assert_eq!(bench.run("rollback").code, 0);
    nothing("was not carried from");
}

#[test]
fn a_layer_that_is_armed_later_is_caught_up_with_too_until_it_may_have_run() {
    let bench = Bench::with_layer(PROGRAM);
    assert_eq!(bench.run(&format!("update --stage-only {}", bench.image(2, "theirs"))).code, 0);
    assert_eq!(bench.edit(OLD, "echo two > /etc/local").code, 0);
    let nothing = |why: &str| {
        let run = bench.run("state catch-up");
        assert!(run.code == 0 && run.stdout.contains(why), "{why}: {run:?}");
    };
    nothing("no layer waits");
    assert_eq!(bench.run(&format!("rollback --to {NEW}")).code, 0);
    assert_eq!(bench.json("state catch-up").1["edits"][0]["path"], "etc/local");
    assert_eq!(read(&bench, "/etc/local"), "two\n");
    nothing("nothing was changed");
    assert_eq!(bench.run(&format!("rollback --to {OLD}")).code, 0);
    assert_eq!(bench.run(&format!("rollback --to {NEW}")).code, 0);
    nothing("has been armed before");
}
