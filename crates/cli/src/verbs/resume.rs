//! `resume`: finishes an interrupted plan.

use serde::Serialize;
use thinroot_core::image::ImageInfo;
use thinroot_core::journal::Outcome;
use thinroot_engine::error::Result;
use thinroot_engine::execute::Report;
use thinroot_engine::source::Image;

use crate::answer::Answer;
use crate::exit::Exit;
use crate::guide::Guide;
use crate::render;
use crate::session::{Mounts, Session, parse_image};

/// Finish a plan that was interrupted
///
/// Goes on where a run was killed or the power went: steps that are done stay done, the one that was begun is done
/// again. Where undoing had begun, undoing is finished. An image that is still needed is read again from where it
/// was, and must be the same. Without an interrupted plan there is nothing to do.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// How it is used.
pub const GUIDES: &[Guide] = &[Guide {
    verb: &["resume"],
    examples: &[("thinroot resume", "after 'status' or exit code 6 said that a plan was interrupted")],
    exits: ENDS,
}];

/// Ends of `resume` and `abandon`.
pub(super) const ENDS: &[(Exit, Option<&str>)] = &[
    (Exit::Done, Some("done, or there was no interrupted plan")),
    (Exit::Failed, Some("the plan failed, and what it had begun was undone")),
    (Exit::Usage, None),
    (Exit::Refused, Some("refused: the image has changed, or not run as root")),
    (Exit::Findings, None),
    (Exit::Busy, None),
    (Exit::Interrupted, Some("the plan is still open: the cause must be mended first")),
];

/// Does it.
pub fn run(session: &Session, _args: &Args) -> Result<Answer> {
    let host = session.host(Mounts::Private)?;
    let mut reopen = |info: &ImageInfo| -> Result<Image> {
        // Under the identity it was given then: --as is not part of where it is.
        session.image_at(&parse_image(&info.source)?, Some(info.id.clone()))
    };
    let report = session.change(&host)?.resume(&mut reopen, &session.story)?;
    Ok(answer(report, "resume"))
}

#[derive(Serialize)]
struct Body {
    report: Option<Report>,
}

/// The answer of `resume` and `abandon`.
pub(super) fn answer(report: Option<Report>, key: &str) -> Answer {
    let Some(report) = report else {
        return Answer::new(Exit::Done, "nothing to do: no plan is interrupted\n", key, &Body { report: None });
    };
    let id = &report.plan.id;
    let text = match report.outcome {
        Outcome::Done | Outcome::DoneWithFindings => {
            format!("plan {id} is finished\n{}", render::report::what_boots(&report.plan))
        }
        Outcome::Failed => format!("plan {id} had failed and is undone\n"),
        Outcome::Abandoned => format!("plan {id} is abandoned: nothing of it is left that had not become final\n"),
    } + &render::report::findings(&report);
    Answer::new(Exit::of_report(&report), text, key, &Body { report: Some(report) })
}
