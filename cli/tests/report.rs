//! `report` on recorded results: no lab is needed. What a browser makes of a report is seen in a headless Chromium, where there is one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command as Process;
use std::time::Duration;

use assert_cmd::Command;
use predicates::prelude::*;
use predicates::str::{contains, is_empty};
use serde_json::Value;

/// Names of the browser, by distribution.
const BROWSERS: [&str; 4] = [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
];

/// How long a browser may take to load a page from disk on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A folder to report from.
struct Desk(tempfile::TempDir);

impl Desk {
    /// With the recording of a small run as `run`, and that of another, without samples and telemetry, as `other.json`.
    fn new() -> Self {
        let desk = Self(tempfile::tempdir().unwrap());
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let kept = root.join("reports/tests/results/version-1");
        fs::create_dir(desk.path("run")).unwrap();
        for file in fs::read_dir(kept).unwrap() {
            let file = file.unwrap();
            fs::copy(file.path(), desk.path("run").join(file.file_name())).unwrap();
        }
        let recording = root.join("ci/tests/data/host.json");
        fs::copy(recording, desk.path("other.json")).unwrap();
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn report(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_longhaul"));
        command
            .arg("report")
            .args(arguments)
            .current_dir(self.0.path());
        command
    }
}

#[test]
fn a_report_goes_into_the_folder_of_its_result_and_over_an_older_one() {
    let desk = Desk::new();
    for _ in 0..2 {
        let assert = desk.report(&["run"]).assert().success();
        assert.stdout("run/report.html\n").stderr(is_empty());
    }
    let html = desk.read("run/report.html");
    for text in [
        "kept as the first schema had it",
        "longhaul run old.yaml --no-charts --links relay --seed 3 --out v1",
        "delay 2ms → 3ms",
        "Throughput of the links over time",
    ] {
        assert!(html.contains(text), "{text}");
    }
    let folder = desk.0.path().to_str().unwrap();
    assert!(!html.contains(folder), "the report tells where it was made");
}

#[test]
fn several_results_stand_side_by_side() {
    let desk = Desk::new();
    let assert = desk
        .report(&["run", "run", "other.json", "--json"])
        .assert()
        .success();
    let told: Value = serde_json::from_slice(&assert.get_output().stdout).unwrap();
    assert_eq!(told["files"][0], "report.html");
    let html = desk.read("report.html");
    assert!(html.contains("3 results side by side") && html.contains("old #2"));
}

/// As a shell hands over `sweep/*`.
#[test]
fn what_a_sweep_wrote_beside_its_results_is_left_out_and_told() {
    let desk = Desk::new();
    fs::create_dir(desk.path("sweep")).unwrap();
    for part in ["sweep/0", "sweep/1"] {
        fs::create_dir(desk.path(part)).unwrap();
        for file in fs::read_dir(desk.path("run")).unwrap() {
            let file = file.unwrap();
            fs::copy(file.path(), desk.path(part).join(file.file_name())).unwrap();
        }
    }
    let sweep =
        r#"{"name": "old", "command": "longhaul sweep old", "points": 2, "points_per_part": 1}"#;
    fs::write(desk.path("sweep/sweep.json"), sweep).unwrap();
    for own in ["sweep/0.log", "sweep/1.log", "sweep/sweep.sh"] {
        fs::write(desk.path(own), "").unwrap();
    }
    let all = [
        "sweep/0",
        "sweep/0.log",
        "sweep/1",
        "sweep/1.log",
        "sweep/sweep.json",
        "sweep/sweep.sh",
    ];
    let assert = desk.report(&all).assert().success().stdout("report.html\n");
    let own = "sweep/0.log, sweep/1.log, sweep/sweep.json, sweep/sweep.sh";
    assert.stderr(format!(
        "note: left out, as the sweep wrote it beside its results: {own}\n"
    ));
    assert!(desk.read("report.html").contains("2 results side by side"));

    // What is not the sweep's is refused as ever, and so is nothing but what is.
    fs::write(desk.path("sweep/notes.log"), "").unwrap();
    let refused = desk
        .report(&["sweep/0", "sweep/notes.log"])
        .assert()
        .code(2);
    refused.stderr(contains("sweep/notes.log"));
    let refused = desk
        .report(&["sweep/0.log", "sweep/sweep.sh"])
        .assert()
        .code(2);
    refused.stderr(contains("name the sweep's folder"));
}

#[test]
fn a_chart_is_a_file_with_its_numbers_beside_it() {
    let desk = Desk::new();
    let charts = [
        ("busbw-vs-size", "bus bandwidth"),
        ("iteration-time-cdf", "cumulative share"),
        (
            "iteration-time-box",
            "first quartile (ms),median (ms),third quartile (ms),greatest (ms)\n64 KiB,reno,4,",
        ),
        ("throughput-over-time", "throughput (Mbit/s)"),
        ("queue-over-time", "queued (KiB)"),
        ("delay-over-time", "one-way delay (ms)"),
        ("jitter-over-time", "jitter (ms)"),
        ("delay-cdf", "one-way delay above the described"),
        ("jitter-cdf", "change of one-way delay"),
        ("flows-over-time", "window (KiB)"),
        ("map", "one-way delay"),
    ];
    for (kind, numbers) in charts {
        let arguments = ["run", "--chart", kind, "--title", "<Mine>"];
        let assert = desk.report(&arguments).assert().success();
        assert.stdout(format!("{kind}.svg\n{kind}.csv\n"));
        let svg = desk.read(&format!("{kind}.svg"));
        assert!(svg.contains("&lt;Mine&gt;"), "{kind}");
        let csv = desk.read(&format!("{kind}.csv"));
        // The head, and a line per box: there is one.
        let least = if kind == "iteration-time-box" { 2 } else { 3 };
        assert!(
            csv.contains(numbers) && csv.lines().count() >= least,
            "{kind}: {csv}"
        );
    }
    let arguments = [
        "run",
        "--chart",
        "delay-cdf",
        "--to",
        "slide.png",
        "--size",
        "800x450",
        "--theme",
        "dark",
        "--font-size",
        "12",
    ];
    desk.report(&arguments).assert().success();
    let png = fs::read(desk.path("slide.png")).unwrap();
    // Width and height stand big-endian at byte 16 (PNG specification, section 11.2.1).
    assert_eq!(png[16..24], [0, 0, 3, 32, 0, 0, 1, 194]);
}

#[test]
fn what_cannot_be_drawn_says_why_and_what_to_do() {
    let desk = Desk::new();
    let refused = |arguments: &[&str], message: &str| {
        let assert = desk.report(arguments).assert().code(2);
        assert.stderr(contains(message));
    };
    refused(&["run", "--chart", "pie"], "busbw-vs-size");
    refused(
        &["run", "--chart", "map", "--size", "big"],
        "as in 1200x675",
    );
    refused(
        &["run", "--chart", "delay-cdf", "--size", "90x90"],
        "no room on 90 × 90",
    );
    refused(
        &["run", "--chart", "delay-cdf", "--font-size", "0"],
        "from 4 to 100",
    );
    refused(
        &["run", "--chart", "delay-cdf", "--to", "a.pdf"],
        "--format",
    );
    let contrary = ["--format", "png", "--to", "a.svg"];
    refused(
        &[&["run", "--chart", "delay-cdf"], &contrary[..]].concat(),
        "--to a.svg: its ending is .svg, and --format is png",
    );
    assert!(!desk.path("a.svg").exists());
    let over = ["--format", "svg", "--to", "a.csv"];
    refused(
        &[&["run", "--chart", "delay-cdf"], &over[..]].concat(),
        "let it end in .svg or .png",
    );
    assert!(!desk.path("a.csv").exists());
    refused(
        &["run", "--chart", "speedup-over-distance"],
        "two stacks or more",
    );
    refused(&["run", "run", "--chart", "map"], "name one result");
    refused(
        &["run", "--chart", "against-setting"],
        "it takes a setting that varies",
    );
    refused(
        &[
            "run",
            "run",
            "--chart",
            "against-setting",
            "--setting",
            "queue",
        ],
        "no setting that was swept over is called queue: those that vary are result",
    );
    refused(
        &["run", "--chart", "delay-cdf", "--setting", "queue"],
        "take --chart against-setting",
    );
    refused(&["run", "--theme", "dark"], "--chart");
    refused(&["none"], "cannot open none");
    refused(
        &["run", "--to", "none/report.html"],
        "cannot write none/report.html",
    );
}

#[test]
fn results_are_held_against_each_other_as_a_setting() {
    let desk = Desk::new();
    desk.report(&["run", "run", "--chart", "against-setting"])
        .assert()
        .success()
        .stdout("against-setting.svg\nagainst-setting.csv\n");
    let numbers = desk.read("against-setting.csv");
    assert!(
        numbers.contains(",old #1,") && numbers.contains(",old #2,"),
        "{numbers}"
    );
}

#[test]
fn a_file_that_cannot_be_written_is_named_with_why_and_the_way_out() {
    let desk = Desk::new();
    for arguments in [
        ["--chart", "delay-cdf", "--format", "png"].as_slice(),
        &["--export", "csv"],
        &[],
    ] {
        let refused = |to: &str| {
            let all = [&["run", "--to", to], arguments].concat();
            desk.report(&all).assert().code(2)
        };
        refused("none/file").stderr(
            contains("cannot write none/file: No such file or directory")
                .and(contains("name a file in a folder that is there")),
        );
        refused("/dev/full").stderr(
            contains("cannot write /dev/full: No space left on device")
                .and(contains("make room there")),
        );
    }
}

#[test]
fn standard_output_is_a_file_too_and_keeps_what_it_has() {
    let desk = Desk::new();
    fs::write(desk.path("log"), "before\n").unwrap();
    for arguments in [
        ["--export", "csv"].as_slice(),
        &["--chart", "delay-cdf", "--format", "svg"],
    ] {
        let log = fs::File::options()
            .append(true)
            .open(desk.path("log"))
            .unwrap();
        let status = Process::new(env!("CARGO_BIN_EXE_longhaul"))
            .args(["report", "run", "--to", "/dev/stdout"])
            .args(arguments)
            .current_dir(desk.0.path())
            .stdout(log)
            .status()
            .unwrap();
        assert!(status.success());
    }
    let log = desk.read("log");
    assert!(log.starts_with("before\nresult,point,stack"), "{log}");
    let (numbers, chart) = log.split_once("<svg").unwrap();
    assert!(!numbers.contains("/dev/stdout"), "{numbers}");
    assert!(chart.trim_end().ends_with("</svg>"), "{chart}");
    // A chart's numbers have no place beside it.
    assert!(!Path::new("/dev/stdout.csv").exists());
}

#[test]
fn a_page_that_would_not_be_called_one_is_refused_before_anything_is_read() {
    let desk = Desk::new();
    for file in ["page.jpg", "chart.svg"] {
        desk.report(&["no-such-result", "--to", file])
            .assert()
            .code(2)
            .stderr(contains("its ending is neither .html nor .htm"));
    }
    desk.report(&["no-such-result", "--chart", "map", "--to", "map.jpg"])
        .assert()
        .code(2)
        .stderr(contains("its ending is neither .svg nor .png"));
}

#[test]
fn what_a_run_wrote_is_never_written_over() {
    let desk = Desk::new();
    for arguments in [
        ["--to", "run/result.json"].as_slice(),
        &["--chart", "delay-cdf", "--to", "run/samples.svg"],
        &["--export", "csv", "--to", "run/telemetry.csv"],
    ] {
        let before = desk.read("run/result.json") + &desk.read("run/samples.csv");
        let arguments: Vec<&str> = std::iter::once("run")
            .chain(arguments.iter().copied())
            .collect();
        let assert = desk.report(&arguments).assert().code(2);
        assert.stderr(contains("a run's own files"));
        assert_eq!(
            before,
            desk.read("run/result.json") + &desk.read("run/samples.csv")
        );
    }
}

#[test]
fn exports_are_what_their_readers_read() {
    let desk = Desk::new();
    let text = |format: &str| {
        let assert = desk.report(&["run", "--export", format]).assert().success();
        String::from_utf8(assert.get_output().stdout.clone()).unwrap()
    };
    assert!(text("csv").starts_with("result,point,stack,settings,repeat,faithful,size_bytes"));
    let json: Value = serde_json::from_str(&text("json")).unwrap();
    assert_eq!(json["results"][0]["points"].as_array().unwrap().len(), 2);
    assert!(text("markdown").contains("| reno | 64 KiB | out-of-place |"));
    // As parsers of nccl-tests' output read it: data lines by white space, the rest behind `#`.
    let nccl = text("nccl-tests");
    let rows: Vec<Vec<&str>> = nccl
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].len(), 13);
    assert_eq!(rows[0][..5], ["65536", "16384", "float", "sum", "-1"]);
    assert!(rows[0][7].parse::<f64>().unwrap() > 0.0);
    desk.report(&["run", "--export", "csv", "--json"])
        .assert()
        .code(2)
        .stdout(contains("name a file for the export with --to"));
}

