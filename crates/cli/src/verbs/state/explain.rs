//! `state explain`: why a path is as it is.

use std::ffi::OsString;
use std::fmt::Write;

use serde::Serialize;
use thinroot_core::manifest::Entry;
use thinroot_core::name::{ImageId, LayerName};
use thinroot_core::path::TreePath;
use thinroot_core::plan::PlanId;
use thinroot_core::state::{Action, Content, Decision, Edit, Facet};
use thinroot_engine::error::Result;
use thinroot_engine::host::{Carried, Comparison};

use super::tree_path;
use crate::answer::Answer;
use crate::exit::Exit;
use crate::guide::{Guide, READS};
use crate::render::state::{decision_lines, facet_word};
use crate::session::{Mounts, Session};

/// Which path.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The path
    #[arg(value_name = "PATH")]
    pub path: OsString,
    /// The layer [default: the booted one, else the default]
    #[arg(long, value_name = "LAYER")]
    pub layer: Option<LayerName>,
}

/// How it is used.
pub const GUIDE: Guide = Guide {
    verb: &["state", "explain"],
    examples: &[("thinroot state explain /etc/ssh/sshd_config", "who has it from whom, since when, and why")],
    exits: READS,
};

#[derive(Serialize)]
struct Body<'a> {
    path: &'a TreePath,
    layer: &'a LayerName,
    base: &'a ImageId,
    /// `untouched`, `added`, `modified`, `removed` against the base, or `absent` from both.
    is: &'static str,
    facets: Vec<Facet>,
    entry: Option<&'a Entry>,
    rule: String,
    /// The oldest image since which it is different here; none where it is not.
    different_since: Option<&'a ImageId>,
    /// What persons edited in this layer, the oldest first.
    edits: Vec<Edited<'a>>,
    history: Vec<Past<'a>>,
}

/// One edit of a person.
#[derive(Serialize)]
struct Edited<'a> {
    plan: &'a PlanId,
    edit: &'a Edit,
}

/// What one update decided.
#[derive(Serialize)]
struct Past<'a> {
    plan: &'a PlanId,
    created_sec: u64,
    from: &'a LayerName,
    layer: &'a LayerName,
    decision: &'a Decision,
}

/// Does it.
pub fn run(session: &Session, args: &Args) -> Result<Answer> {
    let path = tree_path(&args.path)?;
    let host = session.host(Mounts::Private)?;
    let layer = host.present_layer(args.layer.as_ref())?;
    let carried = host.carried_into(&layer)?;
    let edits = host.edited(&layer)?;
    let comparison = host.compare(&layer, &session.story)?;
    let mut body = body(&path, &comparison, &carried, comparison.policy.rule(&path).told());
    let all = edits.iter().flat_map(|(plan, edits)| edits.edits.iter().map(move |edit| Edited { plan, edit }));
    body.edits = all.filter(|edited| edited.edit.path == path).collect();
    let answer = Answer::new(Exit::Done, text(&body), "state_explain", &body);
    drop(body);
    comparison.finish()?;
    Ok(answer)
}

fn body<'a>(path: &'a TreePath, of: &'a Comparison, carried: &'a [Carried], rule: String) -> Body<'a> {
    let (base, local) = (of.base.get(path), of.local(path));
    let is = match (of.delta.changes.contains_key(path), base, local) {
        (true, None, _) => "added",
        (true, Some(_), None) => "removed",
        (true, Some(_), Some(_)) => "modified",
        (false, Some(_), _) => "untouched",
        (false, None, _) => "absent",
    };
    let past = |carried: &'a Carried| {
        let decision = carried.state.decisions.iter().find(|decision| decision.path == *path)?;
        let Carried { plan, created_sec, from, layer, .. } = carried;
        Some(Past { plan, created_sec: *created_sec, from, layer, decision })
    };
    let history: Vec<Past<'a>> = carried.iter().filter_map(past).collect();
    // Unbroken from now back: a decision for the image ends it.
    let own = carried.iter().take_while(|carried| {
        carried.state.decisions.iter().any(|decision| decision.path == *path && is_own(&decision.action))
    });
    let oldest = own.last().map_or(of.layer.base(), |carried| carried.from.base());
    let different_since = Some(oldest).filter(|_| !matches!(is, "untouched" | "absent"));
    Body {
        path,
        layer: &of.layer,
        base: of.layer.base(),
        is,
        facets: of.delta.facets(path, &of.base),
        entry: local,
        rule,
        different_since,
        edits: Vec::new(),
        history,
    }
}

/// Whether the result has something of the layer's.
fn is_own(action: &Action) -> bool {
    match action {
        Action::Put { content, .. } => !matches!(content, Content::Vendor { detach: true }),
        Action::Remove => true,
        Action::Leave => false,
    }
}

fn text(body: &Body<'_>) -> String {
    let mut out = String::new();
    let mut line = |text: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{text}");
    };
    let path_text = format!("{}:", body.path);
    line(format!("{} in {}", body.path, body.layer));
    let facets: Vec<String> = body.facets.iter().map(facet_word).collect();
    line(match body.is {
        "untouched" => format!("  as image {} ships it", body.base),
        "absent" => format!("  neither here nor in image {}", body.base),
        "added" => format!("  added here; image {} does not have it", body.base),
        "removed" => format!("  deleted here; image {} has it", body.base),
        _ => format!("  changed here against image {}: {}", body.base, facets.join(", ")),
    });
    if let Some(entry) = body.entry {
        line(format!(
            "  {}, mode {:04o}, last written {} s after 1970",
            entry.kind.word(),
            entry.meta.mode,
            entry.meta.mtime.sec
        ));
    }
    if let Some(since) = body.different_since {
        line(format!("  different from its image since {since}"));
    }
    line(format!("  rule: {}", body.rule));
    for Edited { plan, edit } in &body.edits {
        let what = edit.to_string();
        line(format!("  edit (plan {plan}, of {}):{}", edit.of, what.strip_prefix(&path_text).unwrap_or(&what)));
    }
    if body.history.is_empty() {
        line("  no update has decided over it".into());
    }
    for past in &body.history {
        line(format!(
            "  update {} -> {} (plan {}), row {}, rule {}:",
            past.from, past.layer, past.plan, past.decision.row, past.decision.rule
        ));
        decision_lines(past.decision).lines().for_each(|text| line(format!("  {text}")));
    }
    out
}
