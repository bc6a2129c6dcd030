//! TOML: tables by key, to any depth; everything else as one value. Comments stay where the vendor has them; a key that
//! the layer added brings its own.

use toml_edit::{DocumentMut, Item, Table};

use super::{Merged, three_way};

pub(super) fn merge(base: Option<&str>, local: &str, vendor: &str) -> Option<Merged> {
    let parse = |text: &str| text.parse::<DocumentMut>().ok();
    let b = base.map(parse).map_or(Some(None), |document| document.map(Some))?;
    let (l, mut n) = (parse(local)?, parse(vendor)?);
    let mut lost = Vec::new();
    tables(b.as_ref().map(|b| b.as_table()), l.as_table(), n.as_table_mut(), &mut Vec::new(), &mut lost);
    Some(Merged { text: n.to_string().into_bytes(), lost })
}

fn tables(b: Option<&Table>, l: &Table, n: &mut Table, at: &mut Vec<String>, lost: &mut Vec<String>) {
    let mut keys: Vec<String> = n.iter().map(|(key, _)| key.to_string()).collect();
    keys.extend(l.iter().map(|(key, _)| key.to_string()).filter(|key| !n.contains_key(key)));
    for key in keys {
        at.push(key.clone());
        let (old, mine) = (b.and_then(|b| b.get(&key)), l.get(&key));
        match (mine, n.get_mut(&key)) {
            (Some(Item::Table(mine)), Some(Item::Table(theirs))) => {
                tables(old.and_then(Item::as_table), mine, theirs, at, lost);
            }
            // A table that one side removed is an empty one: what the other put into it since is not removed with the
            // rest.
            (Some(Item::Table(mine)), None) if let Some(Item::Table(old)) = old => {
                let mut table = Table::new();
                *table.decor_mut() = mine.decor().clone();
                tables(Some(old), mine, &mut table, at, lost);
                if !table.is_empty() {
                    n.insert(&key, Item::Table(table));
                }
            }
            (None, Some(Item::Table(theirs))) if let Some(Item::Table(old)) = old => {
                tables(Some(old), &Table::new(), theirs, at, lost);
                if theirs.is_empty() {
                    n.remove(&key);
                }
            }
            _ => value(b.is_some(), old, l, n, &key, at, lost),
        }
        at.pop();
    }
}

fn value(
    has_base: bool,
    old: Option<&Item>,
    l: &Table,
    n: &mut Table,
    key: &str,
    at: &[String],
    lost: &mut Vec<String>,
) {
    let plain = |item: Option<&Item>| item.map(plain);
    let (mine, theirs) = (plain(l.get(key)), plain(n.get(key)));
    // Without a common ancestor what only one side has comes along.
    let union = !has_base && (mine.is_none() || theirs.is_none());
    let (taken, gave_way) = three_way(Some(&plain(old)), &mine, &theirs);
    if gave_way && !union {
        lost.push(at.join("."));
    }
    if taken == theirs || (union && mine.is_none()) {
        return;
    }
    match l.key(key).zip(l.get(key)) {
        Some((name, item)) => put(n, name, item),
        None => drop(n.remove(key)),
    }
}

/// The layer's item in the place of the vendor's, whose comments around the value stay; else at the end.
fn put(n: &mut Table, key: &toml_edit::Key, item: &Item) {
    let mut item = item.clone();
    place_last(&mut item);
    match (n.get_mut(key.get()), &mut item) {
        (Some(Item::Value(theirs)), Item::Value(mine)) => {
            *mine.decor_mut() = theirs.decor().clone();
            *theirs = mine.clone();
        }
        (Some(other), _) => *other = item,
        (None, _) => drop(n.insert_formatted(key, item)),
    }
}

/// A table stands where its document had it; in another one that means nothing.
fn place_last(item: &mut Item) {
    if let Item::Table(table) = item {
        table.set_position(None);
        table.iter_mut().for_each(|(_, item)| place_last(item));
    } else if let Item::ArrayOfTables(tables) = item {
        tables.iter_mut().for_each(|table| table.set_position(None));
    }
}

/// An item without what stands around it, for comparing.
fn plain(item: &Item) -> String {
    match item {
        Item::Value(value) => {
            let mut value = value.clone();
            value.decor_mut().clear();
            value.to_string()
        }
        Item::None | Item::Table(_) | Item::ArrayOfTables(_) => item.to_string(),
    }
}
