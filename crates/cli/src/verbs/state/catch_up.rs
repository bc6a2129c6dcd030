//! `state catch-up`: take along what was changed after an update was staged.

use std::time::Duration;

use serde::Serialize;
use thinroot_core::name::LayerName;
use thinroot_core::path::TreePath;
use thinroot_core::state::Edit;
use thinroot_engine::error::Result;
use thinroot_engine::execute::Report;
use thinroot_engine::host::{CaughtUp, Refusal};

use crate::answer::Answer;
use crate::exit::Exit;
use crate::guide::{CHANGES, Guide};
use crate::render;
use crate::session::{Mounts, Session};

/// What to catch up with.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The staged layer [default: the armed one that was not tried yet]
    #[arg(long, value_name = "LAYER")]
    pub layer: Option<LayerName>,
    /// Give up where looking takes longer than so many seconds; nothing is touched then
    #[arg(long, value_name = "SECONDS")]
    pub limit: Option<u64>,
}

/// How it is used.
pub const GUIDE: Guide = Guide {
    verb: &["state", "catch-up"],
    examples: &[
        ("thinroot state catch-up", "take along what was changed since the update was staged"),
        ("thinroot state catch-up --limit 60", "as the service does it when the host shuts down"),
    ],
    exits: CHANGES,
};

#[derive(Serialize)]
struct Body<'a> {
    layer: Option<&'a LayerName>,
    changed: bool,
    why: Option<&'a str>,
    edits: &'a [Edit],
    skipped: &'a [TreePath],
    refused: &'a [Refusal],
    report: Option<&'a Report>,
}

/// Does it.
pub fn run(session: &Session, args: &Args) -> Result<Answer> {
    let host = session.host(Mounts::Private)?;
    let limit = args.limit.map(Duration::from_secs);
    match session.change(&host)?.catch_up(args.layer.as_ref(), limit, &session.story)? {
        CaughtUp::Nothing(why) => {
            let text = format!("nothing to do: {why}\n");
            let why = Some(why.as_str());
            let body = Body { layer: None, changed: false, why, edits: &[], skipped: &[], refused: &[], report: None };
            Ok(Answer::new(Exit::Done, text, "state_catch_up", &body))
        }
        CaughtUp::Done { layer, edits, skipped, refused, report } => {
            let (changed, report) = (report.is_some(), report.as_ref());
            let mut text = format!("changed {} in {layer}\n", render::count(edits.len(), "path"));
            text.extend(edits.iter().map(|edit| format!("  {edit}\n")));
            let left =
                |path: &TreePath| format!("{path}: changed in {layer} meanwhile too, so it stays as it is there");
            let findings = skipped.iter().map(left).chain(refused.iter().map(ToString::to_string));
            text += &render::report::list("findings", &findings.collect::<Vec<_>>());
            text += &report.map(render::report::findings).unwrap_or_default();
            let exit = match (skipped.is_empty() && refused.is_empty(), report) {
                (false, _) => Exit::Findings,
                (true, Some(report)) => Exit::of_report(report),
                (true, None) => Exit::Done,
            };
            let body = Body {
                layer: Some(&layer),
                changed,
                why: None,
                edits: &edits,
                skipped: &skipped,
                refused: &refused,
                report,
            };
            Ok(Answer::new(exit, text, "state_catch_up", &body))
        }
    }
}
