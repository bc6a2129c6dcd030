//! A virtual machine: QEMU, with hardware support where there is one.
//!
//! It starts a kernel, initrd and command line that are given directly, where what is tested is a layer and its boot entry;
//! or real firmware from a disk, where the boot loader is. All talk goes over the serial console, as an admin's would; what came over it is kept for error messages.
//! Machines are slow here (a boot takes the better part of a minute), so every wait has a limit and says what it was
//! waiting for.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::job::Group;
use crate::{Context, Result};

/// How much of the console an error shows.
const TAIL_BYTES: usize = 2000;
/// How long a login or a command may take unless said otherwise.
const COMMAND: Duration = Duration::from_secs(120);
/// How long a machine may take to switch itself off.
const POWEROFF: Duration = Duration::from_secs(90);

/// What to boot.
#[derive(Debug, Clone)]
pub struct Boot {
    /// The raw image of /dev/vda; the machine writes to it.
    pub disk: PathBuf,
    /// Those of /dev/vdb and so on, which it only reads.
    pub read_only: Vec<PathBuf>,
    /// How it starts.
    pub start: Start,
}

/// How a machine starts.
#[derive(Debug, Clone)]
pub enum Start {
    /// Without firmware or boot loader. A restart ends it.
    Kernel {
        /// The kernel.
        kernel: PathBuf,
        /// Its initrd.
        initrd: PathBuf,
        /// Its command line; `console=ttyS0` must be in it.
        options: String,
    },
    /// As a machine with a BIOS (SeaBIOS) starts from its first disk.
    Bios,
    /// As a machine with UEFI (OVMF) does. Its variables lie in this file, which is made where it is missing.
    Uefi {
        /// The file.
        variables: PathBuf,
    },
}

/// Where Debian has OVMF.
const OVMF_CODE: &str = "/usr/share/OVMF/OVMF_CODE_4M.fd";
const OVMF_VARIABLES: &str = "/usr/share/OVMF/OVMF_VARS_4M.fd";

/// A running machine; killed when dropped, which is a power cut.
#[derive(Debug)]
pub struct Vm {
    qemu: Group,
    keys: ChildStdin,
    console: Console,
    /// Everything before this has been consumed by a wait.
    seen: usize,
    commands: u32,
}

/// What came over the serial line so far, filled by a thread.
#[derive(Debug, Clone, Default)]
struct Console(Arc<(Mutex<Screen>, Condvar)>);

#[derive(Debug, Default)]
struct Screen {
    text: Vec<u8>,
    closed: bool,
}

