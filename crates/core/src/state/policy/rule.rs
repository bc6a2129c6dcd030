//! One rule: where, how far, what. Written `PATTERN CLASS`, as it is read.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::path::{TreePath, escape, unescape};
use crate::structured;

/// How a path of the state is moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// By facet; where both sides changed the content, the layer's is taken whole.
    Carry,
    /// Always the image's.
    Vendor,
    /// By facet; where both sides changed the content, it is merged by what it means where its place or name tell the
    /// format, else by line.
    Merge,
    /// By facet; where both sides changed the content, it is merged by what it means.
    Structured(Format),
    /// Always the layer's: what makes this host this host.
    Identity,
    /// Always the image's, without a finding: it is generated from other files.
    Derived,
    /// As `Merge`, and a path deleted here comes back where the image changed it.
    MustExist,
    /// As `Merge`, and a conflict stops the update.
    Block,
    /// Always the layer's, because the admin pinned it: also where it is what the image has.
    Pinned,
}

/// What a file merged by its meaning is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// passwd, group, shadow, gshadow, subuid and subgid, which are merged as one set.
    Accounts,
    /// fstab, by mount point.
    Fstab,
    /// crypttab, by name.
    Crypttab,
    /// INI and unit files, by section and key.
    Ini,
    /// `KEY=value` lines, by key.
    KeyValue,
    /// JSON, by path of keys.
    Json,
    /// TOML, by path of keys.
    Toml,
    /// YAML, by path of keys.
    Yaml,
}

impl Format {
    const ALL: [Format; 8] = [
        Format::Accounts,
        Format::Fstab,
        Format::Crypttab,
        Format::Ini,
        Format::KeyValue,
        Format::Json,
        Format::Toml,
        Format::Yaml,
    ];

    /// Its name in a policy.
    pub fn word(self) -> &'static str {
        match self {
            Format::Accounts => "accounts",
            Format::Fstab => "fstab",
            Format::Crypttab => "crypttab",
            Format::Ini => "ini",
            Format::KeyValue => "key-value",
            Format::Json => "json",
            Format::Toml => "toml",
            Format::Yaml => "yaml",
        }
    }

    /// How a text of it is merged on its own; none where it is one of a set.
    pub fn keyed(self) -> Option<structured::Format> {
        match self {
            Format::Fstab => Some(structured::Format::Mounts),
            Format::Crypttab => Some(structured::Format::Crypt),
            Format::Ini => Some(structured::Format::Ini),
            Format::KeyValue => Some(structured::Format::Assignments),
            Format::Json => Some(structured::Format::Json),
            Format::Toml => Some(structured::Format::Toml),
            Format::Yaml => Some(structured::Format::Yaml),
            Format::Accounts => None,
        }
    }
}

/// What a rule says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Treatment {
    /// It is state, of this class.
    State(Class),
    /// It is not carried; a change there is a finding.
    NotCarried,
    /// It is not looked at: it does not outlive a boot, or has a life of its own.
    Ignored,
}

/// How far a rule reaches. The order is that of specificity where paths are equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reach {
    /// The path and everything beneath it.
    Tree,
    /// Every path that begins with these bytes: `etc/ssh/ssh_host_`.
    Prefix,
    /// Only the path.
    Exact,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Where.
    pub path: TreePath,
    /// How far.
    pub reach: Reach,
    /// What.
    pub treatment: Treatment,
    /// Why, in words; used in findings.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// Who says so.
    #[serde(default)]
    pub origin: Origin,
}

/// Who made a rule. Of rules that are equally specific the later in this order decides.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// This program.
    #[default]
    BuiltIn,
    /// A policy file of the image, `NAME:LINE`.
    Image(String),
    /// A policy file of the admin, `NAME:LINE`.
    Admin(String),
    /// `state pin`.
    Pin,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::BuiltIn => f.write_str("built in"),
            Origin::Image(place) => write!(f, "image's {place}"),
            Origin::Admin(place) => write!(f, "admin's {place}"),
            Origin::Pin => f.write_str("state pin"),
        }
    }
}

/// The classes that are one word.
const WORDS: [(&str, Treatment); 10] = [
    ("carry", Treatment::State(Class::Carry)),
    ("vendor", Treatment::State(Class::Vendor)),
    ("merge", Treatment::State(Class::Merge)),
    ("identity", Treatment::State(Class::Identity)),
    ("derived", Treatment::State(Class::Derived)),
    ("must-exist", Treatment::State(Class::MustExist)),
    ("block", Treatment::State(Class::Block)),
    ("pinned", Treatment::State(Class::Pinned)),
    ("not-carried", Treatment::NotCarried),
    ("ignored", Treatment::Ignored),
];

