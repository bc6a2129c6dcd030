//! Names of kernels and initrds in the boot directory: by content, so that two layers with one kernel store it once.
//!
//! `/thinroot/<first 32 hexadecimal digits of the SHA-256>-vmlinuz`. 128 bits name a file and cannot collide by accident;
//! the whole digest is compared whenever such a file is written or relied upon.

use std::fmt;

use serde::Serialize;

use crate::manifest::Digest;

/// The directory of the boot partition that holds them.
pub const CONTENT_DIR: &str = "thinroot";

/// Hexadecimal digits of the digest in a name. Fewer could be made to collide by a hostile image; more make boot menus
/// and kernel command lines unreadable.
const DIGITS: usize = 32;

/// What a content file is to the loader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ContentRole {
    /// A kernel image.
    Vmlinuz,
    /// An initrd.
    Initrd,
}

impl ContentRole {
    /// The word in the file name.
    pub fn as_str(self) -> &'static str {
        match self {
            ContentRole::Vmlinuz => "vmlinuz",
            ContentRole::Initrd => "initrd",
        }
    }
}

/// File name of a kernel or initrd of ours.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(into = "String")]
pub struct ContentName {
    digits: String,
    role: ContentRole,
}

impl ContentName {
    /// The name of the file with this content.
    pub fn new(digest: &Digest, role: ContentRole) -> Self {
        ContentName { digits: digest.to_string()[..DIGITS].to_string(), role }
    }

    /// From a file name; none where it is not one of ours.
    pub fn parse(file_name: &str) -> Option<Self> {
        let (digits, word) = file_name.split_once('-')?;
        let hex = digits.len() == DIGITS && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let role = [ContentRole::Vmlinuz, ContentRole::Initrd].into_iter().find(|role| role.as_str() == word)?;
        hex.then(|| ContentName { digits: digits.into(), role })
    }

    /// What it is to the loader.
    pub fn role(&self) -> ContentRole {
        self.role
    }

    /// The path as an entry writes it: from the root of the boot partition.
    pub fn boot_path(&self) -> String {
        format!("/{CONTENT_DIR}/{self}")
    }

    /// Whether a content has this name.
    pub fn names(&self, digest: &Digest) -> bool {
        digest.to_string()[..DIGITS] == self.digits
    }

    /// Whether an entry's text refers to this file in any way: any key, any spelling of the path, any letter case (FAT
    /// has none). Erring on this side keeps a file too long; erring on the other deletes a kernel in use.
    pub fn is_mentioned_in(&self, entry_text: &str) -> bool {
        entry_text.to_ascii_lowercase().contains(&self.to_string())
    }
}

impl fmt::Display for ContentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.digits, self.role.as_str())
    }
}

impl From<ContentName> for String {
    fn from(name: ContentName) -> String {
        name.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_strangers_are_no_names() {
        let name = ContentName::new(&Digest([0xab; 32]), ContentRole::Initrd);
        assert_eq!(name.to_string(), format!("{}-initrd", "ab".repeat(16)));
        assert_eq!(name.boot_path(), format!("/thinroot/{name}"));
        assert_eq!(ContentName::parse(&name.to_string()), Some(name.clone()));
        assert!(name.names(&Digest([0xab; 32])) && !name.names(&Digest([0xac; 32])));
        let upper = format!("{}-initrd", "AB".repeat(16));
        for text in ["vmlinuz", "ab-vmlinuz", &upper, &format!("{name}.old"), &format!("x{name}")] {
            assert_eq!(ContentName::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_mention_in_any_spelling_counts() {
        let name = ContentName::new(&Digest([0xab; 32]), ContentRole::Vmlinuz);
        for text in [
            format!("linux /thinroot/{name}"),
            format!("linux\t/boot//thinroot/{name}\n"),
            format!("linux \\THINROOT\\{}", name.to_string().to_uppercase()),
        ] {
            assert!(name.is_mentioned_in(&text), "{text}");
        }
        assert!(!name.is_mentioned_in("linux /thinroot/vmlinuz"));
    }
}
