//! File names of boot entries: `<layer>-<kernel version>.conf`, with systemd-boot's counter told apart.
//!
//! systemd-boot reads a counter from the end of the stem: `+LEFT` or `+LEFT-DONE`, digits only
//! (UAPI "Boot Loader Specification", boot counting). A layer's name contains `+` as well, and a kernel version may. The
//! rules that keep the three apart:
//!
//! - the counter is taken off first, and only from the very end of the stem;
//! - a stem of ours that would by itself end like a counter (kernel version `6.1+2`, or a version of digits only, which
//!   with the layer's number reads `+1-6`) or in `_` gets one `_` appended, which reading takes off again;
//! - the layer is the shortest beginning of the stem that is a layer's name and is followed by `-`; a layer whose own
//!   name would be read otherwise (an image called `a-1-0+1-b`) gets no entry name at all.
//!
//! Must stay true: `parse(file_name(x)) == x`, and systemd-boot sees a counter exactly where we put one.

use std::fmt;

use serde::Serialize;
use thiserror::Error;

use crate::name::LayerName;

/// Longest kernel version: `struct utsname` of Linux has room for 64 characters and more cannot boot.
pub const MAX_KERNEL_VERSION_LEN: usize = 64;

/// Ending of entry files; the loaders ignore every other.
pub const ENTRY_SUFFIX: &str = ".conf";

/// Why something can be no part of an entry's file name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EntryNameError {
    /// Not a kernel version.
    #[error(
        "'{0}' is no kernel version: it must be 1 to 64 ASCII letters, digits and '_.+-~', with a letter or digit first"
    )]
    Kernel(String),
    /// The layer's name could be read as another layer and the beginning of a kernel version.
    #[error("an entry of layer '{0}' could be read as one of another layer; give the image a name without '+'")]
    Ambiguous(LayerName),
}

/// A kernel version, as `uname -r` prints it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(into = "String")]
pub struct KernelVersion(String);

impl KernelVersion {
    /// Checks it.
    pub fn parse(text: &str) -> Result<Self, EntryNameError> {
        let legal = |c: char| c.is_ascii_alphanumeric() || "_.+-~".contains(c);
        let good = text.len() <= MAX_KERNEL_VERSION_LEN
            && text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.chars().all(legal);
        if good { Ok(KernelVersion(text.into())) } else { Err(EntryNameError::Kernel(text.into())) }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KernelVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<KernelVersion> for String {
    fn from(version: KernelVersion) -> String {
        version.0
    }
}

/// systemd-boot's counter in a file name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Counter {
    /// Tries left.
    pub left: u32,
    /// Tries done; none where the name does not say (`+3`).
    pub done: Option<u32>,
}

impl fmt::Display for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.done {
            Some(done) => write!(f, "+{}-{done}", self.left),
            None => write!(f, "+{}", self.left),
        }
    }
}

/// File name of an entry of ours.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct EntryName {
    layer: LayerName,
    kernel: KernelVersion,
    counter: Option<Counter>,
}

impl EntryName {
    /// The uncounted name of a layer's entry for one of its kernels.
    pub fn new(layer: LayerName, kernel: KernelVersion) -> Result<Self, EntryNameError> {
        let name = EntryName { layer, kernel, counter: None };
        match EntryName::parse(&name.file_name()) {
            Some(read) if read == name => Ok(name),
            Some(_) | None => Err(EntryNameError::Ambiguous(name.layer)),
        }
    }

    /// From a file name; none where it does not have the shape of ours. The shape alone does not make an entry ours.
    pub fn parse(file_name: &str) -> Option<Self> {
        let (stem, counter) = split_counter(file_name.strip_suffix(ENTRY_SUFFIX)?);
        let stem = stem.strip_suffix('_').unwrap_or(stem);
        let (layer, kernel) = stem.match_indices('-').find_map(|(at, _)| {
            let layer: LayerName = stem[..at].parse().ok()?;
            Some((layer, &stem[at + 1..]))
        })?;
        let name = EntryName { layer, kernel: KernelVersion::parse(kernel).ok()?, counter };
        // Only the one spelling that we would write ourselves.
        (name.file_name() == file_name).then_some(name)
    }

    /// The layer it boots.
    pub fn layer(&self) -> &LayerName {
        &self.layer
    }

    /// The kernel it boots.
    pub fn kernel(&self) -> &KernelVersion {
        &self.kernel
    }

    /// systemd-boot's counter.
    pub fn counter(&self) -> Option<Counter> {
        self.counter
    }

    /// The same entry with another counter, or none.
    #[must_use]
    pub fn counted(&self, counter: Option<Counter>) -> Self {
        EntryName { counter, ..self.clone() }
    }

    /// Whether both are names of one entry that differ at most in the counter. Two such files must never exist side by
    /// side: systemd then blesses neither.
    pub fn is_twin_of(&self, other: &EntryName) -> bool {
        self.layer == other.layer && self.kernel == other.kernel
    }

    /// The whole file name.
    pub fn file_name(&self) -> String {
        let plain = format!("{}-{}", self.layer, self.kernel);
        let guard = if plain.ends_with('_') || split_counter(&plain).1.is_some() { "_" } else { "" };
        let counter = self.counter.map(|c| c.to_string()).unwrap_or_default();
        format!("{plain}{guard}{counter}{ENTRY_SUFFIX}")
    }
}

