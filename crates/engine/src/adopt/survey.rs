//! What a host is made of before it is adopted: the volume of its root, its boot loader, its kernel, and whether imgbased
//! laid it out.
//!
//! Must stay true: everything is detected, and what is not certain is a refusal that says what would make it so.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use thinroot_core::adopt::HostKernel;
use thinroot_core::boot::cmdline;
use thinroot_core::image::parse_os_release;
use thinroot_core::install::Loader;
use thinroot_core::name::{ImageId, LayerName};

use crate::error::{Error, IoContext, Result};
use crate::store::lvm_thin::{Foreign, LvmThinStore, RootVolume};

const ATTEMPTED: &str = "adopt this host";
/// imgbased's marks on volumes, and its word on the command line.
const IMGBASED_BASE: &str = "imgbased:base";
const IMGBASED_LAYER: &str = "imgbased:layer";
const IMGBASED_WORD: &str = "img.bootid";

/// The root, on a thin volume that is not ours yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// Volume group.
    pub vg: String,
    /// Thin pool.
    pub pool: String,
    /// Logical volume.
    pub lv: String,
}

/// Finds the root.
pub fn root() -> Result<Root> {
    let refuse = |why: String| Error::refused(ATTEMPTED, why);
    let Some(found) = RootVolume::of_running()? else {
        let why = "its root is on no logical volume".to_string();
        return Err(refuse(why).mend(
            "thinroot needs a root on an LVM thin volume: install one with 'thinroot install IMAGE --disk DEV', or \
             reinstall the distribution with a thin root",
        ));
    };
    if let Some(layer) = found.layer {
        return Err(refuse(format!("it runs {layer} already")).mend("'thinroot status' shows what there is"));
    }
    let Some(pool) = found.pool else {
        let why = format!("its root {}/{} is a logical volume, but no thin one", found.vg, found.lv);
        return Err(refuse(why).mend(
            "snapshots of it would be full copies; copy it into a thin volume of a new pool ('lvcreate --type thin'), boot \
             from that, and run this again",
        ));
    };
    Ok(Root { vg: found.vg, pool, lv: found.lv })
}

/// Finds the loader and the directory that it reads. `boot_dir` and `wanted` are what a person said.
pub fn loader(boot_dir: Option<&Path>, wanted: Option<Loader>) -> Result<(Loader, PathBuf)> {
    let refuse = |why: String| Error::refused(ATTEMPTED, why);
    let boots: Vec<PathBuf> = match boot_dir {
        Some(dir) => vec![dir.into()],
        None => ["/boot", "/efi", "/boot/efi"].map(PathBuf::from).into(),
    };
    let mut found: Vec<(Loader, PathBuf)> = Vec::new();
    for dir in boots {
        if grub_configuration(&dir).is_some() {
            found.push((Loader::Grub, dir.clone()));
        }
        if has_systemd_boot(&dir) {
            found.push((Loader::SystemdBoot, dir));
        }
    }
    found.retain(|(loader, _)| wanted.is_none_or(|wanted| wanted == *loader));
    let (loader, dir) = match found.as_slice() {
        [one] => one.clone(),
        [] => {
            let why = "neither GRUB's grub.cfg nor systemd-boot is in /boot, /efi or /boot/efi".to_string();
            return Err(refuse(why).mend("mount the boot file system, or name it with --boot-dir DIR"));
        }
        several => {
            let list: Vec<String> =
                several.iter().map(|(l, dir)| format!("{} in {}", l.as_str(), dir.display())).collect();
            return Err(refuse(format!("it has several boot loaders: {}", list.join(", ")))
                .mend("say which one starts this machine: --loader grub or --loader systemd-boot"));
        }
    };
    let device = |path: &Path| fs::metadata(path).at("look at", path).map(|meta| meta.dev());
    if boot_dir.is_none() && device(&dir)? == device(Path::new("/"))? {
        let why = format!("{} is no file system of its own", dir.display());
        return Err(
            refuse(why).mend("no loader reads thin volumes: give kernels and entries a partition, mounted there")
        );
    }
    if let (Loader::Grub, Some(path)) = (loader, grub_configuration(&dir)) {
        let text = fs::read_to_string(&path).at("read", &path)?;
        if !text.contains("custom.cfg") {
            let why = format!("{} does not read custom.cfg, by which GRUB is told what boots", path.display());
            return Err(refuse(why).mend("make it again with /etc/grub.d/41_custom in its place: update-grub"));
        }
    }
    Ok((loader, dir))
}

