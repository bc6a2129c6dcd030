//! Boot rules: what an entry says, what its file is called, which layer boots next, and what may be pruned.
//!
//! Separate from the engine because each of these is a decision over plain values, and a wrong one leaves a host that
//! does not boot. Loaders (systemd-boot, GRUB) are adapters over [`Selection`] and [`bls`]: they translate, they do not
//! decide.
//!
//! Must stay true: an entry of ours names a layer, never a base; a file that is not surely ours is foreign and nobody
//! touches it; a layer is armed only while there is a default to come back to.

pub mod bls;
pub mod cmdline;
pub mod content;
pub mod entry_name;
pub mod loader;
pub mod restart;
pub mod retention;
pub mod selection;

pub use bls::{Entry, EntryFile, FoundEntry, NewEntry};
pub use cmdline::{AdminChange, CommandLine, admin_changes, options};
pub use content::{ContentName, ContentRole};
pub use entry_name::{Counter, EntryName, KernelVersion};
pub use loader::LoaderState;
pub use retention::{Booted, KeepReason, Retention, Verdict, removable};
pub use selection::{Armed, Failure, MAX_TRIES, Selection, StartReason, Started};
