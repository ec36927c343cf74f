//! What the binary says and how it exits where no lab is needed: no privileges, no namespaces.

use std::fs;
use std::path::Path;
use std::process::{Command as Process, Stdio};

use assert_cmd::Command;
use predicates::prelude::*;
use predicates::str::{contains, is_empty, starts_with};
use serde_json::Value;

/// The binary in an empty folder, with a registry of labs of its own.
struct Desk(tempfile::TempDir);

impl Desk {
    fn new() -> Self {
        Desk(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.path().join(name), text).unwrap();
    }

    fn longhaul(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_longhaul"));
        command
            .args(arguments)
            .current_dir(self.path())
            .env("LONGHAUL_RUNTIME_DIR", self.path().join("runtime"));
        command
    }

    /// What a command prints that must succeed.
    fn text(&self, arguments: &[&str]) -> String {
        let output = self
            .longhaul(arguments)
            .assert()
            .success()
            .stderr(is_empty());
        String::from_utf8(output.get_output().stdout.clone()).unwrap()
    }

    /// What a command answers with `--json` that must exit with `code` and print nothing else.
    fn json(&self, arguments: &[&str], code: i32) -> Value {
        let output = self
            .longhaul(arguments)
            .arg("--json")
            .assert()
            .code(code)
            .stderr(is_empty());
        serde_json::from_slice(&output.get_output().stdout).unwrap()
    }

    /// What a command says that must exit with `code` and print nothing but that.
    fn error(&self, arguments: &[&str], code: i32) -> String {
        let output = self
            .longhaul(arguments)
            .assert()
            .code(code)
            .stdout(is_empty());
        let text = String::from_utf8(output.get_output().stderr.clone()).unwrap();
        // The folder's name differs from run to run.
        text.replace(self.path().to_str().unwrap(), "HERE")
    }
}

/// Two sites; a test spoils it by what it puts for `b`, the second end of the link.
fn experiment(b: &str) -> String {
    format!(
        "name: tiny
topology:
  name: two
  sites: [{{name: a, hosts: 1}}, {{name: b, hosts: 1}}]
  links: [{{between: [a, {b}], rate: 50Mbit, rtt: 20ms}}]
workload: {{collective: all_reduce, sizes: [64KiB]}}
"
    )
}

#[test]
fn help_tells_the_exit_codes() {
    let help = Desk::new().text(&["--help"]);
    for line in [
        "Exit codes:",
        "  0  ",
        "  1  ",
        "  2  ",
        "  3  ",
        "  4  ",
        "  130  interrupted",
    ] {
        assert!(help.contains(line), "{line} is not in {help}");
    }
    for command in [
        "run",
        "up",
        "exec",
        "status",
        "down",
        "clean",
        "topologies",
        "experiments",
        "doctor",
    ] {
        Desk::new().text(&[command, "--help"]);
    }
}

#[test]
fn a_wrong_command_line_is_a_usage_error() {
    let desk = Desk::new();
    for arguments in [
        &["nosuch"][..],
        &["run"],
        &["run", "quickstart", "--nosuch"],
        &["exec", "a-0", "hostname"],
        &[],
    ] {
        desk.longhaul(arguments).assert().code(2).stdout(is_empty());
        let answer = desk.json(arguments, 2);
        assert_eq!(answer["error"]["exit_code"], 2);
    }
}

