//! JSON: objects by key, lists of plain values as sets, everything else as one value.
//!
//! Must stay true: the vendor's text is edited in place, and numbers and strings are never written anew, so that what is
//! not changed keeps its notation. Two notations of one number count as different.

use super::Merged;
use super::choice::loss;
use crate::path::escape;
use layout::{Layout, Piece};
use node::{Document, Item, Items, Kind, Node};

mod layout;
mod node;

/// Merges three texts; none where one is no JSON, or an object has a key twice.
pub fn merge(base: Option<&str>, local: &str, vendor: &str) -> Option<Merged> {
    let base = match base {
        Some(base) => Some(Document::parse(base)?.root),
        None => None,
    };
    let (local, vendor) = (Document::parse(local)?, Document::parse(vendor)?);
    let (from, to) = (Layout::of(&local), Layout::of(&vendor));
    let mut merger = Merger { from, to, path: Vec::new(), lost: Vec::new() };
    let root = merger.value(base.as_ref(), &local.root, &vendor.root);
    Some(Merged { text: [vendor.before, &root, vendor.after].concat().into_bytes(), lost: merger.lost })
}

struct Merger<'a> {
    from: Layout<'a>,
    to: Layout<'a>,
    /// The keys that lead to the value at hand.
    path: Vec<&'a str>,
    lost: Vec<String>,
}

impl<'a> Merger<'a> {
    /// The text of a value that both sides have.
    fn value(&mut self, base: Option<&Node>, local: &Node<'a>, vendor: &Node<'a>) -> String {
        if local.same(vendor) || base.is_some_and(|base| base.same(local)) {
            return vendor.raw.to_owned();
        }
        let vendor_kept = base.is_some_and(|base| base.same(vendor));
        match (base.map(|base| &base.kind), &local.kind, &vendor.kind) {
            (base, Kind::Object(local), Kind::Object(vendor)) => {
                let nothing = Items::default();
                let base = match base {
                    Some(Kind::Object(base)) => base,
                    Some(Kind::Plain | Kind::Array(_)) | None => &nothing,
                };
                self.list(["{", "}"], base, local, vendor)
            }
            (Some(Kind::Array(base)), Kind::Array(local), Kind::Array(vendor))
                if !vendor_kept && are_sets(base, local, vendor) =>
            {
                self.list(["[", "]"], base, local, vendor)
            }
            (_, Kind::Plain | Kind::Array(_) | Kind::Object(_), _) => {
                if !vendor_kept {
                    self.lose(true, true);
                }
                self.to.adopt(local.raw, &self.from)
            }
        }
    }

    /// The text of a list: the vendor's items in their order, then what the layer added.
    fn list(&mut self, braces: [&str; 2], base: &Items, local: &Items<'a>, vendor: &Items<'a>) -> String {
        let depth = self.path.len();
        let mut pieces = Vec::new();
        for (at, item) in vendor.all.iter().enumerate() {
            self.path.push(item.key);
            if let Some(value) = self.vendors(base.get(&item.name), local.get(&item.name), item) {
                let content = [item.key, item.colon, &value].concat();
                // Behind the last one is what stands before the brace.
                let after = if at + 1 == vendor.all.len() { "" } else { item.after };
                pieces.push(Piece { before: item.before.to_owned(), content, after: after.to_owned() });
            }
            self.path.pop();
        }
        for item in local.all.iter().filter(|item| vendor.get(&item.name).is_none()) {
            self.path.push(item.key);
            if let Some(value) = self.locals(base.get(&item.name), item) {
                let content = self.to.key(item) + &value;
                pieces.push(Piece { before: self.to.gap(&vendor.all, depth), content, after: String::new() });
            }
            self.path.pop();
        }
        self.to.list(braces, &vendor.all, pieces, depth)
    }

    /// What becomes of an item that the vendor has.
    fn vendors(&mut self, base: Option<&Item>, local: Option<&Item<'a>>, vendor: &Item<'a>) -> Option<String> {
        match (base, local) {
            (base, Some(local)) => Some(self.value(base.map(|base| &base.value), &local.value, &vendor.value)),
            (None, None) => Some(vendor.value.raw.to_owned()),
            (Some(base), None) if base.value.same(&vendor.value) => None,
            (Some(base), None) => match (&base.value.kind, &vendor.value.kind) {
                // What the vendor put into an object since is not what the layer removed.
                (Kind::Object(base), Kind::Object(vendor)) if !vendor.all.is_empty() => {
                    self.rest(base, &Items::default(), vendor)
                }
                (Kind::Plain | Kind::Array(_) | Kind::Object(_), _) => {
                    self.lose(false, true);
                    None
                }
            },
        }
    }

    /// What is left of an object that one side removed; none where that is nothing.
    fn rest(&mut self, base: &Items, local: &Items<'a>, vendor: &Items<'a>) -> Option<String> {
        Some(self.list(["{", "}"], base, local, vendor)).filter(|text| text != "{}")
    }

    /// What becomes of an item that the vendor does not have.
    fn locals(&mut self, base: Option<&Item>, local: &Item<'a>) -> Option<String> {
        match base.map(|base| (&base.value.kind, &local.value.kind)) {
            None => {}
            Some(_) if base.is_some_and(|base| base.value.same(&local.value)) => return None,
            Some((Kind::Object(base), Kind::Object(local))) if !local.all.is_empty() => {
                return self.rest(base, local, &Items::default());
            }
            Some(_) => self.lose(true, false),
        }
        Some(self.to.adopt(local.value.raw, &self.from))
    }

    fn lose(&mut self, local_has: bool, vendor_has: bool) {
        let names: Vec<String> = self.path.iter().map(|key| escape(key.trim_matches('"').as_bytes())).collect();
        let key = if names.is_empty() { "all of it".to_owned() } else { names.join(".") };
        self.lost.push(loss(&key, local_has, vendor_has));
    }
}

/// Whether three arrays can be merged by what is in them: as sets, in an order that nobody changed.
fn are_sets(base: &Items, local: &Items, vendor: &Items) -> bool {
    [base, local, vendor].into_iter().all(Items::is_set)
        && [local, vendor].into_iter().all(|side| base.common(side) == side.common(base))
}