#[test]
fn flent_reads_what_is_exported_for_it() {
    let desk = Desk::new();
    let export = |to: &str| desk.report(&["run", "--export", "flent", "--to", to]);
    export("run.json")
        .assert()
        .code(2)
        .stderr(contains(".flent.gz"));
    desk.report(&["run", "--export", "flent"])
        .assert()
        .code(2)
        .stderr(contains("name a file with --to"));
    let assert = export("run.flent.gz").assert().success();
    let told = String::from_utf8(assert.get_output().stdout.clone()).unwrap();
    let files: Vec<&str> = told.lines().collect();
    assert_eq!(files, ["run-0.flent.gz", "run-1.flent.gz"]);
    if Process::new("flent").arg("--version").output().is_err() {
        println!("skipped: flent is not installed");
        return;
    }
    let formatted = |format: &str| {
        let mut flent = Process::new("flent");
        flent.args(["-f", format]).current_dir(desk.0.path());
        for file in &files {
            flent.args(["-i", file]);
        }
        let done = flent.output().unwrap();
        assert!(done.status.success(), "{done:?}");
        String::from_utf8(done.stdout).unwrap()
    };
    // With the sums that it makes of the series itself.
    let summary = formatted("summary");
    for line in [
        "Title: 'old, reno",
        "Ping (ms) ICMP",
        "TCP upload::",
        "TCP upload sum",
    ] {
        assert!(summary.contains(line), "{line}: {summary}");
    }
    assert_eq!(summary.matches("Summary of tcp_nup").count(), files.len());
    assert!(!summary.contains("No data"), "{summary}");
    let stats = formatted("metadata");
    assert!(stats.contains("\"STEP_SIZE\": 0.2"), "{stats}");
}

