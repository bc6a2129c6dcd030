//! A whole Debian through its life on real firmware: installed, changed by its admin, updated, gone back and forward; then
//! images that panic, hang or fail their health check, each of which must give way by itself; then power cuts.

use std::path::PathBuf;
use std::time::Duration;

use super::publish::{Image, disk_with, published, with_dracut, with_our_package};
use super::{Ground, Machine, Way, tree};
use crate::image::DemoImages;
use crate::vm::Vm;
use crate::{Context, Result};

/// An emulated start of the whole system.
pub(super) const START: Duration = Duration::from_secs(300);
/// Three tries, each until its timer, and the start after them.
const FALL_BACK: Duration = Duration::from_secs(1500);
/// An update inside an emulated machine.
pub(super) const UPDATE: Duration = Duration::from_secs(1800);
pub(super) const DISK_MIB: u64 = 10 << 10;
/// What a machine is asked that was not found good.
const WHY: &str = "cat /proc/cmdline; systemctl list-jobs --no-legend; systemctl --failed --no-legend; \
                   systemctl status --no-pager --full thinroot-health thinroot-bless thinroot-catch-up; thinroot status";
/// The step of an update that is its commit point.
const ARM: u32 = 9;
/// After which step's beginning, and how many seconds after it, the power is cut. Not while it is armed: either layer may
/// start then, which the crash suite looks at.
const CUTS: [(u32, u64); 10] = [(1, 0), (2, 0), (2, 20), (3, 0), (4, 0), (5, 0), (6, 0), (7, 0), (8, 0), (ARM + 1, 0)];
/// What the admin does, how it is looked for, and what is found.
const CHANGES: [(&str, &str, &str); 6] = [
    ("echo edge-7 >/etc/hostname", "hostname", "edge-7"),
    ("useradd --create-home ada", "id ada", "(ada)"),
    (
        "sed -i 's/^#PermitRootLogin.*/PermitRootLogin no/' /etc/ssh/sshd_config",
        "grep ^PermitRootLogin /etc/ssh/sshd_config",
        "PermitRootLogin no",
    ),
    ("rm /etc/nginx/sites-enabled/default", "test ! -e /etc/nginx/sites-enabled/default && echo gone", "gone"),
    ("echo kept >/root/notes; chmod 0600 /root/notes", "stat -c %a /root/notes; cat /root/notes", "600\nkept"),
    (
        "printf '#!/bin/sh\\nexec sleep infinity\\n' >/usr/local/bin/own; chmod 0755 /usr/local/bin/own; \
         printf '[Service]\\nExecStart=/usr/local/bin/own\\n[Install]\\nWantedBy=multi-user.target\\n' \
         >/etc/systemd/system/own.service; systemctl enable --now own.service",
        "systemctl is-active own.service",
        "active",
    ),
];

/// The images of a run.
#[derive(Debug)]
pub struct Images {
    /// `demo-…-1`, `…-2`: good ones, with our package in them.
    good: [Image; 2],
    panics: Image,
    hangs: Image,
    sick: Image,
    /// A good one whose initrd is made by dracut; only for the long life.
    dracut: Option<Image>,
    /// A disk with the good ones on it.
    disk: PathBuf,
}

/// Which images are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Those of the short life and of power cuts.
    Short,
    /// All.
    Life,
}

/// Makes the images out of the demo's.
pub fn images(ground: &Ground, demo: &DemoImages, scope: Scope) -> Result<Images> {
    let first = with_our_package(ground, "vm-1", &demo.first.archive)?;
    let first = published(ground, &first, 1)?;
    let root = with_our_package(ground, "vm-2", &demo.second.archive)?;
    let second = published(ground, &root, 2)?;
    let arguments = |more: &str| format!("console=ttyS0,115200 quiet panic=2 rootdelay=8 {more}\n");
    let panic = "#!/bin/sh\necho \"VM-PANICS\" >/dev/ttyS0\nmount -t proc proc /proc\necho c >/proc/sysrq-trigger\n";
    tree::put(&root, "usr/sbin/vm-panic", panic.as_bytes(), 0o755)?;
    tree::put(&root, "etc/kernel/cmdline", arguments("init=/usr/sbin/vm-panic").as_bytes(), 0o644)?;
    let panics = published(ground, &root, 3)?;
    let hang = "#!/bin/sh\necho \"VM-HANGS\" >/dev/ttyS0\nwhile :; do sleep 1000; done\n";
    tree::put(&root, "usr/sbin/vm-hang", hang.as_bytes(), 0o755)?;
    tree::put(&root, "etc/kernel/cmdline", arguments("init=/usr/sbin/vm-hang thinroot.deadman=20").as_bytes(), 0o644)?;
    let hangs = published(ground, &root, 4)?;
    tree::put(&root, "etc/kernel/cmdline", arguments("").as_bytes(), 0o644)?;
    let check = "#!/bin/sh\necho this image cannot do what the host is for\nexit 1\n";
    tree::put(&root, "usr/lib/thinroot/health.d/required/50-purpose", check.as_bytes(), 0o755)?;
    let sick = published(ground, &root, 5)?;
    let dracut = match scope {
        Scope::Short => None,
        Scope::Life => {
            ground.say("images", "vm-2: an initrd made by dracut");
            std::fs::remove_file(root.join("usr/lib/thinroot/health.d/required/50-purpose"))
                .context("remove a check")?;
            with_dracut(&root)?;
            Some(published(ground, &root, 6)?)
        }
    };
    let disk = disk_with(ground, "images", &second)?;
    Ok(Images { good: [first, second], panics, hangs, sick, dracut, disk })
}

