//! What probes would show of a channel's jitter, and of a rate that changes, if the lab did exactly as described.
//!
//! Not the described shape itself: a packet that may not overtake waits for the one before it, so the closer the probes
//! are, compared with the deviation, the longer and the more spread their delays. Probes 4 ms apart see a Pareto jitter of
//! 3 ms nearly half as wide again, and that is as it should be. And where a trace lets nothing pass, probes wait until it does.
//!
//! How far a figure from so many probes may be off by chance is found out the same way: by many runs of as many probes. So it
//! holds for delays that follow each other and for heavy tails, where a formula for independent normal ones would not.

use std::time::Duration;

use longhaul_topologies::model::{Channel, DelayTrace, Jitter, JitterShape, PacketOrder};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::sample::{Sample, distance};
use crate::distribution;
use crate::relay::Line;
use crate::time::Time;

/// Enough for quantiles within 1 %: far less than a few hundred real probes leave open.
const PROBES: usize = 10_000;
/// Runs by which chance is judged.
const RUNS: u64 = 60;
/// More probes than this are judged as this many: chance leaves them little.
const MOST: usize = 1500;
/// How much further off than the furthest of [`RUNS`] a figure may be. For a normal figure that is 3.6 standard deviations: one
/// false alarm in three thousand.
const MARGIN: f64 = 1.5;

/// How probes are sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Probes {
    /// Between two of them.
    pub(super) interval: Duration,
    /// Bytes of their frames.
    pub(super) frame: u64,
}

/// The delays that a faithful lab would show, in microseconds above the channel's delay.
#[derive(Debug)]
pub(super) struct Ideal {
    pub(super) delays: Sample,
    /// How far off by chance the median may be.
    pub(super) median: f64,
    /// How far off by chance the width may be.
    pub(super) width: f64,
    /// How far away by chance the shape may be.
    pub(super) distance: f64,
}

impl Ideal {
    /// For `count` probes of `channel`.
    pub(super) fn new(channel: &Channel, probes: Probes, count: usize) -> Self {
        let delays = variations(channel, probes);
        let mut ideal = Ideal {
            median: 0.0,
            width: 0.0,
            distance: 0.0,
            delays,
        };
        for seed in 1..=RUNS {
            let run = draw(channel, probes, count.min(MOST), seed);
            let off = (run.median() - ideal.delays.median()).abs();
            ideal.median = ideal.median.max(off);
            let off = (run.width() - ideal.delays.width()).abs();
            ideal.width = ideal.width.max(off);
            ideal.distance = ideal.distance.max(distance(&run, &ideal.delays));
        }
        for chance in [&mut ideal.median, &mut ideal.width, &mut ideal.distance] {
            *chance *= MARGIN;
        }
        ideal
    }
}

/// How much longer than the channel's delay probes take. The same every time.
pub(super) fn variations(channel: &Channel, probes: Probes) -> Sample {
    draw(channel, probes, PROBES, 0)
}

fn draw(channel: &Channel, probes: Probes, count: usize, seed: u64) -> Sample {
    Sample::new(walk(channel, probes, count, seed))
}

/// The same one after another, for tests.
#[cfg(test)]
pub(super) fn in_order(channel: &Channel, probes: Probes, count: usize) -> Vec<f64> {
    walk(channel, probes, count, 0)
}

/// The delays of `count` probes, one after another, in microseconds.
fn walk(channel: &Channel, probes: Probes, count: usize, seed: u64) -> Vec<f64> {
    let mut draws = ChaCha8Rng::seed_from_u64(seed);
    let jitter = channel.jitter.as_ref();
    let variation = jitter.map(|jitter| Variation::of(jitter, &mut draws));
    let mut line = ChangingLine::of(channel, probes.frame, &mut draws);
    let apart = probes.interval.as_secs_f64() * 1e6;
    let mut last = f64::NEG_INFINITY;
    let probe = |number| {
        let sent = number as f64 * apart;
        let left = line.as_mut().map_or(sent, |line| line.left(sent));
        let varied = variation.as_ref().map(|one| one.next(left, &mut draws));
        let alone = left + varied.unwrap_or_default();
        let arrival = match jitter.map(|jitter| jitter.order) {
            Some(PacketOrder::Preserved) | None => alone.max(last),
            Some(PacketOrder::ByDelay) => alone,
        };
        last = arrival;
        arrival - sent
    };
    (0..count).map(probe).collect()
}

/// A line whose rate changes: probes wait in its gaps, and for those before them.
struct ChangingLine {
    line: Line,
    /// Where its trace was, in microseconds, when the first probe left.
    began: f64,
    /// Bytes of a probe.
    frame: u64,
}

impl ChangingLine {
    /// `None` where the rate does not change.
    fn of(channel: &Channel, frame: u64, rng: &mut impl Rng) -> Option<Self> {
        let period = channel.rate_trace.as_ref()?.period().as_secs_f64() * 1e6;
        Some(ChangingLine {
            line: Line::of(channel, Time::default(), Time::default())?,
            began: rng.random::<f64>() * period,
            frame,
        })
    }

