//! Mounting volumes: with which options, where, and how a mount ends.
//!
//! Separate because both stores promise the same. Must stay true: nothing that may not change is mounted in a way that
//! changes it (a "read-only" mount of ext4 or XFS still replays its journal unless told not to), and a mount that ends
//! with [`Ending::Sync`] has said so if any write since mounting was lost.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::mount::{MountFlags, UnmountFlags};
use thinroot_core::inventory::{FsKind, Phase, Role, Volume};

use super::{Access, Ending, Mounted};
use crate::cmd::Cmd;
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::fault;
use crate::mounts::{new_point, remove_point};

/// How long a busy mount is given to become free. Starting a process takes milliseconds; who holds a mount for longer
/// holds it on purpose, and waiting more only delays the error.
const BUSY_LIMIT: Duration = Duration::from_secs(2);

/// How to mount one volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Manner {
    options: Vec<&'static str>,
    /// A journal has to be replayed before the content is right: mounted writable first, read-only then.
    replay_first: bool,
}

impl Manner {
    /// Whether anything is written to the volume.
    pub(super) fn writes(&self) -> bool {
        self.replay_first || !self.options.contains(&"ro")
    }
}

/// Decides how to mount a volume, or refuses.
///
/// - Base, inspected: no journal replay, ever. It was clean when it was sealed.
/// - Layer or shared volume, inspected: plainly `ro`. Whether an open journal may be replayed depends on whether the
///   device is writable; where it is not, the kernel refuses to mount rather than show half a file system.
/// - Frozen snapshot, inspected: it is ours and may carry the open journal of a running layer; replaying it is right.
pub(super) fn manner(volume: &Volume, access: Access) -> Result<Manner> {
    let refuse = |why: &str| {
        Err(Error::refused(format!("mount {} writable", volume.name.as_str()), why)
            .mend("mount it for inspection, or write into a layer of it"))
    };
    let plain = |options: &[&'static str]| Manner { options: options.to_vec(), replay_first: false };
    let inspect = ["ro", "nosuid", "nodev"];
    let xfs = volume.fs == FsKind::Xfs;
    let mut manner = match (access, volume.role, volume.phase) {
        (Access::Inspect, Role::Base, _) => {
            let mut manner = plain(&inspect);
            manner.options.push(if xfs { "norecovery" } else { "noload" });
            manner
        }
        (Access::Inspect, Role::Frozen, _) => {
            Manner { options: vec!["noatime", "nosuid", "nodev"], replay_first: true }
        }
        (Access::Inspect, Role::Layer | Role::Shared | Role::Records, _) => plain(&inspect),
        (Access::WriteBase, Role::Base, Phase::Staging) if xfs => plain(&["rw", "noatime"]),
        (Access::WriteBase, Role::Base, Phase::Staging) => plain(&["rw", "noload", "noatime"]),
        (Access::WriteLayer, Role::Layer | Role::Shared | Role::Records, _) => plain(&["rw", "noatime"]),
        (Access::WriteBase | Access::WriteLayer, Role::Base, Phase::Ready) => return refuse("it is a sealed base"),
        (Access::WriteLayer, Role::Base, Phase::Staging) => {
            return refuse("it is a base, which is written without a journal");
        }
        (Access::WriteBase | Access::WriteLayer, Role::Frozen, _) => return refuse("it is a frozen snapshot"),
        (Access::WriteBase, Role::Layer | Role::Shared | Role::Records, _) => return refuse("it is not a base"),
    };
    if xfs {
        // Layers share the UUID of their base, and XFS refuses a second mount of a UUID.
        manner.options.push("nouuid");
    }
    Ok(manner)
}

/// What is mounted: a block device, or an image file that needs a loop device (freed with the mount).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Medium {
    /// A block device.
    Device(PathBuf),
    /// An image file.
    Image(PathBuf),
}

impl Medium {
    fn path(&self) -> &Path {
        match self {
            Medium::Device(path) | Medium::Image(path) => path,
        }
    }
}

/// What the store does once the file system is unmounted.
pub(super) type AfterUnmount = dyn FnOnce(Ending) -> Result<()>;

