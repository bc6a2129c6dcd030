//! Adopting a host that was installed by other means, and giving it back.
//!
//! ```text
//! survey (root, loader, kernel, package manager) -> proposal -> plan of steps, journaled like any other
//! ```
//!
//! The running root becomes a layer where it is: it keeps its volume, its name, and the boot entries it had. Its base is a
//! snapshot of it with what its packages shipped, so that whatever was changed before counts as state.

pub mod originals;
pub mod restore;
pub(crate) mod survey;
pub mod vendor;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use thinroot_core::adopt::{Adopted, Adoption, Deviation, removal_counts};
use thinroot_core::boot::AdminChange;
use thinroot_core::install::Loader;
use thinroot_core::inventory::{Inventory, Role};
use thinroot_core::name::{ImageId, LayerName, compare_versions};
use thinroot_core::path::TreePath;
use thinroot_core::plan::{Need, Plan, Room, Seed, adopt as planning};
use thinroot_core::state::policy::Policy;

use crate::boot::BootDir;
use crate::cmd::Cmd;
use crate::error::{Error, IoContext, Result};
use crate::execute::{self, Report};
use crate::host::{Host, Place, RECORDS_BYTES, StoreRef};
use crate::progress::Reporter;
use crate::store::Store;
use crate::store::lvm_thin::LvmThinStore;

pub use survey::Root;

const ATTEMPTED: &str = "adopt this host";
/// What a base needs of the pool beside its kernel: the blocks of directories and tables that are written anew.
const BASE_BYTES: u64 = 256 << 20;

/// What is asked for.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Where the loader reads; without it detected.
    pub boot_dir: Option<PathBuf>,
    /// Which loader, where there are several.
    pub loader: Option<Loader>,
    /// Who the host is; without it told by its os-release, or by imgbased.
    pub identity: Option<ImageId>,
    /// Version of the kernel that its entry boots; without it the running one.
    pub kernel: Option<String>,
    /// Where originals of changed files may be.
    pub places: originals::Places,
}

/// What would be done.
#[derive(Debug)]
pub struct Proposal {
    /// The store and boot directory it will have.
    pub place: Place,
    /// The root as it was found.
    pub root: Root,
    /// What is recorded.
    pub adoption: Adoption,
    /// What is added to the kernel arguments of each image, as the host has it.
    pub arguments: Vec<AdminChange>,
    /// The steps.
    pub plan: Plan,
    /// What they take of the room there is.
    pub need: Need,
    /// Its package manager; none where it has none.
    pub manager: Option<vendor::Manager>,
    /// Files of packages that were changed or removed here, with what of them counts.
    pub changed: Vec<(TreePath, Deviation)>,
    /// Packages whose originals are not to be had where was looked, with how many files that concerns.
    pub lacking: Vec<(String, usize)>,
    /// What a person should know.
    pub notes: Vec<String>,
    /// Whether the pool has records of ours already.
    prepared: bool,
}

/// Looks at the running host and plans. Nothing is touched.
pub fn plan(request: &Request) -> Result<Proposal> {
    // What is carried out gets a name of its own, from the records.
    let seed = Seed { now_sec: 0, salt: 0 };
    let root = survey::root()?;
    let (loader, boot_path) = survey::loader(request.boot_dir.as_deref(), request.loader)?;
    let store = LvmThinStore::open(&root.vg, &root.pool)?;
    let found = store.survey()?;
    let mut notes = Vec::new();
    let layers = layers(request, &root, &boot_path, &mut notes)?;
    let boot = BootDir::open(&boot_path)?;
    let before = boot.before()?;
    let line = fs::read_to_string("/proc/cmdline").at("read", Path::new("/proc/cmdline"))?;
    let arguments = survey::own_words(&line, &root)?.into_iter().map(AdminChange::Add).collect();
    let need = need(&boot_path, &layers)?;
    let adoption = Adoption {
        layers,
        loader,
        boot_dir: boot_path.display().to_string(),
        packages: request.places.directories.iter().map(|path| path.display().to_string()).collect(),
        fetch: request.places.fetch,
        before,
    };
    let prepared = found.volumes.iter().any(|volume| volume.role == Role::Records);
    let room =
        Room { pool: found.space, boot_free_bytes: boot.survey()?.space.free_bytes, records_free_bytes: RECORDS_BYTES };
    let inventory = Inventory { volumes: found.volumes, room, ..Inventory::default() };
    let plan = planning::adopt(&inventory, &adoption, need, seed)
        .map_err(|refusal| Error::refused(ATTEMPTED, refusal.why).mend(refusal.mend))?;
    let manager = vendor::Manager::of(Path::new("/"));
    let (changed, lacking) = originals_of(&request.places, &mut notes)?;
    if manager.is_none() {
        notes.push("no package database was found, so all of the state counts as this host's own".into());
    }
    let store = StoreRef::LvmThin { vg: root.vg.clone(), pool: root.pool.clone() };
    let place = Place { store, boot_dir: Some(boot_path) };
    Ok(Proposal { place, root, adoption, arguments, plan, need, manager, changed, lacking, notes, prepared })
}

