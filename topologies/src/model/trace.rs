//! Recorded rates and delays, played back over and over.

use std::num::ParseFloatError;
use std::sync::Arc;
use std::time::Duration;

use super::JitterShape;
use crate::units::{Rate, TimeSpan};

/// Entries of a trace: an hour of a mahimahi trace at 1 ms.
const MOST_ENTRIES: usize = 3_600_000;
/// What a mahimahi opportunity carries: one full IP packet (`PACKET_SIZE` in mahimahi's link_queue.cc is its 1500 bytes and
/// TUN's 4), as an Ethernet frame, which is what rates count here.
const OPPORTUNITY_BITS: u64 = 1514 * 8;
const MILLISECOND: Duration = Duration::from_millis(1);
/// Quantiles are kept at as many places as a table of netem has at most (`NETEM_DIST_MAX`).
const MOST_SAMPLES: usize = 16_384;

/// A rate that changes with time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateTrace {
    steps: Arc<[RateStep]>,
    period: Duration,
}

/// From `at` on, this rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateStep {
    /// Since the trace's beginning.
    pub at: Duration,
    /// Bits per second; 0 lets nothing pass.
    pub bits_per_second: u64,
}

/// A delay that comes on top of a channel's, and changes with time: straight lines between its points.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DelayTrace {
    points: Arc<[(Duration, Duration)]>,
}

/// Measured delays, of which only the spread around their mean counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JitterTable {
    /// In rising order.
    samples: Arc<[Duration]>,
}

/// What is wrong with a trace.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TraceError {
    /// The line of the file, from 1; absent if it is about the whole.
    pub line: Option<usize>,
    /// What is wrong, in lower case.
    pub message: String,
}

impl RateTrace {
    /// A trace of `steps`, the first at 0, which begins again after `period`.
    ///
    /// # Errors
    /// If the steps are not in order of time, do not end before the period does, or let nothing pass at all.
    pub fn new(steps: Vec<RateStep>, period: Duration) -> Result<Self, TraceError> {
        let Some(first) = steps.first() else {
            return Err(whole("the trace is empty"));
        };
        if !first.at.is_zero() {
            return Err(whole("the first step of the trace is not at 0"));
        }
        if let Some(at) = steps.windows(2).position(|pair| pair[0].at >= pair[1].at) {
            let [before, after] = [steps[at].at, steps[at + 1].at].map(TimeSpan::from);
            return Err(whole(format!(
                "the step at {after} does not come after that at {before}"
            )));
        }
        if steps.last().is_some_and(|last| last.at >= period) {
            let message = format!(
                "the period of {} ends before the last step",
                TimeSpan::from(period)
            );
            return Err(whole(message));
        }
        let mut kept: Vec<RateStep> = steps;
        kept.dedup_by_key(|step| step.bits_per_second);
        let trace = RateTrace {
            steps: kept.into(),
            period,
        };
        if trace.mean().is_none() {
            return Err(whole("the trace lets less than one bit per second pass"));
        }
        Ok(trace)
    }

