//! How a person names an image: one grammar for every kind of source.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::error::{Error, ErrorKind};

/// The prefixes this version reads, as messages list them.
const PREFIXES: &str = "dir:PATH, tar:FILE, squashfs:FILE, raw:FILE, oci:DIR[:TAG], oci-archive:FILE[:TAG]";
/// Prefixes that have a meaning, but not yet.
const LATER: [&str; 4] = ["docker:", "http:", "https:", "rpm:"];

/// Where an image is.
///
/// A tag is what follows the last colon, unless that contains a slash: `oci:/a:b/c` has no tag. A directory with a
/// colon in its own last component needs its tag written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageRef {
    /// A directory that is the root of the tree.
    Dir(PathBuf),
    /// A tar archive; plain, gzip, xz or zstd, told by its content.
    Tar(PathBuf),
    /// A squashfs file: the tree itself, or a live image with `LiveOS/rootfs.img` inside.
    Squashfs(PathBuf),
    /// An ext4 or XFS file system in a file.
    Raw(PathBuf),
    /// An OCI image layout in a directory.
    Oci(PathBuf, Option<String>),
    /// An OCI image layout in an uncompressed tar archive.
    OciArchive(PathBuf, Option<String>),
}

impl FromStr for ImageRef {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let usage = |why: String| Error::new(ErrorKind::Usage, format!("understand image '{text}'"), why);
        if LATER.iter().any(|prefix| text.starts_with(prefix)) {
            let why = "this kind of source is not supported yet";
            return Err(Error::refused(format!("open image '{text}'"), why).mend(format!("use one of {PREFIXES}")));
        }
        let Some((prefix, rest)) = text.split_once(':') else {
            return Err(usage("it does not say what kind of source it is".into()).mend(format!("write {PREFIXES}")));
        };
        if rest.is_empty() {
            return Err(usage("nothing follows the prefix".into()).mend(format!("write {PREFIXES}")));
        }
        let path = PathBuf::from(rest);
        Ok(match prefix {
            "dir" => ImageRef::Dir(path),
            "tar" => ImageRef::Tar(path),
            "squashfs" => ImageRef::Squashfs(path),
            "raw" => ImageRef::Raw(path),
            "oci" | "oci-archive" => {
                let (path, tag) = split_tag(rest).ok_or_else(|| usage("the tag or the path is empty".into()))?;
                if prefix == "oci" { ImageRef::Oci(path, tag) } else { ImageRef::OciArchive(path, tag) }
            }
            _ => return Err(usage(format!("'{prefix}:' is no kind of source")).mend(format!("write {PREFIXES}"))),
        })
    }
}

fn split_tag(rest: &str) -> Option<(PathBuf, Option<String>)> {
    match rest.rsplit_once(':') {
        Some((path, tag)) if !tag.contains('/') => {
            (!path.is_empty() && !tag.is_empty()).then(|| (path.into(), Some(tag.into())))
        }
        Some(_) | None => Some((rest.into(), None)),
    }
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (prefix, path, tag) = match self {
            ImageRef::Dir(path) => ("dir", path, None),
            ImageRef::Tar(path) => ("tar", path, None),
            ImageRef::Squashfs(path) => ("squashfs", path, None),
            ImageRef::Raw(path) => ("raw", path, None),
            ImageRef::Oci(path, tag) => ("oci", path, tag.as_deref()),
            ImageRef::OciArchive(path, tag) => ("oci-archive", path, tag.as_deref()),
        };
        write!(f, "{prefix}:{}", path.display())?;
        tag.map_or(Ok(()), |tag| write!(f, ":{tag}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_round_trips() {
        let tag = |tag: &str| Some(tag.to_string());
        let rows = [
            ("dir:/srv/tree", ImageRef::Dir("/srv/tree".into())),
            ("tar:a.tar.zst", ImageRef::Tar("a.tar.zst".into())),
            ("squashfs:/a b:c", ImageRef::Squashfs("/a b:c".into())),
            ("raw:disk", ImageRef::Raw("disk".into())),
            ("oci:/l", ImageRef::Oci("/l".into(), None)),
            ("oci:/a:b/l", ImageRef::Oci("/a:b/l".into(), None)),
            ("oci:/a:b/l:2.0", ImageRef::Oci("/a:b/l".into(), tag("2.0"))),
            ("oci-archive:x.tar:latest", ImageRef::OciArchive("x.tar".into(), tag("latest"))),
        ];
        for (text, parsed) in rows {
            assert_eq!(text.parse::<ImageRef>().unwrap(), parsed);
            assert_eq!(parsed.to_string(), text);
        }
    }

    #[test]
    fn everything_else_is_answered_with_the_list() {
        for text in ["/srv/tree", "tree", "zip:x", "dir:", "oci:/l:", "oci::t"] {
            assert_eq!(text.parse::<ImageRef>().unwrap_err().kind, ErrorKind::Usage, "{text}");
        }
        let plain = "/srv/tree".parse::<ImageRef>().unwrap_err();
        assert_eq!(plain.mend.unwrap(), format!("write {PREFIXES}"));
        for text in ["docker://h/r:t", "https://h/d", "rpm:x.rpm"] {
            let error = text.parse::<ImageRef>().unwrap_err();
            assert_eq!((error.kind, error.why.contains("not supported yet")), (ErrorKind::Refused, true), "{text}");
        }
    }
}
