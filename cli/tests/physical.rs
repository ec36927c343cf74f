//! Physical labs over a real sshd: on loopback, and between the hosts of a lab that is up.
//!
//! The servers are the tests' own, with keys, a port and a cache folder of their own, and mark what they start, so that what is
//! left behind is seen.

mod host;

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use host::{Ended, FAITHFUL_OR_NOT, Host, Running, wait_until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use serde_json::Value;

const SSHD: &str = "/usr/sbin/sshd";

/// A short workload over both transports.
const QUICK: &str = "
stacks: [{name: tcp}, {name: message, transport: message, congestion_control: distance}]
workload: {collective: all_reduce, sizes: [64KiB], iterations: 3, warmup: 1, patience: 20s}";

/// One that nobody waits for.
const ENDLESS: &str = "
workload: {collective: all_reduce, sizes: [1MiB], iterations: 1000000, patience: 20s}";

/// A server of ssh that lets one key in.
struct Server {
    folder: PathBuf,
    port: u16,
    /// Killed with this: sshd's name for itself stands where its environment and so the test's mark did.
    process: Option<Child>,
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// A host for the test; `None`, with the reason printed, if there can be no server on it.
fn host() -> Option<Host> {
    if !Path::new(SSHD).exists() {
        println!("skipped: no sshd (openssh-server)");
        return None;
    }
    if !geteuid().is_root() {
        println!("skipped: needs root to run an sshd of its own");
        return None;
    }
    let host = Host::new()?;
    // Where sshd locks itself in; here, /run is the test's own.
    fs::create_dir_all("/run/sshd").unwrap();
    // A network namespace of the test's own, in which nothing is up yet.
    let up = Command::new("ip")
        .args(["link", "set", "lo", "up"])
        .status();
    assert!(up.is_ok_and(|status| status.success()), "no loopback");
    Some(host)
}

impl Server {
    /// Its files; it does not run yet.
    fn new(host: &Host, name: &str) -> Self {
        let folder = host.path(name);
        fs::create_dir(&folder).unwrap();
        for key in ["host", "user", "stranger"] {
            let made = Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-f", key])
                .current_dir(&folder)
                .status();
            assert!(made.unwrap().success());
        }
        fs::copy(folder.join("user.pub"), folder.join("authorized")).unwrap();
        // Free a moment ago, and so most likely free.
        let port = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = port.local_addr().unwrap().port();
        let known = |key: &str| fs::read_to_string(folder.join(key)).unwrap();
        let all = |key: &str| format!("* {}", known(key));
        fs::write(folder.join("known"), all("host.pub")).unwrap();
        fs::write(folder.join("other"), all("stranger.pub")).unwrap();
        let folder_text = folder.display();
        let marks = host.command(&[]);
        let mark = marks
            .get_envs()
            .find(|(name, _)| *name == "LONGHAUL_TEST")
            .and_then(|(_, value)| value)
            .unwrap();
        let text = format!(
            "Port {port}\nHostKey {folder_text}/host\nAuthorizedKeysFile {folder_text}/authorized\nPidFile none\nUsePAM no\n\
             StrictModes no\nPasswordAuthentication no\nSetEnv XDG_CACHE_HOME={folder_text}/cache LONGHAUL_TEST={} PATH={folder_text}/bin:/usr/bin:/bin\n",
            mark.display()
        );
        fs::write(folder.join("sshd_config"), text).unwrap();
        Server {
            folder,
            port,
            process: None,
        }
    }

    /// Its command, with which it stays in the foreground.
    fn command(&self) -> [String; 5] {
        let config = self.folder.join("sshd_config").display().to_string();
        [SSHD, "-D", "-e", "-f", &config].map(str::to_owned)
    }

    /// Runs it on this test's host until that goes.
    fn start(&mut self, host: &Host) {
        let [program, arguments @ ..] = self.command();
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null());
        for (name, value) in host.command(&[]).get_envs() {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        let log = fs::File::create(self.folder.join("log")).unwrap();
        self.process = Some(command.stderr(log).spawn().unwrap());
        let port = self.port;
        wait_until("sshd listens", || {
            std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
    }

    /// A host of an inventory that this lets in.
    fn entry(&self, destination: &str, address: &str) -> String {
        let (folder, port) = (self.folder.display(), self.port);
        format!(
            "{{launch: {{ssh: {{destination: {destination}, port: {port}, identity: {folder}/user, known_hosts: {folder}/known}}}}, \
             address: {address}}}"
        )
    }

    /// The copy of longhaul that it was sent.
    fn copy(&self) -> PathBuf {
        let cache = self.folder.join("cache/longhaul");
        let digest = fs::read_dir(cache).unwrap().next().unwrap().unwrap();
        digest.path().join("longhaul")
    }
}

/// An inventory of two sites with a host each.
fn inventory(host: &Host, a: &str, b: &str, links: &str) -> String {
    let path = host.path("machines.yaml");
    let text = format!(
        "name: pair\nsites:\n  - {{name: a, hosts: [{a}]}}\n  - {{name: b, hosts: [{b}]}}\n{links}\n"
    );
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Two hosts on loopback behind one server.
fn on_loopback(host: &Host, server: &Server) -> String {
    let entry = |address| server.entry("127.0.0.1", address);
    inventory(host, &entry("127.0.0.1"), &entry("127.0.0.2"), "")
}

fn arguments<'a>(experiment: &'a str, inventory: &'a str, out: &'a str) -> [&'a str; 10] {
    [
        "run",
        experiment,
        "--lab",
        "physical",
        "--inventory",
        inventory,
        "--out",
        out,
        "--no-charts",
        "--json",
    ]
}

/// Runs it to its end.
fn run(host: &Host, inventory: &str, workload: &str, out: &str) -> Ended {
    let experiment = host.experiment(workload);
    host.longhaul(&arguments(&experiment, inventory, out))
}

/// Runs it, which must fail so; the error and its help.
fn refused(host: &Host, inventory: &str, code: i32) -> String {
    static COUNT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let ended = run(host, inventory, QUICK, &format!("refused-{number}"));
    assert_eq!(ended.code, code, "{ended:?}");
    let error: Value = serde_json::from_str(&ended.stdout).unwrap();
    let error = error.get("error").unwrap_or(&error);
    format!("{} [{}]", error["message"].as_str().unwrap(), error["help"])
}

/// All that the servers were asked to start has ended.
fn nothing_is_left(host: &Host) {
    let there = |pid: &i32| {
        let text = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        ["__rank", "__host"].iter().any(|part| text.contains(part))
    };
    wait_until("every rank and host process has ended", || {
        !host.processes().iter().any(there)
    });
}

fn check_result(folder: &Path) -> Value {
    let text = fs::read_to_string(folder.join("result.json")).unwrap();
    let result: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(result["environment"]["lab"], "physical");
    for point in result["points"].as_array().unwrap() {
        let samples = point["samples"].as_array().unwrap();
        assert_eq!(samples.len(), 8, "{point}");
        assert!(samples.iter().all(|sample| sample["wrong"] == 0));
        let delays = point["delays"].as_array().unwrap();
        assert!(delays.iter().all(|delay| delay["lost"] == 0), "{delays:?}");
    }
    result
}

/// Neither loopback nor a veth has a driver that counts, but the kernel does.
fn assert_nics_counted(host: &Host, out: &str, result: &Value, nic: &str) {
    for point in result["points"].as_array().unwrap() {
        let sent = |name: &str| {
            let counters = point["nics"].as_array().unwrap();
            let sent = counters.iter().find(|one| {
                one["host"] == name && one["nic"] == nic && one["counter"] == "tx_bytes"
            });
            let sent = sent.unwrap_or_else(|| panic!("{counters:?}"));
            assert_eq!(sent["metric"], "longhaul.nic.io");
            assert_eq!(sent["attributes"]["network.io.direction"], "transmit");
            assert_eq!(sent["unit"], "By");
            sent["growth"].as_f64().unwrap()
        };
        // Four iterations in both placements of two ranks' all_reduce of 64 KiB: each sends all of it.
        let least = 8.0 * f64::from(64 << 10);
        assert!(sent("a-0") >= least && sent("b-0") >= least, "{point}");
    }
    let telemetry = fs::read_to_string(host.path(out).join("telemetry.csv")).unwrap();
    let mut rows = telemetry
        .lines()
        .filter(|row| row.contains(&format!(",nic,a-0/{nic},longhaul.nic.io/transmit,")));
    let value = |row: &str| row.rsplit(',').next().unwrap().parse::<f64>().unwrap();
    let first = value(rows.next().expect("a row"));
    assert!(first > 0.0 && rows.all(|row| value(row) > 0.0));
    let table = host.succeed(&["report", out, "--export", "nics"]);
    assert!(
        table.contains(&format!(",a-0,{nic},,tx_bytes,longhaul.nic.io,By,")),
        "{table}"
    );
}

#[test]
fn an_experiment_runs_on_machines_that_ssh_reaches_and_longhaul_is_copied_there_once() {
    let Some(host) = host() else { return };
    let mut server = Server::new(&host, "server");
    server.start(&host);
    let machines = on_loopback(&host, &server);
    let ended = run(&host, &machines, QUICK, "first");
    assert!(FAITHFUL_OR_NOT.contains(&ended.code), "{ended:?}");
    let result = check_result(&host.path("first"));
    let hosts = result["environment"]["hosts"].as_object().unwrap();
    assert_eq!(hosts.keys().collect::<Vec<_>>(), ["a-0", "b-0"]);
    assert!(
        !hosts["a-0"]["machine"]["kernel"]
            .as_str()
            .unwrap()
            .is_empty()
    );
    let notes = result["points"][0]["fidelity"]["notes"].to_string();
    assert!(
        notes.contains("ranks go by their machines' clocks"),
        "{notes}"
    );
    assert!(
        notes.contains("measured: a>b lane 0: one-way delay"),
        "{notes}"
    );
    assert_nics_counted(&host, "first", &result, "lo");
    nothing_is_left(&host);

    let copied = fs::metadata(server.copy()).unwrap().modified().unwrap();
    let again = run(&host, &machines, QUICK, "second");
    assert!(FAITHFUL_OR_NOT.contains(&again.code), "{again:?}");
    assert_eq!(
        fs::metadata(server.copy()).unwrap().modified().unwrap(),
        copied
    );

    // What lies there in its place is found out before anything runs on it.
    let copy = server.copy();
    fs::write(&copy, "#!/bin/sh\necho hello\n").unwrap();
    let error = refused(&host, &machines, 3);
    assert!(
        error.contains("is no longhaul of this version: \\\"hello\\\"")
            || error.contains("is no longhaul of this version: \"hello\""),
        "{error}"
    );
    fs::write(&copy, "#!/bin/sh\necho '{\"Here\":{\"version\":\"0.0.1\",\"digest\":\"ffffffffff\",\"machine\":{}}}'\n").unwrap();
    let error = refused(&host, &machines, 3);
    assert!(
        error.contains("has longhaul 0.0.1 (ffffffff), and this is")
            && error.contains("may be removed"),
        "{error}"
    );
    nothing_is_left(&host);
}

#[test]
fn who_cannot_be_reached_is_told_with_the_way_out() {
    let Some(host) = host() else { return };
    let mut server = Server::new(&host, "server");
    let good = server.entry("127.0.0.1", "127.0.0.1");
    let with = |from: &str, to: &str| {
        let changed = good
            .replace(from, to)
            .replace("address: 127.0.0.1", "address: 127.0.0.2");
        inventory(&host, "{launch: local, address: 127.0.0.1}", &changed, "")
    };
    let error = refused(&host, &with("", ""), 3);
    assert!(
        error.starts_with("b-0 cannot be used: ssh ended with code 255"),
        "{error}"
    );
    assert!(
        error.contains("Connection refused") && error.contains("`port`"),
        "{error}"
    );
    server.start(&host);
    let error = refused(&host, &with("/user", "/stranger"), 3);
    assert!(
        error.contains("Permission denied") && error.contains("`identity`"),
        "{error}"
    );
    let error = refused(&host, &with("/known", "/other"), 3);
    assert!(
        error.contains("Host key verification failed") && error.contains("`known_hosts`"),
        "{error}"
    );
    let error = refused(&host, &with("}}, ", "}}, binary: /no/longhaul, "), 3);
    assert!(
        error.contains("code 127") && error.contains("`binary`"),
        "{error}"
    );
    let error = refused(
        &host,
        &with("}}, address: 127.0.0.1", "}}, address: 192.0.2.7"),
        3,
    );
    assert!(
        error.contains("b-0 cannot be probed by its address 192.0.2.7"),
        "{error}"
    );
    nothing_is_left(&host);
}

/// Waits until ranks are at work.
fn started(host: &Host, server: &Server) -> Running {
    let machines = on_loopback(host, server);
    let experiment = host.experiment(ENDLESS);
    let running = host.start(&arguments(&experiment, &machines, "endless"));
    let samples = host.path("endless/samples.csv");
    wait_until("iterations are done", || {
        fs::read_to_string(&samples).is_ok_and(|text| text.lines().count() > 2)
    });
    running
}

#[test]
fn a_connection_that_is_cut_ends_the_run_and_what_it_had_started() {
    let Some(host) = host() else { return };
    let mut server = Server::new(&host, "server");
    server.start(&host);
    let running = started(&host, &server);
    let socket = "/b-0 ".to_owned();
    let ssh = host.processes().into_iter().find(|pid| {
        let text = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).replace('\0', " ");
        text.starts_with("ssh ") && text.contains(&socket) && text.contains("__host")
    });
    kill(
        Pid::from_raw(ssh.expect("the first connection to b-0")),
        Signal::SIGKILL,
    )
    .unwrap();
    let ended = running.end();
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.stdout.contains("b-0"), "{ended:?}");
    nothing_is_left(&host);
}

#[test]
fn an_interrupted_run_keeps_what_it_has_and_leaves_nothing_on_the_machines() {
    let Some(host) = host() else { return };
    let mut server = Server::new(&host, "server");
    server.start(&host);
    let running = started(&host, &server);
    // Whoever looks meanwhile sees how far it is, and what its machines send.
    let labs = host.answer(&["status", "--json"]);
    assert_eq!(labs[0]["record"]["lab"], "physical");
    assert_eq!(labs[0]["trouble"], Value::Null);
    let seen = host.answer(&["top", "--json"]);
    let reading = &seen["reading"];
    assert!(reading["run"]["done"].as_u64() > Some(0), "{seen}");
    assert_eq!(reading["run"]["ranks"].as_array().unwrap().len(), 2);
    // What the one machine of a site sends goes over the one link of it.
    let sent = |reading: &Value| {
        let channels = reading["channels"].as_array().unwrap();
        let lane = channels
            .iter()
            .find(|one| one["from"] == "a" && one["to"] == "b");
        lane.and_then(|lane| lane["counters"]["bytes"].as_u64())
    };
    let note = reading["note"].as_str().unwrap();
    assert!(note.contains("interfaces send and receive"), "{note}");
    let before = sent(reading).unwrap();
    wait_until("more has been sent", || {
        let now = host.answer(&["top", "--json"]);
        sent(&now["reading"]) > Some(before)
    });
    let view = host.succeed(&["top", "--once", "--interval", "1s"]);
    let row = view.lines().find(|line| line.starts_with("a > b")).unwrap();
    assert!(row.contains("bit/s"), "{view}");
    let set = host.longhaul(&["link", "set", "a", "b", "loss=1%"]);
    assert!(
        set.code == 2 && set.stderr.contains("cannot be changed"),
        "{set:?}"
    );
    // As a terminal does it: the whole group.
    kill(Pid::from_raw(-running.pid()), Signal::SIGINT).unwrap();
    let ended = running.end();
    assert_eq!(ended.code, 130, "{ended:?}");
    let text = fs::read_to_string(host.path("endless/result.json")).unwrap();
    let result: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(result["outcome"]["kind"], "interrupted");
    nothing_is_left(&host);
}

#[test]
fn a_machine_that_mpirun_reaches_is_as_good() {
    let Some(host) = host() else { return };
    let found = Command::new("mpirun").arg("--version").output();
    if !found.is_ok_and(|found| String::from_utf8_lossy(&found.stdout).contains("Open MPI")) {
        println!("skipped: no mpirun (openmpi-bin)");
        return;
    }
    let machine = "{launch: {mpirun: {host: localhost}}, address: 127.0.0.1}";
    let local = "{launch: local, address: 127.0.0.2}";
    let machines = inventory(&host, machine, local, "");
    let experiment = host.experiment(QUICK);
    let run = |out: &str, is_allowed: bool| {
        let mut command = host.command(&arguments(&experiment, &machines, out));
        for name in ["OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"] {
            match is_allowed {
                true => command.env(name, "1"),
                false => command.env_remove(name),
            };
        }
        command.output().unwrap()
    };
    let refused = run("refused", false);
    assert_eq!(refused.status.code(), Some(3), "{refused:?}");
    let stdout = String::from_utf8_lossy(&refused.stdout);
    assert!(stdout.contains("OMPI_ALLOW_RUN_AS_ROOT"), "{stdout}");
    let ended = run("out", true);
    let code = ended.status.code().unwrap();
    assert!(FAITHFUL_OR_NOT.contains(&code), "{ended:?}");
    check_result(&host.path("out"));
    nothing_is_left(&host);
}

#[test]
fn a_killed_run_leaves_nothing_on_the_machines() {
    let Some(host) = host() else { return };
    let mut server = Server::new(&host, "server");
    server.start(&host);
    let running = started(&host, &server);
    kill(Pid::from_raw(running.pid()), Signal::SIGKILL).unwrap();
    running.end();
    nothing_is_left(&host);
}

#[test]
fn hosts_of_a_lab_with_a_server_each_are_machines_whose_way_is_as_described() {
    let Some(host) = host() else { return };
    let topology = "name: wan\nsites: [{name: a, hosts: 1}, {name: b, hosts: 1}]\n\
                    links: [{between: [a, b], rate: 50Mbit, rtt: 20ms}]\n";
    fs::write(host.path("wan.yaml"), topology).unwrap();
    host.succeed(&["up", "wan.yaml", "--name", "wan"]);
    let mut servers = Vec::new();
    for name in ["a", "b"] {
        let server = Server::new(&host, name);
        let command = server.command();
        let command: Vec<&str> = command.iter().map(String::as_str).collect();
        let place = format!("{name}-0");
        let start = [&["exec", "--name", "wan", &place, "--"], &command[..]].concat();
        servers.push((server, host.start(&start)));
    }
    // As the lab's hosts have them.
    let addresses = ["10.1.0.1", "10.2.0.1"];
    let [a, b] = [0, 1].map(|site| {
        let (server, _) = &servers[site];
        let probe = format!("exec 3<>/dev/tcp/{}/{}", addresses[site], server.port);
        wait_until("sshd listens in the lab", || {
            let tried =
                host.longhaul(&["exec", "--name", "wan", "a-0", "--", "bash", "-c", &probe]);
            tried.code == 0
        });
        // The same files are seen there, so none has to cross the link.
        let entry = server.entry(addresses[site], addresses[site]);
        entry.replace(
            "}}, ",
            &format!("}}}}, binary: {}, ", env!("CARGO_BIN_EXE_longhaul")),
        )
    });
    let through_the_lab = |links: &str, out: &str| {
        let machines = inventory(&host, &a, &b, links);
        let experiment = host.experiment(QUICK);
        let binary = env!("CARGO_BIN_EXE_longhaul");
        let typed = arguments(&experiment, &machines, out);
        let all = [&["exec", "--name", "wan", "a-0", "--", binary], &typed[..]].concat();
        host.longhaul(&all)
    };
    let ended = through_the_lab(
        "links: [{between: [a, b], rtt: 20ms, rate: 50Mbit}]",
        "right",
    );
    assert!(FAITHFUL_OR_NOT.contains(&ended.code), "{ended:?}");
    let result = check_result(&host.path("right"));
    assert_nics_counted(&host, "right", &result, "eth0");
    let checks = |result: &Value, quantity: &str| -> Vec<(f64, bool)> {
        let all = result["points"][0]["fidelity"]["checks"]
            .as_array()
            .unwrap();
        let those = all.iter().filter(|check| check["quantity"] == quantity);
        let figure = |check: &Value| (check["measured"].as_f64().unwrap(), check["within"] == true);
        those.map(figure).collect()
    };
    let round_trip = checks(&result, "round-trip delay");
    assert!(
        round_trip[0].1 && (20_000.0..22_000.0).contains(&round_trip[0].0),
        "{round_trip:?}"
    );
    assert!(
        checks(&result, "rate")
            .iter()
            .all(|(rate, _)| (40e6..60e6).contains(rate))
    );
    assert_eq!(checks(&result, "one-way delay").len(), 2);

    let ended = through_the_lab("links: [{between: [a, b], rtt: 60ms}]", "wrong");
    assert_eq!(ended.code, 4, "{ended:?}");
    assert!(ended.stdout.contains("correct the inventory"), "{ended:?}");
    nothing_is_left(&host);
    host.succeed(&["down", "wan"]);
    for (_, server) in servers {
        let _ = server.end();
    }
}

/// The programs of a switch with SONiC that are called there, as far as one profile takes them. A field of ConfigDB is a file.
const SONIC: [(&str, &str); 3] = [
    ("sudo", r#"[ "$1" = -n ] || exit 1; shift; exec "$@""#),
    (
        "sonic-cfggen",
        r#"[ "$*" = '-d --print-data' ] || exit 2
cd "$(dirname "$0")/../fields" || exit
printf '{"WRED_PROFILE":{"AZURE_LOSSLESS":{"ecn":"ecn_all"'
for field in *; do printf ',"%s":"%s"' "$field" "$(cat "$field")"; done
printf '}}}\n'"#,
    ),
    (
        "config",
        r#"cd "$(dirname "$0")/../fields" || exit
echo "$1 $3" >>../asked
[ "$1" = apply-patch ] || { echo 'Checkpoint created successfully. Checkpoint deleted successfully.'; exit; }
[ "$3" = --dry-run ] || { tr '{' '\n' <"$2"; echo; } | sed -n 's|.*AZURE_LOSSLESS/\([a-z_]*\)","value":"\([0-9]*\)".*|\1 \2|p' |
    while read -r field value; do echo "$value" >"$field"; done
echo 'Patch applied successfully.'"#,
    ),
];

#[test]
fn a_switch_with_sonic_is_set_and_put_back_over_ssh_as_its_inventory_says() {
    let Some(host) = host() else { return };
    let mut server = Server::new(&host, "server");
    fs::create_dir(server.folder.join("bin")).unwrap();
    fs::create_dir(server.folder.join("fields")).unwrap();
    for (name, text) in SONIC {
        let program = server.folder.join("bin").join(name);
        fs::write(&program, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(program, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let fields = ["green_min_threshold", "green_max_threshold"]
        .map(|field| server.folder.join("fields").join(field));
    for field in &fields {
        fs::write(field, "1000\n").unwrap();
    }
    let read = || {
        fields
            .each_ref()
            .map(|field| fs::read_to_string(field).unwrap())
    };
    let before = read();
    let (folder, port) = (server.folder.display(), server.port);
    let login = format!(
        "{{sonic: {{destination: 127.0.0.1, port: {port}, identity: {folder}/user, known_hosts: {folder}/known}}}}"
    );
    let machines = format!(
        "name: one\nsites: [{{name: a, hosts: [{{launch: local, address: 127.0.0.1}}]}}]\nswitches: [{{name: leaf2, login: {login}}}]\n"
    );
    fs::write(host.path("machines.yaml"), machines).unwrap();
    let settings = "inventory: machines.yaml\nswitches: [{name: leaf2, ecn: [{profile: AZURE_LOSSLESS, min: 150000, max: 1500000}]}]\n";
    fs::write(host.path("settings.yaml"), settings).unwrap();
    let journals = host.path("journals");
    let hardware = |arguments: &[&str]| {
        let journals = ["--journals", journals.to_str().unwrap()];
        host.longhaul(&[&["hardware"], arguments, &journals[..]].concat())
    };
    // Nobody is there yet.
    let refused = host.longhaul(&["hardware", "plan", "settings.yaml"]);
    assert_eq!(refused.code, 3, "{refused:?}");
    assert!(
        refused
            .stderr
            .contains("cannot be reached: ssh: connect to host 127.0.0.1"),
        "{refused:?}"
    );
    server.start(&host);
    let plan = host.succeed(&["hardware", "plan", "settings.yaml"]);
    assert!(
        plan.contains("1500000") && plan.contains("SONiC patch"),
        "{plan}"
    );
    assert_eq!(read(), before);
    let applied = hardware(&["apply", "settings.yaml"]);
    assert_eq!(applied.code, 0, "{applied:?}");
    assert_eq!(read(), ["150000\n", "1500000\n"]);
    let restored = hardware(&["restore"]);
    assert_eq!(restored.code, 0, "{restored:?}");
    assert_eq!(read(), before);
    let log = fs::read_to_string(server.folder.join("asked")).unwrap();
    let steps = "apply-patch --dry-run\ncheckpoint \napply-patch \ndelete-checkpoint \n";
    assert_eq!(log, steps.repeat(2));
}
