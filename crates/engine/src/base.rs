//! Bases: writing an image into a volume, proving that it is there, and proving later that it still is.
//!
//! Separate from the store, which knows volumes and not what is in them. Writer and verifier share no code but the
//! walk: what one gets wrong the other must see.

pub mod chunks;
pub mod inodes;
mod present;
mod record;
pub mod verify;
pub mod write;

pub use self::verify::{Difference, verify};
pub use self::write::{WriteStats, write};
