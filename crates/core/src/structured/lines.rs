//! Texts as lines that mean something: blank, comment, section, or an entry with a key and a value.

use super::Format;

/// One line; an entry has the lines that go on with it in `raw` too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line<'a> {
    /// As it stands, with its end.
    pub raw: &'a str,
    pub kind: Kind<'a>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind<'a> {
    Blank,
    Comment,
    /// From here on entries are of this section.
    Section(&'a str),
    Entry {
        section: &'a str,
        key: String,
        /// What is compared: one string for a value, several for the fields of a table.
        value: Vec<&'a str>,
    },
}

/// The lines of a text; none where one of them is not of the format.
pub(super) fn parse(format: Format, text: &str) -> Option<Vec<Line<'_>>> {
    let mut lines = Vec::new();
    let mut section = "";
    let mut rest = text;
    while !rest.is_empty() {
        let raw = take_line(rest);
        let line = raw.trim();
        let raw_entry = if format == Format::Ini { with_continuation(rest) } else { raw };
        let (raw, kind) = if line.is_empty() {
            (raw, Kind::Blank)
        } else if line.starts_with('#') || (format == Format::Ini && line.starts_with(';')) {
            (raw, Kind::Comment)
        } else if format == Format::Ini && line.starts_with('[') {
            section = line.strip_prefix('[')?.strip_suffix(']')?;
            (raw, Kind::Section(section))
        } else {
            let (key, value) = entry(format, raw_entry)?;
            (raw_entry, Kind::Entry { section, key, value })
        };
        lines.push(Line { raw, kind });
        rest = &rest[raw.len()..];
    }
    Some(lines)
}

fn take_line(text: &str) -> &str {
    text.find('\n').map_or(text, |end| &text[..=end])
}

/// A line with those that go on with it: after a backslash at its end, or indented and without a key of their own.
fn with_continuation(text: &str) -> &str {
    let mut length = take_line(text).len();
    loop {
        let goes_on = text[..length].trim_end_matches(['\r', '\n']).ends_with('\\');
        let next = take_line(&text[length..]);
        let indented = next.starts_with([' ', '\t']) && !next.trim().is_empty();
        let own = next.contains('=') || next.trim_start().starts_with(['#', ';', '[']);
        if next.is_empty() || !(goes_on || (indented && !own)) {
            return &text[..length];
        }
        length += next.len();
    }
}

fn entry(format: Format, raw: &str) -> Option<(String, Vec<&str>)> {
    match format {
        Format::Mounts => mount(raw),
        Format::Crypt => {
            let fields: Vec<&str> = raw.split_whitespace().collect();
            (2..=4).contains(&fields.len()).then(|| (fields[0].to_string(), fields))
        }
        Format::Ini => {
            let (key, value) = raw.split_once('=').unwrap_or((raw, ""));
            let key = key.trim();
            (!key.is_empty()).then(|| (key.to_string(), vec![value.trim()]))
        }
        Format::Assignments => assignment(raw),
        Format::Json | Format::Toml => None,
    }
}

/// By mount point; what is mounted nowhere (swap) by what it is.
fn mount(raw: &str) -> Option<(String, Vec<&str>)> {
    let fields: Vec<&str> = raw.split_whitespace().collect();
    if !(3..=6).contains(&fields.len()) {
        return None;
    }
    let key = match fields[1] {
        "none" | "swap" => format!("{} {}", fields[0], fields[2]),
        point => point.to_string(),
    };
    Some((key, fields))
}

/// `NAME=value` with a name that can be nothing else, and quotes that end on the line. A script is none.
fn assignment(raw: &str) -> Option<(String, Vec<&str>)> {
    let (name, value) = raw.split_once('=')?;
    let name = name.trim();
    let name = name.strip_prefix("export ").map_or(name, str::trim_start);
    let legal = |c: char| c.is_ascii_alphanumeric() || "_.-/*:@".contains(c);
    if name.is_empty() || !name.chars().all(legal) {
        return None;
    }
    let value = value.trim();
    let mut quote = None;
    let mut escaped = false;
    for c in value.chars() {
        match (quote, c) {
            (_, _) if escaped => escaped = false,
            (None | Some('"'), '\\') => escaped = true,
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            _ => {}
        }
    }
    (quote.is_none() && !escaped).then(|| (name.to_string(), vec![value]))
}
