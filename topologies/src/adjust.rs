//! Settings laid over a link of a topology that is up (`longhaul link set`).
//!
//! The link is written out in full, the settings are laid over it as `--set` lays them over a file, and what comes of it is read and
//! checked by the code that reads files: so keys, values and refusals are those of a file.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::document::{Document, DocumentPath, InputError, Setting};
use crate::model::{Direction, Lane, LinkId, Topology};
use crate::spec::TopologySpec;
use crate::suggest::{list, way_on};
use crate::validate;

/// What is to change, and where: as a user says it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adjustment {
    /// The link.
    pub link: Named,
    /// Which lane; all if absent.
    pub lane: Option<usize>,
    /// Which way, `Forward` being from the first site *as named here*, whichever way the file has the link; both if absent.
    pub direction: Option<Direction>,
    /// Keys of a channel in a topology file (`rate`, `jitter.deviation`) and their values, in the order they were given.
    pub settings: Vec<(String, String)>,
}

/// A link by its two sites, either of them first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// The site that a user's "forward" leaves from.
    pub from: String,
    /// The other one.
    pub to: String,
}

/// A link as a user named it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// The link.
    pub link: LinkId,
    /// The link's own direction that leads from the first site named to the second.
    pub forward: Direction,
}

impl Named {
    /// The link of `topology` that is meant.
    ///
    /// # Errors
    /// If a site or a link between the two does not exist; the help names what is close, or what there is.
    pub fn find(&self, topology: &Topology) -> Result<Found, InputError> {
        let refuse = |message: String| InputError::new(&topology.name, message);
        let site = |name: &str| {
            topology.site_named(name).ok_or_else(|| {
                let names = topology.sites.iter().map(|site| site.name.as_str());
                refuse(format!("there is no site `{}`", name.escape_debug()))
                    .with_help(way_on(name, names))
            })
        };
        let (from, to) = (site(&self.from)?, site(&self.to)?);
        for (id, link) in topology.links.iter().enumerate() {
            for direction in Direction::BOTH {
                if link.ends(direction) == [from, to] {
                    return Ok(Found {
                        link: LinkId(id),
                        forward: direction,
                    });
                }
            }
        }
        let others = topology.links.iter().filter_map(|link| match link {
            link if link.a == from => Some(link.b),
            link if link.b == from => Some(link.a),
            _ => None,
        });
        let others = list(others.map(|id| topology.site(id).name.as_str()));
        let message = format!("no link joins `{}` and `{}`", self.from, self.to);
        Err(refuse(message).with_help(format!("from `{}` links lead to {others}", self.from)))
    }
}

impl Found {
    /// The link's own direction for one that is meant from the first site named.
    pub fn own(&self, meant: Direction) -> Direction {
        match (self.forward, meant) {
            (Direction::Forward, meant) => meant,
            (Direction::Reverse, Direction::Forward) => Direction::Reverse,
            (Direction::Reverse, Direction::Reverse) => Direction::Forward,
        }
    }
}

impl Adjustment {
    /// The link that is meant, and its lanes as they are with the settings over them. `topology` is the lab's as it is now.
    ///
    /// Where a setting is another's measure, that follows, as in a file: a queue of `1bdp` grows with the delay, in both directions.
    ///
    /// # Errors
    /// What is wrong, pointing at the `key=value` it came from.
    pub fn lanes(&self, topology: &Topology) -> Result<(LinkId, Vec<Lane>), InputError> {
        let found = self.link.find(topology)?;
        let link = &topology.links[found.link.0];
        if let Some(lane) = self.lane.filter(|&lane| lane >= link.lanes.len()) {
            let message = match link.lanes.len() {
                1 => format!("there is no lane {lane}: the link has lane 0 alone"),
                count => format!(
                    "there is no lane {lane}: they are numbered from 0 to {}",
                    count - 1
                ),
            };
            return Err(InputError::new(&topology.name, message));
        }
        let spec = serde_json::to_value(TopologySpec::of_link(topology, link));
        let spec = spec.expect("our own types are values");
        let mut document = Document::from_value(&topology.name, spec);
        for lane in (0..link.lanes.len()).filter(|&lane| self.lane.is_none_or(|only| only == lane))
        {
            for direction in Direction::BOTH {
                if self
                    .direction
                    .is_none_or(|only| found.own(only) == direction)
                {
                    self.lay(&mut document, lane, direction)?;
                }
            }
        }
        let adjusted = validate::topology(&document).map_err(in_users_words)?;
        let [link] = <[_; 1]>::try_from(adjusted.links).expect("one link was written");
        Ok((found.link, link.lanes))
    }

