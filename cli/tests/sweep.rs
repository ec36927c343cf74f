//! `sweep`: parts run here and by a real Slurm of one node, started for the test, and read as one result; and ranks that its srun starts.

mod host;

use std::fs::{self, File, Permissions};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use host::{FAITHFUL_OR_NOT, Host, Running, has_lab_kernel, lines, only_child_of, wait_until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};

/// Three points that take no time: what they do is not what is tested here.
const WORKLOAD: &str = "workload: {collective: all_reduce, sizes: [64KiB], iterations: 2, warmup: 0, placements: [in-place]}
stacks: [cubic]
sweep: {topology.links.0.rate: [50Mbit, 60Mbit, 70Mbit]}";

/// The options of every part.
const IN_A_VIRTUAL_LAB: [&str; 4] = ["--", "--lab", "virtual", "--no-charts"];

/// A host with a lab kernel, and the experiment on it.
fn desk() -> Option<(Host, String)> {
    let host = Host::new()?;
    has_lab_kernel().then(|| {
        let experiment = host.experiment(WORKLOAD);
        (host, experiment)
    })
}

/// That the sweep in `out` is one result with every point, its seed among the rest as in one run of the whole.
fn holds_every_point(host: &Host, out: &str) {
    let csv = host.succeed(&["report", out, "--export", "csv"]);
    let rows: Vec<Vec<&str>> = csv.lines().map(|line| line.split(',').collect()).collect();
    let column = |name: &str| rows[0].iter().position(|found| *found == name).unwrap();
    let (point, settings) = (column("point"), column("settings"));
    let seen: Vec<_> = rows[1..]
        .iter()
        .map(|row| [row[point], row[settings]])
        .collect();
    let expected = [
        ["0", "links.0.rate=50Mbit"],
        ["1", "links.0.rate=60Mbit"],
        ["2", "links.0.rate=70Mbit"],
    ];
    assert_eq!(seen, expected);
    host.succeed(&["compare", out, out]);
}

