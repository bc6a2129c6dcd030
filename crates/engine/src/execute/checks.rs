//! Asks the new image's own checkers about what was merged, before anything can boot it.
//!
//! Separate from the merge because it comes after it, in the layer as it will be. Must stay true: what is put in the place of
//! a refused merge is what this host had, which is kept first; a checker that cannot be asked stops nothing.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use thinroot_core::name::ImageId;
use thinroot_core::path::TreePath;
use thinroot_core::state::StatePlan;
use thinroot_core::state::checks::{Answer, Check, OnFailure, Verdict, take_local};

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

/// What one said.
enum Judged {
    Said(Answer),
    /// It refuses what was merged: what it says of that alone.
    Refuses(String),
}

fn judge(check: &Check, layer: &Path, shipped: Option<&Path>) -> Result<Judged> {
    let answer = |verdict, said: &str| Ok(Judged::Said(Answer { verdict, said: said.into() }));
    let after = match run(check, layer) {
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
    match check.on_failure {
        OnFailure::Report => answer(Verdict::Refused, &new),
        OnFailure::Block | OnFailure::Local => Ok(Judged::Refuses(new)),
    }
}

fn refused(check: &Check, said: &str) -> Error {
    let what: Vec<String> = check.paths.iter().map(ToString::to_string).collect();
    Error::refused(
        format!("use what was merged in {}", what.join(", ")),
        format!("{} of the new image refuses it: {said}", check.argv.join(" ")),
    )
    .mend("change it on this host so that the new version takes it, or say with a rule what is to become of it")
}

fn ask(host: &Host, check: &Check, plan: &mut StatePlan, roots: Roots<'_>, shipped: Option<&Path>) -> Result<Answer> {
    let new = match judge(check, roots.layer, shipped)? {
        Judged::Said(answer) => return Ok(answer),
        Judged::Refuses(new) => new,
    };
    if check.on_failure == OnFailure::Block || !put_local(host, check, plan, roots)? {
        return Err(refused(check, &new));
    }
    match run(check, roots.layer)? {
        ran if ran.good() => Ok(Answer { verdict: Verdict::TookLocal, said: new }),
        ran => Err(refused(check, &ran.said)),
    }
}

/// Runs those that are about some of these paths, and takes nothing else in their place: the error of the first that
/// refuses, with the answers of all in the plan. That the host's version was taken before stays on record.
pub(super) fn check_again(
    host: &Host,
    plan: &mut StatePlan,
    layer: &Path,
    base: &ImageId,
    about: &BTreeSet<TreePath>,
    reporter: &dyn Reporter,
) -> Result<Option<Error>> {
    let shipped = host.mount_base(base)?;
    let mut first = None;
    for check in plan.checks.iter_mut().filter(|check| check.paths.iter().any(|path| about.contains(path))) {
        reporter.event(Event::Note { text: format!("check {}", check.name) });
        let took_local = check.answer.take().filter(|answer| answer.verdict == Verdict::TookLocal);
        check.answer = Some(match judge(check, layer, shipped.as_ref().map(Mounted::path))? {
            Judged::Said(answer) if answer.verdict == Verdict::Good => took_local.unwrap_or(answer),
            Judged::Said(answer) => answer,
            Judged::Refuses(said) => {
                first = first.or_else(|| Some(refused(check, &said)));
                Answer { verdict: Verdict::Refused, said }
            }
        });
    }
    shipped.map_or(Ok(()), Mounted::finish)?;
    Ok(first)
}

/// Puts what this host had in the place of what was merged. False where nothing was.
fn put_local(host: &Host, check: &Check, plan: &mut StatePlan, roots: Roots<'_>) -> Result<bool> {
    let instead = take_local(plan, check, |_| true);
    if instead.is_empty() {
        return Ok(false);
    }
    let again = StatePlan { decisions: instead, ..StatePlan::default() };
    apply(&again, roots, &BlobStore::new(&host.records.blobs()))?;
    Ok(true)
}
