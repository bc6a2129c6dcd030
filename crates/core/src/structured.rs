//! Three-way merges of configuration by what it says: key by key, mount by mount, option by option.
//!
//! Separate from the merge by line because two sides that change neighbouring keys are no conflict, and because a line
//! that only moved is no change. Must stay true:
//!
//! - the result is the vendor's text, its order, comments and layout, with the changes of the layer laid in;
//! - whatever the layer added, changed or removed is so in the result, and nothing else of the vendor's is touched;
//! - a value of the vendor that lost is named, by key only, because a value may be a secret;
//! - where a text is not plainly of its format, or a key could mean two things, there is no result: guessing would be
//!   worse than the merge by line that the caller falls back to.

mod assignments;
mod choice;
mod columns;
pub mod edit;
mod ini;
mod json;
mod lines;
mod place;
mod toml;
mod weave;
mod yaml;

#[cfg(test)]
mod tests;

use columns::{CRYPT, MOUNTS};
use lines::{Text, line_end};
use weave::{Entries, Inside};

use crate::path::TreePath;

/// How a text is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Format {
    /// fstab: by mount point, field and option.
    Mounts,
    /// crypttab: by name, field and option.
    Crypt,
    /// Sections of `key=value`: ini files, systemd units, connections of NetworkManager, package repositories.
    Ini,
    /// `KEY=value` as in /etc/default, and sysctl settings.
    Assignments,
    /// JSON; objects by key, lists of plain values as sets.
    Json,
    /// TOML; tables by key.
    Toml,
    /// YAML; mappings in block style by key.
    Yaml,
}

/// What came of a merge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merged {
    /// The result.
    pub text: Vec<u8>,
    /// For each value of the vendor that lost against a different one of the layer its key, never the value.
    pub lost: Vec<String>,
}

impl Format {
    /// The format of a file by its place and name, where one is known.
    pub fn of_path(path: &TreePath) -> Option<Format> {
        place::of_path(path)
    }
}

/// Merges what the layer and the vendor made of a text; without a base both added it, and the layer wins where they
/// differ. Where two of the three are equal the result is the third, byte for byte, and nothing is read. None where a
/// text is not of the format, or not clearly: then it is to be merged by line.
pub fn merge(format: Format, base: Option<&[u8]>, local: &[u8], vendor: &[u8]) -> Option<Merged> {
    let whole = |text: &[u8]| Some(Merged { text: text.to_vec(), lost: Vec::new() });
    if base == Some(vendor) {
        return whole(local);
    }
    if base == Some(local) || local == vendor {
        return whole(vendor);
    }
    let base = match base {
        Some(base) => Some(text(base)?),
        None => None,
    };
    let (local, vendor) = (text(local)?, text(vendor)?);
    match format {
        Format::Json => return json::merge(base, local, vendor),
        Format::Toml => return toml::merge(base, local, vendor),
        Format::Yaml => return yaml::merge(base, local, vendor),
        Format::Mounts | Format::Crypt | Format::Ini | Format::Assignments => {}
    }
    let mut inner = |entries: Entries| match format {
        Format::Mounts => MOUNTS.combine(entries),
        Format::Crypt => CRYPT.combine(entries),
        Format::Ini | Format::Assignments | Format::Json | Format::Toml | Format::Yaml => Inside::Whole,
    };
    let base = match base {
        Some(base) => Some(lines_of(format, base)?),
        None => None,
    };
    let (local, parsed) = (lines_of(format, local)?, lines_of(format, vendor)?);
    let merged = weave::merge(base.as_ref(), &local, &parsed, line_end(vendor), &mut inner)?;
    // Lines that are clear where they stand may be unclear together, such as two depths of indentation.
    lines_of(format, std::str::from_utf8(&merged.text).ok()?).is_some().then_some(merged)
}

/// A text as its lines; none where it is not of the format, or that is not one of lines.
fn lines_of(format: Format, text: &str) -> Option<Text<'_>> {
    match format {
        Format::Mounts => MOUNTS.parse(text),
        Format::Crypt => CRYPT.parse(text),
        Format::Ini => ini::parse(text),
        Format::Assignments => assignments::parse(text),
        Format::Json | Format::Toml | Format::Yaml => None,
    }
}

/// Text in UTF-8 without a mark of byte order, which some readers take for a part of the first key, without a zero byte, and
/// without a carriage return inside a line, which some take for its end.
fn text(raw: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(raw).ok()?;
    let returns = text.matches('\r').count() == text.matches("\r\n").count();
    (returns && !text.starts_with('\u{feff}') && !text.contains('\0')).then_some(text)
}
