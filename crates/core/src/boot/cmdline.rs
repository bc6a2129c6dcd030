//! Kernel command lines: an ordered list of words with the kernel's own quoting.
//!
//! Separate because order and repetition carry meaning (`hugepagesz=1G hugepages=4 hugepagesz=2M hugepages=512` means
//! something else in another order, `console=` may come twice): words are never put into a set or a map.
//!
//! The order is fixed: root words, `rw`, `thinroot.layer=`, the image's arguments, the admin's additions. For most
//! parameters the kernel takes the last one, so the admin has the last word.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::name::LayerName;

/// The word that ties a running system and its entry to a layer.
pub const LAYER_KEY: &str = "thinroot.layer";

/// Longest command line. x86 and arm64 kernels take 2048 bytes with the final zero and cut the rest off without a word.
pub const MAX_COMMAND_LINE_LEN: usize = 2047;

/// Words of the image that say how its root was mounted where it was built; ours replace them.
const REPLACED_KEYS: [&str; 5] = ["root", "ro", "rw", LAYER_KEY, "BOOT_IMAGE"];
/// Words the admin cannot add: with another root or layer it would be the entry of something else.
const RESERVED_KEYS: [&str; 2] = ["root", LAYER_KEY];

/// Why there is no command line.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CommandLineError {
    /// A quote without its partner.
    #[error("a double quote is never closed in '{0}'")]
    Quote(String),
    /// A character that would end the line of the entry or be lost.
    #[error("'{0}' has a control character")]
    Control(String),
    /// An addition that is no single word.
    #[error("'{0}' is not one kernel argument")]
    NotOneWord(String),
    /// An addition that would change which root or layer boots.
    #[error("'{0}' is set by thinroot itself and cannot be added")]
    Reserved(String),
    /// The kernel would cut it off.
    #[error("the kernel command line has {0} bytes; the kernel takes 2047 and cuts the rest off")]
    TooLong(usize),
}

/// One change of the admin to the image's arguments. Kept in order in our records and applied to each new image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AdminChange {
    /// Adds a word at the end.
    Add(String),
    /// Removes words of the image: `quiet` removes `quiet` and `quiet=…`, `console=tty0` exactly that.
    Remove(String),
}

/// A command line and what was left out of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandLine {
    /// The words, one space between them.
    pub text: String,
    /// Words of the image that ours replace. To be reported, not to be lost in silence.
    pub replaced: Vec<String>,
}

/// The command line of a layer's entry. `root` is what the store says boots this layer (`root=…`, and further words for
/// the initrd), `image_args` the image's own, `admin` the admin's changes to those.
pub fn options(
    root: &str,
    layer: &LayerName,
    image_args: &str,
    admin: &[AdminChange],
) -> Result<CommandLine, CommandLineError> {
    let mut words: Vec<String> = split(root)?;
    words.push("rw".into());
    words.push(format!("{LAYER_KEY}={layer}"));
    let (replaced, mut rest): (Vec<_>, Vec<_>) =
        split(image_args)?.into_iter().partition(|word| REPLACED_KEYS.contains(&key(word)));
    rest = apply_all(admin, rest)?;
    words.append(&mut rest);
    let text = words.join(" ");
    if text.len() > MAX_COMMAND_LINE_LEN {
        return Err(CommandLineError::TooLong(text.len()));
    }
    Ok(CommandLine { text, replaced })
}

