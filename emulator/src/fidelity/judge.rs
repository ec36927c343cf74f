//! From what was observed to what was off. Pure.

use std::time::Duration;

use longhaul_topologies::model::{Channel, Loss, PacketOrder};
use longhaul_topologies::units::ByteSize;

use super::train::Train;
use super::{Fidelity, FidelityCheck, ideal};
use crate::engine::{LATE, Lateness};

/// Ethernet, IPv4 and UDP headers: what a datagram is longer on the wire than its payload.
pub(super) const UDP_HEADERS: u64 = 14 + 20 + 8;
/// A probe's frame: its payload is a number of 8 bytes.
const PROBE_FRAME: u64 = UDP_HEADERS + 8;

/// What a median one-way delay may be off on a machine that does other things: wake-ups of the engine's thread (in the median
/// 20 µs on an idle and 80 µs on a busy machine, as measured) and the veth hops on the way.
const DELAY_NOISE_US: f64 = 250.0;
/// What it may be off in proportion: below 1 % a bandwidth-delay product, and so a transport, does not notice.
const DELAY_SHARE: f64 = 0.01;
/// The half-width that wake-ups alone give the middle two thirds of the delays.
const JITTER_NOISE_US: f64 = 250.0;
/// One standard deviation below and above the mean of a normal distribution.
const LOWER: f64 = 0.158_66;
const UPPER: f64 = 0.841_34;
/// A distribution's width from a few hundred samples that are not independent (order-preserving jitter makes them
/// follow each other).
const JITTER_SHARE: f64 = 0.3;
/// A rate over tens of milliseconds, released in bursts of up to 250 µs by a thread that may wake a millisecond late.
const RATE_SHARE: f64 = 0.05;
/// The chance that a faithful lab fails on its loss, all channels together.
const LOSS_FALSE_ALARM: f64 = 0.01;
/// Fewer samples than this say nothing about a median or a width.
const FEWEST: usize = 10;

/// More than a hundredth of the packets out of bound ([`LATE`]) is too many.
const LATENESS_P99_US: f64 = LATE.as_micros() as f64;
/// A median lateness is a delay that the description does not have.
const LATENESS_P50_US: f64 = 500.0;
/// Above it the ranks, the stack and the engine wait for a CPU, and it bounds the figures in place of the links.
const CPU_SATURATED: f64 = 0.97;

/// What was seen of one channel.
#[derive(Debug)]
pub(super) struct Observed {
    /// Between two probes.
    pub(super) interval: Duration,
    /// How long each probe took; `None` if it did not arrive.
    pub(super) delays: Vec<Option<Duration>>,
    /// How many arrived after one that was sent later.
    pub(super) overtaken: usize,
    /// The packet train, or why there was none.
    pub(super) train: Result<Train, String>,
}

/// The checks of one channel, and those that could not be made.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) checks: Vec<FidelityCheck>,
    pub(super) skipped: Vec<String>,
}

/// Judges what was seen of `channel`, one of `channels`.
pub(super) fn checks(name: &str, channel: &Channel, observed: &Observed, channels: usize) -> Found {
    let mut found = Found::default();
    let check =
        |quantity: &str, unit: &str, asked: f64, measured: f64, bound: f64, samples: usize| {
            FidelityCheck {
                channel: name.to_owned(),
                quantity: quantity.to_owned(),
                unit: unit.to_owned(),
                asked,
                measured,
                bound,
                within: (measured - asked).abs() <= bound,
                samples: samples as u64,
            }
        };
    let delays: Vec<f64> = observed
        .delays
        .iter()
        .filter_map(|delay| delay.map(micros))
        .collect();
    if delays.len() < FEWEST {
        let all = observed.delays.len();
        found.skipped.push(format!(
            "{name}: delay and jitter, as {} of {all} probes arrived",
            delays.len()
        ));
    } else {
        let (asked, measured, bound) = delay(channel, &delays, observed.interval);
        found.checks.push(check(
            "one-way delay",
            "us",
            asked,
            measured,
            bound,
            delays.len(),
        ));
        let (asked, measured, bound) = jitter(channel, &delays, observed.interval);
        found
            .checks
            .push(check("jitter", "us", asked, measured, bound, delays.len()));
    }
    if channel
        .jitter
        .as_ref()
        .is_none_or(|jitter| jitter.order == PacketOrder::Preserved)
    {
        found.checks.push(check(
            "reordered",
            "packets",
            0.0,
            observed.overtaken as f64,
            0.0,
            delays.len(),
        ));
    }
    if !observed.delays.is_empty() {
        found.checks.push(loss(name, channel, observed, channels));
    }
    match (&observed.train, channel.rate) {
        (Ok(train), Some(rate)) => match train.rate() {
            Ok(measured) => {
                let asked = rate.bits_per_second() as f64;
                // The bottleneck stands before the loss: what is lost had its time on the wire.
                let measured = measured / (1.0 - mean_loss(&channel.loss));
                let blur = channel.jitter.as_ref().map_or(0.0, |jitter| {
                    jitter.deviation.as_secs_f64() / train.duration().as_secs_f64()
                });
                let bound = asked * (RATE_SHARE + 2.0 * blur);
                found.checks.push(check(
                    "rate",
                    "bit/s",
                    asked,
                    measured,
                    bound,
                    train.arrivals.len(),
                ));
            }
            Err(reason) => found.skipped.push(format!("{name}: rate, as {reason}")),
        },
        (Err(reason), _) => found.skipped.push(format!("{name}: rate, as {reason}")),
        (Ok(_), None) => {}
    }
    found
}

