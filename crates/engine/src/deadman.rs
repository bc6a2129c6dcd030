//! The timer that restarts a machine whose tried layer nobody declares good: started in the initrd (`packaging/initrd`),
//! stopped here.
//!
//! Separate from the health checks, which a layer must first come to: the timer is for one that hangs before.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;

use crate::error::{IoContext, Result};

/// What the kernel's software watchdog calls itself.
const IDENTITY: &str = "Software Watchdog";
/// Written last before closing, it says that stopping is meant (Linux, `watchdog-api`, "magic close").
const STOP: &[u8] = b"V";

/// Stops the timer; whether one was running. A watchdog that somebody else holds open is theirs.
pub fn stop() -> Result<bool> {
    stop_below(Path::new("/sys/class/watchdog"), Path::new("/dev"))
}

fn stop_below(class: &Path, dev: &Path) -> Result<bool> {
    let mut stopped = false;
    let dogs = match fs::read_dir(class) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        other => other.at("list", class)?,
    };
    for dog in dogs {
        let dog = dog.at("list", class)?;
        let said = |name: &str| fs::read_to_string(dog.path().join(name)).unwrap_or_default();
        // A kernel without these files says nothing; ours has no other way to know.
        if said("identity").trim() != IDENTITY || said("state").trim() == "inactive" {
            continue;
        }
        let node = dev.join(dog.file_name());
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
    }
}
