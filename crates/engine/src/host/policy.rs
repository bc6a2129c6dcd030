//! The rules that hold for a layer: the built-in ones, the image's, the admin's, and what is pinned.
//!
//! Separate because they come from trees: an image's from the one that the state goes into, the admin's from the one it
//! comes from. Must stay true: a file with a mistake is refused before anything is touched.

use std::collections::BTreeMap;
use std::path::Path;

use thinroot_core::manifest::Manifest;
use thinroot_core::name::LayerName;
use thinroot_core::path::TreePath;
use thinroot_core::state::Policy;
use thinroot_core::state::policy::file::{Author, MAX_FILE_BYTES, PolicyFile, parse};
use thinroot_core::state::policy::{Class, Origin, Reach, Rule, Treatment};

use super::Host;
use crate::error::{Error, IoContext, Result};
use crate::source::Contents;
use crate::state::RootContents;

/// Where an image has its policy files.
const IMAGE_DIR: &[u8] = b"usr/lib/thinroot/state.d";
/// Where the admin has them. A file here takes the place of the image's file of the same name; an empty one removes it.
const ADMIN_DIR: &[u8] = b"etc/thinroot/state.d";
/// More files than a policy could need.
const MAX_FILES: usize = 500;

/// Texts of policy files by name.
type Files = BTreeMap<String, Vec<u8>>;

impl Host {
    /// The rules over a mounted layer as it is, with the policy of the image it was made from.
    pub fn policy_of(&self, root: &Path) -> Result<Policy> {
        let tree = RootContents::open(root)?;
        self.policy_from(files_of_tree(&tree, IMAGE_DIR)?, files_of_tree(&tree, ADMIN_DIR)?)
    }

    /// The rules over a layer.
    pub fn policy_of_layer(&self, layer: &LayerName) -> Result<Policy> {
        let mounted = self.look_into(layer)?;
        let policy = self.policy_of(mounted.path())?;
        mounted.finish()?;
        Ok(policy)
    }

    /// The rules by which the state of a mounted layer goes into an image.
    pub(super) fn policy_into(&self, root: &Path, new: &Manifest, contents: &mut dyn Contents) -> Result<Policy> {
        let admin = files_of_tree(&RootContents::open(root)?, ADMIN_DIR)?;
        self.policy_from(files_of_image(new, contents)?, admin)
    }

    fn policy_from(&self, mut image: Files, admin: Files) -> Result<Policy> {
        image.retain(|name, _| !admin.contains_key(name));
        let mut policy = self.policy.clone();
        for (files, dir, author) in [(image, IMAGE_DIR, Author::Image), (admin, ADMIN_DIR, Author::Admin)] {
            let dir = String::from_utf8_lossy(dir);
            for (name, text) in files {
                let name = format!("/{dir}/{name}");
                let PolicyFile { rules, unknown_data_bytes } = parse(&name, &text, author).map_err(|why| {
                    Error::refused("read the policy over the state", why).mend("mend this line, then run it again")
                })?;
                policy = policy.with(rules);
                policy.unknown_data_bytes = unknown_data_bytes.unwrap_or(policy.unknown_data_bytes);
            }
        }
        let pin = |path: TreePath| Rule {
            path,
            reach: Reach::Exact,
            treatment: Treatment::State(Class::Pinned),
            note: String::new(),
            origin: Origin::Pin,
        };
        Ok(policy.with(self.records.state_pins()?.into_keys().map(pin)))
    }
}

fn is_policy(name: &str) -> bool {
    name.ends_with(".policy") && !name.starts_with('.')
}

fn too_many(dir: &TreePath) -> Error {
    Error::refused("read the policy over the state", format!("{dir} has more than {MAX_FILES} policy files"))
}

fn dir_path(raw: &[u8]) -> TreePath {
    TreePath::parse(raw).expect("a constant path")
}

fn files_of_tree(tree: &RootContents, dir: &[u8]) -> Result<Files> {
    let dir = dir_path(dir);
    let mut files = Files::new();
    for name in tree.names(&dir)? {
        let Some(name) = std::str::from_utf8(&name).ok().filter(|name| is_policy(name)) else { continue };
        let path = dir.join(name.as_bytes()).map_err(|why| Error::damaged(format!("read {dir}"), why))?;
        // A link, as to /dev/null, is an empty file: it masks.
        let text = match tree.file(&path)? {
            None => Vec::new(),
            Some(_) => tree.small(&path, MAX_FILE_BYTES)?.ok_or_else(|| {
                Error::refused(
                    "read the policy over the state",
                    format!("{path} is larger than {MAX_FILE_BYTES} bytes"),
                )
            })?,
        };
        files.insert(name.to_string(), text);
        if files.len() > MAX_FILES {
            return Err(too_many(&dir));
        }
    }
    Ok(files)
}

fn files_of_image(new: &Manifest, contents: &mut dyn Contents) -> Result<Files> {
    let dir = dir_path(IMAGE_DIR);
    let beneath = new.beneath(&dir).filter(|entry| entry.path.parent().as_ref() == Some(&dir));
    let mut wanted = BTreeMap::new();
    for entry in beneath.filter(|entry| entry.kind.digest().is_some()) {
        let Some(name) = std::str::from_utf8(entry.path.file_name()).ok().filter(|name| is_policy(name)) else {
            continue;
        };
        if entry.kind.content_bytes() > MAX_FILE_BYTES {
            let why = format!("the image's {} is larger than {MAX_FILE_BYTES} bytes", entry.path);
            return Err(Error::refused("read the policy over the state", why));
        }
        let holder = entry.hardlink.clone().unwrap_or_else(|| entry.path.clone());
        wanted.entry(holder).or_insert_with(Vec::new).push(name.to_string());
    }
    let mut files = Files::new();
    if wanted.len() > MAX_FILES {
        return Err(too_many(&dir));
    }
    if !wanted.is_empty() {
        contents.contents(&wanted.keys().cloned().collect(), &mut |path, content| {
            let mut text = Vec::new();
            content.read_to_end(&mut text).at("read", Path::new("a policy file"))?;
            let names = wanted.get(path).into_iter().flatten();
            files.extend(names.map(|name| (name.clone(), text.clone())));
            Ok(())
        })?;
    }
    Ok(files)
}
