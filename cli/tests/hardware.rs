//! `hardware`: machines in files, a switch played, and what this machine has. Nothing of this machine is changed.

#[path = "../../emulator/src/hardware/fixture.rs"]
mod fixture;
#[allow(dead_code, reason = "the client's own tests use the rest")]
#[path = "../../emulator/src/hardware/nvue/played.rs"]
mod played;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use played::{Age, Fault, PASSWORD, Played, USER};
use serde_json::{Value, json};

const CONNECTX7: &str = include_str!("../../emulator/src/hardware/fixtures/connectx7.tree");
const SOFT_ROCE: &str = include_str!("../../emulator/src/hardware/fixtures/soft-roce.tree");
const IRDMA: &str = include_str!("../../emulator/src/hardware/fixtures/irdma.tree");

const NIC: &str = "
nics:
  - name: mlx5_0
    roce: v1
    type_of_service: 106
    congestion: {rp_time_reset: 1ms, rp_ai_rate: 50Mbit, rp_max_rate: 100Gbit}
";

/// Longest wait for anything, on a machine that does many other things.
const PATIENCE: Duration = Duration::from_secs(60);

/// A folder with a machine's files in `root` and journals in `journals`.
struct Desk(tempfile::TempDir);

impl Desk {
    fn new(tree: &str) -> Self {
        let desk = Desk(tempfile::tempdir().unwrap());
        fixture::lay(&desk.path("root"), tree);
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_longhaul"));
        command
            .arg("hardware")
            .args(arguments)
            .current_dir(self.0.path())
            .env_remove("COLUMNS")
            .env("LEAF1_PASSWORD", PASSWORD)
            .stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        Ended::new(&self.command(arguments).output().unwrap())
    }

    /// On the machine in files.
    fn on_files(&self, arguments: &[&str]) -> Ended {
        self.run(&[arguments, &["--root", "root"]].concat())
    }

    /// On switches, with journals here.
    fn on_switch(&self, arguments: &[&str]) -> Ended {
        self.run(&[arguments, &["--journals", "journals"]].concat())
    }

    /// The text of the only journal that is no log yet.
    fn journal(&self) -> String {
        fs::read_to_string(self.path("journals/open.jsonl")).unwrap_or_default()
    }

    /// Every file below `root/sys`.
    fn files(&self) -> BTreeMap<PathBuf, String> {
        let mut files = BTreeMap::new();
        let mut folders = vec![self.path("root/sys")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let entry = entry.unwrap();
                let kind = entry.file_type().unwrap();
                if kind.is_dir() {
                    folders.push(entry.path());
                } else if kind.is_file() {
                    files.insert(entry.path(), fs::read_to_string(entry.path()).unwrap());
                }
            }
        }
        files
    }
}

/// How a command ended.
#[derive(Debug)]
struct Ended {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Ended {
    fn new(output: &Output) -> Self {
        Ended {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout.clone()).unwrap(),
            stderr: String::from_utf8(output.stderr.clone()).unwrap(),
        }
    }

    /// What it printed, if it ended with `code`.
    #[track_caller]
    fn with(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }
}

fn leaf(played: &Played) -> String {
    format!(
        "switches:
  - name: leaf1
    login:
      nvue:
        url: http://{}
        user: {USER}
        password: {{env: LEAF1_PASSWORD}}
        certificate: unchecked
    roce: lossless
    adaptive_routing: {{state: enabled, interfaces: [swp1]}}
",
        played.address
    )
}

fn before() -> Value {
    json!({"system": {"hostname": "leaf1"}, "qos": {"roce": {"enable": "on", "mode": "lossy"}}})
}

/// A switch, and a folder with a file for it.
fn with_switch(fault: Fault) -> (Played, Desk) {
    let played = Played::start(before(), Age::UpTo514, fault);
    let desk = Desk::new("[/sys]");
    desk.write("leaf.yaml", &leaf(&played));
    (played, desk)
}

#[test]
fn nics_are_listed_with_what_they_are() {
    let mut text = String::new();
    for tree in [CONNECTX7, SOFT_ROCE, IRDMA, "[/sys]"] {
        text += &Desk::new(tree).on_files(&["list"]).with(0).stdout;
        text += "\n";
    }
    insta::assert_snapshot!(text);
}

