//! Other people's programs as workloads, in labs on this machine's kernel. What is not installed is skipped, out loud.

mod host;

use std::fs;
use std::path::Path;

use host::{FAITHFUL_OR_NOT, Host};
use serde_json::Value;

fn result(out: &Path) -> Value {
    serde_json::from_slice(&fs::read(out.join("result.json")).unwrap()).unwrap()
}

/// Whether `doctor` has found all of `tools`; says so if not.
fn has(host: &Host, tools: &[&str]) -> bool {
    let answer = host.longhaul(&["--json", "doctor"]).stdout;
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let capabilities = answer["capabilities"].as_array().unwrap();
    let present = |name: &str| {
        let mut all = capabilities.iter();
        all.any(|one| one["name"] == name && one["state"]["present"].is_string())
    };
    match tools.iter().find(|tool| !present(tool)) {
        Some(missing) => {
            println!("skipped: {missing} is not here");
            false
        }
        None => true,
    }
}

/// Runs `workload` on the tiny topology; its first point and the whole result.
fn run(host: &Host, workload: &str) -> (Value, Value) {
    let experiment = host.experiment(workload);
    let ended = host.longhaul(&["run", &experiment, "--out", "out", "--no-charts"]);
    assert!(FAITHFUL_OR_NOT.contains(&ended.code), "{ended:?}");
    let result = result(&host.path("out"));
    assert_eq!(result["outcome"]["kind"], "finished", "{ended:?}");
    let schema = include_str!("../../reports/schema.json");
    let schema: Value = serde_json::from_str(schema).unwrap();
    if let Err(error) = jsonschema::validate(&schema, &result) {
        panic!("result.json: {error} at {}", error.instance_path());
    }
    (result["points"][0].clone(), result)
}

/// The mean of a figure, whoever told it first.
fn mean(point: &Value, name: &str) -> f64 {
    let mut measures = point["measures"].as_array().unwrap().iter();
    let measure = measures.find(|one| one["name"] == name);
    measure.unwrap_or_else(|| panic!("no {name} in {point}"))["summary"]["mean"]
        .as_f64()
        .unwrap()
}

/// What each of the summaries has.
fn column(point: &Value, name: &str) -> Vec<f64> {
    let rows = point["summaries"].as_array().unwrap().iter();
    rows.map(|row| row[name].as_f64().unwrap()).collect()
}

#[test]
fn iperf3_tells_its_throughput_within_the_links_rate() {
    let Some(host) = Host::new() else { return };
    if !has(&host, &["iperf3"]) {
        return;
    }
    let experiment = host.experiment("workload: {iperf3: {duration: 3s, interval: 500ms}}");
    let ended = host.longhaul(&["run", &experiment, "--out", "out"]);
    assert!(FAITHFUL_OR_NOT.contains(&ended.code), "{ended:?}");
    assert!(
        ended.stdout.contains("what the programs measured"),
        "{ended:?}"
    );
    let out = host.path("out");
    let result = result(&out);
    let point = &result["points"][0];
    // Of a link of 50 Mbit/s, whose headers count.
    let received = mean(point, "received");
    assert!((1e6..50e6).contains(&received), "{received}");
    let throughput = &point["measures"][0];
    assert_eq!(
        (
            &throughput["name"],
            &throughput["host"],
            &throughput["unit"]
        ),
        (&"throughput".into(), &"a-0>b-0".into(), &"bit/s".into())
    );
    assert!(throughput["values"].as_array().unwrap().len() >= 5);
    let version = result["environment"]["programs"]["iperf3"]
        .as_str()
        .unwrap();
    assert!(version.starts_with("iperf 3"), "{version}");
    assert!(out.join("logs/a-0.out").is_file() && out.join("logs/b-0.log").is_file());
    for chart in ["measures-over-time.svg", "measures-box.png"] {
        assert!(out.join("charts").join(chart).is_file(), "{chart}");
    }
}

#[test]
fn ping_tells_the_round_trip_that_the_topology_has() {
    let Some(host) = Host::new() else { return };
    if !has(&host, &["ping"]) {
        return;
    }
    let (point, result) = run(&host, "workload: {ping: {count: 10, interval: 50ms}}");
    let rtt = mean(&point, "rtt");
    // 20 ms, and whatever a busy machine adds.
    assert!((20_000.0..200_000.0).contains(&rtt), "{rtt}");
    assert_eq!(mean(&point, "lost"), 0.0);
    let times: Vec<f64> = point["measures"][0]["values"]
        .as_array()
        .unwrap()
        .iter()
        .map(|value| value["time_s"].as_f64().unwrap())
        .collect();
    let within = point["schedule_began_s"].as_f64().unwrap()..=point["ended_s"].as_f64().unwrap();
    assert!(times.iter().all(|time| within.contains(time)), "{times:?}");
    assert!(result["environment"]["programs"]["ping"].is_string());
}

#[test]
fn figures_of_any_command_are_read_by_pattern_and_by_pointer() {
    let Some(host) = Host::new() else { return };
    let (point, _) = run(
        &host,
        r#"
workload:
  command:
    command: [sh, -c, 'echo "step 1: 3 ms"; echo "{\"rate\": 5}"; echo "step 2: 5 ms"; echo noise >&2']
    figures:
      - {name: step, unit: us, pattern: 'step \d+: (\d+) ms', scale: 1000, better: lower}
      - {name: rate, unit: bit/s, json: /rate, hosts: [b-0]}
"#,
    );
    assert_eq!((mean(&point, "step"), mean(&point, "rate")), (4000.0, 5.0));
    let hosts: Vec<&Value> = point["measures"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["host"])
        .collect();
    assert_eq!(hosts, ["a-0", "b-0", "b-0"]);
    let log = fs::read_to_string(host.path("out/logs/a-0.log")).unwrap();
    assert_eq!(log, "noise\n");
}

