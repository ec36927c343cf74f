//! The result schema, statistics, tables and charts.
//!
//! - [`result`]: what a run found, as it lies in `result.json`; its JSON Schema is generated from here.
//! - [`verification`]: what `verify` found.
//! - [`mod@file`]: files that appear whole or not at all.
//! - [`folder`]: a result's folder, written as the run goes and read back.
//! - [`sweep`]: a run that was made in parts, read as one result.
//! - [`stats`]: percentiles, intervals, cumulative distributions.
//! - [`table`]: tables in nccl-tests' columns.
//! - [`chart`]: charts as SVG and PNG, fonts embedded.
//! - [`map`]: a topology drawn on the globe or as a graph.
//! - [`html`]: a report of one result or several as one file that opens anywhere.
//! - [`export`]: results as what other programs read.
//! - [`combine`]: several results as one, for charts and tables that compare them.
//! - [`rate`]: a rate as people read it.
//! - [`Theme`]: what a picture is for; with it, the font, the colours and the sizes that charts and maps share.

mod canvas;
pub mod chart;
mod described;
#[cfg(test)]
mod example;
pub mod export;
pub mod file;
pub mod folder;
mod format;
pub mod html;
pub mod map;
pub mod markdown;
pub mod result;
mod series;
mod side_by_side;
pub mod stats;
pub mod sweep;
pub mod table;
mod theme;
mod timeaxis;
pub mod verification;

pub use format::rate;
pub use side_by_side::combine;
pub use theme::Theme;
