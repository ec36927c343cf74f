//! Reading, whole or cut short.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::folder::writer::replace_result;
use crate::folder::{FolderError, RESULT_FILE, SAMPLES_FILE, SampleRow, TELEMETRY_FILE, io_error};
use crate::result::{
    Point, RunDetails, RunResult, SCHEMA_VERSION, Sample, TelemetryRow, Workload, version_1,
};
use crate::stats;
use crate::sweep::Sweep;

/// A folder that was written.
#[derive(Clone, Debug)]
pub struct ResultFolder {
    /// `result.json`; a point that it has without samples, because the run was killed, has those of `samples.csv`.
    pub result: RunResult,
    /// `telemetry.csv`, in time order.
    pub telemetry: Vec<TelemetryRow>,
}

impl ResultFolder {
    /// Reads a folder back; that of a [sweep](crate::sweep) as one result.
    ///
    /// # Errors
    /// If a file is missing, malformed or of a newer schema; if points of a sweep are missing.
    pub fn open(path: &Path) -> Result<Self, FolderError> {
        if let Some(sweep) = Sweep::of(path)? {
            return sweep.whole(path);
        }
        let mut result = read_result(&path.join(RESULT_FILE))?;
        let rows = read_csv(&path.join(SAMPLES_FILE))?;
        fill_in(&mut result.points, rows);
        let mut telemetry: Vec<TelemetryRow> = read_csv(&path.join(TELEMETRY_FILE))?;
        telemetry.sort_by(|a, b| a.time_s.total_cmp(&b.time_s));
        Ok(Self { result, telemetry })
    }

    /// Gives the result in `path` what only the machine outside a virtual lab knows. At every moment the file is
    /// the older or the newer result.
    ///
    /// # Errors
    /// If there is no result to be read, or it cannot be written.
    pub fn complete(path: &Path, details: RunDetails) -> Result<(), FolderError> {
        let mut result = read_result(&path.join(RESULT_FILE))?;
        result.run_details = Some(details);
        replace_result(path, &result)
    }
}

fn read_result(path: &Path) -> Result<RunResult, FolderError> {
    #[derive(Deserialize)]
    struct Version {
        schema_version: u32,
        longhaul_version: String,
    }
    let malformed = |message| FolderError::Malformed {
        path: path.to_owned(),
        message,
    };
    let unread = |error: serde_json::Error| match error.is_eof() {
        true => FolderError::CutOff {
            path: path.to_owned(),
            at: format!("in line {}", error.line()),
        },
        false => malformed(error.to_string()),
    };
    let text = fs::read(path).map_err(io_error("read", path))?;
    let version: Version = serde_json::from_slice(&text).map_err(unread)?;
    refuse_newer(version.schema_version.into(), &version.longhaul_version).map_err(malformed)?;
    let result = match version.schema_version {
        1 => serde_json::from_slice(&text).and_then(|mut older| {
            version_1::upgrade(&mut older);
            serde_json::from_value(older)
        }),
        _ => serde_json::from_slice(&text),
    };
    result.map_err(unread)
}

/// Says which longhaul reads a schema that this one does not know.
pub(super) fn refuse_newer(version: u64, longhaul: &str) -> Result<(), String> {
    if version > u64::from(SCHEMA_VERSION) {
        return Err(format!(
            "schema version {version} is newer than {SCHEMA_VERSION}, the newest known here; read it with longhaul {longhaul} or newer"
        ));
    }
    Ok(())
}

/// The whole lines of a CSV file: what follows the last line feed was cut off by a kill.
fn read_csv<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, FolderError> {
    let text = fs::read(path).map_err(io_error("read", path))?;
    let whole = text
        .iter()
        .rposition(|&byte| byte == b'\n')
        .map_or(0, |end| end + 1);
    csv::Reader::from_reader(&text[..whole])
        .into_deserialize()
        .collect::<Result<_, _>>()
        .map_err(|error| FolderError::Malformed {
            path: path.to_owned(),
            message: error.to_string(),
        })
}

/// Gives points without samples those of `samples.csv`, and a collective's their summaries.
pub(super) fn fill_in(points: &mut [Point], rows: Vec<SampleRow>) {
    let mut by_point: BTreeMap<usize, Vec<Sample>> = BTreeMap::new();
    for row in rows {
        let samples = by_point.entry(row.point).or_default();
        samples.push(row.into_sample());
    }
    for point in points.iter_mut().filter(|point| point.samples.is_empty()) {
        let Some(samples) = by_point.remove(&point.index) else {
            continue;
        };
        match &point.workload {
            Workload::Collective {
                collective, ranks, ..
            } => {
                let bound = point.bound.as_ref();
                point.summaries =
                    stats::summarise(&samples, collective, *ranks, bound).unwrap_or_default();
            }
            Workload::Replay { .. } => {}
            Workload::Command { .. } => continue,
        }
        point.samples = samples;
    }
}
