//! Boot Loader Specification type 1 entries, read and written without losing a byte.
//!
//! Format: UAPI Group, "The Boot Loader Specification", type 1. Lines of `key value`; `#` begins a comment; keys may
//! repeat (`initrd`, `options`); the order of initrds and options counts. An [`Entry`] keeps the lines as they are, so
//! unknown keys, comments, order, repeated keys and odd spacing survive; fields are read from the lines when asked for.
//!
//! An entry is **ours** only if two independent marks agree: the file name is `<layer>-<kernel>.conf` and the kernel
//! command line has exactly one word `thinroot.layer=`, of the same layer. The word is needed at run time anyway, so it
//! cannot be forgotten; a copy that an admin made under another name carries the word but not the name and stays theirs. A
//! key of our own (`x-thinroot-layer`) would add nothing but a warning of systemd's tools about an unknown line.
//! Everything else is foreign and nobody touches it.
//!
//! What loaders read is less than the specification allows, and entries of ours keep to what all of them read: GRUB stops at
//! an empty line and at a key without value, takes the first `options` only, expands `$words` in it and hands the rest to its
//! script language; its older versions want a space, not a tab, after the key.
//!
//! Must stay true: `print(parse(text)) == text`; of a half-written entry of ours no kernel or initrd is ever taken for
//! unused. To that end [`NewEntry`] writes `options` last: what was cut off before it is `Unreadable`, what was cut off
//! within it is foreign with a doubt, and has all its files named above.

use std::fmt;

use thiserror::Error;

use crate::boot::cmdline::{self, LAYER_KEY};
use crate::boot::content::ContentName;
use crate::boot::entry_name::{EntryName, EntryNameError, KernelVersion};
use crate::name::{LayerName, compare_versions};

/// Why bytes are no entry, or values make none.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EntryError {
    /// Not UTF-8, or with control characters: zeros are what a power cut leaves on some file systems.
    #[error("it is not text (byte {0:#04x} at {1})")]
    NotText(u8, usize),
    /// No field at all: an empty file is what a power cut leaves on others.
    #[error("it has no field at all")]
    Empty,
    /// Named like an entry of ours and cut off.
    #[error("it is named like an entry of ours and has no '{0}' line")]
    CutOff(&'static str),
    /// A value that would not stay on its line.
    #[error("the value of '{key}' is empty, has a line break or begins or ends with a space: {value:?}")]
    Value {
        /// The key.
        key: &'static str,
        /// The value.
        value: String,
    },
    /// The options do not name the layer of the entry.
    #[error("the options '{0}' do not have exactly one thinroot.layer= with the layer of the entry")]
    Mark(String),
    /// No possible file name.
    #[error(transparent)]
    Name(#[from] EntryNameError),
}

/// A type 1 entry, line by line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Each with its line end, which may be missing on the last.
    lines: Vec<String>,
}

impl Entry {
    /// Reads an entry. Anything that is text and has a field is one: the specification tells readers to skip what they
    /// do not know.
    pub fn parse(raw: &[u8]) -> Result<Self, EntryError> {
        let text = std::str::from_utf8(raw).map_err(|e| EntryError::NotText(raw[e.valid_up_to()], e.valid_up_to()))?;
        let control = |b: &u8| b.is_ascii_control() && !matches!(b, b'\n' | b'\r' | b'\t');
        if let Some(at) = raw.iter().position(control) {
            return Err(EntryError::NotText(raw[at], at));
        }
        let entry = Entry { lines: text.split_inclusive('\n').map(String::from).collect() };
        if entry.fields().next().is_none() {
            return Err(EntryError::Empty);
        }
        Ok(entry)
    }

    /// All fields in order: key and value.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.lines.iter().filter_map(|line| {
            let line = line.trim_matches([' ', '\t', '\n', '\r']);
            let (key, value) = line.split_once([' ', '\t'])?;
            (!key.starts_with('#')).then(|| (key, value.trim_start_matches([' ', '\t'])))
        })
    }

    /// The values of a key, in order.
    pub fn values(&self, key: &str) -> impl Iterator<Item = &str> {
        self.fields().filter(move |(k, _)| *k == key).map(|(_, value)| value)
    }

    /// The first value of a key.
    pub fn value(&self, key: &str) -> Option<&str> {
        self.values(key).next()
    }

    /// The kernel command line: all `options` joined, as the specification says and systemd-boot does. GRUB takes the first
    /// one only, so entries of ours have one.
    pub fn options(&self) -> String {
        self.values("options").collect::<Vec<_>>().join(" ")
    }

    /// The same entry with another value of a key: in the place of its first one, else at the beginning.
    #[must_use]
    pub fn with(&self, key: &str, value: &str) -> Self {
        let line = format!("{key:<10} {value}\n");
        let mut lines = self.lines.clone();
        let has_key = |line: &String| line.split_whitespace().next() == Some(key);
        match lines.iter().position(has_key) {
            Some(at) => lines[at] = line,
            None => lines.insert(0, line),
        }
        Entry { lines }
    }

    /// The paths of kernel and initrds, from the root of the boot partition.
    pub fn payload_paths(&self) -> impl Iterator<Item = &str> {
        self.values("linux").chain(self.values("initrd"))
    }

    /// The layer that the command line names, if exactly one word does.
    pub fn marked_layer(&self) -> Option<LayerName> {
        let words = cmdline::split(&self.options()).ok()?;
        let mut marks = words.iter().filter_map(|word| word.strip_prefix(LAYER_KEY)?.strip_prefix('='));
        let layer = marks.next()?.parse().ok()?;
        marks.next().is_none().then_some(layer)
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().try_for_each(|line| f.write_str(line))
    }
}

