//! `rollback`: arms another layer, as it is or with what was changed since.

use serde::Serialize;
use thinroot_core::name::LayerName;
use thinroot_core::plan::Plan;
use thinroot_core::state::StatePlan;
use thinroot_engine::error::{Error, Result};
use thinroot_engine::execute::Report;
use thinroot_engine::host::{ArmedStatus, BackPreview, Host};

use super::update::RoomBody;
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
/// Never changes a layer: state that was changed since stays where it is. With --carry-state what was changed since the
/// update is merged, by the same rules as in an update, into a copy of the layer to go back to, and the copy is armed;
/// both layers stay as they are. What it did is shown by 'thinroot state show' and undone by 'thinroot state undo'.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The layer to boot [default: the one to go back to]
    #[arg(long, value_name = "LAYER")]
    pub to: Option<LayerName>,
    /// Take along what was changed since, in a copy of the layer to go back to
    #[arg(long)]
    pub carry_state: bool,
    /// Whose changes to take along [default: the booted layer, else the armed one, else the default]
    #[arg(long, value_name = "LAYER", requires = "carry_state")]
    pub from: Option<LayerName>,
    /// Show everything that would happen, and do nothing
    #[arg(long, requires = "carry_state")]
    pub plan: bool,
}

/// How it is used.
pub const GUIDES: &[Guide] = &[Guide {
    verb: &["rollback"],
    examples: &[
        ("thinroot rollback", "go back"),
        ("thinroot rollback --to node-1.0-1+1", "boot this layer next, whichever it is"),
        ("thinroot rollback --carry-state --plan", "see what would become of everything changed since the update"),
        ("thinroot rollback --carry-state", "go back and take it along"),
    ],
    exits: CHANGES,
}];

#[derive(Serialize)]
struct Body<'a> {
    default: Option<&'a LayerName>,
    armed: Option<&'a ArmedStatus>,
    report: &'a Report,
    state: Option<&'a StatePlan>,
}

/// Does it.
pub fn run(session: &Session, args: &Args) -> Result<Answer> {
    let host = session.host(Mounts::Private)?;
    if args.plan {
        return planned(&host, &preview(session, &host, args)?);
    }
    let change = session.change(&host)?;
    let report = if args.carry_state {
        let preview = preview(session, &host, args)?;
        if preview.state.blocked {
            return Err(Error::refused("go back with what was changed since", preview.state.why_blocked())
                .mend("decide these paths in the running layer, or go back without --carry-state"));
        }
        change.back(preview.plan, &session.story)?
    } else {
        change.rollback(args.to.as_ref(), &session.story)?
    };
    done(&host, &report)
}

fn preview(session: &Session, host: &Host, args: &Args) -> Result<BackPreview> {
    host.plan_back(args.from.as_ref(), args.to.as_ref(), &session.story)
}

#[derive(Serialize)]
struct PlanBody<'a> {
    from: &'a LayerName,
    to: &'a LayerName,
    plan: &'a Plan,
    blocked: bool,
    room: RoomBody,
    state: &'a StatePlan,
}

fn planned(host: &Host, preview: &BackPreview) -> Result<Answer> {
    let room = host.inventory()?.room;
    let BackPreview { between, plan, state, need } = preview;
    let (from, to) = (&between.from, &between.to);
    let body = PlanBody { from, to, plan, blocked: state.blocked, room: RoomBody::new(*need, room), state };
    let exit = if state.blocked { Exit::Refused } else { Exit::Done };
    let text = render::plan::whole(plan, *need, room, Some(state));
    Ok(Answer::new(exit, text, "rollback_plan", &body))
}

fn done(host: &Host, report: &Report) -> Result<Answer> {
    let status = host.status()?;
    let carried = render::report::new_layer(&report.plan);
    let state = carried.map(|_| host.decisions(Some(&report.plan.id))).transpose()?.flatten().map(|(_, state)| state);
    let body = Body { default: status.default.as_ref(), armed: status.armed.as_ref(), report, state: state.as_ref() };
    let mut text = match (carried, &state) {
        (Some(layer), Some(state)) => {
            format!("layer {layer} has what was changed since\n") + &render::report::with_state(report, state)
        }
        _ => render::report::findings(report),
    };
    text.insert_str(0, &what_boots(body.default, body.armed));
    Ok(Answer::new(Exit::of_report(report), text, "rollback", &body))
}

fn what_boots(default: Option<&LayerName>, armed: Option<&ArmedStatus>) -> String {
    match (armed, default) {
        (Some(ArmedStatus { layer, tries_left }), _) => format!("boot entry of {layer} armed, {tries_left} tries\n"),
        (None, Some(layer)) => format!("{layer} boots next: it is the default, and nothing is armed\n"),
        (None, None) => "nothing boots: no layer is armed or the default\n".into(),
    }
}
