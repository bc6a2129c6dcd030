//! The only place that starts processes.
//!
//! A command is a value: it prints as a shell line, runs with a fixed locale, closed stdin and a time limit, and its
//! failure carries the tail of what it said.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

/// How much of a failing program's stderr an error keeps. More would drown the message.
const STDERR_TAIL_BYTES: usize = 1024;
/// Longest a storage tool may take unless said otherwise; a hung tool must become an error, not a hung update.
const DEFAULT_LIMIT: Duration = Duration::from_secs(600);

/// A command to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cmd {
    program: OsString,
    args: Vec<OsString>,
    limit: Duration,
    /// Exit codes that are success.
    good: Vec<i32>,
    /// Whether it gets nothing of our environment.
    bare: bool,
    /// What it gets beyond that.
    env: Vec<(OsString, OsString)>,
    /// Whether what it starts ends with it.
    group: bool,
}

/// How a program ended whose failure is an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// Its exit code; none where a signal ended it.
    pub code: Option<i32>,
    /// Whether it was killed because its time was over.
    pub timed_out: bool,
    /// The end of what it said, on stdout and then on stderr.
    pub said: String,
}

impl Ran {
    /// Whether it said that all is well.
    pub fn good(&self) -> bool {
        self.code == Some(0) && !self.timed_out
    }
}

/// Why a command failed.
#[derive(Debug)]
pub struct CmdError {
    /// The command as a shell line.
    pub line: String,
    /// Its exit code, if it ended by itself.
    pub code: Option<i32>,
    /// What it said last on stderr, or why it could not run.
    pub said: String,
}

impl CmdError {
    /// The failure in one sentence.
    pub fn why(&self) -> String {
        match self.code {
            Some(code) => format!("exit code {code}: {}", self.said.trim()),
            None => self.said.trim().to_string(),
        }
    }
}

impl fmt::Display for CmdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.line, self.why())
    }
}

impl std::error::Error for CmdError {}

impl Cmd {
    /// A program found on the system's standard path.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Cmd {
            program: program.as_ref().into(),
            args: Vec::new(),
            limit: DEFAULT_LIMIT,
            good: vec![0],
            bare: false,
            env: Vec::new(),
            group: false,
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(|a| a.as_ref().into()));
        self
    }

    /// Counts this exit code as success too (e2fsck: 1 means "fixed").
    #[must_use]
    pub fn also_good(mut self, code: i32) -> Self {
        self.good.push(code);
        self
    }

    /// Gives it another time limit.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Gives it nothing of our environment.
    #[must_use]
    pub fn bare(mut self) -> Self {
        self.bare = true;
        self
    }

    /// Gives it a variable.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name.as_ref().into(), value.as_ref().into()));
        self
    }

    /// Whatever it starts is killed when it has ended or its time is over.
    #[must_use]
    pub fn with_its_children(mut self) -> Self {
        self.group = true;
        self
    }

    /// Runs a program whose failure is an answer; of what it says the last `keep_bytes` are kept.
    pub fn answer(&self, keep_bytes: usize) -> Result<Ran, CmdError> {
        Ok(self.ended(self.start(Stdio::null())?, keep_bytes))
    }

    /// Runs it and returns what it wrote to stdout.
    pub fn run(&self) -> Result<String, CmdError> {
        self.output().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Runs it and returns the bytes it wrote to stdout.
    pub fn output(&self) -> Result<Vec<u8>, CmdError> {
        let fail = |code, said: String| CmdError { line: self.to_string(), code, said };
        let mut child = self.start(Stdio::null())?;
        let (stdout, stderr) = drained(&mut child, usize::MAX);
        let status = self.wait(&mut child).map_err(|said| fail(None, said))?;
        let (stdout, stderr) = (joined(stdout), joined(stderr));
        match status.code() {
            Some(code) if self.good.contains(&code) => Ok(stdout),
            code => {
                let tail = &stderr[stderr.len().saturating_sub(STDERR_TAIL_BYTES)..];
                let said = String::from_utf8_lossy(tail).into_owned();
                Err(fail(code, if said.is_empty() { status.to_string() } else { said }))
            }
        }
    }

    /// Starts it, and nothing more: [`Cmd::ended`] waits for it.
    pub(crate) fn start(&self, stdin: Stdio) -> Result<Child, CmdError> {
        let mut command = Command::new(&self.program);
        if self.bare {
            command.env_clear();
        }
        if self.group {
            command.process_group(0);
        }
        let started = command
            .args(&self.args)
            .env("LC_ALL", "C")
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            // LVM complains on stderr about descriptors it did not open; ours are close-on-exec, a parent's may not be.
            .env("LVM_SUPPRESS_FD_WARNINGS", "1")
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let fail = |said: String| CmdError { line: self.to_string(), code: None, said };
        started.map_err(|e| fail(format!("cannot start it: {e}")))
    }

    /// Waits for a program whose failure is an answer, and kills it when its time is over. Of what it says only the last
    /// `keep_bytes` are kept, however much there is.
    pub(crate) fn ended(&self, mut child: Child, keep_bytes: usize) -> Ran {
        let (stdout, stderr) = drained(&mut child, keep_bytes);
        let group = Pid::from_child(&child);
        let status = self.wait(&mut child);
        if self.group {
            // Nobody may be left in it, which is as well.
            let _ = kill_process_group(group, Signal::KILL);
        }
        let said = [joined(stdout), joined(stderr)].concat();
        let said = String::from_utf8_lossy(&said[said.len().saturating_sub(keep_bytes)..]).trim().to_string();
        match status {
            Ok(status) => Ran { code: status.code(), timed_out: false, said },
            Err(why) => Ran { code: None, timed_out: true, said: if said.is_empty() { why } else { said } },
        }
    }

    /// Runs it on this terminal, with the caller's input, output and environment and without a time limit; its exit
    /// code, or 128 and the signal that ended it. For commands a person gave us.
    pub fn run_on_terminal(&self) -> Result<i32, CmdError> {
        let status = Command::new(&self.program).args(&self.args).status();
        let status = status.map_err(|e| CmdError {
            line: self.to_string(),
            code: None,
            said: format!("cannot start it: {e}"),
        })?;
        Ok(status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1))
    }

    fn wait(&self, child: &mut std::process::Child) -> Result<std::process::ExitStatus, String> {
        let start = Instant::now();
        let mut pause = Duration::from_micros(200);
        loop {
            match child.try_wait() {
                Ok(Some(status)) => return Ok(status),
                Ok(None) if start.elapsed() > self.limit => {
                    // Kill and reap so that nothing of it goes on behind our back.
                    let _ = child.kill();
                    let _ = child.wait();
                    return Err(format!("did not end within {} seconds", self.limit.as_secs()));
                }
                Ok(None) => {
                    std::thread::sleep(pause);
                    pause = (pause * 2).min(Duration::from_millis(20));
                }
                Err(error) => return Err(error.to_string()),
            }
        }
    }
}

