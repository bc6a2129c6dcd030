//! Two texts side by side, as a unified diff.
//!
//! Separate because it is for people and `patch`, never for a merge.

use std::ops::Range;

use super::diff::{Change, changes};
use super::lines;

/// Unchanged lines shown around a change.
const CONTEXT: usize = 3;

/// The difference between two texts, without file names; empty where there is none.
pub fn unified(old: &[u8], new: &[u8]) -> Vec<u8> {
    let (old, new) = (lines(old), lines(new));
    let changes = changes(&old, &new);
    let mut out = Vec::new();
    let mut rest = &changes[..];
    while !rest.is_empty() {
        // Changes whose contexts touch share a hunk.
        let apart = |pair: &[Change]| pair[1].base.start - pair[0].base.end > 2 * CONTEXT;
        let count = rest.windows(2).position(apart).map_or(rest.len(), |last| last + 1);
        hunk(&mut out, &rest[..count], &old, &new);
        rest = &rest[count..];
    }
    out
}

fn hunk(out: &mut Vec<u8>, changes: &[Change], old: &[&[u8]], new: &[&[u8]]) {
    let (Some(first), Some(last)) = (changes.first(), changes.last()) else { return };
    let before = first.base.start.min(CONTEXT);
    let after = (old.len() - last.base.end).min(CONTEXT);
    let from = first.base.start - before..last.base.end + after;
    let to = first.side.start - before..last.side.end + after;
    out.extend(format!("@@ -{} +{} @@\n", span(&from), span(&to)).into_bytes());
    let mut at = from.start;
    for change in changes {
        old[at..change.base.start].iter().for_each(|line| push(out, b' ', line));
        old[change.base.clone()].iter().for_each(|line| push(out, b'-', line));
        new[change.side.clone()].iter().for_each(|line| push(out, b'+', line));
        at = change.base.end;
    }
    old[at..from.end].iter().for_each(|line| push(out, b' ', line));
}

/// As `diff -u` counts: from one; an empty span is named by the line before it, a single line has no length.
fn span(lines: &Range<usize>) -> String {
    match lines.len() {
        0 => format!("{},0", lines.start),
        1 => format!("{}", lines.start + 1),
        n => format!("{},{n}", lines.start + 1),
    }
}

fn push(out: &mut Vec<u8>, mark: u8, line: &[u8]) {
    out.push(mark);
    out.extend_from_slice(line);
    if !line.ends_with(b"\n") {
        out.extend_from_slice(b"\n\\ No newline at end of file\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(old: &str, new: &str) -> String {
        String::from_utf8(unified(old.as_bytes(), new.as_bytes())).unwrap()
    }

    #[test]
    fn hunks_have_context_and_counts_as_diff_writes_them() {
        assert_eq!(text("a\n", "a\n"), "");
        assert_eq!(text("", "a\n"), "@@ -0,0 +1 @@\n+a\n");
        assert_eq!(text("a\n", ""), "@@ -1 +0,0 @@\n-a\n");
        assert_eq!(
            text("1\n2\n3\n4\n5\n", "1\n2\n3\n4\nx"),
            "@@ -2,4 +2,4 @@\n 2\n 3\n 4\n-5\n+x\n\\ No newline at end of file\n"
        );
        let far: String = (1..=20).map(|i| format!("{i}\n")).collect();
        let got = text(&far, &far.replace("2\n3\n", "3\n").replace("19\n", "x\n"));
        assert_eq!(got, "@@ -1,5 +1,4 @@\n 1\n-2\n 3\n 4\n 5\n@@ -16,5 +15,5 @@\n 16\n 17\n 18\n-19\n+x\n 20\n");
    }
}
