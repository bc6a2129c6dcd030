//! Makes of a snapshot of a host's root what its vendor shipped.
//!
//! Separate because it is the one place that takes something out of a volume by a verdict. Must stay true: only the snapshot
//! is written, and no link in it is followed; done to the same snapshot twice it comes to the same.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use sha2::{Digest as _, Sha256};
use thinroot_core::adopt::{Deviation, Fate, HostKernel, fate, removal_counts};
use thinroot_core::image::Arch;
use thinroot_core::manifest::{Digest, Entry, Kind, LinkTarget, Manifest, Meta, XattrName, XattrValue};
use thinroot_core::name::ImageId;
use thinroot_core::path::TreePath;
use thinroot_core::state::policy::Policy;

use super::originals::{self, Original, Places};
use super::vendor::{self, Known, tree_path};
use crate::cmd::Cmd;
use crate::error::{Error, IoContext, Result};
use crate::progress::{Event, Reporter};
use crate::source::{Image, ImageRef, OpenOptions, require_thin_root};
use crate::state::{Place, accounts_of, entries_at};
use crate::tree::read::{WalkedKind, walk};

/// Stands in a base for a file that was shipped, is gone, and whose content is not to be had: that it is gone is carried.
const PLACEHOLDER: &[u8] = b"thinroot: this file was shipped, and removed before this host was adopted\n";
/// How many paths a finding names.
const SHOWN: usize = 3;

/// What is done to a snapshot.
#[derive(Debug)]
pub struct Work<'a> {
    /// Where it is mounted.
    pub root: &'a Path,
    /// Who it will be.
    pub base: &'a ImageId,
    /// What boots it, and where the paths of that begin.
    pub kernel: (&'a HostKernel, &'a Path),
    /// Where originals may be.
    pub places: &'a Places,
}

/// What came of it.
#[derive(Debug)]
pub struct Restored {
    /// The base as an image. Its contents are those of the mounted snapshot.
    pub image: Image,
    /// What a person should know.
    pub findings: Vec<String>,
    /// In words.
    pub said: String,
}

/// Does it.
pub fn restore(work: &Work<'_>, reporter: &dyn Reporter) -> Result<Restored> {
    let note = |text: &str| reporter.event(Event::Note { text: text.into() });
    let policy = Policy::default();
    let root = work.root;
    // Read while the tables are there: owners are compared by name from here on.
    let accounts = accounts_of(root)?;
    note("ask the package manager what was shipped");
    let known = vendor::known(root)?;
    let (own, changed) = verdicts(root, &policy, &known)?;
    let gone = known.vendor.changed.iter().filter(|(path, deviation)| {
        matches!(deviation, Deviation::Missing { .. })
            && (removal_counts(&policy, path) || known.links.contains_key(*path))
    });
    let gone: BTreeSet<TreePath> = gone.map(|(path, _)| path.clone()).collect();
    let wanted: BTreeSet<TreePath> = changed.keys().chain(&gone).cloned().collect();
    note("look for originals of what was changed");
    let found = originals::find(root, &known, &wanted, work.places)?;
    let mut findings = found.findings.clone();
    findings.extend(found.lacking.iter().map(|(package, paths)| lacking(package, paths)));
    let mut place = Place::open(root, false)?;
    let mut counts = Counts { own: 0, restored: 0, without: 0 };
    for path in own.iter().rev() {
        counts.own += usize::from(place.remove(path)?);
    }
    let mut back = Back { place: &mut place, root, known: &known, originals: &found.originals, counts: &mut counts };
    let with = |wanted: Deviation| changed.iter().filter(move |(_, it)| **it == wanted).map(|(path, _)| path);
    with(Deviation::Content).try_for_each(|path| back.content(path))?;
    // Afterwards, because what is put into a directory changes it.
    with(Deviation::Meta).try_for_each(|path| back.meta(path))?;
    gone.iter().try_for_each(|path| back.gone(path))?;
    kernel(&mut place, work)?;
    place.lock_again()?;
    drop(place);
    trim(root);
    note("read what is left");
    let image = describe(work, accounts, reporter)?;
    let said = format!(
        "{} paths of the host's own taken out, {} put back, {} without an original",
        counts.own, counts.restored, counts.without
    );
    Ok(Restored { image, findings, said })
}

