//! `update`: stages an image beside what runs, and arms it.

use serde::Serialize;
use thinroot_core::inventory::FsKind;
use thinroot_core::name::{ImageId, LayerName};
use thinroot_core::plan::update::{Arm, Downgrade, Failed, Planned};
use thinroot_core::plan::{Need, Plan, Room};
use thinroot_core::state::StatePlan;
use thinroot_engine::error::{Error, ErrorKind, Result};
use thinroot_engine::execute::Report;
use thinroot_engine::host::{Host, Preview, UpdateOptions};
use thinroot_engine::source::Image;

use super::apply::Applied;
use crate::answer::Answer;
use crate::args::ImageArgs;
use crate::exit::Exit;
use crate::guide::Guide;
use crate::render::{self, report};
use crate::session::{Mounts, Session};
use crate::size;

/// Bring an image beside what runs, carry the state across, and arm it
///
/// Reads and checks the image, keeps it as a base, makes a layer of it, carries the state of the running layer (else of
/// the default) into it by a three-way merge, writes its boot entry, and arms it: the next boot tries the new layer, and
/// comes back by itself if it does not prove itself. An image that is staged or running already is no failure.
///
/// Until the layer is armed nothing is written that the running layer reads, and every failure is undone. No change
/// that was made here is dropped in silence: it is carried, merged, or set aside and reported. Where a rule says that a
/// person must decide, the update is refused before anything is touched.
///
/// IMAGE is dir:PATH, tar:FILE, squashfs:FILE, raw:FILE, oci:DIR[:TAG] or oci-archive:FILE[:TAG]; 'thinroot image inspect
/// --help' says more. Without IMAGE it is read from where the image of the layer whose state is carried came from.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where the image is [default: where the present one came from]
    #[arg(value_name = "IMAGE")]
    pub image: Option<String>,
    /// Who the image is, whatever it says itself
    #[arg(long = "as", value_name = "NAME-VERSION-RELEASE", requires = "image")]
    pub identity: Option<ImageId>,
    /// Only say whether there is something to do: exit code 10 if so
    #[arg(long, conflicts_with_all = ["plan", "stage_only"])]
    pub check: bool,
    /// Show everything that would happen, and do nothing
    #[arg(long)]
    pub plan: bool,
    /// Do everything but arm the new layer
    #[arg(long)]
    pub stage_only: bool,
    /// The layer whose state is carried [default: the booted one, else the default]
    #[arg(long, value_name = "LAYER")]
    pub from: Option<LayerName>,
    /// Size of the new base, such as 8G [default: what the content needs, and no less than now]
    #[arg(long, value_name = "BYTES", value_parser = size::parse)]
    pub size: Option<u64>,
    /// File system of the new base [default: that of the base it is written over, else ext4]
    #[arg(long, value_enum)]
    pub fs: Option<Fs>,
    /// Let an older version replace a newer one
    #[arg(long)]
    pub allow_downgrade: bool,
    /// Try an image once more that did not prove itself here
    #[arg(long)]
    pub try_again: bool,
    /// Restart into it at once, by the cheapest way that is safe, as 'thinroot apply' does
    #[arg(long, conflicts_with_all = ["check", "plan", "stage_only"])]
    pub apply: bool,
}

/// A file system, as it is named on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
#[allow(missing_docs, reason = "the names say it, and documented variants lengthen every --help")]
pub enum Fs {
    Ext4,
    Xfs,
}

impl Fs {
    /// As the core names it.
    pub fn kind(self) -> FsKind {
        match self {
            Fs::Ext4 => FsKind::Ext4,
            Fs::Xfs => FsKind::Xfs,
        }
    }
}

/// How it is used.
pub const GUIDES: &[Guide] = &[Guide {
    verb: &["update"],
    examples: &[
        ("thinroot update --plan oci:/srv/images/node:1.1", "see every step and every decision over the state"),
        ("thinroot update oci:/srv/images/node:1.1", "do it; the next boot tries the new layer"),
        ("thinroot update oci:/srv/images/node:1.1 --apply", "and restart into it, softly where that is enough"),
        ("thinroot update --check --quiet", "is there something new where the present image came from?"),
        ("thinroot update tar:node.tar.zst --as node-1.1-1 --stage-only", "prepare it, and arm it another day"),
    ],
    exits: &[
        (Exit::Done, Some("done, or nothing to do")),
        (Exit::Failed, None),
        (Exit::Usage, None),
        (Exit::Refused, Some("refused before anything was touched; --plan: it would be refused")),
        (Exit::Findings, None),
        (Exit::Busy, None),
        (Exit::Interrupted, None),
        (Exit::UpdateAvailable, Some("--check: an update is available")),
    ],
}];

/// Does it.
pub fn run(session: &Session, args: &Args) -> Result<Answer> {
    let host = session.host(Mounts::Private)?;
    if args.check || args.plan {
        let mut image = open(session, &host, args)?;
        let preview = host.preview(&mut image, &options(args), &session.story)?;
        return if args.check { Ok(checked(&image, &preview)) } else { planned(&host, &preview) };
    }
    // The lock comes first: nobody should wait for a large image to be read only to be told that the store is busy.
    let change = session.change(&host)?;
    let mut image = open(session, &host, args)?;
    let preview = host.preview(&mut image, &options(args), &session.story)?;
    let report = match preview.planned {
        Planned::Nothing(why) => Err(why),
        Planned::Plan(plan) => {
            refuse_blocked(preview.state.as_ref())?;
            Ok(change.update(plan, &mut image, &session.story)?)
        }
    };
    // Taking late changes along at the end of this boot needs the lock.
    drop(change);
    let applied = if args.apply { super::apply::begin(session, &host, false)? } else { None };
    match report {
        Ok(report) => done(&host, &report, applied.as_ref()),
        Err(why) => Ok(nothing(&why, applied.as_ref())),
    }
}

