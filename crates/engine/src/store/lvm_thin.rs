//! The LVM store: each volume a thin volume of one pool, a snapshot costs what is written after it.
//!
//! Separate because this is the product; everything is done by lvm2's own commands and confined to one volume group.
//! Must stay true:
//! - one `lvcreate` makes a volume with its tags, so that no cut leaves one that nobody knows (LVM writes the tags with the
//!   first metadata version that names the volume);
//! - publishing and withdrawing commit in one `lvchange`, which is one version of LVM's metadata however many tags it
//!   changes;
//! - a sealed base is read-only in LVM's metadata, not activated with the volume group, and inactive unless looked at.

mod foreign;
mod heal;
mod names;
mod pool;
mod report;
mod setup;
mod tags;

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use thinroot_core::inventory::{FsKind, Phase, Role, Volume};
use thinroot_core::name::VolumeName;

pub use self::foreign::{Foreign, RootVolume};
pub use self::setup::PoolSize;

use self::names::{check_lvm_name, dm_name, tpool};
use self::report::Lv;
use super::filesystem::{self, Ground};
use super::mount::{self, Medium, MountLine};
use super::rules;
use super::{Access, Ensured, Mounted, NewVolume, Store, StoreKind, StoreSurvey};
use crate::cmd::Cmd;
use crate::error::{Error, IoContext, Result};
use crate::fault;

/// A store in a thin pool.
#[derive(Debug, Clone)]
pub struct LvmThinStore {
    vg: String,
    pool: String,
}

impl LvmThinStore {
    /// Opens a store.
    pub fn open(vg: &str, pool: &str) -> Result<Self> {
        check_lvm_name(vg)?;
        check_lvm_name(pool)?;
        let store = LvmThinStore { vg: vg.into(), pool: pool.into() };
        store.pool(&store.look()?)?;
        Ok(store)
    }

    /// Everything in the volume group, by one command.
    fn look(&self) -> Result<Vec<Lv>> {
        let cmd = Cmd::new("lvs")
            .args(["--reportformat", "json", "--units", "b", "--nosuffix", "-o", report::COLUMNS])
            .arg(&self.vg);
        report::parse(&cmd.run()?).map_err(|why| Error::damaged(format!("understand `{cmd}`"), why))
    }

