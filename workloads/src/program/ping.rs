//! `ping`: round-trip times between pairs of hosts (iputils).

use std::time::Duration;

use longhaul_reports::result::{Better, Workload};
use longhaul_topologies::units::{ByteSize, TimeSpan};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::program::pairs::{self, Pair};
use crate::program::processes::{Process, Streams};
use crate::program::{Findings, Output, Place, Program, ProgramError, Refusal, Told, When};

/// ping between pairs of hosts, all at once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PingSpec {
    /// Who asks whom; the first host the last if there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pairs: Vec<Pair>,
    /// Echo requests of each pair.
    #[serde(default = "default_count")]
    #[schemars(range(min = 1))]
    pub count: u64,
    /// Time between two of them.
    #[serde(default = "default_interval")]
    pub interval: TimeSpan,
    /// Bytes of each, without headers.
    #[serde(default = "default_size")]
    pub size: ByteSize,
}

fn default_count() -> u64 {
    50
}

fn default_interval() -> TimeSpan {
    TimeSpan::from_duration(Duration::from_millis(100))
}

/// ping's own.
fn default_size() -> ByteSize {
    ByteSize::from_bytes(56)
}

/// Without room for a time of day in the request, ping tells no round trips (ping_common.c of iputils); and IPv4 without options
/// carries so much behind the ICMP header.
const BYTES: std::ops::RangeInclusive<u64> = 16..=65_507;
/// What ping allows who is not root.
const LEAST_INTERVAL: Duration = Duration::from_millis(2);
const MOST_REQUESTS: u64 = 1_000_000;
/// How long the last answers are waited for.
const LAST_ANSWERS: Duration = Duration::from_secs(10);

impl Program for PingSpec {
    fn kind(&self) -> &'static str {
        "ping"
    }

    fn needs(&self) -> Vec<&'static str> {
        vec!["ping"]
    }

    fn check(&self, hosts: &[String]) -> Result<(), Refusal> {
        pairs::check(&self.pairs, hosts)?;
        if !(1..=MOST_REQUESTS).contains(&self.count) {
            let message = format!("there are 1 to {MOST_REQUESTS} requests");
            return Err(Refusal::of("count", message));
        }
        if !(LEAST_INTERVAL..=Duration::from_secs(60)).contains(&self.interval.duration()) {
            return Err(Refusal::of("interval", "an interval is 2ms to 1min"));
        }
        if !BYTES.contains(&self.size.bytes()) {
            let message = format!(
                "a request has {} to {} bytes: ping tells no round trips with less",
                BYTES.start(),
                BYTES.end()
            );
            return Err(Refusal::of("size", message));
        }
        Ok(())
    }

    fn processes(&self, place: &Place) -> Result<Vec<Process>, ProgramError> {
        let pairs = pairs::or_first_and_last(&self.pairs, &place.names());
        Ok(pairs
            .iter()
            .map(|pair| {
                let line = self.line(&place.address(&pair.to));
                Process::new(&pair.from, line).streams(Streams::Apart)
            })
            .collect())
    }

    fn timeout(&self) -> Duration {
        let asking = self
            .interval
            .duration()
            .saturating_mul(u32::try_from(self.count).unwrap_or(u32::MAX));
        asking * 2 + LAST_ANSWERS * 2
    }

    fn workload(&self, hosts: &[String]) -> Workload {
        let pairs = pairs::or_first_and_last(&self.pairs, hosts);
        let to = pairs.first().map_or("", |pair| &pair.to);
        Workload::Command {
            command: self.line(to),
        }
    }

    fn read(&self, outputs: &[Output], place: &Place) -> Result<Findings, ProgramError> {
        let pairs = pairs::or_first_and_last(&self.pairs, &place.names());
        let parse = |text: &str, pair: &str| Ok(parse(text)?.told(pair));
        let told = pairs::read(&pairs, outputs, "ping", parse)?;
        Ok(Findings {
            measures: told.into_iter().flatten().collect(),
            ..Findings::default()
        })
    }

    fn version_command(&self) -> Option<[&'static str; 2]> {
        Some(["ping", "-V"])
    }
}

impl PingSpec {
    fn line(&self, to: &str) -> Vec<String> {
        let seconds = self.interval.duration().as_secs_f64();
        let size = self.size.bytes();
        let count = self.count;
        // Timestamps, and numbers for names.
        let words = format!(
            "ping -n -D -c {count} -i {seconds} -s {size} -W {}",
            LAST_ANSWERS.as_secs()
        );
        words.split(' ').chain([to]).map(str::to_owned).collect()
    }
}