/// The short life, for every change of ours: what is changed is carried, a sick image gives way by itself. Updates are
/// staged while the machine is off, because that is quicker.
pub fn short(ground: &Ground, way: Way, images: &Images) -> Result<()> {
    let [first, second] = &images.good;
    let machine = Machine::install(ground, way, "host", &first.reference(), DISK_MIB, "--volume /srv=1G")?;
    let mut vm = machine.on()?;
    machine.arrives(&mut vm, &first.layer, "default")?;
    machine.change(&mut vm)?;
    vm.poweroff()?;
    machine.off("update", &format!("T update {} || [ $? = 4 ]", second.reference()))?;
    let mut vm = machine.on()?;
    machine.arrives(&mut vm, &second.layer, "default")?;
    machine.has_its_state(&mut vm)?;
    vm.poweroff()?;
    machine.off("update to a sick image", &format!("T update {} || [ $? = 4 ]", images.sick.reference()))?;
    machine.say("it must give way by itself");
    let mut vm = machine.on()?;
    machine.falls_back(&mut vm, &second.layer, &images.sick.layer, "this image cannot do what the host is for")?;
    machine.has_its_state(&mut vm)?;
    vm.poweroff()
}

/// The whole life: updated, gone back and forward in the running machine; then images that must give way by themselves.
pub fn life(ground: &Ground, way: Way, images: &Images) -> Result<()> {
    let [first, second] = &images.good;
    let machine = Machine::install(ground, way, "life", &first.reference(), DISK_MIB, "--volume /srv=1G")?;
    let machine = machine.with_disk(images.disk.clone());
    let mut vm = machine.on()?;
    machine.arrives(&mut vm, &first.layer, "default")?;
    machine.change(&mut vm)?;
    vm.must("mount -o ro /dev/vdb /mnt")?;
    machine.say("update in the running machine");
    let (code, said) = vm.run_within(&format!("thinroot -q update {}", second.in_machine()), UPDATE)?;
    expect(&said, &format!("boot entry of {} armed", second.layer))?;
    if code != 0 {
        return Err(format!("{}: the update ended with {code}: {said}", machine.row));
    }
    for (deed, layer) in [
        ("true", second),
        ("thinroot -q rollback", first),
        (&format!("thinroot -q rollback --to {}", second.layer), second),
    ] {
        machine.say(&format!("{deed}; reboot into {}", layer.layer));
        vm.must(deed)?;
        vm.reboot()?;
        machine.arrives(&mut vm, &layer.layer, "default")?;
        machine.has_its_state(&mut vm)?;
    }
    vm.poweroff()?;
    let used_up = "its tries were used up";
    for (bad, what, why) in [
        (&images.panics, "panics", used_up),
        (&images.hangs, "hangs", used_up),
        (&images.sick, "fails its health check", "this image cannot do what the host is for"),
    ] {
        machine
            .off(&format!("update to an image that {what}"), &format!("T update {} || [ $? = 4 ]", bad.reference()))?;
        let mut vm = machine.on()?;
        machine.falls_back(&mut vm, &second.layer, &bad.layer, why)?;
        machine.has_its_state(&mut vm)?;
        vm.poweroff()?;
    }
    if let Some(dracut) = &images.dracut {
        machine.off(
            "update to an image with an initrd of dracut",
            &format!("T update {} || [ $? = 4 ]", dracut.reference()),
        )?;
        let mut vm = machine.on()?;
        machine.arrives(&mut vm, &dracut.layer, "default")?;
        machine.has_its_state(&mut vm)?;
        vm.poweroff()?;
    }
    Ok(())
}

