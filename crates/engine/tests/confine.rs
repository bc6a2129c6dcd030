//! Goal: a program of an image can look at its tree and say what it thinks, and nothing else.
//!
//! Method: a tree of busybox and nothing more; programs that try what they may not, in real namespaces. Needs root.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use thinroot_engine::confine::{Confined, Ran};

struct Tree(tempfile::TempDir);

impl Tree {
    fn new() -> Tree {
        let dir = tempfile::tempdir().unwrap();
        for name in ["bin", "etc", "tmp", "run", "dev", "var/tmp"] {
            fs::create_dir_all(dir.path().join(name)).unwrap();
        }
        fs::copy("/bin/busybox", dir.path().join("bin/busybox")).unwrap();
        for name in ["sh", "cat", "wc", "sleep", "mount", "tr", "grep", "mkdir", "chroot", "ip", "mknod", "ls", "chown"]
        {
            symlink("busybox", dir.path().join("bin").join(name)).unwrap();
        }
        for name in ["rm", "head", "hostname", "date", "true"] {
            symlink("busybox", dir.path().join("bin").join(name)).unwrap();
        }
        fs::write(dir.path().join("etc/conf"), "content\n").unwrap();
        Tree(dir)
    }

    fn root(&self) -> &Path {
        self.0.path()
    }

    fn confined(&self, script: &str) -> Confined {
        Confined::new(self.root(), &["/bin/sh", "-c", script].map(String::from))
    }

    fn run(&self, script: &str) -> Ran {
        self.confined(script).run().unwrap()
    }
}

#[test]
fn it_sees_its_tree_and_says_what_it_thinks() {
    let tree = Tree::new();
    let ran = tree.run("cat /etc/conf; echo bad >&2; exit 3");
    assert_eq!((ran.code, ran.timed_out, ran.said.as_str()), (Some(3), false, "content\nbad"));
    assert!(!ran.good() && tree.run("true").good());
    let missing = Confined::new(tree.root(), &["/no/such".to_string()]).run().unwrap();
    assert!(missing.code == Some(127) && missing.said.contains("No such file"), "{missing:?}");
}

#[test]
fn it_can_write_nothing_but_what_it_is_given() {
    let tree = Tree::new();
    let out = tempfile::tempdir().unwrap();
    let shown = tempfile::tempdir().unwrap();
    fs::write(shown.path().join("old"), "old\n").unwrap();
    let script = "echo x > /etc/conf; echo x > /new; rm /etc/conf; mount -o remount,rw / 2>/dev/null; echo y > /new
                  echo t > /tmp/t && cat /tmp/t; echo z > /dev/null && head -c 1 /dev/zero | wc -c
                  echo result > /run/out/r; cat /run/shown/old; echo x > /run/shown/old; chown 33 /run/out/r";
    let confined = tree.confined(script).bind(out.path(), "out", true).bind(shown.path(), "shown", false);
    let ran = confined.directory("sshd").run().unwrap();
    assert!(ran.said.contains("t\n1\nold"), "{ran:?}");
    assert_eq!(fs::read_to_string(tree.root().join("etc/conf")).unwrap(), "content\n");
    assert!(!tree.root().join("new").exists() && !tree.root().join("run/out").exists());
    assert_eq!(fs::read_to_string(out.path().join("r")).unwrap(), "result\n");
    assert_eq!(fs::read_to_string(shown.path().join("old")).unwrap(), "old\n");
    assert_eq!(fs::read_dir(tree.root().join("tmp")).unwrap().count(), 0, "its files in memory are gone");
}

#[test]
fn it_is_alone_and_powerless() {
    let tree = Tree::new();
    // Its own process is the first one there is; there is no network device, no other host file, no way out.
    let script = "echo $$; mkdir /tmp/x && mount -t tmpfs x /tmp/x; chroot /tmp /bin/true; ls / | tr '\\n' ' '
                  ip link 2>/dev/null | grep -c UP; mknod /tmp/disk b 8 0; hostname changed; date -s 2001-01-01";
    let ran = tree.run(script);
    assert!(ran.said.starts_with("1\n"), "{ran:?}");
    assert!(ran.said.contains("bin dev etc run tmp var "), "{ran:?}");
    for refused in ["mount: ", "mknod: ", "hostname: ", "date: "] {
        assert!(ran.said.contains(refused), "{refused}{ran:?}");
    }
    assert_ne!(fs::read_to_string("/proc/sys/kernel/hostname").unwrap().trim(), "changed");
}

#[test]
fn its_time_is_limited_and_nothing_of_it_is_left() {
    let tree = Tree::new();
    let script = "echo begun; (while true; do sleep 97531; done) & trap '' TERM INT; sleep 97531";
    let ran = tree.confined(script).limit(Duration::from_millis(500)).run().unwrap();
    assert_eq!((ran.code, ran.timed_out, ran.said.as_str()), (None, true, "begun"));
    let left = fs::read_dir("/proc").unwrap().filter_map(|entry| fs::read(entry.unwrap().path().join("cmdline")).ok());
    assert_eq!(left.filter(|line| line.windows(5).any(|part| part == b"97531")).count(), 0);
    // What a finished program left running is gone too.
    assert!(tree.run("sleep 97531 & true").good());
    let long = tree.run("i=0; while [ $i -lt 20000 ]; do echo 0123456789; i=$((i+1)); done; echo end");
    assert!(long.said.len() <= 16 << 10 && long.said.ends_with("\nend"), "{}", long.said.len());
}

#[test]
fn links_of_a_hostile_tree_lead_nowhere() {
    let tree = Tree::new();
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("mine"), "mine\n").unwrap();
    for name in ["tmp", "run", "dev", "var/tmp"] {
        let at = tree.root().join(name);
        fs::remove_dir(&at).unwrap();
        symlink(outside.path(), &at).unwrap();
    }
    let ran = tree.run("echo x > /tmp/mine; echo y > /tmp/new; cat /etc/conf");
    assert!(ran.said.contains("content"), "{ran:?}");
    assert_eq!(fs::read_to_string(outside.path().join("mine")).unwrap(), "mine\n");
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
    let bound = tree.confined("true").bind(outside.path(), "out", true).run();
    assert!(bound.unwrap_err().to_string().contains("no directory /run"));
}