    fn pool<'a>(&self, lvs: &'a [Lv]) -> Result<&'a Lv> {
        lvs.iter().find(|lv| lv.name == self.pool && lv.is_pool).ok_or_else(|| {
            Error::refused(format!("open the store {}/{}", self.vg, self.pool), "there is no thin pool of this name")
        })
    }

    /// Our volumes, sorted, each with what LVM says of it; and what is wrong with the tags of others.
    fn ours<'a>(&self, lvs: &'a [Lv]) -> (Vec<(Volume, &'a Lv)>, Vec<String>) {
        let (mut ours, mut findings) = (Vec::new(), Vec::new());
        for lv in lvs.iter().filter(|lv| lv.pool.as_ref() == Some(&self.pool)) {
            match tags::volume(lv) {
                Ok(Some(volume)) => ours.push((volume, lv)),
                Ok(None) => {}
                Err(why) => findings.push(why),
            }
        }
        // LVM names an origin by its logical volume.
        let called = |name: &VolumeName| {
            let lv = lvs.iter().find(|lv| lv.name == name.as_str());
            lv.and_then(|lv| tags::volume_name(lv).parse().ok()).unwrap_or_else(|| name.clone())
        };
        ours.iter_mut().for_each(|(volume, _)| volume.origin = volume.origin.as_ref().map(called));
        ours.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
        (ours, findings)
    }

    fn find<'a>(&self, lvs: &'a [Lv], name: &VolumeName) -> Result<Option<(Volume, &'a Lv)>> {
        // Ours first: the volume that a base was made from may have its name too.
        let ours = |lv: &&Lv| tags::volume_name(lv) == name.as_str() && !matches!(tags::volume(lv), Ok(None));
        let called = lvs.iter().find(ours);
        let Some(lv) = called.or_else(|| lvs.iter().find(|lv| lv.name == name.as_str())) else { return Ok(None) };
        let attempted = format!("use {}/{}", self.vg, name.as_str());
        match tags::volume(lv) {
            Ok(Some(volume)) if volume.name == *name && lv.pool.as_ref() == Some(&self.pool) => Ok(Some((volume, lv))),
            Ok(_) => Err(Error::refused(attempted, "a logical volume of this name exists and is not ours")),
            Err(why) => Err(Error::damaged(attempted, why)),
        }
    }

    fn expect<'a>(&self, lvs: &'a [Lv], attempted: &str, name: &VolumeName) -> Result<(Volume, &'a Lv)> {
        self.find(lvs, name)?.ok_or_else(|| rules::missing(attempted, name))
    }

    /// As LVM's commands want it.
    fn path(&self, lv: &str) -> String {
        format!("{}/{lv}", self.vg)
    }

    fn device(&self, lv: &str) -> PathBuf {
        Path::new("/dev/mapper").join(dm_name(&self.vg, lv))
    }

    fn change(&self, what: &str, lv: &str, args: &[&str]) -> Result<()> {
        act(what, &Cmd::new("lvchange").arg("-q").args(args).arg(self.path(lv)))
    }

    /// Activates a volume, also one that is skipped when its group is; whether it had to.
    fn activate(&self, lv: &Lv) -> Result<bool> {
        if lv.active {
            return Ok(false);
        }
        Cmd::new("lvchange").args(["-q", "-ay", "-K"]).arg(self.path(&lv.name)).run()?;
        Ok(true)
    }

    /// Where this process sees the whole volume mounted.
    fn mounted_at(&self, lv: &Lv) -> Result<Option<MountLine>> {
        if !lv.active {
            return Ok(None);
        }
        let device = self.device(&lv.name);
        let number = std::fs::metadata(&device).at("read", &device)?.rdev();
        let number = format!("{}:{}", rustix::fs::major(number), rustix::fs::minor(number));
        Ok(mount::mounts()?.into_iter().find(|line| line.device == number && line.root == "/"))
    }

    fn unused(&self, attempted: &str, lv: &Lv, name: &VolumeName) -> Result<()> {
        if !lv.open {
            return Ok(());
        }
        Err(match self.mounted_at(lv)? {
            Some(line) => rules::busy(attempted, name, &format!("it is mounted at {}", line.point.display())),
            None => rules::busy(attempted, name, "a process or another mount namespace holds its device open"),
        })
    }

    /// What follows the naming of a new volume; done again where a cut left the mark of an unfinished one.
    fn complete(&self, lv: &str, making: Making) -> Result<()> {
        let device = self.device(lv);
        match making {
            Making::FileSystem(fs, ground) => filesystem::make(&device, fs, ground)?,
            Making::OwnUuid => {
                filesystem::own_uuid(&device, &filesystem::expect(&device)?)?;
            }
            Making::Settled => filesystem::settle(&device)?,
        }
        File::open(&device).at("open", &device)?.sync_all().at("fsync", &device)?;
        self.change("note as finished", lv, &["--deltag", tags::UNFINISHED])
    }

    fn kernel_status(&self) -> Result<pool::Status> {
        // Before its first volume a pool is active under its own name, later as the device below that.
        let layered = tpool(&self.vg, &self.pool);
        let device =
            if Path::new("/dev/mapper").join(&layered).exists() { layered } else { dm_name(&self.vg, &self.pool) };
        let cmd = Cmd::new("dmsetup").args(["status", &device]);
        pool::parse_status(&cmd.run()?).map_err(|why| Error::damaged(format!("look at pool {}", self.pool), why))
    }
}

/// What is left to do after LVM has made a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Making {
    FileSystem(FsKind, Ground),
    OwnUuid,
    /// What was open when the snapshot was taken is closed, so that nothing has to be replayed in a base.
    Settled,
}

impl Store for LvmThinStore {
    fn survey(&self) -> Result<StoreSurvey> {
        let lvs = self.look()?;
        let pool = self.pool(&lvs)?;
        let (ours, mut findings) = self.ours(&lvs);
        let status = if pool.active { Some(self.kernel_status()?) } else { None };
        let autoextend = if pool::could_be_extended(pool) { None } else { Some(autoextend_threshold()?) };
        findings.extend(pool::findings(pool, status.as_ref(), autoextend));
        for (volume, lv) in &ours {
            if volume.role == Role::Base && volume.phase == Phase::Ready && !lv.read_only {
                findings.push(format!("the sealed base {} is writable; verify it", lv.name));
            }
        }
        Ok(StoreSurvey {
            kind: StoreKind::LvmThin,
            volumes: ours.into_iter().map(|(volume, _)| volume).collect(),
            space: pool::space(pool, status.as_ref()),
            findings,
        })
    }