/// Asked, measured and bound of the one-way delay: the median, or, where jitter is asked for, the mean, which is what a
/// description's `delay` is for a skewed distribution.
fn delay(channel: &Channel, delays: &[f64], interval: Duration) -> (f64, f64, f64) {
    let own = channel.rate.map_or(Duration::ZERO, |rate| {
        rate.time_for(ByteSize::from_bytes(PROBE_FRAME))
    });
    let asked = micros(channel.delay + own);
    let plain = DELAY_NOISE_US.max(DELAY_SHARE * asked);
    let Some(jitter) = &channel.jitter else {
        return (asked, quantile(delays, 0.5), plain);
    };
    let mean = delays.iter().sum::<f64>() / delays.len() as f64;
    let deviation = micros(jitter.deviation);
    let chance = 3.0 * deviation / (delays.len() as f64).sqrt();
    // A packet that may not overtake waits for the one before it.
    let variations = ideal::variations(jitter, interval);
    let waiting = variations.iter().sum::<f64>() / variations.len() as f64 * deviation;
    (asked, mean, plain + chance + waiting.max(0.0))
}

/// Asked, measured and bound of the jitter, as half the width of the middle 68.27 % of the delays: one standard deviation
/// if they are normal, and, unlike the standard deviation, not decided by one late wake-up.
fn jitter(channel: &Channel, delays: &[f64], interval: Duration) -> (f64, f64, f64) {
    let width = |delays: &[f64]| (quantile(delays, UPPER) - quantile(delays, LOWER)) / 2.0;
    let asked = channel.jitter.as_ref().map_or(0.0, |jitter| {
        micros(jitter.deviation) * width(&ideal::variations(jitter, interval))
    });
    (asked, width(delays), JITTER_NOISE_US + JITTER_SHARE * asked)
}

/// The loss check: lost probes within the interval that `channel` gives them, which the sample's size decides.
fn loss(name: &str, channel: &Channel, observed: &Observed, channels: usize) -> FidelityCheck {
    let sent = observed.delays.len() as u64;
    let lost = observed
        .delays
        .iter()
        .filter(|delay| delay.is_none())
        .count() as u64;
    let asked = mean_loss(&channel.loss);
    // Losses that come in bursts say less than as many that do not.
    let effective = ((sent as f64 * independence(&channel.loss)).round() as u64).max(1);
    let tail = LOSS_FALSE_ALARM / channels.max(1) as f64 / 2.0;
    let (least, most) = binomial_interval(effective, asked, tail);
    let share = |count: u64| count as f64 / effective as f64;
    let measured = lost as f64 / sent as f64;
    // Rounded outward by half a loss: a count stands for all shares that round to it.
    let half = if asked == 0.0 {
        0.0
    } else {
        0.5 / effective as f64
    };
    let bound = (share(most) - asked).max(asked - share(least)) + half;
    FidelityCheck {
        channel: name.to_owned(),
        quantity: "loss".to_owned(),
        unit: "%".to_owned(),
        asked: asked * 100.0,
        measured: measured * 100.0,
        bound: bound * 100.0,
        within: (share(least) - half..=share(most) + half).contains(&measured),
        samples: sent,
    }
}

