//! Sites, great circles and coastlines in an equirectangular projection around the sites.

use std::f64::consts::TAU;

use longhaul_topologies::Topology;
use longhaul_topologies::geography::Coordinates;

use crate::canvas::{Frame, Place};
use crate::map::{Layout, MARGIN};

/// Longitude and latitude in degrees; longitudes may pass ±180 to stay continuous.
type Degrees = (f64, f64);

/// Natural Earth's land; source, licence and format are told in its head.
const LAND: &str = include_str!("../../assets/land.txt");

/// Where the farthest sites are closer than this, coastlines at 1:110 million say nothing.
const LEAST_EXTENT_KM: f64 = 400.0;

/// Lower maps have no room for names.
const LEAST_HEIGHT: f64 = 210.0;

/// Points per great circle.
const STEPS: usize = 96;

/// The map, unless a site has no coordinates or all lie close together.
pub(super) fn layout(topology: &Topology, width: f64, top: f64) -> Option<Layout> {
    let sites: Vec<Coordinates> = topology
        .sites
        .iter()
        .map(|site| site.coordinates)
        .collect::<Option<_>>()?;
    let pairs = sites
        .iter()
        .enumerate()
        .flat_map(|(index, a)| sites[index + 1..].iter().map(|b| a.distance_km(*b)));
    if pairs.fold(0.0, f64::max) < LEAST_EXTENT_KM {
        return None;
    }
    let circles: Vec<Vec<Degrees>> = topology
        .links
        .iter()
        .map(|link| great_circle(sites[link.a.0], sites[link.b.0]))
        .collect();
    let cut = best_cut(&sites, &circles);
    let sites: Vec<Degrees> = sites
        .iter()
        .map(|site| (east_of(cut, site.longitude), site.latitude))
        .collect();
    let paths: Vec<Vec<Vec<Degrees>>> = circles.iter().map(|circle| split(circle, cut)).collect();

    let whole_world = paths.iter().any(|pieces| pieces.len() > 1);
    let view = View::around(
        sites.iter().chain(paths.iter().flatten().flatten()),
        whole_world.then_some(cut),
        width,
        top,
    );
    let on_map = |points: &[Degrees]| {
        points
            .iter()
            .map(|&point| view.place(point))
            .collect::<Vec<Place>>()
    };
    Some(Layout {
        frame: view.frame,
        land: land(&view),
        sites: on_map(&sites),
        paths: paths
            .iter()
            .map(|pieces| pieces.iter().map(|piece| on_map(piece)).collect())
            .collect(),
        note: "links drawn as great circles; coastlines: Natural Earth",
    })
}

/// What part of the world is shown, and where.
#[derive(Clone, Copy, Debug)]
struct View {
    frame: Frame,
    west: f64,
    north: f64,
    /// Pixels per degree.
    across: f64,
    down: f64,
}

impl View {
    /// The points with a margin, at one scale in their middle latitude; all longitudes from `whole_from` if given.
    fn around<'a>(
        points: impl Iterator<Item = &'a Degrees>,
        whole_from: Option<f64>,
        width: f64,
        top: f64,
    ) -> Self {
        let (mut west, mut east, mut south, mut north) = (f64::MAX, f64::MIN, f64::MAX, f64::MIN);
        for &(longitude, latitude) in points {
            (west, east) = (west.min(longitude), east.max(longitude));
            (south, north) = (south.min(latitude), north.max(latitude));
        }
        let shrink = ((south + north) / 2.0).to_radians().cos().clamp(0.5, 0.9);
        let span = ((east - west) * shrink).max(north - south);
        let margin = (0.16 * span).max(1.5);
        (west, east) = (west - margin / shrink, east + margin / shrink);
        (south, north) = ((south - margin).max(-80.0), (north + margin).min(90.0));
        if let Some(cut) = whole_from {
            (west, east) = (cut, cut + 360.0);
        } else if east - west > 360.0 {
            let middle = (west + east) / 2.0;
            (west, east) = (middle - 180.0, middle + 180.0);
        }

        // The frame is as wide as the picture and between 2:5 and 3:5 as high; what is missing is shown around.
        let frame_width = width - 2.0 * MARGIN;
        let mut across = frame_width / (east - west);
        let mut down = across / shrink;
        let (least, most) = (
            (frame_width * 0.4).max(LEAST_HEIGHT),
            (frame_width * 0.6).max(LEAST_HEIGHT),
        );
        let wanted = (north - south) * down;
        if wanted > most {
            // Too high: a smaller scale, and more east and west of it (never the same place twice).
            down = most / (north - south);
            across = (down * shrink).max(frame_width / 360.0);
            let middle = (west + east) / 2.0;
            west = middle - frame_width / across / 2.0;
        } else if wanted < least {
            let missing = least / down - (north - south);
            north = (north + missing / 2.0).min(88.0);
        }
        let height = wanted.clamp(least, most);
        Self {
            frame: Frame {
                left: MARGIN,
                top,
                right: width - MARGIN,
                bottom: top + height,
            },
            west,
            north,
            across,
            down,
        }
    }

    fn place(&self, (longitude, latitude): Degrees) -> Place {
        (
            self.frame.left + (longitude - self.west) * self.across,
            self.frame.top + (self.north - latitude) * self.down,
        )
    }
}

