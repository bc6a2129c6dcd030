//! `layer`: list, fork, remove, mount, shell, pin.

use std::path::{Path, PathBuf};

use serde::Serialize;
use thinroot_core::name::{LayerName, VolumeName};
use thinroot_core::plan::retire::WayBack;
use thinroot_engine::error::{Error, Result};
use thinroot_engine::execute::Report;
use thinroot_engine::host::{ForkRequest, LayerStatus, RetireTarget};
use thinroot_engine::store::{Access, Ensured};

use crate::answer::Answer;
use crate::exit::Exit;
use crate::guide::{CHANGES, Guide, READS};
use crate::render;
use crate::session::{Mounts, Session};

/// Layers: writable snapshots of a base that can be booted
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub what: What,
}

/// What to do with layers.
#[derive(Debug, clap::Subcommand)]
pub enum What {
    /// List the layers
    ///
    /// Lists every layer with its marks, its size and why it is kept. Reads only.
    List,
    /// Make a layer from a base or from another layer
    ///
    /// Makes a writable snapshot, with its kernel in the boot directory and a boot entry. The first layer of a store
    /// becomes its default; any other is armed with 'thinroot rollback --to LAYER'.
    ///
    /// Never changes its origin, and carries no state across: a layer made from a base is as the image was published.
    Fork {
        /// The base or layer to start from
        #[arg(value_name = "ORIGIN")]
        origin: VolumeName,
    },
    /// Remove layers
    ///
    /// Removes the boot entry, then the layer, one layer after the other. A layer that is booted, default, armed, last
    /// found good or pinned is refused, and so is the one to go back to, unless --no-way-back says that the host shall do
    /// without. Its base stays; 'thinroot prune' removes bases without layers.
    Remove {
        /// The layers
        #[arg(value_name = "LAYER", required = true)]
        layers: Vec<LayerName>,
        /// Also the one to go back to: where the default fails then, nothing is left to boot
        #[arg(long)]
        no_way_back: bool,
    },
    /// Mount a layer at a directory and leave it mounted
    ///
    /// Mounts the layer where everybody sees it; 'umount DIR' ends that. The booted layer is refused: you are in it.
    ///
    /// Do not start an update from this layer while it is mounted for writing.
    Mount {
        /// The layer
        #[arg(value_name = "LAYER")]
        layer: LayerName,
        /// An existing directory
        #[arg(value_name = "DIR")]
        directory: PathBuf,
        /// Mount it so that nothing can be written
        #[arg(long)]
        read_only: bool,
    },
    /// Run a command, or a shell, with a layer as its root
    ///
    /// Mounts the layer with /proc, /sys, /dev, /run and /tmp inside, where nobody else sees it, and runs the command
    /// in it: without one, $SHELL where the layer has it, else /bin/sh. Everything is unmounted and durable when the
    /// command has ended. The store is locked as long as it runs. The booted layer is refused: you are in it.
    ///
    /// It is a chroot, not a jail: a program inside can do to this host whatever root can.
    Shell {
        /// The layer
        #[arg(value_name = "LAYER")]
        layer: LayerName,
        /// The command and its arguments
        #[arg(value_name = "CMD", last = true)]
        command: Vec<String>,
    },
    /// Boot the running layer with a kernel that was installed on it
    ///
    /// Copies a kernel of the boot directory with its initrd to where images' kernels are, and writes an entry of the running
    /// layer with them; the newest of its kernels boots. Hooks of our package do it when the distribution's tools install a
    /// kernel, make an initrd anew, or remove one.
    Kernel {
        /// Version of the kernel, as 'uname -r' prints it
        #[arg(value_name = "VERSION")]
        version: String,
        /// Remove the entry instead; the last one of the layer stays
        #[arg(long)]
        remove: bool,
    },
    /// Keep a base or layer whatever the rules say
    ///
    /// A pinned base or layer is never removed by 'prune', nor by 'remove', until the pin is taken away.
    Pin {
        /// The base or layer
        #[arg(value_name = "NAME")]
        name: VolumeName,
        /// Take the pin away
        #[arg(long)]
        remove: bool,
    },
}

