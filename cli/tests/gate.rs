//! `baseline`, `gate` and `compare` on recorded results: no lab is needed.
//!
//! The recordings lie in ci/tests/data, real runs without their samples: `virtual-fast` and `virtual-slow` are ci/example before and
//! after a change that slowed it (docs/gate.md), `host` and `host-loaded` two of the runs of `noise.json`, on an idle machine and
//! on a busy one.

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use predicates::prelude::*;
use predicates::str::{contains, is_empty};
use serde_json::{Value, json};

const SAMPLES: &str = "point,stack,settings,repeat,size_bytes,count,placement,iteration,warmup,start_s,time_us,wrong\n";
const TELEMETRY: &str = "time_s,point,entity,name,metric,value\n";

/// A folder of results to gate.
struct Desk(tempfile::TempDir);

impl Desk {
    fn new() -> Self {
        Desk(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Lays a recording down as a result's folder, changed by `change`.
    fn result(&self, name: &str, recording: &str, change: impl FnOnce(&mut Value)) {
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ci/tests/data");
        let text = fs::read_to_string(data.join(format!("{recording}.json"))).unwrap();
        let mut result = serde_json::from_str(&text).unwrap();
        change(&mut result);
        let folder = self.path(name);
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("result.json"), result.to_string()).unwrap();
        fs::write(folder.join("samples.csv"), SAMPLES).unwrap();
        fs::write(folder.join("telemetry.csv"), TELEMETRY).unwrap();
    }

    fn longhaul(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_longhaul"));
        command
            .args(arguments)
            .current_dir(self.0.path())
            .env_remove("GITHUB_SHA")
            .env_remove("CI_COMMIT_SHA");
        command
    }

    /// A baseline of a recording, and the recording as the result `old`.
    fn baseline(recording: &str) -> Self {
        let desk = Self::new();
        desk.result("old", recording, |_| {});
        let save = ["baseline", "save", "old", "--to", "baseline.json"];
        desk.longhaul(&save).assert().success().stderr(is_empty());
        desk
    }

    /// The gate with further arguments, which must exit so; both streams.
    fn gate(&self, result: &str, more: &[&str], code: i32) -> String {
        let mut command = self.longhaul(&["gate", result, "--baseline", "baseline.json"]);
        let output = command.args(more).assert().code(code).get_output().clone();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        text(output.stdout) + &text(output.stderr)
    }
}

/// The block of the document that begins with such a line, without its fences.
fn block<'a>(document: &'a str, beginning: &str) -> &'a str {
    let (_, rest) = document.split_once(beginning).unwrap();
    rest.split_once("```").unwrap().0
}

#[test]
fn the_walk_through_is_of_the_library_and_the_recordings_that_there_are() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let document = fs::read_to_string(root.join("docs/gate.md")).unwrap();
    let mut library = fs::read_to_string(root.join("ci/example/ring.py")).unwrap();
    for change in block(&document, "```diff\n").split("\n\n") {
        let side = |sign: char| -> String {
            let lines = change.lines().filter_map(|line| line.strip_prefix(sign));
            lines.map(|line| format!("{line}\n")).collect()
        };
        let (old, new) = (side('-'), side('+'));
        assert!(library.contains(&old), "{old}");
        library = library.replacen(&old, &new, 1);
    }
    assert!(library.contains("PIECE = 5000"), "{library}");

    let desk = Desk::baseline("virtual-fast");
    desk.result("new", "virtual-slow", |_| {});
    let told = desk.gate("new", &[], 1);
    let table = block(
        &document,
        "longhaul gate lib2 --baseline baseline.json\n```\n```\n",
    );
    assert_eq!(told, table);
}

/// Every repeat's bandwidths divided by `factor`.
fn slow(result: &mut Value, factor: f64) {
    for point in result["points"].as_array_mut().unwrap() {
        for row in point["summaries"].as_array_mut().unwrap() {
            row["busbw_gbps"] = json!(row["busbw_gbps"].as_f64().unwrap() / factor);
        }
    }
}

#[test]
fn the_same_bits_pass_and_a_slowed_library_does_not() {
    let desk = Desk::baseline("virtual-fast");
    desk.result("new", "virtual-slow", |_| {});
    let same = desk.gate("old", &[], 0);
    assert!(
        same.contains("passed: all 43 figures are the baseline's, to the bit"),
        "{same}"
    );
    let slow = desk.gate("new", &[], 1);
    assert!(
        slow.contains("+37 %") && slow.contains("REGRESSED"),
        "{slow}"
    );
    let allowed = desk.gate("new", &["--tolerance", "duration=40"], 0);
    assert!(allowed.contains("passed"), "{allowed}");
}