#[test]
fn this_machines_nics_are_listed_and_counted_whatever_there_is() {
    let desk = Desk::new("[/sys]");
    assert!(desk.run(&["list", "--json"]).with(0).json()["nics"].is_array());
    desk.run(&["list"]).with(0);
    let counters = desk.run(&["counters", "--json"]).with(0).json();
    assert!(counters["counters"].is_array());
}

#[test]
fn a_plan_is_a_table_of_what_would_change_and_changes_nothing() {
    let desk = Desk::new(CONNECTX7);
    desk.write("nic.yaml", NIC);
    let files = desk.files();
    insta::assert_snapshot!(desk.on_files(&["plan", "nic.yaml"]).with(0).stdout);
    let plan = desk
        .on_files(&["plan", "nic.yaml", "--json"])
        .with(0)
        .json();
    assert_eq!(plan["steps"].as_array().unwrap().len(), 5);
    let dry = desk.on_files(&["apply", "nic.yaml", "--dry-run", "--json"]);
    assert_eq!(dry.with(0).json(), plan);
    assert_eq!(desk.files(), files);
    assert!(!desk.path("root/var").exists());
}

#[test]
fn what_is_applied_is_no_longer_planned_and_comes_back() {
    let desk = Desk::new(CONNECTX7);
    desk.write("nic.yaml", NIC);
    let files = desk.files();
    let applied = desk.on_files(&["apply", "nic.yaml"]).with(0).stdout;
    assert!(applied.contains("5 writes applied"), "{applied}");
    let planned = desk.on_files(&["plan", "nic.yaml"]).with(0).stdout;
    assert!(planned.contains("nothing to change"), "{planned}");

    // The old values of now would be those of the file.
    let again = desk.on_files(&["apply", "nic.yaml"]).with(2).stderr;
    for way_out in ["`longhaul hardware restore`", "--keep"] {
        assert!(again.contains(way_out), "{again}");
    }

    let would = desk.on_files(&["restore", "--dry-run"]).with(0).stdout;
    assert_eq!(would.matches("to be put back").count(), 5, "{would}");
    assert_ne!(desk.files(), files);
    let restored = desk.on_files(&["restore", "--json"]).with(0).json();
    assert_eq!(desk.files(), files);
    let log = fs::read_to_string(restored["log"].as_str().unwrap()).unwrap();
    assert_eq!(log.matches("\"entry\":\"write\"").count(), 5);
    let nothing = desk.on_files(&["restore"]).with(0).stdout;
    assert!(nothing.contains("nothing to put back"), "{nothing}");
}

#[test]
fn what_is_kept_stays_for_good() {
    let desk = Desk::new(CONNECTX7);
    desk.write("nic.yaml", NIC);
    desk.on_files(&["apply", "nic.yaml"]).with(0);
    let files = desk.files();
    desk.on_files(&["restore", "--keep", "--dry-run"]).with(0);
    let kept = desk.on_files(&["restore", "--keep"]).with(0).stdout;
    assert!(kept.contains("5 writes stay for good"), "{kept}");
    desk.on_files(&["restore"]).with(0);
    assert_eq!(desk.files(), files);
}

#[test]
fn what_somebody_else_has_set_since_is_not_written_over_unasked() {
    let desk = Desk::new(CONNECTX7);
    desk.write("nic.yaml", NIC);
    let files = desk.files();
    desk.on_files(&["apply", "nic.yaml"]).with(0);
    desk.write(
        "root/sys/kernel/debug/mlx5/0000:19:00.0/cc_params/rp_ai_rate",
        "7\n",
    );
    let refused = desk.on_files(&["restore"]).with(1);
    assert!(
        refused.stdout.contains("set by somebody else since"),
        "{refused:#?}"
    );
    assert!(refused.stderr.contains("--force"), "{refused:#?}");
    let answer = desk.on_files(&["restore", "--json"]).with(1).json();
    assert_eq!(answer["error"]["exit_code"], 1);
    desk.on_files(&["restore", "--force"]).with(0);
    assert_eq!(desk.files(), files);
}

