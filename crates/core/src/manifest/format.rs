//! The written form of a manifest: one header line and one line an entry, each a JSON object.
//!
//! ```text
//! {"thinroot_manifest":1,"accounts":{"users":{"0":"root"},"groups":{"0":"root"}},"entries":2}
//! {"path":"","type":"dir","mode":493,"uid":0,"gid":0,"mtime":{"sec":0,"nsec":0}}
//! {"path":"etc","type":"dir","mode":493,"uid":0,"gid":0,"mtime":{"sec":0,"nsec":0}}
//! ```
//!
//! Lines end in `\n`; entries are sorted; bytes that are not text are escaped as `\xNN` (inside JSON: `\\xNN`).
//! The same manifest always gives the same bytes, so their SHA-256 is the **image digest**.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Accounts, Entry, Manifest, ManifestError};

/// Version of the format. A reader refuses any other.
pub const FORMAT_VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    thinroot_manifest: u32,
    accounts: Accounts,
    entries: usize,
}

/// Why a text is no manifest.
#[derive(Debug, Error)]
pub enum FormatError {
    /// The first line is no header of a version we know.
    #[error("not a manifest of format {FORMAT_VERSION}: {0}")]
    Header(String),
    /// A line is no entry.
    #[error("line {line}: {why}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// What the parser said.
        why: String,
    },
    /// Fewer or more entries than the header says: a truncated file.
    #[error("{found} entries where the header says {expected}")]
    Count {
        /// As the header says.
        expected: usize,
        /// As read.
        found: usize,
    },
    /// The entries do not form a tree.
    #[error(transparent)]
    Tree(#[from] ManifestError),
}

/// Writes line by line, so that a large manifest never exists twice in memory.
pub fn write<E>(manifest: &Manifest, mut line: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
    let header = Header {
        thinroot_manifest: FORMAT_VERSION,
        accounts: manifest.accounts.clone(),
        entries: manifest.entries.len(),
    };
    let mut emit = |json: serde_json::Result<String>| {
        let mut text = json.expect("manifest types always serialise");
        text.push('\n');
        line(text.as_bytes())
    };
    emit(serde_json::to_string(&header))?;
    manifest.entries.iter().try_for_each(|entry| emit(serde_json::to_string(entry)))
}

/// Reads lines as [`write()`] made them.
pub fn parse<'a>(mut lines: impl Iterator<Item = &'a str>) -> Result<Manifest, FormatError> {
    let mut builder = Builder::start(lines.next().unwrap_or_default())?;
    lines.try_for_each(|line| builder.line(line))?;
    builder.finish()
}

/// Reads a manifest line by line.
#[derive(Debug)]
pub struct Builder {
    accounts: Accounts,
    expected: usize,
    entries: Vec<Entry>,
}

impl Builder {
    /// Takes the header line.
    pub fn start(header: &str) -> Result<Self, FormatError> {
        let header: Header = serde_json::from_str(header).map_err(|e| FormatError::Header(e.to_string()))?;
        if header.thinroot_manifest != FORMAT_VERSION {
            return Err(FormatError::Header(format!("its version is {}", header.thinroot_manifest)));
        }
        Ok(Builder { accounts: header.accounts, expected: header.entries, entries: Vec::new() })
    }

    /// Takes the next line.
    pub fn line(&mut self, text: &str) -> Result<(), FormatError> {
        let entry = serde_json::from_str(text)
            .map_err(|e| FormatError::Line { line: self.entries.len() + 2, why: e.to_string() })?;
        self.entries.push(entry);
        Ok(())
    }

    /// Checks the whole.
    pub fn finish(self) -> Result<Manifest, FormatError> {
        let found = self.entries.len();
        if found != self.expected {
            return Err(FormatError::Count { expected: self.expected, found });
        }
        Ok(Manifest::new(self.accounts, self.entries)?)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::*;
    use super::*;

    fn sample() -> Manifest {
        let meta = Meta { mode: 0o755, ..Meta::default() };
        let entry = |path: &[u8], kind| Entry {
            path: TreePath::parse(path).unwrap(),
            kind,
            meta: meta.clone(),
            hardlink: None,
        };
        let mut capable = entry(b"bin", Kind::File { size: 3, digest: Digest([7; 32]), sparse: false });
        capable.meta.xattrs.insert(XattrName(b"security.capability"[..].into()), XattrValue([0, 255, 1][..].into()));
        let mut link = capable.clone();
        link.path = TreePath::parse(b"bin2").unwrap();
        link.hardlink = Some(capable.path.clone());
        let odd = entry(b"odd\xff\\", Kind::Symlink { target: LinkTarget(b"/\xfe"[..].into()) });
        let device = entry(b"null", Kind::Char { major: 1, minor: 3 });
        let accounts = Accounts { users: [(0, "root".into())].into(), groups: BTreeMap::new() };
        Manifest::new(accounts, vec![device, odd, link, capable, entry(b"", Kind::Directory)]).unwrap()
    }

    fn text(manifest: &Manifest) -> String {
        let mut out = Vec::new();
        write::<()>(manifest, |line| {
            out.extend_from_slice(line);
            Ok(())
        })
        .unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn round_trip_is_exact_and_stable() {
        let manifest = sample();
        let first = text(&manifest);
        let again = parse(first.lines()).unwrap();
        assert_eq!(again, manifest);
        assert_eq!(text(&again), first);
    }

    #[test]
    fn damage_is_refused() {
        let good = text(&sample());
        let lines: Vec<_> = good.lines().collect();
        assert!(matches!(parse(lines[..3].iter().copied()), Err(FormatError::Count { expected: 5, found: 2 })));
        assert!(matches!(parse(std::iter::empty()), Err(FormatError::Header(_))));
        let future = good.replacen("\"thinroot_manifest\":1", "\"thinroot_manifest\":2", 1);
        assert!(matches!(parse(future.lines()), Err(FormatError::Header(_))));
        let climbing = good.replacen("\"path\":\"bin\"", "\"path\":\"../bin\"", 1);
        assert!(matches!(parse(climbing.lines()), Err(FormatError::Line { line: 3, .. })));
    }

    #[test]
    fn a_manifest_is_a_tree() {
        let root = sample().entries()[0].clone();
        let at = |path: &[u8]| Entry { path: TreePath::parse(path).unwrap(), ..sample().entries()[1].clone() };
        let new = |entries| Manifest::new(Accounts::default(), entries);
        assert_eq!(new(vec![]), Err(ManifestError::NoRoot));
        assert!(matches!(new(vec![root.clone(), at(b"a"), at(b"a")]), Err(ManifestError::Duplicate(_))));
        assert!(matches!(new(vec![root.clone(), at(b"a/b")]), Err(ManifestError::Orphan(_))));
        assert!(matches!(new(vec![root, at(b"a"), at(b"a/b")]), Err(ManifestError::Orphan(_))));
    }
}
