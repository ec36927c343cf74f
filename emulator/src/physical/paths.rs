//! The ways between sites, measured and held against what the inventory says of them.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use longhaul_topologies::inventory::Setting;
use longhaul_topologies::model::{Direction, LinkId};

use super::error::PhysicalError;
use super::lab::PhysicalLab;
use super::protocol::{Blast, Reply, Request};
use super::round::Round;
use crate::fidelity::afar::{Pace, Told, Way, round_trip};
use crate::fidelity::{Expected, Measured, Measurement, Quantity, Shaper};
use crate::plan::ChannelId;
use crate::probe::EcnField;

/// How long probes run, and how often one is sent.
const PROBING: Duration = Duration::from_millis(1500);
const INTERVAL: Duration = Duration::from_millis(4);
/// How often a train that is off is sent: other traffic or a busy machine spoils one, a way that carries something else spoils all.
const ATTEMPTS: usize = 3;
/// A train that is off by no more needs no second one.
const CLEAR: f64 = 0.03;

/// What was found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) measured: Measured,
    /// The delays of ways that nothing is said of.
    pub(super) delays: Vec<(ChannelId, Duration)>,
}

/// One way that is measured.
#[derive(Debug)]
struct Subject {
    id: ChannelId,
    from: usize,
    to: usize,
    expected: Expected,
}

pub(super) fn measure(lab: &PhysicalLab) -> Result<Found, PhysicalError> {
    let subjects = subjects(lab);
    let ends: Vec<_> = subjects.iter().map(|way| (way.from, way.to)).collect();
    let mut round = Round::start(lab, &ends, INTERVAL, EcnField::NotEct)?;
    let mut samples = vec![Vec::new(); subjects.len()];
    thread::sleep(PROBING);
    round.stop(lab)?;
    let lasted = round.started.elapsed();
    lab.compare_clocks()?;
    round.collect(lab)?;
    let deadline = Instant::now() + round.grace();
    while round.is_waiting() && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(5));
        round.collect(lab)?;
    }
    for sample in round.drain(Duration::ZERO) {
        samples[sample.path].push(sample);
    }
    let mut told = Vec::new();
    for (number, (subject, samples)) in subjects.iter().zip(samples).enumerate() {
        let way = Way {
            expected: subject.expected.clone(),
            address: lab.probed(subject.to).ip(),
            interval: round.interval,
            lasted,
            clocks: lab.clocks_apart(subject.from, subject.to),
            samples,
            train: train(lab, &mut round, number, subject, subjects.len())?,
        };
        told.push(way.judge(subjects.len()));
    }
    Ok(found(&subjects, &told))
}

/// Both ways of every link, between the first hosts of its sites.
fn subjects(lab: &PhysicalLab) -> Vec<Subject> {
    let plan = lab.plan();
    let mut subjects = Vec::new();
    for (number, link) in plan.topology.links.iter().enumerate() {
        for direction in Direction::BOTH {
            let id = ChannelId {
                link: LinkId(number),
                lane: 0,
                direction,
            };
            let [from, to] = link.ends(direction).map(|site| lab.first_of(site));
            subjects.push(Subject {
                id,
                from,
                to,
                expected: Expected {
                    name: plan.channel_name(id),
                    channel: link.channel(direction).clone(),
                    judged: judged(lab.inventory().described(id.link, direction)),
                    mtu: plan.topology.mtu,
                    // The port of a router, as far as anybody knows.
                    shaper: Shaper::Line,
                },
            });
        }
    }
    subjects
}

/// What a description is held against.
fn judged(described: &BTreeSet<Setting>) -> BTreeSet<Quantity> {
    let quantities = described.iter().flat_map(|setting| match setting {
        Setting::Delay => &[Quantity::Delay][..],
        Setting::Jitter => &[Quantity::Jitter, Quantity::Reordered],
        Setting::Loss => &[Quantity::Loss],
        Setting::Rate => &[Quantity::Rate],
    });
    quantities.copied().collect()
}

/// Sends a train over the way `number`, and again where it was off; the best of them.
fn train(
    lab: &PhysicalLab,
    round: &mut Round,
    number: usize,
    subject: &Subject,
    ways: usize,
) -> Result<Result<Pace, String>, PhysicalError> {
    let to = lab.probed(subject.to);
    let mut best: Option<Pace> = None;
    for _ in 0..ATTEMPTS {
        let mut pace = match Pace::plan(&subject.expected, to.ip(), ways) {
            Ok(pace) => pace,
            Err(reason) => return Ok(Err(reason)),
        };
        let blast = Request::Blast(Blast {
            target: (number as u16, to),
            nonce: round.nonce(),
            payload: pace.payload,
            gap_ns: pace.gap.as_nanos() as u64,
            length_ns: pace.length.as_nanos() as u64,
            waiting: pace.waiting,
        });
        round.trains.clear();
        let sent = match lab.ask(subject.from, "send a packet train", &blast, pace.length)? {
            Reply::Sent { at_ns } => at_ns,
            other => return Err(lab.foreign(subject.from, &other)),
        };
        thread::sleep(pace.transit);
        round.collect(lab)?;
        let arrivals = round
            .trains
            .iter()
            .filter(|(path, ..)| usize::from(*path) == number);
        pace.seen(
            sent.into_iter().map(Duration::from_nanos).collect(),
            arrivals.map(|&(_, number, at)| (number as usize, Duration::from_nanos(at))),
        );
        if best.as_ref().is_none_or(|best| pace.error() < best.error()) {
            best = Some(pace);
        }
        if best.as_ref().is_some_and(|best| best.error() < CLEAR) {
            break;
        }
    }
    Ok(best.ok_or_else(|| "no train was sent".to_owned()))
}

/// Checks of what was said; words for what was measured besides.
fn found(subjects: &[Subject], told: &[Told]) -> Found {
    let mut measured = Measured::default();
    let mut delays = Vec::new();
    for (subject, told) in subjects.iter().zip(told) {
        let checks = told.measurements.iter().filter_map(Measurement::check);
        measured.checks.extend(checks);
        measured.skipped.extend(told.skipped.iter().cloned());
        let unasked = told.measurements.iter().filter(|one| one.asked.is_none());
        measured.told.extend(unasked.map(Measurement::to_string));
        if subject.expected.judged.is_empty() {
            delays.extend(told.delay.map(|delay| (subject.id, delay)));
        }
    }
    // The two ways of a link follow each other.
    let pairs = told.as_chunks::<2>().0.iter();
    measured
        .checks
        .extend(pairs.filter_map(|[there, back]| round_trip(there, back)));
    Found { measured, delays }
}
