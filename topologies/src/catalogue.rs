//! The topologies embedded in the binary.

use crate::document::{Document, InputError};
use crate::embedded::{Catalogue, Entry};

/// In order of distance.
const CATALOGUE: Catalogue = crate::embedded!["topology" in "../catalogue":
    "campus",
    "metro",
    "region",
    "us-coasts",
    "transatlantic",
    "transpacific",
    "three-continents",
    "five-continents",
    "lossy-long-path",
    "antipodes",
];

/// Every embedded topology, in order of distance.
pub fn entries() -> &'static [Entry] {
    CATALOGUE.entries()
}

/// Opens a topology by catalogue name, else by path: see [`Catalogue::open`].
///
/// # Errors
/// If there is no such entry or file, or it is not YAML.
pub fn open(name_or_path: &str) -> Result<Document, InputError> {
    CATALOGUE.open(name_or_path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{DelaySource, Topology};
    use crate::spec::TopologySpec;
    use crate::validate;

    fn topology(name: &str) -> Topology {
        validate::topology(&open(name).unwrap()).unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn every_entry_is_valid_and_carries_its_own_name() {
        for entry in entries() {
            let topology = topology(entry.name);
            assert_eq!(topology.name, entry.name);
            assert!(!topology.description.is_empty());
            assert!(topology.sites.iter().all(|site| site.coordinates.is_some()));
        }
        let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/catalogue"))
            .unwrap()
            .count();
        assert_eq!(
            files,
            entries().len(),
            "a file of the catalogue is not embedded"
        );
    }

    #[test]
    fn a_topology_written_out_in_full_is_the_same_topology() {
        for entry in entries() {
            let topology = topology(entry.name);
            let text = serde_json::to_string(&TopologySpec::from(&topology)).unwrap();
            let again = Document::from_text("written", &text).unwrap();
            assert_eq!(validate::topology(&again).unwrap(), topology);
        }
    }

    /// Round-trip times in milliseconds; the files name the sources.
    const KNOWN: &[(&str, &str, &str, f64)] = &[
        ("region", "luxembourg", "frankfurt", 4.83),
        ("us-coasts", "virginia", "california", 74.0),
        ("transatlantic", "virginia", "dublin", 74.0),
        ("transpacific", "california", "tokyo", 110.0),
        ("three-continents", "virginia", "dublin", 74.0),
        ("three-continents", "virginia", "tokyo", 165.0),
        ("three-continents", "dublin", "tokyo", 232.0),
        ("five-continents", "virginia", "dublin", 74.0),
        ("five-continents", "virginia", "sao-paulo", 119.0),
        ("five-continents", "virginia", "johannesburg", 226.0),
        ("five-continents", "virginia", "singapore", 229.0),
        ("five-continents", "dublin", "sao-paulo", 176.0),
        ("five-continents", "dublin", "johannesburg", 178.0),
        ("five-continents", "dublin", "singapore", 236.0),
        ("five-continents", "sao-paulo", "johannesburg", 327.0),
        ("five-continents", "sao-paulo", "singapore", 337.0),
        ("five-continents", "johannesburg", "singapore", 211.0),
        ("five-continents", "singapore", "johannesburg", 190.0),
        ("lossy-long-path", "virginia", "sydney", 206.0),
        ("antipodes", "madrid", "auckland", 275.0),
    ];

    /// Two buildings and two parts of a city: no round-trip time of such a pair is published.
    const UNKNOWN: &[&str] = &["campus", "metro"];

    #[test]
    fn fibre_delays_are_within_15_percent_of_known_round_trips() {
        for &(name, a, b, known) in KNOWN {
            let topology = topology(name);
            let ends = [a, b].map(|site| topology.site_named(site).unwrap());
            let joins =
                |link: &&crate::model::Link| ends.contains(&link.a) && ends.contains(&link.b);
            let link = topology.links.iter().find(joins).unwrap();
            assert!(matches!(
                link.lanes[0].forward.delay_source,
                DelaySource::Fibre { .. }
            ));
            let rtt =
                (link.lanes[0].forward.delay + link.lanes[0].reverse.delay).as_secs_f64() * 1e3;
            assert!(
                (rtt / known - 1.0).abs() <= 0.15,
                "{name}: {a} to {b} {rtt:.1} ms, known {known} ms"
            );
        }
        for entry in entries()
            .iter()
            .filter(|entry| !UNKNOWN.contains(&entry.name))
        {
            let known = KNOWN
                .iter()
                .filter(|(name, a, ..)| *name == entry.name && *a != "singapore")
                .count();
            assert_eq!(
                known,
                topology(entry.name).links.len(),
                "{}: a link without a known time",
                entry.name
            );
        }
    }

    #[test]
    fn short_distances_are_what_their_names_say() {
        for (name, km) in [("campus", 2.0), ("metro", 10.0)] {
            let DelaySource::Fibre { distance_km, .. } =
                topology(name).links[0].lanes[0].forward.delay_source
            else {
                panic!("{name} states its delay");
            };
            assert!(
                (distance_km - km).abs() < 0.02 * km,
                "{name}: {distance_km} km"
            );
        }
    }

    #[test]
    fn a_file_is_opened_by_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lab.yaml");
        std::fs::write(&path, "sites: [{name: here}]").unwrap();
        let topology = validate::topology(&open(path.to_str().unwrap()).unwrap()).unwrap();
        assert_eq!((topology.name.as_str(), topology.sites.len()), ("lab", 1));
    }
}