    /// Reads mahimahi's format: on each line a time in whole milliseconds at which one packet of 1500 bytes may pass; the last
    /// is also the trace's length. Here the packet's bits pass evenly over the millisecond that ends at that time.
    ///
    /// # Errors
    /// If a line is not a whole number, or earlier than the one before it.
    pub fn from_mahimahi(text: &str) -> Result<Self, TraceError> {
        let mut opportunities: Vec<u64> = Vec::new();
        let mut last_line = 0;
        for (number, line) in lines(text) {
            let time: u64 = line.parse().map_err(|_| {
                let line = line.escape_debug();
                on(
                    number,
                    format!("`{line}` is not a time in whole milliseconds"),
                )
            })?;
            if let Some(&before) = opportunities.last().filter(|&&before| before > time) {
                return Err(on(
                    number,
                    format!("{time} ms is before the {before} ms of the line before it"),
                ));
            }
            opportunities.push(time);
            check_length(opportunities.len(), number)?;
            last_line = number;
        }
        let Some(&length) = opportunities.last() else {
            return Err(whole("the trace is empty"));
        };
        if length == 0 {
            return Err(on(
                last_line,
                "the trace ends at 0 ms, and so has no length",
            ));
        }
        if length as usize > MOST_ENTRIES {
            return Err(on(
                last_line,
                format!("the trace is longer than {MOST_ENTRIES} ms"),
            ));
        }
        let mut packets = vec![0u64; length as usize];
        for time in opportunities {
            // 0 is the end of the round before.
            packets[time.checked_sub(1).unwrap_or(length - 1) as usize] += 1;
        }
        let steps = packets.iter().enumerate().map(|(at, &packets)| RateStep {
            at: MILLISECOND * at as u32,
            bits_per_second: packets * OPPORTUNITY_BITS * 1000,
        });
        Self::new(steps.collect(), MILLISECOND * length as u32)
    }

    /// Reads lines of `time,rate`: seconds and bits per second, or with units (`1.5s,300Mbit`). A rate holds until the next
    /// line's time, however long that is; the last one as long as the one before it. Times count from the first line's.
    ///
    /// # Errors
    /// If a line is not of this form, or not later than the one before it.
    pub fn from_csv(text: &str) -> Result<Self, TraceError> {
        let rows = csv(text, "rate", |text| match text.parse::<f64>() {
            Ok(bits) if (0.0..1e15).contains(&bits) => Ok(bits.round() as u64),
            Ok(_) => Err(format!("{text} bit/s is no rate")),
            Err(_) => match text.parse::<Rate>() {
                Ok(rate) => Ok(rate.bits_per_second()),
                Err(crate::units::UnitError::Zero { .. }) => Ok(0),
                Err(error) => Err(error.to_string()),
            },
        })?;
        let last = rows.last().map_or(Duration::ZERO, |row| row.0);
        let held = match rows[..] {
            [.., before, last] => last.0 - before.0,
            _ => Duration::from_secs(1),
        };
        let steps = rows.into_iter().map(|(at, bits_per_second)| RateStep {
            at,
            bits_per_second,
        });
        Self::new(steps.collect(), last + held)
    }

    /// The steps, the first at 0, no two equal in a row.
    pub fn steps(&self) -> &[RateStep] {
        &self.steps
    }

    /// When it begins again.
    pub fn period(&self) -> Duration {
        self.period
    }

    /// Bits × nanoseconds per second that pass from the beginning until each step, and in a whole period.
    pub fn cumulative(&self) -> (Vec<u128>, u128) {
        let mut sum = 0;
        let mut before = Vec::with_capacity(self.steps.len());
        for (index, step) in self.steps.iter().enumerate() {
            before.push(sum);
            let end = self
                .steps
                .get(index + 1)
                .map_or(self.period, |next| next.at);
            sum += u128::from(step.bits_per_second) * (end - step.at).as_nanos();
        }
        (before, sum)
    }

    /// The mean over a period; `None` if it is below 1 bit/s.
    pub fn mean(&self) -> Option<Rate> {
        let bits = self.cumulative().1 / self.period.as_nanos().max(1);
        let bits = u64::try_from(bits).unwrap_or(u64::MAX);
        (bits > 0).then(|| Rate::from_bits_per_second(bits))
    }

    /// The greatest rate of a step.
    pub fn greatest(&self) -> u64 {
        let rates = self.steps.iter().map(|step| step.bits_per_second);
        rates.max().unwrap_or(0)
    }
}