/// The share of packets lost in the long run.
fn mean_loss(loss: &Loss) -> f64 {
    match loss {
        Loss::None => 0.0,
        Loss::Independent(probability) => probability.fraction(),
        Loss::GilbertElliott {
            to_bad,
            to_good,
            loss_in_bad,
            loss_in_good,
        } => {
            let (bad, good) = (to_bad.fraction(), to_good.fraction());
            let in_bad = if bad + good > 0.0 {
                bad / (bad + good)
            } else {
                0.0
            };
            in_bad * loss_in_bad.fraction() + (1.0 - in_bad) * loss_in_good.fraction()
        }
        Loss::FourState(states) => states.mean_loss(),
        // Of the run as a whole.
        Loss::Packets(_) => 0.0,
        Loss::Trace(fates) => {
            fates.iter().filter(|&&lost| lost).count() as f64 / fates.len() as f64
        }
    }
}

/// How many independent packets one packet is worth for estimating the mean: (1 − r) ÷ (1 + r), where r is the
/// correlation of the model's state from packet to packet.
fn independence(loss: &Loss) -> f64 {
    match loss {
        Loss::None | Loss::Independent(_) => 1.0,
        Loss::GilbertElliott {
            to_bad, to_good, ..
        } => {
            let correlation = (1.0 - to_bad.fraction() - to_good.fraction()).clamp(0.0, 0.999);
            (1.0 - correlation) / (1.0 + correlation)
        }
        // As the two-state chain between the burst and the rest.
        Loss::FourState(states) => {
            let correlation =
                (1.0 - states.p13.fraction() - states.p31.fraction()).clamp(0.0, 0.999);
            (1.0 - correlation) / (1.0 + correlation)
        }
        Loss::Packets(_) | Loss::Trace(_) => 1.0,
    }
}

/// The least and the greatest count that each have at least `tail` of a binomial distribution on their far side.
fn binomial_interval(trials: u64, probability: f64, tail: f64) -> (u64, u64) {
    if probability <= 0.0 {
        return (0, 0);
    }
    if probability >= 1.0 {
        return (trials, trials);
    }
    let odds = (probability / (1.0 - probability)).ln();
    let mut log_mass = trials as f64 * (1.0 - probability).ln();
    let (mut below, mut least, mut most) = (0.0, None, trials);
    for count in 0..=trials {
        below += log_mass.exp();
        if least.is_none() && below > tail {
            least = Some(count);
        }
        if below >= 1.0 - tail {
            most = count;
            break;
        }
        log_mass += ((trials - count) as f64).ln() - ((count + 1) as f64).ln() + odds;
    }
    (least.unwrap_or(most), most)
}

/// What was off, by how much and what to do.
pub(super) fn findings(fidelity: &Fidelity) -> Vec<String> {
    let mut findings: Vec<String> = fidelity
        .checks
        .iter()
        .filter(|check| !check.within)
        .map(off)
        .collect();
    if fidelity.engine_drops > 0 {
        findings.push(format!(
            "the link engine lost {} packets that the description does not lose; give the run more CPU, or lower the rates",
            fidelity.engine_drops
        ));
    }
    if let Some(lateness) = fidelity.lateness
        && (lateness.p99_us > LATENESS_P99_US || lateness.p50_us > LATENESS_P50_US)
    {
        findings.push(format!(
            "the link engine released packets late: by {:.0} µs in the median and {:.0} µs at the 99th percentile \
             (allowed: {LATENESS_P50_US} and {LATENESS_P99_US}): {}",
            lateness.p50_us,
            lateness.p99_us,
            cause(&lateness)
        ));
    }
    if fidelity.cpu_use > CPU_SATURATED {
        findings.push(format!(
            "the CPU was {:.0} % in use, so that it may have bounded the figures; use fewer ranks, lower rates or more cores",
            fidelity.cpu_use * 100.0
        ));
    }
    findings
}

/// Why an engine was late, and what to do.
fn cause(lateness: &Lateness) -> &'static str {
    if lateness.major_faults > 0 {
        "its thread waited for memory that had been swapped out; give the machine more memory, or the links smaller queues"
    } else if lateness.slept_through >= 0.5 {
        "its thread was not woken in time; allow longhaul real-time priority, stop other work on this machine, or use one whose \
         processors are its own"
    } else if lateness.preempted > 0 {
        "its thread was taken off its processor; allow longhaul real-time priority, or stop other work on this machine"
    } else {
        "its thread had more to carry than a processor can; lower the rates, or use fewer ranks"
    }
}

