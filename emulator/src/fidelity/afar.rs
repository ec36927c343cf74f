//! Ways between machines that are there: what was seen of them, judged as a lab's channels are.
//!
//! Two clocks tell a one-way delay, and how far they are apart is known only so far; the bound of a delay is wider by that. What
//! neither clock can bend is the round trip: it is held against the description by itself.

use std::net::IpAddr;
use std::time::Duration;

use super::judge::{self, Depth, Observed, delay_noise, headers};
use super::plan::{self, Effort};
use super::quantity::{Measurement, Quantity};
use super::subject::Expected;
use super::train::{Train, TrainArrival};
use super::{Fidelity, FidelityCheck};
use crate::probe::{ProbeSample, payload};

/// What a train between machines may take, and no more of a way that others use, too.
const EFFORT: Effort = Effort {
    total: Duration::from_millis(500),
    longest: Duration::from_millis(100),
    patience: Duration::from_secs(1),
};

/// One way: what it should be like, and what was seen of it.
#[derive(Debug)]
pub(crate) struct Way {
    pub(crate) expected: Expected,
    /// Of its end.
    pub(crate) address: IpAddr,
    /// Between two probes, and for how long they were sent.
    pub(crate) interval: Duration,
    pub(crate) lasted: Duration,
    /// How far off the clocks of its ends may be from each other.
    pub(crate) clocks: Duration,
    pub(crate) samples: Vec<ProbeSample>,
    /// The train that told its rate, or why there was none.
    pub(crate) train: Result<Pace, String>,
}

/// A train to be sent, and what came of it.
#[derive(Clone, Debug)]
pub(crate) struct Pace {
    /// Bytes of a datagram's payload.
    pub(crate) payload: usize,
    /// Between two, on average.
    pub(crate) gap: Duration,
    /// For how long it is sent.
    pub(crate) length: Duration,
    /// How long its last may be under way.
    pub(crate) transit: Duration,
    /// Bytes that may wait in the sender.
    pub(crate) waiting: usize,
    train: Train,
}

/// What is told of a way.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) measurements: Vec<Measurement>,
    pub(crate) skipped: Vec<String>,
    /// The median of its delays, if enough arrived.
    pub(crate) delay: Option<Duration>,
}

impl Pace {
    /// The train that tells the rate of a way to `address`, one of `ways` that are measured.
    ///
    /// # Errors
    /// If nobody said what it carries; in words.
    pub(crate) fn plan(expected: &Expected, address: IpAddr, ways: usize) -> Result<Self, String> {
        let rate = expected
            .channel
            .rate
            .filter(|_| expected.judged.contains(&Quantity::Rate));
        let rate = rate.ok_or("nothing says what it carries")?;
        let blast = plan::pace(
            expected,
            rate.bits_per_second() as f64,
            plan::share(&EFFORT, ways),
        );
        let headers = headers(address);
        let room = usize::try_from(blast.frame.saturating_sub(headers)).unwrap_or_default();
        let payload = payload::write(0, room).len();
        let frame_bits = (payload as u64 + headers) as f64 * 8.0;
        Ok(Self {
            payload,
            gap: Duration::from_secs_f64(frame_bits / blast.pace),
            length: blast.length,
            transit: blast.transit,
            waiting: blast.waiting,
            train: Train {
                sent_rate: 0.0,
                peak_rate: blast.peak_rate,
                asked_rate: blast.asked_rate,
                timing: blast.timing,
                frame_bits,
                sent: Vec::new(),
                arrivals: Vec::new(),
            },
        })
    }

    /// It was sent at `sent` (the sender's clock), and arrived so: number and moment (the receiver's).
    pub(crate) fn seen(
        &mut self,
        sent: Vec<Duration>,
        arrivals: impl Iterator<Item = (usize, Duration)>,
    ) {
        let bits = sent.len() as f64 * self.train.frame_bits;
        self.train.sent_rate = bits / self.length.as_secs_f64();
        let mut first = vec![true; sent.len()];
        let arrivals =
            arrivals.filter(|(number, _)| first.get_mut(*number).is_some_and(std::mem::take));
        let arrival = |(number, at)| TrainArrival {
            number,
            at,
            marked: false,
        };
        self.train.arrivals = arrivals.map(arrival).collect();
        self.train.sent = sent;
    }

    /// How far the rate it tells is from what was asked for, as a share; infinite if it tells none.
    pub(crate) fn error(&self) -> f64 {
        self.train.error()
    }
}

impl Way {
    /// Judges it, one of `ways`.
    pub(crate) fn judge(self, ways: usize) -> Told {
        let headers = headers(self.address);
        let observed = Observed {
            interval: self.interval,
            frame: payload::SHORTEST as u64 + headers,
            headers,
            clocks: self.clocks,
            lasted: self.lasted,
            samples: self.samples,
            train: self.train.map(|pace| pace.train),
            flood: Err(String::new()),
        };
        let found = judge::judge(&self.expected, &observed, ways, Depth::Brief);
        let told = found.measurements.iter();
        let mut delays = told.filter(|one| one.quantity == Quantity::Delay);
        let micros = delays.next().map(|one| one.measured.max(0.0));
        Told {
            delay: micros.map(|micros| Duration::from_secs_f64(micros / 1e6)),
            measurements: found.measurements,
            skipped: found.skipped,
        }
    }
}