#[test]
fn parts_that_were_run_here_are_one_result() {
    let Some((host, experiment)) = desk() else {
        return;
    };
    let mut arguments = vec!["sweep", &experiment, "--launcher", "local", "--out", "out"];
    arguments.extend(["--points-per-job", "2"]);
    arguments.extend(IN_A_VIRTUAL_LAB);
    let told = host.succeed(&arguments);
    assert!(told.contains("part 1 of 2: exit code 0"), "{told}");
    holds_every_point(&host, "out");

    // One of them is lost, and made again as the message says.
    fs::remove_dir_all(host.path("out/1")).unwrap();
    let ended = host.longhaul(&["compare", "out", "out"]);
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(
        ended.stderr.contains("point 2 of 3 is missing"),
        "{ended:?}"
    );
    let report = host.longhaul(&["report", "out"]);
    assert_eq!(report.code, 0, "{report:?}");
    assert!(
        report.stderr.contains("Point 2 of 3 is missing"),
        "{report:?}"
    );
    let mut again = Command::new("sh");
    again
        .args(["out/sweep.sh", "1"])
        .current_dir(host.path("."));
    let environment = host.command(&[]);
    again.envs(
        environment
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    assert!(again.output().unwrap().status.success());
    holds_every_point(&host, "out");
}

#[test]
fn a_part_that_fails_keeps_no_other_from_being_run() {
    let Some((host, _)) = desk() else { return };
    let experiment = host.experiment(
        "workload: {command: {command: ['true']}}
sweep: {workload.command.command: [['false'], ['true']]}",
    );
    let mut arguments = vec!["sweep", &experiment, "--launcher", "local", "--out", "out"];
    arguments.extend(IN_A_VIRTUAL_LAB);
    let ended = host.longhaul(&arguments);
    assert_eq!(ended.code, 1, "{ended:?}");
    for part in ["part 0 of 2: exit code 1", "part 1 of 2: exit code 0"] {
        assert!(ended.stdout.contains(part), "{ended:?}");
    }
}

/// A sweep whose first part has begun.
fn begun(host: &Host) -> Running {
    let experiment = host.experiment(WORKLOAD);
    let sweep = host.start(&["sweep", &experiment, "--launcher", "local", "--out", "out"]);
    let log = host.path("out/0.log");
    wait_until("the first part has begun", || lines(&log) > 1);
    sweep
}

#[test]
fn an_interrupt_ends_the_part_that_is_being_run_and_all() {
    let Some(host) = Host::new() else { return };
    let sweep = begun(&host);
    let namespaces = host.namespaces();
    kill(Pid::from_raw(sweep.pid()), Signal::SIGINT).unwrap();
    let ended = sweep.end();
    assert_eq!(ended.code, 130, "{ended:?}");
    host.wait_until_gone(&namespaces);
    assert!(!host.path("out/1").exists());
}

#[test]
fn a_part_that_is_killed_is_told_and_is_no_interrupt() {
    let Some(host) = Host::new() else { return };
    let sweep = begun(&host);
    let part = only_child_of(sweep.pid());
    kill(Pid::from_raw(part), Signal::SIGKILL).unwrap();
    let ended = sweep.end();
    assert_eq!(ended.code, 1, "{ended:?}");
    for part in ["part 0 of 3: killed by SIGKILL", "part 2 of 3: exit code "] {
        assert!(ended.stdout.contains(part), "{ended:?}");
    }
}

#[test]
fn parts_that_slurm_ran_are_one_result() {
    let Some((host, experiment)) = desk() else {
        return;
    };
    let Some(slurm) = Slurm::start(&host) else {
        return;
    };
    let sweep = |out: &str, options: &[&str]| {
        let mut arguments = vec!["sweep", &experiment, "--launcher", "slurm", "--out", out];
        arguments.extend(options);
        arguments.extend(IN_A_VIRTUAL_LAB);
        let mut command = host.command(&arguments);
        command
            .env("SLURM_CONF", &slurm.configuration)
            .output()
            .unwrap()
    };

    let refused = sweep("refused", &["--partition", "none-such"]);
    let stderr = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(3), "{stderr}");
    assert!(
        stderr.contains("invalid partition specified: none-such"),
        "{stderr}"
    );
    assert!(!host.path("refused").exists(), "nothing was begun");

    let submitted = sweep(
        "out",
        &["--partition", "test", "--cpus", "1", "--time", "5"],
    );
    assert!(submitted.status.success(), "{submitted:?}");
    let stdout = String::from_utf8_lossy(&submitted.stdout).into_owned();
    assert!(stdout.contains("3 parts of tiny"), "{stdout}");
    wait_until("every job has ended", || {
        slurm.told("squeue", &["--noheader"]).is_empty()
    });
    let logs: Vec<String> = (0..3)
        .map(|part| fs::read_to_string(host.path(&format!("out/{part}.log"))).unwrap_or_default())
        .collect();
    assert!(logs.iter().all(|log| log.contains("passed")), "{logs:#?}");
    holds_every_point(&host, "out");
}

#[test]
fn a_machine_that_srun_reaches_is_one_of_a_physical_lab() {
    let Some(host) = Host::new() else { return };
    let Some(slurm) = Slurm::start(&host) else {
        return;
    };
    let experiment = host.experiment(
        "workload: {collective: all_reduce, sizes: [64KiB], iterations: 2, warmup: 0, patience: 20s}",
    );
    let run = |launch: &str, out: &str| {
        let machines = host.path(&format!("{out}.yaml"));
        let text = format!(
            "name: pair
sites:
  - {{name: a, hosts: [{{launch: {{srun: {{{launch}}}}}, address: 127.0.0.1}}]}}
  - {{name: b, hosts: [{{launch: local, address: 127.0.0.2}}]}}
"
        );
        fs::write(&machines, text).unwrap();
        let machines = machines.to_str().unwrap();
        let arguments = [
            "run",
            &experiment,
            "--lab",
            "physical",
            "--inventory",
            machines,
        ];
        let options = ["--out", out, "--no-charts", "--json"];
        let mut command = host.command(&[&arguments[..], &options].concat());
        command
            .env("SLURM_CONF", &slurm.configuration)
            .env_remove("SLURM_JOB_ID");
        let ended = command.output().unwrap();
        let stdout = String::from_utf8_lossy(&ended.stdout).into_owned();
        (ended.status.code().unwrap(), stdout)
    };
    let node = &slurm.node;
    let job = slurm.told(
        "sbatch",
        &["--parsable", "--output=/dev/null", "--wrap=sleep 600"],
    );
    wait_until("the job has begun", || {
        slurm.told("squeue", &["--noheader", "--format=%T"]) == "RUNNING"
    });
    for (launch, expected) in [
        (format!("node: {node}"), "in which job"),
        (format!("node: {node}, job: 99999"), "look at `job`"),
        (format!("node: none-such, job: {job}"), "a-0 cannot be used"),
    ] {
        let (code, stdout) = run(&launch, "refused");
        assert_eq!(code, 3, "{stdout}");
        assert!(stdout.contains(expected), "{stdout}");
        let _ = fs::remove_dir_all(host.path("refused"));
    }

    let (code, stdout) = run(&format!("node: {node}, job: {job}"), "out");
    assert!(FAITHFUL_OR_NOT.contains(&code), "{stdout}");
    let text = fs::read_to_string(host.path("out/result.json")).unwrap();
    let result: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(result["outcome"]["kind"], "finished");
    let samples = result["points"][0]["samples"].as_array().unwrap();
    assert!(!samples.is_empty() && samples.iter().all(|sample| sample["wrong"] == 0));
    // The user's job stays, longhaul's steps do not.
    wait_until("every step but the job's own has ended", || {
        let steps = slurm.told("squeue", &["--noheader", "--steps", "--format=%i"]);
        !steps.lines().any(|step| !step.ends_with(".batch"))
    });
    assert_eq!(slurm.told("squeue", &["--noheader", "--format=%i"]), job);
    slurm.told("scancel", &[&job]);
    wait_until("the job has ended", || {
        slurm.told("squeue", &["--noheader"]).is_empty()
    });
}

