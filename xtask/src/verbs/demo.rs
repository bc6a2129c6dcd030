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
    if let Some(error) = enter_once("demo", args) {
        return Err(error);
    }
    packages::ensure(&[packages::IMAGES, packages::VM])?;
    let cache = Cache::open()?;
    let images = image::ensure(&cache, &super::images::today()?, Weekly::No)?;
    let mut stage = Stage::set(&cache)?;
    scenario(&mut stage, &images, machines)?;
    println!("\nEverything above was really done; the work directory is removed now.");
    Ok(ExitCode::SUCCESS)
}

/// Starts itself again in a mount namespace of its own, unless it is in one: what is still mounted when the verb ends,
/// however it ends, is gone with it. Gives an error if that fails.
pub fn enter_once(verb: &str, args: &[String]) -> Option<String> {
    if std::env::var_os(INSIDE).is_some() {
        return None;
    }
    let own = match std::env::current_exe() {
        Ok(own) => own,
        Err(error) => return Some(format!("find our own program: {error}")),
    };
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "--"]).arg(own).arg(verb).args(args).env(INSIDE, "1");
    Some(format!("start unshare: {}", command.exec()))
}

fn scenario(stage: &mut Stage, images: &DemoImages, machines: Machines) -> Result<()> {
    let (old, new) = (&images.first, &images.second);
    let layer = format!("{}+1", old.id);
    let old_source = stage.bring(&old.archive, old.name)?;
    let new_source = stage.bring(&new.archive, new.name)?;

    stage.section("A store, a base, a layer");
    stage.say(format!("{} is a small Debian server as of its point release, {} packages.", old.id, old.packages.len()));
    stage.say("It becomes a sealed base; the machine runs a writable layer of it.");
    stage.thinroot(&["init"])?;
    stage.thinroot(&["base", "add", &old_source])?;
    stage.thinroot(&["layer", "fork", &old.id])?;

    stage.section("An admin at work");
    stage.say("The layer is a normal, writable system. All this is done inside it:");
    for (why, work) in ADMIN {
        stage.say(format!("- {why}"));
        stage.thinroot(&["layer", "shell", &layer, "--", "sh", "-c", work])?;
    }

    stage.section("What would an update do?");
    stage.say(format!("{} is the same server with every update until today:", new.id));
    stage.say(format!("{} packages differ.", image::upgrades(old, new).len()));
    stage.say("The plan shows every step and what becomes of each change, before anything is touched.");
    stage.thinroot(&["update", &new_source, "--plan"])?;

    stage.section("The update");
    stage.say("The new base is written over a snapshot of the old one; only what differs is written.");
    stage.say("Exit code 4 means: done, and there is something to look at.");
    stage.thinroot_ending(&["update", &new_source], &[4])?;
    stage.thinroot(&["status"])?;
    stage.say("What was carried, what was merged, what conflicted, and where the other side is:");
    stage.thinroot(&["state", "show"])?;

    if machines == Machines::Booted {
        stage.section("Does it boot?");
        boot_and_look(stage)?;
        stage.say("The machine came up: it is declared good and becomes the default.");
        stage.thinroot(&["bless"])?;
    }

    stage.section("And back");
    stage.say("The old layer is still there, complete and untouched. Going back is booting it.");
    stage.thinroot(&["rollback"])?;
    stage.thinroot(&[
        "layer",
        "shell",
        &layer,
        "--",
        "sh",
        "-c",
        "cat /etc/hostname; grep IMAGE_VERSION /etc/os-release",
    ])?;
    stage.thinroot(&["status"])?;

    stage.section("Is everything in order?");
    stage.say("Every byte of both bases is compared with what was recorded when they were sealed.");
    stage.thinroot(&["base", "verify"])?;
    stage.thinroot(&["check"])?;
    stage.say("Both layers are needed to go forward and back, so nothing is surplus:");
    stage.thinroot(&["prune"])?;
    Ok(())
}

/// Boots what is armed, as a boot loader would, and looks for the admin's changes in the running machine.
fn boot_and_look(stage: &mut Stage) -> Result<()> {
    let armed = stage.armed()?;
    let mut vm = stage.boot(&armed)?;
    vm.login("root", "root", BOOT)?;
    stage.say("login prompt reached, logged in; in the running machine:");
    for (command, expected) in LOOKS {
        let text = vm.must(command)?;
        stage.say(format!("# {command}\n     {}", text.trim()));
        if !text.contains(expected) {
            return Err(format!("in the machine, '{command}' does not say '{expected}'"));
        }
    }
    vm.poweroff()
}

/// What the admin does, and how: each touches another way in which state and image meet.
const ADMIN: &[(&str, &str)] = &[
    ("gives the machine its name", "echo web-1 >/etc/hostname"),
    ("edits a vendor config file", "sed -i 's/^#PermitRootLogin.*/PermitRootLogin no/' /etc/ssh/sshd_config"),
    ("adds a user", "useradd --create-home --shell /bin/bash ada"),
    ("deletes a shipped file", "rm /etc/nginx/sites-enabled/default"),
    ("adds files", "mkdir -p /srv/www && echo hello >/srv/www/index.html && chown -R www-data: /srv/www"),
    ("changes a mode", "chmod 0700 /etc/cron.daily"),
    ("sets an extended attribute", "setfattr -n user.owner -v ada /etc/crontab"),
    (
        "installs a program under /usr/local",
        "printf '#!/bin/sh\\necho tool works\\n' >/usr/local/bin/tool && chmod 0755 /usr/local/bin/tool",
    ),
    (
        "trusts the company's certificate, in a file that the update changes too",
        "sed -i '1i # company root, trusted since 2026\\n# (certificate here)\\n' /etc/ssl/certs/ca-certificates.crt",
    ),
    (
        "distrusts a certificate in the very line that the update removes",
        "sed -i 's,^mozilla/Comodo_AAA_Services_root.crt,!&,' /etc/ca-certificates.conf",
    ),
];

/// What is looked at in the running machine, and what it must say.
const LOOKS: &[(&str, &str)] = &[
    ("grep IMAGE_VERSION /etc/os-release", "IMAGE_VERSION"),
    ("uname -r", "6."),
    ("cat /proc/cmdline", "thinroot.layer="),
    ("hostname", "web-1"),
    ("grep ^PermitRootLogin /etc/ssh/sshd_config", "PermitRootLogin no"),
    ("id ada", "(ada)"),
    ("test ! -e /etc/nginx/sites-enabled/default && echo still deleted", "still deleted"),
    ("stat -c '%U %n' /srv/www/index.html", "www-data"),
    ("stat -c '%a %n' /etc/cron.daily", "700"),
    ("getfattr --only-values -n user.owner /etc/crontab", "ada"),
    ("tool", "tool works"),
    ("head -1 /etc/ssl/certs/ca-certificates.crt", "company root"),
    ("systemctl is-system-running --wait", "running"),
];
