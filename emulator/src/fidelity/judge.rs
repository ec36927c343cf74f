//! From what was observed of a channel to what was off. Pure.
//!
//! - [`judge`]: one channel, quantity by quantity; delay, jitter and order here.
//! - `loss`: what does not arrive, arrives twice or arrives otherwise.
//! - `bottleneck`: rate, queue and marks, from packet trains.
//! - [`findings`]: what was off in words, of a whole run.

mod bottleneck;
mod findings;
mod loss;
#[cfg(test)]
pub(super) mod tests;

use std::net::IpAddr;
use std::time::Duration;

use longhaul_topologies::model::{JitterShape, LaneState, PacketOrder};
use longhaul_topologies::units::ByteSize;

use super::ideal::{Ideal, Probes};
use super::quantity::{Bound, Measurement, Quantity, Requirement};
use super::sample::{Sample, apart, distance};
use super::subject::{Expected, Shaper};
use super::train::Train;
use crate::probe::ProbeSample;

pub(super) use findings::{distance as finding, findings, findings_between_machines};

/// What a median one-way delay may be off on a machine that does other things: wake-ups of the engine's thread (in the median
/// 20 µs on an idle and 80 µs on a busy machine, as measured) and the veth hops on the way.
const DELAY_NOISE_US: f64 = 250.0;
/// What it may be off in proportion: below 1 % a bandwidth-delay product, and so a transport, does not notice.
const DELAY_SHARE: f64 = 0.01;
/// The half-width that wake-ups alone give the middle two thirds of the delays.
const JITTER_NOISE_US: f64 = 250.0;
/// What a width may be off in proportion, beside chance.
const JITTER_SHARE: f64 = 0.05;
/// How many times the width of the middle two thirds a deviation may be to be told from it. Where most delays are alike, as in a trace that
/// adds the same always or a table of a few outliers, they have no width to speak of: then that is what is held, not the deviation.
const MOST_STRETCH: f64 = 4.0;
/// How far wake-ups blur a shape.
const SHAPE_NOISE_US: f64 = 100.0;
/// A deviation of fewer of these shows the wake-ups' shape, not its own.
const SHAPE_FROM: f64 = 3.0;
/// The share of probes that may be late by more than that.
const SHAPE_LATE: f64 = 0.02;
/// Probes that wait for longer in a gap of the rate may count as lost.
const LONGEST_GAP: Duration = Duration::from_secs(1);
/// Fewer samples than this say nothing about a median or a width.
const FEWEST: usize = 10;

/// Ethernet, IP and UDP headers: what a datagram is longer on the wire than its payload.
pub(super) fn headers(address: IpAddr) -> u64 {
    match address {
        IpAddr::V4(_) => 14 + 20 + 8,
        IpAddr::V6(_) => 14 + 40 + 8,
    }
}

/// What was seen of one channel.
#[derive(Debug)]
pub(super) struct Observed {
    /// Between two probes.
    pub(super) interval: Duration,
    /// Bytes of a probe's frame, and of the headers in it.
    pub(super) frame: u64,
    pub(super) headers: u64,
    /// How far off the clocks at its ends may be from each other.
    pub(super) clocks: Duration,
    /// For how long probes were sent.
    pub(super) lasted: Duration,
    /// Every probe.
    pub(super) samples: Vec<ProbeSample>,
    /// The pace train, or why there was none.
    pub(super) train: Result<Train, String>,
    /// The flood, or why there was none.
    pub(super) flood: Result<Train, String>,
}

/// How much is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// What a second of measurement can tell: delay, jitter, order, loss, rate.
    Brief,
    /// Everything.
    Full,
}

/// The measurements of one channel, and those that could not be made.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) measurements: Vec<Measurement>,
    pub(super) skipped: Vec<String>,
    /// The probes' delays and those of a faithful lab, in microseconds; both without what the probes themselves take on a
    /// line of one rate.
    pub(super) delays: Option<Sample>,
    pub(super) predicted: Option<Sample>,
}

/// Judges what was seen of `subject`, one of `channels`.
pub(super) fn judge(
    subject: &Expected,
    observed: &Observed,
    channels: usize,
    depth: Depth,
) -> Found {
    let mut judging = Judging {
        subject,
        observed,
        depth,
        found: Found::default(),
    };
    if subject.channel.state == LaneState::Down {
        judging.outage();
        return judging.found;
    }
    let delays = judging.delay_and_jitter();
    judging.order();
    judging.loss(channels);
    if depth == Depth::Full {
        judging.duplication(channels);
        judging.corruption(channels);
    }
    judging.rate();
    if depth == Depth::Full {
        judging.queue(delays.as_ref());
        judging.marks();
    }
    judging.found
}

/// One channel on the way to its verdicts.
struct Judging<'j> {
    subject: &'j Expected,
    observed: &'j Observed,
    depth: Depth,
    found: Found,
}

