//! How runs end: by themselves, by a signal, by a rank that dies.

use std::fs;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::{Value, json};

use super::host::{FAITHFUL_OR_NOT, Host, lines, wait_until};
use super::pcap::packets;
use super::support::{ENDLESS, SHORT, endless, result, signal};

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
        assert_eq!(capture["packets"], packets(&file).len());
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
    let ended = run.end();
    assert_eq!(ended.code, 130);
    assert!(ended.stdout.contains("results: "), "{ended:?}");
    assert_eq!(result(&host.path("out"))["outcome"]["kind"], "finished");
}

#[test]
fn ctrl_c_while_charts_are_drawn_leaves_json_whole() {
    let Some(host) = Host::new() else { return };
    let experiment = host.experiment(SHORT);
    let mut run = host.start(&["--json", "run", &experiment, "--out", "out"]);
    let charts = host.path("out/charts");
    wait_until("charts are drawn", || {
        assert!(!run.has_ended(), "{:?}", run.stderr());
        charts.exists()
    });
    killpg(Pid::from_raw(run.pid()), Signal::SIGINT).unwrap();
    let ended = run.end();
    assert_eq!(ended.code, 130, "{ended:?}");
    let answer: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(answer["result"]["outcome"]["kind"], "finished");
    assert_eq!(answer["charts"], json!([]));
}

#[test]
fn charts_that_cannot_be_drawn_hide_no_verdict() {
    let Some(host) = Host::new() else { return };
    for (out, json) in [("text", false), ("json", true)] {
        // Where the folder of the charts would be.
        let charts = host.path(out).join("charts");
        let workload = format!(
            "workload: {{command: {{command: [touch, {}]}}}}",
            charts.display()
        );
        let experiment = host.experiment(&workload);
        let mut arguments = vec!["run", &experiment, "--out", out];
        arguments.extend(json.then_some("--json"));
        let ended = host.longhaul(&arguments);
        let why = format!("cannot make the folder {}", charts.display());
        let verdict = if json {
            let answer: Value = serde_json::from_str(&ended.stdout).unwrap();
            let message = answer["error"]["message"].as_str().unwrap();
            assert!(message.contains(&why), "{message}");
            assert_eq!(answer["charts"], json!([]));
            answer["verdict"]["verdict"].as_str().unwrap().to_owned()
        } else {
            assert!(ended.stderr.contains(&why), "{ended:?}");
            let words = ["passed: ", "not faithful: "];
            let told = words.iter().find(|words| ended.stdout.contains(**words));
            (*told.unwrap()).to_owned()
        };
        // Of a run that was not faithful that is worse.
        let code = if verdict.contains("passed") { 2 } else { 4 };
        assert_eq!(ended.code, code, "{ended:?}");
    }
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
