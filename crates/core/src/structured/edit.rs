//! Changes of single keys in a text of lines, everything else as it stands. For migrations.

use super::Format;
use super::lines::{Kind, Line, parse};

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

    fn is(&self, line: &Line<'_>) -> bool {
        matches!(&line.kind, Kind::Entry { section, key, .. } if *section == self.section && *key == self.name)
    }
}

/// The values of a key, one for each line that has it; none where the text is not of the format.
pub fn values(format: Format, text: &str, key: &Key) -> Option<Vec<String>> {
    let found = parse(format, text)?.into_iter().filter(|line| key.is(line)).filter_map(|line| match line.kind {
        Kind::Entry { value, .. } => Some(value.join(" ")),
        Kind::Blank | Kind::Comment | Kind::Section(_) => None,
    });
    Some(found.collect())
}

/// The text with another name for a key; none where it is not of the format.
pub fn rename(format: Format, text: &str, key: &Key, name: &str) -> Option<String> {
    let lines = parse(format, text)?;
    let line = |line: &Line<'_>| match key.is(line) {
        true => line.raw.replacen(&key.name, name, 1),
        false => line.raw.to_string(),
    };
    Some(lines.iter().map(line).collect())
}

/// The text with another value for a key where it has the `old` one (any, without one); a key that is not there is added
/// only where any was meant. None where the text is not of the format.
pub fn set(format: Format, text: &str, key: &Key, old: Option<&str>, value: &str) -> Option<String> {
    let lines = parse(format, text)?;
    if old.is_none() && !lines.iter().any(|line| key.is(line)) {
        return Some(added(&lines, key, value));
    }
    let line = |line: &Line<'_>| match &line.kind {
        Kind::Entry { value: now, .. } if key.is(line) && old.is_none_or(|old| now.join(" ") == old) => {
            let (head, tail) = line.raw.split_once('=').unwrap_or((line.raw, ""));
            let blank = &tail[..tail.len() - tail.trim_start_matches([' ', '\t']).len()];
            let end = &line.raw[line.raw.trim_end_matches(['\r', '\n']).len()..];
            format!("{head}={blank}{value}{end}")
        }
        Kind::Entry { .. } | Kind::Blank | Kind::Comment | Kind::Section(_) => line.raw.to_string(),
    };
    Some(lines.iter().map(line).collect())
}

/// The text without a key; none where it is not of the format.
pub fn remove(format: Format, text: &str, key: &Key) -> Option<String> {
    let lines = parse(format, text)?;
    Some(lines.iter().filter(|line| !key.is(line)).map(|line| line.raw).collect())
}

/// With the key at the end of its section.
fn added(lines: &[Line<'_>], key: &Key, value: &str) -> String {
    let mut current = "";
    let mut end = if key.section.is_empty() { Some(0) } else { None };
    for (at, line) in lines.iter().enumerate() {
        if let Kind::Section(name) = line.kind {
            current = name;
        }
        if current == key.section && line.kind != Kind::Blank {
            end = Some(at + 1);
        }
    }
    let mut out: Vec<String> = lines.iter().map(|line| line.raw.to_string()).collect();
    let at = end.unwrap_or(out.len());
    if let Some(last) = at.checked_sub(1).and_then(|last| out.get_mut(last)).filter(|last| !last.ends_with('\n')) {
        last.push('\n');
    }
    let header = if end.is_none() { format!("[{}]\n", key.section) } else { String::new() };
    out.insert(at, format!("{header}{}={value}\n", key.name));
    out.concat()
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