/// The shortest way from `a` to `b`, its longitudes continuous; between antipodes, one of the shortest.
fn great_circle(a: Coordinates, b: Coordinates) -> Vec<Degrees> {
    let (from, to) = (direction(a), direction(b));
    let cosine: f64 = from.iter().zip(to).map(|(a, b)| a * b).sum();
    let angle = cosine.clamp(-1.0, 1.0).acos();
    let mut points: Vec<Degrees> = Vec::with_capacity(STEPS + 1);
    for step in 0..=STEPS {
        let share = step as f64 / STEPS as f64;
        // Slerp; where the ends (nearly) coincide or oppose each other, longitude and latitude are interpolated.
        let (longitude, latitude) = if angle.sin().abs() < 1e-6 {
            (
                a.longitude + (b.longitude - a.longitude) * share,
                a.latitude + (b.latitude - a.latitude) * share,
            )
        } else {
            let (before, after) = (
                ((1.0 - share) * angle).sin() / angle.sin(),
                (share * angle).sin() / angle.sin(),
            );
            let [x, y, z] = [0, 1, 2].map(|axis| before * from[axis] + after * to[axis]);
            (
                y.atan2(x).to_degrees(),
                z.clamp(-1.0, 1.0).asin().to_degrees(),
            )
        };
        let last = points.last().map_or(longitude, |point| point.0);
        points.push((nearest_turn(longitude, last), latitude));
    }
    points
}

/// The unit vector to a place.
fn direction(place: Coordinates) -> [f64; 3] {
    let (longitude, latitude) = (place.longitude.to_radians(), place.latitude.to_radians());
    [
        latitude.cos() * longitude.cos(),
        latitude.cos() * longitude.sin(),
        latitude.sin(),
    ]
}

/// `longitude` turned by whole circles until it is within half a circle of `reference`.
fn nearest_turn(longitude: f64, reference: f64) -> f64 {
    longitude - 360.0 * ((longitude - reference) / 360.0).round()
}

/// `longitude` turned by whole circles to lie in the 360 degrees east of `cut`.
fn east_of(cut: f64, longitude: f64) -> f64 {
    cut + (longitude - cut).rem_euclid(360.0)
}

/// The meridian to cut the map at: between two neighbouring sites, crossed by the fewest links, in the widest gap.
fn best_cut(sites: &[Coordinates], circles: &[Vec<Degrees>]) -> f64 {
    let mut longitudes: Vec<f64> = sites.iter().map(|site| site.longitude).collect();
    longitudes.sort_by(f64::total_cmp);
    let gaps = longitudes.iter().enumerate().map(|(index, &west)| {
        let east = longitudes
            .get(index + 1)
            .copied()
            .unwrap_or(longitudes[0] + 360.0);
        let cut = (west + east) / 2.0;
        let crossed = circles
            .iter()
            .filter(|circle| split(circle, cut).len() > 1)
            .count();
        (cut, crossed, east - west)
    });
    gaps.min_by(|a, b| a.1.cmp(&b.1).then(b.2.total_cmp(&a.2)))
        .map_or(-180.0, |gap| gap.0)
}

/// The pieces of a line that lie between `cut` and the same meridian a circle further east.
fn split(line: &[Degrees], cut: f64) -> Vec<Vec<Degrees>> {
    let mut pieces: Vec<Vec<Degrees>> = Vec::new();
    let mut turn = 0.0;
    for (index, &(longitude, latitude)) in line.iter().enumerate() {
        let now = (longitude - cut).div_euclid(360.0);
        let shown = longitude - 360.0 * now;
        if index == 0 {
            pieces.push(vec![(shown, latitude)]);
        } else {
            if now != turn {
                // It leaves over one edge and comes in over the other, at the latitude between the two points.
                let edge = cut + 360.0 * now.max(turn);
                let (before, before_latitude) = line[index - 1];
                let at = before_latitude
                    + (latitude - before_latitude) * (edge - before) / (longitude - before);
                let (out, back) = if now > turn {
                    (cut + 360.0, cut)
                } else {
                    (cut, cut + 360.0)
                };
                if let Some(piece) = pieces.last_mut() {
                    piece.push((out, at));
                }
                pieces.push(vec![(back, at)]);
            }
            if let Some(piece) = pieces.last_mut() {
                piece.push((shown, latitude));
            }
        }
        turn = now;
    }
    pieces
}