/// What an admin changed in an entry by hand (with `grubby`, say) since it was written with these arguments and no
/// changes: applied again it gives the same words. The image's words keep their order and additions come last, wherever
/// they stood. A changed root or layer is an error, not a change that could be carried.
pub fn admin_changes(
    root: &str,
    layer: &LayerName,
    image_args: &str,
    now: &str,
) -> Result<Vec<AdminChange>, CommandLineError> {
    let now = split(now)?;
    let written = split(&options(root, layer, image_args, &[])?.text)?;
    let (own, image) = written.split_at(split(root)?.len() + 2);
    let count = |words: &[String], word: &String| words.iter().filter(|w| *w == word).count();
    if let Some(lost) = own.iter().find(|word| count(&now, word) < count(own, word)) {
        return Err(CommandLineError::Reserved(lost.clone()));
    }
    let mut changes = Vec::new();
    let mut kept = image.to_vec();
    for word in image {
        let fewer = count(&now, word) < count(&written, word);
        if fewer && kept.contains(word) {
            let change = AdminChange::Remove(word.clone());
            apply(&change, &mut kept)?;
            changes.push(change);
        }
    }
    // Whatever a removal took too much of comes back here.
    let mut rest: Vec<String> = own.iter().chain(&kept).cloned().collect();
    for word in now {
        match rest.iter().position(|there| *there == word) {
            Some(at) => drop(rest.remove(at)),
            None => changes.push(AdminChange::Add(word)),
        }
    }
    apply_all(&changes, image.to_vec())?;
    Ok(changes)
}

/// As [`admin_changes`], against the whole line that an entry was written with.
pub fn by_hand(root: &str, layer: &LayerName, written: &str, now: &str) -> Result<Vec<AdminChange>, CommandLineError> {
    let own = split(&options(root, layer, "", &[])?.text)?.len();
    let rest = split(written)?.into_iter().skip(own).collect::<Vec<_>>();
    admin_changes(root, layer, &rest.join(" "), now)
}

/// The changes and then the wishes, of which a word is added only as often as it is missing: a wish is about how a line
/// is to be in the end, so that it can be granted again with each image.
pub fn with_wishes(
    image_args: &str,
    changes: &[AdminChange],
    wishes: &[AdminChange],
) -> Result<Vec<AdminChange>, CommandLineError> {
    let mut all = changes.to_vec();
    let mut words = apply_all(changes, split(image_args)?)?;
    for (at, wish) in wishes.iter().enumerate() {
        let wanted = wishes[..=at].iter().filter(|other| *other == wish).count();
        let there = |word: &String| words.iter().filter(|other| *other == word).count();
        if matches!(wish, AdminChange::Add(word) if there(word) >= wanted) {
            continue;
        }
        apply(wish, &mut words)?;
        all.push(wish.clone());
    }
    Ok(all)
}

/// Wishes with one more. Wanting the opposite of a wish takes it back first.
pub fn revised(wishes: &[AdminChange], wish: &AdminChange) -> Vec<AdminChange> {
    let opposite = match wish {
        AdminChange::Add(word) => AdminChange::Remove(word.clone()),
        AdminChange::Remove(word) => AdminChange::Add(word.clone()),
    };
    let mut revised: Vec<AdminChange> = wishes.iter().filter(|other| **other != opposite).cloned().collect();
    if !revised.contains(wish) || matches!(wish, AdminChange::Add(_)) {
        revised.push(wish.clone());
    }
    revised
}

/// Splits a command line as the kernel does: at white space outside double quotes; the quotes stay in the word.
pub fn split(text: &str) -> Result<Vec<String>, CommandLineError> {
    if text.chars().any(|c| c.is_control() && c != '\t' && c != '\n') {
        return Err(CommandLineError::Control(text.into()));
    }
    let (mut words, mut word, mut quoted) = (Vec::new(), String::new(), false);
    for c in text.chars() {
        quoted ^= c == '"';
        if quoted && c == '\n' {
            return Err(CommandLineError::Control(text.into()));
        }
        if !c.is_ascii_whitespace() || quoted {
            word.push(c);
        } else if !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
    }
    if quoted {
        return Err(CommandLineError::Quote(text.into()));
    }
    if !word.is_empty() {
        words.push(word);
    }
    Ok(words)
}

fn apply_all(changes: &[AdminChange], mut words: Vec<String>) -> Result<Vec<String>, CommandLineError> {
    changes.iter().try_for_each(|change| apply(change, &mut words))?;
    Ok(words)
}

