//! Originals of files that were changed here: from the packages that brought them.
//!
//! Separate because a package manager keeps digests of what it brought and not the contents. Where these are to be had: what
//! ucf kept, an image's factory copy, packages that still lie in the manager's cache or in a directory that was named, and,
//! if a person allows it, the same version of the package from where the host has its packages from. What is not to be had
//! is told, and is no failure.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use thinroot_core::adopt::dpkg_list;
use thinroot_core::manifest::{Entry, Kind};
use thinroot_core::path::TreePath;

use super::vendor::{FACTORY, Known, Manager, UCF_CACHE, aliases, rpm, tree_path};
use crate::cmd::Cmd;
use crate::error::{IoContext, Result};
use crate::mounts::Scratch;
use crate::state::{RootContents, accounts_of, entries_at};

/// Where each manager keeps what it downloaded.
const CACHES: [&str; 3] = ["/var/cache/apt/archives", "/var/cache/dnf", "/var/cache/libdnf5"];

/// Where packages are looked for.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// Directories with packages, searched with what is below them.
    pub directories: Vec<PathBuf>,
    /// Whether the manager may download.
    pub fetch: bool,
}

/// An original that was found.
#[derive(Debug)]
pub struct Original {
    /// As it is to be.
    pub entry: Entry,
    /// The tree that it was found in, and where there; nothing of a link is read.
    content: (PathBuf, TreePath),
}

impl Original {
    /// Opens its content; none where it is no file.
    pub fn open(&self) -> Result<Option<fs::File>> {
        match self.entry.kind {
            Kind::File { .. } => RootContents::open(&self.content.0)?.file(&self.content.1),
            Kind::Directory | Kind::Symlink { .. } | Kind::Fifo | Kind::Socket => Ok(None),
            Kind::Char { .. } | Kind::Block { .. } => Ok(None),
        }
    }
}

/// What was found of the wanted, and which packages it would take for the rest.
#[derive(Debug, Default)]
pub struct Found {
    /// By path.
    pub originals: BTreeMap<TreePath, Original>,
    /// Packages that are not to be had, with what of theirs was wanted.
    pub lacking: BTreeMap<String, Vec<TreePath>>,
    /// Why one could not be read or fetched.
    pub findings: Vec<String>,
    /// Packages are unpacked there.
    _scratch: Option<Scratch>,
}

/// Looks for originals of these paths of the tree at `root`.
pub fn find(root: &Path, known: &Known, wanted: &BTreeSet<TreePath>, places: &Places) -> Result<Found> {
    let mut found = Found::default();
    let scratch = Scratch::new("packages")?;
    kept_in_tree(root, wanted, &mut found)?;
    let mut by_package: BTreeMap<&String, BTreeSet<TreePath>> = BTreeMap::new();
    for path in wanted.iter().filter(|path| !found.originals.contains_key(path)) {
        if let Some(package) = known.packages.get(path) {
            by_package.entry(package).or_default().insert(path.clone());
        }
    }
    let manager = Manager::of(root);
    for (number, (package, paths)) in by_package.into_iter().enumerate() {
        let Some(manager) = manager else { continue };
        let file = match package_file(manager, root, package, places, scratch.path()) {
            Ok(Some(file)) => file,
            Ok(None) => {
                found.lacking.insert(package.clone(), paths.into_iter().collect());
                continue;
            }
            Err(error) => {
                found.findings.push(error.to_string());
                found.lacking.insert(package.clone(), paths.into_iter().collect());
                continue;
            }
        };
        let tree = scratch.path().join(format!("tree-{number}"));
        fs::create_dir(&tree).at("create", &tree)?;
        if let Err(error) = unpack(manager, &file, &tree) {
            found.findings.push(error.to_string());
            found.lacking.insert(package.clone(), paths.into_iter().collect());
            continue;
        }
        from_tree(root, &tree, &paths, &mut found)?;
        if manager == Manager::Rpm {
            owned_as_stated(root, package, &paths, &mut found)?;
        }
    }
    found._scratch = Some(scratch);
    Ok(found)
}

/// What ucf and an image's factory keep lies in the tree itself.
fn kept_in_tree(root: &Path, wanted: &BTreeSet<TreePath>, found: &mut Found) -> Result<()> {
    let factory = root.join(FACTORY);
    if factory.join("etc").is_dir() {
        let shadowed =
            wanted.iter().filter(|path| path.as_bytes().starts_with(b"etc") || path.as_bytes().starts_with(b"var"));
        for (path, entry) in entries_at(&factory, &shadowed.cloned().collect())? {
            found.originals.insert(path.clone(), Original { entry, content: (factory.clone(), path) });
        }
    }
    let cache = root.join(UCF_CACHE);
    for path in wanted.iter().filter(|_| cache.is_dir()) {
        // A path with its slashes as colons.
        let name: Vec<u8> = path.as_bytes().iter().map(|byte| if *byte == b'/' { b':' } else { *byte }).collect();
        let name = tree_path(&[b":", name.as_slice()].concat())?;
        let Some(kept) = entries_at(&cache, &[name.clone()].into())?.remove(&name) else { continue };
        // Mode and owner are no business of ucf's.
        let now = entries_at(root, &[path.clone()].into())?.remove(path);
        let meta = now.map_or(kept.meta, |now| now.meta);
        let entry = Entry { path: path.clone(), kind: kept.kind, meta, hardlink: None };
        found.originals.insert(path.clone(), Original { entry, content: (cache.clone(), name) });
    }
    Ok(())
}

