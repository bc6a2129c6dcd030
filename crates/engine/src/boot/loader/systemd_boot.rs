//! systemd-boot's files of roles: which come, go or change, and in which order.

use std::fs;
use std::path::Path;

use thinroot_core::boot::loader::LoaderState;
use thinroot_core::boot::loader::systemd_boot::{self, DEFAULT_FILE, RoleFile};
use thinroot_core::boot::{Entry, EntryFile};

use super::super::entries::{Listed, ListedState};
use super::super::{BootDir, ENTRIES_DIR, TEXT_MODE};
use super::{Wish, read_if_there, roles};
use crate::durable;
use crate::error::Result;
use crate::store::Ensured;

pub(super) const LOADER_CONF: &str = "loader/loader.conf";

/// The default's role stays once it is there; before the first layer only the configuration tells.
pub(super) fn detect(root: &Path) -> bool {
    root.join(ENTRIES_DIR).join(DEFAULT_FILE).is_file() || follows_roles(root)
}

fn follows_roles(root: &Path) -> bool {
    fs::read_to_string(root.join(LOADER_CONF)).is_ok_and(|text| systemd_boot::follows_roles(&text))
}

pub(super) fn take_over(boot: &BootDir) -> Result<()> {
    let path = boot.path().join(LOADER_CONF);
    let there = read_if_there(&path)?.unwrap_or_default();
    boot.require_room_for_text("write the configuration of systemd-boot")?;
    boot.ensure_directory(ENTRIES_DIR)?;
    if systemd_boot::follows_roles(&there) {
        return Ok(());
    }
    durable::write(&path, systemd_boot::with_default(&there).as_bytes(), TEXT_MODE)
}

/// The configuration goes first: what it chose by our roles is chosen no more.
pub(super) fn release(boot: &BootDir, before: Option<&str>) -> Result<()> {
    let path = boot.path().join(LOADER_CONF);
    if let Some(there) = read_if_there(&path)?
        && systemd_boot::follows_roles(&there)
    {
        match before {
            Some(before) if systemd_boot::with_default(before) == there => {
                durable::write(&path, before.as_bytes(), TEXT_MODE)?;
            }
            None if systemd_boot::with_default("") == there => drop(durable::remove(&path)?),
            Some(_) | None => durable::write(&path, systemd_boot::without_default(&there).as_bytes(), TEXT_MODE)?,
        }
    }
    for role in roles(&boot.list_entries()?).map(|(role, _)| role) {
        durable::remove(&boot.entries_path().join(role.file_name()))?;
    }
    Ok(())
}

pub(super) fn state(listed: &[Listed]) -> LoaderState {
    systemd_boot::state(roles(listed))
}

/// On FAT a rename over a file is no transaction. So a try that becomes the default first loses its counter, which
/// makes it boot for good, and only then is the default replaced; whatever a cut leaves, one of the two is whole.
pub(super) fn follow(boot: &BootDir, listed: &[Listed], wish: &Wish<'_>) -> Result<Ensured> {
    let mut change = Change { boot, done: Ensured::Already };
    // A try that a power cut left half-written is of no use; a default is written over below.
    let torn = listed.iter().filter(|listed| matches!(listed.state, ListedState::Unreadable(_)));
    let torn = torn.filter_map(|listed| RoleFile::parse(&listed.file_name)).filter(|role| *role != RoleFile::Default);
    for role in torn {
        change.remove(role)?;
    }
    let tries: Vec<(RoleFile, &Entry)> = roles(listed).filter(|(role, _)| *role != RoleFile::Default).collect();
    let wanted = wish.armed().map(|(file, left)| (RoleFile::tried(left), file));
    // What stays as it is: the same layer, as many tries, the same words.
    let stays = |role: RoleFile, entry: &Entry| {
        wanted.is_some_and(|(want, file)| left(role) == left(want) && *entry == want.content(&file.entry))
    };
    let kept = tries.iter().find(|(role, entry)| stays(*role, entry)).map(|(role, _)| *role);
    let same_layer = |entry: &Entry, file: Option<&EntryFile>| {
        file.is_some_and(|file| entry.marked_layer().as_ref() == Some(file.name.layer()))
    };
    let mut gone: Vec<RoleFile> = tries.iter().map(|(role, _)| *role).filter(|role| Some(*role) != kept).collect();
    if wanted.is_none()
        && let Some((role, _)) = tries.iter().find(|(_, entry)| same_layer(entry, wish.default()))
        && *role != RoleFile::Try(None)
    {
        change.rename(*role, RoleFile::Try(None))?;
        gone.retain(|other| other != role);
        gone.push(RoleFile::Try(None));
    }
    let blessing = gone.contains(&RoleFile::Try(None));
    if !blessing {
        // Another layer's try would boot before the default that is written now.
        let others =
            tries.iter().filter(|(role, entry)| gone.contains(role) && !same_layer(entry, wanted.map(|(_, f)| f)));
        for (role, _) in others.clone() {
            change.remove(*role)?;
        }
    }
    if let Some(default) = wish.default() {
        change.put(listed, RoleFile::Default, &default.entry)?;
    }
    if let (Some((role, file)), None) = (wanted, kept) {
        change.put(listed, role, &file.entry)?;
        gone.retain(|other| *other != role);
    }
    for role in gone {
        change.remove(role)?;
    }
    Ok(change.done)
}

fn left(role: RoleFile) -> Option<u32> {
    match role {
        RoleFile::Try(Some(counter)) => Some(counter.left),
        RoleFile::Try(None) | RoleFile::Default => None,
    }
}

struct Change<'a> {
    boot: &'a BootDir,
    done: Ensured,
}

impl Change<'_> {
    fn path(&self, role: RoleFile) -> std::path::PathBuf {
        self.boot.entries_path().join(role.file_name())
    }

    fn put(&mut self, listed: &[Listed], role: RoleFile, entry: &Entry) -> Result<()> {
        let content = role.content(entry);
        if roles(listed).any(|(there, entry)| there == role && *entry == content) {
            return Ok(());
        }
        self.boot.require_room_for_text(&format!("write {}", role.file_name()))?;
        durable::write(&self.path(role), content.to_string().as_bytes(), TEXT_MODE)?;
        self.done = Ensured::Done;
        Ok(())
    }

    fn rename(&mut self, from: RoleFile, to: RoleFile) -> Result<()> {
        durable::rename(&self.path(from), &self.path(to))?;
        self.done = Ensured::Done;
        Ok(())
    }

    fn remove(&mut self, role: RoleFile) -> Result<()> {
        if durable::remove(&self.path(role))? {
            self.done = Ensured::Done;
        }
        Ok(())
    }
}

pub(super) fn findings(root: &Path) -> Vec<String> {
    if follows_roles(root) {
        return Vec::new();
    }
    let line = systemd_boot::DEFAULT_LINE;
    vec![format!("systemd-boot does not read our choice: {LOADER_CONF} has no line '{line}', or another after it")]
}
