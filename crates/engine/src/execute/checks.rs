//! Asks the new image's own checkers about what was merged, before anything can boot it.
//!
//! Separate from the merge because it comes after it, in the layer as it will be. Must stay true: what is put in the place of
//! a refused merge is what this host had, which is kept first; a checker that cannot be asked stops nothing.

use std::path::Path;
use std::time::Duration;

use thinroot_core::name::ImageId;
use thinroot_core::state::checks::{Answer, Check, OnFailure, Verdict};
use thinroot_core::state::{Action, Content, Decision, Facet, FacetResult, Level, Origin, StatePlan};

use crate::confine::{Confined, Ran};
use crate::error::{Error, Result};
use crate::host::Host;
use crate::progress::{Event, Reporter};
use crate::state::{BlobStore, Roots, apply};
use crate::store::Mounted;

/// Runs every checker of a plan on the layer it was carried out in, and records what they said. An error stops the update.
pub(super) fn check(
    host: &Host,
    plan: &mut StatePlan,
    roots: Roots<'_>,
    base: &ImageId,
    reporter: &dyn Reporter,
) -> Result<()> {
    if plan.checks.is_empty() {
        return Ok(());
    }
    let shipped = host.mount_base(base)?;
    let mut checks = std::mem::take(&mut plan.checks);
    for check in &mut checks {
        reporter.event(Event::Note { text: format!("check {}", check.name) });
        check.answer = Some(ask(host, check, plan, roots, shipped.as_ref().map(Mounted::path))?);
    }
    plan.checks = checks;
    shipped.map_or(Ok(()), Mounted::finish)
}

fn run(check: &Check, root: &Path) -> Result<Ran> {
    let confined = Confined::new(root, &check.argv).limit(Duration::from_secs(check.limit_sec));
    match &check.directory {
        Some(name) => confined.directory(name).run(),
        None => confined.run(),
    }
}

fn ask(host: &Host, check: &Check, plan: &mut StatePlan, roots: Roots<'_>, shipped: Option<&Path>) -> Result<Answer> {
    let answer = |verdict, said: &str| Ok(Answer { verdict, said: said.into() });
    let after = match run(check, roots.layer) {
        Ok(ran) => ran,
        Err(error) => return answer(Verdict::Unable, &error.to_string()),
    };
    if after.good() {
        return answer(Verdict::Good, "");
    }
    if after.timed_out || after.code == Some(127) {
        return answer(Verdict::Unable, &after.said);
    }
    let before = shipped.map(|shipped| run(check, shipped)).transpose()?;
    if before.as_ref() == Some(&after) {
        return answer(Verdict::AsShipped, &after.said);
    }
    // What it says of the image as it was shipped is not about the merge.
    let known = before.map(|before| before.said).unwrap_or_default();
    let new: Vec<&str> = after.said.lines().filter(|line| !known.lines().any(|other| other == *line)).collect();
    let new = new.join("\n");
    let refused = |said: &str| {
        let what: Vec<String> = check.paths.iter().map(ToString::to_string).collect();
        Error::refused(
            format!("use what was merged in {}", what.join(", ")),
            format!("{} of the new image refuses it: {said}", check.argv.join(" ")),
        )
        .mend("change it on this host so that the new version takes it, or say with a rule what is to become of it")
    };
    match check.on_failure {
        OnFailure::Report => return answer(Verdict::Refused, &new),
        OnFailure::Block => return Err(refused(&new)),
        OnFailure::Local => {}
    }
    if !take_local(host, check, plan, roots)? {
        return Err(refused(&new));
    }
    match run(check, roots.layer)? {
        ran if ran.good() => answer(Verdict::TookLocal, &new),
        ran => Err(refused(&ran.said)),
    }
}

/// Puts what this host had in the place of what was merged. False where nothing was.
fn take_local(host: &Host, check: &Check, plan: &mut StatePlan, roots: Roots<'_>) -> Result<bool> {
    let mut instead = Vec::new();
    for decision in plan.decisions.iter_mut().filter(|decision| check.paths.contains(&decision.path)) {
        let Some(changed) = with_local(decision, &check.name) else { continue };
        *decision = changed;
        instead.push(decision.clone());
    }
    if instead.is_empty() {
        return Ok(false);
    }
    let again = StatePlan { decisions: instead, ..StatePlan::default() };
    apply(&again, roots, &BlobStore::new(&host.records.blobs()))?;
    plan.recount();
    Ok(true)
}

/// A decision that merged contents, as one that takes the host's.
fn with_local(decision: &Decision, checker: &str) -> Option<Decision> {
    let Action::Put { content: Content::Merged { .. }, .. } = &decision.action else { return None };
    let local = decision.local.clone()?;
    let mut out = decision.clone();
    out.action = Action::Put { entry: local, content: Content::Local };
    out.local = None;
    out.level = Level::Conflict;
    out.reason = format!("{}; what was merged is refused by the check {checker}", decision.reason);
    out.facets.retain(|result| result.facet != Facet::Content);
    let loser = Some("the merged text and the image's".to_string());
    out.facets.insert(0, FacetResult { facet: Facet::Content, from: Origin::Local, loser });
    Some(out)
}
