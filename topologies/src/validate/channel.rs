//! One direction of one lane: rate, jitter, impairments; its queue and its loss have modules of their own.

use std::time::Duration;

use super::loss;
use super::queue::{self, Queue};
use super::traces::Traces;
use crate::document::{Document, DocumentPath, InputError};
use crate::model::{
    Channel, DelaySource, Jitter, JitterDistribution, JitterShape, LONGEST_DELAY, RateTrace,
    Reordering,
};
use crate::spec::{ChannelSpec, JitterSettings, JitterSpec, RateSpec, RateWord, ReorderingSpec};
use crate::units::{Probability, Rate, TimeSpan};

/// A 1500-byte packet takes 12 s at this rate: slower links are never meant.
const LEAST_RATE: Rate = Rate::from_bits_per_second(1_000);
/// Half of today's fastest Ethernet port; no machine emulates more.
const MOST_RATE: Rate = Rate::from_bits_per_second(400_000_000_000);
/// No network reorders as deep; what waits is held in memory.
const MOST_DEPTH: u32 = 1000;

/// The places a channel's settings can stand in, with their paths; those of an inner one count.
pub(super) struct Layers {
    /// Changes that are in force, the last one first; then the lane's own, by direction and for both.
    pub(super) over: Vec<(ChannelSpec, DocumentPath)>,
    pub(super) direction: (ChannelSpec, DocumentPath),
    pub(super) link: (ChannelSpec, DocumentPath),
    pub(super) defaults: (ChannelSpec, DocumentPath),
}

impl Layers {
    /// The innermost setting that `get` finds, and the path of its `key`.
    pub(super) fn find<T>(
        &self,
        key: &str,
        get: impl Fn(&ChannelSpec) -> Option<T>,
    ) -> Option<(T, DocumentPath)> {
        self.over
            .iter()
            .chain([&self.direction, &self.link, &self.defaults])
            .find_map(|(settings, path)| get(settings).map(|value| (value, path.key(key))))
    }
}

/// The channel that `layers` describe.
pub(super) fn channel(
    traces: &Traces<'_>,
    layers: &Layers,
    (delay, delay_source): (Duration, DelaySource),
    round_trip: Duration,
    mtu: u32,
) -> Result<Channel, InputError> {
    let document = traces.document();
    let (rate, rate_trace) = rate(traces, layers)?;
    let Queue {
        size,
        limit,
        discipline,
        thresholds,
    } = match rate {
        Some(rate) => queue::queue(document, layers, rate, round_trip, mtu)?,
        None => Queue::idle(),
    };
    let state = layers.find("state", |settings| settings.state);
    Ok(Channel {
        state: state.map(|(state, _)| state).unwrap_or_default(),
        rate,
        rate_trace,
        delay,
        delay_source,
        jitter: jitter(traces, layers, delay)?,
        loss: loss::loss(traces, layers)?,
        duplication: chance(document, layers, "duplication", |settings| {
            settings.duplication
        })?,
        corruption: chance(document, layers, "corruption", |settings| {
            settings.corruption
        })?,
        reordering: reordering(document, layers)?,
        queue: size,
        queue_limit: limit,
        discipline,
        thresholds,
    })
}

/// The rate, constant or a trace's mean, and the trace.
fn rate(
    traces: &Traces<'_>,
    layers: &Layers,
) -> Result<(Option<Rate>, Option<RateTrace>), InputError> {
    let Some((spec, path)) = layers.find("rate", |settings| settings.rate.clone()) else {
        return Ok((None, None));
    };
    match spec {
        RateSpec::Word(RateWord::Unlimited) => Ok((None, None)),
        RateSpec::Word(RateWord::Constant(rate)) => {
            check_rate(traces.document(), &path, rate)?;
            Ok((Some(rate), None))
        }
        RateSpec::Trace(spec) => {
            let trace = traces.rate(&path, &spec)?;
            let mean = trace.mean().expect("a trace lets something pass");
            check_rate(traces.document(), &path, mean)?;
            if trace.greatest() > MOST_RATE.bits_per_second() {
                let message = format!("a rate of the trace is above {MOST_RATE}");
                return Err(traces.document().error(&path, message));
            }
            Ok((Some(mean), Some(trace)))
        }
    }
}

pub(super) fn check_rate(
    document: &Document,
    path: &DocumentPath,
    rate: Rate,
) -> Result<(), InputError> {
    if (LEAST_RATE..=MOST_RATE).contains(&rate) {
        return Ok(());
    }
    Err(document
        .error(
            path,
            format!("a rate of {rate} is out of range: {LEAST_RATE} to {MOST_RATE}"),
        )
        .with_help("leave the rate out for no limit"))
}

