//! Links: their ends, lanes and delays.

use std::collections::BTreeMap;
use std::time::Duration;

use super::channel::{Layers, channel};
use super::traces::Traces;
use super::{MOST_LANES, schedule};
use crate::document::{Document, DocumentPath, InputError};
use crate::geography::{DEFAULT_ROUTE_FACTOR, fibre_delay};
use crate::model::{
    Channel, DelaySource, Direction, LONGEST_DELAY, Lane, Link, ScheduledChange, Site, SiteId,
};
use crate::spec::{
    ChangeSpec, ChannelSpec, Defaults, DelaySpec, LaneSpec, LanesSpec, LinkSpec, TopologySpec,
};
use crate::suggest::way_on;
use crate::units::TimeSpan;

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
    let traces = Traces::new(document);
    let mut links = Vec::with_capacity(spec.links.len());
    for (index, link) in spec.links.iter().enumerate() {
        let path = DocumentPath::root().key("links").index(index);
        let reader = Reader {
            document,
            spec,
            sites,
            link,
            path: &path,
            traces: &traces,
            mtu,
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
        let lanes = reader.lane_settings(lanes_left)?;
        lanes_left -= lanes.count;
        let resolved = match &lanes.each[..] {
            [] => vec![reader.lane(None, &[], [a, b])?; lanes.count],
            each => {
                let each = each.iter().map(|lane| reader.lane(Some(lane), &[], [a, b]));
                each.collect::<Result<_, _>>()?
            }
        };
        let schedule = schedule::schedule(&reader, &lanes, &resolved, [a, b])?;
        reader.refuse_idle(&lanes, &resolved, &schedule)?;
        let default = spec.defaults.as_ref().and_then(|defaults| defaults.spread);
        links.push(Link {
            a,
            b,
            lanes: resolved,
            spread: link.spread.or(default).unwrap_or_default(),
            schedule,
        });
    }
    Ok(links)
}

/// One link of the file and what it refers to.
pub(super) struct Reader<'a> {
    pub(super) document: &'a Document,
    spec: &'a TopologySpec,
    sites: &'a [Site],
    pub(super) link: &'a LinkSpec,
    pub(super) path: &'a DocumentPath,
    traces: &'a Traces<'a>,
    mtu: u32,
}

/// The lanes of a link as the file has them.
pub(super) struct LaneSettings {
    /// How many.
    pub(super) count: usize,
    /// What is different on each, and where that stands; empty if they are all alike.
    each: Vec<(LaneSpec, DocumentPath)>,
}

impl LaneSettings {
    fn alike(count: usize) -> Self {
        LaneSettings {
            count,
            each: Vec::new(),
        }
    }

    /// What is different on lane `index`.
    pub(super) fn of(&self, index: usize) -> Option<&(LaneSpec, DocumentPath)> {
        self.each.get(index)
    }
}

