//! A host that something else installed: Debian on a thin root, with GRUB and its menu as Debian's own tools make them.
//! Adopted while it runs, updated, gone back, and given back.
//!
//! Only the partitions and the pool are made by `thinroot install`, because nothing else here can; all marks of it are taken
//! off, the volume gets an installer's name, and the loader is put there again by the host's own tools.

use std::time::Duration;

use super::host::{DISK_MIB, START, expect};
use super::publish::{self, Image};
use super::{Ground, Machine, Way};
use crate::Result;
use crate::image::DemoImages;
use crate::vm::Vm;

/// Looking at all packages, and reading all of the root, in an emulated machine.
const ADOPT: Duration = Duration::from_secs(1800);

/// A host's own image with GRUB's tools, and one to update to.
#[derive(Debug)]
pub struct Images {
    first: Image,
    second: Image,
}

/// Makes them.
pub fn images(ground: &Ground, demo: &DemoImages) -> Result<Images> {
    let root = publish::with_our_package(ground, "adopt-1", &demo.first.archive)?;
    publish::with_packages(&root, "grub-pc-bin grub2-common", "true")?;
    let first = publish::published(ground, &root, 1)?;
    let root = publish::with_our_package(ground, "adopt-2", &demo.second.archive)?;
    Ok(Images { first, second: publish::published(ground, &root, 2)? })
}

/// Takes everything off a disk that says thinroot, but the partitions and the pool: what is left is what an installer makes.
const AS_INSTALLED: &str = r#"
layer=$(lvs --noheadings -o lv_name -S 'lv_tags=thinroot:layer' thinroot | tr -d ' ')
for lv in $(lvs --noheadings -o lv_name -S 'lv_tags!=thinroot:layer && pool_lv!=""' thinroot); do
    lvremove -qq -y thinroot/$lv
done
for tag in $(lvs --noheadings -o lv_tags thinroot/"$layer" | tr ',' ' '); do lvchange -q --deltag "$tag" thinroot/"$layer"; done
lvrename -q thinroot "$layer" root
lvchange -q --errorwhenfull n thinroot/pool
mkdir -p /run/root; mount /dev/thinroot/root /run/root
kernel=$(ls /run/root/usr/lib/modules)
cp /run/root/boot/vmlinuz-$kernel /run/root/boot/initrd.img-$kernel /run/root/boot/config-$kernel /run/bootdir/
rm -rf /run/root/boot/* /run/bootdir/thinroot /run/bootdir/loader /run/bootdir/grub/*.cfg /run/bootdir/grub/thinroot.*
rm -f /run/root/etc/kernel/cmdline /run/root/etc/thinroot/state.d/50-mount-points.policy
sed -i '/^IMAGE_/d' /run/root/usr/lib/os-release
printf '/dev/mapper/thinroot-root / ext4 errors=remount-ro 0 1\n' >>/run/root/etc/fstab
mkdir -p /run/root/etc/default
printf 'GRUB_DEFAULT=0\nGRUB_TIMEOUT=1\nGRUB_CMDLINE_LINUX="console=ttyS0,115200 quiet panic=2 rootdelay=8"\nGRUB_TERMINAL=serial\n' \
    >/run/root/etc/default/grub
printf 'linux /vmlinuz-%s root=/dev/mapper/thinroot-root ro console=ttyS0,115200 quiet panic=2 rootdelay=8\ninitrd /initrd.img-%s\nboot\n' \
    $kernel $kernel >/run/bootdir/grub/grub.cfg
umount /run/root
"#;

/// The row. GRUB with a BIOS only: what differs for UEFI is tried by the other rows.
pub fn row(ground: &Ground, images: &Images) -> Result<()> {
    let (first, second) = (&images.first, &images.second);
    let machine = Machine::install(ground, Way::BiosGrub, "adopt", &first.reference(), DISK_MIB, "")?;
    machine.off("make it what an installer leaves", AS_INSTALLED)?;
    let mut vm = machine.on()?;
    installed(&machine, &mut vm)?;
    let before = vm.must(LOOK)?;
    adopted(&machine, &mut vm)?;
    vm.poweroff()?;
    machine.off("update", &format!("T update {} || [ $? = 4 ]", second.reference()))?;
    let mut vm = machine.on()?;
    updated(&machine, &mut vm, &second.layer)?;
    given_back(&machine, &mut vm, &before)?;
    vm.poweroff()
}

/// What must be the same when the host is given back.
const LOOK: &str = "lvs --noheadings -o lv_name,lv_tags,lv_size,lv_when_full thinroot; cat /boot/grub/grub.cfg";

/// GRUB as its own tools put it there, and a host that its admin changed.
fn installed(machine: &Machine<'_>, vm: &mut Vm) -> Result<()> {
    foreign(machine, vm)?;
    machine.say("its own tools install GRUB and make the menu");
    let (code, said) = vm.run_within("grub-install --target=i386-pc /dev/vda && update-grub", ADOPT)?;
    if code != 0 {
        return Err(format!("GRUB is not installed: {said}"));
    }
    machine.change(vm)?;
    vm.must("echo '# by the admin' >>/etc/nginx/nginx.conf; rm /etc/cron.daily/dpkg")?;
    vm.reboot()?;
    foreign(machine, vm)
}

fn adopted(machine: &Machine<'_>, vm: &mut Vm) -> Result<()> {
    let (code, plan) = vm.run_within("thinroot -q init --as demo-12-1 --plan", ADOPT)?;
    machine.say(&format!("plan, exit code {code}:\n{plan}"));
    let found = ["thinroot/root in the thin pool pool", "GRUB in /boot", "dpkg"];
    let changed = ["/etc/nginx/nginx.conf", "/etc/cron.daily/dpkg", "/etc/ssh/sshd_config"];
    found.iter().chain(&changed).try_for_each(|words| expect(&plan, words))?;
    expect(&vm.must("thinroot -q status 2>&1 || echo nothing is adopted")?, "nothing is adopted")?;
    let (code, said) = vm.run_within("thinroot -q init --as demo-12-1", ADOPT)?;
    machine.say(&format!("adopted, exit code {code}:\n{said}"));
    expect(&said, "is layer demo-12-1+1")?;
    machine.look_booted(vm, "demo-12-1+1")?;
    vm.must("thinroot -q check || [ $? = 4 ]")?;
    machine.say("a new initrd");
    let initrd = "sed -n 's/^initrd *//p' /boot/loader/entries/demo-12-1+1-*.conf";
    let before = vm.must(initrd)?;
    let (code, said) =
        vm.run_within("echo dummy >>/etc/initramfs-tools/modules; update-initramfs -u -k $(uname -r)", ADOPT)?;
    if code != 0 || vm.must(initrd)? == before {
        return Err(format!("the entry has the old initrd; update-initramfs ended with {code}: {said}"));
    }
    vm.must(&format!("cmp /boot/initrd.img-$(uname -r) /boot$({initrd})"))?;
    machine.say("reboot by the entry of ours");
    vm.reboot()?;
    machine.arrives(vm, "demo-12-1+1", "default")?;
    machine.has_its_state(vm)
}

