//! `perftest`: bandwidth or latency of RDMA verbs between pairs of hosts, where these have RDMA devices.

use std::time::Duration;

use longhaul_reports::result::{Better, Workload};
use longhaul_topologies::units::{ByteSize, TimeSpan};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::program::pairs::{self, Pair};
use crate::program::processes::{Process, Role, Streams};
use crate::program::{
    Findings, Output, Place, Program, ProgramError, Refusal, Told, When, timeout,
};

/// A program of perftest between pairs of hosts, all at once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PerftestSpec {
    /// Which program.
    #[serde(default)]
    pub test: Test,
    /// Client and server; the first and the last host if there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pairs: Vec<Pair>,
    /// The RDMA device; perftest's own choice if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// The index of the address in the device's table of them, which RoCE needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gid_index: Option<u32>,
    /// Bytes of a message.
    #[serde(default = "default_size")]
    pub size: ByteSize,
    /// Messages.
    #[serde(default = "default_iterations")]
    #[schemars(range(min = 5))]
    pub iterations: u64,
    /// Queue pairs of a bandwidth test.
    #[serde(default = "one")]
    #[schemars(range(min = 1))]
    pub queue_pairs: u32,
    /// When it is ended and the run fails.
    #[serde(default = "default_timeout")]
    pub timeout: TimeSpan,
}

/// A program of perftest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Test {
    /// Bandwidth of RDMA writes.
    #[default]
    IbWriteBw,
    /// Bandwidth of RDMA reads.
    IbReadBw,
    /// Bandwidth of sends.
    IbSendBw,
    /// Latency of RDMA writes.
    IbWriteLat,
    /// Latency of RDMA reads.
    IbReadLat,
    /// Latency of sends.
    IbSendLat,
}

impl Test {
    fn program(self) -> &'static str {
        match self {
            Self::IbWriteBw => "ib_write_bw",
            Self::IbReadBw => "ib_read_bw",
            Self::IbSendBw => "ib_send_bw",
            Self::IbWriteLat => "ib_write_lat",
            Self::IbReadLat => "ib_read_lat",
            Self::IbSendLat => "ib_send_lat",
        }
    }

    fn is_of_latency(self) -> bool {
        matches!(self, Self::IbWriteLat | Self::IbReadLat | Self::IbSendLat)
    }
}

/// perftest's own.
fn default_size() -> ByteSize {
    ByteSize::from_bytes(64 << 10)
}

fn default_iterations() -> u64 {
    1000
}

fn one() -> u32 {
    1
}

fn default_timeout() -> TimeSpan {
    TimeSpan::from_duration(Duration::from_secs(120))
}

/// perftest's own; further servers have the ports after it.
const PORT: u16 = 18515;
/// Less is refused by it.
const LEAST_ITERATIONS: u64 = 5;

impl Program for PerftestSpec {
    fn kind(&self) -> &'static str {
        "perftest"
    }

    fn needs(&self) -> Vec<&'static str> {
        vec!["perftest", "RDMA device"]
    }

    fn check(&self, hosts: &[String]) -> Result<(), Refusal> {
        pairs::check(&self.pairs, hosts)?;
        if self.iterations < LEAST_ITERATIONS {
            let message = format!("perftest sends at least {LEAST_ITERATIONS} messages");
            return Err(Refusal::of("iterations", message));
        }
        if self.size.bytes() == 0 {
            return Err(Refusal::of("size", "a message has at least a byte"));
        }
        if self.queue_pairs == 0 || (self.test.is_of_latency() && self.queue_pairs > 1) {
            let message = "there is at least one queue pair, and just one for a latency";
            return Err(Refusal::of("queue_pairs", message));
        }
        timeout::check(self.timeout)
    }

    fn processes(&self, place: &Place) -> Result<Vec<Process>, ProgramError> {
        let pairs = pairs::or_first_and_last(&self.pairs, &place.names());
        let ports = || (PORT..).zip(&pairs);
        let servers = ports().map(|(port, pair)| {
            let server = Process::new(&pair.to, self.line(None, port));
            server.role(Role::Background).listens(port)
        });
        let clients = ports().map(|(port, pair)| {
            let line = self.line(Some(&place.address(&pair.to)), port);
            Process::new(&pair.from, line).streams(Streams::Apart)
        });
        Ok(servers.chain(clients).collect())
    }

    fn timeout(&self) -> Duration {
        self.timeout.duration()
    }

    fn workload(&self, hosts: &[String]) -> Workload {
        let pairs = pairs::or_first_and_last(&self.pairs, hosts);
        let to = pairs.first().map(|pair| pair.to.as_str());
        Workload::Command {
            command: self.line(to, PORT),
        }
    }

    fn read(&self, outputs: &[Output], place: &Place) -> Result<Findings, ProgramError> {
        let pairs = pairs::or_first_and_last(&self.pairs, &place.names());
        let told = pairs::read(&pairs, outputs, self.test.program(), parse)?;
        Ok(Findings {
            measures: told.into_iter().flatten().collect(),
            ..Findings::default()
        })
    }

    fn version_command(&self) -> Option<[&'static str; 2]> {
        Some([self.test.program(), "--version"])
    }
}

