//! What can only be settled once every path is decided: parents, link targets, names of one inode, directory times.
//!
//! Separate from the rows because each of these looks at the new layer as a whole.

use std::collections::{BTreeMap, HashMap};

use super::plan::{Action, Content, Decision, Kept, Level, Side};
use crate::manifest::{Entry, Kind, LinkTarget, Manifest, Timestamp};
use crate::path::TreePath;

/// How many symbolic links one lookup may follow, as in the kernel.
const MAX_LINKS: usize = 40;
/// Trees that exist only on a running system: a target there cannot be judged.
const RUNTIME: [&[u8]; 4] = [b"run", b"proc", b"sys", b"dev"];

/// Settles what is left and returns the times to put back on directories.
pub(super) fn settle(decisions: &mut [Decision], new: &Manifest) -> BTreeMap<TreePath, Timestamp> {
    block_orphans(decisions, new);
    note_dangling(decisions, new);
    link_local(decisions, new);
    detach_vendor(decisions, new);
    directory_times(decisions, new)
}

/// The new layer as the decisions make it.
struct View<'a> {
    new: &'a Manifest,
    decided: HashMap<&'a TreePath, Option<&'a Entry>>,
}

impl<'a> View<'a> {
    fn of(decisions: &'a [Decision], new: &'a Manifest) -> Self {
        let decided = decisions.iter().filter_map(|decision| match &decision.action {
            Action::Leave => None,
            Action::Put { entry, .. } => Some((&decision.path, Some(entry))),
            Action::Remove => Some((&decision.path, None)),
        });
        View { new, decided: decided.collect() }
    }

    fn get(&self, path: &TreePath) -> Option<&Entry> {
        match self.decided.get(path) {
            Some(entry) => *entry,
            None => self.new.get(path),
        }
    }
}

/// A carried path whose directory is none in the new layer is set aside, and a person must say where it belongs (row 15).
fn block_orphans(decisions: &mut [Decision], new: &Manifest) {
    loop {
        let view = View::of(decisions, new);
        let homeless = |decision: &&Decision| {
            matches!(decision.action, Action::Put { .. })
                && decision.path.parent().is_some_and(|p| view.get(&p).is_none_or(|e| e.kind != Kind::Directory))
        };
        let found: Vec<TreePath> = decisions.iter().filter(homeless).map(|d| d.path.clone()).collect();
        if found.is_empty() {
            break;
        }
        for decision in decisions.iter_mut().filter(|d| found.binary_search(&d.path).is_ok()) {
            set_aside(decision);
        }
    }
}

fn set_aside(decision: &mut Decision) {
    let Action::Put { entry, content } = std::mem::replace(&mut decision.action, Action::Leave) else { return };
    if let (Kind::File { size, digest, .. }, Content::Local) = (&entry.kind, &content) {
        decision.kept.push(Kept { side: Side::Local, digest: *digest, size_bytes: *size });
        decision.kept.sort();
    }
    decision.row = 15;
    decision.id = format!("15:{}", decision.path);
    decision.level = Level::Block;
    decision.reason = format!("{}, but its directory is none in the new image; a person must decide", decision.reason);
}

/// A link that replaced something else must lead somewhere in the new layer.
fn note_dangling(decisions: &mut [Decision], new: &Manifest) {
    let alternatives = TreePath::parse(b"etc/alternatives").expect("a constant path");
    let view = View::of(decisions, new);
    let dangling = |decision: &Decision| match &decision.action {
        Action::Put { entry: Entry { kind: Kind::Symlink { target }, .. }, .. }
            if [16, 17].contains(&decision.row) || decision.path.is_within(&alternatives) =>
        {
            !resolves(&view, &decision.path, target)
        }
        Action::Put { .. } | Action::Leave | Action::Remove => false,
    };
    let found: Vec<usize> = (0..decisions.len()).filter(|i| dangling(&decisions[*i])).collect();
    for i in found {
        let decision = &mut decisions[i];
        if decision.path.is_within(&alternatives) {
            decision.action = if new.get(&decision.path).is_some() { Action::Leave } else { Action::Remove };
            decision.level = Level::Notice;
            decision.reason.push_str("; what was chosen is not in the new image, whose own choice holds");
            continue;
        }
        decision.level = decision.level.max(Level::Notice);
        decision.reason.push_str("; its target is missing in the new layer");
    }
}

