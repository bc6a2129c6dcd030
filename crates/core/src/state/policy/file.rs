//! Policy files: a rule a line, `#` begins a comment, `limit unknown-data SIZE` sets a limit.
//!
//! Separate because the bytes come from images and people. A file with a mistake is refused as a whole: half a policy is
//! not what anybody wanted.

use super::rule::{Origin, Rule};

/// Largest policy file; real ones have a few lines.
pub const MAX_FILE_BYTES: u64 = 256 * 1024;
/// Longest line.
const MAX_LINE_BYTES: usize = 8192;

/// What a file says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PolicyFile {
    /// Its rules.
    pub rules: Vec<Rule>,
    /// How much data outside every rule is let pass, in bytes.
    pub unknown_data_bytes: Option<u64>,
}

/// Whose file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Author {
    /// It came with an image.
    Image,
    /// It was made on the host.
    Admin,
}

/// Reads a file; an error names the line.
pub fn parse(name: &str, text: &[u8], author: Author) -> Result<PolicyFile, String> {
    let mut out = PolicyFile::default();
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(format!("{name}: it is larger than {MAX_FILE_BYTES} bytes"));
    }
    for (number, raw) in text.split(|b| *b == b'\n').enumerate() {
        let place = format!("{name}:{}", number + 1);
        let at = |why: String| format!("{place}: {why}");
        if raw.len() > MAX_LINE_BYTES {
            return Err(at(format!("the line is longer than {MAX_LINE_BYTES} bytes")));
        }
        let line =
            std::str::from_utf8(raw).map_err(|_| at("it is not UTF-8; write other bytes of a path as \\xHH".into()))?;
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        if line.split_ascii_whitespace().next() == Some("limit") {
            out.unknown_data_bytes = Some(limit(line).map_err(at)?);
            continue;
        }
        let mut rule: Rule = line.parse().map_err(at)?;
        rule.origin = match author {
            Author::Image => Origin::Image(place),
            Author::Admin => Origin::Admin(place),
        };
        out.rules.push(rule);
    }
    Ok(out)
}

fn limit(line: &str) -> Result<u64, String> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let ["limit", "unknown-data", size] = words.as_slice() else {
        return Err("the only limit is 'limit unknown-data SIZE', such as 256M".into());
    };
    let (digits, shift) = match size.strip_suffix(['K', 'M', 'G', 'T']) {
        None => (*size, 0),
        Some(digits) => (digits, 10 * (1 + "KMGT".find(&size[digits.len()..]).unwrap_or(0))),
    };
    let number: u64 = digits.parse().map_err(|_| format!("'{size}' is no size; 512K, 256M and 2G are"))?;
    number.checked_shl(shift as u32).filter(|bytes| bytes >> shift == number).ok_or(format!("'{size}' is too large"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::path::TreePath;
    use crate::state::policy::{Class, Format, Reach, Treatment};

    #[test]
    fn rules_limits_and_comments_are_read() {
        let text =
            b"# ours\n\n/opt/app/** carry # why\n /etc/x\\x20y*  structured:json\n/** ignored\nlimit unknown-data 2G\n";
        let file = parse("a.policy", text, Author::Admin).unwrap();
        let shown: Vec<String> = file.rules.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["/opt/app/** carry", "/etc/x\\x20y* structured:json", "/** ignored"]);
        assert_eq!(file.rules[0].origin, Origin::Admin("a.policy:3".into()));
        assert_eq!(file.rules[1].path, TreePath::parse(b"etc/x y").unwrap());
        assert_eq!(file.unknown_data_bytes, Some(2 << 30));
        assert_eq!(parse("a", b"", Author::Image), Ok(PolicyFile::default()));
    }

    #[test]
    fn mistakes_are_told_with_their_line() {
        let long = [b"/".as_slice(), &[b'x'; 9000], b" carry"].concat();
        for (text, why) in [
            (&b"/ok carry\n/etc"[..], "f:2: a rule is a path and a class"),
            (b"etc/x carry", "'etc/x' is not a path from the root on"),
            (b"/etc/../x carry", "f:1: '/etc/../x'"),
            (b"/etc/*/x carry", "a star may only end a path"),
            (b"/etc/x often", "'often' is no class; there are carry, vendor"),
            (b"/etc/x pinned", "'pinned' is no class"),
            (b"/etc/x structured:word", "no class"),
            (b"/etc/\xff carry", "write other bytes of a path as"),
            (b"/etc/\\n carry", "a backslash begins"),
            (b"limit memory 5", "the only limit is"),
            (b"limit unknown-data much", "'much' is no size"),
            (b"limit unknown-data 99999999999T", "too large"),
            (&long, "longer than 8192 bytes"),
            (&[b'\n'; 300_000], "larger than"),
        ] {
            let error = parse("f", text, Author::Image).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }

    fn any_rule() -> impl Strategy<Value = Rule> {
        let path = prop::collection::vec("[ab*#\\\\ \u{e9}]{1,3}", 1..4).prop_map(|parts| parts.join("/"));
        let class = prop::sample::select(vec![
            Treatment::Ignored,
            Treatment::NotCarried,
            Treatment::State(Class::MustExist),
            Treatment::State(Class::Structured(Format::KeyValue)),
        ]);
        let reach = prop::sample::select(vec![Reach::Tree, Reach::Prefix, Reach::Exact]);
        (path, class, reach).prop_map(|(path, treatment, reach)| {
            let path = TreePath::parse(path.as_bytes()).expect("a path");
            Rule { path, reach, treatment, note: String::new(), origin: Origin::BuiltIn }
        })
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_again(rule in any_rule()) {
            let read: Rule = rule.to_string().parse().unwrap();
            prop_assert_eq!(Rule { note: String::new(), ..read }, rule);
        }

        #[test]
        fn any_bytes_are_read_or_refused(text in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse("f", &text, Author::Admin);
        }
    }
}
