//! A throw-away Linux kernel for tests: User Mode Linux.
//!
//! The guest's root is this machine's file tree, read-only, under an overlay in memory; disks are image files; results
//! come back through one shared folder. So a test has real device-mapper and real LVM and cannot hurt the machine by
//! accident (a root in the guest could still mount the host's tree: it guards against mistakes, not malice).
//!
//! What must stay true: killing the kernel is a power cut with a persistent, ordered drive cache, so the crash suite
//! rests on [`Bed::run_and_kill`] killing at once and the whole group.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use crate::cache::Cache;
use crate::job::{Group, JobDir};
use crate::{Context, Result};

const INIT: &str = include_str!("bed/init.sh");
const STAGE2: &str = include_str!("bed/stage2.sh");
const LVMLOCAL: &str = include_str!("bed/lvmlocal.conf");
/// How long the kernel may take to power off after the command's end, before it is killed. Its work is done by then.
const POWEROFF: Duration = Duration::from_secs(5);
/// How often output and end are looked at; a cut on a pattern comes at most this late.
const POLL: Duration = Duration::from_millis(10);
/// The guest shows every 5 s that its time goes on. When that has stopped for so long, it never goes on again: User Mode
/// Linux sometimes loses its timer when the machine beneath it was paused, and then spins for ever.
const STALLED: Duration = Duration::from_secs(180);
/// What the guest's command ends with if it rebooted.
const REBOOTED: i32 = 126;

/// Whether the guest may write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Read only.
    Read,
    /// Read and write.
    Write,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The command ended with this exit code.
    Done(i32),
    /// The kernel was gone without a result: switched off from inside, crashed, or killed on demand.
    Cut,
    /// The time was up and it was killed.
    TimedOut,
    /// Its clock stood still and it was killed: nothing that the command did.
    Stalled,
}

/// When to pull the plug.
#[derive(Debug, Clone)]
pub enum Plug {
    /// As soon as the command's stdout contains this.
    OnSaying(String),
    /// After this time, counted from the start of the command (not of the kernel).
    After(Duration),
}

/// What a run left.
#[derive(Debug, Clone)]
pub struct BedOutcome {
    /// How it ended.
    pub end: End,
    /// The command's stdout.
    pub stdout: String,
    /// The command's stderr.
    pub stderr: String,
    /// What the kernel said.
    pub console: String,
    /// Wall time of the whole run.
    pub took: Duration,
}

impl BedOutcome {
    /// The command's exit code, if it came to one.
    pub fn rc(&self) -> Option<i32> {
        match self.end {
            End::Done(rc) => Some(rc),
            End::Cut | End::TimedOut | End::Stalled => None,
        }
    }

    /// Whether the power was cut, from inside or outside.
    pub fn cut(&self) -> bool {
        self.end == End::Cut
    }

    /// The stdout of a command that ended well; else an error with everything a person needs.
    pub fn expect_done(self, what: &str) -> Result<String> {
        match self.end {
            End::Done(0) => Ok(self.stdout),
            End::Done(_) | End::Cut | End::TimedOut | End::Stalled => Err(format!(
                "{what} in the test kernel: {:?}\n--- stdout\n{}\n--- stderr\n{}\n--- console\n{}",
                self.end, self.stdout, self.stderr, self.console
            )),
        }
    }
}

/// A test kernel to be: what it sees and how long it may run.
#[derive(Debug, Clone)]
pub struct Bed<'a> {
    cache: &'a Cache,
    disks: Vec<(PathBuf, Access)>,
    binds: Vec<(PathBuf, Access)>,
    env: Vec<(String, String)>,
    limit: Duration,
    memory_mib: u32,
    live: bool,
}

impl<'a> Bed<'a> {
    /// A kernel with 1 GiB of memory and no disks.
    pub fn new(cache: &'a Cache) -> Self {
        let limit = Duration::from_secs(300);
        Bed { cache, disks: Vec::new(), binds: Vec::new(), env: Vec::new(), limit, memory_mib: 1024, live: false }
    }

    /// Adds an image file as the next of /dev/ubda, /dev/ubdb, …
    #[must_use]
    pub fn disk(mut self, image: impl Into<PathBuf>, access: Access) -> Self {
        self.disks.push((image.into(), access));
        self
    }

