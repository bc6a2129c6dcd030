//! Trees for tests: grown from bytes, so that a property test can shrink them, and observed from a disk.
//!
//! The observer is written apart from the engine's walk, writer and verifier and uses none of them: it is the oracle
//! they are compared with.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use rustix::fs::SeekFrom;
use sha2::{Digest as _, Sha256};
use thinroot_core::manifest::{
    Accounts, Digest, Entry, Kind, LinkTarget, Manifest, Meta, Timestamp, XattrName, XattrValue,
};
use thinroot_core::path::{TreePath, escape};
use thinroot_engine::error::{Error, Result};
use thinroot_engine::source::{Contents, TakeContent};

/// A manifest with the contents it speaks of.
#[derive(Debug, Clone)]
pub struct Tree {
    /// What is in it.
    pub manifest: Manifest,
    /// Content of each file, by first name.
    pub contents: BTreeMap<TreePath, Vec<u8>>,
}

/// A tree under construction: entries in any order, without digests of contents.
#[derive(Debug, Clone, Default)]
pub struct TreeBuilder {
    entries: BTreeMap<TreePath, Entry>,
    contents: BTreeMap<TreePath, Vec<u8>>,
}

/// Parses a path that is known to be good.
pub fn path(text: impl AsRef<[u8]>) -> TreePath {
    TreePath::parse(text.as_ref()).expect("a good path")
}

/// Mode, owner and time, the rest empty.
pub fn meta(mode: u16, owner: (u32, u32), mtime: (i64, u32)) -> Meta {
    let mtime = Timestamp { sec: mtime.0, nsec: mtime.1 };
    Meta { mode, uid: owner.0, gid: owner.1, mtime, ..Meta::default() }
}

/// Adds an attribute.
pub fn with_xattr(mut meta: Meta, name: &str, value: &[u8]) -> Meta {
    meta.xattrs.insert(XattrName(name.as_bytes().into()), XattrValue(value.into()));
    meta
}

/// The kernel's form of an ACL: `u::rwx,u:7:r--,g::r--,m::MASK,o::---`; goes with mode 0o7M0.
pub fn acl(mask: u16) -> Vec<u8> {
    let mut out = 2u32.to_le_bytes().to_vec();
    let any = u32::MAX;
    for (tag, bits, id) in [(1u16, 7u16, any), (2, 4, 7), (4, 4, any), (16, mask, any), (32, 0, any)] {
        out.extend_from_slice(&tag.to_le_bytes());
        out.extend_from_slice(&bits.to_le_bytes());
        out.extend_from_slice(&id.to_le_bytes());
    }
    out
}

/// `security.capability` of revision 2 with CAP_NET_BIND_SERVICE permitted and effective.
pub const CAPABILITY: [u8; 20] = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

impl TreeBuilder {
    /// A tree of nothing but its root.
    pub fn new() -> Self {
        let mut new = TreeBuilder::default();
        new.add(TreePath::root(), Kind::Directory, meta(0o755, (0, 0), (1_700_000_000, 0)));
        new
    }

    /// Adds anything but a file; what is there already is replaced.
    pub fn add(&mut self, path: TreePath, kind: Kind, meta: Meta) -> &mut Self {
        self.contents.remove(&path);
        self.entries.insert(path.clone(), Entry { path, kind, meta, hardlink: None });
        self
    }

    /// Adds a file.
    pub fn file(&mut self, path: TreePath, content: &[u8], sparse: bool, meta: Meta) -> &mut Self {
        let digest = Digest(Sha256::digest(content).into());
        self.add(path.clone(), Kind::File { size: content.len() as u64, digest, sparse }, meta);
        self.contents.insert(path, content.to_vec());
        self
    }

    /// Adds one more name of something that is there.
    pub fn link(&mut self, to: TreePath, from: &TreePath) -> &mut Self {
        let source = &self.entries[from];
        let holder = source.hardlink.clone().unwrap_or_else(|| from.clone());
        let entry = Entry { path: to.clone(), hardlink: Some(holder), ..source.clone() };
        self.entries.insert(to, entry);
        self
    }

