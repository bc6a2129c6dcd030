//! `state undo`: take back what an update or an edit did to paths.

use std::ffi::OsString;

use serde::Serialize;
use thinroot_core::name::LayerName;
use thinroot_core::state::Edit;
use thinroot_engine::error::Result;
use thinroot_engine::execute::Report;
use thinroot_engine::host::{ChangedSince, EditWish, Host};

use super::tree_path;
use crate::answer::Answer;
use crate::exit::Exit;
use crate::guide::{CHANGES, Guide};
use crate::render;
use crate::session::{Mounts, Session};

/// What to undo.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("what").required(true))]
pub struct Args {
    /// A path, the name of a decision (14:/etc/hosts), or the plan of an edit
    #[arg(value_name = "PATH|DECISION|PLAN", group = "what", num_args = 1..)]
    pub wanted: Vec<OsString>,
    /// Everything that the update carried, and what was resolved since
    #[arg(long, group = "what")]
    pub all: bool,
    /// Also where a path was changed in the layer since; what it is now is kept
    #[arg(long)]
    pub force: bool,
    /// The layer [default: the newest that an update made]
    #[arg(long, value_name = "LAYER")]
    pub layer: Option<LayerName>,
    /// Show what would be done, and do nothing
    #[arg(long)]
    pub plan: bool,
}

/// How it is used.
pub const GUIDE: Guide = Guide {
    verb: &["state", "undo"],
    examples: &[
        ("thinroot state undo /etc/hosts", "take back what was last done to it: first what you resolved"),
        ("thinroot state undo 14:/etc/hosts", "back to before this decision: as the image ships it"),
        ("thinroot state undo --all --plan", "what would it mean to have carried nothing?"),
    ],
    exits: CHANGES,
};

/// Does it.
pub fn run(session: &Session, args: &Args) -> Result<Answer> {
    let host = session.host(Mounts::Private)?;
    let is_path = |text: &OsString| text.as_encoded_bytes().starts_with(b"/");
    let wish = match args.wanted.as_slice() {
        _ if args.all => EditWish::UndoAll,
        [one] if !is_path(one) => EditWish::UndoDeed(one.to_string_lossy().into_owned()),
        paths => EditWish::UndoPaths(paths.iter().map(tree_path).collect::<Result<_>>()?),
    };
    let changed = if args.force { ChangedSince::KeepAside } else { ChangedSince::Refuse };
    edited(session, &host, args.layer.as_ref(), &wish, changed, args.plan)
}

#[derive(Serialize)]
struct Body<'a> {
    layer: &'a LayerName,
    changed: bool,
    edits: &'a [Edit],
    report: Option<&'a Report>,
}

/// Plans an edit and, unless only the plan is wanted, carries it out.
pub fn edited(
    session: &Session,
    host: &Host,
    layer: Option<&LayerName>,
    wish: &EditWish,
    changed: ChangedSince,
    plan_only: bool,
) -> Result<Answer> {
    let lines = |edits: &[Edit]| edits.iter().map(|edit| format!("  {edit}\n")).collect::<String>();
    let answer = |edits: &thinroot_engine::host::Edits, report: Option<&Report>| {
        let plan = &edits.plan;
        let head = match report {
            None => format!("would change {} in {}\n", render::count(plan.edits.len(), "path"), plan.layer),
            Some(_) => format!("changed {} in {}\n", render::count(plan.edits.len(), "path"), plan.layer),
        };
        let mut text = head + &lines(&plan.edits);
        if let Some(report) = report {
            text += &render::report::findings(report);
            text += &format!("to take this back: thinroot state undo {}\n", report.plan.id);
        }
        let exit = report.map_or(Exit::Done, Exit::of_report);
        let body = Body { layer: &plan.layer, changed: report.is_some(), edits: &plan.edits, report };
        Answer::new(exit, text, "state_edit", &body)
    };
    if plan_only {
        return Ok(answer(&host.plan_edit(layer, wish, changed)?, None));
    }
    let change = session.change(host)?;
    let edits = host.plan_edit(layer, wish, changed)?;
    let report = change.edit(&edits, &session.story)?;
    Ok(answer(&edits, Some(&report)))
}