fn apply(change: &AdminChange, words: &mut Vec<String>) -> Result<(), CommandLineError> {
    match change {
        AdminChange::Add(word) => {
            if split(word)?.len() != 1 || word.trim() != word {
                return Err(CommandLineError::NotOneWord(word.clone()));
            }
            if RESERVED_KEYS.contains(&key(word)) {
                return Err(CommandLineError::Reserved(word.clone()));
            }
            words.push(word.clone());
        }
        AdminChange::Remove(what) => {
            words.retain(|word| word != what && (what.contains('=') || key(word) != what));
        }
    }
    Ok(())
}

/// The parameter's name: the word up to its `=`, without the quote that may stand before it.
fn key(word: &str) -> &str {
    let word = word.strip_prefix('"').unwrap_or(word);
    word.split_once('=').map_or(word, |(key, _)| key).trim_end_matches('"')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn layer() -> LayerName {
        "node-1-0+1".parse().unwrap()
    }

    #[test]
    fn order_repetition_and_quotes_are_kept() {
        let image = "hugepagesz=1G hugepages=4 hugepagesz=2M  hugepages=512 dyndbg=\"file a.c +p; file b.c +p\" quiet";
        let line = options("root=/dev/vg/node-1-0+1 rd.lvm.lv=vg/node-1-0+1", &layer(), image, &[]).unwrap();
        assert_eq!(
            line,
            CommandLine {
                text: "root=/dev/vg/node-1-0+1 rd.lvm.lv=vg/node-1-0+1 rw thinroot.layer=node-1-0+1 hugepagesz=1G \
                       hugepages=4 hugepagesz=2M hugepages=512 dyndbg=\"file a.c +p; file b.c +p\" quiet"
                    .into(),
                replaced: vec![],
            }
        );
    }

    #[test]
    fn the_admins_changes_come_last_and_apply_to_the_image_only() {
        let admin = [
            AdminChange::Remove("quiet".into()),
            AdminChange::Remove("console=tty0".into()),
            AdminChange::Remove("rw".into()),
            AdminChange::Add("console=ttyS0,115200".into()),
            AdminChange::Add("console=ttyS0,115200".into()),
        ];
        let image = "quiet console=tty0 console=tty1 root=LABEL=old ro quiet=yes \"root=a b\" thinroot.layer=x";
        let line = options("root=/dev/x", &layer(), image, &admin).unwrap();
        assert_eq!(
            line.text,
            "root=/dev/x rw thinroot.layer=node-1-0+1 console=tty1 console=ttyS0,115200 console=ttyS0,115200"
        );
        assert_eq!(line.replaced, ["root=LABEL=old", "ro", "\"root=a b\"", "thinroot.layer=x"]);
    }

    #[test]
    fn what_an_admin_did_by_hand_is_found_and_survives_the_next_image() {
        let now = "hugepages=4 root=/dev/a rw thinroot.layer=node-1-0+1 console=tty1 quiet=no console=ttyS0";
        let changes = admin_changes("root=/dev/a", &layer(), "quiet console=tty1 quiet=no rhgb", now).unwrap();
        let add = |word: &str| AdminChange::Add(word.into());
        let remove = |word: &str| AdminChange::Remove(word.into());
        assert_eq!(
            changes,
            [remove("quiet"), remove("rhgb"), add("hugepages=4"), add("quiet=no"), add("console=ttyS0")]
        );
        let next = options("root=/dev/b", &"node-2-0+1".parse().unwrap(), "quiet console=tty1 audit=1", &changes);
        assert_eq!(
            next.unwrap().text,
            "root=/dev/b rw thinroot.layer=node-2-0+1 console=tty1 audit=1 hugepages=4 quiet=no console=ttyS0"
        );
        let other = |now: &str| admin_changes("root=/dev/a", &layer(), "quiet", now).unwrap_err();
        let lost = CommandLineError::Reserved("root=/dev/a".into());
        assert_eq!(other("root=/dev/b rw thinroot.layer=node-1-0+1 quiet"), lost);
        let second = CommandLineError::Reserved("root=/dev/b".into());
        assert_eq!(other("root=/dev/a rw thinroot.layer=node-1-0+1 root=/dev/b"), second);
    }

    #[test]
    fn wishes_are_granted_once_and_again_with_each_image() {
        let add = |word: &str| AdminChange::Add(word.into());
        let remove = |word: &str| AdminChange::Remove(word.into());
        let wishes = [add("a"), remove("quiet"), add("c=1"), add("c=1")];
        // Nothing of it is there, all of it is there by hand, or one word is the image's own by now.
        assert_eq!(with_wishes("quiet", &[], &wishes).unwrap(), wishes);
        let by_hand = [remove("quiet"), add("a"), add("c=1"), add("c=1")];
        let again = with_wishes("quiet", &by_hand, &wishes).unwrap();
        assert_eq!(again, [by_hand.to_vec(), vec![remove("quiet")]].concat());
        let line =
            |image: &str| options("root=x", &layer(), image, &with_wishes(image, &[], &wishes).unwrap()).unwrap().text;
        assert_eq!(line("a quiet"), "root=x rw thinroot.layer=node-1-0+1 a c=1 c=1");
        // Wanting the opposite takes a wish back; what is wanted twice to be away is wanted once.
        assert_eq!(revised(&wishes, &remove("a")), [remove("quiet"), add("c=1"), add("c=1"), remove("a")]);
        assert_eq!(revised(&[remove("x")], &remove("x")), [remove("x")]);
        assert_eq!(revised(&[remove("x")], &add("x")), [add("x")]);
    }

    #[test]
    fn what_was_written_is_told_from_what_was_done_by_hand() {
        let written = "root=x rw thinroot.layer=node-1-0+1 quiet a";
        let changed = |now: &str| by_hand("root=x", &layer(), written, now);
        assert_eq!(changed(written), Ok(vec![]));
        let now = "root=x rw thinroot.layer=node-1-0+1 a b";
        assert_eq!(changed(now), Ok(vec![AdminChange::Remove("quiet".into()), AdminChange::Add("b".into())]));
        assert!(changed("root=y rw thinroot.layer=node-1-0+1 a").is_err());
    }

    #[test]
    fn what_cannot_be_a_command_line_is_refused() {
        let add = |word: &str| options("root=x", &layer(), "", &[AdminChange::Add(word.into())]).unwrap_err();
        assert_eq!(add("a b"), CommandLineError::NotOneWord("a b".into()));
        assert_eq!(add(""), CommandLineError::NotOneWord("".into()));
        assert_eq!(add("a\n"), CommandLineError::NotOneWord("a\n".into()));
        assert_eq!(add("root=/dev/y"), CommandLineError::Reserved("root=/dev/y".into()));
        assert_eq!(add("thinroot.layer=y-1-0+1"), CommandLineError::Reserved("thinroot.layer=y-1-0+1".into()));
        assert_eq!(split("a \"b"), Err(CommandLineError::Quote("a \"b".into())));
        assert_eq!(split("a\0b"), Err(CommandLineError::Control("a\0b".into())));
        assert_eq!(split("a=\"x\ny\""), Err(CommandLineError::Control("a=\"x\ny\"".into())));
        let long = "x".repeat(2100);
        assert!(matches!(options("root=x", &layer(), &long, &[]), Err(CommandLineError::TooLong(n)) if n > 2100));
    }

    proptest! {
        #[test]
        fn changes_by_hand_applied_again_give_the_same_words(
            image in proptest::collection::vec("[ab](=[12])?", 0..6), now in proptest::collection::vec("[abc](=[12])?", 0..6),
        ) {
            let line = |args: &[AdminChange]| options("root=x y", &layer(), &image.join(" "), args).unwrap().text;
            let edited = format!("root=x y rw thinroot.layer={} {}", layer(), now.join(" "));
            let changes = admin_changes("root=x y", &layer(), &image.join(" "), &edited).unwrap();
            let sorted = |text: &str| {
                let mut words = split(text).unwrap();
                words.sort();
                words
            };
            prop_assert_eq!(sorted(&line(&changes)), sorted(&edited));
        }

        #[test]
        fn splitting_and_joining_changes_nothing_but_spaces(text in "[a-z=\" \t]{0,40}") {
            if let Ok(words) = split(&text) {
                prop_assert_eq!(split(&words.join(" ")), Ok(words));
            }
        }
    }
}
