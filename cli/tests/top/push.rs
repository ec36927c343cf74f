//! What a collector of OpenTelemetry is sent.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;

use serde_json::json;

use super::host::{PATIENCE, wait_until};
use super::support::{endless, interrupt, up, with_loopback};

/// An `ExportMetricsServiceRequest` (opentelemetry-proto, `metrics_service.proto`, `metrics.proto`), with every field that longhaul may send
/// and no other: what is misspelt is refused.
mod protocol {
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    pub struct Request {
        pub resource_metrics: Vec<ResourceMetrics>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    pub struct ResourceMetrics {
        pub resource: Resource,
        pub scope_metrics: Vec<ScopeMetrics>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct Resource {
        pub attributes: Vec<KeyValue>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct KeyValue {
        pub key: String,
        pub value: AnyValue,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    pub struct AnyValue {
        pub string_value: String,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct ScopeMetrics {
        #[allow(dead_code, reason = "it has to be there")]
        pub scope: Scope,
        pub metrics: Vec<Metric>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "they have to be there")]
    pub struct Scope {
        pub name: String,
        pub version: String,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "they have to be there")]
    pub struct Metric {
        pub name: String,
        pub description: String,
        pub unit: String,
        pub sum: Option<Sum>,
        pub gauge: Option<Gauge>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    pub struct Sum {
        pub aggregation_temporality: u32,
        pub is_monotonic: bool,
        pub data_points: Vec<Point>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    pub struct Gauge {
        pub data_points: Vec<Point>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    pub struct Point {
        pub attributes: Vec<KeyValue>,
        pub start_time_unix_nano: Option<String>,
        pub time_unix_nano: String,
        pub as_int: Option<String>,
        pub as_double: Option<f64>,
    }
}

/// Takes requests at a free port until dropped; what each said.
struct Receiver {
    address: std::net::SocketAddr,
    requests: mpsc::Receiver<Result<protocol::Request, String>>,
}

impl Receiver {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, requests) = mpsc::channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let told = take(stream.unwrap());
                if sender.send(told).is_err() {
                    return;
                }
            }
        });
        Receiver { address, requests }
    }
}

/// Reads one request and answers it.
fn take(mut stream: TcpStream) -> Result<protocol::Request, String> {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let length = stream.read(&mut piece).map_err(|error| error.to_string())?;
        bytes.extend_from_slice(&piece[..length]);
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            if length == 0 {
                return Err(format!("cut off: {text}"));
            }
            continue;
        };
        let head = head.to_lowercase();
        let wanted = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        let wanted: usize = wanted
            .ok_or("no length")?
            .parse()
            .map_err(|_| "no length")?;
        if body.len() < wanted {
            continue;
        }
        for needed in [
            "post /v1/metrics http/1.1",
            "content-type: application/json",
            "host: 127.0.0.1",
        ] {
            if !head.contains(needed) {
                return Err(format!("no {needed} in {head}"));
            }
        }
        let request = serde_json::from_str(body).map_err(|error| format!("{error}: {body}"));
        let answer =
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
        stream
            .write_all(answer.as_bytes())
            .map_err(|error| error.to_string())?;
        return request;
    }
}

#[test]
fn a_run_pushes_what_a_strict_collector_takes() {
    let Some(host) = with_loopback() else { return };
    let collector = Receiver::start();
    let url = format!("http://{}", collector.address);
    let run = endless(&host, &["--otlp", &url]);
    let name = format!("run-{}", run.pid());
    let mut bytes_before = 0;
    let mut rising = 0;
    // Two rises: three requests of the workload at least.
    while rising < 2 {
        let request = collector.requests.recv_timeout(PATIENCE).unwrap().unwrap();
        let [of_lab] = &request.resource_metrics[..] else {
            panic!("{request:?}");
        };
        let attribute = |key: &str| {
            let found = of_lab.resource.attributes.iter().find(|one| one.key == key);
            found.map(|one| one.value.string_value.as_str())
        };
        assert_eq!(attribute("service.name"), Some("longhaul"));
        assert_eq!(attribute("longhaul.lab.name"), Some(name.as_str()));
        let metrics = &of_lab.scope_metrics[0].metrics;
        for metric in metrics {
            let points = match (&metric.sum, &metric.gauge) {
                (Some(sum), None) => {
                    assert_eq!((sum.aggregation_temporality, sum.is_monotonic), (2, true));
                    &sum.data_points
                }
                (None, Some(gauge)) => &gauge.data_points,
                _ => panic!("a metric is of one kind: {metric:?}"),
            };
            for point in points {
                let at: u64 = point.time_unix_nano.parse().unwrap();
                if metric.sum.is_some() {
                    let start: u64 = point
                        .start_time_unix_nano
                        .as_ref()
                        .unwrap()
                        .parse()
                        .unwrap();
                    assert!(start <= at, "{metric:?}");
                }
                assert!(
                    point.as_int.is_some() != point.as_double.is_some(),
                    "{metric:?}"
                );
                assert!(
                    point
                        .attributes
                        .iter()
                        .all(|one| !one.value.string_value.is_empty())
                );
            }
        }
        let Some(io) = metrics
            .iter()
            .find(|metric| metric.name == "longhaul.link.io")
        else {
            continue;
        };
        assert_eq!(io.unit, "By");
        let count =
            |point: &protocol::Point| point.as_int.as_ref().unwrap().parse::<u64>().unwrap();
        let bytes: u64 = io.sum.as_ref().unwrap().data_points.iter().map(count).sum();
        assert!(bytes >= bytes_before, "counters only rise");
        rising += u32::from(bytes_before > 0 && bytes > bytes_before);
        bytes_before = bytes;
    }
    interrupt(run);
    wait_until("the exporter has ended with its run", || {
        host.processes().is_empty()
    });
}

#[test]
fn a_collector_that_is_not_there_is_told_once_and_ends_nothing() {
    let Some(host) = with_loopback() else { return };
    up(&host);
    // Bound and closed again: nobody listens there.
    let nobody = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let url = format!("http://{nobody}");
    let mut pushing = host.start(&["top", "--otlp", &url, "--interval", "100ms"]);
    wait_until("it is told", || {
        pushing.stderr().contains("does not take the telemetry")
    });
    let reads = host.answer(&["top"]);
    assert_eq!(reads["lab"], json!("two"));
    assert!(!pushing.has_ended());
    host.succeed(&["down"]);
    let ended = pushing.end();
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(
        ended.stderr.matches("does not take").count(),
        1,
        "{ended:?}"
    );
}