    /// Shows a host directory at the same path. Needed for what lies below /tmp and /run, which are empty in the
    /// guest, and for all the guest shall write.
    #[must_use]
    pub fn bind(mut self, dir: impl Into<PathBuf>, access: Access) -> Self {
        self.binds.push((dir.into(), access));
        self
    }

    /// Sets a variable for the command.
    #[must_use]
    pub fn env(mut self, key: &str, value: &str) -> Self {
        self.env.push((key.into(), value.into()));
        self
    }

    /// How long the whole run may take.
    #[must_use]
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// The guest's memory; its root overlay and /tmp live in it.
    #[must_use]
    pub fn memory_mib(mut self, mib: u32) -> Self {
        self.memory_mib = mib;
        self
    }

    /// Also prints the command's output as it comes.
    #[must_use]
    pub fn live(mut self) -> Self {
        self.live = true;
        self
    }

    /// Boots, runs the shell command as root, powers off. A kernel whose clock stands still is an outcome of its own: what
    /// it did to the disks is not known, so whoever runs it again makes them anew.
    pub fn run(&self, cmd: &str) -> Result<BedOutcome> {
        self.go(cmd, None)
    }

    /// As [`Bed::run`], but cuts the power. Should the command end before, the outcome says so.
    pub fn run_and_kill(&self, cmd: &str, plug: &Plug) -> Result<BedOutcome> {
        self.go(cmd, Some(plug))
    }

    fn go(&self, cmd: &str, plug: Option<&Plug>) -> Result<BedOutcome> {
        let job = self.cache.job("bed")?;
        self.write_job(&job, cmd)?;
        let start = Instant::now();
        let mut kernel = Group::spawn(&mut self.kernel(&job)?, Some(&job))?;
        let mut said = Said::open(&job, self.live)?;
        let mut command_start = None;
        let mut powering_off = None;
        let (mut heartbeat, alive) = (Heartbeat::default(), job.path().join("alive"));
        let killed = loop {
            said.poll()?;
            if kernel.try_wait()?.is_some() {
                break None;
            }
            let now = Instant::now();
            if job.path().join("rc").exists() && now - *powering_off.get_or_insert(now) > POWEROFF {
                break None;
            }
            if command_start.is_none() && job.path().join("booted").exists() {
                command_start = Some(now);
            }
            if plug.is_some_and(|plug| plug.due(&said, command_start)) {
                break Some(End::Cut);
            }
            if start.elapsed() > self.limit {
                break Some(End::TimedOut);
            }
            if heartbeat.has_stopped(&alive) {
                break Some(End::Stalled);
            }
            std::thread::sleep(POLL);
        };
        kernel.kill();
        said.poll()?;
        let took = start.elapsed();
        let console = read_text(&job.path().join("console"))?;
        let end = match read_text(&job.path().join("rc")) {
            Ok(rc) => End::Done(rc.trim().parse().context(format!("the guest's exit code {rc:?}"))?),
            Err(_) => killed.unwrap_or(End::Cut),
        };
        if end == End::Done(REBOOTED) {
            return Err(format!("the command rebooted the test kernel, which is not supported:\n{console}"));
        }
        Ok(BedOutcome { end, stdout: said.stdout.text(), stderr: said.stderr.text(), console, took })
    }

    fn write_job(&self, job: &JobDir, cmd: &str) -> Result<()> {
        let cwd = std::env::current_dir().context("find the current directory")?;
        let mut env = format!("BED_CWD={}\n", quote(&cwd.to_string_lossy()));
        for (key, value) in &self.env {
            env.push_str(&format!("{key}={}\n", quote(value)));
        }
        let cmd = format!("{cmd}\n");
        let files: [(&str, &str); 7] = [
            ("init", INIT),
            ("stage2.sh", STAGE2),
            ("lvmlocal.conf", LVMLOCAL),
            ("env", &env),
            ("cmd", &cmd),
            ("stdout", ""),
            ("stderr", ""),
        ];
        for (name, text) in files {
            let path = job.path().join(name);
            std::fs::write(&path, text).context(format!("write {}", path.display()))?;
        }
        let init = job.path().join("init");
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&init, executable).context(format!("make {} executable", init.display()))
    }

    fn kernel(&self, job: &JobDir) -> Result<Command> {
        let at = plain(job.path())?;
        let mut command = Command::new("linux.uml");
        command.arg(format!("mem={}M", self.memory_mib)).arg(format!("uml_dir={at}/")).arg("umid=u");
        command.args(["root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro", "quiet", "panic=-1"]);
        // The console goes to stdout only: with stdin attached the kernel complains about /dev/null and epoll.
        command.args(["con=null", "con0=null,fd:1"]);
        command.arg(format!("init={at}/init")).arg(format!("BED_JOB={at}"));
        let mut binds = Vec::new();
        for (dir, access) in &self.binds {
            let mode = if *access == Access::Read { "ro" } else { "rw" };
            binds.push(format!("{mode}={}", plain(&absolute(dir)?)?));
        }
        command.arg(format!("BED_BINDS={}", binds.join(":")));
        for (i, (image, access)) in self.disks.iter().enumerate() {
            let flag = if *access == Access::Read { "r" } else { "" };
            command.arg(format!("ubd{i}{flag}={}", plain(&absolute(image)?)?));
        }
        let console = job.path().join("console");
        let console = File::create(&console).context(format!("create {}", console.display()))?;
        let console2 = console.try_clone().context("share the console file")?;
        command.stdin(Stdio::null()).stdout(console).stderr(console2);
        Ok(command)
    }
}

