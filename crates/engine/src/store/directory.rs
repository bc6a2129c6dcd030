//! The directory store: each volume a sparse image file with a file system in it, mounted through a loop device.
//!
//! ```text
//! STORE/store.json            version and identity
//! STORE/volumes/NAME.img      the volume
//! STORE/volumes/NAME.json     what it is; its atomic rewrite commits creating, publishing and withdrawing
//! ```
//! Separate because it needs neither LVM nor a disk: for trying, for CI, for building appliance images. Must stay true: a
//! volume exists exactly if its sidecar does; an image file without one is what a power cut left, and goes.

mod image_file;
mod sidecar;

use std::fs::File;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thinroot_core::inventory::{Phase, Role, Space, Volume};
use thinroot_core::name::VolumeName;

use self::image_file::Attached;
use self::sidecar::Sidecar;
use super::filesystem::{self, Ground};
use super::mount::{self, Medium};
use super::rules;
use super::{Access, Ending, Ensured, Mounted, NewVolume, Store, StoreKind, StoreSurvey};
use crate::durable;
use crate::error::{Error, IoContext, Result};
use crate::fault;

/// Version of `store.json`.
const FORMAT: u32 = 1;

/// A store in a directory.
#[derive(Debug)]
pub struct DirectoryStore {
    path: PathBuf,
    uuid: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct StoreFile {
    format: u32,
    uuid: String,
}

impl DirectoryStore {
    /// Makes a store in a directory, which may exist and be empty; opens the store that is there already.
    pub fn init(path: &Path) -> Result<Self> {
        if Self::file(path).exists() {
            return Self::open(path);
        }
        durable::create_dir_all(path)?;
        let volumes = path.join("volumes");
        let mut entries = std::fs::read_dir(path).at("list", path)?;
        if entries.any(|entry| entry.is_ok_and(|entry| entry.path() != volumes && !is_temporary(&entry.path()))) {
            return Err(Error::refused(format!("make a store in {}", path.display()), "the directory is not empty"));
        }
        durable::create_dir_all(&volumes)?;
        let source = "/proc/sys/kernel/random/uuid";
        let uuid = std::fs::read_to_string(source).at("read", source)?.trim().to_string();
        let text = serde_json::to_string_pretty(&StoreFile { format: FORMAT, uuid })
            .map_err(|error| Error::failed(format!("make a store in {}", path.display()), error))?;
        durable::write(&Self::file(path), format!("{text}\n").as_bytes(), 0o644)?;
        Self::open(path)
    }

    /// Opens a store.
    pub fn open(path: &Path) -> Result<Self> {
        let attempted = format!("open the store in {}", path.display());
        let text = match std::fs::read_to_string(Self::file(path)) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::refused(attempted, "there is no store.json")
                    .mend(format!("`thinroot init --store dir:{}` makes one", path.display())));
            }
            other => other.at("read", Self::file(path))?,
        };
        let file: StoreFile = serde_json::from_str(&text).map_err(|error| Error::damaged(&attempted, error))?;
        if file.format != FORMAT {
            return Err(Error::refused(attempted, format!("its format {} is not known", file.format)));
        }
        let path = path.canonicalize().at("resolve", path)?;
        Ok(DirectoryStore { path, uuid: file.uuid })
    }

    /// Identity of this store, made with it.
    pub fn uuid(&self) -> &str {
        &self.uuid
    }

    /// The image file of a volume, an ordinary raw disk image.
    pub fn image(&self, name: &VolumeName) -> PathBuf {
        self.volumes().join(format!("{}.img", name.as_str()))
    }

    fn file(path: &Path) -> PathBuf {
        path.join("store.json")
    }

    fn volumes(&self) -> PathBuf {
        self.path.join("volumes")
    }

    fn sidecar(&self, name: &VolumeName) -> PathBuf {
        self.volumes().join(format!("{}.json", name.as_str()))
    }

    fn find(&self, name: &VolumeName) -> Result<Option<Volume>> {
        Ok(Sidecar::read(&self.sidecar(name))?.map(|sidecar| Self::volume(name.clone(), sidecar)))
    }

    fn expect(&self, attempted: &str, name: &VolumeName) -> Result<Volume> {
        self.find(name)?.ok_or_else(|| rules::missing(attempted, name))
    }

    fn volume(name: VolumeName, sidecar: Sidecar) -> Volume {
        Volume {
            name,
            role: sidecar.role,
            phase: sidecar.phase,
            origin: sidecar.origin,
            image_digest: sidecar.image_digest,
            fs: sidecar.fs,
            size_bytes: sidecar.size_bytes,
            used_bytes: None,
        }
    }

    fn free(&self, attempted: &str, name: &VolumeName) -> Result<()> {
        match image_file::attached(&self.image(name))? {
            Attached::No => Ok(()),
            Attached::ReadOnly | Attached::Writable => Err(rules::busy(attempted, name, "a loop device holds it")),
        }
    }

    fn not_written(&self, attempted: &str, name: &VolumeName) -> Result<()> {
        match image_file::attached(&self.image(name))? {
            Attached::No | Attached::ReadOnly => Ok(()),
            Attached::Writable => Err(rules::busy(attempted, name, "a loop device holds it writable")),
        }
    }

    /// Names with a given suffix in the volumes directory, sorted; files of other names are not ours.
    fn names(&self, suffix: &str) -> Result<Vec<VolumeName>> {
        let volumes = self.volumes();
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&volumes).at("list", &volumes)? {
            let file = entry.at("list", &volumes)?.file_name();
            let name = file.to_str().and_then(|text| text.strip_suffix(suffix)).and_then(|text| text.parse().ok());
            names.extend(name);
        }
        names.sort();
        Ok(names)
    }
}

