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
