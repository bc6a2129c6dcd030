//! What systemd starts: whether a unit is enabled is one decision, however many links say so.
//!
//! Separate because links are how it is written and not what was decided. A unit whose `[Install]` section another image
//! writes differently is enabled by other links there: one that was disabled here would come back by the new ones, one that
//! was enabled here would not start. So the old base and the old layer are told in the new image's links before they are
//! merged; after that a link is a link. Images ship the links of their presets, so what a base has is what its presets say.
//!
//! Must stay true: nothing is touched but links of units over which this host decided otherwise than its old image, and
//! whose links are others in the new one.

use std::collections::{BTreeMap, BTreeSet};

use super::{Change, Delta};
use crate::manifest::{Entry, Kind, LinkTarget, Manifest, Meta};
use crate::path::TreePath;

/// Where links are, and where an image has its units, most important first.
const PLACES: [(&str, [&str; 2]); 2] = [
    ("etc/systemd/system", ["usr/lib/systemd/system", "lib/systemd/system"]),
    ("etc/systemd/user", ["usr/lib/systemd/user", "lib/systemd/user"]),
];
/// Directories of links that are made for the sections' lines.
const LISTS: [(&str, &str); 3] = [("WantedBy", ".wants"), ("RequiredBy", ".requires"), ("UpheldBy", ".upholds")];

/// A unit over which this host may have decided otherwise than its image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// The directory of its links.
    dir: TreePath,
    /// `ssh.service`, `getty@tty1.service`.
    name: String,
    /// Its file in the old base.
    pub base: Option<TreePath>,
    /// Its file in the new image.
    pub new: Option<TreePath>,
}

/// Texts of files, by path.
pub type Texts = BTreeMap<TreePath, Vec<u8>>;

/// Links of units that this host touched, by the unit. Their files have to be read for [`in_new_links`]. A unit whose file
/// the admin wrote is the admin's, and so are its links.
pub fn touched(base: &Manifest, delta: &Delta, new: &Manifest) -> Vec<Unit> {
    let mut found = BTreeSet::new();
    for (path, change) in &delta.changes {
        for (at, (dir, _)) in PLACES.iter().enumerate() {
            let dir = constant(dir);
            let links = [base.get(path), change.entry()];
            let target = links.iter().flatten().find_map(|entry| target(entry));
            let (Some(target), true) = (target, path.is_within(&dir)) else { continue };
            let listed = path.parent().is_some_and(|parent| parent != dir);
            let name = if listed { path.file_name().to_vec() } else { last(target).to_vec() };
            found.extend(String::from_utf8(name).ok().map(|name| (at, name)));
        }
    }
    let unit = |(at, name): (usize, String)| {
        let (dir, homes) = PLACES[at];
        let dir = constant(dir);
        let file = file_name(&name);
        let own = dir.join(file.as_bytes()).ok()?;
        if delta.changes.get(&own).and_then(Change::entry).is_some_and(|entry| entry.kind.digest().is_some()) {
            return None;
        }
        let in_tree = |tree: &Manifest| {
            let homes = homes.iter().map(|home| constant(home)).chain([dir.clone()]);
            let paths = homes.filter_map(|home| home.join(file.as_bytes()).ok());
            paths.into_iter().find(|path| tree.get(path).is_some_and(|entry| entry.kind.digest().is_some()))
        };
        Some(Unit { base: in_tree(base), new: in_tree(new), name, dir })
    };
    found.into_iter().filter_map(unit).filter(|unit| unit.base.is_some()).collect()
}

