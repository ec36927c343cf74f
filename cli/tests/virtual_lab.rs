//! Virtual labs through the command line: exact, the same bytes whatever else the machine does, and nothing left behind.
//!
//! They need the lab kernel, which `ci/test` builds; without it every test here says so and is skipped.

mod host;
#[path = "../../emulator/tests/support/pcap.rs"]
mod pcap;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use host::{has_lab_kernel, lines, wait_until};
use serde_json::Value;

const LONGHAUL: &str = env!("CARGO_BIN_EXE_longhaul");

/// Random in every way that a link can be, and short.
const EXPERIMENT: &str = "
name: dice
description: a small all_reduce over links that lose and delay at random
seed: 7
topology:
  name: dice
  sites: [{name: a, hosts: 2}, {name: b, hosts: 1}]
  links:
    - {between: [a, b], lanes: 2, rate: 200Mbit, delay: 10ms, loss: 0.1%, jitter: 1ms}
stacks: [cubic]
workload: {collective: all_reduce, sizes: [1MiB], iterations: 3, warmup: 1}
";

/// The command, and a runtime folder of its own.
struct Longhaul {
    folder: tempfile::TempDir,
}

impl Longhaul {
    /// `None`, having said why, where there is no lab kernel.
    fn new() -> Option<Self> {
        if !has_lab_kernel() {
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("dice.yaml"), EXPERIMENT).unwrap();
        Some(Longhaul { folder })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(LONGHAUL);
        command
            .args(args)
            .current_dir(self.folder.path())
            .env("LONGHAUL_RUNTIME_DIR", self.path("runtime"));
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// What is in the runtime folder: the folders of labs that live or died.
    fn labs(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path("runtime")).into_iter().flatten();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| !name.starts_with('.'))
            .collect()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// An experiment that runs a line of shell on one of two hosts.
fn program(name: &str, line: &str) -> String {
    format!(
        "
name: {name}
description: a program on a host
topology: {{name: pair, sites: [{{name: a, hosts: 1}}, {{name: b, hosts: 1}}], links: [{{between: [a, b], rate: 100Mbit, delay: 5ms}}]}}
stacks: [cubic]
workload: {{command: {{command: [sh, -c, '{line}'], hosts: [a-0]}}}}
"
    )
}

/// Keeps a CPU busy until dropped.
struct Load(Arc<AtomicBool>, Vec<std::thread::JoinHandle<()>>);

impl Load {
    fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let spin = |stop: Arc<AtomicBool>| {
            move || {
                while !stop.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            }
        };
        let threads = (0..2).map(|_| std::thread::spawn(spin(Arc::clone(&stop))));
        let threads = threads.collect();
        Load(stop, threads)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
        for thread in self.1.drain(..) {
            let _ = thread.join();
        }
    }
}

/// All files of a result, without the section that may differ.
fn bytes_of(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, files);
            } else {
                files.push(path);
            }
        }
    }
    let mut files = Vec::new();
    collect(folder, &mut files);
    files.sort();
    let read = |path: PathBuf| {
        let mut bytes = fs::read(&path).unwrap();
        if path.ends_with("result.json") {
            let mut result: Value = serde_json::from_slice(&bytes).unwrap();
            result
                .as_object_mut()
                .unwrap()
                .remove("run_details")
                .unwrap();
            bytes = serde_json::to_vec(&result).unwrap();
        }
        (path.strip_prefix(folder).unwrap().to_owned(), bytes)
    };
    files.into_iter().map(read).collect()
}

