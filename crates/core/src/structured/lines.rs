//! A text of lines as sections of keyed entries, with whatever stands between them.
//!
//! Separate from the formats because all of them are laid out so. Must stay true: the parts of a text, one after the
//! other, are the text.

use std::collections::BTreeMap;

/// A whole text. The first section has no header and holds what stands before the first one.
#[derive(Debug, Default)]
pub struct Text<'a> {
    pub sections: Vec<Section<'a>>,
    places: BTreeMap<SectionId<'a>, usize>,
    /// How many sections of a name there are.
    counts: BTreeMap<&'a str, usize>,
}

/// One occurrence of a section.
#[derive(Debug, Default)]
pub struct Section<'a> {
    pub id: SectionId<'a>,
    /// The comment lines directly above the header: they speak of it.
    pub lead: Vec<&'a str>,
    pub header: Option<&'a str>,
    pub lines: Vec<Line<'a>>,
    /// Where in `lines` each key stands; one that stands there several times is one list.
    pub keys: BTreeMap<String, Vec<usize>>,
}

/// A section's name, and its number among those of that name, from one: where a reader takes two for two things, such as
/// the routes of a network, they must not be mixed. The section without a header has number zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct SectionId<'a> {
    pub name: &'a str,
    pub nth: usize,
}

/// A line with its end; an entry may be continued over several.
#[derive(Debug)]
pub struct Line<'a> {
    pub text: &'a str,
    pub is: Is,
}

/// What a line is.
#[derive(Debug)]
pub enum Is {
    Blank,
    Comment,
    Entry {
        key: String,
        /// What is compared: two lines of one value may differ in layout.
        value: String,
    },
}

impl<'a> Text<'a> {
    pub fn new() -> Text<'a> {
        Text { sections: vec![Section::default()], ..Text::default() }
    }

    /// Reads a text without sections whose lines stand for themselves.
    pub fn parse(text: &'a str, is: impl Fn(&str) -> Option<Is>) -> Option<Text<'a>> {
        let mut out = Text::new();
        for line in text.split_inclusive('\n') {
            out.push(line, is(line)?);
        }
        Some(out)
    }

    /// Adds a line to the last section.
    pub fn push(&mut self, text: &'a str, is: Is) {
        let section = self.last();
        if let Is::Entry { key, .. } = &is {
            section.keys.entry(key.clone()).or_default().push(section.lines.len());
        }
        section.lines.push(Line { text, is });
    }

    /// Begins a section.
    pub fn begin(&mut self, name: &'a str, header: &'a str) {
        let count = self.counts.entry(name).or_default();
        *count += 1;
        let id = SectionId { name, nth: *count };
        self.places.insert(id, self.sections.len());
        let before = &mut self.last().lines;
        let above = before.iter().rev().take_while(|line| matches!(line.is, Is::Comment)).count();
        let lead = before.split_off(before.len() - above).into_iter().map(|line| line.text).collect();
        self.sections.push(Section { id, lead, header: Some(header), ..Section::default() });
    }

    pub fn last(&mut self) -> &mut Section<'a> {
        self.sections.last_mut().expect("a text has at least the section without a header")
    }

    /// The section that is to be taken for the same as one of another text.
    pub fn section(&self, id: SectionId) -> Option<&Section<'a>> {
        let place = if id.nth == 0 { Some(&0) } else { self.places.get(&id) };
        place.and_then(|at| self.sections.get(*at))
    }

    /// What is in the sections of each name.
    pub fn by_name(&self) -> BTreeMap<&'a str, Vec<Vec<(&str, &str)>>> {
        let mut out: BTreeMap<&str, Vec<_>> = BTreeMap::new();
        for section in self.sections.iter().filter(|section| section.header.is_some()) {
            out.entry(section.id.name).or_default().push(section.lines.iter().filter_map(Line::entry).collect());
        }
        out
    }
}

impl<'a> Section<'a> {
    /// Its comment lines without layout.
    pub fn comments(&self) -> impl Iterator<Item = &'a str> {
        let within = self.lines.iter().filter(|line| matches!(line.is, Is::Comment)).map(|line| line.text);
        self.lead.iter().copied().chain(within).map(str::trim)
    }

    /// The lines of a key.
    pub fn of(&self, key: &str) -> Vec<&Line<'a>> {
        self.keys.get(key).into_iter().flatten().map(|at| &self.lines[*at]).collect()
    }

    /// One line of a key.
    pub fn nth(&self, key: &str, nth: usize) -> Option<&Line<'a>> {
        self.keys.get(key).and_then(|places| places.get(nth)).map(|at| &self.lines[*at])
    }

    /// All keys in the order of their first lines.
    pub fn keys_in_order(&self) -> Vec<&str> {
        let mut keys: Vec<(usize, &str)> = self.keys.iter().map(|(key, at)| (at[0], key.as_str())).collect();
        keys.sort_unstable();
        keys.into_iter().map(|(_, key)| key).collect()
    }
}

impl Line<'_> {
    /// Key and value.
    pub fn entry(&self) -> Option<(&str, &str)> {
        match &self.is {
            Is::Entry { key, value } => Some((key, value)),
            Is::Blank | Is::Comment => None,
        }
    }

    pub fn value(&self) -> &str {
        self.entry().map_or("", |(_, value)| value)
    }
}

/// The end of a text's lines.
pub fn line_end(text: &str) -> &'static str {
    match text.split_inclusive('\n').next() {
        Some(first) if first.ends_with("\r\n") => "\r\n",
        _ => "\n",
    }
}

/// Lines with other ends, each with one.
pub fn with_ends(lines: &str, end: &str) -> String {
    lines.lines().flat_map(|line| [line, end]).collect()
}
