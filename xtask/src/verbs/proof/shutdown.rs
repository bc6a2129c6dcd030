//! What is changed between staging and restart, and a real shutdown that takes it along: a small store inside the machine,
//! an update staged in it, one more change, and nothing but `poweroff`.

use std::path::Path;
use std::process::Command;

use crate::stage::Stage;
use crate::vm::Vm;
use crate::{Context, Result, dist};

/// Before the machine is started: two images, and a store with a layer of the first.
const MAKE_A_STORE: &str = "\
image() { d=/srv/i$1; mkdir -p $d/boot $d/root $d/proc $d/sys $d/dev $d/run $d/tmp $d/etc $d/usr/bin $d/usr/lib/modules/6.1
printf 'IMAGE_ID=node\\nIMAGE_VERSION=%s-0\\n' $1 >$d/etc/os-release; echo root:x:0:0::/root:/bin/sh >$d/etc/passwd
echo root:x:0: >$d/etc/group; cp /bin/true $d/usr/bin/program; echo kernel >$d/boot/vmlinuz-6.1
echo initrd >$d/boot/initrd.img-6.1; echo module >$d/usr/lib/modules/6.1/m.ko; }
set -e; image 1; image 2; export THINROOT_STORE=dir:/srv/store; thinroot -q init
thinroot -q base add dir:/srv/i1 --size 200M; thinroot -q layer fork node-1-0";
/// In the machine: a staged update, and a change after it.
const STAGE_AN_UPDATE: &[&str] = &[
    "export THINROOT_STORE=dir:/srv/store; thinroot -q update dir:/srv/i2 --size 200M",
    "mkdir /srv/m; thinroot -q layer mount node-1-0+1 /srv/m && echo late >/srv/m/etc/late && umount /srv/m",
    "systemctl is-active thinroot-catch-up.service",
];
/// Our units, which the package enables.
pub const UNITS: [&str; 3] = ["thinroot-catch-up", "thinroot-health", "thinroot-bless"];
/// A machine that is started from one disk file has no thin pool that its layer would name.
const STORE: &str = "[Service]\nEnvironment=THINROOT_STORE=dir:/srv/store\n";

/// Installs our Debian package in a layer that is not booted yet; it enables the units itself.
pub fn prepare(stage: &Stage, layer: &str) -> Result<()> {
    let work = stage.work().join("dist");
    std::fs::create_dir_all(&work).context(format!("create {}", work.display()))?;
    let package = dist::pack(dist::Kind::Deb, stage.program(), &dist::Facts::of_repository()?, &work, &work)?;
    let root = mounted(stage, layer, &[])?;
    copy(&package, &root.join("root/thinroot.deb"))?;
    for unit in UNITS {
        let drop_in = root.join(format!("etc/systemd/system/{unit}.service.d"));
        std::fs::create_dir_all(&drop_in).context(format!("create {}", drop_in.display()))?;
        std::fs::write(drop_in.join("store.conf"), STORE).context("write the drop-in")?;
    }
    unmount(&root)?;
    stage.ask(&["layer", "shell", layer, "--", "dpkg", "--install", "/root/thinroot.deb"])?;
    stage.ask(&["layer", "shell", layer, "--", "dpkg", "--verify", "thinroot"])?;
    stage.ask(&["layer", "shell", layer, "--", "sh", "-c", MAKE_A_STORE]).map(drop)
}

/// Stages an update inside the machine and changes the old layer once more.
pub fn stage_an_update(vm: &mut Vm) -> Result<()> {
    STAGE_AN_UPDATE.iter().try_for_each(|command| vm.must(command).map(drop))
}

/// Looks, in the disk of the machine that was switched off, for the change in the layer that was staged there.
pub fn arrived(stage: &Stage, layer: &str) -> Result<bool> {
    let root = mounted(stage, layer, &["--read-only"])?;
    let inner = stage.work().join("inner");
    std::fs::create_dir_all(&inner).context("create a mount point")?;
    let image = root.join("srv/store/volumes/node-2-0+1.img");
    run(Command::new("mount").args(["-o", "ro,loop"]).arg(&image).arg(&inner))?;
    let late = std::fs::read_to_string(inner.join("etc/late"));
    unmount(&inner)?;
    unmount(&root)?;
    Ok(late.is_ok_and(|text| text == "late\n"))
}

fn mounted(stage: &Stage, layer: &str, more: &[&str]) -> Result<std::path::PathBuf> {
    let root = stage.work().join("mnt");
    std::fs::create_dir_all(&root).context("create a mount point")?;
    let at = root.display().to_string();
    stage.ask(&[&["layer", "mount", layer, &at][..], more].concat())?;
    Ok(root)
}

fn unmount(at: &Path) -> Result<()> {
    run(Command::new("umount").arg(at))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::copy(from, to).map(drop).context(format!("copy {} to {}", from.display(), to.display()))
}

fn run(command: &mut Command) -> Result<()> {
    let status = command.status().context(format!("run {command:?}"))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?}: {status}")) }
}
