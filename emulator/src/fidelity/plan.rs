//! Which trains to send: pure.

use std::time::Duration;

use longhaul_topologies::model::{QueueDiscipline, QueueLimit};

use super::blast::Blast;
use super::subject::{Expected, Subject};
use super::train::{PARTS, Timing};
use crate::probe::payload;

/// A train outlasts the burst that a token bucket lets through at once (tens of milliseconds at HZ = 100).
const SHORTEST: Duration = Duration::from_millis(20);
/// The most a pace train sends.
const MOST_BYTES: u64 = 16 << 20;
/// The most that a flood, or a train over a rate that changes, sends.
const MOST_FLOOD_BYTES: f64 = 256e6;
/// How much faster than the channel a pace train is sent: enough to keep the bottleneck busy through a late wake-up of the
/// sender, little enough not to overrun a user-space engine.
const OVERSPEED: f64 = 1.3;
/// The same of a flood: the queue fills in the time that it takes to drain.
const FLOOD: f64 = 2.0;
/// A frame is short enough that about this many fit into a train, down to the shortest there is.
const PACKETS: u64 = 48;
const SHORTEST_FRAME: u64 = 42 + payload::SHORTEST as u64;
/// After the time in which a queue fills, a flood goes on for half as long and this, and what is measured is the last third.
const AFTER: Duration = Duration::from_millis(30);
/// A queue of which nothing is known is filled for this long at least.
const UNKNOWN_QUEUE: Duration = Duration::from_millis(300);
/// As long as queue management needs to act: CoDel waits for 100 ms (RFC 8289 section 4.3), PIE lets 150 ms through (RFC 8033
/// section 4.3).
const MANAGED: Duration = Duration::from_millis(500);

/// How much is spent on trains.
#[derive(Clone, Copy, Debug)]
pub(super) struct Effort {
    /// All pace trains together take about this long.
    pub(super) total: Duration,
    /// One of them at most this long.
    pub(super) longest: Duration,
    /// A flood, or a train over a rate that changes, at most this long.
    pub(super) patience: Duration,
}

