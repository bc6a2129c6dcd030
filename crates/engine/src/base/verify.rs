//! Compares a mounted tree with a manifest, completely, and believes nobody.
//!
//! Separate from the writer and without any of its code: this is what stands between a writer's mistake, a full pool
//! or a lying source and a sealed base. Everything is compared: names, types, contents by digest, holes, links,
//! hard-link groups, device numbers, mode, owner, time and every extended attribute.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use sha2::{Digest as _, Sha256};
use thinroot_core::manifest::{Digest, Entry, Kind, LinkTarget, Manifest, Meta};
use thinroot_core::path::{TreePath, escape};

use super::inodes::{Inode, InodeTable};
use crate::error::{Error, IoContext, Result};
use crate::progress::{Event, Reporter};
use crate::tree::read::{OpenFile, Walked, WalkedKind, walk};

/// Threads that hash. More than two gain nothing: the disk is the limit, and the host has other work to do.
const HASH_THREADS: usize = 2;
/// Files opened ahead of the hashing threads; each is a descriptor.
const QUEUE: usize = 32;
const READ_BYTES: usize = 256 << 10;
/// Unit of holes, as in [`Kind::File`].
const BLOCK_BYTES: usize = 4096;
const PROGRESS_BYTES: u64 = 16 << 20;

/// One way in which a tree is not what its manifest says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Difference {
    /// Where.
    pub path: TreePath,
    /// What, in words.
    pub what: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.what)
    }
}

/// Reads everything beneath `root`. No differences means: exactly this manifest. An unreadable file is an error.
pub fn verify(root: &Path, manifest: &Manifest, reporter: &dyn Reporter) -> Result<(Vec<Difference>, InodeTable)> {
    let shared = Shared { reporter, total: manifest.content_bytes(), state: Mutex::default() };
    let (sender, receiver) = sync_channel(QUEUE);
    let receiver = Mutex::new(receiver);
    let mut comparison = Comparison::new(manifest);
    std::thread::scope(|scope| -> Result<()> {
        let hashers: Vec<_> = (0..HASH_THREADS).map(|_| scope.spawn(|| hash_all(&receiver, &shared))).collect();
        let walked = walk(root, true, &mut |walked, open| comparison.visit(walked, open, &sender));
        drop(sender);
        let hashed = hashers.into_iter().map(|thread| {
            thread.join().unwrap_or_else(|_| Err(Error::failed("verify contents", "a hashing thread panicked")))
        });
        hashed.fold(walked, Result::and)
    })?;
    let (mut differences, inodes) = comparison.finish();
    differences.append(&mut shared.state.into_inner().unwrap_or_else(|e| e.into_inner()).differences);
    differences.sort();
    Ok((differences, inodes))
}

struct Comparison<'a> {
    manifest: &'a Manifest,
    /// Index of the next entry that the walk has not reached.
    next: usize,
    /// Names of each hard-link group, by first name.
    names: HashMap<&'a TreePath, u64>,
    /// The first path at which each inode with several names was met.
    first_paths: HashMap<u64, TreePath>,
    inodes: Vec<Inode>,
    differences: Vec<Difference>,
}

impl<'a> Comparison<'a> {
    fn new(manifest: &'a Manifest) -> Self {
        let mut names = HashMap::new();
        for first in manifest.entries().iter().filter_map(|entry| entry.hardlink.as_ref()) {
            *names.entry(first).or_insert(1) += 1;
        }
        let inodes = Vec::with_capacity(manifest.entries().len());
        Comparison { manifest, next: 0, names, first_paths: HashMap::new(), inodes, differences: Vec::new() }
    }

    fn note(&mut self, path: &TreePath, what: impl Into<String>) {
        self.differences.push(Difference { path: path.clone(), what: what.into() });
    }

