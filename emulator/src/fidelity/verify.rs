//! The measurement: probes over all channels at once, then packet trains over one after another.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use longhaul_topologies::model::LaneState;
use longhaul_topologies::units::Rate;

use super::blast::{self, Blast};
use super::judge::{self, Depth, Found, Observed, headers};
use super::plan::{self, Effort};
use super::quantity::{Measurement, Quantity};
use super::sample::Sample;
use super::subject::Subject;
use super::train::Train;
use crate::probe::{
    Cadence, EcnField, ProbeError, ProbeRoute, ProbeSample, Prober, patience, payload,
};

/// How often a train that is off is sent.
const ATTEMPTS: usize = 3;
/// A train that is off by no more needs no second one.
const CLEAR: f64 = 0.03;
/// The share of a channel's rate that probes may take: they never queue behind each other.
const PROBES_SHARE: f64 = 0.5;
/// The longest payload of a probe: most of the frame is then payload, where a flipped bit shows.
const LONGEST_PAYLOAD: usize = 1000;
/// What probes may take of a rate that nobody has told: little of any.
const UNKNOWN_PAYLOAD: usize = 200;

/// What goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Rates that nobody told are looked for.
    Scouting,
    /// Probes run, for so long.
    Probing(Duration),
    /// Trains tell the rates.
    Pacing,
    /// Floods fill the queues.
    Flooding,
}

/// Everything that was measured.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verification {
    /// Channel by channel.
    pub channels: Vec<VerifiedChannel>,
    /// What could not be measured, and why.
    pub skipped: Vec<String>,
}

/// What was measured of one channel.
#[derive(Clone, Debug, PartialEq)]
pub struct VerifiedChannel {
    /// `virginia>dublin lane 0`.
    pub name: String,
    /// Quantity by quantity.
    pub measurements: Vec<Measurement>,
    /// The delays of its probes in microseconds, in rising order; without what a probe takes on a line of one rate.
    pub delays_us: Vec<f64>,
    /// The same of a channel that is exactly as asked for; empty if nothing was asked.
    pub predicted_us: Vec<f64>,
}

impl Verification {
    /// Everything that was asked for was measured so.
    pub fn faithful(&self) -> bool {
        !self.measurements().any(Measurement::is_off)
    }

    /// What was off, and by how much.
    pub fn findings(&self) -> Vec<String> {
        self.measurements()
            .filter(|measurement| measurement.is_off())
            .filter_map(Measurement::check)
            .map(|check| judge::finding(&check))
            .collect()
    }

    fn measurements(&self) -> impl Iterator<Item = &Measurement> {
        let channels = self.channels.iter();
        channels.flat_map(|channel| &channel.measurements)
    }
}

