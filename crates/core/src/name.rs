//! Names of images, bases, layers and volumes, parsed once at the edge.
//!
//! Separate from everything else because each tool in the chain (LVM, device-mapper, boot loaders, FAT) has its own
//! idea of a legal name; what passes here passes everywhere.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Longest volume name. Device-mapper allows 127 bytes for `VG-LV` with every `-` doubled, and boot entry file names
/// carry the kernel version as well; a larger value breaks one of them.
pub const MAX_NAME_LEN: usize = 55;

/// Why a text is no name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NameError {
    /// Not of the form NAME-VERSION-RELEASE.
    #[error("'{0}' is not of the form NAME-VERSION-RELEASE")]
    Shape(String),
    /// Not of the form NAME-VERSION-RELEASE+N.
    #[error("'{0}' is not of the form NAME-VERSION-RELEASE+N")]
    LayerShape(String),
    /// A character that one of the tools in the chain refuses.
    #[error(
        "'{name}' has the character {found:?}; allowed are ASCII letters, digits and '_.+-', beginning with a letter or digit"
    )]
    Character {
        /// The whole name.
        name: String,
        /// The character.
        found: char,
    },
    /// Longer than [`MAX_NAME_LEN`].
    #[error("'{0}' is longer than 55 characters")]
    TooLong(String),
    /// Empty.
    #[error("a name is empty")]
    Empty,
}

fn check(name: &str) -> Result<(), NameError> {
    let first = name.chars().next().ok_or(NameError::Empty)?;
    if name.len() > MAX_NAME_LEN {
        return Err(NameError::TooLong(name.into()));
    }
    let legal = |c: char| c.is_ascii_alphanumeric() || "_.+-".contains(c);
    let bad = if first.is_ascii_alphanumeric() { name.chars().find(|c| !legal(*c)) } else { Some(first) };
    match bad {
        Some(found) => Err(NameError::Character { name: name.into(), found }),
        None => Ok(()),
    }
}

/// Name of any volume in a store: a base, a layer, a frozen snapshot, a shared volume.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct VolumeName(String);

impl VolumeName {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for VolumeName {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        check(text)?;
        Ok(VolumeName(text.into()))
    }
}

/// Identity of an image: name, version and release, as RPM splits them. A base carries the name of its image.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImageId {
    name: String,
    version: String,
    release: String,
}

impl ImageId {
    /// From its parts; version and release may not contain `-`, the release no `+` (it would read as a layer).
    pub fn new(name: &str, version: &str, release: &str) -> Result<Self, NameError> {
        format!("{name}-{version}-{release}").parse()
    }

    /// The name without version and release: what two images must share to be versions of one another.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The version.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The release.
    pub fn release(&self) -> &str {
        &self.release
    }

    /// Name of the base volume that holds this image.
    pub fn volume(&self) -> VolumeName {
        VolumeName(self.to_string())
    }
}

impl fmt::Display for ImageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.name, self.version, self.release)
    }
}

impl FromStr for ImageId {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        check(text)?;
        let shape = || NameError::Shape(text.into());
        let (rest, release) = text.rsplit_once('-').ok_or_else(shape)?;
        let (name, version) = rest.rsplit_once('-').ok_or_else(shape)?;
        if name.is_empty() || version.is_empty() || release.is_empty() || release.contains('+') {
            return Err(shape());
        }
        // Room for "+NNN" of the layers made from it.
        if text.len() + 4 > MAX_NAME_LEN {
            return Err(NameError::TooLong(text.into()));
        }
        Ok(ImageId { name: name.into(), version: version.into(), release: release.into() })
    }
}

impl Ord for ImageId {
    fn cmp(&self, other: &Self) -> Ordering {
        self.name
            .cmp(&other.name)
            .then_with(|| compare_versions(&self.version, &other.version))
            .then_with(|| compare_versions(&self.release, &other.release))
            // RPM calls "1.0" and "1-0" equal; a total order needs a last word.
            .then_with(|| (&self.version, &self.release).cmp(&(&other.version, &other.release)))
    }
}

impl PartialOrd for ImageId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Name of a layer: its base and a number, `node-2-0+1`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LayerName {
    base: ImageId,
    number: u32,
}

impl LayerName {
    /// Layer `number` of `base`; numbers start at 1.
    pub fn new(base: ImageId, number: u32) -> Self {
        LayerName { base, number }
    }

    /// The image whose base it is a snapshot of.
    pub fn base(&self) -> &ImageId {
        &self.base
    }

    /// Its number among the layers of its base.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Name of the volume.
    pub fn volume(&self) -> VolumeName {
        VolumeName(self.to_string())
    }
}

impl fmt::Display for LayerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{}", self.base, self.number)
    }
}