/// The old base and the changes of the old layer, told in the links of the new image; with what a person should know.
pub fn in_new_links(
    base: &Manifest,
    delta: &Delta,
    new: &Manifest,
    units: &[Unit],
    base_texts: &Texts,
    new_texts: &Texts,
) -> (Option<(Manifest, Delta)>, Vec<String>) {
    let mut told = Vec::new();
    let mut out: Option<(Manifest, Delta)> = None;
    for unit in units {
        let links = |file: &Option<TreePath>, texts: &Texts| -> BTreeMap<TreePath, Vec<u8>> {
            let text = file.as_ref().and_then(|file| texts.get(file));
            text.map(|text| unit.links(text, new)).unwrap_or_default()
        };
        let (old_links, new_links) = (links(&unit.base, base_texts), links(&unit.new, new_texts));
        let paths = |links: &BTreeMap<TreePath, Vec<u8>>| links.keys().cloned().collect::<BTreeSet<_>>();
        let local = |path: &TreePath| match delta.changes.get(path) {
            Some(change) => change.entry(),
            None => base.get(path),
        };
        let was = old_links.keys().any(|path| base.get(path).is_some());
        let is = old_links.keys().any(|path| local(path).is_some_and(|entry| target(entry).is_some()));
        if was == is || (unit.new.is_some() && paths(&old_links) == paths(&new_links)) {
            continue;
        }
        let (tree, changes) = out.get_or_insert_with(|| (base.clone(), delta.clone()));
        if unit.new.is_none() && is {
            told.push(format!(
                "{} is enabled here and no longer in the new image; its links are not carried",
                unit.name
            ));
        }
        let mut in_base = BTreeMap::new();
        for path in old_links.keys() {
            in_base.insert(path.clone(), None);
            changes.changes.remove(path);
        }
        for (path, target) in &new_links {
            let link = link(path, target);
            if was {
                in_base.insert(path.clone(), Some(link));
                changes.changes.insert(path.clone(), Change::Removed);
            } else {
                in_base.insert(path.clone(), None);
                changes.changes.insert(path.clone(), Change::Added(link));
                if let Some(dir) = path.parent().filter(|dir| tree.get(dir).is_none()) {
                    changes.changes.entry(dir.clone()).or_insert_with(|| Change::Added(directory(&dir)));
                }
            }
        }
        *tree = with_links(tree, in_base);
    }
    (out, told)
}

impl Unit {
    /// The links that enabling it makes: path and target.
    fn links(&self, text: &[u8], new: &Manifest) -> BTreeMap<TreePath, Vec<u8>> {
        let text = String::from_utf8_lossy(text);
        let install = install_lines(&text);
        let target = format!("{}/{}", home(&self.dir, new), file_name(&self.name)).into_bytes();
        let mut links = BTreeMap::new();
        for (key, values) in install {
            for name in values {
                let at = match LISTS.iter().find(|(known, _)| *known == key) {
                    Some((_, ending)) => self.dir.join(format!("{name}{ending}").as_bytes()).ok(),
                    None if key == "Alias" => Some(self.dir.clone()),
                    None => None,
                };
                let link = if key == "Alias" { name } else { self.name.clone() };
                links.extend(at.and_then(|at| at.join(link.as_bytes()).ok()).map(|path| (path, target.clone())));
            }
        }
        links
    }
}

/// `getty@tty1.service` is made from `getty@.service`.
fn file_name(name: &str) -> String {
    match (name.split_once('@'), name.rsplit_once('.')) {
        (Some((template, _)), Some((_, ending))) => format!("{template}@.{ending}"),
        _ => name.to_string(),
    }
}

/// Keys of the section `[Install]` with their values.
fn install_lines(text: &str) -> Vec<(String, Vec<String>)> {
    let mut inside = false;
    let mut found = Vec::new();
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            inside = line == "[Install]";
        } else if let (true, Some((key, values))) = (inside, line.split_once('=')) {
            let plain = |name: &&str| !name.contains(['/', '%']) && !name.is_empty();
            let values = values.split_whitespace().filter(plain).map(String::from).collect();
            found.push((key.trim().to_string(), values));
        }
    }
    found
}

