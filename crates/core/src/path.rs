//! Paths inside an image or layer: bytes, relative to its root, never able to leave it.
//!
//! A type of its own because names are bytes and not UTF-8, and because every path that comes from outside must have
//! passed one door. The root itself is the empty path.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

/// Longest path in bytes (the kernel's PATH_MAX less the terminating zero).
pub const MAX_PATH_LEN: usize = 4095;
/// Longest component in bytes (every file system we write has this limit).
pub const MAX_COMPONENT_LEN: usize = 255;

/// Why bytes are no path inside a tree.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PathError {
    /// A `..` component: it would leave the tree.
    #[error("'{0}' contains '..'")]
    Parent(String),
    /// A zero byte.
    #[error("'{0}' contains a zero byte")]
    Zero(String),
    /// Longer than the kernel allows.
    #[error("'{0}…' is too long")]
    TooLong(String),
}

/// A path inside a tree: components joined by `/`, no leading slash, no `.`, no `..`, no empty component.
/// Ordered by component, so that a directory comes directly before everything beneath it.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct TreePath(Box<[u8]>);

impl TreePath {
    /// The root of the tree.
    pub fn root() -> Self {
        TreePath::default()
    }

    /// Parses what an archive or a person wrote: leading and doubled slashes and `.` components are dropped,
    /// `..` is refused.
    pub fn parse(raw: &[u8]) -> Result<Self, PathError> {
        let mut out = Vec::with_capacity(raw.len());
        for component in raw.split(|b| *b == b'/') {
            match component {
                b"" | b"." => continue,
                b".." => return Err(PathError::Parent(escape(raw))),
                _ if component.contains(&0) => return Err(PathError::Zero(escape(raw))),
                _ if component.len() > MAX_COMPONENT_LEN => {
                    return Err(PathError::TooLong(escape(&component[..40])));
                }
                _ => {
                    if !out.is_empty() {
                        out.push(b'/');
                    }
                    out.extend_from_slice(component);
                }
            }
        }
        if out.len() > MAX_PATH_LEN {
            return Err(PathError::TooLong(escape(&out[..40])));
        }
        Ok(TreePath(out.into()))
    }

    /// The bytes, without a leading slash; empty for the root.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether this is the root.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The directory it lies in; none for the root.
    pub fn parent(&self) -> Option<TreePath> {
        if self.is_root() {
            return None;
        }
        let cut = self.0.iter().rposition(|b| *b == b'/').unwrap_or(0);
        Some(TreePath(self.0[..cut].into()))
    }

    /// The last component; empty for the root.
    pub fn file_name(&self) -> &[u8] {
        match self.0.iter().rposition(|b| *b == b'/') {
            Some(cut) => &self.0[cut + 1..],
            None => &self.0,
        }
    }

    /// One level down. `name` must be a single component.
    pub fn join(&self, name: &[u8]) -> Result<TreePath, PathError> {
        let mut raw = self.0.to_vec();
        raw.push(b'/');
        raw.extend_from_slice(name);
        TreePath::parse(&raw)
    }

    /// Whether it is `dir` or lies beneath it.
    pub fn is_within(&self, dir: &TreePath) -> bool {
        dir.is_root() || (self.0.starts_with(&dir.0) && (self.0.len() == dir.0.len() || self.0[dir.0.len()] == b'/'))
    }

    /// The same path with the leading `from` replaced by `to`; none if it does not lie within `from`.
    pub fn rebase(&self, from: &TreePath, to: &TreePath) -> Option<TreePath> {
        if !self.is_within(from) {
            return None;
        }
        let mut raw = to.0.to_vec();
        raw.push(b'/');
        raw.extend_from_slice(&self.0[from.0.len()..]);
        TreePath::parse(&raw).ok()
    }

    /// Its components, outermost first.
    pub fn components(&self) -> impl Iterator<Item = &[u8]> {
        self.0.split(|b| *b == b'/').filter(|c| !c.is_empty())
    }
}

impl Ord for TreePath {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        // Byte order with '/' before everything else equals order by component. Neighbours in a tree share long
        // beginnings, which are skipped in blocks: sorting a manifest is mostly this.
        const BLOCK: usize = 16;
        let (a, b) = (&self.0[..], &other.0[..]);
        let same = a.chunks_exact(BLOCK).zip(b.chunks_exact(BLOCK)).take_while(|(a, b)| a == b).count() * BLOCK;
        let key = |b: &u8| if *b == b'/' { 0u16 } else { u16::from(*b) + 1 };
        a[same..].iter().map(key).cmp(b[same..].iter().map(key))
    }
}