/// Whether a link leads to something, by the entries alone.
fn resolves(view: &View<'_>, link: &TreePath, target: &LinkTarget) -> bool {
    let mut at = if target.0.starts_with(b"/") { TreePath::root() } else { link.parent().unwrap_or_default() };
    let mut rest: Vec<Vec<u8>> = parts(&target.0);
    let mut followed = 0;
    while let Some(part) = rest.pop() {
        if part == b".." {
            at = at.parent().unwrap_or_default();
            continue;
        }
        let Ok(next) = at.join(&part) else { return false };
        if at.is_root() && RUNTIME.contains(&part.as_slice()) {
            return true;
        }
        match view.get(&next).map(|entry| &entry.kind) {
            None => return false,
            Some(Kind::Symlink { target }) => {
                followed += 1;
                if followed > MAX_LINKS {
                    return false;
                }
                if target.0.starts_with(b"/") {
                    at = TreePath::root();
                }
                rest.extend(parts(&target.0));
            }
            Some(Kind::Directory) => at = next,
            Some(Kind::File { .. } | Kind::Fifo | Kind::Char { .. } | Kind::Block { .. } | Kind::Socket) => {
                return rest.is_empty();
            }
        }
    }
    true
}

/// Components of a target, last first.
fn parts(target: &[u8]) -> Vec<Vec<u8>> {
    target.split(|b| *b == b'/').filter(|p| !p.is_empty() && *p != b".").rev().map(<[u8]>::to_vec).collect()
}

/// Names of one inode in the layer become names of one inode in the new layer, where their results are alike.
fn link_local(decisions: &mut [Decision], new: &Manifest) {
    let mut first_of: HashMap<TreePath, (TreePath, Entry)> = HashMap::new();
    let untouched: Vec<TreePath> =
        decisions.iter().filter(|d| d.action != Action::Leave).map(|d| d.path.clone()).collect();
    for decision in decisions {
        let Action::Put { entry, content } = &mut decision.action else { continue };
        if *content != Content::Local || entry.kind == Kind::Directory {
            continue;
        }
        let group = entry.hardlink.take().unwrap_or_else(|| decision.path.clone());
        let image_has_it = new.get(&group).filter(|n| {
            group != decision.path
                && untouched.binary_search(&group).is_err()
                && n.kind == entry.kind
                && n.meta == entry.meta
        });
        let first = match (first_of.get(&group), image_has_it) {
            (Some((path, like)), _) if like.kind == entry.kind && like.meta == entry.meta => Some(path.clone()),
            (Some(_), _) => None,
            (None, Some(n)) => Some(n.path.clone()),
            (None, None) => {
                first_of.insert(group, (decision.path.clone(), entry.clone()));
                None
            }
        };
        if let Some(path) = first {
            entry.hardlink = Some(path.clone());
            *content = Content::LinkTo { path };
        }
    }
}

/// Setting owner, mode or attributes on one name of an inode sets them on all: allowed where the decisions agree for
/// every name, else the path becomes an inode of its own.
fn detach_vendor(decisions: &mut [Decision], new: &Manifest) {
    let mut members: HashMap<&TreePath, Vec<&TreePath>> = HashMap::new();
    for entry in new.entries() {
        if let Some(first) = &entry.hardlink {
            members.entry(first).or_insert_with(|| vec![first]).push(&entry.path);
        }
    }
    let metas: HashMap<TreePath, _> = decisions
        .iter()
        .filter_map(|d| match &d.action {
            Action::Put { entry, content: Content::Vendor { .. } } => Some((d.path.clone(), entry.meta.clone())),
            Action::Put { .. } | Action::Leave | Action::Remove => None,
        })
        .collect();
    for decision in decisions {
        let Action::Put { entry, content: Content::Vendor { detach } } = &mut decision.action else { continue };
        let first = new.get(&decision.path).and_then(|n| n.hardlink.as_ref()).unwrap_or(&decision.path);
        let Some(group) = members.get(first) else { continue };
        *detach = !group.iter().all(|path| metas.get(*path) == Some(&entry.meta));
        if *detach {
            entry.hardlink = None;
        }
    }
}

/// Writing into a directory changes its time; the result must not depend on when it was written.
fn directory_times(decisions: &[Decision], new: &Manifest) -> BTreeMap<TreePath, Timestamp> {
    let view = View::of(decisions, new);
    let mut times = BTreeMap::new();
    for decision in decisions.iter().filter(|d| d.action != Action::Leave) {
        for path in [Some(decision.path.clone()), decision.path.parent()].into_iter().flatten() {
            if let Some(entry) = view.get(&path).filter(|entry| entry.kind == Kind::Directory) {
                times.insert(path, entry.meta.mtime);
            }
        }
    }
    times
}
