//! Whole runs on real namespaces, from an experiment's text to its result's folder. The test executable is its own rank
//! program: `__rank` as its argument makes it one.

use std::future::{Future, pending};
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Trial};
use longhaul_emulator::engine::EngineChoice;
use longhaul_emulator::sandbox::{self, Privilege};
use longhaul_reports::folder::ResultFolder;
use longhaul_reports::result::{Entity, Outcome, Placement, RunResult, Source, Workload, metric};
use longhaul_topologies::Document;
use longhaul_workloads::experiment::{
    CapturePlan, ExperimentSource, LabFacts, RunError, RunOptions, run,
};

const TOPOLOGY: &str = "
name: tiny
topology:
  name: two
  sites: [{name: a, hosts: 1}, {name: b, hosts: 1}]
  links: [{between: [a, b], rate: 50Mbit, rtt: 20ms}]
telemetry: {period: 20ms}
";

fn main() -> ExitCode {
    if std::env::args()
        .nth(1)
        .is_some_and(|argument| argument == "__rank")
    {
        return ExitCode::from(longhaul_workloads::rank::main() as u8);
    }
    let mut arguments = Arguments::from_args();
    // The tests share a network namespace, which has one lab at a time.
    arguments.test_threads = Some(1);
    if !arguments.list
        && let Err(error) = sandbox::enter()
    {
        println!("skipped: {error}");
        return ExitCode::SUCCESS;
    }
    let trials: [(&str, fn()); 8] = [
        (
            "a_collective_leaves_a_whole_result",
            a_collective_leaves_a_whole_result,
        ),
        (
            "a_trace_is_replayed_step_by_step",
            a_trace_is_replayed_step_by_step,
        ),
        (
            "an_interrupt_keeps_what_there_is",
            an_interrupt_keeps_what_there_is,
        ),
        (
            "programs_run_with_their_place_in_the_world",
            programs_run_with_their_place_in_the_world,
        ),
        (
            "a_failing_program_is_named_with_its_last_words_and_the_lab_is_judged",
            a_failing_program_is_named_with_its_last_words_and_the_lab_is_judged,
        ),
        (
            "programs_that_do_not_end_are_ended",
            programs_that_do_not_end_are_ended,
        ),
        (
            "a_run_whose_links_break_ends_at_once_and_says_which",
            a_run_whose_links_break_ends_at_once_and_says_which,
        ),
        (
            "a_schedule_is_carried_out_in_every_point_and_kept_in_its_timeline",
            a_schedule_is_carried_out_in_every_point_and_kept_in_its_timeline,
        ),
    ];
    let trial = |(name, test): (&str, fn())| {
        Trial::test(name, move || {
            test();
            Ok(())
        })
    };
    libtest_mimic::run(&arguments, trials.into_iter().map(trial).collect()).exit_code()
}

/// Runs the experiment and reads its folder back, which must say what the run answered.
fn result_of(workload: &str, out: &Path, interrupt: impl Future<Output = ()>) -> ResultFolder {
    result_of_text(&format!("{TOPOLOGY}{workload}"), out, interrupt)
}

/// The same with a topology of its own.
fn result_of_text(text: &str, out: &Path, interrupt: impl Future<Output = ()>) -> ResultFolder {
    let result = outcome_of(text, out, interrupt).unwrap();
    let folder = ResultFolder::open(out).unwrap();
    assert_eq!(folder.result, result);
    folder
}

