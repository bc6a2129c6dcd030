//! Sections of `key=value`.
//!
//! Must stay true: what the dialects of this format read in different ways, such as a deeper line that may continue the
//! one above, is no ini file here.

use super::lines::{Is, Text};

/// Reads a text; none where it is of no or of an unclear dialect.
pub fn parse(text: &str) -> Option<Text<'_>> {
    let mut out = Text::new();
    let mut entry_indent = None;
    let mut rest = text;
    while !rest.is_empty() {
        let first = &rest[..line_length(rest)];
        let trimmed = first.trim();
        let mut length = first.len();
        match trimmed.chars().next() {
            None => out.push(first, Is::Blank),
            Some('#' | ';') => out.push(first, Is::Comment),
            Some('[') => {
                out.begin(section_name(trimmed)?, first);
                entry_indent = None;
            }
            Some(_) => {
                let indent = first.len() - first.trim_start().len();
                if indent > *entry_indent.get_or_insert(indent) {
                    return None;
                }
                length = entry_length(rest)?;
                out.push(&rest[..length], entry(&rest[..length])?);
            }
        }
        rest = &rest[length..];
    }
    Some(out)
}

fn line_length(text: &str) -> usize {
    text.find('\n').map_or(text.len(), |at| at + 1)
}

/// The name in `[name]`, which only a comment may follow.
fn section_name(line: &str) -> Option<&str> {
    let (name, after) = line.strip_prefix('[')?.rsplit_once(']')?;
    (after.is_empty() || after.trim_start().starts_with(['#', ';'])).then_some(name)
}

/// How long the entry at the beginning of a text is. A trailing backslash continues it; comments in between do not end
/// it.
fn entry_length(text: &str) -> Option<usize> {
    let mut length = 0;
    loop {
        let line = &text[length..][..line_length(&text[length..])];
        let inner_comment = length > 0 && line.trim_start().starts_with(['#', ';']);
        length += line.len();
        if line.is_empty() {
            return None;
        }
        if !inner_comment && !line.trim_end_matches(['\r', '\n']).ends_with('\\') {
            return Some(length);
        }
    }
}

/// `key=value`, or a key alone.
fn entry(text: &str) -> Option<Is> {
    let text = text.trim();
    let (key, value) = match text.find('=') {
        Some(at) => (text[..at].trim_end(), format!("={}", text[at + 1..].trim().replace("\r\n", "\n"))),
        None if text.contains(|c: char| !c.is_ascii_alphanumeric() && !"_-.".contains(c)) => return None,
        None => (text, String::new()),
    };
    // In some dialects a colon also separates the two.
    let is_plain = !key.is_empty() && !key.contains([':', '\n']);
    is_plain.then(|| Is::Entry { key: key.into(), value })
}
