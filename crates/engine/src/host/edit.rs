//! What a person decides after an update: conflicts resolved, decisions undone.
//!
//! Separate from the merge because it begins with what the layer has now, which may be what runs. Must stay true: what a
//! path had is kept before it is changed; what somebody changed since the update is not taken for the update's.

mod goals;
mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use thinroot_core::manifest::{Digest, Entry, Kind};
use thinroot_core::name::LayerName;
use thinroot_core::path::TreePath;
use thinroot_core::plan::edit as planning;
use thinroot_core::state::edit::{Deed, deeds};
use thinroot_core::state::{Choice, Decision, Edit, EditPlan};

use self::goals::Editor;
use super::{Carried, Change, Host};
use crate::error::{Error, Result};
use crate::execute::{self, Report};
use crate::progress::Reporter;
use crate::source::Contents;
use crate::state::{BlobStore, RootContents, entries_at};
use crate::store::{Access, Mounted};

/// What a person wants.
#[derive(Debug, Clone)]
pub enum EditWish {
    /// One side of a decision.
    Side(TreePath, Choice),
    /// This text.
    Text(TreePath, Vec<u8>),
    /// These paths as they were before what was last done to them.
    UndoPaths(Vec<TreePath>),
    /// Back to before a decision (`14:/etc/hosts`) or an edit (its plan).
    UndoDeed(String),
    /// Everything that the update carried, and every edit after it.
    UndoAll,
}

/// What would be done, with what is needed for it.
#[derive(Debug)]
pub struct Edits {
    /// Both ends of each path.
    pub plan: EditPlan,
    texts: BTreeMap<Digest, Vec<u8>>,
}

/// Whether to change what somebody has changed since the update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangedSince {
    /// Refuse.
    Refuse,
    /// Keep what it is now aside, and go on.
    KeepAside,
}

impl Host {
    /// The decisions of an update over which a person has not decided since.
    pub fn open_decisions<'a>(&self, carried: &'a Carried) -> Result<Vec<&'a Decision>> {
        let edits = self.edited(&carried.layer)?;
        let open = |decision: &&Decision| matches!(deeds(&decision.path, &carried.state, &edits).as_slice(), [Deed::Decided(last)] if last.id == decision.id);
        Ok(carried.state.decisions.iter().filter(open).collect())
    }

    /// Plans what a person wants of a layer. Writes nothing.
    pub fn plan_edit(&self, layer: Option<&LayerName>, wish: &EditWish, changed: ChangedSince) -> Result<Edits> {
        let Some(carried) = self.last_carried(layer)? else {
            let layer = layer.map_or_else(|| "any layer".into(), ToString::to_string);
            let why = format!("the records have no update that carried state into {layer}");
            return Err(Error::refused("change what an update decided", why));
        };
        let layer = carried.layer.clone();
        let edits = self.edited(&layer)?;
        let vendor = self.ground(&carried)?;
        let editor = Editor { carried: &carried, edits: &edits, vendor: &vendor };
        let wanted = editor.goals(wish)?;
        let paths: BTreeSet<TreePath> = wanted.iter().map(|goal| goal.path.clone()).collect();
        let around = paths.iter().filter_map(TreePath::parent).chain(paths.iter().cloned()).collect();
        let mounted = self.store.mount(&layer.volume(), Access::Inspect)?;
        let present = entries_at(mounted.path(), &around)?;
        mounted.finish()?;
        let mut planned = Edits { plan: EditPlan { layer, edits: Vec::new() }, texts: BTreeMap::new() };
        for goal in wanted {
            let before = present.get(&goal.path).cloned();
            if changed == ChangedSince::Refuse {
                goal.unchanged(before.as_ref())?;
            }
            let after = goal.end.entry(before.as_ref(), &goal.path, &mut planned.texts)?;
            planned.plan.edits.push(Edit { path: goal.path, of: goal.of, choice: goal.choice, before, after });
        }
        planned.plan.edits.sort_by(|a, b| a.path.cmp(&b.path));
        fits(&planned.plan, &present)?;
        Ok(planned)
    }
}

