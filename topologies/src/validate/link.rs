//! Links: their ends, lanes and delays.

use std::collections::BTreeMap;
use std::time::Duration;

use super::channel::{Layers, channel};
use super::{MOST_LANES, suggestion};
use crate::document::{Document, DocumentPath, InputError};
use crate::geography::{DEFAULT_ROUTE_FACTOR, fibre_delay};
use crate::model::{Channel, DelaySource, Direction, Link, Site, SiteId};
use crate::spec::{ChannelSpec, Defaults, DelaySpec, LinkSpec, TopologySpec};
use crate::units::TimeSpan;

/// Past any path on Earth, and to the Moon and back.
const LONGEST_DELAY: Duration = Duration::from_secs(10);
/// The longest detours measured between large cities are well below it.
const MOST_ROUTE_FACTOR: f64 = 20.0;

pub(super) fn links(
    document: &Document,
    spec: &TopologySpec,
    sites: &[Site],
    mtu: u32,
) -> Result<Vec<Link>, InputError> {
    let names: BTreeMap<&str, SiteId> = sites
        .iter()
        .enumerate()
        .map(|(index, site)| (site.name.as_str(), SiteId(index)))
        .collect();
    let mut ends_seen = BTreeMap::new();
    let mut lanes_left = MOST_LANES;
    let mut links = Vec::with_capacity(spec.links.len());
    for (index, link) in spec.links.iter().enumerate() {
        let path = DocumentPath::root().key("links").index(index);
        let reader = Reader {
            document,
            spec,
            sites,
            link,
            path: &path,
        };
        let [a, b] = reader.ends(&names)?;
        if let Some(first) = ends_seen.insert((a.min(b), a.max(b)), index) {
            let [a, b] = &link.between;
            return Err(document
                .error(
                    &path.key("between"),
                    format!("there are two links between `{a}` and `{b}`"),
                )
                .with_help(format!(
                    "entry {first} of `links` is one already: give it more `lanes`"
                )));
        }
        let lanes = reader.lanes(lanes_left)?;
        lanes_left -= lanes;
        let (forward, reverse) = (
            reader.layers(Direction::Forward),
            reader.layers(Direction::Reverse),
        );
        let forward_delay = reader.delay(Direction::Forward, &forward, [a, b])?;
        let reverse_delay = reader.delay(Direction::Reverse, &reverse, [a, b])?;
        let round_trip = forward_delay.0 + reverse_delay.0;
        let forward_channel = channel(document, &forward, forward_delay, round_trip, mtu)?;
        let reverse_channel = channel(document, &reverse, reverse_delay, round_trip, mtu)?;
        reader.refuse_idle([&forward, &reverse], [&forward_channel, &reverse_channel])?;
        links.push(Link {
            a,
            b,
            lanes,
            forward: forward_channel,
            reverse: reverse_channel,
        });
    }
    Ok(links)
}

/// One link of the file and what it refers to.
struct Reader<'a> {
    document: &'a Document,
    spec: &'a TopologySpec,
    sites: &'a [Site],
    link: &'a LinkSpec,
    path: &'a DocumentPath,
}

