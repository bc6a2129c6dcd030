//! `install`: from an empty disk, or an empty image file, to a host that boots.
//!
//! ```text
//! look at the disk -> layout (thinroot_core::install) -> partition table, file systems, volume group, pool
//!   -> loader -> first base and layer (the verbs of any host) -> fstab, shared volumes -> let go of everything
//! ```
//!
//! Must stay true: the disk is looked at twice, the second time when nobody else has it, and nothing is written before
//! both looks agree; whatever fails later leaves the disk without a partition table, as it was found. There is no
//! journal: before the end there is no host whose plan could be resumed.

mod disk;
mod firmware;
mod first_layer;
mod grub_program;
mod held;

use std::fs;
use std::path::{Path, PathBuf};

use thinroot_core::image::Arch;
use thinroot_core::install::{self as rules, Layout, Loader, Needs, Purpose, Wish};
use thinroot_core::inventory::{FsKind, Inventory};
use thinroot_core::name::LayerName;
use thinroot_core::plan::Need;
use thinroot_core::plan::update::{self, Arm, Downgrade, Failed};

use crate::boot::{BootDir, LoaderKind};
use crate::cmd::Cmd;
use crate::durable;
use crate::error::{Error, IoContext, Result};
use crate::host::{ForkRequest, Host, Place, StoreRef, UpdateOptions};
use crate::mounts::TempMount;
use crate::progress::{Event, Reporter};
use crate::source::Image;
use crate::store::lvm_thin::{LvmThinStore, PoolSize};

pub use disk::look;

use firmware::Names;

/// Where a host is installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A whole disk.
    Disk(PathBuf),
    /// A new file that holds a disk.
    File {
        /// The file; it must not exist, or be empty.
        path: PathBuf,
        /// Its size.
        size_bytes: u64,
    },
}

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Request {
    /// Where.
    pub target: Target,
    /// The rest, as the rules know it.
    pub wish: Wish,
    /// Size of the root; without it the size policy of bases decides.
    pub root_bytes: Option<u64>,
    /// File system of the root.
    pub fs: Option<FsKind>,
    /// A directory whose files are put over the first layer.
    pub overlay: Option<PathBuf>,
}

/// A host that was made.
#[derive(Debug)]
pub struct Installed {
    /// What is on the disk.
    pub layout: Layout,
    /// Its only layer.
    pub layer: LayerName,
    /// What a person should look at.
    pub findings: Vec<String>,
}

/// Lays the disk out and writes nothing.
pub fn plan(request: &Request, image: &mut Image) -> Result<Layout> {
    let attempted = match &request.target {
        Target::Disk(path) | Target::File { path, .. } => format!("install {} on {}", image.info.id, path.display()),
    };
    LvmThinStore::check_names(&request.wish.vg, &request.wish.pool)?;
    let disk = match &request.target {
        Target::Disk(path) => look(path)?,
        Target::File { path, size_bytes } => disk::future_file(path, *size_bytes)?,
    };
    tools(request.wish.loader, image.info.arch, &attempted)?;
    let wanted = crate::host::request(image, &options(request), Need::default());
    crate::source::require_thin_root(image)?;
    let root_bytes = update::base_size(&Inventory::default(), &wanted);
    let layout = rules::layout(&disk, &request.wish, &needs(image, root_bytes))
        .map_err(|refusal| Error::refused(attempted.clone(), refusal.why).mend(refusal.mend))?;
    if group_exists(&layout.vg)? {
        return Err(Error::refused(attempted, format!("this machine sees a volume group {} already", layout.vg))
            .mend("give another name with --vg"));
    }
    Ok(layout)
}

/// Makes the host. `layout` is what [`plan`] gave and a person may have seen.
pub fn install(request: &Request, layout: &Layout, image: &mut Image, reporter: &dyn Reporter) -> Result<Installed> {
    let held = held::Held::take(&request.target)?;
    if let Err(error) = still_as_planned(request, layout, &held, image) {
        held.let_go();
        return Err(error);
    }
    let made = make(request, layout, &held, image, reporter);
    match made {
        Ok(installed) => {
            held.release(&layout.vg)?;
            Ok(installed)
        }
        Err(error) => {
            held.give_back(layout);
            Err(error)
        }
    }
}

