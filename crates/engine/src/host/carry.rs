//! Planning the state merge from real trees: the one way, for the preview and for the real thing.

use std::path::Path;

use thinroot_core::inventory::Phase;
use thinroot_core::manifest::{Digest, Manifest, ManifestError};
use thinroot_core::name::{ImageId, LayerName};
use thinroot_core::path::TreePath;
use thinroot_core::state::checks::concerned;
use thinroot_core::state::policy::{Class, Origin, Reach, Rule, Treatment};
use thinroot_core::state::text::MAX_TEXT_BYTES;
use thinroot_core::state::units;
use thinroot_core::state::{self, Action, Change, Delta, Kept, Policy, Side, StatePlan};

use super::Host;
use super::migrate::{Sides, Trees, with_defaults};
use crate::base::inodes::InodeTable;
use crate::error::{Error, Result};
use crate::progress::Reporter;
use crate::records::Part;
use crate::source::{Contents, tree_contents};
use crate::state::{BlobStore, RootContents, Texts, delta, merge_accounts, merge_texts, read_texts};
use crate::store::{Access, Mounted};

/// What becomes of a layer's state.
#[derive(Debug)]
pub(crate) struct Planned {
    /// What the layer it goes into had of its own: none where that was made from a base.
    pub onto: Option<Delta>,
    /// The decisions.
    pub state: StatePlan,
    /// Contents that migrations made, which are in no tree.
    pub made: Vec<Vec<u8>>,
}

/// Where state goes.
pub(crate) struct Into<'a> {
    /// The image.
    pub image: &'a ImageId,
    /// What it is.
    pub new: &'a Manifest,
    /// Its contents.
    pub contents: &'a mut dyn Contents,
    /// Where it is mounted, where it is here already: only then its programs can be run.
    pub root: Option<&'a Path>,
}

/// Everything that a merge looks at.
struct Merge<'a> {
    from: &'a LayerName,
    /// Where it is mounted.
    root: &'a Path,
    new: &'a Manifest,
    policy: &'a Policy,
}

impl Host {
    /// What `from`, mounted at `root`, changed against its base, and what an image makes of it.
    pub(crate) fn plan_state(
        &self,
        from: &LayerName,
        root: &Path,
        into: Into<'_>,
        reporter: &dyn Reporter,
    ) -> Result<Planned> {
        let base = self.manifest(from.base())?;
        let policy = self.policy_into(root, into.new, into.contents)?;
        let changes = self.delta(from, root, &base, &policy, reporter)?;
        self.plan_sides(from, root, into, policy, Sides::new(base, changes))
    }

    /// What was changed in `from`, mounted at `root`, and what `to`, or a snapshot of it, mounted at `onto`, makes of it.
    /// Where the state of `from` was carried from `to`, that is what was changed since then; else it is everything that
    /// is neither as the image of `from` shipped it nor as `to` has it.
    pub(crate) fn plan_return(
        &self,
        from: &LayerName,
        root: &Path,
        to: &LayerName,
        onto: &Path,
        reporter: &dyn Reporter,
    ) -> Result<Planned> {
        let shipped = self.manifest(to.base())?;
        let own = self.delta(to, onto, &shipped, &self.policy_of(onto)?, reporter)?;
        let whole = |tree: std::result::Result<Manifest, ManifestError>, layer: &LayerName| {
            tree.map_err(|why| Error::damaged(format!("read the tree of {layer}"), why))
        };
        let new = whole(own.over(&shipped), to)?;
        let mut contents = tree_contents(onto, &new);
        let policy = self.policy_into(root, &new, &mut contents)?;
        let made_from = self.manifest(from.base())?;
        let changes = self.delta(from, root, &made_from, &policy, reporter)?;
        let carried = self.carried_into(from)?.into_iter().next();
        let carried = carried.filter(|carried| carried.layer == *from && carried.from == *to);
        let sides = match carried {
            Some(carried) => {
                let then = whole(carried.state.over(&made_from, &changes.accounts), from)?;
                let since = changes.since(&made_from, &then);
                Sides::new(then, since)
            }
            None => Sides::new(made_from, changes),
        };
        let into = Into { image: to.base(), new: &new, contents: &mut contents, root: Some(onto) };
        let mut planned = self.plan_sides(from, root, into, policy, sides)?;
        keep_own(&mut planned.state, &new, &shipped);
        planned.onto = Some(own);
        Ok(planned)
    }