#[test]
fn a_run_gives_the_same_bytes_on_a_busy_machine_and_another_seed_does_not() {
    for links in ["netem", "relay"] {
        let Some(longhaul) = Longhaul::new() else {
            return;
        };
        let run = |out: &str, seed: &str| {
            let args = [
                "run",
                "dice.yaml",
                "--lab",
                "virtual",
                "--links",
                links,
                "--no-charts",
                "--capture",
                "a-b/0",
                "--seed",
                seed,
                "--out",
                out,
            ];
            let done = longhaul.run(&args);
            assert!(done.status.success(), "{links}: {}", text(&done.stderr));
            bytes_of(&longhaul.path(out))
        };
        let first = run("first", "7");
        let names: Vec<_> = first
            .iter()
            .map(|(name, _)| name.display().to_string())
            .collect();
        for expected in ["result.json", "samples.csv", "telemetry.csv"] {
            assert!(names.iter().any(|name| name == expected), "{names:?}");
        }
        assert!(
            names.iter().any(|name| name.ends_with(".pcap")),
            "{names:?}"
        );
        let load = Load::start();
        assert!(
            run("second-with-a-longer-name", "7") == first,
            "{links}: a busy machine shows"
        );
        drop(load);
        assert!(
            run("another", "9") != first,
            "{links}: the seed changes nothing"
        );
        assert!(longhaul.labs().is_empty(), "{:?}", longhaul.labs());
    }
}

/// Takes whatever is pushed to it, at a free port; the requests, head and body.
fn collector() -> (std::net::SocketAddr, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, requests) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let mut length = 0;
            loop {
                let mut line = String::new();
                stream.read_line(&mut line).unwrap();
                let line = line.trim_end().to_lowercase();
                if let Some(value) = line.strip_prefix("content-length: ") {
                    length = value.parse().unwrap();
                }
                if line.is_empty() {
                    break;
                }
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).unwrap();
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
            stream.get_mut().write_all(answer).unwrap();
            if sender.send(text(&body)).is_err() {
                return;
            }
        }
    });
    (address, requests)
}

#[test]
fn who_watches_a_run_sees_it_go_and_changes_not_a_byte_of_it() {
    let Some(longhaul) = Longhaul::new() else {
        return;
    };
    let args = |out| {
        [
            "run",
            "dice.yaml",
            "--lab",
            "virtual",
            "--no-charts",
            "--capture",
            "a-b/0",
            "--set",
            "workload.iterations=12",
            "--out",
            out,
        ]
    };
    let done = longhaul.run(&args("alone"));
    assert!(done.status.success(), "{}", text(&done.stderr));

    let (address, pushed) = collector();
    let url = format!("http://{address}");
    let mut command = longhaul.command(&args("watched"));
    command.args(["--otlp", &url]).stderr(Stdio::piped());
    let mut run = command.stdout(Stdio::null()).spawn().unwrap();
    let name = format!("run-{}", run.id());
    let (mut seen, mut refused) = (Vec::new(), false);
    while run.try_wait().unwrap().is_none() {
        let told = longhaul.run(&["top", &name, "--json"]);
        let told: Value = serde_json::from_slice(&told.stdout).unwrap();
        // Not there yet, booting, or gone.
        let Some(at_s) = told["reading"]["at_s"].as_f64() else {
            assert!(told["error"]["message"].is_string(), "{told}");
            continue;
        };
        let channels = told["reading"]["channels"].as_array().unwrap();
        if channels.is_empty() {
            continue;
        }
        assert_eq!(channels.len(), 4, "two lanes each way");
        let counted = channels.iter().map(|one| &one["counters"]["bytes"]);
        let bytes: u64 = counted.map(|bytes| bytes.as_u64().unwrap()).sum();
        seen.push((at_s, bytes));
        if !std::mem::replace(&mut refused, true) {
            let status = longhaul.run(&["--json", "status", &name]);
            let status: Value = serde_json::from_slice(&status.stdout).unwrap();
            // Unless it has just ended.
            if let Some(passed) = status["virtual"]["virtual_seconds"].as_f64() {
                assert!(passed >= at_s, "{status}");
                assert_eq!(status["run"]["points"], 1, "{status}");
            }
            let set = longhaul.run(&["link", "set", "--name", &name, "a", "b", "delay=1ms"]);
            assert_eq!(set.status.code(), Some(2), "{set:?}");
            assert!(text(&set.stderr).contains("schedule:"), "{set:?}");
        }
    }
    let done = run.wait_with_output().unwrap();
    assert!(done.status.success(), "{}", text(&done.stderr));
    assert!(seen.is_sorted(), "time and counters only rise: {seen:?}");
    seen.dedup();
    assert!(seen.len() > 1, "{seen:?}");
    let pushed: Vec<String> = pushed.try_iter().collect();
    assert!(
        pushed.iter().any(|body| body.contains("longhaul.link.io")),
        "{pushed:?}"
    );

    let virtual_seconds = |out: &str| {
        let text = fs::read(longhaul.path(out).join("result.json")).unwrap();
        let result: Value = serde_json::from_slice(&text).unwrap();
        result["run_details"]["virtual_lab"]["virtual_seconds"].as_f64()
    };
    assert!(virtual_seconds("alone").is_some());
    assert_eq!(virtual_seconds("watched"), virtual_seconds("alone"));
    let bytes = |out| bytes_of(&longhaul.path(out));
    assert!(
        bytes("watched") == bytes("alone"),
        "what is watched comes out otherwise"
    );
    wait_until("nothing is left of it", || longhaul.labs().is_empty());
}