#[test]
fn a_switch_is_set_as_one_revision_and_put_back() {
    let (played, desk) = with_switch(Fault::None);
    let plan = desk.run(&["plan", "leaf.yaml"]).with(0).stdout;
    insta::assert_snapshot!(plan);
    assert!(
        played
            .requests()
            .iter()
            .all(|request| request.starts_with("GET"))
    );
    desk.on_switch(&["apply", "leaf.yaml"]).with(0);
    assert_eq!(played.applied()["qos"]["roce"]["mode"], "lossless");
    assert!(
        desk.journal().contains("revision 1 of http://"),
        "{}",
        desk.journal()
    );
    desk.on_switch(&["restore"]).with(0);
    assert_eq!(played.applied(), before());
}

/// An empty `qos roce` would be one that is on.
#[test]
fn a_switch_on_which_nothing_was_set_has_nothing_set_again() {
    let (played, desk) = (
        Played::start(json!({}), Age::From515, Fault::None),
        Desk::new("[/sys]"),
    );
    desk.write("leaf.yaml", &leaf(&played));
    desk.on_switch(&["apply", "leaf.yaml"]).with(0);
    assert_eq!(played.applied()["qos"]["roce"]["state"], "enabled");
    desk.on_switch(&["restore"]).with(0);
    assert_eq!(played.applied(), json!({}));
}

/// The password is in no output, no journal and no log, whatever happens.
#[test]
fn the_password_goes_nowhere_but_to_the_switch() {
    for fault in [
        Fault::None,
        Fault::Conflict,
        Fault::HangsUp,
        Fault::DefaultPassword,
    ] {
        let (_played, desk) = with_switch(fault);
        let runs = [
            desk.run(&["plan", "leaf.yaml", "--json"]),
            desk.on_switch(&["apply", "leaf.yaml", "--json", "--patience", "100ms"]),
            desk.on_switch(&["restore", "--json"]),
        ];
        let mut texts = vec![desk.journal()];
        for run in runs {
            texts.extend([run.stdout, run.stderr]);
        }
        for entry in fs::read_dir(desk.path("journals")).into_iter().flatten() {
            texts.push(fs::read_to_string(entry.unwrap().path()).unwrap());
        }
        assert!(
            texts.iter().all(|text| !text.contains(PASSWORD)),
            "{texts:#?}"
        );
    }
}

#[test]
fn logins_that_do_not_hold_are_the_files_fault() {
    let (played, desk) = with_switch(Fault::None);
    let plan = |password: &str| {
        let mut command = desk.command(&["plan", "leaf.yaml"]);
        Ended::new(&command.env("LEAF1_PASSWORD", password).output().unwrap())
    };
    let wrong = plan("wrong").with(2).stderr;
    assert!(wrong.contains("(401)"), "{wrong}");
    let empty = plan("").with(2).stderr;
    assert!(
        empty.contains("the variable LEAF1_PASSWORD: it is empty"),
        "{empty}"
    );
    let mut unset = desk.command(&["plan", "leaf.yaml"]);
    let unset = Ended::new(&unset.env_remove("LEAF1_PASSWORD").output().unwrap());
    assert!(unset.with(2).stderr.contains("LEAF1_PASSWORD"));
    played.set_fault(Fault::DefaultPassword);
    let never_changed = desk.run(&["plan", "leaf.yaml"]).with(2).stderr;
    assert!(never_changed.contains("(403)"), "{never_changed}");
    // A file beside the settings' own, from wherever it is called.
    played.set_fault(Fault::None);
    let text = leaf(&played).replace("{env: LEAF1_PASSWORD}", "{file: secret}");
    desk.write("leaf.yaml", &text);
    desk.write("secret", &format!("{PASSWORD}\n"));
    let path = desk.path("leaf.yaml");
    let mut elsewhere = desk.command(&["plan", path.to_str().unwrap()]);
    Ended::new(&elsewhere.current_dir("/").output().unwrap()).with(0);
}

