//! Exports for data frames, read back by the format's own reader.

#![cfg(feature = "parquet")]

use std::fs::File;
use std::path::Path;

use longhaul_reports::export::write_parquet;
use longhaul_reports::folder::{Opened, ResultFolder};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Row, RowAccessor};

fn rows(file: &Path) -> Vec<Row> {
    let reader = SerializedFileReader::new(File::open(file).unwrap()).unwrap();
    let rows = reader.get_row_iter(None).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

#[test]
fn a_parquet_file_is_read_back_by_the_format_s_own_reader() {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/results/version-1");
    let folder = ResultFolder::open(&kept).unwrap();
    let (points, telemetry) = (folder.result.points.clone(), folder.telemetry.clone());
    let out = tempfile::tempdir().unwrap();
    let files = write_parquet(&[Opened::from(folder)], &out.path().join("a.parquet")).unwrap();

    let written = rows(&files[0]);
    let samples: Vec<_> = points.iter().flat_map(|point| &point.samples).collect();
    assert_eq!(written.len(), samples.len());
    for (row, sample) in written.iter().zip(samples) {
        assert_eq!(row.get_string(2).unwrap(), "reno");
        assert_eq!(row.get_double(11).unwrap(), sample.time_us);
    }
    let written = rows(&files[1]);
    assert_eq!(written.len(), telemetry.len());
    for (row, observed) in written.iter().zip(&telemetry) {
        assert_eq!(row.get_string(4).unwrap(), &observed.name);
        assert_eq!(row.get_double(6).unwrap(), observed.value);
    }
}