/// The round trip of two ways that lead back to each other, if both delays are asked for and known.
pub(crate) fn round_trip(there: &Told, back: &Told) -> Option<FidelityCheck> {
    let delay = |told: &Told, quantity| {
        let mut found = told.measurements.iter();
        found.find(|one| one.quantity == quantity)?.check()
    };
    let (forward, reverse) = (
        delay(there, Quantity::Delay)?,
        delay(back, Quantity::Delay)?,
    );
    let asked = forward.asked + reverse.asked;
    let measured = forward.measured + reverse.measured;
    let jitter =
        [there, back].map(|told| delay(told, Quantity::Jitter).map_or(0.0, |check| check.asked));
    let bound = delay_noise(asked) + jitter.iter().sum::<f64>();
    Some(FidelityCheck {
        channel: forward.channel,
        quantity: "round-trip delay".to_owned(),
        unit: forward.unit,
        asked,
        measured,
        bound,
        within: (measured - asked).abs() <= bound,
        samples: forward.samples.min(reverse.samples),
    })
}

impl Fidelity {
    /// Judges a run between machines that are there by the checks before it, and by the busiest machine's CPU.
    pub fn of_machines(checks: Vec<FidelityCheck>, cpu_use: f64) -> Self {
        let mut fidelity = Self {
            checks,
            cpu_use,
            ..Self::default()
        };
        fidelity.findings = judge::findings_between_machines(&fidelity);
        fidelity
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use longhaul_topologies::model::Channel;
    use longhaul_topologies::units::Rate;

    use super::super::Shaper;
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn expected(delay: Duration, rate: Option<Rate>) -> Expected {
        let judged = match rate {
            Some(_) => [Quantity::Delay, Quantity::Rate].into(),
            None => [Quantity::Delay].into(),
        };
        Expected {
            name: "a>b lane 0".to_owned(),
            channel: Channel {
                rate,
                ..Channel::of_delay(delay)
            },
            judged,
            mtu: 1500,
            shaper: Shaper::Line,
        }
    }

    fn way(asked: Duration, seen: Duration, clocks: Duration) -> Told {
        let sample = |number: u32| ProbeSample {
            path: 0,
            sent: 4 * MS * number,
            delay: Some(seen),
            extent: 0,
            copies: 1,
            corrupted: false,
        };
        let way = Way {
            expected: expected(asked, None),
            address: ADDRESS,
            interval: 4 * MS,
            lasted: 4 * MS * 300,
            clocks,
            samples: (0..300).map(sample).collect(),
            train: Err("none".to_owned()),
        };
        way.judge(2)
    }

    #[test]
    fn clocks_that_are_apart_bend_each_way_and_not_the_round_trip() {
        // 3 ms apart, and known to be so within 5 ms.
        let (there, back) = (way(40 * MS, 43 * MS, 5 * MS), way(40 * MS, 37 * MS, 5 * MS));
        assert!(
            there
                .measurements
                .iter()
                .chain(&back.measurements)
                .all(|one| !one.is_off())
        );
        let both = round_trip(&there, &back).unwrap();
        assert!(
            both.within && (both.asked, both.measured) == (80_000.0, 80_000.0),
            "{both:?}"
        );

        let longer = round_trip(
            &way(40 * MS, 42 * MS, 5 * MS),
            &way(40 * MS, 41 * MS, 5 * MS),
        );
        let longer = longer.unwrap();
        assert!(!longer.within && longer.measured == 83_000.0, "{longer:?}");
        let findings = Fidelity::of_machines(vec![longer], 0.1).findings;
        assert!(
            findings[0].contains("correct the inventory"),
            "{findings:?}"
        );
    }

    #[test]
    fn a_train_tells_the_rate_by_the_receivers_clock_alone() {
        let rate = Rate::from_bits_per_second(100_000_000);
        let mut pace = Pace::plan(&expected(MS, Some(rate)), ADDRESS, 1).unwrap();
        let count = (pace.length.as_nanos() / pace.gap.as_nanos()) as u32;
        let spacing = Duration::from_secs_f64(pace.train.frame_bits / 1e8);
        let later = Duration::from_secs(1_000);
        pace.seen(
            (0..count).map(|number| pace.gap * number).collect(),
            (0..count).map(|number| (number as usize, later + spacing * number)),
        );
        assert!(pace.error() < 0.001, "{}", pace.error());
        assert!(Pace::plan(&expected(MS, None), ADDRESS, 1).is_err());
    }
}
