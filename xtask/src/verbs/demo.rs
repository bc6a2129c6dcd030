//! `cargo xtask demo`: one update of a real Debian from beginning to end, in a directory store, booted for real.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::time::Duration;

use crate::cache::Cache;
use crate::image::{self, DemoImages, Weekly};
use crate::stage::Stage;
use crate::{Result, packages};

/// Set in the process that runs in a mount namespace of its own.
const INSIDE: &str = "THINROOT_DEMO_INSIDE";
/// An emulated boot of the whole system.
const BOOT: Duration = Duration::from_secs(400);

/// Whether machines are booted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Machines {
    Booted,
    LeftOut,
}

/// Plays the demo.
pub fn run(args: &[String]) -> Result<ExitCode> {
    let machines = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => Machines::Booted,
        ["--no-vm"] => Machines::LeftOut,
        _ => return Err("usage: cargo xtask demo [--no-vm]".into()),
    };
    if !rustix::process::getuid().is_root() {
        return Err("the demo mounts disks of its own and so needs root: run it with sudo".into());
    }
    if std::env::var_os(INSIDE).is_none() {
        return Err(enter(args));
    }
    packages::ensure(&[packages::IMAGES, packages::VM])?;
    let cache = Cache::open()?;
    let images = image::ensure(&cache, &super::images::today()?, Weekly::No)?;
    let mut stage = Stage::set(&cache)?;
    scenario(&mut stage, &images, machines)?;
    println!("\nEverything above was really done; the work directory is removed now.");
    Ok(ExitCode::SUCCESS)
}

/// Starts itself again in a mount namespace of its own: what is still mounted when the demo ends, however it ends, is
/// gone with it. Only returns if that fails.
fn enter(args: &[String]) -> String {
    let own = match std::env::current_exe() {
        Ok(own) => own,
        Err(error) => return format!("find our own program: {error}"),
    };
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "--"]).arg(own).arg("demo").args(args).env(INSIDE, "1");
    format!("start unshare: {}", command.exec())
}

fn scenario(stage: &mut Stage, images: &DemoImages, machines: Machines) -> Result<()> {
    let (old, new) = (&images.first, &images.second);
    let layer = format!("{}+1", old.id);
    let next = format!("{}+1", new.id);
    let old_source = stage.bring(&old.archive, old.name)?;
    let new_source = stage.bring(&new.archive, new.name)?;

    stage.section("A store, a base, a layer");
    stage.say(format!("{} is Debian as of its point release, {} packages.", old.id, old.packages.len()));
    stage.thinroot(&["init"])?;
    stage.thinroot(&["base", "add", &old_source])?;
    stage.thinroot(&["layer", "fork", &old.id])?;

    stage.section("An admin at work");
    stage.say("The layer is a normal, writable system; this is done inside it.");
    for work in ADMIN {
        stage.thinroot(&["layer", "shell", &layer, "--", "sh", "-c", work])?;
    }

    stage.section("What would an update do?");
    stage.say(format!("{} is the same server with every update until today:", new.id));
    stage.say(format!("{} packages differ.", image::upgrades(old, new).len()));
    stage.thinroot(&["update", &new_source, "--plan"])?;

    stage.section("The update");
    stage.thinroot_ending(&["update", &new_source], &[0, 4])?;
    stage.thinroot(&["status"])?;

    if machines == Machines::Booted {
        stage.section("Does it boot?");
        let mut vm = stage.boot(&next)?;
        vm.login("root", "root", BOOT)?;
        for look in ["grep IMAGE_VERSION /etc/os-release", "uname -r", "hostname", "systemctl is-system-running --wait"]
        {
            let text = vm.must(look)?;
            stage.say(format!("in the machine: {look}: {}", text.trim()));
        }
        vm.poweroff()?;
    }

    stage.section("And back");
    stage.thinroot(&["rollback"])?;
    stage.thinroot(&["status"])?;

    stage.section("Tidying up");
    stage.thinroot(&["prune"])?;
    stage.thinroot(&["check"])?;
    Ok(())
}

/// What the admin does: each touches another way in which state and image meet.
const ADMIN: &[&str] = &[
    "echo web-1 >/etc/hostname",
    "sed -i 's/^#PermitRootLogin.*/PermitRootLogin no/' /etc/ssh/sshd_config",
    "useradd --create-home --shell /bin/bash ada",
    "rm /etc/nginx/sites-enabled/default",
    "mkdir -p /srv/www && echo hello >/srv/www/index.html && chown -R www-data: /srv/www",
];
