//! The manifest: every path of an image with everything that can be told about it.
//!
//! Computed from the incoming bytes while an image is read, compared with what is on the volume before a base is
//! sealed, and kept in the records as the "B" of every later three-way merge. The written form is [`mod@format`].
//!
//! Must stay true: entries are sorted by path and unique; the parent of each entry is a directory of the manifest;
//! the root is the first entry. [`Manifest::new`] is the only door and checks it.

pub mod format;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::path::{TreePath, escape, unescape};

/// A SHA-256 digest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// Parses 64 lower-case hexadecimal digits.
    pub fn parse(text: &str) -> Option<Digest> {
        let mut out = [0; 32];
        if text.len() != 64 || !text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return None;
        }
        for (byte, pair) in out.iter_mut().zip(text.as_bytes().chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Digest(out))
    }

    /// The first 16 hexadecimal digits: enough to name a file or tag a volume, not to prove anything.
    pub fn short(&self) -> String {
        self.to_string()[..16].to_string()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl TryFrom<String> for Digest {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        Digest::parse(&text).ok_or_else(|| format!("'{text}' is no SHA-256 digest"))
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> String {
        digest.to_string()
    }
}

/// A point in time as file systems keep it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Timestamp {
    /// Seconds since 1970.
    pub sec: i64,
    /// Nanoseconds, 0 to 999,999,999.
    pub nsec: u32,
}

/// Extended attributes, sorted by name: ACLs, capabilities, labels, user and trusted attributes, as raw bytes.
pub type Xattrs = BTreeMap<XattrName, XattrValue>;

/// Name of an extended attribute with its namespace, `security.capability`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct XattrName(pub Box<[u8]>);

/// Value of an extended attribute.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct XattrValue(pub Box<[u8]>);

macro_rules! escaped_bytes {
    ($($name:ident),*) => {$(
        impl TryFrom<String> for $name {
            type Error = String;
            fn try_from(text: String) -> Result<Self, String> {
                unescape(&text).map(|raw| $name(raw.into())).ok_or_else(|| format!("bad escape in '{text}'"))
            }
        }
        impl From<$name> for String {
            fn from(bytes: $name) -> String { escape(&bytes.0) }
        }
    )*};
}
escaped_bytes!(XattrName, XattrValue, LinkTarget);

/// Where a symbolic link points: any bytes, never followed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LinkTarget(pub Box<[u8]>);

/// What a path is, with its content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Kind {
    /// A directory.
    #[serde(rename = "dir")]
    Directory,
    /// A regular file.
    File {
        /// Length in bytes.
        size: u64,
        /// SHA-256 of the whole content, holes read as zeros.
        digest: Digest,
        /// Whether it has holes: aligned 4 KiB blocks of zeros are then stored as holes, else as data.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        sparse: bool,
    },
    /// A symbolic link.
    Symlink {
        /// Its target.
        target: LinkTarget,
    },
    /// A named pipe.
    Fifo,
    /// A character device.
    Char {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A block device.
    Block {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A socket: recorded so that it is not reported missing, never carried.
    Socket,
}

impl Kind {
    /// Bytes of content; 0 for everything that is no regular file.
    pub fn content_bytes(&self) -> u64 {
        match self {
            Kind::File { size, .. } => *size,
            Kind::Directory | Kind::Symlink { .. } | Kind::Fifo | Kind::Socket => 0,
            Kind::Char { .. } | Kind::Block { .. } => 0,
        }
    }

    /// Digest of the content; none for everything that is no regular file.
    pub fn digest(&self) -> Option<Digest> {
        match self {
            Kind::File { digest, .. } => Some(*digest),
            Kind::Directory | Kind::Symlink { .. } | Kind::Fifo | Kind::Socket => None,
            Kind::Char { .. } | Kind::Block { .. } => None,
        }
    }

    /// One word for messages.
    pub fn word(&self) -> &'static str {
        match self {
            Kind::Directory => "directory",
            Kind::File { .. } => "file",
            Kind::Symlink { .. } => "symbolic link",
            Kind::Fifo => "fifo",
            Kind::Char { .. } => "character device",
            Kind::Block { .. } => "block device",
            Kind::Socket => "socket",
        }
    }
}

/// Everything about an inode that is not its content.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Meta {
    /// Permission bits with setuid, setgid and sticky: 0 to 0o7777. Always 0o777 for a symbolic link.
    pub mode: u16,
    /// Owner, as the number in this tree; its name is in [`Manifest::accounts`].
    pub uid: u32,
    /// Group, as the number in this tree.
    pub gid: u32,
    /// Time of last modification.
    pub mtime: Timestamp,
    /// Extended attributes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub xattrs: Xattrs,
    /// Inode flags. Always none in an image: they are a host's.
    #[serde(default, skip_serializing_if = "Flags::is_empty")]
    pub flags: Flags,
}

/// Inode flags that a person sets with chattr and a layer takes along, by chattr's letters. Flags that tell a file system
/// how to store something are none of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Flags {
    /// `i`: nothing of it may be changed.
    pub immutable: bool,
    /// `a`: a file may only grow, a directory only get new names.
    pub append: bool,
    /// `d`: left out by dump.
    pub nodump: bool,
}

