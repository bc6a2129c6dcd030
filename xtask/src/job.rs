//! What a verb has running and lying about, and its removal however the verb ends.
//!
//! Separate because it must hold for every verb alike: test kernels, virtual machines and package builds run in
//! process groups of their own, work in job directories, and both end with their owner. Dropping covers success, error
//! and panic; a thread covers SIGINT, SIGTERM and SIGHUP; [`sweep_orphans`] covers an owner that was killed outright.
//!
//! What must stay true: a child is started and registered under one lock, so no signal can slip between the two, and
//! after a signal nothing can be started any more.

use std::collections::BTreeSet;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::{Context, Result};

/// The process id of the job's process group, for the sweep after a kill of its owner.
const GROUP_FILE: &str = "group.pid";

#[derive(Debug)]
struct Live {
    groups: BTreeSet<i32>,
    dirs: BTreeSet<PathBuf>,
}

static LIVE: Mutex<Live> = Mutex::new(Live { groups: BTreeSet::new(), dirs: BTreeSet::new() });
static WATCH: Once = Once::new();
static NEXT: AtomicU32 = AtomicU32::new(0);

/// A panic elsewhere must not keep us from cleaning up.
fn live() -> MutexGuard<'static, Live> {
    LIVE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A temporary directory, removed when dropped.
#[derive(Debug)]
pub struct JobDir {
    path: PathBuf,
}

impl JobDir {
    /// Makes one under `parent`; `what` is for people who look there.
    pub fn new(parent: &Path, what: &str) -> Result<Self> {
        watch_signals();
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = parent.join(format!("{}-{n}-{what}", std::process::id()));
        let mut live = live();
        std::fs::create_dir_all(&path).context(format!("create {}", path.display()))?;
        live.dirs.insert(path.clone());
        Ok(JobDir { path })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for JobDir {
    fn drop(&mut self) {
        remove_tree(&self.path);
        live().dirs.remove(&self.path);
    }
}

/// A child process and all it starts, as one process group; killed when dropped.
#[derive(Debug)]
pub struct Group {
    child: Child,
    ended: Option<ExitStatus>,
}

impl Group {
    /// Starts the command as the leader of a new process group. With a job directory, an orphan of it can be found
    /// and killed by the next run.
    pub fn spawn(command: &mut Command, job: Option<&JobDir>) -> Result<Self> {
        watch_signals();
        let program = command.get_program().to_string_lossy().into_owned();
        let mut live = live();
        let child = command.process_group(0).spawn().context(format!("start {program}"))?;
        live.groups.insert(pid(&child));
        drop(live);
        let group = Group { child, ended: None };
        if let Some(job) = job {
            let file = job.path().join(GROUP_FILE);
            std::fs::write(&file, pid(&group.child).to_string()).context(format!("write {}", file.display()))?;
        }
        Ok(group)
    }

    /// The child itself, for its pipes.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Its exit status if it has ended.
    pub fn try_wait(&mut self) -> Result<Option<ExitStatus>> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().context("wait for a child")?;
        }
        Ok(self.ended)
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        match self.ended {
            Some(status) => Ok(status),
            None => {
                let status = self.child.wait().context("wait for a child")?;
                self.ended = Some(status);
                Ok(status)
            }
        }
    }

    /// Waits for its end, but no longer than this; the group goes on if there is no status.
    pub fn wait_at_most(&mut self, limit: Duration) -> Result<Option<ExitStatus>> {
        let start = Instant::now();
        loop {
            match self.try_wait()? {
                None if start.elapsed() < limit => std::thread::sleep(Duration::from_millis(10)),
                status => return Ok(status),
            }
        }
    }

    /// Kills the whole group with SIGKILL and reaps the leader.
    pub fn kill(&mut self) {
        kill_group(pid(&self.child));
        if self.ended.is_none() {
            // An error here means that it is reaped already.
            self.ended = self.child.wait().ok();
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Also after the leader's own end: what it left behind in its group ends with it.
        self.kill();
        live().groups.remove(&pid(&self.child));
    }
}

/// Removes job directories of owners that no longer live, and kills what they left running.
pub fn sweep_orphans(jobs: &Path) {
    let Ok(entries) = std::fs::read_dir(jobs) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(owner) = name.split('-').next().and_then(|n| n.parse::<u32>().ok()) else { continue };
        if Path::new(&format!("/proc/{owner}")).exists() {
            continue;
        }
        let path = entry.path();
        if let Some(group) = std::fs::read_to_string(path.join(GROUP_FILE)).ok().and_then(|t| t.trim().parse().ok()) {
            // Process ids are used again: only a process that names this very directory is the one we mean.
            let line = std::fs::read(format!("/proc/{group}/cmdline")).unwrap_or_default();
            if String::from_utf8_lossy(&line).contains(&*path.to_string_lossy()) {
                kill_group(group);
            }
        }
        eprintln!("xtask: removing {} left behind by a run that was killed", path.display());
        remove_tree(&path);
    }
}

fn pid(child: &Child) -> i32 {
    child.id().cast_signed()
}

