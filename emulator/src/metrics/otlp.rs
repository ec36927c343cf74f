//! The model as OpenTelemetry collectors take it: OTLP/HTTP with JSON (opentelemetry-proto, "JSON Protobuf Encoding": camel case, 64-bit
//! integers as strings, enumerations as numbers).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::measure::{Measurement, Number};
use super::model::{Attribute, Kind, Metric};

/// Where below a collector's address metrics go (OTLP specification, "OTLP/HTTP Request").
pub const PATH: &str = "/v1/metrics";

/// What an HTTP client says such a text is.
pub const CONTENT_TYPE: &str = "application/json";

/// `AggregationTemporality` of the protocol: every value counts from the start.
const CUMULATIVE: u32 = 2;

/// When values were taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Counters count from here.
    pub started: SystemTime,
    /// The reading's instant.
    pub at: SystemTime,
}

/// An `ExportMetricsServiceRequest` with all `measured` in the lab of that name.
pub fn request(lab: &str, span: Span, measured: &[Measurement]) -> Value {
    let metrics: Vec<Value> = measured
        .chunk_by(|a, b| a.metric == b.metric)
        .map(|series| metric(series[0].metric, span, series))
        .collect();
    let version = env!("CARGO_PKG_VERSION");
    json!({
        "resourceMetrics": [{
            "resource": { "attributes": [
                text("service.name", "longhaul"),
                text("service.version", version),
                text("service.instance.id", lab),
                text(Attribute::Lab.name(), lab),
            ]},
            "scopeMetrics": [{
                "scope": { "name": "longhaul", "version": version },
                "metrics": metrics,
            }],
        }],
    })
}

fn metric(metric: &Metric, span: Span, series: &[Measurement]) -> Value {
    let points: Vec<Value> = series.iter().map(|one| point(one, span)).collect();
    let mut described = json!({
        "name": metric.name,
        "description": metric.description,
        "unit": metric.unit.ucum(),
    });
    match metric.kind {
        Kind::Counter => {
            described["sum"] = json!({
                "aggregationTemporality": CUMULATIVE,
                "isMonotonic": true,
                "dataPoints": points,
            });
        }
        Kind::Gauge => described["gauge"] = json!({ "dataPoints": points }),
    }
    described
}

fn point(one: &Measurement, span: Span) -> Value {
    let attributes = one
        .attributes()
        .map(|(name, value)| text(name.name(), value));
    let mut point = json!({
        "attributes": attributes.collect::<Vec<_>>(),
        "timeUnixNano": nanoseconds(span.at),
    });
    if one.metric.kind == Kind::Counter {
        point["startTimeUnixNano"] = json!(nanoseconds(span.started));
    }
    match one.value {
        Number::Count(count) => point["asInt"] = json!(count.to_string()),
        Number::Real(value) => point["asDouble"] = json!(value),
    }
    point
}

fn text(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

fn nanoseconds(at: SystemTime) -> String {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    since.as_nanos().to_string()
}

#[cfg(test)]
mod tests {
    use super::super::measure::{measure, tests::reading};
    use super::*;

    #[test]
    fn a_request_has_the_words_of_the_protocol() {
        let measured = measure(&reading());
        let started = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let at = started + Duration::from_millis(1500);
        let request = request("tiny", Span { started, at }, &measured);
        let request = serde_json::to_string_pretty(&request).unwrap();
        insta::assert_snapshot!(request.replace(env!("CARGO_PKG_VERSION"), "VERSION"));
    }
}
