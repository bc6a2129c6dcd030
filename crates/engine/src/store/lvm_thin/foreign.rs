//! Volumes that were there before us: which of them the host runs from, taking one as it is, and giving it back.
//!
//! Separate because nothing else touches a volume that we did not make. Must stay true: taking a layer and giving it back
//! change tags and nothing else, each in one commit of LVM's metadata; no name changes, so whatever names the volume (the
//! command line, fstab, other boot entries) goes on working.

use std::fs;
use std::path::Path;

use thinroot_core::inventory::{FsKind, Phase, Role};
use thinroot_core::name::{LayerName, VolumeName};

use super::report::Lv;
use super::{LvmThinStore, Making, act, filesystem, is_unfinished, report, rules, tags};
use crate::cmd::Cmd;
use crate::error::{Error, Result};
use crate::store::Ensured;
use crate::store::mount;

/// Ending of the logical volume of a base where the volume that it is made from has its name.
const BASE_SUFFIX: &str = ".base";

/// The logical volume that this process sees mounted at `/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootVolume {
    /// Its volume group.
    pub vg: String,
    /// Its name.
    pub lv: String,
    /// Its thin pool; none where it is no thin volume.
    pub pool: Option<String>,
    /// The layer that it is; none where it is not ours.
    pub layer: Option<LayerName>,
}

/// A logical volume of the pool that is not ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Foreign {
    /// Its name.
    pub lv: String,
    /// Its tags.
    pub tags: Vec<String>,
}

impl RootVolume {
    /// None where the root is on no logical volume. The kernel is asked first, so that a host without LVM runs none of its
    /// programs.
    pub fn of_running() -> Result<Option<RootVolume>> {
        // What is mounted last at a place is what is seen there.
        let Some(line) = mount::mounts()?.into_iter().rfind(|line| line.point == Path::new("/")) else {
            return Ok(None);
        };
        let dm = Path::new("/sys/dev/block").join(&line.device).join("dm");
        let read = |name: &str| fs::read_to_string(dm.join(name)).unwrap_or_default().trim().to_string();
        if !read("uuid").starts_with("LVM-") {
            return Ok(None);
        }
        let cmd = Cmd::new("lvs")
            .args(["--reportformat", "json", "--units", "b", "--nosuffix", "-o"])
            .arg(format!("vg_name,{}", report::COLUMNS))
            .arg(Path::new("/dev/mapper").join(read("name")));
        let found = report::parse_one(&cmd.run().map_err(|error| Error::failed("look at the volume of /", error))?);
        let (vg, lv) = found.map_err(|why| Error::damaged(format!("understand `{cmd}`"), why))?;
        let volume = tags::volume(&lv).map_err(|why| Error::damaged("look at the volume of /", why))?;
        let layer =
            volume.filter(|volume| volume.role == Role::Layer).and_then(|volume| volume.name.as_str().parse().ok());
        Ok(Some(RootVolume { vg, lv: lv.name, pool: lv.pool, layer }))
    }
}

impl LvmThinStore {
    /// Thin volumes of the pool that are not ours.
    pub fn foreign(vg: &str, pool: &str) -> Result<Vec<Foreign>> {
        let store = Self::open(vg, pool)?;
        let lvs = store.look()?;
        let in_pool = lvs.into_iter().filter(|lv| lv.pool.as_deref() == Some(pool));
        let foreign = in_pool.filter(|lv| matches!(tags::volume(lv), Ok(None)));
        Ok(foreign.map(|lv| Foreign { lv: lv.name, tags: lv.tags }).collect())
    }

    /// Whether the pool has records of ours.
    pub fn has_records(vg: &str, pool: &str) -> Result<bool> {
        let store = Self::open(vg, pool)?;
        let lvs = store.look()?;
        let (ours, _) = store.ours(&lvs);
        Ok(ours.iter().any(|(volume, _)| volume.role == Role::Records))
    }

    /// Undoes [`LvmThinStore::init_under_root`] where nothing but the records is left.
    pub fn dissolve(vg: &str, pool: &str) -> Result<()> {
        let store = Self::open(vg, pool)?;
        let lvs = store.look()?;
        let (ours, _) = store.ours(&lvs);
        if let Some((volume, _)) = ours.iter().find(|(volume, _)| volume.role != Role::Records) {
            let why = format!("{} is still there", volume.name);
            return Err(Error::refused(format!("remove the records of {vg}/{pool}"), why));
        }
        for (volume, lv) in &ours {
            store.unused("remove", lv, &volume.name)?;
            act("remove the records", &Cmd::new("lvremove").args(["-q", "-f", "-y"]).arg(store.path(&lv.name)))?;
        }
        Ok(())
    }

