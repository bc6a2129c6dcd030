//! The one way files of ours are written: complete and on disk, or not there at all.
//!
//! Temporary file in the same directory, fsync, rename, fsync of both the file and the directory: on FAT the size of a file
//! stands in its directory, and the new name has none until the file is synced once more. There a rename over an existing
//! file is not atomic against a power cut either: callers that write to an ESP use new names and switch by creating one
//! file.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::error::{IoContext, Result};
use crate::fault;

/// Name prefix of temporary files; a sweep may remove whatever carries it.
pub const TEMP_PREFIX: &str = ".thinroot-tmp-";

/// The ending changes too: GRUB reads every `*.conf` among the entries, also one that begins with a dot, and would offer
/// what a power cut left half-written.
fn temp_path(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{TEMP_PREFIX}{name}~"))
}

/// Writes a file (mode 0600, or `mode`) atomically and durably.
pub fn write(path: &Path, content: &[u8], mode: u32) -> Result<()> {
    write_from(path, &mut &content[..], mode).map(|_| ())
}

/// Like [`write()`], from a reader; returns the number of bytes.
pub fn write_from(path: &Path, content: &mut dyn Read, mode: u32) -> Result<u64> {
    fault::point("file: before temporary")?;
    let temp = temp_path(path);
    let result: Result<u64> = (|| {
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&temp).at("create", &temp)?;
        let length = std::io::copy(content, &mut file).at("write", &temp)?;
        file.flush().at("write", &temp)?;
        fault::point("file: before fsync")?;
        file.sync_all().at("fsync", &temp)?;
        fault::point("file: before rename")?;
        fs::rename(&temp, path).at("rename to", path)?;
        fault::point("file: before directory fsync")?;
        file.sync_all().at("fsync", path)?;
        sync_directory(path.parent().unwrap_or(Path::new(".")))?;
        fault::point("file: written")?;
        Ok(length)
    })();
    if let Err(error) = &result
        && error.kind != crate::error::ErrorKind::PowerCut
    {
        // The temporary file is garbage now; if even this fails, the sweep gets it by its prefix.
        let _ = fs::remove_file(&temp);
    }
    result
}

/// Removes a file durably; whether it was there.
pub fn remove(path: &Path) -> Result<bool> {
    fault::point("file: before removal")?;
    match fs::remove_file(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        other => other.at("remove", path)?,
    }
    sync_directory(path.parent().unwrap_or(Path::new(".")))?;
    fault::point("file: removed")?;
    Ok(true)
}

/// Gives a file another name in its directory, durably.
pub fn rename(from: &Path, to: &Path) -> Result<()> {
    fault::point("file: before renaming")?;
    fs::rename(from, to).at("rename to", to)?;
    File::open(to).at("open", to)?.sync_all().at("fsync", to)?;
    sync_directory(to.parent().unwrap_or(Path::new(".")))?;
    fault::point("file: renamed")
}

/// Makes a directory entry change durable.
pub fn sync_directory(path: &Path) -> Result<()> {
    File::open(path).at("open", path)?.sync_all().at("fsync", path)
}

/// Creates a directory and its parents, durably.
pub fn create_dir_all(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
        create_dir_all(parent)?;
    }
    match fs::create_dir(path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        other => other.at("create", path)?,
    }
    sync_directory(path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")))
}