fn kill_group(group: i32) {
    if let Some(group) = Pid::from_raw(group) {
        // "No such process" is what we want to reach.
        let _ = kill_process_group(group, Signal::KILL);
    }
}

/// A killed group may need a moment until it has let go of its files, so this tries a few times.
fn remove_tree(path: &Path) {
    detach_mounts(path);
    // Sealed bases of a directory store are immutable. Where chattr is missing there are none.
    let _ = Command::new("chattr").args(["-R", "-f", "-i"]).arg(path).stderr(std::process::Stdio::null()).status();
    for _ in 0..50 {
        match std::fs::remove_dir_all(path) {
            Ok(()) => return,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return,
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
    eprintln!("xtask: could not remove {}: something still uses it", path.display());
}

/// Takes what is still mounted below off the tree first: removing must never reach through a mount.
fn detach_mounts(path: &Path) {
    let Ok(text) = std::fs::read_to_string("/proc/self/mountinfo") else { return };
    let below = |line: &str| {
        let point = line.split(' ').nth(4)?.replace("\\040", " ");
        Path::new(&point).starts_with(path).then_some(point)
    };
    let points: Vec<String> = text.lines().filter_map(below).collect();
    // The last mounted first, as it may lie within another.
    for point in points.iter().rev() {
        if let Err(error) = rustix::mount::unmount(point.as_str(), rustix::mount::UnmountFlags::DETACH) {
            eprintln!("xtask: cannot unmount {point}: {error}; its content would be removed, so everything stays");
            std::process::exit(1);
        }
    }
}

/// Starts the thread that cleans up on a signal, once.
fn watch_signals() {
    WATCH.call_once(|| {
        let mut signals = match signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP]) {
            Ok(signals) => signals,
            Err(error) => {
                eprintln!("xtask: cannot watch for signals ({error}); Ctrl-C will leave things behind");
                return;
            }
        };
        std::thread::spawn(move || {
            if let Some(signal) = signals.forever().next() {
                // Held until the end of the process: nothing can be started from here on.
                let live = live();
                live.groups.iter().for_each(|group| kill_group(*group));
                live.dirs.iter().for_each(|dir| remove_tree(dir));
                eprintln!("xtask: interrupted; stopped what was running and removed its files");
                std::process::exit(128 + signal);
            }
        });
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("xtask-job-{}-{name}", std::process::id()))
    }

    #[test]
    fn a_panic_removes_directory_and_process_group() {
        let parent = place("panic");
        let shared = std::sync::Arc::new(Mutex::new((PathBuf::new(), 0)));
        let inner = shared.clone();
        let at = parent.clone();
        let result = std::panic::catch_unwind(move || {
            let job = JobDir::new(&at, "x").unwrap();
            let group = Group::spawn(Command::new("sh").args(["-c", "sleep 1000 & wait"]), Some(&job)).unwrap();
            *inner.lock().unwrap() = (job.path().to_path_buf(), pid(&group.child));
            panic!("on purpose");
        });
        assert!(result.is_err());
        let (dir, group) = shared.lock().unwrap().clone();
        assert!(!dir.exists());
        let left = rustix::process::test_kill_process_group(Pid::from_raw(group).unwrap());
        assert!(left.is_err() || group_is_dying(group), "group {group} still lives");
        std::fs::remove_dir_all(parent).unwrap();
    }

    /// The killed grandchild may still be a zombie that init has not reaped yet.
    fn group_is_dying(group: i32) -> bool {
        let out = Command::new("ps").args(["-eo", "pgid=,stat="]).output().unwrap();
        let text = String::from_utf8(out.stdout).unwrap();
        text.lines().all(|l| {
            let mut words = l.split_whitespace();
            words.next() != Some(&group.to_string()) || words.next().is_some_and(|s| s.starts_with('Z'))
        })
    }

    #[test]
    fn removing_never_reaches_through_a_mount() {
        let parent = place("mount");
        let outside = parent.join("outside");
        std::fs::create_dir_all(&outside).unwrap();
        std::fs::write(outside.join("precious"), "x").unwrap();
        let job = JobDir::new(&parent, "x y").unwrap();
        let point = job.path().join("a b");
        std::fs::create_dir(&point).unwrap();
        let status = Command::new("mount").arg("--bind").arg(&outside).arg(&point).status().unwrap();
        assert!(status.success());
        let at = job.path().to_path_buf();
        drop(job);
        assert!(!at.exists());
        assert_eq!(std::fs::read_to_string(outside.join("precious")).unwrap(), "x");
        std::fs::remove_dir_all(parent).unwrap();
    }

    #[test]
    fn sweeps_only_jobs_of_dead_owners() {
        let parent = place("sweep");
        let mine = parent.join(format!("{}-0-mine", std::process::id()));
        // Above the largest process id Linux gives.
        let dead = parent.join("4999999-0-dead");
        let foreign = parent.join("notes");
        for dir in [&mine, &dead, &foreign] {
            std::fs::create_dir_all(dir).unwrap();
        }
        sweep_orphans(&parent);
        assert_eq!((mine.exists(), dead.exists(), foreign.exists()), (true, false, true));
        std::fs::remove_dir_all(parent).unwrap();
    }
}
