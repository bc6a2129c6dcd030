//! Which format a file is of, by its place and name.
//!
//! Separate because it is a list of customs. Must stay true: being wrong costs nothing, since a text of another format
//! is refused when it is read.

use super::Format;
use crate::path::TreePath;

const UNITS: [&[u8]; 15] = [
    b"service",
    b"socket",
    b"device",
    b"mount",
    b"automount",
    b"swap",
    b"target",
    b"path",
    b"timer",
    b"slice",
    b"scope",
    b"network",
    b"netdev",
    b"link",
    b"nspawn",
];

/// The format of a path, where one is known.
pub fn of_path(path: &TreePath) -> Option<Format> {
    match path.as_bytes() {
        b"etc/fstab" => return Some(Format::Mounts),
        b"etc/crypttab" => return Some(Format::Crypt),
        b"etc/sysctl.conf" | b"etc/environment" | b"etc/locale.conf" | b"etc/vconsole.conf" => {
            return Some(Format::Assignments);
        }
        _ => {}
    }
    let within = |dir: &[u8]| path.as_bytes().strip_prefix(dir).is_some_and(|rest| rest.starts_with(b"/"));
    let ending = ending(path.file_name());
    match ending {
        Some(b"json") => Some(Format::Json),
        Some(b"toml") => Some(Format::Toml),
        Some(b"yaml" | b"yml") => Some(Format::Yaml),
        Some(b"ini" | b"repo" | b"nmconnection" | b"desktop") => Some(Format::Ini),
        Some(unit) if UNITS.contains(&unit) => Some(Format::Ini),
        Some(b"conf") if within(b"etc/systemd") => Some(Format::Ini),
        Some(b"conf") if within(b"etc/sysctl.d") || within(b"etc/environment.d") => Some(Format::Assignments),
        // Programs lie there, not settings.
        _ if within(b"etc/NetworkManager/dispatcher.d") => None,
        _ if within(b"etc/NetworkManager") => Some(Format::Ini),
        _ if within(b"etc/default") || within(b"etc/sysconfig") => Some(Format::Assignments),
        _ => None,
    }
}

/// What follows the last dot of a name that does not begin with it.
fn ending(name: &[u8]) -> Option<&[u8]> {
    let at = name.iter().rposition(|byte| *byte == b'.').filter(|at| *at > 0)?;
    Some(&name[at + 1..])
}
