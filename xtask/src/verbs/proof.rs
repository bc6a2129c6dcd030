//! `cargo xtask proof`: a year's changes of an admin on a real Debian, carried to the image of today, booted, and looked
//! for one by one in the running machine.

use std::process::ExitCode;
use std::time::Duration;

use crate::cache::Cache;
use crate::image::{self, Weekly};
use crate::stage::Stage;
use crate::{Result, packages};

mod changes;
mod shutdown;

use changes::CHANGES;

/// An emulated boot of the whole system.
const BOOT: Duration = Duration::from_secs(400);

/// Runs it.
pub fn run(args: &[String]) -> Result<ExitCode> {
    if !args.is_empty() {
        return Err("usage: cargo xtask proof".into());
    }
    if !rustix::process::getuid().is_root() {
        return Err("the proof mounts disks of its own and so needs root: run it with sudo".into());
    }
    if let Some(error) = super::demo::enter_once("proof", args) {
        return Err(error);
    }
    packages::ensure(&[packages::IMAGES, packages::VM, packages::DIST])?;
    let cache = Cache::open()?;
    let images = image::ensure(&cache, &super::images::today()?, Weekly::No)?;
    let mut stage = Stage::set(&cache)?;
    let layer = format!("{}+1", images.first.id);
    let old = stage.bring(&images.first.archive, images.first.name)?;
    let new = stage.bring(&images.second.archive, images.second.name)?;

    stage.section(format!("{} changes in {layer}", CHANGES.len()));
    for args in [vec!["init"], vec!["base", "add", &old], vec!["layer", "fork", &images.first.id]] {
        stage.ask(&args)?;
    }
    let mut script = String::from("set -e\n");
    for (what, work, ..) in CHANGES {
        script += &format!("( {work} ) || {{ echo 'failed: {what}' >&2; exit 1; }}\n");
    }
    stage.ask(&["layer", "shell", &layer, "--", "sh", "-c", &script])?;

    stage.section(format!("The update to {}", images.second.id));
    stage.thinroot_ending(&["update", &new], &[0, 4])?;

    stage.section("In the running machine");
    let armed = stage.armed()?;
    shutdown::prepare(&stage, &armed)?;
    let mut vm = stage.boot(&armed)?;
    vm.login("root", "root", BOOT)?;
    vm.must("systemctl is-system-running --wait || systemctl --failed --no-legend")?;
    let mut missing = Vec::new();
    for (what, _, look, expected) in CHANGES {
        let (_, said) = vm.run(look)?;
        let found = said.contains(expected);
        stage.say(format!(
            "{} {what}: {}",
            if found { "ok     " } else { "MISSING" },
            said.trim().lines().last().unwrap_or("")
        ));
        missing.extend((!found).then_some(*what));
    }
    for service in ["ssh", "cron", "nginx"] {
        let (_, said) = vm.run(&format!("systemctl is-active {service}"))?;
        stage.say(format!("service {service}: {}", said.trim()));
        missing.extend((said.trim() != "active").then_some(service));
    }
    stage.section("Health checks");
    for unit in shutdown::UNITS {
        let (_, said) = vm.run(&format!("systemctl is-active {unit}"))?;
        stage.say(format!("{unit}: {}", said.trim()));
        missing.extend((said.trim() != "active").then_some(unit));
    }
    vm.must(
        "mkdir -p /etc/thinroot/health.d; cp -r /usr/share/doc/thinroot/examples/health/. /etc/thinroot/health.d/",
    )?;
    // The machine has no network.
    vm.must("rm /etc/thinroot/health.d/required/20-network; echo nginx >/etc/thinroot/health-services")?;
    let check = "THINROOT_STORE=dir:/srv/store thinroot -q health check";
    for (what, before, code) in [("as it is", "true", 0), ("without nginx", "systemctl stop nginx", 1)] {
        vm.must(before)?;
        let (ended, said) = vm.run(check)?;
        stage.say(format!("health check {what}: exit code {ended}"));
        said.trim().lines().for_each(|line| stage.say(format!("  {line}")));
        missing.extend((ended != code).then_some("what the health checks say"));
    }
    stage.section("A change after staging, and a shutdown");
    stage.say("In the machine an update is staged in a store of its own, then the old layer is changed once more.");
    shutdown::stage_an_update(&mut vm)?;
    vm.poweroff()?;
    let arrived = shutdown::arrived(&stage, &armed)?;
    stage.say(format!("the change is in the staged layer: {arrived}"));
    missing.extend((!arrived).then_some("the change after staging"));
    if !missing.is_empty() {
        return Err(format!("not found in the new layer: {}", missing.join(", ")));
    }
    println!("\nAll {} changes are in the booted layer.", CHANGES.len());
    Ok(ExitCode::SUCCESS)
}
