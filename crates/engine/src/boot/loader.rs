//! The boot loader below the boot directory: it is told what the selection says, and asked what it will do.
//!
//! Separate from the selection, which is ours and the same for every loader. Which loader there is, is told by files that
//! only [`BootDir::take_over`] puts there; a boot directory without them (a directory store's) has none, and whoever starts
//! the machine reads the selection.
//!
//! Must stay true:
//! - the selection is written first and the loader follows; where a cut came between, the next change lets it follow;
//! - what the loader can see is on the disk before it is told to boot it: loaders do not replay journals ([`settle`]);
//! - one write tells it: one sector of GRUB's environment block, one file of systemd-boot;
//! - it is read back, and a loader that would boot something else is an error.

mod grub;
mod settle;
mod systemd_boot;

use std::path::Path;

use serde::Serialize;
use thinroot_core::adopt::Before;
use thinroot_core::boot::loader::LoaderState;
use thinroot_core::boot::{Entry, EntryFile, Selection};
use thinroot_core::name::LayerName;

use super::BootDir;
use super::entries::{Listed, ListedState};
use crate::error::{Error, IoContext, Result};
use crate::store::Ensured;

pub(super) use grub::GRUB_DIRS;

/// Which loader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LoaderKind {
    /// GRUB, with menu entries made by us or by itself from the entry files.
    Grub,
    /// systemd-boot.
    SystemdBoot,
}

impl LoaderKind {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            LoaderKind::Grub => "GRUB",
            LoaderKind::SystemdBoot => "systemd-boot",
        }
    }
}

/// The loader of a boot directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loader {
    /// Its directory below the boot directory.
    Grub(&'static str),
    SystemdBoot,
}

/// What is told to a loader.
#[derive(Debug)]
struct Wish<'a> {
    /// All entries of ours that can boot.
    entries: Vec<EntryFile>,
    selection: &'a Selection,
}

impl Wish<'_> {
    fn entry_of(&self, layer: &LayerName) -> Option<&EntryFile> {
        EntryFile::of_layer(&self.entries, layer)
    }

    fn default(&self) -> Option<&EntryFile> {
        self.selection.default_layer().and_then(|layer| self.entry_of(layer))
    }

    fn armed(&self) -> Option<(&EntryFile, u8)> {
        self.selection.armed().and_then(|armed| Some((self.entry_of(&armed.layer)?, armed.tries_left)))
    }
}

impl Loader {
    pub(super) fn detect(root: &Path) -> Option<Loader> {
        grub::detect(root).map(Loader::Grub).or_else(|| systemd_boot::detect(root).then_some(Loader::SystemdBoot))
    }

    pub(super) fn kind(self) -> LoaderKind {
        match self {
            Loader::Grub(_) => LoaderKind::Grub,
            Loader::SystemdBoot => LoaderKind::SystemdBoot,
        }
    }
}

impl BootDir {
    /// Makes a loader follow this boot directory. Until it has followed once, what it reads of ours chooses nothing. Done
    /// again it mends what is missing. `kernel_arguments` tell on which console it may talk, where it has no configuration yet.
    pub fn take_over(&self, kind: LoaderKind, kernel_arguments: &str) -> Result<()> {
        match kind {
            LoaderKind::Grub => grub::take_over(self, kernel_arguments)?,
            LoaderKind::SystemdBoot => systemd_boot::take_over(self)?,
        }
        self.follow().map(drop)
    }

    /// The inverse of [`BootDir::take_over`]: the loader boots what it did before, by one write, and then what it read of
    /// ours goes, with the selection. Lines of others that came since stay.
    pub fn release(&self, kind: LoaderKind, before: &Before) -> Result<()> {
        match kind {
            LoaderKind::Grub => grub::release(self, before.custom_cfg.as_deref())?,
            LoaderKind::SystemdBoot => systemd_boot::release(self, before.loader_conf.as_deref())?,
        }
        self.forget_selection()?;
        // Where a loader looks without replaying a journal, the power may go now.
        settle::settle(&self.root)
    }