    /// Lays the settings over one channel.
    fn lay(
        &self,
        document: &mut Document,
        lane: usize,
        direction: Direction,
    ) -> Result<(), InputError> {
        let place = place(lane, direction);
        let touches = |key: &str| {
            let of = |set: &str| {
                set == key
                    || set
                        .strip_prefix(key)
                        .is_some_and(|rest| rest.starts_with('.'))
            };
            self.settings.iter().any(|(set, _)| of(set))
        };
        for (key, value) in &self.settings {
            let setting = Setting::bare(key, value);
            if key == "rtt" {
                let error = InputError::new(document.name(), "a direction of a link has no `rtt`");
                return Err(error
                    .at_setting(&setting)
                    .with_help("write `delay`, half of it each way"));
            }
            if key.split('.').any(str::is_empty) {
                let message = format!("`{}` is not a setting of a link", key.escape_debug());
                let error = InputError::new(document.name(), message);
                return Err(error
                    .at_setting(&setting)
                    .with_help("write for example `delay=60ms` or `jitter.deviation=1ms`"));
            }
            let laid = document.lay(&format!("{place}.{key}"), value, &setting);
            laid.map_err(|error| without(error, &place, key))?;
        }
        // What only measured what is gone goes with it; in a file, nobody would have written it.
        let now = |key: &str| {
            let part = document.at(&path(&format!("{place}.{key}")));
            part.map(|part| part.value().clone())
        };
        let unlimited =
            touches("rate") && now("rate").is_none_or(|rate| rate.is_null() || rate == "unlimited");
        let stated = touches("delay")
            && !matches!(now("delay"), Some(Value::String(delay)) if delay == "fibre" || delay == "fiber");
        for (is_gone, key) in [(unlimited, "queue"), (stated, "route_factor")] {
            if is_gone && !touches(key) {
                let removal = Setting::bare(key, "null");
                document.lay(&format!("{place}.{key}"), "null", &removal)?;
            }
        }
        Ok(())
    }
}

/// Where a channel's settings stand in what [`TopologySpec::of_link`] writes.
fn place(lane: usize, direction: Direction) -> String {
    let direction = match direction {
        Direction::Forward => "forward",
        Direction::Reverse => "reverse",
    };
    format!("links.0.lanes.{lane}.{direction}")
}

/// The same error without the places of a file that nobody wrote.
fn in_users_words(error: InputError) -> InputError {
    let segments: Vec<&str> = error.path.segments().collect();
    let (place, key) = match segments[..] {
        ["links", "0", "lanes", lane, direction, ref key @ ..] => {
            (format!("links.0.lanes.{lane}.{direction}"), key.join("."))
        }
        _ => (String::new(), error.path.to_string()),
    };
    without(error, &place, &key)
}

/// The same error about the value at `key`, without `place` and without a line to point at.
fn without(error: InputError, place: &str, key: &str) -> InputError {
    let setting = error.setting().cloned();
    let message = match place {
        "" => error.message,
        place => error.message.replace(&format!("{place}."), ""),
    };
    let mut plain = InputError::new(error.document, message);
    plain.path = path(key);
    plain.help = error.help;
    match setting {
        Some(setting) => plain.at_setting(&setting),
        None => plain,
    }
}

fn path(key: &str) -> DocumentPath {
    let segments = key.split('.').filter(|segment| !segment.is_empty());
    segments.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests;
