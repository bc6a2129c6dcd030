//! The verbs: one file each, with what it takes, its guide and what it does.

pub mod abandon;
pub mod apply;
pub mod base;
pub mod bless;
pub mod check;
pub mod health;
pub mod image;
pub mod init;
pub mod install;
pub mod kargs;
pub mod layer;
pub mod prune;
pub mod resume;
pub mod rollback;
pub mod state;
pub mod status;
pub mod update;

use thinroot_engine::error::Result;

use crate::answer::Answer;
use crate::args::Verb;
use crate::session::Session;

/// Does what was asked.
pub fn run(session: &Session, verb: &Verb) -> Result<Answer> {
    match verb {
        Verb::Status(args) => status::run(session, args),
        Verb::Init(args) => init::run(session, args),
        Verb::Install(args) => install::run(session, args),
        Verb::Base(args) => base::run(session, args),
        Verb::Layer(args) => layer::run(session, args),
        Verb::Update(args) => update::run(session, args),
        Verb::Rollback(args) => rollback::run(session, args),
        Verb::Resume(args) => resume::run(session, args),
        Verb::Abandon(args) => abandon::run(session, args),
        Verb::Prune(args) => prune::run(session, args),
        Verb::Check(args) => check::run(session, args),
        Verb::Apply(args) => apply::run(session, args),
        Verb::Bless(args) => bless::run(session, args),
        Verb::Health(args) => health::run(session, args),
        Verb::Image(args) => image::run(session, args),
        Verb::Kargs(args) => kargs::run(session, args),
        Verb::State(args) => state::run(session, args),
    }
}