impl Flags {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        *self == Flags::default()
    }

    /// Whether they stand in the way of any change.
    pub fn lock(&self) -> bool {
        self.immutable || self.append
    }
}

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letters = [(self.append, "a"), (self.nodump, "d"), (self.immutable, "i")];
        letters.iter().filter(|(set, _)| *set).try_for_each(|(_, letter)| f.write_str(letter))
    }
}

impl TryFrom<String> for Flags {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let mut flags = Flags::default();
        for letter in text.chars() {
            match letter {
                'a' => flags.append = true,
                'd' => flags.nodump = true,
                'i' => flags.immutable = true,
                _ => return Err(format!("'{letter}' is no inode flag that is kept")),
            }
        }
        Ok(flags)
    }
}

impl From<Flags> for String {
    fn from(flags: Flags) -> String {
        flags.to_string()
    }
}

/// One path of a tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Where.
    pub path: TreePath,
    /// What.
    #[serde(flatten)]
    pub kind: Kind,
    /// Mode, owner, time, attributes.
    #[serde(flatten)]
    pub meta: Meta,
    /// For a hard link: the first path (in order) of its group, which holds the content. None for that first path and
    /// for everything with one name. `kind` and `meta` repeat those of the first path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hardlink: Option<TreePath>,
}

/// The image's own accounts, so that owners can be compared by name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Accounts {
    /// User numbers to names, from the tree's /etc/passwd.
    pub users: BTreeMap<u32, String>,
    /// Group numbers to names, from the tree's /etc/group.
    pub groups: BTreeMap<u32, String>,
}

impl Accounts {
    /// Reads `name:x:id:` lines of a passwd or group file; lines that are not of this form are skipped, the first
    /// name of a number wins (as in the C library).
    pub fn parse_table(text: &[u8]) -> BTreeMap<u32, String> {
        let mut table = BTreeMap::new();
        for line in text.split(|b| *b == b'\n') {
            let mut fields = line.split(|b| *b == b':');
            let (Some(name), Some(_), Some(id)) = (fields.next(), fields.next(), fields.next()) else { continue };
            let id = std::str::from_utf8(id).ok().and_then(|id| id.parse().ok());
            if let (Ok(name), Some(id)) = (std::str::from_utf8(name), id) {
                table.entry(id).or_insert_with(|| name.to_string());
            }
        }
        table
    }
}

/// Why entries are no manifest.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ManifestError {
    /// The tree has no root entry.
    #[error("the tree has no root directory")]
    NoRoot,
    /// A path occurs twice.
    #[error("{0} occurs twice")]
    Duplicate(TreePath),
    /// A path lies in something that is missing or no directory.
    #[error("{0} lies in something that is not a directory of the image")]
    Orphan(TreePath),
    /// A hard link names a path that is not the content-holding first name of a file like it.
    #[error("{0} is a hard link to {1}, which is not a file of the image")]
    BadHardlink(TreePath, TreePath),
}

/// Every path of a tree, sorted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    accounts: Accounts,
    entries: Vec<Entry>,
}

impl Manifest {
    /// Sorts and checks. Hard links must already name the first path of their group.
    pub fn new(accounts: Accounts, mut entries: Vec<Entry>) -> Result<Self, ManifestError> {
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        match entries.first() {
            Some(root) if root.path.is_root() && root.kind == Kind::Directory => {}
            Some(_) | None => return Err(ManifestError::NoRoot),
        }
        let manifest = Manifest { accounts, entries };
        for pair in manifest.entries.windows(2) {
            if pair[0].path == pair[1].path {
                return Err(ManifestError::Duplicate(pair[1].path.clone()));
            }
        }
        for entry in &manifest.entries[1..] {
            let parent = entry.path.parent().unwrap_or_default();
            if manifest.get(&parent).is_none_or(|parent| parent.kind != Kind::Directory) {
                return Err(ManifestError::Orphan(entry.path.clone()));
            }
            if let Some(first) = &entry.hardlink {
                let good = manifest.get(first).is_some_and(|holder| {
                    holder.path < entry.path
                        && holder.hardlink.is_none()
                        && holder.kind == entry.kind
                        && holder.kind != Kind::Directory
                });
                if !good {
                    return Err(ManifestError::BadHardlink(entry.path.clone(), first.clone()));
                }
            }
        }
        Ok(manifest)
    }

    /// The entries, sorted by path; the first is the root.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The tree's accounts.
    pub fn accounts(&self) -> &Accounts {
        &self.accounts
    }

    /// The entry at a path.
    pub fn get(&self, path: &TreePath) -> Option<&Entry> {
        let at = self.entries.binary_search_by(|entry| entry.path.cmp(path)).ok()?;
        Some(&self.entries[at])
    }

    /// Entries at and beneath a directory.
    pub fn beneath<'a>(&'a self, dir: &'a TreePath) -> impl Iterator<Item = &'a Entry> {
        let start = self.entries.partition_point(|entry| entry.path < *dir);
        self.entries[start..].iter().take_while(move |entry| entry.path.is_within(dir))
    }

    /// Bytes of all file contents, each hard-link group counted once.
    pub fn content_bytes(&self) -> u64 {
        let holders = self.entries.iter().filter(|entry| entry.hardlink.is_none());
        holders.map(|entry| entry.kind.content_bytes()).sum()
    }
}
