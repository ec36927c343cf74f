//! `reproduce`: claims that come with longhaul, and made-up ones on recorded results and in a lab.

mod host;

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use host::{Host, lines, only_child_of, wait_until};
use longhaul_ci::claim::{self, PlannedPoint};
use longhaul_workloads::experiment;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use predicates::prelude::PredicateBooleanExt;
use predicates::str::{contains, is_empty};
use serde_json::Value;

/// The exit code of a machine that lacks something.
const LACKING: i32 = 3;

fn longhaul(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_longhaul"));
    command.arg("reproduce").current_dir(folder);
    command
}

/// A claim whose all_reduce of 64 KiB over a short link has at least `busbw` GB/s.
fn claim(folder: &Path, busbw: f64) -> PathBuf {
    let file = folder.join("made-up-claim.yaml");
    let text = format!(
        "name: made-up
title: Two hosts reduce
claim: An array of 64 KiB is reduced.
source: this test
scaling: none
expect:
  - {{says: in good time, measure: busbw, of: {{stack: any}}, must: {{be_at_least: {busbw}}}}}
experiment:
  name: made-up
  topology:
    name: two-sites
    sites: [{{name: a, hosts: 1}}, {{name: b, hosts: 1}}]
    links: [{{between: [a, b], rate: 10Mbit, delay: 1ms}}]
  workload: {{collective: all_reduce, sizes: [64KiB], placements: [in-place], iterations: 2, warmup: 0}}
  stacks: [{{name: any}}]
"
    );
    fs::write(&file, text).unwrap();
    file
}

#[test]
fn every_claim_is_listed() {
    let folder = tempfile::tempdir().unwrap();
    let mut listed = longhaul(folder.path()).arg("--list").assert().success();
    for (_, entry) in claim::entries() {
        listed = listed.stdout(contains(entry.name));
    }
    let json = longhaul(folder.path())
        .args(["--list", "--json"])
        .assert()
        .success();
    let rows: Vec<Value> = serde_json::from_slice(&json.get_output().stdout).unwrap();
    assert_eq!(rows.len(), claim::entries().count());
    assert!(rows.iter().all(|row| {
        row["claim"]["source"]
            .as_str()
            .is_some_and(|source| !source.is_empty())
    }));
}

#[test]
fn every_claim_is_of_points_that_its_experiment_has() {
    let folder = tempfile::tempdir().unwrap();
    for (_, entry) in claim::entries() {
        let file = folder.path().join(entry.name).with_extension("yaml");
        fs::write(&file, entry.text).unwrap();
        let source = experiment::open(file.to_str().unwrap()).unwrap();
        let experiment = source.load().unwrap_or_else(|error| panic!("{error}"));
        let (claim, document) = claim::open(entry.name).unwrap();
        let points = experiment.points.iter().map(|point| PlannedPoint {
            stack: point.stack.name.clone(),
            settings: point.settings.clone(),
        });
        let points: Vec<PlannedPoint> = points.collect();
        let checked = claim.check_points(&document, &points);
        checked.unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn an_unknown_claim_gets_the_way_on() {
    let folder = tempfile::tempdir().unwrap();
    longhaul(folder.path())
        .arg("deep-bufers")
        .assert()
        .code(2)
        .stderr(contains("did you mean `deep-buffers`?"));
    longhaul(folder.path()).assert().code(2);
}

#[test]
fn what_is_expected_of_no_point_is_told_by_line_before_anything_runs() {
    let folder = tempfile::tempdir().unwrap();
    let file = claim(folder.path(), 1.0);
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("{stack: any}", "{stack: nosuch}")).unwrap();
    let refused = |arguments: &[&str]| {
        longhaul(folder.path())
            .arg(&file)
            .args(arguments)
            .assert()
            .code(2)
            .stderr(contains("made-up-claim.yaml:7:"))
            .stderr(contains("the experiment has no stack `nosuch`"))
            .stderr(contains("there are: `any`"));
        assert!(!folder.path().join("longhaul-results").exists());
    };
    refused(&[]);
    refused(&["--set", "repeats=2"]);
    // What the command line adds is there; and what it leaves out is left undecided. Too large an array is what is wrong next.
    let large = ["--set", "workload.sizes=[64TiB]"];
    for (claim, stacks) in [
        (file.to_str().unwrap(), "stacks=[{name: nosuch}]"),
        ("deep-buffers", "stacks=[cubic]"),
    ] {
        longhaul(folder.path())
            .args([claim, "--set", stacks])
            .args(large)
            .assert()
            .code(2)
            .stderr(contains("the links allow this workload no less than"));
    }
}

#[test]
fn a_wrong_claim_is_told_by_line_before_anything_runs() {
    let folder = tempfile::tempdir().unwrap();
    let file = claim(folder.path(), 1.0);
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("be_at_least", "be_atleast")).unwrap();
    longhaul(folder.path())
        .arg(&file)
        .assert()
        .code(2)
        .stderr(contains("made-up-claim.yaml:7"));
    assert!(!folder.path().join("longhaul-results").exists());
}

