//! Entry files: listing all of them, writing and removing ours.

use std::fs;
use std::path::PathBuf;

use thinroot_core::boot::loader::systemd_boot::RoleFile;
use thinroot_core::boot::{ContentName, Entry, EntryFile, EntryName, FoundEntry, KernelVersion};
use thinroot_core::name::LayerName;

use super::{BootDir, ENTRIES_DIR, TEXT_MODE};
use crate::durable;
use crate::error::{Error, IoContext, Result};
use crate::store::Ensured;

/// One file of the directory of entries.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) file_name: String,
    pub(super) state: ListedState,
}

/// What could be told of it.
#[derive(Debug)]
pub(super) enum ListedState {
    Ours(EntryFile),
    /// A copy that tells systemd-boot what to boot.
    Role(RoleFile, Entry),
    Foreign {
        entry: Entry,
        doubt: Option<String>,
    },
    Unreadable(String),
}

impl ListedState {
    fn of(found: FoundEntry) -> Self {
        match found {
            FoundEntry::Ours(file) => ListedState::Ours(file),
            FoundEntry::Foreign { entry, doubt } => ListedState::Foreign { entry, doubt },
            FoundEntry::Unreadable(error) => ListedState::Unreadable(error.to_string()),
        }
    }
}

impl Listed {
    pub(super) fn ours(&self) -> Option<&EntryFile> {
        match &self.state {
            ListedState::Ours(file) => Some(file),
            ListedState::Role(..) | ListedState::Foreign { .. } | ListedState::Unreadable(_) => None,
        }
    }

    /// Whether it refers to a content file; what cannot be read may refer to any.
    pub(super) fn mentions(&self, name: &ContentName) -> bool {
        match &self.state {
            ListedState::Ours(EntryFile { entry, .. })
            | ListedState::Role(_, entry)
            | ListedState::Foreign { entry, .. } => name.is_mentioned_in(&entry.to_string()),
            ListedState::Unreadable(_) => true,
        }
    }
}

impl BootDir {
    /// Writes an entry of ours. Its files must be there. A twin with a boot counter in its name is rewritten under its own
    /// name, so that no uncounted twin ever stands beside it. A foreign file of that name is never replaced.
    pub fn write_entry(&self, file: &EntryFile) -> Result<Ensured> {
        let attempted = format!("write boot entry {}", file.name.file_name());
        let missing = self.missing_files(&file.entry);
        if !missing.is_empty() {
            return Err(Error::refused(attempted, format!("{} must be installed first", missing.join(", "))));
        }
        let listed = self.list_entries()?;
        let target = target_name(&attempted, &listed, file)?;
        let text = file.entry.to_string();
        let standing = listed.iter().find(|l| l.file_name == target).and_then(Listed::ours);
        if standing.is_some_and(|there| there.entry == file.entry) {
            return Ok(Ensured::Already);
        }
        self.require_room_for_text(&attempted)?;
        self.ensure_directory(ENTRIES_DIR)?;
        durable::write(&self.entries_path().join(&target), text.as_bytes(), TEXT_MODE)?;
        self.follow()?;
        Ok(Ensured::Done)
    }

    /// The entry that stands for a layer: that of its newest kernel. None where it has none.
    pub fn entry_of(&self, layer: &LayerName) -> Result<Option<EntryFile>> {
        let listed = self.list_entries()?;
        Ok(EntryFile::of_layer(listed.iter().filter_map(Listed::ours), layer).cloned())
    }

    /// The kernel command line in that entry.
    pub fn command_line(&self, layer: &LayerName) -> Result<Option<String>> {
        Ok(self.entry_of(layer)?.map(|file| file.entry.options()))
    }

    /// Removes the entry of one kernel of a layer; the last one that can boot stays.
    pub fn remove_kernel(&self, layer: &LayerName, kernel: &KernelVersion) -> Result<Ensured> {
        let attempted = format!("remove the boot entry of {layer} with kernel {kernel}");
        let listed = self.list_entries()?;
        let (gone, rest): (Vec<&Listed>, Vec<&Listed>) = listed
            .iter()
            .filter(|listed| listed.ours().is_some_and(|file| file.name.layer() == layer))
            .partition(|listed| listed.ours().is_some_and(|file| file.name.kernel() == kernel));
        if gone.is_empty() {
            return Ok(Ensured::Already);
        }
        let boots = |listed: &&Listed| listed.ours().is_some_and(|file| self.missing_files(&file.entry).is_empty());
        if !rest.iter().any(boots) {
            return Err(Error::refused(attempted, "it is the only one that boots this layer")
                .mend("remove the layer, if that is meant: thinroot layer remove"));
        }
        for listed in gone {
            durable::remove(&self.entries_path().join(&listed.file_name))?;
        }
        self.follow()?;
        Ok(Ensured::Done)
    }

