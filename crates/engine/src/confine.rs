//! Runs programs of an image where they can do no harm.
//!
//! A checker or a migration of an image is run on the host that is being updated, as root, before the image has ever
//! booted. So: its tree is its whole world and read-only, it has memory file systems of its own for what it writes, no
//! network, no other processes, hardly any capability, and little time.
//!
//! Must stay true: nothing outside the given places is written, whatever is in the tree; when the call returns, nothing that
//! was started lives.

use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};
use rustix::process::{Pid, Resource, Rlimit};
use rustix::thread::CapabilitySet;

use crate::cmd::Cmd;
pub use crate::cmd::Ran;
use crate::error::{Error, IoContext, Result};

/// Of what a program says. More is not read by anybody.
const KEEP_BYTES: usize = 16 << 10;
/// Longest a program may run unless said otherwise.
const LIMIT: Duration = Duration::from_secs(20);
/// Address space of each process. Checkers need a few MiB.
const MEMORY_BYTES: u64 = 1 << 30;
/// Largest file it may write.
const FILE_BYTES: u64 = 64 << 20;
/// Directories that get a memory file system, where they are directories.
const MEMORY: [&str; 4] = ["tmp", "run", "var/tmp", "dev"];
/// Devices that every program may expect: name, major, minor.
const DEVICES: [(&str, u32, u32); 5] =
    [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9)];
/// What root of the tree needs to read its files, and to give those it writes their owners.
const CAPABILITIES: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::DAC_READ_SEARCH)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID);

/// A program of a tree.
#[derive(Debug, Clone)]
pub struct Confined {
    root: PathBuf,
    argv: Vec<String>,
    limit: Duration,
    directories: Vec<String>,
    binds: Vec<Bind>,
}

/// Something of the host that the program sees.
#[derive(Debug, Clone)]
struct Bind {
    from: PathBuf,
    /// Below `/run`.
    name: &'static str,
    writable: bool,
}

impl Confined {
    /// A program with its arguments, in the tree mounted at `root`.
    pub fn new(root: &Path, argv: &[String]) -> Self {
        Confined { root: root.into(), argv: argv.to_vec(), limit: LIMIT, directories: Vec::new(), binds: Vec::new() }
    }

    /// Gives it another time limit.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Makes an empty directory below `/run` of the program.
    #[must_use]
    pub fn directory(mut self, name: &str) -> Self {
        self.directories.push(name.into());
        self
    }

    /// Shows it a directory of the host as `/run/NAME`.
    #[must_use]
    pub fn bind(mut self, from: &Path, name: &'static str, writable: bool) -> Self {
        self.binds.push(Bind { from: from.into(), name, writable });
        self
    }

    /// Runs it. An error says that it could not be confined, and so was not run.
    pub fn run(&self) -> Result<Ran> {
        let Some((program, args)) = self.argv.split_first() else {
            return Err(Error::refused("run a program of an image", "there is none to run"));
        };
        let cmd = Cmd::new(program).args(args).bare().limit(self.limit);
        // The machine's: the tree need not have one.
        let null = File::open("/dev/null").at("open", Path::new("/dev/null"))?;
        // In a thread of its own: whatever it leaves is left for good, and the program is born there.
        let start = || -> Result<_> {
            self.enter()?;
            Ok(cmd.start(null.into()))
        };
        let started = std::thread::scope(|scope| scope.spawn(start).join());
        let died = |_| Error::failed(format!("confine {program}"), "the thread that does it ended");
        match started.map_err(died)?? {
            Ok(child) => {
                limit_memory(child.id());
                Ok(cmd.ended(child, KEEP_BYTES))
            }
            Err(error) => Ok(Ran { code: Some(127), timed_out: false, said: error.said }),
        }
    }

