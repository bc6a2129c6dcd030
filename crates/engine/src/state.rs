//! State of layers: what a layer changed, the texts to merge, and the plan carried out in the new layer.
//!
//! Separate from the decisions (`thinroot_core::state`), which are pure. Must stay true: the old layer and the bases are
//! only read; nothing is written outside the new layer and the blob store; a content that loses is in the blob store
//! before anything is written over it.

mod apply;
mod blobs;
mod delta;
mod entries;
mod place;
mod source;
mod texts;

pub use self::apply::{ApplyStats, Roots, apply, edit};
pub use self::blobs::BlobStore;
pub use self::delta::{DeltaStats, accounts_of, delta};
pub use self::entries::entries_at;
pub(crate) use self::place::Place;
pub use self::source::RootContents;
pub use self::texts::{Texts, merge_accounts, merge_texts, present_texts, read_texts};