#[test]
fn parquet_is_written_or_said_to_be_missing() {
    let desk = Desk::new();
    let export = ["run", "--export", "parquet", "--to", "run.parquet"];
    if !cfg!(feature = "parquet") {
        let without = contains("--features parquet");
        desk.report(&export).assert().code(3).stderr(without);
        return;
    }
    let assert = desk.report(&export).assert().success();
    let files = [
        "run.parquet",
        "run.telemetry.parquet",
        "run.measures.parquet",
    ];
    assert.stdout(files.join("\n") + "\n");
    for file in files {
        // The magic number at either end (Apache Parquet, file format).
        let bytes = fs::read(desk.path(file)).unwrap();
        assert!(bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1"));
    }
}

#[test]
fn results_that_were_cut_short_are_reported_as_far_as_they_are_whole() {
    let desk = Desk::new();
    let text = desk.read("run/result.json");
    let cut = |text: &str| fs::write(desk.path("run/result.json"), text).unwrap();

    // Killed: the result is as it was at the start of a point, and the last line of samples.csv was not finished.
    let mut killed: Value = serde_json::from_str(&text).unwrap();
    killed["outcome"] = serde_json::json!({ "kind": "unfinished" });
    killed["finished"] = Value::Null;
    for field in ["samples", "summaries"] {
        killed["points"][1][field] = serde_json::json!([]);
    }
    cut(&killed.to_string());
    let samples = desk.read("run/samples.csv");
    fs::write(desk.path("run/samples.csv"), &samples[..samples.len() - 5]).unwrap();
    desk.report(&["run"])
        .assert()
        .success()
        .stderr(contains("did not come to its end").and(contains("last line of samples.csv")));
    assert!(
        desk.read("run/report.html")
            .contains("did not come to its end")
    );

    cut(&text[..text.len() * 9 / 10]);
    desk.report(&["run"])
        .assert()
        .success()
        .stderr(contains("result.json is cut off in line").and(contains("1 point is whole")));

    cut(&text[..200]);
    desk.report(&["run"])
        .assert()
        .code(2)
        .stderr(contains("run/result.json is cut off in line"));

    cut(&text.replace("\"schema_version\": 1", "\"schema_version\": 99"));
    let newer = contains("schema version 99 is newer than 2");
    desk.report(&["run"]).assert().code(2).stderr(newer);
}

#[test]
fn a_browser_shows_a_report_without_errors_on_a_page_and_on_a_phone() {
    let Some(browser) = BROWSERS.iter().find(|name| {
        let asked = Process::new(name).arg("--version").output();
        asked.is_ok_and(|output| output.status.success())
    }) else {
        println!("skipped: no Chromium is installed");
        return;
    };
    let desk = Desk::new();
    for (name, arguments) in [
        ("one", ["run"].as_slice()),
        ("several", &["run", "other.json"]),
    ] {
        let file = format!("{name}.html");
        let mut all = arguments.to_vec();
        all.extend(["--to", &file]);
        desk.report(&all).assert().success();
        for width in [390, 1280] {
            let seen = seen(browser, &desk, &file, width);
            assert_eq!(seen["width"], width, "{file} is wider than {width}: {seen}");
            assert!(
                seen["pictures"].as_u64().unwrap() > 3,
                "{file} {width}: {seen}"
            );
            let tip = seen["tip"].as_str().unwrap();
            assert!(
                tip.contains(':') && tip.contains('('),
                "{file} {width}: {tip:?}"
            );
        }
    }
}

/// What a browser makes of a report in a frame of `width`: how wide it is, how many pictures can be seen, and what a chart tells who points
/// at its middle.
fn seen(browser: &str, desk: &Desk, file: &str, width: u32) -> Value {
    const FRAME: &str = r#"<!doctype html><iframe style="border:0;width:WIDTHpx;height:60000px" src="FILE"></iframe><pre></pre>
<script>
document.querySelector('iframe').onload = (event) => {
  const page = event.target.contentDocument, view = event.target.contentWindow;
  const shown = (element) => element.getClientRects().length > 0;
  const plot = [...page.querySelectorAll('rect.plot')].find(shown);
  const box = plot.getBoundingClientRect();
  const place = { clientX: box.left + box.width / 2, clientY: box.top + box.height / 2, bubbles: true };
  plot.dispatchEvent(new view.PointerEvent('pointermove', place));
  const tip = page.getElementById('tip');
  document.querySelector('pre').textContent = JSON.stringify({
    width: page.documentElement.scrollWidth,
    pictures: [...page.querySelectorAll('svg')].filter(shown).length,
    tip: tip.hidden ? '' : tip.textContent,
  });
};
</script>"#;
    let frame = FRAME
        .replace("WIDTH", &width.to_string())
        .replace("FILE", file);
    fs::write(desk.path("frame.html"), frame).unwrap();
    let output = Command::new(browser)
        .args([
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--allow-file-access-from-files",
            "--enable-logging=stderr",
            "--window-size=1600,1200",
            "--dump-dom",
        ])
        .arg(format!(
            "--user-data-dir={}",
            desk.path("browser").display()
        ))
        .arg(format!("file://{}", desk.path("frame.html").display()))
        .timeout(PATIENCE)
        .output()
        .unwrap();
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(!log.contains("CONSOLE"), "{file} {width}: {log}");
    let dom = String::from_utf8_lossy(&output.stdout);
    let told = dom
        .split("<pre>")
        .nth(1)
        .and_then(|rest| rest.split("</pre>").next());
    let told = told
        .unwrap_or_default()
        .replace("&gt;", ">")
        .replace("&lt;", "<");
    serde_json::from_str(&told.replace("&amp;", "&")).unwrap_or_else(|_| panic!("{told:?} {log}"))
}
