//! Experiments: topology × stacks × workload × sweep × repeats.
//!
//! - [`spec`]: the file format as serde types; the JSON Schema is generated from them.
//! - [`source`]: a file or catalogue entry with `--set` laid over it; every check of meaning.
//! - [`points`]: the ordered list of what is to be run. Pure.
//! - `bound`: what the slowest link allows a collective. Pure.
//! - `feasible`: whether it can be run at all, told before anything is built.
//! - `flows`: what the flows between ranks carried, and how evenly they shared links. Pure.
//! - `nics`: what NICs count meanwhile, on its way into the result. Pure.
//! - `ground`: what points run on: a lab that was built, or machines that are there.
//! - `capture`: which lanes are captured.
//! - [`runner`]: from points to a result: lab up, links measured, workload, sampling. `error`: why it ends early.
//! - `recorder`: all that a run finds, on its way into the result. `fidelity`: how faithful its lab was.
//! - `environment`: where a run is made: the lab, and the machine it sees.
//! - `execution`: a run by the wall clock, which knows what follows from no seed.
//! - `course`: how far a run is, told to who asks at its desk.
//! - [`observer`]: what a runner tells while it works.
//! - [`catalogue`]: the experiments embedded in the binary.

mod bound;
mod capture;
pub mod catalogue;
mod congestion;
mod course;
mod environment;
mod error;
mod execution;
mod feasible;
mod fidelity;
mod flows;
mod ground;
mod nics;
pub mod observer;
pub mod points;
mod recorder;
pub mod runner;
pub mod source;
pub mod spec;

pub use capture::CapturePlan;
pub use catalogue::open;
pub use congestion::CongestionControlError;
pub use environment::{LabFacts, machine};
pub use error::RunError;
pub use execution::Execution;
pub use feasible::{check, guest_memory};
pub use observer::{Event, Observer};
pub use points::{Experiment, PointPlan};
pub use runner::{RunOptions, run};
pub use source::ExperimentSource;
