//! Adopting a host that was installed by other means: which of its files the vendor shipped, and what becomes of the rest.
//!
//! ```text
//! root of the host -> snapshot -> what the vendor shipped = the base     ┐ the next update carries
//! root of the host, as it is, where it is                 = the layer    ┘ the difference
//! ```
//!
//! Separate from the engine because a wrong verdict here is a loss at the first update: a file that counts as the vendor's
//! and is in no later image goes. So must stay true: what nobody vouches for is the host's own. It is taken out of the base,
//! which makes it state, also where a package made it and did not say so.

mod listing;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::install::Loader;
use crate::name::LayerName;
use crate::path::TreePath;
use crate::state::policy::{Policy, Treatment};

pub use listing::{automatic_alternatives, dpkg_list, ucf_hashes, verified};

/// Everything that an adoption does, decided beforehand; kept in the records, so that it can be undone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adoption {
    /// What becomes a layer, the running root last: it is the default afterwards.
    pub layers: Vec<Adopted>,
    /// Which loader follows.
    pub loader: Loader,
    /// The directory that it reads.
    pub boot_dir: String,
    /// Directories with packages to take originals from.
    pub packages: Vec<String>,
    /// Whether packages may be fetched from where the host has its packages from.
    pub fetch: bool,
    /// What was there before and cannot be told later.
    pub before: Before,
}

impl Adoption {
    /// What is adopted as this layer.
    pub fn of(&self, layer: &LayerName) -> Option<&Adopted> {
        self.layers.iter().find(|adopted| adopted.layer == *layer)
    }
}

/// One volume that becomes a layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adopted {
    /// The layer.
    pub layer: LayerName,
    /// What the store's own tools call the volume.
    pub volume: String,
    /// The volume that its base is a snapshot of: itself, or what an earlier tool kept as the image.
    pub origin: String,
    /// What it boots with.
    pub kernel: HostKernel,
}

/// A kernel in the boot directory of a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostKernel {
    /// As `uname -r` prints it.
    pub version: String,
    /// Its path from the boot directory.
    pub image: String,
    /// That of its initrd.
    pub initrd: String,
}

/// What an undo puts back.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Before {
    /// systemd-boot's configuration; none where there was none.
    pub loader_conf: Option<String>,
    /// GRUB's `custom.cfg`; none where there was none.
    pub custom_cfg: Option<String>,
}

/// What a package database says of a tree.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Vendor {
    /// Whether a package manager answers for the tree. Without one, what lies outside the state is the vendor's.
    pub answers: bool,
    /// Paths that packages answer for.
    pub owned: BTreeSet<TreePath>,
    /// Those of them that are not as they were shipped.
    pub changed: BTreeMap<TreePath, Deviation>,
}

/// How a path differs from what was shipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deviation {
    /// It is gone.
    Missing {
        /// Whether it was a file of configuration. Of anything else is not even known what it was.
        config: bool,
    },
    /// Its content, or where it points.
    Content,
    /// Only its mode or owner.
    Meta,
}

/// What becomes of a path in the base.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is the vendor's.
    Keep,
    /// It is the host's own: it is in the layer and not in the base.
    Remove,
    /// It is the vendor's and was changed: what was shipped is put there, or nothing where that is not to be had.
    Restore(Deviation),
}

/// Decides over a path that is there. `link` is where a symbolic link points.
pub fn fate(policy: &Policy, vendor: &Vendor, path: &TreePath, link: Option<&[u8]>) -> Fate {
    match vendor.changed.get(path) {
        // What is there is not what is missing: a directory in its place, say.
        Some(Deviation::Missing { .. }) => return Fate::Remove,
        Some(deviation) => return Fate::Restore(*deviation),
        None => {}
    }
    if path.is_root() || vendor.owned.contains(path) || is_generated(path, link) {
        return Fate::Keep;
    }
    let rule = policy.rule(path);
    match rule.treatment {
        // Databases of packages describe what the vendor shipped, and nothing carries them.
        Treatment::NotCarried if !vendor.answers || !rule.path.is_root() => Fate::Keep,
        Treatment::NotCarried | Treatment::Ignored | Treatment::State(_) => Fate::Remove,
    }
}

/// Whether a path that was shipped and is gone has to be in the base, so that its removal is carried. Outside the state
/// nothing is carried, and package managers leave out documentation there.
pub fn removal_counts(policy: &Policy, path: &TreePath) -> bool {
    matches!(policy.rule(path).treatment, Treatment::State(_))
}

/// File names of caches that programs make from what packages brought, wherever they lie.
const CACHES: [&str; 9] = [
    "icon-theme.cache",
    "mimeinfo.cache",
    "gschemas.compiled",
    "gconv-modules.cache",
    "loaders.cache",
    "giomodule.cache",
    "immodules.cache",
    "locale-archive",
    "hwdb.bin",
];

/// Where scripts of packages keep book of what they did; an image's factory copy.
const BOOKS: [&str; 5] = [
    "var/lib/ucf",
    "var/lib/pam",
    "var/lib/systemd/deb-systemd-helper-enabled",
    "var/lib/systemd/deb-systemd-user-helper-enabled",
    "usr/share/factory",
];

/// What packages' own scripts make of what they brought, without answering for it. Were it the host's own, each update would
/// tell it as a change of the admin, or keep it where the image has a newer one.
fn is_generated(path: &TreePath, link: Option<&[u8]>) -> bool {
    let parts: Vec<&[u8]> = path.components().collect();
    let Some((name, above)) = parts.split_last() else { return false };
    let beneath = |dir: &str| path.as_bytes().starts_with(dir.as_bytes());
    let begins = |prefix: &str| name.starts_with(prefix.as_bytes());
    if let Some(target) = link {
        let to = |place: &str| target.starts_with(place.as_bytes());
        if to("/etc/alternatives/") && !beneath("etc/") {
            return true;
        }
        // The bundle's links: to the certificates that packages brought, and by their digests to those.
        if beneath("etc/ssl/certs/") && (to("/usr/share/ca-certificates/") || !target.contains(&b'/')) {
            return true;
        }
        if above.is_empty() && (begins("vmlinuz") || begins("initrd.img")) {
            return true;
        }
    }
    parts.contains(&&b"__pycache__"[..])
        || CACHES.iter().any(|cache| cache.as_bytes() == *name)
        || (beneath("usr/lib/modules/") || beneath("lib/modules/")) && begins("modules.")
        || beneath("usr/share/mime/")
        || BOOKS.iter().any(|book| path.as_bytes() == book.as_bytes() || beneath(&format!("{book}/")))
        || path.as_bytes() == b"usr/share/info/dir"
        || path.as_bytes() == b"etc/os-release"
        || path.as_bytes() == b"etc/ssl/certs/ca-certificates.crt"
}

#[cfg(test)]
mod tests;
