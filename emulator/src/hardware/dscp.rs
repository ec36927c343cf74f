//! A map from DSCPs to priorities, as plans and journals write it: `0-7:0,8-15:1,26:3`, or `none`. Pure.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use longhaul_topologies::hardware::{Dscp, Priority};

use super::place::NONE;

/// Which priorities DSCPs have. The kernel takes several of one (`dcb_ieee_setapp`, net/dcb/dcbnl.c); the highest counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Map(pub(super) BTreeSet<(Dscp, Priority)>);

impl fmt::Display for Map {
    /// DSCPs that follow each other and have the same priority as one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut runs: Vec<(u8, u8, u8)> = Vec::new();
        for (dscp, priority) in &self.0 {
            let (dscp, priority) = (dscp.number(), priority.number());
            match runs.last_mut() {
                Some((_, last, its)) if *last + 1 == dscp && *its == priority => *last = dscp,
                _ => runs.push((dscp, dscp, priority)),
            }
        }
        let run = |&(first, last, priority): &(u8, u8, u8)| match first == last {
            true => format!("{first}:{priority}"),
            false => format!("{first}-{last}:{priority}"),
        };
        match &runs[..] {
            [] => f.write_str(NONE),
            runs => f.write_str(&runs.iter().map(run).collect::<Vec<_>>().join(",")),
        }
    }
}

impl FromStr for Map {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut map = BTreeSet::new();
        if text == NONE {
            return Ok(Map(map));
        }
        for run in text.split(',') {
            let wrong = || format!("`{run}` is no DSCP with a priority");
            let (dscps, priority) = run.split_once(':').ok_or_else(wrong)?;
            let priority = priority.parse::<u8>().map_err(|_| wrong())?;
            let priority = Priority::try_from(priority)?;
            let (first, last) = dscps.split_once('-').unwrap_or((dscps, dscps));
            let (first, last): (Dscp, Dscp) = (first.parse()?, last.parse()?);
            if first > last {
                return Err(wrong());
            }
            let run = Dscp::all().filter(|dscp| (first..=last).contains(dscp));
            map.extend(run.map(|dscp| (dscp, priority)));
        }
        Ok(Map(map))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pair((dscp, priority): (u16, u8)) -> (Dscp, Priority) {
        (
            Dscp::try_from(dscp).unwrap(),
            Priority::try_from(priority).unwrap(),
        )
    }

    proptest! {
        #[test]
        fn a_map_reads_back_as_it_is_written(pairs in proptest::collection::btree_set((0_u16..64, 0_u8..8), 0..80)) {
            let map = Map(pairs.into_iter().map(pair).collect());
            prop_assert_eq!(map.to_string().parse::<Map>().unwrap(), map);
        }
    }

    #[test]
    fn the_map_by_classes_is_short() {
        let classes = (0..64).map(|dscp| pair((dscp, u8::try_from(dscp / 8).unwrap())));
        let text = Map(classes.collect()).to_string();
        assert_eq!(
            text,
            "0-7:0,8-15:1,16-23:2,24-31:3,32-39:4,40-47:5,48-55:6,56-63:7"
        );
        assert_eq!(Map::default().to_string(), "none");
    }

    #[test]
    fn what_is_no_map_is_refused() {
        for text in ["", "26", "26:8", "64:0", "7-3:1", "a:b", "1:1,", "-1:0"] {
            assert!(text.parse::<Map>().is_err(), "{text}");
        }
    }
}
