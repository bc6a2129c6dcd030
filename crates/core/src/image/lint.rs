//! What a publisher would rather know before hosts do: identity that many hosts would share, traces of the building, set-id
//! programs nobody meant, numbers that moved.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::compare::{AccountTable, compare};
use crate::manifest::{Entry, Kind, Manifest, XattrName};
use crate::name::ImageId;
use crate::path::TreePath;

/// Files whose text decides something here.
pub const TEXTS: [&str; 5] =
    ["etc/machine-id", "var/lib/dbus/machine-id", "etc/shadow", "etc/selinux/config", "etc/fstab"];

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Hosts would be harmed by it.
    Error,
    /// Somebody should look at it.
    Warning,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// The rule, in one word.
    pub rule: &'static str,
    /// What is wrong and what to do, in one sentence.
    pub said: String,
    /// What it is about, sorted; empty where it is about the image.
    pub paths: Vec<TreePath>,
}

/// An image that is looked at.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Who it is.
    pub id: &'a ImageId,
    /// Its paths.
    pub manifest: &'a Manifest,
    /// Of [`TEXTS`] those that it has.
    pub texts: &'a BTreeMap<TreePath, Vec<u8>>,
    /// The one that hosts have now.
    pub previous: Option<(&'a ImageId, &'a Manifest)>,
}

/// A thing of one host: where a path is exactly one, or begins and ends so, with something in it.
const OF_ONE_HOST: [(&str, &str, Level, &str, &str); 15] = [
    ("etc/ssh/ssh_host_", "_key", Level::Error, "identity", "a host key that all hosts would share"),
    ("var/lib/systemd/random-seed", "", Level::Error, "identity", "a random seed that all hosts would share"),
    ("var/lib/systemd/credential.secret", "", Level::Error, "identity", "a secret that all hosts would share"),
    ("var/lib/NetworkManager/secret_key", "", Level::Error, "identity", "a secret that all hosts would share"),
    ("etc/iscsi/initiatorname.iscsi", "", Level::Error, "identity", "an initiator's name that all hosts would share"),
    ("etc/nvme/hostid", "", Level::Error, "identity", "an id that all hosts would share"),
    ("etc/lvm/devices/system.devices", "", Level::Error, "identity", "the disks of the machine that it was built on"),
    ("etc/udev/rules.d/70-persistent-net.rules", "", Level::Error, "identity", "the network cards of one machine"),
    ("var/lib/dhcp/", ".leases", Level::Warning, "traces", "a lease of one machine"),
    ("root/.ssh/authorized_keys", "", Level::Warning, "access", "whoever has that key may enter every host"),
    ("root/.bash_history", "", Level::Warning, "traces", "what was typed while it was built"),
    ("var/log/", ".log", Level::Warning, "traces", "a log of the building"),
    ("var/cache/apt/archives/", ".deb", Level::Warning, "traces", "a downloaded package"),
    ("var/cache/dnf/", ".rpm", Level::Warning, "traces", "a downloaded package"),
    ("var/lib/apt/lists/", "Packages", Level::Warning, "traces", "a list of packages that will be old"),
];

/// Where a set-id program may be expected.
const OF_PROGRAMS: [&str; 6] = ["usr", "bin", "sbin", "lib", "lib64", "opt"];

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Level::Error => "error",
            Level::Warning => "warning",
        })
    }
}

/// Looks at everything; errors first.
pub fn lint(image: Subject<'_>) -> Vec<Finding> {
    let mut found = Found::default();
    of_one_host(image, &mut found);
    passwords(image, &mut found);
    rights(image, &mut found);
    labels(image, &mut found);
    if let Some((id, manifest)) = image.previous {
        succession(image, id, manifest, &mut found);
    }
    let mut findings = found.0;
    findings.sort_by(|a, b| (a.level, a.rule).cmp(&(b.level, b.rule)));
    findings
}

#[derive(Default)]
struct Found(Vec<Finding>);

impl Found {
    /// One finding for all paths of which the same is said.
    fn about(&mut self, level: Level, rule: &'static str, said: impl Into<String>, path: Option<&TreePath>) {
        let said = said.into();
        let known = self.0.iter_mut().find(|it| it.rule == rule && it.said == said);
        match known {
            Some(finding) => finding.paths.extend(path.cloned()),
            None => self.0.push(Finding { level, rule, said, paths: path.into_iter().cloned().collect() }),
        }
    }
}

