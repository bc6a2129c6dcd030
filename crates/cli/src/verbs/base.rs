//! `base`: list, add, verify, remove.

use serde::Serialize;
use thinroot_core::name::ImageId;
use thinroot_core::plan::update::{Arm, Downgrade, Failed};
use thinroot_engine::error::Result;
use thinroot_engine::execute::Report;
use thinroot_engine::host::{BaseDamage, BaseStatus, RetireTarget, UpdateOptions};
use thinroot_engine::progress::{Event, Reporter};

use super::update::Fs;
use crate::answer::Answer;
use crate::args::ImageArgs;
use crate::exit::Exit;
use crate::guide::{CHANGES, Guide, READS};
use crate::render::{self, count};
use crate::session::{Mounts, Session};
use crate::size;

/// Bases: the sealed, read-only volumes that each hold one image
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub what: What,
}

/// What to do with bases.
#[derive(Debug, clap::Subcommand)]
pub enum What {
    /// List the bases
    ///
    /// Lists every base with the title of its image, its size, the base it was written over and why it is kept.
    /// Reads only.
    List,
    /// Keep an image as a base
    ///
    /// Reads the image, checks it, writes what differs from the nearest base of the same name into a snapshot of that
    /// base (or all of it into a new volume), compares the whole volume with the image, and seals it. An image that
    /// is here already is no failure.
    ///
    /// Never makes a layer or a boot entry, and never changes another base. A damaged, foreign or hostile image is
    /// refused before anything is written.
    Add {
        /// The image.
        #[command(flatten)]
        image: ImageArgs,
        /// Size of the new base, such as 8G [default: what the content needs and room to grow]
        #[arg(long, value_name = "BYTES", value_parser = size::parse)]
        size: Option<u64>,
        /// File system of the new base [default: that of the base it is written over, else ext4]
        #[arg(long, value_enum)]
        fs: Option<Fs>,
    },
    /// Read bases again and compare them with what was recorded
    ///
    /// Reads every byte of each named base, or of all, compares it with the digests recorded when it was sealed, and
    /// names the places and paths that are damaged. Reads only; takes no lock.
    Verify {
        /// The bases [default: all]
        #[arg(value_name = "BASE")]
        bases: Vec<ImageId>,
    },
    /// Remove a base that no layer needs
    ///
    /// Removes the base and its records. Originals of changed files are kept. A base that has a layer, or that is
    /// pinned, is refused.
    Remove {
        /// The base
        #[arg(value_name = "BASE")]
        base: ImageId,
    },
}

/// How it is used.
pub const GUIDES: &[Guide] = &[
    Guide { verb: &["base", "list"], examples: &[("thinroot base list", "every base")], exits: READS },
    Guide {
        verb: &["base", "add"],
        examples: &[
            ("thinroot base add oci:/srv/images/node:1.0", "an OCI layout in a directory, tag 1.0"),
            (
                "thinroot base add tar:node.tar.zst --as node-1.0-1",
                "a tree in a tar archive that does not say who it is",
            ),
            ("thinroot base add squashfs:live.squashfs --size 8G --fs xfs", "a live image, on XFS, with 8 GiB of room"),
        ],
        exits: CHANGES,
    },
    Guide {
        verb: &["base", "verify"],
        examples: &[
            ("thinroot base verify", "all bases"),
            ("thinroot base verify node-1.0-1 --json", "one base, for programs"),
        ],
        exits: &[
            (Exit::Done, Some("every byte is as it was sealed")),
            (Exit::Failed, Some("a base is damaged, or could not be read")),
            (Exit::Usage, Some("the command line makes no sense, or there is no such base")),
            (Exit::Refused, Some("not run as root")),
        ],
    },
    Guide {
        verb: &["base", "remove"],
        examples: &[("thinroot base remove node-1.0-1", "a base without layers")],
        exits: CHANGES,
    },
];

/// Does it.
pub fn run(session: &Session, args: &Args) -> Result<Answer> {
    match &args.what {
        What::List => list(session),
        What::Add { image, size, fs } => add(session, image, *size, *fs),
        What::Verify { bases } => verify(session, bases),
        What::Remove { base } => remove(session, base),
    }
}

#[derive(Serialize)]
struct ListBody<'a> {
    bases: &'a [BaseStatus],
}

fn list(session: &Session) -> Result<Answer> {
    let status = session.host(Mounts::Private)?.status()?;
    Ok(Answer::new(Exit::Done, render::status::bases(&status), "bases", &ListBody { bases: &status.bases }))
}

#[derive(Serialize)]
struct AddBody {
    base: ImageId,
    changed: bool,
    report: Option<Report>,
}

fn add(session: &Session, wanted: &ImageArgs, size_bytes: Option<u64>, fs: Option<Fs>) -> Result<Answer> {
    let host = session.host(Mounts::Private)?;
    let change = session.change(&host)?;
    let mut image = session.image(wanted)?;
    let options = UpdateOptions {
        from: None,
        size_bytes,
        fs: fs.map(Fs::kind),
        arm: Arm::Later,
        downgrade: Downgrade::Allow,
        failed: Failed::TryAgain,
    };
    let report = change.add_base(&mut image, &options, &session.story)?;
    let base = image.info.id.clone();
    let (exit, text) = match &report {
        None => (Exit::Done, format!("base {base} is already here with this content\n")),
        Some(report) => (
            Exit::of_report(report),
            format!("base {base} is sealed; next: thinroot layer fork {base}\n{}", render::report::findings(report)),
        ),
    };
    Ok(Answer::new(exit, text, "base_add", &AddBody { base, changed: report.is_some(), report }))
}

#[derive(Serialize)]
struct VerifyBody {
    bases: Vec<BaseDamage>,
}

fn verify(session: &Session, wanted: &[ImageId]) -> Result<Answer> {
    let host = session.host(Mounts::Private)?;
    let bases = if wanted.is_empty() { host.bases()?.into_iter().collect() } else { wanted.to_vec() };
    let mut found = Vec::new();
    for base in &bases {
        session.story.event(Event::Begin { step: 0, text: format!("verify base {base}") });
        found.push(host.verify_base(base, &session.story)?);
        session.story.event(Event::End { step: 0, text: String::new() });
    }
    let damaged = found.iter().any(|damage| !damage.places.is_empty());
    let text = found.iter().map(verdict).collect::<String>();
    let exit = if damaged { Exit::Failed } else { Exit::Done };
    Ok(Answer::new(exit, text, "verify", &VerifyBody { bases: found }))
}

fn verdict(damage: &BaseDamage) -> String {
    let BaseDamage { base, places } = damage;
    if places.is_empty() {
        return format!("{base}: as it was sealed\n");
    }
    let lines: String = places.iter().map(|place| format!("  - {place}\n")).collect();
    format!("{base}: damaged, {}\n{lines}", count(places.len(), "finding"))
}

#[derive(Serialize)]
struct RemoveBody {
    report: Option<Report>,
}

fn remove(session: &Session, base: &ImageId) -> Result<Answer> {
    let host = session.host(Mounts::Private)?;
    let report = session.change(&host)?.retire(&RetireTarget::Base(base.clone()), &session.story)?;
    let text = format!("base {base} is removed\n");
    let exit = report.as_ref().map_or(Exit::Done, Exit::of_report);
    Ok(Answer::new(exit, text, "base_remove", &RemoveBody { report }))
}
