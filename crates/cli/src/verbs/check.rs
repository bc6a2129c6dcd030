//! `check`: is this host as it must be?

use thinroot_engine::error::Result;

use crate::answer::Answer;
use crate::exit::Exit;
use crate::guide::Guide;
use crate::render::report::list;
use crate::session::{Mounts, Session};

/// Check that this host is as it must be
///
/// Checks every rule that can be told without reading contents: each boot entry names a complete layer and its kernel,
/// each layer has its base, no base can be written, nothing lies about that no plan owns. 'base verify' reads contents.
///
/// Reads only and mends nothing.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// How it is used.
pub const GUIDES: &[Guide] = &[Guide {
    verb: &["check"],
    examples: &[("thinroot check --quiet || thinroot status", "from a timer or a monitoring system")],
    exits: &[
        (Exit::Done, Some("healthy")),
        (Exit::Failed, Some("a rule does not hold, or the store could not be read")),
        (Exit::Usage, None),
        (Exit::Refused, Some("not run as root")),
        (Exit::Findings, Some("every rule holds, and there is something to look at")),
    ],
}];

/// Does it.
pub fn run(session: &Session, _args: &Args) -> Result<Answer> {
    let found = session.host(Mounts::Private)?.examine()?;
    let exit = match (found.violations.is_empty(), found.findings.is_empty()) {
        (false, _) => Exit::Failed,
        (true, false) => Exit::Findings,
        (true, true) => Exit::Done,
    };
    let verdict = if exit == Exit::Done { "healthy\n" } else { "" };
    let text = verdict.to_string() + &list("broken", &found.violations) + &list("findings", &found.findings);
    Ok(Answer::versioned(exit, text, &found))
}
