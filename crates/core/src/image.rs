//! What is known of an image besides its tree: who it is, where it runs, what boots it.

pub mod compare;
pub mod lint;
pub mod packages;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::manifest::{Digest, Kind, Manifest};
use crate::name::ImageId;
use crate::path::TreePath;

/// A processor architecture, as `uname -m` spells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Arch {
    X86_64,
    Aarch64,
    Riscv64,
    Ppc64le,
    S390x,
}

impl Arch {
    /// As `uname -m` spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Arch::X86_64 => "x86_64",
            Arch::Aarch64 => "aarch64",
            Arch::Riscv64 => "riscv64",
            Arch::Ppc64le => "ppc64le",
            Arch::S390x => "s390x",
        }
    }

    /// From an ELF header's `e_machine` (gABI numbers).
    pub fn from_elf_machine(machine: u16) -> Option<Arch> {
        match machine {
            62 => Some(Arch::X86_64),
            183 => Some(Arch::Aarch64),
            243 => Some(Arch::Riscv64),
            21 => Some(Arch::Ppc64le),
            22 => Some(Arch::S390x),
            _ => None,
        }
    }

    /// From the names used by `uname -m`, Debian and OCI.
    pub fn from_word(word: &str) -> Option<Arch> {
        match word {
            "x86_64" | "amd64" => Some(Arch::X86_64),
            "aarch64" | "arm64" => Some(Arch::Aarch64),
            "riscv64" => Some(Arch::Riscv64),
            "ppc64le" | "ppc64el" => Some(Arch::Ppc64le),
            "s390x" => Some(Arch::S390x),
            _ => None,
        }
    }
}

/// A kernel that an image ships.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kernel {
    /// As `uname -r` prints it.
    pub version: String,
    /// The kernel image.
    pub image: TreePath,
    /// Its initrd, where the image ships one.
    pub initrd: Option<TreePath>,
}

/// Everything about an image that fits on a page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageInfo {
    /// Name, version and release.
    pub id: ImageId,
    /// SHA-256 of the written form of its manifest.
    pub digest: Digest,
    /// Architecture of its programs.
    pub arch: Arch,
    /// PRETTY_NAME of its os-release.
    pub title: String,
    /// Kernels, newest first; never empty.
    pub kernels: Vec<Kernel>,
    /// Number of paths.
    pub paths: u64,
    /// Bytes of all file contents, hard links counted once.
    pub content_bytes: u64,
    /// Where it was read from, as written by the user.
    pub source: String,
}

/// Reads os-release: `KEY=value` lines with shell quoting, comments and unknown lines skipped.
pub fn parse_os_release(text: &str) -> BTreeMap<String, String> {
    let unquote = |value: &str| {
        let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''));
        match quote.and_then(|q| value.strip_prefix(q)?.strip_suffix(q)) {
            Some(inner) if quote == Some('"') => {
                let mut out = String::new();
                let mut chars = inner.chars();
                while let Some(c) = chars.next() {
                    out.push(if c == '\\' { chars.next().unwrap_or('\\') } else { c });
                }
                out
            }
            Some(inner) => inner.to_string(),
            None => value.to_string(),
        }
    };
    text.lines()
        .map(str::trim)
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key.to_string(), unquote(value)))
        .collect()
}

/// The identity an image states itself: `IMAGE_ID` and `IMAGE_VERSION` of os-release (systemd's names), where the
/// version may end in `-RELEASE`; without one the release is `0`. None where it states nothing usable.
pub fn identity_from_os_release(fields: &BTreeMap<String, String>) -> Option<ImageId> {
    let name = fields.get("IMAGE_ID")?;
    let version = fields.get("IMAGE_VERSION")?;
    let (version, release) = version.rsplit_once('-').unwrap_or((version, "0"));
    ImageId::new(name, version, release).ok()
}

