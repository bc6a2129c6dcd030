//! Trees from tar streams: archives, and the layers of OCI images.

pub(super) mod members;
mod pax;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use thinroot_core::path::TreePath;

use self::members::{End, Member, MemberKind, Members};
use super::content::{ContentReader, Expected};
use super::draft::{Draft, Drafted, Hide, Origin};
use super::small::worth_keeping;
use super::stream::{Compression, Forward, Slice, open_file};
use super::{Contents, Found, Stated, TakeContent};
use crate::error::{Error, ErrorKind, Result};
use crate::progress::Reporter;

/// What names of members may mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flavour {
    /// Every name is a path of the tree.
    Archive,
    /// `.wh.NAME` takes NAME of lower layers away (OCI image specification, "Whiteouts").
    Layer,
}

/// Reads an archive.
pub(super) fn read(path: &Path, attempted: &str, reporter: &dyn Reporter) -> Result<Found> {
    let mut members = open(path, attempted)?;
    let mut draft = Draft::new(reporter);
    apply(&mut members, &mut draft, Flavour::Archive, attempted)?;
    members.drain()?;
    drop(members);
    let drafted = draft.finish()?;
    let (path, again) = (path.to_path_buf(), format!("{attempted} again"));
    let reopen = move |_layer: u32| open(&path, &again);
    Ok(found(drafted, Box::new(reopen), Stated::default()))
}

fn open(path: &Path, attempted: &str) -> Result<Members<'static>> {
    let refuse = |why: std::io::Error| Error::refused(attempted, why);
    let file = open_file(path, attempted)?;
    let mut head = [0; 6];
    let length = std::os::unix::fs::FileExt::read_at(&file, &mut head, 0).map_err(refuse)?;
    let slice = Slice::whole(file).map_err(refuse)?;
    let compression = Compression::of(&head[..length]).map_err(|name| {
        Error::refused(attempted, format!("it is compressed with {name}")).mend("compress it with gzip, xz or zstd")
    })?;
    Ok(match compression {
        Compression::None => Members::new(Box::new(slice), attempted, End::Marked),
        Compression::Gzip | Compression::Xz | Compression::Zstd => {
            let plain = compression.undo(slice).map_err(refuse)?;
            Members::new(Box::new(Forward(plain)), attempted, End::Marked)
        }
    })
}

/// Applies a stream to a tree.
pub(super) fn apply(members: &mut Members<'_>, draft: &mut Draft<'_>, flavour: Flavour, attempted: &str) -> Result<()> {
    let mut reader = ContentReader::new();
    while let Some(member) = members.next_member()? {
        let path = tree_path(&member.path, attempted)?;
        if flavour == Flavour::Layer && path.file_name().starts_with(WHITEOUT) {
            whiteout(&path, draft, attempted)?;
        } else {
            add(member, path, members, draft, &mut reader, attempted)?;
        }
    }
    Ok(())
}

fn add(
    member: Member,
    path: TreePath,
    members: &mut Members<'_>,
    draft: &mut Draft<'_>,
    reader: &mut ContentReader,
    attempted: &str,
) -> Result<()> {
    match member.kind {
        MemberKind::File { sparse } => {
            let facts = reader.read(&path, members, worth_keeping(&path))?;
            let origin = Origin { layer: draft.layer(), member: member.number };
            draft.put_file(path, facts, sparse, member.meta, origin)?;
        }
        MemberKind::Hardlink { target } => {
            let target = tree_path(&target, attempted)?;
            let inode = draft.link_target(&path, &target)?;
            draft.link(path, inode)?;
        }
        MemberKind::Other(kind) => {
            draft.put(path, kind, member.meta)?;
        }
    }
    Ok(())
}

const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";

fn whiteout(path: &TreePath, draft: &mut Draft<'_>, attempted: &str) -> Result<()> {
    let parent = path.parent().unwrap_or_default();
    let name = path.file_name();
    if name == OPAQUE {
        draft.hide(&parent, Hide::Children);
    } else if !name.starts_with(b".wh..wh.") {
        let hidden = &name[WHITEOUT.len()..];
        // Joined, "." would name the directory itself, and it would go with all that is in it.
        if matches!(hidden, b"" | b"." | b"..") {
            return Err(Error::refused(attempted, format!("{path} takes nothing away that could be there")));
        }
        let hidden = parent.join(hidden).map_err(|why| Error::refused(attempted, why))?;
        draft.hide(&hidden, Hide::Path);
    }
    Ok(())
}

fn tree_path(raw: &[u8], attempted: &str) -> Result<TreePath> {
    TreePath::parse(raw).map_err(|why| Error::refused(attempted, format!("a path leaves the image: {why}")))
}

/// Opens the stream of a layer again.
pub(super) type Reopen = dyn Fn(u32) -> Result<Members<'static>>;

/// An image whose contents are in streams.
pub(super) fn found(drafted: Drafted, reopen: Box<Reopen>, stated: Stated) -> Found {
    let expected = Expected::of(&drafted.manifest);
    let source = Box::new(StreamContents { reopen, expected, origins: drafted.origins });
    Found { manifest: drafted.manifest, small: drafted.small, machines: drafted.machines, source, stated }
}

struct StreamContents {
    reopen: Box<Reopen>,
    expected: Expected,
    /// For each file of `expected`.
    origins: Vec<Origin>,
}

impl Contents for StreamContents {
    fn contents(&mut self, wanted: &BTreeSet<TreePath>, take: &mut TakeContent<'_>) -> Result<()> {
        let mut layers: BTreeMap<u32, BTreeMap<u32, usize>> = BTreeMap::new();
        for path in wanted {
            let position = self.expected.position(path)?;
            let origin = self.origins[position];
            layers.entry(origin.layer).or_default().insert(origin.member, position);
        }
        for (layer, mut positions) in layers {
            let mut members = (self.reopen)(layer).map_err(changed)?;
            while !positions.is_empty() {
                let Some(member) = members.next_member().map_err(changed)? else {
                    return Err(Error::damaged("read the image again", "it has become shorter since it was read"));
                };
                if let Some(position) = positions.remove(&member.number) {
                    self.expected.hand_on(position, &mut members, take)?;
                }
            }
        }
        Ok(())
    }
}

/// What was good when the image was opened and is refused now has changed.
pub(super) fn changed(mut error: Error) -> Error {
    if error.kind == ErrorKind::Refused {
        error.kind = ErrorKind::Damaged;
    }
    error
}
