//! Opening an image: read it, then tell who it is, whether it can run here and what boots it.
//!
//! Must stay true: nothing is guessed. An image that does not say who it is, what it runs on or what boots it is
//! refused, and so is one that contradicts itself.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};
use thinroot_core::image::{Arch, ImageInfo, find_kernels, identity_from_os_release, parse_os_release};
use thinroot_core::manifest::{Digest, Kind, Manifest, format};
use thinroot_core::name::ImageId;
use thinroot_core::path::TreePath;

use super::content::{Machine, as_refusal};
use super::small::small_file;
use super::{Found, Image, ImageRef, OpenOptions, Stated, directory, filesystem, oci, tar};
use crate::error::{Error, Result};
use crate::progress::{Event, Reporter};

impl Image {
    /// Reads a whole image once, writing nothing, and tells what it is. Every failure is a refusal: nothing was touched.
    ///
    /// squashfs and raw images are mounted while the returned value lives, in a private mount namespace of the calling
    /// thread, which is entered where the program has not done so before
    /// ([`enter_private_namespace`](crate::mounts::enter_private_namespace)).
    pub fn open(reference: &ImageRef, options: &OpenOptions, reporter: &dyn Reporter) -> Result<Image> {
        let attempted = format!("read image {reference}");
        reporter.event(Event::Begin { step: 0, text: attempted.clone() });
        let found = read(reference, options, &attempted, reporter).map_err(as_refusal)?;
        let image = describe(found, reference, options, &attempted)?;
        let text = format!("{}, {} paths", image.info.id, image.info.paths);
        reporter.event(Event::End { step: 0, text });
        Ok(image)
    }
}

fn read(reference: &ImageRef, options: &OpenOptions, attempted: &str, reporter: &dyn Reporter) -> Result<Found> {
    match reference {
        ImageRef::Dir(path) => directory::read(path, attempted, reporter),
        ImageRef::Tar(path) => tar::read(path, attempted, reporter),
        ImageRef::Squashfs(path) => filesystem::read_squashfs(path, attempted, reporter),
        ImageRef::Raw(path) => filesystem::read_raw(path, attempted, reporter),
        ImageRef::Oci(path, tag) => oci::read_directory(path, tag.as_deref(), options.arch, attempted, reporter),
        ImageRef::OciArchive(path, tag) => oci::read_archive(path, tag.as_deref(), options.arch, attempted, reporter),
    }
}

fn describe(found: Found, reference: &ImageRef, options: &OpenOptions, attempted: &str) -> Result<Image> {
    let fields = os_release(&found, attempted)?;
    let id = identity(options.identity.as_ref(), &found.stated, &fields, attempted)?;
    let arch = architecture(&found, options.arch, attempted)?;
    let kernels = find_kernels(&found.manifest);
    if kernels.is_empty() {
        let why = "it has no kernel: neither /usr/lib/modules/VERSION/vmlinuz nor /boot/vmlinuz-VERSION";
        return Err(Error::refused(attempted, why).mend("build the image with a kernel package; it could not boot"));
    }
    let title = fields.get("PRETTY_NAME").or_else(|| fields.get("NAME")).cloned().unwrap_or_else(|| id.to_string());
    let info = ImageInfo {
        id,
        digest: digest(&found.manifest),
        arch,
        title,
        kernels,
        paths: found.manifest.entries().len() as u64,
        content_bytes: found.manifest.content_bytes(),
        source: reference.to_string(),
    };
    Ok(Image { info, manifest: found.manifest, source: found.source })
}

fn digest(manifest: &Manifest) -> Digest {
    let mut hasher = Sha256::new();
    let written: std::result::Result<(), std::convert::Infallible> = format::write(manifest, |line| {
        hasher.update(line);
        Ok(())
    });
    match written {
        Ok(()) => Digest(hasher.finalize().into()),
    }
}

fn os_release(found: &Found, attempted: &str) -> Result<BTreeMap<String, String>> {
    let path = |text: &str| TreePath::parse(text.as_bytes()).expect("a constant path");
    let kind = |path: &TreePath| found.manifest.get(path).map(|entry| &entry.kind);
    let paths = [path("etc/os-release"), path("usr/lib/os-release")];
    let Some(raw) = paths.iter().find_map(|path| small_file(&found.small, path, kind)) else {
        let unread = paths.iter().any(|path| matches!(kind(path), Some(Kind::File { .. })));
        let why = if unread { "its os-release is larger than 1 MiB" } else { "it has no /etc/os-release" };
        return Err(Error::refused(attempted, why).mend("give the root of an operating system"));
    };
    Ok(parse_os_release(&String::from_utf8_lossy(raw)))
}

fn identity(
    given: Option<&ImageId>,
    stated: &Stated,
    fields: &BTreeMap<String, String>,
    attempted: &str,
) -> Result<ImageId> {
    if let Some(id) = given {
        return Ok(id.clone());
    }
    if let Some(label) = &stated.id {
        return label.parse().map_err(|why| {
            Error::refused(attempted, format!("its label {}: {why}", oci::ID_LABEL)).mend("--as NAME-VERSION-RELEASE")
        });
    }
    identity_from_os_release(fields).ok_or_else(|| {
        let why = "it does not say who it is: os-release has no usable IMAGE_ID and IMAGE_VERSION";
        Error::refused(attempted, why).mend("--as NAME-VERSION-RELEASE")
    })
}

fn architecture(found: &Found, host: Arch, attempted: &str) -> Result<Arch> {
    let refuse = |why: String| Error::refused(attempted, why);
    let stated = match &found.stated.arch {
        Some(word) => {
            Some(Arch::from_word(word).ok_or_else(|| refuse(format!("it is for '{word}', which is not supported")))?)
        }
        None => None,
    };
    let programs = match found.machines.iter().max_by_key(|(_, count)| **count).map(|(machine, _)| *machine) {
        Some(Machine::Known(word)) => Arch::from_word(word),
        Some(Machine::Foreign(number)) => {
            return Err(refuse(format!("its programs are for ELF machine {number}, which is not supported")));
        }
        None => None,
    };
    let arch = match (stated, programs) {
        (Some(stated), Some(programs)) if stated != programs => {
            let why = format!("it says {}, but its programs are for {}", stated.as_str(), programs.as_str());
            return Err(refuse(why));
        }
        (Some(arch), _) | (None, Some(arch)) => arch,
        (None, None) => {
            let why = "its architecture cannot be told: no program in /usr/bin, /usr/sbin, /bin or /sbin";
            return Err(refuse(why.into()));
        }
    };
    if arch != host {
        return Err(refuse(format!("it is for {}, and this host is {}", arch.as_str(), host.as_str())));
    }
    Ok(arch)
}