#[test]
fn every_report_is_written_and_json_is_alone_on_standard_output() {
    let desk = Desk::baseline("virtual-fast");
    desk.result("new", "virtual-slow", |_| {});
    let arguments = [
        "gate",
        "new",
        "--baseline",
        "baseline.json",
        "--junit",
        "j.xml",
        "--markdown",
        "m.md",
        "--history",
        "h.jsonl",
        "--commit",
        "abc",
        "--github",
        "--json",
    ];
    let assert = desk
        .longhaul(&arguments)
        .assert()
        .code(1)
        .stderr(contains("::error title=longhaul gate my-library::"));
    let judgement: Value = serde_json::from_slice(&assert.get_output().stdout).unwrap();
    assert_eq!(
        judgement["ruling"],
        json!({"ruling": "regressed", "worse": 1})
    );
    let read = |name: &str| fs::read_to_string(desk.path(name)).unwrap();
    assert!(read("j.xml").contains("failures=\"1\""));
    assert!(read("m.md").contains("| cubic · all · duration |"));
    let entry: Value = serde_json::from_str(read("h.jsonl").trim()).unwrap();
    assert_eq!(
        (&entry["commit"], &entry["ruling"]),
        (&json!("abc"), &json!("regressed"))
    );
}

#[test]
fn what_cannot_be_written_hides_no_verdict_and_keeps_nothing_else_from_being_written() {
    let desk = Desk::baseline("virtual-fast");
    desk.result("new", "virtual-slow", |_| {});
    fs::write(desk.path("notes"), "mine").unwrap();
    let files = ["--history", "notes", "--junit", "no/j.xml", "--markdown"];
    let options = [&files[..], &["m.md"]].concat();
    for (result, code) in [("old", 2), ("new", 1)] {
        let told = desk.gate(result, &options, code);
        assert!(told.contains("duration") || result == "old", "{told}");
        assert!(told.contains("this is no history"), "{told}");
        assert!(desk.path("m.md").exists());
        fs::remove_file(desk.path("m.md")).unwrap();
    }
    desk.gate("old", &["--junit", "no/j.xml", "--bisect"], 125);
    let json = ["--json", "gate", "new", "--baseline", "baseline.json"];
    let mut command = desk.longhaul(&json);
    let assert = command.args(["--junit", "no/j.xml"]).assert().code(1);
    let judgement: Value = serde_json::from_slice(&assert.get_output().stdout).unwrap();
    assert_eq!(judgement["ruling"]["ruling"], "regressed");
    let message = judgement["error"]["message"].as_str().unwrap();
    assert!(message.starts_with("cannot write no/j.xml: "), "{message}");
}

#[test]
fn a_history_is_not_drawn_over() {
    let desk = Desk::baseline("virtual-fast");
    let told = desk.gate("old", &["--history", "h.svg"], 2);
    assert!(told.contains("--history h.svg: the chart"), "{told}");
    assert!(!desk.path("h.svg").exists());
}

#[test]
fn a_history_grows_and_is_drawn_from_the_second_commit_on() {
    let desk = Desk::baseline("virtual-fast");
    desk.result("new", "virtual-slow", |_| {});
    desk.gate("old", &["--history", "h.jsonl", "--commit", "a"], 0);
    assert!(!desk.path("h.svg").exists());
    desk.gate("new", &["--history", "h.jsonl", "--commit", "b"], 1);
    assert!(desk.path("h.svg").exists() && desk.path("h.png").exists());
    assert_eq!(
        fs::read_to_string(desk.path("h.jsonl"))
            .unwrap()
            .lines()
            .count(),
        2
    );
}

#[test]
fn by_the_wall_clock_a_tenth_is_a_regression_and_few_repeats_cannot_tell() {
    let desk = Desk::baseline("host");
    desk.result("tenth", "host", |result| {
        slow(result, 1.1);
    });
    assert!(desk.gate("tenth", &[], 1).contains("REGRESSED: 4 figures"));
    let few = Desk::new();
    few.result("old", "host", |result| {
        result["points"].as_array_mut().unwrap().truncate(3);
    });
    few.longhaul(&["baseline", "save", "old", "--to", "baseline.json"])
        .assert()
        .success();
    let text = few.gate("old", &[], 5);
    assert!(text.contains("can't tell: it takes"), "{text}");
    few.gate("old", &["--bisect"], 125);
}

#[test]
fn an_unfaithful_run_is_no_baseline_and_neither_passes_nor_fails() {
    let desk = Desk::baseline("host");
    // The same seed: only its faithfulness is in question.
    desk.result("loaded", "host-loaded", |result| result["seed"] = json!(1));
    assert!(
        desk.gate("loaded", &[], 4)
            .contains("not judged: its links were not as described")
    );
    desk.gate("loaded", &["--bisect"], 125);
    desk.longhaul(&["baseline", "save", "loaded", "--to", "other.json"])
        .assert()
        .code(4)
        .stderr(contains("quieter machine"));
    assert!(!desk.path("other.json").exists());
}

