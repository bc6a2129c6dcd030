//! Our own records: manifests, journals, decisions, originals. One directory, on a volume every layer can see.
//!
//! ```text
//! RECORDS/
//! +-- journal/PLAN.jsonl            one a plan; see thinroot_core::journal
//! +-- bases/BASE/manifest.zst       see thinroot_core::manifest::format
//! +-- bases/BASE/inodes             inode number and ctime of each path, as sealed
//! +-- bases/BASE/chunks             SHA-256 of each 64 KiB of the sealed volume
//! +-- bases/BASE/image.json         what the image said of itself
//! +-- decisions/PLAN.json           what was carried, merged, set aside, and why
//! +-- decisions/PLAN.onto.json      what the layer it went into had changed, where that was made from a layer
//! +-- edits/PLAN.json               what a person changed after an update: both ends of each path
//! +-- ids.json                      who has and ever had which number; see thinroot_core::ids
//! +-- blobs/                        originals and losers, by their SHA-256
//! +-- missed.json                   why a staged layer did not catch up with what was changed since
//! +-- adoption.json                 how a host that was there before us was adopted
//! +-- pins                          volumes the admin pinned, one a line
//! +-- state-pins.json               paths the admin pinned, and when
//! ```
//!
//! Losing it degrades and never bricks: manifests are made again from the sealed bases, the rest is history.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};
use thinroot_core::image::ImageInfo;
use thinroot_core::journal::{Event, Journal, event_line, head_line};
use thinroot_core::manifest::{Digest, Manifest, format};
use thinroot_core::name::{ImageId, VolumeName};
use thinroot_core::plan::Plan;

mod adoption;
mod boot;
mod state;

pub use self::boot::Written;
pub use self::state::Missed;

use crate::durable;
use crate::error::{Error, IoContext, Result};
use crate::fault;

/// Ended journals that are kept for `status`; each is a few KiB, and more would only slow the start.
const JOURNALS_KEPT: usize = 50;

/// The records.
#[derive(Debug)]
pub struct Records {
    root: PathBuf,
}

/// Digest of the written form of a manifest: the image digest.
pub fn manifest_digest(manifest: &Manifest) -> Digest {
    let mut hash = Sha256::new();
    let infallible: Result<(), std::convert::Infallible> = format::write(manifest, |line| {
        hash.update(line);
        Ok(())
    });
    match infallible {
        Ok(()) => Digest(hash.finalize().into()),
    }
}

impl Records {
    /// Opens the records in a directory, making what is missing.
    pub fn open(root: &Path) -> Result<Self> {
        for dir in ["journal", "bases", "decisions", "edits", "entries", "blobs"] {
            durable::create_dir_all(&root.join(dir))?;
        }
        Ok(Records { root: root.into() })
    }

    /// Where they are.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where originals and losers are.
    pub fn blobs(&self) -> PathBuf {
        self.root.join("blobs")
    }

    /// Bytes free where the records are.
    pub fn free_bytes(&self) -> Result<u64> {
        let stat = rustix::fs::statvfs(&self.root).at("read space of", &self.root)?;
        Ok(stat.f_bavail * stat.f_frsize)
    }

    fn base_dir(&self, base: &ImageId) -> PathBuf {
        self.root.join("bases").join(base.to_string())
    }

    /// Keeps the manifest of a base.
    pub fn put_manifest(&self, base: &ImageId, manifest: &Manifest) -> Result<()> {
        let dir = self.base_dir(base);
        durable::create_dir_all(&dir)?;
        let path = dir.join("manifest.zst");
        let mut encoder = zstd::Encoder::new(Vec::new(), 3).at("compress", &path)?;
        format::write(manifest, |line| encoder.write_all(line)).at("compress", &path)?;
        let bytes = encoder.finish().at("compress", &path)?;
        durable::write(&path, &bytes, 0o600)
    }

    /// The manifest of a base; none where it is not recorded.
    pub fn manifest(&self, base: &ImageId) -> Result<Option<Manifest>> {
        let path = self.base_dir(base).join("manifest.zst");
        let file = match File::open(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            other => other.at("open", &path)?,
        };
        let damaged = |why: String| {
            Error::damaged(format!("read {}", path.display()), why)
                .mend(format!("remove the file: it is made again from the sealed base {base}"))
        };
        let mut lines = BufReader::new(zstd::Decoder::new(file).at("read", &path)?).lines();
        let header = lines.next().transpose().at("read", &path)?.unwrap_or_default();
        let mut builder = format::Builder::start(&header).map_err(|e| damaged(e.to_string()))?;
        for line in lines {
            builder.line(&line.map_err(|e| damaged(e.to_string()))?).map_err(|e| damaged(e.to_string()))?;
        }
        builder.finish().map(Some).map_err(|e| damaged(e.to_string()))
    }