type Draining = Option<JoinHandle<Vec<u8>>>;

/// Reads both outputs side by side, so that neither can block the program; keeps the last `keep_bytes` of each.
fn drained(child: &mut Child, keep_bytes: usize) -> (Draining, Draining) {
    let drain = |mut pipe: Box<dyn Read + Send>| {
        std::thread::spawn(move || {
            let (mut bytes, mut piece) = (Vec::new(), [0; 8192]);
            // A broken pipe only means less text; the exit code decides.
            while let Ok(length @ 1..) = pipe.read(&mut piece) {
                bytes.extend_from_slice(&piece[..length]);
                let surplus = bytes.len().saturating_sub(keep_bytes);
                bytes.drain(..surplus);
            }
            bytes
        })
    };
    let stdout = child.stdout.take().map(|pipe| drain(Box::new(pipe)));
    let stderr = child.stderr.take().map(|pipe| drain(Box::new(pipe)));
    (stdout, stderr)
}

fn joined(thread: Draining) -> Vec<u8> {
    thread.and_then(|thread| thread.join().ok()).unwrap_or_default()
}

/// As a line that can be pasted into a shell.
impl fmt::Display for Cmd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = std::iter::once(&self.program).chain(&self.args);
        for (i, word) in words.enumerate() {
            let word = word.to_string_lossy();
            let plain =
                !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "-_./=:,+@%^".contains(c));
            let space = if i == 0 { "" } else { " " };
            if plain {
                write!(f, "{space}{word}")?;
            } else {
                write!(f, "{space}'{}'", word.replace('\'', r"'\''"))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_as_a_shell_line() {
        let cmd = Cmd::new("lvs").args(["-o", "name,size", "a b", "it's", ""]);
        assert_eq!(cmd.to_string(), r"lvs -o name,size 'a b' 'it'\''s' ''");
    }

    #[test]
    fn failure_keeps_code_and_words() {
        let error = Cmd::new("sh").args(["-c", "echo no >&2; exit 3"]).run().unwrap_err();
        assert_eq!((error.code, error.said.trim()), (Some(3), "no"));
        assert_eq!(Cmd::new("sh").args(["-c", "echo yes; exit 1"]).also_good(1).run().unwrap(), "yes\n");
        assert!(Cmd::new("/no/such/program").run().unwrap_err().why().contains("cannot start"));
    }
}
