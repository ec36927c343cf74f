//! Exports for data frames, read back by the format's own reader.

#![cfg(feature = "parquet")]

use std::fs::File;
use std::path::Path;

use longhaul_reports::export::write_parquet;
use longhaul_reports::folder::{Opened, ResultFolder};
use longhaul_reports::result::{Better, Measure, MeasuredValue};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, Row, RowAccessor};

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

#[test]
fn what_programs_measured_is_read_back_value_by_value() {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/results/version-1");
    let mut folder = ResultFolder::open(&kept).unwrap();
    let value = |time_s, value| MeasuredValue { time_s, value };
    // Told with and without a time, a number that is none, a name with quotes, and a figure that nobody told.
    let told = [
        (
            "throughput",
            "bit/s",
            Better::Higher,
            vec![value(Some(1.5), 3.2e8), value(None, f64::INFINITY)],
        ),
        (
            "rtt, \"p99\"",
            "us",
            Better::Lower,
            vec![value(None, 85.25)],
        ),
        ("retries", "", Better::Neither, vec![]),
        (
            "offset",
            "us",
            Better::Neither,
            vec![value(Some(0.0), -0.5)],
        ),
    ];
    let measures = told
        .map(|(name, unit, better, values)| Measure::new(name, unit, better, "a-0>b-0", values));
    for point in &mut folder.result.points {
        point.measures = measures.to_vec();
        let settings = &mut point.settings;
        settings.insert("links.0.queue".to_owned(), "1bdp".to_owned());
    }
    let points = folder.result.points.clone();
    let name = folder.result.name.clone();
    let out = tempfile::tempdir().unwrap();
    let export = |folder: ResultFolder| {
        write_parquet(&[Opened::from(folder)], &out.path().join("a.b.parquet")).unwrap()
    };
    let files = export(folder.clone());
    let names: Vec<_> = files
        .iter()
        .map(|file| file.file_name().unwrap().to_str().unwrap())
        .collect();
    let expected = [
        "a.b.parquet",
        "a.b.telemetry.parquet",
        "a.b.measures.parquet",
    ];
    assert_eq!(names, expected);

    let mut written = rows(&files[2]).into_iter();
    for point in &points {
        for measure in &measures {
            for one in &measure.values {
                let row = written.next().unwrap();
                let text = |column| row.get_string(column).unwrap().as_str();
                assert_eq!(text(0), name);
                assert_eq!(row.get_long(1).unwrap(), point.index as i64);
                assert_eq!(text(2), point.stack);
                assert!(text(3).contains("links.0.queue=1bdp"));
                assert_eq!(row.get_long(4).unwrap(), point.repeat as i64);
                assert_eq!(text(5), measure.name);
                assert_eq!((text(6), text(7)), ("a-0>b-0", measure.unit.as_str()));
                let better = serde_json::to_value(measure.better).unwrap();
                assert_eq!(text(8), better);
                let time = row.get_column_iter().nth(9).unwrap().1;
                let expected = one.time_s.map_or(Field::Null, Field::Double);
                assert_eq!(time, &expected);
                assert_eq!(row.get_double(10).unwrap(), one.value);
            }
        }
    }
    assert!(written.next().is_none());

    // Of none there are the columns, and nothing of the export before.
    for point in &mut folder.result.points {
        point.measures.clear();
    }
    let files = export(folder);
    assert!(rows(&files[2]).is_empty());
    let reader = SerializedFileReader::new(File::open(&files[2]).unwrap()).unwrap();
    let schema = reader.metadata().file_metadata().schema_descr();
    assert_eq!(schema.column(10).name(), "value");
}
