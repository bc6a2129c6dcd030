//! One section: where in the vendor's lines each added line of the layer goes.
//!
//! The layer's lines are walked in order. Each that the vendor has too is an anchor; what the layer added goes behind
//! the last anchor, and its comments directly above an anchor go above that. Must stay true: the lines of one key keep
//! their order.

use std::collections::{BTreeMap, BTreeSet};

use super::Fate;
use crate::structured::lines::{Is, Line, Section, with_ends};

/// How far off a comment may be and still be a neighbour. A larger value makes a text of nothing but comments slow.
const NEAR_LINES: usize = 500;

/// The vendor's lines, and what is laid between them.
pub struct Weaver<'a> {
    vendor: &'a Section<'a>,
    fates: &'a BTreeMap<&'a str, Fate>,
    known: &'a BTreeSet<&'a str>,
    end: &'a str,
    /// What goes into the gap before each of the vendor's lines, and behind the last.
    gaps: Vec<Gap>,
    /// The gap behind the last anchor.
    at: usize,
    /// The layer's last line is one that the vendor does not have any more.
    astray: bool,
    /// The line before was blank.
    blank: bool,
    /// The line before was a comment that the layer added.
    after_own: bool,
    waiting: Waiting<'a>,
    /// For each key how many of its lines were passed, and the first gap for the next.
    passed: BTreeMap<&'a str, (usize, usize)>,
}

/// Comments of the layer's that wait for what they stand above.
#[derive(Default)]
struct Waiting<'a> {
    lines: Vec<&'a str>,
    /// A blank line is above them.
    apart: bool,
    /// Where they go if they stand above nothing that the vendor has.
    gap: usize,
}

#[derive(Default, Clone)]
struct Gap {
    behind: Vec<String>,
    /// Comments that belong to the line below.
    above: Vec<String>,
}