impl Reader<'_> {
    fn ends(&self, names: &BTreeMap<&str, SiteId>) -> Result<[SiteId; 2], InputError> {
        let between = self.path.key("between");
        let mut ends = [SiteId(0); 2];
        for (index, name) in self.link.between.iter().enumerate() {
            ends[index] = *names.get(name.as_str()).ok_or_else(|| {
                self.document
                    .error(
                        &between.index(index),
                        format!("there is no site `{}`", name.escape_debug()),
                    )
                    .with_help(suggestion(
                        name,
                        self.sites.iter().map(|site| site.name.as_str()),
                    ))
            })?;
        }
        if ends[0] == ends[1] {
            let message = format!("the link leads from `{}` to itself", self.link.between[0]);
            let help = "a link joins two sites; inside a site there is the fabric";
            return Err(self.document.error(&between, message).with_help(help));
        }
        Ok(ends)
    }

    fn lanes(&self, left: usize) -> Result<usize, InputError> {
        let default = self
            .spec
            .defaults
            .as_ref()
            .and_then(|defaults| defaults.lanes);
        let (lanes, path) = match (self.link.lanes, default) {
            (Some(lanes), _) => (lanes, self.path.key("lanes")),
            (None, Some(lanes)) => (lanes, DocumentPath::root().key("defaults").key("lanes")),
            (None, None) => (1, self.path.clone()),
        };
        match lanes {
            0 => Err(self.document.error(&path, "a link has at least one lane")),
            lanes if lanes > left => Err(self.document.error(
                &path,
                format!("too many lanes: the address plan has room for {MOST_LANES} over all links, {left} of them still free here"),
            )),
            lanes => Ok(lanes),
        }
    }

    /// Where a channel's settings can stand, innermost first.
    fn layers(&self, direction: Direction) -> Layers {
        let (key, own) = match direction {
            Direction::Forward => ("forward", &self.link.forward),
            Direction::Reverse => ("reverse", &self.link.reverse),
        };
        let defaults = self.spec.defaults.as_ref().map(Defaults::channel);
        Layers {
            direction: (
                own.as_ref().map(ChannelSpec::channel).unwrap_or_default(),
                self.path.key(key),
            ),
            link: (self.link.channel(), self.path.clone()),
            defaults: (
                defaults.unwrap_or_default(),
                DocumentPath::root().key("defaults"),
            ),
        }
    }

    /// The delay of one direction, and how it was stated.
    fn delay(
        &self,
        direction: Direction,
        layers: &Layers,
        ends: [SiteId; 2],
    ) -> Result<(Duration, DelaySource), InputError> {
        let own = layers
            .direction
            .0
            .delay
            .map(|_| layers.direction.1.key("delay"));
        let links = layers.link.0.delay.map(|_| layers.link.1.key("delay"));
        if let (Some(rtt), Some(delay)) = (self.link.rtt, own.or(links)) {
            return Err(self.both_rtt_and_delay(rtt.duration(), &delay));
        }
        let (delay, source, stated_at) = if let Some(rtt) = self.link.rtt {
            (
                rtt.duration() / 2,
                DelaySource::HalfRtt,
                self.path.key("rtt"),
            )
        } else {
            match layers.find("delay", |settings| settings.delay) {
                Some((DelaySpec::OneWay(time), path)) => {
                    (time.duration(), DelaySource::OneWay, path)
                }
                Some((DelaySpec::Fibre, path)) => self.fibre(layers, ends, path)?,
                None => {
                    let [from, to] = match direction {
                        Direction::Forward => ends,
                        Direction::Reverse => [ends[1], ends[0]],
                    }
                    .map(|end| &self.sites[end.0].name);
                    return Err(self
                        .document
                        .error(self.path, format!("the link does not say its delay from `{from}` to `{to}`"))
                        .with_help("write `delay: 40ms` (one way), `rtt: 80ms` (both ways together), or `delay: fibre` (from the distance)"));
                }
            }
        };
        if delay > LONGEST_DELAY {
            let message = format!(
                "a one-way delay of {} is too long: at most {}",
                TimeSpan::from(delay),
                TimeSpan::from(LONGEST_DELAY)
            );
            return Err(self.document.error(&stated_at, message));
        }
        Ok((delay, source))
    }

    fn both_rtt_and_delay(&self, rtt: Duration, delay: &DocumentPath) -> InputError {
        let rtt_path = self.path.key("rtt");
        // The one that `--set` added is the one that is too many.
        let culprit = if self.document.is_overridden(delay) {
            delay
        } else {
            &rtt_path
        };
        let [rtt, half] = [rtt, rtt / 2].map(TimeSpan::from);
        self.document
            .error(culprit, "the link says both `rtt` and `delay`")
            .with_help(format!(
                "an `rtt` of {rtt} means a delay of {half} each way: remove one of the two, or set it to `null`"
            ))
    }

    fn fibre(
        &self,
        layers: &Layers,
        ends: [SiteId; 2],
        stated_at: DocumentPath,
    ) -> Result<(Duration, DelaySource, DocumentPath), InputError> {
        let [a, b] = ends.map(|end| &self.sites[end.0]);
        let (Some(from), Some(to)) = (a.coordinates, b.coordinates) else {
            let site = if a.coordinates.is_none() { a } else { b };
            return Err(self
                .document
                .error(
                    &stated_at,
                    format!("`delay: fibre` needs to know where `{}` is", site.name),
                )
                .with_help(format!(
                    "give the site `{}` a `latitude` and a `longitude`",
                    site.name
                )));
        };
        let route_factor = match layers.find("route_factor", |settings: &ChannelSpec| {
            settings.route_factor
        }) {
            Some((factor, path)) if !(1.0..=MOST_ROUTE_FACTOR).contains(&factor) => {
                return Err(self
                    .document
                    .error(&path, format!("a route factor of {factor} is out of range"))
                    .with_help(format!(
                        "1 is a cable along the great circle, {MOST_ROUTE_FACTOR} the most; usual are 1.2 to 2"
                    )));
            }
            Some((factor, _)) => factor,
            None => DEFAULT_ROUTE_FACTOR,
        };
        let distance_km = from.distance_km(to);
        let delay = fibre_delay(distance_km, route_factor);
        Ok((
            delay,
            DelaySource::Fibre {
                distance_km,
                route_factor,
            },
            stated_at,
        ))
    }

    /// Refuses a route factor or a queue that nothing uses. In the defaults they may wait for links that do.
    fn refuse_idle(&self, layers: [&Layers; 2], channels: [&Channel; 2]) -> Result<(), InputError> {
        self.refuse_idle_in(&layers[0].link, &channels)?;
        self.refuse_idle_in(&layers[0].direction, &channels[..1])?;
        self.refuse_idle_in(&layers[1].direction, &channels[1..])
    }

    /// Refuses what is set in a layer but used by none of the channels it is for.
    fn refuse_idle_in(
        &self,
        (settings, path): &(ChannelSpec, DocumentPath),
        channels: &[&Channel],
    ) -> Result<(), InputError> {
        let is_fibre =
            |channel: &&Channel| matches!(channel.delay_source, DelaySource::Fibre { .. });
        if settings.route_factor.is_some() && !channels.iter().any(is_fibre) {
            let message = "the route factor has no effect: the delay is stated";
            let help = "write `delay: fibre` to compute the delay, or remove the route factor";
            return Err(self
                .document
                .error(&path.key("route_factor"), message)
                .with_help(help));
        }
        if settings.queue.is_some() && channels.iter().all(|channel| channel.rate.is_none()) {
            let message = "the queue has no effect: without a rate nothing queues";
            let help = "give the link a `rate`, or remove the queue";
            return Err(self
                .document
                .error(&path.key("queue"), message)
                .with_help(help));
        }
        Ok(())
    }
}
