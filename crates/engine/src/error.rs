//! The one border type for everything that can go wrong in the engine.
//!
//! Each error says what was attempted, on what, why it failed and, where there is one, the command that mends it.
//! The kind decides the exit code and whether anything may have been touched.

use std::fmt;
use std::path::Path;

use crate::cmd::CmdError;

/// Result of everything in the engine.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What class of failure it is; the CLI maps these to exit codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The request itself makes no sense (exit 2).
    Usage,
    /// Refused before anything was touched: bad image, no space, incompatible, blocked (exit 3).
    Refused,
    /// Another run holds the lock, or a volume is in use (exit 5).
    Busy,
    /// An interrupted plan must be resumed or abandoned first (exit 6).
    Interrupted,
    /// Something we wrote or rely on is not as it must be.
    Damaged,
    /// An operation of the system failed.
    Failed,
    /// The crash suite pulled the plug here: no clean-up may run. Never seen outside tests.
    PowerCut,
}

/// An error with its story.
#[derive(Debug)]
pub struct Error {
    /// Class of failure.
    pub kind: ErrorKind,
    /// What was attempted, on what: "write base node-2-0".
    pub attempted: String,
    /// Why it failed, in one sentence.
    pub why: String,
    /// What to do about it: a command or a sentence.
    pub mend: Option<String>,
}

impl Error {
    /// An error of any kind.
    pub fn new(kind: ErrorKind, attempted: impl Into<String>, why: impl fmt::Display) -> Self {
        Error { kind, attempted: attempted.into(), why: why.to_string(), mend: None }
    }

    /// Refused before anything was touched.
    pub fn refused(attempted: impl Into<String>, why: impl fmt::Display) -> Self {
        Error::new(ErrorKind::Refused, attempted, why)
    }

    /// An operation of the system failed.
    pub fn failed(attempted: impl Into<String>, why: impl fmt::Display) -> Self {
        Error::new(ErrorKind::Failed, attempted, why)
    }

    /// Something is not as we left it.
    pub fn damaged(attempted: impl Into<String>, why: impl fmt::Display) -> Self {
        Error::new(ErrorKind::Damaged, attempted, why)
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn mend(mut self, mend: impl Into<String>) -> Self {
        self.mend = Some(mend.into());
        self
    }

    /// Puts what was being attempted on a higher level before the story.
    #[must_use]
    pub fn during(mut self, outer: &str) -> Self {
        self.attempted = format!("{outer}: {}", self.attempted);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.attempted, self.why)
    }
}

impl std::error::Error for Error {}

impl From<CmdError> for Error {
    fn from(error: CmdError) -> Self {
        Error::failed(format!("run {}", error.line), error.why())
    }
}

/// Adds what was attempted, and on what, to an I/O result.
pub trait IoContext<T> {
    /// `verb` as in "read", "create"; the path is added.
    fn at(self, verb: &str, path: impl AsRef<Path>) -> Result<T>;
}

impl<T, E: Into<std::io::Error>> IoContext<T> for std::result::Result<T, E> {
    fn at(self, verb: &str, path: impl AsRef<Path>) -> Result<T> {
        self.map_err(|error| {
            let error: std::io::Error = error.into();
            // A reader that met its own Error inside an io::Error hands it through unchanged.
            match error.downcast::<Error>() {
                Ok(own) => own,
                Err(error) => Error::failed(format!("{verb} {}", path.as_ref().display()), error),
            }
        })
    }
}

/// Lets an [`Error`] travel through `std::io::Read` and `Write`.
impl From<Error> for std::io::Error {
    fn from(error: Error) -> Self {
        std::io::Error::other(error)
    }
}
