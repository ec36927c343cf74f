//! A validated topology written out in full, as results keep it.

use std::time::Duration;

use super::{
    ChangeSpec, ChannelSpec, DelayPointSpec, DelaySpec, DirectionSpec, FabricSpec, FourState,
    GilbertElliott, JitterSettings, JitterSpec, LaneSpec, LanesSpec, LinkSpec, LossModel, LossSpec,
    RateSpec, RateStepSpec, RateTraceSpec, RateWord, ReorderingSpec, SiteSpec, TopologySpec, queue,
};
use crate::model::{
    Channel, DelaySource, Direction, Jitter, JitterShape, Lane, LaneState, Link, Loss, RateStep,
    Reordering, ScheduledChange, Site, Spread, Topology,
};
use crate::units::{Probability, Rate, TimeSpan};

impl From<&Topology> for TopologySpec {
    /// Every default filled in. Validating it gives the same topology again.
    fn from(topology: &Topology) -> Self {
        TopologySpec {
            name: Some(topology.name.clone()),
            description: Some(topology.description.clone()).filter(|text| !text.is_empty()),
            mtu: Some(topology.mtu),
            defaults: None,
            sites: topology.sites.iter().map(site).collect(),
            links: topology
                .links
                .iter()
                .map(|each| link(topology, each))
                .collect(),
        }
    }
}

fn site(site: &Site) -> SiteSpec {
    SiteSpec {
        name: site.name.clone(),
        place: site.place.clone(),
        latitude: site.coordinates.map(|coordinates| coordinates.latitude),
        longitude: site.coordinates.map(|coordinates| coordinates.longitude),
        hosts: Some(site.hosts),
        fabric: site.fabric.rate.map(|rate| FabricSpec { rate: Some(rate) }),
    }
}

impl TopologySpec {
    /// One link of `topology` with its two sites, every lane and direction written out by itself, without its schedule.
    pub(crate) fn of_link(topology: &Topology, link: &Link) -> Self {
        let unscheduled = Link {
            a: link.a,
            b: link.b,
            lanes: link.lanes.clone(),
            spread: link.spread,
            schedule: Vec::new(),
        };
        let spec = LinkSpec {
            lanes: Some(LanesSpec::Each(link.lanes.iter().map(lane).collect())),
            ..whole(topology, &unscheduled)
        };
        TopologySpec {
            name: Some(topology.name.clone()),
            mtu: Some(topology.mtu),
            sites: [link.a, link.b].map(|end| site(topology.site(end))).into(),
            links: vec![spec],
            ..TopologySpec::default()
        }
    }
}

/// What a link says for all its lanes.
fn whole(topology: &Topology, link: &Link) -> LinkSpec {
    LinkSpec {
        between: [link.a, link.b].map(|end| topology.site(end).name.clone()),
        spread: Some(link.spread).filter(|spread| *spread != Spread::default()),
        rtt: (link.lanes.iter())
            .flat_map(|lane| Direction::BOTH.map(|direction| lane.channel(direction)))
            .find(|channel| channel.delay_source == DelaySource::HalfRtt)
            .map(|channel| TimeSpan::from_duration(channel.delay * 2)),
        schedule: link.schedule.iter().map(change).collect(),
        ..LinkSpec::default()
    }
}

fn link(topology: &Topology, link: &Link) -> LinkSpec {
    let first = &link.lanes[0];
    let alike = link.lanes.iter().all(|lane| lane == first);
    let mut spec = whole(topology, link);
    // What takes the place of an `rtt` cannot stand beside it.
    let is_half = |direction| first.channel(direction).delay_source == DelaySource::HalfRtt;
    let mixed = spec.rtt.is_some() && !Direction::BOTH.into_iter().all(is_half);
    if !alike || mixed {
        spec.lanes = Some(LanesSpec::Each(link.lanes.iter().map(lane).collect()));
        return spec;
    }
    spec.lanes = Some(LanesSpec::Count(link.lanes.len()));
    let (forward, reverse) = (channel(&first.forward), channel(&first.reverse));
    if forward == reverse {
        let ChannelSpec {
            state,
            rate,
            delay,
            route_factor,
            jitter,
            loss,
            duplication,
            corruption,
            reordering,
            queue,
        } = forward;
        spec = LinkSpec {
            state,
            rate,
            delay,
            route_factor,
            jitter,
            loss,
            duplication,
            corruption,
            reordering,
            queue,
            ..spec
        };
    } else {
        spec.forward = Some(forward);
        spec.reverse = Some(reverse);
    }
    spec
}

fn lane(lane: &Lane) -> LaneSpec {
    LaneSpec {
        forward: Some(channel(&lane.forward)),
        reverse: Some(channel(&lane.reverse)),
        ..LaneSpec::default()
    }
}