    fn plan_sides(
        &self,
        from: &LayerName,
        root: &Path,
        into: Into<'_>,
        mut policy: Policy,
        mut sides: Sides,
    ) -> Result<Planned> {
        let Into { image, new, contents, root: vendor } = into;
        let migrations = self.migrations_between(from.base(), root, image, new, contents)?;
        if !migrations.is_empty() {
            let base = self.mount_base(from.base())?;
            let kept = BlobStore::new(&self.records.blobs());
            let shipped = read_texts(&with_defaults(&migrations), new, contents)?;
            let base_root = base.as_ref().map(Mounted::path);
            let trees = Trees { base: base_root, local: root, vendor, kept: &kept, shipped: &shipped };
            sides = sides.migrate(&migrations, trees, &policy);
            policy = policy.with(std::mem::take(&mut sides.rules));
            base.map_or(Ok(()), Mounted::finish)?;
        }
        policy = policy.with(generated_resolver(&sides, root)?);
        let units = self.units(from, &mut sides, new, contents)?;
        let mut state = self.merge(&Merge { from, root, new, policy: &policy }, &sides, contents)?;
        state.notes.extend(units);
        for decision in &mut state.decisions {
            sides.settle(decision);
        }
        state.checks = concerned(&self.validators_into(root, new, contents)?, &state, new);
        state.blocked |= !sides.stops.is_empty();
        state.stops.append(&mut sides.stops);
        state.migrations = sides.told;
        let made = sides.base_texts.into_values().chain(sides.local_texts.into_values()).collect();
        Ok(Planned { onto: None, state, made })
    }

    /// Tells what was enabled and disabled here in the links of the new image; says what a person should know of it.
    fn units(
        &self,
        from: &LayerName,
        sides: &mut Sides,
        new: &Manifest,
        contents: &mut dyn Contents,
    ) -> Result<Vec<String>> {
        let touched = units::touched(&sides.base, &sides.changes, new);
        if touched.is_empty() {
            return Ok(Vec::new());
        }
        let files = |of: fn(&units::Unit) -> &Option<TreePath>| -> Vec<TreePath> {
            touched.iter().filter_map(|unit| of(unit).clone()).collect()
        };
        let old = match self.mount_base(from.base())? {
            Some(mounted) => {
                let shipped = self.manifest(from.base())?;
                let texts = read_texts(&files(|u| &u.base), &shipped, &mut RootContents::open(mounted.path())?)?;
                mounted.finish()?;
                texts
            }
            None => Texts::new(),
        };
        let vendor = read_texts(&files(|u| &u.new), new, contents)?;
        let (told_in, notes) = units::in_new_links(&sides.base, &sides.changes, new, &touched, &old, &vendor);
        if let Some((base, changes)) = told_in {
            (sides.base, sides.changes) = (base, changes);
        }
        Ok(notes)
    }

    fn merge(&self, m: &Merge<'_>, sides: &Sides, new_contents: &mut dyn Contents) -> Result<StatePlan> {
        let (base, changes) = (&sides.base, &sides.changes);
        let texts = state::texts_to_merge(base, changes, m.new, m.policy);
        let set = state::accounts_to_merge(base, changes, m.new, m.policy);
        let wanted: Vec<TreePath> = texts.iter().chain(&set).cloned().collect();
        if wanted.is_empty() {
            return Ok(state::plan(base, changes, m.new, m.policy, &Default::default()));
        }
        let vendor = read_texts(&wanted, m.new, new_contents)?;
        let local = sides.present(&wanted, m.root)?;
        let originals = self.originals(&wanted, m, sides)?;
        let each = [&originals, &local, &vendor];
        let mut merged = merge_texts(&texts, each, |path| base.get(path).is_none(), m.policy);
        let notes = merge_accounts(&set, each, &mut merged);
        let mut plan = state::plan(base, changes, m.new, m.policy, &merged);
        plan.notes.extend(notes);
        Ok(plan)
    }

