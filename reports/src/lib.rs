//! The result schema, statistics, tables and charts.
//!
//! - [`result`]: what a run found, as it lies in `result.json`; its JSON Schema is generated from here.
//! - [`verification`]: what `verify` found.
//! - [`folder`]: a result's folder, written as the run goes and read back.
//! - [`stats`]: percentiles, intervals, cumulative distributions.
//! - [`table`]: tables in nccl-tests' columns.
//! - [`chart`]: charts as SVG and PNG, fonts embedded.
//! - [`map`]: a topology drawn on the globe or as a graph.
//! - `theme`: the font, the colours and the sizes that charts and maps share.

mod canvas;
pub mod chart;
#[cfg(test)]
mod example;
pub mod folder;
mod described;
mod format;
pub mod map;
pub mod result;
mod series;
pub mod stats;
pub mod table;
mod theme;
pub mod verification;