    fn foreign_volume<'a>(&self, lvs: &'a [Lv], attempted: &str, lv: &str) -> Result<&'a Lv> {
        let found = lvs.iter().find(|found| found.name == lv);
        found.filter(|found| found.pool.as_ref() == Some(&self.pool)).ok_or_else(|| {
            Error::refused(attempted, format!("{}/{lv} is no thin volume of pool {}", self.vg, self.pool))
        })
    }

    fn fs_of(&self, lv: &Lv) -> Result<FsKind> {
        self.activate(lv)?;
        filesystem::expect(&self.device(&lv.name)).map(|found| found.fs)
    }

    /// Leaves a volume as it was found.
    fn asleep_again(&self, lv: &Lv) -> Result<()> {
        if lv.active { Ok(()) } else { self.change("deactivate", &lv.name, &["-an"]) }
    }

    /// A staging base as a snapshot of a volume that may be mounted: device-mapper holds its file system still meanwhile.
    pub(super) fn take_base(&self, origin: &str, name: &VolumeName) -> Result<Ensured> {
        let attempted = format!("take base {name} from {}/{origin}", self.vg);
        let lvs = self.look()?;
        let source = self.foreign_volume(&lvs, &attempted, origin)?;
        let named = lvs.iter().find(|lv| tags::volume_name(lv) == name.as_str() && lv.name != origin);
        if let Some(lv) = named {
            let found = tags::volume(lv).map_err(|why| Error::damaged(attempted.clone(), why))?;
            if found.is_none_or(|found| (found.role, found.phase) != (Role::Base, Phase::Staging)) {
                return Err(Error::refused(attempted, format!("another volume {} is there already", lv.name)));
            }
            if !is_unfinished(lv) {
                return Ok(Ensured::Already);
            }
            self.activate(lv)?;
            self.complete(&lv.name, Making::Settled)?;
            return Ok(Ensured::Done);
        }
        let fs = self.fs_of(source)?;
        let lv = if origin == name.as_str() { format!("{name}{BASE_SUFFIX}") } else { name.to_string() };
        let cmd = Cmd::new("lvcreate")
            .args(["-y", "-q", "-s", "-kn", "-prw", "-n", &lv, "--addtag", tags::STAGING, "--addtag", tags::UNFINISHED])
            .args([
                "--addtag",
                &tags::role(Role::Base),
                "--addtag",
                &tags::fs(fs),
                "--addtag",
                &tags::name(name.as_str()),
            ])
            .arg(self.path(origin));
        act("take base", &cmd)?;
        self.asleep_again(source)?;
        self.complete(&lv, Making::Settled)?;
        Ok(Ensured::Done)
    }

    /// Marks a volume as a layer of ours, wherever it is mounted.
    pub(super) fn take_layer(&self, lv: &str, name: &VolumeName) -> Result<Ensured> {
        let attempted = format!("adopt {}/{lv} as layer {name}", self.vg);
        let lvs = self.look()?;
        let source = self.foreign_volume(&lvs, &attempted, lv)?;
        match tags::volume(source).map_err(|why| Error::damaged(attempted.clone(), why))? {
            Some(found) if found.name == *name && found.role == Role::Layer => return Ok(Ensured::Already),
            Some(found) => return Err(Error::refused(attempted, format!("it is {} already", found.name))),
            None => {}
        }
        if self.find(&lvs, name).is_ok_and(|found| found.is_some()) {
            return Err(rules::taken(&attempted, "is ours"));
        }
        let fs = self.fs_of(source)?;
        let tags = [tags::role(Role::Layer), tags::fs(fs), tags::name(name.as_str()), tags::ADOPTED.into()];
        let args: Vec<&str> = tags.iter().flat_map(|tag| ["--addtag", tag]).collect();
        self.change("adopt", lv, &args)?;
        self.asleep_again(source)?;
        Ok(Ensured::Done)
    }

    /// Takes the marks off an adopted layer.
    pub(super) fn untag_layer(&self, name: &VolumeName) -> Result<Ensured> {
        let lvs = self.look()?;
        let Some((found, lv)) = self.find(&lvs, name).ok().flatten() else { return Ok(Ensured::Already) };
        if found.role != Role::Layer || !lv.tags.iter().any(|tag| tag == tags::ADOPTED) {
            return Err(Error::refused(format!("let go of {name}"), "it was not there before us"));
        }
        let tags = [tags::role(found.role), tags::fs(found.fs), tags::name(name.as_str()), tags::ADOPTED.into()];
        let args: Vec<&str> = tags.iter().flat_map(|tag| ["--deltag", tag]).collect();
        self.change("let go", &lv.name, &args)?;
        Ok(Ensured::Done)
    }
}
