//! PAX extended headers: `LENGTH KEY=VALUE\n` records, where values are any bytes.
//!
//! Separate, and not the tar crate's, because that one splits records at line ends: a capability with the byte 0x0A in
//! it would lose everything behind it.

use thinroot_core::manifest::{Timestamp, XattrName, XattrValue, Xattrs};

/// What is taken from extended headers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Pax {
    pub(super) path: Option<Vec<u8>>,
    pub(super) linkpath: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    pub(super) mtime: Option<Timestamp>,
    pub(super) xattrs: Xattrs,
    pub(super) sparse: Sparse,
}

/// The GNU sparse records of all three PAX formats.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Sparse {
    pub(super) name: Option<Vec<u8>>,
    /// Real size, under either of its two keys.
    pub(super) size: Option<u64>,
    /// Format 1.0: the map stands before the data.
    pub(super) map_in_data: bool,
    /// Formats 0.0 and 0.1: offset and length of each piece.
    pub(super) pieces: Vec<(u64, u64)>,
}

impl Pax {
    /// Adds the records of one header; later ones win.
    pub(super) fn read(&mut self, mut raw: &[u8]) -> Result<(), String> {
        let mut label = None;
        while !raw.is_empty() {
            // Some writers fill the rest with zeros.
            if raw.iter().all(|b| *b == 0) {
                break;
            }
            let (key, value, rest) = split_record(raw).ok_or("an extended header is malformed")?;
            if key == b"RHT.security.selinux" {
                label = Some(value);
            } else {
                self.record(key, value)?;
            }
            raw = rest;
        }
        if let Some(label) = label.filter(|label| !label.is_empty()) {
            // GNU tar writes the label without the zero byte that the attribute has.
            let mut value = label.to_vec();
            value.push(0);
            let name = XattrName(b"security.selinux"[..].into());
            self.xattrs.entry(name).or_insert(XattrValue(value.into()));
        }
        Ok(())
    }

    fn record(&mut self, key: &[u8], value: &[u8]) -> Result<(), String> {
        let bytes = || Some(value.to_vec()).filter(|v| !v.is_empty());
        match key {
            b"path" => self.path = bytes(),
            b"linkpath" => self.linkpath = bytes(),
            b"size" => self.size = Some(number(key, value)?),
            b"uid" => self.uid = Some(id(key, value)?),
            b"gid" => self.gid = Some(id(key, value)?),
            b"mtime" => self.mtime = Some(time(value).ok_or("a time in an extended header is malformed")?),
            b"GNU.sparse.name" => self.sparse.name = bytes(),
            b"GNU.sparse.size" | b"GNU.sparse.realsize" => self.sparse.size = Some(number(key, value)?),
            b"GNU.sparse.major" => self.sparse.map_in_data = number(key, value)? == 1,
            b"GNU.sparse.minor" if number(key, value)? != 0 => return Err("an unknown format of sparse files".into()),
            b"GNU.sparse.offset" => self.sparse.pieces.push((number(key, value)?, 0)),
            b"GNU.sparse.numbytes" => {
                let piece = self.sparse.pieces.last_mut().ok_or("a map of a sparse file is malformed")?;
                piece.1 = number(key, value)?;
            }
            b"GNU.sparse.map" => self.sparse.pieces = map(value)?,
            _ => {
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    self.xattrs.insert(XattrName(name.into()), XattrValue(value.into()));
                } else if let Some(name) = key.strip_prefix(b"LIBARCHIVE.xattr.") {
                    let name = percent_decode(name).ok_or("the name of an attribute is malformed")?;
                    let value = base64_decode(value).ok_or("the value of an attribute is malformed")?;
                    // libarchive writes both forms; they say the same.
                    self.xattrs.entry(XattrName(name.into())).or_insert(XattrValue(value.into()));
                } else if key.starts_with(b"SCHILY.acl.") && !value.is_empty() {
                    return Err("it has ACLs in text form, whose names mean different users on different hosts; \
                                write the archive with --xattrs --xattrs-include='*' and without --acls"
                        .into());
                }
            }
        }
        Ok(())
    }

    /// Whether a global header holds something that can only belong to one member.
    pub(super) fn is_for_one_member(&self) -> bool {
        self.path.is_some() || self.linkpath.is_some() || self.size.is_some() || self.sparse != Sparse::default()
    }
}

fn split_record(raw: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = raw.iter().take(20).position(|b| *b == b' ')?;
    let length = std::str::from_utf8(&raw[..space]).ok()?.parse::<usize>().ok()?;
    let record = raw.get(..length)?.get(space + 1..)?;
    let body = record.strip_suffix(b"\n")?;
    let equals = body.iter().position(|b| *b == b'=')?;
    Some((&body[..equals], &body[equals + 1..], &raw[length..]))
}

fn number(key: &[u8], value: &[u8]) -> Result<u64, String> {
    decimal(value).ok_or_else(|| format!("{} in an extended header is no number", key.escape_ascii()))
}