    /// The texts that changes are told from: kept ones, and those of the sealed base where it is still here. What is
    /// nowhere to be had is not among them; the paths are then decided without merging.
    fn originals(&self, wanted: &[TreePath], m: &Merge<'_>, sides: &Sides) -> Result<Texts> {
        let blobs = BlobStore::new(&self.records.blobs());
        let mut found = Texts::new();
        let mut missing = Vec::new();
        for path in wanted {
            let Some(digest) = sides.base.get(path).and_then(|entry| entry.kind.digest()) else { continue };
            match sides
                .base_texts
                .get(path)
                .cloned()
                .map_or_else(|| blobs.small(&digest, MAX_TEXT_BYTES), |t| Ok(Some(t)))?
            {
                Some(text) => drop(found.insert(path.clone(), text)),
                None => missing.push((path.clone(), sides.origin(path), digest)),
            }
        }
        if missing.is_empty() {
            return Ok(found);
        }
        if let Some(old) = self.mount_base(m.from.base())? {
            let shipped = self.manifest(m.from.base())?;
            let as_shipped = |(_, at, digest): &&(TreePath, TreePath, Digest)| {
                shipped.get(at).and_then(|entry| entry.kind.digest()) == Some(*digest)
            };
            missing.retain(|it| as_shipped(&it));
            let there: Vec<TreePath> = missing.iter().map(|(_, at, _)| at.clone()).collect();
            let mut texts = read_texts(&there, &shipped, &mut RootContents::open(old.path())?)?;
            found.extend(missing.into_iter().filter_map(|(path, at, _)| Some((path, texts.remove(&at)?))));
            old.finish()?;
        }
        Ok(found)
    }

    /// What a mounted layer changed against its base: by inode number and ctime where its lineage is recorded, else
    /// by hashing.
    pub(crate) fn delta(
        &self,
        layer: &LayerName,
        root: &Path,
        base: &Manifest,
        policy: &Policy,
        reporter: &dyn Reporter,
    ) -> Result<Delta> {
        let recorded = self.records.part(layer.base(), Part::Inodes)?;
        let lineage = recorded.map(|bytes| InodeTable::from_bytes(&bytes)).transpose()?;
        Ok(delta(root, base, lineage.as_ref(), policy, reporter)?.0)
    }

    /// The sealed base, where it is still here.
    pub(crate) fn mount_base(&self, base: &ImageId) -> Result<Option<Mounted>> {
        let survey = self.store.survey()?;
        let here = survey.volumes.iter().any(|v| v.name == base.volume() && v.phase == Phase::Ready);
        here.then(|| self.store.mount(&base.volume(), Access::Inspect)).transpose()
    }
}

/// A resolv.conf that a program wrote is nobody's decision: whoever manages it writes the next one. One that was written by
/// hand, and a link, are merged as any path.
fn generated_resolver(sides: &Sides, root: &Path) -> Result<Option<Rule>> {
    const SIGNS: [&str; 4] = ["generated by", "managed by", "do not edit", "resolvconf(8)"];
    let path = TreePath::parse(b"etc/resolv.conf").expect("a constant path");
    let changed = sides.changes.changes.get(&path).and_then(Change::entry);
    if changed.is_none_or(|entry| entry.kind.digest().is_none()) {
        return Ok(None);
    }
    let text = RootContents::open(root)?.small(&path, MAX_TEXT_BYTES)?.unwrap_or_default();
    let text = String::from_utf8_lossy(&text).to_lowercase();
    let mut comments = text.lines().filter(|line| line.starts_with('#'));
    let generated = comments.any(|line| SIGNS.iter().any(|sign| line.contains(sign)));
    let treatment = Treatment::State(Class::Derived);
    let note = String::new();
    Ok(generated.then_some(Rule { path, reach: Reach::Exact, treatment, note, origin: Origin::BuiltIn }))
}

/// Keeps whatever is written over in a layer and is not what its base has: no other place has it.
fn keep_own(state: &mut StatePlan, onto: &Manifest, shipped: &Manifest) {
    for decision in &mut state.decisions {
        let Some(own) = onto.get(&decision.path).filter(|_| decision.action != Action::Leave) else { continue };
        let Some(digest) = own.kind.digest() else { continue };
        let in_base = shipped.get(&decision.path).and_then(|entry| entry.kind.digest()) == Some(digest);
        if !in_base && !decision.kept.iter().any(|kept| kept.digest == digest) {
            decision.kept.push(Kept { side: Side::Vendor, digest, size_bytes: own.kind.content_bytes() });
        }
    }
}