impl Plug {
    fn due(&self, said: &Said, command_start: Option<Instant>) -> bool {
        match self {
            Plug::OnSaying(words) => said.stdout.contains(words),
            Plug::After(time) => command_start.is_some_and(|start| start.elapsed() >= *time),
        }
    }
}

/// The guest's output so far.
struct Said {
    stdout: Tail,
    stderr: Tail,
    live: bool,
}

impl Said {
    fn open(job: &JobDir, live: bool) -> Result<Self> {
        let stdout = Tail::open(&job.path().join("stdout"))?;
        Ok(Said { stdout, stderr: Tail::open(&job.path().join("stderr"))?, live })
    }

    fn poll(&mut self) -> Result<()> {
        let out = self.stdout.poll()?;
        let err = self.stderr.poll()?;
        if self.live {
            std::io::stdout().write_all(&self.stdout.bytes[out..]).context("write to stdout")?;
            std::io::stderr().write_all(&self.stderr.bytes[err..]).context("write to stderr")?;
        }
        Ok(())
    }
}

/// A growing file.
struct Tail {
    file: File,
    bytes: Vec<u8>,
}

impl Tail {
    fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).context(format!("open {}", path.display()))?;
        Ok(Tail { file, bytes: Vec::new() })
    }

    /// Reads what has come since; returns where that begins.
    fn poll(&mut self) -> Result<usize> {
        let from = self.bytes.len();
        self.file.seek(SeekFrom::Start(from as u64)).context("seek in the guest's output")?;
        self.file.read_to_end(&mut self.bytes).context("read the guest's output")?;
        Ok(from)
    }

    fn contains(&self, words: &str) -> bool {
        self.bytes.windows(words.len()).any(|window| window == words.as_bytes())
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

/// Watches whether the guest's time goes on. Counts looks and not time: where this machine itself was paused, the guest
/// gets the same chance to go on.
#[derive(Default)]
struct Heartbeat {
    shown: Option<SystemTime>,
    looks: u32,
}

impl Heartbeat {
    fn has_stopped(&mut self, sign: &Path) -> bool {
        let shown = std::fs::metadata(sign).and_then(|file| file.modified()).ok();
        self.looks = if shown.is_none() || shown != self.shown { 0 } else { self.looks + 1 };
        self.shown = shown;
        POLL * self.looks > STALLED
    }
}

/// Makes an empty disk that takes no space until it is written.
pub fn sparse_disk(path: &Path, size_mib: u64) -> Result<()> {
    let file = File::create(path).context(format!("create {}", path.display()))?;
    file.set_len(size_mib << 20).context(format!("size {}", path.display()))
}

fn read_text(path: &Path) -> Result<String> {
    let bytes = std::fs::read(path).context(format!("read {}", path.display()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn absolute(path: &Path) -> Result<PathBuf> {
    path.canonicalize().context(format!("resolve {}", path.display()))
}

/// A path that survives the kernel's command line, where spaces, commas and colons mean something.
fn plain(path: &Path) -> Result<&str> {
    match path.to_str() {
        Some(text) if !text.contains([' ', ',', ':', '=', '"', '\n']) => Ok(text),
        _ => Err(format!("{} cannot be passed to the test kernel: spaces and , : = are not possible", path.display())),
    }
}

fn quote(value: &str) -> String {
    format!("'{}'", value.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests;
