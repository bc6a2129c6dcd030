//! The real program on a store in a directory, with tiny bootable images.
//!
//! Needs root, loop devices, busybox and e2fsprogs. The path of the program comes from the test that has it built.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::images;
use crate::scratch::Scratch;

/// A store, images, and the way to run the program on them.
#[derive(Debug)]
pub struct Bench {
    program: PathBuf,
    dir: Scratch,
}

/// What a run of the program gave.
#[derive(Debug)]
pub struct Run {
    /// Its exit code.
    pub code: i32,
    /// What it answered.
    pub stdout: String,
    /// What it told.
    pub stderr: String,
}

impl Bench {
    /// An empty one for the program at this path.
    pub fn new(program: &str) -> Bench {
        Bench { program: program.into(), dir: Scratch::new() }
    }

    /// With a store, the base and the default layer of version 1 in it.
    pub fn with_layer(program: &str) -> Bench {
        let bench = Bench::new(program);
        let image = bench.image(1, "");
        for line in ["init", &format!("base add {image} --size 160M"), "layer fork node-1-0"] {
            assert_eq!(bench.run(line).code, 0, "{line}");
        }
        bench
    }

    /// Something in its directory.
    pub fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join(below)
    }

    /// A tiny bootable image with busybox; its /etc/conf begins with `first`.
    pub fn image(&self, version: u32, first: &str) -> String {
        self.image_with(version, first, |_| {})
    }

    /// The same with something more done to its tree.
    pub fn image_with(&self, version: u32, first: &str, more: impl FnOnce(&Path)) -> String {
        let root = self.path(&format!("tree-{version}"));
        if root.exists() {
            fs::remove_dir_all(&root).expect("it works");
        }
        images::bootable_tree(&root, &format!("{version}-0"));
        fs::create_dir_all(root.join("bin")).expect("it works");
        fs::copy("/bin/busybox", root.join("bin/busybox")).expect("it works");
        std::os::unix::fs::symlink("busybox", root.join("bin/sh")).expect("it works");
        fs::write(root.join("etc/conf"), format!("first={first}\na\nb\nc\nd\nlast=\n")).expect("it works");
        more(&root);
        let tar = self.path(&format!("node-{version}.tar"));
        images::gnu_tar(&root, &tar, &[]);
        format!("tar:{}", tar.display())
    }

    /// The program with these arguments on this store.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.env("THINROOT_STORE", format!("dir:{}", self.path("store").display()));
        command.env_remove("THINROOT_BOOT_DIR").args(args);
        command
    }

    /// Runs the program with a line of arguments.
    pub fn run(&self, line: &str) -> Run {
        Run::of(self.command(&line.split_whitespace().collect::<Vec<_>>()).output())
    }

    /// Edits a layer as its admin does.
    pub fn edit(&self, layer: &str, script: &str) -> Run {
        Run::of(self.command(&["layer", "shell", layer, "--", "/bin/sh", "-c", script]).output())
    }

    /// The one object a run prints with `--json`, and its exit code.
    pub fn json(&self, line: &str) -> (i32, Value) {
        let run = self.run(&format!("--json {line}"));
        for event in run.stderr.lines() {
            let event: Value = serde_json::from_str(event).unwrap_or_else(|e| panic!("{event}: {e}"));
            assert!(event["event"].is_string(), "{event}");
        }
        assert_eq!(run.stdout.lines().count(), 1, "{run:?}");
        (run.code, serde_json::from_str(&run.stdout).expect("it works"))
    }

    /// Every file of the store with its content (of volumes: size and time), but the lock.
    pub fn portrait(&self) -> BTreeMap<PathBuf, String> {
        let mut found = BTreeMap::new();
        let mut dirs = vec![self.path("store")];
        while let Some(dir) = dirs.pop() {
            for entry in fs::read_dir(&dir).expect("it works") {
                let path = entry.expect("it works").path();
                let meta = fs::symlink_metadata(&path).expect("it works");
                if meta.is_dir() {
                    dirs.push(path.clone());
                } else if path.extension().is_some_and(|ext| ext == "img") {
                    found.insert(path, format!("{} {:?}", meta.len(), meta.modified().expect("it works")));
                } else if path.file_name().is_none_or(|name| name != "lock") {
                    found.insert(path.clone(), format!("{:x?}", fs::read(&path).expect("it works")));
                }
            }
        }
        found
    }
}

impl Run {
    /// Of a program that ended.
    pub fn of(output: std::io::Result<Output>) -> Run {
        let output = output.expect("start the program");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("its output is text");
        Run { code: output.status.code().expect("it exits"), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}
