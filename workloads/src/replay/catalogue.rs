//! The traces embedded in the binary.

use longhaul_topologies::embedded;
use longhaul_topologies::embedded::{Catalogue, Entry};

pub(super) const CATALOGUE: Catalogue = embedded!["trace" in "../../traces":
    "gpt-data-parallel",
    "gpt-pipeline",
    "mixtral-experts",
];

/// Every embedded trace.
pub fn entries() -> &'static [Entry] {
    CATALOGUE.entries()
}
