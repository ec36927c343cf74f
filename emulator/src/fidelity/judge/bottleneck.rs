//! Rate, queue and marks, from packet trains.

use longhaul_topologies::model::{QueueDiscipline, QueueLimit, Signal};

use super::super::ideal;
use super::super::quantity::{Bound, Quantity, Requirement};
use super::super::sample::Sample;
use super::super::train::Train;
use super::loss::mean_loss;
use super::{FEWEST, Judging};

/// A rate over tens of milliseconds, released in bursts of up to 250 µs by a thread that may wake a millisecond late.
const RATE_SHARE: f64 = 0.05;
/// A flood slower than this share of the rate more does not fill a queue in its time.
const LEAST_FLOOD: f64 = 1.3;
/// Of a flood at twice the rate half is dropped once the queue is full; where less than this is, there was room.
const FULL: f64 = 0.2;
/// What sender and engine add to the time in a queue by waking late.
const QUEUE_NOISE_US: f64 = 300.0;
const QUEUE_SHARE: f64 = 0.02;
/// The queue is a packet fuller or emptier while one comes or goes.
const QUEUE_PACKETS: f64 = 2.0;

impl Judging<'_> {
    /// The rate of the pace train.
    pub(super) fn rate(&mut self) {
        let channel = &self.subject.channel;
        let observed = self.observed;
        let measured = observed
            .train
            .as_ref()
            .map_err(Clone::clone)
            .and_then(|train| Ok((train, train.rate()?)));
        let (train, rate) = match measured {
            Ok(measured) => measured,
            Err(reason) => return self.skip("rate", &reason),
        };
        // The bottleneck stands before the loss: what is lost had its time on the wire.
        let measured = rate / (1.0 - mean_loss(&channel.loss));
        let count = train.arrivals.len();
        let Some(rate) = channel.rate else {
            return self.tell(Quantity::Rate, "bit/s", measured, count);
        };
        let asked = rate.bits_per_second() as f64;
        let blur = channel.jitter.as_ref().map_or(0.0, |jitter| {
            jitter.deviation.as_secs_f64() / train.duration().as_secs_f64()
        });
        let bound = asked * (RATE_SHARE + 2.0 * blur);
        self.hold(Quantity::Rate, "bit/s", asked, measured, bound, count);
    }

    /// What the bottleneck queue holds: how long what arrives of a flood has waited, at the rate at which it drains.
    pub(super) fn queue(&mut self, delays: Option<&Sample>) {
        let subject = self.subject;
        let flood = match &self.observed.flood {
            Ok(flood) => flood,
            Err(reason) => return self.skip_queue(reason),
        };
        if let Some(reason) = managed(&subject.channel.discipline) {
            return self.skip_queue(reason);
        }
        if flood.sent_rate < LEAST_FLOOD * flood.peak_rate {
            let [sent, rate] = [flood.sent_rate, flood.peak_rate].map(|rate| rate / 1e6);
            let reason =
                format!("the sender reached {sent:.0} Mbit/s, too little to fill it at {rate:.0}");
            return self.skip_queue(&reason);
        }
        let Some(delays) = delays else {
            return self.skip_queue("no delay was measured that a wait could be told from");
        };
        let rate = self.drain_rate(flood);
        let base = self.base(flood, delays, rate);
        let (waits, dropped) = flood.waits(base);
        if waits.len() < FEWEST {
            return self.skip_queue(&format!("{} packets of its flood arrived", waits.len()));
        }
        let waits = Sample::new(waits);
        // Dips are the sender's or the machine's; where jitter makes hills of its own, the middle counts.
        let (place, blur) = match &subject.channel.jitter {
            None => (0.75, 0.0),
            Some(jitter) => (0.5, jitter.deviation.as_secs_f64() * 0.5e6),
        };
        let bytes = |micros: f64| micros / 1e6 * rate / 8.0;
        let frame = flood.frame_bits / 8.0;
        let (asked, unit, per_unit) = match subject.channel.queue_limit {
            Some(QueueLimit::Bytes(limit)) => (limit.bytes() as f64, "bytes", 1.0),
            Some(QueueLimit::Packets(limit)) => (f64::from(limit), "packets", frame),
            None => (0.0, "bytes", 1.0),
        };
        let measured = bytes(waits.quantile(place)).max(0.0) / per_unit;
        let burst = subject.shaper.burst().as_secs_f64() * 1e6;
        let bound = (QUEUE_PACKETS * frame + bytes(burst + QUEUE_NOISE_US + blur)) / per_unit
            + QUEUE_SHARE * asked;
        let lost = mean_loss(&subject.channel.loss);
        if dropped - lost < FULL && measured <= asked + bound {
            return self.skip_queue("its flood did not fill it");
        }
        match subject.channel.queue_limit {
            Some(_) => self.hold(Quantity::Queue, unit, asked, measured, bound, waits.len()),
            None => self.tell(Quantity::Queue, unit, measured, waits.len()),
        }
    }

    /// Packets of the flood that were marked: some where the queue marks, none elsewhere.
    pub(super) fn marks(&mut self) {
        let marking = marks(&self.subject.channel.discipline);
        let flood = match &self.observed.flood {
            Ok(flood) => flood,
            Err(reason) if marking => return self.skip("marks", reason),
            Err(_) => return,
        };
        let (marks, count) = (flood.marks() as f64, flood.arrivals.len());
        if !marking && marks == 0.0 {
            // As nearly everywhere: no news.
            return;
        }
        if !marking {
            return self.hold(Quantity::Marks, "packets", 0.0, marks, 0.0, count);
        }
        let requirement = Requirement {
            value: 1.0,
            bound: Bound::AtLeast,
            within: marks >= 1.0,
        };
        self.push(Quantity::Marks, "packets", Some(requirement), marks, count);
    }

    /// Bits per second at which the queue drains.
    fn drain_rate(&self, flood: &Train) -> f64 {
        let paced = self.observed.train.as_ref().ok();
        let measured = paced.and_then(|train| train.rate().ok());
        let lost = mean_loss(&self.subject.channel.loss);
        measured.map_or(flood.peak_rate, |rate| rate / (1.0 - lost))
    }

    /// How long a packet of the flood takes that finds no queue: as long as a probe, and what it is longer on the line; and
    /// where packets wait for each other's jitter, what they wait longer as they follow each other more closely.
    fn base(&self, flood: &Train, delays: &Sample, rate: f64) -> f64 {
        let longer = (flood.frame_bits - self.observed.frame as f64 * 8.0) / rate * 1e6;
        let channel = &self.subject.channel;
        let closer = if channel.jitter.is_some() {
            let apart = std::time::Duration::from_secs_f64(flood.frame_bits / rate);
            let median = |interval| {
                let frame = self.observed.frame;
                ideal::variations(channel, ideal::Probes { interval, frame }).median()
            };
            median(apart) - median(self.observed.interval)
        } else {
            0.0
        };
        delays.median() + longer + closer
    }

    fn skip_queue(&mut self, reason: &str) {
        // Without a rate there is no queue that could be measured.
        if self.subject.channel.rate.is_some() || self.observed.train.is_ok() {
            self.skip("queue", reason);
        }
    }
}

