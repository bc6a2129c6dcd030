//! The stage a demo plays on: a store in a work directory, the release program, and machines booted from the store.
//!
//! Separate from the scenario, so that the scenario reads as what a person would do. Everything shown is really run:
//! a command that ends otherwise than the scenario says ends the demo.

use std::fmt::Display;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::cache::Cache;
use crate::job::{Group, JobDir};
use crate::vm::{Boot, Start, Vm};
use crate::{Context, Result, workspace};

/// How paths of the store are shown and given: relative to the work directory.
const STORE: &str = "dir:store";

/// Builds the program as users get it.
pub fn release_program() -> Result<PathBuf> {
    println!("building thinroot (release)");
    let status = workspace::cargo(&["build", "--release", "--quiet", "--locked", "--package", "thinroot"]).status();
    if !status.context("run cargo build")?.success() {
        return Err("thinroot does not build; cargo's own words are above".into());
    }
    let target = workspace::metadata()?["target_directory"].as_str().map(PathBuf::from);
    Ok(target.ok_or("cargo metadata names no target directory")?.join("release/thinroot"))
}

/// A demo in progress.
#[derive(Debug)]
pub struct Stage {
    work: JobDir,
    program: PathBuf,
    section: u32,
    start: Instant,
}

impl Stage {
    /// Builds the release program and makes an empty work directory, which is removed at the end.
    pub fn set(cache: &Cache) -> Result<Self> {
        let program = release_program()?;
        Ok(Stage { work: cache.job("demo")?, program, section: 0, start: Instant::now() })
    }

    /// The release program.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// The work directory.
    pub fn work(&self) -> &Path {
        self.work.path()
    }

    /// Puts an archive of the cache into the work directory under a short name; gives it as `thinroot` takes it.
    pub fn bring(&self, archive: &Path, name: &str) -> Result<String> {
        let file = format!("{name}.tar.zst");
        // A link and no copy: work directory and cache are one file system.
        std::fs::hard_link(archive, self.work().join(&file)).context(format!("link {}", archive.display()))?;
        Ok(format!("tar:{file}"))
    }

    /// Begins a numbered section.
    pub fn section(&mut self, title: impl Display) {
        self.section += 1;
        println!("\n{}. {title}   [{:.0} s]\n", self.section, self.start.elapsed().as_secs_f32());
    }

    /// Says something in plain words.
    pub fn say(&self, words: impl Display) {
        println!("   {words}");
    }

    /// Runs `thinroot --store … ARGS`, shows the command line and all output, and wants exit code 0.
    pub fn thinroot(&self, args: &[&str]) -> Result<String> {
        self.thinroot_ending(args, &[0])
    }

    /// As [`Stage::thinroot`], with the exit codes that are right here; gives what it wrote to stdout.
    pub fn thinroot_ending(&self, args: &[&str], good: &[i32]) -> Result<String> {
        self.run(args, good, true)
    }

    /// As [`Stage::thinroot`], but shows nothing if all is well: for what the scenario itself wants to know.
    pub fn ask(&self, args: &[&str]) -> Result<String> {
        self.run(args, &[0], false)
    }

    fn run(&self, args: &[&str], good: &[i32], shown: bool) -> Result<String> {
        let mut words = vec!["--store", STORE];
        words.extend(args);
        let line = shell_line(&words);
        if shown {
            println!("   $ thinroot {line}");
        }
        let out = self.work().join("stdout");
        let file = std::fs::File::create(&out).context(format!("create {}", out.display()))?;
        let mut command = Command::new(&self.program);
        command.args(&words).current_dir(self.work()).stdin(Stdio::null()).stdout(file);
        let status = Group::spawn(&mut command, None)?.wait()?;
        let text = std::fs::read(&out).context(format!("read {}", out.display()))?;
        let text = String::from_utf8_lossy(&text).into_owned();
        if shown {
            text.lines().for_each(|line| println!("     {line}"));
            std::io::stdout().flush().context("write to stdout")?;
        }
        match status.code() {
            Some(code) if good.contains(&code) => Ok(text),
            Some(_) | None => Err(format!("thinroot {line}: {status}, expected exit code {good:?}")),
        }
    }

    /// The layer that has the next boot.
    pub fn armed(&self) -> Result<String> {
        let status: serde_json::Value =
            serde_json::from_str(&self.ask(&["--json", "status"])?).context("read the status")?;
        let layer = status["armed"]["layer"].as_str().or(status["default"].as_str());
        layer.map(String::from).ok_or_else(|| "nothing is armed and there is no default".into())
    }

