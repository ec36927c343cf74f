//! Recorded rates and delays, played back over and over.

use std::num::ParseFloatError;
use std::sync::Arc;
use std::time::Duration;

use super::{LONGEST_DELAY, quantiles};
use crate::units::{Rate, TimeSpan};

/// Entries of a trace: an hour of a mahimahi trace at 1 ms.
const MOST_ENTRIES: usize = 3_600_000;
/// What a mahimahi opportunity carries: one full IP packet (`PACKET_SIZE` in mahimahi's link_queue.cc is its 1500 bytes and
/// TUN's 4), as an Ethernet frame, which is what rates count here.
const OPPORTUNITY_BITS: u64 = 1514 * 8;
const MILLISECOND: Duration = Duration::from_millis(1);
/// No recording is longer; what passes in it is a number of bits.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);
/// Quantiles are kept at as many places as a table of netem has at most (`NETEM_DIST_MAX`).
const MOST_SAMPLES: usize = 16_384;

/// A rate that changes with time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateTrace {
    steps: Arc<[RateStep]>,
    period: Duration,
    /// What passes until each step, and in a whole period (see [`RateTrace::cumulative`]).
    before: Arc<[u128]>,
    whole: u128,
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
    /// The least and the greatest delay.
    range: (Duration, Duration),
}

/// Measured delays, of which only the spread around their mean counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JitterTable {
    /// In rising order.
    samples: Arc<[Duration]>,
    /// What to draw from.
    quantiles: Arc<[i16]>,
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
    /// If the steps are not in order of time, do not end before the period does, last more than a year, or let nothing pass at
    /// all.
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
        check_period(period)?;
        let mut kept: Vec<RateStep> = steps;
        kept.dedup_by_key(|step| step.bits_per_second);
        let mut sum = 0;
        let mut before = Vec::with_capacity(kept.len());
        for (index, step) in kept.iter().enumerate() {
            before.push(sum);
            let end = kept.get(index + 1).map_or(period, |next| next.at);
            sum += u128::from(step.bits_per_second) * (end - step.at).as_nanos();
        }
        let trace = RateTrace {
            steps: kept.into(),
            period,
            before: before.into(),
            whole: sum,
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
    pub fn cumulative(&self) -> (&Arc<[u128]>, u128) {
        (&self.before, self.whole)
    }

    /// The mean over a period; `None` if it is below 1 bit/s.
    pub fn mean(&self) -> Option<Rate> {
        let bits = self.whole / self.period.as_nanos().max(1);
        let bits = u64::try_from(bits).unwrap_or(u64::MAX);
        (bits > 0).then(|| Rate::from_bits_per_second(bits))
    }

    /// The longest time in which nothing passes.
    pub fn longest_gap(&self) -> Duration {
        let ends = self.steps.iter().skip(1).map(|step| step.at);
        let spans = self.steps.iter().zip(ends.chain([self.period]));
        let gaps = spans.filter(|(step, _)| step.bits_per_second == 0);
        let gaps: Vec<(Duration, Duration)> = gaps.map(|(step, end)| (step.at, end)).collect();
        let longest = gaps.iter().map(|(from, to)| *to - *from).max();
        // One at the end goes on where the trace begins again.
        let around = match (gaps.first(), gaps.last()) {
            (Some((Duration::ZERO, until)), Some((from, to))) if *to == self.period => {
                *until + (*to - *from)
            }
            _ => Duration::ZERO,
        };
        longest.unwrap_or_default().max(around)
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
    /// If they are too few, not in order of time, or longer than a year, or a delay is longer than a link's may be.
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
        for &(at, delay) in &points {
            check_delay(delay).map_err(|fault| {
                let at = TimeSpan::from(at);
                whole(format!("at {at} {fault}"))
            })?;
        }
        check_period(points[points.len() - 1].0)?;
        let delays = || points.iter().map(|point| point.1);
        let least = delays().min().unwrap_or_default();
        Ok(DelayTrace {
            range: (least, delays().max().unwrap_or_default()),
            points: points.into(),
        })
    }

    /// Reads lines of `time,delay`: seconds both, or with units (`1.5s,3ms`). Times count from the first line's.
    ///
    /// # Errors
    /// If a line is not of this form, or not later than the one before it, or [`new`](Self::new) refuses it.
    pub fn from_csv(text: &str) -> Result<Self, TraceError> {
        Self::new(csv(text, "delay", |text| {
            let delay = time(text)?;
            check_delay(delay).map(|()| delay)
        })?)
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
        self.range
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
    /// If they are too few, all alike, or alike but for so few that nothing of their spread is left within four deviations.
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
        // From the first, as floats: that of clocks which are set apart by years says nothing.
        let at = |place: f64| {
            (samples[(place * samples.len() as f64) as usize] - samples[0]).as_secs_f64()
        };
        let table: Vec<f64> = quantiles::places().map(at).collect();
        let Some(quantiles) = quantiles::entries(&table) else {
            return Err(whole(
                "nearly all delays of the table are alike: of its spread nothing is left where a table ends, four deviations \
                 from its mean; leave out those few, or state delays over time with `points`",
            ));
        };
        Ok(JitterTable {
            samples: samples.into(),
            quantiles,
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

    /// What jitter of this shape is drawn from (see [`quantiles`]).
    pub fn quantiles(&self) -> Arc<[i16]> {
        Arc::clone(&self.quantiles)
    }

    /// Their mean and standard deviation.
    pub fn moments(&self) -> (Duration, Duration) {
        let least = self.samples[0];
        let above: Vec<f64> = (self.samples.iter())
            .map(|&sample| (sample - least).as_secs_f64())
            .collect();
        let (mean, deviation) = quantiles::moments(&above);
        let span = |seconds| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
        (least.saturating_add(span(mean)), span(deviation))
    }

    /// How many deviations below the mean the least lies that is drawn. (Of measured delays with a heavy tail the least lies less deep
    /// than that: cutting the tail leaves less of a deviation, and what is drawn is stretched until it has the whole.)
    pub(crate) fn reach(&self) -> f64 {
        -f64::from(self.quantiles[0]) / quantiles::SCALE
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
        check_period(since).map_err(|error| on(number, error.message))?;
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

/// What is wrong with a trace's delay, if anything.
fn check_delay(delay: Duration) -> Result<(), String> {
    if delay <= LONGEST_DELAY {
        return Ok(());
    }
    let [delay, most] = [delay, LONGEST_DELAY].map(TimeSpan::from);
    Err(format!("a delay of {delay} is too long: at most {most}"))
}

fn check_period(period: Duration) -> Result<(), TraceError> {
    if period <= LONGEST {
        return Ok(());
    }
    let days = LONGEST.as_secs() / (24 * 3600);
    let period = TimeSpan::from(period);
    Err(whole(format!(
        "a trace of {period} is too long: at most {days} days"
    )))
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
