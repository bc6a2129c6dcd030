//! Trees of the simulated store: copying them exactly, and turning one into bytes.

use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use sha2::{Digest as _, Sha256};
use thinroot_engine::cmd::Cmd;
use thinroot_engine::error::{IoContext, Result};

/// Bytes of a block: what a file's size is rounded up to.
const BLOCK_BYTES: u64 = 4096;

/// What identifies the content of one path, and the bytes it would occupy.
pub(super) type Weights = Vec<([u8; 32], u64)>;

/// Copies a tree with everything in it: owners, modes, times, hard links, holes, device nodes, xattrs.
pub(super) fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).at("create", to)?;
    let inside = from.join(".");
    Cmd::new("cp").args(["-a", "--reflink=auto"]).arg(inside).arg(to).run()?;
    Ok(())
}

/// Digest of [`write_stream`].
pub(super) fn digest(tree: &Path) -> Result<[u8; 32]> {
    let mut hashing = Hashing(Sha256::new());
    write_stream(tree, &mut hashing)?;
    Ok(hashing.0.finalize().into())
}

struct Hashing(Sha256);

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Every path with its metadata and content, in the order of their names: equal trees give equal bytes. Directory times
/// and link counts are left out, they say nothing about content.
pub(super) fn write_stream(tree: &Path, out: &mut dyn Write) -> Result<()> {
    walk(tree, &mut |path, meta| {
        let below = path.strip_prefix(tree).unwrap_or(path);
        let time = if meta.is_dir() { (0, 0) } else { (meta.mtime(), meta.mtime_nsec()) };
        let mut head = Vec::new();
        head.extend_from_slice(below.as_os_str().as_bytes());
        let facts =
            format!("\0{:o} {}:{} {} {}.{}\0", meta.mode(), meta.uid(), meta.gid(), meta.rdev(), time.0, time.1);
        head.extend_from_slice(facts.as_bytes());
        for (name, value) in xattrs(path)? {
            head.extend_from_slice(&name);
            head.push(b'=');
            head.extend_from_slice(&value);
            head.push(0);
        }
        let content = content(path, meta)?;
        head.extend_from_slice(&(content.len() as u64).to_le_bytes());
        out.write_all(&head).at("write the bytes of", path)?;
        out.write_all(&content).at("write the bytes of", path)
    })
}

/// Weight of every path: two equal contents count once in a pool that shares blocks.
pub(super) fn weigh(tree: &Path) -> Result<Weights> {
    let mut weights = Weights::new();
    walk(tree, &mut |path, meta| {
        let content = content(path, meta)?;
        if !content.is_empty() {
            let bytes = (content.len() as u64).next_multiple_of(BLOCK_BYTES);
            weights.push((Sha256::digest(&content).into(), bytes));
        }
        Ok(())
    })?;
    Ok(weights)
}

fn content(path: &Path, meta: &fs::Metadata) -> Result<Vec<u8>> {
    if meta.is_symlink() {
        fs::read_link(path).at("read", path).map(|target| target.into_os_string().as_bytes().to_vec())
    } else if meta.is_file() {
        fs::read(path).at("read", path)
    } else {
        Ok(Vec::new())
    }
}

fn walk(at: &Path, visit: &mut dyn FnMut(&Path, &fs::Metadata) -> Result<()>) -> Result<()> {
    let meta = fs::symlink_metadata(at).at("read", at)?;
    visit(at, &meta)?;
    if meta.is_dir() {
        let mut names = Vec::new();
        for entry in fs::read_dir(at).at("list", at)? {
            names.push(entry.at("list", at)?.file_name());
        }
        names.sort();
        for name in names {
            walk(&at.join(name), visit)?;
        }
    }
    Ok(())
}

fn xattrs(path: &Path) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
    /// Longest list and longest value the kernel hands out (XATTR_LIST_MAX, XATTR_SIZE_MAX).
    const LIMIT_BYTES: usize = 65536;
    let mut list = vec![0; LIMIT_BYTES];
    let length = match rustix::fs::llistxattr(path, &mut list[..]) {
        Ok(length) => length,
        Err(rustix::io::Errno::OPNOTSUPP) => return Ok(Vec::new()),
        Err(error) => return Err(error).at("list the attributes of", path),
    };
    let mut found = Vec::new();
    for name in list[..length].split(|b| *b == 0).filter(|name| !name.is_empty()) {
        let mut value = vec![0; LIMIT_BYTES];
        let length = rustix::fs::lgetxattr(path, name, &mut value[..]).at("read the attributes of", path)?;
        value.truncate(length);
        found.push((name.to_vec(), value));
    }
    found.sort();
    Ok(found)
}
