//! Whole labs and runs through the binary, on this machine's kernel.

mod host;
#[path = "../../emulator/tests/support/pcap.rs"]
mod pcap;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use host::{FAITHFUL_OR_NOT, Host, Running, family, lines, wait_until};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use predicates::prelude::*;
use serde_json::{Value, json};

/// Twelve iterations of 64 KiB: a fraction of a second.
const SHORT: &str = "workload: {collective: all_reduce, sizes: [64KiB], iterations: 5, warmup: 1}";

/// Far more iterations than any test waits for.
const ENDLESS: &str = "workload: {collective: all_reduce, sizes: [64KiB], iterations: 100000}";

fn result(out: &Path) -> Value {
    serde_json::from_slice(&fs::read(out.join("result.json")).unwrap()).unwrap()
}

/// Starts an endless run and waits until its workload is well under way.
fn endless(host: &Host) -> Running {
    let experiment = host.experiment(ENDLESS);
    let run = host.start(&["run", &experiment, "--out", "out", "--no-charts"]);
    let samples = host.path("out/samples.csv");
    wait_until("three iterations are done", || lines(&samples) > 3);
    run
}

fn signal(pid: i32, signal: Signal) {
    kill(Pid::from_raw(pid), signal).unwrap();
}

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
    let schema = include_str!("../../reports/schema.json");
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
            let packets = pcap::packets(&host.path("out").join(&file));
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

#[test]
fn a_lab_in_the_background_from_up_to_down() {
    let Some(host) = Host::new() else { return };
    let before = host.traces();
    let up = host.succeed(&["up", "metro", "--name", "first"]);
    assert!(
        up.contains("longhaul exec --name first frankfurt-0 -- bash"),
        "{up}"
    );

    assert_eq!(
        host.succeed(&["exec", "muehlheim-1", "--", "hostname"]),
        "muehlheim-1\n"
    );
    let code = |command: &[&str]| {
        host.longhaul(&[&["exec", "frankfurt-0", "--"], command].concat())
            .code
    };
    assert_eq!(code(&["sh", "-c", "exit 42"]), 42);
    assert_eq!(code(&["sh", "-c", "kill -TERM $$"]), 128 + 15);
    assert_eq!(code(&["/nowhere"]), 127);
    assert_eq!(code(&["/etc/passwd"]), 126);
    let ended = host.longhaul(&["exec", "nosuch", "--", "hostname"]);
    assert_eq!(ended.code, 2);
    assert!(
        ended
            .stderr
            .contains("no host nosuch; it has frankfurt-0, "),
        "{ended:?}"
    );

    let ended = host.longhaul(&["up", "campus", "--name", "first"]);
    assert_eq!(ended.code, 2);
    assert!(
        ended.stderr.contains("a lab named first is up already"),
        "{ended:?}"
    );

    let labs = host.answer(&["status"]);
    assert_eq!(
        (labs[0]["name"].as_str(), labs[0]["life"].as_str()),
        (Some("first"), Some("up"))
    );
    let detail = host.succeed(&["status", "first"]);
    assert!(
        detail.contains("frankfurt > muehlheim lane 0") && detail.contains("10.2.0.2"),
        "{detail}"
    );
    assert_eq!(
        host.answer(&["clean"]),
        json!({ "labs": [], "namespaces": [] })
    );

    let namespaces = host.namespaces();
    assert_eq!(host.succeed(&["down"]), "first is down\n");
    host.wait_until_gone(&namespaces);
    assert_eq!(host.traces(), before);
    assert_eq!(host.answer(&["status"]), json!([]));
}

