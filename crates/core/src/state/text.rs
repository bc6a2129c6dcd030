//! Three-way merge of text by lines, with the semantics of `git merge-file`.
//!
//! Separate because it knows bytes only: no paths, no policy. Must stay true: the verdict, and the bytes of a clean
//! result, are those of `git merge-file` at its default level (a test holds it to the real program); no conflict
//! marker is ever produced, because the result goes into a live file.

use std::ops::Range;

use diff::{Change, changes};

mod diff;
mod unified;

pub use unified::unified;

/// Largest text that is merged by line. Both diffs are held in memory several times over, and a file of this size
/// that two sides changed is data rather than configuration.
pub const MAX_TEXT_BYTES: u64 = 1024 * 1024;
/// How far git looks for a zero byte before it calls a file text.
const BINARY_PROBE_BYTES: usize = 8000;

/// What came of a merge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Merge {
    /// The changes of both sides, none of them touching the other's.
    Clean(Vec<u8>),
    /// Both sides changed the same place differently.
    Conflict,
}

/// Whether content is binary by git's rule: a zero byte near its beginning.
pub fn is_binary(content: &[u8]) -> bool {
    content[..content.len().min(BINARY_PROBE_BYTES)].contains(&0)
}

/// Merges the changes from `base` to `ours` and from `base` to `theirs`. The caller has made sure that all three are
/// text ([`is_binary`]) of at most [`MAX_TEXT_BYTES`].
pub fn merge3(base: &[u8], ours: &[u8], theirs: &[u8]) -> Merge {
    let (base, ours, theirs) = (lines(base), lines(ours), lines(theirs));
    let (our_changes, their_changes) = (changes(&base, &ours), changes(&base, &theirs));
    assemble(&regions(&our_changes, &their_changes, &ours, &theirs), &ours, &theirs)
}

/// As [`merge3`], but where both sides changed the same place differently their lines stand between markers, for a
/// person to choose. Never for a live file.
pub fn marked(base: &[u8], ours: &[u8], theirs: &[u8]) -> Vec<u8> {
    let (base, ours, theirs) = (lines(base), lines(ours), lines(theirs));
    let (our_changes, their_changes) = (changes(&base, &ours), changes(&base, &theirs));
    let mut out = Vec::new();
    let mut at = 0;
    for region in regions(&our_changes, &their_changes, &ours, &theirs) {
        out.extend_from_slice(&ours[at..region.ours.start].concat());
        let (mine, other) = (&ours[region.ours.clone()], &theirs[region.theirs.clone()]);
        match region.taken {
            Taken::Theirs => out.extend_from_slice(&other.concat()),
            Taken::Undecided if mine != other => {
                for (marker, side) in [(MARK_MINE, mine), (MARK_MIDDLE, other), (MARK_THEIRS, &[])] {
                    out.extend_from_slice(marker);
                    out.push(b'\n');
                    out.extend_from_slice(&side.concat());
                    // A last line without an end must not run into the marker.
                    if out.last() != Some(&b'\n') {
                        out.push(b'\n');
                    }
                }
            }
            Taken::Ours | Taken::Undecided => out.extend_from_slice(&mine.concat()),
        }
        at = region.ours.end;
    }
    out.extend_from_slice(&ours[at..].concat());
    out
}

/// Whether a text still has a marker of [`marked`].
pub fn has_markers(text: &[u8]) -> bool {
    lines(text).iter().any(|line| [MARK_MINE, MARK_MIDDLE, MARK_THEIRS].contains(&line.trim_ascii_end()))
}

const MARK_MINE: &[u8] = b"<<<<<<< this host";
const MARK_MIDDLE: &[u8] = b"=======";
const MARK_THEIRS: &[u8] = b">>>>>>> the image";

/// Whose lines a region of the result takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Taken {
    Ours,
    Theirs,
    Undecided,
}

/// A region of the result, as line numbers of both sides.
#[derive(Debug, Clone)]
struct Region {
    taken: Taken,
    ours: Range<usize>,
    theirs: Range<usize>,
}

fn lines(text: &[u8]) -> Vec<&[u8]> {
    text.split_inclusive(|b| *b == b'\n').collect()
}

/// Walks both lists of changes along the base and pairs what touches.
fn regions(ours: &[Change], theirs: &[Change], our_lines: &[&[u8]], their_lines: &[&[u8]]) -> Vec<Region> {
    let mut out = Vec::new();
    let (mut i, mut j) = (0, 0);
    while let (Some(a), Some(b)) = (ours.get(i), theirs.get(j)) {
        if a.base.end < b.base.start {
            push(&mut out, only_ours(a, across(theirs, j, &a.base)));
            i += 1;
            continue;
        }
        if b.base.end < a.base.start {
            push(&mut out, only_theirs(b, across(ours, i, &b.base)));
            j += 1;
            continue;
        }
        let same = a.base == b.base && our_lines[a.side.clone()] == their_lines[b.side.clone()];
        if !same {
            push(&mut out, both(a, b));
        }
        let (a_end, b_end) = (a.base.end, b.base.end);
        j += usize::from(a_end >= b_end);
        i += usize::from(b_end >= a_end);
    }
    for a in &ours[i..] {
        push(&mut out, only_ours(a, across(theirs, theirs.len(), &a.base)));
    }
    for b in &theirs[j..] {
        push(&mut out, only_theirs(b, across(ours, ours.len(), &b.base)));
    }
    out
}