#[test]
fn the_same_claim_twice_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    longhaul(folder.path())
        .args(["2", "deep-buffers"])
        .assert()
        .code(2)
        .stderr(contains("deep-buffers: there are two claims named"));
}

#[test]
fn an_experiment_that_is_wrong_is_told_by_line_before_anything_runs() {
    let folder = tempfile::tempdir().unwrap();
    let file = claim(folder.path(), 1.0);
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("iterations: 2", "iteratoins: 2")).unwrap();
    let mut command = longhaul(folder.path());
    command.args(["deep-buffers", "--out", "out"]).arg(&file);
    let told = contains("made-up-claim.yaml:14").and(contains("iterations"));
    command.assert().code(2).stderr(told);
    let mut command = longhaul(folder.path());
    command.args(["deep-buffers", "--out", "out", "--set", "sede=2"]);
    command.assert().code(2).stderr(contains("sede"));
    assert!(!folder.path().join("out").exists());
}

#[test]
fn a_run_that_cannot_begin_is_told_as_json_too_and_can_be_typed_again() {
    let folder = tempfile::tempdir().unwrap();
    let file = claim(folder.path(), 1.0);
    for _ in 0..2 {
        // Where no lab kernel is.
        let assert = longhaul(folder.path())
            .args(["--json", "--out", "out"])
            .arg(&file)
            .env("XDG_CACHE_HOME", folder.path().join("cache"))
            .assert()
            .code(LACKING);
        let found: Value = serde_json::from_slice(&assert.get_output().stdout).unwrap();
        assert_eq!(found["error"]["exit_code"], LACKING);
        let message = found["error"]["message"].as_str().unwrap();
        assert!(message.starts_with("made-up: "), "{message}");
        assert_eq!(found["judgements"], serde_json::json!([]));
    }
}

#[test]
fn a_run_that_is_killed_is_no_interrupt_and_what_it_kept_is_judged() {
    let Some(host) = Host::new() else { return };
    let file = claim(&host.path("."), 1.0);
    let file = file.to_str().unwrap();
    let settings = ["--set", "workload.iterations=100000", "--lab", "host"];
    let options = ["--json", "reproduce", file, "--out", "out"];
    let reproduce = host.start(&[&options[..], &settings].concat());
    let samples = host.path("out/made-up/samples.csv");
    wait_until("samples come", || lines(&samples) > 1);
    let run = only_child_of(reproduce.pid());
    kill(Pid::from_raw(run), Signal::SIGKILL).unwrap();
    let ended = reproduce.end();
    assert_eq!(ended.code, 1, "{ended:?}");
    let found: Value = serde_json::from_str(&ended.stdout).unwrap();
    let message = found["error"]["message"].as_str().unwrap();
    assert_eq!(message, "made-up: its run was killed by SIGKILL");
    assert_eq!(found["judgements"][0]["verdict"], "undecided");
}

