//! systemd-boot: two files of roles beside the entries, `_thinroot-default.conf` and, while a layer is tried,
//! `_thinroot-try+3.conf`.
//!
//! systemd-boot keeps what it counts in the name of an entry, and takes the first entry that fits the pattern of its own
//! configuration ([`DEFAULT_LINE`]), which never changes. So the choice is not spread over names, sort keys and that
//! file: each role is one file, copied from the entry of its layer, and arming, falling back and blessing each are one
//! file that comes, goes or is replaced. What has no tries left is sorted last by systemd-boot, behind the default.
//!
//! systemd's own `systemd-bless-boot` may take the counter off the try's name: then it is blessed, and boots for good.
//!
//! Sources: UAPI Group, "The Boot Loader Specification", and "Automatic Boot Assessment"; loader.conf(5). Known trap:
//! systemd-boot 258.3 tries entries without tries left again (systemd issue 40192).

use crate::boot::bls::Entry;
use crate::boot::entry_name::{Counter, ENTRY_SUFFIX, split_counter};
use crate::boot::{Armed, MAX_TRIES};

use super::{LoaderState, TRY_WORD};

/// What systemd-boot's own configuration must say, and what installing writes.
pub const DEFAULT_LINE: &str = "default _thinroot-*";
/// The role that boots when nothing is tried. The underscore keeps it apart from every layer's name.
pub const DEFAULT_FILE: &str = "_thinroot-default.conf";
const TRY_STEM: &str = "_thinroot-try";

/// Whether systemd-boot's configuration takes its default from our roles.
pub fn follows_roles(loader_conf: &str) -> bool {
    let mut defaults = loader_conf.lines().filter(|line| line.split_whitespace().next() == Some("default"));
    // It takes the last one.
    defaults.next_back().is_some_and(|line| line.split_whitespace().eq(DEFAULT_LINE.split_whitespace()))
}

/// systemd-boot's configuration with our default as its only one; everything else in it stays.
pub fn with_default(loader_conf: &str) -> String {
    let others = loader_conf.lines().filter(|line| line.split_whitespace().next() != Some("default"));
    let mut text: String = others.map(|line| format!("{line}\n")).collect();
    if !text.lines().any(|line| line.split_whitespace().next() == Some("timeout")) {
        text.push_str("timeout 3\n");
    }
    text + DEFAULT_LINE + "\n"
}

/// A configuration without our choice.
pub fn without_default(loader_conf: &str) -> String {
    loader_conf.lines().filter(|line| line.trim() != DEFAULT_LINE).map(|line| format!("{line}\n")).collect()
}

/// What a file beside the entries is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoleFile {
    /// What boots when nothing is tried.
    Default,
    /// What is tried; without a counter, for ever.
    Try(Option<Counter>),
}

impl RoleFile {
    /// By its name; none for every other file.
    pub fn parse(file_name: &str) -> Option<Self> {
        if file_name == DEFAULT_FILE {
            return Some(RoleFile::Default);
        }
        let (stem, counter) = split_counter(file_name.strip_suffix(ENTRY_SUFFIX)?);
        (stem == TRY_STEM).then_some(RoleFile::Try(counter))
    }

    /// Its name.
    pub fn file_name(self) -> String {
        match self {
            RoleFile::Default => DEFAULT_FILE.into(),
            RoleFile::Try(counter) => {
                format!("{TRY_STEM}{}{ENTRY_SUFFIX}", counter.map(|c| c.to_string()).unwrap_or_default())
            }
        }
    }

    /// The name of a new try.
    pub fn tried(tries: u8) -> Self {
        RoleFile::Try(Some(Counter { left: u32::from(tries), done: None }))
    }

    /// What is in it: the entry of the layer, sorted by its role and named by it.
    pub fn content(self, entry: &Entry) -> Entry {
        let (key, word) = match self {
            RoleFile::Default => ("thinroot-1", "default"),
            RoleFile::Try(_) => ("thinroot-0", "being tried"),
        };
        let title = format!("{}, {word}", entry.value("title").unwrap_or_default());
        let role = entry.with("title", &title).with("sort-key", key);
        match self {
            RoleFile::Default => role,
            RoleFile::Try(_) => role.with("options", &format!("{} {TRY_WORD}", entry.options())),
        }
    }
}

/// What will happen at the next start, from the files of roles.
pub fn state<'a>(roles: impl IntoIterator<Item = (RoleFile, &'a Entry)>) -> LoaderState {
    let mut state = LoaderState::default();
    for (role, entry) in roles {
        match role {
            RoleFile::Default => state.default = entry.marked_layer(),
            RoleFile::Try(counter) => {
                let left = counter.map_or(MAX_TRIES, |counter| u8::try_from(counter.left).unwrap_or(MAX_TRIES));
                state.armed = entry.marked_layer().map(|layer| Armed { layer, tries_left: left.min(MAX_TRIES) });
            }
        }
    }
    state
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(number: u32) -> Entry {
        let text = format!(
            "title      Node\nversion    1\nsort-key   node\nlinux      /k\noptions    root=x thinroot.layer=node-{number}-0+1\n"
        );
        Entry::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn roles_are_told_by_their_names() {
        for (role, name) in [
            (RoleFile::Default, "_thinroot-default.conf"),
            (RoleFile::tried(3), "_thinroot-try+3.conf"),
            (RoleFile::Try(Some(Counter { left: 0, done: Some(3) })), "_thinroot-try+0-3.conf"),
            (RoleFile::Try(None), "_thinroot-try.conf"),
        ] {
            assert_eq!(role.file_name(), name);
            assert_eq!(RoleFile::parse(name), Some(role));
        }
        for name in ["thinroot-1-0+1-6.1.conf", "_thinroot-default+3.conf", "_thinroot-try+3", "_thinroot-tryx.conf"] {
            assert_eq!(RoleFile::parse(name), None, "{name}");
        }
    }

    #[test]
    fn a_role_is_its_layers_entry_under_another_sort_key() {
        let text = RoleFile::tried(3).content(&entry(2)).to_string();
        let want = "title      Node, being tried\nversion    1\nsort-key   thinroot-0\nlinux      /k\n\
                    options    root=x thinroot.layer=node-2-0+1 thinroot.try\n";
        assert_eq!(text, want);
    }

    #[test]
    fn what_is_tried_boots_until_its_tries_are_used_up() {
        let (old, new) = (entry(1), entry(2));
        let with = |role| state([(RoleFile::Default, &old), (role, &new)]);
        let layer = |number: u32| format!("node-{number}-0+1").parse().unwrap();
        assert_eq!(with(RoleFile::tried(3)).next(), Some(&layer(2)));
        assert_eq!(with(RoleFile::Try(Some(Counter { left: 0, done: Some(3) }))).next(), Some(&layer(1)));
        assert_eq!(with(RoleFile::Try(None)).next(), Some(&layer(2)));
        assert_eq!(state([(RoleFile::Default, &old)]).next(), Some(&layer(1)));
    }

    #[test]
    fn another_default_in_its_configuration_is_noticed() {
        assert!(follows_roles("timeout 3\ndefault   _thinroot-*\n"));
        assert_eq!(with_default("timeout 9\ndefault a\n#x\ndefault b"), "timeout 9\n#x\ndefault _thinroot-*\n");
        assert_eq!(with_default(""), "timeout 3\ndefault _thinroot-*\n");
        for other in ["", "timeout 3\n", "#default _thinroot-*\n", "default _thinroot-*\ndefault arch.conf\n"] {
            assert!(!follows_roles(other), "{other}");
        }
    }
}
