//! Going into a layer as its admin: mounted at a directory, or with a command running inside.

use std::fs;
use std::path::Path;

use thinroot_core::inventory::Role;
use thinroot_core::name::LayerName;

use super::{Change, Host};
use crate::cmd::Cmd;
use crate::error::{Error, IoContext, Result};
use crate::store::{Access, Mounted};

/// File systems a command inside a layer expects, mounted in our private namespace: kind, source, directory, options.
const INSIDE: [(&str, &str, &str, &str); 5] = [
    ("proc", "proc", "proc", "nosuid,nodev,noexec"),
    ("sysfs", "sysfs", "sys", "nosuid,nodev,noexec,ro"),
    ("devtmpfs", "devtmpfs", "dev", "nosuid,noexec"),
    ("tmpfs", "tmpfs", "run", "nosuid,nodev,mode=0755"),
    ("tmpfs", "tmpfs", "tmp", "nosuid,nodev,mode=1777"),
];

/// A mounted layer with proc, sys, dev, run and tmp inside.
#[derive(Debug)]
pub struct Visit {
    mounted: Mounted,
    inside: Vec<&'static str>,
}

impl Change<'_> {
    /// Mounts a layer for a command to run in it. The lock is held as long as the [`Change`] lives: a layer that is
    /// being edited is not frozen under its editor.
    pub fn visit(&self, layer: &LayerName) -> Result<Visit> {
        let host = self.host();
        host.visitable(layer)?;
        let mounted = host.store.mount(&layer.volume(), Access::WriteLayer)?;
        let mut visit = Visit { mounted, inside: Vec::new() };
        for (kind, source, dir, options) in INSIDE {
            let target = visit.mounted.path().join(dir);
            // A symbolic link here would lead the mount out of the layer.
            if fs::symlink_metadata(&target).is_ok_and(|meta| meta.is_dir()) {
                Cmd::new("mount").args(["-t", kind, "-o", options, source]).arg(&target).run()?;
                visit.inside.push(dir);
            }
        }
        Ok(visit)
    }
}

impl Visit {
    /// Runs a command with the layer as its root and this terminal as its own; its exit code.
    pub fn run<A: AsRef<std::ffi::OsStr>>(&self, command: &[A]) -> Result<i32> {
        Ok(Cmd::new("chroot").arg(self.mounted.path()).args(command).run_on_terminal()?)
    }

    /// Unmounts everything and makes the layer durable.
    pub fn finish(self) -> Result<()> {
        for dir in self.inside.iter().rev() {
            let target = self.mounted.path().join(dir);
            Cmd::new("umount").arg("-R").arg(&target).run().map_err(|error| {
                Error::from(error).mend("a program started inside may still run; end it and try again")
            })?;
        }
        self.mounted.finish()
    }
}

impl Host {
    /// Mounts a layer at a directory and leaves it mounted; `umount` ends it. Must not run in a private namespace.
    pub fn mount_at(&self, layer: &LayerName, directory: &Path, access: Access) -> Result<()> {
        self.visitable(layer)?;
        fs::read_dir(directory).at("read", directory)?;
        let mounted = self.store.mount(&layer.volume(), access)?;
        Cmd::new("mount").arg("--bind").arg(mounted.path()).arg(directory).run()?;
        mounted.finish()
    }

    fn visitable(&self, layer: &LayerName) -> Result<()> {
        let inventory = self.inventory()?;
        self.volume(&inventory, &layer.volume(), Role::Layer)?;
        if self.booted.as_ref() == Some(layer) {
            return Err(Error::refused(format!("go into {layer}"), "it is booted: you are in it"));
        }
        Ok(())
    }
}
