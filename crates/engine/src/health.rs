//! Health checks: programs that say whether a booted layer does what its host is for.
//!
//! ```text
//! /usr/lib/thinroot/health.d/{required,wanted}/NAME    of the image
//! /etc/thinroot/health.d/{required,wanted}/NAME        of the admin; takes the place of one with its name
//! ```
//!
//! Separate because they judge a running system, where the checks of a merge judge files. Must stay true: a check that
//! hangs or leaves processes behind delays nothing beyond its limit; what is not executable is switched off.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use crate::cmd::Cmd;
use crate::error::{IoContext, Result};

/// Where they are, the later ones before the earlier ones.
const DIRECTORIES: [&str; 2] = ["usr/lib/thinroot/health.d", "etc/thinroot/health.d"];
/// How much of what one says is kept, in bytes.
const KEEP_BYTES: usize = 4096;

/// What its failure means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Need {
    /// Without it the layer is not good.
    Required,
    /// It is told.
    Wanted,
}

/// A check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HealthCheck {
    /// Its file name.
    pub name: String,
    /// What its failure means.
    pub need: Need,
    /// The program.
    pub path: PathBuf,
}

/// What one said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HealthAnswer {
    /// Which.
    pub check: HealthCheck,
    /// Why it is not good; none where it is.
    pub failed: Option<String>,
}

/// The checks below a root, the required ones first, each kind by name.
pub fn checks(root: &Path) -> Result<Vec<HealthCheck>> {
    let mut found = BTreeMap::new();
    for directory in DIRECTORIES {
        for (need, word) in [(Need::Required, "required"), (Need::Wanted, "wanted")] {
            let dir = root.join(directory).join(word);
            let entries = match fs::read_dir(&dir) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                other => other.at("list", &dir)?,
            };
            for entry in entries {
                let name = entry.at("list", &dir)?.file_name();
                let path = dir.join(&name);
                // One that points nowhere is switched off, as one that points to /dev/null.
                let runs =
                    fs::metadata(&path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0);
                found.insert((need, name.to_string_lossy().into_owned()), (path, runs));
            }
        }
    }
    let found = found.into_iter().filter(|(_, (_, runs))| *runs);
    Ok(found.map(|((need, name), (path, _))| HealthCheck { name, need, path }).collect())
}

/// Runs one. It is told the layer as `THINROOT_LAYER`.
pub fn ask(check: HealthCheck, layer: Option<&str>, limit: Duration) -> HealthAnswer {
    let cmd = Cmd::new(&check.path).env("THINROOT_LAYER", layer.unwrap_or_default()).limit(limit).with_its_children();
    let failed = match cmd.answer(KEEP_BYTES) {
        Ok(ran) if ran.good() => None,
        Ok(ran) if ran.timed_out => Some(format!("it did not end within {} seconds", limit.as_secs())),
        Ok(ran) => {
            let code = ran.code.map_or("a signal ended it".to_string(), |code| format!("exit code {code}"));
            let said = ran.said.lines().last().map(|line| format!(": {line}")).unwrap_or_default();
            Some(format!("{code}{said}"))
        }
        Err(error) => Some(error.why()),
    };
    HealthAnswer { check, failed }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(root: &Path, path: &str, text: &str, mode: u32) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn the_admins_take_the_place_of_the_images_and_can_switch_them_off() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(checks(root.path()).unwrap(), []);
        let of = ["usr/lib/thinroot/health.d", "etc/thinroot/health.d"];
        for name in ["required/20-b", "required/10-a", "wanted/30-c", "wanted/40-d"] {
            put(root.path(), &format!("{}/{name}", of[0]), "#!/bin/sh\n", 0o755);
        }
        put(root.path(), &format!("{}/required/10-a", of[1]), "#!/bin/sh\nexit 1\n", 0o755);
        put(root.path(), &format!("{}/required/20-b", of[1]), "", 0o644);
        put(root.path(), &format!("{}/wanted/20-b", of[1]), "#!/bin/sh\n", 0o700);
        std::os::unix::fs::symlink("/dev/null", root.path().join(of[1]).join("wanted/30-c")).unwrap();
        let found: Vec<_> = checks(root.path()).unwrap();
        let words: Vec<_> = found
            .iter()
            .map(|check| (check.need, check.path.strip_prefix(root.path()).unwrap().to_str().unwrap().to_owned()))
            .collect();
        let path = |of: &str, name: &str| format!("{of}/{name}");
        assert_eq!(
            words,
            [
                (Need::Required, path(of[1], "required/10-a")),
                (Need::Wanted, path(of[1], "wanted/20-b")),
                (Need::Wanted, path(of[0], "wanted/40-d")),
            ]
        );
    }

    #[test]
    fn an_answer_has_the_reason_and_what_hangs_is_ended_with_its_children() {
        let root = tempfile::tempdir().unwrap();
        let ask = |text: &str| {
            put(root.path(), "check", &format!("#!/bin/sh\n{text}\n"), 0o755);
            let check = HealthCheck { name: "check".into(), need: Need::Required, path: root.path().join("check") };
            super::ask(check, Some("node-1-0+1"), Duration::from_secs(1)).failed
        };
        assert_eq!(ask("test \"$THINROOT_LAYER\" = node-1-0+1"), None);
        assert_eq!(ask("echo first; echo no route >&2; exit 3"), Some("exit code 3: no route".into()));
        assert_eq!(ask("kill -9 $$"), Some("a signal ended it".into()));
        let pid = root.path().join("pid");
        let hang = format!("sleep 300 & echo $! > {}; wait", pid.display());
        assert_eq!(ask(&hang), Some("it did not end within 1 seconds".into()));
        // Nothing that it started is there any more, nor does what outlives it keep us waiting.
        assert_eq!(ask("sleep 300 & exit 0"), None);
        let gone = |pid: &str| {
            let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            state.is_empty() || state.contains(") Z ")
        };
        let child = fs::read_to_string(&pid).unwrap();
        let waited = (0..200).any(|_| {
            gone(child.trim()) || {
                std::thread::sleep(Duration::from_millis(10));
                false
            }
        });
        assert!(waited, "process {child} is still there");
    }
}
