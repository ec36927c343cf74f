//! The normal distribution.

/// The share of a standard normal distribution below `z`; relative error below 1.2e-7 on either side (Numerical Recipes, 2nd
/// edition, section 6.2, `erfcc`).
pub fn cumulative(z: f64) -> f64 {
    let x = z.abs() / 2.0_f64.sqrt();
    let t = 1.0 / (1.0 + 0.5 * x);
    const COEFFICIENTS: [f64; 10] = [
        -1.265_512_23,
        1.000_023_68,
        0.374_091_96,
        0.096_784_18,
        -0.186_288_06,
        0.278_868_07,
        -1.135_203_98,
        1.488_515_87,
        -0.822_152_23,
        0.170_872_77,
    ];
    let sum = COEFFICIENTS
        .iter()
        .rev()
        .fold(0.0, |sum, coefficient| sum * t + coefficient);
    let tail = 0.5 * t * (-x * x + sum).exp();
    if z > 0.0 { 1.0 - tail } else { tail }
}

/// The value below which a share `p` (0–1, both excluded) of a standard normal distribution lies: the inverse of
/// [`cumulative`], by bisection, as far as `f64` tells apart.
pub fn quantile(p: f64) -> f64 {
    let (mut low, mut high) = (-40.0, 40.0);
    // 80 halvings of 80 are below the spacing of the numbers near 1.
    for _ in 0..80 {
        let middle = (low + high) / 2.0;
        if cumulative(middle) < p {
            low = middle;
        } else {
            high = middle;
        }
    }
    (low + high) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values_come_out() {
        // scipy.stats.norm.cdf
        for (z, known) in [
            (0.0, 0.5),
            (1.0, 0.841_344_746_068_542_9),
            (-1.96, 0.024_997_895_148_220_435),
            (-4.0, 3.167_124_183_311_986e-5),
        ] {
            assert!((cumulative(z) / known - 1.0).abs() < 2e-7, "{z}");
        }
        // scipy.stats.norm.ppf
        for (p, known) in [
            (0.975, 1.959_963_984_540_054),
            (0.01, -2.326_347_874_040_841),
        ] {
            assert!((quantile(p) - known).abs() < 1e-5, "{p}");
        }
    }
}
