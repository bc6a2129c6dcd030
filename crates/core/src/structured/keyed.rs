//! Formats of lines: the layer's changes laid into the vendor's text.
//!
//! Every line has an identity: an entry its section and key, a comment its text. What the layer added goes behind the
//! nearest line before it (else before the nearest behind it) that the vendor's text has too, so that a setting stays
//! beside the comment it stood beside.

use std::collections::{BTreeMap, BTreeSet};

use super::lines::{Kind, Line, parse};
use super::{Format, Merged, fields, three_way};

/// What a line is, whatever its value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Id<'a> {
    Comment(&'a str),
    Section(&'a str),
    Entry(&'a str, String),
}

/// Lines of the result.
#[derive(Debug, Clone)]
struct Out<'a> {
    id: Option<Id<'a>>,
    section: &'a str,
    raw: String,
}

type Key<'a> = (&'a str, String);

/// A text with what stands in it.
struct Doc<'a> {
    lines: Vec<Line<'a>>,
    /// Values of each key, in order: a key that stands several times is a list.
    values: BTreeMap<Key<'a>, Vec<Vec<&'a str>>>,
    comments: BTreeMap<&'a str, usize>,
}

impl<'a> Doc<'a> {
    fn parse(format: Format, text: &'a str) -> Option<Doc<'a>> {
        let lines = parse(format, text)?;
        let mut values: BTreeMap<Key<'a>, Vec<Vec<&'a str>>> = BTreeMap::new();
        let mut comments = BTreeMap::new();
        for line in &lines {
            match &line.kind {
                Kind::Entry { section, key, value } => {
                    values.entry((section, key.clone())).or_default().push(value.clone());
                }
                Kind::Comment => *comments.entry(line.raw.trim()).or_default() += 1,
                Kind::Blank | Kind::Section(_) => {}
            }
        }
        // Two lines with one mount point lie one over the other, and which is meant nobody can tell.
        let table = matches!(format, Format::Mounts | Format::Crypt);
        (!table || values.values().all(|values| values.len() == 1)).then_some(Doc { lines, values, comments })
    }

    fn has_comment(&self, text: &str) -> bool {
        self.comments.contains_key(text)
    }
}

fn id<'a>(line: &Line<'a>) -> Option<Id<'a>> {
    match &line.kind {
        Kind::Blank => None,
        Kind::Comment => Some(Id::Comment(line.raw.trim())).filter(|_| says_something(line.raw)),
        Kind::Section(name) => Some(Id::Section(name)),
        Kind::Entry { section, key, .. } => Some(Id::Entry(section, key.clone())),
    }
}

/// A frame of `#` signs stands in many places and is none of them.
fn says_something(comment: &str) -> bool {
    comment.chars().any(char::is_alphanumeric)
}

/// Where the value of a key comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Taken {
    Vendor,
    Local,
    /// A line made of both.
    Line(String),
    Nothing,
}

pub(super) fn merge(format: Format, base: Option<&str>, local: &str, vendor: &str) -> Option<Merged> {
    let b = base.map(|text| Doc::parse(format, text)).map_or(Some(None), |doc| doc.map(Some))?;
    let (l, n) = (Doc::parse(format, local)?, Doc::parse(format, vendor)?);
    let mut lost = Vec::new();
    let keys: BTreeSet<&Key<'_>> = l.values.keys().chain(n.values.keys()).collect();
    let mut taken = BTreeMap::new();
    for key in keys {
        taken.insert(key, decide(format, b.as_ref(), &l, &n, key, &mut lost));
    }
    let mut out = vendor_lines(&l, &n, b.as_ref(), &taken);
    lay_in(&mut out, &l, &n, b.as_ref(), &taken);
    let text: String = out.into_iter().map(|line| line.raw).collect();
    Some(Merged { text: text.into_bytes(), lost })
}

fn decide(
    format: Format,
    b: Option<&Doc<'_>>,
    l: &Doc<'_>,
    n: &Doc<'_>,
    key: &Key<'_>,
    lost: &mut Vec<String>,
) -> Taken {
    let (lv, nv) = (l.values.get(key), n.values.get(key));
    let bv = b.map(|b| b.values.get(key));
    let (section, name) = key;
    let shown = if section.is_empty() { name.clone() } else { format!("[{section}] {name}") };
    if let (Format::Mounts | Format::Crypt, Some(lv), Some(nv)) = (format, lv, nv) {
        let raw = n.lines.iter().find(|line| id(line) == Some(Id::Entry(section, name.clone())));
        let base = bv.flatten().map(|values| values[0].as_slice());
        let (line, fields) = fields::merge(format, base, &lv[0], &nv[0], raw.map_or("", |line| line.raw));
        lost.extend(fields.iter().map(|field| format!("{shown}: {field}")));
        return Taken::Line(line);
    }
    let (value, gave_way) = match (b, lv, nv) {
        // Both sides added the file: what only one has comes along.
        (None, Some(only), None) | (None, None, Some(only)) => (Some(only), false),
        _ => three_way(bv.as_ref(), &lv, &nv),
    };
    if gave_way {
        lost.push(shown);
    }
    match value {
        None => Taken::Nothing,
        value if value == nv => Taken::Vendor,
        Some(_) => Taken::Local,
    }
}