impl Store for DirectoryStore {
    fn survey(&self) -> Result<StoreSurvey> {
        let mut volumes = Vec::new();
        let mut findings = Vec::new();
        for name in self.names(".json")? {
            let Some(mut volume) = self.find(&name)? else { continue };
            match std::fs::metadata(self.image(&name)) {
                Ok(file) => {
                    volume.used_bytes = Some(std::os::unix::fs::MetadataExt::blocks(&file) * 512);
                    if file.len() != volume.size_bytes {
                        findings.push(format!(
                            "the image file of {} has another size than it was made with",
                            name.as_str()
                        ));
                    }
                }
                Err(error) => findings.push(format!("the image file of {} cannot be read: {error}", name.as_str())),
            }
            volumes.push(volume);
        }
        Ok(StoreSurvey { kind: StoreKind::Directory, volumes, space: space(&self.path)?, findings })
    }

    fn create(&self, new: &NewVolume) -> Result<Ensured> {
        if let Some(found) = self.find(&new.name)? {
            return rules::created_before(new, &found).map(|()| Ensured::Already);
        }
        let image = self.image(&new.name);
        fault::point("store: before create")?;
        image_file::create(&image, new.size_bytes)?;
        filesystem::make(&image, new.fs, Ground::Empty)?;
        File::open(&image).at("open", &image)?.sync_all().at("fsync", &image)?;
        durable::sync_directory(&self.volumes())?;
        fault::point("store: formatted, not yet recorded")?;
        Sidecar::staging(new.role, None, new.fs, new.size_bytes).write(&self.sidecar(&new.name))?;
        Ok(Ensured::Done)
    }

    fn snapshot(&self, origin: &VolumeName, name: &VolumeName, role: Role) -> Result<Ensured> {
        let source = self.expect("snapshot", origin)?;
        if let Some(found) = self.find(name)? {
            return rules::snapshot_taken_before(origin, role, &found).map(|()| Ensured::Already);
        }
        self.not_written("snapshot", origin)?;
        let image = self.image(name);
        fault::point("store: before snapshot")?;
        image_file::copy(&self.image(origin), &image)?;
        // Attached meanwhile: then the copy may be torn. It has no sidecar, so it counts for nothing.
        self.not_written("snapshot", origin)?;
        if role == Role::Layer {
            filesystem::own_uuid(&image, &filesystem::expect(&image)?)?;
            File::open(&image).at("open", &image)?.sync_all().at("fsync", &image)?;
        }
        fault::point("store: copied, not yet recorded")?;
        Sidecar::staging(role, Some(origin.clone()), source.fs, source.size_bytes).write(&self.sidecar(name))?;
        Ok(Ensured::Done)
    }