impl FromStr for LayerName {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        let shape = || NameError::LayerShape(text.into());
        let (base, number) = text.rsplit_once('+').ok_or_else(shape)?;
        let canonical = !number.starts_with('0') && number.bytes().all(|b| b.is_ascii_digit());
        let number = number.parse().ok().filter(|_| canonical).ok_or_else(shape)?;
        check(text)?;
        Ok(LayerName { base: base.parse()?, number })
    }
}

macro_rules! text_form {
    ($($name:ident),*) => {$(
        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> { text.parse() }
        }
        impl From<$name> for String {
            fn from(name: $name) -> String { name.to_string() }
        }
    )*};
}
text_form!(VolumeName, ImageId, LayerName);

impl fmt::Display for VolumeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Compares two versions by RPM's rules: runs of digits as numbers, runs of letters as text, everything else
/// separates; a `~` sorts before the end, a `^` after it.
pub fn compare_versions(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    loop {
        a = skip_separators(a);
        b = skip_separators(b);
        match (a.first(), b.first()) {
            (Some(b'~'), Some(b'~')) | (Some(b'^'), Some(b'^')) => {
                (a, b) = (&a[1..], &b[1..]);
                continue;
            }
            (Some(b'~'), _) => return Ordering::Less,
            (_, Some(b'~')) => return Ordering::Greater,
            (Some(b'^'), None) => return Ordering::Greater,
            (None, Some(b'^')) => return Ordering::Less,
            (Some(b'^'), _) => return Ordering::Less,
            (_, Some(b'^')) => return Ordering::Greater,
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(x), Some(y)) => {
                if x.is_ascii_digit() != y.is_ascii_digit() {
                    // A number is newer than letters.
                    return if x.is_ascii_digit() { Ordering::Greater } else { Ordering::Less };
                }
                let digits = x.is_ascii_digit();
                let (run_a, rest_a) = run(a, digits);
                let (run_b, rest_b) = run(b, digits);
                let order = if digits { compare_numbers(run_a, run_b) } else { run_a.cmp(run_b) };
                if order != Ordering::Equal {
                    return order;
                }
                (a, b) = (rest_a, rest_b);
            }
        }
    }
}

fn skip_separators(text: &[u8]) -> &[u8] {
    let n = text.iter().take_while(|c| !c.is_ascii_alphanumeric() && **c != b'~' && **c != b'^').count();
    &text[n..]
}

fn run(text: &[u8], digits: bool) -> (&[u8], &[u8]) {
    let n = text.iter().take_while(|c| if digits { c.is_ascii_digit() } else { c.is_ascii_alphabetic() }).count();
    text.split_at(n)
}

fn compare_numbers(a: &[u8], b: &[u8]) -> Ordering {
    let strip = |t: &[u8]| t.iter().take_while(|c| **c == b'0').count();
    let (a, b) = (&a[strip(a)..], &b[strip(b)..]);
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn image_and_layer_names_round_trip() {
        for text in ["node-1-0", "my-node-4.4.10-1.el8", "n-1+git-2"] {
            assert_eq!(text.parse::<ImageId>().unwrap().to_string(), text);
            let layer = format!("{text}+12");
            assert_eq!(layer.parse::<LayerName>().unwrap().to_string(), layer);
        }
    }

    #[test]
    fn bad_names_are_refused() {
        let long = format!("{}-1-0", "n".repeat(50));
        for text in ["", "node", "node-1", "-1-0", "no de-1-0", "node-1-0+1", "../x-1-0", "node~-1-0", &long] {
            assert!(text.parse::<ImageId>().is_err(), "{text}");
        }
        for text in ["node-1-0", "node-1-0+", "node-1-0+0", "node-1-0+01", "node-1-0+x", "node-1-0++1"] {
            assert!(text.parse::<LayerName>().is_err(), "{text}");
        }
    }

    #[test]
    fn versions_compare_like_rpm() {
        // Rows of rpm's own documentation of its comparison.
        let rows = [
            ("1.0", "1.0", Ordering::Equal),
            ("1.0", "2.0", Ordering::Less),
            ("2.0.1", "2.0.1a", Ordering::Less),
            ("5.5p1", "5.5p10", Ordering::Less),
            ("10xyz", "10.1xyz", Ordering::Less),
            ("xyz.4", "8", Ordering::Less),
            ("1.0010", "1.9", Ordering::Greater),
            ("1.05", "1.5", Ordering::Equal),
            ("1.0~rc1", "1.0", Ordering::Less),
            ("1.0^git1", "1.0", Ordering::Greater),
            ("1.0^git1", "1.01", Ordering::Less),
            ("2_0", "2.0", Ordering::Equal),
            ("4.4.9", "4.4.10", Ordering::Less),
        ];
        for (a, b, want) in rows {
            assert_eq!(compare_versions(a, b), want, "{a} {b}");
            assert_eq!(compare_versions(b, a), want.reverse(), "{b} {a}");
        }
    }
}
