//! Exit codes: a contract that scripts and other programs rely on.
//!
//! Separate so that there is one total function from every way a command can end to its code.

use thinroot_core::journal::Outcome;
use thinroot_engine::error::ErrorKind;
use thinroot_engine::execute::Report;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done,
    /// Failed, and what had been begun was undone; or something is damaged.
    Failed,
    /// The command line makes no sense.
    Usage,
    /// Refused before anything was touched.
    Refused,
    /// Done, and there is something to look at.
    Findings,
    /// Another run holds the lock.
    Busy,
    /// A plan was interrupted.
    Interrupted,
    /// `update --check` found something to do.
    UpdateAvailable,
    /// The code of a command that was run inside a layer.
    Passed(u8),
}

impl Exit {
    /// Of an error.
    pub fn of_error(kind: ErrorKind) -> Exit {
        match kind {
            ErrorKind::Usage => Exit::Usage,
            ErrorKind::Refused => Exit::Refused,
            ErrorKind::Busy => Exit::Busy,
            ErrorKind::Interrupted | ErrorKind::PowerCut => Exit::Interrupted,
            ErrorKind::Damaged | ErrorKind::Failed => Exit::Failed,
        }
    }

    /// Of a plan that was carried out.
    pub fn of_report(report: &Report) -> Exit {
        match report.outcome {
            Outcome::Done | Outcome::Abandoned if report.findings.is_empty() => Exit::Done,
            Outcome::Done | Outcome::Abandoned | Outcome::DoneWithFindings => Exit::Findings,
            Outcome::Failed => Exit::Failed,
        }
    }

    /// The number.
    pub fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Refused => 3,
            Exit::Findings => 4,
            Exit::Busy => 5,
            Exit::Interrupted => 6,
            Exit::UpdateAvailable => 10,
            Exit::Passed(code) => code,
        }
    }

    /// What it means, where a verb says nothing more exact.
    pub fn meaning(self) -> &'static str {
        match self {
            Exit::Done => "done",
            Exit::Failed => "failed, and what had been begun was undone",
            Exit::Usage => "the command line makes no sense",
            Exit::Refused => "refused before anything was touched",
            Exit::Findings => "done, with findings to look at",
            Exit::Busy => "busy: another run is changing this store",
            Exit::Interrupted => "interrupted: 'thinroot resume' or 'thinroot abandon' is needed",
            Exit::UpdateAvailable => "an update is available",
            Exit::Passed(_) => "the exit code of the command that was run",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_error_has_its_code() {
        let rows = [
            (ErrorKind::Usage, 2),
            (ErrorKind::Refused, 3),
            (ErrorKind::Busy, 5),
            (ErrorKind::Interrupted, 6),
            (ErrorKind::Damaged, 1),
            (ErrorKind::Failed, 1),
            (ErrorKind::PowerCut, 6),
        ];
        for (kind, code) in rows {
            assert_eq!(Exit::of_error(kind).code(), code, "{kind:?}");
        }
    }

    #[test]
    fn the_numbers_are_the_contract() {
        use Exit::{Busy, Done, Failed, Findings, Interrupted, Passed, Refused, UpdateAvailable, Usage};
        let all = [Done, Failed, Usage, Refused, Findings, Busy, Interrupted, UpdateAvailable, Passed(77)];
        assert_eq!(all.map(Exit::code), [0, 1, 2, 3, 4, 5, 6, 10, 77]);
    }
}
