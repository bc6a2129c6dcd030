//! What an update makes of configuration and of flags, as the real program does it.

use std::fs;

use thinroot_testkit::bench::Bench;

const PROGRAM: &str = env!("CARGO_BIN_EXE_thinroot");

#[test]
fn configuration_is_merged_by_key() {
    let bench = Bench::new(PROGRAM);
    let image = |version: u32, unit: &str, json: &str, fstab: &str, new: Option<&str>| {
        bench.image_with(version, "", |root| {
            fs::create_dir_all(root.join("etc/systemd")).unwrap();
            fs::create_dir_all(root.join("etc/docker")).unwrap();
            fs::write(root.join("etc/systemd/journald.conf"), unit).unwrap();
            fs::write(root.join("etc/docker/daemon.json"), json).unwrap();
            fs::write(root.join("etc/fstab"), fstab).unwrap();
            if let Some(new) = new {
                fs::create_dir_all(root.join("etc/sysctl.d")).unwrap();
                fs::write(root.join("etc/sysctl.d/10-x.conf"), new).unwrap();
            }
        })
    };
    let unit = "[Journal]\nStorage=auto\nCompress=yes\n";
    let first = image(1, unit, "{\"a\":1,\"b\":[\"x\"]}\n", "UUID=a / ext4 defaults 0 1\n", None);
    for line in ["init", &format!("base add {first} --size 160M"), "layer fork node-1-0"] {
        assert_eq!(bench.run(line).code, 0, "{line}");
    }
    let script = "printf '[Journal]\\nStorage=persistent\\nCompress=no\\n' > /etc/systemd/journald.conf
                  printf '{\"a\":1,\"b\":[\"x\",\"mine\"]}\\n' > /etc/docker/daemon.json
                  printf 'UUID=a / ext4 defaults,noatime 0 1\\nUUID=c /srv xfs defaults 0 0\\n' > /etc/fstab
                  busybox mkdir /etc/sysctl.d; printf 'vm.a = 1\\nvm.b = 1\\n' > /etc/sysctl.d/10-x.conf";
    assert_eq!(bench.edit("node-1-0+1", script).code, 0);
    let second = image(
        2,
        "[Journal]\nStorage=volatile\nCompress=yes\nSeal=yes\n",
        "{\"b\":[\"y\"],\"a\":2}\n",
        "UUID=a / ext4 defaults,discard 0 1\n",
        Some("vm.b = 2\nvm.c = 1\n"),
    );
    let (code, update) = bench.json(&format!("update {second}"));
    assert_eq!(code, 4, "{update}");
    let read = |path: &str| bench.edit("node-2-0+1", &format!("busybox cat {path}")).stdout;
    assert_eq!(read("/etc/systemd/journald.conf"), "[Journal]\nStorage=persistent\nCompress=no\nSeal=yes\n");
    assert_eq!(read("/etc/docker/daemon.json"), "{\"b\":[\"y\",\"mine\"],\"a\":2}\n");
    assert_eq!(read("/etc/fstab"), "UUID=a / ext4 defaults,discard,noatime 0 1\nUUID=c /srv xfs defaults 0 0\n");
    assert_eq!(read("/etc/sysctl.d/10-x.conf"), "vm.a = 1\nvm.b = 1\nvm.c = 1\n");
    let conflicts = bench.run("state conflicts").stdout;
    assert!(conflicts.contains("[Journal] Storage") && conflicts.contains("vm.b"), "{conflicts}");
    assert!(!conflicts.contains("fstab") && !conflicts.contains("daemon"), "{conflicts}");
}