/// Everything stated, so that nothing of what was before remains.
fn change(change: &ScheduledChange) -> ChangeSpec {
    let now = &change.channel;
    let settings = channel(now);
    let none = TimeSpan::default();
    ChangeSpec {
        at: change.at.into(),
        lasting: None,
        lane: Some(change.lane),
        direction: Some(match change.direction {
            Direction::Forward => DirectionSpec::Forward,
            Direction::Reverse => DirectionSpec::Reverse,
        }),
        state: Some(now.state),
        rate: settings.rate.or(Some(RateSpec::Word(RateWord::Unlimited))),
        // Half of the RTT is stated, too: of a change before this one, another delay may be in force.
        delay: (settings.delay).or(Some(DelaySpec::OneWay(now.delay.into()))),
        route_factor: settings.route_factor,
        jitter: settings.jitter.or(Some(JitterSpec::Deviation(none))),
        loss: settings
            .loss
            .or(Some(LossSpec::Independent(Probability::ZERO))),
        duplication: Some(now.duplication),
        corruption: Some(now.corruption),
        reordering: settings.reordering.or(Some(ReorderingSpec {
            chance: Probability::ZERO,
            depth: None,
        })),
        queue: settings.queue,
    }
}

fn channel(channel: &Channel) -> ChannelSpec {
    let (delay, route_factor) = match channel.delay_source {
        DelaySource::OneWay => (Some(DelaySpec::OneWay(channel.delay.into())), None),
        DelaySource::HalfRtt => (None, None),
        DelaySource::Fibre { route_factor, .. } => (Some(DelaySpec::Fibre), Some(route_factor)),
    };
    let some =
        |probability: Probability| Some(probability).filter(|probability| !probability.is_zero());
    ChannelSpec {
        state: Some(channel.state).filter(|state| *state != LaneState::default()),
        rate: rate(channel),
        delay,
        route_factor,
        jitter: channel.jitter.as_ref().map(jitter),
        loss: loss(&channel.loss),
        duplication: some(channel.duplication),
        corruption: some(channel.corruption),
        reordering: channel
            .reordering
            .map(|Reordering { chance, depth }| ReorderingSpec {
                chance,
                depth: Some(depth),
            }),
        queue: channel.rate.map(|_| queue::spec(channel)),
    }
}

fn rate(channel: &Channel) -> Option<RateSpec> {
    let Some(trace) = &channel.rate_trace else {
        let rate = channel.rate?;
        return Some(RateSpec::Word(RateWord::Constant(rate)));
    };
    let step = |step: &RateStep| RateStepSpec {
        at: step.at.into(),
        rate: (step.bits_per_second > 0).then(|| Rate::from_bits_per_second(step.bits_per_second)),
    };
    Some(RateSpec::Trace(RateTraceSpec {
        steps: Some(trace.steps().iter().map(step).collect()),
        period: Some(trace.period().into()),
        ..RateTraceSpec::default()
    }))
}

fn jitter(jitter: &Jitter) -> JitterSpec {
    let mut settings = JitterSettings {
        order: Some(jitter.order),
        ..JitterSettings::default()
    };
    match &jitter.shape {
        JitterShape::Distribution(distribution) => {
            settings.deviation = Some(jitter.deviation.into());
            settings.distribution = Some(*distribution);
        }
        JitterShape::Table(table) => {
            settings.deviation = Some(jitter.deviation.into());
            settings.samples = Some(
                table
                    .samples()
                    .iter()
                    .copied()
                    .map(TimeSpan::from)
                    .collect(),
            );
        }
        JitterShape::Trace(trace) => {
            let point = |&(at, delay): &(Duration, Duration)| DelayPointSpec {
                at: at.into(),
                delay: delay.into(),
            };
            settings.points = Some(trace.points().iter().map(point).collect());
        }
    }
    JitterSpec::Full(settings)
}

