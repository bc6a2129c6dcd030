//! Power cuts on real LVM: one prepared pair of disks, and for each point a copy that is cut and one boot that looks.
//!
//! Separate from the suite because the machine dies in the middle of these tests: what runs inside the test kernel is
//! the program `cuts_lvm`, one order a boot, and only this side sees the whole. What must stay true: a point that was
//! not reached, a boot that says nothing, a machine that did not die, each is a failure and no pass.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use crate::bed::{Access, Bed, BedOutcome, End, Plug, sparse_disk};
use crate::cache::Cache;
use crate::job::JobDir;
use crate::suite::{Tally, TestProgram};
use crate::{Context, Result, workspace};

/// The two disks: LVM, and a file system for the boot directory and images.
const DISKS: [(&str, u64); 2] = [("lvm", 1024), ("lab", 1024)];
/// Boots side by side.
const KERNELS: usize = 2;
/// A boot with its order; far more than any needs on a busy machine.
const BOOT_LIMIT: Duration = Duration::from_secs(1800);
/// In one boot the process is killed at every so many points at most.
const KILL_STRIDE: usize = 16;
/// When the whole machine is killed from outside, counted from the beginning of the update.
const PLUGS_MS: [u64; 3] = [900, 2500, 5000];

/// So many of the chosen points are just behind a command of LVM.
const BEHIND_LVM: usize = 3;

/// How much is swept.
#[derive(Debug, Clone, Copy)]
pub struct Depth {
    /// Machine cuts: about this many points; all if none.
    pub cuts: Option<usize>,
    /// Kills of the process: every so many points of an update.
    pub kill_update_every: usize,
    /// Kills of the process: every so many points of a rollback and of a removal.
    pub kill_others_every: usize,
}

impl Depth {
    /// What `cargo xtask test` does.
    pub const NORMAL: Depth = Depth { cuts: Some(6), kill_update_every: 100, kill_others_every: 23 };
    /// Every point.
    pub const NIGHTLY: Depth = Depth { cuts: None, kill_update_every: 1, kill_others_every: 1 };
}

/// What one boot or pair of boots is to show.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Case {
    /// The update cut at a point, then `resume` or `abandon`.
    Cut { point: usize, verb: &'static str },
    /// The whole machine killed from outside.
    Plug { after_ms: u64, verb: &'static str },
    /// The process killed at many points of a deed, in one boot.
    Kill { deed: &'static str, first: usize, every: usize },
}

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Case::Cut { point, verb } => write!(f, "update cut at point {point}, {verb}"),
            Case::Plug { after_ms, verb } => write!(f, "machine killed after {after_ms} ms of an update, {verb}"),
            Case::Kill { deed, first, every } => write!(f, "{deed} killed at every {every}. point from {first}"),
        }
    }
}

/// One line of the summary.
#[derive(Debug)]
pub struct Summary {
    /// As in "cut at 14 points: all recovered".
    pub text: String,
    /// Points that were survived, and those that were not.
    pub tally: Tally,
    /// What went wrong, with everything a person needs.
    pub failures: Vec<String>,
}

/// Prepares once, then sweeps.
pub fn sweep(cache: &Cache, program: &TestProgram, depth: Depth) -> Result<Summary> {
    let theatre = Theatre::prepare(cache, program)?;
    let points = theatre.points()?;
    let cases = Mutex::new(cases(points.len(), &points, depth).into_iter());
    let (sender, results) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..KERNELS {
            let (theatre, cases, sender) = (&theatre, &cases, sender.clone());
            scope.spawn(move || {
                let next = || cases.lock().ok().and_then(|mut cases| cases.next());
                while let Some(case) = next() {
                    let start = std::time::Instant::now();
                    let result = theatre.play(&case);
                    let word = if result.is_ok() { "ok  " } else { "FAIL" };
                    println!("  {word} {case}  {:.1} s", start.elapsed().as_secs_f32());
                    // The receiver lives as long as this scope.
                    let _ = sender.send((case, result));
                }
            });
        }
        drop(sender);
    });
    Ok(summary(points.len(), results.into_iter().collect()))
}