/// What the run answers.
fn outcome_of(
    text: &str,
    out: &Path,
    interrupt: impl Future<Output = ()>,
) -> Result<RunResult, RunError> {
    let document = Document::from_text("tiny.yaml", text).unwrap();
    let experiment = ExperimentSource::new(document, Path::new("."))
        .load()
        .unwrap();
    let options = RunOptions {
        capture: CapturePlan::default(),
        out: out.to_owned(),
        links: EngineChoice::Relay,
        privilege: Privilege::Root,
        lab: LabFacts::Host {
            command: "test".to_owned(),
        },
        executable: std::env::current_exe().unwrap(),
        desk: None,
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(run(&experiment, &options, &mut (), interrupt))
}

fn a_collective_leaves_a_whole_result() {
    let folder = tempfile::tempdir().unwrap();
    let workload = "
workload: {collective: all_reduce, sizes: [64KiB, 256KiB], iterations: 2, warmup: 1}
stacks: [reno, cubic]
";
    let ResultFolder { result, telemetry } =
        result_of(workload, &folder.path().join("out"), pending());
    assert_eq!(
        (result.outcome, result.environment.links.as_str()),
        (Outcome::Finished, "relay")
    );
    assert_eq!(
        result
            .points
            .iter()
            .map(|point| point.stack.as_str())
            .collect::<Vec<_>>(),
        ["reno", "cubic"]
    );
    for point in &result.points {
        assert_eq!(point.samples.len(), 2 * 2 * 3);
        assert!(
            point
                .samples
                .iter()
                .all(|sample| sample.wrong == 0 && sample.start_s >= point.began_s)
        );
        assert_eq!(point.summaries.len(), 4);
        for row in &point.summaries {
            let share = row.bound_share.unwrap();
            assert!(
                share > 0.0 && share <= 1.0,
                "no run is faster than its bound: {row:?}"
            );
        }
        let large = point
            .summaries
            .iter()
            .find(|row| row.placement == Placement::InPlace)
            .unwrap();
        assert_eq!(large.iterations, 2);
        assert_eq!(point.delays.len(), 2);
        assert!(
            point
                .delays
                .iter()
                .all(|delay| delay.sent > 0 && delay.delay_us.min >= 10_000.0),
            "{:?}",
            point.delays
        );
        // Twelve iterations of 64 and 256 KiB, of which a rank of two sends as much as the array.
        assert!(
            point
                .channels
                .iter()
                .all(|channel| channel.bytes > 6 * (64 + 256) * 1024),
            "{:?}",
            point.channels
        );
        assert!(!point.fidelity.checks.is_empty());
        for entity in [
            Entity::Channel,
            Entity::Connection,
            Entity::Probe,
            Entity::Host,
        ] {
            let is_of = |row: &&longhaul_reports::result::TelemetryRow| {
                row.point == point.index && row.entity == entity
            };
            let row = telemetry
                .iter()
                .find(is_of)
                .unwrap_or_else(|| panic!("no row of {entity:?}"));
            assert!(
                row.time_s >= point.began_s && row.time_s <= point.ended_s,
                "{row:?}"
            );
        }
    }
}

fn a_trace_is_replayed_step_by_step() {
    let folder = tempfile::tempdir().unwrap();
    // Rank 1 waits for longer than a rank's patience, as rank 0 computes; the stages sum inside, and then across.
    let trace = folder.path().join("trace.yaml");
    let text = "
name: stages
ranks: 4
groups: {first: [0, 1], second: [2, 3]}
nodes:
  - {name: forward, compute: 3s, ranks: [0]}
  - {name: half, send: 64KiB, from: 0, to: 1}
  - {all_reduce: 32KiB, group: first, after: [half]}
  - {all_reduce: 32KiB, group: second, after: []}
  - {all_to_all: 64KiB}
";
    std::fs::write(&trace, text).unwrap();
    let experiment = format!(
        "
name: tiny
topology:
  name: two
  sites: [{{name: a, hosts: 2}}, {{name: b, hosts: 3}}]
  links: [{{between: [a, b], rate: 50Mbit, rtt: 20ms}}]
workload:
  replay: {{trace: {}, compute: {{scale: 0.5}}}}
  iterations: 2
  warmup: 1
  patience: 1s
stacks: [cubic]
",
        trace.display()
    );
    let out = folder.path().join("out");
    let ResultFolder { result, .. } = result_of_text(&experiment, &out, pending());
    let point = &result.points[0];
    assert_eq!(
        (result.outcome.clone(), point.samples.len()),
        (Outcome::Finished, 3)
    );
    assert!(point.samples.iter().all(|sample| sample.wrong == 0));
    let Workload::Replay {
        trace,
        carries,
        hosts,
        ..
    } = &point.workload
    else {
        panic!("{:?}", point.workload)
    };
    assert_eq!(trace, "stages");
    assert_eq!(hosts[..], ["a-0", "a-1", "b-0", "b-1"]);
    let carried: Vec<_> = carries
        .iter()
        .map(|one| (&*one.kind, one.count, one.bytes))
        .collect();
    let kib = |number: u64| number << 10;
    assert_eq!(
        carried,
        [
            ("all_reduce", 2, kib(64)),
            ("all_to_all", 1, kib(64)),
            ("send", 1, kib(64))
        ]
    );
    let mean = |name: &str| {
        let measure = point.measures.iter().find(|one| one.name == name);
        let measure = measure.unwrap_or_else(|| panic!("{name}"));
        assert_eq!(measure.values.len(), 2, "warm-up is left out");
        measure.summary.mean
    };
    assert_eq!(mean("computing"), 1.5e6);
    // What crosses the link takes 10 ms at least.
    assert!(mean("exposed communication") >= 10_000.0);
    assert!((mean("step time") - mean("computing") - mean("exposed communication")).abs() < 1.0);
    assert!(mean("all_to_all time") >= 10_000.0);
    assert!(!point.flows.is_empty());
}

fn an_interrupt_keeps_what_there_is() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let samples = out.join("samples.csv");
    // Comes once three iterations are in the folder.
    let interrupt = async move {
        let lines = || std::fs::read_to_string(&samples).map_or(0, |text| text.lines().count());
        while lines() < 4 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let workload = "workload: {collective: all_reduce, sizes: [64KiB], iterations: 100000}\n";
    let started = Instant::now();
    let ResultFolder { result, .. } = result_of(workload, &out, interrupt);
    assert_eq!(result.outcome, Outcome::Interrupted);
    assert!(result.run_details.unwrap().finished.is_some() && result.points[0].samples.len() >= 3);
    assert!(
        !result.points[0].summaries.is_empty(),
        "what there is is summed up"
    );
    assert!(started.elapsed() < Duration::from_secs(60));
}

fn programs_run_with_their_place_in_the_world() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let workload = "
workload:
  command:
    command: [sh, -c, 'echo $RANK of $WORLD_SIZE at $LONGHAUL_HOST in $LONGHAUL_SITE, $MASTER_ADDR $MASTER_PORT $LONGHAUL_PEERS']
    per_host: {b-0: {command: [sleep, '600'], background: true}}
";
    let ResultFolder { result, .. } = result_of(workload, &out, pending());
    assert_eq!(result.outcome, Outcome::Finished);
    let log = std::fs::read_to_string(out.join("logs/a-0.log")).unwrap();
    assert_eq!(
        log,
        "0 of 2 at a-0 in a, 10.1.0.1 29500 10.1.0.1,10.2.0.1\n"
    );
    let ends: Vec<_> = result.points[0]
        .commands
        .iter()
        .map(|end| (end.host.as_str(), end.exit_code, end.log.as_str()))
        .collect();
    // The server in the background is ended by SIGTERM when all others are done.
    assert_eq!(
        ends,
        [("a-0", 0, "logs/a-0.log"), ("b-0", 143, "logs/b-0.log")]
    );
}

