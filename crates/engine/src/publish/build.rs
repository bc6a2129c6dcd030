//! Makes a publishable image of a tree, whatever it comes as.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use thinroot_core::image::{identity_from_os_release, parse_os_release};
use thinroot_core::manifest::{Digest, Entry, Flags, Kind, Manifest};
use thinroot_core::name::ImageId;
use thinroot_core::path::TreePath;

use super::archive;
use crate::durable;
use crate::error::{Error, IoContext, Result};
use crate::progress::{Event, Reporter};
use crate::source::{Image, ImageRef, OpenOptions};
use crate::state::read_texts;

/// Where an image says who it is.
const OS_RELEASE: [&str; 2] = ["etc/os-release", "usr/lib/os-release"];
/// An image is compressed once and downloaded often; higher levels were not tried.
const LEVEL: i32 = 9;
/// Anybody may read an image.
const MODE: u32 = 0o644;

/// Where the image goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    path: PathBuf,
    compressed: bool,
}

/// What came of it.
#[derive(Debug)]
pub struct Built {
    /// The image, read back from what was written.
    pub image: Image,
    /// Size of the file.
    pub file_bytes: u64,
    /// What the tree had and an archive cannot hold, in words.
    pub findings: Vec<String>,
}

impl Output {
    /// A file that is not there yet, whose name says how it is written.
    pub fn new(path: &Path) -> Result<Self> {
        let attempted = format!("build {}", path.display());
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let compressed = match (name.ends_with(".tar"), name.ends_with(".tar.zst")) {
            (true, _) => false,
            (_, true) => true,
            (false, false) => {
                let mend = "name it NAME.tar.zst or NAME.tar";
                return Err(Error::refused(attempted, "its name does not say what it shall be").mend(mend));
            }
        };
        if path.symlink_metadata().is_ok() {
            let why = "there is something of that name, and published bytes are not written over";
            return Err(Error::refused(attempted, why).mend("give another name, or remove it"));
        }
        Ok(Output { path: std::path::absolute(path).at("make absolute", path)?, compressed })
    }
}

/// Writes the image with its identity in it, times no later than `newest_sec`, and reads it back: what was written must be
/// what was meant.
pub fn build(image: &mut Image, output: &Output, newest_sec: Option<i64>, reporter: &dyn Reporter) -> Result<Built> {
    let attempted = format!("build {}", output.path.display());
    let texts = stamped(image)?;
    let mut findings = Vec::new();
    let manifest = as_archived(&image.manifest, &texts, newest_sec, &mut findings)
        .map_err(|error| Error::refused(&attempted, error))?;
    reporter.event(Event::Begin { step: 0, text: format!("write {}", output.path.display()) });
    // Beside the image, because it may be as large as the tree. Nobody has its name, so nothing is left of it after a cut.
    let dir = output.path.parent().unwrap_or(Path::new("/"));
    let mut work = unnamed(dir)?;
    archive::write(&work, &output.path, &manifest, &mut *image.source, &texts)?;
    work.seek(SeekFrom::Start(0)).at("rewind", &output.path)?;
    let file_bytes = if output.compressed {
        let mut encoder = zstd::stream::read::Encoder::new(work, LEVEL).at("compress to", &output.path)?;
        durable::write_from(&output.path, &mut encoder, MODE)?
    } else {
        durable::write_from(&output.path, &mut work, MODE)?
    };
    reporter.event(Event::End { step: 0, text: format!("{file_bytes} bytes") });
    let options = OpenOptions { identity: None, arch: image.info.arch };
    let written = Image::open(&ImageRef::Tar(output.path.clone()), &options, reporter).and_then(|written| {
        if written.info.id == image.info.id && written.manifest == manifest {
            return Ok(written);
        }
        Err(Error::damaged(&attempted, "what was written is not what was meant").mend("report this as a defect"))
    });
    match written {
        Ok(image) => Ok(Built { image, file_bytes, findings }),
        Err(error) => {
            durable::remove(&output.path)?;
            Err(error)
        }
    }
}

fn unnamed(dir: &Path) -> Result<File> {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let fd = rustix::fs::open(dir, flags, Mode::RUSR | Mode::WUSR).map_err(std::io::Error::from);
    fd.map(File::from).at("write in", dir)
}

