//! `prune`: removes what no rule keeps.

use serde::Serialize;
use thinroot_core::plan::Plan;
use thinroot_engine::error::Result;
use thinroot_engine::execute::Report;
use thinroot_engine::host::{DEFAULT_KEEP, RetireTarget};

use crate::answer::Answer;
use crate::exit::Exit;
use crate::guide::{CHANGES, Guide};
use crate::render;
use crate::session::{Mounts, Session};

/// Remove layers and bases that no rule keeps
///
/// Keeps what is booted, default, armed, last found good, the one to go back to, pinned, and the newest few layers of
/// each image name; removes the other layers, and older bases that no layer needs. 'status' says why each is kept.
///
/// Boot entries go before their layers, layers before their bases. Once begun it only goes forward.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How many of the newest layers of each image name stay anyway
    #[arg(long, value_name = "N", default_value_t = DEFAULT_KEEP)]
    pub keep: usize,
    /// Show what would be removed, and remove nothing
    #[arg(long)]
    pub plan: bool,
}

/// How it is used.
pub const GUIDES: &[Guide] = &[Guide {
    verb: &["prune"],
    examples: &[
        ("thinroot prune --plan", "see what would go"),
        ("thinroot prune --keep 1", "keep only what is needed, and the newest layer"),
    ],
    exits: CHANGES,
}];

#[derive(Serialize)]
struct Body<'a> {
    plan: Option<&'a Plan>,
    removed: Vec<String>,
    report: Option<&'a Report>,
}

/// Does it.
pub fn run(session: &Session, args: &Args) -> Result<Answer> {
    let host = session.host(Mounts::Private)?;
    let target = RetireTarget::Surplus { keep: args.keep };
    if args.plan {
        let plan = host.plan_retire(&target)?;
        let text = plan.as_ref().map_or("nothing to remove\n".to_string(), ToString::to_string);
        let body = Body { plan: plan.as_ref(), removed: Vec::new(), report: None };
        return Ok(Answer::new(Exit::Done, text, "prune", &body));
    }
    let report = session.change(&host)?.retire(&target, &session.story)?;
    let Some(report) = report else {
        let body = Body { plan: None, removed: Vec::new(), report: None };
        return Ok(Answer::new(Exit::Done, "nothing to remove\n", "prune", &body));
    };
    let removed = render::report::removed(&report.plan);
    let lines = removed.iter().map(|what| format!("removed {what}\n")).collect::<String>();
    let text = lines + &render::report::findings(&report);
    let body = Body { plan: Some(&report.plan), removed, report: Some(&report) };
    Ok(Answer::new(Exit::of_report(&report), text, "prune", &body))
}
