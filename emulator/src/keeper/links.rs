//! The links of a lab over the control socket: what they are, and setting them.

use std::fmt;

use longhaul_topologies::adjust::{Adjustment, Named};
use longhaul_topologies::document::Setting;
use longhaul_topologies::model::{Channel, LaneState};
use longhaul_topologies::{InputError, Topology};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::engine::EngineError;
use crate::lab::Lab;
use crate::links::{AdjustError, channel, ids};
use crate::plan::ChannelId;

/// One direction of one lane: what it is, and how that differs from what the lab came up with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LinkStatus {
    /// The site it leaves.
    pub from: String,
    /// The site it leads to.
    pub to: String,
    /// The lane, from 0.
    pub lane: usize,
    /// Whether the lane carries anything.
    pub state: LaneState,
    /// All of it in words: `50Mbit, 40ms, loss 1%`.
    pub now: String,
    /// The same one by one: a topology file's keys, and their values in words.
    pub settings: Map<String, Value>,
    /// What the topology has otherwise: `delay 40ms → 60ms`. Absent if nothing.
    pub differs: Option<String>,
}

/// A channel that `link set` changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdjustedChannel {
    /// The site it leaves.
    pub from: String,
    /// The site it leads to.
    pub to: String,
    /// The lane, from 0.
    pub lane: usize,
    /// `delay 40ms → 60ms`.
    pub change: String,
}

/// Why a keeper did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Refusal {
    /// It was wrong.
    Input(Box<Wrong>),
    /// The link engine cannot do it, or has died.
    Engine(String),
    /// There is a time for it, but this is not it.
    NotNow(String),
}

/// An [`InputError`] as it crosses the socket: without the text it points into.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wrong {
    /// Whose topology.
    pub document: String,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub help: Option<String>,
    /// The argument that is wrong.
    pub setting: Option<Setting>,
}

/// The channels of `lab`, or of one of its links: then the way from the first site named comes first.
///
/// # Errors
/// If there is no such link.
pub(super) fn show(lab: &Lab, link: Option<&Named>) -> Result<Vec<LinkStatus>, Refusal> {
    let (described, now) = (&lab.plan().topology, lab.topology_now());
    let found = link.map(|link| link.find(&now)).transpose()?;
    let mut shown: Vec<ChannelId> = ids(&now)
        .filter(|id| found.is_none_or(|found| found.link == id.link))
        .collect();
    if let Some(found) = found {
        shown.sort_by_key(|id| (id.lane, found.forward != id.direction));
    }
    let status = |id: ChannelId| {
        let (is, was) = (channel(&now, id)?, channel(described, id)?);
        let [from, to] = ends(&now, id);
        let settings = is.settings().into_iter();
        Some(LinkStatus {
            from,
            to,
            lane: id.lane,
            state: is.state,
            now: is.describe(),
            settings: settings
                .map(|(key, text)| (key.to_owned(), text.into()))
                .collect(),
            differs: differs(is, was),
        })
    };
    Ok(shown.into_iter().filter_map(status).collect())
}

/// Sets a link of `lab`; what changed.
///
/// # Errors
/// As [`Lab::adjust`].
pub(super) fn adjust(lab: &Lab, adjustment: &Adjustment) -> Result<Vec<AdjustedChannel>, Refusal> {
    let topology = &lab.plan().topology;
    let changes = lab.adjust(adjustment)?.into_iter();
    let adjusted = changes.map(|change| {
        let [from, to] = ends(topology, change.id);
        AdjustedChannel {
            from,
            to,
            lane: change.id.lane,
            change: change.change,
        }
    });
    Ok(adjusted.collect())
}

/// What `is` has otherwise than `was`, if anything.
pub(super) fn differs(is: &Channel, was: &Channel) -> Option<String> {
    Some(is.changes_from(was)).filter(|change| !change.is_empty())
}

/// The names of the sites that `id` leads from and to.
pub(super) fn ends(topology: &Topology, id: ChannelId) -> [String; 2] {
    let ends = topology.links[id.link.0].ends(id.direction);
    ends.map(|site| topology.site(site).name.clone())
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Input(wrong) => wrong.error().fmt(f),
            Refusal::Engine(reason) | Refusal::NotNow(reason) => f.write_str(reason),
        }
    }
}

impl Refusal {
    /// The error it was, if what was asked was wrong.
    pub fn input(&self) -> Option<InputError> {
        match self {
            Refusal::Input(wrong) => Some(wrong.error()),
            Refusal::Engine(_) | Refusal::NotNow(_) => None,
        }
    }
}

impl Wrong {
    /// With the argument to point at.
    fn error(&self) -> InputError {
        let mut error = InputError::new(&self.document, &self.message);
        error.help.clone_from(&self.help);
        match &self.setting {
            Some(setting) => error.at_setting(setting),
            None => error,
        }
    }
}

impl From<InputError> for Refusal {
    fn from(error: InputError) -> Self {
        Refusal::Input(Box::new(Wrong {
            setting: error.setting().cloned(),
            document: error.document,
            message: error.message,
            help: error.help,
        }))
    }
}

impl From<EngineError> for Refusal {
    fn from(error: EngineError) -> Self {
        Refusal::Engine(error.to_string())
    }
}

impl From<AdjustError> for Refusal {
    fn from(error: AdjustError) -> Self {
        match error {
            AdjustError::Input(error) => (*error).into(),
            AdjustError::Engine(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_the_same_error_at_the_other_end() {
        let setting = Setting::bare("rate", "fast");
        let error = InputError::new("lab", "`fast` is not a rate")
            .with_help("write 10Mbit")
            .at_setting(&setting);
        let text = error.to_string();
        let sent = serde_json::to_string(&Refusal::from(error)).unwrap();
        let refusal: Refusal = serde_json::from_str(&sent).unwrap();
        assert_eq!(refusal.to_string(), text);
        let again = refusal.input().unwrap();
        assert_eq!(
            (again.setting(), again.help.as_deref()),
            (Some(&setting), Some("write 10Mbit"))
        );
    }
}