/// The pace trains of `subjects`, which pass `rates` (bits per second).
pub(super) fn paces(
    subjects: &[Subject<'_>],
    rates: &[Option<f64>],
    effort: &Effort,
) -> Vec<Result<Blast, String>> {
    let length = share(effort, rates.iter().flatten().count());
    let each = subjects.iter().zip(rates);
    each.map(
        |(subject, rate)| match (rate, &subject.expected.channel.rate_trace) {
            (None, _) => Err("it is unlimited".to_owned()),
            (Some(rate), None) => Ok(pace(&subject.expected, *rate, length)),
            (Some(rate), Some(trace)) => {
                let period = trace.period();
                let whole = period
                    * u32::try_from(length.as_nanos() / period.as_nanos().max(1))
                        .unwrap_or(1)
                        .max(1);
                let peak = trace.greatest() as f64;
                let length = whole + SHORTEST;
                if length > effort.patience {
                    return Err(format!(
                        "it repeats after {period:?} only, longer than the measurement"
                    ));
                }
                over(peak * OVERSPEED, length)?;
                Ok(Blast {
                    pace: peak * OVERSPEED,
                    peak_rate: peak,
                    timing: Timing::Within(whole),
                    length,
                    transit: subject.expected.transit() + length,
                    ..pace(&subject.expected, *rate, length)
                })
            }
        },
    )
    .collect()
}

/// What each of so many pace trains may take.
pub(super) fn share(effort: &Effort, trains: usize) -> Duration {
    let each = effort.total / u32::try_from(trains.max(1)).unwrap_or(u32::MAX);
    each.max(SHORTEST).min(effort.longest)
}

pub(super) fn pace(expected: &Expected, rate: f64, length: Duration) -> Blast {
    let length = length.min(Duration::from_secs_f64(MOST_BYTES as f64 * 8.0 / rate));
    let bytes = (rate * length.as_secs_f64() / 8.0) as u64;
    let parts = if expected.channel.jitter.is_some() {
        1
    } else {
        PARTS
    };
    Blast {
        pace: rate * OVERSPEED,
        peak_rate: rate,
        asked_rate: rate,
        timing: Timing::Parts(parts),
        frame: (bytes / PACKETS).clamp(SHORTEST_FRAME, full_frame(expected)),
        length,
        transit: expected.transit() + length,
        waiting: waiting(bytes as f64 * (OVERSPEED - 1.0)),
    }
}

/// The send buffer with which so many bytes may wait at the bottleneck and a late sender catches up: the kernel counts the memory
/// of a packet, about twice its bytes, and twice what is asked for.
fn waiting(bytes: f64) -> usize {
    (bytes * 2.0) as usize + (1 << 20)
}

/// The floods of `subjects`: full frames at twice the rate until the queue is full.
pub(super) fn floods(
    subjects: &[Subject<'_>],
    rates: &[Option<f64>],
    effort: &Effort,
) -> Vec<Result<Blast, String>> {
    let each = subjects.iter().zip(rates);
    each.map(|(subject, rate)| {
        let rate = rate.ok_or("without a rate nothing queues")?;
        if subject.expected.channel.rate_trace.is_some() {
            return Err("its rate changes while it fills".to_owned());
        }
        flood(&subject.expected, rate, effort)
    })
    .collect()
}

fn flood(expected: &Expected, rate: f64, effort: &Effort) -> Result<Blast, String> {
    let frame = full_frame(expected);
    let bytes = match expected.channel.queue_limit {
        Some(QueueLimit::Bytes(bytes)) => bytes.bytes() as f64,
        Some(QueueLimit::Packets(packets)) => f64::from(packets) * frame as f64,
        None => UNKNOWN_QUEUE.as_secs_f64() * rate / 8.0,
    };
    let seconds = bytes * 8.0 / rate / (FLOOD - 1.0);
    let too_long = || format!("it takes {seconds:.1} s to fill, longer than the measurement");
    // No number of a duration's may hold it.
    let fills = Duration::try_from_secs_f64(seconds).map_err(|_| too_long())?;
    if fills > effort.patience {
        return Err(too_long());
    }
    let mut length = fills.mul_f64(1.5) + AFTER;
    if expected.channel.discipline != QueueDiscipline::DropTail {
        length = length.max(MANAGED);
    }
    if length > effort.patience {
        return Err(too_long());
    }
    over(rate * FLOOD, length)?;
    Ok(Blast {
        pace: rate * FLOOD,
        peak_rate: rate,
        asked_rate: rate,
        timing: Timing::Parts(1),
        frame,
        length,
        transit: expected.transit() + fills.mul_f64(2.0),
        waiting: waiting(bytes),
    })
}

/// Refuses what would send more than any machine should for a measurement.
fn over(pace: f64, length: Duration) -> Result<(), String> {
    let bytes = pace * length.as_secs_f64() / 8.0;
    if bytes > MOST_FLOOD_BYTES {
        return Err(format!("it would take {:.0} MB to fill", bytes / 1e6));
    }
    Ok(())
}

fn full_frame(expected: &Expected) -> u64 {
    u64::from(expected.mtu) + 14
}

#[cfg(test)]
mod tests {
    use super::super::judge::tests::subject;
    use super::*;
    use longhaul_topologies::model::Channel;
    use longhaul_topologies::units::{ByteSize, Rate};

    const EFFORT: Effort = Effort {
        total: Duration::from_secs(1),
        longest: Duration::from_millis(500),
        patience: Duration::from_secs(3),
    };

    fn limited(queue: u64) -> Channel {
        Channel {
            rate: Some(Rate::from_bits_per_second(80_000_000)),
            queue_limit: Some(QueueLimit::Bytes(ByteSize::from_bytes(queue))),
            ..Channel::of_delay(Duration::from_millis(40))
        }
    }

    #[test]
    fn a_flood_lasts_until_the_queue_is_full_and_half_as_long_again() {
        let subject = subject(limited(1_000_000));
        let plans = floods(&[subject], &[Some(8e7)], &EFFORT);
        let blast = plans[0].as_ref().unwrap();
        // 1 MB at 80 Mbit/s take 100 ms to drain, and at twice the rate as long to fill.
        assert_eq!(blast.length, Duration::from_millis(180));
        assert!((blast.pace - 1.6e8).abs() < 1.0);
    }

    #[test]
    fn a_queue_that_takes_too_long_is_not_filled_and_the_reason_is_told() {
        let subject = subject(limited(100_000_000));
        let plans = floods(&[subject], &[Some(8e7)], &EFFORT);
        let reason = plans[0].as_ref().unwrap_err();
        assert_eq!(
            reason,
            "it takes 10.0 s to fill, longer than the measurement"
        );
    }

    #[test]
    fn a_queue_that_no_time_fills_is_not_filled() {
        let plans = floods(&[subject(limited(u64::MAX))], &[Some(1.0)], &EFFORT);
        let reason = plans[0].as_ref().unwrap_err();
        assert!(reason.contains("longer than the measurement"), "{reason}");
    }

    #[test]
    fn trains_share_the_time() {
        let subjects: Vec<_> = (0..10).map(|_| subject(limited(1_000_000))).collect();
        let plans = paces(&subjects, &[Some(8e7); 10], &EFFORT);
        assert_eq!(
            plans[0].as_ref().unwrap().length,
            Duration::from_millis(100)
        );
        let none = paces(&subjects[..1], &[None], &EFFORT);
        assert_eq!(none[0].as_ref().unwrap_err(), "it is unlimited");
    }
}
