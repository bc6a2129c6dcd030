//! Tar archives put together member by member, also such as no archiver would write.

/// An archive under construction.
#[derive(Debug, Clone, Default)]
pub struct Tar {
    raw: Vec<u8>,
}

impl Tar {
    /// Nothing yet.
    pub fn new() -> Self {
        Tar::default()
    }

    /// The files of a bootable tree, without their directories.
    pub fn bootable(version: &str) -> Self {
        super::bootable_files(version).iter().fold(Tar::new(), |tar, (path, content)| tar.file(path, content))
    }

    /// Adds a member of any type: name and link are at most 100 bytes, and written as they are.
    #[must_use]
    pub fn member(mut self, kind: u8, name: impl AsRef<[u8]>, link: &[u8], content: &[u8]) -> Self {
        self.raw.extend_from_slice(&header(kind, name.as_ref(), link, content.len() as u64));
        self.content(content)
    }

    /// Adds a content without a header, filled to whole blocks.
    #[must_use]
    pub fn content(mut self, content: &[u8]) -> Self {
        self.raw.extend_from_slice(content);
        self.raw.resize(self.raw.len().next_multiple_of(512), 0);
        self
    }

    /// Adds bytes as they are.
    #[must_use]
    pub fn bytes(mut self, bytes: &[u8]) -> Self {
        self.raw.extend_from_slice(bytes);
        self
    }

    /// Adds a file.
    #[must_use]
    pub fn file(self, name: impl AsRef<[u8]>, content: &[u8]) -> Self {
        self.member(b'0', name, b"", content)
    }

    /// Adds a directory.
    #[must_use]
    pub fn dir(self, name: impl AsRef<[u8]>) -> Self {
        self.member(b'5', name, b"", b"")
    }

    /// Adds a symbolic link.
    #[must_use]
    pub fn symlink(self, name: impl AsRef<[u8]>, target: &str) -> Self {
        self.member(b'2', name, target.as_bytes(), b"")
    }

    /// Adds a hard link.
    #[must_use]
    pub fn hardlink(self, name: impl AsRef<[u8]>, target: &str) -> Self {
        self.member(b'1', name, target.as_bytes(), b"")
    }

    /// Adds an extended header for the next member.
    #[must_use]
    pub fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let record = |(key, value): &(&str, &[u8])| {
            let rest = key.len() + value.len() + 3;
            let length =
                (1..).map(|digits| rest + digits).find(|n| n.to_string().len() + rest == *n).expect("a length");
            [format!("{length} {key}=").as_bytes(), value, b"\n"].concat()
        };
        let content: Vec<u8> = records.iter().flat_map(record).collect();
        self.member(b'x', "pax", b"", &content)
    }

    /// The archive without the mark of its end.
    pub fn unfinished(self) -> Vec<u8> {
        self.raw
    }

    /// The archive.
    pub fn finish(mut self) -> Vec<u8> {
        self.raw.resize(self.raw.len() + 1024, 0);
        self.raw
    }
}

/// A header in GNU format with mode 0644 or 0755, owner 0, time 1; a device is 1:5.
pub fn header(kind: u8, name: &[u8], link: &[u8], size: u64) -> [u8; 512] {
    let mut header = ::tar::Header::new_gnu();
    {
        let old = header.as_old_mut();
        old.name[..name.len()].copy_from_slice(name);
        old.linkname[..link.len()].copy_from_slice(link);
    }
    header.set_entry_type(::tar::EntryType::new(kind));
    header.set_size(size);
    header.set_mode(if kind == b'5' { 0o755 } else { 0o644 });
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(1);
    if matches!(kind, b'3' | b'4') {
        header.set_device_major(1).expect("a GNU header");
        header.set_device_minor(5).expect("a GNU header");
    }
    header.set_cksum();
    *header.as_bytes()
}
