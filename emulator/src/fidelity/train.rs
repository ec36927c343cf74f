//! What packet trains tell of a bottleneck. Pure.
//!
//! A *pace* train is a little faster than the channel: it tells the rate. A *flood* is much faster and goes on until the queue
//! is full: it tells what that holds. Both are sent by [`super::blast`].

use std::time::Duration;

/// Below it the sender, not the channel, may have set the pace.
const LEAST_OVERSPEED: f64 = 1.05;
/// Fewer arrivals give no rate.
const FEWEST: usize = 10;
/// A train is timed in this many parts, or fewer where a part would be shorter than [`FEWEST`] arrivals; in one where
/// there is jitter: packets that may not overtake wait for a late one, and most parts lie in the shadow of one.
pub(super) const PARTS: usize = 9;

/// What came of a train.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Train {
    /// Bits per second of frames that the sender achieved.
    pub(super) sent_rate: f64,
    /// Bits per second of frames that were to be exceeded all the time.
    pub(super) peak_rate: f64,
    /// Bits per second of frames that are expected to arrive.
    pub(super) asked_rate: f64,
    /// How the arrivals are timed.
    pub(super) timing: Timing,
    /// Bits of a frame.
    pub(super) frame_bits: f64,
    /// When each was sent, by its number.
    pub(super) sent: Vec<Duration>,
    /// In the order of arrival, first copies only.
    pub(super) arrivals: Vec<TrainArrival>,
}

/// One packet of a train that arrived.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct TrainArrival {
    pub(super) number: usize,
    /// On the clock it was sent by.
    pub(super) at: Duration,
    /// Congestion experienced.
    pub(super) marked: bool,
}

/// How the arrivals of a train are timed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Timing {
    /// In so many parts, of which the median counts.
    Parts(usize),
    /// By what arrives within so long: whole periods of a rate that changes.
    Within(Duration),
}

impl Train {
    /// Bits per second at which it arrived, once the bottleneck's burst was used up: the last three quarters of the
    /// arrivals in parts, the slope of a line through each, the median of those. On a busy machine the sender or the
    /// network stack stands still for tens of milliseconds now and then; that spoils a part or two, not the median.
    ///
    /// # Errors
    /// If it says nothing about the channel; the message says why.
    pub(super) fn rate(&self) -> Result<f64, String> {
        if self.sent_rate < LEAST_OVERSPEED * self.peak_rate {
            let [sent, asked] = [self.sent_rate, self.peak_rate].map(|rate| rate / 1e6);
            return Err(format!(
                "the sender reached {sent:.0} Mbit/s, too little to fill {asked:.0}"
            ));
        }
        match self.timing {
            Timing::Parts(parts) => self.rate_in(parts),
            Timing::Within(span) => self.rate_within(span),
        }
    }

    fn rate_in(&self, parts: usize) -> Result<f64, String> {
        let settled = &self.arrivals[self.arrivals.len() / 4..];
        if settled.len() < FEWEST {
            return Err(self.too_few());
        }
        let mut slopes: Vec<f64> = settled
            .chunks(settled.len().div_ceil(parts).max(FEWEST))
            .filter(|part| part.len() >= FEWEST)
            .filter_map(|part| slope(part, self.frame_bits))
            .collect();
        slopes.sort_by(f64::total_cmp);
        let median = slopes.get(slopes.len() / 2).copied();
        median.ok_or_else(|| "its train arrived all at once".to_owned())
    }

    /// The last so long of what arrived: what passed before that was the bottleneck's burst.
    fn rate_within(&self, span: Duration) -> Result<f64, String> {
        let Some(last) = self.arrivals.last() else {
            return Err(self.too_few());
        };
        let from = last.at.saturating_sub(span);
        if self.duration() < span {
            return Err("its train was shorter than a period of its rate".to_owned());
        }
        let count = self
            .arrivals
            .iter()
            .filter(|arrival| arrival.at > from)
            .count();
        if count < FEWEST {
            return Err(self.too_few());
        }
        Ok(count as f64 * self.frame_bits / span.as_secs_f64())
    }

