//! Results of older schemas, kept as they were written: every reader still opens them.

use std::fs;
use std::path::Path;

use longhaul_reports::folder::ResultFolder;
use longhaul_reports::result::{Computing, LabKind, Outcome, SCHEMA_VERSION};
use longhaul_reports::{chart, table};

fn kept(version: u32) -> String {
    format!(
        "{}/tests/results/version-{version}",
        env!("CARGO_MANIFEST_DIR")
    )
}

#[test]
fn a_result_of_version_1_has_all_it_had_in_its_new_places() {
    let ResultFolder { result, telemetry } = ResultFolder::open(Path::new(&kept(1))).unwrap();
    assert_eq!(result.schema_version, SCHEMA_VERSION);
    assert_eq!((result.name.as_str(), result.seed), ("old", 3));
    assert_eq!(result.outcome, Outcome::Finished);

    let details = result.run_details.as_ref().unwrap();
    assert_eq!(
        (details.started.as_str(), details.finished.as_deref()),
        (
            "2026-11-28T01:24:39.683236015Z",
            Some("2026-11-28T01:24:41.643649715Z")
        )
    );
    assert!(details.command.starts_with("longhaul run old.yaml "));
    assert_eq!((details.wall_seconds, &details.virtual_lab), (None, &None));

    let environment = &result.environment;
    assert_eq!(
        (environment.lab, environment.computing),
        (LabKind::Host, Computing::Real)
    );
    assert_eq!(environment.lab_kernel, None);
    assert_eq!(environment.links, "relay");
    assert_eq!(environment.machine.kernel, "6.1.0-18-amd64");
    assert_eq!(environment.machine.cpus, 2);
    assert_eq!(environment.machine.memory_bytes, 25_276_510_208);

    assert_eq!(result.points.len(), 2);
    assert!(result.points.iter().all(|point| point.samples.len() == 6
        && point.summaries.len() == 2
        && !point.timeline.is_empty()));
    assert_eq!(telemetry.len(), 172);
}

#[test]
fn a_result_of_version_1_has_its_tables_and_charts() {
    let folder = ResultFolder::open(Path::new(&kept(1))).unwrap();
    assert!(table::results(&folder.result, 120).contains("# reno: all_reduce (ring)"));
    assert!(table::fidelity(&folder.result, 120).contains("faithful in 2 points"));
    let out = tempfile::tempdir().unwrap();
    assert!(!chart::draw_all(&folder, out.path()).unwrap().is_empty());
}

#[test]
fn a_result_of_version_1_that_was_killed_or_cut_reads_or_says_what_is_missing() {
    let copy = tempfile::tempdir().unwrap();
    for file in fs::read_dir(kept(1)).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
    }
    let path = copy.path().join("result.json");
    let text = fs::read_to_string(&path).unwrap();

    let killed = text.replace("\"2026-11-28T01:24:41.643649715Z\"", "null");
    assert_ne!(killed, text);
    fs::write(&path, killed).unwrap();
    let result = ResultFolder::open(copy.path()).unwrap().result;
    assert_eq!(result.run_details.unwrap().finished, None);

    fs::write(&path, text.replace("\"cpus\": 2,", "")).unwrap();
    let error = ResultFolder::open(copy.path()).unwrap_err().to_string();
    assert!(
        error.contains("result.json") && error.contains("missing field `cpus`"),
        "{error}"
    );
}
