//! TOML: tables by key, everything else as one value.
//!
//! Must stay true: the vendor's document is edited in place. One that would not come out of that as it went in is not
//! merged here, and neither is one that does not say afterwards what it was made to say.

use toml_edit::{DocumentMut, Entry, Item, Key, Table, TableLike, Value};

use super::Merged;
use super::choice::loss;
use crate::path::escape;
use comments::Comments;
use equal::{same, same_tables};

mod comments;
mod equal;

/// Merges three texts; none where one is no TOML.
pub fn merge(base: Option<&str>, local: &str, vendor: &str) -> Option<Merged> {
    // The library writes one kind of line end only.
    let plain = |text: &str| text.replace("\r\n", "\n");
    let has_crlf = vendor.contains("\r\n");
    let (base, local, unix) = (base.map(plain), plain(local), plain(vendor));
    if has_crlf && unix.replace('\n', "\r\n") != vendor {
        return None;
    }
    let (text, lost) = merge_plain(base.as_deref(), &local, &unix)?;
    let text = if has_crlf { text.replace('\n', "\r\n") } else { text };
    Some(Merged { text: text.into_bytes(), lost })
}

fn merge_plain(base: Option<&str>, local_text: &str, vendor_text: &str) -> Option<(String, Vec<String>)> {
    let parse = |text: &str| text.parse::<DocumentMut>().ok();
    let base_document = parse(base.unwrap_or_default())?;
    let (local, mut vendor) = (parse(local_text)?, parse(vendor_text)?);
    if written(&vendor, vendor_text) != vendor_text {
        return None;
    }
    let comments = Comments::of([base.unwrap_or_default(), vendor_text]);
    let mut merger = Merger { comments, path: Vec::new(), lost: Vec::new() };
    merger.tables(Some(base_document.as_table()), local.as_table(), vendor.as_table_mut(), Shape::default());
    let homeless = merger.comments.missing(local_text, &vendor.to_string());
    if !homeless.is_empty() {
        let trailing = vendor.trailing().as_str().unwrap_or_default();
        vendor.set_trailing(comments::append(trailing, &homeless));
    }
    let text = written(&vendor, vendor_text);
    same_tables(parse(&text)?.as_table(), vendor.as_table()).then_some((text, merger.lost))
}

/// A document as text, which ends as the old one did.
fn written(document: &DocumentMut, old: &str) -> String {
    let mut text = document.to_string();
    if !old.ends_with('\n') && !old.is_empty() && text.ends_with('\n') {
        text.pop();
    }
    text
}

/// Which of two tables are written between braces, in one line with their key.
#[derive(Debug, Clone, Copy, Default)]
struct Shape {
    local_inline: bool,
    vendor_inline: bool,
}

struct Merger<'a> {
    comments: Comments<'a>,
    /// The keys that lead to the table at hand.
    path: Vec<String>,
    lost: Vec<String>,
}

