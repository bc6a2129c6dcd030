//! Opening single files of a mounted tree whose symbolic links may point anywhere.

use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use thinroot_core::path::TreePath;

use crate::error::{Error, IoContext, Result};

/// Opens a regular file for reading. Symbolic links are followed as the tree itself would follow them: an absolute one
/// starts at the tree's root, and none leads out of it.
pub fn open_file(root: &Path, path: &TreePath) -> Result<File> {
    match open_file_if_there(root, path)? {
        Some(file) => Ok(file),
        None => Err(Error::failed(format!("open {path} of {}", root.display()), "there is no such file")),
    }
}

/// Like [`open_file`]; none where there is no such path.
pub fn open_file_if_there(root: &Path, path: &TreePath) -> Result<Option<File>> {
    let shown = || format!("{path} of {}", root.display());
    let dir = fs::File::open(root).at("open", root)?;
    // NONBLOCK: a fifo in place of the file must not hold us up.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let confined = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let raw = std::ffi::OsStr::from_bytes(path.as_bytes());
    let file = match openat2(&dir, raw, flags, Mode::empty(), confined) {
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => return Ok(None),
        other => File::from(other.at("open", shown())?),
    };
    if !file.metadata().at("look at", shown())?.is_file() {
        return Err(Error::failed(format!("open {}", shown()), "it is no regular file"));
    }
    Ok(Some(file))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_stay_in_the_tree() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        fs::create_dir_all(root.join("etc")).unwrap();
        fs::write(root.join("inside"), "inside").unwrap();
        fs::write(dir.path().join("outside"), "outside").unwrap();
        symlink("/inside", root.join("etc/absolute")).unwrap();
        symlink("../../outside", root.join("etc/climbing")).unwrap();
        let path = |text: &str| TreePath::parse(text.as_bytes()).unwrap();
        let mut text = String::new();
        open_file(&root, &path("etc/absolute")).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "inside");
        assert!(open_file_if_there(&root, &path("etc/climbing")).unwrap().is_none());
        assert!(open_file(&root, &path("etc")).unwrap_err().why.contains("no regular file"));
        assert!(open_file_if_there(&root, &path("nothing/here")).unwrap().is_none());
    }
}
