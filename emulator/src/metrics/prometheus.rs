//! The model as Prometheus scrapes it: the OpenMetrics text format (version 1.0.0).
//!
//! Names follow OpenTelemetry's rules for Prometheus ("Prometheus and OpenMetrics Compatibility"): dots become underscores, the unit a
//! suffix, and counters end in `_total`.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit as Suffix};

use super::measure::{Measurement, Number};
use super::model::{Attribute, Kind, Metric, Unit};

/// What an HTTP server says such a text is.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The name that queries know `metric` by: `longhaul_link_io_bytes_total`.
pub fn name(metric: &Metric) -> String {
    let mut name = family(metric);
    if let Some(suffix) = suffix(metric.unit) {
        name = format!("{name}_{}", suffix.as_str());
    }
    match metric.kind {
        Kind::Counter => name + "_total",
        Kind::Gauge => name,
    }
}

/// The label that queries know `attribute` by: `longhaul_link_from`.
pub fn label(attribute: Attribute) -> String {
    underscored(attribute.name())
}

/// The text of all `measured` in the lab of that name; empty of metrics if there is nothing.
pub fn render(lab: &str, measured: Vec<Measurement>) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Lab {
        name: lab.to_owned(),
        measured,
    }));
    let mut text = String::new();
    text::encode(&mut text, &registry).expect("a string takes everything");
    text
}

/// A lab that is scraped.
#[derive(Debug)]
struct Lab {
    name: String,
    /// By metric.
    measured: Vec<Measurement>,
}

impl Collector for Lab {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for series in self.measured.chunk_by(|a, b| a.metric == b.metric) {
            let metric = series[0].metric;
            let kind = match metric.kind {
                Kind::Counter => MetricType::Counter,
                Kind::Gauge => MetricType::Gauge,
            };
            let suffix = suffix(metric.unit);
            let name = family(metric);
            let mut family =
                encoder.encode_descriptor(&name, metric.description, suffix.as_ref(), kind)?;
            for one in series {
                let mut labels = vec![(label(Attribute::Lab), self.name.clone())];
                labels.extend(
                    one.attributes()
                        .map(|(name, value)| (label(name), value.to_owned())),
                );
                encode(one, family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

fn encode(one: &Measurement, encoder: MetricEncoder<'_>) -> fmt::Result {
    match (one.metric.kind, one.value) {
        (Kind::Counter, Number::Count(count)) => ConstCounter::new(count).encode(encoder),
        (Kind::Counter, Number::Real(value)) => ConstCounter::new(value).encode(encoder),
        // The format's gauges are signed or real; what waits in a queue stays far below 2^53.
        (Kind::Gauge, Number::Count(count)) => ConstGauge::new(count as f64).encode(encoder),
        (Kind::Gauge, Number::Real(value)) => ConstGauge::new(value).encode(encoder),
    }
}

/// The name without the suffixes that the format adds.
fn family(metric: &Metric) -> String {
    underscored(metric.name)
}

fn underscored(name: &str) -> String {
    name.replace('.', "_")
}

/// Counted things have none.
fn suffix(unit: Unit) -> Option<Suffix> {
    match unit {
        Unit::Bytes => Some(Suffix::Bytes),
        Unit::BytesPerSecond => Some(Suffix::Other("bytes_per_second".to_owned())),
        Unit::Seconds => Some(Suffix::Seconds),
        Unit::Things(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::measure::{measure, tests::reading};
    use super::super::model;
    use super::*;

    #[test]
    fn names_are_those_that_opentelemetry_would_give() {
        assert_eq!(name(&model::LINK_IO), "longhaul_link_io_bytes_total");
        assert_eq!(
            name(&model::LINK_LIMIT),
            "longhaul_link_bandwidth_limit_bytes_per_second"
        );
        assert_eq!(name(&model::LINK_UP), "longhaul_link_up");
        assert_eq!(label(Attribute::IoDirection), "network_io_direction");
    }

    #[test]
    fn the_text_has_every_series_by_the_name_that_is_promised() {
        let measured = measure(&reading());
        let text = render("tiny", measured.clone());
        for one in &measured {
            let begin = format!("{}{{longhaul_lab_name=\"tiny\"", name(one.metric));
            assert!(
                text.lines().any(|line| line.starts_with(&begin)),
                "{begin}\n{text}"
            );
        }
        insta::assert_snapshot!(text);
    }

    #[test]
    fn a_lab_with_nothing_to_tell_is_a_text_all_the_same() {
        assert_eq!(render("idle", Vec::new()), "# EOF\n");
    }
}
