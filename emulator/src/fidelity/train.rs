//! Packet trains: a short blast faster than the channel, timed where it arrives.

use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use longhaul_topologies::model::Channel;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;

use super::judge::UDP_HEADERS;
use crate::lab::Lab;
use crate::plan::ChannelId;
use crate::probe::{ProbeEnd, ProbeError, ProbeRoute, ProbeSocket, open_error};

/// All trains together are sent in about this long.
const TOTAL: Duration = Duration::from_secs(1);
/// A train outlasts the burst that a token bucket lets through at once (tens of milliseconds at HZ = 100).
const LONGEST: Duration = Duration::from_millis(100);
const SHORTEST: Duration = Duration::from_millis(20);
/// The most a train sends.
const MOST_BYTES: u64 = 16 << 20;
/// How much faster than the channel it is sent: enough to keep the bottleneck busy through a late wake-up of the sender,
/// little enough not to overrun a user-space engine.
const OVERSPEED: f64 = 1.3;
/// Below it the sender, not the channel, may have set the pace.
const LEAST_OVERSPEED: f64 = 1.05;
/// A frame is short enough that about this many fit into a train, down to the shortest there is.
const PACKETS: u64 = 48;
const SHORTEST_FRAME: u64 = 64;
/// Fewer arrivals give no rate.
const FEWEST: usize = 10;
/// A train is timed in this many parts, or fewer where a part would be shorter than [`FEWEST`] arrivals; in one where
/// there is jitter: packets that may not overtake wait for a late one, and most parts lie in the shadow of one.
const PARTS: usize = 9;
/// How often a train that is off is sent.
const ATTEMPTS: usize = 3;
/// A train that is off by no more needs no second one.
const CLEAR: f64 = 0.03;
/// What is ready is received after so many sends.
const BATCH: usize = 16;

/// What came of a train.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Train {
    /// Bits per second of frames that the sender achieved.
    pub(super) sent_rate: f64,
    /// Bits per second of frames that were asked for.
    pub(super) asked_rate: f64,
    /// In how many parts it is to be timed.
    pub(super) parts: usize,
    /// When each datagram arrived, and the bits of its frame.
    pub(super) arrivals: Vec<(Duration, f64)>,
}

impl Train {
    /// Bits per second at which it arrived, once the bottleneck's burst was used up: the last three quarters of the
    /// arrivals in parts, the slope of a line through each, the median of those. On a busy machine the sender or the
    /// network stack stands still for tens of milliseconds now and then; that spoils a part or two, not the median.
    ///
    /// # Errors
    /// If it says nothing about the channel; the message says why.
    pub(super) fn rate(&self) -> Result<f64, String> {
        if self.sent_rate < LEAST_OVERSPEED * self.asked_rate {
            let [sent, asked] = [self.sent_rate, self.asked_rate].map(|rate| rate / 1e6);
            return Err(format!(
                "the sender reached {sent:.0} Mbit/s, too little to fill {asked:.0}"
            ));
        }
        let settled = &self.arrivals[self.arrivals.len() / 4..];
        if settled.len() < FEWEST {
            return Err(format!(
                "{} packets of its train arrived",
                self.arrivals.len()
            ));
        }
        let mut slopes: Vec<f64> = settled
            .chunks(settled.len().div_ceil(self.parts).max(FEWEST))
            .filter(|part| part.len() >= FEWEST)
            .filter_map(arrival_rate)
            .collect();
        slopes.sort_by(f64::total_cmp);
        let median = slopes.get(slopes.len() / 2).copied();
        median.ok_or_else(|| "its train arrived all at once".to_owned())
    }

    /// How far its rate is from what was asked for, as a share; infinite if it says nothing.
    fn error(&self) -> f64 {
        self.rate()
            .map_or(f64::INFINITY, |rate| (1.0 - rate / self.asked_rate).abs())
    }

    /// From the first arrival to the last.
    pub(super) fn duration(&self) -> Duration {
        match (self.arrivals.first(), self.arrivals.last()) {
            (Some(first), Some(last)) => {
                last.0.saturating_sub(first.0).max(Duration::from_nanos(1))
            }
            _ => Duration::from_nanos(1),
        }
    }
}

/// Bits per second of `arrivals`: the slope of a line through them.
fn arrival_rate(arrivals: &[(Duration, f64)]) -> Option<f64> {
    let origin = arrivals[0].0;
    let mut bits = 0.0;
    let points: Vec<(f64, f64)> = arrivals
        .iter()
        .map(|&(at, frame)| {
            bits += frame;
            (at.saturating_sub(origin).as_secs_f64(), bits)
        })
        .collect();
    slope(&points)
}

