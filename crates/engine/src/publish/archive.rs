//! Writes an image as a tar archive whose bytes depend on nothing but its paths and contents.
//!
//! A source gives contents in whatever order suits it, and the archive has one order. So the heads are written first, with
//! a gap for each content, whose place and size the manifest tells; then the contents go where they belong.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;

use thinroot_core::manifest::{Entry, Kind, Manifest, Timestamp};
use thinroot_core::path::TreePath;

use crate::error::{Error, IoContext, Result};
use crate::source::Contents;

const BLOCK_BYTES: u64 = 512;
/// The end of an archive: two empty blocks.
const END_BYTES: u64 = 2 * BLOCK_BYTES;
/// Largest number in a field of eight octal digits; larger ones go into the extended header.
const MAX_ID: u32 = 0o777_7777;
/// Largest size and time in a field of twelve octal digits.
const MAX_LONG: u64 = 0o777_7777_7777;

/// Writes the whole archive, uncompressed. `texts` are contents that take the place of those of the source.
pub(super) fn write(
    archive: &File,
    at: &Path,
    manifest: &Manifest,
    source: &mut dyn Contents,
    texts: &BTreeMap<TreePath, Vec<u8>>,
) -> Result<()> {
    let mut position = 0;
    let mut places: BTreeMap<TreePath, u64> = BTreeMap::new();
    for entry in manifest.entries() {
        let Some(head) = head(entry)? else { continue };
        archive.write_all_at(&head, position).at("write", at)?;
        position += head.len() as u64;
        if entry.hardlink.is_none() && entry.kind.content_bytes() > 0 {
            places.insert(entry.path.clone(), position);
            position += entry.kind.content_bytes().next_multiple_of(BLOCK_BYTES);
        }
    }
    archive.set_len(position + END_BYTES).at("extend", at)?;
    let wanted: BTreeSet<TreePath> = places.keys().filter(|path| !texts.contains_key(*path)).cloned().collect();
    source.contents(&wanted, &mut |path, content| {
        let Some(place) = places.get(path) else { return Ok(()) };
        copy(content, archive, *place).at("write", at)
    })?;
    for (path, text) in texts {
        let Some(place) = places.get(path) else { continue };
        archive.write_all_at(text, *place).at("write", at)?;
    }
    Ok(())
}

