//! The comments that the layer added.
//!
//! Must stay true: each of their lines is in the result: above the key it stood above, else at the end.

use std::collections::BTreeSet;

use toml_edit::{Decor, Item, Key, TableLike};

/// Comment lines that the layer did not bring, without layout.
pub struct Comments<'a> {
    known: BTreeSet<&'a str>,
}

impl<'a> Comments<'a> {
    pub fn of(texts: [&'a str; 2]) -> Comments<'a> {
        Comments { known: texts.into_iter().flat_map(comment_lines).collect() }
    }

    /// Puts what the layer wrote above a key above the same key of the vendor's.
    pub fn carry(&self, key: &Key, local: &Item, vendor: &mut dyn TableLike) {
        let own: String = match local {
            Item::Table(table) if !table.is_dotted() => self.own(prefix(table.decor()), false),
            Item::Value(_) => self.own(prefix(key.leaf_decor()), false),
            Item::None | Item::Table(_) | Item::ArrayOfTables(_) => return,
        };
        if own.is_empty() {
            return;
        }
        match vendor.get_mut(key.get()) {
            Some(Item::Table(table)) if !table.is_dotted() && !table.is_implicit() => {
                insert(table.decor_mut(), &own);
            }
            Some(Item::Value(_)) => {
                if let Some(mut key) = vendor.key_mut(key.get()) {
                    insert(key.leaf_decor_mut(), &own);
                }
            }
            Some(Item::None | Item::Table(_) | Item::ArrayOfTables(_)) | None => {}
        }
    }

    /// Takes the vendor's comments from above a key that the layer added between them and theirs.
    pub fn keep_own(&self, key: &mut Key, item: &mut Item) {
        let keep = |decor: &mut Decor, apart: bool| {
            let own = self.own(prefix(decor), true);
            let gap = if apart && !own.starts_with('\n') { "\n" } else { "" };
            decor.set_prefix(format!("{gap}{own}"));
        };
        match item {
            Item::Table(table) if !table.is_dotted() => keep(table.decor_mut(), true),
            Item::Value(_) => keep(key.leaf_decor_mut(), false),
            Item::None | Item::Table(_) | Item::ArrayOfTables(_) => {}
        }
    }

    /// Lines of comments of the layer's text that are not in the result.
    pub fn missing(&self, local: &str, result: &str) -> Vec<String> {
        let there: BTreeSet<&str> = comment_lines(result).collect();
        let mut own: Vec<String> = Vec::new();
        for line in comment_lines(local).filter(|line| !self.known.contains(line) && !there.contains(line)) {
            own.push(line.to_owned());
        }
        own
    }

    /// The layer's own lines, and the blank ones with the indentation of what follows where it is asked for.
    fn own(&self, prefix: &str, with_layout: bool) -> String {
        // A comment without a word goes with the one above it.
        let mut after_own = false;
        let is_own = |line: &&str| {
            let plain = line.trim();
            let bare = !plain.contains(char::is_alphanumeric);
            let own = !plain.is_empty() && (!self.known.contains(plain) || (bare && after_own));
            after_own = own;
            own || (with_layout && plain.is_empty())
        };
        prefix.split_inclusive('\n').filter(is_own).collect()
    }
}

/// A text with more lines of comments at its end.
pub fn append(text: &str, lines: &[String]) -> String {
    let gap = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    format!("{text}{gap}{}\n", lines.join("\n"))
}

fn comment_lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| line.starts_with('#'))
}

fn prefix(decor: &Decor) -> &str {
    decor.prefix().and_then(|prefix| prefix.as_str()).unwrap_or_default()
}

/// Adds lines below those above a key, before its indentation.
fn insert(decor: &mut Decor, lines: &str) {
    let old = prefix(decor);
    let at = old.rfind('\n').map_or(0, |end| end + 1);
    let new = [&old[..at], lines, &old[at..]].concat();
    decor.set_prefix(new);
}
