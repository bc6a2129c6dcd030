//! Going back with what was changed since, as the real program does it.

use thinroot_testkit::bench::Bench;

const PROGRAM: &str = env!("CARGO_BIN_EXE_thinroot");

/// Version 1 with an admin's changes, updated to version 2, which is good; then changed further.
fn updated_and_changed() -> Bench {
    let bench = Bench::with_layer(PROGRAM);
    let script = "busybox sed -i s/last=/last=mine/ /etc/conf; echo one > /etc/local";
    assert_eq!(bench.edit("node-1-0+1", script).code, 0);
    assert_eq!(bench.run(&format!("update {}", bench.image(2, "theirs"))).code, 0);
    assert_eq!(bench.run("bless").code, 0);
    let later = "echo two > /etc/local; echo new > /etc/later; busybox sed -i s/^b$/B/ /etc/conf
                 busybox chmod 750 /etc; echo x > /usr/x";
    assert_eq!(bench.edit("node-2-0+1", later).code, 0);
    bench
}

#[test]
fn what_was_changed_since_the_update_goes_back_with_it() {
    let bench = updated_and_changed();
    let read = |layer: &str, path: &str| bench.edit(layer, &format!("busybox cat {path}")).stdout;
    let conf = "first=theirs\na\nB\nc\nd\nlast=mine\n";
    assert_eq!(read("node-2-0+1", "/etc/conf"), conf);

    let before = bench.portrait();
    let (code, seen) = bench.json("rollback --carry-state --plan");
    assert_eq!((code, seen["from"].as_str(), seen["to"].as_str()), (0, Some("node-2-0+1"), Some("node-1-0+1")));
    let ids = |value: &serde_json::Value| -> Vec<String> {
        let all = value["state"]["decisions"].as_array().unwrap().iter();
        all.map(|decision| decision["id"].as_str().unwrap().to_string()).collect()
    };
    // The merged text of the update is what the later change is told from: the image's own change does not come along.
    let wanted = ["12:/etc", "14:/etc/conf", "2:/etc/later", "12:/etc/local", "2:/usr/x"];
    assert_eq!(ids(&seen), wanted, "{seen}");
    assert_eq!(bench.portrait(), before, "looking touches nothing");

    let (code, back) = bench.json("rollback --carry-state");
    assert_eq!((code, back["armed"]["layer"].as_str()), (4, Some("node-1-0+2")), "{back}");
    assert_eq!(ids(&back), wanted);
    assert_eq!(read("node-1-0+2", "/etc/conf"), "first=\na\nB\nc\nd\nlast=mine\n");
    assert_eq!(read("node-1-0+2", "/etc/local"), "two\n");
    assert_eq!(read("node-1-0+2", "/etc/later"), "new\n");
    assert_eq!(bench.edit("node-1-0+2", "busybox stat -c %a /etc; test ! -e /usr/x").stdout, "750\n");
    // Both others stay as they are.
    assert_eq!(read("node-1-0+1", "/etc/local"), "one\n");
    assert_eq!(read("node-2-0+1", "/etc/conf"), conf);
    assert_eq!(bench.run("check").code, 0);

    // It is explained and undone like an update: back to what the layer it went into had.
    let explained = bench.run("state explain /etc/local --layer node-1-0+2");
    assert!(explained.stdout.contains("node-2-0+1 -> node-1-0+2 (plan "), "{explained:?}");
    assert_eq!(bench.run("state undo /etc/local --layer node-1-0+2").code, 0);
    assert_eq!(read("node-1-0+2", "/etc/local"), "one\n");
    assert_eq!(bench.run("state undo --all --layer node-1-0+2").code, 0);
    assert_eq!(read("node-1-0+2", "/etc/conf"), "first=\na\nb\nc\nd\nlast=mine\n");
    assert_eq!(bench.edit("node-1-0+2", "test ! -e /etc/later").code, 0);
}

#[test]
fn what_clashes_on_the_way_back_is_kept() {
    let bench = updated_and_changed();
    assert_eq!(bench.edit("node-1-0+1", "echo other > /etc/local; busybox sed -i s/^b$/c/ /etc/conf").code, 0);
    let (code, back) = bench.json("rollback --carry-state");
    assert_eq!(code, 4);
    let conflicts = back["state"]["decisions"].as_array().unwrap().iter();
    let conflicts: Vec<_> = conflicts.filter(|decision| decision["level"] == "conflict").collect();
    let paths: Vec<_> = conflicts.iter().map(|decision| decision["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["etc/conf", "etc/local"]);
    assert_eq!(bench.edit("node-1-0+2", "busybox cat /etc/local").stdout, "two\n");
    assert_eq!(bench.run("state resolve /etc/local --theirs --layer node-1-0+2").code, 0);
    assert_eq!(bench.edit("node-1-0+2", "busybox cat /etc/local").stdout, "other\n");
}

#[test]
fn a_way_back_that_makes_no_sense_is_refused() {
    let bench = updated_and_changed();
    for (line, code) in [
        ("rollback --plan", 2),
        ("rollback --from node-2-0+1", 2),
        ("rollback --carry-state --to node-2-0+1", 3),
        ("rollback --carry-state --to node-9-0+1", 3),
        ("rollback --carry-state --from node-9-0+1", 3),
    ] {
        let before = bench.portrait();
        let run = bench.run(line);
        assert_eq!(run.code, code, "{line}: {run:?}");
        assert_eq!(bench.portrait(), before, "{line}");
    }
}
