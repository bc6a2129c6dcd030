//! Real Debian images for demo and bench: one server's package set at two points in time.
//!
//! Separate from the tests' own small images: these come from the archive, take minutes, and are kept in the cache.
//! The first holds the point release, the second the same packages with every update until today, so their difference
//! is what a real publisher ships. Building happens in process and mount namespaces of its own: killing it leaves
//! neither processes nor mounts.
//!
//! What must stay true: all images have the same package names (only the kernel's carries its version), and every
//! archive keeps owners, modes, times and extended attributes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::cache::{Cache, Entry};
use crate::{Context, Result};

mod build;
mod finish;
mod mirror;

pub use mirror::Mirror;

/// Raise it when the building changes in a way that the package list and the skeleton do not show.
const RECIPE: u32 = 2;

/// A small server: what someone would really run, and files of every kind that a state merge meets.
const PACKAGES: &[&str] = &[
    "systemd-sysv",
    "linux-image-cloud-amd64",
    "initramfs-tools",
    "zstd",
    "udev",
    "kmod",
    "dbus",
    "openssh-server",
    "sudo",
    "nano",
    "less",
    "curl",
    "ca-certificates",
    "lvm2",
    "thin-provisioning-tools",
    "e2fsprogs",
    "iproute2",
    "iputils-ping",
    "ifupdown",
    "isc-dhcp-client",
    "netbase",
    "procps",
    "cron",
    "logrotate",
    "rsyslog",
    "nginx-light",
    "python3-minimal",
    "tzdata",
    "acl",
    "attr",
];

/// One image in the cache.
#[derive(Debug, Clone)]
pub struct DemoImage {
    /// `demo-1`, `demo-1w` or `demo-2`.
    pub name: &'static str,
    /// The `.tar.zst` file.
    pub archive: PathBuf,
    /// What its os-release says: NAME-VERSION-RELEASE.
    pub id: String,
    /// Versions by package name.
    pub packages: BTreeMap<String, String>,
}

/// The images of one day.
#[derive(Debug, Clone)]
pub struct DemoImages {
    /// The point release.
    pub first: DemoImage,
    /// The first with a handful of upgraded packages, no kernel among them.
    pub weekly: Option<DemoImage>,
    /// Everything as of today.
    pub second: DemoImage,
}

/// Whether the weekly image is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weekly {
    /// Only the two main ones.
    No,
    /// Also the one between.
    Yes,
}

/// Where an image and the facts about it are kept.
#[derive(Debug, Clone)]
struct Slot {
    name: &'static str,
    archive: Entry,
    facts: Entry,
}

impl Slot {
    fn new(cache: &Cache, name: &'static str, recipe: &str) -> Self {
        let archive = cache.entry(&format!("{name}.tar.zst"), recipe);
        Slot { name, archive, facts: cache.entry(&format!("{name}.facts"), recipe) }
    }

    /// The facts are put first, so an archive is never without them.
    fn load(&self) -> Result<Option<DemoImage>> {
        if !self.archive.exists() {
            return Ok(None);
        }
        let facts = std::fs::read_to_string(self.facts.path()).context("read the facts of a cached image")?;
        let (id, packages) = facts.split_once('\n').ok_or("the facts of a cached image are empty")?;
        let packages = packages.lines().filter_map(|l| l.split_once(' ')).map(|(n, v)| (n.into(), v.into())).collect();
        Ok(Some(DemoImage { name: self.name, archive: self.archive.path().into(), id: id.into(), packages }))
    }

    fn loaded(&self) -> Result<DemoImage> {
        self.load()?.ok_or_else(|| format!("image {} is not in the cache although it was just built", self.name))
    }
}

/// Builds what is not in the cache yet. `today` is the day the updated images stand for, as YYYY-MM-DD.
pub fn ensure(cache: &Cache, today: &str, weekly: Weekly) -> Result<DemoImages> {
    let recipe = format!("{RECIPE} {} {}", PACKAGES.join(","), finish::SKELETON.map(|(_, text)| text).join(""));
    let first = Slot::new(cache, "demo-1", &recipe);
    let dated = format!("{recipe} {today}");
    let between = (weekly == Weekly::Yes).then(|| Slot::new(cache, "demo-1w", &dated));
    let second = Slot::new(cache, "demo-2", &dated);
    let build_first = first.load()?.is_none() || between.as_ref().is_some_and(|slot| !slot.archive.exists());
    let build_second = second.load()?.is_none();
    if build_first || build_second {
        if !rustix::process::getuid().is_root() {
            return Err("building Debian images needs root (owners, devices, chroot): run it with sudo".into());
        }
        let mirror = Mirror::of_this_machine()?;
        println!(
            "images: building from this machine's Debian archive, a few minutes; later runs take them from the cache"
        );
        build_both(cache, &mirror, build_first.then_some((&first, between.as_ref())), build_second.then_some(&second))?;
        forget_older(cache, &[&first, &second], between.as_ref());
    }
    let weekly = between.map(|slot| slot.loaded()).transpose()?;
    let images = DemoImages { first: first.loaded()?, weekly, second: second.loaded()? };
    same_packages(&images.first, &images.second)?;
    Ok(images)
}

