//! What a lab tells monitoring systems: one model, and the formats that follow from it.
//!
//! - [`model`]: which metrics there are: name, unit, kind, description, attributes. All else is read off that table.
//! - `measure`: a lab's reading as measurements of the model.
//! - [`prometheus`]: as Prometheus scrapes them.
//! - [`otlp`]: as OpenTelemetry collectors take them.
//!
//! Pure: who reads a lab and who sends what comes of it is somebody else.

mod measure;
pub mod model;
pub mod otlp;
pub mod prometheus;

pub use measure::{Measurement, Number, measure};
