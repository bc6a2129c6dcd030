//! `image`: looks at images.

use std::path::{Path, PathBuf};

use serde::Serialize;
use thinroot_core::image::ImageInfo;
use thinroot_core::image::compare::Comparison;
use thinroot_core::image::lint::{Finding, Level};
use thinroot_core::name::ImageId;
use thinroot_engine::error::{Error, Result};
use thinroot_engine::publish::{self, Output};
use thinroot_engine::source::Image;

use crate::answer::Answer;
use crate::args::ImageArgs;
use crate::exit::Exit;
use crate::guide::Guide;
use crate::render;
use crate::session::{Session, parse_image};
use crate::size::human;

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
    /// Make a publishable image of a tree
    ///
    /// Reads a tree or an image of any kind, looks for what should not be published as 'image lint' does, and writes it as one
    /// archive that says who it is. Its bytes depend on nothing but paths, contents and their attributes: the same tree gives the
    /// same file. What was written is read back and compared before this ends. Sockets and inode flags are left out and holes
    /// written out, because an archive cannot hold them; that is told.
    ///
    /// Nothing is written where lint finds an error, unless --force says so, and no file is written over.
    Build {
        /// The tree or image.
        #[command(flatten)]
        image: ImageArgs,
        /// The file to write: NAME.tar.zst or NAME.tar
        #[arg(value_name = "FILE")]
        output: PathBuf,
        /// The image that hosts have now
        #[arg(long, value_name = "IMAGE")]
        previous: Option<String>,
        /// No time of a path is later than this (seconds since 1970), so that two builds of the same sources are the same
        #[arg(long, value_name = "SECONDS", env = "SOURCE_DATE_EPOCH", hide_env_values = true)]
        clamp_mtime: Option<i64>,
        /// Also where lint finds errors
        #[arg(long)]
        force: bool,
    },
    /// Say what is different in another image
    ///
    /// Compares two images: packages, kernels, accounts, configuration files, and how many bytes of contents are new. Owners are
    /// compared by name, and paths that differ in their time only are counted and not listed. Packages are told where both
    /// images have a database of dpkg, or of rpm and there is an rpm here to read it.
    Diff {
        /// The one that hosts have
        #[arg(value_name = "OLD")]
        old: String,
        /// The other one
        #[arg(value_name = "NEW")]
        new: String,
        /// Who the old image is, whatever it says itself
        #[arg(long, value_name = "NAME-VERSION-RELEASE")]
        old_as: Option<ImageId>,
        /// Who the new image is, whatever it says itself
        #[arg(long, value_name = "NAME-VERSION-RELEASE")]
        new_as: Option<ImageId>,
        /// List every path that differs, not only configuration
        #[arg(long)]
        paths: bool,
    },
    /// Look for what should not be published
    ///
    /// Errors are what would harm hosts: identity that all of them would share (host keys, a machine id, random seeds), an account
    /// without password, set-id programs that everyone may change, missing labels where SELinux is on, an initrd that cannot
    /// activate a root on a thin volume. Warnings are what somebody should look at: logs and histories, world-writable
    /// paths, owners without a name. With --previous also what moved since then: numbers of accounts, new set-id
    /// programs, a version that is not newer.
    ///
    /// Nothing is changed. Ends with code 4 where there is an error, with --strict also where there is a warning.
    Lint {
        /// The image.
        #[command(flatten)]
        image: ImageArgs,
        /// The image that hosts have now
        #[arg(long, value_name = "IMAGE")]
        previous: Option<String>,
        /// Warnings count as errors
        #[arg(long)]
        strict: bool,
    },
}

const UNUSABLE: (Exit, Option<&str>) =
    (Exit::Refused, Some("it is damaged, hostile, for another architecture, does not boot, or does not say who it is"));

/// How it is used.
pub const GUIDES: &[Guide] = &[
    Guide {
        verb: &["image", "inspect"],
        examples: &[
            ("thinroot image inspect oci:/srv/images/node:1.0", "an OCI layout"),
            ("thinroot image inspect dir:/srv/tree --as node-1.0-1 --json", "a tree that does not say who it is"),
        ],
        exits: &[(Exit::Done, Some("it is good")), (Exit::Usage, None), UNUSABLE],
    },
    Guide {
        verb: &["image", "build"],
        examples: &[
            ("thinroot image build dir:/srv/tree node-1.1.tar.zst --as node-1.1-1", "of a tree, and name it"),
            (
                "thinroot image build oci-archive:node.tar node-1.1.tar.zst --previous tar:node-1.0.tar.zst",
                "of what a container build made, in comparison with what hosts have",
            ),
        ],
        exits: &[
            (Exit::Done, None),
            (Exit::Failed, None),
            (Exit::Usage, None),
            (Exit::Refused, Some("the tree is no image, lint finds errors, or there is a file of that name")),
            (Exit::Findings, Some("it is written, and there is something to look at")),
        ],
    },
    Guide {
        verb: &["image", "diff"],
        examples: &[
            (
                "thinroot image diff tar:node-1.0.tar tar:node-1.1.tar",
                "packages, kernels, accounts, configuration, bytes",
            ),
            ("thinroot image diff tar:node-1.0.tar dir:/srv/tree --paths", "each path too"),
        ],
        exits: &[(Exit::Done, None), (Exit::Failed, None), (Exit::Usage, None), UNUSABLE],
    },
    Guide {
        verb: &["image", "lint"],
        examples: &[
            ("thinroot image lint dir:/srv/tree", "before it is packed"),
            (
                "thinroot image lint tar:node-1.1.tar --previous tar:node-1.0.tar --strict",
                "in a build that must stay clean",
            ),
        ],
        exits: &[
            (Exit::Done, Some("nothing that would harm hosts was found")),
            (Exit::Failed, None),
            (Exit::Usage, None),
            UNUSABLE,
            (Exit::Findings, Some("there are errors, or with --strict warnings")),
        ],
    },
];

