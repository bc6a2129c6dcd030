//! Taking along what was changed after an update was staged, and before its layer boots.
//!
//! Separate from the update because it changes a layer that is complete. Must stay true: a run that fails or is cut
//! leaves the staged layer as it was, or the old one booting; what somebody changed in the staged layer stays.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde::Serialize;
use thinroot_core::accounts;
use thinroot_core::inventory::Role;
use thinroot_core::journal::StepState;
use thinroot_core::manifest::Digest;
use thinroot_core::name::{LayerName, VolumeName};
use thinroot_core::path::TreePath;
use thinroot_core::plan::update::TRIES;
use thinroot_core::plan::{Plan, Purpose, Step, catch_up as planning};
use thinroot_core::state::checks::{Answer, Check, OnFailure, Verdict, take_local};
use thinroot_core::state::edit::Standing;
use thinroot_core::state::late::{checks, combined, differences, hold};
use thinroot_core::state::{Action, Content, Decision, Edit, EditPlan, StatePlan};

use super::carry::Into;
use super::{Carried, Change, Host};
use crate::error::{Error, ErrorKind, Result};
use crate::execute::{self, Report};
use crate::progress::{Event, Reporter};
use crate::records::Missed;
use crate::source::tree_contents;
use crate::state::{BlobStore, RootContents, entries_at};
use crate::store::{Access, Ensured, Mounted};

/// What came of it.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "there is one of it, and it is taken apart at once")]
pub enum CaughtUp {
    /// There was nothing to do, and why.
    Nothing(String),
    /// Done.
    Done {
        /// The layer that was changed.
        layer: LayerName,
        /// Both ends of each path; none where only the record of what was decided changed.
        edits: Vec<Edit>,
        /// Paths that were changed in both layers since, and stay as they are in the staged one.
        skipped: Vec<TreePath>,
        /// What checks of the new image refused.
        refused: Vec<Refusal>,
        /// How the plan ended.
        report: Option<Report>,
    },
}

/// What a check of the new image refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// The check.
    pub check: String,
    /// What it said.
    pub said: String,
    /// What it is about.
    pub paths: Vec<TreePath>,
    /// It refused this host's version too, so that the staged layer keeps what it has.
    pub stays: bool,
}

/// What a merge made now gives otherwise than the one made while staging.
struct Late {
    edits: EditPlan,
    state: StatePlan,
    skipped: BTreeSet<TreePath>,
    /// Contents that migrations made.
    made: Vec<Vec<u8>>,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let paths: Vec<String> = self.paths.iter().map(ToString::to_string).collect();
        let what = if self.stays { "so it stays as it was staged" } else { "so this host's version was taken" };
        write!(f, "{}: the check {} of the new image refuses what was changed, {what}", paths.join(", "), self.check)?;
        if self.said.is_empty() { Ok(()) } else { write!(f, ": {}", self.said.lines().last().unwrap_or_default()) }
    }
}

/// How long looking may take.
#[derive(Debug, Clone, Copy)]
struct Time {
    begun: Instant,
    limit: Option<Duration>,
}

impl Time {
    fn is_not_over(self) -> Result<()> {
        let Some(limit) = self.limit.filter(|limit| self.begun.elapsed() > *limit) else { return Ok(()) };
        let why = format!("looking at what was changed took longer than {} seconds", limit.as_secs());
        Err(Error::failed("catch up", why).mend("run 'thinroot state catch-up' before the host is restarted"))
    }
}

