//! GRUB's files: written here, their text made in `thinroot_core::boot::loader::grub`.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

use thinroot_core::boot::EntryFile;
use thinroot_core::boot::loader::LoaderState;
use thinroot_core::boot::loader::grub::{self, Menu, setup};

use super::super::{BootDir, TEXT_MODE};
use super::{Wish, read_if_there, settle};
use crate::durable;
use crate::error::{Error, IoContext, Result};
use crate::fault;
use crate::store::Ensured;

/// Where GRUB may have its files in a boot directory: Debian's and upstream's name, and that of Fedora and SUSE.
pub(in crate::boot) const GRUB_DIRS: [&str; 2] = ["grub", "grub2"];
const CONFIGURATION: &str = "thinroot.cfg";
/// What GRUB's own configuration reads at its end.
const CUSTOM: &str = "custom.cfg";
const ENVIRONMENT: &str = "thinroot.env";

/// Our configuration is there only where it was installed.
pub(super) fn detect(root: &Path) -> Option<&'static str> {
    GRUB_DIRS.into_iter().find(|dir| root.join(dir).join(CONFIGURATION).is_file())
}

pub(super) fn take_over(boot: &BootDir, kernel_arguments: &str) -> Result<()> {
    let name = GRUB_DIRS.into_iter().find(|dir| boot.path().join(dir).is_dir()).unwrap_or(GRUB_DIRS[0]);
    let dir = boot.path().join(name);
    boot.require_room_for_text("write the configuration of GRUB")?;
    durable::create_dir_all(&dir)?;
    let put = |name: &str, text: &str| match holds(&dir.join(name), text) {
        true => Ok(()),
        false => durable::write(&dir.join(name), text.as_bytes(), TEXT_MODE),
    };
    if !dir.join(CONFIGURATION).exists() {
        let empty = grub::configuration(Menu::Ours, &[], None);
        put(CONFIGURATION, &empty.map_err(|error| Error::failed("configure GRUB", error))?)?;
    }
    let custom = read_if_there(&dir.join(CUSTOM))?;
    put(CUSTOM, &setup::with_hook(&custom.unwrap_or_default()))?;
    if read_if_there(&dir.join("grub.cfg"))?.is_none() {
        put("grub.cfg", &setup::main_configuration(kernel_arguments))?;
    }
    Ok(())
}

/// The hook goes first: without it GRUB reads nothing of ours.
pub(super) fn release(boot: &BootDir, custom_before: Option<&str>) -> Result<()> {
    for name in GRUB_DIRS {
        let dir = boot.path().join(name);
        let path = dir.join(CUSTOM);
        if let Some(custom) = read_if_there(&path)?
            && custom.contains(CONFIGURATION)
        {
            let rest = setup::without_hook(&custom);
            match (custom_before, rest.trim().is_empty()) {
                (None, true) => drop(durable::remove(&path)?),
                // To the byte, where only our lines came.
                (Some(before), _) if setup::with_hook(before) == custom => {
                    durable::write(&path, before.as_bytes(), TEXT_MODE)?;
                }
                (Some(_) | None, _) => durable::write(&path, rest.as_bytes(), TEXT_MODE)?,
            }
        }
        for file in [ENVIRONMENT, CONFIGURATION] {
            durable::remove(&dir.join(file))?;
        }
    }
    Ok(())
}

pub(super) fn state(dir: &Path) -> Result<LoaderState> {
    let path = dir.join(ENVIRONMENT);
    let bytes = match fs::read(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(Error::damaged(format!("read {}", path.display()), "it is not there"));
        }
        other => other.at("read", &path)?,
    };
    grub::read_environment(&bytes).map_err(|error| Error::damaged(format!("read {}", path.display()), error))
}

/// The configuration first, then the choice: what is chosen must be in the menu that GRUB sees.
pub(super) fn follow(boot: &BootDir, dir: &Path, wish: &Wish<'_>) -> Result<Ensured> {
    let attempted = format!("tell GRUB what boots, in {}", dir.display());
    let bad = |error: grub::GrubError| Error::refused(attempted.clone(), error);
    for file in wish.default().into_iter().chain(wish.armed().map(|(file, _)| file)) {
        grub::inexpressible(file).map_or(Ok(()), Err).map_err(bad)?;
    }
    let default = wish.default().map(|file| &file.name);
    // An entry that somebody wrote by hand must not keep all others from the menu; `findings` tells of it.
    let entries: Vec<_> = wish.entries.iter().filter(|file| grub::inexpressible(file).is_none()).cloned().collect();
    let configuration = grub::configuration(menu(dir), &entries, default).map_err(bad)?;
    let environment = grub::environment(default, wish.armed().map(|(file, tries)| (&file.name, tries))).map_err(bad)?;
    let path = dir.join(CONFIGURATION);
    let mut done = Ensured::Already;
    if !holds(&path, &configuration) {
        boot.require_room_for_text(&attempted)?;
        durable::write(&path, configuration.as_bytes(), TEXT_MODE)?;
        done = Ensured::Done;
    }
    let path = dir.join(ENVIRONMENT);
    if !holds(&path, &environment) {
        settle::settle(boot.path())?;
        put_environment(&path, environment.as_bytes())?;
        done = Ensured::Done;
    }
    if done == Ensured::Done {
        settle::settle(boot.path())?;
    }
    Ok(done)
}

/// In place, where one is there: its text lies within the first sector, which a disk writes whole or not at all, and no
/// directory and no inode changes, so that GRUB sees it without anybody's journal.
fn put_environment(path: &Path, block: &[u8]) -> Result<()> {
    let there = fs::symlink_metadata(path).is_ok_and(|meta| meta.is_file() && meta.len() == block.len() as u64);
    if !there {
        return durable::write(path, block, TEXT_MODE);
    }
    fault::point("loader: before environment")?;
    let file = OpenOptions::new().write(true).open(path).at("open", path)?;
    file.write_all_at(block, 0).at("write", path)?;
    file.sync_all().at("fsync", path)?;
    fault::point("loader: environment written")
}

fn holds(path: &Path, text: &str) -> bool {
    fs::read(path).is_ok_and(|there| there == text.as_bytes())
}

/// Whether GRUB's own configuration lists the entry files by itself.
fn menu(dir: &Path) -> Menu {
    let text = fs::read_to_string(dir.join("grub.cfg")).unwrap_or_default();
    let lists = text.lines().any(|line| line.split_whitespace().next() == Some("blscfg"));
    if lists { Menu::FromEntries } else { Menu::Ours }
}

pub(super) fn findings(dir: &Path, entries: &[EntryFile]) -> Vec<String> {
    let mut findings: Vec<String> = entries
        .iter()
        .filter_map(|file| {
            let why = grub::inexpressible(file)?;
            Some(format!("boot entry {} is not in GRUB's menu: {why}", file.name.file_name()))
        })
        .collect();
    let text = |name: &str| fs::read_to_string(dir.join(name)).unwrap_or_default();
    let main = text("grub.cfg");
    let by_custom = main.contains(CUSTOM) && text(CUSTOM).contains(CONFIGURATION);
    if !main.contains(CONFIGURATION) && !by_custom {
        findings.push(format!(
            "GRUB does not read our choice: neither grub.cfg nor custom.cfg in {} names {CONFIGURATION}",
            dir.display()
        ));
    }
    findings
}
