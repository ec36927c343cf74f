//! A topology drawn on the globe or, without coordinates, as a graph.
//!
//! Links follow great circles; coastlines are Natural Earth's at 1:110 million, too coarse for sites that are
//! close together: those are drawn as a graph too.

mod globe;
mod graph;
mod groups;
mod labels;

use std::ffi::OsStr;
use std::path::Path;

use longhaul_topologies::Topology;

use crate::canvas::{Across, Canvas, Frame, Label, Paint, Place};
use crate::chart::shorten;
use crate::folder::FolderError;
use crate::format::plural;
use crate::theme::{BODY, INK, MUTED, SEA, SMALL, Stroke, TITLE};

/// As wide as a page.
const WIDTH: f64 = 1100.0;
const MARGIN: f64 = 24.0;

/// On a narrower map neither names nor links could be told apart.
pub(crate) const LEAST_WIDTH: f64 = 320.0;

/// Where sites and links lie on the canvas.
#[derive(Clone, Debug)]
struct Layout {
    frame: Frame,
    /// Land; empty for a graph.
    land: Vec<Vec<Place>>,
    /// By site.
    sites: Vec<Place>,
    /// By link; more than one piece where a link leaves the map on one side and comes back on the other.
    paths: Vec<Vec<Vec<Place>>>,
    /// What kind of drawing it is, for the reader.
    note: &'static str,
}

/// Draws `topology` into `file`; the ending says the format: `.svg` or `.png`.
///
/// # Errors
/// If the ending is neither, or the file cannot be written.
pub fn draw(topology: &Topology, file: &Path) -> Result<(), FolderError> {
    match file.extension().and_then(OsStr::to_str) {
        Some("svg") => picture(topology, WIDTH, &[]).write_svg(file, Paint::SVG),
        Some("png") => picture(topology, WIDTH, &[]).write_png(file, Paint::PNG),
        _ => Err(FolderError::Malformed {
            path: file.to_owned(),
            message: "maps are drawn as .svg or .png: let the name end in one of them".to_owned(),
        }),
    }
}

/// The map on a canvas of `width`; `tips` are what links tell who points at them, by their index.
pub(crate) fn picture(topology: &Topology, width: f64, tips: &[String]) -> Canvas {
    let top = MARGIN + TITLE + 34.0;
    let layout =
        globe::layout(topology, width, top).unwrap_or_else(|| graph::layout(topology, width, top));
    let frame = layout.frame;

    // Labels first: links without room for theirs are listed below the frame, which decides the height.
    let mut annotations = labels::place(topology, &layout);
    let listed: Vec<String> = annotations.unplaced.drain(..).collect();
    let height = frame.bottom + 14.0 + 20.0 * (listed.len() + 1) as f64 + 4.0;
    let mut canvas = Canvas::new(width, height.ceil());

    canvas.label(
        (MARGIN, MARGIN + TITLE / 2.0),
        Label::new(
            shorten(&topology.name, TITLE, width - 2.0 * MARGIN),
            TITLE,
            INK,
            Across::Left,
        ),
    );
    let hosts: usize = topology.sites.iter().map(|site| site.hosts).sum();
    let subtitle = [
        plural(topology.sites.len(), "site"),
        plural(hosts, "host"),
        plural(topology.links.len(), "link"),
        "labels: rate and round-trip time".to_owned(),
    ];
    let subtitle = shorten(&subtitle.join(" · "), SMALL + 1.0, width - 2.0 * MARGIN);
    canvas.label(
        (MARGIN, MARGIN + TITLE + 16.0),
        Label::new(subtitle, SMALL + 1.0, MUTED, Across::Left),
    );

    if !layout.land.is_empty() {
        canvas.rectangle(frame, SEA);
    }
    for ring in layout.land {
        canvas.area(ring, crate::theme::LAND, 1.0);
    }
    for (link, path) in layout.paths.iter().enumerate() {
        let stroke = Stroke::solid(crate::theme::stroke(link % 6).colour, 2.0);
        for piece in path {
            match tips.get(link) {
                Some(tip) => canvas.told_line(piece.clone(), stroke, tip.clone()),
                None => canvas.line(piece.clone(), stroke),
            }
        }
    }
    for (from, to) in annotations.leaders {
        canvas.line(vec![from, to], Stroke::solid(MUTED, 1.0));
    }
    for &site in &layout.sites {
        canvas.dot(site, 6.0, crate::theme::PAPER);
        canvas.dot(site, 4.5, INK);
    }
    for labels::Placed {
        at,
        label,
        over_lines,
    } in annotations.placed
    {
        if over_lines {
            canvas.rectangle(labels::padded(label.frame(at)), crate::theme::PAPER);
        }
        canvas.label(at, label);
    }
    for (line, text) in listed.iter().enumerate() {
        let y = frame.bottom + 18.0 + 20.0 * line as f64;
        let text = shorten(text, BODY - 1.0, width - 2.0 * MARGIN);
        canvas.label((MARGIN, y), Label::new(text, BODY - 1.0, INK, Across::Left));
    }
    let note = Label::new(layout.note, SMALL - 1.0, MUTED, Across::Left);
    canvas.label((MARGIN, height - 14.0), note);
    canvas
}