#[test]
fn an_empty_link_is_exact_to_the_microsecond() {
    for links in ["netem", "relay"] {
        let Some(longhaul) = Longhaul::new() else {
            return;
        };
        let args = [
            "verify",
            "pair.yaml",
            "--lab",
            "virtual",
            "--links",
            links,
            "--duration",
            "1s",
            "--json",
        ];
        let topology = "
name: pair
sites: [{name: a, hosts: 1}, {name: b, hosts: 1}]
links: [{between: [a, b], rate: 100Mbit, delay: 12345us}]
";
        fs::write(longhaul.path("pair.yaml"), topology).unwrap();
        let done = longhaul.run(&args);
        assert!(done.status.success(), "{}", text(&done.stderr));
        let report: Value = serde_json::from_slice(&done.stdout).unwrap();
        let rows = report["verification"]["rows"].as_array().unwrap();
        let of = |quantity: &str| {
            let rows = rows.iter().filter(|row| row["quantity"] == quantity);
            rows.map(|row| {
                (
                    row["asked"].as_f64().unwrap(),
                    row["measured"].as_f64().unwrap(),
                )
            })
            .collect::<Vec<_>>()
        };
        let delays = of("one-way delay");
        assert_eq!(delays.len(), 2);
        for (asked, measured) in delays {
            assert!(
                (measured - asked).abs() < 1.0,
                "{links}: {measured} µs for {asked}"
            );
        }
        for (asked, measured) in of("rate") {
            assert!(
                (measured / asked - 1.0).abs() < 1e-3,
                "{links}: {measured} bit/s for {asked}"
            );
        }
    }
}

#[test]
fn short_packets_take_their_time_on_a_line_for_long_ones() {
    let Some(longhaul) = Longhaul::new() else {
        return;
    };
    let experiment = "
name: short
description: packets of 2000 bytes where 9000 may come, from hosts that send 16 at once
topology:
  name: jumbo
  mtu: 9000
  sites: [{name: a, hosts: 1}, {name: b, hosts: 1}]
  links: [{between: [a, b], rate: 100Mbit, delay: 1ms, queue: {limit: 500KB, red: {min: 30KB, max: 90KB, chance: 100%}}}]
stacks: [{name: short, transport: message, congestion_control: distance, mtu: 2000}]
workload: {collective: broadcast, sizes: [1MiB], placements: [in-place], iterations: 1, warmup: 0}
";
    fs::write(longhaul.path("short.yaml"), experiment).unwrap();
    let args = "run short.yaml --lab virtual --links netem --no-charts --out out --capture a>b";
    let done = longhaul.run(&args.split(' ').collect::<Vec<_>>());
    assert!(done.status.success(), "{}", text(&done.stderr));
    let file = longhaul.path("out/captures/a_b_0_delivered.pcap");
    let mut packets = pcap::packets(&file);
    packets.retain(|packet| packet.length > 1000);
    assert!(packets.len() > 500, "{}", packets.len());
    // Up to the nanoseconds that clocks and stamps take.
    let of_each = |length: usize| Duration::from_nanos(length as u64 * 80 - 20);
    let too_close: Vec<_> = packets
        .windows(2)
        .map(|pair| (pair[0].at, pair[1].at - pair[0].at, of_each(pair[0].length)))
        .filter(|(_, gap, time)| gap < time)
        .collect();
    assert_eq!(too_close, []);
}

