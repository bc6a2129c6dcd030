//! The verbs that change a host. Whoever has a [`Change`] has the lock, and the host has been healed and swept.

use std::collections::BTreeSet;

use thinroot_core::inventory::{Inventory, Phase, Role};
use thinroot_core::journal::StepState;
use thinroot_core::name::{ImageId, LayerName, VolumeName};
use thinroot_core::plan::retire::WayBack;
use thinroot_core::plan::update::{self, Planned};
use thinroot_core::plan::{Need, Plan, Refusal, Step, retire, rollback};

use super::Host;
use super::preview::{UpdateOptions, request};
use crate::boot::KernelFile;
use crate::error::{Error, ErrorKind, Result};
use crate::execute::{self, Report};
use crate::lock::Lock;
use crate::progress::Reporter;
use crate::source::Image;

/// A host that may be changed.
#[derive(Debug)]
pub struct Change<'a> {
    host: &'a Host,
    /// What was healed and swept at the start, in words.
    pub mended: Vec<String>,
    _lock: Lock,
}

/// What `layer fork` is asked to do.
#[derive(Debug, Clone)]
pub struct ForkRequest {
    /// A base or a layer.
    pub origin: VolumeName,
}

/// What `layer remove`, `base remove` and `prune` are asked to do.
#[derive(Debug, Clone)]
pub enum RetireTarget {
    /// One layer.
    Layer(LayerName, WayBack),
    /// One base.
    Base(ImageId),
    /// Everything that no rule keeps beyond the newest few layers.
    Surplus {
        /// How many of the newest layers stay.
        keep: usize,
    },
}

impl<'a> Change<'a> {
    pub(super) fn begin(host: &'a Host) -> Result<Self> {
        let lock = Lock::acquire(&host.lock_path)?;
        let mut mended = host.store.heal()?;
        mended.extend(fallen_back(host)?);
        match host.boot.follow() {
            Ok(_) => {}
            // It goes on booting what it did, and nothing that it boots is removed. What is done next may be its mend.
            Err(error) => mended.push(error.to_string()),
        }
        mended.extend(sweep(host)?);
        Ok(Change { host, mended, _lock: lock })
    }

