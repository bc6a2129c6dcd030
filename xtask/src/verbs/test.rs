//! `cargo xtask test`: everything that can be tested on this machine, in order of cost.
//!
//! Test programs are run directly and not by cargo, so that each has a line and a time limit of its own, and those that
//! need real LVM run inside the test kernel.

use std::fs::File;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use crate::bed::{Access, Bed, BedOutcome, End, sparse_disk};
use crate::cache::Cache;
use crate::job::Group;
use crate::suite::{Place, Tally, TestProgram, programs, tally};
use crate::{Context, Result, crash, packages, workspace};

/// Test kernels side by side. Each has one processor; more than the machine has makes all of them slower.
const KERNELS: usize = 2;
/// The empty disks of a test kernel: /dev/ubda and /dev/ubdb.
const DISKS_MIB: [u64; 2] = [8192, 1024];

/// How much is tested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Depth {
    /// No test kernel.
    Quick,
    Normal,
    /// Also the tests marked `#[ignore]`, and more cases of each property.
    Nightly,
}

impl Depth {
    /// Twice what the longest program took on a busy machine: only a hung one should meet it.
    fn limit(self) -> Duration {
        Duration::from_secs(if self == Depth::Nightly { 7200 } else { 1800 })
    }

    fn harness_args(self) -> &'static [&'static str] {
        if self == Depth::Nightly { &["--include-ignored"] } else { &[] }
    }

    fn env(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Depth::Nightly => &[("THINROOT_NIGHTLY", "1"), ("PROPTEST_CASES", "10000")],
            // The same cases each time, so that a change is judged by what it changed; the nightly run draws new ones.
            Depth::Quick | Depth::Normal => &[("PROPTEST_RNG_SEED", "20140611")],
        }
    }
}

/// How one program went.
struct Report {
    name: String,
    took: Duration,
    result: Result<Tally>,
    output: String,
}

/// Runs the suite; the exit code says whether all is well.
pub fn run(args: &[String]) -> Result<ExitCode> {
    let depth = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => Depth::Normal,
        ["--quick"] => Depth::Quick,
        ["--nightly"] => Depth::Nightly,
        _ => return Err("usage: cargo xtask test [--quick|--nightly]".into()),
    };
    packages::ensure(&[packages::TEST, packages::UML, packages::DIST, packages::INSTALL])?;
    if !rustix::process::getuid().is_root() {
        println!("test: not root: the tests that mount file systems will fail; run this with sudo to have them pass");
    }
    let cache = Cache::open()?;
    let all = build()?;
    let (host, rest): (Vec<_>, Vec<_>) = all.into_iter().partition(|p| p.place == Place::Host);
    let (kernel, cuts): (Vec<_>, Vec<_>) = rest.into_iter().partition(|p| p.place == Place::Kernel);
    let mut sum = Sum::default();
    println!("test: {} programs on this machine", host.len());
    for program in &host {
        sum.take(on_host(&cache, program, depth));
    }
    sum.take(doc_tests(&cache, depth));
    match depth {
        Depth::Quick => {
            println!("test: left out because of --quick: {} programs in the test kernel, power cuts", kernel.len());
        }
        Depth::Normal | Depth::Nightly => {
            in_kernels(&cache, kernel, depth, &mut sum);
            let sweep = if depth == Depth::Nightly { crash::Depth::NIGHTLY } else { crash::Depth::NORMAL };
            cuts.iter().for_each(|program| sum.take(cut(&cache, program, sweep)));
        }
    }
    sum.close()
}

/// `cargo xtask crash`: the power cuts alone.
pub fn run_cuts(args: &[String]) -> Result<ExitCode> {
    let usage = "usage: cargo xtask crash [--nightly]";
    let depth = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => crash::Depth::NORMAL,
        ["--nightly"] => crash::Depth::NIGHTLY,
        _ => return Err(usage.into()),
    };
    packages::ensure(&[packages::TEST, packages::UML])?;
    let cache = Cache::open()?;
    let mut sum = Sum::default();
    let programs: Vec<_> = build()?.into_iter().filter(|program| program.place == Place::Cuts).collect();
    if programs.is_empty() {
        return Err("no test program is named cuts_…".into());
    }
    programs.iter().for_each(|program| sum.take(cut(&cache, program, depth)));
    sum.close()
}

fn cut(cache: &Cache, program: &TestProgram, depth: crash::Depth) -> Report {
    let start = Instant::now();
    let name = format!("{}: power cuts", program.name);
    match crash::sweep(cache, program, depth) {
        Ok(summary) => {
            println!("test: {}", summary.text);
            let output = summary.failures.join("\n\n");
            Report { name, took: start.elapsed(), result: Ok(summary.tally), output }
        }
        Err(why) => Report { name, took: start.elapsed(), result: Err(why), output: String::new() },
    }
}

/// Compiles everything once and lists the test programs.
fn build() -> Result<Vec<TestProgram>> {
    println!("test: building");
    // All features: the crash suite needs the fault points.
    let args = ["test", "--workspace", "--all-features", "--no-run", "--message-format=json-render-diagnostics"];
    let out = workspace::cargo(&args).stderr(Stdio::inherit()).output().context("run cargo test --no-run")?;
    if !out.status.success() {
        return Err("the workspace does not build; cargo's own words are above".into());
    }
    Ok(programs(&String::from_utf8_lossy(&out.stdout)))
}

fn on_host(cache: &Cache, program: &TestProgram, depth: Depth) -> Report {
    let mut command = Command::new(&program.path);
    // Cargo sets this for tests too.
    command.current_dir(&program.dir).env("CARGO_MANIFEST_DIR", &program.dir).args(depth.harness_args());
    captured(cache, &program.name, command, depth)
}