impl PartialOrd for TreePath {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// With a leading slash and every byte that is not printable ASCII or valid UTF-8 text escaped.
impl fmt::Display for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", escape(&self.0))
    }
}

impl fmt::Debug for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for TreePath {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&escape(&self.0))
    }
}

impl<'de> Deserialize<'de> for TreePath {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        let raw = unescape(&text).ok_or_else(|| serde::de::Error::custom(format!("bad escape in path '{text}'")))?;
        let path = TreePath::parse(&raw).map_err(serde::de::Error::custom)?;
        if path.0.as_ref() != raw.as_slice() {
            return Err(serde::de::Error::custom(format!("path '{text}' is not in its shortest form")));
        }
        Ok(path)
    }
}

/// Bytes as one printable line: UTF-8 text stays, backslash, control characters and invalid bytes become `\xNN`.
pub fn escape(raw: &[u8]) -> String {
    let mut out = String::with_capacity(raw.len());
    for chunk in raw.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c == '\\' || c.is_control() {
                let mut buffer = [0; 4];
                for byte in c.encode_utf8(&mut buffer).bytes() {
                    out.push_str(&format!("\\x{byte:02x}"));
                }
            } else {
                out.push(c);
            }
        }
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out
}

/// The inverse of [`escape`]; none where an escape is malformed.
pub fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.as_bytes();
    while let [first, rest @ ..] = bytes {
        if *first != b'\\' {
            out.push(*first);
            bytes = rest;
            continue;
        }
        let [b'x', high, low, rest @ ..] = rest else { return None };
        let digit = |b: u8| (b as char).to_digit(16);
        out.push((digit(*high)? * 16 + digit(*low)?) as u8);
        bytes = rest;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> TreePath {
        TreePath::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn parsing_normalises_and_confines() {
        assert_eq!(path("/etc//./passwd/").as_bytes(), b"etc/passwd");
        assert!(path("./").is_root());
        for bad in ["..", "a/../b", "/.."] {
            assert!(matches!(TreePath::parse(bad.as_bytes()), Err(PathError::Parent(_))), "{bad}");
        }
        assert!(TreePath::parse(b"a\0b").is_err());
        assert!(TreePath::parse(&[b'a'; 256]).is_err());
        assert!(TreePath::parse("a/".repeat(3000).as_bytes()).is_err());
    }

    #[test]
    fn order_keeps_a_directory_before_its_children() {
        let mut paths = vec![path("a-b"), path("a/z"), path("a"), path("a!"), path("a/b/c")];
        paths.sort();
        assert_eq!(paths, [path("a"), path("a/b/c"), path("a/z"), path("a!"), path("a-b")]);
    }

    #[test]
    fn order_is_that_of_components_however_long_the_common_beginning() {
        for beginning in 0..40 {
            let at = |end: &str| path(&format!("{}{end}", "x".repeat(beginning)));
            let by_component = |path: &TreePath| path.components().map(<[u8]>::to_vec).collect::<Vec<_>>();
            let mut paths: Vec<_> = ["a", "a/b", "a!", "a/b/c", "ab", "b/a", "a\u{fc}"].map(at).into();
            let mut wanted = paths.clone();
            paths.sort();
            wanted.sort_by_key(by_component);
            assert_eq!(paths, wanted);
        }
    }

    #[test]
    fn within_and_rebase() {
        assert!(path("lib/modules/6").is_within(&path("lib/modules")));
        assert!(!path("lib/modules-old").is_within(&path("lib/modules")));
        assert_eq!(path("a/b/c").rebase(&path("a/b"), &path("x")).unwrap(), path("x/c"));
        assert_eq!(path("a/b").parent(), Some(path("a")));
        assert_eq!(path("a").parent(), Some(TreePath::root()));
        assert_eq!(path("a/b").file_name(), b"b");
    }

    #[test]
    fn escapes_round_trip_any_bytes() {
        for raw in [&b"plain"[..], b"a\\b", b"\xff\xfe", "\u{fc}\u{7}".as_bytes(), b"new\nline"] {
            assert_eq!(unescape(&escape(raw)).unwrap(), raw);
        }
        assert_eq!(unescape("\\x4"), None);
        assert_eq!(unescape("\\n"), None);
    }
}
