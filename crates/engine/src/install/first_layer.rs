//! What the first layer has beyond its image: how its disks are mounted, its shared volumes, and files that came along.
//!
//! All of it is the host's own state and carried like any other from here on.

use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use thinroot_core::install::{Layout, Purpose, SharedVolume};
use thinroot_core::inventory::{FsKind, Role};
use thinroot_core::manifest::Kind;
use thinroot_core::name::LayerName;
use thinroot_core::path::TreePath;

use super::held::Held;
use crate::cmd::Cmd;
use crate::durable;
use crate::error::{Error, IoContext, Result};
use crate::host::Host;
use crate::store::{Access, NewVolume};
use crate::tree::confined;
use crate::tree::write::{Open, Tree};

const FSTAB: &str = "etc/fstab";
const RULES_DIR: &str = "etc/thinroot/state.d";

pub(super) fn furnish(
    host: &Host,
    layer: &LayerName,
    layout: &Layout,
    held: &Held,
    overlay: Option<&Path>,
) -> Result<()> {
    let mut lines = Vec::new();
    for part in &layout.partitions {
        let Some(point) = part.mount_point else { continue };
        let uuid = held.uuid(part.number)?;
        lines.push((
            point.to_string(),
            match part.purpose {
                Purpose::Boot => format!("UUID={uuid} {point} ext4 defaults 0 2"),
                // Kernels and keys on FAT have no owners of their own.
                Purpose::Esp => format!("UUID={uuid} {point} vfat umask=0077 0 2"),
                Purpose::BiosBoot | Purpose::Lvm => continue,
            },
        ));
    }
    for volume in &layout.volumes {
        let SharedVolume { mount_point, name, .. } = volume;
        lines.push((mount_point.clone(), format!("/dev/{}/{name} {mount_point} ext4 defaults 0 2", layout.vg)));
    }
    // Each after what it is mounted on.
    lines.sort();
    let mounted = host.store.mount(&layer.volume(), Access::WriteLayer)?;
    let root = mounted.path();
    if let Some(overlay) = overlay {
        // It replaces no directory by a link and follows none, but goes into directories that are there.
        Cmd::new("cp").args(["--archive", "--no-target-directory"]).arg(overlay).arg(root).run()?;
    }
    let mut tree = Tree::open(root)?;
    let mut made = Vec::new();
    for (point, _) in &lines {
        // What is mounted on top of the boot file system needs its directory there and not here.
        match point.strip_prefix("/boot/") {
            Some(below) => durable::create_dir_all(&host.boot.path().join(below))?,
            None => made.extend(make_directories(&mut tree, point)?),
        }
    }
    write_fstab(root, &mut tree, &lines)?;
    if !made.is_empty() {
        // Without a rule a directory outside the scope of the state would stay behind with each update.
        let rules = made.iter().map(|path| format!("/{path} carry\n")).collect::<String>();
        make_directories(&mut tree, RULES_DIR)?;
        let text = format!("# Mount points that 'thinroot install' made.\n{rules}");
        write_new(&mut tree, &format!("{RULES_DIR}/50-mount-points.policy"), &text)?;
    }
    for volume in &layout.volumes {
        share(host, root, volume)?;
    }
    drop(tree);
    mounted.finish()
}

/// Makes what is missing of a path; gives what it made.
fn make_directories(tree: &mut Tree, point: &str) -> Result<Vec<String>> {
    let (mut path, mut created) = (String::new(), Vec::new());
    for part in point.split('/').filter(|part| !part.is_empty()) {
        path = if path.is_empty() { part.into() } else { format!("{path}/{part}") };
        let at = tree_path(&path)?;
        if tree.reference(&at)?.is_none() {
            tree.create(&at, &Kind::Directory)?;
            let made = tree.file(&at, Open::Reference)?;
            let node = format!("/proc/self/fd/{}", made.as_raw_fd());
            std::fs::set_permissions(&node, PermissionsExt::from_mode(0o755)).at("set the mode of", point)?;
            created.push(path.clone());
        }
    }
    Ok(created)
}

/// Our lines, and of the image's those for other places.
fn write_fstab(root: &Path, tree: &mut Tree, lines: &[(String, String)]) -> Result<()> {
    let at = tree_path(FSTAB)?;
    let mut text = String::new();
    if let Some(mut file) = confined::open_file_if_there(root, &at)? {
        file.read_to_string(&mut text).at("read", FSTAB)?;
    }
    let ours = |line: &str| {
        let place = line.split_whitespace().nth(1);
        !line.trim_start().starts_with('#') && lines.iter().any(|(point, _)| place == Some(point))
    };
    let mut fstab: String = text.lines().filter(|line| !ours(line)).map(|line| format!("{line}\n")).collect();
    lines.iter().for_each(|(_, line)| fstab += &format!("{line}\n"));
    let temporary = "etc/fstab.thinroot-new";
    write_new(tree, temporary, &fstab)?;
    tree.replace(&tree_path(temporary)?, &at)
}

fn write_new(tree: &mut Tree, path: &str, text: &str) -> Result<()> {
    let mut file = tree.file(&tree_path(path)?, Open::New)?;
    file.write_all(text.as_bytes()).at("write", path)?;
    file.set_permissions(PermissionsExt::from_mode(0o644)).at("set the mode of", path)
}

/// Makes a shared volume with what the layer has in that place.
fn share(host: &Host, root: &Path, volume: &SharedVolume) -> Result<()> {
    let name = volume.name.parse().map_err(|error| Error::failed(format!("make volume {}", volume.name), error))?;
    let new = NewVolume { name, role: Role::Shared, fs: FsKind::Ext4, size_bytes: volume.size_bytes };
    host.store.create(&new)?;
    host.store.publish(&new.name, None)?;
    let mounted = host.store.mount(&new.name, Access::WriteLayer)?;
    let from = Tree::open(root)?.file(&tree_path(volume.mount_point.trim_matches('/'))?, Open::Reference)?;
    // Through the descriptor: the way there was resolved beneath the layer's root.
    let from = format!("/proc/{}/fd/{}/.", std::process::id(), from.as_raw_fd());
    Cmd::new("cp").args(["--archive", "--no-target-directory"]).arg(from).arg(mounted.path()).run()?;
    mounted.finish()
}

fn tree_path(text: &str) -> Result<TreePath> {
    TreePath::parse(text.as_bytes()).map_err(|error| Error::failed(format!("use the path {text}"), error))
}
