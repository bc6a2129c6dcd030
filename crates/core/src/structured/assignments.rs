//! `KEY=value`, as a shell or sysctl reads it.
//!
//! Must stay true: a text with anything else in it is a script, and what a script does cannot be merged by key.

use super::lines::{Is, Text};

/// Reads a text; none where it is a script.
pub fn parse(text: &str) -> Option<Text<'_>> {
    Text::parse(text, line)
}

fn line(text: &str) -> Option<Is> {
    let text = text.trim();
    if text.is_empty() {
        return Some(Is::Blank);
    }
    if text.starts_with(['#', ';']) {
        return Some(Is::Comment);
    }
    let (mark, rest) = match text.strip_prefix("export ") {
        Some(rest) => ("export ", rest.trim_start()),
        None => text.strip_prefix('-').map_or(("", text), |rest| ("-", rest)),
    };
    let Some(at) = rest.find('=') else {
        // A setting that sysctl leaves out.
        return (mark == "-" && is_key(rest)).then(|| Is::Entry { key: name(rest), value: mark.into() });
    };
    let (key, value) = (rest[..at].trim_end(), rest[at + 1..].trim_start());
    let entry = || Is::Entry { key: name(key), value: format!("{mark}={value}") };
    (is_key(key) && ends_on_its_line(value)).then(entry)
}

fn is_key(key: &str) -> bool {
    !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || "_.-/*".contains(c))
}

/// sysctl writes one setting with dots or with slashes; where the first of both is a slash, a dot stands for itself.
fn name(key: &str) -> String {
    let swap = |c| match c {
        '/' => '.',
        '.' => '/',
        other => other,
    };
    match key.find(['.', '/']) {
        Some(at) if key[at..].starts_with('/') => key.chars().map(swap).collect(),
        _ => key.into(),
    }
}

/// Whether no quote, substitution or backslash carries a value on to the next line.
fn ends_on_its_line(value: &str) -> bool {
    let mut quote = None;
    let mut before = ' ';
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (None, '#') if before.is_whitespace() => return true,
            (None | Some('"'), '\\') if chars.next().is_none() => return false,
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), _) if open == c => quote = None,
            _ => {}
        }
        before = c;
    }
    quote.is_none()
}