fn updated(machine: &Machine<'_>, vm: &mut Vm, layer: &str) -> Result<()> {
    machine.arrives(vm, layer, "default")?;
    // A link that a package's script made: that it is gone is known to nobody (docs/adopt.md).
    machine.has_its_state_but(vm, Some("sites-enabled/default"))?;
    for (look, words) in [
        ("tail -n 1 /etc/nginx/nginx.conf", "# by the admin"),
        ("test ! -e /etc/cron.daily/dpkg && echo gone", "gone"),
        ("cat /etc/os-release", "IMAGE_VERSION=12-2"),
        ("dpkg --verify | grep -v /usr/share/ | grep -c ' c /etc/nginx/nginx.conf'", "1"),
    ] {
        expect(&vm.must(look)?, words)?;
    }
    machine.say("what was changed before the adoption was carried");
    Ok(())
}

fn given_back(machine: &Machine<'_>, vm: &mut Vm, before: &str) -> Result<()> {
    vm.must("thinroot -q rollback --to demo-12-1+1")?;
    vm.reboot()?;
    machine.arrives(vm, "demo-12-1+1", "default")?;
    let (code, refused) = vm.run("thinroot -q init --undo")?;
    if code != 3 {
        return Err(format!("giving back with a newer layer ended with {code}: {refused}"));
    }
    vm.must("thinroot -q layer remove --no-way-back demo-12-2+1 && thinroot -q base remove demo-12-2")?;
    let (code, said) = vm.run_within("thinroot -q init --undo", ADOPT)?;
    machine.say(&format!("given back, exit code {code}: {said}"));
    let after = vm.must(LOOK)?;
    if before != after {
        return Err(format!("it is not as it was before:\n{before}\n---\n{after}"));
    }
    expect(&vm.must("find /boot/thinroot /boot/loader -type f 2>/dev/null | grep -c . || true")?, "0")?;
    vm.reboot()?;
    foreign(machine, vm)?;
    machine.has_its_state(vm)?;
    machine.say("it starts as it did before");
    Ok(())
}

/// Waits for a host that nothing of ours started.
fn foreign(machine: &Machine<'_>, vm: &mut Vm) -> Result<()> {
    vm.wait_for("VM-GOOD", START)?;
    machine.log_in(vm)?;
    let line = vm.must("cat /proc/cmdline")?;
    expect(&line, "root=/dev/mapper/thinroot-root")?;
    if line.contains("thinroot.layer") {
        return Err(format!("an entry of ours started it: {line}"));
    }
    Ok(())
}