#[cfg(test)]
mod tests {
    use longhaul_topologies::{catalogue, validate};

    use super::*;

    fn catalogue_topologies() -> Vec<Topology> {
        let entries = catalogue::entries();
        assert!(!entries.is_empty());
        entries
            .iter()
            .map(|entry| validate::topology(&catalogue::open(entry.name).unwrap()).unwrap())
            .collect()
    }

    #[test]
    fn texts_of_the_catalogue_lie_inside_the_picture_and_over_no_other() {
        for topology in catalogue_topologies() {
            let canvas = picture(&topology, WIDTH, &[]);
            let labels = canvas.assert_texts_apart(&topology.name);
            assert!(
                labels >= 3 + topology.sites.len() + topology.links.len(),
                "{}",
                topology.name
            );
        }
    }

    #[test]
    fn sites_without_coordinates_become_a_graph() {
        for mut topology in catalogue_topologies() {
            topology.sites[0].coordinates = None;
            assert!(globe::layout(&topology, WIDTH, 80.0).is_none());
            assert!(
                picture(&topology, WIDTH, &[])
                    .labels()
                    .any(|(text, _)| text.contains(&topology.links.len().to_string()))
            );
        }
    }

    #[test]
    fn sites_lie_inside_the_narrowest_map() {
        for mut topology in catalogue_topologies() {
            let width = LEAST_WIDTH;
            let check = |layout: Layout, name: &str| {
                let inside = |&(x, _): &Place| (MARGIN..=width - MARGIN).contains(&x);
                assert!(layout.sites.iter().all(inside), "{name}: {layout:?}");
            };
            check(graph::layout(&topology, width, 80.0), "graph");
            if let Some(globe) = globe::layout(&topology, width, 80.0) {
                check(globe, &topology.name);
            }
            picture(&topology, width, &[]).assert_texts_apart(&topology.name);
            topology.sites[0].coordinates = None;
            picture(&topology, width, &[]).assert_texts_apart(&topology.name);
        }
    }

    #[test]
    fn near_sites_with_long_and_foreign_names_are_told_on_the_map_or_below_it() {
        let mut topology = catalogue_topologies()
            .into_iter()
            .find(|topology| topology.name == "three-continents")
            .unwrap();
        let names = [
            "a very long name of a place that would reach over half of the map, and then some",
            "東京都千代田区丸の内一丁目九番一号",
            "Франкфурт-на-Майне",
        ];
        let sites = topology.sites.clone();
        for number in 0..12 {
            let mut site = sites[0].clone();
            site.name = format!("near-{number}");
            site.place = Some(format!("{}, {number}", names[number % names.len()]));
            if let Some(place) = &mut site.coordinates {
                place.latitude += 0.05 * number as f64;
            }
            topology.sites.push(site);
        }
        for width in [WIDTH, LEAST_WIDTH] {
            let canvas = picture(&topology, width, &[]);
            canvas.assert_texts_apart("near sites");
            // None takes the room of others.
            let long = canvas.labels().find(|(text, frame)| {
                text.starts_with("a very long") && frame.right - frame.left > width * 0.4
            });
            assert_eq!(long.map(|(text, _)| text), None);
            let texts: Vec<&str> = canvas.labels().map(|(text, _)| text).collect();
            for site in &topology.sites {
                let place = site.place.as_deref().unwrap_or(&site.name);
                let tells = |text: &&str| {
                    text.contains(place)
                        || text.starts_with(&format!("{}: ", site.name))
                        || **text == *site.name
                };
                assert!(texts.iter().any(tells), "{width}: {}", site.name);
            }
        }
    }