fn copy(content: &mut dyn Read, archive: &File, mut place: u64) -> std::io::Result<()> {
    let mut buffer = vec![0; 1 << 17];
    loop {
        match content.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(n) => {
                archive.write_all_at(&buffer[..n], place)?;
                place += n as u64;
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Everything of a member before its content; none for a socket, which no archive can hold and whose program makes another.
fn head(entry: &Entry) -> Result<Option<Vec<u8>>> {
    let (letter, device) = match (&entry.kind, &entry.hardlink) {
        (Kind::Socket, _) => return Ok(None),
        (_, Some(_)) => (b'1', None),
        (Kind::File { .. }, None) => (b'0', None),
        (Kind::Symlink { .. }, _) => (b'2', None),
        (Kind::Char { major, minor }, _) => (b'3', Some((*major, *minor))),
        (Kind::Block { major, minor }, _) => (b'4', Some((*major, *minor))),
        (Kind::Directory, _) => (b'5', None),
        (Kind::Fifo, _) => (b'6', None),
    };
    let mut name = [b"./", entry.path.as_bytes()].concat();
    if letter == b'5' && !entry.path.is_root() {
        name.push(b'/');
    }
    let link = match (&entry.kind, &entry.hardlink) {
        (_, Some(first)) => [b"./", first.as_bytes()].concat(),
        (Kind::Symlink { target }, None) => target.0.to_vec(),
        (Kind::Directory | Kind::File { .. } | Kind::Fifo | Kind::Socket, None) => Vec::new(),
        (Kind::Char { .. } | Kind::Block { .. }, None) => Vec::new(),
    };
    let size = if letter == b'0' { entry.kind.content_bytes() } else { 0 };
    let mut out = Vec::new();
    let records = records(entry, &name, &link, size);
    if !records.is_empty() {
        let mut header = tar::Header::new_ustar();
        fill(&mut header, b'x', b"./pax", b"");
        header.set_size(records.len() as u64);
        header.set_cksum();
        out.extend_from_slice(header.as_bytes());
        let padded = (records.len() as u64).next_multiple_of(BLOCK_BYTES);
        out.extend_from_slice(&records);
        out.resize(header.as_bytes().len() + usize::try_from(padded).unwrap_or(usize::MAX), 0);
    }
    let meta = &entry.meta;
    let mut header = tar::Header::new_ustar();
    fill(&mut header, letter, &name, &link);
    header.set_mode(u32::from(meta.mode));
    header.set_uid(u64::from(meta.uid.min(MAX_ID)));
    header.set_gid(u64::from(meta.gid.min(MAX_ID)));
    header.set_size(if size > MAX_LONG { 0 } else { size });
    header.set_mtime(u64::try_from(meta.mtime.sec).unwrap_or(0).min(MAX_LONG));
    if let Some((major, minor)) = device {
        let numbers = header.set_device_major(major).and_then(|()| header.set_device_minor(minor));
        numbers.map_err(|error| Error::refused(format!("archive {}", entry.path), error))?;
    }
    header.set_cksum();
    out.extend_from_slice(header.as_bytes());
    Ok(Some(out))
}

/// The names as far as they fit; whole ones are in the extended header then.
fn fill(header: &mut tar::Header, letter: u8, name: &[u8], link: &[u8]) {
    header.set_entry_type(tar::EntryType::new(letter));
    let Some(ustar) = header.as_ustar_mut() else { return };
    for (field, text) in [(&mut ustar.name, name), (&mut ustar.linkname, link)] {
        let length = text.len().min(field.len());
        field[..length].copy_from_slice(&text[..length]);
    }
}

/// Records of the extended header, for what the plain one has no room for.
fn records(entry: &Entry, name: &[u8], link: &[u8], size: u64) -> Vec<u8> {
    let field_bytes = tar::Header::new_ustar().as_old().name.len();
    let meta = &entry.meta;
    let mut out = Vec::new();
    let mut add = |key: &[u8], value: &[u8]| out.extend(record(key, value));
    if meta.gid > MAX_ID {
        add(b"gid", meta.gid.to_string().as_bytes());
    }
    if link.len() > field_bytes {
        add(b"linkpath", link);
    }
    let Timestamp { sec, nsec } = meta.mtime;
    if nsec != 0 || !u64::try_from(sec).is_ok_and(|sec| sec <= MAX_LONG) {
        add(b"mtime", time(sec, nsec).as_bytes());
    }
    if name.len() > field_bytes {
        add(b"path", name);
    }
    if size > MAX_LONG {
        add(b"size", size.to_string().as_bytes());
    }
    if meta.uid > MAX_ID {
        add(b"uid", meta.uid.to_string().as_bytes());
    }
    for (attribute, value) in &meta.xattrs {
        add(&[b"SCHILY.xattr.", &*attribute.0].concat(), &value.0);
    }
    out
}

/// Seconds with a fraction. Before 1970 the fraction counts towards the past in writing and towards the future in a
/// manifest.
fn time(sec: i64, nsec: u32) -> String {
    match (sec < 0, nsec) {
        (_, 0) => sec.to_string(),
        (false, _) => format!("{sec}.{nsec:09}"),
        (true, _) => {
            let whole = sec + 1;
            format!("{}{}.{:09}", if whole == 0 { "-" } else { "" }, whole, 1_000_000_000 - nsec)
        }
    }
}

/// `LENGTH KEY=VALUE` and a line's end, where the length counts itself.
fn record(key: &[u8], value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    [length.to_string().as_bytes(), b" ", key, b"=", value, b"\n"].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_counts_its_own_length() {
        assert_eq!(record(b"path", b"x"), b"9 path=x\n");
        assert_eq!(record(b"path", b""), b"8 path=\n");
        for length in 80..120 {
            let made = record(b"k", &vec![b'v'; length]);
            let said: usize = String::from_utf8_lossy(&made).split(' ').next().unwrap().parse().unwrap();
            assert_eq!(said, made.len());
        }
    }

    #[test]
    fn times_before_1970_are_written_as_they_are_read() {
        let cases = [
            (5, 0, "5"),
            (5, 7, "5.000000007"),
            (-5, 0, "-5"),
            (-1, 250_000_000, "-0.750000000"),
            (-5, 250_000_000, "-4.750000000"),
        ];
        for (sec, nsec, text) in cases {
            assert_eq!(time(sec, nsec), text);
        }
    }
}
