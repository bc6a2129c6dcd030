//! thinroot's own tooling: `cargo xtask VERB`.
//!
//! A library with a thin `main`, so that the test beds have an API of their own: [`bed`] runs commands under a User
//! Mode Linux kernel, [`vm`] boots disks in QEMU, [`image`] builds real Debian images. Everything here runs only on
//! developers' machines and in CI, never on a host that is managed by thinroot.
//!
//! What must stay true: whatever a verb starts or creates outside the cache is gone when it ends, also after a panic,
//! Ctrl-C or SIGTERM ([`job`] sees to that).

pub mod bed;
pub mod bench;
pub mod cache;
pub mod crash;
pub mod dist;
pub mod image;
pub mod job;
pub mod licences;
pub mod matrix;
pub mod packages;
pub mod stage;
pub mod suite;
pub mod tidy;
pub mod verbs;
pub mod vm;
pub mod workspace;

/// Result of everything here: tooling failures are sentences for a person, nothing matches on them.
pub type Result<T, E = String> = std::result::Result<T, E>;

/// Adds what was being done, and on what, to an error.
pub trait Context<T> {
    /// `what` as in "read /etc/hosts".
    fn context(self, what: impl std::fmt::Display) -> Result<T>;
}

impl<T, E: std::fmt::Display> Context<T> for std::result::Result<T, E> {
    fn context(self, what: impl std::fmt::Display) -> Result<T> {
        self.map_err(|error| format!("{what}: {error}"))
    }
}