/// Power cuts: at the beginning of each step of an update in the running machine, and during the first start of what it
/// made. After each the machine must start, with all of its state.
pub fn cuts(ground: &Ground, way: Way, images: &Images) -> Result<()> {
    let [first, second] = &images.good;
    let machine = Machine::install(ground, way, "cuts", &first.reference(), DISK_MIB, "")?;
    let machine = machine.with_disk(images.disk.clone());
    let mut vm = machine.on()?;
    machine.arrives(&mut vm, &first.layer, "default")?;
    machine.change(&mut vm)?;
    let update = format!("thinroot --json update {}", second.in_machine());
    let mut command = update.as_str();
    for (step, seconds) in CUTS {
        vm.must("mount -o ro /dev/vdb /mnt")?;
        machine.say(&format!("the power is cut {seconds} s after step {step} began"));
        vm.begin(command)?;
        vm.wait_for(&format!("\"event\":\"begin\",\"step\":{step},"), UPDATE)?;
        std::thread::sleep(Duration::from_secs(seconds));
        vm.kill();
        command = "thinroot --json resume";
        let committed = step > ARM;
        if committed {
            machine.keep()?;
        }
        vm = machine.on()?;
        machine.arrives(&mut vm, if committed { &second.layer } else { &first.layer }, "default")?;
        machine.has_its_state(&mut vm)?;
    }
    vm.kill();
    for seconds in [4, 9, 16] {
        machine.restore()?;
        machine.say(&format!("the power is cut {seconds} s into the first start"));
        let vm = machine.on()?;
        std::thread::sleep(Duration::from_secs(seconds));
        vm.kill();
        let mut vm = machine.on()?;
        machine.arrives(&mut vm, &second.layer, "default")?;
        machine.has_its_state(&mut vm)?;
        vm.kill();
    }
    Ok(())
}

impl Machine<'_> {
    /// Waits for the machine, logs in, and looks what runs and that it was blessed.
    pub(super) fn arrives(&self, vm: &mut Vm, layer: &str, mark: &str) -> Result<()> {
        if let Err(error) = vm.wait_for(&format!("VM-GOOD {layer}"), START) {
            // Whoever reads the error has no machine any more.
            let said = vm.enter("root", "root").and_then(|()| vm.run(WHY)).map_or_else(|e| e, |(_, said)| said);
            return Err(format!("{}: {error}\n{said}", self.row));
        }
        self.log_in(vm)?;
        self.look(vm, layer, mark)
    }

    pub(super) fn log_in(&self, vm: &mut Vm) -> Result<()> {
        vm.enter("root", "root")?;
        vm.must("touch /run/vm-seen; sleep 4").map(drop)
    }

    pub(super) fn look(&self, vm: &mut Vm, layer: &str, mark: &str) -> Result<()> {
        let words = vm.must("cat /proc/cmdline")?;
        expect(&words, &format!("thinroot.layer={layer} "))?;
        self.is_well(vm, layer, mark)
    }

    /// As [`Machine::look`], whatever the command line says.
    pub(super) fn is_well(&self, vm: &mut Vm, layer: &str, mark: &str) -> Result<()> {
        // After the last job: health checks and blessing are among them.
        vm.must("systemctl is-system-running --wait || { systemctl --failed --no-legend; false; }")?;
        self.look_booted_as(vm, layer, mark)
    }

    /// What thinroot itself says of the running layer.
    pub(super) fn look_booted(&self, vm: &mut Vm, layer: &str) -> Result<()> {
        self.look_booted_as(vm, layer, "default")
    }

    fn look_booted_as(&self, vm: &mut Vm, layer: &str, mark: &str) -> Result<()> {
        let status = vm.must("thinroot -q status")?;
        let line = status.lines().find(|line| line.starts_with(&format!("{layer} "))).unwrap_or_default();
        expect(line, &format!("booted, {mark}"))?;
        expect(&status, &format!("next   {layer}, says"))?;
        self.say(&format!("runs {layer}: {mark}; all units are well"));
        Ok(())
    }

    pub(super) fn change(&self, vm: &mut Vm) -> Result<()> {
        CHANGES.iter().try_for_each(|(deed, ..)| vm.must(deed).map(drop))
    }

    pub(super) fn has_its_state(&self, vm: &mut Vm) -> Result<()> {
        self.has_its_state_but(vm, None)
    }

    /// As [`Machine::has_its_state`], without what was done to a path that cannot be known.
    pub(super) fn has_its_state_but(&self, vm: &mut Vm, unknown: Option<&str>) -> Result<()> {
        let known = |deed: &str| unknown.is_none_or(|path| !deed.contains(path));
        for (_, look, expected) in CHANGES.into_iter().filter(|(deed, ..)| known(deed)) {
            expect(&vm.must(look)?, expected)?;
        }
        for service in ["ssh", "cron", "nginx"] {
            expect(&vm.must(&format!("systemctl is-active {service}"))?, "active")?;
        }
        self.say("its state is there, its services are active");
        Ok(())
    }

    /// A machine that was switched on with a bad image armed comes to its old layer without anybody's help.
    pub(super) fn falls_back(&self, vm: &mut Vm, old: &str, bad: &str, why: &str) -> Result<()> {
        vm.wait_for(&format!("VM-GOOD {old}"), FALL_BACK)?;
        self.log_in(vm)?;
        self.look(vm, old, "default")?;
        let status = vm.must("thinroot -q status")?;
        expect(&status, why)?;
        self.say(&format!("{bad} gave way: {why}"));
        Ok(())
    }
}

pub(super) fn expect(text: &str, words: &str) -> Result<()> {
    if text.contains(words) { Ok(()) } else { Err(format!("{words:?} is not in: {text}")) }
}