/// Measures `subjects` for `duration` with probes and about as long with trains. Blocks; `None` if `stop` was set meanwhile.
///
/// # Errors
/// If a namespace has no room for a socket, or sending fails.
pub fn verify(
    subjects: &[Subject<'_>],
    duration: Duration,
    stop: &AtomicBool,
    mut progress: impl FnMut(Stage),
) -> Result<Option<Verification>, ProbeError> {
    let rates = rates(subjects, stop, &mut progress)?;
    let sounding = Sounding::new(subjects, &rates, duration);
    progress(Stage::Probing(duration));
    let (samples, lasted) = sounding.probe(subjects, stop)?;
    let effort = Effort {
        total: duration,
        longest: Duration::from_millis(500),
        patience: duration,
    };
    progress(Stage::Pacing);
    let known: Vec<Option<f64>> = rates.iter().map(|(rate, _)| *rate).collect();
    let plans = plan::paces(subjects, &known, &effort);
    let plans: Vec<Result<Blast, String>> = plans.into_iter().zip(&rates).map(unlimited).collect();
    let trains = send_until_clear(subjects, &plans, stop)?;
    progress(Stage::Flooding);
    let plans = plan::floods(subjects, &known, &effort);
    let floods = blast::send_all(subjects, &plans, stop)?;

    let each = samples.into_iter().zip(trains).zip(floods);
    let mut observed: Vec<Observed> = each
        .map(|((samples, train), flood)| sounding.observed(lasted, samples, train, flood))
        .collect();
    let judge = |at: usize, observed: &Observed| {
        judge::judge(
            &subjects[at].expected,
            observed,
            subjects.len(),
            Depth::Full,
        )
    };
    let each = observed.iter().enumerate();
    let mut found: Vec<Found> = each.map(|(at, observed)| judge(at, observed)).collect();
    // A busy machine that holds up sender or engine spoils a flood; a queue that really is another spoils all.
    for _ in 1..ATTEMPTS {
        let off = |found: &Found| queue_error(found).is_some_and(|error| error > 1.0);
        if stop.load(Ordering::Relaxed) || !found.iter().any(off) {
            break;
        }
        let again: Vec<Result<Blast, String>> = found
            .iter()
            .zip(&plans)
            .map(|(found, plan)| {
                if off(found) {
                    plan.clone()
                } else {
                    Err(String::new())
                }
            })
            .collect();
        let floods = blast::send_all(subjects, &again, stop)?;
        for (at, flood) in floods
            .into_iter()
            .enumerate()
            .filter(|(_, flood)| flood.is_ok())
        {
            let before = std::mem::replace(&mut observed[at].flood, flood);
            let judged = judge(at, &observed[at]);
            if queue_error(&judged) < queue_error(&found[at]) && queue_error(&judged).is_some() {
                found[at] = judged;
            } else {
                observed[at].flood = before;
            }
        }
    }
    if stop.load(Ordering::Relaxed) {
        return Ok(None);
    }
    Ok(Some(summary(subjects, found)))
}

/// How far off the queue is, in bounds.
fn queue_error(found: &Found) -> Option<f64> {
    let queue = found
        .measurements
        .iter()
        .find(|measurement| measurement.quantity == Quantity::Queue)?;
    let check = queue.check()?;
    Some((check.measured - check.asked).abs() / check.bound)
}

fn summary(subjects: &[Subject<'_>], found: Vec<Found>) -> Verification {
    let mut verification = Verification::default();
    for (subject, found) in subjects.iter().zip(found) {
        let delays = |sample: Option<Sample>| sample.map_or(Vec::new(), Sample::into_values);
        let asked = subject.expected.judged.contains(&Quantity::Delay);
        verification.channels.push(VerifiedChannel {
            name: subject.expected.name.clone(),
            measurements: found.measurements,
            delays_us: delays(found.delays),
            predicted_us: delays(found.predicted.filter(|_| asked)),
        });
        verification.skipped.extend(found.skipped);
    }
    verification
}

/// What is measured within a second or two before a run: delay, jitter, order, loss and rate.
pub(super) fn brief(
    subjects: &[Subject<'_>],
    probing: Duration,
    stop: &AtomicBool,
) -> Result<Vec<Found>, ProbeError> {
    let rate = |subject: &Subject<'_>| rate(subject);
    let rates: Vec<(Option<f64>, f64)> = subjects.iter().map(|s| (rate(s), 0.0)).collect();
    let sounding = Sounding::brief(subjects, &rates);
    let (samples, lasted) = sounding.probe_for(probing, subjects, stop)?;
    let effort = Effort {
        total: Duration::from_secs(1),
        longest: Duration::from_millis(100),
        patience: Duration::from_secs(1),
    };
    let known: Vec<Option<f64>> = rates.iter().map(|(rate, _)| *rate).collect();
    let trains = send_until_clear(subjects, &plan::paces(subjects, &known, &effort), stop)?;
    let each = subjects.iter().zip(samples).zip(trains);
    Ok(each
        .map(|((subject, samples), train)| {
            let observed = sounding.observed(lasted, samples, train, Err(String::new()));
            judge::judge(&subject.expected, &observed, subjects.len(), Depth::Brief)
        })
        .collect())
}

/// Bits per second that `subject` should pass, if they are limited and anything passes at all.
fn rate(subject: &Subject<'_>) -> Option<f64> {
    let rate = subject.expected.channel.rate.map(Rate::bits_per_second);
    rate.filter(|_| subject.expected.channel.state == LaneState::Up)
        .map(|rate| rate as f64)
}

/// The same, scouted out where nobody told; and how fast the scout was sent.
fn rates(
    subjects: &[Subject<'_>],
    stop: &AtomicBool,
    progress: &mut impl FnMut(Stage),
) -> Result<Vec<(Option<f64>, f64)>, ProbeError> {
    let untold = |subject: &Subject<'_>| {
        subject.expected.channel.rate.is_none()
            && !subject.expected.judged.contains(&Quantity::Rate)
    };
    if subjects.iter().any(untold) {
        progress(Stage::Scouting);
    }
    let each = subjects.iter().map(|subject| {
        if untold(subject) {
            blast::scout(subject, stop)
        } else {
            Ok((rate(subject), 0.0))
        }
    });
    each.collect()
}

/// Says how much passed where nothing limits.
fn unlimited(
    (plan, (_, scouted)): (Result<Blast, String>, &(Option<f64>, f64)),
) -> Result<Blast, String> {
    plan.map_err(|reason| {
        if *scouted > 0.0 {
            format!(
                "all of {:.0} Mbit/s passed, as fast as this machine sent",
                scouted / 1e6
            )
        } else {
            reason
        }
    })
}

/// Sends trains, and again where one was off, and keeps the best of each channel. A busy machine that holds up the sender
/// or the engine for milliseconds bends a single train; a channel that really has another rate bends all.
fn send_until_clear(
    subjects: &[Subject<'_>],
    plans: &[Result<Blast, String>],
    stop: &AtomicBool,
) -> Result<Vec<Result<Train, String>>, ProbeError> {
    let mut best = blast::send_all(subjects, plans, stop)?;
    for _ in 1..ATTEMPTS {
        let clear = |train: &Result<Train, String>| train.as_ref().is_ok_and(|t| t.error() < CLEAR);
        if best.iter().all(|train| train.is_err() || clear(train)) || stop.load(Ordering::Relaxed) {
            break;
        }
        let again: Vec<Result<Blast, String>> = best
            .iter()
            .zip(plans)
            .map(|(best, plan)| {
                if clear(best) {
                    Err(String::new())
                } else {
                    plan.clone()
                }
            })
            .collect();
        for (best, again) in best
            .iter_mut()
            .zip(blast::send_all(subjects, &again, stop)?)
        {
            if let (Ok(best), Ok(again)) = (best, again)
                && again.error() < best.error()
            {
                *best = again;
            }
        }
    }
    Ok(best)
}

/// How probes are sent, and for how long.
struct Sounding {
    cadence: Cadence,
    /// Bytes of a probe's frame, and of the headers in it.
    frame: u64,
    headers: u64,
    duration: Duration,
}

impl Sounding {
    /// Over 200 samples a second and channel where channels are few, as short as they can be.
    fn brief(subjects: &[Subject<'_>], rates: &[(Option<f64>, f64)]) -> Self {
        let interval = Duration::from_millis(4);
        Self::of(subjects, rates, interval, payload::SHORTEST, Duration::ZERO)
    }

    /// Twice as many, as long as the channels' rates allow.
    fn new(subjects: &[Subject<'_>], rates: &[(Option<f64>, f64)], duration: Duration) -> Self {
        let interval = Duration::from_millis(2);
        let least = least_rate(rates);
        let room = PROBES_SHARE * least * interval.as_secs_f64() / 8.0;
        let told = subjects.iter().zip(rates).all(|(subject, (rate, _))| {
            rate.is_some() || subject.expected.judged.contains(&Quantity::Rate)
        });
        let longest = if told {
            LONGEST_PAYLOAD
        } else {
            UNKNOWN_PAYLOAD
        };
        let payload = (room - 62.0).clamp(payload::SHORTEST as f64, longest as f64) as usize;
        Self::of(subjects, rates, interval, payload, duration)
    }

    fn of(
        subjects: &[Subject<'_>],
        rates: &[(Option<f64>, f64)],
        interval: Duration,
        payload: usize,
        duration: Duration,
    ) -> Self {
        let payload = payload::write(0, payload).len();
        let overhead = subjects.iter().map(|subject| headers(subject.from.address));
        let headers = overhead.max().unwrap_or_default();
        let frame = payload as u64 + headers;
        let line = frame as f64 * 8.0 / (PROBES_SHARE * least_rate(rates));
        let longest = subjects
            .iter()
            .map(|subject| subject.expected.transit())
            .max();
        Sounding {
            cadence: Cadence {
                interval: interval.max(Duration::from_secs_f64(line)),
                payload,
                ecn: EcnField::NotEct,
                give_up: patience(longest.unwrap_or_default()),
            },
            frame,
            headers,
            duration,
        }
    }

    /// What was seen of one subject whose clocks are one.
    fn observed(
        &self,
        lasted: Duration,
        samples: Vec<ProbeSample>,
        train: Result<Train, String>,
        flood: Result<Train, String>,
    ) -> Observed {
        Observed {
            interval: self.cadence.interval,
            frame: self.frame,
            headers: self.headers,
            clocks: Duration::ZERO,
            lasted,
            samples,
            train,
            flood,
        }
    }

    fn probe(
        &self,
        subjects: &[Subject<'_>],
        stop: &AtomicBool,
    ) -> Result<(Vec<Vec<ProbeSample>>, Duration), ProbeError> {
        self.probe_for(self.duration, subjects, stop)
    }

    /// The probes of each subject, and for how long they were sent.
    fn probe_for(
        &self,
        duration: Duration,
        subjects: &[Subject<'_>],
        stop: &AtomicBool,
    ) -> Result<(Vec<Vec<ProbeSample>>, Duration), ProbeError> {
        let routes: Vec<ProbeRoute<'_>> = subjects
            .iter()
            .map(|subject| ProbeRoute {
                from: subject.from,
                to: subject.to,
            })
            .collect();
        let mut samples = vec![Vec::new(); subjects.len()];
        let prober = Prober::start_routes(&routes, self.cadence)?;
        while prober.started().elapsed() < duration {
            if stop.load(Ordering::Relaxed) {
                return Ok((samples, duration));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let lasted = prober.started().elapsed();
        for sample in prober.stop()? {
            samples[sample.path].push(sample);
        }
        Ok((samples, lasted))
    }
}

/// The least of the known rates.
fn least_rate(rates: &[(Option<f64>, f64)]) -> f64 {
    let known = rates.iter().filter_map(|(rate, _)| *rate);
    // So that an interval computed from it stays a time.
    known.fold(1e12, f64::min)
}
