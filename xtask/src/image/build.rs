//! The building itself: mmdebstrap into a directory, finish, archive.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{Mirror, PACKAGES, Slot, finish, mirror};
use crate::cache::Cache;
use crate::job::{Group, JobDir};
use crate::{Context, Result};

/// A build normally takes two minutes; a stuck download must become an error.
const LIMIT: Duration = Duration::from_secs(1800);
/// How often a long build says that it is still there.
const TICK: Duration = Duration::from_secs(20);
/// How many packages a weekly image upgrades.
const WEEKLY_PACKAGES: usize = 8;
/// Any fixed moment: it goes into the initrd and the password ages.
const BUILD_EPOCH: &str = "1700000000";

/// Builds the image of the point release and from it, if wanted, the weekly one.
pub fn first(cache: &Cache, mirror: &Mirror, slot: &Slot, weekly: Option<&Slot>) -> Result<()> {
    let build = Build::bootstrap(cache, slot.name, &mirror.point_release())?;
    build.keep(slot, "1")?;
    match weekly {
        Some(weekly) => build.upgrade_a_few(&mirror.updated())?.keep(weekly, "1.1"),
        None => Ok(()),
    }
}

/// Builds the image with all updates.
pub fn second(cache: &Cache, mirror: &Mirror, slot: &Slot) -> Result<()> {
    Build::bootstrap(cache, slot.name, &mirror.updated())?.keep(slot, "2")
}

struct Build {
    name: &'static str,
    job: JobDir,
}

impl Build {
    fn bootstrap(cache: &Cache, name: &'static str, sources: &str) -> Result<Self> {
        let build = Build { name, job: cache.job(name)? };
        let skeleton = build.job.path().join("skeleton");
        finish::write_skeleton(&skeleton)?;
        let list = build.job.path().join("sources");
        std::fs::write(&list, sources).context(format!("write {}", list.display()))?;
        let mut command = isolated();
        command.args(["mmdebstrap", "--mode=root", "--variant=minbase", "--format=directory"]);
        command.arg(format!("--include={}", PACKAGES.join(",")));
        command.arg(format!("--essential-hook=sync-in {} /", skeleton.display()));
        command.args(proxy_option());
        command.arg(mirror::SUITE).arg(build.job.path().join("tree")).arg("-");
        command.stdin(File::open(&list).context("open the package sources")?);
        build.step("install packages", command)?;
        Ok(build)
    }

    /// Upgrades the first few packages that have an update, but neither the kernel nor what only comes along.
    fn upgrade_a_few(self, sources: &str) -> Result<Self> {
        let tree = self.tree();
        let put = |path: &str, text: &str| std::fs::write(tree.join(path), text).context(format!("write {path}"));
        put("etc/apt/sources.list", sources)?;
        // Only for the time of the build; finishing removes them again.
        std::fs::copy("/etc/resolv.conf", tree.join("etc/resolv.conf")).context("copy /etc/resolv.conf")?;
        finish::write_skeleton(&tree)?;
        self.step("update package lists", self.inside(&["apt-get", "-q", "update"]))?;
        let said = self.step("find updates", self.inside(&["apt-get", "-q", "-s", "dist-upgrade"]))?;
        let few = few(&said);
        if few.is_empty() {
            println!(
                "images: the archive has no updates today; the weekly image is the first one with another release"
            );
            return Ok(self);
        }
        println!("images: the weekly image upgrades {}", few.join(", "));
        let mut args = vec!["apt-get", "-q", "-y", "install", "--only-upgrade", "--no-install-recommends"];
        args.extend(few.iter().map(String::as_str));
        self.step("upgrade a few packages", self.inside(&args))?;
        Ok(self)
    }

    /// Finishes the tree, archives it and puts it into the cache.
    fn keep(&self, slot: &Slot, release: &str) -> Result<()> {
        let tree = self.tree();
        let id = finish::finish(&tree, release)?;
        let packages = packages(&tree)?;
        let archive = self.job.path().join("archive.tar.zst");
        let mut tar = Command::new("tar");
        tar.args(["--create", "--sort=name", "--format=pax", "--numeric-owner", "--xattrs"]);
        tar.args(["--xattrs-include=*", "--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime"]);
        tar.arg("--clamp-mtime").arg(format!("--mtime=@{}", newest_package(&tree)?));
        // Sockets, and nodes that devtmpfs makes anyway.
        tar.args(["--exclude=./dev/*", "--exclude=./run/*", "--use-compress-program=zstd -T0 -3"]);
        tar.arg("--file").arg(&archive).arg("--directory").arg(&tree).arg(".").stdin(Stdio::null());
        self.step("archive", tar)?;
        let size_mib = archive.metadata().context("look at the archive")?.len() >> 20;
        let facts = self.job.path().join("facts");
        std::fs::write(&facts, format!("{id}\n{packages}")).context("write the facts of an image")?;
        slot.facts.put(&facts)?;
        slot.archive.put(&archive)?;
        println!("images: {} is {id}, {} packages, {size_mib} MiB", slot.name, packages.lines().count());
        Ok(())
    }

