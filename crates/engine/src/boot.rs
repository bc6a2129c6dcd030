//! The boot directory: entries, kernels and initrds by content, and the selection of what boots next.
//!
//! ```text
//! BOOT/loader/entries/<layer>-<kernel>.conf     Boot Loader Specification, ours and others' side by side
//! BOOT/loader/thinroot.sel                      our selection; writing it is the commit point of an update
//! BOOT/thinroot/<32 digits of sha256>-vmlinuz   kernels and initrds, each content once
//! BOOT/grub/thinroot.{cfg,env}, or BOOT/loader/entries/_thinroot-*.conf     what the loader reads (see `loader`)
//! ```
//!
//! Separate from the rules in `thinroot_core::boot`, which decide. The loaders are adapters below this module: each
//! translates entries and selection into what its loader reads, and brings back what the loader counted.
//!
//! Must stay true at every instant, also across a power cut:
//! - no entry of ours points at a file that is not completely there: kernels first, then the entry, then the selection;
//!   removing goes the other way round;
//! - the selection is the old one or the new one; a damaged one is an error, never a guess;
//! - what is not surely ours is not written, renamed or removed, and its kernels stay;
//! - while anything cannot be read, nothing is deleted.
//!
//! On FAT (an ESP) replacing a file is one sector of its directory, but not a transaction: after a power cut a check of
//! the file system may find the old content under both names. New entries and kernels have new names and are not
//! concerned; the selection's checksum tells.

mod content;
mod entries;
mod loader;
mod survey;

use std::path::{Path, PathBuf};

use thinroot_core::boot::Selection;
use thinroot_core::name::LayerName;

use crate::durable;
use crate::error::{Error, IoContext, Result};
use crate::fault;
use crate::store::Ensured;

pub use content::KernelFile;
pub use loader::LoaderKind;
pub use survey::{BootSpace, BootSurvey, OurEntry, SelectionFile, StoredKernel};

const ENTRIES_DIR: &str = "loader/entries";
pub(crate) const SELECTION_FILE: &str = "loader/thinroot.sel";

/// Entries and the selection may be read by everyone, as on every distribution.
const TEXT_MODE: u32 = 0o644;

/// A boot directory: the mounted boot partition, or the folder of a directory store.
#[derive(Debug, Clone)]
pub struct BootDir {
    root: PathBuf,
}

impl BootDir {
    /// Opens an existing directory; touches nothing.
    pub fn open(path: &Path) -> Result<BootDir> {
        let meta = std::fs::metadata(path).at("open boot directory", path)?;
        if !meta.is_dir() {
            return Err(Error::refused(format!("open boot directory {}", path.display()), "it is no directory"));
        }
        Ok(BootDir { root: path.into() })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// The selection, with the tries that the loader has counted since; none where none was ever written.
    pub fn read_selection(&self) -> Result<Option<Selection>> {
        let Some(selection) = self.written_selection()? else { return Ok(None) };
        // A loader whose files say nothing boots the default; whoever looks finds it among the findings.
        let state = self.loader_state().ok().flatten().unwrap_or_default();
        Ok(Some(state.armed.map_or(selection.clone(), |armed| selection.counted(&armed))))
    }

    fn written_selection(&self) -> Result<Option<Selection>> {
        let path = self.selection_path();
        let raw = match std::fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            other => other.at("read", &path)?,
        };
        let damaged = |why: String| {
            Error::damaged(format!("read the boot selection {}", path.display()), why)
                .mend("choose what boots next: thinroot rollback --to LAYER")
        };
        let text = String::from_utf8(raw).map_err(|_| damaged("it is not text".into()))?;
        Selection::parse(&text).map(Some).map_err(|error| damaged(error.to_string()))
    }

    /// Writes the selection, atomically and durably, and reads it back: **the commit point of an update**, together with
    /// the one write by which the loader follows. Refused where it would newly boot a layer that has no entry with all
    /// its files.
    pub fn set_selection(&self, selection: &Selection) -> Result<Ensured> {
        let written = self.write_selection(selection)?;
        match self.follow_selection(selection)? {
            Ensured::Done => Ok(Ensured::Done),
            Ensured::Already => Ok(written),
        }
    }

    fn write_selection(&self, selection: &Selection) -> Result<Ensured> {
        // A damaged selection vouches for nothing, so everything is checked; replacing it is its mend.
        let current = self.written_selection().ok().flatten();
        if current.as_ref() == Some(selection) {
            return Ok(Ensured::Already);
        }
        let selected = selection.default_layer().into_iter().chain(selection.armed().map(|armed| &armed.layer));
        for layer in selected.filter(|layer| current.as_ref().is_none_or(|c| !c.boots(layer))) {
            self.require_bootable(layer)?;
        }
        let path = self.selection_path();
        self.require_room_for_text("write the boot selection")?;
        self.ensure_directory("loader")?;
        durable::write(&path, selection.to_string().as_bytes(), TEXT_MODE)?;
        match self.written_selection()? {
            Some(read) if read == *selection => Ok(Ensured::Done),
            Some(_) | None => Err(Error::damaged(
                format!("write the boot selection {}", path.display()),
                "reading it back gave something else",
            )),
        }
    }

    /// Forgets what boots next. Only once no loader asks any more.
    pub(crate) fn forget_selection(&self) -> Result<()> {
        durable::remove(&self.selection_path()).map(drop)
    }

    fn selection_path(&self) -> PathBuf {
        self.root.join(SELECTION_FILE)
    }

    fn require_bootable(&self, layer: &LayerName) -> Result<()> {
        let entries = self.list_entries()?;
        let mut of_layer = entries.iter().filter_map(|listed| listed.ours()).filter(|file| file.name.layer() == layer);
        if of_layer.any(|file| self.missing_files(&file.entry).is_empty()) {
            return Ok(());
        }
        Err(Error::refused(
            format!("select layer {layer} for the next boot"),
            "it has no boot entry whose kernel and initrd are all there",
        )
        .mend("thinroot check"))
    }

    fn ensure_directory(&self, relative: &str) -> Result<()> {
        let path = self.root.join(relative);
        if path.is_dir() {
            return Ok(());
        }
        fault::point("boot: before directory")?;
        durable::create_dir_all(&path)?;
        fault::point("boot: directory made")
    }
}
