//! The program as users have it, on kernels that few machines have: with netem, without it, without IPv6. Each is a
//! User-mode-Linux guest.
//!
//! Outside, this program boots a guest for each and itself in it; inside, it runs that guest's tests, which start the real
//! `longhaul`.

#[path = "../../emulator/tests/support/uml.rs"]
mod uml;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::Value;
use uml::{Guest, Module};

/// A kernel and what is tested on it.
struct Kernel {
    guest: Guest,
    tests: &'static [Test],
}

type Test = (&'static str, fn());

macro_rules! tests {
    ($($test:ident),* $(,)?) => { &[$((stringify!($test), $test as fn())),*] };
}

const KERNELS: [Kernel; 7] = [
    Kernel {
        guest: guest("with_netem", &[]),
        tests: tests![
            doctor_finds_netem,
            a_run_on_netem_is_faithful,
            auto_takes_netem,
            lossy_jittery_lanes_with_a_queue_in_packets_are_faithful,
            labs_in_the_background_come_up_one_after_another_and_leave_nothing,
        ],
    },
    Kernel {
        guest: guest("without_netem", &[("sch_netem", Module::LeftOut)]),
        tests: tests![netem_is_refused_with_a_remedy, auto_takes_the_relay],
    },
    Kernel {
        guest: guest("without_tbf", &[("sch_tbf", Module::LeftOut)]),
        tests: tests![netem_is_refused_with_a_remedy, auto_takes_the_relay],
    },
    Kernel {
        guest: guest("without_mirred", &[("act_mirred", Module::LeftOut)]),
        tests: tests![netem_is_refused_with_a_remedy, auto_takes_the_relay],
    },
    Kernel {
        guest: guest("without_matchall", &[("cls_matchall", Module::LeftOut)]),
        tests: tests![a_run_on_netem_is_faithful],
    },
    Kernel {
        guest: guest("without_ipv6", &[("ipv6", Module::LeftOut)]),
        tests: tests![labs_have_ipv4_alone, a_run_says_once_that_there_is_no_ipv6],
    },
    Kernel {
        guest: guest("with_ipv6_off", &[("ipv6", Module::With("disable=1"))]),
        tests: tests![labs_have_ipv4_alone],
    },
];

const fn guest(name: &'static str, modules: &'static [(&'static str, Module)]) -> Guest {
    Guest {
        name,
        memory: "512M",
        modules,
        timeout: Duration::from_secs(400),
    }
}

fn main() -> ExitCode {
    uml::init_if_guest();
    match uml::name() {
        Some(name) => inside(&name),
        None => outside(),
    }
}

/// One test for each kernel, which boots it.
fn outside() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    if !arguments.list
        && let Err(reason) = uml::kernel()
    {
        println!("skipped: {reason}");
        return ExitCode::SUCCESS;
    }
    let boot = |guest: Guest| {
        move || {
            let itself = std::env::current_exe()?;
            let output = guest.boot(&itself, &[])?;
            print!("{}", output.stdout);
            match output.code {
                0 => Ok(()),
                code => Err(Failed::from(format!("code {code}\n{}", output.stderr))),
            }
        }
    };
    let trials = KERNELS.map(|kernel| Trial::test(kernel.guest.name, boot(kernel.guest)));
    libtest_mimic::run(&arguments, trials.into()).exit_code()
}

fn inside(name: &str) -> ExitCode {
    let arguments = Arguments {
        test_threads: Some(1),
        ..Arguments::default()
    };
    let kernel = KERNELS.into_iter().find(|kernel| kernel.guest.name == name);
    let tests = kernel.expect("a kernel of this test").tests;
    let trials = tests.iter().map(|&(name, test)| {
        Trial::test(name, move || {
            test();
            Ok(())
        })
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

/// How `longhaul` ends where a link was not as described.
const UNFAITHFUL: i32 = 4;

/// What `longhaul` did.
struct Ran {
    code: i32,
    stdout: String,
    stderr: String,
}

fn longhaul(arguments: &[&str]) -> Ran {
    let output = Command::new(env!("CARGO_BIN_EXE_longhaul"))
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

impl Ran {
    #[track_caller]
    fn ends_with(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}\n{}", self.stdout, self.stderr);
        self
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap()
    }
}

/// The rest of a link's line, where nothing else is asked for. A guest carries 50 Mbit/s, too, but not while the machine
/// serves others.
const PLAIN: &str = "rate: 20Mbit";

/// Two sites of two hosts; `link` is the rest of their link's line.
fn topology(link: &str) -> String {
    format!(
        "sites: [{{name: east, hosts: 2}}, {{name: west, hosts: 2}}]\n\
         links: [{{between: [east, west], delay: 20ms, {link}}}]\n"
    )
}

/// An experiment on that topology, small enough for a kernel that runs as a process; its file.
fn experiment(name: &str, link: &str) -> PathBuf {
    let topology = topology(link).replace('\n', "\n  ");
    let text = format!(
        "name: {name}\n\
         topology:\n  {topology}\n\
         workload: {{collective: all_reduce, algorithm: ring, sizes: [16KiB, 64KiB], iterations: 2, warmup: 1}}\n\
         stacks: [cubic]\n"
    );
    let file = std::env::temp_dir().join(format!("{name}.yaml"));
    fs::write(&file, text).unwrap();
    file
}

/// Runs that experiment until its links are as described, but no more than three times: while the machine serves others,
/// they are not, and `longhaul` says so. The result, as the folder has it.
#[track_caller]
fn run(name: &str, link: &str, links: &str) -> (Ran, Value) {
    let file = experiment(name, link);
    let out = std::env::temp_dir().join(format!("{name}-results"));
    let run = || {
        let _ = fs::remove_dir_all(&out);
        longhaul(&[
            "run",
            file.to_str().unwrap(),
            "--links",
            links,
            "--no-charts",
            "--out",
            out.to_str().unwrap(),
        ])
    };
    let mut ran = run();
    for _ in 0..2 {
        if ran.code == UNFAITHFUL {
            println!("again, as the machine was too busy: {}", ran.stderr);
            ran = run();
        }
    }
    if ran.code == UNFAITHFUL {
        println!("\nskipped: this machine is too busy for a faithful guest");
    } else {
        ran = ran.ends_with(0);
    }
    let result = fs::read(out.join("result.json")).unwrap();
    let result: Value = serde_json::from_slice(&result).unwrap();
    (ran, result)
}

/// Every link was measured, as asked as far as a busy machine lets it, and every sum is right.
#[track_caller]
fn assert_faithful(ran: &Ran, result: &Value, quantities: &[(&str, usize)]) {
    assert_eq!(result["outcome"]["kind"], "finished", "{result}");
    let [point] = &result["points"].as_array().unwrap()[..] else {
        panic!("one point");
    };
    let fidelity = &point["fidelity"];
    assert_eq!(fidelity["faithful"], ran.code == 0, "{fidelity}");
    let checks = fidelity["checks"].as_array().unwrap();
    for &(quantity, channels) in quantities {
        let of = checks.iter().filter(|check| check["quantity"] == quantity);
        assert_eq!(of.count(), channels, "{quantity}: {fidelity}");
    }
    for check in checks {
        assert!(check["within"] == true || is_noise(check), "{check}");
    }
    let samples = point["samples"].as_array().unwrap();
    assert!(!samples.is_empty() && samples.iter().all(|sample| sample["wrong"] == 0));
}

/// Whether other work on the machine can have brought a link off by that much: packets late, never early, and slow, never fast.
fn is_noise(check: &Value) -> bool {
    let [asked, measured] = ["asked", "measured"].map(|of| check[of].as_f64().unwrap());
    match check["quantity"].as_str().unwrap() {
        "one-way delay" | "jitter" => (asked..asked + 20e3).contains(&measured), // us
        "rate" => (asked / 2.0..asked).contains(&measured),
        _ => false,
    }
}

fn doctor_finds_netem() {
    for name in ["netem", "tbf", "ingress, mirred, matchall or u32", "veth"] {
        assert_eq!(capability(name)["present"], "works", "{name}");
    }
}

/// What `doctor` says of a capability of that name.
fn capability(name: &str) -> Value {
    let found = longhaul(&["doctor", "--json"]).ends_with(0).json();
    assert_eq!(found["labs"], true);
    let capabilities = found["capabilities"].as_array().unwrap();
    let one = capabilities.iter().find(|one| one["name"] == name);
    one.unwrap()["state"].clone()
}

fn a_run_on_netem_is_faithful() {
    let (ran, result) = run("plain", PLAIN, "netem");
    assert_eq!(result["environment"]["links"], "netem");
    assert_faithful(
        &ran,
        &result,
        &[
            ("one-way delay", 2),
            ("rate", 2),
            ("loss", 2),
            ("jitter", 2),
        ],
    );
}

fn auto_takes_netem() {
    assert_eq!(engine_by_default(), "netem");
}

fn lossy_jittery_lanes_with_a_queue_in_packets_are_faithful() {
    let link = "rate: 20Mbit, lanes: 2, loss: 1%, queue: 100p, jitter: {deviation: 3ms, distribution: pareto}";
    let (ran, result) = run("rough", link, "netem");
    assert_faithful(
        &ran,
        &result,
        &[
            ("one-way delay", 4),
            ("rate", 4),
            ("loss", 4),
            ("jitter", 4),
        ],
    );
    let channels = result["points"][0]["channels"].as_array().unwrap();
    let lost: u64 = channels
        .iter()
        .map(|one| one["losses"].as_u64().unwrap())
        .sum();
    assert!(lost > 0, "{channels:?}");
}

fn labs_in_the_background_come_up_one_after_another_and_leave_nothing() {
    let file = std::env::temp_dir().join("pair.yaml");
    fs::write(&file, topology(PLAIN)).unwrap();
    let before = what_labs_could_leave();
    for name in ["first", "second"] {
        longhaul(&[
            "up",
            file.to_str().unwrap(),
            "--name",
            name,
            "--links",
            "netem",
        ])
        .ends_with(0);
        let status = longhaul(&["status", name, "--json"]).ends_with(0).json();
        assert_eq!(status["detail"]["engine"], "netem", "{status}");
        let program = ["exec", "--name", name, "east-0", "--", "sh", "-c"];
        let address = longhaul(&[&program[..], &["getent ahostsv4 west-0"]].concat()).ends_with(0);
        assert!(address.stdout.contains("10.2.0.1"), "{}", address.stdout);
        longhaul(&[&program[..], &["exit 7"]].concat()).ends_with(7);
        longhaul(&["down", name]).ends_with(0);
    }
    assert_eq!(what_labs_could_leave(), before);
    assert_eq!(
        longhaul(&["status", "--json"]).ends_with(0).json(),
        Value::Array(vec![])
    );
}

/// Interfaces, mounts, names of namespaces, and processes of `longhaul`'s.
fn what_labs_could_leave() -> Vec<String> {
    let names = |folder: &str| -> Vec<String> {
        let entries = fs::read_dir(folder).into_iter().flatten();
        entries
            .map(|entry| format!("{folder}/{}", entry.unwrap().file_name().display()))
            .collect()
    };
    let mut left = [names("/sys/class/net"), names("/run/netns")].concat();
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    // The folder of names stays what `ip netns` makes it, too: a mount of its own.
    let others = |mount: &&str| !mount.contains(" /run/netns ");
    left.extend(mounts.lines().filter(others).map(str::to_owned));
    let binary = Path::new(env!("CARGO_BIN_EXE_longhaul"));
    let runs = |process: &String| {
        fs::read_link(Path::new(process).join("exe")).is_ok_and(|exe| exe == binary)
    };
    left.extend(names("/proc").into_iter().filter(runs));
    left
}

fn netem_is_refused_with_a_remedy() {
    let file = experiment("refused", PLAIN);
    let out = std::env::temp_dir().join("refused-results");
    let ran = longhaul(&[
        "run",
        file.to_str().unwrap(),
        "--links",
        "netem",
        "--out",
        out.to_str().unwrap(),
    ])
    .ends_with(3);
    let (name, module) = match &*uml::name().unwrap() {
        "without_netem" => ("netem", "sch_netem"),
        "without_tbf" => ("tbf", "sch_tbf"),
        _ => ("ingress, mirred, matchall or u32", "act_mirred"),
    };
    for text in ["this kernel does not have it", module, "--links relay"] {
        assert!(ran.stderr.contains(text), "{}", ran.stderr);
    }
    let missing = &capability(name)["missing"];
    assert!(
        missing["remedy"].as_str().unwrap().contains(module),
        "{missing}"
    );
}

fn auto_takes_the_relay() {
    assert_eq!(engine_by_default(), "relay");
}

/// The engine of a lab that was asked for none.
fn engine_by_default() -> Value {
    let file = std::env::temp_dir().join("pair.yaml");
    fs::write(&file, topology(PLAIN)).unwrap();
    longhaul(&["up", file.to_str().unwrap(), "--name", "any"]).ends_with(0);
    let status = longhaul(&["status", "any", "--json"]).ends_with(0).json();
    longhaul(&["down", "any"]).ends_with(0);
    status["detail"]["engine"].clone()
}

fn labs_have_ipv4_alone() {
    let file = std::env::temp_dir().join("pair.yaml");
    fs::write(&file, topology(PLAIN)).unwrap();
    longhaul(&["up", file.to_str().unwrap(), "--name", "old"]).ends_with(0);
    let status = longhaul(&["status", "old", "--json"]).ends_with(0).json();
    for node in status["detail"]["nodes"].as_array().unwrap() {
        assert!(node["ipv4"].is_string() && node["ipv6"].is_null(), "{node}");
    }
    let hosts = longhaul(&["exec", "east-0", "--", "cat", "/etc/hosts"]).ends_with(0);
    assert!(hosts.stdout.contains("10.2.0.1 west-0") && !hosts.stdout.contains("::"));
    longhaul(&["down", "old"]).ends_with(0);
    assert!(capability("IPv6")["missing"].is_object());
}

fn a_run_says_once_that_there_is_no_ipv6() {
    let (ran, result) = run("old", PLAIN, "netem");
    assert_faithful(&ran, &result, &[("one-way delay", 2)]);
    assert_eq!(ran.stderr.matches("no IPv6").count(), 1, "{}", ran.stderr);
}