/// Whether every path can be what it is to become: what holds it is a directory, and no directory gives way to a file.
fn fits(plan: &EditPlan, present: &BTreeMap<TreePath, Entry>) -> Result<()> {
    let is_dir = |entry: &Entry| entry.kind == Kind::Directory;
    for edit in plan.edits.iter().filter(|edit| edit.after.is_some()) {
        let refuse = |why: String, mend: &str| Err(Error::refused(format!("change {}", edit.path), why).mend(mend));
        let parent = edit.path.parent().unwrap_or_default();
        let made = plan.edits.iter().any(|e| e.path == parent && e.after.as_ref().is_some_and(is_dir));
        if !parent.is_root() && !made && !present.get(&parent).is_some_and(is_dir) {
            return refuse(format!("there is no directory {parent} any more"), "make it first, then run this again");
        }
        if edit.before.as_ref().is_some_and(is_dir) && !edit.after.as_ref().is_some_and(is_dir) {
            return refuse("it is a directory now".into(), "move the directory away first, then run this again");
        }
    }
    Ok(())
}

impl Change<'_> {
    /// Pins a path of the state, or takes the pin away. Says whether that changed anything.
    pub fn pin_state(&self, path: &TreePath, pinned: bool) -> Result<bool> {
        let host = self.host();
        let mut pins = host.records.state_pins()?;
        let changed = match pinned {
            true => {
                let new = !pins.contains_key(path);
                pins.entry(path.clone()).or_insert(host.seed()?.now_sec);
                new
            }
            false => pins.remove(path).is_some(),
        };
        if changed {
            host.records.put_state_pins(&pins)?;
        }
        Ok(changed)
    }

    /// Carries edits out. What both ends of each path are is kept first.
    pub fn edit(&self, edits: &Edits, reporter: &dyn Reporter) -> Result<Report> {
        let host = self.host();
        let plan = planning::edit(&host.inventory()?, &edits.plan, host.seed()?);
        let plan = plan.map_err(|refusal| host.refuse("change what the layer has", refusal))?;
        self.gather(edits)?;
        host.records.put_edits(&plan.id, &edits.plan)?;
        execute::execute(host, plan, None, reporter)
    }

    /// Keeps the contents that are not kept yet: from the layer, from its base, or as given.
    fn gather(&self, edits: &Edits) -> Result<()> {
        let host = self.host();
        let layer = &edits.plan.layer;
        let mounted = host.store.mount(&layer.volume(), Access::Inspect)?;
        let base = host.mount_base(layer.base())?;
        self.gather_from(edits, mounted.path(), base.as_ref().map(Mounted::path))?;
        mounted.finish()?;
        base.map_or(Ok(()), Mounted::finish)
    }

    fn gather_from(&self, edits: &Edits, layer: &Path, base: Option<&Path>) -> Result<()> {
        let host = self.host();
        let blobs = BlobStore::new(&host.records.blobs());
        let manifest = host.manifest(edits.plan.layer.base())?;
        let mut present = RootContents::open(layer)?;
        let mut shipped = base.map(RootContents::open).transpose()?;
        for edit in &edits.plan.edits {
            for (digest, _) in edit.contents() {
                let is = |entry: Option<&Entry>| entry.and_then(|e| e.kind.digest()) == Some(digest);
                let vendor = manifest.get(&edit.path);
                if blobs.has(&digest) {
                    continue;
                }
                if let Some(text) = edits.texts.get(&digest) {
                    blobs.keep(&digest, &mut text.as_slice(), &edit.path)?;
                } else if is(edit.before.as_ref()) {
                    keep(&blobs, &mut present, &edit.path, &digest)?;
                } else if let (true, Some(shipped)) = (is(vendor), &mut shipped) {
                    let holder = vendor.and_then(|entry| entry.hardlink.as_ref()).unwrap_or(&edit.path);
                    keep(&blobs, shipped, holder, &digest)?;
                } else {
                    let why = format!("its content {digest} is no longer kept");
                    return Err(Error::refused(format!("change {}", edit.path), why));
                }
            }
        }
        Ok(())
    }
}

fn keep(blobs: &BlobStore, from: &mut RootContents, path: &TreePath, digest: &Digest) -> Result<()> {
    from.contents(&BTreeSet::from([path.clone()]), &mut |path, content| blobs.keep(digest, content, path).map(|_| ()))
}