/// What becomes a layer, the running root last.
fn layers(request: &Request, root: &Root, boot: &Path, notes: &mut Vec<String>) -> Result<Vec<Adopted>> {
    let running = rustix::system::uname().release().to_string_lossy().into_owned();
    let version = request.kernel.clone().unwrap_or(running);
    let theirs = survey::imgbased(root)?;
    let Some(own) = theirs.iter().find(|found| found.layer.volume().as_str() == root.lv) else {
        let base = request.identity.clone().map_or_else(|| survey::identity(Path::new("/")), Ok)?;
        let layer = LayerName::new(base, 1);
        let kernel = survey::kernel(ATTEMPTED, boot, &version, None)?;
        return Ok(vec![Adopted { layer, volume: root.lv.clone(), origin: root.lv.clone(), kernel }]);
    };
    if let Some(other) = request.identity.as_ref().filter(|id| *id != own.layer.base()) {
        let why = format!("imgbased calls its root {}, and {other} is another image", own.layer);
        return Err(Error::refused(ATTEMPTED, why).mend("leave out --as"));
    }
    let mut layers = Vec::new();
    for found in &theirs {
        let name = found.layer.to_string();
        let is_running = found.layer == own.layer;
        let version = if is_running { Some(version.clone()) } else { newest_kernel(&boot.join(&name)) };
        let kernel = version.as_deref().map(|version| survey::kernel(ATTEMPTED, boot, version, Some(&found.layer)));
        match (&found.base, kernel) {
            (Some(origin), Some(Ok(kernel))) => {
                layers.push(Adopted { layer: found.layer.clone(), volume: name, origin: origin.clone(), kernel });
            }
            // What runs can be the origin of its own base.
            (None, Some(Ok(kernel))) if is_running => {
                layers.push(Adopted { layer: found.layer.clone(), volume: name.clone(), origin: name, kernel });
            }
            (_, Some(Err(error))) if is_running => return Err(error),
            (None, _) => notes.push(format!("imgbased's layer {name} is left alone: its base is gone")),
            (Some(_), _) => {
                notes.push(format!("imgbased's layer {name} is left alone: no kernel of it in {}", boot.display()))
            }
        }
    }
    layers.sort_by_key(|adopted| (adopted.layer == own.layer, adopted.layer.clone()));
    Ok(layers)
}

fn newest_kernel(dir: &Path) -> Option<String> {
    let names = fs::read_dir(dir).ok()?.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let versions = names.filter_map(|name| name.strip_prefix("vmlinuz-").map(Into::into));
    versions.max_by(|a: &String, b: &String| compare_versions(a, b))
}

fn need(boot: &Path, layers: &[Adopted]) -> Result<Need> {
    let mut boot_bytes = 0;
    for name in layers.iter().flat_map(|adopted| [&adopted.kernel.image, &adopted.kernel.initrd]) {
        let path = boot.join(name);
        boot_bytes += fs::metadata(&path).at("look at", &path)?.len();
    }
    let bases: BTreeSet<&ImageId> = layers.iter().map(|adopted| adopted.layer.base()).collect();
    Ok(Need { pool_bytes: boot_bytes + BASE_BYTES * bases.len() as u64, boot_bytes, ..Need::default() })
}