    fn create(&self, new: &NewVolume) -> Result<Ensured> {
        let lvs = self.look()?;
        if let Some((found, lv)) = self.find(&lvs, &new.name)? {
            rules::created_before(new, &found)?;
            if !is_unfinished(lv) {
                return Ok(Ensured::Already);
            }
            self.activate(lv)?;
            self.complete(&lv.name, Making::FileSystem(new.fs, Ground::Used))?;
            return Ok(Ensured::Done);
        }
        let cmd = Cmd::new("lvcreate")
            .args(["-y", "-q", "-V", &format!("{}b", new.size_bytes), "-T", &self.path(&self.pool)])
            .args(["-n", new.name.as_str(), "--addtag", tags::STAGING, "--addtag", tags::UNFINISHED])
            .args(["--addtag", &tags::role(new.role), "--addtag", &tags::fs(new.fs)]);
        act("create", &cmd)?;
        self.complete(new.name.as_str(), Making::FileSystem(new.fs, Ground::Empty))?;
        Ok(Ensured::Done)
    }

    /// The origin may be in use: device-mapper holds its file system still for the moment.
    fn snapshot(&self, origin: &VolumeName, name: &VolumeName, role: Role) -> Result<Ensured> {
        let lvs = self.look()?;
        let (known, source) = self.expect(&lvs, "snapshot", origin)?;
        if is_unfinished(source) {
            return Err(Error::refused(format!("snapshot {}", origin.as_str()), "its making was not completed"));
        }
        if let Some((found, lv)) = self.find(&lvs, name)? {
            rules::snapshot_taken_before(origin, role, &found)?;
            if !is_unfinished(lv) {
                return Ok(Ensured::Already);
            }
            self.activate(lv)?;
            self.complete(&lv.name, Making::OwnUuid)?;
            return Ok(Ensured::Done);
        }
        let unfinished = role == Role::Layer && known.fs == FsKind::Ext4;
        let mut cmd = Cmd::new("lvcreate")
            .args(["-y", "-q", "-s", "-kn", "-prw", "-n", name.as_str(), "--addtag", tags::STAGING])
            .args(["--addtag", &tags::role(role), "--addtag", &tags::fs(known.fs)]);
        if unfinished {
            cmd = cmd.args(["--addtag", tags::UNFINISHED]);
        }
        act("snapshot", &cmd.arg(self.path(&source.name)))?;
        if unfinished {
            self.complete(name.as_str(), Making::OwnUuid)?;
        }
        Ok(Ensured::Done)
    }

    fn publish(&self, name: &VolumeName, image_digest: Option<&str>) -> Result<Ensured> {
        let lvs = self.look()?;
        let (found, lv) = self.expect(&lvs, "publish", name)?;
        if rules::publishing(&found, image_digest)? == Ensured::Already {
            return Ok(Ensured::Already);
        }
        if is_unfinished(lv) {
            return Err(Error::refused(format!("publish {}", name.as_str()), "its making was not completed")
                .mend("create it again"));
        }
        self.unused("publish", lv, name)?;
        let Some(digest) = image_digest else {
            self.change("publish", &lv.name, &["--deltag", tags::STAGING])?;
            return Ok(Ensured::Done);
        };
        self.activate(lv)?;
        filesystem::check(&self.device(&lv.name), found.fs)?;
        // Before the commit, so that nothing can fail after it.
        self.change("deactivate", &lv.name, &["-an"])?;
        if !lv.read_only {
            self.change("make read-only", &lv.name, &["-pr", "-ky"])?;
        }
        self.change("publish", &lv.name, &["--deltag", tags::STAGING, "--addtag", &tags::image(digest)])?;
        Ok(Ensured::Done)
    }

    fn withdraw(&self, name: &VolumeName) -> Result<Ensured> {
        let lvs = self.look()?;
        let (found, lv) = self.expect(&lvs, "withdraw", name)?;
        let ready = found.phase == Phase::Ready;
        if ready {
            self.unused("withdraw", lv, name)?;
            let image = found.image_digest.as_deref().map(tags::image);
            let mut args = vec!["--addtag", tags::STAGING];
            args.extend(image.iter().flat_map(|tag| ["--deltag", tag]));
            self.change("withdraw", &lv.name, &args)?;
        }
        // Also where it was staging already: the power may have gone just here.
        if lv.read_only {
            self.change("make writable", &lv.name, &["-prw", "-kn"])?;
        }
        Ok(if ready { Ensured::Done } else { Ensured::Already })
    }

