//! A text of YAML as its mappings and the lines of each key.
//!
//! Separate from the merge because it is about notation. The parser says where keys stand and what kind of value each
//! has; the lines between two keys belong to the first, but for blank ones and shallow comments at their end. Must stay
//! true: the lines of a mapping, one after the other, are the text.

use std::collections::BTreeMap;
use std::ops::Range;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, StrInput};

use crate::structured::lines::{Is, Line, Text};

/// How deep mappings may lie in each other. A larger value risks the stack.
const MAX_DEPTH: usize = 64;

/// A whole text.
#[derive(Debug)]
pub struct Document<'a> {
    /// What stands above the mapping where a line `---` begins it.
    pub head: &'a str,
    pub root: Mapping<'a>,
}

/// A mapping in block style.
#[derive(Debug, Default)]
pub struct Mapping<'a> {
    /// One section; the value of an entry may go on over several lines.
    pub text: Text<'a>,
    /// The column of its keys; none without one.
    pub indent: Option<usize>,
    /// The keys whose values are such mappings too.
    pub nested: BTreeMap<String, Nested<'a>>,
}

/// A mapping below a key.
#[derive(Debug)]
pub struct Nested<'a> {
    /// The line of the key.
    pub head: &'a str,
    pub mapping: Mapping<'a>,
}

impl<'a> Document<'a> {
    /// Reads a text; none where it is no YAML, or none that can be merged in lines.
    pub fn parse(text: &'a str) -> Option<Document<'a>> {
        let lines = Lines::of(text);
        let special = |line: &&str| line.starts_with('%') || line.starts_with("...");
        if lines.all.iter().any(special) {
            return None;
        }
        let mut reader = Reader { events: Parser::new_from_str(text), lines: &lines.all, has_block: false };
        let (begin, keys) = reader.document()?;
        // A block at the end of a text gains a line end where something is added behind it.
        if reader.has_block && !text.ends_with('\n') {
            return None;
        }
        Some(Document { head: lines.joined(0..begin), root: mapping(&lines, begin..lines.all.len(), keys)? })
    }
}

/// A key as the parser sees it.
struct Key {
    name: String,
    line: usize,
    indent: usize,
    /// Where it ends in its line.
    end: usize,
    /// The keys of its value, where that is a mapping in block style.
    below: Option<Vec<Key>>,
}

/// What kind of value there is.
enum Node {
    /// Nothing is written.
    Absent,
    Mapping(Vec<Key>),
    Other,
}

/// The lines of a text, and where each begins.
struct Lines<'a> {
    text: &'a str,
    all: Vec<&'a str>,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn of(text: &'a str) -> Lines<'a> {
        let all: Vec<&str> = text.split_inclusive('\n').collect();
        let mut starts = vec![0];
        starts.extend(all.iter().scan(0, |end, line| {
            *end += line.len();
            Some(*end)
        }));
        Lines { text, all, starts }
    }

    fn joined(&self, range: Range<usize>) -> &'a str {
        &self.text[self.starts[range.start]..self.starts[range.end]]
    }
}

struct Reader<'a, 'l> {
    events: Parser<'a, StrInput<'a>>,
    lines: &'l [&'a str],
    /// Some scalar is a block.
    has_block: bool,
}

impl<'a> Reader<'a, '_> {
    /// The next event; none where the text is not to be merged by key.
    fn event(&mut self) -> Option<(Event<'a>, Span)> {
        let (event, span) = self.events.next_event()?.ok()?;
        let plain = match &event {
            Event::Scalar(_, _, anchor, tag) | Event::SequenceStart(anchor, tag) | Event::MappingStart(anchor, tag) => {
                *anchor == 0 && tag.is_none()
            }
            Event::Alias(_) => false,
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd
            | Event::SequenceEnd
            | Event::MappingEnd => true,
        };
        plain.then_some((event, span))
    }

    /// The line that the mapping begins in or behind, and its keys.
    fn document(&mut self) -> Option<(usize, Vec<Key>)> {
        let Event::StreamStart = self.event()?.0 else { return None };
        let begin = match self.event()? {
            (Event::StreamEnd, _) => return Some((0, Vec::new())),
            (Event::DocumentStart(true), span) => {
                let mark = span.start.line().checked_sub(1)?;
                (self.lines.get(mark)?.trim_end() == "---").then_some(mark + 1)?
            }
            (Event::DocumentStart(false), _) => 0,
            _ => return None,
        };
        let (event, span) = self.event()?;
        let keys = match self.node(event, span, 0)? {
            Node::Absent => Vec::new(),
            Node::Mapping(keys) => keys,
            Node::Other => return None,
        };
        let Event::DocumentEnd = self.event()?.0 else { return None };
        let Event::StreamEnd = self.event()?.0 else { return None };
        Some((begin, keys))
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Option<Node> {
        match event {
            Event::Scalar(..) if span.is_empty() => Some(Node::Absent),
            Event::Scalar(_, style, ..) => {
                self.has_block |= matches!(style, ScalarStyle::Literal | ScalarStyle::Folded);
                Some(Node::Other)
            }
            Event::MappingStart(..) if !self.is_brace(&span)? => self.keys(depth + 1).map(Node::Mapping),
            Event::MappingStart(..) | Event::SequenceStart(..) => self.skip().map(|()| Node::Other),
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd
            | Event::Alias(_)
            | Event::SequenceEnd
            | Event::MappingEnd => None,
        }
    }

    fn is_brace(&self, span: &Span) -> Option<bool> {
        let line = self.lines.get(span.start.line().checked_sub(1)?)?;
        Some(line.chars().nth(span.start.col()) == Some('{'))
    }

    /// Up to the end of a collection.
    fn skip(&mut self) -> Option<()> {
        let mut open = 1;
        while open > 0 {
            match self.event()?.0 {
                Event::MappingStart(..) | Event::SequenceStart(..) => open += 1,
                Event::MappingEnd | Event::SequenceEnd => open -= 1,
                Event::Scalar(_, ScalarStyle::Literal | ScalarStyle::Folded, ..) => self.has_block = true,
                Event::Scalar(..) => {}
                Event::Nothing
                | Event::StreamStart
                | Event::StreamEnd
                | Event::DocumentStart(_)
                | Event::DocumentEnd
                | Event::Alias(_) => return None,
            }
        }
        Some(())
    }

    /// The keys of a mapping in block style.
    fn keys(&mut self, depth: usize) -> Option<Vec<Key>> {
        if depth > MAX_DEPTH {
            return None;
        }
        let mut keys = Vec::new();
        loop {
            let (name, span) = match self.event()? {
                (Event::MappingEnd, _) => return Some(keys),
                (Event::Scalar(name, ..), span) => (name.into_owned(), span),
                _ => return None,
            };
            let (line, indent) = (span.start.line().checked_sub(1)?, span.start.col());
            let text = self.lines.get(line)?;
            // Alone at the beginning of its line, so neither behind a dash nor behind a question mark.
            let alone =
                span.end.line() == span.start.line() && text.len() - text.trim_start_matches(' ').len() == indent;
            let end = text.char_indices().nth(span.end.col()).map(|(at, _)| at)?;
            let colon = text[end..].trim_start_matches(' ').starts_with(':');
            if !alone || !colon || name == "<<" {
                return None;
            }
            let (event, span) = self.event()?;
            let below = match self.node(event, span, depth)? {
                Node::Mapping(below) if below.first().is_some_and(|first| first.line > line) => Some(below),
                Node::Mapping(_) => return None,
                Node::Absent | Node::Other => None,
            };
            keys.push(Key { name, line, indent, end, below });
        }
    }
}

