//! Soft reboots: into a good layer, with late changes; into one that fails its health check; into one that hangs. The last two
//! must come back by themselves, which takes a whole restart.
//!
//! Debian's systemd is too old for it, so the images have the one of its backports.

use std::path::PathBuf;

use super::host::{DISK_MIB, START, UPDATE, expect};
use super::publish::{self, Image};
use super::{Ground, Machine, Way, tree};
use crate::Result;
use crate::image::{DemoImages, Mirror};
use crate::vm::Vm;

/// Images with one kernel.
#[derive(Debug)]
pub struct Images {
    first: Image,
    second: Image,
    sick: Image,
    hangs: Image,
    arguments: Image,
}

/// Hangs before anything could say that the layer is good.
const HANG: &str = "[Unit]
DefaultDependencies=no
Before=sysinit.target
[Service]
Type=oneshot
TimeoutStartSec=infinity
ExecStart=/bin/sleep infinity
";

/// Makes them.
pub fn images(ground: &Ground, demo: &DemoImages) -> Result<Images> {
    let root = publish::with_our_package(ground, "soft-1", &demo.second.archive)?;
    ground.say("images", "soft-1: systemd of the backports");
    let sources = Mirror::of_this_machine()?.backports();
    publish::with_packages_of(&root, &sources, "-t bookworm-backports systemd systemd-sysv udev", "true")?;
    let first = publish::published(ground, &root, 1)?;
    tree::put(&root, "usr/lib/second", b"second\n", 0o644)?;
    let second = publish::published(ground, &root, 2)?;
    let check: PathBuf = "usr/lib/thinroot/health.d/required/50-purpose".into();
    let fails = b"#!/bin/sh\necho this image cannot do what the host is for\nexit 1\n";
    tree::put(&root, &check.display().to_string(), fails, 0o755)?;
    let sick = publish::published(ground, &root, 3)?;
    std::fs::remove_file(root.join(&check)).map_err(|error| error.to_string())?;
    let line = "console=ttyS0,115200 quiet panic=2 rootdelay=8";
    tree::put(&root, "usr/lib/systemd/system/hang.service", HANG.as_bytes(), 0o644)?;
    let wants = root.join("usr/lib/systemd/system/sysinit.target.wants/hang.service");
    std::os::unix::fs::symlink("../hang.service", &wants).map_err(|error| error.to_string())?;
    tree::put(&root, "etc/kernel/cmdline", format!("{line} thinroot.deadman=60\n").as_bytes(), 0o644)?;
    let hangs = publish::published(ground, &root, 4)?;
    std::fs::remove_file(&wants).map_err(|error| error.to_string())?;
    tree::put(&root, "etc/kernel/cmdline", format!("{line} mitigations=off\n").as_bytes(), 0o644)?;
    let arguments = publish::published(ground, &root, 5)?;
    Ok(Images { first, second, sick, hangs, arguments })
}

/// The row.
pub fn row(ground: &Ground, images: &Images) -> Result<()> {
    let Images { first, second, sick, hangs, arguments } = images;
    let machine = Machine::install(ground, Way::BiosGrub, "soft", &first.reference(), DISK_MIB, "--volume /srv=1G")?;
    let machine = machine.with_disk(publish::disk_with(ground, "soft", second)?);
    let mut vm = machine.on()?;
    machine.arrives(&mut vm, &first.layer, "default")?;
    let boot = vm.must("cat /proc/sys/kernel/random/boot_id")?;
    machine.say("update in the running machine");
    vm.must("mount -o ro /dev/vdb /mnt")?;
    let (_, said) = vm.run_within(&format!("thinroot -q update {}; umount /mnt", second.in_machine()), UPDATE)?;
    expect(&said, &format!("boot entry of {} armed", second.layer))?;
    expect(&vm.must("thinroot -q apply --plan")?, "soft reboot into")?;
    machine.change(&mut vm)?;
    vm.must("echo late >/root/late; echo data >/srv/data")?;
    machine.say("soft reboot");
    softly(&mut vm)?;
    expect(&vm.must("cat /proc/cmdline")?, &format!("thinroot.layer={} ", first.layer))?;
    if let Err(error) = machine.is_well(&mut vm, &second.layer, "default") {
        let (_, said) = vm.run("dmesg | tail -n 30; findmnt /; cat /run/systemd/system/thinroot-next-root.service; \
                                systemctl status --no-pager --full thinroot-next-root thinroot-catch-up; thinroot status")?;
        return Err(format!("{error}\n{said}"));
    }
    // systemd reads the name of the host at a whole start only.
    if let Err(error) = machine.has_its_state_but(&mut vm, Some("/etc/hostname")) {
        let (_, said) =
            vm.run("thinroot status; journalctl --no-pager -u thinroot-catch-up -u thinroot-next-root | tail -n 30")?;
        return Err(format!("{error}\n{said}"));
    }
    expect(&vm.must("cat /etc/hostname /root/late /srv/data /usr/lib/second")?, "edge-7\nlate\ndata\nsecond")?;
    expect(&vm.must("cat /proc/sys/kernel/random/boot_id")?, boot.trim())?;
    machine.say("the kernel is the one from before, and what was changed last is there");

    vm.poweroff()?;
    for image in [sick, hangs, arguments] {
        // From the good one, so that a bad one is the source of nothing.
        let stage = format!("T update --stage-only --from {} {} || [ $? = 4 ]", second.layer, image.reference());
        machine.off(&format!("stage {}", image.layer), &stage)?;
    }
    let mut vm = machine.on()?;
    machine.arrives(&mut vm, &second.layer, "default")?;
    vm.must(&format!("thinroot -q rollback --to {}", arguments.layer))?;
    expect(&vm.must("thinroot -q apply --plan")?, "differ: mitigations=off")?;
    machine.say("soft reboot into a layer that fails its health check");
    vm.must(&format!("thinroot -q rollback --to {}", sick.layer))?;
    vm.must("thinroot -q apply")?;
    machine.falls_back(&mut vm, &second.layer, &sick.layer, "this image cannot do what the host is for")?;

    machine.say("soft reboot into a layer that hangs");
    vm.must(&format!("thinroot -q rollback --to {}", hangs.layer))?;
    vm.must("thinroot -q apply")?;
    machine.falls_back(&mut vm, &second.layer, &hangs.layer, "its tries were used up")?;
    machine.has_its_state(&mut vm)?;
    vm.poweroff()
}

/// What says on the console which layer is good reads the command line, which stays.
fn softly(vm: &mut Vm) -> Result<()> {
    vm.must("rm -f /run/vm-seen; thinroot -q apply")?;
    vm.wait_for("VM-GOOD", START)?;
    vm.enter("root", "root")?;
    vm.must("touch /run/vm-seen; sleep 4").map(drop)
}