    /// Both come in the order of paths, so this is a merge.
    fn visit(&mut self, walked: &Walked, open: OpenFile<'_>, queue: &SyncSender<Job>) -> Result<()> {
        let entries = self.manifest.entries();
        while let Some(entry) = entries.get(self.next).filter(|entry| entry.path < walked.path) {
            self.missing(entry);
        }
        let Some(entry) = entries.get(self.next).filter(|entry| entry.path == walked.path) else {
            self.note(&walked.path, "is not in the image");
            return Ok(());
        };
        self.next += 1;
        self.inodes.push(Inode { ino: walked.ino, ctime: walked.ctime });
        if walked.boundary {
            self.note(&walked.path, "something is mounted here");
        }
        self.compare_meta(entry, &walked.meta);
        self.compare_group(entry, walked);
        if let Some(expected) = self.compare_kind(entry, walked) {
            let job = Job { path: entry.path.clone(), file: open.open()?, expected };
            queue.send(job).map_err(|_| Error::failed("verify contents", "hashing has stopped"))?;
        }
        Ok(())
    }

    /// What is to be expected of the content, where it has to be read.
    fn compare_kind(&mut self, entry: &Entry, walked: &Walked) -> Option<Expected> {
        let path = &entry.path;
        match (&entry.kind, &walked.kind) {
            (Kind::File { size, digest, sparse }, WalkedKind::File { size: found, sparse: has_holes }) => {
                if size != found {
                    self.note(path, format!("has {found} bytes instead of {size}"));
                    return None;
                }
                // The content of a further name has been read under the first.
                let expected = Expected { size: *size, digest: *digest, sparse: *sparse, has_holes: *has_holes };
                return Some(expected).filter(|_| entry.hardlink.is_none());
            }
            (Kind::Symlink { target }, WalkedKind::Symlink { target: found }) => {
                if target != found {
                    self.note(path, format!("points to {} instead of {}", text(found), text(target)));
                }
            }
            (Kind::Char { major: a, minor: b }, WalkedKind::Char { major: c, minor: d })
            | (Kind::Block { major: a, minor: b }, WalkedKind::Block { major: c, minor: d }) => {
                if (a, b) != (c, d) {
                    self.note(path, format!("is device {c}:{d} instead of {a}:{b}"));
                }
            }
            (Kind::Directory, WalkedKind::Directory)
            | (Kind::Fifo, WalkedKind::Fifo)
            | (Kind::Socket, WalkedKind::Socket) => {}
            (wanted, found) => self.note(path, format!("is a {} instead of a {}", word(found), wanted.word())),
        }
        None
    }

    fn compare_meta(&mut self, entry: &Entry, found: &Meta) {
        let (path, wanted) = (&entry.path, &entry.meta);
        if wanted.mode != found.mode {
            self.note(path, format!("has mode {:04o} instead of {:04o}", found.mode, wanted.mode));
        }
        if (wanted.uid, wanted.gid) != (found.uid, found.gid) {
            let what = format!("belongs to {}:{} instead of {}:{}", found.uid, found.gid, wanted.uid, wanted.gid);
            self.note(path, what);
        }
        if wanted.mtime != found.mtime {
            let time = |meta: &Meta| format!("{}.{:09}", meta.mtime.sec, meta.mtime.nsec);
            self.note(path, format!("was modified at {} instead of {}", time(found), time(wanted)));
        }
        for (name, value) in &wanted.xattrs {
            match found.xattrs.get(name) {
                Some(other) if other == value => {}
                Some(_) => self.note(path, format!("has another value of {}", escape(&name.0))),
                None => self.note(path, format!("lacks {}", escape(&name.0))),
            }
        }
        for name in found.xattrs.keys().filter(|name| !wanted.xattrs.contains_key(name)) {
            self.note(path, format!("has {}, which is not in the image", escape(&name.0)));
        }
    }

    fn compare_group(&mut self, entry: &'a Entry, walked: &Walked) {
        if walked.kind == WalkedKind::Directory {
            return;
        }
        let wanted = entry.hardlink.as_ref().unwrap_or(&entry.path);
        let names = self.names.get(wanted).copied().unwrap_or(1);
        if walked.nlink != names {
            self.note(&entry.path, format!("has {} names instead of {names}", walked.nlink));
        }
        if walked.nlink > 1 || names > 1 {
            let first = self.first_paths.entry(walked.ino).or_insert_with(|| entry.path.clone()).clone();
            if first != *wanted {
                let is = |path: &TreePath| match path == &entry.path {
                    true => "a file of its own".to_string(),
                    false => format!("the same file as {path}"),
                };
                self.note(&entry.path, format!("is {} instead of {}", is(&first), is(wanted)));
            }
        }
    }

