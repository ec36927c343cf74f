//! Sites, links, units and geography: YAML in, a validated model out.
//!
//! - [`units`]: typed quantities as `tc` writes them: rates, sizes, times, probabilities, queue sizes.
//! - [`geography`]: coordinates, great-circle distances, the delay of light in fibre.
//! - [`document`]: a YAML file with overrides (`--set`), and errors that know their line and column.
//! - [`spec`]: the file format as serde types; the JSON Schema (`topologies/schema.json`) is generated from them.
//! - [`model`]: the validated topology that everything else works on.
//! - [`validate`]: from [`spec`] to [`model`]; every check of meaning.
//! - [`inventory`]: the machines of a physical lab, and what the network between them should be.
//! - [`adjust`]: settings laid over a link of a topology that is up.
//! - [`route`]: shortest paths between sites.
//! - [`export`]: a topology for containerlab and Kubernetes.
//! - [`embedded`](mod@embedded): files in the binary, found by name. [`catalogue`]: those that are topologies.
//! - [`hardware`]: what NICs and switches of physical labs should be set to.
//! - [`did_you_mean`]: the known name to a misspelt one.
//!
//! `catalogue::open(name)?` gives a [`Document`]; `document.set(key, value)?` lays a `--set` over it;
//! [`validate::topology`] turns it into a [`Topology`], or into the one [`InputError`] that says what to mend.

pub mod adjust;
pub mod catalogue;
pub mod document;
pub mod embedded;
pub mod export;
pub mod geography;
pub mod hardware;
pub mod inventory;
pub mod model;
pub mod route;
pub mod spec;
mod suggest;
pub mod units;
pub mod validate;

pub use document::{Document, InputError};
pub use inventory::Inventory;
pub use model::Topology;
pub use suggest::{did_you_mean, way_on};