fn grub_configuration(dir: &Path) -> Option<PathBuf> {
    ["grub/grub.cfg", "grub2/grub.cfg"].map(|name| dir.join(name)).into_iter().find(|path| path.is_file())
}

fn has_systemd_boot(dir: &Path) -> bool {
    let programs = fs::read_dir(dir.join("EFI/systemd")).into_iter().flatten().flatten();
    let is_program = |name: String| name.starts_with("systemd-boot") && name.to_ascii_lowercase().ends_with(".efi");
    programs.into_iter().any(|entry| is_program(entry.file_name().to_string_lossy().into_owned()))
        && dir.join("loader").is_dir()
}

/// Finds a kernel with its initrd in the boot directory, by the names that distributions and imgbased give them.
pub fn kernel(attempted: &str, boot: &Path, version: &str, layer: Option<&LayerName>) -> Result<HostKernel> {
    let machine_id = fs::read_to_string("/etc/machine-id").unwrap_or_default().trim().to_string();
    let mut dirs = vec![String::new(), format!("{machine_id}/{version}/")];
    dirs.splice(0..0, layer.map(|layer| format!("{layer}/")));
    let find = |names: &[String]| {
        let places = dirs.iter().flat_map(|dir| names.iter().map(move |name| format!("{dir}{name}")));
        places.into_iter().find(|name| boot.join(name).is_file())
    };
    let images = [format!("vmlinuz-{version}"), "linux".into()];
    let initrds = [
        format!("initrd.img-{version}"),
        format!("initramfs-{version}.img"),
        format!("initrd-{version}"),
        "initrd".into(),
    ];
    match (find(&images), find(&initrds)) {
        (Some(image), Some(initrd)) => Ok(HostKernel { version: version.into(), image, initrd }),
        (image, _) => {
            let what = if image.is_none() { "kernel" } else { "initrd" };
            let why = format!("{} has no {what} of the version {version}", boot.display());
            Err(Error::refused(attempted, why).mend("name the version of one that is installed"))
        }
    }
}

/// Who the host is, by its os-release: as an image states it, else by distribution and version.
pub fn identity(root: &Path) -> Result<ImageId> {
    let paths = ["etc/os-release", "usr/lib/os-release"].map(|name| root.join(name));
    let text = paths.iter().find_map(|path| fs::read_to_string(path).ok()).unwrap_or_default();
    let fields = parse_os_release(&text);
    let stated = thinroot_core::image::identity_from_os_release(&fields);
    let distribution = || {
        let version = fields.get("VERSION_ID").or_else(|| fields.get("BUILD_ID"))?;
        ImageId::new(fields.get("ID")?, version, "0").ok()
    };
    stated.or_else(distribution).ok_or_else(|| {
        Error::refused(ATTEMPTED, "its os-release does not say who it is: no usable ID and VERSION_ID")
            .mend("say it: --as NAME-VERSION-RELEASE")
    })
}

/// The words of a command line that name neither the root nor what booted it.
pub fn own_words(line: &str, root: &Root) -> Result<Vec<String>> {
    let words = cmdline::split(line).map_err(|why| Error::failed("read the kernel command line", why))?;
    let lv = format!("{}/{}", root.vg, root.lv);
    let ours = |word: &str| {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        match key {
            "BOOT_IMAGE" | "root" | "initrd" | "ro" | "rw" | IMGBASED_WORD => true,
            "rd.lvm.lv" => value == lv,
            _ => key.starts_with("thinroot."),
        }
    };
    Ok(words.into_iter().filter(|word| !ours(word)).collect())
}

/// A layer of imgbased's with the volume of its image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imgbased {
    /// Its name, which is one of ours as it is.
    pub layer: LayerName,
    /// The volume of its image; none where it is not there any more.
    pub base: Option<String>,
}

/// The layers of imgbased's in the pool, sorted; empty where imgbased has nothing to do with the root. Told by the tags, which
/// are its only records.
pub fn imgbased(root: &Root) -> Result<Vec<Imgbased>> {
    let foreign = LvmThinStore::foreign(&root.vg, &root.pool)?;
    Ok(imgbased_in(&foreign, &root.lv))
}

