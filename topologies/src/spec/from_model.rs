//! A validated topology written out in full, as results keep it.

use super::{
    ChannelSpec, DelaySpec, FabricSpec, GilbertElliott, JitterSettings, JitterSpec, LinkSpec,
    LossModel, LossSpec, SiteSpec, TopologySpec,
};
use crate::model::{Channel, DelaySource, Jitter, Link, Loss, Site, Topology};
use crate::units::{Probability, TimeSpan};

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

fn link(topology: &Topology, link: &Link) -> LinkSpec {
    let (forward, reverse) = (channel(&link.forward), channel(&link.reverse));
    let mut spec = LinkSpec {
        between: [link.a, link.b].map(|end| topology.site(end).name.clone()),
        lanes: Some(link.lanes),
        rtt: (link.forward.delay_source == DelaySource::HalfRtt)
            .then(|| TimeSpan::from_duration(link.forward.delay * 2)),
        ..LinkSpec::default()
    };
    if forward == reverse {
        let ChannelSpec {
            rate,
            delay,
            route_factor,
            jitter,
            loss,
            duplication,
            corruption,
            queue,
        } = forward;
        spec = LinkSpec {
            rate,
            delay,
            route_factor,
            jitter,
            loss,
            duplication,
            corruption,
            queue,
            ..spec
        };
    } else {
        spec.forward = Some(forward);
        spec.reverse = Some(reverse);
    }
    spec
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
        rate: channel.rate,
        delay,
        route_factor,
        jitter: channel.jitter.map(jitter),
        loss: loss(channel.loss),
        duplication: some(channel.duplication),
        corruption: some(channel.corruption),
        queue: channel.rate.map(|_| channel.queue),
    }
}

fn jitter(jitter: Jitter) -> JitterSpec {
    JitterSpec::Full(JitterSettings {
        deviation: jitter.deviation.into(),
        distribution: Some(jitter.distribution),
        order: Some(jitter.order),
    })
}

fn loss(loss: Loss) -> Option<LossSpec> {
    match loss {
        Loss::None => None,
        Loss::Independent(probability) => Some(LossSpec::Independent(probability)),
        Loss::GilbertElliott {
            to_bad,
            to_good,
            loss_in_bad,
            loss_in_good,
        } => Some(LossSpec::Model(LossModel {
            gilbert_elliott: GilbertElliott {
                to_bad,
                to_good,
                loss_in_bad: Some(loss_in_bad),
                loss_in_good: Some(loss_in_good),
            },
        })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Document;
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
links:
  - between: [a, b]
    delay: fibre
    jitter: {deviation: 1ms, distribution: pareto, order: by-delay}
    forward: {rate: 1Gbit, queue: 100p}
    reverse: {route_factor: 1.7, rate: 10Mbit, loss: 0.1%, corruption: 1%}
  - {between: [b, c], rtt: 33.333333333ms, duplication: 1%, loss: {gilbert_elliott: {to_bad: 1%, to_good: 9%}}}
  - {between: [c, a], rate: 1.5Gbit, queue: 64KB, forward: {delay: 7us}, reverse: {delay: 1.5s, jitter: 1ms}}
";
        let topology = validate::topology(&Document::from_text("odd.yaml", text).unwrap()).unwrap();
        let written = serde_json::to_string(&TopologySpec::from(&topology)).unwrap();
        let again = Document::from_text("result.json", &written).unwrap();
        assert_eq!(validate::topology(&again).unwrap(), topology);
    }
}
