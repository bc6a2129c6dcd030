//! What a publisher asks of images: what is different, and what should not go out.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use thinroot_testkit::bench::Bench;
use thinroot_testkit::images;

const PROGRAM: &str = env!("CARGO_BIN_EXE_thinroot");

fn put(root: &Path, path: &str, content: &str, mode: u32) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
}

fn stanza(name: &str, version: &str) -> String {
    format!("Package: {name}\nStatus: install ok installed\nArchitecture: amd64\nVersion: {version}\n\n")
}

#[test]
fn two_images_are_compared() {
    let bench = Bench::new(PROGRAM);
    let old = bench.image_with(1, "", |root| {
        put(root, "var/lib/dpkg/status", &(stanza("bash", "5.1-1") + &stanza("gone", "1")), 0o644);
        put(root, "etc/default/x", "A=1\n", 0o644);
        put(root, "usr/bin/su", "su", 0o755);
    });
    let new = bench.image_with(2, "", |root| {
        put(root, "var/lib/dpkg/status", &(stanza("bash", "5.2-1") + &stanza("come", "2")), 0o644);
        put(root, "etc/default/x", "A=2\n", 0o644);
        put(root, "usr/bin/su", "su", 0o4755);
    });
    let run = bench.run(&format!("image diff {old} {new}"));
    assert_eq!(run.code, 0, "{run:?}");
    let wanted = "node-1-0 -> node-2-0\nkernels: 6.1.0-9, as before\npackages: 3 differences\n  ~ bash 5.1-1 -> 5.2-1\n  + come 2\n  - gone 1\naccounts: 0 differences\nconfiguration: 2 differences\n  ~ /etc/default/x (content)\n  ~ /etc/os-release (content)\n";
    assert!(run.stdout.starts_with(wanted), "{}", run.stdout);
    assert!(!run.stdout.contains("/usr/bin/su"), "{}", run.stdout);
    let paths = bench.run(&format!("image diff {old} {new} --paths")).stdout;
    assert!(paths.contains("  ~ /usr/bin/su (mode)\n"), "{paths}");
    let (code, told) = bench.json(&format!("image diff {old} {new} --old-as other-1-0"));
    assert_eq!(
        (code, told["old"]["id"].as_str(), told["diff"]["packages"][1]["new"][0].as_str()),
        (0, Some("other-1-0"), Some("2"))
    );
    let same = bench.run(&format!("image diff {old} {old}")).stdout;
    assert!(
        same.contains("packages: 0 differences\n") && same.contains("paths: 0 added, 0 removed, 0 changed, 0 in"),
        "{same}"
    );
    assert!(!bench.path("store").exists());
}

#[test]
fn what_should_not_go_out_is_told() {
    let bench = Bench::new(PROGRAM);
    let clean = bench.image_with(1, "", |root| put(root, "etc/machine-id", "", 0o444));
    let first = bench.run(&format!("image lint {clean}"));
    let bad = bench.image_with(2, "", |root| {
        put(root, "etc/machine-id", "0123456789abcdef0123456789abcdef\n", 0o444);
        put(root, "etc/ssh/ssh_host_ed25519_key", "key", 0o600);
        put(root, "root/.bash_history", "secret\n", 0o600);
        put(root, "usr/bin/own", "x", 0o4755);
    });
    let run = bench.run(&format!("image lint {bad} --previous {clean}"));
    assert_eq!(run.code, 4, "{run:?}");
    for line in [
        "error identity: a machine id that all hosts would share: ship it empty\n  /etc/machine-id\n",
        "error identity: a host key that all hosts would share: leave it out\n  /etc/ssh/ssh_host_ed25519_key\n",
        "warning traces: what was typed while it was built: leave it out\n  /root/.bash_history\n",
        "warning set-id: runs with more rights than its caller, and did not in node-1-0\n  /usr/bin/own\n",
    ] {
        assert!(run.stdout.contains(line), "{line} in {}", run.stdout);
        assert!(!first.stdout.contains(line), "{line} in {}", first.stdout);
    }
    let (code, told) = bench.json(&format!("image lint {clean} --previous {bad}"));
    assert_eq!(code, 4);
    assert!(told["findings"].as_array().unwrap().iter().any(|it| it["rule"] == "version"), "{told}");
    let cannot_boot = bench.image_with(3, "", |root| fs::remove_file(root.join("boot/initrd.img-6.1.0-9")).unwrap());
    let run = bench.run(&format!("image lint {cannot_boot}"));
    assert!(run.code == 4 && run.stdout.starts_with("error kernel: its kernel 6.1.0-9 has no initrd"), "{run:?}");
}

/// Writes a database of rpm's with one package of that version, and the keys that it keeps beside packages.
fn rpm_database(root: &Path, version: &str) {
    let work = root.parent().unwrap().join(format!("rpm-{version}"));
    let spec = format!(
        "Name: tool\nEpoch: 1\nVersion: {version}\nRelease: 1\nSummary: x\nLicense: MIT\nBuildArch: noarch\n%description\nx\n%files\n"
    );
    put(&work, "tool.spec", &spec, 0o644);
    let run = |program: &str, args: &[&str]| {
        let ran = std::process::Command::new(program).args(args).current_dir(&work).output().unwrap();
        assert!(ran.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&ran.stderr));
    };
    run("rpmbuild", &["-bb", "--define", &format!("_topdir {}", work.display()), "tool.spec"]);
    let database = root.join("usr/lib/sysimage/rpm");
    fs::create_dir_all(&database).unwrap();
    let package = format!("RPMS/noarch/tool-{version}-1.noarch.rpm");
    run("rpm", &["--dbpath", database.to_str().unwrap(), "--justdb", "--nodeps", "--install", &package]);
}

