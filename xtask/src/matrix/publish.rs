//! Images of a run: trees of the demo's with our package in them, each with a release of its own.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Ground, tree};
use crate::image::Mirror;
use crate::{Context, Result, dist};

/// Of no use to a test, and a good part of an image.
const LEFT_OUT: [&str; 4] = ["usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info"];

/// Says on the console which layer was found good, until somebody has seen it. The console is opened anew each time: the
/// login prompt hangs up whoever had it open before.
const GOOD: &str = "[Unit]
DefaultDependencies=no
Requires=boot-complete.target
After=boot-complete.target thinroot-bless.service
[Service]
ExecStart=/bin/sh -c 'for word in $$(cat /proc/cmdline); do case $$word in thinroot.layer=*) layer=$${word#*=};; esac; done; \
    until [ -e /run/vm-seen ]; do echo VM-GOOD $$layer >/dev/ttyS0; sleep 3; done'
[Install]
WantedBy=multi-user.target
";

/// An image as a host gets it.
#[derive(Debug)]
pub(super) struct Image {
    pub(super) layer: String,
    archive: PathBuf,
}

impl Image {
    pub(super) fn reference(&self) -> String {
        format!("tar:{}", self.archive.display())
    }

    /// As the machine sees it, whose second disk has all of them.
    pub(super) fn in_machine(&self) -> String {
        format!("tar:/mnt/{}", self.archive.file_name().unwrap_or_default().to_string_lossy())
    }
}

/// Unpacks an image of the demo and installs our package in it.
pub(super) fn with_our_package(ground: &Ground, name: &str, archive: &Path) -> Result<PathBuf> {
    ground.say("images", &format!("{name}: our package, and an initrd made with it"));
    let work = ground.path("dist");
    std::fs::create_dir_all(&work).context("create a directory")?;
    let package = dist::pack(dist::Kind::Deb, &ground.program, &dist::Facts::of_repository()?, &work, &work)?;
    let root = ground.path(name);
    tree::unpack(archive, &root)?;
    for path in LEFT_OUT.into_iter().filter(|path| root.join(path).exists()) {
        std::fs::remove_dir_all(root.join(path)).context(format!("leave out {path}"))?;
    }
    std::fs::copy(&package, root.join("root/thinroot.deb")).context("copy our package")?;
    tree::inside(&root, "dpkg --install /root/thinroot.deb; rm /root/thinroot.deb; update-initramfs -u")?;
    tree::put(&root, "etc/systemd/system/vm-good.service", GOOD.as_bytes(), 0o644)?;
    let wants = root.join("etc/systemd/system/multi-user.target.wants/vm-good.service");
    std::os::unix::fs::symlink("/etc/systemd/system/vm-good.service", wants).context("enable a unit")?;
    tree::put(&root, "etc/kernel/cmdline", b"console=ttyS0,115200 quiet panic=2 rootdelay=8\n", 0o644)?;
    Ok(root)
}

/// A disk with an image on it, for a machine that updates itself.
pub(super) fn disk_with(ground: &Ground, name: &str, image: &Image) -> Result<PathBuf> {
    let disk = ground.path(&format!("{name}.disk"));
    let lies = ground.path(&format!("on-{name}"));
    std::fs::create_dir_all(&lies).context("create a directory")?;
    let file = image.archive.file_name().unwrap_or_default();
    std::fs::hard_link(&image.archive, lies.join(file)).context("link an image")?;
    let size_mib = (image.archive.metadata().context("look at an image")?.len() >> 20) + 200;
    let mut mke2fs = Command::new("mke2fs");
    mke2fs.args(["-q", "-F", "-t", "ext4", "-d"]).arg(&lies).arg(&disk).arg(format!("{size_mib}M"));
    tree::run(&mut mke2fs)?;
    Ok(disk)
}

/// Makes the initrd of a tree again as distributions of Fedora's family do.
pub(super) fn with_dracut(root: &Path) -> Result<()> {
    let then = "kernel=$(ls /usr/lib/modules); \
                dracut --force --no-hostonly --add 'lvm thinroot dracut-systemd' /boot/initrd.img-$kernel $kernel";
    with_packages(root, "dracut-core", then)
}

/// Installs packages of the archive in a tree.
pub(super) fn with_packages(root: &Path, packages: &str, then: &str) -> Result<()> {
    with_packages_of(root, &Mirror::of_this_machine()?.updated(), packages, then)
}

/// As [`with_packages`], from other suites.
pub(super) fn with_packages_of(root: &Path, sources: &str, packages: &str, then: &str) -> Result<()> {
    tree::put(root, "etc/apt/sources.list", sources.as_bytes(), 0o644)?;
    std::fs::copy("/etc/resolv.conf", root.join("etc/resolv.conf")).context("copy /etc/resolv.conf")?;
    let script = format!(
        "apt-get -q update; apt-get -q -y install --no-install-recommends {packages}; {then}; \
         rm -r /etc/apt/sources.list /etc/resolv.conf /var/lib/apt/lists/*"
    );
    tree::inside(root, &script)
}

/// Gives a tree a release of its own and packs it.
pub(super) fn published(ground: &Ground, root: &Path, release: u32) -> Result<Image> {
    let path = root.join("usr/lib/os-release");
    let text = std::fs::read_to_string(&path).context(format!("read {}", path.display()))?;
    let others = text.lines().filter(|line| !line.starts_with("IMAGE_")).map(|line| format!("{line}\n"));
    let text = others.collect::<String>() + &format!("IMAGE_ID=demo\nIMAGE_VERSION=12-{release}\n");
    tree::put(root, "usr/lib/os-release", text.as_bytes(), 0o644)?;
    let tree_name = root.file_name().unwrap_or_default().to_string_lossy();
    let archive = ground.path(&format!("{tree_name}-{release}.tar"));
    tree::pack(root, &archive)?;
    Ok(Image { layer: format!("demo-12-{release}+1"), archive })
}