/// A change that is in force, and where it stands.
pub(super) type Change<'a> = (&'a ChangeSpec, DocumentPath);

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
                    .with_help(way_on(
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

    /// The lanes as the file has them.
    fn lane_settings(&self, left: usize) -> Result<LaneSettings, InputError> {
        let default = self
            .spec
            .defaults
            .as_ref()
            .and_then(|defaults| defaults.lanes);
        let own = self.path.key("lanes");
        let (settings, path) = match (&self.link.lanes, default) {
            (Some(LanesSpec::Each(lanes)), _) => {
                let lanes = lanes.iter().cloned().enumerate();
                let each = lanes.map(|(index, lane)| (lane, own.index(index)));
                (
                    LaneSettings {
                        count: each.len(),
                        each: each.collect(),
                    },
                    own,
                )
            }
            (Some(LanesSpec::Count(count)), _) => (LaneSettings::alike(*count), own),
            (None, Some(count)) => (
                LaneSettings::alike(count),
                DocumentPath::root().key("defaults").key("lanes"),
            ),
            (None, None) => (LaneSettings::alike(1), self.path.clone()),
        };
        match settings.count {
            0 => Err(self.document.error(&path, "a link has at least one lane")),
            lanes if lanes > left => Err(self.document.error(
                &path,
                format!("too many lanes: the address plan has room for {MOST_LANES} over all links, {left} of them still free here"),
            )),
            _ => Ok(settings),
        }
    }

    /// A lane while `changes` are in force.
    pub(super) fn lane(
        &self,
        lane: Option<&(LaneSpec, DocumentPath)>,
        changes: &[Change<'_>],
        ends: [SiteId; 2],
    ) -> Result<Lane, InputError> {
        let layers = Direction::BOTH.map(|direction| self.layers(direction, lane, changes));
        let [forward, reverse] = &layers;
        let forward_delay = self.delay(Direction::Forward, forward, ends)?;
        let reverse_delay = self.delay(Direction::Reverse, reverse, ends)?;
        let round_trip = forward_delay.0 + reverse_delay.0;
        let channel = |layers, delay| channel(self.traces, layers, delay, round_trip, self.mtu);
        Ok(Lane {
            forward: channel(forward, forward_delay)?,
            reverse: channel(reverse, reverse_delay)?,
        })
    }

    /// Where a channel's settings can stand, innermost first.
    fn layers(
        &self,
        direction: Direction,
        lane: Option<&(LaneSpec, DocumentPath)>,
        changes: &[Change<'_>],
    ) -> Layers {
        let (key, own) = match direction {
            Direction::Forward => ("forward", &self.link.forward),
            Direction::Reverse => ("reverse", &self.link.reverse),
        };
        let defaults = self.spec.defaults.as_ref().map(Defaults::channel);
        let mut over: Vec<_> = changes
            .iter()
            .rev()
            .filter(|(change, _)| change.concerns(direction))
            .map(|(change, path)| (change.channel(), path.clone()))
            .collect();
        if let Some((lane, path)) = lane {
            let own = match direction {
                Direction::Forward => &lane.forward,
                Direction::Reverse => &lane.reverse,
            };
            over.extend(own.as_ref().map(|own| (own.channel(), path.key(key))));
            over.push((lane.channel(), path.clone()));
        }
        Layers {
            over,
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
        let is_over = layers.over.iter().any(|(own, _)| own.delay.is_some());
        let (delay, source, stated_at) = match self.link.rtt.filter(|_| !is_over) {
            Some(rtt) => (
                rtt.duration() / 2,
                DelaySource::HalfRtt,
                self.path.key("rtt"),
            ),
            None => match layers.find("delay", |settings| settings.delay) {
                Some((DelaySpec::OneWay(time), path)) => {
                    // As a change states it that gives the link its own delay back.
                    let half = self.link.rtt.map(|rtt| rtt.duration() / 2);
                    let source = match half == Some(time.duration()) {
                        true => DelaySource::HalfRtt,
                        false => DelaySource::OneWay,
                    };
                    (time.duration(), source, path)
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
            },
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
    fn refuse_idle(
        &self,
        lanes: &LaneSettings,
        resolved: &[Lane],
        schedule: &[ScheduledChange],
    ) -> Result<(), InputError> {
        let link = self.link;
        let there_and_back = [&link.forward, &link.reverse];
        self.refuse_idle_at(
            self.path,
            link.channel(),
            there_and_back,
            resolved,
            &mut schedule.iter(),
        )?;
        let mut changes = vec![Vec::new(); lanes.each.len()];
        if !lanes.each.is_empty() {
            schedule
                .iter()
                .for_each(|change| changes[change.lane].push(change));
        }
        for (index, (lane, path)) in lanes.each.iter().enumerate() {
            let mut changes = changes[index].iter().copied();
            let (there_and_back, own) = ([&lane.forward, &lane.reverse], &resolved[index..=index]);
            self.refuse_idle_at(path, lane.channel(), there_and_back, own, &mut changes)?;
        }
        Ok(())
    }

    /// Refuses what at `path` is set for both directions or for one of them, and used by none of the channels it is for.
    fn refuse_idle_at(
        &self,
        path: &DocumentPath,
        both: ChannelSpec,
        each: [&Option<ChannelSpec>; 2],
        lanes: &[Lane],
        changes: &mut dyn Iterator<Item = &ScheduledChange>,
    ) -> Result<(), InputError> {
        let mut channels = Direction::BOTH.map(|direction| -> Vec<&Channel> {
            lanes.iter().map(|lane| lane.channel(direction)).collect()
        });
        for change in changes {
            channels[change.direction as usize].push(&change.channel);
        }
        self.refuse_idle_in(&(both, path.clone()), &channels.concat())?;
        for ((own, key), channels) in each.into_iter().zip(["forward", "reverse"]).zip(&channels) {
            if let Some(own) = own {
                self.refuse_idle_in(&(own.channel(), path.key(key)), channels)?;
            }
        }
        Ok(())
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
