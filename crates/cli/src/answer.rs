//! What a verb answers: an exit code, a text for people and one JSON object for programs.
//!
//! Separate so that verbs are functions of values to values, and only one place prints.

use std::io::Write;

use serde::Serialize;
use thinroot_engine::error::{Error, ErrorKind};

use crate::exit::Exit;

/// Version of every JSON answer that the command line itself makes.
const VERSION: u32 = 1;

/// The answer of a verb.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// How it ended.
    pub exit: Exit,
    /// For people: lines, each with its end; may be empty.
    pub text: String,
    /// For programs: one object on one line.
    pub json: String,
}

impl Answer {
    /// An answer whose JSON begins with `thinroot_KEY: 1`.
    pub fn new(exit: Exit, text: impl Into<String>, key: &str, body: &impl Serialize) -> Self {
        let body = serde_json::to_string(body).expect("answers always serialise");
        let rest = body.strip_prefix('{').expect("an answer is an object");
        let comma = if rest == "}" { "" } else { "," };
        Answer { exit, text: text.into(), json: format!("{{\"thinroot_{key}\":{VERSION}{comma}{rest}") }
    }

    /// An answer whose value carries its own version.
    pub fn versioned(exit: Exit, text: impl Into<String>, value: &impl Serialize) -> Self {
        Answer { exit, text: text.into(), json: serde_json::to_string(value).expect("answers always serialise") }
    }

    /// Prints it to stdout.
    pub fn print(&self, json: bool) {
        let text = if json { format!("{}\n", self.json) } else { self.text.clone() };
        print_raw(text.as_bytes());
    }
}

/// Prints to stdout. A reader that has gone away (`| head`) is no failure of ours; the exit code still tells the truth.
pub fn print_raw(bytes: &[u8]) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(bytes).and_then(|()| stdout.flush());
}

#[derive(Serialize)]
struct Failure<'a> {
    thinroot_error: u32,
    kind: &'static str,
    attempted: &'a str,
    why: &'a str,
    mend: Option<&'a str>,
}

/// The JSON answer of a command that failed.
pub fn error_json(error: &Error) -> String {
    let Error { kind, attempted, why, mend } = error;
    let failure = Failure { thinroot_error: VERSION, kind: kind_word(*kind), attempted, why, mend: mend.as_deref() };
    serde_json::to_string(&failure).expect("errors always serialise")
}

/// What a failed command says to people.
pub fn error_text(error: &Error) -> String {
    let mend = error.mend.iter().map(|mend| format!("  -> {mend}\n")).collect::<String>();
    format!("thinroot: {}: {}\n{mend}", error.attempted, error.why.trim_end())
}

/// The word for a kind of error in JSON.
fn kind_word(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Usage => "usage",
        ErrorKind::Refused => "refused",
        ErrorKind::Busy => "busy",
        ErrorKind::Interrupted => "interrupted",
        ErrorKind::Damaged => "damaged",
        ErrorKind::Failed => "failed",
        ErrorKind::PowerCut => "power_cut",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_comes_first() {
        #[derive(Serialize)]
        struct Body {
            layer: &'static str,
        }
        #[derive(Serialize)]
        struct Empty {}
        assert_eq!(
            Answer::new(Exit::Done, "", "fork", &Body { layer: "x" }).json,
            "{\"thinroot_fork\":1,\"layer\":\"x\"}"
        );
        assert_eq!(Answer::new(Exit::Done, "", "fork", &Empty {}).json, "{\"thinroot_fork\":1}");
    }

    #[test]
    fn errors_say_what_why_and_the_mend() {
        let error = Error::refused("plan the update", "the pool is full\n").mend("thinroot prune");
        assert_eq!(error_text(&error), "thinroot: plan the update: the pool is full\n  -> thinroot prune\n");
        let bare = Error::failed("read /x", "I/O error");
        assert_eq!(error_text(&bare), "thinroot: read /x: I/O error\n");
        assert_eq!(
            error_json(&bare),
            "{\"thinroot_error\":1,\"kind\":\"failed\",\"attempted\":\"read /x\",\"why\":\"I/O error\",\"mend\":null}"
        );
    }
}
