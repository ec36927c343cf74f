//! Labs that are up while other commands ask.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use super::host::{Host, wait_until};

#[test]
fn a_lab_in_the_background_from_up_to_down() {
    let Some(host) = Host::new() else { return };
    let before = host.traces();
    let up = host.succeed(&["up", "metro", "--name", "first"]);
    assert!(
        up.contains("longhaul exec --name first frankfurt-0 -- bash"),
        "{up}"
    );

    assert_eq!(
        host.succeed(&["exec", "muehlheim-1", "--", "hostname"]),
        "muehlheim-1\n"
    );
    let code = |command: &[&str]| {
        host.longhaul(&[&["exec", "frankfurt-0", "--"], command].concat())
            .code
    };
    assert_eq!(code(&["sh", "-c", "exit 42"]), 42);
    assert_eq!(code(&["sh", "-c", "kill -TERM $$"]), 128 + 15);
    assert_eq!(code(&["/nowhere"]), 127);
    assert_eq!(code(&["/etc/passwd"]), 126);
    for (name, way_on) in [
        ("nosuch", "there are: `frankfurt-0`, "),
        ("frankfort-0", "did you mean `frankfurt-0`?"),
    ] {
        let ended = host.longhaul(&["exec", name, "--", "hostname"]);
        assert_eq!(ended.code, 2);
        let said = format!("has no host `{name}`: {way_on}");
        assert!(ended.stderr.contains(&said), "{ended:?}");
    }

    let paced = host.longhaul(&["exec", "frankfurt-0", "--pace", "free", "--", "hostname"]);
    assert_eq!(paced.code, 2);
    assert!(
        paced.stderr.contains("first is no virtual lab"),
        "{paced:?}"
    );

    let ended = host.longhaul(&["up", "campus", "--name", "first"]);
    assert_eq!(ended.code, 2);
    assert!(
        ended.stderr.contains("a lab named first is up already"),
        "{ended:?}"
    );

    let labs = host.answer(&["status"]);
    assert_eq!(
        (labs[0]["name"].as_str(), labs[0]["life"].as_str()),
        (Some("first"), Some("up"))
    );
    let detail = host.succeed(&["status", "first"]);
    assert!(
        detail.contains("frankfurt > muehlheim lane 0") && detail.contains("10.2.0.2"),
        "{detail}"
    );
    assert_eq!(
        host.answer(&["clean"]),
        json!({ "labs": [], "namespaces": [] })
    );

    let namespaces = host.namespaces();
    assert_eq!(host.succeed(&["down"]), "first is down\n");
    host.wait_until_gone(&namespaces);
    assert_eq!(host.traces(), before);
    assert_eq!(host.answer(&["status"]), json!([]));
}

#[test]
fn links_of_a_lab_are_shown_and_set() {
    let Some(host) = Host::new() else { return };
    let topology = "
name: pair
sites: [{name: east}, {name: west}]
links: [{between: [east, west], rate: 50Mbit, rtt: 20ms, queue: 100KB, lanes: 2}]
";
    fs::write(host.path("pair.yaml"), topology).unwrap();
    host.succeed(&["up", "pair.yaml"]);
    let shown = host.succeed(&["link", "show"]);
    assert!(
        shown.contains("east > west lane 1   50Mbit, 10ms, queue 100KiB"),
        "{shown}"
    );

    // Forward is as it is typed, not as the file has it.
    let set = ["link", "set", "west", "east", "delay=30ms", "loss=1%"];
    let only = ["--direction", "forward", "--lane", "1"];
    assert_eq!(
        host.succeed(&[&set[..], &only[..]].concat()),
        "west > east lane 1: delay 10ms → 30ms, loss none → 1%\n"
    );
    let answer = host.answer(&["link", "show", "west", "east"]);
    let links = answer["links"].as_array().unwrap();
    assert_eq!(links.len(), 4);
    let set = links
        .iter()
        .find(|link| link["from"] == "west" && link["lane"] == 1)
        .unwrap();
    assert_eq!(set["settings"]["delay"], "30ms");
    assert_eq!(set["differs"], "delay 10ms → 30ms, loss none → 1%");
    assert_eq!(
        links
            .iter()
            .filter(|link| link["differs"].is_null())
            .count(),
        3
    );
    let status = host.succeed(&["status", "pair"]);
    assert!(status.contains("up, changed"), "{status}");
    let again = host.succeed(&["link", "set", "west", "east", "rate=50Mbit"]);
    assert_eq!(again, "nothing to change: the link is that way already\n");

    let refused = |arguments: &[&str], said: &[&str]| {
        let ended = host.longhaul(&[&["link", "set"], arguments].concat());
        assert_eq!(ended.code, 2, "{ended:?}");
        for said in said {
            assert!(ended.stderr.contains(said), "{said}: {}", ended.stderr);
        }
    };
    refused(
        &["west", "esat", "loss=2%"],
        &["pair: there is no site `esat`", "did you mean `east`?"],
    );
    refused(
        &["west", "east", "delay=50ms", "rate=fast"],
        &["pair with rate=fast: ", "[command line:1:6]", "rate=fast"],
    );
    refused(
        &["west", "east", "dealy=50ms"],
        &["unknown field `dealy`", "did you mean `delay`?"],
    );
    refused(
        &["west", "east", "delay=50ms", "--lane", "2"],
        &["there is no lane 2"],
    );
    refused(&["west", "east", "delay"], &["delay: no value"]);
    let answer: Value = serde_json::from_str(
        &host
            .longhaul(&["--json", "link", "set", "west", "east", "rate=fast"])
            .stdout,
    )
    .unwrap();
    assert_eq!(answer["error"]["exit_code"], 2);
    assert_eq!(
        host.answer(&["link", "show", "west", "east"])["links"],
        json!(links),
        "nothing has changed"
    );

    let down = host.succeed(&["link", "set", "east", "west", "state=down", "--lane", "0"]);
    assert_eq!(down.lines().count(), 2);
    let detail = host.answer(&["status", "pair"])["detail"].clone();
    let states: Vec<&str> = (detail["channels"].as_array().unwrap().iter())
        .map(|channel| channel["state"].as_str().unwrap())
        .collect();
    assert_eq!(states, ["down", "down", "up", "up"]);
    host.succeed(&["down"]);
    let ended = host.longhaul(&["link", "show"]);
    assert_eq!(ended.code, 2);
    assert!(ended.stderr.contains("no lab is up"), "{ended:?}");
}