    /// When the last bit of a probe has left that was `sent` then, in microseconds.
    fn left(&mut self, sent: f64) -> f64 {
        let now = Time::from_nanos(((self.began + sent) * 1e3) as u64);
        self.line.start(now);
        let left = self.line.transmit(self.frame);
        sent + left.since(now).as_secs_f64() * 1e6
    }
}

/// Where the variation of one probe comes from.
enum Variation<'a> {
    /// Quantiles, and the deviation in microseconds.
    Table(std::sync::Arc<[i16]>, f64),
    /// A trace that was here, in microseconds, when the first probe left.
    Trace(&'a DelayTrace, f64),
}

impl<'a> Variation<'a> {
    fn of(jitter: &'a Jitter, rng: &mut impl Rng) -> Self {
        match (&jitter.shape, distribution::table(&jitter.shape)) {
            (JitterShape::Trace(trace), _) => {
                let period = trace.period().as_secs_f64() * 1e6;
                Variation::Trace(trace, rng.random::<f64>() * period)
            }
            (_, table) => {
                let table = table.expect("all shapes but traces have a table");
                Variation::Table(table, jitter.deviation.as_secs_f64() * 1e6)
            }
        }
    }

    fn next(&self, sent: f64, rng: &mut impl Rng) -> f64 {
        match self {
            Variation::Table(table, deviation) => {
                distribution::deviations(table[rng.random_range(0..table.len())]) * deviation
            }
            Variation::Trace(trace, began) => {
                let since = Duration::from_secs_f64((began + sent) / 1e6);
                trace.at(since).as_secs_f64() * 1e6
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use longhaul_topologies::model::{JitterDistribution, RateStep, RateTrace};

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn jitter(order: PacketOrder) -> Jitter {
        Jitter {
            deviation: MS,
            shape: JitterShape::Distribution(JitterDistribution::Normal),
            order,
        }
    }

    /// That of a channel with `jitter` alone.
    fn variations(jitter: &Jitter, interval: Duration) -> Sample {
        super::variations(&jittered(jitter), every(interval))
    }

    fn jittered(jitter: &Jitter) -> Channel {
        Channel {
            jitter: Some(jitter.clone()),
            ..Channel::of_delay(Duration::ZERO)
        }
    }

    fn every(interval: Duration) -> Probes {
        Probes {
            interval,
            frame: 100,
        }
    }

    #[test]
    fn probes_wait_in_the_gaps_of_a_rate_for_as_long_as_these_last() {
        let steps = [(Duration::ZERO, 20_000_000), (100 * MS, 0)];
        let steps = steps.map(|(at, bits_per_second)| RateStep {
            at,
            bits_per_second,
        });
        let gaps = Channel {
            rate_trace: Some(RateTrace::new(steps.into(), 200 * MS).unwrap()),
            ..Channel::of_delay(Duration::ZERO)
        };
        let waits = super::variations(&gaps, every(4 * MS));
        // 40 µs on the line; half of them up to 100 ms before it.
        assert!((waits.quantile(0.25) - 40.0).abs() < 1.0);
        assert!((waits.quantile(0.75) - 50_000.0).abs() < 4_500.0);
        assert!(waits.quantile(1.0) <= 101_500.0);
    }

    #[test]
    fn far_apart_or_free_to_overtake_probes_see_the_shape_itself() {
        for (order, interval) in [
            (PacketOrder::Preserved, 20 * MS),
            (PacketOrder::ByDelay, MS / 10),
        ] {
            let delays = variations(&jitter(order), interval);
            let (mean, deviation) = (delays.mean(), delays.deviation());
            assert!(mean.abs() < 30.0, "{order:?}: {mean}");
            assert!((deviation - 1000.0).abs() < 30.0, "{order:?}: {deviation}");
        }
    }

    #[test]
    fn the_closer_they_are_the_longer_they_wait_for_each_other() {
        let preserved = jitter(PacketOrder::Preserved);
        let means = [20, 2, 1].map(|interval| variations(&preserved, interval * MS).mean());
        assert!(
            means.is_sorted() && means[2] > means[0] + 200.0,
            "{means:?}"
        );
    }

    #[test]
    fn a_trace_is_seen_as_it_is_whenever_it_began() {
        let points = vec![
            (Duration::ZERO, Duration::ZERO),
            (500 * MS, 10 * MS),
            (1000 * MS, Duration::ZERO),
        ];
        let trace = DelayTrace::new(points).unwrap();
        let sawtooth = Jitter {
            deviation: trace.moments().1,
            shape: JitterShape::Trace(trace),
            order: PacketOrder::Preserved,
        };
        let delays = variations(&sawtooth, 2 * MS);
        assert!((delays.mean() - 5000.0).abs() < 10.0, "{}", delays.mean());
        assert!((delays.quantile(0.25) - 2500.0).abs() < 20.0);
    }

    #[test]
    fn fewer_probes_leave_more_to_chance() {
        let channel = jittered(&jitter(PacketOrder::ByDelay));
        let chance = |count| Ideal::new(&channel, every(2 * MS), count);
        let (few, many) = (chance(50), chance(1500));
        assert!(few.median > 2.0 * many.median && few.width > 2.0 * many.width);
        assert!(few.distance > 2.0 * many.distance && many.distance < 0.1);
    }
}
