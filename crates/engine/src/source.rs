//! Where images come from: one trait, one file a kind.
//!
//! Everything a source reads is hostile until opening it has returned: it reads the whole image once, confines
//! every path, verifies every digest it is given, and computes the manifest from the bytes. Nothing is written then.
//! Later only the contents that are needed are read again, and must still have the digests of that manifest.

mod content;
mod directory;
mod draft;
mod filesystem;
mod initrd;
pub mod limits;
mod localise;
mod oci;
mod open;
mod reference;
mod small;
mod stream;
mod tar;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use thinroot_core::image::{Arch, ImageInfo};
use thinroot_core::manifest::Manifest;
use thinroot_core::name::ImageId;
use thinroot_core::path::TreePath;

pub use self::directory::{manifest_of_tree, tree_contents};
pub(crate) use self::initrd::require_thin_root;
pub(crate) use self::localise::localise;
pub use self::reference::ImageRef;
use crate::error::Result;

/// How an image is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenOptions {
    /// Who the image is, whatever it says itself.
    pub identity: Option<ImageId>,
    /// What this host runs; an image for anything else is refused.
    pub arch: Arch,
}

/// Takes the content of one file.
pub type TakeContent<'a> = dyn FnMut(&TreePath, &mut dyn Read) -> Result<()> + 'a;

/// Contents of files by path, read again on demand. Implemented by an opened image and by a mounted tree.
pub trait Contents {
    /// Gives the content of each wanted file (first names of hard-link groups) exactly once, in whatever order suits
    /// the source. A file that is missing or whose bytes have changed since the manifest was made is an error.
    fn contents(&mut self, wanted: &BTreeSet<TreePath>, take: &mut TakeContent<'_>) -> Result<()>;
}

/// An image that has been read once and found good.
pub struct Image {
    /// Who it is.
    pub info: ImageInfo,
    /// Every path of it.
    pub manifest: Manifest,
    /// Reads contents again.
    pub source: Box<dyn Contents>,
}

impl std::fmt::Debug for Image {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Image").field("info", &self.info).finish_non_exhaustive()
    }
}

/// What a kind of source found.
struct Found {
    manifest: Manifest,
    small: small::SmallFiles,
    /// How many programs there are for each machine.
    machines: BTreeMap<content::Machine, usize>,
    source: Box<dyn Contents>,
    stated: Stated,
}

/// What the wrapping of an image says about it, beside the tree.
#[derive(Debug, Default)]
struct Stated {
    id: Option<String>,
    arch: Option<String>,
}
