//! Every iteration and every observed value, in columns for data frames: a file of samples, and beside it one of telemetry and one of what
//! programs measured.
//!
//! Columns are called as in `samples.csv`, `telemetry.csv` and the export `csv`, with `result` before them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::basic::Compression;
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::errors::ParquetError as Refusal;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;

use crate::export::rows::settings;
use crate::file;
use crate::folder::Opened;
use crate::result::{Better, Entity, Measure, MeasuredValue, Point, Sample, TelemetryRow};
use crate::side_by_side;

/// Rows of a group: some tens of megabytes in memory.
const GROUP: usize = 1 << 18;

const SAMPLES: &str = "message samples {
    required binary result (UTF8); required int64 point; required binary stack (UTF8); required binary settings (UTF8);
    required int64 repeat; required int64 size_bytes; required int64 count; required binary placement (UTF8);
    required int64 iteration; required boolean warmup; required double start_s; required double time_us; required int64 wrong;
}";

const TELEMETRY: &str = "message telemetry {
    required binary result (UTF8); required double time_s; required int64 point; required binary entity (UTF8);
    required binary name (UTF8); required binary metric (UTF8); required double value;
}";

const MEASURES: &str = "message measures {
    required binary result (UTF8); required int64 point; required binary stack (UTF8); required binary settings (UTF8);
    required int64 repeat; required binary figure (UTF8); required binary host (UTF8); required binary unit (UTF8);
    required binary better (UTF8); optional double time_s; required double value;
}";

/// Why there is no file.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}: {source}", path.display())]
pub struct ParquetError {
    path: PathBuf,
    source: Refusal,
}

/// Writes `file`, and beside it the telemetry as `NAME.telemetry.parquet` and what programs or a replay's steps measured as
/// `NAME.measures.parquet`, a row per value; all files. Each is written also where it has no rows: readers find its columns, and nothing of
/// an export before.
///
/// # Errors
/// If a file cannot be written.
pub fn write_parquet(results: &[Opened], file: &Path) -> Result<Vec<PathBuf>, ParquetError> {
    let beside =
        ["telemetry", "measures"].map(|what| file.with_extension(format!("{what}.parquet")));
    let names = side_by_side::names(results);
    let samples: Vec<(&str, &Point, &Sample)> = results
        .iter()
        .zip(&names)
        .flat_map(|(opened, name)| {
            let points = opened.folder.result.points.iter();
            points.flat_map(move |point| {
                let samples = point.samples.iter();
                samples.map(move |sample| (name.as_str(), point, sample))
            })
        })
        .collect();
    write(file, SAMPLES, &samples, |group, rows| {
        whose(group, rows, |row| (row.0, row.1))?;
        whole(group, rows, |row| row.2.size_bytes)?;
        whole(group, rows, |row| row.2.count)?;
        texts(group, rows, |row| row.2.placement.name())?;
        whole(group, rows, |row| row.2.iteration)?;
        yes_or_no(group, rows, |row| row.2.warmup)?;
        numbers(group, rows, |row| row.2.start_s)?;
        numbers(group, rows, |row| row.2.time_us)?;
        whole(group, rows, |row| row.2.wrong)
    })?;
    let telemetry: Vec<(&str, &TelemetryRow)> = results
        .iter()
        .zip(&names)
        .flat_map(|(opened, name)| {
            let rows = opened.folder.telemetry.iter();
            rows.map(move |row| (name.as_str(), row))
        })
        .collect();
    write(&beside[0], TELEMETRY, &telemetry, |group, rows| {
        texts(group, rows, |row| row.0)?;
        numbers(group, rows, |row| row.1.time_s)?;
        whole(group, rows, |row| row.1.point as u64)?;
        texts(group, rows, |row| entity(row.1.entity))?;
        texts(group, rows, |row| &row.1.name)?;
        texts(group, rows, |row| &row.1.metric)?;
        numbers(group, rows, |row| row.1.value)
    })?;
    let measures: Vec<(&str, &Point, &Measure, MeasuredValue)> = results
        .iter()
        .zip(&names)
        .flat_map(|(opened, name)| {
            let points = opened.folder.result.points.iter();
            points.flat_map(move |point| {
                let measures = point.measures.iter();
                measures.flat_map(move |one| {
                    let values = one.values.iter();
                    values.map(move |value| (name.as_str(), point, one, *value))
                })
            })
        })
        .collect();
    write(&beside[1], MEASURES, &measures, |group, rows| {
        whose(group, rows, |row| (row.0, row.1))?;
        texts(group, rows, |row| &row.2.name)?;
        texts(group, rows, |row| &row.2.host)?;
        texts(group, rows, |row| &row.2.unit)?;
        texts(group, rows, |row| better(row.2.better))?;
        known_numbers(group, rows, |row| row.3.time_s)?;
        numbers(group, rows, |row| row.3.value)
    })?;
    let [telemetry, measures] = beside;
    Ok(vec![file.to_owned(), telemetry, measures])
}