    /// A topology of the catalogue with so many more sites at its first one, each so many degrees north and east of the one before.
    fn with_buildings(name: &str, buildings: usize, apart: f64, place: Option<&str>) -> Topology {
        let mut all = catalogue_topologies().into_iter();
        let mut topology = all.find(|one| one.name == name).unwrap();
        for number in 1..=buildings {
            let mut site = topology.sites[0].clone();
            site.name = format!("building-{number}");
            site.place = place.map(str::to_owned).or(site.place);
            if let Some(at) = &mut site.coordinates {
                at.latitude += apart * number as f64;
                at.longitude += apart * number as f64;
            }
            topology.sites.push(site);
        }
        topology
    }

    /// `LONGHAUL_KEEP_CHARTS=DIR` draws them there, to be looked at.
    #[test]
    fn sites_whose_dots_touch_are_named_together_and_all_can_be_read() {
        let keep = std::env::var_os("LONGHAUL_KEEP_CHARTS").map(std::path::PathBuf::from);
        // At one place, hundreds of metres apart, and kilometres; on an ocean, and at the edge of a map.
        for topology in ["three-continents", "us-coasts", "five-continents"] {
            for apart in [0.0, 0.003, 0.05] {
                for place in [None, Some("A campus")] {
                    let topology = with_buildings(topology, 5, apart, place);
                    for width in [WIDTH, 880.0, 380.0, LEAST_WIDTH] {
                        let canvas = picture(&topology, width, &[]);
                        let told = format!("{} {apart} {place:?} {width}", topology.name);
                        canvas.assert_texts_apart(&told);
                        // On the map, not below it.
                        let bottom = (canvas.height - 40.0).min(canvas.height * 0.95);
                        for site in &topology.sites[topology.sites.len() - 5..] {
                            let named = |(text, frame): &(&str, Frame)| {
                                text.starts_with(&site.name) && frame.bottom < bottom
                            };
                            assert_eq!(canvas.labels().filter(named).count(), 1, "{told}");
                        }
                        if let Some(out) = &keep {
                            let name =
                                format!("near-{told}.png").replace(['"', '(', ')', ' '], "-");
                            canvas.write_png(&out.join(name), Paint::PNG).unwrap();
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn of_more_near_sites_than_have_room_the_map_says_how_many_and_the_list_which() {
        let topology = with_buildings("three-continents", 60, 0.01, None);
        let canvas = picture(&topology, WIDTH, &[]);
        canvas.assert_texts_apart("many buildings");
        let texts: Vec<&str> = canvas.labels().map(|(text, _)| text).collect();
        assert!(texts.contains(&"61 sites, told below"), "{texts:?}");
        for number in 1..=60 {
            let name = format!("building-{number}: ");
            assert!(texts.iter().any(|text| text.starts_with(&name)), "{name}");
        }
    }

    #[test]
    fn sites_of_the_catalogue_are_told_apart_by_their_labels() {
        for topology in catalogue_topologies() {
            let canvas = picture(&topology, WIDTH, &[]);
            let hosts = |text: &str| text.ends_with("hosts)") || text.ends_with("host)");
            let mut texts: Vec<&str> = canvas.labels().map(|(text, _)| text).collect();
            texts.retain(|text| hosts(text));
            texts.sort_unstable();
            texts.dedup();
            assert_eq!(texts.len(), topology.sites.len(), "{}", topology.name);
        }
    }

    /// Draws two; `LONGHAUL_KEEP_CHARTS=DIR` draws the whole catalogue there, to be looked at.
    #[test]
    fn the_ending_says_the_format() {
        let keep = std::env::var_os("LONGHAUL_KEEP_CHARTS").map(std::path::PathBuf::from);
        let temporary = tempfile::tempdir().unwrap();
        let out = keep.as_deref().unwrap_or(temporary.path());
        let drawn = if keep.is_some() { usize::MAX } else { 1 };
        for topology in catalogue_topologies().into_iter().rev().take(drawn) {
            let canvas = picture(&topology, WIDTH, &[]);
            let file = |ending: &str| out.join(format!("map-{}.{ending}", topology.name));
            draw(&topology, &file("svg")).unwrap();
            crate::canvas::assert_svg(&file("svg"), &canvas);
            draw(&topology, &file("png")).unwrap();
            crate::canvas::assert_png(&file("png"), &canvas);
            let error = draw(&topology, &file("pdf")).unwrap_err().to_string();
            assert!(error.contains(".svg or .png"), "{error}");
        }
    }
}
