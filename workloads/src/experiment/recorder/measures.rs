//! Figures that workloads tell, on their way to a result's measures.

use longhaul_reports::result::{Measure, MeasuredValue};

use crate::program::{Told, When};

/// The same as measures; `time_s` tells when a value was had.
pub(super) fn measures(told: Vec<Told>, time_s: impl Fn(When) -> Option<f64>) -> Vec<Measure> {
    let measure = |told: Told| {
        let values = told.values.iter().map(|&(when, value)| MeasuredValue {
            time_s: time_s(when),
            value,
        });
        Measure::new(
            &told.name,
            &told.unit,
            told.better,
            &told.host,
            values.collect(),
        )
    };
    told.into_iter().map(measure).collect()
}

/// Adds to `known` what a further step told of the same figures.
pub(super) fn extend(known: &mut Vec<Told>, told: Vec<Told>) {
    for told in told {
        match known.iter_mut().find(|known| known.name == told.name) {
            Some(known) => known.values.extend(told.values),
            None => known.push(told),
        }
    }
}