    /// A command with the tree as its root.
    fn inside(&self, args: &[&str]) -> Command {
        let mut command = isolated();
        let script = "mount -t proc proc \"$0/proc\" && exec chroot \"$0\" \"$@\"";
        command.args(["sh", "-c", script]).arg(self.tree()).args(args).stdin(Stdio::null());
        command
    }

    /// Runs one part of the build; returns what it wrote.
    fn step(&self, what: &str, mut command: Command) -> Result<String> {
        println!("images: {}: {what}", self.name);
        let log = self.job.path().join("log");
        let file = File::create(&log).context(format!("create {}", log.display()))?;
        command.stderr(file.try_clone().context("share the log file")?).stdout(file);
        command.env("LC_ALL", "C").env("DEBIAN_FRONTEND", "noninteractive").env("SOURCE_DATE_EPOCH", BUILD_EPOCH);
        let start = Instant::now();
        let mut told = start;
        let mut group = Group::spawn(&mut command, Some(&self.job))?;
        let status = loop {
            if let Some(status) = group.wait_at_most(Duration::from_millis(500))? {
                break status;
            }
            if start.elapsed() > LIMIT {
                return Err(format!("{}: {what}: did not end within {} minutes", self.name, LIMIT.as_secs() / 60));
            }
            if told.elapsed() > TICK {
                told = Instant::now();
                let said = read(&log)?;
                let last = said.lines().rev().find(|l| l.starts_with("I: ")).map_or("", |l| &l[3..]);
                println!("images: {}: {what}, {} s: {last}", self.name, start.elapsed().as_secs());
            }
        };
        let said = read(&log)?;
        match status.success() {
            true => Ok(said),
            false => {
                let lines: Vec<&str> = said.lines().collect();
                let tail = lines[lines.len().saturating_sub(30)..].join("\n");
                Err(format!("{}: {what}: {status}; it said last:\n{tail}", self.name))
            }
        }
    }

    fn tree(&self) -> std::path::PathBuf {
        self.job.path().join("tree")
    }
}

/// In namespaces of its own, so that killing it takes all its processes and mounts along.
fn isolated() -> Command {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--"]);
    command
}

/// mmdebstrap does not read this machine's apt configuration, and a build behind a proxy needs that much of it.
fn proxy_option() -> Option<String> {
    let out = Command::new("apt-config").args(["shell", "P", "Acquire::http::Proxy"]).output().ok()?;
    let text = String::from_utf8(out.stdout).ok()?;
    let proxy = text.trim().strip_prefix("P='")?.strip_suffix('\'')?.to_string();
    Some(format!("--aptopt=Acquire::http {{ Proxy \"{proxy}\"; }}"))
}

/// Picks packages from what `apt-get -s dist-upgrade` prints: `Inst NAME [OLD] (NEW …`.
fn few(simulation: &str) -> Vec<String> {
    let upgraded = |line: &str| {
        let mut words = line.strip_prefix("Inst ")?.split_whitespace();
        let name = words.next()?;
        // New packages have no old version in brackets.
        (words.next()?.starts_with('[') && !name.starts_with("linux-image")).then(|| name.to_string())
    };
    let mut names: Vec<String> = simulation.lines().filter_map(upgraded).collect();
    names.sort();
    names.truncate(WEEKLY_PACKAGES);
    names
}

/// Names and versions, one package a line.
fn packages(tree: &Path) -> Result<String> {
    let status = read(&tree.join("var/lib/dpkg/status"))?;
    let mut lines = Vec::new();
    for stanza in status.split("\n\n") {
        let field = |name: &str| stanza.lines().find_map(|l| l.strip_prefix(name));
        if let (Some(name), Some(version)) = (field("Package: "), field("Version: ")) {
            lines.push(format!("{name} {version}\n"));
        }
    }
    lines.sort();
    Ok(lines.concat())
}

/// When the newest package was made, in seconds: everything the build itself wrote gets this time, so the archive
/// depends on its packages and not on the clock. Changelogs carry the time of their package.
fn newest_package(tree: &Path) -> Result<u64> {
    let docs = tree.join("usr/share/doc");
    let mut newest = 0;
    for entry in std::fs::read_dir(&docs).context(format!("list {}", docs.display()))? {
        let changelog = entry.context("list documentation")?.path().join("changelog.Debian.gz");
        if let Ok(time) = changelog.metadata().and_then(|m| m.modified()) {
            newest = newest.max(time.duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_secs()));
        }
    }
    Ok(newest)
}

fn read(path: &Path) -> Result<String> {
    let bytes = std::fs::read(path).context(format!("read {}", path.display()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weekly_image_upgrades_a_few_and_no_kernel() {
        let lines: String =
            (1..12).map(|i| format!("Inst p{i:02} [1] (2 Debian [amd64])\nConf p{i:02} (2)\n")).collect();
        let text = format!("Inst linux-image-cloud-amd64 [1] (2 D)\nInst new (1 Debian)\n{lines}");
        assert_eq!(few(&text), ["p01", "p02", "p03", "p04", "p05", "p06", "p07", "p08"]);
    }
}
