//! The real program on a store in a directory: answers, exit codes, and what it leaves behind.
//!
//! Needs root, loop devices and e2fsprogs, like the program itself.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use thinroot_engine::cmd::Cmd;
use thinroot_testkit::bench::{Bench, Run};
use thinroot_testkit::images;

const PROGRAM: &str = env!("CARGO_BIN_EXE_thinroot");

fn with_layer() -> Bench {
    Bench::with_layer(PROGRAM)
}

fn bench() -> Bench {
    Bench::new(PROGRAM)
}

fn strings(value: &Value) -> Vec<&str> {
    value.as_array().expect("a list").iter().map(|item| item.as_str().expect("a text")).collect()
}

#[test]
fn an_update_there_and_back() {
    let bench = with_layer();
    let edited =
        bench.edit("node-1-0+1", "echo mine > /etc/local && busybox sed -i s/last=/last=mine/ /etc/conf && exit 7");
    assert_eq!((edited.code, edited.stdout.as_str()), (7, ""));
    let image = bench.image(2, "new");

    let (code, check) = bench.json(&format!("update --check {image}"));
    assert_eq!((code, check["available"].as_bool(), check["image"].as_str()), (10, Some(true), Some("node-2-0")));

    let before = bench.portrait();
    let plan = bench.run(&format!("update --plan {image}"));
    assert_eq!(plan.code, 0, "{plan:?}");
    for line in [
        "  1. create base node-2-0 as a snapshot of node-1-0\n",
        "  9. arm node-2-0+1 for the next boot, 3 tries  <- from here on it only goes forward\n",
        "state: 1 carried, 1 merged, 0 conflicts, 0 to note\n",
        "  /etc/local: added here\n",
    ] {
        assert!(plan.stdout.contains(line), "{line}{}", plan.stdout);
    }
    assert_eq!(bench.portrait(), before, "a plan touches nothing");

    let update = bench.run(&format!("update {image}"));
    let expected = "\
layer node-2-0+1 is staged
state: 1 carried, 1 merged, 0 conflicts, 0 to note
boot entry of node-2-0+1 armed, 3 tries; go back: thinroot rollback
";
    assert_eq!((update.code, update.stdout.as_str()), (0, expected), "{}", update.stderr);
    assert!(update.stderr.contains("[9/10] arm node-2-0+1 for the next boot, 3 tries\n"), "{}", update.stderr);
    let conf = bench.edit("node-2-0+1", "busybox cat /etc/conf /etc/local");
    assert_eq!(conf.stdout, "first=new\na\nb\nc\nd\nlast=mine\nmine\n");

    let (code, status) = bench.json("status");
    assert_eq!((code, status["thinroot_status"].as_u64()), (0, Some(1)));
    assert_eq!(status["default"], "node-1-0+1");
    assert_eq!(status["armed"], serde_json::json!({"layer": "node-2-0+1", "tries_left": 3}));
    assert_eq!(status["last"]["outcome"], "done");

    let (code, state) = bench.json("state show --path /etc/local");
    assert_eq!((code, state["thinroot_state"].as_u64()), (0, Some(1)));
    let decisions = state["state"]["decisions"].as_array().unwrap();
    assert_eq!(decisions.iter().map(|d| d["path"].as_str().unwrap()).collect::<Vec<_>>(), ["etc/local"]);

    let again = bench.run(&format!("update {image}"));
    assert_eq!(again.code, 0);
    assert_eq!(again.stdout, "nothing to do: node-2-0 is staged and armed already: node-2-0+1\n");
    let back = bench.run("rollback");
    assert_eq!(
        (back.code, back.stdout.as_str()),
        (0, "node-1-0+1 boots next: it is the default, and nothing is armed\n")
    );
    let forward = bench.run("rollback --to node-2-0+1");
    assert_eq!((forward.code, forward.stdout.as_str()), (0, "boot entry of node-2-0+1 armed, 3 tries\n"));
    let blessed = bench.run("bless");
    assert_eq!((blessed.code, blessed.stdout.as_str()), (0, "layer node-2-0+1 is good and the default\n"));
    let check = bench.run("check");
    assert_eq!((check.code, check.stdout.as_str()), (0, "healthy\n"));
}

