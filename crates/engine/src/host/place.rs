//! Where a host's store is, and opening or making it.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use thinroot_core::inventory::{FsKind, Role};
use thinroot_core::name::LayerName;

use super::{Host, Parts};
use crate::boot::{BootDir, SELECTION_FILE};
use crate::cmd::Cmd;
use crate::durable;
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::records::Records;
use crate::store::directory::DirectoryStore;
use crate::store::lvm_thin::{LvmThinStore, RootVolume};
use crate::store::{Access, NewVolume, Store};

/// Size of the record volume on LVM, thin: what is written counts.
pub(crate) const RECORDS_BYTES: u64 = 256 << 20;

/// Where a host's boot directory may be mounted.
const BOOT_DIRS: [&str; 3] = ["/boot", "/efi", "/boot/efi"];

/// Which store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreRef {
    /// `dir:PATH`.
    Directory(PathBuf),
    /// `lvm:VG/POOL`.
    LvmThin {
        /// Volume group.
        vg: String,
        /// Thin pool.
        pool: String,
    },
}

impl FromStr for StoreRef {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("'{text}' names no store: write dir:PATH or lvm:VG/POOL");
        match text.split_once(':') {
            Some(("dir", path)) if !path.is_empty() => Ok(StoreRef::Directory(path.into())),
            Some(("lvm", rest)) => {
                let legal =
                    |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.+-".contains(&b));
                let (vg, pool) = rest.split_once('/').filter(|(v, p)| legal(v) && legal(p)).ok_or_else(bad)?;
                Ok(StoreRef::LvmThin { vg: vg.into(), pool: pool.into() })
            }
            Some(_) | None => Err(bad()),
        }
    }
}

impl StoreRef {
    /// The store that the running layer is in; none where no layer runs, or not from a thin pool.
    pub fn of_booted() -> Result<Option<StoreRef>> {
        if let Some(RootVolume { vg, pool: Some(pool), layer, .. }) = RootVolume::of_running()? {
            // Without a layer, but with records: adopting this host was interrupted.
            if layer.is_some() || LvmThinStore::has_records(&vg, &pool)? {
                return Ok(Some(StoreRef::LvmThin { vg, pool }));
            }
        }
        StoreRef::of_command_line(&kernel_command_line()?)
    }

    /// As [`StoreRef::of_booted`], by the words that every boot entry of ours has: the layer, and its logical volume.
    pub fn of_command_line(line: &str) -> Result<Option<StoreRef>> {
        let Some(layer) = layer_of(line)? else { return Ok(None) };
        let volumes = line.split_whitespace().filter_map(|word| word.strip_prefix("rd.lvm.lv=")?.split_once('/'));
        let Some((vg, lv)) = volumes.into_iter().find(|(_, lv)| *lv == layer.volume().as_str()) else {
            return Ok(None);
        };
        let cmd = Cmd::new("lvs").args(["--noheadings", "-o", "pool_lv"]).arg(format!("{vg}/{lv}"));
        let pool = cmd.run().map_err(|error| Error::failed("find the store of the running layer", error))?;
        Ok(format!("lvm:{vg}/{}", pool.trim()).parse().ok())
    }
}

impl fmt::Display for StoreRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreRef::Directory(path) => write!(f, "dir:{}", path.display()),
            StoreRef::LvmThin { vg, pool } => write!(f, "lvm:{vg}/{pool}"),
        }
    }
}

/// A store and the boot directory that belongs to it.
#[derive(Debug, Clone)]
pub struct Place {
    /// The store.
    pub store: StoreRef,
    /// Without it: `PATH/boot` of a directory store; for LVM the one of `/boot`, `/efi` and `/boot/efi` that has our
    /// selection, else that of an adoption that was interrupted, else `/boot`.
    pub boot_dir: Option<PathBuf>,
}

impl Place {
    fn boot_path(&self) -> PathBuf {
        self.boot_path_if_certain().unwrap_or_else(|| BOOT_DIRS[0].into())
    }

    fn boot_path_if_certain(&self) -> Option<PathBuf> {
        match (&self.boot_dir, &self.store) {
            (Some(path), _) => Some(path.clone()),
            (None, StoreRef::Directory(path)) => Some(path.join("boot")),
            (None, StoreRef::LvmThin { .. }) => {
                let ours = BOOT_DIRS.into_iter().find(|dir| Path::new(dir).join(SELECTION_FILE).is_file());
                ours.map(Into::into)
            }
        }
    }

    /// Opens what is there.
    pub fn open(&self) -> Result<Host> {
        match &self.store {
            StoreRef::Directory(path) => {
                let store = DirectoryStore::open(path)?;
                self.assemble(Box::new(store), &path.join("lock"), None, Some(path.join("records")))
            }
            StoreRef::LvmThin { vg, pool } => {
                let store = LvmThinStore::open(vg, pool)?;
                let lock = lvm_lock(vg, pool)?;
                self.assemble(Box::new(store), &lock, booted_layer(vg)?, None)
            }
        }
    }

