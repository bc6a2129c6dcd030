//! Three-way merges of configuration by key: what a line means, rather than where it stands.
//!
//! Separate from the merge by line because it knows formats, and knows no paths but by [`Format::of_path`]. The result is
//! always the vendor's text, with its order, comments and layout, and the layer's changes laid into it.
//!
//! Reading order: [`merge`], `keyed` (formats of lines: what is laid in where), then one file a format.
//!
//! Must stay true: what only one side changed comes out as that side has it; a value that both changed is the layer's, and
//! the key (never the value, which may be a secret) is among the lost; what is not certainly of the format is not merged
//! here at all.

pub mod edit;
mod fields;
mod json;
mod keyed;
mod lines;
mod toml;

#[cfg(test)]
mod tests;

use crate::path::TreePath;

/// A format that is merged by key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// fstab: by mount point, field by field, options as a set.
    Mounts,
    /// crypttab: by name, field by field, options as a set.
    Crypt,
    /// Sections of keys: ini files, unit files, connection profiles. A key that stands several times in a section is one
    /// list.
    Ini,
    /// `NAME=value` lines: /etc/default, sysctl.
    Assignments,
    /// JSON: objects by key, to any depth.
    Json,
    /// TOML: tables by key, to any depth.
    Toml,
}

/// What came of a merge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merged {
    /// The result.
    pub text: Vec<u8>,
    /// Keys of which the vendor's value gave way to the layer's.
    pub lost: Vec<String>,
}

/// Endings of names, which tell the format wherever a file is.
const ENDINGS: [(&[u8], Format); 19] = [
    (b".ini", Format::Ini),
    (b".repo", Format::Ini),
    (b".nmconnection", Format::Ini),
    (b".desktop", Format::Ini),
    (b".service", Format::Ini),
    (b".socket", Format::Ini),
    (b".timer", Format::Ini),
    (b".mount", Format::Ini),
    (b".automount", Format::Ini),
    (b".swap", Format::Ini),
    (b".path", Format::Ini),
    (b".slice", Format::Ini),
    (b".target", Format::Ini),
    (b".network", Format::Ini),
    (b".netdev", Format::Ini),
    (b".link", Format::Ini),
    (b".nspawn", Format::Ini),
    (b".json", Format::Json),
    (b".toml", Format::Toml),
];

/// Trees in which `.conf` files have a format. A name ending says nothing there: half of all formats end in `.conf`.
const CONF_TREES: [(&[u8], Format); 4] = [
    (b"etc/systemd", Format::Ini),
    (b"etc/NetworkManager", Format::Ini),
    (b"etc/sysctl.d", Format::Assignments),
    (b"etc/environment.d", Format::Assignments),
];

impl Format {
    /// The format of a file at this path, as far as its place and name tell.
    pub fn of_path(path: &TreePath) -> Option<Format> {
        let raw = path.as_bytes();
        match raw {
            b"etc/fstab" => return Some(Format::Mounts),
            b"etc/crypttab" => return Some(Format::Crypt),
            b"etc/sysctl.conf" | b"etc/environment" | b"etc/locale.conf" | b"etc/vconsole.conf" => {
                return Some(Format::Assignments);
            }
            _ => {}
        }
        let within = |tree: &[u8]| TreePath::parse(tree).is_ok_and(|tree| path.is_within(&tree));
        if within(b"etc/default") || within(b"etc/sysconfig") {
            return Some(Format::Assignments);
        }
        if raw.ends_with(b".conf") {
            return CONF_TREES.iter().find(|(tree, _)| within(tree)).map(|(_, format)| *format);
        }
        ENDINGS.iter().find(|(ending, _)| raw.ends_with(ending)).map(|(_, format)| *format)
    }
}

/// Merges the layer's text with the vendor's. Without a base both sides added the file: what only one has comes along.
/// None where one of the texts is not certainly of the format.
pub fn merge(format: Format, base: Option<&[u8]>, local: &[u8], vendor: &[u8]) -> Option<Merged> {
    let whole = |text: &[u8]| Some(Merged { text: text.to_vec(), lost: Vec::new() });
    if local == vendor || base == Some(local) {
        return whole(vendor);
    }
    if base == Some(vendor) {
        return whole(local);
    }
    let text = |raw| std::str::from_utf8(raw).ok().filter(|text| !text.contains(['\0', '\u{feff}']));
    let (b, l, n) = (text(base.unwrap_or_default())?, text(local)?, text(vendor)?);
    let b = base.map(|_| b);
    match format {
        Format::Mounts | Format::Crypt | Format::Ini | Format::Assignments => keyed::merge(format, b, l, n),
        Format::Json => json::merge(b, l, n),
        Format::Toml => toml::merge(b, l, n),
    }
}

/// Three-way over one value, and whether the vendor's gave way.
fn three_way<T: PartialEq + Clone>(base: Option<&T>, local: &T, vendor: &T) -> (T, bool) {
    if local == vendor || base == Some(local) { (vendor.clone(), false) } else { (local.clone(), base != Some(vendor)) }
}