    fn remove(&self, name: &VolumeName) -> Result<Ensured> {
        let lvs = self.look()?;
        let Some((found, lv)) = self.find(&lvs, name)? else { return Ok(Ensured::Already) };
        rules::removable(&found)?;
        self.unused("remove", lv, name)?;
        act("remove", &Cmd::new("lvremove").args(["-q", "-f", "-y"]).arg(self.path(&lv.name)))?;
        Ok(Ensured::Done)
    }

    /// A volume that is mounted already (the booted layer at `/`) is shown a second time for inspection.
    fn mount(&self, name: &VolumeName, access: Access) -> Result<Mounted> {
        let lvs = self.look()?;
        let (found, lv) = self.expect(&lvs, "mount", name)?;
        let manner = mount::manner(&found, access)?;
        if is_unfinished(lv) {
            return Err(Error::refused(format!("mount {}", name.as_str()), "its making was not completed")
                .mend("create it again"));
        }
        if let Some(line) = self.mounted_at(lv)? {
            match (access, found.role) {
                (Access::Inspect, _) => return mount::bind(name.as_str(), &line.point, true, Box::new(|_| Ok(()))),
                // Our own records are mounted by the running layer, and written by every run.
                (Access::WriteLayer, Role::Records) => {
                    return mount::bind(name.as_str(), &line.point, false, Box::new(|_| Ok(())));
                }
                (Access::WriteBase | Access::WriteLayer, _) => {}
            }
        }
        // A run in a mount namespace of its own has the records mounted while it works, and reading needs no lock: the
        // kernel shows one file system in both places.
        if found.role != Role::Records {
            self.unused("mount", lv, name)?;
        }
        if manner.writes() && lv.read_only {
            // Its publishing or withdrawing was cut off.
            self.change("make writable", &lv.name, &["-prw", "-kn"])?;
        }
        let activated = self.activate(lv)?;
        let asleep = activated && found.role == Role::Base && found.phase == Phase::Ready;
        let (store, base) = (self.clone(), lv.name.clone());
        let after = move |_| {
            if asleep {
                // Only tidiness: a sealed base that stays active, because somebody looks at it too, is as read-only.
                let _ = store.change("deactivate", &base, &["-an"]);
            }
            Ok(())
        };
        mount::mount(&found, Medium::Device(self.device(&lv.name)), &manner, Box::new(after))
    }

    /// Leaves a sealed base active: nobody could say when its reader is done.
    fn raw(&self, name: &VolumeName) -> Result<File> {
        let lvs = self.look()?;
        let (_, lv) = self.expect(&lvs, "open", name)?;
        self.activate(lv)?;
        let device = self.device(&lv.name);
        File::open(&device).at("open", &device)
    }

    /// The mapper path for initramfs-tools, which activates what it names; `rd.lvm.lv` for dracut.
    fn kernel_root(&self, name: &VolumeName) -> Result<String> {
        let lvs = self.look()?;
        let (_, lv) = self.expect(&lvs, "boot", name)?;
        Ok(format!("root={} rd.lvm.lv={}", self.device(&lv.name).display(), self.path(&lv.name)))
    }

    fn adopt(&self, lv: &str, name: &VolumeName, role: Role) -> Result<Ensured> {
        match role {
            Role::Base => self.take_base(lv, name),
            Role::Layer => self.take_layer(lv, name),
            Role::Frozen | Role::Shared | Role::Records => {
                Err(Error::refused(format!("adopt {lv}"), format!("a volume cannot be adopted as {}", role.as_str())))
            }
        }
    }

    fn let_go(&self, name: &VolumeName) -> Result<Ensured> {
        self.untag_layer(name)
    }

    fn heal(&self) -> Result<Vec<String>> {
        self.mend_cut_changes()
    }
}

/// LVM's effective setting, whichever of its files it comes from.
fn autoextend_threshold() -> Result<u64> {
    let cmd = Cmd::new("lvmconfig").args(["--type", "full", "activation/thin_pool_autoextend_threshold"]);
    let text = cmd.run()?;
    let value = text.trim().split_once('=').and_then(|(_, value)| value.parse().ok());
    value.ok_or_else(|| Error::damaged(format!("understand `{cmd}`"), format!("it says {text:?}")))
}

fn is_unfinished(lv: &Lv) -> bool {
    lv.tags.iter().any(|tag| tag == tags::UNFINISHED)
}

/// Runs a command that changes something, between its two fault points.
fn act(what: &str, cmd: &Cmd) -> Result<()> {
    fault::point(&format!("lvm: before {what}"))?;
    cmd.run()?;
    fault::point(&format!("lvm: after {what}"))
}
