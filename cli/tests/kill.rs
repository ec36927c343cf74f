//! SIGKILL at random moments to any process of a run or a lab: nothing of it stays that `clean` does not remove, and the next
//! run is not disturbed.
//!
//! The moments come from a seed: `LONGHAUL_TEST_SEED`, or 1. A failure names it.

mod host;

use std::collections::BTreeSet;
use std::time::Duration;

use host::{FAITHFUL_OR_NOT, Host, Running, Traces, family, lines, wait_until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

/// One of the three processes that a lab consists of; the ranks are the lab process's children.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    Front,
    Init,
    Lab,
}

/// What a run does when it is killed, and for how long it does that at least.
#[derive(Clone, Copy, Debug)]
enum Phase {
    StartUp,
    Measuring,
    Workload,
    Charts,
}

const PHASES: [Phase; 4] = [
    Phase::StartUp,
    Phase::Measuring,
    Phase::Workload,
    Phase::Charts,
];

fn seed() -> u64 {
    let seed = std::env::var("LONGHAUL_TEST_SEED").ok();
    seed.map_or(1, |seed| {
        seed.parse().expect("LONGHAUL_TEST_SEED is a number")
    })
}

impl Victim {
    /// Kills it, if it is there yet; whether it was.
    fn kill(self, front: i32) -> bool {
        let pid = match (self, family(front)) {
            (Victim::Front, _) => front,
            (Victim::Init, Some([_, init, _])) => init,
            (Victim::Lab, Some([.., lab])) => lab,
            (_, None) => return false,
        };
        kill(Pid::from_raw(pid), Signal::SIGKILL).is_ok()
    }
}

impl Phase {
    /// Waits until the run is in it.
    fn wait(self, host: &Host, run: &mut Running) {
        let samples = host.path("killed/samples.csv");
        wait_until(&format!("{self:?}"), || {
            assert!(!run.has_ended(), "{self:?} never came: {}", run.stderr());
            match self {
                Phase::StartUp => true,
                Phase::Measuring => run.stderr().contains("measuring"),
                Phase::Workload => lines(&samples) > 1,
                Phase::Charts => run.stderr().contains("drawing the charts"),
            }
        });
    }

    /// How long after its begin it may be hit. Start-up takes 20 to 100 ms, measuring over a second, the workload (see
    /// [`workload`](Self::workload)) as long as nobody ends it, charts a second or more.
    fn longest_wait(self) -> Duration {
        Duration::from_millis(match self {
            Phase::StartUp => 100,
            Phase::Measuring => 1000,
            Phase::Workload => 500,
            Phase::Charts => 300,
        })
    }

    fn workload(self) -> &'static str {
        match self {
            Phase::Charts => {
                "workload: {collective: all_reduce, sizes: [64KiB], iterations: 1, warmup: 0}"
            }
            _ => "workload: {collective: all_reduce, sizes: [64KiB], iterations: 100000}",
        }
    }
}

/// Kills `victim` once in every phase.
fn kill_runs(victim: Victim) {
    let Some(host) = Host::new() else { return };
    let mut random = ChaCha8Rng::seed_from_u64(seed() ^ victim as u64);
    let before = host.traces();
    for phase in PHASES {
        let after = random.random_range(Duration::ZERO..phase.longest_wait());
        let moment = format!("{victim:?} {after:?} into {phase:?}, seed {}", seed());
        let _ = std::fs::remove_dir_all(host.path("killed"));
        let experiment = host.experiment(phase.workload());
        let mut run = host.start(&["run", &experiment, "--out", "killed"]);
        let front = run.pid();
        phase.wait(&host, &mut run);
        std::thread::sleep(after);
        let namespaces = host.namespaces();
        // In start-up it may not be there yet.
        wait_until(&moment, || victim.kill(front));

        assert_eq!(run.end().code, 128 + 9, "{moment}");
        if let Phase::Workload | Phase::Charts = phase {
            let result = std::fs::read(host.path("killed/result.json")).unwrap();
            let result: Value = serde_json::from_slice(&result).unwrap();
            let kept = match phase {
                Phase::Charts => "finished",
                _ => "unfinished",
            };
            assert_eq!(result["outcome"]["kind"], kept, "{moment}");
        }
        host.wait_until_gone(&namespaces);
        let mut left = host.traces();
        // Only a front that was killed cannot give its name back.
        let name = format!("run-{front}");
        if victim == Victim::Front && left.registry == [name.as_str()] {
            let cleaned = host.answer(&["clean"]);
            assert_eq!(
                cleaned,
                json!({ "labs": [name], "namespaces": [] }),
                "{moment}"
            );
            left = host.traces();
        }
        assert_eq!(left, before, "{moment}");
    }
    let experiment = host.experiment(Phase::Charts.workload());
    let next = host.longhaul(&["run", &experiment, "--out", "next", "--no-charts"]);
    assert!(FAITHFUL_OR_NOT.contains(&next.code), "{next:?}");
}