#[test]
fn a_name_that_does_not_exist_gets_the_way_on() {
    let desk = Desk::new();
    insta::assert_snapshot!(desk.error(&["run", "quikstart"], 2), @r"
    error: quikstart: there is no such experiment in the catalogue, and no such file
      help: did you mean `quickstart`? The catalogue has: quickstart, buffer-sweep, ring-order, hierarchical, sockets, replay, iperf3, torch-gloo, torch-training, local-steps, mpi
    ");
    insta::assert_snapshot!(desk.error(&["up", "transatlantik"], 2), @r"
    error: transatlantik: there is no such topology in the catalogue, and no such file
      help: did you mean `transatlantic`? The catalogue has: campus, metro, region, us-coasts, transatlantic, transpacific, three-continents, five-continents, lossy-long-path, antipodes
    ");
    assert!(
        desk.error(&["run", "metro"], 2)
            .contains("it is a topology: bring it up with `longhaul up metro`")
    );
    assert!(
        desk.error(&["up", "sockets"], 2)
            .contains("it is an experiment: run it with `longhaul run sockets`")
    );
    assert!(
        desk.error(&["run", "nowhere/nosuch.yaml"], 2)
            .contains("there is no such file")
    );
}

#[test]
fn a_file_of_another_kind_is_told_with_what_to_do_with_it() {
    let desk = Desk::new();
    let topology = desk.text(&["topologies", "show", "campus", "--yaml"]);
    desk.write("t.yaml", topology);
    desk.write("e.yaml", experiment("b"));
    let experiment = "e.yaml: this is an experiment, and a topology is wanted here";
    let topology = "t.yaml: this is a topology, and an experiment is wanted here";
    for (command, told, way) in [
        ("up e.yaml", experiment, "`longhaul run e.yaml`"),
        ("verify e.yaml", experiment, "`longhaul run e.yaml`"),
        (
            "topologies show e.yaml",
            experiment,
            "`longhaul run e.yaml`",
        ),
        ("run t.yaml", topology, "`longhaul up t.yaml`"),
        (
            "experiments show t.yaml",
            topology,
            "`--set topology=t.yaml`",
        ),
        (
            "sweep t.yaml --launcher local",
            topology,
            "`longhaul up t.yaml`",
        ),
        (
            "reproduce e.yaml",
            "e.yaml: this is an experiment, and a claim is wanted here",
            "`longhaul run e.yaml`",
        ),
        (
            "run deep-buffers",
            "no such",
            "`longhaul reproduce deep-buffers`",
        ),
        (
            "reproduce quickstart",
            "no such",
            "`longhaul run quickstart`",
        ),
    ] {
        let words: Vec<&str> = command.split(' ').collect();
        let error = desk.error(&words, 2);
        assert!(error.contains(told), "{command}: {error}");
        assert!(error.contains(way), "{command}: {error}");
    }
}

#[test]
fn what_virtual_labs_alone_have_is_refused_elsewhere() {
    let desk = Desk::new();
    desk.write("e.yaml", experiment("b"));
    for command in [
        "run e.yaml --memory 1GiB",
        "run e.yaml --env HOME",
        "up campus --mount /tmp",
        "verify campus --patience 3s",
        "verify --name x --patience 3s",
        "sweep e.yaml --launcher local -- --memory 1GiB",
    ] {
        let words: Vec<&str> = command.split(' ').collect();
        let error = desk.error(&words, 2);
        let told = ": only a virtual lab that is brought up has a use for it";
        assert!(error.contains(told), "{command}: {error}");
    }
    let bytes = desk.error(&["run", "e.yaml", "--capture-bytes", "64"], 2);
    assert!(bytes.contains("--capture <LANE>"), "{bytes}");
}

#[test]
fn the_help_and_the_readme_name_every_setting_that_a_link_takes() {
    let desk = Desk::new();
    let help = desk.text(&["link", "set", "--help"]);
    let readme = concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md");
    let readme = fs::read_to_string(readme).unwrap();
    let schema = desk.json(&["topologies", "schema"], 0);
    let settings = schema["$defs"]["ChannelSpec"]["properties"].as_object();
    for setting in settings.unwrap().keys() {
        let named = format!("`{setting}`");
        assert!(help.contains(&named), "{setting}: {help}");
        assert!(readme.contains(&named), "{setting}");
    }
}

#[test]
fn what_is_not_there_comes_with_the_way_to_get_it() {
    let desk = Desk::new();
    desk.write("e.yaml", experiment("b"));
    desk.write("file", "");
    let folder = "name the folder that `longhaul run` wrote";
    let baseline = "`longhaul baseline save RESULT --to FILE` makes one";
    for (command, told) in [
        ("compare nosuch nosuch", folder),
        ("baseline save file --to b.json", folder),
        ("report nosuch", folder),
        ("gate nosuch --baseline nosuch", baseline),
        ("gate nosuch --baseline .", baseline),
        ("run e.yaml --points 7", "--points 7: e.yaml has 1 point"),
        (
            "run e.yaml --points 7-8",
            "--points 7-8: e.yaml has 1 point",
        ),
        ("run e.yaml --seed -1", "write a whole number from 0 to "),
        ("verify campus --seed x", "write a whole number from 0 to "),
        (
            "sweep e.yaml --launcher local -- --lab physical",
            "--lab physical: which machines?",
        ),
        (
            "sweep e.yaml --launcher local -- --check-determinism",
            "add --lab virtual",
        ),
    ] {
        let words: Vec<&str> = command.split(' ').collect();
        let error = desk.error(&words, 2);
        assert!(error.contains(told), "{command}: {error}");
    }
}

#[test]
fn a_lane_to_capture_that_does_not_exist_is_told_with_those_that_do() {
    let desk = Desk::new();
    desk.write("tiny.yaml", experiment("b"));
    let run = ["run", "tiny.yaml", "--out", "out", "--capture", "a-b"];
    insta::assert_snapshot!(desk.error(&[&run[..], &["--capture", "a-c/1"]].concat(), 2), @r"
    error: two: there is no lane `a-c/1`
      help: there are `a-b` (lane 0)
    ");
    insta::assert_snapshot!(desk.error(&[&run[..], &["--capture", "b>a/1"]].concat(), 2), @r"
    error: two: there is no lane `1` of `b>a`
      help: there are `a-b` (lane 0)
    ");
    for bytes in ["0", "65537", "all"] {
        desk.error(&[&run[..], &["--capture-bytes", bytes]].concat(), 2);
    }
    assert!(!desk.path().join("out").exists());
}

#[test]
fn a_file_that_is_wrong_is_shown_where_it_is() {
    let desk = Desk::new();
    desk.write("tiny.yaml", experiment("c"));
    insta::assert_snapshot!(desk.error(&["run", "tiny.yaml"], 2), @r"
    error: tiny.yaml:5:25: there is no site `c`
       ,-[tiny.yaml:5:25]
     4 |   sites: [{name: a, hosts: 1}, {name: b, hosts: 1}]
     5 |   links: [{between: [a, c], rate: 50Mbit, rtt: 20ms}]
       :                         |
       :                         `-- here
     6 | workload: {collective: all_reduce, sizes: [64KiB]}
       `----
      help: there are: `a`, `b`
    ");
    desk.write("tiny.yaml", "name: tiny\n  workload: {\n");
    insta::assert_snapshot!(desk.error(&["run", "tiny.yaml"], 2), @r"
    error: tiny.yaml:2:11: mapping values are not allowed in this context
       ,-[tiny.yaml:2:11]
     1 | name: tiny
     2 |   workload: {
       :           ^
       :           `-- here
       `----
    ");
    let answer = desk.json(&["topologies", "check", "tiny.yaml"], 2);
    assert_eq!(answer[0]["error"]["line"], 2);
}

#[test]
fn what_is_no_text_file_is_refused() {
    let desk = Desk::new();
    desk.write("binary", [0x7f, b'E', b'L', b'F', 0xff, 0xfe]);
    desk.write("empty.yaml", "");
    fs::create_dir(desk.path().join("folder")).unwrap();
    assert!(
        desk.error(&["run", "folder"], 2)
            .contains("this is a folder, not a file")
    );
    assert!(
        desk.error(&["run", "./binary"], 2)
            .contains("the file is not text")
    );
    assert!(
        desk.error(&["run", "/dev/zero"], 2)
            .contains("the file is longer than")
    );
    for command in [&["run", "empty.yaml"][..], &["up", "empty.yaml"]] {
        assert!(desk.error(command, 2).starts_with("error: empty.yaml"));
    }
}

#[test]
fn an_experiment_whose_topology_is_missing_names_it() {
    let desk = Desk::new();
    desk.write(
        "tiny.yaml",
        "name: tiny\ntopology: nosuch.yaml\nworkload: {collective: all_reduce}\n",
    );
    insta::assert_snapshot!(desk.error(&["run", "tiny.yaml"], 2), @r"
    error: tiny.yaml:2:11: the topology `nosuch.yaml`: there is no such file
       ,-[tiny.yaml:2:11]
     1 | name: tiny
     2 | topology: nosuch.yaml
       :           ^^^^^|^^^^^
       :                `-- here
     3 | workload: {collective: all_reduce}
       `----
    ");
}

#[test]
fn a_wrong_setting_is_shown_as_it_was_typed() {
    let desk = Desk::new();
    desk.write("tiny.yaml", experiment("b"));
    let set = |setting: &str| desk.error(&["run", "tiny.yaml", "--set", setting], 2);
    insta::assert_snapshot!(set("workload.iterations"), @r"
    error: --set workload.iterations: no value
      help: write --set KEY=VALUE
    ");
    insta::assert_snapshot!(set("workload.itterations=3"), @r"
    error: tiny.yaml with --set workload.itterations=3: unknown field `itterations`
       ,-[--set:1:10]
     1 | workload.itterations=3
       :          ^^^^^|^^^^^
       :               `-- here
       `----
      help: did you mean `iterations`? There are: `collective`, `replay`, `command`, `iperf3`, `ping`, `torch`, `mpi`, `nccl-tests`, `perftest`, `algorithm`, `data_type`, `op`, `root`, `sizes`, `placements`, `rank_order`, `iterations`, `warmup`, `patience`
    ");
    insta::assert_snapshot!(set("topology.links.0.loss=120%"), @r"
    error: tiny.yaml with --set topology.links.0.loss=120%: `120%` is too large: at most 100%, which is certain
       ,-[--set:1:23]
     1 | topology.links.0.loss=120%
       :                       ^^|^
       :                         `-- here
       `----
    ");
    insta::assert_snapshot!(set("workload.sizes=[1]"), @r"
    error: tiny.yaml with --set workload.sizes=[1]: 1 B is too small for all_reduce of f32 over 2 ranks: it takes at least 4 B
       ,-[--set:1:16]
     1 | workload.sizes=[1]
       :                ^|^
       :                 `-- here
       `----
    ");
    assert!(
        set("topology.links.7.loss=1%")
            .starts_with("error: tiny.yaml with --set topology.links.7.loss=1%: ")
    );
}

#[test]
fn a_workload_that_takes_days_is_refused() {
    let desk = Desk::new();
    desk.write("tiny.yaml", experiment("b"));
    let run = [
        "run",
        "tiny.yaml",
        "--set",
        "workload.iterations=1000000",
        "--set",
        "topology.links.0.rate=100kbit",
    ];
    assert!(
        desk.error(&run, 2)
            .starts_with("error: the links allow this workload no less than ")
    );
}

#[test]
fn a_program_that_is_not_here_is_told_before_a_lab_is_built() {
    let desk = Desk::new();
    let collective = "{collective: all_reduce, sizes: [64KiB]}";
    let text = experiment("b").replace(collective, "{command: {command: [no-such-program]}}");
    desk.write("e.yaml", text);
    let told = desk.error(&["run", "e.yaml", "--out", "out"], 3);
    for part in [
        "`workload.command` needs no-such-program, which is not here: not found in PATH",
        "install it, or write where it lies",
    ] {
        assert!(told.contains(part), "{told}");
    }
    assert!(!desk.path().join("out").exists());
}

#[test]
fn a_physical_lab_takes_an_inventory_and_nothing_that_would_change_it() {
    let desk = Desk::new();
    let machine = |address| format!("hosts: [{{launch: local, address: {address}}}]");
    let text = format!(
        "name: pair\nsites: [{{name: a, {}}}, {{name: b, {}}}]\n",
        machine("127.0.0.1"),
        machine("127.0.0.2")
    );
    desk.write("machines.yaml", text);
    desk.write(
        "wrong.yaml",
        "sites: [{name: a, hosts: [{launch: telnet}]}]\n",
    );
    let physical = ["--lab", "physical", "--inventory", "machines.yaml"];
    let error = |arguments: &[&str]| desk.error(&[&["run"], arguments].concat(), 2);
    let with = |experiment, more: &[&str]| error(&[&[experiment], &physical[..], more].concat());
    let unchangeable = "a physical lab's links cannot be changed";
    for (told, error) in [
        (
            "--lab physical: which machines?",
            error(&["quickstart", "--lab", "physical"]),
        ),
        (
            "--inventory: this lab is built, not found",
            error(&["quickstart", "--inventory", "machines.yaml"]),
        ),
        (
            "wrong.yaml:1:36: unknown variant `telnet`",
            error(&[
                "quickstart",
                "--lab",
                "physical",
                "--inventory",
                "wrong.yaml",
            ]),
        ),
        (
            unchangeable,
            with("quickstart", &["--set", "topology.links.0.loss=1%"]),
        ),
        (unchangeable, with("buffer-sweep", &[])),
        (unchangeable, with("quickstart", &["--links", "relay"])),
        ("--capture: ", with("quickstart", &["--capture", "a-b"])),
        ("runs longhaul's own collectives", with("iperf3", &[])),
        (
            "invalid value 'physical' for '--lab <LAB>'\n  [possible values: host, virtual]",
            desk.error(&["up", "transatlantic", "--lab", "physical"], 2),
        ),
    ] {
        assert!(error.contains(told), "{told}: {error}");
    }
}

#[test]
fn results_never_go_over_older_ones() {
    let desk = Desk::new();
    desk.write("tiny.yaml", experiment("b"));
    fs::create_dir(desk.path().join("older")).unwrap();
    desk.write("older/result.json", "{}");
    desk.write("file", "");
    let error = desk.error(&["run", "tiny.yaml", "--out", "older"], 2);
    assert_eq!(
        error,
        "error: HERE/older is not empty, and a result never goes over older files: name another folder\n"
    );
    assert!(
        desk.error(&["run", "tiny.yaml", "--out", "file"], 2)
            .starts_with("error: cannot look into HERE/file: ")
    );
    assert!(
        !desk.path().join("runtime").exists(),
        "said before anything is built"
    );
    assert_eq!(
        desk.json(&["run", "tiny.yaml", "--out", "older"], 2)["error"]["exit_code"],
        2
    );
}

#[test]
fn without_a_lab_every_command_says_so() {
    let desk = Desk::new();
    assert_eq!(
        desk.text(&["status"]),
        "no lab is up: start one with `longhaul up TOPOLOGY`\n"
    );
    assert_eq!(desk.text(&["clean"]), "nothing to clean\n");
    assert_eq!(desk.json(&["status"], 0), Value::Array(Vec::new()));
    for arguments in [&["down"][..], &["exec", "a-0", "--", "true"]] {
        assert_eq!(
            desk.error(arguments, 2),
            "error: no lab is up: start one with `longhaul up TOPOLOGY`\n"
        );
    }
    for arguments in [
        &["down", "nosuch"][..],
        &["status", "nosuch"],
        &["exec", "--name", "nosuch", "a-0", "--", "true"],
    ] {
        assert_eq!(
            desk.error(arguments, 2),
            "error: no lab named nosuch is up: `longhaul status` shows those that are\n"
        );
    }
    assert!(
        desk.error(&["up", "campus", "--name", "../x"], 2)
            .contains("`../x` cannot name a lab")
    );
}

#[test]
fn topologies_are_listed_shown_checked_and_drawn() {
    let desk = Desk::new();
    let list = desk.text(&["topologies", "list"]);
    assert_plain_table(&list);
    let answer = desk.json(&["topologies", "list"], 0);
    for entry in answer.as_array().unwrap() {
        let name = entry["name"].as_str().unwrap();
        assert!(
            list.lines()
                .any(|line| line.starts_with(&format!("{name} "))),
            "{name}"
        );
        let show = desk.text(&["topologies", "show", name]);
        assert!(show.starts_with(&format!("{name}: ")), "{show}");
        assert_plain_table(&show);
    }
    insta::assert_snapshot!(desk.text(&["topologies", "show", "metro"]), @r"
    metro: Two data centres of one city, 10 km apart

    site        place               latitude   longitude   hosts   host ports
    ───────────────────────────────────────────────────────────────────────────
    frankfurt   Frankfurt am Main      50.11        8.68       2        1Gbit
    muehlheim   Mühlheim am Main       50.12        8.82       2        1Gbit

    channel                 lanes      rate   one way   from          jitter   queue          loss
    ────────────────────────────────────────────────────────────────────────────────────────────────
    frankfurt > muehlheim       1   500Mbit   63.5 µs   10 km × 1.3   none     1bdp (64KiB)   none
    muehlheim > frankfurt       1   500Mbit   63.5 µs   10 km × 1.3   none     1bdp (64KiB)   none
    ");

    let yaml = desk.text(&["topologies", "show", "metro", "--yaml"]);
    desk.write("copy.yaml", &yaml);
    insta::assert_snapshot!(desk.text(&["topologies", "check", "copy.yaml", "metro", "five-continents"]), @r"
    copy.yaml: fine (2 sites, 4 hosts, 1 link)
    metro: fine (2 sites, 4 hosts, 1 link)
    five-continents: fine (5 sites, 10 hosts, 10 links)
    ");
    desk.write("wrong.yaml", yaml.replace("500Mbit", "500Mbot"));
    desk.longhaul(&["topologies", "check", "wrong.yaml", "metro"])
        .assert()
        .code(2)
        .stdout("metro: fine (2 sites, 4 hosts, 1 link)\n")
        .stderr(starts_with("error: wrong.yaml:"));

    assert_eq!(desk.text(&["topologies", "draw", "metro"]), "metro.svg\n");
    desk.text(&["topologies", "draw", "metro", "--out", "map.png"]);
    assert!(
        fs::read_to_string(desk.path().join("metro.svg"))
            .unwrap()
            .contains("<svg")
    );
    assert!(
        fs::read(desk.path().join("map.png"))
            .unwrap()
            .starts_with(b"\x89PNG")
    );
    assert!(
        desk.error(&["topologies", "draw", "metro", "--out", "map.gif"], 2)
            .contains("map.gif")
    );
}

#[test]
fn experiments_are_listed_and_shown() {
    let desk = Desk::new();
    let list = desk.text(&["experiments", "list"]);
    assert_plain_table(&list);
    let answer = desk.json(&["experiments", "list"], 0);
    for entry in answer.as_array().unwrap() {
        let name = entry["name"].as_str().unwrap();
        assert!(
            list.lines()
                .any(|line| line.starts_with(&format!("{name} "))),
            "{name}"
        );
        assert!(
            desk.text(&["experiments", "show", name])
                .contains(&format!("name: {name}"))
        );
    }
    assert!(
        desk.error(&["experiments", "show", "nosuch"], 2)
            .contains("no such experiment")
    );
}

#[test]
fn traces_are_listed_and_shown_before_anything_runs() {
    let desk = Desk::new();
    assert_plain_table(&desk.text(&["experiments", "traces"]));
    let names = desk.json(&["experiments", "traces"], 0);
    for entry in names.as_array().unwrap() {
        let name = entry["name"].as_str().unwrap();
        let text = desk.text(&["experiments", "trace", name]);
        assert!(text.starts_with(&format!("{name}: ")), "{text}");
        let trace = desk.json(&["experiments", "trace", name], 0);
        assert_eq!(trace["nodes"].as_array().unwrap().len(), entry["nodes"]);
    }
    let ranks = desk.json(
        &["experiments", "trace", "gpt-data-parallel", "--ranks", "6"],
        0,
    );
    assert_eq!(ranks["ranks"], 6);
    let unknown = desk.error(&["experiments", "trace", "gpt-pipelin"], 2);
    assert!(
        unknown.contains("did you mean `gpt-pipeline`?"),
        "{unknown}"
    );
}

#[test]
fn schemas_are_those_in_the_repository() {
    let desk = Desk::new();
    for (command, file) in [
        ("topologies", "../topologies/schema.json"),
        ("experiments", "../workloads/schema.json"),
    ] {
        let kept = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
        let kept: Value = serde_json::from_slice(&kept).unwrap();
        let printed: Value = serde_json::from_str(&desk.text(&[command, "schema"])).unwrap();
        assert_eq!(printed, kept, "{file}");
    }
}

#[test]
fn every_shell_has_completions_for_every_command() {
    let desk = Desk::new();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = desk.text(&["completions", shell]);
        for word in ["longhaul", "topologies", "doctor", "no-charts"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
        assert!(
            !script.contains("__rank"),
            "{shell} shows what is no command for people"
        );
    }
}

#[test]
fn scripts_and_pages_are_a_field_of_json() {
    let desk = Desk::new();
    let script = desk.json(&["completions", "bash"], 0);
    let text = desk.text(&["completions", "bash"]);
    assert_eq!(script["script"], text);
    let page = desk.json(&["man"], 0);
    assert_eq!(page["page"], desk.text(&["man"]));
    assert_eq!(desk.json(&["man", "--out", "pages"], 0)["folder"], "pages");
    desk.write("file", "");
    let told = desk.error(&["man", "--out", "file/pages"], 2);
    assert!(
        told.contains("cannot write pages into file/pages: "),
        "{told}"
    );
}

#[test]
fn the_manual_has_the_exit_codes_and_a_page_per_command() {
    let desk = Desk::new();
    let page = desk.text(&["man"]);
    assert!(
        page.contains(".TH longhaul 1") && page.contains("Exit codes:"),
        "{page}"
    );
    desk.text(&["man", "--out", "pages"]);
    for page in [
        "longhaul.1",
        "longhaul-run.1",
        "longhaul-topologies-check.1",
    ] {
        assert!(desk.path().join("pages").join(page).exists(), "{page}");
    }
    assert!(!desk.path().join("pages/longhaul-__rank.1").exists());
}

#[test]
fn doctor_always_has_an_answer() {
    let desk = Desk::new();
    let one_of_both = predicate::in_iter([0, 3]);
    desk.longhaul(&["doctor"])
        .assert()
        .code(one_of_both.clone())
        .stdout(contains("labs").and(contains("congestion control")));
    let output = desk
        .longhaul(&["doctor", "--json"])
        .assert()
        .code(one_of_both);
    let answer: Value = serde_json::from_slice(&output.get_output().stdout).unwrap();
    assert_eq!(answer["labs"], output.get_output().status.success());
    if answer.to_string().contains(r#""present":"as root""#) {
        let of_root = desk.longhaul(&["doctor"]).assert();
        of_root.stdout(contains("sudo ").not());
    }
}

#[test]
fn a_cause_is_told_once() {
    let desk = Desk::new();
    let command = desk
        .longhaul(&["status"])
        .env("LONGHAUL_RUNTIME_DIR", "/etc/passwd")
        .assert();
    let output = command.code(3).get_output().stderr.clone();
    let told = String::from_utf8(output).unwrap();
    assert_eq!(told.matches("Not a directory").count(), 1, "{told}");
}

#[test]
fn a_reader_that_goes_away_is_no_reason_to_panic() {
    let desk = Desk::new();
    for arguments in [
        &["topologies", "list"][..],
        &["topologies", "schema"],
        &["completions", "bash"],
        &["man"],
        &["--help"],
        &["--json", "status"],
        &["run", "nosuch"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = Process::new(env!("CARGO_BIN_EXE_longhaul"))
            .args(arguments)
            .env("LONGHAUL_RUNTIME_DIR", desk.path().join("runtime"))
            .stdout(writer.try_clone().unwrap())
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        let expected = if arguments == ["run", "nosuch"] { 2 } else { 0 };
        assert_eq!(
            output.status.code(),
            Some(expected),
            "{arguments:?}: {output:?}"
        );
        assert!(
            !String::from_utf8_lossy(&output.stderr).contains("panicked"),
            "{output:?}"
        );
    }
}

#[test]
fn an_answer_that_a_full_disk_does_not_take_is_told() {
    let desk = Desk::new();
    for arguments in [
        &["topologies", "list"][..],
        &["man"],
        &["--help"],
        &["--json", "status"],
    ] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full");
        let output = Process::new(env!("CARGO_BIN_EXE_longhaul"))
            .args(arguments)
            .env("LONGHAUL_RUNTIME_DIR", desk.path().join("runtime"))
            .stdout(full.unwrap())
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(told.contains("No space left on device"), "{told}");
    }
}

/// One line per row: a line under the header and no other, no trailing spaces, nothing wider than a page.
fn assert_plain_table(text: &str) {
    for line in text.lines() {
        assert_eq!(line, line.trim_end());
        assert!(line.chars().count() <= 120, "{line}");
    }
    let tables = text.matches("\n─").count();
    assert_eq!(
        text.lines().filter(|line| line.contains('─')).count(),
        tables
    );
}
