//! What a run prints, writes and refuses.

use std::fs;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use predicates::prelude::*;
use serde_json::{Value, json};

use super::host::{FAITHFUL_OR_NOT, Host, family, lines, wait_until};
use super::pcap::packets;
use super::support::{SHORT, endless, result};

#[test]
fn a_run_leaves_a_table_files_and_charts() {
    let Some(host) = Host::new() else { return };
    let before = host.traces();
    let ended = host.longhaul(&["run", &host.experiment(SHORT), "--out", "out"]);
    assert!(FAITHFUL_OR_NOT.contains(&ended.code), "{ended:?}");

    let table = predicate::str::contains("# cubic: all_reduce (ring), f32, sum, 2 ranks")
        .and(predicate::str::contains("busbw"))
        .and(predicate::str::contains("# Out of bounds values : 0 OK"))
        .and(predicate::str::contains("one-way delay between sites"))
        .and(predicate::str::contains("# Fidelity: "))
        .and(predicate::str::contains(format!(
            "results: {}",
            host.path("out").display()
        )));
    assert!(table.eval(&ended.stdout), "{}", ended.stdout);
    let progress: Vec<&str> = ended.stderr.lines().collect();
    assert_eq!(
        progress[..2],
        [
            "1 point to run",
            "bringing up two: 2 sites, 2 hosts, 1 link"
        ]
    );
    assert!(progress.contains(&"drawing the charts"));
    assert!(
        !ended.stderr.contains(['\r', '\x1b']),
        "plain lines in a pipe"
    );

    let out = host.path("out");
    let schema = include_str!("../../../reports/schema.json");
    let schema: Value = serde_json::from_str(schema).unwrap();
    if let Err(error) = jsonschema::validate(&schema, &result(&out)) {
        panic!("result.json: {error} at {}", error.instance_path());
    }
    // Out of place and in place, six iterations each, and the header.
    assert_eq!(lines(&out.join("samples.csv")), 1 + 2 * 6);
    assert!(lines(&out.join("telemetry.csv")) > 1);
    let charts: Vec<_> = fs::read_dir(out.join("charts"))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let count = format!("charts:  {} in ", charts.len());
    assert!(ended.stdout.contains(&count), "{}", ended.stdout);
    for ending in [".svg", ".png"] {
        let of_kind = |chart: &&fs::DirEntry| chart.file_name().to_string_lossy().ends_with(ending);
        assert!(charts.iter().filter(of_kind).count() >= 5, "{charts:?}");
    }
    assert!(
        charts
            .iter()
            .all(|chart| chart.metadata().unwrap().len() > 1000)
    );
    assert_eq!(host.traces(), before);
}

#[test]
fn json_is_all_that_a_run_prints_with_json() {
    let Some(host) = Host::new() else { return };
    let run = [
        "--json",
        "run",
        &host.experiment(SHORT),
        "--out",
        "out",
        "--no-charts",
    ];
    let ended = host.longhaul(&run);
    let answer: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(ended.stderr, "");
    assert_eq!(answer["result"], result(&host.path("out")));
    let code = match answer["verdict"]["verdict"].as_str().unwrap() {
        "passed" => 0,
        "unfaithful" => 4,
        other => panic!("{other}: {ended:?}"),
    };
    assert_eq!(ended.code, code);
}

#[test]
fn settings_and_seed_are_in_the_result() {
    let Some(host) = Host::new() else { return };
    let experiment = host.experiment(SHORT);
    let run = [
        "run",
        &experiment,
        "--out",
        "out",
        "--no-charts",
        "--seed",
        "7",
    ];
    let set = [
        "--set",
        "workload.iterations=1",
        "--set",
        "topology.links.0.rate=40Mbit",
        "--set",
        "stacks=[reno]",
    ];
    let ended = host.longhaul(&[&run[..], &set[..]].concat());
    assert!(FAITHFUL_OR_NOT.contains(&ended.code), "{ended:?}");
    let result = result(&host.path("out"));
    assert_eq!(result["seed"], 7);
    assert_eq!(result["points"][0]["stack"], "reno");
    assert_eq!(result["points"][0]["summaries"][0]["iterations"], 1);
    assert_eq!(
        result["experiment"]["topology"]["links"][0]["rate"],
        "40Mbit"
    );
    let command = result["run_details"]["command"].as_str().unwrap();
    assert!(command.ends_with("--set 'stacks=[reno]'"), "{command}");
}