impl Merger<'_> {
    fn tables(
        &mut self,
        base: Option<&dyn TableLike>,
        local: &dyn TableLike,
        vendor: &mut dyn TableLike,
        shape: Shape,
    ) {
        let keys: Vec<String> = vendor.iter().map(|(key, _)| key.to_owned()).collect();
        let added: Vec<(&str, &Item)> = local.iter().filter(|(key, _)| !vendor.contains_key(key)).collect();
        let of_base = |key: &str| base.and_then(|base| base.get(key));
        for key in &keys {
            self.path.push(key.clone());
            match local.get_key_value(key) {
                Some(local) => self.both(of_base(key), local, vendor, shape),
                None => self.only_vendors(of_base(key), key, vendor),
            }
            self.path.pop();
        }
        for (key, item) in added {
            self.path.push(key.to_owned());
            let item = self.rest(of_base(key), item);
            if let (Some(key), Some(item)) = (local.key(key), item) {
                self.add(key, item, vendor, shape);
            }
            self.path.pop();
        }
    }

    /// A key that both sides have.
    fn both(&mut self, base: Option<&Item>, local: (&Key, &Item), vendor: &mut dyn TableLike, shape: Shape) {
        let (key, local) = local;
        let Some(old) = vendor.get_mut(key.get()) else { return };
        if !same(local, old) && !base.is_some_and(|base| same(base, local)) {
            let inner = Shape { local_inline: local.is_inline_table(), vendor_inline: old.is_inline_table() };
            match (local.as_table_like(), old.as_table_like_mut()) {
                (Some(local), Some(old)) => self.tables(base.and_then(Item::as_table_like), local, old, inner),
                _ => {
                    if !base.is_some_and(|base| same(base, old)) {
                        self.lose(true, true);
                    }
                    replace(old, local, shape);
                }
            }
        }
        if !shape.local_inline && !shape.vendor_inline {
            self.comments.carry(key, local, vendor);
        }
    }

    /// A key that the layer does not have.
    fn only_vendors(&mut self, base: Option<&Item>, key: &str, vendor: &mut dyn TableLike) {
        let (Some(base), Some(item)) = (base, vendor.get_mut(key)) else { return };
        let kept = same(base, item);
        let filled = item.as_table_like_mut().filter(|table| !table.is_empty());
        if let (false, Some(base), Some(table)) = (kept, base.as_table_like(), filled) {
            // What the vendor put into a table since is not what the layer removed.
            self.tables(Some(base), &Table::new(), table, Shape::default());
            if !table.is_empty() {
                return;
            }
        } else if !kept {
            self.lose(false, true);
        }
        // Emptied rather than removed: the library moves all that follows for each that is removed.
        if let Some(item) = vendor.get_mut(key) {
            *item = Item::None;
        }
    }

    /// What is left of the layer's item where the vendor has none; none where that is nothing.
    fn rest(&mut self, base: Option<&Item>, item: &Item) -> Option<Item> {
        let Some(base) = base else { return Some(item.clone()) };
        if same(base, item) {
            return None;
        }
        let mut rest = item.clone();
        let filled = rest.as_table_like_mut().filter(|table| !table.is_empty());
        let (Some(base), Some(table)) = (base.as_table_like(), filled) else {
            self.lose(true, false);
            return Some(rest);
        };
        let keys: Vec<String> = table.iter().map(|(key, _)| key.to_owned()).collect();
        for key in keys {
            self.path.push(key.clone());
            let left = table.get(&key).and_then(|item| self.rest(base.get(&key), item));
            self.path.pop();
            if let Some(item) = table.get_mut(&key) {
                *item = left.unwrap_or(Item::None);
            }
        }
        let nothing = table.is_empty();
        (!nothing).then_some(rest)
    }

    /// A key of the layer's that the vendor does not have.
    fn add(&self, key: &Key, mut item: Item, vendor: &mut dyn TableLike, shape: Shape) {
        let mut key = key.clone();
        free(&mut item);
        if shape.vendor_inline {
            item.make_value();
        }
        if shape.local_inline != shape.vendor_inline {
            key = Key::new(key.get());
            item.as_value_mut().into_iter().for_each(|value| value.decor_mut().clear());
        } else {
            self.comments.keep_own(&mut key, &mut item);
        }
        match vendor.entry_format(&key) {
            Entry::Vacant(place) => drop(place.insert(item)),
            Entry::Occupied(mut place) => drop(place.insert(item)),
        }
    }

    fn lose(&mut self, local_has: bool, vendor_has: bool) {
        let names: Vec<String> = self.path.iter().map(|name| escape(name.as_bytes())).collect();
        self.lost.push(loss(&names.join("."), local_has, vendor_has));
    }
}

/// Puts the layer's value where the vendor has another. A comment behind the vendor's stays unless the layer has one.
fn replace(old: &mut Item, new: &Item, shape: Shape) {
    let mut new = new.clone();
    free(&mut new);
    if shape.vendor_inline {
        new.make_value();
    }
    if let (Some(old), Some(new)) = (old.as_value(), new.as_value_mut()) {
        let comment = |value: &Value| value.decor().suffix().and_then(|suffix| suffix.as_str()).map(str::to_owned);
        let has_own = comment(new).is_some_and(|text| text.contains('#'));
        if shape.local_inline || shape.vendor_inline {
            *new.decor_mut() = old.decor().clone();
        } else if let Some(kept) = comment(old).filter(|_| !has_own) {
            new.decor_mut().set_suffix(kept);
        }
    }
    *old = new;
}

/// Takes from tables where they stood in the layer's document, which means nothing in the vendor's.
fn free(item: &mut Item) {
    match item {
        Item::Table(table) => {
            table.set_position(None);
            table.iter_mut().for_each(|(_, item)| free(item));
        }
        Item::ArrayOfTables(tables) => {
            for table in tables.iter_mut() {
                table.set_position(None);
                table.iter_mut().for_each(|(_, item)| free(item));
            }
        }
        Item::None | Item::Value(_) => {}
    }
}