fn imgbased_in(foreign: &[Foreign], root: &str) -> Vec<Imgbased> {
    let tagged = |volume: &&Foreign, tag: &str| volume.tags.iter().any(|found| found == tag);
    let is_layer = |volume: &&Foreign| tagged(volume, IMGBASED_LAYER) || tagged(volume, IMGBASED_BASE);
    let mut layers: Vec<Imgbased> = foreign
        .iter()
        .filter(is_layer)
        // Its bases have no number behind a plus sign; the first one has the tag of a layer.
        .filter_map(|volume| volume.lv.parse::<LayerName>().ok())
        .map(|layer| {
            let name = layer.base().to_string();
            let base = foreign.iter().filter(is_layer).find(|volume| volume.lv == name);
            Imgbased { layer, base: base.map(|volume| volume.lv.clone()) }
        })
        .collect();
    layers.sort_by(|a, b| a.layer.cmp(&b.layer));
    if !layers.iter().any(|found| found.layer.to_string() == root) {
        layers.clear();
    }
    layers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn foreign(lv: &str, tag: &str) -> Foreign {
        Foreign { lv: lv.into(), tags: vec![tag.into()] }
    }

    #[test]
    fn imgbased_is_told_by_its_tags_and_names() {
        let volumes = [
            foreign("root", "imgbased:init"),
            foreign("node-4.4-1", "imgbased:layer"),
            foreign("node-4.4-1+1", "imgbased:layer"),
            foreign("node-4.5-2", "imgbased:base"),
            foreign("node-4.5-2+1", "imgbased:layer"),
            foreign("node-4.6-3+1", "imgbased:layer"),
            foreign("var", "imgbased:volume"),
        ];
        let found = imgbased_in(&volumes, "node-4.5-2+1");
        let shown: Vec<_> = found.iter().map(|found| (found.layer.to_string(), found.base.as_deref())).collect();
        assert_eq!(
            shown,
            [
                ("node-4.4-1+1".to_string(), Some("node-4.4-1")),
                ("node-4.5-2+1".into(), Some("node-4.5-2")),
                ("node-4.6-3+1".into(), None),
            ]
        );
        // Another system beside one of imgbased's.
        assert_eq!(imgbased_in(&volumes, "root"), []);
    }

    #[test]
    fn words_of_a_command_line_that_are_the_hosts_own() {
        let root = Root { vg: "vg0".into(), pool: "pool".into(), lv: "root".into() };
        let line = "BOOT_IMAGE=/vmlinuz-6.1 root=/dev/mapper/vg0-root ro rd.lvm.lv=vg0/root rd.lvm.lv=vg0/swap quiet \
                    console=tty0 console=ttyS0 img.bootid=n-1-0+1 mitigations=auto,nosmt";
        let words = own_words(line, &root).unwrap();
        assert_eq!(words, ["rd.lvm.lv=vg0/swap", "quiet", "console=tty0", "console=ttyS0", "mitigations=auto,nosmt"]);
    }

    #[test]
    fn a_kernel_is_found_where_distributions_put_it() {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str| {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        };
        put("vmlinuz-6.1");
        assert!(kernel("test", dir.path(), "6.1", None).unwrap_err().why.contains("no initrd"));
        put("initramfs-6.1.img");
        assert_eq!(kernel("test", dir.path(), "6.1", None).unwrap().initrd, "initramfs-6.1.img");
        let layer: LayerName = "n-1-0+1".parse().unwrap();
        put("n-1-0+1/vmlinuz-6.1");
        put("n-1-0+1/initramfs-6.1.img");
        assert_eq!(kernel("test", dir.path(), "6.1", Some(&layer)).unwrap().image, "n-1-0+1/vmlinuz-6.1");
        assert!(kernel("test", dir.path(), "7", None).unwrap_err().why.contains("no kernel"));
    }

    #[test]
    fn a_loader_is_detected_and_never_guessed() {
        let dir = tempfile::tempdir().unwrap();
        assert!(loader(Some(dir.path()), None).unwrap_err().why.contains("neither"));
        let grub = dir.path().join("grub2");
        fs::create_dir(&grub).unwrap();
        fs::write(grub.join("grub.cfg"), "set timeout=5\n").unwrap();
        assert!(loader(Some(dir.path()), None).unwrap_err().why.contains("custom.cfg"));
        fs::write(grub.join("grub.cfg"), "source $config_directory/custom.cfg\n").unwrap();
        assert_eq!(loader(Some(dir.path()), None).unwrap().0, Loader::Grub);
        for sub in ["EFI/systemd", "loader"] {
            fs::create_dir_all(dir.path().join(sub)).unwrap();
        }
        fs::write(dir.path().join("EFI/systemd/systemd-bootx64.efi"), "x").unwrap();
        assert!(loader(Some(dir.path()), None).unwrap_err().why.contains("several"));
        assert_eq!(loader(Some(dir.path()), Some(Loader::SystemdBoot)).unwrap().0, Loader::SystemdBoot);
    }
}
