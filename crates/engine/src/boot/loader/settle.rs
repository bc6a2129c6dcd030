//! Making a boot file system readable for those who do not replay its journal.
//!
//! fsync of a file and its directory puts both into the journal, and that is all Linux needs. A boot loader reads the file
//! system as it lies there. Freezing it empties the journal, and it is thawed at once.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::cmd::Cmd;
use crate::error::{Error, IoContext, Result};

/// File systems with a journal of their directories, by the numbers that statfs(2) gives: ext2 to 4, and XFS.
const JOURNALING: [u64; 2] = [0xEF53, 0x5846_5342];

/// Empties the journal of the file system that is mounted here. A directory of a larger file system is only synced: what a
/// loader reads is always a file system of its own.
pub(super) fn settle(root: &Path) -> Result<()> {
    let dir = File::open(root).at("open", root)?;
    rustix::fs::syncfs(&dir).at("sync", root)?;
    let number = |path: &Path| std::fs::metadata(path).map(|meta| meta.dev()).at("look at", path);
    let own_mount = number(root)? != number(&root.join(".."))?;
    let kind = rustix::fs::fstatfs(&dir).at("look at", root)?.f_type;
    if !own_mount || !u64::try_from(kind).is_ok_and(|kind| JOURNALING.contains(&kind)) {
        return Ok(());
    }
    // Both in one process of its own: where we are killed in between, it is thawed all the same.
    let cmd = Cmd::new("sh").args(["-c", "fsfreeze --freeze \"$0\" && fsfreeze --unfreeze \"$0\""]).arg(root);
    cmd.run().map(drop).map_err(|error| Error::failed(format!("empty the journal of {}", root.display()), error))
}
