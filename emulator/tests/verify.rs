//! The full measurement of links on real namespaces: it holds for what is as described, and finds each quantity that is not.

mod support;

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use longhaul_emulator::engine::EngineChoice;
use longhaul_emulator::fidelity::{self, Quantity, Subject, Verification};
use longhaul_emulator::lab::{Lab, LabOptions};
use longhaul_topologies::model::{
    Channel, Jitter, JitterDistribution, JitterShape, Loss, PacketOrder, QueueLimit, RateStep,
    RateTrace,
};
use longhaul_topologies::units::{ByteSize, Probability, Rate};
use support::{eventually, test, topology};

fn main() -> ExitCode {
    support::run(vec![
        test(
            "a_lab_is_measured_as_described_and_a_wrong_description_is_found",
            a_lab_is_measured_as_described_and_a_wrong_description_is_found,
        ),
        test(
            "a_link_that_lets_nothing_pass_for_a_while_is_measured_as_described",
            a_link_that_lets_nothing_pass_for_a_while_is_measured_as_described,
        ),
        test(
            "a_stopped_measurement_says_nothing",
            a_stopped_measurement_says_nothing,
        ),
    ])
}

/// Longest that this machine is given to hold still for a measurement.
const DEADLINE: Duration = Duration::from_secs(60);
const PROBING: Duration = Duration::from_millis(1500);

fn share(share: f64) -> Probability {
    Probability::new(share).unwrap()
}

/// 40 ± 5 ms, 20 Mbit/s, and a little of everything.
fn described() -> Channel {
    Channel {
        rate: Some(Rate::from_bits_per_second(20_000_000)),
        queue_limit: Some(QueueLimit::Bytes(ByteSize::from_bytes(150_000))),
        jitter: Some(Jitter {
            deviation: Duration::from_millis(5),
            shape: JitterShape::Distribution(JitterDistribution::Uniform),
            order: PacketOrder::Preserved,
        }),
        loss: Loss::Independent(share(0.02)),
        duplication: share(0.03),
        corruption: share(0.03),
        ..Channel::of_delay(Duration::from_millis(40))
    }
}

async fn up() -> Lab {
    of(described()).await
}

/// Two sites, with such a link from the first to the second.
async fn of(forward: Channel) -> Lab {
    let mut topology = topology(&[1, 1], &[(0, 1, 1)], Duration::from_millis(5));
    topology.links[0].lanes[0].forward = forward;
    let options = LabOptions {
        engine: EngineChoice::Relay,
        seed: 1,
        ..LabOptions::default()
    };
    Lab::up(topology, &options).await.unwrap()
}

