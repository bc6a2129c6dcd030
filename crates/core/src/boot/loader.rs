//! What each boot loader reads, made from a [`Selection`] and the entries; and what it says back.
//!
//! Separate from the engine because a wrong byte here leaves a host that does not boot: these are plain functions from
//! values to text, compared in tests and tried on real firmware. They translate; they decide nothing.
//!
//! Every loader is given the same two things: the entry that boots when nothing is tried, and the entry that is tried with
//! the number of tries left. It counts the tries down itself, before it starts what it tries, so that a machine that
//! hangs comes back to the default without anybody's help.

pub mod grub;
pub mod systemd_boot;

use serde::Serialize;

use crate::name::LayerName;

use super::{Armed, Selection};

/// The word that a loader adds to the kernel command line of what it tries: the initrd then starts a timer that restarts
/// the machine, unless the layer is declared good before.
pub const TRY_WORD: &str = "thinroot.try";

/// What a loader will do at the next start, as its own files say.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct LoaderState {
    /// The layer it boots when nothing is tried.
    pub default: Option<LayerName>,
    /// The layer it tries, and how often still.
    pub armed: Option<Armed>,
}

/// What a loader that follows a selection does.
impl From<&Selection> for LoaderState {
    fn from(selection: &Selection) -> Self {
        LoaderState { default: selection.default_layer().cloned(), armed: selection.armed().cloned() }
    }
}

impl LoaderState {
    /// The layer that the next start boots.
    pub fn next(&self) -> Option<&LayerName> {
        match &self.armed {
            Some(armed) if armed.tries_left > 0 => Some(&armed.layer),
            Some(_) | None => self.default.as_ref(),
        }
    }
}
