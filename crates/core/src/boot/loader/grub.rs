//! GRUB: one configuration made from the entries, and one environment block that says which of them boots.
//!
//! ```text
//! BOOT/grub/thinroot.cfg    menu entries and the choice between them; sourced by GRUB's own configuration
//! BOOT/grub/thinroot.env    an environment block: default, armed, tries left
//! ```
//!
//! GRUB has no arithmetic, so the count is a chain of comparisons; it can write to a file only in place, without making it
//! longer, so the block is written by us in full length and GRUB changes one digit in it. The digit lies in the first
//! sector, which a disk writes whole or not at all. Where counting fails nothing is tried: what cannot be counted could
//! be tried for ever. Where the kernel of what is tried cannot be read, the default boots at once. Where the block is missing or damaged, the default that the configuration itself carries boots.
//!
//! Sources: GNU GRUB manual ("Environment block", "Shell-like scripting", `save_env`), `lib/envblk.c` for the format.

pub mod setup;

use thiserror::Error;

use crate::boot::bls::EntryFile;
use crate::boot::entry_name::{ENTRY_SUFFIX, EntryName};
use crate::boot::{Armed, MAX_TRIES, cmdline};
use crate::name::LayerName;

use super::{LoaderState, TRY_WORD};

/// Size of an environment block. GRUB's own tools make it so, and some refuse any other.
pub const BLOCK_BYTES: usize = 1024;
/// The text must end within it: a sector is written whole or not at all.
const SECTOR_BYTES: usize = 512;
/// What an environment block begins with.
const SIGNATURE: &str = "# GRUB Environment Block\n";

/// Why there is no configuration for an entry, or an environment block says nothing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum GrubError {
    /// GRUB puts a backslash before these, which the kernel does not take away again.
    #[error("GRUB cannot hand over the kernel argument '{0}': it has a backslash or an apostrophe")]
    Argument(String),
    /// Not the size of an environment block.
    #[error("it has {0} bytes and not 1024")]
    Size(usize),
    /// Not the beginning of one.
    #[error("it is no environment block of GRUB")]
    Signature,
    /// A value that cannot be ours.
    #[error("it says {0}, which is no boot entry of ours")]
    Value(String),
    /// Names that are too long.
    #[error("the names of the entries do not fit into its first sector")]
    TooLong,
}

/// How an entry is called in GRUB's menu: its file name without the ending, as GRUB's own reader of entries calls it.
pub fn id(name: &EntryName) -> String {
    let file = name.counted(None).file_name();
    file.strip_suffix(ENTRY_SUFFIX).unwrap_or(&file).to_string()
}

/// The environment block. `default` and the armed entry are names of entries.
pub fn environment(default: Option<&EntryName>, armed: Option<(&EntryName, u8)>) -> Result<String, GrubError> {
    let mut text = String::from(SIGNATURE);
    let tries = armed.map_or(0, |(_, tries)| tries.min(MAX_TRIES));
    let armed = armed.map(|(name, _)| id(name)).unwrap_or_default();
    let default = default.map(id).unwrap_or_default();
    text += &format!("thinroot_tries={tries}\nthinroot_default={default}\nthinroot_armed={armed}\n");
    if text.len() > SECTOR_BYTES {
        return Err(GrubError::TooLong);
    }
    text.extend(std::iter::repeat_n('#', BLOCK_BYTES - text.len()));
    Ok(text)
}

/// Reads an environment block of ours.
pub fn read_environment(bytes: &[u8]) -> Result<LoaderState, GrubError> {
    if bytes.len() != BLOCK_BYTES {
        return Err(GrubError::Size(bytes.len()));
    }
    let text = std::str::from_utf8(bytes).ok().and_then(|text| text.strip_prefix(SIGNATURE));
    let text = text.ok_or(GrubError::Signature)?;
    let value = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        line.ok_or_else(|| GrubError::Value(format!("no {key}")))
    };
    let layer = |key: &str| -> Result<Option<LayerName>, GrubError> {
        match value(key)? {
            "" => Ok(None),
            id => match EntryName::parse(&format!("{id}{ENTRY_SUFFIX}")) {
                Some(name) => Ok(Some(name.layer().clone())),
                None => Err(GrubError::Value(id.into())),
            },
        }
    };
    let tries = value("thinroot_tries")?;
    let tries_left = tries.parse().ok().filter(|left| *left <= MAX_TRIES);
    let tries_left = tries_left.ok_or_else(|| GrubError::Value(format!("{tries} tries")))?;
    let armed = layer("thinroot_armed")?.map(|layer| Armed { layer, tries_left });
    Ok(LoaderState { default: layer("thinroot_default")?, armed })
}

