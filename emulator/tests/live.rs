//! Links that change while a lab is up: as scheduled, and by hand; and how finely they can be read meanwhile.

#[macro_use]
mod support;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use longhaul_emulator::engine::EngineChoice;
use longhaul_emulator::lab::{Lab, LabOptions};
use longhaul_emulator::links::{LinkChange, Origin};
use longhaul_emulator::plan::NodeId;
use longhaul_emulator::probe::{EcnField, ProbePath, ProbeSample, Prober};
use longhaul_emulator::schedule::Playing;
use longhaul_emulator::telemetry::{Reading, Sampler};
use longhaul_topologies::adjust::{Adjustment, Named};
use longhaul_topologies::model::{Direction, LinkId, ScheduledChange, Topology};
use nix::sys::resource::{UsageWho, getrusage};
use support::{full_mesh, topology};

fn main() -> ExitCode {
    support::run(tests![
        a_scheduled_delay_is_seen_at_its_time,
        a_schedule_that_is_stopped_makes_no_more_changes,
        a_link_that_is_set_is_another_at_once_and_can_be_reset,
        a_wrong_setting_changes_nothing,
        links_can_be_read_every_millisecond,
    ])
}

/// Longest wait for anything, on a machine that does many other things.
const PATIENCE: Duration = Duration::from_secs(30);

const NEAR: Duration = Duration::from_millis(10);
const FAR: Duration = Duration::from_millis(40);

async fn up(topology: Topology) -> Arc<Lab> {
    let options = LabOptions {
        engine: EngineChoice::Relay,
        seed: 1,
        ..LabOptions::default()
    };
    Arc::new(Lab::up(topology, &options).await.unwrap())
}

async fn down(lab: Arc<Lab>) {
    let lab = Arc::into_inner(lab).expect("nobody else holds the lab");
    lab.down().await;
}

/// Two sites, near each other; both directions are to be far at each of `instants`, in turn with near.
fn moving(instants: &[Duration]) -> Topology {
    let mut topology = topology(&[1, 1], &[(0, 1, 1)], NEAR);
    let link = &mut topology.links[0];
    for (number, &at) in instants.iter().enumerate() {
        for direction in Direction::BOTH {
            let mut channel = link.lanes[0].channel(direction).clone();
            channel.delay = if number % 2 == 0 { FAR } else { NEAR };
            link.schedule.push(ScheduledChange {
                at,
                lane: 0,
                direction,
                channel,
            });
        }
    }
    topology
}

fn probe(lab: &Lab) -> Prober {
    let hosts: Vec<NodeId> = lab.plan().hosts().collect();
    let path = ProbePath {
        from: hosts[0],
        to: hosts[1],
    };
    Prober::start(lab, &[path], Duration::from_millis(2), EcnField::NotEct).unwrap()
}

fn adjustment(settings: &[(&str, &str)]) -> Adjustment {
    let own = |text: &str| text.to_owned();
    Adjustment {
        link: Named {
            from: own("s0"),
            to: own("s1"),
        },
        lane: None,
        direction: None,
        settings: (settings.iter())
            .map(|&(key, value)| (own(key), own(value)))
            .collect(),
    }
}

/// Polls until `condition` holds.
async fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The delays of the probes that were sent from `from` to `to`, each counted from the prober's start; sorted.
fn delays(samples: &[ProbeSample], from: Duration, to: Duration) -> Vec<Duration> {
    let sent = samples
        .iter()
        .filter(|sample| sample.sent >= from && sample.sent < to);
    let mut delays: Vec<Duration> = sent.filter_map(|sample| sample.delay).collect();
    delays.sort();
    delays
}

async fn a_scheduled_delay_is_seen_at_its_time() {
    let at = Duration::from_millis(400);
    let lab = up(moving(&[at])).await;
    let changes = lab.follow();
    let mut prober = probe(&lab);
    let started = prober.started();
    let began = Instant::now();
    let mut playing = Playing::start(Arc::clone(&lab), began).unwrap();
    let (mut made, mut samples) = (Vec::<LinkChange>::new(), Vec::new());
    wait_until("probes have seen both", || {
        made.extend(changes.try_iter());
        samples.extend(prober.drain());
        let Some(changed) = made.iter().map(|change| change.at).max() else {
            return false;
        };
        delays(&samples, changed - started, Duration::MAX).len() > 10
    })
    .await;
    playing.check().unwrap();
    samples.extend(prober.stop().unwrap());
    playing.stop().unwrap();

    made.extend(changes.try_iter());
    let changes = made;
    assert_eq!(changes.len(), 2, "{changes:?}");
    for change in &changes {
        assert_eq!(
            (change.origin, change.change.as_str()),
            (Origin::Scheduled, "delay 10ms → 40ms")
        );
        assert!(change.at >= began + at, "never early");
        assert_eq!(change.late, change.at - (began + at));
    }
    // The channel from the first site; what was sent before the schedule's instant was near, what was sent after the change was far.
    let changed = changes
        .iter()
        .find(|change| change.id.direction == Direction::Forward);
    let changed = changed.expect("one each way").at - started;
    let before = delays(&samples, Duration::ZERO, began + at - started);
    let after = delays(&samples, changed + Duration::from_millis(1), Duration::MAX);
    // The least of each: other work on the machine makes some late, and none early.
    assert!((NEAR..FAR).contains(&before[0]), "{:?} before", before[0]);
    assert!(after[0] >= FAR, "{:?} after", after[0]);
    assert_eq!(lab.topology_now().links[0].lanes[0].forward.delay, FAR);
    down(lab).await;
}