    /// Checks it and makes the first name of each group the one that holds the content.
    pub fn build(self) -> Tree {
        let mut groups: BTreeMap<TreePath, BTreeSet<TreePath>> = BTreeMap::new();
        for entry in self.entries.values() {
            let holder = entry.hardlink.as_ref().unwrap_or(&entry.path);
            groups.entry(holder.clone()).or_default().insert(entry.path.clone());
        }
        let (mut entries, mut contents) = (self.entries, BTreeMap::new());
        for (noted, names) in groups {
            let first = names.first().expect("a group has a name").clone();
            for name in &names {
                let entry = entries.get_mut(name).expect("it was there");
                entry.hardlink = Some(first.clone()).filter(|first| first != name);
            }
            if let Some(content) = self.contents.get(&noted) {
                contents.insert(first, content.clone());
            }
        }
        let manifest = Manifest::new(Accounts::default(), entries.into_values().collect()).expect("a good tree");
        Tree { manifest, contents }
    }
}

/// Names that collide, differ in numbers only, or are not text.
const NAMES: [&[u8]; 9] = [b"a1", b"a2", b"a10", b"b", b"c-1.0", b"c-1.2", b"d\xff", b"e", b"e2"];

/// Grows a tree: each six bytes are one path (directory, name, type, content, and two for metadata).
pub fn grow(seed: &[u8]) -> Tree {
    let mut tree = TreeBuilder::new();
    let mut directories = vec![TreePath::root()];
    let mut names: Vec<TreePath> = Vec::new();
    for gene in seed.as_chunks::<6>().0 {
        let [at, name, kind, content, look, time] = gene.map(usize::from);
        let path = directories[at % directories.len()].join(NAMES[name % NAMES.len()]).expect("a short path");
        if tree.entries.contains_key(&path) || path.components().count() > 4 {
            continue;
        }
        match kind % 12 {
            0..4 => {
                tree.add(path.clone(), Kind::Directory, grown_meta(&Kind::Directory, look, time));
                directories.push(path);
                continue;
            }
            4..8 => {
                let (bytes, sparse) = grown_content(content);
                let file = Kind::File { size: 0, digest: Digest([0; 32]), sparse };
                tree.file(path.clone(), &bytes, sparse, grown_meta(&file, look, time));
            }
            8 if !names.is_empty() => {
                tree.link(path.clone(), &names[content % names.len()].clone());
            }
            9 => {
                let node = match content % 4 {
                    0 => Kind::Fifo,
                    1 => Kind::Char { major: 1, minor: (content % 9) as u32 },
                    2 => Kind::Block { major: 300, minor: 70_000 },
                    _ => Kind::Socket,
                };
                let meta = grown_meta(&node, look, time);
                tree.add(path.clone(), node, meta);
            }
            _ => {
                let target = LinkTarget([b"a1".as_slice(), b"../\xfe", b"/etc"][content % 3].into());
                let link = Kind::Symlink { target };
                let meta = grown_meta(&link, look, time);
                tree.add(path.clone(), link, meta);
            }
        }
        names.push(path);
    }
    tree.build()
}

fn grown_content(choice: usize) -> (Vec<u8>, bool) {
    let blocks = |pattern: &[u8]| pattern.iter().flat_map(|byte| vec![*byte; 4096]).collect::<Vec<u8>>();
    let bytes = match choice % 9 {
        0 => Vec::new(),
        1 => b"short".to_vec(),
        2 => b"other".to_vec(),
        3 => blocks(b"xyz"),
        4 => blocks(b"x\0z"),
        5 => [blocks(b"\0x"), vec![0; 100]].concat(),
        6 => [blocks(b"xy\0\0"), b"tail".to_vec()].concat(),
        7 => blocks(b"\0\0\0"),
        _ => [blocks(b"x"), vec![0; 904]].concat(),
    };
    (bytes, choice & 16 != 0)
}

