//! `install`: from an empty disk to a host that boots.

use std::path::PathBuf;

use serde::Serialize;
use thinroot_core::install::{Layout, Loader, SharedVolume, Wish};
use thinroot_core::name::LayerName;
use thinroot_engine::error::{Error, ErrorKind, Result};
use thinroot_engine::install::{self, Request, Target};

use super::update::Fs;
use crate::answer::Answer;
use crate::args::ImageArgs;
use crate::exit::Exit;
use crate::guide::Guide;
use crate::render;
use crate::session::{Mounts, Session};
use crate::size;

/// Make a host from an image, on an empty disk or in a file
///
/// Lays out a GUID partition table, a boot file system, a volume group with a thin pool; keeps the image as the first
/// base, makes the first layer of it, and a boot loader that boots it: GRUB for BIOS and UEFI alike, or systemd-boot for
/// UEFI. --dry-run prints the exact layout. --image makes a disk image, for appliances and virtual machines.
///
/// Refuses a disk that holds anything, is in use, or is too small, before anything is touched and with numbers. --wipe
/// gives up what a disk holds; nothing overrides that it is in use. A failure leaves the disk without partitions, the
/// file gone.
///
/// The boot file system gets room for five kernels with their initrds, at least 512 MiB. Of the volume group 1 % (at least
/// 64 MiB) is pool metadata, as much again LVM's spare of it, 5 % stay free to let a full pool grow, the rest is the
/// pool; it must hold the image three times, every --volume in full, and 1 GiB.
///
/// The programs of the boot loader are those of the machine that installs. They are not signed for Secure Boot.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The image.
    #[command(flatten)]
    pub image: ImageArgs,
    /// The disk; everything on it will be the host's
    #[arg(long, value_name = "DEV", required_unless_present = "file", conflicts_with = "file")]
    pub disk: Option<PathBuf>,
    /// Make a disk image in this file, which must not be there yet
    #[arg(long = "image", value_name = "FILE", requires = "size")]
    pub file: Option<PathBuf>,
    /// Size of the disk image, such as 16G
    #[arg(long, value_name = "BYTES", value_parser = size::parse, requires = "file")]
    pub size: Option<u64>,
    /// The boot loader
    #[arg(long, value_enum, default_value_t = LoaderArg::Grub)]
    pub loader: LoaderArg,
    /// Name of the volume group
    #[arg(long, value_name = "NAME", default_value = "thinroot")]
    pub vg: String,
    /// Name of the thin pool
    #[arg(long, value_name = "NAME", default_value = "pool")]
    pub pool: String,
    /// Size of the root, such as 8G [default: what the content needs and room to grow]
    #[arg(long, value_name = "BYTES", value_parser = size::parse)]
    pub root_size: Option<u64>,
    /// File system of the root [default: ext4]
    #[arg(long, value_enum)]
    pub fs: Option<Fs>,
    /// A volume that all layers share, such as /srv=20G; what the image has there is copied into it
    #[arg(long = "volume", value_name = "PATH=BYTES", value_parser = volume)]
    pub volumes: Vec<SharedVolume>,
    /// Put the files of this directory over the first layer: the host's name, keys, network
    #[arg(long, value_name = "DIR")]
    pub overlay: Option<PathBuf>,
    /// Lose what the disk holds
    #[arg(long, conflicts_with = "file")]
    pub wipe: bool,
    /// Print the exact layout, and do nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// A boot loader, as it is named on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
#[allow(missing_docs, reason = "the names say it, and documented variants lengthen every --help")]
pub enum LoaderArg {
    Grub,
    SystemdBoot,
}

impl From<LoaderArg> for Loader {
    fn from(word: LoaderArg) -> Loader {
        match word {
            LoaderArg::Grub => Loader::Grub,
            LoaderArg::SystemdBoot => Loader::SystemdBoot,
        }
    }
}

fn volume(text: &str) -> Result<SharedVolume, String> {
    let bad = || format!("'{text}' is no volume: write PATH=SIZE, such as /srv=20G");
    let (path, size) = text.split_once('=').ok_or_else(bad)?;
    SharedVolume::new(path, size::parse(size)?)
}

/// How it is used.
pub const GUIDES: &[Guide] = &[Guide {
    verb: &["install"],
    examples: &[
        ("thinroot install oci:/srv/images/node:1.0 --disk /dev/sdb --dry-run", "see what would be made of a disk"),
        ("thinroot install oci:/srv/images/node:1.0 --disk /dev/sdb", "do it"),
        (
            "thinroot install tar:node.tar.zst --image node.img --size 16G --loader systemd-boot",
            "a disk image for UEFI",
        ),
        (
            "thinroot install tar:node.tar.zst --disk /dev/sdb --volume /srv=50G --overlay ./host-1",
            "with a host's own files",
        ),
    ],
    exits: &[
        (Exit::Done, None),
        (Exit::Failed, Some("failed; the disk has no partitions, the file is gone")),
        (Exit::Usage, None),
        (Exit::Refused, None),
        (Exit::Findings, None),
    ],
}];

#[derive(Serialize)]
struct Body {
    changed: bool,
    layout: Layout,
    layer: Option<LayerName>,
    findings: Vec<String>,
}

/// Does it.
pub fn run(session: &Session, args: &Args) -> Result<Answer> {
    let request = request(args)?;
    session.enter("install a host", Mounts::Private)?;
    let mut image = session.image(&args.image)?;
    let layout = install::plan(&request, &mut image)?;
    let shown = render::install::layout(&layout);
    if args.dry_run {
        let body = Body { changed: false, layout, layer: None, findings: vec![] };
        return Ok(Answer::new(Exit::Done, shown, "install", &body));
    }
    let installed = install::install(&request, &layout, &mut image, &session.story)?;
    let exit = if installed.findings.is_empty() { Exit::Done } else { Exit::Findings };
    let findings = render::report::list("findings", &installed.findings);
    let text = format!("{shown}\n{} boots {}\n{findings}", layout.disk, installed.layer);
    let body = Body { changed: true, layout, layer: Some(installed.layer), findings: installed.findings };
    Ok(Answer::new(exit, text, "install", &body))
}

fn request(args: &Args) -> Result<Request> {
    let target = match (&args.disk, &args.file, args.size) {
        (Some(disk), _, _) => Target::Disk(disk.clone()),
        (None, Some(path), Some(size_bytes)) => Target::File { path: path.clone(), size_bytes },
        (None, _, _) => {
            return Err(Error::new(ErrorKind::Usage, "install", "neither a disk nor a file is given"));
        }
    };
    let mut volumes = args.volumes.clone();
    // What is mounted below another comes after it.
    volumes.sort_by(|a, b| a.mount_point.cmp(&b.mount_point));
    if volumes.windows(2).any(|pair| pair[0].name == pair[1].name) {
        return Err(Error::new(ErrorKind::Usage, "install", "two volumes are given for one place"));
    }
    let wish =
        Wish { loader: args.loader.into(), vg: args.vg.clone(), pool: args.pool.clone(), volumes, wipe: args.wipe };
    Ok(Request { target, wish, root_bytes: args.root_size, fs: args.fs.map(Fs::kind), overlay: args.overlay.clone() })
}