#[test]
fn a_figure_that_is_nowhere_fails_the_run_and_keeps_the_output() {
    let Some(host) = Host::new() else { return };
    let experiment = host.experiment(
        "workload: {command: {command: [echo, nothing], figures: [{name: rate, json: /rate}]}}",
    );
    let ended = host.longhaul(&["run", &experiment, "--out", "out", "--no-charts"]);
    assert_eq!(ended.code, 1, "{ended:?}");
    let message = result(&host.path("out"))["outcome"]["message"].to_string();
    assert!(
        message.contains("the figure `rate` is nowhere"),
        "{message}"
    );
    assert!(host.path("out/logs/a-0.out").is_file());
}

#[test]
fn a_program_that_is_missing_is_named_before_anything_is_made() {
    let Some(host) = Host::new() else { return };
    if has(&host, &["RDMA device"]) {
        println!("skipped: there is an RDMA device");
        return;
    }
    let experiment = host.experiment("workload: {perftest: {}}");
    let ended = host.longhaul(&["run", &experiment, "--out", "out"]);
    assert_eq!(ended.code, 3, "{ended:?}");
    let text = "`workload.perftest` needs ";
    assert!(ended.stderr.contains(text), "{}", ended.stderr);
    assert!(!host.path("out").exists());
}

#[test]
fn pytorchs_all_reduce_is_told_as_a_collective() {
    let Some(host) = Host::new() else { return };
    if !has(&host, &["PyTorch"]) {
        return;
    }
    let (point, result) = run(
        &host,
        "workload: {torch: {collective: all_reduce, sizes: [16KiB, 256KiB], iterations: 2, warmup: 1}}",
    );
    assert_eq!(point["workload"]["program"], "PyTorch");
    assert_eq!(point["samples"].as_array().unwrap().len(), 2 * 3);
    assert_eq!(column(&point, "wrong"), [0.0, 0.0]);
    // Each half of the way takes 10 ms at least, and 256 KiB at 50 Mbit/s take 42 ms.
    let times = column(&point, "p50_us");
    assert!(times[0] > 10_000.0 && times[1] > 42_000.0, "{times:?}");
    assert!(result["environment"]["programs"]["PyTorch"].is_string());
}

#[test]
fn a_compressed_gradient_takes_fewer_bytes_over_the_wan() {
    let Some(host) = Host::new() else { return };
    if !has(&host, &["PyTorch"]) {
        return;
    }
    let (_, result) = run(
        &host,
        "
workload: {torch: {training: {parameters: 40000, batch: 4}, iterations: 4, warmup: 2}}
sweep: {workload.torch.training.compression: [none, fp16]}
",
    );
    let sent = [0, 1].map(|point| mean(&result["points"][point], "sent per step"));
    let ratio = sent[1] / sent[0];
    assert!((0.4..0.7).contains(&ratio), "{sent:?}");
    assert!(mean(&result["points"][0], "step time") > 10_000.0);
}

/// Runs an all_reduce of an MPI, and sees that nothing of it is left.
fn mpi(host: &Host, implementation: &str, name: &str) {
    let before = host.traces();
    let (point, result) = run(
        host,
        &format!(
            "workload: {{mpi: {{implementation: {implementation}, collective: all_reduce, sizes: [256KiB], iterations: 2, warmup: 1}}}}"
        ),
    );
    assert_eq!(point["workload"]["program"], name);
    assert_eq!(column(&point, "wrong"), [0.0]);
    let times = column(&point, "p50_us");
    assert!(times[0] > 42_000.0, "over the link: {times:?}");
    let version = result["environment"]["programs"]["MPI"].as_str().unwrap();
    assert!(version.contains(name), "{version}");
    assert_eq!(host.traces(), before);
}

#[test]
fn open_mpi_reaches_the_hosts_without_ssh() {
    let Some(host) = Host::new() else { return };
    if has(&host, &["Open MPI", "Open MPI's compiler"]) {
        mpi(&host, "open-mpi", "Open MPI");
    }
}

#[test]
fn mpich_reaches_the_hosts_without_ssh() {
    let Some(host) = Host::new() else { return };
    if has(&host, &["MPICH", "MPICH's compiler"]) {
        mpi(&host, "mpich", "MPICH");
    }
}

#[test]
fn an_ordinary_user_runs_mpi_as_well() {
    let Some(host) = Host::of_nobody() else {
        return;
    };
    if has(&host, &["Open MPI", "Open MPI's compiler"]) {
        mpi(&host, "open-mpi", "Open MPI");
    }
}

#[test]
fn ranks_of_mpi_that_do_not_end_are_ended_with_their_launcher() {
    let Some(host) = Host::new() else { return };
    if !has(&host, &["Open MPI", "Open MPI's compiler"]) {
        return;
    }
    let experiment = host.experiment(
        "workload: {mpi: {collective: all_reduce, sizes: [64MiB], iterations: 1000, timeout: 3s}}",
    );
    let ended = host.longhaul(&["run", &experiment, "--out", "out", "--no-charts"]);
    assert_eq!(ended.code, 1, "{ended:?}");
    let message = result(&host.path("out"))["outcome"]["message"].to_string();
    assert!(
        message.contains("raise `workload.mpi.timeout`"),
        "{message}"
    );
}