/// The slope of the least-squares line.
fn slope(points: &[(f64, f64)]) -> Option<f64> {
    let n = points.len() as f64;
    let mean_x = points.iter().map(|point| point.0).sum::<f64>() / n;
    let mean_y = points.iter().map(|point| point.1).sum::<f64>() / n;
    let (mut xx, mut xy) = (0.0, 0.0);
    for &(x, y) in points {
        xx += (x - mean_x) * (x - mean_x);
        xy += (x - mean_x) * (y - mean_y);
    }
    (xx > 0.0).then(|| xy / xx)
}

/// A train to be sent.
#[derive(Debug)]
struct Departure {
    from: ProbeSocket,
    to: ProbeSocket,
    /// Bits per second of frames.
    rate: f64,
    frame: u64,
    length: Duration,
    parts: usize,
    /// One-way delay, and the time that what the train leaves in the queue needs.
    transit: Duration,
}

/// Sends trains, and again where one was off, and keeps the best of each channel. A busy machine that holds up the sender
/// or the engine for milliseconds bends a single train; a channel that really has another rate bends all.
pub(super) fn run_until_clear(
    lab: &Lab,
    channels: &[(ChannelId, ProbeRoute)],
    stop: &AtomicBool,
) -> Result<Vec<Result<Train, String>>, ProbeError> {
    let mut best = run(lab, channels, stop)?;
    for _ in 1..ATTEMPTS {
        if best.iter().flatten().all(|train| train.error() < CLEAR) {
            break;
        }
        for (best, again) in best.iter_mut().zip(run(lab, channels, stop)?) {
            if let (Ok(best), Ok(again)) = (best, again)
                && again.error() < best.error()
            {
                *best = again;
            }
        }
    }
    Ok(best)
}

/// Sends a train over every channel that has a rate, one after another; arrivals are taken in all the while.
fn run(
    lab: &Lab,
    channels: &[(ChannelId, ProbeRoute)],
    stop: &AtomicBool,
) -> Result<Vec<Result<Train, String>>, ProbeError> {
    let topology = &lab.plan().topology;
    let limited = |id: ChannelId| topology.links[id.link.0].lanes[id.lane].channel(id.direction);
    let number = channels
        .iter()
        .filter(|&&(id, _)| limited(id).rate.is_some())
        .count();
    let length =
        (TOTAL / u32::try_from(number.max(1)).unwrap_or(u32::MAX)).clamp(SHORTEST, LONGEST);
    let mut departures = Vec::new();
    for &(id, route) in channels {
        departures.push(Departure::new(
            lab,
            limited(id),
            route,
            length,
            u64::from(topology.mtu),
        )?);
    }
    let mut trains: Vec<Result<Train, String>> = departures
        .iter()
        .map(|departure| match departure {
            Some(departure) => Ok(Train {
                sent_rate: 0.0,
                asked_rate: departure.rate,
                parts: departure.parts,
                arrivals: Vec::new(),
            }),
            None => Err("it is unlimited".to_owned()),
        })
        .collect();
    let failed = |source| ProbeError::Thread {
        step: "send a packet train",
        source,
    };
    for at in 0..departures.len() {
        if let Some(departure) = &departures[at] {
            let sent_rate = departure
                .send(|| receive(&departures[..=at], &mut trains), stop)
                .map_err(failed)?;
            if let Ok(train) = &mut trains[at] {
                train.sent_rate = sent_rate;
            }
        }
    }
    let transit = departures
        .iter()
        .flatten()
        .map(|departure| departure.transit)
        .max()
        .unwrap_or_default();
    let deadline = Instant::now() + transit + SHORTEST;
    while Instant::now() < deadline && !stop.load(Ordering::Relaxed) {
        wait(&departures, Duration::from_millis(5)).map_err(failed)?;
        receive(&departures, &mut trains).map_err(failed)?;
    }
    Ok(trains)
}