impl DelayTrace {
    /// A trace through `points` of time and delay, at least two, the first at 0; the last one's time is its length.
    ///
    /// # Errors
    /// If they are too few or not in order of time.
    pub fn new(points: Vec<(Duration, Duration)>) -> Result<Self, TraceError> {
        if points.len() < 2 {
            return Err(whole("a trace of delays needs two points at least"));
        }
        if !points[0].0.is_zero() {
            return Err(whole("the first point of the trace is not at 0"));
        }
        if let Some(at) = points.windows(2).position(|pair| pair[0].0 >= pair[1].0) {
            let [before, after] = [points[at].0, points[at + 1].0].map(TimeSpan::from);
            return Err(whole(format!(
                "the point at {after} does not come after that at {before}"
            )));
        }
        Ok(DelayTrace {
            points: points.into(),
        })
    }

    /// Reads lines of `time,delay`: seconds both, or with units (`1.5s,3ms`). Times count from the first line's.
    ///
    /// # Errors
    /// If a line is not of this form, or not later than the one before it.
    pub fn from_csv(text: &str) -> Result<Self, TraceError> {
        Self::new(csv(text, "delay", time)?)
    }

    /// Time and delay of each point.
    pub fn points(&self) -> &[(Duration, Duration)] {
        &self.points
    }

    /// When it begins again.
    pub fn period(&self) -> Duration {
        self.points[self.points.len() - 1].0
    }

    /// What is added to the delay `since` the beginning.
    pub fn at(&self, since: Duration) -> Duration {
        let period = self.period().as_nanos();
        let since = Duration::from_nanos((since.as_nanos() % period) as u64);
        // The first point is at 0, and the last at the end of the period.
        let next = self.points.partition_point(|point| point.0 <= since);
        let [(from, low), (to, high)] = [self.points[next - 1], self.points[next]];
        let share = (since - from).as_secs_f64() / (to - from).as_secs_f64();
        let [low, high] = [low, high].map(|delay| delay.as_nanos() as f64);
        Duration::from_nanos((low + (high - low) * share).round() as u64)
    }

    /// The least and the greatest.
    pub fn range(&self) -> (Duration, Duration) {
        let delays = || self.points.iter().map(|point| point.1);
        let least = delays().min().unwrap_or_default();
        (least, delays().max().unwrap_or_default())
    }

    /// Mean and standard deviation over time.
    pub fn moments(&self) -> (Duration, Duration) {
        let (mut sum, mut squares) = (0.0, 0.0);
        for pair in self.points.windows(2) {
            let span = (pair[1].0 - pair[0].0).as_secs_f64();
            let [low, high] = [pair[0].1, pair[1].1].map(|delay| delay.as_secs_f64());
            sum += span * f64::midpoint(low, high);
            squares += span * (low * low + low * high + high * high) / 3.0;
        }
        let period = self.period().as_secs_f64();
        let mean = sum / period;
        let variance = (squares / period - mean * mean).max(0.0);
        (
            Duration::from_secs_f64(mean),
            Duration::from_secs_f64(variance.sqrt()),
        )
    }
}

impl JitterTable {
    /// A table of measured delays, in any order.
    ///
    /// # Errors
    /// If they are too few, too many or all alike.
    pub fn new(mut samples: Vec<Duration>) -> Result<Self, TraceError> {
        if samples.len() < 2 {
            return Err(whole("a table of delays needs two at least"));
        }
        samples.sort_unstable();
        if samples.first() == samples.last() {
            return Err(whole("all delays of the table are alike"));
        }
        if samples.len() > MOST_SAMPLES {
            // Quantiles at even places say as much.
            let count = samples.len();
            let place = |at: usize| (2 * at + 1) * count / (2 * MOST_SAMPLES);
            samples = (0..MOST_SAMPLES).map(|at| samples[place(at)]).collect();
        }
        Ok(JitterTable {
            samples: samples.into(),
        })
    }

