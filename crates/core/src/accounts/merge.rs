//! The three-way merge of the set.

use std::collections::BTreeSet;

use super::table::{Line, Record, Table};
use super::{Files, GROUP, GSHADOW, PASSWD, SHADOW, SUBGID, SUBUID};
use crate::path::escape;

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Merged {
    /// The result; none where the layer or the image has no such file, which is not for this to decide.
    pub files: Files,
    /// For each file the values of the image that lost, by account and field.
    pub lost: [Vec<String>; 6],
    /// What a person should know of no single file.
    pub notes: Vec<String>,
}

/// How a field is merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    /// Three-way; the layer wins a clash.
    Value,
    /// The layer's, where it has the account: its files bear it.
    Number,
    /// The layer's; of a new account never the image's.
    Secret,
    /// Names separated by commas, as a set.
    Members,
}

use Rule::{Members, Number, Secret, Value};

/// The fields after the name, with their words for a person.
const FIELDS: [&[(&str, Rule)]; 4] = [
    &[("password", Secret), ("uid", Number), ("gid", Number), ("comment", Value), ("home", Value), ("shell", Value)],
    &[("password", Secret), ("gid", Number), ("members", Members)],
    &[
        ("password", Secret),
        ("last change", Value),
        ("minimum age", Value),
        ("maximum age", Value),
        ("warning", Value),
        ("inactive", Value),
        ("expiry", Value),
        ("reserved", Value),
    ],
    &[("password", Secret), ("administrators", Members), ("members", Members)],
];

/// A password that nothing matches.
const LOCKED: &[u8] = b"!*";

/// Merges what the layer and the image made of the account files of the base. None where one of the two has no passwd or
/// no group: then there is no set.
pub fn merge(base: &Files, local: &Files, vendor: &Files) -> Option<Merged> {
    let both = |at: usize| Some((local[at].as_ref()?, vendor[at].as_ref()?));
    both(PASSWD).and(both(GROUP))?;
    let mut out = Merged::default();
    let mut tables: [Option<Table>; 4] = Default::default();
    for (at, fields) in FIELDS.iter().enumerate() {
        let Some((l, n)) = both(at) else { continue };
        let b = base[at].as_deref().unwrap_or_default();
        let parse = |text: &[u8]| Table::parse(text, fields.len() + 1);
        let companion = [Some(SHADOW), Some(GSHADOW), None, None][at];
        let also_changed = companion.map(|at| changed(base, local, at)).unwrap_or_default();
        let merger = Merger { base: parse(b), local: parse(l), vendor: parse(n), fields, also_changed };
        tables[at] = Some(merger.run(&mut out.lost[at], &mut out.notes));
    }
    let [passwd, group, shadow, gshadow] = &mut tables;
    if let (Some(passwd), Some(group)) = (passwd.as_ref(), group.as_mut()) {
        keep_primary_groups(passwd, group, local);
    }
    for (named, secrets, at) in [(passwd, shadow, SHADOW), (group, gshadow, GSHADOW)] {
        if let (Some(named), Some(secrets)) = (named, secrets) {
            agree(named, secrets, local, at);
        }
    }
    for (at, table) in tables.iter().enumerate() {
        out.files[at] = table.as_ref().map(Table::text);
    }
    for at in [SUBUID, SUBGID] {
        if let Some((l, n)) = both(at) {
            let b = base[at].as_deref().unwrap_or_default();
            out.files[at] = Some(ranges(b, l, n, &mut out.lost[at]));
        }
    }
    Some(out)
}

/// Names whose record in a file the layer changed.
fn changed(base: &Files, local: &Files, at: usize) -> BTreeSet<Vec<u8>> {
    let [base, local] =
        [base, local].map(|tree| Table::parse(tree[at].as_deref().unwrap_or_default(), FIELDS[at].len() + 1));
    let own = local.records().filter(|record| base.get(record.name()) != Some(record));
    own.map(|record| record.name().to_vec()).collect()
}

struct Merger {
    base: Table,
    local: Table,
    vendor: Table,
    fields: &'static [(&'static str, Rule)],
    /// Names that the layer changed in the file with their passwords: who was given one here is no longer the image's.
    also_changed: BTreeSet<Vec<u8>>,
}