/// How the new image's own links name its units: through `/lib` or `/usr/lib`.
fn home(dir: &TreePath, new: &Manifest) -> String {
    let kind = String::from_utf8_lossy(dir.file_name()).into_owned();
    let short = format!("/lib/systemd/{kind}/");
    let uses = |entry: &Entry| target(entry).is_some_and(|target| target.starts_with(short.as_bytes()));
    let prefix = if new.beneath(dir).any(uses) { "/lib" } else { "/usr/lib" };
    format!("{prefix}/systemd/{kind}")
}

fn with_links(tree: &Manifest, links: BTreeMap<TreePath, Option<Entry>>) -> Manifest {
    let mut changes = BTreeMap::new();
    for (path, entry) in links {
        if let (Some(_), Some(dir)) = (&entry, path.parent().filter(|dir| tree.get(dir).is_none())) {
            changes.insert(dir.clone(), Change::Added(directory(&dir)));
        }
        changes.insert(path, entry.map_or(Change::Removed, Change::Modified));
    }
    let delta = Delta { accounts: tree.accounts().clone(), changes };
    delta.over(tree).unwrap_or_else(|_| tree.clone())
}

fn directory(path: &TreePath) -> Entry {
    let meta = Meta { mode: 0o755, ..Meta::default() };
    Entry { path: path.clone(), kind: Kind::Directory, meta, hardlink: None }
}

fn link(path: &TreePath, target: &[u8]) -> Entry {
    let meta = Meta { mode: 0o777, ..Meta::default() };
    Entry { path: path.clone(), kind: Kind::Symlink { target: LinkTarget(target.into()) }, meta, hardlink: None }
}

fn target(entry: &Entry) -> Option<&[u8]> {
    if let Kind::Symlink { target } = &entry.kind { Some(&target.0) } else { None }
}

fn last(target: &[u8]) -> &[u8] {
    target.rsplit(|b| *b == b'/').next().unwrap_or_default()
}

