//! Looking at the boot directory: what is there, how much room, and what a person should see.

use std::fs;

use thinroot_core::audit::Payload;
use thinroot_core::boot::content::CONTENT_DIR;
use thinroot_core::boot::{ContentName, EntryFile, EntryName, Selection};
use thinroot_core::name::LayerName;

use super::BootDir;
use super::entries::{Listed, ListedState};
use crate::durable::TEMP_PREFIX;
use crate::error::Result;

/// Room on the boot file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct BootSpace {
    /// Its size.
    pub total_bytes: u64,
    /// Free of it.
    pub free_bytes: u64,
    /// Files that can still be made; none where the file system has no such limit.
    pub free_inodes: Option<u64>,
    /// Files take whole blocks of this size.
    pub block_bytes: u64,
}

/// The selection as found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SelectionFile {
    /// None was ever written.
    Absent,
    /// It reads well.
    Present(Selection),
    /// It is there and nobody can tell what it says.
    Damaged(String),
}

/// An entry of ours as found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OurEntry {
    /// Its name and content.
    pub file: EntryFile,
    /// Kernel and initrds that it names and that are not there.
    pub missing: Vec<String>,
}

/// A kernel or initrd as found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredKernel {
    /// Its name.
    pub name: ContentName,
    /// Its size.
    pub size_bytes: u64,
    /// Entries that refer to it, foreign ones included; one that cannot be read counts for every file.
    pub references: usize,
}

/// What the boot directory looks like now.
#[derive(Debug, Clone)]
pub struct BootSurvey {
    /// Entries of ours, sorted by file name.
    pub entries: Vec<OurEntry>,
    /// Entries that are not ours.
    pub foreign_count: usize,
    /// What boots next.
    pub selection: SelectionFile,
    /// Kernels and initrds, sorted by name.
    pub kernels: Vec<StoredKernel>,
    /// Room.
    pub space: BootSpace,
    /// What a person should look at.
    pub findings: Vec<String>,
}

impl BootSurvey {
    /// Entries of ours as `thinroot_core::audit` judges them.
    pub fn audited_entries(&self) -> Vec<(LayerName, Payload)> {
        let payload = |missing: &[String]| if missing.is_empty() { Payload::Present } else { Payload::Missing };
        self.entries.iter().map(|entry| (entry.file.name.layer().clone(), payload(&entry.missing))).collect()
    }

    /// Kernels and initrds that no entry refers to, as paths in the boot directory.
    pub fn unreferenced_kernels(&self) -> Vec<String> {
        let unused = self.kernels.iter().filter(|kernel| kernel.references == 0);
        unused.map(|kernel| format!("{CONTENT_DIR}/{}", kernel.name)).collect()
    }
}

impl BootDir {
    /// Reads everything.
    pub fn survey(&self) -> Result<BootSurvey> {
        let listed = self.list_entries()?;
        let mut findings: Vec<String> = listed.iter().filter_map(doubt).collect();
        let entries = self.our_entries(&listed, &mut findings);
        let kernels = self.stored_kernels(&listed, &mut findings)?;
        let selection = match self.read_selection() {
            Ok(Some(selection)) => SelectionFile::Present(selection),
            Ok(None) => SelectionFile::Absent,
            Err(error) => SelectionFile::Damaged(error.why),
        };
        findings.extend(selection_findings(&selection, &entries));
        let readable = match &selection {
            SelectionFile::Present(selection) => Some(selection),
            SelectionFile::Absent | SelectionFile::Damaged(_) => None,
        };
        let files: Vec<EntryFile> = entries.iter().map(|entry| entry.file.clone()).collect();
        findings.extend(self.loader_findings(readable, &files));
        let foreign_count = listed.iter().filter(|l| matches!(l.state, ListedState::Foreign { .. })).count();
        Ok(BootSurvey { entries, foreign_count, selection, kernels, space: self.space()?, findings })
    }

    fn our_entries(&self, listed: &[Listed], findings: &mut Vec<String>) -> Vec<OurEntry> {
        let mut entries: Vec<OurEntry> = Vec::new();
        for file in listed.iter().filter_map(Listed::ours) {
            let missing = self.missing_files(&file.entry);
            let name = file.name.file_name();
            if !missing.is_empty() {
                findings.push(format!("boot entry {name} cannot boot: {} is missing", missing.join(", ")));
            }
            let twin = entries.iter().find(|other| EntryName::is_twin_of(&other.file.name, &file.name));
            if let Some(twin) = twin {
                let other = twin.file.name.file_name();
                findings.push(format!("{other} and {name} are one boot entry with and without a boot counter"));
            }
            entries.push(OurEntry { file: file.clone(), missing });
        }
        entries
    }

    fn stored_kernels(&self, listed: &[Listed], findings: &mut Vec<String>) -> Result<Vec<StoredKernel>> {
        let mut kernels = Vec::new();
        for file_name in self.names_in(CONTENT_DIR)? {
            match ContentName::parse(&file_name) {
                Some(name) => {
                    let references = listed.iter().filter(|entry| entry.mentions(&name)).count();
                    // Gone since it was listed: as if it had never been there.
                    let Ok(meta) = fs::metadata(self.root.join(CONTENT_DIR).join(&file_name)) else { continue };
                    kernels.push(StoredKernel { name, size_bytes: meta.len(), references });
                }
                None if file_name.starts_with(TEMP_PREFIX) => {}
                None => findings.push(format!("{CONTENT_DIR}/{file_name} on the boot file system is not ours")),
            }
        }
        Ok(kernels)
    }
}

fn doubt(listed: &Listed) -> Option<String> {
    match &listed.state {
        ListedState::Ours(_) | ListedState::Role(..) => None,
        ListedState::Foreign { doubt, .. } => {
            doubt.as_ref().map(|doubt| format!("boot entry {} is left alone as not ours: {doubt}", listed.file_name))
        }
        ListedState::Unreadable(why) => {
            let name = &listed.file_name;
            Some(format!("boot entry {name} cannot be read ({why}); until it is mended no kernel is removed"))
        }
    }
}

fn selection_findings(selection: &SelectionFile, entries: &[OurEntry]) -> Vec<String> {
    let selection = match selection {
        SelectionFile::Absent => return Vec::new(),
        SelectionFile::Damaged(why) => return vec![format!("the boot selection is damaged: {why}")],
        SelectionFile::Present(selection) => selection,
    };
    let bootable =
        |layer: &LayerName| entries.iter().any(|entry| entry.file.name.layer() == layer && entry.missing.is_empty());
    let default = selection.default_layer().map(|layer| ("default", layer));
    let armed = selection.armed().map(|armed| ("armed", &armed.layer));
    let selected = [default, armed].into_iter().flatten().filter(|(_, layer)| !bootable(layer));
    selected.map(|(word, layer)| format!("the {word} layer {layer} has no boot entry that can boot")).collect()
}