struct Counts {
    own: usize,
    restored: usize,
    without: usize,
}

/// Puts back what was shipped.
struct Back<'a> {
    place: &'a mut Place,
    root: &'a Path,
    known: &'a Known,
    originals: &'a BTreeMap<TreePath, Original>,
    counts: &'a mut Counts,
}

impl Back<'_> {
    /// A file whose content was changed.
    fn content(&mut self, path: &TreePath) -> Result<()> {
        match self.originals.get(path) {
            Some(original) => {
                put(self.place, original, label(self.root, path)?)?;
                self.counts.restored += 1;
            }
            // Both sides count as having added it then: the layer's is kept at each update, the image's beside it.
            None => {
                self.place.clear(path)?;
                self.counts.without += 1;
            }
        }
        Ok(())
    }

    /// A path whose mode or owner was changed.
    fn meta(&mut self, path: &TreePath) -> Result<()> {
        match self.originals.get(path) {
            Some(original) => {
                align(self.place, self.root, path, original)?;
                self.counts.restored += 1;
            }
            None => self.counts.without += 1,
        }
        Ok(())
    }

    /// A path that was removed.
    fn gone(&mut self, path: &TreePath) -> Result<()> {
        parents(self.place, path)?;
        let config = || self.known.vendor.changed.get(path) == Some(&Deviation::Missing { config: true });
        match (self.originals.get(path), self.known.links.get(path)) {
            (Some(original), _) => put(self.place, original, None)?,
            (None, Some(target)) => {
                let kind = Kind::Symlink { target: LinkTarget(target.clone().into()) };
                self.place.leaf(&entry(path, kind, 0o777), 1, &mut std::io::empty())?;
            }
            (None, None) if config() => bytes(self.place, path, PLACEHOLDER, 0o644)?,
            // A directory, say; what is beneath it brings it along.
            (None, None) => {
                self.counts.without += 1;
                return Ok(());
            }
        }
        self.counts.restored += 1;
        Ok(())
    }
}

type Changed = BTreeMap<TreePath, Deviation>;

/// The host's own, sorted, and what was changed.
fn verdicts(root: &Path, policy: &Policy, known: &Known) -> Result<(Vec<TreePath>, Changed)> {
    let (mut own, mut changed) = (Vec::new(), Changed::new());
    walk(root, false, &mut |walked, _| {
        let link = if let WalkedKind::Symlink { target } = &walked.kind { Some(&*target.0) } else { None };
        match fate(policy, &known.vendor, &walked.path, link) {
            Fate::Keep => {}
            Fate::Remove => own.push(walked.path.clone()),
            Fate::Restore(deviation) => drop(changed.insert(walked.path.clone(), deviation)),
        }
        Ok(())
    })?;
    Ok((own, changed))
}

fn lacking(package: &str, paths: &[TreePath]) -> String {
    let shown: Vec<String> = paths.iter().take(SHOWN).map(ToString::to_string).collect();
    let more = match paths.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!(
        "package {package} is not to be had, so what it shipped of {}{more} is not known: an update keeps this host's",
        shown.join(", ")
    )
}

/// A file system's label is no part of a package.
const LABEL: &[u8] = b"security.selinux";

fn label(root: &Path, path: &TreePath) -> Result<Option<XattrValue>> {
    let now = entries_at(root, &[path.clone()].into())?.remove(path);
    Ok(now.and_then(|mut now| now.meta.xattrs.remove(&XattrName(LABEL.into()))))
}