#[test]
fn update_without_an_image_looks_where_the_last_one_came_from() {
    let bench = with_layer();
    let (code, check) = bench.json("update --check");
    assert_eq!((code, check["available"].as_bool()), (0, Some(false)));
    fs::copy(bench.image(2, "new").strip_prefix("tar:").unwrap(), bench.path("node-1.tar")).unwrap();
    let check = bench.run("update --check --quiet");
    assert_eq!(
        (check.code, check.stdout.as_str(), check.stderr.as_str()),
        (10, "an update to node-2-0 is available\n", "")
    );
}

#[test]
fn staging_arming_later_pinning_and_pruning() {
    let bench = with_layer();
    let staged = bench.run(&format!("update --stage-only {}", bench.image(2, "")));
    assert_eq!(staged.code, 0, "{staged:?}");
    let waits = "node-2-0+1 has a boot entry and is not armed; arm it: thinroot rollback --to node-2-0+1\n";
    assert!(staged.stdout.ends_with(waits), "{}", staged.stdout);
    for line in ["layer fork node-2-0", "layer fork node-2-0+2", "layer pin node-2-0+1"] {
        assert_eq!(bench.run(line).code, 0, "{line}");
    }
    let before = bench.portrait();
    let plan = bench.run("prune --keep 1 --plan");
    assert_eq!(plan.code, 0);
    assert!(plan.stdout.contains("remove layer node-2-0+2\n"), "{}", plan.stdout);
    assert_eq!(bench.portrait(), before, "a plan touches nothing");
    let (code, pruned) = bench.json("prune --keep 1");
    assert_eq!((code, strings(&pruned["removed"])), (0, vec!["layer node-2-0+2"]));
    assert_eq!(bench.run("prune --keep 1").stdout, "nothing to remove\n");
    let (_, layers) = bench.json("layer list");
    let names: Vec<_> = layers["layers"].as_array().unwrap().iter().map(|l| l["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["node-1-0+1", "node-2-0+1", "node-2-0+3"]);
    assert_eq!(bench.run("layer remove node-2-0+1").code, 3, "pinned");
    assert_eq!(bench.run("layer pin --remove node-2-0+1").stdout, "node-2-0+1 is no longer pinned\n");
    let gone = bench.run("layer remove node-2-0+1 node-2-0+3");
    assert_eq!(gone.stdout, "layer node-2-0+1 is removed\nlayer node-2-0+3 is removed\n");
    assert_eq!(bench.run("base remove node-2-0").stdout, "base node-2-0 is removed\n");
    assert_eq!(bench.run("check").code, 0);
}

#[test]
fn the_layer_to_go_back_to_is_removed_only_where_that_is_said() {
    let bench = with_layer();
    assert_eq!(bench.run(&format!("update {}", bench.image(2, ""))).code, 0);
    assert_eq!(bench.run("bless").code, 0);
    let refused = bench.run("layer remove node-1-0+1");
    assert_eq!(refused.code, 3);
    assert!(
        refused.stderr.contains("-> to do without: thinroot layer remove --no-way-back node-1-0+1\n"),
        "{refused:?}"
    );
    assert_eq!(bench.run("layer remove --no-way-back node-2-0+1").code, 3, "the default");
    let gone = bench.run("layer remove --no-way-back node-1-0+1");
    assert_eq!((gone.code, gone.stdout.as_str()), (0, "layer node-1-0+1 is removed\n"), "{gone:?}");
    assert_eq!(bench.run("rollback").code, 3);
    assert_eq!(bench.run("check").code, 0);
}

#[test]
fn a_damaged_base_is_told_from_a_good_one() {
    let bench = with_layer();
    let good = bench.run("base verify");
    assert_eq!((good.code, good.stdout.as_str()), (0, "node-1-0: as it was sealed\n"));
    let volume = bench.path("store/volumes/node-1-0.img");
    // A disk does not ask whether a file may be changed.
    images::run(Cmd::new("chattr").arg("-i").arg(&volume));
    let found = Cmd::new("grep").args(["-obUa", "first="]).arg(&volume).run().expect("the content of /etc/conf");
    let at: u64 = found.split(':').next().unwrap().parse().unwrap();
    fs::File::options().write(true).open(&volume).unwrap().write_all_at(b"X", at).unwrap();
    let (code, damage) = bench.json("base verify node-1-0");
    assert_eq!(code, 1);
    let places = strings(&damage["bases"][0]["places"]);
    assert!(places.iter().any(|place| place.contains("/etc/conf")), "{places:?}");
    assert_eq!(bench.run("base verify node-7-0").code, 2);
}

#[test]
fn what_is_refused_changes_nothing() {
    let bench = with_layer();
    let newer = bench.image(2, "");
    let older = bench.image(0, "");
    let before = bench.portrait();
    let cut = bench.path("cut.tar");
    let whole = fs::read(newer.strip_prefix("tar:").unwrap()).unwrap();
    fs::write(&cut, &whole[..whole.len() / 2]).unwrap();
    for line in [
        format!("update {older}"),
        format!("update tar:{}", cut.display()),
        "update tar:/no/such/file".to_string(),
        "update docker:node".into(),
        format!("update {newer} --size 1M"),
        "layer remove node-1-0+1".into(),
        "base remove node-1-0".into(),
        "rollback".into(),
    ] {
        let run = bench.run(&line);
        assert_eq!((run.code, run.stdout.as_str()), (3, ""), "{line}: {}", run.stderr);
        assert!(run.stderr.lines().any(|text| text.starts_with("thinroot: ")), "{line}: {}", run.stderr);
        assert_eq!(bench.portrait(), before, "{line}");
    }
}

#[test]
fn a_busy_store_is_said_to_be_busy() {
    let bench = with_layer();
    let lock = fs::File::options().write(true).open(bench.path("store/lock")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let before = bench.portrait();
    let (code, error) = bench.json("layer fork node-1-0");
    assert_eq!((code, error["kind"].as_str(), error["thinroot_error"].as_u64()), (5, Some("busy"), Some(1)));
    assert_eq!(bench.run("update tar:/no/such/file").code, 5, "said before the image is read");
    assert_eq!(bench.portrait(), before);
    assert_eq!(bench.run("status").code, 0, "reading needs no lock");
    // Not by closing: until it executes its program, a child that another test starts has a copy of the descriptor.
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::Unlock).unwrap();
    assert_eq!(bench.run("layer fork node-1-0").code, 0);
}

#[test]
fn an_interrupted_update_is_finished_or_undone() {
    for (verb, layers) in [("resume", vec!["node-1-0+1", "node-2-0+1"]), ("abandon", vec!["node-1-0+1"])] {
        let bench = with_layer();
        let image = bench.image(2, "");
        // The program kills itself in the middle of the plan, as a power cut would.
        let listed =
            bench.command(&["update", "--stage-only", &image]).env("THINROOT_FAULT", "kill:60").output().unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&listed.status), Some(9), "{listed:?}");
        assert_eq!(bench.run("layer fork node-1-0").code, 6, "{verb}");
        let (_, status) = bench.json("status");
        assert_eq!(status["last"]["outcome"], Value::Null);
        assert!(strings(&status["findings"])[0].contains("'thinroot resume' finishes it"));
        let (code, ended) = bench.json(verb);
        assert_eq!(code, 0, "{verb}: {ended}");
        assert!(ended["report"].is_object());
        let (_, list) = bench.json("layer list");
        let names: Vec<_> = list["layers"].as_array().unwrap().iter().map(|l| l["name"].as_str().unwrap()).collect();
        assert_eq!(names, layers, "{verb}");
        assert_eq!(bench.run("check").stdout, "healthy\n", "{verb}");
        assert_eq!(bench.run(verb).stdout, "nothing to do: no plan is interrupted\n");
    }
}