#[test]
fn links_of_a_lab_are_shown_and_set() {
    let Some(host) = Host::new() else { return };
    let topology = "
name: pair
sites: [{name: east}, {name: west}]
links: [{between: [east, west], rate: 50Mbit, rtt: 20ms, queue: 100KB, lanes: 2}]
";
    fs::write(host.path("pair.yaml"), topology).unwrap();
    host.succeed(&["up", "pair.yaml"]);
    let shown = host.succeed(&["link", "show"]);
    assert!(
        shown.contains("east > west lane 1   50Mbit, 10ms, queue 100KiB"),
        "{shown}"
    );

    // Forward is as it is typed, not as the file has it.
    let set = ["link", "set", "west", "east", "delay=30ms", "loss=1%"];
    let only = ["--direction", "forward", "--lane", "1"];
    assert_eq!(
        host.succeed(&[&set[..], &only[..]].concat()),
        "west > east lane 1: delay 10ms → 30ms, loss none → 1%\n"
    );
    let answer = host.answer(&["link", "show", "west", "east"]);
    let links = answer["links"].as_array().unwrap();
    assert_eq!(links.len(), 4);
    let set = links
        .iter()
        .find(|link| link["from"] == "west" && link["lane"] == 1)
        .unwrap();
    assert_eq!(set["settings"]["delay"], "30ms");
    assert_eq!(set["differs"], "delay 10ms → 30ms, loss none → 1%");
    assert_eq!(
        links
            .iter()
            .filter(|link| link["differs"].is_null())
            .count(),
        3
    );
    let status = host.succeed(&["status", "pair"]);
    assert!(status.contains("up, changed"), "{status}");
    let again = host.succeed(&["link", "set", "west", "east", "rate=50Mbit"]);
    assert_eq!(again, "nothing to change: the link is that way already\n");

    let refused = |arguments: &[&str], said: &[&str]| {
        let ended = host.longhaul(&[&["link", "set"], arguments].concat());
        assert_eq!(ended.code, 2, "{ended:?}");
        for said in said {
            assert!(ended.stderr.contains(said), "{said}: {}", ended.stderr);
        }
    };
    refused(
        &["west", "esat", "loss=2%"],
        &["pair: there is no site `esat`", "did you mean `east`?"],
    );
    refused(
        &["west", "east", "delay=50ms", "rate=fast"],
        &["pair with rate=fast: ", "[command line:1:6]", "rate=fast"],
    );
    refused(
        &["west", "east", "dealy=50ms"],
        &["unknown field `dealy`", "did you mean `delay`?"],
    );
    refused(
        &["west", "east", "delay=50ms", "--lane", "2"],
        &["there is no lane 2"],
    );
    refused(&["west", "east", "delay"], &["delay: no value"]);
    let answer: Value = serde_json::from_str(
        &host
            .longhaul(&["--json", "link", "set", "west", "east", "rate=fast"])
            .stdout,
    )
    .unwrap();
    assert_eq!(answer["error"]["exit_code"], 2);
    assert_eq!(
        host.answer(&["link", "show", "west", "east"])["links"],
        json!(links),
        "nothing has changed"
    );

    let down = host.succeed(&["link", "set", "east", "west", "state=down", "--lane", "0"]);
    assert_eq!(down.lines().count(), 2);
    let detail = host.answer(&["status", "pair"])["detail"].clone();
    let states: Vec<&str> = (detail["channels"].as_array().unwrap().iter())
        .map(|channel| channel["state"].as_str().unwrap())
        .collect();
    assert_eq!(states, ["down", "down", "up", "up"]);
    host.succeed(&["down"]);
    let ended = host.longhaul(&["link", "show"]);
    assert_eq!(ended.code, 2);
    assert!(ended.stderr.contains("no lab is up"), "{ended:?}");
}