fn put(place: &mut Place, original: &Original, label: Option<XattrValue>) -> Result<()> {
    let mut entry = original.entry.clone();
    if let Some(label) = label {
        entry.meta.xattrs.insert(XattrName(LABEL.into()), label);
    }
    parents(place, &entry.path)?;
    if entry.kind == Kind::Directory {
        place.directory(&entry.path)?;
        return place.align(&entry);
    }
    match original.open()? {
        Some(mut file) => place.leaf(&entry, 1, &mut file),
        None => place.leaf(&entry, 1, &mut std::io::empty()),
    }
}

/// Mode and owner as shipped, the rest as it is.
fn align(place: &mut Place, root: &Path, path: &TreePath, original: &Original) -> Result<()> {
    let Some(mut now) = entries_at(root, &[path.clone()].into())?.remove(path) else { return Ok(()) };
    now.meta.mode = original.entry.meta.mode;
    (now.meta.uid, now.meta.gid) = (original.entry.meta.uid, original.entry.meta.gid);
    place.align(&now)
}

fn parents(place: &mut Place, path: &TreePath) -> Result<()> {
    let mut above: Vec<TreePath> = std::iter::successors(path.parent(), TreePath::parent).collect();
    above.reverse();
    for directory in above.into_iter().filter(|directory| !directory.is_root()) {
        if !place.exists(&directory)? {
            place.directory(&directory)?;
            place.align(&entry(&directory, Kind::Directory, 0o755))?;
        }
    }
    Ok(())
}

fn entry(path: &TreePath, kind: Kind, mode: u16) -> Entry {
    Entry { path: path.clone(), kind, meta: Meta { mode, ..Meta::default() }, hardlink: None }
}

fn bytes(place: &mut Place, path: &TreePath, content: &[u8], mode: u16) -> Result<()> {
    let kind = Kind::File { size: content.len() as u64, digest: Digest(Sha256::digest(content).into()), sparse: false };
    place.leaf(&entry(path, kind, mode), 1, &mut &content[..])
}

/// An image brings what boots it; of a host that lies in another file system.
fn kernel(place: &mut Place, work: &Work<'_>) -> Result<()> {
    let (kernel, boot) = work.kernel;
    for (from, to) in [(&kernel.image, "boot/vmlinuz-"), (&kernel.initrd, "boot/initrd.img-")] {
        let name = tree_path(from.as_bytes())?;
        let there = entries_at(boot, &[name.clone()].into())?.remove(&name);
        let from = boot.join(from);
        let there = there.ok_or_else(|| Error::failed(format!("read {}", from.display()), "it is gone"))?;
        let path = tree_path(format!("{to}{}", kernel.version).as_bytes())?;
        parents(place, &path)?;
        let mut file = std::fs::File::open(&from).at("open", &from)?;
        place.leaf(&entry(&path, there.kind, 0o600), 1, &mut file)?;
    }
    Ok(())
}

/// What was taken out is still the host's: without this the snapshot would hold on to its blocks when the host drops them.
fn trim(root: &Path) {
    // Where it fails only room is lost, and where nothing lies below that could be given back, not even that.
    let _ = Cmd::new("fstrim").arg(root).run();
}

fn describe(work: &Work<'_>, accounts: thinroot_core::manifest::Accounts, reporter: &dyn Reporter) -> Result<Image> {
    let uname = rustix::system::uname();
    let machine = uname.machine().to_string_lossy();
    let arch = Arch::from_word(&machine)
        .ok_or_else(|| Error::refused("adopt this host", format!("{machine} is not supported")))?;
    let options = OpenOptions { identity: Some(work.base.clone()), arch };
    let mut image = Image::open(&ImageRef::Dir(work.root.into()), &options, reporter)?;
    require_thin_root(&mut image)?;
    let entries = image.manifest.entries().to_vec();
    image.manifest = Manifest::new(accounts, entries).map_err(|why| Error::failed("describe the base", why))?;
    image.info.digest = crate::records::manifest_digest(&image.manifest);
    image.info.source = "the host as it was adopted".into();
    // Found by the version that it runs, whatever else lies in the tree.
    let version = &work.kernel.0.version;
    image.info.kernels.retain(|kernel| kernel.version == *version);
    Ok(image)
}
