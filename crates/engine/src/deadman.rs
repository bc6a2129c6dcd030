//! The timer that restarts a machine whose tried layer nobody declares good: started in the initrd (`packaging/initrd`), or
//! here before a soft reboot, which has no initrd; stopped here.
//!
//! Separate from the health checks, which a layer must first come to: the timer is for one that hangs before.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::cmd::Cmd;
use crate::error::{IoContext, Result};

/// What the kernel's software watchdog calls itself.
const IDENTITY: &str = "Software Watchdog";
/// Written last before closing, it says that stopping is meant (Linux, `watchdog-api`, "magic close").
const STOP: &[u8] = b"V";

/// Seconds until the restart where nothing else is said, as in the initrd.
pub const LIMIT_SECONDS: u32 = 900;

/// Starts the timer; whether this kernel has one. One that ran already starts anew.
pub fn start(seconds: u32) -> Result<bool> {
    // Its time is set where it is loaded. One that runs is not unloaded, and keeps the time that it has.
    let _ = Cmd::new("modprobe").args(["-q", "-r", "softdog"]).run();
    if Cmd::new("modprobe").args(["-q", "softdog", &format!("soft_margin={seconds}")]).run().is_err() {
        return Ok(false);
    }
    start_below(Path::new("/sys/class/watchdog"), Path::new("/dev"))
}

fn start_below(class: &Path, dev: &Path) -> Result<bool> {
    let mut started = false;
    for node in software_dogs(class, dev)? {
        match OpenOptions::new().write(true).open(&node) {
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::BUSY.raw_os_error()) => {}
            // Closed without the word that stops it, it goes on whoever ends.
            other => {
                other.at("open", &node)?.write_all(b"\n").at("start", &node)?;
                started = true;
            }
        }
    }
    Ok(started)
}

/// Devices of the kernel's own timers, with what they are in.
fn software_dogs(class: &Path, dev: &Path) -> Result<Vec<PathBuf>> {
    let dogs = match fs::read_dir(class) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.at("list", class)?,
    };
    let mut found = Vec::new();
    for dog in dogs {
        let dog = dog.at("list", class)?;
        // A kernel without this file says nothing; ours has no other way to know.
        if said(&dog.path(), "identity") == IDENTITY {
            found.push(dev.join(dog.file_name()));
        }
    }
    Ok(found)
}

fn said(dog: &Path, name: &str) -> String {
    fs::read_to_string(dog.join(name)).unwrap_or_default().trim().to_string()
}

/// Stops the timer; whether one was running. A watchdog that somebody else holds open is theirs.
pub fn stop() -> Result<bool> {
    stop_below(Path::new("/sys/class/watchdog"), Path::new("/dev"))
}

fn stop_below(class: &Path, dev: &Path) -> Result<bool> {
    let mut stopped = false;
    for node in software_dogs(class, dev)? {
        let name = node.file_name().unwrap_or_default();
        if said(&class.join(name), "state") == "inactive" {
            continue;
        }
        match OpenOptions::new().write(true).open(&node) {
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::BUSY.raw_os_error()) => {}
            other => {
                other.at("open", &node)?.write_all(STOP).at("stop", &node)?;
                stopped = true;
            }
        }
    }
    Ok(stopped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_running_software_watchdog_is_stopped() {
        let dir = tempfile::tempdir().unwrap();
        let (class, dev) = (dir.path().join("class"), dir.path().join("dev"));
        fs::create_dir(&dev).unwrap();
        assert!(!stop_below(&class, &dev).unwrap());
        for (name, identity, state) in [
            ("watchdog0", "iTCO_wdt", "active"),
            ("watchdog1", IDENTITY, "inactive"),
            ("watchdog2", IDENTITY, "active"),
        ] {
            fs::create_dir_all(class.join(name)).unwrap();
            fs::write(class.join(name).join("identity"), format!("{identity}\n")).unwrap();
            fs::write(class.join(name).join("state"), format!("{state}\n")).unwrap();
            fs::write(dev.join(name), "").unwrap();
        }
        assert!(stop_below(&class, &dev).unwrap());
        let written = ["watchdog0", "watchdog1", "watchdog2"].map(|name| fs::read(dev.join(name)).unwrap());
        assert_eq!(written, [vec![], vec![], STOP.to_vec()]);
        assert!(start_below(&class, &dev).unwrap());
        let written = ["watchdog0", "watchdog1", "watchdog2"].map(|name| fs::read(dev.join(name)).unwrap());
        assert_eq!(written, [b"".to_vec(), b"\n".to_vec(), b"\n".to_vec()]);
    }
}
