//! Trees from mounted directories: the `dir:` source itself, and what squashfs and raw images are once mounted.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use thinroot_core::manifest::{Kind, Manifest};
use thinroot_core::path::TreePath;

use super::content::{ContentReader, Expected, Facts};
use super::draft::{Draft, Drafted, InodeId, Origin};
use super::small::worth_keeping;
use super::{Contents, Found, Stated, TakeContent};
use crate::error::{Error, IoContext, Result};
use crate::mounts::TempMount;
use crate::progress::{Event, Reporter};
use crate::tree::read::{OpenFile, Walked, WalkedKind, walk};

/// Threads that read and hash: with the walk, as many as keep two processors busy.
const HASH_THREADS: usize = 2;
/// Files opened ahead of them; each is a descriptor.
const QUEUE: usize = 32;
/// Paths that may wait behind one long file.
const WAITING: usize = 512;

/// Reads the tree of a directory.
pub(super) fn read(root: &Path, attempted: &str, reporter: &dyn Reporter) -> Result<Found> {
    if !root.is_dir() {
        let why = if root.exists() { "it is not a directory" } else { "it does not exist" };
        return Err(Error::refused(attempted, why));
    }
    read_mounted(root, Vec::new(), reporter)
}

/// Reads a tree below mounts of ours, which live as long as its contents are wanted.
pub(super) fn read_mounted(root: &Path, mounts: Vec<TempMount>, reporter: &dyn Reporter) -> Result<Found> {
    let Drafted { manifest, small, machines, .. } = scan(root, reporter)?;
    let source = Box::new(TreeContents::new(root, &manifest, mounts));
    Ok(Found { manifest, small, machines, source, stated: Stated::default() })
}

/// Contents of the files of a manifest, read from a mounted tree and held to their digests.
pub fn tree_contents(root: &Path, manifest: &Manifest) -> impl Contents + use<> {
    TreeContents::new(root, manifest, Vec::new())
}

/// The manifest of a mounted tree, computed from its bytes.
pub fn manifest_of_tree(root: &Path) -> Result<Manifest> {
    Ok(scan(root, &crate::progress::Silent)?.manifest)
}

fn scan(root: &Path, reporter: &dyn Reporter) -> Result<Drafted> {
    let (jobs, queue) = sync_channel(QUEUE);
    let queue = Mutex::new(queue);
    std::thread::scope(|scope| {
        for _ in 0..HASH_THREADS {
            scope.spawn(|| read_contents(&queue));
        }
        // Moved in, so that the threads end with it, also where the walk ends with an error.
        let mut line =
            Line { jobs, waiting: VecDeque::new(), linked: HashMap::new(), draft: Draft::new(reporter), reporter };
        walk(root, true, &mut |walked, open| line.join(walked, open))?;
        while line.advance()? {}
        line.draft.finish()
    })
}

/// A content to be read, and where to say what was told from it.
struct Job {
    path: TreePath,
    file: File,
    facts: SyncSender<Result<Facts>>,
}

fn read_contents(queue: &Mutex<Receiver<Job>>) {
    let mut reader = ContentReader::new();
    // The lock is released at the end of the statement, before the content is read.
    while let Some(Job { path, mut file, facts }) = { queue.lock().ok().and_then(|queue| queue.recv().ok()) } {
        // Nobody listens where the walk has failed.
        let _ = facts.send(reader.read(&path, &mut file, worth_keeping(&path)));
    }
}

/// Paths that were walked, in their order, from the first one whose content is still being read.
struct Line<'r> {
    jobs: SyncSender<Job>,
    waiting: VecDeque<(Walked, Option<Receiver<Result<Facts>>>)>,
    /// Only what has more than one name: most inodes do not.
    linked: HashMap<u64, Option<InodeId>>,
    draft: Draft<'r>,
    reporter: &'r dyn Reporter,
}

