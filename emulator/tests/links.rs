//! Probes, the fidelity measurement and the sampler on the links of a real lab.

mod support;

use std::net::UdpSocket;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use longhaul_emulator::engine::EngineChoice;
use longhaul_emulator::fidelity;
use longhaul_emulator::lab::{Lab, LabOptions};
use longhaul_emulator::plan::{HOST_INTERFACE, NodeId};
use longhaul_emulator::probe::{EcnField, ProbePath, Prober};
use longhaul_emulator::telemetry::Sampler;
use longhaul_topologies::Topology;
use longhaul_topologies::model::{Loss, QueueLimit};
use longhaul_topologies::units::{ByteSize, Probability, Rate};
use support::{eventually, test, topology};

fn main() -> ExitCode {
    support::run(vec![
        test(
            "an_idle_link_is_measured_as_it_is",
            an_idle_link_is_measured_as_it_is,
        ),
        test(
            "a_link_that_is_not_as_described_is_found",
            a_link_that_is_not_as_described_is_found,
        ),
        test("probes_tell_delay_and_loss", probes_tell_delay_and_loss),
        test(
            "the_sampler_sees_what_hosts_send",
            the_sampler_sees_what_hosts_send,
        ),
    ])
}

const RTT: Duration = Duration::from_millis(80);
/// Longest wait for anything, on a machine that does many other things.
const PATIENCE: Duration = Duration::from_secs(60);

/// Two sites of one host, a link of two lanes, 50 Mbit/s each way.
fn two_sites() -> Topology {
    let mut topology = topology(&[1, 1], &[(0, 1, 2)], RTT / 2);
    let link = &mut topology.links[0];
    let channels = link.lanes.iter_mut();
    for channel in channels.flat_map(|lane| [&mut lane.forward, &mut lane.reverse]) {
        channel.rate = Some(Rate::from_bits_per_second(50_000_000));
        channel.queue_limit = Some(QueueLimit::Bytes(ByteSize::from_bytes(500_000)));
    }
    topology
}

async fn up(topology: Topology) -> Lab {
    let options = LabOptions {
        engine: EngineChoice::Relay,
        seed: 1,
        ..LabOptions::default()
    };
    Lab::up(topology, &options).await.unwrap()
}

async fn an_idle_link_is_measured_as_it_is() {
    let lab = up(two_sites()).await;
    // What is judged here is the measurement, more loosely than a run is.
    eventually(|| {
        let measured = fidelity::measure(&lab, &AtomicBool::new(false)).unwrap();
        let mut delays = 0;
        for check in &measured.checks {
            let is_right = match check.quantity.as_str() {
                "one-way delay" => {
                    delays += 1;
                    (check.measured - 40_000.0).abs() < 2000.0
                }
                "rate" => (check.measured / 50e6 - 1.0).abs() < 0.1,
                _ => true,
            };
            if !is_right {
                return Err(format!("{check:?}"));
            }
        }
        match delays {
            4 => Ok(()),
            _ => Err(format!("two lanes, both ways: {measured:?}")),
        }
    });
    lab.down().await;
}

async fn a_link_that_is_not_as_described_is_found() {
    let topology = two_sites();
    let lab = up(topology.clone()).await;
    let (id, _) = lab.counters().unwrap()[0];
    let mut other = topology.links[0].lanes[0].channel(id.direction).clone();
    other.delay += Duration::from_millis(20);
    lab.set(id, &other).unwrap();
    eventually(|| {
        let measured = fidelity::measure(&lab, &AtomicBool::new(false)).unwrap();
        let mut delays = (measured.checks.iter()).filter(|check| check.quantity == "one-way delay");
        let off = delays.find(|check| !check.within);
        match off.is_some_and(|check| (check.measured - 60_000.0).abs() < 5000.0) {
            true => Ok(()),
            false => Err(format!("{measured:?}")),
        }
    });
    lab.down().await;
}

async fn probes_tell_delay_and_loss() {
    let mut topology = topology(&[1, 1], &[(0, 1, 1)], RTT / 2);
    topology.links[0].lanes[0].forward.loss = Loss::Independent(Probability::new(0.2).unwrap());
    let lab = up(topology).await;
    let hosts: Vec<NodeId> = lab.plan().hosts().collect();
    let path = |from: usize, to: usize| ProbePath {
        from: hosts[from],
        to: hosts[to],
    };
    let mut prober = Prober::start(
        &lab,
        &[path(0, 1), path(1, 0)],
        Duration::from_millis(2),
        EcnField::NotEct,
    )
    .unwrap();
    let mut samples = Vec::new();
    let deadline = Instant::now() + PATIENCE;
    while samples.len() < 600 && Instant::now() < deadline {
        samples.extend(prober.drain());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    samples.extend(prober.stop().unwrap());
    for path in [0, 1] {
        let mut delays: Vec<Duration> = samples
            .iter()
            .filter(|sample| sample.path == path)
            .filter_map(|sample| sample.delay)
            .collect();
        delays.sort();
        // Other work on the machine makes most of them late, and none early.
        let (least, median) = (delays[0], delays[delays.len() / 2]);
        println!("path {path}: median {median:?} of {}", delays.len());
        assert!(
            least >= RTT / 2 && least < RTT / 2 + Duration::from_millis(2),
            "{least:?}"
        );
    }
    let lossy: Vec<_> = samples.iter().filter(|sample| sample.path == 0).collect();
    let lost =
        lossy.iter().filter(|sample| sample.delay.is_none()).count() as f64 / lossy.len() as f64;
    // Six standard deviations of 300 probes.
    assert!((lost - 0.2).abs() < 0.14, "{lost}");
    assert!(
        samples
            .iter()
            .filter(|sample| sample.path == 1)
            .all(|sample| sample.delay.is_some())
    );
    lab.down().await;
}

async fn the_sampler_sees_what_hosts_send() {
    let lab = Arc::new(up(topology(&[1, 1], &[(0, 1, 1)], Duration::from_millis(1))).await);
    let hosts: Vec<NodeId> = lab.plan().hosts().collect();
    let mut sampler = Sampler::start(Arc::clone(&lab), Duration::from_millis(20)).unwrap();
    let to = (lab.plan().node(hosts[1]).ipv4, 9);
    let socket = lab
        .namespace(hosts[0])
        .run(|| UdpSocket::bind("0.0.0.0:0").unwrap())
        .unwrap();
    for _ in 0..100 {
        socket.send_to(&[0; 1000], to).unwrap();
    }
    let deadline = Instant::now() + PATIENCE;
    let mut readings = Vec::new();
    let seen = |readings: &[longhaul_emulator::telemetry::Reading]| {
        let Some(last) = readings.last() else {
            return (0, 0);
        };
        let channel = |reading: &longhaul_emulator::telemetry::Reading| {
            reading
                .channels
                .iter()
                .map(|(_, counters)| counters.bytes)
                .sum::<u64>()
        };
        (channel(last), last.hosts[0].1.sent_bytes)
    };
    while seen(&readings).0 < 100_000 && Instant::now() < deadline {
        readings.extend(sampler.drain());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    readings.extend(sampler.stop().unwrap());
    let (channel, host) = seen(&readings);
    assert!(
        channel >= 100 * 1042 && host >= 100 * 1042,
        "{HOST_INTERFACE}: {channel} bytes on the link, {host} from the host"
    );
    assert!(readings.windows(2).all(|pair| pair[0].at < pair[1].at));
    Arc::into_inner(lab).unwrap().down().await;
}
