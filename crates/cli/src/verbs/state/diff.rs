//! `state diff`: what was changed here against the base.

use std::ffi::OsString;
use std::fmt::Write;

use serde::Serialize;
use thinroot_core::name::{ImageId, LayerName};
use thinroot_core::path::{TreePath, escape};
use thinroot_core::state::policy::Treatment;
use thinroot_core::state::text::unified;
use thinroot_core::state::{Change, Facet};
use thinroot_engine::error::Result;
use thinroot_engine::host::{Comparison, Shown};

use super::{is_wanted, tree_paths};
use crate::answer::Answer;
use crate::exit::Exit;
use crate::guide::{Guide, READS};
use crate::render::count;
use crate::render::state::facet_word;
use crate::session::{Mounts, Session};

/// What is compared.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only this path and what lies beneath it; may be given more than once
    #[arg(value_name = "PATH")]
    pub paths: Vec<OsString>,
    /// The layer [default: the booted one, else the default]
    #[arg(long, value_name = "LAYER")]
    pub layer: Option<LayerName>,
    /// Also show how the texts differ
    #[arg(long, short)]
    pub unified: bool,
}

/// How it is used.
pub const GUIDE: Guide = Guide {
    verb: &["state", "diff"],
    examples: &[
        ("thinroot state diff", "every path that was changed here"),
        ("thinroot state diff --unified /etc", "and what was changed in the texts beneath /etc"),
    ],
    exits: READS,
};

#[derive(Serialize)]
struct Body<'a> {
    layer: &'a LayerName,
    base: &'a ImageId,
    changes: Vec<Row<'a>>,
}

#[derive(Serialize)]
struct Row<'a> {
    path: &'a TreePath,
    change: &'static str,
    facets: Vec<Facet>,
    /// How an update treats it.
    rule: String,
    carried: bool,
    /// With `--unified`: the difference of the texts, where it may be shown; bytes that are no UTF-8 are replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    diff: Option<String>,
    #[serde(skip)]
    hidden: bool,
}

/// Does it.
pub fn run(session: &Session, args: &Args) -> Result<Answer> {
    let paths = tree_paths(&args.paths)?;
    let host = session.host(Mounts::Private)?;
    let layer = host.present_layer(args.layer.as_ref())?;
    let comparison = host.compare(&layer, &session.story)?;
    let changed = comparison.delta.changes.iter().filter(|(path, _)| is_wanted(path, &paths));
    let changes = changed.map(|(path, change)| row(&comparison, path, change, args.unified)).collect::<Result<_>>()?;
    let body = Body { layer: &layer, base: layer.base(), changes };
    let answer = Answer::new(Exit::Done, text(&body), "state_diff", &body);
    drop(body);
    comparison.finish()?;
    Ok(answer)
}

fn row<'a>(of: &Comparison, path: &'a TreePath, change: &Change, unified: bool) -> Result<Row<'a>> {
    let rule = of.policy.rule(path);
    let shown = if unified { of.texts(path)? } else { Shown::NoText };
    let (diff, hidden) = match shown {
        Shown::Texts { old, new } => (Some(side_by_side(path, change, &old, &new)), false),
        Shown::Secret => (None, true),
        Shown::NoText => (None, false),
    };
    Ok(Row {
        path,
        change: match change {
            Change::Added(_) => "added",
            Change::Modified(_) => "modified",
            Change::Removed => "removed",
        },
        facets: of.delta.facets(path, &of.base),
        rule: rule.told(),
        carried: matches!(rule.treatment, Treatment::State(_)),
        diff,
        hidden,
    })
}

fn side_by_side(path: &TreePath, change: &Change, old: &[u8], new: &[u8]) -> String {
    let hunks = unified(old, new);
    if hunks.is_empty() {
        return String::new();
    }
    let name = escape(path.as_bytes());
    let side = |there: bool, side: &str| if there { format!("{side}/{name}") } else { "/dev/null".into() };
    let before = side(!matches!(change, Change::Added(_)), "a");
    let after = side(!matches!(change, Change::Removed), "b");
    format!("--- {before}\n+++ {after}\n{}", String::from_utf8_lossy(&hunks))
}

fn text(body: &Body<'_>) -> String {
    let mut out = format!("{} against {}: {}\n", body.layer, body.base, count(body.changes.len(), "change"));
    for row in &body.changes {
        let facets: Vec<String> = row.facets.iter().map(facet_word).collect();
        let facets = if facets.is_empty() { String::new() } else { format!(" ({})", facets.join(", ")) };
        let fate = if row.carried { "" } else { "  [not carried]" };
        // Writing to a string cannot fail.
        let _ = writeln!(out, "  {:<8} {}{facets}{fate}", row.change, row.path);
        if row.hidden {
            let _ = writeln!(out, "           content not shown: not everyone may read it");
        }
        out.push_str(row.diff.as_deref().unwrap_or_default());
    }
    out
}
