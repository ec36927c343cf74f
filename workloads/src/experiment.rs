//! Experiments: topology × stacks × workload × sweep × repeats.
//!
//! - [`spec`]: the file format as serde types; the JSON Schema is generated from them.
//! - [`source`]: a file or catalogue entry with `--set` laid over it; every check of meaning.
//! - [`points`]: the ordered list of what is to be run. Pure.
//! - `bound`: what the slowest link allows a collective. Pure.
//! - [`runner`]: from points to a result: lab up, links measured, workload, sampling.
//! - [`observer`]: what a runner tells while it works.
//! - [`catalogue`]: the experiments embedded in the binary.

mod bound;
pub mod catalogue;
mod congestion;
mod environment;
pub mod observer;
pub mod points;
mod recorder;
pub mod runner;
pub mod source;
pub mod spec;

pub use catalogue::open;
pub use congestion::CongestionControlError;
pub use observer::{Event, Observer};
pub use points::{Experiment, PointPlan};
pub use runner::{RunError, RunOptions, check, run};
pub use source::ExperimentSource;