fn text<'a>(image: Subject<'a>, path: &str) -> Option<(TreePath, std::borrow::Cow<'a, str>)> {
    let path = TreePath::parse(path.as_bytes()).ok()?;
    let text = String::from_utf8_lossy(image.texts.get(&path)?);
    Some((path, text))
}

fn of_one_host(image: Subject<'_>, found: &mut Found) {
    for path in ["etc/machine-id", "var/lib/dbus/machine-id"] {
        if let Some((path, text)) = text(image, path)
            && !matches!(text.trim(), "" | "uninitialized")
        {
            let said = "a machine id that all hosts would share: ship it empty";
            found.about(Level::Error, "identity", said, Some(&path));
        }
    }
    if let Some((path, text)) = text(image, "etc/fstab")
        && text.lines().any(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'))
    {
        let said = "names file systems, which are each host's own: 'install' and the layer write theirs";
        found.about(Level::Warning, "host", said, Some(&path));
    }
    for entry in image.manifest.entries().iter().filter(|entry| entry.kind.content_bytes() > 0) {
        let path = entry.path.as_bytes();
        let fits = |begin: &str, end: &str| match end {
            "" => path == begin.as_bytes(),
            _ => path.starts_with(begin.as_bytes()) && path.ends_with(end.as_bytes()),
        };
        if let Some((.., level, rule, what)) = OF_ONE_HOST.iter().find(|(begin, end, ..)| fits(begin, end)) {
            found.about(*level, rule, format!("{what}: leave it out"), Some(&entry.path));
        }
    }
}

fn passwords(image: Subject<'_>, found: &mut Found) {
    let Some((path, text)) = text(image, "etc/shadow") else { return };
    for line in text.lines() {
        let mut fields = line.split(':');
        let (Some(name), Some(password)) = (fields.next(), fields.next()) else { continue };
        match password {
            "" => found.about(Level::Error, "access", format!("{name} has no password: lock it"), Some(&path)),
            locked if locked.starts_with(['!', '*']) => {}
            _ => {
                let said = format!("{name} has a password that all hosts would share: lock it");
                found.about(Level::Warning, "access", said, Some(&path));
            }
        }
    }
}

fn is_set_id(entry: &Entry) -> bool {
    let is_file = matches!(entry.kind, Kind::File { .. });
    let capable = entry.meta.xattrs.contains_key(&XattrName(b"security.capability".as_slice().into()));
    is_file && (entry.meta.mode & 0o6000 != 0 || capable)
}

fn rights(image: Subject<'_>, found: &mut Found) {
    let accounts = image.manifest.accounts();
    for entry in image.manifest.entries() {
        let path = Some(&entry.path);
        let mode = entry.meta.mode;
        if is_set_id(entry) {
            let place = entry.path.components().next().unwrap_or_default();
            if !OF_PROGRAMS.iter().any(|known| known.as_bytes() == place) {
                found.about(
                    Level::Error,
                    "set-id",
                    "runs with more rights than its caller from no place of programs",
                    path,
                );
            }
            if mode & 0o002 != 0 {
                found.about(
                    Level::Error,
                    "set-id",
                    "runs with more rights than its caller, and everyone may change it",
                    path,
                );
            }
        }
        match &entry.kind {
            Kind::File { .. } if mode & 0o002 != 0 => {
                found.about(Level::Warning, "writable", "a file that everyone may change", path);
            }
            Kind::Directory if mode & 0o1002 == 0o002 => {
                let said = "a directory in which everyone may remove what others put there";
                found.about(Level::Warning, "writable", said, path);
            }
            Kind::Char { .. } | Kind::Block { .. } if !entry.path.as_bytes().starts_with(b"dev/") => {
                found.about(Level::Warning, "device", "a device that is not in /dev", path);
            }
            Kind::File { .. } | Kind::Directory | Kind::Symlink { .. } | Kind::Fifo | Kind::Socket => {}
            Kind::Char { .. } | Kind::Block { .. } => {}
        }
        if !accounts.users.contains_key(&entry.meta.uid) && !accounts.users.is_empty() {
            let said = format!("belongs to user {}, whom the image does not know", entry.meta.uid);
            found.about(Level::Warning, "owner", said, path);
        }
        if !accounts.groups.contains_key(&entry.meta.gid) && !accounts.groups.is_empty() {
            let said = format!("belongs to group {}, which the image does not know", entry.meta.gid);
            found.about(Level::Warning, "owner", said, path);
        }
    }
}

/// Labelling a host at its first start takes long, and what is written until then stays wrong.
fn labels(image: Subject<'_>, found: &mut Found) {
    let Some((_, text)) = text(image, "etc/selinux/config") else { return };
    let mode = text.lines().filter_map(|line| line.trim().strip_prefix("SELINUX=")).next_back();
    if !matches!(mode.map(str::trim), Some("enforcing" | "permissive")) {
        return;
    }
    let label = XattrName(b"security.selinux".as_slice().into());
    let without = image.manifest.entries().iter().filter(|entry| !entry.meta.xattrs.contains_key(&label));
    for entry in without {
        let said = "SELinux is on and this has no label: set the labels while building (setfiles -r ROOT)";
        found.about(Level::Error, "labels", said, Some(&entry.path));
    }
}

fn succession(image: Subject<'_>, id: &ImageId, previous: &Manifest, found: &mut Found) {
    if image.id.name() != id.name() {
        let said = format!("its name is not that of {id}: hosts take it for another product");
        found.about(Level::Error, "version", said, None);
    } else if image.id <= id {
        let said = format!("it is not newer than {id}: hosts do not take it without --allow-downgrade");
        found.about(Level::Error, "version", said, None);
    }
    for change in compare((previous, None), (image.manifest, None)).accounts {
        let table = match change.table {
            AccountTable::User => "user",
            AccountTable::Group => "group",
        };
        let Some((old, new)) = change.old.zip(change.new) else { continue };
        let said = format!("{table} {} was {old} and is {new}: give it a fixed number", change.name);
        found.about(Level::Error, "numbers", said, None);
    }
    for entry in image.manifest.entries().iter().filter(|entry| is_set_id(entry)) {
        if !previous.get(&entry.path).is_some_and(is_set_id) {
            let said = format!("runs with more rights than its caller, and did not in {id}");
            found.about(Level::Warning, "set-id", said, Some(&entry.path));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Accounts, Digest, Meta, XattrValue};

    fn path(text: &str) -> TreePath {
        TreePath::parse(text.as_bytes()).unwrap()
    }

    fn entry(at: &str, kind: Kind, mode: u16) -> Entry {
        Entry { path: path(at), kind, meta: Meta { mode, ..Meta::default() }, hardlink: None }
    }

    fn file(at: &str, mode: u16) -> Entry {
        entry(at, Kind::File { size: 9, digest: Digest([1; 32]), sparse: false }, mode)
    }

    /// With the directories that are needed.
    fn image(www: u32, entries: Vec<Entry>) -> Manifest {
        let mut all = vec![Entry { path: TreePath::root(), ..entry("x", Kind::Directory, 0o755) }];
        for one in &entries {
            let mut at = one.path.parent();
            while let Some(dir) = at.filter(|dir| !dir.is_root()) {
                if all.iter().chain(&entries).all(|known| known.path != dir) {
                    all.push(Entry { path: dir.clone(), ..entry("x", Kind::Directory, 0o755) });
                }
                at = dir.parent();
            }
        }
        let users = [(0, "root".into()), (www, "www".into())].into();
        let accounts = Accounts { users, groups: [(0, "root".into())].into() };
        Manifest::new(accounts, [all, entries].concat()).unwrap()
    }

    fn told(manifest: &Manifest, texts: &[(&str, &str)], previous: Option<(&ImageId, &Manifest)>) -> Vec<String> {
        let texts = texts.iter().map(|(at, text)| (path(at), text.as_bytes().to_vec())).collect();
        let id = "node-2-0".parse().unwrap();
        let line = |it: Finding| {
            let paths: Vec<String> = it.paths.iter().map(ToString::to_string).collect();
            format!("{} {}: {} [{}]", it.level, it.rule, it.said, paths.join(" "))
        };
        lint(Subject { id: &id, manifest, texts: &texts, previous }).into_iter().map(line).collect()
    }

    #[test]
    fn a_clean_image_has_no_findings() {
        let sudo = file("usr/bin/sudo", 0o4755);
        let tree = image(33, vec![sudo, entry("tmp", Kind::Directory, 0o1777), file("etc/machine-id", 0o444)]);
        let texts = [
            ("etc/machine-id", "uninitialized\n"),
            ("etc/shadow", "root:*:1::\nada:!$6$x:1::\n"),
            ("etc/fstab", "# none\n"),
        ];
        assert_eq!(told(&tree, &texts, None), [""; 0]);
        let older = "node-1-0".parse().unwrap();
        assert_eq!(told(&tree, &texts, Some((&older, &tree))), [""; 0]);
    }

    #[test]
    fn what_hosts_would_share_is_an_error_and_what_was_left_a_warning() {
        let keys = ["etc/ssh/ssh_host_rsa_key", "etc/ssh/ssh_host_ed25519_key", "etc/ssh/ssh_host_rsa_key.pub"];
        let mut files: Vec<Entry> = keys.iter().map(|at| file(at, 0o600)).collect();
        files.extend([file("var/log/apt/term.log", 0o644), file("root/.bash_history", 0o600)]);
        let texts = [
            ("etc/machine-id", "0123\n"),
            ("etc/shadow", "root:$6$x:1::\nguest::1::\n"),
            ("etc/fstab", "/dev/sda1 / ext4\n"),
        ];
        let wanted = [
            "error access: guest has no password: lock it [/etc/shadow]",
            "error identity: a machine id that all hosts would share: ship it empty [/etc/machine-id]",
            "error identity: a host key that all hosts would share: leave it out [/etc/ssh/ssh_host_ed25519_key /etc/ssh/ssh_host_rsa_key]",
            "warning access: root has a password that all hosts would share: lock it [/etc/shadow]",
            "warning host: names file systems, which are each host's own: 'install' and the layer write theirs [/etc/fstab]",
            "warning traces: what was typed while it was built: leave it out [/root/.bash_history]",
            "warning traces: a log of the building: leave it out [/var/log/apt/term.log]",
        ];
        assert_eq!(told(&image(33, files), &texts, None), wanted);
    }

    #[test]
    fn rights_that_nobody_meant_are_told() {
        let mut lost = file("usr/bin/lost", 0o755);
        lost.meta.uid = 4242;
        let mut capable = file("srv/ping", 0o755);
        capable.meta.xattrs.insert(XattrName((*b"security.capability").into()), XattrValue((*b"x").into()));
        let open = entry("var/open", Kind::Directory, 0o777);
        let disk = entry("srv/sda", Kind::Block { major: 8, minor: 0 }, 0o600);
        let found = told(&image(33, vec![lost, capable, open, disk, file("usr/bin/su", 0o4757)]), &[], None);
        let wanted = [
            "error set-id: runs with more rights than its caller from no place of programs [/srv/ping]",
            "error set-id: runs with more rights than its caller, and everyone may change it [/usr/bin/su]",
            "warning device: a device that is not in /dev [/srv/sda]",
            "warning owner: belongs to user 4242, whom the image does not know [/usr/bin/lost]",
            "warning writable: a file that everyone may change [/usr/bin/su]",
            "warning writable: a directory in which everyone may remove what others put there [/var/open]",
        ];
        assert_eq!(found, wanted);
    }

    #[test]
    fn a_successor_keeps_numbers_and_gains_no_rights_unseen() {
        let old = image(33, vec![file("usr/bin/su", 0o4755), file("usr/bin/ping", 0o755)]);
        let new = image(34, vec![file("usr/bin/su", 0o4755), file("usr/bin/ping", 0o4755)]);
        for (id, first) in [
            ("node-1-0", None),
            ("node-2-0", Some("it is not newer than node-2-0")),
            ("other-1-0", Some("its name is not that of")),
        ] {
            let id: ImageId = id.parse().unwrap();
            let found = told(&new, &[], Some((&id, &old)));
            assert_eq!(found[0], "error numbers: user www was 33 and is 34: give it a fixed number []");
            assert_eq!(
                found.last().unwrap(),
                &format!("warning set-id: runs with more rights than its caller, and did not in {id} [/usr/bin/ping]")
            );
            assert_eq!(
                found
                    .get(1)
                    .filter(|it| it.starts_with("error version"))
                    .map(|it| first.is_some_and(|first| it.contains(first))),
                first.map(|_| true)
            );
        }
    }

    #[test]
    fn labels_are_wanted_where_selinux_is_on() {
        let tree = image(33, vec![file("usr/bin/su", 0o755)]);
        for (config, count) in [("SELINUX=disabled\n", 0), ("# SELINUX=enforcing\n", 0), ("SELINUX=enforcing\n", 1)] {
            let found = told(&tree, &[("etc/selinux/config", config)], None);
            assert_eq!(found.iter().filter(|it| it.starts_with("error labels")).count(), count, "{config}: {found:?}");
        }
    }
}
