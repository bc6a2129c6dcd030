//! What an initrd has in it: whether it can activate a thin volume at all.
//!
//! Separate because an initrd is a format of its own: cpio archives ("newc"), one behind the other, the last of them
//! compressed (Linux, `Documentation/driver-api/early-userspace/buffer-format.rst`). Names only are looked at. What is not
//! understood, or compressed in a way that we do not read, is no reason to refuse anything.

use std::io::{self, BufRead, Read};

use thinroot_core::image::Kernel;
use thinroot_core::path::TreePath;

use super::Image;
use super::stream::{Compression, buffered};
use crate::error::{Error, Result};

/// A header of the "newc" format: a magic and thirteen numbers of eight hexadecimal digits.
const HEADER_BYTES: usize = 110;
const SIZE_AT: usize = 54;
const NAME_SIZE_AT: usize = 94;
/// Longest name that is believed; the kernel takes PATH_MAX.
const MAX_NAME_BYTES: usize = 4096;

/// Refuses an image whose newest kernel has no initrd, or one that cannot activate a thin volume. The image's contents are
/// read again as far as the initrd.
pub(crate) fn require_thin_root(image: &mut Image) -> Result<()> {
    let attempted = format!("use image {}", image.info.id);
    let Some(kernel) = image.info.kernels.first().cloned() else { return Ok(()) };
    let version = &kernel.version;
    let Some(initrd) = &kernel.initrd else {
        let why = "has no initrd, and a root on a thin volume cannot be mounted without one";
        return Err(Error::refused(attempted, format!("its kernel {version} {why}"))
            .mend(format!("build the image with /boot/initrd.img-{version} that can activate LVM thin volumes")));
    };
    let mut found = None;
    image.source.contents(&[initrd.clone()].into(), &mut |_, content| {
        found = look(&mut *content);
        // Whoever hands it on compares the whole of it.
        io::copy(content, &mut io::sink()).map(drop).map_err(|error| Error::failed(attempted.clone(), error))
    })?;
    let Some(found) = found else { return Ok(()) };
    let mut lacks = Vec::new();
    if !found.lvm {
        lacks.push("LVM's program");
    }
    if !found.thin_module && !has_built_in(image, &kernel)? {
        lacks.push("the kernel's module dm-thin-pool");
    }
    if lacks.is_empty() {
        return Ok(());
    }
    let why =
        format!("its initrd {initrd} lacks {}: a root on a thin volume could not be mounted", lacks.join(" and "));
    Err(Error::refused(attempted, why)
        .mend("install lvm2 and thin-provisioning-tools in the image, and make its initrd again"))
}

/// Whether the kernel itself can what the module does.
fn has_built_in(image: &mut Image, kernel: &Kernel) -> Result<bool> {
    let mut built_in = false;
    for modules in ["usr/lib/modules", "lib/modules"] {
        let path = format!("{modules}/{}/modules.builtin", kernel.version);
        let Ok(path) = TreePath::parse(path.as_bytes()) else { continue };
        if image.manifest.get(&path).is_none_or(|entry| entry.kind.digest().is_none()) {
            continue;
        }
        image.source.contents(&[path].into(), &mut |path, content| {
            let mut text = Vec::new();
            content
                .read_to_end(&mut text)
                .map_err(|error| Error::failed(format!("read {path} of the image"), error))?;
            built_in |= text.windows(b"/dm-thin-pool.ko".len()).any(|word| word == b"/dm-thin-pool.ko");
            Ok(())
        })?;
    }
    Ok(built_in)
}

/// What is in an initrd, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct InitrdContents {
    /// LVM's program.
    lvm: bool,
    /// The kernel's module for thin volumes.
    thin_module: bool,
}

/// Looks into an initrd; none where it cannot be read to its end.
fn look(initrd: impl Read) -> Option<InitrdContents> {
    let mut found = InitrdContents::default();
    archives(&mut buffered(initrd), &mut found, Depth::Outer).ok()?.then_some(found)
}

/// Whether compressed archives may follow: in one they may not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Depth {
    Outer,
    Inner,
}

/// All archives of a stream; false where something else is in it.
fn archives(input: &mut dyn BufRead, found: &mut InitrdContents, depth: Depth) -> io::Result<bool> {
    let mut any = false;
    loop {
        let zeros = input.fill_buf()?.iter().take_while(|byte| **byte == 0).count();
        if zeros > 0 {
            input.consume(zeros);
            continue;
        }
        let head = input.fill_buf()?;
        if head.is_empty() {
            return Ok(any);
        }
        if head.starts_with(b"07070") {
            archive(input, found)?;
            any = true;
            continue;
        }
        return match (Compression::of(head), depth) {
            (Ok(Compression::None) | Err(_), _) | (_, Depth::Inner) => Ok(false),
            (Ok(compression), Depth::Outer) => archives(&mut buffered(compression.undo(input)?), found, Depth::Inner),
        };
    }
}

