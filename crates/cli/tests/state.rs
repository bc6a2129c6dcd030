//! The verbs about state, as the real program does them on a store in a directory: seen before, explained after, resolved
//! and undone.

use std::fs;

use thinroot_testkit::bench::Bench;

const PROGRAM: &str = env!("CARGO_BIN_EXE_thinroot");

fn strings(value: &serde_json::Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|v| v.as_str().unwrap()).collect()
}

fn with_layer() -> Bench {
    Bench::with_layer(PROGRAM)
}

#[test]
fn a_conflict_is_a_finding_and_its_loser_can_be_had_back() {
    let bench = with_layer();
    assert_eq!(bench.edit("node-1-0+1", "busybox sed -i s/first=/first=mine/ /etc/conf").code, 0);
    let image = bench.image(2, "theirs");
    let (code, update) = bench.json(&format!("update {image}"));
    assert_eq!((code, update["changed"].as_bool(), update["layer"].as_str()), (4, Some(true), Some("node-2-0+1")));
    assert_eq!(update["armed"], serde_json::json!({"layer": "node-2-0+1", "tries": 3}));
    let conflict = &update["state"]["decisions"].as_array().unwrap()[0];
    assert_eq!((conflict["path"].as_str(), conflict["level"].as_str()), (Some("etc/conf"), Some("conflict")));
    let kept = conflict["kept"].as_array().unwrap();
    let lost = kept.iter().find(|kept| kept["side"] == "vendor").unwrap()["digest"].as_str().unwrap();
    let had_back = bench.run(&format!("state show --kept {lost}"));
    assert_eq!((had_back.code, had_back.stdout.as_str()), (0, "first=theirs\na\nb\nc\nd\nlast=\n"));
    let shown = bench.run("state show");
    assert!(
        shown.stdout.contains("conflicts: both sides changed it, the loser is kept (1)\n  /etc/conf:"),
        "{shown:?}"
    );
    let unknown = bench.run(&format!("state show --kept {}", "0".repeat(64)));
    assert_eq!((unknown.code, unknown.stdout.as_str()), (2, ""));
    assert_eq!(bench.run("state show 1-update-1").code, 2);
}