    /// Keeps a part of a base's record: `inodes`, `chunks`.
    pub fn put_part(&self, base: &ImageId, part: Part, bytes: &[u8]) -> Result<()> {
        let dir = self.base_dir(base);
        durable::create_dir_all(&dir)?;
        durable::write(&dir.join(part.file_name()), bytes, 0o600)
    }

    /// A part of a base's record; none where it is not there.
    pub fn part(&self, base: &ImageId, part: Part) -> Result<Option<Vec<u8>>> {
        read_if_there(&self.base_dir(base).join(part.file_name()))
    }

    /// Keeps what an image said of itself.
    pub fn put_image(&self, base: &ImageId, info: &ImageInfo) -> Result<()> {
        let text = serde_json::to_vec_pretty(info).expect("image facts always serialise");
        self.put_part(base, Part::Image, &text)
    }

    /// What the image of a base said of itself.
    pub fn image(&self, base: &ImageId) -> Result<Option<ImageInfo>> {
        read_json(&self.base_dir(base).join(Part::Image.file_name()))
    }

    /// Bases that have a manifest.
    pub fn described(&self) -> Result<BTreeSet<ImageId>> {
        let dir = self.root.join("bases");
        let mut found = BTreeSet::new();
        for entry in fs::read_dir(&dir).at("read", &dir)? {
            let entry = entry.at("read", &dir)?;
            if entry.path().join("manifest.zst").is_file()
                && let Some(Ok(id)) = entry.file_name().to_str().map(str::parse)
            {
                found.insert(id);
            }
        }
        Ok(found)
    }

    /// Forgets a base. Blobs stay: they serve later merges.
    pub fn forget_base(&self, base: &ImageId) -> Result<()> {
        let dir = self.base_dir(base);
        // The manifest goes first: without it the rest is not looked at.
        for part in ["manifest.zst", "inodes", "chunks", "image.json"] {
            durable::remove(&dir.join(part))?;
        }
        match fs::remove_dir_all(&dir) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            other => other.at("remove", &dir),
        }
    }

    /// Volumes the admin pinned.
    pub fn pins(&self) -> Result<BTreeSet<VolumeName>> {
        let Some(bytes) = read_if_there(&self.root.join("pins"))? else { return Ok(BTreeSet::new()) };
        let text = String::from_utf8_lossy(&bytes);
        let parse = |line: &str| line.parse().map_err(|e| Error::damaged("read the pins", e));
        text.lines().map(parse).collect()
    }

    /// Sets them.
    pub fn put_pins(&self, pins: &BTreeSet<VolumeName>) -> Result<()> {
        let text: String = pins.iter().map(|pin| format!("{pin}\n")).collect();
        durable::write(&self.root.join("pins"), text.as_bytes(), 0o600)
    }

    /// Every journal, oldest first.
    pub fn journals(&self) -> Result<Vec<Journal>> {
        self.journal_paths()?.iter().filter_map(|path| read_journal(path).transpose()).collect()
    }

    /// The journal that is not closed; there is at most one, since one lock guards them.
    pub fn open_journal(&self) -> Result<Option<Journal>> {
        Ok(self.journals()?.into_iter().rev().find(|journal| journal.closed.is_none()))
    }

    fn journal_paths(&self) -> Result<Vec<PathBuf>> {
        let dir = self.root.join("journal");
        let mut paths = Vec::new();
        for entry in fs::read_dir(&dir).at("read", &dir)? {
            let path = entry.at("read", &dir)?.path();
            if path.extension().is_some_and(|ext| ext == "jsonl") {
                paths.push(path);
            }
        }
        paths.sort();
        Ok(paths)
    }

    /// When the newest plan was made: seconds since 1970.
    pub fn newest_plan_sec(&self) -> Result<Option<u64>> {
        let seconds = |path: &PathBuf| path.file_name()?.to_str()?.split('-').next()?.parse().ok();
        Ok(self.journal_paths()?.iter().filter_map(seconds).max())
    }

    /// Drops the oldest ended journals with what was decided and edited in them.
    pub fn trim_journals(&self) -> Result<()> {
        let paths = self.journal_paths()?;
        for path in &paths[..paths.len().saturating_sub(JOURNALS_KEPT)] {
            let Some(journal) = read_journal(path)?.filter(|journal| journal.closed.is_some()) else { continue };
            self.forget_decisions(&journal.plan.id)?;
            self.forget_edits(&journal.plan.id)?;
            durable::remove(path)?;
        }
        Ok(())
    }

    /// Removes temporary files that a power cut left.
    pub fn sweep(&self) -> Result<()> {
        let mut dirs = vec![self.root.clone()];
        while let Some(dir) = dirs.pop() {
            for entry in fs::read_dir(&dir).at("read", &dir)? {
                let entry = entry.at("read", &dir)?;
                if entry.file_type().at("read", entry.path())?.is_dir() {
                    dirs.push(entry.path());
                } else if entry.file_name().to_string_lossy().starts_with(durable::TEMP_PREFIX) {
                    durable::remove(&entry.path())?;
                }
            }
        }
        Ok(())
    }
}

