//! `rollback`: arms another layer.

use serde::Serialize;
use thinroot_core::name::LayerName;
use thinroot_engine::error::Result;
use thinroot_engine::execute::Report;

use crate::answer::Answer;
use crate::exit::Exit;
use crate::guide::{CHANGES, Guide};
use crate::render;
use crate::session::{Mounts, Session};

/// Arm another layer: go back, or forward again
///
/// Arms the layer to go back to (the one that was good before the default), or the named one, for the next boot. Like
/// every armed layer it has a number of tries and becomes the default only when it is blessed. While an update is armed
/// and not yet booted, going back means that the default boots.
///
/// Never changes a layer: state that was changed since stays where it is.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The layer to boot [default: the one to go back to]
    #[arg(long, value_name = "LAYER")]
    pub to: Option<LayerName>,
}

/// How it is used.
pub const GUIDES: &[Guide] = &[Guide {
    verb: &["rollback"],
    examples: &[
        ("thinroot rollback", "go back"),
        ("thinroot rollback --to node-1.0-1+1", "boot this layer next, whichever it is"),
    ],
    exits: CHANGES,
}];

#[derive(Serialize)]
struct Body<'a> {
    report: &'a Report,
}

/// Does it.
pub fn run(session: &Session, args: &Args) -> Result<Answer> {
    let host = session.host(Mounts::Private)?;
    let report = session.change(&host)?.rollback(args.to.as_ref(), &session.story)?;
    let done = report.plan.steps.iter().map(|step| format!("done: {step}\n")).collect::<String>();
    let text = done + &render::report::findings(&report);
    Ok(Answer::new(Exit::of_report(&report), text, "rollback", &Body { report: &report }))
}