/// Runs a command of this machine on a mounted layer, which `{}` stands for; in a mount namespace of its own, or whoever
/// makes a copy of ours meanwhile holds the mount.
fn outside(bench: &Bench, layer: &str, command: &str) -> String {
    let at = bench.path("mnt");
    fs::create_dir_all(&at).unwrap();
    let command = command.replace("{}", &at.display().to_string());
    let script = format!(
        "set -e; THINROOT_STORE=dir:{} {PROGRAM} --quiet layer mount {layer} {} >/dev/null; {command}; umount {}",
        bench.path("store").display(),
        at.display(),
        at.display()
    );
    let out = std::process::Command::new("unshare").args(["-m", "sh", "-c", &script]).output().unwrap();
    assert!(out.status.success(), "{script}: {out:?}");
    String::from_utf8(out.stdout).unwrap()
}

#[test]
fn inode_flags_are_a_facet_of_their_own() {
    let bench = Bench::with_layer(PROGRAM);
    assert_eq!(bench.edit("node-1-0+1", "echo x > /etc/log; busybox mkdir /etc/dir; echo a > /etc/dir/a").code, 0);
    let lock = "chattr +i {}/etc/conf && chattr +a {}/etc/log && chattr +i {}/etc/dir/a {}/etc/dir";
    outside(&bench, "node-1-0+1", lock);
    let diff = bench.run("state diff");
    assert!(diff.stdout.contains("/etc/conf (inode flags)"), "{diff:?}");
    let update = bench.run(&format!("update {}", bench.image(2, "theirs")));
    assert_eq!(update.code, 0, "{update:?}");
    let paths = ["/etc/conf", "/etc/log", "/etc/dir", "/etc/dir/a", "/etc"];
    let flags = |layer: &str, paths: &[&str]| -> Vec<String> {
        let all: String = paths.iter().map(|path| format!(" {{}}{path}")).collect();
        let letters = |line: &str| -> String {
            line.split(' ').next().unwrap().chars().filter(|letter| "iad".contains(*letter)).collect()
        };
        outside(&bench, layer, &format!("lsattr -d{all}")).lines().map(letters).collect()
    };
    let new = "node-2-0+1";
    assert_eq!(flags(new, &paths), ["i", "a", "i", "i", ""]);
    // Its content is the new image's: the flag alone was changed here.
    assert_eq!(bench.edit(new, "busybox cat /etc/conf").stdout, "first=theirs\na\nb\nc\nd\nlast=\n");
    // What is locked can be undone.
    let undone = bench.run("state undo --all");
    assert_eq!(undone.code, 0, "{undone:?}");
    assert_eq!(flags(new, &["/etc/conf"]), [""]);
    assert_eq!(bench.edit(new, "test ! -e /etc/dir/a && test ! -e /etc/log").code, 0);
    assert_eq!(bench.run("bless").code, 0);
    // So can be what is locked in a layer that is gone back to, and has been unlocked since.
    let more = "echo new >> /etc/conf; busybox mkdir /etc/dir; echo b > /etc/dir/a";
    assert_eq!(bench.edit(new, more).code, 0);
    let back = bench.run("rollback --carry-state");
    assert_eq!(back.code, 0, "{back:?}");
    assert_eq!(bench.edit("node-1-0+2", "busybox cat /etc/dir/a; test ! -e /etc/log").stdout, "b\n");
    assert_eq!(flags("node-1-0+2", &["/etc/conf", "/etc/dir", "/etc/dir/a"]), ["", "", ""]);
}