/// Two builds side by side: each waits for the network about as long as for the processor.
fn build_both(
    cache: &Cache,
    mirror: &Mirror,
    first: Option<(&Slot, Option<&Slot>)>,
    second: Option<&Slot>,
) -> Result<()> {
    std::thread::scope(|scope| {
        let one = scope.spawn(move || first.map_or(Ok(()), |(slot, weekly)| build::first(cache, mirror, slot, weekly)));
        let two = scope.spawn(move || second.map_or(Ok(()), |slot| build::second(cache, mirror, slot)));
        let join = |thread: std::thread::ScopedJoinHandle<'_, Result<()>>| {
            thread.join().unwrap_or_else(|_| Err("building an image panicked".into()))
        };
        let (one, two) = (join(one), join(two));
        one.and(two)
    })
}

/// Images of other days and recipes are only space; nothing refers to them.
fn forget_older(cache: &Cache, kept: &[&Slot], between: Option<&Slot>) {
    let kept: Vec<&Path> = kept.iter().copied().chain(between).map(|slot| slot.archive.path()).collect();
    let Ok(entries) = std::fs::read_dir(cache.root()) else { return };
    for path in entries.flatten().map(|e| e.path()) {
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default().to_string();
        let Some(at) = name.find("-demo-").filter(|_| name.ends_with(".tar.zst")) else { continue };
        let same_name =
            kept.iter().any(|k| k.file_name().and_then(|n| n.to_str()).is_some_and(|k| k.ends_with(&name[at..])));
        if same_name && !kept.contains(&path.as_path()) {
            // Only space is at stake; the next build tries again.
            let _ = std::fs::remove_file(path.with_extension("").with_extension("facts"));
            let _ = std::fs::remove_file(&path);
        }
    }
}

/// A package whose version differs between two images, with the old and the new one.
pub type Upgrade<'a> = (&'a str, &'a str, &'a str);

/// Which packages differ from one image to the other.
pub fn upgrades<'a>(old: &'a DemoImage, new: &'a DemoImage) -> Vec<Upgrade<'a>> {
    let pairs = old.packages.iter().filter_map(|(name, version)| Some((name, version, new.packages.get(name)?)));
    pairs.filter(|(_, old, new)| old != new).map(|(n, o, v)| (n.as_str(), o.as_str(), v.as_str())).collect()
}

fn same_packages(old: &DemoImage, new: &DemoImage) -> Result<()> {
    let missing = |a: &DemoImage, b: &DemoImage| -> Vec<String> {
        let have: Vec<String> = b.packages.keys().map(|n| without_abi(n)).collect();
        a.packages.keys().map(|n| without_abi(n)).filter(|n| !have.contains(n)).collect()
    };
    match (missing(old, new), missing(new, old)) {
        (gone, added) if gone.is_empty() && added.is_empty() => Ok(()),
        (gone, added) => {
            Err(format!("the two images have different package sets: only old {gone:?}, only new {added:?}"))
        }
    }
}

/// The kernel's package carries its version in its name: `linux-image-6.1.0-50-cloud-amd64`.
fn without_abi(name: &str) -> String {
    match name.strip_prefix("linux-image-") {
        Some(rest) => {
            let flavour = rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.' || c == '-');
            let mark = if flavour.len() < rest.len() { "-VERSION-" } else { "-" };
            format!("linux-image{mark}{flavour}")
        }
        None => name.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(packages: &[(&str, &str)]) -> DemoImage {
        let packages = packages.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect();
        DemoImage { name: "demo-1", archive: PathBuf::new(), id: "demo-1-1".into(), packages }
    }

    #[test]
    fn package_sets_are_compared_without_the_kernels_version() {
        let old = image(&[("linux-image-6.1.0-50-cloud-amd64", "1"), ("linux-image-cloud-amd64", "1"), ("a", "1")]);
        let new = image(&[("linux-image-6.1.0-56-cloud-amd64", "2"), ("linux-image-cloud-amd64", "2"), ("a", "1")]);
        assert_eq!(same_packages(&old, &new), Ok(()));
        assert_eq!(upgrades(&old, &new), [("linux-image-cloud-amd64", "1", "2")]);
        let other = image(&[("linux-image-6.1.0-56-cloud-amd64", "2"), ("a", "1")]);
        assert!(same_packages(&old, &other).unwrap_err().contains("linux-image-cloud-amd64"));
    }
}