    /// What [`BootDir::release`] cannot tell later.
    pub fn before(&self) -> Result<Before> {
        let grub = GRUB_DIRS.into_iter().find(|dir| self.root.join(dir).is_dir());
        Ok(Before {
            custom_cfg: grub.map(|dir| read_if_there(&self.root.join(dir).join("custom.cfg"))).transpose()?.flatten(),
            loader_conf: read_if_there(&self.root.join(systemd_boot::LOADER_CONF))?,
        })
    }

    fn served(&self) -> Option<Loader> {
        Loader::detect(&self.root)
    }

    /// Which loader this boot directory serves; none where whoever starts the machine reads the selection.
    pub fn loader(&self) -> Option<LoaderKind> {
        self.served().map(Loader::kind)
    }

    /// What the loader itself says it will do at the next start; none where there is no loader.
    pub fn loader_state(&self) -> Result<Option<LoaderState>> {
        match self.served() {
            None => Ok(None),
            Some(Loader::Grub(dir)) => grub::state(&self.root.join(dir)).map(Some),
            Some(Loader::SystemdBoot) => Ok(Some(systemd_boot::state(&self.list_entries()?))),
        }
    }

    /// Lets the loader follow the selection, where it does not yet. A selection that cannot be read is followed by
    /// nothing: what the loader has is better than a guess.
    pub fn follow(&self) -> Result<Ensured> {
        match self.read_selection() {
            Ok(selection) => self.follow_selection(&selection.unwrap_or_default()),
            Err(_) => Ok(Ensured::Already),
        }
    }

    pub(super) fn follow_selection(&self, selection: &Selection) -> Result<Ensured> {
        let Some(loader) = self.served() else { return Ok(Ensured::Already) };
        let listed = self.list_entries()?;
        let bootable = |file: &&EntryFile| self.missing_files(&file.entry).is_empty();
        let entries = listed.iter().filter_map(Listed::ours).filter(bootable).cloned().collect();
        let wish = Wish { entries, selection };
        let done = match loader {
            Loader::Grub(dir) => grub::follow(self, &self.root.join(dir), &wish)?,
            Loader::SystemdBoot => systemd_boot::follow(self, &listed, &wish)?,
        };
        if done == Ensured::Done {
            let (says, wanted) = (self.loader_state()?.unwrap_or_default(), LoaderState::from(selection));
            if says.next() != wanted.next() {
                return Err(Error::damaged(
                    format!("tell {} what boots next", loader.kind().as_str()),
                    format!("reading it back, it boots {} and not {}", shown(&says), shown(&wanted)),
                )
                .mend("thinroot check"));
            }
        }
        Ok(done)
    }

    /// What a person should see of the loader: that it would boot something else, or does not come to our choice at all.
    pub(super) fn loader_findings(&self, selection: Option<&Selection>, entries: &[EntryFile]) -> Vec<String> {
        let Some(loader) = self.served() else { return Vec::new() };
        let name = loader.kind().as_str();
        let mut findings = match loader {
            Loader::Grub(dir) => grub::findings(&self.root.join(dir), entries),
            Loader::SystemdBoot => systemd_boot::findings(&self.root),
        };
        match self.loader_state() {
            Err(error) => findings.push(format!("{name} boots the default only: {}", error.why)),
            Ok(says) => {
                let (says, wanted) = (says.unwrap_or_default(), selection.map(LoaderState::from).unwrap_or_default());
                if says.next() != wanted.next() {
                    findings.push(format!("{name} would boot {}, the selection says {}", shown(&says), shown(&wanted)));
                }
            }
        }
        findings
    }
}

/// What a person wrote is kept, so it must be read whole or nothing is done.
fn read_if_there(path: &Path) -> Result<Option<String>> {
    match std::fs::read_to_string(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some).at("read", path),
    }
}

/// What boots next, in words.
fn shown(state: &LoaderState) -> String {
    state.next().map_or("nothing of ours".into(), LayerName::to_string)
}

/// The files of roles among the entries.
fn roles(listed: &[Listed]) -> impl Iterator<Item = (thinroot_core::boot::loader::systemd_boot::RoleFile, &Entry)> {
    listed.iter().filter_map(|listed| match &listed.state {
        ListedState::Role(role, entry) => Some((*role, entry)),
        ListedState::Ours(_) | ListedState::Foreign { .. } | ListedState::Unreadable(_) => None,
    })
}