impl Host {
    /// The staged layer that waits for its first boot, and where its state came from: the named one, else the one that is
    /// armed and was not tried yet. `Err` says in words why there is none.
    fn staged(&self, layer: Option<&LayerName>) -> Result<std::result::Result<Carried, String>> {
        let selection = self.boot.read_selection()?.unwrap_or_default();
        let present = self.booted.as_ref().or(selection.default_layer()).cloned();
        let armed = selection.armed().filter(|armed| armed.tries_left == TRIES).map(|armed| &armed.layer);
        let Some(layer) = layer.or(armed) else { return Ok(Err("no layer waits for its first boot".into())) };
        let carried = self.last_carried(Some(layer))?.filter(|carried| Some(&carried.from) == present.as_ref());
        let Some(carried) = carried else {
            return Ok(Err(format!("the state of {layer} was not carried from the layer that runs")));
        };
        // A layer that was tried before has run: what it has is its own. Catching up arms again, and tries nothing.
        let journals = self.records.journals()?;
        let makes = |step: &Step| matches!(step, Step::MergeState { layer: made, .. } if made == layer);
        let Some(at) = journals.iter().rposition(|journal| journal.plan.steps.iter().any(makes)) else {
            return Ok(Err(format!("nothing says any more how {layer} was staged")));
        };
        let boots = |step: &Step| matches!(step, Step::Arm { layer: next, .. } | Step::SetDefault { layer: next } if next == layer);
        let since = journals[at..].iter().filter(|journal| journal.plan.purpose != Purpose::CatchUp);
        Ok(if since.filter(|journal| journal.plan.steps.iter().any(boots)).count() <= 1 {
            Ok(carried)
        } else {
            Err(format!("{layer} has been armed before, and may have run"))
        })
    }
}