fn a_failing_program_is_named_with_its_last_words_and_the_lab_is_judged() {
    let folder = tempfile::tempdir().unwrap();
    let workload = "
workload:
  command:
    command: [sleep, '600']
    per_host: {b-0: {command: [sh, -c, 'sleep 0.3; echo no such device >&2; exit 3']}}
";
    let ResultFolder { result, .. } = result_of(workload, &folder.path().join("out"), pending());
    let message = "`sh` on b-0 exited with code 3; its last words: no such device".to_owned();
    assert_eq!(result.outcome, Outcome::Failed { message });
    // Known only after the workload: whether the lab was the cause.
    let point = &result.points[0];
    assert!(point.fidelity.lateness.is_some(), "{:?}", point.fidelity);
    assert!(point.delays.iter().all(|delay| delay.sent > 0));
}

fn programs_that_do_not_end_are_ended() {
    let folder = tempfile::tempdir().unwrap();
    let workload =
        "workload: {command: {command: [sh, -c, 'sleep 600 & wait'], hosts: [a-0], timeout: 1s}}\n";
    let started = Instant::now();
    let ResultFolder { result, .. } = result_of(workload, &folder.path().join("out"), pending());
    assert!(
        matches!(&result.outcome, Outcome::Failed { message } if message.starts_with("still running after 1 s on a-0"))
    );
    assert!(started.elapsed() < Duration::from_secs(60));
}