fn loss(loss: &Loss) -> Option<LossSpec> {
    let model = match loss {
        Loss::None => return None,
        Loss::Independent(probability) => return Some(LossSpec::Independent(*probability)),
        &Loss::GilbertElliott {
            to_bad,
            to_good,
            loss_in_bad,
            loss_in_good,
        } => LossModel {
            gilbert_elliott: Some(GilbertElliott {
                to_bad,
                to_good,
                loss_in_bad: Some(loss_in_bad),
                loss_in_good: Some(loss_in_good),
            }),
            ..LossModel::default()
        },
        Loss::FourState(states) => LossModel {
            four_state: Some(FourState {
                p13: states.p13,
                p31: Some(states.p31),
                p32: Some(states.p32),
                p23: Some(states.p23),
                p14: Some(states.p14),
            }),
            ..LossModel::default()
        },
        Loss::Packets(packets) => LossModel {
            packets: Some(packets.to_vec()),
            ..LossModel::default()
        },
        Loss::Trace(fates) => LossModel {
            pattern: Some(
                fates
                    .iter()
                    .map(|&lost| if lost { '1' } else { '0' })
                    .collect(),
            ),
            ..LossModel::default()
        },
    };
    Some(LossSpec::Model(model))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Document;
    use crate::model::{QueueLimit, RateTrace};
    use crate::units::ByteSize;
    use crate::validate;

    #[test]
    fn what_is_written_out_is_read_as_the_same_topology() {
        let text = "
name: odd
description: every kind of setting
mtu: 9000
defaults: {hosts: 3, lanes: 2, queue: 2bdp, fabric: {rate: 10Gbit}}
sites:
  - {name: a, latitude: 50.1, longitude: 8.7, hosts: 1}
  - {name: b, latitude: -33.9, longitude: 151.2, place: Sydney}
  - {name: c}
  - {name: d}
links:
  - between: [a, b]
    delay: fibre
    jitter: {deviation: 1ms, distribution: pareto, order: by-delay}
    forward: {rate: 1Gbit, queue: 100p}
    reverse: {route_factor: 1.7, rate: 10Mbit, loss: 0.1%, corruption: 1%}
  - {between: [b, c], rtt: 33.333333333ms, duplication: 1%, loss: {gilbert_elliott: {to_bad: 1%, to_good: 9%}}}
  - {between: [c, a], rate: 1.5Gbit, queue: 64KB, forward: {delay: 7us}, reverse: {delay: 1.5s, jitter: 1ms}}
  - between: [a, d]
    rtt: 20ms
    spread: least-queue
    rate: 1Gbit
    reordering: {chance: 1%, depth: 3}
    lanes:
      - {queue: {limit: 5ms, red: {min: 100us, max: 0.2bdp, chance: 10%}}}
      - {delay: 12ms, loss: {four_state: {p13: 1%, p31: 20%, p14: 0.1%}}, queue: {limit: 10ms, step: {at: 100p}}}
      - {jitter: {samples: [1ms, 1.5ms, 9ms]}, queue: {codel: {target: 1ms}}, forward: {loss: {packets: [7, 3]}}}
      - {jitter: {points: [{at: 0s, delay: 1ms}, {at: 3s, delay: 4ms}]}, queue: {fq_codel: {quantum: 300b, ecn: false}}}
      - {rate: {steps: [{at: 0s, rate: 1Mbit}, {at: 2s}], period: 3s}, queue: {pie: {alpha: 0.2}}, reverse: {rate: unlimited}}
      - {queue: {dualpi2: {coupling: 3}}, loss: {pattern: '0010'}, state: down}
    schedule:
      - {at: 1s, for: 500ms, lane: 1, state: down}
      - {at: 1.2s, delay: 30ms, direction: reverse, jitter: 0s, loss: 1%}
      - {at: 2s, rate: 10Mbit, queue: 2bdp, lane: 0}
  - between: [b, d]
    rtt: 80ms
    jitter: 5ms
    lanes: [{forward: {delay: 50ms}}]
    schedule:
      - {at: 1s, for: 1s, delay: 1ms, jitter: 0s}
";
        let topology = validate::topology(&Document::from_text("odd.yaml", text).unwrap()).unwrap();
        let written = serde_json::to_string(&TopologySpec::from(&topology)).unwrap();
        let again = Document::from_text("result.json", &written).unwrap();
        assert_eq!(validate::topology(&again).unwrap(), topology);
    }

    #[test]
    fn a_topology_longer_than_a_file_may_be_is_read_as_the_same_one() {
        let text =
            "{name: long, sites: [{name: a}, {name: b}], links: [{between: [a, b], delay: 1ms}]}";
        let document = Document::from_text("long.yaml", text).unwrap();
        let mut topology = validate::topology(&document).unwrap();
        let step = |at: u32| RateStep {
            at: at * Duration::from_millis(1),
            bits_per_second: 1_000_000 + u64::from(at % 2),
        };
        let trace = RateTrace::new((0..300_000).map(step).collect(), Duration::from_secs(300));
        let channel = &mut topology.links[0].lanes[0].forward;
        channel.rate_trace = trace.ok();
        channel.rate = Some(Rate::from_bits_per_second(1_000_000));
        channel.queue_limit = Some(QueueLimit::Bytes(ByteSize::from_bytes(65_536)));
        let spec = TopologySpec::from(&topology);
        assert!(serde_json::to_string(&spec).unwrap().len() > 8 << 20);
        assert_eq!(validate::written_out("long", spec).unwrap(), topology);
    }
}
