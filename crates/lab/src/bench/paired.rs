//! Measurements: their median, and two kinds of them that were taken in turns.

use std::time::Duration;

/// Some measurements of one thing.
#[derive(Debug, Clone, Default)]
pub(super) struct Sample(Vec<f64>);

impl Sample {
    pub(super) fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    /// The middle one; of an even number, the mean of the two in the middle. Nothing measured is no number.
    pub(super) fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        match sorted.len() {
            0 => f64::NAN,
            even if even % 2 == 0 => f64::midpoint(sorted[middle - 1], sorted[middle]),
            _ => sorted[middle],
        }
    }

    pub(super) fn least(&self) -> f64 {
        self.0.iter().copied().fold(f64::INFINITY, f64::min)
    }

    pub(super) fn most(&self) -> f64 {
        self.0.iter().copied().fold(f64::NEG_INFINITY, f64::max)
    }
}

impl FromIterator<f64> for Sample {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}

/// Seconds that we and others took for the same, pair by pair.
#[derive(Debug, Clone, Default)]
pub(super) struct Paired {
    pub(super) ours: Sample,
    pub(super) theirs: Sample,
}

impl Paired {
    pub(super) fn push(&mut self, ours: Duration, theirs: Duration) {
        self.ours.push(ours.as_secs_f64());
        self.theirs.push(theirs.as_secs_f64());
    }

    /// Our part of their time, pair by pair: what the rest of the machine does meets both of a pair.
    pub(super) fn ratios(&self) -> Sample {
        self.ours.0.iter().zip(&self.theirs.0).map(|(ours, theirs)| ours / theirs).collect()
    }

    /// Their median, our median, the median ratio and its range, as cells of a table.
    pub(super) fn cells(&self) -> [String; 3] {
        let ratios = self.ratios();
        [
            format!("{:.2} s", self.ours.median()),
            format!("{:.2} s", self.theirs.median()),
            format!("{:.2} ({:.2} to {:.2})", ratios.median(), ratios.least(), ratios.most()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_one_whatever_the_order() {
        assert_eq!(Sample::from_iter([9.0, 1.0, 5.0]).median(), 5.0);
        assert_eq!(Sample::from_iter([4.0, 1.0, 2.0, 9.0]).median(), 3.0);
        assert!(Sample::default().median().is_nan());
    }

    #[test]
    fn ratios_are_of_pairs_and_not_of_medians() {
        let mut paired = Paired::default();
        for (ours, theirs) in [(1, 2), (30, 10), (4, 8)] {
            paired.push(Duration::from_secs(ours), Duration::from_secs(theirs));
        }
        assert_eq!(paired.ratios().median(), 0.5);
        assert_eq!((paired.ratios().least(), paired.ratios().most()), (0.5, 3.0));
    }
}
