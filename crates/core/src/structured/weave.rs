//! Lays the changes of the layer into the vendor's text of lines.
//!
//! Must stay true: a line of the vendor's that the layer did not change is in the result byte for byte and in its order;
//! every comment that the layer added is there too; the result depends on the three texts only.

use std::collections::{BTreeMap, BTreeSet};

use super::Merged;
use super::choice::{Choice, choose, loss};
use super::lines::{Line, Section, Text};
use crate::path::escape;
use section::Weaver;

mod section;

/// What becomes of the lines of a key.
#[derive(Debug)]
pub enum Fate {
    Vendors,
    Locals,
    /// One line in the place of the vendor's.
    Combined(String),
}

/// The entries of one key that both sides have once, and differ in.
#[derive(Debug, Clone, Copy)]
pub struct Entries<'a> {
    pub key: &'a str,
    pub base: Option<&'a str>,
    pub local: &'a str,
    pub vendor: &'a str,
}

/// What becomes of them.
#[derive(Debug)]
pub enum Inside {
    /// Each is one value: the rule of three.
    Whole,
    /// They are merged, and these parts of the vendor's lost, each as it is said behind the key.
    Line { text: String, lost: Vec<String> },
    /// There is no telling, and so no result.
    Unclear,
}

/// Merges three texts; `inner` merges within entries. None where it is unclear which section is which.
pub fn merge(
    base: Option<&Text>,
    local: &Text,
    vendor: &Text,
    end: &str,
    inner: &mut dyn FnMut(Entries) -> Inside,
) -> Option<Merged> {
    let nothing = Text::new();
    let base = base.unwrap_or(&nothing);
    is_clear(base, local, vendor).then(|| Merger::new(base, local, vendor, end, inner).run())?
}

/// Whether at most one side changed the sections of a name that a text has several times: nothing but their number tells
/// them apart.
fn is_clear(base: &Text, local: &Text, vendor: &Text) -> bool {
    let [base, local, vendor] = [base, local, vendor].map(Text::by_name);
    let names: BTreeSet<&str> = [&base, &local, &vendor].into_iter().flat_map(|text| text.keys().copied()).collect();
    names.into_iter().all(|name| {
        let of = [base.get(name), local.get(name), vendor.get(name)];
        let repeats = of.iter().flatten().any(|sections| sections.len() > 1);
        !repeats || choose(of[0], of[1], of[2]) != Choice::Clash
    })
}

struct Merger<'a, 't> {
    base: &'a Text<'t>,
    local: &'a Text<'t>,
    vendor: &'a Text<'t>,
    end: &'a str,
    inner: &'a mut dyn FnMut(Entries) -> Inside,
    unclear: bool,
    /// The comments that the layer did not bring.
    known: BTreeSet<&'a str>,
    lost: Vec<String>,
}

impl<'a, 't> Merger<'a, 't> {
    fn new(
        base: &'a Text<'t>,
        local: &'a Text<'t>,
        vendor: &'a Text<'t>,
        end: &'a str,
        inner: &'a mut dyn FnMut(Entries) -> Inside,
    ) -> Merger<'a, 't> {
        let (known, lost) = (BTreeSet::new(), Vec::new());
        let mut merger = Merger { base, local, vendor, end, inner, unclear: false, known, lost };
        let stays = |section: &&Section| !merger.is_taken_out(section);
        let stay = vendor.sections.iter().filter(stays).chain(&base.sections);
        let known = stay.flat_map(Section::comments).collect();
        merger.known = known;
        merger
    }

    fn run(mut self) -> Option<Merged> {
        let mut out = Output { text: String::new(), end: self.end };
        for vendor in &self.vendor.sections {
            self.vendors(vendor, &mut out);
        }
        for local in self.local.sections.iter().filter(|section| self.vendor.section(section.id).is_none()) {
            self.locals(local, &mut out);
        }
        (!self.unclear).then(|| Merged { text: out.text.into_bytes(), lost: self.lost })
    }

    /// Whether the layer took a section out. It stays for what the vendor added to it.
    fn is_taken_out(&self, vendor: &Section) -> bool {
        let base = self.base.section(vendor.id).filter(|_| self.local.section(vendor.id).is_none());
        base.is_some_and(|base| vendor.keys.keys().all(|key| base.keys.contains_key(key)))
    }