#[test]
fn a_capture_is_what_the_result_says_of_it() {
    let Some(host) = Host::new() else { return };
    let run = [
        "run",
        &host.experiment(SHORT),
        "--out",
        "out",
        "--no-charts",
        "--links",
        "relay",
    ];
    // Two points, so that each has a folder of its own.
    let more = ["--set", "stacks=[reno, cubic]", "--capture", "b>a/0"];
    let ended = host.longhaul(&[&run[..], &more].concat());
    assert!(FAITHFUL_OR_NOT.contains(&ended.code), "{ended:?}");
    let result = result(&host.path("out"));
    for (index, point) in result["points"].as_array().unwrap().iter().enumerate() {
        let captures = point["captures"].as_array().unwrap();
        let [offered, delivered] = captures.as_slice() else {
            panic!("{captures:?}");
        };
        for (capture, side) in [(offered, "offered"), (delivered, "delivered")] {
            let file = format!("captures/point-{index}/b_a_0_{side}.pcap");
            let packets = packets(&host.path("out").join(&file));
            let expected = json!({
                "file": file, "link": "b>a", "lane": 0, "direction": "reverse", "side": side,
                "packets": packets.len(), "missed": 0,
            });
            assert_eq!(*capture, expected);
            assert!(!packets.is_empty());
            // On the axis of the samples, and of the telemetry.
            let span = point["began_s"].as_f64().unwrap()..point["ended_s"].as_f64().unwrap();
            for packet in packets {
                assert!(
                    span.contains(&packet.at.as_secs_f64()),
                    "{packet:?}, {span:?}"
                );
            }
        }
        // The capture begins before the counters are read for the first time, and ends after the last.
        let channels = point["channels"].as_array().unwrap();
        let channel = channels.iter().find(|channel| channel["link"] == "b>a");
        let counted = channel.unwrap()["packets"].as_u64().unwrap();
        assert!(delivered["packets"].as_u64().unwrap() >= counted);
    }
}

#[test]
fn a_congestion_control_that_the_kernel_lacks_is_told_before_a_lab_comes_up() {
    let Some(host) = Host::new() else { return };
    let experiment = host.experiment(SHORT);
    let ended = host.longhaul(&[
        "run",
        &experiment,
        "--out",
        "out",
        "--set",
        "stacks=[reno, nosuch]",
    ]);
    assert_eq!((ended.code, ended.stdout.as_str()), (3, ""), "{ended:?}");
    let said = predicate::str::starts_with(
        "error: the stack `nosuch` cannot be used: the kernel has no congestion control `nosuch` (it has reno",
    )
    .and(predicate::str::contains("help: load it as root with `modprobe tcp_nosuch`"));
    assert!(said.eval(&ended.stderr), "{}", ended.stderr);
    assert!(!host.path("out").exists());
}

#[test]
fn what_is_set_by_hand_during_a_run_is_in_its_timeline() {
    let Some(host) = Host::new() else { return };
    let run = endless(&host);
    let set = host.succeed(&[
        "link",
        "set",
        "b",
        "a",
        "duplication=1%",
        "--direction",
        "forward",
    ]);
    assert_eq!(set, "b > a lane 0: duplication none → 1%\n");
    let name = format!("run-{}", run.pid());
    let detail = host.answer(&["status", &name])["detail"].clone();
    assert!(detail["engine"].is_string(), "{detail}");
    host.succeed(&["down", &name]);
    assert_eq!(run.end().code, 130);
    let result = result(&host.path("out"));
    let entry = &result["points"][0]["timeline"][0];
    assert_eq!(
        (&entry["source"], &entry["link"]),
        (&json!("manual"), &json!("b>a")),
        "{entry}"
    );
}

#[test]
fn links_that_were_held_up_make_a_run_unfaithful() {
    let Some(host) = Host::new() else { return };
    let experiment =
        host.experiment("workload: {collective: all_reduce, sizes: [64KiB], iterations: 20}");
    // The relay, which can be stopped from here; netem is in the kernel.
    let mut run = host.start(&[
        "run",
        &experiment,
        "--out",
        "out",
        "--no-charts",
        "--links",
        "relay",
    ]);
    let samples = host.path("out/samples.csv");
    wait_until("the workload has begun", || lines(&samples) > 1);
    // A machine that stalls: the lab process, with the relay in it, gets no CPU for half of the time.
    let [_, _, lab] = family(run.pid()).unwrap();
    let stall = Duration::from_millis(40);
    wait_until("the run ends", || {
        // It may have ended since; its id is not another's while the front has not been waited for.
        let _ = kill(Pid::from_raw(lab), Signal::SIGSTOP);
        std::thread::sleep(stall);
        let _ = kill(Pid::from_raw(lab), Signal::SIGCONT);
        std::thread::sleep(stall);
        run.has_ended()
    });
    let ended = run.end();
    assert_eq!(ended.code, 4, "{ended:?}");
    let said = predicate::str::contains("not faithful: do not trust these figures").and(
        predicate::str::contains("the link engine released packets late"),
    );
    assert!(said.eval(&ended.stdout), "{}", ended.stdout);
    let fidelity = &result(&host.path("out"))["points"][0]["fidelity"];
    assert_eq!(fidelity["faithful"], false);
}

#[test]
fn a_user_without_privileges_has_runs_and_labs() {
    let Some(host) = Host::of_nobody() else {
        return;
    };
    let experiment = host.experiment(SHORT);
    let ended = host.longhaul(&["run", &experiment, "--out", "out", "--no-charts"]);
    assert!(FAITHFUL_OR_NOT.contains(&ended.code), "{ended:?}");
    assert_eq!(
        result(&host.path("out"))["environment"]["privilege"],
        "rootless"
    );

    host.succeed(&["up", "metro"]);
    let id = host.succeed(&["exec", "frankfurt-0", "--", "id", "-u"]);
    assert_eq!(id, "0\n", "root of its own namespaces");
    host.succeed(&["down"]);
    host.wait_until_gone(&host.namespaces());
}
