//! `abandon`: undoes an interrupted plan.

use thinroot_engine::error::Result;

use super::resume::{ENDS, answer};
use crate::answer::Answer;
use crate::guide::Guide;
use crate::session::{Mounts, Session};

/// Undo a plan that was interrupted
///
/// Removes everything that an interrupted run had begun; the host is as it was before. A plan that had already armed its
/// layer, or had begun to remove something, cannot be undone: what it had begun is finished, and that is said.
/// Without an interrupted plan there is nothing to do.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// How it is used.
pub const GUIDES: &[Guide] =
    &[Guide { verb: &["abandon"], examples: &[("thinroot abandon", "give an interrupted update up")], exits: ENDS }];

/// Does it.
pub fn run(session: &Session, _args: &Args) -> Result<Answer> {
    let host = session.host(Mounts::Private)?;
    let report = session.change(&host)?.abandon(&session.story)?;
    Ok(answer(report, "abandon"))
}
