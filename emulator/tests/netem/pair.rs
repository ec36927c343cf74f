//! Two hosts with one link between them.

use std::net::UdpSocket;
use std::process::Command;
use std::time::Duration;

use longhaul_emulator::engine::{ChannelCounters, EngineChoice};
use longhaul_emulator::lab::{Lab, LabOptions};
use longhaul_emulator::plan::{ChannelId, NodeId};
use longhaul_topologies::Topology;
use longhaul_topologies::model::{Channel, Direction, LinkId};
use longhaul_topologies::units::Probability;
use serde_json::Value;

use super::pings::Pings;
use super::support::topology;

/// Two sites of one host, one lane between them.
pub struct Pair {
    pub lab: Lab,
    pub from: NodeId,
    pub to: NodeId,
}

pub const FORWARD: ChannelId = ChannelId {
    link: LinkId(0),
    lane: 0,
    direction: Direction::Forward,
};

impl Pair {
    pub async fn up(
        forward: impl FnOnce(&mut Channel),
        reverse: impl FnOnce(&mut Channel),
    ) -> Self {
        let mut topology = topology(&[1, 1], &[(0, 1, 1)], Duration::ZERO);
        forward(&mut topology.links[0].lanes[0].forward);
        reverse(&mut topology.links[0].lanes[0].reverse);
        Self::of(topology, EngineChoice::Netem).await
    }

    pub async fn of(topology: Topology, engine: EngineChoice) -> Self {
        let options = LabOptions {
            engine,
            seed: 1,
            ..LabOptions::default()
        };
        let lab = Lab::up(topology, &options).await.unwrap();
        let [from, to] = lab.plan().hosts().collect::<Vec<_>>()[..] else {
            panic!("two hosts");
        };
        Self { lab, from, to }
    }

    /// `ping` from one host to the other.
    pub fn ping(&self, arguments: &[&str]) -> Pings {
        let mut command = self.lab.command(self.from, "ping");
        let to = self.lab.plan().node(self.to);
        let address = if arguments.contains(&"-6") {
            to.ipv6.to_string()
        } else {
            to.ipv4.to_string()
        };
        command.args(arguments).arg(address);
        let output = command.output().unwrap();
        Pings::read(&String::from_utf8(output.stdout).unwrap())
    }

    pub fn forward(&self) -> ChannelCounters {
        self.counters(FORWARD)
    }

    pub fn counters(&self, of: ChannelId) -> ChannelCounters {
        let counters = self.lab.counters().unwrap();
        let (_, counters) = counters.into_iter().find(|(id, _)| *id == of).unwrap();
        counters
    }

    /// A UDP socket of `node`, connected to nothing.
    pub fn udp(&self, node: NodeId) -> UdpSocket {
        let address = self.lab.plan().node(node).ipv4;
        let bind = || UdpSocket::bind((address, 0));
        let socket = self.lab.namespace(node).run(bind).flatten().unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(300)))
            .unwrap();
        socket
    }

    pub fn change(&self, change: impl FnOnce(&mut Channel)) {
        let mut channel = self.lab.plan().topology.links[0].lanes[0].forward.clone();
        change(&mut channel);
        self.lab.set(FORWARD, &channel).unwrap();
    }

    /// What `tc` says of the root qdisc of `interface`, in the keeper's namespace or in `node`'s.
    pub fn qdisc(&self, node: Option<NodeId>, interface: &str, kind: &str) -> Value {
        let mut tc = match node {
            Some(node) => self.lab.command(node, "tc"),
            None => Command::new("tc"),
        };
        let output = tc
            .args(["-s", "-j", "qdisc", "show", "dev", interface])
            .output()
            .unwrap();
        let listed: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
        let found = listed.into_iter().find(|qdisc| qdisc["kind"] == kind);
        found.unwrap_or_else(|| panic!("no {kind} on {interface}"))
    }

    /// A TCP stream of some seconds; the rate that the receiver saw, in bit/s.
    pub fn iperf3(&self, arguments: &[&str], during: impl FnOnce()) -> f64 {
        let address = self.lab.plan().node(self.to).ipv4.to_string();
        let mut server = self.lab.command(self.to, "iperf3");
        let mut server = server
            .args(["-s", "-1", "--forceflush"])
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        wait_for_line(server.stdout.as_mut().unwrap(), "listening");
        let mut client = self.lab.command(self.from, "iperf3");
        let client = client
            .args(["-J", "-c", &address])
            .args(arguments)
            .stdout(std::process::Stdio::piped())
            .spawn();
        during();
        let output = client.unwrap().wait_with_output().unwrap();
        let _ = server.kill();
        server.wait().unwrap();
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let rate = report["end"]["sum_received"]["bits_per_second"].as_f64();
        rate.unwrap_or_else(|| panic!("{report}"))
    }
}

fn wait_for_line(stdout: &mut impl std::io::Read, text: &str) {
    use std::io::BufRead;
    let mut lines = std::io::BufReader::new(stdout).lines();
    assert!(
        lines.any(|line| line.unwrap().contains(text)),
        "the server ended"
    );
}

pub fn chance(percent: f64) -> Probability {
    Probability::new(percent / 100.0).unwrap()
}

pub fn nothing(_: &mut Channel) {}

/// tc prints microseconds and millionths.
#[track_caller]
pub fn close(value: &Value, expected: f64) {
    let value = value.as_f64().unwrap_or(f64::NAN);
    assert!(
        (value - expected).abs() <= 1e-6 + expected.abs() * 1e-9,
        "{value}, expected {expected}"
    );
}

/// Runs an experiment whose outcome lies outside a 99 % interval once in a hundred times; twice in a row is a failure.
pub fn hold_within_99_percent(mut experiment: impl FnMut() -> bool) {
    assert!(
        experiment() || experiment(),
        "outside the 99 % interval twice"
    );
}
