//! `state conflicts`: what the update that made a layer could not merge.

use std::collections::BTreeSet;

use serde::Serialize;
use thinroot_core::name::LayerName;
use thinroot_core::plan::PlanId;
use thinroot_core::state::{Decision, Level};
use thinroot_engine::error::Result;

use crate::answer::Answer;
use crate::exit::Exit;
use crate::guide::Guide;
use crate::render::count;
use crate::render::state::{Extent, groups, hint};
use crate::session::{Mounts, Session};

/// Of which layer.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The layer [default: the newest that an update made]
    #[arg(long, value_name = "LAYER")]
    pub layer: Option<LayerName>,
}

/// How it is used.
pub const GUIDE: Guide = Guide {
    verb: &["state", "conflicts"],
    examples: &[("thinroot state conflicts", "after an update that ended with exit code 4")],
    exits: &[
        (Exit::Done, Some("there are none")),
        (Exit::Failed, Some("the records could not be read")),
        (Exit::Usage, None),
        (Exit::Refused, Some("not run as root")),
        (Exit::Findings, Some("there are some")),
    ],
};

#[derive(Serialize)]
struct Body<'a> {
    plan: Option<&'a PlanId>,
    layer: Option<&'a LayerName>,
    conflicts: &'a [Decision],
}

/// Does it.
pub fn run(session: &Session, args: &Args) -> Result<Answer> {
    let host = session.host(Mounts::Private)?;
    let Some(mut last) = host.last_carried(args.layer.as_ref())? else {
        let body = Body { plan: None, layer: None, conflicts: &[] };
        return Ok(Answer::new(Exit::Done, "no update has carried any state yet\n", "state_conflicts", &body));
    };
    let open: BTreeSet<String> = host.open_decisions(&last)?.iter().map(|decision| decision.id.clone()).collect();
    let all = last.state.decisions.iter().filter(|decision| decision.level == Level::Conflict).count();
    last.state.decisions.retain(|decision| decision.level == Level::Conflict && open.contains(&decision.id));
    last.state.notes.clear();
    let conflicts = &last.state.decisions;
    let resolved = match all - conflicts.len() {
        0 => String::new(),
        resolved => format!(", {resolved} resolved"),
    };
    let mut text = format!("{} in {}{resolved} (plan {})\n", count(conflicts.len(), "conflict"), last.layer, last.plan);
    text += &groups(&last.state, Extent::Full, |_| true);
    text += hint(&last.state);
    let exit = if conflicts.is_empty() { Exit::Done } else { Exit::Findings };
    let body = Body { plan: Some(&last.plan), layer: Some(&last.layer), conflicts };
    Ok(Answer::new(exit, text, "state_conflicts", &body))
}