#[test]
fn an_interrupt_keeps_what_was_judged_and_begins_no_other_claim() {
    let Some(host) = Host::new() else { return };
    let file = claim(&host.path("."), 1.0);
    let other = host.path("other.yaml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&other, text.replace("name: made-up", "name: other")).unwrap();
    let files = [file.to_str().unwrap(), other.to_str().unwrap()];
    let settings = ["--set", "workload.iterations=100000", "--lab", "host"];
    let options = ["--json", "reproduce", "--out", "out"];
    let reproduce = host.start(&[&options[..], &files, &settings].concat());
    let samples = host.path("out/made-up/samples.csv");
    wait_until("samples come", || lines(&samples) > 1);
    kill(Pid::from_raw(reproduce.pid()), Signal::SIGINT).unwrap();
    let ended = reproduce.end();
    assert_eq!(ended.code, 130, "{ended:?}");
    let found: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(found["judgements"].as_array().unwrap().len(), 1);
    assert_eq!(found["judgements"][0]["verdict"], "undecided");
    assert!(!host.path("out/other").exists());
}

#[test]
fn a_claim_finds_what_lies_beside_its_file() {
    let Some(host) = Host::new() else { return };
    let folder = host.path("mine");
    fs::create_dir(&folder).unwrap();
    let file = claim(&folder, 1e-6);
    let text = fs::read_to_string(&file).unwrap();
    let (head, rest) = text.split_once("  topology:\n").unwrap();
    let (topology, tail) = rest.split_once("  workload:").unwrap();
    fs::write(folder.join("sites.yaml"), topology.replace("    ", "")).unwrap();
    let named = format!("{head}  topology: sites.yaml\n  workload:{tail}");
    fs::write(&file, &named).unwrap();
    let file = "mine/made-up-claim.yaml";
    let ended = host.longhaul(&["reproduce", file, "--lab", "host", "--out", "out"]);
    if ended.code == 4 {
        println!("skipped: this machine is too busy for a faithful lab");
        return;
    }
    assert_eq!(ended.code, 0, "{ended:?}");
    let kept = fs::read_to_string(host.path("out/made-up.yaml")).unwrap();
    assert_eq!(kept, named);
}

#[test]
fn a_claim_is_run_judged_and_written_down() {
    let folder = tempfile::tempdir().unwrap();
    let run = |busbw: f64, out: &str| {
        let file = claim(folder.path(), busbw);
        longhaul(folder.path())
            .args(["--lab", "host", "--out", out])
            .arg(file)
            .timeout(std::time::Duration::from_secs(120))
            .assert()
    };
    let held = run(1e-6, "held");
    if held.get_output().status.code() == Some(LACKING) {
        println!("skipped: no lab can be made here");
        return;
    }
    if held.get_output().status.code() == Some(4) {
        println!("skipped: this machine is too busy for a faithful lab");
        return;
    }
    held.success().stdout(contains("made-up: reproduced"));
    let result = folder.path().join("held/made-up");
    assert!(result.join("result.json").is_file());
    let page = fs::read_to_string(folder.path().join("held/verdicts.md")).unwrap();
    assert!(page.contains("**reproduced**"), "{page}");

    // The same run, held against more than the line carries.
    let file = claim(folder.path(), 1.0);
    let judged = longhaul(folder.path())
        .arg(&file)
        .args(["--result", "held/made-up", "--json"])
        .assert()
        .code(1);
    let found: Value = serde_json::from_slice(&judged.get_output().stdout).unwrap();
    assert_eq!(found["judgements"][0]["verdict"], "not-reproduced");
}

#[test]
fn a_run_of_another_experiment_is_told_and_not_judged() {
    let folder = tempfile::tempdir().unwrap();
    let recording = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../ci/tests/data/virtual-fast.json"
    );
    let run = folder.path().join("run");
    fs::create_dir(&run).unwrap();
    fs::copy(recording, run.join("result.json")).unwrap();
    for file in ["samples.csv", "telemetry.csv"] {
        fs::write(run.join(file), "").unwrap();
    }
    let file = claim(folder.path(), 1.0);
    longhaul(folder.path())
        .arg(&file)
        .args(["deep-buffers", "--result", "run"])
        .assert()
        .code(2)
        .stdout(is_empty())
        .stderr(contains(
            "--result run: this is a run of the experiment `my-library`, and the claim `made-up` is about `made-up`",
        ))
        .stderr(contains("`longhaul reproduce made-up` makes one"));
    // Of a run that is there nothing can be chosen any more.
    longhaul(folder.path())
        .args(["deep-buffers", "--result", "run", "--lab", "host"])
        .assert()
        .code(2)
        .stderr(contains("cannot be used with"));
}