#[derive(Serialize)]
struct Body<'a> {
    image: &'a ImageInfo,
}

#[derive(Serialize)]
struct BuildBody<'a> {
    image: &'a ImageInfo,
    file: &'a Path,
    file_bytes: u64,
    findings: &'a [Finding],
    left_out: &'a [String],
}

#[derive(Serialize)]
struct DiffBody<'a> {
    old: &'a ImageInfo,
    new: &'a ImageInfo,
    diff: &'a Comparison,
}

#[derive(Serialize)]
struct LintBody<'a> {
    image: &'a ImageInfo,
    findings: &'a [Finding],
}

/// Does it.
pub fn run(session: &Session, args: &Args) -> Result<Answer> {
    match &args.what {
        What::Inspect { image } => {
            let image = session.image(image)?;
            Ok(Answer::new(Exit::Done, render::image::image(&image.info), "image", &Body { image: &image.info }))
        }
        What::Build { image, output, previous, clamp_mtime, force } => {
            let previous =
                previous.as_deref().map(|previous| session.image_at(&parse_image(previous)?, None)).transpose()?;
            build(session, image, previous.as_ref(), output, *clamp_mtime, *force)
        }
        What::Diff { old, new, old_as, new_as, paths } => {
            let mut old = session.image_at(&parse_image(old)?, old_as.clone())?;
            let mut new = session.image_at(&parse_image(new)?, new_as.clone())?;
            let diff = publish::diff(&mut old, &mut new)?;
            let text = render::image::diff([&old.info, &new.info], &diff, *paths);
            let body = DiffBody { old: &old.info, new: &new.info, diff: &diff };
            Ok(Answer::new(Exit::Done, text, "image_diff", &body))
        }
        What::Lint { image, previous, strict } => {
            let previous =
                previous.as_deref().map(|previous| session.image_at(&parse_image(previous)?, None)).transpose()?;
            let mut image = session.image(image)?;
            let findings = publish::lint(&mut image, previous.as_ref())?;
            let counts = |finding: &Finding| *strict || finding.level == Level::Error;
            let exit = if findings.iter().any(counts) { Exit::Findings } else { Exit::Done };
            let body = LintBody { image: &image.info, findings: &findings };
            Ok(Answer::new(exit, render::image::lint(&image.info, &findings), "image_lint", &body))
        }
    }
}

fn build(
    session: &Session,
    wanted: &ImageArgs,
    previous: Option<&Image>,
    file: &Path,
    newest_sec: Option<i64>,
    force: bool,
) -> Result<Answer> {
    let output = Output::new(file)?;
    let mut image = session.image(wanted)?;
    let findings = publish::lint(&mut image, previous)?;
    let errors: Vec<&Finding> = findings.iter().filter(|finding| finding.level == Level::Error).collect();
    if let (Some(first), false) = (errors.first(), force) {
        let why = format!("lint finds {}, the first: {}", render::count(errors.len(), "error"), first.said);
        return Err(Error::refused(format!("build {}", file.display()), why)
            .mend(format!("'thinroot image lint {}' shows all; --force builds it all the same", wanted.image)));
    }
    let built = publish::build(&mut image, &output, newest_sec, &session.story)?;
    let exit = if findings.is_empty() && built.findings.is_empty() { Exit::Done } else { Exit::Findings };
    let info = &built.image.info;
    let mut text = render::image::image(info);
    text += &format!("{:<9} {}\n", "size", human(built.file_bytes));
    if !findings.is_empty() {
        text += &render::image::lint(info, &findings);
    }
    text += &render::report::list("findings", &built.findings);
    let (file_bytes, left_out) = (built.file_bytes, built.findings.as_slice());
    Ok(Answer::new(
        exit,
        text,
        "image_build",
        &BuildBody { image: info, file, file_bytes, findings: &findings, left_out },
    ))
}
