//! The `distance` law as a congestion control of the kernel: there for whoever is in a lab with it, and gone with the last one.
//! Most of it is of a build with the feature `bpf`, which `ci/test` makes where it can.

mod host;

use host::Host;

const SHORT: &str = "
stacks: [distance]
workload: {collective: all_reduce, sizes: [64KiB], iterations: 5, warmup: 1}";

const UP: [&str; 4] = ["up", "campus", "--congestion-control", "distance"];

#[test]
fn without_the_law_a_stack_of_it_is_told_the_way_out() {
    let Some(host) = Host::of_nobody() else {
        return;
    };
    let ended = host.longhaul(&["run", &host.experiment(SHORT), "--out", "out"]);
    assert_eq!((ended.code, &*ended.stdout), (3, ""), "{ended:?}");
    let reason = "error: the stack `distance` cannot be used: ";
    assert!(ended.stderr.starts_with(reason), "{}", ended.stderr);
    // Whatever is missing, this works.
    assert!(
        ended.stderr.contains("`transport: message`"),
        "{}",
        ended.stderr
    );
    assert!(!host.path("out").exists());

    // Without the feature, the build; else, a kernel without descriptions of its types, or the user.
    let ended = host.longhaul(&UP);
    assert_eq!(ended.code, 3, "{ended:?}");
    let reason = "error: the lab campus did not come up: th";
    assert!(ended.stderr.starts_with(reason), "{}", ended.stderr);
    assert!(ended.stderr.contains("help: "), "{}", ended.stderr);
}

#[cfg(feature = "bpf")]
mod with_the_law {
    use std::fs;
    use std::process::Command;
    use std::sync::{Mutex, MutexGuard, PoisonError};

    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;
    use serde_json::Value;

    use super::host::{FAITHFUL_OR_NOT, Host, family, has_ended, wait_until};
    use super::{SHORT, UP};

    const NAME: &str = "distance";

    /// Whether the kernel has the law now. The names are the same in every namespace.
    fn registered() -> bool {
        fs::read_to_string("/proc/sys/net/ipv4/tcp_available_congestion_control")
            .unwrap()
            .split_whitespace()
            .any(|name| name == NAME)
    }

    /// A host where the law can be had and nobody has it; the names are the machine's, so one test at a time.
    fn host() -> Option<(Host, MutexGuard<'static, ()>)> {
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let host = Host::new()?;
        let doctor: Value =
            serde_json::from_str(&host.longhaul(&["doctor", "--json"]).stdout).unwrap();
        let capabilities = doctor["capabilities"].as_array().unwrap();
        let law = capabilities
            .iter()
            .find(|capability| capability["name"] == "distance in TCP")
            .unwrap();
        if let Some(missing) = law["state"].get("missing") {
            println!("skipped: {}", missing["reason"].as_str().unwrap());
            return None;
        }
        wait_until("no lab of this machine has the law", || !registered());
        Some((host, turn))
    }

    fn default_in(host: &Host, lab: &str, node: &str) -> String {
        let file = "/proc/sys/net/ipv4/tcp_congestion_control";
        let text = host.succeed(&["exec", "--name", lab, node, "--", "cat", file]);
        text.trim().to_owned()
    }

    #[test]
    fn a_run_and_a_lab_share_the_law_and_the_last_takes_it_away() {
        let Some((host, _turn)) = host() else { return };
        host.succeed(&UP);
        assert!(registered());
        assert_eq!(default_in(&host, "campus", "east-0"), NAME);

        let ended = host.longhaul(&[
            "run",
            &host.experiment(SHORT),
            "--out",
            "out",
            "--no-charts",
        ]);
        assert!(FAITHFUL_OR_NOT.contains(&ended.code), "{ended:?}");
        // It was the run's, and still is the lab's.
        assert!(registered());
        host.succeed(&["up", "metro", "--congestion-control", NAME]);
        host.succeed(&["down", "campus"]);
        assert!(registered());
        assert_eq!(default_in(&host, "metro", "frankfurt-0"), NAME);
        host.succeed(&["down", "metro"]);
        wait_until("the law is gone", || !registered());

        let ended = host.longhaul(&[
            "run",
            &host.experiment(SHORT),
            "--out",
            "alone",
            "--no-charts",
        ]);
        assert!(FAITHFUL_OR_NOT.contains(&ended.code), "{ended:?}");
        assert!(!registered());
    }

    #[test]
    fn labs_that_start_at_once_all_have_the_law() {
        let Some((host, _turn)) = host() else { return };
        let names = ["one", "two", "three"];
        let up = |name: &&str| host.start(&[&UP[..], &["--name", name]].concat());
        let starting: Vec<_> = names.iter().map(up).collect();
        for lab in starting {
            let ended = lab.end();
            assert_eq!(ended.code, 0, "{ended:?}");
        }
        for name in names {
            assert_eq!(default_in(&host, name, "west-0"), NAME);
            assert!(registered());
            host.succeed(&["down", name]);
        }
        wait_until("the law is gone", || !registered());
    }

    #[test]
    fn the_law_does_not_outlive_a_lab_that_is_killed() {
        let Some((host, _turn)) = host() else { return };
        for victim in 0..3 {
            host.succeed(&UP);
            assert!(registered());
            let status: Value = host.answer(&["status", "campus"]);
            let front = status["record"]["pid"].as_i64().unwrap();
            let processes = family(front.try_into().unwrap()).unwrap();
            kill(Pid::from_raw(processes[victim]), Signal::SIGKILL).unwrap();
            wait_until("the law is gone", || !registered());
            wait_until("the lab is gone", || processes.iter().all(has_ended));
            host.succeed(&["clean"]);
        }
    }

    #[test]
    fn programs_that_know_nothing_of_it_fill_the_line_and_no_queue() {
        let Some((host, _turn)) = host() else { return };
        if Command::new("iperf3").arg("--version").output().is_err() {
            println!("skipped: iperf3 is not installed");
            return;
        }
        let workload = "
stacks: [distance]
workload:
  command:
    command: [iperf3, --client, a-0, --time, '5', --json]
    per_host: {a-0: {command: [iperf3, --server], background: true}}";
        let ended = host.longhaul(&[
            "run",
            &host.experiment(workload),
            "--out",
            "out",
            "--no-charts",
        ]);
        assert!(FAITHFUL_OR_NOT.contains(&ended.code), "{ended:?}");
        let log = fs::read(host.path("out/logs/b-0.log")).unwrap();
        let iperf3: Value = serde_json::from_slice(&log).unwrap();
        assert_eq!(iperf3["end"]["sender_tcp_congestion"], NAME);
        let rate = iperf3["end"]["sum_received"]["bits_per_second"].as_f64();
        assert!(rate.unwrap() > 0.75 * 50e6, "{rate:?}");
        let result: Value =
            serde_json::from_slice(&fs::read(host.path("out/result.json")).unwrap()).unwrap();
        let delays = result["points"][0]["delays"].as_array().unwrap();
        let forward = delays.iter().find(|delay| delay["from"] == "b").unwrap();
        // The way takes 10 ms, and the queue holds 20 ms more: who fills queues is above 20 ms for half of the time.
        let median = forward["delay_us"]["p50"].as_f64().unwrap();
        assert!(median < 15e3, "{forward}");
    }
}