#[test]
fn a_switch_that_refuses_is_left_as_it_was_and_says_so() {
    for (fault, expected) in [
        (Fault::Conflict, "conflicting (409)"),
        (Fault::Invalid, "not on this switch"),
    ] {
        let (played, desk) = with_switch(fault);
        let refused = desk.on_switch(&["apply", "leaf.yaml"]).with(1);
        assert!(refused.stderr.contains(expected), "{refused:#?}");
        assert!(
            refused
                .stderr
                .contains("of 1 writes 0 are done, 1 is not sure"),
            "{refused:#?}"
        );
        let answer = desk.on_switch(&["restore", "--json"]).with(0).json();
        assert_eq!(answer["restored"][0]["state"], "there_already");
        assert_eq!(played.applied(), before());
    }
}

#[test]
fn an_end_that_nobody_saw_is_told_and_put_back() {
    let (played, desk) = with_switch(Fault::HangsUp);
    let answer = desk
        .on_switch(&["apply", "leaf.yaml", "--json"])
        .with(1)
        .json();
    let message = answer["error"]["message"].as_str().unwrap();
    for expected in ["may or may not be set", "revision 1", "nv config history"] {
        assert!(message.contains(expected), "{message}");
    }
    assert_eq!(answer["steps"][0]["state"], "failed");
    assert_ne!(played.applied(), before());
    played.set_fault(Fault::None);
    desk.on_switch(&["restore"]).with(0);
    assert_eq!(played.applied(), before());
}

#[test]
fn a_switch_that_keeps_what_it_had_is_found_out() {
    let (_played, desk) = with_switch(Fault::Forgets);
    let refused = desk.on_switch(&["apply", "leaf.yaml"]).with(1).stderr;
    assert!(refused.contains("and reads"), "{refused}");
}