#[test]
fn the_schedule_of_a_lab_begins_when_it_is_up() {
    let Some(host) = Host::new() else { return };
    let topology = "
name: pair
sites: [{name: east}, {name: west}]
links: [{between: [east, west], rtt: 20ms, schedule: [{at: 100ms, delay: 30ms, direction: reverse}, {at: 3600s, loss: 1%}]}]
";
    fs::write(host.path("pair.yaml"), topology).unwrap();
    host.succeed(&["up", "pair.yaml"]);
    let differs = || host.answer(&["link", "show"])["links"][1]["differs"].clone();
    wait_until("the change is made", || differs() == "delay 10ms → 30ms");
    // An hour is not waited for.
    host.succeed(&["down"]);
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
fn two_labs_with_the_same_addresses_do_not_meet() {
    let Some(host) = Host::new() else { return };
    if Command::new("ping").arg("-V").output().is_err() {
        println!("skipped: ping is not installed");
        return;
    }
    for (name, rtt) in [("near", "20ms"), ("far", "100ms")] {
        let topology = format!(
            "sites: [{{name: a}}, {{name: b}}]\nlinks: [{{between: [a, b], rate: 50Mbit, rtt: {rtt}}}]\n"
        );
        fs::write(host.path("two.yaml"), topology).unwrap();
        host.succeed(&["up", "two.yaml", "--name", name]);
    }
    let ended = host.longhaul(&["exec", "a-0", "--", "true"]);
    assert_eq!(ended.code, 2);
    assert!(
        ended
            .stderr
            .contains("several labs are up: name one of far, near"),
        "{ended:?}"
    );

    let least_rtt = |lab: &str| -> f64 {
        let ping = host.succeed(&[
            "exec", "--name", lab, "a-0", "--", "ping", "-4", "-c", "3", "-i", "0.2", "b-0",
        ]);
        let (_, figures) = ping.rsplit_once(" = ").unwrap();
        figures.split('/').next().unwrap().parse().unwrap()
    };
    let (near, far) = (least_rtt("near"), least_rtt("far"));
    assert!(
        (20.0..100.0).contains(&near) && far >= 100.0,
        "{near} and {far} ms"
    );

    host.succeed(&["down", "near"]);
    assert!(least_rtt("far") >= 100.0, "the other lab goes on");
    host.succeed(&["down", "far"]);
}

#[test]
fn two_runs_at_once_both_come_to_their_end() {
    let Some(host) = Host::new() else { return };
    let experiment = host.experiment(SHORT);
    let runs =
        ["one", "two"].map(|out| host.start(&["run", &experiment, "--out", out, "--no-charts"]));
    for run in runs {
        let ended = run.end();
        assert!(FAITHFUL_OR_NOT.contains(&ended.code), "{ended:?}");
    }
}

#[test]
fn ctrl_c_ends_a_run_and_keeps_what_it_had() {
    let Some(host) = Host::new() else { return };
    let before = host.traces();
    let run = endless(&host);
    let namespaces = host.namespaces();
    killpg(Pid::from_raw(run.pid()), Signal::SIGINT).unwrap();
    let ended = run.end();
    assert_eq!(ended.code, 130, "{ended:?}");
    assert!(
        ended
            .stdout
            .contains("interrupted: the results so far are whole"),
        "{ended:?}"
    );
    let result = result(&host.path("out"));
    assert_eq!(result["outcome"]["kind"], "interrupted");
    assert!(
        result["points"][0]["summaries"][0]["iterations"]
            .as_u64()
            .unwrap()
            >= 1
    );
    host.wait_until_gone(&namespaces);
    assert_eq!(host.traces(), before);
}

#[test]
fn ctrl_c_leaves_whole_captures() {
    let Some(host) = Host::new() else { return };
    let experiment = host.experiment(ENDLESS);
    let run = host.start(&[
        "run",
        &experiment,
        "--out",
        "out",
        "--no-charts",
        "--capture",
        "a-b",
    ]);
    let samples = host.path("out/samples.csv");
    wait_until("three iterations are done", || lines(&samples) > 3);
    killpg(Pid::from_raw(run.pid()), Signal::SIGINT).unwrap();
    let ended = run.end();
    assert_eq!(ended.code, 130, "{ended:?}");
    let result = result(&host.path("out"));
    let captures = result["points"][0]["captures"].as_array().unwrap();
    // With the kernel's qdiscs what is offered cannot be seen.
    assert!([2, 4].contains(&captures.len()), "{captures:?}");
    for capture in captures {
        let file = host.path("out").join(capture["file"].as_str().unwrap());
        assert_eq!(capture["packets"], pcap::packets(&file).len());
    }
}

#[test]
fn ctrl_c_ends_the_drawing_of_charts() {
    let Some(host) = Host::new() else { return };
    let mut run = host.start(&["run", &host.experiment(SHORT), "--out", "out"]);
    wait_until("charts are drawn", || {
        assert!(!run.has_ended(), "{:?}", run.stderr());
        run.stderr().contains("drawing the charts")
    });
    killpg(Pid::from_raw(run.pid()), Signal::SIGINT).unwrap();
    assert_eq!(run.end().code, 130);
    assert_eq!(result(&host.path("out"))["outcome"]["kind"], "finished");
}

#[test]
fn down_interrupts_a_run() {
    let Some(host) = Host::new() else { return };
    let run = endless(&host);
    host.succeed(&["down", &format!("run-{}", run.pid())]);
    assert_eq!(run.end().code, 130);
}

#[test]
fn a_killed_rank_ends_the_run_and_is_named() {
    let Some(host) = Host::new() else { return };
    let run = endless(&host);
    let is_rank = |pid: &i32| {
        fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.ends_with(b"\0__rank\0"))
    };
    let ranks: Vec<i32> = host.processes().into_iter().filter(is_rank).collect();
    assert_eq!(ranks.len(), 2);
    let namespaces = host.namespaces();
    signal(ranks[1], Signal::SIGKILL);
    let ended = run.end();
    assert_eq!(ended.code, 1, "{ended:?}");
    let named = ["rank 0 on a-0", "rank 1 on b-0"].iter().any(|rank| {
        ended
            .stdout
            .contains(&format!("failed: {rank} was killed by signal 9"))
    });
    assert!(named, "{}", ended.stdout);
    host.wait_until_gone(&namespaces);
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
