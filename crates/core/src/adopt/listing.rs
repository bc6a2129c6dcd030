//! What package managers print and keep of the files they brought.

use std::collections::BTreeMap;

use super::Deviation;
use crate::path::TreePath;

/// Paths of a file `/var/lib/dpkg/info/*.list`, one a line. `aliases` are directories of the root that are links, such as
/// `bin` to `usr/bin`: dpkg may name a file by the one and the other.
pub fn dpkg_list(text: &[u8], aliases: &BTreeMap<Vec<u8>, Vec<u8>>) -> Vec<TreePath> {
    let lines = text.split(|byte| *byte == b'\n');
    lines.filter_map(|line| TreePath::parse(&through(line.strip_prefix(b"/")?, aliases)).ok()).collect()
}

fn through(path: &[u8], aliases: &BTreeMap<Vec<u8>, Vec<u8>>) -> Vec<u8> {
    let end = path.iter().position(|byte| *byte == b'/').unwrap_or(path.len());
    match aliases.get(&path[..end]) {
        // The link itself stays what it is.
        Some(target) if end < path.len() => [target, &path[end..]].concat(),
        Some(_) | None => path.to_vec(),
    }
}

/// What `rpm -V` and `dpkg -V` print: nine letters for what differs (a dot: nothing, a question mark: not looked at), a letter
/// for what kind of file it is, and the path; or `missing` in place of the nine. Lines of another form are about packages.
pub fn verified(text: &[u8], aliases: &BTreeMap<Vec<u8>, Vec<u8>>) -> BTreeMap<TreePath, Deviation> {
    text.split(|byte| *byte == b'\n').filter_map(|line| verified_line(line, aliases)).collect()
}

fn verified_line(line: &[u8], aliases: &BTreeMap<Vec<u8>, Vec<u8>>) -> Option<(TreePath, Deviation)> {
    const FLAGS: usize = 9;
    let slash = line.iter().position(|byte| *byte == b'/')?;
    let (head, path) = (&line[..slash], &line[slash + 1..]);
    let deviation = if head.starts_with(b"missing") {
        Deviation::Missing { config: head.ends_with(b" c ") }
    } else {
        let flags = head.get(..FLAGS).filter(|flags| flags.iter().all(|flag| b"SM5DLUGTP.?".contains(flag)))?;
        let any = |letters: &[u8]| flags.iter().any(|flag| letters.contains(flag));
        match (any(b"S5L"), any(b"MUGP")) {
            (true, _) => Deviation::Content,
            (false, true) => Deviation::Meta,
            // Its time of change, or a device's number that a container cannot have.
            (false, false) => return None,
        }
    };
    // rpm says in brackets why it could not look.
    let path = match (deviation, path.iter().rposition(|byte| *byte == b'(')) {
        (Deviation::Missing { .. }, Some(bracket)) if path.ends_with(b")") => path[..bracket].trim_ascii_end(),
        _ => path,
    };
    Some((TreePath::parse(&through(path, aliases)).ok()?, deviation))
}

/// Names that an alternative manages, of its record in the directory of alternatives: its own and those that follow it. Empty
/// where a person chose (the first line says so).
pub fn automatic_alternatives(name: &str, record: &str) -> Vec<String> {
    let mut lines = record.lines();
    if lines.next() != Some("auto") {
        return Vec::new();
    }
    // The link of the master, then name and link of each that follows it, up to an empty line.
    let rest: Vec<&str> = lines.skip(1).take_while(|line| !line.is_empty()).collect();
    std::iter::once(name).chain(rest.chunks(2).map(|pair| pair[0])).map(Into::into).collect()
}

/// Debian's `ucf` keeps the MD5 digests of the configuration files that it put in place for packages: `DIGEST  /path`.
pub fn ucf_hashes(text: &[u8]) -> BTreeMap<TreePath, String> {
    let line = |line: &[u8]| {
        let (digest, path) = (line.get(..32)?, line.get(32..)?.trim_ascii_start().strip_prefix(b"/")?);
        Some((TreePath::parse(path).ok()?, String::from_utf8(digest.to_vec()).ok()?))
    };
    text.split(|byte| *byte == b'\n').filter_map(line).collect()
}
