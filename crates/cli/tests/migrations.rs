//! Migrations of an image: the examples of the documentation, and what happens to one that fails.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use thinroot_testkit::bench::Bench;

const PROGRAM: &str = env!("CARGO_BIN_EXE_thinroot");
const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/examples/migrations");

fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// Version 1 of an application, its base and layer.
fn version_1(bench: &Bench) {
    let image = bench.image_with(1, "", |root| {
        write(root, "etc/appd/app.conf", "[main]\ncolour=rouge\nmode=fast\nsize=1\n");
        write(root, "etc/appd/timeouts", "read=5000\nwrite=8000\n");
        write(root, "etc/appd/untouched", "1\n");
    });
    for line in ["init", &format!("base add {image} --size 160M"), "layer fork node-1-0"] {
        assert_eq!(bench.run(line).code, 0, "{line}");
    }
}

/// Version 2, with these migrations.
fn version_2(bench: &Bench, migrations: &[(&str, String)]) -> String {
    bench.image_with(2, "", |root| {
        write(root, "etc/app/app.conf", "# version 2\n[main]\ncolor=red\nmode=auto\nsize=2\n");
        write(root, "etc/app/timeouts", "# seconds\nread=5\nwrite=9\n");
        write(root, "etc/app/untouched", "2\n");
        for (name, text) in migrations {
            write(root, &format!("usr/lib/thinroot/migrations.d/{name}.migration"), text);
        }
        let policy = "/etc/app/app.conf structured:ini\n/etc/app/timeouts structured:key-value\n";
        write(root, "usr/lib/thinroot/state.d/app.policy", policy);
        fs::create_dir_all(root.join("run")).unwrap();
        write(root, "usr/lib/app/seconds", &fs::read_to_string(format!("{EXAMPLES}/seconds")).unwrap());
        fs::set_permissions(root.join("usr/lib/app/seconds"), fs::Permissions::from_mode(0o755)).unwrap();
        for name in ["mkdir", "test", "cat", "false"] {
            let link = root.join("bin").join(name);
            if fs::symlink_metadata(&link).is_err() {
                symlink("busybox", link).unwrap();
            }
        }
    })
}

fn examples() -> Vec<(&'static str, String)> {
    let names = ["10-app-directory", "20-app-colours", "30-app-mode", "40-app-timeouts"];
    names.map(|name| (name, fs::read_to_string(format!("{EXAMPLES}/{name}.migration")).unwrap())).into()
}

const EDIT: &str = "busybox sed -i s/rouge/vert/ /etc/appd/app.conf; busybox sed -i s/5000/7000/ /etc/appd/timeouts
                    echo own > /etc/appd/own";

#[test]
fn the_examples_do_what_they_say() {
    let bench = Bench::new(PROGRAM);
    version_1(&bench);
    assert_eq!(bench.edit("node-1-0+1", EDIT).code, 0);
    let image = version_2(&bench, &examples());
    let plan = bench.run(&format!("update {image} --plan"));
    assert!(plan.stdout.contains("migrations of the image (4)\n  10-app-directory (since 2): done\n"), "{plan:?}");
    assert!(plan.stdout.contains("40-app-timeouts (since 2): runs a program of the image"), "{plan:?}");
    let (code, update) = bench.json(&format!("update {image}"));
    assert_eq!(code, 0, "{update}");
    let read = |path: &str| bench.edit("node-2-0+1", &format!("busybox cat {path}")).stdout;
    // The directory has its new name, the colour that was chosen here is translated, the mode that nobody chose is kept.
    assert_eq!(read("/etc/app/app.conf"), "# version 2\n[main]\ncolor=green\nmode=slow\nsize=2\n");
    // What was set here is in seconds; what was not follows the image.
    assert_eq!(read("/etc/app/timeouts"), "# seconds\nread=7\nwrite=9\n");
    assert_eq!((read("/etc/app/untouched").as_str(), read("/etc/app/own").as_str()), ("2\n", "own\n"));
    assert_eq!(bench.edit("node-2-0+1", "test ! -e /etc/appd").code, 0);
    let done = update["state"]["migrations"].as_array().unwrap();
    assert!(done.len() == 4 && done.iter().all(|one| one["failed"].is_null() && one["later"].is_null()), "{update}");
    // What was changed after staging is migrated too.
    let later = "busybox sed -i s/vert/rouge/ /etc/appd/app.conf; echo late > /etc/appd/late";
    assert_eq!(bench.edit("node-1-0+1", later).code, 0);
    let caught = bench.run("state catch-up");
    assert_eq!(caught.code, 0, "{caught:?}");
    assert_eq!(read("/etc/app/late"), "late\n");
    assert!(read("/etc/app/app.conf").contains("color=red\n"), "{}", read("/etc/app/app.conf"));
    // Undone like everything else that the update did.
    assert_eq!(bench.run("state undo /etc/app/timeouts /etc/app/own").code, 0);
    assert_eq!(read("/etc/app/timeouts"), "# seconds\nread=5\nwrite=9\n");
    // And back: what can be turned round is.
    assert_eq!(bench.run("bless").code, 0);
    assert_eq!(bench.edit("node-2-0+1", "echo newer > /etc/app/newer").code, 0);
    let back = bench.run("rollback --carry-state");
    // The undone timeouts are such a change, and in seconds they clash with what was there.
    assert_eq!(back.code, 4, "{back:?}");
    assert!(
        back.stdout.contains("conflicts: both sides changed it, the loser is kept (1)\n  /etc/appd/timeouts"),
        "{back:?}"
    );
    assert_eq!(bench.edit("node-1-0+2", "busybox cat /etc/appd/newer").stdout, "newer\n");
}

#[test]
fn one_that_fails_is_isolated_and_a_critical_one_stops_the_update() {
    let program = |more: &str| format!("since 2\n{more}rename /etc/appd/own /etc/appd/other\nrun /bin/false\n");
    let directory = examples().remove(0);
    let bench = Bench::new(PROGRAM);
    version_1(&bench);
    assert_eq!(bench.edit("node-1-0+1", EDIT).code, 0);
    let image = version_2(&bench, &[("05-fails", program("")), directory.clone()]);
    let update = bench.run(&format!("update {image}"));
    assert_eq!(update.code, 4, "{update:?}");
    let told = "05-fails (since 2): failed, nothing of it was done: /bin/false ended with code 1";
    assert!(update.stdout.contains(told), "{update:?}");
    // Not even what it did before it failed; the next one is made all the same.
    assert_eq!(bench.edit("node-2-0+1", "busybox cat /etc/app/own; test ! -e /etc/app/other").stdout, "own\n");

    let bench = Bench::new(PROGRAM);
    version_1(&bench);
    let image = version_2(&bench, &[("05-fails", program("critical\n")), directory]);
    let update = bench.run(&format!("update {image}"));
    assert!(update.code == 1 && update.stderr.contains("the image cannot do without it"), "{update:?}");
    assert_eq!(bench.json("status").1["layers"].as_array().unwrap().len(), 1);
    // What can be seen beforehand is refused beforehand.
    let image =
        version_2(&bench, &[("05-fails", "since 2\ncritical\nrename /etc/appd/untouched /etc/appd/timeouts\n".into())]);
    let update = bench.run(&format!("update {image}"));
    assert_eq!(update.code, 3, "{update:?}");
    let image = version_2(&bench, &[("05-wrong", "since 2\nmove /a /b\n".into())]);
    let update = bench.run(&format!("update {image} --plan"));
    assert!(update.code == 3 && update.stderr.contains("05-wrong:2: 'move'"), "{update:?}");
}
