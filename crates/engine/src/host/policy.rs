//! The rules that hold for a layer: the built-in ones, the image's, the admin's, and what is pinned.
//!
//! Separate because they come from trees: an image's from the one that the state goes into, the admin's from the one it
//! comes from. Must stay true: a file with a mistake is refused before anything is touched.

use std::collections::BTreeMap;
use std::path::Path;

use thinroot_core::manifest::Manifest;
use thinroot_core::name::{ImageId, LayerName};
use thinroot_core::path::TreePath;
use thinroot_core::state::Policy;
use thinroot_core::state::checks::{self, Validator};
use thinroot_core::state::migrations::{self, Migration};
use thinroot_core::state::policy::file::{Author, MAX_FILE_BYTES, PolicyFile, parse};
use thinroot_core::state::policy::{Class, Origin, Reach, Rule, Treatment};

use super::Host;
use crate::error::{Error, IoContext, Result};
use crate::source::Contents;
use crate::state::RootContents;

/// More files of a kind than anybody could need.
const MAX_FILES: usize = 500;

/// Files of one kind: where an image has them, where the admin has them. A file of the admin takes the place of the image's
/// file of the same name; an empty one, or a link to nothing, removes it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shelf {
    image_dir: &'static str,
    admin_dir: &'static str,
    ending: &'static str,
    max_bytes: u64,
}

const POLICIES: Shelf = Shelf {
    image_dir: "usr/lib/thinroot/state.d",
    admin_dir: "etc/thinroot/state.d",
    ending: ".policy",
    max_bytes: MAX_FILE_BYTES,
};

const VALIDATORS: Shelf = Shelf {
    image_dir: "usr/lib/thinroot/validators.d",
    admin_dir: "etc/thinroot/validators.d",
    ending: ".validator",
    max_bytes: checks::MAX_FILE_BYTES,
};

const MIGRATIONS: Shelf = Shelf {
    image_dir: "usr/lib/thinroot/migrations.d",
    admin_dir: "etc/thinroot/migrations.d",
    ending: ".migration",
    max_bytes: migrations::MAX_FILE_BYTES,
};

/// Texts of such files by name.
type Files = BTreeMap<String, Vec<u8>>;

impl Host {
    /// The rules over a mounted layer as it is, with the policy of the image it was made from.
    pub fn policy_of(&self, root: &Path) -> Result<Policy> {
        let tree = RootContents::open(root)?;
        self.policy_from(POLICIES.of_tree(&tree, POLICIES.image_dir)?, POLICIES.of_tree(&tree, POLICIES.admin_dir)?)
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
        let admin = POLICIES.of_tree(&RootContents::open(root)?, POLICIES.admin_dir)?;
        self.policy_from(POLICIES.of_image(new, contents)?, admin)
    }

    /// The checkers of an image that the state of a mounted layer goes into, by name.
    pub(super) fn validators_into(
        &self,
        root: &Path,
        new: &Manifest,
        contents: &mut dyn Contents,
    ) -> Result<Vec<Validator>> {
        let admin = VALIDATORS.of_tree(&RootContents::open(root)?, VALIDATORS.admin_dir)?;
        let mut all: BTreeMap<String, Validator> =
            Validator::built_in().into_iter().map(|validator| (validator.name.clone(), validator)).collect();
        for (file, text) in VALIDATORS.of_image(new, contents)?.into_iter().chain(admin) {
            let name = file.trim_end_matches(VALIDATORS.ending).to_string();
            if text.iter().all(u8::is_ascii_whitespace) {
                all.remove(&name);
                continue;
            }
            let validator = Validator::parse(&name, &text).map_err(|why| {
                Error::refused("read the checkers of the image", why).mend("mend this line, then run it again")
            })?;
            all.insert(name, validator);
        }
        Ok(all.into_values().collect())
    }

