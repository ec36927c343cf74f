//! The netem engine, judged by programs that are not ours, inside a User-mode-Linux guest: few machines have netem, and
//! fewer let a test be root.
//!
//! Outside, this program boots a guest with itself in it; inside, it runs the tests.

#[path = "netem/captured.rs"]
mod captured;
#[path = "netem/compared.rs"]
mod compared;
#[path = "netem/disciplines.rs"]
mod disciplines;
#[path = "support/pcap.rs"]
mod pcap;
#[path = "support/pings.rs"]
mod pings;
mod support;
#[path = "support/uml.rs"]
mod uml;

use std::net::UdpSocket;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use longhaul_emulator::engine::{ChannelCounters, EngineChoice};
use longhaul_emulator::lab::{Lab, LabOptions};
use longhaul_emulator::plan::{ChannelId, NodeId};
use longhaul_topologies::Topology;
use longhaul_topologies::model::{
    Channel, Direction, FourState, Jitter, JitterDistribution, JitterShape, LaneState, LinkId,
    Loss, PacketOrder, QueueLimit, Spread,
};
use longhaul_topologies::units::{ByteSize, Probability};
use serde_json::Value;

use pings::{Pings, within_99_percent};
use support::{test, topology};

fn main() -> ExitCode {
    uml::init_if_guest();
    if uml::name().is_some() || std::env::args().any(|argument| argument == "--list") {
        return inside_the_guest();
    }
    for program in ["ping", "iperf3", "tc"] {
        if !installed(program) {
            println!("skipped: no {program} (apt install iputils-ping iperf3 iproute2)");
            return ExitCode::SUCCESS;
        }
    }
    if let Err(reason) = uml::kernel() {
        println!("skipped: {reason}");
        return ExitCode::SUCCESS;
    }
    let itself = std::env::current_exe().expect("a path to this program");
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let guest = uml::Guest {
        name: "netem",
        memory: "512M",
        modules: &[],
        timeout: Duration::from_secs(180),
    };
    match guest.boot(&itself, &arguments) {
        Ok(output) => {
            print!("{}", output.stdout);
            eprint!("{}", output.stderr);
            ExitCode::from(u8::try_from(output.code).unwrap_or(1))
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    folders
        .map(|folder| folder.join(program))
        .any(|file| file.is_file())
}

fn inside_the_guest() -> ExitCode {
    support::run(vec![
        test(
            "the_kernel_reads_back_what_was_asked",
            the_kernel_reads_back_what_was_asked,
        ),
        test(
            "a_round_trip_takes_both_delays",
            a_round_trip_takes_both_delays,
        ),
        test(
            "tcp_fills_the_rate_and_no_more",
            tcp_fills_the_rate_and_no_more,
        ),
        test("independent_loss_is_as_asked", independent_loss_is_as_asked),
        test(
            "gilbert_elliott_losses_come_in_bursts",
            gilbert_elliott_losses_come_in_bursts,
        ),
        test(
            "jitter_keeps_order_unless_told_otherwise",
            jitter_keeps_order_unless_told_otherwise,
        ),
        test("duplicates_arrive_twice", duplicates_arrive_twice),
        test(
            "a_queue_of_packets_holds_wire_packets",
            a_queue_of_packets_holds_wire_packets,
        ),
        test("a_live_channel_changes", a_live_channel_changes),
        test(
            "four_state_losses_are_as_the_chain_says",
            four_state_losses_are_as_the_chain_says,
        ),
        test(
            "a_lane_that_is_down_loses_what_comes_not_what_is_under_way",
            a_lane_that_is_down_loses_what_comes_not_what_is_under_way,
        ),
        test(
            "flows_leave_a_lane_that_is_down_and_come_back",
            flows_leave_a_lane_that_is_down_and_come_back,
        ),
        test(
            "a_symmetric_hash_keeps_both_directions_together",
            a_symmetric_hash_keeps_both_directions_together,
        ),
        test(
            "the_kernel_reads_back_every_discipline",
            disciplines::the_kernel_reads_back_every_discipline,
        ),
        test(
            "a_step_marks_from_its_threshold_on_and_drops_nothing",
            disciplines::a_step_marks_from_its_threshold_on_and_drops_nothing,
        ),
        test(
            "super_packets_are_marked_packet_by_packet",
            disciplines::super_packets_are_marked_packet_by_packet,
        ),
        test(
            "every_discipline_marks_or_drops_under_overload",
            disciplines::every_discipline_marks_or_drops_under_overload,
        ),
        test(
            "a_capture_holds_what_arrives_when_it_arrives",
            captured::a_capture_holds_what_arrives_when_it_arrives,
        ),
        test(
            "super_packets_are_captured_as_wire_packets",
            captured::super_packets_are_captured_as_wire_packets,
        ),
        test(
            "netem_and_the_relay_agree",
            compared::netem_and_the_relay_agree,
        ),
        test(
            "one_lab_after_another_leaves_nothing",
            one_lab_after_another_leaves_nothing,
        ),
    ])
}

/// Two sites of one host, one lane between them.
struct Pair {
    lab: Lab,
    from: NodeId,
    to: NodeId,
}

const FORWARD: ChannelId = ChannelId {
    link: LinkId(0),
    lane: 0,
    direction: Direction::Forward,
};

impl Pair {
    async fn up(forward: impl FnOnce(&mut Channel), reverse: impl FnOnce(&mut Channel)) -> Self {
        let mut topology = topology(&[1, 1], &[(0, 1, 1)], Duration::ZERO);
        forward(&mut topology.links[0].lanes[0].forward);
        reverse(&mut topology.links[0].lanes[0].reverse);
        Self::of(topology, EngineChoice::Netem).await
    }

    async fn of(topology: Topology, engine: EngineChoice) -> Self {
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
    fn ping(&self, arguments: &[&str]) -> Pings {
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

    fn forward(&self) -> ChannelCounters {
        self.counters(FORWARD)
    }

    fn counters(&self, of: ChannelId) -> ChannelCounters {
        let counters = self.lab.counters().unwrap();
        let (_, counters) = counters.into_iter().find(|(id, _)| *id == of).unwrap();
        counters
    }

    /// A UDP socket of `node`, connected to nothing.
    fn udp(&self, node: NodeId) -> UdpSocket {
        let address = self.lab.plan().node(node).ipv4;
        let bind = || UdpSocket::bind((address, 0));
        let socket = self.lab.namespace(node).run(bind).flatten().unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(300)))
            .unwrap();
        socket
    }

    fn change(&self, change: impl FnOnce(&mut Channel)) {
        let mut channel = self.lab.plan().topology.links[0].lanes[0].forward.clone();
        change(&mut channel);
        self.lab.set(FORWARD, &channel).unwrap();
    }

    /// What `tc` says of the root qdisc of `interface`, in the keeper's namespace or in `node`'s.
    fn qdisc(&self, node: Option<NodeId>, interface: &str, kind: &str) -> Value {
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
    fn iperf3(&self, arguments: &[&str], during: impl FnOnce()) -> f64 {
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

fn chance(percent: f64) -> Probability {
    Probability::new(percent / 100.0).unwrap()
}

fn nothing(_: &mut Channel) {}

async fn the_kernel_reads_back_what_was_asked() {
    let pair = Pair::up(
        |channel| {
            channel.rate = Some("100Mbit".parse().unwrap());
            channel.queue_limit = Some(QueueLimit::Bytes(ByteSize::from_bytes(500_000)));
            channel.delay = Duration::from_micros(40_123);
            channel.jitter = Some(Jitter {
                deviation: Duration::from_millis(2),
                shape: JitterShape::Distribution(JitterDistribution::Pareto),
                order: PacketOrder::Preserved,
            });
            channel.loss = Loss::GilbertElliott {
                to_bad: chance(1.0),
                to_good: chance(25.0),
                loss_in_bad: chance(50.0),
                loss_in_good: chance(0.1),
            };
            channel.duplication = chance(3.0);
            channel.corruption = chance(0.5);
        },
        nothing,
    )
    .await;
    let gateway = pair.lab.plan().lanes[0].a.gateway;
    let tbf = &pair.qdisc(Some(gateway), "l0.0", "tbf")["options"];
    assert_eq!(tbf["rate"], 12_500_000);
    // A frame and 2 ms; tc computes it back from ticks of 64 ns.
    let burst = tbf["burst"].as_u64().unwrap();
    assert!((26_510..=26_514).contains(&burst), "{burst}");
    let fifo = &pair.qdisc(Some(gateway), "l0.0", "bfifo")["options"];
    assert_eq!(fifo["limit"], 500_000);

    let netem = &pair.qdisc(None, "l0.0b", "netem")["options"];
    close(&netem["delay"]["delay"], 0.040_123);
    close(&netem["delay"]["jitter"], 0.002);
    let model = &netem["loss-gemodel"];
    for (field, chance) in [("p", 0.01), ("r", 0.25), ("1-h", 0.5), ("1-k", 0.001)] {
        close(&model[field], chance);
    }
    close(&netem["duplicate"]["duplicate"], 0.03);
    close(&netem["corrupt"]["corrupt"], 0.005);
    close(&netem["rate"]["rate"], 1e14);

    // What is not asked again is gone.
    pair.change(|channel| {
        channel.jitter = None;
        channel.loss = Loss::Independent(chance(0.25));
        channel.duplication = chance(0.0);
        channel.corruption = chance(0.0);
        channel.queue_limit = Some(QueueLimit::Packets(77));
    });
    let netem = &pair.qdisc(None, "l0.0b", "netem")["options"];
    close(&netem["loss-random"]["loss"], 0.0025);
    for gone in ["loss-gemodel", "duplicate", "corrupt", "rate"] {
        assert!(netem[gone].is_null(), "{netem}");
    }
    let fifo = &pair.qdisc(Some(gateway), "l0.0", "pfifo")["options"];
    assert_eq!(fifo["limit"], 77);
}

/// tc prints microseconds and millionths.
#[track_caller]
fn close(value: &Value, expected: f64) {
    let value = value.as_f64().unwrap_or(f64::NAN);
    assert!(
        (value - expected).abs() <= 1e-6 + expected.abs() * 1e-9,
        "{value}, expected {expected}"
    );
}

/// Runs an experiment whose outcome lies outside a 99 % interval once in a hundred times; twice in a row is a failure.
fn hold_within_99_percent(mut experiment: impl FnMut() -> bool) {
    assert!(
        experiment() || experiment(),
        "outside the 99 % interval twice"
    );
}

/// UML's timers are late by some tens of microseconds, and its one CPU runs all of both round trips.
async fn a_round_trip_takes_both_delays() {
    let pair = Pair::up(
        |channel| channel.delay = Duration::from_millis(40),
        |channel| channel.delay = Duration::from_millis(20),
    )
    .await;
    let pings = pair.ping(&["-c", "20", "-i", "0.01"]);
    assert_eq!(pings.lost(), 0);
    let median = pings.median_milliseconds();
    assert!((60.0..61.0).contains(&median), "{median} ms");
}

async fn tcp_fills_the_rate_and_no_more() {
    let slow = |channel: &mut Channel| {
        channel.rate = Some("50Mbit".parse().unwrap());
        channel.delay = Duration::from_millis(5);
        channel.queue_limit = Some(QueueLimit::Bytes(ByteSize::from_bytes(125_000)));
    };
    let pair = Pair::up(slow, slow).await;
    let rate = pair.iperf3(&["-t", "4", "-O", "1"], || ());
    // The guest has one CPU for all, and the machine may have others to serve; what it must not do is exceed the share of
    // 1514-byte frames that is data.
    let most = 50e6 * 1448.0 / 1514.0;
    assert!((0.5 * most..1.01 * most).contains(&rate), "{rate} bit/s");
    let counters = pair.forward();
    assert_eq!((counters.losses, counters.engine_drops), (Some(0), 0));
}

async fn independent_loss_is_as_asked() {
    let pair = Pair::up(
        |channel| channel.loss = Loss::Independent(chance(2.0)),
        nothing,
    )
    .await;
    hold_within_99_percent(|| {
        let before = pair.forward().losses.unwrap();
        let pings = pair.ping(&["-f", "-q", "-c", "15000"]);
        let counted = pair.forward().losses.unwrap() - before;
        // The gateways have a word of their own to say now and then (IPv6 neighbour discovery).
        assert!(
            (pings.lost()..=pings.lost() + 3).contains(&counted),
            "{counted}: {pings:?}"
        );
        within_99_percent(pings.lost(), pings.sent, 0.02, 1.0)
    });
}

async fn gilbert_elliott_losses_come_in_bursts() {
    let (to_bad, to_good) = (0.01, 0.25);
    let model = Loss::GilbertElliott {
        to_bad: chance(100.0 * to_bad),
        to_good: chance(100.0 * to_good),
        loss_in_bad: chance(100.0),
        loss_in_good: chance(0.0),
    };
    let pair = Pair::up(|channel| channel.loss = model, nothing).await;
    // A state's share of the packets, and by how much its persistence inflates the variance of a sum (1 + ρ) ÷ (1 − ρ).
    let share = to_bad / (to_bad + to_good);
    let persistence = 1.0 - to_bad - to_good;
    let inflation = (1.0 + persistence) / (1.0 - persistence);
    hold_within_99_percent(|| {
        let pings = pair.ping(&["-c", "5000", "-i", "0.0002"]);
        // Bursts are geometric with the mean 4: independent losses of that share would make bursts of 1.04.
        let burst = pings.mean_burst();
        assert!((2.5..6.0).contains(&burst), "bursts of {burst}");
        within_99_percent(pings.lost(), pings.sent, share, inflation)
    });
}

async fn jitter_keeps_order_unless_told_otherwise() {
    let jitter = |order| {
        move |channel: &mut Channel| {
            channel.delay = Duration::from_millis(20);
            let deviation = Duration::from_millis(4);
            channel.jitter = Some(Jitter {
                deviation,
                shape: JitterShape::Distribution(JitterDistribution::Normal),
                order,
            });
        }
    };
    let pair = Pair::up(jitter(PacketOrder::Preserved), nothing).await;
    let pings = pair.ping(&["-c", "500", "-i", "0.001"]);
    assert_eq!((pings.lost(), pings.overtaken()), (0, 0));

    pair.change(jitter(PacketOrder::ByDelay));
    let pings = pair.ping(&["-c", "500", "-i", "0.001"]);
    assert!(pings.overtaken() > 20, "{} overtaken", pings.overtaken());
    let (mean, deviation) = (pings.mean_milliseconds(), pings.deviation_milliseconds());
    // 500 draws: the mean's deviation is 0.18 ms, the deviation's 0.13 ms; the guest adds some of its own.
    assert!((19.2..22.0).contains(&mean), "{mean} ms");
    assert!((3.5..5.0).contains(&deviation), "{deviation} ms");
}

async fn duplicates_arrive_twice() {
    let pair = Pair::up(|channel| channel.duplication = chance(10.0), nothing).await;
    hold_within_99_percent(|| {
        let pings = pair.ping(&["-f", "-q", "-c", "3000"]);
        within_99_percent(pings.duplicates, pings.sent, 0.1, 1.0)
    });
}

async fn a_queue_of_packets_holds_wire_packets() {
    let pair = Pair::up(
        |channel| {
            channel.rate = Some("20Mbit".parse().unwrap());
            channel.delay = Duration::from_millis(5);
            channel.queue_limit = Some(QueueLimit::Packets(30));
        },
        nothing,
    )
    .await;
    let mut most = 0;
    pair.iperf3(&["-t", "2"], || {
        for _ in 0..100 {
            most = most.max(pair.forward().queue_packets);
            std::thread::sleep(Duration::from_millis(10));
        }
    });
    assert!((20..=30).contains(&most), "{most} packets queued");
    assert!(pair.forward().queue_drops > 0);
}

async fn a_live_channel_changes() {
    let pair = Pair::up(|channel| channel.rate = None, nothing).await;
    pair.change(|channel| {
        channel.delay = Duration::from_millis(30);
        channel.rate = Some("10Mbit".parse().unwrap());
        channel.queue_limit = Some(QueueLimit::Packets(100));
    });
    let median = pair.ping(&["-c", "9", "-i", "0.01"]).median_milliseconds();
    assert!((30.0..31.0).contains(&median), "{median} ms");
    pair.change(|channel| channel.loss = Loss::Independent(chance(100.0)));
    assert_eq!(pair.ping(&["-c", "5", "-i", "0.01", "-W", "0.2"]).lost(), 5);
    pair.change(nothing);
    assert_eq!(pair.ping(&["-c", "5", "-i", "0.01"]).lost(), 0);
    let losses = pair.forward().losses.unwrap();
    assert!((5..=8).contains(&losses), "{losses}, of which 5 pings");
}

async fn four_state_losses_are_as_the_chain_says() {
    let states = FourState {
        p13: chance(1.0),
        p31: chance(20.0),
        p32: chance(30.0),
        p23: chance(40.0),
        p14: chance(1.0),
    };
    let pair = Pair::up(|channel| channel.loss = Loss::FourState(states), nothing).await;
    // Bursts make the sum's variance larger than that of independent losses: by about (1 + ρ) ÷ (1 − ρ) with the slower of
    // the chain's two memories, ρ = 0.87.
    hold_within_99_percent(|| {
        let pings = pair.ping(&["-q", "-c", "4000", "-i", "0.0002"]);
        within_99_percent(pings.lost(), pings.sent, states.mean_loss(), 14.0)
    });
}

async fn a_lane_that_is_down_loses_what_comes_not_what_is_under_way() {
    let pair = Pair::up(
        |channel| {
            channel.delay = Duration::from_millis(200);
            channel.duplication = chance(50.0);
        },
        nothing,
    )
    .await;
    let (from, to) = (pair.udp(pair.from), pair.udp(pair.to));
    let address = to.local_addr().unwrap();
    from.send_to(b"under way", address).unwrap();
    let deadline = Instant::now() + Duration::from_secs(5);
    while pair.qdisc(None, "l0.0b", "netem")["qlen"] == 0 {
        assert!(Instant::now() < deadline, "nothing is under way");
    }
    let cut = |channel: &mut Channel| channel.state = LaneState::Down;
    pair.change(cut);
    from.send_to(b"lost", address).unwrap();
    let mut buffer = [0; 100];
    let length = to.recv(&mut buffer).unwrap();
    assert_eq!(&buffer[..length], b"under way");
    while let Ok(length) = to.recv(&mut buffer) {
        assert_eq!(&buffer[..length], b"under way", "a duplicate");
    }
    assert_eq!(pair.ping(&["-c", "5", "-i", "0.01", "-W", "0.3"]).lost(), 5);
    let counters = pair.forward();
    assert!((6..=9).contains(&counters.outage_drops), "{counters:?}");
    assert_eq!((counters.losses, counters.engine_drops), (Some(0), 0));

    pair.change(nothing);
    assert_eq!(pair.ping(&["-c", "5", "-i", "0.01"]).lost(), 0);
    assert_eq!(pair.forward().outage_drops, counters.outage_drops);
}

const LANES: [usize; 2] = [0, 1];

/// Two lanes that spread flows as `spread` says.
async fn two_lanes(spread: Spread) -> Pair {
    let mut topology = topology(&[1, 1], &[(0, 1, 2)], Duration::ZERO);
    topology.links[0].spread = spread;
    Pair::of(topology, EngineChoice::Netem).await
}

/// What each lane has delivered in `direction`.
fn delivered(pair: &Pair, direction: Direction) -> [u64; 2] {
    LANES.map(|lane| {
        pair.counters(ChannelId {
            lane,
            direction,
            ..FORWARD
        })
        .packets
    })
}

/// Sends from 40 sockets of one host to one of the other, and back; returns how many packets came through, and which of them
/// came back by the lane they had gone by.
fn forty_flows(pair: &Pair, timeout: Duration) -> (usize, usize) {
    let to = pair.udp(pair.to);
    to.set_read_timeout(Some(timeout)).unwrap();
    let address = to.local_addr().unwrap();
    let mut buffer = [0; 100];
    let (mut arrived, mut together) = (0, 0);
    let lane = |direction, before: [u64; 2]| {
        let after = delivered(pair, direction);
        LANES
            .into_iter()
            .max_by_key(|&lane| after[lane] - before[lane])
    };
    for _ in 0..40 {
        let from = pair.udp(pair.from);
        from.connect(address).unwrap();
        let there = delivered(pair, Direction::Forward);
        // More than the gateways have to say of their own.
        for _ in 0..5 {
            from.send(b"there").unwrap();
        }
        let mut sender = None;
        for _ in 0..5 {
            sender = to.recv_from(&mut buffer).ok().or(sender);
        }
        let Some((_, sender)) = sender else {
            continue;
        };
        arrived += 1;
        let back = delivered(pair, Direction::Reverse);
        for _ in 0..5 {
            to.send_to(b"back", sender).unwrap();
        }
        for _ in 0..5 {
            from.recv(&mut buffer).unwrap();
        }
        together += usize::from(lane(Direction::Forward, there) == lane(Direction::Reverse, back));
    }
    (arrived, together)
}

async fn flows_leave_a_lane_that_is_down_and_come_back() {
    let pair = two_lanes(Spread::FlowHash).await;
    let timeout = Duration::from_millis(300);
    let set = |state| {
        for direction in Direction::BOTH {
            let lane = &pair.lab.plan().topology.links[0].lanes[0];
            let mut channel = lane.channel(direction).clone();
            channel.state = state;
            let id = ChannelId {
                direction,
                ..FORWARD
            };
            pair.lab.set(id, &channel).unwrap();
        }
    };
    let used = || {
        let before = delivered(&pair, Direction::Forward);
        assert_eq!(forty_flows(&pair, timeout).0, 40);
        let after = delivered(&pair, Direction::Forward);
        LANES.map(|lane| after[lane] - before[lane])
    };
    let both = used();
    assert!(both.iter().all(|&packets| packets >= 25), "{both:?}");
    set(LaneState::Down);
    let one = used();
    assert!(one[0] == 0 && one[1] >= 200, "{one:?}");
    assert_eq!(pair.ping(&["-6", "-c", "3", "-i", "0.01"]).lost(), 0);
    set(LaneState::Up);
    let both = used();
    assert!(both.iter().all(|&packets| packets >= 25), "{both:?}");
}

async fn a_symmetric_hash_keeps_both_directions_together() {
    let pair = two_lanes(Spread::SymmetricFlowHash).await;
    let before = delivered(&pair, Direction::Forward);
    assert_eq!(forty_flows(&pair, Duration::from_secs(1)), (40, 40));
    let after = delivered(&pair, Direction::Forward);
    for lane in LANES {
        let packets = after[lane] - before[lane];
        assert!(packets >= 25, "{packets} on lane {lane}");
    }
}

async fn one_lab_after_another_leaves_nothing() {
    let interfaces = || -> Vec<String> {
        let listed = nix::net::if_::if_nameindex().unwrap();
        let names = listed.iter().map(|one| one.name().to_string_lossy());
        names.map(std::borrow::Cow::into_owned).collect()
    };
    let before = interfaces();
    for _ in 0..2 {
        let pair = Pair::up(
            |channel| {
                channel.rate = Some("10Mbit".parse().unwrap());
                channel.queue_limit = Some(QueueLimit::Packets(10));
            },
            nothing,
        )
        .await;
        assert_eq!(pair.ping(&["-c", "2", "-i", "0.01"]).lost(), 0);
        assert_eq!(interfaces().len(), before.len() + 2);
        pair.lab.down().await;
        assert_eq!(interfaces(), before);
    }
}
