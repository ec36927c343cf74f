//! Where sites are and how long light takes between them.

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
