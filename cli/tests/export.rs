//! `topologies export`: what is written is what containerlab and clabernetes take, and what it says makes the lab it describes.

mod host;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;

use assert_cmd::Command;
use longhaul_topologies::{Document, catalogue};
use predicates::str::{contains, is_empty};
use serde_json::{Value, json};

use host::{Host, has_lab_kernel};

fn longhaul(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_longhaul"));
    command.args(["topologies", "export"]).args(arguments);
    command
}

fn exported(topology: &str, format: &str) -> String {
    let assert = longhaul(&[topology, "--format", format]).assert().success();
    String::from_utf8(assert.get_output().stdout.clone()).unwrap()
}

/// YAML as JSON.
fn parsed(text: &str) -> Value {
    let document = Document::from_text("exported", text).unwrap();
    document.value().clone()
}

/// containerlab's schema (`schemas/clab.schema.json` of its repository) where `LONGHAUL_CONTAINERLAB_SCHEMA` names a copy; else what
/// that says of the fields that are in use here, and no other fields.
fn schema() -> Value {
    if let Some(path) = std::env::var_os("LONGHAUL_CONTAINERLAB_SCHEMA") {
        return serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    }
    println!(
        "held against the fields in use alone: LONGHAUL_CONTAINERLAB_SCHEMA names no copy of the whole schema"
    );
    let node = json!({
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "kind": { "enum": ["linux"] },
            "image": { "type": "string" },
            "network-mode": { "type": "string", "pattern": r"^(host)|(container:\S+)|(none)$" },
            "exec": { "type": "array", "minItems": 1, "items": { "type": "string" } },
        },
    });
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "object",
        "additionalProperties": false,
        "required": ["name", "topology"],
        "properties": {
            "name": { "type": "string" },
            "topology": {
                "type": "object",
                "additionalProperties": false,
                "required": ["nodes"],
                "properties": {
                    "defaults": node,
                    "nodes": { "type": "object", "additionalProperties": node },
                    "links": {
                        "type": "array",
                        "minItems": 1,
                        "items": {
                            "type": "object",
                            "additionalProperties": false,
                            "properties": {
                                "endpoints": {
                                    "type": "array",
                                    "minItems": 2,
                                    "uniqueItems": true,
                                    "items": { "type": "string", "pattern": r"^\S+:\S+$" },
                                },
                            },
                        },
                    },
                },
            },
        },
    })
}

#[test]
fn every_topology_of_the_catalogue_is_what_containerlab_takes() {
    let validator = jsonschema::validator_for(&schema()).unwrap();
    for entry in catalogue::entries() {
        let definition = parsed(&exported(entry.name, "containerlab"));
        let faults: Vec<String> = validator
            .iter_errors(&definition)
            .map(|fault| format!("{}: {fault}", fault.instance_path()))
            .collect();
        assert!(faults.is_empty(), "{}: {faults:?}", entry.name);

        // What no schema says: an interface has one wire, and Linux takes names of 15 characters.
        let topology = &definition["topology"];
        let mut ends = BTreeSet::new();
        for link in topology["links"].as_array().unwrap() {
            for end in link["endpoints"].as_array().unwrap() {
                let end = end.as_str().unwrap();
                let (node, interface) = end.split_once(':').unwrap();
                assert!(topology["nodes"].get(node).is_some(), "{end}");
                assert!(interface.len() <= 15, "{end}");
                assert!(ends.insert(end.to_owned()), "{end} is used twice");
            }
        }

        let resource = parsed(&exported(entry.name, "kubernetes"));
        assert_eq!(
            resource["apiVersion"],
            "clabernetes.containerlab.dev/v1alpha1"
        );
        assert_eq!(resource["kind"], "Topology");
        assert_eq!(resource["metadata"]["name"], definition["name"]);
        let inside = resource["spec"]["definition"]["containerlab"]
            .as_str()
            .unwrap();
        assert_eq!(parsed(inside), definition, "{}", entry.name);
    }
}

#[test]
fn an_export_reads_as_it_did() {
    insta::assert_snapshot!("containerlab", exported("metro", "containerlab"));
    insta::assert_snapshot!("kubernetes", exported("lossy-long-path", "kubernetes"));
}