fn a_run_whose_links_break_ends_at_once_and_says_which() {
    const INTERFACE: &str = "l0.0a";
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let logs = out.join("logs");
    let breaker = std::thread::spawn(move || {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !logs.exists() {
            assert!(Instant::now() < deadline, "the programs do not start");
            std::thread::sleep(Duration::from_millis(10));
        }
        let deleted = Command::new("ip").args(["link", "del", INTERFACE]).status();
        assert!(deleted.is_ok_and(|status| status.success()));
        Instant::now()
    });
    let workload = "workload: {command: {command: [sleep, '60']}}\n";
    let error = outcome_of(&format!("{TOPOLOGY}{workload}"), &out, pending()).unwrap_err();
    let broken = breaker.join().unwrap();
    assert!(broken.elapsed() < Duration::from_secs(20));
    assert!(error.to_string().contains(INTERFACE), "{error}");
    // What was found until then is kept, and says why it is not more.
    let ResultFolder { result, .. } = ResultFolder::open(&out).unwrap();
    assert!(
        matches!(&result.outcome, Outcome::Failed { message } if message.contains(INTERFACE)),
        "{:?}",
        result.outcome
    );
}

fn a_schedule_is_carried_out_in_every_point_and_kept_in_its_timeline() {
    let folder = tempfile::tempdir().unwrap();
    let schedule = "schedule: [{at: 200ms, delay: 40ms}, {at: 300ms, state: down, direction: forward}, {at: 3600s, loss: 1%}]";
    let text = TOPOLOGY.replace("rtt: 20ms", &format!("rtt: 20ms, {schedule}"));
    let workload = "workload: {command: {command: [sleep, '0.6']}}\nrepeats: 2\n";
    let ResultFolder { result, telemetry } = result_of_text(
        &format!("{text}{workload}"),
        &folder.path().join("out"),
        pending(),
    );
    assert_eq!(result.outcome, Outcome::Finished);
    assert_eq!(result.points.len(), 2);
    for point in &result.points {
        let began = point.schedule_began_s.unwrap();
        assert!(point.began_s <= began && began < point.ended_s);
        let entries: Vec<(&str, &str)> = (point.timeline.iter())
            .map(|entry| (entry.link.as_str(), entry.change.split(',').next().unwrap()))
            .collect();
        // The second point begins as the topology says, whatever the first one's schedule left.
        assert_eq!(
            entries,
            [
                ("a>b", "delay 10ms → 40ms"),
                ("b>a", "delay 10ms → 40ms"),
                ("a>b", "state up → down")
            ]
        );
        for (entry, at) in point.timeline.iter().zip([0.2, 0.2, 0.3]) {
            assert_eq!((entry.source, entry.lane), (Source::Scheduled, 0));
            let expected = began + at + entry.late_us / 1e6;
            assert!(
                (entry.time_s - expected).abs() < 1e-3,
                "{entry:?}, {expected}"
            );
        }
        // Told at first and when it changes.
        let up: Vec<f64> = (telemetry.iter())
            .filter(|row| {
                row.point == point.index && row.name == "a>b/0" && row.metric == metric::UP
            })
            .map(|row| row.value)
            .collect();
        assert_eq!(up, [1.0, 0.0]);
        let metrics = [
            metric::MARKS,
            metric::EARLY_DROPS,
            metric::OUTAGE_DROPS,
            metric::QUEUE_PACKETS,
        ];
        for name in metrics {
            assert!(
                telemetry.iter().any(|row| row.metric == name),
                "no row of {name}"
            );
        }
    }
}