#[test]
fn what_cannot_be_swept_is_told_before_anything_begins() {
    let folder = tempfile::tempdir().unwrap();
    let longhaul = |arguments: &[&str]| {
        let mut command = assert_cmd::Command::new(env!("CARGO_BIN_EXE_longhaul"));
        command
            .arg("sweep")
            .args(arguments)
            .current_dir(folder.path());
        command
    };
    for (arguments, code, told) in [
        (&["quickstart"][..], 2, "--launcher <LAUNCHER>"),
        (
            &["quickstat", "--launcher", "local"],
            2,
            "did you mean `quickstart`",
        ),
        (
            &["quickstart", "--launcher", "local", "--cpus", "2"],
            2,
            "leave them out, or take --launcher slurm",
        ),
        (
            &["quickstart", "--launcher", "local", "--points-per-job", "0"],
            2,
            "--points-per-job",
        ),
        (
            &["quickstart", "--launcher", "local", "--", "--lab", "none"],
            2,
            "every part would be refused: invalid value 'none' for '--lab <LAB>'",
        ),
        (
            &["quickstart", "--launcher", "local", "--", "--out", "x"],
            2,
            "--out and --points are what a sweep gives to each part",
        ),
        (
            &["quickstart", "--launcher", "slurm", "--out", "a b"],
            2,
            "sbatch would not read it as it stands",
        ),
        (
            &["quickstart", "--launcher", "slurm", "--set", "seed"],
            2,
            "--set seed: no value",
        ),
        (
            &[
                "quickstart",
                "--launcher",
                "local",
                "--",
                "--lab",
                "physical",
                "--inventory",
                "none.yaml",
            ],
            2,
            "none.yaml",
        ),
    ] {
        let assert = longhaul(arguments).assert().code(code);
        assert.stderr(predicates::str::contains(told));
    }
    // Where there is no sbatch.
    longhaul(&["quickstart", "--launcher", "slurm", "--out", "out"])
        .env("PATH", folder.path())
        .assert()
        .code(3)
        .stderr(predicates::str::contains("there is no sbatch here"));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn the_points_of_an_experiment_have_numbers_to_run_them_by() {
    let longhaul = |arguments: &[&str]| {
        let mut command = assert_cmd::Command::new(env!("CARGO_BIN_EXE_longhaul"));
        command.args(arguments);
        command
    };
    longhaul(&["experiments", "show", "buffer-sweep", "--points"])
        .assert()
        .success()
        .stdout(
            predicates::str::is_match(r"(?m)^ +7 +transatlantic +bbr +0 +links\.0\.queue=4bdp")
                .unwrap(),
        );
    for (points, told) in [
        ("8", "buffer-sweep has 8 points"),
        ("5-9", "buffer-sweep has 8 points"),
        ("3-2", "as in 2-5"),
        ("x", "as in 2-5"),
    ] {
        longhaul(&["run", "buffer-sweep", "--points", points])
            .assert()
            .code(2)
            .stderr(predicates::str::contains(told));
    }
}

/// A Slurm of one node out of the distribution's packages, on this test's loopback, in its folder. It ends when it is dropped.
struct Slurm {
    node: String,
    configuration: PathBuf,
    daemons: Vec<Child>,
}

impl Slurm {
    /// `None`, with the reason printed, if it cannot be had.
    fn start(host: &Host) -> Option<Self> {
        if !geteuid().is_root() {
            println!("skipped: needs root to start slurmd");
            return None;
        }
        const PROGRAMS: [&str; 4] = ["munged", "slurmctld", "slurmd", "sbatch"];
        if let Some(missing) = PROGRAMS.iter().find(|program| !is_installed(program)) {
            println!("skipped: no {missing} (Debian: slurmctld, slurmd, slurm-client and munge)");
            return None;
        }
        let folder = host.path("slurm");
        let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
        for name in ["", "state", "spool", "munge"] {
            fs::create_dir(folder.join(name)).unwrap();
        }
        let mut key = [0; 1024];
        File::open("/dev/urandom")
            .unwrap()
            .read_exact(&mut key)
            .unwrap();
        fs::write(path("munge/key"), key).unwrap();
        for (name, mode) in [("munge", 0o700), ("munge/key", 0o600)] {
            fs::set_permissions(path(name), Permissions::from_mode(mode)).unwrap();
        }
        // The test's own network namespace is new. Slurm's daemons ask getaddrinfo(3) with AI_ADDRCONFIG, to which the loopback's
        // own address is none, so they get one of those for documentation (RFC 5737).
        for change in ["link set dev lo up", "address add 192.0.2.1/32 dev lo"] {
            let done = Command::new("ip").args(change.split(' ')).status();
            assert!(done.is_ok_and(|status| status.success()), "ip {change}");
        }
        let node = nix::unistd::gethostname().unwrap().into_string().unwrap();
        let node = node.split('.').next().unwrap();
        let cpus = std::thread::available_parallelism().unwrap();
        let configuration = folder.join("slurm.conf");
        let text = format!(
            "ClusterName=test
SlurmctldHost={node}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={socket}
StateSaveLocation={state}
SlurmdSpoolDir={spool}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
NodeName={node} NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN
PartitionName=test Nodes={node} Default=YES
",
            socket = path("munge/socket"),
            state = path("state"),
            spool = path("spool"),
            folder = folder.display(),
        );
        fs::write(&configuration, text).unwrap();
        let mut slurm = Slurm {
            node: node.to_owned(),
            configuration,
            daemons: Vec::new(),
        };
        let option = |name: &str, file: &str| format!("--{name}={}", path(file));
        slurm.daemon(
            host,
            "munged",
            &[
                "--foreground",
                "--force",
                &option("key-file", "munge/key"),
                &option("socket", "munge/socket"),
                &option("log-file", "munge/log"),
                &option("pid-file", "munge/pid"),
                &option("seed-file", "munge/seed"),
            ],
        );
        wait_until("munged listens", || {
            Path::new(&path("munge/socket")).exists()
        });
        slurm.daemon(host, "slurmctld", &["-D", "-i"]);
        slurm.daemon(host, "slurmd", &["-D"]);
        wait_until("the node is idle", || {
            slurm.told("sinfo", &["--noheader", "--format=%T"]) == "idle"
        });
        Some(slurm)
    }

    fn daemon(&mut self, host: &Host, program: &str, arguments: &[&str]) {
        // With the test's mark, so that whatever becomes of the test, it is found and ended.
        let marked = host.command(&[]);
        let output = File::create(host.path(&format!("slurm/{program}.out"))).unwrap();
        let daemon = Command::new(program)
            .args(arguments)
            .envs(
                marked
                    .get_envs()
                    .filter_map(|(name, value)| Some((name, value?))),
            )
            .env("SLURM_CONF", &self.configuration)
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        self.daemons.push(daemon);
    }

    /// What one of Slurm's programs prints.
    fn told(&self, program: &str, arguments: &[&str]) -> String {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env("SLURM_CONF", &self.configuration);
        let output = command.output().unwrap();
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}

impl Drop for Slurm {
    fn drop(&mut self) {
        for daemon in self.daemons.iter_mut().rev() {
            let _ = kill(Pid::from_raw(daemon.id().cast_signed()), Signal::SIGTERM);
            let _ = daemon.wait();
        }
    }
}

fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}
