//! What the package manager of a tree says that it brought there, and where it differs from that.
//!
//! Separate from the verdicts (`thinroot_core::adopt`). The comparing itself is left to `dpkg -V` and `rpm -V`, which know
//! their own databases best.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use thinroot_core::adopt::{Deviation, Vendor, automatic_alternatives, dpkg_list, ucf_hashes, verified};
use thinroot_core::path::TreePath;

use crate::cmd::Cmd;
use crate::error::{Error, IoContext, Result};
use crate::state::RootContents;
use crate::tree::read::{WalkedKind, walk};

/// Where oVirt's and RHV's images keep their own `/etc` and `/var`.
pub(super) const FACTORY: &str = "usr/share/factory";
/// Where ucf keeps the versions that packages brought.
pub(super) const UCF_CACHE: &str = "var/lib/ucf/cache";
const DPKG: &str = "var/lib/dpkg";
/// Where distributions have rpm's database.
pub(crate) const RPM_DATABASES: [&str; 3] = ["usr/lib/sysimage/rpm", "usr/share/rpm", "var/lib/rpm"];
/// Links by which Debian's packages enabled their units, kept by their maintainer scripts.
const DEB_ENABLED: &str = "var/lib/systemd/deb-systemd-helper-enabled";

/// Whose database a tree has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manager {
    /// Debian's.
    Dpkg,
    /// Red Hat's and SUSE's.
    Rpm,
}

impl Manager {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Manager::Dpkg => "dpkg",
            Manager::Rpm => "rpm",
        }
    }

    /// Told by its database, not by which programs there are: Debian has rpm, and Fedora dpkg, as tools.
    pub fn of(root: &Path) -> Option<Manager> {
        if root.join(DPKG).join("status").metadata().is_ok_and(|meta| meta.len() > 0) {
            return Some(Manager::Dpkg);
        }
        rpm_database(root).map(|_| Manager::Rpm)
    }
}

/// Beneath the root.
fn rpm_database(root: &Path) -> Option<&'static str> {
    let has_files = |dir: &&str| fs::read_dir(root.join(dir)).is_ok_and(|mut entries| entries.next().is_some());
    RPM_DATABASES.into_iter().find(has_files)
}

/// Everything that is known of a tree.
#[derive(Debug, Default)]
pub struct Known {
    /// For the verdicts.
    pub vendor: Vendor,
    /// Links that are shipped without a package answering for them, and where they point: enabled units.
    pub links: BTreeMap<TreePath, Vec<u8>>,
    /// Packages of the paths that differ, as their manager names files: by these their originals are found.
    pub packages: BTreeMap<TreePath, String>,
}

/// Asks the package manager. `root` is a whole tree; `/` too.
pub fn known(root: &Path) -> Result<Known> {
    let mut known = match Manager::of(root) {
        Some(Manager::Dpkg) => dpkg(root)?,
        Some(Manager::Rpm) => rpm_known(root)?,
        None => Known::default(),
    };
    alternatives(root, &mut known)?;
    if root.join(FACTORY).join("etc").is_dir() {
        factory(root, &mut known)?;
    }
    Ok(known)
}

/// Directories of the root that are links: `bin` to `usr/bin`.
pub(super) fn aliases(root: &Path) -> Result<BTreeMap<Vec<u8>, Vec<u8>>> {
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(root).at("read", root)? {
        let path = entry.at("read", root)?.path();
        if let Ok(target) = fs::read_link(&path)
            && let Some(name) = path.file_name()
        {
            let target = target.strip_prefix("/").unwrap_or(&target).to_path_buf();
            found.insert(name.as_bytes().to_vec(), target.into_os_string().into_vec());
        }
    }
    Ok(found)
}

fn dpkg(root: &Path) -> Result<Known> {
    let aliases = aliases(root)?;
    let cmd = Cmd::new("dpkg").arg(format!("--root={}", root.display())).arg("--verify").also_good(1);
    let mut known = Known::default();
    known.vendor.answers = true;
    known.vendor.changed = verified(&run(&cmd)?, &aliases);
    let info = root.join(DPKG).join("info");
    for entry in fs::read_dir(&info).at("read", &info)? {
        let path = entry.at("read", &info)?.path();
        if path.extension().is_none_or(|ending| ending != "list") {
            continue;
        }
        let package = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        for owned in dpkg_list(&fs::read(&path).at("read", &path)?, &aliases) {
            if known.vendor.changed.contains_key(&owned) {
                known.packages.insert(owned.clone(), package.clone());
            }
            known.vendor.owned.insert(owned);
        }
    }
    diverted(root, &aliases, &mut known)?;
    enabled(root, &mut known)?;
    ucf(root, &mut known)?;
    Ok(known)
}