/// Which points: every step's beginning and end is a write of the journal, so the chosen ones lie on and between them.
fn cases(count: usize, points: &[String], depth: Depth) -> Vec<Case> {
    // First what LVM's own commands are cut at, then an even spread over everything.
    let chosen: Vec<usize> = match depth.cuts {
        None => (0..count).collect(),
        Some(cuts) => {
            let lvm: Vec<usize> = (0..count).filter(|i| points[*i].contains("lvm: after")).collect();
            let even = cuts.saturating_sub(BEHIND_LVM).max(1);
            let spread = (0..even).map(|i| i * count / even);
            let behind_lvm = (0..BEHIND_LVM).filter_map(|i| lvm.get(i * lvm.len() / BEHIND_LVM).copied());
            let mut chosen: Vec<usize> = spread.chain(behind_lvm).collect();
            chosen.sort_unstable();
            chosen.dedup();
            chosen
        }
    };
    let verb = |i: usize| ["resume", "abandon", "resume", "abandon again"][i % 4];
    // The longest first, so that the other kernel is not idle in the end.
    let mut cases = kills("update", depth.kill_update_every);
    cases.extend(chosen.into_iter().enumerate().map(|(i, point)| Case::Cut { point, verb: verb(i) }));
    // Where the plug meets the update depends on the speed of the machine: too uncertain for an ordinary run.
    // Rollbacks and removals are swept at every point on the simulated host in each run.
    if depth.cuts.is_none() {
        cases.extend(["prune", "rollback"].into_iter().flat_map(|deed| kills(deed, depth.kill_others_every)));
        cases.extend(PLUGS_MS.iter().enumerate().map(|(i, ms)| Case::Plug { after_ms: *ms, verb: verb(i) }));
    }
    cases
}

/// Kills at every so many points, shared out over boots: every point of an update in one would outlast its limit.
fn kills(deed: &'static str, every: usize) -> Vec<Case> {
    let stride = every.max(KILL_STRIDE);
    (0..stride).step_by(every).map(|first| Case::Kill { deed, first, every: stride }).collect()
}

/// The prepared disks and how boots are made on them.
struct Theatre<'a> {
    cache: &'a Cache,
    program: &'a TestProgram,
    job: JobDir,
}

impl<'a> Theatre<'a> {
    fn prepare(cache: &'a Cache, program: &'a TestProgram) -> Result<Self> {
        let theatre = Theatre { cache, program, job: cache.job("cuts")? };
        for (name, size_mib) in DISKS {
            sparse_disk(&theatre.job.path().join(name), size_mib)?;
        }
        std::fs::create_dir(theatre.shared()).context("create the shared directory")?;
        let got = theatre.boot(theatre.job.path(), "prepare", None)?;
        got.expect_done("preparing the crash suite").map(|_| theatre)
    }

    fn shared(&self) -> PathBuf {
        self.job.path().join("shared")
    }

    /// Names of the fault points of an undisturbed update.
    fn points(&self) -> Result<Vec<String>> {
        let disks = self.copy()?;
        self.boot(disks.path(), "list", None)?.expect_done("the undisturbed update")?;
        let path = self.shared().join("points");
        let text = std::fs::read_to_string(&path).context(format!("read {}", path.display()))?;
        let points: Vec<String> = text.lines().filter_map(|line| line.strip_prefix("fault ")).map(Into::into).collect();
        if points.len() < 20 {
            return Err(format!("an update has only {} fault points: the suite would prove nothing", points.len()));
        }
        Ok(points)
    }

    /// Fresh copies of the prepared disks.
    fn copy(&self) -> Result<JobDir> {
        let copy = self.cache.job("cut")?;
        for (name, _) in DISKS {
            let status = std::process::Command::new("cp")
                .arg("--sparse=always")
                .args([self.job.path().join(name), copy.path().join(name)])
                .status();
            if !status.context("run cp")?.success() {
                return Err(format!("cannot copy disk {name}"));
            }
        }
        Ok(copy)
    }

    /// One boot with one order.
    fn boot(&self, disks: &Path, order: &str, plug: Option<&Plug>) -> Result<BedOutcome> {
        let mut bed = Bed::new(self.cache).timeout(BOOT_LIMIT);
        bed = bed.env("THINROOT_UML", "1").env("THINROOT_CUTS", order).env("RUST_BACKTRACE", "1");
        bed = bed.env("THINROOT_SHARED", &self.shared().to_string_lossy());
        bed = bed.bind(workspace::root(), Access::Read).bind(self.shared(), Access::Write);
        if let Some(dir) = self.program.path.parent().filter(|dir| !dir.starts_with(workspace::root())) {
            bed = bed.bind(dir.parent().unwrap_or(dir), Access::Read);
        }
        for (name, _) in DISKS {
            bed = bed.disk(disks.join(name), Access::Write);
        }
        let (dir, path) = (self.program.dir.display(), self.program.path.display());
        let command = format!("cd '{dir}' && exec '{path}' --nocapture --test-threads=1");
        match plug {
            None => bed.run(&command),
            Some(plug) => bed.run_and_kill(&command, plug),
        }
    }

