//! Rules over the state from images and admins, pins, and what no rule carries.

use std::fs;

use thinroot_testkit::bench::Bench;

const PROGRAM: &str = env!("CARGO_BIN_EXE_thinroot");

fn rules(root: &std::path::Path, name: &str, text: &str) {
    let dir = root.join("usr/lib/thinroot/state.d");
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join(name), text).unwrap();
}

/// A host with image 1, whose policy is given.
fn host(text: &str) -> Bench {
    let bench = Bench::new(PROGRAM);
    let image = bench.image_with(1, "", |root| rules(root, "10-app.policy", text));
    for line in ["init", &format!("base add {image} --size 160M"), "layer fork node-1-0"] {
        assert_eq!(bench.run(line).code, 0, "{line}");
    }
    bench
}

#[test]
fn the_image_says_and_the_admin_says_otherwise() {
    let bench = host("/usr/lib/app/** carry\n/etc/app.conf vendor\n");
    let tested = bench.run("state policy test /usr/lib/app/x /usr/lib/other /etc/app.conf");
    let wanted = "/usr/lib/app/x\n  rule /usr/lib/app/** carry, image's /usr/lib/thinroot/state.d/10-app.policy:1\n";
    assert!(tested.code == 0 && tested.stdout.starts_with(wanted), "{tested:?}");
    assert!(tested.stdout.contains("/usr/lib/other\n  rule /** not-carried, built in\n  not carried;"), "{tested:?}");

    let script = "busybox mkdir -p /usr/lib/app /usr/lib/other /etc/thinroot/state.d; echo a > /usr/lib/app/x
        echo b > /usr/lib/other/x; echo c > /usr/lib/other/y; echo mine > /etc/app.conf";
    assert_eq!(bench.edit("node-1-0+1", script).code, 0);
    let image =
        bench.image_with(2, "", |root| rules(root, "10-app.policy", "/usr/lib/app/** carry\n/etc/app.conf vendor\n"));
    let planned = bench.run(&format!("state plan {image}"));
    let line = "  /usr/lib/other: 3 paths: changed outside the state scope, not carried; the rule '/usr/lib/other/** carry' carries it\n";
    assert!(planned.stdout.contains(line), "{planned:?}");

    // The admin's file of the same name takes the place of the image's; more rules come with another.
    let script = "echo '/usr/lib/other/** carry # ours' > /etc/thinroot/state.d/local.policy
        echo '/etc/app.conf carry' > /etc/thinroot/state.d/10-app.policy";
    assert_eq!(bench.edit("node-1-0+1", script).code, 0);
    let (code, tested) = bench.json("state policy test /etc/app.conf /usr/lib/app/x");
    assert_eq!((code, tested["paths"][0]["rule"]["treatment"]["state"].as_str()), (0, Some("carry")));
    assert_eq!(tested["paths"][1]["rule"]["treatment"].as_str(), Some("not-carried"));
    let shown = bench.run("state policy show").stdout;
    assert!(shown.lines().next().unwrap().contains("admin's /etc/thinroot/state.d/"), "{shown}");
    let updated = bench.run(&format!("update {image}"));
    assert_eq!(updated.code, 4, "what is left behind is a finding: {updated:?}");
    let listed = bench.edit("node-2-0+1", "busybox ls /usr/lib/app /usr/lib/other; busybox cat /etc/app.conf");
    assert_eq!(
        listed.stdout,
        "/usr/lib/app:\n\n/usr/lib/other:\nx\ny\nmine\n".replace("/usr/lib/app:\n\n", ""),
        "{listed:?}"
    );
}

#[test]
fn a_mistake_in_a_policy_is_refused_before_anything_is_touched() {
    let bench = host("");
    let script = "busybox mkdir -p /etc/thinroot/state.d; echo '/etc/x often' > /etc/thinroot/state.d/bad.policy";
    assert_eq!(bench.edit("node-1-0+1", script).code, 0);
    let before = bench.portrait();
    let image = bench.image_with(2, "", |_| {});
    let refused = bench.run(&format!("update {image}"));
    assert!(
        refused.code == 3 && refused.stderr.contains("/etc/thinroot/state.d/bad.policy:1: 'often' is no class"),
        "{refused:?}"
    );
    assert_eq!(bench.portrait(), before);
    assert_eq!(bench.edit("node-1-0+1", "busybox rm /etc/thinroot/state.d/bad.policy").code, 0);
    let bad = bench.image_with(3, "", |root| rules(root, "x.policy", "limit unknown-data lots\n"));
    let refused = bench.run(&format!("update {bad}"));
    assert!(
        refused.code == 3 && refused.stderr.contains("/usr/lib/thinroot/state.d/x.policy:1: 'lots' is no size"),
        "{refused:?}"
    );
}

#[test]
fn pinned_paths_stay_also_where_they_are_the_default() {
    let bench = host("");
    assert_eq!(bench.run("state pins").stdout, "nothing is pinned\n");
    assert_eq!(bench.run("state pin /etc/conf").stdout, "/etc/conf: pinned\n");
    assert_eq!(bench.run("state pin /etc/conf").stdout, "/etc/conf: was pinned already\n");
    assert_eq!(bench.run("state pins").stdout, "/etc/conf\n");
    assert_eq!(bench.run(&format!("update {}", bench.image(2, "theirs"))).code, 0);
    let read = |layer: &str| bench.edit(layer, "busybox head -n 1 /etc/conf").stdout;
    assert_eq!(read("node-2-0+1"), "first=\n");
    assert!(bench.run("state explain /etc/conf --layer node-2-0+1").stdout.contains("pinned here"));
    assert_eq!(bench.run("bless node-2-0+1").code, 0);
    assert_eq!(bench.run("state unpin /etc/conf").code, 0);
    // Not pinned any more, it is an ordinary change of this host.
    assert_eq!(bench.run(&format!("update {}", bench.image(3, "theirs"))).code, 0);
    assert_eq!(read("node-3-0+1"), "first=\n");
}

#[test]
fn much_unknown_data_stops_an_update_with_the_way_out() {
    let bench = host("limit unknown-data 1M\n");
    let script = "busybox mkdir /data; busybox yes | busybox head -c 3072000 > /data/db; echo x > /usr/x";
    assert_eq!(bench.edit("node-1-0+1", script).code, 0);
    let before = bench.portrait();
    let image = bench.image_with(2, "", |root| rules(root, "10-app.policy", "limit unknown-data 1M\n"));
    let refused = bench.run(&format!("update {image}"));
    assert!(
        refused.code == 3 && refused.stderr.contains("/data 2 MiB") && refused.stderr.contains("'/data/** carry'"),
        "{refused:?}"
    );
    assert_eq!(bench.portrait(), before);
    let script = "busybox mkdir -p /etc/thinroot/state.d; echo '/data/** carry' > /etc/thinroot/state.d/local.policy";
    assert_eq!(bench.edit("node-1-0+1", script).code, 0);
    assert_eq!(bench.run(&format!("update {image}")).code, 4);
    assert_eq!(bench.edit("node-2-0+1", "busybox stat -c %s /data/db").stdout, "3072000\n");
}
