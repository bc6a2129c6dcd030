//! One account file as its lines.
//!
//! Must stay true: a line that is not understood, such as a comment or an entry of NIS, is kept as it is.

/// A file of lines `name:field:field…`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Table {
    pub lines: Vec<Line>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    Record(Record),
    Other(Vec<u8>),
}

/// Fields of one line; the first is the name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub fields: Vec<Vec<u8>>,
}

impl Record {
    pub fn new(fields: &[&[u8]]) -> Record {
        Record { fields: fields.iter().map(|field| field.to_vec()).collect() }
    }

    pub fn name(&self) -> &[u8] {
        &self.fields[0]
    }

    pub fn field(&self, at: usize) -> &[u8] {
        self.fields.get(at).map_or(b"", Vec::as_slice)
    }

    /// A field that is a number.
    pub fn number(&self, at: usize) -> Option<u64> {
        std::str::from_utf8(self.field(at)).ok()?.parse().ok()
    }
}

impl Table {
    /// Reads a file whose records have `fields` fields.
    pub fn parse(text: &[u8], fields: usize) -> Table {
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        if text.is_empty() {
            return Table::default();
        }
        let line = |raw: &[u8]| {
            let parts: Vec<Vec<u8>> = raw.split(|b| *b == b':').map(<[u8]>::to_vec).collect();
            let named = raw.first().is_some_and(|first| !b"+-#: \t".contains(first));
            if named && parts.len() == fields {
                Line::Record(Record { fields: parts })
            } else {
                Line::Other(raw.to_vec())
            }
        };
        Table { lines: text.split(|b| *b == b'\n').map(line).collect() }
    }

    pub fn text(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for line in &self.lines {
            match line {
                Line::Record(record) => out.extend(record.fields.join(&b':')),
                Line::Other(raw) => out.extend(raw),
            }
            out.push(b'\n');
        }
        out
    }

    pub fn records(&self) -> impl Iterator<Item = &Record> {
        self.lines.iter().filter_map(|line| match line {
            Line::Record(record) => Some(record),
            Line::Other(_) => None,
        })
    }

    /// The first record of a name: the one the C library finds.
    pub fn get(&self, name: &[u8]) -> Option<&Record> {
        self.records().find(|record| record.name() == name)
    }

    pub fn others(&self) -> impl Iterator<Item = &[u8]> {
        self.lines.iter().filter_map(|line| match line {
            Line::Other(raw) => Some(raw.as_slice()),
            Line::Record(_) => None,
        })
    }

    /// Adds a line at the end, but before entries of NIS, which end what the C library reads here.
    pub fn push(&mut self, line: Line) {
        let is_nis = |line: &Line| matches!(line, Line::Other(raw) if raw.starts_with(b"+") || raw.starts_with(b"-"));
        let trailing = self.lines.iter().rev().take_while(|line| is_nis(line)).count();
        let at = if is_nis(&line) { self.lines.len() } else { self.lines.len() - trailing };
        self.lines.insert(at, line);
    }
}
