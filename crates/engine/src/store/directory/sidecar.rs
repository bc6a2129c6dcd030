//! The sidecar `NAME.json` beside `NAME.img`: everything the store knows about a volume.
//!
//! Its atomic rewrite is the single commit of publishing and withdrawing. A volume exists exactly if its sidecar does.

use std::path::Path;

use serde::{Deserialize, Serialize};
use thinroot_core::inventory::{FsKind, Phase, Role};
use thinroot_core::name::VolumeName;

use crate::durable;
use crate::error::{Error, IoContext, Result};

/// Version of the format. A reader refuses others: half-understood records would let it remove what it must not.
const FORMAT: u32 = 1;

/// Content of a sidecar.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sidecar {
    format: u32,
    /// What the volume is for.
    pub(super) role: Role,
    /// Whether it counts.
    pub(super) phase: Phase,
    /// What it was copied from.
    pub(super) origin: Option<VolumeName>,
    /// Short digest of the image a ready base holds.
    pub(super) image_digest: Option<String>,
    /// File system in the image file.
    pub(super) fs: FsKind,
    /// Size of the image file.
    pub(super) size_bytes: u64,
}

impl Sidecar {
    /// Of a new staging volume.
    pub(super) fn staging(role: Role, origin: Option<VolumeName>, fs: FsKind, size_bytes: u64) -> Self {
        Sidecar { format: FORMAT, role, phase: Phase::Staging, origin, image_digest: None, fs, size_bytes }
    }

    /// Reads one; none where there is no such file.
    pub(super) fn read(path: &Path) -> Result<Option<Self>> {
        match std::fs::read_to_string(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            other => parse(&other.at("read", path)?)
                .map(Some)
                .map_err(|why| Error::damaged(format!("read {}", path.display()), why)),
        }
    }

    /// Writes it, durably and in one act.
    pub(super) fn write(&self, path: &Path) -> Result<()> {
        let mut text = serde_json::to_string_pretty(self)
            .map_err(|error| Error::failed(format!("write {}", path.display()), error))?;
        text.push('\n');
        durable::write(path, text.as_bytes(), 0o644)
    }
}

fn parse(text: &str) -> Result<Sidecar, String> {
    let sidecar: Sidecar = serde_json::from_str(text).map_err(|error| error.to_string())?;
    match sidecar.format {
        FORMAT => Ok(sidecar),
        other => Err(format!("format {other} is not known; this program reads format {FORMAT}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sidecar_of_format_1_is_still_read() {
        let text = r#"{
  "format": 1,
  "role": "base",
  "phase": "ready",
  "origin": "node-1-0",
  "image_digest": "0123456789abcdef",
  "fs": "ext4",
  "size_bytes": 1073741824
}"#;
        let sidecar = Sidecar {
            format: 1,
            role: Role::Base,
            phase: Phase::Ready,
            origin: Some("node-1-0".parse().unwrap()),
            image_digest: Some("0123456789abcdef".into()),
            fs: FsKind::Ext4,
            size_bytes: 1 << 30,
        };
        assert_eq!(parse(text), Ok(sidecar.clone()));
        assert_eq!(serde_json::to_string_pretty(&sidecar).unwrap(), text);
        assert!(parse(&text.replace("\"format\": 1", "\"format\": 2")).unwrap_err().contains("format 2"));
        assert!(parse(&text.replace("node-1-0", "../etc")).is_err());
    }
}