#[test]
fn packages_of_rpm_are_read_from_a_copy_of_its_database() {
    let bench = Bench::new(PROGRAM);
    let old = bench.image_with(1, "", |root| rpm_database(root, "1.0"));
    let new = bench.image_with(2, "", |root| rpm_database(root, "1.1"));
    let (code, told) = bench.json(&format!("image diff {old} {new}"));
    let packages = &told["diff"]["packages"];
    let wanted = serde_json::json!([{"name": "tool", "arch": "noarch", "old": ["1:1.0-1"], "new": ["1:1.1-1"]}]);
    assert_eq!((code, packages), (0, &wanted));
    let none = bench.image(3, "");
    assert!(bench.run(&format!("image diff {none} {new}")).stdout.contains("packages: not compared"));
}

#[test]
fn warnings_count_where_that_is_asked_for() {
    let bench = Bench::new(PROGRAM);
    let image = bench.image_with(1, "", |root| put(root, "root/.bash_history", "x\n", 0o600));
    let errors = |line: &str| bench.json(line).0;
    assert_eq!(errors(&format!("image lint {image} --strict")), 4);
    assert_eq!(errors(&format!("image lint {image}")), 0);
}

fn tree(bench: &Bench, name: &str) -> std::path::PathBuf {
    let root = bench.path(name);
    images::bootable_tree(&root, "1-0");
    images::rich_tree(&root);
    let long = "d".repeat(90);
    put(&root, &format!("srv/{long}/{long}/file"), "deep\n", 0o640);
    std::os::unix::fs::symlink("x".repeat(150), root.join("srv/link")).unwrap();
    root
}

#[test]
fn the_same_tree_gives_the_same_bytes_and_other_tools_read_them() {
    let bench = Bench::new(PROGRAM);
    let root = tree(&bench, "tree");
    let (first, second) = (bench.path("first.tar.zst"), bench.path("second.tar.zst"));
    let build = |image: &str, file: &Path| {
        bench.json(&format!("image build {image} {} --as node-7.1-2 --force", file.display()))
    };
    let (code, built) = build(&format!("dir:{}", root.display()), &first);
    assert!(code == 0 || code == 4, "{built}");
    assert_eq!(
        (built["image"]["id"].as_str(), built["file_bytes"].as_u64()),
        (Some("node-7.1-2"), Some(first.metadata().unwrap().len()))
    );
    // Through another kind of source, whose contents come in another order.
    let tar = bench.path("source.tar");
    images::gnu_tar(&root, &tar, &["--xattrs", "--xattrs-include=*"]);
    build(&format!("tar:{}", tar.display()), &second);
    assert_eq!(fs::read(&first).unwrap(), fs::read(&second).unwrap());
    // GNU tar makes the same tree of it.
    let out = bench.path("out");
    fs::create_dir_all(&out).unwrap();
    let unpacked = std::process::Command::new("tar")
        .args(["--extract", "--xattrs", "--xattrs-include=*", "--numeric-owner", "--same-permissions", "--file"])
        .args([&first, Path::new("--directory"), &out])
        .output()
        .unwrap();
    assert!(unpacked.status.success(), "{}", String::from_utf8_lossy(&unpacked.stderr));
    let (code, told) = bench.json(&format!("image diff dir:{} tar:{}", out.display(), first.display()));
    assert_eq!(
        (code, &told["diff"]["paths"], told["diff"]["times_only"].as_u64()),
        (0, &serde_json::json!([]), Some(0))
    );
    // An image that says who it is needs no telling.
    assert_eq!(bench.json(&format!("image inspect tar:{}", first.display())).1["image"]["id"], "node-7.1-2");
}

#[test]
fn nothing_is_built_that_lint_objects_to_and_nothing_is_written_over() {
    let bench = Bench::new(PROGRAM);
    let bad = bench.image_with(1, "", |root| put(root, "etc/ssh/ssh_host_rsa_key", "key", 0o600));
    let file = bench.path("out.tar");
    let refused = bench.run(&format!("image build {bad} {}", file.display()));
    assert_eq!((refused.code, file.exists()), (3, false), "{refused:?}");
    assert!(refused.stderr.contains("lint finds 1 error, the first: a host key"), "{refused:?}");
    assert_eq!(bench.run(&format!("image build {bad} {} --force", file.display())).code, 4);
    let before = fs::read(&file).unwrap();
    let again = bench.run(&format!("image build {bad} {} --force", file.display()));
    assert!(again.code == 3 && again.stderr.contains("not written over"), "{again:?}");
    assert_eq!(fs::read(&file).unwrap(), before);
    assert_eq!(bench.run(&format!("image build {bad} {} --force", bench.path("out.zip").display())).code, 3);
}

#[test]
fn times_are_clamped_where_that_is_asked_for() {
    let bench = Bench::new(PROGRAM);
    let image = bench.image(1, "");
    let built = |name: &str| {
        let file = bench.path(name);
        let run = bench.run(&format!("image build {image} {} --clamp-mtime 1000000000", file.display()));
        assert_eq!(run.code, 0, "{run:?}");
        fs::read(&file).unwrap()
    };
    let first = built("first.tar");
    std::thread::sleep(std::time::Duration::from_millis(20));
    bench.image(1, "");
    assert_eq!(built("second.tar"), first);
}