#[test]
fn state_is_seen_before_and_explained_after() {
    let bench = with_layer();
    let script = "busybox sed -i s/first=/first=mine/ /etc/conf; echo mine > /etc/local; echo pw > /etc/secret
                  busybox chmod 600 /etc/secret; busybox chmod 750 /etc; echo x > /usr/x; busybox rm /usr/bin/sh";
    assert_eq!(bench.edit("node-1-0+1", script).code, 0);
    let before = bench.portrait();
    let diff = bench.run("state diff --unified");
    let expected = "\
node-1-0+1 against node-1-0: 6 changes
  modified /etc (mode)
  modified /etc/conf (content)
--- a/etc/conf
+++ b/etc/conf
@@ -1,4 +1,4 @@
-first=
+first=mine
 a
 b
 c
  added    /etc/local
--- /dev/null
+++ b/etc/local
@@ -0,0 +1 @@
+mine
  added    /etc/secret
           content not shown: not everyone may read it
  removed  /usr/bin/sh  [not carried]
  added    /usr/x  [not carried]
--- /dev/null
+++ b/usr/x
";
    assert!(diff.code == 0 && diff.stdout.starts_with(expected), "{diff:?}");
    let (code, rows) = bench.json("state diff /etc/conf /usr/bin");
    assert_eq!((code, rows["changes"].as_array().unwrap().len()), (0, 2));
    assert_eq!(
        rows["changes"][0],
        serde_json::json!({
            "path": "etc/conf", "change": "modified", "facets": ["content"], "rule": "/etc/** merge", "carried": true,
        })
    );

    let image = bench.image(2, "theirs");
    let plan = bench.run(&format!("state plan {image}"));
    assert!(plan.code == 0 && plan.stdout.starts_with("state of node-1-0+1 in node-2-0\nstate: "), "{plan:?}");
    let here = bench.run(&format!("state plan tar:{}", bench.path("node-1.tar").display()));
    assert_eq!(here.code, 0, "also of an image that is here already: {here:?}");
    assert_eq!(bench.portrait(), before, "looking touches nothing");

    assert_eq!(bench.run("state conflicts").stdout, "no update has carried any state yet\n");
    assert_eq!(bench.run(&format!("update {image}")).code, 4);
    let (code, conflicts) = bench.json("state conflicts");
    assert_eq!((code, conflicts["layer"].as_str()), (4, Some("node-2-0+1")));
    let ids: Vec<&str> = conflicts["conflicts"].as_array().unwrap().iter().map(|c| c["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["14:/etc/conf"]);

    let explained = bench.run("state explain /etc/conf --layer node-2-0+1");
    for line in [
        "/etc/conf in node-2-0+1\n  changed here against image node-2-0: content\n",
        "  different from its image since node-1-0\n  rule: /etc/** merge\n",
        "  update node-1-0+1 -> node-2-0+1 (plan ",
        "changed here and in the new image\n      content: the layer's; the image has file ",
        "kept: the new image's content, ",
    ] {
        assert!(explained.stdout.contains(line), "{line}{}", explained.stdout);
    }
    let (_, local) = bench.json("state explain /etc/local --layer node-2-0+1");
    assert_eq!((local["is"].as_str(), local["different_since"].as_str()), (Some("added"), Some("node-1-0")));
    for (path, is) in [("/usr/bin/sh", "removed"), ("/etc/os-release", "untouched"), ("/nowhere", "absent")] {
        let (code, explained) = bench.json(&format!("state explain {path}"));
        assert_eq!((code, explained["is"].as_str()), (0, Some(is)), "{path}: {explained}");
    }
    assert_eq!(bench.run("state diff --layer node-9-0+1").code, 2);
    assert_eq!(bench.run("state explain ../x").code, 2);
}

#[test]
fn conflicts_are_resolved_and_everything_is_undone() {
    let bench = with_layer();
    let script = "busybox sed -i s/first=/first=mine/ /etc/conf; echo mine > /etc/local; busybox chmod 600 /etc/local
                  busybox rm /etc/gone; busybox mkdir /etc/dir; echo x > /etc/dir/x";
    assert_eq!(bench.edit("node-1-0+1", script).code, 0);
    assert_eq!(bench.run(&format!("update {}", bench.image(2, "theirs"))).code, 4);
    let layer = "node-2-0+1";
    let read = |path: &str| bench.edit(layer, &format!("busybox cat {path}")).stdout;
    let (mine, theirs) = ("first=mine\na\nb\nc\nd\nlast=\n", "first=theirs\na\nb\nc\nd\nlast=\n");
    assert_eq!(read("/etc/conf"), mine);

    // Refusals touch nothing and say the way out.
    let before = bench.portrait();
    for (line, code) in [
        ("state resolve /etc/conf", 2),
        ("state resolve /etc/conf --mine --theirs", 2),
        ("state resolve /etc/nothing --mine", 2),
        ("state undo /etc/nothing", 3),
        ("state undo 99:/etc/conf", 2),
        ("state undo", 2),
        ("state resolve /etc/conf --merged /no/such/file", 1),
    ] {
        assert_eq!(bench.run(line).code, code, "{line}");
    }
    let planned = bench.run("state resolve /etc/conf --theirs --plan");
    let would = "would change 1 path in node-2-0+1\n  /etc/conf: changed, resolved with the image's version\n";
    assert_eq!((planned.code, planned.stdout.as_str()), (0, would));
    assert_eq!(bench.portrait(), before);

    let (code, edit) = bench.json("state resolve /etc/conf --theirs");
    assert_eq!((code, edit["layer"].as_str(), edit["edits"][0]["of"].as_str()), (0, Some(layer), Some("14:/etc/conf")));
    assert_eq!(read("/etc/conf"), theirs);
    assert_eq!(
        bench.run("state conflicts").stdout.lines().next().unwrap().split(" (").next(),
        Some("0 conflicts in node-2-0+1, 1 resolved")
    );
    let resolved = edit["report"]["plan"]["id"].as_str().unwrap();
    assert_eq!(bench.run(&format!("state undo {resolved}")).code, 0);
    assert_eq!(read("/etc/conf"), mine);
    assert_eq!(bench.run("state conflicts").code, 4);

    // By hand: a file, then an editor.
    fs::write(bench.path("by-hand"), "both\n").unwrap();
    assert_eq!(bench.run(&format!("state resolve /etc/conf --merged {}", bench.path("by-hand").display())).code, 0);
    assert_eq!(read("/etc/conf"), "both\n");
    let edit = |editor: &str| {
        let run = bench.command(&["state", "resolve", "/etc/conf", "--edit"]).env("VISUAL", editor).output().unwrap();
        (run.status.code().unwrap(), String::from_utf8(run.stderr).unwrap())
    };
    assert!(edit("true").1.contains("the text was not changed"));
    assert!(edit("sed -i s/mine/other/").1.contains("still conflict marks"));
    assert_eq!(edit("false").0, 1);
    assert_eq!(read("/etc/conf"), "both\n");
    assert_eq!(edit("sed -i -e '/^<<<</d' -e '/^====/,/^>>>>/d'").0, 0);
    assert_eq!(read("/etc/conf"), mine);
    let explained = bench.run(&format!("state explain /etc/conf --layer {layer}")).stdout;
    assert_eq!(explained.matches("resolved by hand").count(), 2, "{explained}");

    // Changed by somebody since: not without force, and then it is kept.
    assert_eq!(bench.edit(layer, "echo later > /etc/conf").code, 0);
    let refused = bench.run("state undo /etc/conf");
    assert!(refused.code == 3 && refused.stderr.contains("--force"), "{refused:?}");
    let (code, undone) = bench.json("state undo 14:/etc/conf --force");
    assert_eq!(code, 0, "{undone}");
    assert_eq!(read("/etc/conf"), theirs);
    let again = undone["report"]["plan"]["id"].as_str().unwrap();
    assert_eq!(bench.run(&format!("state undo {again}")).code, 0);
    assert_eq!(read("/etc/conf"), "later\n");

    // Everything: as if nothing had been carried.
    assert_eq!(bench.run("state undo --all --force").code, 0);
    assert_eq!(bench.run(&format!("state diff --layer {layer}")).stdout, "node-2-0+1 against node-2-0: 0 changes\n");
    assert_eq!(bench.run("state undo --all").code, 3);
    assert_eq!(bench.run("check").stdout, "healthy\n");
}

/// An admin adds people, the image adds a service: both are there, each with its own, and nothing of it is a conflict.
#[test]
fn accounts_are_merged_as_one_set() {
    let bench = Bench::new(PROGRAM);
    let accounts = |root: &std::path::Path, more: [&str; 4]| {
        let [passwd, group, shadow, gshadow] = more;
        let base = [
            ("passwd", "root:x:0:0::/root:/bin/sh\nmail:x:8:8::/:/bin/sh\n", passwd),
            ("group", "root:x:0:\nmail:x:8:\nadm:x:4:\n", group),
            ("shadow", "root:*:1::::::\nmail:*:1::::::\n", shadow),
            ("gshadow", "root:*::\nmail:*::\nadm:*::\n", gshadow),
        ];
        for (name, text, more) in base {
            fs::write(root.join("etc").join(name), format!("{text}{more}")).unwrap();
        }
    };
    let image = bench.image_with(1, "", |root| accounts(root, [""; 4]));
    for line in ["init", &format!("base add {image} --size 160M"), "layer fork node-1-0"] {
        assert_eq!(bench.run(line).code, 0, "{line}");
    }
    let script = "echo anna:x:1000:1000:Anna:/home/anna:/bin/sh >> /etc/passwd; echo anna:x:1000: >> /etc/group
        echo 'anna:$y$hers:19500:0:99999:7:::' >> /etc/shadow; echo 'anna:!::' >> /etc/gshadow
        busybox sed -i 's/^adm:x:4:/&anna/' /etc/group; busybox sed -i 's/^root:[*]/root:$y$ours/' /etc/shadow
        busybox mkdir -p /home/anna; echo hers > /home/anna/notes; busybox chown -R 1000:1000 /home/anna";
    assert_eq!(bench.edit("node-1-0+1", script).code, 0);
    let image = bench.image_with(2, "", |root| {
        let more = ["chrony:x:102:102::/:/bin/false\n", "chrony:x:102:\n", "chrony:$y$known:1::::::\n", "chrony:!::\n"];
        accounts(root, more);
    });
    let (code, update) = bench.json(&format!("update {image}"));
    let findings = strings(&update["report"]["findings"]);
    assert_eq!(
        (code, findings.as_slice()),
        (4, ["account chrony is new and locked: passwords are not taken from images"].as_slice())
    );
    let read = |path: &str| bench.edit("node-2-0+1", &format!("busybox cat {path}")).stdout;
    assert!(
        read("/etc/passwd").ends_with("chrony:x:102:102::/:/bin/false\nanna:x:1000:1000:Anna:/home/anna:/bin/sh\n")
    );
    assert_eq!(read("/etc/group"), "root:x:0:\nmail:x:8:\nadm:x:4:anna\nchrony:x:102:\nanna:x:1000:\n");
    let shadow = read("/etc/shadow");
    assert_eq!(shadow, "root:$y$ours:1::::::\nmail:*:1::::::\nchrony:!*:1::::::\nanna:$y$hers:19500:0:99999:7:::\n");
    assert_eq!(bench.edit("node-2-0+1", "busybox stat -c %u:%g /home/anna/notes").stdout, "1000:1000\n");
    let (_, shown) = bench.json("state show");
    let (_, planned) = bench.json(&format!("state plan {image} --from node-1-0+1"));
    for said in [&update, &shown, &planned].map(ToString::to_string) {
        assert!(!said.contains("$y$") && said.contains("etc/shadow"), "a password is told: {said}");
    }
    // One of them undone is all of them undone.
    let (code, undone) = bench.json("state undo /etc/passwd");
    assert_eq!(code, 0, "{undone}");
    let paths: Vec<&str> =
        undone["edits"].as_array().unwrap().iter().map(|edit| edit["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["etc/group", "etc/gshadow", "etc/passwd", "etc/shadow"]);
    assert!(!read("/etc/passwd").contains("anna"));
}

/// A service of the image has the number of a service here: its files come with another, here and in every update after.
#[test]
fn numbers_never_move() {
    let bench = Bench::new(PROGRAM);
    let service = |root: &std::path::Path, name: &str, id: u32| {
        let etc = root.join("etc");
        for (file, line) in [("passwd", format!("{name}:x:{id}:{id}::/:/x\n")), ("group", format!("{name}:x:{id}:\n"))]
        {
            fs::write(etc.join(file), fs::read_to_string(etc.join(file)).unwrap() + &line).unwrap();
        }
        fs::write(root.join("srv-data"), name).unwrap();
        std::os::unix::fs::chown(root.join("srv-data"), Some(id), Some(id)).unwrap();
        let acl = [&[2u8, 0, 0, 0][..], &[1, 0, 6, 0, 255, 255, 255, 255], &[2, 0, 4, 0], &id.to_le_bytes()].concat();
        let acl = [&acl[..], &[4, 0, 4, 0, 255, 255, 255, 255, 16, 0, 4, 0, 255, 255, 255, 255]].concat();
        let acl = [&acl[..], &[32, 0, 0, 0, 255, 255, 255, 255]].concat();
        let flags = rustix::fs::XattrFlags::empty();
        rustix::fs::lsetxattr(root.join("srv-data"), "system.posix_acl_access", &acl, flags).unwrap();
    };
    let first = bench.image_with(1, "", |_| {});
    for line in ["init", &format!("base add {first} --size 160M"), "layer fork node-1-0"] {
        assert_eq!(bench.run(line).code, 0, "{line}");
    }
    let script = "echo local:x:977:977::/:/x >> /etc/passwd; echo local:x:977: >> /etc/group
        echo mine > /etc/mine; busybox chown 977:977 /etc/mine";
    assert_eq!(bench.edit("node-1-0+1", script).code, 0);
    let looks = |layer: &str| {
        let script = "busybox stat -c %u:%g /srv-data /etc/mine; busybox grep -v root /etc/passwd";
        bench.edit(layer, script).stdout
    };
    let image = bench.image_with(2, "", |root| service(root, "svc", 977));
    assert_eq!(bench.run(&format!("update {image}")).code, 0);
    let wanted = "999:999\n977:977\nmail:x:8:8::/:/bin/sh\nsvc:x:999:999::/:/x\nlocal:x:977:977::/:/x\n";
    assert_eq!(looks("node-2-0+1"), wanted);
    let mounted = bench.path("look");
    fs::create_dir(&mounted).unwrap();
    assert_eq!(bench.run("base verify node-2-0").code, 0);
    assert_eq!(bench.run(&format!("update {image}")).stdout.split(':').next(), Some("nothing to do"));
    assert_eq!(bench.run("bless node-2-0+1").code, 0);
    // The image gives its service another number, and the old one to a new service.
    let image = bench.image_with(3, "", |root| {
        service(root, "svc", 500);
        let etc = root.join("etc");
        fs::write(etc.join("passwd"), fs::read_to_string(etc.join("passwd")).unwrap() + "new:x:999:500::/:/x\n")
            .unwrap();
    });
    assert_eq!(bench.run(&format!("update {image}")).code, 0);
    let wanted =
        "999:999\n977:977\nmail:x:8:8::/:/bin/sh\nsvc:x:999:999::/:/x\nnew:x:998:999::/:/x\nlocal:x:977:977::/:/x\n";
    assert_eq!(looks("node-3-0+1"), wanted);
    assert_eq!(bench.run("check").stdout, "healthy\n");
}

#[test]
fn undoing_the_mode_of_a_directory_leaves_what_is_in_it() {
    let bench = with_layer();
    assert_eq!(bench.edit("node-1-0+1", "busybox chmod 750 /etc").code, 0);
    assert_eq!(bench.run(&format!("update {}", bench.image(2, "theirs"))).code, 0);
    let listed = |mode: &str| {
        let run = bench.edit("node-2-0+1", "busybox stat -c %a /etc; busybox ls /etc");
        assert!(run.stdout.starts_with(&format!("{mode}\n")) && run.stdout.contains("\nconf\n"), "{run:?}");
    };
    listed("750");
    assert_eq!(bench.run("state undo /etc").code, 0);
    listed("755");
}