#[test]
fn a_run_whose_front_is_killed_leaves_nothing() {
    kill_runs(Victim::Front);
}

#[test]
fn a_run_whose_init_is_killed_leaves_nothing() {
    kill_runs(Victim::Init);
}

#[test]
fn a_run_whose_lab_process_is_killed_leaves_nothing() {
    kill_runs(Victim::Lab);
}

/// What `up` leaves: names for `ip netns` if it is root's.
fn names(lab: &str, traces: &Traces) -> Vec<String> {
    let prefix = format!("lh-{lab}-");
    let of_lab = traces
        .netns_names
        .iter()
        .filter(|name| name.starts_with(&prefix));
    of_lab.cloned().collect()
}

fn front_of(host: &Host, lab: &str) -> i32 {
    let status: Value = host.answer(&["status", lab]);
    status["record"]["pid"]
        .as_i64()
        .unwrap()
        .try_into()
        .unwrap()
}

#[test]
fn clean_removes_exactly_what_a_killed_lab_left() {
    let Some(host) = Host::standard() else { return };
    host.succeed(&["up", "campus", "--name", "alive"]);
    let alive = host.traces();
    let living = host.namespaces();
    for victim in [Victim::Front, Victim::Init, Victim::Lab] {
        host.succeed(&["up", "metro", "--name", "victim"]);
        let named = names("victim", &host.traces());
        if nix::unistd::geteuid().is_root() {
            assert_eq!(named.len(), 6, "four hosts and two gateways have names");
        }
        let its_own: BTreeSet<_> = host.namespaces().difference(&living).cloned().collect();
        assert!(victim.kill(front_of(&host, "victim")));
        // The lab that lives has processes of this test, too.
        wait_until("no process is in the lab", || {
            host.namespaces().is_disjoint(&its_own)
        });
        wait_until("the lab is dead or gone", || {
            host.answer(&["status"]).to_string().contains("\"dead\"") || host.traces() == alive
        });

        let left = host.traces();
        let cleaned = host.answer(&["clean"]);
        match victim {
            Victim::Front => {
                assert_eq!(cleaned, json!({ "labs": ["victim"], "namespaces": named }))
            }
            // The front saw them die, and gave everything back.
            Victim::Init | Victim::Lab => {
                assert_eq!(left, alive, "{victim:?}");
                assert_eq!(cleaned, json!({ "labs": [], "namespaces": [] }));
            }
        }
        assert_eq!(host.traces(), alive, "{victim:?}");
    }
    assert_eq!(
        host.succeed(&["exec", "--name", "alive", "east-0", "--", "hostname"]),
        "east-0\n"
    );
    host.succeed(&["down", "alive"]);
    host.wait_until_gone(&living);
}

#[test]
fn an_up_that_is_killed_while_it_starts_can_be_taken_back() {
    let Some(host) = Host::standard() else { return };
    // The first lab of all makes /run/netns a mount of its own, which stays, as the first `ip netns add` does.
    host.succeed(&["up", "campus"]);
    host.succeed(&["down"]);
    let before = host.traces();
    let mut random = ChaCha8Rng::seed_from_u64(seed());
    for _ in 0..6 {
        let after = random.random_range(Duration::ZERO..Duration::from_millis(150));
        let moment = format!("{after:?} after its start, seed {}", seed());
        let up = host.start(&["up", "metro", "--name", "moment"]);
        std::thread::sleep(after);
        // It may have ended; until it is waited for, its id is no other's.
        kill(Pid::from_raw(up.pid()), Signal::SIGKILL).unwrap();
        assert!([0, 128 + 9].contains(&up.end().code), "{moment}");

        // The lab goes on by itself, or ends as it cannot tell anyone that it is up.
        let is_up = || host.answer(&["status"])[0]["detail"].is_object();
        wait_until(&moment, || host.processes().is_empty() || is_up());
        let namespaces = host.namespaces();
        if !host.processes().is_empty() {
            let down = host.longhaul(&["down", "moment"]);
            assert!([0, 2].contains(&down.code), "{moment}: {down:?}");
        }
        host.wait_until_gone(&namespaces);
        host.succeed(&["clean"]);
        assert_eq!(host.traces(), before, "{moment}");
    }
}