/// How it is used.
pub const GUIDES: &[Guide] = &[
    Guide { verb: &["layer", "list"], examples: &[("thinroot layer list", "every layer")], exits: READS },
    Guide {
        verb: &["layer", "fork"],
        examples: &[
            ("thinroot layer fork node-1.0-1", "a fresh layer of a base"),
            ("thinroot layer fork node-1.0-1+1", "a copy of a layer with all its state"),
        ],
        exits: CHANGES,
    },
    Guide {
        verb: &["layer", "remove"],
        examples: &[("thinroot layer remove node-1.0-1+1 node-1.0-1+2", "two layers that nothing keeps")],
        exits: CHANGES,
    },
    Guide {
        verb: &["layer", "mount"],
        examples: &[("thinroot layer mount node-1.0-1+1 /mnt --read-only", "look into an older layer")],
        exits: &[
            (Exit::Done, None),
            (Exit::Failed, None),
            (Exit::Usage, Some("the command line makes no sense, or there is no such layer")),
            (Exit::Refused, Some("the layer is booted, or not run as root")),
        ],
    },
    Guide {
        verb: &["layer", "shell"],
        examples: &[
            ("thinroot layer shell node-1.0-1+1", "a shell in a layer"),
            ("thinroot layer shell node-1.0-1+1 -- passwd root", "one command in a layer"),
        ],
        exits: &[
            (Exit::Done, None),
            (Exit::Refused, Some("the layer is booted, or not run as root")),
            (Exit::Busy, None),
            (Exit::Passed(0), Some("the exit code of the command; 128 and the number of the signal that ended it")),
        ],
    },
    Guide {
        verb: &["layer", "kernel"],
        examples: &[
            ("thinroot layer kernel 6.1.0-50-amd64", "boot this layer with it from the next start on"),
            ("thinroot layer kernel --remove 6.1.0-49-amd64", "and no more with an older one"),
        ],
        exits: &[
            (Exit::Done, None),
            (Exit::Failed, None),
            (Exit::Usage, None),
            (Exit::Refused, Some("no layer runs here, there is no such kernel, no room, or it is the layer's last")),
            (Exit::Busy, None),
        ],
    },
    Guide {
        verb: &["layer", "pin"],
        examples: &[
            ("thinroot layer pin node-1.0-1+1", "keep it"),
            ("thinroot layer pin --remove node-1.0-1+1", "let the rules decide again"),
        ],
        exits: &[
            (Exit::Done, None),
            (Exit::Failed, None),
            (Exit::Usage, Some("the command line makes no sense, or there is no such base or layer")),
            (Exit::Refused, Some("not run as root")),
            (Exit::Busy, None),
        ],
    },
];

/// Does it.
pub fn run(session: &Session, args: &Args) -> Result<Answer> {
    match &args.what {
        What::List => list(session),
        What::Fork { origin } => fork(session, origin),
        What::Remove { layers, no_way_back } => {
            remove(session, layers, if *no_way_back { WayBack::GiveUp } else { WayBack::Keep })
        }
        What::Mount { layer, directory, read_only } => {
            mount(session, layer, directory, if *read_only { Access::Inspect } else { Access::WriteLayer })
        }
        What::Shell { layer, command } => shell(session, layer, command),
        What::Kernel { version, remove } => kernel(session, version, *remove),
        What::Pin { name, remove } => pin(session, name, !remove),
    }
}

#[derive(Serialize)]
struct KernelBody<'a> {
    layer: LayerName,
    kernel: &'a str,
    changed: bool,
}

fn kernel(session: &Session, version: &str, remove: bool) -> Result<Answer> {
    let host = session.host(Mounts::Private)?;
    let change = session.change(&host)?;
    let (layer, done) = if remove { change.remove_kernel(version)? } else { change.add_kernel(version)? };
    let changed = done == Ensured::Done;
    let text = match (changed, remove) {
        (true, false) => format!("{layer} has an entry with kernel {version}\n"),
        (true, true) => format!("{layer} has no entry with kernel {version} any more\n"),
        (false, false) => format!("{layer} has an entry with kernel {version} already\n"),
        (false, true) => format!("{layer} has no entry with kernel {version}\n"),
    };
    Ok(Answer::new(Exit::Done, text, "layer_kernel", &KernelBody { layer, kernel: version, changed }))
}

#[derive(Serialize)]
struct ListBody<'a> {
    layers: &'a [LayerStatus],
}

fn list(session: &Session) -> Result<Answer> {
    let status = session.host(Mounts::Private)?.status()?;
    Ok(Answer::new(Exit::Done, render::status::layers(&status), "layers", &ListBody { layers: &status.layers }))
}

