//! `status`: everything on one page.

use thinroot_engine::error::Result;

use crate::answer::Answer;
use crate::exit::Exit;
use crate::guide::{Guide, READS};
use crate::render;
use crate::session::{Mounts, Session};

/// Show bases, layers, what boots, room and findings
///
/// Shows every layer with its marks (booted, default, armed and its tries, failed), every base, why each of them is
/// kept, the room in the pool and in the boot directory, how the last plan ended, and what a person should look at.
///
/// Reads only and takes no lock: it also answers while another run is changing the store.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// How it is used.
pub const GUIDES: &[Guide] = &[Guide {
    verb: &["status"],
    examples: &[
        ("thinroot status", "for people"),
        ("thinroot status --json | jq -r .default", "for programs: the layer that boots by default"),
    ],
    exits: READS,
}];

/// Does it.
pub fn run(session: &Session, _args: &Args) -> Result<Answer> {
    let status = session.host(Mounts::Private)?.status()?;
    Ok(Answer::versioned(Exit::Done, render::status::status(&status), &status))
}