    fn publish(&self, name: &VolumeName, image_digest: Option<&str>) -> Result<Ensured> {
        let found = self.expect("publish", name)?;
        if rules::publishing(&found, image_digest)? == Ensured::Already {
            return Ok(Ensured::Already);
        }
        self.free("publish", name)?;
        let image = self.image(name);
        File::open(&image).at("open", &image)?.sync_all().at("fsync", &image)?;
        if found.role == Role::Base {
            filesystem::check(&image, found.fs)?;
            fault::point("store: before protecting")?;
            image_file::protect(&image)?;
            fault::point("store: protected, not yet published")?;
        }
        let mut sidecar = self.read_sidecar("publish", name)?;
        sidecar.phase = Phase::Ready;
        sidecar.image_digest = image_digest.map(Into::into);
        sidecar.write(&self.sidecar(name))?;
        Ok(Ensured::Done)
    }

    fn withdraw(&self, name: &VolumeName) -> Result<Ensured> {
        let mut sidecar = self.read_sidecar("withdraw", name)?;
        let ready = sidecar.phase == Phase::Ready;
        self.free("withdraw", name)?;
        if ready {
            sidecar.phase = Phase::Staging;
            sidecar.image_digest = None;
            sidecar.write(&self.sidecar(name))?;
        }
        // Also where it was staging already: the power may have gone just here.
        image_file::unprotect(&self.image(name))?;
        fault::point("store: withdrawn")?;
        Ok(if ready { Ensured::Done } else { Ensured::Already })
    }

    fn remove(&self, name: &VolumeName) -> Result<Ensured> {
        let Some(found) = self.find(name)? else { return Ok(Ensured::Already) };
        rules::removable(&found)?;
        let image = self.image(name);
        if image.exists() {
            self.free("remove", name)?;
        }
        durable::remove(&self.sidecar(name))?;
        image_file::remove(&image)?;
        Ok(Ensured::Done)
    }

    fn mount(&self, name: &VolumeName, access: Access) -> Result<Mounted> {
        let found = self.expect("mount", name)?;
        let manner = mount::manner(&found, access)?;
        let image = self.image(name);
        if manner.writes() {
            self.free("mount", name)?;
            // A base that was withdrawn, or whose publishing was cut off, may still be protected.
            image_file::unprotect(&image)?;
        } else {
            self.not_written("mount", name)?;
        }
        let held = image.clone();
        let after = move |ending| match (image_file::wait_until_free(&held), ending) {
            (Ok(_), _) | (Err(_), Ending::Discard) => Ok(()),
            (Err(error), Ending::Sync) => Err(error),
        };
        mount::mount(&found, Medium::Image(image), &manner, Box::new(after))
    }

    fn raw(&self, name: &VolumeName) -> Result<File> {
        self.expect("open", name)?;
        let image = self.image(name);
        File::open(&image).at("open", &image)
    }

    /// By UUID: the image is a disk of some virtual machine. XFS layers share the UUID of their base, so only one of
    /// them may be attached to a machine.
    fn kernel_root(&self, name: &VolumeName) -> Result<String> {
        self.expect("boot", name)?;
        Ok(format!("root=UUID={}", filesystem::expect(&self.image(name))?.uuid))
    }

    fn heal(&self) -> Result<Vec<String>> {
        let mut done = Vec::new();
        let volumes = self.volumes();
        for name in self.names(".img")? {
            if self.find(&name)?.is_none() {
                self.free("remove the unfinished", &name)?;
                image_file::remove(&self.image(&name))?;
                done.push(format!("removed the unfinished volume {}", name.as_str()));
            }
        }
        for entry in std::fs::read_dir(&volumes).at("list", &volumes)? {
            let path = entry.at("list", &volumes)?.path();
            if is_temporary(&path) && durable::remove(&path)? {
                done.push(format!("removed the unfinished file {}", path.display()));
            }
        }
        Ok(done)
    }
}

impl DirectoryStore {
    fn read_sidecar(&self, attempted: &str, name: &VolumeName) -> Result<Sidecar> {
        Sidecar::read(&self.sidecar(name))?.ok_or_else(|| rules::missing(attempted, name))
    }
}

fn is_temporary(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(durable::TEMP_PREFIX))
}

fn space(path: &Path) -> Result<Space> {
    let fs = rustix::fs::statvfs(path).at("read the free space of", path)?;
    let total = fs.f_blocks * fs.f_frsize;
    // What only root may use counts as used: an update must not take a host's last reserve.
    let free = fs.f_bavail * fs.f_frsize;
    Ok(Space { data_total_bytes: total, data_used_bytes: total.saturating_sub(free), ..Space::default() })
}