fn from_tree(root: &Path, tree: &Path, paths: &BTreeSet<TreePath>, found: &mut Found) -> Result<()> {
    // The package may have it below the directory that is a link in the root.
    let aliases = aliases(root)?;
    for path in paths {
        let raw = path.as_bytes();
        let other = aliases.iter().filter_map(|(link, target)| {
            let rest = raw.strip_prefix(target.as_slice())?;
            tree_path(&[link.as_slice(), rest].concat()).ok()
        });
        let names: BTreeSet<TreePath> = other.chain([path.clone()]).collect();
        if let Some((name, entry)) = entries_at(tree, &names)?.into_iter().next() {
            let entry = Entry { path: path.clone(), hardlink: None, ..entry };
            found.originals.insert(path.clone(), Original { entry, content: (tree.into(), name) });
        }
    }
    Ok(())
}

/// The archive inside of an RPM has no owners; its header has their names.
fn owned_as_stated(root: &Path, package: &str, paths: &BTreeSet<TreePath>, found: &mut Found) -> Result<()> {
    let accounts = accounts_of(root)?;
    let id = |table: &BTreeMap<u32, String>, name: &str| table.iter().find(|(_, n)| *n == name).map(|(id, _)| *id);
    let aliases = aliases(root)?;
    for line in
        rpm(root).args(["-q", "--qf", "[%{FILENAMES}\\t%{FILEUSERNAME}\\t%{FILEGROUPNAME}\\n]", package]).run()?.lines()
    {
        let fields: Vec<&str> = line.rsplitn(3, '\t').collect();
        let [group, user, path] = fields.as_slice() else { continue };
        let named = dpkg_list(path.as_bytes(), &aliases);
        let wanted = named.first().filter(|path| paths.contains(*path)).and_then(|path| found.originals.get_mut(path));
        if let Some(original) = wanted {
            let meta = &mut original.entry.meta;
            meta.uid = id(&accounts.users, user).unwrap_or(meta.uid);
            meta.gid = id(&accounts.groups, group).unwrap_or(meta.gid);
        }
    }
    Ok(())
}

/// The file of a package in exactly the version that is installed.
fn package_file(
    manager: Manager,
    root: &Path,
    package: &str,
    places: &Places,
    scratch: &Path,
) -> Result<Option<PathBuf>> {
    let (file_name, request) = match manager {
        Manager::Dpkg => {
            let admin = format!("--admindir={}", root.join("var/lib/dpkg").display());
            let format = "${Package}\\t${Version}\\t${Architecture}";
            let said = Cmd::new("dpkg-query").args([&admin, "-W", "-f", format, package]).run()?;
            let fields: Vec<&str> = said.split('\t').collect();
            let [name, version, arch] = fields.as_slice() else { return Ok(None) };
            // The colon of an epoch is no good in file names.
            (format!("{name}_{}_{arch}.deb", version.replace(':', "%3a")), format!("{name}:{arch}={version}"))
        }
        Manager::Rpm => (format!("{package}.rpm"), package.to_string()),
    };
    let caches = CACHES.iter().map(PathBuf::from);
    for directory in places.directories.iter().cloned().chain(caches) {
        if let Some(file) = below(&directory, &file_name)? {
            return Ok(Some(file));
        }
    }
    if !places.fetch {
        return Ok(None);
    }
    let script = match manager {
        // apt downloads into the directory that it is started in, and as another user unless told otherwise.
        Manager::Dpkg => "cd \"$1\" && exec apt-get -q -o APT::Sandbox::User=root download -- \"$2\"",
        Manager::Rpm => "exec dnf -q download --destdir \"$1\" \"$2\"",
    };
    Cmd::new("sh").args(["-c", script, "fetch"]).arg(scratch).arg(&request).with_its_children().run()?;
    below(scratch, &file_name)
}

/// A file of this name in a directory or the directories in it; the caches of dnf are three deep.
fn below(directory: &Path, name: &str) -> Result<Option<PathBuf>> {
    const DEPTH: usize = 4;
    let mut level = vec![directory.to_path_buf()];
    for _ in 0..DEPTH {
        let mut next = Vec::new();
        for directory in level {
            let entries = match fs::read_dir(&directory) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                other => other.at("read", &directory)?,
            };
            for entry in entries {
                let entry = entry.at("read", &directory)?;
                if entry.file_name() == name {
                    return Ok(Some(entry.path()));
                }
                if entry.file_type().at("read", entry.path())?.is_dir() {
                    next.push(entry.path());
                }
            }
        }
        level = next;
    }
    Ok(None)
}

fn unpack(manager: Manager, file: &Path, tree: &Path) -> Result<()> {
    match manager {
        Manager::Dpkg => Cmd::new("dpkg-deb").arg("-x").args([file, tree]).run()?,
        Manager::Rpm => Cmd::new("sh")
            .args(["-c", "rpm2cpio \"$1\" | cpio -idm --quiet --no-absolute-filenames -D \"$2\"", "unpack"])
            .args([file, tree])
            .with_its_children()
            .run()?,
    };
    Ok(())
}