#[test]
fn a_layer_is_mounted_for_everybody() {
    let bench = with_layer();
    let at = bench.path("mount");
    fs::create_dir(&at).unwrap();
    let run = bench.run(&format!("layer mount node-1-0+1 {} --read-only", at.display()));
    assert_eq!(run.code, 0, "{run:?}");
    let content = fs::read_to_string(at.join("etc/conf"));
    let written = fs::write(at.join("etc/conf"), "x");
    // Before anything is asserted, or the directory could not be removed.
    assert!(Command::new("umount").arg(&at).status().unwrap().success());
    assert_eq!(content.unwrap(), "first=\na\nb\nc\nd\nlast=\n");
    assert_eq!(written.unwrap_err().kind(), std::io::ErrorKind::ReadOnlyFilesystem);
}

#[test]
fn images_are_inspected_without_a_store() {
    let bench = bench();
    let image = bench.image(3, "");
    let (code, found) = bench.json(&format!("image inspect {image} --as other-9-1"));
    assert_eq!(
        (code, found["thinroot_image"].as_u64(), found["image"]["id"].as_str()),
        (0, Some(1), Some("other-9-1"))
    );
    let text = bench.run(&format!("image inspect {image}")).stdout;
    assert!(text.starts_with("image     node-3-0\ntitle     Node 3-0\narch      x86_64\n"), "{text}");
    assert!(!bench.path("store").exists());
}

