//! Coming into the layer that boots next: by restarting the machine, or only its userspace.
//!
//! A soft reboot goes where `/run/nextroot` points when everything has ended. So the layer is mounted there late: after what
//! was changed at the end was taken along into it, and only if it still is what boots next. Where that fails the same root
//! starts again, and nothing is lost.

use std::fs;
use std::path::Path;

use thinroot_core::boot::EntryFile;
use thinroot_core::boot::restart::{Facts, Restart, cheapest, systemd_version};
use thinroot_core::manifest::Kind;
use thinroot_core::name::LayerName;

use super::Host;
use super::place::{kernel_command_line, layer_of};
use crate::cmd::Cmd;
use crate::deadman;
use crate::durable;
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::store::Access;

/// Where systemd looks for the next root (systemd-soft-reboot.service(8)).
const NEXT_ROOT: &str = "/run/nextroot";
/// Units of this boot only.
const UNITS: &str = "/run/systemd/system";
const UNIT: &str = "thinroot-next-root.service";

impl Host {
    /// What boots next and the cheapest safe way there; none where it runs already.
    pub fn plan_restart(&self) -> Result<Option<(LayerName, Restart)>> {
        let attempted = "restart into what boots next";
        let booted = self.booted.as_ref();
        let booted = booted.ok_or_else(|| Error::refused(attempted, "this host runs no layer of this store"))?;
        let inventory = self.inventory()?;
        inventory.no_open_plan().map_err(|refusal| self.refuse(attempted, refusal))?;
        let selection = inventory.selection;
        let next = selection.armed().map(|armed| &armed.layer).or(selection.default_layer());
        let Some(next) = next.filter(|next| *next != booted) else { return Ok(None) };
        let facts = self.facts(next)?;
        Ok(Some((next.clone(), cheapest(&facts))))
    }

    fn facts(&self, next: &LayerName) -> Result<Facts> {
        let entries = self.boot.survey()?.entries;
        let files = || entries.iter().map(|entry| &entry.file);
        let of = |layer: &LayerName| EntryFile::of_layer(files(), layer);
        let running_line = kernel_command_line()?;
        let running_version = rustix::system::uname().release().to_string_lossy().into_owned();
        // The kernel is the one of the last whole start, also after soft reboots since.
        let started = layer_of(&running_line)?;
        let is_running = |file: &&EntryFile| {
            started.as_ref() == Some(file.name.layer()) && file.name.kernel().as_str() == running_version
        };
        let started = files().find(is_running);
        let entry = of(next).ok_or_else(|| Error::damaged(format!("restart into {next}"), "it has no boot entry"))?;
        let value = |key: &str| entry.entry.value(key).unwrap_or_default().to_string();
        Ok(Facts {
            running_systemd: running_systemd(),
            next_systemd: self.systemd_of(next)?,
            running_kernel: started.and_then(|file| file.entry.value("linux")).map(Into::into),
            running_line,
            next_line: value("options"),
            next_kernel: value("linux"),
        })
    }

    /// Told by the name of the library that only systemd itself uses.
    fn systemd_of(&self, layer: &LayerName) -> Result<Option<u32>> {
        let manifest = self.manifest(layer.base())?;
        let names = manifest.entries().iter().filter(|entry| matches!(entry.kind, Kind::File { .. }));
        let names = names.filter_map(|entry| std::str::from_utf8(entry.path.file_name()).ok());
        Ok(names.filter(|name| name.starts_with("libsystemd-shared-")).find_map(systemd_version))
    }

    /// Begins the restart and returns. A soft reboot into a layer that is tried has a timer over it, as a start has.
    pub fn restart(&self, layer: &LayerName, restart: &Restart) -> Result<()> {
        let attempted = format!("restart into {layer}");
        match restart {
            Restart::Full { .. } => systemctl(&["--no-block", "reboot"], &attempted),
            Restart::Soft => {
                let program = std::env::current_exe().at("find", Path::new("/proc/self/exe"))?;
                durable::create_dir_all(Path::new(UNITS))?;
                let unit = unit(&program.display().to_string(), layer, self.boot.path());
                fs::write(Path::new(UNITS).join(UNIT), unit).at("write", Path::new(UNIT))?;
                systemctl(&["daemon-reload"], &attempted)?;
                systemctl(&["start", UNIT], &attempted)?;
                self.watch_over(layer)?;
                systemctl(&["--no-block", "soft-reboot"], &attempted)
            }
        }
    }

    fn watch_over(&self, layer: &LayerName) -> Result<()> {
        let selection = self.boot.read_selection()?.unwrap_or_default();
        if selection.armed().is_none_or(|armed| armed.layer != *layer) {
            return Ok(());
        }
        let line = self.boot.command_line(layer)?.unwrap_or_default();
        let stated = line.split_whitespace().find_map(|word| word.strip_prefix("thinroot.deadman=")?.parse().ok());
        match stated.unwrap_or(deadman::LIMIT_SECONDS) {
            0 => Ok(()),
            // A kernel without it: the layer still has its health checks.
            seconds => deadman::start(seconds).map(drop),
        }
    }

    /// Shows a layer to systemd as the next root; for the unit that a soft reboot starts at its end. Must not run in a private
    /// namespace.
    pub fn show_as_next_root(&self, layer: &LayerName) -> Result<()> {
        let attempted = format!("show {layer} as the next root");
        let selection = self.boot.read_selection()?.unwrap_or_default();
        let next = selection.armed().map(|armed| &armed.layer).or(selection.default_layer());
        if next != Some(layer) || self.records.open_journal()?.is_some() {
            // Taking along late changes was cut off, say.
            return Err(Error::new(ErrorKind::Refused, attempted, "it is not what boots next any more"));
        }
        fs::create_dir_all(NEXT_ROOT).at("create", Path::new(NEXT_ROOT))?;
        self.mount_at(layer, Path::new(NEXT_ROOT), Access::WriteLayer)
    }
}

/// It is started now and does nothing, so that it is stopped late: after everything that writes into the layer, and before
/// `/boot` goes. To be *started* at the end would be too late, since what stops comes before what starts. A mount below
/// `/run/nextroot` stays when the others go.
fn unit(program: &str, layer: &LayerName, boot: &Path) -> String {
    format!(
        "[Unit]\nDescription=Show {layer} as the next root\nDefaultDependencies=no\nAfter=local-fs.target\n\
         RequiresMountsFor={}\nBefore=thinroot-catch-up.service shutdown.target\nConflicts=shutdown.target\n\n\
         [Service]\nType=oneshot\nRemainAfterExit=yes\nExecStop={program} --quiet apply --next-root {layer}\n\
         TimeoutStopSec=60\n",
        boot.display()
    )
}

fn running_systemd() -> Option<u32> {
    if !Path::new("/run/systemd/system").is_dir() {
        return None;
    }
    systemd_version(&Cmd::new("systemctl").arg("--version").run().ok()?)
}

fn systemctl(args: &[&str], attempted: &str) -> Result<()> {
    let ran = Cmd::new("systemctl").args(args).run();
    ran.map(drop).map_err(|error| Error::failed(attempted, error.why()).mend("restart it by hand: systemctl reboot"))
}