#[derive(Serialize)]
struct ForkBody<'a> {
    layer: Option<&'a LayerName>,
    report: &'a Report,
}

fn fork(session: &Session, origin: &VolumeName) -> Result<Answer> {
    let host = session.host(Mounts::Private)?;
    let report = session.change(&host)?.fork(&ForkRequest { origin: origin.clone() }, &session.story)?;
    let layer = render::report::new_layer(&report.plan);
    let made = layer.map(|layer| format!("layer {layer} is made from {origin}\n")).unwrap_or_default();
    let text = made + &render::report::what_boots(&report.plan) + &render::report::findings(&report);
    Ok(Answer::new(Exit::of_report(&report), text, "fork", &ForkBody { layer, report: &report }))
}

#[derive(Serialize)]
struct RemoveBody {
    reports: Vec<Report>,
}

fn remove(session: &Session, layers: &[LayerName], way_back: WayBack) -> Result<Answer> {
    let host = session.host(Mounts::Private)?;
    let change = session.change(&host)?;
    // All are planned before the first is removed: a refusal must not come half way.
    for layer in layers {
        host.plan_retire(&RetireTarget::Layer(layer.clone(), way_back))?;
    }
    let mut reports = Vec::new();
    for layer in layers {
        reports.extend(change.retire(&RetireTarget::Layer(layer.clone(), way_back), &session.story)?);
    }
    let text = layers.iter().map(|layer| format!("layer {layer} is removed\n")).collect::<String>();
    let worst = reports.iter().map(Exit::of_report).find(|exit| *exit != Exit::Done);
    Ok(Answer::new(worst.unwrap_or(Exit::Done), text, "layer_remove", &RemoveBody { reports }))
}

#[derive(Serialize)]
struct MountBody<'a> {
    layer: &'a LayerName,
    directory: &'a Path,
    writable: bool,
}

fn mount(session: &Session, layer: &LayerName, directory: &Path, access: Access) -> Result<Answer> {
    session.host(Mounts::Shared)?.mount_at(layer, directory, access)?;
    let writable = access == Access::WriteLayer;
    let how = if writable { "" } else { ", read-only" };
    let text = format!("layer {layer} is mounted at {}{how}; end it: umount {0}\n", directory.display());
    Ok(Answer::new(Exit::Done, text, "mount", &MountBody { layer, directory, writable }))
}

#[derive(Serialize)]
struct ShellBody<'a> {
    layer: &'a LayerName,
    exit_code: i32,
}

/// The command has stdout to itself, so there is no text; with `--json` the object follows its output.
fn shell(session: &Session, layer: &LayerName, command: &[String]) -> Result<Answer> {
    let host = session.host(Mounts::Private)?;
    let change = session.change(&host)?;
    let visit = change.visit(layer)?;
    let exit_code = if command.is_empty() { visit.run(&default_shell())? } else { visit.run(command)? };
    visit.finish()?;
    let code = u8::try_from(exit_code)
        .map_err(|_| Error::failed("run the command", format!("it ended with the impossible code {exit_code}")))?;
    Ok(Answer::new(Exit::Passed(code), "", "shell", &ShellBody { layer, exit_code }))
}

/// `$SHELL` is of this host; the layer may not have it.
fn default_shell() -> [String; 3] {
    let script = r#"if [ -n "$SHELL" ] && [ -x "$SHELL" ]; then exec "$SHELL"; else exec /bin/sh; fi"#;
    ["/bin/sh".into(), "-c".into(), script.into()]
}

#[derive(Serialize)]
struct PinBody<'a> {
    name: &'a VolumeName,
    pinned: bool,
    changed: bool,
}

fn pin(session: &Session, name: &VolumeName, pinned: bool) -> Result<Answer> {
    let host = session.host(Mounts::Private)?;
    let changed = session.change(&host)?.pin(name, pinned)?;
    let text = match (pinned, changed) {
        (true, true) => format!("{name} is pinned\n"),
        (true, false) => format!("{name} was pinned already\n"),
        (false, true) => format!("{name} is no longer pinned\n"),
        (false, false) => format!("{name} was not pinned\n"),
    };
    Ok(Answer::new(Exit::Done, text, "pin", &PinBody { name, pinned, changed }))
}
