//! The boot chain alone: that each loader starts what the selection says, counts, falls back, and stays with what was
//! blessed; also where the kernel of what is tried is damaged.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::{Ground, Machine, Way, tree};
use crate::{Context, Result};

/// A start of firmware, loader, kernel and initrd.
const START: Duration = Duration::from_secs(240);
const DISK_MIB: u64 = 3072;

/// First and only program: says what was started, and starts the machine again.
const INIT: &str = "#!/bin/busybox sh
/bin/busybox mkdir -p /proc
/bin/busybox mount -t proc proc /proc
layer=none
tried=default
for word in $(/bin/busybox cat /proc/cmdline); do
    case $word in
        thinroot.layer=*) layer=${word#*=} ;;
        thinroot.try) tried=try ;;
    esac
done
echo \"STARTED $layer $tried .\"
/bin/busybox sleep 1
echo b >/proc/sysrq-trigger
";

/// Whether a start says that it is a try.
const TRY: &str = "try";
const DEFAULT: &str = "default";

/// Makes the images: `tiny-1-0` to `tiny-3-0`, and `tiny-4-0` whose kernel is damaged.
pub fn images(ground: &Ground, debian: &Path) -> Result<()> {
    let boot = ground.path("debian-boot");
    std::fs::create_dir_all(&boot).context("create a directory")?;
    tree::run(
        Command::new("tar")
            .args(["--zstd", "--extract", "--wildcards", "--file"])
            .arg(debian)
            .args(["-C"])
            .arg(&boot)
            .arg("./boot/vmlinuz-*"),
    )?;
    let kernel = tree::one(&boot.join("boot"), "vmlinuz-")?;
    let kernel = std::fs::read(&kernel).context(format!("read {}", kernel.display()))?;
    for version in 1..=4 {
        let root = ground.path(&format!("tiny-{version}"));
        let initrd = root.join("boot/initrd.img-6.1.0");
        let mut damaged = kernel.clone();
        damaged[..1024].fill(0x5a);
        tree::put(&root, "boot/vmlinuz-6.1.0", if version == 4 { &damaged } else { &kernel }, 0o644)?;
        tree::put(&root, "usr/lib/modules/6.1.0/modules.builtin", b"", 0o644)?;
        let os_release = format!("IMAGE_ID=tiny\nIMAGE_VERSION={version}-0\nPRETTY_NAME=\"Tiny {version}\"\n");
        tree::put(&root, "etc/os-release", os_release.as_bytes(), 0o644)?;
        tree::put(&root, "etc/passwd", b"root:x:0:0::/root:/bin/sh\n", 0o644)?;
        tree::put(&root, "etc/group", b"root:x:0:\n", 0o644)?;
        tree::put(&root, "etc/kernel/cmdline", b"console=ttyS0,115200 quiet panic=1\n", 0o644)?;
        std::fs::create_dir_all(root.join("usr/bin")).context("create a directory")?;
        std::fs::copy("/bin/busybox", root.join("usr/bin/sh")).context("copy busybox")?;
        for dir in ["proc", "sys", "dev", "run", "tmp"] {
            std::fs::create_dir_all(root.join(dir)).context("create a directory")?;
        }
        let inside = ground.path(&format!("initrd-{version}"));
        tree::put(&inside, "init", INIT.as_bytes(), 0o755)?;
        tree::put(&inside, "version", version.to_string().as_bytes(), 0o644)?;
        std::fs::create_dir_all(inside.join("bin")).context("create a directory")?;
        std::fs::copy("/bin/busybox", inside.join("bin/busybox")).context("copy busybox")?;
        // An image is refused whose initrd has no such names.
        for name in ["usr/sbin/lvm", "usr/lib/modules/6.1.0/dm-thin-pool.ko"] {
            tree::put(&inside, name, b"", 0o644)?;
        }
        let script = "cd \"$0\" && busybox find . | busybox cpio -o -H newc 2>/dev/null | gzip -1n >\"$1\"";
        tree::run(Command::new("sh").args(["-c", script]).arg(&inside).arg(&initrd))?;
        tree::pack(&root, &ground.path(&format!("tiny-{version}.tar")))?;
    }
    Ok(())
}

/// One way through all of it.
pub fn row(ground: &Ground, way: Way) -> Result<()> {
    let image = |version: u32| format!("tar:{}", ground.path(&format!("tiny-{version}.tar")).display());
    let machine = Machine::install(ground, way, "chain", &image(1), DISK_MIB, "")?;
    let update = |version: u32| format!("T update {}", image(version));
    machine.starts("as installed", &[(1, DEFAULT)])?;
    machine.off("update to tiny-2", &update(2))?;
    machine.starts("three tries, then the old", &[(2, TRY), (2, TRY), (2, TRY), (1, DEFAULT)])?;
    // The loader counted; the next update arms another.
    let status = machine.off("update to tiny-3", &format!("T --json status; {}", update(3)))?;
    expect(&status, "\"next\":\"tiny-1-0+1\"")?;
    expect(&status, "\"armed\":{\"layer\":\"tiny-2-0+1\",\"tries_left\":0}")?;
    machine.starts("a try that is cut off", &[(3, TRY)])?;
    let status = machine.off("bless tiny-3", "T --json status; T bless tiny-3-0+1")?;
    expect(&status, "\"armed\":{\"layer\":\"tiny-3-0+1\",\"tries_left\":2}")?;
    machine.starts("blessed", &[(3, DEFAULT), (3, DEFAULT), (3, DEFAULT)])?;
    machine.off("go back", "T rollback --to tiny-1-0+1")?;
    machine.starts("gone back", &[(1, TRY)])?;
    if way == Way::UefiSystemdBoot {
        // It hands a kernel that cannot be loaded back to the firmware, and what that does is its own affair.
        return Ok(());
    }
    let damage = "T bless tiny-1-0+1; head -c 100 /dev/zero >/run/bootdir/grub/thinroot.env";
    machine.off("bless tiny-1, damage the environment block", damage)?;
    machine.starts("without it the default is started", &[(1, DEFAULT)])?;
    machine.off("update to tiny-4", &update(4))?;
    machine.starts("a damaged kernel is passed over", &[(1, DEFAULT)])
}

impl Machine<'_> {
    /// Switches on, and looks what is started one after the other; then the power is cut.
    fn starts(&self, what: &str, expected: &[(u32, &str)]) -> Result<()> {
        self.say(&format!("{what}: {expected:?}"));
        let mut vm = self.on()?;
        let mut seen = Vec::new();
        for _ in expected {
            let failed = |error| format!("{}: {what}: after {seen:?}: {error}", self.row);
            vm.wait_for("STARTED ", START).map_err(failed)?;
            let said = vm.wait_for(" .", START).map_err(failed)?;
            seen.push(said.trim_end_matches(" .").to_string());
        }
        vm.kill();
        let wanted: Vec<String> = expected.iter().map(|(n, tried)| format!("tiny-{n}-0+1 {tried}")).collect();
        if seen == wanted { Ok(()) } else { Err(format!("{}: {what}: started {seen:?} and not {wanted:?}", self.row)) }
    }
}

fn expect(text: &str, words: &str) -> Result<()> {
    if text.contains(words) { Ok(()) } else { Err(format!("{words} is not in: {text}")) }
}
