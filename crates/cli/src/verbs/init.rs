//! `init`: adopts the running host, or makes an empty store.

use std::path::PathBuf;

use serde::Serialize;
use thinroot_core::adopt::Adoption;
use thinroot_core::name::{ImageId, LayerName};
use thinroot_core::plan::Plan;
use thinroot_engine::adopt::{self, Proposal, Request, originals::Places};
use thinroot_engine::error::Result;
use thinroot_engine::execute::Report;
use thinroot_engine::host::StoreRef;

use super::install::LoaderArg;
use crate::answer::Answer;
use crate::exit::Exit;
use crate::guide::Guide;
use crate::render;
use crate::session::{Mounts, Session};

/// Adopt the running host, or make an empty store
///
/// Without --store: takes over a host that was installed by other means with its root on an LVM thin volume. The root
/// becomes a layer where it is: its volume keeps its name and content, the boot entries that are there stay, and nothing
/// has to be restarted. Its base is a snapshot of it with what its packages shipped, so that whatever was changed before
/// (files edited, added, removed; services, users, kernel arguments) is carried by the next update like any other state.
/// The boot loader follows thinroot from here on. A host laid out by imgbased is recognised, and its layers are taken over
/// with their names.
///
/// dpkg and rpm know which files were changed, and not what they were. Originals come from package files that still lie in
/// their caches or in --packages DIR, with --fetch also from where the host has its packages from. Of a file whose original
/// is not to be had each update keeps this host's version, with the image's beside it.
///
/// --plan shows everything and touches nothing. --undo gives the host back as it was, as long as no layer was made since.
///
/// With --store: makes the store that it names, a directory of image files or the records of an LVM thin pool that exists
/// already, with no base and no layer. Never formats, resizes or removes a volume that is there, and never touches the
/// running root.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Show what would be done, and touch nothing
    #[arg(long)]
    pub plan: bool,
    /// Give an adopted host back as it was
    #[arg(long, conflicts_with_all = ["identity", "loader", "kernel", "packages", "fetch"])]
    pub undo: bool,
    /// Who the host is: the name that its update images have, and its version [default: by its os-release, or imgbased]
    #[arg(long = "as", value_name = "NAME-VERSION-RELEASE")]
    pub identity: Option<ImageId>,
    /// The boot loader, where there are several
    #[arg(long, value_enum)]
    pub loader: Option<LoaderArg>,
    /// Version of the kernel that the host's entry boots [default: the running one]
    #[arg(long, value_name = "VERSION")]
    pub kernel: Option<String>,
    /// A directory with packages, searched for originals of files that were changed
    #[arg(long, value_name = "DIR")]
    pub packages: Vec<PathBuf>,
    /// Download packages whose files were changed, in the version that is installed
    #[arg(long)]
    pub fetch: bool,
}

/// How it is used.
pub const GUIDES: &[Guide] = &[Guide {
    verb: &["init"],
    examples: &[
        ("thinroot init --plan", "what adopting this host would do, and which files were changed on it"),
        ("thinroot init --as node-12.8-1 --fetch", "adopt it, with originals from its package archive"),
        ("thinroot init --undo", "give it back as it was"),
        ("thinroot --store dir:/srv/thinroot init", "an empty store in a directory"),
        ("thinroot --store lvm:vg0/pool0 init", "an empty store in the thin pool vg0/pool0"),
    ],
    exits: &[
        (Exit::Done, None),
        (Exit::Failed, Some("failed; what was done of an adoption is undone")),
        (Exit::Usage, None),
        (Exit::Refused, Some("refused before anything was touched")),
        (Exit::Interrupted, None),
        (Exit::Findings, None),
    ],
}];

#[derive(Serialize)]
struct Body<'a> {
    store: String,
    changed: bool,
    layer: Option<LayerName>,
    adoption: Option<&'a Adoption>,
    plan: Option<&'a Plan>,
    findings: Vec<String>,
}

/// Does it.
pub fn run(session: &Session, args: &Args) -> Result<Answer> {
    match (args.undo, &session.global.store) {
        (true, _) => undo(session, args.plan),
        (false, None) => adopt_host(session, args),
        (false, Some(store)) => make_store(session, store),
    }
}

fn make_store(session: &Session, store: &StoreRef) -> Result<Answer> {
    let place = session.place()?;
    session.enter(&format!("make the store {store}"), Mounts::Private)?;
    place.init()?;
    let store = store.to_string();
    let text = format!("store {store} is ready; next: thinroot --store {store} base add IMAGE\n");
    let body = Body { store, changed: true, layer: None, adoption: None, plan: None, findings: vec![] };
    Ok(Answer::new(Exit::Done, text, "init", &body))
}

fn adopt_host(session: &Session, args: &Args) -> Result<Answer> {
    session.enter("adopt this host", Mounts::Private)?;
    let request = Request {
        boot_dir: session.global.boot_dir.clone(),
        loader: args.loader.map(Into::into),
        identity: args.identity.clone(),
        kernel: args.kernel.clone(),
        places: Places { directories: args.packages.clone(), fetch: args.fetch },
    };
    let proposal = adopt::plan(&request)?;
    let store = proposal.place.store.to_string();
    if args.plan {
        let text = render::adopt::proposal(&proposal);
        let body = Body {
            store,
            changed: false,
            layer: layer(&proposal),
            adoption: Some(&proposal.adoption),
            plan: Some(&proposal.plan),
            findings: proposal.notes.clone(),
        };
        return Ok(Answer::new(Exit::Done, text, "init", &body));
    }
    let report = adopt::adopt(&proposal, &session.story)?;
    let findings: Vec<String> = proposal.notes.iter().chain(&report.findings).cloned().collect();
    let text = render::adopt::adopted(&proposal) + &render::report::list("findings", &findings);
    let exit = if findings.is_empty() { Exit::of_report(&report) } else { Exit::Findings };
    let body = Body {
        store,
        changed: true,
        layer: layer(&proposal),
        adoption: Some(&proposal.adoption),
        plan: Some(&report.plan),
        findings,
    };
    Ok(Answer::new(exit, text, "init", &body))
}

fn layer(proposal: &Proposal) -> Option<LayerName> {
    proposal.adoption.layers.last().map(|adopted| adopted.layer.clone())
}

fn undo(session: &Session, only_plan: bool) -> Result<Answer> {
    let place = session.place()?;
    session.enter("give this host back", Mounts::Private)?;
    let store = place.store.to_string();
    if only_plan {
        let host = place.open()?;
        let (adoption, plan) = adopt::plan_let_go(&host)?;
        let text = format!("{plan}then remove the records of {store}\n");
        let body =
            Body { store, changed: false, layer: None, adoption: Some(&adoption), plan: Some(&plan), findings: vec![] };
        return Ok(Answer::new(Exit::Done, text, "init", &body));
    }
    let report: Report = adopt::let_go(&place, &session.story)?;
    let text = "this host is as it was before; its boot loader follows its own configuration again\n".to_string();
    let text = text + &render::report::findings(&report);
    let exit = Exit::of_report(&report);
    let Report { plan, findings, .. } = report;
    let body = Body { store, changed: true, layer: None, adoption: None, plan: Some(&plan), findings };
    Ok(Answer::new(exit, text, "init", &body))
}