    /// Switches a machine on with this layer's disk and boot entry, as a boot loader would.
    pub fn boot(&self, layer: &str) -> Result<Vm> {
        let store = self.work().join("store");
        let entry = Entry::of_layer(&store.join("boot"), layer)?;
        let file = |path: &str| store.join("boot").join(path.trim_start_matches('/'));
        let initrd = match &entry.initrds[..] {
            [one] => file(one),
            several => self.joined(several.iter().map(|path| file(path)))?,
        };
        let disk = store.join("volumes").join(format!("{layer}.img"));
        self.say(format!("booting {layer} in a virtual machine with its own kernel (emulated: about a minute)"));
        let start = Start::Kernel { kernel: file(&entry.linux), initrd, options: entry.options };
        Vm::boot(&Boot { disk, read_only: vec![], start })
    }

    /// The kernel takes several initrds as one file, one behind the other.
    fn joined(&self, files: impl Iterator<Item = PathBuf>) -> Result<PathBuf> {
        let joined = self.work().join("initrd");
        let mut bytes = Vec::new();
        for file in files {
            bytes.extend(std::fs::read(&file).context(format!("read {}", file.display()))?);
        }
        std::fs::write(&joined, bytes).context(format!("write {}", joined.display()))?;
        Ok(joined)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // Where thinroot mounts. It keeps the empty directories; a demo leaves nothing. In use or gone: not ours to judge.
        for dir in ["/run/thinroot/private", "/run/thinroot/mnt", "/run/thinroot"] {
            let _ = std::fs::remove_dir(dir);
        }
    }
}

/// What a boot loader reads of a Boot Loader Specification entry. Our own reader and not the engine's, so that the demo
/// would notice if the engine wrote what only the engine can read.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    linux: String,
    initrds: Vec<String>,
    options: String,
}

impl Entry {
    /// The one entry of this layer: its options name it.
    fn of_layer(boot: &Path, layer: &str) -> Result<Self> {
        let dir = boot.join("loader/entries");
        let mark = format!("thinroot.layer={layer}");
        let mut found = Vec::new();
        for file in std::fs::read_dir(&dir).context(format!("list {}", dir.display()))? {
            let path = file.context(format!("list {}", dir.display()))?.path();
            let text = std::fs::read_to_string(&path).context(format!("read {}", path.display()))?;
            match Entry::parse(&text) {
                Some(entry) if entry.options.split_whitespace().any(|word| word == mark) => found.push(entry),
                Some(_) => {}
                None => return Err(format!("{} has no linux or initrd line", path.display())),
            }
        }
        match (found.pop(), found.is_empty()) {
            (Some(entry), true) => Ok(entry),
            (Some(_), false) => Err(format!("{} has several entries of {layer}", dir.display())),
            (None, _) => Err(format!("{} has no entry of {layer}", dir.display())),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let values = |key: &str| -> Vec<String> {
            let value =
                |line: &str| line.trim().strip_prefix(key)?.strip_prefix([' ', '\t']).map(|v| v.trim().to_string());
            text.lines().filter_map(value).collect()
        };
        let initrds = values("initrd");
        let linux = values("linux").pop()?;
        (!initrds.is_empty()).then(|| Entry { linux, initrds, options: values("options").join(" ") })
    }
}

/// Words as one line that could be pasted into a shell.
fn shell_line(words: &[&str]) -> String {
    let plain =
        |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c));
    let quoted =
        |word: &&str| if plain(word) { word.to_string() } else { format!("'{}'", word.replace('\'', r"'\''")) };
    words.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_entry_of_a_layer_among_others() {
        let boot = std::env::temp_dir().join(format!("xtask-stage-{}", std::process::id()));
        let dir = boot.join("loader/entries");
        std::fs::create_dir_all(&dir).unwrap();
        let entry = |n: u32| {
            format!(
                "title  Demo\nlinux\t/k{n}\ninitrd     /a\ninitrd     /b\noptions    root=x rw\noptions    thinroot.layer=demo-1-1+{n}\n"
            )
        };
        for n in [1, 11] {
            std::fs::write(dir.join(format!("demo-1-1+{n}-6.1.conf")), entry(n)).unwrap();
        }
        let want = Entry {
            linux: "/k1".into(),
            initrds: vec!["/a".into(), "/b".into()],
            options: "root=x rw thinroot.layer=demo-1-1+1".into(),
        };
        assert_eq!(Entry::of_layer(&boot, "demo-1-1+1"), Ok(want));
        assert!(Entry::of_layer(&boot, "demo-1-1+2").unwrap_err().contains("no entry"));
        std::fs::write(dir.join("second.conf"), entry(1)).unwrap();
        assert!(Entry::of_layer(&boot, "demo-1-1+1").unwrap_err().contains("several"));
        std::fs::remove_dir_all(boot).unwrap();
    }

    #[test]
    fn shown_lines_can_be_pasted() {
        assert_eq!(
            shell_line(&["layer", "shell", "demo-1-1+1", "--", "sh", "-c", "echo it's"]),
            r"layer shell demo-1-1+1 -- sh -c 'echo it'\''s'"
        );
    }
}