/// A file that another package moved out of its way is shipped where it was moved to.
fn diverted(root: &Path, aliases: &BTreeMap<Vec<u8>, Vec<u8>>, known: &mut Known) -> Result<()> {
    let text = read_or_empty(&root.join(DPKG).join("diversions"))?;
    // Three lines each: from, to, by which package.
    let lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
    for moved in lines.chunks_exact(3) {
        known.vendor.owned.extend(dpkg_list(moved[1], aliases));
        // dpkg looks for it at its first place, where something else is.
        for from in dpkg_list(moved[0], aliases) {
            known.vendor.changed.remove(&from);
        }
    }
    Ok(())
}

/// Links by which maintainer scripts enabled units. One that is gone was disabled here.
fn enabled(root: &Path, known: &mut Known) -> Result<()> {
    let dir = root.join(DEB_ENABLED);
    if !dir.is_dir() {
        return Ok(());
    }
    let contents = RootContents::open(root)?;
    walk(&dir, false, &mut |walked, _| {
        let is_list = walked.path.file_name().ends_with(b".dsh-also");
        if is_list || !matches!(walked.kind, WalkedKind::File { .. }) {
            return Ok(());
        }
        let Ok(link) = tree_path(&[b"etc/systemd/system/", walked.path.as_bytes()].concat()) else { return Ok(()) };
        let unit = [b"usr/lib/systemd/system/", walked.path.file_name()].concat();
        let there = tree_path(&unit).is_ok_and(|unit| contents.file(&unit).is_ok_and(|file| file.is_some()));
        if root.join("etc/systemd/system").join(as_path(walked.path.as_bytes())).symlink_metadata().is_ok() {
            known.vendor.owned.insert(link);
        } else if there {
            known.vendor.changed.insert(link.clone(), Deviation::Missing { config: false });
            known.links.insert(link, [b"/".as_slice(), &unit].concat());
        }
        Ok(())
    })
}

/// What was chosen by rank and not by a person is the packages'.
fn alternatives(root: &Path, known: &mut Known) -> Result<()> {
    for records in ["var/lib/dpkg/alternatives", "var/lib/alternatives"] {
        let entries = match fs::read_dir(root.join(records)) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            other => other.at("read", root.join(records))?,
        };
        for entry in entries {
            let path = entry.at("read", root.join(records))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let record = String::from_utf8_lossy(&read_or_empty(&path)?).into_owned();
            let names = automatic_alternatives(&name, &record);
            if !names.is_empty() {
                known.vendor.owned.insert(tree_path(format!("{records}/{name}").as_bytes())?);
            }
            for name in names {
                known.vendor.owned.insert(tree_path(format!("etc/alternatives/{name}").as_bytes())?);
            }
        }
    }
    Ok(())
}

/// Configuration that ucf put in place for packages: unchanged, if it has the digest that ucf noted.
fn ucf(root: &Path, known: &mut Known) -> Result<()> {
    let hashes = ucf_hashes(&read_or_empty(&root.join("var/lib/ucf/hashfile"))?);
    let there: Vec<(&TreePath, &String)> =
        hashes.iter().filter(|(path, _)| root.join(as_path(path.as_bytes())).is_file()).collect();
    if there.is_empty() {
        return Ok(());
    }
    let files = there.iter().map(|(path, _)| root.join(as_path(path.as_bytes())));
    let said = run(&Cmd::new("md5sum").arg("--").args(files))?;
    let digests = said.split(|byte| *byte == b'\n').map(|line| line.get(..32).unwrap_or_default());
    for ((path, hash), digest) in there.into_iter().zip(digests) {
        match digest == hash.as_bytes() {
            true => drop(known.vendor.owned.insert(path.clone())),
            false => drop(known.vendor.changed.insert(path.clone(), Deviation::Content)),
        }
    }
    Ok(())
}

/// rpm on the tree's own database, whatever the program here is configured for.
pub(super) fn rpm(root: &Path) -> Cmd {
    let database = rpm_database(root).map(|dir| format!("/{dir}")).unwrap_or_default();
    Cmd::new("rpm").arg("--root").arg(root).args(["--dbpath", &database])
}