/// The vendor's lines, with values of the layer in the place of its own, and without what the layer removed.
fn vendor_lines<'a>(l: &Doc<'a>, n: &Doc<'a>, b: Option<&Doc<'a>>, taken: &BTreeMap<&Key<'a>, Taken>) -> Vec<Out<'a>> {
    let mut out = Vec::new();
    let mut replaced = BTreeSet::new();
    let mut current = "";
    for line in &n.lines {
        let id = id(line);
        let raw = match &line.kind {
            Kind::Blank => line.raw.to_string(),
            Kind::Section(name) => {
                current = name;
                line.raw.to_string()
            }
            Kind::Comment => {
                let text = line.raw.trim();
                let once = b.is_some_and(|b| b.comments.get(text) == Some(&1));
                // The layer removed it, as one who sets what stood there commented out.
                if once && says_something(text) && !l.has_comment(text) {
                    continue;
                }
                line.raw.to_string()
            }
            Kind::Entry { section, key, .. } => {
                let key = (*section, key.clone());
                match taken.get(&key) {
                    Some(Taken::Nothing) => continue,
                    Some(Taken::Line(raw)) => raw.clone(),
                    Some(Taken::Local) if replaced.insert(key.clone()) => all_of(l, &key),
                    Some(Taken::Local) => continue,
                    Some(Taken::Vendor) | None => line.raw.to_string(),
                }
            }
        };
        out.push(Out { id, section: current, raw });
    }
    out
}

/// Every line of a key, each with an end.
fn all_of(doc: &Doc<'_>, key: &Key<'_>) -> String {
    let wanted = Id::Entry(key.0, key.1.clone());
    doc.lines.iter().filter(|line| id(line).as_ref() == Some(&wanted)).map(|line| ended(line.raw)).collect()
}

fn ended(raw: &str) -> String {
    if raw.ends_with('\n') { raw.to_string() } else { format!("{raw}\n") }
}

/// Puts what only the layer has behind the nearest line before it that is there already.
fn lay_in<'a>(
    out: &mut Vec<Out<'a>>,
    l: &Doc<'a>,
    n: &Doc<'a>,
    b: Option<&Doc<'a>>,
    taken: &BTreeMap<&Key<'a>, Taken>,
) {
    let sections: BTreeSet<&str> = n.lines.iter().filter_map(section_of).collect();
    let mut current = "";
    let mut blank = false;
    for (at, line) in l.lines.iter().enumerate() {
        let own = match &line.kind {
            Kind::Blank => false,
            Kind::Section(name) => {
                current = name;
                let missing = !out.iter().any(|line| line.id == Some(Id::Section(name)));
                missing && !sections.contains(name) && brings_something(l, name, taken)
            }
            Kind::Comment => {
                let text = line.raw.trim();
                let known = |doc: &Doc<'_>| doc.has_comment(text);
                says_something(text) && !known(n) && !b.is_some_and(known)
            }
            Kind::Entry { section, key, .. } => {
                let key = (*section, key.clone());
                taken.get(&key) == Some(&Taken::Local) && !n.values.contains_key(&key)
            }
        };
        if own {
            let place = place(out, l, at, current);
            if let Some(last) = place.checked_sub(1).and_then(|last| out.get_mut(last)) {
                last.raw = ended(&last.raw);
            }
            let spaced = blank && place.checked_sub(1).is_some_and(|last| !out[last].raw.trim().is_empty());
            let raw = if spaced { format!("\n{}", ended(line.raw)) } else { ended(line.raw) };
            out.insert(place, Out { id: id(line), section: current, raw });
        }
        blank = line.kind == Kind::Blank;
    }
}

fn section_of<'a>(line: &Line<'a>) -> Option<&'a str> {
    if let Kind::Section(name) = line.kind { Some(name) } else { None }
}

/// Whether the layer's section has an entry that the result needs.
fn brings_something(l: &Doc<'_>, section: &str, taken: &BTreeMap<&Key<'_>, Taken>) -> bool {
    let of_it = l.values.keys().filter(|(of, _)| *of == section);
    let mut of_it = of_it.peekable();
    of_it.peek().is_none() || of_it.any(|key| taken.get(key) == Some(&Taken::Local))
}

/// Where the line `at` of the layer goes.
fn place(out: &[Out<'_>], l: &Doc<'_>, at: usize, section: &str) -> usize {
    if matches!(l.lines[at].kind, Kind::Section(_)) {
        return out.len();
    }
    let known = |line: &Line<'_>| {
        let wanted = id(line)?;
        out.iter().rposition(|o| o.id.as_ref() == Some(&wanted) && o.section == section)
    };
    for before in l.lines[..at].iter().rev() {
        if let Some(found) = known(before) {
            return found + 1;
        }
        if section_of(before).is_some() {
            break;
        }
    }
    let mut behind = l.lines[at + 1..].iter().take_while(|line| section_of(line).is_none());
    if let Some(found) = behind.find_map(known) {
        return found;
    }
    // At the end of its section, before the blank lines that part it from the next.
    let end = out.iter().rposition(|o| o.section == section && !o.raw.trim().is_empty()).map(|last| last + 1);
    end.unwrap_or(if section.is_empty() { 0 } else { out.len() })
}