fn grown_meta(kind: &Kind, look: usize, time: usize) -> Meta {
    let owner = [(0, 0), (7, 8)][look % 2];
    let mtime = [(1_700_000_000, 123_456_789), (1_700_000_000, 0), (-5, 999_999_999), (3_000_000_000, 1)][time % 4];
    let mode = match kind {
        Kind::Symlink { .. } => 0o777,
        Kind::Directory => [0o755, 0o2775, 0o1777, 0o700][look / 2 % 4],
        Kind::File { .. } => [0o644, 0o4755, 0o2711, 0o000][look / 2 % 4],
        Kind::Fifo | Kind::Socket | Kind::Char { .. } | Kind::Block { .. } => [0o600, 0o666][look / 2 % 2],
    };
    let mut meta = meta(mode, owner, mtime);
    let is_link = matches!(kind, Kind::Symlink { .. });
    if look & 16 != 0 {
        meta = with_xattr(meta, "trusted.t", [&b"one"[..], b"\0\xfftwo"][time / 4 % 2]);
    }
    if look & 32 != 0 && !is_link {
        let mask = [4, 6][time / 8 % 2];
        meta.mode = (mode & 0o7000) | 0o700 | mask << 3;
        meta = with_xattr(meta, "system.posix_acl_access", &acl(mask));
    }
    match kind {
        Kind::Directory if look & 64 != 0 => with_xattr(meta, "system.posix_acl_default", &acl(6)),
        Kind::File { .. } if look & 64 != 0 => with_xattr(meta, "security.capability", &CAPABILITY),
        Kind::File { .. } if look & 128 != 0 => with_xattr(meta, "user.u", b"v"),
        Kind::Directory | Kind::File { .. } | Kind::Symlink { .. } | Kind::Fifo => meta,
        Kind::Socket | Kind::Char { .. } | Kind::Block { .. } => meta,
    }
}

impl Contents for Tree {
    fn contents(&mut self, wanted: &BTreeSet<TreePath>, take: &mut TakeContent<'_>) -> Result<()> {
        // Backwards: a writer may not rely on any order.
        for path in wanted.iter().rev() {
            let content = self.contents.get(path);
            let content = content.ok_or_else(|| Error::failed(format!("read {path}"), "no such content"))?;
            take(path, &mut content.as_slice())?;
        }
        Ok(())
    }
}

/// What there is to say of each path of a tree, one line each.
pub type Portrait = BTreeMap<TreePath, String>;

/// The portrait that a tree should give.
pub fn expected(tree: &Tree) -> Portrait {
    let mut names: BTreeMap<&TreePath, u64> = BTreeMap::new();
    tree.manifest.entries().iter().for_each(|entry| *names.entry(holder(entry)).or_default() += 1);
    let line = |entry: &Entry| {
        let first = holder(entry);
        let kind = match &entry.kind {
            Kind::File { sparse, .. } => {
                let content = &tree.contents[first];
                let zeros = content.len() >= 4096 && content.chunks(4096).any(|b| b.iter().all(|b| *b == 0));
                file_line(content, *sparse && zeros)
            }
            Kind::Symlink { target } => format!("link {}", escape(&target.0)),
            Kind::Char { major, minor } => format!("char {major}:{minor}"),
            Kind::Block { major, minor } => format!("block {major}:{minor}"),
            Kind::Directory => "dir".into(),
            Kind::Fifo => "fifo".into(),
            Kind::Socket => "socket".into(),
        };
        let meta = &entry.meta;
        let xattrs: Vec<String> =
            meta.xattrs.iter().map(|(name, value)| format!("{}={}", escape(&name.0), escape(&value.0))).collect();
        let group = if entry.kind == Kind::Directory { String::new() } else { format!("{first} x{}", names[first]) };
        let (sec, nsec) = (meta.mtime.sec, meta.mtime.nsec);
        format!("{kind} {:o} {}:{} {sec}.{nsec:09} {} {group}", meta.mode, meta.uid, meta.gid, xattrs.join(","))
    };
    tree.manifest.entries().iter().map(|entry| (entry.path.clone(), line(entry))).collect()
}