#[test]
fn a_result_says_that_computing_is_free_and_how_fast_time_passed() {
    let Some(longhaul) = Longhaul::new() else {
        return;
    };
    let done = longhaul.run(&[
        "run",
        "dice.yaml",
        "--lab",
        "virtual",
        "--no-charts",
        "--out",
        "out",
        "--json",
    ]);
    assert!(done.status.success(), "{}", text(&done.stderr));
    let printed: Value = serde_json::from_slice(&done.stdout).unwrap();
    let kept: Value =
        serde_json::from_slice(&fs::read(longhaul.path("out/result.json")).unwrap()).unwrap();
    assert_eq!(printed["result"], kept);
    let environment = &kept["environment"];
    assert_eq!(environment["lab"], "virtual");
    assert_eq!(environment["computing"], "free");
    assert_eq!(environment["machine"]["cpus"], 1);
    let lab = &kept["run_details"]["virtual_lab"];
    assert!(lab["virtual_seconds"].as_f64().unwrap() > 1.0, "{lab}");
    assert!(
        lab["peak_memory_bytes"].as_u64().unwrap() > 1 << 20,
        "{lab}"
    );
}

#[test]
fn programs_of_this_machine_run_inside_with_nothing_of_its_environment() {
    let Some(longhaul) = Longhaul::new() else {
        return;
    };
    let experiment = program(
        "look",
        "env; date +%Y; ls /root /home; cat given.txt; test ! -e dice.yaml",
    );
    fs::write(longhaul.path("look.yaml"), experiment).unwrap();
    fs::write(longhaul.path("given.txt"), "given\n").unwrap();
    let mut command = longhaul.command(&[
        "run",
        "look.yaml",
        "--lab",
        "virtual",
        "--no-charts",
        "--out",
        "out",
        "--mount",
        "given.txt",
        "--env",
        "NAMED=yes",
    ]);
    let done = command
        .env("SECRET", "leaked")
        .env("LANG", "de_DE.UTF-8")
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", text(&done.stderr));
    let seen = fs::read_to_string(longhaul.path("out/logs/a-0.log")).unwrap();
    for expected in ["LANG=C.UTF-8", "NAMED=yes", "2026", "given"] {
        assert!(
            seen.lines().any(|line| line == expected),
            "{expected}: {seen}"
        );
    }
    assert!(
        !seen.contains("SECRET") && !seen.contains("de_DE"),
        "{seen}"
    );
}

#[test]
fn a_program_that_spins_is_named_and_given_up() {
    let Some(longhaul) = Longhaul::new() else {
        return;
    };
    let experiment = program("spin", "while :; do :; done");
    fs::write(longhaul.path("spin.yaml"), experiment).unwrap();
    let done = longhaul.run(&[
        "run",
        "spin.yaml",
        "--lab",
        "virtual",
        "--no-charts",
        "--out",
        "out",
        "--patience",
        "4s",
    ]);
    assert_eq!(done.status.code(), Some(1), "{}", text(&done.stderr));
    let said = text(&done.stderr);
    let named = said.lines().any(|line| {
        line.contains("no virtual time has passed while `") && line.contains("sh` computed for")
    });
    assert!(named, "{said}");
    assert!(longhaul.labs().is_empty());
}

#[test]
fn an_interrupted_run_keeps_what_it_found_and_a_killed_one_leaves_nothing_running() {
    let Some(longhaul) = Longhaul::new() else {
        return;
    };
    let start = |out: &str| {
        let mut command = longhaul.command(&[
            "run",
            "dice.yaml",
            "--lab",
            "virtual",
            "--no-charts",
            "--out",
            out,
            "--set",
            "workload.iterations=5000",
        ]);
        command
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .process_group(0);
        let child = command.spawn().unwrap();
        let samples = longhaul.path(out).join("samples.csv");
        wait_until("samples come", || lines(&samples) >= 5);
        child
    };
    let signal = |child: &std::process::Child, signal| {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(child.id().cast_signed()), signal)
            .unwrap();
    };
    let interrupted = start("interrupted");
    signal(&interrupted, nix::sys::signal::Signal::SIGINT);
    let done = interrupted.wait_with_output().unwrap();
    assert_eq!(done.status.code(), Some(130), "{}", text(&done.stderr));
    let result: Value =
        serde_json::from_slice(&fs::read(longhaul.path("interrupted/result.json")).unwrap())
            .unwrap();
    assert_eq!(result["outcome"]["kind"], "interrupted");
    assert!(result["run_details"]["wall_seconds"].is_number());
    assert!(longhaul.labs().is_empty());

    let mut killed = start("killed");
    signal(&killed, nix::sys::signal::Signal::SIGKILL);
    killed.wait().unwrap();
    // The kernel's own folder, by which its processes are known.
    let [lab] = &longhaul.labs()[..] else {
        panic!("{:?}", longhaul.labs());
    };
    let folder = longhaul.path("runtime").join(lab).join("guest");
    wait_until("its processes have ended", || !is_used(&folder));
    assert!(longhaul.run(&["clean"]).status.success());
    assert!(longhaul.labs().is_empty());
}

