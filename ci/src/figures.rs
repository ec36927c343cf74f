//! The figures of a run, by what they are of: one value per repeat.

use std::collections::BTreeMap;

use longhaul_reports::result::{Better, Point, RunResult, Workload};
use serde::{Deserialize, Serialize};

use crate::metric::Metric;

/// One figure with a value from every repeat, in order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Figure {
    /// The stack with its swept settings: `cubic, algorithm ring`.
    pub series: String,
    /// What it is of: `1048576 in-place` (bytes and placement), `virginia>dublin` (a path), `virginia>dublin/0` (a lane),
    /// `all` (the programs of a point), `throughput of virginia-0 (bit/s)` (what a program measured).
    pub of: String,
    /// What was measured.
    pub metric: Metric,
    /// A value per repeat. Iterations of one repeat share its connections and its moment, so a repeat counts once.
    pub values: Vec<f64>,
}

impl Figure {
    /// What tells it from the others of a run.
    pub fn key(&self) -> (&str, &str, Metric) {
        (&self.series, &self.of, self.metric)
    }
}

/// What a figure is of; its order is the order of the figures.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Of {
    All,
    Size(u64, &'static str),
    Measure(String),
    Path(String),
}

impl Of {
    fn text(&self) -> String {
        match self {
            Self::All => "all".to_owned(),
            Self::Size(bytes, placement) => format!("{bytes} {placement}"),
            Self::Measure(name) | Self::Path(name) => name.clone(),
        }
    }
}

/// Every figure of `result`, sorted by series, what it is of and metric: the same result gives the same list.
pub fn of(result: &RunResult) -> Vec<Figure> {
    let mut all: BTreeMap<(String, Of, Metric), Vec<(usize, f64)>> = BTreeMap::new();
    for point in &result.points {
        let series = series(point);
        for (of, metric, value) in figures(point) {
            let key = (series.clone(), of, metric);
            all.entry(key).or_default().push((point.repeat, value));
        }
    }
    all.into_iter()
        .map(|((series, of, metric), mut values)| {
            values.sort_by_key(|&(repeat, _)| repeat);
            Figure {
                series,
                of: of.text(),
                metric,
                values: values.into_iter().map(|(_, value)| value).collect(),
            }
        })
        .collect()
}

fn series(point: &Point) -> String {
    let settings = point
        .settings
        .iter()
        .map(|(name, value)| format!(", {name} {value}"));
    point.stack.clone() + &settings.collect::<String>()
}

fn figures(point: &Point) -> Vec<(Of, Metric, f64)> {
    let mut all = Vec::new();
    if matches!(point.workload, Workload::Command { .. }) {
        all.push((Of::All, Metric::Duration, point.ended_s - point.began_s));
    }
    for row in &point.summaries {
        let of = Of::Size(row.size_bytes, row.placement.name());
        all.extend([
            (of.clone(), Metric::Busbw, row.busbw_gbps),
            (of.clone(), Metric::Algbw, row.algbw_gbps),
            (of.clone(), Metric::Time, row.time_us),
            (of, Metric::TimeP99, row.p99_us),
        ]);
    }
    for measure in point.measures.iter().filter(|one| one.summary.count > 0) {
        let unit = match &*measure.unit {
            "" => String::new(),
            unit => format!(" ({unit})"),
        };
        let of = Of::Measure(format!("{} of {}{unit}", measure.name, measure.host));
        match measure.better {
            Better::Higher => all.push((of, Metric::Gain, measure.summary.mean)),
            Better::Lower => all.push((of, Metric::Cost, measure.summary.p50)),
            Better::Neither => {}
        }
    }
    for path in &point.delays {
        let of = Of::Path(format!("{}>{}", path.from, path.to));
        all.push((of.clone(), Metric::ProbesLost, path.lost as f64));
        // Of a path on which nothing arrived there is no delay.
        if path.delay_us.count > 0 {
            all.extend([
                (of.clone(), Metric::Delay, path.delay_us.p50),
                (of.clone(), Metric::DelayP99, path.delay_us.p99),
                (of.clone(), Metric::Pdv, path.pdv_us),
                (of, Metric::Jitter, path.rfc3550_us),
            ]);
        }
    }
    for lane in &point.channels {
        let of = Of::Path(format!("{}/{}", lane.link, lane.lane));
        let drops = lane.queue_drops + lane.early_drops;
        all.push((of.clone(), Metric::Drops, drops as f64));
        all.push((of, Metric::Marks, lane.marks as f64));
    }
    all.retain(|(_, _, value)| value.is_finite());
    all
}

#[cfg(test)]
mod tests {
    use longhaul_reports::result::{LabKind, Measure, MeasuredValue};

    use super::*;

    #[test]
    fn what_programs_measured_is_judged_the_way_it_gets_better() {
        let mut result = crate::example::run(LabKind::Host, &[10.0]);
        let measure = |name: &str, better| {
            let values = [1.0, 2.0, 9.0].map(|value| MeasuredValue {
                time_s: None,
                value,
            });
            Measure::new(name, "us", better, "a-0", values.to_vec())
        };
        result.points[0].measures = vec![
            measure("speed", Better::Higher),
            measure("rtt", Better::Lower),
            measure("loss", Better::Neither),
        ];
        let figures = of(&result);
        let found = |metric| {
            let mut of_metric = figures.iter().filter(|figure| figure.metric == metric);
            let figure = of_metric.next().unwrap();
            assert!(of_metric.next().is_none());
            (figure.of.as_str(), figure.values.clone())
        };
        assert_eq!(found(Metric::Gain), ("speed of a-0 (us)", vec![4.0]));
        assert_eq!(found(Metric::Cost), ("rtt of a-0 (us)", vec![2.0]));
    }
}
