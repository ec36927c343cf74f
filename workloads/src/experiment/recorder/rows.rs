//! Telemetry of a point on its way into `telemetry.csv`.

use longhaul_reports::result::{Entity, TelemetryRow};

/// Rows of one point.
#[derive(Debug)]
pub(super) struct Rows {
    point: usize,
    pub(super) rows: Vec<TelemetryRow>,
}

impl Rows {
    /// None yet, of the point with this number.
    pub(super) fn of(point: usize) -> Self {
        Self {
            point,
            rows: Vec::new(),
        }
    }

    /// Adds figures, each by its metric, of one thing at one time.
    pub(super) fn about(
        &mut self,
        time_s: f64,
        entity: Entity,
        name: &str,
    ) -> impl FnMut(&str, f64) {
        move |metric, value| {
            self.rows.push(TelemetryRow {
                time_s,
                point: self.point,
                entity,
                name: name.to_owned(),
                metric: metric.to_owned(),
                value,
            });
        }
    }
}
