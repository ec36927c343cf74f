//! Traces of a training step's communication, replayed with native collectives: what a model sends, without the model.
//!
//! - [`trace`]: what a trace is: collectives, transfers and computing, who takes part, what waits for what. Pure.
//! - [`source`]: a catalogue name, a file or a folder, read as a trace.
//! - `file`: longhaul's own YAML. `chakra`: MLCommons Chakra's execution traces as JSON.
//! - [`catalogue`]: the traces embedded in the binary.
//! - [`terms`]: how a trace is played: computing as traced, scaled or left out; algorithms.
//! - [`part`]: what one rank does of a trace.
//! - [`score`]: the same as operations that an exchange carries out, and as data that is checked. Pure.
//! - [`figures`]: what the times of a step's nodes come to.
//!
//! A rank has one stream per group of ranks (that is, per communicator), one per ordered pair for transfers, and one for
//! computing unless the trace names more. What is in a stream runs in the trace's order, one after another; streams run
//! side by side as far as dependencies let them. Dependencies hold on a rank: nothing but the messages themselves tells
//! one rank of another.

pub mod catalogue;
mod chakra;
pub mod figures;
mod file;
pub mod part;
pub mod score;
pub mod source;
pub mod terms;
pub mod trace;

#[cfg(test)]
mod tests;