async fn a_schedule_that_is_stopped_makes_no_more_changes() {
    let lab = up(moving(&[Duration::ZERO, Duration::from_secs(3600)])).await;
    let changes = lab.follow();
    let playing = Playing::start(Arc::clone(&lab), Instant::now()).unwrap();
    wait_until("the first is made", || {
        lab.topology_now().links[0].lanes[0].reverse.delay == FAR
    })
    .await;
    let stopping = Instant::now();
    playing.stop().unwrap();
    assert!(stopping.elapsed() < PATIENCE, "an hour is not waited for");
    assert_eq!(changes.try_iter().count(), 2);
    down(lab).await;
}

async fn a_link_that_is_set_is_another_at_once_and_can_be_reset() {
    let lab = up(topology(&[1, 1], &[(0, 1, 1)], NEAR)).await;
    let changes = lab
        .adjust(&adjustment(&[
            ("delay", "40ms"),
            ("rate", "1Mbit"),
            ("queue", "100p"),
        ]))
        .unwrap();
    let words = "rate unlimited → 1Mbit, delay 10ms → 40ms, queue none → 100p";
    assert!(
        changes.len() == 2 && changes.iter().all(|change| change.change == words),
        "{changes:?}"
    );

    // Two hundred frames of 1042 bytes at 1 Mbit/s take 1.7 s; half of them do not fit into the queue.
    let hosts: Vec<NodeId> = lab.plan().hosts().collect();
    let to = (lab.plan().node(hosts[1]).ipv4, 9);
    let socket = lab
        .namespace(hosts[0])
        .run(|| std::net::UdpSocket::bind("0.0.0.0:0").unwrap())
        .unwrap();
    let sending = Instant::now();
    for _ in 0..200 {
        socket.send_to(&[0; 1000], to).unwrap();
    }
    let forward = || {
        let counters = lab.counters().unwrap();
        let (_, counters) = counters
            .into_iter()
            .find(|(id, _)| id.direction == Direction::Forward)
            .unwrap();
        counters
    };
    wait_until("all are carried or dropped", || {
        forward().packets + forward().queue_drops >= 200
    })
    .await;
    assert!(forward().queue_drops > 50, "{:?}", forward());
    // At least 90 frames one after another, and the way.
    assert!(
        sending.elapsed() > Duration::from_millis(90 * 8),
        "{:?}",
        sending.elapsed()
    );

    lab.reset().unwrap();
    assert_eq!(lab.topology_now(), lab.plan().topology);
    let mut prober = probe(&lab);
    wait_until("it is near again", || {
        let delays = delays(&prober.drain(), Duration::ZERO, Duration::MAX);
        delays
            .first()
            .is_some_and(|least| (NEAR..FAR).contains(least))
    })
    .await;
    prober.stop().unwrap();
    down(lab).await;
}

async fn a_wrong_setting_changes_nothing() {
    let lab = up(topology(&[1, 1], &[(0, 1, 1)], NEAR)).await;
    let changes = lab.follow();
    let refused = lab
        .adjust(&adjustment(&[
            ("delay", "40ms"),
            ("jitter", "60 ms to 80 ms"),
        ]))
        .unwrap_err();
    assert!(
        refused
            .to_string()
            .starts_with("test with jitter=60 ms to 80 ms: "),
        "{refused}"
    );
    assert_eq!(lab.topology_now(), lab.plan().topology);
    assert_eq!(changes.try_iter().count(), 0);
    down(lab).await;
}

/// Also says what it costs: the sampler, and the relay that answers it.
async fn links_can_be_read_every_millisecond() {
    const PERIOD: Duration = Duration::from_millis(1);
    const ENOUGH: usize = 250;
    // Five sites in a full mesh have ten links.
    for sites in [2, 5] {
        let lab = up(full_mesh(sites, 1, NEAR)).await;
        let before = cpu_time();
        let began = Instant::now();
        let mut sampler = Sampler::start(Arc::clone(&lab), PERIOD).unwrap();
        let mut readings = Vec::new();
        wait_until("there are enough readings", || {
            readings.extend(sampler.drain());
            readings.len() >= ENOUGH
        })
        .await;
        readings.extend(sampler.stop().unwrap());
        let (took, used) = (began.elapsed(), cpu_time() - before);
        let due = took.as_micros() / PERIOD.as_micros();
        println!(
            "{} channels: {} of {due} readings; {:.1} % of a core",
            readings[0].channels.len(),
            readings.len(),
            used.as_secs_f64() / took.as_secs_f64() * 1e2
        );
        // A machine that is busy with other tests misses most, but not everywhere.
        let apart = readings.windows(2).map(|pair| pair[1].at - pair[0].at);
        let mut apart: Vec<Duration> = apart.collect();
        apart.sort();
        let tenth = apart[apart.len() / 10];
        assert!(tenth < 2 * PERIOD, "{tenth:?} apart in the best tenth");
        let with_hosts: Vec<&Reading> = readings
            .iter()
            .filter(|reading| !reading.hosts.is_empty())
            .collect();
        assert!(with_hosts.len() as u128 <= due / 10 + 2 && with_hosts.len() > 2);
        let ends = [readings.first(), readings.last()];
        assert!(
            ends.into_iter()
                .flatten()
                .all(|reading| reading.hosts.len() == sites)
        );
        assert!(readings.windows(2).all(|pair| pair[0].at < pair[1].at));
        assert_eq!(readings[0].channels[0].0.link, LinkId(0));
        down(lab).await;
    }
}

/// What this process has used.
fn cpu_time() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_SELF).unwrap();
    [usage.user_time(), usage.system_time()]
        .iter()
        .map(|time| Duration::from_micros((time.tv_sec() * 1_000_000 + time.tv_usec()) as u64))
        .sum()
}