    fn missing(&mut self, entry: &Entry) {
        self.next += 1;
        self.inodes.push(Inode::default());
        self.note(&entry.path, "is missing");
    }

    fn finish(mut self) -> (Vec<Difference>, InodeTable) {
        while let Some(entry) = self.manifest.entries().get(self.next) {
            self.missing(entry);
        }
        (self.differences, InodeTable { inodes: self.inodes })
    }
}

fn word(kind: &WalkedKind) -> &'static str {
    match kind {
        WalkedKind::Directory => "directory",
        WalkedKind::File { .. } => "file",
        WalkedKind::Symlink { .. } => "symbolic link",
        WalkedKind::Fifo => "fifo",
        WalkedKind::Char { .. } => "character device",
        WalkedKind::Block { .. } => "block device",
        WalkedKind::Socket => "socket",
    }
}

fn text(target: &LinkTarget) -> String {
    String::from(target.clone())
}

struct Job {
    path: TreePath,
    file: File,
    expected: Expected,
}

struct Expected {
    size: u64,
    digest: Digest,
    sparse: bool,
    has_holes: bool,
}

struct Shared<'a> {
    reporter: &'a dyn Reporter,
    total: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    differences: Vec<Difference>,
    done: u64,
    told: u64,
}

fn hash_all(jobs: &Mutex<Receiver<Job>>, shared: &Shared<'_>) -> Result<()> {
    let mut buffer = vec![0; READ_BYTES];
    let mut result = Ok(());
    loop {
        let job = match jobs.lock() {
            Ok(receiver) => receiver.recv(),
            Err(_) => return Err(Error::failed("verify contents", "the other hashing thread panicked")),
        };
        let Ok(job) = job else { return result };
        // After an error the queue is still emptied: the walk must not wait for us for ever.
        if result.is_ok() {
            result = check_content(job, &mut buffer).map(|(size, found)| shared.done(size, found));
        }
    }
}

impl Shared<'_> {
    fn done(&self, size: u64, found: Vec<Difference>) {
        let mut state = self.state.lock().unwrap_or_else(|e| e.into_inner());
        state.differences.extend(found);
        state.done += size;
        if state.done == self.total || state.done - state.told >= PROGRESS_BYTES {
            state.told = state.done;
            self.reporter.event(Event::Progress { done: state.done, total: Some(self.total), unit: "bytes" });
        }
    }
}

fn check_content(job: Job, buffer: &mut [u8]) -> Result<(u64, Vec<Difference>)> {
    let Job { path, file, expected } = job;
    let mut differences = Vec::new();
    let mut note = |what: String| differences.push(Difference { path: path.clone(), what });
    let found = read_content(file, buffer).at("read", path.to_string())?;
    if found.size != expected.size {
        note(format!("gave {} bytes when read instead of {}", found.size, expected.size));
    } else if found.digest != expected.digest {
        note(format!("has content {} instead of {}", found.digest.short(), expected.digest.short()));
    }
    // Files below a block are never told to have holes.
    let holes_wanted = expected.sparse && found.zero_blocks && expected.size >= BLOCK_BYTES as u64;
    match (holes_wanted, expected.has_holes) {
        (true, false) => note("has no hole".into()),
        (false, true) => note("has a hole".into()),
        (true, true) | (false, false) => {}
    }
    Ok((expected.size, differences))
}

struct Content {
    size: u64,
    digest: Digest,
    /// Whether some aligned block is all zeros, the last and shorter one included.
    zero_blocks: bool,
}

fn read_content(mut file: File, buffer: &mut [u8]) -> std::io::Result<Content> {
    let mut hasher = Sha256::new();
    let (mut size, mut zero_blocks) = (0, false);
    loop {
        let mut filled = 0;
        while filled < buffer.len() {
            match file.read(&mut buffer[filled..])? {
                0 => break,
                n => filled += n,
            }
        }
        let bytes = &buffer[..filled];
        hasher.update(bytes);
        size += filled as u64;
        zero_blocks |= bytes.chunks(BLOCK_BYTES).any(|block| block.iter().all(|byte| *byte == 0));
        if filled < buffer.len() {
            return Ok(Content { size, digest: Digest(hasher.finalize().into()), zero_blocks });
        }
    }
}