impl Vm {
    /// Switches a machine on.
    pub fn boot(boot: &Boot) -> Result<Self> {
        let mut files: Vec<&PathBuf> = std::iter::once(&boot.disk).chain(&boot.read_only).collect();
        match &boot.start {
            Start::Kernel { kernel, initrd, .. } => files.extend([kernel, initrd]),
            Start::Uefi { variables } if !variables.exists() => {
                std::fs::copy(OVMF_VARIABLES, variables).context(format!("copy {OVMF_VARIABLES}"))?;
            }
            Start::Uefi { .. } | Start::Bios => {}
        }
        if let Some(missing) = files.into_iter().find(|file| !file.is_file()) {
            return Err(format!("boot a machine: {} is not there", missing.display()));
        }
        let mut qemu = Group::spawn(&mut qemu(boot)?, None)?;
        let pipes = (qemu.child().stdin.take(), qemu.child().stdout.take());
        let (Some(keys), Some(mut serial)) = pipes else {
            return Err("boot a machine: QEMU's serial line is not connected".into());
        };
        let console = Console::default();
        let writer = console.clone();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // An error is an end like any other: the machine is gone.
            while let Ok(n @ 1..) = serial.read(&mut bytes) {
                writer.push(&bytes[..n]);
            }
            writer.close();
        });
        Ok(Vm { qemu, keys, console, seen: 0, commands: 0 })
    }

    /// Waits until this comes over the console, after all that earlier waits saw; returns the text up to its end.
    pub fn wait_for(&mut self, words: &str, limit: Duration) -> Result<String> {
        let end = self.console.wait(words.as_bytes(), self.seen, limit).map_err(|why| {
            let console = self.console();
            let from =
                (console.len().saturating_sub(TAIL_BYTES)..=console.len()).find(|i| console.is_char_boundary(*i));
            format!("waiting for {words:?} on the console: {why}; it said last:\n{}", &console[from.unwrap_or(0)..])
        })?;
        let text = self.console.text(self.seen, end);
        self.seen = end;
        Ok(text)
    }

    /// Logs in on the console and makes the shell talk plainly. `limit` is for the boot until the login prompt.
    pub fn login(&mut self, user: &str, password: &str, limit: Duration) -> Result<()> {
        self.wait_for("login: ", limit)?;
        self.answer_login(user, password)
    }

    /// As [`Vm::login`], where the prompt has come before.
    pub fn enter(&mut self, user: &str, password: &str) -> Result<()> {
        self.type_line("")?;
        self.login(user, password, COMMAND)
    }

    fn answer_login(&mut self, user: &str, password: &str) -> Result<()> {
        self.type_line(user)?;
        self.wait_for("Password: ", COMMAND)?;
        self.type_line(password)?;
        self.wait_for("# ", COMMAND)?;
        // No echo, no prompt, no kernel messages between a command's lines. The quotes keep the typed line from being
        // taken for its own answer.
        self.type_line("stty -echo; export PS1= PS2= PROMPT_COMMAND= TERM=dumb LC_ALL=C; dmesg -n 1; echo PLA''IN")?;
        self.wait_for("PLAIN\r\n", COMMAND).map(|_| ())
    }

    /// Runs a shell command in the machine; gives its exit code and what it wrote.
    pub fn run(&mut self, command: &str) -> Result<(i32, String)> {
        self.run_within(command, COMMAND)
    }

    /// As [`Vm::run`], for what takes longer.
    pub fn run_within(&mut self, command: &str, limit: Duration) -> Result<(i32, String)> {
        self.commands += 1;
        let n = self.commands;
        self.type_line(&format!("echo @BEGIN-{n}@; {{ {command}\n}} </dev/null 2>&1; echo @END-{n}@$?@"))?;
        self.wait_for(&format!("@BEGIN-{n}@\r\n"), COMMAND)?;
        let mark = format!("@END-{n}@");
        let text = self.wait_for(&mark, limit)?;
        let code = self.wait_for("@", COMMAND)?;
        let code =
            code.trim_end_matches('@').parse().context(format!("the exit code of {command:?} in the machine"))?;
        let text = text.strip_suffix(&mark).unwrap_or(&text).replace("\r\n", "\n");
        Ok((code, text))
    }

    /// As [`Vm::run`], for a command that must succeed.
    pub fn must(&mut self, command: &str) -> Result<String> {
        match self.run(command)? {
            (0, text) => Ok(text),
            (code, text) => Err(format!("in the machine: {command}: exit code {code}:\n{text}")),
        }
    }

    /// Begins a shell command whose output is waited for.
    pub fn begin(&mut self, command: &str) -> Result<()> {
        self.type_line(command)
    }

    /// Types the restart; the machine starts again by itself.
    pub fn reboot(&mut self) -> Result<()> {
        self.type_line("reboot")
    }

    /// Shuts the machine down in order and waits for its end.
    pub fn poweroff(mut self) -> Result<()> {
        self.type_line("poweroff")?;
        match self.qemu.wait_at_most(POWEROFF)? {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(format!("QEMU ended with {status}")),
            None => Err(format!("the machine did not switch itself off within {} s", POWEROFF.as_secs())),
        }
    }

    /// Cuts the power.
    pub fn kill(mut self) {
        self.qemu.kill();
    }

    /// All that came over the console so far.
    pub fn console(&self) -> String {
        self.console.text(0, usize::MAX)
    }

    fn type_line(&mut self, line: &str) -> Result<()> {
        self.keys
            .write_all(format!("{line}\n").as_bytes())
            .and_then(|()| self.keys.flush())
            .context("type on the console")
    }
}

