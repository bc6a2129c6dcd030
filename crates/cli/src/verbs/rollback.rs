//! `rollback`: arms another layer.

use serde::Serialize;
use thinroot_core::name::LayerName;
use thinroot_engine::error::Result;
use thinroot_engine::execute::Report;
use thinroot_engine::host::ArmedStatus;

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
    default: Option<&'a LayerName>,
    armed: Option<&'a ArmedStatus>,
    report: &'a Report,
}

/// Does it.
pub fn run(session: &Session, args: &Args) -> Result<Answer> {
    let host = session.host(Mounts::Private)?;
    let report = session.change(&host)?.rollback(args.to.as_ref(), &session.story)?;
    let status = host.status()?;
    let body = Body { default: status.default.as_ref(), armed: status.armed.as_ref(), report: &report };
    let text = what_boots(body.default, body.armed) + &render::report::findings(&report);
    Ok(Answer::new(Exit::of_report(&report), text, "rollback", &body))
}

fn what_boots(default: Option<&LayerName>, armed: Option<&ArmedStatus>) -> String {
    match (armed, default) {
        (Some(ArmedStatus { layer, tries_left }), _) => format!("boot entry of {layer} armed, {tries_left} tries\n"),
        (None, Some(layer)) => format!("{layer} boots next: it is the default, and nothing is armed\n"),
        (None, None) => "nothing boots: no layer is armed or the default\n".into(),
    }
}
