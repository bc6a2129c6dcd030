//! `apply`: restarts the host into what boots next, by the cheapest way that is safe.

use serde::Serialize;
use thinroot_core::boot::restart::Restart;
use thinroot_core::name::LayerName;
use thinroot_engine::error::Result;
use thinroot_engine::host::Host;
use thinroot_engine::progress::{Event, Reporter};

use crate::answer::Answer;
use crate::exit::Exit;
use crate::guide::Guide;
use crate::session::{Mounts, Session};

/// Restart the host into the layer that boots next
///
/// By the cheapest way that is safe, and says which. Where the layer has the same kernel with the same arguments, and this
/// host's systemd and the layer's offer it (254 and later), only the userspace is restarted (a soft reboot): no firmware, no
/// boot loader, no kernel. Everything else is a whole restart, with the reason.
///
/// Either way services are stopped in order, and a layer that is tried has to prove itself: its health checks decide, and a timer
/// restarts a host that hangs. What was changed since staging is taken along where that can be done in time; 'thinroot status'
/// says where it was not. After a soft reboot the boot
/// loader's tries begin with the next whole restart.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Say which way it would be and why, and do nothing
    #[arg(long)]
    pub plan: bool,
    /// Restart the machine, whatever would do
    #[arg(long)]
    pub full: bool,
    /// Show a layer to systemd as the next root; for the unit that a soft reboot starts
    #[arg(long, value_name = "LAYER", hide = true, conflicts_with_all = ["plan", "full"])]
    pub next_root: Option<LayerName>,
}

/// How it is used.
pub const GUIDES: &[Guide] = &[Guide {
    verb: &["apply"],
    examples: &[
        ("thinroot apply --plan", "is a soft reboot enough?"),
        ("thinroot apply", "restart into the layer that is armed"),
        ("thinroot update IMAGE --apply", "stage, arm and restart in one go"),
    ],
    exits: &[
        (Exit::Done, Some("the restart has begun, or what boots next runs already")),
        (Exit::Failed, None),
        (Exit::Usage, None),
        (Exit::Refused, Some("refused: no layer of the store runs here")),
        (Exit::Interrupted, None),
    ],
}];

/// What is restarted into, and how.
#[derive(Debug, Clone, Serialize)]
pub struct Applied {
    /// The layer.
    pub layer: LayerName,
    /// The way.
    #[serde(flatten)]
    pub restart: Restart,
}

impl Applied {
    /// In a sentence.
    pub fn text(&self) -> String {
        match &self.restart {
            Restart::Soft => format!("soft reboot into {}: kernel and arguments stay the same\n", self.layer),
            Restart::Full { why } => format!("reboot into {}: {why}\n", self.layer),
        }
    }
}

#[derive(Serialize)]
struct Body<'a> {
    begun: bool,
    applied: Option<&'a Applied>,
}

/// Does it.
pub fn run(session: &Session, args: &Args) -> Result<Answer> {
    if let Some(layer) = &args.next_root {
        let host = session.host(Mounts::Shared)?;
        host.show_as_next_root(layer)?;
        return Ok(Answer::new(Exit::Done, "", "apply", &Body { begun: true, applied: None }));
    }
    let host = session.host(Mounts::Private)?;
    let applied = if args.plan { planned(&host, args.full)? } else { begin(session, &host, args.full)? };
    let text = applied.as_ref().map_or("what boots next runs already\n".into(), Applied::text);
    let body = Body { begun: !args.plan && applied.is_some(), applied: applied.as_ref() };
    Ok(Answer::new(Exit::Done, text, "apply", &body))
}

fn planned(host: &Host, full: bool) -> Result<Option<Applied>> {
    let planned = host.plan_restart()?;
    let asked = || Restart::Full { why: "as asked for".into() };
    Ok(planned.map(|(layer, restart)| Applied { layer, restart: if full { asked() } else { restart } }))
}

/// Begins the restart of the host, where there is anything to restart into.
pub fn begin(session: &Session, host: &Host, full: bool) -> Result<Option<Applied>> {
    let applied = planned(host, full)?;
    if let Some(applied) = &applied {
        session.story.event(Event::Note { text: applied.text().trim_end().into() });
        host.restart(&applied.layer, &applied.restart)?;
    }
    Ok(applied)
}
