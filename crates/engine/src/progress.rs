//! One stream of events that every shell over the engine renders: bar, plain lines, JSON lines.

use serde::Serialize;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A plan begins.
    Plan {
        /// Its id.
        id: String,
        /// Number of steps.
        steps: usize,
    },
    /// A step begins; also used for phases before there is a plan ("read image").
    Begin {
        /// Counted from 1; 0 for a phase before the plan.
        step: usize,
        /// What it does, in words.
        text: String,
    },
    /// How far the current step is.
    Progress {
        /// Units done.
        done: u64,
        /// Units in all; none where nobody knows.
        total: Option<u64>,
        /// What a unit is: "bytes", "paths".
        unit: &'static str,
    },
    /// The current step is done.
    End {
        /// As in `Begin`.
        step: usize,
        /// What it found or did, in words; empty where there is nothing to add.
        text: String,
    },
    /// Something a person should know.
    Note {
        /// In words.
        text: String,
    },
}

/// Takes events. Must not fail and must not block for long.
pub trait Reporter: Sync {
    /// Takes one event.
    fn event(&self, event: Event);
}

/// Takes events and forgets them.
#[derive(Debug)]
pub struct Silent;

impl Reporter for Silent {
    fn event(&self, _event: Event) {}
}