/// A part of a base's record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Inode number and ctime of each path.
    Inodes,
    /// Digests of the volume's chunks.
    Chunks,
    /// What the image said of itself.
    Image,
}

impl Part {
    fn file_name(self) -> &'static str {
        match self {
            Part::Inodes => "inodes",
            Part::Chunks => "chunks",
            Part::Image => "image.json",
        }
    }
}

fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some).at("read", path),
    }
}

/// A record in JSON; none where it is not there.
fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let Some(json) = read_if_there(path)? else { return Ok(None) };
    let parsed = serde_json::from_slice(&json);
    parsed.map(Some).map_err(|why| Error::damaged(format!("read {}", path.display()), why))
}

/// Keeps a record in JSON.
fn write_json(path: &Path, record: &impl Serialize) -> Result<()> {
    let json = serde_json::to_vec(record).expect("a record has text for keys, so it always serialises");
    durable::write(path, &json, 0o600)
}

fn read_journal(path: &Path) -> Result<Option<Journal>> {
    let mut text = String::new();
    File::open(path).at("open", path)?.read_to_string(&mut text).at("read", path)?;
    Journal::parse(&text).map_err(|error| {
        Error::damaged(format!("read the journal {}", path.display()), error)
            .mend("move it away only if 'thinroot check' finds nothing else; keep it for a report")
    })
}

/// A journal being written: every line is on disk before the next effect.
#[derive(Debug)]
pub struct JournalFile {
    path: PathBuf,
    file: File,
    /// What it says so far.
    pub journal: Journal,
}

impl JournalFile {
    /// Begins the journal of a plan.
    pub fn create(records: &Records, plan: Plan) -> Result<Self> {
        let path = records.root.join("journal").join(format!("{}.jsonl", plan.id));
        durable::write(&path, head_line(&plan).as_bytes(), 0o600)?;
        Self::at(path, Journal::new(plan))
    }

    /// Goes on with one that was interrupted, dropping a torn last line.
    pub fn reopen(records: &Records, journal: Journal) -> Result<Self> {
        let path = records.root.join("journal").join(format!("{}.jsonl", journal.plan.id));
        let bytes = fs::read(&path).at("read", &path)?;
        let complete = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |end| end + 1);
        if complete < bytes.len() {
            let file = OpenOptions::new().write(true).open(&path).at("open", &path)?;
            file.set_len(complete as u64).at("truncate", &path)?;
            file.sync_all().at("fsync", &path)?;
        }
        Self::at(path, journal)
    }

    fn at(path: PathBuf, journal: Journal) -> Result<Self> {
        let file = OpenOptions::new().append(true).open(&path).at("open", &path)?;
        Ok(JournalFile { path, file, journal })
    }

    /// Records an event durably.
    pub fn record(&mut self, event: Event) -> Result<()> {
        if self.journal.apply(&event).is_err() {
            let why = format!("{event:?} may not follow what is there");
            return Err(Error::damaged(format!("write the journal {}", self.path.display()), why));
        }
        fault::point("journal: before line")?;
        self.file.write_all(event_line(&event).as_bytes()).at("write", &self.path)?;
        fault::point("journal: before fsync")?;
        self.file.sync_data().at("fsync", &self.path)?;
        fault::point("journal: recorded")
    }
}
