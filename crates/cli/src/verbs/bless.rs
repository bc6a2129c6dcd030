//! `bless`: declares a layer good.

use serde::Serialize;
use thinroot_core::name::LayerName;
use thinroot_engine::error::Result;

use crate::answer::Answer;
use crate::exit::Exit;
use crate::guide::Guide;
use crate::session::{Mounts, Session};

/// Declare a booted layer good
///
/// The layer becomes the default and its tries are no longer counted. Run it after the health checks of a new layer
/// have passed; without it the host comes back by itself on the old layer when the tries are used up.
///
/// Only the armed layer or the default can be blessed. A running layer that is neither, because somebody chose it in the
/// boot loader's menu, is left as it is: the next boot is the default's.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The layer [default: the booted one, else the armed one]
    #[arg(value_name = "LAYER")]
    pub layer: Option<LayerName>,
}

/// How it is used.
pub const GUIDES: &[Guide] = &[Guide {
    verb: &["bless"],
    examples: &[
        ("thinroot bless", "the running layer is good"),
        ("thinroot --store dir:/srv/thinroot bless node-1.1-1+1", "a layer that ran in a virtual machine is good"),
    ],
    exits: &[
        (Exit::Done, None),
        (Exit::Failed, None),
        (Exit::Usage, None),
        (Exit::Refused, Some("the layer is neither armed nor the default, or not run as root")),
        (Exit::Busy, None),
    ],
}];

#[derive(Serialize)]
struct Body {
    layer: Option<LayerName>,
}

/// Does it.
pub fn run(session: &Session, args: &Args) -> Result<Answer> {
    let host = session.host(Mounts::Private)?;
    let layer = session.change(&host)?.bless(args.layer.as_ref())?;
    let text = match &layer {
        Some(layer) => format!("layer {layer} is good and the default\n"),
        None => "the running layer was chosen by hand; what boots next stays as it is\n".to_string(),
    };
    Ok(Answer::new(Exit::Done, text, "bless", &Body { layer }))
}
