//! A JSON text as its values and what stands between them.
//!
//! Separate from the merge because it is about notation. Must stay true: what serde_json refuses is refused; the pieces
//! of a text, one after the other, are the text.

use std::collections::BTreeMap;

use serde::de::IgnoredAny;

/// How deep values may lie in each other; as serde_json reads. A larger value risks the stack.
const MAX_DEPTH: usize = 127;

/// A whole text.
#[derive(Debug)]
pub struct Document<'a> {
    pub before: &'a str,
    pub root: Node<'a>,
    pub after: &'a str,
}

/// A value as it is written.
#[derive(Debug)]
pub struct Node<'a> {
    pub raw: &'a str,
    pub kind: Kind<'a>,
}

#[derive(Debug)]
pub enum Kind<'a> {
    Plain,
    Array(Items<'a>),
    Object(Items<'a>),
}

/// What is between two braces.
#[derive(Debug, Default)]
pub struct Items<'a> {
    pub all: Vec<Item<'a>>,
    by_name: BTreeMap<String, usize>,
}

/// A member of an object or an element of an array.
#[derive(Debug)]
pub struct Item<'a> {
    /// White space between it and the brace or comma.
    pub before: &'a str,
    /// The key, with what separates it from the value; nothing in an array.
    pub key: &'a str,
    pub colon: &'a str,
    /// What it is found by: the key, or in an array the plain value itself.
    pub name: String,
    pub value: Node<'a>,
    pub after: &'a str,
}

impl<'a> Document<'a> {
    /// Reads a text; none where it is no JSON, lies too deep, or an object has a key twice.
    pub fn parse(text: &'a str) -> Option<Document<'a>> {
        serde_json::from_str::<IgnoredAny>(text).ok()?;
        let mut reader = Reader { rest: text };
        let before = reader.space();
        let root = reader.value(0)?;
        Some(Document { before, root, after: reader.rest })
    }
}

impl Node<'_> {
    /// Whether both say the same, whatever their layout and the order of keys.
    pub fn same(&self, other: &Node) -> bool {
        match (&self.kind, &other.kind) {
            (Kind::Plain, Kind::Plain) => self.name() == other.name(),
            (Kind::Array(Items { all: a, .. }), Kind::Array(Items { all: b, .. })) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.value.same(&b.value))
            }
            (Kind::Object(a), Kind::Object(b)) => {
                let has = |item: &Item| b.get(&item.name).is_some_and(|other| other.value.same(&item.value));
                a.all.len() == b.all.len() && a.all.iter().all(has)
            }
            (Kind::Plain | Kind::Array(_) | Kind::Object(_), _) => false,
        }
    }

    /// A plain value in one notation, because strings may be escaped in several ways.
    fn name(&self) -> String {
        if !matches!(self.kind, Kind::Plain) {
            return String::new();
        }
        let decoded = serde_json::from_str::<String>(self.raw).and_then(|text| serde_json::to_string(&text));
        decoded.unwrap_or_else(|_| self.raw.to_owned())
    }
}

impl<'a> Items<'a> {
    /// The item of a name.
    pub fn get(&self, name: &str) -> Option<&Item<'a>> {
        self.by_name.get(name).map(|at| &self.all[*at])
    }

    /// Whether these are plain values, none twice.
    pub fn is_set(&self) -> bool {
        self.by_name.len() == self.all.len() && self.all.iter().all(|item| matches!(item.value.kind, Kind::Plain))
    }

    /// The names that others have too, in the order here.
    pub fn common(&self, others: &Items) -> Vec<&str> {
        self.all.iter().map(|item| item.name.as_str()).filter(|name| others.get(name).is_some()).collect()
    }
}

/// Takes apart a text that serde_json has found well-formed, from its beginning.
struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(length);
        self.rest = rest;
        taken
    }

    fn space(&mut self) -> &'a str {
        self.take(self.rest.len() - self.rest.trim_start_matches([' ', '\t', '\r', '\n']).len())
    }

    fn string(&mut self) -> Option<&'a str> {
        let mut escaped = false;
        let is_end = |(at, c): &(usize, char)| {
            let end = *at > 0 && *c == '"' && !escaped;
            escaped = *c == '\\' && !escaped;
            end
        };
        let (end, _) = self.rest.char_indices().find(is_end)?;
        Some(self.take(end + 1))
    }

    fn value(&mut self, depth: usize) -> Option<Node<'a>> {
        if depth > MAX_DEPTH {
            return None;
        }
        let start = self.rest;
        let kind = match start.chars().next()? {
            '{' => Kind::Object(self.items(depth + 1, true)?),
            '[' => Kind::Array(self.items(depth + 1, false)?),
            '"' => self.string().map(|_| Kind::Plain)?,
            _ => {
                let ends = |c: char| c.is_ascii_whitespace() || ",]}".contains(c);
                self.take(self.rest.find(ends).unwrap_or(self.rest.len()));
                Kind::Plain
            }
        };
        Some(Node { raw: &start[..start.len() - self.rest.len()], kind })
    }

    fn items(&mut self, depth: usize, named: bool) -> Option<Items<'a>> {
        let mut items = Items::default();
        let is_end = |rest: &str| rest.starts_with([']', '}']);
        while !is_end(self.rest) {
            // The brace, or the comma before this item.
            self.take(1);
            let before = self.space();
            if is_end(self.rest) {
                break;
            }
            let (key, colon) = if named { (self.string()?, self.colon()) } else { ("", "") };
            let value = self.value(depth)?;
            let name = if named { serde_json::from_str(key).ok()? } else { value.name() };
            let twice = items.by_name.insert(name.clone(), items.all.len()).is_some();
            if named && twice {
                return None;
            }
            items.all.push(Item { before, key, colon, name, value, after: self.space() });
        }
        self.take(1);
        Some(items)
    }

    fn colon(&mut self) -> &'a str {
        let start = self.rest;
        self.space();
        self.take(1);
        self.space();
        &start[..start.len() - self.rest.len()]
    }
}
