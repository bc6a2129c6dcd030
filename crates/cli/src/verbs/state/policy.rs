//! `state policy`: which rules hold, and which one decides over a path.

use std::ffi::OsString;
use std::fmt::Write;

use serde::Serialize;
use thinroot_core::name::LayerName;
use thinroot_core::path::TreePath;
use thinroot_core::state::policy::{Class, Rule, Treatment};
use thinroot_engine::error::Result;

use super::tree_paths;
use crate::answer::Answer;
use crate::exit::Exit;
use crate::guide::{Guide, READS};
use crate::session::{Mounts, Session};

/// The rules over the state
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub what: What,
}

/// What to ask of the rules.
#[derive(Debug, clap::Subcommand)]
pub enum What {
    /// Say which rule decides over paths, who made it, and what it means
    ///
    /// The most specific rule decides; of equally specific ones the admin's over the image's over the built-in. Whether
    /// the path exists does not matter.
    ///
    /// Reads only.
    Test(TestArgs),
    /// List the rules that hold, by who made them
    ///
    /// Rules come from /usr/lib/thinroot/state.d/*.policy of the image and /etc/thinroot/state.d/*.policy of the layer. A
    /// file there takes the place of the image's file of the same name.
    ///
    /// Reads only.
    Show(ShowArgs),
}

/// Which paths.
#[derive(Debug, clap::Args)]
pub struct TestArgs {
    /// The paths
    #[arg(value_name = "PATH", required = true)]
    pub paths: Vec<OsString>,
    /// The layer [default: the booted one, else the default]
    #[arg(long, value_name = "LAYER")]
    pub layer: Option<LayerName>,
}

/// Of which layer.
#[derive(Debug, clap::Args)]
pub struct ShowArgs {
    /// The layer [default: the booted one, else the default]
    #[arg(long, value_name = "LAYER")]
    pub layer: Option<LayerName>,
}

/// How it is used.
pub const GUIDES: &[Guide] = &[
    Guide {
        verb: &["state", "policy", "test"],
        examples: &[("thinroot state policy test /etc/fstab /usr/lib/app/plugin.so", "would these be carried?")],
        exits: READS,
    },
    Guide {
        verb: &["state", "policy", "show"],
        examples: &[("thinroot state policy show", "which rules hold here")],
        exits: READS,
    },
];

#[derive(Serialize)]
struct TestBody<'a> {
    layer: &'a LayerName,
    paths: Vec<Tested<'a>>,
}

#[derive(Serialize)]
struct Tested<'a> {
    path: &'a TreePath,
    rule: &'a Rule,
    means: &'static str,
}

#[derive(Serialize)]
struct ShowBody<'a> {
    layer: &'a LayerName,
    unknown_data_bytes: u64,
    rules: &'a [Rule],
}

/// Does it.
pub fn run(session: &Session, args: &Args) -> Result<Answer> {
    let host = session.host(Mounts::Private)?;
    let named = match &args.what {
        What::Test(args) => &args.layer,
        What::Show(args) => &args.layer,
    };
    let layer = host.present_layer(named.as_ref())?;
    let policy = host.policy_of_layer(&layer)?;
    let mut text = String::new();
    match &args.what {
        What::Test(args) => {
            let paths = tree_paths(&args.paths)?;
            let tested = |path| Tested { path, rule: policy.rule(path), means: means(policy.rule(path).treatment) };
            let body = TestBody { layer: &layer, paths: paths.iter().map(tested).collect() };
            for Tested { path, rule, means } in &body.paths {
                // Writing to a string cannot fail.
                let _ = writeln!(text, "{path}\n  rule {rule}, {}\n  {means}", rule.origin);
            }
            Ok(Answer::new(Exit::Done, text, "state_policy_test", &body))
        }
        What::Show(_) => {
            let mut rules: Vec<&Rule> = policy.rules().iter().collect();
            rules.sort_by(|a, b| b.origin.cmp(&a.origin));
            for rule in rules {
                let _ = writeln!(text, "{:<48} {:<20} {}", rule.pattern(), rule.treatment.to_string(), rule.origin);
            }
            let _ = writeln!(text, "limit unknown-data {}M", policy.unknown_data_bytes >> 20);
            let unknown_data_bytes = policy.unknown_data_bytes;
            let body = ShowBody { layer: &layer, unknown_data_bytes, rules: policy.rules() };
            Ok(Answer::new(Exit::Done, text, "state_policy", &body))
        }
    }
}

fn means(treatment: Treatment) -> &'static str {
    match treatment {
        Treatment::State(class) => match class {
            Class::Carry => "carried; each facet for itself, and a content that both sides changed is the layer's",
            Class::Vendor => "always the image's; what was changed here is kept aside and told",
            Class::Merge => {
                "carried; each facet for itself, and a text that both sides changed is merged by key where its format is known, else by line"
            }
            Class::Structured(_) => {
                "carried; each facet for itself, and what both sides changed is merged by what it means"
            }
            Class::Identity => "always the layer's: it makes this host this host",
            Class::Derived => "always the image's: it is generated from other files",
            Class::MustExist => "as merge; deleted here, it comes back where the image changed it",
            Class::Block => "as merge; a conflict stops the update",
            Class::Pinned => "always the layer's, because it is pinned",
        },
        Treatment::NotCarried => "not carried; a change here is told at each update",
        Treatment::Ignored => "not looked at",
    }
}