fn decimal(value: &[u8]) -> Option<u64> {
    std::str::from_utf8(value).ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()))?.parse().ok()
}

fn id(key: &[u8], value: &[u8]) -> Result<u32, String> {
    u32::try_from(number(key, value)?).map_err(|_| format!("{} is larger than 32 bits", key.escape_ascii()))
}

/// Decimal seconds with an optional fraction; negative before 1970.
fn time(value: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(value).ok()?;
    let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = fraction.bytes().all(|b| b.is_ascii_digit());
    let sec = i64::try_from(decimal(whole.as_bytes())?).ok()?;
    let nsec = format!("{fraction:0<9}").get(..9)?.parse::<u32>().ok().filter(|_| digits)?;
    Some(match (negative, nsec) {
        (false, _) => Timestamp { sec, nsec },
        (true, 0) => Timestamp { sec: -sec, nsec },
        (true, _) => Timestamp { sec: -sec - 1, nsec: 1_000_000_000 - nsec },
    })
}

fn map(value: &[u8]) -> Result<Vec<(u64, u64)>, String> {
    let bad = "a map of a sparse file is malformed";
    let numbers: Vec<u64> = value.split(|b| *b == b',').map(decimal).collect::<Option<_>>().ok_or(bad)?;
    if !numbers.len().is_multiple_of(2) {
        return Err(bad.into());
    }
    Ok(numbers.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect())
}

fn percent_decode(raw: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(raw.len());
    let mut at = 0;
    while at < raw.len() {
        if raw[at] == b'%' {
            let digits = std::str::from_utf8(raw.get(at + 1..at + 3)?).ok()?;
            out.push(u8::from_str_radix(digits, 16).ok()?);
            at += 3;
        } else {
            out.push(raw[at]);
            at += 1;
        }
    }
    Some(out)
}

/// The standard alphabet, with or without padding.
fn base64_decode(raw: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(raw.len() / 4 * 3);
    let (mut bits, mut count) = (0u32, 0);
    for c in raw.iter().filter(|c| **c != b'=') {
        let value = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(key: &str, value: &[u8]) -> Vec<u8> {
        let rest = key.len() + value.len() + 3;
        let length = (1..).map(|digits| rest + digits).find(|n| n.to_string().len() + rest == *n).unwrap();
        [format!("{length} {key}=").as_bytes(), value, b"\n"].concat()
    }

    fn read(records: &[(&str, &[u8])]) -> Result<Pax, String> {
        let mut pax = Pax::default();
        pax.read(&records.iter().flat_map(|(key, value)| record(key, value)).collect::<Vec<_>>()).map(|()| pax)
    }

    #[test]
    fn values_are_bytes_and_later_records_win() {
        let capability = b"\x01\n\0=\n".as_slice();
        let pax = read(&[
            ("SCHILY.xattr.security.capability", capability),
            ("path", b"first"),
            ("path", b"a\xff\nb"),
            ("uid", b"4000000000"),
            ("comment", b"ignored"),
            ("LIBARCHIVE.xattr.user.a%3d", b"AP8K"),
            ("RHT.security.selinux", b"u:r:t:s0"),
        ])
        .unwrap();
        assert_eq!(pax.path.unwrap(), b"a\xff\nb");
        assert_eq!(pax.uid, Some(4_000_000_000));
        let xattrs: Vec<_> = pax.xattrs.iter().map(|(name, value)| (&name.0[..], &value.0[..])).collect();
        let rows: [(&[u8], &[u8]); 3] =
            [(b"security.capability", capability), (b"security.selinux", b"u:r:t:s0\0"), (b"user.a=", b"\0\xff\n")];
        assert_eq!(xattrs, rows);
    }

    #[test]
    fn times_keep_their_fraction() {
        let at = |sec, nsec| Some(Timestamp { sec, nsec });
        assert_eq!(time(b"12"), at(12, 0));
        assert_eq!(time(b"12.5"), at(12, 500_000_000));
        assert_eq!(time(b"12.1234567899"), at(12, 123_456_789));
        assert_eq!(time(b"-1.25"), at(-2, 750_000_000));
        assert_eq!(time(b"-3"), at(-3, 0));
        for bad in [&b"x"[..], b"", b"1.x", b"--1", b"1.\xff"] {
            assert_eq!(time(bad), None);
        }
    }

    #[test]
    fn malformed_headers_are_refused() {
        for raw in [&b"x"[..], b"9 path=a", b"99 path=a\n", b"5 a=b\n", b"7 path\n"] {
            assert!(Pax::default().read(raw).is_err(), "{raw:?}");
        }
        for (key, value) in [("uid", &b"-1"[..]), ("uid", b"4294967296"), ("size", b"+1"), ("GNU.sparse.map", b"1,2,3")]
        {
            assert!(read(&[(key, value)]).is_err(), "{key}");
        }
        assert!(read(&[("SCHILY.acl.access", b"user::rwx")]).unwrap_err().contains("--xattrs-include"));
    }
}