#[test]
fn a_unit_stays_as_it_was_decided_here_whatever_links_the_image_makes() {
    let bench = Bench::new(PROGRAM);
    let image = |version: u32, by: &str, gone: bool| {
        bench.image_with(version, "", |root| {
            let units = root.join("usr/lib/systemd/system");
            let wants = root.join(format!("etc/systemd/system/{by}.wants"));
            fs::create_dir_all(&units).unwrap();
            fs::create_dir_all(&wants).unwrap();
            fs::create_dir_all(root.join("etc/alternatives")).unwrap();
            for name in ["off", "on", "image"] {
                fs::write(units.join(format!("{name}.service")), format!("[Install]\nWantedBy={by}\n")).unwrap();
            }
            for name in ["off", "image"] {
                let target = format!("/usr/lib/systemd/system/{name}.service");
                std::os::unix::fs::symlink(target, wants.join(format!("{name}.service"))).unwrap();
            }
            std::os::unix::fs::symlink("/bin/busybox", root.join("etc/alternatives/editor")).unwrap();
            if !gone {
                fs::write(units.join("gone.service"), format!("[Install]\nWantedBy={by}\n")).unwrap();
                fs::write(root.join("usr/bin/vi"), "vi").unwrap();
            }
        })
    };
    let first = image(1, "multi-user.target", false);
    for line in ["init", &format!("base add {first} --size 160M"), "layer fork node-1-0"] {
        assert_eq!(bench.run(line).code, 0, "{line}");
    }
    let script = "cd /etc/systemd/system/multi-user.target.wants; busybox rm off.service
                  busybox ln -s /usr/lib/systemd/system/on.service .; busybox ln -s /usr/lib/systemd/system/gone.service .
                  busybox ln -s /dev/null /etc/systemd/system/never.service
                  busybox ln -sf /usr/bin/vi /etc/alternatives/editor";
    assert_eq!(bench.edit("node-1-0+1", script).code, 0);
    let update = bench.run(&format!("update {}", image(2, "graphical.target", true)));
    assert_eq!(update.code, 4, "{update:?}");
    let listed =
        "cd /etc/systemd/system; busybox find . -type l | busybox sort; busybox readlink /etc/alternatives/editor";
    assert_eq!(
        bench.edit("node-2-0+1", listed).stdout,
        "./graphical.target.wants/image.service\n./graphical.target.wants/on.service\n./never.service\n/bin/busybox\n"
    );
    let (_, status) = bench.json("status");
    let told = status["last"]["detail"].as_str().unwrap();
    assert!(told.contains("gone.service is enabled here and no longer in the new image"), "{told}");
    assert!(told.contains("/etc/alternatives/editor") && told.contains("whose own choice holds"), "{told}");
}

#[test]
fn versions_are_skipped_and_a_lost_base_is_not_missed() {
    let bench = Bench::with_layer(PROGRAM);
    assert_eq!(bench.edit("node-1-0+1", "busybox sed -i s/last=/last=mine/ /etc/conf").code, 0);
    assert_eq!(bench.run(&format!("update {}", bench.image(2, "theirs"))).code, 0);
    assert_eq!(bench.run("bless").code, 0);
    assert_eq!(bench.edit("node-2-0+1", "busybox sed -i s/^b$/B/ /etc/conf").code, 0);
    // The base is gone, from here and from wherever it came; versions 3 and 4 never were here.
    let base = bench.path("store/volumes/node-2-0.img");
    assert!(std::process::Command::new("chattr").arg("-i").arg(&base).status().unwrap().success());
    fs::remove_file(base).unwrap();
    fs::remove_file(bench.path("store/volumes/node-2-0.json")).unwrap();
    fs::remove_file(bench.path("node-2.tar")).unwrap();
    let update = bench.run(&format!("update {}", bench.image(5, "five")));
    assert_eq!(update.code, 0, "{update:?}");
    let conf = bench.edit("node-5-0+1", "busybox cat /etc/conf").stdout;
    assert_eq!(conf, "first=five\na\nB\nc\nd\nlast=mine\n");
}

#[test]
fn a_generated_resolver_file_is_not_carried_and_one_by_hand_is() {
    let hand = "printf 'nameserver 10.0.0.1\\n' > /etc/resolv.conf";
    let generated = "printf '# Generated by NetworkManager\\nnameserver 10.0.0.1\\n' > /etc/resolv.conf";
    for (script, carried) in [(hand, "nameserver 10.0.0.1\n"), (generated, "")] {
        let bench = Bench::with_layer(PROGRAM);
        assert_eq!(bench.edit("node-1-0+1", script).code, 0);
        assert_eq!(bench.run(&format!("update {}", bench.image(2, ""))).code, 0);
        assert_eq!(bench.edit("node-2-0+1", "busybox cat /etc/resolv.conf").stdout, carried);
    }
}