/// What lines `at` of the base are on a side, given that its changes from `next` on lie behind them. Only the end is
/// exact where `at` begins inside the change before: such a region touches the last one and only its end is used.
fn across(changes: &[Change], next: usize, at: &Range<usize>) -> Range<usize> {
    let at_end = match (changes.get(next), next.checked_sub(1)) {
        (Some(change), _) => change.side.start - (change.base.start - at.end),
        (None, Some(last)) => changes[last].side.end + (at.end - changes[last].base.end),
        (None, None) => at.end,
    };
    at_end.saturating_sub(at.len())..at_end
}

fn only_ours(change: &Change, theirs: Range<usize>) -> Region {
    Region { taken: Taken::Ours, ours: change.side.clone(), theirs }
}

fn only_theirs(change: &Change, ours: Range<usize>) -> Region {
    Region { taken: Taken::Theirs, ours, theirs: change.side.clone() }
}

/// Two changes that touch: the region spans both, widened on each side by the base lines the other one covers.
fn both(a: &Change, b: &Change) -> Region {
    let (start, end) = (a.base.start.min(b.base.start), a.base.end.max(b.base.end));
    // Saturating for the same reason: a start before the last region's end is not used.
    let widen = |c: &Change| c.side.start.saturating_sub(c.base.start - start)..c.side.end + (end - c.base.end);
    Region { taken: Taken::Undecided, ours: widen(a), theirs: widen(b) }
}

/// Adds a region; one that touches the last is joined with it, and is undecided unless one side made both.
fn push(out: &mut Vec<Region>, region: Region) {
    match out.last_mut() {
        Some(last) if region.ours.start <= last.ours.end || region.theirs.start <= last.theirs.end => {
            if last.taken != region.taken {
                last.taken = Taken::Undecided;
            }
            last.ours.end = region.ours.end;
            last.theirs.end = region.theirs.end;
        }
        Some(_) | None => out.push(region),
    }
}

fn assemble(regions: &[Region], ours: &[&[u8]], theirs: &[&[u8]]) -> Merge {
    let mut out = Vec::new();
    let mut at = 0;
    for region in regions {
        let lines = match region.taken {
            Taken::Ours => &ours[region.ours.clone()],
            Taken::Theirs => &theirs[region.theirs.clone()],
            // Identical after all, when seen as a whole. Git looks only where neither side is empty.
            Taken::Undecided
                if !region.ours.is_empty() && ours[region.ours.clone()] == theirs[region.theirs.clone()] =>
            {
                &ours[region.ours.clone()]
            }
            Taken::Undecided => return Merge::Conflict,
        };
        out.extend_from_slice(&ours[at..region.ours.start].concat());
        out.extend_from_slice(&lines.concat());
        at = region.ours.end;
    }
    out.extend_from_slice(&ours[at..].concat());
    Merge::Clean(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_in_different_places_combine() {
        let merge = merge3(b"a\nb\nc\nd\ne\n", b"A\nb\nc\nd\ne\n", b"a\nb\nc\nd\nE");
        assert_eq!(merge, Merge::Clean(b"A\nb\nc\nd\nE".to_vec()));
    }

    #[test]
    fn changes_in_one_place_conflict_unless_equal() {
        assert_eq!(merge3(b"a\n", b"b\n", b"c\n"), Merge::Conflict);
        assert_eq!(merge3(b"a\n", b"b\n", b"b\n"), Merge::Clean(b"b\n".to_vec()));
        assert_eq!(merge3(b"a\n", b"", b"b\n"), Merge::Conflict);
        assert_eq!(merge3(b"", b"b\n", b"c\n"), Merge::Conflict);
    }

    #[test]
    fn marks_stand_where_a_person_must_choose() {
        let text = marked(b"a\nb\nc\nd\n", b"a\nmine\nc\nd\n", b"a\ntheirs\nc\nD\n");
        let wanted = "a\n<<<<<<< this host\nmine\n=======\ntheirs\n>>>>>>> the image\nc\nD\n";
        assert_eq!(String::from_utf8(text.clone()).unwrap(), wanted);
        assert!(has_markers(&text) && !has_markers(b"a\n========\n"));
        let ends = marked(b"", b"mine", b"theirs");
        assert_eq!(ends, b"<<<<<<< this host\nmine\n=======\ntheirs\n>>>>>>> the image\n");
        assert_eq!(marked(b"a\nb\n", b"a\nb\n", b"A\nb\n"), b"A\nb\n");
    }

    #[test]
    fn one_side_unchanged_gives_the_other() {
        assert_eq!(merge3(b"a\n", b"a\n", b"b"), Merge::Clean(b"b".to_vec()));
        assert_eq!(merge3(b"a\n", b"b", b"a\n"), Merge::Clean(b"b".to_vec()));
    }

    #[test]
    fn binary_is_what_git_calls_binary() {
        assert!(is_binary(b"a\0b"));
        assert!(!is_binary(b""));
        assert!(!is_binary(&[&[b'a'; 8000][..], &[0]].concat()));
    }
}