fn off(check: &FidelityCheck) -> String {
    let FidelityCheck {
        channel,
        quantity,
        unit,
        asked,
        measured,
        bound,
        ..
    } = check;
    let remedy = match quantity.as_str() {
        "rate" => "lower the rate, or use an engine and a machine that can carry it",
        "loss" | "reordered" => {
            "look for another load or shaper on this machine, and try the other link engine"
        }
        _ => "stop other work on this machine, or raise the delay until the noise does not matter",
    };
    match unit.as_str() {
        "bit/s" => format!(
            "{quantity} of {channel} is {:.1} Mbit/s instead of {:.1} (±{:.1}): {remedy}",
            measured / 1e6,
            asked / 1e6,
            bound / 1e6
        ),
        _ => format!(
            "{quantity} of {channel} is {measured:.3} {unit} instead of {asked:.3} (±{bound:.3}): {remedy}"
        ),
    }
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

/// By nearest rank; `values` must not be empty.
fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}

#[cfg(test)]
mod tests {
    use longhaul_topologies::model::{Jitter, JitterDistribution, JitterShape};
    use longhaul_topologies::units::{Probability, Rate};
    use proptest::prelude::*;

    use super::*;

    fn channel(delay_ms: u64) -> Channel {
        Channel {
            delay: Duration::from_millis(delay_ms),
            ..Channel::of_delay(Duration::ZERO)
        }
    }

    fn independent(share: f64) -> Loss {
        Loss::Independent(Probability::new(share).unwrap())
    }

    /// Probes 4 ms apart with these delays, in microseconds.
    fn observed(delays_us: impl IntoIterator<Item = Option<u64>>) -> Observed {
        let delays = delays_us
            .into_iter()
            .map(|delay| delay.map(Duration::from_micros));
        Observed {
            interval: Duration::from_millis(4),
            delays: delays.collect(),
            overtaken: 0,
            train: Err("it is unlimited".to_owned()),
        }
    }

    fn judged(channel: &Channel, observed: &Observed, quantity: &str) -> FidelityCheck {
        let found = checks("virginia>dublin lane 0", channel, observed, 1);
        let check = found
            .checks
            .into_iter()
            .find(|check| check.quantity == quantity);
        check.unwrap_or_else(|| panic!("no check of {quantity}"))
    }

    #[test]
    fn a_delay_within_one_percent_is_faithful_and_its_late_tail_does_not_matter() {
        let tail = |index| if index % 50 == 0 { 9000 } else { 300 };
        let seen = observed((0..200).map(|index| Some(40_000 + tail(index))));
        assert!(judged(&channel(40), &seen, "one-way delay").within);
        assert!(judged(&channel(40), &seen, "jitter").within);
        let late = judged(&channel(41), &seen, "one-way delay");
        assert_eq!(
            (late.within, late.asked, late.measured),
            (false, 41_000.0, 40_300.0)
        );
    }

    #[test]
    fn a_slow_channel_s_own_serialisation_is_part_of_its_delay() {
        let slow = Channel {
            rate: Some(Rate::from_bits_per_second(64_000)),
            ..channel(40)
        };
        let seen = observed((0..200).map(|_| Some(46_250)));
        assert!(judged(&slow, &seen, "one-way delay").within);
    }

    #[test]
    fn jitter_is_held_against_the_width_of_its_distribution() {
        let jittery = Channel {
            jitter: Some(Jitter {
                deviation: Duration::from_millis(5),
                shape: JitterShape::Distribution(JitterDistribution::Uniform),
                order: PacketOrder::ByDelay,
            }),
            ..channel(40)
        };
        let spread = observed((0..200).map(|index| Some(31_340 + 87 * index)));
        assert!(judged(&jittery, &spread, "jitter").within);
        assert!(!judged(&channel(40), &spread, "jitter").within);
        let still = observed((0..200).map(|_| Some(40_000)));
        assert!(!judged(&jittery, &still, "jitter").within);
    }

    #[test]
    fn a_packet_that_overtakes_is_off_only_where_order_is_kept() {
        let seen = Observed {
            overtaken: 2,
            ..observed((0..200).map(|_| Some(40_000)))
        };
        let check = judged(&channel(40), &seen, "reordered");
        assert_eq!((check.within, check.measured), (false, 2.0));
        let free = Channel {
            jitter: Some(Jitter {
                deviation: Duration::from_millis(5),
                shape: JitterShape::Distribution(JitterDistribution::Normal),
                order: PacketOrder::ByDelay,
            }),
            ..channel(40)
        };
        let found = checks("virginia>dublin lane 0", &free, &seen, 1);
        assert!(
            found
                .checks
                .iter()
                .all(|check| check.quantity != "reordered")
        );
    }