/// Mounts a volume. `after` runs when it is unmounted, whether the unmounting reported errors or not.
pub(super) fn mount(volume: &Volume, medium: Medium, manner: &Manner, after: Box<AfterUnmount>) -> Result<Mounted> {
    let point = new_point(volume.name.as_str())?;
    let mut options = manner.options.join(",");
    if let Medium::Image(_) = medium {
        options.push_str(",loop");
    }
    let cmd = Cmd::new("mount").args(["-n", "-t", volume.fs.as_str(), "-o", &options]).arg(medium.path()).arg(&point);
    if let Err(error) = cmd.run() {
        remove_point(&point);
        return Err(Error::from(error).during(&format!("mount {}", volume.name.as_str())));
    }
    if manner.replay_first {
        let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOATIME;
        if let Err(error) = rustix::mount::mount_remount(&point, flags, "") {
            let_go(&point);
            return Err(error).at("make read-only", &point);
        }
    }
    finish_mount(point, medium, manner.writes(), after)
}

/// Shows the mount at `from` a second time, read-only or not: a file system that is in use cannot be mounted again with
/// other options.
pub(super) fn bind(name: &str, from: &Path, read_only: bool, after: Box<AfterUnmount>) -> Result<Mounted> {
    let point = new_point(name)?;
    if let Err(error) = rustix::mount::mount_bind(from, &point) {
        remove_point(&point);
        return Err(error).at("bind", from);
    }
    let flags = MountFlags::BIND | MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV;
    if read_only && let Err(error) = rustix::mount::mount_remount(&point, flags, "") {
        let_go(&point);
        return Err(error).at("make read-only", &point);
    }
    let medium = Medium::Device(from.to_path_buf());
    finish_mount(point, medium, !read_only, after)
}

fn finish_mount(point: PathBuf, medium: Medium, writes: bool, after: Box<AfterUnmount>) -> Result<Mounted> {
    // Opened before the first write: syncfs reports the errors that happened since its descriptor was opened.
    let root = match File::open(&point).at("open", &point) {
        Ok(root) => root,
        Err(error) => {
            let_go(&point);
            return Err(error);
        }
    };
    let at = point.clone();
    Ok(Mounted::new(
        at,
        Box::new(move |ending| {
            let ended = end(&point, root, &medium, writes, ending);
            let told = after(ending);
            ended.and(told)
        }),
    ))
}

/// Ends a mount. Whatever fails, nothing stays mounted; the first failure is the one reported.
fn end(point: &Path, root: File, medium: &Medium, writes: bool, ending: Ending) -> Result<()> {
    let synced = match ending {
        Ending::Sync if writes => sync(point, &root),
        Ending::Sync | Ending::Discard => Ok(()),
    };
    drop(root);
    let unmounted = match unmount(point) {
        Ok(()) => {
            remove_point(point);
            Ok(())
        }
        Err(error) => {
            let_go(point);
            Err(Error::new(ErrorKind::Busy, format!("unmount {}", point.display()), error)
                .mend("find who uses it with `fuser -vm` and try again"))
        }
    };
    let flushed = match ending {
        // Unmounting writes once more (the superblock), to the medium's own cache.
        Ending::Sync if writes => {
            File::open(medium.path()).at("open", medium.path()).and_then(|m| m.sync_all().at("fsync", medium.path()))
        }
        Ending::Sync | Ending::Discard => Ok(()),
    };
    synced.and(unmounted).and(flushed).and_then(|()| match ending {
        Ending::Sync if writes => fault::point("mount: ended"),
        Ending::Sync | Ending::Discard => Ok(()),
    })
}

/// Unmounts, with patience: while another thread starts a process, the child holds a copy of every descriptor of ours
/// until it executes its program.
fn unmount(point: &Path) -> rustix::io::Result<()> {
    let start = Instant::now();
    loop {
        match rustix::mount::unmount(point, UnmountFlags::NOFOLLOW) {
            Err(rustix::io::Errno::BUSY) if start.elapsed() < BUSY_LIMIT => {
                std::thread::sleep(Duration::from_millis(2));
            }
            ended => return ended,
        }
    }
}

fn sync(point: &Path, root: &File) -> Result<()> {
    fault::point("mount: before sync")?;
    rustix::fs::syncfs(root).map_err(|error| {
        Error::failed(format!("sync {}", point.display()), format!("some of what was written is lost: {error}"))
            .mend("look at the free space of the store (`thinroot status`), then run again")
    })
}