    /// A section that the vendor has.
    fn vendors(&mut self, vendor: &Section, out: &mut Output) {
        let nothing = Section::default();
        let (base, local) = (self.base.section(vendor.id), self.local.section(vendor.id).unwrap_or(&nothing));
        let fates = self.fates(base.unwrap_or(&nothing), local, vendor);
        if self.is_taken_out(vendor) {
            return;
        }
        vendor.lead.iter().for_each(|line| out.push(line));
        self.own_lead(local).for_each(|line| out.push(line));
        vendor.header.iter().for_each(|line| out.push(line));
        let mut weaver = Weaver::new(vendor, &fates, &self.known, self.end);
        weaver.lay(local);
        weaver.finish(local).iter().for_each(|line| out.push(line));
    }

    /// A section that only the layer has: whole where it added it, else what it added to it.
    fn locals(&mut self, local: &Section, out: &mut Output) {
        let nothing = Section::default();
        let base = self.base.section(local.id);
        let fates = self.fates(base.unwrap_or(&nothing), local, &nothing);
        let stays = base.is_none() || fates.values().any(|fate| matches!(fate, Fate::Locals));
        let mut weaver = Weaver::new(&nothing, &fates, &self.known, self.end);
        weaver.lay(local);
        let above = self.own_lead(local).chain(local.header.filter(|_| stays));
        let lines: Vec<String> = above.map(str::to_owned).chain(weaver.finish(local)).collect();
        if !lines.is_empty() {
            out.set_apart();
        }
        lines.iter().for_each(|line| out.push(line));
    }

    /// The comments that the layer put above a header.
    fn own_lead<'s>(&self, section: &'s Section) -> impl Iterator<Item = &'s str> {
        section.lead.iter().copied().filter(|line| !self.known.contains(line.trim()))
    }

    /// What becomes of each key of a section.
    fn fates<'k>(&mut self, base: &Section, local: &'k Section, vendor: &'k Section) -> BTreeMap<&'k str, Fate> {
        let added = local.keys_in_order().into_iter().filter(|key| !vendor.keys.contains_key(*key));
        let keys = vendor.keys_in_order().into_iter().chain(added);
        let shown = if vendor.header.is_some() { vendor } else { local };
        keys.map(|key| (key, self.fate(shown, key, &base.of(key), &local.of(key), &vendor.of(key)))).collect()
    }

    fn fate(&mut self, section: &Section, key: &str, base: &[&Line], local: &[&Line], vendor: &[&Line]) -> Fate {
        let values = |lines: &[&Line]| -> Option<Vec<String>> {
            (!lines.is_empty()).then(|| lines.iter().map(|line| line.value().to_owned()).collect())
        };
        let choice = choose(values(base), values(local), values(vendor));
        let name = match section.header {
            Some(_) => format!("[{}] {}", escape(section.id.name.as_bytes()), escape(key.as_bytes())),
            None => escape(key.as_bytes()),
        };
        if choice == Choice::Vendor {
            return Fate::Vendors;
        }
        if let ([local], [vendor]) = (local, vendor) {
            let base = base.first().map(|line| line.text);
            match (self.inner)(Entries { key, base, local: local.text, vendor: vendor.text }) {
                Inside::Whole => {}
                Inside::Unclear => self.unclear = true,
                Inside::Line { text, lost } => {
                    self.lost.extend(lost.into_iter().map(|word| format!("{name}{word}")));
                    return Fate::Combined(text);
                }
            }
        }
        if choice == Choice::Clash {
            self.lost.push(loss(&name, !local.is_empty(), !vendor.is_empty()));
        }
        Fate::Locals
    }
}

/// The result as it grows.
struct Output<'a> {
    text: String,
    end: &'a str,
}

impl Output<'_> {
    /// Adds a line. Only the last line of a text may have no end.
    fn push(&mut self, line: &str) {
        if !self.text.is_empty() && !self.text.ends_with('\n') {
            self.text.push_str(self.end);
        }
        self.text.push_str(line);
    }

    /// A blank line, unless there is one or nothing yet.
    fn set_apart(&mut self) {
        let blank = |line: &str| line.trim().is_empty();
        if self.text.split_inclusive('\n').next_back().is_some_and(|line| !blank(line)) {
            self.push(self.end);
        }
    }
}
