//! One change at a time: a lock that dies with its holder.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

use crate::error::{Error, ErrorKind, IoContext, Result};

/// Held as long as it lives. The kernel releases it when the process dies, however it dies.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

impl Lock {
    /// Takes the lock or says who has it; never waits.
    pub fn acquire(path: &Path) -> Result<Self> {
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).at("open lock", path)?;
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            let mut holder = String::new();
            // Only for the message; a lock without a readable holder is held all the same.
            let _ = file.read_to_string(&mut holder);
            let holder = if holder.trim().is_empty() { "another process".into() } else { holder.trim().to_string() };
            return Err(Error::new(ErrorKind::Busy, "lock the store", format!("{holder} is changing it"))
                .mend("wait until it has ended; 'thinroot status' shows how far it is"));
        }
        file.set_len(0).at("write lock", path)?;
        file.rewind().at("write lock", path)?;
        write!(file, "thinroot, process {}", std::process::id()).at("write lock", path)?;
        Ok(Lock { file })
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing alone is not enough: a child that another thread is just starting has a copy of the descriptor until
        // it executes its program, and would hold the lock for that moment. If unlocking fails, closing follows.
        let _ = flock(&self.file, FlockOperation::Unlock);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn second_holder_is_told_who_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let first = Lock::acquire(&path).unwrap();
        let error = Lock::acquire(&path).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Busy);
        assert_eq!(error.why, format!("thinroot, process {} is changing it", std::process::id()));
        drop(first);
        Lock::acquire(&path).unwrap();
    }
}
