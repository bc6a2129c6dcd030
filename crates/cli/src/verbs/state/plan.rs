//! `state plan`: what an image would make of the state.

use serde::Serialize;
use thinroot_core::name::{ImageId, LayerName};
use thinroot_core::state::StatePlan;
use thinroot_engine::error::Result;

use crate::answer::Answer;
use crate::args::ImageArgs;
use crate::exit::Exit;
use crate::guide::Guide;
use crate::render::state::{Extent, checks, groups, summary};
use crate::session::{Mounts, Session};

/// What is planned.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The image.
    #[command(flatten)]
    pub image: ImageArgs,
    /// The layer whose state is carried [default: the booted one, else the default]
    #[arg(long, value_name = "LAYER")]
    pub from: Option<LayerName>,
    /// Show every decision, also those where the image's version comes in without a loss
    #[arg(long)]
    pub all: bool,
}

/// How it is used.
pub const GUIDE: Guide = Guide {
    verb: &["state", "plan"],
    examples: &[("thinroot state plan oci:/srv/images/node:1.1", "what the next image would make of /etc")],
    exits: &[
        (Exit::Done, None),
        (Exit::Failed, Some("the image or the store could not be read")),
        (Exit::Usage, None),
        (Exit::Refused, Some("a person would have to decide first; the image is not accepted; or not run as root")),
    ],
};

#[derive(Serialize)]
struct Body<'a> {
    from: &'a LayerName,
    image: &'a ImageId,
    state: &'a StatePlan,
}

/// Does it.
pub fn run(session: &Session, args: &Args) -> Result<Answer> {
    let host = session.host(Mounts::Private)?;
    let from = host.present_layer(args.from.as_ref())?;
    let mut image = session.image(&args.image)?;
    let state = host.preview_state(&from, &mut image, &session.story)?;
    let extent = if args.all { Extent::Full } else { Extent::Overview };
    let id = &image.info.id;
    let groups = groups(&state, extent, |_| true);
    let text = format!("state of {from} in {id}\n{}{groups}{}", summary(&state), checks(&state));
    let exit = if state.blocked { Exit::Refused } else { Exit::Done };
    Ok(Answer::new(exit, text, "state_plan", &Body { from: &from, image: id, state: &state }))
}