/// The second look: between the plan and now anything may have been put there.
fn still_as_planned(request: &Request, layout: &Layout, held: &held::Held, image: &Image) -> Result<()> {
    let again = rules::layout(&held.look()?, &request.wish, &needs(image, layout.root_bytes))
        .map_err(|refusal| Error::refused("install", refusal.why).mend(refusal.mend))?;
    if again.partitions != layout.partitions || again.wiped != layout.wiped {
        return Err(Error::refused("install", "the disk is not what it was when this was planned").mend("try again"));
    }
    Ok(())
}

fn needs(image: &Image, root_bytes: u64) -> Needs {
    let kernel_bytes = crate::host::kernel_files(image).iter().map(|file| file.size_bytes).sum();
    Needs { content_bytes: image.info.content_bytes, kernel_bytes, root_bytes }
}

fn make(
    request: &Request,
    layout: &Layout,
    held: &held::Held,
    image: &mut Image,
    reporter: &dyn Reporter,
) -> Result<Installed> {
    let phase = |text: String| reporter.event(Event::Begin { step: 0, text });
    let done = || reporter.event(Event::End { step: 0, text: String::new() });
    phase(format!("lay out {}", layout.disk));
    held.partition(layout)?;
    let node_of = |purpose| layout.partition(purpose).map(|part| held.partition_device(part.number)).transpose();
    if let Some(esp) = node_of(Purpose::Esp)? {
        Cmd::new("mkfs.vfat").args(["-F", "32", "-n", "ESP"]).arg(&esp).run()?;
    }
    if let Some(boot) = node_of(Purpose::Boot)? {
        // Named one by one: GRUB refuses to read file systems with features it does not know, and new releases of
        // e2fsprogs bring new ones.
        let features = "none,has_journal,ext_attr,dir_index,filetype,extent,64bit,flex_bg,sparse_super,large_file,\
                        huge_file,dir_nlink,extra_isize,metadata_csum";
        Cmd::new("mkfs.ext4").args(["-q", "-F", "-L", "boot", "-O", features]).arg(&boot).run()?;
    }
    let pv = node_of(Purpose::Lvm)?.ok_or_else(|| Error::failed("install", "the layout has no volume group"))?;
    Cmd::new("pvcreate").args(["-q", "-y"]).arg(&pv).run()?;
    Cmd::new("vgcreate").args(["-q", "-y"]).arg(&layout.vg).arg(&pv).run()?;
    let size = PoolSize { data_bytes: layout.data_bytes, metadata_bytes: layout.metadata_bytes };
    LvmThinStore::make_pool(&layout.vg, &layout.pool, size)?;
    LvmThinStore::init(&layout.vg, &layout.pool)?;
    done();
    let mounted = mount_boot(layout, held)?;
    let store = StoreRef::LvmThin { vg: layout.vg.clone(), pool: layout.pool.clone() };
    let host = Place { store, boot_dir: Some(mounted.path().into()) }.open()?;
    let (layer, mut findings) = first(&host, request, layout, held, image, reporter)?;
    let line = host.boot.command_line(&layer)?.unwrap_or_default();
    drop(host);
    phase(format!("make {} boot it", layout.loader.as_str()));
    findings.extend(put_loader(layout, held, mounted.path(), image.info.arch, &line)?);
    mounted.finish()?;
    done();
    Ok(Installed { layout: layout.clone(), layer, findings })
}

/// The first base and layer, by the verbs of any host.
fn first(
    host: &Host,
    request: &Request,
    layout: &Layout,
    held: &held::Held,
    image: &mut Image,
    reporter: &dyn Reporter,
) -> Result<(LayerName, Vec<String>)> {
    let options = UpdateOptions { size_bytes: Some(layout.root_bytes), ..options(request) };
    let change = host.change()?;
    let base = image.info.id.clone();
    let added = change.add_base(image, &options, reporter)?;
    let forked = change.fork(&ForkRequest { origin: base.volume() }, reporter)?;
    let mut findings: Vec<String> = added.into_iter().flat_map(|report| report.findings).collect();
    findings.extend(forked.findings);
    let selection = host.boot.read_selection()?.unwrap_or_default();
    let layer = selection.default_layer().cloned();
    let layer = layer.ok_or_else(|| Error::failed("install", "the first layer did not become the default"))?;
    first_layer::furnish(host, &layer, layout, held, request.overlay.as_deref())?;
    Ok((layer, findings))
}