impl Departure {
    /// `None` for a channel without a rate.
    fn new(
        lab: &Lab,
        channel: &Channel,
        route: ProbeRoute,
        length: Duration,
        mtu: u64,
    ) -> Result<Option<Self>, ProbeError> {
        let Some(rate) = channel.rate else {
            return Ok(None);
        };
        let open = |end: ProbeEnd| {
            ProbeSocket::open(lab, end).map_err(|source| open_error(lab, end, source))
        };
        let (from, to) = (open(route.from)?, open(route.to)?);
        to.reserve(8 << 20)
            .map_err(|source| open_error(lab, route.to, source))?;
        let rate_bits = rate.bits_per_second() as f64;
        let length = length.min(Duration::from_secs_f64(MOST_BYTES as f64 * 8.0 / rate_bits));
        let frame = (rate.size_in(length).bytes() / PACKETS).clamp(SHORTEST_FRAME, mtu + 14);
        let deviation = channel
            .jitter
            .as_ref()
            .map_or(Duration::ZERO, |jitter| jitter.deviation);
        let transit = channel.delay + length + 4 * deviation;
        Ok(Some(Self {
            from,
            to,
            rate: rate_bits,
            frame,
            length,
            parts: if channel.jitter.is_some() { 1 } else { PARTS },
            transit,
        }))
    }

    /// Sends the train at [`OVERSPEED`] and answers the rate it reached.
    fn send(
        &self,
        mut receive: impl FnMut() -> io::Result<()>,
        stop: &AtomicBool,
    ) -> io::Result<f64> {
        let payload = vec![0; usize::try_from(self.frame - UDP_HEADERS).unwrap_or_default()];
        let (frame_bits, pace) = (self.frame as f64 * 8.0, self.rate * OVERSPEED);
        let started = Instant::now();
        let mut sent = 0.0;
        while started.elapsed() < self.length && !stop.load(Ordering::Relaxed) {
            let allowed = started.elapsed().as_secs_f64() * pace;
            let mut batch = 0;
            while sent < allowed && batch < BATCH && self.from.send(self.to.address(), &payload)? {
                sent += frame_bits;
                batch += 1;
            }
            receive()?;
            if sent >= allowed {
                std::thread::sleep(Duration::from_micros(100));
            }
        }
        Ok(sent / started.elapsed().as_secs_f64())
    }
}

fn receive(
    departures: &[Option<Departure>],
    trains: &mut [Result<Train, String>],
) -> io::Result<()> {
    let mut buffer = [0; 1];
    for (departure, train) in departures.iter().zip(trains) {
        let (Some(departure), Ok(train)) = (departure, train) else {
            continue;
        };
        while let Some(arrival) = departure.to.receive(&mut buffer)? {
            train
                .arrivals
                .push((arrival.at, departure.frame as f64 * 8.0));
        }
    }
    Ok(())
}

fn wait(departures: &[Option<Departure>], patience: Duration) -> io::Result<()> {
    let mut waits: Vec<PollFd> = departures
        .iter()
        .flatten()
        .map(|departure| PollFd::new(departure.to.as_fd(), PollFlags::POLLIN))
        .collect();
    match ppoll(&mut waits, Some(TimeSpec::from_duration(patience)), None) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use longhaul_topologies::model::{Jitter, JitterDistribution, JitterShape, PacketOrder};

    use super::super::ideal;
    use super::*;

    /// `number` frames of 1500 bytes at `rate`, the first `burst` of them at once.
    fn train(rate: f64, number: u32, burst: u32) -> Train {
        let bits = 12_000.0;
        let at = |index: u32| {
            Duration::from_secs_f64(f64::from(index.saturating_sub(burst)) * bits / rate)
        };
        Train {
            sent_rate: 2.0 * rate,
            asked_rate: rate,
            parts: PARTS,
            arrivals: (0..number).map(|index| (at(index), bits)).collect(),
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
    fn a_machine_that_stands_still_for_a_while_does_not_change_the_rate() {
        let mut held_up = train(1e8, 900, 0);
        for (at, _) in &mut held_up.arrivals[500..] {
            *at += Duration::from_millis(40);
        }
        let rate = held_up.rate().unwrap();
        assert!((rate / 1e8 - 1.0).abs() < 1e-6, "{rate}");
    }

    #[test]
    fn a_train_that_says_nothing_is_further_off_than_any_that_does() {
        let silent = train(1e8, 9, 0);
        assert!(train(1e8, 400, 0).error().abs() < 1e-6);
        assert!(train(5e7, 400, 0).error() < silent.error());
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
        let mut late = ideal::variations(&jitter, frame).into_iter();
        let mut train = Train {
            parts: 1,
            ..train(rate, number, 0)
        };
        for ((at, _), late) in train.arrivals.iter_mut().zip(&mut late) {
            *at += deviation.mul_f64(late + 1.0);
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
}