#[test]
fn an_interrupt_while_charts_are_drawn_ends_that() {
    let Some(longhaul) = Longhaul::new() else {
        return;
    };
    let mut command = longhaul.command(&["run", "dice.yaml", "--lab", "virtual", "--out", "out"]);
    command.stderr(Stdio::piped()).stdout(Stdio::piped());
    let run = command.spawn().unwrap();
    let charts = longhaul.path("out/charts");
    wait_until("charts are drawn", || charts.is_dir());
    let pid = nix::unistd::Pid::from_raw(run.id().cast_signed());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
    let done = run.wait_with_output().unwrap();
    assert_eq!(done.status.signal(), Some(2), "{}", text(&done.stdout));
    assert!(!longhaul.path("out/report.html").exists());
    assert!(longhaul.path("out/result.json").is_file());
    assert!(longhaul.labs().is_empty());
}

/// What runs `experiment` once more to compare.
fn twice(experiment: &str) -> [&str; 8] {
    [
        "run",
        experiment,
        "--lab",
        "virtual",
        "--check-determinism",
        "--no-charts",
        "--out",
        "out",
    ]
}

#[test]
fn a_second_run_that_is_interrupted_says_nothing_of_the_first_and_leaves_nothing() {
    let Some(longhaul) = Longhaul::new() else {
        return;
    };
    let iterations = ["--set", "workload.iterations=40"];
    let mut command = longhaul.command(&[&twice("dice.yaml"), &iterations[..]].concat());
    command.stderr(Stdio::null()).stdout(Stdio::piped());
    let child = command.spawn().unwrap();
    let again = longhaul.path("out-again");
    wait_until("the second run has samples", || {
        lines(&again.join("samples.csv")) >= 5
    });
    let pid = nix::unistd::Pid::from_raw(child.id().cast_signed());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
    let done = child.wait_with_output().unwrap();
    assert_eq!(done.status.code(), Some(130), "{}", text(&done.stdout));
    assert!(!text(&done.stdout).contains("NOT the same"));
    assert!(!again.exists());
    assert!(longhaul.path("out/result.json").is_file());
}

#[test]
fn a_second_run_that_fails_says_why() {
    let Some(longhaul) = Longhaul::new() else {
        return;
    };
    // Each run sees the folder for its own results.
    let again = longhaul.path("out-again");
    let line = format!("test ! -e {}", again.display());
    let workload = program("workload", &line);
    fs::write(longhaul.path("twice.yaml"), workload).unwrap();
    let arguments = twice("twice.yaml");
    let done = longhaul.run(&arguments);
    let (told, said) = (text(&done.stdout), text(&done.stderr));
    assert_eq!(done.status.code(), Some(1), "{told}{said}");
    assert!(
        said.contains("the second run did not end as the first"),
        "{said}"
    );
    assert!(told.contains("failed: "), "{told}");
    assert!(!told.contains("NOT the same"), "{told}");

    for folder in ["out", "out-again"] {
        fs::remove_dir_all(longhaul.path(folder)).unwrap();
    }
    let done = longhaul.run(&[&["--json"], &arguments[..]].concat());
    let document: Value = serde_json::from_slice(&done.stdout).unwrap();
    let message = document["error"]["message"].as_str().unwrap();
    assert!(message.contains("as the first: failed: "), "{message}");
    assert_eq!(document["verdict"]["verdict"], "passed");
}