fn options(request: &Request) -> UpdateOptions {
    UpdateOptions {
        from: None,
        size_bytes: request.root_bytes,
        fs: request.fs,
        arm: Arm::Later,
        downgrade: Downgrade::Allow,
        failed: Failed::TryAgain,
    }
}

fn group_exists(name: &str) -> Result<bool> {
    let names = Cmd::new("vgs").args(["--noheadings", "-o", "vg_name"]).run()?;
    Ok(names.lines().any(|line| line.trim() == name))
}

fn mount_boot(layout: &Layout, held: &held::Held) -> Result<TempMount> {
    let part = layout.boot().ok_or_else(|| Error::failed("install", "the layout has no boot partition"))?;
    TempMount::partition(&held.partition_device(part.number)?)
}

/// The loader's own program, and its configuration; what it says of itself afterwards.
fn put_loader(layout: &Layout, held: &held::Held, boot: &Path, arch: Arch, line: &str) -> Result<Vec<String>> {
    let dir = BootDir::open(boot)?;
    let names = Names::of(arch)?;
    match layout.loader {
        Loader::SystemdBoot => {
            let program = names.systemd_boot_program();
            for target in [format!("EFI/systemd/{}", file_name(&program)), names.removable.to_string()] {
                copy_durably(&program, &boot.join(target))?;
            }
            dir.take_over(LoaderKind::SystemdBoot, line)?;
        }
        Loader::Grub => {
            dir.take_over(LoaderKind::Grub, line)?;
            let number = layout.boot().map_or(0, |part| part.number);
            let uuid = held.uuid(number)?;
            if let Some(part) = layout.partition(Purpose::Esp) {
                let esp = TempMount::partition(&held.partition_device(part.number)?)?;
                let program = grub_program::efi(names.grub_efi, number, &uuid)?;
                durable::create_dir_all(&esp.path().join("EFI/BOOT"))?;
                durable::write(&esp.path().join(names.removable), &program, 0o644)?;
                esp.finish()?;
                grub_program::copy_modules(names.grub_efi, boot)?;
            }
            // A disk with large sectors is no boot disk to a BIOS.
            if let (Some(part), Some(format), 512) =
                (layout.partition(Purpose::BiosBoot), names.grub_bios, layout.sector_bytes)
            {
                grub_program::embed(format, held.device(), part, number)?;
                grub_program::copy_modules(format, boot)?;
            }
        }
    }
    Ok(dir.survey()?.findings)
}

/// Refuses before anything is touched where a program is missing.
fn tools(loader: Loader, arch: Arch, attempted: &str) -> Result<()> {
    let names = Names::of(arch)?;
    let missing = match loader {
        Loader::SystemdBoot => {
            let program = names.systemd_boot_program();
            (!program.is_file())
                .then(|| (program.display().to_string(), "systemd-boot-efi (Debian), systemd-boot (Fedora)"))
        }
        Loader::Grub => grub_program::missing(names),
    };
    if let Some((what, package)) = missing {
        return Err(
            Error::refused(attempted, format!("{what} is not on this machine")).mend(format!("install {package}"))
        );
    }
    for (program, package) in [("sfdisk", "fdisk"), ("mkfs.vfat", "dosfstools"), ("mkfs.ext4", "e2fsprogs")] {
        if Cmd::new(program).arg("--version").also_good(1).run().is_err_and(|error| error.code.is_none()) {
            return Err(Error::refused(attempted, format!("{program} is not on this machine"))
                .mend(format!("install {package}")));
        }
    }
    Ok(())
}

fn copy_durably(from: &Path, to: &Path) -> Result<()> {
    if let Some(parent) = to.parent() {
        durable::create_dir_all(parent)?;
    }
    durable::write(to, &fs::read(from).at("read", from)?, 0o644)
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