    fn too_few(&self) -> String {
        format!("{} packets of its train arrived", self.arrivals.len())
    }

    /// How far its rate is from what was asked for, as a share; infinite if it says nothing.
    pub(super) fn error(&self) -> f64 {
        self.rate()
            .map_or(f64::INFINITY, |rate| (1.0 - rate / self.asked_rate).abs())
    }

    /// From the first arrival to the last.
    pub(super) fn duration(&self) -> Duration {
        match (self.arrivals.first(), self.arrivals.last()) {
            (Some(first), Some(last)) => last
                .at
                .saturating_sub(first.at)
                .max(Duration::from_nanos(1)),
            _ => Duration::from_nanos(1),
        }
    }

    /// How long each of those waited that were sent in the last third and arrived, in microseconds more than `base`, which
    /// probes took; and which share of that third did not arrive. By then a flood has filled the queue.
    pub(super) fn waits(&self, base: f64) -> (Vec<f64>, f64) {
        let from = self.sent.len() * 2 / 3;
        let late = self
            .arrivals
            .iter()
            .filter(|arrival| arrival.number >= from);
        let waits: Vec<f64> = late
            .map(|arrival| {
                let delay = arrival.at.saturating_sub(self.sent[arrival.number]);
                delay.as_secs_f64() * 1e6 - base
            })
            .collect();
        let dropped = 1.0 - waits.len() as f64 / (self.sent.len() - from).max(1) as f64;
        (waits, dropped)
    }

    /// How many were marked.
    pub(super) fn marks(&self) -> usize {
        self.arrivals
            .iter()
            .filter(|arrival| arrival.marked)
            .count()
    }
}

/// Bits per second of `arrivals`: the slope of the least-squares line through them.
fn slope(arrivals: &[TrainArrival], frame_bits: f64) -> Option<f64> {
    let origin = arrivals[0].at;
    let points = || {
        arrivals.iter().enumerate().map(|(index, arrival)| {
            let x = arrival.at.saturating_sub(origin).as_secs_f64();
            (x, (index + 1) as f64 * frame_bits)
        })
    };
    let n = arrivals.len() as f64;
    let mean_x = points().map(|point| point.0).sum::<f64>() / n;
    let mean_y = points().map(|point| point.1).sum::<f64>() / n;
    let (mut xx, mut xy) = (0.0, 0.0);
    for (x, y) in points() {
        xx += (x - mean_x) * (x - mean_x);
        xy += (x - mean_x) * (y - mean_y);
    }
    (xx > 0.0).then(|| xy / xx)
}

#[cfg(test)]
pub(super) mod tests {
    use longhaul_topologies::model::{
        Channel, Jitter, JitterDistribution, JitterShape, PacketOrder,
    };

    use super::super::ideal;
    use super::*;

    /// `number` frames of 1500 bytes at `rate`, the first `burst` of them at once.
    pub(in super::super) fn train(rate: f64, number: u32, burst: u32) -> Train {
        let frame_bits = 12_000.0;
        let at = |index: u32| {
            Duration::from_secs_f64(f64::from(index.saturating_sub(burst)) * frame_bits / rate)
        };
        Train {
            sent_rate: 2.0 * rate,
            peak_rate: rate,
            asked_rate: rate,
            timing: Timing::Parts(PARTS),
            frame_bits,
            sent: (0..number)
                .map(|index| Duration::from_secs_f64(f64::from(index) * frame_bits / rate / 2.0))
                .collect(),
            arrivals: (0..number)
                .map(|index| TrainArrival {
                    number: index as usize,
                    at: at(index),
                    marked: false,
                })
                .collect(),
        }
    }

    #[test]
    fn the_rate_is_that_after_the_burst() {
        for (number, burst) in [(40, 0), (400, 0), (400, 90)] {
            let rate = train(1e8, number, burst).rate().unwrap();
            assert!(
                (rate / 1e8 - 1.0).abs() < 1e-6,
                "{number} packets, {burst} at once: {rate}"
            );
        }
    }