    /// How many points were survived. Played again where the test kernel itself had a fault.
    fn play(&self, case: &Case) -> Result<u64> {
        match self.play_once(case) {
            // The errors of a boot say how it ended, and nothing else has this word.
            Err(why) if why.contains("Stalled") => {
                println!("test: the clock of the test kernel stood still (a fault of the kernel); once more: {case}");
                self.play_once(case)
            }
            result => result,
        }
    }

    fn play_once(&self, case: &Case) -> Result<u64> {
        let disks = self.copy()?;
        match case {
            Case::Cut { point, verb } => {
                let got = self.boot(disks.path(), &format!("cut {point}"), None)?;
                self.look(&got, disks.path(), verb, "the point was not reached")
            }
            Case::Plug { after_ms, verb } => {
                let plug = Plug::After(Duration::from_millis(*after_ms));
                let got = self.boot(disks.path(), "run", Some(&plug))?;
                self.look(&got, disks.path(), verb, "the update had ended before")
            }
            Case::Kill { deed, first, every } => {
                let order = format!("kill {deed} {first} {every}");
                let said = self.boot(disks.path(), &order, None)?.expect_done("the kills")?;
                let count = said.lines().find_map(|line| line.strip_prefix("killed ")?.parse().ok());
                count.ok_or_else(|| format!("no count of kills in:\n{said}"))
            }
        }
    }

    fn look(&self, cut: &BedOutcome, disks: &Path, verb: &str, otherwise: &str) -> Result<u64> {
        match cut.end {
            End::Cut => {}
            End::Done(_) | End::TimedOut | End::Stalled => {
                return Err(format!(
                    "the machine did not die ({:?}): {otherwise}\n{}{}",
                    cut.end, cut.stdout, cut.stderr
                ));
            }
        }
        let said = self.boot(disks, &format!("mend {verb}"), None)?.expect_done("looking after the cut")?;
        if said.lines().any(|line| line.contains("recovered: ")) {
            Ok(1)
        } else {
            Err(format!("it says only:\n{said}"))
        }
    }
}

fn summary(points: usize, results: Vec<(Case, Result<u64>)>) -> Summary {
    let (mut cuts, mut plugs, mut kills) = (0, 0, 0);
    let mut failures = Vec::new();
    for (case, result) in results {
        match (result, &case) {
            (Ok(_), Case::Cut { .. }) => cuts += 1,
            (Ok(_), Case::Plug { .. }) => plugs += 1,
            (Ok(count), Case::Kill { .. }) => kills += count,
            (Err(why), _) => failures.push(format!("{case}: {why}")),
        }
    }
    let verdict =
        if failures.is_empty() { "all recovered".into() } else { format!("{} NOT recovered", failures.len()) };
    let text = format!(
        "cut at {cuts} of {points} points, machine killed {plugs} times, process killed at {kills} points: {verdict}"
    );
    let tally = Tally { passed: cuts + plugs + kills, failed: failures.len() as u64, skipped: 0 };
    Summary { text, tally, failures }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chosen_points_are_spread_and_include_cuts_behind_lvm() {
        let points: Vec<String> =
            (0..100).map(|i| format!("{i} {}", if i % 10 == 3 { "lvm: after x" } else { "x" })).collect();
        let cuts = |depth| -> Vec<usize> {
            let cut = |case| match case {
                Case::Cut { point, .. } => Some(point),
                Case::Plug { .. } | Case::Kill { .. } => None,
            };
            cases(100, &points, depth).into_iter().filter_map(cut).collect()
        };
        assert_eq!(cuts(Depth::NIGHTLY), (0..100).collect::<Vec<_>>());
        let some = cuts(Depth::NORMAL);
        assert!(some.len() >= 5 && some.len() <= 6, "{some:?}");
        assert!(some.iter().filter(|i| *i % 10 == 3).count() >= 3, "{some:?}");
    }

    #[test]
    fn every_point_is_killed_at_in_some_boot() {
        for every in [1, 16, 100] {
            let mut killed: Vec<usize> = Vec::new();
            for case in kills("update", every) {
                let Case::Kill { first, every, .. } = case else { panic!("{case:?}") };
                killed.extend((first..200).step_by(every));
            }
            killed.sort_unstable();
            assert_eq!(killed, (0..200).step_by(every).collect::<Vec<_>>(), "{every}");
        }
    }

    #[test]
    fn one_failure_is_said_and_counted() {
        let cut = |point| Case::Cut { point, verb: "resume" };
        let got = summary(9, vec![(cut(1), Ok(1)), (cut(2), Err("x".into()))]);
        assert_eq!((got.tally.passed, got.tally.failed), (1, 1));
        assert_eq!(got.failures, ["update cut at point 2, resume: x"]);
        assert!(got.text.ends_with("1 NOT recovered"), "{}", got.text);
    }
}