    /// Makes the records of an empty store in the pool that this host runs from.
    pub fn init_under_root(&self) -> Result<Host> {
        match &self.store {
            StoreRef::Directory(_) => self.init(),
            StoreRef::LvmThin { vg, pool } => {
                LvmThinStore::init_under_root(vg, pool)?;
                self.open()
            }
        }
    }

    /// Makes an empty store.
    pub fn init(&self) -> Result<Host> {
        match &self.store {
            StoreRef::Directory(path) => DirectoryStore::init(path).map(|_| ())?,
            StoreRef::LvmThin { vg, pool } => LvmThinStore::init(vg, pool).map(|_| ())?,
        }
        durable::create_dir_all(&self.boot_path())?;
        self.open()
    }

    fn assemble(
        &self,
        store: Box<dyn Store>,
        lock_path: &Path,
        booted: Option<LayerName>,
        records_dir: Option<PathBuf>,
    ) -> Result<Host> {
        let (records, records_mount) = match records_dir {
            Some(dir) => (Records::open(&dir)?, None),
            None => {
                let name = records_volume(store.as_ref())?;
                let mounted = store.mount(&name, Access::WriteLayer)?;
                (Records::open(mounted.path())?, Some(mounted))
            }
        };
        let path = match self.boot_path_if_certain() {
            Some(path) => path,
            None => records.adoption()?.map_or_else(|| self.boot_path(), |adoption| adoption.boot_dir.into()),
        };
        let boot = BootDir::open(&path)?;
        Ok(Host::new(Parts { store, boot, records, records_mount, booted, lock_path: lock_path.into() }))
    }
}

/// The record volume; a lost one is made again, since losing it may degrade but never brick.
fn records_volume(store: &dyn Store) -> Result<thinroot_core::name::VolumeName> {
    let survey = store.survey()?;
    if let Some(volume) = survey.volumes.iter().find(|volume| volume.role == Role::Records) {
        if volume.phase == thinroot_core::inventory::Phase::Staging {
            store.publish(&volume.name, None)?;
        }
        return Ok(volume.name.clone());
    }
    let name: thinroot_core::name::VolumeName = "thinroot".parse().expect("a constant name");
    let new = NewVolume { name: name.clone(), role: Role::Records, fs: FsKind::Ext4, size_bytes: RECORDS_BYTES };
    store.create(&new)?;
    store.publish(&name, None)?;
    Ok(name)
}

/// On a volume of this boot only: a lock must not outlive its holder.
fn lvm_lock(vg: &str, pool: &str) -> Result<PathBuf> {
    let dir = Path::new("/run/lock/thinroot");
    fs::create_dir_all(dir).at("create", dir)?;
    Ok(dir.join(format!("{vg}.{pool}")))
}

/// The layer of this volume group that this host runs; a store on another disk, as one that is being installed, has none.
/// Told by what is mounted at `/`: an adopted host was not booted by an entry of ours, and a soft reboot keeps the command
/// line of the boot before. Where that is no volume of ours (a root that lies over it, say) by the word that each entry of
/// ours has.
fn booted_layer(vg: &str) -> Result<Option<LayerName>> {
    if let Some(root) = RootVolume::of_running()?
        && let Some(layer) = root.layer
    {
        return Ok((root.vg == vg).then_some(layer));
    }
    let line = kernel_command_line()?;
    let groups: Vec<&str> =
        line.split_whitespace().filter_map(|word| Some(word.strip_prefix("rd.lvm.lv=")?.split_once('/')?.0)).collect();
    if groups.is_empty() || groups.contains(&vg) { layer_of(&line) } else { Ok(None) }
}

pub(super) fn kernel_command_line() -> Result<String> {
    let path = Path::new("/proc/cmdline");
    fs::read_to_string(path).at("read", path)
}

pub(super) fn layer_of(line: &str) -> Result<Option<LayerName>> {
    match line.split_whitespace().find_map(|word| word.strip_prefix("thinroot.layer=")) {
        None => Ok(None),
        Some(name) => name
            .parse()
            .map(Some)
            .map_err(|e| Error::new(ErrorKind::Damaged, "read the booted layer from the kernel command line", e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_layer_or_its_volume_no_store_is_found() {
        let layer = "thinroot.layer=node-1-0+1";
        for line in ["quiet rd.lvm.lv=vg0/root", "root=/dev/vda thinroot.layer=node-1-0+1"] {
            assert_eq!(StoreRef::of_command_line(line).unwrap(), None, "{line}");
        }
        assert_eq!(StoreRef::of_command_line(&format!("rd.lvm.lv=vg0/swap {layer}")).unwrap(), None);
        assert!(StoreRef::of_command_line("thinroot.layer=x").is_err());
    }

    #[test]
    fn store_references_parse_and_print() {
        for text in ["dir:/srv/store", "dir:relative", "lvm:vg0/pool-1"] {
            assert_eq!(text.parse::<StoreRef>().unwrap().to_string(), text);
        }
        for text in ["", "/srv/store", "dir:", "lvm:vg0", "lvm:vg0/", "lvm:../x/y", "lvm:a b/c", "zfs:x"] {
            assert!(text.parse::<StoreRef>().is_err(), "{text}");
        }
    }
}
