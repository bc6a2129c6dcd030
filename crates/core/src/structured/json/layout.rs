//! How a JSON text is laid out, and how what comes from another text is fitted in.

use super::node::{Document, Item, Kind};

/// The habits of a text.
#[derive(Debug, Clone, Copy)]
pub struct Layout<'a> {
    /// What one level is indented by; none where all is in one line.
    indent: Option<&'a str>,
    line_end: &'a str,
    colon: &'a str,
}

/// What an item is written as, and the white space between it and the commas.
#[derive(Debug)]
pub struct Piece {
    pub before: String,
    pub content: String,
    pub after: String,
}

impl<'a> Layout<'a> {
    pub fn of(document: &Document<'a>) -> Layout<'a> {
        let raw = document.root.raw;
        let indent = raw.find('\n').map(|end| {
            let line = &raw[end + 1..];
            &line[..line.len() - line.trim_start_matches([' ', '\t']).len()]
        });
        let colon = match &document.root.kind {
            Kind::Object(items) => items.all.first().map_or(": ", |first| first.colon),
            Kind::Plain | Kind::Array(_) => ": ",
        };
        Layout { indent, line_end: if raw.contains("\r\n") { "\r\n" } else { "\n" }, colon }
    }

    /// A value of another text, which lies as deep there.
    pub fn adopt(&self, raw: &str, from: &Layout) -> String {
        let mut lines = raw.lines();
        let mut out = lines.next().unwrap_or_default().to_owned();
        for line in lines {
            let content = line.trim_start_matches([' ', '\t']);
            if let Some(indent) = self.indent {
                let level = (line.len() - content.len()) / from.indent.map_or(1, str::len).max(1);
                out += self.line_end;
                out += &indent.repeat(level);
            }
            out += content;
        }
        out
    }

    /// The key of an item of another text.
    pub fn key(&self, item: &Item) -> String {
        if item.key.is_empty() { String::new() } else { format!("{}{}", item.key, self.colon) }
    }

    /// Writes items between braces. `old` are those that the text had there.
    pub fn list(&self, braces: [&str; 2], old: &[Item], pieces: Vec<Piece>, depth: usize) -> String {
        if pieces.is_empty() {
            return braces.concat();
        }
        let line = |level: usize| match self.indent {
            Some(indent) => format!("{}{}", self.line_end, indent.repeat(level)),
            None => String::new(),
        };
        let (open, close) = match (old.first(), old.last()) {
            (Some(first), Some(last)) => (first.before.to_owned(), last.after.to_owned()),
            _ => (line(depth + 1), line(depth)),
        };
        let mut out = braces[0].to_owned();
        for (at, piece) in pieces.iter().enumerate() {
            out += if at == 0 { &open } else { &piece.before };
            out += &piece.content;
            out += if at + 1 == pieces.len() { &close } else { &piece.after };
            out += if at + 1 == pieces.len() { braces[1] } else { "," };
        }
        out
    }

    /// The white space between a comma and an item that is added to these.
    pub fn gap(&self, old: &[Item], depth: usize) -> String {
        match old {
            [_, second, ..] => second.before.to_owned(),
            [only] if only.before.contains('\n') => only.before.to_owned(),
            [] if self.indent.is_some() => format!("{}{}", self.line_end, self.indent.unwrap_or("").repeat(depth + 1)),
            [_] | [] => self.colon[self.colon.trim_end().len()..].to_owned(),
        }
    }
}