#[test]
fn what_does_not_come_along_is_said_on_standard_error_and_in_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("two.clab.yml");
    let file = file.to_str().unwrap();
    longhaul(&["metro", "--format", "containerlab", "--out", file])
        .args(["--set", "links.0.schedule=[{at: 1s, delay: 20ms}]"])
        .args(["--set", "description=\"two\\nkind: lines\""])
        .args(["--image", "mine: 1\n"])
        .assert()
        .success()
        .stdout(contains("two.clab.yml"))
        .stderr(contains("not carried over: the schedule"));
    let text = fs::read_to_string(file).unwrap();
    assert!(text.contains("# Not carried over: the schedule"), "{text}");
    assert!(text.starts_with("# metro: two kind: lines\n"), "{text}");
    assert_eq!(parsed(&text)["topology"]["defaults"]["image"], "mine: 1\n");
    longhaul(&["metro", "--format", "containerlab"])
        .assert()
        .success()
        .stderr(is_empty());
}

#[test]
fn what_cannot_be_exported_is_told_with_the_way_out() {
    for (arguments, told) in [
        (&["metro"][..], "--format <FORMAT>"),
        (
            &["metro", "--format", "compose"],
            "possible values: containerlab, kubernetes",
        ),
        (&["metr", "--format", "kubernetes"], "did you mean `metro`?"),
        (
            &["metro", "--format", "kubernetes", "--image", ""],
            "--image",
        ),
        (
            &["metro", "--format", "kubernetes", "--out", "/none/such"],
            "cannot write /none/such",
        ),
    ] {
        longhaul(arguments).assert().code(2).stderr(contains(told));
    }
}

/// Builds what the export says out of network namespaces, on a lab kernel: it has netem, and its clock shows a delay as it is.
#[test]
fn what_is_exported_is_the_lab_that_it_describes() {
    let Some(host) = Host::new() else { return };
    if !has_lab_kernel() {
        return;
    }
    let definition = parsed(&exported("us-coasts", "containerlab"));
    let script = host.path("build.sh");
    fs::write(&script, building(&definition["topology"])).unwrap();
    let script = script.to_str().unwrap();

    let (folder, file) = (host.path("."), host.path("tiny.yaml"));
    fs::write(&file, "{name: tiny, sites: [{name: outer}]}").unwrap();
    let folder = folder.to_str().unwrap();
    host.succeed(&[
        "up",
        file.to_str().unwrap(),
        "--lab",
        "virtual",
        "--mount",
        folder,
    ]);
    let ping = |address: &str| format!("ip netns exec virginia-0 ping -q -n -c 3 -i 0.2 {address}");
    let (ipv4, ipv6) = (ping("10.2.0.1"), ping("fd6c:6800:2::1"));
    let command = format!("sh {script} && {ipv4} && {ipv6}");
    let told = host.succeed(&["exec", "outer-0", "--", "sh", "-c", &command]);
    host.succeed(&["down"]);

    let topology = host.answer(&["topologies", "show", "us-coasts"]);
    let lane = &topology["links"][0]["lanes"][0];
    let delay = |way: &str| lane[way]["delay_us"].as_f64().unwrap();
    let expected = (delay("forward") + delay("reverse")) / 1000.0;
    let means: Vec<f64> = told
        .lines()
        .filter_map(|line| line.strip_prefix("rtt min/avg/max/mdev = "))
        .map(|figures| figures.split('/').nth(1).unwrap().parse().unwrap())
        .collect();
    assert_eq!(means.len(), 2, "{told}");
    for mean in means {
        // Kernels count netem's delay in ticks of 64 ns; the frames' own time on ports and lanes comes on top.
        assert!((mean - expected).abs() < 0.05, "{mean} ms, not {expected}");
    }
}

/// What containerlab does with a topology, out of iproute2 alone.
fn building(topology: &Value) -> String {
    let mut script = "set -e\nmkdir -p /run/netns\n".to_owned();
    let nodes = topology["nodes"].as_object().unwrap();
    for node in nodes.keys() {
        writeln!(script, "ip netns add {node}").unwrap();
    }
    for link in topology["links"].as_array().unwrap() {
        let [a, b] = [0, 1].map(|end| {
            let end = link["endpoints"][end].as_str().unwrap();
            let (node, interface) = end.split_once(':').unwrap();
            format!("{interface} netns {node}")
        });
        writeln!(script, "ip link add name {a} type veth peer name {b}").unwrap();
    }
    for (node, settings) in nodes {
        for command in settings["exec"].as_array().unwrap() {
            let command = command.as_str().unwrap();
            writeln!(script, "ip netns exec {node} {command}").unwrap();
        }
    }
    script
}
