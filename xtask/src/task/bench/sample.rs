//! Medians and spreads.

use serde::Serialize;

/// What several runs measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sample {
    /// The middle one.
    pub median: f64,
    /// The least.
    pub least: f64,
    /// The most.
    pub most: f64,
}

impl Sample {
    /// The sample of these values, of which there is at least one.
    pub fn of(values: &[f64]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        let median = match sorted.as_slice() {
            [] => f64::NAN,
            sorted if sorted.len() % 2 == 1 => sorted[middle],
            sorted => f64::midpoint(sorted[middle - 1], sorted[middle]),
        };
        let (least, most) = (sorted.first().copied(), sorted.last().copied());
        Self { median, least: least.unwrap_or(f64::NAN), most: most.unwrap_or(f64::NAN) }
    }
}

/// How two samples compare: taken pair by pair, so that a machine that slows down slows both.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Ratio(Sample);

impl Ratio {
    /// The ratios of `ours` to `theirs`.
    pub fn of(ours: &[f64], theirs: &[f64]) -> Self {
        let ratios: Vec<f64> = ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect();
        Self(Sample::of(&ratios))
    }
}

impl std::ops::Deref for Ratio {
    type Target = Sample;

    fn deref(&self) -> &Sample {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_slow_run_does_not_move_the_median() {
        let sample = Sample::of(&[1.0, 9.0, 2.0]);
        assert_eq!((sample.median, sample.least, sample.most), (2.0, 1.0, 9.0));
        assert!((Sample::of(&[1.0, 2.0, 3.0, 4.0]).median - 2.5).abs() < 1e-9);
    }

    #[test]
    fn a_ratio_is_taken_pair_by_pair() {
        let ratio = Ratio::of(&[1.0, 10.0, 2.0], &[1.0, 10.0, 1.0]);
        assert_eq!((ratio.median, ratio.most), (1.0, 2.0));
    }
}