/// Takes `+LEFT` or `+LEFT-DONE` off the end of a stem, as systemd-boot does.
pub(in crate::boot) fn split_counter(stem: &str) -> (&str, Option<Counter>) {
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        // systemd-boot takes nothing above INT_MAX for a counter.
        text.parse::<u32>().ok().filter(|number| digits && *number <= i32::MAX as u32)
    };
    let read = |tail: &str| match tail.split_once('-') {
        Some((left, done)) => Some(Counter { left: number(left)?, done: Some(number(done)?) }),
        None => Some(Counter { left: number(tail)?, done: None }),
    };
    match stem.rsplit_once('+') {
        Some((rest, tail)) => read(tail).map_or((stem, None), |counter| (rest, Some(counter))),
        None => (stem, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name(layer: &str, kernel: &str) -> EntryName {
        EntryName::new(layer.parse().unwrap(), KernelVersion::parse(kernel).unwrap()).unwrap()
    }

    #[test]
    fn file_names_are_as_documented() {
        let rows = [
            ("node-1-0+1", "6.1.0-50-amd64", "node-1-0+1-6.1.0-50-amd64.conf"),
            (
                "n-4.4.10-1.el9+12",
                "5.14.0-427.13.1.el9_4.x86_64",
                "n-4.4.10-1.el9+12-5.14.0-427.13.1.el9_4.x86_64.conf",
            ),
            // Would read as a counter of systemd-boot.
            ("node-1-0+1", "6", "node-1-0+1-6_.conf"),
            ("node-1-0+1", "6.1+2", "node-1-0+1-6.1+2_.conf"),
            ("node-1-0+1", "6.1+2-3", "node-1-0+1-6.1+2-3_.conf"),
            ("node-1-0+1", "6.1_", "node-1-0+1-6.1__.conf"),
            ("node-1+git-0+1", "6.1+rc-1", "node-1+git-0+1-6.1+rc-1.conf"),
        ];
        for (layer, kernel, file) in rows {
            let name = name(layer, kernel);
            assert_eq!(name.file_name(), file);
            assert_eq!(EntryName::parse(file), Some(name));
        }
    }

    #[test]
    fn counters_are_told_apart_from_layer_numbers() {
        let plain = name("node-1-0+1", "6.1.0-50-amd64");
        let counted = EntryName::parse("node-1-0+1-6.1.0-50-amd64+2-1.conf").unwrap();
        assert_eq!(counted.counter(), Some(Counter { left: 2, done: Some(1) }));
        assert_eq!(counted.counted(None), plain);
        assert!(counted.is_twin_of(&plain));
        let large = name("node-1-0+1", "6.1+2147483648");
        assert_eq!(large.file_name(), "node-1-0+1-6.1+2147483648.conf");
        assert_eq!(name("node-1-0+1", "6.1+2147483647").file_name(), "node-1-0+1-6.1+2147483647_.conf");
        let fresh = EntryName::parse("node-1-0+1-6.1.0-50-amd64+3.conf").unwrap();
        assert_eq!(fresh.counter(), Some(Counter { left: 3, done: None }));
        assert_eq!(fresh.file_name(), "node-1-0+1-6.1.0-50-amd64+3.conf");
    }

    #[test]
    fn strangers_have_no_name() {
        for file in [
            "fedora-40-1+3.conf",
            "fedora-40-1+3-0.conf",
            "node-1-0-6.1.0.conf",
            "node-1-0+1.conf",
            "node-1-0+1-.conf",
            "node-1-0+1-6.1",
            "node-1-0+1-6.1 x.conf",
            "node-1-0+1-6.1_.conf",
            "6a9857a393724b7a981ebb5b8495b9ea-3.8.0-2.fc19.x86_64.conf",
            "arch.conf",
            ".conf",
        ] {
            assert_eq!(EntryName::parse(file), None, "{file}");
        }
    }

    #[test]
    fn names_that_could_be_read_two_ways_are_refused() {
        let layer: LayerName = "a-1-0+1-2-0+3".parse().unwrap();
        let refused = EntryName::new(layer.clone(), KernelVersion::parse("6.1").unwrap());
        assert_eq!(refused, Err(EntryNameError::Ambiguous(layer)));
        let long = "6".repeat(65);
        for text in ["", "-1", "6.1 x", "6/1", "6.1\n", &long] {
            assert!(KernelVersion::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_name_reads_back(
            image in "[a-z][a-z0-9+_.-]{0,6}", version in "[0-9a-z+._]{1,5}", release in "[0-9a-z._]{1,4}",
            number in 1u32..200, kernel in "[0-9a-z][0-9a-z_.+-]{0,12}", left in 0u32..5, done in proptest::option::of(0u32..5),
        ) {
            let Ok(layer) = format!("{image}-{version}-{release}+{number}").parse::<LayerName>() else { return Ok(()) };
            let Ok(name) = EntryName::new(layer, KernelVersion::parse(&kernel).unwrap()) else { return Ok(()) };
            prop_assert_eq!(EntryName::parse(&name.file_name()), Some(name.clone()));
            let stem = name.file_name();
            prop_assert_eq!(split_counter(stem.strip_suffix(".conf").unwrap()).1, None);
            let counted = name.counted(Some(Counter { left, done }));
            prop_assert_eq!(EntryName::parse(&counted.file_name()), Some(counted.clone()));
        }

        #[test]
        fn ordinary_images_always_get_a_name(version in "[0-9.]{1,5}", kernel in "[0-9][0-9a-z_.+-]{0,12}", number in 1u32..200) {
            let layer: LayerName = format!("node-{version}-0+{number}").parse().unwrap();
            prop_assert!(EntryName::new(layer, KernelVersion::parse(&kernel).unwrap()).is_ok());
        }
    }
}