/// The land inside the view.
fn land(view: &View) -> Vec<Vec<Place>> {
    let mut areas = Vec::new();
    for ring in LAND.lines().filter(|line| !line.starts_with('#')).map(ring) {
        for turn in [-720.0, -360.0, 0.0, 360.0, 720.0] {
            let places = ring
                .iter()
                .map(|&(longitude, latitude)| view.place((longitude + turn, latitude)))
                .collect();
            let clipped = clip(places, view.frame);
            if clipped.len() > 2 {
                areas.push(clipped);
            }
        }
    }
    areas
}

/// One line of the asset, its longitudes continuous; a ring around the pole is closed over the pole.
fn ring(line: &str) -> Vec<Degrees> {
    let mut points: Vec<Degrees> = Vec::new();
    for pair in line.split_whitespace() {
        let numbers = pair
            .split_once(',')
            .and_then(|(x, y)| Some((x.parse::<f64>().ok()?, y.parse::<f64>().ok()?)));
        let (x, y) = numbers.expect("the embedded coastlines are pairs of numbers");
        let last = points.last().map_or(x / 100.0, |point| point.0);
        points.push((nearest_turn(x / 100.0, last), y / 100.0));
    }
    if let (Some(&first), Some(&last)) = (points.first(), points.last())
        && (first.0 - last.0).abs() > TAU.to_degrees() / 2.0
    {
        let pole = 90_f64.copysign(first.1);
        points.extend([(last.0, pole), (first.0, pole)]);
    }
    points
}

/// The part of an area inside a frame (Sutherland and Hodgman 1974).
fn clip(mut area: Vec<Place>, frame: Frame) -> Vec<Place> {
    // Per edge: how far inside a place is, negative outside.
    let edges: [&dyn Fn(Place) -> f64; 4] = [
        &|place| place.0 - frame.left,
        &|place| frame.right - place.0,
        &|place| place.1 - frame.top,
        &|place| frame.bottom - place.1,
    ];
    for inside in edges {
        let mut kept = Vec::with_capacity(area.len());
        for (index, &to) in area.iter().enumerate() {
            let from = area[(index + area.len() - 1) % area.len()];
            let (before, after) = (inside(from), inside(to));
            if (before < 0.0) != (after < 0.0) {
                let share = before / (before - after);
                kept.push((
                    from.0 + (to.0 - from.0) * share,
                    from.1 + (to.1 - from.1) * share,
                ));
            }
            if after >= 0.0 {
                kept.push(to);
            }
        }
        area = kept;
    }
    area
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
    fn pacific_links_cross_the_pacific() {
        let sites = [at(47.6, -122.3), at(35.7, 139.7)];
        let circle = great_circle(sites[0], sites[1]);
        let cut = best_cut(&sites, std::slice::from_ref(&circle));
        assert_eq!(split(&circle, cut).len(), 1);
        let (seattle, tokyo) = (
            east_of(cut, sites[0].longitude),
            east_of(cut, sites[1].longitude),
        );
        assert!((seattle - tokyo - 98.0).abs() < 1e-9, "{seattle} {tokyo}");
    }

    #[test]
    fn lines_over_the_edge_come_back_on_the_other_side() {
        let pieces = split(&[(170.0, 0.0), (190.0, 10.0)], -180.0);
        assert_eq!(
            pieces,
            [
                vec![(170.0, 0.0), (180.0, 5.0)],
                vec![(-180.0, 5.0), (-170.0, 10.0)]
            ]
        );
    }

    #[test]
    fn every_ring_of_the_land_is_closed_where_it_began() {
        let rings: Vec<_> = LAND
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(ring)
            .collect();
        assert!(rings.len() > 100);
        for ring in rings {
            let (first, last) = (ring[0], ring[ring.len() - 1]);
            assert!((first.0 - last.0).abs() < 180.0, "{first:?} … {last:?}");
        }
    }

    proptest! {
        #[test]
        fn great_circles_are_as_long_as_the_distance(
            lat_a in -80.0..80.0_f64, lon_a in -180.0..180.0_f64, lat_b in -80.0..80.0_f64, lon_b in -180.0..180.0_f64,
        ) {
            let (a, b) = (at(lat_a, lon_a), at(lat_b, lon_b));
            let circle = great_circle(a, b);
            let length: f64 = circle.windows(2).map(|pair| {
                at(pair[0].1, pair[0].0).distance_km(at(pair[1].1, pair[1].0))
            }).sum();
            // A chain of points on the circle is as long as the way itself.
            prop_assert!((length - a.distance_km(b)).abs() < 1.0, "{length} {}", a.distance_km(b));
            prop_assert!(circle.windows(2).all(|pair| (pair[0].0 - pair[1].0).abs() <= 180.0));
        }

        #[test]
        fn clipped_areas_lie_in_the_frame(points in prop::collection::vec((-50.0..150.0_f64, -50.0..150.0_f64), 3..20)) {
            let frame = Frame { left: 0.0, top: 0.0, right: 100.0, bottom: 100.0 };
            for (x, y) in clip(points, frame) {
                prop_assert!((-1e-9..=100.0 + 1e-9).contains(&x) && (-1e-9..=100.0 + 1e-9).contains(&y));
            }
        }
    }
}
