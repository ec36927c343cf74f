//! Programs of others as workloads.

use std::fs;
use std::process::Command;

use serde_json::Value;

use super::host::{FAITHFUL_OR_NOT, Host};
use super::support::result;

#[test]
fn any_program_is_told_its_place_in_the_world() {
    let Some(host) = Host::new() else { return };
    let experiment =
        host.experiment("workload: {command: {command: [env], environment: {COLOUR: blue}}}");
    let ended = host.longhaul(&["run", &experiment, "--out", "out", "--no-charts"]);
    assert!(FAITHFUL_OR_NOT.contains(&ended.code), "{ended:?}");
    for (rank, name) in ["a-0", "b-0"].iter().enumerate() {
        let log = fs::read_to_string(host.path(&format!("out/logs/{name}.log"))).unwrap();
        let expected = [
            &format!("RANK={rank}"),
            "WORLD_SIZE=2",
            "MASTER_ADDR=10.1.0.1",
            "MASTER_PORT=29500",
            "COLOUR=blue",
            &format!("LONGHAUL_HOST={name}"),
        ];
        for line in expected {
            assert!(
                log.lines().any(|other| other == line),
                "{line} is not in {log}"
            );
        }
    }
}

#[test]
fn a_program_that_fails_is_named_with_its_host_and_code() {
    let Some(host) = Host::new() else { return };
    let workload = "workload: {command: {command: [sleep, '600'], per_host: {b-0: {command: [ls, /nowhere]}}}}";
    let ended = host.longhaul(&[
        "run",
        &host.experiment(workload),
        "--out",
        "out",
        "--no-charts",
    ]);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(
        ended
            .stdout
            .contains("failed: `ls` on b-0 exited with code 2; its last words: "),
        "{}",
        ended.stdout
    );
    assert_eq!(result(&host.path("out"))["outcome"]["kind"], "failed");
    host.wait_until_gone(&host.namespaces());
}

#[test]
fn iperf3_measures_the_link_that_was_described() {
    let Some(host) = Host::new() else { return };
    if Command::new("iperf3").arg("--version").output().is_err() {
        println!("skipped: iperf3 is not installed");
        return;
    }
    let workload = "
workload:
  command:
    command: [iperf3, --client, a-0, --time, '2', --json]
    per_host: {a-0: {command: [iperf3, --server], background: true}}
";
    let ended = host.longhaul(&[
        "run",
        &host.experiment(workload),
        "--out",
        "out",
        "--no-charts",
    ]);
    assert!(FAITHFUL_OR_NOT.contains(&ended.code), "{ended:?}");
    let log = fs::read(host.path("out/logs/b-0.log")).unwrap();
    let report: Value = serde_json::from_slice(&log).unwrap();
    let rate = report["end"]["sum_received"]["bits_per_second"]
        .as_f64()
        .unwrap();
    // Half the link is for a busy machine; more than the link is never right.
    assert!((25e6..50e6).contains(&rate), "{rate} bit/s over 50 Mbit/s");
}