fn let_go(point: &Path) {
    // Best effort on an error path that has its own story: detached now, gone with the last user.
    let _ = rustix::mount::unmount(point, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW);
    remove_point(point);
}

/// One line of `/proc/self/mountinfo`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MountLine {
    /// `major:minor` of the file system's device.
    pub(crate) device: String,
    /// Which directory of the file system is mounted.
    pub(super) root: String,
    /// Where.
    pub(crate) point: PathBuf,
}

/// Reads the mounts that this process sees.
pub(crate) fn mounts() -> Result<Vec<MountLine>> {
    let path = "/proc/self/mountinfo";
    Ok(parse_mountinfo(&std::fs::read_to_string(path).at("read", path)?))
}

/// Format: proc_pid_mountinfo(5). Blanks in paths are octal escapes.
fn parse_mountinfo(text: &str) -> Vec<MountLine> {
    let line = |line: &str| {
        let fields: Vec<&str> = line.split(' ').collect();
        let [_, _, device, root, point, ..] = fields.as_slice() else { return None };
        Some(MountLine { device: device.to_string(), root: unescape(root), point: unescape(point).into() })
    };
    text.lines().filter_map(line).collect()
}

fn unescape(text: &str) -> String {
    [(r"\040", " "), (r"\011", "\t"), (r"\012", "\n"), (r"\134", r"\")]
        .iter()
        .fold(text.to_string(), |text, (code, char)| text.replace(code, char))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume(role: Role, phase: Phase, fs: FsKind) -> Volume {
        Volume {
            name: "v-1-0".parse().unwrap(),
            role,
            phase,
            origin: None,
            image_digest: None,
            fs,
            size_bytes: 0,
            used_bytes: None,
        }
    }

    #[test]
    fn who_may_be_mounted_how() {
        use Access::{Inspect, WriteBase, WriteLayer};
        use FsKind::{Ext4, Xfs};
        use Phase::{Ready, Staging};
        let rows = [
            (Inspect, Role::Base, Ready, Ext4, Some("ro,nosuid,nodev,noload")),
            (Inspect, Role::Base, Ready, Xfs, Some("ro,nosuid,nodev,norecovery,nouuid")),
            (Inspect, Role::Layer, Ready, Ext4, Some("ro,nosuid,nodev")),
            (Inspect, Role::Layer, Ready, Xfs, Some("ro,nosuid,nodev,nouuid")),
            (Inspect, Role::Frozen, Ready, Ext4, Some("noatime,nosuid,nodev then ro")),
            (WriteBase, Role::Base, Staging, Ext4, Some("rw,noload,noatime")),
            (WriteBase, Role::Base, Staging, Xfs, Some("rw,noatime,nouuid")),
            (WriteBase, Role::Base, Ready, Ext4, None),
            (WriteLayer, Role::Base, Ready, Ext4, None),
            (WriteLayer, Role::Base, Staging, Ext4, None),
            (WriteLayer, Role::Layer, Staging, Ext4, Some("rw,noatime")),
            (WriteLayer, Role::Layer, Ready, Xfs, Some("rw,noatime,nouuid")),
            (WriteLayer, Role::Records, Ready, Ext4, Some("rw,noatime")),
            (WriteLayer, Role::Frozen, Staging, Ext4, None),
            (WriteBase, Role::Layer, Staging, Ext4, None),
        ];
        for (access, role, phase, fs, want) in rows {
            let found = manner(&volume(role, phase, fs), access).ok().map(|m| {
                let then = if m.replay_first { " then ro" } else { "" };
                format!("{}{then}", m.options.join(","))
            });
            assert_eq!(found.as_deref(), want, "{access:?} {role:?} {phase:?} {fs:?}");
        }
    }

    #[test]
    fn mountinfo_is_read() {
        let text = "36 35 98:0 /mnt1 /mnt\\0402 rw,noatime master:1 - ext3 /dev/root rw\n\
                    22 1 253:3 / / rw shared:1 - ext4 /dev/mapper/vg0-a rw\n";
        let line = |device: &str, root: &str, point: &str| MountLine {
            device: device.into(),
            root: root.into(),
            point: point.into(),
        };
        assert_eq!(parse_mountinfo(text), [line("98:0", "/mnt1", "/mnt 2"), line("253:3", "/", "/")]);
    }
}