/// An entry of ours with its file name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryFile {
    /// The file's name, with the layer and the kernel version.
    pub name: EntryName,
    /// What it says.
    pub entry: Entry,
}

impl EntryFile {
    /// The entry that stands for a layer: that of its newest kernel.
    pub fn of_layer<'a>(entries: impl IntoIterator<Item = &'a EntryFile>, layer: &LayerName) -> Option<&'a EntryFile> {
        let of_layer = entries.into_iter().filter(|file| file.name.layer() == layer);
        of_layer.max_by(|a, b| compare_versions(a.name.kernel().as_str(), b.name.kernel().as_str()))
    }
}

/// What a file in the directory of entries is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FoundEntry {
    /// Surely ours.
    Ours(EntryFile),
    /// Not ours, or not surely.
    Foreign {
        /// What it says.
        entry: Entry,
        /// Set where one of the two marks is there and the other is not: someone should look at it.
        doubt: Option<String>,
    },
    /// Damaged. Nobody knows what it refers to: nothing may be deleted on its account.
    Unreadable(EntryError),
}

impl FoundEntry {
    /// Tells what a file with this name and content is.
    pub fn classify(file_name: &str, raw: &[u8]) -> Self {
        let entry = match Entry::parse(raw) {
            Ok(entry) => entry,
            Err(error) => return FoundEntry::Unreadable(error),
        };
        match (EntryName::parse(file_name), entry.marked_layer()) {
            (Some(name), Some(layer)) if *name.layer() == layer => FoundEntry::Ours(EntryFile { name, entry }),
            (Some(name), mark) => match ["linux", "options"].into_iter().find(|key| entry.value(key).is_none()) {
                Some(missing) => FoundEntry::Unreadable(EntryError::CutOff(missing)),
                None => {
                    let says = mark.map_or("no single layer".into(), |layer| format!("layer {layer}"));
                    let doubt = format!("its name says layer {}, its options say {says}", name.layer());
                    FoundEntry::Foreign { entry, doubt: Some(doubt) }
                }
            },
            (None, Some(layer)) => {
                let doubt = format!("its options say layer {layer}, but its name is not one of ours");
                FoundEntry::Foreign { entry, doubt: Some(doubt) }
            }
            (None, None) => FoundEntry::Foreign { entry, doubt: None },
        }
    }
}

/// What an entry of ours is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEntry {
    /// The layer it boots.
    pub layer: LayerName,
    /// The kernel it boots.
    pub kernel: KernelVersion,
    /// What the menu shows.
    pub title: String,
    /// The host's machine id; loaders sort by it and `bootctl` filters by it.
    pub machine_id: Option<String>,
    /// The kernel's file.
    pub linux: ContentName,
    /// The initrds' files, in loading order (microcode first).
    pub initrd: Vec<ContentName>,
    /// The command line, with the `thinroot.layer=` of this layer.
    pub options: String,
}

impl NewEntry {
    /// Makes the file. The sort key is the image's name and the version begins with the image's, so that loaders that
    /// sort for themselves put the newest layer first.
    pub fn build(&self) -> Result<EntryFile, EntryError> {
        let name = EntryName::new(self.layer.clone(), self.kernel.clone())?;
        let base = self.layer.base();
        let version = format!("{}-{}+{}-{}", base.version(), base.release(), self.layer.number(), self.kernel);
        let mut lines = Vec::new();
        let mut put = |key: &'static str, value: &str| {
            if value.is_empty() || value.chars().any(char::is_control) || value.trim() != value {
                return Err(EntryError::Value { key, value: value.into() });
            }
            lines.push(format!("{key:<10} {value}\n"));
            Ok(())
        };
        put("title", &self.title)?;
        put("version", &version)?;
        put("sort-key", base.name())?;
        if let Some(id) = &self.machine_id {
            put("machine-id", id)?;
        }
        put("linux", &self.linux.boot_path())?;
        for initrd in &self.initrd {
            put("initrd", &initrd.boot_path())?;
        }
        put("options", &self.options)?;
        let entry = Entry { lines };
        if entry.marked_layer().as_ref() != Some(&self.layer) {
            return Err(EntryError::Mark(self.options.clone()));
        }
        Ok(EntryFile { name, entry })
    }
}

#[cfg(test)]
mod tests;