    /// Leaves the machine behind: from here on the tree is the root of this thread.
    fn enter(&self) -> Result<()> {
        let root = self.root.as_path();
        crate::sys::unshare_all().at("leave the machine's namespaces for", root)?;
        let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        rustix::mount::mount_change("/", private).at("keep mounts private for", root)?;
        rustix::mount::mount_bind(root, root).at("bind", root)?;
        let locked = MountFlags::BIND | MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV;
        rustix::mount::mount_remount(root, locked, "").at("make read-only", root)?;
        rustix::process::chdir(root).at("enter", root)?;
        for name in MEMORY {
            let Some(place) = directory(name)? else { continue };
            let flags = if name == "dev" { MountFlags::NOSUID } else { MountFlags::NOSUID | MountFlags::NODEV };
            let at = through(&place);
            rustix::mount::mount("tmpfs", &at, "tmpfs", flags, c"size=64m,mode=0755").at("mount", &at)?;
        }
        self.furnish()?;
        // The tree becomes the root, and the old root goes: both are named by ".".
        rustix::process::pivot_root(".", ".").at("change the root to", root)?;
        rustix::mount::unmount(".", UnmountFlags::DETACH).at("let go of the machine below", root)?;
        rustix::process::chdir("/").at("enter the root of", root)?;
        for capability in CapabilitySet::all().difference(CAPABILITIES).iter() {
            match rustix::thread::remove_capability_from_bounding_set(capability) {
                // One that this kernel does not know.
                Ok(()) | Err(Errno::INVAL) => {}
                Err(error) => return Err(error).at("drop capabilities for", root),
            }
        }
        rustix::thread::set_no_new_privs(true).at("give up privileges for", root)
    }

    /// Devices, directories and what is shown of the host, in the memory file systems.
    fn furnish(&self) -> Result<()> {
        if let Some(dev) = directory("dev")? {
            for (name, major, minor) in DEVICES {
                let mode = Mode::from_raw_mode(0o666);
                rustix::fs::mknodat(&dev, name, FileType::CharacterDevice, mode, rustix::fs::makedev(major, minor))
                    .at("make device", Path::new(name))?;
                rustix::fs::chmodat(&dev, name, mode, rustix::fs::AtFlags::empty())
                    .at("make device", Path::new(name))?;
            }
        }
        if self.directories.is_empty() && self.binds.is_empty() {
            return Ok(());
        }
        let Some(run) = directory("run")? else {
            return Err(Error::refused("run a program of an image", "it has no directory /run"));
        };
        let names = self.directories.iter().map(String::as_str).chain(self.binds.iter().map(|bind| bind.name));
        for name in names {
            rustix::fs::mkdirat(&run, name, Mode::from_raw_mode(0o755)).at("make", Path::new(name))?;
        }
        for bind in &self.binds {
            let at = Path::new("run").join(bind.name);
            rustix::mount::mount_bind(&bind.from, &at).at("bind", &bind.from)?;
            let mut flags = MountFlags::BIND | MountFlags::NOSUID | MountFlags::NODEV;
            flags.set(MountFlags::RDONLY, !bind.writable);
            rustix::mount::mount_remount(&at, flags, "").at("bind", &bind.from)?;
        }
        Ok(())
    }
}

/// A directory of the tree that is the present one; none where there is something else, such as a link that leads out.
fn directory(name: &str) -> Result<Option<OwnedFd>> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    match rustix::fs::openat2(CWD, name, flags, Mode::empty(), resolve) {
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
        other => other.at("look at", Path::new(name)).map(Some),
    }
}

fn through(fd: &OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()))
}

/// The limits of a process can only be set once it is there. What it did before is next to nothing.
fn limit_memory(pid: u32) {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return };
    for (what, most) in [(Resource::As, MEMORY_BYTES), (Resource::Fsize, FILE_BYTES), (Resource::Core, 0)] {
        // It may have ended.
        let _ = rustix::process::prlimit(Some(pid), what, Rlimit { current: Some(most), maximum: Some(most) });
    }
}
