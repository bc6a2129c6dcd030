//! `state show`: what an update carried, merged and set aside.

use std::ffi::OsString;
use std::io::Write;

use serde::Serialize;
use thinroot_core::manifest::Digest;
use thinroot_core::plan::PlanId;
use thinroot_core::state::{Decision, StatePlan};
use thinroot_engine::error::{Error, ErrorKind, Result};

use super::{is_wanted, tree_paths};
use crate::answer::Answer;
use crate::exit::Exit;
use crate::guide::Guide;
use crate::render;
use crate::session::{Mounts, Session};

/// What is shown.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The plan [default: the last update]
    #[arg(value_name = "PLAN")]
    pub plan: Option<PlanId>,
    /// Only this path and what lies beneath it; may be given more than once
    #[arg(long, value_name = "PATH")]
    pub path: Vec<OsString>,
    /// Show every decision, also those where the image's version came in without a loss
    #[arg(long)]
    pub all: bool,
    /// Print the kept content with this SHA-256 to stdout, and nothing else
    #[arg(long, value_name = "SHA256", value_parser = digest, conflicts_with_all = ["plan", "path", "all", "json"])]
    pub kept: Option<Digest>,
}

/// How it is used.
pub const GUIDE: Guide = Guide {
    verb: &["state", "show"],
    examples: &[
        ("thinroot state show", "what the last update did"),
        ("thinroot state show --path /etc/ssh --all", "everything beneath one directory"),
        (
            "thinroot state show --kept 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 > hosts.vendor",
            "get the losing side of a conflict back",
        ),
    ],
    exits: &[
        (Exit::Done, None),
        (Exit::Failed, Some("the records could not be read")),
        (Exit::Usage, Some("the command line makes no sense, or there is no such plan or content")),
        (Exit::Refused, Some("not run as root")),
    ],
};

fn digest(text: &str) -> Result<Digest, String> {
    Digest::parse(text).ok_or_else(|| format!("'{text}' is no SHA-256: 64 lower-case hexadecimal digits"))
}

/// Does it.
pub fn run(session: &Session, args: &Args) -> Result<Answer> {
    match &args.kept {
        Some(digest) => print_kept(session, digest),
        None => show(session, args.plan.as_ref(), &args.path, args.all),
    }
}

#[derive(Serialize)]
struct Body<'a> {
    plan: Option<&'a PlanId>,
    state: Option<&'a StatePlan>,
}

fn show(session: &Session, plan: Option<&PlanId>, paths: &[OsString], all: bool) -> Result<Answer> {
    let paths = tree_paths(paths)?;
    let host = session.host(Mounts::Private)?;
    let Some((id, mut state)) = host.decisions(plan)? else {
        if let Some(plan) = plan {
            let why = "the records have no decisions of that plan";
            return Err(Error::new(ErrorKind::Usage, format!("show plan {plan}"), why)
                .mend("'thinroot state show' shows those of the last update"));
        }
        let text = "no update has been made yet\n";
        return Ok(Answer::new(Exit::Done, text, "state", &Body { plan: None, state: None }));
    };
    let wanted = |decision: &Decision| is_wanted(&decision.path, &paths);
    let extent = if all { render::state::Extent::Full } else { render::state::Extent::Overview };
    let text = [
        format!("plan {id}\n"),
        render::state::summary(&state),
        render::state::groups(&state, extent, wanted),
        render::state::checks(&state),
        render::state::hint(&state).into(),
    ];
    state.decisions.retain(wanted);
    Ok(Answer::new(Exit::Done, text.concat(), "state", &Body { plan: Some(&id), state: Some(&state) }))
}

fn print_kept(session: &Session, digest: &Digest) -> Result<Answer> {
    let host = session.host(Mounts::Private)?;
    let Some(mut kept) = host.kept(digest)? else {
        let why = "the records do not have it";
        return Err(Error::new(ErrorKind::Usage, format!("print kept content {digest}"), why)
            .mend("'thinroot state show --all' lists what an update kept"));
    };
    let attempted = format!("print kept content {digest}");
    let copied = std::io::copy(&mut kept, &mut std::io::stdout().lock());
    match copied.and_then(|_| std::io::stdout().flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => return Err(Error::failed(attempted, error)),
        Ok(()) | Err(_) => {}
    }
    Ok(Answer { exit: Exit::Done, text: String::new(), json: String::new() })
}