/// What was changed, and which packages would have to be had.
#[allow(clippy::type_complexity, reason = "two lists of one look")]
fn originals_of(
    places: &originals::Places,
    notes: &mut Vec<String>,
) -> Result<(Vec<(TreePath, Deviation)>, Vec<(String, usize)>)> {
    let root = Path::new("/");
    let known = vendor::known(root)?;
    let policy = Policy::default();
    let counts = |(path, deviation): &(&TreePath, &Deviation)| {
        !matches!(deviation, Deviation::Missing { .. })
            || removal_counts(&policy, path)
            || known.links.contains_key(*path)
    };
    let changed: Vec<(TreePath, Deviation)> =
        known.vendor.changed.iter().filter(counts).map(|(path, deviation)| (path.clone(), *deviation)).collect();
    // Without fetching: a plan downloads nothing.
    let places = originals::Places { fetch: false, ..places.clone() };
    let found = originals::find(root, &known, &changed.iter().map(|(path, _)| path.clone()).collect(), &places)?;
    notes.extend(found.findings.iter().cloned());
    Ok((changed, found.lacking.iter().map(|(package, paths)| (package.clone(), paths.len())).collect()))
}

/// Carries a proposal out. What fails is undone, and then nothing of ours is left in the pool either.
pub fn adopt(proposal: &Proposal, reporter: &dyn Reporter) -> Result<Report> {
    let host = proposal.place.init_under_root()?;
    let mut done = carry_out(&host, proposal, reporter);
    drop(host);
    if let Ok(report) = &mut done {
        report.findings.extend(watch_for_shutdown());
    }
    if let (Err(error), false) = (&done, proposal.prepared)
        && !matches!(error.kind, crate::error::ErrorKind::PowerCut | crate::error::ErrorKind::Interrupted)
    {
        dissolve(&proposal.place.store)?;
    }
    done
}

/// The unit that takes late changes along began no work in this boot, because there was no layer yet.
fn watch_for_shutdown() -> Option<String> {
    if !Path::new("/run/systemd/system").is_dir() {
        return None;
    }
    let started = Cmd::new("systemctl").args(["--no-block", "start", "thinroot-catch-up.service"]).run();
    let why = started.err()?.why();
    Some(format!("until the next restart what is changed after an update was staged is not taken along: {why}"))
}

fn carry_out(host: &Host, proposal: &Proposal, reporter: &dyn Reporter) -> Result<Report> {
    let change = host.change()?;
    change.adopt(&proposal.adoption, &proposal.arguments, proposal.need, reporter)
}

impl crate::host::Change<'_> {
    /// Adopts what a proposal says. The records are written first: the steps read them.
    pub fn adopt(
        &self,
        adoption: &Adoption,
        arguments: &[AdminChange],
        need: Need,
        reporter: &dyn Reporter,
    ) -> Result<Report> {
        let host = self.host();
        let plan = planning::adopt(&host.inventory()?, adoption, need, host.seed()?);
        let plan = plan.map_err(|refusal| host.refuse(ATTEMPTED, refusal))?;
        host.records.put_adoption(adoption)?;
        host.records.put_argument_wishes(arguments)?;
        execute::execute(host, plan, None, reporter)
    }

    /// Gives the host back, up to the records.
    pub fn let_go(&self, plan: Plan, reporter: &dyn Reporter) -> Result<Report> {
        execute::execute(self.host(), plan, None, reporter)
    }
}

/// Plans to give a host back.
pub fn plan_let_go(host: &Host) -> Result<(Adoption, Plan)> {
    let attempted = "give this host back";
    let adoption = host.records.adoption()?.ok_or_else(|| {
        Error::refused(attempted, "it was not adopted: its first layer was made by thinroot, and nothing else boots it")
    })?;
    let plan = planning::let_go(&host.inventory()?, &adoption, host.seed()?);
    Ok((adoption, plan.map_err(|refusal| host.refuse(attempted, refusal))?))
}

/// Gives a host back. The records go last, when nothing needs them any more.
pub fn let_go(place: &Place, reporter: &dyn Reporter) -> Result<Report> {
    let host = place.open()?;
    let report = host.change()?.let_go(plan_let_go(&host)?.1, reporter)?;
    drop(host);
    dissolve(&place.store)?;
    Ok(report)
}

fn dissolve(store: &StoreRef) -> Result<()> {
    match store {
        StoreRef::LvmThin { vg, pool } => LvmThinStore::dissolve(vg, pool),
        StoreRef::Directory(_) => Ok(()),
    }
}
