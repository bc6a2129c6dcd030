//! The command line of thinroot: a thin shell over the engine.
//!
//! A verb turns arguments into calls of the engine and their results into an [`answer::Answer`]; nothing is decided
//! here. Must stay true: stdout carries the answer and nothing else, stderr the story, and exit codes and JSON are a
//! contract (`docs/exit-codes.md`, `docs/json.md`).

// Doc comments of arguments are help texts, where [:TAG] means what it means in a synopsis.
#![allow(rustdoc::broken_intra_doc_links)]

pub mod answer;
pub mod args;
pub mod exit;
pub mod guide;
pub mod progress;
pub mod render;
pub mod session;
pub mod size;
pub mod verbs;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};
use thinroot_engine::error::{Error, ErrorKind};

use crate::args::Cli;
use crate::exit::Exit;
use crate::progress::{Form, Story};
use crate::session::Session;

/// The whole command line with its help, for parsing, man pages and completions.
pub fn command() -> clap::Command {
    guide::guides().iter().fold(Cli::command(), |command, guide| guide.attach(command))
}

/// Runs the program on a command line, the program's name included.
pub fn main_with(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    let parsed = command().try_get_matches_from(&args).and_then(|matches| Cli::from_arg_matches(&matches));
    let exit = match parsed {
        Ok(cli) => run(cli),
        Err(error) => misunderstood(&error, args.iter().any(|arg| arg == "--json")),
    };
    ExitCode::from(exit.code())
}

fn run(cli: Cli) -> Exit {
    let json = cli.global.json;
    let session = Session { story: Story::new(Form::choose(cli.global.quiet, json)), global: cli.global };
    let result = verbs::run(&session, &cli.verb);
    session.story.end();
    match result {
        Ok(answer) => {
            answer.print(json);
            answer.exit
        }
        Err(error) => {
            fail(&error, json);
            Exit::of_error(error.kind)
        }
    }
}

fn fail(error: &Error, json: bool) {
    if json {
        answer::print_raw(format!("{}\n", answer::error_json(error)).as_bytes());
    } else {
        // Where stderr is gone nobody can be told; the exit code still tells.
        let _ = std::io::stderr().write_all(answer::error_text(error).as_bytes());
    }
}

/// Help, version, and command lines that make no sense.
fn misunderstood(error: &clap::Error, json: bool) -> Exit {
    if error.use_stderr() && json {
        let text = error.to_string();
        let why = text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_string();
        fail(&Error::new(ErrorKind::Usage, "read the command line", why).mend("thinroot --help"), json);
    } else {
        // As in `fail`.
        let _ = error.print();
    }
    if error.use_stderr() { Exit::Usage } else { Exit::Done }
}
