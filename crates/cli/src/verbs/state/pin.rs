//! `state pin`, `state unpin`, `state pins`: paths that stay as they are here whatever an image says.

use std::ffi::OsString;

use serde::Serialize;
use thinroot_core::path::TreePath;
use thinroot_engine::error::Result;

use super::tree_paths;
use crate::answer::Answer;
use crate::exit::Exit;
use crate::guide::{CHANGES, Guide, READS};
use crate::session::{Mounts, Session};

/// Which paths.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The paths
    #[arg(value_name = "PATH", required = true)]
    pub paths: Vec<OsString>,
}

/// How it is used.
pub const GUIDES: &[Guide] = &[
    Guide {
        verb: &["state", "pin"],
        examples: &[("thinroot state pin /etc/sysctl.conf", "keep what is there, also where it is the default")],
        exits: CHANGES,
    },
    Guide {
        verb: &["state", "unpin"],
        examples: &[("thinroot state unpin /etc/sysctl.conf", "let images change it again")],
        exits: CHANGES,
    },
    Guide { verb: &["state", "pins"], examples: &[("thinroot state pins", "what is pinned?")], exits: READS },
];

#[derive(Serialize)]
struct Body {
    pinned: bool,
    changed: Vec<TreePath>,
}

/// Pins or unpins.
pub fn set(session: &Session, args: &Args, pinned: bool) -> Result<Answer> {
    let paths = tree_paths(&args.paths)?;
    let host = session.host(Mounts::Private)?;
    let change = session.change(&host)?;
    let mut changed = Vec::new();
    let mut text = String::new();
    let (verb, was) = if pinned { ("pinned", "was pinned already") } else { ("not pinned any more", "was not pinned") };
    for path in paths {
        let did = change.pin_state(&path, pinned)?;
        text += &format!("{path}: {}\n", if did { verb } else { was });
        changed.extend(did.then_some(path));
    }
    Ok(Answer::new(Exit::Done, text, "state_pin", &Body { pinned, changed }))
}

#[derive(Serialize)]
struct ListBody {
    pins: Vec<Pin>,
}

#[derive(Serialize)]
struct Pin {
    path: TreePath,
    pinned_sec: u64,
}

/// Lists what is pinned.
pub fn list(session: &Session) -> Result<Answer> {
    let host = session.host(Mounts::Private)?;
    let pins = host.records().state_pins()?;
    let pins: Vec<Pin> = pins.into_iter().map(|(path, pinned_sec)| Pin { path, pinned_sec }).collect();
    let text = match pins.as_slice() {
        [] => "nothing is pinned\n".to_string(),
        pins => pins.iter().map(|pin| format!("{}\n", pin.path)).collect(),
    };
    Ok(Answer::new(Exit::Done, text, "state_pins", &ListBody { pins }))
}