#[test]
fn wrong_results_fail_and_are_no_baseline() {
    let desk = Desk::baseline("host");
    desk.result("wrong", "host", |result| {
        let sample = json!({
            "size_bytes": 65536, "count": 16384, "placement": "in-place", "iteration": 0, "warmup": false, "start_s": 0.0,
            "time_us": 1.0, "wrong": 3
        });
        result["points"][0]["samples"] = json!([sample]);
    });
    assert!(desk.gate("wrong", &[], 1).contains("FAILED: 3 elements"));
    desk.longhaul(&["baseline", "save", "wrong", "--to", "other.json"])
        .assert()
        .code(1);
}

#[test]
fn only_like_is_held_against_like() {
    let desk = Desk::baseline("virtual-fast");
    desk.result("seed", "virtual-fast", |result| result["seed"] = json!(7));
    desk.result("rate", "virtual-fast", |result| {
        result["experiment"]["topology"]["links"][0]["rate"] = json!("100Mbit");
    });
    desk.result("host", "host", |_| {});
    desk.result("renamed", "virtual-fast", |result| {
        result["experiment"]["name"] = json!("other");
    });
    assert!(desk.gate("seed", &[], 2).contains("the seed: 1 against 7"));
    assert!(
        desk.gate("rate", &[], 2)
            .contains("differs (my-library against my-library) in: topology")
    );
    assert!(
        desk.gate("host", &[], 2)
            .contains("the lab: virtual against host")
    );
    desk.gate("renamed", &[], 0);
    desk.gate("rate", &["--bisect"], 125);
}

#[test]
fn an_older_baseline_stays_unless_forced() {
    let desk = Desk::baseline("virtual-fast");
    let before = fs::read(desk.path("baseline.json")).unwrap();
    let save = ["baseline", "save", "old", "--to", "baseline.json"];
    desk.longhaul(&save)
        .assert()
        .code(2)
        .stderr(contains("--force"));
    desk.longhaul(&save).arg("--force").assert().success();
    assert_eq!(fs::read(desk.path("baseline.json")).unwrap(), before);
}

#[test]
fn a_baseline_that_cannot_be_written_whole_is_not_written() {
    let desk = Desk::baseline("virtual-fast");
    let before = fs::read(desk.path("baseline.json")).unwrap();
    for (file, force) in [("other.json", ""), ("baseline.json", "--force")] {
        // Files that may have a block at most, as a disk that is full.
        let limited = format!(
            "trap '' XFSZ; ulimit -f 1; exec {} baseline save old --to {file} {force}",
            env!("CARGO_BIN_EXE_longhaul")
        );
        Command::new("sh")
            .args(["-c", &limited])
            .current_dir(desk.path("."))
            .assert()
            .code(2)
            .stderr(contains(format!("cannot write {file}")));
    }
    assert!(!desk.path("other.json").exists());
    assert_eq!(fs::read(desk.path("baseline.json")).unwrap(), before);
    assert_eq!(fs::read_dir(desk.path(".")).unwrap().count(), 2);
}

#[test]
fn nothing_is_written_over_what_a_run_measured() {
    let desk = Desk::baseline("virtual-fast");
    let before = fs::read(desk.path("old/result.json")).unwrap();
    for option in ["--junit", "--markdown", "--history"] {
        let told = desk.gate("old", &[option, "old/result.json"], 2);
        assert!(told.contains("a run's own files"), "{option}: {told}");
        // What is wrong with the command line is so at every commit.
        desk.gate("old", &[option, "old/result.json", "--bisect"], 128);
    }
    let save = [
        "baseline",
        "save",
        "old",
        "--to",
        "old/result.json",
        "--force",
    ];
    desk.longhaul(&save)
        .assert()
        .code(2)
        .stderr(contains("give the file another name"));
    assert_eq!(fs::read(desk.path("old/result.json")).unwrap(), before);
    fs::write(desk.path("notes"), "mine").unwrap();
    desk.gate("old", &["--history", "notes"], 2);
    assert_eq!(fs::read(desk.path("notes")).unwrap(), b"mine");
}

