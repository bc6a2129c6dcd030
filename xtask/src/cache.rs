//! What is kept between runs, outside the repository: image archives, disks, kernels.
//!
//! Each kept thing is named for the hash of its recipe, so that a changed recipe never meets an old result. What is
//! being made lies in a job directory and is renamed into place when it is complete: a reader never sees half of one.

use std::path::{Path, PathBuf};

use crate::job::JobDir;
use crate::{Context, Result};

/// Names another place for the cache.
const OVERRIDE: &str = "THINROOT_CACHE";

/// The cache directory.
#[derive(Debug, Clone)]
pub struct Cache {
    root: PathBuf,
}

impl Cache {
    /// Opens the user's cache: `$THINROOT_CACHE`, else `$XDG_CACHE_HOME/thinroot`, else `~/.cache/thinroot`.
    pub fn open() -> Result<Self> {
        let root = match (std::env::var_os(OVERRIDE), std::env::var_os("XDG_CACHE_HOME"), std::env::var_os("HOME")) {
            (Some(own), _, _) if !own.is_empty() => PathBuf::from(own),
            (_, Some(xdg), _) if !xdg.is_empty() => Path::new(&xdg).join("thinroot"),
            (_, _, Some(home)) => Path::new(&home).join(".cache/thinroot"),
            _ => return Err(format!("no place for the cache: neither {OVERRIDE} nor HOME is set")),
        };
        Cache::at(root)
    }

    /// Opens a cache at a given place.
    pub fn at(root: impl Into<PathBuf>) -> Result<Self> {
        let root = root.into();
        std::fs::create_dir_all(&root).context(format!("create {}", root.display()))?;
        let root = root.canonicalize().context(format!("resolve {}", root.display()))?;
        let cache = Cache { root };
        crate::job::sweep_orphans(&cache.jobs());
        Ok(cache)
    }

    /// Where the cache lies.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A new temporary directory on the same file system as the cache; removed when dropped.
    pub fn job(&self, what: &str) -> Result<JobDir> {
        JobDir::new(&self.jobs(), what)
    }

    /// Where a thing of this name, made by this recipe, is kept.
    pub fn entry(&self, name: &str, recipe: &str) -> Entry {
        let key = format!("{:016x}", fnv1a64(recipe.as_bytes()));
        Entry { path: self.root.join(format!("{key}-{name}")) }
    }

    fn jobs(&self) -> PathBuf {
        self.root.join("jobs")
    }
}

/// One kept file or directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    path: PathBuf,
}

impl Entry {
    /// Where it is, or will be.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is there, and then it is complete.
    pub fn exists(&self) -> bool {
        self.path.exists()
    }

    /// Puts what was made in a job directory into place in one act.
    pub fn put(&self, made: &Path) -> Result<()> {
        std::fs::rename(made, &self.path).context(format!("keep {} as {}", made.display(), self.path.display()))
    }
}

/// FNV-1a, 64 bits. The key only has to tell our own few recipes apart; nobody attacks it.
fn fnv1a64(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_agrees_with_the_published_vectors() {
        assert_eq!(fnv1a64(b""), 0xcbf29ce484222325);
        assert_eq!(fnv1a64(b"foobar"), 0x85944171f73967e8);
    }

    #[test]
    fn put_makes_an_entry_whole_and_another_recipe_is_another_entry() {
        let dir = std::env::temp_dir().join(format!("xtask-cache-{}", std::process::id()));
        let cache = Cache::at(&dir).unwrap();
        let entry = cache.entry("thing", "recipe 1");
        assert!(!entry.exists());
        let job = cache.job("test").unwrap();
        let made = job.path().join("thing");
        std::fs::write(&made, "x").unwrap();
        entry.put(&made).unwrap();
        assert!(entry.exists());
        assert!(!cache.entry("thing", "recipe 2").exists());
        let at = job.path().to_path_buf();
        drop(job);
        assert!(!at.exists());
        std::fs::remove_dir_all(dir).unwrap();
    }
}
