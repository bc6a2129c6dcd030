//! Goal: our packages install, upgrade and go as those of a distribution do, and never stop the unit that catches up.
//!
//! Method: real dpkg and rpm on empty roots. A small program stands for ours, because what is tested is the packing.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use xtask::dist::{Facts, Kind, pack};

const UNIT: &str = "usr/lib/systemd/system/thinroot-catch-up.service";
const WANTED: &str = "etc/systemd/system/multi-user.target.wants/thinroot-catch-up.service";
const CHECKED: &str = "etc/systemd/system/boot-complete.target.requires/thinroot-health.service";

/// A directory that goes with its test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let path = std::env::temp_dir().join(format!("thinroot-dist-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Scratch(path)
    }

    fn dir(&self, name: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(&path).unwrap();
        path
    }

    fn packed(&self, kind: Kind, version: &str) -> PathBuf {
        let facts = Facts { version: version.into(), epoch: 1_700_000_000, homepage: "https://example.invalid".into() };
        pack(kind, Path::new("/usr/bin/true"), &facts, &self.dir("work"), &self.dir("out")).unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

fn good(command: &mut Command) -> Output {
    let out = command.env("LC_ALL", "C").output().unwrap();
    assert!(out.status.success(), "{command:?}: {out:?}");
    out
}

fn dpkg(root: &Path, args: &[&str]) {
    let mut command = Command::new("dpkg");
    // The root has none of what the package depends on, and no shell: its scripts run out here, told where the root is.
    command.args(["--force-depends", "--force-script-chrootless", "--log=/dev/null"]);
    command.arg(format!("--root={}", root.display())).args(args);
    good(&mut command);
}

fn helper(root: &Path, verb: &str) -> bool {
    let mut command = Command::new("deb-systemd-helper");
    command.args(["--quiet", verb, "thinroot-catch-up.service"]).env("DPKG_ROOT", root);
    // Only for enabling, so that it knows in whose name it speaks.
    command.env("DPKG_MAINTSCRIPT_PACKAGE", "thinroot").status().unwrap().success()
}

#[test]
fn a_debian_package_comes_and_goes() {
    let scratch = Scratch::new("deb");
    let root = scratch.dir("root");
    for dir in ["var/lib/dpkg/info", "var/lib/dpkg/updates", "var/lib/dpkg/triggers", "etc"] {
        fs::create_dir_all(root.join(dir)).unwrap();
    }
    fs::write(root.join("var/lib/dpkg/status"), "").unwrap();
    let (old, new) = (scratch.packed(Kind::Deb, "1.0~git1"), scratch.packed(Kind::Deb, "1.0"));
    dpkg(&root, &["--install", old.to_str().unwrap()]);
    assert!(root.join("usr/bin/thinroot").is_file() && root.join(UNIT).is_file());
    assert!(root.join("usr/share/man/man8/thinroot-update.8.gz").is_file());
    assert!(fs::symlink_metadata(root.join(WANTED)).is_ok(), "the unit is not enabled");
    assert!(fs::symlink_metadata(root.join(CHECKED)).is_ok(), "the health checks are not enabled");
    for path in [
        "usr/share/initramfs-tools/hooks/thinroot",
        "usr/share/initramfs-tools/scripts/init-top/thinroot",
        "usr/lib/dracut/modules.d/95thinroot/module-setup.sh",
    ] {
        // What makes initrds passes over what is not executable.
        assert_eq!(fs::metadata(root.join(path)).unwrap().permissions().mode() & 0o777, 0o755, "{path}");
    }
    let example = root.join("usr/share/doc/thinroot/examples/health/required/10-services");
    assert_eq!(fs::metadata(example).unwrap().permissions().mode() & 0o777, 0o755);
    // What the admin chose outlives an upgrade.
    assert!(helper(&root, "disable") && fs::symlink_metadata(root.join(WANTED)).is_err());
    dpkg(&root, &["--install", new.to_str().unwrap()]);
    assert!(fs::symlink_metadata(root.join(WANTED)).is_err(), "the upgrade enabled the unit");
    let said = good(Command::new("dpkg-query").arg(format!("--root={}", root.display())).args(["-W", "thinroot"]));
    assert_eq!(String::from_utf8_lossy(&said.stdout), "thinroot\t1.0\n");
    good(Command::new("dpkg").arg(format!("--root={}", root.display())).args(["--verify", "thinroot"]));
    // What is the host's stays.
    fs::create_dir_all(root.join("etc/thinroot/state.d")).unwrap();
    fs::write(root.join("etc/thinroot/state.d/mine.policy"), "/data carry\n").unwrap();
    dpkg(&root, &["--remove", "thinroot"]);
    assert!(!root.join("usr/bin/thinroot").exists() && !root.join(UNIT).exists());
    dpkg(&root, &["--purge", "thinroot"]);
    assert!(root.join("etc/thinroot/state.d/mine.policy").is_file());
    let left = good(Command::new("find").arg(&root).args(["-name", "thinroot-*.service*"]));
    assert_eq!(String::from_utf8_lossy(&left.stdout), "");
}

/// A root with a shell, and a systemctl that writes down what it was asked.
fn rpm_root(scratch: &Scratch) -> PathBuf {
    let root = scratch.dir("root");
    for dir in ["bin", "usr/bin", "run/systemd/system", "var/lib/rpm"] {
        fs::create_dir_all(root.join(dir)).unwrap();
    }
    fs::copy("/bin/busybox", root.join("bin/busybox")).unwrap();
    symlink("busybox", root.join("bin/sh")).unwrap();
    let systemctl = root.join("usr/bin/systemctl");
    fs::write(&systemctl, "#!/bin/sh\necho \"$*\" >> /asked\n").unwrap();
    fs::set_permissions(&systemctl, PermissionsExt::from_mode(0o755)).unwrap();
    root
}

#[test]
fn an_rpm_package_comes_and_goes() {
    let scratch = Scratch::new("rpm");
    let root = rpm_root(&scratch);
    let rpm = |args: &[&str]| {
        let mut command = Command::new("rpm");
        command.arg("--root").arg(&root).args(["--dbpath", "/var/lib/rpm", "--nodeps"]).args(args);
        good(&mut command);
        let asked = fs::read_to_string(root.join("asked")).unwrap_or_default();
        fs::write(root.join("asked"), "").unwrap();
        asked.lines().map(String::from).collect::<Vec<_>>()
    };
    let (old, new) = (scratch.packed(Kind::Rpm, "1.0~git1"), scratch.packed(Kind::Rpm, "1.0"));
    let unit = "thinroot-catch-up.service";
    let all = format!("{unit} thinroot-health.service thinroot-bless.service");
    let start = [format!("--quiet is-enabled {unit}"), format!("start {unit}")];
    let asked = rpm(&["--install", old.to_str().unwrap()]);
    let wanted = [vec![format!("--no-reload preset {all}"), "daemon-reload".into()], start.to_vec()].concat();
    assert_eq!(asked, wanted);
    assert!(root.join("usr/bin/thinroot").is_file() && root.join(UNIT).is_file());
    assert!(root.join("usr/lib/systemd/system-preset/80-thinroot.preset").is_file());
    rpm(&["--verify", "thinroot"]);
    // An upgrade neither enables nor stops it.
    let asked = rpm(&["--upgrade", new.to_str().unwrap()]);
    assert_eq!(asked, [vec!["daemon-reload".into()], start.to_vec(), vec!["daemon-reload".into()]].concat());
    let asked = rpm(&["--erase", "thinroot"]);
    assert_eq!(asked, [format!("--no-reload disable {all}"), "daemon-reload".into()]);
    assert!(!root.join("usr/bin/thinroot").exists() && !root.join(UNIT).exists());
}

#[test]
fn equal_input_gives_equal_packages() {
    let (one, other) = (Scratch::new("one"), Scratch::new("other"));
    for kind in [Kind::Deb, Kind::Rpm] {
        let bytes = [&one, &other].map(|scratch| fs::read(scratch.packed(kind, "1.0")).unwrap());
        assert!(bytes[0] == bytes[1], "{kind:?}");
    }
}

#[test]
fn the_hook_for_kernels_does_nothing_where_no_layer_runs() {
    let hook = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/kernel/hook.sh");
    let scratch = Scratch::new("hook");
    for (name, args) in [
        ("kernel/postinst.d", vec!["6.1", "/boot/vmlinuz-6.1"]),
        ("kernel/postrm.d", vec!["6.1"]),
        ("install.d", vec!["add", "6.1"]),
        ("kernel/postinst.d", vec![]),
    ] {
        let place = scratch.dir(name).join("zz-thinroot");
        fs::copy(&hook, &place).unwrap();
        let out = good(Command::new("sh").arg(&place).args(&args));
        assert_eq!((out.stdout.as_slice(), out.stderr.as_slice()), (&b""[..], &b""[..]), "{name} {args:?}");
    }
}