/// `apply` in the middle of a revision that does not end.
fn under_way(desk: &Desk, played: &Played) -> Child {
    let arguments = [
        "apply",
        "leaf.yaml",
        "--journals",
        "journals",
        "--patience",
        "3s",
    ];
    let child = desk
        .command(&arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let until = Instant::now() + PATIENCE;
    while !played.requests().contains(&"GET /revision/1".to_owned()) {
        assert!(Instant::now() < until, "{:?}", played.requests());
        std::thread::sleep(Duration::from_millis(10));
    }
    child
}

#[test]
fn a_process_killed_in_the_middle_leaves_what_it_takes_to_put_back() {
    let (played, desk) = with_switch(Fault::Endless);
    let mut child = under_way(&desk, &played);
    child.kill().unwrap();
    child.wait().unwrap();
    let journal = desk.journal();
    assert!(journal.contains("\"entry\":\"write\""), "{journal}");
    assert!(journal.contains("revision 1 of"), "{journal}");
    // The switch goes on alone.
    played.set_fault(Fault::None);
    let until = Instant::now() + PATIENCE;
    while played.applied() == before() {
        assert!(Instant::now() < until);
        played.look("1");
    }
    desk.on_switch(&["restore"]).with(0);
    assert_eq!(played.applied(), before());
}

#[test]
fn ctrl_c_brings_the_write_under_way_to_its_end() {
    let (played, desk) = with_switch(Fault::Endless);
    let child = under_way(&desk, &played);
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
    kill(pid, Signal::SIGINT).unwrap();
    played.set_fault(Fault::None);
    let ended = Ended::new(&child.wait_with_output().unwrap()).with(0);
    assert!(ended.stdout.contains("1 write applied"), "{ended:#?}");
    desk.on_switch(&["restore"]).with(0);
}

#[test]
fn an_unchecked_certificate_is_warned_of() {
    let (_played, desk) = with_switch(Fault::None);
    desk.write(
        "far.yaml",
        "switches: [{name: far, login: {nvue: {url: 'https://127.0.0.1:1', user: u, password: {env: LEAF1_PASSWORD}, certificate: unchecked}}, roce: lossy}]",
    );
    let ended = desk.run(&["plan", "far.yaml"]).with(3);
    assert!(
        ended.stderr.contains("warning: https://127.0.0.1:1"),
        "{ended:#?}"
    );
    assert!(ended.stderr.contains("cannot be reached"), "{ended:#?}");
}

#[test]
fn counters_have_units_and_what_is_wrong_is_told() {
    let desk = Desk::new(CONNECTX7);
    insta::assert_snapshot!(desk.on_files(&["counters", "mlx5_0"]).with(0).stdout);
    let all = desk.on_files(&["counters", "--json"]).with(0).json();
    let data = all["counters"].as_array().unwrap();
    let data = data
        .iter()
        .find(|one| one["counter"] == "port_xmit_data")
        .unwrap();
    let expected = json!({
        "nic": "mlx5_0", "port": 1, "counter": "port_xmit_data", "value": 4000, "unit": "By", "metric": "longhaul.nic.io",
        "attributes": {"longhaul.nic.name": "mlx5_0", "longhaul.nic.port": "1", "network.io.direction": "transmit"},
    });
    assert_eq!(*data, expected);
    for (arguments, expected) in [
        (&["counters", "mlx5_9"][..], "there are: mlx5_0"),
        (&["counters", "../x"], "is no device"),
        (&["counters", "--watch", "1ms"], "100ms to 10min"),
    ] {
        let told = desk.on_files(arguments).with(2).stderr;
        assert!(told.contains(expected), "{told}");
    }
}

#[test]
fn watched_counters_show_what_has_grown_until_ctrl_c() {
    let desk = Desk::new(CONNECTX7);
    let out = fs::File::create(desk.path("out")).unwrap();
    let mut child = desk
        .command(&["counters", "mlx5_0", "--root", "root", "--watch", "100ms"])
        .stdout(out)
        .spawn()
        .unwrap();
    let printed = |expected: &str| {
        let until = Instant::now() + PATIENCE;
        while !fs::read_to_string(desk.path("out"))
            .unwrap()
            .contains(expected)
        {
            assert!(Instant::now() < until, "{expected}");
            std::thread::sleep(Duration::from_millis(10));
        }
    };
    printed("nothing was counted");
    let counter = "root/sys/class/infiniband/mlx5_0/ports/1/hw_counters/out_of_sequence";
    desk.write(counter, "12\n");
    printed("out_of_sequence");
    kill(
        Pid::from_raw(i32::try_from(child.id()).unwrap()),
        Signal::SIGINT,
    )
    .unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

#[test]
fn what_a_file_has_wrong_is_told_where_it_stands() {
    let desk = Desk::new(CONNECTX7);
    desk.write(
        "wrong.yaml",
        "nics:\n  - name: mlx5_0\n    congestion: {rp_time_rest: 1ms}\n",
    );
    insta::assert_snapshot!(desk.on_files(&["plan", "wrong.yaml"]).with(2).stderr);
    desk.write("nic.yaml", NIC);
    let told = desk.on_files(&["plan", "nic.yaml", "--set", "nics.mlx5_0.pfc=[9]"]);
    assert!(told.with(2).stderr.contains("9 is not a priority"));
    let told = desk.on_files(&["plan", "nic.yaml", "--set", "nics.mlx5_0.name=mlx5_7"]);
    assert!(told.with(2).stderr.contains("hardware list"));
    let told = desk.on_files(&["plan", "nic.yaml", "--set", "nics.mlx5_0.pfc=[3]"]);
    assert!(told.with(3).stderr.contains("a copy of a machine's files"));
    desk.run(&["list", "--root", "nowhere"]).with(2);
    desk.run(&["restore", "--keep", "--force"]).with(2);
}

/// The vendor's tools, played.
const MLXREG: &str = include_str!("tools/mlxreg");
const MLXCONFIG: &str = include_str!("tools/mlxconfig");

/// A NIC of this machine with a PCI address, which the played tool is asked about; nothing of it is touched.
fn any_nic(desk: &Desk) -> Option<String> {
    let nics = desk.run(&["list", "--json"]).with(0).json();
    let nics = nics["nics"].as_array()?;
    nics.iter()
        .find_map(|nic| Some(nic["pci"].as_str()?.to_owned()))
}

/// A folder with a NIC of this machine and what its played tools keep, in `tools`.
struct Bench {
    desk: Desk,
    pci: String,
}

impl Bench {
    /// None where there is no NIC that could be asked about.
    fn new() -> Option<Self> {
        let desk = Desk::new("[/sys]");
        let Some(pci) = any_nic(&desk) else {
            println!("skipped: needs a NIC with a PCI address");
            return None;
        };
        fs::create_dir(desk.path("tools")).unwrap();
        for (name, text) in [("mlxreg", MLXREG), ("mlxconfig", MLXCONFIG)] {
            let name = format!("tools/{name}");
            desk.write(&name, text);
            fs::set_permissions(desk.path(&name), fs::Permissions::from_mode(0o755)).unwrap();
        }
        Some(Bench { desk, pci })
    }

    /// A file of settings of the NIC.
    fn settings(&self, settings: &str) {
        let text = format!("nics: [{{name: '{}', {settings}}}]", self.pci);
        self.desk.write("nic.yaml", &text);
    }

    /// With the played tools before all others.
    fn command(&self, arguments: &[&str]) -> Command {
        let system = std::env::var("PATH").unwrap();
        let path = format!("{}:{system}", self.desk.path("tools").display());
        let mut command = self.desk.command(arguments);
        command.env("PATH", path);
        command
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        Ended::new(&self.command(arguments).output().unwrap())
    }

    fn apply(&self) -> Ended {
        self.run(&["apply", "nic.yaml", "--journals", "journals"])
    }

    fn restore(&self) -> Ended {
        self.run(&["restore", "--journals", "journals"])
    }

    fn kept(&self, name: &str) -> String {
        fs::read_to_string(self.desk.path("tools").join(name)).unwrap_or_default()
    }

    #[track_caller]
    fn expect_register(&self, line: &str) {
        let register = self.kept("register");
        assert!(register.contains(line), "{register}");
    }
}

#[test]
fn a_register_is_set_by_the_vendors_tool_and_its_lack_is_told() {
    let Some(bench) = Bench::new() else { return };
    bench.settings("retransmission: {adaptive: enabled, window: enabled}");
    let applied = bench.apply().with(0).stdout;
    assert!(applied.contains("1 write applied"), "{applied}");
    bench.expect_register("roce_adp_retrans_en | 0x00000001");
    bench.restore().with(0);
    bench.expect_register("roce_adp_retrans_en | 0x00000000");

    for (settings, tool) in [
        ("retransmission: {adaptive: enabled}", "`mlxreg`"),
        ("controllers: {0: {state: enabled}}", "`mlxreg`"),
        ("firmware: {adaptive_routing: enabled}", "`mlxconfig`"),
    ] {
        bench.settings(settings);
        let mut plan = bench.command(&["plan", "nic.yaml"]);
        let lacking = Ended::new(&plan.env("PATH", "/nowhere").output().unwrap()).with(3);
        assert!(
            lacking.stderr.contains("mstflint") && lacking.stderr.contains(tool),
            "{lacking:#?}"
        );
    }
}

#[test]
fn ctrl_c_on_a_terminal_lets_the_tool_that_writes_come_to_its_end() {
    let Some(bench) = Bench::new() else { return };
    bench.settings("retransmission: {adaptive: enabled, window: disabled}");
    bench.desk.write("tools/slow", "");
    let child = bench
        .command(&["apply", "nic.yaml", "--journals", "journals"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .unwrap();
    let until = Instant::now() + PATIENCE;
    while !bench.kept("calls").contains("--set") {
        assert!(Instant::now() < until, "{}", bench.kept("calls"));
        std::thread::sleep(Duration::from_millis(10));
    }
    let group = Pid::from_raw(-i32::try_from(child.id()).unwrap());
    kill(group, Signal::SIGINT).unwrap();
    let ended = Ended::new(&child.wait_with_output().unwrap()).with(130);
    assert!(
        ended.stderr.contains("of 2 writes 1 are done"),
        "{ended:#?}"
    );
    bench.expect_register("roce_adp_retrans_en | 0x00000001");
    bench.restore().with(0);
    bench.expect_register("roce_adp_retrans_en | 0x00000000");
}

#[test]
fn the_controller_that_goes_by_round_trip_times_is_chosen_and_put_back() {
    let Some(bench) = Bench::new() else { return };
    bench.settings(
        "controllers: {ztr_rttcc: {state: enabled, parameters: {ALPHA: 3000}}, DCQCN: {state: disabled}}",
    );
    let plan = bench.run(&["plan", "nic.yaml"]).with(0).stdout;
    insta::assert_snapshot!(plan.replace(&bench.pci, "0000:00:00.0"));
    assert!(!bench.kept("calls").contains("--set"));
    let applied = bench.apply().with(0).stdout;
    assert!(applied.contains("3 writes applied"), "{applied}");
    assert!(!applied.contains("reset"), "{applied}");
    let kept = ["parameter-0-1", "enabled-0", "enabled-15"].map(|name| bench.kept(name));
    assert_eq!(kept, ["3000\n", "1\n", "0\n"]);
    let planned = bench.run(&["plan", "nic.yaml"]).with(0).stdout;
    assert!(planned.contains("nothing to change"), "{planned}");
    bench.restore().with(0);
    let kept = ["parameter-0-1", "enabled-0", "enabled-15"].map(|name| bench.kept(name));
    assert_eq!(kept, ["6553\n", "0\n", "1\n"]);
}

#[test]
fn what_the_firmware_has_is_listed_and_what_it_has_not_is_told() {
    let Some(bench) = Bench::new() else { return };
    let listed = bench.run(&["controllers", &bench.pci]).with(0).stdout;
    let listed = listed.lines().skip(1);
    // Which NIC it is differs.
    let listed: Vec<_> = listed
        .map(|line| line.split_once(' ').map_or("", |(_, rest)| rest.trim()))
        .collect();
    insta::assert_snapshot!(listed.join("\n"));
    let document = bench
        .run(&["controllers", &bench.pci, "--json"])
        .with(0)
        .json();
    let alpha = &document["controllers"][0]["parameters"][1];
    assert_eq!(alpha["name"], "ALPHA");
    assert_eq!(alpha["value"], "6553");
    bench.run(&["controllers", "nope"]).with(2);
    for (controllers, expected) in [
        ("SWIFT: {state: enabled}", "ZTR_RTTCC (0), DCQCN (15)"),
        ("0: {parameters: {ALPHA: 65537}}", "it takes 0 to 65536"),
        ("0: {parameters: {BW_G: 400}}", "it can only be read"),
    ] {
        bench.settings(&format!("controllers: {{{controllers}}}"));
        let told = bench.run(&["plan", "nic.yaml"]).with(2).stderr;
        assert!(told.contains(expected), "{told}");
    }
    // Firmware without the register, or without the right to it.
    bench.desk.write("tools/no-slots", "");
    let told = bench.run(&["controllers", &bench.pci]).with(1).stderr;
    assert!(told.contains("ME_REG_ACCESS_BAD_PARAM"), "{told}");
}

#[test]
fn what_the_firmware_is_configured_to_waits_for_its_reset_which_is_left_to_the_user() {
    let Some(bench) = Bench::new() else { return };
    bench.settings("firmware: {legacy_dcqcn: disabled, programmable_congestion_control: enabled}");
    let plan = bench.run(&["plan", "nic.yaml"]).with(0).stdout;
    assert_eq!(plan.matches("counts from a reset").count(), 2, "{plan}");
    let applied = bench.apply().with(0).stdout;
    for expected in ["2 writes applied", "longhaul does not do", "mlxfwreset"] {
        assert!(applied.contains(expected), "{applied}");
    }
    assert!(bench.kept("next").contains("USER_PROGRAMMABLE_CC 1"));
    let waiting = bench.run(&["plan", "nic.yaml"]).with(0).stdout;
    let expected = "firmware.USER_PROGRAMMABLE_CC waits for a reset of the firmware: it runs with 0, and will with 1";
    assert!(waiting.contains(expected), "{waiting}");
    bench.desk.write("tools/reset", "");
    let counts = bench.run(&["plan", "nic.yaml"]).with(0).stdout;
    assert!(!counts.contains("waits"), "{counts}");
    bench.restore().with(0);
    let next = bench.kept("next");
    assert!(
        next.contains("ROCE_CC_LEGACY_DCQCN 1") && next.contains("USER_PROGRAMMABLE_CC 0"),
        "{next}"
    );

    // What the tool refuses is told, and what was set before is put back.
    bench.settings("firmware: {programmable_congestion_control: enabled}");
    let refused = bench.apply().with(1).stderr;
    for expected in [
        "is not valid with ROCE_CC_LEGACY_DCQCN",
        "0 are done, 1 is not sure",
    ] {
        assert!(refused.contains(expected), "{refused}");
    }
    bench.restore().with(0);
    assert_eq!(bench.kept("next"), next);
}
