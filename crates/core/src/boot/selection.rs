//! Which layer boots next: our own record of it, and the only ways it may change.
//!
//! Separate from the loaders: an adapter translates a [`Selection`] into file names, grubenv or a default entry, and
//! brings back what happened. Each transition checks its precondition and returns a new value; writing the file that holds
//! it is the commit point of an update.
//!
//! ```text
//!            arm(new, 3)                     bless(new)
//!   default=old ------> default=old armed=new ------> default=new good=[new, old]
//!      ^  ^   <------          | start() x3, then start()
//!      |  |   disarm()         v
//!      |  +---------- boots old, failed=[new: tries used up]
//!      +------------- fail(new, why) after bad health checks
//! ```
//!
//! Must stay true (checked when a file is read, kept by every transition): armed only with a default to come back to, and
//! never the default itself; at most [`MAX_TRIES`] tries; lists without duplicates and bounded. The default changes only
//! by `adopt` and `bless`: what has not proved itself never becomes the fallback.

mod format;

use serde::Serialize;
use thiserror::Error;

use crate::name::LayerName;

pub use format::SelectionDamage;

/// Most tries one arming can give. More only delays the fall-back of a broken layer; loaders keep one digit.
pub const MAX_TRIES: u8 = 9;
/// Blessed layers remembered. Retention needs two; more makes a longer list in `status` and nothing else.
pub const MAX_GOOD: usize = 8;
/// Failures remembered. An image that fell off the end could be tried again by itself.
pub const MAX_FAILED: usize = 16;
/// Longest reason kept, in bytes; the whole file must stay below one 4 KiB block.
pub const MAX_REASON_LEN: usize = 80;

/// The layer that has the next boots.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Armed {
    /// The layer.
    pub layer: LayerName,
    /// Boots it still gets; at 0 the next start falls back.
    pub tries_left: u8,
}

/// A layer that was armed and did not prove itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// The layer.
    pub layer: LayerName,
    /// Short digest of its image, where known: the same bytes under another name are the same failure.
    pub image_digest: Option<String>,
    /// Why, in one line.
    pub reason: String,
}

/// Why a transition is not possible.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SelectionError {
    /// Nothing to come back to.
    #[error("there is no default layer, so nothing to fall back to or to boot")]
    NoDefault,
    /// A second `adopt`.
    #[error("layer '{0}' is the default already; a new default is made by arming and blessing it")]
    HasDefault(LayerName),
    /// Arming the default.
    #[error("layer '{0}' is the default and boots next anyway")]
    IsDefault(LayerName),
    /// Another arming is open.
    #[error("layer '{0}' is armed already; disarm it first")]
    AlreadyArmed(LayerName),
    /// No or too many tries.
    #[error("{0} tries; it must be 1 to 9")]
    Tries(u8),
    /// Disarming nothing.
    #[error("no layer is armed")]
    NothingArmed,
    /// Blessing or failing a layer that is not booting.
    #[error("layer '{0}' is neither armed nor the default")]
    NotSelected(LayerName),
    /// Forgetting what boots next.
    #[error("layer '{0}' is the default or armed and cannot be forgotten")]
    InUse(LayerName),
    /// No short digest.
    #[error("'{0}' is no short digest of 16 hexadecimal digits")]
    Digest(String),
}

/// Why a start boots what it boots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StartReason {
    /// It is armed; one try was counted.
    Try,
    /// It is the default and nothing is armed.
    Default,
    /// It is the default and the armed layer has used up its tries.
    FellBack,
}

/// What a start boots.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Started {
    /// The layer.
    pub layer: LayerName,
    /// Why this one.
    pub reason: StartReason,
}

/// Which layer boots next, which proved itself, which did not.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Selection {
    default: Option<LayerName>,
    armed: Option<Armed>,
    good: Vec<LayerName>,
    failed: Vec<Failure>,
}

impl Selection {
    /// The layer that boots when nothing is armed, and the fallback of what is armed.
    pub fn default_layer(&self) -> Option<&LayerName> {
        self.default.as_ref()
    }

    /// The layer that has the next boots.
    pub fn armed(&self) -> Option<&Armed> {
        self.armed.as_ref()
    }

    /// Blessed layers, the last one first.
    pub fn good(&self) -> &[LayerName] {
        &self.good
    }

    /// Layers that did not prove themselves, the last one first.
    pub fn failed(&self) -> &[Failure] {
        &self.failed
    }

    /// Whether a layer is the default or armed.
    pub fn boots(&self, layer: &LayerName) -> bool {
        self.default.as_ref() == Some(layer) || self.armed.as_ref().is_some_and(|a| a.layer == *layer)
    }

    /// The first default of a host: `install` and `init`. No inverse: remove the file.
    pub fn adopt(&self, layer: &LayerName) -> Result<Selection, SelectionError> {
        match &self.default {
            Some(default) => Err(SelectionError::HasDefault(default.clone())),
            None => Ok(Selection { default: Some(layer.clone()), ..self.clone() }),
        }
    }

    /// Gives a layer the next `tries` boots. Inverse: [`Selection::disarm`].
    pub fn arm(&self, layer: &LayerName, tries: u8) -> Result<Selection, SelectionError> {
        let default = self.default.as_ref().ok_or(SelectionError::NoDefault)?;
        if let Some(armed) = &self.armed {
            return Err(SelectionError::AlreadyArmed(armed.layer.clone()));
        }
        if default == layer {
            return Err(SelectionError::IsDefault(layer.clone()));
        }
        if !(1..=MAX_TRIES).contains(&tries) {
            return Err(SelectionError::Tries(tries));
        }
        Ok(Selection { armed: Some(Armed { layer: layer.clone(), tries_left: tries }), ..self.clone() })
    }