    /// Reads one delay per line: seconds, or with a unit (`3.2ms`).
    ///
    /// # Errors
    /// If a line is not of this form, or [`new`](Self::new) refuses them.
    pub fn from_lines(text: &str) -> Result<Self, TraceError> {
        let mut samples = Vec::new();
        for (number, line) in lines(text) {
            samples.push(time(line).map_err(|message| on(number, message))?);
            check_length(samples.len(), number)?;
        }
        Self::new(samples)
    }

    /// The delays in rising order.
    pub fn samples(&self) -> &[Duration] {
        &self.samples
    }

    /// Their mean and standard deviation.
    pub fn moments(&self) -> (Duration, Duration) {
        let seconds = || self.samples.iter().map(Duration::as_secs_f64);
        let count = self.samples.len() as f64;
        let mean = seconds().sum::<f64>() / count;
        let variance = seconds().map(|x| (x - mean).powi(2)).sum::<f64>() / count;
        (
            Duration::from_secs_f64(mean),
            Duration::from_secs_f64(variance.sqrt()),
        )
    }

    /// How many deviations below the mean the least lies, as far as a table of netem reaches.
    pub(crate) fn reach(&self) -> f64 {
        let (mean, deviation) = self.moments();
        ((mean - self.samples[0]).as_secs_f64() / deviation.as_secs_f64())
            .min(JitterShape::MOST_REACH)
    }
}

/// The lines that say something, numbered from 1.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let all = text.lines().enumerate();
    let trimmed = all.map(|(index, line)| (index + 1, line.trim()));
    trimmed.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
}

/// Lines of `time,VALUE`, a heading allowed; times from the first one's.
fn csv<T>(
    text: &str,
    what: &str,
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<(Duration, T)>, TraceError> {
    let mut rows: Vec<(Duration, T)> = Vec::new();
    let mut origin = None;
    for (number, line) in lines(text) {
        if origin.is_none() && rows.is_empty() && line.starts_with(|c: char| c.is_alphabetic()) {
            continue;
        }
        let Some((at, value)) = line.split_once(',') else {
            let line = line.escape_debug();
            return Err(on(
                number,
                format!("`{line}` is not `time,{what}`: is the file cut off?"),
            ));
        };
        let (at, value) = (at.trim(), value.trim());
        if value.is_empty() {
            return Err(on(
                number,
                format!("the line has no {what}: is the file cut off?"),
            ));
        }
        let at = time(at).map_err(|message| on(number, message))?;
        let value = read(value).map_err(|message| on(number, message))?;
        let origin = *origin.get_or_insert(at);
        let since = at.checked_sub(origin).unwrap_or_default();
        if rows.last().is_some_and(|before| since <= before.0) {
            let at = TimeSpan::from(at);
            return Err(on(
                number,
                format!("the time {at} is not after that of the line before it"),
            ));
        }
        rows.push((since, value));
        check_length(rows.len(), number)?;
    }
    if rows.is_empty() {
        return Err(whole("the trace is empty"));
    }
    Ok(rows)
}

/// Seconds, or a time with its unit.
fn time(text: &str) -> Result<Duration, String> {
    let seconds: Result<f64, ParseFloatError> = text.parse();
    match seconds {
        Ok(seconds) => Duration::try_from_secs_f64(seconds)
            .map_err(|_| format!("`{}` is no time in seconds", text.escape_debug())),
        Err(_) => text
            .parse()
            .map(TimeSpan::duration)
            .map_err(|error| error.to_string()),
    }
}

fn check_length(entries: usize, line: usize) -> Result<(), TraceError> {
    if entries <= MOST_ENTRIES {
        return Ok(());
    }
    Err(on(
        line,
        format!("the trace has more than {MOST_ENTRIES} entries"),
    ))
}

fn on(line: usize, message: impl Into<String>) -> TraceError {
    TraceError {
        line: Some(line),
        message: message.into(),
    }
}

fn whole(message: impl Into<String>) -> TraceError {
    TraceError {
        line: None,
        message: message.into(),
    }
}

#[cfg(test)]
mod tests;
