//! Names of logical volumes, and of the devices that device-mapper makes for them.
//!
//! Must stay true: no name reaches a command that LVM would take for an option or a path.

use crate::error::{Error, ErrorKind, Result};

/// Name of a logical volume's device: device-mapper joins with `-` and doubles each one inside a name.
pub(super) fn dm_name(vg: &str, lv: &str) -> String {
    format!("{}-{}", vg.replace('-', "--"), lv.replace('-', "--"))
}

/// Name of the device that is the pool itself.
pub(super) fn tpool(vg: &str, pool: &str) -> String {
    format!("{}-tpool", dm_name(vg, pool))
}

/// Refuses what LVM would take for an option or a path (lvm(8), "Valid names").
pub(super) fn check_lvm_name(name: &str) -> Result<()> {
    let legal = |c: char| c.is_ascii_alphanumeric() || "_.+-".contains(c);
    if name.is_empty() || name.starts_with('-') || name.starts_with('.') || !name.chars().all(legal) {
        let attempted = format!("use the LVM name {name:?}");
        return Err(Error::new(ErrorKind::Usage, attempted, "LVM allows only ASCII letters, digits and '_.+-'"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_mangled_like_device_mapper_does() {
        assert_eq!(dm_name("vg-0", "node-1-0+1"), "vg--0-node--1--0+1");
        assert_eq!(tpool("vg0", "pool"), "vg0-pool-tpool");
        for bad in ["", "-a", "../x", "a b", "a/b"] {
            assert_eq!(check_lvm_name(bad).unwrap_err().kind, ErrorKind::Usage, "{bad}");
        }
    }
}