/// What ping printed.
#[derive(Clone, Debug, Default, PartialEq)]
struct Pings {
    /// Seconds since 1970 at which each answer came, and its round-trip time in microseconds.
    answers: Vec<(f64, f64)>,
    sent: u64,
    received: u64,
}

impl Pings {
    fn told(&self, pair: &str) -> Vec<Told> {
        let told = |name: &str, unit: &str, values| Told {
            name: name.to_owned(),
            unit: unit.to_owned(),
            better: Better::Lower,
            host: pair.to_owned(),
            values,
        };
        let lost = self.sent.saturating_sub(self.received) as f64 / self.sent.max(1) as f64 * 100.0;
        let answers = self.answers.iter();
        vec![
            told(
                "rtt",
                "us",
                answers.map(|&(at, rtt)| (When::Unix(at), rtt)).collect(),
            ),
            told("lost", "%", vec![(When::Unknown, lost)]),
        ]
    }
}

/// Reads `ping -D`: a line per answer, and the two that sum up, which must agree.
fn parse(text: &str) -> Result<Pings, String> {
    let mut pings = Pings::default();
    let mut summed = false;
    for line in text.lines() {
        if line.starts_with('[') {
            // A duplicate is no further answer; of an error there is no time.
            if line.contains("bytes from") && !line.contains("(DUP!)") {
                pings
                    .answers
                    .push(answer(line).ok_or_else(|| format!("`{line}`"))?);
            }
        } else if line.contains("packets transmitted") {
            let numbers = line
                .split(", ")
                .map(|part| part.split(' ').next()?.parse().ok());
            let [Some(sent), Some(received), ..] = numbers.collect::<Vec<Option<u64>>>()[..] else {
                return Err(format!("`{line}`"));
            };
            (pings.sent, pings.received, summed) = (sent, received, true);
        }
    }
    if !summed {
        return Err("there is no line with what was sent and received".into());
    }
    if pings.received != pings.answers.len() as u64 {
        return Err(format!(
            "{} answers, and {} were received as it says",
            pings.answers.len(),
            pings.received
        ));
    }
    Ok(pings)
}

/// `[1795868821.156322] 64 bytes from 10.2.0.1: icmp_seq=1 ttl=62 time=25.6 ms`.
fn answer(line: &str) -> Option<(f64, f64)> {
    let (at, rest) = line.strip_prefix('[')?.split_once("] ")?;
    let (milliseconds, unit) = rest.split_once(" time=")?.1.split_once(' ')?;
    let milliseconds: f64 = milliseconds.parse().ok()?;
    (unit.trim_end() == "ms").then_some((at.parse().ok()?, milliseconds * 1e3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::tests::{hosts, place, spec};

    /// iputils 20221126.
    const REAL: &str = include_str!("ping/iputils-20221126.txt");

    #[test]
    fn what_ping_really_prints_is_read() {
        let pings = parse(REAL).unwrap();
        insta::assert_debug_snapshot!(pings.told("a-0>b-0"));
    }

    #[test]
    fn what_is_cut_off_or_contradicts_itself_is_refused() {
        let cut = &REAL[..REAL.len() / 3];
        assert_eq!(
            parse(cut).unwrap_err(),
            "there is no line with what was sent and received"
        );
        let wrong = REAL.replace("time=", "took=");
        assert!(parse(&wrong).unwrap_err().contains("bytes from"));
        let lines: Vec<&str> = REAL
            .lines()
            .filter(|line| !line.contains("seq=2 "))
            .collect();
        assert!(parse(&lines.join("\n")).unwrap_err().contains("as it says"));
    }

    #[test]
    fn the_command_asks_for_what_the_parser_reads() {
        let ping: PingSpec = spec(serde_json::json!({"count": 3, "interval": "200ms"}));
        let processes = ping.processes(&place()).unwrap();
        assert_eq!(
            (processes[0].host.as_str(), processes[0].line.join(" ")),
            (
                "a-0",
                "ping -n -D -c 3 -i 0.2 -s 56 -W 10 10.2.0.1".to_owned()
            )
        );
    }

    #[test]
    fn requests_without_room_for_a_time_are_refused() {
        let of_size =
            |size: u64| -> PingSpec { spec(serde_json::json!({"size": format!("{size}B")})) };
        assert_eq!(of_size(16).check(&hosts()), Ok(()));
        let refusal = of_size(15).check(&hosts()).unwrap_err();
        assert_eq!(refusal.field, ["size"]);
        assert_eq!(
            refusal.message,
            "a request has 16 to 65507 bytes: ping tells no round trips with less"
        );
    }
}
