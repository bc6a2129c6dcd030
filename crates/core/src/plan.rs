//! Plans: everything that will happen, decided beforehand, as data.
//!
//! A plan leaves nothing to choose. It can be printed, compared, stored and tested; the executor in the engine only
//! carries it out. One file a purpose: [`mod@update`], [`mod@rollback`], [`mod@edit`],
//! [`mod@catch_up`], [`mod@retire`], [`mod@adopt`].
//!
//! Must stay true: before [`Plan::commit`] every step can be undone and nothing the running layer reads is written;
//! from there on the plan only goes forward.

pub mod adopt;
pub mod catch_up;
pub mod edit;
pub mod retire;
pub mod rollback;
mod room;
pub mod step;
pub mod update;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::image::ImageInfo;
use crate::name::VolumeName;

pub use room::{Need, RECORDS_MARGIN_BYTES, RESERVE_BYTES, Room};
pub use step::Step;

/// Version of the written form of plans and journals. A reader refuses any other.
pub const FORMAT_VERSION: u32 = 1;

/// Names a plan and its journal: lower-case letters, digits and `-`; sorts by time of creation.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PlanId(String);

impl PlanId {
    /// From the time of planning (seconds since 1970) and what is planned.
    pub fn new(created_sec: u64, purpose: Purpose, salt: u32) -> Self {
        PlanId(format!("{created_sec:010}-{}-{salt:04x}", purpose.as_str()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PlanId {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if text.is_empty() || text.len() > 64 || !text.bytes().all(legal) {
            return Err(format!("'{text}' is no plan id"));
        }
        Ok(PlanId(text.into()))
    }
}

impl TryFrom<String> for PlanId {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<PlanId> for String {
    fn from(id: PlanId) -> String {
        id.0
    }
}

impl fmt::Display for PlanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a plan is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// Add a base.
    AddBase,
    /// Make a layer from a base or from a layer.
    Fork,
    /// Base, layer, state, entry, arm.
    Update,
    /// Arm another layer.
    Rollback,
    /// Change paths of a layer as a person decided.
    EditState,
    /// Change a staged layer by what was changed since in the one its state came from.
    CatchUp,
    /// Remove layers and bases.
    Retire,
    /// Take over a host that was installed by other means.
    Adopt,
    /// Give it back.
    LetGo,
}

impl Purpose {
    /// The word used in plan ids.
    pub fn as_str(self) -> &'static str {
        match self {
            Purpose::AddBase => "add-base",
            Purpose::Fork => "fork",
            Purpose::Update => "update",
            Purpose::Rollback => "rollback",
            Purpose::EditState => "edit-state",
            Purpose::CatchUp => "catch-up",
            Purpose::Retire => "retire",
            Purpose::Adopt => "adopt",
            Purpose::LetGo => "let-go",
        }
    }
}

/// The full list of steps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Version of the written form.
    pub format: u32,
    /// Its name.
    pub id: PlanId,
    /// What it is for.
    pub purpose: Purpose,
    /// Seconds since 1970.
    pub created_sec: u64,
    /// The image it brings, where it brings one; [`ImageInfo::source`] says where to read it again.
    pub image: Option<ImageInfo>,
    /// What will be done, in order.
    pub steps: Vec<Step>,
}

impl Plan {
    /// Index of the first step that cannot be undone; the number of steps where all can.
    pub fn commit(&self) -> usize {
        self.steps.iter().position(Step::is_final).unwrap_or(self.steps.len())
    }

    /// Volumes that the plan makes or removes: none of them is a leftover while the plan is open.
    pub fn volumes(&self) -> Vec<VolumeName> {
        self.steps.iter().filter_map(Step::volume).collect()
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let commit = self.commit();
        for (i, step) in self.steps.iter().enumerate() {
            let mark = if i == commit && step.is_commit() { "  <- from here on it only goes forward" } else { "" };
            writeln!(f, "{:>3}. {step}{mark}", i + 1)?;
        }
        Ok(())
    }
}

/// Values a plan needs that no pure function can make.
#[derive(Debug, Clone, Copy)]
pub struct Seed {
    /// Seconds since 1970.
    pub now_sec: u64,
    /// Random.
    pub salt: u32,
}

impl Seed {
    /// Name of a frozen snapshot that lives no longer than what is done with this.
    pub fn frozen_name(self) -> VolumeName {
        format!("frozen.{}.{:04x}", self.now_sec, self.salt).parse().expect("letters, digits and dots")
    }

    fn plan(self, purpose: Purpose, image: Option<ImageInfo>, steps: Vec<Step>) -> Plan {
        let id = PlanId::new(self.now_sec, purpose, self.salt);
        Plan { format: FORMAT_VERSION, id, purpose, created_sec: self.now_sec, image, steps }
    }
}

/// Why there is no plan. Nothing has been touched.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{why}")]
pub struct Refusal {
    /// In one sentence, with numbers.
    pub why: String,
    /// What to do about it.
    pub mend: String,
    /// Whether an interrupted plan is the reason.
    pub interrupted: bool,
}

impl Refusal {
    pub(crate) fn new(why: impl Into<String>, mend: impl Into<String>) -> Self {
        Refusal { why: why.into(), mend: mend.into(), interrupted: false }
    }

    pub(crate) fn interrupted(id: &PlanId) -> Self {
        let why = format!("plan {id} was interrupted and is still open");
        let mend = "finish it with 'thinroot resume', or undo it with 'thinroot abandon'".into();
        Refusal { why, mend, interrupted: true }
    }
}
