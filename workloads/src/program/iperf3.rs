//! `iperf3`: throughput, retransmissions and round-trip times of flows between pairs of hosts.

use std::time::Duration;

use longhaul_reports::result::{Better, Workload};
use longhaul_topologies::units::{Rate, TimeSpan};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::program::pairs::{self, Pair};
use crate::program::processes::{Process, Role, Streams};
use crate::program::{Findings, Output, Place, Program, ProgramError, Refusal, Told, When};

/// iperf3 between pairs of hosts, all at once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Iperf3Spec {
    /// Client and server; the first and the last host if there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pairs: Vec<Pair>,
    /// How long each sends.
    #[serde(default = "default_duration")]
    pub duration: TimeSpan,
    /// How long before that it sends without being counted: TCP's start.
    #[serde(default)]
    pub omit: Option<TimeSpan>,
    /// Connections of each pair.
    #[serde(default = "one")]
    #[schemars(range(min = 1))]
    pub streams: usize,
    /// Time between two figures.
    #[serde(default = "default_interval")]
    pub interval: TimeSpan,
    /// What it sends by.
    #[serde(default)]
    pub protocol: Protocol,
    /// Who sends.
    #[serde(default)]
    pub direction: Sender,
    /// What each stream is held to; TCP as fast as it can, UDP iperf3's own 1 Mbit/s if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
}

/// What iperf3 sends by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP, with the stack's congestion control.
    #[default]
    Tcp,
    /// UDP.
    Udp,
}

/// Which end sends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Sender {
    /// `from`.
    #[default]
    From,
    /// `to`.
    To,
}

fn default_duration() -> TimeSpan {
    TimeSpan::from_duration(Duration::from_secs(10))
}

fn default_interval() -> TimeSpan {
    TimeSpan::from_duration(Duration::from_secs(1))
}

fn one() -> usize {
    1
}

/// iperf3's own default; further servers have the ports after it.
const PORT: u16 = 5201;
/// iperf3's own limit.
const MOST_STREAMS: usize = 128;
/// iperf3's own limit (`MAX_TIME`).
const MOST_SECONDS: u64 = 86_400;
/// iperf3's own limits.
const INTERVALS: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_secs(60);
/// Beside the time it sends: connecting over the longest links, and handing over the server's figures.
const SLACK: Duration = Duration::from_secs(60);

impl Program for Iperf3Spec {
    fn kind(&self) -> &'static str {
        "iperf3"
    }

    fn needs(&self) -> Vec<&'static str> {
        vec!["iperf3"]
    }

    fn check(&self, hosts: &[String]) -> Result<(), Refusal> {
        pairs::check(&self.pairs, hosts)?;
        if !(1..=MOST_STREAMS).contains(&self.streams) {
            let message = format!("there are 1 to {MOST_STREAMS} streams");
            return Err(Refusal::of("streams", message));
        }
        if !INTERVALS.contains(&self.interval.duration()) {
            return Err(Refusal::of("interval", "an interval is 100ms to 1min"));
        }
        let whole = |span: TimeSpan| span.duration().subsec_nanos() == 0;
        let seconds = self.duration.duration().as_secs();
        if !whole(self.duration) || !(1..=MOST_SECONDS).contains(&seconds) {
            return Err(Refusal::of(
                "duration",
                "iperf3 sends for whole seconds, a day at most",
            ));
        }
        if self
            .omit
            .is_some_and(|omit| !whole(omit) || omit.duration() > Duration::from_secs(60))
        {
            return Err(Refusal::of(
                "omit",
                "iperf3 leaves out whole seconds, 60 at most",
            ));
        }
        Ok(())
    }

    fn processes(&self, place: &Place) -> Result<Vec<Process>, ProgramError> {
        let mut processes = Vec::new();
        let pairs = pairs::or_first_and_last(&self.pairs, &place.names());
        let ports = || (PORT..).zip(&pairs);
        for (port, pair) in ports() {
            let line = [
                "iperf3",
                "--server",
                "--one-off",
                "--port",
                &port.to_string(),
            ];
            let server = Process::new(&pair.to, line.map(str::to_owned).to_vec());
            processes.push(server.role(Role::Background).listens(port));
        }
        for (port, pair) in ports() {
            let mut line = self.line(&place.address(&pair.to), port);
            if let (Protocol::Tcp, Some(name)) = (self.protocol, &place.congestion_control) {
                line.extend(["--congestion".to_owned(), name.clone()]);
            }
            processes.push(Process::new(&pair.from, line).streams(Streams::Apart));
        }
        Ok(processes)
    }

    fn timeout(&self) -> Duration {
        let omitted = self.omit.map_or(Duration::ZERO, TimeSpan::duration);
        self.duration.duration() + omitted + SLACK
    }

    fn workload(&self, hosts: &[String]) -> Workload {
        let pairs = pairs::or_first_and_last(&self.pairs, hosts);
        let to = pairs.first().map_or("", |pair| &pair.to);
        Workload::Command {
            command: self.line(to, PORT),
        }
    }

    fn read(&self, outputs: &[Output], place: &Place) -> Result<Findings, ProgramError> {
        let pairs = pairs::or_first_and_last(&self.pairs, &place.names());
        let mut findings = Findings::default();
        for (version, told) in pairs::read(&pairs, outputs, "iperf3", parse)? {
            findings.versions.insert("iperf3".to_owned(), version);
            findings.measures.extend(told);
        }
        Ok(findings)
    }
}