impl Judging<'_> {
    /// Nothing may arrive on a lane that is down.
    fn outage(&mut self) {
        let samples = &self.observed.samples;
        let arrived = samples
            .iter()
            .filter(|sample| sample.delay.is_some())
            .count();
        let count = samples.len();
        self.hold(
            Quantity::Arrivals,
            "packets",
            0.0,
            arrived as f64,
            0.0,
            count,
        );
    }

    /// Delay, jitter and its shape; answers the delays as they were, in microseconds.
    fn delay_and_jitter(&mut self) -> Option<Sample> {
        let channel = &self.subject.channel;
        let arrived: Vec<f64> = self
            .observed
            .samples
            .iter()
            // One that was made to be overtaken took longer for that.
            .filter(|sample| channel.reordering.is_none() || sample.extent == 0)
            .filter_map(|sample| sample.delay.map(|delay| (sample.sent, delay)))
            .filter(|(sent, _)| self.in_whole_periods(*sent))
            .map(|(_, delay)| micros(delay))
            .collect();
        if arrived.len() < FEWEST {
            let (count, all) = (arrived.len(), self.observed.samples.len());
            self.skip(
                "delay and jitter",
                &format!("{count} of {all} probes arrived"),
            );
            return None;
        }
        let raw = Sample::new(arrived);
        let seen = raw.moved(-self.own());
        self.found.delays = Some(seen.clone());
        if let Some(period) = self.longer_trace() {
            let reason = format!(
                "its trace repeats after {period:?} only, and {:.1} s were measured",
                self.observed.lasted.as_secs_f64()
            );
            self.skip("delay and jitter", &reason);
            return Some(raw);
        }
        if let Some(reason) = self.long_gap() {
            self.skip("delay and jitter", &reason);
            return Some(raw);
        }
        match (&channel.jitter, &channel.rate_trace) {
            (None, None) => self.alike(&seen),
            (Some(_), _) | (None, Some(_)) => self.varying(&seen),
        }
        Some(raw)
    }

    /// Nothing makes one probe's delay another than the next one's.
    fn alike(&mut self, seen: &Sample) {
        let (asked, count) = (micros(self.subject.channel.delay), seen.len());
        let bound = delay_noise(asked) + micros(self.observed.clocks);
        self.hold(Quantity::Delay, "us", asked, seen.median(), bound, count);
        self.hold(
            Quantity::Jitter,
            "us",
            0.0,
            seen.width(),
            JITTER_NOISE_US,
            count,
        );
        self.found.predicted = Some(Sample::new(vec![asked]));
    }

    /// What is asked for is the mean and the standard deviation. What is measured are the median and the width of the middle two
    /// thirds, which late wake-ups change little, as the mean and the deviation that a jitter of this shape has which shows them.
    /// Where the rate changes, what probes wait for it is variation too, of which no mean and no deviation is stated.
    fn varying(&mut self, seen: &Sample) {
        let count = seen.len();
        let channel = &self.subject.channel;
        let delay = micros(channel.delay);
        let probes = Probes {
            interval: self.observed.interval,
            frame: self.observed.frame,
        };
        let ideal = Ideal::new(channel, probes, count);
        let jitter = channel.jitter.as_ref();
        let added = match jitter.map(|jitter| &jitter.shape) {
            Some(JitterShape::Trace(trace)) => micros(trace.moments().0),
            Some(JitterShape::Distribution(_) | JitterShape::Table(_)) | None => 0.0,
        };
        let asked = delay + added;
        let measured = seen.median() - ideal.delays.median() + added;
        let bound = delay_noise(asked) + micros(self.observed.clocks) + ideal.median;
        self.hold(Quantity::Delay, "us", asked, measured, bound, count);

        let deviation = jitter.map_or(0.0, |jitter| micros(jitter.deviation));
        let width = ideal.delays.width();
        let is_stretched = channel.rate_trace.is_none() && width * MOST_STRETCH > deviation;
        let (asked, scale) = match is_stretched {
            true => (deviation, deviation / width),
            false => (width, 1.0),
        };
        let bound = JITTER_NOISE_US + JITTER_SHARE * asked + ideal.width * scale;
        let measured = seen.width() * scale;
        self.hold(Quantity::Jitter, "us", asked, measured, bound, count);

        self.found.predicted = Some(ideal.delays.moved(delay));
        if jitter.is_none()
            || self.depth == Depth::Brief
            || !self.subject.judged.contains(&Quantity::Shape)
        {
            return;
        }
        if deviation < SHAPE_FROM * SHAPE_NOISE_US {
            let reason =
                format!("a deviation of {deviation:.0} us drowns in this machine's wake-ups");
            self.skip("the jitter's shape", &reason);
            return;
        }
        let blurred = apart(&ideal.delays, &ideal.delays.moved(SHAPE_NOISE_US));
        let bound = ideal.distance + blurred + SHAPE_LATE;
        if bound >= 1.0 {
            // No two shapes are further from each other.
            let reason = "with so many delays alike any shape would be within its bound";
            self.skip("the jitter's shape", reason);
            return;
        }
        let measured = distance(seen, &ideal.delays);
        self.hold(Quantity::Shape, "", 0.0, measured, bound, count);
    }

    /// Overtaken probes: how many, and by how many.
    fn order(&mut self) {
        let channel = &self.subject.channel;
        let extents = self
            .observed
            .samples
            .iter()
            .filter(|sample| sample.delay.is_some());
        let extents: Vec<f64> = extents.map(|sample| f64::from(sample.extent)).collect();
        let (count, late) = (
            extents.len(),
            extents.iter().filter(|extent| **extent > 0.0),
        );
        let late: Vec<f64> = late.copied().collect();
        let free = channel
            .jitter
            .as_ref()
            .is_some_and(|jitter| jitter.order == PacketOrder::ByDelay);
        match (&channel.reordering, free, self.depth) {
            (None, false, _) => {
                self.hold(
                    Quantity::Reordered,
                    "packets",
                    0.0,
                    late.len() as f64,
                    0.0,
                    count,
                );
            }
            (_, true, Depth::Full) => {
                self.tell(Quantity::Reordered, "%", share(late.len(), count), count);
            }
            (Some(reordering), false, Depth::Full) if count >= FEWEST => {
                let asked = reordering.chance.fraction();
                let interval = loss::Interval::of(count, asked, loss::FALSE_ALARM / 2.0);
                self.hold_share(Quantity::Reordered, &interval, late.len());
                if late.len() >= FEWEST {
                    // Only what follows within one delay can overtake.
                    let most = (micros(channel.delay) / micros(self.observed.interval)).floor();
                    let asked = f64::from(reordering.depth).min(most);
                    let late = Sample::new(late);
                    // Two that are overtaken together overtake each other no more.
                    let bound = 1.0 + asked * reordering.chance.fraction();
                    let (measured, count) = (late.median(), late.len());
                    self.hold(Quantity::Extent, "packets", asked, measured, bound, count);
                }
            }
            _ => {}
        }
    }

    /// What a probe itself takes on the line, if that is always the same.
    fn own(&self) -> f64 {
        let channel = &self.subject.channel;
        // Others than a line let a packet pass at once that finds none before it.
        let is_line = self.subject.shaper == Shaper::Line && channel.rate_trace.is_none();
        let rate = channel.rate.filter(|_| is_line);
        rate.map_or(0.0, |rate| {
            micros(rate.time_for(ByteSize::from_bytes(self.observed.frame)))
        })
    }

    /// A trace of delays is the same every period, and otherwise nowhere.
    fn trace_period(&self) -> Option<Duration> {
        match &self.subject.channel.jitter.as_ref()?.shape {
            JitterShape::Trace(trace) => Some(trace.period()),
            JitterShape::Distribution(_) | JitterShape::Table(_) => None,
        }
    }

    /// Why probes that wait for the line may count as lost, if they may.
    fn long_gap(&self) -> Option<String> {
        let trace = self.subject.channel.rate_trace.as_ref()?;
        let gap = trace.longest_gap();
        (gap > LONGEST_GAP).then(|| format!("nothing passes for {gap:?} at a time"))
    }

    /// The period of a trace that was not seen as a whole.
    fn longer_trace(&self) -> Option<Duration> {
        self.trace_period()
            .filter(|period| *period > self.observed.lasted)
    }

    fn in_whole_periods(&self, sent: Duration) -> bool {
        let Some(period) = self.trace_period() else {
            return true;
        };
        let periods = self.observed.lasted.as_nanos() / period.as_nanos().max(1);
        periods == 0 || sent.as_nanos() < periods * period.as_nanos()
    }

    /// Holds a figure against what was asked for.
    fn hold(
        &mut self,
        quantity: Quantity,
        unit: &'static str,
        asked: f64,
        measured: f64,
        bound: f64,
        samples: usize,
    ) {
        let requirement = Requirement {
            value: asked,
            bound: Bound::Within(bound),
            within: (measured - asked).abs() <= bound,
        };
        self.push(quantity, unit, Some(requirement), measured, samples);
    }

    /// Tells a figure of which nothing is asked.
    fn tell(&mut self, quantity: Quantity, unit: &'static str, measured: f64, samples: usize) {
        self.push(quantity, unit, None, measured, samples);
    }

    fn push(
        &mut self,
        quantity: Quantity,
        unit: &'static str,
        asked: Option<Requirement>,
        measured: f64,
        samples: usize,
    ) {
        self.found.measurements.push(Measurement {
            channel: self.subject.name.clone(),
            quantity,
            unit,
            measured,
            asked: asked.filter(|_| self.subject.judged.contains(&quantity)),
            samples: samples as u64,
        });
    }

    fn skip(&mut self, what: &str, reason: &str) {
        let name = &self.subject.name;
        self.found
            .skipped
            .push(format!("{name}: {what}, as {reason}"));
    }
}

/// What a median delay of `asked` microseconds may be off.
pub(super) fn delay_noise(asked: f64) -> f64 {
    DELAY_NOISE_US.max(DELAY_SHARE * asked)
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

/// In percent.
fn share(count: usize, all: usize) -> f64 {
    100.0 * count as f64 / all.max(1) as f64
}