/// Texts of os-release where it does not name the image yet.
fn stamped(image: &mut Image) -> Result<BTreeMap<TreePath, Vec<u8>>> {
    let paths: Vec<TreePath> = OS_RELEASE.iter().filter_map(|path| TreePath::parse(path.as_bytes()).ok()).collect();
    let holders: Vec<TreePath> = paths.iter().filter_map(|path| holder(&image.manifest, path)).collect();
    let id = &image.info.id;
    let texts = read_texts(&holders, &image.manifest, &mut *image.source)?;
    let named = |(path, text): (TreePath, Vec<u8>)| {
        with_identity(&String::from_utf8_lossy(&text), id).map(|text| (path, text.into_bytes()))
    };
    Ok(texts.into_iter().filter_map(named).collect())
}

/// The file that a path or the link there leads to.
fn holder(manifest: &Manifest, path: &TreePath) -> Option<TreePath> {
    let entry = manifest.get(path)?;
    match &entry.kind {
        Kind::File { .. } => Some(entry.hardlink.clone().unwrap_or_else(|| path.clone())),
        Kind::Symlink { .. } | Kind::Directory | Kind::Fifo | Kind::Socket => None,
        Kind::Char { .. } | Kind::Block { .. } => None,
    }
}

/// The text with another name in it; none where it says that name already.
fn with_identity(text: &str, id: &ImageId) -> Option<String> {
    if identity_from_os_release(&parse_os_release(text)).as_ref() == Some(id) {
        return None;
    }
    let says = |line: &&str| !["IMAGE_ID=", "IMAGE_VERSION="].iter().any(|key| line.trim_start().starts_with(key));
    let mut out: String = text.lines().filter(says).map(|line| format!("{line}\n")).collect();
    out += &format!("IMAGE_ID={}\nIMAGE_VERSION={}-{}\n", id.name(), id.version(), id.release());
    Some(out)
}

/// The tree as an archive holds it.
fn as_archived(
    manifest: &Manifest,
    texts: &BTreeMap<TreePath, Vec<u8>>,
    newest_sec: Option<i64>,
    findings: &mut Vec<String>,
) -> std::result::Result<Manifest, thinroot_core::manifest::ManifestError> {
    let (mut sockets, mut flags, mut holes) = (0, 0, 0);
    let mut entries: Vec<Entry> = Vec::with_capacity(manifest.entries().len());
    for entry in manifest.entries() {
        if entry.kind == Kind::Socket {
            sockets += 1;
            continue;
        }
        let mut entry = entry.clone();
        if let Kind::File { size, digest, sparse } = &mut entry.kind {
            holes += usize::from(*sparse);
            *sparse = false;
            if let Some(text) = texts.get(entry.hardlink.as_ref().unwrap_or(&entry.path)) {
                (*size, *digest) = (text.len() as u64, Digest(Sha256::digest(text).into()));
            }
        }
        if let Some(newest) = newest_sec.filter(|newest| entry.meta.mtime.sec >= *newest) {
            (entry.meta.mtime.sec, entry.meta.mtime.nsec) = (newest, 0);
        }
        if !entry.meta.flags.is_empty() {
            flags += 1;
            entry.meta.flags = Flags::default();
        }
        entries.push(entry);
    }
    if sockets > 0 {
        findings.push(format!("{sockets} sockets are left out: whoever listens makes them anew"));
    }
    if holes > 0 {
        findings.push(format!("holes of {holes} files are written out, as an archive has none"));
    }
    if flags > 0 {
        findings.push(format!("inode flags of {flags} paths are left out: an archive cannot hold them"));
    }
    Manifest::new(manifest.accounts().clone(), entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn os_release_names_the_image_and_keeps_the_rest() {
        let id: ImageId = "node-1.2-3".parse().unwrap();
        let named = with_identity("NAME=x\nIMAGE_ID=old\n# IMAGE_ID=\nIMAGE_VERSION=\"1\"\nVERSION=9\n", &id).unwrap();
        assert_eq!(named, "NAME=x\n# IMAGE_ID=\nVERSION=9\nIMAGE_ID=node\nIMAGE_VERSION=1.2-3\n");
        assert_eq!(with_identity(&named, &id), None);
        assert_eq!(with_identity("NAME=x", &id).as_deref(), Some("NAME=x\nIMAGE_ID=node\nIMAGE_VERSION=1.2-3\n"));
    }

    #[test]
    fn an_output_says_by_its_name_what_it_is() {
        let dir = tempfile::tempdir().unwrap();
        for (name, compressed) in [("x.tar", Some(false)), ("x.tar.zst", Some(true)), ("x.zst", None), ("x", None)] {
            assert_eq!(Output::new(&dir.path().join(name)).ok().map(|it| it.compressed), compressed, "{name}");
        }
        std::fs::write(dir.path().join("y.tar"), "").unwrap();
        assert!(Output::new(&dir.path().join("y.tar")).unwrap_err().to_string().contains("not written over"));
    }
}
