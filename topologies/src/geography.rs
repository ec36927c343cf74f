//! Where sites are and how long light takes between them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A place on the globe, in degrees: latitude −90…90 (north positive), longitude −180…180 (east positive).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Coordinates {
    /// Degrees north of the equator.
    pub latitude: f64,
    /// Degrees east of Greenwich.
    pub longitude: f64,
}

/// The Earth's mean radius R₁ of the GRS 80 ellipsoid (Moritz, "Geodetic Reference System 1980", Journal of
/// Geodesy 74, 2000). A sphere of this radius is within 0.6 % of the ellipsoid's distances.
const MEAN_EARTH_RADIUS_KM: f64 = 6371.0088;

/// Exact, by the definition of the metre.
const SPEED_OF_LIGHT_KM_PER_S: f64 = 299_792.458;

/// Effective group index of refraction of standard single-mode fibre (ITU-T G.652) at 1550 nm, as Corning's
/// SMF-28 Ultra product information (PI1424) gives it.
const FIBRE_GROUP_INDEX: f64 = 1.4682;

/// How much longer than the great circle a cable is where a file does not say: the median over the 120 largest
/// population centres of the contiguous USA if traffic took the shortest conduits (Bozkurt and others,
/// "Dissecting Latency in the Internet's Fiber Infrastructure", arXiv 1811.10737, 2018).
pub const DEFAULT_ROUTE_FACTOR: f64 = 1.3;

impl Coordinates {
    /// Length of the great circle to `other`, in kilometres.
    pub fn distance_km(self, other: Coordinates) -> f64 {
        let (latitude, other_latitude) = (self.latitude.to_radians(), other.latitude.to_radians());
        let half_latitudes = (other_latitude - latitude) / 2.0;
        let half_longitudes = (other.longitude - self.longitude).to_radians() / 2.0;
        // The haversine, which unlike the spherical law of cosines is exact at small distances.
        let haversine = half_latitudes.sin().powi(2)
            + latitude.cos() * other_latitude.cos() * half_longitudes.sin().powi(2);
        // Rounding can lift it a hair over 1 at the antipodes.
        2.0 * MEAN_EARTH_RADIUS_KM * haversine.min(1.0).sqrt().asin()
    }
}

/// How long light takes, one way, through a cable of `distance_km` × `route_factor`, to the nanosecond.
pub fn fibre_delay(distance_km: f64, route_factor: f64) -> Duration {
    let seconds = distance_km * route_factor * FIBRE_GROUP_INDEX / SPEED_OF_LIGHT_KM_PER_S;
    Duration::from_nanos((seconds * 1e9).round() as u64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(latitude: f64, longitude: f64) -> Coordinates {
        Coordinates {
            latitude,
            longitude,
        }
    }

    #[test]
    fn distances_agree_with_known_ones() {
        let quarter = std::f64::consts::FRAC_PI_2 * MEAN_EARTH_RADIUS_KM;
        assert!((at(0.0, 0.0).distance_km(at(90.0, 0.0)) - quarter).abs() < 1e-6);
        assert!((at(0.0, 0.0).distance_km(at(0.0, 180.0)) - 2.0 * quarter).abs() < 1e-6);
        // Heathrow to Kennedy, 5540 km on the ellipsoid (gcmap.com, LHR–JFK).
        let flight = at(51.4700, -0.4543).distance_km(at(40.6413, -73.7781));
        assert!((flight - 5540.0).abs() < 5540.0 * 0.006, "{flight}");
    }

    #[test]
    fn light_in_fibre_takes_about_five_microseconds_a_kilometre() {
        assert_eq!(fibre_delay(1.0, 1.0), Duration::from_nanos(4897));
        assert_eq!(fibre_delay(1000.0, 1.5), Duration::from_nanos(7_346_082));
    }

    prop_compose! {
        fn anywhere()(latitude in -90.0..=90.0f64, longitude in -180.0..=180.0f64) -> Coordinates {
            at(latitude, longitude)
        }
    }

    proptest! {
        #[test]
        fn distance_is_symmetric_and_at_most_half_around(a in anywhere(), b in anywhere()) {
            let distance = a.distance_km(b);
            prop_assert!((distance - b.distance_km(a)).abs() < 1e-6);
            prop_assert!((0.0..=std::f64::consts::PI * MEAN_EARTH_RADIUS_KM + 1e-6).contains(&distance));
        }

        #[test]
        fn a_detour_is_never_shorter(a in anywhere(), b in anywhere(), c in anywhere()) {
            prop_assert!(a.distance_km(b) <= a.distance_km(c) + c.distance_km(b) + 1e-6);
        }
    }
}
