//! YAML: mappings in block style by key to any depth, every other value as a whole, in the lines that it is written in.
//!
//! Must stay true: what the parser refuses is refused, and so is whatever is said elsewhere than where it stands (anchors,
//! merge keys), by a type of its own (tags) or in several documents; lines are moved but never written anew.

mod read;

use read::{Document, Mapping, Nested};

use super::Merged;
use super::choice::{Choice, choose};
use super::lines::{line_end, with_ends};
use super::weave::{self, Entries, Inside};

/// Merges three texts.
pub fn merge(base: Option<&str>, local: &str, vendor: &str) -> Option<Merged> {
    let base = match base {
        Some(base) => Some(Document::parse(base)?),
        None => None,
    };
    let end = line_end(vendor);
    let (local, vendor) = (Document::parse(local)?, Document::parse(vendor)?);
    // What stands above the mark of a document's beginning is not laid in line by line.
    let head = |document: &Document| document.head.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>();
    if choose(base.as_ref().map(head), Some(head(&local)), Some(head(&vendor))) != Choice::Vendor {
        return None;
    }
    let body = merge_mappings(base.as_ref().map(|base| &base.root), &local.root, &vendor.root, end)?;
    let text = [vendor.head.as_bytes(), &body.text].concat();
    Document::parse(std::str::from_utf8(&text).ok()?).is_some().then_some(Merged { text, lost: body.lost })
}

fn merge_mappings(base: Option<&Mapping>, local: &Mapping, vendor: &Mapping, end: &str) -> Option<Merged> {
    // Lines of one depth mean nothing at another.
    if local.indent.zip(vendor.indent).is_some_and(|(local, vendor)| local != vendor) {
        return None;
    }
    let mut inner = |entries: Entries| {
        let nested = [base, Some(local), Some(vendor)].map(|mapping| mapping.and_then(|at| at.nested.get(entries.key)));
        let [base, Some(local), Some(vendor)] = nested else { return Inside::Whole };
        match merge_nested(base, local, vendor, end) {
            Some((text, lost)) => Inside::Line { text, lost },
            None => Inside::Unclear,
        }
    };
    weave::merge(base.map(|base| &base.text), &local.text, &vendor.text, end, &mut inner)
}

/// Merges two mappings of one key: its line, and what lies deeper.
fn merge_nested(base: Option<&Nested>, local: &Nested, vendor: &Nested, end: &str) -> Option<(String, Vec<String>)> {
    // Behind the colon there can only be a comment.
    let comment = |nested: &Nested| nested.head.split_once('#').map(|(_, comment)| comment.trim().to_owned());
    let head = match choose(base.and_then(comment), comment(local), comment(vendor)) {
        Choice::Vendor => vendor.head,
        Choice::Local => local.head,
        Choice::Clash => return None,
    };
    let body = merge_mappings(base.map(|base| &base.mapping), &local.mapping, &vendor.mapping, end)?;
    let below = String::from_utf8(body.text).ok()?;
    // With nothing below it the key would have no mapping but no value.
    let filled = below.lines().any(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'));
    filled.then(|| (with_ends(head, end) + &below, body.lost.into_iter().map(|key| format!(".{key}")).collect()))
}
