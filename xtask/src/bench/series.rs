//! Several measurements of one thing: the middle one counts, all are shown.

/// Measurements in the order they were taken.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Series(pub Vec<f64>);

impl Series {
    /// The middle one, or the mean of the two in the middle; none of an empty series.
    pub fn median(&self) -> Option<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        match sorted.len() {
            0 => None,
            n if n % 2 == 1 => Some(sorted[middle]),
            _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
        }
    }

    /// The smallest and the largest.
    pub fn range(&self) -> Option<(f64, f64)> {
        let first = *self.0.first()?;
        Some(self.0.iter().fold((first, first), |(low, high), x| (low.min(*x), high.max(*x))))
    }

    /// How often it was measured.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// "1.23 (1.10–1.40, n=3)".
    pub fn words(&self, decimals: usize) -> String {
        match (self.median(), self.range()) {
            (Some(median), Some((low, high))) if self.count() > 1 => {
                format!("{median:.decimals$} ({low:.decimals$}–{high:.decimals$}, n={})", self.count())
            }
            (Some(median), _) => format!("{median:.decimals$} (n=1)"),
            (None, _) => "not measured".into(),
        }
    }
}

/// The ratio of two medians.
pub fn ratio(a: &Series, b: &Series) -> Option<f64> {
    Some(a.median()? / b.median().filter(|b| *b > 0.0)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_counts_and_all_are_told() {
        assert_eq!(Series(vec![3.0, 1.0, 2.0]).words(1), "2.0 (1.0–3.0, n=3)");
        assert_eq!(Series(vec![4.0, 1.0]).median(), Some(2.5));
        assert_eq!(Series(vec![1.0]).words(2), "1.00 (n=1)");
        assert_eq!(Series::default().words(2), "not measured");
        assert_eq!(ratio(&Series(vec![1.0]), &Series(vec![4.0])), Some(0.25));
        assert_eq!(ratio(&Series(vec![1.0]), &Series::default()), None);
    }
}
