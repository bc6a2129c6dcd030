//! Changes of single keys in a text of lines, everything else as it stands. For migrations.

use super::lines::{Line, Section};
use super::{Format, lines_of};

/// A key with its section, written `key` or `[section]key`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Empty before the first section.
    pub section: String,
    /// Its name.
    pub name: String,
}

impl Key {
    /// Reads `key` or `[section]key`.
    pub fn parse(text: &str) -> Option<Key> {
        let (section, name) = match text.strip_prefix('[') {
            Some(rest) => rest.split_once(']')?,
            None => ("", text),
        };
        let key = Key { section: section.into(), name: name.into() };
        (!name.is_empty() && !name.contains(['=', '[', ']'])).then_some(key)
    }

    fn is(&self, section: &Section<'_>, line: &Line<'_>) -> bool {
        section.id.name == self.section && line.entry().is_some_and(|(key, _)| key == self.name)
    }
}

/// The values of a key, one for each line that has it; none where the text is not of the format.
pub fn values(format: Format, text: &str, key: &Key) -> Option<Vec<String>> {
    let mut found = Vec::new();
    changed(format, text, |section, line| {
        found.extend(key.is(section, line).then(|| value(line).to_string()));
        None
    })?;
    Some(found)
}

/// The text with another name for a key; none where it is not of the format, or has the key in another notation.
pub fn rename(format: Format, text: &str, key: &Key, name: &str) -> Option<String> {
    let mut plain = true;
    let text = changed(format, text, |section, line| {
        key.is(section, line).then(|| {
            plain &= line.text.contains(&key.name);
            line.text.replacen(&key.name, name, 1)
        })
    });
    text.filter(|_| plain)
}

/// The text with another value for a key where it has the `old` one (any, without one); a key that is not there is added
/// only where any was meant. None where the text is not of the format.
pub fn set(format: Format, text: &str, key: &Key, old: Option<&str>, new: &str) -> Option<String> {
    if old.is_none() && values(format, text, key)?.is_empty() {
        return added(format, text, key, new);
    }
    changed(format, text, |section, line| {
        let wanted = key.is(section, line) && old.is_none_or(|old| value(line) == old);
        wanted.then(|| {
            let (head, tail) = line.text.split_once('=').unwrap_or((line.text, ""));
            let blank = &tail[..tail.len() - tail.trim_start_matches([' ', '\t']).len()];
            let end = &line.text[line.text.trim_end_matches(['\r', '\n']).len()..];
            format!("{head}={blank}{new}{end}")
        })
    })
}

/// The text without a key; none where it is not of the format.
pub fn remove(format: Format, text: &str, key: &Key) -> Option<String> {
    changed(format, text, |section, line| key.is(section, line).then(String::new))
}

/// What stands behind the sign of equality, which entries are compared with.
fn value<'a>(line: &'a Line<'_>) -> &'a str {
    line.value().split_once('=').map_or("", |(_, value)| value)
}

/// The text with other lines where `change` gives one.
fn changed(
    format: Format,
    text: &str,
    mut change: impl FnMut(&Section<'_>, &Line<'_>) -> Option<String>,
) -> Option<String> {
    let mut out = String::new();
    for section in &lines_of(format, text)?.sections {
        section.lead.iter().copied().chain(section.header).for_each(|line| out.push_str(line));
        for line in &section.lines {
            out.push_str(&change(section, line).unwrap_or_else(|| line.text.to_string()));
        }
    }
    Some(out)
}

/// With the key at the end of its section, the last of that name.
fn added(format: Format, text: &str, key: &Key, value: &str) -> Option<String> {
    let parsed = lines_of(format, text)?;
    let at = parsed.sections.iter().rposition(|section| section.id.name == key.section);
    let entry = format!("{}={value}\n", key.name);
    let mut out = String::new();
    let push = |out: &mut String, line: &str| {
        if !out.is_empty() && !out.ends_with('\n') {
            out.push('\n');
        }
        out.push_str(line);
    };
    for (number, section) in parsed.sections.iter().enumerate() {
        section.lead.iter().copied().chain(section.header).for_each(|line| push(&mut out, line));
        let content = section.lines.iter().rposition(|line| !line.text.trim().is_empty()).map_or(0, |last| last + 1);
        section.lines[..content].iter().for_each(|line| push(&mut out, line.text));
        if at == Some(number) {
            push(&mut out, &entry);
        }
        section.lines[content..].iter().for_each(|line| push(&mut out, line.text));
    }
    if at.is_none() {
        push(&mut out, &format!("[{}]\n{entry}", key.section));
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_key_is_changed_and_nothing_else() {
        let text = "# top\nx = 1\n\n[a]\nx = 1 \n;c\ny=2\n\n[b]\nx=3";
        let key = |text: &str| Key::parse(text).unwrap();
        let ini = Format::Ini;
        assert_eq!(values(ini, text, &key("[a]x")), Some(vec!["1".into()]));
        assert_eq!(rename(ini, text, &key("[b]x"), "z").unwrap(), text.replace("x=3", "z=3"));
        assert_eq!(set(ini, text, &key("[a]x"), None, "5").unwrap(), text.replace("x = 1 \n", "x = 5\n"));
        assert_eq!(set(ini, text, &key("[a]y"), Some("7"), "5").unwrap(), text);
        assert_eq!(set(ini, text, &key("[a]y"), Some("2"), "5").unwrap(), text.replace("y=2", "y=5"));
        assert_eq!(set(ini, text, &key("[a]n"), None, "5").unwrap(), text.replace("y=2\n", "y=2\nn=5\n"));
        assert_eq!(set(ini, text, &key("[b]n"), None, "5").unwrap(), format!("{text}\nn=5\n"));
        assert_eq!(set(ini, text, &key("[c]n"), None, "5").unwrap(), format!("{text}\n[c]\nn=5\n"));
        assert_eq!(remove(ini, text, &key("[a]y")).unwrap(), text.replace("y=2\n", ""));
        assert_eq!(set(ini, "", &key("n"), None, "5").unwrap(), "n=5\n");
        assert_eq!(set(ini, text, &key("[c]n"), Some("1"), "5").unwrap(), text);
        for bad in ["", "[a]", "[a", "a=b", "a]"] {
            assert_eq!(Key::parse(bad), None, "{bad}");
        }
        assert_eq!(set(Format::Assignments, "if x; then\n", &key("a"), None, "1"), None);
    }
}
