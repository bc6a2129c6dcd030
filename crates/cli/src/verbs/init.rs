//! `init`: makes a store.

use serde::Serialize;
use thinroot_engine::error::Result;

use crate::answer::Answer;
use crate::exit::Exit;
use crate::guide::Guide;
use crate::session::{Mounts, Session};

/// Make an empty store
///
/// Makes the store that --store names: a directory of image files, or the records of an LVM thin pool that exists
/// already. It holds no base and no layer afterwards; 'thinroot base add' and 'thinroot layer fork' bring the first.
///
/// Never formats, resizes or removes a volume that is there, and never touches the running root.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// How it is used.
pub const GUIDES: &[Guide] = &[Guide {
    verb: &["init"],
    examples: &[
        ("thinroot --store dir:/srv/thinroot init", "a store in a directory"),
        ("thinroot --store lvm:vg0/pool0 init", "a store in the thin pool vg0/pool0"),
    ],
    exits: &[
        (Exit::Done, None),
        (Exit::Failed, None),
        (Exit::Usage, None),
        (Exit::Refused, Some("refused before anything was touched: there is something else already")),
    ],
}];

#[derive(Serialize)]
struct Body {
    store: String,
}

/// Does it.
pub fn run(session: &Session, _args: &Args) -> Result<Answer> {
    let place = session.place()?;
    let store = place.store.to_string();
    session.enter(&format!("make the store {store}"), Mounts::Private)?;
    place.init()?;
    let text = format!("store {store} is ready; next: thinroot --store {store} base add IMAGE\n");
    Ok(Answer::new(Exit::Done, text, "init", &Body { store }))
}