fn holder(entry: &Entry) -> &TreePath {
    entry.hardlink.as_ref().unwrap_or(&entry.path)
}

fn file_line(content: &[u8], has_hole: bool) -> String {
    format!("file {} {} hole={has_hole}", content.len(), Digest(Sha256::digest(content).into()).short())
}

/// The portrait of what is on a disk.
pub fn observe(root: &Path) -> Portrait {
    let mut paths = vec![TreePath::root()];
    let mut open = paths.clone();
    while let Some(dir) = open.pop() {
        for child in fs::read_dir(on_disk(root, &dir)).expect("a readable directory") {
            let child = child.expect("a readable directory");
            let path = dir.join(child.file_name().as_bytes()).expect("a path");
            if child.file_type().expect("a type").is_dir() {
                open.push(path.clone());
            }
            paths.push(path);
        }
    }
    paths.sort();
    let mut first_names: BTreeMap<u64, TreePath> = BTreeMap::new();
    let mut portrait = Portrait::new();
    for path in paths {
        let stat = fs::symlink_metadata(on_disk(root, &path)).expect("a path that is there");
        let first = first_names.entry(stat.ino()).or_insert_with(|| path.clone()).clone();
        let line = observe_one(&on_disk(root, &path), &stat, &first);
        portrait.insert(path, line);
    }
    portrait
}

fn on_disk(root: &Path, path: &TreePath) -> std::path::PathBuf {
    root.join(std::ffi::OsStr::from_bytes(path.as_bytes()))
}

fn observe_one(at: &Path, stat: &fs::Metadata, first: &TreePath) -> String {
    let file_type = stat.file_type();
    let device = format!("{}:{}", rustix::fs::major(stat.rdev()), rustix::fs::minor(stat.rdev()));
    let kind = if file_type.is_dir() {
        "dir".into()
    } else if file_type.is_symlink() {
        format!("link {}", escape(fs::read_link(at).expect("a link").as_os_str().as_bytes()))
    } else if file_type.is_fifo() {
        "fifo".into()
    } else if file_type.is_socket() {
        "socket".into()
    } else if file_type.is_char_device() {
        format!("char {device}")
    } else if file_type.is_block_device() {
        format!("block {device}")
    } else {
        let content = fs::read(at).expect("a readable file");
        let file = fs::File::open(at).expect("a readable file");
        let hole = content.len() >= 4096
            && rustix::fs::seek(&file, SeekFrom::Hole(0)).expect("SEEK_HOLE") < content.len() as u64;
        file_line(&content, hole)
    };
    let group = if file_type.is_dir() { String::new() } else { format!("{first} x{}", stat.nlink()) };
    format!(
        "{kind} {:o} {}:{} {}.{:09} {} {group}",
        stat.mode() & 0o7777,
        stat.uid(),
        stat.gid(),
        stat.mtime(),
        stat.mtime_nsec(),
        observe_xattrs(at).join(",")
    )
}

fn observe_xattrs(at: &Path) -> Vec<String> {
    let mut names = vec![0; 65536];
    let length = rustix::fs::llistxattr(at, &mut names[..]).expect("attribute names");
    let mut out = Vec::new();
    for name in names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        if name.starts_with(b"trusted.SGI_ACL_") {
            continue; // how XFS stores what it also lists as system.posix_acl_*
        }
        let mut value = vec![0; 65536];
        let length = rustix::fs::lgetxattr(at, name, &mut value[..]).expect("an attribute");
        out.push(format!("{}={}", escape(name), escape(&value[..length])));
    }
    out.sort();
    out
}