    #[test]
    fn a_rate_that_changes_is_timed_over_whole_periods() {
        // 100 Mbit/s for 20 ms, then nothing for 20 ms: half of it in the mean.
        let mut changing = train(1e8, 400, 0);
        for arrival in &mut changing.arrivals {
            let before = arrival.at.as_millis() / 20;
            arrival.at += Duration::from_millis(20) * u32::try_from(before).unwrap();
        }
        changing.timing = Timing::Within(Duration::from_millis(40));
        let rate = changing.rate().unwrap();
        assert!((rate / 5e7 - 1.0).abs() < 0.02, "{rate}");
        changing.timing = Timing::Within(Duration::from_millis(400));
        assert_eq!(
            changing.rate(),
            Err("its train was shorter than a period of its rate".to_owned())
        );
    }

    #[test]
    fn a_machine_that_stands_still_for_a_while_does_not_change_the_rate() {
        let mut held_up = train(1e8, 900, 0);
        for arrival in &mut held_up.arrivals[500..] {
            arrival.at += Duration::from_millis(40);
        }
        let rate = held_up.rate().unwrap();
        assert!((rate / 1e8 - 1.0).abs() < 1e-6, "{rate}");
    }

    #[test]
    fn a_train_that_says_nothing_is_further_off_than_any_that_does() {
        let silent = train(1e8, 9, 0);
        assert!(train(1e8, 400, 0).error().abs() < 1e-6);
        let half = Train {
            asked_rate: 1e8,
            ..train(5e7, 400, 0)
        };
        assert!((half.error() - 0.5).abs() < 1e-6);
        assert!(half.error() < silent.error());
    }

    #[test]
    fn jitter_that_makes_packets_wait_for_each_other_does_not_slow_the_train() {
        let deviation = Duration::from_millis(3);
        let jitter = Jitter {
            deviation,
            shape: JitterShape::Distribution(JitterDistribution::Pareto),
            order: PacketOrder::Preserved,
        };
        let (rate, number) = (2e7, 165);
        let frame = Duration::from_secs_f64(12_000.0 / rate);
        let jittered = Channel {
            jitter: Some(jitter),
            ..Channel::of_delay(Duration::ZERO)
        };
        let probes = ideal::Probes {
            interval: frame,
            frame: 1500,
        };
        let late = ideal::in_order(&jittered, probes, number);
        let mut train = Train {
            timing: Timing::Parts(1),
            ..train(rate, number as u32, 0)
        };
        for (arrival, late) in train.arrivals.iter_mut().zip(late) {
            arrival.at += Duration::from_secs_f64(deviation.as_secs_f64() + late / 1e6);
        }
        let measured = train.rate().unwrap();
        assert!((measured / rate - 1.0).abs() < 0.1, "{measured}");
    }

    #[test]
    fn a_train_that_the_sender_held_up_says_nothing() {
        let slow = Train {
            sent_rate: 1e8,
            ..train(1e8, 400, 0)
        };
        assert_eq!(
            slow.rate(),
            Err("the sender reached 100 Mbit/s, too little to fill 100".to_owned())
        );
        assert_eq!(
            train(1e8, 9, 0).rate(),
            Err("9 packets of its train arrived".to_owned())
        );
    }

    #[test]
    fn what_waits_in_the_last_third_is_what_a_full_queue_holds() {
        let mut flood = train(1e8, 300, 0);
        // Sent twice as fast as they leave: at the end half of them are under way.
        let (waits, dropped) = flood.waits(0.0);
        assert_eq!((waits.len(), dropped), (100, 0.0));
        assert!(waits.is_sorted() && (waits[99] - 299.0 * 60.0).abs() < 1.0);
        flood.arrivals.retain(|arrival| arrival.number % 2 == 0);
        assert!((flood.waits(0.0).1 - 0.5).abs() < 0.01);
    }
}
