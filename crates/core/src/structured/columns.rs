//! fstab and crypttab: lines of fields, the last ones optional, one of them a list of options.
//!
//! Must stay true: a field that is left out equals its default; the vendor's line keeps its white space.

use std::collections::{BTreeMap, BTreeSet};

use super::choice::{Choice, choose};
use super::lines::{Is, Text};
use super::weave::{Entries, Inside};

/// The shape of a table.
#[derive(Debug)]
pub struct Table {
    /// Each field's word for a person and what it means to leave it out.
    fields: &'static [(&'static str, &'static str)],
    required: usize,
    key: fn(&[&str]) -> String,
}

pub const MOUNTS: Table = Table {
    fields: &[("source", ""), ("mount point", ""), ("type", ""), (OPTIONS, "defaults"), ("dump", "0"), ("pass", "0")],
    required: 3,
    key: |fields| match fields[1] {
        "none" | "swap" => format!("{} {}", fields[0], fields[2]),
        place => place.into(),
    },
};

pub const CRYPT: Table = Table {
    fields: &[("name", ""), ("source", ""), ("key file", "none"), (OPTIONS, "")],
    required: 2,
    key: |fields| fields[0].into(),
};

const OPTIONS: &str = "options";

impl Table {
    /// Reads a text; none where a line has another shape, or two have one key.
    pub fn parse<'a>(&self, text: &'a str) -> Option<Text<'a>> {
        let text = Text::parse(text, |line| self.line(line))?;
        let unique = text.sections.iter().flat_map(|section| section.keys.values()).all(|lines| lines.len() == 1);
        unique.then_some(text)
    }

    fn line(&self, line: &str) -> Option<Is> {
        let trimmed = line.trim();
        if trimmed.is_empty() {
            return Some(Is::Blank);
        }
        if trimmed.starts_with('#') {
            return Some(Is::Comment);
        }
        let count = fields(line).count();
        let all = self.padded(line);
        // A comment behind the fields is no number.
        let is_number = |(field, (_, default)): (&&str, &(&str, &str))| *default != "0" || field.parse::<u8>().is_ok();
        let fits = (self.required..=self.fields.len()).contains(&count) && all.iter().zip(self.fields).all(is_number);
        fits.then(|| Is::Entry { key: (self.key)(&all), value: all.join(" ") })
    }

    /// All fields of a line, also those left out.
    fn padded<'a>(&self, line: &'a str) -> Vec<&'a str> {
        let mut all: Vec<&str> = fields(line).map(|(_, field)| field).collect();
        all.extend(self.fields.iter().skip(all.len()).map(|(_, default)| *default));
        all
    }

    /// Merges two lines of one key by field.
    pub fn combine(&self, entries: Entries) -> Inside {
        let base = entries.base.map(|line| self.padded(line));
        let (local, old) = (self.padded(entries.local), self.padded(entries.vendor));
        let (mut new, mut lost) = (Vec::new(), Vec::new());
        for (at, (word, default)) in self.fields.iter().enumerate() {
            let (b, l, n) = (base.as_ref().map(|fields| fields[at]), local[at], old[at]);
            let choice = choose(b, Some(l), Some(n));
            let (value, clash) = match choice {
                Choice::Vendor => (n.to_owned(), false),
                Choice::Local => (l.to_owned(), false),
                Choice::Clash if *word == OPTIONS => merge_options(b, l, n),
                Choice::Clash => (l.to_owned(), true),
            };
            new.push(if value.is_empty() { (*default).to_owned() } else { value });
            lost.extend(clash.then(|| format!(": {word}")));
        }
        Inside::Line { text: self.rewrite(entries.vendor, &new), lost }
    }

    /// A line with other fields.
    fn rewrite(&self, line: &str, new: &[String]) -> String {
        let mut out = String::new();
        let mut end = 0;
        let content = line.trim_end().len();
        for ((start, field), value) in fields(line).zip(new) {
            // An option list that became empty leaves no gap.
            if !value.is_empty() {
                out.push_str(&line[end..start]);
                out.push_str(value);
            }
            end = start + field.len();
        }
        let separator = if line.contains('\t') { '\t' } else { ' ' };
        let given = fields(line).count();
        let is_default = |at: usize| new[at] == self.fields[at].1;
        let needed = (given..new.len()).rev().find(|at| !is_default(*at)).map_or(given, |at| at + 1);
        for value in &new[given..needed] {
            out.push(separator);
            out.push_str(value);
        }
        out + &line[content..]
    }
}

/// The fields of a line, each with its place.
fn fields(line: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_space = |c: char| c.is_ascii_whitespace();
    let pieces = line.split_inclusive(is_space).scan(0, |end, piece| {
        *end += piece.len();
        Some((*end - piece.len(), piece))
    });
    pieces.map(move |(at, piece)| (at, piece.trim_end_matches(is_space))).filter(|(_, field)| !field.is_empty())
}

/// Options as a set, and whether one of the vendor's lost. The vendor's come first, so that of two that exclude each
/// other the layer's has the last word.
fn merge_options(base: Option<&str>, local: &str, vendor: &str) -> (String, bool) {
    let lists = [base.unwrap_or_default(), local, vendor].map(options);
    let repeated: BTreeSet<&str> = lists.iter().flat_map(|list| repeated(list)).collect();
    let index = |list: usize| -> BTreeMap<&str, &str> {
        lists[list].iter().map(|option| (key(option, &repeated), *option)).collect()
    };
    let (b, l, n) = (index(0), index(1), index(2));
    let mut clash = false;
    let mut out = Vec::new();
    let mut seen = BTreeSet::new();
    for key in lists[2].iter().chain(&lists[1]).map(|option| key(option, &repeated)).filter(|key| seen.insert(*key)) {
        let choice = choose(b.get(key), l.get(key), n.get(key));
        clash |= choice == Choice::Clash;
        let side = if choice == Choice::Vendor { &n } else { &l };
        out.extend(side.get(key).copied());
    }
    (out.join(","), clash)
}

/// What an option is found by. One that may be given several times is not changed but added and removed.
fn key<'a>(option: &'a str, repeated: &BTreeSet<&str>) -> &'a str {
    if repeated.contains(name(option)) { option } else { name(option) }
}

fn name(option: &str) -> &str {
    option.split_once('=').map_or(option, |(name, _)| name)
}

/// Names that a list has more than once.
fn repeated<'a>(list: &[&'a str]) -> Vec<&'a str> {
    let mut seen = BTreeSet::new();
    list.iter().map(|option| name(option)).filter(|name| !seen.insert(*name)).collect()
}

/// A list separated by commas; those between double quotes separate nothing.
fn options(list: &str) -> Vec<&str> {
    let mut quoted = false;
    let separates = move |c| {
        quoted ^= c == '"';
        c == ',' && !quoted
    };
    list.split(separates).filter(|option| !option.is_empty()).collect()
}