fn verify(subjects: &[Subject<'_>]) -> Verification {
    let stop = AtomicBool::new(false);
    let found = fidelity::verify(subjects, PROBING, &stop, |_| {});
    found.unwrap().expect("nobody stopped it")
}

/// The quantities of the first channel that were held against something; and those that were off.
fn verdicts(found: &Verification) -> (BTreeSet<Quantity>, BTreeSet<Quantity>) {
    let all = || found.channels[0].measurements.iter();
    let asked = all().filter(|one| one.asked.is_some());
    let off = all().filter(|one| one.is_off());
    (
        asked.map(|one| one.quantity).collect(),
        off.map(|one| one.quantity).collect(),
    )
}

async fn a_lab_is_measured_as_described_and_a_wrong_description_is_found() {
    let lab = up().await;
    let subjects = Subject::of_lab(&lab);
    let all: BTreeSet<Quantity> = [
        Quantity::Delay,
        Quantity::Jitter,
        Quantity::Shape,
        Quantity::Reordered,
        Quantity::Loss,
        Quantity::Duplication,
        Quantity::Corruption,
        Quantity::Rate,
        Quantity::Queue,
    ]
    .into();
    // Other work on this machine may spoil a figure; a fault of the measurement would spoil it every time.
    let deadline = Instant::now() + DEADLINE;
    let mut never = all.clone();
    while !never.is_empty() {
        let found = verify(&subjects);
        let (asked, off) = verdicts(&found);
        println!("off: {off:?}, not measured: {:?}", found.skipped);
        never.retain(|quantity| !asked.contains(quantity) || off.contains(quantity));
        let skipped = found
            .skipped
            .iter()
            .any(|reason| reason.contains("the sender reached"));
        if Instant::now() > deadline && skipped {
            println!("skipped: this machine is too busy to send a train");
            break;
        }
        assert!(
            never.is_empty() || Instant::now() < deadline,
            "never as described: {never:?}"
        );
    }

    // What is not as it says, each quantity once; where a busy machine sends few probes, they tell too little.
    let mut wrong = Vec::new();
    let mut describe = |quantities: &[Quantity], change: &dyn Fn(&mut Channel)| {
        let mut subject = subjects[0].clone();
        change(&mut subject.expected.channel);
        subject.expected.judged = quantities.iter().copied().collect();
        wrong.push(subject);
    };
    describe(&[Quantity::Jitter], &|channel| {
        deviate(channel, Duration::from_millis(15));
    });
    describe(&[Quantity::Shape], &|channel| {
        if let Some(jitter) = &mut channel.jitter {
            jitter.shape = JitterShape::Distribution(JitterDistribution::Pareto);
        }
    });
    let apart = [
        Quantity::Delay,
        Quantity::Loss,
        Quantity::Duplication,
        Quantity::Corruption,
    ];
    describe(&apart, &|channel| {
        channel.delay = Duration::from_millis(80);
        channel.loss = Loss::Independent(share(0.2));
        channel.duplication = Probability::ZERO;
        channel.corruption = share(0.2);
    });
    eventually(|| {
        let found = verify(&wrong);
        for (subject, channel) in wrong.iter().zip(&found.channels) {
            let off = channel.measurements.iter().filter(|one| one.is_off());
            let off: BTreeSet<Quantity> = off.map(|one| one.quantity).collect();
            if off != subject.expected.judged {
                return Err(format!("{:?}: {:?}", channel.measurements, found.skipped));
            }
        }
        Ok(())
    });
    // These need a train each, which a busy machine may not send: then they are not measured, and say so.
    let mut slow = subjects[0].clone();
    slow.expected.channel.rate = Some(Rate::from_bits_per_second(15_000_000));
    slow.expected.judged = [Quantity::Rate].into();
    let mut shallow = subjects[0].clone();
    shallow.expected.channel.queue_limit = Some(QueueLimit::Bytes(ByteSize::from_bytes(75_000)));
    shallow.expected.judged = [Quantity::Queue].into();
    for subject in [slow, shallow] {
        let found = verify(std::slice::from_ref(&subject));
        let (asked, off) = verdicts(&found);
        assert!(
            off == subject.expected.judged || asked.is_empty(),
            "{found:?}"
        );
        if asked.is_empty() {
            println!("skipped: {:?}", found.skipped);
        }
    }
    lab.down().await;
}

fn deviate(channel: &mut Channel, deviation: Duration) {
    if let Some(jitter) = &mut channel.jitter {
        jitter.deviation = deviation;
    }
}

async fn a_link_that_lets_nothing_pass_for_a_while_is_measured_as_described() {
    let step = |at, bits_per_second| RateStep {
        at: Duration::from_millis(at),
        bits_per_second,
    };
    let steps = vec![step(0, 20_000_000), step(100, 0)];
    let trace = RateTrace::new(steps, Duration::from_millis(200)).unwrap();
    let gaps = Channel {
        rate: trace.mean(),
        rate_trace: Some(trace),
        queue_limit: Some(QueueLimit::Bytes(ByteSize::from_bytes(150_000))),
        ..Channel::of_delay(Duration::from_millis(20))
    };
    let lab = of(gaps).await;
    let subjects = Subject::of_lab(&lab);
    let wanted = [Quantity::Delay, Quantity::Jitter, Quantity::Loss];
    let deadline = Instant::now() + DEADLINE;
    loop {
        let found = verify(&subjects);
        let (asked, off) = verdicts(&found);
        println!("off: {off:?}, not measured: {:?}", found.skipped);
        if wanted
            .iter()
            .all(|one| asked.contains(one) && !off.contains(one))
        {
            break;
        }
        assert!(Instant::now() < deadline, "{:?}", found.channels[0]);
    }
}

async fn a_stopped_measurement_says_nothing() {
    let lab = up().await;
    let subjects = Subject::of_lab(&lab);
    let begun = Instant::now();
    let found = fidelity::verify(
        &subjects,
        Duration::from_secs(60),
        &AtomicBool::new(true),
        |_| {},
    );
    assert_eq!(found.unwrap(), None);
    assert!(begun.elapsed() < Duration::from_secs(20), "it went on");
    lab.down().await;
}