fn jitter(
    traces: &Traces<'_>,
    layers: &Layers,
    delay: Duration,
) -> Result<Option<Jitter>, InputError> {
    let Some((spec, path)) = layers.find("jitter", |settings| settings.jitter.clone()) else {
        return Ok(None);
    };
    let (settings, stated_at) = match spec {
        JitterSpec::Deviation(deviation) => {
            let settings = JitterSettings {
                deviation: Some(deviation),
                ..JitterSettings::default()
            };
            (settings, path.clone())
        }
        JitterSpec::Full(settings) => (settings, path.key("deviation")),
    };
    let order = settings.order.unwrap_or_default();
    let document = traces.document();
    let (deviation, shape) = match traces.jitter(&path, &settings)? {
        Some(JitterShape::Trace(trace)) => {
            if settings.deviation.is_some() {
                return Err(document
                    .error(&stated_at, "a trace has a deviation of its own")
                    .with_help("remove the deviation"));
            }
            let most = trace.range().1;
            if delay + most > LONGEST_DELAY {
                let [delay, most, longest] = [delay, most, LONGEST_DELAY].map(TimeSpan::from);
                return Err(document
                    .error(
                        &path,
                        format!("a delay of {delay} and the trace's {most} are too long together: at most {longest}"),
                    )
                    .with_help("what a trace says comes on top of the `delay`: make one of them shorter"));
            }
            (trace.moments().1, JitterShape::Trace(trace))
        }
        Some(JitterShape::Table(table)) => {
            let stated = settings.deviation.map(TimeSpan::duration);
            (
                stated.unwrap_or_else(|| table.moments().1),
                JitterShape::Table(table),
            )
        }
        Some(JitterShape::Distribution(_)) | None => {
            let Some(deviation) = settings.deviation else {
                return Err(document
                    .error(&path, "the jitter does not say how much")
                    .with_help("write a `deviation` such as `0.2ms`, a `table` or a `trace`"));
            };
            let distribution = settings.distribution.unwrap_or(JitterDistribution::Normal);
            (
                deviation.duration(),
                JitterShape::Distribution(distribution),
            )
        }
    };
    if deviation.is_zero() && !matches!(shape, JitterShape::Trace(_)) {
        return Ok(None);
    }
    let reach = shape.reach();
    let below = Duration::try_from_secs_f64(deviation.as_secs_f64() * reach).ok();
    if below.is_none_or(|below| below > delay) {
        let most = delay.div_f64(reach);
        let [deviation, delay, most] = [deviation, delay, most].map(TimeSpan::from);
        return Err(document
            .error(
                &stated_at,
                format!("a jitter of {deviation} is too much for a delay of {delay}"),
            )
            .with_help(format!(
                "packets would have to arrive before they are sent: at most {most} with this distribution"
            )));
    }
    Ok(Some(Jitter {
        deviation,
        shape,
        order,
    }))
}

fn reordering(document: &Document, layers: &Layers) -> Result<Option<Reordering>, InputError> {
    let Some((ReorderingSpec { chance, depth }, path)) =
        layers.find("reordering", |settings| settings.reordering)
    else {
        return Ok(None);
    };
    let depth = depth.unwrap_or(1);
    if !(1..=MOST_DEPTH).contains(&depth) {
        return Err(document.error(
            &path.key("depth"),
            format!("a depth of {depth} is out of range: 1 to {MOST_DEPTH} packets"),
        ));
    }
    if is_certain(chance) {
        return Err(document
            .error(
                &path.key("chance"),
                "a chance of 100% leaves nothing to overtake by",
            )
            .with_help("write less, such as `1%`"));
    }
    Ok((!chance.is_zero()).then_some(Reordering { chance, depth }))
}

fn chance(
    document: &Document,
    layers: &Layers,
    key: &str,
    get: fn(&ChannelSpec) -> Option<Probability>,
) -> Result<Probability, InputError> {
    match layers.find(key, get) {
        Some((chance, path)) if key == "corruption" && is_certain(chance) => {
            Err(nothing_arrives(document, &path, key))
        }
        Some((chance, _)) => Ok(chance),
        None => Ok(Probability::ZERO),
    }
}

pub(super) fn is_certain(chance: Probability) -> bool {
    chance.fraction() >= 1.0
}

pub(super) fn nothing_arrives(document: &Document, path: &DocumentPath, what: &str) -> InputError {
    document
        .error(path, format!("a {what} of 100% lets nothing through"))
        .with_help("write less, such as `1%`")
}