    /// Takes the arming back. Inverse: [`Selection::arm`] with the tries that were left, if any were.
    pub fn disarm(&self) -> Result<Selection, SelectionError> {
        match self.armed {
            Some(_) => Ok(Selection { armed: None, ..self.clone() }),
            None => Err(SelectionError::NothingArmed),
        }
    }

    /// The same, with the tries that the loader has counted down since it was armed. More than there were are not given.
    #[must_use]
    pub fn counted(&self, left: &Armed) -> Selection {
        let mut after = self.clone();
        if let Some(armed) = after.armed.as_mut().filter(|armed| armed.layer == left.layer) {
            armed.tries_left = armed.tries_left.min(left.tries_left);
        }
        after
    }

    /// One start of the host: what boots, and the selection after the try was counted. An armed layer without tries
    /// left is recorded as failed, and the default boots. No inverse.
    pub fn start(&self) -> Result<(Started, Selection), SelectionError> {
        let default = self.default.clone().ok_or(SelectionError::NoDefault)?;
        match &self.armed {
            None => Ok((Started { layer: default, reason: StartReason::Default }, self.clone())),
            Some(Armed { layer, tries_left: 0 }) => {
                let after = self.with_failure(layer, None, "its tries were used up and it was not blessed");
                Ok((Started { layer: default, reason: StartReason::FellBack }, after))
            }
            Some(Armed { layer, tries_left }) => {
                let armed = Armed { layer: layer.clone(), tries_left: tries_left - 1 };
                let started = Started { layer: layer.clone(), reason: StartReason::Try };
                Ok((started, Selection { armed: Some(armed), ..self.clone() }))
            }
        }
    }

    /// The layer passed its health checks: it becomes the default, its counting ends, an earlier failure of its image
    /// is struck. Blessing the default leaves another arming alone. No inverse: going back is arming another layer.
    pub fn bless(&self, layer: &LayerName) -> Result<Selection, SelectionError> {
        if !self.boots(layer) {
            return Err(SelectionError::NotSelected(layer.clone()));
        }
        let mut after = self.clone();
        // The default it replaces was the fallback until now: it is what a rollback goes to.
        if let Some(old) = self.default.as_ref().filter(|old| !self.good.contains(old)) {
            after.good.insert(0, old.clone());
        }
        after.default = Some(layer.clone());
        after.armed.take_if(|armed| armed.layer == *layer);
        // The same image under another number failed and is good now.
        after.failed.retain(|failure| failure.layer.base() != layer.base());
        after.good.retain(|good| good != layer);
        after.good.insert(0, layer.clone());
        after.good.truncate(MAX_GOOD);
        Ok(after)
    }

    /// The armed layer failed for a known reason, or the reason of a recorded failure became known. The arming ends. The
    /// reason is cut to one line of [`MAX_REASON_LEN`] bytes. Inverse: [`Selection::forgive`].
    pub fn fail(&self, layer: &LayerName, digest: Option<&str>, reason: &str) -> Result<Selection, SelectionError> {
        let armed = self.armed.as_ref().is_some_and(|a| a.layer == *layer);
        if !armed && !self.failed.iter().any(|failure| failure.layer == *layer) {
            return Err(SelectionError::NotSelected(layer.clone()));
        }
        if let Some(digest) = digest.filter(|d| !is_short_digest(d)) {
            return Err(SelectionError::Digest(digest.into()));
        }
        Ok(self.with_failure(layer, digest, reason))
    }

    /// Strikes a failure, so that the layer's image may be tried again.
    #[must_use]
    pub fn forgive(&self, layer: &LayerName) -> Selection {
        let mut after = self.clone();
        after.failed.retain(|failure| failure.layer != *layer);
        after
    }

    /// The layer is about to be removed: it is good for nothing any more. Its failure stays on record, so that its image
    /// is not tried again. No inverse.
    pub fn forget(&self, layer: &LayerName) -> Result<Selection, SelectionError> {
        if self.boots(layer) {
            return Err(SelectionError::InUse(layer.clone()));
        }
        let mut after = self.clone();
        after.good.retain(|good| good != layer);
        Ok(after)
    }

    fn with_failure(&self, layer: &LayerName, digest: Option<&str>, reason: &str) -> Selection {
        let mut after = self.forgive(layer);
        let known = self.failed.iter().find(|f| f.layer == *layer).and_then(|f| f.image_digest.clone());
        after.armed.take_if(|armed| armed.layer == *layer);
        let image_digest = digest.map(String::from).or(known);
        after.failed.insert(0, Failure { layer: layer.clone(), image_digest, reason: one_line(reason) });
        after.failed.truncate(MAX_FAILED);
        after
    }
}

fn is_short_digest(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// One printable line, not empty, without spaces at its ends.
fn one_line(text: &str) -> String {
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let mut end = clean.trim().len().min(MAX_REASON_LEN);
    let clean = clean.trim();
    while !clean.is_char_boundary(end) {
        end -= 1;
    }
    let cut = clean[..end].trim();
    if cut.is_empty() { "no reason was given".into() } else { cut.into() }
}

#[cfg(test)]
mod tests;