#[test]
fn two_runs_that_are_the_same_are_told_with_what_came_of_the_first() {
    let Some(longhaul) = Longhaul::new() else {
        return;
    };
    let done = longhaul.run(&[&["--json"], &twice("dice.yaml")[..]].concat());
    let document: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(document["verdict"]["verdict"], "passed", "{document}");
    assert_eq!(document["comparison"]["count"], 0);
    // The second is removed, as there is nothing in it that the first has not.
    let out = longhaul.path("out");
    assert_eq!(document["comparison"]["a"], out.to_str().unwrap());
    assert_eq!(document["comparison"]["b"], Value::Null);
    assert!(!longhaul.path("out-again").exists());
}

#[test]
fn a_run_whose_kernel_is_cut_off_ends_and_says_so() {
    let Some(longhaul) = Longhaul::new() else {
        return;
    };
    let mut command = longhaul.command(&["run", "dice.yaml", "--lab", "virtual", "--no-charts"]);
    command.args(["--out", "cut", "--set", "workload.iterations=5000"]);
    command.stderr(Stdio::piped()).stdout(Stdio::null());
    let run = command.spawn().unwrap();
    let samples = longhaul.path("cut").join("samples.csv");
    wait_until("samples come", || lines(&samples) >= 5);
    let [lab] = &longhaul.labs()[..] else {
        panic!("{:?}", longhaul.labs());
    };
    let folder = longhaul.path("runtime").join(lab);
    fs::rename(folder.join("guest"), folder.join("elsewhere")).unwrap();
    let done = run.wait_with_output().unwrap();
    assert_eq!(done.status.code(), Some(1), "{}", text(&done.stderr));
    assert!(
        text(&done.stderr).contains("guest is gone"),
        "{}",
        text(&done.stderr)
    );
    let elsewhere = folder.join("elsewhere");
    wait_until("its processes have ended", || !is_used(&elsewhere));
    assert!(longhaul.labs().is_empty());
}

/// Whether a living process has its working folder there.
fn is_used(folder: &Path) -> bool {
    let processes = fs::read_dir("/proc").unwrap();
    processes
        .filter_map(|entry| fs::read_link(entry.ok()?.path().join("cwd")).ok())
        // Of one that is gone, the link says so, after its path.
        .any(|cwd| {
            cwd.to_string_lossy()
                .starts_with(&*folder.to_string_lossy())
        })
}

#[test]
fn what_is_missing_or_too_little_is_said_before_anything_starts() {
    let Some(longhaul) = Longhaul::new() else {
        return;
    };
    let run = |extra: &[&str]| {
        let args = [
            &["run", "dice.yaml", "--lab", "virtual", "--out", "out"],
            extra,
        ]
        .concat();
        longhaul.command(&args)
    };
    let none = run(&[])
        .env("XDG_CACHE_HOME", longhaul.path("empty"))
        .output()
        .unwrap();
    assert_eq!(none.status.code(), Some(3));
    assert!(
        text(&none.stderr).contains("longhaul kernel build"),
        "{}",
        text(&none.stderr)
    );

    let fat = [
        "--set",
        "topology.links.*.rate=400Gbit",
        "--set",
        "topology.links.*.delay=900ms",
    ];
    let much = run(&fat).output().unwrap();
    assert_eq!(much.status.code(), Some(3), "{}", text(&much.stderr));
    assert!(
        text(&much.stderr).contains("of memory and the machine has"),
        "{}",
        text(&much.stderr)
    );

    let little = run(&["--memory", "8MiB"]).output().unwrap();
    assert!(!little.status.success());
    assert!(
        text(&little.stderr).contains("lab kernel"),
        "{}",
        text(&little.stderr)
    );

    let unset = run(&["--env", "NO_SUCH_VARIABLE"]).output().unwrap();
    assert_eq!(unset.status.code(), Some(2));
    let twice = longhaul.run(&["run", "dice.yaml", "--check-determinism"]);
    assert_eq!(twice.status.code(), Some(2));
    assert!(text(&twice.stderr).contains("--lab virtual"));
    assert!(!longhaul.path("out").exists(), "an empty folder is left");
    assert!(longhaul.labs().is_empty());
}
