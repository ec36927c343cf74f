//! What Prometheus reads.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::host::wait_until;
use super::page::Page;
use super::support::{Started, endless, interrupt, there, with_loopback};

#[test]
fn prometheus_scrapes_a_run() {
    let Some(host) = with_loopback() else { return };
    let run = endless(&host, &[]);
    let page = Page::open(&host, &[]);
    let mut text = String::new();
    wait_until("the page has read the run", || {
        let (status, answer) = page.ask("GET /metrics", &[], "");
        assert_eq!(status, 200, "{answer}");
        text = answer;
        text.contains("longhaul_connection_rtt_seconds{")
    });
    assert!(
        text.contains("application/openmetrics-text; version=1.0.0"),
        "{text}"
    );
    assert!(
        text.contains("longhaul_link_io_bytes_total{longhaul_lab_name=\"run-"),
        "{text}"
    );
    assert!(text.trim_end().ends_with("# EOF"), "{text}");
    let Some(prometheus) = there(&["prometheus"]) else {
        return;
    };
    let configuration = format!(
        "scrape_configs:\n  - job_name: longhaul\n    scrape_interval: 1s\n    static_configs: [{{targets: [\"{}\"]}}]\n",
        page.authority()
    );
    std::fs::write(host.path("prometheus.yml"), configuration).unwrap();
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let prometheus = Command::new(prometheus)
        .arg(format!(
            "--config.file={}",
            host.path("prometheus.yml").display()
        ))
        .arg(format!(
            "--storage.tsdb.path={}",
            host.path("tsdb").display()
        ))
        .arg(format!("--web.listen-address={free}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let _prometheus = Started(prometheus.unwrap());
    let ask = |query: &str| -> Option<f64> {
        let query = escaped(query);
        let mut stream = TcpStream::connect(free).ok()?;
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .ok()?;
        write!(
            stream,
            "GET /api/v1/query?query={query} HTTP/1.0\r\nHost: {free}\r\n\r\n"
        )
        .ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        let answer: Value = serde_json::from_str(text.split_once("\r\n\r\n")?.1).ok()?;
        answer["data"]["result"][0]["value"][1]
            .as_str()?
            .parse()
            .ok()
    };
    wait_until("Prometheus has the target", || ask("up") == Some(1.0));
    wait_until("Prometheus sees the run's rate", || {
        ask("sum(rate(longhaul_link_io_bytes_total[5s]))").is_some_and(|rate| rate > 0.0)
    });
    for query in [
        "longhaul_run_iterations_total",
        "longhaul_connection_rtt_seconds",
        "sum(longhaul_rank_io_bytes_total)",
    ] {
        wait_until(query, || ask(query).is_some_and(|value| value > 0.0));
    }
    // Whatever the dashboard asks for is there. That a link dropped something does not have to be.
    let lab = format!("run-{}", run.pid());
    for query in dashboard_queries() {
        let query = query
            .replace("$lab", &lab)
            .replace("$__rate_interval", "5s")
            .replace("> 0", ">= 0");
        wait_until(&query, || ask(&query).is_some_and(f64::is_finite));
    }
    page.end();
    interrupt(run);
}

/// What the panels of the Grafana dashboard ask Prometheus for.
fn dashboard_queries() -> Vec<String> {
    let dashboard = include_str!("../../../docs/grafana/longhaul.json");
    let dashboard: Value = serde_json::from_str(dashboard).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels
        .iter()
        .flat_map(|panel| panel["targets"].as_array().unwrap());
    let queries: Vec<String> = targets
        .map(|target| target["expr"].as_str().unwrap().to_owned())
        .collect();
    assert!(queries.len() >= panels.len(), "{queries:?}");
    queries
}

/// As part of a URL.
fn escaped(query: &str) -> String {
    let escaped = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    query.bytes().map(escaped).collect()
}