impl<'a> Weaver<'a> {
    pub fn new(
        vendor: &'a Section<'a>,
        fates: &'a BTreeMap<&'a str, Fate>,
        known: &'a BTreeSet<&'a str>,
        end: &'a str,
    ) -> Weaver<'a> {
        Weaver {
            vendor,
            fates,
            known,
            end,
            gaps: vec![Gap::default(); vendor.lines.len() + 1],
            at: 0,
            astray: false,
            blank: false,
            after_own: false,
            waiting: Waiting::default(),
            passed: BTreeMap::new(),
        }
    }

    /// Lays in what the layer added.
    pub fn lay(&mut self, local: &'a Section<'a>) {
        for (at, line) in local.lines.iter().enumerate() {
            match &line.is {
                Is::Blank => self.let_go(true),
                Is::Comment => self.comment(line.text, &local.lines[at + 1..]),
                Is::Entry { key, .. } => self.entry(key, line.text),
            }
            self.blank = matches!(line.is, Is::Blank);
            self.after_own &= matches!(line.is, Is::Comment);
        }
        self.let_go(false);
    }

    /// The lines of the result.
    pub fn finish(self, local: &Section) -> Vec<String> {
        let mut out = Vec::new();
        let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
        for (at, gap) in self.gaps.into_iter().enumerate() {
            out.extend(gap.behind);
            out.extend(gap.above);
            let Some(line) = self.vendor.lines.get(at) else { continue };
            let Some((key, value)) = line.entry() else {
                out.push(line.text.to_owned());
                continue;
            };
            let nth = seen.entry(key).or_default();
            match self.fates.get(key) {
                Some(Fate::Combined(line)) => out.push(line.clone()),
                Some(Fate::Locals) => match local.nth(key, *nth) {
                    Some(own) if own.value() != value => out.push(with_ends(own.text, self.end)),
                    Some(_) => out.push(line.text.to_owned()),
                    None => {}
                },
                Some(Fate::Vendors) | None => out.push(line.text.to_owned()),
            }
            *nth += 1;
        }
        out
    }

    fn entry(&mut self, key: &'a str, text: &'a str) {
        let vendors = self.vendor.keys.get(key).map(Vec::as_slice).unwrap_or_default();
        let (nth, next) = self.passed.get(key).copied().unwrap_or((0, vendors.last().map_or(0, |last| last + 1)));
        let mut next = next;
        if let Some(anchor) = vendors.get(nth) {
            self.reach(*anchor);
        } else if matches!(self.fates.get(key), Some(Fate::Locals)) {
            // Where nothing before it is the vendor's, its beginning is no better place than its end.
            let gap = if self.at == 0 && self.astray { self.end_gap() } else { self.at };
            (self.at, self.astray) = (gap.max(next), false);
            self.wait(text);
            self.settle(self.at);
            next = self.at;
        } else {
            self.let_go(false);
            self.astray = true;
        }
        self.passed.insert(key, (nth + 1, next));
    }

    fn comment(&mut self, text: &'a str, below: &[Line]) {
        let plain = text.trim();
        let known = self.known.contains(plain);
        // A comment without a word says nothing by itself: it goes with what is above and below.
        let near = if is_bare(plain) { 1 } else { NEAR_LINES };
        let anchor = self.anchor(plain, near).filter(|_| known);
        let own = !known || (is_bare(plain) && self.after_own && self.goes_on(below));
        match anchor {
            Some(anchor) => self.reach(anchor),
            None if own => self.wait(text),
            None => self.astray = true,
        }
        self.after_own = anchor.is_none() && own;
    }

    /// Whether the layer's own comment goes on in the lines below.
    fn goes_on(&self, below: &[Line]) -> bool {
        let near = below.iter().take(NEAR_LINES);
        let mut comments = near.take_while(|line| matches!(line.is, Is::Comment)).map(|line| line.text.trim());
        comments.find(|plain| !is_bare(plain)).is_some_and(|plain| !self.known.contains(plain))
    }

    /// A comment of the vendor's behind the last anchor and before the next entry.
    fn anchor(&self, plain: &str, near: usize) -> Option<usize> {
        let lines = self.vendor.lines[self.at..].iter().take(near);
        let mut until_entry = lines.take_while(|line| line.entry().is_none());
        let is_it = |line: &Line| matches!(line.is, Is::Comment) && line.text.trim() == plain;
        until_entry.position(is_it).map(|offset| self.at + offset)
    }

    /// Arrives at a line that the vendor has too.
    fn reach(&mut self, anchor: usize) {
        let waiting = std::mem::take(&mut self.waiting);
        if !waiting.lines.is_empty() {
            let apart = waiting.apart && !self.is_blank_before(anchor, true);
            let above = &mut self.gaps[anchor].above;
            above.extend(apart.then(|| self.end.to_owned()));
            above.extend(waiting.lines.into_iter().map(|line| with_ends(line, self.end)));
        }
        self.at = anchor + 1;
        self.astray = false;
    }

    /// Remembers a line of the layer's.
    fn wait(&mut self, text: &'a str) {
        if self.waiting.lines.is_empty() {
            self.waiting.apart = self.blank;
            self.waiting.gap = if self.astray { self.end_gap() } else { self.at };
        }
        self.waiting.lines.push(text);
    }

    /// The end of the section, but before blank lines.
    fn end_gap(&self) -> usize {
        let is_blank = |line: &Line| matches!(line.is, Is::Blank);
        self.vendor.lines.iter().rposition(|line| !is_blank(line)).map_or(0, |last| last + 1)
    }

    /// Comments that stand above nothing the vendor has stay behind what they followed.
    fn let_go(&mut self, set_apart: bool) {
        if self.waiting.lines.is_empty() {
            return;
        }
        let gap = self.waiting.gap;
        self.settle(gap);
        let next = self.vendor.lines.get(gap);
        if set_apart && next.is_some_and(|line| !matches!(line.is, Is::Blank)) {
            self.gaps[gap].behind.push(self.end.to_owned());
        }
    }

    /// Puts what waits into a gap.
    fn settle(&mut self, gap: usize) {
        let waiting = std::mem::take(&mut self.waiting);
        let apart = waiting.apart && !self.is_blank_before(gap, false);
        let behind = &mut self.gaps[gap].behind;
        behind.extend(apart.then(|| self.end.to_owned()));
        behind.extend(waiting.lines.into_iter().map(|line| with_ends(line, self.end)));
    }

    /// Whether what would be added to a gap follows a blank line, or nothing.
    fn is_blank_before(&self, gap: usize, above: bool) -> bool {
        let Gap { behind, above: lines } = &self.gaps[gap];
        let last = behind.iter().chain(lines.iter().filter(|_| above)).next_back();
        match last {
            Some(line) => line.trim().is_empty(),
            None => gap == 0 || matches!(self.vendor.lines[gap - 1].is, Is::Blank),
        }
    }
}

fn is_bare(comment: &str) -> bool {
    !comment.contains(char::is_alphanumeric)
}
