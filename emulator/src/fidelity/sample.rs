//! A sample of delays and what is told from it. Pure.

/// One standard deviation below and above the mean of a normal distribution.
const LOWER: f64 = 0.158_66;
const UPPER: f64 = 0.841_34;

/// Values in rising order, at least one.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sample(Vec<f64>);

impl Sample {
    /// # Panics
    /// If there are none.
    pub(super) fn new(mut values: Vec<f64>) -> Self {
        assert!(!values.is_empty(), "a sample of nothing");
        values.sort_by(f64::total_cmp);
        Sample(values)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// In rising order.
    pub(super) fn into_values(self) -> Vec<f64> {
        self.0
    }

    #[cfg(test)]
    pub(super) fn mean(&self) -> f64 {
        self.0.iter().sum::<f64>() / self.0.len() as f64
    }

    #[cfg(test)]
    pub(super) fn deviation(&self) -> f64 {
        let mean = self.mean();
        let squares = self.0.iter().map(|value| (value - mean).powi(2));
        (squares.sum::<f64>() / self.0.len() as f64).sqrt()
    }

    /// By nearest rank.
    pub(super) fn quantile(&self, share: f64) -> f64 {
        let rank = (share * self.0.len() as f64).ceil() as usize;
        self.0[rank.clamp(1, self.0.len()) - 1]
    }

    pub(super) fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// Half the width of the middle 68.27 %: one standard deviation if they are normal, and, unlike the standard deviation, not
    /// decided by one late wake-up.
    pub(super) fn width(&self) -> f64 {
        (self.quantile(UPPER) - self.quantile(LOWER)) / 2.0
    }

    /// All moved by `by`.
    pub(super) fn moved(&self, by: f64) -> Self {
        Sample(self.0.iter().map(|value| value + by).collect())
    }
}

/// The Kolmogorov–Smirnov distance of two samples, each seen from its own median: the greatest difference between the shares
/// of them that lie below any value. So it tells shapes apart, and not where they lie.
pub(super) fn distance(one: &Sample, other: &Sample) -> f64 {
    apart(&one.moved(-one.median()), &other.moved(-other.median()))
}

/// The same where they lie.
pub(super) fn apart(one: &Sample, other: &Sample) -> f64 {
    let (mut i, mut j, mut most) = (0, 0, 0.0_f64);
    while i < one.0.len() && j < other.0.len() {
        let value = one.0[i].min(other.0[j]);
        i += one.0[i..].iter().take_while(|x| **x <= value).count();
        j += other.0[j..].iter().take_while(|x| **x <= value).count();
        let share = |index: usize, sample: &Sample| index as f64 / sample.0.len() as f64;
        most = most.max((share(i, one) - share(j, other)).abs());
    }
    most
}

#[cfg(test)]
mod tests {
    use super::*;

    fn even(count: u32, width: f64) -> Sample {
        Sample::new(
            (0..count)
                .map(|i| f64::from(i) / f64::from(count) * width)
                .collect(),
        )
    }

    #[test]
    fn what_is_alike_has_no_distance_wherever_it_lies() {
        assert!(distance(&even(1000, 1.0), &even(700, 1.0).moved(40.0)) < 0.01);
        assert!((apart(&even(1000, 1.0), &even(1000, 1.0).moved(2.0)) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn the_distance_is_the_greatest_difference_of_shares() {
        // Of the wider one, a quarter lies beyond either end of the narrower one.
        let far = distance(&even(1000, 1.0), &even(1000, 2.0));
        assert!((far - 0.25).abs() < 0.01, "{far}");
    }

    #[test]
    fn quantiles_are_by_nearest_rank() {
        let sample = Sample::new(vec![3.0, 1.0, 2.0, 4.0]);
        assert_eq!(
            [0.0, 0.5, 0.51, 1.0].map(|at| sample.quantile(at)),
            [1.0, 2.0, 3.0, 4.0]
        );
    }
}