/// Why a discipline keeps a queue of ECN-capable packets from filling, if it does.
fn managed(discipline: &QueueDiscipline) -> Option<&'static str> {
    match discipline {
        QueueDiscipline::DropTail | QueueDiscipline::Step(_) => None,
        QueueDiscipline::Red(red) if red.signal == Signal::Mark => None,
        QueueDiscipline::Red(_)
        | QueueDiscipline::CoDel(_)
        | QueueDiscipline::FqCoDel(_)
        | QueueDiscipline::Pie(_)
        | QueueDiscipline::DualPi2(_) => Some("its discipline keeps it shorter than its limit"),
    }
}

/// Whether a discipline marks ECN-capable packets behind a queue that does not drain.
fn marks(discipline: &QueueDiscipline) -> bool {
    match discipline {
        QueueDiscipline::DropTail => false,
        QueueDiscipline::Step(_) | QueueDiscipline::DualPi2(_) => true,
        QueueDiscipline::Red(red) => red.signal == Signal::Mark,
        QueueDiscipline::CoDel(codel) => codel.signal == Signal::Mark,
        QueueDiscipline::FqCoDel(fq) => fq.codel.signal == Signal::Mark,
        QueueDiscipline::Pie(pie) => pie.signal == Signal::Mark,
    }
}