    pub(crate) fn host(&self) -> &'a Host {
        self.host
    }

    /// Adds a base.
    pub fn add_base(
        &self,
        image: &mut Image,
        options: &UpdateOptions,
        reporter: &dyn Reporter,
    ) -> Result<Option<Report>> {
        let attempted = format!("add base {}", image.info.id);
        self.host.localise(image, options.from.as_ref())?;
        let inventory = self.host.inventory()?;
        self.host.require_initrd(image)?;
        let ancestor = update::ancestor(&inventory, &image.info.id, options.fs, 0);
        let old = ancestor.map(|ancestor| self.host.manifest(&ancestor)).transpose()?;
        let mut need = self.host.need(old.as_ref(), image)?;
        drop(old);
        need.boot_bytes = 0;
        let request = request(image, options, need);
        match update::add_base(&inventory, &request, self.host.seed()?).map_err(|r| self.host.refuse(&attempted, r))? {
            Planned::Nothing(_) => Ok(None),
            Planned::Plan(plan) => execute::execute(self.host, plan, Some(image), reporter).map(Some),
        }
    }

    /// Makes a layer from a base or from a layer.
    pub fn fork(&self, wanted: &ForkRequest, reporter: &dyn Reporter) -> Result<Report> {
        let attempted = format!("fork {}", wanted.origin);
        let inventory = self.host.inventory()?;
        let base = self.host.base_of(&inventory, &wanted.origin)?;
        let kernel = match &base {
            Some(base) => self.host.newest_kernel(base)?,
            None => String::new(),
        };
        let need = match &base {
            Some(base) => Need { boot_bytes: self.host.boot_need(base)?, ..Need::default() },
            None => Need::default(),
        };
        let plan = update::fork(&inventory, &wanted.origin, &kernel, need, self.host.seed()?);
        execute::execute(self.host, plan.map_err(|r| self.host.refuse(&attempted, r))?, None, reporter)
    }

    /// Carries out a previewed update. Its plan was made without the lock, so the world is looked at again.
    pub fn update(&self, plan: Plan, image: &mut Image, reporter: &dyn Reporter) -> Result<Report> {
        self.still_true(&plan)?;
        execute::execute(self.host, plan, Some(image), reporter)
    }

    /// Plans and arms another layer.
    pub fn rollback(&self, to: Option<&LayerName>, reporter: &dyn Reporter) -> Result<Report> {
        let plan = rollback::rollback(&self.host.inventory()?, to, self.host.seed()?);
        execute::execute(self.host, plan.map_err(|r| self.host.refuse("roll back", r))?, None, reporter)
    }

    /// Carries out a removal planned by [`Host::plan_retire`].
    pub fn retire(&self, target: &RetireTarget, reporter: &dyn Reporter) -> Result<Option<Report>> {
        match self.host.plan_retire(target)? {
            Some(plan) => execute::execute(self.host, plan, None, reporter).map(Some),
            None => Ok(None),
        }
    }

    /// Finishes an interrupted plan. `reopen` reads its image again where a step still needs it.
    pub fn resume(
        &self,
        reopen: &mut dyn FnMut(&thinroot_core::image::ImageInfo) -> Result<Image>,
        reporter: &dyn Reporter,
    ) -> Result<Option<Report>> {
        let Some(open) = self.host.records.open_journal()? else { return Ok(None) };
        let unwritten = open
            .plan
            .steps
            .iter()
            .zip(&open.steps)
            .any(|(step, state)| matches!(step, Step::WriteBase { .. }) && *state != StepState::Done);
        let mut image = match &open.plan.image {
            Some(info) if unwritten && !open.undoing() => Some(self.same_image(info, reopen)?),
            Some(_) | None => None,
        };
        execute::resume(self.host, open, image.as_mut(), reporter).map(Some)
    }

    /// Undoes an interrupted plan.
    pub fn abandon(&self, reporter: &dyn Reporter) -> Result<Option<Report>> {
        match self.host.records.open_journal()? {
            Some(open) => execute::abandon(self.host, open, reporter).map(Some),
            None => Ok(None),
        }
    }

    /// Pins volumes or takes pins away.
    pub fn pin(&self, name: &VolumeName, pinned: bool) -> Result<bool> {
        if self.host.inventory()?.ready(name).is_none() && pinned {
            return Err(Error::new(ErrorKind::Usage, format!("pin {name}"), "there is no such base or layer")
                .mend("'thinroot status' lists them"));
        }
        let mut pins = self.host.records.pins()?;
        let changed = if pinned { pins.insert(name.clone()) } else { pins.remove(name) };
        self.host.records.put_pins(&pins)?;
        Ok(changed)
    }

    /// Declares a layer good: it becomes the default and counting ends. Without a name: the booted one, else the armed;
    /// none where the booted one is neither armed nor the default, as one is that a person chose in the loader's menu:
    /// that says nothing about what boots next.
    pub fn bless(&self, layer: Option<&LayerName>) -> Result<Option<LayerName>> {
        let selection = self.host.boot.read_selection()?.unwrap_or_default();
        let armed = selection.armed().map(|armed| &armed.layer);
        let chosen = layer.or(self.host.booted.as_ref()).or(armed).or(selection.default_layer()).cloned();
        let refuse = |why: String| Error::refused("bless a layer", why);
        let unasked = layer.is_none();
        let layer = chosen.ok_or_else(|| refuse("no layer is booted or armed".into()))?;
        if unasked && self.host.booted.as_ref() == Some(&layer) && !selection.boots(&layer) {
            return Ok(None);
        }
        let blessed = selection.bless(&layer).map_err(|e| refuse(e.to_string()))?;
        self.host.boot.set_selection(&blessed)?;
        if self.host.booted.as_ref() == Some(&layer) {
            crate::deadman::stop()?;
        }
        Ok(Some(layer))
    }

    /// Records that the booted layer did not prove itself, and ends its arming: the default boots next. False where it is
    /// the default itself, and there is nothing to fall back to, or where a person chose it by hand.
    pub fn give_up(&self, why: &str) -> Result<bool> {
        let selection = self.host.boot.read_selection()?.unwrap_or_default();
        let armed = selection.armed().map(|armed| &armed.layer);
        let Some(layer) = self.host.booted.as_ref().filter(|layer| armed == Some(layer)) else { return Ok(false) };
        let failed = selection.fail(layer, image_digest(self.host, layer)?.as_deref(), why);
        self.host.boot.set_selection(&failed.map_err(|e| Error::refused(format!("give up {layer}"), e))?)?;
        Ok(true)
    }

    /// Counts one start of the machine as a boot loader does, and says what it boots. For machines whose loader is
    /// not under our control: image files started by a hypervisor.
    pub fn count_start(&self) -> Result<LayerName> {
        let selection = self.host.boot.read_selection()?.unwrap_or_default();
        let (started, next) = selection.start().map_err(|e| Error::refused("choose what boots", e))?;
        self.host.boot.set_selection(&next)?;
        Ok(started.layer)
    }

    pub(super) fn still_true(&self, plan: &Plan) -> Result<()> {
        let inventory = self.host.inventory()?;
        let stale = |why: String| Error::refused("carry out the plan", why).mend("run the command again");
        if let Some(open) = &inventory.open_plan {
            let refusal =
                Error::new(ErrorKind::Interrupted, "carry out the plan", format!("plan {open} is still open"));
            return Err(refusal.mend("finish it with 'thinroot resume', or undo it with 'thinroot abandon'"));
        }
        for step in &plan.steps {
            let exists = |name: &VolumeName| inventory.volumes.iter().any(|volume| volume.name == *name);
            if let Step::CreateBase { base, .. } = step
                && exists(&base.volume())
            {
                return Err(stale(format!("since planning, {base} has appeared")));
            }
            if let Step::CreateLayer { layer, .. } = step
                && exists(&layer.volume())
            {
                return Err(stale(format!("since planning, {layer} has appeared")));
            }
            if let Step::FreezeState { layer, .. } = step
                && inventory.ready(&layer.volume()).is_none()
            {
                return Err(stale(format!("since planning, {layer} has gone")));
            }
        }
        Ok(())
    }

    fn same_image(
        &self,
        info: &thinroot_core::image::ImageInfo,
        reopen: &mut dyn FnMut(&thinroot_core::image::ImageInfo) -> Result<Image>,
    ) -> Result<Image> {
        let mut image = reopen(info)?;
        self.host.localise(&mut image, None)?;
        if image.info.digest != info.digest {
            let why = format!("{} now holds another image than the one that was being installed", info.source);
            return Err(Error::refused("resume", why).mend("put the image back, or undo with 'thinroot abandon'"));
        }
        Ok(image)
    }
}