impl Merger {
    fn run(&self, lost: &mut Vec<String>, notes: &mut Vec<String>) -> Table {
        if self.base == self.vendor {
            return self.local.clone();
        }
        let mut out = Table::default();
        let mut done: BTreeSet<&[u8]> = BTreeSet::new();
        for line in &self.vendor.lines {
            match line {
                Line::Record(record) if done.insert(record.name()) => {
                    out.lines.extend(self.vendors(record, lost, notes).map(Line::Record));
                }
                // A second record of one name: as the image has it.
                Line::Record(record) => out.lines.push(Line::Record(record.clone())),
                Line::Other(raw) if self.dropped_here(raw) => {}
                Line::Other(raw) => out.lines.push(Line::Other(raw.clone())),
            }
        }
        for line in &self.local.lines {
            match line {
                Line::Record(record) if done.insert(record.name()) => {
                    if self.survives(record, lost) {
                        out.push(Line::Record(record.clone()));
                    }
                }
                Line::Record(_) => {}
                Line::Other(raw) => {
                    let known = |table: &Table| table.others().any(|other| other == raw);
                    if !known(&self.base) && !known(&self.vendor) {
                        out.push(Line::Other(raw.clone()));
                    }
                }
            }
        }
        out
    }

    /// A line that is no record, which the layer took out.
    fn dropped_here(&self, raw: &[u8]) -> bool {
        let has = |table: &Table| table.others().any(|other| other == raw);
        has(&self.base) && !has(&self.local)
    }

    /// What becomes of an account that the image has.
    fn vendors(&self, n: &Record, lost: &mut Vec<String>, notes: &mut Vec<String>) -> Option<Record> {
        match (self.base.get(n.name()), self.local.get(n.name())) {
            (b, Some(l)) => Some(self.record(b, l, n, lost)),
            // Deleted here; that stays so.
            (Some(_), None) => None,
            (None, None) => Some(self.arrival(n, notes)),
        }
    }

    /// Whether an account that the image does not have stays.
    fn survives(&self, l: &Record, lost: &mut Vec<String>) -> bool {
        match self.base.get(l.name()) {
            None => true,
            Some(b) if b == l && !self.also_changed.contains(l.name()) => false,
            Some(_) => {
                lost.push(format!("{}: removed by the image, changed here", escape(l.name())));
                true
            }
        }
    }

    fn record(&self, b: Option<&Record>, l: &Record, n: &Record, lost: &mut Vec<String>) -> Record {
        let mut out = vec![l.name().to_vec()];
        for (at, (word, rule)) in self.fields.iter().enumerate() {
            let at = at + 1;
            let (bf, lf, nf) = (b.map(|b| b.field(at)), l.field(at), n.field(at));
            out.push(match rule {
                Number | Secret => lf.to_vec(),
                Members => members(bf.unwrap_or_default(), lf, nf),
                Value if lf == nf || bf == Some(lf) => nf.to_vec(),
                Value => {
                    if bf != Some(nf) {
                        lost.push(format!("{}: {word}", escape(l.name())));
                    }
                    lf.to_vec()
                }
            });
        }
        Record { fields: out }
    }

    /// An account that is new here. Whatever password the image gives it is everybody's who has the image.
    fn arrival(&self, n: &Record, notes: &mut Vec<String>) -> Record {
        let mut out = n.clone();
        for (at, (_, rule)) in self.fields.iter().enumerate() {
            let field = n.field(at + 1);
            let harmless = matches!(field.first(), Some(b'!' | b'*')) || field == b"x" || field.is_empty();
            // An empty password in passwd or shadow lets everybody in; in group and gshadow it lets nobody.
            let empty_is_open = field.is_empty() && matches!(self.fields.len(), 6 | 8);
            if *rule == Secret && (!harmless || empty_is_open) {
                out.fields[at + 1] = LOCKED.to_vec();
                notes.push(format!(
                    "account {} is new and locked: passwords are not taken from images",
                    escape(n.name())
                ));
            }
        }
        out
    }
}

/// A list of names, three-way: what either side added is in, what either side removed is out.
fn members(b: &[u8], l: &[u8], n: &[u8]) -> Vec<u8> {
    if l == b || l == n {
        return n.to_vec();
    }
    if n == b {
        return l.to_vec();
    }
    let names = |list: &'_ [u8]| -> Vec<Vec<u8>> {
        list.split(|byte| *byte == b',').filter(|name| !name.is_empty()).map(<[u8]>::to_vec).collect()
    };
    let (b, l, n) = (names(b), names(l), names(n));
    let mut out: Vec<Vec<u8>> = l.iter().filter(|name| !b.contains(name) || n.contains(name)).cloned().collect();
    let added = n.iter().filter(|name| !b.contains(name) && !l.contains(name));
    out.extend(added.cloned());
    out.join(&b',')
}