/// One archive, to its trailer.
fn archive(input: &mut dyn BufRead, found: &mut InitrdContents) -> io::Result<()> {
    loop {
        let mut header = [0; HEADER_BYTES];
        input.read_exact(&mut header)?;
        let number = |at: usize| {
            let digits = std::str::from_utf8(&header[at..at + 8]).ok();
            digits.and_then(|digits| u64::from_str_radix(digits, 16).ok()).ok_or(io::ErrorKind::InvalidData)
        };
        let (size, name_size) = (number(SIZE_AT)?, number(NAME_SIZE_AT)? as usize);
        if !header.starts_with(b"07070") || name_size > MAX_NAME_BYTES {
            return Err(io::ErrorKind::InvalidData.into());
        }
        // Header and name together are padded to whole words, and so is the content.
        let mut name = vec![0; (HEADER_BYTES + name_size).next_multiple_of(4) - HEADER_BYTES];
        input.read_exact(&mut name)?;
        name.truncate(name_size.saturating_sub(1));
        if name == b"TRAILER!!!" {
            return Ok(());
        }
        found.lvm |= name == b"lvm" || name.ends_with(b"bin/lvm");
        let file = name.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        found.thin_module |= file.starts_with(b"dm-thin-pool.ko") || file.starts_with(b"dm_thin_pool.ko");
        let padded = size.next_multiple_of(4);
        if io::copy(&mut input.take(padded), &mut io::sink())? < padded {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn cpio(names: &[&str]) -> Vec<u8> {
        let mut out = Vec::new();
        for name in names.iter().chain(&["TRAILER!!!"]) {
            let content = if *name == "TRAILER!!!" { &b""[..] } else { b"content" };
            let zeros = "00000000".repeat(4);
            let header = format!(
                "070701{}{zeros}00000000{:08x}{}{:08x}00000000",
                "00000000",
                content.len(),
                "00000000".repeat(4),
                name.len() + 1
            );
            assert_eq!(header.len(), HEADER_BYTES);
            out.extend(header.bytes().chain(name.bytes()).chain([0]));
            out.resize(out.len().next_multiple_of(4), 0);
            out.extend(content);
            out.resize(out.len().next_multiple_of(4), 0);
        }
        out.resize(out.len().next_multiple_of(512), 0);
        out
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        out.write_all(bytes).unwrap();
        out.finish().unwrap()
    }

    #[test]
    fn microcode_and_compressed_archives_are_looked_through() {
        let early = cpio(&["kernel/x86/microcode/AuthenticAMD.bin"]);
        let main = cpio(&["init", "usr/sbin/lvm", "usr/lib/modules/6.1/kernel/drivers/md/dm-thin-pool.ko.xz"]);
        let both = Some(InitrdContents { lvm: true, thin_module: true });
        assert_eq!(look(&main[..]), both);
        assert_eq!(look(&[&early[..], &gzip(&main)].concat()[..]), both);
        assert_eq!(look(&[&early[..], &zstd::encode_all(&main[..], 1).unwrap()].concat()[..]), both);
        let without = cpio(&["init", "usr/sbin/lvmconfig", "lib/dm-thin-pool.conf"]);
        assert_eq!(look(&gzip(&without)[..]), Some(InitrdContents::default()));
    }

    #[test]
    fn what_is_not_understood_says_nothing() {
        let main = cpio(&["init", "sbin/lvm"]);
        assert_eq!(look(&b"initrd"[..]), None);
        assert_eq!(look(&b""[..]), None);
        assert_eq!(look(&b"\x04\x22\x4d\x18lz4"[..]), None);
        assert_eq!(look(&[&main[..], b"\x04\x22\x4d\x18lz4"].concat()[..]), None);
        let compressed = gzip(&main);
        for cut in [50, 109, 130, main.len() / 2] {
            assert_eq!(look(&main[..cut]), None, "{cut}");
        }
        assert_eq!(look(&compressed[..compressed.len() / 2]), None);
        let mut long = main.clone();
        long[NAME_SIZE_AT..NAME_SIZE_AT + 8].copy_from_slice(b"ffffffff");
        assert_eq!(look(&long[..]), None);
    }
}
