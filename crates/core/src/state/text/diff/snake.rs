//! The search for a short edit between two sequences (E. Myers, "An O(ND) Difference Algorithm and Its Variations",
//! 1986, section 4b), with the cut-offs GNU diff introduced and git shares.
//!
//! A diagonal `d` holds the points with `i - j = d`; for each the furthest point reached from the front and from the
//! back is kept. Where both meet the frame is divided in two.

use super::rough_sqrt;

/// A run of equal lines longer than this is worth dividing at.
const SNAKE_LEN: isize = 20;
/// Edit cost from which such a run is taken without searching on.
const SHORTCUT_COST: isize = 256;
/// Edit cost at which the search gives up on the shortest edit, at least.
const GIVE_UP_COST_MIN: usize = 256;
/// How much further than its cost a path must have come to be worth dividing at.
const SHORTCUT_FACTOR: isize = 4;

/// Which part of both sequences is looked at.
#[derive(Debug, Clone, Copy)]
struct Frame {
    a: (isize, isize),
    b: (isize, isize),
}

/// Where a frame is divided, and which halves must be searched for the shortest edit.
#[derive(Debug, Clone, Copy)]
struct Split {
    at: (isize, isize),
    exact: (bool, bool),
}

/// Furthest points of one direction, on the diagonals `low..=high`.
#[derive(Debug)]
struct Front {
    reach: Vec<isize>,
    offset: isize,
    low: isize,
    high: isize,
}

impl Front {
    fn new(diagonals: usize, offset: isize) -> Self {
        Front { reach: vec![0; diagonals], offset, low: 0, high: 0 }
    }

    fn at(&self, d: isize) -> isize {
        self.reach[(d + self.offset) as usize]
    }

    fn set(&mut self, d: isize, value: isize) {
        self.reach[(d + self.offset) as usize] = value;
    }

    fn begin(&mut self, d: isize, value: isize) {
        (self.low, self.high) = (d, d);
        self.set(d, value);
    }

    /// One more edit: one more diagonal each way, or one less where the frame ends. `never` is worse than any point.
    fn widen(&mut self, limits: (isize, isize), never: isize) {
        if self.low > limits.0 {
            self.low -= 1;
            self.set(self.low - 1, never);
        } else {
            self.low += 1;
        }
        if self.high < limits.1 {
            self.high += 1;
            self.set(self.high + 1, never);
        } else {
            self.high -= 1;
        }
    }

    fn diagonals(&self) -> impl Iterator<Item = isize> + use<> {
        let (low, high) = (self.low, self.high);
        (0..).map(move |n| high - 2 * n).take_while(move |d| *d >= low)
    }

    fn covers(&self, d: isize) -> bool {
        (self.low..=self.high).contains(&d)
    }
}

/// The search and what it found.
#[derive(Debug)]
pub(super) struct Search<'a> {
    a: &'a [u32],
    b: &'a [u32],
    forward: Front,
    backward: Front,
    give_up_cost: isize,
    /// Indices of `a` that have no partner.
    pub changed_a: Vec<usize>,
    /// Indices of `b` that have no partner.
    pub changed_b: Vec<usize>,
}

impl<'a> Search<'a> {
    pub fn new(a: &'a [u32], b: &'a [u32]) -> Self {
        let diagonals = a.len() + b.len() + 3;
        let front = || Front::new(diagonals, b.len() as isize + 1);
        let give_up_cost = rough_sqrt(diagonals).max(GIVE_UP_COST_MIN) as isize;
        let (changed_a, changed_b) = (Vec::new(), Vec::new());
        Search { a, b, forward: front(), backward: front(), give_up_cost, changed_a, changed_b }
    }

    pub fn run(&mut self) {
        // A stack of our own: a hostile text must not be able to exhaust the thread's.
        let whole = Frame { a: (0, self.a.len() as isize), b: (0, self.b.len() as isize) };
        let mut open = vec![(whole, false)];
        while let Some((frame, exact)) = open.pop() {
            let frame = self.trim(frame);
            if frame.a.0 == frame.a.1 {
                self.changed_b.extend(frame.b.0 as usize..frame.b.1 as usize);
            } else if frame.b.0 == frame.b.1 {
                self.changed_a.extend(frame.a.0 as usize..frame.a.1 as usize);
            } else {
                let split = self.split(frame, exact);
                let (i, j) = split.at;
                open.push((Frame { a: (i, frame.a.1), b: (j, frame.b.1) }, split.exact.1));
                open.push((Frame { a: (frame.a.0, i), b: (frame.b.0, j) }, split.exact.0));
            }
        }
    }

    fn equal(&self, i: isize, j: isize) -> bool {
        self.a[i as usize] == self.b[j as usize]
    }

    fn trim(&self, mut f: Frame) -> Frame {
        while f.a.0 < f.a.1 && f.b.0 < f.b.1 && self.equal(f.a.0, f.b.0) {
            f.a.0 += 1;
            f.b.0 += 1;
        }
        while f.a.0 < f.a.1 && f.b.0 < f.b.1 && self.equal(f.a.1 - 1, f.b.1 - 1) {
            f.a.1 -= 1;
            f.b.1 -= 1;
        }
        f
    }