fn qemu(boot: &Boot) -> Result<Command> {
    let plain = |path: &Path| match path.to_str() {
        Some(text) if !text.contains(',') => Ok(text.to_string()),
        Some(_) | None => Err(format!("QEMU cannot take the path {}: it splits at commas", path.display())),
    };
    let mut command = Command::new("qemu-system-x86_64");
    if hardware_support() {
        command.args(["-accel", "kvm", "-cpu", "host"]);
    } else {
        // qemu64: a richer model loads and self-tests modules for 12 s more.
        command.args(["-accel", "tcg,tb-size=256", "-cpu", "qemu64"]);
    }
    // One processor: a second one gains nothing without hardware support.
    command.args(["-machine", "q35", "-smp", "1", "-m", "512"]);
    command.args(["-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio"]);
    let disk = plain(&boot.disk)?;
    command.args(["-drive", &format!("file={disk},format=raw,if=virtio,cache=writeback,discard=unmap")]);
    for disk in &boot.read_only {
        command.args(["-drive", &format!("file={},format=raw,if=virtio,readonly=on", plain(disk)?)]);
    }
    command.args(["-device", "virtio-rng-pci"]);
    match &boot.start {
        Start::Kernel { kernel, initrd, options } => {
            command.arg("-no-reboot");
            command.arg("-kernel").arg(kernel).arg("-initrd").arg(initrd).args(["-append", options]);
        }
        Start::Bios => {}
        Start::Uefi { variables } => {
            command.args(["-drive", &format!("if=pflash,format=raw,readonly=on,file={OVMF_CODE}")]);
            command.args(["-drive", &format!("if=pflash,format=raw,file={}", plain(variables)?)]);
        }
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    Ok(command)
}

/// Whether the processor helps. Only where somebody says so: on some machines /dev/kvm is there and every kernel hangs.
fn hardware_support() -> bool {
    std::env::var_os("THINROOT_KVM").is_some_and(|value| value == "1")
}

impl Console {
    fn with<T>(&self, act: impl FnOnce(&mut Screen) -> T) -> T {
        act(&mut self.0.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn push(&self, bytes: &[u8]) {
        self.with(|screen| screen.text.extend_from_slice(bytes));
        self.0.1.notify_all();
    }

    fn close(&self) {
        self.with(|screen| screen.closed = true);
        self.0.1.notify_all();
    }

    fn text(&self, from: usize, to: usize) -> String {
        self.with(|screen| {
            let to = to.min(screen.text.len());
            String::from_utf8_lossy(&screen.text[from.min(to)..to]).into_owned()
        })
    }

    /// Where the first occurrence from `from` on ends.
    fn wait(&self, words: &[u8], from: usize, limit: Duration) -> Result<usize> {
        let start = Instant::now();
        let mut screen = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(at) = screen.text[from..].windows(words.len()).position(|w| w == words) {
                return Ok(from + at + words.len());
            }
            if screen.closed {
                return Err("the machine is off".into());
            }
            let left = limit.saturating_sub(start.elapsed());
            if left.is_zero() {
                return Err(format!("nothing within {} s", limit.as_secs()));
            }
            screen = self.0.1.wait_timeout(screen, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_finds_what_comes_in_pieces_and_never_twice() {
        let console = Console::default();
        let writer = console.clone();
        let thread = std::thread::spawn(move || {
            for piece in ["boot log", "in: x log", "in: "] {
                writer.push(piece.as_bytes());
            }
            writer.close();
        });
        let limit = Duration::from_secs(60);
        let first = console.wait(b"login: ", 0, limit).unwrap();
        let second = console.wait(b"login: ", first, limit).unwrap();
        assert_eq!((first, second), (12, 21));
        assert_eq!(console.wait(b"login: ", second, limit), Err("the machine is off".into()));
        thread.join().unwrap();
    }
}