/// A group that the image dropped stays while an account has it as its first group.
fn keep_primary_groups(passwd: &Table, group: &mut Table, local: &Files) {
    let Some(text) = &local[GROUP] else { return };
    let here = Table::parse(text, FIELDS[GROUP].len() + 1);
    for user in passwd.records() {
        let Some(gid) = user.number(3) else { continue };
        let is = |record: &&Record| record.number(2) == Some(gid);
        if group.records().find(is).is_none()
            && let Some(record) = here.records().find(is)
            && group.get(record.name()).is_none()
        {
            group.push(Line::Record(record.clone()));
        }
    }
}

/// Every account that refers to the shadow file has an entry there, and no entry there is of an account that went. What
/// was otherwise in the layer already is left as it is.
fn agree(named: &Table, secrets: &mut Table, local: &Files, at: usize) {
    let (open, width) = if at == SHADOW { (PASSWD, FIELDS[SHADOW].len()) } else { (GROUP, FIELDS[GSHADOW].len()) };
    let here = |at: usize| Table::parse(local[at].as_deref().unwrap_or_default(), FIELDS[at].len() + 1);
    let (named_here, secrets_here) = (here(open), here(at));
    let orphan_here = |name: &[u8]| named_here.get(name).is_none() && secrets_here.get(name).is_some();
    let missing_here = |name: &[u8]| named_here.get(name).is_some() && secrets_here.get(name).is_none();
    secrets.lines.retain(|line| match line {
        Line::Record(record) => named.get(record.name()).is_some() || orphan_here(record.name()),
        Line::Other(_) => true,
    });
    for record in named.records().filter(|record| record.field(1) == b"x" && !missing_here(record.name())) {
        if secrets.get(record.name()).is_some() {
            continue;
        }
        // The image dropped it, but the account stayed: with the password it has.
        if let Some(own) = secrets_here.get(record.name()) {
            secrets.push(Line::Record(own.clone()));
            continue;
        }
        let mut fields = vec![b"".as_slice(); width + 1];
        (fields[0], fields[1]) = (record.name(), LOCKED);
        if at == GSHADOW {
            fields[3] = record.field(3);
        }
        secrets.push(Line::Record(Record::new(&fields)));
    }
}

/// subuid and subgid: a name may have several ranges, and no two may overlap.
fn ranges(b: &[u8], l: &[u8], n: &[u8], lost: &mut Vec<String>) -> Vec<u8> {
    if b == n || l == n {
        return l.to_vec();
    }
    if b == l {
        return n.to_vec();
    }
    let [b, mut out, n] = [b, l, n].map(|text| Table::parse(text, 3));
    let of = |table: &Table, name: &[u8]| -> Vec<Record> {
        table.records().filter(|record| record.name() == name).cloned().collect()
    };
    let names: BTreeSet<&[u8]> = n.records().map(Record::name).collect();
    for name in names {
        let (bs, ls, ns) = (of(&b, name), of(&out, name), of(&n, name));
        if !ls.is_empty() && ls != ns && bs != ns {
            lost.push(format!("{}: ranges", escape(name)));
        }
        // Deleted here, or the layer's own; only what is new to both arrives.
        if !ls.is_empty() || !bs.is_empty() {
            continue;
        }
        for range in ns {
            let moved = free(&out, range);
            out.push(Line::Record(moved));
        }
    }
    let gone = |record: &Record| {
        let (bs, ls) = (of(&b, record.name()), of(&out, record.name()));
        bs == ls && n.get(record.name()).is_none() && b.get(record.name()).is_some()
    };
    let dropped: BTreeSet<Vec<u8>> = out.records().filter(|r| gone(r)).map(|r| r.name().to_vec()).collect();
    out.lines.retain(|line| !matches!(line, Line::Record(record) if dropped.contains(record.name())));
    out.text()
}

/// The range itself where it is free, else one of the same size behind all others.
fn free(table: &Table, wanted: Record) -> Record {
    let span = |record: &Record| Some((record.number(1)?, record.number(1)?.checked_add(record.number(2)?)?));
    let Some((start, end)) = span(&wanted) else { return wanted };
    let taken: Vec<(u64, u64)> = table.records().filter_map(span).collect();
    if taken.iter().all(|(other_start, other_end)| end <= *other_start || start >= *other_end) {
        return wanted;
    }
    let start = taken.iter().map(|(_, end)| *end).max().unwrap_or(start);
    Record::new(&[wanted.name(), start.to_string().as_bytes(), wanted.field(2)])
}

#[cfg(test)]
mod tests;