fn doc_tests(cache: &Cache, depth: Depth) -> Report {
    captured(
        cache,
        "documentation examples",
        workspace::cargo(&["test", "--workspace", "--all-features", "--doc"]),
        depth,
    )
}

fn captured(cache: &Cache, name: &str, mut command: Command, depth: Depth) -> Report {
    let start = Instant::now();
    let mut output = String::new();
    let mut attempt = || -> Result<Tally> {
        let job = cache.job("test")?;
        let path = job.path().join("output");
        let file = File::create(&path).context(format!("create {}", path.display()))?;
        command.envs(depth.env().iter().copied()).stdin(Stdio::null());
        command.stderr(file.try_clone().context("share the output file")?).stdout(file);
        let status = Group::spawn(&mut command, None)?.wait_at_most(depth.limit())?;
        output = read_lossy(&path)?;
        match (status, tally(&output)) {
            (None, _) => Err(format!("did not end within {} seconds", depth.limit().as_secs())),
            (Some(status), Some(tally)) if status.success() || tally.failed > 0 => Ok(tally),
            (Some(status), _) => Err(format!("died: {status}")),
        }
    };
    let result = attempt();
    Report { name: name.into(), took: start.elapsed(), result, output }
}

fn in_kernels(cache: &Cache, programs: Vec<TestProgram>, depth: Depth, sum: &mut Sum) {
    println!("test: {} programs in the test kernel, {KERNELS} side by side", programs.len());
    let queue = Mutex::new(programs.into_iter());
    let (sender, reports): (Sender<Report>, Receiver<Report>) = channel();
    std::thread::scope(|scope| {
        for _ in 0..KERNELS {
            let (queue, sender) = (&queue, sender.clone());
            scope.spawn(move || {
                let next = || queue.lock().ok().and_then(|mut queue| queue.next());
                while let Some(program) = next() {
                    // The receiver lives as long as this scope.
                    let _ = sender.send(in_kernel(cache, &program, depth));
                }
            });
        }
        drop(sender);
        reports.iter().for_each(|report| sum.take(report));
    });
}

fn in_kernel(cache: &Cache, program: &TestProgram, depth: Depth) -> Report {
    let start = Instant::now();
    let mut output = String::new();
    let mut attempt = || -> Result<Tally> {
        let mut got = boot(cache, program, depth)?;
        if got.end == End::Stalled {
            println!(
                "test: the clock of the test kernel stood still (a fault of the kernel); once more: {}",
                program.name
            );
            got = boot(cache, program, depth)?;
        }
        output = format!("{}{}", got.stdout, got.stderr);
        match (got.end, tally(&output)) {
            (End::Done(_), Some(tally)) if tally.ran() == 0 => Err("no test of it ran: its gate is broken".into()),
            (End::Done(rc), Some(tally)) if rc == 0 || tally.failed > 0 => Ok(tally),
            (end, _) => {
                output.push_str(&got.console);
                Err(format!("came to no result: {end:?}"))
            }
        }
    };
    let result = attempt();
    Report { name: format!("{} in the test kernel", program.name), took: start.elapsed(), result, output }
}

/// One test program in one kernel with empty disks.
fn boot(cache: &Cache, program: &TestProgram, depth: Depth) -> Result<BedOutcome> {
    let job = cache.job("disks")?;
    let mut bed = Bed::new(cache).timeout(depth.limit()).env("THINROOT_UML", "1").env("RUST_BACKTRACE", "1");
    bed = depth.env().iter().fold(bed, |bed, (key, value)| bed.env(key, value));
    // Below /tmp the guest would see nothing of the workspace or of a target directory.
    bed = bed.bind(workspace::root(), Access::Read);
    if let Some(dir) = program.path.parent().filter(|dir| !dir.starts_with(workspace::root())) {
        bed = bed.bind(dir.parent().unwrap_or(dir), Access::Read);
    }
    for (i, size_mib) in DISKS_MIB.iter().enumerate() {
        let disk = job.path().join(format!("disk{i}"));
        sparse_disk(&disk, *size_mib)?;
        bed = bed.disk(disk, Access::Write);
    }
    let (dir, path) = (program.dir.display(), program.path.display());
    let args = depth.harness_args().join(" ");
    // One at a time: the tests of a program share the disks.
    bed.run(&format!("cd '{dir}' && exec '{path}' --test-threads=1 {args}"))
}

/// What has been reported so far.
#[derive(Default)]
struct Sum {
    tally: Tally,
    /// Programs that died, hung or ran nothing: each is one failure, whatever it printed.
    broken: u64,
}

impl Sum {
    fn take(&mut self, report: Report) {
        let seconds = report.took.as_secs_f32();
        match report.result {
            Ok(tally) => {
                let word = if tally.failed == 0 { "ok  " } else { "FAIL" };
                println!("  {word} {:<58} {tally}  {seconds:.1} s", report.name);
                if tally.failed > 0 {
                    println!("{}", report.output);
                }
                self.tally.add(tally);
            }
            Err(why) => {
                println!("  FAIL {:<58} {why}  {seconds:.1} s\n{}", report.name, report.output);
                self.broken += 1;
            }
        }
    }

    fn close(mut self) -> Result<ExitCode> {
        self.tally.failed += self.broken;
        println!("{}", self.tally);
        Ok(if self.tally.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn read_lossy(path: &Path) -> Result<String> {
    let bytes = std::fs::read(path).context(format!("read {}", path.display()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