/// Who makes the menu entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Menu {
    /// We do, in this file.
    Ours,
    /// GRUB does, from the entry files (`blscfg`); this file only chooses.
    FromEntries,
}

/// Why GRUB cannot boot an entry as it says; none where it can.
pub fn inexpressible(file: &EntryFile) -> Option<GrubError> {
    load(file).err()
}

/// The configuration. `default` is what boots where the environment block cannot be read.
pub fn configuration(menu: Menu, entries: &[EntryFile], default: Option<&EntryName>) -> Result<String, GrubError> {
    let mut text = String::from(HEAD);
    text += &format!("set thinroot_default='{}'\n{CHOICE}", default.map(id).unwrap_or_default());
    text.push_str(&chain());
    text.push_str(TAIL);
    if menu == Menu::Ours {
        let fallback = entries.iter().find(|file| Some(&file.name) == default);
        if let Some(file) = fallback {
            text += &format!("function thinroot_fallback {{\n{}}}\n", plain_load(file)?);
        }
        for file in entries {
            text.push_str(&menu_entry(file, fallback.filter(|other| other.name != file.name).is_some())?);
        }
    }
    Ok(text)
}

const HEAD: &str = "\
# Written by thinroot from the entries in /loader/entries, and again whenever they change: edit those.
# Which of them boots is in thinroot.env beside this file; 'thinroot status' shows it.
set thinroot_dir=\"${config_directory}\"
if [ -z \"${thinroot_dir}\" ]; then set thinroot_dir=\"${prefix}\"; fi
set thinroot_boot=\"${thinroot_dir}/..\"
set thinroot_armed=
set thinroot_tries=
set thinroot_left=
set thinroot_trying=
export thinroot_boot thinroot_trying
";

/// A choice for one boot that a person made with GRUB's own tools (`grub-reboot`) is left alone.
const CHOICE: &str = "\
if [ -s \"${thinroot_dir}/thinroot.env\" ]; then
  load_env --file \"${thinroot_dir}/thinroot.env\" thinroot_default thinroot_armed thinroot_tries
fi
if [ -n \"${boot_once}\" ]; then set thinroot_armed=
elif [ -n \"${thinroot_default}\" ]; then set default=\"${thinroot_default}\"; fi
";

const TAIL: &str = "\
if [ -n \"${thinroot_armed}\" -a -n \"${thinroot_left}\" ]; then
  set thinroot_tries=\"${thinroot_left}\"
  if save_env --file \"${thinroot_dir}/thinroot.env\" thinroot_tries; then
    set default=\"${thinroot_armed}\"
    set thinroot_trying=\"${thinroot_armed}\"
  fi
fi
";

/// One less, for want of arithmetic.
fn chain() -> String {
    let mut text = String::new();
    for tries in 1..=MAX_TRIES {
        let word = if tries == 1 { "if" } else { "elif" };
        text += &format!("{word} [ \"${{thinroot_tries}}\" = {tries} ]; then set thinroot_left={}\n", tries - 1);
    }
    text.push_str("fi\n");
    text
}

/// Where kernel or initrd cannot be read, a person would be asked to press a key; the default is loaded instead.
fn menu_entry(file: &EntryFile, has_fallback: bool) -> Result<String, GrubError> {
    let id = quoted(&id(&file.name));
    let title = quoted(file.entry.value("title").unwrap_or_default());
    let mut text = format!(
        "menuentry {title} --unrestricted --id {id} {{\n  set thinroot_word=\n  \
         if [ \"${{thinroot_trying}}\" = {id} ]; then set thinroot_word={TRY_WORD}; fi\n"
    );
    if has_fallback {
        let (linux, initrd) = load(file)?;
        let initrd = initrd.unwrap_or_else(|| "true".into());
        text += &format!(
            "  if {linux} ${{thinroot_word}}; then\n    if {initrd}; then true; else thinroot_fallback; fi\n  \
             else thinroot_fallback; fi\n"
        );
    } else {
        text.push_str(&plain_load(file)?);
    }
    text.push_str("}\n");
    Ok(text)
}

fn plain_load(file: &EntryFile) -> Result<String, GrubError> {
    let (linux, initrd) = load(file)?;
    Ok(format!("  {linux}\n") + &initrd.map(|initrd| format!("  {initrd}\n")).unwrap_or_default())
}

/// The commands that load kernel and initrds.
fn load(file: &EntryFile) -> Result<(String, Option<String>), GrubError> {
    let path = |path: &str| format!("\"${{thinroot_boot}}/\"{}", quoted(path.trim_start_matches('/')));
    let mut linux = format!("linux {}", path(file.entry.value("linux").unwrap_or_default()));
    for word in cmdline::split(&file.entry.options()).unwrap_or_default() {
        linux += &format!(" {}", argument(&word)?);
    }
    let initrds: Vec<String> = file.entry.values("initrd").map(path).collect();
    let initrd = (!initrds.is_empty()).then(|| format!("initrd {}", initrds.join(" ")));
    Ok((linux, initrd))
}

/// A kernel argument. GRUB puts quotes around the whole of one that has spaces, which the kernel understands as it does
/// quotes around the value; quotes of ours it would hand over with backslashes.
fn argument(word: &str) -> Result<String, GrubError> {
    let bare: String = word.chars().filter(|c| *c != '"').collect();
    if bare.contains(['\\', '\'']) {
        return Err(GrubError::Argument(word.into()));
    }
    Ok(quoted(&bare))
}

/// In single quotes nothing means anything to GRUB, but the quote itself.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::{ContentName, ContentRole, KernelVersion, NewEntry};
    use crate::manifest::Digest;
    use proptest::prelude::*;

    fn name(number: u32) -> EntryName {
        let layer = format!("node-{number}-0+1").parse().unwrap();
        EntryName::new(layer, KernelVersion::parse("6.1.0-50-amd64").unwrap()).unwrap()
    }

    fn entry(title: &str, options: &str) -> EntryFile {
        NewEntry {
            layer: "node-1-0+1".parse().unwrap(),
            kernel: KernelVersion::parse("6.1.0-50-amd64").unwrap(),
            title: title.into(),
            machine_id: None,
            linux: ContentName::new(&Digest([1; 32]), ContentRole::Vmlinuz),
            initrd: vec![ContentName::new(&Digest([2; 32]), ContentRole::Initrd)],
            options: format!("root=/dev/vg/x rw thinroot.layer=node-1-0+1 {options}").trim().into(),
        }
        .build()
        .unwrap()
    }

    #[test]
    fn the_block_is_as_grub_makes_it_and_reads_back() {
        let text = environment(Some(&name(1)), Some((&name(2), 3))).unwrap();
        let lines = "# GRUB Environment Block\nthinroot_tries=3\nthinroot_default=node-1-0+1-6.1.0-50-amd64\n\
                     thinroot_armed=node-2-0+1-6.1.0-50-amd64\n";
        assert_eq!(text, format!("{lines}{}", "#".repeat(1024 - lines.len())));
        let layer = |number: u32| format!("node-{number}-0+1").parse::<LayerName>().unwrap();
        let armed = Some(Armed { layer: layer(2), tries_left: 3 });
        let state = read_environment(text.as_bytes()).unwrap();
        assert_eq!(state, LoaderState { default: Some(layer(1)), armed });
        assert_eq!(state.next(), Some(&layer(2)));
        // As GRUB leaves it after the last try.
        let used_up = read_environment(text.replace("tries=3", "tries=0").as_bytes()).unwrap();
        assert_eq!(used_up.next(), Some(&layer(1)));
        let empty = environment(None, None).unwrap();
        assert_eq!(read_environment(empty.as_bytes()), Ok(LoaderState::default()));
    }

    #[test]
    fn a_damaged_block_says_nothing() {
        let text = environment(Some(&name(1)), Some((&name(2), 3))).unwrap();
        assert_eq!(read_environment(&text.as_bytes()[..1023]), Err(GrubError::Size(1023)));
        assert_eq!(read_environment(&[b'#'; 1024]), Err(GrubError::Signature));
        assert_eq!(read_environment(&[0; 1024]), Err(GrubError::Signature));
        let bad = |from: &str, to: &str| read_environment(text.replacen(from, to, 1).as_bytes()).unwrap_err();
        assert_eq!(bad("tries=3", "tries=x"), GrubError::Value("x tries".into()));
        assert_eq!(bad("default=node", "default=nod/"), GrubError::Value("nod/-1-0+1-6.1.0-50-amd64".into()));
        assert_eq!(bad("thinroot_armed", "thinroot_ormed"), GrubError::Value("no thinroot_armed".into()));
        let long: LayerName = format!("{}-1-0+1", "n".repeat(40)).parse().unwrap();
        let long = EntryName::new(long, KernelVersion::parse(&"6".repeat(64)).unwrap()).unwrap();
        assert!(environment(Some(&long), Some((&long, 9))).is_ok());
    }

    #[test]
    fn words_reach_the_kernel_as_they_are_and_nothing_of_them_is_run() {
        let file = entry("Bob's $node", "dyndbg=\"file a.c +p\" a=$(reboot);b");
        let vmlinuz = file.entry.value("linux").unwrap().trim_start_matches('/');
        let initrd = file.entry.value("initrd").unwrap().trim_start_matches('/');
        let head = "menuentry 'Bob'\\''s $node' --unrestricted --id 'node-1-0+1-6.1.0-50-amd64' {\n  set thinroot_word=\n  \
                    if [ \"${thinroot_trying}\" = 'node-1-0+1-6.1.0-50-amd64' ]; then set thinroot_word=thinroot.try; fi\n";
        let linux = format!(
            "linux \"${{thinroot_boot}}/\"'{vmlinuz}' 'root=/dev/vg/x' 'rw' 'thinroot.layer=node-1-0+1' \
             'dyndbg=file a.c +p' 'a=$(reboot);b'"
        );
        let initrd = format!("initrd \"${{thinroot_boot}}/\"'{initrd}'");
        assert_eq!(menu_entry(&file, false).unwrap(), format!("{head}  {linux}\n  {initrd}\n}}\n"));
        let tried = format!(
            "{head}  if {linux} ${{thinroot_word}}; then\n    if {initrd}; then true; else thinroot_fallback; fi\n  \
             else thinroot_fallback; fi\n}}\n"
        );
        assert_eq!(menu_entry(&file, true).unwrap(), tried);
        assert_eq!(inexpressible(&file), None);
        for bad in ["a=\\n", "a='b'"] {
            assert_eq!(menu_entry(&entry("x", bad), false).unwrap_err(), GrubError::Argument(bad.into()));
            assert_eq!(inexpressible(&entry("x", bad)), Some(GrubError::Argument(bad.into())));
        }
    }

    #[test]
    fn a_menu_from_entries_only_chooses() {
        let file = entry("Node", "quiet");
        let ours = configuration(Menu::Ours, std::slice::from_ref(&file), Some(&file.name)).unwrap();
        let theirs = configuration(Menu::FromEntries, std::slice::from_ref(&file), Some(&file.name)).unwrap();
        assert!(ours.starts_with(&theirs) && ours.len() > theirs.len());
        assert!(theirs.contains("set thinroot_default='node-1-0+1-6.1.0-50-amd64'\n"));
        assert!(!theirs.contains("menuentry"));
    }

    proptest! {
        #[test]
        fn every_block_has_its_size_and_reads_back(default in 1u32..99, armed in 1u32..99, tries in 0u8..=9) {
            let text = environment(Some(&name(default)), Some((&name(armed), tries))).unwrap();
            prop_assert_eq!(text.len(), BLOCK_BYTES);
            let state = read_environment(text.as_bytes()).unwrap();
            prop_assert_eq!(state.default, Some(name(default).layer().clone()));
            prop_assert_eq!(state.armed, Some(Armed { layer: name(armed).layer().clone(), tries_left: tries }));
        }
    }
}