impl Iperf3Spec {
    fn line(&self, to: &str, port: u16) -> Vec<String> {
        let seconds = |span: TimeSpan| span.duration().as_secs_f64().to_string();
        let mut line: Vec<String> = ["iperf3", "--client", to, "--json"]
            .map(str::to_owned)
            .to_vec();
        let mut option = |name: &str, value: String| line.extend([name.to_owned(), value]);
        option("--port", port.to_string());
        option("--time", seconds(self.duration));
        option("--interval", seconds(self.interval));
        option("--parallel", self.streams.to_string());
        if let Some(omit) = self.omit {
            option("--omit", seconds(omit));
        }
        if let Some(rate) = self.rate {
            option("--bitrate", rate.bits_per_second().to_string());
        }
        if self.protocol == Protocol::Udp {
            line.push("--udp".to_owned());
        }
        if self.direction == Sender::To {
            line.push("--reverse".to_owned());
        }
        line
    }
}

/// Reads `iperf3 --json`: its version, and its figures.
fn parse(text: &str, pair: &str) -> Result<(String, Vec<Told>), String> {
    let document: Value =
        serde_json::from_str(text).map_err(|error| format!("it is no JSON: {error}"))?;
    if let Some(error) = document["error"].as_str() {
        return Err(error.to_owned());
    }
    let number = |value: &Value, pointer: &str| -> Result<f64, String> {
        let found = value.pointer(pointer).and_then(Value::as_f64);
        found.ok_or_else(|| format!("there is no number at {pointer}"))
    };
    let version = document["start"]["version"].as_str();
    let version = version
        .ok_or("there is no version at /start/version")?
        .to_owned();
    let intervals = document["intervals"]
        .as_array()
        .ok_or("there are no /intervals")?;
    // iperf3 counts an interval's time anew from where it begins to count.
    let omitted = number(&document, "/start/test_start/omit")?;
    let (mut throughput, mut retransmits, mut rtts) = (Vec::new(), Vec::new(), Vec::new());
    for interval in intervals {
        let sum = &interval["sum"];
        if sum["omitted"].as_bool() == Some(true) {
            continue;
        }
        let at = When::SinceStart(omitted + number(sum, "/end")?);
        throughput.push((at, number(sum, "/bits_per_second")?));
        // Only TCP's sender has them.
        if let Some(count) = sum["retransmits"].as_f64() {
            retransmits.push((at, count));
        }
        let streams = interval["streams"]
            .as_array()
            .map_or(&[][..], Vec::as_slice);
        let of_streams: Vec<f64> = streams
            .iter()
            .filter_map(|stream| stream["rtt"].as_f64())
            .collect();
        if !of_streams.is_empty() {
            rtts.push((at, of_streams.iter().sum::<f64>() / of_streams.len() as f64));
        }
    }
    if throughput.is_empty() {
        return Err("there is no interval".to_owned());
    }
    let told = |name: &str, unit: &str, better, values: Vec<(When, f64)>| Told {
        name: name.to_owned(),
        unit: unit.to_owned(),
        better,
        host: pair.to_owned(),
        values,
    };
    let whole = |value| vec![(When::Unknown, value)];
    let mut all = vec![told("throughput", "bit/s", Better::Higher, throughput)];
    let end = &document["end"];
    if end["sum_received"].is_object() {
        let received = number(end, "/sum_received/bits_per_second")?;
        all.push(told("received", "bit/s", Better::Higher, whole(received)));
    }
    // UDP's.
    if end["sum"].is_object() {
        let jitter = number(end, "/sum/jitter_ms")? * 1e3;
        all.push(told("jitter", "us", Better::Lower, whole(jitter)));
        let lost = number(end, "/sum/lost_percent")?;
        all.push(told("lost", "%", Better::Lower, whole(lost)));
    }
    all.push(told("retransmits", "packets", Better::Lower, retransmits));
    all.push(told("rtt", "us", Better::Lower, rtts));
    all.retain(|told| !told.values.is_empty());
    Ok((version, all))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::tests::{hosts, place, spec};

    /// iperf 3.12: `--parallel 2 --time 2`, `--udp --bitrate 10M --time 2`, and `--omit 1 --bitrate 10M --time 2`.
    const TCP: &str = include_str!("iperf3/tcp-3.12.json");
    const UDP: &str = include_str!("iperf3/udp-3.12.json");
    const OMIT: &str = include_str!("iperf3/omit-3.12.json");

    #[test]
    fn what_iperf3_really_prints_is_read() {
        insta::assert_debug_snapshot!("tcp", parse(TCP, "a-0>b-0").unwrap());
        insta::assert_debug_snapshot!("udp", parse(UDP, "a-0>b-0").unwrap());
    }

    #[test]
    fn times_count_from_the_start_and_not_from_what_was_left_out() {
        let (_, told) = parse(OMIT, "a-0>b-0").unwrap();
        let throughput = &told[0];
        assert_eq!(throughput.name, "throughput");
        let at: Vec<When> = throughput.values.iter().map(|(at, _)| *at).collect();
        assert_eq!(at, [2.000044, 2.999574].map(When::SinceStart));
    }

    #[test]
    fn what_is_cut_off_or_an_error_is_refused() {
        assert!(
            parse(&TCP[..900], "")
                .unwrap_err()
                .starts_with("it is no JSON")
        );
        let error = r#"{"start": {}, "intervals": [], "end": {}, "error": "unable to connect"}"#;
        assert_eq!(parse(error, "").unwrap_err(), "unable to connect");
        let nameless = TCP.replace("bits_per_second", "bps");
        assert_eq!(
            parse(&nameless, "").unwrap_err(),
            "there is no number at /bits_per_second"
        );
    }

    #[test]
    fn servers_listen_before_their_clients_start_each_on_a_port_of_its_own() {
        let spec: Iperf3Spec = spec(serde_json::json!({
            "pairs": [{"from": "a-0", "to": "b-0"}, {"from": "b-0", "to": "a-0"}],
            "duration": "2s", "rate": "10Mbit", "direction": "to",
        }));
        assert_eq!(spec.check(&hosts()), Ok(()));
        let lines: Vec<String> = spec
            .processes(&place())
            .unwrap()
            .iter()
            .map(|process| {
                format!(
                    "{} {:?} {}",
                    process.host,
                    process.listens,
                    process.line.join(" ")
                )
            })
            .collect();
        insta::assert_snapshot!(lines.join("\n"), @r"
        b-0 Some(5201) iperf3 --server --one-off --port 5201
        a-0 Some(5202) iperf3 --server --one-off --port 5202
        a-0 None iperf3 --client 10.2.0.1 --json --port 5201 --time 2 --interval 1 --parallel 1 --bitrate 10000000 --reverse
        b-0 None iperf3 --client 10.1.0.1 --json --port 5202 --time 2 --interval 1 --parallel 1 --bitrate 10000000 --reverse
        ");
    }

    #[test]
    fn what_iperf3_cannot_do_is_refused_with_the_field() {
        let spec: Iperf3Spec = spec(serde_json::json!({"duration": "1500ms"}));
        let refusal = spec.check(&hosts()).unwrap_err();
        assert_eq!(refusal.field, ["duration"]);
    }
}