    fn split(&mut self, f: Frame, exact: bool) -> Split {
        let limits = (f.a.0 - f.b.1, f.a.1 - f.b.0);
        let (front, back) = (f.a.0 - f.b.0, f.a.1 - f.b.1);
        let odd = (front - back) % 2 != 0;
        self.forward.begin(front, f.a.0);
        self.backward.begin(back, f.a.1);
        let mut cost = 0;
        // Ends by itself: both directions together cover the frame before the cost exceeds its size.
        loop {
            cost += 1;
            self.forward.widen(limits, -1);
            let (met, long_forward) = self.step_forward(f, odd);
            if let Some(at) = met {
                return Split { at, exact: (true, true) };
            }
            self.backward.widen(limits, isize::MAX);
            let (met, long_backward) = self.step_backward(f, !odd);
            if let Some(at) = met {
                return Split { at, exact: (true, true) };
            }
            if exact {
                continue;
            }
            if (long_forward || long_backward) && cost > SHORTCUT_COST {
                if let Some(at) = self.shortcut_forward(f, cost) {
                    return Split { at, exact: (true, false) };
                }
                if let Some(at) = self.shortcut_backward(f, cost) {
                    return Split { at, exact: (false, true) };
                }
            }
            if cost >= self.give_up_cost {
                return self.give_up(f);
            }
        }
    }

    /// Where it met the other direction (if `meet`), and whether it saw a long run of equal lines.
    fn step_forward(&mut self, f: Frame, meet: bool) -> (Option<(isize, isize)>, bool) {
        let mut long = false;
        for d in self.forward.diagonals() {
            let (below, above) = (self.forward.at(d - 1), self.forward.at(d + 1));
            let start = if below >= above { below + 1 } else { above };
            let (mut i, mut j) = (start, start - d);
            while i < f.a.1 && j < f.b.1 && self.equal(i, j) {
                i += 1;
                j += 1;
            }
            long |= i - start > SNAKE_LEN;
            self.forward.set(d, i);
            if meet && self.backward.covers(d) && self.backward.at(d) <= i {
                return (Some((i, j)), long);
            }
        }
        (None, long)
    }

    fn step_backward(&mut self, f: Frame, meet: bool) -> (Option<(isize, isize)>, bool) {
        let mut long = false;
        for d in self.backward.diagonals() {
            let (below, above) = (self.backward.at(d - 1), self.backward.at(d + 1));
            let start = if below < above { below } else { above - 1 };
            let (mut i, mut j) = (start, start - d);
            while i > f.a.0 && j > f.b.0 && self.equal(i - 1, j - 1) {
                i -= 1;
                j -= 1;
            }
            long |= start - i > SNAKE_LEN;
            self.backward.set(d, i);
            if meet && self.forward.covers(d) && i <= self.forward.at(d) {
                return (Some((i, j)), long);
            }
        }
        (None, long)
    }

    /// The end of a long run of equal lines that came far for its cost.
    fn shortcut_forward(&self, f: Frame, cost: isize) -> Option<(isize, isize)> {
        let mut best = (0, None);
        for d in self.forward.diagonals() {
            let i = self.forward.at(d);
            let j = i - d;
            let far = (i - f.a.0) + (j - f.b.0) - (d - (f.a.0 - f.b.0)).abs();
            let inside = f.a.0 + SNAKE_LEN <= i && i < f.a.1 && f.b.0 + SNAKE_LEN <= j && j < f.b.1;
            let better = inside && far > SHORTCUT_FACTOR * cost && far > best.0;
            if better && (1..=SNAKE_LEN).all(|k| self.equal(i - k, j - k)) {
                best = (far, Some((i, j)));
            }
        }
        best.1
    }

    fn shortcut_backward(&self, f: Frame, cost: isize) -> Option<(isize, isize)> {
        let mut best = (0, None);
        for d in self.backward.diagonals() {
            let i = self.backward.at(d);
            let j = i - d;
            let far = (f.a.1 - i) + (f.b.1 - j) - (d - (f.a.1 - f.b.1)).abs();
            let inside = f.a.0 < i && i <= f.a.1 - SNAKE_LEN && f.b.0 < j && j <= f.b.1 - SNAKE_LEN;
            let better = inside && far > SHORTCUT_FACTOR * cost && far > best.0;
            if better && (0..SNAKE_LEN).all(|k| self.equal(i + k, j + k)) {
                best = (far, Some((i, j)));
            }
        }
        best.1
    }

    /// Divides at the point furthest from its end, forward or backward.
    fn give_up(&self, f: Frame) -> Split {
        let mut forward = (-1, -1);
        for d in self.forward.diagonals() {
            let i = self.forward.at(d).min(f.a.1);
            let (i, j) = if i - d > f.b.1 { (f.b.1 + d, f.b.1) } else { (i, i - d) };
            if i + j > forward.0 {
                forward = (i + j, i);
            }
        }
        let mut backward = (isize::MAX, isize::MAX);
        for d in self.backward.diagonals() {
            let i = self.backward.at(d).max(f.a.0);
            let (i, j) = if i - d < f.b.0 { (f.b.0 + d, f.b.0) } else { (i, i - d) };
            if i + j < backward.0 {
                backward = (i + j, i);
            }
        }
        if f.a.1 + f.b.1 - backward.0 < forward.0 - (f.a.0 + f.b.0) {
            Split { at: (forward.1, forward.0 - forward.1), exact: (true, false) }
        } else {
            Split { at: (backward.1, backward.0 - backward.1), exact: (false, true) }
        }
    }
}