impl fmt::Display for Treatment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self, WORDS.iter().find(|(_, treatment)| treatment == self)) {
            (_, Some((word, _))) => f.write_str(word),
            (Treatment::State(Class::Structured(format)), None) => write!(f, "structured:{}", format.word()),
            (Treatment::State(_) | Treatment::NotCarried | Treatment::Ignored, None) => Err(fmt::Error),
        }
    }
}

impl FromStr for Treatment {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let format = text.strip_prefix("structured:");
        if let Some(format) = format.and_then(|word| Format::ALL.into_iter().find(|format| format.word() == word)) {
            return Ok(Treatment::State(Class::Structured(format)));
        }
        let known = WORDS.iter().find(|(word, _)| *word == text && text != "pinned");
        known.map(|(_, treatment)| *treatment).ok_or_else(|| {
            let words: Vec<&str> = WORDS.iter().map(|(word, _)| *word).filter(|word| *word != "pinned").collect();
            let formats = Format::ALL.map(|format| format!("structured:{}", format.word()));
            format!("'{}' is no class; there are {}, {}", clip(text), words.join(", "), formats.join(", "))
        })
    }
}

fn clip(text: &str) -> String {
    escape(text.chars().take(60).collect::<String>().as_bytes())
}

impl Rule {
    /// The rule with who made it, where that is not this program.
    pub fn told(&self) -> String {
        match self.origin {
            Origin::BuiltIn => self.to_string(),
            Origin::Image(_) | Origin::Admin(_) | Origin::Pin => format!("{self} ({})", self.origin),
        }
    }

    /// The path with how far it reaches, as it is written in a file: `/etc/ssh/ssh_host_*`, `/opt/**`, `/etc/hosts`. What
    /// would mean something else there is escaped as `\\xHH`.
    pub fn pattern(&self) -> String {
        let path = self.path.to_string().replace(' ', "\\x20").replace('*', "\\x2a").replace('#', "\\x23");
        let reach = match self.reach {
            Reach::Tree if self.path.is_root() => "**",
            Reach::Tree => "/**",
            Reach::Prefix => "*",
            Reach::Exact => "",
        };
        format!("{path}{reach}")
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.pattern(), self.treatment)
    }
}

impl FromStr for Rule {
    type Err = String;

    /// Reads `PATTERN CLASS`.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut words = text.split_ascii_whitespace();
        let (Some(pattern), Some(class), None) = (words.next(), words.next(), words.next()) else {
            return Err("a rule is a path and a class, such as '/opt/** carry'".into());
        };
        let (path, reach) = Reach::parse(pattern)?;
        let treatment: Treatment = class.parse()?;
        let note = match treatment {
            Treatment::NotCarried => "not carried by policy".into(),
            Treatment::State(_) | Treatment::Ignored => String::new(),
        };
        Ok(Rule { path, reach, treatment, note, origin: Origin::default() })
    }
}

impl Rule {
    /// Whether it says something about a path.
    pub fn covers(&self, path: &TreePath) -> bool {
        self.reach.covers(&self.path, path)
    }
}

impl Reach {
    /// Reads a pattern: `/etc/hosts`, `/etc/ssh/ssh_host_*`, `/opt/**`.
    pub fn parse(pattern: &str) -> Result<(TreePath, Reach), String> {
        let Some(inner) = pattern.strip_prefix('/') else {
            return Err(format!("'{}' is not a path from the root on", clip(pattern)));
        };
        let (text, reach) = match (inner, inner.strip_suffix("/**"), inner.strip_suffix('*')) {
            ("**", ..) => ("", Reach::Tree),
            (_, Some(dir), _) => (dir, Reach::Tree),
            (_, None, Some(prefix)) => (prefix, Reach::Prefix),
            (_, None, None) => (inner, Reach::Exact),
        };
        if text.contains('*') {
            return Err(format!("'{}': a star may only end a path: PATH* or DIRECTORY/**", clip(pattern)));
        }
        let bad = |why: String| format!("'{}': {why}", clip(pattern));
        let raw = unescape(text).ok_or_else(|| bad("a backslash begins \\xHH".into()))?;
        let path = TreePath::parse(&raw).map_err(|why| bad(why.to_string()))?;
        Ok((path, reach))
    }

    /// Whether a pattern with this path covers another.
    pub fn covers(self, at: &TreePath, path: &TreePath) -> bool {
        match self {
            Reach::Tree => path.is_within(at),
            Reach::Prefix => path.as_bytes().starts_with(at.as_bytes()),
            Reach::Exact => path == at,
        }
    }
}
