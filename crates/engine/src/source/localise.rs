//! An image with this host's numbers of users and groups, from the moment it comes through the door.
//!
//! Separate because nothing behind it knows: the base is written, verified and recorded with the host's owners, so that
//! no file has to be given to somebody else later, and a layer's untouched inodes stay untouched.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest as _, Sha256};
use thinroot_core::ids::IdMap;
use thinroot_core::manifest::{Digest, Kind, Manifest};
use thinroot_core::path::TreePath;

use super::{Contents, Image, TakeContent};
use crate::error::{Error, IoContext, Result};
use crate::records::manifest_digest;
use crate::tree::write::shown;

/// Files in which an image says who has which number, and whether it is passwd.
const TABLES: [(&[u8], bool); 2] = [(b"etc/passwd", true), (b"etc/group", false)];

/// Gives an image the numbers of `map`. An identity costs and changes nothing.
pub(crate) fn localise(image: &mut Image, map: &IdMap) -> Result<()> {
    if map.is_identity() {
        return Ok(());
    }
    let attempted = format!("give the files of {} this host's owners", image.info.id);
    let tables = TABLES.map(|(raw, is_passwd)| (TreePath::parse(raw).expect("a constant path"), is_passwd));
    let mut texts = BTreeMap::new();
    let wanted: BTreeSet<TreePath> = tables.iter().map(|(path, _)| path.clone()).collect();
    let names = image.manifest.entries().iter().filter_map(|entry| entry.hardlink.as_ref());
    if names.into_iter().any(|first| wanted.contains(first))
        || wanted.iter().any(|path| image.manifest.get(path).is_some_and(|entry| entry.hardlink.is_some()))
    {
        return Err(Error::refused(attempted, "its passwd or group file has several names"));
    }
    let is_file = |path: &TreePath| image.manifest.get(path).is_some_and(|entry| entry.kind.digest().is_some());
    let there: BTreeSet<TreePath> = wanted.iter().filter(|path| is_file(path)).cloned().collect();
    image.source.contents(&there, &mut |path, content| {
        let mut text = Vec::new();
        content.read_to_end(&mut text).at("read", shown(path))?;
        let is_passwd = tables.iter().any(|(table, is_passwd)| table == path && *is_passwd);
        texts.insert(path.clone(), map.text(is_passwd, &text));
        Ok(())
    })?;
    let mut entries = image.manifest.entries().to_vec();
    for entry in &mut entries {
        map.entry(entry);
        if let Some(text) = texts.get(&entry.path) {
            let digest = Digest(Sha256::digest(text).into());
            entry.kind = Kind::File { size: text.len() as u64, digest, sparse: false };
        }
    }
    let accounts = map.accounts(image.manifest.accounts());
    image.manifest = Manifest::new(accounts, entries).map_err(|why| Error::damaged(attempted, why))?;
    image.info.digest = manifest_digest(&image.manifest);
    image.info.content_bytes = image.manifest.content_bytes();
    let nothing: Box<dyn Contents> = Box::new(Nothing);
    let inner = std::mem::replace(&mut image.source, nothing);
    image.source = Box::new(Localised { inner, texts });
    Ok(())
}

struct Nothing;

impl Contents for Nothing {
    fn contents(&mut self, _: &BTreeSet<TreePath>, _: &mut TakeContent<'_>) -> Result<()> {
        Ok(())
    }
}

/// Contents of an image, but for the files that were rewritten.
struct Localised {
    inner: Box<dyn Contents>,
    texts: BTreeMap<TreePath, Vec<u8>>,
}

impl Contents for Localised {
    fn contents(&mut self, wanted: &BTreeSet<TreePath>, take: &mut TakeContent<'_>) -> Result<()> {
        for (path, text) in self.texts.iter().filter(|(path, _)| wanted.contains(path)) {
            take(path, &mut text.as_slice())?;
        }
        let others: BTreeSet<TreePath> = wanted.iter().filter(|path| !self.texts.contains_key(path)).cloned().collect();
        if others.is_empty() { Ok(()) } else { self.inner.contents(&others, take) }
    }
}
