//! Reads what packages an image has, without unpacking it.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::PathBuf;

use thinroot_core::image::packages::{Packages, RPM_QUERY, of_dpkg_status, of_rpm_query};
use thinroot_core::manifest::{Kind, Manifest};
use thinroot_core::path::TreePath;

use crate::adopt::vendor::RPM_DATABASES;
use crate::cmd::Cmd;
use crate::error::{Error, IoContext, Result};
use crate::source::Image;
use crate::tree::write::shown;

/// Largest list or database that is read; a Debian with everything has some 60 MiB.
const MAX_BYTES: u64 = 512 << 20;

/// Packages of an image as its own database lists them; none where it has no database that is known, or one that only rpm
/// can read and there is no rpm here.
pub fn packages(image: &mut Image) -> Result<Option<Packages>> {
    if let Some(packages) = of_dpkg(image)? {
        return Ok(Some(packages));
    }
    of_rpm(image)
}

fn is_file(manifest: &Manifest, path: &TreePath) -> bool {
    manifest.get(path).is_some_and(|entry| matches!(entry.kind, Kind::File { .. }) && entry.hardlink.is_none())
}

fn files_in(manifest: &Manifest, dir: &str) -> BTreeSet<TreePath> {
    let Ok(dir) = TreePath::parse(dir.as_bytes()) else { return BTreeSet::new() };
    let there = manifest.beneath(&dir).filter(|entry| entry.path.parent().as_ref() == Some(&dir));
    there.map(|entry| &entry.path).filter(|path| is_file(manifest, path)).cloned().collect()
}

fn of_dpkg(image: &mut Image) -> Result<Option<Packages>> {
    let status = TreePath::parse(b"var/lib/dpkg/status").expect("a constant path");
    let mut wanted = files_in(&image.manifest, "var/lib/dpkg/status.d");
    wanted.retain(|path| !path.file_name().ends_with(b".md5sums"));
    if is_file(&image.manifest, &status) {
        wanted.insert(status);
    }
    if wanted.is_empty() {
        return Ok(None);
    }
    let mut packages = Packages::new();
    image.source.contents(&wanted, &mut |path, content| {
        let mut text = Vec::new();
        content.take(MAX_BYTES).read_to_end(&mut text).at("read", shown(path))?;
        for (name, versions) in of_dpkg_status(&String::from_utf8_lossy(&text)) {
            packages.entry(name).or_default().extend(versions);
        }
        Ok(())
    })?;
    Ok(Some(packages))
}

/// rpm's databases have many forms, and none is documented: rpm reads a copy of it.
fn of_rpm(image: &mut Image) -> Result<Option<Packages>> {
    let Some(dir) = RPM_DATABASES.iter().find(|dir| !files_in(&image.manifest, dir).is_empty()) else {
        return Ok(None);
    };
    if Cmd::new("rpm").arg("--version").run().is_err() {
        return Ok(None);
    }
    let wanted = files_in(&image.manifest, dir);
    let copy = Scratch::new()?;
    image.source.contents(&wanted, &mut |path, content| {
        let name = String::from_utf8_lossy(path.file_name()).into_owned();
        let to = copy.0.join(name);
        let mut file = std::fs::File::create_new(&to).at("create", &to)?;
        std::io::copy(&mut content.take(MAX_BYTES), &mut file).at("copy to", &to).map(drop)
    })?;
    let answer = Cmd::new("rpm").arg("--dbpath").arg(&copy.0).args(["-qa", "--qf", RPM_QUERY]).run();
    let text = answer.map_err(|error| Error::failed("list the packages of the image", error))?;
    Ok(Some(of_rpm_query(&text)))
}

/// A directory that nobody else can enter, for as long as this lives.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        let mut random = [0; 8];
        rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())
            .map_err(|error| Error::failed("read randomness", std::io::Error::from(error)))?;
        let path = std::env::temp_dir().join(format!("thinroot-{:016x}", u64::from_ne_bytes(random)));
        std::fs::DirBuilder::new().mode(0o700).create(&path).at("create directory", &path)?;
        Ok(Scratch(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What stays is a copy in a directory for such things.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