/// The mapping whose keys these are, in a range of lines.
fn mapping<'a>(lines: &Lines<'a>, range: Range<usize>, keys: Vec<Key>) -> Option<Mapping<'a>> {
    let mut out = Mapping { text: Text::new(), indent: keys.first().map(|key| key.indent), nested: BTreeMap::new() };
    let indent = out.indent.unwrap_or_default();
    let starts: Vec<usize> = keys.iter().map(|key| key.line).chain([range.end]).collect();
    between(&mut out.text, lines.all.get(range.start..starts[0])?, indent)?;
    for (key, next) in keys.into_iter().zip(starts.into_iter().skip(1)) {
        let first = lines.all.get(key.line)?;
        let below = lines.all.get(key.line + 1..next)?;
        let length = below.iter().rposition(|line| !stands_between(line, indent)).map_or(0, |last| last + 1);
        let end = key.line + 1 + length;
        let mut value = value(&first[key.end..], &below[..length])?;
        if let Some(keys) = key.below {
            let mapping = mapping(lines, key.line + 1..end, keys)?;
            let comment = value.lines().next().and_then(|line| line.split_once('#'));
            value = format!("{}\n{}", comment.map_or("", |(_, comment)| comment.trim()), mapping.said());
            out.nested.insert(key.name.clone(), Nested { head: first, mapping });
        }
        if key.indent != indent || out.text.last().keys.contains_key(&key.name) {
            return None;
        }
        out.text.push(lines.joined(key.line..end), Is::Entry { key: key.name, value });
        between(&mut out.text, &below[length..], indent)?;
    }
    Some(out)
}

impl Mapping<'_> {
    /// What it is compared by as a whole: keys, values and comments, whatever is blank or in quotes around keys.
    fn said(&self) -> String {
        let lines = self.text.sections.iter().flat_map(|section| &section.lines);
        let word = |line: &Line| match &line.is {
            Is::Blank => String::new(),
            Is::Comment => format!("{}\n", line.text.trim()),
            // With their lengths, so that no other mapping says the same, and nothing grows with each level.
            Is::Entry { key, value } => format!("{} {key} {} {value}\n", key.len(), value.len()),
        };
        lines.map(word).collect()
    }
}

/// Whether a line may stand between two keys, in no value: nothing in it, or a comment no deeper than they are.
fn stands_between(line: &str, indent: usize) -> bool {
    let plain = line.trim_start();
    plain.is_empty() || (plain.starts_with('#') && line.len() - plain.len() <= indent)
}

/// Takes the lines before or between entries; none where there is something in them.
fn between<'a>(text: &mut Text<'a>, lines: &[&'a str], indent: usize) -> Option<()> {
    for line in lines {
        let is = if line.trim().is_empty() { Is::Blank } else { Is::Comment };
        stands_between(line, indent).then(|| text.push(line, is))?;
    }
    Some(())
}

/// What a value is compared by; none where blank lines behind it could be a part of it.
fn value(rest: &str, below: &[&str]) -> Option<String> {
    let lines = || [rest].into_iter().chain(below.iter().copied());
    let keeps_blank = |line: &str| {
        let code = line.split(" #").next().unwrap_or_default();
        code.split_whitespace().next_back().is_some_and(|word| word.starts_with(['|', '>']) && word.contains('+'))
    };
    (!lines().any(keeps_blank))
        .then(|| lines().map(str::trim_end).collect::<Vec<_>>().join("\n").trim_start().to_owned())
}