fn open(session: &Session, host: &Host, args: &Args) -> Result<Image> {
    let image = match &args.image {
        Some(image) => image.clone(),
        None => host.image_source(args.from.as_ref())?.ok_or_else(|| {
            Error::new(ErrorKind::Usage, "find the image", "no place of an image is recorded for the present layer")
                .mend("name one: thinroot update IMAGE")
        })?,
    };
    session.image(&ImageArgs { image, identity: args.identity.clone() })
}

fn options(args: &Args) -> UpdateOptions {
    UpdateOptions {
        from: args.from.clone(),
        size_bytes: args.size,
        fs: args.fs.map(Fs::kind),
        arm: if args.stage_only { Arm::Later } else { Arm::Next },
        downgrade: if args.allow_downgrade { Downgrade::Allow } else { Downgrade::Refuse },
        failed: if args.try_again { Failed::TryAgain } else { Failed::Refuse },
    }
}

#[derive(Serialize)]
struct CheckBody<'a> {
    available: bool,
    image: &'a ImageId,
    why: Option<&'a str>,
}

fn checked(image: &Image, preview: &Preview) -> Answer {
    let id = &image.info.id;
    let (exit, text, why) = match &preview.planned {
        Planned::Nothing(why) => (Exit::Done, format!("nothing to do: {why}\n"), Some(why.as_str())),
        Planned::Plan(_) => (Exit::UpdateAvailable, format!("an update to {id} is available\n"), None),
    };
    Answer::new(exit, text, "update_check", &CheckBody { available: why.is_none(), image: id, why })
}

#[derive(Serialize)]
struct PlanBody<'a> {
    plan: Option<&'a Plan>,
    why: Option<&'a str>,
    blocked: bool,
    room: RoomBody,
    state: Option<&'a StatePlan>,
}

/// What is needed at worst and what is free, in bytes.
#[derive(Debug, Serialize)]
pub struct RoomBody {
    pool_needed_bytes: u64,
    pool_free_bytes: u64,
    boot_needed_bytes: u64,
    boot_free_bytes: u64,
    records_needed_bytes: u64,
    records_free_bytes: u64,
}

impl RoomBody {
    /// Of a plan's needs and what a survey found.
    pub fn new(need: Need, room: Room) -> Self {
        RoomBody {
            pool_needed_bytes: need.pool_bytes,
            pool_free_bytes: room.pool.data_free_bytes(),
            boot_needed_bytes: need.boot_bytes,
            boot_free_bytes: room.boot_free_bytes,
            records_needed_bytes: need.records_bytes,
            records_free_bytes: room.records_free_bytes,
        }
    }
}

fn planned(host: &Host, preview: &Preview) -> Result<Answer> {
    let room = host.inventory()?.room;
    let blocked = preview.state.as_ref().is_some_and(|state| state.blocked);
    let (plan, why) = match &preview.planned {
        Planned::Nothing(why) => (None, Some(why.as_str())),
        Planned::Plan(plan) => (Some(plan), None),
    };
    let state = preview.state.as_ref();
    let body = PlanBody { plan, why, blocked, room: RoomBody::new(preview.need, room), state };
    let exit = if blocked { Exit::Refused } else { Exit::Done };
    Ok(Answer::new(exit, render::plan::preview(preview, room), "update_plan", &body))
}

fn refuse_blocked(state: Option<&StatePlan>) -> Result<()> {
    let Some(state) = state.filter(|state| state.blocked) else { return Ok(()) };
    Err(Error::refused("update", state.why_blocked())
        .mend("decide these paths in the running layer, then update again; --plan shows both sides"))
}

#[derive(Serialize)]
struct DoneBody<'a> {
    changed: bool,
    why: Option<&'a str>,
    layer: Option<&'a LayerName>,
    armed: Option<ArmedBody<'a>>,
    report: Option<&'a Report>,
    state: Option<&'a StatePlan>,
    applied: Option<&'a Applied>,
}

#[derive(Serialize)]
struct ArmedBody<'a> {
    layer: &'a LayerName,
    tries: u8,
}

fn nothing(why: &str, applied: Option<&Applied>) -> Answer {
    let body =
        DoneBody { changed: false, why: Some(why), layer: None, armed: None, report: None, state: None, applied };
    let text = applied.map(Applied::text).unwrap_or_default();
    Answer::new(Exit::Done, format!("nothing to do: {why}\n{text}"), "update", &body)
}

fn done(host: &Host, report: &Report, applied: Option<&Applied>) -> Result<Answer> {
    let state = host.decisions(Some(&report.plan.id))?.map(|(_, state)| state);
    let layer = report::new_layer(&report.plan);
    let mut text = layer.map(|layer| format!("layer {layer} is staged\n")).unwrap_or_default();
    text += &match &state {
        Some(state) => report::with_state(report, state),
        None => report::findings(report),
    };
    text += &report::what_boots(&report.plan);
    text += &applied.map(Applied::text).unwrap_or_default();
    let armed = report::armed(&report.plan).map(|(layer, tries)| ArmedBody { layer, tries });
    let body =
        DoneBody { changed: true, why: None, layer, armed, report: Some(report), state: state.as_ref(), applied };
    Ok(Answer::new(Exit::of_report(report), text, "update", &body))
}
