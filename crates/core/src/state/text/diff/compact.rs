//! Puts each run of changed lines where git puts it, where equal lines leave a choice.
//!
//! A run may slide over equal lines. It slides up as far as it goes, joining runs it meets, then down as far as it goes,
//! and back up to the last place where the other side has a change too, so that both read as one.

use super::Side;

/// A run of changed lines between two unchanged ones; may be empty.
#[derive(Debug, Clone, Copy)]
struct Run {
    start: usize,
    end: usize,
}

impl Run {
    fn from(changed: &[bool], start: usize) -> Run {
        Run { start, end: start + changed[start..].iter().take_while(|c| **c).count() }
    }

    fn next(self, changed: &[bool]) -> Option<Run> {
        (self.end < changed.len()).then(|| Run::from(changed, self.end + 1))
    }

    fn previous(self, changed: &[bool]) -> Run {
        // Only asked where an unchanged line lies before it: both sides have the same number of those.
        let end = self.start - 1;
        Run { start: end - changed[..end].iter().rev().take_while(|c| **c).count(), end }
    }

    fn len(self) -> usize {
        self.end - self.start
    }
}

/// Slides the runs of `side`; `other` only tells where it has changes.
pub(super) fn compact(side: &mut Side, other: &Side) {
    let mut run = Run::from(&side.changed, 0);
    let mut opposite = Run::from(&other.changed, 0);
    loop {
        if run.len() > 0 {
            settle(side, other, &mut run, &mut opposite);
        }
        match (run.next(&side.changed), opposite.next(&other.changed)) {
            (Some(next), Some(next_opposite)) => (run, opposite) = (next, next_opposite),
            (None, _) | (_, None) => return,
        }
    }
}

fn settle(side: &mut Side, other: &Side, run: &mut Run, opposite: &mut Run) {
    let mut meets_other;
    let mut highest_end;
    loop {
        let len = run.len();
        while up(side, run) {
            *opposite = opposite.previous(&other.changed);
        }
        highest_end = run.end;
        meets_other = opposite.len() > 0;
        while down(side, run) {
            *opposite = opposite.next(&other.changed).unwrap_or(*opposite);
            meets_other |= opposite.len() > 0;
        }
        // Having joined another run it may slide further.
        if len == run.len() {
            break;
        }
    }
    if run.end != highest_end && meets_other {
        while opposite.len() == 0 && up(side, run) {
            *opposite = opposite.previous(&other.changed);
        }
    }
}

fn up(side: &mut Side, run: &mut Run) -> bool {
    if run.start == 0 || side.lines[run.start - 1] != side.lines[run.end - 1] {
        return false;
    }
    run.start -= 1;
    run.end -= 1;
    side.changed[run.start] = true;
    side.changed[run.end] = false;
    run.start -= side.changed[..run.start].iter().rev().take_while(|c| **c).count();
    true
}

fn down(side: &mut Side, run: &mut Run) -> bool {
    if run.end >= side.lines.len() || side.lines[run.start] != side.lines[run.end] {
        return false;
    }
    side.changed[run.start] = false;
    side.changed[run.end] = true;
    run.start += 1;
    run.end += 1;
    run.end += side.changed[run.end..].iter().take_while(|c| **c).count();
    true
}