impl PerftestSpec {
    /// Of a client, which is told its server; or of that.
    fn line(&self, server: Option<&str>, port: u16) -> Vec<String> {
        let mut line = vec![self.test.program().to_owned(), "-F".to_owned()];
        let mut option = |name: &str, value: String| line.extend([name.to_owned(), value]);
        option("-p", port.to_string());
        option("-s", self.size.bytes().to_string());
        option("-n", self.iterations.to_string());
        if let Some(device) = &self.device {
            option("-d", device.clone());
        }
        if let Some(index) = self.gid_index {
            option("-x", index.to_string());
        }
        if !self.test.is_of_latency() {
            option("-q", self.queue_pairs.to_string());
            line.push("--report_gbits".to_owned());
        }
        line.extend(server.map(str::to_owned));
        line
    }
}

/// A column of perftest's tables, and what it is here.
struct Column {
    header: &'static str,
    name: &'static str,
    unit: &'static str,
    better: Better,
    scale: f64,
}

const fn column(
    header: &'static str,
    name: &'static str,
    unit: &'static str,
    better: Better,
    scale: f64,
) -> Column {
    Column {
        header,
        name,
        unit,
        better,
        scale,
    }
}

/// perftest's headers have spaces in them, so they are looked for as they are (`perftest_parameters.h`, `RESULT_FMT*`).
const BANDWIDTH: [Column; 3] = [
    column(
        "BW peak[Gb/sec]",
        "peak bandwidth",
        "bit/s",
        Better::Neither,
        1e9,
    ),
    column(
        "BW average[Gb/sec]",
        "bandwidth",
        "bit/s",
        Better::Higher,
        1e9,
    ),
    column("MsgRate[Mpps]", "messages", "1/s", Better::Higher, 1e6),
];
const LATENCY: [Column; 7] = [
    column("t_min[usec]", "least latency", "us", Better::Lower, 1.0),
    column(
        "t_max[usec]",
        "greatest latency",
        "us",
        Better::Neither,
        1.0,
    ),
    column("t_typical[usec]", "latency", "us", Better::Lower, 1.0),
    column("t_avg[usec]", "mean latency", "us", Better::Lower, 1.0),
    column(
        "t_stdev[usec]",
        "deviation of latency",
        "us",
        Better::Neither,
        1.0,
    ),
    column(
        "99% percentile[usec]",
        "p99 latency",
        "us",
        Better::Lower,
        1.0,
    ),
    column(
        "99.9% percentile[usec]",
        "p99.9 latency",
        "us",
        Better::Neither,
        1.0,
    ),
];

/// Reads the table of a bandwidth or a latency test: `#bytes #iterations …` and a row of numbers below it.
fn parse(text: &str, pair: &str) -> Result<Vec<Told>, String> {
    let mut lines = text.lines();
    let header = lines
        .find(|line| line.trim_start().starts_with("#bytes"))
        .ok_or("there is no line that begins with #bytes")?;
    let columns = [&BANDWIDTH[..], &LATENCY[..]]
        .into_iter()
        .find(|columns| columns.iter().all(|column| header.contains(column.header)))
        .ok_or_else(|| format!("the columns are others: `{}`", header.trim()))?;
    let row = lines
        .map(|line| {
            line.split_whitespace()
                .map(str::parse)
                .collect::<Result<Vec<f64>, _>>()
        })
        .find_map(|row| row.ok().filter(|row| !row.is_empty()))
        .ok_or("there is no row of numbers")?;
    // Bytes and iterations come first.
    let values = row.get(2..).unwrap_or_default();
    if values.len() != columns.len() {
        return Err(format!(
            "{} numbers under {} columns",
            values.len(),
            columns.len()
        ));
    }
    let told = columns.iter().zip(values).map(|(column, value)| Told {
        name: column.name.to_owned(),
        unit: column.unit.to_owned(),
        better: column.better,
        host: pair.to_owned(),
        values: vec![(When::Unknown, value * column.scale)],
    });
    Ok(told.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::tests::{place, spec};

    // In the formats of perftest 4.5; written for this test, as the machines it was made on have no RDMA device.
    const BANDWIDTH_TEXT: &str = include_str!("perftest/bandwidth.txt");
    const LATENCY_TEXT: &str = include_str!("perftest/latency.txt");

    fn values(text: &str) -> Vec<(String, f64)> {
        let told = parse(text, "a-0>b-0").unwrap();
        told.iter()
            .map(|one| (one.name.clone(), one.values[0].1))
            .collect()
    }

    #[test]
    fn tables_of_bandwidth_and_latency_are_read() {
        insta::assert_debug_snapshot!([values(BANDWIDTH_TEXT), values(LATENCY_TEXT)]);
    }

    #[test]
    fn other_columns_and_rows_that_are_cut_off_are_refused() {
        let other = BANDWIDTH_TEXT.replace("[Gb/sec]", "[MB/sec]");
        assert!(
            parse(&other, "")
                .unwrap_err()
                .starts_with("the columns are others")
        );
        let cut = BANDWIDTH_TEXT.replace("0.045312", "");
        assert_eq!(parse(&cut, "").unwrap_err(), "2 numbers under 3 columns");
        assert!(parse("Couldn't connect to 10.2.0.1:18515\n", "").is_err());
    }

    #[test]
    fn servers_listen_before_their_clients_start() {
        let perftest: PerftestSpec = spec(serde_json::json!({"device": "rxe0", "gid_index": 1}));
        let lines: Vec<String> = perftest
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
        b-0 Some(18515) ib_write_bw -F -p 18515 -s 65536 -n 1000 -d rxe0 -x 1 -q 1 --report_gbits
        a-0 None ib_write_bw -F -p 18515 -s 65536 -n 1000 -d rxe0 -x 1 -q 1 --report_gbits 10.2.0.1
        ");
    }
}