    #[test]
    fn one_lost_probe_is_off_on_a_link_without_loss_and_fine_on_one_with() {
        let seen = observed((0..200).map(|index| (index != 7).then_some(40_000)));
        assert!(!judged(&channel(40), &seen, "loss").within);
        let lossy = Channel {
            loss: independent(0.01),
            ..channel(40)
        };
        assert!(judged(&lossy, &seen, "loss").within);
        let none = Channel {
            loss: independent(0.2),
            ..channel(40)
        };
        assert!(!judged(&none, &seen, "loss").within);
    }

    #[test]
    fn too_few_arrivals_are_said_and_not_judged() {
        let seen = observed((0..200).map(|index| (index < 5).then_some(40_000)));
        let found = checks("virginia>dublin lane 0", &channel(40), &seen, 1);
        assert_eq!(
            found.skipped[0],
            "virginia>dublin lane 0: delay and jitter, as 5 of 200 probes arrived"
        );
        assert!(
            found
                .checks
                .iter()
                .all(|check| check.quantity != "one-way delay")
        );
    }

    #[test]
    fn bursty_loss_has_a_wider_interval_of_the_same_mean() {
        let share = |share| Probability::new(share).unwrap();
        let bursty = Loss::GilbertElliott {
            to_bad: share(0.01),
            to_good: share(0.19),
            loss_in_bad: share(1.0),
            loss_in_good: share(0.0),
        };
        assert!((mean_loss(&bursty) - 0.05).abs() < 1e-12);
        let seen = observed((0..1000).map(|index| (index % 20 != 0).then_some(40_000)));
        let bound = |loss| {
            judged(
                &Channel {
                    loss,
                    ..channel(40)
                },
                &seen,
                "loss",
            )
            .bound
        };
        assert!(bound(bursty) > 2.0 * bound(independent(0.05)));
    }

    #[test]
    fn findings_say_what_by_how_much_and_what_to_do() {
        let seen = observed((0..200).map(|_| Some(42_000)));
        let checks = checks("virginia>dublin lane 0", &channel(40), &seen, 1).checks;
        let lateness = Lateness {
            releases: 1000,
            p50_us: 40.0,
            p99_us: 9000.0,
            max_us: 20_000.0,
            late: 0.02,
            slept_through: 0.9,
            ..Lateness::default()
        };
        let fidelity = Fidelity::new(checks, Some(lateness), 3, 0.99);
        insta::assert_snapshot!(fidelity.findings.join("\n"), @r"
        one-way delay of virginia>dublin lane 0 is 42000.000 us instead of 40000.000 (±400.000): stop other work on this machine, or raise the delay until the noise does not matter
        the link engine lost 3 packets that the description does not lose; give the run more CPU, or lower the rates
        the link engine released packets late: by 40 µs in the median and 9000 µs at the 99th percentile (allowed: 500 and 5000): its thread was not woken in time; allow longhaul real-time priority, stop other work on this machine, or use one whose processors are its own
        the CPU was 99 % in use, so that it may have bounded the figures; use fewer ranks, lower rates or more cores
        ");
        assert!(!fidelity.faithful());
        let because = |change: fn(&mut Lateness)| {
            let mut lateness = lateness;
            change(&mut lateness);
            cause(&lateness)
        };
        assert!(because(|it| it.major_faults = 1).contains("memory"));
        assert!(because(|it| (it.slept_through, it.preempted) = (0.1, 9)).contains("taken off"));
        assert!(because(|it| it.slept_through = 0.1).contains("more to carry"));
        assert!(Fidelity::new(Vec::new(), None, 0, 0.5).faithful());
    }

    proptest! {
        #[test]
        fn the_interval_leaves_at_most_the_tail_on_each_side(trials in 1_u64..2000, probability in 0.0001..0.9999_f64) {
            let tail = 0.005;
            let (least, most) = binomial_interval(trials, probability, tail);
            prop_assert!(least <= most && most <= trials);
            // The mean lies inside, give or take the step from one count to the next.
            let mean = trials as f64 * probability;
            prop_assert!(least as f64 <= mean + 1.0 && mean - 1.0 <= most as f64);
        }
    }
}