fn rpm_known(root: &Path) -> Result<Known> {
    let aliases = aliases(root)?;
    let mut known = Known::default();
    // Scripts of packages are not run: they would run in the host, not only in the tree.
    let verify = rpm(root).args(["-Va", "--nodeps", "--noscripts"]).also_good(1);
    known.vendor.answers = true;
    known.vendor.changed = verified(&run(&verify)?, &aliases);
    let format = "[%{=NVRA}\\t%{FILENAMES}\\n]";
    for line in run(&rpm(root).args(["-qa", "--qf", format]))?.split(|byte| *byte == b'\n') {
        let Some(tab) = line.iter().position(|byte| *byte == b'\t') else { continue };
        for owned in dpkg_list(&line[tab + 1..], &aliases) {
            if known.vendor.changed.contains_key(&owned) {
                let package = String::from_utf8_lossy(&line[..tab]).into_owned();
                known.packages.insert(owned.clone(), package);
            }
            known.vendor.owned.insert(owned);
        }
    }
    Ok(known)
}

/// The image's own copy of `/etc` and `/var` decides there: it has what scripts made when the image was built.
fn factory(root: &Path, known: &mut Known) -> Result<()> {
    let contents = RootContents::open(root)?;
    let factory = root.join(FACTORY);
    for top in ["etc", "var"] {
        let beneath = tree_path(top.as_bytes())?;
        let shadowed = |path: &TreePath| path.is_within(&beneath);
        known.vendor.owned.retain(|path| !shadowed(path));
        known.vendor.changed.retain(|path, _| !shadowed(path));
        if !factory.join(top).is_dir() {
            continue;
        }
        walk(&factory.join(top), false, &mut |walked, open| {
            let path = match walked.path.is_root() {
                true => beneath.clone(),
                false => tree_path(&[top.as_bytes(), b"/", walked.path.as_bytes()].concat())?,
            };
            // What cannot be looked at counts as gone, and a link that cannot be read as another: both are put back.
            let there = root.join(as_path(path.as_bytes())).symlink_metadata().ok();
            let missing = Deviation::Missing { config: false };
            let deviation = match (&walked.kind, there) {
                (_, None) => Some(missing),
                (WalkedKind::Directory, Some(there)) => (!there.is_dir()).then_some(missing),
                (WalkedKind::Symlink { target }, Some(_)) => {
                    let now = fs::read_link(root.join(as_path(path.as_bytes()))).ok();
                    let same = now.is_some_and(|now| now == as_path(&target.0));
                    (!same).then_some(Deviation::Content)
                }
                (WalkedKind::File { .. }, Some(there)) => {
                    let same = there.is_file()
                        && match contents.file(&path)? {
                            Some(now) => same_bytes(open.open()?, now).at("compare", &factory)?,
                            None => false,
                        };
                    (!same).then_some(Deviation::Content)
                }
                (_, Some(_)) => None,
            };
            match deviation {
                Some(deviation) => drop(known.vendor.changed.insert(path, deviation)),
                None => drop(known.vendor.owned.insert(path)),
            }
            Ok(())
        })?;
    }
    Ok(())
}

fn same_bytes(mut a: fs::File, mut b: fs::File) -> std::io::Result<bool> {
    use std::io::Read;
    if a.metadata()?.len() != b.metadata()?.len() {
        return Ok(false);
    }
    let (mut left, mut right) = (Vec::new(), Vec::new());
    a.read_to_end(&mut left)?;
    b.read_to_end(&mut right)?;
    Ok(left == right)
}

fn run(cmd: &Cmd) -> Result<Vec<u8>> {
    cmd.output().map_err(|error| match error.code {
        None => Error::refused("ask the package manager what it shipped", &error)
            .mend("the tree has its database, so install the program"),
        Some(_) => Error::from(error),
    })
}

fn read_or_empty(path: &Path) -> Result<Vec<u8>> {
    match fs::read(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        other => other.at("read", path),
    }
}

pub(super) fn as_path(bytes: &[u8]) -> &Path {
    use std::os::unix::ffi::OsStrExt;
    Path::new(std::ffi::OsStr::from_bytes(bytes))
}

pub(super) fn tree_path(bytes: &[u8]) -> Result<TreePath> {
    TreePath::parse(bytes).map_err(|why| Error::failed(format!("use the path {}", String::from_utf8_lossy(bytes)), why))
}
