//! A train: packets that leave at one pace, and how they arrive.

use std::time::Duration;

use longhaul_emulator::time::Time;

use super::super::{Ack, Loss, Sent};

/// Packets of one that asks what the bottleneck carries: few, as all of them queue, and enough that others' packets are not between most of them.
pub(super) const ASKING: u32 = 8;
/// Packets that a token bucket may let through at once: by the first after these is told when the line began to be what holds up.
const AT_ONCE: u32 = 2;
/// A bottleneck sends one packet after the other in the same time, or nearly. Where jitter spaced them, no two gaps are so.
const ALIKE: f64 = 0.9;

/// It under way.
#[derive(Debug)]
pub(super) struct Train {
    length: u32,
    sent: u32,
    /// When its first and its newest packet left.
    left: Option<(Time, Time)>,
    settled: u32,
    lost: u32,
    arrivals: Vec<Arrival>,
}

/// What one acknowledgement told of.
#[derive(Clone, Copy, Debug)]
struct Arrival {
    sent: Time,
    /// The way there, or the round trip if that is not told.
    way: Duration,
    bytes: u64,
    /// Those that had arrived by then.
    packets: u32,
}

impl Arrival {
    /// There, or of the acknowledgement.
    fn at(self) -> Time {
        self.sent + self.way
    }

    /// In bytes per second; without end if it came with, or before, the other.
    fn pace_after(self, before: Time) -> f64 {
        self.bytes as f64 / self.at().since(before).as_secs_f64()
    }
}

impl Train {
    pub fn new(length: u32) -> Self {
        Train {
            length,
            sent: 0,
            left: None,
            settled: 0,
            lost: 0,
            arrivals: Vec::new(),
        }
    }

    /// Packets that are to come yet.
    pub fn remaining(&self) -> u32 {
        self.length.saturating_sub(self.sent)
    }

    /// Packets whose fate is not known.
    pub fn unsettled(&self) -> u32 {
        self.length.saturating_sub(self.settled)
    }

    pub fn settled(&self) -> u32 {
        self.settled
    }

    /// Whether one of its packets has arrived.
    pub fn has_begun_to_arrive(&self) -> bool {
        !self.arrivals.is_empty()
    }

    pub fn length(&self) -> u32 {
        self.length
    }

    pub fn on_sent(&mut self, sent: &Sent) {
        if self.remaining() > 0 {
            self.sent += 1;
            self.left.get_or_insert((sent.now, sent.now)).1 = sent.now;
        }
    }

    pub fn on_loss(&mut self, loss: &Loss) {
        let is_one =
            |(first, last)| loss.sent >= first && (self.remaining() > 0 || loss.sent <= last);
        if self.left.is_some_and(is_one) {
            self.settled += loss.packets;
            self.lost += loss.packets;
        }
    }

    /// Whether all of it is known that ever will be.
    pub fn on_ack(&mut self, ack: &Ack<'_>) -> bool {
        let Some((first, last)) = self.left else {
            return false;
        };
        if ack.sent < first {
            return false;
        }
        if self.remaining() == 0 && ack.sent > last {
            return true;
        }
        self.settled += ack.packets;
        self.arrivals.push(Arrival {
            sent: ack.sent,
            way: ack.one_way.unwrap_or(ack.rtt),
            bytes: ack.bytes,
            packets: self.settled - self.lost,
        });
        // An application that had less to send ends a train early.
        self.settled >= self.length || (ack.in_flight == 0 && self.settled >= self.sent)
    }

    /// The pace it arrived at, in bytes per second, unless it all came at once.
    pub fn arrived_at(&self) -> Option<f64> {
        let arrivals = self.arrivals.iter();
        let at_once = arrivals.take_while(|arrival| arrival.packets <= 1 + AT_ONCE);
        let (before, paced) = self.arrivals.split_at_checked(at_once.count().max(1))?;
        let spacing = paced.last()?.at().since(before.last()?.at()).as_secs_f64();
        let bytes: u64 = paced.iter().map(|arrival| arrival.bytes).sum();
        (spacing > 0.0 && bytes > 0).then(|| bytes as f64 / spacing)
    }

    /// The pace from one packet to the next that is faster than all others but [`AT_ONCE`]: the bottleneck's own, whatever others sent
    /// between the rest, where [`Train::arrived_at`] is what they left of it. Nothing if the next one is not [`ALIKE`].
    pub fn fastest(&self) -> Option<f64> {
        let arrivals = self.arrivals.windows(2);
        let mut paces: Vec<f64> = arrivals.map(|two| two[1].pace_after(two[0].at())).collect();
        paces.sort_by(|one, other| other.total_cmp(one));
        let &[fastest, next] = paces.get(AT_ONCE as usize..)?.first_chunk()?;
        (fastest.is_finite() && next > ALIKE * fastest).then_some(fastest)
    }