type Group<'a> = SerializedRowGroupWriter<'a, Vec<u8>>;

/// A file of `rows` in groups that `columns` fills, in the order of the schema.
fn write<T>(
    path: &Path,
    schema: &str,
    rows: &[T],
    columns: impl Fn(&mut Group<'_>, &[T]) -> Result<(), Refusal>,
) -> Result<(), ParquetError> {
    let write = || {
        let schema = Arc::new(parse_message_type(schema)?);
        let properties = WriterProperties::builder().set_compression(Compression::SNAPPY);
        let mut writer =
            SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties.build()))?;
        for rows in rows.chunks(GROUP) {
            let mut group = writer.next_row_group()?;
            columns(&mut group, rows)?;
            group.close()?;
        }
        Ok(file::replace(path, &writer.into_inner()?)?)
    };
    write().map_err(|source| ParquetError {
        path: path.to_owned(),
        source,
    })
}

/// The columns that rows of points begin with: the result's name, and which of its points it is.
fn whose<'a, T>(
    group: &mut Group<'_>,
    rows: &'a [T],
    of: impl Fn(&'a T) -> (&'a str, &'a Point),
) -> Result<(), Refusal> {
    let all: Vec<(&str, &Point)> = rows.iter().map(of).collect();
    texts(group, &all, |row| row.0)?;
    whole(group, &all, |row| row.1.index as u64)?;
    texts(group, &all, |row| &row.1.stack)?;
    texts(group, &all, |row| settings(row.1))?;
    whole(group, &all, |row| row.1.repeat as u64)
}

fn texts<'a, T, S: AsRef<str> + 'a>(
    group: &mut Group<'_>,
    rows: &'a [T],
    of: impl Fn(&'a T) -> S,
) -> Result<(), Refusal> {
    let values: Vec<ByteArray> = rows
        .iter()
        .map(|row| ByteArray::from(of(row).as_ref()))
        .collect();
    let mut column = next(group)?;
    column
        .typed::<ByteArrayType>()
        .write_batch(&values, None, None)?;
    column.close()
}

fn numbers<T>(group: &mut Group<'_>, rows: &[T], of: impl Fn(&T) -> f64) -> Result<(), Refusal> {
    let values: Vec<f64> = rows.iter().map(of).collect();
    let mut column = next(group)?;
    column
        .typed::<DoubleType>()
        .write_batch(&values, None, None)?;
    column.close()
}

/// With nothing where it is not known.
fn known_numbers<T>(
    group: &mut Group<'_>,
    rows: &[T],
    of: impl Fn(&T) -> Option<f64>,
) -> Result<(), Refusal> {
    let all: Vec<Option<f64>> = rows.iter().map(of).collect();
    let levels: Vec<i16> = all.iter().map(|one| i16::from(one.is_some())).collect();
    let values: Vec<f64> = all.into_iter().flatten().collect();
    let mut column = next(group)?;
    column
        .typed::<DoubleType>()
        .write_batch(&values, Some(&levels), None)?;
    column.close()
}

fn whole<T>(group: &mut Group<'_>, rows: &[T], of: impl Fn(&T) -> u64) -> Result<(), Refusal> {
    let value = |row| i64::try_from(of(row)).unwrap_or(i64::MAX);
    let values: Vec<i64> = rows.iter().map(value).collect();
    let mut column = next(group)?;
    column
        .typed::<Int64Type>()
        .write_batch(&values, None, None)?;
    column.close()
}

fn yes_or_no<T>(group: &mut Group<'_>, rows: &[T], of: impl Fn(&T) -> bool) -> Result<(), Refusal> {
    let values: Vec<bool> = rows.iter().map(of).collect();
    let mut column = next(group)?;
    column
        .typed::<BoolType>()
        .write_batch(&values, None, None)?;
    column.close()
}

/// The column that is to be filled next.
fn next<'a>(
    group: &'a mut Group<'_>,
) -> Result<parquet::file::writer::SerializedColumnWriter<'a>, Refusal> {
    let column = group.next_column()?;
    column.ok_or_else(|| Refusal::General("the schema has fewer columns".to_owned()))
}

/// As `telemetry.csv` has it.
fn entity(entity: Entity) -> &'static str {
    match entity {
        Entity::Channel => "channel",
        Entity::Connection => "connection",
        Entity::Probe => "probe",
        Entity::Host => "host",
        Entity::Nic => "nic",
    }
}

/// As `result.json` has it.
fn better(better: Better) -> &'static str {
    match better {
        Better::Higher => "higher",
        Better::Lower => "lower",
        Better::Neither => "neither",
    }
}