impl Line<'_> {
    fn join(&mut self, walked: &Walked, open: OpenFile<'_>) -> Result<()> {
        if walked.boundary {
            let text = format!("{}: something is mounted there; it is left out", walked.path);
            self.reporter.event(Event::Note { text });
        }
        let linked = walked.nlink > 1 && walked.kind != WalkedKind::Directory;
        let further = linked && self.linked.contains_key(&walked.ino);
        let facts = match walked.kind {
            WalkedKind::File { .. } if !further => {
                let (facts, told) = sync_channel(1);
                let job = Job { path: walked.path.clone(), file: open.open()?, facts };
                self.jobs.send(job).map_err(|_| Error::failed("read the tree", "the reading threads ended"))?;
                Some(told)
            }
            WalkedKind::File { .. } | WalkedKind::Directory | WalkedKind::Symlink { .. } | WalkedKind::Fifo => None,
            WalkedKind::Char { .. } | WalkedKind::Block { .. } | WalkedKind::Socket => None,
        };
        if linked {
            self.linked.entry(walked.ino).or_insert(None);
        }
        self.waiting.push_back((walked.clone(), facts));
        if self.waiting.len() > WAITING { self.advance().map(|_| ()) } else { Ok(()) }
    }

    /// Puts the first path that waits into the draft; whether there was one.
    fn advance(&mut self) -> Result<bool> {
        let Some((walked, facts)) = self.waiting.pop_front() else { return Ok(false) };
        if let Some(Some(inode)) = self.linked.get(&walked.ino).filter(|_| walked.kind != WalkedKind::Directory) {
            self.draft.link(walked.path, *inode)?;
            return Ok(true);
        }
        let ended = || Error::failed(format!("read {}", walked.path), "the thread that read it ended");
        let facts = facts.map(|facts| facts.recv().unwrap_or_else(|_| Err(ended()))).transpose()?;
        let (ino, inode) = (walked.ino, self.put(walked, facts)?);
        if let Some(known) = self.linked.get_mut(&ino) {
            *known = inode;
        }
        Ok(true)
    }

    fn put(&mut self, walked: Walked, facts: Option<Facts>) -> Result<Option<InodeId>> {
        let Walked { path, kind, meta, .. } = walked;
        let kind = match (kind, facts) {
            (WalkedKind::File { size, sparse }, Some(facts)) => {
                if facts.size != size {
                    return Err(Error::refused(format!("read {path}"), "it changed while it was being read"));
                }
                return self.draft.put_file(path, facts, sparse, meta, Origin::default()).map(Some);
            }
            (WalkedKind::File { .. }, None) => {
                return Err(Error::failed(format!("read {path}"), "its first name was lost"));
            }
            (WalkedKind::Socket, _) => {
                self.reporter.event(Event::Note { text: format!("{path}: a socket; it is left out") });
                return Ok(None);
            }
            (WalkedKind::Directory, _) => Kind::Directory,
            (WalkedKind::Symlink { target }, _) => Kind::Symlink { target },
            (WalkedKind::Fifo, _) => Kind::Fifo,
            (WalkedKind::Char { major, minor }, _) => Kind::Char { major, minor },
            (WalkedKind::Block { major, minor }, _) => Kind::Block { major, minor },
        };
        self.draft.put(path, kind, meta).map(Some)
    }
}

struct TreeContents {
    root: PathBuf,
    expected: Expected,
    /// Unmounted when the contents are no longer wanted, the innermost first.
    _mounts: Vec<TempMount>,
}

impl TreeContents {
    fn new(root: &Path, manifest: &Manifest, mounts: Vec<TempMount>) -> Self {
        TreeContents { root: root.to_path_buf(), expected: Expected::of(manifest), _mounts: mounts }
    }
}

impl Contents for TreeContents {
    fn contents(&mut self, wanted: &BTreeSet<TreePath>, take: &mut TakeContent<'_>) -> Result<()> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(&self.root, flags, Mode::empty()).at("open directory", &self.root)?;
        for path in wanted {
            let position = self.expected.position(path)?;
            self.expected.hand_on(position, &mut open_beneath(&root, path)?, take)?;
        }
        Ok(())
    }
}

fn open_beneath(root: &OwnedFd, path: &TreePath) -> Result<File> {
    let resolve =
        ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
    // Not blocking: a fifo that took the place of a file must not hold us up.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let fd = rustix::fs::openat2(root, OsStr::from_bytes(path.as_bytes()), flags, Mode::empty(), resolve)
        .map_err(|error| Error::damaged(format!("read {path} again"), std::io::Error::from(error)))?;
    let file = File::from(fd);
    if !file.metadata().at("look at", path.to_string())?.is_file() {
        return Err(Error::damaged(format!("read {path} again"), "it is no longer a file"));
    }
    Ok(file)
}
