//! The units of upright axes.

use crate::chart::axis::Axis;
use crate::chart::figure::Panel;

/// Of one unit of memory in the next.
const KIB: f64 = 1024.0;

/// The unit on an axis.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Unit {
    pub name: String,
    /// What a value is multiplied by to be in it.
    pub scale: f64,
}

impl Unit {
    /// The one in which `greatest` has a handful of digits. What programs count as `bytes` goes by thousands, what the kernel keeps
    /// (`KiB`) by powers of two.
    pub fn of(unit: &str, greatest: f64) -> Self {
        let known: &[(&str, f64)] = match unit {
            "us" => &[("s", 1e6), ("ms", 1e3), ("µs", 1.0)],
            "bit/s" => &[
                ("Gbit/s", 1e9),
                ("Mbit/s", 1e6),
                ("kbit/s", 1e3),
                ("bit/s", 1.0),
            ],
            "bytes" => &[("GB", 1e9), ("MB", 1e6), ("kB", 1e3), ("B", 1.0)],
            "KiB" => &[("GiB", KIB * KIB), ("MiB", KIB), ("KiB", 1.0)],
            "Mbit/s" => &[("Tbit/s", 1e6), ("Gbit/s", 1e3), ("Mbit/s", 1.0)],
            other => &[(other, 1.0)],
        };
        let fitting = known.iter().find(|(_, size)| greatest.abs() >= *size);
        let (name, size) = fitting.unwrap_or(&known[known.len() - 1]);
        Self {
            name: (*name).to_owned(),
            scale: 1.0 / size,
        }
    }

    pub fn label(&self, figure: &str) -> String {
        match self.name.is_empty() {
            true => figure.to_owned(),
            false => format!("{figure} ({})", self.name),
        }
    }
}

/// Puts panels whose upright axes begin at zero into the unit that suits the greatest of them all: 400,000 Mbit/s are 400 Gbit/s. They
/// come in `unit`, which is the least that is used.
pub(super) fn fit(panels: &mut [Panel], figure: &str, unit: &str) {
    let most = panels.iter_mut().map(greatest).fold(0.0, f64::max);
    let unit = Unit::of(unit, most);
    for panel in panels {
        heights(panel).for_each(|height| *height *= unit.scale);
        panel.y = Axis::from_zero(unit.label(figure), greatest(panel));
    }
}

fn greatest(panel: &mut Panel) -> f64 {
    heights(panel).fold(0.0, |greatest, height| height.max(greatest))
}

/// Of every point that is drawn.
fn heights(panel: &mut Panel) -> impl Iterator<Item = &mut f64> {
    let areas = panel.areas.iter_mut().flat_map(|area| &mut area.outline);
    let curves = panel.curves.iter_mut();
    let curves = curves.flat_map(|curve| curve.runs.iter_mut().flatten());
    areas.chain(curves).map(|point| &mut point.1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::figure::{Curve, Key};
    use crate::theme::{INK, Stroke};

    #[test]
    fn units_are_those_in_which_the_greatest_value_is_short() {
        let unit = |unit, greatest| Unit::of(unit, greatest).name;
        assert_eq!(
            [
                unit("bit/s", 4.2e8),
                unit("us", 80_000.0),
                unit("W", 1e9),
                unit("Mbit/s", 4e5),
                unit("Mbit/s", 0.3),
                unit("KiB", 40_000.0)
            ],
            ["Mbit/s", "ms", "W", "Gbit/s", "Mbit/s", "MiB"]
        );
    }

    #[test]
    fn panels_of_one_figure_take_one_unit() {
        let panel = |height: f64| Panel {
            title: String::new(),
            keys: Vec::new(),
            x: Axis::linear("time (s)", 0.0, 1.0),
            y: Axis::from_zero("", height),
            areas: Vec::new(),
            curves: vec![Curve {
                key: Key::line(Stroke::solid(INK, 1.0)),
                name: String::new(),
                runs: vec![vec![(0.0, 0.0), (1.0, height)]],
            }],
            spans: Vec::new(),
            marks: Vec::new(),
        };
        let mut panels = [panel(400_000.0), panel(100.0)];
        fit(&mut panels, "throughput", "Mbit/s");
        assert_eq!(panels[1].y.label, "throughput (Gbit/s)");
        let last = |panel: &Panel| panel.curves[0].runs[0][1].1;
        assert_eq!(panels.each_ref().map(last), [400.0, 0.1]);
    }
}