fn constant(path: &str) -> TreePath {
    TreePath::parse(path.as_bytes()).expect("a constant path")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Accounts, Digest};
    use crate::state::policy::Policy;
    use crate::state::{Action, plan};

    fn file(at: &str, content: u8) -> Entry {
        let kind = Kind::File { size: 1, digest: Digest([content; 32]), sparse: false };
        Entry { path: constant(at), kind, meta: Meta::default(), hardlink: None }
    }

    fn tree(entries: Vec<Entry>) -> Manifest {
        let mut all = BTreeMap::new();
        for entry in entries {
            for dir in std::iter::successors(entry.path.parent(), TreePath::parent) {
                let made = Entry { path: dir.clone(), kind: Kind::Directory, meta: Meta::default(), hardlink: None };
                all.entry(dir).or_insert(made);
            }
            all.insert(entry.path.clone(), entry);
        }
        Manifest::new(Accounts::default(), all.into_values().collect()).unwrap()
    }

    const UNIT: &str = "usr/lib/systemd/system/app.service";
    const OLD: &str = "etc/systemd/system/multi-user.target.wants/app.service";
    const NEW: &str = "etc/systemd/system/graphical.target.wants/app.service";

    /// What becomes of the two links, where the base, the layer and the new image enable the unit.
    fn links(base: bool, local: bool, new: bool) -> (bool, bool, Vec<String>) {
        let to = b"/usr/lib/systemd/system/app.service";
        let with = |entries: Vec<Entry>, at: &str, on: bool| {
            tree(entries.into_iter().chain(on.then(|| link(&constant(at), to))).collect())
        };
        let keep = file("etc/systemd/system/x", 1);
        let b = with(vec![file(UNIT, 1), keep.clone()], OLD, base);
        let n = with(vec![file(UNIT, 2), keep], NEW, new);
        let change = match (base, local) {
            (true, false) => Some(Change::Removed),
            (false, true) => Some(Change::Added(link(&constant(OLD), to))),
            (true, true) | (false, false) => None,
        };
        let changes = change.into_iter().map(|change| (constant(OLD), change)).collect();
        let delta = Delta { accounts: Accounts::default(), changes };
        let units = touched(&b, &delta, &n);
        let text = |by: &str| Texts::from([(constant(UNIT), format!("[Install]\nWantedBy={by}\n").into_bytes())]);
        let (told_in, notes) =
            in_new_links(&b, &delta, &n, &units, &text("multi-user.target"), &text("graphical.target"));
        let (b, delta) = told_in.unwrap_or((b, delta));
        let plan = plan(&b, &delta, &n, &Policy::default(), &BTreeMap::new());
        let there = |at: &str| {
            let path = constant(at);
            match plan.decisions.iter().find(|decision| decision.path == path).map(|decision| &decision.action) {
                Some(Action::Put { .. }) => true,
                Some(Action::Remove) => false,
                Some(Action::Leave) | None => n.get(&path).is_some(),
            }
        };
        (there(OLD), there(NEW), notes)
    }

    #[test]
    fn a_decision_outlives_its_links() {
        // Without a decision of this host the image's holds.
        assert_eq!(links(true, true, true), (false, true, vec![]));
        assert_eq!(links(true, true, false), (false, false, vec![]));
        assert_eq!(links(false, false, true), (false, true, vec![]));
        // Disabled here: it does not come back by another link. Enabled here: it is, by the link of the new image.
        assert_eq!(links(true, false, true), (false, false, vec![]));
        assert_eq!(links(true, false, false), (false, false, vec![]));
        assert_eq!(links(false, true, true), (false, true, vec![]));
        assert_eq!(links(false, true, false), (false, true, vec![]));
    }

    #[test]
    fn a_unit_that_is_gone_leaves_no_link_behind() {
        let b = tree(vec![file(UNIT, 1)]);
        let n = tree(vec![file("etc/systemd/system/x", 1)]);
        let changes = [(constant(OLD), Change::Added(link(&constant(OLD), b"/usr/lib/systemd/system/app.service")))];
        let delta = Delta { accounts: Accounts::default(), changes: changes.into() };
        let units = touched(&b, &delta, &n);
        let text = Texts::from([(constant(UNIT), b"[Install]\nWantedBy=multi-user.target\n".to_vec())]);
        let (told_in, notes) = in_new_links(&b, &delta, &n, &units, &text, &Texts::new());
        assert_eq!(told_in.unwrap().1.changes, BTreeMap::new());
        assert_eq!(notes, ["app.service is enabled here and no longer in the new image; its links are not carried"]);
    }

    #[test]
    fn templates_aliases_and_hostile_files() {
        assert_eq!(file_name("getty@tty1.service"), "getty@.service");
        assert_eq!(file_name("a.b.timer"), "a.b.timer");
        let n = tree(vec![link(&constant("etc/systemd/system/x.service"), b"/lib/systemd/system/x.service")]);
        let unit = Unit { dir: constant("etc/systemd/system"), name: "ssh.service".into(), base: None, new: None };
        let text = b"WantedBy=no\n[Install]\nWantedBy=multi-user.target ../x %i \xff/y\nAlias=sshd.service\nAlso=z\n[X]\nAlias=q\n";
        let links: Vec<String> =
            unit.links(text, &n).iter().map(|(path, to)| format!("{path} {}", String::from_utf8_lossy(to))).collect();
        assert_eq!(
            links,
            [
                "/etc/systemd/system/multi-user.target.wants/ssh.service /lib/systemd/system/ssh.service",
                "/etc/systemd/system/sshd.service /lib/systemd/system/ssh.service",
            ]
        );
        // A unit file of the admin's is nobody else's.
        let own = "etc/systemd/system/app.service";
        let b = tree(vec![file(UNIT, 1)]);
        let changes = [
            (constant(own), Change::Added(file(own, 3))),
            (constant(OLD), Change::Added(link(&constant(OLD), b"/x/app.service"))),
        ];
        assert_eq!(touched(&b, &Delta { accounts: Accounts::default(), changes: changes.into() }, &b), []);
    }
}