    /// Removes every entry of a layer, also half-written ones. Refused while the layer is the default or armed, or while
    /// that cannot be told.
    pub fn remove_entry(&self, layer: &LayerName) -> Result<Ensured> {
        let attempted = format!("remove the boot entries of layer {layer}");
        let selection = self.read_selection().map_err(|error| error.during(&attempted))?;
        if selection.is_some_and(|selection| selection.boots(layer)) {
            return Err(Error::refused(attempted, "the layer is the default or armed")
                .mend("arm another layer first: thinroot rollback --to LAYER"));
        }
        // The second look: a loader that does not follow the selection may boot what that does not name.
        if self.loader_state().is_ok_and(|state| state.is_some_and(|state| state.next() == Some(layer))) {
            return Err(Error::refused(attempted, "the boot loader would boot it next").mend("thinroot check"));
        }
        let mut ensured = Ensured::Already;
        for listed in self.list_entries()?.iter().filter(|listed| belongs_to(listed, layer)) {
            if durable::remove(&self.entries_path().join(&listed.file_name))? {
                ensured = Ensured::Done;
            }
        }
        self.follow()?;
        Ok(ensured)
    }

    /// Every entry file, sorted by name, with what could be told of it. A missing directory has none.
    pub(super) fn list_entries(&self) -> Result<Vec<Listed>> {
        let dir = self.entries_path();
        let mut listed = Vec::new();
        for file_name in self.names_in(ENTRIES_DIR)? {
            // FAT has no letter case, so another system may have written ".CONF".
            let entry = file_name.to_ascii_lowercase().ends_with(".conf");
            if entry && !file_name.starts_with(durable::TEMP_PREFIX) {
                let state = match fs::read(dir.join(&file_name)) {
                    Ok(raw) => match (RoleFile::parse(&file_name), Entry::parse(&raw)) {
                        (Some(role), Ok(entry)) => ListedState::Role(role, entry),
                        (Some(_), Err(error)) => ListedState::Unreadable(error.to_string()),
                        (None, _) => ListedState::of(FoundEntry::classify(&file_name, &raw)),
                    },
                    Err(error) => ListedState::Unreadable(error.to_string()),
                };
                listed.push(Listed { file_name, state });
            }
        }
        Ok(listed)
    }

    /// File names in a directory of the boot directory, sorted; none where it does not exist.
    pub(super) fn names_in(&self, relative: &str) -> Result<Vec<String>> {
        let dir = self.root.join(relative);
        let entries = match fs::read_dir(&dir) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.at("list", &dir)?,
        };
        let mut names = Vec::new();
        for entry in entries {
            names.push(entry.at("list", &dir)?.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        Ok(names)
    }

    /// Kernel and initrds of an entry that are not there as non-empty files, as the entry spells them. Words that begin
    /// with `$` are variables of GRUB.
    pub(super) fn missing_files(&self, entry: &Entry) -> Vec<String> {
        let words = entry.payload_paths().flat_map(str::split_ascii_whitespace).filter(|word| !word.starts_with('$'));
        let there = |word: &str| {
            let inside = !word.split('/').any(|part| part == "..");
            let path = self.root.join(word.trim_start_matches('/'));
            inside && fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.len() > 0)
        };
        words.filter(|word| !there(word)).map(String::from).collect()
    }

    pub(super) fn entries_path(&self) -> PathBuf {
        self.root.join(ENTRIES_DIR)
    }
}

/// The file name to write: that of a standing twin, else the uncounted one.
fn target_name(attempted: &str, listed: &[Listed], file: &EntryFile) -> Result<String> {
    let twins: Vec<_> =
        listed.iter().filter(|l| l.ours().is_some_and(|there| there.name.is_twin_of(&file.name))).collect();
    let own = file.name.file_name();
    match twins.as_slice() {
        [] => match listed.iter().find(|l| l.file_name.eq_ignore_ascii_case(&own)).map(|l| &l.state) {
            Some(ListedState::Foreign { .. } | ListedState::Role(..)) => {
                Err(Error::refused(attempted, "a file of that name is there and is not ours").mend("move it away"))
            }
            // The same name would be a twin: this one differs in the case of letters, which FAT does not tell apart.
            Some(ListedState::Ours(other)) => Err(Error::refused(
                attempted,
                format!("{} is there and differs only in upper and lower case", other.name.file_name()),
            )),
            // Named like ours and cut off: a half-written one of ours, replaced by the whole.
            Some(ListedState::Unreadable(_)) | None => Ok(own),
        },
        [one] => Ok(one.file_name.clone()),
        [one, two, ..] => Err(Error::damaged(
            attempted,
            format!("{} and {} are one entry with and without a boot counter", one.file_name, two.file_name),
        )
        .mend("remove the one without the counter")),
    }
}

fn belongs_to(listed: &Listed, layer: &LayerName) -> bool {
    match &listed.state {
        ListedState::Ours(file) => file.name.layer() == layer,
        ListedState::Foreign { .. } | ListedState::Role(..) => false,
        ListedState::Unreadable(_) => EntryName::parse(&listed.file_name).is_some_and(|name| name.layer() == layer),
    }
}