impl Host {
    /// Plans a removal; none where there is nothing to remove.
    pub fn plan_retire(&self, target: &RetireTarget) -> Result<Option<Plan>> {
        let inventory = self.inventory()?;
        let planned = match target {
            RetireTarget::Layer(layer, way_back) => retire::layer(&inventory, layer, *way_back, self.seed()?).map(Some),
            RetireTarget::Base(base) => retire::base(&inventory, base, self.seed()?).map(Some),
            RetireTarget::Surplus { keep } => retire::prune(&inventory, *keep, self.seed()?),
        };
        planned.map_err(|refusal| self.refuse("remove", refusal))
    }

    pub(crate) fn refuse(&self, attempted: &str, refusal: Refusal) -> Error {
        let kind = if refusal.interrupted { ErrorKind::Interrupted } else { ErrorKind::Refused };
        Error::new(kind, attempted, refusal.why).mend(refusal.mend)
    }

    fn base_of(&self, inventory: &Inventory, origin: &VolumeName) -> Result<Option<ImageId>> {
        Ok(match inventory.ready(origin).map(|volume| volume.role) {
            Some(Role::Base) => origin.as_str().parse().ok(),
            Some(Role::Layer) => origin.as_str().parse::<LayerName>().ok().map(|layer| layer.base().clone()),
            Some(Role::Frozen | Role::Shared | Role::Records) | None => None,
        })
    }

    pub(crate) fn newest_kernel(&self, base: &ImageId) -> Result<String> {
        let kernels = thinroot_core::image::find_kernels(&self.manifest(base)?);
        match kernels.into_iter().next() {
            Some(kernel) => Ok(kernel.version),
            None => Err(Error::damaged(format!("find the kernel of {base}"), "its manifest lists none")),
        }
    }

    pub(super) fn boot_need(&self, base: &ImageId) -> Result<u64> {
        let manifest = self.manifest(base)?;
        let kernel = thinroot_core::image::find_kernels(&manifest).into_iter().next();
        let files = kernel.map(|kernel| KernelFile::of_kernel(&manifest, &kernel)).unwrap_or_default();
        self.boot.needed_bytes(&files.into_iter().map(|(_, file)| file).collect::<Vec<_>>())
    }
}

/// The short digest of the image that a layer is of, where it is known.
fn image_digest(host: &Host, layer: &LayerName) -> Result<Option<String>> {
    let base = layer.base().volume();
    let volumes = host.store.survey()?.volumes;
    Ok(volumes.into_iter().find(|volume| volume.name == base).and_then(|volume| volume.image_digest))
}

/// Records that the loader gave up a layer: its tries are used up and another one runs.
fn fallen_back(host: &Host) -> Result<Option<String>> {
    // A damaged selection is told by whoever needs it.
    let Some(selection) = host.boot.read_selection().ok().flatten() else { return Ok(None) };
    let Some(armed) = selection.armed().filter(|armed| armed.tries_left == 0) else { return Ok(None) };
    let layer = armed.layer.clone();
    if host.booted.as_ref().is_none_or(|booted| *booted == layer) {
        return Ok(None);
    }
    let digest = image_digest(host, &layer)?;
    let failed = selection.fail(&layer, digest.as_deref(), "its tries were used up and it was not blessed");
    host.boot.set_selection(&failed.map_err(|e| Error::refused(format!("give up {layer}"), e))?)?;
    Ok(Some(format!("{layer} did not come up in any of its tries and is given up")))
}

/// Removes what interrupted runs left and no open plan names. If the records cannot be read, nothing is removed.
fn sweep(host: &Host) -> Result<Vec<String>> {
    let open = host.records.open_journal()?;
    let named: BTreeSet<VolumeName> = open.iter().flat_map(|journal| journal.plan.volumes()).collect();
    let mut swept = Vec::new();
    for volume in host.store.survey()?.volumes {
        if volume.phase == Phase::Staging && !named.contains(&volume.name) && volume.role != Role::Records {
            host.store.remove(&volume.name)?;
            swept.push(format!("removed {}, which an interrupted run left", volume.name));
        }
    }
    host.records.sweep()?;
    if open.is_none() {
        for file in host.boot.sweep()? {
            swept.push(format!("removed {file} from the boot directory, which no entry names"));
        }
    }
    Ok(swept)
}