/// Finds kernels where distributions put them: `/usr/lib/modules/VERSION/vmlinuz` (or `/lib/modules`) and
/// `/boot/vmlinuz-VERSION`, with the initrd beside them. Newest first.
pub fn find_kernels(manifest: &Manifest) -> Vec<Kernel> {
    let path = |text: &str| TreePath::parse(text.as_bytes()).expect("a constant path");
    let is_file = |path: &TreePath| manifest.get(path).is_some_and(|e| matches!(e.kind, Kind::File { .. }));
    let existing = |candidates: Vec<Vec<u8>>| {
        candidates.iter().filter_map(|raw| TreePath::parse(raw).ok()).find(|path| is_file(path))
    };
    let mut found: BTreeMap<String, Kernel> = BTreeMap::new();
    let mut note = |version: &[u8], image: TreePath| {
        let Ok(text) = std::str::from_utf8(version) else { return };
        let under = |dir: &str, name: &str| [dir.as_bytes(), version, name.as_bytes()].concat();
        let initrd = existing(vec![
            under("boot/initrd.img-", ""),
            under("boot/initramfs-", ".img"),
            under("boot/initrd-", ""),
            under("usr/lib/modules/", "/initrd"),
            under("usr/lib/modules/", "/initramfs.img"),
            under("lib/modules/", "/initramfs.img"),
        ]);
        found.entry(text.into()).or_insert(Kernel { version: text.into(), image, initrd });
    };
    for dir in ["usr/lib/modules", "lib/modules"] {
        for entry in manifest.beneath(&path(dir)) {
            let parts: Vec<&[u8]> = entry.path.components().collect();
            if parts.last() == Some(&&b"vmlinuz"[..])
                && parts.len() == dir.split('/').count() + 2
                && is_file(&entry.path)
            {
                note(parts[parts.len() - 2], entry.path.clone());
            }
        }
    }
    for entry in manifest.beneath(&path("boot")) {
        if let Some(version) = entry.path.as_bytes().strip_prefix(b"boot/vmlinuz-")
            && !version.contains(&b'/')
            && is_file(&entry.path)
        {
            note(version, entry.path.clone());
        }
    }
    let mut kernels: Vec<Kernel> = found.into_values().collect();
    kernels.sort_by(|a, b| crate::name::compare_versions(&b.version, &a.version));
    kernels
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Accounts, Entry, Meta};

    #[test]
    fn os_release_quoting_and_identity() {
        let text = "# c\nIMAGE_ID=node\nIMAGE_VERSION=\"12.4-2\"\nPRETTY_NAME='My \"Node\"'\nX=\"a\\\"b\"\njunk\n";
        let fields = parse_os_release(text);
        assert_eq!(fields["PRETTY_NAME"], "My \"Node\"");
        assert_eq!(fields["X"], "a\"b");
        assert_eq!(identity_from_os_release(&fields).unwrap().to_string(), "node-12.4-2");
        let plain = parse_os_release("IMAGE_ID=node\nIMAGE_VERSION=7\n");
        assert_eq!(identity_from_os_release(&plain).unwrap().to_string(), "node-7-0");
        assert_eq!(identity_from_os_release(&parse_os_release("ID=debian\nVERSION_ID=12\n")), None);
    }

    #[test]
    fn kernels_are_found_with_their_initrd_newest_first() {
        let files = [
            "boot/vmlinuz-6.1.0-9",
            "boot/initrd.img-6.1.0-9",
            "boot/vmlinuz-6.1.0-50",
            "usr/lib/modules/6.1.0-50/vmlinuz",
            "usr/lib/modules/6.1.0-50/initramfs.img",
        ];
        let mut paths: std::collections::BTreeSet<TreePath> = [TreePath::root()].into();
        for file in files {
            let mut at = Some(TreePath::parse(file.as_bytes()).unwrap());
            while let Some(path) = at {
                at = path.parent();
                paths.insert(path);
            }
        }
        let entry = |path: TreePath| {
            let file = files.contains(&&path.to_string()[1..]);
            let kind =
                if file { Kind::File { size: 0, digest: Digest([0; 32]), sparse: false } } else { Kind::Directory };
            Entry { path, kind, meta: Meta::default(), hardlink: None }
        };
        let manifest = Manifest::new(Accounts::default(), paths.into_iter().map(entry).collect()).unwrap();
        let found: Vec<_> = find_kernels(&manifest)
            .into_iter()
            .map(|k| (k.version, k.image.to_string(), k.initrd.map(|i| i.to_string())))
            .collect();
        assert_eq!(
            found,
            [
                (
                    "6.1.0-50".into(),
                    "/usr/lib/modules/6.1.0-50/vmlinuz".into(),
                    Some("/usr/lib/modules/6.1.0-50/initramfs.img".to_string())
                ),
                ("6.1.0-9".into(), "/boot/vmlinuz-6.1.0-9".into(), Some("/boot/initrd.img-6.1.0-9".to_string())),
            ]
        );
    }
}