    /// The migrations that lie between the image of a mounted layer and the one that its state goes into, in their order.
    /// They come with the newer of the two.
    pub(super) fn migrations_between(
        &self,
        from: &ImageId,
        root: &Path,
        to: &ImageId,
        new: &Manifest,
        contents: &mut dyn Contents,
    ) -> Result<Vec<Migration>> {
        let tree = RootContents::open(root)?;
        let mut files = match from > to {
            true => MIGRATIONS.of_tree(&tree, MIGRATIONS.image_dir)?,
            false => MIGRATIONS.of_image(new, contents)?,
        };
        files.extend(MIGRATIONS.of_tree(&tree, MIGRATIONS.admin_dir)?);
        let mut found = Vec::new();
        for (file, text) in files.iter().filter(|(_, text)| !text.iter().all(u8::is_ascii_whitespace)) {
            let name = file.trim_end_matches(MIGRATIONS.ending);
            let migration = Migration::parse(name, text).map_err(|why| {
                Error::refused("read the migrations of the image", why).mend("mend this line, then run it again")
            })?;
            found.extend(migration.between(from, to));
        }
        if from > to {
            found.reverse();
        }
        Ok(found)
    }

    fn policy_from(&self, mut image: Files, admin: Files) -> Result<Policy> {
        image.retain(|name, _| !admin.contains_key(name));
        let mut policy = self.policy.clone();
        let both = [(image, POLICIES.image_dir, Author::Image), (admin, POLICIES.admin_dir, Author::Admin)];
        for (files, dir, author) in both {
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

fn too_many(dir: &TreePath) -> Error {
    Error::refused("read the rules over the state", format!("{dir} has more than {MAX_FILES} files"))
}

fn dir_path(raw: &str) -> TreePath {
    TreePath::parse(raw.as_bytes()).expect("a constant path")
}

impl Shelf {
    fn has(&self, name: &[u8]) -> Option<String> {
        let name = std::str::from_utf8(name).ok()?;
        (name.ends_with(self.ending) && !name.starts_with('.')).then(|| name.to_string())
    }

    fn too_large(&self, path: &TreePath) -> Error {
        Error::refused("read the rules over the state", format!("{path} is larger than {} bytes", self.max_bytes))
    }

    fn of_tree(&self, tree: &RootContents, dir: &str) -> Result<Files> {
        let dir = dir_path(dir);
        let mut files = Files::new();
        for raw in tree.names(&dir)? {
            let Some(name) = self.has(&raw) else { continue };
            let path = dir.join(&raw).map_err(|why| Error::damaged(format!("read {dir}"), why))?;
            // A link, as to /dev/null, is an empty file: it masks.
            let text = match tree.file(&path)? {
                None => Vec::new(),
                Some(_) => tree.small(&path, self.max_bytes)?.ok_or_else(|| self.too_large(&path))?,
            };
            files.insert(name, text);
            if files.len() > MAX_FILES {
                return Err(too_many(&dir));
            }
        }
        Ok(files)
    }

    fn of_image(&self, new: &Manifest, contents: &mut dyn Contents) -> Result<Files> {
        let dir = dir_path(self.image_dir);
        let beneath = new.beneath(&dir).filter(|entry| entry.path.parent().as_ref() == Some(&dir));
        let mut wanted = BTreeMap::new();
        for entry in beneath.filter(|entry| entry.kind.digest().is_some()) {
            let Some(name) = self.has(entry.path.file_name()) else { continue };
            if entry.kind.content_bytes() > self.max_bytes {
                return Err(self.too_large(&entry.path));
            }
            let holder = entry.hardlink.clone().unwrap_or_else(|| entry.path.clone());
            wanted.entry(holder).or_insert_with(Vec::new).push(name);
        }
        let mut files = Files::new();
        if wanted.len() > MAX_FILES {
            return Err(too_many(&dir));
        }
        if !wanted.is_empty() {
            contents.contents(&wanted.keys().cloned().collect(), &mut |path, content| {
                let mut text = Vec::new();
                content.read_to_end(&mut text).at("read", Path::new("a rule of the image"))?;
                let names = wanted.get(path).into_iter().flatten();
                files.extend(names.map(|name| (name.clone(), text.clone())));
                Ok(())
            })?;
        }
        Ok(files)
    }
}
