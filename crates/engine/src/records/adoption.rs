//! The record of an adoption: what it was made of, and what an undo puts back.

use thinroot_core::adopt::Adoption;

use super::{Records, read_json, write_json};
use crate::error::Result;

const ADOPTION: &str = "adoption.json";

impl Records {
    /// How this host was adopted; none where it was made by us.
    pub fn adoption(&self) -> Result<Option<Adoption>> {
        read_json(&self.root.join(ADOPTION))
    }

    /// Keeps it. Before the first step, which reads it.
    pub fn put_adoption(&self, adoption: &Adoption) -> Result<()> {
        write_json(&self.root.join(ADOPTION), adoption)
    }
}
