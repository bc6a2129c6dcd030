//! `image`: looks at images.

use serde::Serialize;
use thinroot_core::image::ImageInfo;
use thinroot_engine::error::Result;

use crate::answer::Answer;
use crate::args::ImageArgs;
use crate::exit::Exit;
use crate::guide::Guide;
use crate::render;
use crate::session::Session;

/// Images: what a publisher releases
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub what: What,
}

/// What to do with images.
#[derive(Debug, clap::Subcommand)]
pub enum What {
    /// Read an image and say what it is
    ///
    /// Reads the whole image as 'base add' and 'update' do, with every check, and shows who it is, its digest, its
    /// architecture and its kernels. Needs no store and writes nothing; root only for squashfs: and raw:, which are
    /// mounted.
    ///
    /// An image is named by its kind and its place: dir:PATH is the root of a tree, tar:FILE an archive of it (plain,
    /// gzip, xz or zstd), squashfs:FILE such a file or a live image with LiveOS/rootfs.img inside, raw:FILE an ext4 or
    /// XFS file system, oci:DIR[:TAG] and oci-archive:FILE[:TAG] an OCI image layout. An image says who it is by
    /// IMAGE_ID and IMAGE_VERSION in os-release, or by a label; --as says it for images that do not.
    Inspect {
        /// The image.
        #[command(flatten)]
        image: ImageArgs,
    },
}

/// How it is used.
pub const GUIDES: &[Guide] = &[Guide {
    verb: &["image", "inspect"],
    examples: &[
        ("thinroot image inspect oci:/srv/images/node:1.0", "an OCI layout"),
        ("thinroot image inspect dir:/srv/tree --as node-1.0-1 --json", "a tree that does not say who it is"),
    ],
    exits: &[
        (Exit::Done, Some("it is good")),
        (Exit::Usage, None),
        (
            Exit::Refused,
            Some("it is damaged, hostile, for another architecture, does not boot, or does not say who it is"),
        ),
    ],
}];

#[derive(Serialize)]
struct Body<'a> {
    image: &'a ImageInfo,
}

/// Does it.
pub fn run(session: &Session, args: &Args) -> Result<Answer> {
    let What::Inspect { image } = &args.what;
    let image = session.image(image)?;
    Ok(Answer::new(Exit::Done, render::image::image(&image.info), "image", &Body { image: &image.info }))
}