#[test]
fn a_lab_that_cannot_be_reached_is_no_fault_of_the_command_line() {
    let Some(host) = Host::new() else { return };
    host.succeed(&["up", "metro"]);
    fs::remove_file(host.runtime_folder().join("metro/control")).unwrap();
    let ended = host.longhaul(&["link", "show"]);
    assert_eq!(ended.code, 3, "{ended:?}");
    for said in [
        "cannot talk to the lab metro: ",
        "`longhaul down metro` ends it",
    ] {
        assert!(ended.stderr.contains(said), "{said}: {ended:?}");
    }
    host.succeed(&["down"]);
}

#[test]
fn the_schedule_of_a_lab_begins_when_it_is_up() {
    let Some(host) = Host::new() else { return };
    let topology = "
name: pair
sites: [{name: east}, {name: west}]
links: [{between: [east, west], rtt: 20ms, schedule: [{at: 100ms, delay: 30ms, direction: reverse}, {at: 3600s, loss: 1%}]}]
";
    fs::write(host.path("pair.yaml"), topology).unwrap();
    host.succeed(&["up", "pair.yaml"]);
    let differs = || host.answer(&["link", "show"])["links"][1]["differs"].clone();
    wait_until("the change is made", || differs() == "delay 10ms → 30ms");
    // An hour is not waited for.
    host.succeed(&["down"]);
}

#[test]
fn two_labs_with_the_same_addresses_do_not_meet() {
    let Some(host) = Host::new() else { return };
    if Command::new("ping").arg("-V").output().is_err() {
        println!("skipped: ping is not installed");
        return;
    }
    for (name, rtt) in [("near", "20ms"), ("far", "100ms")] {
        let topology = format!(
            "sites: [{{name: a}}, {{name: b}}]\nlinks: [{{between: [a, b], rate: 50Mbit, rtt: {rtt}}}]\n"
        );
        fs::write(host.path("two.yaml"), topology).unwrap();
        host.succeed(&["up", "two.yaml", "--name", name]);
    }
    let ended = host.longhaul(&["exec", "a-0", "--", "true"]);
    assert_eq!(ended.code, 2);
    assert!(
        ended
            .stderr
            .contains("several labs are up: name one of far, near"),
        "{ended:?}"
    );

    let least_rtt = |lab: &str| -> f64 {
        let ping = host.succeed(&[
            "exec", "--name", lab, "a-0", "--", "ping", "-4", "-c", "3", "-i", "0.2", "b-0",
        ]);
        let (_, figures) = ping.rsplit_once(" = ").unwrap();
        figures.split('/').next().unwrap().parse().unwrap()
    };
    let (near, far) = (least_rtt("near"), least_rtt("far"));
    assert!(
        (20.0..100.0).contains(&near) && far >= 100.0,
        "{near} and {far} ms"
    );

    host.succeed(&["down", "near"]);
    assert!(least_rtt("far") >= 100.0, "the other lab goes on");
    host.succeed(&["down", "far"]);
}