#[test]
fn command_lines_that_make_no_sense() {
    let bench = bench();
    for line in ["", "frobnicate", "update", "--store nowhere status", "base add", "update zip:x", "layer fork -x"] {
        let run = bench.run(line);
        let expected = if line == "update" || line == "update zip:x" { 3 } else { 2 };
        assert_eq!((run.code, run.stdout.as_str()), (expected, ""), "{line}: {}", run.stderr);
    }
    assert_eq!(bench.run("init").code, 0);
    assert_eq!(bench.run("update zip:x").code, 2);
    let lost = Run::of(bench.command(&["status"]).env_remove("THINROOT_STORE").output());
    let said = "thinroot: find the store: no store is named, and no layer of a thin pool is running\n  -> give --store dir:PATH or --store lvm:VG/POOL, or set THINROOT_STORE\n";
    assert_eq!((lost.code, lost.stderr.as_str()), (2, said));
    let (code, error) = bench.json("rollback --to nonsense");
    assert_eq!((code, error["kind"].as_str()), (2, Some("usage")));
    assert!(error["why"].as_str().unwrap().contains("NAME-VERSION-RELEASE+N"), "{error}");
    for line in ["--help", "--version", "update --help", "base add --help"] {
        let run = bench.run(line);
        assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{line}");
    }
}

#[test]
fn what_only_a_running_layer_can_do_is_refused_elsewhere() {
    let bench = with_layer();
    for line in ["apply", "apply --plan"] {
        let run = bench.run(line);
        assert_eq!(run.code, 3, "{run:?}");
        assert!(run.stderr.contains("this host runs no layer of this store"), "{}", run.stderr);
    }
    let run = bench.run("init --undo");
    assert!(run.code == 3 && run.stderr.contains("it was not adopted"), "{run:?}");
    // The machine of the tests, whose root is on no thin volume.
    let run = Run::of(bench.command(&["init", "--plan"]).env_remove("THINROOT_STORE").output());
    assert!(run.code == 3 && run.stderr.contains("its root is on no logical volume"), "{run:?}");
}

#[test]
fn only_root_is_let_near_a_store() {
    use std::os::unix::process::CommandExt;
    let bench = with_layer();
    // Somewhere that nobody may read and run it. Copied by another process: a descriptor of ours for writing, inherited by
    // whatever another test starts meanwhile, would make it "text file busy".
    let program = Path::new(env!("CARGO_BIN_EXE_thinroot"));
    let copy = std::env::temp_dir().join(format!("thinroot-for-nobody-{}", std::process::id()));
    images::run(Cmd::new("cp").arg(program).arg(&copy));
    let mut command = Command::new(&copy);
    command.arg("--store").arg(format!("dir:{}", bench.path("store").display())).arg("status").uid(65534).gid(65534);
    let run = command.output();
    fs::remove_file(&copy).unwrap();
    let run = Run::of(run);
    assert_eq!(run.code, 3, "{run:?}");
    assert!(run.stderr.ends_with("only root can mount volumes\n  -> run it with sudo\n"), "{}", run.stderr);
}