    /// What others sent through the bottleneck while it passed, in parts of what that carries, if it left at that pace: its delay
    /// grew by what they sent, and what of it got lost found no room.
    pub fn others(&self) -> f64 {
        let all = f64::from(self.settled.max(1));
        let arrived = (all - f64::from(self.lost)).max(1.0);
        let rise = slope(&self.ways());
        ((1.0 + rise) * all / arrived - 1.0).max(0.0)
    }

    /// When each packet left and what its way took, in seconds, from the last one on that left before the pace held them: after a pause
    /// some leave at once, and wait for each other.
    fn ways(&self) -> Vec<(f64, f64)> {
        let (Some(first), Some(last)) = (self.arrivals.first(), self.arrivals.last()) else {
            return Vec::new();
        };
        let left = |arrival: &Arrival| arrival.sent.since(first.sent).as_secs_f64();
        let behind = |arrival: &Arrival| f64::from(arrival.packets - first.packets);
        let gap = left(last) / behind(last).max(1.0);
        let is_early = |arrival: &&Arrival| left(arrival) < gap * behind(arrival) / 2.0;
        let early = self.arrivals.iter().skip(1).take_while(is_early).count();
        let paced = self.arrivals[early..].iter();
        paced
            .map(|arrival| (left(arrival), arrival.way.as_secs_f64()))
            .collect()
    }
}

/// The slope of a straight line through points, by least squares; 0 if all are at one place.
fn slope(points: &[(f64, f64)]) -> f64 {
    let mean =
        |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / points.len() as f64;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let spread: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    let rise: f64 = points
        .iter()
        .map(|point| (point.0 - x) * (point.1 - y))
        .sum();
    if spread > 0.0 { rise / spread } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::congestion::testing::acknowledged;

    const GAP: Duration = Duration::from_micros(12);

    /// A train that asks, whose packets arrive at these multiples of [`GAP`].
    fn arriving(at: [f64; ASKING as usize]) -> Train {
        let mut train = Train::new(ASKING);
        for _ in at {
            train.on_sent(&Sent {
                now: Time::default(),
                bytes: 1500,
                in_flight: 1500,
                backlogged: true,
            });
        }
        for (packet, gaps) in at.into_iter().enumerate() {
            let mut ack = acknowledged(Time::from_nanos(1_000_000) + GAP.mul_f64(gaps));
            ack.sent = Time::default();
            ack.rtt = ack.now.since(ack.sent);
            ack.in_flight = 1500;
            assert_eq!(train.on_ack(&ack), packet + 1 == at.len());
        }
        train
    }

    fn assert_is_the_bottlenecks(pace: Option<f64>) {
        let pace = pace.unwrap();
        assert!((pace / 125e6 - 1.0).abs() < 1e-3, "{pace}");
    }

    #[test]
    fn what_a_bucket_lets_through_at_once_is_not_the_bottlenecks_pace() {
        // Two and a bit of the third find room in the bucket.
        let train = arriving([0.0, 0.0, 0.8, 1.8, 2.8, 3.8, 4.8, 5.8]);
        assert_is_the_bottlenecks(train.arrived_at());
        assert_is_the_bottlenecks(train.fastest());
    }

    #[test]
    fn what_others_send_between_a_trains_packets_is_not_counted() {
        let train = arriving([0.0, 1.0, 3.0, 4.0, 6.0, 7.0, 10.0, 11.0]);
        assert_is_the_bottlenecks(train.fastest());
        assert!(train.arrived_at().unwrap() < 90e6);
    }

    #[test]
    fn packets_that_left_at_once_after_a_pause_wait_for_each_other_and_not_for_others() {
        let mut train = Train::new(16);
        // Four leave at once, the rest one by one.
        let left = |packet: u32| GAP * packet.saturating_sub(3);
        for packet in 0..16 {
            train.on_sent(&Sent {
                now: Time::default() + left(packet),
                bytes: 1500,
                in_flight: 1500,
                backlogged: true,
            });
        }
        for packet in 0..16 {
            let mut ack = acknowledged(Time::from_nanos(1_000_000) + GAP * packet);
            ack.sent = Time::default() + left(packet);
            ack.rtt = ack.now.since(ack.sent);
            ack.in_flight = 1500;
            train.on_ack(&ack);
        }
        assert!(train.others() < 1e-6, "{}", train.others());
    }

    #[test]
    fn what_jitter_spaced_tells_nothing() {
        let train = arriving([0.0, 0.1, 0.5, 0.8, 1.8, 4.0, 4.6, 7.0]);
        assert!(train.fastest().is_none());
    }

    #[test]
    fn what_came_at_once_tells_no_pace() {
        let train = arriving([0.0; ASKING as usize]);
        assert!(train.fastest().is_none() && train.arrived_at().is_none());
    }
}