impl Change<'_> {
    /// Makes the merge of a staged layer again and changes in it what comes out otherwise. Gives up, with nothing
    /// touched, where looking alone took longer than `limit`. That it failed is recorded, since nobody may be looking.
    pub fn catch_up(
        &self,
        layer: Option<&LayerName>,
        limit: Option<Duration>,
        reporter: &dyn Reporter,
    ) -> Result<CaughtUp> {
        let host = self.host();
        host.inventory()?.no_open_plan().map_err(|refusal| host.refuse("catch up", refusal))?;
        let carried = match host.staged(layer)? {
            Ok(carried) => carried,
            Err(why) => return Ok(CaughtUp::Nothing(why)),
        };
        let missed = |why: String| Missed { layer: carried.layer.clone(), why };
        let done = self.catch_up_with(&carried, limit, reporter);
        match &done {
            Ok(CaughtUp::Done { refused, .. }) if refused.iter().any(|refusal| refusal.stays) => {
                let said: Vec<String> =
                    refused.iter().filter(|refusal| refusal.stays).map(Refusal::to_string).collect();
                host.records.put_missed(Some(&missed(said.join("; "))))?;
            }
            Ok(_) => host.records.put_missed(None)?,
            Err(error) if error.kind == ErrorKind::PowerCut => {}
            Err(error) => host.records.put_missed(Some(&missed(error.to_string())))?,
        }
        done
    }

    /// Once where all goes well. Where a check refuses what was merged, again with this host's version of what it is
    /// about, and where it refuses that too, without: each try is a plan of its own, which is undone before the next.
    fn catch_up_with(&self, carried: &Carried, limit: Option<Duration>, reporter: &dyn Reporter) -> Result<CaughtUp> {
        let time = Time { begun: Instant::now(), limit };
        let mut refused = Vec::new();
        loop {
            match self.try_to_catch_up(carried, time, &refused, reporter) {
                Err(error) if error.kind == ErrorKind::Failed && self.learn(&mut refused)? => {}
                done => return done,
            }
        }
    }

    fn try_to_catch_up(
        &self,
        carried: &Carried,
        time: Time,
        refused: &[Refusal],
        reporter: &dyn Reporter,
    ) -> Result<CaughtUp> {
        let host = self.host();
        let (from, layer) = (&carried.from, carried.layer.clone());
        reporter.event(Event::Begin { step: 0, text: format!("compare {from} with what was carried from it") });
        // What is still being written, as logs are to the last, would be another when it is kept than when it was compared.
        let frozen = host.seed()?.frozen_name();
        host.store.snapshot(&from.volume(), &frozen, Role::Frozen)?;
        let late = self.look(carried, &frozen, time, refused, reporter);
        let cut = matches!(&late, Err(error) if error.kind == ErrorKind::PowerCut);
        let removed = if cut { Ok(Ensured::Already) } else { host.store.remove(&frozen) };
        let (late, plan) = late?;
        removed?;
        reporter.event(Event::End { step: 0, text: format!("{} paths differ", late.edits.edits.len()) });
        if late.edits.edits.is_empty() && late.skipped.is_empty() && refused.is_empty() {
            return Ok(CaughtUp::Nothing(format!("nothing was changed in {from} that {layer} does not have")));
        }
        let report = self.carry_out(&late, plan, reporter)?;
        let skipped = late.skipped.into_iter().collect();
        Ok(CaughtUp::Done { layer, edits: late.edits.edits, skipped, refused: refused.to_vec(), report })
    }

    /// Adds what checks refused of the last plan; false where none did, or nothing more can be given way to.
    fn learn(&self, refused: &mut Vec<Refusal>) -> Result<bool> {
        let records = &self.host().records;
        let Some(journal) = records.journals()?.pop() else { return Ok(false) };
        let asked =
            |(step, state): (&Step, &StepState)| matches!(step, Step::CheckState { .. }) && *state == StepState::Undone;
        let steps = journal.plan.steps.iter().zip(&journal.steps);
        if journal.plan.purpose != Purpose::CatchUp || !steps.into_iter().any(asked) {
            return Ok(false);
        }
        let Some(json) = records.decisions(&journal.plan.id)? else { return Ok(false) };
        let state: StatePlan = serde_json::from_slice(&json).map_err(|why| Error::damaged("read a plan", why))?;
        let mut more = false;
        for check in state.checks.into_iter().filter(|check| check.on_failure != OnFailure::Report) {
            let Some(Answer { verdict: Verdict::Refused, said }) = check.answer else { continue };
            let known = refused.iter_mut().find(|refusal| refusal.check == check.name);
            match known {
                Some(refusal) => {
                    more |= !refusal.stays;
                    (refusal.stays, refusal.said) = (true, said);
                }
                None => {
                    more = true;
                    let stays = check.on_failure == OnFailure::Block;
                    refused.push(Refusal { check: check.name, said, paths: check.paths, stays });
                }
            }
        }
        Ok(more)
    }

    /// Looks at both layers, plans, and keeps whatever would be needed. Neither layer is touched.
    fn look(
        &self,
        carried: &Carried,
        frozen: &VolumeName,
        time: Time,
        refused: &[Refusal],
        reporter: &dyn Reporter,
    ) -> Result<(Late, Plan)> {
        let host = self.host();
        let layer = &carried.layer;
        let source = host.store.mount(frozen, Access::Inspect)?;
        let target = host.look_into(layer)?;
        let base = host.mount_base(layer.base())?.ok_or_else(|| {
            Error::refused("catch up", format!("{} is not here any more", layer.base())).mend("update again")
        })?;
        let trees = [source, target, base];
        let late = self.late(carried, &trees, refused, reporter)?;
        if late.state.blocked {
            return Err(Error::refused("catch up", late.state.why_blocked())
                .mend("decide these paths in the running layer, then run it again"));
        }
        time.is_not_over()?;
        let about = |check: &Check| late.edits.edits.iter().any(|edit| check.paths.contains(&edit.path));
        let checked = late.state.checks.iter().any(about);
        let plan = planning::catch_up(&host.inventory()?, &late.edits, checked, host.seed()?);
        let plan = plan.map_err(|refusal| host.refuse("catch up", refusal))?;
        self.keep_late(&late, &trees)?;
        trees.into_iter().try_for_each(Mounted::finish)?;
        Ok((late, plan))
    }

    fn late(
        &self,
        carried: &Carried,
        trees: &[Mounted; 3],
        refused: &[Refusal],
        reporter: &dyn Reporter,
    ) -> Result<Late> {
        let host = self.host();
        let [source, target, base] = trees;
        let vendor = host.manifest(carried.layer.base())?;
        let mut contents = tree_contents(base.path(), &vendor);
        let image = carried.layer.base();
        let into = Into { image, new: &vendor, contents: &mut contents, root: Some(base.path()) };
        let planned = host.plan_state(&carried.from, source.path(), into, reporter)?;
        let mut now = planned.state;
        hold(&carried.state, &mut now);
        for refusal in refused {
            let check = now.checks.iter().find(|check| check.name == refusal.check).cloned();
            check.iter().for_each(|check| drop(take_local(&mut now, check, |_| true)));
        }
        let mut edits = differences(&carried.state, &now, &vendor);
        let present = entries_at(target.path(), &edits.iter().map(|edit| edit.path.clone()).collect())?;
        let elsewhere = |edit: &&Edit| edit.standing(present.get(&edit.path)) == Standing::Elsewhere;
        let mut skipped: BTreeSet<TreePath> = edits.iter().filter(elsewhere).map(|edit| edit.path.clone()).collect();
        // The account files say the same in several places: they are changed together or not at all.
        let set: Vec<TreePath> =
            accounts::PATHS.iter().filter_map(|text| TreePath::parse(text.as_bytes()).ok()).collect();
        if set.iter().any(|path| skipped.contains(path)) {
            skipped.extend(set.into_iter().filter(|path| edits.iter().any(|edit| edit.path == *path)));
        }
        // What a check refuses in any case stays with what it goes with.
        let stays = |path: &TreePath| refused.iter().any(|refusal| refusal.stays && refusal.paths.contains(path));
        let left: BTreeSet<TreePath> =
            edits.iter().map(|edit| &edit.path).filter(|path| stays(path)).cloned().collect();
        edits.retain(|edit| !skipped.contains(&edit.path) && !left.contains(&edit.path));
        now.checks = checks(&carried.state, &now, &edits);
        for check in &mut now.checks {
            let refusal = refused.iter().find(|refusal| refusal.check == check.name && !refusal.stays);
            let said = refusal.map(|refusal| Answer { verdict: Verdict::TookLocal, said: refusal.said.clone() });
            check.answer = said.or(check.answer.take());
        }
        let state = combined(&carried.state, &now, &skipped.union(&left).cloned().collect());
        let made = planned.made;
        Ok(Late { edits: EditPlan { layer: carried.layer.clone(), edits }, state, skipped, made })
    }

    fn carry_out(&self, late: &Late, plan: Plan, reporter: &dyn Reporter) -> Result<Option<Report>> {
        let host = self.host();
        if late.edits.edits.is_empty() {
            return Ok(None);
        }
        let json = serde_json::to_vec(&late.state).expect("state plans always serialise");
        host.records.put_decisions(&plan.id, &json)?;
        host.records.put_edits(&plan.id, &late.edits)?;
        execute::execute(host, plan, None, reporter).map(Some)
    }

    /// Keeps both ends of each edit and whatever lost, from whichever tree has it.
    fn keep_late(&self, late: &Late, trees: &[Mounted; 3]) -> Result<()> {
        let blobs = BlobStore::new(&self.host().records.blobs());
        let mut roots = Vec::new();
        for tree in trees {
            roots.push(RootContents::open(tree.path())?);
        }
        blobs.keep_made(&late.made)?;
        let texts = merged_texts(&late.state);
        let sources: BTreeMap<&TreePath, &TreePath> =
            late.state.decisions.iter().map(|decision| (&decision.path, decision.source())).collect();
        for edit in &late.edits.edits {
            for (digest, _) in edit.contents() {
                let found = match texts.get(&digest) {
                    Some(text) => blobs.keep(&digest, &mut &**text, &edit.path).map(|_| true)?,
                    None => {
                        blobs.keep_from(&digest, &edit.path, &roots)?
                            || blobs.keep_from(&digest, sources.get(&edit.path).unwrap_or(&&edit.path), &roots)?
                    }
                };
                if !found {
                    let why = "its content is in none of the trees that it was told from";
                    return Err(Error::damaged(format!("catch up with {}", edit.path), why).mend("run it again"));
                }
            }
        }
        for decision in &late.state.decisions {
            for kept in &decision.kept {
                // An original that is nowhere to be had any more is missed by a later merge, and by nothing else.
                blobs.keep_from(&kept.digest, &decision.path, &roots)?;
            }
        }
        Ok(())
    }
}

fn merged_texts(state: &StatePlan) -> BTreeMap<Digest, &[u8]> {
    fn text(decision: &Decision) -> Option<(Digest, &[u8])> {
        let Action::Put { entry, content: Content::Merged { text } } = &decision.action else { return None };
        Some((entry.kind.digest()?, text.as_slice()))
    }
    state.decisions.iter().filter_map(text).collect()
}
