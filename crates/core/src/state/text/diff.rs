//! Line diff: Myers' linear-space algorithm with the shortcuts git takes, so that a merge gives git's verdicts.
//!
//! Ours because the answer must be git's to the line: where equal lines repeat there are many shortest edits, and which
//! one is chosen decides whether two changes touch. The library tried first (imara-diff 0.2) chooses differently in
//! about one of four thousand small texts, and then merges to other bytes. Delete this when a library passes
//! `tests/text_merge_git.rs`.

use std::collections::HashMap;
use std::ops::Range;

mod compact;
mod snake;

/// One place where a side differs from the base: line numbers in the base and in that side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    pub base: Range<usize>,
    pub side: Range<usize>,
}

/// A line occurring this often counts as noise at most; git's limit for lines that may be left out of the search.
const NOISE_LIMIT_MAX: usize = 1024;
/// How many lines around a noisy one are looked at.
const NOISE_WINDOW: usize = 100;

/// A text as line numbers of an alphabet shared by both sides, and which lines changed.
#[derive(Debug)]
struct Side {
    lines: Vec<u32>,
    changed: Vec<bool>,
}

/// The changes that make `side` of `base`, in order, never touching.
pub(super) fn changes(base: &[&[u8]], side: &[&[u8]]) -> Vec<Change> {
    let mut alphabet = HashMap::new();
    let mut number = |lines: &[&[u8]]| -> Side {
        let mut lines_out = Vec::with_capacity(lines.len());
        for line in lines {
            let next = alphabet.len() as u32;
            lines_out.push(*alphabet.entry(line.to_vec()).or_insert(next));
        }
        Side { changed: vec![false; lines_out.len()], lines: lines_out }
    };
    let (mut a, mut b) = (number(base), number(side));
    mark(&mut a, &mut b, alphabet.len());
    compact::compact(&mut a, &b);
    compact::compact(&mut b, &a);
    collect(&a.changed, &b.changed)
}

/// Marks the changed lines of both sides: trims equal ends, sets aside what the other side does not have, searches the rest.
fn mark(a: &mut Side, b: &mut Side, letters: usize) {
    let shorter = a.lines.len().min(b.lines.len());
    let head = (0..shorter).take_while(|i| a.lines[*i] == b.lines[*i]).count();
    let tail =
        (0..shorter - head).take_while(|i| a.lines[a.lines.len() - 1 - i] == b.lines[b.lines.len() - 1 - i]).count();
    let (count_a, count_b) = (counts(&a.lines, letters), counts(&b.lines, letters));
    let kept_a = keep(a, head..a.lines.len() - tail, &count_b);
    let kept_b = keep(b, head..b.lines.len() - tail, &count_a);
    let pick = |side: &Side, kept: &[usize]| kept.iter().map(|i| side.lines[*i]).collect::<Vec<_>>();
    let (seq_a, seq_b) = (pick(a, &kept_a), pick(b, &kept_b));
    let mut search = snake::Search::new(&seq_a, &seq_b);
    search.run();
    search.changed_a.iter().for_each(|i| a.changed[kept_a[*i]] = true);
    search.changed_b.iter().for_each(|i| b.changed[kept_b[*i]] = true);
}

fn counts(lines: &[u32], letters: usize) -> Vec<usize> {
    let mut counts = vec![0; letters];
    lines.iter().for_each(|line| counts[*line as usize] += 1);
    counts
}

/// Cheap square root, as a power of two: what git's limits are made of.
fn rough_sqrt(mut n: usize) -> usize {
    let mut root = 1;
    while n > 0 {
        root <<= 1;
        n >>= 2;
    }
    root
}

/// How a line of one side stands in the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Presence {
    Absent,
    Present,
    Noise,
}

/// Indices of the lines in `range` that take part in the search; the others are marked changed at once.
fn keep(side: &mut Side, range: Range<usize>, in_other: &[usize]) -> Vec<usize> {
    let noise_limit = rough_sqrt(side.lines.len()).min(NOISE_LIMIT_MAX);
    let presence: Vec<Presence> = side.lines[range.clone()]
        .iter()
        .map(|line| match in_other[*line as usize] {
            0 => Presence::Absent,
            n if n >= noise_limit => Presence::Noise,
            _ => Presence::Present,
        })
        .collect();
    let mut kept = Vec::new();
    for (at, found) in presence.iter().enumerate() {
        let search = match found {
            Presence::Absent => false,
            Presence::Present => true,
            Presence::Noise => !among_absent(&presence, at),
        };
        if search {
            kept.push(range.start + at);
        } else {
            side.changed[range.start + at] = true;
        }
    }
    kept
}

/// Whether a noisy line stands in a run of mostly absent lines on both sides of it, and so tells nothing.
fn among_absent(presence: &[Presence], at: usize) -> bool {
    let before = presence[at.saturating_sub(NOISE_WINDOW)..at].iter().rev();
    let after = presence[at + 1..(at + 1 + NOISE_WINDOW).min(presence.len())].iter();
    let (absent_before, noise_before) = run(before);
    let (absent_after, noise_after) = run(after);
    let (absent, noise) = (absent_before + absent_after, noise_before + noise_after);
    absent_before > 0 && absent_after > 0 && noise * 4 < noise + absent
}

/// Absent and noisy lines up to the first present one; the line itself counts as noise once in each direction.
fn run<'a>(lines: impl Iterator<Item = &'a Presence>) -> (usize, usize) {
    let (mut absent, mut noise) = (0, 1);
    for line in lines {
        match line {
            Presence::Absent => absent += 1,
            Presence::Noise => noise += 1,
            Presence::Present => break,
        }
    }
    (absent, noise)
}

fn collect(a: &[bool], b: &[bool]) -> Vec<Change> {
    let run = |changed: &[bool], at: usize| changed[at..].iter().take_while(|c| **c).count();
    let (mut out, mut i, mut j) = (Vec::new(), 0, 0);
    loop {
        let (removed, added) = (run(a, i), run(b, j));
        if removed + added > 0 {
            out.push(Change { base: i..i + removed, side: j..j + added });
        }
        (i, j) = (i + removed + 1, j + added + 1);
        if i > a.len() || j > b.len() {
            return out;
        }
    }
}
