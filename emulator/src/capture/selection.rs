//! Which channels a user means by the name of a lane.
//!
//! Links and lanes are named as everywhere else: `virginia-dublin` is a link, `virginia>dublin` one of its directions; a lane's number
//! follows as `/0` (telemetry) or ` lane 0` (findings), and is left out for all of them.

use longhaul_topologies::adjust::{Found, Named};
use longhaul_topologies::model::Direction;
use longhaul_topologies::{InputError, Topology};

use crate::plan::ChannelId;

/// Links that an error lists; who has more of them knows their names from a file.
const MOST_LISTED: usize = 20;

/// The channels of `topology` that `text` names, in the order of lanes, forward before reverse.
///
/// # Errors
/// If there is no such link or lane; the help lists those there are.
pub fn channels(text: &str, topology: &Topology) -> Result<Vec<ChannelId>, InputError> {
    let refuse = |message: String| InputError::new(&topology.name, message);
    let (ends, number) = match text.rsplit_once(" lane ").or_else(|| text.rsplit_once('/')) {
        Some((ends, number)) => (ends, Some(number)),
        None => (text, None),
    };
    let Some((found, directions)) = link(ends, topology) else {
        let message = format!("there is no lane `{}`", text.escape_debug());
        return Err(refuse(message).with_help(format!("there are {}", list(topology))));
    };
    let lanes = 0..topology.links[found.link.0].lanes.len();
    let lanes = match number {
        None => lanes,
        Some(number) => match number.parse() {
            Ok(lane) if lanes.contains(&lane) => lane..lane + 1,
            _ => {
                let (link, number) = (ends.escape_debug(), number.escape_debug());
                let message = format!("there is no lane `{number}` of `{link}`");
                return Err(refuse(message).with_help(format!("there are {}", list(topology))));
            }
        },
    };
    let mut channels = Vec::new();
    for lane in lanes {
        for &direction in directions {
            channels.push(ChannelId {
                link: found.link,
                lane,
                direction: found.own(direction),
            });
        }
    }
    channels.sort_unstable();
    Ok(channels)
}

/// The link between the sites in `ends`, and which of its directions are meant, as named there.
fn link(ends: &str, topology: &Topology) -> Option<(Found, &'static [Direction])> {
    let find = |from: &str, to: &str| {
        let named = Named {
            from: from.to_owned(),
            to: to.to_owned(),
        };
        named.find(topology).ok()
    };
    if let Some((from, to)) = ends.split_once('>') {
        return Some((find(from, to)?, &[Direction::Forward]));
    }
    // A site may have dashes in its name: the one that joins two is that with a site on either side.
    let mut splits = ends.match_indices('-');
    let found = splits.find_map(|(at, dash)| find(&ends[..at], &ends[at + dash.len()..]))?;
    Some((found, &Direction::BOTH))
}

/// `virginia-dublin (lanes 0 to 3), dublin-oregon (lane 0)`.
fn list(topology: &Topology) -> String {
    let name = |link: &longhaul_topologies::model::Link| {
        let [from, to] = [link.a, link.b].map(|site| &topology.site(site).name);
        match link.lanes.len() {
            1 => format!("`{from}-{to}` (lane 0)"),
            count => format!("`{from}-{to}` (lanes 0 to {})", count - 1),
        }
    };
    let mut names: Vec<String> = topology.links.iter().take(MOST_LISTED).map(name).collect();
    match topology.links.len() {
        0 => "no links".to_owned(),
        count => {
            if let Some(more) = count.checked_sub(MOST_LISTED).filter(|&more| more > 0) {
                names.push(format!("{more} more"));
            }
            names.join(", ")
        }
    }
}

#[cfg(test)]
mod tests {
    use longhaul_topologies::model::LinkId;
    use longhaul_topologies::{Document, validate};

    use super::*;

    const TEXT: &str = "
name: lab
sites: [{name: virginia}, {name: dublin}, {name: us-east}, {name: east-1}]
links:
  - {between: [virginia, dublin], delay: 40ms, lanes: 2}
  - {between: [us-east, east-1], delay: 1ms}
  - {between: [dublin, us-east], delay: 1ms}
";

    fn topology() -> Topology {
        validate::topology(&Document::from_text("lab.yaml", TEXT).unwrap()).unwrap()
    }

    /// Link, lane and direction of what is selected.
    fn selected(text: &str) -> Vec<(usize, usize, Direction)> {
        let channels = channels(text, &topology()).unwrap();
        let told = |id: ChannelId| (id.link.0, id.lane, id.direction);
        channels.into_iter().map(told).collect()
    }

    #[test]
    fn a_link_is_all_of_its_lanes_both_ways() {
        use Direction::{Forward, Reverse};
        let all = [
            (0, 0, Forward),
            (0, 0, Reverse),
            (0, 1, Forward),
            (0, 1, Reverse),
        ];
        assert_eq!(selected("virginia-dublin"), all);
        assert_eq!(selected("dublin-virginia"), all);
        assert_eq!(selected("virginia-dublin/1"), all[2..]);
    }

    #[test]
    fn a_direction_is_named_as_telemetry_and_findings_name_it() {
        use Direction::{Forward, Reverse};
        for text in ["dublin>virginia/1", "dublin>virginia lane 1"] {
            assert_eq!(selected(text), [(0, 1, Reverse)]);
        }
        assert_eq!(selected("virginia>dublin").len(), 2);
        assert_eq!(selected("virginia>dublin/0"), [(0, 0, Forward)]);
    }

    #[test]
    fn every_channel_is_found_by_the_name_that_the_lab_gives_it() {
        let plan = crate::plan::LabPlan::new(topology());
        for (link, described) in plan.topology.links.iter().enumerate() {
            for lane in 0..described.lanes.len() {
                for direction in Direction::BOTH {
                    let id = ChannelId {
                        link: LinkId(link),
                        lane,
                        direction,
                    };
                    let name = plan.channel_name(id);
                    assert_eq!(channels(&name, &plan.topology).unwrap(), [id], "{name}");
                }
            }
        }
    }

    #[test]
    fn sites_with_dashes_in_their_names_are_told_apart() {
        assert_eq!(selected("us-east-east-1").len(), 2);
        assert_eq!(selected("east-1-us-east/0").len(), 2);
    }

    #[test]
    fn what_there_is_stands_beside_what_is_not() {
        for text in [
            "virginia-paris",
            "virginia",
            "",
            "virginia-dublin/2",
            "virginia-dublin/x",
            "virginia-us-east",
        ] {
            let error = channels(text, &topology()).unwrap_err();
            assert!(error.message.starts_with("there is no lane `"), "{error}");
            assert_eq!(
                error.help.as_deref(),
                Some(
                    "there are `virginia-dublin` (lanes 0 to 1), `us-east-east-1` (lane 0), `dublin-us-east` (lane 0)"
                ),
                "{text}"
            );
        }
    }
}
