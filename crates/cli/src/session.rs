//! One run of the program: the options of every verb, the story, and the way to the host and to images.

use std::path::PathBuf;

use thinroot_core::image::Arch;
use thinroot_core::name::ImageId;
use thinroot_engine::error::{Error, ErrorKind, IoContext, Result};
use thinroot_engine::host::{Change, Host, Place, StoreRef};
use thinroot_engine::mounts;
use thinroot_engine::progress::{Event, Reporter};
use thinroot_engine::source::{Image, ImageRef, OpenOptions};

use crate::args::{Global, ImageArgs};
use crate::progress::Story;

/// Whether what this run mounts is seen by others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mounts {
    /// Only here; it goes away with the process.
    Private,
    /// By everybody, as `mount` does it.
    Shared,
}

/// One run of the program.
#[derive(Debug)]
pub struct Session {
    /// Options of every verb.
    pub global: Global,
    /// The story.
    pub story: Story,
}

impl Session {
    /// Where the store is.
    pub fn place(&self) -> Result<Place> {
        let named = self.global.store.clone();
        let Some(store) = named.map_or_else(StoreRef::of_booted, |store| Ok(Some(store)))? else {
            let why = "no store is named, and no layer of a thin pool is running";
            return Err(Error::new(ErrorKind::Usage, "find the store", why)
                .mend("give --store dir:PATH or --store lvm:VG/POOL, or set THINROOT_STORE"));
        };
        Ok(Place { store, boot_dir: self.global.boot_dir.clone() })
    }

    /// Opens the host.
    pub fn host(&self, mounts: Mounts) -> Result<Host> {
        let place = self.place()?;
        self.enter(&format!("open the store {}", place.store), mounts)?;
        place.open()
    }

    /// Makes sure that we are root and, where mounts are private, that nobody sees them.
    pub fn enter(&self, attempted: &str, mounts: Mounts) -> Result<()> {
        if !is_root() {
            return Err(Error::refused(attempted, "only root can mount volumes").mend("run it with sudo"));
        }
        match mounts {
            Mounts::Private => mounts::enter_private_namespace(),
            Mounts::Shared => Ok(()),
        }
    }

    /// Takes the lock and tells what was healed and swept.
    pub fn change<'a>(&self, host: &'a Host) -> Result<Change<'a>> {
        let change = host.change()?;
        for text in &change.mended {
            self.story.event(Event::Note { text: text.clone() });
        }
        Ok(change)
    }

    /// Reads a whole image, and with it finds out whether it is good.
    pub fn image(&self, wanted: &ImageArgs) -> Result<Image> {
        self.image_at(&parse_image(&wanted.image)?, wanted.identity.clone())
    }

    /// As [`Session::image`], where its place is known already.
    pub fn image_at(&self, image: &ImageRef, identity: Option<ImageId>) -> Result<Image> {
        let attempted = format!("read image {image}");
        match image {
            ImageRef::Squashfs(_) | ImageRef::Raw(_) => self.enter(&attempted, Mounts::Private)?,
            ImageRef::Dir(_) | ImageRef::Tar(_) | ImageRef::Oci(..) | ImageRef::OciArchive(..) => {}
        }
        let uname = rustix::system::uname();
        let machine = uname.machine().to_string_lossy();
        let arch = Arch::from_word(&machine)
            .ok_or_else(|| Error::refused(attempted, format!("this host is {machine}, which is not supported")))?;
        Image::open(image, &OpenOptions { identity, arch }, &self.story)
    }
}

/// Understands where an image is. The place is made absolute: it is recorded, and read again from wherever a later
/// `resume` or `update` is run.
pub fn parse_image(text: &str) -> Result<ImageRef> {
    let absolute = |path: PathBuf| std::path::absolute(&path).at("make absolute", &path);
    Ok(match text.parse()? {
        ImageRef::Dir(path) => ImageRef::Dir(absolute(path)?),
        ImageRef::Tar(path) => ImageRef::Tar(absolute(path)?),
        ImageRef::Squashfs(path) => ImageRef::Squashfs(absolute(path)?),
        ImageRef::Raw(path) => ImageRef::Raw(absolute(path)?),
        ImageRef::Oci(path, tag) => ImageRef::Oci(absolute(path)?, tag),
        ImageRef::OciArchive(path, tag) => ImageRef::OciArchive(absolute(path)?, tag),
    })
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_images_are_recorded_so_that_they_are_found_from_anywhere() {
        let here = std::env::current_dir().unwrap().display().to_string();
        assert_eq!(parse_image("tar:x.tar").unwrap().to_string(), format!("tar:{here}/x.tar"));
        assert_eq!(parse_image("oci:a/b:1.0").unwrap().to_string(), format!("oci:{here}/a/b:1.0"));
        assert_eq!(parse_image("dir:/srv/tree").unwrap().to_string(), "dir:/srv/tree");
        assert_eq!(parse_image("/srv/tree").unwrap_err().kind, ErrorKind::Usage);
    }
}