#[test]
fn foreign_and_broken_files_are_told_what_is_wrong_with_them() {
    let desk = Desk::baseline("virtual-fast");
    let whole = fs::read_to_string(desk.path("baseline.json")).unwrap();
    for (text, said) in [
        (
            &whole[..whole.len() / 2],
            "is no baseline: EOF while parsing",
        ),
        ("{\"results\": []}", "it has no baseline_version"),
        ("", "is no baseline"),
        (
            &whole.replace("\"baseline_version\": 1", "\"baseline_version\": 9"),
            "use a newer longhaul",
        ),
    ] {
        fs::write(desk.path("baseline.json"), text).unwrap();
        let told = desk.gate("old", &[], 2);
        assert!(told.contains(said), "{told}");
        // No commit can be judged against it.
        desk.gate("old", &["--bisect"], 128);
    }
    fs::write(desk.path("baseline.json"), &whole).unwrap();
    fs::create_dir(desk.path("empty")).unwrap();
    assert!(desk.gate("empty", &[], 2).contains("result.json"));
    let result = desk.path("old/result.json");
    let text = fs::read_to_string(&result).unwrap();
    fs::write(&result, &text[..text.len() / 2]).unwrap();
    assert!(
        desk.gate("old", &[], 2)
            .contains("result.json is cut off in line")
    );
    fs::write(
        &result,
        text.replace("\"schema_version\":2", "\"schema_version\":99"),
    )
    .unwrap();
    assert!(
        desk.gate("old", &[], 2)
            .contains("schema version 99 is newer")
    );
}

#[test]
fn results_of_schema_version_1_are_gated_too() {
    let desk = Desk::baseline("host");
    desk.result("older", "host", |result| {
        // As version 1 had it: reports/src/result/version_1.rs.
        let fields = result.as_object_mut().unwrap();
        fields.insert("schema_version".to_owned(), json!(1));
        let details = fields.remove("run_details").unwrap();
        for name in ["command", "started", "finished"] {
            fields.insert(name.to_owned(), details[name].clone());
        }
        let environment = fields["environment"].as_object_mut().unwrap();
        let Some(Value::Object(machine)) = environment.remove("machine") else {
            panic!("a result has a machine");
        };
        environment.extend(machine);
        environment.remove("computing");
        environment.remove("lab_kernel");
    });
    // The same repeats: so it says that all are the same bits, or cannot tell where they scatter.
    let text = desk.gate("older", &[], 0);
    assert!(text.contains("passed"), "{text}");
}

#[test]
fn the_script_for_ci_servers_gates_no_older_result_and_leaves_no_older_report() {
    let desk = Desk::baseline("virtual-fast");
    fs::create_dir(desk.path("out")).unwrap();
    desk.result("out/result", "virtual-fast", |_| {});
    fs::write(desk.path("out/gate.md"), "an older run passed").unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ci/gate");
    Command::new(script)
        .args(["quickstart", "baseline.json", "out"])
        .current_dir(desk.path("."))
        .env("LONGHAUL", env!("CARGO_BIN_EXE_longhaul"))
        .assert()
        .code(2)
        .stderr(contains("is not empty"))
        .stdout(is_empty());
    assert!(!desk.path("out/gate.md").exists());
}

#[test]
fn a_tolerance_names_a_metric_and_a_percentage() {
    let desk = Desk::baseline("virtual-fast");
    for (option, said) in [
        ("busbw", "write --tolerance METRIC=PERCENT"),
        ("speed=3", "there are busbw, algbw, time"),
        ("busbw=200", "no percentage from 0 to below 100"),
    ] {
        let told = desk.gate("old", &["--tolerance", option], 2);
        assert!(told.contains(said), "{told}");
    }
}

#[test]
fn compare_shows_ratios_without_a_verdict() {
    let desk = Desk::baseline("host");
    desk.result("tenth", "host", |result| {
        slow(result, 1.1);
    });
    desk.longhaul(&["compare", "old", "tenth"])
        .assert()
        .success()
        .stdout(contains("×0.9091").and(contains("95 % interval")));
    desk.result("virtual", "virtual-fast", |_| {});
    desk.longhaul(&["compare", "old", "virtual"])
        .assert()
        .success()
        .stdout(contains("# note: the lab: host against virtual"));
}

#[test]
fn nothing_is_written_over_the_baseline_nor_twice_into_a_file() {
    let desk = Desk::baseline("host");
    let gate = ["gate", "old", "--baseline", "baseline.json"];
    let before = fs::read(desk.path("baseline.json")).unwrap();
    for (files, told) in [
        (
            &["--markdown", "./baseline.json"][..],
            "--markdown ./baseline.json: this is the file of --baseline",
        ),
        (
            &["--junit", "x", "--markdown", "x"],
            "--markdown x: this is the file of --junit",
        ),
    ] {
        desk.longhaul(&[&gate[..], files].concat())
            .assert()
            .code(2)
            .stderr(contains(told));
    }
    assert_eq!(fs::read(desk.path("baseline.json")).unwrap(), before);
    assert!(!desk.path("x").exists());
}
