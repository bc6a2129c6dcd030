//! Machines with real firmware: hosts that `thinroot install` made, started by SeaBIOS or OVMF, through GRUB or systemd-boot.
//!
//! Two kinds of rows. [`chain`] tries the boot loaders alone, with images that are a kernel and an initrd which says what
//! was started and starts the machine again: a start takes seconds. [`host`] runs a whole Debian through its life.
//!
//! What is done to a disk while its machine is off is done in the test kernel, by the same program. What a row expects is
//! written down in it; nothing is taken from what thinroot says of itself but where that is what is tested.

pub mod adopt;
pub mod chain;
pub mod host;
mod publish;
pub mod soft;
mod tree;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::bed::{Access, Bed, sparse_disk};
use crate::cache::Cache;
use crate::job::JobDir;
use crate::vm::{Boot, Start, Vm};
use crate::{Context, Result, workspace};

/// How a host is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// SeaBIOS and GRUB.
    BiosGrub,
    /// OVMF and GRUB.
    UefiGrub,
    /// OVMF and systemd-boot.
    UefiSystemdBoot,
}

impl Way {
    /// All of them.
    pub const ALL: [Way; 3] = [Way::BiosGrub, Way::UefiGrub, Way::UefiSystemdBoot];

    /// Its name on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Way::BiosGrub => "bios-grub",
            Way::UefiGrub => "uefi-grub",
            Way::UefiSystemdBoot => "uefi-systemd-boot",
        }
    }

    fn loader(self) -> &'static str {
        match self {
            Way::BiosGrub | Way::UefiGrub => "grub",
            Way::UefiSystemdBoot => "systemd-boot",
        }
    }

    /// The partition with kernels and entries.
    fn boot_partition(self) -> u32 {
        match self {
            Way::BiosGrub | Way::UefiGrub => 3,
            Way::UefiSystemdBoot => 1,
        }
    }
}

/// What all rows of a run share.
#[derive(Debug)]
pub struct Ground {
    cache: Cache,
    job: JobDir,
    program: PathBuf,
    start: Instant,
}

impl Ground {
    /// Builds the program and makes a work directory.
    pub fn new(cache: Cache) -> Result<Self> {
        let job = cache.job("vm")?;
        // A copy: what is built while this runs is not what this tries.
        let program = job.path().join("thinroot");
        let built = crate::stage::release_program()?;
        std::fs::copy(&built, &program).context(format!("copy {}", built.display()))?;
        Ok(Ground { cache, job, program, start: Instant::now() })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.job.path().join(name)
    }

    /// Tells what is happening.
    fn say(&self, row: &str, words: &str) {
        println!("vm: [{:4.0} s] {row}: {words}", self.start.elapsed().as_secs_f32());
    }

    /// Runs a script on a disk in the test kernel; gives what it wrote to stdout.
    fn in_kernel(&self, disk: &Path, script: &str) -> Result<String> {
        let bed = Bed::new(&self.cache)
            .disk(disk, Access::Write)
            .bind(self.job.path(), Access::Write)
            .bind(workspace::root(), Access::Read)
            .timeout(Duration::from_secs(600));
        bed.run(&format!("set -e\n{script}"))?.expect_done("work on a disk")
    }
}

/// A host on a disk of its own.
#[derive(Debug)]
pub struct Machine<'a> {
    ground: &'a Ground,
    way: Way,
    row: String,
    disk: PathBuf,
    /// Further disks, from /dev/vdb on.
    more: Vec<PathBuf>,
}

impl<'a> Machine<'a> {
    /// Installs an image on an empty disk.
    pub fn install(ground: &'a Ground, way: Way, row: &str, image: &str, disk_mib: u64, more: &str) -> Result<Self> {
        let row = format!("{} {row}", way.name());
        let disk = ground.path(&format!("{}.disk", row.replace(' ', "-")));
        sparse_disk(&disk, disk_mib)?;
        ground.say(&row, &format!("install {image}"));
        let program = ground.program.display();
        let loader = way.loader();
        ground.in_kernel(&disk, &format!("{program} -q install {image} --disk /dev/ubda --loader {loader} {more}"))?;
        Ok(Machine { ground, way, row, disk, more: Vec::new() })
    }

    /// Adds a disk that the machine sees too.
    pub fn with_disk(mut self, disk: PathBuf) -> Self {
        self.more.push(disk);
        self
    }

    /// Runs `thinroot` verbs, and anything else, while the machine is off. `T` stands for the program with this store.
    pub fn off(&self, what: &str, script: &str) -> Result<String> {
        self.ground.say(&self.row, what);
        let (program, part) = (self.ground.program.display(), self.way.boot_partition());
        self.ground
            .in_kernel(
                &self.disk,
                &format!(
                    "T() {{ {program} -q --store lvm:thinroot/pool --boot-dir /run/bootdir \"$@\"; }}
                     vgchange -qq -ay thinroot; mkdir -p /run/bootdir; mount /dev/ubda{part} /run/bootdir
                     {script}
                     umount /run/bootdir; vgchange -qq -an thinroot"
                ),
            )
            .map_err(|error| format!("{}: {what}: {error}", self.row))
    }

    /// Switches the machine on.
    pub fn on(&self) -> Result<Vm> {
        let start = match self.way {
            Way::BiosGrub => Start::Bios,
            Way::UefiGrub | Way::UefiSystemdBoot => Start::Uefi { variables: self.disk.with_extension("variables") },
        };
        Vm::boot(&Boot { disk: self.disk.clone(), read_only: self.more.clone(), start })
    }

    /// Keeps the disk as it is now, for [`Machine::restore`].
    pub fn keep(&self) -> Result<()> {
        tree::run(Command::new("cp").args(["--sparse=always"]).arg(&self.disk).arg(self.disk.with_extension("kept")))
    }

    /// The disk as it was kept.
    pub fn restore(&self) -> Result<()> {
        tree::run(Command::new("cp").args(["--sparse=always"]).arg(self.disk.with_extension("kept")).arg(&self.disk))
    }

    fn say(&self, words: &str) {
        self.ground.say(&self.row, words);
    }
}
