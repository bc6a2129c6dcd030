//! `kargs`: kernel arguments that survive updates.

use serde::Serialize;
use thinroot_core::boot::AdminChange;
use thinroot_core::name::LayerName;
use thinroot_engine::error::Result;
use thinroot_engine::host::Arguments;

use crate::answer::Answer;
use crate::exit::Exit;
use crate::guide::{CHANGES, Guide};
use crate::render::report::list;
use crate::session::{Mounts, Session};

/// Kernel arguments that survive updates
///
/// A change comes into effect with the next layer that is made: that one has tries and something to fall back to, so an
/// argument that a host cannot boot with costs a few tries and nobody's journey to the console. An entry that is edited by
/// hand takes effect at once, and the edit is found and carried on too.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub what: What,
}

/// What to do with kernel arguments.
#[derive(Debug, clap::Subcommand)]
pub enum What {
    /// Show what a layer has and the next one gets
    ///
    /// Of the layer that runs, else of the default: what its image says, what was changed in its boot entry by hand, and
    /// what was asked for. Reads only.
    Show,
    /// Add arguments to every next layer, in this order
    Add {
        /// Whole arguments, such as console=ttyS0
        #[arg(value_name = "ARGUMENT", required = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Remove arguments from every next layer
    ///
    /// A name alone removes it with any value; NAME=VALUE only that one.
    Remove {
        /// Names, or whole arguments
        #[arg(value_name = "ARGUMENT", required = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Forget what was asked for
    ///
    /// The next layer has what its image says, and what was changed by hand.
    Reset,
}

const SHOWS: &[(Exit, Option<&str>)] = &[
    (Exit::Done, None),
    (Exit::Failed, None),
    (Exit::Usage, None),
    (Exit::Refused, Some("no layer runs here and none is the default, or not run as root")),
    (Exit::Findings, Some("the root was changed in the entry by hand, so its other changes are not carried")),
];

/// How it is used.
pub const GUIDES: &[Guide] = &[
    Guide { verb: &["kargs", "show"], examples: &[("thinroot kargs show", "what gets the next layer?")], exits: SHOWS },
    Guide {
        verb: &["kargs", "add"],
        examples: &[("thinroot kargs add console=ttyS0,115200 nosmt", "from the next layer on")],
        exits: CHANGES,
    },
    Guide {
        verb: &["kargs", "remove"],
        examples: &[("thinroot kargs remove quiet", "also where an image says it")],
        exits: CHANGES,
    },
    Guide { verb: &["kargs", "reset"], examples: &[("thinroot kargs reset", "as the images say")], exits: CHANGES },
];

#[derive(Serialize)]
struct Body<'a> {
    layer: &'a LayerName,
    line: Option<&'a str>,
    image: &'a str,
    by_hand: &'a [AdminChange],
    wishes: &'a [AdminChange],
    next: &'a str,
    findings: Vec<&'a str>,
}

/// Does it.
pub fn run(session: &Session, args: &Args) -> Result<Answer> {
    let host = session.host(Mounts::Private)?;
    let want = |arguments: &[String], change: fn(String) -> AdminChange| {
        let changes: Vec<AdminChange> = arguments.iter().cloned().map(change).collect();
        session.change(&host)?.want_arguments(&changes)
    };
    let arguments = match &args.what {
        What::Show => host.arguments()?,
        What::Add { arguments } => want(arguments, AdminChange::Add)?,
        What::Remove { arguments } => want(arguments, AdminChange::Remove)?,
        What::Reset => session.change(&host)?.forget_argument_wishes()?,
    };
    Ok(answer(&arguments))
}

fn answer(arguments: &Arguments) -> Answer {
    let words = |changes: &[AdminChange]| match changes {
        [] => "nothing".to_string(),
        changes => changes.iter().map(word).collect::<Vec<_>>().join(" "),
    };
    let or_none = |text: &str| if text.is_empty() { "none".to_string() } else { text.to_string() };
    let mut text = format!("{}: {}\n", arguments.layer, arguments.line.as_deref().unwrap_or("it has no boot entry"));
    text += &format!("  of the image      {}\n", or_none(&arguments.image));
    text += &format!("  changed by hand   {}\n", words(&arguments.by_hand));
    text += &format!("  asked for         {}\n", words(&arguments.wishes));
    text += &format!("the next layer gets: {}\n", or_none(&arguments.next));
    text += &list("findings", arguments.finding.as_slice());
    let body = Body {
        layer: &arguments.layer,
        line: arguments.line.as_deref(),
        image: &arguments.image,
        by_hand: &arguments.by_hand,
        wishes: &arguments.wishes,
        next: &arguments.next,
        findings: arguments.finding.iter().map(String::as_str).collect(),
    };
    let exit = if arguments.finding.is_some() { Exit::Findings } else { Exit::Done };
    Answer::new(exit, text, "kargs", &body)
}

fn word(change: &AdminChange) -> String {
    match change {
        AdminChange::Add(word) => format!("+{word}"),
        AdminChange::Remove(word) => format!("-{word}"),
    }
}
